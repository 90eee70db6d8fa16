/*
 * Direct paths through NATs: found by candidates, kept when a NAT or an address changes,
 * left when they die; and what a peer's candidates can't be used for.
 */
#include <string.h>

#include "tests/sim/net.h"

#define LIMITED "[limited]\nqueue-routers = r1, r2\nmode = "

/* 1 and 2 are queue routers; 3 and 4 behind these. */
static void start(struct net *n, const char *mode, enum nat_kind a, enum nat_kind b)
{
	static char lines[128];

	snprintf(lines, sizeof(lines), LIMITED "%s\n", mode);
	n->sites[3].box.kind = a;
	n->sites[4].box.kind = b;
	for (unsigned i = 1; i <= 4; i++) {
		struct site *s = &n->sites[i];

		s->hidden = (1u << 3 | 1u << 4) & ~(1u << i);
		s->router_lines = i > 2 ? lines : NULL;
		s->peer_lines = i > 2 ? NULL : "relay = yes\n";
	}
	sites_start(n, 4, 2);
}

static bool is_direct(void *arg, struct net *n)
{
	(void)arg;
	for (unsigned i = 3; i <= 4; i++) {
		const struct path *p = site_contact(n, i, 7 - i)->peer->path;

		if (!p || p->way.kind != WAY_UDP)
			return false;
	}
	return true;
}

static bool is_relayed(void *arg, struct net *n)
{
	(void)arg;
	for (unsigned i = 3; i <= 4; i++) {
		const struct contact *c = site_contact(n, i, 7 - i);
		const struct path *p = c->peer->path;

		if (!c->up || !p || p->way.kind != WAY_RELAY)
			return false;
	}
	return true;
}

static const char *why(struct net *n, unsigned site, unsigned peer)
{
	return site_contact(n, site, peer)->reach.rung[RUNG_UDP].why;
}

/* Both ways, for so many seconds. */
static void flows(struct net *n, struct flow *f[2], unsigned seconds)
{
	f[0] = flow4(n, 3, 4, 300, 10 * MSEC, seconds * 100);
	f[1] = flow4(n, 4, 3, 300, 10 * MSEC, seconds * 100);
}

struct gap {
	struct flow *f[2];
	uint64_t had[2];
};

static bool both_go_on(void *arg, struct net *n)
{
	const struct gap *g = arg;

	(void)n;
	return g->f[0]->received > g->had[0] && g->f[1]->received > g->had[1];
}

/* How long until both arrive again. */
static int64_t back_after(struct net *n, struct flow *f[2])
{
	struct gap g = { { f[0], f[1] }, { 0, 0 } };
	mono_t before = n->now;

	net_run(n, 50 * MSEC); /* what is under way */
	for (unsigned i = 0; i < 2; i++)
		g.had[i] = f[i]->received;
	assert_true(net_wait(n, both_go_on, &g, 20 * SEC) >= 0);
	return mono_since(n->now, before);
}

/* ---- found ---------------------------------------------------------------------- */

static void through_nats(void **state)
{
	static const char *const modes[] = { "channel", "udp", "poll-udp", "poll-tcp" };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct net *n = net_new(i + 1);
		struct flow *f[2];

		start(n, modes[i], NAT_RESTRICTED, NAT_RESTRICTED);
		assert_true(net_wait(n, is_relayed, NULL, 20 * SEC) >= 0);
		flows(n, f, 30);
		assert_in_range(net_wait(n, is_direct, NULL, 15 * SEC), 1, 15 * SEC);
		net_run(n, 35 * SEC);
		assert_true(is_direct(NULL, n));
		flow_whole(f[0]);
		flow_whole(f[1]);
		assert_int_equal(why(n, 3, 4)[0], '\0');
		/* and the queue routers' ways are as they were chosen to be */
		for (unsigned k = 1; k <= 2; k++)
			assert_int_equal(site_contact(n, k, 3)->peer->path->way.kind,
					 strstr(modes[i], "udp") ? WAY_UDP : WAY_STREAM);
		net_free(n);
	}
}

