/* links: common/loop common/clock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/list.h"
#include "common/loop.h"

/* A source on an eventfd that notes what it is called with. */
struct probe {
	struct source source;
	struct loop *loop;
	struct probe *victim; /* removed by the callback */
	int calls;
	uint32_t events;
};

static void on_probe(struct source *s, uint32_t events, mono_t now)
{
	struct probe *p = container_of(s, struct probe, source);

	assert_true(mono_is_set(now));
	p->calls++;
	p->events = events;
	if (p->victim)
		loop_remove(p->loop, &p->victim->source);
}

static void probe_open(struct probe *p, struct loop *l, unsigned count)
{
	*p = (struct probe){ .loop = l, .source = { .fn = on_probe } };
	p->source.fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(p->source.fd >= 0);
	assert_int_equal(loop_add(l, &p->source, EPOLLIN), 0);
}

static void probe_close(struct probe *p)
{
	loop_remove(p->loop, &p->source);
	close(p->source.fd);
}

static void test_descriptors(void **state)
{
	struct loop *l = loop_new();
	struct probe a, b;

	(void)state;
	assert_non_null(l);
	probe_open(&a, l, 1);
	probe_open(&b, l, 0);
	assert_int_equal(loop_add(l, &a.source, EPOLLIN), -EEXIST);

	loop_turn(l, 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.events, EPOLLIN);
	assert_int_equal(b.calls, 0);

	/* Level-triggered: it comes again until it is read. */
	loop_turn(l, -1);
	assert_int_equal(a.calls, 2);

	assert_int_equal(loop_modify(l, &a.source, EPOLLIN | EPOLLOUT), 0);
	loop_turn(l, 0);
	assert_int_equal(a.events, EPOLLIN | EPOLLOUT);

	loop_remove(l, &a.source);
	loop_turn(l, 0);
	assert_int_equal(a.calls, 3);
	assert_int_equal(loop_modify(l, &a.source, EPOLLIN), -ENOENT);

	close(a.source.fd);
	probe_close(&b);
	loop_free(l);
}

/* Of two sources that are ready in the same turn, the first one called removes
 * the other, or itself. */
