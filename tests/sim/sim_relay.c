/*
 * Limited routers and their queue routers: frames inside frames, who may have them
 * relayed, queue routers that die, frames that wait to be asked for.
 */
#include <string.h>

#include "router/backlog.h"
#include "tests/sim/net.h"

#define LIMITED_BY_1 "[limited]\nqueue-routers = r1\nmode = udp\n"
#define LIMITED_BY_BOTH "[limited]\nqueue-routers = r1, r2\nmode = udp\n"

/* Sites from..to have no address that others know, but for NAT to their queue routers. */
static void start_limited(struct net *n, unsigned relays, unsigned sites, const char *lines,
			  unsigned workers)
{
	unsigned all = (1u << (sites + 1)) - 2, limited = all & ~((1u << (relays + 1)) - 2);

	for (unsigned i = 1; i <= sites; i++) {
		struct site *s = &n->sites[i];

		s->hidden = limited & ~(1u << i);
		s->router_lines = NULL;
		s->peer_lines = "direct = no\n";
		if (i > relays)
			s->router_lines = lines;
		else
			s->peer_lines = "relay = yes\n";
	}
	sites_start(n, sites, workers);
}

static uint32_t via(struct net *n, unsigned site, unsigned peer)
{
	struct path *p = site_contact(n, site, peer)->peer->path;

	return p && p->way.kind == WAY_RELAY ? p->way.via : 0;
}

static uint64_t relayed(struct net *n, unsigned site, unsigned peer, enum direction d)
{
	const struct peer *p = site_contact(n, site, peer)->peer;
	uint64_t sum = 0;

	for (unsigned i = 0; i < n->sites[site].router->n_made; i++)
		sum += counter_read(&p->share[i]->queued[d].packets);
	return sum;
}

/* ---- relaying ---------------------------------------------------------------- */

static void by_relay(void **state)
{
	struct net *n = *state;
	struct flow *f[4];

	for (unsigned workers = 1; workers <= 3; workers += 2) {
		start_limited(n, 1, 3, LIMITED_BY_1, workers);
		sites_wait_up(n);
		assert_int_equal(via(n, 2, 3), 1);
		assert_int_equal(via(n, 3, 2), 1);
		assert_int_equal(via(n, 2, 1), 0);
		f[0] = flow4(n, 2, 3, 300, MSEC, 1000);
		f[1] = flow6(n, 3, 2, 1300, MSEC, 1000);
		f[2] = flow4(n, 2, 1, 300, MSEC, 1000);
		f[3] = flow4(n, 1, 3, 300, MSEC, 1000);
		net_run(n, 2 * SEC);
		for (unsigned i = 0; i < 4; i++)
			flow_whole(f[i]);
		/* counted at each end and in the middle */
		assert_true(relayed(n, 2, 1, OUT) >= 1000 && relayed(n, 2, 1, OUT) < 1100);
		assert_true(relayed(n, 1, 2, IN) >= 1000 && relayed(n, 1, 2, IN) < 1100);
		assert_true(relayed(n, 1, 3, OUT) >= 1000 && relayed(n, 1, 3, OUT) < 1100);
		assert_true(relayed(n, 3, 1, IN) >= 1000 && relayed(n, 3, 1, IN) < 1100);
		/* no endpoint was moved by what the queue router carries */
		for (unsigned i = 1; i <= 3; i++)
			assert_int_equal(router_events(n->sites[i].router, EVENT_ROAMS), 0);
		for (unsigned i = 1; i <= 3; i++)
			site_stop(&n->sites[i]);
	}
}

/* The queue router's own network is none that it takes part in: it only relays. */
static void relay_knows_no_network(void **state)
{
	struct net *n = *state;
	struct flow *f;
	uint64_t drops;

	n->sites[1].tables = "[lndt]\n9 = 172.31.0.0/24\n";
	n->sites[2].tables = "[lndt]\n8000 = 172.16.2.0/24\n[gndt 8000]\nr3 = 172.16.3.0/24\n";
	n->sites[3].tables = "[lndt]\n8000 = 172.16.3.0/24\n[gndt 8000]\nr2 = 172.16.2.0/24\n";
	start_limited(n, 1, 3, LIMITED_BY_1, 1);
	sites_wait_up(n);
	drops = site_all_drops(&n->sites[1]);
	f = flow4(n, 2, 3, 300, MSEC, 100);
	net_run(n, SEC);
	flow_whole(f);
	assert_int_equal(site_all_drops(&n->sites[1]), drops);
}

