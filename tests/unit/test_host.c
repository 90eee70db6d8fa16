/* links: router/host router/host_routes router/host_rules router/host_diagnose
 * router/host_ingress router/host_interfaces router/host_nft
 * router/netlink router/tun router/offload common/addr common/inet common/inet_check
 * common/packet */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <libmnl/libmnl.h>

#include "router/host.h"
#include "router/tun.h"
#include "tests/unit/netns.h"

#define DEVICE "vinetest0"
#define ROUTES "ip -4 route show table main; ip -6 route show table main"

struct site {
	struct prefix networks[8];
	struct host_setup setup;
	struct host *host;
	struct tun *tun;
	const char *what;
};

static void set_networks(struct site *s, const char *const *texts)
{
	s->setup.n_networks = 0;
	for (; *texts; texts++)
		s->networks[s->setup.n_networks++] = prefix_of(*texts);
	s->setup.networks = s->networks;
}

static void site_open(struct site *s)
{
	static const char *const networks[] = { "172.16.0.0/12", "fd00:76::/32", NULL };

	*s = (struct site){ .what = "" };
	s->setup = (struct host_setup){ .device = DEVICE, .mtu = 1400, .fail = FAIL_CLOSED };
	set_networks(s, networks);
	s->tun = tun_open(DEVICE, false);
	assert_non_null(s->tun);
	s->host = host_open();
	assert_non_null(s->host);
}

static void site_apply(struct site *s)
{
	int e = host_apply(s->host, &s->setup, &s->what);

	if (e)
		fail_msg("%s: %s", s->what, strerror(-e));
}

static void site_close(struct site *s)
{
	if (s->tun)
		s->tun->intercept.ops->close(&s->tun->intercept);
	host_close(s->host);
}

/* `ip` pads its lines with blanks: they are taken off. */
static void assert_routes(const char *expected)
{
	assert_string_equal(shell("{ " ROUTES
				  "; } | sed 's/ *$//; s/ linkdown//; s/ pref medium//'"),
			    expected);
}

static void test_routes_come_and_go(void **state)
{
	struct site s;
	char *before, *after;

	NEED_NETNS(state);
	add_address("172.16.0.1");
	add_address("fd00:76:0:1::1");
	before = everything();
	site_open(&s);
	s.setup.address4 = ip_of("172.16.0.1");
	s.setup.address6 = ip_of("fd00:76:0:1::1");
	site_apply(&s);
	assert_routes("172.16.0.0/12 dev " DEVICE " proto 118 scope link src 172.16.0.1\n"
		      "unreachable 172.16.0.0/12 proto 118 metric 4096\n"
		      "fd00:76:0:1::1 dev lo proto kernel metric 256\n"
		      "fd00:76::/32 dev " DEVICE " proto 118 src fd00:76:0:1::1 metric 1024\n"
		      "unreachable fd00:76::/32 dev lo proto 118 metric 4096\n");
	/* The device has no address of the kernel's making. */
	assert_string_equal(shell("ip -o address show dev " DEVICE), "");

	/* Without the device the prefixes are unreachable, not routed elsewhere. */
	s.tun->intercept.ops->close(&s.tun->intercept);
	s.tun = NULL;
	assert_routes("unreachable 172.16.0.0/12 proto 118 metric 4096\n"
		      "fd00:76:0:1::1 dev lo proto kernel metric 256\n"
		      "unreachable fd00:76::/32 dev lo proto 118 metric 4096\n");
	site_close(&s);
	after = everything();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_addresses_not_ours(void **state)
{
	struct site s;

	NEED_NETNS(state);
	site_open(&s);
	s.setup.address4 = ip_of("172.16.0.1");
	s.setup.address6 = ip_of("fd00:76:0:1::1");
	s.setup.fail = FAIL_OPEN;
	site_apply(&s);
	assert_routes("172.16.0.0/12 dev " DEVICE " proto 118 scope link\n"
		      "fd00:76::/32 dev " DEVICE " proto 118 metric 1024\n");
	/* The addresses come later. */
	add_address("172.16.0.1");
	add_address("fd00:76:0:1::1");
	site_apply(&s);
	assert_routes("172.16.0.0/12 dev " DEVICE " proto 118 scope link src 172.16.0.1\n"
		      "fd00:76:0:1::1 dev lo proto kernel metric 256\n"
		      "fd00:76::/32 dev " DEVICE " proto 118 src fd00:76:0:1::1 metric 1024\n");
	site_close(&s);
}

/* ---- changes --------------------------------------------------------------------- */

static struct mnl_socket *watch_routes(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_NONBLOCK);

	assert_non_null(nl);
	assert_int_equal(mnl_socket_bind(nl, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE, 0), 0);
	return nl;
}

