/*
 * The tables: what a router knows of its virtual networks, as one immutable
 * image (dissertation, section 3.3; SPEC sections 1 and 2).
 *
 * LNDT: (attachment, source address) -> the networks that the host is a member
 * of. GNDT of a network: prefix -> the route that delivers it. The site's own
 * members are routes to the router itself. An image is built once, published by
 * pointer, and read without locks.
 */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/lpm.h"

#define ROUTE_ROUTERS 8 /* routers that may deliver one prefix */

/* Where a prefix is delivered. One router today; several active gateways of a
 * site will share a prefix. */
struct route {
	uint32_t routers[ROUTE_ROUTERS]; /* router IDs */
	uint8_t n;			 /* how many of them */
};

/* The rows that an image is built from. */
struct lndt_row {
	uint32_t network;
	uint16_t attachment; /* 0: the gateway's LAN side as a whole */
	struct prefix prefix;
	const char *file; /* where it was read, for messages; may be NULL */
	unsigned line;
};

struct gndt_row {
	uint32_t network;
	uint32_t router;
	struct prefix prefix;
	const char *file;
	unsigned line;
};

/* The networks of one host, ascending. */
struct netset {
	uint32_t n;
	uint32_t slots[]; /* indexes for table_network() */
};

/* One virtual network in an image. */
struct vnet {
	uint32_t id;
	struct lpm *gndt;    /* -> index into routes */
	struct lpm *members; /* the prefixes of this site in it -> 0 */
	struct route *routes;
	uint32_t n_routes;
};

struct table;

/* Called for each conflict between rows; table_new goes on to find all. */
typedef void table_conflict_fn(void *arg, const char *text, const char *file, unsigned line);

/* Builds an image for router `self`. Conflicts (each reported, all found in one
 * run): the same prefix in one GNDT for two routers; the same prefix in the
 * GNDTs of two networks that share a member of this site (ambiguous); a row of
 * another router equal to a member prefix of this site in the same network.
 * NULL: conflicts, or out of memory (no call of fn then). */
struct table *table_new(uint32_t self, const struct lndt_row *lndt, size_t n_lndt,
			const struct gndt_row *gndt, size_t n_gndt, uint64_t version,
			table_conflict_fn *fn, void *arg);
void table_free(struct table *);

uint64_t table_version(const struct table *);
/* Networks are slots 0 to count-1, ascending by ID. */
uint32_t table_networks(const struct table *);
const struct vnet *table_network(const struct table *, uint32_t slot);
/* The slot of a network ID, UINT32_MAX if this router has no part in it. */
uint32_t table_slot(const struct table *, uint32_t network);

/* LNDT: the networks of a source on an attachment, NULL if it is in none. A
 * host is in every network that lists a prefix around it. */
const struct netset *lndt_lookup(const struct table *, uint16_t attachment, const struct ip *);
/* Whether the address is a member of this site in the network of that slot. */
bool lndt_is_member(const struct table *, uint32_t slot, const struct ip *);

/* GNDT: the longest prefix in the network of that slot; NULL if none. */
const struct route *gndt_lookup(const struct table *, uint32_t slot, const struct ip *,
				unsigned *ret_len);
/* The longest prefix over all networks of the set. *ret_slot is where it was
 * found. NULL with *ret_ambiguous false: no route; true: equal length in two. */
const struct route *gndt_lookup_set(const struct table *, const struct netset *, const struct ip *,
				    uint32_t *ret_slot, unsigned *ret_len, bool *ret_ambiguous);

/* The rows of the image, for listings: own copies, ordered by network, prefix. */
const struct lndt_row *table_lndt(const struct table *, size_t *ret_n);
const struct gndt_row *table_gndt(const struct table *, size_t *ret_n);

#endif
