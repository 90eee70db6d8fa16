/*
 * A check under way: netcheck.c carries it out, netcheck_show.c says what came of it.
 */
#ifndef ROUTER_NETCHECK_PRIVATE_H
#define ROUTER_NETCHECK_PRIVATE_H

#include "router/nat.h"
#include "router/netcheck.h"
#include "router/router.h"

#define NETCHECK_WAYS (RUNG_PROXY + 1) /* udp, tcp, tls, proxy */
#define NETCHECK_ASKS 6		       /* questions on one way that is open */
#define NETCHECK_REPEAT (500 * MSEC)   /* ... and time for an answer to each */
#define NETCHECK_ANSWER (NETCHECK_ASKS * NETCHECK_REPEAT)
#define NETCHECK_LOOKS 8
#define NETCHECK_WHY 160
#define NETCHECK_GONE "not configured any more"

enum netcheck_state {
	NETCHECK_SKIPPED, /* not tried: there is nothing to try */
	NETCHECK_OPENING,
	NETCHECK_ASKING,
	NETCHECK_ANSWERED,  /* the peer itself has answered */
	NETCHECK_CONNECTED, /* there is a connection, on which the peer does not answer */
	NETCHECK_FAILED
};

/* One way to one router. */
struct netcheck_probe {
	struct netcheck *check;
	struct netcheck_target *target;
	enum rung rung;
	enum netcheck_state state;
	unsigned address; /* the next one of those that are known */
	struct dial *dial;
	struct way way;
	uint32_t attempt; /* of the first question; the others count from it */
	unsigned asked;
	int error; /* -errno of the last question */
	mono_t sent[NETCHECK_ASKS];
	int64_t rtt;
	uint16_t path_mtu; /* as the kernel's TCP knows it, 0: it does not */
	char why[NETCHECK_WHY];
};

struct netcheck_target {
	uint32_t id;
	uint8_t hello[HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM];
	size_t hello_len;
	struct netcheck_probe probe[NETCHECK_WAYS];
	/* where does it see our UDP socket? */
	uint64_t token;	  /* of the question */
	unsigned looks;	  /* questions sent */
	mono_t looked_at; /* the last one */
	bool looked;	  /* it has said so */
	struct nat_view view;
};

struct netcheck {
	struct router *router;
	struct list waiters;
	struct timer timer;
	mono_t begun;
	unsigned n, left_out;
	struct netcheck_target target[NETCHECK_ROUTERS];
};

static inline bool netcheck_is_busy(const struct netcheck_probe *p)
{
	return p->state == NETCHECK_OPENING || p->state == NETCHECK_ASKING;
}

/* New reference; NULL: out of memory. */
json_t *netcheck_result(const struct netcheck *, mono_t now);

#endif
