/*
 * What one way is, by itself: what it is called, how a frame is sent on it, and the path
 * that is made of it. Which one is used is ways.c's business.
 *
 * This is the control thread's own sending, a frame at a time. What workers send goes by
 * the same ways in batches (seal.c, relay.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "router/connections.h"
#include "router/link_stream.h"
#include "router/relay.h"
#include "router/router.h"
#include "router/ways_private.h"

bool ways_link_for(const struct router *r, uint8_t family, uint8_t *ret)
{
	const struct worker *w = &r->workers[0];

	for (unsigned l = 0; l < w->n_links; l++)
		if (w->links[l]->family == family) {
			*ret = (uint8_t)l;
			return true;
		}
	return false;
}

/* ---- what they are called ------------------------------------------------------ */

enum rung ways_rung(const struct contact *c, const struct way *way)
{
	const struct connection *stream;

	switch (way->kind) {
	case WAY_UDP: return RUNG_UDP;
	case WAY_RELAY: return RUNG_RELAY;
	case WAY_STREAM: break;
	}
	stream = connections_find(c->router->connections, way->stream);
	return stream ? stream->rung : RUNG_TCP;
}

const char *ways_transport(const struct contact *c, const struct way *way)
{
	return rung_name(ways_rung(c, way));
}

char *ways_text(const struct contact *c, const struct way *way, char buf[static WAYS_TEXT])
{
	char text[ENDPOINT_TEXT];
	const struct contact *via;

	switch (way->kind) {
	case WAY_UDP: endpoint_format(&way->remote, buf); break;
	case WAY_STREAM:
		snprintf(buf, WAYS_TEXT, "%s %s", ways_transport(c, way),
			 endpoint_format(&way->remote, text));
		break;
	case WAY_RELAY:
		via = router_contact_by_id(c->router, way->via);
		snprintf(buf, WAYS_TEXT, "relay %s", via ? via->peer->name : "?");
		break;
	}
	return buf;
}

/* ---- the path that is made of it -------------------------------------------------- */

/* The largest frame that can be hoped for: by a relay, what its own path's first hop
 * carries, less the queue frame around it; what the hops behind it carry is found out. */
static uint16_t frame_hope(const struct contact *c, const struct way *way)
{
	struct link *link = c->router->workers[0].links[way->link];
	const struct contact *relay;
	const struct path *hop;

	if (way->kind == WAY_UDP)
		return link->ops->first_hop_max(link, way);
	if (way->kind == WAY_STREAM)
		return FRAME_OVERHEAD + PATH_STREAM_INNER;
	relay = router_contact_by_id(c->router, way->via);
	hop = relay ? relay->peer->path : NULL;
	if (!hop)
		return PMTU_BASE_V6 - FRAME_OVERHEAD;
	return hop->way.kind == WAY_STREAM ? hop->frame_hope : hop->frame_hope - FRAME_OVERHEAD;
}

struct path *ways_path(const struct contact *c, const struct way *way)
{
	struct path *p = calloc(1, sizeof(*p));
	uint16_t mtu = c->router->config->mtu;

	if (!p)
		return NULL;
	p->way = *way;
	p->frame_hope = mtu && way->kind != WAY_STREAM ? (uint16_t)(mtu - way_overhead(way))
						       : frame_hope(c, way);
	p->settled = mtu != 0 || way->kind == WAY_STREAM;
	p->frame_max = p->settled		    ? p->frame_hope
		       : way->kind == WAY_RELAY	    ? PMTU_BASE_V6 - FRAME_OVERHEAD
		       : way->remote.ip.family == 6 ? PMTU_BASE_V6
						    : PMTU_BASE_V4;
	if (p->frame_max > p->frame_hope)
		p->frame_max = p->frame_hope;
	return p;
}

void ways_publish(struct peer *p, struct path *path)
{
	struct path *old = p->path;

	rcu_assign_pointer(p->path, path);
	synchronize_rcu();
	free(old);
}

/* ---- sending ------------------------------------------------------------------- */

/* Inside a queue frame, on the path of the queue router. */
static int send_by_relay(struct contact *relay, const uint8_t *frame, size_t len)
{
	uint8_t outer[PACKET_SINGLE + 2 * FRAME_OVERHEAD], room[QUEUE_SIGNED];
	const struct router *r = relay->router;
	const struct path *path = relay->peer->path;
	struct tx_keys *tx = relay->peer->tx;
	struct frame_header h = { .source = r->config->id, .destination = relay->peer->id };
	struct crypto_job job;

	if (!tx || !path || path->way.kind == WAY_RELAY)
		return -ENOTCONN;
	if (len > sizeof(outer) - FRAME_OVERHEAD)
		return -EMSGSIZE;
	h.epoch = tx->epoch;
	h.seq = tx_next(tx, 0, false);
	queue_frame_format(&h, len, 0, outer);
	memcpy(outer + FRAME_HEADER, frame, len);
	len += FRAME_OVERHEAD;
	job = relay_job(tx->key[PROTECT_HMAC], outer, len, room);
	crypto_seal(r->n_workers, &job, 1);
	return ways_send(relay, &path->way, outer, len);
}

/* The address that this way leaves from is this machine's no more: the path goes on from
 * whichever the kernel chooses, and the peer follows. */
static void forget_address(struct peer *p, const struct way *way)
{
	struct path *path;

	if (!p->path || !way_equal(&p->path->way, way))
		return;
	path = malloc(sizeof(*path));
	if (!path)
		return;
	*path = *p->path;
	path->way.local.family = 0;
	ways_publish(p, path);
}

static int send_by_udp(const struct contact *c, const struct way *way, const uint8_t *frame,
		       size_t len)
{
	const struct worker *w = &c->router->workers[0];
	struct way from_any = *way;
	struct link *link;
	int e;

	if (way->link >= w->n_links)
		return -ENOTCONN;
	link = w->links[way->link];
	e = link->ops->send_one(link, way, frame, len);
	if ((e != -EINVAL && e != -ENETUNREACH) || !way->local.family)
		return e;
	from_any.local.family = 0;
	e = link->ops->send_one(link, &from_any, frame, len);
	if (!e)
		forget_address(c->peer, way);
	return e;
}

int ways_send(const struct contact *c, const struct way *way, const uint8_t *frame, size_t len)
{
	struct router *r = c->router;
	struct contact *relay;
	struct port *port;

	switch (way->kind) {
	case WAY_UDP: return send_by_udp(c, way, frame, len);
	case WAY_STREAM:
		port = r->streams[way->stream % WORKERS_MAX];
		if (!port)
			return -ENOTCONN;
		return link_stream_send(port, CONTROL_SENDER, way->stream, c->peer->id, frame, len,
					NULL, clock_now())
			       ? 0
			       : -EAGAIN;
	case WAY_RELAY:
		relay = router_contact_by_id(r, way->via);
		return relay ? send_by_relay(relay, frame, len) : -ENOTCONN;
	}
	return -ENOTCONN;
}
