/*
 * Keying: see keying.h for the rules.
 *
 * An exchange goes through: DTLS flights (until the handshake is done) -> keys
 * exported, our receiving keys installed, hello sent -> the other's hello comes:
 * sending keys installed -> it says that it has ours too: finished. A finished
 * exchange stays a little, to answer a hello that is repeated because our last
 * one was lost.
 */
#include "router/keying.h"

#include <stdio.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/router.h"

#define ATTEMPT_INTERVAL SEC	    /* between attempts as client that packets want */
#define BACK_OFF_MAX (30 * SEC)	    /* ... that nobody wants */
#define BACK_OFF_TINY (10 * SEC)    /* ... but that nothing goes on without: no pause */
#define STAY_CLIENT (3 * SEC)	    /* how long the lower ID insists on being client */
#define HELLO_INTERVAL (200 * MSEC) /* first repeat, doubling */
#define EXCHANGE_TIME (15 * SEC)    /* from begin to finished */
#define LINGER (5 * SEC)	    /* of a finished one */
#define ANSWERS_MAX 8		    /* hellos repeated by a finished one */
#define USE_CHECK SEC
#define LISTEN_BURST 20		   /* client hellos of one peer, */
#define LISTEN_REFILL (100 * MSEC) /* then ten a second: each costs a DTLS object */
#define HELLOS_MAX 10 /* of one attempt: the repeats of ten seconds, one more with a cookie */
#define ATTEMPT_SERVED UINT8_MAX
#define OVERDUE (60 * SEC) /* how long worn keys are used when no new ones come */

static struct router *router_of(const struct keying *k)
{
	return k->contact->router;
}

/* ---- what keys are for ---------------------------------------------------- */

/* All algorithms: a network may change its protection while keys live. */
#define ALGORITHMS ((1u << PROTECTIONS) - 2)

static uint64_t packets_carried(const struct keying *k)
{
	uint64_t out, in, bytes;

	peer_traffic(router_of(k), k->contact->peer, OUT, &out, &bytes);
	peer_traffic(router_of(k), k->contact->peer, IN, &in, &bytes);
	return out + in;
}

static uint8_t own_lanes(const struct router *r)
{
	return (uint8_t)(r->n_workers + 1);
}

/* ---- exchanges ------------------------------------------------------------ */

static void exchange_done(struct exchange *x)
{
	handshake_free(x->handshake);
	crypto_wipe(x, sizeof(*x));
}

/* A client that has had no answer yet says it on all ways. */
static void say(struct keying *k, struct exchange *x, const uint8_t *payload, size_t len)
{
	struct way ways[CONTACT_WAYS];
	unsigned n;

	if (x->role == HANDSHAKE_SERVER || x->answered) {
		contact_send_handshake(k->contact, &x->way, payload, len);
		return;
	}
	n = contact_ways(k->contact, ways);
	for (unsigned i = 0; i < n; i++)
		contact_send_handshake(k->contact, &ways[i], payload, len);
	memcpy(k->first, payload, len);
	k->first_len = len;
}

/* Everything that the handshake wants sent. */
static void send_flight(struct keying *k, struct exchange *x)
{
	uint8_t payload[HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM];
	struct handshake_header h = { .role = (uint8_t)x->role,
				      .lanes = x->own_lanes,
				      .attempt = x->attempt };
	size_t len;

	while ((len = handshake_take(x->handshake, payload + HANDSHAKE_HEADER)) > 0) {
		struct writer w = writer_init(payload, HANDSHAKE_HEADER);

		handshake_header_write(&w, &h);
		say(k, x, payload, HANDSHAKE_HEADER + len);
	}
}

static void send_hello(struct keying *k, struct exchange *x)
{
	struct hello h = { .epoch = x->epoch,
			   .lanes = x->own_lanes,
			   .seen = x->seen,
			   .features = FEATURE_PARTIAL |
				       (limited_asks(k->contact) ? FEATURE_ASKS : 0) };

	handshake_send_hello(x->handshake, &h);
	send_flight(k, x);
}

