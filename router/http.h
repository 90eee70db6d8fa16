/*
 * A small HTTP/1.1 server (RFC 9112) for what the router itself serves: its figures
 * (metrics.h), and the hosts of its site (hosts.h). On the control thread's loop.
 *
 * One request a connection, of a method, a path and header fields; a body is never read.
 * The address may be one that others reach, so connections are bounded in number, also of
 * one source, in bytes and in time.
 */
#ifndef ROUTER_HTTP_H
#define ROUTER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/addr.h"
#include "common/loop.h"

#define HTTP_HEAD 8192 /* bytes of a request's head */

/* ---- what is asked ---- */

struct http_text {
	const char *at; /* without an end */
	size_t len;
};

struct http_head {
	struct http_text method, path, query; /* query: "" without one */
	struct http_text fields;
};

/* Reads a head that has come so far: 0 while it is not complete, 200, or what it is to be
 * refused with: 400, 431. The result points into the text. */
int http_parse(const char *text, size_t len, struct http_head *ret);
bool http_is(const struct http_text *, const char *text);
/* The value of a field, whose name has any case. False: it is missing, there twice, empty,
 * too long for ret, or not of printable characters. */
bool http_field(const struct http_head *, const char *name, char *ret, size_t size);

/* ---- serving ---- */

struct http;
struct http_request;

struct http_limits {
	unsigned connections; /* at once; others are closed unanswered */
	unsigned per_source;  /* ... of one IPv4 address or IPv6 /64 */
	int64_t time;	      /* of a connection, until its answer is taken */
};

struct http_hooks {
	/* To be answered once, now or later. */
	void (*asked)(void *arg, struct http_request *, mono_t now);
	/* It is no more, and was not answered. NULL: all are answered at once. */
	void (*gone)(void *arg, struct http_request *);
	void *arg;
};

/* Serves at an address. NULL, with a line on errors that begins with `what`. */
struct http *http_open(struct loop *, const struct endpoint *, const struct http_limits *,
		       const struct http_hooks *, const char *what, FILE *errors);
/* Requests that are left are gone. NULL is fine. */
void http_close(struct http *);

const struct http_head *http_head(const struct http_request *);
/* The two ends of the connection. */
const struct ip *http_from(const struct http_request *);
const struct ip *http_at(const struct http_request *);
/* `fields` are more lines of the answer's head, each with its CR LF, or "". */
void http_answer(struct http_request *, int status, const char *fields, const char *body,
		 size_t len);
/* A line of plain text; 405 with the method that would do. */
void http_say(struct http_request *, int status, const char *text);
void http_say_405(struct http_request *, const char *method);

#endif
