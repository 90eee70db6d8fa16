/*
 * The router's own ICMP errors: too big (it differs per peer and way, so the
 * kernel can't say it), and time exceeded where the kernel does not route.
 *
 * They carry the site's address as their source and are limited per sender: a
 * burst of 8, then 20 a second. About a packet of the site: back to the host,
 * past the kernel's routing, which would take the gateway's own address coming
 * from the device for a forgery. About a packet that came in a frame: back
 * through its network.
 */
#include "common/inet.h"
#include "router/stage.h"

#define BURST 8
#define REFILL (50 * MSEC)

const struct ip *site_address(const struct worker *w, uint8_t family)
{
	const struct ip *ip = family == 6 ? &w->view->address6 : &w->view->address4;

	return ip->family ? ip : NULL;
}

static bool may_answer(struct worker *w, const struct ip *to, mono_t now)
{
	uint32_t h = 2166136261u;
	int64_t refill;

	for (unsigned i = 0; i < sizeof(to->b); i++)
		h = (h ^ to->b[i]) * 16777619u;
	h = (h ^ h >> 16) % ICMP_BUCKETS;
	if (!mono_is_set(w->icmp[h].at)) {
		w->icmp[h].tokens = BURST;
		w->icmp[h].at = now;
	}
	refill = mono_since(now, w->icmp[h].at) / REFILL;
	if (refill > 0) {
		w->icmp[h].at = mono_add(w->icmp[h].at, refill * REFILL);
		refill += w->icmp[h].tokens;
		w->icmp[h].tokens = refill > BURST ? BURST : (uint32_t)refill;
	}
	if (!w->icmp[h].tokens)
		return false;
	w->icmp[h].tokens--;
	return true;
}

typedef size_t write_fn(uint8_t *out, const struct packet *, const struct ip *source, uint32_t mtu);

static size_t write_too_big(uint8_t *out, const struct packet *p, const struct ip *source,
			    uint32_t mtu)
{
	return inet_icmp_too_big(out, p->data, p->len, &p->inet, source, mtu);
}

static size_t write_ttl(uint8_t *out, const struct packet *p, const struct ip *source, uint32_t mtu)
{
	(void)mtu;
	return inet_icmp_time_exceeded(out, p->data, p->len, &p->inet, source);
}

static void answer(struct worker *w, const struct packet *about, write_fn *write, uint32_t mtu,
		   mono_t now)
{
	const struct ip *source = site_address(w, about->inet.src.family);
	bool from_site = about->frame.size == 0;
	struct batch *b = from_site ? &w->to_site : &w->to_overlay;
	struct packet *p;
	size_t len;

	/* what gets no answer uses up nothing of what its sender may be told */
	if (!inet_icmp_is_due(about->data, about->len, &about->inet))
		return;
	if (!source || b->n == BATCH_MAX || !may_answer(w, &about->inet.src, now)) {
		counter_add(&w->counters.events[EVENT_ICMP_LIMITED], 1);
		return;
	}
	p = pool_get(w->pool);
	if (!p)
		return;
	p->len = (uint32_t)write(p->data, about, source, mtu);
	if (!p->len || !inet_parse(p->data, p->len, &p->inet, &len)) {
		pool_put(w->pool, p);
		return;
	}
	p->network = about->network;
	counter_add(&w->counters.made, 1);
	counter_add(&w->counters.events[EVENT_ICMP_SENT], 1);
	batch_add(b, p);
}

void answer_too_big(struct worker *w, const struct packet *p, uint32_t mtu, mono_t now)
{
	answer(w, p, write_too_big, mtu, now);
}

void answer_ttl_exceeded(struct worker *w, const struct packet *p, mono_t now)
{
	answer(w, p, write_ttl, 0, now);
}

/* An answer goes to where the inner source is, in the network it came from. */
static unsigned route_answer(struct worker *w, struct packet *p, mono_t now)
{
	const struct table *t = w->view->table;
	uint32_t slot = table_slot(t, p->network->id);
	const struct route *r;

	if (slot == UINT32_MAX) { /* one that is received only, so far */
		t = w->view->receive;
		slot = table_slot(t, p->network->id);
	}
	r = slot == UINT32_MAX ? NULL : gndt_lookup(t, slot, &p->inet.dst, NULL);

	(void)now;
	return r ? route_to(w, p, r) : DROP_NO_ROUTE;
}

void answers_flush(struct worker *w, mono_t now)
{
	struct batch b;

	if (w->to_overlay.n) {
		b = w->to_overlay;
		w->to_overlay.n = 0;
		batch_filter(w, &b, now, route_answer);
		outbound_routed(w, &b, now);
	}
	if (w->to_site.n)
		w->answer->ops->send(w->answer, &w->to_site, w->pool, &w->counters);
	w->to_site.n = 0;
}
