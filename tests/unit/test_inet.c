/* links: common/inet */
/*
 * Reading IP headers, checksums against a plain reference, and the changes in
 * place: after each of them every checksum must be what summing anew gives.
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

static uint8_t pkt[70000];

static struct inet_info parsed(const uint8_t *p, size_t len)
{
	struct inet_info info;
	size_t n = 0;

	assert_true(inet_parse(p, len, &info, &n));
	assert_true(info.l4 <= n && n <= len);
	return info;
}

static uint16_t folded(const void *p, size_t len, uint64_t sum)
{
	uint16_t check = inet_fold(inet_sum(p, len, sum));
	uint8_t b[2];

	memcpy(b, &check, 2);
	return be16(b);
}

static void sums_match_reference(void **state)
{
	static uint8_t b[300];
	uint32_t r = 1;

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		for (size_t i = 0; i < sizeof(b); i++) {
			r = r * 1664525 + 1013904223;
			b[i] = round == 0 ? 0xff : round == 1 ? 0 : (uint8_t)(r >> 24);
		}
		for (size_t at = 0; at < 8; at++)
			for (size_t len = 0; len <= 200; len++) {
				const uint16_t sum = folded(b + at, len, 0);
				uint8_t copy[202];

				assert_int_equal(sum, (uint16_t)~ref_sum(b + at, len, 0));
				memset(copy, 0x5a, sizeof(copy));
				assert_int_equal(
					folded(NULL, 0, inet_copy_sum(copy + 1, b + at, len)), sum);
				assert_memory_equal(copy + 1, b + at, len);
				assert_true(copy[0] == 0x5a && copy[len + 1] == 0x5a);
			}
	}
}

static void sum_of_parts_and_large(void **state)
{
	uint64_t sum;

	(void)state;
	memset(pkt, 0xff, sizeof(pkt));
	for (size_t i = 0; i < sizeof(pkt); i += 3)
		pkt[i] = (uint8_t)(i >> 3);
	for (size_t len = 65500; len < 65540; len++)
		assert_int_equal(folded(pkt + 1, len, 0), (uint16_t)~ref_sum(pkt + 1, len, 0));
	/* in even parts, from any start */
	for (size_t cut = 0; cut < 100; cut += 2) {
		sum = inet_sum(pkt, cut, 0);
		assert_int_equal(folded(pkt + cut, 333 - cut, sum),
				 (uint16_t)~ref_sum(pkt, 333, 0));
	}
	/* a sum near the top carries around; zero stays zero, all ones are as good */
	assert_int_equal(inet_fold(UINT64_MAX), 0);
	assert_int_equal(inet_fold(0), 0xffff);
	memset(pkt, 0, 8);
	pkt[7] = 1;
	assert_int_equal(folded(pkt, 8, UINT64_MAX), 0xfffe);
	/* words that carry at the very end */
	memset(pkt, 0xff, 16);
	memset(pkt + 16, 0, 16);
	pkt[24] = 1;
	pkt[31] = 1;
	assert_int_equal(folded(pkt, 32, 0), (uint16_t)~ref_sum(pkt, 32, 0));
	pkt[31] = 0;
	assert_int_equal(folded(pkt, 32, 0), (uint16_t)~ref_sum(pkt, 32, 0));
}

static void pseudo_sum(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 17, 31);
	struct inet_info info = parsed(pkt, len);

	(void)state;
	assert_int_equal(folded(pkt + 20, 31, inet_pseudo_sum(&info, 31)),
			 (uint16_t)~ref_transport(pkt, 20, len, 17));
	len = build_v6(pkt, 17, 31);
	info = parsed(pkt, len);
	assert_int_equal(folded(pkt + 40, 31, inet_pseudo_sum(&info, 31)),
			 (uint16_t)~ref_transport(pkt, 40, len, 17));
}

