/* links: router/reach common/clock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "router/reach.h"

#define BIT(rung) (1u << (rung))
#define ALL (BIT(RUNG_UDP) | BIT(RUNG_TCP) | BIT(RUNG_TLS) | BIT(RUNG_PROXY))

/* A ladder, the time, and what became of each step. */
struct play {
	struct reach r;
	mono_t now, start;
	unsigned dials[RUNGS], asks[RUNGS], drops[RUNGS], vain;
	mono_t dialled[RUNGS]; /* the last time */
	unsigned works;	       /* rungs that answer, after: */
	int64_t delay;
	unsigned refused; /* rungs that fail as soon as they are dialled */
	mono_t answer[RUNGS];
};

static void play_init(struct play *p, unsigned allowed)
{
	memset(p, 0, sizeof(*p));
	p->now = p->start = (mono_t){ 1000 * SEC };
	reach_init(&p->r, 7);
	reach_allow(&p->r, allowed, p->now);
}

static void step(struct play *p, struct reach_step s)
{
	enum rung rung = s.rung;

	switch (s.what) {
	case REACH_DIAL:
		assert_true(p->r.allowed & BIT(rung));
		p->dials[rung]++;
		p->dialled[rung] = p->now;
		if (p->refused & BIT(rung))
			reach_failed(&p->r, rung, "refused", p->now);
		else
			reach_opened(&p->r, rung, p->now);
		break;
	case REACH_ASK:
		p->asks[rung]++;
		if (p->works & BIT(rung) && !mono_is_set(p->answer[rung]))
			p->answer[rung] = mono_add(p->now, p->delay);
		break;
	case REACH_DROP:
		p->drops[rung]++;
		p->answer[rung] = (mono_t){ 0 };
		break;
	case REACH_VAIN: p->vain++; break;
	case REACH_NOTHING: break;
	}
}

static void poll(struct play *p)
{
	struct reach_step s;
	unsigned n = 0;

	for (unsigned i = 0; i < RUNGS; i++)
		if (mono_is_set(p->answer[i]) && !mono_before(p->now, p->answer[i])) {
			p->answer[i] = (mono_t){ 0 };
			reach_use(&p->r, (enum rung)i, p->now);
		}
	while ((s = reach_poll(&p->r, p->now)).what != REACH_NOTHING) {
		step(p, s);
		assert_true(++n < 100);
	}
	/* there is always something to wait for, never to run in circles */
	assert_true(!mono_is_set(reach_deadline(&p->r)) ||
		    mono_before(p->now, reach_deadline(&p->r)));
}

static void pass(struct play *p, int64_t time)
{
	mono_t end = mono_add(p->now, time);

	for (;;) {
		mono_t next;

		poll(p);
		next = reach_deadline(&p->r);
		for (unsigned i = 0; i < RUNGS; i++)
			if (mono_is_set(p->answer[i]) &&
			    (!mono_is_set(next) || mono_before(p->answer[i], next)))
				next = p->answer[i];
		if (!mono_is_set(next) || !mono_before(next, end))
			break;
		p->now = next;
	}
	p->now = end;
	poll(p);
}

static int64_t dialled_after(const struct play *p, enum rung rung)
{
	return mono_since(p->dialled[rung], p->start);
}

/* One after the other, a second apart, or as soon as the one before has failed. */
static void order(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, ALL);
	p.refused = BIT(RUNG_TCP);
	pass(&p, 2500 * MSEC);
	assert_int_equal(dialled_after(&p, RUNG_UDP), 0);
	assert_int_equal(dialled_after(&p, RUNG_TCP), SEC);
	assert_int_equal(dialled_after(&p, RUNG_TLS), SEC);
	assert_int_equal(dialled_after(&p, RUNG_PROXY), 2 * SEC);
	assert_int_equal(p.asks[RUNG_UDP], 13);
	assert_string_equal(reach_state_name(&p.r, RUNG_UDP), "trying");
	assert_string_equal(reach_state_name(&p.r, RUNG_TCP), "failed");
	assert_string_equal(p.r.rung[RUNG_TCP].why, "refused");
	pass(&p, 600 * MSEC);
	assert_string_equal(reach_state_name(&p.r, RUNG_UDP), "failed");
	assert_string_equal(p.r.rung[RUNG_UDP].why, "no answer in 3 s");
	assert_int_equal(p.drops[RUNG_UDP], 1);
	assert_int_equal(p.vain, 0);
	pass(&p, 2 * SEC);
	assert_int_equal(p.vain, 1);
	assert_int_equal(p.r.used, RUNG_NONE);
}

