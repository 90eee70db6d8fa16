/* links: librouter libcommon */
/*
 * What the control socket answers, without the socket: every verb on a router
 * without devices, and requests that are none.
 */
#include "router/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/control_world.h"

static const mono_t start = { 1000 * SEC };

struct world_of_test {
	struct loop *loop;
	struct router *router;
	unsigned reloads;
	bool refuse;
};

static int setup(void **state)
{
	struct world_of_test *t = calloc(1, sizeof(*t));

	t->loop = loop_new();
	t->router = control_router(t->loop, start);
	*state = t;
	return t->router ? 0 : -1;
}

static int teardown(void **state)
{
	struct world_of_test *t = *state;

	router_free(t->router);
	loop_free(t->loop);
	free(t);
	return 0;
}

static bool reload(void *arg, FILE *errors)
{
	struct world_of_test *t = arg;

	t->reloads++;
	if (t->refuse)
		fputs("r.conf:3: [router] id: wrong\nr.conf:9: [lndt] x: wrong\n", errors);
	return !t->refuse;
}

static json_t *ask_bytes(struct world_of_test *t, const char *line, size_t len)
{
	const struct control_hooks hooks = { .reload = reload, .arg = t };
	struct pings_request pings;
	json_t *answer =
		control_answer(t->router, &hooks, line, len, mono_add(start, 90 * SEC), &pings);

	assert_non_null(answer);
	return answer;
}

/* The result of a request that succeeds. */
static json_t *ask(struct world_of_test *t, const char *line)
{
	json_t *answer = ask_bytes(t, line, strlen(line));
	json_t *result = json_incref(json_object_get(answer, "result"));

	assert_true(json_is_true(json_object_get(answer, "ok")));
	assert_non_null(result);
	json_decref(answer);
	return result;
}

static void refused_bytes(struct world_of_test *t, const char *line, size_t len, const char *why)
{
	json_t *answer = ask_bytes(t, line, len);
	const char *error = json_string_value(json_object_get(answer, "error"));

	assert_true(json_is_false(json_object_get(answer, "ok")));
	assert_null(json_object_get(answer, "result"));
	assert_non_null(error);
	if (!strstr(error, why))
		fail_msg("\"%s\" does not say \"%s\"", error, why);
	json_decref(answer);
}

static void refused(struct world_of_test *t, const char *line, const char *why)
{
	refused_bytes(t, line, strlen(line), why);
}

static const char *text(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	assert_non_null(value);
	return value;
}

static json_int_t number(json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

static void status(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"status\"}"), *count;

	assert_string_equal(text(s, "name"), "florida");
	assert_int_equal(number(s, "id"), 1);
	assert_string_equal(text(s, "intercept"), "tun");
	assert_int_equal(number(s, "workers"), CONTROL_WORKERS);
	assert_string_equal(text(s, "table_version"), "1");
	assert_true(json_real_value(json_object_get(s, "uptime_seconds")) == 90.0);
	assert_int_equal(strlen(text(s, "started")), strlen("2026-01-01T00:00:00.000Z"));
	assert_int_equal(json_array_size(json_object_get(s, "networks")), 2);
	assert_int_equal(json_array_size(json_object_get(s, "drops")), 0);
	count = json_object_get(s, "peer_count");
	assert_int_equal(number(count, "configured"), 2);
	assert_int_equal(number(count, "up"), 0);
	json_decref(s);
}

static void peers(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"show\",\"what\":\"peers\"}");
	json_t *list = json_object_get(s, "peers"), *p = json_array_get(list, 0);

	assert_int_equal(json_array_size(list), 2);
	assert_null(json_object_get(s, "next"));
	assert_string_equal(text(p, "name"), "chicago");
	assert_int_equal(number(p, "id"), 2);
	assert_string_equal(text(p, "endpoint"), "198.51.100.2:8463");
	assert_true(json_is_false(json_object_get(p, "up")));
	assert_true(json_is_null(json_object_get(p, "path")));
	assert_true(json_is_null(json_object_get(p, "last_heard")));
	assert_true(json_is_null(json_object_get(p, "rtt_seconds")));
	assert_string_equal(text(json_array_get(list, 1), "endpoint"), "[2001:db8:20::1]:8463");
	json_decref(s);

	s = ask(t, "{\"verb\":\"show\",\"what\":\"links\"}");
	assert_int_equal(json_array_size(json_object_get(s, "links")), 2);
	json_decref(s);
}

