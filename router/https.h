/*
 * Requests of HTTPS that wait for nobody: libcurl on the control thread's loop. TLS 1.3,
 * with a certificate of one's own, believing certain CAs and nobody else; no names are
 * looked up here, no proxy is asked but one that is given, no redirection is followed.
 */
#ifndef ROUTER_HTTPS_H
#define ROUTER_HTTPS_H

#include "common/addr.h"
#include "common/loop.h"
#include "router/proxy.h"

#define HTTPS_ANSWER (64u << 10) /* bytes of an answer that is kept, unless told otherwise */

struct https;
struct https_request;

/* Loads libcurl: to be called before there are threads, and before the sandbox. NULL, with
 * the reason (static text). */
struct https *https_new(struct loop *, const char **ret_why);
/* Requests that are left are given up, and told nothing. NULL is fine. */
void https_free(struct https *);
/* Who asks and whom is believed: PEM texts, borrowed until it is called again. Connections
 * that are open stay. */
void https_identify(struct https *, const char *certificate, const char *key, const char *trust);

struct https_answer {
	long status;	   /* of HTTP; 0: there is none, and `error` says why */
	const char *error; /* "" with a status */
	bool silent;	   /* that is because the other side says nothing (any more) */
	const char *body;  /* with a NUL behind it; "" of a stream */
	size_t len;
	const char *location; /* of a redirection; or NULL */
};
/* Once, at the end, in a later turn of the loop; the request is no more. */
typedef void https_fn(void *arg, const struct https_answer *, mono_t now);
/* What has come of a stream, whose status is 200. It may be cancelled here. */
typedef void https_data_fn(void *arg, const void *data, size_t len, mono_t now);

struct https_question {
	const char *url;  /* whole */
	const char *host; /* of it, without brackets */
	uint16_t port;
	const struct ip *ips; /* where that is; or the proxy */
	size_t n_ips;
	const struct proxy *proxy; /* which connects to the host; copied; NULL: nobody between */
	int64_t connect;	   /* for each connection, proxy and TLS included */
	int64_t dead;		   /* who says nothing for so long has gone; 0: 2.5 s */
	const char *body;	   /* JSON, copied: POST; NULL: GET */
	const char *header;	   /* one more line of the head, copied; or NULL */
	int64_t patience;	   /* for all of it; 0: for ever */
	size_t most;		   /* bytes of an answer that is no stream; 0: HTTPS_ANSWER */
	https_data_fn *data;	   /* NULL: no stream */
	https_fn *done;
	void *arg;
};
/* NULL: out of memory, or what must be set (whom to believe, who asks) is not. */
struct https_request *https_ask(struct https *, const struct https_question *);
/* It is told nothing more. NULL is fine. */
void https_cancel(struct https_request *);

#endif
