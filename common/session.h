/*
 * Frame keys between two routers: what one direction of one handshake's result
 * holds, and the replay window.
 *
 * Each side names the epoch byte under which it will receive. Sending keys hold
 * a sequence per lane, receiving keys a replay window per lane.
 *
 * As a rule a lane has one thread that sends on it, and one that reads it. It may be
 * otherwise for a while: when there are more threads than lanes were announced with
 * these keys, some share one; and frames of a lane can come to another thread than the
 * usual one (number of threads changed, or an interface has merged datagrams of
 * several lanes). So a sequence is taken atomically where it is shared, and a replay
 * window is held by one thread at a time, for a run of frames.
 */
#ifndef COMMON_SESSION_H
#define COMMON_SESSION_H

#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/wire.h"

/* Each lane on cache lines of its own: its neighbours belong to other threads. */
#define LANE_ALIGN 64

/* Replay window of one lane (RFC 6479): REPLAY_WINDOW sequences below the
 * highest one seen are told apart; what is older counts as seen. */
#define REPLAY_WORDS 128
#define REPLAY_WINDOW ((REPLAY_WORDS - 1) * 64) /* 8,128 */

struct replay {
	alignas(LANE_ALIGN) uint64_t top; /* highest sequence seen */
	uint64_t bits[REPLAY_WORDS];
	atomic_flag held; /* clear when all is zero */
};

/* Whoever looks at or changes a window that others may use holds it. Hardly ever does
 * anybody wait here: see above. */
static inline void replay_hold(struct replay *r)
{
	while (atomic_flag_test_and_set_explicit(&r->held, memory_order_acquire))
		sched_yield();
}

static inline void replay_release(struct replay *r)
{
	atomic_flag_clear_explicit(&r->held, memory_order_release);
}

/* Whether this sequence is new; changes nothing (before the MAC is checked). */
bool replay_is_fresh(const struct replay *, uint64_t seq);
/* Marks it; false if it was there already or is too old. Sequence 0 is never
 * sent and never fresh. */
bool replay_accept(struct replay *, uint64_t seq);

/* The exported secrets of one direction: per algorithm a key and a salt. */
#define SESSION_SECRET (CRYPTO_KEY + CRYPTO_SALT)
struct session_secrets {
	uint8_t of[PROTECTIONS][SESSION_SECRET]; /* [PROTECT_NONE] unused */
};

struct lane_tx {
	alignas(LANE_ALIGN) _Atomic uint64_t seq; /* last one used */
};

struct tx_keys {
	uint8_t epoch; /* as the receiver named it */
	uint8_t lanes;
	uint32_t features; /* FEATURE_... of the receiver: set before it is used */
	struct crypto_key *key[PROTECTIONS];
	struct lane_tx lane[];
};

struct rx_keys {
	uint8_t epoch; /* as this side named it */
	uint8_t lanes; /* as the sender said */
	struct crypto_key *key[PROTECTIONS];
	struct replay lane[];
};

/*
 * Lane 0 is for what a router says itself, lanes 1 to n for its n workers. Which
 * worker sends on which lane, and which reads it at the other end, depends on the
 * other's router ID, so that
 *   - a worker sends to a peer on the lane on which it would read the peer's frames:
 *     answers come to the worker that sent the question, at both ends, and flows stay
 *     where they are;
 *   - many peers that have one worker each are spread over the workers of one that has
 *     more.
 */
static inline unsigned lane_reader(uint32_t source, uint8_t lane, unsigned workers)
{
	return (source % workers + lane) % workers;
}

static inline uint8_t lane_sender(uint32_t peer, unsigned worker, unsigned workers)
{
	return (uint8_t)(1 + (worker + workers - lane_reader(peer, 1, workers)) % workers);
}

/* The lane that is used in the place of this one, with keys that have fewer. */
static inline uint8_t tx_lane(const struct tx_keys *k, uint8_t lane)
{
	return lane < k->lanes ? lane
	       : k->lanes < 2  ? 0
			       : (uint8_t)(1 + (lane - 1) % (k->lanes - 1));
}

/* The next sequence of a lane; shared: other threads may be taking one too. */
static inline uint64_t tx_next(struct tx_keys *k, uint8_t lane, bool shared)
{
	_Atomic uint64_t *seq = &k->lane[lane].seq;
	uint64_t next;

	if (shared)
		return atomic_fetch_add_explicit(seq, 1, memory_order_relaxed) + 1;
	next = atomic_load_explicit(seq, memory_order_relaxed) + 1;
	atomic_store_explicit(seq, next, memory_order_relaxed);
	return next;
}

/* Keys for `lanes` lanes, usable by the threads of the struct crypto. Algorithms: bit
 * set by enum protection; HMAC is always made. NULL: out of memory. */
struct tx_keys *tx_keys_new(struct crypto *, const struct session_secrets *, unsigned algorithms,
			    uint8_t epoch, uint8_t lanes);
struct rx_keys *rx_keys_new(struct crypto *, const struct session_secrets *, unsigned algorithms,
			    uint8_t epoch, uint8_t lanes);
/* After crypto_grow: for the new threads too, see crypto_key_grow. NULL is fine. */
bool tx_keys_grow(struct tx_keys *);
bool rx_keys_grow(struct rx_keys *);
/* Wipe and free; NULL is fine. */
void tx_keys_free(struct tx_keys *);
void rx_keys_free(struct rx_keys *);

/* The key of handshake frames between two routers, from their pre-shared key. */
bool session_handshake_key(const uint8_t psk[static CRYPTO_KEY], uint8_t ret[static CRYPTO_KEY]);

#endif
