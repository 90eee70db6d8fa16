/*
 * Requests of the API, from their text to what comes of them: route, arguments of path and
 * body, the operation on a small registry, and its changes applied to that, so that the
 * next request meets what this one has made. There is no store.
 *
 * Requests are separated by NUL. The first line is "METHOD CALLER PATH[?QUERY]", the rest
 * the body; CALLER is a user's or router's name, "-" (nobody), "token", or "bearer" (a
 * delegated credential).
 *
 * Whatever is asked: the status is one of those documented, there is an audit record that
 * says the same, a refusal and a dry run change nothing else, and what an operation makes
 * is a transaction that the registry takes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/api_request.h"
#include "authority/operation.h"
#include "authority/tables.h"

#define NOW 1700000000000ull
#define INPUT_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct {
	struct registry *registry;
	struct tables_change *tables; /* what the changes make of them */
	uint64_t revision;
	unsigned requests;
	json_t *change; /* the last one in the log of any VN */
	char change_id[64];
} world;

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void apply(const struct outcome *o)
{
	struct registry_change *changes = calloc(o->n, sizeof(*changes));
	char error[RECORD_ERROR];

	check(changes != NULL);
	world.revision++;
	for (size_t i = 0; i < o->n; i++) {
		const struct change *c = &o->changes[i];

		check(record_key(c->key, NULL) != RECORD_KINDS);
		changes[i] = (struct registry_change){ c->key, c->value, world.revision };
		if (strncmp(c->key, "change/", 7))
			continue;
		json_decref(world.change);
		world.change = json_incref(c->value);
		snprintf(world.change_id, sizeof(world.change_id), "%s", c->key + 7);
	}
	if (registry_apply(world.registry, changes, o->n, error)) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	free(changes);
}

static void check_outcome(const struct request *q, const struct outcome *o)
{
	static const int statuses[] = { 200, 400, 401, 403, 404, 409 };
	const struct change *audit = &o->changes[o->n - 1];
	bool documented = false;
	char *text;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		documented |= o->status == statuses[i];
	check(documented && o->n >= 1 && !strncmp(audit->key, "audit/", 6));
	check(json_is_true(json_object_get(audit->value, "allowed")) == (o->status == 200));
	check((o->status == 200 && !q->dry_run) || o->n == 1);
	check(o->status == 200 || (!o->result && *o->detail));
	if (!o->result)
		return;
	text = json_dumps(o->result, JSON_COMPACT);
	check(text != NULL);
	free(text);
}

/* The status. */
static int ask(struct request *q)
{
	struct outcome o;
	char id[16];
	int status;

	snprintf(id, sizeof(id), "%04u", ++world.requests);
	q->id = id;
	q->now = NOW + world.requests;
	q->change = world.change;
	q->change_id = world.change ? world.change_id : NULL;
	operate(world.registry, q, &o);
	check_outcome(q, &o);
	apply(&o);
	status = o.status;
	outcome_done(&o);
	return status;
}

/* ---- a small world ---------------------------------------------------------------- */

static void given(const char *operation, const char *arguments)
{
	json_t *value = json_loads(arguments, 0, NULL);
	struct request q = { .caller = { .kind = CALLER_USER, .name = "root" },
			     .operation = operation,
			     .arguments = value };

	check(value && ask(&q) == 200);
	json_decref(value);
}

#define HASH "0000000000000000000000000000000000000000000000000000000000"

