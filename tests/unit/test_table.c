/* links: common/table common/lpm common/addr */
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

enum { SELF = 1, CHICAGO = 2, PURDUE = 3 };

static struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static struct ip ip(const char *text)
{
	struct ip a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

#define LNDT(n, a, p, l) \
	{ \
		.network = n, .attachment = a, .prefix = prefix(p), "r.conf", l \
	}
#define GNDT(n, r, p, l) \
	{ \
		.network = n, .router = r, .prefix = prefix(p), "r.conf", l \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What table_new complained about. */
struct complaints {
	unsigned n;
	char text[8][512];
	unsigned line[8];
};

static void complain(void *arg, const char *text, const char *file, unsigned line)
{
	struct complaints *c = arg;

	if (file)
		assert_string_equal(file, "r.conf");
	if (c->n < COUNT(c->text)) {
		snprintf(c->text[c->n], sizeof(c->text[0]), "%s", text);
		c->line[c->n] = line;
	}
	c->n++;
}

static struct table *build(const struct lndt_row *l, size_t n_l, const struct gndt_row *g,
			   size_t n_g)
{
	struct complaints c = { 0 };
	struct table *t = table_new(SELF, l, n_l, g, n_g, 7, complain, &c);

	assert_int_equal(c.n, 0);
	assert_non_null(t);
	return t;
}

static void refuse(struct complaints *c, const struct lndt_row *l, size_t n_l,
		   const struct gndt_row *g, size_t n_g)
{
	memset(c, 0, sizeof(*c));
	assert_null(table_new(SELF, l, n_l, g, n_g, 7, complain, c));
	assert_null(table_new(SELF, l, n_l, g, n_g, 7, NULL, NULL));
}

/* The networks of a source as text: "8000 8001". */
static const char *networks_of(const struct table *t, unsigned attachment, const char *source,
			       char buf[static 128])
{
	struct ip a = ip(source);
	const struct netset *set = lndt_lookup(t, attachment, &a);
	size_t len = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; set && i < set->n; i++)
		len += snprintf(buf + len, 128 - len, "%s%u", i ? " " : "",
				table_network(t, set->slots[i])->id);
	return buf;
}

/* The router that delivers a destination for a source, 0 for none. */
static uint32_t router_for(const struct table *t, const char *source, const char *destination,
			   uint32_t *ret_network)
{
	struct ip from = ip(source), to = ip(destination);
	const struct netset *set = lndt_lookup(t, 0, &from);
	const struct route *r;
	uint32_t slot = UINT32_MAX;
	unsigned len = 999;
	bool ambiguous = true;

	assert_non_null(set);
	r = gndt_lookup_set(t, set, &to, &slot, &len, &ambiguous);
	assert_false(ambiguous);
	if (!r) {
		assert_int_equal(slot, UINT32_MAX);
		assert_int_equal(len, 999);
		return 0;
	}
	assert_int_equal(r->n, 1);
	assert_ptr_equal(r, gndt_lookup(t, slot, &to, NULL));
	*ret_network = table_network(t, slot)->id;
	return r->routers[0];
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

static void test_empty(void **arg)
{
	struct table *t = build(NULL, 0, NULL, 0);
	struct ip a = ip("10.0.0.1");
	size_t n = 9;

	(void)arg;
	assert_int_equal(table_networks(t), 0);
	assert_null(lndt_lookup(t, 0, &a));
	assert_null(gndt_lookup(t, 0, &a, NULL));
	assert_int_equal(table_slot(t, 0), UINT32_MAX);
	(void)table_lndt(t, &n);
	assert_int_equal(n, 0);
	table_free(t);
}

/* Listings are copies in order; a row that comes twice counts once. */
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
		GNDT(8001, CHICAGO, "::/0", 9),
		GNDT(8000, CHICAGO, "10.2.0.0/16", 8),
		GNDT(8000, CHICAGO, "10.1.0.0/16", 7),
		GNDT(8000, CHICAGO, "10.1.0.0/16", 6),
	};
	const struct lndt_row *got_l;
	const struct gndt_row *got_g;
	struct table *t;
	size_t n;

	(void)arg;
	for (size_t i = 0; i < COUNT(l); i++)
		l[i].file = name;
	g[0].file = NULL;
	t = build(l, COUNT(l), g, COUNT(g));
	memset(name, 'x', sizeof(name) - 1);
	memset(l, 0xee, sizeof(l));
	memset(g, 0xee, sizeof(g));
	got_l = table_lndt(t, &n);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(got_l[i].line, i + 1);
		assert_string_equal(got_l[i].file, "r.conf");
	}
	assert_int_equal(got_l[1].attachment, 3);
	got_g = table_gndt(t, &n);
	assert_int_equal(n, 3);
	assert_int_equal(got_g[0].line, 6);
	assert_int_equal(got_g[1].line, 8);
	assert_int_equal(got_g[2].line, 9);
	assert_null(got_g[2].file);
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

/*
 * Random tables in a world of 8 addresses, each with an IPv6 twin, where nearly
 * everything overlaps.
 */

enum { WORLD = 8, MAX_ROWS = 12, NETS = 4, ATTACHMENTS = 2 };

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717) >> 20;
}

static struct ip world_ip(unsigned family, unsigned i)
{
	struct ip a = ip(family == 4 ? "10.0.0.0" : "fd00::");

	a.b[family == 4 ? 3 : 15] = i;
	return a;
}

