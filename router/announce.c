/*
 * Both sides tell each other how they protect the networks that they share.
 * Where they differ, that network is stopped between the two, with one line in
 * the log, until they agree.
 */
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/router.h"

#define PER_MESSAGE 200
#define MESSAGES_MAX 64
#define REPEAT SEC
#define TRIES 10

/* ---- telling ------------------------------------------------------------------ */

/* The networks in which this peer delivers something: ascending, up to max. */
static size_t shared_networks(const struct contact *c, const struct network **ret, size_t max)
{
	size_t n_rows, n = 0;
	const struct gndt_row *rows = table_gndt(c->router->world->table, &n_rows);

	for (size_t i = 0; i < n_rows && n < max; i++)
		if (rows[i].router == c->peer->id && (!n || ret[n - 1]->id != rows[i].network)) {
			ret[n] = router_network(c->router, rows[i].network);
			n += ret[n] != NULL;
		}
	return n;
}

static void send_part(struct contact *c, const struct network **nets, size_t n, uint64_t token)
{
	uint8_t body[2 + PER_MESSAGE * 5];
	struct writer w = writer_init(body, sizeof(body));
	struct control_message m = { .kind = CONTROL_NETWORKS, .token = token, .body = body };

	write_u16(&w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		write_u32(&w, nets[i]->id);
		write_u8(&w, atomic_load(&nets[i]->protection));
	}
	m.len = writer_len(&w);
	contact_send(c, NULL, &m, 0);
}

static void send_all(struct contact *c)
{
	const struct network *nets[PER_MESSAGE * MESSAGES_MAX];
	size_t n = shared_networks(c, nets, sizeof(nets) / sizeof(nets[0]));

	for (unsigned part = 0; part < MESSAGES_MAX && part * PER_MESSAGE < n; part++) {
		size_t left = n - part * PER_MESSAGE;

		if (c->announce_open & 1ULL << part)
			send_part(c, nets + part * PER_MESSAGE,
				  left < PER_MESSAGE ? left : PER_MESSAGE, c->announce_token + part);
		if (left <= PER_MESSAGE) /* parts behind the last one have nothing to wait for */
			c->announce_open &= part == 63 ? ~0ULL : (1ULL << (part + 1)) - 1;
	}
	if (!n)
		c->announce_open = 0;
}

static void due(struct timer *t, mono_t now)
{
	struct contact *c = container_of(t, struct contact, announce_timer);

	if (!c->announce_open || !c->announce_left)
		return;
	c->announce_left--;
	send_all(c);
	timer_set(c->router->loop, t, mono_add(now, REPEAT));
}

void contact_announce(struct contact *c, mono_t now)
{
	c->announce_timer.fn = due;
	if (!keying_is_ready(&c->keying) ||
	    !crypto_random(&c->announce_token, sizeof(c->announce_token)))
		return;
	c->announce_token &= ~(uint64_t)63;
	c->announce_open = ~0ULL;
	c->announce_left = TRIES;
	due(&c->announce_timer, now);
}

void announce_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->announce_timer);
}

/* ---- being told ------------------------------------------------------------------ */

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* A copy of the set with the network put in or taken out. NULL: out of memory. */
static struct stopped *changed(const struct stopped *old, uint32_t network, bool in)
{
	uint32_t n = old ? old->n : 0;
	struct stopped *s = malloc(sizeof(*s) + (n + 1) * sizeof(s->networks[0]));

	if (!s)
		return NULL;
	s->n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (old->networks[i] != network)
			s->networks[s->n++] = old->networks[i];
	if (in)
		s->networks[s->n++] = network;
	qsort(s->networks, s->n, sizeof(s->networks[0]), by_id);
	return s;
}

/* True: it was stopped or goes on. */
static bool judge(struct contact *c, const struct network *net, uint8_t theirs)
{
	uint8_t ours = atomic_load(&net->protection);
	struct stopped *old = c->peer->stopped, *new;

	if (peer_is_stopped(c->peer, net->id) == (ours != theirs))
		return false;
	new = changed(old, net->id, ours != theirs);
	if (!new)
		return false;
	rcu_assign_pointer(c->peer->stopped, new);
	synchronize_rcu();
	free(old);
	if (ours != theirs)
		log_error("network %u is stopped with peer %s: here its frames are protected with "
			  "%s, there with %s; set [network %u] alike at both",
			  net->id, c->peer->name, protection_name(ours),
			  theirs < PROTECTIONS ? protection_name(theirs) : "something unknown",
			  net->id);
	else
		log_info("network %u goes on with peer %s", net->id, c->peer->name);
	return true;
}

/* Judges a list of networks; where ours is asked for, it gets the same networks as
 * they are protected here. False if it is malformed. */
static bool judge_all(struct contact *c, const struct control_message *m, struct writer *ours,
		      bool *ret_changed)
{
	struct reader r = reader_init(m->body, m->len);
	unsigned n = read_u16(&r), known = 0;

	*ret_changed = false;
	if (r.bad || n > PER_MESSAGE || reader_left(&r) < n * 5)
		return false;
	while (n--) {
		uint32_t id = read_u32(&r);
		uint8_t protection = read_u8(&r);
		const struct network *net = router_network(c->router, id);

		if (!net)
			continue;
		*ret_changed |= judge(c, net, protection);
		known++;
		if (ours) {
			write_u32(ours, id);
			write_u8(ours, atomic_load(&net->protection));
		}
	}
	if (ours) {
		struct writer count = writer_init(ours->start - 2, 2);

		write_u16(&count, (uint16_t)known);
	}
	return true;
}

/* The answer says how it is here, so that both judge by the same. If that, or what
 * came, stops a network or lets it go on, the other may have judged by something
 * older: it is told again. What changes nothing ends it. */
void announce_recv(struct contact *c, const struct control_message *m, mono_t now)
{
	uint8_t body[2 + PER_MESSAGE * 5];
	struct writer w = writer_init(body + 2, sizeof(body) - 2);
	struct control_message ack = { .kind = CONTROL_NETWORKS_ACK,
				       .token = m->token,
				       .body = body };
	bool any;

	if (!judge_all(c, m, &w, &any))
		return;
	ack.len = 2 + writer_len(&w);
	contact_send(c, NULL, &ack, 0);
	if (any)
		contact_announce(c, now);
}

void announce_acked(struct contact *c, const struct control_message *m, mono_t now)
{
	bool any;

	if ((m->token & ~(uint64_t)63) != c->announce_token)
		return;
	c->announce_open &= ~(1ULL << (m->token & 63));
	if (!c->announce_open)
		timer_cancel(c->router->loop, &c->announce_timer);
	if (judge_all(c, m, NULL, &any) && any)
		contact_announce(c, now);
}
