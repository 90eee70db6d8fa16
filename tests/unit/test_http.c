/* links: librouter libcommon */
/*
 * Requests as they are read, and as they are served: at once, later, never; too many, too
 * long, too late.
 */
#include "router/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- heads ----------------------------------------------------------------------- */

static void heads(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *method, *path, *query;
	} cases[] = {
		{ "", 0, 0, 0, 0 },
		{ "GET /metrics HTTP/1.1\r\n", 0, 0, 0, 0 },
		{ "GET /metrics HTTP/1.1\r\nHost: x\r\n", 0, 0, 0, 0 },
		{ "GET /metrics HTTP/1.1\r\n\r", 0, 0, 0, 0 },
		{ "GET /metrics HTTP/1.1\r\n\r\n", 200, "GET", "/metrics", "" },
		{ "GET /metrics HTTP/1.0\n\n", 200, "GET", "/metrics", "" },
		{ "GET /m?x=y?z HTTP/1.1\r\nHost: x\r\n\r\n", 200, "GET", "/m", "x=y?z" },
		{ "POST / HTTP/1.1\r\n\r\n", 200, "POST", "/", "" },
		{ "GET /metrics\r\n\r\n", 400, 0, 0, 0 },
		{ "GET /metrics HTTP/2.0\r\n\r\n", 400, 0, 0, 0 },
		{ "GET  /metrics HTTP/1.1\r\n\r\n", 400, 0, 0, 0 },
		{ "GET ?x HTTP/1.1\r\n\r\n", 400, 0, 0, 0 },
		{ "GET /metrics HTTP/1.1 x\r\n\r\n", 400, 0, 0, 0 },
		{ "GET /metrics HTTP/1. \r\n\r\n", 400, 0, 0, 0 },
		{ "\r\n\r\n", 400, 0, 0, 0 },
		{ "\n\n", 400, 0, 0, 0 },
	};
	char *large = malloc(HTTP_HEAD + 4);
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (http_parse(cases[i].text, strlen(cases[i].text), &h) != cases[i].status)
			fail_msg("%s", cases[i].text);
		if (cases[i].status != 200)
			continue;
		assert_true(http_is(&h.method, cases[i].method));
		assert_true(http_is(&h.path, cases[i].path));
		assert_true(http_is(&h.query, cases[i].query));
	}
	memset(large, 'x', HTTP_HEAD + 4);
	assert_int_equal(http_parse(large, HTTP_HEAD - 1, &h), 0);
	assert_int_equal(http_parse(large, HTTP_HEAD, &h), 431);
	free(large);
}

static void fields(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\n"
				   "Host: a:1\r\n"
				   "aUTHORIZATION:\t Bearer x y  \r\n"
				   "Empty:  \r\n"
				   "Twice: 1\r\n"
				   "Control: a\001b\r\n"
				   "twice: 2\r\n"
				   "nothing\r\n"
				   " folded: x\r\n"
				   "Long: 0123456789abcdef\r\n"
				   "\r\n";
	struct http_head h;
	char value[17];

	(void)state;
	assert_int_equal(http_parse(text, sizeof(text) - 1, &h), 200);
	assert_true(http_field(&h, "Host", value, sizeof(value)));
	assert_string_equal(value, "a:1");
	assert_true(http_field(&h, "Authorization", value, sizeof(value)));
	assert_string_equal(value, "Bearer x y");
	assert_true(http_field(&h, "Long", value, sizeof(value)));
	assert_false(http_field(&h, "Long", value, sizeof(value) - 1));
	assert_false(http_field(&h, "Empty", value, sizeof(value)));
	assert_false(http_field(&h, "Twice", value, sizeof(value)));
	assert_false(http_field(&h, "Control", value, sizeof(value)));
	assert_false(http_field(&h, "nothing", value, sizeof(value)));
	assert_false(http_field(&h, "folded", value, sizeof(value)));
	assert_false(http_field(&h, "Missing", value, sizeof(value)));
}

/* ---- serving --------------------------------------------------------------------- */

struct world {
	struct loop *loop;
	struct http *http;
	struct endpoint at;
	struct http_request *waits; /* asked for /later */
	unsigned gone;
};

static void asked(void *arg, struct http_request *q, mono_t now)
{
	struct world *w = arg;

	(void)now;
	if (http_is(&http_head(q)->path, "/later"))
		w->waits = q;
	else if (http_is(&http_head(q)->path, "/405"))
		http_say_405(q, "PUT");
	else
		http_say(q, 200, "here");
}

static void gone(void *arg, struct http_request *q)
{
	struct world *w = arg;

	assert_ptr_equal(q, w->waits);
	w->waits = NULL;
	w->gone++;
}

