/*
 * Everything that is counted, as lists: one line makes the enum, the name in
 * vinectl and in the metrics, and the text.
 *
 * Counters are per thread and written by that thread alone; readers add them up.
 */
#ifndef COMMON_COUNTERS_H
#define COMMON_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Why a packet or frame went no further. X(name, "label", "text") */
#define DROP_LIST(X) \
	/* from the site */ \
	X(QUEUE_FULL, "queue-full", "the kernel's queue to the router was full") \
	X(MALFORMED, "malformed", "not a whole, well-formed IP packet") \
	X(UNKNOWN_SOURCE, "unknown-source", "source address is in no network here") \
	X(NO_ROUTE, "no-route", "destination is in no table of the source's networks") \
	X(AMBIGUOUS, "ambiguous", "two networks of the source route it equally well") \
	X(OWN_SITE, "own-site", "destination is at this site: not the overlay's to carry") \
	X(NO_PEER, "no-peer", "the router that delivers it is not configured here") \
	X(DISABLED, "network-stopped", "its network is stopped with that peer") \
	X(TOO_BIG, "too-big", "larger than the path carries; its sender was told") \
	X(NO_KEY, "no-key", "no keys with the peer in time") \
	X(NO_WAY, "no-way", "no way to the peer is known") \
	X(HOLD_FULL, "hold-full", "too many packets already wait for keys") \
	X(NO_BUFFER, "no-buffer", "packet buffers are used up") \
	X(RING_FULL, "ring-full", "came faster than the ring was emptied") \
	X(SEND, "send-failed", "the kernel did not take the datagram") \
	X(MAILBOX_FULL, "mailbox-full", "the worker that writes to its stream is too busy") \
	X(WAIT_FULL, "frames-full", "pushed out of its queue by younger frames") \
	X(WAIT_OLD, "frames-old", "waited too long in its queue") \
	/* from the wire */ \
	X(SHORT, "short", "frame shorter than it says or than a header") \
	X(LONG, "long", "frame longer than it says") \
	X(VERSION, "unknown-type", "unknown version or type of frame") \
	X(STATE, "bad-state", "reserved or contradictory state bits") \
	X(NOT_FOR_US, "not-for-us", "another router is the destination") \
	X(UNKNOWN_ROUTER, "unknown-router", "source router is not configured") \
	X(UNKNOWN_KEY, "unknown-key", "no keys of that epoch with the peer") \
	X(BAD_LANE, "bad-lane", "a lane that the peer did not announce") \
	X(REPLAY, "replay", "sequence seen before or too old") \
	X(BAD_MAC, "bad-mac", "MAC or tag is wrong") \
	X(UNPROTECTED, "unprotected", "less protected than the network demands") \
	X(UNKNOWN_NETWORK, "unknown-network", "this router has no part in that network") \
	X(FORGED_SOURCE, "forged-source", "inner source is not behind the sending router") \
	X(NOT_MEMBER, "not-member", "inner destination is no member here") \
	X(TRANSIT, "no-transit", "the sender may not send on through this router") \
	X(LOOP, "loop", "would go back to where it came from") \
	X(TTL, "ttl-exceeded", "time to live has run out") \
	X(ECN, "congestion", "marked as congested, and its sender can't be told by a mark") \
	X(NOT_RELAY, "not-a-relay", "one of its ends may not use this router as queue router") \
	X(BAD_INNER, "bad-queued", "queue frame that does not hold exactly one frame") \
	X(CONTROL_FULL, "control-full", "control thread is too busy") \
	X(HELLO_FULL, "hellos-full", "more peers want keys than there is time for") \
	X(HANDSHAKE, "bad-handshake", "handshake frame that fits no handshake") \
	X(INJECT, "inject-failed", "the kernel did not take the packet")

enum drop {
#define X(name, label, text) DROP_##name,
	DROP_LIST(X)
#undef X
		DROPS
};
const char *drop_label(enum drop);
const char *drop_text(enum drop);

/* Things that happen. X(name, "metric", "text"); metric: vine_<metric>_total */
#define EVENT_LIST(X) \
	X(HANDSHAKES, "handshakes", "Handshakes completed") \
	X(HANDSHAKES_FAILED, "handshake_failures", "Handshakes given up") \
	X(REKEYS, "rekeys", "Keys replaced while in use") \
	X(COOKIES, "handshake_cookies", "Cookies sent to would-be clients") \
	X(RELOADS, "reloads", "Configurations applied") \
	X(RELOADS_FAILED, "reload_failures", "Configurations refused") \
	X(TABLES, "tables_applied", "Tables of the authority put in force") \
	X(TABLES_REFUSED, "tables_refused", "Tables of the authority refused") \
	X(TABLES_UNSTORED, "tables_not_stored", "Tables that could not be written to disk") \
	X(ICMP_SENT, "icmp_errors_sent", "ICMP errors made for hosts") \
	X(ICMP_LIMITED, "icmp_errors_suppressed", "ICMP errors withheld by their rate limit") \
	X(MSS_CLAMPED, "mss_clamped", "TCP handshakes whose MSS was lowered") \
	X(SEGMENTS_CUT, "packets_cut", "Packets cut to fit a path") \
	X(SUPER_CUT, "super_packets_cut", "Super-packets that the kernel was made to cut") \
	X(HELD, "packets_held", "Packets that waited for keys") \
	X(RAW, "packets_by_raw_socket", \
	  "Packets that inject = packet left to the kernel's routing") \
	X(ROAMS, "endpoint_changes", "Peers followed to a new address, or to another way") \
	X(RELAY_CHANGES, "queue_router_changes", \
	  "Peers reached by another queue router than before")

enum event {
#define X(name, metric, text) EVENT_##name,
	EVENT_LIST(X)
#undef X
		EVENTS
};
const char *event_metric(enum event);
const char *event_text(enum event);

/* A counter with one writer: plain add, readable from any thread. */
typedef struct {
	_Atomic uint64_t n;
} counter_t;

static inline void counter_add(counter_t *c, uint64_t n)
{
	atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint64_t counter_read(const counter_t *c)
{
	return atomic_load_explicit(&((counter_t *)c)->n, memory_order_relaxed);
}

/* Packets and bytes of one kind. Bytes are those of the inner packets. */
struct traffic {
	counter_t packets, bytes;
};

enum direction { OUT = 0, IN = 1 }; /* out: from the site into the overlay */

/* One thread's counters. */
struct counters {
	struct traffic traffic[2]; /* by enum direction */
	counter_t drops[DROPS];
	counter_t events[EVENTS];
	/* Every packet is accounted for:
	 * intercepted + received + made = sent + injected + consumed + drops + held */
	counter_t intercepted, received; /* packets and frames that came in */
	/* By the router: ICMP errors, pieces of a cut packet; or taken over, still waiting,
	 * from a worker that ended. */
	counter_t made;
	counter_t sent, injected; /* that went out */
	/* Meant for the router itself, replaced by their pieces, or handed over. */
	counter_t consumed;
};

#endif
