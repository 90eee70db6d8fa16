/*
 * Configurations change while packets flow: reloads, networks and peers that come
 * and go, protection that differs for a while.
 */
#include <string.h>

#include "tests/sim/net.h"

/* Over and over, with other rows each time: what both tables carry is not lost. */
static void reload_in_a_loop(void **state)
{
	struct net *n = *state;
	char tables[2][512];
	struct flow *f[4];

	sites_start(n, 2, 2);
	sites_wait_up(n);
	f[0] = flow4(n, 1, 2, 300, MSEC, 20000);
	f[1] = flow4(n, 2, 1, 300, MSEC, 20000);
	f[2] = flow6(n, 1, 2, 300, 7 * MSEC, 2000);
	f[3] = flow6(n, 2, 1, 300, 7 * MSEC, 2000);
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < 2; k++) {
			snprintf(
				tables[k], sizeof(tables[k]),
				"[lndt]\n8000 = 172.16.%u.0/24, fd00:76:0:%u::/64\n%u = 10.%u.0.1\n"
				"[gndt 8000]\nr%u = 172.16.%u.0/24, fd00:76:0:%u::/64, "
				"10.%u.0.0/16\n",
				k + 1, k + 1, 9000 + i % 7, i % 200, 2 - k, 2 - k, 2 - k, i % 200);
			n->sites[k + 1].tables = tables[k];
		}
		assert_true(site_reload(&n->sites[1 + i % 2]));
		net_run(n, 20 * MSEC + 500 * USEC);
	}
	net_run(n, SEC);
	for (unsigned i = 0; i < 4; i++)
		flow_whole(f[i]);
	assert_int_equal(router_events(n->sites[1].router, EVENT_RELOADS), 500);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 1);
	assert_int_equal(site_all_drops(&n->sites[1]) + site_all_drops(&n->sites[2]), 0);
}

/* While packets wait for keys: they are looked up anew in the new tables. */
static void reload_while_packets_wait(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	n->wires[1][2].delay = n->wires[2][1].delay = 200 * MSEC;
	sites_start(n, 2, 1);
	f[0] = flow4(n, 1, 2, 200, 10 * MSEC, 20);
	f[1] = flow6(n, 1, 2, 200, 10 * MSEC, 20);
	for (unsigned i = 0; i < 20; i++) {
		net_run(n, 15 * MSEC);
		assert_true(site_reload(&n->sites[1]));
	}
	assert_true(n->sites[1].router->workers[0].n_held > 30);
	net_run(n, 3 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
	/* and those whose network has gone meanwhile go no further */
	n->sites[1].peers = n->sites[2].peers = 0;
	site_stop(&n->sites[2]);
	n->sites[1].peers = 1u << 2;
	net_run(n, 20 * SEC);
	assert_false(site_contact(n, 1, 2)->up);
}

static void wrong_files_change_nothing(void **state)
{
	struct net *n = *state;
	struct flow *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	f = flow4(n, 1, 2, 300, MSEC, 500);
	net_run(n, 100 * MSEC);
	n->sites[1].tables = "[lndt]\n8000 = 172.16.1.0/24\n[gndt 8000]\nnobody = 172.16.2.0/24\n";
	assert_false(site_reload(&n->sites[1]));
	/* well-formed, but the same prefix for two */
	n->sites[1].peers |= 1u << 3;
	n->sites[1].tables = "[lndt]\n8000 = 172.16.1.0/24\n[gndt 8000]\nr2 = 172.16.2.0/24\n"
			     "r3 = 172.16.2.0/24\n";
	assert_false(site_reload(&n->sites[1]));
	/* right, but can't be changed while it runs */
	n->sites[1].tables = NULL;
	n->sites[1].router_lines = "mtu = 1400";
	assert_false(site_reload(&n->sites[1]));
	net_run(n, SEC);
	flow_whole(f);
	assert_int_equal(router_events(n->sites[1].router, EVENT_RELOADS), 0);
}

static void peer_leaves_and_returns(void **state)
{
	struct net *n = *state;
	struct flow *f;

	sites_start(n, 3, 1);
	sites_wait_up(n);
	f = flow4(n, 1, 3, 300, MSEC, 10000);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t gone = site_drops(&n->sites[1], DROP_NO_ROUTE);

		n->sites[1].peers = 1u << 3;
		assert_true(site_reload(&n->sites[1]));
		flow4(n, 1, 2, 300, 10 * MSEC, 10);
		net_run(n, 200 * MSEC);
		assert_int_equal(site_drops(&n->sites[1], DROP_NO_ROUTE) - gone, 10);
		n->sites[1].peers = 1u << 2 | 1u << 3;
		assert_true(site_reload(&n->sites[1]));
		flow4(n, 1, 2, 300, 10 * MSEC, 10);
		flow4(n, 2, 1, 300, 10 * MSEC, 10);
		net_run(n, 700 * MSEC);
		flow_whole(n->flows[n->n_flows - 2]);
	}
	net_run(n, 2 * SEC);
	flow_whole(f);
}

