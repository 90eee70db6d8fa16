/*
 * Reading a file with inih and the option tables.
 *
 * inih finds keys and values. Its handler isn't told the line, its return value
 * names only the first line that it can't read, it is silent about sections
 * without keys and about what follows a ']', cuts lines at 199 bytes and keeps the
 * comment of a continued line. So the reader that hands it the lines looks at each
 * one first: it counts them, takes the section headers itself (inih sees "[]"), and
 * reports what inih would swallow. A line that should have made inih call the
 * handler and did not is one that inih can't read.
 *
 *   1. next_line() hands out a line, or opens a section
 *   2. take_line() gets key and value back, finds the option
 *   3. take_items() has the option's type read the value or each item
 *   4. finish_section() fills in defaults and misses required keys, at the end
 *
 * Errors are kept with their lines and written at the end in the order of lines, so
 * that checks across keys, which come later, are told where they belong.
 *
 * It does not know what the keys mean, and opens no file.
 */
#include "common/ini_private.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

struct ini *ini_new(const char *file)
{
	struct ini *ini = calloc(1, sizeof(*ini));

	if (!ini)
		return NULL;
	ini->file = strdup(file);
	if (!ini->file) {
		free(ini);
		return NULL;
	}
	ini->before_first = true;
	return ini;
}

void ini_free(struct ini *ini)
{
	if (!ini)
		return;
	for (size_t i = 0; i < ini->n_sections; i++) {
		free(ini->sections[i]->label);
		free(ini->sections[i]->argument);
		free(ini->sections[i]->places);
		free(ini->sections[i]);
	}
	free(ini->sections);
	free(ini->single);
	for (size_t i = 0; i < ini->n_errors; i++)
		free(ini->errors[i].text);
	free(ini->errors);
	free(ini->file);
	free(ini);
}

void *ini_arg(const struct ini *ini)
{
	return ini->arg;
}

void ini_no_memory(struct ini *ini)
{
	ini->no_memory = true;
}

/* The room doubles at each power of two, so the number alone tells when it is full. */
void *ini_grow(void **items, size_t n, size_t size)
{
	if ((n & (n - 1)) == 0) {
		void *more = reallocarray(*items, n ? 2 * n : 1, size);

		if (!more)
			return NULL;
		*items = more;
	}
	return memset((char *)*items + n * size, 0, size);
}

/* Places */

static bool add_place(struct ini *ini, struct ini_section *s, const struct ini_option *o, bool bad)
{
	struct ini_place *p;

	if (!o->key)
		return true; /* data keys keep their own lines */
	p = ini_grow((void **)&s->places, s->n_places, sizeof(*p));
	if (!p) {
		ini->no_memory = true;
		return false;
	}
	s->n_places++;
	*p = (struct ini_place){ .option = o, .line = ini->line, .bad = bad };
	return true;
}

static const struct ini_place *find_place(const struct ini_section *s, const struct ini_option *o)
{
	for (size_t i = 0; i < s->n_places; i++)
		if (s->places[i].option == o)
			return &s->places[i];
	return NULL;
}

unsigned ini_line(const struct ini_section *s, const char *key, size_t n)
{
	for (size_t i = 0; i < s->n_places; i++)
		if (!s->places[i].bad && strcmp(s->places[i].option->key, key) == 0 && n-- == 0)
			return s->places[i].line;
	return s->line;
}

bool ini_bad(const struct ini_section *s, const char *key)
{
	for (size_t i = 0; i < s->n_places; i++)
		if (s->places[i].bad && strcmp(s->places[i].option->key, key) == 0)
			return true;
	return false;
}

/* Values */

