/* links: router/hosts router/http router/accept router/stream_tcp router/stream_tls libcommon */
/*
 * What hosts ask of the router, over HTTP, and what the router makes of it for the
 * authority, which is this test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/pki.h"
#include "router/authority.h"
#include "router/hosts.h"
#include "router/https.h"
#include "router/router.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define WHO "Authorization: Bearer h1:" SECRET "\r\n"

/* ---- the authority --------------------------------------------------------------- */

struct https_request {
	char path[200], body[400], header[200];
	https_fn *done;
	void *arg;
	bool used;
};

static struct https_request question;
static bool away;
static unsigned n_asked;

struct https_request *authority_ask(struct authority *a, const struct https_question *q)
{
	assert_non_null(a);
	if (away)
		return NULL;
	assert_false(question.used);
	question = (struct https_request){ .done = q->done, .arg = q->arg, .used = true };
	snprintf(question.path, sizeof(question.path), "%s %s", q->body ? "POST" : "GET", q->url);
	snprintf(question.body, sizeof(question.body), "%s", q->body ? q->body : "");
	snprintf(question.header, sizeof(question.header), "%s", q->header);
	n_asked++;
	return &question;
}

void authority_words(const struct https_answer *a, char ret[static AUTHORITY_WORDS])
{
	snprintf(ret, AUTHORITY_WORDS, "%s", a->status ? a->body : a->error);
}

void authority_status(const struct authority *a, struct authority_status *ret)
{
	(void)a;
	*ret = (struct authority_status){ .error = "no route" };
}

void https_cancel(struct https_request *q)
{
	if (q)
		q->used = false;
}

static void answer(int status, const char *body)
{
	struct https_answer a = {
		.status = status, .error = "silence", .body = body, .len = strlen(body)
	};

	assert_true(question.used);
	question.used = false;
	question.done(question.arg, &a, clock_now());
}

/* ---- the router ------------------------------------------------------------------ */

struct site {
	struct router router;
	struct config config;
	struct prefix networks[2];
	struct hosts *hosts;
};

static int begin(void **state)
{
	struct site *w = calloc(1, sizeof(*w));
	char *said;
	size_t len;

	away = false;
	question.used = false;
	n_asked = 0;
	w->router.loop = loop_new();
	w->router.config = &w->config;
	w->router.authority = (struct authority *)w;
	w->config.name = (char *)"r1";
	w->config.networks = w->networks;
	w->config.n_networks = 2;
	prefix_parse("172.16.0.0/12", &w->networks[0]);
	prefix_parse("fd00:76::/32", &w->networks[1]);
	ip_parse("fd00:76::1", &w->config.address6);
	for (unsigned port = 20000; port < 60000 && !w->hosts; port += 7) {
		FILE *errors = open_memstream(&said, &len);

		endpoint_parse("127.0.0.1:1", &w->config.hosts);
		w->config.hosts.port = (uint16_t)port;
		w->hosts = hosts_open(&w->router, errors);
		fclose(errors);
		free(said);
	}
	*state = w;
	return w->hosts ? 0 : -1;
}

static int end(void **state)
{
	struct site *w = *state;

	hosts_close(w->hosts);
	assert_false(question.used);
	loop_free(w->router.loop);
	free(w);
	return 0;
}

static void turn(struct site *w)
{
	for (int i = 0; i < 10; i++)
		loop_turn(w->router.loop, MSEC);
}

