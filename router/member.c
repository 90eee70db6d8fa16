/*
 * Member: what came out of a frame may only be what its sender may send, and
 * goes only to members of its network.
 *
 * The inner source must be one that this network's GNDT places behind the
 * router that sealed the frame. An ICMP error may come from that router itself:
 * it is judged by the packet that it quotes, whose way it goes back. The inner
 * destination is a member of this site in this network, or the packet is in
 * transit: only from peers that may, or to a tiny of this router's, TTL down by one,
 * never back.
 *
 * All by the receive table; by aliases while a change takes its steps.
 *
 * Packets of a flow come one behind the other: what the tables say of an address is
 * remembered for the next packet.
 */
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "router/stage.h"

static bool is_behind(const struct table *t, uint32_t slot, const struct ip *ip, uint32_t router)
{
	const struct route *r = gndt_lookup(t, slot, ip, NULL);

	if (!r)
		return false;
	for (unsigned i = 0; i < r->n; i++)
		if (r->routers[i] == router)
			return true;
	return false;
}

/* Whether the inner source has a place in this network that is not the sender. */
static bool is_elsewhere(const struct table *t, uint32_t slot, const struct packet *p)
{
	unsigned len;
	const struct route *r = gndt_lookup(t, slot, &p->inet.src, &len);

	return r && len > 0 && !is_behind(t, slot, &p->inet.src, p->frame.source);
}

/* Whether an ICMP error quotes a packet that may have gone that way: the reverse
 * of it would pass. (Where it goes to is checked as for any other packet.) */
static bool quotes_reverse(const struct table *t, uint32_t slot, const struct packet *p)
{
	struct inet_info quoted;
	size_t len;
	const uint8_t *q;

	if (!inet_is_icmp_error(p->data, p->len, &p->inet))
		return false;
	q = inet_icmp_quoted(p->data, p->len, &p->inet, &len);
	return q && inet_parse_quoted(q, len, &quoted) && ip_equal(&quoted.src, &p->inet.dst) &&
	       is_behind(t, slot, &quoted.dst, p->frame.source) && !is_elsewhere(t, slot, p);
}

/* RFC 6040; and the MSS of a TCP handshake, for a path that is smaller in the
 * other direction. */
static unsigned unwrap(struct worker *w, struct packet *p)
{
	struct path *path = rcu_dereference(p->peer->path);
	int ecn = inet_ecn_decapsulate(p->inet.tos & 3, p->outer_tos & 3);
	unsigned headers = (p->inet.src.family == 6 ? INET_V6_HEADER : INET_V4_HEADER) + 20;

	if (ecn < 0)
		return DROP_ECN;
	if (ecn != (p->inet.tos & 3)) {
		p->inet.tos = (uint8_t)((p->inet.tos & ~3) | ecn);
		inet_set_tos(p->data, p->inet.tos);
	}
	if (path && inet_is_tcp_syn(p->data, p->len, &p->inet)) {
		packet_finish(p);
		if (inet_clamp_mss(p->data, p->len, &p->inet,
				   (uint16_t)(path_clamp_mtu(path) - headers)))
			counter_add(&w->counters.events[EVENT_MSS_CLAMPED], 1);
	}
	return KEEP;
}

/* Whether this packet's source is where that of the one before was found to be: behind
 * the router that sealed both, in their network. */
static bool same_source(const struct packet *p, const struct packet *before)
{
	return before && p->slot == before->slot && p->frame.source == before->frame.source &&
	       ip_equal(&p->inet.src, &before->inet.src);
}

/* *before: the last packet whose source is behind its router, NULL for none. */
static unsigned check_inner(struct worker *w, struct packet *p, const struct packet **before)
{
	const struct table *t = w->view->receive;
	size_t len;

	packet_pull(p, FRAME_HEADER);
	p->len -= FRAME_MAC;
	if (!inet_parse(p->data, p->len, &p->inet, &len))
		return DROP_MALFORMED;
	p->len = (uint32_t)len;
	p->csum_partial = p->frame.state & STATE_PARTIAL;
	if (p->csum_partial && !inet_check_at(p->data, p->len, &p->inet))
		return DROP_STATE;
	p->flow = inet_flow_hash(p->data, p->len, &p->inet);
	if (same_source(p, *before) || is_behind(t, p->slot, &p->inet.src, p->frame.source))
		*before = p;
	else if (!quotes_reverse(t, p->slot, p))
		return DROP_FORGED_SOURCE;
	return unwrap(w, p);
}

