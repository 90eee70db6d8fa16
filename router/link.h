/*
 * What carries frames between routers: UDP now, TCP and TLS beside it.
 *
 * Recv contract as in intercept.h: whole frames, one a packet; the link fills in
 * from, to and outer_tos and believes nothing. Send contract as in inject.h:
 * every packet is one frame with its path set, and comes back to the pool; what
 * the kernel refused is counted as DROP_SEND.
 */
#ifndef ROUTER_LINK_H
#define ROUTER_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/counters.h"
#include "common/packet.h"
#include "router/path.h"

struct link;

struct link_ops {
	const char *name;
	int (*recv)(struct link *, struct batch *, struct pool *, struct counters *);
	/* The outer DSCP and ECN of a frame are packet->outer_tos. */
	void (*send)(struct link *, struct batch *, struct pool *, struct counters *);
	/* One frame from the control thread. 0 or -errno; -EMSGSIZE: larger than
	 * the interface carries. */
	int (*send_one)(struct link *, const struct way *, const void *frame, size_t len);
	/* The largest frame that the first hop of this way carries, or the default
	 * of 1500 minus headers if it can't be told. */
	uint16_t (*first_hop_max)(struct link *, const struct way *);
	/* Reads the socket's error queue: calls fn for each ICMP "too big" about a
	 * datagram to this endpoint. A hint from anybody: to be probed, not believed. */
	void (*errors)(struct link *, void (*fn)(void *arg, const struct endpoint *remote),
		       void *arg);
	void (*close)(struct link *); /* frees it */
};

struct link {
	const struct link_ops *ops;
	_Atomic unsigned offloads; /* bits of enum offload that it has; may become fewer */
	int fd;			   /* -1: polled (twins) */
	uint8_t family;		   /* of its local address: 4 or 6 */
	/* After recv: it holds frames that found no place in the batch, of which the
	 * descriptor says nothing. The next recv gives these and no others. */
	bool pending;
};

/* Opens n more UDP sockets at this address, SO_REUSEPORT, for workers of consecutive
 * numbers from the first one on. ret has room for them. 0 or -errno. */
int link_udp_open(const struct endpoint *local, unsigned n, struct link **ret);
/* The port that the kernel has chosen for it. 0 or -errno. */
int link_udp_port(const struct link *, uint16_t *ret);
/* Has the frames that arrive at the address of any of them steered to the first
 * `workers` ones: as lane_reader says. At once; 0 or -errno. */
int link_udp_steer(struct link *, unsigned workers);

#endif
