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
#define LINES_MAX 16 /* in the log, in LINES_TIME */
#define LINES_TIME (10 * SEC)

/* ---- telling ------------------------------------------------------------------ */

static bool names(const struct table *t, uint32_t network, uint32_t router)
{
	uint32_t slot = table_slot(t, network);

	return slot != UINT32_MAX && gndt_names(t, slot, router);
}

/* The networks in which this peer delivers something: ascending, up to max. */
static size_t shared_networks(const struct contact *c, const struct network **ret, size_t max)
{
	const struct world *v = c->router->world;
	size_t n = 0;

	for (size_t i = 0; i < c->router->n_networks && n < max; i++) {
		const struct network *net = c->router->networks[i];

		if (names(v->table, net->id, c->peer->id) ||
		    (v->receive != v->table && names(v->receive, net->id, c->peer->id)))
			ret[n++] = net;
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
				  left < PER_MESSAGE ? left : PER_MESSAGE,
				  c->announce_token + part);
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

/* The set of stopped networks while a message is judged; published once. */
struct judgement {
	struct stopped *set;
	bool changed;
};

/* A copy with room for `more`. False: out of memory. */
static bool judgement_init(struct judgement *j, const struct stopped *old, unsigned more)
{
	uint32_t n = old ? old->n : 0;

	j->changed = false;
	j->set = malloc(sizeof(*j->set) + (n + more) * sizeof(j->set->networks[0]));
	if (!j->set)
		return false;
	j->set->n = n;
	if (n)
		memcpy(j->set->networks, old->networks, n * sizeof(old->networks[0]));
	return true;
}

static void judgement_publish(struct judgement *j, struct peer *p)
{
	struct stopped *old = p->stopped;

	if (!j->changed) {
		free(j->set);
		return;
	}
	qsort(j->set->networks, j->set->n, sizeof(j->set->networks[0]), by_id);
	rcu_assign_pointer(p->stopped, j->set);
	synchronize_rcu();
	free(old);
}

/* A line for each network, unless a peer that lies makes too many. */
static void say(struct contact *c, uint32_t network, uint8_t ours, uint8_t theirs, mono_t now)
{
	if (!budget_take(&c->announce_lines, LINES_MAX, LINES_TIME, now))
		return;
	if (ours != theirs)
		log_error("network %u is stopped with peer %s: here its frames are protected with "
			  "%s, there with %s; set [network %u] alike at both",
			  network, c->peer->name, protection_name(ours),
			  theirs < PROTECTIONS ? protection_name(theirs) : "something unknown",
			  network);
	else
		log_info("network %u goes on with peer %s", network, c->peer->name);
}

static void judge(struct contact *c, struct judgement *j, const struct network *net, uint8_t theirs,
		  mono_t now)
{
	uint8_t ours = atomic_load(&net->protection);
	uint32_t at = 0;

	while (at < j->set->n && j->set->networks[at] != net->id)
		at++;
	if ((at < j->set->n) == (ours != theirs))
		return;
	if (ours != theirs)
		j->set->networks[j->set->n++] = net->id;
	else
		j->set->networks[at] = j->set->networks[--j->set->n];
	j->changed = true;
	say(c, net->id, ours, theirs, now);
}

/* Judges a list of networks; where ours is asked for, it gets the same networks as
 * they are protected here. False if it is malformed. */
static bool judge_all(struct contact *c, const struct control_message *m, struct writer *ours,
		      bool *ret_changed, mono_t now)
{
	struct reader r = reader_init(m->body, m->len);
	unsigned n = read_u16(&r), known = 0;
	struct judgement j;

	if (r.bad || n > PER_MESSAGE || reader_left(&r) < n * 5 ||
	    !judgement_init(&j, c->peer->stopped, n))
		return false;
	while (n--) {
		uint32_t id = read_u32(&r);
		uint8_t protection = read_u8(&r);
		const struct network *net = router_network(c->router, id);

		if (!net)
			continue;
		judge(c, &j, net, protection, now);
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
	*ret_changed = j.changed;
	judgement_publish(&j, c->peer);
	return true;
}

static void tell(struct contact *c, const struct control_message *m, mono_t now)
{
	struct reader r = reader_init(m->body, m->len);
	struct config_network nets[PER_MESSAGE];
	size_t n = read_u16(&r);

	if (r.bad || n > PER_MESSAGE || reader_left(&r) < n * 5)
		return;
	for (size_t i = 0; i < n; i++) {
		nets[i].id = read_u32(&r);
		nets[i].protection = read_u8(&r);
	}
	c->router->told(c->router->told_arg, c, nets, n, now);
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

	if (c->router->told)
		tell(c, m, now);
	if (!judge_all(c, m, &w, &any, now))
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
	if (judge_all(c, m, NULL, &any, now) && any)
		contact_announce(c, now);
}
