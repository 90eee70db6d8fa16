/*
 * Frames in UDP datagrams: one socket per worker and listening address.
 *
 * The sockets of one address are a SO_REUSEPORT group. A classic BPF program on
 * the group picks the socket by the frame's source and lane, so that a lane is read
 * by one worker, whatever port a NAT on the way has made of ours. (As a rule: an
 * interface may have merged frames of several lanes, of which the first one decides.)
 * Socket indexes follow the order of bind; a foreign member that joins late gets
 * nothing, and neither does one for a worker that there is not, which stays, so that
 * indexes stay, for the next time there is.
 *
 * Don't-fragment is always set, and the kernel's idea of the path MTU, which any
 * forged ICMP can lower, is neither used nor asked: sizes are found by probing
 * (pmtu.c). What the kernel hears of datagrams that were too big comes up as a
 * hint, with the addressee that it names and no more.
 *
 * Frames that are larger than their path's (fit.c: IPv6 promises 1,280 bytes to
 * hosts) may be fragmented: don't-fragment is off while they are sent. No probe may
 * leave meanwhile, or it would find a path wider than it is.
 *
 * Frames of one size on one way leave together, as one message that the kernel, or
 * the interface, cuts again (UDP_SEGMENT), and arrive together (UDP_GRO): then the
 * packets of a batch are views into the buffer that the kernel filled. Both are
 * used as far as the kernel has them. Steering looks at the first frame of what
 * was merged, so only frames of one lane leave together.
 *
 * An ICMP error about one peer is reported by the kernel on the next call on the
 * socket, whatever peer that is for. Such an error is taken off and the call made
 * again; only what is refused every time counts as refused. Nothing here blocks:
 * what the kernel has no room for is dropped and counted.
 *
 * A link's recv, send and errors belong to its worker; send_one and first_hop_max
 * may run beside those. Neither side ever waits for the other.
 */
#include "router/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "common/list.h"
#include "common/sockopt.h"
#include "router/first_hop.h"
#include "router/offload.h"

#define BUFFER_SIZE (4 << 20)				      /* of the socket, either way, bytes */
#define FRAME_ROOM (FRAME_HEADER + PACKET_SINGLE + FRAME_MAC) /* of one frame */
#define MERGED_MAX 65507	/* bytes of one message, and what a socket gives at most */
#define TAKE_BYTES (256 * 1024) /* from here on no more messages are taken at a time */
#define TAKE_MAX 32		/* messages taken at a time: each may be as large as that */
#define RETRIES 4		/* of a call that reported somebody else's error */
#define RECV_LEAST 8		/* packets made ready for a quiet socket */
#define ERRORS_PER_CALL 256
#define HINTS_MAX 8
#define DEFAULT_MTU 1500

/* Source address and TOS, or what the kernel says of an arrived datagram. */
union control {
	struct cmsghdr align;
	uint8_t room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
};

