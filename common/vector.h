/*
 * A vector of pointers to objects that several tables share, with the copy of a
 * vector for little: it takes over whole chunks of 64.
 *
 * An object begins with its number of references (struct shared). As in lpm.h, one
 * thread changes vectors and counts; others look into copies that outlive them.
 */
#ifndef COMMON_VECTOR_H
#define COMMON_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VECTOR_CHUNK 64

/* What an object begins with. */
struct shared {
	uint32_t refs;
};

struct vector_chunk {
	struct shared shared;
	uint32_t n; /* that are not NULL */
	struct shared *at[VECTOR_CHUNK];
};

/* Embedded; the fields are vector.c's. */
struct vector {
	struct vector_chunk **chunks;
	uint32_t n_chunks;
	const struct vector_ops *ops;
};

/* What to do with objects. copy: another one with one reference, NULL: out of
 * memory; free: nobody refers to it any more. */
struct vector_ops {
	struct shared *(*copy)(const struct shared *);
	void (*free)(struct shared *);
};

void vector_init(struct vector *, const struct vector_ops *);
void vector_done(struct vector *);
/* Makes a vector, not yet initialised, one with the same objects. False: out of
 * memory, it is empty then. */
bool vector_share(struct vector *, const struct vector *from);

/* The object at a place, NULL if there is none. */
static inline const void *vector_get(const struct vector *v, uint32_t i)
{
	if (i / VECTOR_CHUNK >= v->n_chunks || !v->chunks[i / VECTOR_CHUNK])
		return NULL;
	return v->chunks[i / VECTOR_CHUNK]->at[i % VECTOR_CHUNK];
}

/* A bound on places. */
static inline uint32_t vector_end(const struct vector *v)
{
	return v->n_chunks * VECTOR_CHUNK;
}

/* The object at a place, which is there, for changing: a copy of its own if
 * others share it. NULL: out of memory. */
void *vector_own(struct vector *, uint32_t i);
/* Puts an object, whose reference it takes over, in the place of what is there;
 * NULL: takes that out. False: out of memory, and nothing is taken over. */
bool vector_set(struct vector *, uint32_t i, void *object);
/* The first free place. */
uint32_t vector_free_place(const struct vector *);

#endif
