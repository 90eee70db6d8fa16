/*
 * Who reaches whom: networks with overlapping addresses, hosts in several, forged
 * and unknown ones, transit and its limits.
 */
#include <string.h>

#include "common/inet.h"
#include "tests/sim/net.h"

static struct flow *between(struct net *n, unsigned from, const char *src, unsigned to,
			    const char *dst, uint64_t count)
{
	struct ip a = ip_of(src), b = ip_of(dst);

	return flow_new(n, from, &a, to, &b, 300, 10 * MSEC, count);
}

static void assert_drop(const struct site *s, enum drop d, uint64_t n)
{
	if (site_drops(s, d) != n)
		print_error("%s: %lu %s\n", s->name, site_drops(s, d), drop_label(d));
	assert_int_equal(site_drops(s, d), n);
}

/* Sites 2 and 3 hold the same prefix, in networks of their own. At site 1 a
 * member of each, and both networks at once for a third host. */
static void overlap(void **state)
{
	struct net *n = *state;
	struct flow *f[6];

	n->sites[1].tables = "[lndt]\n1 = 172.16.1.11, 172.16.1.13\n"
			     "2 = 172.16.1.12, 172.16.1.13\n"
			     "[gndt 1]\nr2 = 172.20.0.0/16\n[gndt 2]\nr3 = 172.20.0.0/24\n";
	n->sites[2].tables = "[lndt]\n1 = 172.20.0.0/16\n[gndt 1]\nr1 = 172.16.1.0/24\n";
	n->sites[3].tables = "[lndt]\n2 = 172.20.0.0/24\n[gndt 2]\nr1 = 172.16.1.0/24\n";
	sites_start(n, 3, 1);
	f[0] = between(n, 1, "172.16.1.11", 2, "172.20.0.5", 100);
	f[1] = between(n, 1, "172.16.1.12", 3, "172.20.0.5", 100);
	f[2] = between(n, 2, "172.20.0.5", 1, "172.16.1.11", 100);
	f[3] = between(n, 3, "172.20.0.5", 1, "172.16.1.12", 100);
	/* in both: the longest prefix over both decides */
	f[4] = between(n, 1, "172.16.1.13", 3, "172.20.0.5", 100);
	f[5] = between(n, 1, "172.16.1.13", 2, "172.20.1.5", 100);
	net_run(n, 5 * SEC);
	for (unsigned i = 0; i < 6; i++)
		flow_whole(f[i]);
	/* never the other's */
	f[0] = between(n, 2, "172.20.0.5", 1, "172.16.1.12", 100);
	f[1] = between(n, 3, "172.20.0.5", 1, "172.16.1.11", 100);
	net_run(n, 2 * SEC);
	assert_int_equal(f[0]->received + f[1]->received, 0);
	assert_drop(&n->sites[1], DROP_NOT_MEMBER, 200);
	assert_int_equal(site_all_drops(&n->sites[1]), 200);
	assert_int_equal(site_all_drops(&n->sites[2]) + site_all_drops(&n->sites[3]), 0);
}

/* All in one batch, each packet beside some of other hosts, other networks, and others
 * that are refused: what holds for one is not taken for its neighbour's. */
