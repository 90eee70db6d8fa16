/*
 * Path MTU: found by probes, told to hosts, followed when it changes. A frame that
 * is too large for the wire vanishes without a word, as on the real Internet.
 */
#include <string.h>

#include "common/inet.h"
#include "tests/sim/net.h"

#define OUTER 28 /* IPv4 and UDP in front of a frame */

/* The largest frame of each type that left since it was cleared. */
struct sizes {
	uint32_t of[16];
};

static void measure(void *arg, struct net *n, const struct site *from, const struct datagram *d)
{
	struct sizes *s = arg;
	unsigned type = d->data[0] & 15;

	(void)n;
	(void)from;
	if (d->len > s->of[type])
		s->of[type] = d->len;
}

static void set_mtu(struct net *n, unsigned mtu, bool hint)
{
	for (unsigned i = 1; i <= 2; i++) {
		n->wires[i][3 - i].mtu = mtu;
		n->wires[i][3 - i].hint = hint;
	}
}

static void start(struct net *n, unsigned first_hop, unsigned mtu)
{
	n->sites[1].first_hop = n->sites[2].first_hop = first_hop;
	set_mtu(n, mtu, false);
	sites_start(n, 2, 1);
	sites_wait_up(n);
}

/* A TCP segment of a stream whose bytes follow from their sequence number. */
static void send_super(struct site *s, const struct ip *src, const struct ip *dst, uint32_t seq,
		       size_t len, uint16_t gso)
{
	uint8_t payload[NET_PACKET];
	struct host_packet h = { .src = *src,
				 .dst = *dst,
				 .proto = 6,
				 .sport = 5000,
				 .dport = 80,
				 .seq = seq,
				 .flags = 0x18,
				 .gso = gso,
				 .payload = payload,
				 .len = len };

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)((seq + i) * 7 + (seq + i) / 256);
	host_send(s, &h);
}

static void send_tcp(struct site *s, const struct ip *src, const struct ip *dst, uint32_t seq,
		     size_t len)
{
	send_super(s, src, dst, seq, len, 0);
}

struct stream {
	uint32_t next;	/* sequence expected */
	size_t largest; /* packet */
	unsigned packets, bad;
};

static void take_tcp(void *arg, struct site *s, const uint8_t *packet, size_t len)
{
	struct stream *t = arg;
	struct inet_info i;
	struct reader r;
	uint32_t seq;
	size_t got;

	(void)s;
	assert_true(inet_parse(packet, len, &i, &got));
	if (i.proto != 6)
		return;
	r = reader_init(packet + i.l4 + 4, 4);
	seq = read_u32(&r);
	t->packets++;
	t->largest = len > t->largest ? len : t->largest;
	t->bad += seq != t->next;
	for (size_t k = i.l4 + 20u; k < len; k++, seq++)
		t->bad += packet[k] != (uint8_t)(seq * 7 + seq / 256);
	t->next = seq;
}

/* ---- finding it ------------------------------------------------------------- */

static void found_exactly(void **state)
{
	static const unsigned mtus[] = { 1280, 1300, 1301, 1350, 1399, 1400, 1420, 1443,
					 1492, 1499, 1500, 1501, 2000, 4470, 8999, 9000 };

	(void)state;
	for (size_t k = 0; k < sizeof(mtus) / sizeof(mtus[0]); k++) {
		for (unsigned jumbo = 0; jumbo < 2; jumbo++) {
			struct net *n = net_new(k);
			unsigned hop = jumbo ? 9000 : 1500;
			unsigned mtu = mtus[k] < hop ? mtus[k] : hop;
			struct flow *f;
			uint64_t too_large;

			start(n, hop, mtus[k]);
			net_run(n, 10 * SEC);
			assert_int_equal(site_frame_max(n, 1, 2), mtu - OUTER);
			assert_int_equal(site_frame_max(n, 2, 1), mtu - OUTER);
			/* once known, nothing larger is sent but rare probes */
			too_large = n->wires[1][2].too_large;
			f = flow4(n, 1, 2, (uint16_t)(mtu - OUTER - FRAME_OVERHEAD), 10 * MSEC,
				  5000);
			net_run(n, 51 * SEC);
			flow_whole(f);
			assert_int_equal(n->wires[1][2].too_large, too_large);
			assert_int_equal(n->sites[1].answers, 0);
			net_free(n);
		}
	}
}

