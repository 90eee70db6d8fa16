/* links: libauthority libcommon */
/*
 * Processes of one authority, in turn and at the same time, on both stores: a later one
 * reads the store as of where publishing is, and gives routers what the one before did.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authority/tables.h"
#include "tests/unit/process_world.h"

/* The first round of what the store says: its step; -1: there is none. */
static int step_of(const struct process *p)
{
	uint64_t at;
	const struct published *state = service_published(p->service, &at);

	return state && state->n ? (int)state->rounds[0].step : -1;
}

static void wait_for_step(struct process *p, int step)
{
	int64_t end = ms_now() + SOON;

	while (step_of(p) != step && ms_now() < end)
		turn(p);
	assert_int_equal(step_of(p), step);
}

static void assert_given(const struct process *p, const struct publish_status *expected)
{
	struct publish_status is;

	assert_true(push_publishes(p->push));
	assert_true(publish_status(push_publish(p->push), 1, &is));
	assert_int_equal(version_compare(is.given, expected->given), 0);
	assert_int_equal(is.step, expected->step);
}

static void networks(struct process *p)
{
	static const char *const routers[] = { "r1", "r2" };

	ask(p, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	for (int i = 0; i < 2; i++) {
		char block[32], host[32];

		ask(p, "register",
		    json_pack("{s:s,s:s,s:s,s:s,s:i}", "kind", "router", "name", routers[i], "site",
			      "s", "key", routers[i], "id", i + 1));
		snprintf(block, sizeof(block), "172.16.%d.0/24", i);
		ask(p, "block-assign",
		    json_pack("{s:s,s:s}", "router", routers[i], "block", block));
		for (int k = 0; k < 2; k++) {
			snprintf(host, sizeof(host), "h%d%d", i, k);
			ask(p, "register",
			    json_pack("{s:s,s:s,s:s,s:s}", "kind", "host", "name", host, "router",
				      routers[i], "owner", "root"));
		}
	}
	ask(p, "vn-create", json_pack("{s:s,s:[s,s]}", "name", "a", "hosts", "h00", "h10"));
	ask(p, "vn-create", json_pack("{s:s,s:[s,s]}", "name", "b", "hosts", "h01", "h11"));
}

static void one_after_the_other(struct store *store)
{
	struct process a, b, c;
	struct publish_status given;

	fill(store);
	start(&a, store);
	networks(&a);
	push_begin(a.push, 0);
	wait_for_step(&a, -1);
	ask(&a, "vn-merge", json_pack("{s:[s,s],s:s}", "vns", "a", "b", "name", "c"));
	/* no router is there to confirm the first step */
	wait_for_step(&a, 1);
	assert_true(publish_status(push_publish(a.push), 1, &given));
	assert_int_equal(given.step, 1);
	/* one that has known all the time, and one that starts */
	start(&b, store);
	assert_int_equal(registry_count(service_registry(b.service), RECORD_VN), 1);
	assert_true(service_revision(b.service) > service_revision(a.service));
	ask(&b, "vn-create", json_pack("{s:s}", "name", "d"));
	stop(&a);
	start(&c, store);
	assert_int_equal(step_of(&c), 1);
	push_begin(b.push, 0);
	assert_given(&b, &given);
	push_begin(c.push, 0);
	assert_given(&c, &given);
	/* one of them writes how far it is: the other one begins again, and has the same */
	for (int i = 0; i < 100; i++) {
		turn(&b);
		turn(&c);
	}
	for (int i = 0; i < 100 && !push_publishes(b.push); i++)
		turn(&b);
	assert_given(&b, &given);
	assert_non_null(registry_vn_named(service_registry(b.service), "c"));
	assert_null(registry_vn_named(service_registry(b.service), "a"));
	assert_int_equal(registry_count(service_registry(b.service), RECORD_VN), 2);
	assert_false(b.lost || c.lost);
	stop(&b);
	stop(&c);
}

/* The store knows nothing any more of where publishing was. */
static void forgotten(struct store *store)
{
	struct process a, b;
	struct publish_status given = { 0 };

	fill(store);
	start(&a, store);
	networks(&a);
	push_begin(a.push, 0);
	ask(&a, "vn-merge", json_pack("{s:[s,s],s:s}", "vns", "a", "b", "name", "c"));
	wait_for_step(&a, 1);
	stop(&a);
	assert_int_equal(store_trim(store, put(store, "started", "{}")), 0);
	start(&b, store);
	push_begin(b.push, 0);
	assert_true(publish_status(push_publish(b.push), 1, &given));
	assert_int_equal(given.step, STEP_LAST);
	assert_int_equal(given.given.number, service_revision(b.service) * IMAGE_STEPS + STEP_LAST);
	stop(&b);
}

static void test_sqlite(void **state)
{
	(void)state;
	with_sqlite(one_after_the_other, "one.db");
}

static void test_etcd(void **state)
{
	(void)state;
	with_etcd(one_after_the_other, "one");
}

static void test_forgotten_sqlite(void **state)
{
	(void)state;
	with_sqlite(forgotten, "forgotten.db");
}

static void test_forgotten_etcd(void **state)
{
	(void)state;
	with_etcd(forgotten, "forgotten");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_etcd),
		cmocka_unit_test(test_forgotten_sqlite),
		cmocka_unit_test(test_forgotten_etcd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("authority_resume", tests, begin_all, end_all);
}
