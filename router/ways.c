/*
 * The ways to a peer: what reach.c decides is done here, and what comes of it told to it;
 * and how the path follows a peer that comes by another way.
 *
 * A way is believed for an answer that only the peer can give, on that way: the end of a
 * handshake, or the response to a challenge. An authentic frame alone may have been
 * recorded and sent again by somebody else. One exception: where the path is gone, a
 * stream on which such a frame has come takes its place at once (TCP shows that whoever
 * sent it can be answered there), since nothing can be lost by it.
 *
 * Both sides may open ways to each other at once. So that they do not follow each other
 * in circles: a better rung is followed, a worse one if the other side has opened it (it
 * has a reason), and of two alike the one counts that the lower ID has opened.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "router/connections.h"
#include "router/router.h"
#include "router/ways_private.h"

#define CHALLENGE_TIME (2 * SEC)
#define CHALLENGE_AGAIN (200 * MSEC)
#define UDP_WAYS (1 + CANDIDATES_MAX)
#define SPARE_TIME (5 * SEC) /* a stream that is not the path any more: for what is under way */
#define ASKED_IN_VAIN 4	     /* questions without an answer */
#define COMPLAINT (60 * SEC)

static void run(struct contact *c, mono_t now);

/* ---- the path ------------------------------------------------------------------- */

/* What was used before stays a little for what is still on its way. */
static void spare(struct contact *c, const struct way *way, mono_t now)
{
	struct connection *stream = way->kind == WAY_STREAM
					    ? connections_find(c->router->connections, way->stream)
					    : NULL;

	if (stream)
		stream->close_at = mono_add(now, SPARE_TIME);
}

static void set_path(struct contact *c, const struct way *way, mono_t now)
{
	struct path *path = ways_path(c, way);
	struct connection *stream;
	uint32_t old = 0, new;

	if (!path)
		return;
	if (c->peer->path) {
		old = c->peer->path->frame_hope;
		spare(c, &c->peer->path->way, now);
	}
	new = path->frame_hope;
	ways_publish(c->peer, path);
	tiny_moved(c, way, now);
	stream = way->kind == WAY_STREAM ? connections_find(c->router->connections, way->stream)
					 : NULL;
	if (stream)
		stream->close_at = (mono_t){ 0 };
	c->challenge = 0;
	liveness_moved(c);
	if (c->is_relay)
		direct_relay_moved(c, now);
	probe_start(c, now);
	router_path_mtu(c->router, old, new);
	router_kick(c->router);
}

static void trial_over(struct trial *t)
{
	if (t->dial)
		t->contact->router->connections->dialer.cancel(t->dial);
	t->dial = NULL;
	t->open = false;
	t->token = 0;
}

/* The path from now on. What else was tried on this rung is not needed. */
static void use(struct contact *c, const struct way *way, mono_t now)
{
	enum rung rung = ways_rung(c, way);
	struct trial *t = &c->trial[rung];

	if (!c->peer->path || !way_same(&c->peer->path->way, way))
		set_path(c, way, now);
	if (t->open && !way_same(&t->way, way))
		spare(c, &t->way, now);
	trial_over(t);
	reach_use(&c->reach, rung, now);
}

static void lose_path(struct contact *c, const char *why, mono_t now)
{
	char text[WAYS_TEXT];

	log_info("peer %s: %s has ended: %s", c->peer->name,
		 ways_text(c, &c->peer->path->way, text), why);
	probe_stop(c);
	ways_publish(c->peer, NULL);
	reach_use(&c->reach, RUNG_NONE, now);
}

void contact_set_path(struct contact *c, const struct way *way, mono_t now)
{
	/* a direct way is left for a queue router when nothing comes by it any more */
	if (way->kind == WAY_RELAY && c->peer->path && c->peer->path->way.kind != WAY_RELAY)
		reach_set_silent(&c->reach, true, now);
	use(c, way, now);
	run(c, now);
}

/* ---- trials ---------------------------------------------------------------------- */

/* By UDP to the address whose turn it is, or to the next one that we have a socket for. */
static bool udp_way(const struct contact *c, struct way *ret)
{
	struct way way = { .kind = WAY_UDP };

	if (!(c->reach.allowed & 1u << RUNG_UDP))
		return false;
	for (unsigned i = 0; i < c->n_addresses; i++) {
		way.remote.ip = c->addresses[(c->trial[RUNG_UDP].address + i) % c->n_addresses];
		way.remote.port = c->config.port;
		if (ways_link_for(c->router, way.remote.ip.family, &way.link)) {
			*ret = way;
			return true;
		}
	}
	return false;
}

