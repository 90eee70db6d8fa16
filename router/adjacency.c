/*
 * Routes, links and neighbours as one image, see adjacency.h.
 *
 *   1. Of each prefix one route counts: the one of the lowest metric. If there is one
 *      among them that the kernel alone can follow, or two are equally good, or it is a
 *      local one (an address of this machine, a broadcast), the prefix is the kernel's.
 *   2. A neighbour becomes a host route if the longest of these prefixes around it is
 *      on its own link. So the address of a host on one link, claimed on another one,
 *      leads nowhere.
 *   3. All of it goes into one longest-prefix table: a lookup per packet.
 *
 * The kernel asks its local table first, whatever the length of the prefixes in the
 * others; so what lies inside a local prefix is the kernel's as well.
 *
 * An adjacency without a next hop says at least which MTU a packet meets.
 */
#include "router/adjacency.h"

#include <stdlib.h>
#include <string.h>

#include "common/lpm.h"

#define KERNEL (LPM_NONE - 1) /* as an index: the kernel's to route */

struct adjacencies {
	struct lpm lpm;	      /* -> index into at */
	struct adjacency *at; /* those with a next hop first */
	size_t n, resolved;
};

struct build {
	struct link_row *links;
	struct neighbour_row *neighbours;
	struct route_row *routes; /* chosen: one of each prefix */
	size_t n_links, n_neighbours, n_routes;
	struct prefix *local; /* wider than a host */
	size_t n_local;
	struct lpm by_route; /* -> index into routes */
	struct lpm_entry *entries;
	size_t n_entries;
	struct adjacencies *a;
};

/* ---- rows -------------------------------------------------------------------- */

static int compare_u32(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_links(const void *a, const void *b)
{
	return compare_u32(((const struct link_row *)a)->ifindex,
			   ((const struct link_row *)b)->ifindex);
}

int neighbour_compare(const void *va, const void *vb)
{
	const struct neighbour_row *a = va, *b = vb;
	int c = compare_u32(a->ifindex, b->ifindex);

	return c ? c : memcmp(&a->ip, &b->ip, sizeof(a->ip));
}

static int compare_routes(const void *va, const void *vb)
{
	const struct route_row *a = va, *b = vb;
	int c = prefix_compare(&a->prefix, &b->prefix);

	return c ? c : compare_u32(a->metric, b->metric);
}

static const struct link_row *find_link(const struct build *b, uint32_t ifindex)
{
	struct link_row key = { .ifindex = ifindex };

	return ifindex ? bsearch(&key, b->links, b->n_links, sizeof(key), compare_links) : NULL;
}

static const struct neighbour_row *find_neighbour(const struct build *b, uint32_t ifindex,
						  const struct ip *ip)
{
	struct neighbour_row key = { .ip = *ip, .ifindex = ifindex };

	return bsearch(&key, b->neighbours, b->n_neighbours, sizeof(key), neighbour_compare);
}

/* ---- routes ------------------------------------------------------------------ */

static bool is_local(const struct build *b, const struct prefix *p)
{
	for (size_t i = 0; i < b->n_local; i++)
		if (prefix_covers(&b->local[i], p))
			return true;
	return false;
}

/* Leaves one route of each prefix, in place. Ascending order: what is best is first. */
static void choose_routes(struct build *b)
{
	size_t kept = 0;

	for (size_t i = 0, next; i < b->n_routes; i = next) {
		struct route_row best = b->routes[i];

		for (next = i;
		     next < b->n_routes && prefix_equal(&b->routes[next].prefix, &best.prefix);
		     next++) {
			const struct route_row *r = &b->routes[next];

			if (r->local || !r->ifindex || (next > i && r->metric == best.metric))
				best.ifindex = 0;
		}
		if (is_local(b, &best.prefix))
			best.ifindex = 0;
		b->routes[kept++] = best;
	}
	b->n_routes = kept;
}

static bool index_routes(struct build *b)
{
	for (size_t i = 0; i < b->n_routes; i++)
		if (b->routes[i].local &&
		    b->routes[i].prefix.len < ip_bits(&b->routes[i].prefix.ip))
			b->local[b->n_local++] = b->routes[i].prefix;
	choose_routes(b);
	for (size_t i = 0; i < b->n_routes; i++)
		b->entries[i] =
			(struct lpm_entry){ .prefix = b->routes[i].prefix, .value = (uint32_t)i };
	return lpm_init(&b->by_route, b->entries, b->n_routes);
}

/* ---- adjacencies --------------------------------------------------------------- */

static uint32_t add_adjacency(struct build *b, const struct link_row *link,
			      const struct neighbour_row *hop, uint32_t route_mtu)
{
	struct adjacency *a = &b->a->at[b->a->n];

	a->link = *link;
	a->mtu = route_mtu && route_mtu < link->mtu ? route_mtu : link->mtu;
	if (hop) {
		a->next_hop = hop->ip;
		a->fixed = hop->fixed;
		memcpy(a->mac, hop->mac, sizeof(a->mac));
	}
	return (uint32_t)b->a->n++;
}

static void add_entry(struct build *b, const struct prefix *prefix, uint32_t value)
{
	b->entries[b->n_entries++] = (struct lpm_entry){ .prefix = *prefix, .value = value };
}

/* Neighbours on the links that the routes lead to. */
static void add_hosts(struct build *b)
{
	for (size_t i = 0; i < b->n_neighbours; i++) {
		const struct neighbour_row *n = &b->neighbours[i];
		const struct prefix host = prefix_host(&n->ip);
		uint32_t at = lpm_lookup(&b->by_route, &n->ip, NULL);
		const struct route_row *r = at == LPM_NONE ? NULL : &b->routes[at];
		const struct link_row *link = r ? find_link(b, r->ifindex) : NULL;

		if (link && !r->via.family && r->ifindex == n->ifindex &&
		    !prefix_equal(&r->prefix, &host) && !is_local(b, &host))
			add_entry(b, &host, add_adjacency(b, link, n, r->mtu));
	}
}

/* Those with a known next hop, or the others. */
static void add_routes(struct build *b, bool known)
{
	for (size_t i = 0; i < b->n_routes; i++) {
		const struct route_row *r = &b->routes[i];
		const bool host = r->prefix.len == ip_bits(&r->prefix.ip);
		const struct link_row *link = find_link(b, r->ifindex);
		const struct ip *hop = r->via.family ? &r->via : host ? &r->prefix.ip : NULL;
		const struct neighbour_row *n =
			link && hop ? find_neighbour(b, r->ifindex, hop) : NULL;

		if (known != (n != NULL))
			continue;
		add_entry(b, &r->prefix, link ? add_adjacency(b, link, n, r->mtu) : KERNEL);
	}
}

static struct adjacencies *build(struct build *b)
{
	struct adjacencies *a = b->a;

	if (!index_routes(b))
		return NULL;
	add_hosts(b);
	add_routes(b, true);
	a->resolved = a->n;
	add_routes(b, false);
	return lpm_init(&a->lpm, b->entries, b->n_entries) ? a : NULL;
}

/* Doubles would be two entries of one prefix. */
static size_t drop_doubles(struct neighbour_row *at, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!kept || neighbour_compare(&at[kept - 1], &at[i]))
			at[kept++] = at[i];
	return kept;
}

