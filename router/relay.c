/*
 * Relaying, see relay.h.
 *
 * out    transmit -> relay_wrap -> links        the sender
 * on     open_frames -> relay_onward -> links   the queue router
 * in     open_frames -> relay_unwrap -> open_frames again
 *
 * Only a queue frame whose own MAC was right comes here. It is sent on only for its sender
 * itself, only between two peers that both may use this router so, and only by a way that
 * needs no further relay: so nothing can go round in circles, and nobody can send in
 * another's name. A frame that can't be sent on now is dropped, and its sender is told.
 *
 * Congestion: the network field carries DSCP and ECN of the outer header that the frame
 * inside would have; a mark that was set on one hop is set in it for the next.
 *
 * Sizes: what measures the path (all but hosts' packets) must not be fragmented on the way,
 * or it would find it wider than it is; so a sender finds the smallest of all hops by
 * asking end to end.
 */
#include "router/relay.h"

#include <string.h>
#include <urcu-qsbr.h>

#include "router/backlog.h"
#include "router/stage.h"

#define TOLD_INTERVAL (100 * MSEC) /* between two "no way" to one sender */
#define ANSWER_BYTES (256 << 10)   /* given for one get frame at most: others wait meanwhile */

/* Queue frames that are to be signed together. */
struct signing {
	struct crypto_job jobs[BATCH_MAX];
	uint8_t rooms[BATCH_MAX][QUEUE_SIGNED];
	unsigned n;
};

struct crypto_job relay_job(struct crypto_key *key, uint8_t *frame, size_t len,
			    uint8_t room[static QUEUE_SIGNED])
{
	queue_frame_signed(frame, len, room);
	return (struct crypto_job){ .key = key,
				    .head = room,
				    .head_len = QUEUE_SIGNED,
				    .mac = frame + len - FRAME_MAC,
				    .nonce = frame + 16 };
}

static void count(struct worker *w, struct peer *peer, enum direction d, size_t len)
{
	struct traffic *t = &peer->share[w->number]->queued[d];

	counter_add(&t->packets, 1);
	counter_add(&t->bytes, len - FRAME_OVERHEAD);
}

/* Writes the header for this hop into the packet's first bytes; what it then covers is to
 * be signed. */
static void address(struct worker *w, struct packet *p, struct peer *hop, struct tx_keys *tx,
		    struct signing *s)
{
	uint8_t lane = tx_lane(tx, hop->share[w->number]->lane);
	struct frame_header h = { .source = w->view->self,
				  .destination = hop->id,
				  .epoch = tx->epoch,
				  .lane = lane,
				  .seq = tx_next(tx, lane, w->count >= tx->lanes) };

	queue_frame_format(&h, p->len - FRAME_OVERHEAD, p->outer_tos, p->data);
	s->jobs[s->n] = relay_job(tx->key[PROTECT_HMAC], p->data, p->len, s->rooms[s->n]);
	s->n++;
	count(w, hop, OUT, p->len);
}

/* ---- the sender ------------------------------------------------------------- */

/* What arrived merged with others has their bytes around it, where header and MAC of the
 * queue frame would go. */
static struct packet *apart(struct worker *w, struct packet *p)
{
	struct packet *copy;

	if (!p->parent && p->refs == 1)
		return p;
	copy = pool_copy(w->pool, p);
	if (copy)
		pool_put(w->pool, p);
	return copy;
}

/* NULL: it was taken or dropped. */
static struct packet *wrap(struct worker *w, struct packet *p, struct signing *s)
{
	struct peer *hop = world_peer(w->view, p->path->way.via);
	struct tx_keys *tx = hop ? rcu_dereference(hop->tx) : NULL;
	struct path *path = hop ? rcu_dereference(hop->path) : NULL;
	struct packet *own;

	if (!tx || !path || path->way.kind == WAY_RELAY) {
		packet_drop(w, p, DROP_NO_WAY);
		return NULL;
	}
	own = p->len + FRAME_OVERHEAD <= FRAME_MAX ? apart(w, p) : NULL;
	if (!own) {
		packet_drop(w, p, DROP_NO_BUFFER);
		return NULL;
	}
	own->path = path;
	packet_push(own, FRAME_HEADER);
	own->len += FRAME_MAC;
	address(w, own, hop, tx, s);
	return own;
}

/* A peer that asks for its frames gets this one then. */
static bool keep(struct worker *w, struct packet *p, mono_t now)
{
	struct backlog *backlog = rcu_dereference(p->peer->backlog);

	if (!backlog_is_on(backlog))
		return false;
	if (!backlog_put(backlog, w, p, now)) {
		packet_drop(w, p, DROP_WAIT_FULL);
		return true;
	}
	counter_add(&w->counters.consumed, 1);
	pool_put(w->pool, p);
	return true;
}

static bool goes_straight(const struct packet *p)
{
	return p->path->way.kind != WAY_RELAY && !rcu_dereference(p->peer->backlog);
}

