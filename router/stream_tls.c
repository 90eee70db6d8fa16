/*
 * TLS over a TCP connection as a stream, see stream.h.
 *
 * It looks like what any browser does, which is all that it is for. So nobody's
 * certificate is checked, and where none is configured the server makes one for
 * itself. The descriptor is the socket's, under a BIO that OpenSSL writes to
 * directly; the same options as for plain TCP hold.
 *
 * A write that OpenSSL could not finish must be repeated with the same bytes
 * (SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER: from wherever they lie). So one batch is put
 * together in a buffer of the stream, which goes out whole before the next one.
 */
#include "router/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/list.h"

#define RECORD 16384		  /* bytes of a full TLS record */
#define DAYS (10 * 365L * 86400L) /* seconds that our own certificate is good for */

struct stream_tls {
	SSL_CTX *ctx;
	bool server;
};

struct tls {
	struct stream stream;
	struct stream *tcp;
	SSL *ssl;
	size_t pending; /* bytes of `record` that OpenSSL has still to take */
	uint8_t record[RECORD];
};

static struct tls *tls_of(struct stream *s)
{
	return container_of(s, struct tls, stream);
}

/* What OpenSSL says of a call that gave n <= 0. */
static int failed(struct tls *t, int n)
{
	int e = errno;

	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ: t->stream.wants = EPOLLIN; return -EAGAIN;
	case SSL_ERROR_WANT_WRITE: t->stream.wants = EPOLLOUT; return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN: return 0;
	case SSL_ERROR_SYSCALL: ERR_clear_error(); return e > 0 ? -e : 0;
	default: ERR_clear_error(); return -EPROTO;
	}
}

static ssize_t tls_read(struct stream *s, void *data, size_t room)
{
	struct tls *t = tls_of(s);
	size_t got = 0;
	int n;

	errno = 0;
	n = SSL_read_ex(t->ssl, data, room, &got);
	return n == 1 ? (ssize_t)got : failed(t, n);
}

/* Gives OpenSSL what is in the buffer. 0 when it has it all. */
static int flush(struct tls *t)
{
	size_t written = 0;
	int n;

	if (!t->pending)
		return 0;
	errno = 0;
	n = SSL_write_ex(t->ssl, t->record, t->pending, &written);
	if (n != 1) {
		int e = failed(t, n);

		return e ? e : -EPIPE;
	}
	t->pending = 0; /* without partial writes: all of it */
	t->stream.unsent = false;
	return 0;
}

static ssize_t tls_write(struct stream *s, const struct iovec *iov, int n)
{
	struct tls *t = tls_of(s);
	int e = flush(t);

	if (e)
		return e;
	for (int i = 0; i < n && t->pending < RECORD; i++) {
		size_t room = RECORD - t->pending;
		size_t len = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(t->record + t->pending, iov[i].iov_base, len);
		t->pending += len;
	}
	n = (int)t->pending;
	t->stream.unsent = n > 0;
	e = flush(t);
	return e && e != -EAGAIN ? e : n; /* taken: it will go before all that follows */
}

static int tls_begin(struct stream *s)
{
	struct tls *t = tls_of(s);
	int n;

	errno = 0;
	n = SSL_do_handshake(t->ssl);
	if (n == 1) {
		t->stream.wants = EPOLLIN;
		return 0;
	}
	n = failed(t, n);
	return n ? n : -ECONNRESET;
}

static void tls_close(struct stream *s)
{
	struct tls *t = tls_of(s);

	SSL_shutdown(t->ssl); /* as far as that goes without waiting */
	ERR_clear_error();
	SSL_free(t->ssl);
	t->tcp->ops->close(t->tcp);
	OPENSSL_cleanse(t->record, sizeof(t->record));
	free(t);
}

static const struct stream_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.begin = tls_begin,
	.close = tls_close,
};

/* ---- settings --------------------------------------------------------------- */

static struct stream_tls *tls_new(bool server)
{
	struct stream_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->server = server;
	t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!t->ctx || !SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION)) {
		stream_tls_free(t);
		ERR_clear_error();
		return NULL;
	}
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(t->ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	return t;
}

struct stream_tls *stream_tls_client(void)
{
	return tls_new(false);
}

/* A P-256 key and a certificate for it that says nothing. */
static bool self_sign(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
	bool ok = key && name && X509_set_version(x, X509_VERSION_3) &&
		  ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
		  X509_gmtime_adj(X509_getm_notBefore(x), -86400) &&
		  X509_gmtime_adj(X509_getm_notAfter(x), DAYS) && X509_set_pubkey(x, key) &&
		  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
					     (const unsigned char *)"localhost", -1, -1, 0) &&
		  X509_set_issuer_name(x, name) && X509_sign(x, key, EVP_sha256()) &&
		  SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

struct stream_tls *stream_tls_server(const char *certificate, const char *key, const char **ret_why)
{
	struct stream_tls *t = tls_new(true);
	const char *why = NULL;

	if (!t)
		why = "out of memory";
	else if (!certificate && !key)
		why = self_sign(t->ctx) ? NULL : "no certificate could be made";
	else if (!certificate || SSL_CTX_use_certificate_chain_file(t->ctx, certificate) != 1)
		why = "the certificate can't be read (PEM is expected)";
	else if (!key || SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1)
		why = "the key can't be read, or is not the certificate's (PEM is expected)";
	if (!why)
		return t;
	ERR_clear_error();
	stream_tls_free(t);
	*ret_why = why;
	return NULL;
}

void stream_tls_free(struct stream_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

struct stream *stream_tls_new(struct stream_tls *settings, int fd, const char *name)
{
	struct stream *tcp = stream_tcp_new(fd);
	struct tls *t;

	if (!tcp)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t)
		t->ssl = SSL_new(settings->ctx);
	if (!t || !t->ssl || SSL_set_fd(t->ssl, fd) != 1) {
		ERR_clear_error();
		if (t)
			SSL_free(t->ssl);
		free(t);
		tcp->ops->close(tcp);
		errno = ENOMEM;
		return NULL;
	}
	if (settings->server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	if (name && !settings->server)
		SSL_set_tlsext_host_name(t->ssl, name);
	t->tcp = tcp;
	t->stream =
		(struct stream){ .ops = &tls_ops, .fd = fd, .wants = EPOLLIN, .local = tcp->local };
	return &t->stream;
}
