/* links: libcommon */
/*
 * The replay window against a plain set of all sequences ever taken, at its
 * edges and under random traffic; frame keys of both ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/session.h"

/* The oracle: a set that forgets nothing, and the rule in one line. */

#define SLOTS (1u << 19)

struct oracle {
	uint64_t top;
	size_t n;
	uint64_t seen[SLOTS]; /* open addressing; 0 is free */
};

static uint64_t *oracle_slot(struct oracle *o, uint64_t seq)
{
	size_t i = (seq * 0x9e3779b97f4a7c15ULL) >> 45;

	while (o->seen[i] && o->seen[i] != seq)
		i = (i + 1) % SLOTS;
	return &o->seen[i];
}

static bool oracle_is_fresh(struct oracle *o, uint64_t seq)
{
	if (seq == 0)
		return false;
	if (seq < o->top && o->top - seq > REPLAY_WINDOW)
		return false;
	return !*oracle_slot(o, seq);
}

static bool oracle_accept(struct oracle *o, uint64_t seq)
{
	if (!oracle_is_fresh(o, seq))
		return false;
	*oracle_slot(o, seq) = seq;
	assert_true(++o->n < SLOTS / 2);
	if (seq > o->top)
		o->top = seq;
	return true;
}

static uint64_t rnd(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* A sequence as a hostile or merely bad network might bring it. */
static uint64_t next_seq(uint64_t *seed, uint64_t top)
{
	/* Around the top and both ends of a window, by words and by one. */
	static const int centres[] = { 0, REPLAY_WINDOW, -REPLAY_WINDOW };
	static const int offsets[] = { -65, -64, -63, -1, 0, 1, 63, 64, 65 };
	uint64_t r = rnd(seed);
	int64_t d;

	switch (r % 16) {
	case 0: d = centres[rnd(seed) % 3] + offsets[rnd(seed) % 9]; break;
	case 1: /* anywhere in and around the window */
	case 2:
	case 3: d = -(int64_t)(rnd(seed) % (REPLAY_WINDOW + 200)); break;
	case 4: /* near the top */
	case 5:
	case 6: d = (int64_t)(rnd(seed) % 200) - 100; break;
	case 7: /* a jump, now and then far beyond the window */
		d = (int64_t)(rnd(seed) % (rnd(seed) % 8 ? 500 : 3 * REPLAY_WINDOW));
		break;
	default: d = 1;
	}
	if (d < 0 && (uint64_t)-d > top)
		return rnd(seed) % 4;
	top += (uint64_t)d;
	return top > SEQ_MAX ? SEQ_MAX : top;
}

static void against_the_oracle(uint64_t start, uint64_t seed, int steps)
{
	struct oracle *o = calloc(1, sizeof(*o));
	struct replay r = { 0 };
	int taken = 0;

	assert_non_null(o);
	assert_int_equal(replay_accept(&r, start), oracle_accept(o, start));
	for (int i = 0; i < steps; i++) {
		uint64_t seq = next_seq(&seed, o->top);
		bool fresh = oracle_is_fresh(o, seq);

		assert_int_equal(replay_is_fresh(&r, seq), fresh);
		/* Not every frame that looks fresh has a right MAC. */
		if (rnd(&seed) % 8 == 0)
			continue;
		assert_int_equal(replay_accept(&r, seq), fresh);
		assert_int_equal(oracle_accept(o, seq), fresh);
		assert_false(replay_is_fresh(&r, seq));
		assert_true(r.top == o->top);
		taken += fresh;
	}
	assert_true(start > SEQ_MAX - 100000 || taken > steps / 4);
	free(o);
}

static void replay_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		against_the_oracle(0, seed * 0x2545f4914f6cdd1dULL, 200000);
	against_the_oracle(1ULL << 32, 77, 200000);
	against_the_oracle(SEQ_MAX - 50000, 78, 200000);
}

