/*
 * Routers by ID, in an index. Rates are differences of a router's own counters between two
 * heartbeats; a counter that went back was begun anew, and gives no rate this time. Not all
 * heartbeats have links: until the next one that has, those of the last one stay. Two
 * heartbeats that come within a second of each other count as one, so that nobody makes a
 * large rate of a small time.
 */
#include "authority/monitor_private.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

const char *const monitor_states[] = { "unseen", "ok", "silent", NULL };
const char *const monitor_ways[] = { "-", "udp", "tcp", "tls", "proxy", "relay", NULL };

static const double rtt_max = 3600, load_max = 1e6, uptime_max = 1e10;

/* ---- routers ------------------------------------------------------------------- */

static uint32_t hash_id(const void *key)
{
	return index_hash(key, sizeof(uint32_t));
}

static const void *id_of(const void *object)
{
	return &((const struct watched *)object)->router.id;
}

static bool same_id(const void *a, const void *b)
{
	return *(const uint32_t *)a == *(const uint32_t *)b;
}

static const struct index_ops by_id = { hash_id, id_of, same_id };

struct monitor *monitor_new(int64_t silence)
{
	struct monitor *m = mem_new(1, sizeof(*m));

	m->silence = silence;
	return m;
}

static void forget(struct monitor *m, struct watched *w)
{
	index_remove(&m->routers, &by_id, w);
	m->states[w->router.state]--;
	m->links -= w->router.n_links;
	free(w->router.links);
	free(w);
}

void monitor_free(struct monitor *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->routers.size; i++) {
		struct watched *w = m->routers.slots[i];

		if (w)
			free(w->router.links);
		free(w);
	}
	index_done(&m->routers);
	tinies_done(m);
	free(m);
}

static struct watched *need(struct monitor *m, const struct router *r)
{
	uint32_t id = r->record.id;
	struct watched *w = index_get(&m->routers, &by_id, &id);

	if (w)
		return w;
	w = mem_new(1, sizeof(*w));
	w->router = (struct monitor_router){ .id = id,
					     .load = -1,
					     .uptime = -1,
					     .packets_in = -1,
					     .packets_out = -1,
					     .bytes_in = -1,
					     .bytes_out = -1,
					     .drops = -1 };
	index_put(&m->routers, &by_id, w);
	m->states[MONITOR_UNSEEN]++;
	return w;
}

static void set_state(struct monitor *m, struct watched *w, enum monitor_state state, mono_t now)
{
	if (w->router.state == state)
		return;
	m->states[w->router.state]--;
	m->states[state]++;
	w->router.state = state;
	w->router.since = now;
}

/* ---- heartbeats ---------------------------------------------------------------- */

void reading_wrong(struct reading *d, const char *format, ...)
{
	va_list args;

	if (!d->good)
		return;
	d->good = false;
	va_start(args, format);
	vsnprintf(d->error, MONITOR_ERROR, format, args);
	va_end(args);
}

uint64_t read_count(struct reading *d, const json_t *in, const char *name)
{
	const json_t *v = json_object_get(in, name);

	if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
		reading_wrong(d, "'%s' is not a count", name);
	return v ? (uint64_t)json_integer_value(v) : 0;
}

static double read_number(struct reading *d, const json_t *in, const char *name, double max)
{
	const json_t *v = json_object_get(in, name);
	double x = json_number_value(v);

	if (!v || json_is_null(v))
		return -1;
	if (!json_is_number(v) || !(x >= 0 && x <= max)) {
		reading_wrong(d, "'%s' is not a number from 0 to %g", name, max);
		return -1;
	}
	return x;
}

static uint8_t read_way(const json_t *peer)
{
	const char *text = json_string_value(json_object_get(peer, "way"));

	for (uint8_t i = 1; text && monitor_ways[i]; i++)
		if (!strcmp(text, monitor_ways[i]))
			return i;
	return 0;
}

static int compare_links(const void *a, const void *b)
{
	const struct monitor_link *x = a, *y = b;

	return x->peer < y->peer ? -1 : x->peer > y->peer;
}

static float rate(uint64_t now, uint64_t was, double seconds)
{
	return now < was ? -1 : (float)((double)(now - was) / seconds);
}

static void read_link(struct reading *d, const json_t *peer, struct monitor_link *ret)
{
	uint64_t id = read_count(d, peer, "id");

	if (!json_is_object(peer) || !id || id > UINT32_MAX)
		reading_wrong(d, "an entry of 'peers' has no 'id'");
	*ret = (struct monitor_link){ .peer = (uint32_t)id,
				      .up = json_is_true(json_object_get(peer, "up")),
				      .way = read_way(peer),
				      .rtt = (float)read_number(d, peer, "rtt", rtt_max),
				      .lost = (float)read_number(d, peer, "lost", 1),
				      .sent = -1,
				      .received = -1,
				      .tx = read_count(d, peer, "tx_bytes"),
				      .rx = read_count(d, peer, "rx_bytes") };
}