static void found_despite_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 30 * MSEC,
				  .jitter = 30 * MSEC,
				  .loss = seed % 2 ? 0.05 : 0.15,
				  .mtu = 1420 };

		net_wires(n, &w);
		sites_start(n, 2, 1);
		net_run(n, 60 * SEC);
		assert_in_range(site_frame_max(n, 1, 2), 1420 - OUTER - 30, 1420 - OUTER);
		assert_in_range(site_frame_max(n, 2, 1), 1420 - OUTER - 30, 1420 - OUTER);
		net_free(n);
	}
}

/* "mtu" set: no probes at all. */
static void fixed(void **state)
{
	struct net *n = *state;
	struct sizes s = { { 0 } };

	n->tap = measure;
	n->tap_arg = &s;
	n->sites[1].router_lines = n->sites[2].router_lines = "mtu = 1400";
	start(n, 1500, 1400);
	net_run(n, 60 * SEC);
	assert_int_equal(site_frame_max(n, 1, 2), 1400 - OUTER);
	assert_true(s.of[FRAME_CONTROL] < 200);
}

/* ---- telling hosts ------------------------------------------------------------ */

static void assert_too_big(const struct site *s, const struct ip *src, const struct ip *dst,
			   uint32_t mtu)
{
	struct inet_info i, quoted;
	struct reader r;
	const uint8_t *q;
	size_t len;

	assert_true(inet_parse(s->answer, s->answer_len, &i, &len));
	assert_true(inet_is_icmp_error(s->answer, len, &i));
	assert_int_equal(s->answer[i.l4], src->family == 6 ? 2 : 3);
	assert_int_equal(s->answer[i.l4 + 1], src->family == 6 ? 0 : 4);
	r = reader_init(s->answer + i.l4 + 4, 4);
	assert_int_equal(read_u32(&r), mtu);
	assert_true(ip_equal(&i.dst, src));
	if (src->family == 6)
		assert_true(ip_equal(&i.src,
				     &(struct ip){ 6, { 0xfd, 0, 0, 0x76, [7] = 1, [15] = 1 } }));
	else
		assert_true(ip_equal(&i.src, &(struct ip){ 4, { 172, 16, 1, 1 } }));
	q = inet_icmp_quoted(s->answer, len, &i, &len);
	assert_true(q && inet_parse_quoted(q, len, &quoted));
	assert_true(ip_equal(&quoted.src, src) && ip_equal(&quoted.dst, dst));
}

static void host_is_told(void **state)
{
	struct net *n = *state;
	struct ip a4 = host4(1, 10), b4 = host4(2, 10), a6 = host6(1, 10), b6 = host6(2, 10);
	struct site *s = &n->sites[1];
	uint32_t mtu = 1420 - OUTER - FRAME_OVERHEAD;
	struct flow *f;

	start(n, 1500, 1420);
	net_run(n, 5 * SEC);
	f = flow_new(n, 1, &a4, 2, &b4, (uint16_t)(mtu + 1), 100 * MSEC, 1);
	net_run(n, SEC);
	assert_int_equal(f->received, 0);
	assert_int_equal(s->answers, 1);
	assert_too_big(s, &a4, &b4, mtu);
	f = flow_new(n, 1, &a6, 2, &b6, (uint16_t)(mtu + 1), 100 * MSEC, 1);
	net_run(n, SEC);
	assert_int_equal(s->answers, 2);
	assert_too_big(s, &a6, &b6, mtu);
	f = flow_new(n, 1, &a6, 2, &b6, (uint16_t)mtu, 100 * MSEC, 10);
	net_run(n, 2 * SEC);
	flow_whole(f);
	assert_int_equal(site_drops(s, DROP_TOO_BIG), 2);
	/* one that does not listen is not told without end */
	flow_new(n, 1, &a4, 2, &b4, 1400, MSEC, 10000);
	net_run(n, 10 * SEC);
	assert_in_range(s->answers, 100, 2 + 8 + 201);
}

