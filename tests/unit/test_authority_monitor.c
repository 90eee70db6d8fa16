/* links: libauthority libcommon */
/*
 * What routers say of themselves, silence, and what is found wrong with it: states, figures,
 * hostile bodies, bounds; then checks and alerts, what is told once, and what again.
 */
#include <errno.h>

#include "tests/unit/authority_world.h"

#include "authority/alerts.h"
#include "authority/monitor.h"

#define SILENCE (15 * SEC)

struct scene {
	struct world world;
	struct monitor *monitor;
	mono_t now;
	char error[MONITOR_ERROR];
};

static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	world_init(&s->world, "172.16.0.0/12");
	world_site(&s->world, "r1", 1, "172.16.1.0/24");
	world_site(&s->world, "r2", 2, "172.16.2.0/24");
	s->monitor = monitor_new(SILENCE);
	s->now = (mono_t){ 1000 * SEC };
	monitor_tick(s->monitor, s->world.registry, s->now);
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	monitor_free(s->monitor);
	world_done(&s->world);
	free(s);
	return 0;
}

static const struct router *router(const struct scene *s, const char *name)
{
	return registry_router(s->world.registry, name);
}

static int beat(struct scene *s, const char *name, const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s", body);
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return monitor_heartbeat(s->monitor, router(s, name), text, strlen(text), s->now, s->error);
}

static void pass(struct scene *s, int64_t ns)
{
	s->now = mono_add(s->now, ns);
	monitor_tick(s->monitor, s->world.registry, s->now);
}

static enum monitor_state state_of(const struct scene *s, uint32_t id)
{
	return monitor_get(s->monitor, id)->state;
}

/* ---- states ---------------------------------------------------------------------- */

