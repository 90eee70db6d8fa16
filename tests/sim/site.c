/*
 * A site of the simulation: its router on twins of device, injectors and links,
 * its configuration, what tests ask of it.
 *
 * The twins keep the contracts of intercept.h, inject.h and link.h: packets come
 * from and go back to the worker's pool, what leaves is counted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/inet.h"
#include "router/link_stream.h"
#include "tests/sim/net.h"

/* One queue of bytes, as device or as link of one worker. */
struct twin {
	union {
		struct intercept intercept;
		struct link link;
		struct inject inject;
	};
	struct site *site;
	uint8_t family;
	struct datagram **queue;
	size_t n, room;
};

/* ---- queues ---------------------------------------------------------------- */

static void twin_push(struct twin *t, const struct datagram *d)
{
	struct datagram *c = net_memory(NULL, sizeof(*d) + d->len);

	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->queue = net_memory(t->queue, t->room * sizeof(t->queue[0]));
	}
	memcpy(c, d, sizeof(*d) + d->len);
	t->queue[t->n++] = c;
}

static int twin_recv(struct twin *t, struct batch *b, struct pool *pool, struct counters *c)
{
	size_t taken = 0;
	int n = 0;

	while (taken < t->n && b->n < BATCH_MAX) {
		struct datagram *d = t->queue[taken++];
		struct packet *p = pool_get(pool);

		if (p) {
			assert_true(d->len <= packet_room(p));
			memcpy(p->data, d->data, d->len);
			p->len = d->len;
			p->from = d->from;
			p->to = d->to.ip;
			p->outer_tos = d->tos;
			offload_read(p, &d->words);
			batch_add(b, p);
			n++;
		} else {
			counter_add(&c->drops[DROP_NO_BUFFER], 1);
			counter_add(&c->received, 1);
		}
		free(d);
	}
	if (!taken)
		return 0;
	t->n -= taken;
	memmove(t->queue, t->queue + taken, t->n * sizeof(t->queue[0]));
	return n;
}

static void twin_free(struct twin *t)
{
	while (t->n)
		free(t->queue[--t->n]);
	free(t->queue);
	free(t);
}

static struct twin *twin_new(struct site *s)
{
	struct twin *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->site = s;
	return t;
}

/* ---- device ------------------------------------------------------------------ */

static int device_recv(struct intercept *i, struct batch *b, struct pool *pool, struct counters *c)
{
	struct twin *t = container_of(i, struct twin, intercept);
	int n = twin_recv(t, b, pool, c);

	for (unsigned k = 0; k < b->n; k++)
		b->p[k]->unrouted = t->site->unrouted;
	return n;
}

static void device_close(struct intercept *i)
{
	twin_free(container_of(i, struct twin, intercept));
}

static const struct intercept_ops device_ops = { "twin", device_recv, device_close };

/* ---- injectors --------------------------------------------------------------- */

static void inject_send(struct inject *i, struct batch *b, struct pool *pool, struct counters *c)
{
	struct twin *t = container_of(i, struct twin, inject);

	for (unsigned k = 0; k < b->n; k++) {
		packet_finish(b->p[k]);
		hosts_take(t->site, b->p[k]->data, b->p[k]->len);
		pool_put(pool, b->p[k]);
	}
	counter_add(&c->injected, b->n);
	b->n = 0;
}

static void answer_send(struct inject *i, struct batch *b, struct pool *pool, struct counters *c)
{
	struct site *s = container_of(i, struct twin, inject)->site;

	for (unsigned k = 0; k < b->n; k++) {
		struct packet *p = b->p[k];

		s->answers++;
		s->answer_len = p->len < sizeof(s->answer) ? p->len : sizeof(s->answer);
		memcpy(s->answer, p->data, s->answer_len);
		pool_put(pool, p);
	}
	counter_add(&c->injected, b->n);
	b->n = 0;
}

static void inject_close(struct inject *i)
{
	free(container_of(i, struct twin, inject));
}

static const struct inject_ops tun_ops = { "twin-tun", inject_send, inject_close, true };
static const struct inject_ops raw_ops = { "twin-raw", inject_send, inject_close, false };
static const struct inject_ops answer_ops = { "twin-answer", answer_send, inject_close, false };

