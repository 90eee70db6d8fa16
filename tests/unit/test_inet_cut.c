/* links: common/inet common/inet_cut common/inet_check */
/*
 * Cutting TCP segments and IPv4 packets: the pieces add up to the packet, fit
 * the MTU, and have right headers and checksums, for many lengths and MTUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/inet.h"
#include "tests/unit/inet_build.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64, CWR = 128 };

static uint8_t pkt[70000], out[70000], whole[70000];

static struct inet_info parsed(const uint8_t *p, size_t len)
{
	struct inet_info info;
	size_t n = 0;

	assert_true(inet_parse(p, len, &info, &n));
	assert_int_equal(n, len);
	return info;
}

/* Cuts pkt and checks each segment. Returns how many there were. */
static unsigned cut_segments(size_t len, uint32_t mtu)
{
	struct inet_info info = parsed(pkt, len), piece;
	size_t header = info.l4 + (size_t)(pkt[info.l4 + 12] >> 4) * 4, at = 0, n;
	uint8_t flags = pkt[info.l4 + 13], want;
	struct inet_cut cut;
	unsigned count = 0;

	assert_true(inet_cut_tcp(&cut, pkt, len, &info, mtu));
	while ((n = inet_cut_next(&cut, out, mtu))) {
		bool last = at + n - header == len - header;

		assert_in_range(n, header + 1, mtu);
		assert_true(last || n == mtu);
		piece = parsed(out, n);
		assert_int_equal(piece.l4, info.l4);
		assert_int_equal(ref_transport(out, info.l4, n, 6), 0xffff);
		assert_int_equal(be32(out + info.l4 + 4), (uint32_t)(be32(pkt + info.l4 + 4) + at));
		want = flags;
		if (!last)
			want &= (uint8_t) ~(FIN | PSH);
		if (at)
			want &= (uint8_t)~CWR;
		assert_int_equal(out[info.l4 + 13], want);
		if (info.src.family == 4)
			assert_int_equal(be16(out + 4), (uint16_t)(be16(pkt + 4) + count));
		else
			assert_memory_equal(out + 6, pkt + 6, info.l4 - 6u);
		assert_memory_equal(out + info.l4, pkt + info.l4, 4);	      /* ports */
		assert_memory_equal(out + info.l4 + 8, pkt + info.l4 + 8, 4); /* ack */
		assert_memory_equal(out + info.l4 + 20, pkt + info.l4 + 20, header - info.l4 - 20);
		assert_memory_equal(out + header, pkt + header + at, n - header);
		at += n - header;
		count++;
	}
	assert_int_equal(at, len - header);
	return count;
}

static void tcp_v4(void **state)
{
	static const uint8_t stamps[12] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint8_t ip_options[4] = { 148, 4, 0, 0 }; /* router alert */
	size_t len;

	(void)state;
	for (size_t payload = 1; payload < 400; payload += 7) {
		for (uint32_t mtu = 57; mtu < 500; mtu += 13) {
			len = build_v4(pkt, ip_options, 4, 6, 32 + payload);
			build_tcp(pkt, 24, len, ACK | PSH | FIN | ECE | CWR, stamps, 12);
			assert_int_equal(cut_segments(len, mtu),
					 (payload + mtu - 56 - 1) / (mtu - 56));
		}
	}
	len = build_v4(pkt, NULL, 0, 6, 65515); /* the largest there is */
	build_tcp(pkt, 20, len, ACK | PSH, NULL, 0);
	assert_int_equal(cut_segments(len, 1400), (65495 + 1359) / 1360);
}

static void tcp_v6(void **state)
{
	size_t len;

	(void)state;
	for (size_t payload = 1; payload < 400; payload += 7) {
		for (uint32_t mtu = 69; mtu < 500; mtu += 13) {
			len = build_v6(pkt, 60, 8 + 20 + payload);
			memset(pkt + 40, 0, 8);
			pkt[40] = 6;
			pkt[42] = 1; /* PadN */
			pkt[43] = 4;
			build_tcp(pkt, 48, len, ACK | PSH | CWR, NULL, 0);
			assert_int_equal(cut_segments(len, mtu),
					 (payload + mtu - 68 - 1) / (mtu - 68));
		}
	}
	len = build_v6(pkt, 6, 65535);
	build_tcp(pkt, 40, len, ACK, NULL, 0);
	assert_int_equal(cut_segments(len, 1280), (65515 + 1219) / 1220);
}

