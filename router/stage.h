/*
 * The stages of a packet's way. Each takes a batch, writes down what it learns
 * of every packet, and removes those that go no further, counted under a name.
 * Every packet leaves a stage in its batch or counted.
 *
 * Read outbound.c, then inbound.c; the stages are in files of their names.
 */
#ifndef ROUTER_STAGE_H
#define ROUTER_STAGE_H

#include "common/table.h"
#include "router/worker.h"

/* What a stage's function says of a packet: an enum drop, or one of these. */
enum { KEEP = DROPS, TAKEN };

/* Counts the packet under this reason and returns it to the pool. */
void packet_drop(struct worker *, struct packet *, enum drop);

/* Applies fn to each packet; KEEP: it stays, TAKEN: fn gave it another owner. */
static inline void batch_filter(struct worker *w, struct batch *b, mono_t now,
				unsigned (*fn)(struct worker *, struct packet *, mono_t))
{
	unsigned kept = 0;

	for (unsigned i = 0; i < b->n; i++) {
		unsigned verdict = fn(w, b->p[i], now);

		if (verdict == KEEP)
			b->p[kept++] = b->p[i];
		else if (verdict != TAKEN)
			packet_drop(w, b->p[i], (enum drop)verdict);
	}
	b->n = kept;
}

/* LAN -> overlay: batches as interceptors give them. */
void outbound(struct worker *, struct batch *, mono_t now);
/* The second half of it, for packets that know their network, route and peer. */
void outbound_routed(struct worker *, struct batch *, mono_t now);
/* Overlay -> LAN: batches as links give them. */
void inbound(struct worker *, struct batch *, mono_t now);
/* Sends what answer.c made in this turn on its way. */
void answers_flush(struct worker *, mono_t now);

/* Outbound stages. */
void classify(struct worker *, struct batch *, mono_t now);
void route(struct worker *, struct batch *, mono_t now);
void path_pick(struct worker *, struct batch *, mono_t now);
/* Moves packets that fit their path from `from` to `to`, cutting what is too
 * large; false when `from` is empty and `to` too. */
bool fit(struct worker *, struct batch *from, struct batch *to, mono_t now);
/* The same for the way to the site's hosts, which it looks up. */
bool fit_site(struct worker *, struct batch *from, struct batch *to, mono_t now);
void seal(struct worker *, struct batch *, mono_t now);
/* Whether seal, as things are, leaves a partial checksum so. */
bool seal_takes_partial(const struct packet *);
void transmit(struct worker *, struct batch *, mono_t now);

/* Inbound stages. */
void open_frames(struct worker *, struct batch *, mono_t now);
/* Leaves what is for this site in the batch, moves what is to go on to transit. */
void member(struct worker *, struct batch *, struct batch *transit, mono_t now);
/* The route of packets in transit: never back to the sender. */
void transit_route(struct worker *, struct batch *, mono_t now);
void give_back(struct worker *, struct batch *, mono_t now);

/* A packet that must wait for its peer: until held_release. TAKEN or a reason. */
unsigned hold(struct worker *, struct packet *, uint32_t router, mono_t now);
/* Sends all held packets on their way again, from the LNDT on (what still must
 * wait is held anew); drops those that have waited too long. */
void held_release(struct worker *, mono_t now);

/* What waits at a worker that goes goes on waiting at these, while none of them runs. */
void held_hand_over(struct worker *from, struct worker *workers, unsigned n);

/* Sets route and peer of a packet from the route found: KEEP or a reason. */
unsigned route_to(struct worker *, struct packet *, const struct route *);

/* ICMP errors to a packet's sender, rate-limited by source. From the site: to be
 * answered there. From the overlay: back through its network. */
void answer_too_big(struct worker *, const struct packet *, uint32_t mtu, mono_t now);
void answer_ttl_exceeded(struct worker *, const struct packet *, mono_t now);
/* The site's own address of this family, NULL if it has none. */
const struct ip *site_address(const struct worker *, uint8_t family);

#endif
