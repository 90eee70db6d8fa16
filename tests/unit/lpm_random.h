/*
 * Random prefixes, and a plain list of them to compare a table with: every lookup
 * must name the prefix that a walk over the list finds.
 */
#ifndef TESTS_UNIT_LPM_RANDOM_H
#define TESTS_UNIT_LPM_RANDOM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/lpm.h"

/* xorshift64*: the same numbers in every run. */
static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static inline struct prefix make_prefix(struct ip ip, unsigned len)
{
	for (unsigned i = len; i < 8 * sizeof(ip.b); i++)
		ip.b[i / 8] &= ~(0x80 >> i % 8);
	return (struct prefix){ .ip = ip, .len = len };
}

static inline struct ip random_ip(uint64_t *state, unsigned family)
{
	struct ip ip = { .family = family };

	for (unsigned i = 0; i < (family == 4 ? 4 : 16); i++)
		ip.b[i] = next_random(state) >> 32;
	return ip;
}

/* A prefix inside, around or beside one of those that are there: tables are
 * nested, and uniform random ones hardly would be. */
static inline struct prefix random_prefix(uint64_t *state, const struct lpm_entry *have, size_t n)
{
	unsigned family = next_random(state) >> 40 & 1 ? 4 : 6, bits = family == 4 ? 32 : 128;
	struct ip ip = random_ip(state, family);
	unsigned len = next_random(state) % (bits + 1);

	if (n && next_random(state) % 4) {
		const struct prefix *near = &have[next_random(state) % n].prefix;
		unsigned keep = near->len ? next_random(state) % (near->len + 1) : 0;

		ip = random_ip(state, near->ip.family);
		bits = near->ip.family == 4 ? 32 : 128;
		if (next_random(state) % 2)
			keep = near->len;
		for (unsigned i = 0; i < keep; i++) {
			ip.b[i / 8] &= ~(0x80 >> i % 8);
			ip.b[i / 8] |= near->ip.b[i / 8] & 0x80 >> i % 8;
		}
		len = next_random(state) % (bits + 1);
	}
	if (next_random(state) % 8 == 0)
		len = bits;
	return make_prefix(ip, len);
}

static inline bool have_prefix(const struct lpm_entry *e, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++) {
		if (memcmp(&e[i].prefix, p, sizeof(*p)) == 0)
			return true;
	}
	return false;
}

/* Up to n different entries with values of their own; the families' default
 * routes with them half of the time. */
static inline size_t random_entries(uint64_t *state, struct lpm_entry *e, size_t n)
{
	size_t made = 0;

	for (unsigned tries = 0; made < n && tries < 10 * n; tries++) {
		struct prefix p = random_prefix(state, e, made);

		if (next_random(state) % n == 0)
			p = make_prefix(p.ip, 0);
		if (have_prefix(e, made, &p))
			continue;
		e[made] = (struct lpm_entry){ .prefix = p, .value = made * 7 + 1 };
		made++;
	}
	return made;
}

static inline const struct lpm_entry *list_lookup(const struct lpm_entry *e, size_t n,
						  const struct ip *ip)
{
	const struct lpm_entry *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (prefix_contains(&e[i].prefix, ip) &&
		    (!best || e[i].prefix.len > best->prefix.len))
			best = &e[i];
	}
	return best;
}

static inline void check_lookup(const struct lpm *l, const struct lpm_entry *e, size_t n,
				const struct ip *ip)
{
	const struct lpm_entry *want = list_lookup(e, n, ip);
	unsigned len = 999;
	uint32_t value = lpm_lookup(l, ip, &len);

	assert_int_equal(value, want ? want->value : LPM_NONE);
	assert_int_equal(len, want ? want->prefix.len : 999);
	assert_int_equal(lpm_lookup(l, ip, NULL), value);
}

/* The first and last address of each prefix, the ones beside it, and others. */
static inline void check_all(uint64_t *state, const struct lpm *l, const struct lpm_entry *e,
			     size_t n, unsigned step)
{
	for (size_t i = 0; i < n; i += step) {
		const struct prefix *p = &e[i].prefix;
		unsigned bits = ip_bits(&p->ip);
		struct ip ip = p->ip;

		check_lookup(l, e, n, &ip);
		for (unsigned b = p->len; b < bits; b++)
			ip.b[b / 8] |= 0x80 >> b % 8;
		check_lookup(l, e, n, &ip);
		if (p->len)
			ip.b[(p->len - 1) / 8] ^= 0x80 >> (p->len - 1) % 8;
		check_lookup(l, e, n, &ip);
		ip = p->ip;
		for (unsigned b = p->len; b < bits; b++)
			ip.b[b / 8] |= next_random(state) & 0x80 >> b % 8;
		check_lookup(l, e, n, &ip);
		ip = random_ip(state, i % 2 ? 4 : 6);
		check_lookup(l, e, n, &ip);
	}
}

#endif
