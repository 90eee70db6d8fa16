/*
 * The TUN device, see tun.h: super-packets both ways where the kernel has them.
 *
 * In front of each packet stand the kernel's words about it (IFF_VNET_HDR): what
 * of its checksum is to be done, and the size of the segments that it stands for.
 * A read takes one packet of up to 64 KB, however many segments; a write gives a
 * run of segments as one, from where they lie. Without any offload these words
 * say nothing, and all is as with plain packets.
 *
 * A quiet device is asked for one packet at a time: asking again only to hear that
 * there is no more would make that packet wait. Where each recv finds all that it
 * asks for, the next asks for twice as many.
 *
 * What comes when the pool is empty is taken out of the device and counted, lest
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
#include <sys/uio.h>
#include <unistd.h>

#include "common/list.h"
#include "router/offload.h"

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

_Static_assert(FRAME_HEADER >= sizeof(struct virtio_net_hdr), "room in front of a packet");

#define READ_MAX (256 * 1024) /* bytes in one batch: supers are worth many packets */

/* One packet from the device. 0, -EAGAIN if there is none, or what is wrong with
 * the device. */
static int read_one(int fd, struct batch *b, struct pool *pool, struct counters *c)
{
	struct packet *p = pool_get_large(pool);
	struct virtio_net_hdr h;
	ssize_t n;

	do {
		n = p ? read(fd, p->data - sizeof(h), sizeof(h) + PACKET_ROOM)
		      : read(fd, &h, sizeof(h));
	} while (n < 0 && errno == EINTR);
	if (p && n > (ssize_t)sizeof(h)) {
		memcpy(&h, p->data - sizeof(h), sizeof(h));
		p->len = (uint32_t)(n - (ssize_t)sizeof(h));
		offload_read(p, &h);
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
	unsigned reads;
	size_t bytes = 0;
	int e = 0;

	for (reads = 0; !e && b->n < BATCH_MAX && reads < t->expect && bytes < READ_MAX; reads++) {
		unsigned n = b->n;

		e = read_one(t->fd, b, pool, c);
		bytes += b->n > n ? b->p[n]->len : 0;
	}
	if (e == -EAGAIN)
		t->expect = reads > 1 ? reads - 1 : 1;
	else if (reads == t->expect)
		t->expect = reads * 2 < BATCH_MAX ? reads * 2 : BATCH_MAX;
	if (b->n > before || e == -EAGAIN)
		return (int)(b->n - before);
	return e;
}

/* ---- to the device ------------------------------------------------------- */

/* EIO while the device is down. */
static bool write_one(int fd, struct packet *p)
{
	struct virtio_net_hdr h;
	uint8_t *at = p->data - sizeof(h); /* headroom, or where the frame's header was */
	ssize_t n;

	offload_write(&h, p, 0);
	memcpy(at, &h, sizeof(h));
	do {
		n = write(fd, at, sizeof(h) + p->len);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

/* How many of its packets the kernel took. */
static unsigned write_run(int fd, const struct batch *b, const struct runs *runs,
			  const struct run *r)
{
	unsigned sent = 0, at = r->first;
	struct gathered g;
	ssize_t n;

	if (r->n > 1) {
		offload_gather(&g, b, runs, r, NULL, 0);
		do {
			n = writev(fd, g.iov, (int)g.n);
		} while (n < 0 && errno == EINTR);
		if (n > 0)
			return r->n;
		if (errno != EINVAL)
			return 0;
	}
	for (unsigned i = 0; i < r->n; i++, at = runs->next[at])
		sent += write_one(fd, b->p[at]);
	return sent;
}

static void tun_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct tun *t = container_of(in, struct tun, inject);
	struct runs runs;
	unsigned sent = 0;

	offload_runs(&runs, b, t->intercept.offloads & OFFLOAD_BIT(TUN_TSO4),
		     t->intercept.offloads & OFFLOAD_BIT(TUN_USO4));
	for (unsigned i = 0; i < runs.n; i++)
		sent += write_run(t->fd, b, &runs, &runs.run[i]);
	for (unsigned i = 0; i < b->n; i++)
		pool_put(pool, b->p[i]);
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

/* What the kernel hands out unfinished: as much as it knows of. */
static unsigned set_offloads(int fd)
{
	const unsigned long csum = TUN_F_CSUM;
	const unsigned long tso = csum | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	unsigned has = OFFLOAD_BIT(TUN_CSUM);

	if (!ioctl(fd, TUNSETOFFLOAD, tso | TUN_F_USO4 | TUN_F_USO6))
		return has | OFFLOAD_BIT(TUN_TSO4) | OFFLOAD_BIT(TUN_TSO6) | OFFLOAD_BIT(TUN_USO4) |
		       OFFLOAD_BIT(TUN_USO6);
	if (!ioctl(fd, TUNSETOFFLOAD, tso))
		return has | OFFLOAD_BIT(TUN_TSO4) | OFFLOAD_BIT(TUN_TSO6);
	return ioctl(fd, TUNSETOFFLOAD, csum) ? 0 : has;
}

struct tun *tun_open(const char *name, bool multi_queue)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
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
	t->intercept = (struct intercept){ .ops = &intercept_ops,
					   .fd = t->fd,
					   .offloads = set_offloads(t->fd) };
	t->expect = 1;
	t->inject = (struct inject){ .ops = &inject_ops };
	return t;
}
