/*
 * What the files of host share: host.c (device, addresses), host_routes.c,
 * host_interfaces.c (the site's), host_rules.c and host_ingress.c (the Netfilter
 * tables, written by host_nft.c), host_diagnose.c (what else is set up here).
 */
#ifndef ROUTER_HOST_PRIVATE_H
#define ROUTER_HOST_PRIVATE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "router/host.h"
#include "router/netlink.h"

/* Marks our routes (the numbers above 4 are free to use; see rt_protos). */
#define HOST_PROTOCOL 118
#define HOST_UNREACHABLE_METRIC 4096
#define HOST_IPV6_METRIC 1024 /* what the kernel makes of 0 (IP6_RT_PRIO_USER) */
#define HOST_TABLE_PREFIX "vine-"

/* A route of the main table as far as it matters here. */
struct host_route {
	struct prefix prefix;
	struct ip source; /* preferred source; family 0: none */
	uint32_t oif;	  /* 0: none, or several next hops */
	uint32_t metric;
	uint8_t type;	  /* RTN_... */
	uint8_t protocol; /* RTPROT_... */
	uint8_t tos;
};

struct host_routes {
	struct host_route *at;
	size_t n, room;
};

struct host {
	struct netlink route;
	struct netlink filter;	      /* owns the tables: they go with this socket */
	struct host_routes installed; /* by this process */
	char device[IF_NAMESIZE];     /* "" until host_apply */
	char table[sizeof(HOST_TABLE_PREFIX) + IF_NAMESIZE]; /* "": no rules there */
	char ingress[sizeof(HOST_TABLE_PREFIX) + IF_NAMESIZE];
	bool taking; /* the table at ingress is there */
};

/* Adds to *list the main table's routes for exactly the setup's networks;
 * protocol 0: of any. A machine may have a million others. */
int host_routes_read(struct host *, const struct host_setup *, uint8_t protocol,
		     struct host_routes *list);
void host_routes_done(struct host_routes *);
/* Routes as the setup wants them. 0 or -errno with what failed. */
int host_routes_apply(struct host *, const struct host_setup *, uint32_t ifindex,
		      const char **ret_what);
/* All of this process's away, the unreachable ones last. */
void host_routes_remove(struct host *);

static inline struct ip host_attr_ip(const struct nlattr *a, uint8_t family)
{
	const size_t size = family == 6 ? 16 : 4;
	const uint8_t *b = mnl_attr_get_payload(a);

	if (mnl_attr_get_payload_len(a) < size)
		return (struct ip){ .family = 0 };
	return family == 6 ? ip_from_v6(b) : ip_from_v4(b);
}

#endif
