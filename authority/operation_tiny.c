/*
 * Tinies: VMs that are let into a VN by a token, with an address of their own, by way of a
 * full router.
 *
 * Who asks is the download server, for a VM: which routers are best, and whether the tiny
 * that has the address now is gone, it has found out. What is decided here is one
 * transaction: the token is used once, and there is one more host, its tiny, and member of
 * the VN. So two VMs are never given one identity, however many ask at once.
 *
 * A VM that hasn't heard the answer asks again, by its nonce: within TINY_AGAIN it is given
 * the same identity with another key, and the token isn't used again. The key of before is
 * good for nothing more, so that still one VM has it at most.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_addresses.h"

#define TINY_AGAIN (10 * 60 * 1000) /* ms */

/* What was asked for. */
struct joining {
	const struct token *token; /* NULL: the range needs none */
	const struct vn *vn;
	const struct router *router; /* the designated one */
	const char *name, *source, *range, *key, *nonce, *owner;
	struct addresses addresses;
	struct names routers; /* in order */
};

/* ---- what it takes to be out ---------------------------------------------------- */

/* The VNs as they are, and as they will be: without the one host (or NULL), with the other
 * one in one of them (or NULL). */
static bool commit_hosts(struct task *t, const struct host *goes, const struct vn *into,
			 const struct host *comes)
{
	const struct vn *was[64];
	struct record is[64];
	size_t n = 0;

	if (goes && goes->n_vns > 63)
		return refuse(t, 409, "tiny '%s' is in more than 63 VNs", goes->object.name);
	for (uint32_t i = 0; goes && i < goes->n_vns; i++)
		was[n++] = goes->vns[i];
	if (into && !(goes && vn_has(into, goes)))
		was[n++] = into;
	for (size_t i = 0; i < n; i++) {
		vn_record(was[i], &is[i]);
		if (goes)
			names_remove(&is[i].vn.members, goes->object.name);
		if (was[i] == into)
			names_insert(&is[i].vn.members, comes->object.name);
	}
	if (!n)
		return true;
	return commit_vns(t, was, n, is, n);
}

static void drop_host(struct task *t, const struct host *host)
{
	char key[RECORD_KEY];

	snprintf(key, sizeof(key), "host/%s", host->object.name);
	change_delete(t, key, &host->object);
	change_order(t, 0, 0, NULL);
}

/* Whether the caller may see it, and take it out again. */
static bool owns_tiny(const struct task *t, const struct tiny *tiny)
{
	const struct vn *vn = registry_vn(t->registry, tiny->record.vn);

	if (!t->user)
		return false;
	if (t->roles & ROLE_ADM || (vn && owns_vn(t, vn)) ||
	    (t->roles & ROLE_EU && !strcmp(tiny->record.owner, t->user->object.name)))
		return true;
	return tiny->host && owns_site(t, tiny->host->router->site);
}

/* The caller's own that this argument names. NULL: refused. */
static const struct tiny *argument_tiny(struct task *t, const char *argument)
{
	const struct tiny *tiny;
	const char *name;

	if (!argument_name(t, argument, &name))
		return NULL;
	tiny = registry_tiny(t->registry, name);
	if (!tiny)
		refuse(t, 404, "there is no tiny '%s'", name);
	else if (!owns_tiny(t, tiny))
		refuse(t, 403, "tiny '%s' is not the caller's", name);
	else
		return tiny;
	return NULL;
}

bool revoke_tiny(struct task *t)
{
	const struct tiny *tiny = argument_tiny(t, "name");
	struct record rec;

	if (!tiny)
		return false;
	if (tiny->record.revoked)
		return refuse(t, 409, "tiny '%s' is revoked already", tiny->object.name);
	if (!commit_hosts(t, tiny->host, NULL, NULL))
		return false;
	drop_host(t, tiny->host);
	tiny_record(tiny, &rec);
	rec.tiny.revoked = true;
	change_record(t, &rec, &tiny->object);
	return true;
}

/* ---- coming in ------------------------------------------------------------------ */

static void joining_done(struct joining *j)
{
	free(j->addresses.at);
	names_done(&j->routers);
}

static bool take_vn(struct task *t, struct joining *j)
{
	if (!j->token) {
		j->vn = named_vn(t, "vn");
		return j->vn && argument_name(t, "owner", &j->owner) &&
		       (registry_user(t->registry, j->owner) ||
			refuse(t, 404, "there is no user '%s'", j->owner));
	}
	j->vn = registry_vn(t->registry, j->token->record.vn);
	j->owner = j->token->record.issuer;
	return j->vn ? true : refuse(t, 409, "the token's VN has been shut down");
}

