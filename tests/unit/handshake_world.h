/*
 * Whole handshakes between two contexts, over a wire in memory with a clock of
 * its own: every datagram passes through a rule that loses, doubles, delays or
 * spoils it.
 */
#ifndef TESTS_UNIT_HANDSHAKE_WORLD_H
#define TESTS_UNIT_HANDSHAKE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* keep this order: cmocka needs the above */
#include <cmocka.h>

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/handshake.h"

#define CLIENT_ID 7u
#define SERVER_ID 4000000012u
#define DELAY (10 * MSEC)
#define WIRE 64 /* datagrams under way at once */
#define FLIGHTS 6

static const uint8_t key[CRYPTO_KEY] = "the key that both sides have, 32";
static const uint8_t way[] = "198.51.100.2:8463";

struct datagram {
	bool to_server;
	size_t len;
	mono_t arrives;
	uint8_t data[HANDSHAKE_DATAGRAM];
};

struct world;
/* What happens to the n-th datagram sent (from 1): copies that arrive, after
 * how long. May change the bytes. */
struct fate {
	unsigned copies;
	int64_t delay;
};
typedef struct fate rule_fn(struct world *, unsigned n, struct datagram *);

struct world {
	struct handshake_ctx *ctx[2]; /* client's, server's */
	struct handshake *client, *server;
	const uint8_t *server_key;
	uint32_t server_peer; /* whom the server takes the client for */
	rule_fn *rule;
	unsigned arg;
	unsigned sent, replies;
	mono_t now;
	struct datagram wire[WIRE];
	unsigned n_wire;
};

static inline struct fate pass(struct world *w, unsigned n, struct datagram *d)
{
	(void)w;
	(void)n;
	(void)d;
	return (struct fate){ 1, DELAY };
}

static inline void open_world(struct world *w, uint32_t client_id, uint32_t server_id)
{
	memset(w, 0, sizeof(*w));
	w->now = (mono_t){ 5 * SEC };
	w->ctx[0] = handshake_ctx_new(client_id);
	w->ctx[1] = handshake_ctx_new(server_id);
	assert_non_null(w->ctx[0]);
	assert_non_null(w->ctx[1]);
	w->server_key = key;
	w->server_peer = CLIENT_ID;
	w->rule = pass;
}

static inline void close_world(struct world *w)
{
	handshake_free(w->client);
	handshake_free(w->server);
	handshake_ctx_free(w->ctx[0]);
	handshake_ctx_free(w->ctx[1]);
	assert_int_equal(ERR_peek_error(), 0);
}

static inline void put_on_wire(struct world *w, struct datagram *d)
{
	struct fate fate = w->rule(w, ++w->sent, d);

	d->arrives = mono_add(w->now, fate.delay);
	while (fate.copies-- > 0) {
		assert_in_range(w->n_wire, 0, WIRE - 1);
		w->wire[w->n_wire++] = *d;
	}
}

static inline void collect(struct world *w)
{
	struct datagram d = { .to_server = true };

	while (w->client && (d.len = handshake_take(w->client, d.data)))
		put_on_wire(w, &d);
	d.to_server = false;
	while (w->server && (d.len = handshake_take(w->server, d.data)))
		put_on_wire(w, &d);
}

