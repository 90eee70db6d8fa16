/*
 * JSON to text for people: sizes in powers of 1024 with their IEC names, times by
 * how long ago they were, at most two units of each.
 */
#include "ctl/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *human_get(json_t *json, const char *path)
{
	char key[HUMAN_TEXT];

	while (json && *path) {
		size_t len = strcspn(path, ".");

		if (len >= sizeof(key))
			return NULL;
		memcpy(key, path, len);
		key[len] = '\0';
		json = json_object_get(json, key);
		path += len + (path[len] == '.');
	}
	return json;
}

const char *human_text(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	json_t *value = human_get(json, path);

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value))
		snprintf(buf, HUMAN_TEXT, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(buf, HUMAN_TEXT, "%g", json_real_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, HUMAN_TEXT, "%s", json_is_true(value) ? "yes" : "no");
	else
		strcpy(buf, "-");
	return buf;
}

uint64_t human_count(json_t *json, const char *path)
{
	json_t *value = human_get(json, path);

	if (json_is_string(value))
		return strtoull(json_string_value(value), NULL, 10);
	return json_is_integer(value) && json_integer_value(value) > 0
		       ? (uint64_t)json_integer_value(value)
		       : 0;
}

bool human_true(json_t *json, const char *path)
{
	return json_is_true(human_get(json, path));
}

static const char *size_text(double bytes, const char *suffix, char buf[static HUMAN_TEXT])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double x = bytes / 1024;
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(buf, HUMAN_TEXT, "%.0f B%s", bytes, suffix);
		return buf;
	}
	for (; x >= 1023.95 && unit < 5; unit++)
		x /= 1024;
	snprintf(buf, HUMAN_TEXT, "%.1f %s%s", x, units[unit], suffix);
	return buf;
}

const char *human_bytes(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	return size_text((double)human_count(json, path), "", buf);
}

const char *human_rate(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	json_t *value = human_get(json, path);

	return json_is_number(value) ? size_text(json_number_value(value), "/s", buf)
				     : strcpy(buf, "-");
}

const char *human_percent(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	json_t *value = human_get(json, path);

	if (!json_is_number(value))
		return strcpy(buf, "-");
	snprintf(buf, HUMAN_TEXT, "%.2g %%", json_number_value(value) * 100);
	return buf;
}

const char *human_rtt(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	json_t *value = human_get(json, path);
	double ms = json_number_value(value) * 1000;

	if (!json_is_number(value))
		return strcpy(buf, "-");
	snprintf(buf, HUMAN_TEXT, ms < 10 ? "%.2f ms" : ms < 100 ? "%.1f ms" : "%.0f ms", ms);
	return buf;
}

const char *human_span(double seconds, char buf[static HUMAN_TEXT])
{
	uint64_t s = seconds > 0 && seconds < 1e15 ? (uint64_t)seconds : 0;

	if (s < 60)
		snprintf(buf, HUMAN_TEXT, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(buf, HUMAN_TEXT, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, HUMAN_TEXT, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, HUMAN_TEXT, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

double human_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0;
	char *end;

	if (!rest)
		return -1;
	end = (char *)rest;
	if (*rest == '.')
		fraction = strtod(rest, &end);
	if (strcmp(end, "Z") != 0)
		return -1;
	return (double)timegm(&tm) + fraction;
}

const char *human_ago(json_t *json, const char *path, char buf[static HUMAN_TEXT])
{
	const char *text = json_string_value(human_get(json, path));
	double then = text ? human_time(text) : -1;
	struct timespec now;
	char span[HUMAN_TEXT];

	if (then < 0)
		return strcpy(buf, "-");
	clock_gettime(CLOCK_REALTIME, &now);
	human_span((double)now.tv_sec + (double)now.tv_nsec / 1e9 - then, span);
	snprintf(buf, HUMAN_TEXT, "%.40s ago", span);
	return buf;
}
