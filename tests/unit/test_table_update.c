/* links: common/table common/table_new common/table_update common/table_rows
 * common/table_conflicts common/vector common/lpm common/lpm_change common/addr */
/*
 * Tables that change: after any updates an image is what table_new makes of the same
 * rows, refuses what that refuses, and older ones stay what they were, whichever is
 * freed first. The words of each conflict; what a change costs; memory that runs out.
 */
#include "common/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/short_memory.h"
#include "tests/unit/table_world.h"

#define ADD_LNDT(...) \
	{ \
		.kind = LNDT_ADD, .lndt = LNDT(__VA_ARGS__) \
	}
#define ADD_GNDT(...) \
	{ \
		.kind = GNDT_ADD, .gndt = GNDT(__VA_ARGS__) \
	}
#define REMOVE_LNDT(...) \
	{ \
		.kind = LNDT_REMOVE, .lndt = LNDT(__VA_ARGS__) \
	}
#define REMOVE_GNDT(...) \
	{ \
		.kind = GNDT_REMOVE, .gndt = GNDT(__VA_ARGS__) \
	}

/* ---- like table_new -------------------------------------------------------------- */

static size_t find_lndt(const struct world *w, const struct lndt_row *r)
{
	size_t i = 0;

	while (i < w->n_l &&
	       (w->l[i].network != r->network || w->l[i].attachment != r->attachment ||
		!prefix_equal(&w->l[i].prefix, &r->prefix)))
		i++;
	return i;
}

static size_t find_gndt(const struct world *w, const struct gndt_row *r)
{
	size_t i = 0;

	while (i < w->n_g && (w->g[i].network != r->network || w->g[i].router != r->router ||
			      !prefix_equal(&w->g[i].prefix, &r->prefix)))
		i++;
	return i;
}

/* False: there is no such row. */
static bool apply(struct world *w, const struct table_change *c)
{
	size_t i;

	if (c->kind == LNDT_ADD || c->kind == LNDT_REMOVE) {
		i = find_lndt(w, &c->lndt);
		if (c->kind == LNDT_REMOVE && i == w->n_l)
			return false;
		if (c->kind == LNDT_REMOVE)
			w->l[i] = w->l[--w->n_l];
		else if (i == w->n_l)
			w->l[w->n_l++] = c->lndt;
		return true;
	}
	i = find_gndt(w, &c->gndt);
	if (c->kind == GNDT_REMOVE && i == w->n_g)
		return false;
	if (c->kind == GNDT_REMOVE)
		w->g[i] = w->g[--w->n_g];
	else if (i == w->n_g)
		w->g[w->n_g++] = c->gndt;
	return true;
}

static struct table_change random_change(uint64_t *state, const struct world *w, unsigned line)
{
	struct table_change c = { .kind = next_random(state) % 4 };
	bool stray = next_random(state) % 32 == 0;

	if ((c.kind == LNDT_ADD && w->n_l + 3 > MAX_ROWS) || (c.kind == LNDT_REMOVE && !w->n_l))
		c.kind ^= LNDT_ADD ^ LNDT_REMOVE;
	if ((c.kind == GNDT_ADD && w->n_g + 3 > MAX_ROWS) || (c.kind == GNDT_REMOVE && !w->n_g))
		c.kind = c.kind == GNDT_ADD ? GNDT_REMOVE : GNDT_ADD;
	if (c.kind == LNDT_REMOVE && !stray) {
		c.lndt = w->l[next_random(state) % w->n_l];
	} else if (c.kind == GNDT_REMOVE && !stray) {
		c.gndt = w->g[next_random(state) % w->n_g];
	} else if (c.kind == LNDT_ADD || c.kind == LNDT_REMOVE) {
		c.lndt = (struct lndt_row){ .network = 100 + next_random(state) % NETS,
					    .attachment = next_random(state) % ATTACHMENTS,
					    .prefix = world_prefix(state),
					    .file = line % 2 ? "r.conf" : NULL,
					    .line = line };
	} else {
		c.gndt = (struct gndt_row){ .network = 100 + next_random(state) % NETS,
					    .router = 1 + next_random(state) % 3,
					    .prefix = world_prefix(state),
					    .file = line % 2 ? "r.conf" : NULL,
					    .line = line };
	}
	return c;
}

static bool add_lndt(void *arg, const struct lndt_row *row)
{
	struct world *w = arg;

	assert_true(w->n_l < MAX_ROWS);
	w->l[w->n_l++] = *row;
	return true;
}

static bool add_gndt(void *arg, const struct gndt_row *row)
{
	struct world *w = arg;

	assert_true(w->n_g < MAX_ROWS);
	w->g[w->n_g++] = *row;
	return true;
}

