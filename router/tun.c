/*
 * The TUN device, see tun.h: plain packets, one system call each.
 *
 * Super-packets (IFF_VNET_HDR, TUNSETOFFLOAD) have their place in tun_open, and
 * in read_one and write_one, where a header would go in front of the packet.
 *
 * The device's MTU keeps packets below PACKET_ROOM; what comes larger all the
 * same, or when the pool is empty, is taken out of the device and counted, lest
 * the descriptor stay readable for ever.
 */
#include "router/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/list.h"

_Static_assert(PACKET_TAILROOM > 0, "one byte more than PACKET_ROOM shows what is too large");

/* One packet from the device. 0, -EAGAIN if there is none, or what is wrong with
 * the device. */
static int read_one(int fd, struct batch *b, struct pool *pool, struct counters *c)
{
	struct packet *p = pool_get(pool);
	uint8_t nothing;
	ssize_t n;

	do {
		n = p ? read(fd, p->data, PACKET_ROOM + 1) : read(fd, &nothing, 1);
	} while (n < 0 && errno == EINTR);
	if (p && n > 0 && n <= PACKET_ROOM) {
		p->len = (uint32_t)n;
		batch_add(b, p);
		return 0;
	}
	n = n < 0 ? -errno : n == 0 ? -EIO : n;
	if (p)
		pool_put(pool, p);
	if (n < 0)
		return (int)n;
	counter_add(&c->intercepted, 1);
	counter_add(&c->drops[DROP_NO_BUFFER], 1);
	return 0;
}

static int tun_recv(struct intercept *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct tun *t = container_of(in, struct tun, intercept);
	const unsigned before = b->n;
	int e = 0;

	for (unsigned reads = 0; !e && b->n < BATCH_MAX && reads < BATCH_MAX; reads++)
		e = read_one(t->fd, b, pool, c);
	if (b->n > before || e == -EAGAIN)
		return (int)(b->n - before);
	return e;
}

static bool write_one(int fd, const struct packet *p)
{
	ssize_t n;

	do {
		n = write(fd, p->data, p->len);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)p->len; /* EIO while the device is down */
}

static void tun_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct tun *t = container_of(in, struct tun, inject);
	unsigned sent = 0;

	for (unsigned i = 0; i < b->n; i++) {
		sent += write_one(t->fd, b->p[i]);
		pool_put(pool, b->p[i]);
	}
	counter_add(&c->injected, sent);
	if (sent < b->n)
		counter_add(&c->drops[DROP_INJECT], b->n - sent);
	b->n = 0;
}

static void tun_close(struct intercept *in)
{
	struct tun *t = container_of(in, struct tun, intercept);

	close(t->fd);
	free(t);
}

static void injector_close(struct inject *in)
{
	(void)in; /* the interceptor's to close */
}

static const struct intercept_ops intercept_ops = {
	.name = "tun",
	.recv = tun_recv,
	.close = tun_close,
};

static const struct inject_ops inject_ops = {
	.name = "tun",
	.send = tun_send,
	.close = injector_close,
	.kernel_routes = true,
};

struct tun *tun_open(const char *name, bool multi_queue)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct tun *t;
	int e;

	if (strlen(name) >= sizeof(request.ifr_name)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	strcpy(request.ifr_name, name);
	if (multi_queue)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0 || ioctl(t->fd, TUNSETIFF, &request) < 0) {
		e = errno;
		if (t->fd >= 0)
			close(t->fd);
		free(t);
		errno = e;
		return NULL;
	}
	t->intercept = (struct intercept){ .ops = &intercept_ops, .fd = t->fd };
	t->inject = (struct inject){ .ops = &inject_ops };
	return t;
}
