/* links: router/nfq router/nfq_message router/nfq_flows router/host router/host_routes
 * router/host_rules router/host_ingress router/host_interfaces router/host_nft router/netlink
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

/* ---- super-packets -------------------------------------------------------- */

#define HOST4 "172.16.0.20"
#define HOST6 "fd00:76:0:1::20"

/* A gateway and a device on which hosts are. */
static struct tun *lan_open(void)
{
	struct tun *lan;

	write_sysctl("/proc/sys/net/ipv4/ip_forward", "1");
	write_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1");
	lan = tun_open("lan0", false);
	assert_non_null(lan);
	run("ip link set lan0 addrgenmode none mtu 1400 up && "
	    "ip route add 172.16.0.0/24 dev lan0 && ip route add fd00:76:0:1::/64 dev lan0");
	return lan;
}

struct super {
	bool six, udp, no_df;
	uint32_t seq;
	uint16_t size; /* of segments */
	uint32_t payload;
	uint8_t flags;
};

/* Byte of the stream at this sequence number. */
static uint8_t stream(uint32_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
}

/* A host's super-packet, as a driver would hand it to the kernel. */
static void host_sends(struct tun *lan, const struct super *s)
{
	const struct ip src = ip_of(s->six ? HOST6 : HOST4), dst = ip_of(s->six ? FAR6 : FAR4);
	const size_t ip = s->six ? 40 : 20, l4 = s->udp ? 8 : 20;
	const uint32_t len = (uint32_t)(ip + l4) + s->payload;
	struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = s->udp   ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : s->six ? VIRTIO_NET_HDR_GSO_TCPV6
				     : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = (uint16_t)(ip + l4),
		.gso_size = s->size,
		.csum_start = (uint16_t)ip,
		.csum_offset = s->udp ? 6 : 16,
	};
	struct inet_info info = { .src = src, .dst = dst, .proto = s->udp ? 17 : 6 };
	uint8_t *all = calloc(1, sizeof(h) + len), *d = all + sizeof(h), *t = d + ip;

	assert_non_null(all);
	if (s->payload <= s->size)
		h.gso_type = h.gso_size = 0;
	memcpy(all, &h, sizeof(h));
	if (s->six) {
		d[0] = 0x60;
		put16(d + 4, (uint16_t)(len - ip));
		d[6] = info.proto;
		d[7] = 61;
		memcpy(d + 8, src.b, 16);
		memcpy(d + 24, dst.b, 16);
	} else {
		d[0] = 0x45;
		put16(d + 2, (uint16_t)len);
		put16(d + 4, 100);
		d[6] = s->no_df ? 0 : 0x40;
		d[8] = 61;
		d[9] = info.proto;
		memcpy(d + 12, src.b, 4);
		memcpy(d + 16, dst.b, 4);
		fix_v4(d);
	}
	put16(t, 1000);
	put16(t + 2, 2000);
	if (s->udp) {
		put16(t + 4, (uint16_t)(len - ip));
	} else {
		put16(t + 4, (uint16_t)(s->seq >> 16));
		put16(t + 6, (uint16_t)s->seq);
		t[12] = 0x50;
		t[13] = 0x10 | s->flags;
	}
	inet_check_begin(t + h.csum_offset, &info, (uint32_t)(len - ip));
	for (uint32_t i = 0; i < s->payload; i++)
		t[l4 + i] = stream(s->seq + i);
	assert_int_equal(write(lan->fd, all, sizeof(h) + len), sizeof(h) + len);
	free(all);
}

/* A packet out of the queue, as it goes on: its payload is the stream's from seq on
 * (returned: how much), its checksum right once it is finished. */
static uint32_t is_stream(struct packet *p, uint32_t seq)
{
	size_t len, l4;

	assert_true(inet_parse(p->data, p->len, &p->inet, &len));
	assert_int_equal(len, p->len);
	assert_true(offload_check(p));
	l4 = p->inet.l4 + (p->inet.proto == 17 ? 8 : 20);
	if (p->inet.proto == 6)
		assert_int_equal(be32(p->data + p->inet.l4 + 4), seq);
	for (uint32_t i = 0; i < p->len - l4; i++)
		assert_int_equal(p->data[l4 + i], stream(seq + i));
	if (!p->gso_size) {
		packet_finish(p);
		assert_true(inet_check_is_right(p->data, p->len, &p->inet));
	}
	return (uint32_t)(p->len - l4);
}

/* All that is there continues the stream: how many packets, of which *ret_supers stand
 * for segments of this size; the others are no longer than it. */
