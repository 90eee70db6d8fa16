/* links: router/link_udp router/first_hop common/packet common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/session.h"
#include "router/link.h"

#define POOL 512
#define PORT_A 8463
#define PORT_B 8464

struct fixture {
	struct pool *pool;
	struct counters counters;
	struct link *a, *b[4];
	unsigned n_b;
};

/* A new IPv6 address can be used once the kernel has done what it does about it later. */
static int wait_for_address(const struct in6_addr *address)
{
	struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_addr = *address };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), r = -1;

	for (int i = 0; r < 0 && i < 5000; i++) {
		r = bind(fd, (struct sockaddr *)&name, sizeof(name));
		if (r < 0)
			poll(NULL, 0, 1);
	}
	close(fd);
	return r;
}

/* A namespace of our own, its loopback up, a second IPv6 address on it. */
static int own_network(void)
{
	struct {
		struct in6_addr address;
		uint32_t prefix_len;
		int index;
	} request6 = { .prefix_len = 128 };
	struct ifreq request = { .ifr_name = "lo" };
	int r = -1, fd4, fd6;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd4 = socket(AF_INET, SOCK_DGRAM, 0);
	fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd4 >= 0 && fd6 >= 0 && ioctl(fd4, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		r = ioctl(fd4, SIOCSIFFLAGS, &request);
		ioctl(fd4, SIOCGIFINDEX, &request);
		request6.index = request.ifr_ifindex;
		inet_pton(AF_INET6, "fd00::2", &request6.address);
		r |= ioctl(fd6, SIOCSIFADDR, &request6);
		r |= wait_for_address(&request6.address);
	}
	close(fd4);
	close(fd6);
	return r;
}

static void set_lo_mtu(int mtu)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_mtu = mtu };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCSIFMTU, &request), 0);
	close(fd);
}

static struct ip ip(const char *text)
{
	struct ip ret;

	assert_int_equal(ip_parse(text, &ret), 0);
	return ret;
}

static struct endpoint endpoint(const char *address, uint16_t port)
{
	return (struct endpoint){ .ip = ip(address), .port = port };
}

static void setup(struct fixture *f, const char *any, unsigned workers)
{
	struct endpoint a = endpoint(any, PORT_A), b = endpoint(any, PORT_B);

	memset(f, 0, sizeof(*f));
	f->pool = pool_new(POOL);
	assert_non_null(f->pool);
	f->n_b = workers;
	assert_int_equal(link_udp_open(&a, 1, &f->a), 0);
	assert_int_equal(link_udp_open(&b, workers, f->b), 0);
	assert_int_equal(link_udp_steer(f->b[workers - 1], workers), 0);
}

static void teardown(struct fixture *f)
{
	f->a->ops->close(f->a);
	for (unsigned i = 0; i < f->n_b; i++)
		f->b[i]->ops->close(f->b[i]);
	assert_int_equal(pool_left(f->pool), POOL);
	pool_free(f->pool);
}

static struct packet *frame(struct fixture *f, struct path *path, uint8_t lane, uint32_t tag,
			    uint32_t len)
{
	struct packet *p = pool_get(f->pool);

	assert_non_null(p);
	p->len = len;
	memset(p->data, (int)tag, len);
	memcpy(p->data, &tag, sizeof(tag));
	if (len > FRAME_LANE_OFFSET)
		p->data[FRAME_LANE_OFFSET] = lane;
	p->path = path;
	return p;
}

static uint32_t tag_of(const struct packet *p)
{
	uint32_t tag;

	memcpy(&tag, p->data, sizeof(tag));
	return tag;
}

static void send_batch(struct fixture *f, struct batch *b)
{
	size_t left = pool_left(f->pool), n = b->n;

	f->a->ops->send(f->a, b, f->pool, &f->counters);
	assert_int_equal(b->n, 0);
	assert_int_equal(pool_left(f->pool), left + n);
}

/* Under load loopback delivers from a thread of the kernel, in order for one CPU (to
 * which main pins us): once a datagram to ourselves is there, all before it are. */
