/*
 * vinectl status: one screen about the router and its peers.
 */
#include <stdio.h>

#include "ctl/client.h"
#include "ctl/columns.h"
#include "ctl/human.h"
#include "ctl/peers.h"
#include "ctl/show_authority.h"

/* "a, b, c", or "-". */
static void print_list(json_t *list)
{
	json_t *item;
	size_t i;

	if (json_array_size(list) == 0)
		fputs("-", stdout);
	json_array_foreach(list, i, item) printf("%s%s", i ? ", " : "", json_string_value(item));
}

static void print_listen(json_t *list)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		printf("%s%s %s", i ? ", " : "", human_text(item, "transport", a),
		       human_text(item, "address", b));
	if (json_array_size(list) == 0)
		fputs("nowhere", stdout);
}

static void print_head(json_t *s)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT], c[HUMAN_TEXT], d[HUMAN_TEXT];

	printf("router    %s (ID %s), version %s, up %s\n", human_text(s, "name", a),
	       human_text(s, "id", b), human_text(s, "version", c),
	       human_span(json_number_value(human_get(s, "uptime_seconds")), d));
	printf("config    %s, table version %s\n", human_text(s, "config", a),
	       human_text(s, "table_version", b));
	printf("packets   intercepted by %s", human_text(s, "intercept", a));
	if (json_array_size(human_get(s, "taken_from")) > 0) {
		fputs(" from ", stdout);
		print_list(human_get(s, "taken_from"));
	}
	printf(", injected by %s; %s worker%s; fail %s\n", human_text(s, "inject", b),
	       human_text(s, "workers", c), human_count(s, "workers") == 1 ? "" : "s",
	       human_text(s, "fail", d));
	printf("device    %s, MTU %s, for ", human_text(s, "device", a),
	       human_text(s, "device_mtu", b));
	print_list(human_get(s, "overlay"));
	printf("\nlistens   ");
	print_listen(human_get(s, "listen"));
	putchar('\n');
	authority_print(human_get(s, "authority"));
}

static void print_networks(json_t *networks)
{
	struct columns *c = columns_new(">NETWORK|PROTECTION|>IN|>OUT|>PACKETS IN|>PACKETS OUT");
	char a[HUMAN_TEXT];
	json_t *n;
	size_t i;

	json_array_foreach(networks, i, n)
	{
		columns_add(c, "%s", human_text(n, "id", a));
		columns_add(c, "%s", human_text(n, "protection", a));
		columns_add(c, "%s", human_bytes(n, "traffic.in.bytes", a));
		columns_add(c, "%s", human_bytes(n, "traffic.out.bytes", a));
		columns_add(c, "%s", human_text(n, "traffic.in.packets", a));
		columns_add(c, "%s", human_text(n, "traffic.out.packets", a));
	}
	columns_print(c, 0, "no networks are configured", stdout);
}

static void print_drops(json_t *drops)
{
	struct columns *c = columns_new(">DROPPED|REASON|");
	char a[HUMAN_TEXT];
	json_t *d;
	size_t i;

	json_array_foreach(drops, i, d)
	{
		columns_add(c, "%s", human_text(d, "packets", a));
		columns_add(c, "%s", human_text(d, "reason", a));
		columns_add(c, "%s", human_text(d, "text", a));
	}
	columns_print(c, 0, "nothing was dropped", stdout);
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	json_t *status, *peers;

	if (argc > 1)
		return ctl_usage(&status_command, "%s: too much", argv[1]);
	status = client_ask(ctl, json_pack("{s:s}", "verb", "status"));
	peers = status ? client_list(ctl, "peers", "peers") : NULL;
	if (!peers) {
		json_decref(status);
		return EXIT_FAILED;
	}
	if (ctl->json) {
		json_object_set(status, "peers", json_object_get(peers, "peers"));
		json_decref(peers);
		return client_print_json(status);
	}
	print_head(status);
	putchar('\n');
	print_networks(human_get(status, "networks"));
	putchar('\n');
	peers_print(human_get(peers, "peers"), 0);
	putchar('\n');
	print_drops(human_get(status, "drops"));
	json_decref(status);
	json_decref(peers);
	return EXIT_DONE;
}

const struct command status_command = { "status", "", "The router and its peers on one screen",
					run };
