/*
 * Routers on streams, and the ladder from one way to the other: what firewalls let
 * through is found, used and left again without a word from anybody.
 */
#include <string.h>

#include "tests/sim/net.h"
#include "router/connections.h"

/* The rung that a site's path to its peer is on. */
static enum rung rung_at(struct net *n, unsigned site, unsigned peer)
{
	struct contact *c = site_contact(n, site, peer);

	if (!c || !c->peer->path)
		return RUNG_NONE;
	for (int i = 0; i < RUNGS; i++)
		if (!strcmp(ways_transport(c, &c->peer->path->way), rung_name((enum rung)i)))
			return (enum rung)i;
	return RUNG_NONE;
}

struct both {
	enum rung rung;
};

/* net_fn: sites 1 and 2 both use this rung to each other, and are up. */
static bool use_it(void *arg, struct net *n)
{
	const struct both *b = arg;

	return site_is_up(n, 1, 2) && site_is_up(n, 2, 1) && rung_at(n, 1, 2) == b->rung &&
	       rung_at(n, 2, 1) == b->rung;
}

static int64_t until(struct net *n, enum rung rung, int64_t max)
{
	struct both b = { rung };

	return net_wait(n, use_it, &b, max);
}

static void firewall(struct net *n, bool udp, bool tcp, bool tls)
{
	struct wire w = { .delay = 10 * MSEC, .no_udp = !udp, .no_tcp = !tcp, .no_tls = !tls };

	net_wires(n, &w);
}

/* Site 1 comes to site 2, which knows no endpoint of it; or both know the other's. */
static void start(struct net *n, const char *protocol, bool mutual, unsigned workers)
{
	n->sites[1].peer_lines = n->sites[2].peer_lines = protocol;
	n->sites[2].hidden = mutual ? 0 : 1u << 1;
	sites_start(n, 2, workers);
}

static struct flow *flow_both(struct net *n, int64_t interval, uint64_t count)
{
	struct flow *f = flow4(n, 1, 2, 1000, interval, count);

	flow6(n, 2, 1, 1000, interval, count);
	return f;
}

/* ---- one kind ------------------------------------------------------------------ */

static void one_kind(struct net *n, const char *protocol, enum rung rung, unsigned workers)
{
	int64_t took;

	start(n, protocol, false, workers);
	took = until(n, rung, 5 * SEC);
	assert_true(took >= 0 && took < SEC);
	assert_int_equal(n->sites[1].wired, 0); /* no datagram */
	flow_both(n, MSEC, 2000);
	assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
	for (size_t i = 0; i < n->n_flows; i++)
		assert_int_equal(n->flows[i]->reordered, 0);
	assert_int_equal(n->sites[2].wired, 0);
}

static void tcp(void **state)
{
	one_kind(*state, "protocol = tcp", RUNG_TCP, 1);
}

static void tls(void **state)
{
	one_kind(*state, "protocol = tls", RUNG_TLS, 1);
}

/* Whichever worker a packet comes to, and whichever has the stream. */
static void workers(void **state)
{
	struct net *n = *state;

	one_kind(n, "protocol = tcp", RUNG_TCP, 3);
	for (unsigned k = 8; k > 0; k -= k > 3 ? 3 : 1) {
		struct flow *f = flow_both(n, 100 * USEC, 5000);

		net_run(n, 100 * MSEC);
		site_set_workers(&n->sites[1], k);
		net_run(n, 100 * MSEC);
		site_set_workers(&n->sites[2], 9 - k);
		assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
		assert_int_equal(f->duplicates, 0);
	}
}

/* A whole host's packet goes into a frame. */
static void large_packets(void **state)
{
	struct net *n = *state;

	start(n, "protocol = tcp", false, 1);
	until(n, RUNG_TCP, 5 * SEC);
	assert_int_equal(site_frame_max(n, 1, 2), 1540);
	assert_true(n->sites[1].router->device_mtu >= 1500);
	flow4(n, 1, 2, 1500, MSEC, 100);
	assert_true(net_wait(n, flows_have_come, NULL, 5 * SEC) >= 0);
	assert_int_equal(
		counter_read(&n->sites[1].router->workers[0].counters.events[EVENT_SEGMENTS_CUT]),
		0);
}

