/* links: router/pmtu */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "router/pmtu.h"

/*
 * A path with a bound, a round trip and loss, and the peer that answers probes;
 * time jumps from event to event.
 */
#define FLYING 512

struct world {
	struct pmtu pmtu;
	mono_t now;
	uint16_t mtu; /* largest frame that passes */
	uint16_t hop; /* largest that can be sent */
	int64_t rtt, jitter;
	unsigned loss;	  /* per cent, each way */
	bool used, hints; /* data flows; oversized probes are answered by ICMP */
	unsigned probes;  /* sent so far */
	uint16_t least;	  /* lowest that known has been */
	uint64_t random;
	struct {
		mono_t at;
		uint16_t size;
	} flying[FLYING];
	unsigned n_flying;
};

static unsigned roll(struct world *w, unsigned n)
{
	w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(w->random >> 33) % n;
}

static void world_init(struct world *w, uint16_t base, uint16_t max, uint16_t mtu, int64_t rtt)
{
	memset(w, 0, sizeof(*w));
	w->now = (mono_t){ 1000 * SEC };
	w->mtu = mtu;
	w->hop = max;
	w->rtt = rtt;
	w->used = true;
	w->random = (uint64_t)mtu * 77 + max;
	pmtu_init(&w->pmtu, base, max, w->now);
	w->least = max;
}

static void send_probe(struct world *w, uint16_t size)
{
	bool lost = roll(w, 100) < w->loss || roll(w, 100) < w->loss;

	w->probes++;
	assert_in_range(size, w->pmtu.base, w->pmtu.limit);
	if (size > w->hop) {
		pmtu_refused(&w->pmtu, size, w->now);
		return;
	}
	if (size > w->mtu) {
		if (w->hints)
			pmtu_hint(&w->pmtu, w->now);
		return;
	}
	if (lost)
		return;
	assert_true(w->n_flying < FLYING);
	w->flying[w->n_flying].at =
		mono_add(w->now, w->rtt + (w->jitter ? roll(w, (unsigned)w->jitter) : 0));
	w->flying[w->n_flying++].size = size;
}

static void poll_all(struct world *w)
{
	unsigned n = 0;
	uint16_t size;

	while ((size = pmtu_poll(&w->pmtu, w->used, w->now))) {
		send_probe(w, size);
		assert_true(++n <= 2 * PMTU_ROUND);
	}
	assert_true(mono_before(w->now, pmtu_deadline(&w->pmtu)));
	assert_in_range(w->pmtu.known, w->pmtu.base, w->pmtu.limit);
	if (w->pmtu.known < w->least)
		w->least = w->pmtu.known;
}

/* Until then. */
static void run_until(struct world *w, mono_t end)
{
	unsigned turns = 0;

	poll_all(w);
	for (;;) {
		mono_t next = pmtu_deadline(&w->pmtu);
		unsigned first = FLYING;

		for (unsigned i = 0; i < w->n_flying; i++) {
			if (!mono_before(next, w->flying[i].at)) {
				next = w->flying[i].at;
				first = i;
			}
		}
		if (mono_before(end, next))
			break;
		if (mono_before(w->now, next))
			w->now = next;
		if (first < FLYING) {
			uint16_t size = w->flying[first].size;

			w->flying[first] = w->flying[--w->n_flying];
			pmtu_acked(&w->pmtu, size, w->now);
		}
		poll_all(w);
		assert_true(++turns < 1000000);
	}
	w->now = end;
}

static void run_for(struct world *w, int64_t ns)
{
	run_until(w, mono_add(w->now, ns));
}

/* Until the search is over; how long that took. */
static int64_t run_search(struct world *w, int64_t bound)
{
	mono_t start = w->now;

	while (w->pmtu.phase == PMTU_SEARCH && mono_since(w->now, start) < bound)
		run_for(w, MSEC);
	return mono_since(w->now, start);
}

