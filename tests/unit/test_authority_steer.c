/* links: libauthority libcommon */
/*
 * What is measured feeds the tables: a silent router's addresses go to another one of its
 * site and come back, queue routers are tried in the order of their ways; not too early, not
 * to and fro, and not when the authority itself is cut off.
 */
#include "tests/unit/authority_world.h"

#include <errno.h>

#include "authority/publish.h"
#include "authority/steer.h"

#define SILENCE (15 * SEC)
#define DISABLE (30 * SEC)

struct scene {
	struct world world;
	struct monitor *monitor;
	struct steer *steer;
	mono_t now;
	unsigned decisions;
};

/* Site "two" has routers a (1) and b (2), which share a block; q1 (3), q2 (4), q3 (5) are queue
 * routers of a. */
static int begin(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct world *w = &s->world;

	world_init(w, "172.16.0.0/12");
	world_site(w, "a", 1, "172.16.1.0/24");
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:s,s:i}", "kind", "router", "name", "b", "site", "a",
				 "id", 2)));
	assert_done(as(w, "root", "block-assign",
		       json_pack("{s:s,s:s}", "router", "b", "block", "172.16.1.0/24")));
	world_site(w, "q1", 3, "172.16.3.0/24");
	world_site(w, "q2", 4, "172.16.4.0/24");
	world_site(w, "q3", 5, "172.16.5.0/24");
	world_host(w, "h1", "a", "root", "172.16.1.1");
	world_host(w, "h2", "b", "root", "172.16.1.2");
	world_host(w, "h3", "q1", "root", "172.16.3.1");
	world_host(w, "physical", "a", "root", "10.0.0.1");
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o}", "name", "vn", "id", 7, "hosts",
				 list("h1 h2 h3 physical"))));
	for (unsigned i = 0; i < 3; i++)
		assert_done(as(w, "root", "router-change",
			       json_pack("{s:o,s:s,s:b}", "router", json_sprintf("q%u", i + 1),
					 "endpoint", "192.0.2.1:8463", "relay", 1)));
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:o}", "router", "a", "queue_routers", list("q1 q2 q3"))));
	s->monitor = monitor_new(SILENCE);
	s->steer = steer_new(SILENCE, DISABLE);
	s->now = (mono_t){ 1000 * SEC };
	*state = s;
	return 0;
}

static int end(void **state)
{
	struct scene *s = *state;

	steer_free(s->steer);
	monitor_free(s->monitor);
	world_done(&s->world);
	free(s);
	return 0;
}

static void carry_out(void *arg, json_t *arguments)
{
	struct scene *s = arg;
	struct world *w = &s->world;

	s->decisions++;
	assert_done(world_ask(
		w, (struct request){ .caller = { .kind = CALLER_AUTHORITY }, .operation = "steer" },
		arguments));
}

/* So many seconds with heartbeats of these routers; body: of router a. */
static void pass(struct scene *s, unsigned seconds, const char *names, const char *body)
{
	char error[MONITOR_ERROR];

	for (unsigned i = 0; i < seconds; i++) {
		char *text = strdup(names), *rest = text, *name;

		s->now = mono_add(s->now, SEC);
		while ((name = strsep(&rest, " "))) {
			const char *its = body && !strcmp(name, "a") ? body : "{}";

			if (!*name)
				continue;
			assert_int_equal(monitor_heartbeat(s->monitor,
							   registry_router(s->world.registry, name),
							   its, strlen(its), s->now, error),
					 0);
		}
		free(text);
		monitor_tick(s->monitor, s->world.registry, s->now);
		steer_run(s->steer, s->world.registry, s->monitor, s->now, carry_out, s);
	}
}

/* The network's rows: "ROUTER ADDRESS, ...". */
static void assert_rows(const struct scene *s, const char *expected)
{
	struct network_table *t = network_table_new(7, registry_vn(s->world.registry, 7));
	char text[500] = "", prefix[PREFIX_TEXT];

	for (size_t i = 0; i < t->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u %s", i ? ", " : "",
			 t->rows[i].router, prefix_format(&t->rows[i].prefix, prefix));
	network_table_unref(t);
	assert_string_equal(text, expected);
}

#define BEFORE "1 10.0.0.1/32, 1 172.16.1.1/32, 2 172.16.1.2/32, 3 172.16.3.1/32"
#define INSTEAD "1 10.0.0.1/32, 2 172.16.1.1/32, 2 172.16.1.2/32, 3 172.16.3.1/32"
#define ALL "a b q1 q2 q3"

