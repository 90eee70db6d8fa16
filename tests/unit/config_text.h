/*
 * Configurations as text, for the tests of config: pieces of files, and parsing them
 * without key files. Include after cmocka.h.
 */
#ifndef TESTS_UNIT_CONFIG_TEXT_H
#define TESTS_UNIT_CONFIG_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/config.h"

/* Lines 1 to 3 of a file; the others are of 4, 4 and 2. */
#define HEAD "[router]\nname = a\nid = 1\n"
#define PEER_B "[peer b]\nid = 2\nkey-file = b\nendpoint = 192.0.2.2:1\n"
#define PEER_C "[peer c]\nid = 3\nkey-file = c\nendpoint = 192.0.2.3:1\n"
#define NETWORKS "[intercept]\nnetworks = 172.16.0.0/12\n"

/* Parses without keys; *ret_errors is heap. */
static inline struct config *parse(const char *text, char **ret_errors)
{
	size_t size;
	FILE *f = open_memstream(ret_errors, &size);
	struct config *c = config_parse("f", text, strlen(text), false, f);

	fclose(f);
	return c;
}

static inline struct config *parse_good(const char *text)
{
	char *errors;
	struct config *c = parse(text, &errors);

	assert_string_equal(errors, "");
	assert_non_null(c);
	free(errors);
	return c;
}

static inline void expect_errors(const char *text, const char *expected)
{
	char *errors;
	struct config *c = parse(text, &errors);

	assert_string_equal(errors, expected);
	if (*expected)
		assert_null(c);
	else
		assert_non_null(c);
	config_free(c);
	free(errors);
}

#endif
