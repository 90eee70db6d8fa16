/*
 * Limited routers, see limited.h.
 *
 * Several times a second it is looked at who is dead (liveness.c) of the queue routers
 * themselves, and of the peers that are reached by them. The first tells of a queue router
 * that is dead for all its peers at once; the second of one that lives and has lost one of
 * them. A queue router that knows so itself says it (limited_unreachable). Whoever changes
 * to another one is followed by the other end, if that hears nothing by its own way any
 * more (limited_heard); so only one of the two need notice.
 *
 * With nothing better at hand, the one in use stays in use. Keys are end to end: a change
 * is no more than another path.
 */
#include "router/limited.h"

#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/backlog.h"
#include "router/router.h"

#define LOOK (100 * MSEC)
#define WAYLESS (5 * SEC)	/* one that has no way to a peer is tried again after */
#define BETTER (10 * SEC)	/* a better one is changed to when it has been that for, */
#define MEASURE (2 * SEC)	/* ... measured again and again */
#define FOLLOW (400 * MSEC)	/* own way silent for so long: the other end's is taken */
#define MUCH_LEAST (5 * MSEC)	/* of a round trip: what is not clearly shorter, */
#define LITTLE_LEAST (2 * MSEC) /* ... nor noticeably */
#define INTERVAL (200 * MSEC)	/* of asking, if the configuration has no [limited] */

/* ---- who ---------------------------------------------------------------------- */

static struct contact *contact_of(const struct router *r, uint32_t id)
{
	struct peer *p = r->world ? world_peer(r->world, id) : NULL;

	return p ? p->contact : NULL;
}

static bool asks(const struct limited *l)
{
	return l->mode == LIMITED_POLL_UDP || l->mode == LIMITED_POLL_TCP;
}

bool limited_asks(const struct contact *c)
{
	return c->asking.on;
}

bool relay_is_of(const struct contact *c, uint32_t via)
{
	for (unsigned i = 0; i < c->relays.n; i++)
		if (c->relays.id[i] == via)
			return true;
	return false;
}

static bool lives(const struct contact *via)
{
	return via && via->peer->path && via->peer->path->way.kind != WAY_RELAY &&
	       keying_is_ready(&via->keying) && via->up && !via->dead;
}

/* By which one it is reached now, 0: otherwise, or not at all. */
static uint32_t in_use(const struct contact *c)
{
	const struct path *p = c->peer->path;

	return p && p->way.kind == WAY_RELAY ? p->way.via : 0;
}

static unsigned place(const struct contact *c, uint32_t via)
{
	unsigned i = 0;

	while (i < c->relays.n && c->relays.id[i] != via)
		i++;
	return i;
}

static bool is_wayless(const struct contact *c, unsigned i, mono_t now)
{
	return mono_is_set(c->relays.wayless[i]) && mono_before(now, c->relays.wayless[i]);
}

/* Round trips grow under load: half as long is clearly shorter, a little is not. */
static bool is_clearly_shorter(int64_t rtt, int64_t than)
{
	return rtt && than && rtt < than / 2 && rtt + MUCH_LEAST < than;
}

/* For what it takes to stay with one, a fifth is enough. */
static bool is_shorter(int64_t rtt, int64_t than)
{
	return rtt && than && rtt < than - than / 5 && rtt + LITTLE_LEAST < than;
}

const struct contact *limited_best(const struct router *r, const uint32_t *ids, unsigned n)
{
	const struct contact *found = NULL;

	for (unsigned i = 0; i < n; i++) {
		const struct contact *via = contact_of(r, ids[i]);

		if (lives(via) && (!found || is_clearly_shorter(via->rtt, found->rtt)))
			found = via;
	}
	return found;
}

/* Of its own. 0: none lives. strict: nor does one with a way to it. */
static uint32_t best(const struct contact *c, bool strict, mono_t now)
{
	const struct contact *found;
	uint32_t ids[RELAYS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->relays.n; i++)
		if (c->relays.id[i] != c->peer->id && !(strict && is_wayless(c, i, now)))
			ids[n++] = c->relays.id[i];
	found = limited_best(c->router, ids, n);
	return found ? found->peer->id : 0;
}

