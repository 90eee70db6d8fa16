/*
 * Longest-prefix match over IPv4 and IPv6: prefix -> 32-bit value.
 *
 * An lpm is built by its owner and then only read: lookups take no lock, write
 * nothing, and may run in any number of threads. Small tables are small: an
 * empty one takes less than a kilobyte, since a router has one per virtual
 * network.
 */
#ifndef COMMON_LPM_H
#define COMMON_LPM_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

struct lpm;

/* A prefix and the value that addresses under it map to. */
struct lpm_entry {
	struct prefix prefix;
	uint32_t value; /* anything but LPM_NONE */
};

#define LPM_NONE UINT32_MAX

/* Builds a table from n entries in any order; a prefix must not come twice.
 * NULL: out of memory or a duplicate. */
struct lpm *lpm_new(const struct lpm_entry *entries, size_t n);
void lpm_free(struct lpm *);

/* The value of the longest prefix that holds the address, LPM_NONE if none
 * does; *ret_len (may be NULL) its length in bits. */
uint32_t lpm_lookup(const struct lpm *, const struct ip *, unsigned *ret_len);

size_t lpm_count(const struct lpm *);
/* Bytes held, for tests and statistics. */
size_t lpm_memory(const struct lpm *);

#endif
