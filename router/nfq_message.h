/*
 * What the kernel and an NFQUEUE reader say to each other: a packet that is queued,
 * and what shall become of it. Bytes in, a struct out, and the other way round.
 */
#ifndef ROUTER_NFQ_MESSAGE_H
#define ROUTER_NFQ_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A packet in a queue. */
struct nfq_message {
	uint16_t queue;
	uint32_t id;	  /* counts the queue's packets, those too that found no room with us */
	uint8_t *payload; /* from its IP header on, inside the message */
	uint32_t len;
	bool whole;	   /* all of the packet is there */
	bool super;	   /* it stands for several segments */
	bool csum_partial; /* its transport checksum is unfinished, in its usual place */
};

/* Reads a message of len bytes. False: it is no packet, or does not say which. */
bool nfq_message_parse(uint8_t *data, size_t len, struct nfq_message *ret);

/* Verdicts, written one behind the other and sent together. */
#define NFQ_VERDICT_ROOM 256
struct nfq_verdicts {
	_Alignas(4) char buf[NFQ_VERDICT_ROOM]; /* of six */
	size_t len;
};

/* Drops everything in the queue up to this packet. */
void nfq_drop_until(struct nfq_verdicts *, uint16_t queue, uint32_t id);
/* Moves this packet to another queue. */
void nfq_move(struct nfq_verdicts *, uint16_t queue, uint32_t id, uint16_t to);

#endif
