/* links: router/accept router/dial router/proxy router/stream_tcp router/stream_tls libcommon */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire.h"
#include "router/accept.h"
#include "router/dial.h"

#define SELF 2
#define PEER 1

struct test {
	struct loop *loop;
	struct stream_tls *client, *server;
	struct accept *accept;
	struct endpoint tcp, tls;
	struct stream *got; /* handed over */
	uint8_t first[FRAME_HEADER];
	struct stream *dialled;
	bool done;
	char why[DIAL_WHY];
};

static bool knows(void *arg, uint32_t source, uint32_t destination)
{
	(void)arg;
	return source == PEER && destination == SELF;
}

static void handed_over(void *arg, struct stream *s, const struct endpoint *from,
			const uint8_t *first, size_t len, mono_t now)
{
	struct test *t = arg;

	(void)now;
	assert_int_equal(from->ip.family, 4);
	assert_int_equal(len, FRAME_HEADER);
	memcpy(t->first, first, len);
	assert_null(t->got);
	t->got = s;
}

static void dialled(void *arg, struct stream *s, const char *why, mono_t now)
{
	struct test *t = arg;

	(void)now;
	assert_false(t->done);
	t->done = true;
	t->dialled = s;
	snprintf(t->why, sizeof(t->why), "%s", why ? why : "");
}

/* A port that nobody listens on just now. */
static struct endpoint free_port(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct endpoint e;

	assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&name, &e), 0);
	close(fd);
	return e;
}

static int set_up(void **state)
{
	struct test *t = calloc(1, sizeof(*t));
	struct accept_hooks hooks = { .knows = knows, .ready = handed_over, .arg = t };
	const char *why = NULL;

	t->loop = loop_new();
	t->client = stream_tls_client();
	t->server = stream_tls_server(NULL, NULL, &why);
	t->tcp = free_port();
	t->tls = free_port();
	t->accept = accept_open(t->loop, &t->tcp, 1, &t->tls, 1, t->server, &hooks, stderr);
	assert_non_null(t->accept);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct test *t = *state;

	if (t->got)
		t->got->ops->close(t->got);
	if (t->dialled)
		t->dialled->ops->close(t->dialled);
	accept_close(t->accept);
	stream_tls_free(t->client);
	stream_tls_free(t->server);
	loop_free(t->loop);
	free(t);
	return 0;
}

static void dial_and_wait(struct test *t, const struct dial_to *to, int64_t timeout)
{
	t->done = false;
	assert_non_null(dial_start(t->loop, to, timeout, clock_now(), dialled, t));
	assert_false(t->done);
	while (!t->done)
		loop_turn(t->loop, SEC);
}

static void header(uint8_t *out, uint32_t source)
{
	struct frame_header h = { .type = FRAME_HANDSHAKE,
				  .state = STATE_SIGNED,
				  .size = 100,
				  .source = source,
				  .destination = SELF };

	frame_format(&h, out);
}

static void introduce(struct test *t, uint32_t source)
{
	uint8_t data[FRAME_HEADER];
	struct iovec iov = { .iov_base = data, .iov_len = 10 };

	header(data, source);
	assert_int_equal(t->dialled->ops->write(t->dialled, &iov, 1), 10);
	loop_turn(t->loop, 0);
	assert_null(t->got);
	iov = (struct iovec){ .iov_base = data + 10, .iov_len = sizeof(data) - 10 };
	assert_int_equal(t->dialled->ops->write(t->dialled, &iov, 1), sizeof(data) - 10);
}

static void handover(struct test *t, const struct dial_to *to)
{
	uint8_t expected[FRAME_HEADER];

	dial_and_wait(t, to, 5 * SEC);
	assert_string_equal(t->why, "");
	assert_non_null(t->dialled);
	introduce(t, PEER);
	while (!t->got)
		loop_turn(t->loop, SEC);
	header(expected, PEER);
	assert_memory_equal(t->first, expected, sizeof(expected));
	assert_int_equal(accept_counts(t->accept)->handed_over, 1);
}

static void test_tcp(void **state)
{
	struct test *t = *state;

	handover(t, &(struct dial_to){ .connect = t->tcp, .host = "127.0.0.1" });
}

static void test_tls(void **state)
{
	struct test *t = *state;

	handover(t,
		 &(struct dial_to){ .connect = t->tls, .host = "vine.example", .tls = t->client });
}

static void test_unknown_router(void **state)
{
	struct test *t = *state;

	dial_and_wait(t, &(struct dial_to){ .connect = t->tcp, .host = "127.0.0.1" }, 5 * SEC);
	introduce(t, 99);
	while (!accept_counts(t->accept)->strange)
		loop_turn(t->loop, SEC);
	assert_null(t->got);
	assert_int_equal(accept_pending(t->accept), 0);
}

