/*
 * The authority's figures for Prometheus, in its text format, over HTTP without TLS: for an
 * address of this machine. The names are an interface: vine-authority(8) lists them.
 */
#ifndef AUTHORITY_METRICS_H
#define AUTHORITY_METRICS_H

#include <stdio.h>

#include "authority/alerts.h"
#include "authority/webhook.h"
#include "common/addr.h"

struct figures {
	const struct registry *registry;
	const struct monitor *monitor; /* NULL: another process has the routers */
	const struct publish *publish; /* NULL: ... */
	const struct alerts *alerts;
	struct webhook_figures webhook;
	uint64_t started, revision, audit_removed, backup; /* the last one; ms since 1970 */
	int64_t ca_end, server_end;			   /* s since 1970 */
};

/* Writes the whole page. Errors stay in the stream. */
void metrics_write(const struct figures *, FILE *out);

#define METRICS_CONNECTIONS 8
#define METRICS_REQUEST 8192 /* bytes of a request's head */
#define METRICS_TIME 5	     /* seconds for one request and its answer */

struct event_base;
struct metrics;
typedef void metrics_fn(void *arg, FILE *out);

/* Serves the page at this address. NULL with errno. */
struct metrics *metrics_open(struct event_base *, const struct endpoint *, metrics_fn *, void *arg);
/* NULL is fine. */
void metrics_close(struct metrics *);

#endif
