/*
 * The types of values: how their text is read, written, and what to expect where it
 * is wrong. Then what is done with a whole struct by its table: listing it, and
 * comparing two.
 *
 * Fields are reached by offset and size; a type may rely on the field being what
 * ini.h says for it.
 */
#include "common/ini.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"

static uint64_t load(const void *field, size_t size)
{
	uint8_t b1;
	uint16_t b2;
	uint32_t b4;
	uint64_t b8;

	switch (size) {
	case 1: memcpy(&b1, field, 1); return b1;
	case 2: memcpy(&b2, field, 2); return b2;
	case 4: memcpy(&b4, field, 4); return b4;
	default: memcpy(&b8, field, 8); return b8;
	}
}

static void store(void *field, size_t size, uint64_t value)
{
	uint8_t b1 = (uint8_t)value;
	uint16_t b2 = (uint16_t)value;
	uint32_t b4 = (uint32_t)value;

	switch (size) {
	case 1: memcpy(field, &b1, 1); break;
	case 2: memcpy(field, &b2, 2); break;
	case 4: memcpy(field, &b4, 4); break;
	default: memcpy(field, &value, 8); break;
	}
}

/* Digits only: no sign, no blanks. What follows them is *ret_rest. */
static bool read_digits(const char *text, uint64_t *ret, const char **ret_rest)
{
	const char *p = text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	}
	*ret = n;
	*ret_rest = p;
	return p > text;
}

/* The word of the option that stands for zero. */
static bool is_zero_word(const struct ini_option *o, const char *text)
{
	return o->zero && strcmp(o->zero, text) == 0;
}

/* number */

static bool number_parse(const struct ini_value *v, void *field)
{
	const char *rest;
	uint64_t n;

	if (is_zero_word(v->option, v->text)) {
		store(field, v->option->size, 0);
		return true;
	}
	if (!read_digits(v->text, &n, &rest) || *rest || n < v->option->min || n > v->option->max) {
		ini_wrong(v);
		return false;
	}
	store(field, v->option->size, n);
	return true;
}

static void number_format(const struct ini_option *o, const void *field, FILE *out)
{
	fprintf(out, "%llu", (unsigned long long)load(field, o->size));
}

static void number_expect(const struct ini_option *o, FILE *out)
{
	fprintf(out, "a number from %llu to %llu", (unsigned long long)o->min,
		(unsigned long long)o->max);
}

const struct ini_type ini_number = { number_parse, number_format, number_expect };

/* duration */

static const struct {
	const char *unit;
	uint64_t ns;
} units[] = {
	{ "h", 3600000000000 }, { "m", 60000000000 }, { "s", 1000000000 }, { "ms", 1000000 }
};

#define UNITS (sizeof(units) / sizeof(units[0]))

static void print_duration(uint64_t ns, FILE *out)
{
	size_t u = 0;

	while (u < UNITS - 1 && (ns == 0 || ns % units[u].ns != 0))
		u++;
	fprintf(out, "%llu%s", (unsigned long long)(ns / units[u].ns), units[u].unit);
}

static bool duration_parse(const struct ini_value *v, void *field)
{
	const char *rest;
	uint64_t n;

	if (!read_digits(v->text, &n, &rest))
		goto wrong;
	for (size_t u = 0; u < UNITS; u++) {
		if (strcmp(rest, units[u].unit) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[u].ns, &n) || n < v->option->min ||
		    n > v->option->max)
			goto wrong;
		*(int64_t *)field = (int64_t)n;
		return true;
	}
wrong:
	ini_wrong(v);
	return false;
}

static void duration_format(const struct ini_option *o, const void *field, FILE *out)
{
	(void)o;
	print_duration((uint64_t) * (const int64_t *)field, out);
}

static void duration_expect(const struct ini_option *o, FILE *out)
{
	fputs("a time from ", out);
	print_duration(o->min, out);
	fputs(" to ", out);
	print_duration(o->max, out);
}

const struct ini_type ini_duration = { duration_parse, duration_format, duration_expect };

/* bool */

static bool bool_parse(const struct ini_value *v, void *field)
{
	bool yes = strcmp(v->text, "yes") == 0;

	if (!yes && strcmp(v->text, "no") != 0) {
		ini_wrong(v);
		return false;
	}
	*(bool *)field = yes;
	return true;
}

static void bool_format(const struct ini_option *o, const void *field, FILE *out)
{
	(void)o;
	fputs(*(const bool *)field ? "yes" : "no", out);
}

static void bool_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("yes or no", out);
}

const struct ini_type ini_bool = { bool_parse, bool_format, bool_expect };

/* choice */

