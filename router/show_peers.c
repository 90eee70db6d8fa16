/*
 * Peers and the ways to them as JSON.
 *
 * A peer's state is one word for people ("up", "connecting", ...); what it is made
 * of is there as well. Several paths and ways through queue routers have their
 * place in the shape (lists of paths, of hops) before they exist.
 */
#include "router/backlog.h"
#include "router/router.h"
#include "router/show.h"

#include <string.h>

const char *show_state(const struct contact *c)
{
	if (c->up)
		return "up";
	if (c->keying.now.handshake)
		return "connecting";
	if (c->resolve_error[0] && c->n_addresses == 0)
		return "unresolved";
	return mono_is_set(c->keying.tried) || mono_is_set(c->down_since) ? "down" : "idle";
}

json_t *show_path(const struct contact *c)
{
	struct path *p = c->peer->path;
	char remote[ENDPOINT_TEXT], local[IP_TEXT];
	const struct contact *via;
	bool udp, relay;
	uint16_t frame;

	if (!p)
		return json_null();
	udp = p->way.kind == WAY_UDP;
	relay = p->way.kind == WAY_RELAY;
	via = relay ? router_contact_by_id(c->router, p->way.via) : NULL;
	frame = atomic_load_explicit(&p->frame_max, memory_order_relaxed);
	return json_pack("{s:s, s:s?, s:s?, s:s?, s:o, s:i, s:o, s:i, s:b}", "transport",
			 ways_transport(c, &p->way), "via", via ? via->peer->name : NULL, "remote",
			 relay ? NULL : endpoint_format(&p->way.remote, remote), "local",
			 p->way.local.family ? ip_format(&p->way.local, local) : NULL, "link",
			 udp ? json_integer(p->way.link) : json_null(), "frame_bytes", (int)frame,
			 "path_mtu",
			 udp ? json_integer(frame + way_overhead(&p->way)) : json_null(),
			 "inner_mtu", (int)path_inner_mtu(p), "mtu_settled",
			 (int)atomic_load_explicit(&p->settled, memory_order_relaxed));
}

static json_t *keys(const struct contact *c, mono_t now)
{
	const struct keying *k = &c->keying;

	return json_pack("{s:b, s:o, s:i, s:s?}", "ready", (int)keying_is_ready(k), "made",
			 show_time(k->made, now), "failures", (int)k->failures, "error",
			 k->error[0] ? k->error : NULL);
}

static json_t *stopped(const struct peer *p)
{
	json_t *list = json_array();

	for (uint32_t i = 0; p->stopped && i < p->stopped->n; i++)
		json_array_append_new(list, json_integer(p->stopped->networks[i]));
	return list;
}

/* The endpoint as configured: it may be a name. */
static json_t *configured(const struct config_peer *c)
{
	bool bracket = c->host && strchr(c->host, ':');

	if (!c->host)
		return json_null();
	return json_sprintf(bracket ? "[%s]:%u" : "%s:%u", c->host, c->port);
}

static uint64_t bad_frames(const struct router *r, const struct peer *p)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->n_made; i++)
		n += counter_read(&p->share[i]->bad);
	return n;
}

/* Queue frames that this router has had from it, and sent it. */
static json_t *relayed(const struct router *r, const struct peer *p)
{
	uint64_t in, bytes_in, out, bytes_out;

	peer_relayed(r, p, IN, &in, &bytes_in);
	peer_relayed(r, p, OUT, &out, &bytes_out);
	return show_traffic(in, bytes_in, out, bytes_out);
}

/* Those by which it can be reached, the first choice first, and how they are. */
static json_t *queue_routers(struct router *r, const struct contact *c, mono_t now)
{
	static const char *const words[] = { [RELAY_DEAD] = "dead",
					     [RELAY_WAYLESS] = "no-way",
					     [RELAY_READY] = "ready",
					     [RELAY_USED] = "used" };
	json_t *list = json_array();

	for (unsigned i = 0; i < c->relays.n; i++) {
		const struct contact *via = router_contact_by_id(r, c->relays.id[i]);

		json_array_append_new(list, json_pack("{s:s?, s:s, s:o}", "name",
						      via ? via->peer->name : NULL, "state",
						      words[relay_state(c, i, now)], "rtt_seconds",
						      show_seconds(via ? via->rtt : 0)));
	}
	return list;
}

