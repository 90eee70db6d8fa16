/*
 * Contact: where a peer is and what is said to it. Its liveness, path MTU and
 * announcements are in files of their own.
 *
 * A peer's endpoint is configured (an address or a name), or it comes to us: the
 * way on which a handshake with it ended is its path. An authenticated frame
 * from elsewhere makes us challenge that address; only a signed answer from
 * there moves the path. Relayed or repeated frames so move nothing.
 */
#include "router/contact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/router.h"

#define COMPLAINT (60 * SEC)
#define CHALLENGE_TIME (2 * SEC)

/* ---- sending ------------------------------------------------------------------ */

static int send_frame(struct contact *c, const struct way *way, const uint8_t *frame, size_t len)
{
	struct worker *w = &c->router->workers[0];

	if (way->link >= w->n_links)
		return -ENOTCONN;
	return w->links[way->link]->ops->send_one(w->links[way->link], way, frame, len);
}

/* Header in front, HMAC under this key behind; len: of the payload in place. */
static void sign_frame(struct contact *c, struct frame_header *h, struct crypto_key *key,
		       uint8_t *frame, size_t len)
{
	struct crypto_job job = { .key = key,
				  .head = frame,
				  .head_len = FRAME_HEADER,
				  .data = frame + FRAME_HEADER,
				  .len = (uint32_t)len,
				  .mac = frame + FRAME_HEADER + len,
				  .nonce = frame + 16 };

	h->state = STATE_SIGNED;
	h->size = (uint16_t)(len + FRAME_OVERHEAD);
	h->source = c->router->config->id;
	h->destination = c->peer->id;
	frame_format(h, frame);
	crypto_seal(c->router->n_workers, &job, 1);
}

void contact_send_handshake(struct contact *c, const struct way *way, const uint8_t *payload,
			    size_t len)
{
	uint8_t frame[FRAME_OVERHEAD + HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM];
	struct frame_header h = { .type = FRAME_HANDSHAKE };

	if (len > sizeof(frame) - FRAME_OVERHEAD)
		return;
	memcpy(frame + FRAME_HEADER, payload, len);
	sign_frame(c, &h, c->peer->handshake_key, frame, len);
	send_frame(c, way, frame, len + FRAME_OVERHEAD);
}

int contact_send(struct contact *c, const struct way *way, const struct control_message *m,
		 size_t frame_size)
{
	uint8_t frame[FRAME_OVERHEAD + PACKET_SINGLE];
	struct tx_keys *tx = c->peer->tx;
	struct frame_header h = { .type = FRAME_CONTROL };
	size_t len;

	if (!way && c->peer->path)
		way = &c->peer->path->way;
	if (!tx || !way)
		return -ENOTCONN;
	len = control_write(frame + FRAME_HEADER, PACKET_SINGLE, m);
	if (!len || frame_size > sizeof(frame))
		return -EMSGSIZE;
	if (len + FRAME_OVERHEAD < frame_size) {
		memset(frame + FRAME_HEADER + len, 0, frame_size - FRAME_OVERHEAD - len);
		len = frame_size - FRAME_OVERHEAD;
	}
	h.epoch = tx->epoch;
	h.seq = tx_next(tx, 0, false);
	sign_frame(c, &h, tx->key[PROTECT_HMAC], frame, len);
	return send_frame(c, way, frame, len + FRAME_OVERHEAD);
}

void contact_bye(struct contact *c)
{
	contact_send(c, NULL, &(struct control_message){ .kind = CONTROL_BYE }, 0);
}

/* ---- where it is ---------------------------------------------------------------- */

/* The first listening socket of this family. */
static bool link_for(const struct router *r, uint8_t family, uint8_t *ret)
{
	const struct worker *w = &r->workers[0];

	for (unsigned l = 0; l < w->n_links; l++)
		if (w->links[l]->family == family) {
			*ret = (uint8_t)l;
			return true;
		}
	return false;
}

bool contact_way(const struct contact *c, struct way *ret)
{
	struct way way = { .link = 0 };

	if (c->peer->path && (!c->n_candidates || (c->up && !c->moved && !c->keying.failures))) {
		*ret = c->peer->path->way;
		return true;
	}
	for (unsigned i = 0; i < c->n_candidates; i++) {
		way.remote.ip = c->candidates[(c->candidate + i) % c->n_candidates];
		way.remote.port = c->config.port;
		if (link_for(c->router, way.remote.ip.family, &way.link)) {
			*ret = way;
			return true;
		}
	}
	return false;
}

static void resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now)
{
	struct contact *c = arg;

	if (!n) {
		strncpy(c->resolve_error, error, sizeof(c->resolve_error) - 1);
		log_warn("peer %s: %s can't be resolved: %s", c->peer->name, c->config.host, error);
		return;
	}
	c->resolve_error[0] = '\0';
	memcpy(c->candidates, ips, n * sizeof(*ips));
	c->n_candidates = (unsigned)n;
	c->candidate = 0;
	if (!keying_is_ready(&c->keying) || !c->up || c->moved)
		keying_want(&c->keying, now);
}

