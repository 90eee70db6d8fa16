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
/* The same with name servers of one's own ("127.0.0.1:5353,...") that are given
 * so many milliseconds for an answer. NULL, 0: those of the system. */
struct resolver *resolver_new_at(struct loop *, const char *servers, int timeout);
/* Pending questions are dropped, not answered; watches that are left are freed. */
void resolver_free(struct resolver *);

/* One name to be watched. `fn` is called with up to max addresses, once for each
 * answer, when it is first known and whenever a later answer differs; n = 0 with
 * a reason when it can't be resolved (tried again with back-off; addresses told
 * before may still be good). A numeric address is answered in the next loop turn.
 * fn may free the watch. NULL: out of memory. */
struct watch;
#define RESOLVE_MAX 8
typedef void resolve_fn(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now);
struct watch *resolver_watch(struct resolver *, const char *host, resolve_fn *fn, void *arg);
/* Ask again soon (the peer does not answer); not more often than every 5 s. */
void watch_refresh(struct watch *);
void watch_free(struct watch *);

#endif