/* While frames pile up for a stream, senders that understand marks are told; and what waits
 * is bounded, oldest out first. */
static void marks(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	start(n, "protocol = tcp", false, 1);
	until(n, RUNG_TCP, 5 * SEC);
	for (unsigned i = 0; i < 2; i++) {
		f[i] = flow4(n, 1, 2, 1400, 200 * USEC, 1000);
		f[i]->tos = i ? 2 : 0;
	}
	net_run(n, 50 * MSEC);
	assert_int_equal(f[1]->last_tos, 2);
	firewall(n, true, false, true);
	net_run(n, 160 * MSEC);
	firewall(n, true, true, true);
	net_run(n, 2 * SEC);
	assert_int_equal(f[1]->top, f[1]->sent); /* the youngest has come */
	assert_int_equal(f[1]->last_tos, 3);
	assert_int_equal(f[0]->last_tos, 0);
	assert_true(site_drops(&n->sites[1], DROP_WAIT_FULL) > 0);
	assert_int_equal(f[0]->received + f[1]->received + site_drops(&n->sites[1], DROP_WAIT_FULL),
			 2000);
	flow4(n, 1, 2, 1400, MSEC, 10)->tos = 2;
	net_run(n, SEC);
	assert_int_equal(n->flows[2]->last_tos, 2); /* it is over */
}

/* ---- the ladder ------------------------------------------------------------------ */

/* The best way that is let through, after as long as those above have been given. */
static void finds(void **state)
{
	static const struct {
		bool udp, tcp, tls;
		enum rung rung;
		int64_t least, most;
	} firewalls[] = {
		{ true, true, true, RUNG_UDP, 0, 200 * MSEC },
		{ false, true, true, RUNG_TCP, SEC, 1200 * MSEC },
		{ false, false, true, RUNG_TLS, 2 * SEC, 2200 * MSEC },
		{ true, false, false, RUNG_UDP, 0, 200 * MSEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(firewalls) / sizeof(firewalls[0]); i++) {
		for (int mutual = 0; mutual < 2; mutual++) {
			struct net *n = net_new(i);
			int64_t took;

			firewall(n, firewalls[i].udp, firewalls[i].tcp, firewalls[i].tls);
			start(n, "protocol = auto", mutual, 1);
			flow_both(n, 10 * MSEC, 20); /* wait, and are not lost */
			took = until(n, firewalls[i].rung, 20 * SEC);
			assert_true(took >= firewalls[i].least && took <= firewalls[i].most);
			assert_true(net_wait(n, flows_have_come, NULL, SEC) >= 0);
			net_run(n, 5 * SEC);
			assert_true(use_it(&(struct both){ firewalls[i].rung }, n));
			net_free(n);
		}
	}
}

/* With nobody there it says so once a minute, and tries at pauses. */
static void nobody(void **state)
{
	struct net *n = *state;
	const struct contact *c;

	n->sites[1].peer_lines = "protocol = auto";
	n->sites[1].peers = 1u << 2;
	site_start(&n->sites[1]);
	net_run(n, 50 * SEC);
	c = site_contact(n, 1, 2);
	assert_string_equal(c->reach.rung[RUNG_UDP].why, "no answer in 3 s");
	assert_string_equal(c->reach.rung[RUNG_TCP].why, "TCP: Connection refused");
	assert_int_equal(net_logged(n, "r2: no way leads to it: udp: no answer in 3 s; tcp: TCP"),
			 1);
	/* and it comes */
	n->sites[2].hidden = 1u << 1;
	n->sites[2].peers = 1u << 1;
	site_start(&n->sites[2]);
	assert_true(until(n, RUNG_UDP, 40 * SEC) >= 0);
}

/* UDP is dropped under load: on the stream within three seconds, and up again by itself
 * when it passes; nobody else's doing. */
static void down_and_up(void **state)
{
	(void)state;
	for (int mutual = 0; mutual < 2; mutual++) {
		struct net *n = net_new(1);
		struct flow *f;
		int64_t took;
		uint64_t received;

		start(n, "protocol = auto", mutual, 1);
		assert_true(until(n, RUNG_UDP, 5 * SEC) >= 0);
		net_run(n, 70 * SEC);
		f = flow_both(n, 5 * MSEC, 1000000);
		net_run(n, SEC);
		firewall(n, false, true, true);
		took = until(n, RUNG_TCP, 10 * SEC);
		assert_true(took > 0 && took < 3 * SEC);
		assert_string_equal(site_contact(n, 1, 2)->reach.rung[RUNG_UDP].why,
				    "no answer any more");
		received = f->received;
		net_run(n, 10 * SEC);
		assert_true(f->received - received >= 1990); /* undisturbed by what is tried */
		firewall(n, true, true, true);
		took = until(n, RUNG_UDP, 100 * SEC);
		assert_true(took > 0);
		received = f->received;
		net_run(n, 10 * SEC);
		assert_true(f->received - received >= 1990);
		/* what is not needed is closed */
		assert_true(list_is_empty(&n->sites[1].router->connections->all));
		assert_true(list_is_empty(&n->sites[2].router->connections->all));
		net_free(n);
	}
}

/* Only one direction is dropped: the other side may be the one that notices. */
static void half_blind(void **state)
{
	(void)state;
	for (unsigned deaf = 1; deaf <= 2; deaf++) {
		struct net *n = net_new(deaf);
		struct flow *f;
		int64_t took;

		start(n, "protocol = auto", true, 1);
		assert_true(until(n, RUNG_UDP, 5 * SEC) >= 0);
		f = flow_both(n, 5 * MSEC, 100000);
		net_run(n, 20 * SEC);
		n->wires[3 - deaf][deaf].no_udp = true;
		took = until(n, RUNG_TCP, 10 * SEC);
		assert_true(took > 0 && took < 4 * SEC);
		net_run(n, 200 * SEC);
		assert_true(f->received > f->sent - 5 * 200);
		assert_true(use_it(&(struct both){ RUNG_TCP }, n));
		net_free(n);
	}
}

/* Loss alone, even much of it, is no reason to leave UDP. */
static void lossy(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = 40 * MSEC, .loss = 0.2 };

	net_wires(n, &w);
	start(n, "protocol = auto", true, 1);
	assert_true(until(n, RUNG_UDP, 60 * SEC) >= 0);
	flow_both(n, 20 * MSEC, 100000);
	net_run(n, 300 * SEC);
	assert_true(use_it(&(struct both){ RUNG_UDP }, n));
	assert_true(router_events(n->sites[1].router, EVENT_ROAMS) <= 2);
}

