/*
 * vinectl top: what the authority knows of its routers and their links, again and again.
 */
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "ctl/authority.h"
#include "ctl/client.h"
#include "ctl/operations.h"

static const double interval_min = 0.5, interval_max = 3600;

/* The cursor to the corner, and nothing below. */
static const char clear[] = "\033[H\033[2J";

static void print(const struct identity *id, json_t *result, bool live)
{
	time_t t = (time_t)(json_integer_value(json_object_get(result, "time")) / 1000);
	json_t *routers = json_object_get(result, "routers"), *r;
	size_t heard = 0, i;
	struct tm tm;
	char text[16];

	json_array_foreach(routers, i, r)
	{
		const char *state = json_string_value(json_object_get(r, "state"));

		heard += state && !strcmp(state, "ok");
	}
	if (live)
		fputs(clear, stdout);
	if (localtime_r(&t, &tm) && strftime(text, sizeof(text), "%H:%M:%S", &tm))
		printf("%s  %s  %zu routers, %zu heard\n\n", id->url, text,
		       json_array_size(routers), heard);
	show_list(figures, result);
	fflush(stdout);
}

static json_t *ask(const struct identity *id, const char *router)
{
	char path[256];
	char *text = router ? curl_easy_escape(NULL, router, 0) : NULL;
	struct question q = { .method = "GET", .path = path };

	snprintf(path, sizeof(path), "/v1/metrics?%s%.200s", text ? "router=" : "links=true",
		 text ? text : "");
	curl_free(text);
	q.credential = getenv("VINE_CREDENTIAL");
	return authority_ask(id, &q);
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "once", no_argument, NULL, 'o' },
		{ "interval", required_argument, NULL, 'i' },
		{ 0 },
	};
	bool once = ctl->json || !isatty(STDOUT_FILENO);
	double interval = 5;
	struct identity id;
	json_t *result;
	char *end;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'o') {
			once = true;
		} else if (o == 'i') {
			interval = strtod(optarg, &end);
			if (*end || !(interval >= interval_min && interval <= interval_max))
				return ctl_usage(&top_command, "--interval %s: expected %g to %g",
						 optarg, interval_min, interval_max);
		} else {
			return EXIT_USAGE;
		}
	}
	if (argc - optind > 1)
		return ctl_usage(&top_command, "%s: too much", argv[optind + 1]);
	if (!identity_read(ctl, &id))
		return EXIT_FAILED;
	if (!getenv("VINE_CREDENTIAL"))
		identity_renew(&id);
	do {
		result = ask(&id, optind < argc ? argv[optind] : NULL);
		if (!result)
			return EXIT_FAILED;
		if (ctl->json)
			return client_print_json(result);
		print(&id, result, !once);
		json_decref(result);
		if (!once)
			poll(NULL, 0, (int)(interval * 1000));
	} while (!once && !ferror(stdout));
	return EXIT_DONE;
}

const struct command top_command = { "top", "[--once] [--interval SECONDS] [ROUTER]",
				     "The authority's routers and their links, live", run };
