/* links: router/tun router/tun_steer router/offload common/addr common/inet common/inet_check common/packet */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>

#include "router/tun.h"
#include "tests/unit/gateway.h"

#define LOCAL4 "172.16.0.1"
#define LOCAL6 "fd00:76:0:1::1"
#define FAR4 "172.16.10.5"
#define FAR6 "fd00:76:0:10::5"

static struct tun *device_up(void)
{
	struct tun *t = tun_open(DEVICE, false);

	assert_non_null(t);
	add_address(LOCAL4);
	add_address(LOCAL6);
	run("ip link set " DEVICE " addrgenmode none mtu 9300 up && "
	    "ip route add 172.16.0.0/12 dev " DEVICE " src " LOCAL4 " && "
	    "ip route add fd00:76::/32 dev " DEVICE " src " LOCAL6);
	return t;
}

/* Receives until one packet is the one; what the kernel says by itself is passed
 * over. */
static bool receive(struct tun *t, struct pool *pool, struct counters *c, const char *from,
		    const char *to, const void *payload, size_t n)
{
	struct batch b = { .n = 0 };
	bool found = false;

	while (!found && readable(t->intercept.fd)) {
		if (t->intercept.ops->recv(&t->intercept, &b, pool, c) < 0)
			return false;
		for (unsigned i = 0; i < b.n; i++)
			found |= is_udp(b.p[i], from, to, payload, n);
		give_up(pool, &b);
	}
	return found;
}

static void test_round_trip(void **state)
{
	struct pool *pool = pool_new(8);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	char text[64];
	struct tun *t;
	int fd4, fd6;

	NEED_NETNS(state);
	t = device_up();
	fd4 = udp_at(LOCAL4, PORT);
	fd6 = udp_at(LOCAL6, PORT);
	assert_true(udp_send(fd4, FAR4, "four", 4));
	assert_true(receive(t, pool, &c, LOCAL4, FAR4, "four", 4));
	assert_true(udp_send(fd6, FAR6, "sixsix", 6));
	assert_true(receive(t, pool, &c, LOCAL6, FAR6, "sixsix", 6));

	batch_add(&b, udp_packet(pool, FAR4, LOCAL4, 5, 'a'));
	batch_add(&b, udp_packet(pool, FAR6, LOCAL6, 6, 'b'));
	t->inject.ops->send(&t->inject, &b, pool, &c);
	assert_int_equal(b.n, 0);
	assert_true(t->inject.ops->kernel_routes);
	assert_true(readable(fd4));
	assert_int_equal(recv(fd4, text, sizeof(text), 0), 5);
	assert_memory_equal(text, "aaaaa", 5);
	assert_true(readable(fd6));
	assert_int_equal(recv(fd6, text, sizeof(text), 0), 6);
	assert_memory_equal(text, "bbbbbb", 6);
	assert_int_equal(counter_read(&c.injected), 2);
	for (unsigned d = 0; d < DROPS; d++)
		assert_int_equal(counter_read(&c.drops[d]), 0);
	assert_int_equal(pool_left(pool), 8);
	close(fd4);
	close(fd6);
	t->inject.ops->close(&t->inject);
	t->intercept.ops->close(&t->intercept);
	pool_free(pool);
}

static void test_bounds(void **state)
{
	static const uint8_t large[9000];
	struct pool *pool = pool_new(3);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct tun *t;
	int fd;

	NEED_NETNS(state);
	t = device_up();
	while (t->intercept.ops->recv(&t->intercept, &b, pool, &c) > 0)
		give_up(pool, &b);
	assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), 0);

	fd = udp_at(LOCAL4, PORT);
	assert_true(udp_send(fd, FAR4, large, sizeof(large)));
	assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), 1);
	assert_true(is_udp(b.p[0], LOCAL4, FAR4, large, sizeof(large)));
	give_up(pool, &b);

	/* More than the pool has: the rest is counted, the device empty. */
	for (unsigned i = 0; i < 5; i++)
		assert_true(udp_send(fd, FAR4, "x", 1));
	for (unsigned i = 0; i < 5; i++)
		assert_true(t->intercept.ops->recv(&t->intercept, &b, pool, &c) >= 0);
	assert_int_equal(b.n, 3);
	assert_int_equal(counter_read(&c.drops[DROP_NO_BUFFER]), 2);
	assert_int_equal(pool_left(pool), 0);
	give_up(pool, &b);
	assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), 0);
	close(fd);
	t->intercept.ops->close(&t->intercept);
	pool_free(pool);
}

/* A quiet device is asked for one, a busy one for more and more. */
static void test_batch_is_filled_up(void **state)
{
	struct pool *pool = pool_new(2 * BATCH_MAX);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	unsigned n = 1;
	struct tun *t;
	int fd;

	NEED_NETNS(state);
	t = device_up();
	fd = udp_at(LOCAL4, PORT);
	for (unsigned i = 0; i < 3 * BATCH_MAX; i++)
		assert_true(udp_send(fd, FAR4, "x", 1));
	for (; n <= BATCH_MAX; n *= 2) {
		assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), n);
		assert_int_equal(b.n, n);
		give_up(pool, &b);
	}
	batch_add(&b, pool_get(pool)); /* one in it already */
	assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), BATCH_MAX - 1);
	assert_int_equal(b.n, BATCH_MAX);
	give_up(pool, &b);
	assert_true(t->intercept.ops->recv(&t->intercept, &b, pool, &c) >= 1);
	give_up(pool, &b);
	close(fd);
	t->intercept.ops->close(&t->intercept);
	pool_free(pool);
}

