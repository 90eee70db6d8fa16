/*
 * What the interface carries that datagrams to somewhere leave by.
 */
#ifndef ROUTER_FIRST_HOP_H
#define ROUTER_FIRST_HOP_H

#include "router/path.h"

/* MTU of that interface, 0 if it can't be told. Asks the kernel: for the control
 * thread. */
unsigned first_hop_mtu(const struct way *);

#endif