static int connect_to(const struct endpoint *e)
{
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(e, &name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
	return fd;
}

/* Who asks for a page gets 404, on either port. */
static void test_browser(void **state)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct test *t = *state;
	char answer[500];
	ssize_t n = 0;

	for (int tls = 0; tls < 2; tls++) {
		int fd = connect_to(tls ? &t->tls : &t->tcp);

		assert_int_equal(write(fd, get, sizeof(get) - 1), sizeof(get) - 1);
		while (accept_counts(t->accept)->http == (uint64_t)tls)
			loop_turn(t->loop, SEC);
		n = read(fd, answer, sizeof(answer) - 1);
		assert_true(n > 0);
		answer[n] = '\0';
		assert_ptr_equal(strstr(answer, "HTTP/1.1 404 Not Found\r\n"), answer);
		assert_int_equal(read(fd, answer, sizeof(answer)), 0);
		close(fd);
		while (accept_pending(t->accept))
			loop_turn(t->loop, SEC);
	}
	/* by TLS */
	dial_and_wait(t, &(struct dial_to){ .connect = t->tls, .host = "x", .tls = t->client },
		      5 * SEC);
	assert_non_null(t->dialled);
	t->dialled->ops->write(
		t->dialled, &(struct iovec){ .iov_base = (void *)get, .iov_len = sizeof(get) - 1 },
		1);
	while ((n = t->dialled->ops->read(t->dialled, answer, sizeof(answer) - 1)) == -EAGAIN)
		loop_turn(t->loop, 10 * MSEC);
	assert_true(n > 0);
	answer[n] = '\0';
	assert_ptr_equal(strstr(answer, "HTTP/1.1 404"), answer);
}

/* Connections that say nothing: bounded, for one source, oldest out. */
static void test_half_open(void **state)
{
	struct test *t = *state;
	int fd[ACCEPT_PER_SOURCE + 10];

	for (unsigned i = 0; i < ACCEPT_PER_SOURCE + 10; i++) {
		fd[i] = connect_to(i % 2 ? &t->tls : &t->tcp);
		while (accept_counts(t->accept)->accepted <= i)
			loop_turn(t->loop, SEC);
	}
	assert_int_equal(accept_pending(t->accept), ACCEPT_PER_SOURCE);
	assert_int_equal(accept_counts(t->accept)->pushed_out, 10);
	handover(t, &(struct dial_to){ .connect = t->tcp, .host = "127.0.0.1" });
	for (unsigned i = 0; i < ACCEPT_PER_SOURCE + 10; i++)
		close(fd[i]);
}

static void test_dial_refused(void **state)
{
	struct test *t = *state;
	struct endpoint nobody = free_port();

	dial_and_wait(t, &(struct dial_to){ .connect = nobody, .host = "127.0.0.1" }, 5 * SEC);
	assert_null(t->dialled);
	assert_string_equal(t->why, "TCP: Connection refused");
}

/* The listener lets it in, and never answers. */
static void test_dial_late(void **state)
{
	struct test *t = *state;
	struct dial_to to = { .connect = t->tcp, .host = "127.0.0.1", .tls = t->client };

	dial_and_wait(t, &to, 200 * MSEC);
	assert_null(t->dialled);
	assert_non_null(strstr(t->why, "TLS: "));
}

struct fake_proxy {
	int listener, fd;
	struct endpoint at;
};

static struct fake_proxy fake_proxy(void)
{
	struct fake_proxy p = { .fd = -1, .at = free_port() };
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(&p.at, &name);

	p.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(p.listener, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(p.listener, 1), 0);
	return p;
}

static void through_proxy(struct test *t, const char *answer)
{
	struct fake_proxy p = fake_proxy();
	struct proxy proxy;
	struct dial_to to = {
		.connect = p.at, .proxy = &proxy, .host = "far.example", .port = 443
	};
	char request[500];
	ssize_t n;

	assert_true(proxy_parse("http://u:p@ignored", &proxy));
	t->done = false;
	assert_non_null(dial_start(t->loop, &to, 5 * SEC, clock_now(), dialled, t));
	p.fd = accept(p.listener, NULL, NULL);
	loop_turn(t->loop, SEC);
	n = read(p.fd, request, sizeof(request) - 1);
	assert_true(n > 0);
	request[n] = '\0';
	assert_ptr_equal(strstr(request, "CONNECT far.example:443 HTTP/1.1\r\n"), request);
	assert_non_null(strstr(request, "Basic dTpw\r\n"));
	for (size_t i = 0; i < strlen(answer) && !t->done; i++) {
		assert_int_equal(write(p.fd, answer + i, 1), 1);
		loop_turn(t->loop, 10 * MSEC);
	}
	while (!t->done)
		loop_turn(t->loop, SEC);
	close(p.fd);
	close(p.listener);
}

static void test_proxy(void **state)
{
	struct test *t = *state;
	char rest[8] = "";

	through_proxy(t, "HTTP/1.1 200 OK\r\nX: y\r\n\r\n");
	assert_non_null(t->dialled);
	assert_int_equal(t->dialled->ops->read(t->dialled, rest, sizeof(rest)), 0);
}

static void test_proxy_refuses(void **state)
{
	struct test *t = *state;

	through_proxy(t, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
	assert_null(t->dialled);
	assert_string_equal(t->why, "proxy: 407 Proxy Authentication Required");
}

static void test_cancel(void **state)
{
	struct test *t = *state;
	struct dial_to to = { .connect = t->tcp, .host = "127.0.0.1" };

	dial_cancel(dial_start(t->loop, &to, SEC, clock_now(), dialled, t));
	loop_turn(t->loop, 10 * MSEC);
	assert_false(t->done);
	dial_cancel(NULL);
	accept_close(NULL);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_tcp),	      TEST(test_tls),	    TEST(test_unknown_router),
		TEST(test_browser),   TEST(test_half_open), TEST(test_dial_refused),
		TEST(test_dial_late), TEST(test_proxy),	    TEST(test_proxy_refuses),
		TEST(test_cancel),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
