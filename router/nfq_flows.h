/*
 * What segments the super-packets of a TCP flow are made of, as far as it is known:
 * a table with a bound, of one worker.
 */
#ifndef ROUTER_NFQ_FLOWS_H
#define ROUTER_NFQ_FLOWS_H

#include "common/packet.h"

#define NFQ_FLOWS 1024 /* a power of two */

struct nfq_flow {
	struct ip src, dst; /* family 0: free */
	uint8_t ports[4];
	uint16_t size;	/* payload of a segment, as the kernel has shown it */
	uint16_t pause; /* odd lengths to pass over before one is asked about again */
	uint16_t left;	/* ... still */
	uint32_t next;	/* behind the last super-packet */
};

struct nfq_flows {
	struct nfq_flow flow[NFQ_FLOWS];
};

/* The payload of this super-packet's segments; 0: the kernel must be asked. inet and
 * flow of the packet are set. */
uint16_t nfq_flows_size(struct nfq_flows *, const struct packet *);
/* The kernel's answer: a segment that is not its super-packet's last one. */
void nfq_flows_learn(struct nfq_flows *, const struct packet *);

#endif
