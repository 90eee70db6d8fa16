/*
 * The path's MTU: probes of the sizes that pmtu.c asks for, as padded control
 * frames, and what follows from their answers for workers and the device.
 */
#include <errno.h>
#include <urcu-qsbr.h>

#include "router/router.h"

/* A stream carries what it carries, whatever it goes through. */
static bool is_probed(const struct contact *c)
{
	return !c->router->config->mtu && c->peer->path && c->peer->path->way.kind != WAY_STREAM;
}

static void apply(struct contact *c)
{
	struct path *p = c->peer->path;
	bool settled = pmtu_settled(&c->pmtu);

	if (atomic_load(&p->frame_max) == c->pmtu.known && atomic_load(&p->settled) == settled)
		return;
	atomic_store(&p->frame_max, c->pmtu.known);
	atomic_store(&p->settled, settled);
	router_kick(c->router);
}

static uint64_t packets_sent(const struct contact *c)
{
	uint64_t packets, bytes;

	peer_traffic(c->router, c->peer, OUT, &packets, &bytes);
	return packets;
}

static void run(struct contact *c, mono_t now)
{
	uint64_t sent = packets_sent(c);
	bool used = sent != c->probe_packets;
	uint16_t size;

	c->probe_packets = sent;
	while ((size = pmtu_poll(&c->pmtu, used, now)) > 0) {
		struct control_message m = { .kind = CONTROL_PROBE, .token = size };

		if (contact_send(c, NULL, &m, size) == -EMSGSIZE)
			pmtu_refused(&c->pmtu, size, now);
	}
	apply(c);
	timer_set(c->router->loop, &c->probe_timer, pmtu_deadline(&c->pmtu));
}

static void due(struct timer *t, mono_t now)
{
	run(container_of(t, struct contact, probe_timer), now);
}

void probe_start(struct contact *c, mono_t now)
{
	struct path *p = c->peer->path;

	c->probe_timer.fn = due;
	if (!is_probed(c)) {
		timer_cancel(c->router->loop, &c->probe_timer);
		return;
	}
	pmtu_init(&c->pmtu, atomic_load(&p->frame_max), p->frame_hope, now);
	run(c, now);
}

void probe_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->probe_timer);
}

void probe_recv(struct contact *c, const struct control_message *m, mono_t now)
{
	struct reader r = reader_init(m->body, m->len);
	uint16_t size = read_u16(&r);

	if (r.bad || !is_probed(c) || m->token != size)
		return;
	pmtu_acked(&c->pmtu, size, now);
	run(c, now);
}

void probe_hint(struct contact *c, mono_t now)
{
	if (!is_probed(c))
		return;
	pmtu_hint(&c->pmtu, now);
	run(c, now);
}
