/*
 * An authority without its store and its callers: a registry, and beside it the records
 * as a store would keep them. Each request is decided, its conditions are checked against
 * the store, and what comes out is applied.
 */
#ifndef TESTS_AUTHORITY_WORLD_H
#define TESTS_AUTHORITY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "authority/journal.h"
#include "authority/operation.h"
#include "authority/tables.h"

#define NOW 1700000000000ull /* 22:13 UTC */
#define UNUSED __attribute__((unused))

struct world {
	struct registry *registry;
	struct journal *journal; /* NULL: none, it is the test's */
	json_t *store;		 /* key -> {"value", "revision"} */
	uint64_t revision, now;
	unsigned requests;
	/* Of the last request. */
	int status;
	char detail[400];
	json_t *result;
	size_t n_changes;
};

static UNUSED void world_commit(struct world *w, const struct outcome *o)
{
	struct registry_change *changes = calloc(o->n, sizeof(*changes));
	char error[RECORD_ERROR] = "";

	w->revision++;
	for (size_t i = 0; i < o->n; i++) {
		const struct change *c = &o->changes[i];
		const json_t *was = json_object_get(w->store, c->key);
		uint64_t revision = (uint64_t)json_integer_value(json_object_get(was, "revision"));

		assert_true(c->expect != EXPECT_ABSENT || !was);
		assert_true(c->expect != EXPECT_REVISION || (was && revision == c->revision));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(o->changes[k].key, c->key);
		if (c->value)
			json_object_set_new(w->store, c->key,
					    json_pack("{s:O,s:I}", "value", c->value, "revision",
						      (json_int_t)w->revision));
		else
			json_object_del(w->store, c->key);
		changes[i] = (struct registry_change){ c->key, c->value, w->revision };
	}
	if (w->journal ? journal_apply(w->journal, w->registry, changes, o->n, w->revision, error)
		       : registry_apply(w->registry, changes, o->n, error))
		fail_msg("apply: %s", error);
	free(changes);
}

static UNUSED void world_init(struct world *w, const char *space)
{
	struct prefix p;
	struct blocks blocks = { 1, &p };
	struct outcome o;

	assert_int_equal(prefix_parse(space, &p), 0);
	*w = (struct world){ .registry = registry_new(), .store = json_object(), .now = NOW };
	operation_begin("root", "key", &blocks, NOW, &o);
	world_commit(w, &o);
	outcome_done(&o);
}

static UNUSED void world_done(struct world *w)
{
	registry_free(w->registry);
	json_decref(w->store);
	json_decref(w->result);
}

/* The last change in the log of a VN; NULL: none. */
static UNUSED const char *world_last_change(const struct world *w, uint32_t vn)
{
	char prefix[32];
	const char *key, *last = NULL;
	json_t *value;

	snprintf(prefix, sizeof(prefix), "log/%u/", vn);
	json_object_foreach(w->store, key, value)
	{
		const char *id = key + strlen(prefix);

		if (!strncmp(key, prefix, strlen(prefix)) && (!last || strcmp(id, last) > 0))
			last = id;
	}
	return last;
}

static UNUSED uint32_t world_vn(const struct world *w, const json_t *name)
{
	const struct vn *vn;

	if (json_is_integer(name))
		return (uint32_t)json_integer_value(name);
	vn = json_is_string(name) ? registry_vn_named(w->registry, json_string_value(name)) : NULL;
	return vn ? vn->id : 0;
}

/* Takes over the arguments. The status. */
static UNUSED int world_ask(struct world *w, struct request q, json_t *arguments)
{
	const json_t *audit, *allowed;
	char id[24], key[RECORD_KEY];
	struct outcome o;

	snprintf(id, sizeof(id), "%06u", ++w->requests);
	q.id = id;
	q.now = w->now++;
	q.arguments = arguments;
	if (!strcmp(q.operation, "vn-undo") || !strcmp(q.operation, "vn-log")) {
		q.change_id = world_last_change(w, world_vn(w, json_object_get(arguments, "vn")));
		snprintf(key, sizeof(key), "change/%s", q.change_id ? q.change_id : "");
		q.change = json_object_get(json_object_get(w->store, key), "value");
	}
	operate(w->registry, &q, &o);
	assert_true(o.n >= 1);
	assert_true(!strncmp(o.changes[o.n - 1].key, "audit/", 6));
	audit = o.changes[o.n - 1].value;
	allowed = json_object_get(audit, "allowed");
	assert_true(json_is_true(allowed) == (o.status == 200));
	if (o.status != 200 || q.dry_run)
		assert_int_equal(o.n, 1);
	w->status = o.status;
	strcpy(w->detail, o.detail);
	json_decref(w->result);
	w->result = json_incref(o.result);
	w->n_changes = o.n;
	world_commit(w, &o);
	outcome_done(&o);
	json_decref(arguments);
	return w->status;
}

static UNUSED int as(struct world *w, const char *user, const char *operation, json_t *arguments)
{
	return world_ask(w,
			 (struct request){ .caller = { CALLER_USER, user, NULL },
					   .operation = operation },
			 arguments);
}

static UNUSED int as_router(struct world *w, const char *router, const char *operation,
			    json_t *arguments)
{
	return world_ask(w,
			 (struct request){ .caller = { CALLER_ROUTER, router, NULL },
					   .operation = operation },
			 arguments);
}

#define assert_done(call) \
	do { \
		if ((call) != 200) \
			fail_msg("refused: %s", w->detail); \
	} while (0)

/* Refused so, for a reason in which this text occurs. */
#define assert_refused(call, code, text) \
	do { \
		assert_int_equal(call, code); \
		if (!strstr(w->detail, text)) \
			fail_msg("other words: %s", w->detail); \
	} while (0)

