/*
 * See designate.h. Near is told by round trips that routers measure to those at the site of
 * the range: what is near to them is near to the VM. Where there are none, or it is at no
 * site, by those to all routers, since a router that is well connected is a good choice.
 */
#include "authority/designate.h"

#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "common/image.h"

static const double unknown_rtt = 1; /* s */

struct candidate {
	const struct router *router;
	unsigned tier;
	double cost;
	size_t tinies;
};

static bool is_site_of(const struct ranges *l, const struct range *range, const struct site *site)
{
	for (size_t i = 0; l && range && i < l->n; i++)
		if (l->at[i]->site && !strcmp(l->at[i]->provider, range->provider) &&
		    !strcmp(l->at[i]->site, site->object.name))
			return true;
	return false;
}

/* Low is good. The first ones are those that the range names. */
static unsigned tier_of(const struct ranges *l, const struct range *range, const struct router *r)
{
	size_t n = range ? range->n_routers : 0;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(range->routers[i], r->object.name))
			return (unsigned)i;
	if (range && range->site && !strcmp(range->site, r->site->object.name))
		return (unsigned)n + 1;
	return (unsigned)n + (is_site_of(l, range, r->site) ? 2 : 3);
}

static double rtt_of(const struct registry *registry, const struct monitor_router *m,
		     const char *site)
{
	double near = 0, all = 0;
	size_t n_near = 0, n_all = 0;

	for (uint32_t i = 0; m && i < m->n_links; i++) {
		const struct monitor_link *l = &m->links[i];
		const struct router *peer = registry_router_id(registry, l->peer);

		if (!l->up || l->rtt < 0 || !peer)
			continue;
		all += l->rtt;
		n_all++;
		if (!site || strcmp(peer->site->object.name, site))
			continue;
		near += l->rtt;
		n_near++;
	}
	return n_near ? near / (double)n_near : n_all ? all / (double)n_all : unknown_rtt;
}

/* Whether VMs can connect to it at all. */
static bool may_serve(const struct monitor *monitor, const struct router *r)
{
	const struct monitor_router *m = monitor_get(monitor, r->record.id);

	return router_carries(r) && !router_is_limited(r) && *r->record.key &&
	       image_endpoint_valid(r->record.endpoint) && !(m && m->state == MONITOR_SILENT);
}

static size_t count(const struct list *l)
{
	size_t n = 0;

	list_for_each(node, l)
		n++;
	return n;
}

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	if (x->cost < y->cost || x->cost > y->cost)
		return x->cost < y->cost ? -1 : 1;
	if (x->tinies != y->tinies)
		return x->tinies < y->tinies ? -1 : 1;
	return x->router->record.id < y->router->record.id ? -1 : 1;
}

/* Others of the best one's site come behind those that are named: they take its place if it
 * falls silent. Where that site would fill a tiny's list, the last place is another one's, so that
 * a whole site may go. */
static void order(struct candidate *all, size_t n, size_t named)
{
	const size_t last = RECORD_TINY_ROUTERS - 1;
	const struct site *site;
	struct candidate other;
	size_t i = 0;

	if (!n)
		return;
	qsort(all, n, sizeof(*all), compare);
	site = all[0].router->site;
	for (size_t k = 1; k < n; k++)
		if (all[k].tier >= named && all[k].router->site == site)
			all[k].tier = (unsigned)named;
	qsort(all + 1, n - 1, sizeof(*all), compare);
	while (i < n && all[i].router->site == site)
		i++;
	if (i == n || i <= last || all[last].tier < named)
		return;
	other = all[i];
	memmove(all + last + 1, all + last, (i - last) * sizeof(*all));
	all[last] = other;
}

size_t designate(const struct registry *registry, const struct monitor *monitor,
		 const struct ranges *ranges, const struct range *range,
		 const struct router *ret[static DESIGNATE_MOST])
{
	struct candidate *all = mem_new(registry_count(registry, RECORD_ROUTER), sizeof(*all));
	const struct router *r;
	size_t n = 0, place = 0;

	while ((r = registry_each(registry, RECORD_ROUTER, &place))) {
		const struct monitor_router *m = monitor_get(monitor, r->record.id);
		double load = m && m->load > 0 ? m->load : 0;

		if (!may_serve(monitor, r))
			continue;
		/* Of many workers each has its share. */
		if (m && m->workers > 1)
			load /= (double)m->workers;
		all[n++] = (struct candidate){ r, tier_of(ranges, range, r),
					       (1 + load) * rtt_of(registry, m,
								   range ? range->site : NULL),
					       count(&r->tinies) };
	}
	order(all, n, range ? range->n_routers : 0);
	n = n < DESIGNATE_MOST ? n : DESIGNATE_MOST;
	for (size_t i = 0; i < n; i++)
		ret[i] = all[i].router;
	free(all);
	return n;
}
