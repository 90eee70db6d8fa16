/*
 * Direct paths, see direct.h.
 *
 *   observe   by UDP, all queue routers that live, by IPv4 and by IPv6: where do you see me?
 *             One round serves all peers that wait for it. It ends with the last answer, or
 *             a little after the first: one is enough to be reached, a second tells of NATs
 *             that no direct path leads through.
 *   offer     the candidates to the peer, wanting its own, again until they come
 *   ask       ways.c, as soon as the peer's are known
 *
 * Who is offered candidates asks them at once, and offers its own after a round of
 * observation: so both ask at the same time.
 */
#include "router/direct.h"

#include <string.h>

#include "router/router.h"

#define OBSERVE_REPEAT (200 * MSEC)
#define OBSERVE_ENOUGH (100 * MSEC) /* with one answer */
#define OBSERVE_MAX SEC		    /* without any */
#define OBSERVE_FRESH (200 * MSEC)  /* what is older is asked for again */
#define OFFER_REPEAT (200 * MSEC)   /* then twice as long each time */
#define OFFER_MAX (4 * SEC)
#define OWN_MAX 5 /* candidates that are addresses of this machine */
#define REPAIR_INTERVAL SEC
#define RECEIVED_MAX 10 /* messages of one peer in RECEIVED_TIME */
#define RECEIVED_TIME (2 * SEC)

static unsigned place(uint8_t family)
{
	return family == 6;
}

/* ---- which addresses ---------------------------------------------------------- */

/* A path between routers that runs through the overlay would carry itself. */
static bool is_inside(const struct router *r, const struct ip *ip)
{
	const struct table *t = r->world->table;
	unsigned len = 0; /* a default route is for the rest of the world */

	for (uint32_t i = 0; i < table_slots(t); i++)
		if (table_network(t, i) &&
		    (lndt_is_member(t, i, ip) || (gndt_lookup(t, i, ip, &len) && len)))
			return true;
	return false;
}

/* One machine's address, which means the same one to others. */
static bool is_global_unicast(const struct ip *ip)
{
	static const uint8_t zero[12];
	const uint8_t *b = ip->b;

	if (ip->family == 4)
		return b[0] != 0 && b[0] != 127 && b[0] < 224 && !(b[0] == 169 && b[1] == 254);
	return b[0] != 0xff && !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80) && memcmp(b, zero, 10) != 0;
}

static bool is_candidate(const struct router *r, const struct endpoint *e)
{
	return e->port && is_global_unicast(&e->ip) && !is_inside(r, &e->ip);
}

static void add(const struct router *r, struct candidates *list, const struct endpoint *e,
		unsigned most)
{
	if (list->n >= most || !is_candidate(r, e))
		return;
	for (unsigned i = 0; i < list->n; i++)
		if (endpoint_equal(&list->at[i], e))
			return;
	list->at[list->n++] = *e;
}

static const struct observer *next_observer(const struct router *r, struct list **node)
{
	for (*node = (*node)->next; *node != &r->contacts; *node = (*node)->next) {
		const struct contact *c = container_of(*node, struct contact, node);

		if (c->observer.asked && c->observer.serial == r->observing.serial)
			return &c->observer;
	}
	return NULL;
}

/* How queue routers see this router by this family, as of the last round: port 0 if unknown. */
static struct endpoint observed_endpoint(const struct router *r, uint8_t family)
{
	struct list *node = (struct list *)&r->contacts;
	const struct observer *o;

	while ((o = next_observer(r, &node)))
		if (o->seen[place(family)].port)
			return o->seen[place(family)];
	return (struct endpoint){ .port = 0 };
}

/* Whether they see it differently. */
static bool observed_differ(const struct router *r)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct endpoint first = observed_endpoint(r, family);
		struct list *node = (struct list *)&r->contacts;
		const struct observer *o;

		while ((o = next_observer(r, &node)))
			if (o->seen[place(family)].port &&
			    !endpoint_equal(&o->seen[place(family)], &first))
				return true;
	}
	return false;
}

