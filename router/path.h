/*
 * A path: one 5-tuple to a peer. Today a peer has one; several, chosen by
 * flowlet, will be picked in path.c alone (SPEC section 11).
 */
#ifndef ROUTER_PATH_H
#define ROUTER_PATH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/packet.h"

/* Where datagrams of a path go and which of our addresses they leave from. */
struct way {
	struct endpoint remote;
	struct ip local; /* family 0: the kernel chooses */
	uint8_t link;	 /* which of the router's listening sockets */
};

/* Immutable but for the frame bound; published by pointer, freed after a grace
 * period. */
struct path {
	struct way way;
	uint16_t frame_hope; /* what the first hop carries: believed until probed */
	/* Largest frame (header and MAC included) that the path is known to
	 * carry in one datagram. */
	_Atomic uint16_t frame_max;
	/* Whether probing has come to a first result. Until then nobody is told
	 * that a packet is too big: it waits. */
	_Atomic bool settled;
};

/* Bytes of IP and UDP header in front of a frame. */
static inline unsigned way_overhead(const struct way *w)
{
	return (w->remote.ip.family == 6 ? 40 : 20) + 8;
}

/* Largest inner packet that fits the path. */
static inline uint32_t path_inner_mtu(struct path *p)
{
	return (uint32_t)atomic_load_explicit(&p->frame_max, memory_order_relaxed) - FRAME_OVERHEAD;
}

/* What TCP's MSS is lowered to: the same, or the best that can be hoped for while
 * it is not known (a segment that turns out too large is cut). */
static inline uint32_t path_clamp_mtu(struct path *p)
{
	return atomic_load_explicit(&p->settled, memory_order_relaxed)
		       ? path_inner_mtu(p)
		       : (uint32_t)p->frame_hope - FRAME_OVERHEAD;
}

#endif
