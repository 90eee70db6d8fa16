/*
 * Workers come and go while packets flow: nothing is lost, no number is used twice
 * under one key, and sums agree.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

#define KEYS 4096

/* Of all protected frames that went over the wires: the last sequence of each lane of
 * each key. Routers are single-threaded here, so it must rise, whoever takes it. */
struct ledger {
	struct {
		uint32_t source, destination;
		uint8_t epoch, lane;
		uint64_t seq, sent;
	} lane[KEYS];
	size_t n;
	uint64_t wrong;
	uint8_t top_lane[NET_SITES + 1]; /* ... that each site has sent on */
};

static void enter(void *arg, struct net *n, const struct site *from, const struct datagram *d)
{
	struct ledger *l = arg;
	struct frame_header h;
	size_t i = 0;

	(void)n;
	assert_int_equal(frame_parse(d->data, d->len, &h), FRAME_OK);
	if (h.type == FRAME_HANDSHAKE)
		return;
	if (h.lane > l->top_lane[from->number])
		l->top_lane[from->number] = h.lane;
	while (i < l->n &&
	       !(l->lane[i].source == h.source && l->lane[i].destination == h.destination &&
		 l->lane[i].epoch == h.epoch && l->lane[i].lane == h.lane))
		i++;
	if (i == l->n) {
		assert_true(l->n < KEYS);
		l->lane[i].source = h.source;
		l->lane[i].destination = h.destination;
		l->lane[i].epoch = h.epoch;
		l->lane[i].lane = h.lane;
		l->n++;
	}
	l->wrong += h.seq != l->lane[i].seq + 1;
	l->lane[i].seq = h.seq;
	l->lane[i].sent++;
}

static struct ledger *ledger_open(struct net *n)
{
	struct ledger *l = net_memory(NULL, sizeof(*l));

	memset(l, 0, sizeof(*l));
	n->tap = enter;
	n->tap_arg = l;
	return l;
}

static void ledger_close(struct net *n, struct ledger *l)
{
	assert_int_equal(l->wrong, 0);
	n->tap = NULL;
	free(l);
}

/* Many flows both ways, of one packet each 5 ms. */
static void flows(struct net *n, uint64_t count)
{
	for (unsigned h = 1; h <= 30; h++) {
		struct ip src = host4(1, h), dst = host4(2, h);

		flow_new(n, 1, &src, 2, &dst, 200, 5 * MSEC + h * USEC, count);
		flow_new(n, 2, &dst, 1, &src, 200, 5 * MSEC + h * USEC, count);
	}
}

static void all_whole(struct net *n)
{
	for (size_t i = 0; i < n->n_flows; i++) {
		flow_whole(n->flows[i]);
		assert_int_equal(n->flows[i]->duplicates, 0);
	}
	for (unsigned i = 1; i <= 2; i++)
		assert_int_equal(site_all_drops(&n->sites[i]), 0);
}

/* Both ends, any number to any number, between any two packets, keys replaced all the
 * time, frames that overtake each other. */
static void any_number_at_any_time(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct net *n = net_new(seed);
		struct ledger *l = ledger_open(n);
		uint64_t packets = 0;

		n->sites[1].security = n->sites[2].security =
			seed % 2 ? "rekey-after = 1s\nencrypt = aes-256-gcm" : "rekey-after = 1s";
		n->wires[1][2].jitter = n->wires[2][1].jitter = seed % 3 * MSEC;
		sites_start(n, 2, 1);
		sites_wait_up(n);
		flows(n, 800);
		for (unsigned i = 0; i < 100; i++) {
			struct site *s = &n->sites[1 + net_random(n, 2)];
			uint64_t out, bytes;

			site_set_workers(s, 1 + (unsigned)net_random(n, NET_WORKERS));
			router_traffic(n->sites[1].router, OUT, &out, &bytes);
			assert_true(out >= packets); /* what was counted is not forgotten */
			packets = out;
			net_run(n, (int64_t)net_random(n, 80) * MSEC);
		}
		net_run(n, 5 * SEC);
		all_whole(n);
		ledger_close(n, l);
		net_free(n);
	}
}

/* As long as the other has not been told of more lanes, workers share those it knows. */
static void lanes_are_shared_until_announced(void **state)
{
	struct net *n = *state;
	struct ledger *l = ledger_open(n);

	n->sites[1].security = n->sites[2].security = "encrypt = aes-256-gcm";
	sites_start(n, 2, 2);
	sites_wait_up(n);
	n->wires[1][2].mute = n->wires[2][1].mute = true;
	flows(n, 2000);
	net_run(n, SEC);
	site_set_workers(&n->sites[1], 7);
	net_run(n, 3 * SEC);
	assert_int_equal(l->top_lane[1], 2);
	site_set_workers(&n->sites[2], 1);
	net_run(n, SEC);
	site_set_workers(&n->sites[2], 8);
	site_set_workers(&n->sites[1], 4);
	net_run(n, SEC);
	assert_int_equal(l->top_lane[1], 2);
	assert_int_equal(l->top_lane[2], 2);
	/* keys are replaced as soon as they can be, once */
	n->wires[1][2].mute = n->wires[2][1].mute = false;
	net_run(n, 20 * SEC);
	assert_int_equal(l->top_lane[1], 4);
	assert_int_equal(l->top_lane[2], 8);
	all_whole(n);
	assert_in_range(router_events(n->sites[1].router, EVENT_REKEYS), 1, 2);
	/* fewer need no new ones, and neither do as many as they are for */
	site_set_workers(&n->sites[2], 3);
	site_set_workers(&n->sites[1], 1);
	flows(n, 800);
	net_run(n, 2 * SEC);
	site_set_workers(&n->sites[2], 8);
	net_run(n, 4 * SEC);
	all_whole(n);
	assert_in_range(router_events(n->sites[1].router, EVENT_REKEYS), 1, 2);
	ledger_close(n, l);
}

