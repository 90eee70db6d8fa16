/* links: router/inject_packet router/offload common/addr common/inet common/inet_check
 * common/packet */
/*
 * Frames as they arrive at the other end of a cable: the bytes, what the kernel is told
 * of them, and what becomes of packets that can't go so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "common/list.h"
#include "router/adjacency.h"
#include "router/inject.h"
#include "tests/unit/gateway.h"

#define FAR4 "172.16.10.5"
#define FAR6 "fd00:76:0:10::5"
#define HOST4 "172.16.0.20"
#define HOST6 "fd00:76:0:1::20"
#define PACKETS 70
#define FRAME 65536

/* What is left to the kernel's routing, in place of raw sockets. */
struct others {
	struct inject inject;
	unsigned n;
	struct ip last;
};

static void others_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct others *o = container_of(in, struct others, inject);

	(void)c;
	for (unsigned i = 0; i < b->n; i++) {
		o->last = b->p[i]->inet.dst;
		pool_put(pool, b->p[i]);
		o->n++;
	}
	b->n = 0;
}

static const struct inject_ops others_ops = { .name = "others", .send = others_send };

struct lan {
	struct pool *pool;
	struct counters counters;
	struct others others;
	struct inject *in;
	struct adjacency host;
	struct batch batch;
	uint16_t id;
	int wire; /* the cable's other end */
};

