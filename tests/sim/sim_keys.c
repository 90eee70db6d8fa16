/*
 * Keys while traffic flows: replaced by age and by count without loss, lost with
 * a restart and found again.
 */
#include <string.h>

#include "tests/sim/net.h"

static void start_with(struct net *n, const char *security)
{
	n->sites[1].security = n->sites[2].security = security;
	sites_start(n, 2, 1);
	sites_wait_up(n);
}

/* New keys every second, with delays that vary by 200 ms: not a packet lost. */
static void rekey_by_age(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 10 * MSEC,
				  .jitter = 200 * MSEC,
				  .duplicate = seed % 2 ? 0.05 : 0 };
		struct flow *f[2];

		start_with(n, seed % 2 ? "rekey-after = 1s"
				       : "rekey-after = 1s\nencrypt = chacha20-poly1305");
		net_wires(n, &w);
		f[0] = flow4(n, 1, 2, 400, 3 * MSEC, 40000);
		f[1] = flow4(n, 2, 1, 400, 3 * MSEC, 40000);
		net_run(n, 121 * SEC);
		flow_whole(f[0]);
		flow_whole(f[1]);
		assert_true(f[0]->reordered > 0);
		assert_true(router_events(n->sites[1].router, EVENT_REKEYS) > 50);
		assert_true(router_events(n->sites[2].router, EVENT_REKEYS) > 50);
		for (unsigned i = 1; i <= 2; i++) {
			assert_int_equal(site_all_drops(&n->sites[i]),
					 site_drops(&n->sites[i], DROP_REPLAY) +
						 site_drops(&n->sites[i], DROP_HANDSHAKE));
			assert_int_equal(router_events(n->sites[i].router, EVENT_HANDSHAKES_FAILED),
					 0);
		}
		net_free(n);
	}
}

/* The same with handshakes lost: whatever arrives under either key is taken. */
static void rekey_with_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *n = net_new(seed);
		struct wire lossy = { .delay = 20 * MSEC, .jitter = 50 * MSEC, .loss = 0.3 },
			    good = { .delay = 20 * MSEC };
		struct flow *f[2];

		start_with(n, "rekey-after = 1s");
		net_wires(n, &lossy);
		f[0] = flow4(n, 1, 2, 200, 10 * MSEC, 6000);
		f[1] = flow4(n, 2, 1, 200, 10 * MSEC, 6000);
		net_run(n, 61 * SEC);
		assert_true(f[0]->received > f[0]->sent * 6 / 10);
		assert_true(f[1]->received > f[1]->sent * 6 / 10);
		/* lost by the wire, never by a router */
		for (unsigned i = 1; i <= 2; i++) {
			assert_int_equal(site_drops(&n->sites[i], DROP_UNKNOWN_KEY), 0);
			assert_int_equal(site_drops(&n->sites[i], DROP_BAD_MAC), 0);
			assert_int_equal(site_drops(&n->sites[i], DROP_NO_KEY), 0);
		}
		net_wires(n, &good);
		net_run(n, 20 * SEC);
		f[0] = flow4(n, 1, 2, 200, 10 * MSEC, 300);
		f[1] = flow4(n, 2, 1, 200, 10 * MSEC, 300);
		net_run(n, 4 * SEC);
		flow_whole(f[0]);
		flow_whole(f[1]);
		net_free(n);
	}
}

static bool has_new_keys(void *arg, struct net *n)
{
	return site_contact(n, 1, 2)->peer->tx != arg;
}

/* The last word of a handshake never comes: both have the keys all the same, and
 * keep them. */
static void last_word_is_lost(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	start_with(n, "rekey-after = 60s");
	f[0] = flow4(n, 1, 2, 200, 10 * MSEC, 9000);
	f[1] = flow4(n, 2, 1, 200, 10 * MSEC, 9000);
	assert_true(net_wait(n, has_new_keys, site_contact(n, 1, 2)->peer->tx, 60 * SEC) >= 0);
	n->wires[2][1].mute = true;
	net_run(n, 30 * SEC);
	n->wires[2][1].mute = false;
	net_run(n, 20 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES_FAILED), 0);
}

static void rekey_by_count(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_with(n, "rekey-frames = 1000");
	f = flow4(n, 1, 2, 100, MSEC / 2, 10000);
	net_run(n, 6 * SEC);
	flow_whole(f);
	assert_true(router_events(n->sites[1].router, EVENT_REKEYS) >= 4);
	assert_int_equal(site_all_drops(&n->sites[2]), 0);
}

/* An idle link makes no new keys; the next packet is not lost for it. */
static void none_for_an_idle_link(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_with(n, "rekey-after = 1s");
	net_run(n, 300 * SEC);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 1);
	f = flow4(n, 1, 2, 100, 100 * MSEC, 100);
	net_run(n, 11 * SEC);
	flow_whole(f);
	assert_true(router_events(n->sites[1].router, EVENT_HANDSHAKES) > 5);
}