static bool take_words(struct task *t, struct joining *j)
{
	struct ip ip;

	if (!argument_text(t, "source", IP_TEXT, &j->source) ||
	    !argument_text(t, "range", RECORD_NAME, &j->range) ||
	    !argument_text(t, "name", 40, &j->name) || !argument_text(t, "key", 1024, &j->key) ||
	    (argument(t, "addresses") && !argument_name(t, "nonce", &j->nonce)))
		return false;
	if (ip_parse(j->source, &ip) || (argument(t, "addresses") && !*j->key))
		return refuse(t, 400, "'key' or 'source' is missing");
	return !*j->name || name_valid(j->name) ? true : refuse(t, 400, "'name' is no name");
}

/* Routers are tried in order: the first at whose site the addresses are free is the
 * designated one, and others at which they are too are those that it may go over to. */
static bool take_routers(struct task *t, struct joining *j)
{
	const json_t *list = argument(t, "routers");
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n && j->routers.n < RECORD_TINY_ROUTERS; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		const struct router *router = name ? registry_router(t->registry, name) : NULL;
		struct addresses addresses = { 0 };

		if (!router || !router_active(router) ||
		    !addresses_from(t, router, argument(t, "addresses"), &addresses)) {
			free(addresses.at);
			continue;
		}
		j->routers.at = mem_grow(j->routers.at, j->routers.n + 1, sizeof(*j->routers.at));
		j->routers.at[j->routers.n++] = mem_text(name);
		if (j->router) {
			free(addresses.at);
			continue;
		}
		j->router = router;
		j->addresses = addresses;
	}
	if (!j->router)
		return t->outcome->status != 200
			       ? false /* as the last one said */
			       : refuse(t, 409,
					"no router that VMs can connect to is there for "
					"this one");
	t->outcome->status = 200;
	t->outcome->title = "OK";
	t->outcome->detail[0] = '\0';
	return true;
}

/* The tiny that has one of the addresses; NULL: none has. */
static const struct tiny *tiny_at(const struct task *t)
{
	json_t *list = (json_t *)argument(t, "addresses"), *text;
	size_t i;

	json_array_foreach(list, i, text)
	{
		const struct host *h;
		size_t place = 0;
		struct ip ip;

		if (!json_is_string(text) || ip_parse(json_string_value(text), &ip))
			continue;
		while ((h = registry_at(t->registry, &ip, &place)))
			if (h->tiny)
				return h->tiny;
	}
	return NULL;
}

static bool same_addresses(const struct task *t, const struct tiny *tiny)
{
	const json_t *list = argument(t, "addresses");
	const struct addresses *l = &tiny->record.addresses;
	bool same = json_array_size(list) == l->n;

	for (size_t i = 0; same && i < l->n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct ip ip;

		same = text && !ip_parse(text, &ip) && ip_equal(&ip, &l->at[i]);
	}
	return same;
}

/* Whether it is this VM that asks, which hasn't heard the answer. */
static bool is_again(const struct task *t, const struct tiny *tiny, const char *nonce,
		     const char *source)
{
	const struct tiny_record *r = &tiny->record;
	const char *token = t->request->token ? t->request->token : "";
	const struct token *live = registry_token(t->registry, token);

	if (*token && !live)
		return false;
	return !strcmp(r->nonce, nonce) && !strcmp(r->token, token) && !strcmp(r->source, source) &&
	       same_addresses(t, tiny) && t->request->now >= r->created &&
	       t->request->now - r->created < TINY_AGAIN;
}

/* One that its router doesn't see any more, of the same VN and cloud: its VM is gone, and
 * the address is another one's now. */
static bool is_gone(const struct task *t, const struct tiny *tiny, const struct vn *vn,
		    const char *range)
{
	const json_t *list = argument(t, "gone");

	if (!*range || strcmp(tiny->record.range, range) || tiny->record.vn != vn->id)
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name && !strcmp(name, tiny->object.name))
			return true;
	}
	return false;
}

static void show_joined(struct task *t, const char *name, const struct tiny_record *r, bool again)
{
	const struct vn *vn = registry_vn(t->registry, r->vn);

	set_result(t, mem_json(json_pack("{s:s,s:I,s:s,s:o,s:b}", "name", name, "id",
					 (json_int_t)r->id, "vn", vn ? vn->object.name : "",
					 "routers", names_json(&r->routers), "again", again)));
	snprintf(t->target, sizeof(t->target), "%s from %s", name, r->source);
}

