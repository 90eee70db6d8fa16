/*
 * Route: the longest prefix over the GNDTs of a packet's networks gives the
 * network it travels in and the router that delivers it. Then its path.
 */
#include <urcu-qsbr.h>

#include "router/stage.h"

unsigned route_to(struct worker *w, struct packet *p, const struct route *r)
{
	uint32_t id = r->routers[0];

	if (id == w->view->self)
		return DROP_OWN_SITE;
	p->route = r;
	p->peer = world_peer(w->view, id);
	if (!p->peer)
		return DROP_NO_PEER;
	if (peer_is_stopped(p->peer, p->network->id))
		return DROP_DISABLED;
	return KEEP;
}

static unsigned route_one(struct worker *w, struct packet *p, const struct packet *last, mono_t now)
{
	bool ambiguous = false;
	uint32_t slot;
	const struct route *r;

	(void)now;
	if (same_hosts(p, last) && p->nets == last->nets) {
		p->route = last->route;
		p->network = last->network;
		p->peer = last->peer;
		return KEEP;
	}
	r = gndt_lookup_set(w->view->table, p->nets, &p->inet.dst, &slot, NULL, &ambiguous);
	if (!r)
		return ambiguous ? DROP_AMBIGUOUS : DROP_NO_ROUTE;
	p->network = w->view->networks[slot];
	return route_to(w, p, r);
}

void route(struct worker *w, struct batch *b, mono_t now)
{
	batch_filter_run(w, b, now, route_one);
}

/* One path a peer today. Without one there can be no keys either: the packet
 * waits while the control thread looks for a way. */
static unsigned path_one(struct worker *w, struct packet *p, mono_t now)
{
	p->path = rcu_dereference(p->peer->path);
	if (!p->path || !rcu_dereference(p->peer->tx))
		return hold(w, p, p->peer->id, now);
	return KEEP;
}

void path_pick(struct worker *w, struct batch *b, mono_t now)
{
	batch_filter(w, b, now, path_one);
}
