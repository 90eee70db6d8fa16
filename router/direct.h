/*
 * Direct paths between two routers that reach each other by a queue router (SPEC section 5).
 *
 * Each learns from its queue routers how its UDP socket is seen from outside, and tells the
 * other, by the queue router, that and its own addresses: its candidates. Then both send
 * questions to all of the other's candidates at about the same time, and so open their NATs
 * to each other. The first authentic answer makes the path (ways.c). It works where a NAT
 * keeps the port whatever the destination is.
 *
 * A router asks for this when it comes to be reached by a queue router, now and then from
 * then on (reach.h), and when a direct path falls silent: then the NAT has perhaps given it
 * another port, which a new round finds before the path is given up.
 *
 * Nobody is made to shoot at others: candidates come from an authenticated peer alone, in
 * messages of bounded number; at most CANDIDATES_MAX are asked, each five times a second
 * for three seconds; none that is multicast, local to a machine or a link, this router's
 * own, or an overlay's.
 *
 * Belongs to the control thread.
 */
#ifndef ROUTER_DIRECT_H
#define ROUTER_DIRECT_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/wire.h"
#include "router/path.h"
#include "router/peer.h"

struct contact;
struct router;

/* Of a contact that is reached by queue routers. */
struct direct {
	struct timer timer;
	enum {
		DIRECT_IDLE,
		DIRECT_OBSERVING, /* this router's own candidates are not known yet */
		DIRECT_WAITING	  /* for the peer's */
	} state;
	bool owed;	     /* it wants to know this router's */
	mono_t begun, asked; /* this round; the last message of it */
	mono_t repaired;
	struct budget received;
	struct candidates theirs; /* those that may be asked */
};

/* Of a contact that is a queue router: how it sees this router. */
struct observer {
	uint32_t serial; /* of the round */
	unsigned asked;	 /* bits: by IPv4, by IPv6 */
	uint64_t token[2];
	struct endpoint seen[2]; /* IPv4, IPv6; port 0: not known */
};

/* Of a router: a round of such questions. */
struct observing {
	struct timer timer;
	uint32_t serial;
	bool on;
	mono_t begun, asked, done;
};

void direct_init(struct contact *);
void direct_stop(struct contact *);
/* Whether the configuration lets it be tried. */
bool direct_is_possible(const struct contact *);
/* Asks the peer for its candidates, in due course: false if there is no way to. What comes of
 * it is told by ways_candidates or ways_no_candidates. */
bool direct_ask(struct contact *, mono_t now);
/* The peer is up. */
void direct_start(struct contact *, mono_t now);
/* Nothing is heard on the direct path. */
void direct_repair(struct contact *, mono_t now);
/* This queue router is reached by another path: what was offered by it is perhaps lost. */
void direct_relay_moved(const struct contact *relay, mono_t now);
/* OBSERVE, OBSERVED, CANDIDATES. */
void direct_recv(struct contact *, const struct control_message *, const struct way *, mono_t now);

/* The i-th of the ways that the peer has named; false: there are no more. */
bool direct_way(const struct contact *, unsigned i, struct way *ret);
/* Whether this way is one of them. */
bool direct_knows(const struct contact *, const struct way *);
/* What is known about why there is no direct path; or NULL. */
const char *direct_why(const struct contact *);

#endif
