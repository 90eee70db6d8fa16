/*
 * Longest-prefix match over IPv4 and IPv6: prefix -> 32-bit value, beside each of
 * them a note for its owner.
 *
 * An lpm is changed by one thread, its owner. What others look up in is a copy
 * (lpm_share): it shares everything with the one that it was made from, costs
 * two counters, and no change of either is seen in the other. A lookup takes no
 * lock and writes nothing.
 *
 * Small tables are small, since a router has one per virtual network: an empty
 * one holds no memory but the struct.
 */
#ifndef COMMON_LPM_H
#define COMMON_LPM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

/* Embedded; the fields are lpm.c's. All zero is an empty table. */
struct lpm {
	struct lpm_block *v4, *v6;
	size_t count;
};

/* A prefix and the value that addresses under it map to. */
struct lpm_entry {
	struct prefix prefix;
	uint32_t value; /* anything but LPM_NONE */
	uint64_t note;	/* for the owner; lookups don't read it */
};

#define LPM_NONE UINT32_MAX

/* Fills an empty table with n entries in any order. False: out of memory, a
 * prefix that is none (host bits) or comes twice, LPM_NONE; it is empty then. */
bool lpm_init(struct lpm *, const struct lpm_entry *entries, size_t n);
/* Empties it. */
void lpm_done(struct lpm *);
/* Makes an empty table one with the same entries. Nothing is copied. */
void lpm_share(struct lpm *, const struct lpm *from);

/* Inserts an entry or replaces that of its prefix. False: out of memory, or an
 * entry that lpm_init would refuse: nothing is changed. */
bool lpm_put(struct lpm *, const struct lpm_entry *);
/* Removes the entry of this prefix, if there is one. False: out of memory, nothing
 * is changed. */
bool lpm_remove(struct lpm *, const struct prefix *);

/* The value of the longest prefix that holds the address, LPM_NONE if none
 * does; *ret_len (may be NULL) its length in bits. */
uint32_t lpm_lookup(const struct lpm *, const struct ip *, unsigned *ret_len);
/* The value of the prefix itself, LPM_NONE if it isn't there. */
uint32_t lpm_get(const struct lpm *, const struct prefix *, uint64_t *ret_note);
/* The value of the longest prefix that holds all of this one and more. */
uint32_t lpm_around(const struct lpm *, const struct prefix *);

/* Calls fn for each entry in the order of prefix_compare, without the first `skip`,
 * which cost little, until it returns false. True: it got to the end. */
typedef bool lpm_fn(void *arg, const struct lpm_entry *);
bool lpm_each(const struct lpm *, size_t skip, lpm_fn *fn, void *arg);
/* ... for those inside a prefix, itself included. */
bool lpm_each_within(const struct lpm *, const struct prefix *, lpm_fn *fn, void *arg);

size_t lpm_count(const struct lpm *);
/* Bytes held, shared ones included, for tests and statistics. */
size_t lpm_memory(const struct lpm *);

#endif