static void check_sources(struct worker *w, struct batch *b)
{
	const struct packet *before = NULL;
	unsigned kept = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		unsigned verdict = check_inner(w, p, &before);

		if (verdict == KEEP) {
			b->p[kept++] = p;
			continue;
		}
		if (before == p)
			before = NULL;
		packet_drop(w, p, (enum drop)verdict);
	}
	b->n = kept;
}

/* Whether a packet passes all checks of a network. */
static bool takes(const struct table *t, uint32_t slot, const struct packet *p)
{
	return (is_behind(t, slot, &p->inet.src, p->frame.source) || quotes_reverse(t, slot, p)) &&
	       lndt_is_member(t, slot, &p->inet.dst);
}

/* While a change takes its steps, a frame may come under an ID that its hosts don't
 * share any more: then it is of the network that they share now. Two hosts share one
 * at most. */
static void find_alias(struct worker *w, struct packet *p)
{
	const struct table *t = w->view->receive;
	const struct network_alias *a;
	size_t n, len;

	a = world_aliases(w->view, p->frame.network, &n);
	if (!n)
		return;
	packet_pull(p, FRAME_HEADER);
	if (inet_parse(p->data, p->len - FRAME_MAC, &p->inet, &len) && !takes(t, p->slot, p))
		for (size_t i = 0; i < n; i++)
			if (takes(t, a[i].slot, p)) {
				p->slot = a[i].slot;
				break;
			}
	packet_push(p, FRAME_HEADER);
}

void member(struct worker *w, struct batch *b, struct batch *transit, mono_t now)
{
	const struct table *t = w->view->receive;
	const struct packet *before = NULL; /* it is for a member */
	unsigned kept = 0;

	for (unsigned i = 0; w->view->n_aliases && i < b->n; i++)
		find_alias(w, b->p[i]);
	check_sources(w, b);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];

		if ((before && p->slot == before->slot &&
		     ip_equal(&p->inet.dst, &before->inet.dst)) ||
		    lndt_is_member(t, p->slot, &p->inet.dst)) {
			b->p[kept++] = p;
			before = p;
		} else {
			batch_add(transit, p);
		}
	}
	b->n = kept;
	transit_route(w, transit, now);
}

/* Its VM's packets go by no other router. */
static bool is_tiny(const struct worker *w, uint32_t router)
{
	const struct peer *p = world_peer(w->view, router);

	return p && atomic_load_explicit(&p->tiny, memory_order_relaxed);
}

static unsigned transit_one(struct worker *w, struct packet *p, mono_t now)
{
	const struct table *t = w->view->receive;
	uint32_t slot = table_slot(t, p->frame.network);
	struct peer *sender = world_peer(w->view, p->frame.source);
	const struct route *r;

	if (slot == UINT32_MAX)
		return DROP_UNKNOWN_NETWORK;
	r = gndt_lookup(t, slot, &p->inet.dst, NULL);
	if (!r || r->routers[0] == w->view->self)
		return DROP_NOT_MEMBER;
	if (!sender || !(atomic_load_explicit(&sender->transit, memory_order_relaxed) ||
			 is_tiny(w, r->routers[0])))
		return DROP_TRANSIT;
	if (r->routers[0] == p->frame.source)
		return DROP_LOOP;
	p->network = w->view->receive_networks[slot];
	if (!mono_is_set(p->since) && !inet_ttl_decrement(p->data)) {
		answer_ttl_exceeded(w, p, now);
		return DROP_TTL;
	}
	return route_to(w, p, r);
}

void transit_route(struct worker *w, struct batch *b, mono_t now)
{
	batch_filter(w, b, now, transit_one);
}