static void parse_v4_fields(void **state)
{
	static const uint8_t options[8] = { 7, 7, 4 };
	size_t len = build_v4(pkt, options, 8, 6, 100), n = 0;
	struct inet_info info;

	(void)state;
	assert_true(inet_parse(pkt, len + 9, &info, &n));
	assert_int_equal(n, len);
	assert_int_equal(info.src.family, 4);
	assert_memory_equal(info.src.b, build_src4, 4);
	assert_memory_equal(info.dst.b, build_dst4, 4);
	assert_int_equal(info.src.b[4] | info.dst.b[15], 0);
	assert_int_equal(info.l4, 28);
	assert_int_equal(info.proto, 6);
	assert_int_equal(info.tos, 0x2a);
	assert_int_equal(info.ttl, 64);
	assert_false(info.fragment || info.more || info.dont_fragment);
}

static void parse_v4_fragments(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 17, 64);
	struct inet_info info;

	(void)state;
	put16(pkt + 6, 0x2000);
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_true(info.more && !info.fragment && !info.dont_fragment);
	put16(pkt + 6, 0x2001); /* in the middle */
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_true(info.fragment && !info.more);
	put16(pkt + 6, 0x5fff);
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_true(info.fragment && !info.more && info.dont_fragment);
}

static void parse_refuses_v4(void **state)
{
	struct inet_info info, before;
	size_t len = build_v4(pkt, NULL, 0, 17, 20), n = 77;

	(void)state;
	memset(&info, 0xa5, sizeof(info));
	before = info;
	for (size_t cut = 0; cut < len; cut++)
		assert_false(inet_parse(pkt, cut, &info, &n));
	pkt[8] ^= 1; /* checksum */
	assert_false(inet_parse(pkt, len, &info, &n));
	pkt[8] ^= 1;
	put16(pkt + 2, 19); /* shorter than its header */
	fix_v4(pkt);
	assert_false(inet_parse(pkt, len, &info, &n));
	put16(pkt + 2, 40);
	pkt[0] = 0x44;
	put16(pkt + 10, 0);
	put16(pkt + 10, (uint16_t)~ref_sum(pkt, 16, 0));
	assert_false(inet_parse(pkt, len, &info, &n));
	pkt[0] = 0x4f; /* options past the total length */
	assert_false(inet_parse(pkt, len, &info, &n));
	for (unsigned version = 0; version < 16; version++) {
		pkt[0] = (uint8_t)(version << 4 | 5);
		fix_v4(pkt);
		assert_true(inet_parse(pkt, len, &info, &n) == (version == 4));
		if (version == 3)
			assert_memory_equal(&info, &before, sizeof(info));
		if (version == 3)
			assert_int_equal(n, 77);
	}
}

static void parse_v6_plain(void **state)
{
	size_t len = build_v6(pkt, 17, 24), n = 0;
	struct inet_info info;

	(void)state;
	assert_true(inet_parse(pkt, len + 5, &info, &n));
	assert_int_equal(n, len);
	assert_int_equal(info.src.family, 6);
	assert_memory_equal(info.src.b, build_src6, 16);
	assert_memory_equal(info.dst.b, build_dst6, 16);
	assert_int_equal(info.l4, 40);
	assert_int_equal(info.proto, 17);
	assert_int_equal(info.tos, 0x2a);
	assert_int_equal(info.ttl, 64);
	assert_true(info.dont_fragment && !info.fragment && !info.more);
	for (size_t cut = 0; cut < len; cut++)
		assert_false(inet_parse(pkt, cut, &info, &n));
	/* no next header, and no payload at all */
	len = build_v6(pkt, 59, 0);
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 59);
	assert_int_equal(info.l4, 40);
}

/* Hop-by-hop, routing (24 bytes), destination options, then TCP. */
static void parse_v6_extensions(void **state)
{
	size_t len = build_v6(pkt, 0, 8 + 24 + 8 + 20);
	struct inet_info info;

	(void)state;
	pkt[40] = 43;
	pkt[41] = 0;
	pkt[48] = 60;
	pkt[49] = 2;
	pkt[72] = 6;
	pkt[73] = 0;
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 6);
	assert_int_equal(info.l4, 80);

	pkt[73] = 3; /* past the packet: 32 bytes where 28 are left */
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 255);
	assert_int_equal(info.l4, 72);
	pkt[73] = 0;
	pkt[72] = 51; /* not walked */
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 51);
	/* the chain ends with the packet's last byte */
	len = build_v6(pkt, 60, 8);
	pkt[40] = 60;
	pkt[41] = 0;
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 255);
	assert_int_equal(info.l4, 48);
}

