/* links: common/table common/table_new common/table_update common/table_rows
 * common/table_conflicts common/vector common/lpm common/lpm_change common/addr */
/*
 * The tables: the sample of the documentation, every kind of conflict with its
 * words, and small random tables against a walk over their rows.
 */
#include "common/table.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/table_world.h"

static void refuse(struct complaints *c, const struct lndt_row *l, size_t n_l,
		   const struct gndt_row *g, size_t n_g)
{
	memset(c, 0, sizeof(*c));
	assert_null(table_new(SELF, l, n_l, g, n_g, 7, complain, c));
	assert_null(table_new(SELF, l, n_l, g, n_g, 7, NULL, NULL));
}

static void test_sample(void **arg)
{
	const struct lndt_row l[] = {
		LNDT(8000, 0, "172.16.0.0/24", 36),
		LNDT(8000, 0, "fd00:76:0:1::/64", 36),
		LNDT(8001, 0, "172.16.0.20", 37),
	};
	const struct gndt_row g[] = {
		GNDT(8001, PURDUE, "172.16.10.16/28", 50),
		GNDT(8000, PURDUE, "172.16.20.0/24", 44),
		GNDT(8000, CHICAGO, "172.16.10.0/24", 43),
		GNDT(8000, CHICAGO, "fd00:76:0:10::/64", 43),
		GNDT(9000, CHICAGO, "172.16.10.0/24", 60),
		GNDT(8000, SELF, "172.16.0.0/24", 45),
	};
	struct table *t = build(l, COUNT(l), g, COUNT(g));
	char buf[128];
	uint32_t net = 0;
	struct ip a;

	(void)arg;
	assert_int_equal(table_version(t), 7);
	assert_int_equal(table_networks(t), 3);
	assert_int_equal(table_slot(t, 8000), 0);
	assert_int_equal(table_slot(t, 9000), 2);
	assert_int_equal(table_slot(t, 8002), UINT32_MAX);
	assert_null(table_network(t, 3));
	assert_true(table_slots(t) >= 3);

	assert_string_equal(networks_of(t, 0, "172.16.0.7", buf), "8000");
	assert_string_equal(networks_of(t, 0, "172.16.0.20", buf), "8000 8001");
	assert_string_equal(networks_of(t, 0, "fd00:76:0:1::9", buf), "8000");
	assert_string_equal(networks_of(t, 0, "172.16.1.1", buf), "");
	assert_string_equal(networks_of(t, 1, "172.16.0.7", buf), "");
	assert_string_equal(networks_of(t, 65535, "172.16.0.7", buf), "");

	assert_int_equal(router_for(t, "172.16.0.7", "172.16.10.17", &net), CHICAGO);
	assert_int_equal(net, 8000);
	assert_int_equal(router_for(t, "172.16.0.20", "172.16.10.17", &net), PURDUE);
	assert_int_equal(net, 8001);
	assert_int_equal(router_for(t, "172.16.0.20", "172.16.10.1", &net), CHICAGO);
	assert_int_equal(net, 8000);
	assert_int_equal(router_for(t, "172.16.0.7", "172.16.30.1", &net), 0);
	/* The site's own members are routes to the router itself. */
	assert_int_equal(router_for(t, "172.16.0.20", "172.16.0.7", &net), SELF);
	assert_int_equal(net, 8000);
	assert_int_equal(router_for(t, "172.16.0.20", "172.16.0.20", &net), SELF);
	assert_int_equal(net, 8001);

	a = ip("172.16.0.20");
	assert_true(lndt_is_member(t, 1, &a));
	a = ip("172.16.0.21");
	assert_true(lndt_is_member(t, 0, &a));
	assert_false(lndt_is_member(t, 1, &a));
	assert_false(lndt_is_member(t, 2, &a));
	assert_false(lndt_is_member(t, 3, &a));
	assert_null(gndt_lookup(t, 3, &a, NULL));
	table_free(t);
	table_free(NULL);
}

static bool count_lndt(void *arg, const struct lndt_row *row)
{
	(void)row;
	return --*(size_t *)arg != 0;
}

