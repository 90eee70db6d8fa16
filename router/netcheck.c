/*
 * A check of what gets out, see netcheck.h.
 *
 * A way is proved by an answer that only the peer can give: a client's first words of a
 * handshake are sent on it, and the peer says "cookie, please" to them, under the MAC of
 * the pair's key. That costs it no memory, needs no frame keys and, unlike any frame under
 * them, moves no path: so nothing that runs is disturbed, and the ladder knows nothing of
 * it. Each question has a number of its own, so an answer tells its round trip, and one
 * that was recorded earlier is none.
 *
 * That TCP connects, or a proxy says "established", is no proof: something in between may
 * say so. It is reported as what it is.
 *
 * All ways of all peers are tried at once. A timer that ticks while a check is under way
 * repeats questions and judges times; contacts are looked up each time, since a reload
 * may take them away. A way has failed after so many questions, each with its time: not after
 * a time in which this process, on a busy machine, has perhaps asked once.
 */
#include "router/netcheck.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "router/connections.h"
#include "router/netcheck_private.h"

#define TICK (50 * MSEC)
#define LOOK_REPEAT (400 * MSEC)

static struct contact *contact_of(const struct netcheck_probe *p)
{
	return router_contact_by_id(p->check->router, p->target->id);
}

/* ---- one way ---------------------------------------------------------------------- */

static void end(struct netcheck_probe *p, enum netcheck_state state, const char *why, mono_t now)
{
	struct connections *cs = p->check->router->connections;

	if (p->dial)
		cs->dialer.cancel(p->dial);
	p->dial = NULL;
	if (p->way.kind == WAY_STREAM && p->way.stream)
		connections_close(cs, p->way.stream, now);
	p->way.stream = 0;
	p->state = state;
	snprintf(p->why, sizeof(p->why), "%s", why);
}

static void ask(struct netcheck_probe *p, mono_t now)
{
	struct netcheck_target *t = p->target;
	struct contact *c = contact_of(p);
	struct handshake_header h = { .role = HANDSHAKE_CLIENT,
				      .lanes = (uint8_t)(p->check->router->n_workers + 1),
				      .attempt = p->attempt + p->asked };
	struct writer w = writer_init(t->hello, HANDSHAKE_HEADER);
	int e;

	handshake_header_write(&w, &h);
	p->sent[p->asked++] = now;
	e = contact_send_handshake(c, &p->way, t->hello, t->hello_len);
	if (e == -EAGAIN || e == -ENOBUFS)
		e = 0;
	/* what a socket says may be another one's error: it counts if it says it again */
	if (e < 0 && e == p->error && p->rung == RUNG_UDP)
		end(p, NETCHECK_FAILED, strerror(-e), now);
	p->error = e;
}

static void opened(struct netcheck_probe *p, mono_t now)
{
	p->state = NETCHECK_ASKING;
	ask(p, now);
}

static void open_udp(struct netcheck_probe *p, const struct contact *c, mono_t now)
{
	const struct worker *w = &p->check->router->workers[0];

	/* another address with each question */
	for (unsigned i = 0; i < c->n_addresses; i++) {
		const struct ip *ip = &c->addresses[p->address++ % c->n_addresses];

		for (unsigned l = 0; l < w->n_links; l++)
			if (w->links[l]->family == ip->family) {
				p->way = (struct way){ .kind = WAY_UDP,
						       .remote = { .ip = *ip,
								   .port = c->config.port },
						       .link = (uint8_t)l };
				if (p->state == NETCHECK_OPENING)
					opened(p, now);
				return;
			}
	}
	end(p, NETCHECK_FAILED,
	    c->n_addresses ? "no [listen] udp for its addresses" : c->resolve_error, now);
}

/* What the kernel knows of the way's MTU; 0: nothing. */
static uint16_t tcp_path_mtu(const struct stream *s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (s->fd < 0 || getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len <= offsetof(struct tcp_info, tcpi_pmtu) + 3 || info.tcpi_pmtu > UINT16_MAX)
		return 0;
	return (uint16_t)info.tcpi_pmtu;
}

static void dial(struct netcheck_probe *p, const char *why, mono_t now);

