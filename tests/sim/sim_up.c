/*
 * Routers come up: packets cross in both directions, soon, whatever the wires do
 * to handshakes; those that wait for keys are not lost, and bounded.
 */
#include <jansson.h>
#include <string.h>

#include "router/heartbeat.h"
#include "tests/sim/net.h"

static void assert_no_drops(const struct net *n)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		for (int d = 0; n->sites[i].router && d < DROPS; d++)
			if (site_drops(&n->sites[i], (enum drop)d))
				fail_msg("%s: %lu drops: %s", n->sites[i].name,
					 site_drops(&n->sites[i], (enum drop)d),
					 drop_label((enum drop)d));
}

/* The first packet arrives within four round trips, its answer in the same time. */
static void first_packet(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = 50 * MSEC };
	struct flow *f;

	net_wires(n, &w);
	sites_start(n, 2, 1);
	f = flow4(n, 1, 2, 200, MSEC, 5);
	assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
	assert_true(mono_since(f->first, (mono_t){ 1000 * SEC }) <= 400 * MSEC + 2 * MSEC);
	flow_whole(f);
	assert_int_equal(f->reordered, 0);
	f = flow6(n, 2, 1, 200, MSEC, 5);
	assert_true(net_wait(n, flows_have_come, NULL, 100 * MSEC) >= 0);
	assert_no_drops(n);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 1);
	assert_int_equal(router_events(n->sites[2].router, EVENT_HANDSHAKES), 1);
}

static void three_sites(void **state)
{
	struct net *n = *state;

	sites_start(n, 3, 1);
	for (unsigned i = 1; i <= 3; i++)
		for (unsigned j = 1; j <= 3; j++) {
			if (i == j)
				continue;
			flow4(n, i, j, 500, 10 * MSEC, 50);
			flow6(n, i, j, 500, 10 * MSEC, 50);
		}
	assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
	sites_wait_up(n);
	assert_no_drops(n);
	assert_int_equal(net_logged(n, ": up by "), 6);
}

static void outside_is_ipv6(void **state)
{
	struct net *n = *state;

	n->sites[1].v6 = n->sites[2].v6 = true;
	sites_start(n, 2, 1);
	flow4(n, 1, 2, 500, 10 * MSEC, 50);
	flow6(n, 2, 1, 500, 10 * MSEC, 50);
	assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
	sites_wait_up(n);
	assert_int_equal(site_frame_max(n, 1, 2), 1500 - 48);
	assert_no_drops(n);
}

/* One side knows no endpoint of the other: it is found by its handshake. */
static void hidden_endpoint(void **state)
{
	struct net *n = *state;

	n->sites[1].hidden = 1u << 2;
	sites_start(n, 2, 1);
	flow4(n, 1, 2, 200, 100 * MSEC, 30);
	flow4(n, 2, 1, 200, 100 * MSEC, 30);
	assert_true(net_wait(n, flows_have_come, NULL, 10 * SEC) >= 0);
	assert_no_drops(n);
}

/* With nobody there, what waits is bounded in number and in time. */
static void held_is_bounded(void **state)
{
	struct net *n = *state;
	uint64_t dropped;

	n->sites[1].peers = 1u << 2;
	site_start(&n->sites[1]);
	flow4(n, 1, 2, 200, MSEC, 1000);
	net_run(n, 2 * SEC);
	assert_int_equal(n->sites[1].router->workers[0].n_held, HELD_PER_PEER);
	assert_int_equal(site_drops(&n->sites[1], DROP_HOLD_FULL), 1000 - HELD_PER_PEER);
	net_run(n, 10 * SEC);
	assert_int_equal(n->sites[1].router->workers[0].n_held, 0);
	assert_int_equal(site_drops(&n->sites[1], DROP_NO_KEY), HELD_PER_PEER);
	dropped = site_all_drops(&n->sites[1]);
	assert_int_equal(dropped, 1000);
	/* one line a minute about it, however many attempts */
	net_run(n, 50 * SEC);
	assert_true(net_logged(n, "no handshake with") >= 1);
	assert_true(net_logged(n, "no handshake with") <= 2);
}