void relay_wrap(struct worker *w, struct batch *b, mono_t now)
{
	struct signing s;
	unsigned kept = 0;

	while (kept < b->n && goes_straight(b->p[kept]))
		kept++;
	if (kept == b->n)
		return;
	s.n = 0;
	for (unsigned i = kept; i < b->n; i++) {
		struct packet *p = b->p[i];

		if (p->path->way.kind == WAY_RELAY)
			p = wrap(w, p, &s);
		else if (keep(w, p, now))
			p = NULL;
		if (p)
			b->p[kept++] = p;
	}
	b->n = kept;
	crypto_seal(w->number, s.jobs, s.n); /* HMAC can't fail */
}

/* ---- the queue router ------------------------------------------------------- */

/* The sender learns that it must try another one; now and then, whatever it sends. */
static void tell_no_way(struct worker *w, struct peer *sender, uint32_t id, mono_t now)
{
	mono_t *last = &sender->share[w->number]->no_way;
	struct note n = { .kind = NOTE_NO_WAY, .router = sender->id };

	if (mono_is_set(*last) && mono_since(now, *last) < TOLD_INTERVAL)
		return;
	if (worker_note(w, &n, &id, sizeof(id)))
		*last = now;
}

/* Where it goes on to: peer and path. KEEP or a reason. */
static unsigned find_next(struct worker *w, struct packet *p, mono_t now)
{
	struct peer *sender = p->peer, *next;
	struct frame_header inner;

	if (!queue_frame_parse(p->data, p->len, &inner))
		return DROP_BAD_INNER;
	if (inner.source != sender->id)
		return DROP_NOT_RELAY;
	next = world_peer(w->view, inner.destination);
	if (!next || next == sender ||
	    !atomic_load_explicit(&sender->relay, memory_order_relaxed) ||
	    !atomic_load_explicit(&next->relay, memory_order_relaxed))
		return DROP_NOT_RELAY;
	count(w, sender, IN, p->len);
	p->whole = inner.type != FRAME_FORWARD;
	p->peer = next;
	p->path = rcu_dereference(next->path);
	if (p->path && p->path->way.kind != WAY_RELAY && rcu_dereference(next->tx))
		return KEEP;
	tell_no_way(w, sender, next->id, now);
	return DROP_NO_WAY;
}

/* DSCP and ECN for the next hop: as the sender said, with this hop's mark. */
static uint8_t next_tos(const struct packet *p)
{
	uint8_t tos = queue_frame_tos(&p->frame);

	return (p->outer_tos & 3) == 3 && (tos & 3) ? tos | 3 : tos;
}

void relay_onward(struct worker *w, struct batch *b, mono_t now)
{
	struct signing s;
	unsigned kept = 0;

	s.n = 0;
	batch_filter(w, b, now, find_next);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		struct tx_keys *tx = rcu_dereference(p->peer->tx);

		p->outer_tos = next_tos(p);
		if (keep(w, p, now))
			continue;
		if (!tx) { /* forgotten since find_next */
			packet_drop(w, p, DROP_NO_WAY);
			continue;
		}
		address(w, p, p->peer, tx, &s);
		b->p[kept++] = p;
	}
	b->n = kept;
	crypto_seal(w->number, s.jobs, s.n);
	frames_send(w, b, now);
}

/* ---- what was kept ---------------------------------------------------------- */

/* Sends a frame of the worker's own with this payload. */
static void say(struct worker *w, struct peer *peer, enum frame_type type, const uint8_t *payload,
		size_t len, mono_t now)
{
	struct tx_keys *tx = rcu_dereference(peer->tx);
	struct path *path = rcu_dereference(peer->path);
	struct packet *p = tx && path && path->way.kind != WAY_RELAY ? pool_get(w->pool) : NULL;
	struct frame_header h = { .type = type,
				  .state = STATE_SIGNED,
				  .size = (uint16_t)(len + FRAME_OVERHEAD),
				  .source = w->view->self,
				  .destination = peer->id };
	struct batch b = { .n = 1, .p = { p } };
	struct crypto_job job;

	if (!p)
		return;
	h.epoch = tx->epoch;
	h.lane = tx_lane(tx, peer->share[w->number]->lane);
	h.seq = tx_next(tx, h.lane, w->count >= tx->lanes);
	p->peer = peer;
	p->path = path;
	p->len = h.size;
	frame_format(&h, p->data);
	memcpy(p->data + FRAME_HEADER, payload, len);
	job = (struct crypto_job){ .key = tx->key[PROTECT_HMAC],
				   .head = p->data,
				   .head_len = FRAME_HEADER,
				   .data = p->data + FRAME_HEADER,
				   .len = (uint32_t)len,
				   .mac = p->data + FRAME_HEADER + len,
				   .nonce = p->data + 16 };
	crypto_seal(w->number, &job, 1);
	counter_add(&w->counters.made, 1);
	frames_send(w, &b, now);
}

/* Makes frames ready that were kept for this peer. */
static void readdress(struct worker *w, struct batch *b, struct peer *peer, struct path *path,
		      struct tx_keys *tx)
{
	struct signing s;

