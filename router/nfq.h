/*
 * NFQUEUE: Netfilter hands packets that would leave by the device to queues, those of
 * each worker; the rules are in host_rules.
 */
#ifndef ROUTER_NFQ_H
#define ROUTER_NFQ_H

#include <stdint.h>

#include "router/intercept.h"

/* A worker has one number of each range, which are as long as there may be workers, so
 * that none moves when their number changes: TCP, whole; the rest, packet by packet;
 * and one for itself, to which it sends what the kernel shall cut. */
#define NFQUEUE_RANGE 32 /* numbers */
enum { NFQUEUE_TCP = 0, NFQUEUE_REST = NFQUEUE_RANGE, NFQUEUE_CUT = 2 * NFQUEUE_RANGE };
#define NFQUEUE_FIRST_MAX (65536 - 3 * NFQUEUE_RANGE)

/* Binds `number` and its fellows in the other ranges (both families). NULL with errno. */
struct intercept *nfqueue_open(uint16_t number);

#endif