static void test_states(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->world;

	assert_int_equal(state_of(s, 1), MONITOR_UNSEEN);
	assert_int_equal(beat(s, "r1", "{}"), 0);
	assert_int_equal(state_of(s, 1), MONITOR_OK);
	assert_int_equal(monitor_count(s->monitor, MONITOR_UNSEEN), 1);
	pass(s, SILENCE);
	assert_int_equal(state_of(s, 1), MONITOR_OK);
	assert_int_equal(state_of(s, 2), MONITOR_UNSEEN);
	pass(s, 1);
	assert_int_equal(state_of(s, 1), MONITOR_SILENT);
	assert_int_equal(state_of(s, 2), MONITOR_SILENT);
	assert_int_equal(monitor_count(s->monitor, MONITOR_SILENT), 2);
	/* Heard again, at once. */
	assert_int_equal(beat(s, "r2", "{'load': 1.5}"), 0);
	assert_int_equal(state_of(s, 2), MONITOR_OK);
	assert_int_equal(monitor_get(s->monitor, 2)->since.ns, s->now.ns);
	assert_true(monitor_get(s->monitor, 2)->load == 1.5);
	/* Revoked: nobody waits for it. */
	assert_done(
		as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r1")));
	pass(s, SEC);
	assert_null(monitor_get(s->monitor, 1));
	assert_int_equal(monitor_count(s->monitor, MONITOR_SILENT), 0);
	/* One that is registered meanwhile has its time. */
	world_site(&s->world, "r3", 3, "172.16.3.0/24");
	pass(s, SEC);
	assert_int_equal(state_of(s, 3), MONITOR_UNSEEN);
}

/* ---- figures --------------------------------------------------------------------- */

static void test_figures(void **state)
{
	struct scene *s = *state;
	const struct monitor_router *r;
	json_t *o, *link;

	assert_int_equal(beat(s, "r1",
			      "{'version': '1.8', 'uptime': 3.5, 'load': 0.25, 'rss': 1000, "
			      "'workers': 2, 'packets': {'in': 10, 'out': 20}, "
			      "'bytes': {'in': 1000, 'out': 2000}, 'drops': 3, 'something': [1], "
			      "'peers': [{'id': 2, 'up': true, 'rtt': 0.02, 'tx_bytes': 100, "
			      "'rx_bytes': 5, 'lost': 0.5, 'way': 'tcp'}, {'id': 9}]}"),
			 0);
	r = monitor_get(s->monitor, 1);
	assert_int_equal(r->runs.number, 8);
	assert_int_equal(r->workers, 2);
	assert_true(r->bytes_in < 0); /* a rate needs two */
	assert_int_equal(r->n_links, 2);
	assert_true(r->links[0].sent < 0);
	assert_int_equal(monitor_links(s->monitor), 2);
	/* Too soon: heard, and no more. */
	s->now = mono_add(s->now, SEC / 2);
	assert_int_equal(beat(s, "r1", "{'bytes': {'in': 1000000000, 'out': 0}}"), 0);
	assert_true(monitor_get(s->monitor, 1)->bytes_in < 0);
	assert_int_equal(monitor_get(s->monitor, 1)->seen.ns, s->now.ns);
	s->now = mono_add(s->now, 9 * SEC + SEC / 2);
	assert_int_equal(beat(s, "r1",
			      "{'packets': {'in': 110, 'out': 20}, 'bytes': {'in': 6000, 'out': "
			      "100}, 'drops': 23, 'peers': [{'id': 9, 'tx_bytes': 50}, {'id': 2, "
			      "'tx_bytes': 300, 'rx_bytes': 0, 'rtt': 0.1, 'up': true, 'way': "
			      "'udp'}]}"),
			 0);
	r = monitor_get(s->monitor, 1);
	assert_true(r->packets_in == 10 && r->packets_out == 0 && r->drops == 2);
	assert_true(r->bytes_in == 500);
	assert_true(r->bytes_out < 0); /* begun anew */
	assert_int_equal(r->links[0].peer, 2);
	assert_true(r->links[0].sent == 20 && r->links[0].received < 0);
	assert_true(r->links[1].sent == 5);
	assert_true(r->load < 0 && r->runs.number == 0); /* no longer said */

	o = monitor_json(s->monitor, router(s, "r1"), s->now, 1000000);
	assert_string_equal(json_string_value(json_object_get(o, "state")), "ok");
	assert_int_equal(json_integer_value(json_object_get(o, "heard")), 1000000);
	assert_null(json_object_get(o, "load"));
	assert_true(json_real_value(json_object_get(o, "bytes_in")) == 500);
	json_decref(o);
	o = json_array();
	monitor_add_links(s->monitor, s->world.registry, router(s, "r1"), o);
	assert_int_equal(json_array_size(o), 2);
	link = json_array_get(o, 0);
	assert_string_equal(json_string_value(json_object_get(link, "router")), "r1");
	assert_string_equal(json_string_value(json_object_get(link, "peer")), "r2");
	assert_string_equal(json_string_value(json_object_get(link, "way")), "udp");
	assert_null(json_object_get(link, "bytes_in"));
	json_decref(o);
	o = monitor_json(s->monitor, router(s, "r2"), s->now, 1000000);
	assert_string_equal(json_string_value(json_object_get(o, "state")), "unseen");
	assert_null(json_object_get(o, "heard"));
	json_decref(o);
	o = monitor_json(NULL, router(s, "r2"), s->now, 1000000);
	assert_string_equal(json_string_value(json_object_get(o, "name")), "r2");
	json_decref(o);
}

/* Heartbeats without links leave them as they are, for a while. */
static void test_links_stay(void **state)
{
	struct scene *s = *state;

	assert_int_equal(beat(s, "r1", "{'peers': [{'id': 2, 'tx_bytes': 100}]}"), 0);
	for (int i = 0; i < 5; i++) {
		s->now = mono_add(s->now, 5 * SEC);
		assert_int_equal(beat(s, "r1", "{'load': 1}"), 0);
		assert_int_equal(monitor_get(s->monitor, 1)->n_links, 1);
	}
	s->now = mono_add(s->now, 5 * SEC);
	assert_int_equal(beat(s, "r1", "{'peers': [{'id': 2, 'tx_bytes': 400}]}"), 0);
	assert_true(monitor_get(s->monitor, 1)->links[0].sent == 10); /* of all that time */
	s->now = mono_add(s->now, MONITOR_LINKS_OLD - SEC);
	assert_int_equal(beat(s, "r1", "{}"), 0);
	assert_int_equal(monitor_links(s->monitor), 1);
	s->now = mono_add(s->now, 2 * SEC);
	assert_int_equal(beat(s, "r1", "{}"), 0);
	assert_int_equal(monitor_links(s->monitor), 0);
}

/* ---- bodies of strangers ---------------------------------------------------------- */

static void test_hostile(void **state)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"1",
		"{",
		"{'load': -1}",
		"{'load': 'high'}",
		"{'load': 1e300}",
		"{'load': 1, 'load': 2}",
		"{'version': 8}",
		"{'version': '8'}",
		"{'uptime': 1e12}",
		"{'rss': -5}",
		"{'rss': 1.5}",
		"{'workers': []}",
		"{'drops': -1}",
		"{'packets': {'in': -1}}",
		"{'bytes': {'out': 'x'}}",
		"{'peers': {}}",
		"{'peers': [1]}",
		"{'peers': [{}]}",
		"{'peers': [{'id': 0}]}",
		"{'peers': [{'id': 4294967296}]}",
		"{'peers': [{'id': -2}]}",
		"{'peers': [{'id': 2}, {'id': 2}]}",
		"{'peers': [{'id': 2, 'rtt': -1}]}",
		"{'peers': [{'id': 2, 'lost': 1.01}]}",
		"{'peers': [{'id': 2, 'tx_bytes': -1}]}",
	};
	struct scene *s = *state;
	char *large = calloc(1, MONITOR_BODY + 2);

	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		*s->error = '\0';
		assert_int_equal(beat(s, "r1", bodies[i]), -EINVAL);
		assert_true(*s->error);
		assert_int_equal(state_of(s, 1), MONITOR_UNSEEN);
	}
	assert_int_equal(monitor_heartbeats(s->monitor, true), sizeof(bodies) / sizeof(*bodies));
	assert_int_equal(monitor_heartbeats(s->monitor, false), 0);
	memset(large, ' ', MONITOR_BODY + 1);
	memcpy(large, "{}", 2);
	assert_int_equal(monitor_heartbeat(s->monitor, router(s, "r1"), large, MONITOR_BODY + 1,
					   s->now, s->error),
			 -EINVAL);
	assert_int_equal(monitor_heartbeat(s->monitor, router(s, "r1"), large, MONITOR_BODY, s->now,
					   s->error),
			 0);
	/* Anything cut, or with a byte turned, is taken or refused. */
	srandom(7);
	for (int i = 0; i < 2000; i++) {
		char text[] = "{\"load\":1.5,\"peers\":[{\"id\":2,\"rtt\":0.5,\"lost\":0.1}]}";

		text[(size_t)random() % strlen(text)] = (char)random();
		s->now = mono_add(s->now, 2 * SEC);
		monitor_heartbeat(s->monitor, router(s, "r2"), text,
				  (size_t)random() % sizeof(text), s->now, s->error);
	}
	free(large);
}

