/*
 * Addresses: IP (v4 or v6), prefixes and UDP/TCP endpoints; their text forms.
 */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;
struct sockaddr_storage;

/* An address of either family. Bytes past the address are zero, so that two
 * equal addresses compare equal with memcmp. */
struct ip {
	uint8_t family; /* 4 or 6; 0 is "no address" */
	uint8_t b[16];	/* network byte order; IPv4 uses the first four */
};

struct prefix {
	struct ip ip; /* host bits are zero */
	uint8_t len;  /* 0 to 32 or 128 */
};

struct endpoint {
	struct ip ip;
	uint16_t port; /* host byte order */
};

#define IP_TEXT 46	 /* longest text of an address, with its end */
#define PREFIX_TEXT 50	 /* ... of a prefix */
#define ENDPOINT_TEXT 54 /* ... of an endpoint, brackets included */
#define ID_TEXT 16	 /* ... of a dotted quad */

/* Parsers: 0, or -EINVAL with *ret untouched. */
int ip_parse(const char *text, struct ip *ret);
/* "172.16.0.0/24"; a bare address is a host prefix. -ERANGE: host bits set. */
int prefix_parse(const char *text, struct prefix *ret);
/* "198.51.100.2:8463", "[2001:db8::1]:8463". */
int endpoint_parse(const char *text, struct endpoint *ret);
/* A 32-bit identifier, decimal or dotted quad. */
int id_parse(const char *text, uint32_t *ret);

/* Formatters write into buf and return it. */
char *ip_format(const struct ip *ip, char buf[static IP_TEXT]);
char *prefix_format(const struct prefix *p, char buf[static PREFIX_TEXT]);
char *endpoint_format(const struct endpoint *e, char buf[static ENDPOINT_TEXT]);

struct ip ip_from_v4(const uint8_t b[4]);
struct ip ip_from_v6(const uint8_t b[16]);
/* Whether it names one machine, be it this one: not all zero, no multicast, not reserved. */
bool ip_is_unicast(const struct ip *ip);
/* ... and means the same machine to others: no loopback. */
bool ip_is_host(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/* Whether they may well be one machine's: the same IPv4 address, or IPv6 /64. */
bool ip_same_source(const struct ip *a, const struct ip *b);
/* Bits of an address of this family: 32 or 128. */
unsigned ip_bits(const struct ip *ip);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
/* Whether the address lies inside the prefix (families must agree). */
bool prefix_contains(const struct prefix *p, const struct ip *ip);
/* Whether every address of inner lies inside outer. */
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);
/* memcmp-like order: family, address, length. */
int prefix_compare(const struct prefix *a, const struct prefix *b);
struct prefix prefix_host(const struct ip *ip);

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* Length of the sockaddr written. */
unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret);
/* -EAFNOSUPPORT for anything but AF_INET and AF_INET6. A v4-mapped IPv6 address
 * becomes IPv4. */
int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret);

#endif
