/*
 * One thread's event loop: descriptors by epoll, timers by a heap.
 *
 * Sources and timers are embedded in their owners; the loop holds pointers to
 * them while they are added. Callbacks are told the time of the turn. A loop
 * without descriptors can be driven by a virtual clock (loop_fire).
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

struct loop;

struct source {
	int fd;
	void (*fn)(struct source *, uint32_t events, mono_t now); /* EPOLLIN ... */
};

struct timer {
	void (*fn)(struct timer *, mono_t now);
	mono_t when;
	size_t slot; /* 1-based place in the heap, 0 when not armed */
};

/* NULL when memory or descriptors are out. */
struct loop *loop_new(void);
void loop_free(struct loop *);

/* 0 or -errno. The source must stay where it is until removed. */
int loop_add(struct loop *, struct source *, uint32_t events);
int loop_modify(struct loop *, struct source *, uint32_t events);
/* Safe inside a callback, for any source of the loop, pending ones included. */
void loop_remove(struct loop *, struct source *);

/* Arms or moves a timer; -ENOMEM leaves it as it was. Zero, "never", cancels it.
 * Timers due at the same time fire in the order in which they were set. */
int timer_set(struct loop *, struct timer *, mono_t when);
void timer_cancel(struct loop *, struct timer *);
bool timer_is_set(const struct timer *);

/* Waits for descriptors (at most max_wait nanoseconds; negative: no bound),
 * calls their functions, then those of the timers that are due.
 * before_wait/after_wait bracket the system call that may sleep (RCU). */
struct loop_hooks {
	void (*before_wait)(void *arg);
	void (*after_wait)(void *arg);
	void *arg;
};
void loop_set_hooks(struct loop *, const struct loop_hooks *);
mono_t loop_turn(struct loop *, int64_t max_wait);

/* Fires the timers due at now, no system call. A timer that is set again for now
 * or earlier, over and over, can't hold it: what is left waits for the next call. */
void loop_fire(struct loop *, mono_t now);
/* When the next timer is due; {0} when none is armed. */
mono_t loop_next(const struct loop *);

#endif