/* Nobody who answers no handshake loses the keys that he has for it. */
static void more_lanes_are_no_need(void **state)
{
	struct net *n = *state;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	n->wires[1][2].mute = n->wires[2][1].mute = true;
	site_set_workers(&n->sites[1], 4);
	flow4(n, 1, 2, 200, 20 * MSEC, 4500);
	flow4(n, 2, 1, 200, 20 * MSEC, 4500);
	net_run(n, 95 * SEC);
	all_whole(n);
}

/* In the middle of handshakes: what has been announced in one holds for its keys. */
static void handshakes_go_on(void **state)
{
	(void)state;
	for (unsigned step = 0; step < 60; step++) {
		struct net *n = net_new(step);
		struct ledger *l = ledger_open(n);

		sites_start(n, 2, 1 + step % 3);
		net_run(n, step * 2 * MSEC);
		site_set_workers(&n->sites[1 + step % 2], 1 + (step + 1) % 5);
		net_run(n, 3 * MSEC);
		site_set_workers(&n->sites[2 - step % 2], 1 + step % 7);
		assert_true(net_wait(n, sites_are_up, NULL, 2 * SEC) >= 0);
		assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES_FAILED), 0);
		flows(n, 400);
		net_run(n, 4 * SEC);
		all_whole(n);
		ledger_close(n, l);
		net_free(n);
	}
}

/* Frames find a worker who takes them wherever they are steered to: before the kernel
 * has been told of a change, or when an interface has merged those of several lanes. */
static void frames_at_another_worker(void **state)
{
	struct net *n = *state;
	struct ledger *l = ledger_open(n);

	sites_start(n, 2, 4);
	sites_wait_up(n);
	flows(n, 2000);
	for (unsigned i = 0; i < 60; i++) {
		struct site *s = &n->sites[1 + i % 2];

		site_set_workers(s, 1 + i % 4);
		s->steered = 1 + i * 7 % 4; /* for as long as this lasts */
		net_run(n, 40 * MSEC);
		s->steered = s->workers;
		net_run(n, 40 * MSEC);
	}
	net_run(n, 8 * SEC);
	all_whole(n);
	ledger_close(n, l);
}

/* What waits at a worker that goes waits at another one. */
static void waiting_packets_stay(void **state)
{
	struct net *n = *state;
	unsigned waiting = 0;

	n->wires[1][2].delay = n->wires[2][1].delay = 300 * MSEC;
	sites_start(n, 2, 8);
	for (unsigned h = 1; h <= 30; h++) {
		struct ip src = host4(1, h), dst = host4(2, h);

		flow_new(n, 1, &src, 2, &dst, 200, 10 * MSEC, 2);
	}
	net_run(n, 50 * MSEC);
	site_set_workers(&n->sites[1], 3);
	site_set_workers(&n->sites[1], 1);
	waiting = n->sites[1].router->workers[0].n_held;
	assert_int_equal(waiting, 60);
	assert_null(n->sites[1].router->workers[7].pool);
	net_run(n, 10 * SEC);
	all_whole(n);
	for (size_t i = 0; i < n->n_flows; i++)
		assert_int_equal(n->flows[i]->reordered, 0);

	/* with no room there either, they are counted */
	site_leave(&n->sites[2]);
	net_run(n, SEC);
	site_set_workers(&n->sites[1], 8);
	for (unsigned h = 1; h <= 30; h++) {
		struct ip src = host4(1, h), dst = host4(2, h);

		flow_new(n, 1, &src, 2, &dst, 200, 10 * MSEC, 10);
	}
	net_run(n, 200 * MSEC);
	site_set_workers(&n->sites[1], 1);
	assert_int_equal(n->sites[1].router->workers[0].n_held, HELD_PER_PEER);
	net_run(n, 10 * SEC);
	assert_int_equal(site_drops(&n->sites[1], DROP_HOLD_FULL) +
				 site_drops(&n->sites[1], DROP_NO_KEY),
			 300);
}

/* Reloads and changes of workers in turn: peers and networks that come later have their
 * share of each worker too. */
static void peers_come_and_go(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	sites_start(n, 3, 1);
	sites_wait_up(n);
	f[0] = flow4(n, 1, 3, 300, MSEC, 8000);
	f[1] = flow4(n, 3, 1, 300, MSEC, 8000);
	for (unsigned i = 0; i < 20; i++) {
		n->sites[1].peers = i % 2 ? 1u << 2 | 1u << 3 : 1u << 3;
		assert_true(site_reload(&n->sites[1]));
		net_run(n, 100 * MSEC);
		site_set_workers(&n->sites[1], 1 + i % NET_WORKERS);
		flow4(n, 1, 2, 300, 10 * MSEC, 10);
		net_run(n, 300 * MSEC);
	}
	net_run(n, 2 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_number_at_any_time),
		net_test(lanes_are_shared_until_announced),
		net_test(more_lanes_are_no_need),
		cmocka_unit_test(handshakes_go_on),
		net_test(frames_at_another_worker),
		net_test(waiting_packets_stay),
		net_test(peers_come_and_go),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
