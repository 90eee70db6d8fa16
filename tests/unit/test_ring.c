/* links: router/ring */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "router/ring.h"

static void test_sizes(void **state)
{
	(void)state;
	assert_null(ring_new(0, 8));
	assert_null(ring_new(8, 0));
	assert_null(ring_new(SIZE_MAX, 8));
	assert_null(ring_new(8, SIZE_MAX));
	ring_free(NULL);
}

/* Puts one record of a byte; whether there was room. */
static int put(struct ring *r, uint8_t value)
{
	uint8_t *p = ring_reserve(r);

	if (!p)
		return 0;
	*p = value;
	ring_commit(r, 1);
	return 1;
}

static void test_order_and_bounds(void **state)
{
	struct ring *r = ring_new(5, 100); /* rounded up to 8 */
	uint32_t len = 77;
	uint8_t *p;

	(void)state;
	assert_non_null(r);
	assert_null(ring_peek(r, &len));
	assert_int_equal(len, 77);

	/* Round and round, at every fill from empty to full. */
	for (int fill = 1; fill <= 8; fill++) {
		for (int i = 0; i < fill; i++) {
			assert_int_equal(ring_room(r), 8 - i);
			assert_true(put(r, (uint8_t)(fill * 10 + i)));
		}
		assert_int_equal(ring_room(r), 8 - fill);
		if (fill == 8)
			assert_null(ring_reserve(r));
		for (int i = 0; i < fill; i++) {
			p = ring_peek(r, &len);
			assert_non_null(p);
			assert_ptr_equal(ring_peek(r, &len), p);
			assert_int_equal(len, 1);
			assert_int_equal(*p, fill * 10 + i);
			ring_release(r);
		}
		assert_null(ring_peek(r, &len));
	}
	ring_free(r);
}

static void test_whole_slots(void **state)
{
	struct ring *r = ring_new(4, 1500);
	uint32_t len;
	uint8_t *p;

	(void)state;
	for (int i = 0; i < 4; i++) {
		p = ring_reserve(r);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		assert_ptr_equal(ring_reserve(r), p); /* not committed yet */
		memset(p, i, 1500);
		ring_commit(r, i == 2 ? 0 : 1500);
	}
	for (int i = 0; i < 4; i++) {
		p = ring_peek(r, &len);
		assert_non_null(p);
		assert_int_equal(len, i == 2 ? 0 : 1500);
		for (uint32_t j = 0; j < len; j++)
			assert_int_equal(p[j], i);
		ring_release(r);
	}
	ring_free(r);
}

#define RECORDS 1000000u

/* The length and every word of a record follow from its number. */
static uint32_t words_of(uint32_t number)
{
	return 1 + number * 2654435761u % 12;
}

static void *produce(void *arg)
{
	struct ring *r = arg;

	for (uint32_t number = 0; number < RECORDS;) {
		uint32_t *p = ring_reserve(r);

		if (!p) {
			sched_yield();
			continue;
		}
		for (uint32_t i = 0; i < words_of(number); i++)
			p[i] = number + i;
		ring_commit(r, words_of(number) * 4);
		number++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct ring *r = ring_new(256, 48);
	uint32_t wrong = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, produce, r), 0);
	for (uint32_t number = 0; number < RECORDS;) {
		uint32_t len;
		const uint32_t *p = ring_peek(r, &len);

		if (!p) {
			sched_yield();
			continue;
		}
		if (len == words_of(number) * 4) {
			for (uint32_t i = 0; i < len / 4; i++)
				wrong += p[i] != number + i;
		} else {
			wrong++;
		}
		ring_release(r);
		number++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_order_and_bounds),
		cmocka_unit_test(test_whole_slots),
		cmocka_unit_test(test_two_threads),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