static unsigned take_stream(struct gateway *g, uint32_t *seq, uint16_t size, unsigned *ret_supers)
{
	struct batch b = { .n = 0 };
	unsigned all = 0;

	*ret_supers = 0;
	while (receive(g, 0, &b) > 0) {
		for (unsigned i = 0; i < b.n; i++) {
			uint32_t n = is_stream(b.p[i], *seq);

			*seq += n;
			if (b.p[i]->gso_size)
				(*ret_supers)++;
			assert_int_equal(b.p[i]->gso_size ? b.p[i]->gso_size : size, size);
			assert_true(b.p[i]->gso_size || n <= size);
		}
		all += b.n;
		give_up(g->pool, &b);
	}
	assert_false(g->queues[0]->pending);
	return all;
}

static uint64_t asked(const struct gateway *g)
{
	return counter_read(&g->counters.events[EVENT_SUPER_CUT]);
}

static void nothing_dropped(const struct gateway *g)
{
	for (unsigned d = 0; d < DROPS; d++)
		assert_int_equal(counter_read(&g->counters.drops[d]), 0);
}

static void super_open(struct gateway *g, struct tun **lan)
{
	struct batch b = { .n = 0 };

	gateway_open(g, 1, 512);
	*lan = lan_open();
	while (receive(g, 0, &b) > 0)
		give_up(g->pool, &b);
}

static void super_close(struct gateway *g, struct tun *lan)
{
	lan->intercept.ops->close(&lan->intercept);
	gateway_close(g);
}

/* The first is cut by the kernel and shows the size; those behind it stay whole, and
 * in order. What is sent again is cut by the kernel, too. */
static void test_super_packets(void **state)
{
	struct gateway g;
	struct tun *lan;
	unsigned supers;

	NEED_NETNS(state);
	super_open(&g, &lan);
	for (unsigned six = 0; six < 2; six++) {
		struct super s = { .six = six, .seq = 0xffff0000, .size = 1300, .payload = 13000 };
		uint32_t seq = s.seq;
		uint64_t before = asked(&g);

		for (unsigned i = 0; i < 5; i++, s.seq += s.payload)
			host_sends(lan, &s);
		assert_int_equal(take_stream(&g, &seq, 1300, &supers), 10 + 4);
		assert_int_equal(supers, 4);
		assert_int_equal(seq, s.seq);
		assert_int_equal(asked(&g) - before, 1);

		/* Single ones in between, and the last one short */
		s.payload = 1000;
		s.flags = 8;
		host_sends(lan, &s);
		s.seq += s.payload;
		s.payload = 60000;
		host_sends(lan, &s);
		s.seq += s.payload;
		assert_int_equal(take_stream(&g, &seq, 1300, &supers), 2);
		assert_int_equal(supers, 1);

		/* Again, and smaller: a path has become narrow. */
		s.seq -= s.payload;
		seq = s.seq;
		s.size = 500;
		host_sends(lan, &s);
		s.seq += s.payload;
		host_sends(lan, &s);
		assert_int_equal(take_stream(&g, &seq, 500, &supers), 120 + 1);
		assert_int_equal(asked(&g) - before, 2);
	}
	nothing_dropped(&g);
	super_close(&g, lan);
}

/* More segments than find room in a batch: the rest is pending, and comes before what
 * was sent later. */
static void test_many_segments(void **state)
{
	struct super s = { .seq = 1, .size = 200, .payload = 60000 };
	struct batch b = { .n = 0 };
	uint32_t seq = 1;
	struct gateway g;
	struct tun *lan;
	unsigned supers;

	NEED_NETNS(state);
	super_open(&g, &lan);
	host_sends(lan, &s);
	s.seq += s.payload;
	host_sends(lan, &s);
	assert_int_equal(receive(&g, 0, &b), BATCH_MAX);
	assert_true(g.queues[0]->pending);
	for (unsigned i = 0; i < b.n; i++)
		seq += is_stream(b.p[i], seq);
	give_up(g.pool, &b);
	assert_int_equal(take_stream(&g, &seq, 200, &supers), 300 - BATCH_MAX + 1);
	assert_int_equal(seq, 1 + 2 * s.payload);
	nothing_dropped(&g);

	/* Closed in the middle of it, everything goes back to the pool. */
	s.seq = 1;
	host_sends(lan, &s);
	s.seq += s.payload;
	host_sends(lan, &s);
	assert_int_equal(receive(&g, 0, &b), BATCH_MAX);
	give_up(g.pool, &b);
	g.queues[0]->ops->close(g.queues[0]);
	g.n = 0;
	super_close(&g, lan);
}

