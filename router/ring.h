/*
 * A bounded ring of records from one thread to another: what the workers tell
 * the control thread. One producer, one consumer, no lock, no memory after
 * ring_new. When it is full the producer drops and counts; it never waits.
 */
#ifndef ROUTER_RING_H
#define ROUTER_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring;

/* A ring of at least `slots` records (rounded up to a power of two) of up to
 * slot_bytes each. NULL: out of memory, or a size of zero or beyond reason. */
struct ring *ring_new(size_t slots, size_t slot_bytes);
/* Both threads must be done with it. NULL is fine. */
void ring_free(struct ring *);

/* Producer: room for slot_bytes, aligned for anything, to be filled in place;
 * NULL when the ring is full. Without a commit nothing has happened. */
void *ring_reserve(struct ring *);
/* Producer: how many more records there is room for. */
size_t ring_room(struct ring *);
/* Producer: hands the reserved record over with the length it has (at most
 * slot_bytes; 0 is a record too). */
void ring_commit(struct ring *, uint32_t len);

/* Consumer: the oldest record, which stays valid until it is released; NULL when
 * there is none. */
void *ring_peek(struct ring *, uint32_t *ret_len);
/* Consumer: gives back the record that ring_peek returned. */
void ring_release(struct ring *);

#endif
