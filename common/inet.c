/*
 * Reading IP packets, their checksums, and changes in place.
 *
 * Parsing is where hostile bytes come in: it alone decides what is a packet, and
 * what it returns holds for the functions behind it (l4 <= length, IP header
 * whole). They check again only what they read beyond the IP header.
 *
 * Checksums are kept in the machine's byte order all the way: the one's
 * complement sum doesn't care (RFC 1071, section 2), and so wider words can be
 * summed. Changes in place never sum a packet anew; they mend the
 * checksum by the difference (RFC 1624), so that a packet that came broken stays
 * broken. They expect a finished transport checksum: for one that is left
 * partial only the pseudo header counts, and mending would spoil it.
 *
 * Not here: IPv6 jumbograms (RFC 2675), whose length field is 0: they end up
 * as packets of unknown protocol.
 */
#include "common/inet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "common/inet_private.h"

#define EXTENSIONS_MAX 8
#define BLOCK 64 /* bytes that are a whole number of vectors of any size */
#define LONG 128 /* bytes that are worth vectors */
#define PROTO_UNKNOWN 255

enum { TCPOPT_END = 0, TCPOPT_PAD = 1, TCPOPT_MSS = 2 };

/* --- checksums --- */

static inline uint64_t load_word(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/*
 * Long data, in vectors of `size` bytes, n of them: their sum, and (also) what else is
 * done with each. The halves of words are summed apart, so nothing is carried as long as
 * n is less than 2^28. Each size is compiled for processors that have such registers:
 * what is wider than those gcc keeps in memory.
 */
#define SUM_VECTORS(name, size, isa, also) \
	isa static uint64_t name##_##size(uint8_t *to, const uint8_t *p, size_t n) \
	{ \
		typedef uint64_t words __attribute__((vector_size(size))); \
		words low = { 0 }, high = { 0 }, w; \
		uint64_t sum = 0; \
\
		(void)to; \
		for (; n > 0; n--, p += size) { \
			memcpy(&w, p, size); \
			also; \
			low += w & UINT32_MAX; \
			high += w >> 32; \
		} \
		low += high; \
		for (unsigned i = 0; i < size / 8; i++) \
			sum += low[i]; \
		return sum; \
	}
#define COPY_VECTORS(size, isa) SUM_VECTORS(copy, size, isa, memcpy(to, &w, size); to += size)

SUM_VECTORS(sum, 16, , )
COPY_VECTORS(16, )
#ifdef __x86_64__
SUM_VECTORS(sum, 32, __attribute__((target("avx2"))), )
COPY_VECTORS(32, __attribute__((target("avx2"))))
SUM_VECTORS(sum, 64, __attribute__((target("avx512f"))), )
COPY_VECTORS(64, __attribute__((target("avx512f"))))
#endif

/* Of n blocks of 64 bytes, copied to `to` unless that is NULL. */
static uint64_t blocks(uint8_t *to, const uint8_t *p, size_t n)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return to ? copy_64(to, p, n) : sum_64(to, p, n);
	if (__builtin_cpu_supports("avx2"))
		return to ? copy_32(to, p, n * 2) : sum_32(to, p, n * 2);
#endif
	return to ? copy_16(to, p, n * 4) : sum_16(to, p, n * 4);
}

/* Of less than 2^32 words of 32 bits no carry is lost. */
uint64_t inet_sum(const void *data, size_t len, uint64_t sum)
{
	const uint8_t *p = data;
	uint64_t words = 0;
	uint32_t quad;
	uint16_t pair;

	if (len >= LONG) {
		words = blocks(NULL, p, len / BLOCK);
		p += len - len % BLOCK;
		len %= BLOCK;
	}
	for (; len >= 4; len -= 4, p += 4) {
		memcpy(&quad, p, sizeof(quad));
		words += quad;
	}
	if (len & 2) {
		memcpy(&pair, p, sizeof(pair));
		words += pair;
		p += 2;
	}
	if (len & 1) /* as if a zero byte followed */
		words += ntohs((uint16_t)(*p << 8));
	return add_carry(sum, words);
}

