/*
 * The HTTPS server: TLS 1.3 on libevent's evhttp, bounds on connections, headers, bodies
 * and silence, and who the other side is by its certificate.
 */
#ifndef AUTHORITY_HTTP_H
#define AUTHORITY_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <event2/http.h>

#include "authority/ca.h"
#include "common/addr.h"

#define HTTP_BODY (2u << 20) /* bytes of a request's */
#define HTTP_HEADERS (16 << 10)
#define HTTP_SILENCE 60	 /* seconds that a connection may say nothing */
#define HTTP_PATIENCE 15 /* seconds that one may last without a certificate that is believed */
#define HTTP_STRANGER (256u << 10) /* bytes that one may say without */

struct http;

typedef void http_fn(struct evhttp_request *, void *arg);

/* patience: seconds, see above. NULL: out of memory. It takes connections from http_listen on. */
struct http *http_new(struct event_base *, unsigned connections, unsigned patience, http_fn *,
		      void *arg);
void http_free(struct http *);
/* With this key and a certificate made anew for connections from now on. */
bool http_certify(struct http *, struct ca *, EVP_PKEY *, time_t now, long seconds,
		  char *const *names, size_t n_names);
int http_listen(struct http *, const struct endpoint *);
/* One more, without TLS: its requests are the function's. Whoever comes there is a stranger, in the
 * same bounds as others, who may say HTTP_PLAIN bytes in a request's head, and as many behind it. */
#define HTTP_PLAIN 4096
int http_listen_plain(struct http *, const struct endpoint *, http_fn *, void *arg);
/* The connection of a request may last so many seconds from now, whoever it is. */
void http_wait(struct http *, struct evhttp_request *, unsigned seconds);
/* No more of them. */
void http_deaf(struct http *);
/* The phrase that goes with a status. */
const char *http_reason(int status);

/* Who asks. */
struct http_peer {
	bool certified;	     /* there is a certificate */
	const char *invalid; /* why it isn't believed; NULL: it is */
	enum ca_kind kind;
	char name[CA_NAME];
	char *key; /* its public key as text; to be freed */
};
void http_peer(struct evhttp_request *, time_t now, struct http_peer *ret);
/* When the certificate ends that it has shown, seconds since 1970; 0: none. */
int64_t http_peer_end(struct evhttp_request *);

#endif
