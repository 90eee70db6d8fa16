/* links: router/nfq router/host router/host_routes router/host_rules
 * router/host_ingress router/host_interfaces router/host_nft router/netlink
 * router/tun router/offload common/addr common/inet common/inet_check common/packet */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/host.h"
#include "router/nfq.h"
#include "router/tun.h"
#include "tests/unit/gateway.h"

#define LOCAL4 "172.16.0.1"
#define LOCAL6 "fd00:76:0:1::1"
#define FAR4 "172.16.10.5"
#define FAR6 "fd00:76:0:10::5"

/* A gateway whose queues take what would leave by its device. */
struct gateway {
	struct tun *tun;
	struct host *host;
	struct intercept *queues[4];
	unsigned n;
	struct pool *pool;
	struct counters counters;
	int fd4, fd6;
};

static void gateway_open(struct gateway *g, unsigned queues, size_t packets)
{
	struct prefix networks[] = { prefix_of("172.16.0.0/12"), prefix_of("fd00:76::/32") };
	struct host_setup setup = { .device = DEVICE,
				    .mtu = 1400,
				    .networks = networks,
				    .n_networks = 2,
				    .address4 = ip_of(LOCAL4),
				    .address6 = ip_of(LOCAL6) };
	const char *what = "";
	int e;

	memset(g, 0, sizeof(*g));
	add_address(LOCAL4);
	add_address(LOCAL6);
	g->pool = pool_new(packets);
	g->tun = tun_open(DEVICE, false);
	g->host = host_open();
	assert_non_null(g->pool);
	assert_non_null(g->tun);
	assert_non_null(g->host);
	assert_int_equal(host_apply(g->host, &setup, &what), 0);
	for (g->n = 0; g->n < queues; g->n++) {
		g->queues[g->n] = nfqueue_open((uint16_t)(5 + g->n));
		if (!g->queues[g->n])
			fail_msg("queue: %s", strerror(errno));
	}
	e = host_rules_set(g->host, DEVICE, true, 5, (uint16_t)queues, &what);
	if (e)
		fail_msg("%s: %s", what, strerror(-e));
	g->fd4 = udp_at(LOCAL4, PORT);
	g->fd6 = udp_at(LOCAL6, PORT);
}

static void gateway_close(struct gateway *g)
{
	assert_int_equal(pool_left(g->pool), pool_size(g->pool));
	host_rules_remove(g->host);
	for (unsigned i = 0; i < g->n; i++)
		g->queues[i]->ops->close(g->queues[i]);
	g->tun->intercept.ops->close(&g->tun->intercept);
	host_close(g->host);
	pool_free(g->pool);
	close(g->fd4);
	close(g->fd6);
}

/* What has arrived, without the kernel's own multicast listener reports (IPv6 with
 * hop-by-hop options), which come when they like. */
static int receive(struct gateway *g, unsigned queue, struct batch *b)
{
	const unsigned before = b->n;
	unsigned kept;
	int n;

	do {
		n = g->queues[queue]->ops->recv(g->queues[queue], b, g->pool, &g->counters);
		kept = before;
		for (unsigned i = before; i < b->n; i++) {
			if (b->p[i]->data[0] >> 4 == 6 && b->p[i]->data[6] == 0)
				pool_put(g->pool, b->p[i]);
			else
				b->p[kept++] = b->p[i];
		}
		b->n = kept;
	} while (n > 0 && kept == before);
	return n < 0 ? n : (int)(kept - before);
}

/* Takes what the kernel itself has to say off the device, then: is it empty? */
static bool device_has(struct gateway *g, const char *from, const char *to, const char *text)
{
	struct intercept *in = &g->tun->intercept;
	struct batch b = { .n = 0 };
	bool found = false;

	while (in->ops->recv(in, &b, g->pool, &g->counters) > 0) {
		for (unsigned i = 0; i < b.n; i++)
			found |= is_udp(b.p[i], from, to, text, strlen(text));
		give_up(g->pool, &b);
	}
	return found;
}

static void test_packets_are_taken(void **state)
{
	struct batch b = { .n = 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1, 64);
	while (receive(&g, 0, &b) > 0) /* of the kernel's own */
		give_up(g.pool, &b);
	assert_true(udp_send(g.fd4, FAR4, "four", 4));
	assert_true(udp_send(g.fd6, FAR6, "sixsix", 6));
	assert_true(readable(g.queues[0]->fd));
	assert_int_equal(receive(&g, 0, &b), 2);
	assert_true(is_udp(b.p[0], LOCAL4, FAR4, "four", 4));
	assert_true(is_udp(b.p[1], LOCAL6, FAR6, "sixsix", 6));
	give_up(g.pool, &b);
	assert_int_equal(receive(&g, 0, &b), 0);

	/* They did not go the other way as well, and the kernel holds none back. */
	assert_false(device_has(&g, LOCAL4, FAR4, "four"));
	assert_false(device_has(&g, LOCAL6, FAR6, "sixsix"));
	assert_non_null(strstr(shell("awk '$1 == 5 { print \"waiting\", $3, \"dropped\", $6, $7 }' "
				     "/proc/net/netfilter/nfnetlink_queue"),
			       "waiting 0 dropped 0 0"));
	for (unsigned d = 0; d < DROPS; d++)
		assert_int_equal(counter_read(&g.counters.drops[d]), 0);
	gateway_close(&g);
}

