/*
 * Streams of the workers, see link_stream.h.
 *
 * Who finds a stream's queue grown long tells the peer's path, where the senders of that
 * peer's frames look (relay.c).
 */
#include "router/link_stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <urcu-qsbr.h>

#include "router/mailbox.h"
#include "router/stage.h"

#define QUEUE_BYTES (1 << 20) /* of one stream */
#define QUEUE_AGE SEC
#define LETTERS_PER_TURN 256

/* A stream on its way to its worker. */
struct arrival {
	struct arrival *next;
	uint32_t id;
	struct stream *stream;
	struct endpoint remote;
	bool proved;
	size_t len;
	uint8_t first[FRAME_HEADER];
};

/* ---- what streams tell ---------------------------------------------------------- */

static void frames(void *arg, struct batch *b, mono_t now)
{
	struct port *port = arg;

	worker_take_frames(port->worker, b, now);
}

static void gone(void *arg, uint32_t id, const char *why)
{
	struct port *port = arg;
	struct note n = { .kind = NOTE_STREAM_GONE, .way = { .kind = WAY_STREAM, .stream = id } };

	worker_note(port->worker, &n, why, strlen(why));
}

/* ---- in and out of the worker's loop -------------------------------------------- */

static void due(struct timer *t, mono_t now);

bool link_stream_ready(struct port *port, mono_t now)
{
	struct worker *w = port->worker;
	bool any;

	streams_belong(port->streams, w->pool, &w->counters);
	any = streams_turn(port->streams, now);
	if (w->loop)
		timer_set(w->loop, &port->due, streams_next(port->streams));
	return any;
}

static void due(struct timer *t, mono_t now)
{
	struct port *port = container_of(t, struct port, due);

	link_stream_ready(port, now);
	link_stream_flush(port->worker, now);
}

void link_stream_attach(struct worker *w)
{
	for (unsigned i = 0; w->streams && w->loop && i < WORKERS_MAX; i++)
		if (w->streams[i] && w->streams[i]->worker == w) {
			timer_set(w->loop, &w->streams[i]->due,
				  streams_next(w->streams[i]->streams));
			w->stream_dirty = true; /* who had it before may not have written all */
		}
}

struct port *link_stream_open(struct list *ports, unsigned number, bool polled)
{
	const struct queue_limits limits = { .bytes = QUEUE_BYTES, .age = QUEUE_AGE };
	struct streams_hooks hooks = { .frames = frames, .gone = gone };
	struct port *port = port_new(ports, number, NULL, NULL, 0);

	if (!port)
		return NULL;
	hooks.arg = port;
	port->streams = streams_new(polled, &hooks, &limits);
	port->due.fn = due;
	if (port->streams) {
		port->source.fd = streams_fd(port->streams);
		return port;
	}
	port_free(port);
	return NULL;
}

bool link_stream_give(struct port *port, uint32_t id, struct stream *s,
		      const struct endpoint *remote, const uint8_t *first, size_t len, bool proved)
{
	struct arrival *a = calloc(1, sizeof(*a));

	if (!a) {
		s->ops->close(s);
		return false;
	}
	*a = (struct arrival){ .id = id, .stream = s, .remote = *remote, .proved = proved };
	a->len = len < sizeof(a->first) ? len : sizeof(a->first);
	if (a->len)
		memcpy(a->first, first, a->len);
	a->next = atomic_load(&port->arrivals);
	while (!atomic_compare_exchange_weak(&port->arrivals, &a->next, a))
		;
	worker_kick(port->worker);
	return true;
}

static void take_up(struct port *port, mono_t now)
{
	struct worker *w = port->worker;
	struct arrival *a = atomic_exchange(&port->arrivals, NULL);

	while (a) {
		struct arrival *next = a->next;

		streams_belong(port->streams, w->pool, &w->counters);
		if (!streams_add(port->streams, a->id, a->stream, &a->remote, a->first, a->len,
				 a->proved, now))
			gone(port, a->id, "too many streams");
		free(a);
		a = next;
	}
}

