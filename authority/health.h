/*
 * What looks after an authority that serves: the monitor of its routers, alerts, figures,
 * the control socket, backups, and the end of old audit records. One tick a second.
 *
 * Routers are looked at by the process that has them (election.h), between health_begin and
 * health_end; everything else by each.
 */
#ifndef AUTHORITY_HEALTH_H
#define AUTHORITY_HEALTH_H

#include "authority/monitor.h"
#include "authority/publish.h"
#include "authority/service.h"
#include "authority/settings.h"

struct event_base;
struct health;

/* What publishes now; NULL: nothing. */
typedef const struct publish *health_publish_fn(void *arg);

/* NULL: said why. The settings and the store outlive it; the service is closed before it is
 * freed. */
struct health *health_new(struct event_base *, struct service *, const struct settings *,
			  health_publish_fn *, void *arg);
void health_free(struct health *);
/* Nothing is under way. */
bool health_idle(const struct health *);

/* This process has the routers from now on; nothing is known of them yet. */
void health_begin(struct health *);
void health_end(struct health *);
/* NULL: another process has them. */
struct monitor *health_monitor(struct health *);

/* When they end, seconds since 1970. */
void health_certificates(struct health *, int64_t ca, int64_t server);

/* Whether the caller may see a router: answers are about those alone. */
typedef bool health_may_fn(const void *arg, const struct router *);
/* {"status", "findings", "left_out"}; what isn't about routers is for `all` only. */
json_t *health_check(const struct health *, bool all, health_may_fn *, const void *arg);
/* What the monitor knows of a router. */
json_t *health_router(const struct health *, const struct router *);
/* ... of a tiny. */
json_t *health_tiny(const struct health *, const struct tiny *);
/* {"time", "routers", "links"}: of one only, if it is named. */
json_t *health_figures(const struct health *, const char *router, bool links, health_may_fn *,
		       const void *arg);

#endif
