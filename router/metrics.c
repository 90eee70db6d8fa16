/*
 * The page of figures. Every family has its HELP and TYPE, and every drop reason
 * and event is there from the start with 0, so that rates and alerts work from the
 * first event on. What is not known (the round trip to a peer that is down) has no
 * sample rather than a false one. Bytes are those of the inner packets.
 */
#include "router/metrics.h"

#include <inttypes.h>
#include <time.h>

#include "router/authority.h"
#include "router/backlog.h"
#include "router/router.h"

void metrics_label(FILE *out, const char *value)
{
	for (; *value; value++)
		switch (*value) {
		case '\\': fputs("\\\\", out); break;
		case '"': fputs("\\\"", out); break;
		case '\n': fputs("\\n", out); break;
		default: fputc(*value, out);
		}
}

static const char *direction_name(enum direction d)
{
	return d == IN ? "in" : "out";
}

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void authority_figures(struct router *r, FILE *out, mono_t now)
{
	const struct image *image = router_image(r);
	struct authority_status s;

	if (!r->authority)
		return;
	authority_status(r->authority, &s);
	family(out, "vine_authority_up", "gauge", "Whether the authority is connected.");
	fprintf(out, "vine_authority_up %d\n", s.connected);
	if (mono_is_set(s.contact)) {
		family(out, "vine_authority_silence_seconds", "gauge",
		       "Time since the authority has said something.");
		fprintf(out, "vine_authority_silence_seconds %.3f\n",
			(double)mono_since(now, s.contact) / SEC);
	}
	if (image) {
		family(out, "vine_table_generation", "gauge",
		       "Generation of the authority's tables in force.");
		fprintf(out, "vine_table_generation %" PRIu64 "\n", image->version.generation);
	}
	family(out, "vine_certificate_expiry_seconds", "gauge",
	       "Time until the router's certificate has run out.");
	fprintf(out, "vine_certificate_expiry_seconds %lld\n",
		(long long)(s.certificate_end - time(NULL)));
}

static void router_figures(struct router *r, FILE *out, mono_t now)
{
	const struct image *image = router_image(r);

	family(out, "vine_router_info", "gauge", "This router; the value is always 1.");
	fputs("vine_router_info{name=\"", out);
	metrics_label(out, r->config->name);
	fprintf(out, "\",id=\"%" PRIu32 "\",version=\"" VINE_VERSION "\"} 1\n", r->config->id);

	family(out, "vine_uptime_seconds", "gauge", "Time since the router has started.");
	fprintf(out, "vine_uptime_seconds %.3f\n", (double)mono_since(now, r->started) / SEC);
	family(out, "vine_table_version", "gauge", "Version of the tables in force.");
	fprintf(out, "vine_table_version %" PRIu64 "\n",
		image ? image->version.number : r->table_version);
	family(out, "vine_device_mtu_bytes", "gauge", "MTU of the router's device.");
	fprintf(out, "vine_device_mtu_bytes %" PRIu32 "\n", r->device_mtu);
	family(out, "vine_workers_count", "gauge", "Worker threads.");
	fprintf(out, "vine_workers_count %u\n", r->n_workers);
}

static void traffic_figures(struct router *r, FILE *out)
{
	uint64_t packets, bytes;

	family(out, "vine_packets_total", "counter",
	       "Packets of hosts carried, out: from the site into the overlay.");
	for (enum direction d = OUT; d <= IN; d++) {
		router_traffic(r, d, &packets, &bytes);
		fprintf(out, "vine_packets_total{direction=\"%s\"} %" PRIu64 "\n",
			direction_name(d), packets);
	}
	family(out, "vine_bytes_total", "counter", "Bytes of hosts' packets carried.");
	for (size_t i = 0; i < r->n_networks; i++)
		for (enum direction d = OUT; d <= IN; d++) {
			network_traffic(r, r->networks[i], d, &packets, &bytes);
			fprintf(out,
				"vine_bytes_total{direction=\"%s\",network=\"%" PRIu32
				"\"} %" PRIu64 "\n",
				direction_name(d), r->networks[i]->id, bytes);
		}
}

static void counted_figures(struct router *r, FILE *out)
{
	char name[64];

	family(out, "vine_drops_total", "counter", "Packets and frames dropped.");
	for (enum drop d = 0; d < DROPS; d++)
		fprintf(out, "vine_drops_total{reason=\"%s\"} %" PRIu64 "\n", drop_label(d),
			router_drops(r, d));
	for (enum event e = 0; e < EVENTS; e++) {
		snprintf(name, sizeof(name), "vine_%s_total", event_metric(e));
		family(out, name, "counter", event_text(e));
		fprintf(out, "%s %" PRIu64 "\n", name, router_events(r, e));
	}
}