static void test_silent(void **state)
{
	struct scene *s = *state;

	pass(s, 5, ALL, NULL);
	assert_rows(s, BEFORE);
	pass(s, 29, "b q1 q2 q3", NULL);
	assert_rows(s, BEFORE);
	pass(s, 3, "b q1 q2 q3", NULL);
	assert_rows(s, INSTEAD);
	assert_int_equal(s->decisions, 1);
	/* Heard, and away, and heard again: it has to be there for a while. */
	pass(s, 25, ALL, NULL);
	pass(s, 20, "b q1 q2 q3", NULL);
	pass(s, 29, ALL, NULL);
	assert_rows(s, INSTEAD);
	pass(s, 3, ALL, NULL);
	assert_rows(s, BEFORE);
	assert_int_equal(s->decisions, 2);
	/* One whose place nobody can take stays. */
	pass(s, 60, "a b q2 q3", NULL);
	assert_rows(s, BEFORE);
	assert_false(registry_router(s->world.registry, "q1")->record.silent);
}

static void test_cut_off(void **state)
{
	struct scene *s = *state;

	pass(s, 5, ALL, NULL);
	pass(s, 100, "b q1", NULL); /* most are silent: it may be the authority */
	assert_rows(s, BEFORE);
	assert_int_equal(s->decisions, 0);
	pass(s, 2, "b q1 q2", NULL);
	assert_rows(s, INSTEAD);
}

static void test_never(void **state)
{
	struct scene *s = *state;

	steer_free(s->steer);
	s->steer = steer_new(SILENCE, 0);
	pass(s, 5, ALL, NULL);
	pass(s, 100, "b q1 q2 q3", NULL);
	assert_int_equal(s->decisions, 0);
}

#define LINK(id, rtt) "{\"id\":" #id ",\"up\":true,\"rtt\":" #rtt "}"
#define LINKS(x, y, z) "{\"peers\":[" x "," y "," z "]}"

static void assert_order(const struct scene *s, const char *order)
{
	assert_string_equal(registry_router(s->world.registry, "a")->record.queue_order, order);
}

static void test_order(void **state)
{
	struct scene *s = *state;

	/* Nearly as good: as they are. */
	pass(s, 60, ALL, LINKS(LINK(3, 0.020), LINK(4, 0.018), LINK(5, 0.5)));
	assert_order(s, "");
	/* Much better, once: not yet. */
	pass(s, 10, ALL, LINKS(LINK(3, 0.2), LINK(4, 0.018), LINK(5, 0.5)));
	pass(s, 60, ALL, LINKS(LINK(3, 0.020), LINK(4, 0.018), LINK(5, 0.5)));
	assert_order(s, "");
	pass(s, 35, ALL, LINKS(LINK(3, 0.2), LINK(4, 0.018), LINK(5, 0.5)));
	assert_order(s, "q2 q1 q3");
	/* It does not go back for as little. */
	pass(s, 60, ALL, LINKS(LINK(3, 0.015), LINK(4, 0.018), LINK(5, 0.5)));
	assert_order(s, "q2 q1 q3");
	assert_int_equal(s->decisions, 1);
	/* The first choice is silent for long. */
	pass(s, 45, "a b q1 q3", LINKS(LINK(3, 0.2), LINK(5, 0.1), "{\"id\":4}"));
	assert_order(s, "q3 q1 q2");
	assert_int_equal(s->decisions, 2);
	/* Those that lose much are worse. */
	pass(s, 40, ALL,
	     LINKS(LINK(3, 0.03), LINK(4, 0.5),
		   "{\"id\":5,\"up\":true,\"rtt\":0.02,\"lost\":0.3}"));
	assert_order(s, "q1 q3 q2");
}

/* Others are told in that order. */
static void on_tables(void *arg, struct version version, uint8_t step, const uint8_t *bytes,
		      size_t len)
{
	(void)version, (void)step;
	assert_true(len > SIGN_BYTES);
	assert_int_equal(image_decode(bytes, len, arg), 0);
}

static void on_event(void *arg, enum publish_event e, const struct router *r, struct version runs)
{
	(void)arg, (void)e, (void)r, (void)runs;
}

static void on_save(void *arg, const struct published *state)
{
	(void)arg, (void)state;
}