/* '+' and '-' in the order of what happened to routes. */
static void events(struct mnl_socket *nl, char *ret, size_t room)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	ssize_t n;
	size_t k = 0;

	while ((n = mnl_socket_recvfrom(nl, buf, sizeof(buf))) > 0) {
		const struct nlmsghdr *h = (struct nlmsghdr *)buf;

		assert_true(k + 1 < room);
		ret[k++] = h->nlmsg_type == RTM_NEWROUTE ? '+' : '-';
	}
	ret[k] = '\0';
}

static void test_change_without_gap(void **state)
{
	static const char *const networks[] = { "172.16.0.0/12", "10.9.0.0/16", NULL };
	struct mnl_socket *nl;
	struct site s;
	char log[64];

	NEED_NETNS(state);
	site_open(&s);
	site_apply(&s);
	nl = watch_routes();
	site_apply(&s);
	events(nl, log, sizeof(log));
	assert_string_equal(log, ""); /* nothing to change */

	set_networks(&s, networks);
	site_apply(&s);
	events(nl, log, sizeof(log));
	assert_string_equal(log, "++--");
	assert_routes("10.9.0.0/16 dev " DEVICE " proto 118 scope link\n"
		      "unreachable 10.9.0.0/16 proto 118 metric 4096\n"
		      "172.16.0.0/12 dev " DEVICE " proto 118 scope link\n"
		      "unreachable 172.16.0.0/12 proto 118 metric 4096\n");

	/* A source is put into the route, not taken out and back. */
	run("ip address add 172.16.0.1/32 dev lo");
	events(nl, log, sizeof(log));
	s.setup.address4 = ip_of("172.16.0.1");
	site_apply(&s);
	events(nl, log, sizeof(log));
	assert_string_equal(log, "++");

	s.setup.fail = FAIL_OPEN;
	site_apply(&s);
	assert_routes("10.9.0.0/16 dev " DEVICE " proto 118 scope link src 172.16.0.1\n"
		      "172.16.0.0/12 dev " DEVICE " proto 118 scope link src 172.16.0.1\n");
	mnl_socket_close(nl);
	site_close(&s);
	assert_routes("");
}

static void test_lost_routes_come_back(void **state)
{
	struct site s;

	NEED_NETNS(state);
	site_open(&s);
	site_apply(&s);
	run("ip link set " DEVICE " down");
	site_apply(&s);
	assert_routes("172.16.0.0/12 dev " DEVICE " proto 118 scope link\n"
		      "unreachable 172.16.0.0/12 proto 118 metric 4096\n"
		      "fd00:76::/32 dev " DEVICE " proto 118 metric 1024\n"
		      "unreachable fd00:76::/32 dev lo proto 118 metric 4096\n");
	site_close(&s);
}

static void test_mtu(void **state)
{
	struct site s;

	NEED_NETNS(state);
	site_open(&s);
	assert_int_equal(host_set_mtu(s.host, 1300), -ENODEV); /* none yet */
	site_apply(&s);
	assert_non_null(strstr(shell("ip -o link show " DEVICE), " mtu 1400 "));
	assert_int_equal(host_set_mtu(s.host, 1300), 0);
	assert_non_null(strstr(shell("ip -o link show " DEVICE), " mtu 1300 "));
	assert_int_equal(host_set_mtu(s.host, 10), -EINVAL);
	s.setup.device = "nosuch0";
	assert_int_equal(host_apply(s.host, &s.setup, &s.what), -ENODEV);
	assert_non_null(strstr(s.what, "device"));
	site_close(&s);
}

/* ---- what earlier runs and others have left ---------------------------------------- */

