/*
 * See tiny_watch.h. A NAT that forgets, or a VM that gets another address, moves a tiny without a
 * return; one that goes from UDP to TCP and back is where it was, since of a stream only the
 * address counts. What was under way when a handshake was finished may come for a while
 * yet, and once a burst of it that a stream had to send again: so it has to happen after two
 * handshakes within a minute.
 */
#include "router/tiny_watch.h"

#include "router/router.h"

#define MINUTE (60 * SEC)
#define UNDER_WAY SEC

static void say_stolen(struct contact *c, mono_t now)
{
	const struct tiny_watch *w = &c->tiny;
	char one[ENDPOINT_TEXT], other[ENDPOINT_TEXT];
	uint32_t more;

	if (!log_allowed(&c->tiny.complaint, now, MINUTE, &more))
		return;
	endpoint_format(&w->places[0], one);
	if (w->places[1].ip.family)
		endpoint_format(&w->places[1], other);
	log_warn("tiny %s: its key is used in two places at once: %s%s%s; if it was stolen, "
		 "take this tiny out and give the VM another one",
		 c->peer->name, one, w->places[1].ip.family ? " and " : "",
		 w->places[1].ip.family ? other : "");
}

static struct endpoint place_of(const struct way *way)
{
	struct endpoint e = way->remote;

	if (way->kind == WAY_STREAM)
		e.port = 0;
	return e;
}

static bool same_place(const struct endpoint *a, const struct endpoint *b)
{
	return ip_equal(&a->ip, &b->ip) && (a->port == b->port || !a->port || !b->port);
}

void tiny_moved(struct contact *c, const struct way *way, mono_t now)
{
	struct tiny_watch *w = &c->tiny;
	struct endpoint place = place_of(way);
	unsigned at = 0;

	if (!c->config.tiny || way->kind == WAY_RELAY)
		return;
	while (at < TINY_PLACES - 1 && w->places[at].ip.family &&
	       !same_place(&w->places[at], &place))
		at++;
	if (at && w->places[at].ip.family && same_place(&w->places[at], &place))
		w->returned[w->n_returned++ % TINY_MOVES] = now;
	for (; at; at--)
		w->places[at] = w->places[at - 1];
	w->places[0] = place;
	if (tiny_returns(c, now) >= TINY_STOLEN)
		say_stolen(c, now);
}

/* Frames that have come under the keys that are looked at; false: they are gone. Windows are
 * the workers', and a look at one that moves is as good as any. */
static bool count_frames(const struct contact *c, uint64_t *ret)
{
	const struct rx_keys *rx = c->peer->rx[c->tiny.epoch % PEER_EPOCHS];

	*ret = 0;
	if (!rx || rx->epoch != c->tiny.epoch)
		return false;
	for (unsigned i = 0; i < rx->lanes; i++)
		*ret += __atomic_load_n(&rx->lane[i].top, __ATOMIC_RELAXED);
	return true;
}

void tiny_look(struct contact *c, mono_t now)
{
	struct tiny_watch *w = &c->tiny;
	uint64_t frames;

	if (!w->looking || mono_since(now, w->since) < UNDER_WAY)
		return;
	if (!count_frames(c, &frames)) {
		w->looking = false;
		return;
	}
	if (!w->counted || frames == w->frames) {
		w->counted = true;
		w->frames = frames;
		return;
	}
	w->looking = false;
	if (mono_is_set(w->late) && mono_since(now, w->late) < MINUTE) {
		w->twice = now;
		say_stolen(c, now);
	}
	w->late = now;
}

void tiny_keyed(struct contact *c, uint8_t epoch, mono_t now)
{
	struct tiny_watch *w = &c->tiny;

	if (!c->config.tiny)
		return;
	tiny_look(c, now);
	w->looking = true; /* the first time there are no such keys */
	w->epoch = w->next;
	w->next = epoch;
	w->since = now;
	w->counted = false;
}

unsigned tiny_returns(const struct contact *c, mono_t now)
{
	const struct tiny_watch *w = &c->tiny;
	unsigned n = 0;

	for (unsigned i = 0; i < TINY_MOVES; i++)
		n += mono_is_set(w->returned[i]) && mono_since(now, w->returned[i]) < MINUTE;
	return n;
}

bool tiny_is_twice(const struct contact *c, mono_t now)
{
	return mono_is_set(c->tiny.twice) && mono_since(now, c->tiny.twice) < MINUTE;
}
