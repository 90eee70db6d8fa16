/*
 * A packet device in the test's namespace, UDP sockets around it, and packets.
 */
#ifndef TESTS_UNIT_GATEWAY_H
#define TESTS_UNIT_GATEWAY_H

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/counters.h"
#include "common/inet.h"
#include "common/packet.h"
#include "router/offload.h"
#include "tests/unit/inet_build.h"
#include "tests/unit/netns.h"

#define DEVICE "vinetest0"
#define PORT 4711

/* A UDP socket bound to an address of this machine. */
static inline int udp_at(const char *address, unsigned port)
{
	struct endpoint e = { .ip = ip_of(address), .port = (uint16_t)port };
	struct sockaddr_storage sa;
	unsigned len = endpoint_to_sockaddr(&e, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static inline bool udp_send(int fd, const char *address, const void *data, size_t n)
{
	struct endpoint e = { .ip = ip_of(address), .port = PORT };
	struct sockaddr_storage sa;
	unsigned len = endpoint_to_sockaddr(&e, &sa);

	return sendto(fd, data, n, 0, (struct sockaddr *)&sa, len) == (ssize_t)n;
}

/* Waits for a descriptor, up to two seconds; then it is a failure. */
static inline bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 2000) == 1 && (p.revents & POLLIN);
}

/* A UDP packet of n payload bytes, checksums finished. */
static inline struct packet *udp_packet(struct pool *pool, const char *from, const char *to,
					size_t n, uint8_t fill)
{
	const struct ip src = ip_of(from), dst = ip_of(to);
	const bool six = src.family == 6;
	const size_t header = six ? 40 : 20, udp = 8 + n;
	struct packet *p = pool_get(pool);
	uint8_t *d;

	assert_non_null(p);
	d = p->data;
	p->len = (uint32_t)(header + udp);
	memset(d, 0, p->len);
	if (six) {
		d[0] = 0x60;
		put16(d + 4, (uint16_t)udp);
		d[6] = IPPROTO_UDP;
		d[7] = 61;
		memcpy(d + 8, src.b, 16);
		memcpy(d + 24, dst.b, 16);
	} else {
		d[0] = 0x45;
		put16(d + 2, (uint16_t)p->len);
		put16(d + 4, 0x1234);
		d[6] = 0x40; /* DF */
		d[8] = 61;
		d[9] = IPPROTO_UDP;
		memcpy(d + 12, src.b, 4);
		memcpy(d + 16, dst.b, 4);
		fix_v4(d);
	}
	d += header;
	put16(d, PORT + 1);
	put16(d + 2, PORT);
	put16(d + 4, (uint16_t)udp);
	memset(d + 8, fill, n);
	put16(d + 6, (uint16_t)~ref_transport(p->data, header, p->len, IPPROTO_UDP));
	return p;
}

/* Whether this is that payload in a UDP packet between the two, checksums right. */
/* Its checksum may be unfinished yet. */
static inline bool is_udp(struct packet *p, const char *from, const char *to, const void *payload,
			  size_t n)
{
	struct ip src = ip_of(from), dst = ip_of(to);
	const bool six = src.family == 6;
	const size_t header = six ? 40 : 20, size = six ? 16 : 4, at = six ? 8 : 12;
	const uint8_t *d = p->data;
	size_t len;

	if (!inet_parse(d, p->len, &p->inet, &len) || !offload_check(p))
		return false;
	packet_finish(p);
	return p->len == header + 8 + n && d[0] >> 4 == src.family &&
	       !memcmp(d + at, src.b, size) && !memcmp(d + at + size, dst.b, size) &&
	       !memcmp(d + header + 8, payload, n) && (six || ref_v4_ok(d)) &&
	       ref_transport(d, header, p->len, IPPROTO_UDP) == 0xffff;
}

static inline void give_up(struct pool *pool, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		pool_put(pool, b->p[i]);
	b->n = 0;
}

#endif