static json_t *peer(struct router *r, const struct contact *c, mono_t now)
{
	struct peer *p = c->peer;
	uint64_t in, bytes_in, out, bytes_out;
	mono_t heard = { atomic_load_explicit(&p->heard, memory_order_relaxed) };

	peer_traffic(r, p, IN, &in, &bytes_in);
	peer_traffic(r, p, OUT, &out, &bytes_out);
	return json_pack("{s:s, s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:s?,"
			 " s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "name", p->name, "id", (json_int_t)p->id, "state", show_state(c), "up",
			 (int)c->up, "since", show_time(c->up ? c->up_since : c->down_since, now),
			 "last_heard", show_time(heard, now), "rtt_seconds", show_seconds(c->rtt),
			 "path", show_path(c), "endpoint", configured(&c->config), "resolve_error",
			 c->resolve_error[0] ? c->resolve_error : NULL,

			 "tiny", (int)c->config.tiny, "relay", (int)c->config.relay, "transit",
			 (int)c->config.transit, "direct", (int)c->config.direct, "keys",
			 keys(c, now), "stopped_networks", stopped(p), "bad_frames",
			 show_count(bad_frames(r, p)), "traffic",
			 show_traffic(in, bytes_in, out, bytes_out), "queue_routers",
			 queue_routers(r, c, now), "relayed", relayed(r, p), "kept_bytes",
			 show_count(p->backlog ? backlog_bytes(p->backlog) : 0));
}

json_t *show_peers(struct router *r, size_t offset, mono_t now)
{
	json_t *list = json_array();
	size_t i = 0;

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (i >= offset && i - offset < SHOW_PAGE)
			json_array_append_new(list, peer(r, c, now));
		i++;
	}
	return show_page(json_pack("{s:o}", "peers", list), offset + SHOW_PAGE, i);
}

/* What this router tries, the best first. */
static json_t *ways(const struct contact *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < RUNGS; i++) {
		const char *why = c->reach.rung[i].why;

		if (c->reach.allowed & 1u << i)
			json_array_append_new(list,
					      json_pack("{s:s, s:s, s:s?}", "way", rung_name(i),
							"state", reach_state_name(&c->reach, i),
							"reason", why[0] ? why : NULL));
	}
	return list;
}

/* Where the peer says that it may be reached directly. */
static json_t *candidates(const struct contact *c)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT];

	for (unsigned i = 0; i < c->direct.theirs.n; i++)
		json_array_append_new(list,
				      json_string(endpoint_format(&c->direct.theirs.at[i], text)));
	return list;
}

static json_t *link_of(const struct contact *c, mono_t now)
{
	json_t *paths = json_array();

	if (c->peer->path)
		json_array_append_new(paths, show_path(c));
	return json_pack("{s:o, s:o, s:s, s:I, s:s, s:o, s:o, s:o, s:o}", "candidates",
			 candidates(c), "keep_alive_seconds", show_seconds(c->keepalive.interval),
			 "peer", c->peer->name, "id", (json_int_t)c->peer->id, "state",
			 show_state(c), "rtt_seconds", show_seconds(c->rtt), "paths", paths, "ways",
			 ways(c), "next_try", show_time(reach_next(&c->reach), now));
}

json_t *show_links(struct router *r, size_t offset, mono_t now)
{
	json_t *list = json_array();
	size_t i = 0;

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (i >= offset && i - offset < SHOW_PAGE)
			json_array_append_new(list, link_of(c, now));
		i++;
	}
	return show_page(json_pack("{s:o}", "links", list), offset + SHOW_PAGE, i);
}

json_t *show_trace(struct router *r, const struct contact *c, uint16_t frame_size, int64_t rtt,
		   mono_t now)
{
	json_t *self = show_router(r, r->config->id);
	json_t *hop =
		json_pack("{s:i, s:o, s:b, s:o, s:i, s:o}", "hop", 1, "router",
			  show_router(r, c->peer->id), "answered", rtt >= 0, "rtt_seconds",
			  show_seconds(rtt), "probe_bytes", (int)frame_size, "path", show_path(c));

	return json_pack("{s:o, s:o, s:o, s:s, s:[o]}", "time", show_time(now, now), "from", self,
			 "to", show_router(r, c->peer->id), "state", show_state(c), "hops", hop);
}
