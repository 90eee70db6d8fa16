/*
 * The records in memory: looking in.
 *
 * Objects refer to each other by pointers, so that a check of an operation or a table
 * costs what it touches: a host knows its router, owner and VNs, a VN its members in
 * the order in which tables want them.
 *
 * The text of members is not kept: at 100,000 hosts pointers are what fits.
 */
#include "authority/registry_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "common/image.h"

/* ---- indexes ------------------------------------------------------------------- */

static uint32_t hash_text(const void *key)
{
	return index_hash(key, strlen(key));
}

static const void *name_of(const void *object)
{
	return ((const struct object *)object)->name;
}

static bool text_equal(const void *a, const void *b)
{
	return !strcmp(a, b);
}

static uint32_t hash_id(const void *key)
{
	return index_hash(key, sizeof(uint32_t));
}

static const void *id_of_vn(const void *object)
{
	return &((const struct vn *)object)->id;
}

static const void *id_of_router(const void *object)
{
	return &((const struct router *)object)->record.id;
}

static const void *id_of_tiny(const void *object)
{
	return &((const struct tiny *)object)->record.id;
}

static bool id_equal(const void *a, const void *b)
{
	return *(const uint32_t *)a == *(const uint32_t *)b;
}

static uint32_t hash_ip(const void *key)
{
	return index_hash(key, sizeof(struct ip));
}

static const void *ip_of(const void *object)
{
	return &((const struct host_address *)object)->ip;
}

static bool same_ip(const void *a, const void *b)
{
	return ip_equal(a, b);
}

const struct index_ops registry_by_name = { hash_text, name_of, text_equal };
const struct index_ops registry_vn_by_id = { hash_id, id_of_vn, id_equal };
const struct index_ops registry_router_by_id = { hash_id, id_of_router, id_equal };
const struct index_ops registry_tiny_by_id = { hash_id, id_of_tiny, id_equal };
const struct index_ops registry_by_ip = { hash_ip, ip_of, same_ip };

void *registry_get(const struct registry *r, enum record_kind kind, const char *name)
{
	return index_get(&r->named[kind], &registry_by_name, name);
}

/* ---- looking in ---------------------------------------------------------------- */

const struct user *registry_user(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_USER, name);
}

const struct site *registry_site(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_SITE, name);
}

const struct router *registry_router(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_ROUTER, name);
}

const struct host *registry_host(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_HOST, name);
}

const struct tiny *registry_tiny(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_TINY, name);
}

const struct tiny *registry_tiny_id(const struct registry *r, uint32_t id)
{
	return index_get(&r->tinies, &registry_tiny_by_id, &id);
}

const struct policy *registry_policy(const struct registry *r, const char *id)
{
	return registry_get(r, RECORD_POLICY, id);
}

const struct token *registry_token(const struct registry *r, const char *hash)
{
	return registry_get(r, RECORD_TOKEN, hash);
}

const struct credential *registry_credential(const struct registry *r, const char *hash)
{
	return registry_get(r, RECORD_CREDENTIAL, hash);
}

const struct vn *registry_vn_named(const struct registry *r, const char *name)
{
	return registry_get(r, RECORD_VN, name);
}

const struct vn *registry_vn(const struct registry *r, uint32_t id)
{
	return index_get(&r->vns, &registry_vn_by_id, &id);
}

const struct router *registry_router_id(const struct registry *r, uint32_t id)
{
	return index_get(&r->routers, &registry_router_by_id, &id);
}

const struct order *registry_order(const struct registry *r)
{
	return &r->order;
}

const struct host *registry_at(const struct registry *r, const struct ip *ip, size_t *place)
{
	size_t at = *place - 1;
	const struct host_address *a =
		*place ? index_next(&r->addresses, &registry_by_ip, ip, &at)
		       : index_first(&r->addresses, &registry_by_ip, ip, &at);

	*place = at + 1;
	return a ? a->host : NULL;
}

const void *registry_each(const struct registry *r, enum record_kind kind, size_t *place)
{
	const struct index *ix = &r->named[kind];

	while (*place < ix->size) {
		const void *object = ix->slots[(*place)++];

		if (object)
			return object;
	}
	return NULL;
}

size_t registry_count(const struct registry *r, enum record_kind kind)
{
	return r->named[kind].n;
}

bool router_active(const struct router *router)
{
	return !router->record.revoked && !router->record.disabled;
}

bool router_carries(const struct router *router)
{
	return router_active(router) && !router->record.silent;
}

static bool has_block(const struct router *router, const struct ip *ip)
{
	for (size_t i = 0; i < router->record.blocks.n; i++)
		if (prefix_contains(&router->record.blocks.at[i], ip))
			return true;
	return false;
}

const struct router *router_for(const struct host *h, const struct ip *ip)
{
	const struct router *own = h->router, *best = NULL;

	if (router_carries(own))
		return own;
	if (h->tiny) /* only where it is connected is it reached, and steer.h follows it there */
		return router_active(own) ? own : NULL;
	list_for_each(node, &own->site->routers) {
		const struct router *r = container_of(node, struct router, by_site);

		if (r != own && router_carries(r) && has_block(r, ip) &&
		    (!best || r->record.id < best->record.id))
			best = r;
	}
	return best ? best : router_active(own) ? own : NULL;
}

