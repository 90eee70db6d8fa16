/*
 * What vinectl may ask for: one request, one line of JSON, one answer. No
 * descriptors here: a request's bytes go in, a JSON value comes out.
 */
#ifndef ROUTER_VERBS_H
#define ROUTER_VERBS_H

#include <jansson.h>
#include <stdio.h>

#include "router/pings.h"
#include "router/router.h"

#define CONTROL_LINE 65536 /* longest request, its end not included */

/* What the program does for the control socket. */
struct control_hooks {
	/* Reads the configuration again and applies it; false, with lines on
	 * errors, if it was refused. NULL: there is no file to read. */
	bool (*reload)(void *arg, FILE *errors);
	void *arg;
};

/* What takes time: to be done by whoever has asked. */
struct control_task {
	enum { TASK_NONE, TASK_PINGS, TASK_NETCHECK } kind;
	struct pings_request pings;
};

/* Carries out a request and returns the answer, {"ok":true,"result":...} or
 * {"ok":false,"error":"..."}. NULL: it takes time, and *ret_task says what to do; or, with
 * TASK_NONE, memory is out. */
json_t *control_answer(struct router *, const struct control_hooks *, const char *line, size_t len,
		       mono_t now, struct control_task *ret_task);

/* The two forms of an answer. They take over the result; NULL: out of memory. */
json_t *control_ok(json_t *result);
json_t *control_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