static void test_empty(void **arg)
{
	struct table *t = build(NULL, 0, NULL, 0);
	struct ip a = ip("10.0.0.1");
	size_t n = 9;

	(void)arg;
	assert_int_equal(table_networks(t), 0);
	assert_int_equal(table_slots(t), 0);
	assert_null(lndt_lookup(t, 0, &a));
	assert_null(gndt_lookup(t, 0, &a, NULL));
	assert_int_equal(table_slot(t, 0), UINT32_MAX);
	assert_true(table_lndt(t, 0, count_lndt, &n) == SIZE_MAX);
	assert_int_equal(n, 9);
	table_free(t);
}

/* What a listing gave, up to `most` at a time. */
struct listed {
	size_t n, most;
	struct lndt_row l[8];
	struct gndt_row g[8];
};

static bool take_lndt(void *arg, const struct lndt_row *row)
{
	struct listed *l = arg;

	if (l->n == l->most)
		return false;
	l->l[l->n++] = *row;
	return true;
}

static bool take_gndt(void *arg, const struct gndt_row *row)
{
	struct listed *l = arg;

	if (l->n == l->most)
		return false;
	l->g[l->n++] = *row;
	return true;
}

/* Listings are in order, in pages of any size; a row that comes twice counts once. */
static void test_listing(void **arg)
{
	char name[] = "r.conf";
	struct lndt_row l[] = {
		LNDT(8001, 0, "10.0.1.0/24", 3),
		LNDT(8000, 3, "10.0.0.9", 2),
		LNDT(8000, 0, "10.0.0.0/24", 1),
		LNDT(8000, 0, "10.0.0.0/24", 5),
	};
	struct gndt_row g[] = {
		GNDT(8001, CHICAGO, "::/0", 9),	       GNDT(8000, CHICAGO, "10.2.0.0/16", 8),
		GNDT(8000, CHICAGO, "10.1.0.0/16", 7), GNDT(8000, CHICAGO, "10.1.0.0/16", 6),
		GNDT(8001, SELF, "10.0.1.0/24", 10),
	};
	struct table *t;

	(void)arg;
	for (size_t i = 0; i < COUNT(l); i++)
		l[i].file = name;
	g[0].file = NULL;
	t = build(l, COUNT(l), g, COUNT(g));
	memset(name, 'x', sizeof(name) - 1);
	memset(l, 0xee, sizeof(l));
	memset(g, 0xee, sizeof(g));
	for (size_t page = 1; page < 6; page++) {
		struct listed got = { .most = 0 };
		size_t at = 0;

		while (at != SIZE_MAX) {
			got.most = got.n + page;
			at = table_lndt(t, at, take_lndt, &got);
		}
		assert_int_equal(got.n, 3);
		for (size_t i = 0; i < got.n; i++) {
			assert_int_equal(got.l[i].line, i + 1);
			assert_string_equal(got.l[i].file, "r.conf");
		}
		assert_int_equal(got.l[1].attachment, 3);
		for (at = got.n = 0; at != SIZE_MAX;) {
			got.most = got.n + page;
			at = table_gndt(t, at, take_gndt, &got);
		}
		assert_int_equal(got.n, 4);
		assert_int_equal(got.g[0].line, 6);
		assert_int_equal(got.g[0].network, 8000);
		assert_int_equal(got.g[1].line, 8);
		assert_int_equal(got.g[2].line, 10);
		assert_int_equal(got.g[2].router, SELF);
		assert_int_equal(got.g[3].line, 9);
		assert_null(got.g[3].file);
	}
	assert_true(gndt_names(t, table_slot(t, 8001), CHICAGO));
	assert_false(gndt_names(t, table_slot(t, 8001), PURDUE));
	assert_false(gndt_names(t, UINT32_MAX, CHICAGO));
	table_free(t);
}

