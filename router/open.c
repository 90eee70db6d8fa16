/*
 * Open: a frame from the wire is checked before anything in it is believed.
 *
 *   1. form        sizes, version, type, state bits (wire.c)
 *   2. who         for this router? from one that is configured?
 *   3. key         the epoch's keys, the lane's replay window (only looked at)
 *   4. MAC or tag  the whole batch at once
 *   5. accept      the sequence is marked; what is for the router itself leaves
 *   6. others      queue and get frames: sent on, answered, or what is inside is opened in
 *                  its turn, from 1 on
 *
 * Nothing that fails is answered. A frame of a known router under unknown keys
 * makes the control thread start a handshake of its own, to that router's known
 * way, at most once a second. A frame that is not protected (its network asks
 * for none) touches no replay window, no endpoint, no liveness.
 *
 * Steering brings a lane's frames to one worker as a rule, not always (session.h). So
 * a window is held while it is used: by a run of frames, so hardly once a batch, and
 * never two at a time.
 */
#include <urcu-qsbr.h>

#include "common/handshake.h"
#include "router/link_stream.h"
#include "router/relay.h"
#include "router/stage.h"

#define NOTES_MAX 128 /* of one peer in NOTES_TIME */
#define NOTES_TIME (100 * MSEC)
#define NOTE_INTERVAL SEC	    /* for what anybody on the wire can provoke */
#define MOVED_INTERVAL (100 * MSEC) /* what only the peer can, once: a challenge may be lost */
#define RELAYED_INTERVAL (200 * MSEC)

/* Authentic frames that are neither hosts' packets nor for the control thread. */
struct others {
	struct batch inside; /* in these is one for this router */
	struct batch onward; /* for another router */
	struct batch asking; /* for what is kept, or the end of such an answer */
};

/* Holds this window, NULL for none, instead of the one held now. */
static void hold_window(struct replay **now, struct replay *next)
{
	if (*now == next)
		return;
	if (*now)
		replay_release(*now);
	if (next)
		replay_hold(next);
	*now = next;
}

/* When more want keys than there is time for, half of the ring is not for those that only knock:
 * they do it again by themselves, ever more seldom. And a quarter is for handshakes that have
 * begun alone. Otherwise all would begin again and again, and few would end. */
static bool may_knock(struct worker *w)
{
	return ring_room(w->notes) > NOTE_SLOTS / 2;
}

static bool may_talk(struct worker *w)
{
	return ring_room(w->notes) > NOTE_SLOTS / 4;
}

/* A note about a peer, at most one in such a time. What authentic frames say is no knock. */
static void note_limited(struct worker *w, const struct packet *p, mono_t *last,
			 enum note_kind kind, int64_t interval, mono_t now)
{
	struct note n = { .kind = kind, .router = p->frame.source, .way = packet_way(p) };

	if (mono_is_set(*last) && mono_since(now, *last) < interval)
		return;
	if ((kind == NOTE_MOVED || kind == NOTE_RELAYED ? may_talk(w) : may_knock(w)) &&
	    worker_note(w, &n, NULL, 0))
		*last = now;
}

static unsigned check_form(struct worker *w, struct packet *p, mono_t now)
{
	struct frame_header inner;

	(void)now;
	switch (frame_parse(p->data, p->len, &p->frame)) {
	case FRAME_OK: break;
	case FRAME_SHORT: return DROP_SHORT;
	case FRAME_LONG: return DROP_LONG;
	case FRAME_VERSION: return DROP_VERSION;
	case FRAME_STATE: return DROP_STATE;
	}
	if (p->frame.destination != w->view->self)
		return DROP_NOT_FOR_US;
	p->peer = world_peer(w->view, p->frame.source);
	if (!p->peer)
		return DROP_UNKNOWN_ROUTER;
	return p->frame.type != FRAME_QUEUE || queue_frame_parse(p->data, p->len, &inner)
		       ? KEEP
		       : DROP_BAD_INNER;
}

/* The network of a forward frame, and whether its protection is what the network
 * asks for. `last` is the frame that passed before it, or NULL. */
static unsigned check_network(struct worker *w, struct packet *p, const struct packet *last,
			      enum protection *ret)
{
	bool same = last && last->frame.type == FRAME_FORWARD &&
		    last->frame.network == p->frame.network;
	uint32_t slot = same ? last->slot : table_slot(w->view->receive, p->frame.network);
	uint8_t state = p->frame.state & (STATE_SIGNED | STATE_ENCRYPTED);
	enum protection protection;