/* The links of the body, by peer; to be freed. */
static struct monitor_link *read_links(struct reading *d, const json_t *peers, uint32_t *ret_n,
				       uint32_t *ret_left_out)
{
	size_t n = json_array_size(peers), most = n < MONITOR_LINKS ? n : MONITOR_LINKS;
	struct monitor_link *links = mem_new(most, sizeof(*links));

	if (peers && !json_is_array(peers))
		reading_wrong(d, "'peers' is not a list");
	for (size_t i = 0; i < most; i++)
		read_link(d, json_array_get(peers, i), &links[i]);
	if (most)
		qsort(links, most, sizeof(*links), compare_links);
	for (size_t i = 1; i < most; i++)
		if (links[i].peer == links[i - 1].peer)
			reading_wrong(d, "'peers' has %u twice", (unsigned)links[i].peer);
	*ret_n = (uint32_t)most;
	*ret_left_out = (uint32_t)(n - most);
	return links;
}

/* From one time to the next; 0: there was none before. */
static double seconds_since(mono_t *last, mono_t now)
{
	double seconds = mono_is_set(*last) ? (double)mono_since(now, *last) / SEC : 0;

	*last = now;
	return seconds;
}

/* What the links were before gives their rates; they take the place of those. */
static void take_links(struct monitor *m, struct watched *w, struct monitor_link *links, uint32_t n,
		       mono_t now)
{
	struct monitor_router *r = &w->router;
	double seconds = seconds_since(&w->linked, now);
	uint32_t was = 0;

	for (uint32_t i = 0; i < n && seconds > 0; i++) {
		while (was < r->n_links && r->links[was].peer < links[i].peer)
			was++;
		if (was == r->n_links || r->links[was].peer != links[i].peer)
			continue;
		links[i].sent = rate(links[i].tx, r->links[was].tx, seconds);
		links[i].received = rate(links[i].rx, r->links[was].rx, seconds);
	}
	m->links -= r->n_links;
	if (m->links + n > MONITOR_LINKS_ALL) {
		r->left_out += n;
		n = 0;
	}
	free(r->links);
	r->links = links;
	r->n_links = n;
	m->links += n;
}

static void take_counters(struct watched *w, const struct counters *c, double seconds)
{
	struct monitor_router *r = &w->router;

	if (seconds > 0) {
		r->packets_in = rate(c->packets_in, w->last.packets_in, seconds);
		r->packets_out = rate(c->packets_out, w->last.packets_out, seconds);
		r->bytes_in = rate(c->bytes_in, w->last.bytes_in, seconds);
		r->bytes_out = rate(c->bytes_out, w->last.bytes_out, seconds);
		r->drops = rate(c->drops, w->last.drops, seconds);
	}
	w->last = *c;
}

static int refuse(struct monitor *m)
{
	m->refused++;
	return -EINVAL;
}

int monitor_heartbeat(struct monitor *m, const struct router *router, const char *body, size_t len,
		      mono_t now, char error[static MONITOR_ERROR])
{
	struct reading d = { error, true };
	json_t *in =
		len <= MONITOR_BODY ? json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *packets = json_object_get(in, "packets"),
		     *bytes = json_object_get(in, "bytes"),
		     *version = json_object_get(in, "version");
	struct version runs = { 0 };
	struct monitor_link *links;
	struct monitor_tiny *tinies;
	size_t n_tinies;
	uint32_t n, left_out;
	struct counters c;
	struct watched *w;
	double load, uptime, seconds;
	uint64_t rss, workers;
	bool has_links;

	if (!json_is_object(in)) {
		reading_wrong(&d, len > MONITOR_BODY ? "a heartbeat has at most 256 KiB"
						     : "a heartbeat is an object of JSON");
		json_decref(in);
		return refuse(m);
	}
	if (version &&
	    !(json_is_string(version) && version_parse(json_string_value(version), &runs)))
		reading_wrong(&d, "'version' is no version");
	load = read_number(&d, in, "load", load_max);
	uptime = read_number(&d, in, "uptime", uptime_max);
	rss = read_count(&d, in, "rss");
	workers = read_count(&d, in, "workers");
	c = (struct counters){ read_count(&d, packets, "in"), read_count(&d, packets, "out"),
			       read_count(&d, bytes, "in"), read_count(&d, bytes, "out"),
			       read_count(&d, in, "drops") };
	has_links = json_object_get(in, "peers") != NULL;
	links = read_links(&d, json_object_get(in, "peers"), &n, &left_out);
	tinies = tinies_read(&d, json_object_get(in, "tinies"), &n_tinies);
	json_decref(in);
	if (!d.good) {
		free(links);
		free(tinies);
		return refuse(m);
	}
	m->beats++;
	w = need(m, router);
	w->router.seen = now;
	tinies_take(m, router, tinies, n_tinies, now);
	free(tinies);
	set_state(m, w, MONITOR_OK, now);
	if (mono_is_set(w->counted) && mono_since(now, w->counted) < SEC) {
		free(links);
		return 0;
	}
	seconds = seconds_since(&w->counted, now);
	w->router.runs = runs;
	w->router.load = load;
	w->router.uptime = uptime;
	w->router.rss = rss;
	w->router.workers = workers;
	take_counters(w, &c, seconds);
	if (!has_links && mono_since(now, w->linked) < MONITOR_LINKS_OLD) {
		free(links);
		return 0;
	}
	w->router.left_out = left_out;
	take_links(m, w, links, n, now);
	return 0;
}

