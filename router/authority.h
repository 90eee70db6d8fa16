/*
 * The authority as this router sees it: where its tables come from, and who is told how it
 * is.
 *
 * One of the authority's processes has this router's stream (common/feed.h). Tables that
 * come on it are taken if they are signed, newer and this router's; they are put in force,
 * stored on disk (stored.h), and then confirmed. When the process, or its machine, dies, the
 * next one is asked; when none answers, nothing is lost but news.
 *
 * Belongs to the control thread.
 */
#ifndef ROUTER_AUTHORITY_H
#define ROUTER_AUTHORITY_H

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/image.h"

struct authority;
struct https_answer;
struct https_question;
struct router;

/* The authority of the router's configuration, which has one: reads the identity, and puts
 * in force the tables that are on disk. It is r->authority from now on, whatever comes. False,
 * with lines on errors. */
bool authority_open(struct router *, mono_t now, FILE *errors);
/* Begins to talk. After privileges are given up: it starts a thread. `changed` (may be
 * NULL) is called when other tables are in force. */
void authority_start(struct authority *, void (*changed)(struct router *), mono_t now);
/* Waits for the disk. NULL is fine. */
void authority_close(struct authority *);

/* Asks the process that has the stream for something else: the question's url is a path.
 * NULL: there is none, as the status says, or no memory. Who asks has to cancel before
 * authority_close. */
struct https_request *authority_ask(struct authority *, const struct https_question *);
/* What an answer that is no success says. */
#define AUTHORITY_WORDS 440
void authority_words(const struct https_answer *, char ret[static AUTHORITY_WORDS]);

/* For people and programs. */
struct authority_status {
	const char *url; /* of the process that has the stream, or is asked now */
	bool by_proxy;	 /* it is asked by the proxy */
	bool connected;
	mono_t contact;		     /* when it last said something; {0}: never */
	struct version version;	     /* of the tables in force; 0.0: none */
	struct version stored;	     /* ... on disk, as far as known */
	const char *error;	     /* why it isn't connected; "" */
	const char *heartbeat_error; /* why it doesn't take what the router says of itself; "" */
	const char *refused;	     /* why the last tables weren't taken; "" */
	const char *renewal_error;   /* ... the certificate wasn't renewed; "" */
	time_t certificate_end;
};
void authority_status(const struct authority *, struct authority_status *ret);

#endif