/* A list of names: "a b c". */
static UNUSED json_t *list(const char *names)
{
	json_t *l = json_array();
	char *text = strdup(names), *rest = text, *name;

	while ((name = strsep(&rest, " ")))
		if (*name)
			json_array_append_new(l, json_string(name));
	free(text);
	return l;
}

/* A site of root's with one router of the same name, ID and block. */
static UNUSED void world_site(struct world *w, const char *name, uint32_t id, const char *block)
{
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:o}", "kind", "site", "name", name, "admins",
				 list("root"))));
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:s,s:s,s:i}", "kind", "router", "name", name, "site",
				 name, "key", name, "id", (int)id)));
	assert_done(as(w, "root", "block-assign",
		       json_pack("{s:s,s:s}", "router", name, "block", block)));
}

static UNUSED void world_host(struct world *w, const char *name, const char *router,
			      const char *owner, const char *address)
{
	assert_done(
		as(w, "root", "register",
		   json_pack("{s:s,s:s,s:s,s:s,s:o*}", "kind", "host", "name", name, "router",
			     router, "owner", owner, "addresses", address ? list(address) : NULL)));
}

static UNUSED void world_user(struct world *w, const char *name, const char *roles)
{
	assert_done(
		as(w, "root", "register",
		   json_pack("{s:s,s:s,s:o}", "kind", "user", "name", name, "roles", list(roles))));
}

/* A VM that comes into a VN of root's, or again with another key. */
static UNUSED void world_tiny(struct world *w, const char *vn, const char *name,
			      const char *address, const char *routers, const char *key)
{
	if (!registry_token(w->registry, "t"))
		assert_done(as(w, "root", "token-create",
			       json_pack("{s:s,s:s,s:s,s:i,s:I}", "hash", "t", "registers", "tiny",
					 "vn", vn, "count", 9, "expires",
					 (json_int_t)w->now + 3600000)));
	assert_done(world_ask(w, (struct request){ .operation = "tiny-join", .token = "t" },
			      json_pack("{s:s,s:o,s:s,s:s,s:o,s:s,s:s}", "name", name, "addresses",
					list(address), "source", "192.0.2.1", "range", "r",
					"routers", list(routers), "key", key, "nonce", name)));
}

/* Everything that a registry holds, for comparison. */
static UNUSED json_t *world_dump(const struct registry *r)
{
	json_t *all = json_object();
	const struct host *h;
	const struct vn *vn;
	const struct router *router;
	const struct object *o;
	struct record rec;
	char key[RECORD_KEY];
	size_t place = 0;

	while ((h = registry_each(r, RECORD_HOST, &place))) {
		json_t *vns = json_array();

		for (uint32_t i = 0; i < h->n_vns; i++)
			json_array_append_new(vns, json_integer(h->vns[i]->id));
		host_record(h, &rec);
		snprintf(key, sizeof(key), "host/%s", h->object.name);
		json_object_set_new(all, key,
				    json_pack("{s:o,s:o,s:I}", "record", record_encode(&rec), "vns",
					      vns, "revision", (json_int_t)h->object.revision));
		record_done(&rec);
	}
	for (place = 0; (vn = registry_each(r, RECORD_VN, &place));) {
		json_t *members = json_array();

		for (size_t i = 0; i < vn->n_members; i++)
			json_array_append_new(members, json_string(vn->members[i]->object.name));
		vn_record(vn, &rec);
		snprintf(key, sizeof(key), "vn/%u", vn->id);
		json_object_set_new(all, key,
				    json_pack("{s:o,s:o,s:I}", "record", record_encode(&rec),
					      "order", members, "revision",
					      (json_int_t)vn->object.revision));
		record_done(&rec);
		assert_ptr_equal(registry_vn(r, vn->id), vn);
	}
	for (place = 0; (router = registry_each(r, RECORD_ROUTER, &place));) {
		size_t n = 0;

		list_for_each(node, &router->hosts)
			n++;
		router_record(router, &rec);
		snprintf(key, sizeof(key), "router/%s", router->object.name);
		json_object_set_new(all, key,
				    json_pack("{s:o,s:I,s:I}", "record", record_encode(&rec),
					      "hosts", (json_int_t)n, "revision",
					      (json_int_t)router->object.revision));
		record_done(&rec);
		assert_ptr_equal(registry_router_id(r, router->record.id), router);
	}
	for (int kind = RECORD_USER; kind < RECORD_CHANGE; kind++)
		for (place = 0; (o = registry_each(r, (enum record_kind)kind, &place));) {
			snprintf(key, sizeof(key), "%d/%s", kind, o->name);
			json_object_set_new(all, key, json_integer((json_int_t)o->revision));
		}
	json_object_set_new(all, "order",
			    json_pack("[I,I,I]", (json_int_t)registry_order(r)->record.n,
				      (json_int_t)registry_order(r)->record.next_vn,
				      (json_int_t)registry_order(r)->object.revision));
	return all;
}

/* The store read from the beginning. */
static UNUSED struct registry *world_reload(const struct world *w)
{
	struct registry *r = registry_new();
	size_t n = json_object_size(w->store), i = 0;
	struct registry_change *changes = calloc(n, sizeof(*changes));
	char error[RECORD_ERROR] = "";
	const char *key;
	json_t *value;

	json_object_foreach(w->store, key, value)
	{
		changes[i++] = (struct registry_change){
			key, json_object_get(value, "value"),
			(uint64_t)json_integer_value(json_object_get(value, "revision"))
		};
	}
	if (registry_apply(r, changes, n, error))
		fail_msg("apply: %s", error);
	free(changes);
	return r;
}

#endif