static void test_remove_inside_callback(void **state)
{
	struct loop *l = loop_new();
	struct probe p[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		probe_open(&p[i], l, 1);
	p[0].victim = &p[1];
	p[1].victim = &p[0];
	loop_turn(l, 0);
	assert_int_equal(p[0].calls + p[1].calls, 1);
	for (int i = 0; i < 2; i++)
		probe_close(&p[i]);

	for (int i = 0; i < 2; i++)
		probe_open(&p[i], l, 1);
	p[0].victim = &p[0];
	loop_turn(l, 0);
	loop_turn(l, 0);
	assert_int_equal(p[0].calls, 1);
	assert_int_equal(p[1].calls, 2);
	for (int i = 0; i < 2; i++)
		probe_close(&p[i]);
	loop_free(l);
}

struct freed {
	struct source source;
	struct loop *loop;
	struct freed **all;
	int n;
};

static void on_freed(struct source *s, uint32_t events, mono_t now)
{
	struct freed *self = container_of(s, struct freed, source);
	struct freed **all = self->all;
	int n = self->n;

	(void)events;
	(void)now;
	for (int i = 0; i < n; i++) {
		loop_remove(all[i]->loop, &all[i]->source);
		close(all[i]->source.fd);
		free(all[i]);
		all[i] = NULL;
	}
}

/* A callback may free every source there is, those still to be called included. */
static void test_free_inside_callback(void **state)
{
	struct loop *l = loop_new();
	struct freed *all[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		all[i] = calloc(1, sizeof(*all[i]));
		*all[i] = (struct freed){ .loop = l, .all = all, .n = 20, .source.fn = on_freed };
		all[i]->source.fd = eventfd(1, EFD_NONBLOCK);
		assert_int_equal(loop_add(l, &all[i]->source, EPOLLIN), 0);
	}
	loop_turn(l, 0);
	for (int i = 0; i < 20; i++)
		assert_null(all[i]);
	loop_free(l);
}

/* Interest given up in a callback is not reported in the same turn any more. */
static void quiet_other(struct source *s, uint32_t events, mono_t now)
{
	struct probe *p = container_of(s, struct probe, source);

	(void)events;
	(void)now;
	p->calls++;
	assert_int_equal(loop_modify(p->loop, &p->victim->source, 0), 0);
}

static void test_modify_inside_callback(void **state)
{
	struct loop *l = loop_new();
	struct probe p[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		probe_open(&p[i], l, 1);
	for (int i = 0; i < 2; i++) {
		p[i].victim = &p[1 - i];
		p[i].source.fn = quiet_other;
	}
	loop_turn(l, 0);
	assert_int_equal(p[0].calls + p[1].calls, 1);
	for (int i = 0; i < 2; i++)
		probe_close(&p[i]);
	loop_free(l);
}

/* Timers */

struct alarm {
	struct timer timer;
	struct loop *loop;
	int calls;
	mono_t at;
	unsigned turn; /* place among all that fired */
	unsigned *turns;
	int64_t again; /* set again after so long, if not 0 */
	struct alarm *victim;
};

static void on_alarm(struct timer *t, mono_t now)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	assert_false(timer_is_set(t));
	a->calls++;
	a->at = now;
	if (a->turns)
		a->turn = ++*a->turns;
	if (a->again)
		assert_int_equal(timer_set(a->loop, t, mono_add(now, a->again)), 0);
	if (a->victim)
		timer_cancel(a->loop, &a->victim->timer);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

#define ALARMS 200

/* Sets, moves and cancels at random; the oracle looks at every timer. */
static void test_timers_property(void **state)
{
	struct loop *l = loop_new();
	struct alarm a[ALARMS];
	mono_t now = { 1 };
	uint32_t seed = 42;
	int fired = 0;

	(void)state;
	memset(a, 0, sizeof(a));
	for (int i = 0; i < ALARMS; i++)
		a[i] = (struct alarm){ .timer.fn = on_alarm, .loop = l };

	for (int round = 0; round < 20000; round++) {
		struct alarm *one = &a[next_random(&seed) % ALARMS];
		unsigned what = next_random(&seed) % 8;
		mono_t first = { 0 };

		if (what < 5) {
			mono_t when = mono_add(now, 1 + next_random(&seed) % 1000);

			assert_int_equal(timer_set(l, &one->timer, when), 0);
			assert_true(timer_is_set(&one->timer));
		} else if (what < 7) {
			timer_cancel(l, &one->timer);
			assert_false(timer_is_set(&one->timer));
		} else {
			bool due[ALARMS];

			now = mono_add(now, next_random(&seed) % 100);
			for (int i = 0; i < ALARMS; i++) {
				due[i] = timer_is_set(&a[i].timer) &&
					 !mono_before(now, a[i].timer.when);
				a[i].calls = 0;
			}
			loop_fire(l, now);
			for (int i = 0; i < ALARMS; i++) {
				assert_int_equal(a[i].calls, due[i]);
				fired += a[i].calls;
			}
		}
		for (int i = 0; i < ALARMS; i++)
			if (timer_is_set(&a[i].timer) &&
			    (!mono_is_set(first) || mono_before(a[i].timer.when, first)))
				first = a[i].timer.when;
		assert_true(loop_next(l).ns == first.ns);
	}
	assert_true(fired > 1000);
	loop_free(l);
}

static void test_timers_in_order(void **state)
{
	struct loop *l = loop_new();
	struct alarm a[10];
	unsigned turns = 0;

	(void)state;
	memset(a, 0, sizeof(a));
	for (int i = 0; i < 10; i++) {
		a[i] = (struct alarm){ .timer.fn = on_alarm, .loop = l, .turns = &turns };
		/* 0, 2, 4, ... at 100, the others at 50 */
		assert_int_equal(timer_set(l, &a[i].timer, (mono_t){ i % 2 ? 50 : 100 }), 0);
	}
	loop_fire(l, (mono_t){ 49 });
	assert_int_equal(turns, 0);
	loop_fire(l, (mono_t){ 1000 });
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(a[i].turn, i % 2 ? i / 2 + 1 : i / 2 + 6);
	assert_false(mono_is_set(loop_next(l)));
	loop_free(l);
}

static void test_timers_inside_callbacks(void **state)
{
	struct loop *l = loop_new();
	struct alarm again = { .timer.fn = on_alarm, .loop = l, .again = 10 };
	struct alarm victim = { .timer.fn = on_alarm, .loop = l };
	struct alarm killer = { .timer.fn = on_alarm, .loop = l, .victim = &victim };
	struct alarm stuck = { .timer.fn = on_alarm, .loop = l, .again = -1 };

	(void)state;
	timer_set(l, &again.timer, (mono_t){ 10 });
	for (int64_t t = 1; t <= 100; t++)
		loop_fire(l, (mono_t){ t });
	assert_int_equal(again.calls, 10);
	timer_cancel(l, &again.timer);
	timer_cancel(l, &again.timer);

	timer_set(l, &killer.timer, (mono_t){ 200 });
	timer_set(l, &victim.timer, (mono_t){ 200 });
	loop_fire(l, (mono_t){ 200 });
	assert_int_equal(killer.calls, 1);
	assert_int_equal(victim.calls, 0);

	/* One that is always due again does not keep the loop. */
	timer_set(l, &stuck.timer, (mono_t){ 300 });
	loop_fire(l, (mono_t){ 300 });
	assert_in_range(stuck.calls, 1, 2);
	assert_true(timer_is_set(&stuck.timer));

	/* "Never" cancels. */
	assert_int_equal(timer_set(l, &stuck.timer, (mono_t){ 0 }), 0);
	assert_false(timer_is_set(&stuck.timer));
	loop_free(l);
}

/* Real time: a turn ends for its timer, not before it, and for its bound. */
static void test_turn_waits(void **state)
{
	struct loop *l = loop_new();
	struct alarm a = { .timer.fn = on_alarm, .loop = l };
	mono_t start = clock_now(), now;

	(void)state;
	timer_set(l, &a.timer, mono_add(start, 3 * MSEC));
	while (a.calls == 0)
		now = loop_turn(l, -1);
	assert_true(mono_since(now, start) >= 3 * MSEC);
	assert_true(a.at.ns == now.ns);

	start = clock_now();
	timer_set(l, &a.timer, mono_add(start, 3600 * SEC));
	now = loop_turn(l, 2 * MSEC);
	assert_true(mono_since(now, start) >= 2 * MSEC);
	assert_true(mono_since(now, start) < 60 * SEC);
	assert_int_equal(a.calls, 1);

	/* Overdue: no wait at all. */
	timer_set(l, &a.timer, start);
	loop_turn(l, -1);
	assert_int_equal(a.calls, 2);
	loop_free(l);
}

static void count_before(void *arg)
{
	int *n = arg;

	assert_int_equal(n[0], n[1]);
	n[0]++;
}

static void count_after(void *arg)
{
	int *n = arg;

	n[1]++;
	assert_int_equal(n[0], n[1]);
}

static void test_hooks(void **state)
{
	struct loop *l = loop_new();
	int n[2] = { 0, 0 };
	struct loop_hooks hooks = { count_before, count_after, n };

	(void)state;
	loop_set_hooks(l, &hooks);
	for (int i = 0; i < 3; i++)
		loop_turn(l, 0);
	assert_int_equal(n[1], 3);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_remove_inside_callback),
		cmocka_unit_test(test_free_inside_callback),
		cmocka_unit_test(test_modify_inside_callback),
		cmocka_unit_test(test_timers_property),
		cmocka_unit_test(test_timers_in_order),
		cmocka_unit_test(test_timers_inside_callbacks),
		cmocka_unit_test(test_turn_waits),
		cmocka_unit_test(test_hooks),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