struct wanted {
	struct flow *flow;
	uint64_t received;
};

static bool has_more(void *arg, struct net *n)
{
	struct wanted *w = arg;

	(void)n;
	return w->flow->received > w->received;
}

/* A router is killed and comes back: within four round trips of the first packet
 * that wants it, whoever sends that. */
static void restart(struct net *n, unsigned killed, unsigned sender, bool hidden)
{
	struct wire w = { .delay = 50 * MSEC };
	struct wanted wanted;
	struct flow *f;

	net_wires(n, &w);
	if (hidden)
		n->sites[killed].hidden = 1u << (3 - killed);
	start_with(n, "");
	f = flow4(n, 1, 2, 200, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(f);
	site_stop(&n->sites[killed]);
	net_run(n, 300 * MSEC);
	site_start(&n->sites[killed]);
	f = flow4(n, sender, 3 - sender, 200, 10 * MSEC, 300);
	wanted = (struct wanted){ f, 0 };
	/* the packet itself needs half a round trip to tell the restarted one, which
	 * then needs up to four */
	assert_true(net_wait(n, has_more, &wanted, 4 * 100 * MSEC + 70 * MSEC) >= 0);
	net_run(n, 5 * SEC);
	/* what was in flight to a router without keys is lost, no more */
	assert_true(f->received + 50 >= f->sent);
	assert_int_equal(f->duplicates, 0);
	f = flow4(n, 2, 1, 200, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(f);
}

static void restart_low_sends(void **state)
{
	restart(*state, 1, 1, false);
}

static void restart_low_is_sent_to(void **state)
{
	restart(*state, 1, 2, false);
}

static void restart_high_sends(void **state)
{
	restart(*state, 2, 2, false);
}

static void restart_high_is_sent_to(void **state)
{
	restart(*state, 2, 1, false);
}

/* Over and over, at random moments, in the middle of handshakes too. */
static void restart_in_a_loop(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 20 * MSEC, .jitter = 20 * MSEC };
		struct wanted wanted[2];

		net_wires(n, &w);
		n->sites[1].security = n->sites[2].security = "rekey-after = 1s";
		sites_start(n, 2, 1);
		wanted[0].flow = flow4(n, 1, 2, 200, 5 * MSEC, 100000);
		wanted[1].flow = flow4(n, 2, 1, 200, 5 * MSEC, 100000);
		for (unsigned i = 0; i < 25; i++) {
			struct site *s = &n->sites[1 + net_random(n, 2)];

			net_run(n, (int64_t)net_random(n, 1500) * MSEC);
			site_stop(s);
			net_run(n, (int64_t)net_random(n, 300) * MSEC);
			site_start(s);
			for (unsigned k = 0; k < 2; k++) {
				wanted[k].received = wanted[k].flow->received;
				if (net_wait(n, has_more, &wanted[k], 6 * SEC) < 0)
					fail_msg("seed %lu restart %u: %u does not come back", seed,
						 i, k);
			}
		}
		net_free(n);
	}
}

/* A clean end: the other knows at once, and holds packets instead of sending
 * them into the void. */
static void goodbye(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_with(n, "");
	site_leave(&n->sites[2]);
	net_run(n, 100 * MSEC);
	assert_false(site_contact(n, 1, 2)->up);
	assert_int_equal(net_logged(n, "goodbye"), 1);
	f = flow4(n, 1, 2, 200, 10 * MSEC, 30);
	net_run(n, 400 * MSEC);
	site_start(&n->sites[2]);
	net_run(n, 5 * SEC);
	flow_whole(f);
}

/* Down when nothing is heard; up again when the wire is mended. */
static void silence(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start_with(n, "");
	n->wires[1][2].cut = n->wires[2][1].cut = true;
	net_run(n, 25 * SEC);
	assert_false(site_contact(n, 1, 2)->up);
	assert_false(site_contact(n, 2, 1)->up);
	n->wires[1][2].cut = n->wires[2][1].cut = false;
	net_run(n, 20 * SEC);
	assert_true(sites_are_up(NULL, n));
	f = flow4(n, 1, 2, 200, 10 * MSEC, 30);
	net_run(n, SEC);
	flow_whole(f);
	assert_int_equal(net_logged(n, "down: nothing heard"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rekey_by_age),
		cmocka_unit_test(rekey_with_loss),
		net_test(rekey_by_count),
		net_test(last_word_is_lost),
		net_test(none_for_an_idle_link),
		net_test(restart_low_sends),
		net_test(restart_low_is_sent_to),
		net_test(restart_high_sends),
		net_test(restart_high_is_sent_to),
		cmocka_unit_test(restart_in_a_loop),
		net_test(goodbye),
		net_test(silence),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