/* What answers soon leaves the rest untried. */
static void best_at_once(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, ALL);
	p.works = ALL;
	p.delay = 900 * MSEC;
	pass(&p, 3600 * SEC);
	assert_int_equal(p.r.used, RUNG_UDP);
	assert_int_equal(p.dials[RUNG_UDP], 1);
	assert_int_equal(p.dials[RUNG_TCP] + p.dials[RUNG_TLS] + p.dials[RUNG_PROXY], 0);
	assert_false(mono_is_set(reach_deadline(&p.r)));
	assert_string_equal(reach_state_name(&p.r, RUNG_UDP), "used");
}

/* A slow best one is overtaken, and used all the same once it answers. */
static void late_best(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, ALL);
	p.works = ALL;
	p.delay = 1500 * MSEC; /* UDP at 1.5 s, TCP would at 2.5 s */
	pass(&p, 1600 * MSEC);
	assert_int_equal(p.r.used, RUNG_UDP);
	assert_int_equal(p.dials[RUNG_TCP], 1);
	assert_int_equal(p.drops[RUNG_TCP], 1);

	play_init(&p, ALL);
	p.works = BIT(RUNG_TCP);
	p.delay = 500 * MSEC;
	pass(&p, 1600 * MSEC);
	assert_int_equal(p.r.used, RUNG_TCP);
	assert_int_equal(p.dials[RUNG_TLS], 0);
	assert_string_equal(reach_state_name(&p.r, RUNG_UDP), "trying"); /* it goes on */
	reach_use(&p.r, RUNG_UDP, p.now);
	pass(&p, 10 * SEC);
	assert_int_equal(p.r.used, RUNG_UDP);
	assert_int_equal(p.drops[RUNG_UDP], 0);
}

/* Rounds come at growing pauses, of 1 s to 30 s, never the same for all. */
static void pauses(void **state)
{
	struct play p;
	int64_t expected = SEC;

	(void)state;
	play_init(&p, BIT(RUNG_TCP));
	p.refused = ALL;
	poll(&p);
	assert_int_equal(p.vain, 1);
	for (unsigned i = 0; i < 12; i++) {
		int64_t pause = mono_since(reach_next(&p.r), p.now);

		assert_in_range(pause, expected / 4 * 3, expected / 4 * 5);
		p.now = reach_next(&p.r);
		poll(&p);
		assert_int_equal(p.vain, i + 2);
		expected = expected * 2 < 30 * SEC ? expected * 2 : 30 * SEC;
	}
	reach_hurry(&p.r, p.now);
	poll(&p);
	assert_int_equal(p.vain, 14);
}

/* From below those above are tried again, at pauses from 30 s to 10 min. */
static void upward(void **state)
{
	struct play p;
	int64_t expected = 30 * SEC;

	(void)state;
	play_init(&p, ALL);
	p.works = BIT(RUNG_TLS);
	p.delay = 50 * MSEC;
	pass(&p, 5 * SEC);
	assert_int_equal(p.r.used, RUNG_TLS);
	for (unsigned i = 0; i < 8; i++) {
		unsigned tls = p.dials[RUNG_TLS], udp = p.dials[RUNG_UDP];
		mono_t at = reach_next(&p.r);

		assert_true(mono_since(at, p.now) <= expected / 4 * 5);
		pass(&p, mono_since(at, p.now) + 5 * SEC);
		assert_int_equal(p.dials[RUNG_UDP], udp + 1);
		assert_int_equal(p.dials[RUNG_TLS], tls);
		assert_int_equal(p.dials[RUNG_PROXY], 0);
		expected = expected * 2 < 600 * SEC ? expected * 2 : 600 * SEC;
		assert_true(mono_since(reach_next(&p.r), p.now) >= expected / 4 * 3 - 5 * SEC);
	}
	assert_int_equal(p.vain, 0);
	p.works |= BIT(RUNG_TCP);
	pass(&p, 800 * SEC);
	assert_int_equal(p.r.used, RUNG_TCP);
	p.works |= BIT(RUNG_UDP);
	pass(&p, 800 * SEC);
	assert_int_equal(p.r.used, RUNG_UDP);
}

