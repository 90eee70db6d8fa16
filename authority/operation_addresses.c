/*
 * The space of virtual addresses, the blocks of it that routers have, and the addresses
 * of hosts.
 *
 * A block belongs to one router, or to several of one site. A host's virtual address
 * comes out of a block of its router, and no other host has it. An address outside the
 * space is a physical one: unique in its site, and a VN takes it as long as no other
 * member has the same. All of this is about several records, so each operation writes the
 * order record: of two that were decided at once, one is decided again.
 */
#include "authority/operation_addresses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

static bool inside(const struct blocks *l, const struct prefix *p)
{
	for (size_t i = 0; i < l->n; i++)
		if (prefix_covers(&l->at[i], p))
			return true;
	return false;
}

/* ---- prefixes in their order --------------------------------------------------- */

/* The prefix after this one, of the same length. False: there is none. */
static bool advance(struct prefix *p)
{
	for (unsigned bit = p->len; bit-- > 0;) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		p->ip.b[bit / 8] ^= mask;
		if (p->ip.b[bit / 8] & mask)
			return true;
	}
	return false;
}

static int compare_blocks(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

/* All routers' blocks, in order. */
static struct prefix *all_blocks(const struct registry *r, size_t *ret_n)
{
	const struct router *router;
	struct prefix *all = NULL;
	size_t n = 0, room = 0, place = 0;

	while ((router = registry_each(r, RECORD_ROUTER, &place)))
		for (size_t i = 0; i < router->record.blocks.n; i++) {
			all = mem_more(all, n, &room, sizeof(*all));
			all[n++] = router->record.blocks.at[i];
		}
	if (n)
		qsort(all, n, sizeof(*all), compare_blocks);
	*ret_n = n;
	return all;
}

/* The first block of that length in the space that overlaps none. */
static bool free_block(const struct registry *r, unsigned length, struct prefix *ret)
{
	const struct blocks *space = &registry_order(r)->record.space;
	size_t n, i;
	struct prefix *all = all_blocks(r, &n);
	bool found = false;

	for (size_t s = 0; s < space->n && !found; s++) {
		struct prefix p = space->at[s];

		if (length < p.len || length > ip_bits(&p.ip))
			continue;
		p.len = (uint8_t)length;
		for (i = 0, found = true; found && i < n;) {
			struct prefix next = all[i];

			if (prefix_covers(&p, &next))
				found = advance(&p);
			else if (prefix_covers(&next, &p))
				found = advance(&next), next.len = (uint8_t)length, p = next;
			else if (prefix_compare(&next, &p) > 0)
				break;
			else
				i++;
			found = found && prefix_covers(&space->at[s], &p);
		}
		if (found)
			*ret = p;
	}
	free(all);
	return found;
}

/* ---- addresses of hosts -------------------------------------------------------- */

bool check_address(struct task *t, const struct router *router, const struct ip *ip)
{
	const struct blocks *space = &registry_order(t->registry)->record.space;
	const struct blocks *subnets = &router->site->record.subnets;
	struct prefix p = prefix_host(ip);
	bool virtual = inside(space, &p);
	const struct host *h;
	char text[IP_TEXT];
	size_t place = 0;

	ip_format(ip, text);
	if (virtual && !inside(&router->record.blocks, &p))
		return refuse(t, 409,
			      "%s is in no block of router '%s': assign it one that holds it", text,
			      router->object.name);
	if (!virtual && subnets->n && !inside(subnets, &p))
		return refuse(t, 409, "%s is neither virtual nor in a subnet of site '%s'", text,
			      router->site->object.name);
	while ((h = registry_at(t->registry, ip, &place)))
		if (h != t->goes && (virtual || h->router->site == router->site))
			return refuse(t, 409, "%s is host '%s''s", text, h->object.name);
	return true;
}

/* The first free address of the router's blocks. The first and last of an IPv4 block are
 * left to the gateway and the broadcast, where it has room for that. */
static bool choose_address(struct task *t, const struct router *router, struct ip *ret)
{
	for (size_t i = 0; i < router->record.blocks.n; i++) {
		const struct prefix *block = &router->record.blocks.at[i];
		unsigned bits = ip_bits(&block->ip);
		struct prefix p = prefix_host(&block->ip), next;
		bool wide = bits - block->len > 1;

		if (wide && (!advance(&p) || (bits - block->len > 2 && !advance(&p))))
			continue;
		for (; prefix_covers(block, &p); p = next) {
			bool more;
			size_t place = 0;

			next = p;
			more = advance(&next) && prefix_covers(block, &next);
			if (wide && !more && block->ip.family == 4)
				break;
			if (!registry_at(t->registry, &p.ip, &place)) {
				*ret = p.ip;
				return true;
			}
			if (!more)
				break;
		}
	}
	return refuse(t, 409, "router '%s' has no free address: assign it a block",
		      router->object.name);
}

bool addresses_from(struct task *t, const struct router *router, const json_t *list,
		    struct addresses *ret)
{
	size_t n = list ? json_array_size(list) : 1;

	if (list && (!json_is_array(list) || n > 8))
		return refuse(t, 400, "'addresses' is not a list of up to 8");
	ret->at = mem_new(n, sizeof(*ret->at));
	if (!list) {
		ret->n = 1;
		return choose_address(t, router, &ret->at[0]);
	}
	for (; ret->n < n; ret->n++) {
		const char *text = json_string_value(json_array_get(list, ret->n));
		struct ip *ip = &ret->at[ret->n];

		if (!text || ip_parse(text, ip))
			return refuse(t, 400, "'addresses' has an entry that is not an address");
		for (size_t i = 0; i < ret->n; i++)
			if (ip_equal(&ret->at[i], ip))
				return refuse(t, 400, "'addresses' has '%s' twice", text);
		if (!check_address(t, router, ip))
			return false;
	}
	return true;
}

/* The host that the caller may give addresses. */
static const struct host *address_host(struct task *t)
{
	const struct host *host = named_host(t, "host");

	if (host && !(t->router && owns_host(t, host)) && !owns_site(t, host->router->site)) {
		refuse(t, 403, "addresses of host '%s' are its router's and site's to give",
		       host->object.name);
		return NULL;
	}
	return host;
}

/* Addresses change only of a host that is in no VN, so that no table does. */
static bool in_no_vn(struct task *t, const struct host *host)
{
	if (host->tiny)
		return refuse(t, 409, "host '%s' is a tiny, whose address is its own",
			      host->object.name);
	return !host->n_vns ? true
			    : refuse(t, 409, "host '%s' is in VN '%s': it has to leave first",
				     host->object.name, host->vns[0]->object.name);
}

static void show_addresses(struct task *t, const struct record *rec)
{
	json_t *value = record_encode(rec);

	set_result(t,
		   mem_json(json_pack("{s:O}", "addresses", json_object_get(value, "addresses"))));
	json_decref(value);
}

static bool finish_host(struct task *t, const struct host *host, struct record *rec)
{
	change_order(t, 0, 0, NULL);
	show_addresses(t, rec);
	change_record(t, rec, &host->object);
	return true;
}

/* Whether the host has that address, or, without one named, a virtual one. */
static bool has_address(const struct task *t, const struct host *host, const struct ip *ip)
{
	for (uint32_t i = 0; i < host->n_addresses; i++) {
		struct prefix p = prefix_host(&host->addresses[i].ip);

		if (ip ? ip_equal(&p.ip, ip)
		       : inside(&registry_order(t->registry)->record.space, &p))
			return true;
	}
	return false;
}

bool operation_address_assign(struct task *t)
{
	const struct host *host = address_host(t);
	struct record rec;
	const char *text;
	struct ip ip;

	if (!host || !argument_text(t, "address", IP_TEXT, &text))
		return false;
	if (*text && ip_parse(text, &ip))
		return refuse(t, 400, "'address' is not an address");
	/* A host asks for its address whenever it starts, or hasn't heard the answer. */
	if (t->host && has_address(t, host, *text ? &ip : NULL)) {
		host_record(host, &rec);
		show_addresses(t, &rec);
		record_done(&rec);
		return true;
	}
	if (!in_no_vn(t, host) ||
	    (*text ? !check_address(t, host->router, &ip) : !choose_address(t, host->router, &ip)))
		return false;
	if (host->n_addresses == 8)
		return refuse(t, 409, "host '%s' has 8 addresses already", host->object.name);
	host_record(host, &rec);
	rec.host.addresses.at =
		mem_grow(rec.host.addresses.at, rec.host.addresses.n + 1, sizeof(struct ip));
	rec.host.addresses.at[rec.host.addresses.n++] = ip;
	return finish_host(t, host, &rec);
}

bool operation_address_release(struct task *t)
{
	const struct host *host = address_host(t);
	struct addresses *l;
	struct record rec;
	const char *text;
	size_t at = 0;
	struct ip ip;

	if (!host || !in_no_vn(t, host) || !argument_text(t, "address", IP_TEXT, &text))
		return false;
	if (ip_parse(text, &ip))
		return refuse(t, 400, "'address' is not an address");
	host_record(host, &rec);
	l = &rec.host.addresses;
	while (at < l->n && !ip_equal(&l->at[at], &ip))
		at++;
	if (at == l->n) {
		record_done(&rec);
		return refuse(t, 404, "host '%s' doesn't have %s", host->object.name, text);
	}
	l->n--;
	memmove(l->at + at, l->at + at + 1, (l->n - at) * sizeof(*l->at));
	return finish_host(t, host, &rec);
}

/* ---- space and blocks ---------------------------------------------------------- */

bool operation_space_change(struct task *t)
{
	struct blocks space;
	size_t n, place = 0;
	struct prefix *all;
	bool good = true;
	const struct host *h;

	if (!argument(t, "blocks"))
		return refuse(t, 400, "'blocks' is missing: the prefixes of virtual addresses");
	if (!argument_blocks(t, "blocks", &space))
		return false;
	all = all_blocks(t->registry, &n);
	for (size_t i = 0; good && i < n; i++)
		if (!inside(&space, &all[i]))
			good = refuse(t, 409, "a router has a block outside of that space");
	free(all);
	/* What was physical must not become virtual unseen. */
	while (good && (h = registry_each(t->registry, RECORD_HOST, &place)))
		for (uint32_t i = 0; good && i < h->n_addresses; i++) {
			struct prefix p = prefix_host(&h->addresses[i].ip);

			if (inside(&space, &p) && !inside(&h->router->record.blocks, &p))
				good = refuse(t, 409,
					      "host '%s' has an address in that space, but of no "
					      "block of its router",
					      h->object.name);
		}
	if (good)
		change_order(t, 0, 0, &space);
	free(space.at);
	return good;
}

bool block_is_free(struct task *t, const struct router *router, const struct site *site,
		   const struct prefix *block)
{
	const struct router *other;
	size_t place = 0;

	if (!inside(&registry_order(t->registry)->record.space, block))
		return refuse(t, 409, "the block is not in the space of virtual addresses");
	while ((other = registry_each(t->registry, RECORD_ROUTER, &place)))
		for (size_t i = 0; i < other->record.blocks.n; i++) {
			const struct prefix *b = &other->record.blocks.at[i];

			if (!prefix_covers(b, block) && !prefix_covers(block, b))
				continue;
			if (other != router && other->site == site && prefix_equal(b, block))
				continue;
			return refuse(t, 409, "router '%s' has a block that overlaps it%s",
				      other->object.name,
				      other->site == site && other != router
					      ? " (to share one, assign exactly the same)"
					      : "");
		}
	return true;
}

bool operation_block_assign(struct task *t)
{
	const struct router *router = named_router(t, "router");
	char buffer[PREFIX_TEXT];
	struct prefix block;
	struct record rec;
	uint64_t length;
	const char *text;

	if (!router || !argument_text(t, "block", PREFIX_TEXT, &text) ||
	    !argument_number(t, "length", 128, 24, &length))
		return false;
	if (*text && prefix_parse(text, &block))
		return refuse(t, 400, "'block' is not a prefix");
	if (!*text && !free_block(t->registry, (unsigned)length, &block))
		return refuse(t, 409, "there is no free block of length %u", (unsigned)length);
	if (!block_is_free(t, router, router->site, &block))
		return false;
	if (router->record.blocks.n == 256)
		return refuse(t, 409, "router '%s' has 256 blocks already", router->object.name);
	router_record(router, &rec);
	rec.router.blocks.at =
		mem_grow(rec.router.blocks.at, rec.router.blocks.n + 1, sizeof(struct prefix));
	rec.router.blocks.at[rec.router.blocks.n++] = block;
	change_record(t, &rec, &router->object);
	change_order(t, 0, 0, NULL);
	set_result(t, mem_json(json_pack("{s:s}", "block", prefix_format(&block, buffer))));
	return true;
}

bool operation_block_release(struct task *t)
{
	const struct router *router = named_router(t, "router");
	struct prefix block;
	struct blocks *l;
	struct record rec;
	const char *text;
	size_t at = 0;

	if (!router || !argument_text(t, "block", PREFIX_TEXT, &text))
		return false;
	if (prefix_parse(text, &block))
		return refuse(t, 400, "'block' is not a prefix");
	list_for_each(node, &router->hosts) {
		const struct host *h = container_of(node, struct host, by_router);

		for (uint32_t i = 0; i < h->n_addresses; i++)
			if (prefix_contains(&block, &h->addresses[i].ip))
				return refuse(t, 409, "host '%s' has an address of it",
					      h->object.name);
	}
	router_record(router, &rec);
	l = &rec.router.blocks;
	while (at < l->n && !prefix_equal(&l->at[at], &block))
		at++;
	if (at == l->n) {
		record_done(&rec);
		return refuse(t, 404, "router '%s' doesn't have the block %s", router->object.name,
			      text);
	}
	l->n--;
	memmove(l->at + at, l->at + at + 1, (l->n - at) * sizeof(*l->at));
	change_record(t, &rec, &router->object);
	change_order(t, 0, 0, NULL);
	return true;
}