static void replay_edges(void **state)
{
	struct replay r = { 0 };
	const uint64_t top = 1000000;

	(void)state;
	assert_false(replay_is_fresh(&r, 0));
	assert_false(replay_accept(&r, 0));
	assert_true(replay_accept(&r, 1));
	assert_false(replay_accept(&r, 1));
	assert_true(replay_accept(&r, top));
	assert_false(replay_accept(&r, top));
	assert_true(replay_is_fresh(&r, top - REPLAY_WINDOW));
	assert_true(replay_accept(&r, top - REPLAY_WINDOW));
	assert_false(replay_accept(&r, top - REPLAY_WINDOW));
	assert_true(replay_accept(&r, top - REPLAY_WINDOW + 1));
	assert_false(replay_accept(&r, top - REPLAY_WINDOW - 1));
	assert_false(replay_accept(&r, 2));
	/* The top moves on by one: its oldest falls out, the rest is remembered. */
	assert_true(replay_accept(&r, top + 1));
	assert_false(replay_accept(&r, top - REPLAY_WINDOW));
	assert_false(replay_accept(&r, top - REPLAY_WINDOW + 1));
	assert_true(replay_accept(&r, top - REPLAY_WINDOW + 2));
	/* A jump over the whole window forgets what was in it and keeps it out. */
	assert_true(replay_accept(&r, top * 2));
	assert_false(replay_accept(&r, top));
	assert_true(replay_accept(&r, top * 2 - REPLAY_WINDOW));
	assert_true(replay_accept(&r, SEQ_MAX));
	assert_false(replay_accept(&r, SEQ_MAX));
	assert_false(replay_accept(&r, SEQ_MAX + 1));
	assert_false(replay_accept(&r, UINT64_MAX));
	assert_true(replay_accept(&r, SEQ_MAX - 1));
}

/* Every offset within a word, for every window-sized jump. */
static void replay_every_offset(void **state)
{
	(void)state;
	for (uint64_t base = 100000; base < 100064; base++) {
		for (uint64_t jump = REPLAY_WINDOW - 1; jump < REPLAY_WINDOW + 140; jump++) {
			struct replay r = { 0 };

			for (uint64_t s = base - 64; s <= base; s++)
				assert_true(replay_accept(&r, s));
			assert_true(replay_accept(&r, base + jump));
			for (uint64_t s = base - 64; s <= base + 64; s++) {
				bool in = base + jump - s <= REPLAY_WINDOW;

				assert_int_equal(replay_is_fresh(&r, s), in && s > base);
			}
		}
	}
}

/* In order, each twice: the whole window filled and nothing lost at wraps. */
static void replay_in_order(void **state)
{
	struct replay r = { 0 };

	(void)state;
	for (uint64_t s = 1; s < 5 * REPLAY_WINDOW; s++) {
		assert_true(replay_accept(&r, s));
		assert_false(replay_accept(&r, s));
		assert_false(replay_is_fresh(&r, s > REPLAY_WINDOW ? s - REPLAY_WINDOW : 1));
	}
}

static struct session_secrets secrets(uint8_t fill)
{
	struct session_secrets s;

	for (int p = 0; p < PROTECTIONS; p++)
		memset(s.of[p], fill + p, SESSION_SECRET);
	return s;
}

static void keys_fit_each_other(void **state)
{
	const unsigned all = ~0u;
	struct session_secrets s = secrets(7), other = secrets(8);
	struct crypto *crypto = crypto_new(2, CRYPTO_FASTEST);
	struct tx_keys *tx = tx_keys_new(crypto, &s, all, 3, LANES_MAX);
	struct rx_keys *rx = rx_keys_new(crypto, &s, all, 3, LANES_MAX);
	struct rx_keys *wrong = rx_keys_new(crypto, &other, all, 3, LANES_MAX);

	(void)state;
	assert_non_null(crypto);
	assert_non_null(tx);
	assert_non_null(rx);
	assert_non_null(wrong);
	assert_int_equal(tx->epoch, 3);
	assert_int_equal(rx->epoch, 3);
	assert_int_equal(tx->lanes, LANES_MAX);
	assert_int_equal(rx->lanes, LANES_MAX);
	assert_null(tx->key[PROTECT_NONE]);
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		uint8_t frame[FRAME_HEADER + 100] = { 1, 2, 3 }, copy[sizeof(frame)];
		uint8_t mac[FRAME_MAC];
		struct crypto_job j = {
			.key = tx->key[p],
			.head = frame,
			.head_len = FRAME_HEADER,
			.data = frame + FRAME_HEADER,
			.len = 100,
			.mac = mac,
			.nonce = frame + 16,
		};

		crypto_seal(1, &j, 1);
		assert_true(j.ok);
		memcpy(copy, frame, sizeof(frame));
		j.key = wrong->key[p];
		crypto_open(0, &j, 1);
		assert_false(j.ok);
		memcpy(frame, copy, sizeof(frame));
		j.key = rx->key[p];
		crypto_open(0, &j, 1);
		assert_true(j.ok);
	}
	tx_keys_free(tx);
	rx_keys_free(rx);
	rx_keys_free(wrong);
	crypto_free(crypto);
}

