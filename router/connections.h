/*
 * The streams of this router, as the control thread sees them: opened to peers (dial) or
 * come from them (accept), each with an ID that is never used again, and given to the
 * worker that carries its frames.
 */
#ifndef ROUTER_CONNECTIONS_H
#define ROUTER_CONNECTIONS_H

#include <stdio.h>

#include "common/list.h"
#include "router/accept.h"
#include "router/dial.h"
#include "router/reach.h"
#include "router/resolve.h"
#include "router/worker.h"

struct router;
struct config;
struct config_peer;

/* One stream, from when its worker has it until it has ended. */
struct connection {
	struct list node; /* of connections->all, oldest first */
	uint32_t id;
	uint32_t router; /* whose it is; of an accepted one: who it says to be */
	enum rung rung;
	bool ours; /* we have opened it */
	struct endpoint remote;
	struct ip local; /* family 0: not known */
	mono_t since;
	mono_t close_at; /* it is not needed any more; {0}: it may be */
};

/* How streams are opened: dial.h's, or a simulation's. */
struct dialer {
	struct dial *(*start)(void *arg, const struct dial_to *, int64_t timeout, mono_t now,
			      dial_fn *, void *fn_arg);
	void (*cancel)(struct dial *);
	void *arg;
};

struct connections {
	struct router *router;
	struct list all;
	uint32_t serial;
	struct dialer dialer;
	struct stream_tls *tls_client, *tls_server;
	struct accept *accept;
	/* the proxy, host "": none */
	struct proxy proxy;
	bool of_environment; /* it has been found there */
	struct watch *proxy_watch;
	struct ip proxy_ips[RESOLVE_MAX];
	unsigned n_proxy_ips;
	char proxy_error[80];
};

/* NULL: out of memory. */
struct connections *connections_new(struct router *);
/* The streams themselves are the ports'. */
void connections_free(struct connections *);

/* Listens as the configuration says. False with lines on errors. */
bool connections_listen(struct connections *, const struct config *, FILE *errors);
/* The proxy of the configuration, or else of the environment (https_proxy, http_proxy). */
void connections_set_proxy(struct connections *, const struct proxy *configured);
/* Whether the environment, which names the proxy, excepts this host from it (no_proxy). */
bool connections_excepts(const struct connections *, const char *host);

/* Opens a stream of this rung to a peer: to this address, which is the peer's or the
 * proxy's, and to the port given back. NULL: out of memory. */
struct dial *connections_dial(struct connections *, enum rung, const struct config_peer *,
			      const struct ip *, uint16_t *ret_port, mono_t now, dial_fn *,
			      void *arg);
/* Takes over a stream and gives it to a worker. Its ID, 0: it is closed. */
uint32_t connections_add(struct connections *, uint32_t router, enum rung, bool ours,
			 struct stream *, const struct endpoint *remote, const uint8_t *first,
			 size_t len, mono_t now);
/* A stream with the first bytes of a frame that has come by itself: taken over, and closed
 * if it is none for us. */
void connections_accept(struct connections *, struct stream *, enum rung,
			const struct endpoint *from, const uint8_t *first, size_t len, mono_t now);
/* NULL: there is no such stream (any more). */
struct connection *connections_find(struct connections *, uint32_t id);
void connections_close(struct connections *, uint32_t id, mono_t now);
/* Closes those of a router whose time has come, or all. When the next is to be; {0}:
 * none. */
mono_t connections_tidy(struct connections *, uint32_t router, bool all, mono_t now);
/* Ends those that leave from an address which this machine had in that world, and has no
 * more: nothing tells TCP so. */
void connections_readdress(struct connections *, const struct world *old, mono_t now);
/* The worker says that it has ended. */
void connections_ended(struct connections *, uint32_t id, const char *why, mono_t now);

#endif
