/*
 * Which one of the processes on a shared store has the routers: whoever wrote the key
 * SERVICE_PUBLISHER, for as long as it writes SERVICE_BEAT again and again. One that ends
 * deletes both; of one that has died the others hear no more beats, by their own clocks, and
 * one of them takes it over. The revision of SERVICE_PUBLISHER is the term: what a process
 * does in the store for the routers is under the condition that its term lasts.
 */
#ifndef AUTHORITY_ELECTION_H
#define AUTHORITY_ELECTION_H

#include "authority/service.h"

struct election;

struct election_hooks {
	void *arg;
	/* It is this process, and the registry knows all that was before. */
	void (*won)(void *arg, uint64_t term);
	void (*lost)(void *arg);
};

/* url: where the routers reach this process. NULL: out of memory, or no thread. */
struct election *election_new(struct event_base *, struct service *, const char *url,
			      const struct election_hooks *);
/* Gives back what it holds; hooks are called no more. */
void election_free(struct election *);

#endif
