/*
 * Path MTU discovery of one path (RFC 8899, DPLPMTUD): decides which frame
 * sizes to probe and what size to believe. No I/O, no clock: sizes are those of
 * whole frames, times are arguments.
 */
#ifndef ROUTER_PMTU_H
#define ROUTER_PMTU_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"

/* A frame of this size is taken to pass everywhere (IPv4 and IPv6: 1280 bytes of
 * outer packet). */
#define PMTU_BASE_V4 (1280 - 28)
#define PMTU_BASE_V6 (1280 - 48)

#define PMTU_ROUND 16 /* probes that may go out at once */
#define PMTU_LOG 32   /* sizes whose sending is remembered */

enum pmtu_phase { PMTU_SEARCH, PMTU_VERIFY, PMTU_REST };

struct pmtu {
	uint16_t base, limit; /* bounds of the search */
	uint16_t max;	      /* upper bound for now: limit, or less if the first hop says so */
	uint16_t known;	      /* what frames may have now */
	bool settled;	      /* see pmtu_settled */

	uint8_t phase; /* enum pmtu_phase */
	bool used;     /* data went this way since the last verification */
	bool hinted;   /* to be verified soon */
	mono_t verify_at, raise_at, settle_at;
	mono_t verified; /* when the last verification began */
	int64_t rtt;	 /* of probes, 0 if not known yet */
	struct {
		uint16_t size; /* 0: empty */
		uint8_t times; /* sent without an answer */
		mono_t first;
	} log[PMTU_LOG];
	uint8_t logged; /* where the next entry goes */

	uint16_t low, high; /* search: passes; seems not to pass (above max: nothing does) */
	uint16_t above;	    /* what seemed so before high did */
	uint8_t failed;	    /* rounds in a row in which high was lost */
	bool lossy;	    /* probes that can't have been too large were lost too */

	/* the round under way: probes sent together, and waited for together */
	uint16_t round[PMTU_ROUND];
	uint16_t answered; /* bits by index in round */
	uint8_t n, at;	   /* of round; how many of them have been handed out */
	uint8_t tries;	   /* how often its probes had been sent before */
	uint8_t silent;	   /* rounds in a row without any answer */
	bool heard;	   /* an answer came in this round */
	int64_t pace;	   /* verification: time between probes */
	mono_t begun;
	mono_t deadline; /* when the round is over */
};

/* Starts at base, first probes due at once. */
void pmtu_init(struct pmtu *, uint16_t base, uint16_t max, mono_t now);
/* The size to send a probe of now, 0 if nothing is due: to be called until it is 0.
 * Told at each call: whether the path has carried data since the last one
 * (verification costs nothing on an idle path otherwise). May lower `known` when
 * probes of that size stay unanswered but smaller ones do not (black hole). */
uint16_t pmtu_poll(struct pmtu *, bool used, mono_t now);
/* A probe of this size came back. */
void pmtu_acked(struct pmtu *, uint16_t size, mono_t now);
/* Something hints that `known` no longer passes (ICMP, EMSGSIZE): verify soon. */
void pmtu_hint(struct pmtu *, mono_t now);
/* A probe could not be sent: larger than the first hop carries. */
void pmtu_refused(struct pmtu *, uint16_t size, mono_t now);
/* Whether `known` is exact as far as can be told, or has been searched for long
 * enough (3 s). Not so at first, and again after a black hole. */
bool pmtu_settled(const struct pmtu *);
/* When pmtu_poll will have something to do; not after a later call of another
 * function. */
mono_t pmtu_deadline(const struct pmtu *);

#endif
