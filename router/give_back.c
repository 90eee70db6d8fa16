/*
 * Give back: packets for this site's hosts, to the gateway's kernel. Where the
 * injector goes past the kernel's routing, TTL and the MTU of the way to the host are
 * the router's to look after.
 */
#include "common/inet.h"
#include "router/stage.h"

static unsigned age(struct worker *w, struct packet *p, mono_t now)
{
	if (inet_ttl_decrement(p->data))
		return KEEP;
	answer_ttl_exceeded(w, p, now);
	return DROP_TTL;
}

void give_back(struct worker *w, struct batch *b, mono_t now)
{
	struct inject *in = atomic_load_explicit(&w->inject, memory_order_acquire);
	struct batch fitting;

	if (!in->ops->kernel_routes)
		batch_filter(w, b, now, age);
	count_traffic(w, b, IN, 0);
	if (!in->ops->kernel_routes)
		while (fit_site(w, b, &fitting, now))
			in->ops->send(in, &fitting, w->pool, &w->counters);
	else if (b->n)
		in->ops->send(in, b, w->pool, &w->counters);
}
