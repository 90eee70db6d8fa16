/*
 * Opening a stream to another router: TCP, TLS, either perhaps through an HTTP
 * proxy. On the control thread's loop; nothing here blocks.
 */
#ifndef ROUTER_DIAL_H
#define ROUTER_DIAL_H

#include "common/addr.h"
#include "common/loop.h"
#include "router/proxy.h"
#include "router/stream.h"

struct dial;

struct dial_to {
	struct endpoint connect;   /* where the connection goes: the router, or its proxy */
	const struct proxy *proxy; /* NULL: none */
	const char *host;	   /* the router, for the proxy and for SNI */
	uint16_t port;		   /* the router's, for the proxy */
	struct stream_tls *tls;	   /* NULL: plain TCP */
};

#define DIAL_WHY 120

/* How it went: the stream, ready for frames and the callee's from now on; or NULL with
 * the reason in words. The dial is over and freed either way. */
typedef void dial_fn(void *arg, struct stream *, const char *why, mono_t now);

/* Begins. What `to` points to is copied, but for tls. fn is never called from within. NULL:
 * out of memory. */
struct dial *dial_start(struct loop *, const struct dial_to *, int64_t timeout, mono_t now,
			dial_fn *, void *arg);
/* Gives it up; fn is not called. NULL is fine. */
void dial_cancel(struct dial *);

#endif