static void add_way(struct way *list, unsigned *n, const struct way *way)
{
	for (unsigned i = 0; i < *n; i++)
		if (way_same(&list[i], way))
			return;
	list[(*n)++] = *way;
}

/* All that are to be asked at once: that one, and the peer's candidates. */
static unsigned udp_ways(const struct contact *c, struct way ret[static UDP_WAYS])
{
	unsigned n = 0;
	struct way way;

	if (udp_way(c, &way))
		add_way(ret, &n, &way);
	for (unsigned i = 0; direct_way(c, i, &way); i++)
		add_way(ret, &n, &way);
	return n;
}

/* Whether this way is being asked; which one of them to ret. */
static bool is_asked(const struct trial *t, const struct way *way, struct way *ret)
{
	struct way ways[UDP_WAYS] = { t->way };
	unsigned n = t->rung == RUNG_UDP ? udp_ways(t->contact, ways) : 1;

	for (unsigned i = 0; i < n && t->open; i++)
		if (way_same(&ways[i], way)) {
			*ret = ways[i];
			return true;
		}
	return false;
}

unsigned contact_ways(const struct contact *c, struct way ret[static CONTACT_WAYS])
{
	const struct path *path = c->peer->path;
	struct way udp;
	unsigned n = 0;
	bool sound = path && c->up && !c->moved && !c->keying.failures && !c->reach.silent;

	if (!sound && udp_way(c, &udp))
		add_way(ret, &n, &udp);
	if (path && (sound || !n || path->way.kind != WAY_UDP))
		add_way(ret, &n, &path->way);
	for (unsigned i = 0; i < RUNGS && !sound; i++)
		if (c->trial[i].open)
			add_way(ret, &n, &c->trial[i].way);
	return n;
}

static void fail(struct trial *t, const char *why, mono_t now)
{
	t->open = false;
	t->address++;
	reach_failed(&t->contact->reach, t->rung, why, now);
}

static bool dial(struct trial *t, mono_t now);

static void dialled(void *arg, struct stream *s, const char *why, mono_t now)
{
	struct trial *t = arg;
	struct contact *c = t->contact;
	unsigned n = t->rung == RUNG_PROXY ? c->router->connections->n_proxy_ips : c->n_addresses;

	t->dial = NULL;
	if (s) {
		t->way.stream = connections_add(c->router->connections, c->peer->id, t->rung, true,
						s, &t->way.remote, NULL, 0, now);
		t->open = t->way.stream != 0;
		if (t->open)
			reach_opened(&c->reach, t->rung, now);
		else
			fail(t, "not enough memory for a stream", now);
	} else {
		t->address++;
		if (++t->tries >= n || !dial(t, now))
			reach_failed(&c->reach, t->rung, why, now);
	}
	run(c, now);
}

/* To the address whose turn it is. */
static bool dial(struct trial *t, mono_t now)
{
	const struct contact *c = t->contact;
	struct connections *cs = c->router->connections;
	bool proxy = t->rung == RUNG_PROXY;
	unsigned n = proxy ? cs->n_proxy_ips : c->n_addresses;
	const struct ip *ip;

	if (!n)
		return false;
	ip = &(proxy ? cs->proxy_ips : c->addresses)[t->address % n];
	t->way = (struct way){ .kind = WAY_STREAM, .remote.ip = *ip };
	t->dial =
		connections_dial(cs, t->rung, &c->config, ip, &t->way.remote.port, now, dialled, t);
	return t->dial != NULL;
}

static void open_way(struct trial *t, mono_t now)
{
	t->tries = t->asked = 0;
	t->token = 0;
	if (t->rung == RUNG_UDP) {
		bool more = direct_ask(t->contact, now);

		t->open = udp_way(t->contact, &t->way);
		if (t->open)
			reach_opened(&t->contact->reach, t->rung, now);
		else if (!more)
			fail(t,
			     t->contact->n_addresses ? "no [listen] udp for its addresses"
						     : "no keys with it by a queue router yet",
			     now);
	} else if (t->rung == RUNG_RELAY) {
		t->open = relay_way(t->contact, &t->way);
		if (t->open)
			reach_opened(&t->contact->reach, t->rung, now);
		else
			fail(t, "no queue router lives", now);
	} else if (!dial(t, now)) {
		fail(t, "no memory, or no address", now);
	}
}

static bool is_hard(int error)
{
	return error < 0 && error != -EAGAIN && error != -ENOBUFS;
}

