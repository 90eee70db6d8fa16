/*
 * NFQUEUE: packets that Netfilter hands over, see nfq.h.
 *
 * The kernel keeps every packet until it has a verdict and sends us a copy. The
 * copy goes on; the verdict is "drop", given once for all packets up to the last
 * one read. So what is dropped is never more than what was copied, and a packet
 * goes either our way or the kernel's, not both. A message is received where its
 * payload stays: a pool packet's buffer.
 *
 * TCP comes whole (NFQA_CFG_F_GSO), a super-packet for many segments, and with its
 * checksum left partial. What size the segments have the kernel does not say. Where
 * that is not known of a flow (nfq_flows.c), or where a super-packet is none that can
 * be cut here (longer than a message, segments with checksums of their own), it gets
 * another verdict: into a third queue of ours, one that takes no super-packets. Then
 * the kernel cuts it, exactly as its sender meant it, and its segments lie in that
 * queue's socket when the verdict's system call returns. They are read before
 * anything else, so nothing is reordered; that socket is never waited for.
 *
 * All else comes packet by packet: UDP super-packets could not be told apart again.
 *
 * The queues do not fail open: when one is full, or the process gone, packets are
 * dropped and not let past. It is the socket's buffer that gets full, not the queue,
 * for then the numbers of the packets show how many are missing.
 *
 * For closing without loss the rules are removed first and the queues are read until
 * they are empty: the messages are in our socket even when the kernel lets go of its
 * packets together with the rules. A super-packet that the kernel can't cut then is
 * cut here, so small that everybody can take it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <libmnl/libmnl.h>

#include "common/inet.h"
#include "common/inet_private.h"
#include "common/list.h"
#include "router/netlink.h"
#include "router/nfq.h"
#include "router/nfq_flows.h"
#include "router/nfq_message.h"
#include "router/offload.h"

#define SLOTS 8
#define READ_MAX (256 * 1024)	   /* bytes in one batch, as from the device */
#define QUEUE_LENGTH (1024 * 1024) /* packets: never reached */
#define SOCKET_BUFFER (16 << 20)   /* bytes */
/* Where in a packet's buffer: some headroom is left. What a message says before its
 * payload takes about 100 bytes; if it is more, long packets are not whole. */
#define MESSAGE_AT 64
#define SCRATCH 512		       /* bytes: what a message says before its payload */
#define COPY_MAX (0xffff - NLA_HDRLEN) /* as much as a message can hold */
#define SAFE_V4 576		       /* packets that any host takes */
#define SAFE_V6 1280

/* A socket, and the messages that were read from it together. */
struct channel {
	struct netlink nl;
	unsigned n, at;		      /* how many, the next one */
	struct packet *packet[SLOTS]; /* they lie in these */
	uint32_t len[SLOTS];
	uint8_t scratch[SCRATCH]; /* in here if there was no packet to be had */
};

struct queue {
	uint16_t number;
	uint32_t seen;	 /* the last packet's */
	uint32_t judged; /* verdicts have been given up to this one */
};

struct nfq {
	struct intercept intercept;
	struct channel in, pieces;
	struct queue tcp, rest, cut;
	bool cutting;		/* pieces are being read */
	struct packet *unknown; /* ... of this one, until one is there; or NULL */
	struct pool *pool;	/* where the packets came from */
	struct nfq_flows flows;
};

/* ---- reading ------------------------------------------------------------- */

/* The next messages. How many, or -errno. */
static int refill(struct channel *ch, struct pool *pool)
{
	struct mmsghdr messages[SLOTS] = { 0 };
	struct iovec iov[SLOTS];
	unsigned room = 0;
	int n;

	for (; room < SLOTS; room++) {
		struct packet *p = ch->packet[room] = pool_get_large(pool);

		if (!p && room)
			break;
		iov[room].iov_base = p ? p->buffer + MESSAGE_AT : ch->scratch;
		iov[room].iov_len =
			p ? PACKET_HEADROOM - MESSAGE_AT + PACKET_ROOM + PACKET_TAILROOM : SCRATCH;
		messages[room].msg_hdr.msg_iov = &iov[room];
		messages[room].msg_hdr.msg_iovlen = 1;
		if (!p) {
			room++;
			break;
		}
	}
	do {
		n = recvmmsg(mnl_socket_get_fd(ch->nl.socket), messages, room, MSG_DONTWAIT, NULL);
	} while (n < 0 && errno == EINTR);
	ch->at = 0;
	ch->n = n > 0 ? (unsigned)n : 0;
	for (unsigned i = 0; i < ch->n; i++)
		ch->len[i] = messages[i].msg_len;
	for (unsigned i = ch->n; i < room; i++)
		if (ch->packet[i])
			pool_put(pool, ch->packet[i]);
	return n >= 0 ? n : errno == ENOBUFS ? -EAGAIN : -errno;
}

