/*
 * The control thread's side of a peer: where it is (name lookup, the way, moves
 * to another address), whether it answers (ping, round trip), how large its
 * path's frames may be (probes), which networks are stopped with it; and keying.
 */
#ifndef ROUTER_CONTACT_H
#define ROUTER_CONTACT_H

#include "common/list.h"
#include "common/log.h"
#include "router/config.h"
#include "router/keying.h"
#include "router/pmtu.h"
#include "router/resolve.h"
#include "router/worker.h"

struct router;

#define PINGS_KEPT 8
#define CONTACT_UP (15 * SEC) /* silent for longer: down */

/* What a ping of vinectl waits for. */
typedef void ping_fn(void *arg, bool answered, int64_t rtt, uint16_t frame_size);

struct contact {
	struct list node; /* of router->contacts */
	struct router *router;
	struct peer *peer;
	struct config_peer config; /* a view: strings belong to the router's configuration */
	struct keying keying;

	/* where it may be */
	struct watch *watch;
	struct ip candidates[RESOLVE_MAX];
	unsigned n_candidates, candidate;
	char resolve_error[80];
	bool moved; /* another endpoint is configured than the path's: to be tried */

	/* a new address that is to prove itself */
	struct way challenged;
	uint64_t challenge; /* token, 0: none */
	mono_t challenged_at;

	/* liveness */
	struct timer ping_timer;
	struct {
		uint64_t token;
		mono_t sent;
	} pings[PINGS_KEPT]; /* a ring: the answer may come after the next one has left */
	unsigned n_pings;
	bool waiting; /* for the answer to any of them */
	int64_t rtt;  /* smoothed, ns; 0: not known */
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

	struct log_limit complaint;
};

/* Makes contact and peer; NULL: out of memory. The configuration must outlive it
 * or be replaced by contact_configure. */
struct contact *contact_new(struct router *, const struct config_peer *, mono_t now);
/* Takes over a changed [peer] section (the same ID and key). */
void contact_configure(struct contact *, const struct config_peer *);
/* The peer must be out of the published world, a grace period ago. */
void contact_free(struct contact *);

/* Notes from the workers. */
void contact_note(struct contact *, const struct note *, mono_t now);

/* Where a handshake as client should go now; false if no address is known. */
bool contact_way(const struct contact *, struct way *ret);
/* keying tells: keys are there, made on this way; or a handshake failed. */
void contact_ready(struct contact *, const struct way *, mono_t now);
void contact_failed(struct contact *, const char *why, mono_t now);
/* Sends a handshake frame with this payload. */
void contact_send_handshake(struct contact *, const struct way *, const uint8_t *payload,
			    size_t len);

/* Tells the peer how this router protects the networks that both share; called
 * when keys are new and when the configuration has changed. */
void contact_announce(struct contact *, mono_t now);

/* ---- between the files of this room ---- */

/* Sends a signed control frame: on this way (NULL: the path's), padded to
 * frame_size (0: as it is). 0 or -errno: -ENOTCONN without keys or way. */
int contact_send(struct contact *, const struct way *, const struct control_message *,
		 size_t frame_size);

/* liveness.c: ping, round trip, up or down. */
void liveness_start(struct contact *, mono_t now);
void liveness_stop(struct contact *);
void liveness_ready(struct contact *, mono_t now);
void liveness_bye(struct contact *, mono_t now);
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
