/*
 * Allocation that ends the process when there is none left: see memory.h.
 */
#include "authority/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_new(size_t n, size_t size)
{
	return must(calloc(n ? n : 1, size));
}

void *mem_grow(void *p, size_t n, size_t size)
{
	return must(reallocarray(p, n ? n : 1, size));
}

void *mem_more(void *p, size_t n, size_t *capacity, size_t size)
{
	if (n < *capacity)
		return p;
	*capacity = *capacity ? *capacity * 2 : 4;
	return mem_grow(p, *capacity, size);
}

char *mem_text(const char *text)
{
	return text ? must(strdup(text)) : NULL;
}

void mem_printable(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
}

json_t *mem_json(json_t *json)
{
	return must(json);
}

char *mem_format(const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	return must(n < 0 ? NULL : text);
}
