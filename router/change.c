/*
 * From one world to the next: another configuration, another image from the authority.
 *
 * Everything that can fail is built first, then it is switched: networks and peers that
 * stay keep their objects (counters, keys), the new world is published, and what has
 * gone is freed after a grace period. So no packet that both worlds carry is lost.
 *
 * An image in force stands in the place of the tables, networks and peers that the
 * configuration has; a reload changes the rest. Images differ by little as a rule: the
 * tables are updated by the rows that differ. Of a network whose two tables are not the
 * same the receive table is one update beyond the send table; else both are one.
 */
#include "router/change.h"

#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"

/* What is to be: lists in the order of IDs, but for the peers. */
struct wanted {
	const struct config *config;
	const struct config_network *nets;
	size_t n_nets;
	const struct config_peer *peers;
	size_t n_peers;
	struct table *send, *receive; /* the world's to be; the same one as a rule */
	const struct alias *aliases;
	size_t n_aliases;
};

/* What it needs beyond what is there; made before anything is changed. */
struct change {
	struct world *world;
	struct network **networks; /* the whole next list, old ones included */
	struct contact **contacts; /* ... */
};

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

/* Whether a contact can serve a changed section: its peer object stays. */
static bool serves(const struct contact *c, const struct config_peer *config)
{
	return c->peer->id == config->id && !strcmp(c->peer->name, config->name) &&
	       crypto_equal(c->config.key, config->key, CRYPTO_KEY);
}

/* ---- a world -------------------------------------------------------------------- */

static void world_free_tables(struct world *v)
{
	if (v->receive != v->table)
		table_free(v->receive);
	if (v->receive_networks != v->networks)
		free(v->receive_networks);
	table_free(v->table);
	free(v->networks);
	free(v->aliases);
}

static void world_free(struct world *v)
{
	if (!v)
		return;
	world_free_tables(v);
	free(v->peers);
	free(v->own);
	adjacencies_free(v->adjacencies);
	free(v);
}

void router_forget(struct router *r)
{
	world_free(r->world);
	r->world = NULL;
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
	if (file)
		fprintf(arg, "%s:%u: %s\n", file, line, text);
	else
		fprintf(arg, "%s\n", text);
}

/* With the wanted tables, which it has from then on whatever happens. */
static struct world *world_new(struct wanted *w)
{
	struct world *v = calloc(1, sizeof(*v));
	uint32_t slots = 2;

	if (!v) {
		if (w->receive != w->send)
			table_free(w->receive);
		table_free(w->send);
		return NULL;
	}
	v->table = w->send;
	v->receive = w->receive;
	while (slots < 2 * w->n_peers + 2)
		slots *= 2;
	v->mask = slots - 1;
	v->self = w->config->id;
	v->address4 = w->config->address4;
	v->address6 = w->config->address6;
	v->peers = calloc(slots, sizeof(*v->peers));
	v->networks = calloc(table_slots(v->table) + 1, sizeof(*v->networks));
	v->receive_networks = v->receive == v->table ? v->networks
						     : calloc(table_slots(v->receive) + 1,
							      sizeof(*v->receive_networks));
	v->aliases = w->n_aliases ? calloc(w->n_aliases, sizeof(*v->aliases)) : NULL;
	if (v->peers && v->networks && v->receive_networks && (v->aliases || !w->n_aliases))
		return v;
	world_free(v);
	return NULL;
}

