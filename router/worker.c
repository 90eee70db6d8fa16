/*
 * A worker's turn: take a batch from each source that has something, carry it.
 *
 * Running, its thread's loop calls it per descriptor; in simulations worker_turn
 * asks all sources in order. Either way a turn is short, so that every source
 * gets its share and the control thread's grace periods end soon.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/list.h"
#include "router/stage.h"

#define BATCHES_PER_TURN 4 /* of one source, before others get their turn */
#define HELD_CHECK (500 * MSEC)
#define HINTS_MAX 8
#define HINTS_TIME (100 * MSEC)

void packet_drop(struct worker *w, struct packet *p, enum drop reason)
{
	counter_add(&w->counters.drops[reason], 1);
	pool_put(w->pool, p);
}

void count_traffic(struct worker *w, const struct batch *b, enum direction d, unsigned overhead)
{
	uint64_t packets = 0, bytes = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = b->p[i], *next = i + 1 < b->n ? b->p[i + 1] : NULL;
		struct traffic *of[] = { &w->counters.traffic[d],
					 &p->peer->share[w->number]->traffic[d],
					 &p->network->share[w->number]->traffic[d] };

		packets++;
		bytes += p->len - overhead;
		if (next && next->peer == p->peer && next->network == p->network)
			continue;
		for (unsigned k = 0; k < 3; k++) {
			counter_add(&of[k]->packets, packets);
			counter_add(&of[k]->bytes, bytes);
		}
		packets = bytes = 0;
	}
}

bool worker_note(struct worker *w, const struct note *head, const void *data, size_t len)
{
	struct note *n = ring_reserve(w->notes);

	if (!n)
		return false;
	memcpy(n, head, offsetof(struct note, data));
	n->len = (uint16_t)(len < NOTE_DATA ? len : NOTE_DATA);
	if (n->len)
		memcpy(n->data, data, n->len);
	ring_commit(w->notes, (uint32_t)(offsetof(struct note, data) + n->len));
	if (w->note_sent)
		w->note_sent(w->note_arg);
	return true;
}

bool budget_take(struct budget *b, unsigned most, int64_t time, mono_t now)
{
	if (!mono_is_set(b->since) || mono_since(now, b->since) >= time) {
		b->since = now;
		b->used = 0;
	}
	return b->used < most && ++b->used;
}

static void look(struct worker *w)
{
	w->view = rcu_dereference(*w->world);
}

static int take_out(struct worker *w, struct intercept *in, mono_t now)
{
	struct batch b;
	int n = 0, all = 0;

	look(w);
	for (int i = 0; i < BATCHES_PER_TURN || in->pending; i++) {
		b.n = 0;
		n = in->ops->recv(in, &b, w->pool, &w->counters);
		if (n <= 0)
			break;
		all += n;
		outbound(w, &b, now);
		answers_flush(w, now);
		if (n < BATCH_MAX && !in->pending)
			break;
	}
	return n < 0 ? n : all;
}

static int take_in(struct worker *w, struct link *link, uint8_t l, mono_t now)
{
	struct batch b;
	int n = 0, all = 0;

	look(w);
	for (int i = 0; i < BATCHES_PER_TURN || link->pending; i++) {
		b.n = 0;
		n = link->ops->recv(link, &b, w->pool, &w->counters);
		if (n <= 0)
			break;
		all += n;
		for (unsigned k = 0; k < b.n; k++)
			b.p[k]->link = l;
		inbound(w, &b, now);
		answers_flush(w, now);
		if (n < BATCH_MAX && !link->pending)
			break;
	}
	return n < 0 ? n : all;
}

/* How many packets, or -errno. */
static int take(struct port *port, mono_t now)
{
	return port->in ? take_out(port->worker, port->in, now)
			: take_in(port->worker, port->link, port->l, now);
}

/* Held packets are looked at when the control thread says so, and now and then
 * so that those that waited too long are counted. */
static void arm_held(struct worker *w, mono_t now)
{
	if (w->loop && w->n_held && !timer_is_set(&w->held_timer))
		timer_set(w->loop, &w->held_timer, mono_add(now, HELD_CHECK));
}

static void release(struct worker *w, mono_t now)
{
	look(w);
	held_release(w, now);
	answers_flush(w, now);
	arm_held(w, now);
}

/* ICMP errors may be forged: a few hints are as good as many. */
static void hint(void *arg, const struct endpoint *remote)
{
	struct worker *w = arg;
	struct note n = { .kind = NOTE_TOO_BIG, .way = { .remote = *remote } };

	if (budget_take(&w->hints, HINTS_MAX, HINTS_TIME, w->now))
		worker_note(w, &n, NULL, 0);
}

