/*
 * Cutting packets that are too long: TCP into segments, IPv4 into fragments, what
 * a host sent as one UDP message into its datagrams.
 *
 * Each piece is the headers of the packet, mended, and the next part of its
 * payload. TCP and UDP checksums are computed anew and not taken from the packet,
 * which may carry a partial one; so may the pieces. Fragments need a finished
 * transport checksum in the packet: it covers all of them.
 *
 * Not cut: SYN (it takes a sequence number, and later pieces would be off by
 * one), RST, and packets with a source route, where the checksum covers an
 * address that is not the destination (RFC 1122, section 4.1.3.3; RFC 8200,
 * section 8.1).
 */
#include <netinet/in.h>
#include <string.h>

#include "common/inet.h"
#include "common/inet_private.h"

#define PACKET_LENGTH_MAX 65535

/* IPv4 options: RFC 791. */
enum { OPT_END = 0, OPT_NOP = 1, OPT_LSRR = 131, OPT_SSRR = 137, OPT_COPIED = 0x80 };

/* Size of the option at at, which may be 1; 0 at the end of the options or if
 * they are broken. */
static size_t option_size(const uint8_t *data, size_t at, size_t header)
{
	if (at >= header || data[at] == OPT_END)
		return 0;
	if (data[at] == OPT_NOP)
		return 1;
	if (header - at < 2 || data[at + 1] < 2 || data[at + 1] > header - at)
		return 0;
	return data[at + 1];
}

static bool v4_source_routed(const uint8_t *data, const struct inet_info *info)
{
	size_t size;

	for (size_t at = INET_V4_HEADER; (size = option_size(data, at, info->l4)); at += size)
		if (data[at] == OPT_LSRR || data[at] == OPT_SSRR)
			return true;
	return false;
}

/* The headers up to l4 have been walked before and are whole. */
static bool v6_source_routed(const uint8_t *data, const struct inet_info *info)
{
	uint8_t next = data[V6_NEXT];
	size_t size;

	for (size_t at = INET_V6_HEADER; at < info->l4; at += size) {
		if (next == EXT_ROUTING)
			return true;
		size = next == EXT_FRAGMENT ? 8 : 8 * ((size_t)data[at + 1] + 1);
		next = data[at];
	}
	return false;
}

bool inet_cut_tcp(struct inet_cut *cut, const uint8_t *data, size_t len,
		  const struct inet_info *info, uint32_t mtu)
{
	size_t total = ip_length(data, len, info);
	size_t tcp = inet_tcp_header(data, total, info), header = info->l4 + tcp;

	if (!tcp || total == header || (data[info->l4 + TCP_FLAGS] & (TCP_SYN | TCP_RST)))
		return false;
	if (info->src.family == 4 ? v4_source_routed(data, info) : v6_source_routed(data, info))
		return false;
	if (mtu > PACKET_LENGTH_MAX)
		mtu = PACKET_LENGTH_MAX;
	if (mtu <= header)
		return false;
	*cut = (struct inet_cut){
		.data = data,
		.info = info,
		.len = (uint32_t)total,
		.header = (uint32_t)header,
		.step = mtu - (uint32_t)header,
	};
	return true;
}

bool inet_cut_fragments(struct inet_cut *cut, const uint8_t *data, size_t len,
			const struct inet_info *info, uint32_t mtu)
{
	size_t total = ip_length(data, len, info), offset;

	if (info->src.family != 4 || info->dont_fragment || total <= info->l4)
		return false;
	if (mtu < info->l4 + 8u)
		return false;
	/* What would end behind the largest packet has no offsets to be cut with. */
	offset = (size_t)(load16(data + V4_FRAGMENT) & V4_OFFSET) * 8;
	if (offset + total > PACKET_LENGTH_MAX)
		return false;
	if (mtu > PACKET_LENGTH_MAX)
		mtu = PACKET_LENGTH_MAX;
	*cut = (struct inet_cut){
		.data = data,
		.info = info,
		.len = (uint32_t)total,
		.header = info->l4,
		/* a packet that fits stays in one, whatever its length */
		.step = mtu >= total ? mtu - info->l4 : (mtu - info->l4) & ~7u,
		.fragment = true,
	};
	return true;
}

bool inet_cut_datagrams(struct inet_cut *cut, const uint8_t *data, size_t len,
			const struct inet_info *info, uint32_t size)
{
	if (info->proto != IPPROTO_UDP || !size || !inet_check_at(data, len, info) ||
	    len <= (size_t)info->l4 + UDP_HEADER)
		return false;
	*cut = (struct inet_cut){
		.data = data,
		.info = info,
		.len = (uint32_t)len,
		.header = info->l4 + UDP_HEADER,
		.step = size,
		.datagram = true,
	};
	return true;
}

