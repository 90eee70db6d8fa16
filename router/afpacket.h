/*
 * AF_PACKET rings: packets that a rule of the router's own (host_ingress.c) has
 * marked on their way in, and hidden from the kernel's IP.
 */
#ifndef ROUTER_AFPACKET_H
#define ROUTER_AFPACKET_H

#include "router/intercept.h"

/* Opens an interceptor for packets of a family (4 or 6) with this mark, whatever
 * interface they came in by. `fellow` is one of those that it shares them with, NULL:
 * there is none yet. NULL with errno. When it is closed, what has not been read is
 * lost, and not counted. */
struct intercept *afpacket_open(uint8_t family, uint32_t mark, const struct intercept *fellow);

/* Packets go evenly to the first n that were opened of those that share them; a flow
 * stays with one. Before it is first said so they go to the very first. 0 or -errno. */
int afpacket_share(struct intercept *any, unsigned n);

#endif
