/* links: router/streams router/stream_tcp router/stream_tls router/queue libcommon */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/streams.h"

/* One side: its streams, and what they have told. */
struct side {
	struct pool *pool;
	struct counters counters;
	struct streams *streams;
	unsigned frames, gone;
	uint32_t last; /* number of the last frame */
	bool in_order;
	bool close_at_frame;
	char why[64];
};

static void frames(void *arg, struct batch *b, mono_t now)
{
	struct side *s = arg;
	uint32_t id = b->n ? b->p[0]->stream : 0;

	(void)now;
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t number;

		memcpy(&number, b->p[i]->data + FRAME_HEADER, sizeof(number));
		s->in_order &= number == s->last + 1;
		s->last = number;
		s->frames++;
		pool_put(s->pool, b->p[i]);
	}
	if (s->close_at_frame)
		streams_close(s->streams, id);
}

static void gone(void *arg, uint32_t id, const char *why)
{
	struct side *s = arg;

	assert_true(id > 0);
	s->gone++;
	strncpy(s->why, why, sizeof(s->why) - 1);
}

static void open_side(struct side *s)
{
	const struct streams_hooks hooks = { .frames = frames, .gone = gone, .arg = s };
	const struct queue_limits limits = { .bytes = 256 * 1024, .age = 10 * SEC };

	memset(s, 0, sizeof(*s));
	s->in_order = true;
	s->pool = pool_new(256);
	s->streams = streams_new(false, &hooks, &limits);
	assert_non_null(s->streams);
	assert_true(streams_fd(s->streams) >= 0);
	streams_belong(s->streams, s->pool, &s->counters);
}

static void close_side(struct side *s)
{
	streams_free(s->streams);
	pool_free(s->pool);
}

/* Waits until there is something to do, and does it. */
static void turn(struct side *s)
{
	struct pollfd p = { .fd = streams_fd(s->streams), .events = POLLIN };

	assert_true(poll(&p, 1, 10000) > 0);
	streams_turn(s->streams, clock_now());
}

/* A frame of this size with a number in it. */
static size_t frame(uint8_t *out, uint32_t number, size_t size)
{
	struct frame_header h = { .type = FRAME_FORWARD,
				  .state = STATE_SIGNED,
				  .size = (uint16_t)size };

	memset(out, (int)number, size);
	frame_format(&h, out);
	memcpy(out + FRAME_HEADER, &number, sizeof(number));
	return size;
}

static const struct endpoint remote;

static void join(struct side *a, struct side *b, bool tls)
{
	int fd[2];
	const char *why;
	struct stream_tls *client = NULL, *server = NULL;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	if (tls) {
		struct stream *x, *y;
		int ex = -EAGAIN, ey = -EAGAIN;

		client = stream_tls_client();
		server = stream_tls_server(NULL, NULL, &why);
		x = stream_tls_new(client, fd[0], NULL);
		y = stream_tls_new(server, fd[1], NULL);
		while (ex || ey) {
			ex = ex ? x->ops->begin(x) : 0;
			ey = ey ? y->ops->begin(y) : 0;
		}
		assert_true(streams_add(a->streams, 7, x, &remote, NULL, 0, true, clock_now()));
		assert_true(streams_add(b->streams, 9, y, &remote, NULL, 0, true, clock_now()));
	} else {
		assert_true(streams_add(a->streams, 7, stream_tcp_new(fd[0]), &remote, NULL, 0,
					true, clock_now()));
		assert_true(streams_add(b->streams, 9, stream_tcp_new(fd[1]), &remote, NULL, 0,
					false, clock_now()));
	}
	stream_tls_free(client);
	stream_tls_free(server);
}

static void carry(bool tls)
{
	struct side a, b;
	uint8_t data[STREAM_FRAME_MAX];
	bool crowded;

	open_side(&a);
	open_side(&b);
	join(&a, &b, tls);
	streams_prove(b.streams, 9);
	for (uint32_t i = 1; i <= 20000; i++) {
		size_t size = FRAME_MIN + 4 + (i * 977) % (i % 50 ? 1500 : 9000);

		assert_true(streams_send(a.streams, 7, data, frame(data, i, size), clock_now(),
					 &crowded));
		if (i % 20)
			continue;
		streams_flush(a.streams, clock_now());
		while (b.frames < i) {
			streams_turn(a.streams, clock_now());
			streams_turn(b.streams, clock_now());
		}
	}
	assert_int_equal(b.frames, 20000);
	assert_true(b.in_order);
	assert_int_equal(counter_read(&a.counters.sent), 20000);
	streams_close(a.streams, 7);
	while (!b.gone)
		turn(&b);
	assert_int_equal(a.gone, 0);
	assert_string_equal(b.why, "closed by the other side");
	assert_int_equal(streams_count(b.streams), 0);
	assert_false(streams_send(a.streams, 7, data, frame(data, 1, 100), clock_now(), NULL));
	assert_int_equal(counter_read(&a.counters.drops[DROP_NO_WAY]), 1);
	close_side(&a);
	close_side(&b);
}