static bool take_value(struct ini *ini, struct ini_section *s, const struct ini_option *o,
		       const char *key, const char *text)
{
	struct ini_value v = {
		.ini = ini, .section = s, .option = o, .key = key, .text = text, .line = ini->line
	};
	char *base = s->base;
	void **items;
	size_t *n;
	void *field;

	if (!(o->flags & INI_LIST) || o->size == 0)
		return o->type->parse(&v, base + o->offset);
	items = (void **)(base + o->offset);
	n = (size_t *)(base + o->count);
	if (o->most && *n == o->most) {
		ini_error(ini, ini->line, s->label, key, NULL,
			  "%s is one too many; expected at most %zu", text, o->most);
		return false;
	}
	field = ini_grow(items, *n, o->size);
	if (!field) {
		ini->no_memory = true;
		return false;
	}
	if (!o->type->parse(&v, field))
		return false;
	++*n;
	return true;
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

/* text is ours to cut. */
static void take_items(struct ini *ini, struct ini_section *s, const struct ini_option *o,
		       const char *key, char *text)
{
	while (text) {
		char *comma = strchr(text, ',');
		char *item;

		if (comma)
			*comma = '\0';
		item = trim(text);
		text = comma ? comma + 1 : NULL;
		if (*item) {
			bool good = take_value(ini, s, o, key, item);

			if (!add_place(ini, s, o, !good))
				return;
		} else if (text) {
			ini_error(ini, ini->line, s->label, key, NULL,
				  "nothing between two commas of the list");
			add_place(ini, s, o, true);
		}
		/* else: a comma at the end of a line, the list may go on */
	}
}

/* A key that turned out to have no value, in its line or the lines after it. */
static void finish_key(struct ini *ini)
{
	char *expected;

	if (!ini->empty)
		return;
	ini->empty = false;
	expected = ini_expected(ini->option);
	ini_error(ini, ini->key_line, ini->section->label, ini->key, expected, "has no value");
	free(expected);
	add_place(ini, ini->section, ini->option, true);
}

static const struct ini_option *find_option(struct ini *ini, const char *key)
{
	const struct ini_kind *kind = ini->section->kind;
	const struct ini_option *o = ini_lookup(kind, key);

	if (!o && kind->n_options && !kind->options[0].key)
		o = &kind->options[0];
	if (!o)
		ini_unknown_key(ini, key);
	return o;
}

static void begin_key(struct ini *ini, const char *key, char *value)
{
	const struct ini_place *first;

	finish_key(ini);
	ini->option = find_option(ini, key);
	if (!ini->option)
		return;
	snprintf(ini->key, sizeof(ini->key), "%s", key);
	ini->key_line = ini->line;
	first = find_place(ini->section, ini->option);
	if (ini->broken) {
		add_place(ini, ini->section, ini->option, true);
		if (!(ini->option->flags & INI_LIST))
			ini->option = NULL;
	} else if (ini->option->flags & INI_LIST) {
		ini->empty = *value == '\0';
		take_items(ini, ini->section, ini->option, key, value);
	} else if (first) {
		ini_error(ini, ini->line, ini->section->label, key, "it once",
			  "is given in line %u already", first->line);
	} else if (*value == '\0') {
		ini->empty = true;
	} else {
		bool good = take_value(ini, ini->section, ini->option, key, value);

		add_place(ini, ini->section, ini->option, !good);
	}
}

static void continue_key(struct ini *ini, char *value)
{
	if (!ini->option || ini->broken)
		return;
	if (!(ini->option->flags & INI_LIST)) {
		ini_error(ini, ini->line, ini->section->label, ini->key,
			  "one value, and keys at the start of their line",
			  "goes on in an indented line, but is no list");
		if (ini->empty)
			add_place(ini, ini->section, ini->option, true);
		ini->empty = false;
		ini->option = NULL; /* told once */
		return;
	}
	ini->empty = false;
	take_items(ini, ini->section, ini->option, ini->key, value);
}

/* inih's handler. Always 1: errors are ours to tell. */
static int take_line(void *arg, const char *section, const char *name, const char *value)
{
	struct ini *ini = arg;
	char text[INI_LINE_MAX + 1];

	(void)section; /* cut at 49 bytes: ours is whole */
	ini->expect = false;
	if (!ini->indented)
		ini->has_key = *name != '\0';
	if (!ini->section) {
		if (ini->before_first && !ini->indented)
			ini_error(ini, ini->line, NULL, NULL,
				  "a section like [router] before the first key",
				  "\"%s\" is in no section", name);
		return 1;
	}
	snprintf(text, sizeof(text), "%s", value);
	if (ini->indented) {
		continue_key(ini, trim(text));
	} else if (*name == '\0') {
		finish_key(ini);
		ini->option = NULL;
		ini_error(ini, ini->line, ini->section->label, NULL, "key = value",
			  "a value without a key");
	} else {
		begin_key(ini, name, text);
	}
	return 1;
}

/* Sections */

static struct ini_section *new_section(struct ini *ini, const struct ini_kind *kind,
				       const char *label, const char *argument)
{
	struct ini_section *s = calloc(1, sizeof(*s));
	struct ini_section **slot;

	if (!s)
		goto out;
	s->kind = kind;
	s->line = ini->line;
	s->label = strdup(label);
	s->argument = strdup(argument);
	if (!s->label || !s->argument)
		goto out;
	slot = ini_grow((void **)&ini->sections, ini->n_sections, sizeof(struct ini_section *));
	if (!slot)
		goto out;
	*slot = s;
	ini->n_sections++;
	s->base = kind->open(ini->arg, ini, s);
	return s;
out:
	ini->no_memory = true;
	if (s) {
		free(s->label);
		free(s->argument);
	}
	free(s);
	return NULL;
}

/* The section of a header whose text, between the brackets, is ours to cut. */
static void open_section(struct ini *ini, char *header)
{
	char *label = trim(header);
	char name[INI_LINE_MAX + 1], whole[INI_LINE_MAX + 3];
	size_t len = strcspn(label, " \t");
	const char *argument = label + len + strspn(label + len, " \t");
	const struct ini_kind *kind = NULL;
	struct ini_section *s;
	size_t k;

	ini->section = NULL;
	snprintf(name, sizeof(name), "%.*s", (int)len, label);
	snprintf(whole, sizeof(whole), "%s%s%s", name, *argument ? " " : "", argument);
	for (k = 0; k < ini->n_kinds; k++) {
		if (strcmp(ini->kinds[k].name, name) == 0) {
			kind = &ini->kinds[k];
			break;
		}
	}
	if (!kind) {
		ini_unknown_section(ini, whole, name);
		return;
	}
	if (!kind->argument && *argument) {
		ini_error(ini, ini->line, whole, NULL, NULL,
			  "the section takes no name; expected [%s]", name);
		return;
	}
	if (kind->argument && !*argument) {
		ini_error(ini, ini->line, whole, NULL, NULL,
			  "the section needs a name; expected [%s %s]", name, kind->argument);
		return;
	}
	s = kind->argument ? NULL : ini->single[k];
	if (!s)
		s = new_section(ini, kind, whole, argument);
	if (s && !kind->argument)
		ini->single[k] = s;
	if (s && s->base)
		ini->section = s;
}

/* A line that begins a section: p is behind the '['. */
static void take_header(struct ini *ini, const char *p, size_t len)
{
	char text[INI_LINE_MAX + 1];
	const char *close = memchr(p, ']', len);

	finish_key(ini);
	ini->before_first = false;
	ini->section = NULL;
	if (ini->broken)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)(close ? (size_t)(close - p) : len), p);
	if (!close) {
		ini_error(ini, ini->line, NULL, NULL, "[section] or [section name]",
			  "\"[%s\" has no ']'", trim(text));
		return;
	}
	for (close++; close < p + len && *close != ';' && *close != '#'; close++) {
		if (!isspace((unsigned char)*close)) {
			ini_error(ini, ini->line, trim(text), NULL, "nothing but a comment",
				  "something follows the ']'");
			break;
		}
	}
	open_section(ini, text);
}

