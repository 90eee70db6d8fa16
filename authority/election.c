/*
 * Calls to the store wait in a thread of their own, since those of the service may wait for
 * long, and a beat can't. For as long as this process has the routers the thread beats,
 * whatever the loop does, unless that hangs altogether.
 *
 * No clocks are compared. Whoever hears a beat judges by its own clock how old it is; its
 * transaction to take over has the condition that no beat came after it, and that of a beat
 * is that nobody has taken over. So of two that both believe to have the routers one can
 * write nothing more, whenever it wakes up, and what routers run is written before (push.h).
 * It may have streams a moment longer; what it sends on them was in force when it could
 * still write.
 *
 * When the store doesn't answer, nobody can beat, and nobody is dead for that: who wants to
 * take over asks it first, and if that takes long, or fails, waits as long again. Whoever has
 * the routers keeps them over an election of etcd's members.
 */
#include "authority/election.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "authority/memory.h"
#include "common/clock.h"
#include "common/log.h"

#define BEAT (400 * MSEC)
#define AGAIN (100 * MSEC)    /* when one has failed */
#define STALE (1200 * MSEC)   /* since the last one was heard: it has died */
#define PROMPT (300 * MSEC)   /* a store that answers so soon could have taken a beat */
#define HOLD (5 * SEC)	      /* without a beat that was taken, until it gives up */
#define LOOP_HANGS (10 * SEC) /* without a tick */

struct election {
	struct service *service;
	struct store *store;
	struct worker *worker;
	struct event *tick;
	struct election_hooks hooks;
	char *value; /* of the key */
	struct work work;
	bool busy;
	/* the thread's while it stands */
	uint64_t seen, beat; /* revisions of the two keys */
	int result;

	pthread_mutex_t lock; /* of what follows, while it beats */
	pthread_cond_t wake;
	bool stop;
	mono_t taken;  /* the last beat that the store took: when it was sent */
	mono_t looked; /* the loop's last tick */

	bool holds, told; /* told: won has been called */
	uint64_t term;
	mono_t again; /* before then it doesn't stand */
};

/* ---- the thread ------------------------------------------------------------------ */

static struct store_condition as_seen(const char *key, uint64_t revision)
{
	return (struct store_condition){ key, revision ? STORE_AT : STORE_ABSENT, revision };
}

static struct store_entry beat_of(void)
{
	return (struct store_entry){ .key = SERVICE_BEAT, .value = "{}", .size = 2 };
}

static void run_stand(struct work *w)
{
	struct election *e = container_of(w, struct election, work);
	const struct store_condition same[] = { as_seen(SERVICE_PUBLISHER, e->seen),
						as_seen(SERVICE_BEAT, e->beat) };
	const struct store_entry changes[] = {
		{ .key = SERVICE_PUBLISHER, .value = e->value, .size = strlen(e->value) },
		beat_of(),
	};
	const struct store_transaction t = { same, 2, changes, 2 };
	mono_t from = clock_now();
	struct store_page page;

	e->result = store_get(e->store, SERVICE_BEAT, &page);
	if (e->result)
		return;
	if ((page.n ? page.entries[0].revision : 0) != e->beat)
		e->result = -EAGAIN;
	else if (e->seen && mono_since(clock_now(), from) > PROMPT)
		e->result = -ETIMEDOUT;
	store_page_done(&page);
	e->taken = clock_now();
	if (!e->result)
		e->result = store_commit(e->store, &t, &e->term);
}

/* Locked. False: it isn't to beat any more. */
static bool wait_until(struct election *e, mono_t until)
{
	const struct timespec time = { until.ns / SEC, until.ns % SEC };

	while (!e->stop && mono_before(clock_now(), until))
		pthread_cond_timedwait(&e->wake, &e->lock, &time);
	return !e->stop && mono_since(clock_now(), e->looked) < LOOP_HANGS;
}