static void settle(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char c = 0;

	assert_int_equal(bind(fd, (struct sockaddr *)&to, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
	assert_int_equal(sendto(fd, &c, 1, 0, (struct sockaddr *)&to, len), 1);
	assert_int_equal(recv(fd, &c, 1, 0), 1);
	close(fd);
}

/* One batch of what waits in a socket. */
static int recv_batch(struct fixture *f, struct link *l, struct batch *b)
{
	size_t left = pool_left(f->pool);
	int n;

	settle();
	b->n = 0;
	n = l->ops->recv(l, b, f->pool, &f->counters);
	assert_int_equal(n, b->n);
	/* those that came merged also keep what they lie in, maybe since the last call */
	assert_true(left <= pool_left(f->pool) + 2 * b->n);
	return n;
}

static void put_back(struct fixture *f, struct batch *b)
{
	while (b->n)
		pool_put(f->pool, b->p[--b->n]);
}

static struct path path_to(const char *remote, const char *local)
{
	struct path p = { .way.remote = endpoint(remote, PORT_B), .frame_max = FRAME_MAX };

	if (local)
		p.way.local = ip(local);
	return p;
}

/* A burst of four batches, both families: all there, in order, whole, with
 * whence, whither and TOS. */
static void check_batches(const char *any, const char *remote, const char *local)
{
	struct path path = path_to(remote, local);
	struct endpoint from = endpoint(local, PORT_A);
	struct batch b = { 0 };
	struct fixture f;
	uint32_t tag = 0, expect = 0;

	setup(&f, any, 1);
	for (int i = 0; i < 4; i++) {
		while (b.n < BATCH_MAX) {
			struct packet *p = frame(&f, &path, 0, tag, 40 + tag * 7);

			p->outer_tos = (uint8_t)(tag / 3 % 256);
			batch_add(&b, p);
			tag++;
		}
		send_batch(&f, &b);
	}
	while (recv_batch(&f, f.b[0], &b) > 0) {
		for (unsigned i = 0; i < b.n; i++, expect++) {
			const struct packet *p = b.p[i];

			assert_int_equal(tag_of(p), expect);
			assert_int_equal(p->len, 40 + expect * 7);
			assert_int_equal(p->data[p->len - 1], (uint8_t)expect);
			assert_int_equal(p->outer_tos, expect / 3 % 256);
			assert_true(endpoint_equal(&p->from, &from));
			assert_true(ip_equal(&p->to, &path.way.remote.ip));
		}
		put_back(&f, &b);
	}
	assert_int_equal(expect, 4 * BATCH_MAX);
	assert_int_equal(counter_read(&f.counters.sent), 4 * BATCH_MAX);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 0);
	teardown(&f);
}

static void batches_v4(void **state)
{
	(void)state;
	check_batches("0.0.0.0", "127.0.0.1", "127.0.0.1");
}

static void batches_v6(void **state)
{
	(void)state;
	check_batches("::", "::1", "::1");
}

/* Packets of several paths in one batch leave from the addresses that their paths
 * name, by send and by send_one. What is to leave from an address that is ours no more
 * leaves from another one; send_one refuses it, so that somebody learns of it. */
static void check_sources(const char *any, const char *remote, const char *one, const char *two,
			  const char *foreign)
{
	struct path paths[] = { path_to(remote, one), path_to(remote, two), path_to(remote, NULL) };
	struct path gone = path_to(remote, foreign);
	struct batch b = { 0 };
	struct fixture f;
	uint8_t data[60] = { 0 };

	setup(&f, any, 1);
	for (uint32_t i = 0; i < 12; i++)
		batch_add(&b, frame(&f, i == 4 || i > 8 ? &gone : &paths[i % 3], 0, i, 50));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.sent), 12);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 0);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 12);
	for (unsigned i = 0; i < b.n; i++) {
		const struct path *path = &paths[tag_of(b.p[i]) % 3];

		if (path->way.local.family && tag_of(b.p[i]) != 4 && tag_of(b.p[i]) <= 8)
			assert_true(ip_equal(&b.p[i]->from.ip, &path->way.local));
		assert_int_equal(b.p[i]->from.port, PORT_A);
	}
	put_back(&f, &b);

	assert_int_equal(f.a->ops->send_one(f.a, &paths[1].way, data, sizeof(data)), 0);
	assert_true(f.a->ops->send_one(f.a, &gone.way, data, sizeof(data)) < 0);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 1);
	assert_true(ip_equal(&b.p[0]->from.ip, &paths[1].way.local));
	assert_int_equal(b.p[0]->len, sizeof(data));
	put_back(&f, &b);
	teardown(&f);
}