static void test_published(void **state)
{
	static const uint8_t key[SIGN_KEY] = { 1 };
	struct scene *s = *state;
	struct signer *signer = signer_new(key);
	struct image *image = NULL;
	const struct image_peer *a;
	struct publish *p;

	pass(s, 45, ALL, LINKS(LINK(3, 0.2), LINK(4, 0.1), LINK(5, 0.01)));
	assert_order(s, "q3 q2 q1");
	p = publish_new(s->world.registry, signer, 1, s->world.revision, PROTECT_HMAC, on_event,
			on_save, NULL);
	assert_int_equal(publish_give(p, 2, on_tables, &image), 0);
	assert_non_null(image);
	a = image_peer(image, 1);
	assert_non_null(a);
	assert_int_equal(a->n_queue_routers, 3);
	assert_int_equal(a->queue_routers[0], 5);
	assert_int_equal(a->queue_routers[1], 4);
	assert_int_equal(a->queue_routers[2], 3);
	image_free(image);
	publish_free(p);
	signer_free(signer);
}

/* It decides nothing else, and nobody else does this. */
static void test_operation(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->world;
	const struct request self = { .caller = { .kind = CALLER_AUTHORITY },
				      .operation = "steer" };
	struct request other = self;

	assert_refused(as(w, "root", "steer", json_pack("{s:s,s:b}", "router", "a", "silent", 1)),
		       403, "roles");
	other.operation = "vn-shutdown";
	assert_refused(world_ask(w, other, json_pack("{s:s}", "vn", "vn")), 403, "only steers");
	assert_refused(world_ask(w, self, json_pack("{s:s}", "router", "nobody")), 404, "nobody");
	assert_refused(world_ask(w, self, json_pack("{s:s,s:i}", "router", "a", "silent", 1)), 400,
		       "silent");
	assert_done(world_ask(w, self, json_pack("{s:s,s:b}", "router", "a", "silent", 1)));
	assert_rows(s, INSTEAD);
	/* An administrator's word counts as well. */
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:b}", "router", "b", "disabled", 1)));
	assert_rows(s, "1 10.0.0.1/32, 1 172.16.1.1/32, 3 172.16.3.1/32");
}

static void say(struct scene *s, const char *router, const char *tinies)
{
	char body[256], error[MONITOR_ERROR] = "";

	s->now = mono_add(s->now, 10 * SEC);
	snprintf(body, sizeof(body), "{\"tinies\":[%s]}", tinies);
	if (monitor_heartbeat(s->monitor, registry_router(s->world.registry, router), body,
			      strlen(body), s->now, error))
		fail_msg("%s", error);
	steer_run(s->steer, s->world.registry, s->monitor, s->now, carry_out, s);
}

static const char *at(const struct scene *s, const char *tiny)
{
	return registry_host(s->world.registry, tiny)->router->object.name;
}