static void test_two_routers(void **arg)
{
	const struct lndt_row l[] = { LNDT(8000, 0, "172.16.0.0/24", 3) };
	const struct gndt_row g[] = {
		GNDT(8000, CHICAGO, "172.16.10.0/24", 41),
		GNDT(8000, PURDUE, "172.16.10.0/24", 42),
		GNDT(8000, PURDUE, "172.16.0.0/24", 43),
		GNDT(8000, PURDUE, "172.16.0.0/25", 44),
	};
	struct complaints c;

	(void)arg;
	refuse(&c, l, COUNT(l), g, COUNT(g));
	assert_int_equal(c.n, 2);
	assert_string_equal(c.text[0],
			    "172.16.0.0/24 is a member of this site in network 8000, but router 3 "
			    "is to deliver it: which is right? (the other one: r.conf:3)");
	assert_int_equal(c.line[0], 43);
	assert_string_equal(c.text[1],
			    "172.16.10.0/24 is in network 8000 for router 2 and for router 3: "
			    "which of them delivers it? (the other one: r.conf:41)");
	assert_int_equal(c.line[1], 42);
	/* The same in two networks that share nobody is nobody's trouble. */
	table_free(build(l, 1, g, 1));
}

static void test_ambiguous(void **arg)
{
	const struct lndt_row shared[] = {
		LNDT(8000, 0, "172.16.0.0/24", 1),
		LNDT(8001, 0, "172.16.0.20", 2),
		LNDT(8002, 0, "172.16.9.0/24", 3),
	};
	const struct lndt_row apart[] = {
		LNDT(8000, 0, "172.16.0.0/24", 1),
		LNDT(8001, 5, "172.16.0.20", 2), /* another host: on an attachment of its own */
		LNDT(8002, 0, "172.16.9.0/24", 3),
	};
	struct gndt_row g[] = {
		GNDT(8000, CHICAGO, "172.16.10.0/24", 41),
		GNDT(8001, CHICAGO, "172.16.10.0/24", 51),
		GNDT(8002, CHICAGO, "172.16.10.0/24", 61),
		GNDT(8000, CHICAGO, "0.0.0.0/0", 42),
		GNDT(8001, PURDUE, "0.0.0.0/0", 52),
		GNDT(8000, CHICAGO, "::/0", 43),
		GNDT(8001, PURDUE, "::/0", 53),
		GNDT(8001, PURDUE, "172.16.0.0/24", 54), /* a member prefix of 8000 */
		GNDT(8001, PURDUE, "172.16.10.0/25", 55),
	};
	struct complaints c;

	(void)arg;
	refuse(&c, shared, COUNT(shared), g, COUNT(g));
	assert_int_equal(c.n, 4);
	assert_string_equal(
		c.text[0],
		"0.0.0.0/0 is in networks 8000 and 8001, which both have member "
		"172.16.0.20: which of them should carry it? (the other one: r.conf:42)");
	assert_int_equal(c.line[0], 52);
	assert_non_null(strstr(c.text[1], "172.16.0.0/24 is in networks 8000 and 8001,"));
	assert_int_equal(c.line[1], 54);
	assert_string_equal(
		c.text[2],
		"172.16.10.0/24 is in networks 8000 and 8001, which both have member "
		"172.16.0.20: which of them should carry it? (the other one: r.conf:41)");
	assert_int_equal(c.line[2], 51);
	assert_int_equal(c.line[3], 53);
	table_free(build(apart, COUNT(apart), g, COUNT(g)));

	g[0].file = NULL;
	refuse(&c, shared, COUNT(shared), g, 2);
	assert_int_equal(c.n, 1);
	assert_string_equal(c.text[0], "172.16.10.0/24 is in networks 8000 and 8001, which both "
				       "have member 172.16.0.20: which of them should carry it?");
}

/* Networks whose members overlap: three of them share hosts in two ways, and
 * each line is named; member prefixes that coincide are no conflict. */