static void sources_v4(void **state)
{
	(void)state;
	check_sources("0.0.0.0", "127.0.0.1", "127.0.0.2", "127.0.0.3", "198.51.100.1");
}

static void sources_v6(void **state)
{
	(void)state;
	check_sources("::", "::1", "fd00::2", "::1", "2001:db8::1");
}

/* Each lane of each router comes out where lane_reader says, datagrams without a lane
 * byte at 0; also after the number of workers has changed, with the same sockets. */
static void steering(void **state)
{
	static const unsigned counts[] = { 1, 4, 2, 3, 1, 4 };
	struct path path = path_to("127.0.0.1", NULL);
	struct fixture f;

	(void)state;
	setup(&f, "0.0.0.0", 4);
	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		unsigned workers = counts[k], got = 0;
		struct batch b = { 0 };

		assert_int_equal(link_udp_steer(f.b[k % 4], workers), 0);
		for (unsigned i = 0; i < BATCH_MAX; i++) {
			struct packet *p = frame(&f, &path, (uint8_t)(i * 5), i, 40);

			memset(p->data + FRAME_SOURCE_OFFSET, i % 3 ? 0 : 0xff,
			       3); /* near its end */
			p->data[FRAME_SOURCE_OFFSET + 3] = (uint8_t)(i * 7);
			batch_add(&b, p);
		}
		send_batch(&f, &b);
		for (unsigned i = 0; i < 8; i++)
			batch_add(&b, frame(&f, &path, 0, 0xffffffff, 10 + i));
		send_batch(&f, &b);
		for (unsigned w = 0; w < 4; w++) {
			while (recv_batch(&f, f.b[w], &b) > 0) {
				for (unsigned i = 0; i < b.n; i++, got++) {
					const uint8_t *d = b.p[i]->data;
					uint32_t source;

					memcpy(&source, d + FRAME_SOURCE_OFFSET, sizeof(source));
					assert_int_equal(w, b.p[i]->len < 18
								    ? 0
								    : lane_reader(ntohl(source),
										  d[17], workers));
				}
				put_back(&f, &b);
			}
		}
		assert_int_equal(got, BATCH_MAX + 8);
	}
	teardown(&f);
}

struct hinted {
	int n;
	struct endpoint remote;
};

static void on_hint(void *arg, const struct endpoint *remote)
{
	struct hinted *h = arg;

	h->n++;
	h->remote = *remote;
}

/* A frame larger than the interface: an error from send_one; one drop and a hint
 * from send, and the rest of the batch goes out all the same. */
static void check_too_large(const char *any, const char *remote, uint16_t overhead)
{
	struct path path = path_to(remote, NULL);
	struct batch b = { 0 };
	struct hinted hinted = { 0 };
	struct fixture f;
	uint8_t data[1500] = { 0 };

	set_lo_mtu(1400);
	setup(&f, any, 1);
	assert_int_equal(f.a->ops->first_hop_max(f.a, &path.way), 1400 - overhead);
	assert_int_equal(f.a->ops->send_one(f.a, &path.way, data, 1400 - overhead), 0);
	assert_int_equal(f.a->ops->send_one(f.a, &path.way, data, 1401 - overhead), -EMSGSIZE);
	f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 0);

	for (uint32_t i = 0; i < 10; i++)
		batch_add(&b, frame(&f, &path, 0, i, i % 4 ? 1400 - overhead : 1401 - overhead));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 3);
	assert_int_equal(counter_read(&f.counters.sent), 7);
	f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 1);
	assert_true(endpoint_equal(&hinted.remote, &path.way.remote));
	f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 1);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 8);
	put_back(&f, &b);

	/* larger than the path's frames: fragmented on the way, whole at the end */
	path.frame_max = 1300;
	for (uint32_t i = 0; i < 4; i++)
		batch_add(&b, frame(&f, &path, 0, i, i % 2 ? 1300 : 1600));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 3);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 4);
	put_back(&f, &b);

	/* but not what is to stay whole: too large for the interface, it does not go */
	for (uint32_t i = 0; i < 4; i++) {
		batch_add(&b, frame(&f, &path, 0, i, i % 2 ? 1400 - overhead : 1600));
		b.p[i]->whole = true;
	}
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 5);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 2);
	put_back(&f, &b);
	teardown(&f);
	set_lo_mtu(65536);
}