static void mend_v4(uint8_t *out, size_t header, size_t total)
{
	store16(out + V4_LENGTH, (uint16_t)total);
	store16(out + V4_CHECK, 0);
	store_check(out + V4_CHECK, inet_fold(inet_sum(out, header, 0)));
}

/* Options without the copied flag belong to the first fragment alone. In the
 * others no-operation takes their place: as good, and all headers stay alike. */
static void blank_options(uint8_t *out, size_t header)
{
	size_t size;

	for (size_t at = INET_V4_HEADER; (size = option_size(out, at, header)); at += size)
		if (!(out[at] & OPT_COPIED))
			memset(out + at, OPT_NOP, size);
}

static void finish_fragment(const struct inet_cut *cut, uint8_t *out, size_t n, bool last)
{
	uint16_t word = load16(cut->data + V4_FRAGMENT);

	word = (uint16_t)(word + cut->at / 8); /* checked: stays within the offset's bits */
	if (!last)
		word |= V4_MF;
	store16(out + V4_FRAGMENT, word);
	if (cut->at)
		blank_options(out, cut->header);
	mend_v4(out, cut->header, cut->header + n);
}

/* The IP header in front of a piece of its own. */
static void finish_ip(const struct inet_cut *cut, uint8_t *out, size_t n)
{
	const struct inet_info *info = cut->info;

	if (info->src.family == 4) {
		uint32_t id = load16(out + V4_ID) + cut->at / cut->step;

		store16(out + V4_ID, (uint16_t)id);
		mend_v4(out, info->l4, cut->header + n);
	} else {
		store16(out + V6_LENGTH, (uint16_t)(cut->header + n - INET_V6_HEADER));
	}
}

/* payload: the sum of its n bytes, unless the checksum is left partial. They begin at an
 * even offset. */
static void finish_check(const struct inet_cut *cut, uint8_t *out, size_t n, uint64_t payload,
			 size_t check)
{
	const size_t l4 = cut->info->l4;
	uint16_t sum;

	if (cut->partial) {
		inet_check_begin(out + check, cut->info, (uint32_t)(cut->header + n - l4));
		return;
	}
	store16(out + check, 0);
	payload = add_carry(payload, inet_pseudo_sum(cut->info, (uint32_t)(cut->header + n - l4)));
	sum = inet_fold(inet_sum(out + l4, cut->header - l4, payload));
	store_check(out + check, sum ? sum : 0xffff);
}

static void finish_datagram(const struct inet_cut *cut, uint8_t *out, size_t n, uint64_t payload)
{
	uint8_t *udp = out + cut->info->l4;

	finish_ip(cut, out, n);
	store16(udp + UDP_LENGTH, (uint16_t)(UDP_HEADER + n));
	if (cut->partial || load16(udp + UDP_CHECK)) /* else sent without one */
		finish_check(cut, out, n, payload, cut->info->l4 + UDP_CHECK);
}

static void finish_segment(const struct inet_cut *cut, uint8_t *out, size_t n, uint64_t payload,
			   bool last)
{
	uint8_t *tcp = out + cut->info->l4;
	uint16_t urgent = load16(tcp + TCP_URGENT);

	finish_ip(cut, out, n);
	store32(tcp + TCP_SEQ, load32(tcp + TCP_SEQ) + cut->at);
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (cut->at)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	/* The urgent pointer counts from the segment's own sequence number. */
	if (tcp[TCP_FLAGS] & TCP_URG) {
		if (urgent <= cut->at)
			tcp[TCP_FLAGS] &= (uint8_t)~TCP_URG;
		store16(tcp + TCP_URGENT, urgent > cut->at ? (uint16_t)(urgent - cut->at) : 0);
	}
	finish_check(cut, out, n, payload, cut->info->l4 + TCP_CHECK);
}

size_t inet_cut_next(struct inet_cut *cut, uint8_t *out, size_t room)
{
	const uint8_t *from = cut->data + cut->header + cut->at;
	size_t left = cut->len - cut->header - cut->at, n = left < cut->step ? left : cut->step;
	uint64_t payload = 0;

	if (!left || room < cut->header + n)
		return 0;
	memcpy(out, cut->data, cut->header);
	if (cut->partial || cut->fragment)
		memcpy(out + cut->header, from, n);
	else
		payload = inet_copy_sum(out + cut->header, from, n);
	if (cut->fragment)
		finish_fragment(cut, out, n, n == left);
	else if (cut->datagram)
		finish_datagram(cut, out, n, payload);
	else
		finish_segment(cut, out, n, payload, n == left);
	cut->at += (uint32_t)n;
	return cut->header + n;
}
