/*
 * The router as a whole as JSON: status, counters, configuration; and the parts
 * that every listing is made of.
 *
 * json_pack takes over what it is given and fails as a whole when a part is NULL,
 * so memory is checked once, at the end. Times of the monotonic clock become times
 * of day at the moment of the answer: a time of day that jumps changes what is
 * shown, never what the router does.
 */
#include "router/show.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "common/crypto.h"
#include "router/offload.h"
#include "router/router.h"

json_t *show_count(uint64_t n)
{
	return json_sprintf("%" PRIu64, n);
}

json_t *show_time(mono_t when, mono_t now)
{
	struct timespec wall;
	struct tm tm;
	char day[32];
	int64_t ns;

	if (!mono_is_set(when))
		return json_null();
	clock_gettime(CLOCK_REALTIME, &wall);
	ns = wall.tv_sec * SEC + wall.tv_nsec - mono_since(now, when);
	wall.tv_sec = ns / SEC;
	if (ns < 0 || !gmtime_r(&wall.tv_sec, &tm))
		return json_null();
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	return json_sprintf("%s.%03dZ", day, (int)(ns % SEC / MSEC));
}

json_t *show_seconds(int64_t ns)
{
	return ns > 0 ? json_real((double)ns / SEC) : json_null();
}

json_t *show_traffic(uint64_t packets_in, uint64_t bytes_in, uint64_t packets_out,
		     uint64_t bytes_out)
{
	return json_pack("{s:{s:o, s:o}, s:{s:o, s:o}}", "in", "packets", show_count(packets_in),
			 "bytes", show_count(bytes_in), "out", "packets", show_count(packets_out),
			 "bytes", show_count(bytes_out));
}

json_t *show_router(struct router *r, uint32_t id)
{
	const struct contact *c = router_contact_by_id(r, id);
	const char *name = c ? c->peer->name : NULL;

	if (id == r->config->id)
		name = r->config->name;
	return json_pack("{s:I, s:s?}", "id", (json_int_t)id, "name", name);
}

json_t *show_page(json_t *page, size_t end, size_t n)
{
	if (page && end < n && json_object_set_new(page, "next", json_integer((json_int_t)end))) {
		json_decref(page);
		return NULL;
	}
	return page;
}

static json_t *address(const struct ip *ip)
{
	char text[IP_TEXT];

	return ip->family ? json_string(ip_format(ip, text)) : json_null();
}

static json_t *listening(const struct config *c)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT];

	for (size_t i = 0; i < c->n_udp; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "transport", "udp", "address",
						      endpoint_format(&c->udp[i], text)));
	for (size_t i = 0; i < c->n_tcp; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "transport", "tcp", "address",
						      endpoint_format(&c->tcp[i], text)));
	for (size_t i = 0; i < c->n_tls; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "transport", "tls", "address",
						      endpoint_format(&c->tls[i], text)));
	return list;
}

static json_t *prefixes(const struct prefix *p, size_t n)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(prefix_format(&p[i], text)));
	return list;
}

static json_t *interfaces(const struct host_interfaces *from)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < from->n; i++)
		json_array_append_new(list, json_string(from->at[i].name));
	return list;
}

static json_t *networks(struct router *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_networks; i++) {
		struct network *n = r->networks[i];
		uint64_t in, bytes_in, out, bytes_out;
		enum protection p = atomic_load_explicit(&n->protection, memory_order_relaxed);

		network_traffic(r, n, IN, &in, &bytes_in);
		network_traffic(r, n, OUT, &out, &bytes_out);
		json_array_append_new(list, json_pack("{s:I, s:s, s:o}", "id", (json_int_t)n->id,
						      "protection", protection_name(p), "traffic",
						      show_traffic(in, bytes_in, out, bytes_out)));
	}
	return list;
}

static json_t *all_traffic(struct router *r)
{
	uint64_t in, bytes_in, out, bytes_out;

	router_traffic(r, IN, &in, &bytes_in);
	router_traffic(r, OUT, &out, &bytes_out);
	return show_traffic(in, bytes_in, out, bytes_out);
}

/* Every reason, or those that have happened. */
static json_t *drops(struct router *r, bool all)
{
	json_t *list = json_array();

	for (enum drop d = 0; d < DROPS; d++) {
		uint64_t n = router_drops(r, d);

		if (n || all)
			json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "reason",
							      drop_label(d), "packets",
							      show_count(n), "text", drop_text(d)));
	}
	return list;
}

