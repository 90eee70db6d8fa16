/*
 * See heartbeat.h. Numbers are JSON's: counters of 64 bits lose their last digits past 2^53,
 * which figures may.
 */
#include "router/heartbeat.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "router/router.h"
#include "router/tinies.h"

static json_t *both(uint64_t in, uint64_t out)
{
	return json_pack("{s:I, s:I}", "in", (json_int_t)in, "out", (json_int_t)out);
}

static void add_traffic(json_t *body, const struct router *r)
{
	uint64_t in, out, bytes_in, bytes_out, drops = 0;

	router_traffic(r, IN, &in, &bytes_in);
	router_traffic(r, OUT, &out, &bytes_out);
	for (enum drop d = 0; d < DROPS; d++)
		drops += router_drops(r, d);
	json_object_set_new(body, "packets", both(in, out));
	json_object_set_new(body, "bytes", both(bytes_in, bytes_out));
	json_object_set_new(body, "drops", json_integer((json_int_t)drops));
}

static void add_machine(json_t *body)
{
	FILE *f = fopen("/proc/self/statm", "re");
	struct sysinfo info;
	long pages;

	if (sysinfo(&info) == 0)
		json_object_set_new(body, "load",
				    json_real((double)info.loads[0] / (1 << SI_LOAD_SHIFT)));
	if (f && fscanf(f, "%*s %ld", &pages) == 1)
		json_object_set_new(body, "rss", json_integer(pages * sysconf(_SC_PAGESIZE)));
	if (f)
		fclose(f);
}

static const char *way_of(const struct contact *c)
{
	const struct path *p = c->peer->path;

	return p ? ways_transport(c, &p->way) : NULL;
}

static json_t *peer_of(const struct router *r, const struct contact *c)
{
	uint64_t packets, rx, tx;
	json_t *o;

	peer_traffic(r, c->peer, IN, &packets, &rx);
	peer_traffic(r, c->peer, OUT, &packets, &tx);
	o = json_pack("{s:I, s:b, s:I, s:I, s:s*}", "id", (json_int_t)c->peer->id, "up", c->up,
		      "tx_bytes", (json_int_t)tx, "rx_bytes", (json_int_t)rx, "way", way_of(c));
	if (c->up && c->rtt)
		json_object_set_new(o, "rtt", json_real((double)c->rtt / SEC));
	if (c->up && c->counted)
		json_object_set_new(o, "lost", json_real((double)c->lost));
	return o;
}

static bool has_few(const struct router *r)
{
	unsigned n = 0;

	list_for_each(node, &r->contacts) {
		n += !container_of(node, struct contact, node)->config.tiny;
		if (n > HEARTBEAT_FEW)
			return false;
	}
	return true;
}

static void add_peers(json_t *body, struct router *r)
{
	json_t *list = json_array();

	list_for_each(node, &r->contacts) {
		const struct contact *c = container_of(node, struct contact, node);

		if (json_array_size(list) == HEARTBEAT_PEERS)
			break;
		if (!c->config.tiny)
			json_array_append_new(list, peer_of(r, c));
	}
	json_object_set_new(body, "peers", list);
}

static void add_listen(json_t *body, const struct config *c)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT];

	for (size_t i = 0; i < c->n_udp; i++)
		json_array_append_new(list, json_string(endpoint_format(&c->udp[i], text)));
	json_object_set_new(body, "udp_listen", list);
}

char *heartbeat_body(struct router *r, struct version version, bool all, mono_t now)
{
	char text[VERSION_TEXT], *body;
	json_t *tinies;
	json_t *o =
		json_pack("{s:s, s:f, s:i}", "version", version_format(version, text), "uptime",
			  (double)mono_since(now, r->started) / SEC, "workers", (int)r->n_workers);

	if (!o)
		return NULL;
	add_machine(o);
	add_traffic(o, r);
	add_listen(o, r->config);
	if (all || has_few(r))
		add_peers(o, r);
	tinies = tinies_say(r, now);
	if (tinies)
		json_object_set_new(o, "tinies", tinies);
	body = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return body;
}
