/*
 * Routers at the other end of the authority: their streams, on which they get their tables
 * (publish.h decides which and when, common/feed.h has what is said), and what is known of
 * them.
 *
 * One of the processes that serve a store publishes, since each step of a change waits for
 * what all routers have confirmed. It goes on where the one before stopped (resume.h): how far
 * it has come is in the store. Everything here is the loop's.
 */
#ifndef AUTHORITY_PUSH_H
#define AUTHORITY_PUSH_H

#include <event2/http.h>

#include "authority/ca.h"
#include "authority/publish.h"
#include "authority/service.h"

#define PUSH_ALIVE 10 /* seconds from one sign of life on a stream to the next, at most */

struct push;

/* Nothing is published yet. NULL: out of memory, or the CA can't sign. The service
 * remains the caller's, and its registry is observed from push_begin to push_end. */
struct push *push_new(struct event_base *, struct service *, struct ca *, enum protection);
/* After push_end, and when the service's worker runs nothing of it any more. */
void push_free(struct push *);
/* Signs with the key of this CA from now on. False: it can't, and all is as before. */
bool push_sign_with(struct push *, struct ca *);

/* Publishes from now on, for as long as SERVICE_PUBLISHER is of this revision; 0: nobody else
 * has the store. */
void push_begin(struct push *, uint64_t term);
/* What publishes; NULL: another process does, or this one begins anew in a moment. */
const struct publish *push_publish(const struct push *);
/* No longer: streams end. */
void push_end(struct push *);
bool push_publishes(const struct push *);
/* The registry has changed. */
void push_applied(struct push *);

/* While it publishes. Answers the request with the router's stream, in the place of one that
 * it has; `have` is what it runs, zero for nothing. */
void push_stream(struct push *, struct evhttp_request *, uint32_t router, struct version have);
/* What it is to run now, whole: a line of common/feed.h, to be freed. NULL: it is revoked. */
char *push_tables(struct push *, uint32_t router, size_t *ret_len);
void push_confirm(struct push *, uint32_t router, struct version);
/* {"runs", "given", "step", "state"}: see docs/authority.md. */
json_t *push_status(const struct push *, uint32_t router);

#endif
