/*
 * Old audit records go: some at a time, by the service's worker, so that others get their
 * turn in between. So do tokens and delegated credentials that ended more than a day ago.
 */
#ifndef AUTHORITY_RETENTION_H
#define AUTHORITY_RETENTION_H

#include <stdint.h>

#include "authority/service.h"
#include "common/clock.h"

#define RETENTION_TOGETHER 500 /* of a transaction */

struct retention;

/* keep: ms; 0: for ever. The service outlives it, and is idle when it is freed. */
struct retention *retention_new(struct service *, uint64_t keep);
void retention_free(struct retention *);
/* Once a second or so; now: ms since 1970. Looks once an hour, and goes on while there is
 * something; first when the clock hasn't been set for an hour. */
void retention_tick(struct retention *, uint64_t now, mono_t clock);
/* Records removed. */
uint64_t retention_removed(const struct retention *);

#endif
