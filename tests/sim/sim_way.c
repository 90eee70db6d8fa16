/*
 * The ways between routers: NAT and moves, congestion marks, lanes of several
 * workers, queues of bounded rate.
 */
#include <string.h>

#include "common/inet.h"
#include "tests/sim/net.h"

/* ---- moves ------------------------------------------------------------------ */

/* Site 1 is behind a NAT: nobody else knows where it is. */
static void start_behind_nat(struct net *n)
{
	n->sites[1].nat[0] = endpoint_of("203.0.113.9:50000");
	n->sites[2].hidden = 1u << 1;
	sites_start(n, 2, 1);
	sites_wait_up(n);
}

struct remote {
	unsigned site, peer;
	struct endpoint at;
};

static bool is_there(void *arg, struct net *n)
{
	const struct remote *r = arg;

	return endpoint_equal(&site_contact(n, r->site, r->peer)->peer->path->way.remote, &r->at);
}

static void behind_nat(void **state)
{
	struct net *n = *state;
	struct remote r = { 2, 1, endpoint_of("203.0.113.9:50000") };
	struct flow *f[2];

	start_behind_nat(n);
	assert_true(is_there(&r, n));
	f[0] = flow4(n, 1, 2, 300, 10 * MSEC, 100);
	f[1] = flow4(n, 2, 1, 300, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
}

/* The NAT forgets and gives other ports: the other side follows within a second,
 * and what it sent to the old one in between is all that is lost. */
static void rebinding(void **state)
{
	struct net *n = *state;
	struct remote r = { .site = 2, .peer = 1 };
	struct flow *f[2];
	uint64_t lost = 0;

	start_behind_nat(n);
	f[0] = flow4(n, 1, 2, 300, 10 * MSEC, 100000);
	f[1] = flow4(n, 2, 1, 300, 10 * MSEC, 100000);
	for (unsigned i = 0; i < 10; i++) {
		char text[ENDPOINT_TEXT];
		int64_t took;

		net_run(n, 3 * SEC);
		lost = f[1]->sent - f[1]->received;
		snprintf(text, sizeof(text), "203.0.113.%u:%u", 9 + i / 3, 50001 + i);
		n->sites[1].nat[0] = r.at = endpoint_of(text);
		took = net_wait(n, is_there, &r, 2 * SEC);
		assert_in_range(took, 1, SEC);
		net_run(n, SEC);
		assert_true(f[1]->sent - f[1]->received - lost <= 100);
	}
	assert_int_equal(router_events(n->sites[2].router, EVENT_ROAMS), 10);
	/* outward nothing is lost at all */
	assert_true(f[0]->sent - f[0]->received <= 2);
	assert_int_equal(router_events(n->sites[2].router, EVENT_HANDSHAKES), 1);
}

/* Moves with challenges lost, many times: it always gets there. */
static void rebinding_with_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 10 * MSEC, .loss = 0.3 };
		struct remote r = { .site = 2, .peer = 1 };

		start_behind_nat(n);
		net_wires(n, &w);
		flow4(n, 1, 2, 300, 50 * MSEC, 10000);
		for (unsigned i = 0; i < 5; i++) {
			r.at = n->sites[1].nat[0];
			r.at.port = (uint16_t)(51000 + i);
			n->sites[1].nat[0] = r.at;
			if (net_wait(n, is_there, &r, 30 * SEC) < 0)
				fail_msg("seed %lu: not followed", seed);
			net_run(n, 2 * SEC);
		}
		net_free(n);
	}
}

/* Both move at once: who has the other's configured name comes back by it. */
static void both_move(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_behind_nat(n);
	n->sites[1].nat[0].port++;
	n->sites[2].nat[0] = endpoint_of("203.0.113.77:4711");
	net_run(n, 30 * SEC);
	n->sites[2].nat[0] = (struct endpoint){ .port = 0 };
	net_run(n, 60 * SEC);
	f = flow4(n, 1, 2, 300, 10 * MSEC, 100);
	flow4(n, 2, 1, 300, 10 * MSEC, 100);
	net_run(n, 3 * SEC);
	flow_whole(f);
	flow_whole(n->flows[1]);
}

/* The endpoint is edited: the new one is taken, traffic follows. */
static void endpoint_is_edited(void **state)
{
	struct net *n = *state;
	struct flow *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	f = flow4(n, 1, 2, 300, 10 * MSEC, 1000);
	net_run(n, SEC);
	n->sites[1].v6 = true;
	assert_true(site_reload(&n->sites[1]));
	net_run(n, 10 * SEC);
	assert_int_equal(site_contact(n, 1, 2)->peer->path->way.remote.ip.family, 6);
	flow_whole(f);
}

/* ---- congestion ---------------------------------------------------------------- */

/* RFC 6040, normal mode: what comes out for each inner field, with and without a
 * mark on the way. DSCP is the inner one. -1: nothing comes. */