/* Lines */

/* What inih made of the line before: it calls the handler for each one that it can
 * read. */
static void settle_line(struct ini *ini)
{
	if (!ini->expect)
		return;
	ini->expect = false;
	finish_key(ini);
	ini->option = NULL;
	if (ini->broken)
		return;
	if (ini->section)
		ini_error(ini, ini->line, ini->section->label, NULL, "key = value",
			  "the line is neither a key with a value nor a section");
	else if (ini->before_first)
		ini_error(ini, ini->line, NULL, NULL, "a section like [router]",
			  "the line is in no section");
}

/* The length of a line without the comment behind its value. */
static size_t without_comment(const char *p, size_t len)
{
	for (size_t i = 1; i < len; i++)
		if (p[i] == ';' && isspace((unsigned char)p[i - 1]))
			return i - 1;
	return len;
}

/* inih's reader: one line at a time, like fgets. */
static char *next_line(char *out, int room, void *arg)
{
	struct ini *ini = arg;
	const char *p = ini->next, *newline;
	size_t len, lead = 0;

	settle_line(ini);
	if (p == ini->end || ini->no_memory)
		return NULL;
	newline = memchr(p, '\n', (size_t)(ini->end - p));
	len = (size_t)((newline ? newline : ini->end) - p);
	ini->next = newline ? newline + 1 : ini->end;
	if (ini->line++ == 0 && len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
		p += 3; /* byte order mark */
		len -= 3;
	}
	while (len && isspace((unsigned char)p[len - 1]))
		len--;
	while (lead < len && isspace((unsigned char)p[lead]))
		lead++;
	*out = '\0';
	if (lead == len || p[lead] == ';' || p[lead] == '#')
		return out;
	ini->broken = false;
	if (memchr(p, '\0', len)) {
		ini_error(ini, ini->line, ini->section ? ini->section->label : NULL, NULL, "text",
			  "a zero byte");
		return out;
	}
	len = without_comment(p, len);
	if (len >= (size_t)room) {
		ini_error(
			ini, ini->line, ini->section ? ini->section->label : NULL, NULL, NULL,
			"a line of %zu bytes; expected at most %d (a list may go on in indented lines)",
			len, room - 1);
		ini->broken = true;
		len = (size_t)room - 1;
	}
	ini->indented = lead > 0 && ini->has_key;
	if (p[lead] == '[' && !ini->indented) {
		take_header(ini, p + lead + 1, len - lead - 1);
		ini->has_key = false;
		memcpy(out, "[]", 3);
		return out;
	}
	ini->expect = true;
	memcpy(out, p, len);
	out[len] = '\0';
	return out;
}

