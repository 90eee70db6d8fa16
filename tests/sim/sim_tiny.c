/*
 * Tinies as a full router sees them: sites 2 and 3 are VMs behind router 1, 4 and 5 are
 * plain sites, which know the VMs behind router 1.
 */
#include <stdio.h>
#include <string.h>

#include "tests/sim/net.h"

#define NETWORK_1 \
	"[lndt]\n8000 = 172.16.1.0/24\n[gndt 8000]\nr4 = 172.16.4.0/24\nr5 = 172.16.5.0/24\n"
#define TINY(n) \
	"[tiny r" #n "]\nid = " #n "\nkey-file = r" #n ".key\nnetwork = 8000\n" \
	"address = 172.16." #n ".10\n"
#define AS_VM(addresses) "[lndt]\n8000 = " addresses "\n[gndt 8000]\nr1 = 172.16.0.0/12\n"
#define AS_SITE(n) \
	"[lndt]\n8000 = 172.16." #n ".0/24\n[gndt 8000]\n" \
	"r1 = 172.16.1.0/24, 172.16.2.10, 172.16.3.10\n"

static void start(struct net *n, const char *security)
{
	static const char *const tables[] = { NULL,
					      NETWORK_1 TINY(2) TINY(3),
					      AS_VM("172.16.2.10"),
					      AS_VM("172.16.3.10"),
					      AS_SITE(4),
					      AS_SITE(5) };

	for (unsigned i = 1; i <= 5; i++) {
		struct site *s = &n->sites[i];

		s->peers = i == 1 ? 1u << 4 | 1u << 5 : 1u << 1;
		s->tables = tables[i];
		s->security = security;
	}
	/* a VM's address is known to nobody; it calls */
	sites_start(n, 5, 1);
	sites_wait_up(n);
}

static void everybody(void **state)
{
	static const unsigned pairs[][2] = { { 2, 1 }, { 1, 2 }, { 2, 3 }, { 3, 2 },
					     { 2, 4 }, { 4, 2 }, { 5, 3 }, { 1, 4 } };
	static const char *const securities[] = { "encrypt = none\n", "encrypt = aes-256-gcm\n" };

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct net *n = net_new(k + 1);
		struct flow *f[8];

		start(n, securities[k]);
		for (unsigned i = 0; i < 8; i++)
			f[i] = flow4(n, pairs[i][0], pairs[i][1], 300, MSEC, 500);
		net_run(n, 2 * SEC);
		for (unsigned i = 0; i < 8; i++)
			flow_whole(f[i]);
		net_free(n);
	}
}

/* To a tiny from anywhere; to another site not. */
static void transit_is_for_tinies(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	start(n, NULL);
	site_stop(&n->sites[5]);
	n->sites[5].tables = "[lndt]\n8000 = 172.16.5.0/24\n[gndt 8000]\nr1 = 172.16.0.0/12\n";
	site_start(&n->sites[5]);
	sites_wait_up(n);
	f[0] = flow4(n, 5, 2, 300, MSEC, 100);
	f[1] = flow4(n, 5, 4, 300, MSEC, 100);
	net_run(n, SEC);
	flow_whole(f[0]);
	assert_int_equal(f[1]->received, 0);
	assert_int_equal(site_drops(&n->sites[1], DROP_TRANSIT), 100);
}

/* A VM that sends in the name of its neighbour, of a site, and of nobody. */
static void borrowed_addresses(void **state)
{
	static const char *const names[] = { "172.16.3.10", "172.16.1.10", "172.16.9.9" };
	struct net *n = *state;
	struct flow *f[4];

	start(n, NULL);
	site_stop(&n->sites[2]);
	n->sites[2].tables = AS_VM("172.16.2.10, 172.16.3.10, 172.16.1.10, 172.16.9.9");
	site_start(&n->sites[2]);
	sites_wait_up(n);
	for (unsigned i = 0; i < 3; i++) {
		struct ip src = ip_of(names[i]), dst = host4(4, 10);

		f[i] = flow_new(n, 2, &src, 4, &dst, 300, MSEC, 100);
	}
	f[3] = flow4(n, 2, 4, 300, MSEC, 100);
	net_run(n, SEC);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(f[i]->sent, 100);
		assert_int_equal(f[i]->received, 0);
	}
	flow_whole(f[3]);
	assert_int_equal(site_drops(&n->sites[1], DROP_FORGED_SOURCE), 300);
	assert_int_equal(site_all_drops(&n->sites[4]), 0);
}

static bool is_back(void *arg, struct net *n)
{
	(void)arg;
	return site_is_up(n, 1, 2) && !site_contact(n, 2, 1)->dead;
}

/* Out at once, without a packet lost of the others'; and in again. */
static void revoked(void **state)
{
	struct net *n = *state;
	struct flow *f[4];
	uint64_t had[2];

	start(n, NULL);
	f[0] = flow4(n, 2, 4, 300, MSEC, 4000);
	f[1] = flow4(n, 4, 2, 300, MSEC, 4000);
	f[2] = flow4(n, 3, 4, 300, MSEC, 4000);
	f[3] = flow4(n, 4, 3, 300, MSEC, 4000);
	net_run(n, SEC);
	n->sites[1].tables = NETWORK_1 TINY(3);
	assert_true(site_reload(&n->sites[1]));
	net_run(n, 50 * MSEC); /* what is on the way */
	for (unsigned i = 0; i < 2; i++)
		had[i] = f[i]->received;
	net_run(n, 4 * SEC);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(had[i] > 500);
		assert_int_equal(f[i]->received, had[i]);
		flow_whole(f[2 + i]);
	}
	assert_true(site_contact(n, 2, 1)->dead);
	n->sites[1].tables = NETWORK_1 TINY(2) TINY(3);
	assert_true(site_reload(&n->sites[1]));
	assert_true(net_wait(n, is_back, NULL, 20 * SEC) >= 0);
	f[0] = flow4(n, 2, 4, 300, MSEC, 100);
	net_run(n, SEC);
	flow_whole(f[0]);
}

/* Who notices that the router has started anew, though nobody has anything to say? The tiny asks. */
static void router_anew(void **state)
{
	struct net *n = *state;
	struct contact *there;
	struct flow *f;
	unsigned asked;

	start(n, NULL);
	for (unsigned i = 2; i <= 3; i++)
		site_contact(n, i, 1)->config.designated = true;
	there = site_contact(n, 1, 2);
	net_run(n, 300 * SEC);
	asked = there->n_pings;
	net_run(n, 60 * SEC);
	assert_int_equal(there->n_pings, asked); /* thousands would be a burden */
	assert_true(there->up);
	site_stop(&n->sites[1]);
	net_run(n, 20 * SEC);
	site_start(&n->sites[1]);
	assert_true(net_wait(n, is_back, NULL, 6 * SEC) >= 0);
	/* at once, and by an idle one */
	net_run(n, 300 * SEC);
	site_stop(&n->sites[1]);
	site_start(&n->sites[1]);
	assert_false(site_is_up(n, 1, 2));
	assert_true(net_wait(n, is_back, NULL, 10 * SEC) >= 0);
	f = flow4(n, 4, 2, 300, MSEC, 100);
	net_run(n, SEC);
	flow_whole(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(everybody), net_test(transit_is_for_tinies), net_test(borrowed_addresses),
		net_test(revoked),   net_test(router_anew),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
