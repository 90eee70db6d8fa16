/*
 * NFQUEUE: packets that Netfilter hands over, see nfq.h.
 *
 * The kernel keeps every packet until it has a verdict and sends us a copy. The
 * copy goes on; the verdict is always "drop", given once for all packets up to
 * the last one read. So what is dropped is never more than what was copied, and
 * a packet goes either our way or the kernel's, not both.
 *
 * Whole packets are asked for, but no super-packets (NFQA_CFG_F_GSO belongs in
 * `configure` once something can take them: the kernel cuts them and finishes
 * their checksums for us without it). The queue does not fail open: when it is
 * full, or the process gone, packets are dropped and not let past.
 *
 * A recv call may end with messages left over: they wait in the slots with the
 * kernel's packets behind them. For closing without loss the rules are removed
 * first and the queue is read until it is empty: the messages are in our socket
 * even when the kernel lets go of its packets together with the rules.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <libmnl/libmnl.h>

#include "common/list.h"
#include "router/netlink.h"
#include "router/nfq.h"

#define SLOTS 32
#define SLOT_ROOM (PACKET_SINGLE + 1024) /* a packet and what is said of it */
#define QUEUE_LENGTH 4096		 /* packets */
#define SOCKET_BUFFER (16 * 1024 * 1024) /* bytes: a full queue of usual packets */

struct nfq {
	struct intercept intercept;
	struct netlink nl;
	uint16_t queue;
	unsigned n, slot;	  /* slots filled, the one being read */
	struct nlmsghdr *message; /* next one in it; NULL: its first */
	int left;		  /* bytes from there on */
	struct mmsghdr slots[SLOTS];
	struct iovec iov[SLOTS];
	_Alignas(struct nlmsghdr) uint8_t room[SLOTS][SLOT_ROOM];
};

/* ---- reading --------------------------------------------------------------------- */

/* How many datagrams, or -errno. */
static int refill(struct nfq *q, unsigned wanted)
{
	int n;

	do {
		n = recvmmsg(q->intercept.fd, q->slots, wanted < SLOTS ? wanted : SLOTS,
			     MSG_DONTWAIT, NULL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ENOBUFS ? -EAGAIN : -errno;
	q->n = (unsigned)n;
	q->slot = 0;
	q->message = NULL;
	return n;
}

static struct nlmsghdr *next_message(struct nfq *q)
{
	struct nlmsghdr *h;

	for (; q->slot < q->n; q->slot++, q->message = NULL) {
		if (!q->message) {
			q->message = (struct nlmsghdr *)q->room[q->slot];
			q->left = (int)q->slots[q->slot].msg_len;
		}
		if (!mnl_nlmsg_ok(q->message, q->left))
			continue;
		h = q->message;
		q->message = mnl_nlmsg_next(h, &q->left);
		return h;
	}
	return NULL;
}

/* What a message says. */
struct queued {
	uint32_t id;
	const uint8_t *data;
	uint32_t len;
	bool cut; /* larger than what we asked for */
};

static bool parse(const struct nlmsghdr *h, struct queued *ret)
{
	const uint16_t packet = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET;
	const struct nfqnl_msg_packet_hdr *head = NULL;
	struct queued found = { .len = 0 };
	const struct nlattr *a;

	/* Others are complaints about a verdict: the packets were gone already. */
	if (h->nlmsg_type != packet || mnl_nlmsg_get_payload_len(h) < sizeof(struct nfgenmsg))
		return false;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(a)) {
		case NFQA_PACKET_HDR:
			if (mnl_attr_get_payload_len(a) >= sizeof(*head))
				head = mnl_attr_get_payload(a);
			break;
		case NFQA_PAYLOAD:
			found.data = mnl_attr_get_payload(a);
			found.len = mnl_attr_get_payload_len(a);
			break;
		case NFQA_CAP_LEN: found.cut = true; break;
		}
	}
	if (!head)
		return false;
	found.id = ntohl(head->packet_id);
	*ret = found;
	return true;
}

