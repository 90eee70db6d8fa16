/*
 * A path: one way to a peer, with what is known of it. Today a peer has one in use;
 * several, chosen by flowlet, will be picked in route.c alone (SPEC section 11).
 */
#ifndef ROUTER_PATH_H
#define ROUTER_PATH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/packet.h"

/* How frames get to a peer. */
enum way_kind {
	WAY_UDP = 0, /* datagrams to `remote`, from `local` by the socket `link` */
	WAY_STREAM,  /* one after the other on the stream `stream`, which leads to `remote` */
	WAY_RELAY    /* inside queue frames, by the router `via` */
};

struct way {
	enum way_kind kind;
	struct endpoint remote;
	struct ip local; /* family 0: the kernel chooses */
	uint8_t link;	 /* which of the router's listening sockets */
	uint32_t stream; /* never 0, and never used again for another one */
	uint32_t via;	 /* router ID */
};

/* Whether two ways lead along the same path; exactly: from the same address of ours. */
bool way_same(const struct way *, const struct way *);
bool way_equal(const struct way *, const struct way *);
/* The way that an arrived packet came, seen from here. */
struct way packet_way(const struct packet *);
/* Whether it came this way: way_same with packet_way. */
static inline bool packet_came_by(const struct packet *p, const struct way *w)
{
	if (!(p->stream | p->via))
		return w->kind == WAY_UDP && w->link == p->link &&
		       endpoint_equal(&w->remote, &p->from);
	return p->via ? w->kind == WAY_RELAY && w->via == p->via
		      : w->kind == WAY_STREAM && w->stream == p->stream;
}

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
	/* What waits for it has grown: who understands marks is to be told. */
	_Atomic bool crowded;
};

/* Frames on streams are as large as needed for a host's packet to stay whole. */
#define PATH_STREAM_INNER 1500

/* Bytes of IP and UDP header in front of a frame in a datagram; by a relay, of the
 * largest kind, and of the queue frame; none on streams. */
static inline unsigned way_overhead(const struct way *w)
{
	if (w->kind == WAY_STREAM)
		return 0;
	if (w->kind == WAY_RELAY)
		return 40 + 8 + FRAME_OVERHEAD;
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
