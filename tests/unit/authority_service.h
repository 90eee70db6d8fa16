/*
 * A service with a store of SQLite that has begun, and asks at it.
 */
#ifndef TESTS_AUTHORITY_SERVICE_H
#define TESTS_AUTHORITY_SERVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

#include "authority/service.h"

#define UNUSED __attribute__((unused))

struct world {
	char directory[64];
	struct event_base *base;
	struct store *store;
	struct service *service;
	unsigned answers, status;
	char detail[400];
	json_t *result;
	bool lost;
};

static UNUSED void on_lost(void *arg, const char *why)
{
	struct world *w = arg;

	(void)why;
	w->lost = true;
	event_base_loopbreak(w->base);
}

static UNUSED void put(struct world *w, const struct change *changes, size_t n)
{
	struct store_entry *entries = calloc(n, sizeof(*entries));
	struct store_transaction t = { NULL, 0, entries, n };

	for (size_t i = 0; i < n; i++) {
		char *text = json_dumps(changes[i].value, JSON_COMPACT);

		entries[i] = (struct store_entry){ .key = changes[i].key,
						   .value = text,
						   .size = strlen(text) };
	}
	assert_int_equal(store_commit(w->store, &t, NULL), 0);
	for (size_t i = 0; i < n; i++)
		free((void *)entries[i].value);
	free(entries);
}

static UNUSED int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct service_hooks hooks = { .arg = w, .lost = on_lost };
	char url[128], error[STORE_ERROR];
	struct prefix space;
	struct blocks blocks = { 1, &space };
	struct outcome o;

	strcpy(w->directory, "/tmp/vine-api-XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	snprintf(url, sizeof(url), "sqlite:%s/store.db", w->directory);
	w->base = event_base_new();
	assert_int_equal(store_open(url, NULL, &w->store, error), 0);
	/* Nothing to serve yet. */
	assert_null(service_open(w->base, w->store, &hooks, error));
	assert_non_null(strstr(error, "empty"));
	assert_int_equal(prefix_parse("172.16.0.0/12", &space), 0);
	operation_begin("root", "", &blocks, 1, &o);
	put(w, o.changes, o.n);
	outcome_done(&o);
	w->service = service_open(w->base, w->store, &hooks, error);
	if (!w->service)
		fail_msg("%s", error);
	*state = w;
	return 0;
}

static UNUSED int end(void **state)
{
	static const char *const files[] = { "store.db", "store.db-wal", "store.db-shm",
					     "store.db-lock", NULL };
	struct world *w = *state;
	char path[128];

	service_close(w->service);
	store_close(w->store);
	event_base_free(w->base);
	json_decref(w->result);
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", w->directory, files[i]);
		unlink(path);
	}
	rmdir(w->directory);
	free(w);
	return 0;
}

struct question {
	struct ask ask;
	struct world *world;
	json_t *arguments;
};

static UNUSED void answered(struct ask *a, const struct outcome *o)
{
	struct question *q = container_of(a, struct question, ask);
	struct world *w = q->world;

	w->answers++;
	w->status = (unsigned)o->status;
	snprintf(w->detail, sizeof(w->detail), "%s", o->detail);
	json_decref(w->result);
	w->result = json_incref(o->result);
	json_decref(q->arguments);
	free(q);
}

/* NULL: nobody, with a token (or NULL). */
static UNUSED struct ask *ask_as(struct world *w, const char *user, const char *token,
				 const char *operation, json_t *arguments)
{
	struct question *q = calloc(1, sizeof(*q));

	q->world = w;
	q->arguments = arguments;
	q->ask.done = answered;
	q->ask.request = (struct request){ .operation = operation,
					   .arguments = arguments,
					   .token = token,
					   .certified = token ? 1 : 0 };
	if (user)
		q->ask.request.caller = (struct caller){ .kind = CALLER_USER, .name = user };
	service_ask(w->service, &q->ask);
	return &q->ask;
}

static UNUSED void ask(struct world *w, const char *operation, json_t *arguments)
{
	ask_as(w, "root", NULL, operation, arguments);
}

static UNUSED void answers(struct world *w, unsigned n)
{
	while (w->answers < n && !w->lost)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->answers, n);
	w->answers = 0;
}

static UNUSED json_t *vn(unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "v%u", i);
	return json_pack("{s:s}", "name", name);
}

#endif
