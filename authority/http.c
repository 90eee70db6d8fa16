/*
 * A client may come without a certificate (to register), or with one that isn't believed:
 * the handshake goes through, and whoever serves the request refuses it in words that help.
 * The result of the check is kept with the connection.
 *
 * Who is believed gets a ticket, with which its next connections cost half as much: the
 * certificate and the result are in the ticket, so that each request is looked at as on the
 * first connection, by the record of who asks. A ticket is good for minutes, brings
 * no other one, and is of no more use when the server's certificate or the CAs are other ones.
 *
 * Who has shown no certificate that is believed is a stranger. It is given only so long, from
 * the first byte of the handshake to the last of its answer, and may say only so much: else a
 * few could hold all connections, or all memory. Strangers have a share of the connections: one
 * more, and the oldest of them has to go. So they are in each other's way alone, since everybody
 * else is one for no longer than a handshake. Those without TLS have a share of their own: they
 * come faster than any handshake.
 *
 * At the bound of connections no more are accepted until one ends: they wait in the
 * kernel's queue. Connections are counted by their SSL objects, which live as long. Those without
 * TLS have none: of each a reference is held, and a look in every tick finds those that evhttp
 * has let go of. All of them are strangers.
 *
 * The same for handshakes: when ten thousand routers come at once, each is served in time
 * or not at all, since all of them half way after their patience would be work for nothing,
 * again and again. Who has gone while it waited is not answered. Whoever is slower than a
 * second counts no more, so that a few that say nothing keep nobody out.
 */
#include "authority/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#include "common/list.h"
#include "common/log.h"
#include "common/pki.h"

#define LISTENERS 16

enum {
	OPENING = 128, /* handshakes at once */
	BACKLOG = 256, /* that wait for theirs in the kernel's queue */
	TICK = 500,    /* ms; a handshake counts in the one in which it began, and the next */
	RESUMED = 600, /* seconds that a session may be resumed */
	SHARE = 4,     /* strangers have this part of all connections, */
	STRANGERS_MOST = 2048, /* ... and no more than so many; */
	PLAIN = 4,	       /* those without TLS, of which there is no end, a part of that */
};

struct http {
	struct event_base *base;
	struct evhttp *evhttp;
	struct evhttp *plain; /* NULL: there is none */
	struct list plains;   /* connections without TLS */
	SSL_CTX *context;
	struct evconnlistener *listeners[LISTENERS];
	size_t n_listeners;
	unsigned n, most; /* connections */
	struct strangers {
		struct list list; /* the oldest first */
		unsigned n, most;
	} strangers[2];		   /* ... of those, with TLS and without */
	struct timeval patience;   /* with those that aren't believed */
	unsigned opening[2], tick; /* handshakes, by the tick in which they began */
	struct event *ticks;
	bool full, deaf, accepting;
};

/* Hangs on its SSL; without TLS, among the plain ones. */
struct connection {
	struct http *http;
	SSL *ssl;		   /* NULL: without TLS */
	struct bufferevent *plain; /* ... then this, a reference; else NULL */
	struct list node;	   /* among the plain ones */
	struct event *deadline;
	struct list stranger; /* among all; empty: it is none, or has been told to go */
	size_t said;	      /* bytes, while it was one */
	unsigned tick;
	bool opening;
};

static int connection_index = -1; /* of the struct connection at an SSL; set once */

/* Whether more are accepted. */
static void decide(struct http *h)
{
	bool full = h->n >= h->most;
	bool on = !h->deaf && !full && h->opening[0] + h->opening[1] < OPENING;

	if (full && !h->full)
		log_warn("%u connections: no more are accepted until one ends", h->n);
	h->full = full;
	for (size_t i = 0; i < h->n_listeners && on != h->accepting; i++) {
		if (on)
			evconnlistener_enable(h->listeners[i]);
		else
			evconnlistener_disable(h->listeners[i]);
	}
	h->accepting = on;
}

/* Its handshake is over, one way or the other. */
static void opened(struct connection *c)
{
	struct http *h = c->http;

	if (c->opening && h->tick - c->tick < 2)
		h->opening[c->tick % 2]--;
	c->opening = false;
}

static void on_said(struct evbuffer *, const struct evbuffer_cb_info *, void *arg);

/* As if the other side had gone: the rest is evhttp's. */
static void cut_off(const struct connection *c)
{
	int fd = c->ssl ? SSL_get_fd(c->ssl) : bufferevent_getfd(c->plain);

	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
}

