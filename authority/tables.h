/*
 * The tables of routers, computed from the registry (SPEC sections 1 and 8).
 *
 * All about one network is in one immutable network_table: how it is protected (enum
 * vn_protection), and which router delivers which prefixes. It is the network's GNDT, its rows of a router itself are that router's
 * LNDT, and a router has the networks in which it has rows. So routers share what is
 * the same for them, and a change of a network is computed once, for however many.
 *
 * Rows name exactly the addresses of members. Those of one router that fill a prefix
 * are one row: a site's whole block is a single row when every address of it is a
 * member, and never stands for an address that is none.
 */
#ifndef AUTHORITY_TABLES_H
#define AUTHORITY_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "authority/registry.h"
#include "common/network.h"

/* From the registry: one reference. Who delivers is router_for(). Its
 * cost is that of the network's members. vn may be NULL: no rows. */
struct network_table *network_table_new(uint32_t id, const struct vn *);

/* Some networks, ascending by ID. */
struct networks {
	size_t n;
	struct network_table **at;
};

void networks_done(struct networks *);
const struct network_table *networks_get(const struct networks *, uint32_t id);
/* Everything that a router has a part in, as of now: what a router gets that knows
 * nothing. */
void networks_of_router(const struct router *, struct networks *ret);

/* What changes while a registry is applied to: attach it, apply any number of
 * transactions, finish it. Memory and time are those of the networks that change. */
struct tables_change;
struct tables_change *tables_change_new(struct registry *);
void tables_change_free(struct tables_change *);
/* Detaches, and computes what is after. Networks that are the same again are left
 * out. Call it once. */
void tables_change_finish(struct tables_change *);

/* Before it is finished: whether a network that changes has, or had, to do with it. */
bool tables_change_concerns(const struct tables_change *, const struct router *);

/* What a router does in a step with the networks that change; all others stay as they
 * are. Pointers are into the change. */
struct step_image {
	struct networks send, receive; /* of those that it has a part in */
	size_t n_aliases;
	struct alias *aliases;
};

/* The steps, each to be confirmed by all touched routers before the next begins:
 *
 *   0 (what was)  send before, receive before
 *   1             send before, receive after and, under old IDs, by aliases
 *   2             send after,  receive the same
 *   3             send after,  receive after
 *
 * A receiver decides by one of the two whole states, never by a mixture. So two hosts
 * that share a network in neither never reach each other, and what a change takes away
 * has ended everywhere after step 1. Two that share one in both always do: what is
 * sent as before is taken under the alias, or under the same ID.
 *
 * Without aliases there is nothing to be removed in the end: 2 is the last then. */
#define STEP_LAST 3
unsigned tables_change_steps(const struct tables_change *);
/* Routers that have a part in a changed network before or after: IDs ascending, they
 * belong to the change. */
size_t tables_change_touched(const struct tables_change *, const uint32_t **ret);
/* Routers whose own record changed, for those that know them. Until it is
 * finished they are in the order in which they were noted, twice if others came between. */
size_t tables_change_routers(const struct tables_change *, const uint32_t **ret);
/* Routers whose tinies changed, once it is finished. */
size_t tables_change_tinies(const struct tables_change *, const uint32_t **ret);
void tables_change_image(const struct tables_change *, unsigned step, uint32_t router,
			 struct step_image *ret);
void step_image_done(struct step_image *);

#endif