static void neighbours_in_a_batch(void **state)
{
	enum { GOOD = 6, ALL = 9, TIMES = 24 };
	struct net *n = *state;
	struct flow *f[ALL];

	n->sites[1].tables = "[lndt]\n1 = 172.16.1.11, 172.16.1.13\n"
			     "2 = 172.16.1.12, 172.16.1.13\n"
			     "[gndt 1]\nr2 = 172.20.0.0/16\n[gndt 2]\nr2 = 172.20.0.0/24\n";
	n->sites[2].tables = "[lndt]\n1 = 172.20.1.0/24\n2 = 172.20.0.0/24\n"
			     "[gndt 1]\nr1 = 172.16.1.11, 172.16.1.13\n"
			     "[gndt 2]\nr1 = 172.16.1.12\n";
	sites_start(n, 2, 1);
	sites_wait_up(n);
	for (unsigned i = 0; i < ALL; i++) {
		static const char *const ends[ALL][2] = {
			{ "172.16.1.11", "172.20.1.5" }, { "172.16.1.12", "172.20.0.5" },
			{ "172.16.1.13", "172.20.1.5" }, { "172.16.1.12", "172.20.0.6" },
			{ "172.16.1.11", "172.20.1.6" }, { "172.16.1.13", "172.20.1.6" },
			{ "172.16.1.12", "172.20.1.5" }, /* the other network's */
			{ "172.16.1.11", "172.20.0.5" }, /* no member in this one */
			{ "172.16.1.13", "172.20.0.5" }, /* not of this network, there */
		};
		struct ip src = ip_of(ends[i][0]), dst = ip_of(ends[i][1]);

		f[i] = flow_new(n, 1, &src, 2, &dst, 300, 3600 * SEC, 10000);
	}
	for (unsigned t = 0; t < TIMES; t++) {
		for (unsigned i = 0; i < 60; i++) /* every one beside every other one */
			flow_send(n, f[(i * (1 + t % (ALL - 1)) + i / ALL) % ALL]);
		net_run(n, SEC);
	}
	for (unsigned i = 0; i < GOOD; i++)
		flow_whole(f[i]);
	for (unsigned i = GOOD; i < ALL; i++)
		assert_int_equal(f[i]->received, 0);
	assert_true(f[6]->sent && f[7]->sent && f[8]->sent);
	assert_drop(&n->sites[1], DROP_NO_ROUTE, f[6]->sent);
	assert_drop(&n->sites[2], DROP_NOT_MEMBER, f[7]->sent);
	assert_drop(&n->sites[2], DROP_FORGED_SOURCE, f[8]->sent);
	assert_int_equal(n->misplaced + n->corrupt, 0);
}

static void refused_at_home(void **state)
{
	struct net *n = *state;
	struct site *s = &n->sites[1];
	static const uint8_t junk[64] = { 0x45, 0xff };

	n->sites[1].tables = "[lndt]\n1 = 172.16.1.11\n2 = 172.16.1.12\n"
			     "[gndt 1]\nr2 = 172.20.0.0/16\n[gndt 2]\nr2 = 172.21.0.0/16\n";
	n->sites[2].tables = "[lndt]\n1 = 172.20.0.0/16\n2 = 172.21.0.0/16\n"
			     "[gndt 1]\nr1 = 172.16.1.11\n[gndt 2]\nr1 = 172.16.1.12\n";
	sites_start(n, 2, 1);
	sites_wait_up(n);
	between(n, 1, "172.16.1.99", 2, "172.20.0.5", 10); /* unknown source */
	between(n, 1, "172.16.1.11", 2, "172.21.0.5", 20); /* the other network's */
	between(n, 1, "172.16.1.11", 2, "172.31.0.5", 30); /* nobody's */
	between(n, 1, "172.16.1.11", 1, "172.16.1.11", 5); /* this site's own */
	site_intercept(s, &(struct virtio_net_hdr){ 0 }, junk, sizeof(junk));
	net_run(n, 2 * SEC);
	assert_drop(s, DROP_UNKNOWN_SOURCE, 10);
	assert_drop(s, DROP_NO_ROUTE, 50);
	assert_drop(s, DROP_OWN_SITE, 5);
	assert_drop(s, DROP_MALFORMED, 1);
	assert_int_equal(site_all_drops(s), 66);
	assert_int_equal(site_all_drops(&n->sites[2]), 0);
}

/* Site 2's router takes in addresses that site 1 places elsewhere: what it sends
 * with them is refused there. */
