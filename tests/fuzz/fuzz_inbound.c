/*
 * Frames from the wire through a whole router: open, member, transit, give back,
 * control messages, handshakes.
 *
 * The first byte says how the rest is used: as a datagram as it is; as what a
 * peer with the right keys seals (so that the fuzzer gets past the MAC): a host's
 * packet, maybe with a partial checksum, a control message, a handshake payload, a queue
 * frame, for this router or a third one, which may ask for its frames, a get frame; or as
 * a packet from the site, maybe a super-packet.
 * Whatever comes, every packet must be accounted for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "router/backlog.h"
#include "router/offload.h"
#include "router/relay.h"
#include "router/stage.h"
#include "router/router.h"

static const char text[] = "[router]\n"
			   "name = here\n"
			   "id = 1\n"
			   "address = 10.1.0.1\n"
			   "[intercept]\n"
			   "networks = 10.0.0.0/8, fd00::/16\n"
			   "[security]\n"
			   "sign = hmac-sha256\n"
			   "[lndt]\n"
			   "7 = 10.1.0.0/16, fd00:1::/32\n"
			   "8 = 10.1.0.0/16\n"
			   "[network 8]\n"
			   "sign = none\n"
			   "[gndt 7]\n"
			   "there = 10.2.0.0/16, fd00:2::/32\n"
			   "third = 10.3.0.0/16\n"
			   "[gndt 8]\n"
			   "there = 10.8.0.0/16\n"
			   "[peer there]\n"
			   "id = 2\n"
			   "endpoint = 192.0.2.2:8463\n"
			   "key-file = x\n"
			   "transit = yes\n"
			   "relay = yes\n"
			   "[peer third]\n"
			   "id = 3\n"
			   "endpoint = 192.0.2.3:8463\n"
			   "relay = yes\n"
			   "key-file = y\n";

/* ---- twins: everything that leaves is dropped ------------------------------- */

static void swallow(struct batch *b, struct pool *pool)
{
	while (b->n)
		pool_put(pool, b->p[--b->n]);
}

static void inject_send(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)in;
	counter_add(&c->injected, b->n);
	swallow(b, pool);
}

static void link_send(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)l;
	counter_add(&c->sent, b->n);
	swallow(b, pool);
}

static int link_send_one(struct link *l, const struct way *way, const void *frame, size_t len)
{
	(void)l;
	(void)way;
	(void)frame;
	return len > 1472 ? -EMSGSIZE : 0;
}

static uint16_t link_first_hop(struct link *l, const struct way *way)
{
	(void)l;
	(void)way;
	return 1472;
}

static void close_inject(struct inject *in)
{
	(void)in;
}

static void close_link(struct link *l)
{
	(void)l;
}

static const struct inject_ops inject_ops = { .name = "none",
					      .send = inject_send,
					      .close = close_inject };
static const struct link_ops link_ops = { .name = "none",
					  .send = link_send,
					  .send_one = link_send_one,
					  .first_hop_max = link_first_hop,
					  .close = close_link };

/* ---- one router, as if it had keys with its first peer ------------------------ */