/* Counters above 2^53, where a double would lose the last digits. */
static void large_counters(void **state)
{
	struct world_of_test *t = *state;
	uint64_t large = (UINT64_C(1) << 63) + 1;
	json_t *s, *traffic, *drops, *d;
	size_t i;

	counter_add(&t->router->workers[0].counters.traffic[IN].bytes, large);
	counter_add(&t->router->workers[1].counters.drops[DROP_REPLAY], 7);
	s = ask(t, "{\"verb\":\"show\",\"what\":\"counters\"}");
	traffic = json_object_get(json_object_get(s, "traffic"), "in");
	assert_string_equal(text(traffic, "bytes"), "9223372036854775809");
	drops = json_object_get(s, "drops");
	assert_int_equal(json_array_size(drops), DROPS);
	json_array_foreach(drops, i, d) assert_string_equal(
		text(d, "packets"), strcmp(text(d, "reason"), "replay") == 0 ? "7" : "0");
	assert_int_equal(json_object_size(json_object_get(s, "events")), EVENTS);
	assert_int_equal(json_array_size(json_object_get(s, "workers")), CONTROL_WORKERS);
	json_decref(s);

	s = ask(t, "{\"verb\":\"status\"}");
	assert_int_equal(json_array_size(json_object_get(s, "drops")), 1);
	json_decref(s);
}

static void tables(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"show\",\"what\":\"lndt\"}"), *e;

	assert_int_equal(json_array_size(json_object_get(s, "entries")), 2);
	e = json_array_get(json_object_get(s, "entries"), 1);
	assert_int_equal(number(e, "network"), 8001);
	assert_string_equal(text(e, "prefix"), "172.16.0.20/32");
	json_decref(s);

	s = ask(t, "{\"verb\":\"show\",\"what\":\"gndt\"}");
	assert_int_equal(json_array_size(json_object_get(s, "entries")), 3);
	e = json_array_get(json_object_get(s, "entries"), 2);
	assert_int_equal(number(e, "network"), 8001);
	assert_string_equal(text(e, "prefix"), "172.16.11.0/24");
	e = json_array_get(json_object_get(e, "routers"), 0);
	assert_string_equal(text(e, "name"), "chicago");
	json_decref(s);

	/* members of this site, which aren't rows, have their places as well */
	s = ask(t, "{\"verb\":\"show\",\"what\":\"gndt\",\"offset\":2}");
	assert_int_equal(json_array_size(json_object_get(s, "entries")), 2);
	json_decref(s);
	s = ask(t, "{\"verb\":\"show\",\"what\":\"gndt\",\"offset\":9223372036854775807}");
	assert_int_equal(json_array_size(json_object_get(s, "entries")), 0);
	json_decref(s);
	s = ask(t, "{\"verb\":\"show\",\"what\":\"peers\",\"offset\":9223372036854775807}");
	assert_int_equal(json_array_size(json_object_get(s, "peers")), 0);
	assert_null(json_object_get(s, "next"));
	json_decref(s);
}

static void config(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"show\",\"what\":\"config\"}"), *e;
	unsigned seen = 0;
	size_t i;

	json_array_foreach(json_object_get(s, "settings"), i,
			   e) if (!strcmp(text(e, "section"), "peer chicago") &&
				  !strcmp(text(e, "key"), "id"))
	{
		assert_string_equal(text(e, "value"), "2");
		seen++;
	}
	assert_int_equal(seen, 1);
	/* No device and no socket: nothing is on, but everything has its key. */
	e = json_object_get(s, "offloads");
	assert_int_equal(json_object_size(e), 9);
	assert_true(json_is_false(json_object_get(e, "tun_tso4")));
	assert_true(json_is_false(json_object_get(e, "nfqueue_gso")));
	assert_true(json_is_false(json_object_get(e, "udp_segment")));
	e = json_object_get(s, "crypto");
	assert_int_equal(json_object_size(e), 3);
	assert_true(json_is_string(json_object_get(e, "aes-256-gcm")));
	json_decref(s);
}

