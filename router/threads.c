/*
 * Threads of workers, see threads.h.
 *
 * A change is prepared while they run: new loops that watch what each is to read then
 * (a descriptor may be in two), and new threads, that wait. Then each ends its turn and
 * waits too, offline for RCU. The last one to come makes the change, some assignments,
 * and all go on in their new loops; the control thread, which waits for them, need not
 * get the processor in between. Meanwhile packets wait in the kernel's queues: for a
 * turn of the slowest, and two switches of context.
 */
#include "router/threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#include "router/router.h"

struct thread {
	pthread_t id;
	struct threads *all;
	struct loop *loop, *next; /* to turn, and from the next change on */
	_Atomic bool run;	  /* false: it is to wait at the end of its turn */
	bool exists;		  /* the control thread's */
	bool stop;		  /* with the lock */
};

struct threads {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned waiting;      /* threads */
	struct router *router; /* with `awaited` threads waiting, it gets */
	unsigned awaited, n;   /* ... so many workers; awaited 0: no change is under way */
	mono_t begun;
	int64_t pause; /* of the last change */
	struct thread of[WORKERS_MAX];
};

static void go_offline(void *arg)
{
	(void)arg;
	rcu_thread_offline();
}

static void go_online(void *arg)
{
	(void)arg;
	rcu_thread_online();
}

const struct loop_hooks threads_rcu_hooks = { .before_wait = go_offline, .after_wait = go_online };

/* ---- the change ------------------------------------------------------------------ */

/* Each thread in its next loop, those beyond n in none; `next` is the one before. */
static void exchange_loops(struct threads *all, struct router *r, unsigned n, mono_t now)
{
	for (unsigned i = 0; i < r->n_made; i++) {
		struct thread *t = &all->of[i];
		struct loop *before = t->loop;

		t->loop = i < n ? t->next : NULL;
		t->next = before;
		worker_attach(&r->workers[i], t->loop, now);
	}
}

/* With the lock, while all wait. */
static void make_change(struct threads *all)
{
	router_deal(all->router, all->n, all->begun);
	exchange_loops(all, all->router, all->n, all->begun);
	for (unsigned i = 0; i < all->n; i++)
		atomic_store_explicit(&all->of[i].run, true, memory_order_release);
	all->awaited = 0;
	all->pause = mono_since(clock_now(), all->begun);
	pthread_cond_broadcast(&all->changed);
}

/* ---- a thread -------------------------------------------------------------------- */

/* Until it may run; false: it is to end. */
static bool wait_for_leave(struct thread *t)
{
	struct threads *all = t->all;
	bool stop;

	rcu_thread_offline();
	pthread_mutex_lock(&all->lock);
	all->waiting++;
	if (all->waiting == all->awaited)
		make_change(all);
	else
		pthread_cond_broadcast(&all->changed);
	while (!atomic_load_explicit(&t->run, memory_order_relaxed) && !t->stop)
		pthread_cond_wait(&all->changed, &all->lock);
	all->waiting--;
	stop = t->stop;
	pthread_mutex_unlock(&all->lock);
	rcu_thread_online();
	return !stop;
}

static void *run(void *arg)
{
	struct thread *t = arg;

	rcu_register_thread();
	while (atomic_load_explicit(&t->run, memory_order_acquire) || wait_for_leave(t))
		loop_turn(t->loop, -1);
	rcu_unregister_thread();
	return NULL;
}

static int create(struct threads *all, unsigned i)
{
	struct thread *t = &all->of[i];
	sigset_t every, old;
	char name[16];
	int e;

	t->all = all;
	t->stop = false;
	atomic_store(&t->run, false);
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &old);
	e = pthread_create(&t->id, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e)
		return -e;
	t->exists = true;
	snprintf(name, sizeof(name), "worker %u", i);
	pthread_setname_np(t->id, name);
	return 0;
}

/* ---- all of them ----------------------------------------------------------------- */

/* Has them all stop, `fresh` new ones besides, the change made, and those go on that are
 * left. */
static void change(struct threads *all, struct router *r, unsigned n, unsigned fresh)
{
	unsigned exist = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++)
		exist += all->of[i].exists;
	rcu_thread_offline();
	pthread_mutex_lock(&all->lock);
	while (all->waiting < fresh)
		pthread_cond_wait(&all->changed, &all->lock);
	all->router = r;
	all->n = n;
	all->awaited = exist;
	all->begun = clock_now();
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (all->of[i].exists && atomic_exchange(&all->of[i].run, false))
			worker_kick(&r->workers[i]);
	if (all->waiting == all->awaited)
		make_change(all);
	while (all->awaited)
		pthread_cond_wait(&all->changed, &all->lock);
	pthread_mutex_unlock(&all->lock);
	rcu_thread_online();
}

/* Those from this number on, which do not run. */
static void end_stopped(struct threads *all, unsigned from)
{
	pthread_mutex_lock(&all->lock);
	for (unsigned i = from; i < WORKERS_MAX; i++)
		all->of[i].stop = true;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	rcu_thread_offline();
	for (unsigned i = from; i < WORKERS_MAX; i++) {
		if (all->of[i].exists)
			pthread_join(all->of[i].id, NULL);
		all->of[i].exists = false;
	}
	rcu_thread_online();
}

static void free_next(struct threads *all)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		loop_free(all->of[i].next);
		all->of[i].next = NULL;
	}
}

static int prepare(struct threads *all, struct router *r, unsigned n)
{
	int e = 0;

	for (unsigned i = 0; !e && i < n; i++) {
		struct thread *t = &all->of[i];

		t->next = loop_new();
		if (!t->next)
			return -ENOMEM;
		loop_set_hooks(t->next, &threads_rcu_hooks);
		e = worker_watch(&r->workers[i], t->next, n);
		if (!e && !t->exists)
			e = create(all, i);
	}
	return e;
}

int threads_set(struct threads *all, struct router *r, unsigned n, int64_t *ret_pause)
{
	unsigned before = 0;
	int e;

	while (before < WORKERS_MAX && all->of[before].exists)
		before++;
	e = prepare(all, r, n);
	if (e) {
		end_stopped(all, before);
		free_next(all);
		return e;
	}
	change(all, r, n, n > before ? n - before : 0);
	*ret_pause = all->pause;
	end_stopped(all, n);
	free_next(all);
	router_kick(r); /* what waits may have been handed over */
	router_dismiss(r, clock_now());
	return 0;
}

/* ---- life ------------------------------------------------------------------------ */

struct threads *threads_new(void)
{
	struct threads *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->changed, NULL);
	return all;
}

void threads_free(struct threads *all, struct router *r)
{
	if (!all)
		return;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (atomic_exchange(&all->of[i].run, false))
			worker_kick(&r->workers[i]);
	end_stopped(all, 0);
	exchange_loops(all, r, 0, clock_now());
	free_next(all);
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all);
}
