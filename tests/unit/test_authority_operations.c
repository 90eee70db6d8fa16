/* links: libauthority libcommon */
/*
 * What operations grant and refuse, and in which words: tokens, delegation, policies,
 * addresses, clashes, undo, dry runs. Whatever comes as arguments, the answer is one of
 * the refusals, and nothing is changed.
 */
#include "tests/unit/authority_world.h"

#include <errno.h>

static void begin(struct world *w)
{
	world_init(w, "172.16.0.0/12");
	world_site(w, "f", 1, "172.16.0.0/24");
	world_site(w, "g", 2, "172.16.1.0/24");
	world_user(w, "jane", "eu");
	world_user(w, "joe", "vna eu");
	world_host(w, "f1", "f", "jane", NULL);
	world_host(w, "f2", "f", "jane", NULL);
	world_host(w, "g1", "g", "joe", NULL);
	world_host(w, "g2", "g", "joe", NULL);
}

static int create(struct world *w, const char *user, const char *name, const char *hosts)
{
	return as(w, user, "vn-create", json_pack("{s:s,s:o}", "name", name, "hosts", list(hosts)));
}

static int member(struct world *w, const char *user, const char *operation, const char *vn,
		  const char *hosts)
{
	return as(w, user, operation, json_pack("{s:s,s:o}", "vn", vn, "hosts", list(hosts)));
}

static int named(struct world *w, const char *user, const char *operation, const char *vn)
{
	return as(w, user, operation, json_pack("{s:s}", "vn", vn));
}

/* ---- who may ------------------------------------------------------------------- */

static void test_ownership(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	/* Who creates a VN becomes its administrator. */
	assert_false(registry_user(w->registry, "jane")->record.roles & ROLE_VNA);
	assert_done(create(w, "jane", "v", "f1"));
	assert_true(registry_user(w->registry, "jane")->record.roles & ROLE_VNA);
	assert_refused(create(w, "joe", "v", ""), 409, "already");
	assert_refused(create(w, "joe", "u", "f2"), 403, "neither owns it");
	assert_refused(member(w, "joe", "vn-join", "v", "g1"), 403, "doesn't let 'joe' join");
	assert_refused(member(w, "jane", "vn-join", "v", "g1"), 403, "neither owns it");
	assert_done(
		as(w, "jane", "vn-change", json_pack("{s:s,s:[s]}", "vn", "v", "users", "joe")));
	assert_done(member(w, "joe", "vn-join", "v", "g1"));
	assert_refused(member(w, "joe", "vn-join", "v", "g1"), 409, "already in");
	assert_refused(member(w, "joe", "vn-leave", "v", "f1"), 403, "not the caller's");
	assert_done(create(w, "joe", "u", "g2"));
	/* A merge needs the administrator of both. */
	assert_refused(as(w, "jane", "vn-merge",
			  json_pack("{s:[s,s],s:s}", "vns", "v", "u", "name", "x")),
		       403, "other administrators");
	assert_refused(as(w, "joe", "vn-merge",
			  json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")),
		       403, "other administrators");
	assert_done(as(w, "joe", "vn-change",
		       json_pack("{s:s,s:[s,s]}", "vn", "u", "admins", "jane", "joe")));
	assert_done(as(w, "jane", "vn-merge",
		       json_pack("{s:[s,s],s:s}", "vns", "v", "u", "name", "x")));
	/* A router acts for the owner of its hosts. */
	assert_refused(as_router(w, "f", "vn-leave",
				 json_pack("{s:s,s:[s]}", "vn", "x", "hosts", "g1")),
		       403, "not the caller's");
	assert_done(
		as_router(w, "f", "vn-leave", json_pack("{s:s,s:[s]}", "vn", "x", "hosts", "f1")));
	assert_done(as(w, "jane", "host-token", json_pack("{s:s,s:s}", "host", "f1", "hash", "h")));
	assert_done(
		as_router(w, "f", "vn-join", json_pack("{s:s,s:[s]}", "vn", "x", "hosts", "f1")));
	/* Who is gone. */
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "user", "name", "joe")));
	assert_refused(named(w, "joe", "vn-shutdown", "x"), 403, "revoked");
	assert_refused(as(w, "root", "revoke",
			  json_pack("{s:s,s:s}", "kind", "user", "name", "root")),
		       409, "only one");
	assert_refused(as(w, "nobody", "list-vns", NULL), 403, "not registered");
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "f")));
	assert_refused(as_router(w, "f", "get-tables", NULL), 403, "revoked");
	world_done(w);
}

static int with_token(struct world *w, const char *token, const char *kind, const char *name)
{
	return world_ask(
		w, (struct request){ .operation = "register", .token = token, .certified = 1 },
		json_pack("{s:s,s:s}", "kind", kind, "name", name));
}