/* A router that is killed: what is left of it. */
static void run_and_die(bool rules)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct tun *t = tun_open(DEVICE, false);
		struct prefix p[] = { prefix_of("172.16.0.0/12"), prefix_of("fd00:76::/32") };
		struct host_setup setup = {
			.device = DEVICE, .mtu = 1400, .networks = p, .n_networks = 2
		};
		struct host *host = host_open();
		const char *what;

		if (!t || !host || host_apply(host, &setup, &what) ||
		    (rules && host_rules_set(host, DEVICE, false, 0, 1, &what)))
			_exit(1);
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_leftovers_are_taken_over(void **state)
{
	struct site s;

	NEED_NETNS(state);
	run("ip route add unreachable 10.1.0.0/16 proto 118 metric 4096");   /* another router's */
	run("ip route add unreachable 172.16.0.0/12 proto static metric 9"); /* the site's */
	run_and_die(false);
	assert_routes("unreachable 10.1.0.0/16 proto 118 metric 4096\n"
		      "unreachable 172.16.0.0/12 proto static metric 9\n"
		      "unreachable 172.16.0.0/12 proto 118 metric 4096\n"
		      "unreachable fd00:76::/32 dev lo proto 118 metric 4096\n");
	site_open(&s);
	site_apply(&s);
	site_close(&s);
	assert_routes("unreachable 10.1.0.0/16 proto 118 metric 4096\n"
		      "unreachable 172.16.0.0/12 proto static metric 9\n");
}

static void test_leftovers_and_fail_open(void **state)
{
	struct site s;

	NEED_NETNS(state);
	run_and_die(false);
	site_open(&s);
	s.setup.fail = FAIL_OPEN;
	site_apply(&s);
	assert_routes("172.16.0.0/12 dev " DEVICE " proto 118 scope link\n"
		      "fd00:76::/32 dev " DEVICE " proto 118 metric 1024\n");
	site_close(&s);
}

/* The site's own routes for a prefix stay, whatever their metric. */
static void test_own_links_stay(void **state)
{
	static const char *const networks[] = { "172.16.5.0/24", "10.7.0.0/16", NULL };
	const char *links = "10.7.0.0/16 via 172.16.5.9 dev lan0\n"
			    "172.16.5.0/24 dev lan0 proto kernel scope link src 172.16.5.1 "
			    "metric 100\n";
	struct site s;

	NEED_NETNS(state);
	run("ip tuntap add lan0 mode tun && ip link set lan0 addrgenmode none up && "
	    "ip address add 172.16.5.1/24 metric 100 dev lan0 && "
	    "ip route add 10.7.0.0/16 via 172.16.5.9");
	site_open(&s);
	set_networks(&s, networks);
	s.setup.fail = FAIL_OPEN;
	site_apply(&s);
	assert_routes(links);
	site_apply(&s);
	site_close(&s);
	assert_routes(links);
}

/* ---- addresses ---------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	struct lndt_row inside[] = { { .prefix = prefix_of("10.0.0.0/8") },
				     { .prefix = prefix_of("172.16.0.0/12") },
				     { .prefix = prefix_of("fd00:76::/32") } };
	struct lndt_row hosts[] = { { .prefix = prefix_of("10.9.9.9/32") },
				    { .prefix = prefix_of("172.16.3.20/32") } };
	struct ip ip, all[8], found = { .family = 0 };
	struct site s;
	size_t n;

	NEED_NETNS(state);
	site_open(&s);
	ip = ip_of("172.16.3.4");
	assert_false(host_has_address(s.host, &ip));
	assert_false(host_find_address(s.host, inside, 3, 4, &found));
	assert_int_equal(found.family, 0);
	run("ip address add 172.16.3.4/24 dev lo; ip address add fd00:76::7/64 dev lo nodad;"
	    "ip address add 192.0.2.1 peer 172.16.9.9 dev lo");
	assert_true(host_has_address(s.host, &ip));
	assert_true(host_find_address(s.host, inside, 3, 4, &found));
	assert_true(ip_equal(&found, &ip));
	assert_true(host_find_address(s.host, hosts, 2, 4, &found));
	assert_true(ip_equal(&found, &ip));
	assert_false(host_find_address(s.host, hosts, 1, 4, &found));
	ip = ip_of("fd00:76::7");
	assert_true(host_has_address(s.host, &ip));
	assert_true(host_find_address(s.host, inside, 3, 6, &found));
	assert_true(ip_equal(&found, &ip));
	ip = ip_of("172.16.9.9"); /* the other end's */
	assert_false(host_has_address(s.host, &ip));

	n = host_addresses(s.host, all, 8);
	assert_int_equal(n, 5); /* with 127.0.0.1 and ::1 */
	for (size_t i = 1; i < n; i++)
		assert_true(memcmp(&all[i - 1], &all[i], sizeof(all[0])) < 0);
	memset(&all[2], 0xee, sizeof(all[2]));
	assert_int_equal(host_addresses(s.host, all, 2), 2);
	assert_int_equal(all[2].family, 0xee);
	ip = ip_of("127.0.0.1");
	assert_true(ip_equal(&all[0], &ip));
	site_close(&s);
}

