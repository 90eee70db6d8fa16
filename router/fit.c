/*
 * Fit: no packet leaves that its path can't carry.
 *
 * A super-packet is cut into the packets that it stands for, in one batch where they find
 * room there. If its checksum is partial so are theirs, but where they can't leave so:
 * there they are summed as they are copied. One whose datagrams are too large for the path
 * is refused as a whole.
 *
 * A TCP handshake's MSS is lowered to what the path takes. A TCP segment that is
 * too large all the same (its host ignores ICMP) is cut into smaller ones; an
 * IPv4 packet that may be fragmented is; of anything else the sender is told.
 * As long as the path's MTU is not known nobody is told anything: what may be
 * too large waits.
 *
 * IPv6 promises 1,280 bytes to every host, so where a path carries less
 * than that inside, packets up to that size go out larger than the path's frames,
 * and the link lets them be fragmented: the one case where that is unavoidable.
 *
 * What the kernel does not route on its way to a host is fitted alike, to the MTU of the
 * interface that it leaves by.
 */
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "router/adjacency.h"
#include "router/stage.h"

#define TCP_HEADER 20
#define V6_LEAST 1280 /* what every IPv6 path carries, and no host goes below: RFC 8201 */

static unsigned ip_header(const struct packet *p)
{
	return p->inet.dst.family == 6 ? INET_V6_HEADER : INET_V4_HEADER;
}

static void clamp(struct worker *w, struct packet *p, uint32_t mtu)
{
	packet_finish(p);
	if (inet_clamp_mss(p->data, p->len, &p->inet, (uint16_t)(mtu - ip_header(p) - TCP_HEADER)))
		counter_add(&w->counters.events[EVENT_MSS_CLAMPED], 1);
}

/* A piece of p goes where p goes, and came from where it came from. */
static void inherit(struct packet *piece, const struct packet *p)
{
	piece->inet = p->inet;
	piece->flow = p->flow;
	piece->frame = p->frame; /* in transit or not */
	piece->since = p->since;
	piece->nets = p->nets;
	piece->route = p->route;
	piece->network = p->network;
	piece->peer = p->peer;
	piece->path = p->path;
	piece->adjacency = p->adjacency;
}

/* Whether a packet's pieces are better cut into a batch of their own: they arrive as a
 * batch then, and go to the far host as one again. */
static bool waits(const struct inet_cut *c, const struct batch *to)
{
	unsigned n = (c->len - c->header + c->step - 1) / c->step;

	return to->n && n > BATCH_MAX - to->n && n <= BATCH_MAX;
}

/* Puts pieces of p into `to`. If it is full before p is done (*ret_full), p remembers
 * how far it came. */
static unsigned cut(struct worker *w, struct packet *p, struct inet_cut *c, struct batch *to,
		    bool *ret_full)
{
	if (!p->cut && waits(c, to)) {
		*ret_full = true;
		return TAKEN;
	}
	for (c->at = p->cut; c->at < c->len - c->header; p->cut = c->at) {
		struct packet *piece;

		if (to->n == BATCH_MAX) {
			*ret_full = true;
			return TAKEN;
		}
		piece = pool_get(w->pool);
		if (!piece)
			return DROP_NO_BUFFER;
		inherit(piece, p);
		piece->csum_partial = c->partial;
		piece->len = (uint32_t)inet_cut_next(c, piece->data, PACKET_ROOM);
		batch_add(to, piece);
		counter_add(&w->counters.made, 1);
	}
	counter_add(&w->counters.consumed, 1);
	pool_put(w->pool, p);
	return TAKEN;
}

/* The length of the largest packet in it, as its host meant it. */
static uint32_t single_len(const struct packet *p)
{
	return p->gso_size ? (uint32_t)p->gso_header + p->gso_size : p->len;
}

/* The largest packet that may go on this path, and the size that hosts are told: IPv6
 * hosts do not listen to less than they were promised. */