static void test_bounds(void **state)
{
	struct scene *s = *state;
	json_t *peers = json_array(), *body = json_pack("{s:o}", "peers", peers);
	char *text;

	for (int i = 0; i < 3000; i++)
		json_array_append_new(peers, json_pack("{s:i}", "id", i + 10));
	text = json_dumps(body, JSON_COMPACT);
	assert_int_equal(monitor_heartbeat(s->monitor, router(s, "r1"), text, strlen(text), s->now,
					   s->error),
			 0);
	assert_int_equal(monitor_get(s->monitor, 1)->n_links, MONITOR_LINKS);
	assert_int_equal(monitor_get(s->monitor, 1)->left_out, 3000 - MONITOR_LINKS);
	assert_int_equal(monitor_links(s->monitor), MONITOR_LINKS);
	s->now = mono_add(s->now, 2 * SEC);
	assert_int_equal(beat(s, "r1", "{'peers': []}"), 0);
	assert_int_equal(monitor_links(s->monitor), 0);
	free(text);
	json_decref(body);
}

/* ---- checks and alerts ------------------------------------------------------------ */

#define DAY (24 * 3600)

static struct check check_of(const struct scene *s)
{
	return (struct check){ .registry = s->world.registry,
			       .monitor = s->monitor,
			       .ca_end = (int64_t)(NOW / 1000) + 3650 * DAY,
			       .server_end = (int64_t)(NOW / 1000) + 30 * DAY,
			       .warn = 14 * DAY,
			       .users = 90 * DAY,
			       .routers = 90 * DAY,
			       .server = 30 * DAY,
			       .now = NOW,
			       .clock = s->now };
}

/* What is found: "kind subject severity", one a line. */
static void found(const struct check *c, const char *expected)
{
	struct findings l;
	char text[2000] = "";

	check_run(c, &l);
	for (size_t i = 0; i < l.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s %s",
			 i ? "\n" : "", finding_names[l.at[i].kind], l.at[i].subject,
			 severity_names[l.at[i].severity]);
	findings_done(&l);
	assert_string_equal(text, expected);
}

static void test_routers_found(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->world;
	struct check c = check_of(s);

	found(&c, "");
	beat(s, "r1", "{}");
	beat(s, "r2", "{}");
	pass(s, SILENCE + 1);
	found(&c, "router-silent r1 critical\nrouter-silent r2 critical");
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:b}", "router", "r2", "disabled", 1)));
	found(&c, "router-silent r1 critical\nrouter-silent r2 warning");
	beat(s, "r1", "{}");
	beat(s, "r2", "{}");
	monitor_confirm(s->monitor, router(s, "r1"), "not signed by it");
	found(&c, "router-refuses r1 critical");
	monitor_confirm(s->monitor, router(s, "r1"), "");
	found(&c, "");
}

