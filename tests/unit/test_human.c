/* links: ctl/human ctl/columns */
/*
 * What vinectl makes of JSON for people: sizes, times, aligned tables.
 */
#include "ctl/human.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ctl/columns.h"

static void bytes(void **state)
{
	static const struct {
		const char *n, *text;
	} cases[] = {
		{ "0", "0 B" },
		{ "1023", "1023 B" },
		{ "1024", "1.0 KiB" },
		{ "1536", "1.5 KiB" },
		{ "1048575", "1.0 MiB" },
		{ "5368709120", "5.0 GiB" },
		{ "18446744073709551615", "16.0 EiB" },
	};
	char buf[HUMAN_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *o = json_pack("{s:{s:s}}", "a", "b", cases[i].n);

		assert_string_equal(human_bytes(o, "a.b", buf), cases[i].text);
		json_decref(o);
	}
}

static void numbers(void **state)
{
	json_t *o = json_pack("{s:f, s:f, s:n, s:i, s:b, s:s}", "small", 0.000412, "large", 0.2345,
			      "none", "id", 7, "yes", 1, "count", "18446744073709551615");
	char buf[HUMAN_TEXT];

	(void)state;
	assert_string_equal(human_rate(o, "id", buf), "7 B/s");
	assert_string_equal(human_rate(o, "none", buf), "-");
	assert_string_equal(human_percent(o, "large", buf), "23 %");
	assert_string_equal(human_percent(o, "none", buf), "-");
	assert_string_equal(human_rtt(o, "small", buf), "0.41 ms");
	assert_string_equal(human_rtt(o, "large", buf), "234 ms");
	assert_string_equal(human_rtt(o, "none", buf), "-");
	assert_string_equal(human_rtt(o, "missing.too", buf), "-");
	assert_string_equal(human_text(o, "id", buf), "7");
	assert_string_equal(human_text(o, "yes", buf), "yes");
	assert_string_equal(human_text(o, "none", buf), "-");
	assert_string_equal(human_text(o, "count", buf), "18446744073709551615");
	assert_true(human_count(o, "count") == UINT64_MAX);
	assert_int_equal(human_count(o, "none"), 0);
	json_decref(o);
}

static void times(void **state)
{
	char buf[HUMAN_TEXT], stamp[HUMAN_TEXT];
	time_t then = time(NULL) - 3700;
	json_t *o;

	(void)state;
	assert_string_equal(human_span(59.9, buf), "59s");
	assert_string_equal(human_span(61, buf), "1m 1s");
	assert_string_equal(human_span(7260, buf), "2h 1m");
	assert_string_equal(human_span(90000, buf), "1d 1h");
	assert_string_equal(human_span(-5, buf), "0s");
	assert_true(human_time("1970-01-02T00:00:01.500Z") == 86401.5);
	assert_true(human_time("2026-11-21T02:22:00Z") == 1795227720.0);
	assert_true(human_time("2026-11-21T02:22:00+01:00") < 0);
	assert_true(human_time("yesterday") < 0);

	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime(&then));
	o = json_pack("{s:s, s:n}", "then", stamp, "never");
	assert_string_equal(human_ago(o, "then", buf), "1h 1m ago");
	assert_string_equal(human_ago(o, "never", buf), "-");
	json_decref(o);
}

static char *printed(struct columns *c, const char *none)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	columns_print(c, 2, none, f);
	fclose(f);
	return text;
}

static void table(void **state)
{
	struct columns *c = columns_new("NAME|>COUNT|");
	char *text;

	(void)state;
	columns_add(c, "florida");
	columns_add(c, "%d", 7);
	columns_add(c, "good");
	columns_add(c, "x\x1b[31m");
	columns_add(c, "%d", 1234567);
	columns_add(c, "%s", "");
	text = printed(c, "nothing");
	assert_string_equal(text, "  NAME       COUNT\n"
				  "  florida        7  good\n"
				  "  x?[31m   1234567\n");
	free(text);

	text = printed(columns_new("A|B"), "nothing");
	assert_string_equal(text, "  nothing\n");
	free(text);
	text = printed(columns_new("A|B"), NULL);
	assert_string_equal(text, "");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(times),
		cmocka_unit_test(table),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
