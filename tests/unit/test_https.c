/* links: librouter libauthority libcommon */
/*
 * Requests of HTTPS, to a server of this test's that says one thing: what is bounded, and
 * what is not asked at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authority/ca.h"
#include "common/pki.h"
#include "router/https.h"

#define LARGE (1u << 20)
#define TOO_LARGE_TO_SET 9000000 /* libcurl takes 8 MB */

struct place {
	char directory[64], *certificate, *key, *trust, url[64];
	struct loop *loop;
	struct https *https;
	SSL_CTX *server;
	int listening, proxy;
	uint16_t port, proxy_port;
	char asked[2048];    /* what the proxy was */
	const char *refusal; /* what it answers; NULL: it connects */
	pthread_t thread;
	const char *head; /* that the server answers with, and LARGE bytes */
	/* what is told */
	unsigned ends;
	long status;
	char error[200];
	bool silent;
	size_t data, body;
};

/* One connection, one request. */
static void *serve(void *arg)
{
	struct place *p = arg;
	int fd = accept(p->listening, NULL, NULL);
	SSL *ssl = SSL_new(p->server);
	char *answer = malloc(LARGE), request[4096];

	memset(answer, 'x', LARGE);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0 &&
	    SSL_write(ssl, p->head, (int)strlen(p->head)) > 0 && SSL_write(ssl, answer, LARGE) > 0)
		SSL_shutdown(ssl);
	free(answer);
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static int listen_anywhere(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void pump(int a, int b)
{
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	char buf[4096];

	for (;;) {
		poll(p, 2, -1);
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].revents ? recv(p[i].fd, buf, sizeof(buf), 0) : 0;

			if (p[i].revents && n <= 0)
				return;
			if (n > 0 && send(p[1 - i].fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
				return;
		}
	}
}

/* A proxy for one connection: wherever it is asked for, to the server. */
static void *serve_proxy(void *arg)
{
	static const char open[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	struct place *p = arg;
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(p->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = accept(p->proxy, NULL, NULL), other = socket(AF_INET, SOCK_STREAM, 0);
	size_t n = 0;

	memset(p->asked, 0, sizeof(p->asked));
	while (!strstr(p->asked, "\r\n\r\n"))
		n += (size_t)recv(fd, p->asked + n, sizeof(p->asked) - 1 - n, 0);
	if (p->refusal) {
		send(fd, p->refusal, strlen(p->refusal), MSG_NOSIGNAL);
	} else if (!connect(other, (struct sockaddr *)&to, sizeof(to))) {
		send(fd, open, strlen(open), MSG_NOSIGNAL);
		pump(fd, other);
	}
	close(other);
	close(fd);
	return NULL;
}

static void listen_it(struct place *p)
{
	p->listening = listen_anywhere(&p->port);
	p->proxy = listen_anywhere(&p->proxy_port);
	snprintf(p->url, sizeof(p->url), "https://127.0.0.1:%u/", p->port);
}

static void identify(struct place *p, struct ca *ca)
{
	char *names[] = { (char *)"127.0.0.1", (char *)"authority.test" };
	EVP_PKEY *key = pki_key_new();
	X509 *c = ca_issue(ca, CA_SERVER, "authority", key, time(NULL), 10000, names, 2);

	p->server = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(p->server, c), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(p->server, key), 1);
	X509_free(c);
	c = ca_issue(ca, CA_ROUTER, "florida", key, time(NULL), 10000, NULL, 0);
	p->certificate = pki_certificate_pem(c);
	p->key = pki_key_pem(key);
	p->trust = strdup(ca_bundle(ca));
	X509_free(c);
	EVP_PKEY_free(key);
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char error[CA_ERROR];
	const char *why;
	struct ca *ca;

	signal(SIGPIPE, SIG_IGN);
	strcpy(p->directory, "/tmp/vine-https-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	assert_int_equal(ca_make(p->directory, time(NULL), error), 0);
	ca = ca_load(p->directory, error);
	assert_non_null(ca);
	identify(p, ca);
	ca_free(ca);
	listen_it(p);
	p->loop = loop_new();
	p->https = https_new(p->loop, &why);
	assert_non_null(p->https);
	https_identify(p->https, p->certificate, p->key, p->trust);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;
	DIR *d = opendir(p->directory);
	struct dirent *e;

	https_free(p->https);
	loop_free(p->loop);
	close(p->listening);
	close(p->proxy);
	SSL_CTX_free(p->server);
	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(p->directory);
	free(p->certificate);
	free(p->key);
	free(p->trust);
	free(p);
	return 0;
}

static void ended(void *arg, const struct https_answer *a, mono_t now)
{
	struct place *p = arg;

	(void)now;
	p->ends++;
	p->status = a->status;
	p->body = a->len;
	p->silent = a->silent;
	snprintf(p->error, sizeof(p->error), "%s", a->error);
}

static void came(void *arg, const void *data, size_t len, mono_t now)
{
	struct place *p = arg;

	(void)data;
	(void)now;
	p->data += len;
}

static struct https_request *ask(struct place *p, const char *url, https_data_fn *data, size_t most)
{
	struct ip ip;

	assert_int_equal(ip_parse("127.0.0.1", &ip), 0);
	return https_ask(p->https, &(struct https_question){ .url = url,
							     .host = "127.0.0.1",
							     .port = p->port,
							     .ips = &ip,
							     .n_ips = 1,
							     .connect = 10 * SEC,
							     .patience = 20 * SEC,
							     .most = most,
							     .data = data,
							     .done = ended,
							     .arg = p });
}

static void answered(struct place *p, const char *head, https_data_fn *data, size_t most)
{
	p->head = head;
	p->data = p->body = p->ends = 0;
	assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
	assert_non_null(ask(p, p->url, data, most));
	while (!p->ends) {
		loop_turn(p->loop, 10 * MSEC);
		loop_fire(p->loop, clock_now());
	}
	pthread_join(p->thread, NULL);
	assert_int_equal(p->ends, 1);
}

#define GOOD "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define BAD_SHORT "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define BAD "HTTP/1.1 503 No\r\nConnection: close\r\n\r\n"

/* Of a stream there may be any amount: an error's words, where there was to be one, are
 * bounded like all others. */
static void bounds(void **state)
{
	struct place *p = *state;

	answered(p, GOOD, came, 0);
	assert_string_equal(p->error, "");
	assert_int_equal(p->status, 200);
	assert_int_equal(p->data, LARGE);
	answered(p, GOOD, NULL, LARGE);
	assert_int_equal(p->status, 200);
	assert_int_equal(p->body, LARGE);
	answered(p, GOOD, NULL, 0);
	assert_int_equal(p->status, 0);
	assert_string_equal(p->error, "the answer is too large");
	answered(p, BAD, came, 0);
	assert_int_equal(p->status, 0);
	assert_string_equal(p->error, "the answer is too large");
	assert_int_equal(p->data, 0);
}

/* By a proxy, which is asked for a name that nobody here knows, with its password: what it
 * can't do is told in words. */
static void by_a_proxy(void **state)
{
	static const struct proxy given = { .user = "jane", .password = "secret" };
	struct place *p = *state;
	struct proxy proxy = given;
	char url[64], line[80];
	struct ip ip;
	pthread_t thread;

	assert_int_equal(ip_parse("127.0.0.1", &ip), 0);
	snprintf(url, sizeof(url), "https://authority.test:%u/", p->port);
	snprintf(line, sizeof(line), "CONNECT authority.test:%u HTTP/1.1\r\n", p->port);
	for (int i = 0; i < 3; i++) {
		struct https_question q = { .url = url,
					    .host = "authority.test",
					    .port = p->port,
					    .ips = &ip,
					    .n_ips = 1,
					    .proxy = &proxy,
					    .connect = 10 * SEC,
					    .done = ended,
					    .arg = p };

		strcpy(proxy.host, i ? "proxy.test" : "127.0.0.1");
		proxy.port = p->proxy_port;
		p->refusal = i == 2 ? "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" : NULL;
		p->head = BAD_SHORT;
		p->ends = 0;
		if (!p->refusal)
			assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
		assert_int_equal(pthread_create(&thread, NULL, serve_proxy, p), 0);
		assert_non_null(https_ask(p->https, &q));
		memset(&proxy, 0, sizeof(proxy)); /* it was copied */
		proxy = given;
		while (!p->ends) {
			loop_turn(p->loop, 10 * MSEC);
			loop_fire(p->loop, clock_now());
		}
		pthread_join(thread, NULL);
		if (!p->refusal)
			pthread_join(p->thread, NULL);
		assert_int_equal(strncmp(p->asked, line, strlen(line)), 0);
		assert_non_null(
			strstr(p->asked, "Proxy-Authorization: Basic amFuZTpzZWNyZXQ=\r\n"));
		assert_int_equal(p->status, p->refusal ? 0 : 404);
	}
	assert_non_null(strstr(p->error, "403"));
}

/* Who takes a connection and says nothing is silent; who is not there isn't. */
static void silence(void **state)
{
	struct place *p = *state;
	struct https_question q = { .url = p->url,
				    .host = "127.0.0.1",
				    .port = p->port,
				    .connect = 50 * MSEC,
				    .done = ended,
				    .arg = p };

	for (int i = 0; i < 2; i++) {
		p->ends = 0;
		assert_non_null(https_ask(p->https, &q));
		while (!p->ends) {
			loop_turn(p->loop, 10 * MSEC);
			loop_fire(p->loop, clock_now());
		}
		assert_int_equal(p->status, 0);
		assert_int_equal(p->silent, i == 0);
		close(p->listening);
	}
	p->listening = listen_anywhere(&p->port);
}

/* What libcurl doesn't take, of those things that decide whom to believe and who asks, is
 * not left out. */
static void must_be_set(void **state)
{
	struct place *p = *state;
	char *large = malloc(TOO_LARGE_TO_SET + 1);

	memset(large, 'x', TOO_LARGE_TO_SET);
	large[TOO_LARGE_TO_SET] = '\0';
	assert_null(ask(p, large, NULL, 0));
	https_identify(p->https, p->certificate, p->key, large);
	assert_null(ask(p, p->url, NULL, 0));
	https_identify(p->https, large, p->key, p->trust);
	assert_null(ask(p, p->url, NULL, 0));
	https_identify(p->https, p->certificate, large, p->trust);
	assert_null(ask(p, p->url, NULL, 0));
	free(large);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = { TEST(bounds), TEST(must_be_set),
						   TEST(by_a_proxy), TEST(silence) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