/* One that is worth to leave for it what serves well, 0: none. Those in front in the order,
 * unless the one in use is nearer than they; those behind, if they are clearly nearer: so
 * no two are better than each other. */
static uint32_t better(const struct contact *c, unsigned used, mono_t now)
{
	const struct contact *current = contact_of(c->router, c->relays.id[used]);

	for (unsigned i = 0; i < c->relays.n; i++) {
		const struct contact *via = contact_of(c->router, c->relays.id[i]);

		if (i == used || c->relays.id[i] == c->peer->id || !lives(via) ||
		    is_wayless(c, i, now))
			continue;
		if (i < used ? !is_shorter(current->rtt, via->rtt)
			     : is_clearly_shorter(via->rtt, current->rtt))
			return c->relays.id[i];
	}
	return 0;
}

bool relay_way(const struct contact *c, struct way *ret)
{
	mono_t now = c->router->limited.looked;
	uint32_t via = in_use(c);
	unsigned at = place(c, via);

	/* the one in use, as long as that is no worse than others */
	if (!via || at == c->relays.n || is_wayless(c, at, now) ||
	    !lives(contact_of(c->router, via)))
		via = best(c, true, now);
	if (!via)
		via = best(c, false, now);
	if (!via)
		return false;
	*ret = (struct way){ .kind = WAY_RELAY, .via = via };
	return true;
}

enum relay_state relay_state(const struct contact *c, unsigned i, mono_t now)
{
	if (!lives(contact_of(c->router, c->relays.id[i])))
		return RELAY_DEAD;
	if (is_wayless(c, i, now))
		return RELAY_WAYLESS;
	return c->relays.id[i] == in_use(c) ? RELAY_USED : RELAY_READY;
}

/* ---- changes -------------------------------------------------------------------- */

static const char *name_of(const struct router *r, uint32_t id)
{
	const struct contact *c = contact_of(r, id);

	return c ? c->peer->name : "?";
}

static void change_to(struct contact *c, uint32_t via, const char *why, mono_t now)
{
	struct way way = { .kind = WAY_RELAY, .via = via };

	log_info("peer %s: by queue router %s from now on: %s", c->peer->name,
		 name_of(c->router, via), why);
	counter_add(&c->router->events[EVENT_RELAY_CHANGES], 1);
	c->relays.better = 0;
	contact_set_path(c, &way, now);
}

/* Something better than what serves well is not jumped at. */
static void consider(struct contact *c, uint32_t used, uint32_t via, mono_t now)
{
	struct relays *r = &c->relays;

	if (via != r->better) {
		r->better = via;
		r->better_since = r->measured = now;
	}
	if (!via)
		return;
	if (mono_since(now, r->better_since) >= BETTER) {
		change_to(c, via, "it is the better one", now);
	} else if (mono_since(now, r->measured) >= MEASURE) {
		r->measured = now;
		liveness_ask(contact_of(c->router, used), now);
		liveness_ask(contact_of(c->router, via), now);
	}
}

/* A peer whose way is dead, or that has none, gets another one if there is one. */
static void choose(struct contact *c, mono_t now)
{
	uint32_t used = in_use(c), via;
	unsigned at = place(c, used);
	bool dead = c->dead, relay_lives = lives(contact_of(c->router, used));

	if (!c->peer->path || !keying_is_ready(&c->keying))
		return;
	if (used && at < c->relays.n && dead && relay_lives)
		c->relays.wayless[at] = mono_add(now, WAYLESS);
	if (!used && !dead && liveness_is_doubtful(c, now))
		direct_repair(c, now);
	if (used && at < c->relays.n && relay_lives && !is_wayless(c, at, now)) {
		consider(c, used, better(c, at, now), now);
		return;
	}
	c->relays.better = 0;
	via = best(c, true, now);
	if (!via || via == used)
		return;
	if (!used && dead) {
		ways_set_silent(c, true, now); /* why it is left */
		change_to(c, via, "nothing comes back by the direct way", now);
	} else if (used && at == c->relays.n)
		change_to(c, via, "the one in use is not configured any more", now);
	else if (used && !relay_lives)
		change_to(c, via, "the one in use is dead", now);
	else if (used)
		change_to(c, via, "the one in use has no way to it", now);
}