/* By UDP all at once, so that NATs at both ends let in what comes from the other. */
static int challenge_all(struct trial *t)
{
	struct contact *c = t->contact;
	struct control_message m = { .kind = CONTROL_CHALLENGE, .token = t->token };
	struct way ways[UDP_WAYS] = { t->way };
	unsigned n = t->rung == RUNG_UDP ? udp_ways(c, ways) : 1;
	int error = 0;
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		int e = contact_send(c, &ways[i], &m, 0);

		any |= !is_hard(e);
		if (e < 0)
			error = e;
	}
	return any ? 0 : error;
}

/* A question that only the peer can answer: by a challenge if there are keys, else by a
 * handshake. If the path is gone and the first ones were not answered, it has perhaps lost
 * the keys. */
static void ask(struct trial *t, mono_t now)
{
	struct contact *c = t->contact;
	int e = 0;

	t->asked++;
	if (keying_is_ready(&c->keying)) {
		if (!t->token && crypto_random(&t->token, sizeof(t->token)))
			t->token |= 1;
		e = challenge_all(t);
		if (t->asked == ASKED_IN_VAIN && (!c->peer->path || c->reach.silent))
			keying_want(&c->keying, now);
	} else if (t->asked == 1) {
		keying_opened(&c->keying, &t->way, now);
	}
	if (is_hard(e) && t->rung == RUNG_UDP)
		fail(t, strerror(-e), now);
}

static void close_way(struct trial *t, mono_t now)
{
	struct contact *c = t->contact;
	const char *why = direct_why(c);

	if (t->rung == RUNG_UDP && c->reach.rung[RUNG_UDP].state == RUNG_FAILED && t->open && why)
		reach_explain(&c->reach, t->rung, why);

	if (t->open && t->way.kind == WAY_STREAM) {
		if (c->reach.rung[t->rung].state == RUNG_FAILED)
			connections_close(c->router->connections, t->way.stream, now);
		else
			spare(c, &t->way, now);
	}
	trial_over(t);
}

/* None of the ways leads to the peer. */
static void complain(struct contact *c, mono_t now)
{
	char text[RUNGS * (REACH_WHY + 16)] = "";
	size_t len = 0;
	uint32_t more;
	struct way way;

	if (c->watch)
		watch_refresh(c->watch);
	if (c->relays.n && !c->config.host && !relay_way(c, &way))
		return; /* what its queue routers lack is said of them */
	if (!reach_has_choice(&c->reach) || !log_allowed(&c->vain, now, COMPLAINT, &more))
		return;
	for (unsigned i = 0; i < RUNGS; i++)
		if (c->reach.rung[i].why[0])
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s: %s",
						len ? "; " : "", rung_name(i),
						c->reach.rung[i].why);
	log_warn("peer %s: no way leads to it: %s", c->peer->name, text);
}

static void run(struct contact *c, mono_t now)
{
	struct reach_step s;
	mono_t next;

	while ((s = reach_poll(&c->reach, now)).what != REACH_NOTHING) {
		switch (s.what) {
		case REACH_DIAL: open_way(&c->trial[s.rung], now); break;
		case REACH_ASK: ask(&c->trial[s.rung], now); break;
		case REACH_DROP: close_way(&c->trial[s.rung], now); break;
		case REACH_VAIN: complain(c, now); break;
		case REACH_NOTHING: break;
		}
	}
	next = mono_earlier(reach_deadline(&c->reach),
			    connections_tidy(c->router->connections, c->peer->id, false, now));
	timer_set(c->router->loop, &c->reach_timer, next);
}

static void due(struct timer *t, mono_t now)
{
	run(container_of(t, struct contact, reach_timer), now);
}

/* ---- where the peer comes from ----------------------------------------------------- */

static bool is_ours(const struct contact *c, const struct way *way)
{
	const struct connection *stream = connections_find(c->router->connections, way->stream);

	return stream && stream->ours;
}

/* Whether the path is to follow the peer to this way, by which it has come. */
static bool follows(const struct contact *c, const struct way *way)
{
	const struct path *path = c->peer->path;
	enum rung to = ways_rung(c, way), from;
	unsigned allowed = c->reach.allowed;

	if (way->kind == WAY_RELAY)
		return !path;
	if (!path || c->reach.silent || path->way.kind == WAY_RELAY)
		return true;
	from = ways_rung(c, &path->way);
	if (allowed & 1u << from && !(allowed & 1u << to))
		return false;
	if (way->kind == WAY_UDP && path->way.kind == WAY_UDP)
		return !direct_knows(c, way) || !direct_knows(c, &path->way) ||
		       c->router->config->id > c->peer->id;
	if (to < from)
		return true;
	if (to > from || is_ours(c, way) == is_ours(c, &path->way))
		return !is_ours(c, way);
	return is_ours(c, way) == (c->router->config->id < c->peer->id);
}

