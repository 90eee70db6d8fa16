/*
 * The router as a whole: from a configuration to a world that workers see, and
 * from one configuration to the next.
 *
 * A reload builds everything that can fail first, then switches: networks and
 * peers that stay keep their objects (counters, keys), the new world is
 * published, and what has gone is freed after a grace period. So no packet that
 * both configurations carry is lost. A change of tables alone does the same with a
 * world that differs in these only.
 */
#include "router/router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"

#define DEFAULT_MTU 1500
#define NOTES_PER_TURN 64 /* of one worker, before timers and others get their turn */
#define DEFAULT_OVERHEAD (28 + FRAME_OVERHEAD)

/* ---- networks ------------------------------------------------------------------- */

static struct network *network_new(const struct router *r, uint32_t id, enum protection protection)
{
	struct network *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->id = id;
	n->protection = (uint8_t)protection;
	if (!network_make_room(n, r->n_made)) {
		network_free(n);
		return NULL;
	}
	return n;
}

/* The place of a network in the router's list, or where it would be. */
static size_t network_place(const struct router *r, uint32_t id)
{
	size_t low = 0, high = r->n_networks;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (r->networks[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct network *router_network(struct router *r, uint32_t id)
{
	size_t at = network_place(r, id);

	return at < r->n_networks && r->networks[at]->id == id ? r->networks[at] : NULL;
}

/* ---- contacts --------------------------------------------------------------------- */

struct contact *router_contact_by_id(struct router *r, uint32_t id)
{
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (c->peer->id == id)
			return c;
	}
	return NULL;
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

/* Whether a contact can serve a changed section: its peer object stays. */
static bool serves(const struct contact *c, const struct config_peer *config)
{
	return c->peer->id == config->id && !strcmp(c->peer->name, config->name) &&
	       crypto_equal(c->config.key, config->key, CRYPTO_KEY);
}

/* ---- a world -------------------------------------------------------------------------- */

static void world_free(struct world *v)
{
	if (!v)
		return;
	table_free(v->table);
	free(v->networks);
	free(v->peers);
	free(v->own);
	adjacencies_free(v->adjacencies);
	free(v);
}

static void world_insert(struct world *v, struct peer *p)
{
	uint32_t i = p->id * 2654435769u;

	while (v->peers[i & v->mask])
		i++;
	v->peers[i & v->mask] = p;
}

static void report_conflict(void *arg, const char *text, const char *file, unsigned line)
{
	fprintf(arg, "%s:%u: %s\n", file ? file : "?", line, text);
}

static struct world *world_new(const struct router *r, const struct config *config, FILE *errors)
{
	struct world *v = calloc(1, sizeof(*v));
	uint32_t slots = 2;

	if (!v)
		return NULL;
	while (slots < 2 * config->n_peers + 2)
		slots *= 2;
	v->mask = slots - 1;
	v->self = config->id;
	v->address4 = config->address4;
	v->address6 = config->address6;
	v->peers = calloc(slots, sizeof(*v->peers));
	v->networks = calloc(config->n_nets + 1, sizeof(*v->networks));
	v->table = table_new(config->id, config->lndt, config->n_lndt, config->gndt, config->n_gndt,
			     r->table_version + 1, report_conflict, errors);
	if (v->peers && v->networks && v->table)
		return v;
	world_free(v);
	return NULL;
}

/* ---- a change of configuration ---------------------------------------------------------- */

/* What the next configuration needs beyond what is there; made before anything
 * is changed. */
struct change {
	struct world *world;
	struct network **networks; /* the whole next list, old ones included */
	struct contact **contacts; /* ... */
};

static void change_undo(struct router *r, struct change *ch, const struct config *config)
{
	for (size_t i = 0; ch->networks && i < config->n_nets; i++)
		if (ch->networks[i] && router_network(r, ch->networks[i]->id) != ch->networks[i])
			network_free(ch->networks[i]);
	for (size_t i = 0; ch->contacts && i < config->n_peers; i++)
		if (ch->contacts[i] && list_is_empty(&ch->contacts[i]->node))
			contact_free(ch->contacts[i]);
	free(ch->networks);
	free(ch->contacts);
	world_free(ch->world);
}

static bool change_prepare(struct router *r, const struct config *config, struct change *ch,
			   mono_t now, FILE *errors)
{
	memset(ch, 0, sizeof(*ch));
	ch->world = world_new(r, config, errors);
	ch->networks = calloc(config->n_nets + 1, sizeof(*ch->networks));
	ch->contacts = calloc(config->n_peers + 1, sizeof(*ch->contacts));
	if (!ch->world || !ch->networks || !ch->contacts)
		return false;
	for (size_t i = 0; i < config->n_nets; i++) {
		struct network *n = router_network(r, config->nets[i].id);

		ch->networks[i] =
			n ? n : network_new(r, config->nets[i].id, config->nets[i].protection);
		if (!ch->networks[i])
			return false;
	}
	for (size_t i = 0; i < config->n_peers; i++) {
		struct contact *c = router_contact_by_id(r, config->peers[i].id);

		ch->contacts[i] = c && serves(c, &config->peers[i])
					  ? c
					  : contact_new(r, &config->peers[i], now);
		if (!ch->contacts[i])
			return false;
	}
	return true;
}

/* Slots of the table are ascending by network ID, as the list is; the table may
 * know fewer. */
static void world_fill(struct world *v, const struct change *ch, const struct config *config)
{
	size_t at = 0;

	for (uint32_t slot = 0; slot < table_networks(v->table); slot++) {
		while (at < config->n_nets &&
		       ch->networks[at]->id != table_network(v->table, slot)->id)
			at++;
		v->networks[slot] = ch->networks[at];
	}
	for (size_t i = 0; i < config->n_peers; i++)
		world_insert(v, ch->contacts[i]->peer);
}

static bool is_in(const void *what, void *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == what)
			return true;
	return false;
}

/* From here on nothing fails. */
static void change_commit(struct router *r, struct config *config, struct change *ch, mono_t now)
{
	struct world *old = r->world;
	struct network **networks = r->networks;
	size_t n_networks = r->n_networks;
	struct list gone;

	list_init(&gone);
	for (size_t i = 0; i < config->n_nets; i++)
		atomic_store(&ch->networks[i]->protection, (uint8_t)config->nets[i].protection);
	world_fill(ch->world, ch, config);
	if (old) {
		ch->world->own = old->own;
		ch->world->n_own = old->n_own;
		ch->world->adjacencies = old->adjacencies;
		if (!config->address4.family)
			ch->world->address4 = old->address4;
		if (!config->address6.family)
			ch->world->address6 = old->address6;
	}
	rcu_assign_pointer(r->world, ch->world);
	synchronize_rcu();
	if (old) { /* the new world's now */
		old->own = NULL;
		old->adjacencies = NULL;
	}

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (is_in(c, (void *const *)ch->contacts, config->n_peers))
			continue;
		list_remove(node);
		list_insert(&gone, node);
		r->n_contacts--;
	}
	list_for_each(node, &gone)
		contact_free(container_of(node, struct contact, node));
	r->networks = ch->networks;
	r->n_networks = config->n_nets;
	r->table_version++;
	for (size_t i = 0; i < n_networks; i++)
		if (!is_in(networks[i], (void *const *)r->networks, r->n_networks))
			network_free(networks[i]);
	free(networks);
	world_free(old);
	for (size_t i = 0; i < config->n_peers; i++) {
		struct contact *c = ch->contacts[i];

		if (list_is_empty(&c->node)) {
			list_insert(&r->contacts, &c->node);
			r->n_contacts++;
		} else {
			contact_configure(c, &config->peers[i], now);
		}
	}
	free(ch->contacts);
	config_free(r->config);
	r->config = config;
	router_kick(r);
}

static bool apply(struct router *r, struct config *config, mono_t now, FILE *errors)
{
	struct change ch;

	if (!change_prepare(r, config, &ch, now, errors)) {
		change_undo(r, &ch, config);
		return false;
	}
	change_commit(r, config, &ch, now);
	return true;
}

bool router_reload(struct router *r, struct config *config, mono_t now, FILE *errors)
{
	if (!config_can_reload(r->config, config, errors) || !apply(r, config, now, errors)) {
		counter_add(&r->events[EVENT_RELOADS_FAILED], 1);
		config_free(config);
		return false;
	}
	counter_add(&r->events[EVENT_RELOADS], 1);
	return true;
}

/* ---- a change of tables ----------------------------------------------------------------- */

static uint32_t changed_network(const struct table_change *c)
{
	return c->kind == LNDT_ADD || c->kind == LNDT_REMOVE ? c->lndt.network : c->gndt.network;
}

/* Makes the network unless it is there: as its section in the configuration says, or
 * as those do that have none. */
static bool network_need(struct router *r, uint32_t id)
{
	size_t at = network_place(r, id);
	enum protection protection = r->config->protection;
	struct network **networks, *n;

	if (at < r->n_networks && r->networks[at]->id == id)
		return true;
	for (size_t i = 0; i < r->config->n_nets; i++)
		if (r->config->nets[i].id == id)
			protection = r->config->nets[i].protection;
	networks = realloc(r->networks, (r->n_networks + 1) * sizeof(networks[0]));
	if (!networks)
		return false;
	r->networks = networks;
	n = network_new(r, id, protection);
	if (!n)
		return false;
	memmove(networks + at + 1, networks + at, (r->n_networks++ - at) * sizeof(networks[0]));
	networks[at] = n;
	return true;
}

/* Drops the networks among the changed ones that the tables don't know any more. */
static void networks_tidy(struct router *r, const struct table_change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t id = changed_network(&changes[i]);
		size_t at = network_place(r, id);

		if (at == r->n_networks || r->networks[at]->id != id ||
		    table_slot(r->world->table, id) != UINT32_MAX)
			continue;
		network_free(r->networks[at]);
		memmove(r->networks + at, r->networks + at + 1,
			(--r->n_networks - at) * sizeof(r->networks[0]));
	}
}