/* ---- links --------------------------------------------------------------------- */

static unsigned frame_room(const struct site *s, uint8_t family)
{
	return s->first_hop - 8 - (family == 6 ? 40 : 20);
}

static int link_recv(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	return twin_recv(container_of(l, struct twin, link), b, pool, c);
}

/* As the kernel: nothing is sent from an address that is not there. */
static bool is_from_here(const struct twin *t, const struct way *way)
{
	return !way->local.family || ip_equal(&way->local, &t->site->own[t->family == 6].ip);
}

static void link_send(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	struct twin *t = container_of(l, struct twin, link);

	for (unsigned k = 0; k < b->n; k++) {
		struct packet *p = b->p[k];
		const struct endpoint *to = &p->path->way.remote;

		assert_int_equal(to->ip.family, t->family);
		assert_int_equal(p->len, (unsigned)p->data[2] << 8 | p->data[3]);
		if (!is_from_here(t, &p->path->way)) {
			counter_add(&c->drops[DROP_SEND], 1);
		} else if (p->len > frame_room(t->site, t->family)) {
			counter_add(&c->drops[DROP_SEND], 1);
			net_hint(t->site, to, 0);
		} else {
			net_send(t->site, t->family, to, p->outer_tos, p->data, p->len);
			counter_add(&c->sent, 1);
		}
		pool_put(pool, p);
	}
	b->n = 0;
}

static int link_send_one(struct link *l, const struct way *way, const void *frame, size_t len)
{
	struct twin *t = container_of(l, struct twin, link);

	if (way->remote.ip.family != t->family)
		return -EAFNOSUPPORT;
	if (!is_from_here(t, way))
		return -EINVAL;
	if (len > frame_room(t->site, t->family))
		return -EMSGSIZE;
	if (t->site->refused) {
		t->site->refused--;
		return t->site->refusal;
	}
	net_send(t->site, t->family, &way->remote, 0, frame, len);
	return 0;
}

static uint16_t link_first_hop(struct link *l, const struct way *way)
{
	struct twin *t = container_of(l, struct twin, link);

	(void)way;
	return (uint16_t)frame_room(t->site, t->family);
}

static void link_errors(struct link *l, void (*fn)(void *arg, const struct endpoint *remote),
			void *arg)
{
	(void)l;
	(void)fn;
	(void)arg;
}

static void link_close(struct link *l)
{
	twin_free(container_of(l, struct twin, link));
}

static const struct link_ops link_ops = { "twin",	  link_recv,   link_send, link_send_one,
					  link_first_hop, link_errors, link_close };

/* ---- configuration --------------------------------------------------------------- */

/* The same at both ends of a pair. */
static void pair_key(const struct site *s, uint32_t peer, uint8_t key[static CRYPTO_KEY])
{
	uint32_t self = s->id ? s->id : s->number;
	uint32_t low = self < peer ? self : peer, high = self < peer ? peer : self;

	for (unsigned i = 0; i < CRYPTO_KEY; i++)
		key[i] = (uint8_t)(low * 31 + high * 57 + i * 11);
	if (s->stranger)
		key[0] ^= (uint8_t)s->stranger[0];
}

static void write_tables(const struct site *s, FILE *f)
{
	if (s->tables) {
		fputs(s->tables, f);
		return;
	}
	fprintf(f, "[lndt]\n8000 = 172.16.%u.0/24, fd00:76:0:%u::/64\n[gndt 8000]\n", s->number,
		s->number);
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (s->peers & 1u << i)
			fprintf(f, "r%u = 172.16.%u.0/24, fd00:76:0:%u::/64\n", i, i, i);
}