/* Not the machine's own alone: these come in by another device. */
static void test_forwarded_packets(void **state)
{
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct gateway g;
	struct tun *lan;
	char payload[9];

	NEED_NETNS(state);
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	gateway_open(&g, 1, 64);
	lan = tun_open("lan0", false);
	assert_non_null(lan);
	run("ip link set lan0 addrgenmode none up && ip route add 172.16.0.0/24 dev lan0 && "
	    "ip route add fd00:76:0:1::/64 dev lan0");
	while (receive(&g, 0, &b) > 0)
		give_up(g.pool, &b);
	batch_add(&b, udp_packet(g.pool, "172.16.0.20", FAR4, 9, 'a'));
	batch_add(&b, udp_packet(g.pool, "fd00:76:0:1::20", FAR6, 9, 'a'));
	lan->inject.ops->send(&lan->inject, &b, g.pool, &c);
	assert_true(readable(g.queues[0]->fd));
	assert_int_equal(receive(&g, 0, &b), 2);
	memset(payload, 'a', sizeof(payload));
	assert_true(is_udp(b.p[0], "172.16.0.20", FAR4, payload, 9));
	assert_true(is_udp(b.p[1], "fd00:76:0:1::20", FAR6, payload, 9));
	assert_int_equal(b.p[0]->data[8], 60); /* TTL: the kernel has routed it */
	assert_int_equal(b.p[1]->data[7], 60);
	give_up(g.pool, &b);
	lan->intercept.ops->close(&lan->intercept);
	gateway_close(&g);
}

static void test_batch_and_pool_bounds(void **state)
{
	struct batch b = { .n = 0 }, fresh = { .n = 0 };
	unsigned all;
	struct gateway g;
	int n;

	NEED_NETNS(state);
	gateway_open(&g, 1, BATCH_MAX + 2);
	while (receive(&g, 0, &b) > 0)
		give_up(g.pool, &b);
	/* One has room left in the batch: the others wait, none is lost. */
	for (unsigned i = 0; i < BATCH_MAX + 10; i++)
		assert_true(udp_send(g.fd4, FAR4, &(char){ (char)i }, 1));
	while (b.n < BATCH_MAX - 1)
		batch_add(&b, pool_get(g.pool));
	assert_int_equal(receive(&g, 0, &b), 1);
	assert_true(is_udp(b.p[BATCH_MAX - 1], LOCAL4, FAR4, &(char){ 0 }, 1));
	give_up(g.pool, &b);
	for (all = 1; (n = receive(&g, 0, &b)) > 0; all += (unsigned)n) {
		for (unsigned i = 0; i < b.n; i++)
			assert_true(is_udp(b.p[i], LOCAL4, FAR4, &(char){ (char)(all + i) }, 1));
		give_up(g.pool, &b);
	}
	assert_int_equal(all, BATCH_MAX + 10);

	/* An empty pool: taken, counted. */
	while (pool_left(g.pool) > 3)
		batch_add(&b, pool_get(g.pool));
	for (unsigned i = 0; i < 4; i++)
		assert_true(udp_send(g.fd4, FAR4, "x", 1));
	assert_int_equal(receive(&g, 0, &fresh), 3);
	give_up(g.pool, &fresh);
	assert_int_equal(counter_read(&g.counters.drops[DROP_NO_BUFFER]), 1);
	give_up(g.pool, &b);
	assert_non_null(strstr(shell("awk '$1 == 5 { print \"waiting\", $3 }' "
				     "/proc/net/netfilter/nfnetlink_queue"),
			       "waiting 0\n"));
	gateway_close(&g);
}

/* Rules away, queue drained: what was in it is not lost, what comes later goes to
 * the device. */
static void test_closing_without_loss(void **state)
{
	struct batch b = { .n = 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1, 64);
	while (receive(&g, 0, &b) > 0)
		give_up(g.pool, &b);
	for (unsigned i = 0; i < 40; i++)
		assert_true(udp_send(g.fd4, FAR4, "before", 6));
	assert_int_equal(host_rules_remove(g.host), 0);
	assert_true(udp_send(g.fd4, FAR4, "after", 5));
	assert_int_equal(receive(&g, 0, &b), 40);
	assert_true(is_udp(b.p[39], LOCAL4, FAR4, "before", 6));
	give_up(g.pool, &b);
	assert_int_equal(receive(&g, 0, &b), 0);
	assert_true(device_has(&g, LOCAL4, FAR4, "after"));
	gateway_close(&g);
}

static void test_balance(void **state)
{
	unsigned got[2] = { 0, 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 2, 64);
	for (unsigned i = 1; i <= 32; i++) {
		char to[IP_TEXT];

		snprintf(to, sizeof(to), "172.16.10.%u", i);
		assert_true(udp_send(g.fd4, to, "balance", 7));
	}
	for (unsigned q = 0; q < 2; q++) {
		struct batch b = { .n = 0 };

		assert_true(receive(&g, q, &b) > 0);
		for (unsigned i = 0; i < b.n; i++)
			got[q] += b.p[i]->data[0] >> 4 == 4;
		give_up(g.pool, &b);
	}
	assert_int_equal(got[0] + got[1], 32);
	assert_true(got[0] > 0 && got[1] > 0);
	gateway_close(&g);
}

static void test_number_in_use(void **state)
{
	struct intercept *a, *b;

	NEED_NETNS(state);
	a = nfqueue_open(9);
	assert_non_null(a);
	b = nfqueue_open(9);
	assert_null(b);
	assert_int_equal(errno, EPERM);
	a->ops->close(a);
	a = nfqueue_open(9);
	assert_non_null(a);
	a->ops->close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_packets_are_taken, enter_netns),
		cmocka_unit_test_setup(test_forwarded_packets, enter_netns),
		cmocka_unit_test_setup(test_batch_and_pool_bounds, enter_netns),
		cmocka_unit_test_setup(test_closing_without_loss, enter_netns),
		cmocka_unit_test_setup(test_balance, enter_netns),
		cmocka_unit_test_setup(test_number_in_use, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("nfq", tests, NULL, NULL);
}
