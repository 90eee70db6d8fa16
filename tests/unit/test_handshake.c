/* links: common/handshake common/crypto common/wire */
/*
 * Whole handshakes between two contexts, over a wire in memory with a clock of
 * its own: every datagram passes through a rule that loses, doubles, delays or
 * spoils it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* keep this order: cmocka needs the above */
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
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
static const uint8_t other_key[CRYPTO_KEY] = "another key that also has 32 byt";
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

static struct fate pass(struct world *w, unsigned n, struct datagram *d)
{
	(void)w;
	(void)n;
	(void)d;
	return (struct fate){ 1, DELAY };
}

static void open_world(struct world *w, uint32_t client_id, uint32_t server_id)
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

static void close_world(struct world *w)
{
	handshake_free(w->client);
	handshake_free(w->server);
	handshake_ctx_free(w->ctx[0]);
	handshake_ctx_free(w->ctx[1]);
	assert_int_equal(ERR_peek_error(), 0);
}

static void put_on_wire(struct world *w, struct datagram *d)
{
	struct fate fate = w->rule(w, ++w->sent, d);

	d->arrives = mono_add(w->now, fate.delay);
	while (fate.copies-- > 0) {
		assert_in_range(w->n_wire, 0, WIRE - 1);
		w->wire[w->n_wire++] = *d;
	}
}

static void collect(struct world *w)
{
	struct datagram d = { .to_server = true };

	while (w->client && (d.len = handshake_take(w->client, d.data)))
		put_on_wire(w, &d);
	d.to_server = false;
	while (w->server && (d.len = handshake_take(w->server, d.data)))
		put_on_wire(w, &d);
}

static void deliver(struct world *w, const struct datagram *d)
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
static bool turn(struct world *w)
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

static void start(struct world *w, uint32_t peer)
{
	w->client = handshake_client(w->ctx[0], peer, key, w->now);
	assert_non_null(w->client);
}

static void run(struct world *w)
{
	for (int i = 0; turn(w); i++)
		assert_in_range(i, 0, 400);
}

static void check_done(struct world *w)
{
	assert_non_null(w->server);
	assert_string_equal(handshake_error(w->client), "");
	assert_string_equal(handshake_error(w->server), "");
	assert_int_equal(handshake_state(w->client), HANDSHAKE_DONE);
	assert_int_equal(handshake_state(w->server), HANDSHAKE_DONE);
	assert_false(mono_is_set(handshake_deadline(w->client)));
	assert_false(mono_is_set(handshake_deadline(w->server)));
}

static void check_keys(struct world *w)
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

static void check_hellos(struct world *w)
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

static void test_handshake(void **state)
{
	struct session_secrets tx, rx;
	struct hello hello = { .lanes = 1 };
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	assert_int_equal(handshake_state(w.client), HANDSHAKE_GOING);
	assert_int_equal(handshake_deadline(w.client).ns, w.now.ns + 250 * MSEC);
	assert_false(handshake_export(w.client, &tx, &rx));
	assert_false(handshake_send_hello(w.client, &hello));
	run(&w);
	check_done(&w);
	/* Three round trips, each flight one datagram. */
	assert_int_equal(w.sent, FLIGHTS);
	assert_int_equal(w.now.ns, 5 * SEC + FLIGHTS * DELAY);
	check_keys(&w);
	check_hellos(&w);
	check_keys(&w);
	close_world(&w);
}

static void test_two_handshakes_differ(void **state)
{
	struct session_secrets tx[2], rx;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct world w;

		open_world(&w, CLIENT_ID, SERVER_ID);
		start(&w, SERVER_ID);
		run(&w);
		assert_true(handshake_export(w.client, &tx[i], &rx));
		close_world(&w);
	}
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		assert_memory_not_equal(tx[0].of[p], tx[1].of[p], SESSION_SECRET);
}

/* ---- A bad wire ---- */

static void run_rule(rule_fn *rule, unsigned arg)
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

static struct fate lose_nth(struct world *w, unsigned n, struct datagram *d)
{
	(void)d;
	return (struct fate){ n != w->arg, DELAY };
}

static void test_one_lost(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= FLIGHTS + 1; n++)
		run_rule(lose_nth, n);
}

/* Bit i of arg: datagram i + 1 is lost. */
static struct fate lose_set(struct world *w, unsigned n, struct datagram *d)
{
	(void)d;
	return (struct fate){ n > 32 || !(w->arg & 1u << (n - 1)), DELAY };
}

