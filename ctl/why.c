/*
 * vinectl why: what would happen to a packet from here to there, and why, in
 * sentences. Exit code 0 whether it would go or be dropped: the question was
 * answered.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/human.h"

static void print_source(json_t *w)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	json_t *networks = json_object_get(w, "networks"), *n;
	size_t i;

	if (json_array_size(networks) == 0) {
		printf("source       %s is in no network of this site's LNDT\n",
		       human_text(w, "source", a));
		return;
	}
	printf("source       %s is in network", human_text(w, "source", a));
	json_array_foreach(networks, i, n) printf("%s %" JSON_INTEGER_FORMAT,
						  i				  ? ","
						  : json_array_size(networks) > 1 ? "s"
										  : "",
						  json_integer_value(n));
	printf(", by %s in the LNDT\n", human_text(w, "source_prefix", b));
}

static void print_destination(json_t *w)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT], d[HUMAN_TEXT];
	const char *reason = json_string_value(json_object_get(w, "reason"));

	if (json_is_string(human_get(w, "prefix"))) {
		printf("destination  %s is in %s, the longest prefix for it",
		       human_text(w, "destination", a), human_text(w, "prefix", b));
		printf(": network %s (%s)\n", human_text(w, "network", c),
		       human_text(w, "protection", d));
		printf("router       %s (ID %s) delivers that prefix\n",
		       human_text(w, "router.name", a), human_text(w, "router.id", b));
	} else if (reason && !strcmp(reason, "ambiguous")) {
		printf("destination  %s has routes of equal length in two of these networks\n",
		       human_text(w, "destination", a));
	} else if (json_array_size(json_object_get(w, "networks"))) {
		printf("destination  %s is in no GNDT of these networks\n",
		       human_text(w, "destination", a));
	}
}

static void print_way(json_t *w)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT], d[HUMAN_TEXT];

	if (!json_is_object(human_get(w, "peer")))
		return;
	printf("peer         %s is %s", human_text(w, "peer.name", a),
	       human_text(w, "peer.state", b));
	if (json_is_number(human_get(w, "peer.rtt_seconds")))
		printf(", %s away", human_rtt(w, "peer.rtt_seconds", c));
	printf(human_true(w, "peer.keys_ready") ? ", and frame keys are there\n"
						: ", and there are no frame keys yet\n");
	if (!json_is_object(human_get(w, "peer.path"))) {
		printf("way          none is known\n");
		return;
	}
	if (json_is_string(human_get(w, "peer.path.via")))
		printf("way          by queue router %s", human_text(w, "peer.path.via", a));
	else
		printf("way          direct, by %s to %s", human_text(w, "peer.path.transport", a),
		       human_text(w, "peer.path.remote", b));
	if (json_is_string(human_get(w, "peer.path.local")))
		printf(" from %s", human_text(w, "peer.path.local", c));
	printf(": the only path\n");
	printf("size         packets of up to %s bytes", human_text(w, "peer.path.inner_mtu", c));
	if (json_is_number(human_get(w, "peer.path.path_mtu")))
		printf(" (path MTU %s%s)", human_text(w, "peer.path.path_mtu", d),
		       human_true(w, "peer.path.mtu_settled") ? "" : ", still being probed");
	putchar('\n');
}

static void print_verdict(json_t *w)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	const char *reason = json_string_value(json_object_get(w, "reason"));

	if (human_true(w, "goes")) {
		printf("=> it goes to %s\n", human_text(w, "router.name", a));
		return;
	}
	printf("=> it is dropped as %s: %s\n", human_text(w, "reason", a),
	       human_text(w, "text", b));
	if (reason && (!strcmp(reason, "no-key") || !strcmp(reason, "no-way")))
		printf("   (after it has waited: a packet asks for keys, and goes if they come "
		       "in time)\n");
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	json_t *result;

	if (argc != 3)
		return ctl_usage(&why_command, "expected two addresses");
	result = client_ask(ctl, json_pack("{s:s, s:s, s:s}", "verb", "why", "source", argv[1],
					   "destination", argv[2]));
	if (!result)
		return EXIT_FAILED;
	if (ctl->json)
		return client_print_json(result);
	print_source(result);
	print_destination(result);
	print_way(result);
	print_verdict(result);
	json_decref(result);
	return EXIT_DONE;
}

const struct command why_command = { "why", "SOURCE DESTINATION",
				     "What a packet would meet, and why", run };