/* A tiny at the one and the other of its routers; what others say of it; two that have its key. */
static void test_tiny(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->world;
	const struct monitor_tiny *t;
	char error[MONITOR_ERROR];
	json_t *o;

	world_tiny(w, "vn", "vm", "10.9.0.1", "a q1", "k");
	assert_int_equal(registry_tiny(w->registry, "vm")->record.id, 6);
	say(s, "a", "{\"id\":6,\"up\":true,\"endpoint\":\"192.0.2.1:99\"}");
	t = monitor_tiny(s->monitor, 6);
	assert_true(t->up);
	assert_string_equal(t->endpoint, "192.0.2.1:99");
	/* It is none of q2's; nobody knows 9. */
	say(s, "q2", "{\"id\":6,\"up\":true},{\"id\":9,\"up\":true}");
	assert_int_equal(t->router, 1);
	assert_null(monitor_tiny(s->monitor, 9));
	assert_string_equal(at(s, "vm"), "a");
	/* One that doesn't have it says nothing of where it is. */
	say(s, "q1", "{\"id\":6,\"up\":false}");
	assert_true(t->up);
	assert_int_equal(s->decisions, 0);
	say(s, "q1", "{\"id\":6,\"up\":true}");
	assert_string_equal(at(s, "vm"), "q1");
	assert_int_equal(s->decisions, 1);
	say(s, "a", "{\"id\":6,\"up\":false}");
	say(s, "a", "");
	assert_int_equal(s->decisions, 1);
	assert_false(monitor_tiny_suspected(t, s->now));
	assert_false(monitor_tiny_gone(s->monitor, 6, s->now));
	/* To and fro: it stays where it is, and is told. */
	s->now = mono_add(s->now, 60 * SEC);
	for (int i = 0; i < 2; i++) {
		say(s, "a", "{\"id\":6,\"up\":true}");
		say(s, "q1", "{\"id\":6,\"up\":true}");
	}
	assert_true(monitor_tiny_suspected(t, s->now));
	assert_int_equal(s->decisions, 3);
	s->now = mono_add(s->now, 20 * 60 * SEC);
	assert_false(monitor_tiny_suspected(t, s->now));
	say(s, "q1", "{\"id\":6,\"up\":true,\"moved\":2}");
	assert_false(monitor_tiny_suspected(t, s->now));
	say(s, "q1", "{\"id\":6,\"up\":true,\"moved\":3}");
	assert_true(monitor_tiny_suspected(t, s->now));
	s->now = mono_add(s->now, 20 * 60 * SEC);
	say(s, "q1", "{\"id\":6,\"up\":true,\"twice\":true}");
	assert_true(monitor_tiny_suspected(t, s->now));
	/* Gone for a minute. */
	say(s, "q1", "{\"id\":6,\"up\":false}");
	assert_false(monitor_tiny_gone(s->monitor, 6, s->now));
	assert_true(monitor_tiny_gone(s->monitor, 6, mono_add(s->now, 60 * SEC)));
	o = monitor_tiny_json(s->monitor, w->registry, 6, s->now, NOW);
	assert_string_equal(json_string_value(json_object_get(o, "at")), "q1");
	json_decref(o);
	/* What is no list of tinies. */
	for (int i = 0; i < 4; i++) {
		static const char *const bad[] = {
			"{\"tinies\":1}", "{\"tinies\":[1]}", "{\"tinies\":[{\"id\":0}]}",
			"{\"tinies\":[{\"id\":6,\"endpoint\":\"a b\"}]}"
		};

		assert_int_equal(monitor_heartbeat(s->monitor, registry_router(w->registry, "a"),
						   bad[i], strlen(bad[i]), s->now, error),
				 -EINVAL);
	}
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "tiny", "name", "vm")));
	monitor_tick(s->monitor, w->registry, s->now);
	assert_null(monitor_tiny(s->monitor, 6));
}

/* Whose router is silent is delivered to where it has gone, and until then nowhere else: not by
 * one of the site that has its address in a block, but which it can't connect to. */
static void test_tiny_silent(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->world;

	world_tiny(w, "vn", "vm", "172.16.1.9", "a", "k");
	world_tiny(w, "vn", "vm2", "172.16.1.10", "a b", "k");
	assert_rows(s, "1 10.0.0.1/32, 1 172.16.1.1/32, 1 172.16.1.9/32, 1 172.16.1.10/32, "
		       "2 172.16.1.2/32, 3 172.16.3.1/32");
	pass(s, 5, ALL, NULL);
	pass(s, 35, "b q1 q2 q3", NULL);
	assert_true(registry_router(w->registry, "a")->record.silent);
	assert_rows(s, "1 10.0.0.1/32, 1 172.16.1.9/32, 1 172.16.1.10/32, 2 172.16.1.1/32, "
		       "2 172.16.1.2/32, 3 172.16.3.1/32");
	say(s, "b", "{\"id\":7,\"up\":true}");
	assert_string_equal(at(s, "vm2"), "b");
	assert_rows(s, "1 10.0.0.1/32, 1 172.16.1.9/32, 2 172.16.1.1/32, 2 172.16.1.2/32, "
		       "2 172.16.1.10/32, 3 172.16.3.1/32");
	/* It stays there when the other one is back. */
	pass(s, 40, ALL, NULL);
	assert_false(registry_router(w->registry, "a")->record.silent);
	assert_rows(s, "1 10.0.0.1/32, 1 172.16.1.1/32, 1 172.16.1.9/32, 2 172.16.1.2/32, "
		       "2 172.16.1.10/32, 3 172.16.3.1/32");
	/* Of one that is out of service there is no way. */
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:b}", "router", "a", "disabled", 1)));
	assert_rows(s, "2 172.16.1.1/32, 2 172.16.1.2/32, 2 172.16.1.10/32, 3 172.16.3.1/32");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tiny, begin, end),
		cmocka_unit_test_setup_teardown(test_tiny_silent, begin, end),
		cmocka_unit_test_setup_teardown(test_silent, begin, end),
		cmocka_unit_test_setup_teardown(test_cut_off, begin, end),
		cmocka_unit_test_setup_teardown(test_never, begin, end),
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test_setup_teardown(test_published, begin, end),
		cmocka_unit_test_setup_teardown(test_operation, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
