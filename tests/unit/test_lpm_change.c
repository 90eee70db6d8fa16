/* links: common/lpm common/lpm_change common/addr */
/*
 * A table that changes, against a plain list that changes with it: thousands of
 * prefixes that come, go and get other values, in every shape that a table has;
 * copies taken on the way stay what they were, whichever is freed first. What a
 * change costs is counted in bytes, and what it does when memory runs out.
 */
#include "common/lpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lpm_random.h"
#include "tests/unit/short_memory.h"

enum { MOST = 6000, COPIES = 4 };

/* A table and what it is to hold. */
struct pair {
	struct lpm lpm;
	struct lpm_entry e[MOST];
	size_t n;
};

static void put(struct pair *p, const struct lpm_entry *e)
{
	size_t i = 0;

	while (i < p->n && !prefix_equal(&p->e[i].prefix, &e->prefix))
		i++;
	assert_true(i < MOST);
	p->e[i] = *e;
	p->n += i == p->n;
	assert_true(lpm_put(&p->lpm, e));
	assert_int_equal(lpm_count(&p->lpm), p->n);
}

static void take(struct pair *p, size_t i)
{
	struct prefix prefix = p->e[i].prefix;

	p->e[i] = p->e[--p->n];
	assert_true(lpm_remove(&p->lpm, &prefix));
	assert_int_equal(lpm_count(&p->lpm), p->n);
	assert_int_equal(lpm_get(&p->lpm, &prefix, NULL), LPM_NONE);
}

struct order {
	const struct lpm_entry *e; /* in the order expected */
	size_t at;
};

static bool next_in_order(void *arg, const struct lpm_entry *e)
{
	struct order *o = arg;

	assert_memory_equal(&e->prefix, &o->e[o->at].prefix, sizeof(e->prefix));
	assert_int_equal(e->value, o->e[o->at].value);
	assert_true(e->note == o->e[o->at].note);
	o->at++;
	return true;
}

static int compare(const void *a, const void *b)
{
	return prefix_compare(&((const struct lpm_entry *)a)->prefix,
			      &((const struct lpm_entry *)b)->prefix);
}

static const struct lpm_entry *list_around(const struct pair *p, const struct prefix *in)
{
	const struct lpm_entry *best = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (p->e[i].prefix.len < in->len && prefix_covers(&p->e[i].prefix, in) &&
		    (!best || p->e[i].prefix.len > best->prefix.len))
			best = &p->e[i];
	return best;
}

/* Sorts p->e on the way. */
static void check_pair(uint64_t *state, struct pair *p, unsigned step)
{
	struct order o = { .e = p->e };

	check_all(state, &p->lpm, p->e, p->n, step);
	qsort(p->e, p->n, sizeof(p->e[0]), compare);
	assert_true(lpm_each(&p->lpm, 0, next_in_order, &o));
	assert_int_equal(o.at, p->n);
	o.at = p->n ? next_random(state) % p->n : 0;
	assert_true(lpm_each(&p->lpm, o.at, next_in_order, &o));
	assert_int_equal(o.at, p->n);
	for (size_t i = 0; i < p->n; i += step) {
		const struct lpm_entry *e = &p->e[i], *around;
		struct prefix q =
			make_prefix(e->prefix.ip, next_random(state) % (e->prefix.len + 1u));
		size_t end;
		uint64_t note;

		assert_int_equal(lpm_get(&p->lpm, &e->prefix, &note), e->value);
		assert_true(note == e->note);
		around = list_around(p, &e->prefix);
		assert_int_equal(lpm_around(&p->lpm, &e->prefix),
				 around ? around->value : LPM_NONE);
		around = list_around(p, &q);
		assert_int_equal(lpm_around(&p->lpm, &q), around ? around->value : LPM_NONE);
		for (o.at = 0; o.at < p->n && !prefix_covers(&q, &p->e[o.at].prefix);)
			o.at++;
		for (end = o.at; end < p->n && prefix_covers(&q, &p->e[end].prefix);)
			end++;
		assert_true(lpm_each_within(&p->lpm, &q, next_in_order, &o));
		assert_int_equal(o.at, end);
	}
}

static void share(struct pair *to, const struct pair *from)
{
	lpm_share(&to->lpm, &from->lpm);
	memcpy(to->e, from->e, from->n * sizeof(to->e[0]));
	to->n = from->n;
}

/* One random change. Prefixes are near each other or not, as tables are. */
static void change(uint64_t *state, struct pair *p, size_t target)
{
	struct lpm_entry e;

	if (p->n && next_random(state) % 100 < (p->n > target ? 70 : 30)) {
		take(p, next_random(state) % p->n);
		return;
	}
	e = (struct lpm_entry){ .prefix = random_prefix(state, p->e, p->n),
				.value = next_random(state) % 1000,
				.note = next_random(state) };
	if (next_random(state) % 64 == 0)
		e.prefix = make_prefix(e.prefix.ip, 0);
	if (p->n && next_random(state) % 8 == 0)
		e.prefix = p->e[next_random(state) % p->n].prefix;
	if (p->n < MOST)
		put(p, &e);
}