static void forged_behind_a_known_router(void **state)
{
	struct net *n = *state;
	struct flow *good;

	n->sites[2].tables = "[lndt]\n8000 = 172.16.0.0/16, fd00:76::/48\n"
			     "[gndt 8000]\nr1 = 172.16.1.0/24, fd00:76:0:1::/64\n";
	n->sites[2].peers = 1u << 1;
	n->sites[1].peers = 1u << 2 | 1u << 3;
	n->sites[3].peers = 1u << 1;
	sites_start(n, 3, 1);
	good = between(n, 2, "172.16.2.10", 1, "172.16.1.10", 50);
	between(n, 2, "172.16.3.10", 1, "172.16.1.10", 50); /* site 3's */
	between(n, 2, "172.16.1.77", 1, "172.16.1.10", 50); /* site 1's own */
	between(n, 2, "172.16.9.10", 1, "172.16.1.10", 50); /* nobody's */
	between(n, 2, "fd00:76:0:3::1", 1, "fd00:76:0:1::10", 50);
	net_run(n, 3 * SEC);
	flow_whole(good);
	for (size_t i = 1; i < n->n_flows; i++)
		assert_int_equal(n->flows[i]->received, 0);
	assert_drop(&n->sites[1], DROP_FORGED_SOURCE, 200);
	assert_int_equal(site_all_drops(&n->sites[1]), 200);
}

/* ---- transit ----------------------------------------------------------------- */

#define LEAF(own, other) \
	"[lndt]\n8000 = 172.16." own ".0/24, fd00:76:0:" own "::/64\n" \
	"[gndt 8000]\nr2 = 172.16.2.0/24, 172.16." other ".0/24, fd00:76:0:2::/64, " \
	"fd00:76:0:" other "::/64\n"

/* Sites 1 and 3 know each other only through site 2. */
static void start_chain(struct net *n, bool transit)
{
	n->sites[1].tables = LEAF("1", "3");
	n->sites[3].tables = LEAF("3", "1");
	n->sites[1].peers = n->sites[3].peers = 1u << 2;
	n->sites[2].peer_lines = transit ? "transit = yes" : "transit = no";
	sites_start(n, 3, 1);
	sites_wait_up(n);
}

static void transit(void **state)
{
	struct net *n = *state;
	struct flow *f[3];

	start_chain(n, true);
	f[0] = flow4(n, 1, 3, 300, 10 * MSEC, 100);
	f[1] = flow6(n, 3, 1, 300, 10 * MSEC, 100);
	f[2] = flow4(n, 1, 2, 300, 10 * MSEC, 100);
	net_run(n, 3 * SEC);
	for (unsigned i = 0; i < 3; i++)
		flow_whole(f[i]);
	assert_int_equal(f[0]->last_ttl, 63);
	assert_int_equal(f[1]->last_ttl, 63);
	assert_int_equal(f[2]->last_ttl, 64);
	assert_int_equal(site_all_drops(&n->sites[2]), 0);
}

static void no_transit(void **state)
{
	struct net *n = *state;

	start_chain(n, false);
	flow4(n, 1, 3, 300, 10 * MSEC, 100);
	net_run(n, 3 * SEC);
	assert_int_equal(n->flows[0]->received, 0);
	assert_drop(&n->sites[2], DROP_TRANSIT, 100);
}

/* Site 1 sends to site 2 what site 2 would send back. */
static void loop(void **state)
{
	struct net *n = *state;

	n->sites[1].tables = "[lndt]\n8000 = 172.16.1.10\n[gndt 8000]\nr2 = 172.16.0.0/16\n";
	n->sites[2].tables = "[lndt]\n8000 = 172.16.2.0/24\n[gndt 8000]\nr1 = 172.16.1.0/24\n";
	n->sites[2].peer_lines = "transit = yes";
	sites_start(n, 2, 1);
	sites_wait_up(n);
	between(n, 1, "172.16.1.10", 2, "172.16.1.99", 50);
	net_run(n, 2 * SEC);
	assert_drop(&n->sites[2], DROP_LOOP, 50);
	assert_int_equal(n->sites[1].others, 0);
}

/* Two default routers that send what nobody has to a third, round and round: TTL
 * ends it. */
