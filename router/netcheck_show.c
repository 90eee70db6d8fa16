/*
 * What a check has found, as JSON: each way as a whole (it works if it does to anybody),
 * the NAT, the best queue router, and each router that was asked.
 */
#include "router/connections.h"
#include "router/netcheck_private.h"
#include "router/show.h"

static const char *state_name(enum netcheck_state s)
{
	static const char *const names[] = {
		[NETCHECK_SKIPPED] = "skipped",	    [NETCHECK_OPENING] = "trying",
		[NETCHECK_ASKING] = "trying",	    [NETCHECK_ANSWERED] = "answered",
		[NETCHECK_CONNECTED] = "connected", [NETCHECK_FAILED] = "failed",
	};

	return names[s];
}

static bool works(const struct netcheck_probe *p)
{
	return p->state == NETCHECK_ANSWERED;
}

static const struct contact *contact_of(const struct netcheck *k, const struct netcheck_target *t)
{
	return router_contact_by_id(k->router, t->id);
}

/* Of UDP, what probing of the path has found, if that is its path. 0: not known. */
static uint16_t path_mtu(const struct netcheck *k, const struct netcheck_probe *p)
{
	const struct contact *c = contact_of(k, p->target);
	const struct path *path = c ? c->peer->path : NULL;

	if (p->rung != RUNG_UDP || !works(p))
		return works(p) ? p->path_mtu : 0;
	if (!path || path->way.kind != WAY_UDP || !atomic_load(&path->settled))
		return 0;
	return (uint16_t)(atomic_load(&path->frame_max) + way_overhead(&path->way));
}

static json_t *number_or_null(unsigned n)
{
	return n ? json_integer(n) : json_null();
}

static json_t *way(const struct netcheck *k, const struct netcheck_probe *p)
{
	char remote[ENDPOINT_TEXT];

	return json_pack("{s:s, s:s?, s:b, s:s, s:s?, s:o, s:o}", "way", rung_name(p->rung),
			 "remote",
			 p->way.remote.port ? endpoint_format(&p->way.remote, remote) : NULL,
			 "works", (int)works(p), "state", state_name(p->state), "reason",
			 *p->why ? p->why : NULL, "rtt_seconds",
			 show_seconds(works(p) ? p->rtt : 0), "path_mtu",
			 number_or_null(path_mtu(k, p)));
}

static bool is_reachable(const struct netcheck_target *t)
{
	for (unsigned j = 0; j < NETCHECK_WAYS; j++)
		if (works(&t->probe[j]))
			return true;
	return false;
}

static json_t *router(const struct netcheck *k, const struct netcheck_target *t)
{
	const struct contact *c = contact_of(k, t);
	const struct path *path = c ? c->peer->path : NULL;
	json_t *ways = json_array();

	for (unsigned j = 0; j < NETCHECK_WAYS; j++)
		json_array_append_new(ways, way(k, &t->probe[j]));
	return json_pack("{s:s?, s:I, s:b, s:b, s:b, s:s?, s:o, s:o}", "name",
			 c ? c->peer->name : NULL, "id", (json_int_t)t->id, "queue_router",
			 c && c->is_relay, "reachable", (int)is_reachable(t), "up", c && c->up,
			 "transport", path ? ways_transport(c, &path->way) : NULL, "rtt_seconds",
			 show_seconds(c ? c->rtt : 0), "ways", ways);
}

/* A way as a whole: as it is to the first router where it works, or else to the first. */
static json_t *whole(const struct netcheck *k, enum rung rung)
{
	const struct netcheck_probe *found = &k->target[0].probe[rung];

	for (unsigned i = 0; i < k->n && !works(found); i++)
		if (works(&k->target[i].probe[rung]))
			found = &k->target[i].probe[rung];
	return json_pack("{s:b, s:s?, s:o}", "works", (int)works(found), "reason",
			 *found->why ? found->why : NULL, "path_mtu",
			 number_or_null(path_mtu(k, found)));
}

