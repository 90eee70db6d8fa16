/*
 * Addresses of hosts: virtual ones out of the router's blocks, or physical ones.
 */
#ifndef AUTHORITY_OPERATION_ADDRESSES_H
#define AUTHORITY_OPERATION_ADDRESSES_H

#include "authority/operation_private.h"

/* A list of addresses for a new host; NULL: one is chosen from the router's blocks. Fills
 * ret, also with what there is when it is refused. */
bool addresses_from(struct task *, const struct router *, const json_t *, struct addresses *ret);

/* Whether a host of this router may have the address: if no other one has it than the task's
 * `goes`. Refuses it if not. */
bool check_address(struct task *, const struct router *, const struct ip *);

/* Whether a router of that site may have a block, as far as others' go. NULL: of a router,
 * or site, that is going to be. Refuses it if not. */
bool block_is_free(struct task *, const struct router *, const struct site *,
		   const struct prefix *);

#endif
