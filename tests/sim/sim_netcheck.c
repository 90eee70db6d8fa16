/*
 * Netcheck between whole routers: it finds what wires let through, in its time, and
 * moves no path.
 */
#include <errno.h>
#include <string.h>

#include "router/netcheck.h"
#include "tests/sim/net.h"

static void told(void *arg, json_t *result)
{
	json_t **ret = arg;

	assert_non_null(result);
	assert_null(*ret);
	*ret = result;
}

static bool is_there(void *arg, struct net *n)
{
	(void)n;
	return *(json_t **)arg != NULL;
}

/* Site 1's check; how long it took. */
static json_t *check(struct net *n, int64_t *ret_took)
{
	struct netcheck_waiter w = { .fn = NULL };
	json_t *result = NULL;

	assert_int_equal(netcheck_join(n->sites[1].router, &w, told, &result, n->now), 0);
	*ret_took = net_wait(n, is_there, &result, 20 * SEC);
	assert_true(*ret_took >= 0);
	assert_null(w.fn);
	assert_null(n->sites[1].router->netcheck);
	return result;
}

static bool works(json_t *result, const char *way)
{
	return json_is_true(json_object_get(json_object_get(result, way), "works"));
}

static const char *transport(struct net *n, unsigned site, unsigned peer)
{
	const struct contact *c = site_contact(n, site, peer);

	return c->peer->path ? ways_transport(c, &c->peer->path->way) : "none";
}

static void start(struct net *n, const char *protocol)
{
	n->sites[1].peer_lines = n->sites[2].peer_lines = protocol;
	n->sites[2].hidden = 1u << 1;
	sites_start(n, 2, 1);
}

static void finds(void **state)
{
	static const struct {
		bool udp, tcp, tls;
		int64_t most;
	} firewalls[] = {
		{ true, true, true, SEC },	  { false, true, true, 4 * SEC },
		{ false, false, true, 5 * SEC },  { true, false, false, 5 * SEC },
		{ false, false, false, 9 * SEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(firewalls) / sizeof(firewalls[0]); i++) {
		struct wire w = { .delay = 10 * MSEC,
				  .no_udp = !firewalls[i].udp,
				  .no_tcp = !firewalls[i].tcp,
				  .no_tls = !firewalls[i].tls };
		struct net *n = net_new(i);
		json_t *result;
		int64_t took;

		net_wires(n, &w);
		start(n, "protocol = auto");
		net_run(n, 4 * SEC);
		result = check(n, &took);
		assert_true(took <= firewalls[i].most);
		assert_int_equal(works(result, "udp"), firewalls[i].udp);
		assert_int_equal(works(result, "tcp"), firewalls[i].tcp);
		assert_int_equal(works(result, "tls"), firewalls[i].tls);
		assert_false(works(result, "proxy"));
		json_decref(result);
		net_free(n);
	}
}

/* Its streams are closed again, and both ends stay on the way that they had. */
static void disturbs_nothing(void **state)
{
	static const char *const protocols[] = { "udp", "tcp", "tls" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct net *n = net_new(i);
		char line[32];
		struct flow *f;
		int64_t took;
		uint64_t roams[2];

		snprintf(line, sizeof(line), "protocol = %s", protocols[i]);
		start(n, line);
		net_run(n, 3 * SEC);
		f = flow4(n, 1, 2, 1000, MSEC, 3000);
		for (unsigned s = 0; s < 2; s++)
			roams[s] = router_events(n->sites[s + 1].router, EVENT_ROAMS);
		json_decref(check(n, &took));
		net_run(n, 5 * SEC);
		assert_string_equal(transport(n, 1, 2), protocols[i]);
		assert_string_equal(transport(n, 2, 1), protocols[i]);
		assert_true(flow_is_whole(f));
		assert_int_equal(f->reordered, 0);
		for (unsigned s = 0; s < 2; s++)
			assert_int_equal(router_events(n->sites[s + 1].router, EVENT_ROAMS),
					 roams[s]);
		net_free(n);
	}
}

static const char *reason(json_t *result, const char *way)
{
	return json_string_value(json_object_get(json_object_get(result, way), "reason"));
}

/* Another's error, from a socket, is none of the way's; its own is told. */
static void refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net *n = net_new(i);
		json_t *result;
		int64_t took;

		start(n, "protocol = udp");
		net_run(n, 4 * SEC);
		n->sites[1].refusal = -EHOSTUNREACH;
		n->sites[1].refused = i ? 1000 : 1;
		result = check(n, &took);
		assert_int_equal(works(result, "udp"), !i);
		if (i)
			assert_string_equal(reason(result, "udp"), strerror(EHOSTUNREACH));
		json_decref(result);
		net_free(n);
	}
}

/* The machine does nothing for a while, as soon as the first questions have been asked. */
static void stalled(void **state)
{
	struct net *n = *state;
	struct netcheck_waiter w = { .fn = NULL };
	json_t *result = NULL;

	start(n, "protocol = udp");
	net_run(n, 4 * SEC);
	n->wires[1][2].cut = true;
	assert_int_equal(netcheck_join(n->sites[1].router, &w, told, &result, n->now), 0);
	net_run(n, 10 * MSEC);
	n->wires[1][2].cut = false;
	n->now = mono_add(n->now, 4 * SEC);
	assert_true(net_wait(n, is_there, &result, 20 * SEC) >= 0);
	assert_true(works(result, "udp"));
	assert_true(works(result, "tcp"));
	json_decref(result);
}

/* Who asks meanwhile has the same; who goes takes nothing from others; the last one who
 * goes ends it. */
static void waiters(void **state)
{
	struct net *n = *state;
	struct netcheck_waiter w[2] = { { .fn = NULL } };
	json_t *results[2] = { NULL };
	struct router *r;

	start(n, "protocol = auto");
	net_run(n, 2 * SEC);
	r = n->sites[1].router;
	for (int i = 0; i < 2; i++)
		assert_int_equal(netcheck_join(r, &w[i], told, &results[i], n->now), 0);
	assert_true(net_wait(n, is_there, &results[1], 20 * SEC) >= 0);
	assert_ptr_equal(results[0], results[1]);
	json_decref(results[0]);
	json_decref(results[1]);

	results[0] = results[1] = NULL;
	for (int i = 0; i < 2; i++)
		assert_int_equal(netcheck_join(r, &w[i], told, &results[i], n->now), 0);
	netcheck_leave(r, &w[0]);
	netcheck_leave(r, &w[0]);
	assert_non_null(r->netcheck);
	netcheck_leave(r, &w[1]);
	assert_null(r->netcheck);
	net_run(n, 15 * SEC);
	assert_null(results[0]);
	assert_null(results[1]);
	/* the far one has nobody to ask */
	assert_int_equal(netcheck_join(n->sites[2].router, &w[0], told, &results[0], n->now),
			 -ENOENT);
	assert_null(n->sites[2].router->netcheck);
}

int main(void)
{
	const struct CMUnitTest tests[] = { net_test(finds), net_test(disturbs_nothing),
					    net_test(refused), net_test(stalled),
					    net_test(waiters) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
