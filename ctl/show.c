/*
 * vinectl show: one of the router's lists.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/columns.h"
#include "ctl/human.h"
#include "ctl/peers.h"
#include "ctl/show_authority.h"

static void print_peers(json_t *result)
{
	peers_print(json_object_get(result, "peers"), 0);
}

static void print_lndt(json_t *result)
{
	struct columns *c = columns_new(">NETWORK|PREFIX|FROM|>LINE");
	char a[HUMAN_TEXT];
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(result, "entries"), i, e)
	{
		columns_add(c, "%s", human_text(e, "network", a));
		columns_add(c, "%s", human_text(e, "prefix", a));
		columns_add(c, "%s", human_text(e, "file", a));
		columns_add(c, "%s", human_text(e, "line", a));
	}
	columns_print(c, 0, "no host of this site is in any network", stdout);
}

/* "chicago (2), purdue (3)" */
static void add_routers(struct columns *c, json_t *routers)
{
	char text[512] = "", a[HUMAN_TEXT], b[HUMAN_TEXT];
	size_t i, len = 0;
	json_t *r;

	json_array_foreach(routers, i, r)
	{
		if (len >= sizeof(text) - 1)
			break;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s (%s)", i ? ", " : "",
					human_text(r, "name", a), human_text(r, "id", b));
	}
	columns_add(c, "%s", text);
}

static void print_gndt(json_t *result)
{
	struct columns *c = columns_new(">NETWORK|PREFIX|ROUTER|FROM|>LINE");
	char a[HUMAN_TEXT];
	json_t *e;
	size_t i;

	json_array_foreach(json_object_get(result, "entries"), i, e)
	{
		columns_add(c, "%s", human_text(e, "network", a));
		columns_add(c, "%s", human_text(e, "prefix", a));
		add_routers(c, json_object_get(e, "routers"));
		columns_add(c, "%s", human_text(e, "file", a));
		columns_add(c, "%s", human_text(e, "line", a));
	}
	columns_print(c, 0, "no other router delivers anything", stdout);
}

/* What each way is good for: where there is a choice, or none that works. */
static void print_ways(json_t *links)
{
	struct columns *c = columns_new("PEER|WAY|STATE|WHY");
	char a[HUMAN_TEXT];
	json_t *link, *way;
	size_t i, k;

	json_array_foreach(links, i, link) json_array_foreach(json_object_get(link, "ways"), k, way)
	{
		const char *why = json_string_value(json_object_get(way, "reason"));

		columns_add(c, "%s", human_text(link, "peer", a));
		columns_add(c, "%s", human_text(way, "way", a));
		columns_add(c, "%s", human_text(way, "state", a));
		columns_add(c, "%s", why ? why : "");
	}
	columns_print(c, 0, NULL, stdout);
}

static void print_links(json_t *result)
{
	struct columns *c = columns_new("PEER|STATE|BY|TO|FROM|>RTT|>FRAME|>PATH MTU|>MTU|"
					"MTU FOUND|>KEEP-ALIVE");
	json_t *links = json_object_get(result, "links"), *link, *path;
	char a[HUMAN_TEXT];
	size_t i, k;

	json_array_foreach(links, i, link)
		json_array_foreach(json_object_get(link, "paths"), k, path)
	{
		bool relay = json_is_string(json_object_get(path, "via"));

		columns_add(c, "%s", human_text(link, "peer", a));
		columns_add(c, "%s", human_text(link, "state", a));
		columns_add(c, "%s", human_text(path, "transport", a));
		columns_add(c, "%s", human_text(path, relay ? "via" : "remote", a));
		columns_add(c, "%s", human_text(path, "local", a));
		columns_add(c, "%s", human_rtt(link, "rtt_seconds", a));
		columns_add(c, "%s", human_text(path, "frame_bytes", a));
		columns_add(c, "%s", human_text(path, "path_mtu", a));
		columns_add(c, "%s", human_text(path, "inner_mtu", a));
		columns_add(c, "%s", human_text(path, "mtu_settled", a));
		columns_add(c, "%s", human_text(link, "keep_alive_seconds", a));
	}
	columns_print(c, 0, "no path to any peer is known yet", stdout);
	putchar('\n');
	print_ways(links);
}

static void print_traffic(json_t *result)
{
	struct columns *c = columns_new("TRAFFIC|>PACKETS IN|>BYTES IN|>PACKETS OUT|>BYTES OUT");
	char a[HUMAN_TEXT];
	json_t *n = result;
	size_t i = 0;

	columns_add(c, "all");
	do {
		columns_add(c, "%s", human_text(n, "traffic.in.packets", a));
		columns_add(c, "%s", human_text(n, "traffic.in.bytes", a));
		columns_add(c, "%s", human_text(n, "traffic.out.packets", a));
		columns_add(c, "%s", human_text(n, "traffic.out.bytes", a));
		n = json_array_get(json_object_get(result, "networks"), i++);
		if (n)
			columns_add(c, "network %s", human_text(n, "id", a));
	} while (n);
	columns_print(c, 0, NULL, stdout);
}

