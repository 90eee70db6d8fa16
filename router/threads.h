/*
 * The workers' threads: one each, with a loop of its own. They are stopped together,
 * for as long as it takes to say who does what from now on, and go on.
 */
#ifndef ROUTER_THREADS_H
#define ROUTER_THREADS_H

#include <stdint.h>

#include "common/loop.h"

struct router;
struct threads;

/* For a loop whose thread is registered with RCU: offline while it waits. */
extern const struct loop_hooks threads_rcu_hooks;

/* NULL: out of memory. */
struct threads *threads_new(void);
/* Ends those that run. NULL is fine. */
void threads_free(struct threads *, struct router *);

/* Lets n workers work, for whom there is room (router_make_room): more threads or
 * fewer, what is read dealt anew. 0 and how long nobody worked, or -errno: then all is
 * as before. */
int threads_set(struct threads *, struct router *, unsigned n, int64_t *ret_pause);

#endif
