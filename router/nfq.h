/*
 * NFQUEUE: Netfilter hands packets that would leave by the device to a queue
 * number per worker; the rule is in host_rules.
 */
#ifndef ROUTER_NFQ_H
#define ROUTER_NFQ_H

#include <stdint.h>

#include "router/intercept.h"

/* Binds queue number `queue` (both families, whole packets). NULL with errno. */
struct intercept *nfqueue_open(uint16_t queue);

#endif
