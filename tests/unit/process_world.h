/*
 * Processes of one authority: each with its service and its streams on one store, of either
 * kind, all in this one.
 */
#ifndef TESTS_UNIT_PROCESS_WORLD_H
#define TESTS_UNIT_PROCESS_WORLD_H

#include <event2/event.h>

#include "authority/push.h"
#include "authority/service.h"
#include "tests/unit/store_world.h"

/* A process. */
struct process {
	struct event_base *base;
	struct store *store;
	struct service *service;
	struct push *push;
	bool lost;
	unsigned answers;
	/* The last one. */
	int status;
	char detail[400];
	json_t *result;
};

static struct ca *ca;

static inline void on_lost(void *arg, const char *why)
{
	struct process *p = arg;

	(void)why;
	p->lost = true;
}

static inline void on_applied(void *arg)
{
	struct process *p = arg;

	if (p->push)
		push_applied(p->push);
}

static inline void start(struct process *p, struct store *store)
{
	const struct service_hooks hooks = { .arg = p, .lost = on_lost, .applied = on_applied };
	char error[STORE_ERROR];

	*p = (struct process){ .base = event_base_new(), .store = store };
	p->service = service_open(p->base, store, &hooks, error);
	if (!p->service)
		fail_msg("%s", error);
	p->push = push_new(p->base, p->service, ca, PROTECT_HMAC);
	assert_non_null(p->push);
}

/* As if it were killed: what is under way may be done or not. */
static inline void stop(struct process *p)
{
	push_end(p->push);
	service_close(p->service);
	push_free(p->push);
	json_decref(p->result);
	event_base_free(p->base);
}

static inline void turn(struct process *p)
{
	event_base_loop(p->base, EVLOOP_NONBLOCK);
	short_while();
}

struct question {
	struct ask ask;
	struct process *process;
	json_t *arguments;
	char credential[RECORD_NAME + 1];
};

static inline void answered(struct ask *a, const struct outcome *o)
{
	struct question *q = container_of(a, struct question, ask);
	struct process *p = q->process;

	p->answers++;
	p->status = o->status;
	snprintf(p->detail, sizeof(p->detail), "%s", o->detail);
	json_decref(p->result);
	p->result = json_incref(o->result);
	json_decref(q->arguments);
	free(q);
}

/* As the API does it: who the credential is of, is looked up before. */
static inline void find_credential(struct ask *a)
{
	struct question *q = container_of(a, struct question, ask);
	const struct credential *c =
		registry_credential(service_registry(q->process->service), q->credential);

	a->request.caller = (struct caller){ .kind = c ? CALLER_USER : CALLER_NOBODY,
					     .name = c ? c->record.user : NULL,
					     .credential = q->credential,
					     .disbelieved = c ? NULL : "no such credential" };
}

static inline struct question *question(struct process *p, const char *operation, json_t *arguments)
{
	struct question *q = calloc(1, sizeof(*q));

	q->process = p;
	q->arguments = arguments;
	q->ask.done = answered;
	q->ask.request = (struct request){ .operation = operation,
					   .arguments = arguments,
					   .caller = { .kind = CALLER_USER, .name = "root" } };
	return q;
}

static inline void answers(struct process *p, unsigned n, int64_t time)
{
	int64_t end = ms_now() + time;

	while (p->answers < n && ms_now() < end)
		turn(p);
	assert_int_equal(p->answers, n);
	p->answers = 0;
}

/* Takes over the arguments. The status, beside what is left in the process. */
static inline int ask_for(struct process *p, const char *operation, json_t *arguments)
{
	service_ask(p->service, &question(p, operation, arguments)->ask);
	answers(p, 1, SOON);
	return p->status;
}

static inline void ask(struct process *p, const char *operation, json_t *arguments)
{
	if (ask_for(p, operation, arguments) != 200)
		fail_msg("refused: %s", p->detail);
}

static inline void fill(struct store *store)
{
	struct prefix space;
	struct blocks blocks = { 1, &space };
	struct outcome o;

	assert_int_equal(prefix_parse("172.16.0.0/12", &space), 0);
	operation_begin("root", "", &blocks, 1, &o);
	for (size_t i = 0; i < o.n; i++) {
		char *text = json_dumps(o.changes[i].value, JSON_COMPACT);

		put(store, o.changes[i].key, text);
		free(text);
	}
	outcome_done(&o);
}

static inline void with_sqlite(void (*test)(struct store *), const char *name)
{
	char url[160], error[STORE_ERROR];
	struct store *store;

	snprintf(url, sizeof(url), "sqlite:%s", in_world(name));
	assert_int_equal(store_open(url, NULL, &store, error), 0);
	test(store);
	store_close(store);
}

static inline void with_etcd(void (*test)(struct store *), const char *name)
{
	struct cluster cluster = { .n = 0 };
	struct store *store;

	if (!has_etcd())
		skip();
	cluster_start(&cluster, 1, name, NULL);
	store = open_soon(cluster.url, NULL);
	test(store);
	store_close(store);
	cluster_end(&cluster);
}

static inline int begin_all(void **state)
{
	char error[CA_ERROR];

	if (make_world(state) || ca_make(world_directory, time(NULL), error))
		return -1;
	ca = ca_load(world_directory, error);
	return ca ? 0 : -1;
}

static inline int end_all(void **state)
{
	ca_free(ca);
	return remove_world(state);
}

#endif