bool router_is_limited(const struct router *router)
{
	const struct router_record *r = &router->record;

	return r->limited == ROUTER_AUTO ? !r->endpoint[0] : r->limited != ROUTER_NOT_LIMITED;
}

bool router_serves(const struct router *router)
{
	return router->record.relay && router_active(router) && !router_is_limited(router) &&
	       image_endpoint_valid(router->record.endpoint);
}

const struct list *registry_relays(const struct registry *r)
{
	return &r->relays;
}

static int ip_order(const struct ip *a, const struct ip *b)
{
	return memcmp(a, b, sizeof(*a));
}

int host_compare(const struct host *a, const struct host *b)
{
	uint32_t x = a->router->record.id, y = b->router->record.id;
	int order = 0;

	if (x != y)
		return x < y ? -1 : 1;
	if (a->n_addresses && b->n_addresses)
		order = ip_order(&a->addresses[0].ip, &b->addresses[0].ip);
	return order ? order : strcmp(a->object.name, b->object.name);
}

bool vn_has(const struct vn *vn, const struct host *host)
{
	for (uint32_t i = 0; i < host->n_vns; i++)
		if (host->vns[i] == vn)
			return true;
	return false;
}

/* ---- as stored ----------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vn_record(const struct vn *vn, struct record *ret)
{
	const struct vn_record *from = &vn->record;
	struct vn_record *to = &ret->vn;

	*ret = (struct record){ .kind = RECORD_VN };
	snprintf(ret->id, sizeof(ret->id), "%u", vn->id);
	*to = (struct vn_record){ .name = mem_text(vn->object.name),
				  .protection = from->protection,
				  .creator = mem_text(from->creator),
				  .created = from->created,
				  .change = mem_text(from->change) };
	names_copy(&to->admins, &from->admins);
	names_copy(&to->users, &from->users);
	to->members.n = vn->n_members;
	to->members.at = mem_new(vn->n_members, sizeof(*to->members.at));
	for (size_t i = 0; i < vn->n_members; i++)
		to->members.at[i] = mem_text(vn->members[i]->object.name);
	qsort(to->members.at, to->members.n, sizeof(*to->members.at), compare_texts);
}

void host_record(const struct host *host, struct record *ret)
{
	struct host_record *to = &ret->host;

	*ret = (struct record){ .kind = RECORD_HOST };
	snprintf(ret->id, sizeof(ret->id), "%s", host->object.name);
	*to = (struct host_record){ .router = mem_text(host->router->object.name),
				    .owner = mem_text(host->owner->object.name),
				    .key = mem_text(host->key ? host->key : ""),
				    .created = host->created };
	to->addresses.n = host->n_addresses;
	to->addresses.at = mem_new(host->n_addresses, sizeof(struct ip));
	for (uint32_t i = 0; i < host->n_addresses; i++)
		to->addresses.at[i] = host->addresses[i].ip;
}

void router_record(const struct router *router, struct record *ret)
{
	const struct router_record *from = &router->record;
	struct router_record *to = &ret->router;

	*ret = (struct record){ .kind = RECORD_ROUTER };
	snprintf(ret->id, sizeof(ret->id), "%s", router->object.name);
	*to = *from;
	to->site = mem_text(router->site->object.name);
	to->key = mem_text(from->key);
	to->endpoint = mem_text(from->endpoint);
	names_copy(&to->queue_routers, &from->queue_routers);
	to->queue_order = mem_text(from->queue_order);
	to->blocks.at = mem_new(from->blocks.n, sizeof(struct prefix));
	for (size_t i = 0; i < from->blocks.n; i++)
		to->blocks.at[i] = from->blocks.at[i];
}

void tiny_record(const struct tiny *tiny, struct record *ret)
{
	const struct tiny_record *from = &tiny->record;
	struct tiny_record *to = &ret->tiny;

	*ret = (struct record){ .kind = RECORD_TINY };
	snprintf(ret->id, sizeof(ret->id), "%s", tiny->object.name);
	*to = *from;
	to->key = mem_text(from->key);
	names_copy(&to->routers, &from->routers);
	to->addresses.at = mem_new(from->addresses.n, sizeof(struct ip));
	for (size_t i = 0; i < from->addresses.n; i++)
		to->addresses.at[i] = from->addresses.at[i];
	to->owner = mem_text(from->owner);
	to->source = mem_text(from->source);
	to->range = mem_text(from->range);
	to->token = mem_text(from->token);
	to->nonce = mem_text(from->nonce);
}

/* ---- all ----------------------------------------------------------------------- */

struct registry *registry_new(void)
{
	struct registry *r = mem_new(1, sizeof(*r));

	list_init(&r->relays);
	return r;
}

void registry_observe(struct registry *r, const struct registry_observer *observer)
{
	r->observer = observer;
}
