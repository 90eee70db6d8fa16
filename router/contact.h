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

	/* a new address that is to prove itself */
	struct way challenged;
	uint64_t challenge; /* token, 0: none */
	mono_t challenged_at;

	/* liveness */
	struct timer ping_timer;
	uint64_t ping_token;
	mono_t pinged;
	int64_t rtt; /* smoothed, ns; 0: not known */
	bool up;
	mono_t up_since, down_since;
	ping_fn *ping_fn; /* of vinectl, NULL: none waits */
	void *ping_arg;
	struct timer ping_deadline;
	uint64_t ping_fn_token;

	/* path MTU */
	struct pmtu pmtu;
	struct timer probe_timer;
	uint64_t probe_packets; /* of the peer at the last poll: has it been used? */

	/* announcements of networks' protection */
	struct timer announce_timer;
	unsigned announce_left; /* tries */
	uint64_t announce_token;
	unsigned mismatches;

	struct log_limit complaint;
};

/* Makes contact and peer; NULL: out of memory. The configuration must outlive it
 * or be replaced by contact_configure. */
struct contact *contact_new(struct router *, const struct config_peer *, mono_t now);
/* Takes over a changed [peer] section (the same ID and key). */
void contact_configure(struct contact *, const struct config_peer *, mono_t now);
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

/* One ping whose answer is told to fn, within `timeout`; -EBUSY, -ENOTCONN. */
int contact_ping(struct contact *, size_t frame_size, int64_t timeout, ping_fn *, void *arg,
		 mono_t now);
/* The last word to a peer before this router ends. */
void contact_bye(struct contact *);

#endif