static void lanes_start_clean_and_aligned(void **state)
{
	struct session_secrets s = secrets(1);
	struct crypto *crypto = crypto_new(2, CRYPTO_FASTEST);

	(void)state;
	assert_non_null(crypto);
	for (uint8_t lanes = 1; lanes <= LANES_MAX; lanes += 7) {
		struct tx_keys *tx = tx_keys_new(crypto, &s, 0, 0xff, lanes);
		struct rx_keys *rx = rx_keys_new(crypto, &s, 0, 0xff, lanes);

		assert_non_null(tx);
		assert_non_null(rx);
		for (unsigned l = 0; l < lanes; l++) {
			assert_int_equal((uintptr_t)&tx->lane[l] % 64, 0);
			assert_int_equal((uintptr_t)&rx->lane[l] % 64, 0);
			assert_true(tx->lane[l].seq == 0);
			assert_true(replay_accept(&rx->lane[l], 1));
			/* One lane's window is not another's. */
			assert_false(replay_accept(&rx->lane[l], 1));
		}
		tx_keys_free(tx);
		rx_keys_free(rx);
	}
	crypto_free(crypto);
}

static void algorithms_as_asked(void **state)
{
	struct session_secrets s = secrets(1);
	struct crypto *crypto = crypto_new(2, CRYPTO_FASTEST);

	(void)state;
	assert_non_null(crypto);
	for (unsigned set = 0; set < 1u << PROTECTIONS; set++) {
		struct tx_keys *tx = tx_keys_new(crypto, &s, set, 0, 1);
		struct rx_keys *rx = rx_keys_new(crypto, &s, set, 0, 1);

		assert_non_null(tx);
		assert_non_null(rx);
		for (int p = 0; p < PROTECTIONS; p++) {
			bool want = p == PROTECT_HMAC || (p != PROTECT_NONE && set & 1u << p);

			assert_int_equal(tx->key[p] != NULL, want);
			assert_int_equal(rx->key[p] != NULL, want);
		}
		tx_keys_free(tx);
		rx_keys_free(rx);
	}
	crypto_free(crypto);
}

static void keys_refused(void **state)
{
	struct session_secrets s = secrets(1);
	struct crypto *crypto = crypto_new(2, CRYPTO_FASTEST);

	(void)state;
	assert_non_null(crypto);
	assert_null(tx_keys_new(crypto, &s, 0, 0, 0));
	assert_null(rx_keys_new(crypto, &s, 0, 0, 0));
	assert_null(tx_keys_new(crypto, &s, 0, 0, LANES_MAX + 1));
	assert_null(rx_keys_new(crypto, &s, 0, 0, LANES_MAX + 1));
	tx_keys_free(NULL);
	rx_keys_free(NULL);
	crypto_free(crypto);
}

/* Who sends to a peer on a lane would read the peer's frames of that lane; every worker
 * has a lane; and a question and its answers settle down after one round, whatever the
 * numbers at both ends. */
static void lanes_lead_back(void **state)
{
	static const uint32_t ids[] = { 1, 2, 3, 256, 65537, 0x0affff01, 0xfffffffe };

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint32_t a = 77, b = ids[i];

		for (unsigned na = 1; na <= 33; na++) {
			uint64_t lanes = 0;

			for (unsigned w = 0; w < na; w++) {
				uint8_t lane = lane_sender(b, w, na);

				assert_in_range(lane, 1, na);
				assert_int_equal(lane_reader(b, lane, na), w);
				lanes |= 1ULL << lane;
			}
			assert_true(lanes == ((1ULL << na) - 1) << 1);
			for (unsigned nb = 1; nb <= 33; nb++) {
				for (unsigned w = 0; w < na; w++) {
					unsigned at = w, first = 0;

					for (unsigned round = 0; round < 3; round++) {
						unsigned there =
							lane_reader(a, lane_sender(b, at, na), nb);

						at = lane_reader(b, lane_sender(a, there, nb), na);
						if (!round)
							first = at;
						assert_int_equal(at, first);
					}
					if (na == nb)
						assert_int_equal(first, w);
				}
			}
		}
	}
}