static int with_block(struct world *w, const char *token, const char *name, const char *block)
{
	return world_ask(
		w, (struct request){ .operation = "register", .token = token, .certified = 1 },
		json_pack("{s:s,s:s,s:s,s:[s]}", "kind", "router", "name", name, "key", name,
			  "blocks", block));
}

static void test_tokens(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_refused(with_token(w, NULL, "user", "x"), 401, "with a token");
	assert_refused(with_token(w, "none", "user", "x"), 403, "no such token");
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:[s],s:i,s:I}", "hash", "a", "registers", "user",
				 "roles", "eu", "count", 2, "expires", (json_int_t)w->now + 1000)));
	assert_refused(with_token(w, "a", "router", "x"), 403, "for a user");
	assert_refused(with_token(w, "a", "user", "jane"), 409, "taken");
	assert_refused(world_ask(w, (struct request){ .operation = "register", .token = "a" },
				 json_pack("{s:s,s:s,s:s}", "kind", "user", "name", "x", "key",
					   "another's")),
		       400, "'csr' is missing");
	assert_done(with_token(w, "a", "user", "x"));
	assert_int_equal(registry_user(w->registry, "x")->record.roles, ROLE_EU);
	assert_done(with_token(w, "a", "user", "y"));
	assert_refused(with_token(w, "a", "user", "z"), 403, "used up");
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:s,s:I}", "hash", "b", "registers", "router", "site",
				 "f", "expires", (json_int_t)w->now + 1000)));
	w->now += 1000;
	assert_refused(with_token(w, "b", "router", "x"), 403, "expired");
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:s,s:I}", "hash", "c", "registers", "router", "site",
				 "f", "expires", (json_int_t)w->now + 1000)));
	assert_done(with_token(w, "c", "router", "f-b"));
	assert_string_equal(registry_router(w->registry, "f-b")->site->object.name, "f");
	assert_int_equal(registry_router(w->registry, "f-b")->record.id, 3);
	/* A token of no site: each router begins one of its name, with the blocks it names. */
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:i,s:I}", "hash", "e", "registers", "router", "count",
				 3, "expires", (json_int_t)w->now + 1000)));
	assert_done(with_block(w, "e", "new", "172.31.7.0/24"));
	assert_string_equal(registry_router(w->registry, "new")->site->object.name, "new");
	assert_string_equal(registry_site(w->registry, "new")->record.admins.at[0], "root");
	assert_int_equal(registry_router(w->registry, "new")->record.blocks.n, 1);
	assert_refused(with_block(w, "e", "other", "172.31.7.128/25"), 409, "overlaps");
	assert_null(registry_site(w->registry, "other"));
	assert_refused(with_block(w, "e", "other", "10.0.0.0/24"), 409, "not in the space");
	assert_refused(with_block(w, "e", "new", "172.31.8.0/24"), 409, "taken");
	/* Only its administrators have others register at a site. */
	assert_refused(as(w, "jane", "token-create", json_pack("{s:s}", "hash", "d")), 403,
		       "roles");
	world_done(w);
}

/* A token is worth what its issuer may still do. */
static void test_issuers(void **state)
{
	static const char *const registers[] = { "router", "host" };
	struct world world, *w = &world;

	(void)state;
	begin(w);
	world_user(w, "amy", "adm");
	world_user(w, "sam", "sa");
	assert_done(as(w, "root", "site-change",
		       json_pack("{s:s,s:o}", "site", "f", "admins", list("root sam"))));
	assert_done(as(w, "amy", "token-create",
		       json_pack("{s:s,s:s,s:[s],s:i,s:I}", "hash", "a", "registers", "user",
				 "roles", "eu", "count", 9, "expires", (json_int_t)w->now + 1000)));
	for (int i = 0; i < 2; i++)
		assert_done(as(w, "sam", "token-create",
			       json_pack("{s:s,s:s,s:s,s:i,s:I}", "hash", registers[i], "registers",
					 registers[i], "site", "f", "count", 9, "expires",
					 (json_int_t)w->now + 1000)));
	assert_done(with_token(w, "a", "user", "x1"));
	assert_done(with_token(w, "router", "router", "r1"));
	assert_done(as(w, "root", "manage-users",
		       json_pack("{s:s,s:[s,s]}", "user", "amy", "roles", "sa", "eu")));
	assert_refused(with_token(w, "a", "user", "x2"), 403, "issuer");
	assert_done(as(w, "root", "manage-users",
		       json_pack("{s:s,s:[s]}", "user", "amy", "roles", "adm")));
	assert_done(with_token(w, "a", "user", "x2"));
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "user", "name", "amy")));
	assert_refused(with_token(w, "a", "user", "x3"), 403, "issuer");
	/* No longer of that site. */
	assert_done(as(w, "root", "site-change",
		       json_pack("{s:s,s:o}", "site", "f", "admins", list("root"))));
	assert_refused(with_token(w, "router", "router", "r2"), 403, "issuer");
	assert_refused(with_token(w, "host", "host", "h"), 403, "issuer");
	world_done(w);
}

