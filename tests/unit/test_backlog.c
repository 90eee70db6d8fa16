/* links: router/backlog router/queue router/path common/addr common/packet common/wire */
/*
 * What waits for a router that asks: oldest first, as it came, marked when it grows,
 * accounted for whatever becomes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "router/backlog.h"

struct fixture {
	struct worker w;
	struct backlog *b;
	struct path path;
	uint64_t put;
};

static const mono_t start = { 1000 * SEC };

static void begin(struct fixture *f, uint32_t bytes)
{
	memset(f, 0, sizeof(*f));
	f->w.pool = pool_new(200);
	f->b = backlog_new(&(struct queue_limits){ .bytes = bytes, .age = SEC });
	assert_non_null(f->w.pool);
	assert_non_null(f->b);
}

static uint64_t lost(const struct fixture *f, enum drop d)
{
	return counter_read(&f->w.counters.drops[d]);
}

static void finish(struct fixture *f, uint64_t taken)
{
	uint64_t left = backlog_free(f->b);

	assert_int_equal(pool_left(f->w.pool), pool_size(f->w.pool));
	pool_free(f->w.pool);
	assert_int_equal(counter_read(&f->w.counters.made), f->put - left);
	assert_int_equal(f->put, left + taken + lost(f, DROP_WAIT_FULL) + lost(f, DROP_WAIT_OLD));
}

/* A queue frame, or a plain one, of len bytes, which says its number. */
static bool put(struct fixture *f, uint32_t number, bool queued, uint8_t tos, size_t len,
		mono_t now)
{
	struct packet *p = pool_get(f->w.pool);
	struct frame_header h = { .type = FRAME_FORWARD,
				  .state = STATE_SIGNED,
				  .size = (uint16_t)len,
				  .network = 8000,
				  .source = number };
	bool kept;

	memset(p->data, (int)number, len);
	if (queued) {
		queue_frame_format(&h, len - FRAME_OVERHEAD, 0, p->data);
		h.size -= FRAME_OVERHEAD;
		frame_format(&h, p->data + FRAME_HEADER);
	} else {
		frame_format(&h, p->data);
	}
	p->len = (uint32_t)len;
	p->outer_tos = tos;
	p->path = &f->path;
	kept = backlog_put(f->b, &f->w, p, now);
	f->put += kept;
	pool_put(f->w.pool, p);
	return kept;
}

static uint32_t number_of(const struct packet *p)
{
	struct frame_header h;

	assert_int_equal(frame_parse(p->data, p->len, &h), FRAME_OK);
	return h.source;
}

static void put_back(struct fixture *f, struct batch *b)
{
	while (b->n)
		pool_put(f->w.pool, b->p[--b->n]);
}

static void oldest_first(void **state)
{
	struct fixture f;
	struct batch b = { .n = 0 };
	uint32_t next = 0;

	(void)state;
	begin(&f, 1 << 20);
	for (uint32_t i = 0; i < 150; i++)
		assert_true(put(&f, i, i % 2, 0, 100 + i, start));
	while (backlog_take(f.b, &f.w, &b, 1 << 20, start) > 0) {
		for (unsigned i = 0; i < b.n; i++) {
			assert_int_equal(number_of(b.p[i]), next);
			assert_int_equal(b.p[i]->len, 100 + next++);
		}
		put_back(&f, &b);
	}
	assert_int_equal(next, 150);
	assert_int_equal(backlog_bytes(f.b), 0);
	finish(&f, 150);
}

/* No more than is asked for, and nothing in part. */
static void as_much_as_asked(void **state)
{
	struct fixture f;
	struct batch b = { .n = 0 };

	(void)state;
	begin(&f, 1 << 20);
	for (uint32_t i = 0; i < 10; i++)
		put(&f, i, true, 0, 1000, start);
	assert_int_equal(backlog_take(f.b, &f.w, &b, 999, start), 0);
	assert_int_equal(b.n, 0);
	assert_int_equal(backlog_take(f.b, &f.w, &b, 2999, start), 2000);
	assert_int_equal(b.n, 2);
	put_back(&f, &b);
	finish(&f, 2);
}

