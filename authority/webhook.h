/*
 * Alerts to somebody else's server: POST of JSON, one after the other, by a thread of its
 * own. What comes while one is under way goes together with the next. One that isn't
 * answered with 2xx is tried again, WEBHOOK_TRIES times at growing distances, then given up.
 */
#ifndef AUTHORITY_WEBHOOK_H
#define AUTHORITY_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#define WEBHOOK_TRIES 5
#define WEBHOOK_ALERTS 500 /* that wait; of more only the number is told */

struct event_base;
struct webhook;

/* from: what the authority calls itself. NULL: no thread. */
struct webhook *webhook_new(struct event_base *, const char *url, const char *from);
/* Waits for a POST that is under way, a few seconds. NULL is fine. */
void webhook_free(struct webhook *);
/* Takes over the alert. */
void webhook_add(struct webhook *, json_t *alert);
/* Whether the last one was given up, or is being tried again. */
bool webhook_fails(const struct webhook *);
struct webhook_figures {
	uint64_t done, failed, given_up; /* POSTs, tries, alerts */
};
struct webhook_figures webhook_figures(const struct webhook *);

#endif