/* A fragment of a datagram that its host has cut; `at` is a multiple of 8. */
static void send_fragment(struct site *s, const struct ip *src, const struct ip *dst, uint16_t at,
			  uint16_t len)
{
	uint8_t packet[1500] = { 0x60, [4] = (uint8_t)((8 + len) >> 8), (uint8_t)(8 + len), 44,
				 64 };
	const struct virtio_net_hdr words = { .flags = 0 };
	uint8_t *header = packet + INET_V6_HEADER;

	memcpy(packet + 8, src->b, 16);
	memcpy(packet + 24, dst->b, 16);
	header[0] = 17;
	header[2] = (uint8_t)(at >> 8);
	header[3] = (uint8_t)(at | 1); /* more follow */
	site_intercept(s, &words, packet, INET_V6_HEADER + 8u + len);
}

/* IPv6 hosts do not go below 1,280 and do not listen to who says so: they are told that,
 * and it goes out all the same, alone or out of a super-packet. */
static void less_than_ipv6_promises(void **state)
{
	struct net *n = *state;
	struct sizes sizes = { { 0 } };
	uint8_t payload[10 * 1232] = { 0 };
	struct host_packet h = { .src = host6(1, 10),
				 .dst = host6(2, 10),
				 .proto = 17,
				 .payload = payload,
				 .len = 1233 };
	uint64_t wired;

	start(n, 1500, 1300);
	net_run(n, 5 * SEC);
	host_send(&n->sites[1], &h);
	assert_int_equal(site_drops(&n->sites[1], DROP_TOO_BIG), 1);
	assert_int_equal(n->sites[1].answers, 1);
	assert_too_big(&n->sites[1], &h.src, &h.dst, 1280);
	n->tap = measure;
	n->tap_arg = &sizes;
	wired = n->sites[1].wired;
	h.len = 1232;
	host_send(&n->sites[1], &h);
	assert_int_equal(n->sites[1].wired, wired + 1);
	assert_int_equal(sizes.of[FRAME_FORWARD], 1280 + FRAME_OVERHEAD);
	h.gso = 1232;
	h.len = sizeof(payload);
	host_send(&n->sites[1], &h);
	assert_int_equal(n->sites[1].wired, wired + 11);
	assert_int_equal(sizes.of[FRAME_FORWARD], 1280 + FRAME_OVERHEAD);
	assert_int_equal(n->sites[1].answers, 1);
	assert_int_equal(site_drops(&n->sites[1], DROP_TOO_BIG), 1);
}

/* Fragments that can't be answered don't use up what their host may be told. */
static void first_fragment_is_answered(void **state)
{
	struct net *n = *state;
	struct ip a6 = host6(1, 10), b6 = host6(2, 10);

	start(n, 1500, 1420);
	net_run(n, 5 * SEC);
	for (uint16_t i = 1; i <= 30; i++)
		send_fragment(&n->sites[1], &a6, &b6, (uint16_t)(i * 1400), 1400);
	assert_int_equal(n->sites[1].answers, 0);
	send_fragment(&n->sites[1], &a6, &b6, 0, 1400);
	assert_int_equal(n->sites[1].answers, 1);
	assert_too_big(&n->sites[1], &a6, &b6, 1420 - OUTER - FRAME_OVERHEAD);
	assert_int_equal(site_drops(&n->sites[1], DROP_TOO_BIG), 31);
}

/* What may be fragmented is. */
static void fragments(void **state)
{
	struct net *n = *state;
	struct sizes sizes = { { 0 } };
	struct flow *f;

	start(n, 1500, 1400);
	net_run(n, 5 * SEC);
	n->tap = measure;
	n->tap_arg = &sizes;
	f = flow4(n, 1, 2, 1500, 10 * MSEC, 100);
	f->fragmentable = true;
	net_run(n, 2 * SEC);
	assert_int_equal(n->sites[2].others, 200);
	assert_int_equal(n->sites[1].answers, 0);
	assert_true(sizes.of[FRAME_FORWARD] <= 1400 - OUTER);
	assert_int_equal(router_events(n->sites[1].router, EVENT_SEGMENTS_CUT), 100);
}

