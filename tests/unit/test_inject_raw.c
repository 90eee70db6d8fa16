/* links: router/inject_raw router/tun router/offload common/addr common/inet common/inet_check
 * common/packet */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/inject.h"
#include "router/tun.h"
#include "tests/unit/gateway.h"

#define FAR4 "172.16.10.5"
#define FAR6 "fd00:76:0:10::5"
#define HOST4 "172.16.0.20"
#define HOST6 "fd00:76:0:1::20"

/* To this machine itself. */
static void test_local(void **state)
{
	struct pool *pool = pool_new(8);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct inject *in;
	char text[64];
	int fd4, fd6;

	NEED_NETNS(state);
	add_address(HOST4);
	add_address(HOST6);
	in = inject_raw_open();
	assert_non_null(in);
	assert_false(in->ops->kernel_routes);
	fd4 = udp_at(HOST4, PORT);
	fd6 = udp_at(HOST6, PORT);
	batch_add(&b, udp_packet(pool, FAR4, HOST4, 5, 'a'));
	batch_add(&b, udp_packet(pool, FAR6, HOST6, 6, 'b'));
	batch_add(&b, udp_packet(pool, FAR4, HOST4, 3, 'c'));
	in->ops->send(in, &b, pool, &c);
	assert_int_equal(b.n, 0);
	assert_int_equal(counter_read(&c.injected), 3);
	assert_int_equal(counter_read(&c.drops[DROP_INJECT]), 0);
	assert_true(readable(fd4));
	assert_int_equal(recv(fd4, text, sizeof(text), 0), 5);
	assert_memory_equal(text, "aaaaa", 5);
	assert_int_equal(recv(fd4, text, sizeof(text), 0), 3);
	assert_true(readable(fd6));
	assert_int_equal(recv(fd6, text, sizeof(text), 0), 6);
	assert_memory_equal(text, "bbbbbb", 6);
	assert_int_equal(pool_left(pool), 8);
	close(fd4);
	close(fd6);
	in->ops->close(in);
	pool_free(pool);
}

/* The next packet from the device that is UDP from our far host. */
static struct packet *from_lan(struct tun *lan, struct pool *pool, struct counters *c)
{
	struct batch b = { .n = BATCH_MAX - 1 };

	while (readable(lan->intercept.fd)) {
		struct packet *p;

		if (lan->intercept.ops->recv(&lan->intercept, &b, pool, c) != 1)
			return NULL;
		p = b.p[BATCH_MAX - 1];
		if (p->data[0] >> 4 == 4 ? p->data[9] == IPPROTO_UDP : p->data[6] == IPPROTO_UDP)
			return p;
		pool_put(pool, p);
		b.n--;
	}
	return NULL;
}

/* To hosts behind a device: the bytes come out as they went in. */
static void test_bytes_stay(void **state)
{
	struct pool *pool = pool_new(8);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct inject *in;
	struct packet *p;
	struct tun *lan;
	uint8_t sent[2][100];

	NEED_NETNS(state);
	lan = tun_open(DEVICE, false);
	assert_non_null(lan);
	run("ip link set " DEVICE " addrgenmode none up && ip route add 172.16.0.0/24 dev " DEVICE
	    " && ip route add fd00:76:0:1::/64 dev " DEVICE);
	in = inject_raw_open();
	assert_non_null(in);
	batch_add(&b, udp_packet(pool, FAR4, HOST4, 8, 'a'));
	batch_add(&b, udp_packet(pool, FAR6, HOST6, 8, 'b'));
	/* A first fragment, with DSCP and ECN: not held back for the others. */
	b.p[0]->data[1] = 0xb9;
	put16(b.p[0]->data + 6, 0x2000);
	fix_v4(b.p[0]->data);
	memcpy(sent[0], b.p[0]->data, 36);
	memcpy(sent[1], b.p[1]->data, 56);
	in->ops->send(in, &b, pool, &c);
	assert_int_equal(counter_read(&c.injected), 2);
	p = from_lan(lan, pool, &c);
	assert_non_null(p);
	assert_int_equal(p->len, 36);
	assert_memory_equal(p->data, sent[0], 36);
	pool_put(pool, p);
	p = from_lan(lan, pool, &c);
	assert_non_null(p);
	assert_int_equal(p->len, 56);
	assert_memory_equal(p->data, sent[1], 56);
	pool_put(pool, p);
	in->ops->close(in);
	lan->intercept.ops->close(&lan->intercept);
	pool_free(pool);
}

/* One that the kernel refuses does not take the others with it. */
static void test_refused(void **state)
{
	struct pool *pool = pool_new(16);
	struct counters c = { .drops = { { 0 } } };
	struct batch b = { .n = 0 };
	struct inject *in;
	struct packet *p;
	struct tun *lan;

	NEED_NETNS(state);
	lan = tun_open(DEVICE, false);
	assert_non_null(lan);
	run("ip link set " DEVICE " addrgenmode none mtu 1280 up && "
	    "ip route add 172.16.0.0/24 dev " DEVICE " && "
	    "ip route add fd00:76:0:1::/64 dev " DEVICE);
	in = inject_raw_open();
	assert_non_null(in);
	batch_add(&b, udp_packet(pool, FAR4, HOST4, 1280 - 28 + 1, 'a')); /* too large */
	batch_add(&b, udp_packet(pool, FAR4, HOST4, 1280 - 28, 'b'));
	batch_add(&b, udp_packet(pool, FAR4, "192.0.2.7", 5, 'c'));	  /* no route */
	batch_add(&b, udp_packet(pool, FAR6, HOST6, 1280 - 48 + 1, 'd')); /* too large */
	batch_add(&b, udp_packet(pool, FAR6, HOST6, 1280 - 48, 'e'));
	p = pool_get(pool); /* nothing at all */
	batch_add(&b, p);
	p = udp_packet(pool, FAR4, HOST4, 5, 'f');
	p->len = 19;
	batch_add(&b, p);
	in->ops->send(in, &b, pool, &c);
	assert_int_equal(counter_read(&c.injected), 2);
	assert_int_equal(counter_read(&c.drops[DROP_INJECT]), 5);
	assert_int_equal(pool_left(pool), 16);
	p = from_lan(lan, pool, &c);
	assert_non_null(p);
	assert_int_equal(p->data[28], 'b');
	pool_put(pool, p);
	p = from_lan(lan, pool, &c);
	assert_non_null(p);
	assert_int_equal(p->data[48], 'e');
	pool_put(pool, p);
	in->ops->close(in);
	lan->intercept.ops->close(&lan->intercept);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_local, enter_netns),
		cmocka_unit_test_setup(test_bytes_stay, enter_netns),
		cmocka_unit_test_setup(test_refused, enter_netns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("inject_raw", tests, NULL, NULL);
}
