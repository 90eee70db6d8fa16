/*
 * Which one of the processes on a shared store has the routers: whoever holds the key
 * SERVICE_PUBLISHER by a lease that it keeps. One that ends gives it back; of one that is
 * killed it vanishes with the lease, ELECTION_SECONDS later, and another takes it.
 *
 * A process that can't reach the store stops before its lease has ended, so that there are
 * never two.
 */
#ifndef AUTHORITY_ELECTION_H
#define AUTHORITY_ELECTION_H

#include "authority/service.h"

#define ELECTION_SECONDS 2 /* a store may need more */

struct election;

struct election_hooks {
	void *arg;
	/* It is this process, and the registry knows all that was before. */
	void (*won)(void *arg);
	void (*lost)(void *arg);
};

/* url: where the routers reach this process. NULL: out of memory, or no thread. */
struct election *election_new(struct event_base *, struct service *, const char *url,
			      const struct election_hooks *);
/* Gives back what it holds; hooks are called no more. */
void election_free(struct election *);

#endif
