/* links: librouter libcommon */
/*
 * The page of figures, line by line against the text format's grammar, and the
 * way it is served.
 */
#include "router/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/control_world.h"

static const mono_t start = { 1000 * SEC };

struct state_of_test {
	struct loop *loop;
	struct router *router;
};

static int setup(void **state)
{
	struct state_of_test *t = calloc(1, sizeof(*t));

	t->loop = loop_new();
	t->router = control_router(t->loop, start);
	*state = t;
	return t->router ? 0 : -1;
}

static int teardown(void **state)
{
	struct state_of_test *t = *state;

	router_free(t->router);
	loop_free(t->loop);
	free(t);
	return 0;
}

static char *page(struct state_of_test *t)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	metrics_write(t->router, f, mono_add(start, 1500 * MSEC));
	assert_int_equal(fclose(f), 0);
	return text;
}

static const char *skip_name(const char *p)
{
	assert_true(isalpha((unsigned char)*p) || *p == '_');
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

static const char *skip_labels(const char *p)
{
	assert_int_equal(*p++, '{');
	for (;;) {
		p = skip_name(p);
		assert_int_equal(*p++, '=');
		assert_int_equal(*p++, '"');
		for (; *p != '"'; p++) {
			assert_int_not_equal(*p, '\0');
			if (*p == '\\') {
				p++;
				assert_true(*p == '\\' || *p == '"' || *p == 'n');
			}
		}
		p++;
		if (*p == '}')
			return p + 1;
		assert_int_equal(*p++, ',');
	}
}

struct family_seen {
	char name[64], type[16];
	bool help;
	unsigned samples;
};

/* "# HELP name text" and "# TYPE name type", in this order, before the samples. */
static void comment(const char *line, struct family_seen *f, char seen[][64], unsigned *n)
{
	const char *name = line + 7, *end = skip_name(name);

	assert_int_equal(*end, ' ');
	if (!strncmp(line, "# HELP ", 7)) {
		*f = (struct family_seen){ .help = true };
		snprintf(f->name, sizeof(f->name), "%.*s", (int)(end - name), name);
		assert_true(strlen(end + 1) > 5);
		for (unsigned i = 0; i < *n; i++)
			assert_string_not_equal(seen[i], f->name);
		strcpy(seen[(*n)++], f->name);
		return;
	}
	assert_int_equal(strncmp(line, "# TYPE ", 7), 0);
	assert_true(f->help && f->samples == 0 && !f->type[0]);
	assert_int_equal(strlen(f->name), end - name);
	assert_int_equal(strncmp(f->name, name, (size_t)(end - name)), 0);
	snprintf(f->type, sizeof(f->type), "%s", end + 1);
	assert_true(!strcmp(f->type, "counter") || !strcmp(f->type, "gauge"));
	/* Counters, and nothing else, end in _total. */
	assert_int_equal(!strcmp(f->type, "counter"),
			 strlen(f->name) > 6 && !strcmp(f->name + strlen(f->name) - 6, "_total"));
}

static void sample(const char *line, struct family_seen *f)
{
	const char *p = skip_name(line);
	char *end;

	assert_true(f->type[0]);
	assert_int_equal(strlen(f->name), p - line);
	assert_int_equal(strncmp(f->name, line, (size_t)(p - line)), 0);
	if (*p == '{')
		p = skip_labels(p);
	assert_int_equal(*p++, ' ');
	assert_true(strtod(p, &end) >= 0);
	assert_true(end > p && *end == '\0');
	f->samples++;
}

static void grammar(void **state)
{
	struct state_of_test *t = *state;
	char *text = page(t), *rest = text, *line;
	struct family_seen f = { 0 };
	char seen[128][64];
	unsigned families = 0, lines = 0;

	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&rest, "\n")) && rest) {
		lines++;
		assert_int_equal(strncmp(line, "vine_", 5) && strncmp(line, "# ", 2), 0);
		if (*line == '#')
			comment(line, &f, seen, &families);
		else
			sample(line, &f);
		assert_int_equal(strncmp(f.name, "vine_", 5), 0);
	}
	assert_true(lines > DROPS + EVENTS);
	assert_true(families > 10);
	free(text);
}

static void has(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (!at || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line \"%s\"", line);
}