/* How it is seen, then where it listens. */
static void own_candidates(const struct router *r, struct candidates *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->dependent = observed_differ(r);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct endpoint e = observed_endpoint(r, family);

		add(r, ret, &e, CANDIDATES_MAX);
	}
	for (uint8_t family = 4; family <= 6; family += 2) {
		static const struct ip any;
		struct endpoint e;
		uint8_t link;

		if (!ways_link_for(r, family, &link) || link >= r->config->n_udp)
			continue;
		e = r->config->udp[link];
		if (memcmp(e.ip.b, any.b, sizeof(any.b)) != 0) {
			add(r, ret, &e, CANDIDATES_MAX);
			continue;
		}
		for (size_t i = 0; i < r->world->n_own; i++) {
			e.ip = r->world->own[i];
			if (e.ip.family == family)
				add(r, ret, &e, family == 4 ? OWN_MAX : CANDIDATES_MAX);
		}
	}
}

/* ---- how this router is seen ---------------------------------------------------- */

/* Where it takes frames by UDP, whatever its path is. */
static bool observer_way(const struct contact *c, uint8_t family, struct way *ret)
{
	const struct path *path = c->peer->path;

	if (!c->is_relay || !path || !keying_is_ready(&c->keying) || c->dead)
		return false;
	if (path->way.kind == WAY_UDP && path->way.remote.ip.family == family) {
		*ret = path->way;
		return true;
	}
	for (unsigned i = 0; i < c->n_addresses; i++)
		if (c->addresses[i].family == family) {
			*ret = (struct way){ .kind = WAY_UDP,
					     .remote = { c->addresses[i], c->config.port } };
			return ways_link_for(c->router, family, &ret->link);
		}
	return false;
}

/* Those that have not answered yet. */
static void observe(struct contact *c)
{
	static const uint8_t padding[WIRE_ENDPOINT];
	struct observer *o = &c->observer;
	struct control_message m = { .kind = CONTROL_OBSERVE,
				     .body = padding,
				     .len = sizeof(padding) };

	if (o->serial != c->router->observing.serial)
		*o = (struct observer){ .serial = c->router->observing.serial };
	for (uint8_t family = 4; family <= 6; family += 2) {
		unsigned at = place(family);
		struct way way;

		if (o->seen[at].port || !observer_way(c, family, &way))
			continue;
		if (!o->token[at] && !crypto_random(&o->token[at], sizeof(o->token[at])))
			continue;
		m.token = o->token[at];
		if (contact_send(c, &way, &m, 0) == 0)
			o->asked |= 1u << at;
	}
}

static void observe_all(struct router *r, mono_t now)
{
	r->observing.asked = now;
	list_for_each(node, &r->contacts) {
		observe(container_of(node, struct contact, node));
	}
}

static bool all_have_answered(const struct router *r)
{
	struct list *node = (struct list *)&r->contacts;
	const struct observer *o;

	while ((o = next_observer(r, &node)))
		for (unsigned i = 0; i < 2; i++)
			if (o->asked & 1u << i && !o->seen[i].port)
				return false;
	return true;
}

static void offer(struct contact *c, bool wanted, mono_t now);

/* Now all that have waited for it offer their candidates. */
static void end_round(struct router *r, mono_t now)
{
	r->observing.on = false;
	r->observing.done = now;
	timer_cancel(r->loop, &r->observing.timer);
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (c->direct.state == DIRECT_OBSERVING) {
			c->direct.state = DIRECT_WAITING;
			offer(c, true, now);
		} else if (c->direct.owed) {
			offer(c, false, now);
		}
	}
}