static void choice_expect(const struct ini_option *o, FILE *out)
{
	const struct ini_word *last = NULL;
	bool first = true;

	for (const struct ini_word *w = o->words; w->text; w++)
		if (w->value >= 0)
			last = w;
	for (const struct ini_word *w = o->words; w->text; w++) {
		if (w->value < 0)
			continue;
		fprintf(out, "%s%s", first ? "" : w == last ? " or " : ", ", w->text);
		first = false;
	}
}

static bool choice_parse(const struct ini_value *v, void *field)
{
	for (const struct ini_word *w = v->option->words; w->text; w++) {
		char *expected = NULL;
		size_t len;
		FILE *f;

		if (strcmp(w->text, v->text) != 0)
			continue;
		if (w->value >= 0) {
			store(field, v->option->size, (uint64_t)w->value);
			return true;
		}
		f = open_memstream(&expected, &len);
		if (!f) {
			ini_no_memory(v->ini);
			return false;
		}
		choice_expect(v->option, f);
		if (fclose(f) || !expected)
			ini_no_memory(v->ini);
		else
			ini_refuse(v, expected, "%s is not in this build", v->text);
		free(expected);
		return false;
	}
	ini_wrong(v);
	return false;
}

static void choice_format(const struct ini_option *o, const void *field, FILE *out)
{
	uint64_t value = load(field, o->size);

	for (const struct ini_word *w = o->words; w->text; w++) {
		if (w->value >= 0 && (uint64_t)w->value == value) {
			fputs(w->text, out);
			return;
		}
	}
}

const struct ini_type ini_choice = { choice_parse, choice_format, choice_expect };

/* name and path */

bool ini_is_name(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (!isalnum((unsigned char)*text) || len > max)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("._-", *text))
			return false;
	return true;
}

/* Takes a copy in place of what was there. */
static bool store_text(const struct ini_value *v, char **field)
{
	char *text = strdup(v->text);

	if (!text) {
		ini_no_memory(v->ini);
		return false;
	}
	free(*field);
	*field = text;
	return true;
}

static void text_format(const struct ini_option *o, const void *field, FILE *out)
{
	const char *text = *(char *const *)field;

	(void)o;
	if (text)
		fputs(text, out);
}

static bool name_parse(const struct ini_value *v, void *field)
{
	if (!ini_is_name(v->text, v->option->max)) {
		ini_wrong(v);
		return false;
	}
	return store_text(v, field);
}

static void name_expect(const struct ini_option *o, FILE *out)
{
	fprintf(out, "a name of at most %llu letters, digits, '.', '_' and '-'",
		(unsigned long long)o->max);
}

const struct ini_type ini_name = { name_parse, text_format, name_expect };

static bool path_parse(const struct ini_value *v, void *field)
{
	if (v->text[0] != '/' || strlen(v->text) > v->option->max) {
		ini_wrong(v);
		return false;
	}
	return store_text(v, field);
}

static void path_expect(const struct ini_option *o, FILE *out)
{
	fprintf(out, "an absolute path of at most %llu bytes", (unsigned long long)o->max);
}

const struct ini_type ini_path = { path_parse, text_format, path_expect };

/* ID, address, endpoint and prefix */

static bool id_parse_value(const struct ini_value *v, void *field)
{
	uint32_t id;

	if (id_parse(v->text, &id) || id < v->option->min || id > v->option->max) {
		ini_wrong(v);
		return false;
	}
	*(uint32_t *)field = id;
	return true;
}

static void id_expect(const struct ini_option *o, FILE *out)
{
	fprintf(out, "a number from %llu to %llu or a dotted quad", (unsigned long long)o->min,
		(unsigned long long)o->max);
}

const struct ini_type ini_id = { id_parse_value, number_format, id_expect };

bool ini_address_parse(const struct ini_value *v, struct ip *ipv4, struct ip *ipv6)
{
	struct ip ip, *place;

	if (ip_parse(v->text, &ip) || !ip_is_host(&ip)) {
		ini_wrong(v);
		return false;
	}
	place = ip.family == 4 ? ipv4 : ipv6;
	if (place->family) {
		ini_refuse(v, "at most one of each family", "%s is a second IPv%u address", v->text,
			   ip.family);
		return false;
	}
	*place = ip;
	return true;
}

static bool endpoint_parse_value(const struct ini_value *v, void *field)
{
	struct endpoint e;

	if (is_zero_word(v->option, v->text)) {
		memset(field, 0, sizeof(e));
		return true;
	}
	memset(&e, 0, sizeof(e));
	if (endpoint_parse(v->text, &e) || e.port == 0) {
		ini_wrong(v);
		return false;
	}
	memcpy(field, &e, sizeof(e));
	return true;
}