static void give_up(struct keying *k, struct exchange *x, const char *why, mono_t now)
{
	struct router *r = router_of(k);

	snprintf(k->error, sizeof(k->error), "%s", why);
	k->failures++;
	counter_add(&r->events[EVENT_HANDSHAKES_FAILED], 1);
	if (x->exported) /* its receiving keys go with it */
		k->retire[x->epoch % PEER_EPOCHS] = now;
	exchange_done(x);
	contact_failed(k->contact, k->error, now);
}

/* A free slot, so an epoch byte whose key is not held. False if all are in use. */
static bool name_epoch(struct keying *k, uint8_t *ret)
{
	for (unsigned i = 1; i <= PEER_EPOCHS; i++) {
		uint8_t e = (uint8_t)(k->epoch + i);

		if (!k->contact->peer->rx[e % PEER_EPOCHS]) {
			*ret = k->epoch = e;
			return true;
		}
	}
	return false;
}

/* The handshake is done: take the secrets, be ready to receive, say so. */
static bool take_secrets(struct keying *k, struct exchange *x, mono_t now)
{
	struct router *r = router_of(k);
	struct peer *p = k->contact->peer;
	struct rx_keys *rx;

	if (!handshake_export(x->handshake, &x->tx, &x->rx) || !name_epoch(k, &x->epoch))
		return false;
	rx = rx_keys_new(r->crypto, &x->rx, ALGORITHMS, x->epoch, x->lanes);
	if (!rx)
		return false;
	k->retire[x->epoch % PEER_EPOCHS] = (mono_t){ 0 };
	rcu_assign_pointer(p->rx[x->epoch % PEER_EPOCHS], rx);
	x->exported = true;
	x->hello_interval = HELLO_INTERVAL;
	x->hello_due = mono_add(now, x->hello_interval);
	send_hello(k, x);
	return true;
}

/* The other's hello has come: send with the new keys from now on. */
static bool install_sending(struct keying *k, const struct exchange *x, const struct hello *h,
			    mono_t now)
{
	struct router *r = router_of(k);
	struct peer *p = k->contact->peer;
	struct tx_keys *old = p->tx;
	struct tx_keys *tx = tx_keys_new(r->crypto, &x->tx, ALGORITHMS, h->epoch, x->own_lanes);

	if (!tx)
		return false;
	tx->features = h->features;
	if (old && k->used != packets_carried(k))
		counter_add(&r->events[EVENT_REKEYS], 1);
	rcu_assign_pointer(p->tx, tx);
	synchronize_rcu();
	tx_keys_free(old);
	k->made = now;
	k->overdue = (mono_t){ 0 };
	k->used = packets_carried(k);
	return true;
}

/* How long what was sent with old keys may be on its way; at a queue router it may wait. */
static int64_t old_time(const struct keying *k)
{
	const struct router *r = router_of(k);

	return KEYING_OLD + (k->contact->relays.n || k->contact->asking.on
				     ? r->config->queue_age + r->limited.interval
				     : 0);
}

/* All receiving keys but the newest go once what was sent with them has had time
 * to arrive. */
static void retire_old(struct keying *k, uint8_t newest, mono_t now)
{
	for (unsigned i = 0; i < PEER_EPOCHS; i++)
		if (k->contact->peer->rx[i] && i != newest % PEER_EPOCHS &&
		    !mono_is_set(k->retire[i]))
			k->retire[i] = mono_add(now, old_time(k));
}

static void finish(struct keying *k, mono_t now)
{
	exchange_done(&k->last);
	k->last = k->now;
	crypto_wipe(&k->last.tx, sizeof(k->last.tx));
	crypto_wipe(&k->last.rx, sizeof(k->last.rx));
	crypto_wipe(&k->now, sizeof(k->now));
	k->last.begun = now;
	k->last.finished = true;
	retire_old(k, k->last.epoch, now);
	tiny_keyed(k->contact, k->last.epoch, now);
}