char *site_text(const struct site *s)
{
	char *text = NULL, where[ENDPOINT_TEXT];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fprintf(f, "[router]\nname = %s\nid = %u\naddress = 172.16.%u.1, fd00:76:0:%u::1\n%s\n",
		s->name, s->id ? s->id : s->number, s->number, s->number,
		s->router_lines ? s->router_lines : "");
	fprintf(f, "[intercept]\nnetworks = 10.0.0.0/8, 172.16.0.0/12, fd00:76::/32\n");
	fprintf(f, "[security]\n%s\n", s->security ? s->security : "");
	for (unsigned i = 1; i <= NET_SITES; i++) {
		const struct site *p = &s->net->sites[i];

		if (!(s->peers & 1u << i))
			continue;
		fprintf(f, "[peer r%u]\nid = %u\nkey-file = r%u.key\n%s\n", i, i, i,
			s->peer_lines ? s->peer_lines : "");
		if (!(s->hidden & 1u << i))
			fprintf(f, "endpoint = %s\n", endpoint_format(&p->own[s->v6], where));
	}
	write_tables(s, f);
	fclose(f);
	return text;
}

struct config *site_config(struct site *s, FILE *errors)
{
	char *text = site_text(s);
	struct config *c = config_parse(s->name, text, strlen(text), false, errors);

	for (size_t i = 0; c && i < c->n_peers; i++)
		pair_key(s, c->peers[i].id, c->peers[i].key);
	free(text);
	return c;
}

/* ---- life -------------------------------------------------------------------------- */

static void noted(void *arg)
{
	((struct site *)arg)->noted = true;
}

static struct inject *new_inject(struct site *s, const struct inject_ops *ops)
{
	struct twin *t = twin_new(s);

	t->inject.ops = ops;
	return &t->inject;
}

/* Memory for it is the simulation's own, as that of net_memory. */
static void add_port(struct site *s, unsigned i, struct intercept *in, struct link *link,
		     unsigned l)
{
	while (!port_new(&s->router->ports, i, in, link, (uint8_t)l))
		;
}

/* Twins for the worker of this number. */
static void equip(struct site *s, unsigned i)
{
	struct worker *w = &s->router->workers[i];

	s->device[i] = twin_new(s);
	s->device[i]->intercept = (struct intercept){ .ops = &device_ops, .fd = -1 };
	add_port(s, i, &s->device[i]->intercept, NULL, 0);
	w->inject = new_inject(s, s->kernel_routes ? &tun_ops : &raw_ops);
	w->answer = new_inject(s, &answer_ops);
	while (!link_stream_open(&s->router->ports, i, true))
		;
	w->note_sent = noted;
	w->note_arg = s;
	for (unsigned l = 0; l < 2; l++) {
		struct twin *t = s->links[i][l] = twin_new(s);

		t->family = l ? 6 : 4;
		t->link = (struct link){ .ops = &link_ops, .fd = -1, .family = t->family };
		add_port(s, i, NULL, &t->link, l);
	}
}

void site_start(struct site *s)
{
	struct config *c = site_config(s, stderr);

	assert_non_null(c);
	s->loop = loop_new();
	assert_non_null(s->loop);
	s->router = router_new(c, s->workers, s->loop, s->net->now, stderr);
	assert_non_null(s->router);
	s->held_check = (mono_t){ 0 };
	pipes_equip(s);
	for (s->equipped = 0; s->equipped < s->workers; s->equipped++)
		equip(s, s->equipped);
	s->steered = s->workers;
	router_deal(s->router, s->workers, s->net->now);
}

/* As machine.c does it: open, steer, deal. */
void site_set_workers(struct site *s, unsigned n)
{
	assert_true(router_make_room(s->router, n));
	for (; s->equipped < n; s->equipped++)
		equip(s, s->equipped);
	s->steered = n;
	router_deal(s->router, n, s->net->now);
	s->workers = n;
	router_kick(s->router);
	router_dismiss(s->router, s->net->now);
	site_settle(s);
}

void site_stop(struct site *s)
{
	for (unsigned i = 0; i < s->equipped; i++) {
		struct worker *w = &s->router->workers[i];
		struct inject *in = w->inject;

		in->ops->close(in);
		w->answer->ops->close(w->answer);
	}
	router_free(s->router);
	loop_free(s->loop);
	s->router = NULL;
	s->loop = NULL;
}

void site_leave(struct site *s)
{
	list_for_each(node, &s->router->contacts) {
		contact_bye(container_of(node, struct contact, node));
	}
	site_stop(s);
}