static bool way_equal(const struct way *a, const struct way *b)
{
	return a->link == b->link && endpoint_equal(&a->remote, &b->remote) &&
	       ip_equal(&a->local, &b->local);
}

static struct path *path_new(const struct contact *c, const struct way *way)
{
	const struct router *r = c->router;
	struct link *link = r->workers[0].links[way->link];
	struct path *p = calloc(1, sizeof(*p));
	bool fixed = r->config->mtu != 0;

	if (!p)
		return NULL;
	p->way = *way;
	p->frame_hope = fixed ? (uint16_t)(r->config->mtu - way_overhead(way))
			      : link->ops->first_hop_max(link, way);
	p->frame_max = fixed			    ? p->frame_hope
		       : way->remote.ip.family == 6 ? PMTU_BASE_V6
						    : PMTU_BASE_V4;
	if (p->frame_max > p->frame_hope)
		p->frame_max = p->frame_hope;
	p->settled = fixed;
	return p;
}

static void set_path(struct contact *c, const struct way *way, mono_t now)
{
	struct path *old = c->peer->path, *path = path_new(c, way);

	if (!path)
		return;
	rcu_assign_pointer(c->peer->path, path);
	synchronize_rcu();
	free(old);
	c->challenge = 0;
	probe_start(c, now);
	router_update_mtu(c->router);
	router_kick(c->router);
}

void contact_ready(struct contact *c, const struct way *way, mono_t now)
{
	const struct path *path = c->peer->path;

	c->moved = false;
	/* Which address of ours a way leaves from is known to one side of a handshake
	 * only: the same remote is the same path, and its MTU stays known. */
	if (!path || path->way.link != way->link ||
	    !endpoint_equal(&path->way.remote, &way->remote))
		set_path(c, way, now);
	liveness_ready(c, now);
	contact_announce(c, now);
	router_kick(c->router);
}

void contact_failed(struct contact *c, const char *why, mono_t now)
{
	char text[ENDPOINT_TEXT] = "an unknown address";
	uint32_t more;
	struct way way;

	if (log_allowed(&c->complaint, now, COMPLAINT, &more)) {
		if (contact_way(c, &way))
			endpoint_format(&way.remote, text);
		log_warn("peer %s: no handshake with %s: %s (is vine-router running there, and is "
			 "its key the same as in %s?)",
			 c->peer->name, text, why,
			 c->config.key_file ? c->config.key_file : "key-file");
	}
	c->candidate++;
	if (c->watch)
		watch_refresh(c->watch);
}

/* An authenticated frame came from a way that is not the path's. */
static void challenge(struct contact *c, const struct way *way, mono_t now)
{
	struct control_message m = { .kind = CONTROL_CHALLENGE };

	if (c->challenge && mono_since(now, c->challenged_at) < SEC)
		return;
	if (!crypto_random(&c->challenge, sizeof(c->challenge)))
		return;
	c->challenge |= 1;
	c->challenged = *way;
	c->challenged_at = now;
	m.token = c->challenge;
	contact_send(c, way, &m, 0);
}

static void take_response(struct contact *c, const struct note *n, uint64_t token, mono_t now)
{
	char text[ENDPOINT_TEXT];

	if (!c->challenge || token != c->challenge || !way_equal(&n->way, &c->challenged) ||
	    mono_since(now, c->challenged_at) > CHALLENGE_TIME)
		return;
	log_info("peer %s: moved to %s", c->peer->name, endpoint_format(&n->way.remote, text));
	counter_add(&c->router->events[EVENT_ROAMS], 1);
	set_path(c, &n->way, now);
}

/* ---- notes ------------------------------------------------------------------------ */

static void recv_control(struct contact *c, const struct note *n, mono_t now)
{
	struct control_message m, answer;

	if (!control_read(n->data, n->len, &m))
		return;
	answer = (struct control_message){ .kind = CONTROL_RESPONSE, .token = m.token };
	switch (m.kind) {
	case CONTROL_PING:
	case CONTROL_PONG: liveness_recv(c, &m, n->frame_size, now); break;
	case CONTROL_PROBE: {
		uint8_t size[2] = { (uint8_t)(n->frame_size >> 8), (uint8_t)n->frame_size };

		answer.kind = CONTROL_PROBE_ACK;
		answer.body = size;
		answer.len = sizeof(size);
		contact_send(c, NULL, &answer, 0);
		break;
	}
	case CONTROL_PROBE_ACK: probe_recv(c, &m, now); break;
	case CONTROL_NETWORKS: announce_recv(c, &m, now); break;
	case CONTROL_NETWORKS_ACK: announce_acked(c, &m, now); break;
	case CONTROL_CHALLENGE: contact_send(c, &n->way, &answer, 0); break;
	case CONTROL_RESPONSE: take_response(c, n, m.token, now); break;
	case CONTROL_BYE: liveness_bye(c, now); break;
	default: break;
	}
}