static void test_many_lost(void **state)
{
	(void)state;
	for (unsigned n = 1; n < FLIGHTS + 2; n++)
		for (unsigned m = n + 1; m <= FLIGHTS + 6; m++)
			run_rule(lose_set, 1u << (n - 1) | 1u << (m - 1));
	run_rule(lose_set, 0xf);	   /* the first four */
	run_rule(lose_set, 0x5a5a & 0xff); /* alternately */
}

static struct fate double_all(struct world *w, unsigned n, struct datagram *d)
{
	(void)w;
	(void)n;
	(void)d;
	return (struct fate){ 2, DELAY };
}

static struct fate double_nth_late(struct world *w, unsigned n, struct datagram *d)
{
	static const struct fate once = { 1, DELAY };

	if (n == w->arg) {
		struct datagram late = *d;

		late.arrives = mono_add(w->now, 7 * DELAY);
		w->wire[w->n_wire++] = late;
	}
	return once;
}

static void test_doubled(void **state)
{
	(void)state;
	run_rule(double_all, 0);
	for (unsigned n = 1; n <= FLIGHTS; n++)
		run_rule(double_nth_late, n);
}

/* Late enough that what is sent again overtakes it. */
static struct fate delay_nth(struct world *w, unsigned n, struct datagram *d)
{
	(void)d;
	return (struct fate){ 1, n == w->arg ? 400 * MSEC : DELAY };
}

static struct fate slow(struct world *w, unsigned n, struct datagram *d)
{
	(void)w;
	(void)n;
	(void)d;
	return (struct fate){ 1, 900 * MSEC };
}

/* Delays from a fixed sequence, up to a second, a tenth lost, a tenth doubled. */
static struct fate wild(struct world *w, unsigned n, struct datagram *d)
{
	unsigned dice;

	(void)n;
	(void)d;
	w->arg = w->arg * 1103515245u + 12345u;
	dice = w->arg >> 16;
	return (struct fate){ dice % 10 == 0 ? 0 : dice % 10 == 1 ? 2 : 1, dice % 1000 * MSEC };
}

static void test_reordered(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= FLIGHTS; n++)
		run_rule(delay_nth, n);
	run_rule(slow, 0);
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct world w;

		open_world(&w, CLIENT_ID, SERVER_ID);
		w.rule = wild;
		w.arg = seed;
		start(&w, SERVER_ID);
		run(&w);
		if (handshake_state(w.client) == HANDSHAKE_DONE) {
			check_done(&w);
			check_keys(&w);
		} else {
			/* Six seconds of delay and losses may be too much. */
			assert_string_equal(handshake_error(w.client), "no answer");
		}
		close_world(&w);
	}
}

/* The server's hello overtakes the end of its handshake. */
static void test_hello_first(void **state)
{
	struct hello said = { .epoch = 1, .lanes = 1 }, got;
	struct datagram end, hello;
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	while (!w.server || handshake_state(w.server) != HANDSHAKE_DONE)
		assert_true(turn(&w));
	assert_true(handshake_send_hello(w.server, &said));
	end.len = handshake_take(w.server, end.data);
	hello.len = handshake_take(w.server, hello.data);
	assert_true(end.len && hello.len);
	assert_int_equal(handshake_feed(w.client, hello.data, hello.len, w.now), HANDSHAKE_GOING);
	assert_int_equal(handshake_feed(w.client, end.data, end.len, w.now), HANDSHAKE_DONE);
	if (!handshake_recv_hello(w.client, &got)) { /* may be lost; the next is not */
		assert_true(handshake_send_hello(w.server, &said));
		run(&w);
		assert_true(handshake_recv_hello(w.client, &got));
	}
	assert_int_equal(got.epoch, 1);
	close_world(&w);
}

/* ---- Those who may not ---- */

static void test_wrong_key(void **state)
{
	struct session_secrets tx, rx;
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	w.server_key = other_key;
	start(&w, SERVER_ID);
	run(&w);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), "wrong key (or another peer's)");
	assert_int_equal(handshake_state(w.client), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.client), "wrong key (or another peer's)");
	/* At once: nothing was sent again. */
	assert_int_equal(w.sent, FLIGHTS);
	assert_int_equal(w.now.ns, 5 * SEC + FLIGHTS * DELAY);
	assert_false(handshake_export(w.client, &tx, &rx));
	assert_false(handshake_export(w.server, &tx, &rx));
	assert_false(mono_is_set(handshake_deadline(w.server)));
	close_world(&w);
}

