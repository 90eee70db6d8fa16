/*
 * What takes packets of the overlay out of the gateway's kernel.
 *
 * Recv contract: recv fills the batch with packets from the pool; the bytes are
 * the caller's from then on, and the kernel holds them no more. It never
 * blocks. Each worker has interceptors of its own.
 */
#ifndef ROUTER_INTERCEPT_H
#define ROUTER_INTERCEPT_H

#include <stdbool.h>

#include "common/counters.h"
#include "common/packet.h"

struct intercept;

struct intercept_ops {
	const char *name;
	/* Adds up to BATCH_MAX - batch->n packets; how many, 0 when there is
	 * none, -errno when it can't work any more (device gone). Packets that
	 * found no buffer are counted as DROP_NO_BUFFER. */
	int (*recv)(struct intercept *, struct batch *, struct pool *, struct counters *);
	void (*close)(struct intercept *); /* frees it */
};

struct intercept {
	const struct intercept_ops *ops;
	unsigned offloads; /* bits of enum offload that it has */
	int fd;		   /* readable when there is something; -1: polled (twins) */
	/* After recv: it holds packets that found no place in the batch, of which the
	 * descriptor says nothing. The next recv gives these first. */
	bool pending;
};

#endif