void link_stream_close(struct port *port)
{
	struct arrival *a = atomic_exchange(&port->arrivals, NULL);

	while (a) {
		struct arrival *next = a->next;

		a->stream->ops->close(a->stream);
		free(a);
		a = next;
	}
	if (port->worker && port->worker->loop)
		timer_cancel(port->worker->loop, &port->due);
	streams_free(port->streams);
}

/* ---- out -------------------------------------------------------------------------- */

/* The port's worker runs this, or nobody. */
static bool put(struct port *port, uint32_t stream, uint32_t router, const uint8_t *frame,
		size_t len, mono_t now)
{
	struct worker *w = port->worker;
	struct peer *peer = world_peer(rcu_dereference(*w->world), router);
	struct path *path = peer ? rcu_dereference(peer->path) : NULL;
	bool crowded, done;

	streams_belong(port->streams, w->pool, &w->counters);
	done = streams_send(port->streams, stream, frame, len, now, &crowded);
	w->stream_dirty = true;
	if (path && atomic_load_explicit(&path->crowded, memory_order_relaxed) != crowded)
		atomic_store_explicit(&path->crowded, crowded, memory_order_relaxed);
	return done;
}

bool link_stream_send(struct port *port, unsigned sender, uint32_t stream, uint32_t router,
		      const uint8_t *frame, size_t len, struct counters *c, mono_t now)
{
	const struct letter l = { .stream = stream, .router = router };
	bool done;

	if (port->worker->number == sender)
		return put(port, stream, router, frame, len, now);
	done = mailbox_put(port->worker->mailbox, sender, &l, frame, len);
	if (done)
		worker_kick(port->worker);
	if (c && done)
		counter_add(&c->consumed, 1);
	else if (c)
		counter_add(&c->drops[DROP_MAILBOX_FULL], 1);
	return done;
}

void link_stream_end(struct port *port, uint32_t id, mono_t now)
{
	/* an empty frame: nobody else makes any */
	link_stream_send(port, CONTROL_SENDER, id, 0, NULL, 0, NULL, now);
}

static bool read_letter(struct worker *w, mono_t now)
{
	const struct letter *l;
	const uint8_t *frame;
	struct port *port;
	size_t len;

	l = mailbox_peek(w->mailbox, &frame, &len);
	if (!l)
		return false;
	port = w->streams[l->stream % WORKERS_MAX];
	if (len) {
		counter_add(&w->counters.made, 1);
		put(port, l->stream, l->router, frame, len, now);
	} else {
		streams_belong(port->streams, w->pool, &w->counters);
		streams_close(port->streams, l->stream);
	}
	mailbox_release(w->mailbox);
	return true;
}

static void take_up_all(struct worker *w, mono_t now)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (w->streams[i] && w->streams[i]->worker == w)
			take_up(w->streams[i], now);
}

void link_stream_letters(struct worker *w, mono_t now)
{
	unsigned n = 0;

	if (!w->streams)
		return;
	take_up_all(w, now);
	while (n < LETTERS_PER_TURN && read_letter(w, now))
		n++;
	if (n == LETTERS_PER_TURN)
		worker_kick(w); /* the rest in another turn */
}

void link_stream_flush(struct worker *w, mono_t now)
{
	if (!w->stream_dirty)
		return;
	w->stream_dirty = false;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (w->streams[i] && w->streams[i]->worker == w)
			streams_flush(w->streams[i]->streams, now);
}

void link_stream_prove(struct worker *w, uint32_t stream)
{
	streams_prove(w->streams[stream % WORKERS_MAX]->streams, stream);
}

/* Frames that wait go with their stream to another worker's counters. */
void link_stream_leave(struct worker *w, mono_t now)
{
	if (!w->streams)
		return;
	while (read_letter(w, now))
		;
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		struct port *port = w->streams[i];

		if (!port || port->worker != w)
			continue;
		if (w->loop)
			timer_cancel(w->loop, &port->due);
		counter_add(&w->counters.consumed, streams_waiting(port->streams));
	}
}