/* A partial checksum in the packet is no matter, nor are bytes behind it. */
static void tcp_partial(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 6, 20 + 3000), n;
	struct inet_info info;
	struct inet_cut cut;
	size_t sum = 0;

	(void)state;
	build_tcp(pkt, 20, len, ACK, NULL, 0);
	put16(pkt + 36, 0xdead);
	info = parsed(pkt, len);
	assert_true(inet_cut_tcp(&cut, pkt, len + 100, &info, 1000));
	while ((n = inet_cut_next(&cut, out, sizeof(out)))) {
		assert_int_equal(ref_transport(out, 20, n, 6), 0xffff);
		sum += n - 40;
	}
	assert_int_equal(sum, 3000);
}

static void tcp_urgent(void **state)
{
	static const uint16_t want[] = { 200, 100, 0, 0, 0 };
	size_t len = build_v4(pkt, NULL, 0, 6, 20 + 500), n;
	struct inet_info info;
	struct inet_cut cut;
	unsigned i = 0;

	(void)state;
	build_tcp(pkt, 20, len, ACK | URG, NULL, 0);
	put16(pkt + 38, 200);
	info = parsed(pkt, len);
	assert_true(inet_cut_tcp(&cut, pkt, len, &info, 140));
	while ((n = inet_cut_next(&cut, out, sizeof(out)))) {
		assert_int_equal(be16(out + 38), want[i]);
		assert_int_equal(out[33] & URG, want[i] ? URG : 0);
		i++;
	}
	assert_int_equal(i, 5);
}

static void tcp_refused(void **state)
{
	static const uint8_t lsrr[8] = { 1, 131, 7, 4, 9, 9, 9, 9 };
	struct inet_cut cut;
	struct inet_info info;
	size_t len = build_v4(pkt, NULL, 0, 6, 220);

	(void)state;
	build_tcp(pkt, 20, len, ACK, NULL, 0);
	info = parsed(pkt, len);
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 40)); /* no room */
	assert_true(inet_cut_tcp(&cut, pkt, len, &info, 41));
	assert_int_equal(inet_cut_next(&cut, out, 40), 0); /* out too small */
	assert_false(inet_cut_tcp(&cut, pkt, 39, &info, 100));
	info.more = true;
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	info.more = false;
	info.proto = 17;
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	info.proto = 6;
	pkt[33] = SYN;
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	pkt[33] = RST | ACK;
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	len = build_v4(pkt, NULL, 0, 6, 20); /* nothing to cut */
	build_tcp(pkt, 20, len, ACK, NULL, 0);
	info = parsed(pkt, len);
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	len = build_v4(pkt, lsrr, 8, 6, 220);
	build_tcp(pkt, 28, len, ACK, NULL, 0);
	info = parsed(pkt, len);
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 100));
	len = build_v6(pkt, 43, 8 + 220);
	memset(pkt + 40, 0, 8);
	pkt[40] = 6;
	build_tcp(pkt, 48, len, ACK, NULL, 0);
	info = parsed(pkt, len);
	assert_false(inet_cut_tcp(&cut, pkt, len, &info, 150));
}

/* Cuts the packet p into fragments, each of them again (to mtu2, if that is not
 * 0), and puts the payload where the offsets say. Returns how many there were. */
static unsigned collect(const uint8_t *p, size_t len, uint32_t mtu, uint32_t mtu2)
{
	struct inet_info info = parsed(p, len);
	uint8_t *piece = malloc(mtu);
	unsigned count = 0;
	struct inet_cut cut;
	size_t n;

	assert_non_null(piece);
	assert_true(inet_cut_fragments(&cut, p, len, &info, mtu));
	while ((n = inet_cut_next(&cut, piece, mtu))) {
		uint16_t word = be16(piece + 6);
		size_t at = (word & 0x1fff) * 8u;

		assert_in_range(n, info.l4 + 1u, mtu);
		assert_true(ref_v4_ok(piece));
		parsed(piece, n);
		assert_int_equal(be16(piece + 4), be16(p + 4)); /* id */
		if (mtu2) {
			count += collect(piece, n, mtu2, 0);
			continue;
		}
		assert_true(!(word & 0x2000) || (n - info.l4) % 8 == 0);
		assert_memory_equal(piece + info.l4, pkt + info.l4 + at, n - info.l4);
		/* more fragments: all but the one with the last byte */
		assert_true(!(word & 0x2000) ==
			    (at + n - info.l4 == (size_t)be16(pkt + 2) - info.l4));
		for (size_t i = 0; i < n - info.l4; i++) {
			assert_int_equal(whole[at + i], 0);
			whole[at + i] = 1;
		}
		count++;
	}
	free(piece);
	return count;
}