bool site_reload(struct site *s)
{
	struct config *c = site_config(s, stderr);
	bool done;

	if (!c)
		return false;
	done = router_reload(s->router, c, s->net->now, stderr);
	site_settle(s);
	return done;
}

void sites_start(struct net *n, unsigned count, unsigned workers)
{
	for (unsigned i = 1; i <= count; i++) {
		n->sites[i].workers = workers;
		if (!n->sites[i].peers)
			n->sites[i].peers = ((1u << (count + 1)) - 2) & ~(1u << i);
		site_start(&n->sites[i]);
	}
}

/* ---- work ---------------------------------------------------------------------------- */

void site_settle(struct site *s)
{
	mono_t now = s->net->now;
	unsigned turns = 0;
	bool any;

	do {
		any = s->noted && !s->behind;
		if (any) {
			s->noted = false;
			while (router_notes(s->router, now))
				;
		}
		for (unsigned i = 0; i < s->workers; i++)
			any |= worker_turn(&s->router->workers[i], now);
		assert_true(++turns < 10000);
	} while (any);
}

void site_deliver(struct site *s, const struct datagram *d)
{
	unsigned i = 0;
	uint32_t source;

	if (d->len > FRAME_LANE_OFFSET) {
		memcpy(&source, d->data + FRAME_SOURCE_OFFSET, sizeof(source));
		i = lane_reader(ntohl(source), d->data[FRAME_LANE_OFFSET], s->steered);
	}
	twin_push(s->links[i][d->to.ip.family == 6], d);
}

void site_intercept(struct site *s, const struct virtio_net_hdr *words, const uint8_t *packet,
		    size_t len)
{
	struct datagram *d = net_memory(NULL, sizeof(*d) + len);
	unsigned v4 = packet[0] >> 4 == 4;
	uint32_t hash = 2166136261;

	*d = (struct datagram){ .words = *words, .len = (uint32_t)len };
	memcpy(d->data, packet, len);
	/* as the kernel spreads flows over the queues of a device: by the addresses */
	for (size_t i = v4 ? 12 : 8; i < (v4 ? 20 : 40) && i < len; i++)
		hash = (hash ^ packet[i]) * 16777619;
	twin_push(s->device[(hash >> 16) % s->equipped], d);
	free(d);
	site_settle(s);
}

/* ---- asked ----------------------------------------------------------------------------- */

struct contact *site_contact(struct net *n, unsigned site, unsigned peer)
{
	return n->sites[site].router ? router_contact_by_id(n->sites[site].router, peer) : NULL;
}

bool site_is_up(struct net *n, unsigned site, unsigned peer)
{
	struct contact *c = site_contact(n, site, peer);

	return c && c->up && keying_is_ready(&c->keying) && c->peer->path &&
	       atomic_load(&c->peer->path->settled);
}

bool sites_are_up(void *arg, struct net *n)
{
	(void)arg;
	for (unsigned i = 1; i <= NET_SITES; i++)
		for (unsigned j = 1; j <= NET_SITES; j++)
			if (n->sites[i].router && n->sites[j].router &&
			    n->sites[i].peers & 1u << j && !site_is_up(n, i, j))
				return false;
	return true;
}

void sites_wait_up(struct net *n)
{
	assert_true(net_wait(n, sites_are_up, NULL, 60 * SEC) >= 0);
}

uint64_t site_drops(const struct site *s, enum drop d)
{
	return router_drops(s->router, d);
}

uint64_t site_all_drops(const struct site *s)
{
	uint64_t sum = 0;

	for (int d = 0; d < DROPS; d++)
		sum += site_drops(s, (enum drop)d);
	return sum;
}

uint16_t site_frame_max(struct net *n, unsigned site, unsigned peer)
{
	struct contact *c = site_contact(n, site, peer);

	return c && c->peer->path ? atomic_load(&c->peer->path->frame_max) : 0;
}

bool config_key(void *arg, const struct pinned *p, uint8_t ret[static CRYPTO_KEY], FILE *errors)
{
	const struct config *c = arg;

	(void)errors;
	memset(ret, 1, CRYPTO_KEY);
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i].id == p->id)
			memcpy(ret, c->peers[i].key, CRYPTO_KEY);
	return true;
}
