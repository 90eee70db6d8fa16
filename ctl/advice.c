/*
 * From a netcheck's facts to plain words. One rule after the other, the most important
 * first; each says what is so and what follows from it.
 */
#include <string.h>

#include "ctl/advice.h"
#include "ctl/human.h"

static bool works(json_t *check, const char *way)
{
	return human_true(json_object_get(check, way), "works");
}

static bool is_nat(json_t *check, const char *kind)
{
	char a[HUMAN_TEXT];

	return !strcmp(human_text(check, "nat.kind", a), kind);
}

bool advice_is_well(json_t *check)
{
	return human_true(check, "all_reachable");
}

const char *advice_way(json_t *check, const char *way, char buf[static ADVICE_TEXT])
{
	json_t *w = json_object_get(check, way);
	char a[HUMAN_TEXT];

	if (!human_true(w, "works"))
		snprintf(buf, ADVICE_TEXT, "no: %s", human_text(w, "reason", a));
	else if (json_is_integer(human_get(w, "path_mtu")))
		snprintf(buf, ADVICE_TEXT, "yes, path MTU %s", human_text(w, "path_mtu", a));
	else
		snprintf(buf, ADVICE_TEXT, "yes");
	return buf;
}

const char *advice_nat(json_t *check, char buf[static ADVICE_TEXT])
{
	char a[HUMAN_TEXT];

	if (is_nat(check, "none"))
		strcpy(buf, "none: this router is seen under its own address");
	else if (is_nat(check, "endpoint-independent"))
		strcpy(buf, "endpoint-independent: direct paths to other sites are possible");
	else if (is_nat(check, "address-and-port-dependent"))
		strcpy(buf, "address- and port-dependent: another port for each destination");
	else if (is_nat(check, "blocked"))
		strcpy(buf, "can't be told: UDP does not get out");
	else
		snprintf(buf, ADVICE_TEXT, "not known: %s", human_text(check, "nat.reason", a));
	return buf;
}

/* The port of the first router's UDP. */
static const char *udp_port(json_t *check, char buf[static HUMAN_TEXT])
{
	json_t *ways =
		json_object_get(json_array_get(json_object_get(check, "routers"), 0), "ways");
	const char *remote = json_string_value(json_object_get(json_array_get(ways, 0), "remote"));
	const char *colon = remote ? strrchr(remote, ':') : NULL;

	snprintf(buf, HUMAN_TEXT, "%s", colon ? colon + 1 : "8463");
	return buf;
}

/* Routers of this kind that nothing reaches, as a list in words. */
static unsigned unreachable(json_t *check, bool queue_routers, char *buf, size_t room)
{
	char a[HUMAN_TEXT];
	json_t *router;
	size_t i, len = 0;
	unsigned n = 0;

	*buf = '\0';
	json_array_foreach(json_object_get(check, "routers"), i, router)
	{
		if (human_true(router, "reachable") ||
		    human_true(router, "queue_router") != queue_routers)
			continue;
		if (len < room)
			len += (size_t)snprintf(buf + len, room - len, "%s%s", n ? ", " : "",
						human_text(router, "name", a));
		n++;
	}
	return n;
}

/* A way on which something answers that is not the router. */
static bool is_intercepted(json_t *check, const char *way)
{
	json_t *router, *w;
	size_t i, j;
	bool found = false;

	json_array_foreach(json_object_get(check, "routers"), i, router)
	{
		json_array_foreach(json_object_get(router, "ways"), j, w)
		{
			char a[HUMAN_TEXT], b[HUMAN_TEXT];

			found = found || (!strcmp(human_text(w, "way", a), way) &&
					  !strcmp(human_text(w, "state", b), "connected"));
		}
	}
	return found && !works(check, way);
}

static void on_udp(json_t *check, FILE *out)
{
	const char *by = works(check, "tcp")   ? "TCP"
			 : works(check, "tls") ? "TLS on 443"
					       : "the HTTP proxy";
	char a[HUMAN_TEXT];

	fprintf(out,
		"- UDP is blocked: links run over %s. Ask for UDP to port %s to be let out, with\n"
		"  the answers to it: less latency, and direct paths to other sites.\n",
		by, udp_port(check, a));
}

static void on_nat(json_t *check, FILE *out)
{
	if (is_nat(check, "endpoint-independent"))
		fputs("- Behind this NAT two sites can talk directly, by UDP; nothing to do.\n",
		      out);
	else if (is_nat(check, "address-and-port-dependent"))
		fputs("- With such a NAT (a \"symmetric\" one) what goes to other sites behind NATs\n"
		      "  stays with the queue router. Ask for mappings that don't depend on the\n"
		      "  destination, or for a fixed mapping of this router's UDP port.\n",
		      out);
}

void advice_print(json_t *check, FILE *out)
{
	bool none = !works(check, "udp") && !works(check, "tcp") && !works(check, "tls") &&
		    !works(check, "proxy");
	bool queues = false;
	char text[256], a[HUMAN_TEXT];
	const char *reason;
	json_t *router;
	size_t i;

	json_array_foreach(json_object_get(check, "routers"), i, router) queues =
		queues || human_true(router, "queue_router");
	reason = json_string_value(human_get(check, "proxy.reason"));
	if (none && json_is_string(json_object_get(check, "proxy_server")))
		fprintf(out,
			"- Nothing gets out. The proxy %s says: %s. Look at [proxy] url, user and\n"
			"  password-file, and whether it allows CONNECT to port 443.\n",
			human_text(check, "proxy_server", a), reason ? reason : "-");
	else if (none)
		fputs("- Nothing gets out, or none of these routers runs. If a browser needs a proxy\n"
		      "  here, name it: [proxy] url = http://PROXY:PORT. Else ask for TCP to port 443.\n",
		      out);
	if (!none && unreachable(check, true, text, sizeof(text)))
		fprintf(out,
			"- No way leads to the queue router%s %s although others are reached: does it\n"
			"  run, does it listen, is its key the same at both ends?\n",
			strchr(text, ',') ? "s" : "", text);
	if (!none && unreachable(check, false, text, sizeof(text)))
		fprintf(out,
			"- No way leads to %s: does it run, does it listen there, is its key right?\n",
			text);
	if (is_intercepted(check, "tcp") || is_intercepted(check, "tls") ||
	    is_intercepted(check, "proxy"))
		fputs("- Something answers in a router's place (\"connected, but\"): another service\n"
		      "  at that address, or a firewall that looks into connections. Ask for an\n"
		      "  exception for the routers' addresses.\n",
		      out);
	if (!none && !works(check, "udp"))
		on_udp(check, out);
	else
		on_nat(check, out);
	if (queues && json_is_null(json_object_get(check, "best_queue_router")) && !none)
		fputs("- No link to a queue router is up at this moment: vinectl show links says why.\n",
		      out);
}