static struct prefix world_prefix(uint64_t *state)
{
	unsigned family = next_random(state) % 4 ? 4 : 6, bits = family == 4 ? 32 : 128;
	unsigned host = next_random(state) % 4;
	struct ip a = world_ip(family, next_random(state) % WORLD >> host << host);

	if (next_random(state) % 8 == 0)
		return (struct prefix){ .ip = { .family = family }, .len = 0 };
	return (struct prefix){ .ip = a, .len = bits - host };
}

struct world {
	struct lndt_row l[MAX_ROWS];
	struct gndt_row g[MAX_ROWS];
	size_t n_l, n_g;
};

static void make_world(uint64_t *state, struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->n_l = next_random(state) % (MAX_ROWS / 2);
	w->n_g = next_random(state) % MAX_ROWS;
	for (size_t i = 0; i < w->n_l; i++) {
		w->l[i].network = 100 + next_random(state) % NETS;
		w->l[i].attachment = next_random(state) % ATTACHMENTS;
		w->l[i].prefix = world_prefix(state);
	}
	for (size_t i = 0; i < w->n_g; i++) {
		w->g[i].network = 100 + next_random(state) % NETS;
		w->g[i].router = 1 + next_random(state) % 3;
		w->g[i].prefix = world_prefix(state);
	}
}

static bool is_in(const struct world *w, unsigned network, unsigned attachment, const struct ip *a)
{
	for (size_t i = 0; i < w->n_l; i++) {
		if (w->l[i].network == network && w->l[i].attachment == attachment &&
		    prefix_contains(&w->l[i].prefix, a))
			return true;
	}
	return false;
}

/* Whether some host is in both: the world's, or one elsewhere (which only
 * default prefixes hold). */
static bool share_host(const struct world *w, unsigned a, unsigned b)
{
	for (unsigned attachment = 0; attachment < ATTACHMENTS; attachment++) {
		for (unsigned i = 0; i <= WORLD; i++) {
			for (unsigned family = 4; family <= 6; family += 2) {
				struct ip host = world_ip(family, i);

				if (is_in(w, a, attachment, &host) &&
				    is_in(w, b, attachment, &host))
					return true;
			}
		}
	}
	return false;
}

/* All rows of all GNDTs, members as rows of this router. */
static size_t all_rows(const struct world *w, struct gndt_row *out)
{
	size_t n = w->n_g;

	memcpy(out, w->g, n * sizeof(*out));
	for (size_t i = 0; i < w->n_l; i++)
		out[n++] = (struct gndt_row){ .network = w->l[i].network,
					      .router = SELF,
					      .prefix = w->l[i].prefix };
	return n;
}

static bool conflicts(const struct world *w)
{
	struct gndt_row rows[2 * MAX_ROWS];
	size_t n = all_rows(w, rows);

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++) {
			const struct gndt_row *a = &rows[i], *b = &rows[k];

			if (!prefix_equal(&a->prefix, &b->prefix))
				continue;
			if (a->network == b->network && a->router != b->router)
				return true;
			if (a->network != b->network && !(a->router == SELF && b->router == SELF) &&
			    share_host(w, a->network, b->network))
				return true;
		}
	}
	return false;
}

/* Checks what the table says of one destination for the networks of one source. */
static void check_pair(const struct world *w, const struct table *t, unsigned attachment,
		       const struct ip *from, const struct ip *to)
{
	const struct netset *set = lndt_lookup(t, attachment, from);
	struct gndt_row rows[2 * MAX_ROWS];
	size_t n = all_rows(w, rows);
	const struct gndt_row *best = NULL;
	const struct route *route;
	uint32_t n_nets = 0, slot;
	unsigned len;
	bool ambiguous;

	for (unsigned net = 100; net < 100 + NETS; net++) {
		if (!is_in(w, net, attachment, from))
			continue;
		assert_non_null(set);
		assert_true(n_nets < set->n);
		assert_int_equal(table_network(t, set->slots[n_nets++])->id, net);
		for (size_t i = 0; i < n; i++) {
			if (rows[i].network == net && prefix_contains(&rows[i].prefix, to) &&
			    (!best || rows[i].prefix.len > best->prefix.len))
				best = &rows[i];
		}
	}
	assert_int_equal(set ? set->n : 0, n_nets);
	if (!set)
		return;
	route = gndt_lookup_set(t, set, to, &slot, &len, &ambiguous);
	assert_false(ambiguous);
	if (!best) {
		assert_null(route);
		return;
	}
	assert_non_null(route);
	assert_int_equal(route->n, 1);
	assert_int_equal(route->routers[0], best->router);
	assert_int_equal(len, best->prefix.len);
	if (best->router != SELF)
		assert_int_equal(table_network(t, slot)->id, best->network);
}

static void check_world(const struct world *w, const struct table *t)
{
	for (unsigned k = 0; k < 4 * WORLD * WORLD; k++) {
		struct ip from = world_ip(k & 1 ? 4 : 6, k >> 2 & (WORLD - 1));
		struct ip to = world_ip(k & 2 ? 4 : 6, k >> 5 & (WORLD - 1));

		for (unsigned attachment = 0; attachment < ATTACHMENTS; attachment++)
			check_pair(w, t, attachment, &from, &to);
	}
	for (uint32_t slot = 0; slot < table_networks(t); slot++) {
		for (unsigned i = 0; i < WORLD; i++) {
			struct ip host = world_ip(4, i);
			unsigned net = table_network(t, slot)->id;

			assert_int_equal(lndt_is_member(t, slot, &host),
					 is_in(w, net, 0, &host) || is_in(w, net, 1, &host));
		}
	}
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