static void too_large_v4(void **state)
{
	(void)state;
	check_too_large("0.0.0.0", "127.0.0.1", 28);
}

static void too_large_v6(void **state)
{
	(void)state;
	check_too_large("::", "::1", 48);
}

static void first_hop(void **state)
{
	struct way nowhere = { .remote = endpoint("198.51.100.9", PORT_B) };
	struct way jumbo = { .remote = endpoint("127.0.0.1", PORT_B) };
	struct fixture f;

	(void)state;
	setup(&f, "0.0.0.0", 1);
	assert_int_equal(f.a->ops->first_hop_max(f.a, &nowhere), 1500 - 28);
	assert_int_equal(f.a->ops->first_hop_max(f.a, &jumbo), PACKET_SINGLE + FRAME_OVERHEAD);
	teardown(&f);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* An ICMP "too big", as any host on the way could send it, gives a hint that names
 * the remote it quotes; what it claims to fit is not believed. */
static void icmp_v4(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct path path = path_to("127.0.0.1", NULL);
	uint8_t m[8 + 20 + 8] = { 3, 4, [7] = 100, [8] = 0x45, [17] = 17 };
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct hinted hinted = { 0 };
	struct batch b = { 0 };
	struct fixture f;
	uint32_t sum = 0;

	(void)state;
	assert_true(fd >= 0);
	setup(&f, "0.0.0.0", 1);
	put16(m + 10, sizeof(m) - 8);
	memcpy(m + 20, &to.sin_addr, 4);
	memcpy(m + 24, &to.sin_addr, 4);
	put16(m + 28, PORT_A);
	put16(m + 30, PORT_B);
	for (size_t i = 0; i < sizeof(m); i += 2)
		sum += (uint32_t)(m[i] << 8 | m[i + 1]);
	put16(m + 2, ~(sum + (sum >> 16)) & 0xffff);
	assert_int_equal(sendto(fd, m, sizeof(m), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(m));

	batch_add(&b, frame(&f, &path, 0, 1, 9000));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.sent), 1);
	f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 1);
	assert_true(endpoint_equal(&hinted.remote, &path.way.remote));
	assert_true(f.a->ops->first_hop_max(f.a, &path.way) > 9000);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 1);
	put_back(&f, &b);
	teardown(&f);
	close(fd);
}

static void icmp_v6(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct path path = path_to("::1", NULL);
	uint8_t m[8 + 40 + 8] = { 2, 0, [6] = 5, [8] = 0x60, [13] = 8, [14] = 17 };
	int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	struct hinted hinted = { 0 };
	struct batch b = { 0 };
	struct fixture f;

	(void)state;
	assert_true(fd >= 0);
	setup(&f, "::", 1);
	memcpy(m + 16, &to.sin6_addr, 16);
	memcpy(m + 32, &to.sin6_addr, 16);
	put16(m + 48, PORT_A);
	put16(m + 50, PORT_B);
	assert_int_equal(sendto(fd, m, sizeof(m), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(m));

	batch_add(&b, frame(&f, &path, 0, 1, 9000));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.sent), 1);
	f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 1);
	assert_true(endpoint_equal(&hinted.remote, &path.way.remote));
	assert_int_equal(recv_batch(&f, f.b[0], &b), 1);
	put_back(&f, &b);
	teardown(&f);
	close(fd);
}

/* Port unreachable from a silent peer: the errors that the kernel then reports on
 * this socket cost the other peers nothing. */
