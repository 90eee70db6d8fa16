/*
 * One line for each peer: who, how it is, where, how far, how large, how much.
 * Below the table, a line for each peer that has something wrong with it.
 */
#include "ctl/peers.h"

#include <stdio.h>
#include <string.h>

#include "ctl/columns.h"
#include "ctl/human.h"

static void row(struct columns *c, json_t *peer)
{
	char a[HUMAN_TEXT], b[HUMAN_TEXT];
	const char *where = human_text(peer, "path.remote", a);

	if (!strcmp(where, "-"))
		where = human_text(peer, "endpoint", a);
	columns_add(c, "%s", human_text(peer, "name", b));
	columns_add(c, "%s", human_text(peer, "id", b));
	columns_add(c, "%s", human_text(peer, "state", b));
	columns_add(c, "%s", where);
	columns_add(c, "%s", human_rtt(peer, "rtt_seconds", b));
	columns_add(c, "%s", human_text(peer, "path.inner_mtu", b));
	columns_add(c, "%s", human_ago(peer, "last_heard", b));
	columns_add(c, "%s", human_bytes(peer, "traffic.in.bytes", b));
	columns_add(c, "%s", human_bytes(peer, "traffic.out.bytes", b));
}

static void trouble(json_t *peer, unsigned indent)
{
	const char *name = json_string_value(json_object_get(peer, "name"));
	const char *error = json_string_value(human_get(peer, "keys.error"));
	const char *resolve = json_string_value(human_get(peer, "resolve_error"));
	json_t *stopped = json_object_get(peer, "stopped_networks"), *network;
	size_t i;

	if (error && !human_true(peer, "up"))
		printf("%*s%s: last handshake: %s\n", (int)indent, "", name, error);
	if (resolve)
		printf("%*s%s: its endpoint's name: %s\n", (int)indent, "", name, resolve);
	json_array_foreach(stopped, i, network)
		printf("%*s%s: network %" JSON_INTEGER_FORMAT
		       " is stopped: the two routers protect it differently\n",
		       (int)indent, "", name, json_integer_value(network));
}

void peers_print(json_t *peers, unsigned indent)
{
	struct columns *c = columns_new("PEER|>ID|STATE|ENDPOINT|>RTT|>MTU|>HEARD|>IN|>OUT");
	json_t *peer;
	size_t i;

	json_array_foreach(peers, i, peer) row(c, peer);
	columns_print(c, indent, "no peers are configured", stdout);
	json_array_foreach(peers, i, peer) trouble(peer, indent);
}