static void observing_due(struct timer *t, mono_t now)
{
	struct router *r = container_of(t, struct router, observing.timer);
	int64_t time = mono_since(now, r->observing.begun);
	bool any = observed_endpoint(r, 4).port || observed_endpoint(r, 6).port;

	if (all_have_answered(r) || time >= OBSERVE_MAX || (any && time >= OBSERVE_ENOUGH)) {
		end_round(r, now);
		return;
	}
	if (mono_since(now, r->observing.asked) >= OBSERVE_REPEAT)
		observe_all(r, now);
	timer_set(r->loop, t, mono_add(now, OBSERVE_ENOUGH));
}

/* A round, if what is known is not fresh: end_round comes then, not from within. */
static void observe_anew(struct router *r, mono_t now)
{
	struct observing *o = &r->observing;
	bool fresh = mono_is_set(o->done) && mono_since(now, o->done) < OBSERVE_FRESH;

	if (o->on)
		return;
	o->on = true;
	o->timer.fn = observing_due;
	if (!fresh) {
		o->serial++;
		o->begun = now;
		observe_all(r, now);
	}
	timer_set(r->loop, &o->timer, fresh ? now : mono_add(now, OBSERVE_ENOUGH));
}

static void recv_observe(struct contact *c, const struct control_message *m, const struct way *way)
{
	uint8_t body[WIRE_ENDPOINT];
	struct writer w = writer_init(body, sizeof(body));
	struct control_message answer = {
		.kind = CONTROL_OBSERVED, .token = m->token, .body = body, .len = sizeof(body)
	};

	if (way->kind != WAY_UDP || m->len < sizeof(body))
		return;
	wire_endpoint_write(&w, &way->remote);
	contact_send(c, way, &answer, 0);
}

static void recv_observed(struct contact *c, const struct control_message *m, mono_t now)
{
	struct router *r = c->router;
	struct observer *o = &c->observer;
	struct reader reader = reader_init(m->body, m->len);
	bool differed = observed_differ(r);
	struct endpoint e;
	unsigned at;

	if (!wire_endpoint_read(&reader, &e))
		return;
	at = place(e.ip.family);
	if (o->serial != r->observing.serial || !(o->asked & 1u << at) || o->token[at] != m->token)
		return;
	o->seen[at] = e;
	if (r->observing.on) {
		if (all_have_answered(r))
			timer_set(r->loop, &r->observing.timer, now);
		return;
	}
	if (observed_differ(r) == differed)
		return;
	list_for_each(node, &r->contacts) { /* who has been told otherwise */
		struct contact *other = container_of(node, struct contact, node);

		if (mono_is_set(other->direct.asked) &&
		    mono_since(now, other->direct.asked) < OFFER_MAX)
			offer(other, other->direct.state == DIRECT_WAITING, now);
	}
}

/* ---- candidates ------------------------------------------------------------------ */

bool direct_is_possible(const struct contact *c)
{
	return c->relays.n && c->config.direct && c->router->config->n_udp;
}

static void offer(struct contact *c, bool wanted, mono_t now)
{
	uint8_t body[CANDIDATES_SIZE];
	struct control_message m = { .kind = CONTROL_CANDIDATES, .body = body };
	struct candidates own;
	struct way way;

	own_candidates(c->router, &own);
	own.wanted = wanted;
	m.len = candidates_write(body, &own);
	c->direct.owed = false;
	c->direct.asked = now;
	if (relay_way(c, &way))
		contact_send(c, &way, &m, 0);
	if (wanted) {
		int64_t pause = mono_since(now, c->direct.begun);

		timer_set(c->router->loop, &c->direct.timer,
			  mono_add(now, pause < OFFER_REPEAT ? OFFER_REPEAT : pause));
	}
}

static void due(struct timer *t, mono_t now)
{
	struct contact *c = container_of(t, struct contact, direct.timer);

	if (c->direct.state != DIRECT_WAITING)
		return;
	if (mono_since(now, c->direct.begun) < OFFER_MAX) {
		offer(c, true, now);
		return;
	}
	c->direct.state = DIRECT_IDLE;
	ways_no_candidates(c, "it does not say where it can be reached", now);
}