/* Without DF segments may be larger than the device's MTU: they come as they are. */
static void test_larger_than_the_device(void **state)
{
	struct super s = { .no_df = true, .seq = 1, .size = 2000, .payload = 20000 };
	uint32_t seq = 1;
	struct gateway g;
	struct tun *lan;
	unsigned supers;

	NEED_NETNS(state);
	super_open(&g, &lan);
	for (unsigned i = 0; i < 3; i++, s.seq += s.payload)
		host_sends(lan, &s);
	assert_int_equal(take_stream(&g, &seq, 2000, &supers), 10 + 2);
	assert_int_equal(seq, s.seq);
	nothing_dropped(&g);
	super_close(&g, lan);
}

/* The longest there can be is too long for a message. */
static void test_longest(void **state)
{
	struct super s = { .seq = 1, .size = 1000, .payload = 65535 - 40 };
	uint32_t seq = 1;
	struct gateway g;
	struct tun *lan;
	unsigned supers;

	NEED_NETNS(state);
	super_open(&g, &lan);
	for (unsigned i = 0; i < 3; i++, s.seq += s.payload)
		host_sends(lan, &s);
	assert_int_equal(take_stream(&g, &seq, 1000, &supers), 3 * 66);
	assert_int_equal(seq, s.seq);
	nothing_dropped(&g);
	super_close(&g, lan);
}

static void test_udp_supers(void **state)
{
	struct super s = { .udp = true, .seq = 0, .size = 1000, .payload = 5000 };
	struct batch b = { .n = 0 };
	struct gateway g;
	struct tun *lan;

	NEED_NETNS(state);
	super_open(&g, &lan);
	if (!(lan->intercept.offloads & OFFLOAD_BIT(TUN_USO4)))
		skip();
	host_sends(lan, &s);
	assert_int_equal(receive(&g, 0, &b), 5);
	for (unsigned i = 0; i < b.n; i++)
		assert_int_equal(is_stream(b.p[i], 1000 * i), 1000);
	give_up(g.pool, &b);
	assert_int_equal(asked(&g), 0);
	nothing_dropped(&g);
	super_close(&g, lan);
}

/* The rules are gone, and with them the kernel's packets: it can't be asked any more.
 * What there is is cut so that everybody can take it. */
static void test_super_when_closing(void **state)
{
	struct super s = { .seq = 1, .size = 1300, .payload = 13000 };
	struct batch b = { .n = 0 };
	struct gateway g;
	struct tun *lan;

	NEED_NETNS(state);
	super_open(&g, &lan);
	for (unsigned six = 0; six < 2; six++) {
		s.six = six;
		host_sends(lan, &s);
	}
	assert_int_equal(host_rules_remove(g.host), 0);
	assert_int_equal(receive(&g, 0, &b), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(is_stream(b.p[i], 1), 13000);
	assert_int_equal(b.p[0]->gso_size, 576 - 40);
	assert_int_equal(b.p[1]->gso_size, 1280 - 60);
	give_up(g.pool, &b);
	nothing_dropped(&g);
	super_close(&g, lan);
}

/* More than the socket's buffer holds: what is missing is counted. */
static void test_full(void **state)
{
	struct super s = { .seq = 1, .size = 1300, .payload = 65000 };
	struct batch b = { .n = 0 };
	const unsigned all = 1000;
	uint64_t taken = 0, lost;
	struct gateway g;
	struct tun *lan;

	NEED_NETNS(state);
	super_open(&g, &lan);
	for (unsigned i = 0; i < all; i++, s.seq += s.payload)
		host_sends(lan, &s);
	while (receive(&g, 0, &b) > 0) {
		for (unsigned i = 0; i < b.n; i++)
			taken += b.p[i]->len;
		give_up(g.pool, &b);
	}
	host_sends(lan, &s); /* shows how many have been in between */
	while (receive(&g, 0, &b) > 0) {
		for (unsigned i = 0; i < b.n; i++)
			taken += b.p[i]->len;
		give_up(g.pool, &b);
	}
	lost = counter_read(&g.counters.drops[DROP_QUEUE_FULL]);
	assert_in_range(lost, 1, all - 100);
	assert_int_equal(counter_read(&g.counters.intercepted), lost);
	assert_in_range(taken, (all + 1 - lost) * 65040, (all + 1 - lost) * 65040 + 50 * 40);
	super_close(&g, lan);
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
		cmocka_unit_test_setup(test_super_packets, enter_netns),
		cmocka_unit_test_setup(test_many_segments, enter_netns),
		cmocka_unit_test_setup(test_larger_than_the_device, enter_netns),
		cmocka_unit_test_setup(test_longest, enter_netns),
		cmocka_unit_test_setup(test_udp_supers, enter_netns),
		cmocka_unit_test_setup(test_super_when_closing, enter_netns),
		cmocka_unit_test_setup(test_full, enter_netns),
		cmocka_unit_test_setup(test_number_in_use, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("nfq", tests, NULL, NULL);
}
