/* links: router/neighbours router/neighbours_parse router/adjacency router/netlink
 * common/addr common/clock common/log common/loop common/lpm common/lpm_change */
/*
 * What is published follows what `ip` sets up in a namespace of the test's own: two
 * Ethernet interfaces that are each other's end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <sys/socket.h>

#include "router/neighbours.h"
#include "tests/unit/netns.h"

#define HOST4 "172.16.1.10"
#define HOST6 "fd00:76:0:1::10"
#define MAC "04:00:00:00:00:0a"

struct world {
	struct loop *loop;
	struct neighbours *nb;
	struct adjacencies *image;
	unsigned published;
};

static void publish(void *arg, struct adjacencies *a)
{
	struct world *w = arg;

	adjacencies_free(w->image);
	w->image = a;
	w->published++;
}

static void open_world(struct world *w)
{
	struct lndt_row rows[] = { { .network = 1, .prefix = prefix_of("172.16.1.0/24") },
				   { .network = 2, .prefix = prefix_of("172.16.1.0/24") },
				   { .network = 1, .prefix = prefix_of("172.16.1.128/25") },
				   { .network = 1, .prefix = prefix_of("172.16.9.9/32") },
				   { .network = 1, .prefix = prefix_of("fd00:76:0:1::/64") } };

	memset(w, 0, sizeof(*w));
	run("ip link add d0 type veth peer name d1 && ip link set d0 addrgenmode none && "
	    "ip link set d1 addrgenmode none && "
	    "ip link set d0 address 02:00:00:00:00:01 up && ip link set d1 up && "
	    "ip addr add 172.16.1.1/24 dev d0 && ip addr add fd00:76:0:1::1/64 dev d0 nodad");
	w->loop = loop_new();
	assert_non_null(w->loop);
	w->nb = neighbours_open(w->loop, publish, w);
	assert_non_null(w->nb);
	assert_int_equal(
		neighbours_set_site(w->nb, rows, sizeof(rows) / sizeof(rows[0]), clock_now()), 0);
	assert_int_equal(w->published, 1);
	assert_non_null(w->image);
}

static void close_world(struct world *w)
{
	neighbours_close(w->nb);
	loop_free(w->loop);
	adjacencies_free(w->image);
}

static struct adjacency *find(const struct world *w, const char *text)
{
	struct ip ip = ip_of(text);

	return adjacency_lookup(w->image, &ip);
}

/* Whether the host is reached by a next hop with a MAC address that ends so; 0: only an
 * interface is known; -1: the kernel's to know. */
static bool is_at(const struct world *w, const char *host, int last)
{
	struct adjacency *a = find(w, host);

	if (!a || last < 0)
		return !a && last < 0;
	return last ? a->next_hop.family && a->mac[5] == last : !a->next_hop.family;
}

static void becomes(struct world *w, const char *host, int last)
{
	mono_t end = mono_add(clock_now(), 10 * SEC);

	while (!is_at(w, host, last) && mono_before(clock_now(), end))
		loop_turn(w->loop, SEC);
	if (!is_at(w, host, last))
		fail_msg("%s is not at %d", host, last);
}

