/* links: common/ini common/ini_error common/ini_types common/addr common/lpm common/table
 * common/crypto common/wire router/config router/config_options router/config_types
 * router/config_check router/config_show */
/*
 * A configuration file from nobody in particular. Whatever it holds, there is either a
 * configuration or at least one error, never both; each error is one line without
 * control characters that begins with the file's name. A configuration, listed and read
 * again, is the same.
 */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LINE_MAX_BYTES 199 /* of a file that can be read at all */

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_errors(const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		check(newline != NULL);
		check(newline - text > 3 && memcmp(text, "f:", 2) == 0);
		for (; text < newline; text++)
			check(!iscntrl((unsigned char)*text));
		text++;
	}
}

struct listing {
	FILE *out;
	char section[64];
	bool too_long; /* our own spelling of a line would not fit */
};

static void write_key(void *arg, const char *section, const char *key, const char *value)
{
	struct listing *l = arg;
	bool path = strcmp(key, "key-file") == 0 || strcmp(key, "control") == 0;

	if (strcmp(l->section, section) != 0)
		fprintf(l->out, "[%s]\n", section);
	snprintf(l->section, sizeof(l->section), "%s", section);
	if (path && strlen(key) + 1 + strlen(value) > LINE_MAX_BYTES)
		l->too_long = true;
	fprintf(l->out, "%s=", key);
	for (; *value; value++) {
		if (*value == ',' && !path)
			fputs(",\n ", l->out);
		else
			fputc(*value, l->out);
	}
	fputc('\n', l->out);
}

static char *list(const struct config *c, size_t *ret_len, bool *ret_too_long)
{
	struct listing l = { 0 };
	char *text;

	l.out = open_memstream(&text, ret_len);
	check(l.out != NULL);
	config_each(c, write_key, &l);
	fclose(l.out);
	*ret_too_long = l.too_long;
	return text;
}

static void check_again(const struct config *c)
{
	size_t len, len2;
	bool too_long;
	char *text = list(c, &len, &too_long), *text2;
	struct config *again;

	if (!too_long) {
		again = config_parse("f", text, len, false, stderr);
		check(again != NULL);
		check(config_can_reload(c, again, stderr));
		text2 = list(again, &len2, &too_long);
		check(len == len2 && memcmp(text, text2, len) == 0);
		free(text2);
		config_free(again);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *errors;
	size_t size;
	FILE *f = open_memstream(&errors, &size);
	struct config *c;

	check(f != NULL);
	c = config_parse("f", (const char *)data, len, false, f);
	fclose(f);
	check((c == NULL) == (size > 0));
	check_errors(errors, size);
	if (c)
		check_again(c);
	config_free(c);
	free(errors);
	return 0;
}
