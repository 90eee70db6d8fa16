/*
 * The streams of one worker: frames follow each other on each, cut by their size.
 *
 * Incoming bytes become packets of the worker's pool, a batch at a time. Outgoing frames
 * wait in a queue of their stream, bounded in bytes and age, so that a stream that is
 * slow, or stands, holds up nobody else and costs a known amount of memory.
 */
#ifndef ROUTER_STREAMS_H
#define ROUTER_STREAMS_H

#include <stdbool.h>

#include "common/addr.h"
#include "common/counters.h"
#include "common/loop.h"
#include "common/packet.h"
#include "router/queue.h"
#include "router/stream.h"

#define STREAMS_MAX 4096	 /* of one worker */
#define STREAMS_UNPROVED 64	 /* ... on which nothing authentic has come yet */
#define STREAMS_PROVE (10 * SEC) /* ... and how long that may take */
#define STREAM_FRAME_MAX (FRAME_OVERHEAD + FRAME_OVERHEAD + PACKET_SINGLE)

struct streams;

struct streams_hooks {
	/* A batch of frames that have come; packet->stream is set. All of them are the
	 * callee's. */
	void (*frames)(void *arg, struct batch *, mono_t now);
	/* A stream has ended or been given up: it is freed after this. `why` is for people. */
	void (*gone)(void *arg, uint32_t id, const char *why);
	void *arg;
};

/* polled: of streams without descriptors (twins). NULL: out of memory or descriptors. */
struct streams *streams_new(bool polled, const struct streams_hooks *, const struct queue_limits *);
/* Whose packets and counters are used from now on. */
void streams_belong(struct streams *, struct pool *, struct counters *);
/* Closes them all, without telling. */
void streams_free(struct streams *);

/* Takes over a stream and the first bytes that came on it (at most a frame's header).
 * `id` is not 0 and not in use. `proved`: it is one that this router has opened. False:
 * there are too many, or no memory; the stream is closed. */
bool streams_add(struct streams *, uint32_t id, struct stream *, const struct endpoint *remote,
		 const uint8_t *first, size_t len, bool proved, mono_t now);
/* An authentic frame has come on it: it stays. */
void streams_prove(struct streams *, uint32_t id);
/* Closes it, without telling. */
void streams_close(struct streams *, uint32_t id);

/* Puts a copy of the frame into the stream's queue; it leaves with streams_flush. What is
 * lost is counted: DROP_NO_WAY if there is no such stream (any more), DROP_WAIT_FULL and
 * DROP_WAIT_OLD. Whether senders should be told to slow down goes to *ret_crowded (may be
 * NULL). False: not taken. */
bool streams_send(struct streams *, uint32_t id, const uint8_t *frame, size_t len, mono_t now,
		  bool *ret_crowded);
/* Writes what was put into queues since the last time: once a turn. */
void streams_flush(struct streams *, mono_t now);

/* Readable when there is something to do for streams_turn; -1 if polled. */
int streams_fd(const struct streams *);
/* When there will be something to do without that, {0}: never. */
mono_t streams_next(const struct streams *);
/* Reads and writes what there is, without any waiting. Polled: whether there was
 * anything. */
bool streams_turn(struct streams *, mono_t now);

size_t streams_count(const struct streams *);
/* Frames that wait to be written, in all of them. */
size_t streams_waiting(const struct streams *);

#endif