static void parse_v6_bound(void **state)
{
	struct inet_info info;

	(void)state;
	for (size_t n = 1; n <= 40; n++) {
		size_t len = build_v6(pkt, 60, n * 8 + 8);

		for (size_t i = 0; i < n; i++) {
			pkt[40 + 8 * i] = i + 1 < n ? 60 : 17;
			pkt[41 + 8 * i] = 0;
		}
		info = parsed(pkt, len);
		assert_int_equal(info.proto, n <= 8 ? 17 : 255);
		assert_int_equal(info.l4, 40 + 8 * (n <= 8 ? n : 8));
	}
}

static void parse_v6_fragments(void **state)
{
	size_t len = build_v6(pkt, 44, 8 + 64);
	struct inet_info info;

	(void)state;
	pkt[40] = 17;
	put16(pkt + 42, 1);
	info = parsed(pkt, len);
	assert_true(info.more && !info.fragment);
	assert_int_equal(info.proto, 17);
	assert_int_equal(info.l4, 48);
	put16(pkt + 42, 0); /* atomic: RFC 6946 */
	info = parsed(pkt, len);
	assert_false(info.more || info.fragment);
	put16(pkt + 42, 8 | 1);
	info = parsed(pkt, len);
	assert_true(info.fragment && !info.more);
	assert_int_equal(info.proto, 17);
	pkt[40] = 60; /* destination options were in the first one */
	info = parsed(pkt, len);
	assert_true(info.fragment);
	assert_int_equal(info.proto, 255);
	pkt[40] = 44; /* twice */
	pkt[48] = 17;
	put16(pkt + 42, 1);
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 255);
	assert_true(info.more && !info.fragment);
}

static void parse_quoted(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 6, 100), n = 0;
	struct inet_info info;

	(void)state;
	build_tcp(pkt, 20, len, 0x10, NULL, 0);
	pkt[8] = 0; /* checksum wrong now */
	assert_false(inet_parse(pkt, len, &info, &n));
	assert_true(inet_parse_quoted(pkt, 28, &info));
	assert_int_equal(info.l4, 20);
	assert_int_equal(info.proto, 6);
	assert_true(inet_parse_quoted(pkt, 20, &info));
	assert_false(inet_parse_quoted(pkt, 19, &info));
	assert_false(inet_parse_quoted(pkt, 0, &info));

	build_v6(pkt, 60, 100);
	pkt[40] = 6;
	pkt[41] = 0;
	assert_true(inet_parse_quoted(pkt, 56, &info));
	assert_int_equal(info.l4, 48);
	assert_int_equal(info.proto, 6);
	assert_true(inet_parse_quoted(pkt, 44, &info)); /* cut in the options */
	assert_int_equal(info.proto, 255);
	assert_int_equal(info.l4, 40);
	assert_false(inet_parse_quoted(pkt, 39, &info));
}

static void flow_hash_fields(void **state)
{
	struct inet_info info;
	uint32_t h;
	size_t len;

	(void)state;
	for (unsigned v = 4; v <= 6; v += 2) {
		size_t l4 = v == 4 ? 20 : 40, addr = v == 4 ? 12 : 8;

		len = v == 4 ? build_v4(pkt, NULL, 0, 6, 60) : build_v6(pkt, 6, 60);
		build_tcp(pkt, l4, len, 0x10, NULL, 0);
		info = parsed(pkt, len);
		h = inet_flow_hash(pkt, len, &info);
		pkt[l4 + 30] ^= 1; /* payload, tos, ttl, length: no matter */
		inet_set_tos(pkt, 0);
		inet_ttl_decrement(pkt);
		assert_int_equal(inet_flow_hash(pkt, len, &info), h);
		for (size_t i = addr; i < l4 + 4; i++) {
			pkt[i] ^= 1;
			assert_int_not_equal(inet_flow_hash(pkt, len, &info), h);
			pkt[i] ^= 1;
		}
		info.proto = 17;
		assert_int_not_equal(inet_flow_hash(pkt, len, &info), h);
		info.proto = 6;
		/* ports that aren't there */
		assert_int_not_equal(inet_flow_hash(pkt, l4 + 3, &info), h);
	}
}