static void test_device_down_and_gone(void **state)
{
	struct pool *pool = pool_new(2);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct tun *t;

	NEED_NETNS(state);
	t = device_up();
	run("ip link set " DEVICE " down");
	batch_add(&b, udp_packet(pool, FAR4, LOCAL4, 5, 'a'));
	batch_add(&b, udp_packet(pool, FAR6, LOCAL6, 5, 'a'));
	t->inject.ops->send(&t->inject, &b, pool, &c);
	assert_int_equal(counter_read(&c.drops[DROP_INJECT]), 2);
	assert_int_equal(pool_left(pool), 2);
	while (t->intercept.ops->recv(&t->intercept, &b, pool, &c) > 0)
		give_up(pool, &b);
	assert_int_equal(t->intercept.ops->recv(&t->intercept, &b, pool, &c), 0);
	run("ip link delete " DEVICE);
	assert_true(t->intercept.ops->recv(&t->intercept, &b, pool, &c) < 0);
	assert_int_equal(pool_left(pool), 2);
	t->intercept.ops->close(&t->intercept);
	pool_free(pool);
}

static void test_opening(void **state)
{
	struct tun *a, *b;

	NEED_NETNS(state);
	assert_null(tun_open("a-name-that-is-too-long", false));
	assert_int_equal(errno, ENAMETOOLONG);
	a = tun_open(DEVICE, true);
	b = tun_open(DEVICE, true);
	assert_non_null(a);
	assert_non_null(b);
	b->intercept.ops->close(&b->intercept);
	a->intercept.ops->close(&a->intercept);
	a = tun_open(DEVICE, false);
	assert_non_null(a);
	assert_null(tun_open(DEVICE, false));
	assert_int_equal(errno, EBUSY);
	a->intercept.ops->close(&a->intercept);
	/* The device goes with its last queue. */
	assert_null(strstr(shell("ip -o link"), DEVICE));
}

#define QUEUES 4

struct flow {
	const char *from, *to;
	uint16_t sport, dport;
	uint8_t proto;
};

/* Whether the next packet of this queue is this one: the kernel has some of its own. */
static bool gives(struct tun *t, const struct packet *p, struct pool *pool)
{
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	bool found = false;

	assert_true(t->intercept.ops->recv(&t->intercept, &b, pool, &c) >= 0);
	for (unsigned i = 0; i < b.n; i++)
		found |= b.p[i]->len == p->len && !memcmp(b.p[i]->data, p->data, p->len);
	give_up(pool, &b);
	return found;
}

/* Which of the queues a packet of that flow comes by. */
static unsigned queue_of(struct tun *t[QUEUES], int fd, struct flow f)
{
	struct pool *pool = pool_new(BATCH_MAX + 1);
	struct packet *p = udp_packet(pool, f.from, f.to, 1, 'x');
	const bool six = p->data[0] >> 4 == 6;
	struct sockaddr_ll device = { .sll_family = AF_PACKET,
				      .sll_protocol = htons(six ? ETH_P_IPV6 : ETH_P_IP),
				      .sll_ifindex = (int)if_nametoindex(DEVICE) };
	unsigned i = 0;

	p->data[six ? 6 : 9] = f.proto;
	put16(p->data + (six ? 40 : 20), f.sport);
	put16(p->data + (six ? 40 : 20) + 2, f.dport);
	assert_int_equal(sendto(fd, p->data, p->len, 0, (struct sockaddr *)&device, sizeof(device)),
			 p->len);
	while (!gives(t[i], p, pool))
		i = (i + 1) % QUEUES;
	pool_put(pool, p);
	pool_free(pool);
	return i;
}

static struct flow turned(struct flow f)
{
	return (struct flow){ f.to, f.from, f.dport, f.sport, f.proto };
}

/* Both ways of each flow by one queue, the one before at a router with the next ID; TCP
 * in every other queue, all else in those between, and flows in all of them. */
static void test_steering(void **state)
{
	const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };
	const char *ends[][2] = { { LOCAL4, FAR4 }, { LOCAL6, FAR6 } };
	unsigned used[QUEUES] = { 0 };
	struct tun *t[QUEUES];
	int fd;

	NEED_NETNS(state);
	for (unsigned i = 0; i < QUEUES; i++) {
		t[i] = tun_open(DEVICE, true);
		assert_non_null(t[i]);
	}
	run("ip link set " DEVICE " addrgenmode none up");
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < 96; i++) {
		struct flow f = { ends[i % 2][0], ends[i % 2][1], (uint16_t)(5000 + i), 80,
				  protocols[i % 3] };
		unsigned there, back, elsewhere;

		if (tun_steer(t[0], 1, QUEUES) == -EPERM)
			skip(); /* no BPF here */
		assert_true(t[0]->intercept.offloads & OFFLOAD_BIT(TUN_STEERING));
		there = queue_of(t, fd, f);
		back = queue_of(t, fd, turned(f));
		assert_int_equal(tun_steer(t[0], 2, QUEUES), 0);
		elsewhere = queue_of(t, fd, f);
		assert_int_equal(back, there);
		assert_int_equal((elsewhere + 1) % QUEUES, there);
		assert_int_equal(there % 2, f.proto == IPPROTO_TCP);
		used[there]++;
	}
	for (unsigned i = 0; i < QUEUES; i++)
		assert_true(used[i] >= 8);
	close(fd);
	for (unsigned i = 0; i < QUEUES; i++)
		t[i]->intercept.ops->close(&t[i]->intercept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, enter_netns),
		cmocka_unit_test_setup(test_bounds, enter_netns),
		cmocka_unit_test_setup(test_batch_is_filled_up, enter_netns),
		cmocka_unit_test_setup(test_device_down_and_gone, enter_netns),
		cmocka_unit_test_setup(test_opening, enter_netns),
		cmocka_unit_test_setup(test_steering, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("tun", tests, NULL, NULL);
}