/* Defaults */

static void finish_section(struct ini *ini, struct ini_section *s)
{
	for (size_t i = 0; s->base && i < s->kind->n_options; i++) {
		const struct ini_option *o = &s->kind->options[i];
		char *text;

		if (!o->key || (!o->fallback && !(o->flags & INI_REQUIRED)) || find_place(s, o))
			continue;
		ini->line = s->line;
		text = o->fallback ? strdup(o->fallback) : ini_expected(o);
		if (!text)
			ini->no_memory = true;
		else if (!o->fallback)
			ini_error(ini, s->line, s->label, o->key, text, "is missing");
		else if (o->flags & INI_LIST)
			take_items(ini, s, o, o->key, text);
		else
			take_value(ini, s, o, o->key, text);
		free(text);
	}
}

void ini_read(struct ini *ini, const char *text, size_t len, const struct ini_kind *kinds,
	      size_t n_kinds, void *arg)
{
	ini->kinds = kinds;
	ini->n_kinds = n_kinds;
	ini->arg = arg;
	ini->single = calloc(n_kinds, sizeof(struct ini_section *));
	if (!ini->single) {
		ini->no_memory = true;
		return;
	}
	ini->next = text;
	ini->end = text + len;
	ini_parse_stream(next_line, ini, take_line, ini);
	settle_line(ini);
	if (ini->section)
		finish_key(ini);
	ini->line = 1;
	for (size_t k = 0; k < n_kinds && !ini->no_memory; k++)
		if (!kinds[k].argument && !kinds[k].optional && !ini->single[k])
			ini->single[k] = new_section(ini, &kinds[k], kinds[k].name, "");
	for (size_t i = 0; i < ini->n_sections && !ini->no_memory; i++)
		finish_section(ini, ini->sections[i]);
}
