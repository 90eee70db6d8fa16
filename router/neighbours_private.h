/*
 * What neighbours.c and neighbours_parse.c share; nobody else includes it.
 */
#ifndef ROUTER_NEIGHBOURS_PRIVATE_H
#define ROUTER_NEIGHBOURS_PRIVATE_H

#include <net/if.h>

#include <libmnl/libmnl.h>

#include "router/neighbours.h"

/* Whether an interface is one that Ethernet frames can be given to. False with ifindex
 * 0: the message is not about that. Which super-packets it takes is not in there. */
bool neighbours_parse_link(const struct nlmsghdr *, struct link_row *ret,
			   char ret_name[static IF_NAMESIZE]);
/* False: of no concern, whatever the site. */
bool neighbours_parse_route(const struct nlmsghdr *, struct route_row *ret);
/* False: of no concern. *ret_known: it is there, and the kernel believes it. */
bool neighbours_parse_neighbour(const struct nlmsghdr *, struct neighbour_row *ret,
				bool *ret_known);
/* Whether it is a routing rule of the site's own, and for which family. */
bool neighbours_parse_rule(const struct nlmsghdr *, uint8_t *ret_family);

/* Asks, by any socket, which super-packets an interface takes whole. What it would have
 * to cut in software is lost on the way past its queueing discipline. Nothing learned:
 * it takes none. */
void neighbours_find_offloads(int fd, const char *name, struct link_row *);

#endif