static void flow_hash_fragments(void **state)
{
	struct inet_info info;
	uint32_t h;
	size_t len = build_v4(pkt, NULL, 0, 17, 64);

	(void)state;
	put16(pkt + 6, 0x2000);
	fix_v4(pkt);
	info = parsed(pkt, len);
	h = inet_flow_hash(pkt, len, &info);
	put16(pkt + 6, 8);
	memset(pkt + 20, 0xee, 64);
	fix_v4(pkt);
	info = parsed(pkt, len);
	assert_int_equal(inet_flow_hash(pkt, len, &info), h);

	/* IPv6, and only the first one knows that it is UDP */
	len = build_v6(pkt, 44, 8 + 8 + 48);
	pkt[40] = 60;
	put16(pkt + 42, 1);
	pkt[48] = 17;
	pkt[49] = 0;
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 17);
	h = inet_flow_hash(pkt, len, &info);
	put16(pkt + 42, 64);
	info = parsed(pkt, len);
	assert_int_equal(info.proto, 255);
	assert_int_equal(inet_flow_hash(pkt, len, &info), h);
}

/* Neighbouring ports and addresses spread over 64 buckets, by low and high bits. */
static void flow_hash_spreads(void **state)
{
	enum { FLOWS = 64 * 256 };
	struct inet_info info;
	size_t len = build_v4(pkt, NULL, 0, 6, 20);

	(void)state;
	info = parsed(pkt, len);
	for (unsigned what = 0; what < 3; what++) {
		unsigned low[64] = { 0 }, high[64] = { 0 };

		for (unsigned i = 0; i < FLOWS; i++) {
			put16(pkt + (what == 0 ? 20 : what == 1 ? 14 : 18), (uint16_t)i);
			if (what == 2)
				put16(pkt + 22, (uint16_t)(i * 2));
			uint32_t h = inet_flow_hash(pkt, len, &info);

			low[h & 63]++;
			high[h >> 26]++;
		}
		for (unsigned i = 0; i < 64; i++) {
			/* 256 expected, standard deviation 16 */
			assert_in_range(low[i], 256 - 80, 256 + 80);
			assert_in_range(high[i], 256 - 80, 256 + 80);
		}
	}
}

static void ttl(void **state)
{
	size_t len;

	(void)state;
	for (unsigned start = 0; start < 256; start++) {
		for (unsigned id = 0; id < 65536; id += 257) {
			build_v4(pkt, NULL, 0, (uint8_t)(id >> 8), 0);
			pkt[8] = (uint8_t)start;
			put16(pkt + 4, (uint16_t)id);
			fix_v4(pkt);
			assert_true(inet_ttl_decrement(pkt) == (start > 1));
			assert_int_equal(pkt[8], start > 1 ? start - 1 : start);
			assert_true(ref_v4_ok(pkt));
		}
	}
	len = build_v6(pkt, 17, 0);
	pkt[7] = 2;
	assert_true(inet_ttl_decrement(pkt));
	assert_false(inet_ttl_decrement(pkt));
	assert_int_equal(parsed(pkt, len).ttl, 1);
	pkt[7] = 0;
	assert_false(inet_ttl_decrement(pkt));
	assert_int_equal(pkt[7], 0);
}