/* One NAT is enough to have no other way in; none is, if nobody knows the addresses. */
static void other_kinds(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct net *n = net_new(i + 1);
		static const enum nat_kind kinds[3][2] = { { NAT_NONE, NAT_RESTRICTED },
							   { NAT_NONE, NAT_NONE },
							   { NAT_SYMMETRIC, NAT_NONE } };
		struct flow *f[2];

		start(n, "channel", kinds[i][0], kinds[i][1]);
		flows(n, f, 30);
		assert_in_range(net_wait(n, is_direct, NULL, 15 * SEC), 1, 15 * SEC);
		net_run(n, 35 * SEC);
		assert_true(is_direct(NULL, n));
		flow_whole(f[0]);
		flow_whole(f[1]);
		net_free(n);
	}
}

static void not_through_symmetric(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct net *n = net_new(i + 1);
		struct flow *f[2];

		start(n, "udp", i ? NAT_SYMMETRIC : NAT_RESTRICTED, NAT_SYMMETRIC);
		flows(n, f, 60);
		net_run(n, 65 * SEC);
		assert_true(is_relayed(NULL, n));
		flow_whole(f[0]);
		flow_whole(f[1]);
		assert_string_equal(
			why(n, 3, 4),
			"no answer in 3 s: its NAT gives each destination another port");
		if (!i)
			assert_string_equal(why(n, 4, 3), "no answer in 3 s: the NAT here gives "
							  "each destination another port");
		net_free(n);
	}
}

/* By its own address, where the one outside leads nowhere. */
static void same_lan(void **state)
{
	struct net *n = *state;

	start(n, "channel", NAT_RESTRICTED, NAT_RESTRICTED);
	for (unsigned i = 3; i <= 4; i++) {
		struct ip none = { 0 };
		struct site *s = &n->sites[i];

		s->lan = 1;
		n->wires[i][7 - i].cut = false;
		router_set_addresses(s->router, &s->own[0].ip, 1, &none, &none, n->now);
	}
	n->sites[3].box.outside = n->sites[4].box.outside = (struct ip){ 4, { 203, 0, 113, 9 } };
	n->sites[4].box.made = 1000;
	assert_in_range(net_wait(n, is_direct, NULL, 15 * SEC), 1, 15 * SEC);
	assert_true(endpoint_equal(&site_contact(n, 3, 4)->peer->path->way.remote,
				   &n->sites[4].own[0]));
}

/* `direct = no` at one end. */
static void switched_off(void **state)
{
	struct net *n = *state;

	start(n, "udp", NAT_RESTRICTED, NAT_RESTRICTED);
	site_stop(&n->sites[3]);
	n->sites[3].peer_lines = "direct = no\n";
	site_start(&n->sites[3]);
	net_run(n, 60 * SEC);
	assert_true(is_relayed(NULL, n));
	n->sites[3].peer_lines = NULL;
	assert_true(site_reload(&n->sites[3]));
	assert_in_range(net_wait(n, is_direct, NULL, 60 * SEC), 1, 60 * SEC);
}

/* Nothing but TCP leads from one to the other. The candidates that they go on sending each
 * other by a queue router don't take them back to that. */
static void stream_is_kept(void **state)
{
	struct net *n = *state;
	unsigned long moves = 0;

	n->wires[3][4].no_udp = n->wires[4][3].no_udp = true;
	n->sites[4].box.kind = NAT_RESTRICTED;
	for (unsigned i = 1; i <= 4; i++) {
		n->sites[i].hidden = i == 4 ? 0 : 1u << 4;
		n->sites[i].router_lines = i > 2 ? LIMITED "channel\n" : NULL;
		n->sites[i].peer_lines = i > 2 ? "protocol = auto\n" : "relay = yes\n";
	}
	sites_start(n, 4, 1);
	net_run(n, 30 * SEC);
	for (unsigned minute = 0; minute < 10; minute++) {
		for (unsigned i = 3; i <= 4; i++) {
			const struct path *p = site_contact(n, i, 7 - i)->peer->path;

			assert_non_null(p);
			assert_int_equal(p->way.kind, WAY_STREAM);
		}
		if (!minute)
			moves = router_events(n->sites[3].router, EVENT_ROAMS);
		assert_int_equal(router_events(n->sites[3].router, EVENT_ROAMS), moves);
		net_run(n, 60 * SEC);
	}
}

/* ---- kept, and left ---------------------------------------------------------------- */