json_t *show_status(struct router *r, mono_t now)
{
	const struct config *c = r->config;
	unsigned up = 0;

	list_for_each(node, &r->contacts)
		up += container_of(node, struct contact, node)->up;

	return json_pack(
		"{s:s, s:I, s:s, s:I, s:o, s:f, s:s?, s:o,"
		" s:s, s:o, s:s, s:s, s:i, s:s?, s:I, s:o, s:{s:o, s:o}, s:o,"
		" s:{s:I, s:I}, s:o, s:o, s:o, s:o}",
		"name", c->name, "id", (json_int_t)c->id, "version", VINE_VERSION, "pid",
		(json_int_t)getpid(), "started", show_time(r->started, now), "uptime_seconds",
		(double)mono_since(now, r->started) / SEC, "config", c->file, "table_version",
		show_count(r->table_version),

		"intercept", intercept_method_name(r->intercept), "taken_from",
		interfaces(&r->interception.taken_from), "inject", inject_method_name(c->inject),
		"fail", c->fail == FAIL_OPEN ? "open" : "closed", "workers", (int)r->n_workers,
		"device", c->device, "device_mtu", (json_int_t)r->device_mtu, "overlay",
		prefixes(c->networks, c->n_networks), "address", "ipv4", address(&c->address4),
		"ipv6", address(&c->address6), "listen", listening(c),

		"peer_count", "up", (json_int_t)up, "configured", (json_int_t)r->n_contacts,
		"traffic", all_traffic(r), "networks", networks(r), "drops", drops(r, false),
		"authority", show_authority(r, now));
}

static json_t *events(struct router *r)
{
	json_t *object = json_object();

	for (enum event e = 0; e < EVENTS; e++)
		json_object_set_new(object, event_metric(e), show_count(router_events(r, e)));
	return object;
}

static json_t *workers(struct router *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->n_made && r->workers[i].count; i++) {
		const struct counters *c = &r->workers[i].counters;

		json_array_append_new(
			list, json_pack("{s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "worker",
					(int)i, "works", i < r->n_workers, "intercepted",
					show_count(counter_read(&c->intercepted)), "received",
					show_count(counter_read(&c->received)), "made",
					show_count(counter_read(&c->made)), "sent",
					show_count(counter_read(&c->sent)), "injected",
					show_count(counter_read(&c->injected)), "consumed",
					show_count(counter_read(&c->consumed))));
	}
	return list;
}

json_t *show_counters(struct router *r, mono_t now)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "time", show_time(now, now), "traffic",
			 all_traffic(r), "networks", networks(r), "drops", drops(r, true), "events",
			 events(r), "workers", workers(r));
}

static void setting(void *arg, const char *section, const char *key, const char *value)
{
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s}", "section", section, "key", key,
					     "value", value));
}

/* What is on: of sockets, what all of them have. */
static json_t *offloads(struct router *r)
{
	static const char *const keys[] = {
#define X(name, key) key,
		OFFLOAD_LIST(X)
#undef X
	};
	const struct worker *first = &r->workers[0];
	unsigned on = r->device_offloads;
	unsigned sockets = first->n_links ? ~0U : 0;
	json_t *object = json_object();

	if (r->intercept == INTERCEPT_NFQUEUE)
		on |= r->queue_offloads;
	for (unsigned i = 0; i < r->n_workers; i++)
		for (unsigned l = 0; l < r->workers[i].n_links; l++)
			sockets &= atomic_load_explicit(&r->workers[i].links[l]->offloads,
							memory_order_relaxed);
	on |= sockets & (OFFLOAD_BIT(UDP_SEGMENT) | OFFLOAD_BIT(UDP_GRO));
	for (unsigned i = 0; i < OFFLOADS; i++)
		json_object_set_new(object, keys[i], json_boolean(on & 1U << i));
	return object;
}

/* Whose code runs the frames of each protection. */
static json_t *crypto(struct router *r)
{
	static const enum protection all[] = { PROTECT_HMAC, PROTECT_AES_256_GCM,
					       PROTECT_CHACHA20_POLY1305 };
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		json_object_set_new(object, protection_name(all[i]),
				    json_string(crypto_library(r->crypto, all[i])));
	return object;
}

json_t *show_config(struct router *r, mono_t now)
{
	json_t *list = json_array();

	(void)now;
	config_each(r->config, setting, list);
	return json_pack("{s:s?, s:s, s:o, s:o, s:o}", "file", r->config->file, "intercept",
			 intercept_method_name(r->intercept), "settings", list, "offloads",
			 offloads(r), "crypto", crypto(r));
}
