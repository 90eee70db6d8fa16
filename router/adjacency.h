/*
 * How a packet leaves for one of the site's hosts: interface, addresses of the
 * Ethernet header, MTU, by the host's address. One immutable image of the machine's
 * routes, links and neighbours, for the way past the kernel's routing.
 *
 * Built by the control thread (neighbours.c has the rows), published in the world,
 * read by workers without locks. What it has no answer for is the kernel's to route.
 */
#ifndef ROUTER_ADJACENCY_H
#define ROUTER_ADJACENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/clock.h"

#define ETHERNET_ADDRESS 6
#define ETHERNET_HEADER 14

/* An Ethernet interface that is up. */
struct link_row {
	uint32_t ifindex;
	uint32_t mtu; /* bytes of a packet */
	uint8_t mac[ETHERNET_ADDRESS];
	/* super-packets that it takes whole: of which kinds, and how large at most */
	bool tcp, udp;
	uint32_t gso_bytes, gso_segments;
};

/* A route; all of a prefix are looked at together. */
struct route_row {
	struct prefix prefix;
	struct ip via;	  /* next hop; family 0: on the link */
	uint32_t ifindex; /* 0: one that only the kernel can follow (of several hops, say) */
	uint32_t metric;
	uint32_t mtu; /* of the route; 0: the link's */
	bool local;   /* of the table that is asked before all others */
};

/* A host or router whose address the kernel knows and believes. */
struct neighbour_row {
	struct ip ip;
	uint32_t ifindex;
	uint8_t mac[ETHERNET_ADDRESS];
	bool fixed;   /* somebody's setting: the kernel does not check it */
	mono_t asked; /* when it was last probed, for who looks after it */
};

/* By link and address. */
int neighbour_compare(const void *, const void *);

struct adjacency {
	struct link_row link;
	struct ip next_hop; /* family 0: whose MAC is not known */
	uint32_t mtu;	    /* of packets, by link and route; 0: not known */
	uint8_t mac[ETHERNET_ADDRESS];
	bool fixed;
	_Atomic bool used; /* set by workers, cleared by who looks after neighbours */
};

struct adjacencies;

/* From rows in any order; what goes by a link that is not among them is left to the
 * kernel. NULL: out of memory. */
struct adjacencies *adjacencies_new(const struct link_row *, size_t n_links,
				    const struct route_row *, size_t n_routes,
				    const struct neighbour_row *, size_t n_neighbours);
void adjacencies_free(struct adjacencies *); /* NULL is fine */

/* The one for this destination, as long as the image lives; NULL: none is known. Of an
 * adjacency only `used` may be changed. */
struct adjacency *adjacency_lookup(const struct adjacencies *, const struct ip *);

/* All with a next hop: how many, and the i-th. */
size_t adjacencies_count(const struct adjacencies *);
struct adjacency *adjacencies_at(const struct adjacencies *, size_t i);

#endif
