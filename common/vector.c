/*
 * A vector in chunks, whose copies share them.
 *
 * Two levels are enough for what it is used for: a copy costs a pointer and a
 * counter for each 64 objects, a change of one object 64 more.
 */
#include "common/vector.h"

#include <stdlib.h>
#include <string.h>

static void drop(const struct vector *v, struct shared *object)
{
	if (object && --object->refs == 0)
		v->ops->free(object);
}

static void chunk_drop(const struct vector *v, struct vector_chunk *c)
{
	if (!c || --c->shared.refs)
		return;
	for (unsigned k = 0; k < VECTOR_CHUNK; k++)
		drop(v, c->at[k]);
	free(c);
}

void vector_init(struct vector *v, const struct vector_ops *ops)
{
	*v = (struct vector){ .ops = ops };
}

void vector_done(struct vector *v)
{
	for (uint32_t c = 0; c < v->n_chunks; c++)
		chunk_drop(v, v->chunks[c]);
	free(v->chunks);
	vector_init(v, v->ops);
}

bool vector_share(struct vector *v, const struct vector *from)
{
	vector_init(v, from->ops);
	if (!from->n_chunks)
		return true;
	v->chunks = malloc(from->n_chunks * sizeof(v->chunks[0]));
	if (!v->chunks)
		return false;
	v->n_chunks = from->n_chunks;
	memcpy(v->chunks, from->chunks, v->n_chunks * sizeof(v->chunks[0]));
	for (uint32_t c = 0; c < v->n_chunks; c++)
		if (v->chunks[c])
			v->chunks[c]->shared.refs++;
	return true;
}

/* Makes the vector at least n chunks long. */
static bool grow(struct vector *v, uint32_t n)
{
	struct vector_chunk **chunks;

	if (n <= v->n_chunks)
		return true;
	chunks = realloc(v->chunks, n * sizeof(chunks[0]));
	if (!chunks)
		return false;
	memset(chunks + v->n_chunks, 0, (n - v->n_chunks) * sizeof(chunks[0]));
	v->chunks = chunks;
	v->n_chunks = n;
	return true;
}

/* The chunk of a place, made if it isn't there, shared with nobody. */
static struct vector_chunk *chunk_own(struct vector *v, uint32_t i)
{
	struct vector_chunk **at, *c;

	if (!grow(v, i / VECTOR_CHUNK + 1))
		return NULL;
	at = &v->chunks[i / VECTOR_CHUNK];
	if (*at && (*at)->shared.refs == 1)
		return *at;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (*at) {
		*c = **at;
		for (unsigned k = 0; k < VECTOR_CHUNK; k++)
			if (c->at[k])
				c->at[k]->refs++;
		chunk_drop(v, *at);
	}
	c->shared.refs = 1;
	*at = c;
	return c;
}

void *vector_own(struct vector *v, uint32_t i)
{
	struct vector_chunk *c = chunk_own(v, i);
	struct shared **at, *copy;

	if (!c)
		return NULL;
	at = &c->at[i % VECTOR_CHUNK];
	if ((*at)->refs > 1) {
		copy = v->ops->copy(*at);
		if (!copy)
			return NULL;
		drop(v, *at);
		*at = copy;
	}
	return *at;
}

bool vector_set(struct vector *v, uint32_t i, void *object)
{
	struct vector_chunk *c = chunk_own(v, i);
	struct shared **at;

	if (!c)
		return false;
	at = &c->at[i % VECTOR_CHUNK];
	c->n += (object != NULL) - (*at != NULL);
	drop(v, *at);
	*at = object;
	if (c->n == 0) { /* chunks at the end go, so that a vector gets short again */
		v->chunks[i / VECTOR_CHUNK] = NULL;
		chunk_drop(v, c);
		while (v->n_chunks && !v->chunks[v->n_chunks - 1])
			v->n_chunks--;
	}
	return true;
}

uint32_t vector_free_place(const struct vector *v)
{
	for (uint32_t c = 0; c < v->n_chunks; c++) {
		const struct vector_chunk *chunk = v->chunks[c];

		if (!chunk)
			return c * VECTOR_CHUNK;
		for (unsigned k = 0; chunk->n < VECTOR_CHUNK; k++)
			if (!chunk->at[k])
				return c * VECTOR_CHUNK + k;
	}
	return vector_end(v);
}
