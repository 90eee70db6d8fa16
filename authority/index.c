/*
 * Open addressing with linear probing, at most two thirds full. What is removed leaves
 * no mark: those behind it move up, so that a search never gets longer with time.
 */
#include "authority/index.h"

#include <stdlib.h>

#include "authority/memory.h"

/* FNV-1a, finished as in MurmurHash3: the table takes the low bits. Names come from
 * users whom the authority knows; each registers a bounded number of objects. */
uint32_t index_hash(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	h ^= h >> 16;
	h *= 0x85ebca6bu;
	return h ^ h >> 13;
}

void index_done(struct index *ix)
{
	free(ix->slots);
	*ix = (struct index){ 0 };
}

static void *search(const struct index *ix, const struct index_ops *ops, const void *key, size_t at,
		    size_t *ret_place)
{
	for (void *o; (o = ix->slots[at]); at = (at + 1) & (ix->size - 1)) {
		if (!ops->equal(ops->key(o), key))
			continue;
		*ret_place = at;
		return o;
	}
	return NULL;
}

void *index_first(const struct index *ix, const struct index_ops *ops, const void *key,
		  size_t *place)
{
	return ix->n ? search(ix, ops, key, ops->hash(key) & (ix->size - 1), place) : NULL;
}

void *index_next(const struct index *ix, const struct index_ops *ops, const void *key,
		 size_t *place)
{
	return search(ix, ops, key, (*place + 1) & (ix->size - 1), place);
}

void *index_get(const struct index *ix, const struct index_ops *ops, const void *key)
{
	size_t place;

	return index_first(ix, ops, key, &place);
}

static void place_object(struct index *ix, const struct index_ops *ops, void *object)
{
	size_t at = ops->hash(ops->key(object)) & (ix->size - 1);

	while (ix->slots[at])
		at = (at + 1) & (ix->size - 1);
	ix->slots[at] = object;
}

void index_put(struct index *ix, const struct index_ops *ops, void *object)
{
	if ((ix->n + 1) * 3 > ix->size * 2) {
		struct index old = *ix;

		ix->size = old.size ? old.size * 2 : 8;
		ix->slots = mem_new(ix->size, sizeof(*ix->slots));
		for (size_t i = 0; i < old.size; i++)
			if (old.slots[i])
				place_object(ix, ops, old.slots[i]);
		free(old.slots);
	}
	place_object(ix, ops, object);
	ix->n++;
}

void index_remove(struct index *ix, const struct index_ops *ops, const void *object)
{
	size_t mask = ix->size - 1, at;

	if (!ix->n)
		return;
	at = ops->hash(ops->key(object)) & mask;
	while (ix->slots[at] != object) {
		if (!ix->slots[at])
			return;
		at = (at + 1) & mask;
	}
	ix->n--;
	for (size_t next = (at + 1) & mask; ix->slots[next]; next = (next + 1) & mask) {
		size_t home = ops->hash(ops->key(ix->slots[next])) & mask;

		/* Moves up unless its home lies behind the hole. */
		if (((next - home) & mask) < ((next - at) & mask))
			continue;
		ix->slots[at] = ix->slots[next];
		at = next;
	}
	ix->slots[at] = NULL;
}
