/*
 * A line for each: connection, tables, certificate, and what is wrong with it.
 */
#include "ctl/show_authority.h"

#include <stdio.h>
#include <time.h>

#include "ctl/human.h"

static void print_wrong(const char *what, json_t *a, const char *path)
{
	const char *text = json_string_value(human_get(a, path));

	if (text)
		printf("          %s: %s\n", what, text);
}

static void print_tables(json_t *a)
{
	char b[HUMAN_TEXT], c[HUMAN_TEXT];

	if (!json_is_string(human_get(a, "tables.version"))) {
		printf("tables    none yet: nothing is carried\n");
	} else {
		printf("tables    %s, %s networks", human_text(a, "tables.version", b),
		       human_text(a, "tables.networks", c));
		printf(", %s other routers", human_text(a, "tables.routers", b));
		printf("; on disk: %s\n", human_text(a, "tables.stored", b));
	}
	print_wrong("refused", a, "tables.refused");
}

static void print_certificate(json_t *a)
{
	const char *end = json_string_value(human_get(a, "certificate.end"));
	double left = end ? human_time(end) - (double)time(NULL) : 0;
	char b[HUMAN_TEXT];

	if (end && left > 0)
		printf("identity  certificate good until %s (%s)\n", end, human_span(left, b));
	else if (end)
		printf("identity  certificate has run out at %s\n", end);
	print_wrong("not renewed", a, "certificate.error");
}

void authority_print(json_t *a)
{
	char b[HUMAN_TEXT], c[HUMAN_TEXT];

	if (!json_is_object(a))
		return;
	printf("authority %s, %s%s, last heard %s\n", human_text(a, "url", b),
	       human_true(a, "connected") ? "connected" : "not connected",
	       human_true(a, "proxy") ? " by the proxy" : "", human_ago(a, "contact", c));
	print_wrong("error", a, "error");
	print_wrong("heartbeats refused", a, "heartbeat_error");
	print_tables(a);
	print_certificate(a);
}
