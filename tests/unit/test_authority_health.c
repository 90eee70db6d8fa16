/* links: libauthority libcommon */
/*
 * What looks after an authority that serves, with its loop and threads: the control socket,
 * the page of figures, the webhook and its tries, the end of old audit records.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "authority/backup.h"
#include "authority/control.h"
#include "authority/metrics.h"
#include "authority/operation.h"
#include "authority/retention.h"
#include "authority/webhook.h"
#include "tests/unit/store_world.h"

/* Turns the loop until it holds, or for so long. */
#define TURN_UNTIL(base, condition) \
	do { \
		const int64_t end_ = ms_now() + SOON; \
		while (!(condition) && ms_now() < end_) \
			event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK); \
		assert_true(condition); \
	} while (0)

/* ---- control socket -------------------------------------------------------------- */

struct asked {
	const char *path, *word;
	int fd;
	bool nobody;
	json_t *answer;
	char error[CONTROL_ERROR];
	atomic_bool done;
};

static void *run_ask(void *arg)
{
	struct asked *a = arg;

	a->answer = control_ask(a->path, a->word, a->fd, &a->nobody, a->error);
	a->done = true;
	return NULL;
}

static void ask(struct event_base *base, struct asked *a)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run_ask, a), 0);
	if (base)
		TURN_UNTIL(base, a->done);
	pthread_join(thread, NULL);
}

/* Answers with the word; what is given is written to. */
static void on_word(void *arg, struct control_call *call, const char *word, int fd)
{
	(void)arg;
	if (fd >= 0) {
		assert_int_equal(write(fd, word, strlen(word)), (ssize_t)strlen(word));
		close(fd);
	}
	control_answer(call, json_pack("{s:s}", "word", word));
}

static void test_control(void **state)
{
	struct event_base *base = event_base_new();
	char path[128], error[CONTROL_ERROR], text[16] = "";
	int fd = open(in_world("given"), O_RDWR | O_CREAT, 0600);
	struct control *c, *other;
	struct asked a = { .path = path, .word = "hello", .fd = fd };
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s", in_world("control"));
	ask(NULL, &a);
	assert_null(a.answer);
	assert_true(a.nobody);
	c = control_open(base, path, on_word, NULL, error);
	assert_non_null(c);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	a.done = false;
	ask(base, &a);
	assert_string_equal(json_string_value(json_object_get(a.answer, "word")), "hello");
	json_decref(a.answer);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 5);
	assert_string_equal(text, "hello");
	assert_true(control_idle(c));
	/* One at a time. */
	other = control_open(base, path, on_word, NULL, error);
	assert_null(other);
	assert_non_null(strstr(error, "another process"));
	/* What a killed one has left. */
	control_close(c);
	assert_int_not_equal(access(path, F_OK), 0);
	{
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		int left = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		assert_true(strlen(path) < sizeof(un.sun_path));
		strcpy(un.sun_path, path);
		assert_int_equal(bind(left, (struct sockaddr *)&un, sizeof(un)), 0);
		close(left);
	}
	c = control_open(base, path, on_word, NULL, error);
	assert_non_null(c);
	control_close(c);
	close(fd);
	event_base_free(base);
}

/* ---- the page of figures --------------------------------------------------------- */

static void on_page(void *arg, FILE *out)
{
	fputs(arg, out);
}

