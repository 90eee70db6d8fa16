/*
 * A packet on its way, a batch of them, and the fixed pool they come from.
 *
 * The bytes live in one buffer with headroom, so that a frame header goes in
 * front without a copy; what the stages learn of a packet is written beside it.
 * A packet has one owner at a time: pool -> batch -> pool. What arrived merged is
 * not copied apart: packets can be views into one buffer, which goes back last.
 */
#ifndef COMMON_PACKET_H
#define COMMON_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/clock.h"
#include "common/wire.h"

struct adjacency; /* router/adjacency.h */
struct route;
struct netset;
struct network; /* router/peer.h */
struct peer;
struct path;

#define PACKET_HEADROOM 128 /* frame header, a queue frame around it, room to spare */
#define PACKET_TAILROOM 64  /* MACs */
#define PACKET_ROOM 65600   /* payload: a super-packet, the longest that IP can say */
#define PACKET_SINGLE 9216  /* the largest that travels as one: a jumbo frame */
#define BATCH_MAX 64

/* What inet_parse found; offsets are from packet->data. */
struct inet_info {
	struct ip src, dst;
	uint16_t l4;   /* offset of the transport header */
	uint8_t proto; /* transport protocol, 255 if it can't be told */
	uint8_t tos;   /* DSCP and ECN */
	uint8_t ttl;
	bool fragment;	    /* not the first fragment: no transport header here */
	bool more;	    /* first fragment of several */
	bool dont_fragment; /* DF, or IPv6 */
};

struct packet {
	uint8_t *data; /* first byte in use */
	uint32_t len;

	/* inner packet, after inet_parse */
	struct inet_info inet;
	uint32_t flow; /* hash of the inner 5-tuple */

	/* super-packets: 0 for a single one */
	uint16_t gso_size;   /* payload of a segment */
	uint16_t gso_header; /* headers in front of it */
	uint8_t gso_type;    /* VIRTIO_NET_HDR_GSO_... */
	bool csum_partial;   /* transport checksum still to be finished */
	uint16_t csum_start; /* as the kernel says it, until examined: from where; 0: as usual */
	uint16_t csum_check; /* ... and where the checksum is from there */
	uint32_t cut;	     /* bytes of payload that are on their way already */

	bool unrouted; /* taken before the kernel routed it: one hop is still to count */

	/* outbound, and inbound once it is open */
	const struct netset *nets; /* classify */
	const struct route *route; /* route */
	struct network *network;
	uint32_t slot;	   /* of the network in this turn's table */
	struct peer *peer; /* the router it goes to or came from */
	struct path *path;
	mono_t since; /* when it first had to wait, {0} if never */

	/* inbound: how it leaves for the host; NULL: the kernel's to know */
	struct adjacency *adjacency;

	/* inbound: how the frame arrived */
	struct frame_header frame;
	struct endpoint from; /* whence */
	struct ip to;	      /* which address of ours */
	uint8_t outer_tos;
	uint8_t link;	 /* which listening socket took it */
	bool whole;	 /* not to be fragmented, whatever its size: it measures the path */
	uint32_t stream; /* on which it came instead, 0: none */
	uint32_t via;	 /* the router that relayed it, 0: none */

	struct packet *next;   /* in the pool's free list */
	struct packet *parent; /* in whose buffer its bytes lie; NULL: its own */
	uint32_t refs;	       /* its owner, and the views of its buffer */
	bool large;	       /* one of those kept for super-packets */
	uint8_t *buffer;       /* PACKET_HEADROOM + PACKET_ROOM + PACKET_TAILROOM bytes */
};

struct batch {
	unsigned n;
	struct packet *p[BATCH_MAX];
};

struct pool;

/* A pool of n packets; NULL when memory is out. Belongs to one thread. */
struct pool *pool_new(size_t n);
/* All packets must be back. */
void pool_free(struct pool *);
/* A packet with clean metadata, data at the headroom's end, len 0; NULL when
 * the pool is empty (the caller counts it). */
struct packet *pool_get(struct pool *);
/* The same, for what may be a super-packet: always the same few, so that the others'
 * buffers stay as small in memory as single packets are. */
struct packet *pool_get_large(struct pool *);
/* A packet whose bytes are these of another one, which stays out of the pool until
 * all its views are back; NULL when the pool is empty. */
struct packet *pool_view(struct pool *, struct packet *of, uint8_t *data, uint32_t len);
/* A packet of this pool with the same bytes and metadata as one of any pool; NULL when
 * the pool is empty. */
struct packet *pool_copy(struct pool *, const struct packet *);
void pool_put(struct pool *, struct packet *);
size_t pool_left(const struct pool *);
size_t pool_size(const struct pool *);

static inline uint8_t *packet_start(const struct packet *p)
{
	return p->buffer + PACKET_HEADROOM;
}

/* Bytes that fit behind data; not for views. */
static inline size_t packet_room(const struct packet *p)
{
	return (size_t)(p->buffer + PACKET_HEADROOM + PACKET_ROOM + PACKET_TAILROOM - p->data);
}

/* Takes n bytes of headroom (n bytes off the front). The caller knows there are so many. */
static inline uint8_t *packet_push(struct packet *p, size_t n)
{
	p->data -= n;
	p->len += (uint32_t)n;
	return p->data;
}

static inline void packet_pull(struct packet *p, size_t n)
{
	p->data += n;
	p->len -= (uint32_t)n;
}

static inline void batch_add(struct batch *b, struct packet *p)
{
	b->p[b->n++] = p;
}

#endif