/* ---- TCP ------------------------------------------------------------------------ */

/* Segments of hosts that take no hint: cut, whole, in order, both families. */
static void segments_are_cut(void **state)
{
	struct net *n = *state;
	struct sizes sizes = { { 0 } };

	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct ip src = v6 ? host6(1, 10) : host4(1, 10);
		struct ip dst = v6 ? host6(2, 10) : host4(2, 10);
		struct stream t = { .next = 0xfffff000 };
		uint32_t seq = t.next;

		if (!v6) {
			start(n, 1500, 1350);
			net_run(n, 5 * SEC);
			n->tap = measure;
			n->tap_arg = &sizes;
		}
		n->sites[2].sink = take_tcp;
		n->sites[2].sink_arg = &t;
		for (unsigned i = 0; i < 500; i++) {
			size_t len = 1 + net_random(n, i % 10 ? 1440 : 8000);

			send_tcp(&n->sites[1], &src, &dst, seq, len);
			seq += (uint32_t)len;
			net_run(n, 5 * MSEC);
		}
		net_run(n, SEC);
		assert_int_equal(t.bad, 0);
		assert_int_equal(t.next, seq);
		assert_int_equal(t.largest, 1350 - OUTER - FRAME_OVERHEAD);
	}
	assert_true(sizes.of[FRAME_FORWARD] <= 1350 - OUTER);
	assert_true(router_events(n->sites[1].router, EVENT_SEGMENTS_CUT) > 100);
}

struct partial {
	unsigned marked, forward;
};

static void count_partial(void *arg, struct net *n, const struct site *from,
			  const struct datagram *d)
{
	struct partial *p = arg;

	(void)n;
	(void)from;
	p->forward += (d->data[0] & 15) == FRAME_FORWARD;
	p->marked += (d->data[1] & STATE_PARTIAL) != 0;
}

/* A stream in super-packets, whose segments fit or don't, arrives whole, in order and
 * with right checksums, whether they may be left partial on the way or not. */
static void check_supers(const char *security, bool signs)
{
	struct net *n = net_new(3);
	struct partial partial = { 0 };
	uint64_t supers = 0;

	n->sites[1].security = n->sites[2].security = security;
	start(n, 1500, 1350);
	net_run(n, 5 * SEC);
	n->tap = count_partial;
	n->tap_arg = &partial;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct ip src = v6 ? host6(1, 10) : host4(1, 10);
		struct ip dst = v6 ? host6(2, 10) : host4(2, 10);
		struct stream t = { .next = 0xfffff000 };
		uint32_t seq = t.next;

		n->sites[2].sink = take_tcp;
		n->sites[2].sink_arg = &t;
		for (unsigned i = 0; i < 200; i++) {
			uint16_t gso = (uint16_t)(100 + net_random(n, 1400));
			size_t len = 1 + net_random(n, i % 3 ? 65400 : 2 * gso);

			send_super(&n->sites[1], &src, &dst, seq, len, gso);
			seq += (uint32_t)len;
			supers++;
			net_run(n, 5 * MSEC);
		}
		net_run(n, SEC);
		assert_int_equal(t.bad, 0);
		assert_int_equal(t.next, seq);
		assert_true(t.largest <= 1350 - OUTER - FRAME_OVERHEAD);
		assert_true(t.packets > 20 * supers / (v6 + 1));
	}
	assert_int_equal(partial.marked, signs ? partial.forward : 0);
	net_free(n);
}

static void super_packets(void **state)
{
	(void)state;
	check_supers("sign = hmac-sha256\n", true);
	check_supers("encrypt = aes-256-gcm\n", true);
	check_supers("sign = none\n", false);
}

/* UDP: datagrams of the size that the host chose; too large for the path: the host is
 * told, and none goes. */