/* With encryption, and keys changed under way. */
static void encrypted_and_rekeyed(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	for (unsigned i = 1; i <= 3; i++)
		n->sites[i].security = "encrypt = aes-256-gcm\nrekey-after = 3s\n";
	start_limited(n, 1, 3, LIMITED_BY_1, 2);
	sites_wait_up(n);
	f[0] = flow4(n, 2, 3, 300, 5 * MSEC, 6000);
	f[1] = flow4(n, 3, 2, 300, 5 * MSEC, 6000);
	net_run(n, 31 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
	assert_true(router_events(n->sites[2].router, EVENT_REKEYS) >= 10);
}

/* The largest frame is that of the smallest hop, exactly. */
static void path_mtu(void **state)
{
	static const struct {
		unsigned there, back, want; /* MTU of r2 - r1, r1 - r3 */
	} cases[] = { { 1500, 1500, 1432 }, { 1400, 1500, 1332 }, { 1500, 1350, 1282 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net *n = net_new(i + 1);

		n->wires[2][1].mtu = n->wires[1][2].mtu = cases[i].there;
		n->wires[1][3].mtu = n->wires[3][1].mtu = cases[i].back;
		start_limited(n, 1, 3, LIMITED_BY_1, 1);
		sites_wait_up(n);
		net_run(n, 5 * SEC);
		assert_int_equal(site_frame_max(n, 2, 3), cases[i].want);
		assert_int_equal(site_frame_max(n, 3, 2), cases[i].want);
		net_free(n);
	}
}

/* A mark set on the first hop, or on the second, arrives. */
static void congestion(void **state)
{
	for (unsigned hop = 0; hop < 2; hop++) {
		struct net *n = *state;
		struct flow *f, *none;

		n = net_new(hop + 1);
		start_limited(n, 1, 3, LIMITED_BY_1, 1);
		sites_wait_up(n);
		n->wires[hop ? 1 : 2][hop ? 3 : 1].mark = 1;
		f = flow4(n, 2, 3, 300, MSEC, 100);
		f->tos = 0xb8 | 2; /* ECT(0) */
		none = flow4(n, 3, 2, 300, MSEC, 100);
		none->tos = 0xb8 | 2;
		net_run(n, SEC);
		flow_whole(f);
		assert_int_equal(f->last_tos, 0xb8 | 3);
		assert_int_equal(none->last_tos, 0xb8 | 2);
		net_free(n);
	}
}

/* ---- who may ------------------------------------------------------------------- */

/* Both ends must be allowed to, or nothing goes. */
static void unauthorised(void **state)
{
	struct net *n = *state;
	struct site *q = &n->sites[1];

	start_limited(n, 1, 3, LIMITED_BY_1, 1);
	site_stop(q);
	q->peer_lines = "relay = no\n";
	site_start(q);
	net_run(n, 20 * SEC);
	assert_true(site_is_up(n, 2, 1) && site_is_up(n, 3, 1));
	assert_false(site_contact(n, 2, 3)->up);
	assert_true(site_drops(q, DROP_NOT_RELAY) > 0);
	assert_int_equal(relayed(n, 1, 3, OUT), 0);
	q->peer_lines = "relay = yes\n";
	assert_true(site_reload(q));
	sites_wait_up(n);
	q->peer_lines = "relay = no\n";
	assert_true(site_reload(q));
	flow4(n, 2, 3, 300, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	assert_int_equal(n->flows[0]->received, 0);
}

/* ---- queue routers that die ---------------------------------------------------------- */

static void cut(struct net *n, unsigned site, bool off)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		n->wires[site][i].cut = n->wires[i][site].cut = off;
}

struct gap {
	struct flow *f;
	uint64_t had;
};

static bool goes_on(void *arg, struct net *n)
{
	struct gap *g = arg;

	(void)n;
	return g->f->received > g->had;
}

/* Cut off or killed: both directions are back within 3 s, and nobody makes new keys. */
static void queue_router_dies(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 3; how++) {
		struct net *n = net_new(how + 1);
		struct flow *f[2];
		struct gap g[2];
		uint64_t handshakes;
		unsigned used, other;

		start_limited(n, 2, 4, LIMITED_BY_BOTH, 2);
		sites_wait_up(n);
		net_run(n, 15 * SEC);
		f[0] = flow4(n, 3, 4, 300, 10 * MSEC, 100000);
		f[1] = flow4(n, 4, 3, 300, 10 * MSEC, how == 2 ? 0 : 100000);
		net_run(n, 2 * SEC);
		used = via(n, 3, 4);
		other = 3 - used;
		assert_int_equal(via(n, 4, 3), used);
		handshakes = router_events(n->sites[3].router, EVENT_HANDSHAKES);
		if (how == 1)
			site_stop(&n->sites[used]);
		else
			cut(n, used, true);
		net_run(n, 50 * MSEC); /* what is under way */
		for (unsigned i = 0; i < 2; i++)
			g[i] = (struct gap){ f[i], f[i]->received };
		assert_in_range(net_wait(n, goes_on, &g[0], 10 * SEC), 1, 1300 * MSEC);
		if (how < 2)
			assert_in_range(net_wait(n, goes_on, &g[1], 10 * SEC), 0, 500 * MSEC);
		net_run(n, SEC);
		assert_int_equal(via(n, 3, 4), other);
		if (how < 2)
			assert_int_equal(via(n, 4, 3), other);
		assert_int_equal(router_events(n->sites[3].router, EVENT_HANDSHAKES), handshakes);
		if (how == 1)
			site_start(&n->sites[used]);
		else
			cut(n, used, false);
		/* it is found again, and nothing is lost by that */
		net_run(n, 5 * SEC);
		f[0]->left = f[1]->left = 0;
		net_run(n, SEC);
		sites_wait_up(n);
		f[0] = flow4(n, 3, 4, 300, 10 * MSEC, 3000);
		f[1] = flow4(n, 4, 3, 300, 10 * MSEC, 3000);
		net_run(n, 31 * SEC);
		flow_whole(f[0]);
		flow_whole(f[1]);
		assert_int_equal(via(n, 3, 4), 1);
		net_free(n);
	}
}

/* One that lives but has lost the other end: it says so, or it is found out. */
static void queue_router_without_way(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 2; how++) {
		struct net *n = net_new(how + 1);
		struct flow *f[2];
		struct gap g;

		start_limited(n, 2, 4, LIMITED_BY_BOTH, 1);
		if (how) { /* from the beginning: no way to 4 by 1 */
			n->wires[1][4].cut = n->wires[4][1].cut = true;
		} else {
			sites_wait_up(n);
		}
		f[0] = flow4(n, 3, 4, 300, 10 * MSEC, 100000);
		f[1] = flow4(n, 4, 3, 300, 10 * MSEC, 100000);
		net_run(n, 2 * SEC);
		n->wires[1][4].cut = n->wires[4][1].cut = true;
		g = (struct gap){ f[0], f[0]->received };
		assert_in_range(net_wait(n, goes_on, &g, 10 * SEC), 1, 3 * SEC);
		net_run(n, SEC);
		g = (struct gap){ f[1], f[1]->received };
		assert_in_range(net_wait(n, goes_on, &g, 10 * SEC), 1, 100 * MSEC);
		assert_int_equal(via(n, 3, 4), 2);
		assert_int_equal(via(n, 4, 3), 2);
		net_free(n);
	}
}

