/*
 * One thread beside the event loop, for calls that wait for disk or network: works are run
 * in the order in which they came, and come back to the loop when they are done.
 */
#ifndef AUTHORITY_WORK_H
#define AUTHORITY_WORK_H

#include "common/list.h"

struct event_base;
struct worker;

struct work {
	void (*run)(struct work *);  /* in the thread */
	void (*done)(struct work *); /* in the loop */
	/* Works of the same kind that wait one behind the other may run as one: the first
	 * gets the next ones (work_next) while it runs. NULL: never. */
	const void *kind;
	struct list node;
};

/* NULL with errno. */
struct worker *worker_new(struct event_base *);
/* Runs what waits, gives back nothing of it, and ends the thread. */
void worker_free(struct worker *);
void worker_post(struct worker *, struct work *);
/* From run: the next that waits, if it is of that kind; it counts as run. */
struct work *worker_next(struct worker *, const void *kind);
/* Whether nothing waits, runs, or is on its way back. */
bool worker_idle(const struct worker *);

#endif
