/*
 * Between the files that deal with the ways to a peer (contact.h has what others call).
 */
#ifndef ROUTER_WAYS_PRIVATE_H
#define ROUTER_WAYS_PRIVATE_H

#include "router/contact.h"

/* On which rung of the ladder it is. */
enum rung ways_rung(const struct contact *, const struct way *);
/* The path that it makes, nothing of which is known yet. NULL: out of memory. */
struct path *ways_path(const struct contact *, const struct way *);
/* The peer's path from now on, which it takes over; NULL: none. The one before is freed, after
 * a grace period. */
void ways_publish(struct peer *, struct path *);

#endif
