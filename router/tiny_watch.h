/*
 * Whether a tiny's key is used in more than one place, as its router sees it.
 *
 * Two signs of a key that has been copied: the endpoint goes back to one that it had before,
 * again and again, since each of the two makes keys anew when it hears nothing; and frames come
 * under the keys of a handshake after the next one has been finished by both sides, when
 * its only owner would send under the new ones. Neither costs a packet anything: the first is
 * seen where paths change, the second by a look at replay windows after a handshake.
 */
#ifndef ROUTER_TINY_WATCH_H
#define ROUTER_TINY_WATCH_H

#include "common/clock.h"
#include "common/log.h"
#include "router/path.h"

struct contact;

#define TINY_PLACES 4 /* endpoints that are remembered */
#define TINY_MOVES 8  /* returns, of the last minute */
#define TINY_STOLEN 3 /* so many, and it is said */

/* Of each contact; of use for tinies only. */
struct tiny_watch {
	struct endpoint places[TINY_PLACES]; /* the newest first; of streams without a port */
	mono_t returned[TINY_MOVES];	     /* when it came back to one of them, a ring */
	unsigned n_returned;
	/* the receiving keys before those in use */
	bool looking;
	uint8_t epoch, next; /* theirs, and that of those in use */
	mono_t since;	     /* they are */
	bool counted;
	uint64_t frames;
	mono_t late;  /* when any were last found in use, */
	mono_t twice; /* ... a second time within a minute */
	/* what the authority was told of it, and is just being told (tinies.h) */
	uint64_t told, telling;
	unsigned beat;
	struct log_limit complaint;
};

/* It is on this path now. */
void tiny_moved(struct contact *, const struct way *, mono_t now);
/* A handshake has been finished by both; keys of this epoch are received under now. */
void tiny_keyed(struct contact *, uint8_t epoch, mono_t now);
/* Once a second or so. */
void tiny_look(struct contact *, mono_t now);

/* Within the last minute: how often its endpoint went back to one that it had before; whether
 * two handshakes were live at once. */
unsigned tiny_returns(const struct contact *, mono_t now);
bool tiny_is_twice(const struct contact *, mono_t now);

#endif