static void dialled(void *arg, struct stream *s, const char *why, mono_t now)
{
	struct netcheck_probe *p = arg;
	struct contact *c = contact_of(p);

	p->dial = NULL;
	if (!s) {
		dial(p, why, now);
		return;
	}
	if (!c) {
		s->ops->close(s);
		end(p, NETCHECK_FAILED, NETCHECK_GONE, now);
		return;
	}
	p->path_mtu = p->rung == RUNG_PROXY ? 0 : tcp_path_mtu(s);
	p->way.stream = connections_add(p->check->router->connections, p->target->id, p->rung, true,
					s, &p->way.remote, NULL, 0, now);
	if (p->way.stream)
		opened(p, now);
	else
		end(p, NETCHECK_FAILED, "not enough memory for a stream", now);
}

/* To the next address, if there is one; `why` the last one failed. */
static void dial(struct netcheck_probe *p, const char *why, mono_t now)
{
	struct connections *cs = p->check->router->connections;
	struct contact *c = contact_of(p);
	bool proxy = p->rung == RUNG_PROXY;
	unsigned n = proxy ? cs->n_proxy_ips : c ? c->n_addresses : 0;
	const struct ip *ip;

	if (!c || p->address >= n) {
		end(p, NETCHECK_FAILED, c ? why : NETCHECK_GONE, now);
		return;
	}
	ip = &(proxy ? cs->proxy_ips : c->addresses)[p->address++];
	p->way = (struct way){ .kind = WAY_STREAM, .remote.ip = *ip };
	p->dial =
		connections_dial(cs, p->rung, &c->config, ip, &p->way.remote.port, now, dialled, p);
	if (!p->dial)
		end(p, NETCHECK_FAILED, "out of memory", now);
}

static void begin(struct netcheck_probe *p, mono_t now)
{
	const struct connections *cs = p->check->router->connections;
	struct contact *c = contact_of(p);

	p->state = NETCHECK_OPENING;
	crypto_random(&p->attempt, sizeof(p->attempt));
	if (!p->target->hello_len)
		end(p, NETCHECK_FAILED, "out of memory", now);
	else if (p->rung == RUNG_PROXY && !*cs->proxy.host)
		end(p, NETCHECK_SKIPPED, "no proxy is configured", now);
	else if (p->rung == RUNG_PROXY && connections_excepts(cs, c->config.host))
		end(p, NETCHECK_SKIPPED, "no_proxy in the environment excepts it", now);
	else if (p->rung == RUNG_PROXY)
		dial(p, *cs->proxy_error ? cs->proxy_error : "its name is not resolved yet", now);
	else if (p->rung == RUNG_UDP)
		open_udp(p, c, now);
	else
		dial(p, *c->resolve_error ? c->resolve_error : "its name is not resolved yet", now);
}

/* Time has gone by. */
static void look_after(struct netcheck_probe *p, mono_t now)
{
	const struct contact *c = contact_of(p);
	bool late = p->state == NETCHECK_ASKING &&
		    mono_since(now, p->sent[p->asked - 1]) >= NETCHECK_REPEAT;
	char why[NETCHECK_WHY];

	if (!netcheck_is_busy(p))
		return;
	if (!c) {
		end(p, NETCHECK_FAILED, NETCHECK_GONE, now);
	} else if (late && p->asked == NETCHECK_ASKS) {
		snprintf(why, sizeof(why), "%sno answer in %d s",
			 p->rung == RUNG_UDP ? "" : "connected, but ",
			 (int)(NETCHECK_ANSWER / SEC));
		end(p, p->rung == RUNG_UDP ? NETCHECK_FAILED : NETCHECK_CONNECTED, why, now);
	} else if (mono_since(now, p->check->begun) >= NETCHECK_TIME) {
		end(p, NETCHECK_FAILED, "not done in time", now);
	} else if (late) {
		if (p->rung == RUNG_UDP)
			open_udp(p, c, now);
		if (p->state == NETCHECK_ASKING)
			ask(p, now);
	}
}