static void take_hello(struct keying *k, struct exchange *x, const struct hello *h, mono_t now)
{
	bool first = !x->seen;

	if (h->lanes != x->lanes)
		return;
	if (first) {
		if (!install_sending(k, x, h, now))
			return;
		x->seen = true;
		k->wanted = false; /* what was wanted meanwhile is there now */
		k->failures = 0;
		k->back_off = 0;
		k->error[0] = '\0';
		counter_add(&router_of(k)->events[EVENT_HANDSHAKES], 1);
	}
	/* the other must learn that its hello has come; repeated: it has not */
	if (first || !h->seen)
		send_hello(k, x);
	if (first)
		contact_ready(k->contact, &x->way, x->role == HANDSHAKE_CLIENT, now);
	if (h->seen)
		finish(k, now);
}

/* After anything has happened to the pending exchange. */
static void advance(struct keying *k, enum handshake_state state, mono_t now)
{
	struct exchange *x = &k->now;
	struct hello h;

	send_flight(k, x); /* a failed one has an alert to send */
	if (state == HANDSHAKE_FAILED) {
		give_up(k, x, handshake_error(x->handshake), now);
		return;
	}
	if (state != HANDSHAKE_DONE)
		return;
	if (!x->exported && !take_secrets(k, x, now)) {
		give_up(k, x, "no memory for keys", now);
		return;
	}
	if (handshake_recv_hello(x->handshake, &h))
		take_hello(k, x, &h, now);
}

static void schedule(struct keying *k, mono_t now);

static void begin_client(struct keying *k, mono_t now)
{
	struct router *r = router_of(k);
	struct contact *c = k->contact;
	struct exchange *x = &k->now;
	const int64_t most = c->config.designated ? BACK_OFF_TINY : BACK_OFF_MAX;
	struct way ways[CONTACT_WAYS];
	uint32_t attempt;

	k->tried = now;
	if (!contact_ways(c, ways) || !crypto_random(&attempt, sizeof(attempt)))
		return;
	x->handshake = handshake_client(r->handshakes, c->peer->id, c->config.key, now);
	if (!x->handshake)
		return;
	x->role = HANDSHAKE_CLIENT;
	x->way = ways[0];
	x->attempt = attempt;
	x->begun = now;
	x->own_lanes = own_lanes(r);
	k->wanted = false;
	k->back_off = k->back_off ? k->back_off * 2 : ATTEMPT_INTERVAL;
	if (k->back_off > most)
		k->back_off = most;
	send_flight(k, x);
}

void keying_want(struct keying *k, mono_t now)
{
	k->wanted = true;
	k->back_off = 0;
	if (!k->now.handshake &&
	    (!mono_is_set(k->tried) || mono_since(now, k->tried) >= ATTEMPT_INTERVAL))
		begin_client(k, now);
	schedule(k, now);
}

static bool is_first_words(const struct keying *k)
{
	return k->now.handshake && k->now.role == HANDSHAKE_CLIENT && !k->now.answered;
}

void keying_opened(struct keying *k, const struct way *way, mono_t now)
{
	if (is_first_words(k))
		contact_send_handshake(k->contact, way, k->first, k->first_len);
	else if (!k->now.handshake && (k->wanted || !keying_is_ready(k)))
		begin_client(k, now);
	schedule(k, now);
}

void keying_gone(struct keying *k, const struct way *way, mono_t now)
{
	struct exchange *x = &k->now;

	if (!x->handshake || is_first_words(k) || x->seen || !way_same(&x->way, way))
		return;
	give_up(k, x, "its way is gone", now);
	k->wanted = true;
	k->back_off = 0;
	schedule(k, now);
}

/* The way of an answer is the way of the handshake, if it is one that we have tried. */
static void settle_way(struct keying *k, const struct way *way)
{
	struct way ways[CONTACT_WAYS];
	unsigned n = contact_ways(k->contact, ways);

	k->now.answered = way_same(&k->now.way, way);
	for (unsigned i = 0; i < n && !k->now.answered; i++)
		if (way_same(&ways[i], way)) {
			k->now.way = ways[i];
			k->now.answered = true;
		}
}

