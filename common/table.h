/*
 * The tables: what a router knows of its virtual networks, as one immutable
 * image (dissertation, section 3.3; SPEC sections 1 and 2).
 *
 * LNDT: (attachment, source address) -> the networks that the host is a member
 * of. GNDT of a network: prefix -> the route that delivers it. The site's own
 * members are routes to the router itself.
 *
 * An image is published by pointer and read without locks. The next one is built
 * from rows (table_new) or from the one in force and what changes (table_update):
 * then they share all that is the same, in which order ever they are freed. One
 * thread makes and frees images.
 */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/lpm.h"
#include "common/vector.h"

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

/* The networks of one host, ascending by ID. */
struct netset {
	uint32_t n;
	uint32_t slots[];
};

/* One virtual network in an image. */
struct vnet {
	struct shared shared;
	uint32_t id;
	struct lpm gndt;	 /* -> place in the image's routes */
	struct members *members; /* of this site, by attachment */
	uint32_t n_members;
};

struct table;

/* Called for each conflict between rows; what builds the image goes on to find all.
 * file may be NULL. */
typedef void table_conflict_fn(void *arg, const char *text, const char *file, unsigned line);

/* Builds an image for router `self`. Conflicts (each reported, all found in one
 * run): the same prefix in one GNDT for two routers; the same prefix in the
 * GNDTs of two networks that share a member of this site (ambiguous); a row of
 * another router equal to a member prefix of this site in the same network.
 * NULL: conflicts, or out of memory (no call of fn then). */
struct table *table_new(uint32_t self, const struct lndt_row *lndt, size_t n_lndt,
			const struct gndt_row *gndt, size_t n_gndt, uint64_t version,
			table_conflict_fn *fn, void *arg);

/* A row that comes or goes. */
struct table_change {
	enum { LNDT_ADD, LNDT_REMOVE, GNDT_ADD, GNDT_REMOVE } kind;
	union {
		struct lndt_row lndt;
		struct gndt_row gndt;
	};
};

/* Builds the image that differs from an old one, which stays as it is, by these
 * changes: first what goes, then what comes. Conflicts are those of table_new, as
 * far as changed rows take part in them, and a row to be removed that isn't there.
 * To add a row that is there changes nothing. NULL as in table_new.
 *
 * The cost of a row of the GNDT does not depend on the table's size, but on the
 * number of networks that share members with the row's; that of a row of the LNDT
 * on the LNDT's prefixes inside it, and on the networks that come to share a member. */
struct table *table_update(const struct table *old, const struct table_change *, size_t n,
			   uint64_t version, table_conflict_fn *fn, void *arg);
void table_free(struct table *);

uint64_t table_version(const struct table *);
size_t table_networks(const struct table *);
/* Networks have slots, which an update keeps; a new image's are in the order of
 * IDs. All are below this. */
uint32_t table_slots(const struct table *);
/* NULL: no network has this slot. */
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
/* Whether a row of the GNDT of that slot names the router. Walks over them. */
bool gndt_names(const struct table *, uint32_t slot, uint32_t router);

/* Listings: calls fn for each row, ordered by network, (attachment,) prefix, until
 * it returns false: it doesn't take this one. `from` is 0 or what an earlier call
 * on the same image returned, where to go on; SIZE_MAX: that was all. */
typedef bool lndt_fn(void *arg, const struct lndt_row *);
typedef bool gndt_fn(void *arg, const struct gndt_row *);
size_t table_lndt(const struct table *, size_t from, lndt_fn *fn, void *arg);
size_t table_gndt(const struct table *, size_t from, gndt_fn *fn, void *arg);

/* Bytes held, shared ones included, for tests and statistics. */
size_t table_memory(const struct table *);

#endif