/* Idle, a round trip of two seconds: rungs race, UDP wins and stays. */
static void far_away(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = SEC };

	net_wires(n, &w);
	start(n, "protocol = auto", false, 1);
	assert_true(until(n, RUNG_UDP, 60 * SEC) >= 0);
	net_run(n, 300 * SEC);
	assert_true(use_it(&(struct both){ RUNG_UDP }, n));
	assert_true(router_events(n->sites[1].router, EVENT_ROAMS) <= 1);
}

/* The same by TCP, with a handshake of several round trips. */
static void far_away_by_tcp(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = 1400 * MSEC };

	net_wires(n, &w);
	start(n, "protocol = tcp", false, 1);
	assert_true(until(n, RUNG_TCP, 30 * SEC) >= 0);
	net_run(n, 300 * SEC);
	assert_true(use_it(&(struct both){ RUNG_TCP }, n));
	assert_true(router_events(n->sites[1].router, EVENT_ROAMS) <= 1);
}

/* ---- ends ------------------------------------------------------------------------ */

/* Connections are reset: there again at once, what waits is not lost. */
static void resets(void **state)
{
	(void)state;
	for (int mutual = 0; mutual < 2; mutual++) {
		struct net *n = net_new(1);
		struct flow *f;

		start(n, "protocol = tls", mutual, 2);
		assert_true(until(n, RUNG_TLS, 5 * SEC) >= 0);
		net_run(n, 15 * SEC);
		f = flow_both(n, 10 * MSEC, 100000);
		net_run(n, SEC);
		for (unsigned i = 0; i < 5; i++) {
			uint64_t lost = f->sent - f->received;

			pipes_reset(n);
			net_run(n, 500 * MSEC);
			assert_true(use_it(&(struct both){ RUNG_TLS }, n));
			assert_true(f->sent - f->received - lost <= 6); /* those under way */
			net_run(n, 15 * SEC);
		}
		net_free(n);
	}
}

