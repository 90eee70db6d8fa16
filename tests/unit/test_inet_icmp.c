/* links: common/inet common/inet_icmp */
/*
 * ICMP errors: which packets get one, what is in it byte by byte, and how those
 * of others are looked into.
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

static uint8_t pkt[70000], out[1280];
static const struct ip router4 = { 4, { 172, 16, 0, 1 } };
static const struct ip router6 = { 6, { 0xfd, [15] = 1 } };

static struct inet_info parsed(const uint8_t *p, size_t len)
{
	struct inet_info info;
	size_t n = 0;

	assert_true(inet_parse(p, len, &info, &n));
	return info;
}

static size_t exceeded(size_t len)
{
	struct inet_info info = parsed(pkt, len);

	return inet_icmp_time_exceeded(out, pkt, len, &info,
				       info.src.family == 4 ? &router4 : &router6);
}

static void too_big_v4(void **state)
{
	(void)state;
	for (size_t payload = 0; payload < 1500; payload += 31) {
		size_t len = build_v4(pkt, NULL, 0, 17, payload), n, quote;
		struct inet_info info = parsed(pkt, len), got;

		n = inet_icmp_too_big(out, pkt, len + 50, &info, &router4, 1410);
		quote = len < 548 ? len : 548;
		assert_int_equal(n, 28 + quote);
		got = parsed(out, n);
		assert_int_equal(be16(out + 2), n);
		assert_memory_equal(got.src.b, router4.b, 4);
		assert_memory_equal(got.dst.b, build_src4, 4);
		assert_int_equal(got.tos, 0xc0);
		assert_int_equal(got.ttl, 64);
		assert_int_equal(got.proto, 1);
		assert_int_equal(be16(out + 4), 0);
		assert_int_equal(out[20], 3);
		assert_int_equal(out[21], 4);
		assert_int_equal(be16(out + 24), 0);
		assert_int_equal(be16(out + 26), 1410);
		assert_int_equal(ref_sum(out + 20, n - 20, 0), 0xffff);
		assert_memory_equal(out + 28, pkt, quote);
	}
}

static void too_big_v6(void **state)
{
	(void)state;
	for (size_t payload = 0; payload < 3000; payload += 61) {
		size_t len = build_v6(pkt, 17, payload), n, quote;
		struct inet_info info = parsed(pkt, len), got;

		n = inet_icmp_too_big(out, pkt, len, &info, &router6, 70000);
		quote = len < 1232 ? len : 1232;
		assert_int_equal(n, 48 + quote);
		got = parsed(out, n);
		assert_memory_equal(got.src.b, router6.b, 16);
		assert_memory_equal(got.dst.b, build_src6, 16);
		assert_int_equal(got.ttl, 64);
		assert_int_equal(got.proto, 58);
		assert_int_equal(out[40], 2);
		assert_int_equal(out[41], 0);
		assert_int_equal(be32(out + 44), 70000);
		assert_int_equal(ref_transport(out, 40, n, 58), 0xffff);
		assert_memory_equal(out + 48, pkt, quote);
	}
}

static void time_exceeded(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 6, 100), n;

	(void)state;
	n = exceeded(len);
	assert_int_equal(n, 28 + 120);
	assert_int_equal(out[20], 11);
	assert_int_equal(out[21], 0);
	assert_int_equal(be32(out + 24), 0);
	assert_int_equal(ref_sum(out + 20, n - 20, 0), 0xffff);
	len = build_v6(pkt, 6, 100);
	n = exceeded(len);
	assert_int_equal(n, 48 + 140);
	assert_int_equal(out[40], 3);
	assert_int_equal(out[41], 0);
	assert_int_equal(be32(out + 44), 0);
	assert_int_equal(ref_transport(out, 40, n, 58), 0xffff);
}

static void mtu_has_16_bits(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 6, 100);
	struct inet_info info = parsed(pkt, len);

	(void)state;
	assert_true(inet_icmp_too_big(out, pkt, len, &info, &router4, 0x10005) > 0);
	assert_int_equal(be16(out + 26), 65535);
	assert_int_equal(inet_icmp_too_big(out, pkt, len, &info, &router6, 1400), 0);
}

/* RFC 1812, section 4.3.2.7. */
static void none_v4(void **state)
{
	static const struct {
		uint8_t src[4], dst[4];
		bool answered;
	} cases[] = {
		{ { 10, 0, 0, 1 }, { 10, 0, 0, 2 }, true },
		{ { 0, 0, 0, 0 }, { 10, 0, 0, 2 }, false },
		{ { 127, 0, 0, 1 }, { 10, 0, 0, 2 }, false },
		{ { 224, 0, 0, 5 }, { 10, 0, 0, 2 }, false },
		{ { 240, 0, 0, 5 }, { 10, 0, 0, 2 }, false },
		{ { 255, 255, 255, 255 }, { 10, 0, 0, 2 }, false },
		{ { 223, 255, 0, 5 }, { 10, 0, 0, 2 }, true },
		{ { 10, 0, 0, 1 }, { 224, 0, 0, 251 }, false },
		{ { 10, 0, 0, 1 }, { 239, 255, 255, 255 }, false },
		{ { 10, 0, 0, 1 }, { 255, 255, 255, 255 }, false },
		{ { 10, 0, 0, 1 }, { 0, 0, 0, 0 }, false },
	};
	size_t len = build_v4(pkt, NULL, 0, 17, 100);

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memcpy(pkt + 12, cases[i].src, 4);
		memcpy(pkt + 16, cases[i].dst, 4);
		fix_v4(pkt);
		assert_true((exceeded(len) > 0) == cases[i].answered);
	}
	len = build_v4(pkt, NULL, 0, 17, 64);
	put16(pkt + 6, 0x2000); /* the first fragment gets one, others don't */
	fix_v4(pkt);
	assert_true(exceeded(len) > 0);
	put16(pkt + 6, 0x2001);
	fix_v4(pkt);
	assert_int_equal(exceeded(len), 0);
}

