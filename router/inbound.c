/*
 * The way in: overlay -> LAN, the mirror of outbound.c.
 *
 *   1. open_frames  header, keys, replay window, MAC: nothing is believed before;
 *                   frames for the router itself end here
 *   2. member       inner source behind the router that sealed it? inner
 *                   destination a member here? else transit, if the sender may
 *   3. give_back    to the gateway's kernel, for the host
 *
 * Transit goes on with step 4 of the way out.
 */
#include "router/stage.h"

void inbound(struct worker *w, struct batch *b, mono_t now)
{
	struct batch transit = { .n = 0 };

	counter_add(&w->counters.received, b->n);
	open_frames(w, b, now);
	member(w, b, &transit, now);
	give_back(w, b, now);
	if (transit.n)
		outbound_routed(w, &transit, now);
}
