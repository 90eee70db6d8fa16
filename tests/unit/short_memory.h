/*
 * An allocator that fails when it is told to, and counts bytes. It replaces that of the
 * program which includes this: these functions call the next ones (the C library's,
 * or a sanitizer's). Leaks are the sanitizer's to find.
 */
#ifndef TESTS_UNIT_SHORT_MEMORY_H
#define TESTS_UNIT_SHORT_MEMORY_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

static struct {
	long fail_at; /* the allocation to fail, counted down; 0: none */
	size_t bytes; /* asked for so far */
} memory;

static int memory_fails(size_t size)
{
	if (memory.fail_at > 0 && --memory.fail_at == 0)
		return 1;
	memory.bytes += size;
	return 0;
}

static void *memory_next(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	if (!fn)
		abort();
	return fn;
}

void *malloc(size_t size)
{
	static void *(*next)(size_t);

	if (!next)
		next = (void *(*)(size_t))memory_next("malloc");
	return memory_fails(size) ? NULL : next(size);
}

void *calloc(size_t n, size_t size)
{
	static void *(*next)(size_t, size_t);

	if (!next)
		next = (void *(*)(size_t, size_t))memory_next("calloc");
	return memory_fails(n * size) ? NULL : next(n, size);
}

void *realloc(void *old, size_t size)
{
	static void *(*next)(void *, size_t);

	if (!next)
		next = (void *(*)(void *, size_t))memory_next("realloc");
	return memory_fails(size) ? NULL : next(old, size);
}

#endif