static bool recv_answer(struct contact *c, const struct way *way, const uint8_t *data, size_t len,
			mono_t now)
{
	struct netcheck *k = c->router->netcheck;
	struct reader r = reader_init(data, len);
	struct handshake_header h;

	if (!k || !handshake_header_read(&r, &h) || h.role != HANDSHAKE_SERVER)
		return false;
	for (unsigned i = 0; i < k->n; i++)
		for (unsigned j = 0; j < NETCHECK_WAYS && k->target[i].id == c->peer->id; j++) {
			struct netcheck_probe *p = &k->target[i].probe[j];
			uint32_t at = h.attempt - p->attempt;

			if (p->state == NETCHECK_SKIPPED || at >= p->asked)
				continue;
			if (p->state == NETCHECK_ASKING && p->way.kind == way->kind) {
				p->rtt = mono_since(now, p->sent[at]);
				if (p->rtt <= 0) /* in one turn of the loop */
					p->rtt = 1;
				if (p->rung == RUNG_UDP)
					p->way.remote = way->remote;
				end(p, NETCHECK_ANSWERED, "", now);
			}
			return true; /* or too late, or once more */
		}
	return false;
}

static void stream_ended(struct router *r, uint32_t stream, const char *why, mono_t now)
{
	struct netcheck *k = r->netcheck;
	char text[NETCHECK_WHY];

	for (unsigned i = 0; k && i < k->n; i++)
		for (unsigned j = 0; j < NETCHECK_WAYS; j++) {
			struct netcheck_probe *p = &k->target[i].probe[j];

			if (p->state != NETCHECK_ASKING || p->way.stream != stream)
				continue;
			p->way.stream = 0;
			snprintf(text, sizeof(text), "connected, but then: %s", why);
			end(p, NETCHECK_CONNECTED, text, now);
		}
}

/* ---- how others see us ---------------------------------------------------------------- */

/* By UDP, where that works. It takes frame keys, and so moves the path at the other end if
 * that may lie there: see ways_takes. */
static bool is_looking(const struct netcheck *k, const struct netcheck_target *t)
{
	const struct contact *c = router_contact_by_id(k->router, t->id);

	return t->probe[RUNG_UDP].state == NETCHECK_ANSWERED && !t->looked &&
	       t->looks <= NETCHECK_LOOKS && c && keying_is_ready(&c->keying);
}

static void look(struct netcheck *k, struct netcheck_target *t, mono_t now)
{
	static const uint8_t padding[WIRE_ENDPOINT];
	struct control_message m = {
		.kind = CONTROL_OBSERVE, .token = t->token, .body = padding, .len = sizeof(padding)
	};

	if (!is_looking(k, t) || (t->looks && mono_since(now, t->looked_at) < LOOK_REPEAT))
		return;
	t->looked_at = now;
	if (t->looks++ < NETCHECK_LOOKS)
		contact_send(router_contact_by_id(k->router, t->id), &t->probe[RUNG_UDP].way, &m,
			     0);
}

static bool recv_observed(struct contact *c, const struct control_message *m, const struct way *way)
{
	struct netcheck *k = c->router->netcheck;
	const struct config *config = c->router->config;
	struct reader r = reader_init(m->body, m->len);
	struct endpoint seen;

	if (!k || m->kind != CONTROL_OBSERVED || way->kind != WAY_UDP ||
	    way->link >= config->n_udp || !wire_endpoint_read(&r, &seen))
		return false;
	for (unsigned i = 0; i < k->n; i++) {
		struct netcheck_target *t = &k->target[i];

		if (t->id != c->peer->id || !t->looks || t->token != m->token)
			continue;
		t->looked = true;
		t->view = (struct nat_view){ .own = { way->local, config->udp[way->link].port },
					     .seen = seen,
					     .by = way->remote };
		return true;
	}
	return false;
}

/* ---- the whole of it ---------------------------------------------------------------- */

/* The first words of a handshake; what it would take to go on is not kept. */
static void make_hello(struct netcheck_target *t, const struct contact *c, mono_t now)
{
	struct handshake *h = handshake_client(c->router->handshakes, t->id, c->config.key, now);

	t->hello_len = h ? handshake_take(h, t->hello + HANDSHAKE_HEADER) : 0;
	if (t->hello_len)
		t->hello_len += HANDSHAKE_HEADER;
	handshake_free(h);
}