static void endpoint_format_value(const struct ini_option *o, const void *field, FILE *out)
{
	const struct endpoint *e = field;
	char text[ENDPOINT_TEXT];

	(void)o;
	if (e->ip.family)
		fputs(endpoint_format(e, text), out);
}

static void endpoint_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("an address and port like 198.51.100.2:8463 or [2001:db8::1]:8463", out);
}

const struct ini_type ini_endpoint = { endpoint_parse_value, endpoint_format_value,
				       endpoint_expect };

/* "172.16.0.5/24" without the bits that make it no prefix. False: it is something
 * else that is wrong. */
static bool clear_host_bits(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/'), *rest;
	char address[IP_TEXT];
	struct prefix p;
	uint64_t len;

	if (!slash || (size_t)(slash - text) >= sizeof(address) ||
	    !read_digits(slash + 1, &len, &rest) || *rest)
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (ip_parse(address, &p.ip) || len > ip_bits(&p.ip))
		return false;
	p.len = (uint8_t)len;
	for (unsigned bit = p.len; bit < ip_bits(&p.ip); bit++)
		p.ip.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	*ret = p;
	return true;
}

static bool prefix_parse_value(const struct ini_value *v, void *field)
{
	char text[PREFIX_TEXT], expected[PREFIX_TEXT + 40];
	const char *slash = strchr(v->text, '/');
	struct prefix meant;

	if (prefix_parse(v->text, field) == 0)
		return true;
	if (clear_host_bits(v->text, &meant)) {
		snprintf(expected, sizeof(expected), "%s, or %.*s alone for one host",
			 prefix_format(&meant, text), (int)(slash - v->text), v->text);
		ini_refuse(v, expected, "%s has bits set behind its length", v->text);
	} else {
		ini_wrong(v);
	}
	return false;
}

static void prefix_format_value(const struct ini_option *o, const void *field, FILE *out)
{
	char text[PREFIX_TEXT];

	(void)o;
	fputs(prefix_format(field, text), out);
}

static void prefix_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("a prefix like 172.16.0.0/24 or fd00:76::/32, or an address", out);
}

const struct ini_type ini_prefix = { prefix_parse_value, prefix_format_value, prefix_expect };

const struct ini_option *ini_lookup(const struct ini_kind *kind, const char *key)
{
	for (size_t i = 0; i < kind->n_options; i++)
		if (kind->options[i].key && strcmp(kind->options[i].key, key) == 0)
			return &kind->options[i];
	return NULL;
}

/* Listing and comparing */

/* The value of an option as text, heap. "" is "not set"; NULL: no memory. */
static char *format_option(const struct ini_option *o, const void *base)
{
	const char *field = (const char *)base + o->offset;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	if ((o->flags & INI_LIST) && o->size) {
		const char *items = *(const char *const *)field;
		size_t n = *(const size_t *)((const char *)base + o->count);

		for (size_t i = 0; i < n; i++) {
			if (i)
				fputs(", ", f);
			o->type->format(o, items + i * o->size, f);
		}
	} else {
		static const char zeros[sizeof(uint64_t) * 4];

		if (o->zero && o->size <= sizeof(zeros) && memcmp(field, zeros, o->size) == 0)
			fputs(o->zero, f);
		else
			o->type->format(o, field, f);
	}
	if (fclose(f) || !text) {
		free(text);
		return NULL;
	}
	return text;
}

void ini_each(const struct ini_kind *kind, const char *label, const void *base,
	      void (*fn)(void *arg, const char *section, const char *key, const char *value),
	      void *arg)
{
	for (size_t i = 0; i < kind->n_options; i++) {
		const struct ini_option *o = &kind->options[i];
		char *text;

		if (!o->key || !o->type->format)
			continue;
		text = format_option(o, base);
		if (text && *text)
			fn(arg, label, o->key, text);
		free(text);
	}
}

void ini_fixed(const struct ini_kind *kind, const void *old_base, const void *new_base,
	       void (*fn)(void *arg, const struct ini_option *, const char *old_text,
			  const char *new_text),
	       void *arg)
{
	for (size_t i = 0; i < kind->n_options; i++) {
		const struct ini_option *o = &kind->options[i];
		char *a, *b;

		if (!(o->flags & INI_FIXED))
			continue;
		a = format_option(o, old_base);
		b = format_option(o, new_base);
		/* Without memory to compare, better to refuse. */
		if (!a || !b || strcmp(a, b) != 0)
			fn(arg, o, a ? a : "?", b ? b : "?");
		free(a);
		free(b);
	}
}