/* What a heartbeat says of the loss on the way to router 2; -1: nothing. */
static double said_lost(struct net *n)
{
	char *body = heartbeat_body(n->sites[1].router, (struct version){ 0 }, true, n->now);
	json_t *o = json_loads(body, 0, NULL);
	json_t *peer = json_array_get(json_object_get(o, "peers"), 0),
	       *lost = json_object_get(peer, "lost");
	double ret = lost ? json_number_value(lost) : -1;

	json_decref(o);
	free(body);
	return ret;
}

/* Losses are found by the pings that there are anyway: none, some (of 0.36), none again. */
static void losses_are_told(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = 20 * MSEC };

	net_wires(n, &w);
	sites_start(n, 2, 1);
	sites_wait_up(n);
	net_run(n, 60 * SEC);
	assert_true(said_lost(n) == 0);
	w.loss = 0.2;
	net_wires(n, &w);
	net_run(n, 300 * SEC);
	assert_true(said_lost(n) > 0.1);
	assert_true(said_lost(n) < 0.7);
	w.loss = 0;
	net_wires(n, &w);
	net_run(n, 400 * SEC);
	assert_true(said_lost(n) >= 0);
	assert_true(said_lost(n) < 0.02);
}

/* Different keys: no way in, one line that says so. */
static void wrong_key(void **state)
{
	struct net *n = *state;

	n->sites[2].stranger = "x";
	sites_start(n, 2, 1);
	flow4(n, 1, 2, 200, 100 * MSEC, 100);
	net_run(n, 30 * SEC);
	assert_int_equal(n->sites[2].others, 0);
	assert_int_equal(n->flows[0]->received, 0);
	assert_true(site_drops(&n->sites[2], DROP_BAD_MAC) > 0);
	assert_int_equal(net_logged(n, "r1: handshake from"), 1);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 0);
}

/* Handshakes over bad wires, with all begun at once: they always converge, and
 * then traffic flows. */
static void bad_wires(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 20 * MSEC,
				  .jitter = (int64_t)(seed % 4) * 40 * MSEC,
				  .loss = (double)(seed % 5) * 0.1,
				  .duplicate = seed % 3 ? 0.2 : 0,
				  .hold = seed % 2 ? 0.1 : 0 },
			    good = { .delay = 20 * MSEC };
		struct flow *f[2];

		net_wires(n, &w);
		sites_start(n, 2, 1);
		flow4(n, 1, 2, 200, 10 * MSEC, 50);
		flow4(n, 2, 1, 200, 10 * MSEC, 50);
		if (net_wait(n, sites_are_up, NULL, 60 * SEC) < 0)
			fail_msg("seed %lu: not up", seed);
		net_wires(n, &good);
		net_run(n, 2 * SEC);
		f[0] = flow4(n, 1, 2, 300, 10 * MSEC, 50);
		f[1] = flow4(n, 2, 1, 300, 10 * MSEC, 50);
		net_run(n, 2 * SEC);
		if (!flow_is_whole(f[0]) || !flow_is_whole(f[1]))
			fail_msg("seed %lu: packets lost", seed);
		net_free(n);
	}
}

/* Both begin in the same instant, on every delay: one handshake comes of it. */
static void both_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = (int64_t)seed * 3 * MSEC };

		net_wires(n, &w);
		sites_start(n, 2, 1);
		flow4(n, 1, 2, 200, (int64_t)(1 + net_random(n, 20)) * MSEC, 20);
		flow4(n, 2, 1, 200, (int64_t)(1 + net_random(n, 20)) * MSEC, 20);
		if (net_wait(n, flows_have_come, NULL, 2 * SEC) < 0)
			fail_msg("seed %lu: not there in time", seed);
		assert_no_drops(n);
		net_run(n, 5 * SEC);
		assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 1);
		assert_int_equal(router_events(n->sites[2].router, EVENT_HANDSHAKES), 1);
		net_free(n);
	}
}

/* An hour of an idle pair: it stays up, with one handshake and few datagrams. */
static void idle_hour(void **state)
{
	struct net *n = *state;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	net_run(n, 3600 * SEC);
	assert_true(sites_are_up(NULL, n));
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 1);
	assert_true(n->sites[1].wired < 3600);
	assert_int_equal(net_logged(n, "down"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(first_packet),		net_test(three_sites),
		net_test(outside_is_ipv6),	net_test(hidden_endpoint),
		net_test(held_is_bounded),	net_test(wrong_key),
		net_test(losses_are_told),	cmocka_unit_test(bad_wires),
		cmocka_unit_test(both_at_once), net_test(idle_hour),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
