/*
 * Old audit records go: some at a time, by the service's worker, so that others get their
 * turn in between.
 */
#ifndef AUTHORITY_RETENTION_H
#define AUTHORITY_RETENTION_H

#include <stdint.h>

#include "authority/service.h"

#define RETENTION_TOGETHER 500 /* of a transaction */

struct retention;

/* keep: ms; 0: for ever. The service outlives it, and is idle when it is freed. */
struct retention *retention_new(struct service *, uint64_t keep);
void retention_free(struct retention *);
/* Once a second or so; now: ms since 1970. Looks once an hour, and goes on while there is
 * something. */
void retention_tick(struct retention *, uint64_t now);
/* Records removed. */
uint64_t retention_removed(const struct retention *);

#endif