static void challenge(struct contact *c, const struct way *way, mono_t now)
{
	struct control_message m = { .kind = CONTROL_CHALLENGE };

	if (c->challenge && mono_since(now, c->challenged_at) < CHALLENGE_AGAIN &&
	    way_same(way, &c->challenged))
		return;
	if (!crypto_random(&c->challenge, sizeof(c->challenge)))
		return;
	c->challenge |= 1;
	c->challenged = *way;
	c->challenged_at = now;
	m.token = c->challenge;
	contact_send(c, way, &m, 0);
}

/* What is told of a stream may come after its end. */
static bool is_there(const struct contact *c, const struct way *way)
{
	return way->kind != WAY_STREAM || connections_find(c->router->connections, way->stream);
}

static void move(struct contact *c, const struct way *way, mono_t now)
{
	char text[WAYS_TEXT];

	if (!is_there(c, way))
		return;
	if (!c->peer->path || !way_same(&c->peer->path->way, way)) {
		log_info("peer %s: moved to %s", c->peer->name, ways_text(c, way, text));
		counter_add(&c->router->events[EVENT_ROAMS], 1);
	}
	use(c, way, now);
	run(c, now);
}

void ways_seen(struct contact *c, const struct way *way, mono_t now)
{
	struct way same;

	if (!is_there(c, way))
		return;
	if (way->kind == WAY_STREAM && (!c->peer->path || c->reach.silent)) {
		move(c, way, now);
		return;
	}
	for (unsigned i = 0; i < RUNGS; i++)
		if (is_asked(&c->trial[i], way, &same))
			return; /* its question will tell */
	if (follows(c, way))
		challenge(c, way, now);
}

void ways_heard(struct contact *c, const struct way *way, mono_t now)
{
	for (unsigned i = 0; i < RUNGS; i++)
		if (c->trial[i].open && way_same(&c->trial[i].way, way))
			reach_heard(&c->reach, (enum rung)i, now);
}

void ways_answered(struct contact *c, const struct way *way, uint64_t token, mono_t now)
{
	struct way to = *way;
	bool asked = c->challenge && token == c->challenge && way_equal(way, &c->challenged) &&
		     mono_since(now, c->challenged_at) <= CHALLENGE_TIME;

	for (unsigned i = 0; i < RUNGS && !asked; i++) {
		const struct trial *t = &c->trial[i];

		asked = t->token && t->token == token && is_asked(t, way, &to);
	}
	if (asked)
		move(c, &to, now);
}

void ways_ready(struct contact *c, const struct way *way, bool ours, mono_t now)
{
	const struct path *path = c->peer->path;

	c->moved = false;
	/* Which address of ours a way leaves from is known to one side of a handshake
	 * only: the same remote is the same path, and its MTU stays known. */
	if (is_there(c, way) && (!path || way_same(&path->way, way) || ours || follows(c, way)))
		use(c, way, now);
	run(c, now);
}

void ways_unreachable(struct contact *c, uint32_t via, mono_t now)
{
	struct trial *t = &c->trial[RUNG_RELAY];

	if (!t->open || t->way.via != via)
		return;
	trial_over(t);
	open_way(t, now);
	run(c, now);
}

void ways_ended(struct contact *c, uint32_t stream, const char *why, mono_t now)
{
	const struct way way = { .kind = WAY_STREAM, .stream = stream };
	enum rung rung = ways_rung(c, &way);

	for (unsigned i = 0; i < RUNGS; i++)
		if (c->trial[i].open && way_same(&c->trial[i].way, &way))
			fail(&c->trial[i], why, now);
	if (c->peer->path && way_same(&c->peer->path->way, &way)) {
		lose_path(c, why, now);
		if (c->reach.allowed & 1u << rung)
			reach_failed(&c->reach, rung, why, now);
	}
	keying_gone(&c->keying, &way, now);
	run(c, now);
}

void ways_set_silent(struct contact *c, bool silent, mono_t now)
{
	if (silent == c->reach.silent)
		return;
	reach_set_silent(&c->reach, silent, now);
	run(c, now);
}

/* ---- life ----------------------------------------------------------------------------- */

/* A limited router's way to its queue routers. */
static unsigned of_mode(enum limited_mode mode, unsigned rungs)
{
	const unsigned udp = 1u << RUNG_UDP;
	const unsigned streams = 1u << RUNG_TCP | 1u << RUNG_TLS | 1u << RUNG_PROXY;

	if (mode == LIMITED_UDP || mode == LIMITED_POLL_UDP)
		return udp;
	return rungs & streams ? rungs & streams : streams;
}

