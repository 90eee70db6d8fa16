/*
 * vinectl check: what is not as it should be, as a plug-in for monitoring says it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/authority.h"
#include "ctl/client.h"

enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

static void print(json_t *answer, int code)
{
	static const char *const words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
	json_t *list = json_object_get(answer, "findings"), *f;
	json_int_t left_out = json_integer_value(json_object_get(answer, "left_out"));
	size_t i;

	printf("%s: %zu alerts\n", words[code], json_array_size(list) + (size_t)left_out);
	json_array_foreach(list, i, f)
	{
		const char *severity = json_string_value(json_object_get(f, "severity"));
		const char *text = json_string_value(json_object_get(f, "text"));

		printf("%s: %s\n", severity ? severity : "?", text ? text : "?");
	}
	if (left_out)
		printf("and %lld more\n", (long long)left_out);
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	struct question q = { .method = "GET", .path = "/v1/check" };
	struct identity id;
	const char *status;
	json_t *answer;
	int code;

	if (argc > 1) {
		ctl_usage(&check_command, "%s: too much", argv[1]);
		return CHECK_UNKNOWN;
	}
	if (!identity_read(ctl, &id))
		return CHECK_UNKNOWN;
	q.credential = getenv("VINE_CREDENTIAL");
	if (!q.credential)
		identity_renew(&id);
	answer = authority_ask(&id, &q);
	if (!answer)
		return CHECK_UNKNOWN;
	status = json_string_value(json_object_get(answer, "status"));
	code = !status			     ? CHECK_UNKNOWN
	       : !strcmp(status, "ok")	     ? CHECK_OK
	       : !strcmp(status, "warning")  ? CHECK_WARNING
	       : !strcmp(status, "critical") ? CHECK_CRITICAL
					     : CHECK_UNKNOWN;
	if (ctl->json)
		client_print_json(answer);
	else {
		print(answer, code);
		json_decref(answer);
	}
	return code;
}

const struct command check_command = { "check", "", "Whether all is well with the authority", run };