static void test_neighbours_come_and_go(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	assert_true(is_at(&w, HOST4, 0) && is_at(&w, HOST6, 0));
	assert_true(is_at(&w, "172.16.1.1", -1) && is_at(&w, "172.16.1.255", -1));
	assert_true(is_at(&w, "172.16.2.1", -1));
	assert_int_equal(find(&w, HOST4)->mtu, 1500);
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud stale");
	becomes(&w, HOST4, 10);
	assert_memory_equal(find(&w, HOST4)->link.mac, "\2\0\0\0\0\1", 6);
	assert_false(find(&w, HOST4)->fixed);
	run("ip neigh add " HOST6 " lladdr " MAC " dev d0 nud permanent");
	becomes(&w, HOST6, 10);
	assert_true(find(&w, HOST6)->fixed);
	run("ip neigh replace " HOST4 " lladdr 04:00:00:00:00:0b dev d0 nud reachable");
	becomes(&w, HOST4, 11);
	run("ip neigh change " HOST4 " dev d0 nud failed");
	becomes(&w, HOST4, 0);
	run("ip neigh add 172.16.1.11 lladdr " MAC " dev d0 nud reachable && ip neigh add "
	    "172.16.1.9 lladdr " MAC " dev d0 nud reachable");
	becomes(&w, "172.16.1.9", 10);
	becomes(&w, "172.16.1.11", 10);
	run("ip neigh del " HOST6 " dev d0");
	becomes(&w, HOST6, 0);
	run("ip neigh change 172.16.1.9 lladdr " MAC " dev d0 nud noarp");
	becomes(&w, "172.16.1.9", 0);
	assert_true(is_at(&w, "172.16.1.11", 10));
	close_world(&w);
}

/* What changes nothing for packets is not published. */
static void test_states(void **state)
{
	struct world w;
	unsigned n;

	NEED_NETNS(state);
	open_world(&w);
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud stale");
	becomes(&w, HOST4, 10);
	n = w.published;
	run("ip neigh change " HOST4 " lladdr " MAC " dev d0 nud reachable && "
	    "ip route add 192.0.2.0/24 dev d0 && ip addr add 192.0.2.1/32 dev d1 && "
	    "ip neigh add 172.16.1.77 lladdr " MAC " dev d0 nud stale");
	becomes(&w, "172.16.1.77", 10);
	assert_int_equal(w.published, n + 1);
	close_world(&w);
}

static void test_routes(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	run("ip neigh add 172.16.1.20 lladdr " MAC " dev d0 nud stale");
	becomes(&w, "172.16.1.20", 10);
	run("ip route add 172.16.8.0/21 via 172.16.1.20");
	becomes(&w, "172.16.9.9", 10);
	run("ip route add 172.16.9.9 via 172.16.1.20 mtu 1400 metric 1");
	while (find(&w, "172.16.9.9")->mtu != 1400)
		loop_turn(w.loop, SEC);
	run("ip route add blackhole 172.16.9.9");
	becomes(&w, "172.16.9.9", -1);
	run("ip route del blackhole 172.16.9.9");
	becomes(&w, "172.16.9.9", 10);
	run("ip route replace 172.16.9.9 metric 1 nexthop via 172.16.1.20 nexthop via "
	    "172.16.1.21");
	becomes(&w, "172.16.9.9", -1);
	run("ip route del 172.16.9.9 && ip route del 172.16.8.0/21 && ip route add "
	    "172.16.8.0/21 dev d0 proto static");
	becomes(&w, "172.16.9.9", 0);
	run("ip addr del 172.16.1.1/24 dev d0");
	becomes(&w, HOST4, -1);
	run("ip route add 172.16.0.0/12 dev lo");
	becomes(&w, HOST4, -1);
	close_world(&w);
}

/* Rules of the site's own are nothing that the main table tells of. */
static void test_rules(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud stale");
	becomes(&w, HOST4, 10);
	run("ip rule add fwmark 7 lookup 100");
	becomes(&w, HOST4, -1);
	assert_true(is_at(&w, HOST6, 0));
	run("ip rule del fwmark 7");
	becomes(&w, HOST4, 10);
	run("ip -6 rule add to fd00::/8 lookup main");
	becomes(&w, HOST6, -1);
	run("ip -6 rule del to fd00::/8 lookup main");
	becomes(&w, HOST6, 0);
	close_world(&w);
}

