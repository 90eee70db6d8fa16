/*
 * Aligned tables. Cells are kept until all are known, since the widest decides.
 * What is not printable in a cell (a name or a path from outside) is shown as
 * '?': it goes to somebody's terminal. Widths count bytes, which is right for
 * the ASCII that the router speaks.
 */
#include "ctl/columns.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

struct columns {
	char *titles[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	unsigned n;
	char **cells;
	size_t n_cells, room;
};

static void columns_free(struct columns *c)
{
	for (unsigned i = 0; i < c->n; i++)
		free(c->titles[i]);
	for (size_t i = 0; i < c->n_cells; i++)
		free(c->cells[i]);
	free(c->cells);
	free(c);
}

struct columns *columns_new(const char *titles)
{
	struct columns *c = calloc(1, sizeof(*c));

	while (c && c->n < COLUMNS_MAX) {
		size_t len;

		c->right[c->n] = *titles == '>';
		titles += c->right[c->n];
		len = strcspn(titles, "|");
		c->titles[c->n] = strndup(titles, len);
		if (!c->titles[c->n]) {
			columns_free(c);
			return NULL;
		}
		c->width[c->n++] = len;
		if (!titles[len])
			break;
		titles += len + 1;
	}
	return c;
}

void columns_add(struct columns *c, const char *fmt, ...)
{
	char *text;
	va_list ap;
	size_t len;
	int r;

	if (!c)
		return;
	if (c->n_cells == c->room) {
		size_t room = c->room ? c->room * 2 : 64;
		char **cells = reallocarray(c->cells, room, sizeof(*cells));

		if (!cells)
			return;
		c->cells = cells;
		c->room = room;
	}
	va_start(ap, fmt);
	r = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (r < 0)
		return;
	for (char *p = text; *p; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
	len = strlen(text);
	if (len > c->width[c->n_cells % c->n])
		c->width[c->n_cells % c->n] = len;
	c->cells[c->n_cells++] = text;
}

static void print_row(const struct columns *c, char *const *cells, unsigned indent, FILE *out)
{
	unsigned last = c->n;

	/* No blanks at the end of a line. */
	while (last > 1 && !*cells[last - 1])
		last--;
	fprintf(out, "%*s", (int)indent, "");
	for (unsigned i = 0; i < last; i++) {
		int width = (int)c->width[i];

		if (c->right[i])
			fprintf(out, "%*s", width, cells[i]);
		else
			fprintf(out, "%-*s", i + 1 < last ? width : 0, cells[i]);
		if (i + 1 < last)
			fputs("  ", out);
	}
	fputc('\n', out);
}

void columns_print(struct columns *c, unsigned indent, const char *none, FILE *out)
{
	if (!c)
		return;
	if (c->n_cells >= c->n)
		print_row(c, c->titles, indent, out);
	else if (none)
		fprintf(out, "%*s%s\n", (int)indent, "", none);
	for (size_t i = 0; i + c->n <= c->n_cells; i += c->n)
		print_row(c, c->cells + i, indent, out);
	columns_free(c);
}
