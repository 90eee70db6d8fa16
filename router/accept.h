/*
 * Listening for streams of other routers: TCP, and TLS that looks like any web
 * server from outside. On the control thread's loop.
 *
 * Nobody is known yet here, so everything is bounded: connections in all and of one
 * source, their time, and their bytes, which are no more than a frame's header. What
 * begins with the header of a frame from a configured peer to this router is handed
 * over; whether it is genuine is seen where all frames are opened.
 */
#ifndef ROUTER_ACCEPT_H
#define ROUTER_ACCEPT_H

#include <stdio.h>

#include "common/addr.h"
#include "common/counters.h"
#include "common/list.h"
#include "common/loop.h"
#include "router/stream.h"

#define ACCEPT_PENDING 512   /* connections that have not said who they are */
#define ACCEPT_PER_SOURCE 32 /* ... of one IPv4 address or IPv6 /64 */
#define ACCEPT_TIME (10 * SEC)

struct accept;

struct accept_hooks {
	/* Whether frames from this router are expected here. */
	bool (*knows)(void *arg, uint32_t source, uint32_t destination);
	/* A stream and its first bytes: the callee's from now on. */
	void (*ready)(void *arg, struct stream *, const struct endpoint *from, const uint8_t *first,
		      size_t len, mono_t now);
	void *arg;
};

struct accept_counts {
	uint64_t accepted, handed_over;
	uint64_t http;	  /* asked for a page, and got 404 */
	uint64_t strange; /* neither HTTP nor a peer's frame */
	uint64_t late, pushed_out;
};

/* Listens on these addresses; tls_settings: for n_tls > 0. NULL with a line on errors. */
struct accept *accept_open(struct loop *, const struct endpoint *tcp, size_t n_tcp,
			   const struct endpoint *tls, size_t n_tls,
			   struct stream_tls *tls_settings, const struct accept_hooks *,
			   FILE *errors);
void accept_close(struct accept *); /* NULL is fine */
const struct accept_counts *accept_counts(const struct accept *);
size_t accept_pending(const struct accept *);

/* A listening socket, which doesn't block, or -errno. */
int accept_listen(const struct endpoint *, int backlog);

#endif