/* ---- rules --------------------------------------------------------------------------- */

static void add_rules(struct site *s, uint16_t first, uint16_t n)
{
	int e = host_rules_set(s->host, DEVICE, false, first, n, &s->what);

	if (e)
		fail_msg("%s: %s", s->what, strerror(-e));
}

static void test_rules_come_and_go(void **state)
{
	/* a part of TCP, the rest of it, a part of all else, what is left; for each chain */
	static const char *const rules[] = { "meta l4proto tcp symhash mod 2 0 queue num 7\n",
					     "meta l4proto tcp queue num 8\n",
					     "\" symhash mod 2 0 queue num 39\n",
					     "\" queue num 40\n" };
	struct site s;
	char *before, *text;

	NEED_NETNS(state);
	if (!has_command("nft"))
		skip();
	run("nft add table inet filter");
	site_open(&s);
	site_apply(&s);
	before = everything();
	add_rules(&s, 7, 2);
	text = strdup(shell("nft list ruleset 2>/dev/null"));
	assert_non_null(strstr(text, "table inet vine-" DEVICE " {"));
	assert_non_null(strstr(text, "hook forward priority"));
	assert_non_null(strstr(text, "hook output priority"));
	for (unsigned i = 0; i < 4; i++) {
		const char *found = strstr(text, rules[i]);

		assert_non_null(found);
		assert_non_null(strstr(found + 1, rules[i]));
	}
	assert_null(strstr(text, "bypass"));
	assert_null(strstr(text, "fanout"));
	free(text);
	add_rules(&s, 3, 1); /* instead */
	text = strdup(shell("nft list ruleset 2>/dev/null"));
	assert_null(strstr(text, "num 7"));
	assert_null(strstr(text, "symhash"));
	assert_non_null(strstr(text, "meta l4proto tcp queue num 3\n"));
	assert_non_null(strstr(text, "\" queue num 35\n"));
	free(text);
	add_rules(&s, 65440, 32); /* as many as there can be */
	assert_non_null(strstr(shell("nft list ruleset 2>/dev/null"), "num 65503\n"));
	assert_int_equal(host_rules_remove(s.host), 0);
	assert_int_equal(host_rules_remove(s.host), 0);
	text = everything();
	assert_string_equal(before, text);
	free(text);

	/* Closing takes them down as well, and so does dying. */
	add_rules(&s, 0, 1);
	site_close(&s);
	assert_null(strstr(shell("nft list ruleset 2>/dev/null"), "vine-"));
	run_and_die(true);
	assert_null(strstr(shell("nft list ruleset 2>/dev/null"), "vine-"));
	free(before);
}

/* What a kernel without table owners would leave. */
static void test_rules_leftover(void **state)
{
	struct site s;

	NEED_NETNS(state);
	if (!has_command("nft"))
		skip();
	run("nft 'add table inet vine-" DEVICE "; add chain inet vine-" DEVICE " leftover'");
	site_open(&s);
	site_apply(&s);
	add_rules(&s, 0, 1);
	assert_null(strstr(shell("nft list ruleset 2>/dev/null"), "leftover"));
	assert_int_equal(host_rules_set(s.host, DEVICE, false, 65441, 1, &s.what), -EINVAL);
	assert_int_equal(host_rules_set(s.host, DEVICE, false, 0, 33, &s.what), -EINVAL);
	assert_non_null(strstr(shell("nft list ruleset 2>/dev/null"), "vine-"));
	assert_int_equal(host_rules_set(s.host, DEVICE, true, 0, 0, &s.what), 0);
	assert_non_null(strstr(shell("nft list ruleset 2>/dev/null"), "fib saddr . iif"));
	assert_int_equal(host_rules_set(s.host, DEVICE, false, 0, 0, &s.what), 0);
	assert_null(strstr(shell("nft list ruleset 2>/dev/null"), "vine-"));
	site_close(&s);
}

