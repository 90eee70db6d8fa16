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
#define BUSY 64 /* packets in BUSY_TIME that make an interceptor busy */
#define BUSY_TIME MSEC
#define NAP (50 * USEC)
#define HINTS_MAX 8
#define HINTS_TIME (100 * MSEC)

void packet_drop(struct worker *w, struct packet *p, enum drop reason)
{
	counter_add(&w->counters.drops[reason], 1);
	pool_put(w->pool, p);
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
	for (int i = 0; i < BATCHES_PER_TURN; i++) {
		b.n = 0;
		n = in->ops->recv(in, &b, w->pool, &w->counters);
		if (n <= 0)
			break;
		all += n;
		outbound(w, &b, now);
		answers_flush(w, now);
		if (n < BATCH_MAX)
			break;
	}
	return n < 0 ? n : all;
}

static int take_in(struct worker *w, unsigned l, mono_t now)
{
	struct link *link = w->links[l];
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
			b.p[k]->link = (uint8_t)l;
		inbound(w, &b, now);
		answers_flush(w, now);
		if (n < BATCH_MAX && !link->pending)
			break;
	}
	return n < 0 ? n : all;
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

static void device_ready(struct source *s, uint32_t events, mono_t now)
{
	struct worker *w = container_of(s, struct worker, device_source);

	(void)events;
	if (take_out(w, w->device, now) < 0) {
		struct note n = { .kind = NOTE_DEVICE_GONE };

		if (worker_note(w, &n, NULL, 0))
			loop_remove(w->loop, s);
	}
	arm_held(w, now);
}

/* Waking up for each packet costs more than the packet. Where they come in numbers, but
 * not as many as would keep us from sleeping anyhow, a few are waited for; never on an
 * idle router, nor for a host that waits for each answer. */
static bool is_busy(struct intercept *in, int n, mono_t now)
{
	int64_t time = mono_since(now, in->since);

	in->recent += (unsigned)n;
	if (time >= BUSY_TIME) {
		in->busy = in->recent >= BUSY && time < 2 * BUSY_TIME;
		in->since = now;
		in->recent = 0;
	}
	return in->busy;
}

static void queue_ready(struct source *s, uint32_t events, mono_t now)
{
	struct intercept *in = container_of(s, struct intercept, source);
	struct worker *w = in->worker;
	int n = take_out(w, in, now);

	(void)events;
	if (in->ops->prefers_many && n >= 0 && n < BATCH_MAX / 2 && is_busy(in, n, now))
		loop_nap(w->loop, NAP);
	if (n < 0) {
		struct note note = { .kind = NOTE_DEVICE_GONE };

		if (worker_note(w, &note, NULL, 0))
			loop_remove(w->loop, s);
	}
	arm_held(w, now);
}

static void link_ready(struct source *s, uint32_t events, mono_t now)
{
	struct link_port *port = container_of(s, struct link_port, source);
	struct worker *w = port->worker;
	unsigned l = (unsigned)(port - w->ports);

	w->now = now;
	if (events & EPOLLERR)
		w->links[l]->ops->errors(w->links[l], hint, w);
	take_in(w, l, now);
	arm_held(w, now);
}

void worker_take_up(struct worker *w, struct intercept *in)
{
	in->worker = w;
	in->next = atomic_load_explicit(&w->new_queues, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&w->new_queues, &in->next, in,
						      memory_order_release, memory_order_relaxed))
		;
}

void worker_retire(struct intercept *in)
{
	atomic_store_explicit(&in->retired, true, memory_order_release);
}

/* The switch of interception: new queues are taken up; those that are to go are
 * emptied first, after their rule is gone. */
static void switch_queues(struct worker *w, mono_t now)
{
	struct intercept *in = atomic_exchange_explicit(&w->new_queues, NULL, memory_order_acq_rel);

	for (struct intercept *next; in; in = next) {
		next = in->next;
		in->next = w->queues;
		w->queues = in;
		in->source = (struct source){ .fd = in->fd, .fn = queue_ready };
		if (w->loop && in->fd >= 0)
			loop_add(w->loop, &in->source, EPOLLIN);
	}
	for (struct intercept **at = &w->queues; (in = *at);) {
		if (!atomic_load_explicit(&in->retired, memory_order_acquire)) {
			at = &in->next;
			continue;
		}
		while (take_out(w, in, now) > 0)
			;
		*at = in->next;
		if (w->loop && in->fd >= 0)
			loop_remove(w->loop, &in->source);
		in->ops->close(in);
	}
}

static bool kicked(struct worker *w, mono_t now)
{
	if (!atomic_exchange_explicit(&w->kicked, false, memory_order_acq_rel))
		return false;
	switch_queues(w, now);
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

int worker_attach(struct worker *w, struct loop *loop)
{
	int r;

	w->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->kick_fd < 0)
		return -errno;
	w->loop = loop;
	w->held_timer.fn = held_due;
	w->kick_source = (struct source){ .fd = w->kick_fd, .fn = kick_ready };
	w->device_source = (struct source){ .fd = w->device->fd, .fn = device_ready };
	r = loop_add(loop, &w->kick_source, EPOLLIN);
	if (!r)
		r = loop_add(loop, &w->device_source, EPOLLIN);
	for (unsigned l = 0; !r && l < w->n_links; l++) {
		w->ports[l].worker = w;
		w->ports[l].source = (struct source){ .fd = w->links[l]->fd, .fn = link_ready };
		r = loop_add(loop, &w->ports[l].source, EPOLLIN);
	}
	return r;
}

/* ---- without descriptors ------------------------------------------------- */

bool worker_turn(struct worker *w, mono_t now)
{
	bool any = kicked(w, now);

	if (w->device && take_out(w, w->device, now) > 0)
		any = true;
	for (struct intercept *in = w->queues; in; in = in->next)
		if (take_out(w, in, now) > 0)
			any = true;
	for (unsigned l = 0; l < w->n_links; l++)
		if (take_in(w, l, now) > 0)
			any = true;
	return any;
}

/* ---- life ------------------------------------------------------------------ */

bool worker_init(struct worker *w, unsigned number, unsigned count, struct world **world)
{
	memset(w, 0, sizeof(*w));
	w->number = number;
	w->count = count;
	w->world = world;
	w->kick_fd = -1;
	w->pool = pool_new(POOL_PACKETS);
	w->notes = ring_new(NOTE_SLOTS, sizeof(struct note));
	if (!w->pool || !w->notes) {
		worker_done(w);
		return false;
	}
	return true;
}

static void close_all(struct intercept *in)
{
	for (struct intercept *next; in; in = next) {
		next = in->next;
		in->ops->close(in);
	}
}

void worker_close_devices(struct worker *w)
{
	for (unsigned l = 0; l < w->n_links; l++)
		w->links[l]->ops->close(w->links[l]);
	w->n_links = 0;
	close_all(atomic_exchange(&w->new_queues, NULL));
	close_all(w->queues);
	close_all(w->device);
	w->queues = w->device = NULL;
	w->answer = NULL;
	atomic_store(&w->inject, NULL);
	w->loop = NULL;
}

void worker_done(struct worker *w)
{
	worker_close_devices(w);
	for (unsigned i = 0; i < w->n_held; i++)
		pool_put(w->pool, w->held[i].packet);
	if (w->kick_fd >= 0)
		close(w->kick_fd);
	ring_free(w->notes);
	pool_free(w->pool);
}