static void values(void **state)
{
	struct state_of_test *t = *state;
	struct contact *c = router_contact_by_id(t->router, 2);
	struct path path = { .way = { .remote = { .ip = { .family = 4 } } }, .frame_max = 1472 };
	char line[128], *text;

	counter_add(&t->router->workers[0].counters.traffic[OUT].packets, 3);
	counter_add(&t->router->workers[1].counters.traffic[OUT].packets, 4);
	counter_add(&t->router->networks[1]->share[1]->traffic[IN].bytes, UINT64_MAX / 2);
	counter_add(&t->router->workers[1].counters.drops[DROP_BAD_MAC], 5);
	counter_add(&t->router->events[EVENT_REKEYS], 6);
	counter_add(&c->peer->share[0]->traffic[IN].bytes, 8);
	c->up = true;
	c->rtt = 1500 * USEC;
	c->peer->path = &path;
	text = page(t);
	c->peer->path = NULL;

	has(text, "vine_packets_total{direction=\"out\"} 7");
	has(text, "vine_packets_total{direction=\"in\"} 0");
	has(text, "vine_bytes_total{direction=\"in\",network=\"8001\"} 9223372036854775807");
	has(text, "vine_bytes_total{direction=\"out\",network=\"8000\"} 0");
	has(text, "vine_drops_total{reason=\"bad-mac\"} 5");
	has(text, "vine_rekeys_total 6");
	has(text, "vine_peer_up{peer=\"chicago\"} 1");
	has(text, "vine_peer_up{peer=\"purdue\"} 0");
	has(text, "vine_peer_rtt_seconds{peer=\"chicago\"} 0.001500000");
	assert_null(strstr(text, "vine_peer_rtt_seconds{peer=\"purdue\"}"));
	has(text, "vine_path_mtu_bytes{peer=\"chicago\"} 1500");
	has(text, "vine_peer_bytes_total{peer=\"chicago\",direction=\"in\"} 8");
	has(text, "vine_table_version 1");
	has(text, "vine_uptime_seconds 1.500");
	has(text, "vine_router_info{name=\"florida\",id=\"1\",version=\"" VINE_VERSION "\"} 1");
	for (enum drop d = 0; d < DROPS; d++) {
		snprintf(line, sizeof(line), "vine_drops_total{reason=\"%s\"} %d", drop_label(d),
			 d == DROP_BAD_MAC ? 5 : 0);
		has(text, line);
	}
	free(text);
}

static void labels(void **state)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	metrics_label(f, "a\"b\\c\nd");
	fclose(f);
	assert_string_equal(text, "a\\\"b\\\\c\\nd");
	free(text);
}

/* A port that is free now, on the loopback. */
static struct metrics *serve(struct state_of_test *t, struct endpoint *ret)
{
	const uint8_t loopback[4] = { 127, 0, 0, 1 };

	for (unsigned port = 20000; port < 60000; port += 7) {
		char *said;
		size_t len;
		FILE *errors = open_memstream(&said, &len);
		struct metrics *m;

		*ret = (struct endpoint){ .ip = ip_from_v4(loopback), .port = (uint16_t)port };
		m = metrics_open(t->router, ret, errors);
		fclose(errors);
		free(said);
		if (m)
			return m;
	}
	fail_msg("no free port");
	return NULL;
}

static int connect_to(const struct endpoint *e)
{
	struct sockaddr_storage sa;
	unsigned len = endpoint_to_sockaddr(e, &sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Everything up to the end of the connection. */
static size_t read_all(struct state_of_test *t, int fd, char *out, size_t room)
{
	size_t len = 0;

	for (unsigned turns = 0; turns < 10000;) {
		ssize_t n = recv(fd, out + len, room - 1 - len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		loop_turn(t->loop, MSEC);
		turns++;
	}
	out[len] = '\0';
	return len;
}

static void http(void **state)
{
	struct state_of_test *t = *state;
	static const char get[] = "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n";
	static char answer[1 << 17];
	struct endpoint e;
	struct metrics *m = serve(t, &e);
	const char *body, *length;
	int fds[METRICS_CONNECTIONS + 1], fd = connect_to(&e);

	send(fd, get, 20, MSG_NOSIGNAL);
	loop_turn(t->loop, MSEC);
	send(fd, get + 20, sizeof(get) - 1 - 20, MSG_NOSIGNAL);
	read_all(t, fd, answer, sizeof(answer));
	close(fd);
	assert_int_equal(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
	assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
	body = strstr(answer, "\r\n\r\n");
	length = strstr(answer, "Content-Length: ");
	assert_true(body && length);
	assert_int_equal(strtoul(length + 16, NULL, 10), strlen(body + 4));
	has(body + 4, "vine_peer_up{peer=\"chicago\"} 0");

	/* One more than are served at once is turned away, and all that say nothing
	 * when their time is over. */
	for (unsigned i = 0; i <= METRICS_CONNECTIONS; i++) {
		fds[i] = connect_to(&e);
		loop_turn(t->loop, MSEC);
	}
	assert_int_equal(read_all(t, fds[METRICS_CONNECTIONS], answer, sizeof(answer)), 0);
	loop_fire(t->loop, mono_add(clock_now(), METRICS_TIME + SEC));
	for (unsigned i = 0; i < METRICS_CONNECTIONS; i++)
		assert_int_equal(read_all(t, fds[i], answer, sizeof(answer)), 0);
	for (unsigned i = 0; i <= METRICS_CONNECTIONS; i++)
		close(fds[i]);
	metrics_close(m);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(grammar),
		TEST(values),
		cmocka_unit_test(labels),
		TEST(http),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
