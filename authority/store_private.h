/*
 * What a backend of the store is to store.c, and the helpers that backends share.
 */
#ifndef AUTHORITY_STORE_PRIVATE_H
#define AUTHORITY_STORE_PRIVATE_H

#include <pthread.h>
#include <stdint.h>

#include "authority/store.h"

/* Requests come checked, pages empty. */
struct store_ops {
	bool shared;
	void (*close)(struct store *);
	int (*get)(struct store *, const char *key, struct store_page *);
	int (*list)(struct store *, const struct store_range *, struct store_page *);
	int (*commit)(struct store *, const struct store_transaction *, uint64_t *ret_revision);
	int (*trim)(struct store *, uint64_t revision);
	int (*watch_open)(struct store *, uint64_t after, struct store_watch **);
	void (*watch_close)(struct store_watch *);
	int (*watch_next)(struct store_watch *, struct store_page *);
	int (*lease_grant)(struct store *, unsigned seconds, uint64_t *, unsigned *ret_seconds);
	int (*lease_keep)(struct store *, uint64_t lease);
	int (*lease_revoke)(struct store *, uint64_t lease);
};

/* What each backend's own begins with. */
struct store {
	const struct store_ops *ops;
	pthread_mutex_t error_lock;
	char error[STORE_ERROR];
};

struct store_watch {
	struct store *store;
	int fd;
};

/* Each opens its kind of URL, what is behind the colon. */
int store_sqlite_open(const char *path, struct store **, char error[STORE_ERROR]);
int store_etcd_open(const char *endpoints, const struct store_tls *, struct store **,
		    char error[STORE_ERROR]);

void store_init(struct store *, const struct store_ops *);
void store_done(struct store *);
/* Notes the sentence; returns the error. */
int store_fail(struct store *, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Appends a copy. -ENOMEM. */
int store_page_add(struct store_page *, const void *key, size_t key_size,
		   const struct store_entry *);

/* Makes of a prefix the first key beyond all that have it, in place; its bytes, 0: there
 * is no such key. */
size_t store_prefix_end(char *prefix, size_t size);

/* A lease's name: random, 1 ... INT64_MAX. */
uint64_t store_lease_name(void);

#endif
