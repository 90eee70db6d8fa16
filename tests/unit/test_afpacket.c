/* links: router/afpacket router/host router/host_routes router/host_rules
 * router/host_ingress router/host_interfaces router/host_nft router/netlink router/tun
 * router/offload common/addr common/inet common/inet_check common/packet */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "router/afpacket.h"
#include "router/host.h"
#include "router/tun.h"
#include "tests/unit/gateway.h"

#define HOST4 "172.16.0.20"
#define HOST6 "fd00:76:0:1::20"
#define FAR4 "172.16.10.5"
#define FAR6 "fd00:76:0:10::5"
#define FRAMES 2048 /* of a ring */
#define ROUND 32    /* frames that the test sends at once */

/* A gateway with a LAN: lan0, whose other end plays the hosts. A rule there gives the
 * overlay's packets to the rings of two workers at most. */
struct gateway {
	struct tun *tun;
	struct host *host;
	struct intercept *rings[2][2]; /* by family, worker */
	unsigned workers;
	struct host_interfaces from;
	struct pool *pool, *sending;
	struct counters counters;
	unsigned by_device; /* UDP packets that came there */
	uint8_t mac[6];
	int wire;
};

static const struct lndt_row lndt[] = {
	{ .network = 1, .prefix = { .ip = { 4, { 172, 16, 0, 0 } }, .len = 24 } },
	{ .network = 1, .prefix = { .ip = { 6, { 0xfd, 0, 0, 0x76, 0, 0, 0, 1 } }, .len = 64 } },
};

