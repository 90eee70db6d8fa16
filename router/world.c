/*
 * Lookups in a router's view of the overlay.
 */
#include <urcu-qsbr.h>

#include "router/peer.h"

struct peer *world_peer(const struct world *v, uint32_t id)
{
	/* Fibonacci hashing: router IDs are often small and consecutive */
	for (uint32_t i = id * 2654435769u;; i++) {
		struct peer *p = v->peers[i & v->mask];

		if (!p || p->id == id)
			return p;
	}
}

bool world_owns(const struct world *v, const struct ip *ip)
{
	for (size_t i = 0; i < v->n_own; i++)
		if (ip_equal(&v->own[i], ip))
			return true;
	return false;
}

const struct network_alias *world_aliases(const struct world *v, uint32_t network, size_t *ret_n)
{
	size_t low = 0, high = v->n_aliases, n = 0;

	*ret_n = 0;
	if (!v->n_aliases)
		return NULL;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (v->aliases[mid].from->id < network)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < v->n_aliases && v->aliases[low + n].from->id == network)
		n++;
	*ret_n = n;
	return v->aliases + low;
}

static bool contains(const struct stopped *s, uint32_t network)
{
	uint32_t low = 0, high = s->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (s->networks[mid] == network)
			return true;
		if (s->networks[mid] < network)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

bool peer_is_stopped(const struct peer *p, uint32_t network)
{
	const struct stopped *s = rcu_dereference(p->stopped);

	return s && contains(s, network);
}
