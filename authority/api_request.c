/*
 * A body that is no JSON becomes arguments that are no object, so that it is the operation
 * that refuses it, and the audit log has it. What the path names goes over what the body
 * says.
 */
#include "authority/api_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "authority/memory.h"

void api_set_text(json_t *arguments, const char *name, const char *value)
{
	json_t *text = json_string(value);

	json_object_set_new(arguments, name, text ? text : json_null());
}

/* A VN is named by its name, or by its ID: a number. */
static void set_segment(json_t *arguments, const char *name, const char *value)
{
	if (!strcmp(name, "vn") && *value && strspn(value, "0123456789") == strlen(value) &&
	    strlen(value) < 12)
		json_object_set_new(arguments, name, mem_json(json_integer(atoll(value))));
	else
		api_set_text(arguments, name, value);
}

/* Whether a path is of that pattern. The values of its braces go into arguments, if it has
 * any: without them only the form is compared. */
static bool match(const char *pattern, const char *path, json_t *arguments)
{
	while (*pattern && *path) {
		size_t n = strcspn(path, "/");

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		if (!n)
			return false;
		if (arguments) {
			char name[32], *text = strndup(path, n), *value;
			size_t len = strcspn(pattern, "}") - 1;

			snprintf(name, sizeof(name), "%.*s", (int)len, pattern + 1);
			value = text ? evhttp_uridecode(text, 0, NULL) : NULL;
			if (!value)
				abort();
			set_segment(arguments, name, value);
			free(value);
			free(text);
		}
		pattern += strcspn(pattern, "}") + 1;
		path += n;
	}
	return !*pattern && !*path;
}

const struct route *api_route(const char *method, const char *path, bool *ret_path)
{
	*ret_path = false;
	for (const struct route *r = api_routes; r->path; r++) {
		if (!match(r->path, path, NULL))
			continue;
		if (!strcmp(r->method, method))
			return r;
		*ret_path = true;
	}
	return NULL;
}

json_t *api_arguments(const struct route *route, const char *path, const char *body, size_t len)
{
	json_t *arguments =
		len ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : json_object();

	if (!arguments)
		arguments = mem_json(json_string("no JSON"));
	if (json_is_object(arguments))
		match(route->path, path, arguments);
	return arguments;
}

bool api_dry_run(const char *query)
{
	return query && (!strcmp(query, "dry_run") || !strcmp(query, "dry_run=true"));
}
