/*
 * The way out: LAN -> overlay.
 *
 *   1. examine     is it a whole IP packet? what does it say?
 *   2. age         what no kernel has routed yet is one hop older
 *   3. classify    its source gives its virtual networks (LNDT)
 *   4. route       the longest prefix over those gives the router (GNDT)
 *   5. path_pick   one path to that router
 *   6. fit         MSS clamp; super-packets, and what is larger than the path, are
 *                  cut, or refused
 *   7. seal        frame header, sequence, MAC or AEAD
 *   8. transmit    to the link
 *
 * Packets that a site's router sends on for another (transit), and ICMP errors
 * that it makes, come in at step 5. A place to wait for a fair share will be
 * between 4 and 5.
 */
#include "common/inet.h"
#include "router/offload.h"
#include "router/stage.h"

static unsigned examine(struct worker *w, struct packet *p, mono_t now)
{
	size_t len;

	(void)w;
	(void)now;
	if (!inet_parse(p->data, p->len, &p->inet, &len))
		return DROP_MALFORMED;
	p->len = (uint32_t)len;
	p->flow = inet_flow_hash(p->data, p->len, &p->inet);
	return offload_check(p) ? KEEP : DROP_MALFORMED;
}

static unsigned age(struct worker *w, struct packet *p, mono_t now)
{
	if (!p->unrouted)
		return KEEP;
	p->unrouted = false;
	if (inet_ttl_decrement(p->data))
		return KEEP;
	answer_ttl_exceeded(w, p, now);
	return DROP_TTL;
}

void outbound(struct worker *w, struct batch *b, mono_t now)
{
	counter_add(&w->counters.intercepted, b->n);
	batch_filter(w, b, now, examine);
	batch_filter(w, b, now, age);
	classify(w, b, now);
	route(w, b, now);
	outbound_routed(w, b, now);
}

void outbound_routed(struct worker *w, struct batch *b, mono_t now)
{
	struct batch ready;

	path_pick(w, b, now);
	while (fit(w, b, &ready, now)) {
		seal(w, &ready, now);
		transmit(w, &ready, now);
	}
}