static uint32_t most(const struct packet *p, uint32_t mtu)
{
	return p->inet.dst.family == 6 && mtu < V6_LEAST ? V6_LEAST : mtu;
}

/* A super-packet as single ones that fit, or a packet too large as smaller ones. */
static bool can_cut(struct inet_cut *c, struct packet *p, uint32_t mtu)
{
	uint32_t single = single_len(p);

	if (inet_cut_tcp(c, p->data, p->len, &p->inet, single < mtu ? single : mtu) ||
	    (single <= most(p, mtu) &&
	     inet_cut_datagrams(c, p->data, p->len, &p->inet, p->gso_size))) {
		c->partial = p->csum_partial && (p->adjacency || seal_takes_partial(p));
		return true;
	}
	if (p->gso_size)
		return false;
	packet_finish(p); /* it covers all fragments */
	return inet_cut_fragments(c, p->data, p->len, &p->inet, mtu);
}

/* What becomes of a packet that can't go as it is: KEEP if it may nevertheless. */
static unsigned too_large(struct worker *w, struct packet *p, uint32_t mtu, bool settled,
			  struct batch *to, bool *ret_full, mono_t now)
{
	struct inet_cut c;

	if (can_cut(&c, p, mtu)) {
		if (single_len(p) > mtu && !p->cut) {
			counter_add(&w->counters.events[EVENT_SEGMENTS_CUT], 1);
			if (p->inet.dont_fragment && settled && single_len(p) > most(p, mtu))
				answer_too_big(w, p, most(p, mtu), now);
		}
		return cut(w, p, &c, to, ret_full);
	}
	if (p->len <= most(p, mtu) && !p->gso_size)
		return KEEP;
	if (!settled)
		return hold(w, p, p->peer->id, now);
	answer_too_big(w, p, most(p, mtu), now);
	return DROP_TOO_BIG;
}

typedef unsigned fit_fn(struct worker *, struct packet *, struct batch *to, bool *ret_full,
			mono_t now);

static unsigned fit_path(struct worker *w, struct packet *p, struct batch *to, bool *ret_full,
			 mono_t now)
{
	uint32_t mtu = path_inner_mtu(p->path);

	if (inet_is_tcp_syn(p->data, p->len, &p->inet))
		clamp(w, p, path_clamp_mtu(p->path));
	if (p->len <= mtu && !p->gso_size)
		return KEEP;
	return too_large(w, p, mtu, atomic_load_explicit(&p->path->settled, memory_order_relaxed),
			 to, ret_full, now);
}

static unsigned fit_adjacency(struct worker *w, struct packet *p, struct batch *to, bool *ret_full,
			      mono_t now)
{
	p->adjacency = adjacency_lookup(rcu_dereference(w->view->adjacencies), &p->inet.dst);
	if (!p->adjacency || p->len <= p->adjacency->mtu)
		return KEEP;
	return too_large(w, p, p->adjacency->mtu, true, to, ret_full, now);
}

static bool fit_each(struct worker *w, struct batch *from, struct batch *to, mono_t now, fit_fn *fn)
{
	unsigned i;
	bool full = false;

	to->n = 0;
	for (i = 0; i < from->n && to->n < BATCH_MAX; i++) {
		unsigned verdict = fn(w, from->p[i], to, &full, now);

		if (full)
			break;
		if (verdict == KEEP)
			batch_add(to, from->p[i]);
		else if (verdict != TAKEN)
			packet_drop(w, from->p[i], (enum drop)verdict);
	}
	for (unsigned j = i; j < from->n; j++)
		from->p[j - i] = from->p[j];
	from->n -= i;
	return to->n > 0;
}

bool fit(struct worker *w, struct batch *from, struct batch *to, mono_t now)
{
	return fit_each(w, from, to, now, fit_path);
}

bool fit_site(struct worker *w, struct batch *from, struct batch *to, mono_t now)
{
	return fit_each(w, from, to, now, fit_adjacency);
}