/* Of those that were asked, as peers behind queue routers would be reached by them. */
static const struct contact *best(const struct netcheck *k)
{
	uint32_t ids[NETCHECK_ROUTERS];
	unsigned n = 0;

	for (unsigned i = 0; i < k->n; i++) {
		const struct contact *c = contact_of(k, &k->target[i]);

		if (c && c->is_relay)
			ids[n++] = c->peer->id;
	}
	return limited_best(k->router, ids, n);
}

/* Whether every queue router can be reached; if there is none, every router. */
static bool all_reachable(const struct netcheck *k)
{
	bool any_relay = false, relays = true, all = true;

	for (unsigned i = 0; i < k->n; i++) {
		const struct contact *c = contact_of(k, &k->target[i]);
		bool reachable = is_reachable(&k->target[i]);

		all = all && reachable;
		any_relay = any_relay || (c && c->is_relay);
		relays = relays && (reachable || !c || !c->is_relay);
	}
	return any_relay ? relays : all;
}

static bool udp_works(const struct netcheck *k)
{
	for (unsigned i = 0; i < k->n; i++)
		if (works(&k->target[i].probe[RUNG_UDP]))
			return true;
	return false;
}

/* The views of one family: IPv4's if there are any, since IPv6 has hardly ever a NAT. */
static unsigned views(const struct netcheck *k, struct nat_view ret[static NETCHECK_ROUTERS])
{
	unsigned n = 0;

	for (uint8_t family = 4; family <= 6 && !n; family += 2)
		for (unsigned i = 0; i < k->n; i++)
			if (k->target[i].looked && k->target[i].view.seen.ip.family == family)
				ret[n++] = k->target[i].view;
	return n;
}

static json_t *seen(const struct netcheck *k)
{
	char own[ENDPOINT_TEXT], as[ENDPOINT_TEXT];
	json_t *list = json_array();

	for (unsigned i = 0; i < k->n; i++) {
		const struct netcheck_target *t = &k->target[i];
		const struct contact *c = contact_of(k, t);

		if (t->looked)
			json_array_append_new(
				list, json_pack("{s:s?, s:s, s:s}", "by", c ? c->peer->name : NULL,
						"own", endpoint_format(&t->view.own, own), "seen",
						endpoint_format(&t->view.seen, as)));
	}
	return list;
}

static json_t *nat(const struct netcheck *k)
{
	struct nat_view v[NETCHECK_ROUTERS];
	unsigned n = views(k, v);
	enum nat_kind kind = nat_kind(v, n);
	const char *why = NULL;

	if (!udp_works(k)) {
		kind = NAT_BLOCKED;
		why = "UDP does not get out";
	} else if (kind == NAT_UNKNOWN) {
		why = n ? "there is one; a second router outside would tell its kind"
			: "no router has said how it sees this one";
	}
	return json_pack("{s:s, s:s?, s:o}", "kind", nat_kind_name(kind), "reason", why, "seen",
			 seen(k));
}

json_t *netcheck_result(const struct netcheck *k, mono_t now)
{
	const struct connections *cs = k->router->connections;
	const struct contact *via = best(k);
	json_t *routers = json_array();

	for (unsigned i = 0; i < k->n; i++)
		json_array_append_new(routers, router(k, &k->target[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?, s:b, s:b, s:o, s:i}",
			 "time", show_time(now, now), "seconds",
			 json_real((double)mono_since(now, k->begun) / SEC), "udp",
			 whole(k, RUNG_UDP), "tcp", whole(k, RUNG_TCP), "tls", whole(k, RUNG_TLS),
			 "proxy", whole(k, RUNG_PROXY), "nat", nat(k), "proxy_server",
			 *cs->proxy.host ? cs->proxy.host : NULL, "best_queue_router",
			 via ? via->peer->name : NULL, "limited",
			 (int)(k->router->limited.mode != LIMITED_NONE), "all_reachable",
			 (int)all_reachable(k), "routers", routers, "not_checked",
			 (int)k->left_out);
}