/* Begins a sample of a peer: the value follows. */
static void peer_sample(FILE *out, const char *name, const struct contact *c, const char *more)
{
	fprintf(out, "%s{peer=\"", name);
	metrics_label(out, c->peer->name);
	fprintf(out, "\"%s} ", more);
}

static void peer_up(struct router *r, const struct contact *c, FILE *out)
{
	(void)r;
	peer_sample(out, "vine_peer_up", c, "");
	fprintf(out, "%d\n", c->up);
}

static void peer_rtt(struct router *r, const struct contact *c, FILE *out)
{
	(void)r;
	if (!c->up || !c->rtt)
		return;
	peer_sample(out, "vine_peer_rtt_seconds", c, "");
	fprintf(out, "%.9f\n", (double)c->rtt / SEC);
}

static void path_mtu(struct router *r, const struct contact *c, FILE *out)
{
	struct path *path = c->peer->path;

	(void)r;
	if (!path)
		return;
	peer_sample(out, "vine_path_mtu_bytes", c, "");
	fprintf(out, "%u\n",
		atomic_load_explicit(&path->frame_max, memory_order_relaxed) +
			way_overhead(&path->way));
}

typedef void traffic_fn(const struct router *, const struct peer *, enum direction,
			uint64_t *ret_packets, uint64_t *ret_bytes);

static void peer_counter(struct router *r, const struct contact *c, const char *name,
			 traffic_fn *traffic, bool want_bytes, FILE *out)
{
	uint64_t packets, bytes;
	char more[32];

	for (enum direction d = OUT; d <= IN; d++) {
		traffic(r, c->peer, d, &packets, &bytes);
		snprintf(more, sizeof(more), ",direction=\"%s\"", direction_name(d));
		peer_sample(out, name, c, more);
		fprintf(out, "%" PRIu64 "\n", want_bytes ? bytes : packets);
	}
}

static void peer_packets(struct router *r, const struct contact *c, FILE *out)
{
	peer_counter(r, c, "vine_peer_packets_total", peer_traffic, false, out);
}

static void peer_bytes(struct router *r, const struct contact *c, FILE *out)
{
	peer_counter(r, c, "vine_peer_bytes_total", peer_traffic, true, out);
}

static void peer_bad(struct router *r, const struct contact *c, FILE *out)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->n_made; i++)
		n += counter_read(&c->peer->share[i]->bad);
	peer_sample(out, "vine_peer_bad_frames_total", c, "");
	fprintf(out, "%" PRIu64 "\n", n);
}

static void relayed_frames(struct router *r, const struct contact *c, FILE *out)
{
	peer_counter(r, c, "vine_relayed_frames_total", peer_relayed, false, out);
}

static void relayed_bytes(struct router *r, const struct contact *c, FILE *out)
{
	peer_counter(r, c, "vine_relayed_bytes_total", peer_relayed, true, out);
}

static void kept_bytes(struct router *r, const struct contact *c, FILE *out)
{
	(void)r;
	if (!c->peer->backlog)
		return;
	peer_sample(out, "vine_kept_bytes", c, "");
	fprintf(out, "%zu\n", backlog_bytes(c->peer->backlog));
}

static const struct peer_family {
	const char *name, *type, *help;
	void (*write)(struct router *, const struct contact *, FILE *out);
} peer_families[] = {
	{ "vine_peer_up", "gauge", "Whether the peer answers.", peer_up },
	{ "vine_peer_rtt_seconds", "gauge", "Round trip to the peer, smoothed.", peer_rtt },
	{ "vine_path_mtu_bytes", "gauge", "MTU of the path to the peer, outer headers included.",
	  path_mtu },
	{ "vine_peer_packets_total", "counter", "Packets of hosts exchanged with the peer.",
	  peer_packets },
	{ "vine_peer_bytes_total", "counter", "Bytes of hosts' packets exchanged with the peer.",
	  peer_bytes },
	{ "vine_relayed_frames_total", "counter",
	  "Frames inside queue frames that came from the peer or went to it.", relayed_frames },
	{ "vine_relayed_bytes_total", "counter", "Bytes of these frames.", relayed_bytes },
	{ "vine_kept_bytes", "gauge", "Bytes that wait until the peer asks for them.", kept_bytes },
	{ "vine_peer_bad_frames_total", "counter", "Frames in the peer's name that failed a check.",
	  peer_bad },
};

void metrics_write(struct router *r, FILE *out, mono_t now)
{
	router_figures(r, out, now);
	authority_figures(r, out, now);
	traffic_figures(r, out);
	counted_figures(r, out);
	for (size_t i = 0; i < sizeof(peer_families) / sizeof(*peer_families); i++) {
		const struct peer_family *f = &peer_families[i];

		family(out, f->name, f->type, f->help);
		list_for_each(node, &r->contacts)
			f->write(r, container_of(node, struct contact, node), out);
	}
}