static void test_tcp(void **state)
{
	(void)state;
	carry(false);
}

static void test_tls(void **state)
{
	(void)state;
	carry(true);
}

/* A reader that does not read: its stream's memory stays bounded, others go on. */
static void test_slow_reader(void **state)
{
	struct side a, b;
	uint8_t data[STREAM_FRAME_MAX];
	bool crowded = false;
	int fd[2];

	(void)state;
	open_side(&a);
	open_side(&b);
	join(&a, &b, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_true(streams_add(a.streams, 8, stream_tcp_new(fd[0]), &remote, NULL, 0, true,
				clock_now()));
	for (uint32_t i = 1; i <= 5000; i++) {
		streams_send(a.streams, 8, data, frame(data, i, 1500), clock_now(), &crowded);
		streams_send(a.streams, 7, data, frame(data, i, 1500), clock_now(), NULL);
		streams_flush(a.streams, clock_now());
		streams_turn(a.streams, clock_now());
		streams_turn(b.streams, clock_now());
	}
	while (b.frames < 5000) {
		streams_turn(a.streams, clock_now());
		streams_turn(b.streams, clock_now());
	}
	assert_true(b.in_order);
	assert_true(crowded);
	assert_in_range(counter_read(&a.counters.drops[DROP_WAIT_FULL]), 4000, 5000);
	close(fd[1]);
	close_side(&a);
	close_side(&b);
}

/* Bytes by the one, sizes that no frame has, and one stream closed by what it brought. */
static void test_hostile(void **state)
{
	struct side a;
	uint8_t data[300], bad[FRAME_HEADER] = { 0x10, 0, 0xff, 0xff };
	int fd[2];

	(void)state;
	open_side(&a);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	frame(data, 1, sizeof(data));
	assert_true(streams_add(a.streams, 3, stream_tcp_new(fd[0]), &remote, data, 10, false,
				clock_now()));
	for (size_t i = 10; i < sizeof(data); i++) {
		assert_int_equal(a.frames, 0);
		assert_int_equal(write(fd[1], data + i, 1), 1);
		streams_turn(a.streams, clock_now());
	}
	assert_int_equal(a.frames, 1);
	assert_int_equal(write(fd[1], bad, sizeof(bad)), sizeof(bad));
	turn(&a);
	assert_int_equal(a.gone, 1);
	assert_string_equal(a.why, "what came is no frame");
	close(fd[1]);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	a.close_at_frame = true;
	assert_true(streams_add(a.streams, 3, stream_tcp_new(fd[0]), &remote, NULL, 0, false,
				clock_now()));
	for (uint32_t i = 2; i < 100; i++)
		assert_int_equal(write(fd[1], data, frame(data, i, 200)), 200);
	turn(&a);
	assert_int_equal(streams_count(a.streams), 0);
	assert_int_equal(a.gone, 1);
	close(fd[1]);
	close_side(&a);
}

/* Of those that have not proved themselves the oldest goes. */
static void test_unproved(void **state)
{
	struct side a;
	int fd[STREAMS_UNPROVED + 5][2];

	(void)state;
	open_side(&a);
	for (uint32_t i = 0; i < STREAMS_UNPROVED + 5; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd[i]), 0);
		assert_true(streams_add(a.streams, i + 1, stream_tcp_new(fd[i][0]), &remote, NULL,
					0, false, clock_now()));
		if (i == 0)
			streams_prove(a.streams, 1);
	}
	assert_int_equal(a.gone, 4);
	assert_int_equal(streams_count(a.streams), STREAMS_UNPROVED + 1);
	for (uint32_t i = 0; i < STREAMS_UNPROVED + 5; i++)
		close(fd[i][1]);
	close_side(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),	    cmocka_unit_test(test_tls),
		cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_unproved),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
