/*
 * Which queue routers a limited router has.
 */
#ifndef AUTHORITY_QUEUE_ROUTERS_H
#define AUTHORITY_QUEUE_ROUTERS_H

#include "authority/registry.h"
#include "common/image.h"

#define QUEUE_ROUTERS_CHOSEN 3 /* for one that names none */

/* IDs, the best first. */
struct queue_routers {
	unsigned n;
	uint32_t at[IMAGE_QUEUE_ROUTERS];
};

/* None: it isn't limited, carries nothing now, or there are none. */
void queue_routers_of(const struct registry *, const struct router *, struct queue_routers *ret);
bool queue_routers_have(const struct queue_routers *, uint32_t id);
bool queue_routers_equal(const struct queue_routers *, const struct queue_routers *);

#endif
