/*
 * Two lists under one lock: what waits, and what has been run. An eventfd wakes the loop.
 */
#include "authority/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list waiting, run;
	struct list joined; /* the thread's own: run together with the one that it runs */
	bool stop;
	int fd;
	struct event *event;
	size_t n; /* under way, as the loop sees it */
};

static struct work *first(struct list *l)
{
	return list_is_empty(l) ? NULL : container_of(l->next, struct work, node);
}

static void *serve(void *arg)
{
	struct worker *w = arg;
	const uint64_t one = 1;
	struct work *work;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!(work = first(&w->waiting)) && !w->stop)
			pthread_cond_wait(&w->more, &w->lock);
		if (!work)
			break;
		list_remove(&work->node);
		pthread_mutex_unlock(&w->lock);
		work->run(work);
		pthread_mutex_lock(&w->lock);
		list_insert(&w->run, &work->node);
		while ((work = first(&w->joined))) {
			list_remove(&work->node);
			list_insert(&w->run, &work->node);
		}
		if (write(w->fd, &one, sizeof(one)) < 0)
			continue; /* it is readable already */
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct work *worker_next(struct worker *w, const void *kind)
{
	struct work *next;

	pthread_mutex_lock(&w->lock);
	next = first(&w->waiting);
	if (next && next->kind == kind) {
		list_remove(&next->node);
		list_insert(&w->joined, &next->node);
	} else {
		next = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	return next;
}

static void back(evutil_socket_t fd, short events, void *arg)
{
	struct worker *w = arg;
	struct list ready;
	struct work *work;
	uint64_t n;

	(void)events;
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	list_init(&ready);
	pthread_mutex_lock(&w->lock);
	while ((work = first(&w->run))) {
		list_remove(&work->node);
		list_insert(&ready, &work->node);
	}
	pthread_mutex_unlock(&w->lock);
	while ((work = first(&ready))) {
		list_remove(&work->node);
		w->n--;
		work->done(work);
	}
}

struct worker *worker_new(struct event_base *base)
{
	struct worker *w = calloc(1, sizeof(*w));
	sigset_t all, old;
	int e;

	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	list_init(&w->waiting);
	list_init(&w->run);
	list_init(&w->joined);
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->event = w->fd < 0 ? NULL : event_new(base, w->fd, EV_READ | EV_PERSIST, back, w);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = !w->event || event_add(w->event, NULL) ? ENOMEM
						   : pthread_create(&w->thread, NULL, serve, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!e)
		return w;
	if (w->event)
		event_free(w->event);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
	errno = e;
	return NULL;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	event_free(w->event);
	close(w->fd);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

void worker_post(struct worker *w, struct work *work)
{
	w->n++;
	pthread_mutex_lock(&w->lock);
	list_insert(&w->waiting, &work->node);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

bool worker_idle(const struct worker *w)
{
	return !w->n;
}