static void fragments(void **state)
{
	(void)state;
	for (size_t payload = 1; payload < 700; payload += 11) {
		for (uint32_t mtu = 28; mtu < 800; mtu += 29) {
			size_t len = build_v4(pkt, NULL, 0, 17, payload);
			size_t step = (mtu - 20) & ~7u;

			memset(whole, 0, payload + 1);
			assert_int_equal(collect(pkt, len, mtu, 0),
					 len <= mtu ? 1 : (payload + step - 1) / step);
			assert_null(memchr(whole, 0, payload));
			memset(whole, 0, payload + 1);
			collect(pkt, len, mtu, 28 + mtu / 3);
			assert_null(memchr(whole, 0, payload));
			assert_int_equal(whole[payload], 0);
		}
	}
	memset(whole, 0, sizeof(whole));
	assert_int_equal(collect(pkt, build_v4(pkt, NULL, 0, 17, 65515), 1500, 0), 45);
	assert_null(memchr(whole, 0, 65515));
}

/* A piece of a datagram, cut again: offset and more-fragments are carried on. */
static void fragment_again(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 17, 64), n;
	static const uint16_t want[] = { 0x2000 | 100, 0x2000 | 103, 0x2000 | 106 };
	struct inet_info info;
	struct inet_cut cut;
	unsigned i = 0;

	(void)state;
	put16(pkt + 6, 0x2000 | 100);
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_true(inet_cut_fragments(&cut, pkt, len, &info, 20 + 31));
	while ((n = inet_cut_next(&cut, out, sizeof(out)))) {
		assert_int_equal(be16(out + 6), want[i]);
		assert_int_equal(n, i < 2 ? 44 : 36);
		i++;
	}
	assert_int_equal(i, 3);
}

/* Options without the copied flag are in the first fragment only. */
static void fragment_options(void **state)
{
	/* record route, router alert, a single NOP, timestamp cut by the end */
	static const uint8_t options[16] = { 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 1, 68, 3, 5, 0 };
	static const uint8_t later[16] = { 1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1, 1, 1, 1, 0 };
	size_t len = build_v4(pkt, options, 16, 17, 100), n;
	struct inet_info info = parsed(pkt, len);
	struct inet_cut cut;
	unsigned i = 0;

	(void)state;
	assert_true(inet_cut_fragments(&cut, pkt, len, &info, 36 + 40));
	while ((n = inet_cut_next(&cut, out, sizeof(out)))) {
		assert_memory_equal(out + 20, i ? later : options, 16);
		assert_true(ref_v4_ok(out));
		i++;
	}
	assert_int_equal(i, 3);
}

static void fragments_refused(void **state)
{
	struct inet_cut cut;
	struct inet_info info;
	size_t len = build_v4(pkt, NULL, 0, 17, 100);

	(void)state;
	info = parsed(pkt, len);
	assert_false(inet_cut_fragments(&cut, pkt, len, &info, 27));
	assert_true(inet_cut_fragments(&cut, pkt, len, &info, 28));
	assert_int_equal(inet_cut_next(&cut, out, 27), 0);
	assert_int_equal(inet_cut_next(&cut, out, 28), 28);
	put16(pkt + 6, 0x4000);
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_false(inet_cut_fragments(&cut, pkt, len, &info, 100));
	put16(pkt + 6, 0x1fff); /* would end past 65535: offsets would wrap */
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_false(inet_cut_fragments(&cut, pkt, len, &info, 100));
	len = build_v4(pkt, NULL, 0, 17, 0);
	info = parsed(pkt, len);
	assert_false(inet_cut_fragments(&cut, pkt, len, &info, 100));
	len = build_v6(pkt, 17, 100);
	info = parsed(pkt, len);
	assert_false(inet_cut_fragments(&cut, pkt, len, &info, 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_v4),
		cmocka_unit_test(tcp_v6),
		cmocka_unit_test(tcp_partial),
		cmocka_unit_test(tcp_urgent),
		cmocka_unit_test(tcp_refused),
		cmocka_unit_test(fragments),
		cmocka_unit_test(fragment_again),
		cmocka_unit_test(fragment_options),
		cmocka_unit_test(fragments_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