/* What it takes to hand a batch over. */
struct messages {
	unsigned n;
	struct mmsghdr m[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct sockaddr_storage name[BATCH_MAX];
	union control control[BATCH_MAX];
};

struct udp {
	struct link link;
	atomic_flag sending; /* held by send_one, and by send while don't-fragment is off */
	unsigned expect;     /* how many datagrams the next recv makes packets ready for */
	/* What was taken from the socket and is still to be given: next..n-1. */
	struct taken {
		struct packet *p;
		uint32_t at;   /* bytes given */
		uint32_t size; /* of each frame but the last */
	} taken[TAKE_MAX];
	unsigned next, n_taken;
	size_t bytes;			  /* taken by the last call */
	struct endpoint hints[HINTS_MAX]; /* remotes of frames the interface was too small for */
	unsigned n_hints;
	struct messages in, out;
};

static struct udp *udp_of(struct link *l)
{
	return container_of(l, struct udp, link);
}

static bool has_segment(struct udp *u)
{
	return atomic_load_explicit(&u->link.offloads, memory_order_relaxed) &
	       OFFLOAD_BIT(UDP_SEGMENT);
}

static void lacks_segment(struct udp *u)
{
	atomic_fetch_and_explicit(&u->link.offloads, ~OFFLOAD_BIT(UDP_SEGMENT),
				  memory_order_relaxed);
}

/* ---- in ------------------------------------------------------------------ */

static void in_prepare(struct messages *in, unsigned i, struct packet *p)
{
	in->iov[i] = (struct iovec){ .iov_base = p->data, .iov_len = PACKET_ROOM };
	in->m[i].msg_hdr = (struct msghdr){
		.msg_name = &in->name[i],
		.msg_namelen = sizeof(in->name[i]),
		.msg_iov = &in->iov[i],
		.msg_iovlen = 1,
		.msg_control = &in->control[i],
		.msg_controllen = sizeof(in->control[i]),
	};
}

static void in_read_control(struct msghdr *h, struct packet *p, uint32_t *ret_size)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	int tclass, size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(c), sizeof(info4));
			p->to = ip_from_v4((const uint8_t *)&info4.ipi_addr);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			p->outer_tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			p->to = ip_from_v6((const uint8_t *)&info6.ipi6_addr);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
			p->outer_tos = (uint8_t)tclass;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			if (size > 0)
				*ret_size = (uint32_t)size;
		}
	}
}

/* False if it can't be told whence it came. */
static bool in_finish(struct mmsghdr *m, struct packet *p, struct taken *ret)
{
	*ret = (struct taken){ .p = p, .size = m->msg_len };
	p->len = m->msg_len;
	in_read_control(&m->msg_hdr, p, &ret->size);
	return endpoint_from_sockaddr(m->msg_hdr.msg_name, &p->from) == 0;
}

/* How many messages were filled, 0 if there is nothing (or nothing but errors). */
static unsigned in_take(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	for (int i = 0; i < RETRIES; i++) {
		int r = recvmmsg(fd, m, n, MSG_DONTWAIT | flags, NULL);

		if (r >= 0)
			return (unsigned)r;
		if (errno == EAGAIN)
			break;
	}
	return 0;
}

/* How many frames of `size` there are in len bytes. */
static unsigned frames(uint32_t len, uint32_t size)
{
	return len > size ? (len + size - 1) / size : 1;
}

/* Without a packet to put them into, datagrams are taken and thrown away: left in
 * the socket, they would keep the loop busy and be too old when their turn comes. */
static void in_discard(struct udp *u, struct pool *pool, struct counters *c)
{
	struct packet nobody;
	struct taken t;
	unsigned n = 0, got;

	for (; u->next < u->n_taken; u->next++) {
		t = u->taken[u->next];
		n += frames(t.p->len - t.at, t.size);
		pool_put(pool, t.p);
	}
	u->link.pending = false;
	for (unsigned i = 0; i < TAKE_MAX; i++) {
		in_prepare(&u->in, i, &nobody);
		u->in.m[i].msg_hdr.msg_iovlen = 0;
	}
	got = in_take(u->link.fd, u->in.m, TAKE_MAX, MSG_TRUNC); /* tells the whole length */
	for (unsigned i = 0; i < got; i++) {
		in_finish(&u->in.m[i], &nobody, &t);
		n += frames(nobody.len, t.size);
	}
	counter_add(&c->received, n);
	counter_add(&c->drops[DROP_NO_BUFFER], n);
}

