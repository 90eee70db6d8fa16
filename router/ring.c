/*
 * A single-producer, single-consumer ring of fixed slots.
 *
 * `head` counts the records ever committed and is written by the producer alone,
 * `tail` those ever released, by the consumer alone; both run on and wrap, and
 * head - tail is what the ring holds. A release store of one's own counter after
 * the slot was filled (or read), and an acquire load of the other's before it is
 * touched, are all the order that is needed.
 *
 * Each side remembers the other's counter and looks again only when that says
 * full or empty, and what each side writes has a cache line of its own: in the
 * normal case the two threads do not slow each other down.
 *
 * The ring wakes nobody: who wants that has an eventfd beside it.
 */
#include "router/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LINE 64 /* bytes of a cache line */
#define SLOTS_MAX (1u << 24)
#define SLOT_BYTES_MAX (1u << 24)

struct slot {
	alignas(max_align_t) uint32_t len;
	alignas(max_align_t) unsigned char data[];
};

struct ring {
	/* producer's */
	alignas(LINE) atomic_size_t head;
	size_t tail_seen;

	/* consumer's */
	alignas(LINE) atomic_size_t tail;
	size_t head_seen;

	/* read only */
	alignas(LINE) size_t mask;
	size_t stride; /* bytes from slot to slot */
	unsigned char *slots;
};

struct ring *ring_new(size_t slots, size_t slot_bytes)
{
	struct ring *r;
	size_t count = 1;

	if (slots == 0 || slot_bytes == 0 || slots > SLOTS_MAX || slot_bytes > SLOT_BYTES_MAX)
		return NULL;
	while (count < slots)
		count *= 2;

	r = aligned_alloc(LINE, sizeof(*r));
	if (!r)
		return NULL;
	atomic_init(&r->head, 0);
	atomic_init(&r->tail, 0);
	r->tail_seen = r->head_seen = 0;
	r->mask = count - 1;
	r->stride = (sizeof(struct slot) + slot_bytes + LINE - 1) / LINE * LINE;
	r->slots = aligned_alloc(LINE, count * r->stride);
	if (!r->slots) {
		free(r);
		return NULL;
	}
	return r;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	free(r->slots);
	free(r);
}

static struct slot *slot_at(struct ring *r, size_t count)
{
	return (struct slot *)(r->slots + (count & r->mask) * r->stride);
}

void *ring_reserve(struct ring *r)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	if (head - r->tail_seen > r->mask) {
		r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
		if (head - r->tail_seen > r->mask)
			return NULL;
	}
	return slot_at(r, head)->data;
}

size_t ring_room(struct ring *r)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	return r->mask + 1 - (head - r->tail_seen);
}

void ring_commit(struct ring *r, uint32_t len)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	slot_at(r, head)->len = len;
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

void *ring_peek(struct ring *r, uint32_t *ret_len)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	struct slot *s;

	if (tail == r->head_seen) {
		r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
		if (tail == r->head_seen)
			return NULL;
	}
	s = slot_at(r, tail);
	*ret_len = s->len;
	return s->data;
}

void ring_release(struct ring *r)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}
