/*
 * The TUN device: one queue per worker, interceptor and injector at once. The
 * device belongs to the process and goes with it.
 */
#ifndef ROUTER_TUN_H
#define ROUTER_TUN_H

#include "router/inject.h"
#include "router/intercept.h"

struct tun {
	struct intercept intercept;
	struct inject inject;
	int fd;
	unsigned expect; /* how many packets the next recv asks for */
};

/* Opens a queue of the device `name` (multi_queue: of several), which is made if
 * it is not there. NULL with errno. The interceptor and the injector are views
 * of it; closing the interceptor frees it, the injector's close does nothing. */
struct tun *tun_open(const char *name, bool multi_queue);

/* Has the kernel keep both directions of a flow in one queue of the device that this is
 * one of, for all that are open and for those to come; of an even number of queues every
 * other one is for TCP alone. `queues`: how many there are as a rule. 0, or -errno: queues are chosen in the kernel's own way. */
int tun_steer(struct tun *, uint32_t self, unsigned queues);

#endif