/* NULL: out of memory; n may be 0. */
static void *sorted(const void *rows, size_t n, size_t size,
		    int (*compare)(const void *, const void *))
{
	void *copy = malloc(n * size + 1);

	if (!copy || !n)
		return copy;
	memcpy(copy, rows, n * size);
	qsort(copy, n, size, compare);
	return copy;
}

struct adjacencies *adjacencies_new(const struct link_row *links, size_t n_links,
				    const struct route_row *routes, size_t n_routes,
				    const struct neighbour_row *neighbours, size_t n_neighbours)
{
	const size_t n = n_routes + n_neighbours + 1;
	struct adjacencies *result = NULL;
	struct build b = {
		.links = sorted(links, n_links, sizeof(*links), compare_links),
		.routes = sorted(routes, n_routes, sizeof(*routes), compare_routes),
		.neighbours =
			sorted(neighbours, n_neighbours, sizeof(*neighbours), neighbour_compare),
		.n_links = n_links,
		.n_routes = n_routes,
		.local = calloc(n, sizeof(*b.local)),
		.entries = calloc(n, sizeof(*b.entries)),
		.a = calloc(1, sizeof(*b.a)),
	};

	if (b.a)
		b.a->at = calloc(n, sizeof(*b.a->at));
	if (b.links && b.routes && b.neighbours && b.local && b.entries && b.a && b.a->at) {
		b.n_neighbours = drop_doubles(b.neighbours, n_neighbours);
		result = build(&b);
	}
	if (!result)
		adjacencies_free(b.a);
	lpm_done(&b.by_route);
	free(b.entries);
	free(b.local);
	free(b.neighbours);
	free(b.routes);
	free(b.links);
	return result;
}

void adjacencies_free(struct adjacencies *a)
{
	if (!a)
		return;
	lpm_done(&a->lpm);
	free(a->at);
	free(a);
}

struct adjacency *adjacency_lookup(const struct adjacencies *a, const struct ip *ip)
{
	uint32_t i = a ? lpm_lookup(&a->lpm, ip, NULL) : LPM_NONE;

	return i < KERNEL ? &a->at[i] : NULL;
}

size_t adjacencies_count(const struct adjacencies *a)
{
	return a ? a->resolved : 0;
}

struct adjacency *adjacencies_at(const struct adjacencies *a, size_t i)
{
	return &a->at[i];
}