/* Silence has the others tried at once; what is used stays until one has answered. */
static void silence(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, ALL);
	p.works = BIT(RUNG_UDP);
	pass(&p, 20 * SEC);
	p.start = p.now;
	reach_set_silent(&p.r, true, p.now);
	poll(&p);
	assert_int_equal(p.dials[RUNG_UDP], 1); /* it is being asked already */
	assert_int_equal(dialled_after(&p, RUNG_TCP), 0);
	pass(&p, 1500 * MSEC);
	assert_int_equal(dialled_after(&p, RUNG_TLS), SEC);
	assert_int_equal(p.r.used, RUNG_UDP);
	assert_string_equal(reach_state_name(&p.r, RUNG_UDP), "silent");
	/* it was nothing */
	reach_set_silent(&p.r, false, p.now);
	poll(&p);
	assert_int_equal(p.drops[RUNG_TCP], 1);
	assert_int_equal(p.drops[RUNG_TLS], 1);
	assert_false(mono_is_set(reach_deadline(&p.r)));
	/* it is */
	p.works = BIT(RUNG_TLS);
	reach_set_silent(&p.r, true, p.now);
	pass(&p, 5 * SEC);
	assert_int_equal(p.r.used, RUNG_TLS);
	assert_false(p.r.silent);
	assert_string_equal(p.r.rung[RUNG_UDP].why, "no answer any more");
}

/* One kind of way alone: a silent one is replaced by another of its kind. */
static void alone(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, BIT(RUNG_TCP));
	assert_true(reach_has_choice(&p.r));
	p.works = ALL;
	pass(&p, 20 * SEC);
	assert_int_equal(p.r.used, RUNG_TCP);
	reach_set_silent(&p.r, true, p.now);
	pass(&p, SEC);
	assert_int_equal(p.dials[RUNG_TCP], 2);
	assert_int_equal(p.r.used, RUNG_TCP);
	assert_false(p.r.silent);
	play_init(&p, BIT(RUNG_UDP));
	assert_false(reach_has_choice(&p.r));
}

/* A way that ends: at once the next round; if that ends soon too, after pauses. */
static void endings(void **state)
{
	struct play p;
	int64_t least[] = { 0, 750 * MSEC, 1500 * MSEC, 3 * SEC };

	(void)state;
	play_init(&p, BIT(RUNG_TCP));
	p.works = ALL;
	pass(&p, 20 * SEC);
	for (unsigned i = 0; i < 4; i++) {
		p.start = p.now;
		reach_use(&p.r, RUNG_NONE, p.now);
		pass(&p, 6 * SEC);
		assert_int_equal(p.r.used, RUNG_TCP);
		assert_true(dialled_after(&p, RUNG_TCP) >= least[i]);
		assert_true(dialled_after(&p, RUNG_TCP) <= least[i] * 2);
	}
	pass(&p, 10 * SEC); /* it has lasted */
	p.start = p.now;
	reach_use(&p.r, RUNG_NONE, p.now);
	poll(&p);
	assert_int_equal(dialled_after(&p, RUNG_TCP), 0);
}

/* Who falls soon after it has come up is not up again that soon. */
static void falling(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, ALL);
	p.works = ALL;
	pass(&p, 100 * SEC);
	for (int64_t wait = 30 * SEC; wait <= 120 * SEC; wait *= 2) {
		p.works = BIT(RUNG_TCP);
		reach_set_silent(&p.r, true, p.now);
		pass(&p, 4 * SEC);
		assert_int_equal(p.r.used, RUNG_TCP);
		assert_true(mono_since(reach_next(&p.r), p.now) >= wait / 4 * 3 - 4 * SEC);
		assert_true(mono_since(reach_next(&p.r), p.now) <= wait / 4 * 5);
		p.works = ALL;
		pass(&p, mono_since(reach_next(&p.r), p.now) + SEC);
		assert_int_equal(p.r.used, RUNG_UDP);
		pass(&p, 5 * SEC);
	}
}