static void why(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"why\",\"source\":\"172.16.0.20\","
			   "\"destination\":\"172.16.11.7\"}");

	assert_int_equal(number(s, "network"), 8001);
	assert_string_equal(text(s, "protection"), "aes-256-gcm");
	assert_string_equal(text(s, "prefix"), "172.16.11.0/24");
	assert_string_equal(text(json_object_get(s, "router"), "name"), "chicago");
	assert_string_equal(text(json_object_get(s, "peer"), "name"), "chicago");
	assert_int_equal(json_array_size(json_object_get(s, "networks")), 2);
	assert_true(json_is_false(json_object_get(s, "goes"))); /* no keys */
	assert_string_equal(text(s, "reason"), "no-key");
	json_decref(s);

	s = ask(t, "{\"verb\":\"why\",\"source\":\"172.16.0.21\","
		   "\"destination\":\"172.16.11.7\"}");
	assert_string_equal(text(s, "reason"), "no-route");
	assert_true(json_is_null(json_object_get(s, "network")));
	assert_true(json_is_null(json_object_get(s, "router")));
	json_decref(s);

	s = ask(t, "{\"verb\":\"why\",\"source\":\"10.0.0.1\",\"destination\":\"172.16.11.7\"}");
	assert_string_equal(text(s, "reason"), "unknown-source");
	assert_true(json_is_null(json_object_get(s, "source_prefix")));
	json_decref(s);

	refused(t, "{\"verb\":\"why\",\"source\":\"x\",\"destination\":\"172.16.11.7\"}",
		"\"x\" is not an address");
	refused(t, "{\"verb\":\"why\",\"source\":\"fd00::1\",\"destination\":\"172.16.11.7\"}",
		"different IP versions");
	refused(t, "{\"verb\":\"why\",\"source\":\"172.16.11.7\"}", "destination");
}

static void reloading(void **state)
{
	struct world_of_test *t = *state;

	json_decref(ask(t, "{\"verb\":\"reload\"}"));
	assert_int_equal(t->reloads, 1);
	t->refuse = true;
	refused(t, "{\"verb\":\"reload\"}",
		"r.conf:3: [router] id: wrong\nr.conf:9: [lndt] x: wrong");
	refused(t, "{\"verb\":\"reload\",\"really\":true}", "request refused");
	assert_int_equal(t->reloads, 2);
}