/* ---- what comes in ---------------------------------------------------------- */

/* A new attempt takes the place of the oldest. */
static struct attempt *find_attempt(struct keying *k, uint32_t id)
{
	struct attempt *a;

	for (unsigned i = 0; i < KEYING_ATTEMPTS; i++)
		if (k->attempts[i].hellos && k->attempts[i].id == id)
			return &k->attempts[i];
	a = &k->attempts[k->n_attempts++ % KEYING_ATTEMPTS];
	*a = (struct attempt){ .id = id };
	return a;
}

/* Client hellos with a good MAC can be replayed, so they are limited: each attempt
 * for itself, so that replays of an old one take nothing from a new one, and all. */
static bool may_listen(struct keying *k, mono_t now)
{
	int64_t refill = mono_since(now, k->listened) / LISTEN_REFILL;

	if (refill > 0) {
		k->listen_left = refill + k->listen_left > LISTEN_BURST
					 ? LISTEN_BURST
					 : (unsigned)refill + k->listen_left;
		k->listened = now;
	}
	if (!k->listen_left)
		return false;
	k->listen_left--;
	return true;
}

/* When both began at once, the lower ID stays client, for as long as its handshake
 * may well succeed: longer, and the other has lost it. */
static bool stays_client(const struct keying *k, mono_t now)
{
	const struct exchange *x = &k->now;
	int64_t time = k->contact->rtt ? 4 * k->contact->rtt + 300 * MSEC : STAY_CLIENT;

	return x->handshake && x->role == HANDSHAKE_CLIENT &&
	       router_of(k)->config->id < k->contact->peer->id &&
	       mono_since(now, x->begun) < (time < STAY_CLIENT ? time : STAY_CLIENT);
}

/* The peer wants to be client. */
static bool recv_new_client(struct keying *k, const struct way *way,
			    const struct handshake_header *h, const uint8_t *data, size_t len,
			    mono_t now)
{
	struct router *r = router_of(k);
	struct contact *c = k->contact;
	struct exchange *x = &k->now;
	struct exchange new = { .role = HANDSHAKE_SERVER,
				.attempt = h->attempt,
				.lanes = h->lanes,
				.own_lanes = own_lanes(r),
				.way = *way,
				.begun = now };
	uint8_t reply[HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM], bound[64];
	struct writer w = writer_init(bound, sizeof(bound));
	struct attempt *a = find_attempt(k, h->attempt);
	size_t reply_len = 0;

	if (a->hellos >= HELLOS_MAX)
		return false;
	a->hellos++;
	if (!may_listen(k, now))
		return false;
	if (stays_client(k, now))
		return true;
	if (x->seen) /* the other is done with it, or has forgotten it */
		finish(k, now);
	else if (x->exported && x->role == HANDSHAKE_CLIENT &&
		 mono_since(now, x->begun) < STAY_CLIENT)
		return true; /* all but finished */
	write_u32(&w, h->attempt);
	write_u32(&w, way->via);
	write_bytes(&w, way->remote.ip.b, sizeof(way->remote.ip.b));
	write_u16(&w, way->remote.port);
	new.handshake =
		handshake_listen(r->handshakes, c->peer->id, c->config.key, bound, writer_len(&w),
				 data, len, now, reply + HANDSHAKE_HEADER, &reply_len);
	if (!new.handshake) {
		struct handshake_header answer = { .role = HANDSHAKE_SERVER,
						   .lanes = own_lanes(r),
						   .attempt = h->attempt };

		if (!reply_len)
			return false;
		w = writer_init(reply, HANDSHAKE_HEADER);
		handshake_header_write(&w, &answer);
		counter_add(&r->events[EVENT_COOKIES], 1);
		contact_send_handshake(c, way, reply, HANDSHAKE_HEADER + reply_len);
		return true;
	}
	a->hellos = ATTEMPT_SERVED;
	exchange_done(x);
	*x = new;
	advance(k, handshake_state(x->handshake), now);
	return true;
}