/* Of two that live, the first one, unless the second is clearly nearer. */
static void choice(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net *n = net_new(i + 1);
		unsigned want = i ? 2 : 1;

		for (unsigned s = 3; s <= 4; s++)
			n->wires[s][1].delay = n->wires[1][s].delay = i ? 100 * MSEC : 11 * MSEC;
		start_limited(n, 2, 4, LIMITED_BY_BOTH, 1);
		sites_wait_up(n);
		net_run(n, 60 * SEC);
		assert_int_equal(via(n, 3, 4), want);
		assert_int_equal(via(n, 4, 3), want);
		net_free(n);
	}
}

static uint64_t changes(struct net *n)
{
	uint64_t sum = 0;

	for (unsigned i = 3; i <= 4; i++)
		sum += router_events(n->sites[i].router, EVENT_RELAY_CHANGES);
	return sum;
}

/* Now and then a packet, which is answered. */
static void mostly_idle(struct net *n, unsigned minutes)
{
	for (unsigned i = 0; i < 3 * minutes; i++) {
		flow4(n, 3, 4, 300, MSEC, 1);
		flow4(n, 4, 3, 300, 30 * MSEC, 1);
		net_run(n, 20 * SEC);
	}
}

/* Two that are alike, and each end likes another one better: each goes by its own. */
static void each_its_own(void **state)
{
	struct net *n = *state;
	uint64_t before;

	start_limited(n, 2, 4, LIMITED_BY_BOTH, 1);
	n->sites[4].router_lines = "[limited]\nqueue-routers = r2, r1\nmode = udp\n";
	assert_true(site_reload(&n->sites[4]));
	sites_wait_up(n);
	net_run(n, 60 * SEC);
	before = changes(n);
	mostly_idle(n, 10);
	assert_int_equal(changes(n), before);
	assert_int_equal(via(n, 3, 4), 1);
	assert_int_equal(via(n, 4, 3), 2);
}