/* With packets that wait for it, and handshakes on their way. */
static void peer_leaves_in_the_middle(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct net *n = net_new(seed);
		struct flow *f;

		sites_start(n, 3, 2);
		f = flow4(n, 1, 3, 300, 5 * MSEC, 400);
		flow4(n, 1, 2, 300, 2 * MSEC, 1000);
		for (unsigned i = 0; i < 20; i++) {
			n->sites[1].peers = i % 2 ? 1u << 2 | 1u << 3 : 1u << 3;
			net_run(n, (int64_t)net_random(n, 80) * MSEC);
			assert_true(site_reload(&n->sites[1]));
		}
		net_run(n, 4 * SEC);
		flow_whole(f);
		flow4(n, 1, 2, 300, 2 * MSEC, 100);
		net_run(n, 2 * SEC);
		flow_whole(n->flows[2]);
		net_free(n);
	}
}

/* A changed key makes a new peer of it: both change, traffic goes on. */
static void key_changes(void **state)
{
	struct net *n = *state;
	struct flow *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	n->sites[1].stranger = n->sites[2].stranger = "n";
	assert_true(site_reload(&n->sites[1]));
	net_run(n, 5 * SEC);
	assert_false(keying_is_ready(&site_contact(n, 1, 2)->keying));
	assert_true(site_reload(&n->sites[2]));
	net_run(n, 5 * SEC);
	f = flow4(n, 1, 2, 300, MSEC, 100);
	net_run(n, 5 * SEC);
	flow_whole(f);
}

static void networks_come_and_go(void **state)
{
	struct net *n = *state;
	struct ip a = ip_of("10.1.0.1"), b = ip_of("10.2.0.1");
	struct flow *steady, *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	steady = flow4(n, 1, 2, 300, MSEC, 4000);
	for (unsigned i = 0; i < 3; i++) {
		n->sites[1].tables = "[lndt]\n8000 = 172.16.1.0/24\n7 = 10.1.0.0/16\n"
				     "[gndt 8000]\nr2 = 172.16.2.0/24\n"
				     "[gndt 7]\nr2 = 10.2.0.0/16\n[network 7]\nencrypt = "
				     "aes-256-gcm\n";
		n->sites[2].tables = "[lndt]\n8000 = 172.16.2.0/24\n7 = 10.2.0.0/16\n"
				     "[gndt 8000]\nr1 = 172.16.1.0/24\n"
				     "[gndt 7]\nr1 = 10.1.0.0/16\n[network 7]\nencrypt = "
				     "aes-256-gcm\n";
		assert_true(site_reload(&n->sites[1]));
		assert_true(site_reload(&n->sites[2]));
		f = flow_new(n, 1, &a, 2, &b, 200, MSEC, 300);
		net_run(n, 500 * MSEC);
		flow_whole(f);
		n->sites[1].tables = n->sites[2].tables = NULL;
		f = flow_new(n, 1, &a, 2, &b, 200, MSEC, 300);
		net_run(n, 100 * MSEC + 500 * USEC);
		assert_true(site_reload(&n->sites[2]));
		net_run(n, 100 * MSEC);
		assert_true(site_reload(&n->sites[1]));
		net_run(n, 300 * MSEC);
		assert_in_range(f->received, 80, 110);
		assert_int_equal(site_drops(&n->sites[1], DROP_UNKNOWN_SOURCE), 100 * (i + 1));
		assert_true(site_drops(&n->sites[2], DROP_UNKNOWN_NETWORK) > 80 * i);
	}
	net_run(n, 3 * SEC);
	flow_whole(steady);
}

/* ---- protection ------------------------------------------------------------------ */

#define BOTH(site, peer, more) \
	"[lndt]\n8000 = 172.16." site ".0/24\n8001 = 10." site ".0.0/16\n" \
	"[gndt 8000]\nr" peer " = 172.16." peer ".0/24\n" \
	"[gndt 8001]\nr" peer " = 10." peer ".0.0/16\n" more

#define SECRET "[network 8001]\nencrypt = chacha20-poly1305\n"

/* Stopped at both ends with one line at each; the other network goes on; agreed
 * again, whoever gives way. */