static void super_datagrams(void **state)
{
	struct net *n = *state;
	uint8_t payload[10000];
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(2, 10),
				 .proto = 17,
				 .sport = 5000,
				 .dport = 53,
				 .payload = payload,
				 .len = sizeof(payload),
				 .gso = 999 };

	memset(payload, 7, sizeof(payload));
	start(n, 1500, 1350);
	net_run(n, 5 * SEC);
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(n->sites[2].others, 11);
	assert_int_equal(n->sites[2].other_len, 28 + sizeof(payload) - 10 * 999);
	h.gso = 1400;
	host_send(&n->sites[1], &h);
	net_run(n, SEC);
	assert_int_equal(n->sites[2].others, 11);
	assert_int_equal(n->sites[1].answers, 1);
	assert_int_equal(site_drops(&n->sites[1], DROP_TOO_BIG), 1);
}

static unsigned mss_of(const struct site *s)
{
	unsigned l4 = s->other[0] >> 4 == 6 ? 40 : 20;

	assert_int_equal(s->other_len, l4 + 24);
	return (unsigned)s->other[l4 + 22] << 8 | s->other[l4 + 23];
}

static void mss_is_clamped(void **state)
{
	struct net *n = *state;
	unsigned mtu = 1400 - OUTER - FRAME_OVERHEAD;
	struct host_packet h = { .src = host4(1, 10),
				 .dst = host4(2, 10),
				 .proto = 6,
				 .sport = 5000,
				 .dport = 80,
				 .flags = 2,
				 .mss = 1460,
				 .payload = (const uint8_t *)"" };

	start(n, 1500, 1400);
	net_run(n, 5 * SEC);
	host_send(&n->sites[1], &h);
	net_run(n, 100 * MSEC);
	assert_int_equal(mss_of(&n->sites[2]), mtu - 40);
	h.src = host6(1, 10);
	h.dst = host6(2, 10);
	h.mss = 1440;
	host_send(&n->sites[1], &h);
	net_run(n, 100 * MSEC);
	assert_int_equal(mss_of(&n->sites[2]), mtu - 60);
	h.mss = 1000;
	host_send(&n->sites[1], &h);
	net_run(n, 100 * MSEC);
	assert_int_equal(mss_of(&n->sites[2]), 1000);
	/* a way that is narrower in one direction binds both */
	n->wires[2][1].mtu = 1300;
	n->wires[2][1].hint = true;
	flow4(n, 2, 1, 1332, 10 * MSEC, 1000);
	net_run(n, 20 * SEC);
	assert_int_equal(site_frame_max(n, 2, 1), 1300 - OUTER);
	h.mss = 1440;
	host_send(&n->sites[1], &h);
	net_run(n, 100 * MSEC);
	assert_int_equal(mss_of(&n->sites[2]), 1300 - OUTER - FRAME_OVERHEAD - 60);
}

/* ---- changes ---------------------------------------------------------------------- */

struct goal {
	unsigned mtu;
};

static bool is_reached(void *arg, struct net *n)
{
	const struct goal *g = arg;

	return site_frame_max(n, 1, 2) == g->mtu - OUTER &&
	       site_frame_max(n, 2, 1) == g->mtu - OUTER && sites_are_up(NULL, n);
}

/* Narrower in the middle of a flow: within seconds if the path says so, within
 * half a minute if it swallows. */
static void becomes_narrower(void **state)
{
	(void)state;
	for (unsigned hint = 0; hint < 2; hint++) {
		struct net *n = net_new(hint);
		struct goal g = { 1330 };
		struct stream t = { .next = 1 };
		struct flow *f;
		struct ip a = host4(1, 10), b = host4(2, 10);
		uint32_t seq = 1;

		start(n, 1500, 1500);
		flow4(n, 1, 2, 1400, 20 * MSEC, 5000);
		flow4(n, 2, 1, 1400, 20 * MSEC, 5000);
		net_run(n, 5 * SEC);
		set_mtu(n, 1330, hint);
		assert_true(net_wait(n, is_reached, &g, hint ? 5 * SEC : 40 * SEC) >= 0);
		assert_true(n->sites[1].answers > 0);
		/* never down: small frames pass all the while */
		assert_int_equal(net_logged(n, "down"), 0);
		f = flow4(n, 1, 2, 1330 - OUTER - FRAME_OVERHEAD, 10 * MSEC, 300);
		net_run(n, 4 * SEC);
		flow_whole(f);
		n->sites[2].sink = take_tcp;
		n->sites[2].sink_arg = &t;
		for (; seq < 100000; seq += 1400) {
			send_tcp(&n->sites[1], &a, &b, seq, 1400);
			net_run(n, MSEC);
		}
		net_run(n, SEC);
		assert_int_equal(t.next, seq);
		assert_int_equal(t.bad, 0);
		net_free(n);
	}
}