/* The networks by slot: the old list where no changed one has another slot now. */
static bool world_renumber(struct router *r, struct world *v, const struct table_change *changes,
			   size_t n)
{
	const struct table *old = r->world->table;
	bool same = true;

	for (size_t i = 0; i < n && same; i++) {
		uint32_t id = changed_network(&changes[i]);

		same = table_slot(v->table, id) == table_slot(old, id);
	}
	if (same)
		return true;
	v->networks = calloc(table_slots(v->table) + 1, sizeof(v->networks[0]));
	for (uint32_t slot = 0; v->networks && slot < table_slots(v->table); slot++) {
		const struct vnet *net = table_network(v->table, slot);

		v->networks[slot] = net ? router_network(r, net->id) : NULL;
	}
	return v->networks != NULL;
}

/* Peers are told how networks are protected that they take part in from now on. */
static void announce_new(struct router *r, const struct table *old,
			 const struct table_change *changes, size_t n, mono_t now)
{
	for (size_t i = 0; i < n; i++) {
		const struct gndt_row *row = &changes[i].gndt;
		struct contact *c;

		if (changes[i].kind != GNDT_ADD ||
		    gndt_names(old, table_slot(old, row->network), row->router))
			continue;
		c = router_contact_by_id(r, row->router);
		if (c)
			contact_announce(c, now);
	}
}

