/*
 * The control thread's side of a peer: where it is (name lookup, the ways that are tried,
 * moves to another one), whether it answers (ping, round trip), how large its
 * path's frames may be (probes), which networks are stopped with it; and keying.
 */
#ifndef ROUTER_CONTACT_H
#define ROUTER_CONTACT_H

#include "common/list.h"
#include "common/log.h"
#include "router/config.h"
#include "router/direct.h"
#include "router/keepalive.h"
#include "router/keying.h"
#include "router/limited.h"
#include "router/pmtu.h"
#include "router/reach.h"
#include "router/resolve.h"
#include "router/tiny_watch.h"
#include "router/worker.h"

struct dial;
struct router;

#define PINGS_KEPT 8
#define CONTACT_UP (15 * SEC) /* silent for longer: down */

/* What a ping of vinectl waits for. */
typedef void ping_fn(void *arg, bool answered, int64_t rtt, uint16_t frame_size);

/* A way that a rung of the ladder leads to, while it is tried. */
struct trial {
	struct contact *contact;
	enum rung rung;
	unsigned address;  /* which of those that are known, modulo their number */
	unsigned tries;	   /* how many of them have been dialled at this try */
	struct dial *dial; /* NULL: none under way */
	bool open;
	struct way way;
	uint64_t token; /* of the question on it */
	unsigned asked;
};

struct contact {
	struct list node; /* of router->contacts */
	struct router *router;
	struct peer *peer;
	struct config_peer config; /* a view: strings belong to the router's configuration */
	struct keying keying;

	/* where it may be (ways.c) */
	struct watch *watch;
	struct ip addresses[RESOLVE_MAX];
	unsigned n_addresses;
	char resolve_error[80];
	struct reach reach;
	struct trial trial[RUNGS];
	struct timer reach_timer;
	bool moved; /* another endpoint is configured than the path's: to be tried */
	struct log_limit vain;

	/* a way by which it has come, and which is to prove itself */
	struct way challenged;
	uint64_t challenge; /* token, 0: none */
	mono_t challenged_at;

	/* queue routers */
	struct relays relays;
	bool is_relay;	      /* it is one of this router's, or of some peer's */
	bool is_own_relay;    /* ... of this router's */
	struct asking asking; /* it is asked for frames */

	/* direct paths */
	struct direct direct;
	struct observer observer;

	/* liveness */
	struct timer ping_timer;
	struct {
		uint64_t token;
		mono_t sent; /* {0}: answered */
		bool lost;   /* counted as such */
	} pings[PINGS_KEPT]; /* a ring: the answer may come after the next one has left */
	unsigned n_pings;
	mono_t asked;  /* the last one */
	mono_t looked; /* at it, last time */
	uint64_t sent; /* packets to it by then */
	mono_t spoken; /* when there were more than the time before */
	mono_t silent; /* since then nothing has followed what was sent on the path, {0}: all well */
	bool dead;     /* ... for too long */
	struct keepalive keepalive;
	int64_t rtt; /* smoothed, ns; 0: not known */
	/* The part of pings that had no answer, smoothed, of 1; of how many it is. */
	float lost;
	unsigned counted;
	bool up;
	mono_t up_since, down_since;
	ping_fn *ping_fn; /* of vinectl, NULL: none waits */
	void *ping_arg;
	struct timer ping_deadline;
	uint64_t ping_fn_token;
	mono_t ping_fn_sent;

	/* path MTU */
	struct pmtu pmtu;
	struct timer probe_timer;
	uint64_t probe_packets; /* of the peer at the last poll: has it been used? */

	/* announcements of networks' protection */
	struct timer announce_timer;
	unsigned announce_left;	 /* tries */
	uint64_t announce_token; /* of the first message of this round */
	uint64_t announce_open;	 /* messages without an answer, a bit each */
	struct budget announce_lines;

	struct tiny_watch tiny;

	struct log_limit complaint;
};

/* Makes contact and peer; NULL: out of memory. The configuration must outlive it
 * or be replaced by contact_configure. */
struct contact *contact_new(struct router *, const struct config_peer *, mono_t now);
/* Takes over a changed [peer] section (the same ID and key); limited_configure goes on. */
void contact_configure(struct contact *, const struct config_peer *, mono_t now);
/* The peer must be out of the published world, a grace period ago. */
void contact_free(struct contact *);

/* Notes from the workers. */
void contact_note(struct contact *, const struct note *, mono_t now);

/* Where a handshake as client should go now, the best guess first; how many. */
#define CONTACT_WAYS (RUNGS + 2)
unsigned contact_ways(const struct contact *, struct way ret[static CONTACT_WAYS]);
/* keying tells: keys are there, made on this way, which we chose or the other did; or a
 * handshake failed. */
void contact_ready(struct contact *, const struct way *, bool ours, mono_t now);
void contact_failed(struct contact *, const char *why, mono_t now);
/* Sends a handshake frame with this payload. 0 or -errno. */
int contact_send_handshake(struct contact *, const struct way *, const uint8_t *payload,
			   size_t len);

