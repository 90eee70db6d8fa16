/*
 * A series of pings to one peer for vinectl (ping, trace): one frame after the
 * other, each with its answer or without, then a summary. Belongs to the control
 * thread.
 */
#ifndef ROUTER_PINGS_H
#define ROUTER_PINGS_H

#include <jansson.h>

#include "common/clock.h"
#include "common/wire.h"

struct router;

#define PINGS_COUNT_MAX 10000
#define PINGS_SIZE_MIN (FRAME_OVERHEAD + CONTROL_HEADER)
#define PINGS_INTERVAL_MIN (10 * MSEC)
#define PINGS_TIMEOUT (2 * SEC) /* of one frame */

struct pings_request {
	uint32_t peer; /* router ID */
	unsigned count;
	size_t size; /* of the frame; trace: 0, the largest that the path carries */
	int64_t interval;
	bool trace; /* ends with the first answer; the hops are the result */
};

/* One result, which the callee takes over; NULL with `error` (static text, or valid
 * during the call) if the series can't go on. After the last one the series may be
 * freed, from within the call too. */
typedef void pings_fn(void *arg, json_t *result, const char *error, bool last);

struct pings;

/* NULL: out of memory. The first frame goes out on the loop's next turn. */
struct pings *pings_new(struct router *, const struct pings_request *, pings_fn *, void *arg,
			mono_t now);
/* Ends it, results or not. NULL is fine. */
void pings_free(struct pings *);

#endif
