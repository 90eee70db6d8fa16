/*
 * What a router tells its authority of itself every few seconds: figures that it has anyway,
 * none that costs a frame.
 */
#ifndef ROUTER_HEARTBEAT_H
#define ROUTER_HEARTBEAT_H

#include "common/clock.h"
#include "common/feed.h"

struct router;

/* JSON, heap; NULL: out of memory.
 *   version "G.N" of the tables in force, uptime, load (of the machine, one minute), rss
 *   (bytes), workers, packets and bytes {in, out}, drops, udp_listen: [addresses],
 *   peers: [{id, up, rtt, lost, tx_bytes, rx_bytes, way}], the first HEARTBEAT_PEERS of them
 *   tinies: [{id, up, endpoint, moved, twice}], which are no peers here (tinies.h)
 * Seconds; counters since the router has started. What isn't known isn't there. More peers
 * than HEARTBEAT_FEW are there only if `all` of them are asked for, which should be once in
 * HEARTBEAT_ALL: they are most of the bytes, and of what the authority has to do. */
#define HEARTBEAT_PEERS 1000
#define HEARTBEAT_FEW 16
#define HEARTBEAT_ALL 6 /* heartbeats */
char *heartbeat_body(struct router *, struct version, bool all, mono_t now);

#endif