static char *get(struct event_base *base, unsigned port, const char *request)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = calloc(1, 1 << 16);
	size_t len = 0;
	ssize_t n = -1;
	const int64_t end = ms_now() + SOON;

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
			 (ssize_t)strlen(request));
	while (n && ms_now() < end) {
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		n = recv(fd, text + len, (1 << 16) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(n, 0);
	close(fd);
	return text;
}

static void expect_page(struct event_base *base, unsigned port, const char *request,
			const char *answer)
{
	char *text = get(base, port, request);

	if (!strstr(text, answer))
		fail_msg("%s: %s", request, text);
	free(text);
}

static void test_page(void **state)
{
	struct event_base *base = event_base_new();
	unsigned port = free_port();
	char text[32], *large = calloc(1, METRICS_REQUEST + 1);
	struct endpoint e;
	struct metrics *m;

	(void)state;
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(endpoint_parse(text, &e), 0);
	m = metrics_open(base, &e, on_page, "figure 1\n");
	assert_non_null(m);
	expect_page(base, port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\nfigure 1\n");
	expect_page(base, port, "HEAD /metrics HTTP/1.1\r\n\r\n", "Content-Length: 9");
	expect_page(base, port, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404");
	expect_page(base, port, "POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405");
	memset(large, 'x', METRICS_REQUEST);
	expect_page(base, port, large, "HTTP/1.1 431");
	/* More connections than it takes at once. */
	for (int i = 0; i < 3 * METRICS_CONNECTIONS; i++)
		expect_page(base, port, "GET /metrics HTTP/1.0\r\n\r\n", "figure 1");
	metrics_close(m);
	free(large);
	event_base_free(base);
}

/* Every line is a comment or a sample, and each family is told once. */
static void test_figures(void **state)
{
	struct registry *registry = registry_new();
	struct monitor *monitor = monitor_new(SEC);
	struct alerts alerts = { 0 };
	struct figures f = { .registry = registry,
			     .monitor = monitor,
			     .alerts = &alerts,
			     .started = 1000,
			     .revision = 7 };
	char *text = NULL, *rest, *line;
	size_t len, samples = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	metrics_write(&f, out);
	fclose(out);
	assert_non_null(strstr(text, "\nvine_authority_store_revision 7\n"));
	assert_non_null(strstr(text, "\nvine_authority_routers{state=\"silent\"} 0\n"));
	assert_non_null(strstr(text, "\nvine_authority_alerts_total{kind=\"router-silent\"} 0\n"));
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (!strncmp(line, "# HELP vine_authority_", 22) ||
		    !strncmp(line, "# TYPE vine_authority_", 22))
			continue;
		assert_int_equal(strncmp(line, "vine_authority_", 15), 0);
		assert_non_null(strchr(line, ' '));
		samples++;
	}
	assert_true(samples > 30);
	free(text);
	alerts_done(&alerts);
	monitor_free(monitor);
	registry_free(registry);
}

/* ---- webhook --------------------------------------------------------------------- */

struct receiver {
	unsigned posts, refuse; /* so many are refused */
	json_t *last;
};

static void on_post(struct evhttp_request *q, void *arg)
{
	struct receiver *r = arg;
	struct evbuffer *b = evhttp_request_get_input_buffer(q);
	size_t n = evbuffer_get_length(b);

	json_decref(r->last);
	r->last = json_loadb((const char *)evbuffer_pullup(b, -1), n, 0, NULL);
	r->posts++;
	assert_string_equal(evhttp_find_header(evhttp_request_get_input_headers(q), "Content-Type"),
			    "application/json");
	evhttp_send_reply(q, r->posts <= r->refuse ? 500 : 204, "x", NULL);
}

static void test_webhook(void **state)
{
	struct event_base *base = event_base_new();
	struct evhttp *server = evhttp_new(base);
	struct receiver r = { .refuse = 1 };
	unsigned port = free_port();
	struct webhook *w;
	char url[64];

	(void)state;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/alerts", port);
	evhttp_set_gencb(server, on_post, &r);
	assert_int_equal(evhttp_bind_socket(server, "127.0.0.1", (uint16_t)port), 0);
	w = webhook_new(base, url, "here");
	webhook_add(w, json_pack("{s:i}", "alert", 1));
	/* While that is under way: together, and so many at most. */
	for (int i = 0; i < WEBHOOK_ALERTS + 7; i++)
		webhook_add(w, json_pack("{s:i}", "alert", i + 2));
	TURN_UNTIL(base, webhook_figures(w).failed == 1);
	assert_true(webhook_fails(w));
	TURN_UNTIL(base, webhook_figures(w).done == 2);
	assert_false(webhook_fails(w));
	assert_int_equal(r.posts, 3);
	assert_string_equal(json_string_value(json_object_get(r.last, "authority")), "here");
	assert_int_equal(json_array_size(json_object_get(r.last, "alerts")), WEBHOOK_ALERTS);
	assert_int_equal(json_integer_value(json_object_get(r.last, "left_out")), 7);
	assert_int_equal(webhook_figures(w).given_up, 0);
	webhook_free(w);
	json_decref(r.last);
	evhttp_free(server);
	event_base_free(base);
}

/* ---- old audit records ------------------------------------------------------------- */

static void on_lost(void *arg, const char *why)
{
	(void)arg;
	fail_msg("%s", why);
}

static size_t count(struct store *s, const char *prefix)
{
	struct store_range range = { .prefix = prefix, .limit = STORE_PAGE_MAX };
	struct store_page page;
	size_t n;

	assert_int_equal(store_list(s, &range, &page), 0);
	n = page.n;
	store_page_done(&page);
	return n;
}

static void put_audit(struct store *s, uint64_t time, unsigned n)
{
	char key[64], value[160];

	snprintf(key, sizeof(key), "audit/%012llx-%u", (unsigned long long)time, n);
	snprintf(value, sizeof(value),
		 "{\"time\":%llu,\"caller\":\"-\",\"operation\":\"x\",\"target\":\"\","
		 "\"allowed\":true,\"detail\":\"\"}",
		 (unsigned long long)time);
	put(s, key, value);
}

#define HOUR 3600000ull
#define END(milliseconds) \
	"{\"registers\":\"user\",\"site\":\"\",\"vn\":0,\"anywhere\":false,\"roles\":[],\"issuer\":\"x\",\"count\":1,\"used\":0," \
	"\"expires\":" milliseconds "}"

static void tick_at(struct retention *t, uint64_t now, uint64_t since)
{
	retention_tick(t, now, (mono_t){ (int64_t)(since + 1000000) * MSEC });
}

static void test_retention(void **state)
{
	struct event_base *base = event_base_new();
	char url[160], words[STORE_ERROR];
	const struct service_hooks hooks = { .lost = on_lost };
	struct service *service;
	struct retention *t;
	struct store *s;
	size_t records;

	(void)state;
	snprintf(url, sizeof(url), "sqlite:%s", in_world("retention.db"));
	s = open_soon(url, NULL);
	put(s, "order", "{\"n\":1,\"next_vn\":1,\"next_router\":1,\"generation\":1,\"space\":[]}");
	for (unsigned i = 0; i < RETENTION_TOGETHER + 10; i++)
		put_audit(s, 1000 * HOUR + i, i);
	for (unsigned i = 0; i < 5; i++)
		put_audit(s, 1010 * HOUR, i);
	service = service_open(base, s, &hooks, words);
	assert_non_null(service);
	put(s, "token/old", END("3636000000"));
	put(s, "token/new", END("3646800000"));
	records = count(s, "");
	t = retention_new(service, 10 * HOUR);
	/* An hour of a clock that isn't set: not when this begins, nor when it jumps. */
	tick_at(t, 1010 * HOUR, 0);
	tick_at(t, 1010 * HOUR + HOUR / 2, HOUR / 2);
	tick_at(t, 99999 * HOUR, HOUR - 1000);
	tick_at(t, 99999 * HOUR + 1000, HOUR);
	tick_at(t, 1011 * HOUR + 1000, HOUR + 1000);
	tick_at(t, 1012 * HOUR, 2 * HOUR);
	TURN_UNTIL(base, service_idle(service));
	assert_int_equal(count(s, ""), records);
	/* All of the first kind, some at a time. */
	tick_at(t, 1012 * HOUR + 2000, 2 * HOUR + 2000);
	TURN_UNTIL(base, service_idle(service));
	assert_int_equal(retention_removed(t), RETENTION_TOGETHER);
	tick_at(t, 1012 * HOUR + 3000, 2 * HOUR + 3000);
	TURN_UNTIL(base, service_idle(service));
	assert_int_equal(retention_removed(t), RETENTION_TOGETHER + 10);
	assert_int_equal(count(s, "audit/"), 5);
	/* What lets somebody in goes a day after its end. */
	assert_int_equal(count(s, "token/"), 2);
	tick_at(t, 1034 * HOUR + 4000, 24 * HOUR + 4000);
	TURN_UNTIL(base, service_idle(service));
	assert_int_equal(count(s, "token/"), 1);
	/* For ever. */
	retention_free(t);
	records = count(s, "audit/");
	t = retention_new(service, 0);
	tick_at(t, 10000 * HOUR, 0);
	tick_at(t, 10001 * HOUR, HOUR);
	TURN_UNTIL(base, service_idle(service));
	assert_int_equal(count(s, "audit/"), records);
	assert_int_equal(count(s, "token/"), 0);
	retention_free(t);
	service_close(service);
	store_close(s);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control),	  cmocka_unit_test(test_page),
		cmocka_unit_test(test_figures),	  cmocka_unit_test(test_webhook),
		cmocka_unit_test(test_retention),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