bool direct_ask(struct contact *c, mono_t now)
{
	struct way way;

	if (!direct_is_possible(c) || !keying_is_ready(&c->keying) || !relay_way(c, &way))
		return false;
	if (c->direct.state != DIRECT_IDLE)
		return true;
	c->direct.state = DIRECT_OBSERVING;
	c->direct.begun = now;
	c->direct.theirs.n = 0;
	observe_anew(c->router, now);
	return true;
}

/* Takes over those that may be asked. */
static void set_theirs(struct contact *c, const struct candidates *theirs)
{
	struct candidates *list = &c->direct.theirs;

	list->n = 0;
	list->dependent = theirs->dependent;
	for (unsigned i = 0; i < theirs->n; i++)
		if (!world_owns(c->router->world, &theirs->at[i].ip))
			add(c->router, list, &theirs->at[i], CANDIDATES_MAX);
}

static void recv_candidates(struct contact *c, const struct control_message *m, mono_t now)
{
	struct candidates theirs;

	if (!direct_is_possible(c) ||
	    !budget_take(&c->direct.received, RECEIVED_MAX, RECEIVED_TIME, now) ||
	    !candidates_read(m->body, m->len, &theirs))
		return;
	set_theirs(c, &theirs);
	if (theirs.wanted || c->direct.state == DIRECT_OBSERVING) {
		c->direct.owed = true;
		observe_anew(c->router, now);
	}
	c->direct.state = DIRECT_IDLE;
	ways_candidates(c, now);
}

void direct_recv(struct contact *c, const struct control_message *m, const struct way *way,
		 mono_t now)
{
	if (m->kind == CONTROL_OBSERVE)
		recv_observe(c, m, way);
	else if (m->kind == CONTROL_OBSERVED)
		recv_observed(c, m, now);
	else
		recv_candidates(c, m, now);
}

/* ---- what it is used for ------------------------------------------------------------ */

bool direct_way(const struct contact *c, unsigned i, struct way *ret)
{
	const struct candidates *theirs = &c->direct.theirs;

	for (unsigned k = 0; k < theirs->n; k++) {
		struct way way = { .kind = WAY_UDP, .remote = theirs->at[k] };

		if (ways_link_for(c->router, way.remote.ip.family, &way.link) && i-- == 0) {
			*ret = way;
			return true;
		}
	}
	return false;
}

bool direct_knows(const struct contact *c, const struct way *way)
{
	for (unsigned i = 0; i < c->direct.theirs.n && way->kind == WAY_UDP; i++)
		if (endpoint_equal(&c->direct.theirs.at[i], &way->remote))
			return true;
	return false;
}

const char *direct_why(const struct contact *c)
{
	if (!c->direct.theirs.n)
		return NULL;
	if (c->direct.theirs.dependent)
		return "its NAT gives each destination another port";
	return observed_differ(c->router) ? "the NAT here gives each destination another port"
					  : NULL;
}

void direct_start(struct contact *c, mono_t now)
{
	const struct path *path = c->peer->path;

	if (direct_is_possible(c) && path && path->way.kind == WAY_RELAY)
		ways_press(c, now);
}

void direct_repair(struct contact *c, mono_t now)
{
	struct way way;

	if (!direct_is_possible(c) || !relay_way(c, &way) ||
	    (mono_is_set(c->direct.repaired) &&
	     mono_since(now, c->direct.repaired) < REPAIR_INTERVAL))
		return;
	c->direct.repaired = now;
	ways_press(c, now);
}

void direct_relay_moved(const struct contact *relay, mono_t now)
{
	list_for_each(node, &relay->router->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (c->direct.state == DIRECT_WAITING && relay_is_of(c, relay->peer->id))
			timer_set(c->router->loop, &c->direct.timer, now);
	}
}

void direct_init(struct contact *c)
{
	c->direct.timer.fn = due;
}

void direct_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->direct.timer);
}
