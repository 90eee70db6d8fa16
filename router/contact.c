/*
 * Contact: a peer, and what is said to it. The ways to it, its liveness, path MTU and
 * announcements are in files of their own.
 */
#include "router/contact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/relay.h"
#include "router/router.h"

#define COMPLAINT (60 * SEC)

/* ---- sending ------------------------------------------------------------------ */

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

int contact_send_handshake(struct contact *c, const struct way *way, const uint8_t *payload,
			   size_t len)
{
	uint8_t frame[FRAME_OVERHEAD + HANDSHAKE_HEADER + HANDSHAKE_DATAGRAM];
	struct frame_header h = { .type = FRAME_HANDSHAKE };

	if (len > sizeof(frame) - FRAME_OVERHEAD)
		return -EMSGSIZE;
	memcpy(frame + FRAME_HEADER, payload, len);
	sign_frame(c, &h, c->peer->handshake_key, frame, len);
	return ways_send(c, way, frame, len + FRAME_OVERHEAD);
}

/* A frame under the keys in use; len: of the payload in place. */
static int send_sealed(struct contact *c, const struct way *way, enum frame_type type,
		       uint8_t *frame, size_t len)
{
	struct tx_keys *tx = c->peer->tx;
	struct frame_header h = { .type = type };

	if (!way && c->peer->path)
		way = &c->peer->path->way;
	if (!tx || !way)
		return -ENOTCONN;
	h.epoch = tx->epoch;
	h.seq = tx_next(tx, 0, false);
	sign_frame(c, &h, tx->key[PROTECT_HMAC], frame, len);
	return ways_send(c, way, frame, len + FRAME_OVERHEAD);
}

int contact_ask(struct contact *c, const struct queue_ask *a)
{
	uint8_t frame[FRAME_OVERHEAD + QUEUE_ASK];

	queue_ask_write(frame + FRAME_HEADER, a);
	return send_sealed(c, NULL, FRAME_GET, frame, QUEUE_ASK);
}

int contact_send(struct contact *c, const struct way *way, const struct control_message *m,
		 size_t frame_size)
{
	uint8_t frame[FRAME_OVERHEAD + PACKET_SINGLE];
	size_t len;

	len = control_write(frame + FRAME_HEADER, PACKET_SINGLE, m);
	if (!len || frame_size > sizeof(frame))
		return -EMSGSIZE;
	if (len + FRAME_OVERHEAD < frame_size) {
		memset(frame + FRAME_HEADER + len, 0, frame_size - FRAME_OVERHEAD - len);
		len = frame_size - FRAME_OVERHEAD;
	}
	return send_sealed(c, way, FRAME_CONTROL, frame, len);
}

void contact_bye(struct contact *c)
{
	contact_send(c, NULL, &(struct control_message){ .kind = CONTROL_BYE }, 0);
}

/* ---- where it is ---------------------------------------------------------------- */

/* Silent where it was, and its name leads elsewhere now. */
static bool has_moved(const struct contact *c)
{
	const struct path *path = c->peer->path;

	if (!c->dead || !path || path->way.kind == WAY_RELAY)
		return false;
	for (unsigned i = 0; i < c->n_addresses; i++)
		if (ip_equal(&c->addresses[i], &path->way.remote.ip))
			return false;
	return true;
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
	memcpy(c->addresses, ips, n * sizeof(*ips));
	c->n_addresses = (unsigned)n;
	for (unsigned i = 0; i < RUNGS; i++)
		c->trial[i].address = 0;
	if (has_moved(c))
		ways_begin_anew(c, now);
	ways_update(c, now);
	if (!keying_is_ready(&c->keying) || !c->up || c->moved)
		keying_want(&c->keying, now);
}

const struct path *contact_hop(const struct contact *c)
{
	const struct path *path = c->peer->path;
	const struct contact *relay;

	if (!path || path->way.kind != WAY_RELAY)
		return path;
	relay = router_contact_by_id(c->router, path->way.via);
	return relay ? relay->peer->path : NULL;
}

void contact_ready(struct contact *c, const struct way *way, bool ours, mono_t now)
{
	bool back = !c->up;

	ways_ready(c, way, ours, now);
	liveness_ready(c, now);
	limited_ready(c, now);
	if (back)
		direct_start(c, now);
	contact_announce(c, now);
	router_kick(c->router);
}

