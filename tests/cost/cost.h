/*
 * What the fast path costs, in numbers that are the same each time: what the parts of
 * the program "cost" share. See cost.c.
 */
#ifndef TESTS_COST_COST_H
#define TESTS_COST_COST_H

#include <linux/virtio_net.h>

#include "tests/sim/net.h"

/* A packet as the kernel would hand it out. */
struct offered {
	struct virtio_net_hdr words;
	size_t len;
	uint8_t data[NET_PACKET];
};

/* Two sites that are up, and packets of hosts from one to the other. */
struct course {
	struct net *net;
	struct worker *from, *to; /* the only ones of sites 1 and 2 */
	struct offered *packets;
	unsigned n;
	unsigned segments; /* that they stand for */
};

enum way_of { OUTBOUND, INBOUND };

#define CASES 9
/* "single-64 none", and so on. */
const char *case_name(unsigned number);
struct course *course_new(unsigned number);
void course_free(struct course *);
/* What one of its workers reads: its device, or its socket. */
struct port *course_port(const struct worker *, bool device);

/* twins.c: on twins. Prints what is copied and cleared for each packet; valgrind's
 * callgrind writes how many instructions it took. */
void measure_twins(unsigned number);
/* kernel.c: on a TUN device and UDP sockets, in a network namespace of its own. Prints
 * how many system calls all took, or, run by valgrind, what is copied for each packet;
 * false: not permitted, or not possible, here. */
bool measure_kernel(void);

/* stubs.c: from now on frames are sealed and opened without any work. */
extern bool crypto_is_stubbed;
/* Bytes copied and cleared by calls since the last time this was asked. */
struct moved {
	uint64_t copied, cleared;
};
struct moved moved_bytes(void);
/* Between these, what is copied is counted and so are instructions: the router's own. */
void own_begin(void);
void own_end(void);

#endif