/* Every MTU there can be, no loss: exact, within 3 s and few probes. */
static void exact(void **state)
{
	static const int64_t rtts[] = { 100 * USEC, 20 * MSEC, 150 * MSEC };

	(void)state;
	for (unsigned mtu = PMTU_BASE_V4; mtu <= 1472; mtu++) {
		struct world w;

		world_init(&w, PMTU_BASE_V4, 1472, (uint16_t)mtu, rtts[mtu % 3]);
		assert_true(run_search(&w, 10 * SEC) <= 3 * SEC);
		assert_int_equal(w.pmtu.known, mtu);
		assert_true(pmtu_settled(&w.pmtu));
		assert_true(w.probes <= 64);
	}
	for (unsigned mtu = PMTU_BASE_V6; mtu <= 9256; mtu += 13) {
		struct world w;

		world_init(&w, PMTU_BASE_V6, 9256, (uint16_t)mtu, rtts[mtu % 3]);
		w.hints = mtu % 2;
		assert_true(run_search(&w, 10 * SEC) <= 4 * SEC);
		assert_int_equal(w.pmtu.known, mtu);
		assert_true(w.probes <= 90);
		run_for(&w, 5 * SEC);
		assert_int_equal(w.pmtu.known, mtu);
	}
}

/* The largest size passes: one round trip, one round of probes. */
static void common_case(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1472, 40 * MSEC);
	assert_false(pmtu_settled(&w.pmtu));
	run_for(&w, 40 * MSEC);
	assert_int_equal(w.pmtu.known, 1472);
	assert_true(pmtu_settled(&w.pmtu));
	assert_true(w.probes <= PMTU_ROUND);
}

static void nothing_to_find(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, 1000, 900, 1000, MSEC);
	run_for(&w, 3000 * SEC);
	assert_int_equal(w.probes, 0);
	assert_int_equal(w.pmtu.known, 1000);
	assert_true(pmtu_settled(&w.pmtu));
}

/* Longer round trips than the first wait, answers out of order, peers that are
 * silent for long: never wrong in the end. */
static void slow_paths(void **state)
{
	(void)state;
	for (unsigned mtu = PMTU_BASE_V4; mtu <= 1472; mtu += 7) {
		struct world w;

		world_init(&w, PMTU_BASE_V4, 1472, (uint16_t)mtu, 900 * MSEC);
		w.jitter = 300 * MSEC;
		run_search(&w, 60 * SEC);
		run_for(&w, 15 * SEC);
		assert_int_equal(w.pmtu.known, mtu);
		assert_true(w.probes <= 130);
	}
}

static void loss(void **state)
{
	(void)state;
	for (unsigned percent = 1; percent <= 20; percent++) {
		for (unsigned mtu = PMTU_BASE_V4; mtu <= 1472; mtu += 3) {
			struct world w;

			world_init(&w, PMTU_BASE_V4, 1472, (uint16_t)mtu, 30 * MSEC);
			w.loss = percent;
			w.random += percent;
			assert_true(run_search(&w, 60 * SEC) <= (percent <= 5 ? 4 : 30) * SEC);
			assert_int_equal(w.pmtu.known, mtu);
			assert_true(w.probes <= (percent <= 5 ? 160 : 600));
		}
	}
}

/* While data flows, loss of single probes does not make a black hole of it. */
static void loss_later(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1412, 30 * MSEC);
	w.loss = 5;
	run_search(&w, 60 * SEC);
	before = w.probes;
	w.least = 1472;
	run_for(&w, 590 * SEC);
	assert_int_equal(w.least, 1412);
	assert_true(w.probes - before <= 59 * 4);
}

/* The path's MTU sinks: found out within a verification, or at once by a hint. */
static void sinks(void **state)
{
	(void)state;
	for (int hints = 0; hints < 2; hints++) {
		struct world w;
		mono_t start;

		world_init(&w, PMTU_BASE_V4, 1472, 1472, 20 * MSEC);
		run_for(&w, 5 * SEC);
		assert_int_equal(w.pmtu.known, 1472);
		w.mtu = 1393;
		start = w.now;
		if (hints)
			pmtu_hint(&w.pmtu, w.now);
		while (w.pmtu.known > w.mtu && mono_since(w.now, start) < 60 * SEC)
			run_for(&w, MSEC);
		assert_true(mono_since(w.now, start) <= (hints ? SEC : 14 * SEC));
		assert_false(pmtu_settled(&w.pmtu));
		assert_true(run_search(&w, 10 * SEC) <= 3 * SEC);
		assert_int_equal(w.pmtu.known, 1393);
	}
}

/* ... and rises: found out after ten minutes at the latest. */
static void rises(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PMTU_BASE_V6, 1452, 1300, 20 * MSEC);
	run_for(&w, 5 * SEC);
	assert_int_equal(w.pmtu.known, 1300);
	w.mtu = 1452;
	w.least = 1452;
	run_for(&w, 605 * SEC);
	assert_int_equal(w.pmtu.known, 1452);
	assert_int_equal(w.least, 1300);
}

