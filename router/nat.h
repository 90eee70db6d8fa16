/*
 * What kind of NAT this site is behind, from how others see one UDP socket of ours.
 * Pure functions.
 */
#ifndef ROUTER_NAT_H
#define ROUTER_NAT_H

#include <stdbool.h>

#include "common/addr.h"

enum nat_kind {
	NAT_UNKNOWN, /* too few have said how they see it */
	NAT_NONE,    /* seen as it is */
	/* One mapping for all destinations (RFC 4787: endpoint-independent mapping):
	 * direct paths between sites are possible. */
	NAT_ENDPOINT_INDEPENDENT,
	/* Another mapping for another destination: queue routers carry what goes to others
	 * behind such a NAT, or behind port-restricted ones. */
	NAT_ADDRESS_AND_PORT_DEPENDENT,
	NAT_BLOCKED /* UDP does not get out at all */
};

/* One look from outside at the socket. */
struct nat_view {
	struct endpoint own;  /* its address and port here */
	struct endpoint seen; /* where its datagrams seemed to come from */
	struct endpoint by;   /* who saw it */
};

/* Of views of one family of addresses. Two views by the same endpoint are one. */
enum nat_kind nat_kind(const struct nat_view *, unsigned n);
/* "unknown", "none", "endpoint-independent", "address-and-port-dependent", "blocked" */
const char *nat_kind_name(enum nat_kind);

#endif
