/*
 * The way from the router to the site's hosts, where the kernel does not route: its MTU
 * is the router's to look after, and the sender at the other end is told.
 */
#include <string.h>

#include "common/inet.h"
#include "router/adjacency.h"
#include "tests/sim/net.h"

#define LAN_MTU 1300

/* Two sites; the second one's hosts are on a link that takes LAN_MTU. */
static void start(struct net *n)
{
	const struct link_row link = { .ifindex = 2, .mtu = LAN_MTU };
	struct route_row routes[] = { { .ifindex = 2, .prefix = { host4(2, 0), 24 } },
				      { .ifindex = 2, .prefix = { host6(2, 0), 64 } } };

	n->sites[2].kernel_routes = false;
	sites_start(n, 2, 1);
	sites_wait_up(n);
	net_run(n, 5 * SEC);
	router_set_adjacencies(n->sites[2].router, adjacencies_new(&link, 1, routes, 2, NULL, 0));
}

struct arrived {
	unsigned errors;
	struct inet_info error;
	uint32_t mtu; /* that the last one named */
	/* the rest, put together */
	unsigned packets, bad;
	size_t largest, bytes;
	uint32_t next; /* TCP sequence expected */
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t byte_at(uint32_t seq)
{
	return (uint8_t)(seq * 7 + seq / 256);
}

static void take(void *arg, struct site *s, const uint8_t *packet, size_t len)
{
	struct arrived *a = arg;
	struct inet_info i;
	size_t got;

	(void)s;
	assert_true(inet_parse(packet, len, &i, &got));
	if (inet_is_icmp_error(packet, len, &i)) {
		a->errors++;
		a->error = i;
		a->mtu = get32(packet + i.l4 + 4);
		return;
	}
	a->packets++;
	a->largest = len > a->largest ? len : a->largest;
	if (i.proto == 6) {
		a->bad += get32(packet + i.l4 + 4) != a->next;
		for (size_t k = i.l4 + 20u; k < len; k++, a->next++)
			a->bad += packet[k] != byte_at(a->next);
	} else {
		a->bytes += len - i.l4;
	}
}

static struct arrived *watch(struct site *s, struct arrived *a)
{
	*a = (struct arrived){ .next = 1 };
	s->sink = take;
	s->sink_arg = a;
	return a;
}

static void sender_is_told(void **state)
{
	struct net *n = *state;
	struct site *to = &n->sites[2];
	uint8_t payload[LAN_MTU] = { 0 };
	struct arrived at1, at2;

	start(n);
	watch(&n->sites[1], &at1);
	watch(to, &at2);
	for (unsigned six = 0; six < 2; six++) {
		struct host_packet h = { .src = six ? host6(1, 10) : host4(1, 10),
					 .dst = six ? host6(2, 10) : host4(2, 10),
					 .proto = 17,
					 .dport = 4000,
					 .payload = payload,
					 .len = LAN_MTU - (six ? 48 : 28) };
		struct ip own = six ? host6(2, 1) : host4(2, 1);

		host_send(&n->sites[1], &h); /* fits */
		net_run(n, SEC);
		assert_int_equal(at2.packets, six + 1);
		h.len++;
		host_send(&n->sites[1], &h);
		net_run(n, SEC);
		assert_int_equal(at2.packets, six + 1);
		assert_int_equal(at1.errors, six + 1);
		assert_int_equal(at1.mtu, LAN_MTU);
		assert_true(ip_equal(&at1.error.src, &own));
		assert_true(ip_equal(&at1.error.dst, &h.src));
		assert_int_equal(site_drops(to, DROP_TOO_BIG), six + 1);
	}
	/* a host that nothing is known of */
	router_set_adjacencies(to->router, NULL);
	host_send(&n->sites[1], &(struct host_packet){ .src = host4(1, 10),
						       .dst = host4(2, 10),
						       .proto = 17,
						       .dport = 4000,
						       .payload = payload,
						       .len = LAN_MTU - 27 });
	net_run(n, SEC);
	assert_int_equal(at2.packets, 3);
	assert_int_equal(at1.errors, 2);
}

static void fragments(void **state)
{
	struct net *n = *state;
	uint8_t payload[LAN_MTU] = { 0 };
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(2, 10),
				 .proto = 17,
				 .dport = 4000,
				 .fragmentable = true,
				 .payload = payload,
				 .len = sizeof(payload) };
	struct arrived at1, at2;

	start(n);
	watch(&n->sites[1], &at1);
	watch(&n->sites[2], &at2);
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(at2.packets, 2);
	assert_int_equal(at2.bytes, sizeof(payload) + 8);
	assert_in_range(at2.largest, 1280, LAN_MTU);
	assert_int_equal(at1.errors, 0);
	assert_int_equal(site_all_drops(&n->sites[2]), 0);
}

/* More pieces than fit into a batch; all of them, in their order. */
static void segments_are_cut(void **state)
{
	struct net *n = *state;
	static uint8_t payload[60000];
	struct arrived at1, at2;

	start(n);
	for (unsigned six = 0; six < 2; six++) {
		struct host_packet h = { .src = six ? host6(1, 10) : host4(1, 10),
					 .dst = six ? host6(2, 10) : host4(2, 10),
					 .proto = 6,
					 .sport = 5000,
					 .dport = 80,
					 .seq = 1,
					 .flags = 0x18,
					 .gso = 1340,
					 .payload = payload,
					 .len = sizeof(payload) };

		watch(&n->sites[1], &at1);
		watch(&n->sites[2], &at2);
		for (uint32_t i = 0; i < sizeof(payload); i++)
			payload[i] = byte_at(i + 1);
		host_send(&n->sites[1], &h);
		net_run(n, SEC);
		assert_int_equal(at2.next, 1 + sizeof(payload));
		assert_int_equal(at2.bad, 0);
		assert_int_equal(at2.largest, LAN_MTU);
		assert_in_range(at2.packets, 80, 92);
		assert_true(at1.errors > 0);
		assert_int_equal(at1.mtu, LAN_MTU);
	}
	assert_int_equal(site_drops(&n->sites[2], DROP_TOO_BIG), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(sender_is_told),
		net_test(fragments),
		net_test(segments_are_cut),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
