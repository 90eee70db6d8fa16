/*
 * vinectl reload: the router reads its configuration again.
 */
#include <stdio.h>

#include "ctl/client.h"
#include "ctl/human.h"

static int run(const struct ctl *ctl, int argc, char **argv)
{
	const char *messages;
	char a[HUMAN_TEXT];
	json_t *result;

	if (argc > 1)
		return ctl_usage(&reload_command, "%s: too much", argv[1]);
	result = client_ask(ctl, json_pack("{s:s}", "verb", "reload"));
	if (!result)
		return EXIT_FAILED;
	if (ctl->json)
		return client_print_json(result);
	messages = json_string_value(json_object_get(result, "messages"));
	if (messages && *messages)
		printf("%s\n", messages);
	printf("reloaded: table version %s\n", human_text(result, "table_version", a));
	json_decref(result);
	return EXIT_DONE;
}

const struct command reload_command = { "reload", "", "Apply the changed configuration file", run };
