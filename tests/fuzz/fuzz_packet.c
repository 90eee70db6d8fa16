/* links: common/inet common/inet_icmp common/inet_cut common/inet_check */
/*
 * Hosts' packets: the first four bytes choose MTU and MSS, the rest is a packet.
 * Everything that reads or changes one runs over a heap copy of exact size, so
 * that the sanitizer sees every byte too far. Checksums are made right first
 * (no fuzzer guesses them) and must be right after each change; cut pieces must
 * add up, fit and parse.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/inet.h"

enum { PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static uint16_t load(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void *copy(const void *data, size_t len)
{
	void *p = malloc(len ? len : 1);

	check(p);
	if (len)
		memcpy(p, data, len);
	return p;
}

/* Makes the IPv4 header's checksum right, where there is one. */
static void repair_header(uint8_t *p, size_t len)
{
	size_t header = len ? (size_t)(p[0] & 15) * 4 : 0;
	uint16_t sum;

	if (!len || p[0] >> 4 != 4 || header < INET_V4_HEADER || header > len)
		return;
	memset(p + 10, 0, 2);
	sum = inet_fold(inet_sum(p, header, 0));
	memcpy(p + 10, &sum, 2);
}

/* Offset of the transport checksum; 0 if there is none to look at. */
static size_t check_at(const struct inet_info *info, size_t len)
{
	size_t at = info->proto == PROTO_TCP ? 16 : info->proto == PROTO_UDP ? 6 : 2;

	if (info->proto != PROTO_TCP && info->proto != PROTO_UDP &&
	    (info->proto != PROTO_ICMPV6 || info->src.family != 6))
		return 0;
	if (info->fragment || info->more || info->l4 + at + 2 > len)
		return 0;
	return info->l4 + at;
}

static void repair_transport(uint8_t *p, size_t len, const struct inet_info *info)
{
	size_t at = check_at(info, len), n = len - info->l4;
	uint16_t sum;

	if (!at)
		return;
	memset(p + at, 0, 2);
	sum = inet_fold(inet_sum(p + info->l4, n, inet_pseudo_sum(info, (uint32_t)n)));
	if (!sum)
		sum = 0xffff;
	memcpy(p + at, &sum, 2);
}

/* The packet still parses, to the same shape, with right checksums. */
static struct inet_info verify(const uint8_t *p, size_t len, const struct inet_info *was)
{
	struct inet_info info;
	size_t n = 0, at, l4len;

	check(inet_parse(p, len, &info, &n) && n == len);
	check(info.l4 <= len && !(info.fragment && info.more));
	check(info.l4 == was->l4 && info.proto == was->proto);
	at = check_at(&info, len);
	l4len = len - info.l4;
	if (at)
		check(!inet_fold(
			inet_sum(p + info.l4, l4len, inet_pseudo_sum(&info, (uint32_t)l4len))));
	return info;
}

static void fuzz_changes(const uint8_t *data, size_t len, const struct inet_info *info,
			 uint16_t mss)
{
	uint8_t *p = copy(data, len);
	struct ip source = { .family = info->src.family };
	struct inet_info now;
	uint32_t hash = inet_flow_hash(p, len, info);
	uint8_t ttl = info->ttl;

	check(inet_ttl_decrement(p) == (ttl > 1));
	now = verify(p, len, info);
	check(now.ttl == (ttl > 1 ? ttl - 1 : ttl));
	inet_set_tos(p, (uint8_t)mss);
	now = verify(p, len, info);
	check(now.tos == (uint8_t)mss && inet_flow_hash(p, len, &now) == hash);
	if (inet_clamp_mss(p, len, &now, mss)) {
		verify(p, len, info);
		check(!inet_clamp_mss(p, len, &now, mss));
	}
	memcpy(source.b, &mss, sizeof(mss));
	inet_set_source(p, len, &now, &source);
	now = verify(p, len, info);
	check(!memcmp(&now.src, &source, sizeof(source)));
	free(p);
}

