/*
 * The event loop: epoll for descriptors, a binary heap for timers.
 *
 * Events are level-triggered, so a callback may leave work for the next turn. A
 * turn takes a bounded number of events from the kernel and then calls their
 * functions one after the other; loop_remove strikes a source out of those still
 * to be called, which makes it safe to remove (and free) any source from any
 * callback.
 *
 * The heap orders by time and then by the order of setting: with a virtual clock
 * a run is the same each time. Each timer knows its place in the heap, so that
 * moving or cancelling one needs no search. Timers are taken off one at a time
 * before they are called: a callback may set or cancel any, its own included.
 *
 * The loop belongs to one thread and knows no signals but as signalfd sources.
 */
#include "common/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64

struct entry {
	mono_t when;
	uint64_t order; /* of setting, among equal times */
	struct timer *timer;
};

struct loop {
	int epoll;
	bool coarse; /* the kernel (before 5.11) waits in milliseconds only */
	struct loop_hooks hooks;

	/* what the kernel reported this turn; events[at..n-1] are still to be called */
	struct epoll_event events[EVENTS_MAX];
	int at, n;

	struct entry *heap; /* heap[0] is unused: slots count from 1 */
	size_t armed, room;
	uint64_t order;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	close(l->epoll);
	free(l->heap);
	free(l);
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &e) < 0 ? -errno : 0;
}

int loop_modify(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &e) < 0)
		return -errno;
	/* What is no longer asked for is no longer reported, already in this turn. */
	for (int i = l->at; i < l->n; i++)
		if (l->events[i].data.ptr == s)
			l->events[i].events &= events | EPOLLERR | EPOLLHUP;
	return 0;
}

void loop_remove(struct loop *l, struct source *s)
{
	/* Fails if the descriptor is closed already: then it is gone from epoll too. */
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	for (int i = l->at; i < l->n; i++)
		if (l->events[i].data.ptr == s)
			l->events[i].data.ptr = NULL;
}

static bool earlier(const struct entry *a, const struct entry *b)
{
	if (a->when.ns != b->when.ns)
		return a->when.ns < b->when.ns;
	return a->order < b->order;
}

static void place(struct loop *l, size_t slot, struct entry e)
{
	l->heap[slot] = e;
	e.timer->slot = slot;
}

/* Puts e at slot or, where the heap's order wants it, above or below. */
static void settle(struct loop *l, size_t slot, struct entry e)
{
	while (slot > 1 && earlier(&e, &l->heap[slot / 2])) {
		place(l, slot, l->heap[slot / 2]);
		slot /= 2;
	}
	for (size_t child; (child = slot * 2) <= l->armed; slot = child) {
		if (child < l->armed && earlier(&l->heap[child + 1], &l->heap[child]))
			child++;
		if (!earlier(&l->heap[child], &e))
			break;
		place(l, slot, l->heap[child]);
	}
	place(l, slot, e);
}

static int heap_grow(struct loop *l)
{
	size_t room = l->room ? l->room * 2 : 16;
	struct entry *heap = reallocarray(l->heap, room, sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->room = room;
	return 0;
}

int timer_set(struct loop *l, struct timer *t, mono_t when)
{
	struct entry e = { .when = when, .timer = t };

	if (!mono_is_set(when)) {
		timer_cancel(l, t);
		return 0;
	}
	if (!timer_is_set(t)) {
		if (l->armed + 1 >= l->room && heap_grow(l) < 0)
			return -ENOMEM;
		t->slot = ++l->armed;
	}
	t->when = when;
	e.order = ++l->order;
	settle(l, t->slot, e);
	return 0;
}

void timer_cancel(struct loop *l, struct timer *t)
{
	size_t slot = t->slot;
	struct entry last;

	if (!timer_is_set(t))
		return;
	t->slot = 0;
	last = l->heap[l->armed--];
	if (last.timer != t)
		settle(l, slot, last);
}

bool timer_is_set(const struct timer *t)
{
	return t->slot != 0;
}

mono_t loop_next(const struct loop *l)
{
	return l->armed ? l->heap[1].when : (mono_t){ 0 };
}

void loop_fire(struct loop *l, mono_t now)
{
	for (size_t left = l->armed; left && l->armed && !mono_before(now, l->heap[1].when);
	     left--) {
		struct timer *t = l->heap[1].timer;

		timer_cancel(l, t);
		t->fn(t, now);
	}
}

void loop_set_hooks(struct loop *l, const struct loop_hooks *hooks)
{
	l->hooks = *hooks;
}

/* How long to wait: until the next timer, at most max_wait (negative: no bound). */
static int64_t wait_time(const struct loop *l, int64_t max_wait)
{
	int64_t until;

	if (max_wait == 0 || !l->armed)
		return max_wait;
	until = mono_since(loop_next(l), clock_now());
	if (until < 0)
		until = 0;
	return max_wait < 0 || until < max_wait ? until : max_wait;
}

/* Waits at most so many nanoseconds; events, or 0. */
static int wait_events(struct loop *l, int64_t wait)
{
	struct timespec ts = { .tv_sec = wait / SEC, .tv_nsec = wait % SEC };
	int n = -1;

	if (!l->coarse) {
		n = epoll_pwait2(l->epoll, l->events, EVENTS_MAX, wait < 0 ? NULL : &ts, NULL);
		l->coarse = n < 0 && errno == ENOSYS;
	}
	if (l->coarse) {
		/* Rounded up: a timer must not be waited for in a busy loop. */
		int64_t ms = wait < 0 ? -1 : (wait + MSEC - 1) / MSEC;
		n = epoll_wait(l->epoll, l->events, EVENTS_MAX, ms > 60000 ? 60000 : (int)ms);
	}
	return n < 0 ? 0 : n; /* a signal's handler ran */
}

mono_t loop_turn(struct loop *l, int64_t max_wait)
{
	int64_t wait = wait_time(l, max_wait);
	mono_t now;

	if (l->hooks.before_wait)
		l->hooks.before_wait(l->hooks.arg);
	l->n = wait_events(l, wait);
	if (l->hooks.after_wait)
		l->hooks.after_wait(l->hooks.arg);

	now = clock_now();
	for (l->at = 0; l->at < l->n;) {
		struct epoll_event *e = &l->events[l->at++];
		struct source *s = e->data.ptr;

		if (s && e->events)
			s->fn(s, e->events, now);
	}
	l->at = l->n = 0;
	loop_fire(l, now);
	return now;
}
