/* links: common/ini common/ini_error common/ini_types common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/ini.h"

/* A small program's configuration: one key of each type. */
struct item {
	char *name;
	unsigned size;
};

struct settings {
	char *name, *path;
	uint8_t byte;
	uint64_t big;
	int64_t time;
	bool flag;
	int colour;
	uint32_t id;
	struct endpoint endpoint;
	struct prefix *prefixes;
	size_t n_prefixes;
	char **words;
	size_t n_words;
	struct item items[4];
	size_t n_items;
	bool extra;
	unsigned extra_size;
	char data[400]; /* what [data] held, one after the other */
};

enum { RED, GREEN, BLUE };

static const struct ini_word colours[] = {
	{ "red", RED }, { "green", GREEN }, { "blue", BLUE }, { "grey", -1 }, { 0 },
};

static bool data_parse(const struct ini_value *v, void *field)
{
	struct settings *s = field;
	size_t len = strlen(s->data);

	snprintf(s->data + len, sizeof(s->data) - len, "%u:%s=%s ", v->line, v->key, v->text);
	return true;
}

static void data_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("data", out);
}

static const struct ini_type data_type = { data_parse, NULL, data_expect };

static const struct ini_option main_options[] = {
	{ .key = "name",
	  .type = &ini_name,
	  INI_FIELD(struct settings, name),
	  .max = 8,
	  .flags = INI_REQUIRED },
	{ .key = "path",
	  .type = &ini_path,
	  INI_FIELD(struct settings, path),
	  .max = 10,
	  .fallback = "/a/b",
	  .flags = INI_FIXED },
	{ .key = "byte",
	  .type = &ini_number,
	  INI_FIELD(struct settings, byte),
	  .min = 3,
	  .max = 200,
	  .zero = "auto",
	  .fallback = "auto",
	  .flags = INI_FIXED },
	{ .key = "big",
	  .type = &ini_number,
	  INI_FIELD(struct settings, big),
	  .max = UINT64_MAX,
	  .fallback = "7" },
	{ .key = "time",
	  .type = &ini_duration,
	  INI_FIELD(struct settings, time),
	  .min = 1000000,
	  .max = 86400000000000,
	  .fallback = "200ms" },
	{ .key = "flag", .type = &ini_bool, INI_FIELD(struct settings, flag), .fallback = "no" },
	{ .key = "colour",
	  .type = &ini_choice,
	  INI_FIELD(struct settings, colour),
	  .words = colours,
	  .fallback = "green" },
	{ .key = "id",
	  .type = &ini_id,
	  INI_FIELD(struct settings, id),
	  .min = 1,
	  .max = UINT32_MAX },
	{ .key = "endpoint",
	  .type = &ini_endpoint,
	  INI_FIELD(struct settings, endpoint),
	  .zero = "off",
	  .fallback = "off" },
	{ .key = "prefixes",
	  .type = &ini_prefix,
	  INI_ITEMS(struct settings, prefixes, n_prefixes),
	  .flags = INI_LIST | INI_FIXED,
	  .fallback = "10.0.0.0/8, fd00::/8" },
	{ .key = "words",
	  .type = &ini_name,
	  INI_ITEMS(struct settings, words, n_words),
	  .max = 8,
	  .most = 5,
	  .flags = INI_LIST,
	  .expected = "short words" },
};

static const struct ini_option item_options[] = {
	{ .key = "size",
	  .type = &ini_number,
	  INI_FIELD(struct item, size),
	  .max = 9,
	  .fallback = "5" },
};

static const struct ini_option extra_options[] = {
	{ .key = "extra-size",
	  .type = &ini_number,
	  INI_FIELD(struct settings, extra_size),
	  .max = 9,
	  .fallback = "6" },
};

static const struct ini_option data_options[] = { { .type = &data_type, .flags = INI_LIST } };

static void *open_plain(void *arg, struct ini *ini, struct ini_section *section)
{
	(void)ini;
	(void)section;
	return arg;
}