/* What those have counted that work no more is not forgotten, nor whom it belongs to. */
static void workers(void **state)
{
	static const char *const bad[] = { "0",	   "33", "-1",
					   "auto", "",	 "2x",
					   "1e9",  " ",	 "99999999999999999999" };
	struct world_of_test *t = *state;
	json_t *s, *list;

	counter_add(&t->router->workers[1].counters.sent, 5);
	counter_add(&t->router->workers[1].counters.traffic[OUT].packets, 5);
	s = ask(t, "{\"verb\":\"set\",\"what\":\"workers\",\"value\":\"32\"}");
	assert_int_equal(number(s, "workers"), 32);
	assert_int_equal(number(s, "before"), CONTROL_WORKERS);
	assert_true(json_real_value(json_object_get(s, "pause_ms")) == 0.25);
	json_decref(s);
	counter_add(&t->router->workers[31].counters.traffic[OUT].packets, 6);
	s = ask(t, "{\"verb\":\"set\",\"what\":\"workers\",\"value\":\"1\"}");
	assert_int_equal(number(s, "workers"), 1);
	json_decref(s);
	refused(t, "{\"verb\":\"set\",\"what\":\"workers\",\"value\":\"9\"}",
		"workers stay 1: no room\nat all");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[128], error[128];

		snprintf(line, sizeof(line),
			 "{\"verb\":\"set\",\"what\":\"workers\",\"value\":\"%s\"}", bad[i]);
		snprintf(error, sizeof(error),
			 "workers: can't be \"%s\"; expected a number from 1 to 32", bad[i]);
		refused(t, line, error);
	}
	s = ask(t, "{\"verb\":\"status\"}");
	assert_int_equal(number(s, "workers"), 1);
	json_decref(s);
	s = ask(t, "{\"verb\":\"show\",\"what\":\"counters\"}");
	list = json_object_get(s, "workers");
	assert_int_equal(json_array_size(list), 32);
	assert_true(json_is_true(json_object_get(json_array_get(list, 0), "works")));
	assert_true(json_is_false(json_object_get(json_array_get(list, 1), "works")));
	assert_string_equal(text(json_array_get(list, 1), "sent"), "5");
	assert_string_equal(text(json_object_get(json_object_get(s, "traffic"), "out"), "packets"),
			    "11");
	json_decref(s);
}

static void intercept(void **state)
{
	struct world_of_test *t = *state;
	json_t *s = ask(t, "{\"verb\":\"set\",\"what\":\"intercept\",\"value\":\"tun\"}");

	assert_string_equal(text(s, "intercept"), "tun");
	json_decref(s);
	refused(t, "{\"verb\":\"set\",\"what\":\"intercept\",\"value\":\"nfqueue\"}",
		"intercept stays tun: netfilter rule: Operation not permitted");
	refused(t, "{\"verb\":\"set\",\"what\":\"intercept\",\"value\":\"magic\"}",
		"no method \"magic\"");
	refused(t, "{\"verb\":\"set\",\"what\":\"id\",\"value\":\"2\"}", "no \"id\" to set");
}

static void not_requests(void **state)
{
	struct world_of_test *t = *state;
	char *line = malloc(CONTROL_LINE + 1);

	refused(t, "", "not a JSON object");
	refused(t, "status", "not a JSON object");
	refused(t, "{\"verb\":\"status\"", "not a JSON object");
	refused(t, "{\"verb\":\"status\"} {}", "not a JSON object");
	refused(t, "{\"verb\":\"status\",\"verb\":\"reload\"}", "not a JSON object");
	refused(t, "{\"verb\":\"sta\\u0000tus\"}", "not a JSON object");
	refused_bytes(t, "{\"verb\":\"\xff\"}", 12, "not a JSON object");
	refused(t, "[]", "expected an object");
	refused(t, "{}", "expected an object");
	refused(t, "{\"verb\":1}", "expected an object");
	refused(t, "{\"verb\":\"dance\"}", "unknown verb \"dance\"");
	/* what the parser quotes of it ends inside a character */
	refused(t, "{\"v{\\\xd9\xa4\xbc\xf1\xe9\x18", "not a JSON object");
	refused(t, "{\"verb\":\"status\",\"x\":1}", "request refused");
	refused(t, "{\"verb\":\"show\"}", "request refused");
	refused(t, "{\"verb\":\"show\",\"what\":\"keys\"}", "no \"keys\" to show");
	refused(t, "{\"verb\":\"show\",\"what\":\"gndt\",\"offset\":-1}", "negative");
	refused(t, "{\"verb\":\"show\",\"what\":\"gndt\",\"offset\":1e99}", "request refused");

	memset(line, '[', CONTROL_LINE + 1);
	refused_bytes(t, line, CONTROL_LINE, "not a JSON object");
	refused_bytes(t, line, CONTROL_LINE + 1, "longer than 65536 bytes");
	memset(line, ' ', CONTROL_LINE);
	memcpy(line, "{\"verb\":\"status\"}", 17);
	json_decref(ask_bytes(t, line, CONTROL_LINE));
	free(line);
}

