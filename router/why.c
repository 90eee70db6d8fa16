/*
 * Why: what a packet from here to there would meet, by the same tables in the
 * same order as classify and route ask them, without a packet.
 */
#include <urcu-qsbr.h>

#include "router/router.h"

static struct prefix cut(const struct ip *ip, unsigned len)
{
	struct prefix p = { .ip = *ip, .len = (uint8_t)len };

	for (unsigned bit = len; bit < ip_bits(ip); bit++)
		p.ip.b[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return p;
}

/* The most specific LNDT row around the source. */
struct source_row {
	const struct ip *source;
	struct prefix best;
};

static bool take_row(void *arg, const struct lndt_row *row)
{
	struct source_row *s = arg;

	if (prefix_contains(&row->prefix, s->source) &&
	    (!s->best.ip.family || row->prefix.len > s->best.len))
		s->best = row->prefix;
	return true;
}

static struct prefix source_row(const struct table *t, const struct ip *source)
{
	struct source_row s = { .source = source, .best = { .ip = { .family = 0 } } };

	table_lndt(t, 0, take_row, &s);
	return s.best;
}

static enum drop judge(struct router *r, struct verdict *v)
{
	struct peer *p;

	if (v->router == r->world->self)
		return DROP_OWN_SITE;
	p = world_peer(r->world, v->router);
	if (!p)
		return DROP_NO_PEER;
	v->contact = p->contact;
	if (peer_is_stopped(p, v->network))
		return DROP_DISABLED;
	if (!p->tx)
		return DROP_NO_KEY;
	return p->path ? DROPS : DROP_NO_WAY;
}

void router_why(struct router *r, const struct ip *source, const struct ip *destination,
		struct verdict *ret)
{
	const struct table *t = r->world->table;
	const struct netset *nets = lndt_lookup(t, 0, source);
	const struct route *route;
	bool ambiguous = false;
	uint32_t slot;
	unsigned len;

	*ret = (struct verdict){ .drop = DROP_UNKNOWN_SOURCE };
	if (!nets)
		return;
	ret->source_prefix = source_row(t, source);
	for (uint32_t i = 0; i < nets->n && ret->n_networks < 8; i++)
		ret->others[ret->n_networks++] = table_network(t, nets->slots[i])->id;
	route = gndt_lookup_set(t, nets, destination, &slot, &len, &ambiguous);
	if (!route) {
		ret->drop = ambiguous ? DROP_AMBIGUOUS : DROP_NO_ROUTE;
		return;
	}
	ret->network = table_network(t, slot)->id;
	ret->prefix = cut(destination, len);
	ret->router = route->routers[0];
	ret->drop = judge(r, ret);
}