static void tos(void **state)
{
	uint8_t before[40];

	(void)state;
	for (unsigned v = 0; v < 256; v++) {
		size_t len = build_v4(pkt, NULL, 0, 17, 0);

		inet_set_tos(pkt, (uint8_t)v);
		assert_int_equal(parsed(pkt, len).tos, v);
		assert_true(ref_v4_ok(pkt));
		len = build_v6(pkt, 17, 0);
		memcpy(before, pkt, 40);
		inet_set_tos(pkt, (uint8_t)v);
		assert_int_equal(parsed(pkt, len).tos, v);
		inet_set_tos(pkt, 0x2a); /* version and flow label are as before */
		assert_memory_equal(pkt, before, 40);
	}
}

/* A packet that came with a wrong checksum keeps a wrong one. */
static void broken_stays_broken(void **state)
{
	static const struct ip to = { 4, { 1, 2, 3, 4 } };
	size_t len = build_v4(pkt, NULL, 0, 6, 40);
	struct inet_info info = parsed(pkt, len);

	(void)state;
	build_tcp(pkt, 20, len, 0x10, NULL, 0);
	pkt[36] ^= 0x40;
	inet_set_source(pkt, len, &info, &to);
	assert_int_not_equal(ref_transport(pkt, 20, len, 6), 0xffff);
	assert_true(ref_v4_ok(pkt));
}

static void set_source(void **state)
{
	/* protocol, offset of its checksum (0: none that counts) */
	static const uint8_t protos[][2] = { { 6, 16 }, { 17, 6 }, { 136, 6 }, { 33, 6 },
					     { 58, 2 }, { 1, 0 },  { 47, 0 } };
	uint8_t before[40];

	(void)state;
	for (unsigned v = 4; v <= 6; v += 2) {
		size_t l4 = v == 4 ? 20 : 40, n = v == 4 ? 4 : 16;
		struct ip to = { .family = (uint8_t)v };

		for (unsigned i = 0; i < sizeof(protos) / sizeof(*protos); i++) {
			uint8_t proto = protos[i][0], at = protos[i][1];
			size_t len = v == 4 ? build_v4(pkt, NULL, 0, proto, 40)
					    : build_v6(pkt, proto, 40);
			struct inet_info info = parsed(pkt, len);
			bool has = at && !(v == 4 && proto == 58);

			for (unsigned r = 0; r < 3000; r++) {
				for (size_t k = 0; k < n; k++)
					to.b[k] = (uint8_t)((r * 2654435761u) >> (k % 4 * 8));
				if (has)
					fix_transport(pkt, l4, at, len, proto);
				memcpy(before, pkt + l4, 40);
				inet_set_source(pkt, len, &info, &to);
				assert_memory_equal(pkt + (v == 4 ? 12 : 8), to.b, n);
				assert_true(v == 6 || ref_v4_ok(pkt));
				if (has)
					assert_int_equal(ref_transport(pkt, l4, len, proto),
							 0xffff);
				else
					assert_memory_equal(pkt + l4, before, 40);
			}
		}
	}
}

static void set_source_udp_zero(void **state)
{
	size_t len = build_v4(pkt, NULL, 0, 17, 16);
	struct inet_info info = parsed(pkt, len);
	struct ip to = { 4, { 10, 1, 0, 0 } };
	bool seen = false;

	(void)state;
	put16(pkt + 26, 0); /* none: stays none */
	inet_set_source(pkt, len, &info, &to);
	assert_int_equal(be16(pkt + 26), 0);
	/* over all addresses of a /16 one makes it 0, which must be written as all ones */
	build_udp(pkt, 20, len);
	for (unsigned i = 0; i < 65536; i++) {
		put16(to.b + 2, (uint16_t)i);
		inet_set_source(pkt, len, &info, &to);
		assert_int_not_equal(be16(pkt + 26), 0);
		seen |= be16(pkt + 26) == 0xffff;
		assert_int_equal(ref_transport(pkt, 20, len, 17), 0xffff);
	}
	assert_true(seen);
}

