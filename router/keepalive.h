/*
 * Keep-alives: how long a path may be idle.
 *
 * A NAT forgets an idle mapping after a time that nobody tells. So a router behind one says
 * to the peer "answer this in so many seconds" (KEEP), and is silent meanwhile: if the
 * answer gets in, the mapping has lasted that long, and twice the time is tried next, up to
 * two minutes; if not, it is half of it from then on, and not tried again on this path. What
 * lasts is asked for again and again in this way, which is what keeps it alive.
 *
 * Traffic makes such a trial void, and needs none. The peer learns by KEEP for how long
 * silence means nothing.
 *
 * Belongs to the control thread.
 */
#ifndef ROUTER_KEEPALIVE_H
#define ROUTER_KEEPALIVE_H

#include <stdbool.h>

#include "common/loop.h"
#include "common/wire.h"
#include "router/path.h"

#define KEEPALIVE_FIRST (15 * SEC)
#define KEEPALIVE_MIN (5 * SEC)
#define KEEPALIVE_MAX (120 * SEC)

struct contact;

struct keepalive {
	int64_t interval; /* the longest that has lasted; 0: none has been tried */
	int64_t broken;	  /* the shortest that has not, 0: none */
	/* the trial */
	uint64_t token; /* 0: none */
	int64_t length;
	mono_t begun, quiet; /* silence means nothing until then: by either side's word */
	uint64_t sent;	     /* packets to it when it began */
	/* the other side's: what is to be answered */
	struct timer timer;
	struct control_message answer;
	struct way way;
};

void keepalive_init(struct contact *);
void keepalive_stop(struct contact *);
/* Another path: what was found out is not true of it. */
void keepalive_moved(struct contact *);
/* Whether its silence is agreed on. */
bool keepalive_is_quiet(const struct contact *, mono_t now);
/* To be called several times a second while nothing is sent: true if a trial has failed
 * just now, so that the peer is to be asked at once. */
bool keepalive_look(struct contact *, uint64_t sent, mono_t now);
/* Begins a trial, beside a ping, where the path needs any. */
void keepalive_begin(struct contact *, uint64_t sent, mono_t now);
/* KEEP, KEPT */
void keepalive_recv(struct contact *, const struct control_message *, const struct way *,
		    mono_t now);

#endif