static int delegated(struct world *w, const char *hash, const char *operation, json_t *arguments)
{
	return world_ask(w,
			 (struct request){ .caller = { CALLER_USER, "joe", hash },
					   .operation = operation },
			 arguments);
}

static void test_delegation(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_done(create(w, "joe", "v", "g1"));
	assert_done(create(w, "joe", "u", ""));
	assert_refused(as(w, "joe", "delegate",
			  json_pack("{s:s,s:[s],s:I}", "hash", "h", "operations", "manage-users",
				    "expires", (json_int_t)w->now + 1000)),
		       403, "can't be delegated");
	assert_refused(as(w, "joe", "delegate",
			  json_pack("{s:s,s:[s],s:I}", "hash", "h", "operations", "delegate",
				    "expires", (json_int_t)w->now + 1000)),
		       403, "can't be delegated");
	assert_refused(as(w, "root", "delegate",
			  json_pack("{s:s,s:[s],s:I}", "hash", "h", "operations", "token-create",
				    "expires", (json_int_t)w->now + 1000)),
		       403, "can't be delegated");
	assert_refused(as(w, "root", "delegate",
			  json_pack("{s:s,s:[s],s:I}", "hash", "h", "operations", "manage-users",
				    "expires", (json_int_t)w->now + 1000)),
		       403, "can't be delegated");
	assert_done(as(w, "joe", "delegate",
		       json_pack("{s:s,s:[s,s],s:[s],s:I}", "hash", "h", "operations", "vn-join",
				 "vn-create", "vns", "v", "expires", (json_int_t)w->now + 1000)));
	assert_done(
		delegated(w, "h", "vn-join", json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "g2")));
	assert_refused(delegated(w, "h", "vn-leave",
				 json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "g2")),
		       403, "not for the operation");
	assert_refused(delegated(w, "h", "vn-join",
				 json_pack("{s:s,s:[s]}", "vn", "u", "hosts", "g2")),
		       403, "isn't for VN 'u'");
	assert_refused(delegated(w, "h", "vn-create", json_pack("{s:s}", "name", "t")), 403,
		       "isn't for VN 't'");
	assert_refused(delegated(w, "other", "vn-join", NULL), 403, "no such credential");
	/* Another's credential is not one's own. */
	assert_refused(world_ask(w,
				 (struct request){ .caller = { CALLER_USER, "jane", "h" },
						   .operation = "vn-join" },
				 NULL),
		       403, "no such credential");
	assert_refused(as(w, "jane", "revoke",
			  json_pack("{s:s,s:s}", "kind", "credential", "name", "h")),
		       403, "another user's");
	w->now += 1000;
	assert_refused(delegated(w, "h", "vn-join", NULL), 403, "expired");
	w->now -= 900;
	assert_done(
		as(w, "joe", "revoke", json_pack("{s:s,s:s}", "kind", "credential", "name", "h")));
	assert_refused(delegated(w, "h", "vn-join", NULL), 403, "no such credential");
	world_done(w);
}

/* By a credential VNs are worked on, and nobody is made their administrator. */
static void test_administrators(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_done(create(w, "joe", "v", "g1"));
	assert_done(as(w, "joe", "delegate",
		       json_pack("{s:s,s:[s,s],s:I}", "hash", "h", "operations", "vn-change",
				 "vn-undo", "expires", (json_int_t)w->now + 1000)));
	assert_done(delegated(w, "h", "vn-change",
			      json_pack("{s:s,s:[s]}", "vn", "v", "users", "jane")));
	assert_refused(delegated(w, "h", "vn-change",
				 json_pack("{s:s,s:[s,s]}", "vn", "v", "admins", "joe", "jane")),
		       403, "administrators");
	assert_done(delegated(w, "h", "vn-undo", json_pack("{s:s}", "vn", "v")));
	/* What the user has taken away isn't given back by it. */
	assert_done(as(w, "joe", "vn-change",
		       json_pack("{s:s,s:[s,s]}", "vn", "v", "admins", "joe", "jane")));
	assert_done(
		as(w, "joe", "vn-change", json_pack("{s:s,s:[s]}", "vn", "v", "admins", "joe")));
	assert_refused(delegated(w, "h", "vn-undo", json_pack("{s:s}", "vn", "v")), 403,
		       "administrators");
	assert_done(as(w, "joe", "vn-undo", json_pack("{s:s}", "vn", "v")));
	world_done(w);
}

