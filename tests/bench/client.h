/*
 * A client of the authority for benches: one connection of HTTPS (TLS 1.3, HTTP/1.1) with a
 * certificate of its own, one request at a time, its answer given on as it comes.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>

struct client;

/* Each may close the client. */
struct client_calls {
	void (*opened)(struct client *);
	void (*data)(struct client *, const char *, size_t); /* of a body */
	void (*done)(struct client *, int status);	     /* the answer is whole */
	void (*lost)(struct client *);			     /* closed already */
};

struct client {
	SSL_SESSION **session; /* is resumed, and noted; NULL: never */
	const struct client_calls *calls;
	struct bufferevent *b; /* NULL: closed */
	bool open;	       /* TLS is there */
	int status;	       /* of the answer that comes */
	bool chunked;
	size_t left; /* of a body, or a chunk */
	enum { CLIENT_STATUS, CLIENT_HEAD, CLIENT_BODY, CLIENT_SIZE, CLIENT_CHUNK, CLIENT_END } at;
};

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

SSL_CTX *client_context(X509_STORE *trust);
/* To 127.0.0.1, from 127.0.0.0/8 by this number. False: no descriptor is left. */
bool client_open(struct client *, struct event_base *, SSL_CTX *, const struct identity *,
		 uint32_t from, uint16_t port);
/* body NULL: none. */
void client_send(struct client *, const char *method, const char *path, const char *body);
void client_close(struct client *);

#endif