/* The next message. Its payload becomes the packet's; *ret_packet is NULL if there was
 * none. False: that was no packet's. */
static bool next_message(struct nfq *q, struct channel *ch, struct nfq_message *m,
			 struct packet **ret_packet)
{
	const unsigned i = ch->at++;
	struct packet *p = ch->packet[i];

	if (!nfq_message_parse(p ? p->buffer + MESSAGE_AT : ch->scratch, ch->len[i], m)) {
		if (p)
			pool_put(q->pool, p);
		return false;
	}
	if (p && m->payload) {
		p->data = m->payload;
		p->len = m->len;
	}
	*ret_packet = p;
	return true;
}

static void lost(struct counters *c, enum drop reason, uint32_t n)
{
	counter_add(&c->intercepted, n);
	counter_add(&c->drops[reason], n);
}

/* Packets have numbers; those that found no room in the socket have had one, too. */
static void note_number(struct queue *queue, uint32_t id, struct counters *c)
{
	if (id - queue->seen > 1)
		lost(c, DROP_QUEUE_FULL, id - queue->seen - 1);
	queue->seen = id;
}

static void deliver(struct nfq *q, const struct nfq_message *m, struct packet *p, struct batch *b,
		    struct counters *c)
{
	if (p && m->whole && m->len) {
		p->csum_partial = m->csum_partial;
		batch_add(b, p);
		return;
	}
	lost(c, p && m->whole ? DROP_MALFORMED : DROP_NO_BUFFER, 1);
	if (p)
		pool_put(q->pool, p);
}

/* ---- super-packets ------------------------------------------------------- */

static bool send_verdicts(struct channel *ch, const struct nfq_verdicts *v)
{
	return !v->len || send(mnl_socket_get_fd(ch->nl.socket), v->buf, v->len, MSG_DONTWAIT) >= 0;
}

static bool examine(struct packet *p)
{
	size_t len;

	if (!inet_parse(p->data, p->len, &p->inet, &len))
		return false;
	p->len = (uint32_t)len;
	p->flow = inet_flow_hash(p->data, p->len, &p->inet);
	return true;
}

static void set_size(struct packet *p, uint16_t size)
{
	p->gso_type = p->inet.src.family == 6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	p->gso_size = size;
}

/* The kernel shall cut it. What there is of it here is kept until the first piece
 * shows that the kernel still had it. */
static void have_cut(struct nfq *q, const struct nfq_message *m, struct packet *p, bool usable,
		     struct counters *c)
{
	struct nfq_verdicts v = { .len = 0 };

	nfq_move(&v, q->tcp.number, m->id, q->cut.number);
	send_verdicts(&q->in, &v);
	q->cutting = true;
	q->unknown = usable ? p : NULL;
	if (!usable)
		pool_put(q->pool, p);
	counter_add(&c->events[EVENT_SUPER_CUT], 1);
}

static void take_super(struct nfq *q, const struct nfq_message *m, struct packet *p,
		       struct batch *b, struct counters *c)
{
	const bool usable = m->whole && m->csum_partial && examine(p);
	const uint16_t size = usable ? nfq_flows_size(&q->flows, p) : 0;

	if (!size) {
		have_cut(q, m, p, usable, c);
		return;
	}
	set_size(p, size);
	deliver(q, m, p, b, c);
}

/* No piece came: the kernel has forgotten the packet, and so it is cut here. */
static void cut_safely(struct nfq *q, struct packet *p, struct batch *b, struct counters *c)
{
	const size_t safe = p->inet.src.family == 6 ? SAFE_V6 : SAFE_V4;
	const size_t header = inet_tcp_header(p->data, p->len, &p->inet);

	if (!header || p->inet.l4 + header >= safe) {
		lost(c, DROP_MALFORMED, 1);
		pool_put(q->pool, p);
		return;
	}
	set_size(p, (uint16_t)(safe - p->inet.l4 - header));
	p->csum_partial = true;
	batch_add(b, p);
}

/* The next piece into the batch, or the end of them. */
static void take_piece(struct nfq *q, struct batch *b, struct counters *c)
{
	struct nfq_message m;
	struct packet *p;

	if (q->pieces.at == q->pieces.n && refill(&q->pieces, q->pool) <= 0) {
		if (q->unknown)
			cut_safely(q, q->unknown, b, c);
		q->unknown = NULL;
		q->cutting = false;
		return;
	}
	if (!next_message(q, &q->pieces, &m, &p))
		return;
	note_number(&q->cut, m.id, c);
	if (q->unknown) {
		pool_put(q->pool, q->unknown);
		q->unknown = NULL;
		if (p && m.whole && examine(p))
			nfq_flows_learn(&q->flows, p);
	}
	deliver(q, &m, p, b, c);
}

/* ---- the interceptor ----------------------------------------------------- */

