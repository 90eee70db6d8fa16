/*
 * What workers know of another router, and of a network. Long-lived objects:
 * tables come and go, these keep their keys and counters.
 *
 * The control thread makes, changes and frees them; workers read the pointers
 * marked RCU and write only their own share.
 */
#ifndef ROUTER_PEER_H
#define ROUTER_PEER_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/counters.h"
#include "common/session.h"
#include "common/wire.h"
#include "router/path.h"

#define WORKERS_MAX 32
#define PEER_EPOCHS 32 /* receiving keys held at a time, by epoch modulo this */

/* One virtual network of this router. */
struct network_share {
	alignas(64) struct traffic traffic[2];
};

struct network {
	uint32_t id;
	_Atomic uint8_t protection;		  /* enum protection */
	struct network_share *share[WORKERS_MAX]; /* by worker, as many as there have been */
};

/* A bound on something that others can cause: so many in so much time. */
struct budget {
	mono_t since;
	unsigned used;
};
bool budget_take(struct budget *, unsigned most, int64_t time, mono_t now);

/* What one worker counts about a peer, and when it last told the control
 * thread something about it. */
struct peer_share {
	alignas(64) struct traffic traffic[2];
	struct traffic queued[2]; /* queue frames to and from it; bytes: of the frames inside */
	counter_t bad;		  /* frames in its name that failed a check */
	/* when it was told last: */
	mono_t wanted, unknown, moved, refused, relayed, asks, no_way;
	struct budget notes; /* frames of it for the control thread */
	uint16_t held;	     /* packets that wait for it */
	uint8_t lane;	     /* that this worker sends on to it */
};

/* Networks that are stopped with a peer because the two sides protect them
 * differently. Immutable. */
struct stopped {
	uint32_t n;
	uint32_t networks[]; /* ascending */
};

struct peer {
	uint32_t id;
	char *name;
	struct crypto_key *handshake_key; /* MAC of handshake frames */
	_Atomic bool transit;		  /* may send on through this router */
	_Atomic bool tiny;		  /* a VM, whose frames come and go by this router alone */
	_Atomic bool relay;		  /* may use this router as its queue router */
	/* The number of the last get frame to it; 0: it keeps nothing for this router. */
	_Atomic uint32_t asked;
	_Atomic int64_t heard;	       /* ns of the last authenticated frame, 0 never */
	_Atomic int64_t heard_by_path; /* of the last one that came by its path's way */

	/* RCU */
	struct tx_keys *tx;
	struct rx_keys *rx[PEER_EPOCHS];
	struct path *path;
	struct stopped *stopped;
	struct backlog *backlog; /* NULL: it has never asked for its frames */

	struct contact *contact;	       /* the control thread's side of it */
	struct peer_share *share[WORKERS_MAX]; /* by worker, as many as there have been */
};

/* A number for the next get frame. */
static inline uint32_t peer_ask_serial(struct peer *p)
{
	uint32_t serial = atomic_fetch_add_explicit(&p->asked, 1, memory_order_relaxed) + 1;

	return serial ? serial : atomic_fetch_add_explicit(&p->asked, 1, memory_order_relaxed) + 1;
}

/* What comes as a frame of one network may be of another one, where it has to pass all
 * checks. */
struct network_alias {
	struct network *from;
	uint32_t slot; /* of the receive table */
};

/* A router's whole view of the overlay: immutable, published by pointer. */
struct world {
	struct table *table;	   /* for what is sent */
	struct network **networks; /* by slot of the table */
	/* For what is received: the same, but for the steps of a change. */
	struct table *receive;
	struct network **receive_networks;
	struct network_alias *aliases; /* by network ID */
	size_t n_aliases;
	struct peer **peers; /* open addressing by ID, NULL: free */
	uint32_t mask;
	uint32_t self;
	struct ip address4, address6; /* the site's own, source of ICMP errors */
	struct ip *own;		      /* addresses of this machine */
	size_t n_own;
	struct adjacencies *adjacencies; /* RCU by itself; of the site's hosts, NULL: unknown */
};

/* Shares for so many workers; false: out of memory, what was there stays. */
bool network_make_room(struct network *, unsigned workers);
bool peer_make_room(struct peer *, unsigned workers);
/* Which lanes so many workers send on to it; none of them runs. */
void peer_deal_lanes(struct peer *, unsigned workers);
/* The shares with it; of a peer the shares alone. */
void network_free(struct network *);
void peer_free_shares(struct peer *);

/* NULL if this router is not configured. */
struct peer *world_peer(const struct world *, uint32_t id);
/* Whether this is an address of this machine. */
bool world_owns(const struct world *, const struct ip *);
/* The aliases of a network ID, *ret_n of them. */
const struct network_alias *world_aliases(const struct world *, uint32_t network, size_t *ret_n);
bool peer_is_stopped(const struct peer *, uint32_t network);

#endif
