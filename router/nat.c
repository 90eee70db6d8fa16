/*
 * The kind of a NAT, see nat.h.
 *
 * Whoever sees the socket as it is here tells at once that there is no NAT on the way to
 * it. That there is one is told by the first view too; of what kind, by two: a NAT that
 * maps by destination gives the second one another port. (One that happens to give the
 * same is taken for the better kind; that costs a probe in vain and no more.)
 */
#include "router/nat.h"

static bool is_translated(const struct nat_view *v)
{
	return !endpoint_equal(&v->seen, &v->own);
}

enum nat_kind nat_kind(const struct nat_view *v, unsigned n)
{
	const struct nat_view *first = NULL;
	unsigned others = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!is_translated(&v[i]))
			continue;
		if (!first)
			first = &v[i];
		else if (!endpoint_equal(&v[i].seen, &first->seen))
			return NAT_ADDRESS_AND_PORT_DEPENDENT;
		else if (!endpoint_equal(&v[i].by, &first->by))
			others++;
	}
	if (!first)
		return n ? NAT_NONE : NAT_UNKNOWN;
	return others ? NAT_ENDPOINT_INDEPENDENT : NAT_UNKNOWN;
}

const char *nat_kind_name(enum nat_kind kind)
{
	static const char *const names[] = {
		[NAT_UNKNOWN] = "unknown",
		[NAT_NONE] = "none",
		[NAT_ENDPOINT_INDEPENDENT] = "endpoint-independent",
		[NAT_ADDRESS_AND_PORT_DEPENDENT] = "address-and-port-dependent",
		[NAT_BLOCKED] = "blocked",
	};

	return names[kind];
}