/* One call for up to `want` messages. False once the socket is empty. */
static bool in_some(struct udp *u, struct pool *pool, unsigned want)
{
	struct packet *p[TAKE_MAX];
	unsigned n = 0, got;

	u->next = u->n_taken = 0;
	u->bytes = 0;
	while (n < want && (p[n] = pool_get_large(pool))) {
		in_prepare(&u->in, n, p[n]);
		n++;
	}
	got = n ? in_take(u->link.fd, u->in.m, n, 0) : 0;
	for (unsigned i = 0; i < got; i++) {
		u->bytes += u->in.m[i].msg_len;
		if (in_finish(&u->in.m[i], p[i], &u->taken[u->n_taken]))
			u->n_taken++;
		else
			pool_put(pool, p[i]);
	}
	for (unsigned i = n; i-- > got;) /* so that the pool's order stays */
		pool_put(pool, p[i]);
	return n && got == n;
}

/* The next frame of what the kernel merged; NULL: no packet for it. */
static struct packet *in_view(struct taken *t, struct pool *pool)
{
	uint32_t left = t->p->len - t->at;
	struct packet *p =
		pool_view(pool, t->p, t->p->data + t->at, left < t->size ? left : t->size);

	if (p) {
		t->at += p->len;
		p->from = t->p->from;
		p->to = t->p->to;
		p->outer_tos = t->p->outer_tos;
	}
	return p;
}

/* Whether the next message is better left for a batch of its own. What the other side cut
 * from a super-packet comes as a large message and maybe a small one behind it (fit.c);
 * all in one batch, it leaves as one packet again. */
static bool in_waits(const struct taken *t, const struct batch *b)
{
	unsigned n = frames(t->p->len, t->size);

	return !t->at && b->n && n <= BATCH_MAX && (n > BATCH_MAX / 2 || n > BATCH_MAX - b->n);
}

/* Fills the batch from what was taken, by whole messages. */
static void in_give(struct udp *u, struct batch *b, struct pool *pool)
{
	while (u->next < u->n_taken && b->n < BATCH_MAX) {
		struct taken *t = &u->taken[u->next];
		struct packet *p = t->p;

		if (in_waits(t, b))
			break;
		if (t->size < t->p->len) {
			p = in_view(t, pool);
			if (!p)
				break;
			if (t->at == t->p->len)
				pool_put(pool, t->p);
		}
		u->next += !p->parent || t->at == t->p->len;
		batch_add(b, p);
	}
	u->link.pending = u->next < u->n_taken;
}

static int udp_recv(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	struct udp *u = udp_of(l);
	unsigned before = b->n, most = BATCH_MAX < TAKE_MAX ? BATCH_MAX : TAKE_MAX;
	bool more = !l->pending;

	if (!pool_left(pool) && b->n < BATCH_MAX) {
		in_discard(u, pool, c);
		return 0;
	}
	in_give(u, b, pool);
	while (more && !l->pending && b->n < BATCH_MAX) {
		unsigned room = BATCH_MAX - b->n;

		more = in_some(u, pool, u->expect < room ? u->expect : room);
		in_give(u, b, pool);
		if (u->bytes > TAKE_BYTES)
			u->expect = RECV_LEAST;
		else if (more)
			u->expect = u->expect * 2 < most ? u->expect * 2 : most;
	}
	if (b->n - before < u->expect / 2 && u->expect > RECV_LEAST)
		u->expect /= 2;
	return (int)(b->n - before);
}

/* ---- out ----------------------------------------------------------------- */

static struct cmsghdr *put_control(struct msghdr *h, size_t *used, int level, int type,
				   const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)h->msg_control + *used);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	*used += CMSG_SPACE(len);
	h->msg_controllen = *used;
	return c;
}

/* Addressee, source address and TOS of a message to go this way. The socket's own
 * TOS is zero, so zero needs no words. */