static void test_ends_found(void **state)
{
	struct scene *s = *state;
	struct check c = check_of(s);
	const int64_t now = NOW / 1000;

	monitor_certificate(s->monitor, router(s, "r1"), now + 14 * DAY);
	found(&c, "");
	monitor_certificate(s->monitor, router(s, "r1"), now + 14 * DAY - 1);
	found(&c, "router-certificate r1 warning");
	monitor_certificate(s->monitor, router(s, "r1"), now - 1);
	found(&c, "router-certificate r1 critical");
	/* Of short lives, the last quarter. */
	c.routers = 4 * 3600;
	monitor_certificate(s->monitor, router(s, "r1"), now + 3600);
	found(&c, "");
	monitor_certificate(s->monitor, router(s, "r1"), now + 3599);
	found(&c, "router-certificate r1 warning");
	monitor_certificate(s->monitor, router(s, "r1"), 0);

	/* A user's, which is renewed when he comes. */
	assert_int_equal(world_ask(&s->world,
				   (struct request){ .caller = { CALLER_USER, "root", NULL },
						     .operation = "renew",
						     .certified = NOW + 10ull * DAY * 1000 },
				   NULL),
			 200);
	assert_int_equal(s->world.n_changes, 2);
	found(&c, "user-certificate root warning");
	c.now = NOW + 11ull * DAY * 1000;
	found(&c, "");
	c.now = NOW;
	assert_int_equal(world_ask(&s->world,
				   (struct request){ .caller = { CALLER_USER, "root", NULL },
						     .operation = "renew",
						     .certified = NOW + 90ull * DAY * 1000 },
				   NULL),
			 200);
	found(&c, "");

	c.ca_end = now + 365 * DAY - 1;
	c.server_end = now + 10 * DAY - 1;
	found(&c, "server-certificate  warning\nca  warning");
	c.ca_end = now + 29 * DAY;
	c.server_end = now - 1;
	c.webhook_fails = true;
	found(&c, "server-certificate  critical\nca  critical\nwebhook  warning");
}

struct told {
	char text[1000];
};

static void on_alert(void *arg, const struct finding *f, bool raised)
{
	struct told *t = arg;

	snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text), "%c%s:%s ",
		 raised ? '+' : '-', finding_names[f->kind], f->subject);
}

static void update(struct alerts *a, const struct check *c, const char *expected)
{
	struct told t = { "" };
	struct findings l;

	check_run(c, &l);
	alerts_update(a, &l, on_alert, &t);
	assert_string_equal(t.text, expected);
}

static void test_alerts(void **state)
{
	struct scene *s = *state;
	struct check c = check_of(s);
	struct alerts a = { 0 };
	json_t *o;

	update(&a, &c, "");
	beat(s, "r1", "{}");
	pass(s, SILENCE + 1);
	update(&a, &c, "+router-silent:r1 +router-silent:r2 ");
	c.now += 60000;
	update(&a, &c, "");
	assert_int_equal(a.found.at[0].since, NOW);
	c.ca_end = 1;
	beat(s, "r1", "{}");
	update(&a, &c, "-router-silent:r1 +ca: ");
	/* Another severity is told again. */
	c.ca_end = (int64_t)(NOW / 1000) + 100 * DAY;
	update(&a, &c, "+ca: ");
	assert_int_equal(a.raised[FINDING_CA], 2);
	o = check_json(&a.found, NULL, NULL);
	assert_string_equal(json_string_value(json_object_get(o, "status")), "critical");
	assert_int_equal(json_array_size(json_object_get(o, "findings")), 2);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(o, "findings"), 0), "kind")),
			    "router-silent");
	json_decref(o);
	alerts_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, begin, end),
		cmocka_unit_test_setup_teardown(test_figures, begin, end),
		cmocka_unit_test_setup_teardown(test_links_stay, begin, end),
		cmocka_unit_test_setup_teardown(test_hostile, begin, end),
		cmocka_unit_test_setup_teardown(test_bounds, begin, end),
		cmocka_unit_test_setup_teardown(test_routers_found, begin, end),
		cmocka_unit_test_setup_teardown(test_ends_found, begin, end),
		cmocka_unit_test_setup_teardown(test_alerts, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
