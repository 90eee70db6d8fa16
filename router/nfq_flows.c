/*
 * Segment sizes of TCP flows, see nfq_flows.h.
 *
 * NFQUEUE says that a packet stands for several segments, but not of what size they
 * are. All but the last have the same, which is the sender's, and the sender's is
 * what the far host and everything on the way to it can take: it has it from the
 * far host's MSS, from ICMP errors, from its own probing of the path. A router that
 * takes another one, its own path's for instance, makes segments that nobody behind
 * that path may be able to deliver, for as long as the connection lasts.
 *
 * So it is never guessed for good. The kernel is asked, by having it cut one
 * super-packet (nfq.c), for the first of a flow, and again where the size may have
 * changed:
 *
 * - What is sent again is always asked about. Only segments of super-packets can
 *   have been cut at a wrong size; if they got lost for it, their sender sends them
 *   again, and then they go exactly as it meant them. A flow can't hang.
 * - A length that is no multiple of the size, of a packet that nothing excuses: TCP
 *   only cuts short what ends a write or the stream (PSH, FIN). Some hosts do it
 *   otherwise, or theirs were put together so on the way; where asking brings
 *   nothing new it is done half as often each time.
 *
 * The table has one place for each hash. Who has to share it loses speed only.
 */
#include "router/nfq_flows.h"

#include <string.h>

#include "common/inet_private.h"

#define PAUSE_MAX 1024

static struct nfq_flow *place(struct nfq_flows *t, const struct packet *p)
{
	return &t->flow[p->flow % NFQ_FLOWS];
}

static bool is_of(const struct nfq_flow *f, const struct packet *p)
{
	return ip_equal(&f->src, &p->inet.src) && ip_equal(&f->dst, &p->inet.dst) &&
	       !memcmp(f->ports, p->data + p->inet.l4, sizeof(f->ports));
}

/* Whether the length fits the size, or is not worth asking about. */
static bool is_usual(struct nfq_flow *f, uint32_t payload, uint8_t flags)
{
	if ((flags & (TCP_PSH | TCP_FIN)) || payload % f->size == 0)
		return true;
	if (!f->left)
		return false;
	f->left--;
	return true;
}

uint16_t nfq_flows_size(struct nfq_flows *t, const struct packet *p)
{
	const uint8_t *tcp = p->data + p->inet.l4;
	const size_t header = inet_tcp_header(p->data, p->len, &p->inet);
	struct nfq_flow *f = place(t, p);
	uint32_t seq, payload;
	bool again;

	if (!header)
		return 0;
	seq = load32(tcp + TCP_SEQ);
	payload = p->len - p->inet.l4 - (uint32_t)header;
	if (!is_of(f, p)) {
		*f = (struct nfq_flow){ .src = p->inet.src, .dst = p->inet.dst, .next = seq };
		memcpy(f->ports, tcp, sizeof(f->ports));
	}
	again = (int32_t)(seq - f->next) < 0;
	f->next = seq + payload;
	if (again || !f->size || !is_usual(f, payload, tcp[TCP_FLAGS]))
		return 0;
	return f->size;
}

void nfq_flows_learn(struct nfq_flows *t, const struct packet *p)
{
	const size_t header = inet_tcp_header(p->data, p->len, &p->inet);
	struct nfq_flow *f = place(t, p);
	uint16_t size;

	if (!header || !is_of(f, p))
		return;
	size = (uint16_t)(p->len - p->inet.l4 - header);
	if (f->size != size)
		f->pause = 0;
	else if (f->pause < PAUSE_MAX)
		f->pause = (uint16_t)(2 * f->pause + 1);
	f->left = f->pause;
	f->size = size;
}
