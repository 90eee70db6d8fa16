/*
 * The router's figures for Prometheus, in its text format, over HTTP. Belongs to
 * the control thread and its loop. The names are an interface: vine-router(8)
 * lists them.
 */
#ifndef ROUTER_METRICS_H
#define ROUTER_METRICS_H

#include <stddef.h>
#include <stdio.h>

#include "common/addr.h"
#include "common/clock.h"

struct router;

#define METRICS_CONNECTIONS 8
#define METRICS_TIME (5 * SEC) /* for one request and its answer */

/* Writes the whole page. Errors stay in the stream. */
void metrics_write(struct router *, FILE *out, mono_t now);
/* Writes a label's value, escaped. */
void metrics_label(FILE *out, const char *value);

struct metrics;

/* Serves the page at this address. NULL, with a line on errors, if it can't. */
struct metrics *metrics_open(struct router *, const struct endpoint *, FILE *errors);
/* NULL is fine. */
void metrics_close(struct metrics *);

#endif