/* Tells the peer how this router protects the networks that both share; called
 * when keys are new and when the configuration has changed. */
void contact_announce(struct contact *, mono_t now);

/* ---- between the files of this room ---- */

/* The path of its first hop: its own, or that of the queue router. NULL: none. */
const struct path *contact_hop(const struct contact *);
/* Sends a signed get frame on the path. 0 or -errno. */
int contact_ask(struct contact *, const struct queue_ask *);
/* This way is the path's from now on; what is known of the old one's size is not of use. */
void contact_set_path(struct contact *, const struct way *, mono_t now);

/* Sends a signed control frame: on this way (NULL: the path's), padded to
 * frame_size (0: as it is). 0 or -errno: -ENOTCONN without keys or way. */
int contact_send(struct contact *, const struct way *, const struct control_message *,
		 size_t frame_size);

/* ways.c: the ways to it, and which is used. */
void ways_start(struct contact *);
void ways_stop(struct contact *, mono_t now);
/* What it depends on has changed: configuration, addresses, the proxy. */
void ways_update(struct contact *, mono_t now);
/* Ways that failed are tried again now. */
void ways_hurry(struct contact *, mono_t now);
/* This machine's addresses have changed; gone: one of them is no more. */
void ways_readdress(struct contact *, bool gone, mono_t now);
/* Another endpoint is configured. */
void ways_begin_anew(struct contact *, mono_t now);
/* An authentic frame has come by another way than the path's. */
void ways_seen(struct contact *, const struct way *, mono_t now);
/* A handshake frame has come by this way. */
void ways_heard(struct contact *, const struct way *, mono_t now);
/* A challenge has been answered on this way. */
void ways_answered(struct contact *, const struct way *, uint64_t token, mono_t now);
/* A handshake has succeeded on it. */
void ways_ready(struct contact *, const struct way *, bool ours, mono_t now);
/* This queue router, by which it is perhaps being tried, has no way to it; another may. */
void ways_unreachable(struct contact *, uint32_t via, mono_t now);
/* A stream of the peer, or in its name, has ended. */
void ways_ended(struct contact *, uint32_t stream, const char *why, mono_t now);
/* Whether nothing is heard on the path although something should be. */
void ways_set_silent(struct contact *, bool silent, mono_t now);
/* Looks for a direct path now, whatever is used. */
void ways_press(struct contact *, mono_t now);
/* It has said where it may be reached directly; or not in time. */
void ways_candidates(struct contact *, mono_t now);
void ways_no_candidates(struct contact *, const char *why, mono_t now);
/* Whether a question about that way is to be answered. */
bool ways_takes(const struct contact *, const struct way *);
/* The first listening socket of this family. */
bool ways_link_for(const struct router *, uint8_t family, uint8_t *ret);
/* The transport of a way, "udp", "tcp", "tls", "proxy" or "relay"; and for people,
 * "198.51.100.2:8463", "tls 198.51.100.2:443", "relay hub". */
const char *ways_transport(const struct contact *, const struct way *);
#define WAYS_TEXT 120
char *ways_text(const struct contact *, const struct way *, char buf[static WAYS_TEXT]);
/* Sends a finished frame that way. 0 or -errno. */
int ways_send(const struct contact *, const struct way *, const uint8_t *frame, size_t len);

/* liveness.c: ping, round trip, up or down. */
void liveness_start(struct contact *, mono_t now);
void liveness_stop(struct contact *);
void liveness_ready(struct contact *, mono_t now);
void liveness_bye(struct contact *, mono_t now);
/* For how long nothing has come by its path since something was sent; 0: all is well.
 * Doubtful: for longer than it should be. (c->dead: for so long that it is given up.) */
int64_t liveness_silence(const struct contact *, mono_t now);
bool liveness_is_doubtful(const struct contact *, mono_t now);
/* Asks it at once. */
void liveness_ask(struct contact *, mono_t now);
/* It is on another path now. */
void liveness_moved(struct contact *);
void liveness_recv(struct contact *, const struct control_message *, uint16_t frame_size,
		   mono_t now);

/* probe.c: the path's MTU. */
void probe_start(struct contact *, mono_t now);
void probe_stop(struct contact *);
void probe_recv(struct contact *, const struct control_message *, mono_t now);
void probe_hint(struct contact *, mono_t now);

/* announce.c: how networks are protected. */
void announce_stop(struct contact *);
void announce_recv(struct contact *, const struct control_message *, mono_t now);
void announce_acked(struct contact *, const struct control_message *, mono_t now);

/* ---- for vinectl ---- */

/* One ping whose answer is told to fn, within `timeout`; -EBUSY, -ENOTCONN. */
int contact_ping(struct contact *, size_t frame_size, int64_t timeout, ping_fn *, void *arg,
		 mono_t now);
/* The last word to a peer before this router ends. */
void contact_bye(struct contact *);

#endif
