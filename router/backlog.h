/*
 * Backlog: what waits at a queue router for a limited router that asks for its frames.
 * One for each such peer, bounded in bytes and age (queue.h).
 *
 * Any worker may put frames there, and any may take them when the peer asks; so it is held
 * by one thread at a time, for a batch at most, like a replay window (session.h).
 */
#ifndef ROUTER_BACKLOG_H
#define ROUTER_BACKLOG_H

#include "router/queue.h"
#include "router/worker.h"

struct backlog;

/* NULL: out of memory. */
struct backlog *backlog_new(const struct queue_limits *);
/* How many frames were in it. NULL is fine. */
size_t backlog_free(struct backlog *);

/* Control thread: whether frames are to be kept; not: those that are there wait on. */
void backlog_set(struct backlog *, bool on);
/* NULL is fine. */
bool backlog_is_on(const struct backlog *);

/* Keeps a copy of the frame; marks a queue frame as having met
 * congestion when the backlog has grown and its sender understands. Losses are counted as
 * the worker's. False: it is too large. */
bool backlog_put(struct backlog *, struct worker *, const struct packet *, mono_t now);
/* Takes the oldest frames out, as packets of the worker's, up to so many bytes and as many
 * as the empty batch has room for. How many bytes. */
size_t backlog_take(struct backlog *, struct worker *, struct batch *, size_t bytes, mono_t now);
size_t backlog_bytes(struct backlog *);

#endif