static void copy(const struct queued *m, struct batch *b, struct pool *pool, struct counters *c)
{
	struct packet *p;

	if (!m->len) {
		counter_add(&c->intercepted, 1);
		counter_add(&c->drops[DROP_MALFORMED], 1);
		return;
	}
	p = m->cut || m->len > PACKET_SINGLE ? NULL : pool_get(pool);
	if (!p) {
		counter_add(&c->intercepted, 1);
		counter_add(&c->drops[DROP_NO_BUFFER], 1);
		return;
	}
	memcpy(p->data, m->data, m->len);
	p->len = m->len;
	batch_add(b, p);
}

/* Lets the kernel drop its packets up to this one. */
static void drop_until(struct nfq *q, uint32_t id)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT_BATCH, q->queue);

	nfq_nlmsg_verdict_put(h, (int)id, NF_DROP);
	/* If it is not taken now, the next one covers these as well. */
	if (send(q->intercept.fd, h, h->nlmsg_len, MSG_DONTWAIT) < 0)
		return;
}

static int queue_recv(struct intercept *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct nfq *q = container_of(in, struct nfq, intercept);
	const unsigned before = b->n;
	struct queued m = { .id = 0 };
	unsigned read = 0;
	int e = 0;

	while (b->n < BATCH_MAX && read < BATCH_MAX) {
		const struct nlmsghdr *h = next_message(q);

		if (h) {
			if (parse(h, &m)) {
				copy(&m, b, pool, c);
				read++;
			}
			continue;
		}
		e = refill(q, BATCH_MAX - b->n);
		if (e <= 0)
			break;
	}
	if (read)
		drop_until(q, m.id);
	if (b->n > before || e >= 0 || e == -EAGAIN)
		return (int)(b->n - before);
	return e;
}

static void queue_close(struct intercept *in)
{
	struct nfq *q = container_of(in, struct nfq, intercept);

	netlink_close(&q->nl); /* the queue goes with it, packets in it are dropped */
	free(q);
}

static const struct intercept_ops ops = {
	.name = "nfqueue",
	.recv = queue_recv,
	.close = queue_close,
};

/* ---- opening ----------------------------------------------------------------------- */

static int configure(struct nfq *q)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	int e;

	nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	e = netlink_call(&q->nl, h);
	if (e)
		return e;
	h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, q->queue);
	nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, PACKET_SINGLE);
	nfq_nlmsg_cfg_put_qmaxlen(h, QUEUE_LENGTH);
	mnl_attr_put_u32(h, NFQA_CFG_FLAGS, 0);
	mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO));
	return netlink_call(&q->nl, h);
}

static void set_buffer(struct nfq *q)
{
	int size = SOCKET_BUFFER, on = 1;

	if (setsockopt(q->intercept.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(q->intercept.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* What does not fit is dropped by the kernel; no error has to tell. */
	mnl_socket_setsockopt(q->nl.socket, NETLINK_NO_ENOBUFS, &on, sizeof(on));
}

struct intercept *nfqueue_open(uint16_t queue)
{
	struct nfq *q = calloc(1, sizeof(*q));
	int e;

	if (!q)
		return NULL;
	q->queue = queue;
	e = netlink_open(&q->nl, NETLINK_NETFILTER);
	if (e) {
		free(q);
		errno = -e;
		return NULL;
	}
	q->intercept = (struct intercept){ .ops = &ops, .fd = mnl_socket_get_fd(q->nl.socket) };
	for (unsigned i = 0; i < SLOTS; i++) {
		q->iov[i] = (struct iovec){ .iov_base = q->room[i], .iov_len = SLOT_ROOM };
		q->slots[i].msg_hdr.msg_iov = &q->iov[i];
		q->slots[i].msg_hdr.msg_iovlen = 1;
	}
	set_buffer(q);
	e = configure(q);
	if (e) {
		queue_close(&q->intercept);
		errno = -e;
		return NULL;
	}
	return &q->intercept;
}
