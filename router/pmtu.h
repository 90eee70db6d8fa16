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

struct pmtu {
	uint16_t base, max; /* bounds of the search */
	uint16_t known;	    /* what frames may have now */
	uint16_t low, high; /* passes; does not, or has not been tried */
	uint16_t probing;   /* size under way, 0 if none */
	uint8_t lost;	    /* probes of that size without an answer */
	bool verify;	    /* the probe under way confirms `known` */
	mono_t deadline;    /* when to act next */
};

/* Starts at base, first probe due at once. base <= max. */
void pmtu_init(struct pmtu *, uint16_t base, uint16_t max, mono_t now);
/* The size to send a probe of now, 0 if nothing is due. Told at each call: whether
 * the path has carried data since the last one (verification costs nothing on an
 * idle path otherwise). May lower `known` when probes of that size stay
 * unanswered (black hole). */
uint16_t pmtu_poll(struct pmtu *, bool used, mono_t now);
/* A probe of this size came back. */
void pmtu_acked(struct pmtu *, uint16_t size, mono_t now);
/* Something hints that `known` no longer passes (ICMP, EMSGSIZE): verify soon. */
void pmtu_hint(struct pmtu *, mono_t now);
/* A probe could not be sent: larger than the first hop carries. */
void pmtu_refused(struct pmtu *, uint16_t size, mono_t now);
mono_t pmtu_deadline(const struct pmtu *);

#endif
