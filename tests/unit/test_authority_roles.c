/* links: libauthority libcommon */
/*
 * The whole matrix of operations and roles. What is expected is written down here as in
 * table 5-2 of the dissertation, with what we add to it; what the program has is another
 * table. Each cell is a request that nothing but the role can be in the way of, in a world
 * of its own. Then the same by one who has the role, but owns nothing.
 */
#include "tests/unit/authority_world.h"

static const char *const roles[] = { "vr", "adm", "sa", "vna", "eu" };

static const struct row {
	const char *operation;
	const char *may;   /* roles */
	const char *owner; /* those of them for whom it matters what they own */
} rows[] = {
	/* Table 5-2. */
	{ "register", "vr adm sa vna eu", "" },
	{ "list-sites", "sa vna +adm", "" },
	{ "list-routers", "vr +adm +sa", "" },
	{ "list-hosts", "sa vna eu +vr", "" },
	{ "vn-create", "sa vna eu", "sa vna eu" },
	{ "vn-shutdown", "vna", "vna" },
	{ "vn-merge", "vna", "vna" },
	{ "vn-split", "vna", "vna" },
	{ "list-vn-hosts", "vna eu", "vna eu" },
	{ "list-vns", "sa vna eu", "" },
	{ "vn-join", "sa vna eu +vr", "sa vna eu vr" },
	{ "vn-leave", "sa vna eu +vr", "sa vna eu vr" },
	{ "get-tables", "vr", "vr" },
	{ "update-tables", "vr", "vr" },
	{ "get-metrics", "vr +adm +sa", "" },
	{ "manage-users", "adm", "" },
	/* Ours. */
	{ "list-users", "+adm", "" },
	{ "vn-change", "+vna", "vna" },
	{ "vn-log", "+vna", "vna" },
	{ "vn-undo", "+vna", "vna" },
	{ "site-change", "+adm +sa", "sa" },
	{ "host-remove", "+sa +eu +vr", "sa eu vr" },
	{ "host-token", "+sa +eu", "sa eu" }, /* the owner */
	{ "address-assign", "+sa +vr", "sa vr" },
	{ "address-release", "+sa +vr", "sa vr" },
	{ "space-change", "+adm", "" },
	{ "block-assign", "+adm", "" },
	{ "block-release", "+adm", "" },
	{ "router-change", "+adm +sa", "sa" },
	{ "policy-set", "+sa", "sa" },
	{ "policy-remove", "+sa", "sa" },
	{ "list-policies", "+sa", "" },
	{ "token-create", "+adm +sa +vna", "sa vna" },
	{ "delegate", "+adm +sa +vna +eu", "" },
	{ "revoke", "+adm +sa +vna +eu", "sa vna eu" },
	{ "audit", "+adm", "" },
	{ "heartbeat", "+vr", "vr" },
	{ "check", "+adm +sa", "" },
	{ "renew", "+vr +adm +sa +vna +eu", "" },
	{ "steer", "", "" },
	{ "list-tinies", "+adm +sa +vna +eu", "" },
	{ "tiny-join", "", "" },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static bool has(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = words; (at = strstr(at, word)); at++)
		if ((at == words || at[-1] == ' ' || at[-1] == '+') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

/* For each role a user of this name, who administers site "here" and the VNs, and owns
 * hosts "own-ROLE", "in-ROLE". "no-ROLE": the same roles, owns nothing. Router "vr" is of
 * the site, "no-vr" of another. */
static void populate(struct world *w)
{
	world_init(w, "172.16.0.0/12");
	for (int i = 1; i < 5; i++) {
		char other[8];

		snprintf(other, sizeof(other), "no-%s", roles[i]);
		world_user(w, roles[i], roles[i]);
		world_user(w, other, roles[i]);
	}
	world_site(w, "vr", 1, "172.16.0.0/24");
	world_site(w, "no-vr", 2, "172.16.1.0/24");
	for (int i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "own-%s", roles[i]);
		world_host(w, name, "vr", i ? roles[i] : "root", NULL);
		snprintf(name, sizeof(name), "in-%s", roles[i]);
		world_host(w, name, "vr", i ? roles[i] : "root", NULL);
	}
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o,s:o}", "name", "mine", "id", 7, "hosts",
				 list("in-vr in-adm in-sa in-vna in-eu"), "users", list("*"))));
	assert_done(as(w, "root", "vn-create", json_pack("{s:s,s:i}", "name", "also", "id", 8)));
	for (int i = 7; i < 9; i++)
		assert_done(
			as(w, "root", "vn-change",
			   json_pack("{s:i,s:o}", "vn", i, "admins", list("root adm sa vna eu"))));
	/* That gave everybody the role vna: back to what they are. */
	for (int i = 1; i < 5; i++)
		assert_done(as(w, "root", "manage-users",
			       json_pack("{s:s,s:[s]}", "user", roles[i], "roles", roles[i])));
	assert_done(as(w, "root", "vn-leave",
		       json_pack("{s:i,s:o}", "vn", 7, "hosts", list("in-adm"))));
	assert_done(as(w, "root", "policy-set",
		       json_pack("{s:s,s:s,s:s,s:o}", "site", "vr", "name", "p", "effect", "permit",
				 "hosts", list("nothing"))));
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:s,s:I}", "hash", "tok", "registers", "host", "site",
				 "vr", "expires", (json_int_t)NOW + 100000)));
	assert_done(as(w, "root", "block-assign",
		       json_pack("{s:s,s:s}", "router", "vr", "block", "172.17.0.0/24")));
	assert_done(
		as(w, "root", "host-token", json_pack("{s:s,s:s}", "host", "own-vr", "hash", "h")));
	/* From here "here"'s administrators are all. */
	assert_done(as(w, "root", "site-change",
		       json_pack("{s:s,s:o}", "site", "vr", "admins", list("root adm sa vna eu"))));
}