static void bounded(void **state)
{
	struct fixture f;
	struct batch b = { .n = 0 };
	uint64_t full;

	(void)state;
	begin(&f, 20000);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(put(&f, i, true, 0, 1000, start));
	full = lost(&f, DROP_WAIT_FULL);
	assert_in_range(full, 80, 90);
	assert_true(backlog_bytes(f.b) <= 20000);
	assert_false(put(&f, 0, true, 0, 15000, start));
	backlog_take(f.b, &f.w, &b, 20000, start);
	assert_int_equal(b.n, 100 - full);
	assert_int_equal(number_of(b.p[b.n - 1]), 99);
	put_back(&f, &b);

	put(&f, 1, true, 0, 1000, start);
	put(&f, 2, true, 0, 1000, mono_add(start, 700 * MSEC));
	backlog_take(f.b, &f.w, &b, 20000, mono_add(start, 1100 * MSEC));
	assert_int_equal(b.n, 1);
	assert_int_equal(number_of(b.p[0]), 2);
	assert_int_equal(lost(&f, DROP_WAIT_OLD), 1);
	put_back(&f, &b);
	finish(&f, 100 - full + 1);
}

/* The network field of a queue frame keeps DSCP and ECN, with a mark from a quarter on; a
 * plain frame stays as it is, and its sender is told. */
static void marks(void **state)
{
	struct fixture f;
	struct batch b = { .n = 0 };
	struct frame_header h;

	(void)state;
	begin(&f, 20000);
	for (uint32_t i = 0; i < 10; i++) {
		put(&f, i, true, (uint8_t)(0xb8 | i % 3), 1000, start);
		assert_int_equal(f.path.crowded, i >= 4);
	}
	put(&f, 10, false, 0xba, 1000, start);
	backlog_take(f.b, &f.w, &b, 20000, start);
	assert_int_equal(b.n, 11);
	for (uint32_t i = 0; i < 10; i++) {
		unsigned ecn = i % 3;

		frame_parse(b.p[i]->data, b.p[i]->len, &h);
		assert_int_equal(queue_frame_tos(&h), 0xb8 | (i > 4 && ecn ? 3 : ecn));
	}
	frame_parse(b.p[10]->data, b.p[10]->len, &h);
	assert_int_equal(h.network, 8000);
	put_back(&f, &b);
	put(&f, 11, true, 2, 1000, start);
	assert_false(f.path.crowded);
	finish(&f, 11);
}

/* Without packets to put them into they stay. */
static void no_buffers(void **state)
{
	struct fixture f;
	struct batch b = { .n = 0 }, all = { .n = 0 };
	struct packet *p, *list = NULL;

	(void)state;
	begin(&f, 20000);
	put(&f, 7, true, 0, 1000, start);
	while ((p = pool_get(f.w.pool))) {
		p->next = list;
		list = p;
	}
	assert_int_equal(backlog_take(f.b, &f.w, &b, 20000, start), 0);
	while (list) {
		p = list;
		list = p->next;
		pool_put(f.w.pool, p);
	}
	assert_int_equal(backlog_take(f.b, &f.w, &all, 20000, start), 1000);
	put_back(&f, &all);
	finish(&f, 1);
}

static void on_and_off(void **state)
{
	struct fixture f;

	(void)state;
	assert_false(backlog_is_on(NULL));
	assert_int_equal(backlog_free(NULL), 0);
	begin(&f, 20000);
	assert_false(backlog_is_on(f.b));
	backlog_set(f.b, true);
	assert_true(backlog_is_on(f.b));
	finish(&f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oldest_first), cmocka_unit_test(as_much_as_asked),
		cmocka_unit_test(bounded),	cmocka_unit_test(marks),
		cmocka_unit_test(no_buffers),	cmocka_unit_test(on_and_off),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