static void check_unreachable(const char *any, const char *remote)
{
	struct path good = path_to(remote, NULL), dead = path_to(remote, NULL);
	struct hinted hinted = { 0 };
	struct batch b = { 0 };
	struct fixture f;
	uint8_t data[50] = { 0 };
	unsigned got = 0;

	dead.way.remote.port = 9;
	setup(&f, any, 1);
	for (int round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < 40; i++)
			batch_add(&b, frame(&f, i % 2 ? &good : &dead, 0, i, 50));
		send_batch(&f, &b);
		assert_int_equal(f.a->ops->send_one(f.a, &dead.way, data, sizeof(data)), 0);
		assert_int_equal(f.a->ops->send_one(f.a, &good.way, data, sizeof(data)), 0);
	}
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 0);
	assert_int_equal(counter_read(&f.counters.sent), 8 * 40);
	while (recv_batch(&f, f.b[0], &b) > 0) {
		got += b.n;
		put_back(&f, &b);
	}
	assert_int_equal(got, 8 * 21);
	assert_int_equal(recv_batch(&f, f.a, &b), 0);
	for (int i = 0; i < 8; i++)
		f.a->ops->errors(f.a, on_hint, &hinted);
	assert_int_equal(hinted.n, 0);
	struct pollfd p = { .fd = f.a->fd };
	assert_int_equal(poll(&p, 1, 0), 0);
	teardown(&f);
}

static void unreachable(void **state)
{
	(void)state;
	check_unreachable("0.0.0.0", "127.0.0.1");
	check_unreachable("::", "::1");
}

/* With no packet to be had, what waits is thrown away and counted; it does not
 * keep the socket readable for ever. */
static void empty_pool(void **state)
{
	struct path path = path_to("127.0.0.1", NULL);
	struct packet *all[POOL];
	struct batch b = { 0 };
	struct fixture f;
	size_t n = 0;

	(void)state;
	setup(&f, "0.0.0.0", 1);
	for (uint32_t i = 0; i < 20; i++)
		batch_add(&b, frame(&f, &path, 0, i, 100));
	send_batch(&f, &b);
	while (pool_left(f.pool) > 0)
		all[n++] = pool_get(f.pool);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 0);
	assert_int_equal(counter_read(&f.counters.drops[DROP_NO_BUFFER]), 20);
	while (n > 0)
		pool_put(f.pool, all[--n]);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 0);

	/* Room for five: five come, the rest can wait for the next call. */
	for (uint32_t i = 0; i < 20; i++)
		batch_add(&b, frame(&f, &path, 0, i, 100 + i));
	send_batch(&f, &b);
	while (pool_left(f.pool) > 5)
		all[n++] = pool_get(f.pool);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 5);
	put_back(&f, &b);
	while (n > 0)
		pool_put(f.pool, all[--n]);
	assert_int_equal(recv_batch(&f, f.b[0], &b), 15);
	assert_int_equal(tag_of(b.p[14]), 19);
	put_back(&f, &b);
	teardown(&f);
}

/* As long as can be, and empty: no harm. */
static void odd_datagrams(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(PORT_B),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t *big = calloc(1, 65507);
	struct batch b = { 0 };
	struct fixture f;

	(void)state;
	assert_non_null(big);
	setup(&f, "0.0.0.0", 2);
	sendto(fd, big, 65507, 0, (struct sockaddr *)&to, sizeof(to));
	sendto(fd, big, 0, 0, (struct sockaddr *)&to, sizeof(to));
	assert_int_equal(recv_batch(&f, f.b[0], &b), 2);
	assert_int_equal(b.p[0]->len, 65507);
	assert_int_equal(b.p[1]->len, 0);
	put_back(&f, &b);
	teardown(&f);
	free(big);
	close(fd);
}

/* Frames of one size leave together and come out one by one, in order, with whence
 * and whither; what finds no place in a batch is announced and comes with the next
 * ones. Other sizes, lanes and ways do no harm in between. */