static void test_links(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud permanent");
	becomes(&w, HOST4, 10);
	run("ip link set d0 address 02:00:00:00:00:02");
	while (find(&w, HOST4)->link.mac[5] != 2)
		loop_turn(w.loop, SEC);
	becomes(&w, HOST4, 0); /* the kernel has forgotten them all */
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud permanent");
	becomes(&w, HOST4, 10);
	run("ip link set d0 mtu 1400");
	while (find(&w, HOST4)->mtu != 1400)
		loop_turn(w.loop, SEC);
	run("ip link set d1 down"); /* no carrier */
	becomes(&w, HOST4, -1);
	run("ip link set d1 up");
	becomes(&w, HOST4, 10);
	if (has_command("ethtool")) {
		assert_true(find(&w, HOST4)->link.tcp);
		run("ethtool -K d0 tx-tcp6-segmentation off");
		while (find(&w, HOST4)->link.tcp)
			loop_turn(w.loop, SEC);
		run("ethtool -K d0 tx-tcp6-segmentation on tx-udp-segmentation off");
		while (!find(&w, HOST4)->link.tcp || find(&w, HOST4)->link.udp)
			loop_turn(w.loop, SEC);
	}
	run("ip link set d0 down");
	becomes(&w, HOST4, -1);
	run("ip link del d0");
	becomes(&w, HOST4, -1);
	close_world(&w);
}

/* One that is in use and does not answer is given up, though nobody sends to it through
 * the kernel; one that is not in use stays, and so does one that was fixed. */
static void test_probes(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	write_sysctl("/proc/sys/net/ipv4/neigh/d0/ucast_solicit", "1");
	write_sysctl("/proc/sys/net/ipv4/neigh/d0/retrans_time_ms", "20");
	write_sysctl("/proc/sys/net/ipv6/neigh/d0/ucast_solicit", "1");
	write_sysctl("/proc/sys/net/ipv6/neigh/d0/retrans_time_ms", "20");
	run("ip neigh add " HOST4 " lladdr " MAC " dev d0 nud reachable && "
	    "ip neigh add " HOST6 " lladdr " MAC " dev d0 nud reachable && "
	    "ip neigh add 172.16.1.11 lladdr " MAC " dev d0 nud stale && "
	    "ip neigh add 172.16.1.12 lladdr " MAC " dev d0 nud permanent");
	becomes(&w, HOST4, 10);
	becomes(&w, "172.16.1.12", 10);
	atomic_store(&find(&w, HOST6)->used, true);
	becomes(&w, HOST6, 0);
	assert_true(is_at(&w, HOST4, 10));
	atomic_store(&find(&w, "172.16.1.12")->used, true);
	atomic_store(&find(&w, HOST4)->used, true);
	becomes(&w, HOST4, 0);
	assert_true(is_at(&w, "172.16.1.11", 10));
	assert_true(is_at(&w, "172.16.1.12", 10));
	assert_non_null(strstr(shell("ip neigh show 172.16.1.12"), "PERMANENT"));
	close_world(&w);
}

/* More news at once than the socket holds: all is read anew. */
static void test_flood(void **state)
{
	struct world w;

	NEED_NETNS(state);
	open_world(&w);
	run("for i in $(seq 1 3000); do printf 'neigh add fd00:76:0:1::1:%x lladdr " MAC
	    " dev d0 nud permanent\\n' $i; done | ip -b - && "
	    "ip neigh add " HOST4 " lladdr " MAC " dev d0 nud stale");
	becomes(&w, HOST4, 10);
	becomes(&w, "fd00:76:0:1::1:bb8", 10);
	assert_int_equal(adjacencies_count(w.image), 3001);
	run("ip neigh flush nud permanent dev d0 > /dev/null");
	becomes(&w, "fd00:76:0:1::1:bb8", 0);
	becomes(&w, "fd00:76:0:1::1:1", 0);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_neighbours_come_and_go, enter_netns),
		cmocka_unit_test_setup(test_states, enter_netns),
		cmocka_unit_test_setup(test_routes, enter_netns),
		cmocka_unit_test_setup(test_rules, enter_netns),
		cmocka_unit_test_setup(test_links, enter_netns),
		cmocka_unit_test_setup(test_probes, enter_netns),
		cmocka_unit_test_setup(test_flood, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("neighbours", tests, NULL, NULL);
}
