/* links: common/handshake common/crypto common/wire common/addr */
/*
 * Handshakes of those who may, over good wires and bad ones: the keys agree,
 * hellos pass, and whatever is lost, doubled or late is made good in time.
 */
#include "tests/unit/handshake_world.h"

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
	unsigned done = 0;

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
			done++;
			check_done(&w);
			check_keys(&w);
		} else {
			/* Six seconds of delay and losses may be too much. */
			assert_string_equal(handshake_error(w.client), "no answer");
		}
		close_world(&w);
	}
	assert_in_range(done, 36, 40);
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

/* ---- Nobody there ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),   cmocka_unit_test(test_two_handshakes_differ),
		cmocka_unit_test(test_one_lost),    cmocka_unit_test(test_many_lost),
		cmocka_unit_test(test_doubled),	    cmocka_unit_test(test_reordered),
		cmocka_unit_test(test_hello_first), cmocka_unit_test(test_no_answer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