static void check_listing(const struct table *t, const struct table *like)
{
	struct world a = { .n_l = 0 }, b = { .n_l = 0 };

	assert_true(table_lndt(t, 0, add_lndt, &a) == SIZE_MAX);
	assert_true(table_gndt(t, 0, add_gndt, &a) == SIZE_MAX);
	table_lndt(like, 0, add_lndt, &b);
	table_gndt(like, 0, add_gndt, &b);
	assert_int_equal(a.n_l, b.n_l);
	assert_int_equal(a.n_g, b.n_g);
	for (size_t i = 0; i < a.n_l; i++) {
		assert_int_equal(find_lndt(&b, &a.l[i]), i);
		assert_int_equal(a.l[i].line, b.l[i].line);
		assert_int_equal(!a.l[i].file, !b.l[i].file);
	}
	for (size_t i = 0; i < a.n_g; i++) {
		assert_int_equal(find_gndt(&b, &a.g[i]), i);
		assert_int_equal(a.g[i].line, b.g[i].line);
	}
	assert_int_equal(table_networks(t), table_networks(like));
	for (unsigned net = 100; net < 100 + NETS; net++)
		assert_int_equal(table_slot(t, net) == UINT32_MAX,
				 table_slot(like, net) == UINT32_MAX);
}

/* An image and the rows that it is of. */
struct version {
	struct table *t;
	struct world w;
};

static void random_updates(void **arg)
{
	enum { ROUNDS = 20000, KEPT = 5 };
	struct version now = { .t = build(NULL, 0, NULL, 0) }, kept[KEPT] = { { 0 } };
	unsigned good = 0, bad = 0, missing = 0;
	uint64_t state = 4242;

	(void)arg;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct version next = { .w = now.w }, *keep = &kept[next_random(&state) % KEPT];
		struct table_change c[3];
		unsigned n = 1 + next_random(&state) % COUNT(c);
		struct complaints said = { 0 };
		bool there = true;

		for (unsigned i = 0; i < n; i++)
			c[i] = random_change(&state, &now.w, round * 4 + i);
		for (unsigned i = 0; i < n; i++)
			if (c[i].kind == LNDT_REMOVE || c[i].kind == GNDT_REMOVE)
				there &= apply(&next.w, &c[i]);
		for (unsigned i = 0; i < n; i++)
			if (c[i].kind == LNDT_ADD || c[i].kind == GNDT_ADD)
				apply(&next.w, &c[i]);
		next.t = table_update(now.t, c, n, round, complain, &said);
		assert_int_equal(next.t == NULL, !there || conflicts(&next.w));
		assert_int_equal(next.t == NULL, said.n > 0);
		good += next.t != NULL;
		bad += !next.t && there;
		missing += !there;
		if (round % 16 == 0)
			check_world(&now.w, now.t);
		if (!next.t)
			continue;
		if (round % 4 == 0) {
			struct table *like = build(next.w.l, next.w.n_l, next.w.g, next.w.n_g);

			check_world(&next.w, next.t);
			check_listing(next.t, like);
			assert_int_equal(table_version(next.t), round);
			table_free(like);
		}
		if (next_random(&state) % 4) { /* as a router does it */
			table_free(now.t);
			now = next;
		} else if (next_random(&state) % 2) { /* not wanted after all */
			table_free(next.t);
		} else { /* kept for a while, or gone back to */
			if (keep->t)
				check_world(&keep->w, keep->t);
			table_free(keep->t);
			*keep = now;
			now = next;
		}
	}
	table_free(now.t);
	for (unsigned i = 0; i < KEPT; i++)
		table_free(kept[i].t);
	assert_true(good > ROUNDS / 4 && bad > ROUNDS / 20 && missing > ROUNDS / 100);
}

/* ---- conflicts --------------------------------------------------------------------- */

static void refuse_update(struct complaints *c, const struct table *t,
			  const struct table_change *changes, size_t n)
{
	memset(c, 0, sizeof(*c));
	assert_null(table_update(t, changes, n, 8, complain, c));
	assert_null(table_update(t, changes, n, 8, NULL, NULL));
}

