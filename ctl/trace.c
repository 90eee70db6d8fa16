/*
 * vinectl trace: the way to a peer, hop by hop, tried with a frame of the largest
 * size that its path is believed to carry. Exit code 0 if the peer answered.
 */
#include <stdio.h>

#include "ctl/client.h"
#include "ctl/columns.h"
#include "ctl/human.h"

static void print_hops(json_t *t)
{
	struct columns *c = columns_new(">HOP|ROUTER|BY|REMOTE|>RTT|>FRAME|>PATH MTU|>MTU");
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	json_t *hop;
	size_t i;

	json_array_foreach(json_object_get(t, "hops"), i, hop)
	{
		columns_add(c, "%s", human_text(hop, "hop", a));
		columns_add(c, "%s (%s)", human_text(hop, "router.name", a),
			    human_text(hop, "router.id", b));
		columns_add(c, "%s", human_text(hop, "path.transport", a));
		columns_add(c, "%s",
			    human_text(hop,
				       json_is_string(human_get(hop, "path.via")) ? "path.via"
										  : "path.remote",
				       a));
		columns_add(c, "%s",
			    human_true(hop, "answered") ? human_rtt(hop, "rtt_seconds", a)
							: "no answer");
		columns_add(c, "%s", human_text(hop, "path.frame_bytes", a));
		columns_add(c, "%s", human_text(hop, "path.path_mtu", a));
		columns_add(c, "%s", human_text(hop, "path.inner_mtu", a));
	}
	columns_print(c, 0, NULL, stdout);
}

/* Whether the last hop, the peer itself, answered. */
static bool arrived(json_t *t)
{
	json_t *hops = json_object_get(t, "hops");

	return json_array_size(hops) > 0 &&
	       human_true(json_array_get(hops, json_array_size(hops) - 1), "answered");
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT], d[HUMAN_TEXT];
	json_t *result;
	int code;

	if (argc != 2)
		return ctl_usage(&trace_command, "expected one peer");
	result = client_ask(ctl, json_pack("{s:s, s:s}", "verb", "trace", "peer", argv[1]));
	if (!result)
		return EXIT_FAILED;
	code = arrived(result) ? EXIT_DONE : EXIT_FAILED;
	if (ctl->json) {
		int r = client_print_json(result);

		return r ? r : code;
	}
	printf("from %s (%s) to %s (%s)\n", human_text(result, "from.name", a),
	       human_text(result, "from.id", b), human_text(result, "to.name", c),
	       human_text(result, "to.id", d));
	print_hops(result);
	json_decref(result);
	return code;
}

const struct command trace_command = { "trace", "PEER", "The way to a peer, hop by hop", run };
