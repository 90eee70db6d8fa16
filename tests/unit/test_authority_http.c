/* links: libauthority libcommon */
/*
 * Requests over HTTP, from strangers above all: what is looked at of them, in which words
 * they are refused, and how long they may stay. Without TLS everybody is one.
 */
#include "tests/unit/authority_service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "authority/api.h"
#include "common/pki.h"

/* ---- requests over HTTP: from nobody, as there is no TLS ------------------------- */

struct server {
	struct world *world;
	struct api api;
	struct evhttp *evhttp;
	struct evhttp_connection *connection;
	char directory[64];
	int status;
	json_t *body;
};

static void server_begin(struct world *w, struct server *s)
{
	char error[CA_ERROR];
	struct evhttp_bound_socket *bound;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	*s = (struct server){ .world = w };
	strcpy(s->directory, "/tmp/vine-api-ca-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	assert_int_equal(ca_make(s->directory, time(NULL), error), 0);
	s->api = (struct api){ .service = w->service,
			       .ca = ca_load(s->directory, error),
			       .users = 3600,
			       .routers = 3600 };
	assert_non_null(s->api.ca);
	s->evhttp = evhttp_new(w->base);
	evhttp_set_gencb(s->evhttp, api_handle, &s->api);
	bound = evhttp_bind_socket_with_handle(s->evhttp, "127.0.0.1", 0);
	assert_non_null(bound);
	assert_int_equal(
		getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&a, &len), 0);
	s->connection = evhttp_connection_base_new(w->base, NULL, "127.0.0.1", ntohs(a.sin_port));
}

static void server_end(struct server *s)
{
	static const char *const files[] = { "ca.crt", "ca.key", "tables.key", "tables.pub", NULL };
	char path[128];

	evhttp_connection_free(s->connection);
	evhttp_free(s->evhttp);
	ca_free(s->api.ca);
	json_decref(s->body);
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", s->directory, files[i]);
		unlink(path);
	}
	rmdir(s->directory);
}

static void got(struct evhttp_request *q, void *arg)
{
	struct server *s = arg;
	struct evbuffer *b;

	s->status = q ? evhttp_request_get_response_code(q) : -1;
	if (!q)
		return;
	b = evhttp_request_get_input_buffer(q);
	s->body = json_loadb((const char *)evbuffer_pullup(b, -1), evbuffer_get_length(b), 0, NULL);
}

/* Takes over the body, which may be NULL. The status. */
static int post(struct server *s, const char *path, const char *credential, json_t *body)
{
	struct evhttp_request *q = evhttp_request_new(got, s);
	char *text = body ? json_dumps(body, 0) : NULL, bearer[64];

	json_decref(s->body);
	s->body = NULL;
	s->status = 0;
	if (credential) {
		snprintf(bearer, sizeof(bearer), "Bearer %s", credential);
		evhttp_add_header(evhttp_request_get_output_headers(q), "Authorization", bearer);
	}
	if (text)
		evbuffer_add(evhttp_request_get_output_buffer(q), text, strlen(text));
	evhttp_make_request(s->connection, q, EVHTTP_REQ_POST, path);
	free(text);
	json_decref(body);
	while (!s->status)
		event_base_loop(s->world->base, EVLOOP_ONCE);
	return s->status;
}

static const char *said(const struct server *s)
{
	const char *detail = json_string_value(json_object_get(s->body, "detail"));

	return detail ? detail : "";
}

/* With a signed request of a key of its own. */
static json_t *with_csr(const char *name)
{
	EVP_PKEY *key = pki_key_new();
	char *csr = pki_request_pem(key);
	json_t *body = json_pack("{s:s,s:s,s:s}", "kind", "user", "name", name, "csr", csr);

	free(csr);
	EVP_PKEY_free(key);
	assert_non_null(body);
	return body;
}

/* A name that is cut within a letter. */
static void test_foreign_name(void **state)
{
	struct server server, *s = &server;
	char name[65];

	for (int i = 0; i < 32; i++)
		memcpy(name + 2 * i, "\xc3\xa9", 3);
	server_begin(*state, s);
	assert_int_equal(post(s, "/v1/renew", NULL, with_csr(name)), 403);
	assert_non_null(strstr(said(s), "user '???"));
	server_end(s);
}