uint64_t inet_copy_sum(void *to, const void *from, size_t len)
{
	const size_t at = len - len % BLOCK;
	uint64_t sum = at ? blocks(to, from, at / BLOCK) : 0;

	memcpy((uint8_t *)to + at, (const uint8_t *)from + at, len - at);
	return inet_sum((const uint8_t *)from + at, len - at, sum);
}

uint16_t inet_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint64_t inet_pseudo_sum(const struct inet_info *info, uint32_t transport_len)
{
	size_t n = info->src.family == 4 ? 4 : 16;
	uint64_t sum = (uint64_t)htonl(transport_len) + htonl(info->proto);

	sum = inet_sum(info->src.b, n, sum);
	return inet_sum(info->dst.b, n, sum);
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'), for sums m of any width. */
static void mend(uint8_t *field, uint64_t removed, uint64_t added)
{
	uint16_t check;

	memcpy(&check, field, sizeof(check));
	check = (uint16_t)~check;
	store_check(field, inet_fold(add_carry(added, (uint64_t)check + inet_fold(removed))));
}

/* --- parsing --- */

static bool is_extension(uint8_t next)
{
	return next == EXT_HOP_BY_HOP || next == EXT_ROUTING || next == EXT_FRAGMENT ||
	       next == EXT_DESTINATION;
}

/* Goes through the extension headers to the transport header. A chain that is
 * too long, runs past the packet or has two fragment headers leaves the protocol
 * unknown, with l4 where the walk ended: the packet can still be forwarded. */
static void walk_extensions(const uint8_t *data, size_t len, struct inet_info *info)
{
	size_t at = INET_V6_HEADER, size;
	uint8_t next = data[V6_NEXT];
	bool seen = false;

	for (unsigned n = 0; is_extension(next); n++) {
		if (n == EXTENSIONS_MAX || len - at < 8 || info->fragment ||
		    (next == EXT_FRAGMENT && seen)) {
			next = PROTO_UNKNOWN;
			break;
		}
		size = next == EXT_FRAGMENT ? 8 : 8 * ((size_t)data[at + 1] + 1);
		if (size > len - at) {
			next = PROTO_UNKNOWN;
			break;
		}
		if (next == EXT_FRAGMENT) {
			uint16_t word = load16(data + at + 2);

			seen = true;
			info->fragment = word >> 3;
			info->more = !info->fragment && (word & 1);
		}
		next = data[at];
		at += size;
	}
	info->proto = next;
	info->l4 = (uint16_t)at;
}

static bool parse_v4(const uint8_t *data, size_t len, bool quoted, struct inet_info *info,
		     size_t *ret_len)
{
	size_t header, total;
	uint16_t word;

	if (len < INET_V4_HEADER)
		return false;
	header = (size_t)(data[0] & 15) * 4;
	total = load16(data + V4_LENGTH);
	if (header < INET_V4_HEADER || header > len)
		return false;
	if (!quoted && (total < header || total > len || inet_fold(inet_sum(data, header, 0))))
		return false;

	word = load16(data + V4_FRAGMENT);
	info->src.family = info->dst.family = 4;
	memcpy(info->src.b, data + V4_SRC, 4);
	memcpy(info->dst.b, data + V4_DST, 4);
	info->l4 = (uint16_t)header;
	info->proto = data[V4_PROTO];
	info->tos = data[V4_TOS];
	info->ttl = data[V4_TTL];
	info->fragment = word & V4_OFFSET;
	info->more = !info->fragment && (word & V4_MF);
	info->dont_fragment = word & V4_DF;
	*ret_len = total;
	return true;
}

static bool parse_v6(const uint8_t *data, size_t len, bool quoted, struct inet_info *info,
		     size_t *ret_len)
{
	size_t total;

	if (len < INET_V6_HEADER)
		return false;
	total = (size_t)INET_V6_HEADER + load16(data + V6_LENGTH);
	if (!quoted && total > len)
		return false;

	info->src.family = info->dst.family = 6;
	memcpy(info->src.b, data + V6_SRC, 16);
	memcpy(info->dst.b, data + V6_DST, 16);
	info->tos = (uint8_t)(data[0] << 4 | data[1] >> 4);
	info->ttl = data[V6_HOPS];
	info->dont_fragment = true;
	walk_extensions(data, total < len ? total : len, info);
	*ret_len = total;
	return true;
}

static bool parse(const uint8_t *data, size_t len, bool quoted, struct inet_info *ret,
		  size_t *ret_len)
{
	struct inet_info info;
	bool ok = false;

	memset(&info, 0, sizeof(info));
	if (len && data[0] >> 4 == 4)
		ok = parse_v4(data, len, quoted, &info, ret_len);
	else if (len && data[0] >> 4 == 6)
		ok = parse_v6(data, len, quoted, &info, ret_len);
	if (ok)
		*ret = info;
	return ok;
}

bool inet_parse(const uint8_t *data, size_t len, struct inet_info *ret, size_t *ret_len)
{
	return parse(data, len, false, ret, ret_len);
}

bool inet_parse_quoted(const uint8_t *data, size_t len, struct inet_info *ret)
{
	size_t unused;

	return parse(data, len, true, ret, &unused);
}

size_t inet_tcp_header(const uint8_t *data, size_t len, const struct inet_info *info)
{
	size_t header;

	len = ip_length(data, len, info);
	if (info->proto != IPPROTO_TCP || info->fragment || info->more)
		return 0;
	if (len < (size_t)info->l4 + TCP_HEADER)
		return 0;
	header = (size_t)(data[info->l4 + TCP_OFFSET] >> 4) * 4;
	return header < TCP_HEADER || header > len - info->l4 ? 0 : header;
}

/* --- flow hash --- */

/* Bijective in h for each word, and in the word for each h. */
static inline uint64_t hash_word(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9fb21c651e98df25ULL;
	return h ^ h >> 32;
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

/* For this machine only: it depends on the byte order. Not keyed; whoever picks
 * ports to make flows collide only hurts those. */
uint32_t inet_flow_hash(const uint8_t *data, size_t len, const struct inet_info *info)
{
	bool part = info->fragment || info->more;
	uint64_t h = 0x243f6a8885a308d3ULL, last = info->proto;
	uint32_t ports;

	if (info->src.family == 4) {
		h = hash_word(h, load_word(data + V4_SRC)); /* both addresses */
	} else {
		for (unsigned i = 0; i < 32; i += 8)
			h = hash_word(h, load_word(data + V6_SRC + i));
		/* What follows the IPv6 fragment header may be another extension,
		 * and then later fragments don't know the protocol. */
		if (part)
			last = EXT_FRAGMENT;
	}
	if (!part && has_ports(info->proto) && len >= (size_t)info->l4 + sizeof(ports)) {
		memcpy(&ports, data + info->l4, sizeof(ports));
		last |= (uint64_t)ports << 32;
	}
	h = hash_word(h, last);
	h = hash_word(h, h >> 29);
	return (uint32_t)(h >> 32);
}

/* --- changes --- */

bool inet_ttl_decrement(uint8_t *data)
{
	bool v4 = data[0] >> 4 == 4;
	uint8_t *ttl = data + (v4 ? V4_TTL : V6_HOPS);
	uint64_t old;

	if (*ttl <= 1)
		return false;
	if (v4) {
		old = inet_sum(data + V4_TTL, 2, 0);
		--*ttl;
		mend(data + V4_CHECK, old, inet_sum(data + V4_TTL, 2, 0));
	} else {
		--*ttl;
	}
	return true;
}

void inet_set_tos(uint8_t *data, uint8_t tos)
{
	uint64_t old;

	if (data[0] >> 4 == 4) {
		old = inet_sum(data, 2, 0);
		data[V4_TOS] = tos;
		mend(data + V4_CHECK, old, inet_sum(data, 2, 0));
	} else {
		data[0] = (uint8_t)((data[0] & 0xf0) | tos >> 4);
		data[1] = (uint8_t)((data[1] & 0x0f) | tos << 4);
	}
}

/* Where the transport header has a checksum over the pseudo header; NULL if it
 * has none, or not within len. */
static uint8_t *transport_check(uint8_t *data, size_t len, const struct inet_info *info)
{
	size_t at = info->l4;

	if (info->fragment)
		return NULL;
	if (info->proto == IPPROTO_TCP)
		at += TCP_CHECK;
	else if (info->proto == IPPROTO_UDP || info->proto == IPPROTO_UDPLITE ||
		 info->proto == IPPROTO_DCCP)
		at += UDP_CHECK;
	else if (info->proto == IPPROTO_ICMPV6 && info->src.family == 6)
		at += ICMP_CHECK;
	else
		return NULL;
	return at + 2 <= len ? data + at : NULL;
}

void inet_set_source(uint8_t *data, size_t len, const struct inet_info *info,
		     const struct ip *source)
{
	bool v4 = info->src.family == 4;
	size_t n = v4 ? 4 : 16;
	uint8_t *src = data + (v4 ? V4_SRC : V6_SRC), *check;
	uint64_t removed, added;
	bool udp = info->proto == IPPROTO_UDP || info->proto == IPPROTO_UDPLITE;

	if (source->family != info->src.family)
		return;
	removed = inet_sum(src, n, 0);
	memcpy(src, source->b, n);
	added = inet_sum(src, n, 0);
	if (v4)
		mend(data + V4_CHECK, removed, added);

	check = transport_check(data, ip_length(data, len, info), info);
	if (!check)
		return;
	if (udp && !load16(check))
		return; /* sent without one: RFC 768; over IPv6 by tunnels, RFC 6935 */
	mend(check, removed, added);
	if (udp && !load16(check))
		store16(check, 0xffff);
}

/* RFC 6040, figure 4. */
int inet_ecn_decapsulate(uint8_t inner, uint8_t outer)
{
	inner &= 3;
	outer &= 3;
	if (outer == ECN_CE)
		return inner == ECN_NOT_ECT ? -1 : ECN_CE;
	if (outer == ECN_ECT1 && inner == ECN_ECT0)
		return ECN_ECT1;
	return inner;
}

/* The value at tcp + at: a word of the checksum only if at is even, else its
 * bytes lie in two words, each on the other side. */
static bool lower_mss(uint8_t *tcp, size_t at, uint16_t mss)
{
	uint8_t old[4] = { 0 }, new[4] = { 0 };
	size_t odd = at & 1;

	if (load16(tcp + at) <= mss)
		return false;
	memcpy(old + odd, tcp + at, 2);
	store16(new + odd, mss);
	store16(tcp + at, mss);
	mend(tcp + TCP_CHECK, inet_sum(old, sizeof(old), 0), inet_sum(new, sizeof(new), 0));
	return true;
}

bool inet_clamp_mss(uint8_t *data, size_t len, const struct inet_info *info, uint16_t mss)
{
	size_t header = inet_tcp_header(data, len, info), size;
	uint8_t *tcp = data + info->l4;
	bool changed = false;

	if (!header || !(tcp[TCP_FLAGS] & TCP_SYN))
		return false;
	/* To the end, even behind an MSS: receivers differ in which of two counts. */
	for (size_t at = TCP_HEADER; at < header; at += size) {
		if (tcp[at] == TCPOPT_END)
			break;
		size = 1;
		if (tcp[at] == TCPOPT_PAD)
			continue;
		if (header - at < 2)
			break;
		size = tcp[at + 1];
		if (size < 2 || size > header - at)
			break;
		if (tcp[at] == TCPOPT_MSS && size == 4)
			changed |= lower_mss(tcp, at + 2, mss);
	}
	return changed;
}