static struct network *find_network(struct network *const *list, size_t n, uint32_t id)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list[middle]->id == id)
			return list[middle];
		if (list[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void fill_networks(struct network **ret, const struct table *t, const struct change *ch,
			  const struct wanted *w)
{
	for (uint32_t slot = 0; slot < table_slots(t); slot++) {
		const struct vnet *net = table_network(t, slot);

		ret[slot] = net ? find_network(ch->networks, w->n_nets, net->id) : NULL;
	}
}

static void world_fill(struct world *v, const struct change *ch, const struct wanted *w)
{
	fill_networks(v->networks, v->table, ch, w);
	if (v->receive != v->table)
		fill_networks(v->receive_networks, v->receive, ch, w);
	for (size_t i = 0; i < w->n_aliases; i++) {
		const struct alias *a = &w->aliases[i];
		uint32_t slot = table_slot(v->receive, a->to);
		struct network *from = find_network(ch->networks, w->n_nets, a->from);

		if (slot != UINT32_MAX && from)
			v->aliases[v->n_aliases++] = (struct network_alias){ from, slot };
	}
	for (size_t i = 0; i < w->n_peers; i++)
		world_insert(v, ch->contacts[i]->peer);
}

/* ---- a change ------------------------------------------------------------------- */

static void change_undo(struct router *r, struct change *ch, const struct wanted *w)
{
	for (size_t i = 0; ch->networks && i < w->n_nets; i++)
		if (ch->networks[i] && router_network(r, ch->networks[i]->id) != ch->networks[i])
			network_free(ch->networks[i]);
	for (size_t i = 0; ch->contacts && i < w->n_peers; i++)
		if (ch->contacts[i] && list_is_empty(&ch->contacts[i]->node))
			contact_free(ch->contacts[i]);
	free(ch->networks);
	free(ch->contacts);
	world_free(ch->world);
}

static bool change_prepare(struct router *r, struct wanted *w, struct change *ch, mono_t now)
{
	*ch = (struct change){ .world = world_new(w) };
	ch->networks = calloc(w->n_nets + 1, sizeof(*ch->networks));
	ch->contacts = calloc(w->n_peers + 1, sizeof(*ch->contacts));
	if (!ch->world || !ch->networks || !ch->contacts)
		return false;
	for (size_t i = 0; i < w->n_nets; i++) {
		struct network *n = router_network(r, w->nets[i].id);

		ch->networks[i] = n ? n : network_new(r, w->nets[i].id, w->nets[i].protection);
		if (!ch->networks[i])
			return false;
	}
	for (size_t i = 0; i < w->n_peers; i++) {
		struct contact *c = router_contact_by_id(r, w->peers[i].id);

		ch->contacts[i] =
			c && serves(c, &w->peers[i]) ? c : contact_new(r, &w->peers[i], now);
		if (!ch->contacts[i])
			return false;
	}
	return true;
}

/* Publishes the world; the old one is the caller's. From here on nothing fails. */
static struct world *change_publish(struct router *r, struct change *ch, const struct wanted *w)
{
	struct world *old = r->world, *v = ch->world;

	for (size_t i = 0; i < w->n_nets; i++)
		atomic_store(&ch->networks[i]->protection, (uint8_t)w->nets[i].protection);
	world_fill(v, ch, w);
	if (old) {
		v->own = old->own;
		v->n_own = old->n_own;
		v->adjacencies = old->adjacencies;
		if (!w->config->address4.family)
			v->address4 = old->address4;
		if (!w->config->address6.family)
			v->address6 = old->address6;
	}
	rcu_assign_pointer(r->world, v);
	synchronize_rcu();
	if (old) { /* the new world's now */
		old->own = NULL;
		old->adjacencies = NULL;
	}
	return old;
}

/* What has gone goes, what is new comes to the lists; what stays looks at what is
 * configured for it now. */
static void change_finish(struct router *r, struct change *ch, const struct wanted *w, mono_t now)
{
	struct network **networks = r->networks;
	size_t n_networks = r->n_networks;
	struct list gone;

	list_init(&gone);
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (world_peer(r->world, c->peer->id) == c->peer)
			continue;
		list_remove(node);
		list_insert(&gone, node);
		r->n_contacts--;
	}
	list_for_each(node, &gone)
		contact_free(container_of(node, struct contact, node));
	r->networks = ch->networks;
	r->n_networks = w->n_nets;
	r->table_version++;
	for (size_t i = 0; i < n_networks; i++)
		if (find_network(r->networks, r->n_networks, networks[i]->id) != networks[i])
			network_free(networks[i]);
	free(networks);
	for (size_t i = 0; i < w->n_peers; i++) {
		struct contact *c = ch->contacts[i];

		if (list_is_empty(&c->node)) {
			list_insert(&r->contacts, &c->node);
			r->n_contacts++;
		} else {
			contact_configure(c, &w->peers[i], now);
		}
	}
	free(ch->contacts);
}

/* What hangs on the whole of what is in force now. */
static void change_settle(struct router *r, mono_t now)
{
	limited_configure(r, now);
	router_update_mtu(r);
	router_kick(r);
}

/* ---- configurations ------------------------------------------------------------- */

/* False: what was wanted is not, and its tables are freed. */
static bool want_config(const struct router *r, const struct config *config, struct wanted *ret,
			FILE *errors)
{
	const struct given *g = r->given;

	*ret = (struct wanted){ .config = config,
				.nets = g ? g->nets : config->nets,
				.n_nets = g ? g->n_nets : config->n_nets,
				.peers = g ? g->peers : config->peers,
				.n_peers = g ? g->n_peers : config->n_peers };
	if (!g) {
		ret->send =
			table_new(config->id, config->lndt, config->n_lndt, config->gndt,
				  config->n_gndt, r->table_version + 1, report_conflict, errors);
		ret->receive = ret->send;
		return ret->send != NULL;
	}
	ret->aliases = g->image->aliases;
	ret->n_aliases = g->image->n_aliases;
	ret->send = table_update(r->world->table, NULL, 0, r->table_version + 1, NULL, NULL);
	ret->receive = r->world->receive == r->world->table
			       ? ret->send
			       : table_update(r->world->receive, NULL, 0, r->table_version + 1,
					      NULL, NULL);
	if (ret->send && ret->receive)
		return true;
	if (ret->receive != ret->send)
		table_free(ret->receive);
	table_free(ret->send);
	return false;
}

bool router_begin(struct router *r, struct config *config, mono_t now, FILE *errors)
{
	struct wanted w;
	struct change ch;

	if (!want_config(r, config, &w, errors))
		return false;
	if (!change_prepare(r, &w, &ch, now)) {
		change_undo(r, &ch, &w);
		return false;
	}
	world_free(change_publish(r, &ch, &w));
	change_finish(r, &ch, &w, now);
	config_free(r->config);
	r->config = config;
	change_settle(r, now);
	return true;
}

bool router_reload(struct router *r, struct config *config, mono_t now, FILE *errors)
{
	if (!config_can_reload(r->config, config, errors) ||
	    !router_begin(r, config, now, errors)) {
		counter_add(&r->events[EVENT_RELOADS_FAILED], 1);
		config_free(config);
		return false;
	}
	counter_add(&r->events[EVENT_RELOADS], 1);
	list_for_each(node, &r->contacts) { /* a reload asks for it */
		struct contact *c = container_of(node, struct contact, node);

		ways_hurry(c, now);
		contact_announce(c, now);
	}
	return true;
}

/* ---- images --------------------------------------------------------------------- */

/* Rows that differ, as changes of a table. */
struct rows {
	struct table_change *at;
	size_t n, room;
	uint32_t self, network;
	bool short_of_memory;
};

static void put_row(struct rows *l, const struct network_row *row, bool comes)
{
	bool mine = row->router == l->self;
	struct table_change *c;

	if (l->n == l->room) {
		size_t room = l->room * 2 + 64;

		c = realloc(l->at, room * sizeof(*c));
		if (!c) {
			l->short_of_memory = true;
			return;
		}
		l->at = c;
		l->room = room;
	}
	c = &l->at[l->n++];
	*c = (struct table_change){ .kind = mine ? (comes ? LNDT_ADD : LNDT_REMOVE)
						 : (comes ? GNDT_ADD : GNDT_REMOVE) };
	if (mine)
		c->lndt = (struct lndt_row){ .network = l->network, .prefix = row->prefix };
	else
		c->gndt = (struct gndt_row){ .network = l->network,
					     .router = row->router,
					     .prefix = row->prefix };
}

static void row_gone(void *arg, const struct network_row *row)
{
	put_row(arg, row, false);
}

static void row_come(void *arg, const struct network_row *row)
{
	put_row(arg, row, true);
}

/* The next entry of an image that is in the table of a side, from a place on. */
static const struct image_network *next_of(const struct image *image, size_t *at, uint8_t side)
{
	while (image && *at < image->n_networks && !(image->networks[*at].sides & side))
		++*at;
	return image && *at < image->n_networks ? &image->networks[*at] : NULL;
}

/* The table of one side of an image from that of another one (or of the same). `old`
 * may be NULL, with an empty table. */
static struct table *update_side(const struct table *table, const struct image *old,
				 uint8_t old_side, const struct image *image, uint8_t side,
				 uint64_t version, FILE *errors)
{
	struct rows l = { .self = image->router };
	struct table *t = NULL;
	size_t i = 0, k = 0;

	for (;;) {
		const struct image_network *a = next_of(old, &i, old_side);
		const struct image_network *b = next_of(image, &k, side);

		if (!a && !b)
			break;
		if (a && b && a->table->id != b->table->id) {
			if (a->table->id < b->table->id)
				b = NULL;
			else
				a = NULL;
		}
		l.network = a ? a->table->id : b->table->id;
		network_table_differ(a ? a->table : NULL, b ? b->table : NULL, row_gone, row_come,
				     &l);
		i += a != NULL;
		k += b != NULL;
	}
	if (!l.short_of_memory)
		t = table_update(table, l.at, l.n, version, report_conflict, errors);
	free(l.at);
	return t;
}

static bool has_two_tables(const struct image *image)
{
	for (size_t i = 0; i < image->n_networks; i++)
		if (image->networks[i].sides == SIDE_SEND ||
		    image->networks[i].sides == SIDE_RECEIVE)
			return true;
	return false;
}

static bool want_image(const struct router *r, const struct given *g, struct wanted *ret,
		       FILE *errors)
{
	const struct image *old = r->given ? r->given->tables : NULL, *tables = g->tables;
	struct table *empty = NULL;
	uint64_t version = r->table_version + 1;

	*ret = (struct wanted){ .config = r->config,
				.nets = g->nets,
				.n_nets = g->n_nets,
				.peers = g->peers,
				.n_peers = g->n_peers,
				.aliases = g->image->aliases,
				.n_aliases = g->image->n_aliases };
	if (!old)
		empty = table_new(r->config->id, NULL, 0, NULL, 0, version, NULL, NULL);
	if (old || empty)
		ret->send = update_side(old ? r->world->table : empty, old, SIDE_SEND, tables,
					SIDE_SEND, version, errors);
	table_free(empty);
	if (!ret->send)
		return false;
	ret->receive = ret->send;
	if (has_two_tables(tables))
		ret->receive = update_side(ret->send, tables, SIDE_SEND, tables, SIDE_RECEIVE,
					   version, errors);
	if (ret->receive)
		return true;
	table_free(ret->send);
	return false;
}

/* The peers that had no part in this network before are told how it is protected. */
static void announce_network(struct router *r, const struct image_network *was,
			     const struct image_network *is, mono_t now)
{
	const struct network_table *t = is->table;
	size_t n;

	for (size_t i = 0; i < t->n; i = network_table_next(t, i)) {
		struct contact *c;

		if (was && was->protection == is->protection &&
		    (network_table_of(was->table, t->rows[i].router, &n), n))
			continue;
		c = router_contact_by_id(r, t->rows[i].router);
		if (c)
			contact_announce(c, now);
	}
}

static void announce_image(struct router *r, const struct image *old, const struct image *image,
			   mono_t now)
{
	for (size_t i = 0; i < image->n_networks; i++) {
		const struct image_network *is = &image->networks[i], *was;

		was = old ? image_network(old, is->table->id, is->sides) : NULL;
		if (!was || was->table != is->table || was->protection != is->protection)
			announce_network(r, was, is, now);
	}
}

bool router_apply_image(struct router *r, struct image *image, image_key_fn *key, void *arg,
			mono_t now, FILE *errors)
{
	const struct given *old = r->given;
	struct given *g = NULL;
	struct wanted w;
	struct change ch;

	if (image->router != r->config->id)
		fprintf(errors, "tables of router %u can't run on router %u\n", image->router,
			r->config->id);
	else if (old && version_compare(image->version, old->image->version) <= 0)
		fprintf(errors, "tables that are not newer than those that run\n");
	else
		g = given_new(image, old, key, arg, errors);
	if (!g) {
		image_free(image);
		return false;
	}
	if (!want_image(r, g, &w, errors)) {
		given_free(g);
		return false;
	}
	if (!change_prepare(r, &w, &ch, now)) {
		fprintf(errors, "not enough memory for the tables\n");
		change_undo(r, &ch, &w);
		given_free(g);
		return false;
	}
	world_free(change_publish(r, &ch, &w));
	change_finish(r, &ch, &w, now);
	announce_image(r, old ? old->tables : NULL, g->tables, now);
	given_free(r->given);
	r->given = g;
	change_settle(r, now);
	return true;
}

const struct image *router_image(const struct router *r)
{
	return r->given ? r->given->image : NULL;
}

const struct image *router_tables(const struct router *r)
{
	return r->given ? r->given->tables : NULL;
}

const struct lndt_row *router_site(const struct router *r, const struct config *config,
				   size_t *ret_n)
{
	*ret_n = r->given ? r->given->n_lndt : config->n_lndt;
	return r->given ? r->given->lndt : config->lndt;
}
