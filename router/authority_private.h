/*
 * Between the files of the authority as a router sees it: authority.c (life, questions),
 * authority_stream.c (which process is asked, its stream, heartbeats), authority_tables.c
 * (tables, what is confirmed of them), authority_renewal.c (the certificate).
 */
#ifndef ROUTER_AUTHORITY_PRIVATE_H
#define ROUTER_AUTHORITY_PRIVATE_H

#include "common/feed.h"
#include "router/authority.h"
#include "router/disk.h"
#include "router/https.h"
#include "router/identity.h"
#include "router/resolve.h"
#include "router/router.h"
#include "router/stored.h"

#define PLACES 9 /* those configured, and one that another sent us to */
#define PAUSE_LEAST (300 * MSEC)
#define ANSWER_WAIT (10 * SEC)
#define DEAD (1500 * MSEC) /* who says nothing for so long, where there is another one to ask */

/* Where a process of the authority is. */
struct place {
	struct config_url url;
	struct authority *authority;
	struct watch *watch;
	struct ip ips[RESOLVE_MAX];
	size_t n_ips;
	char error[80];	   /* why they aren't known; "" */
	unsigned timeouts; /* of connections, one after the other */
	mono_t silent;	   /* when it was found to say nothing any more; {0}: it wasn't */
};

struct authority {
	struct router *router;
	struct loop *loop;
	struct identity *identity;
	struct disk *disk;
	struct https *https;
	struct stored stored;
	struct list writes; /* that the disk was given */
	struct version on_disk;
	struct version settled; /* on disk, or the disk has failed: it may be confirmed */

	struct place places[PLACES];
	unsigned n_configured, at; /* ... which one it is now */
	unsigned without;	   /* the one that was lost last; PLACES: none */
	bool started;
	void (*changed)(struct router *); /* is told of other tables */

	struct https_request *stream;
	struct feed feed;
	bool connected;		 /* it has said something */
	mono_t since, contact;	 /* when the stream began; the last that was heard of it */
	unsigned tries, sent_on; /* that failed one after the other; redirections in a row */
	mono_t failing;		 /* since the first of these */
	int64_t pause;
	int64_t patience; /* with a stream that says nothing */
	struct timer again, silence;
	bool by_proxy;		   /* or directly, if there is one: what has worked last */
	unsigned missed, refusals; /* heartbeats in a row: unanswered; not taken */
	unsigned beats;		   /* heartbeats until the next one with all peers */

	/* to be confirmed */
	bool unsaid;
	struct version confirmed;
	char refusal[FEED_ERROR]; /* with it, or "" */
	struct https_request *confirm;
	struct timer confirm_timer;

	struct https_request *heartbeat, *whole, *renewal;
	struct timer heartbeat_timer, whole_timer, renewal_timer;

	char error[AUTHORITY_WORDS], refused[FEED_ERROR], renewal_error[AUTHORITY_WORDS];
	char heartbeat_error[AUTHORITY_WORDS], uncovered[PREFIX_TEXT];
	bool warned; /* of error */
};

/* ---- questions: authority.c ---- */

int64_t authority_random(int64_t below);
const struct place *authority_place(const struct authority *);
/* A path, at the place. NULL: out of memory. */
struct https_request *authority_ask_path(struct authority *, const struct https_question *);
/* A path of this router's own; a body makes it a POST. */
struct https_request *authority_ask_own(struct authority *, const char *what, const char *body,
					int64_t patience, size_t most, https_data_fn *, https_fn *);
bool authority_is_good(const struct https_answer *);

/* ---- tables: authority_tables.c ---- */

void authority_tables_init(struct authority *);
/* Those on disk are in force from the start. */
void authority_tables_begin(struct authority *, mono_t now);
void authority_take(struct authority *, const uint8_t *bytes, size_t len, mono_t now);
/* A stream has begun: says what isn't said, and fetches what the disk lacks. */
void authority_tables_connected(struct authority *, mono_t now);
/* It has ended: requests are cancelled. */
void authority_tables_disconnected(struct authority *);
void authority_tables_done(struct authority *);
struct version authority_runs(const struct authority *);

/* ---- the stream: authority_stream.c ---- */

/* False: out of memory. */
bool authority_stream_init(struct authority *, const struct config *);
void authority_stream_begin(struct authority *, mono_t now);
void authority_stream_done(struct authority *);
/* Whether the place is asked by the proxy; whether it can be asked at all yet. */
bool authority_by_proxy(const struct authority *);
bool authority_can_ask(const struct authority *);
/* How long a connection may take to be there. */
int64_t authority_connect_time(const struct authority *);

/* ---- the certificate: authority_renewal.c ---- */

void authority_renewal_init(struct authority *);
void authority_renewal_begin(struct authority *, mono_t now);
void authority_renewal_done(struct authority *);

#endif