static inline void deliver(struct world *w, const struct datagram *d)
{
	struct datagram reply = { .to_server = false };

	if (!d->to_server) {
		handshake_feed(w->client, d->data, d->len, w->now);
	} else if (w->server) {
		handshake_feed(w->server, d->data, d->len, w->now);
	} else {
		w->server =
			handshake_listen(w->ctx[1], w->server_peer, w->server_key, way, sizeof(way),
					 d->data, d->len, w->now, reply.data, &reply.len);
		assert_true(!w->server || !reply.len);
		assert_in_range(reply.len, 0, d->len);
		if (reply.len) {
			w->replies++;
			put_on_wire(w, &reply);
		}
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* The next thing that happens: a datagram arrives or a timer fires. */
static inline bool turn(struct world *w)
{
	struct handshake *both[] = { w->client, w->server };
	struct handshake *timer = NULL;
	struct datagram d;
	unsigned first = WIRE;
	mono_t when = { INT64_MAX };

	collect(w);
	for (unsigned i = 0; i < w->n_wire; i++) {
		if (mono_before(w->wire[i].arrives, when)) {
			first = i;
			when = w->wire[i].arrives;
		}
	}
	for (int i = 0; i < 2; i++) {
		mono_t t = both[i] ? handshake_deadline(both[i]) : (mono_t){ 0 };

		if (mono_is_set(t) && mono_before(t, when)) {
			timer = both[i];
			when = t;
		}
	}
	if (when.ns == INT64_MAX)
		return false;
	assert_false(mono_before(when, w->now));
	w->now = when;
	if (timer) {
		handshake_timeout(timer, w->now);
		return true;
	}
	d = w->wire[first];
	memmove(&w->wire[first], &w->wire[first + 1], (--w->n_wire - first) * sizeof(w->wire[0]));
	deliver(w, &d);
	return true;
}

static inline void start(struct world *w, uint32_t peer)
{
	w->client = handshake_client(w->ctx[0], peer, key, w->now);
	assert_non_null(w->client);
}

static inline void run(struct world *w)
{
	for (int i = 0; turn(w); i++)
		assert_in_range(i, 0, 400);
}

static inline void check_done(struct world *w)
{
	assert_non_null(w->server);
	assert_string_equal(handshake_error(w->client), "");
	assert_string_equal(handshake_error(w->server), "");
	assert_int_equal(handshake_state(w->client), HANDSHAKE_DONE);
	assert_int_equal(handshake_state(w->server), HANDSHAKE_DONE);
	assert_false(mono_is_set(handshake_deadline(w->client)));
	assert_false(mono_is_set(handshake_deadline(w->server)));
}

static inline void check_keys(struct world *w)
{
	struct session_secrets c_tx, c_rx, s_tx, s_rx;

	memset(&c_tx, 1, sizeof(c_tx));
	memset(&s_tx, 2, sizeof(s_tx));
	assert_true(handshake_export(w->client, &c_tx, &c_rx));
	assert_true(handshake_export(w->server, &s_tx, &s_rx));
	assert_memory_equal(&c_tx, &s_rx, sizeof(c_tx));
	assert_memory_equal(&c_rx, &s_tx, sizeof(c_rx));
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		for (int q = PROTECT_HMAC; q < PROTECTIONS; q++) {
			assert_memory_not_equal(c_tx.of[p], c_rx.of[q], SESSION_SECRET);
			if (p != q)
				assert_memory_not_equal(c_tx.of[p], c_tx.of[q], SESSION_SECRET);
		}
	}
}

static inline void check_hellos(struct world *w)
{
	struct hello said = { .epoch = 9, .lanes = 2, .features = FEATURE_PARTIAL }, got;

	assert_false(handshake_recv_hello(w->server, &got));
	assert_true(handshake_send_hello(w->client, &said));
	run(w);
	assert_true(handshake_recv_hello(w->server, &got));
	assert_int_equal(got.epoch, 9);
	assert_int_equal(got.lanes, 2);
	assert_false(got.seen);
	assert_int_equal(got.features, FEATURE_PARTIAL);
	assert_false(handshake_recv_hello(w->server, &got));

	said = (struct hello){ .epoch = 200, .lanes = 1, .seen = true };
	assert_true(handshake_send_hello(w->server, &said));
	run(w);
	assert_true(handshake_recv_hello(w->client, &got));
	assert_int_equal(got.epoch, 200);
	assert_true(got.seen);
	/* Again, as the caller does until it has an answer. */
	said.epoch = 201;
	assert_true(handshake_send_hello(w->server, &said));
	assert_true(handshake_send_hello(w->server, &said));
	run(w);
	assert_true(handshake_recv_hello(w->client, &got));
	assert_int_equal(got.epoch, 201);
}

static inline void run_rule(rule_fn *rule, unsigned arg)
{
	struct world w;

	open_world(&w, CLIENT_ID, SERVER_ID);
	w.rule = rule;
	w.arg = arg;
	start(&w, SERVER_ID);
	run(&w);
	check_done(&w);
	assert_true(mono_before(w.now, (mono_t){ 15 * SEC }));
	check_keys(&w);
	w.rule = pass;
	check_hellos(&w);
	close_world(&w);
}

#endif