/* Of strangers only what registers or renews is looked at, and not much of it. */
static void test_bodies(void **state)
{
	struct server server, *s = &server;
	char long_text[20000];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	server_begin(*state, s);
	assert_int_equal(post(s, "/v1/vns", NULL, json_pack("{s:s}", "name", long_text)), 401);
	assert_int_equal(post(s, "/v1/vns", "none", json_pack("{s:s}", "csr", "x")), 401);
	assert_int_equal(post(s, "/v1/register", NULL, json_pack("{s:s}", "name", long_text)), 413);
	assert_int_equal(post(s, "/v1/renew", NULL, json_pack("{s:s}", "name", long_text)), 413);
	long_text[10000] = '\0';
	assert_int_equal(post(s, "/v1/register", NULL, json_pack("{s:s}", "name", long_text)), 401);
	assert_int_equal(
		post(s, "/v1/register", NULL,
		     json_pack("{s:s,s:s,s:s}", "kind", "user", "name", "x", "token", "none")),
		403);
	assert_int_equal(post(s, "/v1/renew", NULL, json_pack("{s:s}", "kind", "user")), 400);
	server_end(s);
}

static size_t audit_records(struct world *w)
{
	struct store_range range = { .prefix = "audit/", .limit = STORE_PAGE_MAX };
	struct store_page page;
	size_t n;

	assert_int_equal(store_list(w->store, &range, &page), 0);
	n = page.n;
	store_page_done(&page);
	return n;
}

/* Anybody may ask for anybody's renewal: with another key that is a stranger's request, and of
 * those no more than 20 a second are written. */
static void test_renewals(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	time_t begun = time(NULL);
	json_t *body = with_csr("nobody");

	server_begin(w, s);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(post(s, "/v1/renew", NULL, json_deep_copy(body)), 403);
		assert_non_null(strstr(said(s), "not registered"));
	}
	json_decref(body);
	if (time(NULL) - begun < 3)
		assert_true(audit_records(w) <= 80);
	assert_true(audit_records(w) >= 20);
	server_end(s);
}

/* A token is for who has the key; and what registers is one's own certificate, not a
 * credential. */
static void test_certificate(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	char hash[PKI_HASH], name[CA_NAME];
	enum ca_kind kind;
	json_t *body;
	BIO *pem;
	X509 *c;

	pki_secret_hash("token", hash);
	ask(w, "token-create",
	    json_pack("{s:s,s:s,s:I}", "hash", hash, "registers", "router", "expires",
		      ((json_int_t)time(NULL) + 1000) * 1000));
	pki_secret_hash("secret", hash);
	ask(w, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	ask(w, "delegate",
	    json_pack("{s:s,s:[s],s:I}", "hash", hash, "operations", "vn-create", "expires",
		      ((json_int_t)time(NULL) + 1000) * 1000));
	answers(w, 3);
	assert_int_equal(w->status, 200);
	server_begin(w, s);
	body = with_csr("r1");
	json_object_set_new(body, "kind", json_string("router"));
	json_object_set_new(body, "site", json_string("s"));
	assert_int_equal(post(s, "/v1/register", "secret", json_deep_copy(body)), 403);
	json_object_set_new(body, "token", json_string("token"));
	assert_int_equal(post(s, "/v1/register", NULL,
			      json_pack("{s:s,s:s,s:s,s:s,s:s}", "kind", "router", "name", "r2",
					"site", "s", "key", "k", "token", "token")),
			 400);
	assert_non_null(strstr(said(s), "csr"));
	assert_int_equal(post(s, "/v1/register", NULL, body), 200);
	pem = BIO_new_mem_buf(json_string_value(json_object_get(s->body, "certificate")), -1);
	c = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	assert_non_null(c);
	assert_true(ca_holder(c, &kind, name));
	assert_int_equal(kind, CA_ROUTER);
	assert_string_equal(name, "r1");
	X509_free(c);
	BIO_free(pem);
	assert_int_equal(post(s, "/v1/vns", "secret", with_csr("v")), 400);
	assert_non_null(strstr(said(s), "csr"));
	server_end(s);
}

static bool is_attached(struct push *p)
{
	struct publish_status status = { 0 };

	publish_status(push_publish(p), 1, &status);
	return status.attached;
}

static struct evbuffer *stream; /* what its reader has yet to take */

static void on_stream(struct evhttp_request *q, void *arg)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q);

	stream = bufferevent_get_output(evhttp_connection_get_bufferevent(c));
	push_stream(arg, q, 1, (struct version){ 0 });
}