/* Nor is what outlasts a credential given by one that an older version has made. */
static void test_lasting(void **state)
{
	static const char *const operations[] = { "delegate", "manage-users", "token-create",
						  "register", "site-change",  "router-change",
						  "revoke",   "host-token" };
	enum { N = sizeof(operations) / sizeof(*operations) };
	struct world world, *w = &world;
	struct record rec = { .kind = RECORD_CREDENTIAL, .id = "old" };
	char error[RECORD_ERROR];
	struct registry_change c = { .key = "credential/old", .revision = 1000 };
	struct request q = { .caller = { CALLER_USER, "root", "old" }, .operation = "" };
	json_t *value;

	(void)state;
	begin(w);
	rec.credential.user = strdup("root");
	rec.credential.expires = w->now + 1000;
	names_insert(&rec.credential.vns, "*");
	for (int i = 0; i < N; i++)
		names_insert(&rec.credential.operations, operations[i]);
	c.value = value = record_encode(&rec);
	assert_int_equal(registry_apply(w->registry, &c, 1, error), 0);
	json_decref(value);
	record_done(&rec);
	for (int i = 0; i < N; i++) {
		q.operation = operations[i];
		assert_refused(world_ask(w, q, NULL), 403, "can't be used for");
	}
	world_done(w);
}

static int policy(struct world *w, const char *name, const char *effect, const char *hosts,
		  const char *creators, int from, int to)
{
	return as(w, "root", "policy-set",
		  json_pack("{s:s,s:s,s:s,s:o,s:o,s:i,s:i}", "site", "f", "name", name, "effect",
			    effect, "hosts", list(hosts), "creators", list(creators), "from", from,
			    "to", to));
}