static bool join_again(struct task *t, const struct tiny *tiny, const char *key)
{
	struct record rec;

	tiny_record(tiny, &rec);
	free(rec.tiny.key);
	rec.tiny.key = mem_text(key);
	show_joined(t, rec.id, &rec.tiny, true);
	change_record(t, &rec, &tiny->object);
	return true;
}

static uint32_t free_id(const struct task *t)
{
	uint32_t id = registry_order(t->registry)->record.next_router;

	while (!id || registry_router_id(t->registry, id) || registry_tiny_id(t->registry, id))
		id++;
	return id;
}

static bool is_free(const struct task *t, const char *name)
{
	return !registry_host(t->registry, name) && !registry_tiny(t->registry, name);
}

/* What it wants to be called if that is free; else with its ID behind it. */
static void choose_name(const struct task *t, const struct joining *j, uint32_t id,
			char ret[static RECORD_NAME + 1])
{
	const char *base = *j->name ? j->name : "vm";

	snprintf(ret, RECORD_NAME + 1, "%s", base);
	if (*j->name && is_free(t, ret))
		return;
	snprintf(ret, RECORD_NAME + 1, "%.40s-%u", base, (unsigned)id);
	for (unsigned i = 2; !is_free(t, ret); i++)
		snprintf(ret, RECORD_NAME + 1, "%.40s-%u-%u", base, (unsigned)id, i);
}

static void put_host(struct task *t, const struct joining *j, const char *name)
{
	struct record rec = { .kind = RECORD_HOST };

	snprintf(rec.id, sizeof(rec.id), "%s", name);
	rec.host = (struct host_record){ .router = mem_text(j->router->object.name),
					 .owner = mem_text(j->owner),
					 .key = mem_text(""),
					 .created = t->request->now };
	rec.host.addresses.n = j->addresses.n;
	rec.host.addresses.at = mem_new(j->addresses.n, sizeof(struct ip));
	for (size_t i = 0; i < j->addresses.n; i++)
		rec.host.addresses.at[i] = j->addresses.at[i];
	change_record(t, &rec, NULL);
}

static void put_tiny(struct task *t, struct joining *j, const char *name, uint32_t id)
{
	struct record rec = { .kind = RECORD_TINY };

	snprintf(rec.id, sizeof(rec.id), "%s", name);
	rec.tiny = (struct tiny_record){
		.id = id,
		.key = mem_text(j->key),
		.routers = j->routers,
		.addresses = j->addresses,
		.vn = j->vn->id,
		.owner = mem_text(j->owner),
		.source = mem_text(j->source),
		.range = mem_text(j->range),
		.token = mem_text(j->token ? j->token->object.name : ""),
		.nonce = mem_text(j->nonce),
		.created = t->request->now,
	};
	j->routers = (struct names){ 0 };
	j->addresses = (struct addresses){ 0 };
	show_joined(t, name, &rec.tiny, false);
	change_record(t, &rec, NULL);
}

/* One more, perhaps in the place of another one. */
static bool join(struct task *t, struct joining *j, const struct tiny *instead)
{
	const struct user *owner = registry_user(t->registry, j->owner);
	uint32_t id = free_id(t);
	char name[RECORD_NAME + 1], key[RECORD_KEY];
	struct host_address *addresses;
	struct host host = { .router = (struct router *)j->router, .owner = (struct user *)owner };
	bool good;

	choose_name(t, j, id, name);
	addresses = mem_new(j->addresses.n, sizeof(*addresses));
	for (size_t i = 0; i < j->addresses.n; i++)
		addresses[i] = (struct host_address){ j->addresses.at[i], &host };
	host.object.name = name;
	host.addresses = addresses;
	host.n_addresses = (uint32_t)j->addresses.n;
	t->comes = &host;
	change_order(t, 0, id, NULL); /* before others do, without the ID */
	good = commit_hosts(t, t->goes, j->vn, &host);
	t->comes = NULL;
	free(addresses);
	if (!good)
		return false;
	if (instead) {
		snprintf(key, sizeof(key), "tiny/%s", instead->object.name);
		change_delete(t, key, &instead->object);
		drop_host(t, instead->host);
	}
	put_host(t, j, name);
	put_tiny(t, j, name, id);
	return true;
}