	p->slot = slot;
	if (slot != UINT32_MAX) {
		p->network = w->view->receive_networks[slot];
	} else {
		size_t n;
		const struct network_alias *a = world_aliases(w->view, p->frame.network, &n);

		if (!n)
			return DROP_UNKNOWN_NETWORK;
		p->network = a->from;
	}
	protection = (enum protection)atomic_load_explicit(&p->network->protection,
							   memory_order_relaxed);
	if (protection == PROTECT_NONE)
		return state == 0 ? (*ret = PROTECT_NONE, KEEP) : DROP_DISABLED;
	if (protection == PROTECT_HMAC && state == STATE_ENCRYPTED)
		return DROP_DISABLED;
	if (state != (protection == PROTECT_HMAC ? STATE_SIGNED : STATE_ENCRYPTED))
		return DROP_UNPROTECTED;
	*ret = protection;
	return KEEP;
}

/* Finds the key that a frame is to be opened with; NULL with KEEP: none needed. */
static unsigned find_key(struct worker *w, struct packet *p, const struct packet *last,
			 struct replay **window, struct rx_keys **ret_keys,
			 struct crypto_key **ret_key, mono_t now)
{
	struct peer *peer = p->peer;
	enum protection protection = PROTECT_HMAC;
	struct rx_keys *rx;

	*ret_keys = NULL;
	*ret_key = NULL;
	if (p->frame.type == FRAME_HANDSHAKE) {
		*ret_key = peer->handshake_key;
		return KEEP;
	}
	if (p->frame.type == FRAME_FORWARD) {
		unsigned verdict = check_network(w, p, last, &protection);

		if (verdict != KEEP || protection == PROTECT_NONE)
			return verdict;
	}
	rx = rcu_dereference(peer->rx[p->frame.epoch % PEER_EPOCHS]);
	if (!rx || rx->epoch != p->frame.epoch) {
		note_limited(w, p, &peer->share[w->number]->unknown, NOTE_UNKNOWN_KEY,
			     NOTE_INTERVAL, now);
		return DROP_UNKNOWN_KEY;
	}
	if (p->frame.lane >= rx->lanes)
		return DROP_BAD_LANE;
	hold_window(window, &rx->lane[p->frame.lane]);
	if (!replay_is_fresh(&rx->lane[p->frame.lane], p->frame.seq))
		return DROP_REPLAY;
	*ret_keys = rx;
	*ret_key = rx->key[protection];
	return *ret_key ? KEEP : DROP_UNKNOWN_KEY;
}

static bool is_first_word(const struct packet *p)
{
	const size_t around = FRAME_OVERHEAD + HANDSHAKE_HEADER;

	return p->len > around &&
	       handshake_opens(p->data + FRAME_HEADER + HANDSHAKE_HEADER, p->len - around);
}

/* No peer, and nobody in its name, may fill the ring for the others. */
static void to_control(struct worker *w, struct packet *p, enum note_kind kind, mono_t now)
{
	struct note n = {
		.kind = kind,
		.router = p->frame.source,
		.way = packet_way(p),
		.frame_size = p->frame.size,
	};

	if (kind == NOTE_HANDSHAKE && is_first_word(p) && !may_knock(w)) {
		packet_drop(w, p, DROP_HELLO_FULL);
		return;
	}
	if (!budget_take(&p->peer->share[w->number]->notes, NOTES_MAX, NOTES_TIME, now) ||
	    (kind == NOTE_CONTROL && !may_talk(w)) ||
	    !worker_note(w, &n, p->data + FRAME_HEADER, p->len - FRAME_OVERHEAD)) {
		packet_drop(w, p, DROP_CONTROL_FULL);
		return;
	}
	counter_add(&w->counters.consumed, 1);
	pool_put(w->pool, p);
}

/* An authentic frame, not one seen before: its sender is alive, and maybe elsewhere. What
 * has come by a relay moves no endpoint. */
static void heard(struct worker *w, struct packet *p, mono_t now)
{
	struct peer *peer = p->peer;
	struct path *path = rcu_dereference(peer->path);

	atomic_store_explicit(&peer->heard, now.ns, memory_order_relaxed);
	if (p->stream && !p->via)
		link_stream_prove(w, p->stream);
	if (path && packet_came_by(p, &path->way))
		atomic_store_explicit(&peer->heard_by_path, now.ns, memory_order_relaxed);
	else if (p->via)
		note_limited(w, p, &peer->share[w->number]->relayed, NOTE_RELAYED, RELAYED_INTERVAL,
			     now);
	else
		note_limited(w, p, &peer->share[w->number]->moved, NOTE_MOVED, MOVED_INTERVAL, now);
}

/* A frame whose MAC was right (or that needed none). KEEP: a host's packet. */
static unsigned accept_frame(struct worker *w, struct packet *p, struct replay **window,
			     struct rx_keys *rx, struct others *others, mono_t now)
{
	struct frame_header inner;

