/*
 * Tables for tests: rows from text, what is complained about, and random tables in a
 * world of 8 addresses, each with an IPv6 twin, where nearly everything overlaps, with
 * the answers of a walk over their rows.
 */
#ifndef TESTS_UNIT_TABLE_WORLD_H
#define TESTS_UNIT_TABLE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/table.h"

enum { SELF = 1, CHICAGO = 2, PURDUE = 3 };

static inline struct prefix prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static inline struct ip ip(const char *text)
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

static inline void complain(void *arg, const char *text, const char *file, unsigned line)
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

static inline struct table *build(const struct lndt_row *l, size_t n_l, const struct gndt_row *g,
				  size_t n_g)
{
	struct complaints c = { 0 };
	struct table *t = table_new(SELF, l, n_l, g, n_g, 7, complain, &c);

	assert_int_equal(c.n, 0);
	assert_non_null(t);
	return t;
}

/* The networks of a source as text: "8000 8001". */
static inline const char *networks_of(const struct table *t, unsigned attachment,
				      const char *source, char buf[static 128])
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
static inline uint32_t router_for(const struct table *t, const char *source,
				  const char *destination, uint32_t *ret_network)
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

enum { WORLD = 8, MAX_ROWS = 12, NETS = 4, ATTACHMENTS = 2 };

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717) >> 20;
}

static inline struct ip world_ip(unsigned family, unsigned i)
{
	struct ip a = ip(family == 4 ? "10.0.0.0" : "fd00::");

	a.b[family == 4 ? 3 : 15] = i;
	return a;
}

static inline struct prefix world_prefix(uint64_t *state)
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

static inline void make_world(uint64_t *state, struct world *w)
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

static inline bool is_in(const struct world *w, unsigned network, unsigned attachment,
			 const struct ip *a)
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
static inline bool share_host(const struct world *w, unsigned a, unsigned b)
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
static inline size_t all_rows(const struct world *w, struct gndt_row *out)
{
	size_t n = w->n_g;

	memcpy(out, w->g, n * sizeof(*out));
	for (size_t i = 0; i < w->n_l; i++)
		out[n++] = (struct gndt_row){ .network = w->l[i].network,
					      .router = SELF,
					      .prefix = w->l[i].prefix };
	return n;
}

static inline bool conflicts(const struct world *w)
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
static inline void check_pair(const struct world *w, const struct table *t, unsigned attachment,
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

static inline void check_world(const struct world *w, const struct table *t)
{
	for (unsigned k = 0; k < 4 * WORLD * WORLD; k++) {
		struct ip from = world_ip(k & 1 ? 4 : 6, k >> 2 & (WORLD - 1));
		struct ip to = world_ip(k & 2 ? 4 : 6, k >> 5 & (WORLD - 1));

		for (unsigned attachment = 0; attachment < ATTACHMENTS; attachment++)
			check_pair(w, t, attachment, &from, &to);
	}
	for (uint32_t slot = 0; slot < table_slots(t); slot++) {
		if (!table_network(t, slot))
			continue;
		for (unsigned i = 0; i < WORLD; i++) {
			struct ip host = world_ip(4, i);
			unsigned net = table_network(t, slot)->id;

			assert_int_equal(lndt_is_member(t, slot, &host),
					 is_in(w, net, 0, &host) || is_in(w, net, 1, &host));
		}
	}
}

#endif