/* ---- diagnosis ------------------------------------------------------------------------ */

struct lines {
	char text[4096];
	unsigned n;
};

static void on_line(void *arg, const char *line)
{
	struct lines *l = arg;

	assert_null(strchr(line, '\n'));
	snprintf(l->text + strlen(l->text), sizeof(l->text) - strlen(l->text), "%s\n", line);
	l->n++;
}

static void assert_lines(struct site *s, unsigned n, const char *needle)
{
	struct lines l = { .n = 0 };

	host_diagnose(s->host, &s->setup, on_line, &l);
	if (l.n != n || (needle && !strstr(l.text, needle)))
		fail_msg("expected %u lines, one with '%s', got:\n%s", n, needle ? needle : "",
			 l.text);
}

/* A gateway that is set up well: nothing to say. */
static void site_open_well(struct site *s)
{
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	site_open(s);
	site_apply(s);
	assert_lines(s, 0, NULL);
}

static void test_diagnose_sysctls(void **state)
{
	static const char *const v4[] = { "172.16.0.0/12", NULL };
	static const char *const v6[] = { "fd00:76::/32", NULL };
	struct site s;

	NEED_NETNS(state);
	site_open_well(&s);
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "0");
	assert_lines(&s, 1, "IPv4 forwarding is off");
	set_networks(&s, v6); /* IPv4 is not in use then */
	assert_lines(&s, 0, NULL);
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "0");
	assert_lines(&s, 1, "IPv6 forwarding is off");
	set_networks(&s, v4);
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	assert_lines(&s, 0, NULL);
	write_sysctl("/proc/sys/net/ipv4/conf/" DEVICE "/forwarding", "0");
	assert_lines(&s, 1, "net.ipv4.conf." DEVICE ".forwarding");
	write_sysctl("/proc/sys/net/ipv4/conf/" DEVICE "/forwarding", "1");
	write_sysctl("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
	assert_lines(&s, 1, "net.ipv4.conf.all.rp_filter");
	write_sysctl("/proc/sys/net/ipv4/conf/" DEVICE "/rp_filter", "2");
	assert_lines(&s, 0, NULL);
	site_close(&s);
}

static void test_diagnose_forward_policy(void **state)
{
	struct site s;

	NEED_NETNS(state);
	if (!has_command("iptables-nft") || !has_command("nft"))
		skip();
	site_open_well(&s);
	run("iptables-nft -P FORWARD DROP");
	assert_lines(&s, 1, "table ip filter, chain FORWARD has policy drop");
	run("iptables-nft -A FORWARD -o eth0 -j ACCEPT");
	assert_lines(&s, 1, "table ip filter, chain FORWARD has policy drop");
	run("iptables-nft -A FORWARD -o " DEVICE " -j ACCEPT");
	assert_lines(&s, 0, NULL);
	run("nft 'add table inet fw; add chain inet fw fwd_drop "
	    "{ type filter hook forward priority 0; policy drop; }'");
	assert_lines(&s, 1, "table inet fw, chain fwd_drop has policy drop");
	run("nft add rule inet fw fwd_drop accept");
	assert_lines(&s, 0, NULL);
	site_close(&s);
}

static void test_diagnose_masquerade(void **state)
{
	/* Rules that can't match our packets, and rules that can. */
	static const struct {
		const char *arguments;
		unsigned lines;
	} rules[] = {
		{ "-j MASQUERADE", 1 },
		{ "-o " DEVICE " -j MASQUERADE", 1 },
		{ "-o vine+ -j MASQUERADE", 1 },
		{ "! -o eth0 -j MASQUERADE", 1 },
		{ "-o eth0 -j MASQUERADE", 0 },
		{ "-o eth+ -j MASQUERADE", 0 },
		{ "! -o " DEVICE " -j MASQUERADE", 0 },
		{ "-s 172.16.0.0/24 -j MASQUERADE", 1 },
		{ "-s 172.16.128.0/17 -j SNAT --to-source 192.0.2.1", 1 },
		{ "-s 10.0.0.0/8 -j MASQUERADE", 0 },
		{ "-s 10.0.0.0/9 -j MASQUERADE", 0 },
		{ "-s 172.16.0.0/24 ! -d 172.16.0.0/12 -j MASQUERADE", 0 },
		{ "! -d 172.16.0.0/13 -j MASQUERADE", 1 },
		{ "-o " DEVICE " -j ACCEPT", 0 },
	};
	struct site s;

	NEED_NETNS(state);
	if (!has_command("iptables-nft"))
		skip();
	site_open_well(&s);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command), "iptables-nft -t nat -A POSTROUTING %s",
			 rules[i].arguments);
		run(command);
		assert_lines(&s, rules[i].lines,
			     rules[i].lines ? "table ip nat, chain POSTROUTING, rule handle"
					    : NULL);
		if (i + 1 < sizeof(rules) / sizeof(rules[0]))
			run("iptables-nft -t nat -F POSTROUTING");
	}
	/* The last one exempts our packets from what comes behind. */
	run("iptables-nft -t nat -A POSTROUTING -j MASQUERADE");
	assert_lines(&s, 0, NULL);
	site_close(&s);
}

