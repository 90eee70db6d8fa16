/*
 * Frames that wait, see queue.h: records one behind the other in a ring of bytes.
 *
 * A record is never split: where it would pass the end of the ring the rest is
 * skipped and the record begins at the front. `size` is the ring; head and tail
 * run on for ever and are taken modulo size, so full and empty look different.
 */
#include "router/queue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 16 /* of records */

struct record {
	mono_t since;
	uint32_t len; /* of the frame behind it; SKIP: nothing up to the ring's end */
	uint32_t unused;
};

#define SKIP UINT32_MAX

_Static_assert(sizeof(struct record) % ALIGN == 0, "records stay aligned");

struct queue {
	uint8_t *ring;
	size_t size;
	uint64_t head, tail; /* oldest byte, first free byte */
	size_t frames;
	int64_t age;
};

static size_t room_of(size_t len)
{
	return sizeof(struct record) + (len + ALIGN - 1) / ALIGN * ALIGN;
}

static struct record *record_at(const struct queue *q, uint64_t at)
{
	return (struct record *)(q->ring + at % q->size);
}

/* Where the record at or behind `at` is. */
static uint64_t skip(const struct queue *q, uint64_t at)
{
	if (at < q->tail && record_at(q, at)->len == SKIP)
		at += q->size - at % q->size;
	return at;
}

struct queue *queue_new(const struct queue_limits *limits)
{
	struct queue *q;

	if (limits->bytes < room_of(1))
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->size = limits->bytes / ALIGN * ALIGN;
	q->age = limits->age;
	q->ring = mmap(NULL, q->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->ring == MAP_FAILED) {
		free(q);
		return NULL;
	}
	return q;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	munmap(q->ring, q->size);
	free(q);
}

void queue_pop(struct queue *q)
{
	uint64_t at = skip(q, q->head);

	if (!q->frames)
		return;
	q->head = at + room_of(record_at(q, at)->len);
	if (!--q->frames)
		q->head = q->tail = 0; /* the same few pages again */
}

void queue_expire(struct queue *q, mono_t now, struct queue_losses *losses)
{
	while (q->frames && mono_since(now, record_at(q, skip(q, q->head))->since) > q->age) {
		queue_pop(q);
		losses->old++;
	}
}

/* Bytes that a record of this room would take: with what is skipped at the ring's end. */
static size_t needed(const struct queue *q, size_t room)
{
	size_t left = q->size - q->tail % q->size;

	return room > left ? left + room : room;
}

bool queue_put(struct queue *q, const uint8_t *frame, size_t len, mono_t now,
	       struct queue_losses *losses)
{
	size_t room = room_of(len);
	struct record *r;

	if (len > q->size || room > q->size / 2)
		return false; /* so there is room once the queue is empty, wherever its end is */
	queue_expire(q, now, losses);
	while (q->tail - q->head + needed(q, room) > q->size) {
		queue_pop(q);
		losses->full++;
	}
	if (needed(q, room) > room) {
		record_at(q, q->tail)->len = SKIP;
		q->tail += q->size - q->tail % q->size;
	}
	r = record_at(q, q->tail);
	r->since = now;
	r->len = (uint32_t)len;
	memcpy(r + 1, frame, len);
	q->tail += room;
	q->frames++;
	return true;
}

const uint8_t *queue_next(const struct queue *q, size_t *at, size_t *ret_len)
{
	uint64_t where = skip(q, q->head + *at);
	const struct record *r;

	if (where >= q->tail)
		return NULL;
	r = record_at(q, where);
	*ret_len = r->len;
	*at = (size_t)(where - q->head) + room_of(r->len);
	return (const uint8_t *)(r + 1);
}

size_t queue_frames(const struct queue *q)
{
	return q->frames;
}

size_t queue_bytes(const struct queue *q)
{
	return (size_t)(q->tail - q->head);
}

bool queue_is_crowded(const struct queue *q)
{
	return q->tail - q->head > q->size / 4;
}
