/*
 * Frames that wait to be sent: a queue bounded in bytes and in age, oldest out
 * first (SPEC section 5). One for each stream, and one for each limited router
 * that asks for its frames; so a slow one holds up nobody else.
 *
 * Pure: time is an argument, and no memory is taken after queue_new. A queue
 * belongs to one thread.
 */
#ifndef ROUTER_QUEUE_H
#define ROUTER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

struct queue;

struct queue_limits {
	uint32_t bytes; /* of frames, and of what it takes to keep them */
	int64_t age;	/* nanoseconds; older frames are of no use */
};

/* Memory becomes resident as it is used. NULL: out of memory, or no bytes at all. */
struct queue *queue_new(const struct queue_limits *);
void queue_free(struct queue *); /* NULL is fine */

/* What became of those that had to go. */
struct queue_losses {
	unsigned full; /* pushed out by younger ones */
	unsigned old;  /* waited too long */
};

/* Puts a copy of the frame at the end. What is too old goes, then the oldest as long as
 * there is no room; adds to *losses. False: larger than half of the queue. */
bool queue_put(struct queue *, const uint8_t *frame, size_t len, mono_t now,
	       struct queue_losses *losses);
/* Lets go what is too old. */
void queue_expire(struct queue *, mono_t now, struct queue_losses *losses);

/* The frames from the oldest on: *at is 0 for the first and moves on. NULL: no more. */
const uint8_t *queue_next(const struct queue *, size_t *at, size_t *ret_len);
/* Takes away the oldest. */
void queue_pop(struct queue *);

size_t queue_frames(const struct queue *);
size_t queue_bytes(const struct queue *);
/* Whether it holds more than a quarter of what it may: senders that understand marks are
 * to be told (RFC 3168). */
bool queue_is_crowded(const struct queue *);

#endif
