/*
 * What monitor.c (routers) and monitor_tinies.c share.
 */
#ifndef AUTHORITY_MONITOR_PRIVATE_H
#define AUTHORITY_MONITOR_PRIVATE_H

#include "authority/index.h"
#include "authority/monitor.h"

/* The counters of a router, from which rates are made. */
struct counters {
	uint64_t packets_in, packets_out, bytes_in, bytes_out, drops;
};

struct watched {
	struct monitor_router router;
	struct counters last;
	mono_t counted; /* when they were read; {0}: never */
	mono_t linked;	/* ... and the links' */
	uint64_t mark;
};

struct monitor {
	struct index routers;
	int64_t silence;
	size_t states[MONITOR_STATES], links;
	uint64_t beats, refused, mark;
	struct index tinies;
};

/* A heartbeat while it is read. */
struct reading {
	char *error;
	bool good;
};

/* The first words stay. */
void reading_wrong(struct reading *, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t read_count(struct reading *, const json_t *in, const char *name);

/* ---- monitor_tinies.c ---- */

/* Of the list of a heartbeat, which may be NULL; to be freed. */
struct monitor_tiny *tinies_read(struct reading *, const json_t *list, size_t *ret_n);
/* What a router says of those that may connect to it. */
void tinies_take(struct monitor *, const struct router *, const struct monitor_tiny *, size_t n,
		 mono_t now);
void tinies_tick(struct monitor *, const struct registry *);
void tinies_done(struct monitor *);

#endif
