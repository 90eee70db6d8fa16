/*
 * The reader takes what evhttp sends, and no more of HTTP than that.
 */
#include "tests/bench/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>

static int note_session(SSL *ssl, SSL_SESSION *session)
{
	const struct client *c = SSL_get_app_data(ssl);

	if (!c->session)
		return 0;
	SSL_SESSION_free(*c->session);
	*c->session = session;
	return 1;
}

SSL_CTX *client_context(X509_STORE *trust)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c, note_session);
	SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
	SSL_CTX_set1_verify_cert_store(c, trust);
	return c;
}

void client_close(struct client *c)
{
	if (c->b)
		bufferevent_free(c->b);
	c->b = NULL;
	c->open = false;
}

static void lose(struct client *c)
{
	client_close(c);
	c->calls->lost(c);
}

/* ---- reading ------------------------------------------------------------------- */

static void end_answer(struct client *c)
{
	c->at = CLIENT_STATUS;
	c->calls->done(c, c->status);
}

/* False: this is no HTTP. */
static bool read_line(struct client *c, const char *line)
{
	switch (c->at) {
	case CLIENT_STATUS:
		c->chunked = false;
		c->left = 0;
		c->at = CLIENT_HEAD;
		return sscanf(line, "HTTP/1.1 %d", &c->status) == 1;
	case CLIENT_HEAD:
		if (!strncasecmp(line, "Content-Length:", 15))
			c->left = strtoul(line + 15, NULL, 10);
		else if (!strcasecmp(line, "Transfer-Encoding: chunked"))
			c->chunked = true;
		else if (!*line && (c->chunked || c->left))
			c->at = c->chunked ? CLIENT_SIZE : CLIENT_BODY;
		else if (!*line)
			end_answer(c);
		return true;
	case CLIENT_SIZE:
		c->left = strtoul(line, NULL, 16);
		c->at = c->left ? CLIENT_CHUNK : CLIENT_END;
		return true;
	case CLIENT_END:
		if (c->left) { /* of a chunk that was not the last */
			c->left = 0;
			c->at = CLIENT_SIZE;
		} else {
			end_answer(c);
		}
		return !*line;
	default: return false;
	}
}

static void read_body(struct client *c, struct evbuffer *in)
{
	size_t n = evbuffer_get_contiguous_space(in);

	if (n > c->left)
		n = c->left;
	c->calls->data(c, (const char *)evbuffer_pullup(in, (ev_ssize_t)n), n);
	if (!c->b)
		return;
	evbuffer_drain(in, n);
	c->left -= n;
	if (!c->left && c->at == CLIENT_CHUNK) {
		c->left = 1;
		c->at = CLIENT_END;
	} else if (!c->left) {
		end_answer(c);
	}
}

static void on_read(struct bufferevent *b, void *arg)
{
	struct client *c = arg;
	struct evbuffer *in = bufferevent_get_input(b);
	bool good = true;

	while (good && c->b == b && evbuffer_get_length(in)) {
		char *line;

		if (c->at == CLIENT_BODY || c->at == CLIENT_CHUNK) {
			read_body(c, in);
			continue;
		}
		line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF_STRICT);
		if (!line)
			break;
		good = read_line(c, line);
		free(line);
	}
	if (!good)
		lose(c);
}

static void on_event(struct bufferevent *b, short what, void *arg)
{
	struct client *c = arg;

	(void)b;
	if (what & BEV_EVENT_CONNECTED) {
		c->open = true;
		c->calls->opened(c);
	} else {
		lose(c);
	}
}

/* ---- opening, asking ------------------------------------------------------------ */

static int make_socket(uint32_t from, uint16_t port)
{
	struct sockaddr_in own = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f010000 + from) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	bind(fd, (struct sockaddr *)&own, sizeof(own));
	connect(fd, (struct sockaddr *)&to, sizeof(to)); /* what comes of it, TLS will see */
	return fd;
}

bool client_open(struct client *c, struct event_base *base, SSL_CTX *context,
		 const struct identity *who, uint32_t from, uint16_t port)
{
	int fd = make_socket(from, port);
	SSL *ssl = fd >= 0 ? SSL_new(context) : NULL;

	if (!ssl)
		return false;
	SSL_use_certificate(ssl, who->certificate);
	SSL_use_PrivateKey(ssl, who->key);
	SSL_set_app_data(ssl, c);
	if (c->session && *c->session)
		SSL_set_session(ssl, *c->session);
	c->open = false;
	c->at = CLIENT_STATUS;
	c->b = bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_CONNECTING,
					      BEV_OPT_CLOSE_ON_FREE);
	if (!c->b)
		abort();
	bufferevent_openssl_set_allow_dirty_shutdown(c->b, 1);
	bufferevent_setcb(c->b, on_read, NULL, on_event, c);
	bufferevent_enable(c->b, EV_READ | EV_WRITE);
	return true;
}

void client_send(struct client *c, const char *method, const char *path, const char *body)
{
	struct evbuffer *out = bufferevent_get_output(c->b);

	evbuffer_add_printf(out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path);
	if (body)
		evbuffer_add_printf(out,
				    "Content-Type: application/json\r\nContent-Length: %zu\r\n",
				    strlen(body));
	evbuffer_add_printf(out, "\r\n%s", body ? body : "");
}
