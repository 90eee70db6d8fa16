/*
 * Limited routers, and peers behind queue routers: by which queue router a peer is reached
 * (SPEC section 5).
 *
 * Each peer that has queue routers is reached by one of them when nothing better leads
 * there. Which one: of those that live and are not known to have no way to it, the first in
 * the configuration's order, unless the round trip to a later one is clearly shorter (half,
 * and 5 ms). It is left for one that has been better for 10 s: for one in front of it unless
 * it is nearer (by a fifth, and 2 ms), for one behind it if that is clearly nearer. One that
 * dies under traffic is left in little more than a second, by both sides: who notices it first
 * moves, and the other follows the frames that come.
 *
 * Belongs to the control thread.
 */
#ifndef ROUTER_LIMITED_H
#define ROUTER_LIMITED_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/wire.h"
#include "router/config.h"
#include "router/path.h"

struct contact;
struct note;
struct router;

/* Of a contact: through whom it can be reached. */
struct relays {
	unsigned n;
	uint32_t id[RELAYS_MAX];    /* the first choice first */
	mono_t wayless[RELAYS_MAX]; /* until then this one is taken to have no way to it */
	uint32_t better;	    /* would be chosen instead of the one in use, */
	mono_t better_since;	    /* for that long; 0: none */
	mono_t measured;	    /* the last time, in this matter */
};

/* Of a contact that is a queue router of this router's. */
struct asking {
	bool on;
	struct timer timer;
};

/* Of a router. */
struct limited {
	enum limited_mode mode; /* in force: as the authority says, or the configuration */
	int64_t interval;	/* of asking */
	struct timer timer;
	mono_t looked;		  /* last time */
	uint32_t own[RELAYS_MAX]; /* its queue routers, as far as they are peers */
	unsigned n_own;
};

/* The configuration, or what the authority has given, is in force now. */
void limited_configure(struct router *, mono_t now);
void limited_stop(struct router *);
/* The contact goes. */
void limited_forget(struct contact *);

/* The first of these that lives, unless the round trip to a later one is clearly shorter;
 * NULL: none lives. */
const struct contact *limited_best(const struct router *, const uint32_t *ids, unsigned n);
/* The queue router by which this peer can be reached now. False: none. */
bool relay_way(const struct contact *, struct way *ret);
enum relay_state {
	RELAY_DEAD,
	RELAY_WAYLESS, /* lives, but has no way to it */
	RELAY_READY,
	RELAY_USED
};
/* How the i-th of its queue routers is. */
enum relay_state relay_state(const struct contact *, unsigned i, mono_t now);
/* Whether this one is among those by which it may be reached. */
bool relay_is_of(const struct contact *, uint32_t via);
/* Whether this router asks this peer for its frames, instead of getting them as they come. */
bool limited_asks(const struct contact *);

/* Keys with this peer are new: frames for it are kept if it says that it will ask for
 * them; others may be reached by it now. */
void limited_ready(struct contact *, mono_t now);
/* Nothing comes from this queue router any more. */
void limited_relay_dead(struct contact *via, mono_t now);
/* An authentic frame of this peer has come by that queue router, not by its path. */
void limited_heard(struct contact *, uint32_t via, mono_t now);
/* This queue router has no way to that router now. */
void limited_unreachable(struct contact *via, uint32_t router, mono_t now);

#endif
