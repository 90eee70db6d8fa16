/*
 * What this site's firewall lets through (vinectl netcheck): every way to the queue
 * routers, and to other peers with an endpoint, is tried beside what runs; how others see
 * us tells the kind of NAT. Belongs to the control thread.
 *
 * One check at a time: who asks while one is under way has its result.
 */
#ifndef ROUTER_NETCHECK_H
#define ROUTER_NETCHECK_H

#include <jansson.h>

#include "common/clock.h"
#include "common/list.h"

struct router;

#define NETCHECK_TIME (11 * SEC) /* of a whole check, at most */
#define NETCHECK_ROUTERS 8	 /* queue routers first */

/* The result, which the callee takes over; NULL: out of memory. */
typedef void netcheck_fn(void *arg, json_t *result);

/* Who waits for a result. */
struct netcheck_waiter {
	struct list node;
	netcheck_fn *fn; /* NULL: does not wait */
	void *arg;
};

struct netcheck;

/* Begins a check if none is under way. fn is called once, never from within; the waiter
 * does not wait any more then. 0, -ENOENT: no peer has an endpoint, -ENOMEM. */
int netcheck_join(struct router *, struct netcheck_waiter *, netcheck_fn *, void *arg, mono_t now);
/* Does not wait any more; with the last one the check ends. */
void netcheck_leave(struct router *, struct netcheck_waiter *);

#endif
