/*
 * The authority's operations as commands: a table of verbs, each one request.
 */
#ifndef CTL_OPERATIONS_H
#define CTL_OPERATIONS_H

#include <jansson.h>

#include "ctl/ctl.h"

/* A list of an answer: its key, the columns' titles, and their fields. What a field ends in
 * says how it is shown: @ time, / bytes a second, ~ round trip, % share. */
struct listing {
	const char *key, *titles, *fields;
};

struct verb {
	const char *command, *name; /* "vn", "create"; name "": the command alone */
	const char *usage;
	const char *method, *path; /* {x} in the path is argument x */
	/* What stands without a dash, in order: "name", "hosts*" all the rest, "hosts+" at
	 * least one, "address?" may be missing, "=vns" one more of a list. */
	const char *words;
	/* What --options there are, with their types: text, number, list, yes or no. */
	const char *options;	 /* "id:n users:l location:t disabled:b" */
	struct listing lists[2]; /* of an answer that is one, or two; key NULL: it is none */
	const char *text;
};

extern const struct listing figures[2]; /* of routers and their links */
extern const struct verb verbs[];	/* ends with one without a command */

/* Prints a change's result for people. */
void show_outcome(json_t *result, bool dry_run);
/* ... the two lists of one. */
void show_list(const struct listing *lists, json_t *result);

#endif
