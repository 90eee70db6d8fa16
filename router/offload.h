/*
 * Super-packets: which the kernel has; what it says of one that it hands out, and
 * segments put together again for it. Pure functions over packets.
 */
#ifndef ROUTER_OFFLOAD_H
#define ROUTER_OFFLOAD_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "common/packet.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* What the kernel may take over; found out when a device, queue or socket is opened.
 * X(name, "key in vinectl show config") */
#define OFFLOAD_LIST(X) \
	/* the device: checksums left partial, super-packets of TCP and UDP */ \
	X(TUN_CSUM, "tun_csum") \
	X(TUN_TSO4, "tun_tso4") \
	X(TUN_TSO6, "tun_tso6") \
	X(TUN_USO4, "tun_uso4") \
	X(TUN_USO6, "tun_uso6") \
	/* its queues are chosen by our own program */ \
	X(TUN_STEERING, "tun_steering") \
	/* NFQUEUE: super-packets of TCP */ \
	X(NFQUEUE_GSO, "nfqueue_gso") \
	/* sockets: frames leave together, frames arrive together */ \
	X(UDP_SEGMENT, "udp_segment") \
	X(UDP_GRO, "udp_gro")

enum offload {
#define X(name, key) OFFLOAD_##name,
	OFFLOAD_LIST(X)
#undef X
		OFFLOADS
};
#define OFFLOAD_BIT(name) (1U << OFFLOAD_##name)

/* The kernel's words of a packet, as they stand in front of it. */
#define OFFLOAD_HEADER sizeof(struct virtio_net_hdr)
void offload_read(struct packet *, const struct virtio_net_hdr *);

/* Whether these words and the packet, which has been parsed, agree; completes
 * gso_header, and finishes a checksum that could not be left partial on our way. */
bool offload_check(struct packet *);

/* Packets of a batch that may go to the kernel as one: indexes, in order. */
struct run {
	uint8_t n;
	uint8_t first, last;
	bool closed;   /* nothing may follow */
	uint16_t size; /* payload of each but the last */
	uint32_t len;  /* all in all, headers once */
};

struct runs {
	unsigned n;
	struct run run[BATCH_MAX];  /* of one flow: in their order */
	uint8_t next[BATCH_MAX];    /* packet behind this one in its run */
	uint16_t header[BATCH_MAX]; /* of each packet; 0: it goes alone */
};

/* Sorts a batch into runs: (tcp) consecutive segments of a flow, (udp) datagrams of
 * one size, which would come out of the kernel's cutting as they are. What came with a
 * full checksum is only put together after that has been checked. */
void offload_runs(struct runs *, const struct batch *, bool tcp, bool udp);

#define OFFLOAD_HEADERS_MAX 112 /* of IP and TCP */
#define OFFLOAD_LINK_MAX 14	/* a link's header, where the kernel takes whole frames */

/* A run as the kernel takes it, behind this link header; its packets stay as they are. */
struct gathered {
	uint8_t head[OFFLOAD_HEADER + OFFLOAD_LINK_MAX + OFFLOAD_HEADERS_MAX];
	struct iovec iov[BATCH_MAX + 1];
	unsigned n;
};
void offload_gather(struct gathered *, const struct batch *, const struct runs *,
		    const struct run *, const void *link, size_t link_len);

/* The words in front of a packet that goes alone, behind so many bytes of a link header;
 * its checksum may be partial. */
void offload_write(struct virtio_net_hdr *, struct packet *, size_t link_len);

#endif