static void run_identity(uint32_t client, uint32_t server, uint32_t server_peer,
			 uint32_t client_peer, const char *why)
{
	struct world w;

	open_world(&w, client, server);
	w.server_peer = server_peer;
	start(&w, client_peer);
	run(&w);
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), why);
	assert_int_equal(handshake_state(w.client), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.client), "identity refused by peer");
	assert_int_equal(w.sent, FLIGHTS);
	close_world(&w);
}

static void test_identities(void **state)
{
	(void)state;
	/* Not whom the server takes it for, although the key is right. */
	run_identity(8, SERVER_ID, CLIENT_ID, SERVER_ID, "wrong identity");
	/* Wants to reach somebody else. */
	run_identity(CLIENT_ID, SERVER_ID, CLIENT_ID, SERVER_ID - 1, "wrong identity");
	/* The server's own words come back to it. */
	run_identity(SERVER_ID, SERVER_ID, CLIENT_ID, CLIENT_ID, "own identity reflected");
}

static void test_self(void **state)
{
	uint8_t reply[HANDSHAKE_DATAGRAM], first[HANDSHAKE_DATAGRAM];
	struct world w;
	size_t len, reply_len = 1;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	assert_null(handshake_client(w.ctx[0], CLIENT_ID, key, w.now));
	start(&w, SERVER_ID);
	len = handshake_take(w.client, first);
	assert_true(len > 0);
	assert_null(handshake_listen(w.ctx[1], SERVER_ID, key, way, sizeof(way), first, len, w.now,
				     reply, &reply_len));
	assert_int_equal(reply_len, 0);
	close_world(&w);
}

/* A client's hello with a good cookie, in `ret`. */
static size_t hello_with_cookie(struct world *w, uint8_t *ret)
{
	uint8_t first[HANDSHAKE_DATAGRAM], reply[HANDSHAKE_DATAGRAM];
	size_t len, reply_len;

	start(w, SERVER_ID);
	len = handshake_take(w->client, first);
	assert_null(handshake_listen(w->ctx[1], CLIENT_ID, key, way, sizeof(way), first, len,
				     w->now, reply, &reply_len));
	assert_in_range(reply_len, 1, len); /* no amplification */
	handshake_feed(w->client, reply, reply_len, w->now);
	len = handshake_take(w->client, ret);
	assert_true(len > 0);
	return len;
}

static bool listen_makes(struct world *w, uint32_t peer, const char *from, const uint8_t *d,
			 size_t len, size_t *ret_len)
{
	uint8_t reply[HANDSHAKE_DATAGRAM];
	struct handshake *h = handshake_listen(w->ctx[1], peer, key, from, strlen(from) + 1, d, len,
					       w->now, reply, ret_len);
	bool made = h;

	assert_int_equal(ERR_peek_error(), 0);
	handshake_free(h);
	return made;
}

static void test_cookie(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM];
	const char *from = (const char *)way;
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	assert_int_equal(reply, 0);
	/* From elsewhere it gets a cookie of its own, and nothing else. */
	assert_false(listen_makes(&w, CLIENT_ID, "198.51.100.2:8464", d, len, &reply));
	assert_in_range(reply, 1, len);
	assert_false(listen_makes(&w, 9, from, d, len, &reply));
	assert_in_range(reply, 1, len);
	/* For as long as the secret and the one after it last. */
	w.now = mono_add(w.now, 119 * SEC);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	w.now = mono_add(w.now, 2 * SEC);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	w.now = mono_add(w.now, 121 * SEC);
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	assert_in_range(reply, 1, len);
	/* A spoiled cookie, by one bit (its end is before suites and extensions). */
	close_world(&w);
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	assert_int_equal(d[59], 0);  /* no session ID */
	assert_int_equal(d[60], 16); /* the cookie */
	d[61] ^= 1;
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	d[61] ^= 1;
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	/* After a long silence neither secret is what it was. */
	w.now = mono_add(w.now, 3600 * SEC);
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	/* Ways longer than any endpoint get nothing. */
	assert_null(handshake_listen(w.ctx[1], CLIENT_ID, key, d, 65, d, len, w.now, d, &reply));
	assert_int_equal(reply, 0);
	close_world(&w);
}

static void test_server_keeps_nothing(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM];
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	len = handshake_take(w.client, d);
	/* The same hello for ever gives the same answer; leaks are the
	 * sanitizer's to find. */
	for (int i = 0; i < 200; i++) {
		assert_false(listen_makes(&w, CLIENT_ID, (const char *)way, d, len, &reply));
		assert_in_range(reply, 1, len);
	}
	close_world(&w);
}

/* ---- Garbage ---- */

