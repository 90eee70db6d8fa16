/* links: librouter libcommon */
/*
 * The head of an HTTP request, growing byte by byte as it may come. It is read once, and
 * what comes later changes nothing about it; its parts lie in it, and a field's value is
 * what it says it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_inside(const struct http_text *t, const char *text, size_t len)
{
	if (t->at < text || t->at + t->len > text + len)
		abort();
}

static void check_field(const struct http_head *h, const char *name)
{
	char value[40];

	memset(value, 'x', sizeof(value));
	if (!http_field(h, name, value, sizeof(value)))
		return;
	if (!*value || !memchr(value, '\0', sizeof(value)))
		abort();
	for (const char *p = value; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	if (value[0] == ' ' || value[strlen(value) - 1] == ' ')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int status = 0;

	if (len > 512)
		len = 512;
	for (size_t n = 0; n <= len; n++) {
		/* A copy of this size, so that reading past it is seen. */
		char *text = malloc(n ? n : 1);
		struct http_head h;
		int now;

		memcpy(text, data, n);
		now = http_parse(text, n, &h);
		if (now != 0 && now != 200 && now != 400)
			abort();
		if (status && now != status)
			abort();
		if (now == 200) {
			check_inside(&h.method, text, n);
			check_inside(&h.path, text, n);
			check_inside(&h.query, text, n);
			check_inside(&h.fields, text, n);
			check_field(&h, "Authorization");
			check_field(&h, "a");
			check_field(&h, "");
		}
		free(text);
		status = now;
	}
	return 0;
}