static bool is_of(const struct exchange *x, const struct handshake_header *h)
{
	return x->handshake && x->attempt == h->attempt && x->role != h->role;
}

bool keying_recv(struct keying *k, const struct way *way, const uint8_t *data, size_t len,
		 mono_t now)
{
	struct reader r = reader_init(data, len);
	struct handshake_header h;
	struct hello hello;
	bool fits = true;

	if (!handshake_header_read(&r, &h))
		return false;
	data += HANDSHAKE_HEADER;
	len -= HANDSHAKE_HEADER;
	if (is_of(&k->now, &h)) {
		if (is_first_words(k))
			settle_way(k, way);
		if (k->now.role == HANDSHAKE_CLIENT && !k->now.exported)
			k->now.lanes = h.lanes;
		advance(k, handshake_feed(k->now.handshake, data, len, now), now);
	} else if (is_of(&k->last, &h)) {
		handshake_feed(k->last.handshake, data, len, now);
		send_flight(k, &k->last);
		if (handshake_recv_hello(k->last.handshake, &hello) &&
		    k->last.answers++ < ANSWERS_MAX)
			send_hello(k, &k->last);
	} else if (h.role == HANDSHAKE_CLIENT) {
		fits = recv_new_client(k, way, &h, data, len, now);
	} else {
		fits = false;
	}
	schedule(k, now);
	return fits;
}

/* ---- time ------------------------------------------------------------------- */

static void retire_due(struct keying *k, mono_t now)
{
	struct peer *p = k->contact->peer;
	struct rx_keys *gone[PEER_EPOCHS];
	unsigned n = 0;

	for (unsigned i = 0; i < PEER_EPOCHS; i++) {
		if (!p->rx[i] || !mono_is_set(k->retire[i]) || mono_before(now, k->retire[i]))
			continue;
		gone[n++] = p->rx[i];
		rcu_assign_pointer(p->rx[i], NULL);
		k->retire[i] = (mono_t){ 0 };
	}
	if (!n)
		return;
	synchronize_rcu();
	while (n)
		rx_keys_free(gone[--n]);
}

/* Keys are replaced before their time is up, by the lower ID first. */
static mono_t rekey_due(const struct keying *k)
{
	const struct router *r = router_of(k);
	int64_t after = r->config->rekey_after;

	return mono_add(k->made,
			r->config->id < k->contact->peer->id ? after / 20 * 17 : after / 20 * 19);
}

static bool is_worn(const struct keying *k)
{
	const struct tx_keys *tx = k->contact->peer->tx;

	for (unsigned i = 0; tx && i < tx->lanes; i++)
		if (tx->lane[i].seq >= router_of(k)->config->rekey_frames / 10 * 9)
			return true;
	return false;
}

static bool is_used(const struct keying *k)
{
	return packets_carried(k) != k->used;
}

/* Workers share lanes. */
static bool lacks_lanes(const struct keying *k)
{
	const struct tx_keys *tx = k->contact->peer->tx;

	return tx && tx->lanes < own_lanes(router_of(k));
}

static bool is_past(const struct keying *k, mono_t now)
{
	return is_worn(k) || (!mono_before(now, rekey_due(k)) && is_used(k));
}

static bool needs_keys(const struct keying *k, mono_t now)
{
	if (!mono_is_set(k->made))
		return k->wanted || mono_since(now, k->tried) >= k->back_off;
	return k->wanted || is_past(k, now) || (lacks_lanes(k) && is_used(k));
}