void contact_failed(struct contact *c, const char *why, mono_t now)
{
	char text[WAYS_TEXT] = "an unknown address";
	struct way ways[CONTACT_WAYS];
	uint32_t more;

	if (log_allowed(&c->complaint, now, COMPLAINT, &more)) {
		if (contact_ways(c, ways))
			ways_text(c, &ways[0], text);
		log_warn("peer %s: no handshake with %s: %s (is vine-router running there, and is "
			 "its key the same as in %s?)",
			 c->peer->name, text, why,
			 c->config.key_file ? c->config.key_file : "key-file");
	}
	if (c->watch)
		watch_refresh(c->watch);
}

/* ---- notes ------------------------------------------------------------------------ */

static void recv_unreachable(struct contact *c, const struct control_message *m, mono_t now)
{
	struct reader r = reader_init(m->body, m->len);
	uint32_t id = read_u32(&r);

	if (!r.bad)
		limited_unreachable(c, id, now);
}

/* The same, said. */
static void send_unreachable(struct contact *c, const struct note *n)
{
	struct control_message m = { .kind = CONTROL_UNREACHABLE, .len = sizeof(uint32_t) };
	uint8_t body[sizeof(uint32_t)];
	struct writer w = writer_init(body, sizeof(body));
	uint32_t id;

	memcpy(&id, n->data, sizeof(id));
	write_u32(&w, id);
	m.body = body;
	contact_send(c, NULL, &m, 0);
}

static void recv_control(struct contact *c, const struct note *n, mono_t now)
{
	const struct netcheck_ops *check = c->router->netcheck_ops;
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
	case CONTROL_CHALLENGE:
		if (!ways_takes(c, &n->way))
			break;
		contact_send(c, &n->way, &answer, 0);
		if (!c->peer->path || !way_same(&c->peer->path->way, &n->way))
			ways_seen(c, &n->way, now); /* it means to come this way */
		break;
	case CONTROL_RESPONSE: ways_answered(c, &n->way, m.token, now); break;
	case CONTROL_BYE: liveness_bye(c, now); break;
	case CONTROL_OBSERVE:
	case CONTROL_OBSERVED:
	case CONTROL_CANDIDATES:
		if (!check || !check->observed(c, &m, &n->way))
			direct_recv(c, &m, &n->way, now);
		break;
	case CONTROL_KEEP:
	case CONTROL_KEPT: keepalive_recv(c, &m, &n->way, now); break;
	case CONTROL_UNREACHABLE: recv_unreachable(c, &m, now); break;
	default: break;
	}
}

static void complain_refused(struct contact *c, const struct note *n, mono_t now)
{
	char text[WAYS_TEXT];
	uint32_t more;

	if (log_allowed(&c->complaint, now, COMPLAINT, &more))
		log_warn(
			"peer %s: handshake from %s with a wrong MAC: its key differs from the one "
			"in %s, or somebody else uses its ID",
			c->peer->name, ways_text(c, &n->way, text),
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
	const struct netcheck_ops *check = c->router->netcheck_ops;

	switch (n->kind) {
	case NOTE_HANDSHAKE:
		if (check && check->recv(c, &n->way, n->data, n->len, now))
			break;
		ways_heard(c, &n->way, now);
		/* by a relay only from where it would be answered */
		if ((n->way.via && !relay_is_of(c, n->way.via)) ||
		    !keying_recv(&c->keying, &n->way, n->data, n->len, now))
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
	case NOTE_MOVED: ways_seen(c, &n->way, now); break;
	case NOTE_RELAYED: limited_heard(c, n->way.via, now); break;
	case NOTE_NO_WAY: send_unreachable(c, n); break;
	case NOTE_BAD_HANDSHAKE: complain_refused(c, n, now); break;
	case NOTE_DEVICE_GONE:
	case NOTE_STREAM_GONE:
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
	p->tiny = config->tiny;
	p->relay = config->relay;
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
	ways_start(c);
	direct_init(c);
	liveness_start(c, now);
	watch_endpoint(c);
	return c;
}

void contact_configure(struct contact *c, const struct config_peer *config, mono_t now)
{
	bool moved = (!config->host) != (!c->config.host) || config->port != c->config.port ||
		     config->tls_port != c->config.tls_port ||
		     (config->host && strcmp(config->host, c->config.host) != 0);

	c->config = *config;
	atomic_store(&c->peer->transit, config->transit);
	atomic_store(&c->peer->tiny, config->tiny);
	atomic_store(&c->peer->relay, config->relay);
	if (moved) {
		watch_free(c->watch);
		c->watch = NULL;
		c->n_addresses = 0;
		ways_begin_anew(c, now);
		watch_endpoint(c);
	}
}

void contact_free(struct contact *c)
{
	struct peer *p = c->peer;

	keying_done(&c->keying);
	direct_stop(c);
	ways_stop(c, clock_now());
	liveness_stop(c);
	probe_stop(c);
	announce_stop(c);
	limited_forget(c);
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
