/*
 * The authority at work, whoever asks and however: a request is decided on the registry
 * (operation.h), what comes out is committed to the store by the worker, and the answer is
 * given when the registry has it.
 *
 * The registry follows the store's watch and nothing else, so that it is the same in every
 * process that serves the store. Changes of this process go one after the other; those of
 * another process make a transaction's conditions fail, and it is decided again; so is what
 * changes nothing, if they came before it was asked. A store
 * that doesn't say whether it took a transaction is asked until it does. Everything here
 * is the loop's, nothing waits.
 */
#ifndef AUTHORITY_SERVICE_H
#define AUTHORITY_SERVICE_H

#include "authority/journal.h"
#include "authority/operation.h"
#include "authority/published.h"
#include "authority/store.h"
#include "authority/work.h"
#include "common/clock.h"

struct service;

/* No records: {"url"} of the process that has the routers, and that it lives (election.h). */
#define SERVICE_PUBLISHER "publisher"
#define SERVICE_BEAT "publisher-lives"
/* Nor this: each process that starts writes it, so that its watch tells when it has come to
 * what was there then. */
#define SERVICE_STARTED "started"

struct ask {
	/* Caller, operation, arguments, token, dry_run: the asker's, unchanged until done.
	 * The rest is filled in. */
	struct request request;
	/* Status 200 and what operations refuse with, or 503. The outcome is freed after. */
	void (*done)(struct ask *, const struct outcome *);
	/* NULL, or: it is decided once more, and the registry, which says who asks, may be
	 * another one than when it was asked. */
	void (*again)(struct ask *);

	/* The service's own. */
	struct service *service;
	struct outcome outcome;
	struct work work;
	struct list node;
	enum {
		ASK_RUNS,
		ASK_WAITS_TURN,
		ASK_WAITS_ANSWER,
		ASK_WAITS_RETRY,
		ASK_WAITS_PRESENT
	} state;
	int result; /* of the commit */
	uint64_t decided, revision;
	int64_t since; /* ms of the monotonic clock */
	char id[32], change_key[64];
	char error[STORE_ERROR];
	json_t *change;
	json_t *record;	  /* of the audit log, as it is there; of what was decided before */
	uint64_t audited; /* revision that wrote it; 0: it isn't there */
};

struct service_hooks {
	void *arg;
	/* The registry can't be kept in step any more: the process has to begin anew. */
	void (*lost)(void *arg, const char *why);
	/* Something that tables depend on has been applied. */
	void (*applied)(void *arg);
};

/* Reads the whole store as of where publishing is (published.h), if it still knows, and
 * follows it from there. NULL: the words are in error. The store
 * remains the caller's. */
struct service *service_open(struct event_base *, struct store *, const struct service_hooks *,
			     char error[static STORE_ERROR]);
/* Only when idle, or at the end of the process: what is under way is never answered. */
void service_close(struct service *);
bool service_idle(const struct service *);
void service_ask(struct service *, struct ask *);
/* For what is asked often and changes no record: whether it may be, at once and without an
 * audit record. Else service_ask refuses it, with one. */
bool service_allows(struct service *, const struct request *);

/* Of the store: what the registry is at. */
uint64_t service_revision(const struct service *);
/* The URL of the process that has the routers, as the store has it; "": none. */
const char *service_publisher(const struct service *);
/* The revision that wrote this; 0: none. */
uint64_t service_term(const struct service *);
/* The revision of its last beat (0: none), and when it was heard here. */
uint64_t service_beat(const struct service *);
mono_t service_heard(const struct service *);
/* How far publishing has come, as the store has it, and the revision that wrote it; NULL: it
 * doesn't say. */
const struct published *service_published(const struct service *, uint64_t *ret_revision);
/* Of its registry. */
struct journal *service_journal(struct service *);
/* It can't go on: hooks.lost is called. */
void service_lose(struct service *, const char *why);
const struct registry *service_registry(const struct service *);
struct registry *service_registry_observed(struct service *);
struct store *service_store(const struct service *);
struct worker *service_worker(const struct service *);

#endif