/* One whose round trip is now more, now less than what would be clearly shorter. */
static void hardly_better(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct net *n = net_new(i + 1);
		uint64_t before;

		for (unsigned s = 3; s <= 4; s++) {
			struct wire *there = &n->wires[s][1], *back = &n->wires[1][s];

			there->delay = back->delay = (14 + i) * MSEC;
			there->jitter = back->jitter = 10 * MSEC;
		}
		start_limited(n, 2, 4, LIMITED_BY_BOTH, 1);
		sites_wait_up(n);
		net_run(n, 60 * SEC);
		before = changes(n);
		mostly_idle(n, 20);
		assert_in_range(changes(n) - before, 0, 2);
		net_free(n);
	}
}

/* All that there are are dead, and come back. */
static void none_left(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_limited(n, 2, 4, LIMITED_BY_BOTH, 1);
	sites_wait_up(n);
	flow4(n, 3, 4, 300, 10 * MSEC, 6000);
	cut(n, 1, true);
	cut(n, 2, true);
	net_run(n, 60 * SEC);
	assert_false(site_contact(n, 3, 4)->up);
	cut(n, 1, false);
	cut(n, 2, false);
	sites_wait_up(n);
	f = flow4(n, 3, 4, 300, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(f);
}

/* ---- asking -------------------------------------------------------------------------- */

#define ASKING "[limited]\nqueue-routers = r1\nmode = poll-udp\ninterval = 50ms\n"

static void asked_for(void **state)
{
	struct net *n = *state;
	struct flow *f[4];

	for (unsigned workers = 1; workers <= 3; workers += 2) {
		start_limited(n, 1, 3, ASKING, workers);
		sites_wait_up(n);
		f[0] = flow4(n, 2, 3, 300, 10 * MSEC, 500);
		f[1] = flow6(n, 3, 2, 1300, 10 * MSEC, 500);
		f[2] = flow4(n, 1, 3, 1000, 10 * MSEC, 500); /* the queue router's own */
		f[3] = flow4(n, 3, 1, 300, 10 * MSEC, 500);
		net_run(n, 7 * SEC);
		for (unsigned i = 0; i < 4; i++)
			flow_whole(f[i]);
		assert_int_equal(f[0]->reordered + f[1]->reordered + f[2]->reordered, 0);
		for (unsigned i = 1; i <= 3; i++)
			site_stop(&n->sites[i]);
	}
}

/* Who does not ask costs no more than its queue; the youngest frames are there when it does;
 * others notice nothing. */
static void bounded(void **state)
{
	struct net *n = *state;
	struct site *q = &n->sites[1];
	struct flow *f[2];

	q->router_lines = "[queue]\nbytes = 100000\nage = 2s\n";
	start_limited(n, 1, 4, ASKING, 1);
	q->router_lines = "[queue]\nbytes = 100000\nage = 2s\n";
	site_stop(q);
	site_start(q);
	sites_wait_up(n);
	n->wires[3][1].cut = true; /* 3 asks in vain */
	net_run(n, SEC);
	f[0] = flow4(n, 2, 3, 1000, MSEC, 1000);
	f[1] = flow4(n, 2, 4, 1000, MSEC, 1000);
	net_run(n, 1200 * MSEC);
	flow_whole(f[1]);
	assert_true(site_drops(q, DROP_WAIT_FULL) > 800);
	assert_true(backlog_bytes(site_contact(n, 1, 3)->peer->backlog) <= 100000);
	n->wires[3][1].cut = false;
	net_run(n, SEC);
	assert_true(f[0]->received > 50 && f[0]->received < 100);
	assert_int_equal(f[0]->top, 1000);

	/* and what has waited too long goes */
	n->wires[3][1].cut = true;
	net_run(n, SEC);
	f[0] = flow4(n, 2, 3, 300, 10 * MSEC, 50);
	net_run(n, 3 * SEC);
	n->wires[3][1].cut = false;
	net_run(n, SEC);
	assert_int_equal(f[0]->received, 0);
	assert_true(site_drops(q, DROP_WAIT_OLD) >= 50);
}

/* Senders that understand are told when it grows. */
static void grown(void **state)
{
	struct net *n = *state;
	struct site *q = &n->sites[1];
	struct flow *f[2];

	start_limited(n, 1, 3, ASKING, 1);
	site_stop(q);
	q->router_lines = "[queue]\nbytes = 100000\n";
	site_start(q);
	sites_wait_up(n);
	n->wires[3][1].cut = true;
	net_run(n, SEC);
	f[0] = flow4(n, 2, 3, 1000, MSEC, 60);
	f[0]->tos = 2;
	net_run(n, SEC);
	f[1] = flow4(n, 1, 3, 1000, MSEC, 5);
	f[1]->tos = 2;
	net_run(n, SEC);
	n->wires[3][1].cut = false;
	net_run(n, SEC);
	flow_whole(f[0]);
	assert_int_equal(f[0]->last_tos, 3);
	assert_int_equal(f[1]->last_tos, 3);
}

/* From asking to a way held open, and back, without a restart of the queue router. */
static void mode_changes(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	start_limited(n, 1, 3, ASKING, 3);
	sites_wait_up(n);
	f[0] = flow4(n, 2, 3, 300, MSEC, 13000);
	f[1] = flow4(n, 1, 3, 300, MSEC, 13000);
	for (unsigned i = 0; i < 4; i++) {
		net_run(n, 1007 * MSEC);
		n->sites[3].router_lines = i % 2 ? ASKING : LIMITED_BY_1;
		assert_true(site_reload(&n->sites[3]));
		net_run(n, 2 * SEC);
		assert_int_equal(backlog_is_on(site_contact(n, 1, 3)->peer->backlog), i % 2);
	}
	net_run(n, 2 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
}

/* Another number of workers, here and there, loses nothing. */
static void workers_change(void **state)
{
	static const unsigned numbers[] = { 1, 3, 2, 4, 1 };
	struct net *n = *state;
	struct flow *f[4];

	start_limited(n, 1, 4, ASKING, 2);
	n->sites[4].router_lines = LIMITED_BY_1;
	assert_true(site_reload(&n->sites[4]));
	sites_wait_up(n);
	f[0] = flow4(n, 2, 3, 300, 3 * MSEC, 3000);
	f[1] = flow6(n, 3, 2, 1200, 3 * MSEC, 3000);
	f[2] = flow4(n, 2, 4, 300, 3 * MSEC, 3000);
	f[3] = flow4(n, 4, 3, 300, 3 * MSEC, 3000);
	for (unsigned i = 0; i < 10; i++) {
		net_run(n, 900 * MSEC);
		site_set_workers(&n->sites[i % 4 + 1], numbers[i / 2]);
	}
	net_run(n, 2 * SEC);
	for (unsigned i = 0; i < 4; i++)
		flow_whole(f[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(by_relay),
		net_test(relay_knows_no_network),
		net_test(encrypted_and_rekeyed),
		net_test(path_mtu),
		net_test(congestion),
		net_test(unauthorised),
		net_test(queue_router_dies),
		net_test(queue_router_without_way),
		net_test(choice),
		net_test(each_its_own),
		net_test(hardly_better),
		net_test(none_left),
		net_test(asked_for),
		net_test(bounded),
		net_test(grown),
		net_test(mode_changes),
		net_test(workers_change),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