static void circle(void **state)
{
	struct net *n = *state;
	static const char *const tables[] = {
		"[lndt]\n8000 = 172.16.1.0/24\n[gndt 8000]\nr2 = 172.16.0.0/16\nr3 = 172.16.3.0/24\n",
		"[lndt]\n8000 = 172.16.2.0/24\n[gndt 8000]\nr3 = 172.16.0.0/16\nr1 = 172.16.1.0/24\n",
		"[lndt]\n8000 = 172.16.3.0/24\n[gndt 8000]\nr1 = 172.16.0.0/16\nr2 = 172.16.1.0/24\n",
	};

	for (unsigned i = 0; i < 3; i++) {
		n->sites[i + 1].tables = tables[i];
		n->sites[i + 1].peer_lines = "transit = yes";
	}
	sites_start(n, 3, 1);
	sites_wait_up(n);
	between(n, 1, "172.16.1.10", 2, "172.16.99.1", 20);
	net_run(n, 10 * SEC);
	/* refused as a forgery, as a loop or for its age, but each of them once */
	assert_int_equal(site_all_drops(&n->sites[1]) + site_all_drops(&n->sites[2]) +
				 site_all_drops(&n->sites[3]),
			 20);
}

struct errors {
	unsigned n;
	uint8_t type;
	struct ip src, dst;
};

static void take_error(void *arg, struct site *s, const uint8_t *packet, size_t len)
{
	struct errors *e = arg;
	struct inet_info i;

	(void)s;
	assert_true(inet_parse(packet, len, &i, &len));
	if (!inet_is_icmp_error(packet, len, &i))
		return;
	e->n++;
	e->type = packet[i.l4];
	e->src = i.src;
	e->dst = i.dst;
}

/* TTL runs out in transit: the host that sent it is told, through the overlay, by
 * the router in the middle; and where the router injects past the kernel. */
static void ttl_exceeded(void **state)
{
	struct net *n = *state;
	struct errors e = { 0 };
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(3, 10),
				 .proto = 17,
				 .ttl = 1,
				 .sport = 40000,
				 .dport = 33434,
				 .payload = (const uint8_t *)"traceroute",
				 .len = 10 };

	n->sites[3].kernel_routes = false;
	start_chain(n, true);
	n->sites[1].sink = take_error;
	n->sites[1].sink_arg = &e;
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(e.n, 1);
	assert_int_equal(e.type, 11);
	assert_true(ip_equal(&e.src, &(struct ip){ 4, { 172, 16, 2, 1 } }));
	assert_true(ip_equal(&e.dst, &h.src));
	h.ttl = 2; /* gets to site 3, whose router does what the kernel would */
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_drop(&n->sites[3], DROP_TTL, 1);
	h.ttl = 1;
	h.src = host6(1, 10);
	h.dst = host6(3, 10);
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(e.type, 3);
	assert_true(ip_equal(&e.dst, &h.src));
	assert_drop(&n->sites[2], DROP_TTL, 2);
	h.ttl = 3;
	n->sites[3].others = 0;
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(n->sites[3].others, 1);
	assert_int_equal(n->sites[3].other[7], 1);
}

/* The answer from site 3 crosses site 2, whose own it isn't. */
static void errors_cross_transit(void **state)
{
	struct net *n = *state;
	struct errors e = { 0 };
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(3, 10),
				 .proto = 17,
				 .ttl = 2,
				 .sport = 40000,
				 .dport = 33434,
				 .payload = (const uint8_t *)"traceroute",
				 .len = 10 };

	n->sites[3].kernel_routes = false;
	start_chain(n, true);
	n->sites[1].sink = take_error;
	n->sites[1].sink_arg = &e;
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(e.n, 1);
	assert_true(ip_equal(&e.src, &(struct ip){ 4, { 172, 16, 3, 1 } }));
}