static void no_stranger(struct connection *c)
{
	if (list_is_empty(&c->stranger))
		return;
	list_remove(&c->stranger);
	c->http->strangers[!c->ssl].n--;
}

static void forget(struct connection *c)
{
	struct http *h = c->http;

	opened(c);
	no_stranger(c);
	event_free(c->deadline);
	free(c);
	h->n--;
	if (!h->evhttp && !h->n)
		free(h);
	else
		decide(h);
}

static void connection_gone(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long l,
			    void *p)
{
	(void)parent, (void)data, (void)index, (void)l, (void)p;
	if (ptr)
		forget(ptr);
}

/* Those that evhttp has let go of, which then has no functions there any more. */
static void look_at_plain(struct http *h)
{
	struct list *next;

	for (struct list *node = h->plains.next; node != &h->plains; node = next) {
		struct connection *c = container_of(node, struct connection, node);
		bufferevent_event_cb event;

		next = node->next;
		bufferevent_getcb(c->plain, NULL, NULL, &event, NULL);
		if (event)
			continue;
		list_remove(&c->node);
		evbuffer_remove_cb(bufferevent_get_input(c->plain), on_said, c);
		bufferevent_decref(c->plain);
		forget(c);
	}
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct http *h = arg;

	(void)fd, (void)events;
	look_at_plain(h);
	h->opening[++h->tick % 2] = 0;
	decide(h);
}

static bool is_believed(const SSL *ssl)
{
	return ssl && SSL_is_init_finished(ssl) && SSL_get0_peer_certificate(ssl) &&
	       SSL_get_verify_result(ssl) == X509_V_OK;
}

static void on_deadline(evutil_socket_t fd, short events, void *arg)
{
	const struct connection *c = arg;

	(void)fd, (void)events;
	if (!is_believed(c->ssl))
		cut_off(c);
}

static void on_said(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	struct connection *c = arg;

	(void)b;
	if (is_believed(c->ssl))
		return;
	c->said += info->n_added;
	if (c->said > HTTP_STRANGER)
		cut_off(c);
}

static void on_progress(const SSL *ssl, int where, int value)
{
	struct connection *c = SSL_get_ex_data(ssl, connection_index);

	(void)value;
	/* Its end is said before a ticket is written, or not at all then. */
	if (!(where == SSL_CB_ACCEPT_EXIT || (where & SSL_CB_HANDSHAKE_DONE)) || !c ||
	    !SSL_is_init_finished(ssl))
		return;
	opened(c);
	if (is_believed(ssl))
		no_stranger(c);
	decide(c->http);
}

/* NULL: out of memory. */
static struct connection *connection_note(struct http *h, SSL *ssl)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct strangers *s = &h->strangers[!ssl];

	if (!c)
		return NULL;
	*c = (struct connection){ .http = h,
				  .ssl = ssl,
				  .deadline = evtimer_new(h->base, on_deadline, c),
				  .tick = h->tick,
				  .opening = ssl != NULL };
	list_init(&c->stranger);
	if (!c->deadline || evtimer_add(c->deadline, &h->patience) ||
	    (ssl && !SSL_set_ex_data(ssl, connection_index, c)))
		return NULL;
	h->opening[h->tick % 2] += c->opening;
	h->n++;
	if (s->n == s->most) {
		struct connection *oldest = container_of(s->list.next, struct connection, stranger);

		no_stranger(oldest);
		cut_off(oldest);
	}
	list_insert(&s->list, &c->stranger);
	s->n++;
	return c;
}

static struct bufferevent *connection_new(struct event_base *base, void *arg)
{
	struct http *h = arg;
	SSL *ssl = SSL_new(h->context);
	struct bufferevent *b = NULL;

	if (ssl && connection_note(h, ssl))
		b = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
						   BEV_OPT_CLOSE_ON_FREE);
	if (!b) /* evhttp would go on without TLS */
		log_fatal(1, "out of memory");
	bufferevent_openssl_set_allow_dirty_shutdown(b, 1);
	if (!evbuffer_add_cb(bufferevent_get_input(b), on_said,
			     SSL_get_ex_data(ssl, connection_index)))
		log_fatal(1, "out of memory");
	decide(h);
	return b;
}

static struct bufferevent *plain_new(struct event_base *base, void *arg)
{
	struct http *h = arg;
	struct bufferevent *b = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct connection *c;