static void print_workers(json_t *list)
{
	static const char *const keys[] = { "intercepted", "received", "made",
					    "sent",	   "injected", "consumed" };
	struct columns *c = columns_new(">WORKER|>INTERCEPTED|>RECEIVED|>MADE|>SENT|>INJECTED|"
					">CONSUMED");
	char a[HUMAN_TEXT];
	json_t *w;
	size_t i;

	json_array_foreach(list, i, w)
	{
		columns_add(c, "%s%s", human_text(w, "worker", a),
			    json_is_false(json_object_get(w, "works")) ? " (no more)" : "");
		for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++)
			columns_add(c, "%s", human_text(w, keys[k], a));
	}
	columns_print(c, 0, NULL, stdout);
}

static void print_counters(json_t *result)
{
	struct columns *drops = columns_new(">DROPPED|REASON|");
	struct columns *events = columns_new(">EVENTS|");
	char a[HUMAN_TEXT];
	const char *name;
	json_t *d;
	size_t i;

	print_traffic(result);
	putchar('\n');
	print_workers(json_object_get(result, "workers"));
	putchar('\n');
	json_object_foreach(json_object_get(result, "events"), name, d)
	{
		columns_add(events, "%s", json_string_value(d));
		columns_add(events, "%s", name);
	}
	columns_print(events, 0, NULL, stdout);
	putchar('\n');
	json_array_foreach(json_object_get(result, "drops"), i, d)
	{
		columns_add(drops, "%s", human_text(d, "packets", a));
		columns_add(drops, "%s", human_text(d, "reason", a));
		columns_add(drops, "%s", human_text(d, "text", a));
	}
	columns_print(drops, 0, NULL, stdout);
}

/* What has been found out, as comments of the file. */
static void print_found(json_t *result)
{
	const char *name;
	json_t *v;

	json_object_foreach(json_object_get(result, "offloads"), name, v)
		printf("; offload %s: %s\n", name, json_is_true(v) ? "on" : "off");
	json_object_foreach(json_object_get(result, "crypto"), name, v)
		printf("; %s by %s\n", name, json_string_value(v));
}

/* As a file would have it. */
static void print_config(json_t *result)
{
	const char *last = NULL, *section, *key, *value;
	char a[HUMAN_TEXT];
	json_t *s;
	size_t i;

	printf("; %s, with every default filled in\n", human_text(result, "file", a));
	printf("; in force: packets are intercepted by %s\n", human_text(result, "intercept", a));
	print_found(result);
	json_array_foreach(json_object_get(result, "settings"), i, s)
	{
		if (json_unpack(s, "{s:s, s:s, s:s}", "section", &section, "key", &key, "value",
				&value))
			continue;
		if (!last || strcmp(last, section) != 0)
			printf("\n[%s]\n", section);
		printf("%s = %s\n", key, value);
		last = section;
	}
}

static const struct list {
	const char *name, *entries; /* NULL: it does not come in pages */
	void (*print)(json_t *result);
} lists[] = {
	{ "peers", "peers", print_peers },	{ "lndt", "entries", print_lndt },
	{ "gndt", "entries", print_gndt },	{ "links", "links", print_links },
	{ "counters", NULL, print_counters },	{ "config", NULL, print_config },
	{ "authority", NULL, authority_print },
};

static const struct list *list_lookup(const char *name)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		if (!strcmp(lists[i].name, name))
			return &lists[i];
	return NULL;
}

static int run(const struct ctl *ctl, int argc, char **argv)
{
	const struct list *list;
	json_t *result;

	if (argc != 2)
		return ctl_usage(&show_command, "show one of the lists");
	list = list_lookup(argv[1]);
	if (!list)
		return ctl_usage(&show_command, "there is no list \"%s\"", argv[1]);
	result = list->entries ? client_list(ctl, list->name, list->entries)
			       : client_ask(ctl, json_pack("{s:s, s:s}", "verb", "show", "what",
							   list->name));
	if (!result)
		return EXIT_FAILED;
	if (ctl->json)
		return client_print_json(result);
	list->print(result);
	json_decref(result);
	return EXIT_DONE;
}

const struct command show_command = { "show", "peers|lndt|gndt|links|counters|config|authority",
				      "One of the router's lists", run };