/* Keys with fewer lanes than there are workers: no lane beyond them is used, nor the
 * control thread's, and as many as there are. */
static void fewer_lanes_are_shared(void **state)
{
	struct tx_keys k = { 0 };

	(void)state;
	for (k.lanes = 2; k.lanes <= LANES_MAX; k.lanes++) {
		uint64_t used = 0;

		for (unsigned lane = 1; lane <= LANES_MAX; lane++) {
			uint8_t is = tx_lane(&k, (uint8_t)lane);

			assert_in_range(is, 1, k.lanes - 1);
			if (lane < k.lanes)
				assert_int_equal(is, lane);
			used |= 1ULL << is;
		}
		assert_int_equal(__builtin_popcountll(used), k.lanes - 1);
	}
	k.lanes = 1;
	assert_int_equal(tx_lane(&k, 5), 0);
}

#define TAKEN_EACH 200000

struct taker {
	struct tx_keys *tx;
	struct rx_keys *rx;
	uint8_t *seen;
	unsigned taken;
};

static void *take_and_accept(void *arg)
{
	struct taker *t = arg;

	for (unsigned i = 0; i < TAKEN_EACH; i++) {
		uint64_t seq = tx_next(t->tx, 1, true);

		assert_true(seq <= 2 * TAKEN_EACH);
		atomic_fetch_add((_Atomic uint8_t *)&t->seen[seq], 1);
	}
	/* both try to take all of them */
	for (uint64_t seq = 1; seq <= 2 * TAKEN_EACH; seq++) {
		if (seq % 64 == 1)
			replay_hold(&t->rx->lane[1]);
		t->taken += replay_accept(&t->rx->lane[1], seq);
		if (seq % 64 == 0)
			replay_release(&t->rx->lane[1]);
	}
	return NULL;
}

/* Two threads on one lane: each number is given out once, and taken once at most. */
static void lanes_of_two_threads(void **state)
{
	struct session_secrets s = secrets(1);
	struct crypto *crypto = crypto_new(2, CRYPTO_FASTEST);
	struct tx_keys *tx = tx_keys_new(crypto, &s, 0, 0, 2);
	struct rx_keys *rx = rx_keys_new(crypto, &s, 0, 0, 2);
	uint8_t *seen = calloc(1, 2 * TAKEN_EACH + 1);
	struct taker t[2] = { { tx, rx, seen, 0 }, { tx, rx, seen, 0 } };
	pthread_t thread;

	(void)state;
	assert_true(tx && rx && seen);
	assert_int_equal(tx_next(tx, 0, false), 1);
	assert_int_equal(pthread_create(&thread, NULL, take_and_accept, &t[0]), 0);
	take_and_accept(&t[1]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (unsigned i = 1; i <= 2 * TAKEN_EACH; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(tx_next(tx, 1, false), 2 * TAKEN_EACH + 1);
	assert_int_equal(tx_next(tx, 0, false), 2);
	assert_int_equal(t[0].taken + t[1].taken, 2 * TAKEN_EACH);
	free(seen);
	tx_keys_free(tx);
	rx_keys_free(rx);
	crypto_free(crypto);
}

static void handshake_key(void **state)
{
	uint8_t psk[CRYPTO_KEY] = { 1, 2, 3 }, a[CRYPTO_KEY], b[CRYPTO_KEY];

	(void)state;
	assert_true(session_handshake_key(psk, a));
	assert_true(session_handshake_key(psk, b));
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, psk, sizeof(a));
	psk[31] ^= 1;
	assert_true(session_handshake_key(psk, b));
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replay_edges),
		cmocka_unit_test(replay_in_order),
		cmocka_unit_test(replay_every_offset),
		cmocka_unit_test(replay_random),
		cmocka_unit_test(keys_fit_each_other),
		cmocka_unit_test(lanes_start_clean_and_aligned),
		cmocka_unit_test(algorithms_as_asked),
		cmocka_unit_test(keys_refused),
		cmocka_unit_test(lanes_lead_back),
		cmocka_unit_test(fewer_lanes_are_shared),
		cmocka_unit_test(lanes_of_two_threads),
		cmocka_unit_test(handshake_key),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