static void test_diagnose_masquerade_nft(void **state)
{
	static const struct {
		const char *rule;
		unsigned lines;
	} rules[] = {
		{ "masquerade", 1 },
		{ "oif " DEVICE " masquerade", 1 },
		{ "oif lo masquerade", 0 },
		{ "oifname { \"eth0\", \"eth1\" } masquerade", 0 },
		{ "meta nfproto ipv4 ip saddr 172.16.0.0/16 snat ip to 192.0.2.1", 1 },
		{ "meta nfproto ipv4 ip saddr 10.0.0.0/9 masquerade", 0 },
		{ "ip6 saddr fd00:76:0:1::/64 masquerade", 1 },
		{ "ip6 saddr fd00:77::/32 masquerade", 0 },
		{ "meta mark 7 masquerade", 1 },
		{ "meta mark 7 accept", 0 },
	};
	struct site s;

	NEED_NETNS(state);
	if (!has_command("nft"))
		skip();
	site_open_well(&s);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		char command[256];

		run("nft 'add table inet t; add chain inet t post "
		    "{ type nat hook postrouting priority 100; }'");
		snprintf(command, sizeof(command), "nft 'add rule inet t post %s'", rules[i].rule);
		run(command);
		assert_lines(&s, rules[i].lines,
			     rules[i].lines ? "table inet t, chain post, rule handle" : NULL);
		run("nft delete table inet t");
	}
	site_close(&s);
}

static void test_diagnose_routes(void **state)
{
	struct site s;

	NEED_NETNS(state);
	run("ip tuntap add lan0 mode tun && ip link set lan0 addrgenmode none up");
	site_open_well(&s);
	run("ip route add 172.16.5.0/24 dev lan0"); /* more specific: the site's own */
	run("ip route add 172.16.0.0/12 dev lan0 metric 50");
	assert_lines(&s, 0, NULL);
	run("ip route add fd00:76::/32 dev lan0 metric 7");
	assert_lines(&s, 1,
		     "hides the overlay prefix fd00:76::/32 from " DEVICE ": dev lan0, metric 7");
	site_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_routes_come_and_go, enter_netns),
		cmocka_unit_test_setup(test_addresses_not_ours, enter_netns),
		cmocka_unit_test_setup(test_change_without_gap, enter_netns),
		cmocka_unit_test_setup(test_lost_routes_come_back, enter_netns),
		cmocka_unit_test_setup(test_mtu, enter_netns),
		cmocka_unit_test_setup(test_leftovers_are_taken_over, enter_netns),
		cmocka_unit_test_setup(test_leftovers_and_fail_open, enter_netns),
		cmocka_unit_test_setup(test_own_links_stay, enter_netns),
		cmocka_unit_test_setup(test_addresses, enter_netns),
		cmocka_unit_test_setup(test_rules_come_and_go, enter_netns),
		cmocka_unit_test_setup(test_rules_leftover, enter_netns),
		cmocka_unit_test_setup(test_diagnose_sysctls, enter_netns),
		cmocka_unit_test_setup(test_diagnose_forward_policy, enter_netns),
		cmocka_unit_test_setup(test_diagnose_masquerade, enter_netns),
		cmocka_unit_test_setup(test_diagnose_masquerade_nft, enter_netns),
		cmocka_unit_test_setup(test_diagnose_routes, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
