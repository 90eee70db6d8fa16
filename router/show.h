/*
 * The router's state as JSON, for the control socket. The keys are an interface:
 * vinectl(1) lists them.
 *
 * Rules for all of it: counters and versions, which are 64 bits wide, are strings
 * of decimal digits (readers of JSON may hold numbers as doubles); every other
 * number is a JSON number below 2^53. Times are RFC 3339 in UTC, or null for
 * "never"; durations are seconds. What is not known is null, not left out.
 *
 * All belong to the control thread. They return a new reference, or NULL when
 * memory is out.
 */
#ifndef ROUTER_SHOW_H
#define ROUTER_SHOW_H

#include <jansson.h>

#include "common/addr.h"
#include "common/clock.h"

struct contact;
struct router;

#define SHOW_PAGE 4096 /* rows or peers in one answer; "next" is where to go on */

json_t *show_status(struct router *, mono_t now);
json_t *show_counters(struct router *, mono_t now);
json_t *show_config(struct router *, mono_t now);
/* null: the configuration has none. */
json_t *show_authority(struct router *, mono_t now);
/* Pages: from the offset-th row on. */
json_t *show_peers(struct router *, size_t offset, mono_t now);
json_t *show_links(struct router *, size_t offset, mono_t now);
json_t *show_lndt(struct router *, size_t offset, mono_t now);
json_t *show_gndt(struct router *, size_t offset, mono_t now);
json_t *show_why(struct router *, const struct ip *source, const struct ip *destination,
		 mono_t now);
/* The hops to a peer, one today; the round trip of a frame of this size was rtt. */
json_t *show_trace(struct router *, const struct contact *, uint16_t frame_size, int64_t rtt,
		   mono_t now);

/* Parts */
json_t *show_count(uint64_t);
json_t *show_time(mono_t when, mono_t now);
json_t *show_seconds(int64_t ns); /* null for 0: not known */
json_t *show_traffic(uint64_t packets_in, uint64_t bytes_in, uint64_t packets_out,
		     uint64_t bytes_out);
/* ID and name of a router, this one included; the name is null if not configured. */
json_t *show_router(struct router *, uint32_t id);
/* null without a path */
json_t *show_path(const struct contact *);
const char *show_state(const struct contact *);
/* Adds "next" to a page if there is more after `end` of n rows. */
json_t *show_page(json_t *page, size_t end, size_t n);

#endif
