/* links: router/stream_tcp router/stream_tls common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "router/stream.h"

#define BYTES (3 << 20)

/* Two ends of a TCP connection. */
static void connection(int fd[2])
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&name, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&name, len), 0);
	fd[1] = accept(listener, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(listener);
}

static void wait_for(struct stream *a, struct stream *b)
{
	struct pollfd p[2] = { { .fd = a->fd, .events = (short)a->wants },
			       { .fd = b->fd, .events = (short)b->wants } };

	assert_true(poll(p, 2, 10000) > 0);
}

static void begin(struct stream *a, struct stream *b)
{
	int ea = -EAGAIN, eb = -EAGAIN;

	while (ea || eb) {
		ea = ea ? a->ops->begin(a) : 0;
		eb = eb ? b->ops->begin(b) : 0;
		assert_true(!ea || ea == -EAGAIN);
		assert_true(!eb || eb == -EAGAIN);
		if (ea && eb)
			wait_for(a, b);
	}
}

/* Sends many bytes in odd pieces, all but blocking, and finds them at the other end. */
static void carry(struct stream *from, struct stream *to)
{
	uint8_t *sent = malloc(BYTES), *got = malloc(BYTES);
	size_t out = 0, in = 0;

	for (size_t i = 0; i < BYTES; i++)
		sent[i] = (uint8_t)(i * 2654435761u >> 13);
	while (in < BYTES) {
		size_t left = BYTES - out, first = left < 1000 ? left : 1000;
		struct iovec iov[2] = {
			{ .iov_base = sent + out, .iov_len = first },
			{ .iov_base = sent + out + first,
			  .iov_len = left - first < 40000 ? left - first : 40000 },
		};
		ssize_t w =
			left || from->unsent ? from->ops->write(from, iov, left ? 2 : 0) : -EAGAIN;
		ssize_t r = to->ops->read(to, got + in, BYTES - in);

		assert_true(w >= 0 || w == -EAGAIN);
		assert_true(r > 0 || r == -EAGAIN);
		out += w > 0 ? (size_t)w : 0;
		in += r > 0 ? (size_t)r : 0;
		if (w == -EAGAIN && r == -EAGAIN)
			wait_for(from, to);
	}
	assert_false(from->unsent);
	assert_memory_equal(sent, got, BYTES);
	free(sent);
	free(got);
}

static void ends(struct stream *a, struct stream *b)
{
	uint8_t byte;
	ssize_t n;

	a->ops->close(a);
	while ((n = b->ops->read(b, &byte, 1)) == -EAGAIN) {
		struct pollfd p = { .fd = b->fd, .events = (short)b->wants };

		assert_true(poll(&p, 1, 10000) > 0);
	}
	assert_int_equal(n, 0);
	b->ops->close(b);
}

static void test_tcp(void **state)
{
	int fd[2];
	struct stream *a, *b;

	(void)state;
	connection(fd);
	a = stream_tcp_new(fd[0]);
	b = stream_tcp_new(fd[1]);
	assert_non_null(a);
	assert_non_null(b);
	begin(a, b);
	assert_string_equal(a->ops->name, "tcp");
	carry(a, b);
	carry(b, a);
	ends(a, b);
}

static void test_tls(void **state)
{
	const char *why = NULL;
	struct stream_tls *client = stream_tls_client();
	struct stream_tls *server = stream_tls_server(NULL, NULL, &why);
	int fd[2];
	struct stream *a, *b;

	(void)state;
	assert_non_null(client);
	assert_non_null(server);
	connection(fd);
	a = stream_tls_new(client, fd[0], "vine.example");
	b = stream_tls_new(server, fd[1], NULL);
	assert_non_null(a);
	assert_non_null(b);
	stream_tls_free(client);
	stream_tls_free(server);
	begin(a, b);
	carry(a, b);
	carry(b, a);
	ends(a, b);
}

/* What does not speak TLS ends the handshake, and no more than that. */
static void test_not_tls(void **state)
{
	static const char get[] = "GET / HTTP/1.0\r\n\r\n";
	const char *why = NULL;
	struct stream_tls *server = stream_tls_server(NULL, NULL, &why);
	int fd[2], e;
	struct stream *b;

	(void)state;
	connection(fd);
	b = stream_tls_new(server, fd[1], NULL);
	assert_int_equal(write(fd[0], get, sizeof(get)), sizeof(get));
	while ((e = b->ops->begin(b)) == -EAGAIN)
		wait_for(b, b);
	assert_int_equal(e, -EPROTO);
	b->ops->close(b);
	close(fd[0]);
	stream_tls_free(server);
}

static void test_no_certificate(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_null(stream_tls_server("/nonexistent.pem", "/nonexistent.key", &why));
	assert_non_null(strstr(why, "certificate"));
	assert_null(stream_tls_server("/nonexistent.pem", NULL, &why));
	assert_null(stream_tls_server(NULL, "/nonexistent.key", &why));
	stream_tls_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_not_tls),
		cmocka_unit_test(test_no_certificate),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