bool router_table_change(struct router *r, const struct table_change *changes, size_t n, mono_t now,
			 FILE *errors)
{
	struct world *old = r->world, *v = malloc(sizeof(*v));
	bool made = v != NULL;

	if (v) {
		*v = *old;
		v->table = table_update(old->table, changes, n, r->table_version + 1,
					report_conflict, errors);
		made = v->table != NULL;
	}
	for (size_t i = 0; made && i < n; i++)
		made = table_slot(v->table, changed_network(&changes[i])) == UINT32_MAX ||
		       network_need(r, changed_network(&changes[i]));
	if (!made || !world_renumber(r, v, changes, n)) {
		networks_tidy(r, changes, n);
		if (v)
			table_free(v->table);
		free(v);
		return false;
	}
	rcu_assign_pointer(r->world, v);
	synchronize_rcu();
	r->table_version++;
	networks_tidy(r, changes, n);
	announce_new(r, old->table, changes, n, now);
	if (v->networks != old->networks)
		free(old->networks);
	table_free(old->table);
	free(old);
	router_kick(r);
	return true;
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
	r->crypto = crypto_new(workers + 1, CRYPTO_FASTEST);
	if (r->workers && r->crypto && router_make_room(r, workers))
		router_deal(r, workers);
	if (r->n_workers && r->handshakes && r->resolver && apply(r, config, now, errors))
		return r;
	fprintf(errors, "%s: not enough memory to start with, or see above\n", config->file);
	config_free(config);
	router_free(r);
	return NULL;
}

void router_free(struct router *r)
{
	list_for_each(node, &r->contacts)
		contact_free(container_of(node, struct contact, node));
	router_close_ports(r);
	for (unsigned i = 0; i < r->n_made; i++)
		worker_dismiss(&r->workers[i]);
	for (size_t i = 0; i < r->n_networks; i++)
		network_free(r->networks[i]);
	resolver_free(r->resolver);
	handshake_ctx_free(r->handshakes);
	world_free(r->world);
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

		if (c->peer->path && endpoint_equal(&c->peer->path->way.remote, remote))
			probe_hint(c, now);
	}
}

static void take_note(struct router *r, const struct note *n, mono_t now)
{
	struct peer *p = world_peer(r->world, n->router);

	if (n->kind == NOTE_TOO_BIG)
		hint(r, &n->way.remote, now);
	else if (n->kind == NOTE_DEVICE_GONE)
		r->device_gone = true;
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

/* The device takes whatever a first hop could carry, not what the paths are found to:
 * the kernel would drop a segment that fit.c can still cut, and hosts that ignore
 * ICMP would hang. */
void router_update_mtu(struct router *r)
{
	uint32_t mtu = (r->config->mtu ? r->config->mtu : DEFAULT_MTU) - DEFAULT_OVERHEAD;

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
	if (r->host && host_set_mtu(r->host, mtu) < 0)
		log_warn("%s: its MTU can't be set to %u", r->config->device, mtu);
}

bool router_set_addresses(struct router *r, const struct ip *own, size_t n,
			  const struct ip *address4, const struct ip *address6)
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

void network_traffic(const struct router *r, const struct network *n, enum direction d,
		     uint64_t *ret_packets, uint64_t *ret_bytes)
{
	*ret_packets = *ret_bytes = 0;
	for (unsigned i = 0; i < r->n_made; i++)
		add(&n->share[i]->traffic[d], ret_packets, ret_bytes);
}