bool operation_tiny_join(struct task *t)
{
	struct joining j = { 0 };
	const struct tiny *there = tiny_at(t);
	bool good;

	if (!take_words(t, &j))
		return false;
	snprintf(t->target, sizeof(t->target), "%s from %s", j.name, j.source);
	if (there && is_again(t, there, j.nonce, j.source))
		return join_again(t, there, j.key);
	if (!use_token(t, &j.token))
		return false;
	if (j.token && j.token->record.registers != TOKEN_TINY)
		return refuse(t, 403, "the token is not for a tiny");
	if (j.token && !*j.range && !j.token->record.anywhere)
		return refuse(t, 403, "%s is in no range of addresses that is known here",
			      j.source);
	if (!take_vn(t, &j))
		return false;
	if (!argument(t, "addresses")) /* whether it would be let in, as far as is known */
		return t->request->dry_run ? true : refuse(t, 400, "'addresses' is missing");
	if (there && !is_gone(t, there, j.vn, j.range))
		there = NULL;
	t->goes = there ? there->host : NULL;
	good = take_routers(t, &j) && join(t, &j, there);
	joining_done(&j);
	return good;
}

/* ---- going over ----------------------------------------------------------------- */

static bool may_move(struct task *t, const struct tiny *tiny, const struct router *to)
{
	bool may = false;

	if (!tiny || !tiny->host || tiny->host->router == to)
		return false;
	for (size_t i = 0; i < tiny->record.routers.n; i++)
		may |= !strcmp(tiny->record.routers.at[i], to->object.name);
	t->goes = tiny->host;
	for (size_t i = 0; may && i < tiny->record.addresses.n; i++)
		may = check_address(t, to, &tiny->record.addresses.at[i]);
	t->goes = NULL;
	return may;
}

/* Those that can't are left where they are: they are asked for again. */
bool steer_tinies(struct task *t, const struct router *to)
{
	struct names names;
	struct record rec;
	size_t moved = 0;

	if (!argument_names(t, "tinies", false, false, &names))
		return false;
	for (size_t i = 0; i < names.n; i++) {
		const struct tiny *tiny = registry_tiny(t->registry, names.at[i]);

		if (!may_move(t, tiny, to))
			continue;
		host_record(tiny->host, &rec);
		free(rec.host.router);
		rec.host.router = mem_text(to->object.name);
		change_record(t, &rec, &tiny->host->object);
		moved++;
	}
	names_done(&names);
	if (!moved)
		return refuse(t, 409, "none of these tinies can be router '%s''s", to->object.name);
	t->outcome->status = 200;
	t->outcome->title = "OK";
	t->outcome->detail[0] = '\0';
	change_order(t, 0, 0, NULL);
	return true;
}

/* ---- shown ---------------------------------------------------------------------- */

static json_t *show_tiny(const struct task *t, const struct tiny *tiny)
{
	json_t *all = mem_json(json_object()), *vns = mem_json(json_array()), *value;
	struct record rec;

	(void)t;
	tiny_record(tiny, &rec);
	value = record_encode(&rec);
	record_done(&rec);
	json_object_del(value, "nonce");
	json_object_del(value, "vn");
	json_object_set_new(all, "name", mem_json(json_string(tiny->object.name)));
	json_object_update_missing(all, value);
	json_decref(value);
	for (uint32_t i = 0; tiny->host && i < tiny->host->n_vns; i++)
		json_array_append_new(vns, mem_json(json_string(tiny->host->vns[i]->object.name)));
	json_object_set_new(all, "vns", vns);
	if (tiny->host)
		json_object_set_new(all, "router",
				    mem_json(json_string(tiny->host->router->object.name)));
	return all;
}

static int compare_tinies(const void *a, const void *b)
{
	return strcmp((*(const struct tiny *const *)a)->object.name,
		      (*(const struct tiny *const *)b)->object.name);
}

bool operation_list_tinies(struct task *t)
{
	const struct tiny **all, *tiny;
	json_t *list = mem_json(json_array());
	size_t n = 0, place = 0;

	set_result(t, mem_json(json_pack("{s:o}", "tinies", list)));
	if (argument(t, "tiny")) {
		tiny = argument_tiny(t, "tiny");
		if (!tiny)
			return false;
		json_array_append_new(list, show_tiny(t, tiny));
		return true;
	}
	all = mem_new(registry_count(t->registry, RECORD_TINY), sizeof(*all));
	while ((tiny = registry_each(t->registry, RECORD_TINY, &place)))
		if (owns_tiny(t, tiny))
			all[n++] = tiny;
	if (n)
		qsort(all, n, sizeof(*all), compare_tinies);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, show_tiny(t, all[i]));
	free(all);
	return true;
}
