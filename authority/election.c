/*
 * Calls to the store wait in a thread of their own, since those of the service may wait for
 * long, and a lease can't. One is under way at a time.
 */
#include "authority/election.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "authority/memory.h"
#include "common/clock.h"
#include "common/log.h"

#define KEEP (500 * MSEC)   /* from one call to keep the lease to the next */
#define MARGIN (200 * MSEC) /* before its end it counts as ended */

struct election {
	struct service *service;
	struct store *store;
	struct worker *worker;
	struct event *tick;
	struct election_hooks hooks;
	char *value; /* of the key */
	struct work work;
	bool busy;
	/* the thread's while it is busy */
	uint64_t lease, revision;
	unsigned seconds;
	mono_t asked;
	int result;

	bool holds, told; /* won has been called */
	mono_t until;	  /* it holds it for so long at least */
};

static void give_back(struct election *e)
{
	if (e->lease)
		store_lease_revoke(e->store, e->lease);
	e->lease = 0;
}

static void run_stand(struct work *w)
{
	struct election *e = container_of(w, struct election, work);
	const struct store_condition vacant = { .key = SERVICE_PUBLISHER, .test = STORE_ABSENT };
	struct store_entry change = { .key = SERVICE_PUBLISHER,
				      .value = e->value,
				      .size = strlen(e->value) };
	const struct store_transaction t = { &vacant, 1, &change, 1 };

	give_back(e); /* of a time before */
	e->asked = clock_now();
	e->result = store_lease_grant(e->store, ELECTION_SECONDS, &e->lease, &e->seconds);
	if (e->result) {
		e->lease = 0;
		return;
	}
	change.lease = e->lease;
	e->result = store_commit(e->store, &t, &e->revision);
	if (e->result) /* also if that is unknown: without the lease there is no key */
		give_back(e);
}

static void run_keep(struct work *w)
{
	struct election *e = container_of(w, struct election, work);

	e->asked = clock_now();
	e->result = store_lease_keep(e->store, e->lease);
}

static mono_t end_of(const struct election *e)
{
	return mono_add(e->asked, (int64_t)e->seconds * SEC - MARGIN);
}

static void lose(struct election *e)
{
	bool told = e->told;

	e->holds = e->told = false;
	if (told)
		e->hooks.lost(e->hooks.arg);
}

static void stood(struct work *w)
{
	struct election *e = container_of(w, struct election, work);

	e->busy = false;
	e->holds = !e->result;
	e->until = end_of(e);
}

static void kept(struct work *w)
{
	struct election *e = container_of(w, struct election, work);

	e->busy = false;
	if (!e->result)
		e->until = end_of(e);
	else if (e->result == -ENOENT && e->holds)
		lose(e);
}

static void post(struct election *e, void (*run)(struct work *), void (*done)(struct work *))
{
	e->busy = true;
	e->work = (struct work){ .run = run, .done = done };
	list_init(&e->work.node);
	worker_post(e->worker, &e->work);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct election *e = arg;
	mono_t now = clock_now();

	(void)fd, (void)events;
	if (e->holds && mono_since(now, e->until) >= 0)
		lose(e);
	if (e->holds && !e->told && service_revision(e->service) >= e->revision) {
		e->told = true;
		e->hooks.won(e->hooks.arg);
	}
	if (e->busy)
		return;
	if (e->holds && mono_since(now, e->asked) >= KEEP)
		post(e, run_keep, kept);
	else if (!e->holds && !*service_publisher(e->service))
		post(e, run_stand, stood);
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
	worker_free(e->worker);
	give_back(e);
	if (e->tick)
		event_free(e->tick);
	free(e->value);
	free(e);
}
