/*
 * The stream of a router: lines, their JSON, and what tables must be to be taken.
 *
 * A line is bounded before it is kept, and read only when it is whole. Nearly all of one with
 * tables is their base64, which is taken out first: so JSON is little, however hostile, and
 * ten thousand routers in a table don't keep the control thread. What of a message isn't
 * known is passed over, so that a newer authority can say more.
 */
#include "common/feed.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096 /* bytes of a line, but for its image */

/* ---- versions ------------------------------------------------------------------- */

char *version_format(struct version v, char buf[static VERSION_TEXT])
{
	snprintf(buf, VERSION_TEXT, "%llu.%llu", (unsigned long long)v.generation,
		 (unsigned long long)v.number);
	return buf;
}

static const char *number_parse(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && isdigit((unsigned char)text[1])))
		return NULL;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return NULL;
	*ret = n;
	return text;
}

bool version_parse(const char *text, struct version *ret)
{
	struct version v;

	text = number_parse(text, &v.generation);
	if (!text || *text != '.')
		return false;
	text = number_parse(text + 1, &v.number);
	if (!text || *text)
		return false;
	*ret = v;
	return true;
}

/* ---- messages out ---------------------------------------------------------------- */

char *feed_alive(unsigned next)
{
	char *line;

	return asprintf(&line, "{\"type\":\"alive\",\"next\":%u}\n", next) < 0 ? NULL : line;
}

char *feed_tables(struct version version, uint8_t step, const uint8_t *bytes, size_t len,
		  size_t *ret_len)
{
	char text[VERSION_TEXT], *line;
	size_t n;

	if (len > IMAGE_MAX)
		return NULL;
	line = malloc(len / 3 * 4 + 256);
	if (!line)
		return NULL;
	n = (size_t)sprintf(line, "{\"type\":\"%s\",\"version\":\"%s\",\"step\":%u,\"image\":\"",
			    image_kind(bytes, len) == IMAGE_CHANGE ? "change" : "tables",
			    version_format(version, text), step);
	n += (size_t)EVP_EncodeBlock((unsigned char *)line + n, bytes, (int)len);
	memcpy(line + n, "\"}\n", 4);
	*ret_len = n + 3;
	return line;
}

char *feed_confirm(struct version version, const char *error)
{
	char text[VERSION_TEXT], *body;
	json_t *o = json_pack("{s:s}", "version", version_format(version, text));

	if (o && error && error[0] && json_object_set_new(o, "error", json_string(error))) {
		json_decref(o);
		return NULL;
	}
	body = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return body;
}

