/*
 * Which ways to a peer are tried, in which order and when: a ladder, the best rung at its
 * top (SPEC section 5). Decisions alone: no I/O and no clock of its own. Who asks for a
 * step (ways.c) does it, and tells what came of it.
 *
 *   - While nothing works, or what is used has gone silent, all rungs are tried one after
 *     the other, from the top. One begins as soon as the one before has failed, or has
 *     not answered for a second: so they race, each with the start that it deserves.
 *   - The first that answers is used; those above it go on to the end of their time.
 *   - From below, those above are tried anew now and then, beside what runs.
 *   - What is used is left for an authenticated answer on another rung alone.
 */
#ifndef ROUTER_REACH_H
#define ROUTER_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

enum rung { RUNG_UDP, RUNG_TCP, RUNG_TLS, RUNG_PROXY, RUNG_RELAY, RUNGS };
#define RUNG_NONE RUNGS

#define REACH_STAGGER SEC	  /* from the start of one to that of the next */
#define REACH_ANSWER (3 * SEC)	  /* for an answer on a way that is open */
#define REACH_OPEN (10 * SEC)	  /* for a way to open, all addresses together */
#define REACH_REPEAT (200 * MSEC) /* of the question */
#define REACH_RETRY SEC		  /* pause between rounds: this, doubling */
#define REACH_RETRY_MAX (30 * SEC)
#define REACH_UP (30 * SEC) /* until rungs above are tried again: this, doubling */
#define REACH_UP_MAX (600 * SEC)
#define REACH_LASTED (10 * SEC) /* who was used for so long was no mistake */
#define REACH_WHY 96

enum rung_state {
	RUNG_IDLE,    /* not tried (any more) */
	RUNG_OPENING, /* a connection is being made */
	RUNG_ASKING,  /* a question has been sent on it */
	RUNG_FAILED   /* at the last try */
};

struct reach {
	unsigned allowed; /* bits of enum rung */
	uint64_t random;
	enum rung used; /* RUNG_NONE: there is no way */
	bool silent;	/* nothing is heard on it */
	mono_t since;	/* when it came to be used, or was lost */
	struct {
		enum rung_state state;
		bool pressed; /* tried out of turn, whatever is used */
		mono_t begun, asked;
		mono_t failed; /* {0}: it has not */
		char why[REACH_WHY];
	} rung[RUNGS];
	/* a round: those that are to be tried each once */
	bool racing;
	bool upward; /* it began beside a way that works */
	unsigned next;
	mono_t next_at;
	mono_t retry_at, up_at;
	int64_t retry, up;
	bool spent; /* the one round without any pause */
};

enum reach_do {
	REACH_NOTHING,
	REACH_DIAL, /* open a way to this rung, then reach_opened or reach_failed */
	REACH_ASK,  /* send a question on it that only the peer can answer */
	REACH_DROP, /* close what was opened or is being opened */
	REACH_VAIN  /* nothing: all rungs have been tried in vain */
};

struct reach_step {
	enum reach_do what;
	enum rung rung;
};

/* random: what makes the pauses of many differ. Nothing is tried before rungs are
 * allowed. */
void reach_init(struct reach *, uint64_t random);
/* Bits of enum rung; a first round begins at once if there is no way. */
void reach_allow(struct reach *, unsigned rungs, mono_t now);

/* The next round begins now, not when its time has come. */
void reach_hurry(struct reach *, mono_t now);

/* There is a reason to try this rung now, even if it is the one used: what is found on it
 * may be another way. The caller opens it, as for REACH_DIAL. */
void reach_press(struct reach *, enum rung, mono_t now);

/* What was asked for has been done: it is open, it failed. */
void reach_opened(struct reach *, enum rung, mono_t now);
void reach_failed(struct reach *, enum rung, const char *why, mono_t now);
/* More about why the last try failed. */
void reach_explain(struct reach *, enum rung, const char *more);
/* This rung is used from now on (it has answered, or the peer has come by it); RUNG_NONE:
 * the way that was used is gone. */
void reach_use(struct reach *, enum rung, mono_t now);
/* Whether nothing is heard on the way that is used although it should. */
void reach_set_silent(struct reach *, bool silent, mono_t now);

/* Whether another way than the one used may be found. */
bool reach_has_choice(const struct reach *);
/* What is to be done now: to be called until there is nothing. */
struct reach_step reach_poll(struct reach *, mono_t now);
/* When that may be something; {0}: never by itself. */
mono_t reach_deadline(const struct reach *);

/* When the next round begins; {0}: one is under way, or there is none to come. */
mono_t reach_next(const struct reach *);

/* "udp", "tcp", "tls", "proxy", "relay" */
const char *rung_name(enum rung);
/* "used", "trying", "failed", "idle" */
const char *reach_state_name(const struct reach *, enum rung);

#endif