/* What becomes of the stream of a router that is revoked: its status, -1: it was cut off. */
static int end_of_stream(struct world *w, bool unread)
{
	struct server server, *s = &server;
	struct evhttp_request *q = evhttp_request_new(got, s);
	struct push *p;
	uint64_t at;
	int status;

	server_begin(w, s);
	ask(w, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	ask(w, "register",
	    json_pack("{s:s,s:s,s:s,s:i}", "kind", "router", "name", "r", "site", "s", "id", 1));
	answers(w, 2);
	assert_int_equal(w->status, 200);
	p = push_new(w->base, w->service, s->api.ca, PROTECT_NONE);
	assert_non_null(p);
	push_begin(p, 0);
	while (!service_published(w->service, &at) || !service_idle(w->service))
		event_base_loop(w->base, EVLOOP_ONCE);
	evhttp_set_gencb(s->evhttp, on_stream, p);
	evhttp_make_request(s->connection, q, EVHTTP_REQ_GET, "/");
	while (!is_attached(p) || evbuffer_get_length(stream))
		event_base_loop(w->base, EVLOOP_ONCE);
	ask(w, "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	if (unread)
		evbuffer_add(stream, "1\r\n \r\n", 6);
	push_applied(p);
	assert_false(is_attached(p));
	while (!s->status)
		event_base_loop(w->base, EVLOOP_ONCE);
	status = s->status;
	push_end(p);
	while (!service_idle(w->service))
		event_base_loop(w->base, EVLOOP_ONCE);
	push_free(p);
	server_end(s);
	return status;
}

static void test_revoked(void **state)
{
	assert_int_equal(end_of_stream(*state, false), 200);
}

/* No more of what it has yet to read. */
static void test_cut_off(void **state)
{
	assert_int_equal(end_of_stream(*state, true), -1);
}

/* ---- connections that last ------------------------------------------------------- */

static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Whether the other side, which is in this process, has closed it. */
static bool is_closed_at(struct event_base *base, int fd, int how)
{
	char buffer[4096];
	ssize_t n;

	event_base_loop(base, how);
	do {
		n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	} while (n > 0);
	return !n || errno != EAGAIN;
}

static bool is_closed(struct event_base *base, int fd)
{
	return is_closed_at(base, fd, EVLOOP_ONCE);
}

static bool is_gone(struct event_base *base, int fd)
{
	return is_closed_at(base, fd, EVLOOP_NONBLOCK);
}

/* A handshake as far as a client comes who is asked for a certificate. */
static SSL *shake_hands(struct event_base *base, struct ca *ca, int fd, bool certified)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = pki_key_new();
	X509 *c = ca_issue(ca, CA_USER, "jane", key, time(NULL), 3600, NULL, 0);
	SSL *ssl = SSL_new(context);

	if (certified) {
		assert_int_equal(SSL_use_certificate(ssl, c), 1);
		assert_int_equal(SSL_use_PrivateKey(ssl, key), 1);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	SSL_set_fd(ssl, fd);
	while (SSL_connect(ssl) != 1)
		event_base_loop(base, EVLOOP_NONBLOCK);
	X509_free(c);
	EVP_PKEY_free(key);
	SSL_CTX_free(context);
	return ssl;
}

/* Without a certificate that is believed no connection lasts, whatever it says. */
static void test_deadline(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	struct http *h = http_new(w->base, 100, 1, api_handle, &server.api);
	const uint16_t port = free_port();
	EVP_PKEY *key = pki_key_new();
	char names[] = "localhost", *const list[] = { names };
	struct endpoint e;
	char text[32];
	int fds[3];
	SSL *nobody, *jane;
	time_t begun;

	server_begin(w, s);
	assert_non_null(h);
	assert_non_null(key);
	assert_true(http_certify(h, s->api.ca, key, time(NULL), 3600, list, 1));
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(endpoint_parse(text, &e), 0);
	assert_int_equal(http_listen(h, &e), 0);
	for (int i = 0; i < 3; i++)
		fds[i] = connect_to(port);
	nobody = shake_hands(w->base, s->api.ca, fds[1], false);
	jane = shake_hands(w->base, s->api.ca, fds[2], true);
	begun = time(NULL);
	/* One says nothing at all, one a little all the time. */
	while (!is_closed(w->base, fds[0]) || !is_closed(w->base, fds[1])) {
		assert_true(time(NULL) - begun < 10);
		SSL_write(nobody, "G", 1);
	}
	assert_false(is_closed(w->base, fds[2]));
	SSL_free(nobody);
	SSL_free(jane);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	EVP_PKEY_free(key);
	http_free(h);
	server_end(s);
}

/* Strangers have a quarter of the connections, among themselves; and only so much to say. */
static void test_share(void **state)
{
	enum { MOST = 40, SHARE = MOST / 4 };
	struct world *w = *state;
	struct server server, *s = &server;
	struct http *h = http_new(w->base, MOST, 600, api_handle, &server.api);
	const uint16_t port = free_port();
	char names[] = "localhost", *const list[] = { names }, text[4096];
	struct endpoint e;
	EVP_PKEY *key = pki_key_new();
	static const char post[] = "POST /v1/vns HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n";
	static const char get[] = "GET / HTTP/1.1\r\n\r\n";
	int fds[3 * MOST], known;
	SSL *jane, *nobody;
	size_t n = 0;

	server_begin(w, s);
	assert_non_null(h);
	assert_true(http_certify(h, s->api.ca, key, time(NULL), 3600, list, 1));
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(endpoint_parse(text, &e), 0);
	assert_int_equal(http_listen(h, &e), 0);
	known = connect_to(port);
	jane = shake_hands(w->base, s->api.ca, known, true);
	SSL_write(jane, get, (int)strlen(get));
	while (SSL_read(jane, text, sizeof(text)) <= 0)
		event_base_loop(w->base, EVLOOP_ONCE);
	for (int i = 0; i < 3 * MOST; i++) {
		fds[i] = connect_to(port);
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	/* All but the last ones had to go; who is known stays, and who comes is served. */
	for (int i = 0; i < 3 * MOST - SHARE; i++)
		while (!is_gone(w->base, fds[i]))
			continue;
	for (int i = 3 * MOST - SHARE; i < 3 * MOST; i++)
		assert_false(is_gone(w->base, fds[i]));
	assert_false(is_gone(w->base, known));
	nobody = shake_hands(w->base, s->api.ca, fds[3 * MOST - 1], false);
	memset(text, 'x', sizeof(text));
	SSL_write(nobody, post, (int)strlen(post));
	while (!is_gone(w->base, fds[3 * MOST - 1]) && n < 2 * HTTP_STRANGER) {
		int r = SSL_write(nobody, text, sizeof(text));

		n += r > 0 ? (size_t)r : 0;
	}
	assert_true(n < 2 * HTTP_STRANGER);
	assert_true(n > HTTP_STRANGER / 2);
	SSL_free(nobody);
	SSL_free(jane);
	for (int i = 0; i < 3 * MOST; i++)
		close(fds[i]);
	close(known);
	EVP_PKEY_free(key);
	http_free(h);
	server_end(s);
}

static void say(int fd, const char *text)
{
	send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Without TLS: a share of their own, so that no handshake has to go for them; the same time,
 * however much is said meanwhile; and places are free again. */
static void test_plain(void **state)
{
	enum { MOST = 40, SHARE = (MOST / 4 + 3) / 4 };
	struct world *w = *state;
	struct server server, *s = &server;
	struct http *h = http_new(w->base, MOST, 2, api_handle, &server.api);
	const uint16_t port = free_port();
	char text[512] = "";
	struct endpoint e;
	int fds[3 * MOST];
	time_t begun;

	server_begin(w, s);
	assert_non_null(h);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(endpoint_parse(text, &e), 0);
	assert_int_equal(http_listen_plain(h, &e, api_handle, &s->api), 0);
	assert_int_equal(http_listen_plain(h, &e, api_handle, &s->api), -EBUSY);
	for (int i = 0; i < 3 * MOST; i++) {
		fds[i] = connect_to(port);
		event_base_loop(w->base, EVLOOP_NONBLOCK);
	}
	begun = time(NULL);
	for (int i = 0; i < 3 * MOST - SHARE; i++)
		while (!is_gone(w->base, fds[i]))
			assert_true(time(NULL) - begun < 10);
	for (int i = 3 * MOST - SHARE; i < 3 * MOST; i++)
		assert_false(is_gone(w->base, fds[i]));
	/* One that says something all the time goes as well. */
	say(fds[3 * MOST - 1], "GET / HTTP/1.1\r\nA: ");
	for (int i = 3 * MOST - SHARE; i < 3 * MOST; i++)
		while (!is_closed(w->base, fds[i])) {
			assert_true(time(NULL) - begun < 10);
			say(fds[3 * MOST - 1], "a");
		}
	for (int i = 0; i < 3 * MOST; i++)
		close(fds[i]);
	for (int i = 0; i < 2 * MOST; i++) {
		int fd = connect_to(port);
		ssize_t n = 0;

		say(fd, "GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n");
		while ((n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) < 0)
			event_base_loop(w->base, EVLOOP_NONBLOCK);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, "404 Not Found"));
		close(fd);
	}
	http_free(h);
	server_end(s);
}

static SSL_SESSION *ticket;

static int note_ticket(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

/* A connection of a context that keeps its ticket, and resumes with the one that is kept; the
 * status of an answer. */
static int ask_resumed(struct event_base *base, SSL_CTX *context, uint16_t port, bool *ret_resumed)
{
	static const char get[] = "GET /v1/vns HTTP/1.1\r\n\r\n";
	SSL *ssl = SSL_new(context);
	int fd = connect_to(port), n;
	char text[4096] = "";

	fcntl(fd, F_SETFL, O_NONBLOCK);
	SSL_set_fd(ssl, fd);
	if (ticket)
		SSL_set_session(ssl, ticket);
	while (SSL_connect(ssl) != 1)
		event_base_loop(base, EVLOOP_NONBLOCK);
	*ret_resumed = SSL_session_reused(ssl);
	SSL_write(ssl, get, (int)strlen(get));
	while ((n = SSL_read(ssl, text, sizeof(text) - 1)) <= 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
	SSL_shutdown(ssl); /* else the session is good for nothing */
	SSL_free(ssl);
	close(fd);
	return atoi(text + strlen("HTTP/1.1 "));
}

/* Who is believed needn't show its certificate again, for a while, and each request is looked
 * at all the same: revoked is revoked. Others get no ticket. */
static void test_resumed(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	struct http *h = http_new(w->base, 100, 10, api_handle, &server.api);
	const uint16_t port = free_port();
	char names[] = "localhost", *const list[] = { names }, text[32], *jane_key;
	EVP_PKEY *key = pki_key_new(), *jane = pki_key_new();
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct endpoint e;
	bool resumed;
	X509 *c;

	server_begin(w, s);
	assert_true(http_certify(h, s->api.ca, key, time(NULL), 3600, list, 1));
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(endpoint_parse(text, &e), 0);
	assert_int_equal(http_listen(h, &e), 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, note_ticket);
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 401);
	assert_null(ticket);
	jane_key = pki_key_text(jane);
	ask(w, "register",
	    json_pack("{s:s,s:s,s:s,s:[s]}", "kind", "user", "name", "jane", "key", jane_key,
		      "roles", "vna"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	c = ca_issue(s->api.ca, CA_USER, "jane", jane, time(NULL), 3600, NULL, 0);
	assert_int_equal(SSL_CTX_use_certificate(context, c), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, jane), 1);
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 200);
	assert_false(resumed);
	assert_non_null(ticket);
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 200);
	assert_true(resumed);
	/* A ticket is used once. */
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 200);
	assert_false(resumed);
	ask(w, "revoke", json_pack("{s:s,s:s}", "kind", "user", "name", "jane"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 403);
	assert_true(resumed);
	/* With other CAs, or another certificate of the server, all is looked at anew. */
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 403);
	assert_false(resumed);
	assert_true(http_certify(h, s->api.ca, key, time(NULL), 3600, list, 1));
	assert_int_equal(ask_resumed(w->base, context, port, &resumed), 403);
	assert_false(resumed);
	SSL_SESSION_free(ticket);
	SSL_CTX_free(context);
	X509_free(c);
	free(jane_key);
	EVP_PKEY_free(jane);
	EVP_PKEY_free(key);
	http_free(h);
	server_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_foreign_name, begin, end),
		cmocka_unit_test_setup_teardown(test_bodies, begin, end),
		cmocka_unit_test_setup_teardown(test_certificate, begin, end),
		cmocka_unit_test_setup_teardown(test_revoked, begin, end),
		cmocka_unit_test_setup_teardown(test_cut_off, begin, end),
		cmocka_unit_test_setup_teardown(test_deadline, begin, end),
		cmocka_unit_test_setup_teardown(test_renewals, begin, end),
		cmocka_unit_test_setup_teardown(test_share, begin, end),
		cmocka_unit_test_setup_teardown(test_plain, begin, end),
		cmocka_unit_test_setup_teardown(test_resumed, begin, end),
	};

	signal(SIGPIPE, SIG_IGN);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