static void read_mac(const char *device, uint8_t mac[6])
{
	unsigned b[6];

	assert_int_equal(sscanf(shell("cat /sys/class/net/%s/address 2>/dev/null || ip -o link "
				      "show dev %s | sed 's/.*ether //'",
				      device, device),
				"%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]),
			 6);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
}

static int wire_open(const char *device)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex(device) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void find_from(struct gateway *g, char *const *names, size_t n, char *why, size_t room)
{
	host_find_interfaces(g->host, names, n, lndt, 2, DEVICE, &g->from, why, room);
}

static void take_from(struct gateway *g)
{
	const char *what = "";
	int e = host_ingress_set(g->host, DEVICE, true, &g->from, &what);

	if (e)
		fail_msg("%s: %s", what, strerror(-e));
}

static void open_ring(struct gateway *g, unsigned f, unsigned i)
{
	struct intercept **of = g->rings[f];

	of[i] = afpacket_open(f ? 6 : 4, host_ingress_mark(DEVICE), i ? of[0] : NULL);
	assert_non_null(of[i]);
	if (!i)
		assert_int_equal(afpacket_share(of[0], g->workers), 0);
}

static void gateway_open(struct gateway *g, unsigned workers)
{
	struct prefix networks[] = { prefix_of("172.16.0.0/12"), prefix_of("fd00:76::/32") };
	struct host_setup setup = {
		.device = DEVICE, .mtu = 1400, .networks = networks, .n_networks = 2
	};
	const char *what = "";
	char why[256];

	memset(g, 0, sizeof(*g));
	g->workers = workers;
	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	run("ip link add lan0 mtu 9000 type veth peer name lan1 mtu 9000 && "
	    "ip link set lan0 addrgenmode none up && ip link set lan1 addrgenmode none up && "
	    "ip addr add 172.16.0.1/24 dev lan0 && ip addr add fd00:76:0:1::1/64 dev lan0 nodad");
	read_mac("lan0", g->mac);
	g->wire = wire_open("lan1");
	g->pool = pool_new(4 * BATCH_MAX);
	g->sending = pool_new(4);
	g->tun = tun_open(DEVICE, false);
	g->host = host_open();
	assert_non_null(g->pool);
	assert_non_null(g->sending);
	assert_non_null(g->tun);
	assert_non_null(g->host);
	assert_int_equal(host_apply(g->host, &setup, &what), 0);
	for (unsigned f = 0; f < 2; f++)
		for (unsigned i = 0; i < workers; i++)
			open_ring(g, f, i);
	find_from(g, NULL, 0, why, sizeof(why));
	assert_int_equal(g->from.n, 1);
	assert_string_equal(g->from.at[0].name, "lan0");
	assert_string_equal(why, "");
	take_from(g);
}

static void gateway_close(struct gateway *g)
{
	assert_int_equal(pool_left(g->pool), pool_size(g->pool));
	for (unsigned f = 0; f < 2; f++)
		for (unsigned i = 0; i < g->workers; i++)
			g->rings[f][i]->ops->close(g->rings[f][i]);
	g->tun->intercept.ops->close(&g->tun->intercept);
	host_close(g->host);
	assert_string_equal(shell("nft list ruleset"), "");
	pool_free(g->sending);
	pool_free(g->pool);
	close(g->wire);
}

/* Sends a packet to the gateway, in an Ethernet frame of this type to this address. */
static void put_on_wire(struct gateway *g, const struct packet *p, const struct virtio_net_hdr *h,
			const uint8_t *mac, const void *type, size_t n)
{
	struct virtio_net_hdr words = { .flags = 0 };
	struct ethhdr ether = { .h_source = { 2, 0, 0, 0, 0, 1 } };
	struct iovec iov[] = {
		{ &words, sizeof(words) }, { &ether, 12 }, { (void *)type, n }, { p->data, p->len }
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 4 };

	if (h)
		words = *h;
	memcpy(ether.h_dest, mac, 6);
	assert_int_equal(sendmsg(g->wire, &m, 0), sizeof(words) + 12 + n + p->len);
}

static void put_ip(struct gateway *g, const struct packet *p)
{
	uint16_t type = htons(p->data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);

	put_on_wire(g, p, NULL, g->mac, &type, 2);
}

/* A host's UDP packet of n bytes of payload. */
static void host_sends(struct gateway *g, const char *from, const char *to, size_t n, uint8_t fill)
{
	struct packet *p = udp_packet(g->sending, from, to, n, fill);

	put_ip(g, p);
	pool_put(g->sending, p);
}

/* The sender's kernel has run all of the gateway's when sending returns, but for what
 * another processor does: so wait. */
static unsigned receive(struct gateway *g, unsigned family, unsigned worker, struct batch *b)
{
	struct intercept *in = g->rings[family][worker];
	struct pollfd p = { .fd = in->fd, .events = POLLIN };
	unsigned before = b->n;

	if (poll(&p, 1, 2000) == 1)
		assert_true(in->ops->recv(in, b, g->pool, &g->counters) >= 0);
	return b->n - before;
}

static bool is_empty(struct gateway *g)
{
	struct batch b = { .n = 0 };

	for (unsigned f = 0; f < 2; f++)
		for (unsigned i = 0; i < g->workers; i++)
			g->rings[f][i]->ops->recv(g->rings[f][i], &b, g->pool, &g->counters);
	give_up(g->pool, &b);
	return b.n == 0;
}

/* Whether the device gets this packet next, but for the kernel's own chatter. */
static bool device_gets(struct gateway *g, const char *from, const char *to, size_t n, uint8_t fill)
{
	struct intercept *in = &g->tun->intercept;
	struct batch b = { .n = 0 };
	uint8_t payload[2048];
	bool found = false;

	memset(payload, fill, n);
	for (unsigned tries = 0; tries < 10 && !found && readable(in->fd); tries++) {
		in->ops->recv(in, &b, g->pool, &g->counters);
		for (unsigned i = 0; i < b.n; i++) {
			found |= is_udp(b.p[i], from, to, payload, n);
			g->by_device += b.p[i]->inet.proto == IPPROTO_UDP;
		}
		give_up(g->pool, &b);
	}
	return found;
}

static void test_packets_are_taken(void **state)
{
	uint8_t payload[100];
	struct batch b = { .n = 0 };
	struct gateway g;

	NEED_NETNS(state);
	memset(payload, 'a', sizeof(payload));
	gateway_open(&g, 1);
	host_sends(&g, HOST4, FAR4, 100, 'a');
	host_sends(&g, HOST6, FAR6, 100, 'a');
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	assert_int_equal(receive(&g, 1, 0, &b), 1);
	assert_true(is_udp(b.p[0], HOST4, FAR4, payload, 100));
	assert_true(is_udp(b.p[1], HOST6, FAR6, payload, 100));
	for (unsigned i = 0; i < 2; i++)
		assert_true(b.p[i]->unrouted);
	assert_int_equal(b.p[0]->data[8], 61); /* as it came: nobody has routed it */
	assert_int_equal(b.p[1]->data[7], 61);
	give_up(g.pool, &b);

	/* Without the rule they go to the device, routed; the first ones never did. */
	assert_int_equal(host_ingress_remove(g.host), 0);
	host_sends(&g, HOST4, FAR4, 50, 'b');
	assert_true(device_gets(&g, HOST4, FAR4, 50, 'b'));
	host_sends(&g, HOST6, FAR6, 50, 'b');
	assert_true(device_gets(&g, HOST6, FAR6, 50, 'b'));
	assert_true(is_empty(&g));
	assert_int_equal(g.by_device, 2);
	for (unsigned d = 0; d < DROPS; d++)
		assert_int_equal(counter_read(&g.counters.drops[d]), 0);
	gateway_close(&g);
}

/* What is not the overlay's, what the kernel has to answer, what is no plain frame for
 * this machine. After each comes one that is taken: nothing was in front of it. */
static void test_others_are_left(void **state)
{
	static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t other[6] = { 2, 9, 9, 9, 9, 9 };
	static const uint8_t vlan[4] = { 0x81, 0, 0, 5 };
	const uint16_t ip = htons(ETH_P_IP);
	uint8_t tagged[6];
	struct gateway g;
	struct packet *p;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	run("ip route add 172.16.9.0/24 via 172.16.0.99 && ip route add 192.0.2.0/24 dev lo");
	p = udp_packet(g.sending, HOST4, FAR4, 10, 'a');
	put_on_wire(&g, p, NULL, everybody, &ip, 2);
	put_on_wire(&g, p, NULL, other, &ip, 2);
	memcpy(tagged, vlan, 4);
	memcpy(tagged + 4, &ip, 2);
	put_on_wire(&g, p, NULL, g.mac, tagged, 6);
	p->data[8] = 1; /* TTL */
	fix_v4(p->data);
	put_ip(&g, p);
	pool_put(g.sending, p);
	p = udp_packet(g.sending, HOST6, FAR6, 10, 'a');
	p->data[7] = 1;
	put_ip(&g, p);
	p->data[7] = 61;
	p->data[6] = 0; /* hop-by-hop */
	put_ip(&g, p);
	pool_put(g.sending, p);
	/* with an option: the kernel forwards it */
	p = udp_packet(g.sending, HOST4, FAR4, 10, 'o');
	memmove(p->data + 24, p->data + 20, p->len - 20);
	memset(p->data + 20, 1, 4);
	p->len += 4;
	p->data[0] = 0x46;
	put16(p->data + 2, (uint16_t)p->len);
	fix_v4(p->data);
	put_ip(&g, p);
	pool_put(g.sending, p);
	host_sends(&g, HOST4, "172.16.0.1", 10, 'a'); /* the gateway's */
	host_sends(&g, HOST4, "172.16.9.9", 10, 'a'); /* routed elsewhere */
	host_sends(&g, HOST4, "8.8.8.8", 10, 'a');    /* not the overlay's */
	host_sends(&g, "192.0.2.1", FAR4, 10, 'a');   /* comes not from there */
	host_sends(&g, "172.16.77.1", FAR4, 10, 'a'); /* nor does the overlay's own */
	host_sends(&g, "fd00:76:0:77::1", FAR6, 10, 'a');
	for (unsigned i = 0; i < 2; i++) {
		struct batch b = { .n = 0 };
		uint8_t payload[20];

		memset(payload, 'z', sizeof(payload));
		host_sends(&g, i ? HOST6 : HOST4, i ? FAR6 : FAR4, 20, 'z');
		assert_int_equal(receive(&g, i, 0, &b), 1);
		assert_true(is_udp(b.p[0], i ? HOST6 : HOST4, i ? FAR6 : FAR4, payload, 20));
		give_up(g.pool, &b);
	}
	assert_true(is_empty(&g));
	gateway_close(&g);
}

/* Those that are too large for a frame keep their place among the others. */
static void test_large_ones(void **state)
{
	static const size_t sizes[] = { 10, 8000, 1472, 2000, 20, 8900, 30 };
	struct batch b = { .n = 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	for (unsigned f = 0; f < 2; f++) {
		const char *from = f ? HOST6 : HOST4, *to = f ? FAR6 : FAR4;
		uint8_t payload[9000];

		for (unsigned i = 0; i < 7; i++)
			host_sends(&g, from, to, sizes[i], (uint8_t)i);
		while (b.n < 7 && receive(&g, f, 0, &b))
			;
		assert_int_equal(b.n, 7);
		for (unsigned i = 0; i < 7; i++) {
			memset(payload, (int)i, sizes[i]);
			assert_true(is_udp(b.p[i], from, to, payload, sizes[i]));
		}
		give_up(g.pool, &b);
	}
	assert_true(is_empty(&g));
	gateway_close(&g);
}

/* A super-packet comes as it is, with the kernel's words about it. */
static void test_super_packet(void **state)
{
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				    .hdr_len = 54,
				    .gso_size = 1000,
				    .csum_start = 34,
				    .csum_offset = 16 };
	const uint16_t ip = htons(ETH_P_IP);
	struct batch b = { .n = 0 };
	struct gateway g;
	struct packet *p;
	size_t len;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	p = udp_packet(g.sending, HOST4, FAR4, 30012, 't');
	p->data[9] = IPPROTO_TCP;
	p->data[20 + 12] = 0x50;
	p->data[20 + 13] = 0x10; /* ACK */
	fix_v4(p->data);
	assert_true(inet_parse(p->data, p->len, &p->inet, &len));
	inet_check_begin(p->data + 36, &p->inet, p->len - 20);
	put_on_wire(&g, p, &h, g.mac, &ip, 2);
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	assert_int_equal(b.p[0]->len, p->len);
	assert_memory_equal(b.p[0]->data, p->data, p->len);
	assert_int_equal(b.p[0]->gso_size, 1000);
	assert_true(b.p[0]->csum_partial);
	assert_true(inet_parse(b.p[0]->data, b.p[0]->len, &b.p[0]->inet, &len));
	assert_true(offload_check(b.p[0]));
	assert_int_equal(b.p[0]->gso_header, 40);
	pool_put(g.sending, p);
	give_up(g.pool, &b);

	/* One that is small, its checksum unfinished as a local sender leaves it. */
	h.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	h.hdr_len = h.gso_size = 0;
	h.csum_offset = 6;
	p = udp_packet(g.sending, HOST4, FAR4, 7, 'u');
	assert_true(inet_parse(p->data, p->len, &p->inet, &len));
	inet_check_begin(p->data + 26, &p->inet, p->len - 20);
	put_on_wire(&g, p, &h, g.mac, &ip, 2);
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	assert_true(b.p[0]->csum_partial);
	assert_true(is_udp(b.p[0], HOST4, FAR4, "uuuuuuu", 7)); /* finishes it */
	pool_put(g.sending, p);
	give_up(g.pool, &b);
	gateway_close(&g);
}

/* What finds no frame, no room in the queue or no buffer is counted, and no more. */
static void test_overflow(void **state)
{
	struct packet *taken[4 * BATCH_MAX];
	struct batch b = { .n = 0 };
	unsigned got = 0, n = 0;
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	for (unsigned i = 0; i < FRAMES + 100; i++)
		host_sends(&g, HOST4, FAR4, 1, (uint8_t)i);
	for (; receive(&g, 0, 0, &b); give_up(g.pool, &b)) {
		for (unsigned i = 0; i < b.n; i++)
			assert_true(is_udp(b.p[i], HOST4, FAR4, &(char){ (char)(got + i) }, 1));
		got += b.n;
		if (got == FRAMES)
			break;
	}
	give_up(g.pool, &b);
	assert_int_equal(got, FRAMES);
	host_sends(&g, HOST4, FAR4, 1, 'x'); /* tells */
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	give_up(g.pool, &b);
	assert_int_equal(counter_read(&g.counters.drops[DROP_RING_FULL]), 100);
	assert_int_equal(counter_read(&g.counters.intercepted), 100);

	while (pool_left(g.pool) > 3)
		taken[n++] = pool_get(g.pool);
	for (unsigned i = 0; i < 5; i++)
		host_sends(&g, HOST4, FAR4, i % 2 ? 5000 : 1, 'y');
	assert_int_equal(receive(&g, 0, 0, &b), 3);
	give_up(g.pool, &b);
	assert_true(is_empty(&g));
	while (n > 0)
		pool_put(g.pool, taken[--n]);
	assert_int_equal(counter_read(&g.counters.drops[DROP_NO_BUFFER]), 2);
	/* The queue of large ones is in step again. */
	host_sends(&g, HOST4, FAR4, 2000, 'y');
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	assert_int_equal(b.p[0]->len, 2028);
	give_up(g.pool, &b);
	gateway_close(&g);
}

/* Takes what has come, until it was `want` packets: which worker's ring a flow (by the
 * payload) came from is in of[], 2 where that is not known yet, and stays so. */
static void take_flows(struct gateway *g, unsigned f, unsigned want, unsigned of[], unsigned got[2])
{
	for (unsigned all = 0; all < want;) {
		const unsigned before = all;

		for (unsigned w = 0; w < g->workers; w++) {
			struct intercept *in = g->rings[f][w];
			struct batch b = { .n = 0 };

			in->ops->recv(in, &b, g->pool, &g->counters);
			for (unsigned i = 0; i < b.n; i++) {
				uint8_t flow = b.p[i]->data[f ? 48 : 28];

				assert_true(flow < ROUND);
				assert_true(of[flow] == 2 || of[flow] == w);
				of[flow] = w;
			}
			got[w] += b.n;
			all += b.n;
			give_up(g->pool, &b);
		}
		if (all == before) {
			struct pollfd p[] = { { g->rings[f][0]->fd, POLLIN, 0 },
					      { g->rings[f][g->workers - 1]->fd, POLLIN, 0 } };

			assert_true(poll(p, g->workers, 2000) > 0);
		}
	}
}

/* Each of ROUND flows sends a packet. */
static void send_flows(struct gateway *g, unsigned f)
{
	for (unsigned i = 0; i < ROUND; i++) {
		char to[IP_TEXT];

		snprintf(to, sizeof(to), f ? "fd00:76:0:10::%x" : "172.16.10.%u", i);
		host_sends(g, f ? HOST6 : HOST4, to, 1, (uint8_t)i);
	}
}

/* A flow stays with one worker, all together use both; a ring that joins gets nothing
 * until it is said so, and nothing any more when it is said that it shall not. */
static void test_workers(void **state)
{
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	for (unsigned f = 0; f < 2; f++) {
		unsigned of[ROUND], got[2] = { 0, 0 };

		g.workers = 1;
		send_flows(&g, f);
		open_ring(&g, f, 1);
		g.workers = 2;
		send_flows(&g, f);
		for (unsigned i = 0; i < ROUND; i++)
			of[i] = 0;
		take_flows(&g, f, 2 * ROUND, of, got);
		assert_int_equal(got[0], 2 * ROUND);

		assert_int_equal(afpacket_share(g.rings[f][0], 2), 0);
		for (unsigned i = 0; i < ROUND; i++)
			of[i] = 2;
		for (unsigned again = 0; again < 3; again++) {
			send_flows(&g, f);
			take_flows(&g, f, ROUND, of, got);
		}
		assert_in_range(got[1], 3 * ROUND / 8, 3 * ROUND * 7 / 8);

		assert_int_equal(afpacket_share(g.rings[f][1], 1), 0);
		got[1] = 0;
		send_flows(&g, f);
		for (unsigned i = 0; i < ROUND; i++)
			of[i] = 0;
		take_flows(&g, f, ROUND, of, got);
		assert_int_equal(got[1], 0);
	}
	assert_true(is_empty(&g));
	gateway_close(&g);
}

/* By ports too, but for fragments. */
static void test_ports(void **state)
{
	unsigned by_ports[2] = { 0, 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 2);
	for (unsigned fragment = 0; fragment < 2; fragment++) {
		unsigned got[2] = { 0, 0 }, of[ROUND];

		for (unsigned i = 0; i < ROUND; i++) {
			struct packet *p = udp_packet(g.sending, HOST4, FAR4, 1, (uint8_t)i);

			p->data[20] = (uint8_t)i;
			p->data[21] = (uint8_t)(7 * i);
			if (fragment)
				p->data[6] = 0x20;
			fix_v4(p->data);
			put_ip(&g, p);
			pool_put(g.sending, p);
			of[i] = 2;
		}
		take_flows(&g, 0, ROUND, of, got);
		if (fragment)
			assert_true(!got[0] || !got[1]);
		else
			memcpy(by_ports, got, sizeof(got));
	}
	assert_true(by_ports[0] > 3 && by_ports[1] > 3);
	gateway_close(&g);
}

/* Interfaces: found, or said; replaced under way; those that can't be used. */
static void test_interfaces(void **state)
{
	char *names[] = { "lan0", "none0", "port0", "down0", DEVICE };
	char why[256];
	struct batch b = { .n = 0 };
	struct gateway g;

	NEED_NETNS(state);
	gateway_open(&g, 1);
	run("ip link add wan0 type veth peer name wan1 && ip link set wan0 up && "
	    "ip addr add 198.51.100.2/30 dev wan0 && ip route add default via 198.51.100.1 && "
	    "ip link add side0 type veth peer name side1 && ip link set side0 up && "
	    "ip link set side1 up && ip addr add 10.9.0.1/30 dev side0 && "
	    "ip link add br0 type bridge && ip link add port0 type veth peer name down0 && "
	    "ip link set port0 master br0 up");
	find_from(&g, NULL, 0, why, sizeof(why));
	assert_int_equal(g.from.n, 1); /* no members behind the others */
	run("ip route add 172.16.0.128/25 via 10.9.0.2");
	find_from(&g, NULL, 0, why, sizeof(why));
	assert_int_equal(g.from.n, 1); /* the prefix as a whole leads out by lan0 */
	run("ip addr del 172.16.0.1/24 dev lan0 && ip addr del fd00:76:0:1::1/64 dev lan0 && "
	    "ip route add 172.16.0.0/24 via 10.9.0.2");
	find_from(&g, NULL, 0, why, sizeof(why));
	assert_int_equal(g.from.n, 1);
	assert_string_equal(g.from.at[0].name, "side0");
	take_from(&g);
	host_sends(&g, HOST4, FAR4, 1, 'n'); /* not where its source is any more */
	run("ip route del 172.16.0.0/24 && ip route del 172.16.0.128/25 && "
	    "ip addr add 172.16.0.1/24 dev lan0");

	find_from(&g, names, 5, why, sizeof(why));
	assert_int_equal(g.from.n, 1);
	assert_string_equal(g.from.at[0].name, "lan0");
	assert_string_equal(why, "none0 is not there, port0 is a port of another interface, "
				 "down0 is down, " DEVICE " is no Ethernet");
	take_from(&g);
	host_sends(&g, HOST4, FAR4, 1, 'y');
	assert_int_equal(receive(&g, 0, 0, &b), 1);
	assert_true(is_udp(b.p[0], HOST4, FAR4, "y", 1));
	give_up(g.pool, &b);

	/* With its interface the kernel takes the chain away; the rest is ours. */
	run("ip link del lan0");
	find_from(&g, NULL, 0, why, sizeof(why));
	assert_int_equal(g.from.n, 0);
	take_from(&g);
	assert_string_equal(shell("nft list ruleset"), "");
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_packets_are_taken, enter_netns),
		cmocka_unit_test_setup(test_others_are_left, enter_netns),
		cmocka_unit_test_setup(test_large_ones, enter_netns),
		cmocka_unit_test_setup(test_super_packet, enter_netns),
		cmocka_unit_test_setup(test_overflow, enter_netns),
		cmocka_unit_test_setup(test_workers, enter_netns),
		cmocka_unit_test_setup(test_ports, enter_netns),
		cmocka_unit_test_setup(test_interfaces, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("afpacket", tests, NULL, NULL);
}