/* RFC 4443, section 2.4(e). */
static void none_v6(void **state)
{
	static const struct {
		uint8_t src[16], dst[16];
		bool answered;
	} cases[] = {
		{ { 0xfd, [15] = 2 }, { 0xfd, [15] = 3 }, true },
		{ { 0 }, { 0xfd, [15] = 3 }, false },
		{ { [15] = 1 }, { 0xfd, [15] = 3 }, false },
		{ { 0xff, 2, [15] = 1 }, { 0xfd, [15] = 3 }, false },
		{ { 0xfe, 0x80, [15] = 1 }, { 0xff, 2, [15] = 3 }, false },
		{ { 0xfe, 0x80, [15] = 1 }, { 0xfe, 0x80, [15] = 3 }, true },
	};
	size_t len = build_v6(pkt, 17, 100);

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		memcpy(pkt + 8, cases[i].src, 16);
		memcpy(pkt + 24, cases[i].dst, 16);
		assert_true((exceeded(len) > 0) == cases[i].answered);
	}
	len = build_v6(pkt, 60, 8); /* what it carries can't be told */
	pkt[41] = 9;
	assert_int_equal(exceeded(len), 0);
	len = build_v6(pkt, 44, 64);
	pkt[40] = 17;
	put16(pkt + 42, 8);
	assert_int_equal(exceeded(len), 0);
}

/* All ICMP types: errors are told, and no error answers them. */
static void icmp_types(void **state)
{
	struct inet_info info;
	bool error;
	size_t len;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		len = build_v4(pkt, NULL, 0, 1, 36);
		pkt[20] = (uint8_t)type;
		info = parsed(pkt, len);
		error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
		assert_true(inet_is_icmp_error(pkt, len, &info) == error);
		assert_true((exceeded(len) == 0) == error);
		info.fragment = true;
		assert_false(inet_is_icmp_error(pkt, len, &info));

		len = build_v6(pkt, 58, 64);
		pkt[40] = (uint8_t)type;
		info = parsed(pkt, len);
		error = type < 128;
		assert_true(inet_is_icmp_error(pkt, len, &info) == error);
		assert_true((exceeded(len) == 0) == (error || type == 137));
	}
	/* ICMP of the other family is just some protocol */
	len = build_v4(pkt, NULL, 0, 58, 36);
	pkt[20] = 1;
	info = parsed(pkt, len);
	assert_false(inet_is_icmp_error(pkt, len, &info));
	/* its type is not there */
	len = build_v4(pkt, NULL, 0, 1, 0);
	info = parsed(pkt, len);
	assert_false(inet_is_icmp_error(pkt, len, &info));
	assert_int_equal(exceeded(len), 0);
}

/* What was made is read back. */
static void quoted(void **state)
{
	size_t len, n, q = 77;
	struct inet_info info, inner;
	const uint8_t *p;

	(void)state;
	for (unsigned v = 4; v <= 6; v += 2) {
		size_t at = v == 4 ? 28 : 48, least = v == 4 ? 20 : 40;

		len = v == 4 ? build_v4(pkt, NULL, 0, 17, 2000) : build_v6(pkt, 17, 2000);
		build_udp(pkt, len - 2000, len);
		n = exceeded(len);
		info = parsed(out, n);
		p = inet_icmp_quoted(out, n, &info, &q);
		assert_ptr_equal(p, out + at);
		assert_int_equal(q, n - at);
		assert_true(inet_parse_quoted(p, q, &inner));
		assert_int_equal(inner.proto, 17);
		assert_int_equal(be16(p + inner.l4), 5353);
		p = inet_icmp_quoted(out, at + least, &info, &q);
		assert_non_null(p);
		assert_int_equal(q, least);
		for (size_t cut = v == 4 ? 20 : 40; cut < at + least; cut++)
			assert_null(inet_icmp_quoted(out, cut, &info, &q));
		assert_int_equal(q, least);
		out[info.l4] = v == 4 ? 8 : 128; /* echo */
		assert_null(inet_icmp_quoted(out, n, &info, &q));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_big_v4),	 cmocka_unit_test(too_big_v6),
		cmocka_unit_test(time_exceeded), cmocka_unit_test(mtu_has_16_bits),
		cmocka_unit_test(none_v4),	 cmocka_unit_test(none_v6),
		cmocka_unit_test(icmp_types),	 cmocka_unit_test(quoted),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