static void pending_due(struct keying *k, mono_t now)
{
	struct exchange *x = &k->now;
	mono_t deadline = handshake_deadline(x->handshake);

	if (x->exported) {
		if (mono_since(now, x->begun) >= EXCHANGE_TIME && x->seen) {
			finish(k, now); /* only the other's last word is missing */
		} else if (mono_since(now, x->begun) >= EXCHANGE_TIME) {
			give_up(k, x, "the handshake was not finished by the other side", now);
		} else if (!mono_before(now, x->hello_due)) {
			x->hello_interval *= 2;
			x->hello_due = mono_add(now, x->hello_interval);
			send_hello(k, x);
		}
	} else if (mono_is_set(deadline) && !mono_before(now, deadline)) {
		advance(k, handshake_timeout(x->handshake, now), now);
	} else if (mono_since(now, x->begun) >= EXCHANGE_TIME) {
		give_up(k, x, "no answer", now);
	}
}

/* Keys that are in use past their time are given up when no new ones come. */
static void give_up_worn(struct keying *k, mono_t now)
{
	if (!mono_is_set(k->made) || k->wanted || !is_past(k, now))
		return;
	if (!mono_is_set(k->overdue))
		k->overdue = now;
	if (mono_since(now, k->overdue) < OVERDUE)
		return;
	log_warn("peer %s: its keys are given up: no new ones for %lld s after their time",
		 k->contact->peer->name, (long long)(OVERDUE / SEC));
	keying_forget(k, now);
}

static void due(struct timer *t, mono_t now)
{
	struct keying *k = container_of(t, struct keying, timer);

	tiny_look(k->contact, now);
	retire_due(k, now);
	give_up_worn(k, now);
	if (k->last.handshake && mono_since(now, k->last.begun) >= LINGER)
		exchange_done(&k->last);
	if (k->now.handshake)
		pending_due(k, now);
	if (!k->now.handshake && needs_keys(k, now) &&
	    (!mono_is_set(k->tried) || mono_since(now, k->tried) >= ATTEMPT_INTERVAL ||
	     mono_is_set(k->made)))
		begin_client(k, now);
	schedule(k, now);
}

static void schedule(struct keying *k, mono_t now)
{
	const struct exchange *x = &k->now;
	mono_t next = mono_add(now, USE_CHECK);

	if (x->handshake) {
		next = mono_earlier(next, handshake_deadline(x->handshake));
		if (x->exported)
			next = mono_earlier(next, x->hello_due);
	} else if (mono_is_set(k->made)) {
		if (mono_before(now, rekey_due(k)))
			next = mono_earlier(next, rekey_due(k));
	} else if (k->wanted) {
		next = mono_earlier(next, mono_add(k->tried, ATTEMPT_INTERVAL));
	}
	for (unsigned i = 0; i < PEER_EPOCHS; i++)
		next = mono_earlier(next, k->retire[i]);
	timer_set(router_of(k)->loop, &k->timer, next);
}

/* ---- life --------------------------------------------------------------------- */

void keying_init(struct keying *k, struct contact *c)
{
	memset(k, 0, sizeof(*k));
	k->contact = c;
	k->timer.fn = due;
	/* not where the last run began: its late frames are told apart */
	crypto_random(&k->epoch, sizeof(k->epoch));
}

void keying_done(struct keying *k)
{
	timer_cancel(router_of(k)->loop, &k->timer);
	exchange_done(&k->now);
	exchange_done(&k->last);
}

void keying_forget(struct keying *k, mono_t now)
{
	struct tx_keys *old = k->contact->peer->tx;

	rcu_assign_pointer(k->contact->peer->tx, NULL);
	synchronize_rcu();
	tx_keys_free(old);
	k->made = k->overdue = (mono_t){ 0 };
	k->back_off = 0;
	for (unsigned i = 0; i < PEER_EPOCHS; i++)
		if (k->contact->peer->rx[i] && !mono_is_set(k->retire[i]))
			k->retire[i] = mono_add(now, old_time(k));
}

void keying_leave(struct keying *k, const struct way *way, mono_t now)
{
	struct exchange *x = &k->now;

	if (!x->handshake || x->role != HANDSHAKE_CLIENT || x->exported || !way_same(&x->way, way))
		return;
	exchange_done(x);
	k->wanted = true;
	begin_client(k, now);
	schedule(k, now);
}

bool keying_is_ready(const struct keying *k)
{
	return k->contact->peer->tx != NULL;
}
