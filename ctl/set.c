/*
 * vinectl set: changes what may be changed while the router runs. Nothing is
 * written to the configuration.
 */
#include <stdio.h>

#include "ctl/client.h"
#include "ctl/human.h"

static int run(const struct ctl *ctl, int argc, char **argv)
{
	char a[HUMAN_TEXT];
	json_t *result;

	if (argc != 3)
		return ctl_usage(&set_command, "expected what to set, and the value");
	result = client_ask(ctl, json_pack("{s:s, s:s, s:s}", "verb", "set", "what", argv[1],
					   "value", argv[2]));
	if (!result)
		return EXIT_FAILED;
	if (ctl->json)
		return client_print_json(result);
	printf("packets are intercepted by %s\n", human_text(result, "intercept", a));
	json_decref(result);
	return EXIT_DONE;
}

const struct command set_command = { "set", "intercept METHOD", "Change the method of interception",
				     run };