	if (p->frame.type == FRAME_HANDSHAKE) {
		to_control(w, p, NOTE_HANDSHAKE, now);
		return TAKEN;
	}
	if (rx) {
		hold_window(window, &rx->lane[p->frame.lane]);
		if (!replay_accept(&rx->lane[p->frame.lane], p->frame.seq))
			return DROP_REPLAY;
		heard(w, p, now);
	}
	switch (p->frame.type) {
	case FRAME_FORWARD:
		return peer_is_stopped(p->peer, p->frame.network) ? DROP_DISABLED : KEEP;
	case FRAME_QUEUE:
		queue_frame_parse(p->data, p->len, &inner);
		batch_add(inner.destination == w->view->self ? &others->inside : &others->onward,
			  p);
		return TAKEN;
	case FRAME_GET:
	case FRAME_NULL:
		if (!p->via) {
			batch_add(&others->asking, p);
			return TAKEN;
		}
		break;
	case FRAME_CONTROL: to_control(w, p, NOTE_CONTROL, now); return TAKEN;
	default: break;
	}
	counter_add(&w->counters.consumed, 1);
	pool_put(w->pool, p);
	return TAKEN;
}

static struct crypto_job job_of(struct packet *p, struct crypto_key *key,
				uint8_t room[static QUEUE_SIGNED])
{
	uint32_t inner = p->len - FRAME_OVERHEAD;

	if (p->frame.type == FRAME_QUEUE)
		return relay_job(key, p->data, p->len, room);
	return (struct crypto_job){
		.key = key,
		.head = p->data,
		.head_len = FRAME_HEADER,
		.data = p->data + FRAME_HEADER,
		.len = inner,
		.mac = p->data + FRAME_HEADER + inner,
		.nonce = p->data + 16,
	};
}

static void reject(struct worker *w, struct packet *p, unsigned verdict, mono_t now)
{
	if (verdict == DROP_BAD_MAC && p->frame.type == FRAME_HANDSHAKE)
		note_limited(w, p, &p->peer->share[w->number]->refused, NOTE_BAD_HANDSHAKE,
			     NOTE_INTERVAL, now);
	if (p->peer)
		counter_add(&p->peer->share[w->number]->bad, 1);
	packet_drop(w, p, (enum drop)verdict);
}

/* Leaves hosts' packets in the batch. */
static void open_batch(struct worker *w, struct batch *b, struct others *others, mono_t now)
{
	struct crypto_job jobs[BATCH_MAX];
	uint8_t rooms[BATCH_MAX][QUEUE_SIGNED]; /* for what queue frames' MACs cover */
	struct rx_keys *keys[BATCH_MAX];
	struct replay *window = NULL;
	int job[BATCH_MAX]; /* of the packet, -1: none */
	unsigned n_jobs = 0, kept = 0;

	batch_filter(w, b, now, check_form);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		const struct packet *last = kept ? b->p[kept - 1] : NULL;
		struct crypto_key *key;
		unsigned verdict = find_key(w, p, last, &window, &keys[kept], &key, now);

		if (verdict != KEEP) {
			reject(w, p, verdict, now);
			continue;
		}
		job[kept] = key ? (int)n_jobs : -1;
		if (key) {
			jobs[n_jobs] = job_of(p, key, rooms[n_jobs]);
			n_jobs++;
		}
		b->p[kept++] = p;
	}
	b->n = kept;
	hold_window(&window, NULL);
	crypto_open(w->number, jobs, n_jobs);
	kept = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];
		unsigned verdict = job[i] >= 0 && !jobs[job[i]].ok
					   ? DROP_BAD_MAC
					   : accept_frame(w, p, &window, keys[i], others, now);

		if (verdict == KEEP)
			b->p[kept++] = p;
		else if (verdict != TAKEN)
			reject(w, p, verdict, now);
	}
	b->n = kept;
	hold_window(&window, NULL);
}

void open_frames(struct worker *w, struct batch *b, mono_t now)
{
	struct others others, none;
	struct batch inside;

	others.inside.n = others.onward.n = others.asking.n = 0;
	open_batch(w, b, &others, now);
	if (others.onward.n)
		relay_onward(w, &others.onward, now);
	if (others.asking.n)
		relay_answer(w, &others.asking, now);
	if (!others.inside.n)
		return;
	inside = others.inside;
	for (unsigned i = 0; i < inside.n; i++)
		relay_unwrap(w, inside.p[i]);
	none.inside.n = none.onward.n = none.asking.n = 0; /* and stay so: see queue_frame_parse */
	open_batch(w, &inside, &none, now);
	for (unsigned i = 0; i < inside.n; i++)
		batch_add(b, inside.p[i]);
}
