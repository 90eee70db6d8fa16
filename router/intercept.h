/*
 * What takes packets of the overlay out of the gateway's kernel.
 *
 * Recv contract: recv fills the batch with packets from the pool; the bytes are
 * the caller's from then on, and the kernel holds them no more. It never
 * blocks. Each worker has interceptors of its own.
 */
#ifndef ROUTER_INTERCEPT_H
#define ROUTER_INTERCEPT_H

#include <stdatomic.h>

#include "common/counters.h"
#include "common/loop.h"
#include "common/packet.h"

struct intercept;
struct worker;

struct intercept_ops {
	const char *name;
	/* Adds up to BATCH_MAX - batch->n packets; how many, 0 when there is
	 * none, -errno when it can't work any more (device gone). Packets that
	 * found no buffer are counted as DROP_NO_BUFFER. */
	int (*recv)(struct intercept *, struct batch *, struct pool *, struct counters *);
	void (*close)(struct intercept *); /* frees it */
	/* Many packets cost little more than one: under load they are waited for. */
	bool prefers_many;
};

struct intercept {
	const struct intercept_ops *ops;
	int fd; /* readable when there is something; -1: polled (twins) */

	/* The worker's, of one that comes and goes while it runs: see worker_take_up. */
	struct worker *worker;
	struct source source;
	struct intercept *next;
	_Atomic bool retired;
	mono_t since; /* packets are counted, a millisecond at a time */
	unsigned recent;
	bool busy;
};

#endif
