/*
 * What the authority is told of tinies (tiny_watch.h): with each heartbeat those whose state is
 * new since the last one that was answered, and others by turns. So news are there at once,
 * of thousands too, and an authority that begins anew soon knows all of them.
 */
#ifndef ROUTER_TINIES_H
#define ROUTER_TINIES_H

#include <jansson.h>

#include "common/clock.h"

struct router;

#define TINIES_SAID 1000 /* in one heartbeat, at most */

/* A list; NULL: there are none, or no memory. */
json_t *tinies_say(struct router *, mono_t now);
/* What was said last has been heard. */
void tinies_heard(struct router *);

#endif