/* ---- descriptors --------------------------------------------------------- */

static void port_ready(struct source *s, uint32_t events, mono_t now)
{
	struct port *port = container_of(s, struct port, source);
	struct worker *w = port->worker;

	w->now = now;
	if (port->link && events & EPOLLERR)
		port->link->ops->errors(port->link, hint, w);
	if (take(port, now) < 0 && port->in) {
		struct note n = { .kind = NOTE_DEVICE_GONE };

		if (worker_note(w, &n, NULL, 0))
			loop_remove(w->loop, s);
	}
	arm_held(w, now);
}

static bool kicked(struct worker *w, mono_t now)
{
	if (!atomic_exchange_explicit(&w->kicked, false, memory_order_acq_rel))
		return false;
	release(w, now);
	return true;
}

static void kick_ready(struct source *s, uint32_t events, mono_t now)
{
	struct worker *w = container_of(s, struct worker, kick_source);
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof(n)) == sizeof(n))
		kicked(w, now);
}

static void held_due(struct timer *t, mono_t now)
{
	release(container_of(t, struct worker, held_timer), now);
}

void worker_kick(struct worker *w)
{
	uint64_t one = 1;

	atomic_store_explicit(&w->kicked, true, memory_order_release);
	if (w->kick_fd >= 0 && write(w->kick_fd, &one, sizeof(one)) < 0)
		return; /* full: it will wake up anyway */
}

int worker_watch(struct worker *w, struct loop *loop, unsigned count)
{
	struct timer room = { .fn = held_due };
	int r;

	if (w->kick_fd < 0) {
		w->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		w->kick_source = (struct source){ .fd = w->kick_fd, .fn = kick_ready };
	}
	if (w->kick_fd < 0)
		return -errno;
	r = loop_add(loop, &w->kick_source, EPOLLIN);
	list_for_each(node, w->ports) {
		struct port *port = container_of(node, struct port, node);

		if (!r && port->number % count == w->number)
			r = loop_add(loop, &port->source, EPOLLIN);
	}
	if (!r) /* so that there is room for its timer */
		r = timer_set(loop, &room, mono_add(clock_now(), SEC));
	timer_cancel(loop, &room);
	return r;
}

void worker_attach(struct worker *w, struct loop *loop, mono_t now)
{
	if (w->loop)
		timer_cancel(w->loop, &w->held_timer);
	w->loop = loop;
	w->held_timer.fn = held_due;
	arm_held(w, now);
}

/* ---- without descriptors ------------------------------------------------- */

bool worker_turn(struct worker *w, mono_t now)
{
	bool any = kicked(w, now);

	list_for_each(node, w->ports) {
		struct port *port = container_of(node, struct port, node);

		if (port->worker == w && take(port, now) > 0)
			any = true;
	}
	return any;
}

/* ---- life ------------------------------------------------------------------ */

struct port *port_new(struct list *ports, unsigned number, struct intercept *in, struct link *link,
		      uint8_t l)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->number = number;
	port->in = in;
	port->link = link;
	port->l = l;
	port->source = (struct source){ .fd = in ? in->fd : link->fd, .fn = port_ready };
	list_insert(ports, &port->node);
	return port;
}

void port_free(struct port *port)
{
	list_remove(&port->node);
	if (port->in)
		port->in->ops->close(port->in);
	else
		port->link->ops->close(port->link);
	free(port);
}

void worker_init(struct worker *w, unsigned number, struct world **world, struct list *ports)
{
	memset(w, 0, sizeof(*w));
	w->number = number;
	w->world = world;
	w->ports = ports;
	w->kick_fd = -1;
}

bool worker_hire(struct worker *w)
{
	if (!w->pool)
		w->pool = pool_new(POOL_PACKETS);
	if (!w->notes)
		w->notes = ring_new(NOTE_SLOTS, sizeof(struct note));
	return w->pool && w->notes;
}

void worker_dismiss(struct worker *w)
{
	for (unsigned i = 0; i < w->n_held; i++)
		pool_put(w->pool, w->held[i].packet);
	w->n_held = 0;
	if (w->kick_fd >= 0)
		close(w->kick_fd);
	w->kick_fd = -1;
	w->loop = NULL;
	ring_free(w->notes);
	pool_free(w->pool);
	w->notes = NULL;
	w->pool = NULL;
}
