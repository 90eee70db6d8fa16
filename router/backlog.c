/*
 * Backlog, see backlog.h.
 *
 * Queue frames are kept as they came: the outer header is of no more use than to say what
 * DSCP and ECN the frame inside has (its network field), and is made anew when the frame
 * leaves, under the keys of that moment. Frames of this router's own are kept finished.
 *
 * In the sum of all packets, one that is kept is consumed, and made again when it is taken
 * or lost.
 */
#include "router/backlog.h"

#include <stdlib.h>
#include <string.h>

#include "router/stage.h"

#define ECT_MASK 3
#define NOT_ECT 0
#define CE 3

struct backlog {
	atomic_flag busy;
	_Atomic bool on;
	struct queue *queue;
};

static void hold_it(struct backlog *b)
{
	while (atomic_flag_test_and_set_explicit(&b->busy, memory_order_acquire))
		sched_yield();
}

static void release(struct backlog *b)
{
	atomic_flag_clear_explicit(&b->busy, memory_order_release);
}

struct backlog *backlog_new(const struct queue_limits *limits)
{
	struct backlog *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	atomic_flag_clear(&b->busy);
	b->queue = queue_new(limits);
	if (b->queue)
		return b;
	free(b);
	return NULL;
}

size_t backlog_free(struct backlog *b)
{
	size_t left = b ? queue_frames(b->queue) : 0;

	if (b)
		queue_free(b->queue);
	free(b);
	return left;
}

void backlog_set(struct backlog *b, bool on)
{
	atomic_store_explicit(&b->on, on, memory_order_relaxed);
}

bool backlog_is_on(const struct backlog *b)
{
	return b && atomic_load_explicit(&b->on, memory_order_relaxed);
}

static void count(struct worker *w, const struct queue_losses *l)
{
	if (!l->full && !l->old)
		return;
	counter_add(&w->counters.made, l->full + l->old);
	counter_add(&w->counters.drops[DROP_WAIT_FULL], l->full);
	counter_add(&w->counters.drops[DROP_WAIT_OLD], l->old);
}

/* RFC 3168: only what says that it understands is marked. */
static uint8_t mark(uint8_t tos)
{
	return (tos & ECT_MASK) != NOT_ECT ? tos | CE : tos;
}

bool backlog_put(struct backlog *b, struct worker *w, const struct packet *p, mono_t now)
{
	struct queue_losses losses = { 0 };
	struct frame_header h;
	bool crowded, kept;

	hold_it(b);
	crowded = queue_is_crowded(b->queue);
	if (frame_parse(p->data, p->len, &h) == FRAME_OK && h.type == FRAME_QUEUE) {
		h.network = crowded ? mark(p->outer_tos) : p->outer_tos;
		frame_format(&h, p->data);
	}
	kept = queue_put(b->queue, p->data, p->len, now, &losses);
	crowded = queue_is_crowded(b->queue);
	release(b);
	if (p->path) /* who seals for it, see seal.c */
		atomic_store_explicit(&p->path->crowded, crowded, memory_order_relaxed);
	count(w, &losses);
	return kept;
}

size_t backlog_take(struct backlog *b, struct worker *w, struct batch *to, size_t bytes, mono_t now)
{
	struct queue_losses losses = { 0 };
	const uint8_t *frame;
	size_t len, at, taken = 0;

	hold_it(b);
	queue_expire(b->queue, now, &losses);
	while (to->n < BATCH_MAX && (at = 0, frame = queue_next(b->queue, &at, &len)) != NULL &&
	       taken + len <= bytes) {
		struct packet *p = pool_get(w->pool);

		if (!p)
			break;
		memcpy(p->data, frame, len);
		p->len = (uint32_t)len;
		queue_pop(b->queue);
		taken += len;
		batch_add(to, p);
	}
	release(b);
	counter_add(&w->counters.made, to->n);
	count(w, &losses);
	return taken;
}

size_t backlog_bytes(struct backlog *b)
{
	size_t n;

	hold_it(b);
	n = queue_bytes(b->queue);
	release(b);
	return n;
}