static void ping_requests(void **state)
{
	struct world_of_test *t = *state;
	static const char whole[] = "{\"verb\":\"ping\",\"peer\":\"purdue\",\"count\":3,"
				    "\"size\":1400,\"interval_ms\":10}";
	static const char trace[] = "{\"verb\":\"trace\",\"peer\":\"2\"}";
	struct pings_request p;

	assert_null(control_answer(t->router, NULL, whole, strlen(whole), start, &p));
	assert_int_equal(p.peer, 3);
	assert_int_equal(p.count, 3);
	assert_int_equal(p.size, 1400);
	assert_int_equal(p.interval, 10 * MSEC);
	assert_false(p.trace);
	assert_null(control_answer(t->router, NULL, trace, strlen(trace), start, &p));
	assert_int_equal(p.peer, 2);
	assert_true(p.trace);
	assert_true(p.count > 0);

	refused(t, "{\"verb\":\"ping\",\"peer\":\"nobody\"}", "no peer \"nobody\"");
	refused(t, "{\"verb\":\"trace\",\"peer\":\"1\"}", "no peer \"1\"");
	refused(t, "{\"verb\":\"ping\",\"peer\":\"purdue\",\"count\":0}", "count");
	refused(t, "{\"verb\":\"ping\",\"peer\":\"purdue\",\"size\":49}", "size");
	refused(t, "{\"verb\":\"ping\",\"peer\":\"purdue\",\"size\":65536}", "size");
	refused(t, "{\"verb\":\"ping\",\"peer\":\"purdue\",\"interval_ms\":0}", "interval_ms");
}

struct told {
	unsigned frames;
	json_t *last;
	struct pings *pings;
};

static void tell(void *arg, json_t *result, const char *error, bool last)
{
	struct told *told = arg;

	assert_null(error);
	assert_non_null(result);
	assert_null(told->last);
	if (last) {
		told->last = result;
		pings_free(told->pings);
		told->pings = NULL;
		return;
	}
	told->frames++;
	assert_int_equal(number(result, "seq"), told->frames);
	assert_true(json_is_false(json_object_get(result, "answered")));
	assert_non_null(strstr(text(result, "error"), "no keys"));
	json_decref(result);
}

/* Nobody can be reached: each frame has its time, then the summary comes. */
static void pings_without_keys(void **state)
{
	struct world_of_test *t = *state;
	struct pings_request request = { .peer = 2, .count = 3, .size = 100, .interval = MSEC };
	struct told told = { 0 };
	mono_t now = start;

	told.pings = pings_new(t->router, &request, tell, &told, now);
	assert_non_null(told.pings);
	for (unsigned i = 0; i < 1000 && !told.last; i++) {
		now = mono_add(now, 10 * MSEC);
		loop_fire(t->loop, now);
	}
	assert_int_equal(told.frames, 3);
	assert_non_null(told.last);
	assert_int_equal(number(told.last, "sent"), 0);
	assert_int_equal(number(told.last, "received"), 0);
	assert_true(json_is_null(json_object_get(told.last, "rtt_avg_seconds")));
	assert_true(mono_since(now, start) >= 3 * PINGS_TIMEOUT);
	json_decref(told.last);
}

/* A series that is given up leaves nothing behind. */
static void pings_given_up(void **state)
{
	struct world_of_test *t = *state;
	struct pings_request request = { .peer = 3, .count = 3, .size = 100, .interval = MSEC };
	struct told told = { 0 };

	told.pings = pings_new(t->router, &request, tell, &told, start);
	loop_fire(t->loop, mono_add(start, MSEC));
	pings_free(told.pings);
	loop_fire(t->loop, mono_add(start, 60 * SEC));
	assert_int_equal(told.frames, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(status),	      TEST(peers),	   TEST(large_counters),
		TEST(tables),	      TEST(config),	   TEST(why),
		TEST(reloading),      TEST(workers),	   TEST(intercept),
		TEST(not_requests),   TEST(ping_requests), TEST(pings_without_keys),
		TEST(pings_given_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