	if (h->strangers[1].n == h->strangers[1].most) /* perhaps not all are there any more */
		look_at_plain(h);
	c = b ? connection_note(h, NULL) : NULL;
	if (!c || !evbuffer_add_cb(bufferevent_get_input(b), on_said, c))
		log_fatal(1, "out of memory");
	c->plain = b;
	bufferevent_incref(b);
	list_insert(&h->plains, &c->node);
	decide(h);
	return b;
}

/* The handshake goes on; the result stays with the connection. */
static int note_result(X509_STORE_CTX *ctx, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());

	(void)arg;
	if (X509_verify_cert(ctx) == 1 && ssl)
		SSL_set_num_tickets(ssl, 1);
	return 1;
}

/* Who has gone already, having waited for too long, is not worth the work. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	(void)arg;
	if (getsockopt(SSL_get_fd(ssl), IPPROTO_TCP, TCP_INFO, &info, &len) ||
	    info.tcpi_state != TCP_CLOSE_WAIT)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_USER_CANCELLED;
	return SSL_CLIENT_HELLO_ERROR;
}

static SSL_CTX *context_new(struct ca *ca, X509 *certificate, EVP_PKEY *key)
{
	static const unsigned char context[] = { 'v', 'i', 'n', 'e' };
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());

	if (!c)
		return NULL;
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF |
				       SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* all is in the tickets */
	SSL_CTX_set_timeout(c, RESUMED);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS); /* most connections say nothing */
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(c, note_result, NULL);
	SSL_CTX_set_info_callback(c, on_progress);
	SSL_CTX_set_client_hello_cb(c, on_hello, NULL);
	if (SSL_CTX_set_num_tickets(c, 0) &&
	    SSL_CTX_set_session_id_context(c, context, sizeof(context)) &&
	    SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) &&
	    SSL_CTX_set1_verify_cert_store(c, ca_store(ca)) &&
	    SSL_CTX_use_certificate(c, certificate) && SSL_CTX_use_PrivateKey(c, key) &&
	    SSL_CTX_add1_chain_cert(c, ca_certificate(ca)))
		return c;
	SSL_CTX_free(c);
	return NULL;
}

bool http_certify(struct http *h, struct ca *ca, EVP_PKEY *key, time_t now, long seconds,
		  char *const *names, size_t n_names)
{
	X509 *c = ca_issue(ca, CA_SERVER, "authority", key, now, seconds, names, n_names);
	SSL_CTX *context = c ? context_new(ca, c, key) : NULL;

	X509_free(c);
	if (!context)
		return false;
	SSL_CTX_free(h->context);
	h->context = context;
	return true;
}

struct http *http_new(struct event_base *base, unsigned connections, unsigned patience, http_fn *fn,
		      void *arg)
{
	static const struct timeval tick = { .tv_usec = TICK * 1000 };
	struct http *h = calloc(1, sizeof(*h));
	struct rlimit files;

	if (connection_index < 0)
		connection_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, connection_gone);
	if (!h || connection_index < 0 || !(h->evhttp = evhttp_new(base))) {
		free(h);
		return NULL;
	}
	h->base = base;
	h->most = connections;
	list_init(&h->strangers[0].list);
	list_init(&h->strangers[1].list);
	list_init(&h->plains);
	h->patience.tv_sec = patience;
	h->accepting = true;
	h->ticks = event_new(base, -1, EV_PERSIST, on_tick, h);
	if (!h->ticks || event_add(h->ticks, &tick)) {
		http_free(h);
		return NULL;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
		if (files.rlim_cur < (rlim_t)connections + 64)
			h->most = files.rlim_cur > 128 ? (unsigned)files.rlim_cur - 64 : 64;
	}
	h->strangers[0].most = (h->most + SHARE - 1) / SHARE;
	if (h->strangers[0].most > STRANGERS_MOST)
		h->strangers[0].most = STRANGERS_MOST;
	h->strangers[1].most = (h->strangers[0].most + PLAIN - 1) / PLAIN;
	evhttp_set_bevcb(h->evhttp, connection_new, h);
	evhttp_set_gencb(h->evhttp, fn, arg);
	evhttp_set_max_body_size(h->evhttp, HTTP_BODY);
	evhttp_set_max_headers_size(h->evhttp, HTTP_HEADERS);
	evhttp_set_timeout(h->evhttp, HTTP_SILENCE);
	evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
						      EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE);
	return h;
}