static void set_source_bounds(void **state)
{
	static const struct ip to4 = { 4, { 1, 2, 3, 4 } }, to6 = { 6, { 1, 2, 3, 4 } };
	uint8_t before[128];
	size_t len = build_v4(pkt, NULL, 0, 17, 40);
	struct inet_info info;

	(void)state;
	info = parsed(pkt, len);
	memcpy(before, pkt, len);
	inet_set_source(pkt, len, &info, &to6); /* the other family */
	assert_memory_equal(pkt, before, len);
	put16(pkt + 6, 3); /* a later fragment has no checksum there */
	fix_v4(pkt);
	info = parsed(pkt, len);
	memcpy(before, pkt, len);
	inet_set_source(pkt, len, &info, &to4);
	assert_memory_equal(pkt + 20, before + 20, 40);
	assert_true(ref_v4_ok(pkt));
	/* the packet ends before its checksum; what lies behind isn't part of it */
	for (size_t n = 0; n < 8; n++) {
		len = build_v4(pkt, NULL, 0, 17, n);
		memset(pkt + len, 0x55, 40);
		info = parsed(pkt, len + 40);
		memcpy(before, pkt, len + 40);
		inet_set_source(pkt, len + 40, &info, &to4);
		assert_memory_equal(pkt + 20, before + 20, n + 40);
	}
}

/* RFC 6040, figure 4. */
static void ecn(void **state)
{
	static const int want[4][4] = {
		/* inner; outer: Not-ECT, ECT(1), ECT(0), CE */
		[ECN_NOT_ECT] = { ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, -1 },
		[ECN_ECT1] = { ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE },
		[ECN_ECT0] = { ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE },
		[ECN_CE] = { ECN_CE, ECN_CE, ECN_CE, ECN_CE },
	};

	(void)state;
	for (uint8_t inner = 0; inner < 4; inner++)
		for (uint8_t outer = 0; outer < 4; outer++)
			assert_int_equal(inet_ecn_decapsulate(inner, outer), want[inner][outer]);
	/* DSCP bits are not looked at */
	assert_int_equal(inet_ecn_decapsulate(0xfc | ECN_ECT0, 0xb8 | ECN_CE), ECN_CE);
}

static size_t build_syn(unsigned v, uint8_t flags, const uint8_t *options, size_t optlen)
{
	size_t l4 = v == 4 ? 20 : 40, n = 20 + optlen;
	size_t len = v == 4 ? build_v4(pkt, NULL, 0, 6, n) : build_v6(pkt, 6, n);

	build_tcp(pkt, l4, len, flags, options, optlen);
	return len;
}

static void clamp(void **state)
{
	/* MSS 1460 at even and odd places, window scale and SACK around it */
	static const uint8_t options[][12] = {
		{ 2, 4, 0x05, 0xb4, 4, 2, 1, 1, 1, 3, 3, 7 },
		{ 1, 2, 4, 0x05, 0xb4, 1, 3, 3, 7, 4, 2, 0 },
		{ 3, 3, 7, 2, 4, 0x05, 0xb4, 1, 1, 1, 1, 1 },
		{ 4, 2, 1, 1, 8, 4, 9, 9, 2, 4, 0x05, 0xb4 },
	};
	static const uint8_t at[] = { 2, 3, 5, 10 };

	(void)state;
	for (unsigned v = 4; v <= 6; v += 2) {
		for (unsigned i = 0; i < 4; i++) {
			size_t l4 = v == 4 ? 20 : 40, len;
			uint8_t flags = i & 1 ? 0x02 : 0x12;
			struct inet_info info;

			len = build_syn(v, flags, options[i], 12);
			info = parsed(pkt, len);
			assert_false(inet_clamp_mss(pkt, len, &info, 1460));
			for (uint16_t mss = 1459; mss > 0; mss = (uint16_t)(mss - 9)) {
				assert_true(inet_clamp_mss(pkt, len, &info, mss));
				assert_int_equal(be16(pkt + l4 + 20 + at[i]), mss);
				assert_int_equal(ref_transport(pkt, l4, len, 6), 0xffff);
				if (mss < 9)
					break;
			}
			/* nothing else was touched */
			put16(pkt + l4 + 20 + at[i], 1460);
			assert_memory_equal(pkt + l4 + 20, options[i], 12);
		}
	}
}