/* Any change to anything, with loss: known is exact again after a while. */
static void changes(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1472, 20 * MSEC);
	w.loss = 3;
	for (int i = 0; i < 100; i++) {
		w.mtu = (uint16_t)(PMTU_BASE_V4 + roll(&w, 1473 - PMTU_BASE_V4));
		w.rtt = (1 + roll(&w, 100)) * MSEC;
		run_for(&w, 700 * SEC);
		assert_int_equal(w.pmtu.known, w.mtu);
	}
	assert_true(w.probes <= 100 * 500);
}

/* An idle path costs nothing but a new try every ten minutes. */
static void idle(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1472, 20 * MSEC);
	run_for(&w, 5 * SEC);
	before = w.probes;
	w.used = false;
	run_for(&w, 3600 * SEC);
	assert_true(w.probes - before <= 1); /* one for the data before */

	world_init(&w, PMTU_BASE_V4, 1472, 1400, 20 * MSEC);
	run_for(&w, 5 * SEC);
	before = w.probes;
	w.used = false;
	run_for(&w, 3600 * SEC);
	assert_in_range(w.probes - before, 6, 6 * 64 + 1);
}

/* A path that is down tells nothing about sizes: known stays, probes get rare, and
 * the search goes on where it was when the path is back. */
static void down(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1472, 20 * MSEC);
	run_for(&w, 5 * SEC);
	w.mtu = 0;
	w.least = 1472;
	run_for(&w, 300 * SEC);
	assert_int_equal(w.least, 1472);

	world_init(&w, PMTU_BASE_V4, 1472, 0, 20 * MSEC);
	run_for(&w, 4 * SEC);
	assert_true(pmtu_settled(&w.pmtu));
	assert_int_equal(w.pmtu.known, PMTU_BASE_V4);
	before = w.probes;
	run_for(&w, 300 * SEC);
	assert_true(w.probes - before <= 35);
	w.mtu = 1435;
	run_for(&w, 15 * SEC);
	assert_int_equal(w.pmtu.known, 1435);
}

/* Hints are free to send: they cost at most a verification a second. */
static void flood_of_hints(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1440, 20 * MSEC);
	run_for(&w, 5 * SEC);
	before = w.probes;
	for (int i = 0; i < 10000; i++) {
		pmtu_hint(&w.pmtu, w.now);
		run_for(&w, MSEC);
	}
	assert_int_equal(w.pmtu.known, 1440);
	assert_in_range(w.probes - before, 5, 12);
}

/* The first hop carries less than was thought, from the start or later on. */
static void refused(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1472, 20 * MSEC);
	w.hop = 1401;
	run_search(&w, 10 * SEC);
	assert_int_equal(w.pmtu.known, 1401);
	assert_true(w.probes <= 64);

	w.hop = 1280;
	pmtu_hint(&w.pmtu, w.now);
	run_for(&w, 3 * SEC);
	assert_int_equal(w.pmtu.known, 1280);

	w.hop = 1000; /* base is the floor, whatever happens */
	w.mtu = 1000;
	run_for(&w, 20 * SEC);
	assert_int_equal(w.pmtu.known, PMTU_BASE_V4);

	w.hop = w.mtu = 1472; /* and back */
	run_for(&w, 610 * SEC);
	assert_int_equal(w.pmtu.known, 1472);
}

/* Answers to what was never asked change nothing outside the bounds. */
static void odd_answers(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, PMTU_BASE_V4, 1472, 1300, 20 * MSEC);
	for (int i = 0; i < 20000; i++) {
		pmtu_acked(&w.pmtu, (uint16_t)roll(&w, 65536), w.now);
		pmtu_refused(&w.pmtu, (uint16_t)roll(&w, 65536), w.now);
		if (i % 3 == 0)
			pmtu_hint(&w.pmtu, w.now);
		run_for(&w, 100 * USEC);
		assert_in_range(w.pmtu.known, PMTU_BASE_V4, 1472);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact),
		cmocka_unit_test(common_case),
		cmocka_unit_test(nothing_to_find),
		cmocka_unit_test(slow_paths),
		cmocka_unit_test(loss),
		cmocka_unit_test(loss_later),
		cmocka_unit_test(sinks),
		cmocka_unit_test(rises),
		cmocka_unit_test(changes),
		cmocka_unit_test(idle),
		cmocka_unit_test(down),
		cmocka_unit_test(flood_of_hints),
		cmocka_unit_test(refused),
		cmocka_unit_test(odd_answers),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
