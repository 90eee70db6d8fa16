/* links: router/queue */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "router/queue.h"

static const struct queue_limits limits = { .bytes = 4096, .age = SEC };

static mono_t at(int64_t ns)
{
	return (mono_t){ SEC + ns };
}

/* A frame of this length whose bytes tell its number. */
static bool put(struct queue *q, unsigned number, size_t len, mono_t now, struct queue_losses *l)
{
	uint8_t frame[4096];

	memset(frame, (int)number, sizeof(frame));
	return queue_put(q, frame, len, now, l);
}

static void test_order(void **state)
{
	struct queue *q = queue_new(&limits);
	struct queue_losses l = { 0 };
	size_t next = 0, len;
	const uint8_t *f;

	(void)state;
	assert_null(queue_next(q, &next, &len));
	for (unsigned i = 1; i <= 3; i++)
		assert_true(put(q, i, 100 * i, at(i), &l));
	assert_int_equal(queue_frames(q), 3);
	next = 0;
	for (unsigned i = 1; i <= 3; i++) {
		f = queue_next(q, &next, &len);
		assert_non_null(f);
		assert_int_equal(len, 100 * i);
		assert_int_equal(f[0], i);
		assert_int_equal(f[len - 1], i);
	}
	assert_null(queue_next(q, &next, &len));
	queue_pop(q);
	next = 0;
	assert_int_equal(queue_next(q, &next, &len)[0], 2);
	queue_pop(q);
	queue_pop(q);
	queue_pop(q); /* of an empty one: nothing */
	assert_int_equal(queue_frames(q), 0);
	assert_int_equal(queue_bytes(q), 0);
	assert_int_equal(l.full + l.old, 0);
	queue_free(q);
}

static void test_oldest_goes(void **state)
{
	struct queue *q = queue_new(&limits);
	struct queue_losses l = { 0 };
	size_t next = 0, len;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_true(put(q, i, 984, at(0), &l)); /* four of them fit */
	assert_int_equal(queue_frames(q) + l.full, 10);
	assert_in_range(queue_frames(q), 3, 4);
	assert_int_equal(queue_next(q, &next, &len)[0], 10 - queue_frames(q));
	assert_true(queue_is_crowded(q));
	assert_false(put(q, 1, 4096, at(0), &l));
	assert_false(put(q, 1, 2040, at(0), &l));
	queue_free(q);
}

static void test_age(void **state)
{
	struct queue *q = queue_new(&limits);
	struct queue_losses l = { 0 };

	(void)state;
	put(q, 1, 50, at(0), &l);
	put(q, 2, 50, at(SEC / 2), &l);
	queue_expire(q, at(SEC), &l);
	assert_int_equal(queue_frames(q), 2);
	queue_expire(q, at(SEC + 1), &l);
	assert_int_equal(queue_frames(q), 1);
	put(q, 3, 50, at(2 * SEC), &l); /* looks by itself */
	assert_int_equal(queue_frames(q), 1);
	assert_int_equal(l.old, 2);
	assert_int_equal(l.full, 0);
	queue_free(q);
}

/* Against a plain list, at all positions of the ring's end. */
static void test_like_a_list(void **state)
{
	struct queue *q = queue_new(&(struct queue_limits){ .bytes = 4096, .age = 1000 * SEC });
	struct {
		unsigned number;
		size_t len;
	} list[1000];
	unsigned head = 0, tail = 0;

	(void)state;
	srand(1);
	for (unsigned step = 0; step < 200000; step++) {
		struct queue_losses l = { 0 };
		size_t next = 0, len = (size_t)rand() % 1500, got;
		unsigned n = 0;

		if (rand() % 3) {
			assert_true(put(q, step & 0xff, len, at(0), &l));
			list[tail % 1000].number = step & 0xff;
			list[tail++ % 1000].len = len;
			head += l.full;
		} else if (head != tail) {
			queue_pop(q);
			head++;
		}
		assert_int_equal(queue_frames(q), tail - head);
		assert_true(queue_bytes(q) <= 4096);
		for (const uint8_t *f; (f = queue_next(q, &next, &got)); n++) {
			assert_int_equal(got, list[(head + n) % 1000].len);
			if (got)
				assert_int_equal(f[got - 1], list[(head + n) % 1000].number);
		}
		assert_int_equal(n, tail - head);
	}
	queue_free(q);
}

static void test_no_queue(void **state)
{
	(void)state;
	assert_null(queue_new(&(struct queue_limits){ .bytes = 8, .age = SEC }));
	queue_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	 cmocka_unit_test(test_oldest_goes),
		cmocka_unit_test(test_age),	 cmocka_unit_test(test_like_a_list),
		cmocka_unit_test(test_no_queue),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
