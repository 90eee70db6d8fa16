/*
 * Talking to an etcd cluster: requests to its v3 JSON gateway, from member to member
 * until one answers.
 *
 * A connection is one thread's while it has it; there are as many as there are calls at
 * the same time. Bodies are JSON; keys and values in it are base64.
 */
#ifndef AUTHORITY_ETCD_H
#define AUTHORITY_ETCD_H

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>

#include "authority/store_private.h"

#define ETCD_PREFIX "vine/"	     /* of our keys in the cluster */
#define ETCD_MEMBERS 16		     /* at most */
#define ETCD_ANSWER_MAX (512u << 20) /* bytes of an answer, a message of a stream */

struct etcd_connection {
	struct etcd_connection *next; /* of those that are idle */
	struct etcd *etcd;
	CURL *curl;
	bool used; /* it may be open to a member that has gone */
	/* The writer's mark: see store_etcd.c. */
	char mark[40];
	uint64_t mark_revision, mark_lease; /* 0: there is none yet */
	int64_t mark_made;
	uint64_t transactions;
};

struct etcd {
	struct store store;
	pthread_mutex_t lock; /* of what follows */
	size_t member;	      /* that answered last */
	struct etcd_connection *idle;
	/* As opened. */
	char *members[ETCD_MEMBERS];
	size_t n_members;
	char *ca, *certificate, *key;
};

/* A request's answer. */
struct etcd_answer {
	json_t *json; /* NULL after an error; the caller's */
	bool maybe;   /* it may have been done, and perhaps is still to be done, by a member
			 that did not say so */
};

/* Milliseconds of a clock that only goes on. */
int64_t etcd_now(void);

/* Milliseconds that so many bytes are given to arrive and to be written. */
long etcd_more(size_t bytes);

/* A connection, NULL: out of memory; and back. */
struct etcd_connection *etcd_take(struct etcd *);
void etcd_give(struct etcd_connection *);
void etcd_connection_free(struct etcd_connection *);

/* Asks the members in turn until one answers or it is later than the end. Errors as in
 * store.h, and -EEXIST for what is there already. */
int etcd_call(struct etcd_connection *, const char *path, const char *body, int64_t end,
	      struct etcd_answer *ret_answer);
/* Asks one member, once; -EHOSTUNREACH: the next one may know more. */
int etcd_ask(struct etcd_connection *, size_t member, const char *path, const char *body,
	     long milliseconds, struct etcd_answer *ret_answer);
/* Sets what all requests to a member have in common, but for what takes the answer. */
void etcd_prepare(const struct etcd *, CURL *, size_t member, const char *path, const char *body);

/* Writes bytes as base64 with quotes; key: with our prefix. */
void etcd_put_bytes(FILE *, const void *, size_t size);
void etcd_put_key(FILE *, const char *key);
/* A number, which JSON has as a string; 0 where there is none. */
uint64_t etcd_number(const json_t *object, const char *name);
/* Appends a key-value of an answer, without our prefix. 0, -EPROTO, -ENOMEM. */
int etcd_add(struct etcd *, struct store_page *, const json_t *kv, bool deleted);
/* The bytes of a base64 member; NULL: bad, or out of memory. To be freed. */
char *etcd_bytes(const json_t *object, const char *name, size_t *ret_size);

int etcd_watch_open(struct store *, uint64_t after, struct store_watch **ret_watch);
void etcd_watch_close(struct store_watch *);
int etcd_watch_next(struct store_watch *, struct store_page *);

#endif
