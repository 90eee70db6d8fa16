/*
 * vinectl set: changes what may be changed while the router runs. Nothing is
 * written to the configuration.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/human.h"

static void print_workers(json_t *result)
{
	long long n = json_integer_value(json_object_get(result, "workers"));
	long long before = json_integer_value(json_object_get(result, "before"));

	if (n == before)
		printf("workers: %lld, as before\n", n);
	else
		printf("workers: %lld instead of %lld; packets waited %.2f ms for the change\n", n,
		       before, json_real_value(json_object_get(result, "pause_ms")));
}

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
	if (!strcmp(argv[1], "workers"))
		print_workers(result);
	else
		printf("packets are intercepted by %s\n", human_text(result, "intercept", a));
	json_decref(result);
	return EXIT_DONE;
}

const struct command set_command = { "set", "intercept METHOD | workers N",
				     "Change the method of interception, or how many workers "
				     "carry packets",
				     run };