static void test_policies(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w); /* at 22:13 */
	assert_refused(create(w, "joe", "v", "f1"), 403, "no policy of that site permits");
	assert_done(policy(w, "day", "permit", "*", "joe", 8 * 60, 18 * 60));
	assert_refused(create(w, "joe", "v", "f1"), 403, "no policy of that site permits");
	assert_done(policy(w, "night", "permit", "f1", "joe", 22 * 60, 6 * 60));
	assert_refused(create(w, "joe", "v", "f1 f2"), 403, "host 'f2'");
	assert_done(create(w, "joe", "v", "f1 g1"));
	assert_done(named(w, "joe", "vn-shutdown", "v"));
	/* What is forbidden is so for the owner as well, and in a merge. */
	assert_done(create(w, "jane", "v", "f1"));
	assert_done(policy(w, "closed", "forbid", "f1", "joe", 0, 0));
	assert_refused(create(w, "joe", "x", "f1"), 403, "policy 'f/closed' forbids host 'f1'");
	assert_done(as(w, "jane", "vn-change",
		       json_pack("{s:s,s:[s,s]}", "vn", "v", "admins", "jane", "joe")));
	assert_done(create(w, "joe", "u", "g1"));
	assert_refused(as(w, "joe", "vn-merge",
			  json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")),
		       403, "policy 'f/closed' forbids host 'f1'");
	assert_done(as(w, "root", "policy-remove",
		       json_pack("{s:s,s:s}", "site", "f", "name", "closed")));
	assert_done(
		as(w, "joe", "vn-merge", json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")));
	world_done(w);
}

/* ---- addresses ----------------------------------------------------------------- */

static int block(struct world *w, const char *router, const char *prefix)
{
	return as(w, "root", "block-assign",
		  json_pack("{s:s,s:s}", "router", router, "block", prefix));
}

static int host(struct world *w, const char *name, const char *router, const char *address)
{
	return as(w, "root", "register",
		  json_pack("{s:s,s:s,s:s,s:o*}", "kind", "host", "name", name, "router", router,
			    "addresses", address ? list(address) : NULL));
}

static void test_addresses(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_refused(block(w, "g", "172.16.0.0/25"), 409, "router 'f' has a block");
	assert_refused(block(w, "g", "172.16.0.0/16"), 409, "overlaps");
	assert_refused(block(w, "g", "10.0.0.0/24"), 409, "not in the space");
	assert_refused(block(w, "g", "172.16.1.0/24"), 409, "router 'g' has a block");
	assert_done(as(w, "root", "block-assign", json_pack("{s:s}", "router", "g")));
	assert_string_equal(json_string_value(json_object_get(w->result, "block")),
			    "172.16.2.0/24");
	/* Routers of one site share the very same. */
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:s}", "kind", "router", "name", "f-b", "site", "f")));
	assert_refused(block(w, "f-b", "172.16.0.0/25"), 409, "exactly the same");
	assert_done(block(w, "f-b", "172.16.0.0/24"));
	/* f1 and f2 have .2 and .3; .0, .1 and .255 are no host's. */
	assert_done(host(w, "f3", "f-b", NULL));
	assert_true(registry_host(w->registry, "f3")->addresses[0].ip.b[3] == 4);
	assert_refused(host(w, "f4", "f", "172.16.0.4"), 409, "is host 'f3''s");
	assert_refused(host(w, "f4", "f", "172.16.1.77"), 409, "in no block of router 'f'");
	assert_refused(as(w, "root", "block-release",
			  json_pack("{s:s,s:s}", "router", "f", "block", "172.16.0.0/24")),
		       409, "has an address of it");
	for (int i = 5; i < 255; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%d", i);
		assert_done(host(w, name, "f", NULL));
	}
	assert_refused(host(w, "y", "f", NULL), 409, "no free address");
	assert_done(as_router(w, "f", "host-remove", json_pack("{s:s}", "host", "x99")));
	assert_done(host(w, "y", "f", NULL));
	assert_true(registry_host(w->registry, "y")->addresses[0].ip.b[3] == 99);
	/* Physical ones: unique in a site, and in a VN. */
	assert_done(host(w, "p1", "f", "10.0.0.1"));
	assert_refused(host(w, "p2", "f-b", "10.0.0.1"), 409, "is host 'p1''s");
	assert_done(host(w, "p2", "g", "10.0.0.1"));
	assert_refused(create(w, "root", "v", "p1 p2"), 409, "both have 10.0.0.1");
	assert_done(create(w, "root", "v", "p1 f1"));
	assert_refused(member(w, "root", "vn-join", "v", "p2"), 409, "both have 10.0.0.1");
	assert_done(create(w, "root", "u", "p2 g1"));
	assert_refused(as(w, "root", "vn-merge",
			  json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")),
		       409, "both have 10.0.0.1");
	/* g1 would find 10.0.0.1 in both. */
	assert_refused(member(w, "root", "vn-join", "v", "g1"), 409, "ambiguous");
	/* f1 and g2 in two VNs together. */
	assert_done(member(w, "root", "vn-join", "v", "g2"));
	assert_refused(create(w, "root", "t", "f1 g2"), 409, "ambiguous");
	assert_done(create(w, "root", "t", "f1 x5"));
	/* Addresses don't change under a VN. */
	assert_refused(as(w, "root", "address-assign", json_pack("{s:s}", "host", "f1")), 409,
		       "has to leave first");
	assert_refused(as(w, "root", "host-remove", json_pack("{s:s}", "host", "f1")), 409,
		       "has to leave first");
	world_done(w);
}

/* ---- undo, dry run ------------------------------------------------------------- */

static void test_undo(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_done(create(w, "joe", "v", "g1 g2"));
	assert_done(named(w, "joe", "vn-shutdown", "v"));
	assert_null(registry_vn_named(w->registry, "v"));
	assert_done(as(w, "joe", "vn-log", json_pack("{s:i}", "vn", 1)));
	assert_refused(as(w, "root", "vn-undo", json_pack("{s:i}", "vn", 1)), 403,
		       "other administrators");
	assert_refused(as(w, "joe", "vn-undo", json_pack("{s:i}", "vn", 77)), 404, "no VN");
	assert_done(as(w, "joe", "vn-undo", json_pack("{s:i}", "vn", 1)));
	assert_int_equal(registry_vn(w->registry, 1)->n_members, 2);
	assert_done(as(w, "joe", "vn-change", json_pack("{s:s,s:[s]}", "vn", "v", "users", "*")));
	/* A host whose owner took it out does not come back without consent. */
	assert_done(member(w, "jane", "vn-join", "v", "f1"));
	assert_done(member(w, "jane", "vn-leave", "v", "f1"));
	assert_refused(named(w, "joe", "vn-undo", "v"), 403, "neither owns it");
	/* One whom the VN's administrator took out does. */
	assert_done(member(w, "jane", "vn-join", "v", "f1"));
	assert_done(member(w, "joe", "vn-leave", "v", "f1"));
	assert_done(named(w, "joe", "vn-undo", "v"));
	assert_int_equal(registry_vn(w->registry, 1)->n_members, 3);
	/* After a merge the two are merged, or one of them came back under another ID. */
	assert_done(create(w, "joe", "u", ""));
	assert_done(
		as(w, "joe", "vn-merge", json_pack("{s:[s,s],s:s}", "vns", "v", "u", "name", "x")));
	assert_done(create(w, "joe", "v", ""));
	assert_refused(named(w, "joe", "vn-undo", "x"), 409, "another VN 'v' now");
	assert_done(named(w, "joe", "vn-shutdown", "v"));
	assert_done(member(w, "joe", "vn-leave", "x", "g1"));
	assert_refused(as(w, "joe", "vn-undo", json_pack("{s:i}", "vn", 1)), 409,
		       "has changed since");
	assert_done(named(w, "joe", "vn-undo", "x"));
	assert_int_equal(registry_vn_named(w->registry, "x")->n_members, 3);
	world_done(w);
}

static void assert_json(const json_t *value, const char *text)
{
	char *is = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(is, text);
	free(is);
}

static void test_dry_run(void **state)
{
	struct world world, *w = &world;
	struct request q = { .caller = { CALLER_USER, "root", NULL }, .dry_run = true };

	(void)state;
	begin(w);
	assert_done(create(w, "root", "v", "f1 f2"));
	assert_done(create(w, "root", "u", "g1 g2"));
	q.operation = "vn-merge";
	assert_done(world_ask(w, q, json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")));
	assert_json(json_object_get(w->result, "reach"),
		    "{\"gain\":[[0,1]],\"groups\":[[\"g1\",\"g2\"],[\"f1\",\"f2\"]],\"lose\":[]}");
	assert_null(registry_vn_named(w->registry, "x"));
	q.operation = "vn-leave";
	assert_done(world_ask(w, q, json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "f1")));
	assert_json(json_object_get(w->result, "reach"),
		    "{\"gain\":[],\"groups\":[[\"f1\"],[\"f2\"]],\"lose\":[[0,1]]}");
	q.operation = "vn-shutdown";
	assert_done(world_ask(w, q, json_pack("{s:s}", "vn", "v")));
	assert_json(json_object_get(w->result, "reach"),
		    "{\"gain\":[],\"groups\":[[\"f1\",\"f2\"]],\"lose\":[[0,0]]}");
	assert_int_equal(registry_vn_named(w->registry, "v")->n_members, 2);
	world_done(w);
}

/* ---- hostile ------------------------------------------------------------------- */

/* Each argument of each operation, alone and with the others, as anything. */
static void test_arguments(void **state)
{
	static const char *const values[] = {
		"null",
		"true",
		"-1",
		"0",
		"4294967296",
		"1.5",
		"\"\"",
		"\"v\"",
		"\"f1\"",
		"\"..\"",
		"\"172.16.0.0/24\"",
		"[]",
		"[null]",
		"[\"f1\",\"f1\"]",
		"[\"*\"]",
		"[\"a b\"]",
		"[[],{}]",
		"{}",
		"{\"vn\":{}}",
		"[{\"name\":\"q\"},{\"hosts\":[1]}]",
		"[\"v\",\"v\"]",
		"\"a\\u0001\"",
	};
	struct world world, *w = &world;
	struct registry *same;
	json_t *before, *after;
	uint64_t revision;

	(void)state;
	begin(w);
	assert_done(create(w, "root", "v", "f1"));
	before = world_dump(w->registry);
	revision = w->revision;
	for (enum operation o = 0; o < OPERATIONS; o++)
		for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
			for (size_t k = 0; k < sizeof(values) / sizeof(*values); k++) {
				char names[300], *rest = names, *name;
				json_t *arguments = json_object();

				snprintf(names, sizeof(names), "%s", operation_rules[o].arguments);
				for (bool first = true; (name = strsep(&rest, " ")); first = !first)
					if (*name && values[first ? i : k])
						json_object_set_new(
							arguments, name,
							json_loads(values[first ? i : k],
								   JSON_DECODE_ANY, NULL));
				world_ask(w,
					  (struct request){ .caller = { CALLER_USER, "root", NULL },
							    .operation = operation_rules[o].name,
							    .dry_run = true },
					  arguments);
				assert_true(w->status == 200 || w->status == 400 ||
					    w->status == 401 || w->status == 403 ||
					    w->status == 404 || w->status == 409);
			}
	assert_true(w->revision > revision);
	after = world_dump(w->registry);
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
	same = world_reload(w);
	registry_free(same);
	assert_refused(as(w, "root", "nothing", NULL), 404, "no operation");
	assert_refused(as(w, "root", "vn-shutdown", json_pack("{s:s,s:s}", "vn", "v", "n", "x")),
		       400, "'n' is not an argument");
	assert_refused(as(w, "root", "vn-shutdown", json_array()), 400, "not an object");
	world_done(w);
}

/* A registry takes nothing that refers to what isn't there. */
static void test_dangling(void **state)
{
	struct world world, *w = &world;
	char error[RECORD_ERROR];
	static const struct {
		const char *key, *value;
	} bad[] = {
		{ "vn/9", "{\"name\":\"z\",\"creator\":\"root\",\"admins\":[],\"users\":[],"
			  "\"members\":[\"nobody\"],\"created\":0,\"change\":\"x\"}" },
		{ "host/z", "{\"router\":\"nowhere\",\"owner\":\"root\",\"addresses\":[],"
			    "\"key\":\"\",\"created\":0}" },
		{ "policy/nowhere/z", "{\"effect\":\"permit\",\"hosts\":[],\"vns\":[],"
				      "\"creators\":[],\"from\":0,\"to\":0}" },
		{ "vn/9", "7" },
		{ "user/jane", NULL }, /* owns hosts */
		{ "router/f", NULL },
		{ "site/f", NULL },
		{ "host/f1", NULL },
		{ "nothing", NULL },
	};

	(void)state;
	begin(w);
	assert_done(create(w, "root", "v", "f1"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		json_t *value =
			bad[i].value ? json_loads(bad[i].value, JSON_DECODE_ANY, NULL) : NULL;
		struct registry_change c = { bad[i].key, value, 99 };

		*error = '\0';
		assert_int_equal(registry_apply(w->registry, &c, 1, error), -EINVAL);
		assert_true(*error);
		json_decref(value);
	}
	world_done(w);
}

/* A caller's words are cut by bytes: what is said of them is still a text. */
static void test_words(void **state)
{
	struct world world, *w = &world;
	char name[65], vn[66];
	json_t *text;

	(void)state;
	begin(w);
	for (int i = 0; i < 32; i++)
		memcpy(name + 2 * i, "\xc3\xa9", 3);
	snprintf(vn, sizeof(vn), "%s", name);
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			assert_refused(as(w, name, "renew", NULL), 403, "user '???");
		else if (i == 1)
			assert_refused(as_router(w, name, "renew", NULL), 403, "router '???");
		else
			assert_refused(named(w, "joe", "vn-shutdown", vn), 404, "VN '???");
		text = json_string(w->detail);
		assert_non_null(text);
		json_decref(text);
	}
	world_done(w);
}

/* ---- hosts that ask by way of their router ------------------------------------- */

static int as_host(struct world *w, const char *router, const char *name, const char *key,
		   const char *operation, const char *token, json_t *arguments)
{
	return world_ask(w,
			 (struct request){
				 .caller = { CALLER_ROUTER, router, .host = name, .host_key = key },
				 .operation = operation,
				 .token = token },
			 arguments);
}

static int register_as(struct world *w, const char *router, const char *name, const char *key,
		       const char *token)
{
	return as_host(w, router, name, key, "register", token,
		       json_pack("{s:s,s:s}", "kind", "host", "name", name));
}

static int address_as(struct world *w, const char *name, const char *key, const char *address)
{
	return as_host(w, "f", name, key, "address-assign", NULL,
		       json_pack("{s:s,s:s}", "host", name, "address", address));
}

static const char *result_address(const struct world *w, size_t i)
{
	const char *text =
		json_string_value(json_array_get(json_object_get(w->result, "addresses"), i));

	return text ? text : "";
}

static void test_hosts(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:s,s:i,s:I}", "hash", "t", "registers", "host", "site",
				 "f", "count", 2, "expires", (json_int_t)NOW + 100000)));
	/* A host registers with a token, and again with its secret alone. */
	assert_refused(register_as(w, "f", "n", "k", NULL), 403, "with a token");
	assert_refused(register_as(w, "g", "n", "k", "t"), 403, "for site 'f'");
	assert_refused(as_host(w, "f", "n", "k", "register", "t",
			       json_pack("{s:s,s:s}", "kind", "host", "name", "other")),
		       403, "registers itself");
	assert_done(register_as(w, "f", "n", "k", "t"));
	assert_string_equal(registry_host(w->registry, "n")->owner->object.name, "root");
	assert_int_equal(registry_token(w->registry, "t")->record.used, 1);
	assert_done(register_as(w, "f", "n", "k", "t"));
	assert_int_equal(w->n_changes, 1);
	assert_int_equal(registry_token(w->registry, "t")->record.used, 1);
	assert_refused(register_as(w, "f", "n", "another", "t"), 403, "not its secret");
	assert_refused(register_as(w, "g", "n", "k", "t"), 403, "another router's");
	assert_refused(register_as(w, "f", "f1", "k", "t"), 403, "vinectl host token");
	assert_done(register_as(w, "f", "o", "l", "t"));
	assert_refused(register_as(w, "f", "p", "m", "t"), 403, "used up");
	/* Its address is the same whenever it asks. f1, f2 have .2 and .3. */
	assert_done(address_as(w, "n", "k", ""));
	assert_string_equal(result_address(w, 0), "172.16.0.4");
	assert_int_equal(w->n_changes, 1);
	assert_done(address_as(w, "o", "l", ""));
	assert_string_equal(result_address(w, 0), "172.16.0.5");
	assert_done(as(w, "root", "address-release",
		       json_pack("{s:s,s:s}", "host", "n", "address", "172.16.0.4")));
	assert_done(address_as(w, "n", "k", "10.0.0.7"));
	assert_done(address_as(w, "n", "k", "10.0.0.7"));
	assert_string_equal(result_address(w, 1), "");
	assert_refused(address_as(w, "o", "l", "10.0.0.7"), 409, "is host 'n''s");
	assert_done(address_as(w, "n", "k", ""));
	assert_string_equal(result_address(w, 1), "172.16.0.4");
	/* Wrong secrets, and others' names. */
	assert_refused(address_as(w, "n", "l", ""), 403, "not its secret");
	assert_refused(address_as(w, "nobody", "l", ""), 403, "not registered");
	assert_refused(as_host(w, "f", "n", "k", "address-assign", NULL,
			       json_pack("{s:s}", "host", "o")),
		       403, "its router's and site's");
	/* VNs, as its owner might. */
	assert_done(create(w, "root", "v", "g1"));
	assert_done(as_host(w, "f", "n", "k", "vn-join", NULL,
			    json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "n")));
	assert_refused(as_host(w, "f", "n", "k", "vn-join", NULL,
			       json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "o")),
		       403, "not the caller's");
	assert_done(address_as(w, "n", "k", "")); /* in a VN too */
	assert_done(as_host(w, "f", "n", "k", "list-hosts", NULL, NULL));
	assert_int_equal(json_array_size(json_object_get(w->result, "hosts")), 1);
	assert_done(as_router(w, "f", "list-hosts", NULL));
	assert_int_equal(json_array_size(json_object_get(w->result, "hosts")), 4);
	assert_refused(as_host(w, "f", "o", "l", "vn-leave", NULL,
			       json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "n")),
		       403, "not the caller's");
	assert_done(as_host(w, "f", "n", "k", "vn-leave", NULL,
			    json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "n")));
	/* Nothing that is the router's own. */
	assert_refused(as_host(w, "f", "n", "k", "get-tables", NULL,
			       json_pack("{s:s}", "router", "f")),
		       403, "nothing that hosts ask for");
	assert_refused(as_host(w, "f", "n", "k", "list-routers", NULL, NULL), 403,
		       "nothing that hosts ask for");
	assert_refused(as_host(w, "f", "n", "k", "register", "t",
			       json_pack("{s:s,s:s}", "kind", "router", "name", "n")),
		       403, "registers itself alone");
	/* A new secret ends the old one. Nobody but a router asks for hosts. */
	assert_done(as(w, "root", "host-token", json_pack("{s:s,s:s}", "host", "n", "hash", "z")));
	assert_refused(address_as(w, "n", "k", ""), 403, "not its secret");
	assert_done(address_as(w, "n", "z", ""));
	assert_refused(world_ask(w,
				 (struct request){ .caller = { CALLER_USER, "root", .host = "n",
							       .host_key = "z" },
						   .operation = "list-hosts" },
				 NULL),
		       403, "only a router");
	world_done(w);
}

