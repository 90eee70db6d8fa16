/*
 * Monotonic time as a type of its own, so that it can't be mixed up with a
 * duration (int64_t nanoseconds) or with the time of day.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* A point in time, nanoseconds since an arbitrary start. Zero is "never". */
typedef struct {
	int64_t ns;
} mono_t;

#define USEC 1000LL
#define MSEC 1000000LL
#define SEC 1000000000LL

/* CLOCK_MONOTONIC. Only loops read it; everything else is told the time. */
mono_t clock_now(void);

static inline mono_t mono_add(mono_t t, int64_t ns)
{
	return (mono_t){ t.ns + ns };
}

/* Nanoseconds from b to a. */
static inline int64_t mono_since(mono_t a, mono_t b)
{
	return a.ns - b.ns;
}

static inline bool mono_before(mono_t a, mono_t b)
{
	return a.ns < b.ns;
}

static inline bool mono_is_set(mono_t t)
{
	return t.ns != 0;
}

/* The earlier one of two, either of which may be "never". */
static inline mono_t mono_earlier(mono_t a, mono_t b)
{
	return !mono_is_set(b) || (mono_is_set(a) && a.ns < b.ns) ? a : b;
}

#endif
