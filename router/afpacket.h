/*
 * AF_PACKET rings: packets that a rule of the router's own (host_ingress.c) has
 * marked on their way in, and hidden from the kernel's IP.
 */
#ifndef ROUTER_AFPACKET_H
#define ROUTER_AFPACKET_H

#include "router/intercept.h"

/* Opens n interceptors that share the packets of a family (4 or 6) with this mark, on
 * whatever interface they came in; a flow stays with one of them. 0 or -errno, with
 * nothing left open. They are closed one by one; what has not been read by then is lost, and not counted. */
int afpacket_open(uint8_t family, uint32_t mark, unsigned n, struct intercept *ret[]);

#endif