/* A router acts for the owners of its own hosts, if they have let it: else it could name
 * anybody as owner, and so come into any VN. */
static void test_owners(void **state)
{
	struct world world, *w = &world;
	json_t *join = json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "spy");

	(void)state;
	begin(w);
	assert_done(create(w, "joe", "v", "g1"));
	assert_done(as_router(w, "f", "register",
			      json_pack("{s:s,s:s,s:s}", "kind", "host", "name", "spy", "owner",
					"joe")));
	assert_refused(as_router(w, "f", "vn-join", json_incref(join)), 403, "has no secret");
	/* Nobody else makes one. */
	assert_refused(as(w, "root", "host-token",
			  json_pack("{s:s,s:s}", "host", "spy", "hash", "s")),
		       403, "only its owner");
	assert_done(as(w, "joe", "host-token", json_pack("{s:s,s:s}", "host", "spy", "hash", "s")));
	assert_refused(as_router(w, "g", "vn-join", json_incref(join)), 403, "not the caller's");
	/* Whatever another site permits, and to whomever. */
	assert_done(as(w, "root", "policy-set",
		       json_pack("{s:s,s:s,s:s}", "site", "f", "name", "all", "effect", "permit")));
	assert_refused(as_router(w, "g", "vn-join", json_incref(join)), 403, "not the caller's");
	assert_refused(as_host(w, "f", "spy", "s", "vn-join", NULL,
			       json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "f1")),
		       403, "not the caller's");
	assert_done(as_host(w, "f", "spy", "s", "vn-join", NULL, json_incref(join)));
	assert_done(as_router(w, "f", "vn-leave", json_incref(join)));
	assert_done(as_router(w, "f", "vn-join", json_incref(join)));
	assert_done(as_router(w, "f", "vn-leave", json_incref(join)));
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "user", "name", "joe")));
	assert_refused(as_host(w, "f", "spy", "s", "vn-join", NULL, json_incref(join)), 403,
		       "was revoked");
	json_decref(join);
	world_done(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ownership),      cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_delegation),     cmocka_unit_test(test_policies),
		cmocka_unit_test(test_addresses),      cmocka_unit_test(test_undo),
		cmocka_unit_test(test_dry_run),	       cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_issuers),	       cmocka_unit_test(test_lasting),
		cmocka_unit_test(test_dangling),       cmocka_unit_test(test_words),
		cmocka_unit_test(test_hosts),	       cmocka_unit_test(test_owners),
		cmocka_unit_test(test_administrators),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