static void take_message(struct nfq *q, struct batch *b, struct counters *c, size_t *bytes)
{
	struct nfq_message m;
	struct packet *p;

	if (!next_message(q, &q->in, &m, &p))
		return;
	note_number(m.queue == q->tcp.number ? &q->tcp : &q->rest, m.id, c);
	*bytes += m.len;
	if (m.super && p)
		take_super(q, &m, p, b, c);
	else
		deliver(q, &m, p, b, c);
}

/* Lets the kernel drop what has been copied. If it is not told now, the next verdict
 * covers it as well. */
static void judge(struct nfq *q)
{
	struct nfq_verdicts in = { .len = 0 }, pieces = { .len = 0 };

	if (q->tcp.judged != q->tcp.seen)
		nfq_drop_until(&in, q->tcp.number, q->tcp.seen);
	if (q->rest.judged != q->rest.seen)
		nfq_drop_until(&in, q->rest.number, q->rest.seen);
	if (q->cut.judged != q->cut.seen)
		nfq_drop_until(&pieces, q->cut.number, q->cut.seen);
	if (send_verdicts(&q->in, &in)) {
		q->tcp.judged = q->tcp.seen;
		q->rest.judged = q->rest.seen;
	}
	if (send_verdicts(&q->pieces, &pieces))
		q->cut.judged = q->cut.seen;
}

static int queue_recv(struct intercept *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct nfq *q = container_of(in, struct nfq, intercept);
	const unsigned before = b->n;
	size_t bytes = 0;
	int e = 0;

	q->pool = pool;
	while (b->n < BATCH_MAX) {
		if (q->cutting) {
			take_piece(q, b, c);
		} else if (q->in.at < q->in.n) {
			take_message(q, b, c, &bytes);
		} else {
			if (bytes >= READ_MAX)
				break;
			e = refill(&q->in, pool);
			if (e <= 0)
				break;
		}
	}
	judge(q);
	in->pending = q->cutting || q->in.at < q->in.n;
	if (b->n > before || e >= 0 || e == -EAGAIN)
		return (int)(b->n - before);
	return e;
}

static void close_channel(struct nfq *q, struct channel *ch)
{
	for (; ch->at < ch->n; ch->at++)
		if (ch->packet[ch->at])
			pool_put(q->pool, ch->packet[ch->at]);
	netlink_close(&ch->nl); /* the queues go with it, packets in them are dropped */
}

static void queue_close(struct intercept *in)
{
	struct nfq *q = container_of(in, struct nfq, intercept);

	if (q->unknown)
		pool_put(q->pool, q->unknown);
	close_channel(q, &q->in);
	close_channel(q, &q->pieces);
	free(q);
}

static const struct intercept_ops ops = {
	.name = "nfqueue",
	.recv = queue_recv,
	.close = queue_close,
};

/* ---- opening ------------------------------------------------------------- */

static int configure(struct channel *ch, uint16_t number, uint32_t flags)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, number);
	int e;

	nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	e = netlink_call(&ch->nl, h);
	if (e)
		return e;
	h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, number);
	nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, COPY_MAX);
	nfq_nlmsg_cfg_put_qmaxlen(h, QUEUE_LENGTH);
	mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(flags));
	mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO));
	return netlink_call(&ch->nl, h);
}

static int open_channel(struct channel *ch)
{
	int size = SOCKET_BUFFER, on = 1, fd;
	int e = netlink_open(&ch->nl, NETLINK_NETFILTER);

	if (e)
		return e;
	fd = mnl_socket_get_fd(ch->nl.socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* What does not fit is dropped by the kernel; its number tells, no error has to. */
	mnl_socket_setsockopt(ch->nl.socket, NETLINK_NO_ENOBUFS, &on, sizeof(on));
	return 0;
}

struct intercept *nfqueue_open(uint16_t number)
{
	struct nfq *q = calloc(1, sizeof(*q));
	bool gso;
	int e;

	if (!q)
		return NULL;
	q->tcp.number = (uint16_t)(number + NFQUEUE_TCP);
	q->rest.number = (uint16_t)(number + NFQUEUE_REST);
	q->cut.number = (uint16_t)(number + NFQUEUE_CUT);
	e = open_channel(&q->in);
	if (!e)
		e = open_channel(&q->pieces);
	if (!e)
		e = configure(&q->in, q->tcp.number, NFQA_CFG_F_GSO);
	gso = !e;
	if (e == -EOPNOTSUPP)
		e = configure(&q->in, q->tcp.number, 0);
	if (!e)
		e = configure(&q->in, q->rest.number, 0);
	if (!e)
		e = configure(&q->pieces, q->cut.number, 0);
	if (e) {
		queue_close(&q->intercept);
		errno = -e;
		return NULL;
	}
	q->intercept = (struct intercept){ .ops = &ops, .fd = mnl_socket_get_fd(q->in.nl.socket) };
	if (gso)
		q->intercept.offloads = OFFLOAD_BIT(NFQUEUE_GSO);
	return &q->intercept;
}