/* Neither router's own address is in any table: what they quote is what counts. */
static void errors_from_unlisted_addresses(void **state)
{
	struct net *n = *state;
	struct errors e = { 0 };
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(3, 10),
				 .proto = 17,
				 .ttl = 1,
				 .sport = 40000,
				 .dport = 33434,
				 .payload = (const uint8_t *)"traceroute",
				 .len = 10 };

	n->sites[1].tables = "[lndt]\n8000 = 172.16.1.10\n[gndt 8000]\nr2 = 172.16.3.10\n";
	n->sites[2].tables = "[lndt]\n9 = 10.0.0.1\n"
			     "[gndt 8000]\nr1 = 172.16.1.10\nr3 = 172.16.3.10\n";
	n->sites[3].tables = "[lndt]\n8000 = 172.16.3.10\n[gndt 8000]\nr2 = 172.16.1.10\n";
	n->sites[1].peers = n->sites[3].peers = 1u << 2;
	n->sites[2].peer_lines = "transit = yes";
	n->sites[3].kernel_routes = false;
	sites_start(n, 3, 1);
	sites_wait_up(n);
	n->sites[1].sink = take_error;
	n->sites[1].sink_arg = &e;
	for (; h.ttl <= 2; h.ttl++) {
		host_send(&n->sites[1], &h);
		net_run(n, SEC);
		assert_int_equal(e.n, h.ttl);
		assert_true(ip_equal(&e.src, &(struct ip){ 4, { 172, 16, h.ttl + 1, 1 } }));
	}
	/* an error about a packet that can't have gone there is a forgery */
	h = (struct host_packet){
		.src = host4(3, 10),
		.dst = host4(1, 10),
		.proto = 1,
		.type = 3,
		.payload = (const uint8_t *)"\0\0\0\0\x45\0\0\x1c\0\0\0\0\x40\x11\0\0"
					    "\x0a\x09\x09\x09\xac\x10\x03\x0a"
					    "\0\1\0\1\0\x08\0\0",
		.len = 32
	};
	host_send(&n->sites[3], &h);
	net_run(n, SEC);
	assert_int_equal(e.n, 3); /* its source is a member: an error as any other */
	h.src = ip_of("172.16.3.99");
	host_send(&n->sites[3], &h);
	net_run(n, SEC);
	assert_int_equal(e.n, 3);
}

/* ---- tables that are wrong ------------------------------------------------------- */

static void ambiguous(void **state)
{
	struct net *n = *state;
	struct site *s = &n->sites[1];
	char text[4096] = "";
	FILE *errors = fmemopen(text, sizeof(text) - 1, "w");

	assert_non_null(errors);
	s->peers = 1u << 2 | 1u << 3;
	s->tables = "[lndt]\n1 = 172.16.1.10\n2 = 172.16.1.0/24\n"
		    "[gndt 1]\nr2 = 172.20.0.0/16\n[gndt 2]\nr3 = 172.20.0.0/16\n";
	{
		struct config *c = site_config(s, errors);
		struct loop *loop = loop_new();
		struct router *r = c ? router_new(c, 1, loop, n->now, errors) : NULL;

		assert_null(r);
		loop_free(loop);
	}
	fclose(errors);
	/* both lines are named */
	assert_non_null(strstr(text, "r1:"));
	assert_non_null(strstr(text, "172.20.0.0/16"));
	assert_non_null(strstr(text, "the other one: r1:"));
	/* the same prefix in two networks without a common member is no matter */
	s->tables = "[lndt]\n1 = 172.16.1.10\n2 = 172.16.1.11\n"
		    "[gndt 1]\nr2 = 172.20.0.0/16\n[gndt 2]\nr3 = 172.20.0.0/16\n";
	site_start(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(overlap),
		net_test(neighbours_in_a_batch),
		net_test(refused_at_home),
		net_test(forged_behind_a_known_router),
		net_test(transit),
		net_test(no_transit),
		net_test(loop),
		net_test(circle),
		net_test(ttl_exceeded),
		net_test(errors_cross_transit),
		net_test(errors_from_unlisted_addresses),
		net_test(ambiguous),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
