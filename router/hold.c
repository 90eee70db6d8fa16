/*
 * Packets that wait: for keys with their peer, or for the first result about its
 * path. Bounded in number, per peer and in all, and in time. They keep no
 * pointer into tables, which may change meanwhile: afterwards they are looked
 * up anew.
 */
#include <string.h>
#include <urcu-qsbr.h>

#include "router/stage.h"

#define WANT_INTERVAL (200 * MSEC)

static void want_keys(struct worker *w, struct peer *peer, mono_t now)
{
	struct peer_share *share = peer->share[w->number];
	struct note n = { .kind = NOTE_WANT_KEYS, .router = peer->id };

	if (rcu_dereference(peer->tx) ||
	    (mono_is_set(share->wanted) && mono_since(now, share->wanted) < WANT_INTERVAL))
		return;
	if (worker_note(w, &n, NULL, 0))
		share->wanted = now;
}

unsigned hold(struct worker *w, struct packet *p, uint32_t router, mono_t now)
{
	struct peer *peer = world_peer(w->view, router);

	if (!p->nets && !p->frame.size)
		return DROP_NO_KEY; /* an ICMP error of our own: its network would be lost */
	if (!mono_is_set(p->since)) {
		p->since = now;
		counter_add(&w->counters.events[EVENT_HELD], 1);
	}
	if (!peer)
		return DROP_NO_PEER;
	if (mono_since(now, p->since) >= HELD_TIME)
		return rcu_dereference(peer->tx) ? DROP_TOO_BIG : DROP_NO_KEY;
	want_keys(w, peer, now);
	if (w->n_held == HELD_MAX || peer->share[w->number]->held >= HELD_PER_PEER)
		return DROP_HOLD_FULL;
	p->nets = NULL;
	p->route = NULL;
	p->network = NULL;
	p->peer = NULL;
	p->path = NULL;
	peer->share[w->number]->held++;
	w->held[w->n_held++] = (struct held){ .packet = p, .router = router };
	return TAKEN;
}

/* Who has room for one more that waits for this peer. */
static struct worker *heir(struct worker *workers, unsigned n, const struct peer *peer)
{
	for (unsigned i = 0; i < n; i++)
		if (workers[i].n_held < HELD_MAX && peer->share[i]->held < HELD_PER_PEER &&
		    pool_left(workers[i].pool))
			return &workers[i];
	return NULL;
}

void held_hand_over(struct worker *from, struct worker *workers, unsigned n)
{
	for (unsigned i = 0; i < from->n_held; i++) {
		struct held *h = &from->held[i];
		struct peer *peer = world_peer(*from->world, h->router);
		struct worker *to = peer ? heir(workers, n, peer) : NULL;

		if (peer && peer->share[from->number]->held)
			peer->share[from->number]->held--;
		if (!to) {
			packet_drop(from, h->packet, peer ? DROP_HOLD_FULL : DROP_NO_PEER);
			continue;
		}
		to->held[to->n_held++] = (struct held){ .packet = pool_copy(to->pool, h->packet),
							.router = h->router };
		peer->share[to->number]->held++;
		counter_add(&to->counters.made, 1);
		counter_add(&from->counters.consumed, 1);
		pool_put(from->pool, h->packet);
	}
	from->n_held = 0;
}

void held_release(struct worker *w, mono_t now)
{
	struct batch from_site, transit;
	unsigned todo = w->n_held;

	while (todo) {
		unsigned n = todo < BATCH_MAX ? todo : BATCH_MAX;

		from_site.n = transit.n = 0;
		for (unsigned i = 0; i < n; i++) {
			struct held *h = &w->held[i];
			struct peer *peer = world_peer(w->view, h->router);

			if (peer && peer->share[w->number]->held)
				peer->share[w->number]->held--;
			batch_add(h->packet->frame.size ? &transit : &from_site, h->packet);
		}
		w->n_held -= n;
		memmove(w->held, w->held + n, w->n_held * sizeof(w->held[0]));
		todo -= n;
		classify(w, &from_site, now);
		route(w, &from_site, now);
		outbound_routed(w, &from_site, now);
		transit_route(w, &transit, now);
		outbound_routed(w, &transit, now);
	}
}
