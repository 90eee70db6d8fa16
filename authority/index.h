/*
 * A hash index: finds objects by a key that they hold. It owns no object. Keys are
 * what `ops` makes of them; several objects may have equal keys.
 */
#ifndef AUTHORITY_INDEX_H
#define AUTHORITY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded; all zero is an empty index. */
struct index {
	void **slots;
	size_t n, size; /* objects; slots, a power of two */
};

struct index_ops {
	uint32_t (*hash)(const void *key);
	const void *(*key)(const void *object);
	bool (*equal)(const void *a, const void *b); /* of keys */
};

void index_done(struct index *);
/* The first object with this key, NULL: none. *place is for index_next. */
void *index_first(const struct index *, const struct index_ops *, const void *key, size_t *place);
void *index_next(const struct index *, const struct index_ops *, const void *key, size_t *place);
void *index_get(const struct index *, const struct index_ops *, const void *key);
void index_put(struct index *, const struct index_ops *, void *object);
/* Nothing happens if the object isn't there. */
void index_remove(struct index *, const struct index_ops *, const void *object);

uint32_t index_hash(const void *bytes, size_t n);

#endif
