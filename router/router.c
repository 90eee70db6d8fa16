/*
 * The router as a whole: its life, what its workers note, sums over them. How it comes
 * from one world to the next is in change.c.
 */
#include "router/change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/connections.h"

#define DEFAULT_MTU 1500
#define NOTES_PER_TURN 64 /* of one worker, before timers and others get their turn */
#define DEFAULT_OVERHEAD (28 + FRAME_OVERHEAD)

/* ---- networks ------------------------------------------------------------------- */

struct network *router_network(struct router *r, uint32_t id)
{
	size_t low = 0, high = r->n_networks;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (r->networks[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->n_networks && r->networks[low]->id == id ? r->networks[low] : NULL;
}

/* ---- contacts --------------------------------------------------------------------- */

struct contact *router_contact_by_id(struct router *r, uint32_t id)
{
	struct peer *p = r->world ? world_peer(r->world, id) : NULL;

	return p ? p->contact : NULL;
}

struct contact *router_contact(struct router *r, const char *name_or_id)
{
	uint32_t id;

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (!strcmp(c->peer->name, name_or_id))
			return c;
	}
	return id_parse(name_or_id, &id) ? NULL : router_contact_by_id(r, id);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct router *router_new(struct config *config, unsigned workers, struct loop *loop, mono_t now,
			  FILE *errors)
{
	struct router *r = calloc(1, sizeof(*r));

	if (!r) {
		config_free(config);
		return NULL;
	}
	r->loop = loop;
	r->started = now;
	r->intercept = config->intercept;
	list_init(&r->contacts);
	list_init(&r->ports);
	/* room for all that there may ever be: what is not used is not touched */
	r->workers = aligned_alloc(64, (WORKERS_MAX * sizeof(*r->workers) + 63) / 64 * 64);
	r->handshakes = handshake_ctx_new(config->id);
	r->resolver = resolver_new(loop);
	r->connections = connections_new(r);
	r->crypto = crypto_new(workers + 1, CRYPTO_FASTEST);
	if (r->workers && r->crypto && router_make_room(r, workers))
		router_deal(r, workers, now);
	if (r->n_workers && r->handshakes && r->resolver && r->connections &&
	    router_begin(r, config, now, errors))
		return r;
	fprintf(errors, "%s: not enough memory to start with, or see above\n", config->file);
	config_free(config);
	router_free(r);
	return NULL;
}

void router_free(struct router *r)
{
	limited_stop(r);
	list_for_each(node, &r->contacts)
		contact_free(container_of(node, struct contact, node));
	router_close_ports(r);
	for (unsigned i = 0; i < r->n_made; i++)
		worker_dismiss(&r->workers[i]);
	for (size_t i = 0; i < r->n_networks; i++)
		network_free(r->networks[i]);
	connections_free(r->connections);
	resolver_free(r->resolver);
	handshake_ctx_free(r->handshakes);
	router_forget(r);
	given_free(r->given);
	crypto_free(r->crypto);
	config_free(r->config);
	free(r->networks);
	free(r->workers);
	free(r);
}

/* ---- while it runs ------------------------------------------------------------------------------ */

static void hint(struct router *r, const struct endpoint *remote, mono_t now)
{
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		const struct path *hop = contact_hop(c);

		if (hop && hop->way.kind == WAY_UDP && endpoint_equal(&hop->way.remote, remote))
			probe_hint(c, now);
	}
}

static void stream_gone(struct router *r, const struct note *n, mono_t now)
{
	char why[80];

	snprintf(why, sizeof(why), "%.*s", (int)n->len, (const char *)n->data);
	connections_ended(r->connections, n->way.stream, why, now);
}

static void take_note(struct router *r, const struct note *n, mono_t now)
{
	struct peer *p = world_peer(r->world, n->router);

	if (n->kind == NOTE_TOO_BIG)
		hint(r, &n->way.remote, now);
	else if (n->kind == NOTE_DEVICE_GONE)
		r->device_gone = true;
	else if (n->kind == NOTE_STREAM_GONE)
		stream_gone(r, n, now);
	else if (p)
		contact_note(p->contact, n, now);
}

bool router_notes(struct router *r, mono_t now)
{
	bool more = false;

	for (unsigned i = 0; i < r->n_made; i++) {
		struct ring *notes = r->workers[i].notes;
		struct note *n;
		uint32_t len;

		if (!notes)
			continue;
		for (unsigned k = 0; k < NOTES_PER_TURN && (n = ring_peek(notes, &len)); k++) {
			take_note(r, n, now);
			ring_release(notes);
		}
		more |= ring_peek(notes, &len) != NULL;
	}
	return more;
}

void router_kick(struct router *r)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		worker_kick(&r->workers[i]);
}

/* Whether a path may be a stream, now or later. */
static bool may_stream(const struct router *r)
{
	bool may = r->config->n_tcp || r->config->n_tls;

	list_for_each(node, &r->contacts)
		may |= container_of(node, struct contact, node)->config.protocol != PROTOCOL_UDP;
	return may;
}

/* The device takes whatever a first hop could carry, not what the paths are found to:
 * the kernel would drop a segment that fit.c can still cut, and hosts that ignore
 * ICMP would hang. */