static void out_address(struct msghdr *h, struct sockaddr_storage *name, union control *control,
			const struct way *way, uint8_t tos)
{
	size_t used = 0;
	int value = tos;

	h->msg_name = name;
	h->msg_namelen = endpoint_to_sockaddr(&way->remote, name);
	h->msg_control = control;
	h->msg_controllen = 0;
	if (way->local.family == 4) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, way->local.b, 4);
		put_control(h, &used, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (way->local.family == 6) {
		struct in6_pktinfo info = { 0 };

		memcpy(&info.ipi6_addr, way->local.b, 16);
		put_control(h, &used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (tos && way->remote.ip.family == 4)
		put_control(h, &used, IPPROTO_IP, IP_TOS, &value, sizeof(value));
	else if (tos)
		put_control(h, &used, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof(value));
	if (!h->msg_controllen)
		h->msg_control = NULL;
}

/* The message is to be cut into datagrams of this size. */
static void out_segments(struct msghdr *h, union control *control, uint16_t size)
{
	size_t used = h->msg_controllen;

	h->msg_control = control;
	put_control(h, &used, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
}

/* Whether this link's socket can send that way at all. */
static bool fits(const struct link *l, const struct way *way)
{
	return way->remote.ip.family == l->family &&
	       (way->local.family == 0 || way->local.family == l->family);
}

/* Whether a packet may follow `last` in one message that begins with `first` and has
 * n packets and len bytes so far: all of one size, but the last may be shorter. */
static bool joins(const struct packet *first, const struct packet *last, const struct packet *p,
		  unsigned n, size_t len)
{
	return p->path == first->path && p->outer_tos == first->outer_tos &&
	       last->len == first->len && p->len <= first->len && p->len >= FRAME_MIN &&
	       p->data[FRAME_LANE_OFFSET] == first->data[FRAME_LANE_OFFSET] && n < BATCH_MAX &&
	       len + p->len <= MERGED_MAX;
}

/* Makes messages of the packets from..to-1, in their order; merge: of neighbours
 * that allow it one. Each packet has its iovec. */
static void out_prepare(struct messages *out, const struct batch *b, unsigned from, unsigned to,
			bool merge)
{
	out->n = 0;
	for (unsigned i = from, n; i < to; i += n) {
		const struct packet *first = b->p[i];
		struct msghdr *h = &out->m[out->n].msg_hdr;
		size_t len = 0;

		for (n = 0; i + n < to; n++) {
			const struct packet *p = b->p[i + n];

			if (n && (!merge || !joins(first, b->p[i + n - 1], p, n, len)))
				break;
			out->iov[i + n] = (struct iovec){ .iov_base = p->data, .iov_len = p->len };
			len += p->len;
		}
		*h = (struct msghdr){ .msg_iov = &out->iov[i], .msg_iovlen = n };
		out_address(h, &out->name[out->n], &out->control[out->n], &first->path->way,
			    first->outer_tos);
		if (n > 1)
			out_segments(h, &out->control[out->n], (uint16_t)first->len);
		out->n++;
	}
}

static void note_hint(struct udp *u, const struct endpoint *remote)
{
	for (unsigned i = 0; i < u->n_hints; i++)
		if (endpoint_equal(&u->hints[i], remote))
			return;
	if (u->n_hints < HINTS_MAX)
		u->hints[u->n_hints++] = *remote;
}

/* Sends the packets of a message that the kernel did not take as one, each alone. */
static unsigned out_apart(struct udp *u, const struct msghdr *merged, const struct endpoint *remote)
{
	struct msghdr h = *merged;
	unsigned sent = 0;

	h.msg_controllen -= CMSG_SPACE(sizeof(uint16_t)); /* UDP_SEGMENT, the last one */
	if (!h.msg_controllen)
		h.msg_control = NULL;
	for (size_t i = 0; i < merged->msg_iovlen; i++) {
		h.msg_iov = &merged->msg_iov[i];
		h.msg_iovlen = 1;
		if (sendmsg(u->link.fd, &h, MSG_DONTWAIT) >= 0)
			sent++;
		else if (errno == EMSGSIZE)
			note_hint(u, remote);
	}
	return sent;
}

/* The address that the path leaves from is this machine's no more: from another one, until
 * the control thread has noticed. */
static unsigned out_from_any(struct udp *u, const struct msghdr *refused,
			     const struct packet *first)
{
	struct way way = first->path->way;
	struct msghdr h = *refused;
	struct sockaddr_storage name;
	union control control;

	way.local.family = 0;
	out_address(&h, &name, &control, &way, first->outer_tos);
	if (h.msg_iovlen > 1)
		out_segments(&h, &control, (uint16_t)first->len);
	return sendmsg(u->link.fd, &h, MSG_DONTWAIT) < 0 ? 0 : (unsigned)h.msg_iovlen;
}

/* A message that the kernel refuses with this error: how many of its packets could
 * be sent nevertheless. */
static unsigned out_refused(struct udp *u, const struct msghdr *h, int error,
			    const struct packet *first)
{
	const struct endpoint *remote = &first->path->way.remote;

	/* EINVAL, or with IPv4 and later kernels ENETUNREACH */
	if ((error == EINVAL || error == ENETUNREACH) && first->path->way.local.family) {
		unsigned sent = out_from_any(u, h, first);

		if (sent || error == ENETUNREACH)
			return sent;
	} /* EINVAL also: merged frames larger than the interface's MTU, before Linux 6.14 */
	if (h->msg_iovlen > 1) {
		if (error == EIO || error == EOPNOTSUPP)
			lacks_segment(u); /* this interface never will */
		return error == ENOBUFS ? 0 : out_apart(u, h, remote);
	}
	if (error == EMSGSIZE)
		note_hint(u, remote);
	return 0;
}

/* Sends the messages made of the packets from `at` on, all that the kernel takes; how
 * many packets. */
static unsigned out_send(struct udp *u, const struct batch *b, unsigned at)
{
	struct messages *out = &u->out;
	unsigned sent = 0, tries = 0;

	for (unsigned i = 0; i < out->n;) {
		int r = sendmmsg(u->link.fd, out->m + i, out->n - i, MSG_DONTWAIT);

		if (r < 0 && errno == EAGAIN)
			break; /* the socket's buffer is full: the rest finds no room either */
		if (r < 0 && errno != ENOBUFS && ++tries < RETRIES)
			continue;
		if (r <= 0) { /* this one is what is refused */
			sent += out_refused(u, &out->m[i].msg_hdr, errno, b->p[at]);
			at += (unsigned)out->m[i++].msg_hdr.msg_iovlen;
		}
		for (; r > 0; r--, i++) {
			sent += (unsigned)out->m[i].msg_hdr.msg_iovlen;
			at += (unsigned)out->m[i].msg_hdr.msg_iovlen;
		}
		tries = 0;
	}
	return sent;
}

/* Puts what is larger than its path's frames behind the rest, order kept on both
 * sides; how many do fit. */
static unsigned out_sort(struct batch *b)
{
	struct packet *large[BATCH_MAX];
	unsigned n = 0, fitting = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];

		if (!p->whole &&
		    p->len > atomic_load_explicit(&p->path->frame_max, memory_order_relaxed))
			large[n++] = p;
		else
			b->p[fitting++] = p;
	}
	memcpy(b->p + fitting, large, n * sizeof(large[0]));
	return fitting;
}

static int set_dont_fragment(const struct link *l, bool on)
{
	return l->family == 4 ? sockopt_set(l->fd, IPPROTO_IP, IP_MTU_DISCOVER,
					    on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT)
			      : sockopt_set(l->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
					    on ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
}

/* Sends the messages from `from` on so that they may be fragmented. None if the
 * control thread is just sending. */
static unsigned out_loose(struct udp *u, const struct batch *b, unsigned from)
{
	unsigned sent = 0;

	if (from == b->n || atomic_flag_test_and_set(&u->sending))
		return 0;
	out_prepare(&u->out, b, from, b->n, false);
	if (!set_dont_fragment(&u->link, false))
		sent = out_send(u, b, from);
	set_dont_fragment(&u->link, true);
	atomic_flag_clear(&u->sending);
	return sent;
}

static void udp_send(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	struct udp *u = udp_of(l);
	unsigned all = b->n, kept = 0, sent = 0;

	for (unsigned i = 0; i < all; i++) {
		if (fits(l, &b->p[i]->path->way))
			b->p[kept++] = b->p[i];
		else
			pool_put(pool, b->p[i]);
	}
	b->n = kept;
	if (kept) {
		unsigned fitting = out_sort(b);

		out_prepare(&u->out, b, 0, fitting, has_segment(u));
		sent = out_send(u, b, 0);
		sent += out_loose(u, b, fitting);
	}
	counter_add(&c->sent, sent);
	if (sent < all)
		counter_add(&c->drops[DROP_SEND], all - sent);
	for (unsigned i = 0; i < kept; i++)
		pool_put(pool, b->p[i]);
	b->n = 0;
}

static int udp_send_one(struct link *l, const struct way *way, const void *frame, size_t len)
{
	struct iovec iov = { .iov_base = (void *)frame, .iov_len = len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct sockaddr_storage name;
	union control control;

	int r = -EAGAIN;

	if (!fits(l, way))
		return -EAFNOSUPPORT;
	if (atomic_flag_test_and_set(&udp_of(l)->sending))
		return -EAGAIN;
	out_address(&h, &name, &control, way, 0);
	for (int i = 0; i < RETRIES && r; i++) {
		r = sendmsg(l->fd, &h, MSG_DONTWAIT) < 0 ? -errno : 0;
		if (r == -EAGAIN || r == -ENOBUFS)
			break;
	}
	atomic_flag_clear(&udp_of(l)->sending);
	return r;
}

static uint16_t udp_first_hop_max(struct link *l, const struct way *way)
{
	unsigned overhead = way_overhead(way), mtu = first_hop_mtu(way);

	(void)l;
	if (mtu < overhead + FRAME_MIN)
		mtu = DEFAULT_MTU;
	return mtu - overhead < FRAME_ROOM ? (uint16_t)(mtu - overhead) : FRAME_ROOM;
}

/* ---- errors -------------------------------------------------------------- */

/* Whether this entry of the error queue is an ICMP "too big". What the kernel
 * says of our own interface has no port and comes by way of the hints. */
static bool is_too_big(struct msghdr *h)
{
	struct sock_extended_err e;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
		bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;

		if (!v4 && !v6)
			continue;
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		if (e.ee_origin == SO_EE_ORIGIN_ICMP)
			return e.ee_type == ICMP_DEST_UNREACH && e.ee_code == ICMP_FRAG_NEEDED;
		if (e.ee_origin == SO_EE_ORIGIN_ICMP6)
			return e.ee_type == ICMPV6_PKT_TOOBIG;
	}
	return false;
}

static void udp_errors(struct link *l, void (*fn)(void *arg, const struct endpoint *remote),
		       void *arg)
{
	struct udp *u = udp_of(l);
	socklen_t len = sizeof(int);
	struct endpoint remote;
	int pending;

	for (int i = 0; i < ERRORS_PER_CALL; i++) {
		union {
			struct cmsghdr align;
			uint8_t room[512];
		} control;
		struct sockaddr_storage name;
		struct msghdr h = { .msg_name = &name,
				    .msg_namelen = sizeof(name),
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };

		if (recvmsg(l->fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		if (is_too_big(&h) && h.msg_namelen > 0 &&
		    endpoint_from_sockaddr((struct sockaddr *)&name, &remote) == 0)
			fn(arg, &remote);
	}
	getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &pending, &len); /* takes it off */
	for (unsigned i = 0; i < u->n_hints; i++)
		fn(arg, &u->hints[i]);
	u->n_hints = 0;
}

/* ---- open and close ------------------------------------------------------ */

static void udp_close(struct link *l)
{
	close(l->fd);
	free(udp_of(l));
}

static const struct link_ops udp_ops = {
	.name = "udp",
	.recv = udp_recv,
	.send = udp_send,
	.send_one = udp_send_one,
	.first_hop_max = udp_first_hop_max,
	.errors = udp_errors,
	.close = udp_close,
};

/* As large as asked with CAP_NET_ADMIN, else as large as the administrator allows. */
static void set_buffers(int fd)
{
	if (sockopt_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE))
		sockopt_set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_SIZE);
	if (sockopt_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_SIZE))
		sockopt_set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_SIZE);
}