static void leave_handshakes(struct router *r, uint32_t via, mono_t now)
{
	struct way way = { .kind = WAY_RELAY, .via = via };

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		keying_leave(&c->keying, &way, now);
		ways_unreachable(c, via, now);
	}
}

static void due(struct timer *t, mono_t now)
{
	struct router *r = container_of(t, struct router, limited.timer);

	r->limited.looked = now;
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (c->relays.n)
			choose(c, now);
	}
	timer_set(r->loop, t, mono_add(now, LOOK));
}

void limited_relay_dead(struct contact *via, mono_t now)
{
	struct router *r = via->router;

	log_warn("queue router %s: dead: nothing comes from it", via->peer->name);
	leave_handshakes(r, via->peer->id, now);
	timer_set(r->loop, &r->limited.timer, now);
}

/* ---- what is heard ---------------------------------------------------------------- */

/* Its frames come by a relay beside a path that is well, if it likes another one better, or
 * offers candidates. So the path is left only if something was sent on it and nothing came
 * back for a while. */
void limited_heard(struct contact *c, uint32_t via, mono_t now)
{
	mono_t heard = { atomic_load(&c->peer->heard_by_path) };
	const struct path *path = c->peer->path;

	if (!relay_is_of(c, via) || !lives(contact_of(c->router, via)) || in_use(c) == via)
		return;
	if (path && liveness_silence(c, now) < FOLLOW + 2 * c->rtt) {
		if (!mono_is_set(c->silent) && mono_since(now, heard) >= FOLLOW)
			liveness_ask(c, now);
		return;
	}
	c->relays.wayless[place(c, via)] = (mono_t){ 0 };
	change_to(c, via, "its frames come by that one", now);
}

void limited_unreachable(struct contact *via, uint32_t router, mono_t now)
{
	struct contact *c = contact_of(via->router, router);
	struct way way = { .kind = WAY_RELAY, .via = via->peer->id };
	unsigned at = c ? place(c, via->peer->id) : 0;

	if (!c || at == c->relays.n)
		return;
	c->relays.wayless[at] = mono_add(now, WAYLESS);
	if (!best(c, true, now))
		return;
	keying_leave(&c->keying, &way, now);
	ways_unreachable(c, via->peer->id, now);
	choose(c, now);
}

/* Whether frames for it are kept. */
static void set_backlog(struct contact *c)
{
	const struct config *config = c->router->config;
	struct peer *p = c->peer;
	struct tx_keys *tx = p->tx;
	bool on = tx && tx->features & FEATURE_ASKS && c->config.relay;

	if (on && !p->backlog) {
		struct queue_limits limits = { .bytes = config->queue_bytes,
					       .age = config->queue_age };

		rcu_assign_pointer(p->backlog, backlog_new(&limits));
	}
	if (!p->backlog)
		return;
	backlog_set(p->backlog, on);
	if (!on && backlog_bytes(p->backlog)) {
		atomic_store(&c->router->workers[0].drain, true);
		worker_kick(&c->router->workers[0]);
	}
}

void limited_ready(struct contact *c, mono_t now)
{
	struct router *r = c->router;
	struct peer *p = c->peer;

	set_backlog(c);
	if (limited_asks(c))
		timer_set(r->loop, &c->asking.timer, now);
	if (!c->is_relay)
		return;
	list_for_each(node, &r->contacts) {
		struct contact *other = container_of(node, struct contact, node);

		if (relay_is_of(other, p->id) && !other->peer->path)
			ways_hurry(other, now);
	}
}

/* ---- asking ----------------------------------------------------------------------- */

/* At the interval; in between the workers do, as long as there is more: relay.c. */
static void ask(struct contact *c, mono_t now)
{
	struct queue_ask a = { .serial = peer_ask_serial(c->peer) };

	if (keying_is_ready(&c->keying))
		contact_ask(c, &a);
	timer_set(c->router->loop, &c->asking.timer, mono_add(now, c->router->limited.interval));
}