static json_t *arguments_of(const char *o, const char *role)
{
	char own[16], in[16];

	snprintf(own, sizeof(own), "own-%s", role);
	snprintf(in, sizeof(in), "in-%s", role);
	if (!strcmp(o, "register"))
		return json_pack("{s:s,s:s,s:s}", "kind", "host", "name", "new", "router", "vr");
	if (!strcmp(o, "get-tables") || !strcmp(o, "update-tables") || !strcmp(o, "heartbeat"))
		return json_pack("{s:s}", "router", "vr");
	if (!strcmp(o, "vn-create"))
		return json_pack("{s:s,s:[s]}", "name", "new", "hosts", own);
	if (!strcmp(o, "vn-merge"))
		return json_pack("{s:[s,s],s:s}", "vns", "mine", "also", "name", "new");
	if (!strcmp(o, "vn-split"))
		return json_pack("{s:s,s:[{s:s,s:o},{s:s,s:o}]}", "vn", "mine", "groups", "name",
				 "x", "hosts", list("in-vr in-sa"), "name", "y", "hosts",
				 list("in-vna in-eu"));
	if (!strcmp(o, "vn-join"))
		return json_pack("{s:s,s:[s]}", "vn", "mine", "hosts", own);
	if (!strcmp(o, "vn-leave"))
		return json_pack("{s:s,s:[s]}", "vn", "mine", "hosts", in);
	if (!strcmp(o, "vn-shutdown") || !strcmp(o, "vn-log") || !strcmp(o, "vn-undo") ||
	    !strcmp(o, "list-vn-hosts"))
		return json_pack("{s:s}", "vn", "mine");
	if (!strcmp(o, "vn-change"))
		return json_pack("{s:s,s:s}", "vn", "mine", "name", "new");
	if (!strcmp(o, "manage-users"))
		return json_pack("{s:s,s:[s]}", "user", "no-eu", "roles", "vna");
	if (!strcmp(o, "site-change"))
		return json_pack("{s:s,s:s}", "site", "vr", "location", "x");
	if (!strcmp(o, "host-remove"))
		return json_pack("{s:s}", "host", own);
	if (!strcmp(o, "host-token"))
		return json_pack("{s:s,s:s}", "host", own, "hash", "h");
	if (!strcmp(o, "address-assign"))
		return json_pack("{s:s,s:s}", "host", own, "address", "172.16.0.99");
	if (!strcmp(o, "address-release"))
		return json_pack("{s:s,s:s}", "host", "own-vr", "address", "172.16.0.2");
	if (!strcmp(o, "space-change"))
		return json_pack("{s:[s,s]}", "blocks", "172.16.0.0/12", "fd00::/16");
	if (!strcmp(o, "block-assign"))
		return json_pack("{s:s}", "router", "vr");
	if (!strcmp(o, "block-release"))
		return json_pack("{s:s,s:s}", "router", "vr", "block", "172.17.0.0/24");
	if (!strcmp(o, "router-change"))
		return json_pack("{s:s,s:s}", "router", "vr", "endpoint", "x:1");
	if (!strcmp(o, "policy-set"))
		return json_pack("{s:s,s:s,s:s}", "site", "vr", "name", "q", "effect", "forbid");
	if (!strcmp(o, "policy-remove"))
		return json_pack("{s:s,s:s}", "site", "vr", "name", "p");
	if (!strcmp(o, "token-create") && !strcmp(role, "vna"))
		return json_pack("{s:s,s:s,s:s,s:I}", "hash", "h", "registers", "tiny", "vn",
				 "mine", "expires", (json_int_t)NOW + 100000);
	if (!strcmp(o, "token-create"))
		return json_pack("{s:s,s:s,s:s,s:I}", "hash", "h", "registers", "router", "site",
				 "vr", "expires", (json_int_t)NOW + 100000);
	if (!strcmp(o, "delegate"))
		return json_pack("{s:s,s:[s],s:I}", "hash", "h", "operations",
				 !strcmp(role, "adm") ? "list-users" : "list-vns", "expires",
				 (json_int_t)NOW + 100000);
	if (!strcmp(o, "revoke"))
		return json_pack("{s:s,s:s}", "kind", "credential", "name", "cred");
	return json_object();
}

