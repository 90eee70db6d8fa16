/*
 * Fit: no packet leaves that its path can't carry.
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
 */
#include "common/inet.h"
#include "router/stage.h"

#define TCP_HEADER 20
#define PIECES_MAX BATCH_MAX /* of one packet */

static unsigned ip_header(const struct packet *p)
{
	return p->inet.dst.family == 6 ? INET_V6_HEADER : INET_V4_HEADER;
}

static void clamp(struct worker *w, struct packet *p, uint32_t mtu)
{
	if (inet_clamp_mss(p->data, p->len, &p->inet, (uint16_t)(mtu - ip_header(p) - TCP_HEADER)))
		counter_add(&w->counters.events[EVENT_MSS_CLAMPED], 1);
}

/* Puts the pieces of p into `to`; as many buffers as that takes must be there. */
static unsigned cut(struct worker *w, struct packet *p, struct inet_cut *c, struct batch *to)
{
	size_t len;

	do {
		struct packet *piece = pool_get(w->pool);

		if (!piece)
			return DROP_NO_BUFFER;
		len = inet_cut_next(c, piece->data, packet_room(piece) - PACKET_TAILROOM);
		if (!len) {
			pool_put(w->pool, piece);
			break;
		}
		piece->len = (uint32_t)len;
		piece->inet = p->inet;
		piece->flow = p->flow;
		piece->frame = p->frame; /* where it came from, should it have to wait */
		piece->since = p->since;
		piece->nets = p->nets;
		piece->route = p->route;
		piece->network = p->network;
		piece->peer = p->peer;
		piece->path = p->path;
		piece->frame = p->frame; /* in transit or not */
		batch_add(to, piece);
		counter_add(&w->counters.made, 1);
	} while (to->n < BATCH_MAX);
	counter_add(&w->counters.events[EVENT_SEGMENTS_CUT], 1);
	counter_add(&w->counters.consumed, 1);
	pool_put(w->pool, p);
	return TAKEN;
}

/* How many pieces a cut makes. */
static unsigned pieces(const struct inet_cut *c)
{
	return (c->len - c->header + c->step - 1) / c->step;
}

/* What becomes of a packet that is too large: KEEP if it may go nevertheless. */
static unsigned too_large(struct worker *w, struct packet *p, uint32_t mtu, struct batch *to,
			  bool *ret_full, mono_t now)
{
	struct inet_cut c;

	if (inet_cut_tcp(&c, p->data, p->len, &p->inet, mtu) ||
	    inet_cut_fragments(&c, p->data, p->len, &p->inet, mtu)) {
		unsigned n = pieces(&c);

		if (n > PIECES_MAX)
			return DROP_TOO_BIG;
		if (to->n + n > BATCH_MAX) {
			*ret_full = true;
			return TAKEN;
		}
		if (p->inet.dont_fragment &&
		    atomic_load_explicit(&p->path->settled, memory_order_relaxed))
			answer_too_big(w, p, mtu, now);
		return cut(w, p, &c, to);
	}
	if (p->inet.dst.family == 6 && p->len <= 1280)
		return KEEP;
	if (!atomic_load_explicit(&p->path->settled, memory_order_relaxed))
		return hold(w, p, p->peer->id, now);
	answer_too_big(w, p, mtu, now);
	return DROP_TOO_BIG;
}

static unsigned fit_one(struct worker *w, struct packet *p, struct batch *to, bool *ret_full,
			mono_t now)
{
	uint32_t mtu = path_inner_mtu(p->path);

	if (p->inet.proto == 6)
		clamp(w, p, path_clamp_mtu(p->path));
	if (p->len <= mtu)
		return KEEP;
	return too_large(w, p, mtu, to, ret_full, now);
}

bool fit(struct worker *w, struct batch *from, struct batch *to, mono_t now)
{
	unsigned i;
	bool full = false;

	to->n = 0;
	for (i = 0; i < from->n && to->n < BATCH_MAX; i++) {
		unsigned verdict = fit_one(w, from->p[i], to, &full, now);

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
