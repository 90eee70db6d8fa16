/*
 * Names of endpoints to addresses, without blocking (c-ares on the control loop),
 * and again when their time to live has passed.
 */
#ifndef ROUTER_RESOLVE_H
#define ROUTER_RESOLVE_H

#include "common/addr.h"
#include "common/loop.h"

struct resolver;

/* NULL: out of memory, or the library failed. */
struct resolver *resolver_new(struct loop *);
void resolver_free(struct resolver *); /* pending questions are dropped, not answered */

/* One name to be watched. `fn` is called with up to max addresses, once for each
 * answer, when it is first known and whenever a later answer differs; n = 0 with
 * a reason when it can't be resolved (tried again with back-off). A numeric
 * address is answered in the next loop turn. */
struct watch;
#define RESOLVE_MAX 8
typedef void resolve_fn(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now);
struct watch *resolver_watch(struct resolver *, const char *host, resolve_fn *fn, void *arg);
/* Ask again soon (the peer does not answer); not more often than every 5 s. */
void watch_refresh(struct watch *);
void watch_free(struct watch *);

#endif