/* ---- what else is known -------------------------------------------------------- */

void monitor_confirm(struct monitor *m, const struct router *router, const char *why)
{
	struct monitor_router *r = &need(m, router)->router;

	r->refuses = why && *why;
	snprintf(r->why, sizeof(r->why), "%s", r->refuses ? why : "");
}

void monitor_certificate(struct monitor *m, const struct router *router, int64_t end)
{
	need(m, router)->router.certificate = end;
}

void monitor_tick(struct monitor *m, const struct registry *registry, mono_t now)
{
	const struct router *r;
	size_t place = 0;

	m->mark++;
	while ((r = registry_each(registry, RECORD_ROUTER, &place))) {
		struct watched *w;

		if (r->record.revoked)
			continue;
		w = need(m, r);
		w->mark = m->mark;
		if (!mono_is_set(w->router.since))
			w->router.since = now;
		if (w->router.state == MONITOR_SILENT)
			continue;
		if (mono_since(now, w->router.state == MONITOR_OK ? w->router.seen
								  : w->router.since) > m->silence)
			set_state(m, w, MONITOR_SILENT, now);
	}
	for (size_t i = 0; i < m->routers.size; i++) {
		struct watched *w = m->routers.slots[i];

		if (w && w->mark != m->mark) {
			forget(m, w);
			i--; /* another one may have taken its slot */
		}
	}
	tinies_tick(m, registry);
}

const struct monitor_router *monitor_get(const struct monitor *m, uint32_t id)
{
	const struct watched *w = m ? index_get(&m->routers, &by_id, &id) : NULL;

	return w ? &w->router : NULL;
}

size_t monitor_count(const struct monitor *m, enum monitor_state state)
{
	return m->states[state];
}

size_t monitor_links(const struct monitor *m)
{
	return m->links;
}

uint64_t monitor_heartbeats(const struct monitor *m, bool refused)
{
	return refused ? m->refused : m->beats;
}

/* ---- shown --------------------------------------------------------------------- */

static void put(json_t *o, const char *name, json_t *value)
{
	json_object_set_new(o, name, mem_json(value));
}

/* Left out where it isn't known. */
static void put_number(json_t *o, const char *name, double value)
{
	if (value >= 0)
		put(o, name, json_real(value));
}

static json_t *link_json(const struct monitor_link *l, const struct registry *registry,
			 const struct router *router)
{
	const struct router *peer = registry_router_id(registry, l->peer);
	json_t *o = mem_json(json_object());

	put(o, "router", json_string(router->object.name));
	put(o, "peer", json_string(peer ? peer->object.name : "-"));
	put(o, "id", json_integer(l->peer));
	put(o, "up", json_boolean(l->up));
	put(o, "way", json_string(monitor_ways[l->way]));
	put_number(o, "rtt", l->rtt);
	put_number(o, "lost", l->lost);
	put_number(o, "bytes_in", l->received);
	put_number(o, "bytes_out", l->sent);
	return o;
}

json_t *monitor_json(const struct monitor *m, const struct router *router, mono_t now,
		     uint64_t now_ms)
{
	const struct monitor_router *r = monitor_get(m, router->record.id);
	json_t *o = mem_json(json_object());
	char version[VERSION_TEXT];

	put(o, "name", json_string(router->object.name));
	put(o, "id", json_integer(router->record.id));
	put(o, "site", json_string(router->site->object.name));
	put(o, "state", json_string(monitor_states[r ? r->state : MONITOR_UNSEEN]));
	if (router->record.disabled)
		put(o, "disabled", json_true());
	if (!r)
		return o;
	if (mono_is_set(r->seen))
		put(o, "heard", json_integer((json_int_t)now_ms - mono_since(now, r->seen) / MSEC));
	if (r->runs.generation || r->runs.number)
		put(o, "version", json_string(version_format(r->runs, version)));
	if (r->refuses)
		put(o, "refuses", json_string(r->why));
	if (r->certificate)
		put(o, "certificate", json_integer(r->certificate * 1000));
	put_number(o, "load", r->load);
	put_number(o, "uptime", r->uptime);
	if (r->rss)
		put(o, "rss", json_integer((json_int_t)r->rss));
	if (r->workers)
		put(o, "workers", json_integer((json_int_t)r->workers));
	put_number(o, "packets_in", r->packets_in);
	put_number(o, "packets_out", r->packets_out);
	put_number(o, "bytes_in", r->bytes_in);
	put_number(o, "bytes_out", r->bytes_out);
	put_number(o, "drops", r->drops);
	put(o, "peers", json_integer((json_int_t)r->n_links + r->left_out));
	return o;
}

void monitor_add_links(const struct monitor *m, const struct registry *registry,
		       const struct router *router, json_t *list)
{
	const struct monitor_router *r = monitor_get(m, router->record.id);

	for (uint32_t i = 0; r && i < r->n_links; i++)
		json_array_append_new(list, link_json(&r->links[i], registry, router));
}