static int begin(void **state)
{
	static const struct http_limits limits = { 6, 4, 5 * SEC };
	const uint8_t loopback[4] = { 127, 0, 0, 1 };
	struct world *w = calloc(1, sizeof(*w));
	const struct http_hooks hooks = { asked, gone, w };

	w->loop = loop_new();
	w->at.ip = ip_from_v4(loopback);
	for (unsigned port = 20000; port < 60000 && !w->http; port += 7) {
		char *said;
		size_t len;
		FILE *errors = open_memstream(&said, &len);

		w->at.port = (uint16_t)port;
		w->http = http_open(w->loop, &w->at, &limits, &hooks, "test", errors);
		fclose(errors);
		if (!w->http)
			assert_int_equal(strncmp(said, "test at 127.0.0.1:", 18), 0);
		free(said);
	}
	*state = w;
	return w->http ? 0 : -1;
}

static int end(void **state)
{
	struct world *w = *state;

	http_close(w->http);
	loop_free(w->loop);
	free(w);
	return 0;
}

/* From 127.0.0.N. */
static int connect_from(struct world *w, uint8_t n)
{
	struct endpoint from = w->at;
	struct sockaddr_storage sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned len;

	from.ip.b[3] = n;
	from.port = 0;
	len = endpoint_to_sockaddr(&from, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = endpoint_to_sockaddr(&w->at, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	loop_turn(w->loop, MSEC);
	return fd;
}

static int ask(struct world *w, uint8_t n, const char *path)
{
	char text[100];
	int fd = connect_from(w, n);

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n\r\n", path);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	for (int i = 0; i < 10; i++)
		loop_turn(w->loop, MSEC);
	return fd;
}

/* Everything up to the end of the connection, which is closed. */
static const char *heard(struct world *w, int fd)
{
	static char out[2000];
	size_t len = 0;

	for (unsigned turns = 0; turns < 10000;) {
		ssize_t n = recv(fd, out + len, sizeof(out) - 1 - len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		loop_turn(w->loop, MSEC);
		turns++;
	}
	close(fd);
	out[len] = '\0';
	return out;
}

static void answers(void **state)
{
	struct world *w = *state;
	const char *text;
	int fd = ask(w, 1, "/");

	assert_string_equal(heard(w, fd),
			    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
			    "Cache-Control: no-store\r\nContent-Length: 5\r\n"
			    "Connection: close\r\n\r\nhere\n");
	text = heard(w, ask(w, 1, "/405"));
	assert_int_equal(strncmp(text, "HTTP/1.1 405 Method Not Allowed\r\n", 33), 0);
	assert_non_null(strstr(text, "\r\nAllow: PUT\r\n"));
	text = heard(w, ask(w, 1, ""));
	assert_int_equal(strncmp(text, "HTTP/1.1 400 Bad Request\r\n", 26), 0);
	/* later */
	fd = ask(w, 7, "/later");
	assert_non_null(w->waits);
	assert_int_equal(http_from(w->waits)->b[3], 7);
	assert_int_equal(http_at(w->waits)->b[3], 1);
	http_say(w->waits, 503, "then");
	assert_non_null(strstr(heard(w, fd), "\r\n\r\nthen\n"));
	assert_int_equal(w->gone, 0);
}

static void too_late(void **state)
{
	struct world *w = *state;
	int fd = ask(w, 1, "/later");

	assert_non_null(w->waits);
	loop_fire(w->loop, mono_add(clock_now(), 6 * SEC));
	assert_null(w->waits);
	assert_int_equal(w->gone, 1);
	assert_string_equal(heard(w, fd), "");
	/* with the server */
	fd = ask(w, 1, "/later");
	http_close(w->http);
	w->http = NULL;
	assert_int_equal(w->gone, 2);
	close(fd);
}

static void too_many(void **state)
{
	struct world *w = *state;
	int fds[6];

	for (int i = 0; i < 4; i++)
		fds[i] = connect_from(w, 1);
	assert_string_equal(heard(w, connect_from(w, 1)), "");
	for (int i = 4; i < 6; i++)
		fds[i] = connect_from(w, 2);
	assert_string_equal(heard(w, connect_from(w, 3)), "");
	close(fds[0]);
	loop_turn(w->loop, MSEC);
	assert_non_null(strstr(heard(w, ask(w, 3, "/")), "here"));
	for (int i = 1; i < 6; i++)
		close(fds[i]);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads), cmocka_unit_test(fields), TEST(answers),
		TEST(too_late),		 TEST(too_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
