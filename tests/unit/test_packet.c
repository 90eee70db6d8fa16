/* links: common/packet */
/*
 * The pool: every packet once, clean, aligned and apart from its neighbours;
 * last in, first out; and no memory for buffers that nobody touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/packet.h"

#define BUFFER (PACKET_HEADROOM + PACKET_ROOM + PACKET_TAILROOM)

static void get_all_put_all(void **state)
{
	enum { N = 100 };
	struct pool *pool = pool_new(N);
	struct packet *p[N];

	(void)state;
	assert_non_null(pool);
	assert_int_equal(pool_size(pool), N);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(pool_left(pool), N);
		for (int i = 0; i < N; i++) {
			p[i] = pool_get(pool);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 64, 0);
			assert_int_equal((uintptr_t)p[i]->buffer % 64, 0);
			/* A neighbour's bytes or metadata would show below. */
			memset(p[i]->buffer, i, BUFFER);
			p[i]->len = (uint32_t)i;
		}
		assert_int_equal(pool_left(pool), 0);
		assert_null(pool_get(pool));
		for (int i = 0; i < N; i++) {
			assert_int_equal(p[i]->len, i);
			for (int b = 0; b < BUFFER; b++)
				assert_true(p[i]->buffer[b] == i);
			pool_put(pool, p[i]);
		}
	}
	pool_free(pool);
}

static void comes_clean(void **state)
{
	struct pool *pool = pool_new(1);
	struct packet *p = pool_get(pool), clean;
	uint8_t *buffer;

	(void)state;
	assert_non_null(p);
	buffer = p->buffer;
	memset(p, 0xff, sizeof(*p));
	p->buffer = buffer;
	p->parent = NULL;
	p->refs = 1;
	p->large = true;
	pool_put(pool, p);
	p = pool_get(pool);
	memset(&clean, 0, sizeof(clean));
	clean.buffer = buffer;
	clean.data = buffer + PACKET_HEADROOM;
	clean.refs = 1;
	clean.large = p->large;
	assert_memory_equal(p, &clean, sizeof(clean));
	assert_ptr_equal(packet_start(p), p->data);
	assert_int_equal(packet_room(p), PACKET_ROOM + PACKET_TAILROOM);
	pool_put(pool, p);
	pool_free(pool);
}

static void last_in_first_out(void **state)
{
	struct pool *pool = pool_new(8);
	struct packet *a = pool_get(pool), *b = pool_get(pool);

	(void)state;
	assert_true(a < b);
	pool_put(pool, a);
	pool_put(pool, b);
	assert_ptr_equal(pool_get(pool), b);
	assert_ptr_equal(pool_get(pool), a);
	pool_put(pool, a);
	pool_put(pool, b);
	pool_free(pool);
}

static void push_and_pull(void **state)
{
	struct pool *pool = pool_new(1);
	struct packet *p = pool_get(pool);

	(void)state;
	p->len = 100;
	assert_ptr_equal(packet_push(p, FRAME_HEADER), p->buffer + PACKET_HEADROOM - FRAME_HEADER);
	assert_int_equal(p->len, 124);
	assert_int_equal(packet_room(p), PACKET_ROOM + PACKET_TAILROOM + FRAME_HEADER);
	packet_pull(p, FRAME_HEADER);
	assert_ptr_equal(p->data, packet_start(p));
	assert_int_equal(p->len, 100);
	pool_put(pool, p);
	pool_free(pool);
}

static void empty_and_impossible(void **state)
{
	struct pool *pool = pool_new(0);

	(void)state;
	assert_non_null(pool);
	assert_null(pool_get(pool));
	assert_int_equal(pool_size(pool), 0);
	pool_free(pool);
	assert_null(pool_new(SIZE_MAX));
	assert_null(pool_new(SIZE_MAX / 8192));
	pool_free(NULL);
}

/* Pages of the n-th buffer that the kernel has given memory to. */
static size_t pages_of(const struct packet *p)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)p->buffer + page - 1) / page * page;
	uintptr_t last = ((uintptr_t)p->buffer + BUFFER) / page * page;
	unsigned char in[BUFFER / 4096 + 1];
	size_t n = 0;

	assert_int_equal(mincore((void *)first, last - first, in), 0);
	for (size_t i = 0; i < (last - first) / page; i++)
		n += in[i] & 1;
	return n;
}

static void untouched_buffers_cost_nothing(void **state)
{
	enum { N = 4096, FAR = 2048 };
	struct pool *pool = pool_new(N);
	static struct packet *p[N];

	(void)state;
	for (int i = 0; i < N; i++)
		p[i] = pool_get(pool);
	p[0]->data[0] = 1;
	/* Far enough apart that no huge page covers both. */
	assert_int_equal(pages_of(p[FAR]), 0);
	memset(p[FAR]->buffer, 1, BUFFER);
	assert_true(pages_of(p[FAR]) > 0);
	for (int i = 0; i < N; i++)
		pool_put(pool, p[i]);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_all_put_all),
		cmocka_unit_test(comes_clean),
		cmocka_unit_test(last_in_first_out),
		cmocka_unit_test(push_and_pull),
		cmocka_unit_test(empty_and_impossible),
		cmocka_unit_test(untouched_buffers_cost_nothing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