static void dies_and_is_found_again(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	start(n, "channel", NAT_RESTRICTED, NAT_RESTRICTED);
	assert_true(net_wait(n, is_direct, NULL, 15 * SEC) >= 0);
	net_run(n, 15 * SEC);
	flows(n, f, 60);
	net_run(n, SEC);
	n->wires[3][4].cut = n->wires[4][3].cut = true;
	assert_in_range(back_after(n, f), 0, 2 * SEC);
	assert_in_range(net_wait(n, is_relayed, NULL, SEC), 0, SEC);
	assert_string_equal(why(n, 3, 4), "no answer any more");
	net_run(n, 10 * SEC);
	n->wires[3][4].cut = n->wires[4][3].cut = false;
	assert_in_range(net_wait(n, is_direct, NULL, 90 * SEC), 1, 90 * SEC);
	f[0]->left = f[1]->left = 0;
}

enum { REBIND, MOVE };

/* A NAT forgets TCP's connections with the rest. */
static void happen(struct net *n, unsigned site, unsigned what)
{
	nat_forget(&n->sites[site].box);
	pipes_reset(n);
	if (what == MOVE)
		n->sites[site].box.outside.b[2]++;
}

/* Within a second, whichever way leads to the peer, whoever's NAT it is. */
static void rebinding(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++) {
		struct net *n = net_new(i + 1);
		bool direct = i & 1;
		struct flow *f[2];
		uint64_t handshakes;

		start(n, i & 8 ? "channel" : "udp", NAT_RESTRICTED,
		      direct ? NAT_RESTRICTED : NAT_SYMMETRIC);
		assert_true(net_wait(n, direct ? is_direct : is_relayed, NULL, 15 * SEC) >= 0);
		net_run(n, 15 * SEC);
		flows(n, f, 60);
		net_run(n, 2 * SEC);
		handshakes = router_events(n->sites[3].router, EVENT_HANDSHAKES);
		happen(n, 3 + (i >> 2 & 1), i & 2 ? MOVE : REBIND);
		assert_in_range(back_after(n, f), 0, 500 * MSEC);
		net_run(n, 5 * SEC);
		assert_true(direct ? is_direct(NULL, n) : is_relayed(NULL, n));
		assert_int_equal(router_events(n->sites[3].router, EVENT_HANDSHAKES), handshakes);
		net_free(n);
	}
}

/* A router that others know has another address: whichever side has made the path. If the
 * NAT in front of the others lets nobody in from there, they have to look it up. */
static void own_address(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 3; i += 2) {
		struct net *n = net_new(i);
		struct flow *f[2];

		start(n, "udp", NAT_NONE, NAT_RESTRICTED);
		assert_true(net_wait(n, is_direct, NULL, 15 * SEC) >= 0);
		net_run(n, 15 * SEC);
		f[0] = flow4(n, 1, 3, 300, 10 * MSEC, 1000);
		f[1] = flow4(n, 3, 1, 300, 10 * MSEC, 1000);
		net_run(n, 2 * SEC);
		n->sites[i].own[0].ip.b[3] += 100;
		assert_in_range(back_after(n, f), 0, i == 1 ? SEC : 100 * MSEC);
		net_free(n);
	}
}

static void tell_addresses(struct site *s)
{
	struct ip none = { 0 };

	router_set_addresses(s->router, &s->own[0].ip, 1, &none, &none, s->net->now);
}

/* A router behind a NAT has another address there, and so other mappings: its connection to
 * the queue router hangs, and the direct path has to be found again. */
static void behind_nat(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct net *n = net_new(i + 1);
		struct flow *f[2];

		start(n, i & 1 ? "channel" : "udp", NAT_RESTRICTED,
		      i & 2 ? NAT_RESTRICTED : NAT_SYMMETRIC);
		tell_addresses(&n->sites[3]);
		assert_true(net_wait(n, i & 2 ? is_direct : is_relayed, NULL, 15 * SEC) >= 0);
		net_run(n, 15 * SEC);
		flows(n, f, 60);
		net_run(n, 2 * SEC);
		n->sites[3].own[0].ip.b[3] += 100;
		nat_forget(&n->sites[3].box);
		tell_addresses(&n->sites[3]);
		assert_in_range(back_after(n, f), 0, 500 * MSEC);
		net_free(n);
	}
}

/* ---- idle ----------------------------------------------------------------------------- */

static int64_t interval(struct net *n, unsigned site, unsigned peer)
{
	return site_contact(n, site, peer)->keepalive.interval;
}

/* The longest time that the NAT allows is found, of those that are tried, and is enough:
 * whoever speaks first gets through at any time. */
