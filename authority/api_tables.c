/*
 * What a router asks and says about its tables, once it is known to be that router; and what
 * users are told of it.
 *
 * Confirmations and heartbeats are many, and have no audit record unless they are refused.
 */
#include "authority/api_private.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "authority/lobby.h"
#include "authority/memory.h"
#include "common/feed.h"

bool api_is_tables(const struct route *r)
{
	return r->operation == OPERATION_GET_TABLES || r->operation == OPERATION_UPDATE_TABLES ||
	       r->operation == OPERATION_HEARTBEAT;
}

void api_begin_stream(struct api *api, struct evhttp_request *q, const char *name)
{
	const struct router *router = registry_router(service_registry(api->service), name);
	struct version have = { 0 };
	char text[VERSION_TEXT];

	if (!router)
		api_problem(q, 404, "this router is no more");
	else if (api_query(q, "have", text, sizeof(text)) && !version_parse(text, &have))
		api_problem(q, 400, "'have' is not a version, like 1.20");
	else if (!push_publishes(api->push))
		api_send_on(api, q);
	else
		push_stream(api->push, q, router->record.id, have);
}

/* Or it waits until it is known where it is. */
static void ask_stream(struct api *api, struct evhttp_request *q, const char *name)
{
	char without[300] = "";

	api_query(q, "without", without, sizeof(without));
	if (!api->lobby || !lobby_take(api->lobby, q, name, without))
		api_begin_stream(api, q, name);
}

static void give_tables(struct api *api, struct evhttp_request *q, uint32_t router)
{
	size_t len;
	char *line = push_tables(api->push, router, &len);
	json_t *body = line ? json_loadb(line, len, 0, NULL) : NULL;

	free(line);
	if (body)
		api_answer(q, 200, body);
	else
		api_problem(q, 503, "there are no tables of this router");
}

static const char *body_of(struct evhttp_request *q, size_t *ret_len)
{
	struct evbuffer *b = evhttp_request_get_input_buffer(q);

	*ret_len = evbuffer_get_length(b);
	return *ret_len ? (const char *)evbuffer_pullup(b, -1) : "";
}

static void take_confirmation(struct api *api, struct evhttp_request *q,
			      const struct router *router)
{
	char error[FEED_ERROR];
	struct version version;
	size_t len;
	const char *body = body_of(q, &len);

	if (!feed_confirm_parse(body, len, &version, error)) {
		api_problem(q, 400,
			    "a confirmation has the version that is run, and an error if that is "
			    "not what was given: {\"version\": \"1.20\"}");
		return;
	}
	monitor_confirm(health_monitor(api->health), router, error);
	push_confirm(api->push, router->record.id, version);
	api_answer(q, 200, mem_json(json_object()));
}

static void take_heartbeat(struct api *api, struct evhttp_request *q, const struct router *router)
{
	struct monitor *m = health_monitor(api->health);
	char error[MONITOR_ERROR];
	size_t len;
	const char *body = body_of(q, &len);

	if (monitor_heartbeat(m, router, len ? body : "{}", len ? len : 2, clock_now(), error)) {
		api_problem(q, 400, error);
		return;
	}
	monitor_certificate(m, router, http_peer_end(q));
	api_answer(q, 200, mem_json(json_pack("{s:i}", "interval", PUSH_ALIVE)));
}

void api_send_on(struct api *api, struct evhttp_request *q)
{
	const char *url = service_publisher(api->service);
	char *to;

	if (!*url || !strcmp(url, api->url)) {
		api_problem(q, 503, "no process of this authority has the routers yet: try again");
		return;
	}
	to = mem_format("%s%s", url, evhttp_request_get_uri(q));
	evhttp_add_header(evhttp_request_get_output_headers(q), "Location", to);
	api_problem(q, 307, "another process of this authority has the routers: ask there");
	free(to);
}

void api_tables(struct api *api, const struct route *route, struct evhttp_request *q,
		const char *name)
{
	const struct router *router = registry_router(service_registry(api->service), name);

	if (!strcmp(strrchr(route->path, '/'), "/stream"))
		ask_stream(api, q, name);
	else if (!router)
		api_problem(q, 404, "this router is no more");
	else if (!push_publishes(api->push))
		api_send_on(api, q);
	else if (route->operation == OPERATION_UPDATE_TABLES)
		take_confirmation(api, q, router);
	else if (route->operation == OPERATION_HEARTBEAT)
		take_heartbeat(api, q, router);
	else
		give_tables(api, q, router->record.id);
}

/* ---- for users ------------------------------------------------------------------ */

static json_t *status_of(const struct api *api, const char *name)
{
	const struct registry *registry = service_registry(api->service);
	const struct router *r = registry_router(registry, name);
	json_t *status = r ? push_status(api->push, r->record.id) : json_object(), *known, *value;

	if (!r)
		return status;
	known = health_router(api->health, r);
	value = json_object_get(known, "heard");
	json_object_set(status, "heard", value ? value : json_null());
	value = json_object_get(known, "refuses");
	json_object_set(status, "error", value ? value : json_null());
	json_decref(known);
	return status;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The routers of a VN's hosts, each once, by name. */
static void add_routers(const struct api *api, json_t *result)
{
	json_t *hosts = json_object_get(result, "hosts"), *host, *list = mem_json(json_array());
	const char **names = mem_new(json_array_size(hosts), sizeof(*names));
	size_t i, n = 0;

	json_array_foreach(hosts, i, host)
	{
		const char *name = json_string_value(json_object_get(host, "router"));

		if (name)
			names[n++] = name;
	}
	if (n)
		qsort(names, n, sizeof(*names), compare_names);
	for (i = 0; i < n; i++) {
		json_t *router;

		if (i && !strcmp(names[i - 1], names[i]))
			continue;
		router = mem_json(json_pack("{s:s}", "name", names[i]));
		json_object_update_new(router, status_of(api, names[i]));
		json_array_append_new(list, router);
	}
	free(names);
	json_object_set_new(result, "routers", list);
}

static void add_tinies(const struct api *api, json_t *result)
{
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(result, "tinies"), i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));
		const struct tiny *t =
			name ? registry_tiny(service_registry(api->service), name) : NULL;

		if (t)
			json_object_update_new(o, health_tiny(api->health, t));
	}
}

void api_add_status(const struct api *api, enum operation operation, json_t *result)
{
	json_t *router;
	size_t i;

	if (operation != OPERATION_LIST_VN_HOSTS && operation != OPERATION_LIST_ROUTERS &&
	    operation != OPERATION_LIST_TINIES)
		return;
	if (!push_publishes(api->push)) { /* who knows */
		json_object_set_new(result, "publisher",
				    mem_json(json_string(service_publisher(api->service))));
		return;
	}
	if (operation == OPERATION_LIST_VN_HOSTS)
		add_routers(api, result);
	if (operation == OPERATION_LIST_TINIES)
		add_tinies(api, result);
	if (operation != OPERATION_LIST_ROUTERS)
		return;
	json_array_foreach(json_object_get(result, "routers"), i, router) json_object_update_new(
		router, status_of(api, json_string_value(json_object_get(router, "name"))));
}
