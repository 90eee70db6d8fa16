/*
 * Frame keys between two routers: what one direction of one handshake's result
 * holds, and the replay window.
 *
 * Each side names the epoch byte under which it will receive. Sending keys hold
 * a sequence per lane, receiving keys a replay window per lane; a lane belongs
 * to one thread at a time, so neither needs a lock (SPEC section 3).
 */
#ifndef COMMON_SESSION_H
#define COMMON_SESSION_H

#include <stdalign.h>
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
};

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
	alignas(LANE_ALIGN) uint64_t seq; /* last one used */
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

/* Keys for `lanes` lanes, usable by the threads of the struct crypto. Algorithms: bit
 * set by enum protection; HMAC is always made. NULL: out of memory. */
struct tx_keys *tx_keys_new(struct crypto *, const struct session_secrets *, unsigned algorithms,
			    uint8_t epoch, uint8_t lanes);
struct rx_keys *rx_keys_new(struct crypto *, const struct session_secrets *, unsigned algorithms,
			    uint8_t epoch, uint8_t lanes);
/* Wipe and free; NULL is fine. */
void tx_keys_free(struct tx_keys *);
void rx_keys_free(struct rx_keys *);

/* The key of handshake frames between two routers, from their pre-shared key. */
bool session_handshake_key(const uint8_t psk[static CRYPTO_KEY], uint8_t ret[static CRYPTO_KEY]);

#endif
