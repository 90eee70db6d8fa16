/*
 * vinectl netcheck: what this site's firewall lets out, on one screen. Exit code 0 if
 * every queue router can be reached in some way.
 */
#include <stdio.h>

#include "ctl/advice.h"
#include "ctl/client.h"
#include "ctl/columns.h"
#include "ctl/human.h"

static void print_whole(json_t *check)
{
	static const struct {
		const char *name, *text;
	} ways[] = { { "udp", "UDP" },
		     { "tcp", "TCP" },
		     { "tls", "TLS (443)" },
		     { "proxy", "HTTP proxy" } };
	char text[ADVICE_TEXT];

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		printf("  %-12s%s\n", ways[i].text, advice_way(check, ways[i].name, text));
	printf("  %-12s%s\n", "NAT", advice_nat(check, text));
}

static const char *cell(json_t *way, char buf[static HUMAN_TEXT])
{
	char state[HUMAN_TEXT];

	if (human_true(way, "works"))
		return human_rtt(way, "rtt_seconds", buf);
	snprintf(buf, HUMAN_TEXT, "%s", human_text(way, "state", state));
	return buf;
}

static void print_routers(json_t *check)
{
	struct columns *c = columns_new("ROUTER|>UDP|>TCP|>TLS|>PROXY|IN USE|>RTT|QUEUE ROUTER");
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	json_t *router;
	size_t i;

	json_array_foreach(json_object_get(check, "routers"), i, router)
	{
		json_t *ways = json_object_get(router, "ways");
		bool best = json_equal(json_object_get(router, "name"),
				       json_object_get(check, "best_queue_router"));

		columns_add(c, "%s", human_text(router, "name", a));
		for (size_t j = 0; j < 4; j++)
			columns_add(c, "%s", cell(json_array_get(ways, j), b));
		columns_add(c, "%s", human_text(router, "transport", a));
		columns_add(c, "%s", human_rtt(router, "rtt_seconds", b));
		columns_add(c, "%s",
			    best				 ? "the best now"
			    : human_true(router, "queue_router") ? "yes"
								 : "");
	}
	columns_print(c, 2, NULL, stdout);
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	json_t *result;
	int code;

	(void)argv;
	if (argc != 1)
		return ctl_usage(&netcheck_command, "expected no arguments");
	result = client_ask(ctl, json_pack("{s:s}", "verb", "netcheck"));
	if (!result)
		return EXIT_FAILED;
	code = advice_is_well(result) ? EXIT_DONE : EXIT_FAILED;
	if (ctl->json) {
		int r = client_print_json(result);

		return r ? r : code;
	}
	printf("What gets out from here, and is answered (%s s):\n\n",
	       human_text(result, "seconds", a));
	print_whole(result);
	putchar('\n');
	print_routers(result);
	if (human_count(result, "not_checked"))
		printf("  and %s more, which were not asked\n",
		       human_text(result, "not_checked", b));
	putchar('\n');
	advice_print(result, stdout);
	json_decref(result);
	return code;
}

const struct command netcheck_command = { "netcheck", "", "What this site's firewall lets out",
					  run };
