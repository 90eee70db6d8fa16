/*
 * Frame keys of one direction, and the replay window of a lane.
 *
 * The window is a ring of 64-bit words (the idea of RFC 6479): sequence s has
 * the bit s % 64 of word s / 64 % REPLAY_WORDS. Moving the top clears the words
 * that it enters and shifts nothing. The window is one word short of the ring,
 * so every sequence in it has its own bit wherever in its word the top is.
 * Words above the top's are stale; bits above the top in its word are clear.
 *
 * When keys are replaced, and how long old ones are taken, is decided
 * elsewhere.
 */
#include "common/session.h"

#include <stdlib.h>
#include <string.h>

/* Replay window */

static uint64_t seq_bit(uint64_t seq)
{
	return 1ULL << (seq % 64);
}

static unsigned seq_word(uint64_t seq)
{
	return seq / 64 % REPLAY_WORDS;
}

bool replay_is_fresh(const struct replay *r, uint64_t seq)
{
	if (seq == 0 || seq > SEQ_MAX)
		return false;
	if (seq > r->top)
		return true;
	if (r->top - seq > REPLAY_WINDOW)
		return false;
	return !(r->bits[seq_word(seq)] & seq_bit(seq));
}

bool replay_accept(struct replay *r, uint64_t seq)
{
	if (!replay_is_fresh(r, seq))
		return false;
	if (seq > r->top) {
		uint64_t entered = seq / 64 - r->top / 64;

		if (entered > REPLAY_WORDS)
			entered = REPLAY_WORDS;
		for (uint64_t i = 0; i < entered; i++)
			r->bits[seq_word(seq - i * 64)] = 0;
		r->top = seq;
	}
	r->bits[seq_word(seq)] |= seq_bit(seq);
	return true;
}

/* Keys */

static void keys_free(struct crypto_key *key[static PROTECTIONS])
{
	for (int p = 0; p < PROTECTIONS; p++)
		crypto_key_free(key[p]);
}

/* On failure what has been made is left in key, for keys_free. */
static bool keys_make(struct crypto *crypto, struct crypto_key *key[static PROTECTIONS],
		      const struct session_secrets *s, unsigned algorithms)
{
	algorithms |= 1u << PROTECT_HMAC;
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		if (!(algorithms & 1u << p))
			continue;
		key[p] =
			crypto_key_new(crypto, (enum protection)p, s->of[p], s->of[p] + CRYPTO_KEY);
		if (!key[p])
			return false;
	}
	return true;
}

/* Zeroed, and aligned as the lanes want it; size is a multiple of that, since
 * both structures are. */
static void *alloc_lanes(size_t head, size_t lane, unsigned lanes)
{
	size_t size = head + lanes * lane;
	void *p = aligned_alloc(LANE_ALIGN, size);

	if (p)
		memset(p, 0, size);
	return p;
}

struct tx_keys *tx_keys_new(struct crypto *crypto, const struct session_secrets *s,
			    unsigned algorithms, uint8_t epoch, uint8_t lanes)
{
	struct tx_keys *k;

	if (lanes < 1 || lanes > LANES_MAX)
		return NULL;
	k = alloc_lanes(sizeof(*k), sizeof(k->lane[0]), lanes);
	if (!k)
		return NULL;
	k->epoch = epoch;
	k->lanes = lanes;
	if (!keys_make(crypto, k->key, s, algorithms)) {
		tx_keys_free(k);
		return NULL;
	}
	return k;
}

struct rx_keys *rx_keys_new(struct crypto *crypto, const struct session_secrets *s,
			    unsigned algorithms, uint8_t epoch, uint8_t lanes)
{
	struct rx_keys *k;

	if (lanes < 1 || lanes > LANES_MAX)
		return NULL;
	k = alloc_lanes(sizeof(*k), sizeof(k->lane[0]), lanes);
	if (!k)
		return NULL;
	k->epoch = epoch;
	k->lanes = lanes;
	if (!keys_make(crypto, k->key, s, algorithms)) {
		rx_keys_free(k);
		return NULL;
	}
	return k;
}

static bool keys_grow(struct crypto_key *key[static PROTECTIONS])
{
	for (int p = 0; p < PROTECTIONS; p++)
		if (key[p] && !crypto_key_grow(key[p]))
			return false;
	return true;
}

bool tx_keys_grow(struct tx_keys *k)
{
	return !k || keys_grow(k->key);
}

bool rx_keys_grow(struct rx_keys *k)
{
	return !k || keys_grow(k->key);
}

void tx_keys_free(struct tx_keys *k)
{
	if (!k)
		return;
	keys_free(k->key);
	free(k);
}

void rx_keys_free(struct rx_keys *k)
{
	if (!k)
		return;
	keys_free(k->key);
	free(k);
}

bool session_handshake_key(const uint8_t psk[static CRYPTO_KEY], uint8_t ret[static CRYPTO_KEY])
{
	return crypto_derive(psk, "ViNe handshake frames", NULL, 0, ret);
}