static void test_many_shared(void **arg)
{
	const struct lndt_row l[] = {
		LNDT(1, 0, "10.0.0.0/24", 1),
		LNDT(2, 0, "10.0.0.0/24", 2),
		LNDT(3, 0, "10.0.0.64/26", 3),
		LNDT(4, 0, "10.0.0.128/26", 4),
	};
	const struct gndt_row g[] = {
		GNDT(1, CHICAGO, "10.9.0.0/16", 11), GNDT(2, CHICAGO, "10.8.0.0/16", 12),
		GNDT(3, CHICAGO, "10.9.0.0/16", 13), GNDT(4, CHICAGO, "10.9.0.0/16", 14),
		GNDT(4, PURDUE, "10.7.0.0/16", 15),  GNDT(3, PURDUE, "10.7.0.0/16", 16),
	};
	struct complaints c;
	struct table *t;
	uint32_t net;
	char buf[128];

	(void)arg;
	refuse(&c, l, COUNT(l), g, COUNT(g));
	assert_int_equal(c.n, 2);
	assert_int_equal(c.line[0], 13);
	assert_non_null(strstr(c.text[0], "networks 1 and 3, which both have member 10.0.0.64/26"));
	assert_non_null(strstr(c.text[0], "r.conf:11"));
	assert_int_equal(c.line[1], 14);
	assert_non_null(
		strstr(c.text[1], "networks 1 and 4, which both have member 10.0.0.128/26"));

	t = build(l, COUNT(l), g, 2);
	assert_string_equal(networks_of(t, 0, "10.0.0.1", buf), "1 2");
	assert_string_equal(networks_of(t, 0, "10.0.0.65", buf), "1 2 3");
	assert_string_equal(networks_of(t, 0, "10.0.0.190", buf), "1 2 4");
	assert_int_equal(router_for(t, "10.0.0.1", "10.0.0.2", &net), SELF);
	assert_int_equal(net, 1);
	table_free(t);
}

/* Two hosts that are in the same two networks make one conflict, not two; a
 * prefix that is a member of two networks collides with a third in both. */
static void test_each_pair_once(void **arg)
{
	const struct lndt_row hosts[] = {
		LNDT(1, 0, "10.0.0.1", 1),
		LNDT(1, 0, "10.0.0.2", 1),
		LNDT(2, 0, "10.0.0.1", 2),
		LNDT(2, 0, "10.0.0.2", 2),
	};
	const struct gndt_row row_in_both[] = {
		GNDT(1, CHICAGO, "10.9.0.0/16", 11),
		GNDT(2, CHICAGO, "10.9.0.0/16", 12),
	};
	const struct lndt_row members[] = {
		LNDT(1, 0, "10.0.0.0/24", 1),
		LNDT(2, 0, "10.0.0.0/24", 2),
		LNDT(3, 0, "10.0.0.5", 3),
	};
	const struct gndt_row third[] = { GNDT(3, CHICAGO, "10.0.0.0/24", 13) };
	struct complaints c;

	(void)arg;
	refuse(&c, hosts, COUNT(hosts), row_in_both, COUNT(row_in_both));
	assert_int_equal(c.n, 1);
	assert_non_null(strstr(c.text[0], "both have member 10.0.0.1:"));
	refuse(&c, members, COUNT(members), third, COUNT(third));
	assert_int_equal(c.n, 2);
	assert_int_equal(c.line[0], 13);
	assert_non_null(strstr(c.text[0], "networks 1 and 3, which both have member 10.0.0.5:"));
	assert_non_null(strstr(c.text[1], "networks 2 and 3, which both have member 10.0.0.5:"));
}

/* lndt_lookup never gives such a set, but a caller may make one. */
static void test_ambiguous_lookup(void **arg)
{
	const struct lndt_row l[] = { LNDT(1, 0, "10.0.1.0/24", 1) };
	const struct gndt_row g[] = {
		GNDT(1, CHICAGO, "10.9.0.0/16", 11),
		GNDT(2, CHICAGO, "10.9.0.0/16", 12),
		GNDT(3, PURDUE, "10.9.9.0/24", 13),
		GNDT(4, CHICAGO, "10.0.1.0/24", 14),
	};
	struct table *t = build(l, COUNT(l), g, COUNT(g));
	struct netset *set = malloc(sizeof(*set) + 4 * sizeof(set->slots[0]));
	struct ip wide = ip("10.9.1.1"), deep = ip("10.9.9.1"), here = ip("10.0.1.1");
	uint32_t slot = 99;
	unsigned len = 99;
	bool ambiguous = false;

	(void)arg;
	assert_non_null(set);
	set->n = 4;
	for (uint32_t i = 0; i < 4; i++)
		set->slots[i] = i;
	assert_null(gndt_lookup_set(t, set, &wide, &slot, &len, &ambiguous));
	assert_true(ambiguous);
	assert_null(gndt_lookup_set(t, set, &here, &slot, &len, &ambiguous));
	assert_true(ambiguous);
	assert_int_equal(slot, 99);
	assert_int_equal(len, 99);
	assert_non_null(gndt_lookup_set(t, set, &deep, &slot, &len, &ambiguous));
	assert_false(ambiguous);
	assert_int_equal(slot, 2);
	assert_int_equal(len, 24);
	free(set);
	table_free(t);
}