void http_free(struct http *h)
{
	struct evhttp *evhttp = h ? h->evhttp : NULL;

	if (!h)
		return;
	http_deaf(h);
	if (h->plain)
		evhttp_free(h->plain);
	look_at_plain(h);
	if (h->ticks)
		event_free(h->ticks);
	SSL_CTX_free(h->context);
	/* libevent frees a connection in the end of its loop, or with that. */
	h->evhttp = NULL;
	if (!h->n)
		free(h);
	evhttp_free(evhttp);
}

static int make_socket(const struct endpoint *e)
{
	struct sockaddr_storage a;
	socklen_t len = endpoint_to_sockaddr(e, &a);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, error;

	if (fd < 0)
		return -errno;
	/* Connections inherit it: an answer leaves in several pieces, and none waits. */
	if (!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) &&
	    !setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) &&
	    (a.ss_family != AF_INET6 ||
	     !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) &&
	    !bind(fd, (struct sockaddr *)&a, len) && !listen(fd, BACKLOG))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int listen_by(struct http *h, struct evhttp *evhttp, const struct endpoint *e)
{
	int fd = h->n_listeners < LISTENERS ? make_socket(e) : -ENOSPC;
	struct evhttp_bound_socket *s;

	if (fd < 0)
		return fd;
	s = evhttp_accept_socket_with_handle(evhttp, fd);
	if (!s) {
		close(fd);
		return -ENOMEM;
	}
	h->listeners[h->n_listeners++] = evhttp_bound_socket_get_listener(s);
	return 0;
}

int http_listen(struct http *h, const struct endpoint *e)
{
	return listen_by(h, h->evhttp, e);
}

int http_listen_plain(struct http *h, const struct endpoint *e, http_fn *fn, void *arg)
{
	if (h->plain)
		return -EBUSY;
	h->plain = evhttp_new(h->base);
	if (!h->plain)
		return -ENOMEM;
	evhttp_set_bevcb(h->plain, plain_new, h);
	evhttp_set_gencb(h->plain, fn, arg);
	evhttp_set_max_body_size(h->plain, HTTP_PLAIN);
	evhttp_set_max_headers_size(h->plain, HTTP_PLAIN);
	evhttp_set_timeout(h->plain, HTTP_PATIENCE);
	evhttp_set_allowed_methods(h->plain, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	return listen_by(h, h->plain, e);
}

void http_deaf(struct http *h)
{
	h->deaf = true;
	decide(h);
}

static SSL *ssl_of(struct evhttp_request *q)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q);

	return c ? bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(c)) : NULL;
}

/* NULL: it has gone. */
static struct connection *connection_of(const struct http *h, struct evhttp_request *q)
{
	struct evhttp_connection *e = evhttp_request_get_connection(q);
	const struct bufferevent *b = e ? evhttp_connection_get_bufferevent(e) : NULL;
	SSL *ssl = ssl_of(q);

	if (ssl)
		return SSL_get_ex_data(ssl, connection_index);
	list_for_each(node, &h->plains) {
		struct connection *c = container_of(node, struct connection, node);

		if (c->plain == b)
			return c;
	}
	return NULL;
}

void http_wait(struct http *h, struct evhttp_request *q, unsigned seconds)
{
	const struct timeval patience = { .tv_sec = seconds };
	struct connection *c = connection_of(h, q);

	if (c)
		evtimer_add(c->deadline, &patience);
}

int64_t http_peer_end(struct evhttp_request *q)
{
	SSL *ssl = ssl_of(q);
	X509 *c = ssl ? SSL_get0_peer_certificate(ssl) : NULL;

	return c ? ca_end(c) : 0;
}

void http_peer(struct evhttp_request *q, time_t now, struct http_peer *ret)
{
	SSL *ssl = ssl_of(q);
	X509 *c = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
	long result = c ? SSL_get_verify_result(ssl) : X509_V_OK;

	*ret = (struct http_peer){ .certified = c != NULL };
	if (!c)
		return;
	if (result != X509_V_OK)
		ret->invalid = X509_verify_cert_error_string(result);
	else if (ca_end(c) <= now) /* since the handshake */
		ret->invalid = X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED);
	else if (!ca_holder(c, &ret->kind, ret->name) || ret->kind == CA_SERVER)
		ret->invalid = "it is neither a user's nor a router's";
	else if (!(ret->key = pki_certified_key_text(c)))
		ret->invalid = "out of memory";
}

const char *http_reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 307: return "Temporary Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 409: return "Conflict";
	case 413: return "Content Too Large";
	case 429: return "Too Many Requests";
	case 503: return "Service Unavailable";
	default: return "Internal Server Error";
	}
}
