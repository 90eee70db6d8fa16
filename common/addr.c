/*
 * Addresses, prefixes and endpoints: text forms, comparing, sockaddrs.
 *
 * inet_pton and inet_ntop know the text of addresses; what they leave open is
 * settled strictly here: no zones, no blanks, no leading zeros in numbers, no
 * host bits in a prefix. The bytes of struct ip past the address are kept zero
 * by every constructor, which makes memcmp an equality. No names are looked up.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct ip ip_from_v4(const uint8_t b[4])
{
	struct ip ip = { .family = 4 };

	memcpy(ip.b, b, 4);
	return ip;
}

struct ip ip_from_v6(const uint8_t b[16])
{
	struct ip ip = { .family = 6 };

	memcpy(ip.b, b, 16);
	return ip;
}

bool ip_is_unicast(const struct ip *ip)
{
	static const uint8_t zero[16];

	if (ip->family == 4)
		return ip->b[0] != 0 && ip->b[0] < 224;
	return memcmp(ip->b, zero, 16) != 0 && ip->b[0] != 0xff;
}

bool ip_is_host(const struct ip *ip)
{
	static const uint8_t loop6[16] = { [15] = 1 };

	return ip_is_unicast(ip) &&
	       (ip->family == 4 ? ip->b[0] != 127 : memcmp(ip->b, loop6, 16) != 0);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool ip_same_source(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && !memcmp(a->b, b->b, a->family == 6 ? 8 : 4);
}

unsigned ip_bits(const struct ip *ip)
{
	return ip->family == 4 ? 32 : 128;
}

/* Clears the bits of b past len. */
static void mask_bits(uint8_t b[16], unsigned len)
{
	unsigned byte = len / 8;

	if (byte >= 16)
		return;
	b[byte] &= (uint8_t)(0xff00 >> len % 8);
	memset(b + byte + 1, 0, 16 - byte - 1);
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned len)
{
	unsigned whole = len / 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return len % 8 == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> len % 8) & 0xff) == 0;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && ip_equal(&a->ip, &b->ip);
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
	return p->ip.family == ip->family && same_bits(p->ip.b, ip->b, p->len);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && prefix_contains(outer, &inner->ip);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int order;

	if (a->ip.family != b->ip.family)
		return a->ip.family < b->ip.family ? -1 : 1;
	order = memcmp(a->ip.b, b->ip.b, sizeof(a->ip.b));
	if (order != 0)
		return order;
	return (a->len > b->len) - (a->len < b->len);
}

struct prefix prefix_host(const struct ip *ip)
{
	return (struct prefix){ .ip = *ip, .len = (uint8_t)ip_bits(ip) };
}

/* A decimal number without sign, blanks or leading zeros, the whole text. */
static bool parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t n = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > max)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

/* Copies len bytes as a string. False if they do not fit or hold a NUL. */
static bool cut_text(char *buf, size_t room, const char *text, size_t len)
{
	if (len >= room)
		return false;
	memcpy(buf, text, len);
	buf[len] = '\0';
	return true;
}

int ip_parse(const char *text, struct ip *ret)
{
	uint8_t b[16];

	if (inet_pton(AF_INET, text, b) == 1)
		*ret = ip_from_v4(b);
	else if (inet_pton(AF_INET6, text, b) == 1)
		*ret = ip_from_v6(b);
	else
		return -EINVAL;
	return 0;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	char address[IP_TEXT];
	struct ip ip, masked;
	uint32_t len;

	if (!cut_text(address, sizeof(address), text,
		      slash ? (size_t)(slash - text) : strlen(text)))
		return -EINVAL;
	if (ip_parse(address, &ip) < 0)
		return -EINVAL;
	len = ip_bits(&ip);
	if (slash && !parse_number(slash + 1, len, &len))
		return -EINVAL;

	masked = ip;
	mask_bits(masked.b, len);
	if (!ip_equal(&masked, &ip))
		return -ERANGE;
	*ret = (struct prefix){ .ip = ip, .len = (uint8_t)len };
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	bool bracket = text[0] == '[';
	const char *start = text + bracket;
	const char *end = strchr(start, bracket ? ']' : ':');
	char address[IP_TEXT];
	struct ip ip;
	uint32_t port;

	if (!end || !cut_text(address, sizeof(address), start, (size_t)(end - start)))
		return -EINVAL;
	if (bracket && *++end != ':')
		return -EINVAL;
	if (ip_parse(address, &ip) < 0 || ip.family != (bracket ? 6 : 4))
		return -EINVAL;
	if (!parse_number(end + 1, UINT16_MAX, &port))
		return -EINVAL;
	*ret = (struct endpoint){ .ip = ip, .port = (uint16_t)port };
	return 0;
}

int id_parse(const char *text, uint32_t *ret)
{
	uint8_t b[4];

	if (parse_number(text, UINT32_MAX, ret))
		return 0;
	if (inet_pton(AF_INET, text, b) != 1)
		return -EINVAL;
	*ret = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return 0;
}

char *ip_format(const struct ip *ip, char buf[static IP_TEXT])
{
	if (ip->family == 4)
		inet_ntop(AF_INET, ip->b, buf, IP_TEXT);
	else if (ip->family == 6)
		inet_ntop(AF_INET6, ip->b, buf, IP_TEXT);
	else
		strcpy(buf, "none");
	return buf;
}

char *prefix_format(const struct prefix *p, char buf[static PREFIX_TEXT])
{
	char address[IP_TEXT];

	snprintf(buf, PREFIX_TEXT, "%s/%u", ip_format(&p->ip, address), p->len);
	return buf;
}

char *endpoint_format(const struct endpoint *e, char buf[static ENDPOINT_TEXT])
{
	char address[IP_TEXT];

	snprintf(buf, ENDPOINT_TEXT, e->ip.family == 6 ? "[%s]:%u" : "%s:%u",
		 ip_format(&e->ip, address), e->port);
	return buf;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (e->ip.family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.b, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->ip.b, 16);
	return sizeof(*in6);
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const uint8_t *b;

	switch (sa->sa_family) {
	case AF_INET:
		*ret = (struct endpoint){ .ip = ip_from_v4((const uint8_t *)&in->sin_addr),
					  .port = ntohs(in->sin_port) };
		return 0;
	case AF_INET6:
		b = in6->sin6_addr.s6_addr;
		*ret = (struct endpoint){ .ip = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)
							? ip_from_v4(b + 12)
							: ip_from_v6(b),
					  .port = ntohs(in6->sin6_port) };
		return 0;
	default: return -EAFNOSUPPORT;
	}
}