/* It goes silent without an end: another connection is made beside it. */
static void stands_still(void **state)
{
	struct net *n = *state;
	struct flow *f;
	int64_t took;

	start(n, "protocol = auto", false, 1);
	firewall(n, false, true, false);
	assert_true(until(n, RUNG_TCP, 10 * SEC) >= 0);
	f = flow_both(n, 10 * MSEC, 100000);
	net_run(n, 20 * SEC);
	firewall(n, false, false, true); /* TCP's mapping is gone, TLS passes */
	took = until(n, RUNG_TLS, 10 * SEC);
	assert_true(took > 0 && took < 3500 * MSEC);
	net_run(n, 30 * SEC);
	assert_true(f->received > 4000);
}

/* The other router starts anew, and knows no keys. */
static void restart(void **state)
{
	(void)state;
	for (unsigned site = 1; site <= 2; site++) {
		struct net *n = net_new(site);
		int64_t took;

		start(n, "protocol = tcp", false, 1);
		assert_true(until(n, RUNG_TCP, 5 * SEC) >= 0);
		net_run(n, 20 * SEC);
		site_stop(&n->sites[site]);
		net_run(n, 3 * SEC);
		site_start(&n->sites[site]);
		took = until(n, RUNG_TCP, 20 * SEC);
		assert_true(took >= 0 && took < 6 * SEC);
		flow_both(n, MSEC, 100);
		assert_true(net_wait(n, flows_have_come, NULL, SEC) >= 0);
		net_free(n);
	}
}

/* Both open a connection to the other at the same time: one is used by both, the other
 * goes; and it stays so. */
static void both_at_once(void **state)
{
	struct net *n = *state;
	uint64_t roams;

	start(n, "protocol = tcp", true, 1);
	flow_both(n, 10 * MSEC, 1000);
	assert_true(until(n, RUNG_TCP, 5 * SEC) >= 0);
	net_run(n, 10 * SEC);
	roams = router_events(n->sites[1].router, EVENT_ROAMS) +
		router_events(n->sites[2].router, EVENT_ROAMS);
	net_run(n, 600 * SEC);
	assert_int_equal(router_events(n->sites[1].router, EVENT_ROAMS) +
				 router_events(n->sites[2].router, EVENT_ROAMS),
			 roams);
	assert_true(roams <= 2);
	assert_true(use_it(&(struct both){ RUNG_TCP }, n));
	for (unsigned i = 1; i <= 2; i++) {
		struct list *all = &n->sites[i].router->connections->all;

		assert_true(all->next != all && all->next->next == all);
	}
	flow_whole(n->flows[0]);
}

/* A reload changes how a peer is reached: by the new way, and nothing is lost. */
static void reload(void **state)
{
	struct net *n = *state;
	static const struct {
		const char *lines;
		enum rung rung;
	} steps[] = {
		{ "protocol = tcp", RUNG_TCP },	 { "protocol = tls", RUNG_TLS },
		{ "protocol = udp", RUNG_UDP },	 { "protocol = tls", RUNG_TLS },
		{ "protocol = auto", RUNG_UDP },
	};

	start(n, "protocol = udp", false, 1);
	assert_true(until(n, RUNG_UDP, 5 * SEC) >= 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct flow *f = flow4(n, 1, 2, 500, MSEC, 5000);

		net_run(n, 20 * SEC);
		flow_whole(f);
		f = flow4(n, 1, 2, 500, MSEC, 3000);
		n->sites[1].peer_lines = steps[i].lines;
		assert_true(site_reload(&n->sites[1]));
		assert_true(until(n, steps[i].rung, 2 * SEC) >= 0);
		net_run(n, 5 * SEC);
		flow_whole(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(tcp),
		net_test(tls),
		net_test(workers),
		net_test(large_packets),
		net_test(marks),
		cmocka_unit_test(finds),
		net_test(nobody),
		cmocka_unit_test(down_and_up),
		cmocka_unit_test(half_blind),
		net_test(lossy),
		net_test(far_away),
		net_test(far_away_by_tcp),
		cmocka_unit_test(resets),
		net_test(stands_still),
		cmocka_unit_test(restart),
		net_test(both_at_once),
		net_test(reload),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