static void complain_refused(struct contact *c, const struct note *n, mono_t now)
{
	char text[ENDPOINT_TEXT];
	uint32_t more;

	if (log_allowed(&c->complaint, now, COMPLAINT, &more))
		log_warn(
			"peer %s: handshake from %s with a wrong MAC: its key differs from the one "
			"in %s, or somebody else uses its ID",
			c->peer->name, endpoint_format(&n->way.remote, text),
			c->config.key_file ? c->config.key_file : "key-file");
}

/* Whether frames of the peer under keys that we know have come just now. */
static bool is_talking(const struct contact *c, mono_t now)
{
	mono_t heard = { atomic_load_explicit(&c->peer->heard, memory_order_relaxed) };

	return keying_is_ready(&c->keying) && mono_since(now, heard) < SEC;
}

void contact_note(struct contact *c, const struct note *n, mono_t now)
{
	switch (n->kind) {
	case NOTE_HANDSHAKE:
		if (!keying_recv(&c->keying, &n->way, n->data, n->len, now))
			counter_add(&c->router->drops[DROP_HANDSHAKE], 1);
		break;
	case NOTE_CONTROL: recv_control(c, n, now); break;
	case NOTE_WANT_KEYS:
		if (!keying_is_ready(&c->keying))
			keying_want(&c->keying, now);
		break;
	case NOTE_UNKNOWN_KEY:
		if (!is_talking(c, now)) /* or anybody could have keys made anew */
			keying_want(&c->keying, now);
		break;
	case NOTE_MOVED: challenge(c, &n->way, now); break;
	case NOTE_BAD_HANDSHAKE: complain_refused(c, n, now); break;
	case NOTE_DEVICE_GONE:
	case NOTE_TOO_BIG: break;
	}
}

/* ---- life --------------------------------------------------------------------------- */

static struct peer *peer_new(const struct router *r, const struct config_peer *config)
{
	struct peer *p = calloc(1, sizeof(*p));
	uint8_t key[CRYPTO_KEY];
	static const uint8_t salt[CRYPTO_SALT];

	if (!p)
		return NULL;
	p->id = config->id;
	p->name = strdup(config->name);
	p->transit = config->transit;
	if (session_handshake_key(config->key, key))
		p->handshake_key = crypto_key_new(r->crypto, PROTECT_HMAC, key, salt);
	crypto_wipe(key, sizeof(key));
	if (p->name && p->handshake_key && peer_make_room(p, r->n_made)) {
		peer_deal_lanes(p, r->n_workers);
		return p;
	}
	crypto_key_free(p->handshake_key);
	peer_free_shares(p);
	free(p->name);
	free(p);
	return NULL;
}

static void watch_endpoint(struct contact *c)
{
	if (c->config.host && c->router->resolver)
		c->watch = resolver_watch(c->router->resolver, c->config.host, resolved, c);
}

struct contact *contact_new(struct router *r, const struct config_peer *config, mono_t now)
{
	struct contact *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->router = r;
	c->config = *config;
	c->peer = peer_new(r, config);
	if (!c->peer) {
		crypto_wipe(c, sizeof(*c));
		free(c);
		return NULL;
	}
	c->peer->contact = c;
	c->down_since = now;
	list_init(&c->node);
	keying_init(&c->keying, c);
	liveness_start(c, now);
	watch_endpoint(c);
	return c;
}

void contact_configure(struct contact *c, const struct config_peer *config)
{
	bool moved = (!config->host) != (!c->config.host) || config->port != c->config.port ||
		     (config->host && strcmp(config->host, c->config.host) != 0);

	c->config = *config;
	atomic_store(&c->peer->transit, config->transit);
	if (moved) {
		watch_free(c->watch);
		c->watch = NULL;
		c->n_candidates = 0;
		c->moved = true;
		watch_endpoint(c);
	}
}

void contact_free(struct contact *c)
{
	struct peer *p = c->peer;

	keying_done(&c->keying);
	liveness_stop(c);
	probe_stop(c);
	announce_stop(c);
	watch_free(c->watch);
	list_remove(&c->node);
	tx_keys_free(p->tx);
	for (unsigned i = 0; i < PEER_EPOCHS; i++)
		rx_keys_free(p->rx[i]);
	crypto_key_free(p->handshake_key);
	peer_free_shares(p);
	free(p->path);
	free(p->stopped);
	free(p->name);
	free(p);
	crypto_wipe(c, sizeof(*c));
	free(c);
}
