/*
 * Giving packets back by a packet socket: whole Ethernet frames, handed to the
 * interface's driver at once, past the kernel's routing, Netfilter and queueing
 * disciplines. A batch is one system call.
 *
 * In front of each frame stand the kernel's words about it (PACKET_VNET_HDR), so that
 * partial checksums stay partial and a run of segments goes as one super-packet. Past
 * the queueing discipline nobody cuts one that the interface does not take (it would be
 * lost): runs are made only of what all interfaces of the batch take, and a run that is
 * refused all the same goes again as single packets.
 *
 * A packet whose next hop is not known takes the kernel's way, by raw sockets. The
 * kernel then finds out who has the address, and we hear of it.
 *
 * The socket has no protocol, so it receives nothing.
 */
#include "router/inject.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/inet.h"
#include "common/list.h"
#include "common/sockopt.h"
#include "router/adjacency.h"
#include "router/offload.h"

#define SEND_BUFFER (4 * 1024 * 1024) /* bytes */
#define RUNS_MAX (BATCH_MAX / 2)      /* of more than one packet */

_Static_assert(FRAME_HEADER >= OFFLOAD_HEADER + ETHERNET_HEADER, "room in front of a packet");
_Static_assert(OFFLOAD_LINK_MAX >= ETHERNET_HEADER, "room for it in a run");