static void test_garbage_listen(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM], bad[HANDSHAKE_DATAGRAM];
	unsigned seed = 1;
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	for (size_t cut = 0; cut < len; cut++)
		assert_false(listen_makes(&w, CLIENT_ID, (const char *)way, d, cut, &reply));
	for (int i = 0; i < 300; i++) {
		for (size_t k = 0; k < sizeof(bad); k++)
			bad[k] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
		if (i & 1)
			memcpy(bad, d, 14); /* looks like one at first */
		assert_false(
			listen_makes(&w, CLIENT_ID, (const char *)way, bad, sizeof(bad), &reply));
	}
	assert_true(listen_makes(&w, CLIENT_ID, (const char *)way, d, len, &reply));
	close_world(&w);
}

/* Before each datagram come noise, a cut copy, and one of a wrong version. */
static struct fate noisy(struct world *w, unsigned n, struct datagram *d)
{
	struct datagram bad = *d;
	struct fate once = { 1, DELAY };

	bad.arrives = mono_add(w->now, DELAY / 2);
	for (size_t k = 0; k < bad.len; k++)
		bad.data[k] = (uint8_t)(k * 31 + n);
	w->wire[w->n_wire++] = bad;
	bad = *d;
	bad.arrives = mono_add(w->now, DELAY / 2);
	bad.len = d->len / 2;
	w->wire[w->n_wire++] = bad;
	bad.len = d->len - 1;
	w->wire[w->n_wire++] = bad;
	bad.len = 12;
	w->wire[w->n_wire++] = bad;
	bad.len = d->len;
	bad.data[1] ^= 0x40;
	w->wire[w->n_wire++] = bad;
	return once;
}

static struct fate cut_nth(struct world *w, unsigned n, struct datagram *d)
{
	if (n == w->arg % 16)
		d->len = d->len * (w->arg / 16) / 16;
	return (struct fate){ 1, DELAY };
}

static void test_garbage(void **state)
{
	(void)state;
	run_rule(noisy, 0);
	for (unsigned n = 1; n <= FLIGHTS; n++)
		for (unsigned part = 1; part < 16; part++)
			run_rule(cut_nth, n + part * 16);
}

static void test_garbage_after(void **state)
{
	uint8_t bad[4 * HANDSHAKE_DATAGRAM];
	unsigned seed = 3;
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	run(&w);
	for (int i = 0; i < 300; i++) {
		for (size_t k = 0; k < sizeof(bad); k++)
			bad[k] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
		/* Records of the new keys, whose tags can't be right. */
		memcpy(bad, i & 1 ? "\x17\xfe\xfd\0\1" : "\x16\xfe\xfd\0\1", 5);
		memcpy(bad + 11, "\x00\x40", 2);
		handshake_feed(w.client, bad, sizeof(bad), w.now);
		handshake_feed(w.server, bad, sizeof(bad), w.now);
	}
	run(&w);
	check_done(&w);
	check_hellos(&w);
	close_world(&w);
}

/* ---- Nobody there, or somebody else's DTLS ---- */

static struct fate lose_all(struct world *w, unsigned n, struct datagram *d)
{
	(void)w;
	(void)n;
	(void)d;
	return (struct fate){ 0, 0 };
}

static struct fate lose_from(struct world *w, unsigned n, struct datagram *d)
{
	(void)d;
	return (struct fate){ n < w->arg, DELAY };
}

static void test_no_answer(void **state)
{
	static const int64_t at[] = { 250, 750, 1750, 3750, 7750, 10000 }; /* ms */
	uint8_t d[HANDSHAKE_DATAGRAM];
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	w.rule = lose_all;
	start(&w, SERVER_ID);
	collect(&w);
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		mono_t due = handshake_deadline(w.client);

		assert_int_equal(due.ns, 5 * SEC + at[i] * MSEC);
		handshake_timeout(w.client, mono_add(due, -1)); /* too early: nothing */
		assert_int_equal(handshake_deadline(w.client).ns, due.ns);
		assert_int_equal(handshake_take(w.client, d), 0);
		w.now = due;
		handshake_timeout(w.client, due);
		assert_int_equal(handshake_take(w.client, d) > 0, at[i] < 10000);
	}
	assert_int_equal(handshake_state(w.client), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.client), "no answer");
	assert_false(mono_is_set(handshake_deadline(w.client)));
	assert_int_equal(handshake_timeout(w.client, mono_add(w.now, SEC)), HANDSHAKE_FAILED);
	close_world(&w);

	/* Falls silent in the middle: both sides end. */
	for (unsigned n = 1; n < FLIGHTS; n++) {
		open_world(&w, CLIENT_ID, SERVER_ID);
		w.rule = lose_from;
		w.arg = n;
		start(&w, SERVER_ID);
		run(&w);
		assert_string_equal(handshake_error(w.client), "no answer");
		assert_in_range(w.now.ns, 15 * SEC, 16 * SEC);
		if (w.server)
			assert_string_equal(handshake_error(w.server), "no answer");
		close_world(&w);
	}
}

