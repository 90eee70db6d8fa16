/*
 * Frame keys with one peer: when a handshake is begun, who is client, which
 * epochs are in use, when old keys go (SPEC section 4).
 *
 *   - Each side names the epoch byte that it will receive under, never one whose
 *     key it still holds, and can open frames of it before it says so.
 *   - It sends with new keys as soon as the other's hello has come through the
 *     finished handshake: the other has them then.
 *   - Old receiving keys stay for KEYING_OLD after the other has the new ones.
 *   - When there are more workers than lanes of the keys in use, new ones are made;
 *     until then workers share lanes (session.h). With fewer, lanes lie idle.
 *   - A pending handshake replaces nothing before it is finished.
 *
 * Belongs to the control thread. No I/O of its own: frames leave by contact.
 */
#ifndef ROUTER_KEYING_H
#define ROUTER_KEYING_H

#include "common/handshake.h"
#include "common/loop.h"
#include "router/path.h"
#include "router/peer.h"

#define KEYING_OLD (10 * SEC)
#define KEYING_ATTEMPTS 256 /* of the client that are remembered */

struct contact;

/* One handshake on its way or just done. */
struct exchange {
	struct handshake *handshake; /* NULL: none */
	enum handshake_role role;    /* ours */
	uint32_t attempt;
	/* Where it goes. As client, until an answer has come: to all ways that may lead to
	 * the peer, this one among them. */
	struct way way;
	bool answered;
	mono_t begun;
	uint8_t own_lanes; /* announced: the same to the end, whatever changes here */
	/* once the handshake is done */
	bool exported;
	struct session_secrets tx, rx;
	uint8_t epoch; /* ours to receive */
	uint8_t lanes; /* the other's */
	bool seen;     /* its hello has come */
	bool finished; /* it has ours too */
	mono_t hello_due;
	int64_t hello_interval;
	unsigned answers; /* hellos repeated after the end */
};

/* What is remembered of a client's attempt: its hellos, which may be replays. */
struct attempt {
	uint32_t id;
	uint8_t hellos; /* looked at so far; ATTEMPT_SERVED: it had its handshake */
};

struct keying {
	struct contact *contact;
	struct exchange now;  /* pending */
	struct exchange last; /* finished: stays to answer repeated hellos */
	/* the first words of the pending one as client, for ways that open later */
	uint8_t first[HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM];
	size_t first_len;
	struct timer timer;
	uint8_t epoch; /* last one named */
	mono_t made;   /* when the keys in use were made, {0}: none */
	uint64_t used; /* packets of the peer at that time */
	mono_t tried;  /* last attempt as client */
	int64_t back_off;
	mono_t retire[PEER_EPOCHS];		  /* when the receiving key of this slot goes */
	struct attempt attempts[KEYING_ATTEMPTS]; /* a ring */
	unsigned n_attempts;
	mono_t listened; /* client hellos looked at: a bucket of LISTEN_BURST */
	unsigned listen_left;
	mono_t overdue; /* since when the keys in use should be replaced, {0}: not */
	bool wanted;
	unsigned failures; /* in a row */
	char error[96];	   /* why the last one failed, "" if none did */
};

void keying_init(struct keying *, struct contact *);
/* Wipes; the peer's key pointers are taken away by the caller. */
void keying_done(struct keying *);

/* Somebody needs keys with this peer: begins a handshake if none is under way
 * and the last attempt is a second ago. */
void keying_want(struct keying *, mono_t now);
/* Another way may lead to the peer from now on: what is said on the others is said there
 * too. */
void keying_opened(struct keying *, const struct way *, mono_t now);
/* A way is gone: a handshake on it has failed. */
void keying_gone(struct keying *, const struct way *, mono_t now);
/* A handshake frame's payload (its MAC was right) that came this way. False if
 * it fits nothing. */
bool keying_recv(struct keying *, const struct way *, const uint8_t *data, size_t len, mono_t now);
/* The keys are given up (the peer says goodbye, say): none to send with, those to
 * receive with go a little later. */
void keying_forget(struct keying *, mono_t now);
/* This way is dead: a handshake of this router's own on it begins anew on another. */
void keying_leave(struct keying *, const struct way *, mono_t now);
/* Whether frames can be sent. */
bool keying_is_ready(const struct keying *);

#endif