static void random_changes(void **arg)
{
	static const struct {
		size_t target;
		unsigned changes, often, step;
	} phases[] = { { 8, 2000, 10, 1 },	  { 40, 4000, 50, 1 },	   { 300, 5000, 500, 3 },
		       { 5000, 14000, 3000, 40 }, { 100, 20000, 3000, 9 }, { 0, 2000, 100, 1 } };
	struct pair *p = calloc(1, sizeof(*p)), *copies = calloc(COPIES, sizeof(*copies));
	uint64_t state = 77;

	(void)arg;
	assert_non_null(p);
	assert_non_null(copies);
	for (size_t k = 0; k < sizeof(phases) / sizeof(phases[0]); k++) {
		for (unsigned i = 0; i < phases[k].changes; i++) {
			struct pair *copy = &copies[next_random(&state) % COPIES];

			change(&state, p, phases[k].target);
			if (i % phases[k].often)
				continue;
			check_pair(&state, p, phases[k].step);
			check_pair(&state, copy, phases[k].step);
			if (next_random(&state) % 4) {
				lpm_done(&copy->lpm);
				share(copy, p);
			} else { /* back to an older one */
				lpm_done(&p->lpm);
				share(p, copy);
			}
		}
	}
	while (p->n)
		take(p, next_random(&state) % p->n);
	assert_null(p->lpm.v4);
	assert_null(p->lpm.v6);
	for (unsigned i = 0; i < COPIES; i++) {
		check_pair(&state, &copies[i], 1);
		lpm_done(&copies[i].lpm);
	}
	free(p);
	free(copies);
}

/* Prefixes that share ever fewer bits with those there are: forks grow upwards. */
static void from_the_bottom(void **arg)
{
	struct pair *p = calloc(1, sizeof(*p));
	uint64_t state = 5;
	struct ip ip = random_ip(&state, 6);

	(void)arg;
	assert_non_null(p);
	for (unsigned bit = 128; bit-- > 0;) {
		for (unsigned k = 0; k < 30; k++) {
			struct ip other = random_ip(&state, 6);

			for (unsigned b = 0; b < bit; b++) {
				other.b[b / 8] &= ~(0x80 >> b % 8);
				other.b[b / 8] |= ip.b[b / 8] & 0x80 >> b % 8;
			}
			put(p, &(struct lpm_entry){ make_prefix(other, bit + k % (129 - bit)), k,
						    bit });
		}
		if (bit % 8 == 1)
			check_pair(&state, p, 1 + p->n / 100);
	}
	while (p->n) {
		take(p, next_random(&state) % p->n);
		if (p->n % 500 == 0)
			check_pair(&state, p, 1 + p->n / 100);
	}
	free(p);
}

/* A changed copy costs some blocks of the way, whatever the table's size and
 * however much of it the prefix covers. */
static void change_is_cheap(void **arg)
{
	enum { N = 200000, BOUND = 3 * 2200 + 3000 };
	uint64_t state = 3;
	struct lpm l = { 0 }, next;

	(void)arg;
	for (unsigned i = 0; i < N; i++) {
		struct ip ip = random_ip(&state, 4);

		assert_true(lpm_put(
			&l, &(struct lpm_entry){ make_prefix(ip, 16 + next_random(&state) % 17), i,
						 0 }));
	}
	for (unsigned i = 0; i < 1000; i++) {
		struct lpm_entry e = { make_prefix(random_ip(&state, 4), i % 33), i, 0 };
		size_t before = memory.bytes;

		lpm_share(&next, &l);
		assert_true(lpm_put(&next, &e));
		assert_in_range(memory.bytes - before, 1, BOUND);
		lpm_done(&l);
		l = next;
		before = memory.bytes;
		lpm_share(&next, &l);
		assert_true(lpm_remove(&next, &e.prefix));
		assert_in_range(memory.bytes - before, 0, BOUND);
		lpm_done(&l);
		l = next;
	}
	lpm_done(&l);
}

static void memory_runs_out(void **arg)
{
	struct pair *p = calloc(1, sizeof(*p)), *copy = calloc(1, sizeof(*copy));
	unsigned failed = 0;
	uint64_t state = 11;

	(void)arg;
	assert_non_null(p);
	assert_non_null(copy);
	for (unsigned i = 0; i < 6000; i++) {
		struct lpm_entry e = { .prefix = random_prefix(&state, p->e, p->n), .value = i };
		bool in = p->n > (i < 3000 ? 1500 : 20) || next_random(&state) % 4 == 0;
		struct prefix out = p->n ? p->e[next_random(&state) % p->n].prefix : e.prefix;

		share(copy, p);
		for (long at = 1;; at++) {
			bool done;

			memory.fail_at = at;
			done = in ? lpm_remove(&p->lpm, &out) : lpm_put(&p->lpm, &e);
			memory.fail_at = 0;
			if (done)
				break;
			failed++;
			assert_int_equal(lpm_count(&p->lpm), p->n);
			if (i % 50 == 0)
				check_pair(&state, p, 1 + p->n / 20);
		}
		if (in) {
			for (size_t k = 0; k < p->n; k++)
				if (prefix_equal(&p->e[k].prefix, &out))
					p->e[k] = p->e[--p->n];
		} else {
			put(p, &e);
		}
		if (i % 50 == 0)
			check_pair(&state, copy, 1 + p->n / 20);
		lpm_done(&copy->lpm);
	}
	check_pair(&state, p, 1);
	lpm_done(&p->lpm);
	assert_true(failed > 5000);
	free(p);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes),
		cmocka_unit_test(from_the_bottom),
		cmocka_unit_test(change_is_cheap),
		cmocka_unit_test(memory_runs_out),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
