/*
 * Publishing: who knows whom.
 *
 * A router knows, beside those that share a network with it, its queue routers, those of
 * its limited neighbours, and, as a queue router, its clients and their neighbours, between
 * which it relays. So it is mutual: who is known knows.
 *
 * Queue routers change in the steps of a round, so that no frame is lost. Step 1: old and
 * new ones serve and are named, the old first, so that those in use remain, and links to the
 * new ones come up. Step 2: all still serve, the new ones are named, and are moved to. Step
 * 3: the old ones serve no more. Between them is time for links to come up.
 *
 * What a change touches is computed on the state as gathered, before and after; images are
 * as far as rounds are.
 */
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/publish_private.h"

/* ---- what is known of one ------------------------------------------------------- */

static struct image_peer *peer_of(const struct publish *p, const struct target *t)
{
	const struct router *r = registry_router_id(p->registry, t->id);
	struct image_peer *peer;

	if (!r || r->record.revoked)
		return NULL;
	peer = publish_have(image_peer_new());
	peer->id = t->id;
	peer->direct = r->record.direct;
	peer->tls_port = (uint16_t)r->record.tls_port;
	strcpy(peer->name, r->object.name);
	peer->n_keys = 1;
	peer->keys[0].len = (uint8_t)strnlen(r->record.key, IMAGE_KEY);
	memcpy(peer->keys[0].bytes, r->record.key, peer->keys[0].len);
	for (unsigned i = 0; i < t->used.n; i++)
		peer->queue_routers[peer->n_queue_routers++] = t->used.at[i];
	if (image_endpoint_valid(r->record.endpoint))
		strcpy(peer->endpoints[peer->n_endpoints++], r->record.endpoint);
	if (image_peer_valid(peer))
		return peer;
	image_peer_unref(peer); /* it has no key yet */
	return NULL;
}

bool target_refresh(const struct publish *p, struct target *t)
{
	struct image_peer *peer = peer_of(p, t);

	if (peer == t->peer || (peer && t->peer && image_peer_equal(peer, t->peer))) {
		image_peer_unref(peer);
		return false;
	}
	image_peer_unref(t->peer);
	image_peer_unref(t->relayed);
	t->peer = peer;
	t->relayed = NULL;
	return true;
}

/* As a queue router knows it. By others it can't be reached from there: it calls. */
static struct image_peer *relayed(struct target *t)
{
	if (!t->relayed) {
		t->relayed = publish_have(image_peer_copy(t->peer));
		t->relayed->relay = true;
		t->relayed->n_queue_routers = 0;
	}
	return t->relayed;
}

static enum image_limited mode_of(const struct router *r)
{
	static const enum image_limited modes[ROUTER_LIMITED_WORDS] = {
		[ROUTER_AUTO] = IMAGE_LIMITED,	    [ROUTER_CHANNEL] = IMAGE_CHANNEL,
		[ROUTER_UDP] = IMAGE_UDP,	    [ROUTER_POLL_UDP] = IMAGE_POLL_UDP,
		[ROUTER_POLL_TCP] = IMAGE_POLL_TCP,
	};

	return r && router_is_limited(r) ? modes[r->record.limited] : IMAGE_NOT_LIMITED;
}

/* ---- who is there ---------------------------------------------------------------- */

typedef void target_fn(struct publish *, void *arg, struct target *);

/* Of those in an image's tables: each, once for each network. */
static void each_in_image(struct publish *p, const struct image *image, target_fn *fn, void *arg)
{
	for (size_t i = 0; i < image->n_networks; i++) {
		const struct network_table *t = image->networks[i].table;

		for (size_t k = 0; k < t->n; k = network_table_next(t, k))
			fn(p, arg, target_need(p, t->rows[k].router));
	}
}

/* ---- peers of one --------------------------------------------------------------- */

static void put_peer(struct image *image, size_t *room, const struct image_peer *peer)
{
	image->peers = mem_more(image->peers, image->n_peers, room, sizeof(*image->peers));
	image->peers[image->n_peers++] = image_peer_ref(peer);
}

static void add_relayed(const struct publish *p, struct image *image, size_t *room,
			struct target *t)
{
	if (t->aside == p->aside || !t->peer || t->id == image->router)
		return;
	t->aside = p->aside;
	put_peer(image, room, relayed(t));
}