static void *open_extra(void *arg, struct ini *ini, struct ini_section *section)
{
	struct settings *s = arg;

	assert_ptr_equal(ini_arg(ini), arg);
	assert_string_equal(section->label, "extra");
	s->extra = true;
	return s;
}

static void *open_item(void *arg, struct ini *ini, struct ini_section *section)
{
	struct settings *s = arg;
	struct item *item;

	if (s->n_items == 4) {
		ini_error(ini, section->line, section->label, NULL, "at most 4", "too many items");
		return NULL;
	}
	item = &s->items[s->n_items++];
	item->name = strdup(section->argument);
	return item;
}

static const struct ini_kind kinds[] = {
	{ .name = "main",
	  .options = main_options,
	  .n_options = sizeof(main_options) / sizeof(main_options[0]),
	  .open = open_plain },
	{ .name = "extra",
	  .optional = true,
	  .options = extra_options,
	  .n_options = 1,
	  .open = open_extra },
	{ .name = "data", .options = data_options, .n_options = 1, .open = open_plain },
	{ .name = "item",
	  .argument = "NAME",
	  .options = item_options,
	  .n_options = 1,
	  .open = open_item },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A file that was read: its settings and its errors as text. */
struct result {
	struct settings s;
	struct ini *ini;
	char *errors;
	bool good;
};

static void read_bytes(struct result *r, const char *text, size_t len)
{
	/* a copy of the exact length, so that a read past it is seen */
	char *copy = malloc(len ? len : 1);
	size_t size;
	FILE *f;

	memset(r, 0, sizeof(*r));
	memcpy(copy, text, len);
	f = open_memstream(&r->errors, &size);
	r->ini = ini_new("f");
	assert_non_null(r->ini);
	ini_read(r->ini, copy, len, kinds, KINDS, &r->s);
	r->good = ini_report(r->ini, f);
	fclose(f);
	free(copy);
}

static void read_text(struct result *r, const char *text)
{
	read_bytes(r, text, strlen(text));
}

static void result_done(struct result *r)
{
	free(r->s.name);
	free(r->s.path);
	free(r->s.prefixes);
	for (size_t i = 0; i < r->s.n_words; i++)
		free(r->s.words[i]);
	free(r->s.words);
	for (size_t i = 0; i < r->s.n_items; i++)
		free(r->s.items[i].name);
	ini_free(r->ini);
	free(r->errors);
}

static void expect_errors(const char *text, const char *errors)
{
	struct result r;

	read_text(&r, text);
	assert_string_equal(r.errors, errors);
	assert_int_equal(r.good, *errors == '\0');
	result_done(&r);
}

/* In the section where most keys are, in line 3, behind what is required. */
static void expect_main(const char *line, const char *error)
{
	char text[512], errors[512];

	snprintf(text, sizeof(text), "[main]\nname = n\n%s\n", line);
	snprintf(errors, sizeof(errors), *error ? "f:3: [main] %s\n" : "%s", error);
	expect_errors(text, errors);
}

static void test_all_types(void **state)
{
	char text[PREFIX_TEXT], address[ENDPOINT_TEXT];
	struct result r;

	(void)state;
	read_text(&r, "[main]\nname = a.b-c_1\npath = /x\nbyte = 200\nbig = 18446744073709551615\n"
		      "time = 2m\nflag = yes\ncolour = blue\nid = 0.0.31.64\n"
		      "endpoint = [2001:db8::1]:8463\nprefixes = 172.16.0.0/12, fd00:76::1\n"
		      "words = one\n[item first]\nsize = 9\n[item second]\n");
	assert_string_equal(r.errors, "");
	assert_true(r.good);
	assert_string_equal(r.s.name, "a.b-c_1");
	assert_string_equal(r.s.path, "/x");
	assert_int_equal(r.s.byte, 200);
	assert_true(r.s.big == UINT64_MAX);
	assert_true(r.s.time == 120000000000);
	assert_true(r.s.flag);
	assert_int_equal(r.s.colour, BLUE);
	assert_int_equal(r.s.id, 8000);
	assert_string_equal(endpoint_format(&r.s.endpoint, address), "[2001:db8::1]:8463");
	assert_int_equal(r.s.n_prefixes, 2);
	assert_string_equal(prefix_format(&r.s.prefixes[0], text), "172.16.0.0/12");
	assert_string_equal(prefix_format(&r.s.prefixes[1], text), "fd00:76::1/128");
	assert_int_equal(r.s.n_words, 1);
	assert_string_equal(r.s.words[0], "one");
	assert_int_equal(r.s.n_items, 2);
	assert_string_equal(r.s.items[0].name, "first");
	assert_int_equal(r.s.items[0].size, 9);
	assert_int_equal(r.s.items[1].size, 5);
	assert_false(r.s.extra);
	result_done(&r);
}

static void test_defaults(void **state)
{
	struct result r;

	(void)state;
	read_text(&r, "[main]\nname = n\n");
	assert_string_equal(r.errors, "");
	assert_string_equal(r.s.path, "/a/b");
	assert_int_equal(r.s.byte, 0);
	assert_true(r.s.big == 7);
	assert_true(r.s.time == 200000000);
	assert_false(r.s.flag);
	assert_int_equal(r.s.colour, GREEN);
	assert_int_equal(r.s.id, 0);
	assert_int_equal(r.s.endpoint.ip.family, 0);
	assert_int_equal(r.s.n_prefixes, 2);
	assert_int_equal(r.s.n_words, 0);
	/* an optional section that is not there has no defaults */
	assert_false(r.s.extra);
	assert_int_equal(r.s.extra_size, 0);
	result_done(&r);

	/* a section without keys is a section */
	read_text(&r, "[main]\nname = n\n[extra]\n");
	assert_string_equal(r.errors, "");
	assert_true(r.s.extra);
	assert_int_equal(r.s.extra_size, 6);
	result_done(&r);
}

static void test_missing(void **state)
{
	(void)state;
	expect_errors("",
		      "f:1: [main] name: is missing; expected a name of at most 8 letters, digits, "
		      "'.', '_' and '-'\n");
	expect_errors("; nothing\n\n[main]\nbyte = 9",
		      "f:3: [main] name: is missing; expected a name of at most 8 letters, digits, "
		      "'.', '_' and '-'\n");
}

static void test_values(void **state)
{
	static const char *const rows[][2] = {
		{ "byte = auto", "" },
		{ "byte = 3", "" },
		{ "byte = 2", "byte: can't be \"2\"; expected auto or a number from 3 to 200" },
		{ "byte = 201", "byte: can't be \"201\"; expected auto or a number from 3 to 200" },
		{ "byte = 259", "byte: can't be \"259\"; expected auto or a number from 3 to 200" },
		{ "byte = -5", "byte: can't be \"-5\"; expected auto or a number from 3 to 200" },
		{ "byte = 0x10",
		  "byte: can't be \"0x10\"; expected auto or a number from 3 to 200" },
		{ "byte = 7 8", "byte: can't be \"7 8\"; expected auto or a number from 3 to 200" },
		{ "byte = 7 # seven",
		  "byte: can't be \"7 # seven\" (a comment behind a value begins with "
		  "';'); expected auto or a number from 3 to 200" },
		{ "byte = 7 ; seven", "" },
		{ "byte = 7;seven",
		  "byte: can't be \"7;seven\"; expected auto or a number from 3 to 200" },
		{ "big = 18446744073709551616",
		  "big: can't be \"18446744073709551616\"; expected a number "
		  "from 0 to 18446744073709551615" },
		{ "time = 1ms", "" },
		{ "time = 24h", "" },
		{ "time = 25h", "time: can't be \"25h\"; expected a time from 1ms to 24h" },
		{ "time = 0s", "time: can't be \"0s\"; expected a time from 1ms to 24h" },
		{ "time = 90", "time: can't be \"90\"; expected a time from 1ms to 24h" },
		{ "time = 1.5s", "time: can't be \"1.5s\"; expected a time from 1ms to 24h" },
		{ "time = 9999999999999999999h",
		  "time: can't be \"9999999999999999999h\"; expected a time from 1ms to 24h" },
		{ "flag = true", "flag: can't be \"true\"; expected yes or no" },
		{ "colour = pink", "colour: can't be \"pink\"; expected red, green or blue" },
		{ "colour = grey",
		  "colour: grey is not in this build; expected red, green or blue" },
		{ "path = x/y",
		  "path: can't be \"x/y\"; expected an absolute path of at most 10 bytes" },
		{ "path = /234567890", "" },
		{ "path = /2345678901",
		  "path: can't be \"/2345678901\"; expected an absolute path of at most 10 bytes" },
		{ "id = 0",
		  "id: can't be \"0\"; expected a number from 1 to 4294967295 or a dotted quad" },
		{ "id = 4294967296",
		  "id: can't be \"4294967296\"; expected a number from 1 to 4294967295 "
		  "or a dotted quad" },
		{ "endpoint = off", "" },
		{ "endpoint = 127.0.0.1:0",
		  "endpoint: can't be \"127.0.0.1:0\"; expected off or an address "
		  "and port like 198.51.100.2:8463 or [2001:db8::1]:8463" },
		{ "endpoint = ::1:80",
		  "endpoint: can't be \"::1:80\"; expected off or an address and port "
		  "like 198.51.100.2:8463 or [2001:db8::1]:8463" },
		{ "prefixes = 172.16.0.5/24",
		  "prefixes: 172.16.0.5/24 has bits set behind its length; "
		  "expected 172.16.0.0/24, or 172.16.0.5 alone for one host" },
		{ "prefixes = fd00:76::1/33",
		  "prefixes: fd00:76::1/33 has bits set behind its length; "
		  "expected fd00:76::/33, or fd00:76::1 alone for one host" },
		{ "prefixes = 172.16.0.0/33",
		  "prefixes: can't be \"172.16.0.0/33\"; expected a prefix like "
		  "172.16.0.0/24 or fd00:76::/32, or an address" },
		{ "words = .x", "words: can't be \".x\"; expected short words" },
		{ "words = a b", "words: can't be \"a b\"; expected short words" },
		{ "words = a,b,c,d,e", "" },
		{ "words = a,b,c,d,e,f", "words: f is one too many; expected at most 5" },
		{ "words = a,,b", "words: nothing between two commas of the list" },
		{ "words = a, b,", "" },
		{ "words =;a", "words: can't be \";a\"; expected short words" },
		{ "flag =", "flag: has no value; expected yes or no" },
		{ "words = ; none", "words: has no value; expected short words" },
		{ "flag: yes", "" }, /* inih's other separator */
		{ "flag = \x1b[31mred",
		  "flag: can't be \"?[31mred\"; expected yes or no" }, /* nothing for a terminal */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_main(rows[i][0], rows[i][1]);
}

static void test_unknown(void **state)
{
	(void)state;
	expect_main("bite = 9", "bite: unknown key; expected byte");
	expect_main("colours = red", "colours: unknown key; expected colour");
	expect_main("falg = yes", "falg: unknown key; expected flag");
	expect_main("extra-size = 1", "extra-size: unknown key; expected it in a section [extra]");
	expect_main("size = 1", "size: unknown key; expected it in a section [item NAME]");
	expect_main("tiem = 1s", "tiem: unknown key; expected time");
	expect_main("Name = n", "Name: unknown key; expected name");
	expect_main("zzzzzzz = 1",
		    "zzzzzzz: unknown key; expected one of name, path, byte, big, time, "
		    "flag, colour, id, endpoint, prefixes, words");
	expect_errors("[main]\nname = n\n[itme x]\nsize = 12\nwhat\n",
		      "f:3: [itme x]: unknown section; expected [item NAME]\n");
	expect_errors("[main]\nname = n\n[zzzzzz]\n",
		      "f:3: [zzzzzz]: unknown section; expected one of [main], "
		      "[extra], [data], [item NAME]\n");
	expect_errors("[main x]\n[main]\nname = n\n[item]\nsize = 77\n",
		      "f:1: [main x]: the section takes no name; expected [main]\n"
		      "f:4: [item]: the section needs a name; expected [item NAME]\n");
}

static void test_twice(void **state)
{
	struct result r;

	(void)state;
	expect_errors("[main]\nname = n\nflag = yes\n[data]\n[main]\nflag = no\nflag = nonsense\n",
		      "f:6: [main] flag: is given in line 3 already; expected it once\n"
		      "f:7: [main] flag: is given in line 3 already; expected it once\n");
	/* lists add up, in indented lines and over sections */
	read_text(
		&r,
		"[main]\nname = n\nwords = a, b ; first\n\n  ; second\n\tc,  ; third\n d\n[data]\n"
		"[main]\nwords = e\n");
	assert_string_equal(r.errors, "");
	assert_int_equal(r.s.n_words, 5);
	for (size_t i = 0; i < 5; i++) {
		char expected[2] = { (char)('a' + i) };

		assert_string_equal(r.s.words[i], expected);
	}
	result_done(&r);
	/* a list may begin in the line below its key */
	read_text(&r, "[main]\nname = n\nwords =\n  a\n");
	assert_string_equal(r.errors, "");
	assert_int_equal(r.s.n_words, 1);
	result_done(&r);
}

static void test_indented(void **state)
{
	struct result r;

	(void)state;
	expect_errors(
		"[main]\n  name = n\n  flag = yes\n",
		"f:3: [main] name: goes on in an indented line, but is no list; expected one value, "
		"and keys at the start of their line\n");
	expect_errors(
		"[main]\nname =\n  n\n  flag = yes\n",
		"f:3: [main] name: goes on in an indented line, but is no list; expected one value, "
		"and keys at the start of their line\n");
	/* what follows an unknown key belongs to it */
	expect_errors("[main]\nname = n\nwrods = a\n  b, c\n",
		      "f:3: [main] wrods: unknown key; expected words\n");
	/* a header may be indented where no key is before it */
	read_text(&r, " [main] ; comment\nname = n\n");
	assert_string_equal(r.errors, "");
	result_done(&r);
}

static void test_data_keys(void **state)
{
	struct result r;

	(void)state;
	read_text(&r, "[main]\nname = n\n[data]\n8000 = a, b\n  c ; x\n8001 = d\n8000: e\n");
	assert_string_equal(r.errors, "");
	assert_string_equal(r.s.data, "4:8000=a 4:8000=b 5:8000=c 6:8001=d 7:8000=e ");
	result_done(&r);
	expect_errors("[main]\nname = n\n[data]\n8000 =\n",
		      "f:4: [data] 8000: has no value; expected data\n");
}

static void test_syntax(void **state)
{
	(void)state;
	expect_errors(
		"name = n\nnovalue\n[main]\nname = n\n",
		"f:1: \"name\" is in no section; expected a section like [router] before the first key\n"
		"f:2: the line is in no section; expected a section like [router]\n");
	expect_errors(
		"[main]\nname = n\nnovalue\n= 5\n  and on\nnor this\n",
		"f:3: [main]: the line is neither a key with a value nor a section; expected key = "
		"value\n"
		"f:4: [main]: a value without a key; expected key = value\n"
		"f:5: [main]: the line is neither a key with a value nor a section; expected key = "
		"value\n"
		"f:6: [main]: the line is neither a key with a value nor a section; expected key = "
		"value\n");
	/* the keys of a section that could not be read are not taken for another's */
	expect_errors("[main]\nname = n\n[extra\nname = m\nzzzzzz = 1\n",
		      "f:3: \"[extra\" has no ']'; expected [section] or [section name]\n");
	expect_errors("[main] name = n\nname = n\n",
		      "f:1: [main]: something follows the ']'; expected nothing but a comment\n");
	expect_errors("[]\n[main]\nname = n\n",
		      "f:1: []: unknown section; expected one of [main], [extra], "
		      "[data], [item NAME]\n");
	expect_errors("[ main ] # x\nname = n\n[\titem   x ]\n", "");
}

static void test_bytes(void **state)
{
	static const char with_zero[] = "[main]\nname = n\nflag = y\0es\n";
	struct result r;

	(void)state;
	expect_errors("\xef\xbb\xbf[main]\nname = n\n", "");	   /* byte order mark */
	expect_errors("[main]\r\nname = n\r\nflag = yes\r\n", ""); /* CR LF */
	expect_errors("[main]\nname = n\nflag = yes", "");	   /* no last newline */
	read_bytes(&r, with_zero, sizeof(with_zero) - 1);
	assert_string_equal(r.errors, "f:3: [main]: a zero byte; expected text\n");
	result_done(&r);
}

/* Lines of 199 bytes are read whole; one more is an error, unless a comment makes it. */
static void test_long_lines(void **state)
{
	struct result r;
	char text[2048], word[300];

	(void)state;
	memset(word, 'x', sizeof(word));
	word[199 - strlen("path = ")] = '\0';
	snprintf(text, sizeof(text), "[main]\nname = n\npath = %s\n", word);
	read_text(&r, text);
	assert_non_null(strstr(r.errors, word)); /* all of it was seen */
	assert_null(strstr(r.errors, "bytes; expected at most 199"));
	result_done(&r);

	snprintf(text, sizeof(text), "[main]\nname = n\npath = %sx\nnonsense\n", word);
	expect_errors(text,
		      "f:3: [main]: a line of 200 bytes; expected at most 199 (a list may go on in "
		      "indented lines)\n"
		      "f:4: [main]: the line is neither a key with a value nor a section; expected "
		      "key = value\n");
	/* a required key in a line that was too long is not missing as well */
	snprintf(text, sizeof(text), "[main]\nname = %sx\n flag\n", word);
	expect_errors(text,
		      "f:2: [main]: a line of 200 bytes; expected at most 199 (a list may go on in "
		      "indented lines)\n");
	snprintf(text, sizeof(text), "[main]\nname = n ; %s%s\n; %s%s\n", word, word, word, word);
	expect_errors(text, "");
	snprintf(text, sizeof(text), "[item %s%s]\nsize = 1\n[main]\nname = n\n", word, word);
	read_text(&r, text);
	assert_string_equal(r.errors,
			    "f:1: a line of 391 bytes; expected at most 199 (a list may go on in "
			    "indented lines)\n");
	result_done(&r);
	/* inih cuts the names of sections at 49 bytes: we don't */
	word[90] = '\0';
	snprintf(text, sizeof(text), "[main]\nname = n\n[item %s]\n", word);
	read_text(&r, text);
	assert_string_equal(r.s.items[0].name, word);
	result_done(&r);
}

static void test_many_errors(void **state)
{
	size_t n = 0;
	struct result r;
	char *text = malloc(20000);

	(void)state;
	strcpy(text, "[main]\nname = n\n");
	for (int i = 0; i < 1000; i++)
		strcat(text, "x\n");
	read_text(&r, text);
	for (const char *p = r.errors; (p = strchr(p, '\n')); p++)
		n++;
	assert_int_equal(n, INI_ERRORS + 1);
	assert_non_null(strstr(r.errors, "\nf: 800 more errors\n"));
	assert_false(r.good);
	result_done(&r);
	free(text);
}

/* Errors of checks that come later stand where their lines are. */
static void test_later_errors(void **state)
{
	struct result r;
	char *errors = NULL;
	size_t size;
	FILE *f = open_memstream(&errors, &size);

	(void)state;
	read_text(&r, "[main]\nname = n\nflag = what\n");
	ini_error(r.ini, 2, "main", "name", NULL, "is %s", "short");
	ini_error(r.ini, 9, NULL, NULL, "more", "the end");
	ini_error(r.ini, 2, "main", NULL, NULL, "second");
	assert_false(ini_report(r.ini, f));
	fclose(f);
	assert_string_equal(errors, "f:2: [main] name: is short\n"
				    "f:2: [main]: second\n"
				    "f:3: [main] flag: can't be \"what\"; expected yes or no\n"
				    "f:9: the end; expected more\n");
	free(errors);
	result_done(&r);
}

static void *open_places(void *arg, struct ini *ini, struct ini_section *section)
{
	(void)ini;
	*(struct ini_section **)((char *)arg + sizeof(struct settings)) = section;
	return arg;
}

static void test_places(void **state)
{
	struct {
		struct settings s;
		struct ini_section *section;
	} both = { 0 };
	const struct ini_kind kind = { .name = "main",
				       .options = main_options,
				       .n_options = sizeof(main_options) / sizeof(main_options[0]),
				       .open = open_places };
	static const char text[] = "\n[main]\nname = n\nwords = a, .bad\n  b\nflag = what\n";
	struct ini *ini = ini_new("f");

	(void)state;
	ini_read(ini, text, strlen(text), &kind, 1, &both);
	assert_int_equal(ini_line(both.section, "words", 0), 4);
	assert_int_equal(ini_line(both.section, "words", 1), 5); /* the bad one doesn't count */
	assert_int_equal(ini_line(both.section, "words", 2), 2);
	assert_int_equal(ini_line(both.section, "id", 0), 2);
	assert_true(ini_bad(both.section, "words"));
	assert_true(ini_bad(both.section, "flag"));
	assert_false(ini_bad(both.section, "name"));
	free(both.s.name);
	free(both.s.path);
	free(both.s.prefixes);
	for (size_t i = 0; i < both.s.n_words; i++)
		free(both.s.words[i]);
	free(both.s.words);
	ini_free(ini);
}

static void add_line(void *arg, const char *section, const char *key, const char *value)
{
	fprintf(arg, "%s.%s=%s\n", section, key, value);
}

static void test_each(void **state)
{
	struct result r;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	read_text(&r, "[main]\nname = n\ntime = 90s\nflag = yes\nwords = a,b\n");
	ini_each(&kinds[0], "label", &r.s, add_line, f);
	ini_each(&kinds[2], "data", &r.s, add_line, f);
	fclose(f);
	assert_string_equal(text, "label.name=n\nlabel.path=/a/b\nlabel.byte=auto\nlabel.big=7\n"
				  "label.time=90s\nlabel.flag=yes\nlabel.colour=green\nlabel.id=0\n"
				  "label.endpoint=off\nlabel.prefixes=10.0.0.0/8, fd00::/8\n"
				  "label.words=a, b\n");
	free(text);
	result_done(&r);
}

static void add_difference(void *arg, const struct ini_option *o, const char *old_text,
			   const char *new_text)
{
	fprintf(arg, "%s: %s -> %s\n", o->key, old_text, new_text);
}

static void test_fixed(void **state)
{
	struct result a, b;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	read_text(&a, "[main]\nname = n\n");
	read_text(&b, "[main]\nname = m\nbyte = 8\nflag = yes\nprefixes = 10.0.0.0/8\n");
	ini_fixed(&kinds[0], &a.s, &a.s, add_difference, f);
	fflush(f);
	assert_int_equal(size, 0);
	ini_fixed(&kinds[0], &a.s, &b.s, add_difference, f);
	fclose(f);
	assert_string_equal(text,
			    "byte: auto -> 8\nprefixes: 10.0.0.0/8, fd00::/8 -> 10.0.0.0/8\n");
	free(text);
	result_done(&a);
	result_done(&b);
}

static void test_lookup(void **state)
{
	(void)state;
	assert_ptr_equal(ini_lookup(&kinds[0], "name"), &main_options[0]);
	assert_null(ini_lookup(&kinds[0], "size"));
	assert_null(ini_lookup(&kinds[2], "8000"));
	assert_true(ini_is_name("a", 1));
	assert_false(ini_is_name("ab", 1));
	assert_false(ini_is_name("", 9));
	assert_false(ini_is_name("a/b", 9));
	assert_false(ini_is_name("a b", 9));
	assert_false(ini_is_name("-a", 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types),    cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_missing),	     cmocka_unit_test(test_values),
		cmocka_unit_test(test_unknown),	     cmocka_unit_test(test_twice),
		cmocka_unit_test(test_indented),     cmocka_unit_test(test_data_keys),
		cmocka_unit_test(test_syntax),	     cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_long_lines),   cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_later_errors), cmocka_unit_test(test_places),
		cmocka_unit_test(test_each),	     cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_lookup),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