static void lan_open(struct lan *l)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	const int on = 1, room = 8 << 20;

	memset(l, 0, sizeof(*l));
	run("ip link add d0 type veth peer name d1 && ip link set d0 addrgenmode none up && "
	    "ip link set d1 addrgenmode none up");
	l->pool = pool_new(PACKETS);
	l->others.inject.ops = &others_ops;
	l->in = inject_packet_open(&l->others.inject);
	assert_non_null(l->in);
	assert_false(l->in->ops->kernel_routes);
	l->host = (struct adjacency){
		.link = { .ifindex = if_nametoindex("d0"),
			  .mtu = 1500,
			  .mac = { 2, 0, 0, 0, 0, 1 },
			  .gso_bytes = 65536,
			  .gso_segments = 65535,
			  .tcp = true,
			  .udp = true },
		.mtu = 1500,
		.next_hop = ip_of(HOST4),
		.mac = { 4, 0, 0, 0, 0, 10 },
	};
	l->wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	assert_true(l->wire >= 0);
	assert_int_equal(setsockopt(l->wire, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	setsockopt(l->wire, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	sa.sll_ifindex = (int)if_nametoindex("d1");
	assert_int_equal(bind(l->wire, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

static void lan_close(struct lan *l)
{
	assert_int_equal(pool_left(l->pool), PACKETS);
	l->in->ops->close(l->in);
	close(l->wire);
	pool_free(l->pool);
}

/* One more UDP packet in the batch, as inbound knows it. */
static struct packet *add(struct lan *l, const char *to, size_t n, uint8_t fill, bool partial)
{
	struct packet *p = udp_packet(l->pool, to[0] == 'f' ? FAR6 : FAR4, to, n, fill);
	size_t len;

	if (to[0] != 'f') {
		put16(p->data + 4, l->id++);
		fix_v4(p->data);
	}
	assert_true(inet_parse(p->data, p->len, &p->inet, &len));
	p->flow = inet_flow_hash(p->data, p->len, &p->inet);
	p->csum_partial = partial;
	p->adjacency = &l->host;
	batch_add(&l->batch, p);
	return p;
}

static void lan_send(struct lan *l)
{
	l->in->ops->send(l->in, &l->batch, l->pool, &l->counters);
	assert_int_equal(l->batch.n, 0);
}

struct frame {
	struct virtio_net_hdr h;
	uint8_t data[FRAME];
	size_t len; /* without h */
};

/* The next frame; false: there is none. All that is sent has arrived when send returns. */
static bool receive(struct lan *l, struct frame *f)
{
	struct iovec iov[] = { { &f->h, sizeof(f->h) }, { f->data, sizeof(f->data) } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	struct pollfd p = { .fd = l->wire, .events = POLLIN };
	ssize_t n = poll(&p, 1, 200) == 1 ? recvmsg(l->wire, &m, 0) : -1;

	f->len = n > 0 ? (size_t)n - sizeof(f->h) : 0;
	return n > 0;
}

static void assert_ethernet(const struct frame *f, uint16_t type)
{
	static const uint8_t addresses[] = { 4, 0, 0, 0, 0, 10, 2, 0, 0, 0, 0, 1 };

	assert_memory_equal(f->data, addresses, sizeof(addresses));
	assert_int_equal(be16(f->data + 12), type);
}

static void test_frames(void **state)
{
	struct frame f;
	uint8_t sent[2][64];
	struct lan l;

	NEED_NETNS(state);
	lan_open(&l);
	memcpy(sent[0], add(&l, HOST4, 8, 'a', false)->data, 36);
	memcpy(sent[1], add(&l, HOST6, 8, 'b', false)->data, 56);
	lan_send(&l);
	assert_true(receive(&l, &f));
	assert_ethernet(&f, ETH_P_IP);
	assert_int_equal(f.len, 14 + 36);
	assert_memory_equal(f.data + 14, sent[0], 36);
	assert_true(receive(&l, &f));
	assert_ethernet(&f, ETH_P_IPV6);
	assert_int_equal(f.len, 14 + 56);
	assert_memory_equal(f.data + 14, sent[1], 56);
	assert_false(receive(&l, &f));
	assert_int_equal(counter_read(&l.counters.injected), 2);
	assert_int_equal(l.others.n, 0);
	assert_true(l.host.used);
	lan_close(&l);
}

static void test_partial(void **state)
{
	struct inet_info i;
	struct frame f;
	struct lan l;
	size_t len;

	NEED_NETNS(state);
	lan_open(&l);
	put16(add(&l, HOST4, 100, 'a', true)->data + 26, 0xbad);
	lan_send(&l);
	assert_true(receive(&l, &f));
	assert_int_equal(f.h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(f.h.csum_start, 14 + 20);
	assert_int_equal(f.h.csum_offset, 6);
	inet_check_finish(f.data + 14, f.len - 14, 20, 26);
	assert_true(inet_parse(f.data + 14, f.len - 14, &i, &len));
	assert_true(inet_check_is_right(f.data + 14, len, &i));
	lan_close(&l);
}

/* Receives `n` datagrams of the flow in whatever way: super-packets are counted. */
static void expect(struct lan *l, size_t header, size_t size, unsigned n, unsigned supers)
{
	unsigned got = 0, large = 0;
	static struct frame f;

	while (got < n && receive(l, &f)) {
		size_t payload = f.len - 14 - header - 8;

		if (f.h.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
			assert_int_equal(f.h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
			assert_int_equal(f.h.gso_size, size);
			assert_int_equal(f.h.csum_start, 14 + header);
			large++;
		}
		assert_int_equal(payload % size, 0);
		for (size_t i = 0; i < payload; i++)
			assert_int_equal(f.data[14 + header + 8 + i], 'a' + got + i / size);
		got += payload / size;
	}
	assert_int_equal(got, n);
	assert_int_equal(large, supers);
	assert_false(receive(l, &f));
}

static void test_runs(void **state)
{
	struct lan l;

	NEED_NETNS(state);
	lan_open(&l);
	for (unsigned six = 0; six < 2; six++) {
		for (unsigned i = 0; i < BATCH_MAX; i++)
			add(&l, six ? HOST6 : HOST4, 64, (uint8_t)('a' + i), six);
		lan_send(&l);
		expect(&l, six ? 40 : 20, 64, BATCH_MAX, 1);
	}
	/* an interface that takes none, or not so large ones */
	l.host.link.udp = false;
	for (unsigned i = 0; i < 10; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), true);
	lan_send(&l);
	expect(&l, 40, 64, 10, 0);
	l.host.link.udp = true;
	l.host.link.gso_segments = 9;
	for (unsigned i = 0; i < 10; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), true);
	lan_send(&l);
	expect(&l, 40, 64, 10, 0);
	l.host.link.gso_segments = 10;
	l.host.link.gso_bytes = 14 + 48 + 640;
	for (unsigned i = 0; i < 10; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), true);
	lan_send(&l);
	expect(&l, 40, 64, 10, 0);
	l.host.link.gso_bytes++;
	for (unsigned i = 0; i < 10; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), true);
	lan_send(&l);
	expect(&l, 40, 64, 10, 1);
	assert_int_equal(counter_read(&l.counters.drops[DROP_INJECT]), 0);
	lan_close(&l);
}

/* Interfaces may change their mind before we hear of it. */
static void test_refused_run(void **state)
{
	struct lan l;

	NEED_NETNS(state);
	if (!has_command("ethtool"))
		skip();
	lan_open(&l);
	run("ethtool -K d0 tx-udp-segmentation off");
	for (unsigned i = 0; i < 30; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), i % 3);
	lan_send(&l);
	expect(&l, 40, 64, 30, 0);
	assert_int_equal(counter_read(&l.counters.injected), 30);
	assert_int_equal(counter_read(&l.counters.drops[DROP_INJECT]), 0);
	lan_close(&l);
}

/* Not known, or not to be sent so. */
static void test_others(void **state)
{
	struct adjacency nobody;
	struct frame f;
	struct lan l;

	NEED_NETNS(state);
	lan_open(&l);
	nobody = l.host;
	nobody.next_hop.family = 0;
	add(&l, HOST4, 8, 'a', false)->adjacency = NULL;
	add(&l, HOST4, 8, 'b', false)->adjacency = &nobody;
	add(&l, HOST6, 1500 - 48 + 1, 'c', false);
	add(&l, HOST4, 8, 'd', false);
	lan_send(&l);
	assert_int_equal(l.others.n, 3);
	assert_int_equal(l.others.last.family, 6);
	assert_false(nobody.used);
	assert_int_equal(counter_read(&l.counters.events[EVENT_RAW]), 3);
	assert_int_equal(counter_read(&l.counters.injected), 1);
	assert_true(receive(&l, &f));
	assert_int_equal(f.data[14 + 28], 'd');
	lan_close(&l);
}

static void test_interface_gone(void **state)
{
	struct frame f;
	struct adjacency other;
	struct lan l;

	NEED_NETNS(state);
	lan_open(&l);
	other = l.host;
	other.link.ifindex = 4711;
	for (unsigned i = 0; i < 5; i++)
		add(&l, HOST6, 64, (uint8_t)('a' + i), false)->adjacency = &other;
	add(&l, HOST4, 64, 'x', false);
	lan_send(&l);
	assert_int_equal(counter_read(&l.counters.injected), 1);
	assert_int_equal(counter_read(&l.counters.drops[DROP_INJECT]), 5);
	assert_true(receive(&l, &f));
	assert_int_equal(f.data[14 + 28], 'x');
	run("ip link set d1 down");
	add(&l, HOST4, 64, 'y', false);
	lan_send(&l);
	assert_int_equal(counter_read(&l.counters.drops[DROP_INJECT]), 6);
	run("ip link set d0 down");
	add(&l, HOST4, 64, 'z', false);
	lan_send(&l);
	assert_int_equal(counter_read(&l.counters.drops[DROP_INJECT]), 7);
	lan_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_frames, enter_netns),
		cmocka_unit_test_setup(test_partial, enter_netns),
		cmocka_unit_test_setup(test_runs, enter_netns),
		cmocka_unit_test_setup(test_refused_run, enter_netns),
		cmocka_unit_test_setup(test_others, enter_netns),
		cmocka_unit_test_setup(test_interface_gone, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("inject_packet", tests, NULL, NULL);
}