static void fuzz_icmp(const uint8_t *p, size_t len, const struct inet_info *info, uint32_t mtu)
{
	uint8_t *out = malloc(1280);
	struct ip source = { .family = info->src.family, .b = { 10, 0, 0, 1 } };
	struct inet_info got, inner;
	const uint8_t *quote;
	size_t n, total = 0, q = 0;

	check(out);
	quote = inet_icmp_quoted(p, len, info, &q);
	if (quote) {
		check(inet_is_icmp_error(p, len, info));
		check(quote > p && q <= len && quote + q == p + len);
		if (inet_parse_quoted(quote, q, &inner))
			check(inner.l4 <= q);
	}
	for (unsigned i = 0; i < 2; i++) {
		n = i ? inet_icmp_too_big(out, p, len, info, &source, mtu)
		      : inet_icmp_time_exceeded(out, p, len, info, &source);
		if (!n)
			continue;
		check(!inet_is_icmp_error(p, len, info) && n <= 1280);
		check(inet_parse(out, n, &got, &total) && total == n);
		verify(out, n, &got);
		check(!memcmp(&got.dst, &info->src, sizeof(got.dst)));
		quote = inet_icmp_quoted(out, n, &got, &q);
		check(quote && q <= len && !memcmp(quote, p, q));
		check(inet_parse_quoted(quote, q, &inner) && inner.l4 <= q);
		check(inet_is_icmp_error(out, n, &got));
	}
	free(out);
}

static void fuzz_cut(const uint8_t *p, size_t len, const struct inet_info *info, uint32_t mtu,
		     bool fragment)
{
	struct inet_cut cut;
	struct inet_info piece;
	size_t n, sum = 0, total = 0, count = 0;
	uint8_t *out;

	if (!(fragment ? inet_cut_fragments(&cut, p, len, info, mtu)
		       : inet_cut_tcp(&cut, p, len, info, mtu) ||
				 (mtu > (uint32_t)info->l4 + 8 &&
				  inet_cut_datagrams(&cut, p, len, info, mtu - info->l4 - 8))))
		return;
	check(cut.step && cut.header < len);
	out = malloc(mtu);
	check(out);
	while ((n = inet_cut_next(&cut, out, mtu))) {
		check(n > cut.header && n <= mtu);
		check(inet_parse(out, n, &piece, &total) && total == n);
		check(piece.l4 == info->l4 && piece.proto == info->proto);
		verify(out, n, &piece);
		check(!memcmp(out + cut.header, p + cut.header + sum, n - cut.header));
		if (fragment)
			check((load(out + 6) & 0x1fff) == (load(p + 6) & 0x1fff) + sum / 8);
		sum += n - cut.header;
		count++;
	}
	check(sum == len - cut.header && count);
	/* the last fragment says what the packet said */
	if (fragment)
		check((load(out + 6) & 0xe000) == (load(p + 6) & 0xe000));
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct inet_info info, quoted;
	size_t total = 0;
	uint32_t mtu;
	uint16_t mss;
	uint8_t *p;

	if (len < 4)
		return 0;
	mtu = load(data);
	mss = load(data + 2);
	len -= 4;
	p = copy(data + 4, len);
	memset(&info, 0, sizeof(info));

	if (inet_parse_quoted(p, len, &quoted)) {
		check(quoted.l4 <= len);
		inet_flow_hash(p, len, &quoted);
	}
	repair_header(p, len);
	if (inet_parse(p, len, &info, &total)) {
		uint8_t *exact = copy(p, total);

		check(total <= len && info.l4 <= total);
		check(inet_parse_quoted(p, len, &quoted) && !memcmp(&info, &quoted, sizeof(info)));
		repair_transport(exact, total, &info);
		fuzz_changes(exact, total, &info, mss);
		fuzz_icmp(exact, total, &info, mtu);
		fuzz_cut(exact, total, &info, mtu, false);
		fuzz_cut(exact, total, &info, mtu, true);
		free(exact);
	}
	free(p);
	return 0;
}
