/*
 * What inet.c, inet_icmp.c and inet_cut.c share; nobody else includes it.
 */
#ifndef COMMON_INET_PRIVATE_H
#define COMMON_INET_PRIVATE_H

#include <stdint.h>
#include <string.h>

#include "common/inet.h"

/* Offsets in the headers, and the values that are looked at. */
enum {
	V4_TOS = 1,
	V4_LENGTH = 2,
	V4_ID = 4,
	V4_FRAGMENT = 6,
	V4_TTL = 8,
	V4_PROTO = 9,
	V4_CHECK = 10,
	V4_SRC = 12,
	V4_DST = 16,

	V6_LENGTH = 4,
	V6_NEXT = 6,
	V6_HOPS = 7,
	V6_SRC = 8,
	V6_DST = 24,

	TCP_HEADER = 20,
	TCP_SEQ = 4,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECK = 16,
	TCP_URGENT = 18,
	UDP_LENGTH = 4,
	UDP_CHECK = 6,
	UDP_HEADER = 8,
	ICMP_CHECK = 2,
	ICMP_HEADER = 8
};

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80
};

#define V4_DF 0x4000
#define V4_MF 0x2000
#define V4_OFFSET 0x1fff /* in units of 8 bytes */

/* IPv6 extension headers that are walked. */
enum { EXT_HOP_BY_HOP = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_DESTINATION = 60 };

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load16(p) << 16 | load16(p + 2);
}

static inline void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store16(p, (uint16_t)(v >> 16));
	store16(p + 2, (uint16_t)v);
}

/* End-around carry: the sum is 0 only if both are. */
static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

/* Writes a checksum that inet_fold made. */
static inline void store_check(uint8_t *p, uint16_t check)
{
	memcpy(p, &check, sizeof(check));
}

/* Length of the IP packet, without what may follow it: at most len. */
static inline size_t ip_length(const uint8_t *data, size_t len, const struct inet_info *info)
{
	size_t total = info->src.family == 4 ? load16(data + V4_LENGTH)
					     : (size_t)INET_V6_HEADER + load16(data + V6_LENGTH);

	return total < len ? total : len;
}

/* Length of the TCP header with its options; 0 if it is no TCP, a fragment, or
 * the header is not whole. */
size_t inet_tcp_header(const uint8_t *data, size_t len, const struct inet_info *);

#endif
