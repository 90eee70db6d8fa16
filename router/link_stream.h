/*
 * Streams among the ports of workers: what makes frames on TCP and TLS come and go like
 * those in datagrams, whichever worker owns the stream.
 *
 * A stream's ID says whose set it is in (id % WORKERS_MAX, the port's number). Frames that
 * come are opened where they come. Frames that another worker, or the control thread, has
 * for it go to its worker by letter.
 */
#ifndef ROUTER_LINK_STREAM_H
#define ROUTER_LINK_STREAM_H

#include "router/streams.h"
#include "router/worker.h"

#define CONTROL_SENDER WORKERS_MAX /* the control thread, among those who write letters */

/* A port of this number for streams; polled: see streams.h. NULL: out of memory. */
struct port *link_stream_open(struct list *ports, unsigned number, bool polled);

/* Control thread: has the port's worker take over a stream; it is closed if that can't be.
 * False: out of memory. */
bool link_stream_give(struct port *, uint32_t id, struct stream *, const struct endpoint *remote,
		      const uint8_t *first, size_t len, bool proved);
/* Control thread: closes a stream of the port; nobody is told. */
void link_stream_end(struct port *, uint32_t id, mono_t now);
/* The port's turn. Whether there was anything. */
bool link_stream_ready(struct port *, mono_t now);
/* Frees what a port of streams has beside the port. */
void link_stream_close(struct port *);

/* Sends a finished frame to this router on a stream. `sender`: the worker's number, or
 * CONTROL_SENDER. What is lost is counted in the counters given (NULL: in none). False:
 * lost at once. */
bool link_stream_send(struct port *, unsigned sender, uint32_t stream, uint32_t router,
		      const uint8_t *frame, size_t len, struct counters *, mono_t now);
/* What comes on this stream from its peer is authentic. The stream is of one of the
 * worker's own ports. */
void link_stream_prove(struct worker *, uint32_t stream);
/* The worker's ports have another number of workers to belong to from now on: before, for
 * each worker that there was; no worker runs. */
void link_stream_leave(struct worker *, mono_t now);
/* ... and after: it has another loop. */
void link_stream_attach(struct worker *);
/* A worker takes up what it was given and reads its letters; writes what has been put into
 * queues since the last time. */
void link_stream_letters(struct worker *, mono_t now);
void link_stream_flush(struct worker *, mono_t now);

#endif