/* Wider again: found within the ten minutes between searches. */
static void becomes_wider(void **state)
{
	struct net *n = *state;
	struct goal g = { 1500 };

	start(n, 1500, 1350);
	net_run(n, 5 * SEC);
	set_mtu(n, 1500, false);
	assert_true(net_wait(n, is_reached, &g, 620 * SEC) >= 0);
}

/* A forged hint costs probes and changes nothing. */
static void false_hints(void **state)
{
	struct net *n = *state;
	struct flow *f;

	start(n, 1500, 1500);
	net_run(n, 5 * SEC);
	f = flow4(n, 1, 2, 1500 - OUTER - FRAME_OVERHEAD, 10 * MSEC, 500);
	for (unsigned i = 0; i < 5000; i++) {
		net_hint(&n->sites[1], &n->sites[2].own[0], 0);
		net_run(n, MSEC);
	}
	net_run(n, 2 * SEC);
	flow_whole(f);
	assert_int_equal(site_frame_max(n, 1, 2), 1500 - OUTER);
	assert_true(n->sites[1].wired < 500 + 100);
}

/* Large packets that wait for the first result are not lost. */
static void large_ones_wait(void **state)
{
	struct net *n = *state;
	struct flow *f;

	set_mtu(n, 1450, false);
	sites_start(n, 2, 1);
	f = flow6(n, 1, 2, 1350, 20 * MSEC, 50);
	net_run(n, 5 * SEC);
	flow_whole(f);
	assert_int_equal(n->sites[1].answers, 0);
}

/* A rekey that the other side begins keeps what is known of the path. */
static void rekey_keeps_it(void **state)
{
	struct net *n = *state;
	struct flow *f;

	n->sites[1].security = "rekey-after = 120s";
	n->sites[2].security = "rekey-after = 2s";
	start(n, 1500, 1500);
	net_run(n, 5 * SEC);
	f = flow4(n, 1, 2, 1500 - OUTER - FRAME_OVERHEAD, MSEC, 20000);
	net_run(n, 21 * SEC);
	flow_whole(f);
	assert_true(router_events(n->sites[1].router, EVENT_REKEYS) > 5);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HELD), 0);
	assert_int_equal(f->reordered, 0);
}

/* As long as nothing is known of the path, a segment that is cut to be sure makes
 * nobody believe that it has to be. */
static void nobody_is_told_too_early(void **state)
{
	struct net *n = *state;
	struct ip src = host4(1, 10), dst = host4(2, 10);
	struct stream t = { .next = 1 };

	n->sites[2].sink = take_tcp;
	n->sites[2].sink_arg = &t;
	sites_start(n, 2, 1);
	for (uint32_t seq = 1; seq < 20000; seq += 1380) {
		send_tcp(&n->sites[1], &src, &dst, seq, 1380);
		net_run(n, 5 * MSEC);
	}
	net_run(n, 2 * SEC);
	assert_int_equal(t.bad, 0);
	assert_int_equal(n->sites[1].answers, 0);
	assert_true(router_events(n->sites[1].router, EVENT_SEGMENTS_CUT) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_exactly),
		cmocka_unit_test(found_despite_loss),
		net_test(fixed),
		net_test(host_is_told),
		net_test(less_than_ipv6_promises),
		net_test(first_fragment_is_answered),
		net_test(fragments),
		net_test(segments_are_cut),
		cmocka_unit_test(super_packets),
		net_test(super_datagrams),
		net_test(mss_is_clamped),
		cmocka_unit_test(becomes_narrower),
		net_test(becomes_wider),
		net_test(false_hints),
		net_test(large_ones_wait),
		net_test(rekey_keeps_it),
		net_test(nobody_is_told_too_early),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
