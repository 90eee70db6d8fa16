/*
 * What the files of ini share: the state of one file being read.
 */
#ifndef COMMON_INI_PRIVATE_H
#define COMMON_INI_PRIVATE_H

#include "common/ini.h"

#define INI_LINE_MAX 199 /* bytes of a line that inih takes, of the 200 in its buffer */

struct ini_message {
	unsigned line;
	char *text;
};

struct ini {
	char *file;
	void *arg;
	const struct ini_kind *kinds;
	size_t n_kinds;
	struct ini_section **sections;
	size_t n_sections;
	struct ini_section **single; /* by kind: the one of a kind without argument */

	const char *next, *end; /* what is still to be read */
	unsigned line;
	struct ini_section *section; /* NULL: none yet, or one whose keys are ignored */
	bool before_first;
	/* the line that inih has now */
	bool expect; /* it should call the handler for it */
	bool indented, broken;
	/* the key that an indented line continues */
	bool has_key;
	const struct ini_option *option; /* NULL: unknown, ignore */
	char key[INI_LINE_MAX + 1];
	bool empty; /* nothing given yet */
	unsigned key_line;

	struct ini_message *errors;
	size_t n_errors, more_errors;
	bool no_memory;
};

/* What an option expects, in words: heap, NULL without memory. */
char *ini_expected(const struct ini_option *);
/* Reports the key, or the section, with the nearest known one. */
void ini_unknown_key(struct ini *, const char *key);
void ini_unknown_section(struct ini *, const char *label, const char *name);

#endif