/* The peer has come by a way that is not to be used here. */
static void not_allowed(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 0);
	reach_use(&p.r, RUNG_UDP, p.now);
	pass(&p, 100 * SEC);
	assert_int_equal(p.dials[RUNG_TLS], 0);
	reach_allow(&p.r, BIT(RUNG_TLS), p.now);
	p.works = ALL;
	poll(&p);
	assert_int_equal(p.r.used, RUNG_UDP); /* until the other has answered */
	pass(&p, SEC);
	assert_int_equal(p.r.used, RUNG_TLS);
	/* taken away again while it is tried */
	reach_use(&p.r, RUNG_NONE, p.now);
	p.works = 0;
	pass(&p, SEC);
	assert_int_equal(p.r.rung[RUNG_TLS].state, RUNG_ASKING);
	reach_allow(&p.r, 0, p.now);
	poll(&p);
	assert_int_equal(p.r.rung[RUNG_TLS].state, RUNG_IDLE);
	assert_false(mono_is_set(reach_deadline(&p.r)));
}

/* Out of turn: above the rung that is used, or on it, where another way may be found. */
static void pressed(void **state)
{
	struct play p;

	(void)state;
	for (unsigned same = 0; same < 2; same++) {
		play_init(&p, ALL);
		p.works = BIT(RUNG_TCP);
		pass(&p, 10 * SEC);
		assert_int_equal(p.r.used, RUNG_TCP);
		if (same)
			reach_use(&p.r, RUNG_UDP, p.now);
		p.asks[RUNG_UDP] = 0;
		reach_press(&p.r, RUNG_UDP, p.now);
		reach_opened(&p.r, RUNG_UDP, p.now);
		pass(&p, 10 * SEC);
		assert_int_equal(p.asks[RUNG_UDP], 15);
		assert_int_equal(p.r.rung[RUNG_UDP].state, RUNG_FAILED);
		assert_string_equal(p.r.rung[RUNG_UDP].why, "no answer in 3 s");
		reach_explain(&p.r, RUNG_UDP, "a NAT");
		assert_string_equal(p.r.rung[RUNG_UDP].why, "no answer in 3 s: a NAT");
		assert_int_equal(p.r.used, same ? RUNG_UDP : RUNG_TCP);
		/* and answered */
		reach_press(&p.r, RUNG_UDP, p.now);
		reach_opened(&p.r, RUNG_UDP, p.now);
		p.works = BIT(RUNG_UDP);
		pass(&p, SEC);
		assert_int_equal(p.r.used, RUNG_UDP);
		assert_int_equal(p.r.rung[RUNG_UDP].state, RUNG_IDLE);
		assert_false(p.r.rung[RUNG_UDP].pressed);
		/* not what is not allowed */
		reach_press(&p.r, RUNG_RELAY, p.now);
		poll(&p);
		assert_int_equal(p.r.rung[RUNG_RELAY].state, RUNG_IDLE);
	}
}

/* Whatever happens in whatever order: what is dialled is allowed and was idle, and while
 * there is no way there is a next try. */
static void anything(void **state)
{
	struct play p;
	uint64_t x = 1;

	(void)state;
	play_init(&p, ALL);
	for (unsigned i = 0; i < 200000; i++) {
		enum rung rung;

		x = x * 6364136223846793005u + 1442695040888963407u;
		rung = (enum rung)((x >> 40) % RUNG_RELAY);
		p.works = (unsigned)(x >> 50) & ALL;
		switch ((x >> 33) % 9) {
		case 0: reach_use(&p.r, rung, p.now); break;
		case 1: reach_use(&p.r, RUNG_NONE, p.now); break;
		case 2: reach_set_silent(&p.r, x >> 63, p.now); break;
		case 3: reach_allow(&p.r, (unsigned)(x >> 45) & ALL, p.now); break;
		case 4: reach_hurry(&p.r, p.now); break;
		case 6: reach_press(&p.r, RUNG_UDP, p.now); break;
		case 5:
			if (p.r.rung[rung].state == RUNG_OPENING ||
			    p.r.rung[rung].state == RUNG_ASKING)
				reach_failed(&p.r, rung, "test", p.now);
			break;
		default: pass(&p, (int64_t)(x >> 44)); break;
		}
		poll(&p);
		if (p.r.used == RUNG_NONE && p.r.allowed)
			assert_true(mono_is_set(reach_deadline(&p.r)));
	}
	assert_true(p.vain > 0 && p.dials[RUNG_UDP] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),     cmocka_unit_test(best_at_once),
		cmocka_unit_test(late_best), cmocka_unit_test(pauses),
		cmocka_unit_test(upward),    cmocka_unit_test(silence),
		cmocka_unit_test(alone),     cmocka_unit_test(endings),
		cmocka_unit_test(falling),   cmocka_unit_test(not_allowed),
		cmocka_unit_test(pressed),   cmocka_unit_test(anything),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
