/*
 * What the authority answers, for people.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/columns.h"
#include "ctl/human.h"
#include "ctl/operations.h"

/* A list's items, "a, b". To be freed. */
static char *join(const json_t *list)
{
	char *text = NULL, buf[HUMAN_TEXT];
	size_t len, n = json_array_size(list);
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; f && i < n; i++) {
		json_t *item = json_array_get(list, i);
		const char *word = json_string_value(item);

		if (!word) {
			snprintf(buf, sizeof(buf), "%" JSON_INTEGER_FORMAT,
				 json_integer_value(item));
			word = buf;
		}
		fprintf(f, "%s%s", i ? ", " : "", word);
	}
	if (f)
		fclose(f);
	return text;
}

/* Milliseconds since 1970 as RFC 3339. */
static void add_time(struct columns *c, const json_t *value)
{
	time_t t = (time_t)(json_integer_value(value) / 1000);
	char text[40] = "-";
	struct tm tm;

	if (t > 0 && gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	columns_add(c, "%s", text);
}

/* A field, and how it is shown: see struct listing. */
static void add_field(struct columns *c, json_t *row, const char *field, size_t len)
{
	char name[32], buf[HUMAN_TEXT], *list;
	char form = field[len - 1];
	bool formed = strchr("@/~%", form) != NULL;
	json_t *value;

	snprintf(name, sizeof(name), "%.*s", (int)(len - formed), field);
	value = json_object_get(row, name);
	if (formed && form == '@') {
		add_time(c, value);
	} else if (formed) {
		columns_add(c, "%s",
			    form == '/'	  ? human_rate(row, name, buf)
			    : form == '~' ? human_rtt(row, name, buf)
					  : human_percent(row, name, buf));
	} else if (json_is_array(value)) {
		list = join(value);
		columns_add(c, "%s", list && *list ? list : "-");
		free(list);
	} else {
		columns_add(c, "%s", human_text(row, name, buf));
	}
}

static void show_rows(const struct listing *l, const json_t *rows)
{
	struct columns *c = columns_new(l->titles);
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		for (const char *f = l->fields; *f; f += strcspn(f, " "), f += *f == ' ')
			add_field(c, row, f, strcspn(f, " "));
	}
	columns_print(c, 0, "none", stdout);
}

void show_list(const struct listing *lists, json_t *result)
{
	const json_t *rows = lists[1].key ? json_object_get(result, lists[1].key) : NULL;

	show_rows(&lists[0], json_object_get(result, lists[0].key));
	if (json_array_size(rows)) {
		putchar('\n');
		show_rows(&lists[1], rows);
	}
}

/* "gain": pairs of groups of hosts that reach each other from now on, or no longer. */
static void show_reach(json_t *reach, const char *key, const char *words, const char *among)
{
	json_t *groups = json_object_get(reach, "groups"), *pair;
	size_t n;

	json_array_foreach(json_object_get(reach, key), n, pair)
	{
		size_t a = (size_t)json_integer_value(json_array_get(pair, 0));
		size_t b = (size_t)json_integer_value(json_array_get(pair, 1));
		char *first = join(json_array_get(groups, a));
		char *second = join(json_array_get(groups, b));

		if (a == b)
			printf("  %s: %s\n", among, first ? first : "");
		else
			printf("  %s %s %s\n", first ? first : "", words, second ? second : "");
		free(first);
		free(second);
	}
}

void show_outcome(json_t *result, bool dry_run)
{
	json_t *vns = json_object_get(result, "vns"), *vn, *record, *reach;
	char a[HUMAN_TEXT], b[HUMAN_TEXT], *list;
	size_t i;

	json_array_foreach(vns, i, vn)
	{
		printf("VN %s, network ID %s\n", human_text(vn, "name", a),
		       human_text(vn, "id", b));
	}
	reach = json_object_get(result, "reach");
	show_reach(reach, "gain", dry_run ? "would reach" : "reach",
		   dry_run ? "would reach each other" : "reach each other");
	show_reach(reach, "lose", dry_run ? "would no longer reach" : "no longer reach",
		   dry_run ? "would no longer reach each other" : "no longer reach each other");
	record = json_object_get(result, "record");
	if (record) {
		list = join(json_object_get(record, "addresses"));
		printf("%s%s%s\n", human_text(result, "name", a), list && *list ? ": " : "",
		       list ? list : "");
		free(list);
	}
	if (dry_run)
		puts("nothing was changed");
	else if (!vns && !record)
		puts("done");
}