/* The last thing before: what undo takes back, and what revoke revokes. */
static int request(struct world *w, const char *caller, const char *role, const char *operation)
{
	bool router = strstr(caller, "vr") != NULL;
	struct request q = { .caller = { router ? CALLER_ROUTER : CALLER_USER, caller, NULL },
			     .operation = operation };

	if (!strcmp(operation, "register"))
		q.token = "tok";
	if (!strcmp(operation, "revoke") && !router)
		assert_done(as(w, role, "delegate",
			       json_pack("{s:s,s:[s],s:I}", "hash", "cred", "operations",
					 !strcmp(role, "adm") ? "list-users" : "list-vns",
					 "expires", (json_int_t)NOW + 100000)));
	return world_ask(w, q, arguments_of(operation, role));
}

static void test_matrix(void **state)
{
	(void)state;
	assert_int_equal(ROWS, OPERATIONS);
	for (size_t i = 0; i < ROWS; i++)
		for (int k = 0; k < 5; k++) {
			struct world world, *w = &world;
			int status;

			populate(w);
			status = request(w, roles[k], roles[k], rows[i].operation);
			if (status != (has(rows[i].may, roles[k]) ? 200 : 403))
				fail_msg("%s by %s: %d %s", rows[i].operation, roles[k], status,
					 w->detail);
			world_done(w);
		}
}

/* What is in the paper's table and what is ours. */
static void test_paper(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		const struct operation_rule *rule =
			&operation_rules[operation_named(rows[i].operation)];

		for (int k = 0; k < 5; k++) {
			char ours[8];

			snprintf(ours, sizeof(ours), "+%s", roles[k]);
			assert_int_equal(!!(rule->ours & 1u << k),
					 strstr(rows[i].may, ours) != NULL);
			assert_int_equal(!!(rule->paper & 1u << k),
					 has(rows[i].may, roles[k]) && !strstr(rows[i].may, ours));
		}
	}
}

static void test_strangers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		for (int k = 0; k < 5; k++) {
			struct world world, *w = &world;
			char caller[8];
			int status;

			if (!has(rows[i].may, roles[k]))
				continue;
			populate(w);
			snprintf(caller, sizeof(caller), "no-%s", roles[k]);
			status = request(w, caller, roles[k], rows[i].operation);
			if (status != (has(rows[i].owner, roles[k]) ? 403 : 200))
				fail_msg("%s by no-%s: %d %s", rows[i].operation, roles[k], status,
					 w->detail);
			world_done(w);
		}
}

/* What somebody may by a credential of the role: operations on VNs, and what only shows. */
static void test_delegated(void **state)
{
	static const char may[] =
		"list-sites list-routers list-hosts list-vns list-vn-hosts list-users "
		"list-policies get-metrics check audit vn-create vn-shutdown vn-merge vn-split "
		"vn-join vn-leave vn-change vn-log vn-undo";

	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		for (int k = 1; k < 5; k++) {
			struct world world, *w = &world;
			const char *o = rows[i].operation;
			bool good = has(may, o) && has(rows[i].may, roles[k]);
			struct request q = { .caller = { CALLER_USER, roles[k], "cred" },
					     .operation = o };
			int status;

			populate(w);
			status = as(w, roles[k], "delegate",
				    json_pack("{s:s,s:[s],s:I}", "hash", "cred", "operations", o,
					      "expires", (json_int_t)NOW + 100000));
			assert_int_equal(status, good ? 200 : 403);
			if (status == 200)
				assert_done(world_ask(w, q, arguments_of(o, roles[k])));
			world_done(w);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_paper),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_delegated),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