static void add(struct netcheck *k, const struct contact *c, mono_t now)
{
	struct netcheck_target *t = &k->target[k->n];

	if (!c || !c->config.host)
		return;
	for (unsigned i = 0; i < k->n; i++)
		if (k->target[i].id == c->peer->id)
			return;
	if (k->n == NETCHECK_ROUTERS) {
		k->left_out++;
		return;
	}
	k->n++;
	t->id = c->peer->id;
	crypto_random(&t->token, sizeof(t->token));
	make_hello(t, c, now);
	for (unsigned j = 0; j < NETCHECK_WAYS; j++)
		t->probe[j] = (struct netcheck_probe){ .check = k, .target = t, .rung = j };
}

/* Queue routers first, this router's own in their order. */
static void add_all(struct netcheck *k, mono_t now)
{
	struct router *r = k->router;

	for (unsigned i = 0; i < r->limited.n_own; i++)
		add(k, router_contact_by_id(r, r->limited.own[i]), now);
	for (int relays = 1; relays >= 0; relays--)
		list_for_each(node, &r->contacts) {
			const struct contact *c = container_of(node, struct contact, node);

			if (c->is_relay == relays)
				add(k, c, now);
		}
}

static bool is_done(const struct netcheck *k)
{
	for (unsigned i = 0; i < k->n; i++) {
		for (unsigned j = 0; j < NETCHECK_WAYS; j++)
			if (netcheck_is_busy(&k->target[i].probe[j]))
				return false;
		if (is_looking(k, &k->target[i]))
			return false;
	}
	return true;
}

static void stop(struct netcheck *k, mono_t now)
{
	struct router *r = k->router;

	for (unsigned i = 0; i < k->n; i++)
		for (unsigned j = 0; j < NETCHECK_WAYS; j++)
			if (netcheck_is_busy(&k->target[i].probe[j]))
				end(&k->target[i].probe[j], NETCHECK_SKIPPED, "", now);
	timer_cancel(r->loop, &k->timer);
	r->netcheck = NULL;
	r->netcheck_ops = NULL;
	free(k);
}

static void tell(struct netcheck *k, mono_t now)
{
	json_t *result = netcheck_result(k, now);

	list_for_each(node, &k->waiters) {
		struct netcheck_waiter *w = container_of(node, struct netcheck_waiter, node);
		netcheck_fn *fn = w->fn;

		list_remove(&w->node);
		w->fn = NULL;
		fn(w->arg, json_incref(result));
	}
	json_decref(result);
}

static void tick(struct timer *t, mono_t now)
{
	struct netcheck *k = container_of(t, struct netcheck, timer);

	for (unsigned i = 0; i < k->n; i++) {
		for (unsigned j = 0; j < NETCHECK_WAYS; j++)
			look_after(&k->target[i].probe[j], now);
		look(k, &k->target[i], now);
	}
	if (!is_done(k) && mono_since(now, k->begun) < NETCHECK_TIME) {
		timer_set(k->router->loop, t, mono_add(now, TICK));
		return;
	}
	tell(k, now);
	stop(k, now);
}

static const struct netcheck_ops ops = { recv_answer, recv_observed, stream_ended };

static struct netcheck *netcheck_new(struct router *r, mono_t now)
{
	struct netcheck *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->router = r;
	k->begun = now;
	k->timer.fn = tick;
	list_init(&k->waiters);
	add_all(k, now);
	if (timer_set(r->loop, &k->timer, now) < 0) {
		free(k);
		return NULL;
	}
	r->netcheck = k;
	r->netcheck_ops = &ops;
	for (unsigned i = 0; i < k->n; i++)
		for (unsigned j = 0; j < NETCHECK_WAYS; j++)
			begin(&k->target[i].probe[j], now);
	return k;
}

int netcheck_join(struct router *r, struct netcheck_waiter *w, netcheck_fn *fn, void *arg,
		  mono_t now)
{
	struct netcheck *k = r->netcheck ? r->netcheck : netcheck_new(r, now);

	if (!k)
		return -ENOMEM;
	if (!k->n) {
		stop(k, now);
		return -ENOENT;
	}
	w->fn = fn;
	w->arg = arg;
	list_insert(&k->waiters, &w->node);
	return 0;
}

void netcheck_leave(struct router *r, struct netcheck_waiter *w)
{
	if (!w->fn)
		return;
	w->fn = NULL;
	list_remove(&w->node);
	if (list_is_empty(&r->netcheck->waiters))
		stop(r->netcheck, clock_now());
}
