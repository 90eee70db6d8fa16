/*
 * What a simulated tiny has in the place of the kernel: a device whose other side is the bench,
 * which gives it packets (tun_feed) and is told of those that come (tun_taken); a machine
 * without routes and IPv6; no answers. Under the names of tun.h, routes.h and inject.h, so that all
 * the rest is the real one's code. Buffers and the tables of ciphers are one for all (by the
 * linker's --wrap): only one tiny uses them at a time, and thousands would take gigabytes.
 */
#include "tests/bench/tinies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/list.h"
#include "common/crypto.h"
#include "common/inet.h"
#include "router/link.h"
#include "router/tun.h"
#include "tiny/routes.h"

/* ---- the device ---------------------------------------------------------------------- */

struct device {
	struct tun tun;
	uint8_t packet[128]; /* the next one */
	size_t len;	     /* 0: there is none */
};

static void *taker;
static struct device *last;

struct device *device_last(void)
{
	return last;
}

static int device_recv(struct intercept *i, struct batch *b, struct pool *pool, struct counters *c)
{
	struct device *d = container_of(i, struct device, tun.intercept);
	struct packet *p;
	uint64_t n;

	if (!d->len || read(i->fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	p = pool_get(pool);
	if (p) {
		memcpy(p->data, d->packet, d->len);
		p->len = (uint32_t)d->len;
		batch_add(b, p);
	} else {
		counter_add(&c->drops[DROP_NO_BUFFER], 1);
		counter_add(&c->received, 1);
	}
	d->len = 0;
	return p ? 1 : 0;
}

static void device_close(struct intercept *i)
{
	struct device *d = container_of(i, struct device, tun.intercept);

	close(i->fd);
	free(d);
}

static void device_send(struct inject *i, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)i;
	for (unsigned k = 0; k < b->n; k++) {
		packet_finish(b->p[k]);
		device_taken(taker, b->p[k]->data, b->p[k]->len);
		pool_put(pool, b->p[k]);
	}
	counter_add(&c->injected, b->n);
	b->n = 0;
}

static void nothing(struct inject *i)
{
	(void)i;
}

struct tun *tun_open(const char *name, bool multi_queue)
{
	static const struct intercept_ops in = { "twin", device_recv, device_close };
	static const struct inject_ops out = { "twin", device_send, nothing, true };
	struct device *d = calloc(1, sizeof(*d));

	(void)name;
	(void)multi_queue;
	if (!d)
		return NULL;
	d->tun.intercept =
		(struct intercept){ .ops = &in, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	d->tun.inject.ops = &out;
	if (d->tun.intercept.fd < 0) {
		free(d);
		return NULL;
	}
	last = d;
	return &d->tun;
}

void device_feed(struct device *d, const void *packet, size_t len)
{
	const uint64_t one = 1;

	if (d->len || len > sizeof(d->packet))
		return; /* the last one still waits */
	memcpy(d->packet, packet, len);
	d->len = len;
	if (write(d->tun.intercept.fd, &one, sizeof(one)) < 0)
		d->len = 0;
}

void device_set_taker(void *arg)
{
	taker = arg;
}

/* ---- sockets -------------------------------------------------------------------------- */

static uint16_t next_port;

int __real_link_udp_open(const struct endpoint *local, unsigned lanes, struct link **ret);
int __wrap_link_udp_open(const struct endpoint *local, unsigned lanes, struct link **ret);

void sockets_from(uint16_t port)
{
	next_port = port;
}

/* Sockets whose ports the kernel chooses could get those of another tiny: they share ports, as the
 * router's workers do. */
int __wrap_link_udp_open(const struct endpoint *local, unsigned lanes, struct link **ret)
{
	struct endpoint own = *local;

	if (local->ip.family != 4)
		return -EAFNOSUPPORT;
	if (!own.port)
		own.port = next_port++;
	return __real_link_udp_open(&own, lanes, ret);
}

/* ---- shared memory -------------------------------------------------------------------- */

struct pool *__real_pool_new(size_t n);
struct pool *__wrap_pool_new(size_t n);
void __wrap_pool_free(struct pool *);
struct crypto *__real_crypto_new(unsigned threads, enum crypto_choice);
struct crypto *__wrap_crypto_new(unsigned threads, enum crypto_choice);
void __wrap_crypto_free(struct crypto *);

struct pool *__wrap_pool_new(size_t n)
{
	static struct pool *one;

	if (!one)
		one = __real_pool_new(n);
	return one;
}

void __wrap_pool_free(struct pool *p)
{
	(void)p;
}

struct crypto *__wrap_crypto_new(unsigned threads, enum crypto_choice choice)
{
	static struct crypto *one;

	if (!one)
		one = __real_crypto_new(threads, choice);
	return one;
}

void __wrap_crypto_free(struct crypto *c)
{
	(void)c;
}

/* ---- answers to the VM itself: none ----------------------------------------------------- */

static void answer_send(struct inject *i, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)i;
	for (unsigned k = 0; k < b->n; k++)
		pool_put(pool, b->p[k]);
	counter_add(&c->injected, b->n);
	b->n = 0;
}

struct inject *inject_raw_open(void)
{
	static const struct inject_ops ops = { "twin", answer_send, nothing, false };
	static struct inject answer = { &ops };

	return &answer;
}

/* ---- the machine ------------------------------------------------------------------------- */

struct routes {
	int unused;
};

struct routes *routes_open(const char *device)
{
	static struct routes none;

	(void)device;
	return &none;
}

void routes_close(struct routes *r)
{
	(void)r;
}

int routes_follow(struct routes *r, struct loop *l, void (*fn)(void *arg, mono_t now), void *arg)
{
	(void)r;
	(void)l;
	(void)fn;
	(void)arg;
	return 0;
}

int routes_device_up(struct routes *r)
{
	(void)r;
	return 0;
}

int routes_set_mtu(struct routes *r, uint32_t mtu)
{
	(void)r;
	(void)mtu;
	return 0;
}

int routes_apply(struct routes *r, const struct routes_setup *s, const char **ret_what)
{
	(void)r;
	(void)s;
	(void)ret_what;
	return 0;
}

int routes_remove(struct routes *r)
{
	(void)r;
	return 0;
}

bool routes_source(struct routes *r, const struct ip *to, struct ip *ret, uint32_t *ret_interface)
{
	(void)r;
	(void)to;
	(void)ret;
	(void)ret_interface;
	return false;
}

bool routes_address(struct routes *r, uint32_t interface, uint8_t family, struct ip *ret)
{
	(void)r;
	(void)interface;
	(void)family;
	(void)ret;
	return false;
}