static void begin(void)
{
	struct prefix space;
	struct blocks blocks = { 1, &space };
	struct outcome o;

	prefix_parse("172.16.0.0/16", &space);
	world.registry = registry_new();
	world.revision = world.requests = 0;
	operation_begin("root", "key", &blocks, NOW, &o);
	apply(&o);
	outcome_done(&o);
	world.tables = tables_change_new(world.registry);
	given("register", "{\"kind\":\"user\",\"name\":\"u\",\"roles\":[\"eu\",\"vna\"],"
			  "\"key\":\"k\"}");
	given("register", "{\"kind\":\"site\",\"name\":\"s\",\"admins\":[\"root\"]}");
	given("register", "{\"kind\":\"router\",\"name\":\"r\",\"site\":\"s\",\"key\":\"k\"}");
	given("register", "{\"kind\":\"router\",\"name\":\"q\",\"site\":\"s\",\"key\":\"k\"}");
	given("block-assign", "{\"router\":\"r\",\"block\":\"172.16.1.0/24\"}");
	given("block-assign", "{\"router\":\"q\",\"block\":\"172.16.2.0/24\"}");
	given("register", "{\"kind\":\"host\",\"name\":\"a\",\"router\":\"r\",\"owner\":\"u\"}");
	given("register", "{\"kind\":\"host\",\"name\":\"b\",\"router\":\"q\"}");
	given("register", "{\"kind\":\"host\",\"name\":\"c\",\"router\":\"q\"}");
	given("address-assign", "{\"host\":\"a\"}");
	given("address-assign", "{\"host\":\"b\"}");
	given("address-assign", "{\"host\":\"c\"}");
	given("vn-create", "{\"name\":\"v\",\"id\":8000,\"hosts\":[\"a\",\"b\"]}");
	given("vn-create", "{\"name\":\"w\",\"id\":8001,\"hosts\":[\"c\"],\"users\":[\"u\"]}");
	given("policy-set", "{\"site\":\"s\",\"name\":\"p\",\"effect\":\"permit\",\"hosts\":"
			    "[\"*\"],\"vns\":[\"*\"],\"creators\":[\"*\"]}");
	given("token-create", "{\"hash\":\"" HASH "\",\"registers\":\"host\",\"site\":\"s\","
			      "\"count\":9,\"expires\":1700000900000}");
	given("delegate", "{\"hash\":\"" HASH "\",\"operations\":[\"vn-join\",\"vn-leave\"],"
			  "\"vns\":[\"v\"],\"expires\":1700000900000}");
}

static void end(void)
{
	tables_change_finish(world.tables);
	tables_change_free(world.tables);
	registry_free(world.registry);
	json_decref(world.change);
	world.change = NULL;
}

/* ---- a request ---------------------------------------------------------------------- */

static void take_caller(struct request *q, const char *name)
{
	if (!strcmp(name, "token"))
		q->token = HASH;
	else if (!strcmp(name, "bearer"))
		q->caller =
			(struct caller){ .kind = CALLER_USER, .name = "root", .credential = HASH };
	else if (registry_router(world.registry, name))
		q->caller = (struct caller){ .kind = CALLER_ROUTER, .name = name, .key = "k" };
	else if (strcmp(name, "-"))
		q->caller = (struct caller){ .kind = CALLER_USER, .name = name };
}

/* Up to a separator, which becomes its end; NULL: there is none. */
static char *word(char **at, char separator)
{
	char *begins = *at, *ends = strchr(begins, separator);

	if (!ends)
		return NULL;
	*ends = '\0';
	*at = ends + 1;
	return begins;
}

static void fuzz_request(char *text)
{
	char *line = word(&text, '\n'), *body = text, *method, *caller, *query;
	const struct route *route;
	struct request q = { 0 };
	json_t *arguments;
	bool there;

	if (!line || !(method = word(&line, ' ')) || !(caller = word(&line, ' ')))
		return;
	query = strchr(line, '?');
	if (query)
		*query++ = '\0';
	route = api_route(method, line, &there);
	if (!route)
		return;
	arguments = api_arguments(route, line, body, strlen(body));
	check(arguments != NULL);
	q.operation = operation_rules[route->operation].name;
	q.arguments = arguments;
	q.dry_run = api_dry_run(query);
	take_caller(&q, caller);
	ask(&q);
	json_decref(arguments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;
	size_t n;

	if (len > INPUT_MAX)
		return 0;
	text = malloc(len + 1);
	check(text != NULL);
	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	begin();
	for (char *at = text; at <= text + len; at += n + 1) {
		n = strlen(at);
		fuzz_request(at);
	}
	end();
	free(text);
	return 0;
}