static void ask_due(struct timer *t, mono_t now)
{
	struct contact *c = container_of(t, struct contact, asking.timer);

	if (limited_asks(c))
		ask(c, now);
	else
		atomic_store(&c->peer->asked, 0);
}

/* ---- configuration ------------------------------------------------------------------ */

/* The peer's own; else, of one without any way of its own, this router's. */
static void set_relays(struct contact *c)
{
	const struct router *r = c->router;
	bool common = !c->config.n_relays && r->limited.mode && !c->is_own_relay;
	const uint32_t *ids = common ? r->limited.own : c->config.relays;
	unsigned n = common ? r->limited.n_own : c->config.n_relays;
	struct relays old = c->relays;

	memset(&c->relays, 0, sizeof(c->relays));
	for (unsigned i = 0; i < n; i++) {
		unsigned before = 0;

		if (ids[i] == c->peer->id || !contact_of(r, ids[i]))
			continue;
		while (before < old.n && old.id[before] != ids[i])
			before++;
		if (before < old.n)
			c->relays.wayless[c->relays.n] = old.wayless[before];
		c->relays.id[c->relays.n++] = ids[i];
	}
}

static enum limited_mode mode_of(const struct router *r, const struct image_self *self)
{
	static const enum limited_mode modes[IMAGE_MODES] = {
		[IMAGE_CHANNEL] = LIMITED_CHANNEL,
		[IMAGE_UDP] = LIMITED_UDP,
		[IMAGE_POLL_UDP] = LIMITED_POLL_UDP,
		[IMAGE_POLL_TCP] = LIMITED_POLL_TCP,
	};

	if (!self)
		return r->config->limited;
	if (self->limited == IMAGE_LIMITED)
		return r->config->limited ? r->config->limited : LIMITED_CHANNEL;
	return modes[self->limited];
}

static void add_own(struct limited *l, const struct contact *c)
{
	if (c && l->n_own < RELAYS_MAX)
		l->own[l->n_own++] = c->peer->id;
}

/* Whether it is limited, and who its queue routers are: an image says it all, the
 * configuration what the image leaves open. */
static void set_own(struct router *r)
{
	const struct image *image = router_image(r);
	const struct config *config = r->config;
	struct limited *l = &r->limited;

	l->mode = mode_of(r, image ? &image->self : NULL);
	l->interval = config->limited ? config->poll_interval : INTERVAL;
	l->n_own = 0;
	for (unsigned i = 0; image && i < image->self.n_queue_routers; i++)
		add_own(l, router_contact_by_id(r, image->self.queue_routers[i]));
	for (size_t i = 0; !image && l->mode && i < config->n_queue_routers; i++)
		add_own(l, router_contact(r, config->queue_routers[i]));
}

static bool is_own(const struct limited *l, uint32_t id)
{
	for (unsigned i = 0; i < l->n_own; i++)
		if (l->own[i] == id)
			return true;
	return false;
}

void limited_configure(struct router *r, mono_t now)
{
	bool any = false;

	set_own(r);
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);
		bool asked = c->asking.on;

		c->is_own_relay = is_own(&r->limited, c->peer->id);
		c->is_relay = c->is_own_relay;
		c->asking.on = c->is_own_relay && asks(&r->limited);
		c->asking.timer.fn = ask_due;
		if (asked != c->asking.on && keying_is_ready(&c->keying))
			keying_want(&c->keying, now); /* the hello says so */
	}
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		set_relays(c);
		set_backlog(c);
		for (unsigned i = 0; i < c->relays.n; i++)
			contact_of(r, c->relays.id[i])->is_relay = true;
		ways_update(c, now);
		any |= c->is_relay || c->relays.n;
	}
	r->limited.looked = now;
	r->limited.timer.fn = due;
	timer_set(r->loop, &r->limited.timer, any ? mono_add(now, LOOK) : (mono_t){ 0 });
}

void limited_stop(struct router *r)
{
	timer_cancel(r->loop, &r->limited.timer);
	timer_cancel(r->loop, &r->observing.timer);
}

void limited_forget(struct contact *c)
{
	timer_cancel(c->router->loop, &c->asking.timer);
	counter_add(&c->router->drops[DROP_WAIT_OLD], backlog_free(c->peer->backlog));
}