/* False: it is there already. */
static bool add_known(const struct publish *p, struct image *image, size_t *room, struct target *t)
{
	if (t->mark == p->mark)
		return false;
	t->mark = p->mark;
	if (t->aside != p->aside && t->peer && t->id != image->router)
		put_peer(image, room, t->peer);
	return true;
}

static void add_queue_routers(struct publish *p, struct image *image, size_t *room,
			      const struct queue_routers *l)
{
	for (unsigned i = 0; i < l->n; i++)
		add_known(p, image, room, target_need(p, l->at[i]));
}

struct finding {
	struct image *image;
	size_t *room;
};

static void add_with_queue_routers(struct publish *p, void *arg, struct target *t)
{
	const struct finding *f = arg;

	if (add_known(p, f->image, f->room, t))
		add_queue_routers(p, f->image, f->room, &t->served);
}

static int compare_peers(const void *a, const void *b)
{
	const struct image_peer *x = *(struct image_peer *const *)a;
	const struct image_peer *y = *(struct image_peer *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static void set_self(struct publish *p, const struct target *t, struct image *image)
{
	struct image_self *self = &image->self;

	self->limited = (uint8_t)t->mode;
	for (unsigned i = 0; t->mode != IMAGE_NOT_LIMITED && i < t->used.n; i++)
		if (target_need(p, t->used.at[i])->peer)
			self->queue_routers[self->n_queue_routers++] = t->used.at[i];
}

void peers_find(struct publish *p, const struct target *t, struct image *image)
{
	size_t room = 0;

	p->mark++;
	p->aside++;
	for (size_t i = 0; i < t->n_clients; i++) {
		const struct target *client = t->clients[i];

		add_relayed(p, image, &room, t->clients[i]);
		for (size_t k = 0; k < client->n_near; k++)
			add_relayed(p, image, &room, client->near[k]);
	}
	each_in_image(p, image, add_with_queue_routers, &(struct finding){ image, &room });
	add_queue_routers(p, image, &room, &t->served);
	if (image->n_peers)
		qsort(image->peers, image->n_peers, sizeof(*image->peers), compare_peers);
	set_self(p, t, image);
}

static int compare_tinies(const void *a, const void *b)
{
	const struct image_tiny *x = *(struct image_tiny *const *)a;
	const struct image_tiny *y = *(struct image_tiny *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static bool delivers(const struct router *router, const struct host *h)
{
	for (uint32_t i = 0; h && i < h->n_addresses; i++)
		if (router_for(h, &h->addresses[i].ip) == router)
			return true;
	return false;
}

/* NULL: it can't be told, since its key is no key. */
static struct image_tiny *tiny_of(const struct router *router, const struct tiny *from)
{
	struct image_tiny *t = publish_have(image_tiny_new());
	const struct tiny_record *r = &from->record;

	t->id = r->id;
	t->here = delivers(router, from->host);
	strcpy(t->name, from->object.name);
	t->key.len = (uint8_t)strnlen(r->key, IMAGE_KEY);
	memcpy(t->key.bytes, r->key, t->key.len);
	for (size_t i = 0; i < r->addresses.n; i++)
		t->addresses[t->n_addresses++] = r->addresses.at[i];
	if (image_tiny_valid(t))
		return t;
	image_tiny_unref(t);
	return NULL;
}

/* Those that may connect to it, as the registry has them now: so one that is revoked is out
 * with the first step. A router that is disabled has none: they go over to others of theirs. What
 * is as it was is shared with the image before. */
void peers_tinies(const struct publish *p, const struct target *t, struct image *image)
{
	const struct router *r = registry_router_id(p->registry, t->id);
	size_t room = 0, n = 0;

	if (!r || !router_active(r))
		return;
	list_for_each(node, &r->tinies) {
		const struct tiny_place *place = container_of(node, struct tiny_place, by_router);
		struct image_tiny *tiny = tiny_of(r, place->tiny);
		const struct image_tiny *was = tiny ? image_tiny(t->image, tiny->id) : NULL;

		if (!tiny)
			continue;
		if (was && image_tiny_equal(was, tiny)) {
			image_tiny_unref(tiny);
			tiny = image_tiny_ref(was);
		}
		image->tinies = mem_more(image->tinies, n, &room, sizeof(*image->tinies));
		image->tinies[n++] = tiny;
	}
	image->n_tinies = n;
	if (n)
		qsort(image->tinies, n, sizeof(*image->tinies), compare_tinies);
}

static void add_near(struct publish *p, void *arg, struct target *other)
{
	struct target *t = arg;

	if (other->mark == p->mark)
		return;
	other->mark = p->mark;
	t->near = mem_more(t->near, t->n_near, &t->near_room, sizeof(struct target *));
	t->near[t->n_near++] = other;
}

void peers_near(struct publish *p, struct target *t, const struct image *image)
{
	free(t->near);
	t->near = NULL;
	t->n_near = t->near_room = 0;
	if (!t->served.n)
		return;
	p->mark++;
	t->mark = p->mark;
	each_in_image(p, image, add_near, t);
}

/* ---- queue routers -------------------------------------------------------------- */

static void remove_client(struct target *q, const struct target *t)
{
	size_t i = 0;

	while (q->clients[i] != t)
		i++;
	q->clients[i] = q->clients[--q->n_clients];
}

static void set_served(struct publish *p, struct target *t, const struct queue_routers *by)
{
	for (unsigned i = 0; i < t->served.n; i++)
		remove_client(target_find(p, t->served.at[i]), t);
	t->served = *by;
	for (unsigned i = 0; i < by->n; i++) {
		struct target *q = target_need(p, by->at[i]);

		q->clients = mem_more(q->clients, q->n_clients, &q->clients_room,
				      sizeof(struct target *));
		q->clients[q->n_clients++] = t;
	}
}

/* The old ones, as far as all the new ones leave room, then those that are new. */
static struct queue_routers both(const struct move *m)
{
	struct queue_routers l = { 0 };
	unsigned room = IMAGE_QUEUE_ROUTERS - m->to.n;

	for (unsigned i = 0; i < m->from.n; i++) {
		bool stays = queue_routers_have(&m->to, m->from.at[i]);

		if (!stays && !room)
			continue;
		room -= !stays;
		l.at[l.n++] = m->from.at[i];
	}
	for (unsigned i = 0; i < m->to.n; i++)
		if (!queue_routers_have(&l, m->to.at[i]))
			l.at[l.n++] = m->to.at[i];
	return l;
}

void peers_step(struct publish *p, const struct round *round)
{
	for (size_t i = 0; i < round->n_moves; i++) {
		const struct move *m = &round->moves[i];
		const struct queue_routers all = both(m);

		m->target->used = round->step == 1 ? all : m->to;
		set_served(p, m->target, round->step == STEP_LAST ? &m->to : &all);
		target_refresh(p, m->target);
	}
}

void peers_begin(struct publish *p)
{
	const struct router *r;

	for (size_t place = 0; (r = registry_each(p->registry, RECORD_ROUTER, &place));) {
		struct target *t = target_need(p, r->record.id);

		t->mode = mode_of(r);
		t->serves = router_serves(r);
		queue_routers_of(p->registry, r, &t->latest);
		t->used = t->latest;
		set_served(p, t, &t->latest);
		target_refresh(p, t);
	}
	for (size_t i = 0; i < p->n; i++)
		peers_near(p, p->targets[i], p->targets[i]->image);
	for (size_t i = 0; i < p->n; i++) {
		peers_find(p, p->targets[i], p->targets[i]->image);
		peers_tinies(p, p->targets[i], p->targets[i]->image);
	}
}

/* ---- what a change touches ------------------------------------------------------ */

/* The next record is that of this router: whether another set of routers can serve. */
static bool take_record(struct publish *p, struct round *round, struct target *t)
{
	const struct router *r = registry_router_id(p->registry, t->id);
	enum image_limited mode = mode_of(r);
	bool serves = r && router_serves(r), served = t->serves;

	if (mode != t->mode)
		round_touch(p, round, t);
	t->mode = mode;
	t->serves = serves;
	if (target_refresh(p, t)) /* those that know it */
		for (size_t i = 0; i < t->image->n_peers; i++)
			round_touch(p, round, target_find(p, t->image->peers[i]->id));
	return serves != served;
}

static void look_for_move(struct publish *p, struct round *round, size_t *room, struct target *t)
{
	const struct router *r = registry_router_id(p->registry, t->id);
	struct move m = { .target = t, .from = t->latest };

	if (r)
		queue_routers_of(p->registry, r, &m.to);
	if (queue_routers_equal(&m.from, &m.to))
		return;
	t->latest = m.to;
	round->settles |= m.from.n != 0;
	round->moves = mem_more(round->moves, round->n_moves, room, sizeof(m));
	round->moves[round->n_moves++] = m;
}

static void touch_all(struct publish *p, struct round *round, const struct queue_routers *l)
{
	for (unsigned i = 0; i < l->n; i++)
		round_touch(p, round, target_need(p, l->at[i]));
}

/* Of those that deliver something in a VN: each, perhaps more than once. */
static void each_in(struct publish *p, const struct vn *vn, target_fn *fn, void *arg)
{
	const struct router *last = NULL;

	for (size_t i = 0; i < vn->n_members; i++) {
		const struct host *h = vn->members[i];

		if (h->router == last || !h->n_addresses || !router_active(h->router))
			continue;
		last = h->router;
		fn(p, arg, target_need(p, last->record.id));
	}
}

/* Of those that share a network with it, itself included, but for these networks. */
static void each_neighbour(struct publish *p, const struct target *t, const struct networks * not,
			   target_fn *fn, void *arg)
{
	const struct router *r = registry_router_id(p->registry, t->id);

	if (!r || !router_active(r))
		return;
	list_for_each(node, &r->hosts) {
		const struct host *h = container_of(node, struct host, by_router);

		for (uint32_t i = 0; h->n_addresses && i < h->n_vns; i++)
			if (!networks_get(not, h->vns[i]->id))
				each_in(p, h->vns[i], fn, arg);
	}
}

static void touch(struct publish *p, void *round, struct target *t)
{
	round_touch(p, round, t);
}

static void set_aside(struct publish *p, void *arg, struct target *t)
{
	(void)arg;
	t->aside = p->aside;
}

/* Whether the change lets other routers share a network with it than before: three sets,
 * by marks that ascend. */
static bool has_others(struct publish *p, const struct tables_change *change,
		       const struct target *t)
{
	const uint64_t always = p->aside + 1, was = p->aside + 2, is = p->aside + 3;
	struct step_image before, after;
	bool others = false;
	size_t gone = 0;

	tables_change_image(change, 0, t->id, &before);
	tables_change_image(change, STEP_LAST, t->id, &after);
	p->aside = always;
	each_neighbour(p, t, &after.send, set_aside, NULL);
	p->aside = is;
	for (size_t i = 0; i < before.send.n; i++)
		for (size_t k = 0; k < before.send.at[i]->n; k++) {
			struct target *other = target_need(p, before.send.at[i]->rows[k].router);

			if (other->aside < always) {
				other->aside = was;
				gone++;
			}
		}
	for (size_t i = 0; i < after.send.n; i++)
		for (size_t k = 0; k < after.send.at[i]->n; k++) {
			struct target *other = target_need(p, after.send.at[i]->rows[k].router);

			others |= other->aside < always;
			if (other->aside == was) {
				other->aside = is;
				gone--;
			}
		}
	step_image_done(&before);
	step_image_done(&after);
	return others || gone;
}

void peers_gathered(struct publish *p, struct round *round)
{
	static const struct networks none;
	const uint32_t *ids;
	size_t n = tables_change_routers(round->change, &ids), room = 0;
	bool others_serve = false;

	p->mark++;
	for (size_t i = 0; i < n; i++)
		others_serve |= take_record(p, round, target_need(p, ids[i]));
	for (size_t i = 0; !others_serve && i < n; i++)
		look_for_move(p, round, &room, target_find(p, ids[i]));
	for (size_t i = 0; others_serve && i < p->n; i++)
		look_for_move(p, round, &room, p->targets[i]);
	for (size_t i = 0; i < round->n_moves; i++) {
		const struct move *m = &round->moves[i];

		round_touch(p, round, m->target);
		each_neighbour(p, m->target, &none, touch, round);
		touch_all(p, round, &m->from);
		touch_all(p, round, &m->to);
	}
	n = tables_change_tinies(round->change, &ids);
	for (size_t i = 0; i < n; i++)
		round_touch(p, round, target_need(p, ids[i]));
	n = tables_change_touched(round->change, &ids);
	for (size_t i = 0; i < n; i++) {
		struct target *t = target_need(p, ids[i]);

		round_touch(p, round, t);
		if (t->latest.n && has_others(p, round->change, t))
			touch_all(p, round, &t->latest);
	}
}