static int ask_from(struct site *w, uint8_t n, const char *line, const char *fields)
{
	struct endpoint from = w->config.hosts;
	struct sockaddr_storage sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char text[1000];
	unsigned len;

	from.ip.b[3] = n;
	from.port = 0;
	len = endpoint_to_sockaddr(&from, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = endpoint_to_sockaddr(&w->config.hosts, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	snprintf(text, sizeof(text), "%s HTTP/1.1\r\n%s\r\n", line, fields);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn(w);
	return fd;
}

static int ask(struct site *w, const char *line, const char *fields)
{
	return ask_from(w, 1, line, fields);
}

/* The status, and the body. */
static int heard(struct site *w, int fd, char body[static 1000])
{
	char out[2000];
	size_t len = 0;
	const char *end;

	for (unsigned turns = 0; turns < 1000;) {
		ssize_t n = recv(fd, out + len, sizeof(out) - 1 - len, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			break;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		loop_turn(w->router.loop, MSEC);
		turns++;
	}
	close(fd);
	out[len] = '\0';
	end = strstr(out, "\r\n\r\n");
	snprintf(body, 1000, "%s", end ? end + 4 : "");
	return len > 12 ? atoi(out + 9) : 0;
}

static void assert_heard(struct site *w, int fd, int status, const char *words)
{
	char body[1000];

	assert_int_equal(heard(w, fd, body), status);
	if (!strstr(body, words))
		fail_msg("other words: %s", body);
}

static void assert_asked(const char *path, const char *body)
{
	char hash[PKI_HASH], header[100];

	pki_secret_hash(SECRET, hash);
	snprintf(header, sizeof(header), "Vine-Host: h1:%s", hash);
	assert_true(question.used);
	assert_string_equal(question.path, path);
	assert_string_equal(question.body, body);
	assert_string_equal(question.header, header);
}

#define NOW "{\"hosts\":[{\"addresses\":[\"172.16.1.2\",\"fd00:76::2\"],\"vns\":[\"a\",\"b\"]}]}"

/* ---- tests ----------------------------------------------------------------------- */

static void verbs(void **state)
{
	static const struct {
		const char *line, *fields, *path, *body;
	} cases[] = {
		{ "POST /v1/host", WHO "Vine-Token: t\r\n", "POST /v1/register",
		  "{\"kind\":\"host\",\"name\":\"h1\",\"token\":\"t\"}" },
		{ "POST /v1/host?physical", WHO "Vine-Token: t\r\n", "POST /v1/register",
		  "{\"kind\":\"host\",\"name\":\"h1\",\"token\":\"t\",\"addresses\":[\"127.0.0.1\"]}" },
		{ "POST /v1/host/address", WHO, "POST /v1/hosts/h1/addresses", "{}" },
		{ "POST /v1/host/address?physical", WHO, "POST /v1/hosts/h1/addresses",
		  "{\"address\":\"127.0.0.1\"}" },
		{ "POST /v1/host/join/vn-1", WHO, "POST /v1/vns/vn-1/join",
		  "{\"hosts\":[\"h1\"]}" },
		{ "POST /v1/host/leave/7", WHO, "POST /v1/vns/7/leave", "{\"hosts\":[\"h1\"]}" },
	};
	struct site *w = *state;
	int fd;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fd = ask(w, cases[i].line, cases[i].fields);
		assert_asked(cases[i].path, cases[i].body);
		answer(200, "{}");
		assert_asked("GET /v1/hosts", "");
		answer(200, NOW);
		assert_heard(w, fd, 200, "host h1\nrouter r1\n");
	}
	fd = ask(w, "GET /v1/host", WHO);
	assert_asked("GET /v1/hosts", "");
	answer(200, NOW);
	assert_heard(w, fd, 200,
		     "host h1\nrouter r1\naddress 172.16.1.2\naddress fd00:76::2\nvn a\nvn b\n"
		     "gateway 127.0.0.1\nnetwork 172.16.0.0/12\ngateway fd00:76::1\n"
		     "network fd00:76::/32\n");
}

static void refusals(void **state)
{
	static const struct {
		const char *line, *fields;
		int status;
		const char *words;
	} cases[] = {
		{ "GET /", WHO, 404, "vine-host(1)" },
		{ "GET /v1/hosts", WHO, 404, "vine-host(1)" },
		{ "POST /v1/host/join/", WHO, 404, "vine-host(1)" },
		{ "POST /v1/host/join/a/b", WHO, 404, "vine-host(1)" },
		{ "POST /v1/host/join/%61", WHO, 404, "vine-host(1)" },
		{ "GET /v1/host/join/a", WHO, 405, "POST" },
		{ "DELETE /v1/host", WHO, 405, "this is for" },
		{ "GET /v1/host", "", 401, "who are you" },
		{ "GET /v1/host", "Authorization: Basic h1:" SECRET "\r\n", 401, "who" },
		{ "GET /v1/host", "Authorization: Bearer " SECRET "\r\n", 401, "who" },
		{ "GET /v1/host", "Authorization: Bearer h1:short\r\n", 401, "who" },
		{ "GET /v1/host", "Authorization: Bearer H1:" SECRET "\r\n", 401, "who" },
		{ "GET /v1/host", WHO WHO, 401, "who" },
		{ "POST /v1/host", WHO, 400, "Vine-Token" },
	};
	struct site *w = *state;
	int fd;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_heard(w, ask_from(w, (uint8_t)(i + 1), cases[i].line, cases[i].fields),
			     cases[i].status, cases[i].words);
	assert_int_equal(n_asked, 0);
	/* The authority's, in its words. */
	fd = ask(w, "POST /v1/host/join/a", WHO);
	answer(409, "both have 10.0.0.1");
	assert_heard(w, fd, 409, "both have 10.0.0.1");
	fd = ask(w, "GET /v1/host", WHO);
	answer(403, "not its secret");
	assert_heard(w, fd, 403, "not its secret");
	/* What is between router and authority. */
	fd = ask(w, "GET /v1/host", WHO);
	answer(401, "expired");
	assert_heard(w, fd, 503, "can't be asked now: expired");
	fd = ask(w, "GET /v1/host", WHO);
	answer(0, "");
	assert_heard(w, fd, 503, "can't be asked now: silence");
	fd = ask(w, "GET /v1/host", WHO);
	answer(200, "{\"hosts\":[]}");
	assert_heard(w, fd, 503, "can't be understood");
	away = true;
	assert_heard(w, ask(w, "GET /v1/host", WHO), 503, "can't be asked now: no route");
	away = false;
	/* It went away in between. */
	fd = ask(w, "POST /v1/host/address", WHO);
	away = true;
	answer(200, "{}");
	assert_heard(w, fd, 503, "can't be asked now");
}

static void bounds(void **state)
{
	struct site *w = *state;
	int fd;

	for (int i = 0; i < HOSTS_BURST; i++)
		assert_heard(w, ask(w, "GET /v1/host", ""), 401, "");
	assert_heard(w, ask(w, "GET /v1/host", ""), 429, "try again");
	assert_heard(w, ask_from(w, 2, "GET /v1/host", ""), 401, "");
	/* Nobody waits for ever, and what nobody waits for is not asked any more. */
	fd = ask_from(w, 3, "GET /v1/host", WHO);
	assert_true(question.used);
	loop_fire(w->router.loop, mono_add(clock_now(), HOSTS_TIME + SEC));
	assert_false(question.used);
	assert_heard(w, fd, 0, "");
	fd = ask_from(w, 3, "GET /v1/host", WHO);
	assert_true(question.used); /* until the end */
	close(fd);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = { TEST(verbs), TEST(refusals), TEST(bounds) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