void ways_update(struct contact *c, mono_t now)
{
	static const unsigned of_protocol[] = {
		[PROTOCOL_UDP] = 1u << RUNG_UDP,
		[PROTOCOL_TCP] = 1u << RUNG_TCP,
		[PROTOCOL_TLS] = 1u << RUNG_TLS | 1u << RUNG_PROXY,
		[PROTOCOL_AUTO] =
			1u << RUNG_UDP | 1u << RUNG_TCP | 1u << RUNG_TLS | 1u << RUNG_PROXY,
	};
	unsigned rungs = c->config.host ? of_protocol[c->config.protocol] : 0;

	if (c->is_own_relay)
		rungs = of_mode(c->router->limited.mode, rungs);
	if (!c->n_addresses) /* the proxy may know better */
		rungs &= 1u << RUNG_PROXY;
	if (!c->router->connections->n_proxy_ips ||
	    (c->config.host && connections_excepts(c->router->connections, c->config.host)))
		rungs &= ~(1u << RUNG_PROXY);
	if (c->relays.n)
		rungs |= 1u << RUNG_RELAY;
	if (direct_is_possible(c) &&
	    (!c->config.host || of_protocol[c->config.protocol] & 1u << RUNG_UDP))
		rungs |= 1u << RUNG_UDP;
	reach_allow(&c->reach, rungs, now);
	run(c, now);
}

static void begin(struct contact *c)
{
	uint64_t random;

	if (!crypto_random(&random, sizeof(random)))
		random = c->peer->id;
	reach_init(&c->reach, random);
}

void ways_press(struct contact *c, mono_t now)
{
	struct trial *t = &c->trial[RUNG_UDP];
	enum rung_state state = c->reach.rung[RUNG_UDP].state;

	if (!(c->reach.allowed & 1u << RUNG_UDP) || state == RUNG_OPENING || state == RUNG_ASKING)
		return;
	reach_press(&c->reach, RUNG_UDP, now);
	open_way(t, now);
	run(c, now);
}

void ways_candidates(struct contact *c, mono_t now)
{
	struct trial *t = &c->trial[RUNG_UDP];
	struct way ways[UDP_WAYS];

	if (!(c->reach.allowed & 1u << RUNG_UDP) || t->open || !udp_ways(c, ways))
		return;
	if (c->reach.rung[RUNG_UDP].state != RUNG_OPENING)
		reach_press(&c->reach, RUNG_UDP, now);
	t->tries = t->asked = 0;
	t->token = 0;
	t->open = true;
	t->way = ways[0];
	reach_opened(&c->reach, RUNG_UDP, now);
	run(c, now);
}

void ways_no_candidates(struct contact *c, const char *why, mono_t now)
{
	if (c->reach.rung[RUNG_UDP].state != RUNG_OPENING)
		return;
	fail(&c->trial[RUNG_UDP], why, now);
	run(c, now);
}

/* One that this router would not use itself moves nobody's path. */
bool ways_takes(const struct contact *c, const struct way *way)
{
	unsigned chosen = c->reach.allowed & ~(1u << RUNG_RELAY);

	return way->kind != WAY_UDP || !c->peer->path || c->reach.silent || !chosen ||
	       chosen & 1u << RUNG_UDP;
}

void ways_hurry(struct contact *c, mono_t now)
{
	reach_hurry(&c->reach, now);
	run(c, now);
}

void ways_readdress(struct contact *c, bool gone, mono_t now)
{
	const struct path *path = c->peer->path;

	if (!path || c->reach.silent)
		ways_hurry(c, now);
	else if (gone && path->way.kind == WAY_UDP)
		liveness_ask(c, now); /* the peer follows what it gets, be it that alone */
}

void ways_begin_anew(struct contact *c, mono_t now)
{
	for (unsigned i = 0; i < RUNGS; i++)
		close_way(&c->trial[i], now);
	c->moved = true;
	begin(c);
	run(c, now);
}

void ways_start(struct contact *c)
{
	for (unsigned i = 0; i < RUNGS; i++)
		c->trial[i] = (struct trial){ .contact = c, .rung = (enum rung)i };
	c->reach_timer.fn = due;
	begin(c);
}

void ways_stop(struct contact *c, mono_t now)
{
	for (unsigned i = 0; i < RUNGS; i++)
		trial_over(&c->trial[i]);
	timer_cancel(c->router->loop, &c->reach_timer);
	connections_tidy(c->router->connections, c->peer->id, true, now);
}