bool feed_confirm_parse(const char *body, size_t len, struct version *ret,
			char error[static FEED_ERROR])
{
	json_t *o = len <= 4096 ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *text = json_string_value(json_object_get(o, "version"));
	const char *words = json_string_value(json_object_get(o, "error"));
	bool ok = text && version_parse(text, ret);

	snprintf(error, FEED_ERROR, "%s", ok && words ? words : "");
	for (char *p = error; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
	json_decref(o);
	return ok;
}

/* ---- lines in -------------------------------------------------------------------- */

void feed_init(struct feed *s)
{
	*s = (struct feed){ 0 };
}

void feed_done(struct feed *s)
{
	free(s->line);
	feed_init(s);
}

/* Base64, which nobody escapes. */
static bool get_bytes(const uint8_t *base64, size_t n, struct feed_message *m)
{
	size_t pad = 0;

	if (!n || n % 4)
		return false;
	while (pad < 2 && base64[n - 1 - pad] == '=')
		pad++;
	m->bytes = malloc(n / 4 * 3);
	if (!m->bytes || EVP_DecodeBlock(m->bytes, base64, (int)n) != (int)(n / 4 * 3))
		return false;
	m->len = n / 4 * 3 - pad;
	return true;
}

/* Where the string of "image" begins in a line, and how long it is; 0: it has none. */
static size_t find_image(const uint8_t *line, size_t len, size_t *ret_n)
{
	static const char key[] = "\"image\"";
	const uint8_t *found = memmem(line, len < TEXT_MAX ? len : TEXT_MAX, key, sizeof(key) - 1);
	const uint8_t *p = found ? found + sizeof(key) - 1 : NULL, *end = line + len, *quote;
	bool colon = false;

	*ret_n = 0;
	for (; p && p < end && (*p == ' ' || (*p == ':' && !colon)); p++)
		colon |= *p == ':';
	if (!p || p >= end || *p++ != '"')
		return 0;
	quote = memchr(p, '"', (size_t)(end - p));
	if (!quote)
		return 0;
	*ret_n = (size_t)(quote - p);
	return (size_t)(p - line);
}

/* What JSON there is but for an image. NULL: none, or too much: values take many times the
 * memory of their text. */
static json_t *parse(const uint8_t *line, size_t len, size_t at, size_t n)
{
	char text[TEXT_MAX];

	if (len - n > sizeof(text))
		return NULL;
	memcpy(text, line, at);
	memcpy(text + at, line + at + n, len - at - n);
	return json_loadb(text, len - n, JSON_REJECT_DUPLICATES, NULL);
}

static int message(const uint8_t *line, size_t len, feed_fn *fn, void *arg)
{
	size_t n, at = find_image(line, len, &n);
	json_t *o = parse(line, len, at, n);
	const char *type = json_string_value(json_object_get(o, "type"));
	const char *version = json_string_value(json_object_get(o, "version"));
	struct feed_message m = { .type = FEED_OTHER };
	int error = type ? 0 : -EBADMSG;

	if (type && !strcmp(type, "alive")) {
		json_int_t next = json_integer_value(json_object_get(o, "next"));

		m.type = FEED_ALIVE;
		m.next = next > 0 && next < FEED_NEXT ? (unsigned)next : 0;
	}
	if (type && (!strcmp(type, "tables") || !strcmp(type, "change"))) {
		m.type = FEED_TABLES;
		if (!version || !version_parse(version, &m.version) ||
		    !json_is_string(json_object_get(o, "image")) || !get_bytes(line + at, n, &m))
			error = -EBADMSG;
	}
	json_decref(o);
	if (!error)
		fn(arg, &m);
	free(m.bytes);
	return error;
}

static int keep(struct feed *s, const uint8_t *data, size_t len)
{
	if (len > FEED_LINE - s->n)
		return -EMSGSIZE;
	if (s->room - s->n < len) {
		size_t room = s->room * 2 + len;
		uint8_t *line = realloc(s->line, room);

		if (!line)
			return -ENOMEM;
		s->line = line;
		s->room = room;
	}
	if (len)
		memcpy(s->line + s->n, data, len);
	s->n += len;
	return 0;
}

int feed_read(struct feed *s, const void *data, size_t len, feed_fn *fn, void *arg)
{
	const uint8_t *p = data, *end = len ? p + len : p, *newline;
	int error = s->failed ? -EBADMSG : 0;

	while (!error && p < end) {
		newline = memchr(p, '\n', (size_t)(end - p));
		error = keep(s, p, (size_t)((newline ? newline : end) - p));
		if (!newline)
			break;
		p = newline + 1;
		if (!error && s->n)
			error = message(s->line, s->n, fn, arg);
		s->n = 0;
	}
	s->failed = error != 0;
	return error;
}

/* ---- tables ---------------------------------------------------------------------- */

static int refuse(int error, char words[static FEED_ERROR], const char *text)
{
	snprintf(words, FEED_ERROR, "%s", text);
	return error;
}

/* A whole image, or what a change makes. */
static int make(const struct image *runs, const uint8_t *bytes, size_t len, struct image **ret)
{
	struct image_change *change;
	int error;

	if (image_kind(bytes, len) != IMAGE_CHANGE)
		return image_decode(bytes, len, ret);
	error = image_change_decode(bytes, len, &change);
	if (error)
		return error;
	if (runs && !version_compare(runs->version, image_change_version(change)))
		error = 1;
	else if (runs)
		error = image_apply_change(runs, change, ret);
	else
		error = -ESTALE;
	image_change_free(change);
	if (!error && image_too_large(*ret)) {
		image_free(*ret);
		error = -EMSGSIZE;
	}
	return error;
}

int feed_take(const struct image *runs, uint32_t self, const uint8_t public_key[static SIGN_KEY],
	      const uint8_t *bytes, size_t len, struct image **ret, char error[static FEED_ERROR])
{
	struct image *image;
	int order, failed;

	error[0] = '\0';
	if (!image_verify(bytes, len, public_key))
		return refuse(-EKEYREJECTED, error,
			      "tables that this router's authority has not signed");
	failed = make(runs, bytes, len, &image);
	switch (failed) {
	case 0: break;
	case 1: return 1;
	case -ESTALE:
		return refuse(failed, error, "a change of tables that this router does not run");
	case -ENOMEM: return refuse(failed, error, "not enough memory for the tables");
	case -EMSGSIZE: return refuse(failed, error, "tables that are larger than a router takes");
	default: return refuse(failed, error, "tables that are malformed");
	}
	order = runs ? version_compare(image->version, runs->version) : 1;
	if (image->router == self && order > 0) {
		*ret = image;
		return 0;
	}
	failed = image->router != self ? refuse(-EXDEV, error, "tables for another router")
		 : order < 0 ? refuse(-EALREADY, error, "tables that are older than those that run")
			     : 1;
	image_free(image);
	return failed;
}
