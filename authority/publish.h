/*
 * Publishing: from changes of the registry to the images that routers run.
 *
 * Changes are gathered while they follow each other within half a second, for three at
 * most, and go out as one round: the steps of tables.h, each confirmed by all routers
 * that the round touches before the next. Rounds that touch no router in common go on
 * beside each other; else one waits for the other. Work is in proportion to the routers
 * and networks touched.
 *
 * Routers change their queue routers in the same steps (publish_peers.c).
 *
 * Before a round begins a step, the caller has made it durable that it does (struct
 * published): so whoever publishes next goes on in that step, with the same versions, and no
 * router runs what that one doesn't know (publish_resume).
 *
 * A router that doesn't confirm within ten seconds, attached or not, is late: it is
 * reported, rounds go on without it, and from wherever it is it gets a whole image;
 * once it has confirmed that, it is waited for again.
 *
 * Pure but for what it is told to call: time is an argument, bytes go to a function.
 */
#ifndef AUTHORITY_PUBLISH_H
#define AUTHORITY_PUBLISH_H

#include "authority/published.h"
#include "authority/registry.h"
#include "common/clock.h"
#include "common/image.h"

#define PUBLISH_GATHER (500 * MSEC)
#define PUBLISH_GATHER_MAX (3 * SEC)
#define PUBLISH_LATE (10 * SEC)
#define PUBLISH_SETTLE (3 * SEC) /* a step that moves routers to other queue routers, at least */
#define PUBLISH_AGAIN (3 * SEC)	 /* without an answer it is sent again, whole; then after ... */
#define PUBLISH_AGAIN_MAX (24 * SEC) /* ... twice as long, up to this */
#define PUBLISH_UNSAVED SEC	     /* until it is tried again to make something durable */
#define PUBLISH_TIDY SEC	     /* until it is durable that a round is done with */
#define PUBLISH_AT_ONCE (1u << 20) /* bytes that are sent before others get a turn, and one more */

struct publish;

enum publish_event {
	PUBLISH_IS_LATE,   /* it has not confirmed in time */
	PUBLISH_CAUGHT_UP, /* ... and now it has */
	PUBLISH_AHEAD,	   /* it runs what this authority has never made: its generation has
			      to be raised; told once in PUBLISH_TOLD at most */
};
#define PUBLISH_TOLD (3600 * SEC)
typedef void publish_event_fn(void *arg, enum publish_event, const struct router *,
			      struct version runs);

/* Tables for a router's stream; the bytes are the caller's only during the call, which
 * calls nothing here. NULL: it is revoked, and detached already: its stream is to be ended. */
typedef void publish_send_fn(void *arg, struct version, uint8_t step, const uint8_t *bytes,
			     size_t len);

/* To be made durable; publish_saved says that it is, within this call or later. */
typedef void publish_save_fn(void *arg, const struct published *);

/* Watches the registry (tables_change): nobody else may. `revision` is the store's that
 * it is at. Versions are (generation, revision * 4 + step): so they go on rising
 * whenever the authority is started again. `protection` is of VNs that have none of their
 * own. Takes over nothing. Nothing is sent before something has been saved. */
struct publish *publish_new(struct registry *, const struct signer *, uint64_t generation,
			    uint64_t revision, enum protection, publish_event_fn *,
			    publish_save_fn *, void *arg);
void publish_free(struct publish *);
/* Before anything else: the registry has been applied to, up to this revision, and that is a
 * round which is in this step (struct published_round). False: it isn't one of these. */
bool publish_resume(struct publish *, uint64_t revision, unsigned step, mono_t now);
/* From now on with this one. */
void publish_sign_with(struct publish *, const struct signer *);

/* The registry has been applied to, up to this revision. */
void publish_changed(struct publish *, uint64_t revision, mono_t now);
/* What was to be saved is durable, or not: then it is asked for again. */
void publish_saved(struct publish *, bool saved, mono_t now);
/* If it is settled: up to this revision nothing has changed that concerns tables. */
void publish_passed(struct publish *, uint64_t revision, mono_t now);
/* A router's stream begins, in the place of one that it had. `have` is what it runs,
 * zero for nothing. -ENOENT: there is no such router, or it is revoked. */
int publish_attach(struct publish *, uint32_t router, struct version have, publish_send_fn *,
		   void *arg, mono_t now);
void publish_detach(struct publish *, uint32_t router, mono_t now);
void publish_confirm(struct publish *, uint32_t router, struct version, mono_t now);
/* What it is to run now, whole, to a function. -ENOENT as above. */
int publish_give(struct publish *, uint32_t router, publish_send_fn *, void *arg);
/* Does what is due, and says when there is something again: not after `now` if there is
 * more to be sent, {0} if there is nothing. To be called after every other call, and at that
 * time. */
mono_t publish_due(struct publish *, mono_t now);

/* Other than PUBLISH_AT_ONCE from now on: 1 for a single router in each turn. */
void publish_pace(struct publish *, size_t at_once);

struct publish_status {
	struct version runs, given; /* zero: not known */
	uint8_t step;		    /* of what is given */
	bool attached, late;
};
/* False: not known. */
bool publish_status(const struct publish *, uint32_t router, struct publish_status *ret);
/* Whether there is a change for it that has not begun: it is gathered, or waits for others.
 * Takes a look at all that such changes touch. */
bool publish_awaits(const struct publish *, uint32_t router);
/* Whether every change is with every router that isn't late. */
bool publish_settled(const struct publish *);
/* Rounds under way or waiting. */
size_t publish_rounds(const struct publish *);

#endif
