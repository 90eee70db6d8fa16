/*
 * A request waits while the process that has the routers, as far as the store says, is the
 * one that its router has lost, or this one, or none; and no beat has been heard since it
 * came. One that lives beats, so nobody waits for long without need.
 */
#include "authority/lobby.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "authority/api_private.h"
#include "authority/memory.h"
#include "common/list.h"

#define PATIENCE (5 * SEC)
#define URL 300

struct lobby {
	struct api *api;
	struct event *tick;
	struct list waiting;
};

struct visitor {
	struct list node;
	struct evhttp_request *q;
	mono_t since;
	char router[CA_NAME], without[URL];
};

static bool is_known(const struct lobby *l, mono_t since, const char *without)
{
	const char *url = service_publisher(l->api->service);

	if (push_publishes(l->api->push))
		return true;
	return *url && strcmp(url, l->api->url) != 0 &&
	       (strcmp(url, without) != 0 || mono_before(since, service_heard(l->api->service)));
}

static void leave(struct lobby *l, struct visitor *v)
{
	list_remove(&v->node);
	api_begin_stream(l->api, v->q, v->router);
	free(v);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct lobby *l = arg;
	mono_t now = clock_now();

	(void)fd, (void)events;
	list_for_each(node, &l->waiting) {
		struct visitor *v = container_of(node, struct visitor, node);

		if (mono_since(now, v->since) > PATIENCE || is_known(l, v->since, v->without))
			leave(l, v);
	}
	if (list_is_empty(&l->waiting))
		event_del(l->tick);
}

bool lobby_take(struct lobby *l, struct evhttp_request *q, const char *router, const char *without)
{
	static const struct timeval interval = { .tv_usec = 50000 };
	mono_t now = clock_now();
	struct visitor *v;

	if (is_known(l, now, without))
		return false;
	v = mem_new(1, sizeof(*v));
	v->q = q;
	v->since = now;
	snprintf(v->router, sizeof(v->router), "%s", router);
	snprintf(v->without, sizeof(v->without), "%s", without);
	if (list_is_empty(&l->waiting))
		event_add(l->tick, &interval);
	list_insert(&l->waiting, &v->node);
	return true;
}

struct lobby *lobby_new(struct event_base *base, struct api *api)
{
	struct lobby *l = mem_new(1, sizeof(*l));

	l->api = api;
	list_init(&l->waiting);
	l->tick = event_new(base, -1, EV_PERSIST, on_tick, l);
	if (l->tick)
		return l;
	free(l);
	return NULL;
}

void lobby_free(struct lobby *l)
{
	if (!l)
		return;
	list_for_each(node, &l->waiting) {
		struct visitor *v = container_of(node, struct visitor, node);

		if (!evhttp_request_get_connection(v->q)) /* else it goes with that */
			evhttp_request_free(v->q);
		free(v);
	}
	event_free(l->tick);
	free(l);
}