static void clamp_refuses(void **state)
{
	static const uint8_t mss[4] = { 2, 4, 0x05, 0xb4 };
	static const uint8_t bad[][8] = {
		{ 0, 2, 4, 5, 0xb4 },		  /* behind the end of options */
		{ 3, 0, 2, 4, 0x05, 0xb4, 0, 0 }, /* size 0 */
		{ 3, 1, 2, 4, 0x05, 0xb4, 0, 0 },
		{ 3, 9, 2, 4, 0x05, 0xb4, 0, 0 }, /* past the header */
		{ 2, 3, 0x05, 0xb4, 0, 0, 0, 0 }, /* no MSS has this size */
		{ 1, 1, 1, 1, 1, 1, 1, 2 },	  /* kind alone */
		{ 1, 1, 1, 1, 1, 1, 2, 4 },	  /* without its value */
	};
	struct inet_info info;
	size_t len = build_syn(4, 0x10, mss, 4);

	(void)state;
	info = parsed(pkt, len);
	assert_false(inet_clamp_mss(pkt, len, &info, 500)); /* no SYN */
	len = build_syn(4, 0x02, mss, 4);
	assert_false(inet_clamp_mss(pkt, len - 1, &info, 500)); /* header not whole */
	info.more = true;
	assert_false(inet_clamp_mss(pkt, len, &info, 500));
	info.more = false;
	info.fragment = true;
	assert_false(inet_clamp_mss(pkt, len, &info, 500));
	info.fragment = false;
	pkt[32] = 0x40; /* header of 16 bytes */
	assert_false(inet_clamp_mss(pkt, len, &info, 500));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint8_t before[48];

		len = build_syn(4, 0x02, bad[i], 8);
		info = parsed(pkt, len);
		memcpy(before, pkt, len);
		assert_false(inet_clamp_mss(pkt, len, &info, 100));
		assert_memory_equal(pkt, before, len);
	}
	len = build_v4(pkt, NULL, 0, 17, 40);
	build_tcp(pkt, 20, len, 0x02, mss, 4);
	info = parsed(pkt, len);
	assert_false(inet_clamp_mss(pkt, len, &info, 500));
}

/* A second MSS doesn't get by behind the first. */
static void clamp_twice(void **state)
{
	static const uint8_t options[8] = { 2, 4, 0x01, 0x00, 2, 4, 0x05, 0xb4 };
	size_t len = build_syn(4, 0x02, options, 8);
	struct inet_info info = parsed(pkt, len);

	(void)state;
	assert_true(inet_clamp_mss(pkt, len, &info, 1000));
	assert_int_equal(be16(pkt + 42), 256);
	assert_int_equal(be16(pkt + 46), 1000);
	assert_int_equal(ref_transport(pkt, 20, len, 6), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_match_reference),
		cmocka_unit_test(sum_of_parts_and_large),
		cmocka_unit_test(pseudo_sum),
		cmocka_unit_test(parse_v4_fields),
		cmocka_unit_test(parse_v4_fragments),
		cmocka_unit_test(parse_refuses_v4),
		cmocka_unit_test(parse_v6_plain),
		cmocka_unit_test(parse_v6_extensions),
		cmocka_unit_test(parse_v6_bound),
		cmocka_unit_test(parse_v6_fragments),
		cmocka_unit_test(parse_quoted),
		cmocka_unit_test(flow_hash_fields),
		cmocka_unit_test(flow_hash_fragments),
		cmocka_unit_test(flow_hash_spreads),
		cmocka_unit_test(ttl),
		cmocka_unit_test(tos),
		cmocka_unit_test(broken_stays_broken),
		cmocka_unit_test(set_source),
		cmocka_unit_test(set_source_udp_zero),
		cmocka_unit_test(set_source_bounds),
		cmocka_unit_test(ecn),
		cmocka_unit_test(clamp),
		cmocka_unit_test(clamp_refuses),
		cmocka_unit_test(clamp_twice),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
