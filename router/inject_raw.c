/*
 * Giving packets back by raw sockets, one of each family.
 *
 * The packet's own header goes out as it is: the kernel looks up the route for
 * its destination, fills in IPv4's header checksum (and an identification of 0),
 * and neither lowers TTL nor fragments. A packet larger than the MTU of the link
 * it would leave by is refused; path MTUs that somebody claims are not believed
 * (PMTUDISC_PROBE), and IPv4 fragments are not put together on the way out.
 */
#include "router/inject.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/inet.h"
#include "common/list.h"
#include "common/sockopt.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif
#ifndef IP_NODEFRAG
#define IP_NODEFRAG 22
#endif

#define SEND_BUFFER (4 * 1024 * 1024) /* bytes */

struct inject_raw {
	struct inject inject;
	int fd[2]; /* IPv4, IPv6 */
};

/* Packets of one family as sendmmsg wants them. */
struct outgoing {
	unsigned n;
	struct mmsghdr messages[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	union {
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to[BATCH_MAX];
};

static void add(struct outgoing *o, struct packet *p, unsigned six)
{
	struct mmsghdr *m = &o->messages[o->n];

	memset(&o->to[o->n], 0, sizeof(o->to[o->n]));
	if (six) {
		o->to[o->n].v6.sin6_family = AF_INET6;
		memcpy(&o->to[o->n].v6.sin6_addr, p->data + 24, 16);
	} else {
		o->to[o->n].v4.sin_family = AF_INET;
		memcpy(&o->to[o->n].v4.sin_addr, p->data + 16, 4);
	}
	o->iov[o->n] = (struct iovec){ .iov_base = p->data, .iov_len = p->len };
	*m = (struct mmsghdr){ .msg_len = 0 };
	m->msg_hdr.msg_name = &o->to[o->n];
	m->msg_hdr.msg_namelen = six ? sizeof(o->to[0].v6) : sizeof(o->to[0].v4);
	m->msg_hdr.msg_iov = &o->iov[o->n];
	m->msg_hdr.msg_iovlen = 1;
	o->n++;
}

/* How many the kernel took. It stops at one that it refuses; the others go on. */
static unsigned transmit(int fd, struct outgoing *o)
{
	unsigned at = 0, sent = 0;

	while (at < o->n) {
		int n = sendmmsg(fd, o->messages + at, o->n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			at += (unsigned)n;
			sent += (unsigned)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && errno == EAGAIN) {
			break; /* the buffer is full: no room for the rest either */
		} else {
			at++;
		}
	}
	return sent;
}

static void raw_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct inject_raw *r = container_of(in, struct inject_raw, inject);
	struct outgoing out[2];
	unsigned sent = 0;

	out[0].n = out[1].n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		unsigned version = p->len ? p->data[0] >> 4 : 0;

		packet_finish(p);
		if (version == 4 && p->len >= INET_V4_HEADER)
			add(&out[0], p, 0);
		else if (version == 6 && p->len >= INET_V6_HEADER)
			add(&out[1], p, 1);
	}
	for (unsigned six = 0; six < 2; six++)
		if (out[six].n)
			sent += transmit(r->fd[six], &out[six]);
	counter_add(&c->injected, sent);
	if (sent < b->n)
		counter_add(&c->drops[DROP_INJECT], b->n - sent);
	for (unsigned i = 0; i < b->n; i++)
		pool_put(pool, b->p[i]);
	b->n = 0;
}

static void raw_close(struct inject *in)
{
	struct inject_raw *r = container_of(in, struct inject_raw, inject);

	for (unsigned six = 0; six < 2; six++)
		if (r->fd[six] >= 0)
			close(r->fd[six]);
	free(r);
}

static const struct inject_ops ops = {
	.name = "raw",
	.send = raw_send,
	.close = raw_close,
	.kernel_routes = false,
};

/* The descriptor or -errno. */
static int open_socket(unsigned six)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = { .len = 1, .filter = &none };
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_RAW);
	int e;

	if (fd < 0)
		return -errno;
	/* Nothing that arrives with protocol 255 shall pile up here. */
	e = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ? -errno : 0;
	if (!e && six)
		e = sockopt_set(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1);
	if (!e && six)
		e = sockopt_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	if (!e && !six)
		e = sockopt_set(fd, IPPROTO_IP, IP_HDRINCL, 1);
	if (!e && !six)
		e = sockopt_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	if (!e && !six)
		e = sockopt_set(fd, IPPROTO_IP, IP_NODEFRAG, 1);
	if (e) {
		close(fd);
		return e;
	}
	if (sockopt_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER))
		sockopt_set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	return fd;
}

struct inject *inject_raw_open(void)
{
	struct inject_raw *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->inject.ops = &ops;
	r->fd[0] = open_socket(0);
	r->fd[1] = open_socket(1);
	/* A machine without IPv6 at all gets along without that one. */
	if (r->fd[0] < 0 || (r->fd[1] < 0 && r->fd[1] != -EAFNOSUPPORT)) {
		int e = r->fd[0] < 0 ? -r->fd[0] : -r->fd[1];

		raw_close(&r->inject);
		errno = e;
		return NULL;
	}
	return &r->inject;
}