static void idle(void **state)
{
	static const struct {
		int64_t life, want;
	} cases[] = { { 0, 120 * SEC },
		      { 130 * SEC, 120 * SEC },
		      { 100 * SEC, 60 * SEC },
		      { 32 * SEC, 30 * SEC },
		      { 12 * SEC, 7500 * MSEC } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net *n = net_new(i + 1);
		uint64_t before[5], refused;

		start(n, "udp", NAT_RESTRICTED, NAT_RESTRICTED);
		n->sites[3].box.life = n->sites[4].box.life = cases[i].life;
		assert_true(net_wait(n, is_direct, NULL, 30 * SEC) >= 0);
		net_run(n, 900 * SEC);
		assert_int_equal(interval(n, 3, 1), cases[i].want);
		assert_int_equal(interval(n, 4, 2), cases[i].want);
		if (cases[i].want >= 30 * SEC) {
			assert_true(is_direct(NULL, n));
			assert_int_equal(interval(n, 3, 4), cases[i].want);
		}
		refused = n->sites[3].box.refused;
		for (unsigned k = 1; k <= 4; k++)
			before[k] = n->sites[k].wired;
		for (unsigned k = 0; k < 30; k++) {
			struct flow *f = flow4(n, 1, 3, 100, MSEC, 1);

			net_run(n, 59 * SEC);
			flow_whole(f);
			assert_true(sites_are_up(NULL, n));
		}
		assert_int_equal(n->sites[3].box.refused, refused);
		/* three paths, four frames each time, and probes of their size */
		for (unsigned k = 3; k <= 4; k++)
			assert_in_range(n->sites[k].wired - before[k], 1,
					(uint64_t)(30 * 59 * SEC / cases[i].want * 3 * 4 + 500));
		net_free(n);
	}
}

/* ---- abused -------------------------------------------------------------------------- */

static void say(struct net *n, unsigned from, unsigned to, const struct candidates *list)
{
	uint8_t body[CANDIDATES_SIZE];
	struct control_message m = { .kind = CONTROL_CANDIDATES, .body = body };

	m.len = candidates_write(body, list);
	assert_int_equal(contact_send(site_contact(n, from, to), NULL, &m, 0), 0);
}

static void nowhere_else(void **state)
{
	static const char *const bad[] = { "127.0.0.1:8463",	"224.0.0.1:8463",
					   "255.255.255.255:1", "0.0.0.1:8463",
					   "169.254.1.1:8463",	"172.16.3.5:8463",
					   "172.16.2.7:8463",	"[ff02::1]:8463" };
	struct net *n = *state;
	struct candidates list = { .n = CANDIDATES_MAX };
	uint64_t strays;

	start(n, "udp", NAT_RESTRICTED, NAT_SYMMETRIC);
	sites_wait_up(n);
	net_run(n, 10 * SEC);
	for (unsigned i = 0; i < CANDIDATES_MAX; i++)
		list.at[i] = endpoint_of(bad[i]);
	strays = n->strays;
	say(n, 4, 3, &list);
	net_run(n, 5 * SEC);
	assert_int_equal(n->strays, strays);
	/* those that look well are asked, a bounded number of times, whatever is said */
	for (unsigned i = 0; i < CANDIDATES_MAX; i++) {
		char text[ENDPOINT_TEXT];

		snprintf(text, sizeof(text), "203.0.113.%u:99", 100 + i);
		list.at[i] = endpoint_of(text);
	}
	strays = n->strays;
	for (unsigned i = 0; i < 500; i++) {
		list.wanted = i % 2;
		say(n, 4, 3, &list);
		net_run(n, 20 * MSEC);
	}
	assert_in_range(n->strays - strays, 1, 10 * CANDIDATES_MAX * 6);
	/* from a peer that no queue router leads to: nothing */
	net_run(n, 10 * SEC);
	strays = n->strays;
	say(n, 1, 2, &list);
	net_run(n, 5 * SEC);
	assert_int_equal(n->strays, strays);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(through_nats), net_test(other_kinds),	  net_test(not_through_symmetric),
		net_test(same_lan),	net_test(switched_off),	  net_test(dies_and_is_found_again),
		net_test(rebinding),	net_test(own_address),	  net_test(behind_nat),
		net_test(idle),		net_test(stream_is_kept), net_test(nowhere_else),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