/* Ours against a plain OpenSSL client with other settings, over memory BIOs. */
static void run_foreign(const char *ciphers, uint64_t options, const char *why)
{
	SSL_CTX *foreign = SSL_CTX_new(DTLS_client_method());
	SSL *ssl;
	BIO *in, *out;
	struct world w;
	uint8_t d[4096], reply[HANDSHAKE_DATAGRAM];
	size_t reply_len;
	int len;

	assert_non_null(foreign);
	SSL_CTX_set_options(foreign, options);
	assert_int_equal(SSL_CTX_set_cipher_list(foreign, ciphers), 1);
	ssl = SSL_new(foreign);
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
	SSL_set_mtu(ssl, 1200);
	SSL_set_connect_state(ssl);
	open_world(&w, CLIENT_ID, SERVER_ID);
	for (int i = 0; i < 2 && !w.server; i++) {
		SSL_do_handshake(ssl);
		len = BIO_read(out, d, sizeof(d));
		assert_true(len > 0);
		w.server = handshake_listen(w.ctx[1], CLIENT_ID, key, way, sizeof(way), d,
					    (size_t)len, w.now, reply, &reply_len);
		BIO_write(in, reply, (int)reply_len);
	}
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), why);
	assert_true(handshake_take(w.server, reply) > 0); /* an alert */
	SSL_free(ssl);
	SSL_CTX_free(foreign);
	ERR_clear_error();
	close_world(&w);
}

static void test_foreign(void **state)
{
	(void)state;
	run_foreign("ECDHE-ECDSA-AES256-GCM-SHA384", 0, "no shared cipher");
}

static unsigned foreign_psk(SSL *ssl, const char *hint, char *identity, unsigned room,
			    unsigned char *psk, unsigned psk_room)
{
	(void)ssl;
	(void)hint;
	(void)psk_room;
	snprintf(identity, room, "%u>%u", CLIENT_ID, SERVER_ID);
	memcpy(psk, key, sizeof(key));
	return sizeof(key);
}

/* Right key and identity, but no extended master secret. */
static void test_no_ems(void **state)
{
	SSL_CTX *foreign = SSL_CTX_new(DTLS_client_method());
	struct world w;
	uint8_t d[4096], reply[HANDSHAKE_DATAGRAM];
	size_t n;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	int len;

	(void)state;
	SSL_CTX_set_options(foreign, SSL_OP_NO_EXTENDED_MASTER_SECRET | SSL_OP_NO_QUERY_MTU);
	assert_int_equal(SSL_CTX_set_cipher_list(foreign, "ECDHE-PSK-CHACHA20-POLY1305"), 1);
	SSL_CTX_set_psk_client_callback(foreign, foreign_psk);
	ssl = SSL_new(foreign);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_mtu(ssl, 1200);
	SSL_set_connect_state(ssl);
	open_world(&w, CLIENT_ID, SERVER_ID);
	for (int i = 0; i < 4; i++) {
		n = 0;
		SSL_do_handshake(ssl);
		len = BIO_read(out, d, sizeof(d));
		if (len <= 0)
			break;
		if (w.server)
			handshake_feed(w.server, d, (size_t)len, w.now);
		else
			w.server = handshake_listen(w.ctx[1], CLIENT_ID, key, way, sizeof(way), d,
						    (size_t)len, w.now, reply, &n);
		if (w.server)
			n = handshake_take(w.server, reply);
		BIO_write(in, reply, (int)n);
	}
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), "peer lacks extended master secret");
	SSL_free(ssl);
	SSL_CTX_free(foreign);
	ERR_clear_error();
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),      cmocka_unit_test(test_two_handshakes_differ),
		cmocka_unit_test(test_one_lost),       cmocka_unit_test(test_many_lost),
		cmocka_unit_test(test_doubled),	       cmocka_unit_test(test_reordered),
		cmocka_unit_test(test_hello_first),    cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_identities),     cmocka_unit_test(test_self),
		cmocka_unit_test(test_cookie),	       cmocka_unit_test(test_server_keeps_nothing),
		cmocka_unit_test(test_garbage_listen), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_garbage_after),  cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_foreign),	       cmocka_unit_test(test_no_ems),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