struct world_of_fuzz {
	struct router *router;
	struct inject inject;
	struct link link;
	struct tx_keys *peer_tx; /* what the peer seals with */
	mono_t now;
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void introduce(struct world_of_fuzz *f, struct peer *p,
		      const struct session_secrets *secrets)
{
	p->tx = tx_keys_new(f->router->crypto, secrets, 0xe, 1, 2);
	p->rx[1] = rx_keys_new(f->router->crypto, secrets, 0xe, 1, 2);
	p->path = calloc(1, sizeof(*p->path));
	p->backlog = backlog_new(&(struct queue_limits){ .bytes = 65536, .age = SEC });
	check(p->tx && p->rx[1] && p->path && p->backlog);
	p->tx->features = FEATURE_PARTIAL;
	p->path->way.remote.ip = ip_from_v4((const uint8_t[]){ 192, 0, 2, (uint8_t)p->id });
	p->path->way.remote.port = 8463;
	p->path->frame_hope = 1472;
	p->path->frame_max = 1472;
	p->path->settled = true;
}

static void make(struct world_of_fuzz *f)
{
	struct config *config = config_parse("fuzz", text, sizeof(text) - 1, false, stderr);
	struct session_secrets secrets;
	struct contact *c;

	check(config != NULL);
	f->now = (mono_t){ 1000 * SEC };
	f->router = router_new(config, 1, loop_new(), f->now, stderr);
	check(f->router != NULL);
	f->inject.ops = &inject_ops;
	f->link = (struct link){ .ops = &link_ops, .fd = -1, .family = 4 };
	atomic_store(&f->router->workers[0].inject, &f->inject);
	f->router->workers[0].answer = &f->inject;
	f->router->workers[0].links[0] = &f->link;
	f->router->workers[0].n_links = 1;

	memset(&secrets, 5, sizeof(secrets));
	f->peer_tx = tx_keys_new(f->router->crypto, &secrets, 0xe, 1, 2);
	c = router_contact(f->router, "there");
	check(f->peer_tx && c);
	introduce(f, c->peer, &secrets);
	probe_start(c, f->now);
	introduce(f, router_contact(f->router, "third")->peer, &secrets);
}

/* ---- inputs ---------------------------------------------------------------------- */

static void seal_as_peer(struct world_of_fuzz *f, struct packet *p, enum frame_type type,
			 uint32_t network, bool partial)
{
	bool plain = network == 8;
	bool handshake = type == FRAME_HANDSHAKE;
	uint8_t room[QUEUE_SIGNED];
	struct frame_header h = { .type = type,
				  .state = plain     ? 0
					   : partial ? STATE_SIGNED | STATE_PARTIAL
						     : STATE_SIGNED,
				  .size = (uint16_t)(p->len + FRAME_OVERHEAD),
				  .network = network,
				  .source = 2,
				  .destination = 1,
				  .epoch = handshake ? 0 : 1,
				  .lane = 0,
				  .seq = tx_next(f->peer_tx, 0, false) };
	uint32_t inner = p->len;
	uint8_t *head = packet_push(p, FRAME_HEADER);
	struct crypto_job job = { .head = head,
				  .head_len = FRAME_HEADER,
				  .data = head + FRAME_HEADER,
				  .len = inner,
				  .mac = head + FRAME_HEADER + inner,
				  .nonce = head + 16 };

	frame_format(&h, head);
	p->len += FRAME_MAC;
	memset(job.mac, 0, FRAME_MAC);
	if (plain)
		return;
	if (type == FRAME_QUEUE && inner >= FRAME_MIN)
		job = relay_job(NULL, head, p->len, room);
	job.key = handshake ? router_contact_by_id(f->router, 2)->peer->handshake_key
			    : f->peer_tx->key[PROTECT_HMAC];
	crypto_seal(1, &job, 1);
}

static void account(struct worker *w)
{
	uint64_t drops = 0;

	for (unsigned i = 0; i < DROPS; i++)
		drops += counter_read(&w->counters.drops[i]);
	check(counter_read(&w->counters.intercepted) + counter_read(&w->counters.received) +
		      counter_read(&w->counters.made) ==
	      counter_read(&w->counters.sent) + counter_read(&w->counters.injected) +
		      counter_read(&w->counters.consumed) + drops + w->n_held);
	check(pool_left(w->pool) + w->n_held == pool_size(w->pool));
}

static void drive(struct world_of_fuzz *f, struct packet *p, bool from_site)
{
	struct worker *w = &f->router->workers[0];
	struct batch b = { .n = 1, .p = { p } };

	w->view = f->router->world;
	if (from_site)
		outbound(w, &b, f->now);
	else
		inbound(w, &b, f->now);
	answers_flush(w, f->now);
	while (router_notes(f->router, f->now))
		;
	account(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world_of_fuzz f;
	struct virtio_net_hdr words;
	struct packet *p;
	bool special; /* a partial checksum, or with the kernel's words in front */
	uint8_t mode;

	if (!f.router) {
		rcu_register_thread();
		make(&f);
	}
	if (size < 1 || size > PACKET_ROOM)
		return 0;
	mode = data[0] % 9;
	special = data[0] & 0x20;
	f.now = mono_add(f.now, 10 * MSEC);
	loop_fire(f.router->loop, f.now);
	p = pool_get(f.router->workers[0].pool);
	if (!p) { /* all are held: let their time pass */
		f.now = mono_add(f.now, HELD_TIME);
		f.router->workers[0].view = f.router->world;
		held_release(&f.router->workers[0], f.now);
		return 0;
	}
	memcpy(p->data, data + 1, size - 1);
	p->len = (uint32_t)size - 1;
	if (mode == 6 && special && p->len > sizeof(words)) {
		memcpy(&words, p->data, sizeof(words));
		packet_pull(p, sizeof(words));
		offload_read(p, &words);
	}
	p->from.ip = ip_from_v4((const uint8_t[]){ 192, 0, 2, 2 });
	p->from.port = mode == 5 ? 9999 : 8463;
	p->outer_tos = data[0] >> 6;
	switch (mode) {
	case 1: seal_as_peer(&f, p, FRAME_FORWARD, 7, special); break;
	case 2: seal_as_peer(&f, p, FRAME_FORWARD, 8, false); break;
	case 3:
	case 5: seal_as_peer(&f, p, FRAME_CONTROL, 0, false); break;
	case 4: seal_as_peer(&f, p, FRAME_HANDSHAKE, 0, false); break;
	case 7:
		backlog_set(router_contact(f.router, "third")->peer->backlog, special);
		seal_as_peer(&f, p, FRAME_QUEUE, data[0], false);
		break;
	case 8: seal_as_peer(&f, p, FRAME_GET, 0, false); break;
	default: break;
	}
	drive(&f, p, mode == 6);
	return 0;
}
