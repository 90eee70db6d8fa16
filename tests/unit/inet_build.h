/*
 * Packets for the tests of inet, and a plain reference of the checksum: two
 * bytes at a time, big-endian, as RFC 1071 describes it.
 */
#ifndef TESTS_UNIT_INET_BUILD_H
#define TESTS_UNIT_INET_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const uint8_t build_src4[4] = { 10, 1, 2, 3 }, build_dst4[4] = { 192, 0, 2, 9 };
static const uint8_t build_src6[16] = { 0x20, 0x01, 0x0d, 0xb8, 1, [15] = 7 };
static const uint8_t build_dst6[16] = { 0x20, 0x01, 0x0d, 0xb8, 2, [14] = 0xff, [15] = 9 };

static inline uint32_t ref_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Sum over pseudo header and transport: 0xffff if the checksum is right. */
static inline uint32_t ref_transport(const uint8_t *p, size_t l4, size_t len, uint8_t proto)
{
	bool v4 = p[0] >> 4 == 4;
	uint32_t sum = ref_sum(p + (v4 ? 12 : 8), v4 ? 8 : 32, 0);

	sum += (uint32_t)(len - l4) + proto;
	return ref_sum(p + l4, len - l4, sum);
}

static inline bool ref_v4_ok(const uint8_t *p)
{
	return ref_sum(p, (size_t)(p[0] & 15) * 4, 0) == 0xffff;
}

static inline void fix_v4(uint8_t *p)
{
	put16(p + 10, 0);
	put16(p + 10, (uint16_t)~ref_sum(p, (size_t)(p[0] & 15) * 4, 0));
}

/* Writes the transport checksum at l4 + at; never 0, which is none for UDP. */
static inline void fix_transport(uint8_t *p, size_t l4, size_t at, size_t len, uint8_t proto)
{
	put16(p + l4 + at, 0);
	put16(p + l4 + at, (uint16_t)~ref_transport(p, l4, len, proto));
	if (!be16(p + l4 + at))
		put16(p + l4 + at, 0xffff);
}

/* IPv4 header with options (a multiple of 4 bytes, or NULL), n bytes of payload
 * behind it that count up. Returns the length of the packet. */
static inline size_t build_v4(uint8_t *p, const uint8_t *options, size_t optlen, uint8_t proto,
			      size_t n)
{
	size_t header = 20 + optlen;

	memset(p, 0, header);
	p[0] = (uint8_t)(0x40 | header / 4);
	p[1] = 0x2a;
	put16(p + 2, (uint16_t)(header + n));
	put16(p + 4, 0xfffe);
	p[8] = 64;
	p[9] = proto;
	memcpy(p + 12, build_src4, 4);
	memcpy(p + 16, build_dst4, 4);
	if (optlen)
		memcpy(p + 20, options, optlen);
	for (size_t i = 0; i < n; i++)
		p[header + i] = (uint8_t)(i * 7 + i / 256);
	fix_v4(p);
	return header + n;
}

static inline size_t build_v6(uint8_t *p, uint8_t next, size_t n)
{
	memset(p, 0, 40);
	p[0] = 0x62;
	p[1] = 0xa1; /* traffic class 0x2a, flow label 0x12345 */
	p[2] = 0x23;
	p[3] = 0x45;
	put16(p + 4, (uint16_t)n);
	p[6] = next;
	p[7] = 64;
	memcpy(p + 8, build_src6, 16);
	memcpy(p + 24, build_dst6, 16);
	for (size_t i = 0; i < n; i++)
		p[40 + i] = (uint8_t)(i * 7 + i / 256);
	return 40 + n;
}

/* Makes a TCP segment of the payload at l4: header with options, the rest data. */
static inline void build_tcp(uint8_t *p, size_t l4, size_t len, uint8_t flags,
			     const uint8_t *options, size_t optlen)
{
	uint8_t *tcp = p + l4;

	memset(tcp, 0, 20);
	put16(tcp, 40000);
	put16(tcp + 2, 443);
	put16(tcp + 4, 0xffff); /* the sequence number is about to wrap */
	put16(tcp + 6, 0xf000);
	tcp[12] = (uint8_t)((20 + optlen) / 4 << 4);
	tcp[13] = flags;
	put16(tcp + 14, 1000);
	if (optlen)
		memcpy(tcp + 20, options, optlen);
	fix_transport(p, l4, 16, len, 6);
}

static inline void build_udp(uint8_t *p, size_t l4, size_t len)
{
	put16(p + l4, 5353);
	put16(p + l4 + 2, 53);
	put16(p + l4 + 4, (uint16_t)(len - l4));
	fix_transport(p, l4, 6, len, 17);
}

#endif