void router_update_mtu(struct router *r)
{
	uint32_t mtu = (r->config->mtu ? r->config->mtu : DEFAULT_MTU) - DEFAULT_OVERHEAD;

	if (mtu < PATH_STREAM_INNER && may_stream(r))
		mtu = PATH_STREAM_INNER;
	list_for_each(node, &r->contacts) {
		struct path *p = container_of(node, struct contact, node)->peer->path;

		if (p && p->frame_hope > mtu + FRAME_OVERHEAD)
			mtu = p->frame_hope - FRAME_OVERHEAD;
	}
	if (mtu < 1280)
		mtu = 1280; /* less, and the kernel takes IPv6 off the device */
	if (mtu == r->device_mtu)
		return;
	r->device_mtu = mtu;
	if (r->set_mtu && r->set_mtu(r, mtu) < 0)
		log_warn("%s: its MTU can't be set to %u", r->config->device, mtu);
}

void router_path_mtu(struct router *r, uint32_t old, uint32_t new)
{
	const uint32_t limit = r->device_mtu + FRAME_OVERHEAD;

	if (!r->device_mtu || new > limit || (old >= limit && new < old))
		router_update_mtu(r);
}

/* What left from an address that is gone has to leave from another one, and what was tried
 * in vain may lead somewhere now. */
static void readdress(struct router *r, const struct world *old, mono_t now)
{
	bool gone = false;

	for (size_t i = 0; i < old->n_own; i++)
		gone |= !world_owns(r->world, &old->own[i]);
	if (gone)
		connections_readdress(r->connections, old, now);
	list_for_each(node, &r->contacts) {
		ways_readdress(container_of(node, struct contact, node), gone, now);
	}
}

bool router_set_addresses(struct router *r, const struct ip *own, size_t n,
			  const struct ip *address4, const struct ip *address6, mono_t now)
{
	struct world *v, *old = r->world;

	if (n == old->n_own && (!n || !memcmp(own, old->own, n * sizeof(own[0]))) &&
	    ip_equal(address4, &old->address4) && ip_equal(address6, &old->address6))
		return false;
	v = malloc(sizeof(*v));
	if (!v)
		return false;
	*v = *old;
	v->own = malloc((n + 1) * sizeof(own[0]));
	if (!v->own) {
		free(v);
		return false;
	}
	if (n)
		memcpy(v->own, own, n * sizeof(own[0]));
	v->n_own = n;
	v->address4 = *address4;
	v->address6 = *address6;
	rcu_assign_pointer(r->world, v);
	synchronize_rcu();
	if (old->own) /* or this is the first time */
		readdress(r, old, now);
	free(old->own);
	free(old);
	return true;
}

void router_set_adjacencies(struct router *r, struct adjacencies *a)
{
	struct adjacencies *old = r->world->adjacencies;

	rcu_assign_pointer(r->world->adjacencies, a);
	synchronize_rcu();
	adjacencies_free(old);
}

/* ---- sums --------------------------------------------------------------------------------------- */

uint64_t router_drops(const struct router *r, enum drop d)
{
	uint64_t n = counter_read(&r->drops[d]);

	for (unsigned i = 0; i < r->n_made; i++)
		n += counter_read(&r->workers[i].counters.drops[d]);
	return n;
}

uint64_t router_events(const struct router *r, enum event e)
{
	uint64_t n = counter_read(&r->events[e]);

	for (unsigned i = 0; i < r->n_made; i++)
		n += counter_read(&r->workers[i].counters.events[e]);
	return n;
}

static void add(const struct traffic *t, uint64_t *packets, uint64_t *bytes)
{
	*packets += counter_read(&t->packets);
	*bytes += counter_read(&t->bytes);
}

void router_traffic(const struct router *r, enum direction d, uint64_t *ret_packets,
		    uint64_t *ret_bytes)
{
	*ret_packets = *ret_bytes = 0;
	for (unsigned i = 0; i < r->n_made; i++)
		add(&r->workers[i].counters.traffic[d], ret_packets, ret_bytes);
}

void peer_traffic(const struct router *r, const struct peer *p, enum direction d,
		  uint64_t *ret_packets, uint64_t *ret_bytes)
{
	*ret_packets = *ret_bytes = 0;
	for (unsigned i = 0; i < r->n_made; i++)
		add(&p->share[i]->traffic[d], ret_packets, ret_bytes);
}

void peer_relayed(const struct router *r, const struct peer *p, enum direction d,
		  uint64_t *ret_frames, uint64_t *ret_bytes)
{
	*ret_frames = *ret_bytes = 0;
	for (unsigned i = 0; i < r->n_made; i++)
		add(&p->share[i]->queued[d], ret_frames, ret_bytes);
}

void network_traffic(const struct router *r, const struct network *n, enum direction d,
		     uint64_t *ret_packets, uint64_t *ret_bytes)
{
	*ret_packets = *ret_bytes = 0;
	for (unsigned i = 0; i < r->n_made; i++)
		add(&n->share[i]->traffic[d], ret_packets, ret_bytes);
}
