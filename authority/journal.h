/*
 * What records were before the transactions that a registry has applied last, so that it can
 * be taken back to how it was, and forward again: for a publisher that goes on where another
 * one stopped (resume.h). Nobody may see the registry in between.
 *
 * Noted is what tables are made of: routers, hosts, tinies, VNs.
 */
#ifndef AUTHORITY_JOURNAL_H
#define AUTHORITY_JOURNAL_H

#include "authority/registry.h"

/* Names of members and records that are kept; beyond it all is forgotten. */
#define JOURNAL_MAX 1000000

struct journal;

/* Of a registry that is at this revision. */
struct journal *journal_new(uint64_t revision);
void journal_free(struct journal *);
/* registry_apply of the transaction of this revision, which is higher than all before. */
int journal_apply(struct journal *, struct registry *, const struct registry_change *, size_t n,
		  uint64_t revision, char error[static RECORD_ERROR]);
/* Back to before this revision nobody will go. */
void journal_forget(struct journal *, uint64_t revision);
/* The earliest revision that can be gone to. */
uint64_t journal_first(const struct journal *);
/* Takes the registry, which is in the state of any revision since the first, to that of this
 * one. How many transactions were noted in between; -EINVAL: the registry is of no more use. */
int journal_go(struct journal *, struct registry *, uint64_t revision,
	       char error[static RECORD_ERROR]);

#endif
