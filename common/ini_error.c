/*
 * The errors of a file: kept with their lines while it is read and checked, written
 * at the end in the order of lines, each as "FILE:LINE: [section] key: what is wrong;
 * expected what". Also the guesses at what an unknown word was meant to be: an error
 * that names the right key is worth more than a list of all.
 *
 * Their number is bounded, so that a hostile file costs no more than its size.
 */
#include "common/ini_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void keep_error(struct ini *ini, unsigned line, char *text)
{
	struct ini_message *e;

	if (ini->n_errors == INI_ERRORS) {
		ini->more_errors++;
		free(text);
		return;
	}
	e = ini_grow((void **)&ini->errors, ini->n_errors, sizeof(*e));
	if (!e) {
		ini->no_memory = true;
		free(text);
		return;
	}
	ini->n_errors++;
	/* What is quoted goes to a terminal: no control characters. */
	for (char *p = text; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	e->line = line;
	e->text = text;
}

static void error_va(struct ini *ini, unsigned line, const char *label, const char *key,
		     const char *expected, const char *what, va_list args)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f) {
		ini->no_memory = true;
		return;
	}
	if (label)
		fprintf(f, " [%s]%s%s:", label, key ? " " : "", key ? key : "");
	fputc(' ', f);
	vfprintf(f, what, args);
	if (expected)
		fprintf(f, "; expected %s", expected);
	if (fclose(f) || !text) {
		ini->no_memory = true;
		free(text);
		return;
	}
	keep_error(ini, line, text);
}

void ini_error(struct ini *ini, unsigned line, const char *label, const char *key,
	       const char *expected, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	error_va(ini, line, label, key, expected, what, args);
	va_end(args);
}

char *ini_expected(const struct ini_option *o)
{
	char *text = NULL;
	size_t len;
	FILE *f;

	if (o->expected)
		return strdup(o->expected);
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	if (o->zero)
		fprintf(f, "%s or ", o->zero);
	o->type->expect(o, f);
	if (fclose(f) || !text) {
		free(text);
		return NULL;
	}
	return text;
}

void ini_wrong(const struct ini_value *v)
{
	char *expected = ini_expected(v->option);
	/* A '#' begins a comment only where a line begins. */
	const char *hash = strstr(v->text, " #");

	ini_error(v->ini, v->line, v->section->label, v->key, expected, "can't be \"%s\"%s",
		  v->text, hash ? " (a comment behind a value begins with ';')" : "");
	free(expected);
}

void ini_refuse(const struct ini_value *v, const char *expected, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	error_va(v->ini, v->line, v->section->label, v->key, expected, what, args);
	va_end(args);
}

static int by_line(const void *a, const void *b)
{
	const struct ini_message *x = *(const struct ini_message *const *)a,
				 *y = *(const struct ini_message *const *)b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x < y ? -1 : x > y; /* both in one array: in the order found */
}

bool ini_report(struct ini *ini, FILE *out)
{
	const struct ini_message *sorted[INI_ERRORS];

	for (size_t i = 0; i < ini->n_errors; i++)
		sorted[i] = &ini->errors[i];
	qsort(sorted, ini->n_errors, sizeof(sorted[0]), by_line);
	for (size_t i = 0; i < ini->n_errors; i++)
		fprintf(out, "%s:%u:%s\n", ini->file, sorted[i]->line, sorted[i]->text);
	if (ini->more_errors)
		fprintf(out, "%s: %zu more errors\n", ini->file, ini->more_errors);
	if (ini->no_memory)
		fprintf(out, "%s: out of memory\n", ini->file);
	return !ini->n_errors && !ini->no_memory;
}

/* Guesses */

#define NEAR_MAX 32

/* How many characters to insert, remove, change or swap with the next: 0 to 3, 3 for
 * "many". Longer words than NEAR_MAX are never near. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][NEAR_MAX + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NEAR_MAX || lb > NEAR_MAX)
		return 3;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = row[i % 3];
		const unsigned *above = row[(i + 2) % 3], *above2 = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    above2[j - 2] + 1 < best)
				best = above2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[la % 3][lb] < 3 ? row[la % 3][lb] : 3;
}

/* How far from a word of this length a guess may be. */
static unsigned far_for(const char *text)
{
	return strlen(text) < 5 ? 2 : 3;
}

static void print_header(const struct ini_kind *kind, FILE *out)
{
	if (kind->argument)
		fprintf(out, "[%s %s]", kind->name, kind->argument);
	else
		fprintf(out, "[%s]", kind->name);
}

/* What may have been meant: a key of another section, a key like it, any key of this
 * section. */
static void guess_key(struct ini *ini, const struct ini_kind *kind, const char *key, FILE *out)
{
	const char *near = NULL;
	unsigned least = far_for(key);

	for (size_t i = 0; i < ini->n_kinds; i++) {
		if (ini_lookup(&ini->kinds[i], key)) {
			fputs("it in a section ", out);
			print_header(&ini->kinds[i], out);
			return;
		}
	}
	for (size_t i = 0; i < kind->n_options; i++) {
		unsigned d = distance(key, kind->options[i].key);

		if (d < least) {
			least = d;
			near = kind->options[i].key;
		}
	}
	if (near) {
		fputs(near, out);
		return;
	}
	fputs("one of", out);
	for (size_t i = 0; i < kind->n_options; i++)
		fprintf(out, "%s %s", i ? "," : "", kind->options[i].key);
}

void ini_unknown_key(struct ini *ini, const char *key)
{
	char *guess = NULL;
	size_t len;
	FILE *f = open_memstream(&guess, &len);

	if (!f) {
		ini->no_memory = true;
		return;
	}
	guess_key(ini, ini->section->kind, key, f);
	if (fclose(f) || !guess)
		ini->no_memory = true;
	else
		ini_error(ini, ini->line, ini->section->label, key, guess, "unknown key");
	free(guess);
}

void ini_unknown_section(struct ini *ini, const char *label, const char *name)
{
	const struct ini_kind *near = NULL;
	unsigned least = far_for(name);
	char *guess = NULL;
	size_t len;
	FILE *f = open_memstream(&guess, &len);

	if (!f) {
		ini->no_memory = true;
		return;
	}
	for (size_t i = 0; i < ini->n_kinds; i++) {
		unsigned d = distance(name, ini->kinds[i].name);

		if (d < least) {
			least = d;
			near = &ini->kinds[i];
		}
	}
	if (near) {
		print_header(near, f);
	} else {
		fputs("one of", f);
		for (size_t i = 0; i < ini->n_kinds; i++) {
			fputs(i ? ", " : " ", f);
			print_header(&ini->kinds[i], f);
		}
	}
	if (fclose(f) || !guess)
		ini->no_memory = true;
	else
		ini_error(ini, ini->line, label, NULL, guess, "unknown section");
	free(guess);
}
