/*
 * Allocation that doesn't fail. The authority keeps its state in a store and what it
 * has acknowledged is there, so that out of memory it ends at once (abort) and is
 * started again, rather than carry on with a registry that is half changed.
 */
#ifndef AUTHORITY_MEMORY_H
#define AUTHORITY_MEMORY_H

#include <stddef.h>

#include <jansson.h>

/* Zeroed; n may be 0. */
void *mem_new(size_t n, size_t size);
/* As reallocarray; n may be 0. */
void *mem_grow(void *, size_t n, size_t size);
/* Room for one more of what `n` there are: grows an array by doubling. */
void *mem_more(void *, size_t n, size_t *capacity, size_t size);
/* NULL stays NULL. */
char *mem_text(const char *);
/* Makes a text printable ASCII, in place: others' words may be cut anywhere, and what is no
 * UTF-8 is no JSON. */
void mem_printable(char *text);
/* A JSON value that was just made, not NULL. */
json_t *mem_json(json_t *);
char *mem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