struct inject_packet {
	struct inject inject;
	struct inject *raw; /* not ours */
	int fd;
	bool udp; /* the kernel knows super-packets of UDP, as far as we know */
	/* a batch as sendmmsg wants it: a run or packet is a message */
	unsigned n, n_gathered;
	struct mmsghdr messages[BATCH_MAX];
	struct sockaddr_ll to[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct gathered gathered[RUNS_MAX];
	uint8_t run[BATCH_MAX];	    /* which one a message is of */
	uint8_t packets[BATCH_MAX]; /* that a message stands for */
};

static uint16_t ethertype(const struct packet *p)
{
	return htons(p->inet.dst.family == 6 ? ETH_P_IPV6 : ETH_P_IP);
}

static void write_ethernet(uint8_t *out, const struct packet *p)
{
	const struct adjacency *a = p->adjacency;
	const uint16_t type = ethertype(p);

	memcpy(out, a->mac, ETHERNET_ADDRESS);
	memcpy(out + ETHERNET_ADDRESS, a->link.mac, ETHERNET_ADDRESS);
	memcpy(out + 2 * ETHERNET_ADDRESS, &type, sizeof(type));
}

/* ---- messages ------------------------------------------------------------------ */

static void add_message(struct inject_packet *ip, const struct packet *p, struct iovec *iov,
			size_t n)
{
	struct sockaddr_ll *to = &ip->to[ip->n];

	*to = (struct sockaddr_ll){ .sll_family = AF_PACKET,
				    .sll_protocol = ethertype(p),
				    .sll_ifindex = (int)p->adjacency->link.ifindex,
				    .sll_halen = ETHERNET_ADDRESS };
	ip->messages[ip->n++].msg_hdr = (struct msghdr){
		.msg_name = to, .msg_namelen = sizeof(*to), .msg_iov = iov, .msg_iovlen = n
	};
}

/* What stands in front of it goes into headroom, or where the frame's header was. */
static void add_single(struct inject_packet *ip, struct packet *p)
{
	uint8_t *at = p->data - ETHERNET_HEADER - OFFLOAD_HEADER;
	struct virtio_net_hdr h;

	offload_write(&h, p, ETHERNET_HEADER);
	memcpy(at, &h, sizeof(h));
	write_ethernet(at + sizeof(h), p);
	ip->iov[ip->n] =
		(struct iovec){ .iov_base = at, .iov_len = (size_t)(p->data - at) + p->len };
	add_message(ip, p, &ip->iov[ip->n], 1);
}

static void add_run(struct inject_packet *ip, const struct batch *b, const struct runs *runs,
		    const struct run *r)
{
	struct gathered *g = &ip->gathered[ip->n_gathered++];
	const struct packet *p = b->p[r->first];
	uint8_t ethernet[ETHERNET_HEADER];

	write_ethernet(ethernet, p);
	offload_gather(g, b, runs, r, ethernet, sizeof(ethernet));
	add_message(ip, p, g->iov, g->n);
}

/* The kernel counts the Ethernet header as well. */
static bool takes(const struct link_row *link, const struct run *r)
{
	return r->len + ETHERNET_HEADER < link->gso_bytes && r->n <= link->gso_segments;
}

/* Messages of the runs from `first` on, that one split into its packets if so told. */
static void fill(struct inject_packet *ip, const struct batch *b, const struct runs *runs,
		 unsigned first, bool split)
{
	ip->n = ip->n_gathered = 0;
	for (unsigned i = first; i < runs->n; i++, split = false) {
		const struct run *r = &runs->run[i];
		const bool whole = r->n > 1 && !split && takes(&b->p[r->first]->adjacency->link, r);
		unsigned at = r->first;

		for (unsigned k = 0; k < (whole ? 1 : r->n); k++, at = runs->next[at]) {
			ip->run[ip->n] = (uint8_t)i;
			ip->packets[ip->n] = whole ? r->n : 1;
			if (whole)
				add_run(ip, b, runs, r);
			else
				add_single(ip, b->p[at]);
		}
	}
}

/* ---- sending --------------------------------------------------------------------- */

/* How many packets the kernel took. A single one that it refuses is lost, and the others
 * go on; at a whole run it ends: *ret_refused, or -1. */
static unsigned transmit(struct inject_packet *ip, int *ret_refused)
{
	unsigned at = 0, sent = 0;

	*ret_refused = -1;
	while (at < ip->n) {
		int n = sendmmsg(ip->fd, ip->messages + at, ip->n - at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break; /* the buffer is full: no room for the rest either */
		if (n < 0 && ip->packets[at] > 1) {
			*ret_refused = ip->run[at];
			break;
		}
		if (n < 0)
			at++;
		for (int i = 0; i < n; i++)
			sent += ip->packets[at++];
	}
	return sent;
}

static bool is_udp(const struct batch *b, const struct run *r)
{
	return b->p[r->first]->inet.proto == IPPROTO_UDP;
}

/* All have an adjacency with a next hop. How many the kernel took. */
static unsigned send_frames(struct inject_packet *ip, const struct batch *b)
{
	bool tcp = true, udp = ip->udp, split = false;
	struct runs runs;
	unsigned sent = 0;
	int first = 0;

	for (unsigned i = 0; i < b->n; i++) {
		tcp &= b->p[i]->adjacency->link.tcp;
		udp &= b->p[i]->adjacency->link.udp;
	}
	offload_runs(&runs, b, tcp, udp);
	do {
		fill(ip, b, &runs, (unsigned)first, split);
		sent += transmit(ip, &first);
		split = true;
		if (first >= 0 && errno == EINVAL && is_udp(b, &runs.run[first]))
			ip->udp = false; /* before Linux 6.2 */
	} while (first >= 0);
	return sent;
}

static bool is_ours(const struct packet *p)
{
	struct adjacency *a = p->adjacency;

	if (!a || !a->next_hop.family || p->len > a->mtu)
		return false;
	if (!atomic_load_explicit(&a->used, memory_order_relaxed))
		atomic_store_explicit(&a->used, true, memory_order_relaxed);
	return true;
}

static void packet_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	struct inject_packet *ip = container_of(in, struct inject_packet, inject);
	struct batch ours = { .n = 0 }, others = { .n = 0 };
	unsigned sent;

	for (unsigned i = 0; i < b->n; i++)
		batch_add(is_ours(b->p[i]) ? &ours : &others, b->p[i]);
	b->n = 0;
	if (ours.n) {
		sent = send_frames(ip, &ours);
		counter_add(&c->injected, sent);
		counter_add(&c->drops[DROP_INJECT], ours.n - sent);
		for (unsigned i = 0; i < ours.n; i++)
			pool_put(pool, ours.p[i]);
	}
	if (others.n) {
		counter_add(&c->events[EVENT_RAW], others.n);
		ip->raw->ops->send(ip->raw, &others, pool, c);
	}
}

/* ---- life ------------------------------------------------------------------------- */

static void packet_close(struct inject *in)
{
	struct inject_packet *ip = container_of(in, struct inject_packet, inject);

	close(ip->fd);
	free(ip);
}

static const struct inject_ops ops = {
	.name = "packet",
	.send = packet_send,
	.close = packet_close,
	.kernel_routes = false,
};

/* The descriptor or -errno. */
static int open_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e;

	if (fd < 0)
		return -errno;
	e = sockopt_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!e)
		e = sockopt_set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	if (e) {
		close(fd);
		return e;
	}
	if (sockopt_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER))
		sockopt_set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	return fd;
}

struct inject *inject_packet_open(struct inject *raw)
{
	struct inject_packet *ip = calloc(1, sizeof(*ip));
	int e;

	if (!ip)
		return NULL;
	ip->inject.ops = &ops;
	ip->raw = raw;
	ip->udp = true;
	ip->fd = open_socket();
	if (ip->fd >= 0)
		return &ip->inject;
	e = -ip->fd;
	free(ip);
	errno = e;
	return NULL;
}
