/*
 * What gives packets back to the gateway's kernel, for its hosts.
 *
 * Send contract: all packets of the batch go back to the pool, whether the
 * kernel took them or not; what it did not take is counted as DROP_INJECT. It
 * never blocks. Each worker has an injector of its own.
 */
#ifndef ROUTER_INJECT_H
#define ROUTER_INJECT_H

#include <stdbool.h>

#include "common/counters.h"
#include "common/packet.h"

struct inject;

struct inject_ops {
	const char *name;
	void (*send)(struct inject *, struct batch *, struct pool *, struct counters *);
	void (*close)(struct inject *); /* frees it */
	/* True: the kernel routes what is given back, lowers TTL and answers with
	 * ICMP errors. False: the router does it itself before. */
	bool kernel_routes;
};

struct inject {
	const struct inject_ops *ops;
};

/* Sends by raw sockets, both families. NULL with errno. */
struct inject *inject_raw_open(void);
/* Sends by a packet socket, straight to the interface, what has an adjacency; the rest by
 * `raw`, which stays its opener's. NULL with errno. */
struct inject *inject_packet_open(struct inject *raw);

#endif