static int set_options(int fd, uint8_t family)
{
	static const struct {
		uint8_t family;
		int level, option, value;
	} options[] = {
		{ 0, SOL_SOCKET, SO_REUSEPORT, 1 },
		{ 4, IPPROTO_IP, IP_PKTINFO, 1 },
		{ 4, IPPROTO_IP, IP_RECVTOS, 1 },
		{ 4, IPPROTO_IP, IP_RECVERR, 1 },
		{ 4, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE },
		{ 6, IPPROTO_IPV6, IPV6_V6ONLY, 1 },
		{ 6, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1 },
		{ 6, IPPROTO_IPV6, IPV6_RECVTCLASS, 1 },
		{ 6, IPPROTO_IPV6, IPV6_RECVERR, 1 },
		{ 6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE },
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && !r; i++)
		if (options[i].family == 0 || options[i].family == family)
			r = sockopt_set(fd, options[i].level, options[i].option, options[i].value);
	return r;
}

/* lane_reader. A load past the end of a short datagram ends the program with 0. */
int link_udp_steer(struct link *l, unsigned workers)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FRAME_SOURCE_OFFSET),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FRAME_LANE_OFFSET),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) <
			       0
		       ? -errno
		       : 0;
}

/* A socket bound to the address; -errno. */
static int open_socket(const struct endpoint *local)
{
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(local, &name);
	int fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	int r = fd < 0 ? -errno : set_options(fd, local->ip.family);

	if (!r && bind(fd, (struct sockaddr *)&name, len) < 0)
		r = -errno;
	if (!r) {
		set_buffers(fd);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

static int open_one(const struct endpoint *local, struct link **ret)
{
	struct udp *u = calloc(1, sizeof(*u));
	int fd;

	if (!u)
		return -ENOMEM;
	fd = open_socket(local);
	if (fd < 0) {
		free(u);
		return fd;
	}
	atomic_flag_clear(&u->sending);
	u->link = (struct link){ .ops = &udp_ops, .fd = fd, .family = local->ip.family };
	u->link.offloads =
		(!sockopt_set(fd, SOL_UDP, UDP_SEGMENT, 0) ? OFFLOAD_BIT(UDP_SEGMENT) : 0) |
		(!sockopt_set(fd, SOL_UDP, UDP_GRO, 1) ? OFFLOAD_BIT(UDP_GRO) : 0);
	u->expect = RECV_LEAST;
	*ret = &u->link;
	return 0;
}

int link_udp_open(const struct endpoint *local, unsigned n, struct link **ret)
{
	unsigned made = 0;
	int r = 0;

	if (local->ip.family != 4 && local->ip.family != 6)
		return -EAFNOSUPPORT;
	while (made < n && !r) {
		r = open_one(local, &ret[made]);
		made += !r;
	}
	while (r && made > 0) {
		udp_close(ret[--made]);
		ret[made] = NULL;
	}
	return r;
}

int link_udp_port(const struct link *l, uint16_t *ret)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct endpoint at;
	int r = getsockname(l->fd, (struct sockaddr *)&name, &len) < 0 ? -errno : 0;

	r = r ? r : endpoint_from_sockaddr((struct sockaddr *)&name, &at);
	if (!r)
		*ret = at.port;
	return r;
}