static void words(void **arg)
{
	const struct lndt_row l[] = {
		LNDT(8000, 0, "172.16.0.0/24", 1),
		LNDT(8001, 0, "172.16.0.20", 2),
		LNDT(8002, 0, "172.16.9.0/24", 3),
	};
	const struct gndt_row g[] = {
		GNDT(8000, CHICAGO, "172.16.10.0/24", 41),
		GNDT(8001, CHICAGO, "172.16.11.0/24", 51),
		GNDT(8002, CHICAGO, "172.16.10.0/24", 61),
		GNDT(8002, CHICAGO, "172.16.11.0/24", 62),
	};
	const struct table_change rows[] = {
		ADD_GNDT(8000, PURDUE, "172.16.10.0/24", 71),
		ADD_GNDT(8000, PURDUE, "172.16.0.0/24", 72),
		ADD_GNDT(8001, PURDUE, "172.16.10.0/24", 73),
		ADD_GNDT(8001, PURDUE, "172.16.0.0/24", 74),
		REMOVE_GNDT(8001, PURDUE, "172.16.11.0/24", 75),
		REMOVE_LNDT(8001, 1, "172.16.0.20", 76),
		ADD_LNDT(8001, 0, "172.16.11.0/24", 77),
		REMOVE_GNDT(9999, PURDUE, "172.16.11.0/24", 78),
	};
	const struct table_change sharing[] = { ADD_LNDT(8002, 0, "172.16.0.0/16", 81) };
	const struct table_change both[] = {
		ADD_GNDT(8000, CHICAGO, "172.17.0.0/16", 91),
		ADD_GNDT(8001, CHICAGO, "172.17.0.0/16", 92),
	};
	struct table *t = build(l, COUNT(l), g, COUNT(g));
	struct complaints c;

	(void)arg;
	refuse_update(&c, t, rows, COUNT(rows));
	assert_int_equal(c.n, 8);
	assert_string_equal(c.text[0], "172.16.11.0/24 is to be removed from the GNDT of network "
				       "8001, but isn't there");
	assert_int_equal(c.line[0], 75);
	assert_string_equal(c.text[1], "172.16.0.20/32 is to be removed from the LNDT of network "
				       "8001, but isn't there");
	assert_int_equal(c.line[1], 76);
	assert_int_equal(c.line[2], 78);
	assert_string_equal(c.text[3], "172.16.10.0/24 is in network 8000 for router 2 and for "
				       "router 3: which of them delivers it? (the other one: "
				       "r.conf:41)");
	assert_int_equal(c.line[3], 71);
	assert_string_equal(c.text[4],
			    "172.16.0.0/24 is a member of this site in network 8000, but "
			    "router 3 is to deliver it: which is right? (the other one: "
			    "r.conf:1)");
	assert_string_equal(c.text[5], "172.16.10.0/24 is in networks 8000 and 8001, which both "
				       "have member 172.16.0.20: which of them should carry it? "
				       "(the other one: r.conf:41)");
	assert_int_equal(c.line[5], 73);
	assert_int_equal(c.line[6], 74);
	assert_string_equal(c.text[7], "172.16.11.0/24 is a member of this site in network 8001, "
				       "but router 2 is to deliver it: which is right? (the other "
				       "one: r.conf:51)");
	assert_int_equal(c.line[7], 77);

	/* members of both from now on: what both GNDTs had before */
	refuse_update(&c, t, sharing, COUNT(sharing));
	assert_int_equal(c.n, 2);
	assert_string_equal(c.text[0], "172.16.10.0/24 is in networks 8000 and 8002, which both "
				       "have member 172.16.0.0/24: which of them should carry it? "
				       "(the other one: r.conf:41)");
	assert_int_equal(c.line[0], 61);
	assert_string_equal(c.text[1], "172.16.11.0/24 is in networks 8001 and 8002, which both "
				       "have member 172.16.0.20: which of them should carry it? "
				       "(the other one: r.conf:51)");
	refuse_update(&c, t, both, COUNT(both));
	assert_int_equal(c.n, 1);
	assert_int_equal(c.line[0], 92);
	table_free(t);
}

/* What goes makes room for what comes, in whichever order they are written. */
static void moves(void **arg)
{
	const struct lndt_row l[] = { LNDT(1, 0, "10.0.0.0/24", 1), LNDT(2, 0, "10.0.0.0/24", 2) };
	const struct gndt_row g[] = { GNDT(1, CHICAGO, "10.9.0.0/16", 3) };
	const struct table_change router[] = {
		ADD_GNDT(1, PURDUE, "10.9.0.0/16", 4),
		REMOVE_GNDT(1, CHICAGO, "10.9.0.0/16", 5),
	};
	const struct table_change network[] = {
		ADD_GNDT(2, PURDUE, "10.9.0.0/16", 6),
		REMOVE_GNDT(1, PURDUE, "10.9.0.0/16", 7),
	};
	const struct table_change home[] = {
		ADD_LNDT(3, 0, "10.9.0.0/16", 8),
		REMOVE_GNDT(2, PURDUE, "10.9.0.0/16", 9),
	};
	const struct table_change gone[] = {
		REMOVE_LNDT(1, 0, "10.0.0.0/24", 10),
		REMOVE_LNDT(2, 0, "10.0.0.0/24", 11),
		REMOVE_LNDT(3, 0, "10.9.0.0/16", 12),
	};
	struct table *t = build(l, COUNT(l), g, COUNT(g)), *next;
	uint32_t slot[2] = { table_slot(t, 1), table_slot(t, 2) }, net = 0;
	struct ip from = ip("10.0.0.1");
	char buf[128];

	(void)arg;
	next = table_update(t, router, 2, 8, complain, NULL);
	assert_non_null(next);
	assert_int_equal(router_for(next, "10.0.0.1", "10.9.1.1", &net), PURDUE);
	assert_int_equal(router_for(t, "10.0.0.1", "10.9.1.1", &net), CHICAGO);
	table_free(t);
	t = next;
	next = table_update(t, network, 2, 9, complain, NULL);
	assert_non_null(next);
	table_free(t);
	t = next;
	assert_int_equal(router_for(t, "10.0.0.1", "10.9.1.1", &net), PURDUE);
	assert_int_equal(net, 2);
	assert_int_equal(table_slot(t, 1), slot[0]);
	assert_int_equal(table_slot(t, 2), slot[1]);
	next = table_update(t, home, 2, 10, complain, NULL);
	assert_non_null(next);
	table_free(t);
	t = next;
	assert_string_equal(networks_of(t, 0, "10.9.0.1", buf), "3");
	assert_int_equal(table_networks(t), 3);
	next = table_update(t, gone, 3, 11, complain, NULL);
	assert_non_null(next);
	table_free(t);
	t = next;
	assert_int_equal(table_networks(t), 0);
	assert_int_equal(table_slots(t), 0);
	assert_null(lndt_lookup(t, 0, &from));
	table_free(t);
}