static void test_random(void **arg)
{
	uint64_t state = 8463;
	unsigned good = 0, bad = 0;

	(void)arg;
	for (unsigned round = 0; round < 3000; round++) {
		struct complaints c = { 0 };
		struct world w;
		struct table *t;

		make_world(&state, &w);
		t = table_new(SELF, w.l, w.n_l, w.g, w.n_g, round, complain, &c);
		assert_int_equal(t == NULL, conflicts(&w));
		assert_int_equal(t == NULL, c.n > 0);
		if (t)
			check_world(&w, t);
		good += t != NULL;
		bad += t == NULL;
		table_free(t);
	}
	/* Both outcomes were tried. */
	assert_true(good > 500 && bad > 500);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Ten thousand networks of a few prefixes, whose hosts one LAN-wide network has
 * too. With TABLE_TIMES set, how long it takes. */
static void test_ten_thousand(void **arg)
{
	enum { N = 10000 };
	struct lndt_row *l = calloc(2 * N + 1, sizeof(*l));
	struct gndt_row *g = calloc(4 * N, sizeof(*g));
	size_t before, used;
	struct table *t;
	double start;
	struct ip a;
	char buf[128];

	(void)arg;
	assert_non_null(l);
	assert_non_null(g);
	for (uint32_t i = 0; i < N; i++) {
		l[2 * i] = (struct lndt_row)LNDT(1000 + i, 0, "10.0.0.0", i);
		l[2 * i].prefix.ip.b[2] = i >> 8;
		l[2 * i].prefix.ip.b[3] = i;
		l[2 * i + 1] = (struct lndt_row)LNDT(1000 + i, 0, "fd00::", i);
		l[2 * i + 1].prefix.ip.b[14] = i >> 8;
		l[2 * i + 1].prefix.ip.b[15] = i;
		for (unsigned k = 0; k < 4; k++) {
			g[4 * i + k] = (struct gndt_row)GNDT(
				1000 + i, CHICAGO + k % 2, k % 2 ? "10.1.0.0/24" : "fd01::/64", i);
			g[4 * i + k].prefix.ip.b[2] = k;
		}
	}
	l[2 * N] = (struct lndt_row)LNDT(1, 0, "10.0.0.0/16", 1);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	start = seconds();
	t = build(l, 2 * N + 1, g, 4 * N);
	used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
	if (getenv("TABLE_TIMES"))
		print_message("# %d networks: built in %.3f s, %.1f MB\n", N, seconds() - start,
			      used / 1e6);
	assert_true(used < 40000000); /* under a sanitizer's allocator it is 0 */
	assert_string_equal(networks_of(t, 0, "10.0.1.2", buf), "1 1258");
	assert_string_equal(networks_of(t, 0, "fd00::102", buf), "1258");
	a = ip("10.1.3.9");
	for (uint32_t i = 0; i < N; i += 37) {
		uint32_t slot = table_slot(t, 1000 + i);
		unsigned len = 0;

		assert_int_equal(slot, i + 1);
		assert_int_equal(gndt_lookup(t, slot, &a, &len)->routers[0], PURDUE);
		assert_int_equal(len, 24);
	}
	table_free(t);
	free(l);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),	       cmocka_unit_test(test_empty),
		cmocka_unit_test(test_listing),	       cmocka_unit_test(test_two_routers),
		cmocka_unit_test(test_ambiguous),      cmocka_unit_test(test_many_shared),
		cmocka_unit_test(test_each_pair_once), cmocka_unit_test(test_ambiguous_lookup),
		cmocka_unit_test(test_random),	       cmocka_unit_test(test_ten_thousand),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