static void mismatch(void **state)
{
	(void)state;
	for (unsigned gives_way = 1; gives_way <= 2; gives_way++) {
		struct net *n = net_new(gives_way);
		struct ip a = ip_of("10.1.0.1"), b = ip_of("10.2.0.1");
		struct flow *f, *steady;

		n->sites[1].tables = BOTH("1", "2", SECRET);
		n->sites[2].tables = BOTH("2", "1", "");
		sites_start(n, 2, 1);
		sites_wait_up(n);
		net_run(n, SEC);
		steady = flow4(n, 1, 2, 300, MSEC, 5000);
		f = flow_new(n, 1, &a, 2, &b, 200, 10 * MSEC, 100);
		flow_new(n, 2, &b, 1, &a, 200, 10 * MSEC, 100);
		net_run(n, 2 * SEC);
		assert_int_equal(f->received + n->flows[2]->received, 0);
		assert_int_equal(site_drops(&n->sites[1], DROP_DISABLED), 100);
		assert_int_equal(site_drops(&n->sites[2], DROP_DISABLED), 100);
		assert_int_equal(net_logged(n, "network 8001 is stopped"), 2);
		if (gives_way == 1)
			n->sites[1].tables = BOTH("1", "2", "");
		else
			n->sites[2].tables = BOTH("2", "1", SECRET);
		assert_true(site_reload(&n->sites[gives_way]));
		net_run(n, SEC);
		assert_int_equal(net_logged(n, "network 8001 goes on"), 2);
		f = flow_new(n, 1, &a, 2, &b, 200, 10 * MSEC, 100);
		flow_new(n, 2, &b, 1, &a, 200, 10 * MSEC, 100);
		net_run(n, 3 * SEC);
		flow_whole(f);
		flow_whole(n->flows[4]);
		flow_whole(steady);
		net_free(n);
	}
}

/* Both change at once, by turns, again and again: never stuck apart. */
static void protection_changes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		static const char *const more[] = { "", "encrypt = aes-256-gcm",
						    "encrypt = chacha20-poly1305" };
		struct net *n = net_new(seed);
		struct wire w = { .delay = 10 * MSEC, .loss = seed % 2 ? 0.2 : 0 };
		struct flow *f;

		net_wires(n, &w);
		sites_start(n, 2, 1);
		net_run(n, 10 * SEC);
		for (unsigned i = 0; i < 12; i++) {
			const char *security = more[net_random(n, 3)];

			n->sites[1].security = n->sites[2].security = security;
			assert_true(site_reload(&n->sites[1 + i % 2]));
			net_run(n, (int64_t)net_random(n, 100) * MSEC);
			assert_true(site_reload(&n->sites[2 - i % 2]));
			net_run(n, (int64_t)net_random(n, 4000) * MSEC);
		}
		net_run(n, 12 * SEC);
		w.loss = 0;
		net_wires(n, &w);
		f = flow4(n, 1, 2, 300, 10 * MSEC, 100);
		flow4(n, 2, 1, 300, 10 * MSEC, 100);
		net_run(n, 3 * SEC);
		flow_whole(f);
		flow_whole(n->flows[1]);
		net_free(n);
	}
}

/* A router that is set to protect takes nothing unprotected, whatever the other is
 * told or does. */
static void never_unprotected(void **state)
{
	struct net *n = *state;
	struct contact *c;
	struct flow *f;

	n->sites[1].security = "sign = none";
	sites_start(n, 2, 1);
	sites_wait_up(n);
	net_run(n, SEC);
	flow4(n, 1, 2, 300, 10 * MSEC, 20);
	net_run(n, SEC);
	assert_int_equal(site_drops(&n->sites[1], DROP_DISABLED), 20);
	/* as if it did not care */
	c = site_contact(n, 1, 2);
	c->peer->stopped->n = 0;
	f = flow4(n, 1, 2, 300, 10 * MSEC, 50);
	net_run(n, SEC);
	assert_int_equal(f->received, 0);
	assert_int_equal(site_drops(&n->sites[2], DROP_UNPROTECTED), 50);
	/* and none at both is what it says */
	n->sites[2].security = "sign = none";
	assert_true(site_reload(&n->sites[2]));
	net_run(n, SEC);
	f = flow4(n, 1, 2, 300, 10 * MSEC, 50);
	net_run(n, SEC);
	flow_whole(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(reload_in_a_loop),
		net_test(reload_while_packets_wait),
		net_test(wrong_files_change_nothing),
		net_test(peer_leaves_and_returns),
		cmocka_unit_test(peer_leaves_in_the_middle),
		net_test(key_changes),
		net_test(networks_come_and_go),
		cmocka_unit_test(mismatch),
		cmocka_unit_test(protection_changes),
		net_test(never_unprotected),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