/* ---- costs ------------------------------------------------------------------------- */

/* n networks of a member and a hundred prefixes. */
static struct table *many_networks(uint32_t n)
{
	struct lndt_row *l = calloc(n, sizeof(*l));
	struct gndt_row *g = calloc(100 * n, sizeof(*g));
	struct table *t;

	assert_non_null(l);
	assert_non_null(g);
	for (uint32_t i = 0; i < n; i++) {
		l[i] = (struct lndt_row){ .network = i, .prefix = prefix("10.0.0.0") };
		l[i].prefix.ip.b[2] = i >> 8;
		l[i].prefix.ip.b[3] = i;
		for (unsigned k = 0; k < 100; k++) {
			g[100 * i + k] = (struct gndt_row){ .network = i,
							    .router = CHICAGO + k % 50,
							    .prefix = prefix("172.16.0.0/24") };
			g[100 * i + k].prefix.ip.b[1] = i * 7 + k;
			g[100 * i + k].prefix.ip.b[2] = k * 13;
		}
	}
	t = build(l, n, g, 100 * n);
	free(l);
	free(g);
	return t;
}

/* Bytes that a hundred updates of one row ask for. */
static size_t update_bytes(uint32_t networks)
{
	struct table *t = many_networks(networks), *next;
	size_t before = memory.bytes, used;

	for (uint32_t i = 0; i < 100; i++) {
		struct table_change c[] = { ADD_GNDT(i, PURDUE, "192.168.1.0/24", 1),
					    ADD_LNDT(i, 0, "10.1.0.0", 1) };

		c[1].lndt.prefix.ip.b[3] = i;
		next = table_update(t, &c[i % 2], 1, i, complain, NULL);
		assert_non_null(next);
		table_free(t);
		t = next;
	}
	used = memory.bytes - before;
	table_free(t);
	return used;
}

static void update_is_cheap(void **arg)
{
	size_t few = update_bytes(200), many = update_bytes(2000);

	(void)arg;
	assert_in_range(few, 1, 100 * 12000);
	/* ten times the table: 8 bytes for each 64 networks and sets, a bit for each
	 * network, and longer ways to them */
	assert_in_range(many, 1, few + 100 * 4000);
}

static void memory_runs_out(void **arg)
{
	uint64_t state = 99;
	unsigned failed = 0;

	(void)arg;
	for (unsigned round = 0; round < 150; round++) {
		struct table *t = NULL, *next = NULL;
		struct table_change c[3];
		struct world w;

		while (!t) {
			make_world(&state, &w);
			for (size_t i = 0; i < w.n_l; i++)
				w.l[i].file = "r.conf";
			if (!conflicts(&w))
				t = build(w.l, w.n_l, w.g, w.n_g);
		}
		for (unsigned i = 0; i < COUNT(c); i++) {
			c[i] = random_change(&state, &w, i);
			if (c[i].kind == GNDT_ADD)
				c[i].gndt.file = "other.conf";
		}
		for (long at = 1; at < 1000; at++) {
			memory.fail_at = at;
			next = table_update(t, c, COUNT(c), 1, NULL, NULL);
			if (memory.fail_at)
				break; /* it wanted less than that */
			assert_null(next);
			failed++;
		}
		memory.fail_at = 0;
		check_world(&w, t);
		table_free(t);
		table_free(next);
	}
	assert_true(failed > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_updates),  cmocka_unit_test(words),
		cmocka_unit_test(moves),	   cmocka_unit_test(update_is_cheap),
		cmocka_unit_test(memory_runs_out),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
