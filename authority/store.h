/*
 * Where the authority's records are kept: ordered keys with values, changed by
 * transactions with conditions, watched, some held by leases.
 *
 * Two backends behave alike: SQLite in a file that one process has for itself, and an
 * etcd cluster that several share. The store counts revisions: each transaction has
 * one, higher than all before it (not always by one), and an entry carries that of the
 * transaction that wrote it.
 *
 * Calls on a store may come from any thread at the same time, and wait for disk or
 * network: one that an etcd member doesn't answer goes on with the next member, and
 * none takes more than STORE_DEADLINE (and 1 ms per KiB written) but for opening. So an event loop leaves them to
 * a worker thread, except store_watch_next(), which has no network to wait for. A watch
 * is one thread's. With etcd the process ignores SIGPIPE.
 *
 * 0 or -errno, everywhere the same:
 *   -EAGAIN     a condition did not hold, nothing was done: look anew, try again
 *   -ENOENT     no such lease (any more)
 *   -ESTALE     that revision is forgotten: read anew
 *   -EINVAL     the request makes no sense; -E2BIG  it is larger than the bounds below
 *   -ENOSPC     no space, nothing was done
 *   -EHOSTUNREACH  no member could be reached, nothing was done
 *   -ETIMEDOUT, -EIO  unknown whether it was done; whether it was can be read later
 *   -EPROTO     what is there is no answer of etcd's; also of unknown outcome
 *   -ENOMEM     -EPERM (opening) refused
 * store_error() has a sentence for it.
 */
#ifndef AUTHORITY_STORE_H
#define AUTHORITY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_KEY_MAX 512	   /* bytes of a key: any but NUL, one at least */
#define STORE_VALUE_MAX (1u << 20) /* bytes of a value */
#define STORE_OPS_MAX 4096	   /* conditions, and changes, of a transaction */
#define STORE_BYTES_MAX (8u << 20) /* keys and values of a transaction's changes */
#define STORE_PAGE_MAX 1000	   /* entries of a page of a list */
#define STORE_HISTORY 10000	   /* revisions that are remembered, in SQLite by itself */
#define STORE_DEADLINE 3000	   /* milliseconds */
#define STORE_ERROR 256		   /* bytes of a sentence */

struct store;
struct store_watch;

/* A key and its value; in a transaction what to write, else what was written. */
struct store_entry {
	const char *key;
	const void *value; /* NULL: delete, or deleted; what is read ends in a NUL besides */
	size_t size;	   /* bytes of the value */
	uint64_t revision; /* that wrote it; not looked at in a transaction */
	uint64_t lease;	   /* the key vanishes with it; 0: none */
};

/* Entries as they were at a revision. Filled by a call, given back by
 * store_page_done(). */
struct store_page {
	struct store_entry *entries;
	size_t n;
	uint64_t revision;
	bool more; /* of a list: there are entries beyond */
	/* the room's own */
	size_t space;
};

/* Which of the keys: those with this prefix ("": all), in order of their bytes. */
struct store_range {
	const char *prefix;
	const char *after; /* only beyond this key; NULL: from the first */
	size_t limit;	   /* 1 ... STORE_PAGE_MAX */
	uint64_t revision; /* as of this one, that of the page before; 0: as it is now */
};

enum store_test {
	STORE_ABSENT, /* the key is not there */
	STORE_AT,     /* ... was last written at this revision */
	STORE_LEASED, /* ... belongs to this lease */
};

struct store_condition {
	const char *key;
	enum store_test test;
	uint64_t is; /* the revision, the lease */
};

/* If all conditions hold, all changes are made, else none. A key changes once at most;
 * to delete one that is not there is no change. */
struct store_transaction {
	const struct store_condition *conditions;
	size_t n_conditions;
	const struct store_entry *changes;
	size_t n_changes;
};

/* PEM files for etcd by https; all three are needed then. */
struct store_tls {
	const char *ca, *certificate, *key;
};

/* Opens "sqlite:/path" (made if it is not there, 0600; the process that has it open has
 * it alone) or "etcd:https://host:port[,https://...]", the members of one cluster (plain
 * http only to this machine itself). tls may be NULL for all but https. On failure says
 * why in error. */
int store_open(const char *url, const struct store_tls *tls, struct store **ret_store,
	       char error[STORE_ERROR]);
/* Closes it; its watches are closed already. Leases of SQLite end with it. */
void store_close(struct store *);
/* Whether other processes may have it open, too. */
bool store_is_shared(const struct store *);
/* What went wrong last, a sentence; "" if nothing did. */
void store_error(struct store *, char text[STORE_ERROR]);

/* One key: a page of one entry, or of none. */
int store_get(struct store *, const char *key, struct store_page *ret_page);
int store_list(struct store *, const struct store_range *, struct store_page *ret_page);
void store_page_done(struct store_page *);

/* 0: it is done, and stays done whatever is killed from here on. ret_revision (may be
 * NULL) is the one that its changes carry. */
int store_commit(struct store *, const struct store_transaction *, uint64_t *ret_revision);

/* Forgets the history up to a revision: lists as of an earlier one and watches from an
 * earlier one are told -ESTALE. What is, stays. */
int store_trim(struct store *, uint64_t revision);

/* Watches all keys: every change with a revision beyond this one, in order, each once. */
int store_watch_open(struct store *, uint64_t after, struct store_watch **ret_watch);
void store_watch_close(struct store_watch *);
/* To wait for: readable when store_watch_next() may have something. */
int store_watch_fd(const struct store_watch *);
/* The next transaction's changes, whole, by key. -EAGAIN: none yet; -ESTALE: what comes
 * next is forgotten, and this watch has ended: list everything, watch from there. */
int store_watch_next(struct store_watch *, struct store_page *ret_page);

/* A lease that ends by itself when it is not kept for so many seconds (1 ... 86400; a
 * backend may need more: ret_seconds). With it vanish the keys that belong to it. */
int store_lease_grant(struct store *, unsigned seconds, uint64_t *ret_lease, unsigned *ret_seconds);
/* From now the whole time again. */
int store_lease_keep(struct store *, uint64_t lease);
int store_lease_revoke(struct store *, uint64_t lease);

#endif