static void ecn(void **state)
{
	struct net *n = *state;
	static const struct {
		uint8_t inner;
		int plain, marked;
	} cases[] = {
		{ ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT }, /* not marked by the wire */
		{ ECN_ECT0, ECN_ECT0, ECN_CE },
		{ ECN_ECT1, ECN_ECT1, ECN_CE },
		{ ECN_CE, ECN_CE, ECN_CE },
	};

	sites_start(n, 2, 1);
	sites_wait_up(n);
	for (unsigned mark = 0; mark < 2; mark++) {
		n->wires[1][2].mark = n->wires[2][1].mark = mark;
		for (unsigned i = 0; i < 4; i++) {
			for (unsigned k = 0; k < 4; k++) {
				struct flow *f =
					k & 1 ? flow6(n, 1 + k / 2, 2 - k / 2, 200, MSEC, 5)
					      : flow4(n, 1 + k / 2, 2 - k / 2, 200, MSEC, 5);

				f->tos = (uint8_t)(0xb8 | cases[i].inner);
				net_run(n, 100 * MSEC);
				flow_whole(f);
				assert_int_equal(f->last_tos,
						 0xb8 | (mark ? cases[i].marked : cases[i].plain));
			}
		}
	}
}

static void set_ce(void *arg, struct net *n, const struct site *from, const struct datagram *d)
{
	struct datagram *changed = (struct datagram *)d;

	(void)arg;
	(void)n;
	(void)from;
	changed->tos |= 3;
}

/* A router on the way that marks what must not be marked: dropped, counted. */
static void ecn_bad_mark(void **state)
{
	struct net *n = *state;
	struct flow *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	n->tap = set_ce;
	f = flow4(n, 1, 2, 200, MSEC, 20);
	net_run(n, SEC);
	assert_int_equal(f->received, 0);
	assert_int_equal(site_drops(&n->sites[2], DROP_ECN), 20);
}

struct seen_tos {
	uint8_t tos[4];
	unsigned n;
};

static void note_tos(void *arg, struct net *n, const struct site *from, const struct datagram *d)
{
	struct seen_tos *s = arg;

	(void)n;
	(void)from;
	if ((d->data[0] & 15) == FRAME_FORWARD && s->n < 4)
		s->tos[s->n++] = d->tos;
}

static void dscp_outside(void **state)
{
	struct net *n = *state;
	struct seen_tos s = { .n = 0 };

	sites_start(n, 2, 1);
	sites_wait_up(n);
	n->tap = note_tos;
	n->tap_arg = &s;
	flow4(n, 1, 2, 200, MSEC, 1)->tos = 0xb8 | ECN_ECT0;
	flow6(n, 1, 2, 200, 2 * MSEC, 1)->tos = 0x28;
	net_run(n, SEC);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.tos[0], 0xb8 | ECN_ECT0);
	assert_int_equal(s.tos[1], 0x28);
}

/* A narrow link fills up: what it drops is lost, the rest arrives, peers stay up. */
static void narrow_link(void **state)
{
	struct net *n = *state;
	struct flow *f, *back;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	n->wires[1][2].rate = 200000;
	n->wires[1][2].queue = 20000;
	f = flow4(n, 1, 2, 1000, 2 * MSEC, 10000); /* 500,000 bytes a second */
	back = flow4(n, 2, 1, 200, 10 * MSEC, 2000);
	net_run(n, 21 * SEC);
	assert_in_range(f->received, 3000, 4200);
	assert_int_equal(f->duplicates, 0);
	flow_whole(back);
	assert_int_equal(net_logged(n, "down"), 0);
	assert_int_equal(site_all_drops(&n->sites[1]) + site_all_drops(&n->sites[2]), 0);
}

/* ---- lanes --------------------------------------------------------------------- */

static unsigned busy_workers(const struct site *s, enum direction d)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->workers; i++)
		n += counter_read(&s->router->workers[i].counters.traffic[d].packets) > 0;
	return n;
}

/* Any number of workers at one side with any at the other: every lane has its
 * worker there, nothing is lost, no flow is disordered. */
static void lanes(void **state)
{
	(void)state;
	for (unsigned a = 1; a <= 4; a++) {
		for (unsigned b = 1; b <= 4; b++) {
			struct net *n = net_new(a * 10 + b);

			n->sites[1].peers = 1u << 2;
			n->sites[2].peers = 1u << 1;
			n->sites[1].workers = a;
			n->sites[2].workers = b;
			n->sites[1].security = n->sites[2].security =
				"rekey-after = 1s\nencrypt = aes-256-gcm";
			site_start(&n->sites[1]);
			site_start(&n->sites[2]);
			sites_wait_up(n);
			for (unsigned h = 1; h <= 40; h++) {
				struct ip src = host4(1, h), dst = host4(2, h);

				flow_new(n, 1, &src, 2, &dst, 200, 5 * MSEC + h * USEC, 600);
				flow_new(n, 2, &dst, 1, &src, 200, 5 * MSEC + h * USEC, 600);
			}
			net_run(n, 5 * SEC);
			for (size_t i = 0; i < n->n_flows; i++) {
				flow_whole(n->flows[i]);
				assert_int_equal(n->flows[i]->reordered, 0);
			}
			assert_int_equal(busy_workers(&n->sites[1], OUT), a);
			assert_int_equal(busy_workers(&n->sites[2], OUT), b);
			/* as many as lanes reach: a sender has no more than its workers */
			assert_int_equal(busy_workers(&n->sites[2], IN), a < b ? a : b);
			assert_int_equal(site_all_drops(&n->sites[1]), 0);
			assert_int_equal(site_all_drops(&n->sites[2]), 0);
			net_free(n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(behind_nat),
		net_test(rebinding),
		cmocka_unit_test(rebinding_with_loss),
		net_test(both_move),
		net_test(endpoint_is_edited),
		net_test(ecn),
		net_test(ecn_bad_mark),
		net_test(dscp_outside),
		net_test(narrow_link),
		cmocka_unit_test(lanes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
