/*
 * Operations: what callers ask of the authority, decided on the registry alone.
 *
 * operate() reads no clock and does no I/O: time and the request's ID are arguments.
 * What comes out is a transaction for the store, which commits it if every record is
 * still as it was when this was decided (else: apply what came in between, and decide
 * again), or a refusal. Either way there is an audit record, the last of the changes.
 */
#ifndef AUTHORITY_OPERATION_H
#define AUTHORITY_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "authority/registry.h"
#include "authority/roles.h"

struct caller {
	/* NOBODY: with a token alone. AUTHORITY: this program, by what it has measured. */
	enum { CALLER_NOBODY, CALLER_USER, CALLER_ROUTER, CALLER_AUTHORITY } kind;
	const char *name;
	const char *credential; /* hash of what it acts by for the user; NULL: as itself */
	/* The public key that it has proved to have: it must be the record's. NULL: it was
	 * known by something else. */
	const char *key;
	/* A router: the host for which it asks, and the hash of what that has proved itself
	 * with. NULL: for itself. */
	const char *host, *host_key;
	const char *disbelieved; /* NOBODY: why what it says of itself isn't believed; or NULL */
};

struct request {
	struct caller caller;
	const char *operation;
	const json_t *arguments; /* an object; NULL: none */
	const char *token;	 /* hash of a one-time token; NULL: none */
	uint64_t now;		 /* ms since 1970 */
	const char *id;		 /* a valid name, different each time, at most 40 bytes */
	bool dry_run;
	uint64_t certified; /* ms since 1970: when the certificate ends that it gets; 0: none */
	/* vn-log, vn-undo: the last change in the log of that VN, and its ID; NULL: the
	 * log is empty. */
	const json_t *change;
	const char *change_id;
};

struct change {
	char *key;
	json_t *value; /* NULL: delete */
	enum { EXPECT_NOTHING, EXPECT_ABSENT, EXPECT_REVISION } expect;
	uint64_t revision;
};

struct outcome {
	int status;	   /* of HTTP: 200, or a refusal (RFC 7807) of 400, 401, 403, 404, 409 */
	const char *title; /* "Forbidden", ... */
	char detail[400];  /* of a refusal: what, and what to do; printable ASCII */
	json_t *result;	   /* of what was done; with dry_run of what would be */
	size_t n, room;
	struct change *changes; /* a dry run's or refusal's: the audit record alone */
	uint64_t order;		/* revision that the order record has to be of, besides; 0: any */
};

/* Fills the outcome, which outcome_done frees. */
void operate(const struct registry *, const struct request *, struct outcome *);
void outcome_done(struct outcome *);

/* What an empty store begins with: the space of addresses, and the first user, who has
 * the roles adm, sa, vna and eu. Fills the outcome's changes. */
void operation_begin(const char *user, const char *key, const struct blocks *space, uint64_t now,
		     struct outcome *);

#endif