	s.n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		struct frame_header h, inner;

		p->peer = peer;
		p->path = path;
		if (frame_parse(p->data, p->len, &h) != FRAME_OK ||
		    !queue_frame_parse(p->data, p->len, &inner) || h.type != FRAME_QUEUE)
			continue; /* one of this router's own */
		p->whole = inner.type != FRAME_FORWARD;
		p->outer_tos = queue_frame_tos(&h);
		address(w, p, peer, tx, &s);
	}
	crypto_seal(w->number, s.jobs, s.n);
}

/* Sends up to so many bytes of what is kept for it; how many. */
static size_t give(struct worker *w, struct peer *peer, struct path *path, struct tx_keys *tx,
		   size_t most, mono_t now)
{
	struct backlog *backlog = rcu_dereference(peer->backlog);
	struct batch b;
	size_t given = 0, n;

	b.n = 0;
	while (backlog && (n = backlog_take(backlog, w, &b, most - given, now)) > 0) {
		given += n;
		readdress(w, &b, peer, path, tx);
		frames_send(w, &b, now);
	}
	return given;
}

/* Some batches at most: who wants more asks again, and others get their turn. */
static void answer(struct worker *w, struct peer *peer, const struct queue_ask *ask, mono_t now)
{
	struct backlog *backlog = rcu_dereference(peer->backlog);
	struct tx_keys *tx = rcu_dereference(peer->tx);
	struct path *path = rcu_dereference(peer->path);
	size_t most = ask->bytes && ask->bytes < ANSWER_BYTES ? ask->bytes : ANSWER_BYTES;
	struct queue_answer a = { .serial = ask->serial };
	uint8_t payload[QUEUE_ANSWER];

	if (!tx || !path || path->way.kind == WAY_RELAY)
		return;
	a.given = (uint32_t)give(w, peer, path, tx, most, now);
	a.left = backlog ? (uint32_t)backlog_bytes(backlog) : 0;
	queue_answer_write(payload, &a);
	say(w, peer, FRAME_NULL, payload, sizeof(payload), now);
}

/* Where something was, more may follow: no need to wait for the interval. Of several
 * answers under way only the last one counts, so there is never more than one question
 * that another one follows. */
static void ask_on(struct worker *w, struct peer *peer, const struct queue_answer *a, mono_t now)
{
	uint32_t asked = atomic_load_explicit(&peer->asked, memory_order_relaxed);
	struct queue_ask next = { .bytes = 0 };
	uint8_t payload[QUEUE_ASK];

	if (!asked || a->serial != asked || (!a->given && !a->left))
		return;
	next.serial = peer_ask_serial(peer);
	queue_ask_write(payload, &next);
	say(w, peer, FRAME_GET, payload, sizeof(payload), now);
}

void relay_answer(struct worker *w, struct batch *b, mono_t now)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		const uint8_t *payload = p->data + FRAME_HEADER;
		size_t len = p->len - FRAME_OVERHEAD;
		struct queue_answer a;
		struct queue_ask ask;

		if (p->frame.type == FRAME_GET &&
		    !atomic_load_explicit(&p->peer->relay, memory_order_relaxed)) {
			packet_drop(w, p, DROP_NOT_RELAY);
			continue;
		}
		if (p->frame.type == FRAME_GET && queue_ask_read(payload, len, &ask))
			answer(w, p->peer, &ask, now);
		else if (p->frame.type == FRAME_NULL && queue_answer_read(payload, len, &a))
			ask_on(w, p->peer, &a, now);
		counter_add(&w->counters.consumed, 1);
		pool_put(w->pool, p);
	}
}

/* False: there is more. */
static bool drain(struct worker *w, struct peer *peer, mono_t now)
{
	struct backlog *backlog = rcu_dereference(peer->backlog);
	struct tx_keys *tx = rcu_dereference(peer->tx);
	struct path *path = rcu_dereference(peer->path);

	if (!backlog || backlog_is_on(backlog) || !backlog_bytes(backlog) || !tx || !path ||
	    path->way.kind == WAY_RELAY)
		return true;
	give(w, peer, path, tx, ANSWER_BYTES, now);
	return !backlog_bytes(backlog);
}

void relay_drain(struct worker *w, mono_t now)
{
	bool more = false;

	for (uint32_t i = 0; i <= w->view->mask; i++)
		if (w->view->peers[i])
			more |= !drain(w, w->view->peers[i], now);
	if (more) { /* in another turn */
		atomic_store_explicit(&w->drain, true, memory_order_release);
		worker_kick(w);
	}
}

/* ---- the end ---------------------------------------------------------------- */

void relay_unwrap(struct worker *w, struct packet *p)
{
	count(w, p->peer, IN, p->len);
	p->via = p->frame.source;
	p->outer_tos = next_tos(p);
	p->peer = NULL;
	packet_pull(p, FRAME_HEADER);
	p->len -= FRAME_MAC;
}
