/*
 * What service.c (asks), service_commit.c (the store, written) and service_load.c (the
 * registry, kept in step) share.
 */
#ifndef AUTHORITY_SERVICE_PRIVATE_H
#define AUTHORITY_SERVICE_PRIVATE_H

#include "authority/service.h"

struct service {
	struct store *store;
	struct store_watch *watch;
	struct registry *registry;
	struct worker *worker;
	struct service_hooks hooks;
	struct event *readable, *tick;
	uint64_t applied;    /* revision that the registry is at */
	uint64_t records_at; /* ... and that changed it last */
	bool changed;	     /* ... and that tables depend on, since they were told */
	char publisher[300]; /* URL */
	uint64_t term, beat; /* revisions of SERVICE_PUBLISHER, SERVICE_BEAT */
	mono_t heard;	     /* when the last beat came */
	struct published published;
	uint64_t published_at;	 /* revision that wrote it; 0: nothing */
	struct journal *journal; /* NULL: not yet, the store is read */
	struct ask *busy;	 /* whose turn it is */
	struct list turn;	 /* asks that wait for theirs */
	struct list waiting;	 /* ... for the registry to be further (ask.revision) */
	size_t n;		 /* asks under way */
	uint64_t counter;
	char prefix[17];
	unsigned strangers; /* refusals of this second */
	bool telling;	    /* that there were more */
	bool serving;	    /* those that wait for their turn, further up the stack */
};

/* The registry, the journal and the watch. False: the words are in error. */
bool service_load(struct service *, char error[static STORE_ERROR]);
/* Applies what the watch has. False as above: it can't be, or the watch has ended. */
bool service_follow(struct service *, char error[static STORE_ERROR]);

/* ---- service_commit.c ---- */

extern const char service_audit_kind[];
/* Works: an ask's changes; the audit record alone, of any number of asks. */
void service_run_commit(struct work *);
void service_run_audit(struct work *);
/* A result that doesn't say whether it was done. */
bool service_is_unknown(int result);
/* The last of the changes. */
const struct change *service_audit_of(const struct ask *);

#endif
