/*
 * ICMP errors: told apart, looked into, and made.
 *
 * What is made follows RFC 792, 1191, 1812 (section 4.3.2) and 4443: it quotes
 * as much of the packet as fits without exceeding the size that every host takes
 * (576 bytes, 1280 for IPv6). When in doubt none is made, so that errors never
 * cause errors: a packet whose protocol or ICMP type can't be read gets none.
 * How many of them a router may send is the caller's business.
 */
#include <netinet/in.h>
#include <string.h>

#include "common/inet.h"
#include "common/inet_private.h"

#define V4_ERROR_MAX 576  /* RFC 1812, section 4.3.2.3 */
#define V6_ERROR_MAX 1280 /* RFC 4443, section 2.4(c) */
#define ERROR_TTL 64
#define ERROR_TOS 0xc0 /* internetwork control: RFC 1812, section 4.3.2.5 */

enum {
	ICMP4_UNREACHABLE = 3,
	ICMP4_TOO_BIG = 4, /* code of the above */
	ICMP4_QUENCH = 4,
	ICMP4_REDIRECT = 5,
	ICMP4_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,

	ICMP6_PACKET_TOO_BIG = 2,
	ICMP6_EXCEEDED = 3,
	ICMP6_QUERIES = 128, /* from here on no errors */
	ICMP6_REDIRECT = 137
};

static bool is_icmp(const struct inet_info *info)
{
	return info->proto == (info->src.family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

bool inet_is_icmp_error(const uint8_t *data, size_t len, const struct inet_info *info)
{
	uint8_t type;

	if (!is_icmp(info) || info->fragment || info->l4 >= len)
		return false;
	type = data[info->l4];
	if (info->src.family == 6)
		return type < ICMP6_QUERIES;
	return type == ICMP4_UNREACHABLE || type == ICMP4_QUENCH || type == ICMP4_REDIRECT ||
	       type == ICMP4_EXCEEDED || type == ICMP4_PARAMETER;
}

const uint8_t *inet_icmp_quoted(const uint8_t *data, size_t len, const struct inet_info *info,
				size_t *ret_len)
{
	size_t total = ip_length(data, len, info), at = (size_t)info->l4 + ICMP_HEADER;
	size_t least = info->src.family == 4 ? INET_V4_HEADER : INET_V6_HEADER;

	if (!inet_is_icmp_error(data, total, info) || total < at + least)
		return NULL;
	*ret_len = total - at;
	return data + at;
}

/* A source that is no single host (RFC 1812, sections 4.3.2.7 and 5.3.7). */
static bool v4_may_answer(const struct inet_info *info)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };
	uint8_t from = info->src.b[0], to = info->dst.b[0];

	if (from == 0 || from == 127 || from >= 224)
		return false;
	if (to == 0 || (to >= 224 && to < 240) || !memcmp(info->dst.b, broadcast, 4))
		return false;
	return true;
}

/* RFC 4443, section 2.4(e). */
static bool v6_may_answer(const struct inet_info *info)
{
	static const uint8_t zero[15];

	if (info->src.b[0] == 0xff || info->dst.b[0] == 0xff)
		return false;
	/* unspecified or loopback */
	return memcmp(info->src.b, zero, sizeof(zero)) || info->src.b[15] > 1;
}

bool inet_icmp_is_due(const uint8_t *data, size_t len, const struct inet_info *info)
{
	if (info->fragment || info->proto == 255)
		return false;
	if (is_icmp(info)) {
		if (info->l4 >= len || inet_is_icmp_error(data, len, info))
			return false;
		if (info->src.family == 6 && data[info->l4] == ICMP6_REDIRECT)
			return false;
	}
	return info->src.family == 4 ? v4_may_answer(info) : v6_may_answer(info);
}

/* Don't-fragment is set, so that the id means nothing and may be 0 (RFC 6864). */
static void write_v4(uint8_t *out, size_t total, const struct ip *src, const struct ip *dst)
{
	memset(out, 0, INET_V4_HEADER);
	out[0] = 0x45;
	out[V4_TOS] = ERROR_TOS;
	store16(out + V4_LENGTH, (uint16_t)total);
	store16(out + V4_FRAGMENT, V4_DF);
	out[V4_TTL] = ERROR_TTL;
	out[V4_PROTO] = IPPROTO_ICMP;
	memcpy(out + V4_SRC, src->b, 4);
	memcpy(out + V4_DST, dst->b, 4);
	store_check(out + V4_CHECK, inet_fold(inet_sum(out, INET_V4_HEADER, 0)));
}

static void write_v6(uint8_t *out, size_t total, const struct ip *src, const struct ip *dst)
{
	memset(out, 0, INET_V6_HEADER);
	out[0] = 0x60;
	store16(out + V6_LENGTH, (uint16_t)(total - INET_V6_HEADER));
	out[V6_NEXT] = IPPROTO_ICMPV6;
	out[V6_HOPS] = ERROR_TTL;
	memcpy(out + V6_SRC, src->b, 16);
	memcpy(out + V6_DST, dst->b, 16);
}

/* Writes the whole error; param is the second word of the ICMP header. */
static size_t icmp_error(uint8_t *out, const uint8_t *data, size_t len,
			 const struct inet_info *info, const struct ip *source, uint8_t type,
			 uint8_t code, uint32_t param)
{
	bool v4 = info->src.family == 4;
	size_t header = v4 ? INET_V4_HEADER : INET_V6_HEADER;
	size_t quote = (v4 ? V4_ERROR_MAX : V6_ERROR_MAX) - header - ICMP_HEADER, total;
	uint8_t *icmp = out + header;
	uint64_t sum = 0;

	len = ip_length(data, len, info);
	if (source->family != info->src.family || !inet_icmp_is_due(data, len, info))
		return 0;
	if (quote > len)
		quote = len;
	total = header + ICMP_HEADER + quote;

	memset(icmp, 0, ICMP_HEADER);
	icmp[0] = type;
	icmp[1] = code;
	store32(icmp + 4, param);
	memcpy(icmp + ICMP_HEADER, data, quote);
	if (v4) {
		write_v4(out, total, source, &info->src);
	} else {
		struct inet_info reply = { .src = *source,
					   .dst = info->src,
					   .proto = IPPROTO_ICMPV6 };

		write_v6(out, total, source, &info->src);
		sum = inet_pseudo_sum(&reply, (uint32_t)(total - header));
	}
	store_check(icmp + ICMP_CHECK, inet_fold(inet_sum(icmp, total - header, sum)));
	return total;
}

size_t inet_icmp_too_big(uint8_t *out, const uint8_t *data, size_t len,
			 const struct inet_info *info, const struct ip *source, uint32_t mtu)
{
	if (info->src.family == 6)
		return icmp_error(out, data, len, info, source, ICMP6_PACKET_TOO_BIG, 0, mtu);
	if (mtu > 65535)
		mtu = 65535; /* 16 bits: RFC 1191, section 4 */
	return icmp_error(out, data, len, info, source, ICMP4_UNREACHABLE, ICMP4_TOO_BIG, mtu);
}

size_t inet_icmp_time_exceeded(uint8_t *out, const uint8_t *data, size_t len,
			       const struct inet_info *info, const struct ip *source)
{
	uint8_t type = info->src.family == 4 ? ICMP4_EXCEEDED : ICMP6_EXCEEDED;

	return icmp_error(out, data, len, info, source, type, 0, 0);
}
