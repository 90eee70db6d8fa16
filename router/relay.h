/*
 * Relaying: frames inside queue frames (SPEC section 3).
 *
 * The sender wraps what goes to a peer behind a queue router; that one makes a new queue
 * frame of it, in place, for the next hop; the last one takes out what is inside and
 * opens it as any frame. Nobody in between touches more of it than its two headers and
 * two MACs.
 */
#ifndef ROUTER_RELAY_H
#define ROUTER_RELAY_H

#include "common/crypto.h"
#include "router/worker.h"

/* Finished frames: those whose path is by a relay become queue frames on that relay's
 * path, those of a peer that asks for its frames are kept for it. What stays in the batch
 * has a way of its own. */
void relay_wrap(struct worker *, struct batch *, mono_t now);
/* Authentic queue frames for another router: sent on to it, or kept for it. */
void relay_onward(struct worker *, struct batch *, mono_t now);
/* Authentic get frames: each is answered with what is kept for its sender. Authentic null
 * frames: where an answer ends that brought something, it is asked for more. */
void relay_answer(struct worker *, struct batch *, mono_t now);
/* Sends what is kept for peers that do not ask (any more). */
void relay_drain(struct worker *, mono_t now);
/* Takes the frame out of an authentic queue frame for this router. */
void relay_unwrap(struct worker *, struct packet *);

/* The job that opens or seals a queue frame of len bytes; `room` holds what its MAC covers,
 * until the job is done. */
struct crypto_job relay_job(struct crypto_key *, uint8_t *frame, size_t len,
			    uint8_t room[static QUEUE_SIGNED]);

#endif