static void check_merged(const char *any, const char *remote)
{
	struct path path = path_to(remote, remote);
	struct batch b = { 0 };
	struct fixture f;
	uint32_t tag = 0, expect = 0;

	set_lo_mtu(1500);
	setup(&f, any, 1);
	for (int i = 0; i < 3; i++) {
		while (b.n < BATCH_MAX) {
			uint32_t len = tag % 50 == 49 ? 333 : 1440;

			batch_add(&b, frame(&f, &path, tag > 100, tag, len));
			tag++;
		}
		send_batch(&f, &b);
	}
	assert_int_equal(counter_read(&f.counters.sent), tag);
	assert_int_equal(recv_batch(&f, f.b[0], &b), BATCH_MAX);
	assert_true(f.b[0]->pending);
	do {
		for (unsigned i = 0; i < b.n; i++, expect++) {
			const struct packet *p = b.p[i];

			assert_int_equal(tag_of(p), expect);
			assert_int_equal(p->len, expect % 50 == 49 ? 333 : 1440);
			assert_int_equal(p->data[p->len - 1], (uint8_t)expect);
			assert_int_equal(p->data[FRAME_LANE_OFFSET], expect > 100);
			assert_int_equal(p->from.port, PORT_A);
			assert_true(ip_equal(&p->to, &path.way.remote.ip));
		}
		put_back(&f, &b);
	} while (recv_batch(&f, f.b[0], &b) > 0);
	assert_int_equal(expect, tag);
	assert_false(f.b[0]->pending);

	/* closed with frames not yet given */
	for (uint32_t i = 0; i < 2 * BATCH_MAX; i++) {
		batch_add(&b, frame(&f, &path, 0, i, 100));
		if (b.n == BATCH_MAX)
			send_batch(&f, &b);
	}
	while (pool_left(f.pool) > 10)
		pool_get(f.pool);
	assert_true(recv_batch(&f, f.b[0], &b) < 10);
	assert_true(f.b[0]->pending);
	for (unsigned i = b.n; pool_left(f.pool) && i < BATCH_MAX; i++)
		pool_get(f.pool);
	recv_batch(&f, f.b[0], &(struct batch){ 0 });
	assert_false(f.b[0]->pending); /* no packets to be had: thrown away, counted */
	assert_int_equal(counter_read(&f.counters.drops[DROP_NO_BUFFER]), 2 * BATCH_MAX - b.n);
	f.a->ops->close(f.a);
	f.b[0]->ops->close(f.b[0]);
	set_lo_mtu(65536);
}

/* What was cut from a super-packet, more than a message carries, stays together. */
static void together(void **state)
{
	struct path path = path_to("127.0.0.1", "127.0.0.1");
	struct batch b = { 0 };
	struct fixture f;

	(void)state;
	setup(&f, "127.0.0.1", 1);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 47; k++)
			batch_add(&b, frame(&f, &path, 1, i, 1472));
		send_batch(&f, &b);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(recv_batch(&f, f.b[0], &b), 47);
		for (unsigned k = 0; k < 47; k++)
			assert_int_equal(tag_of(b.p[k]), i);
		put_back(&f, &b);
	}
	teardown(&f);
}

static void merged(void **state)
{
	(void)state;
	check_merged("0.0.0.0", "127.0.0.1");
	check_merged("::", "::1");
}

static void refused(void **state)
{
	struct endpoint foreign = endpoint("198.51.100.1", PORT_A), none = { .port = PORT_A };
	struct path other_family = path_to("::1", NULL);
	struct link *links[2] = { NULL, NULL };
	struct batch b = { 0 };
	struct fixture f;

	(void)state;
	assert_int_equal(link_udp_open(&foreign, 2, links), -EADDRNOTAVAIL);
	assert_null(links[0]);
	assert_int_equal(link_udp_open(&none, 1, links), -EAFNOSUPPORT);
	setup(&f, "0.0.0.0", 1);
	batch_add(&b, frame(&f, &other_family, 0, 0, 50));
	send_batch(&f, &b);
	assert_int_equal(counter_read(&f.counters.drops[DROP_SEND]), 1);
	assert_int_equal(f.a->ops->send_one(f.a, &other_family.way, "x", 1), -EAFNOSUPPORT);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_v4),	 cmocka_unit_test(batches_v6),
		cmocka_unit_test(sources_v4),	 cmocka_unit_test(sources_v6),
		cmocka_unit_test(steering),	 cmocka_unit_test(too_large_v4),
		cmocka_unit_test(too_large_v6),	 cmocka_unit_test(first_hop),
		cmocka_unit_test(icmp_v4),	 cmocka_unit_test(icmp_v6),
		cmocka_unit_test(unreachable),	 cmocka_unit_test(empty_pool),
		cmocka_unit_test(odd_datagrams), cmocka_unit_test(refused),
		cmocka_unit_test(together),	 cmocka_unit_test(merged),
	};

	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (own_network() < 0) {
		printf("1..0 # SKIP no network namespace of our own (not root?)\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
