/*
 * One virtual network as rows: which router delivers which prefixes. It is the
 * network's GNDT, and its rows of a router itself are that router's LNDT.
 *
 * Immutable, shared by reference within one thread.
 */
#ifndef COMMON_NETWORK_H
#define COMMON_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

struct network_row {
	uint32_t router;
	struct prefix prefix;
};

/* Rows ascend by router, prefix. Those of one router don't overlap. */
struct network_table {
	uint32_t refs;
	uint32_t id;
	uint8_t protection; /* for whoever makes it to say; 0 unless told */
	size_t n;
	struct network_row rows[];
};

/* A frame of network `from` is taken as one of `to`: it has to pass the checks there. */
struct alias {
	uint32_t from, to;
};

/* Without rows, with room for so many, one reference. NULL: out of memory. */
struct network_table *network_table_room(uint32_t id, size_t room);
struct network_table *network_table_ref(const struct network_table *);
/* NULL is fine. */
void network_table_unref(struct network_table *);
int network_row_compare(const struct network_row *, const struct network_row *);
/* Whether rows are as they should be. */
bool network_table_valid(const struct network_table *);
/* The rows of one router, *ret_n of them: 0, it has no part in the network. */
const struct network_row *network_table_of(const struct network_table *, uint32_t router,
					   size_t *ret_n);
/* For a walk by routers, from row 0: the first row of the one after this row's; t->n: there is
 * none. */
size_t network_table_next(const struct network_table *, size_t row);
/* The row of an address; NULL: none. `router` 0: whichever's. */
const struct network_row *network_table_at(const struct network_table *, uint32_t router,
					   const struct ip *);
bool network_table_equal(const struct network_table *, const struct network_table *);

/* What makes one of the other: rows only in the first and only in the second, either
 * of which may be NULL for none. Calls both with ascending rows. */
typedef void network_row_fn(void *arg, const struct network_row *);
void network_table_differ(const struct network_table *, const struct network_table *,
			  network_row_fn *gone, network_row_fn *come, void *arg);

#endif