/* Until its term has ended, or it is told to stop. */
static void run_beats(struct work *w)
{
	struct election *e = container_of(w, struct election, work);
	const struct store_condition lasts = { SERVICE_PUBLISHER, STORE_AT, e->term };
	const struct store_entry beat = beat_of();
	const struct store_transaction t = { &lasts, 1, &beat, 1 };
	mono_t next;
	int r = 0;

	pthread_mutex_lock(&e->lock);
	next = mono_add(e->taken, BEAT);
	while (r != -EAGAIN && wait_until(e, next)) {
		mono_t now = clock_now();

		pthread_mutex_unlock(&e->lock);
		r = store_commit(e->store, &t, NULL);
		pthread_mutex_lock(&e->lock);
		if (!r)
			e->taken = now;
		next = r ? mono_add(clock_now(), AGAIN) : mono_add(now, BEAT);
	}
	pthread_mutex_unlock(&e->lock);
}

static void give_back(struct election *e)
{
	const struct store_condition lasts = { SERVICE_PUBLISHER, STORE_AT, e->term };
	const struct store_entry gone[] = { { .key = SERVICE_PUBLISHER }, { .key = SERVICE_BEAT } };
	const struct store_transaction t = { &lasts, 1, gone, 2 };

	store_commit(e->store, &t, NULL);
}

/* ---- the loop -------------------------------------------------------------------- */

static void stop_beats(struct election *e)
{
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	pthread_cond_signal(&e->wake);
	pthread_mutex_unlock(&e->lock);
}

static void lose(struct election *e)
{
	bool told = e->told;

	stop_beats(e);
	e->holds = e->told = false;
	e->term = 0;
	if (told)
		e->hooks.lost(e->hooks.arg);
}

static void post(struct election *e, void (*run)(struct work *), void (*done)(struct work *))
{
	e->busy = true;
	e->work = (struct work){ .run = run, .done = done };
	list_init(&e->work.node);
	worker_post(e->worker, &e->work);
}

static void beaten(struct work *w)
{
	struct election *e = container_of(w, struct election, work);

	e->busy = false;
	if (e->holds)
		lose(e);
}

static void stood(struct work *w)
{
	struct election *e = container_of(w, struct election, work);

	e->busy = false;
	if (e->result) {
		/* Another one beats, or was faster: that is heard of soon. Else see above. */
		e->again = mono_add(clock_now(), e->result == -EAGAIN ? AGAIN : STALE);
		return;
	}
	e->holds = true;
	e->stop = false;
	e->looked = clock_now();
	post(e, run_beats, beaten);
}

/* The term has ended, as far as is known here. */
static bool has_ended(struct election *e, mono_t now)
{
	bool late;

	pthread_mutex_lock(&e->lock);
	e->looked = now;
	late = mono_since(now, e->taken) > HOLD;
	pthread_mutex_unlock(&e->lock);
	return late ||
	       (service_revision(e->service) >= e->term && service_term(e->service) != e->term);
}

static bool is_vacant(const struct election *e, mono_t now)
{
	return !*service_publisher(e->service) ||
	       mono_since(now, service_heard(e->service)) >= STALE;
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct election *e = arg;
	mono_t now = clock_now();

	(void)fd, (void)events;
	if (e->holds && has_ended(e, now))
		lose(e);
	if (e->holds && !e->told && service_revision(e->service) >= e->term) {
		e->told = true;
		e->hooks.won(e->hooks.arg, e->term);
	}
	if (e->busy || e->holds || mono_before(now, e->again) || !is_vacant(e, now))
		return;
	e->seen = service_term(e->service);
	e->beat = service_beat(e->service);
	post(e, run_stand, stood);
}

/* ---- life ------------------------------------------------------------------------ */

static void init_lock(struct election *e)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&e->lock, NULL);
}

struct election *election_new(struct event_base *base, struct service *service, const char *url,
			      const struct election_hooks *hooks)
{
	static const struct timeval interval = { .tv_usec = 50000 };
	struct election *e = mem_new(1, sizeof(*e));
	json_t *value = mem_json(json_pack("{s:s}", "url", url));

	e->service = service;
	e->store = service_store(service);
	e->hooks = *hooks;
	init_lock(e);
	e->value = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	e->worker = worker_new(base);
	e->tick = event_new(base, -1, EV_PERSIST, on_tick, e);
	if (e->value && e->worker && e->tick && !event_add(e->tick, &interval))
		return e;
	election_free(e);
	return NULL;
}

void election_free(struct election *e)
{
	if (!e)
		return;
	stop_beats(e);
	worker_free(e->worker);
	if (e->term)
		give_back(e);
	if (e->tick)
		event_free(e->tick);
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e->value);
	free(e);
}
