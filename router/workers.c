/*
 * How many workers there are, and what each has: changed while none of them runs.
 *
 *   1. room    everything that can fail: keys' contexts, shares, pools
 *   2. deal    what is read is given to as many as there are to be, packets that
 *              wait at those that go go to those that stay, lanes are told anew
 *   3. dismiss what those have noted that are gone is read to the end
 *
 * Nobody is forgotten: a worker that goes stays in its place, with its counters (which
 * never go backwards), its shares and what was opened for it, and may come again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "router/link_stream.h"
#include "router/mailbox.h"
#include "router/router.h"
#include "router/stage.h"

_Static_assert(CRYPTO_THREADS > WORKERS_MAX, "the workers and the control thread");
_Static_assert(LANES_MAX > WORKERS_MAX, "theirs too");

/* ---- shares ---------------------------------------------------------------------- */

static void *share_new(size_t size)
{
	void *share = aligned_alloc(64, size);

	if (share)
		memset(share, 0, size);
	return share;
}

bool network_make_room(struct network *n, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++)
		if (!n->share[i] && !(n->share[i] = share_new(sizeof(*n->share[i]))))
			return false;
	return true;
}

bool peer_make_room(struct peer *p, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++)
		if (!p->share[i] && !(p->share[i] = share_new(sizeof(*p->share[i]))))
			return false;
	return true;
}

void network_free(struct network *n)
{
	for (unsigned i = 0; n && i < WORKERS_MAX; i++)
		free(n->share[i]);
	free(n);
}

void peer_free_shares(struct peer *p)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		free(p->share[i]);
}

void peer_deal_lanes(struct peer *p, unsigned workers)
{
	for (unsigned i = 0; i < workers; i++)
		p->share[i]->lane = lane_sender(p->id, i, workers);
}

/* ---- the number ------------------------------------------------------------------ */

static bool contact_make_room(struct contact *c, unsigned workers)
{
	struct peer *p = c->peer;
	bool ok = crypto_key_grow(p->handshake_key) && tx_keys_grow(p->tx);

	for (unsigned i = 0; i < PEER_EPOCHS; i++)
		ok = ok && rx_keys_grow(p->rx[i]);
	return ok && peer_make_room(p, workers);
}

static bool hire(struct router *r, unsigned n)
{
	for (unsigned i = r->n_made; i < n; i++) {
		worker_init(&r->workers[i], i, &r->world, &r->ports);
		r->workers[i].streams = r->streams;
	}
	for (unsigned i = r->n_workers; i < n; i++) {
		if (worker_hire(&r->workers[i]))
			continue;
		for (unsigned k = r->n_workers; k <= i; k++)
			worker_dismiss(&r->workers[k]);
		return false;
	}
	return true;
}

bool router_open_mailboxes(struct router *r, unsigned n)
{
	bool ok = true;

	for (unsigned i = 0; i < n && ok; i++) {
		struct mailbox *m = r->workers[i].mailbox;

		ok = mailbox_admit(m, CONTROL_SENDER);
		for (unsigned k = 0; k < n && ok; k++)
			ok = k == i || mailbox_admit(m, k);
	}
	return ok;
}

bool router_make_room(struct router *r, unsigned n)
{
	if (!crypto_grow(r->crypto, n + 1)) /* and the control thread */
		return false;
	list_for_each(node, &r->contacts) {
		if (!contact_make_room(container_of(node, struct contact, node), n))
			return false;
	}
	for (size_t i = 0; i < r->n_networks; i++)
		if (!network_make_room(r->networks[i], n))
			return false;
	if (!hire(r, n) || (r->streaming && !router_open_mailboxes(r, n)))
		return false;
	if (r->n_made < n)
		r->n_made = n;
	return true;
}

/* Sends by it from now on. */
static void worker_use_link(struct worker *w, struct link *link, uint8_t l)
{
	w->links[l] = link;
	if (w->n_links <= l)
		w->n_links = l + 1u;
}

void router_deal(struct router *r, unsigned n, mono_t now)
{
	for (unsigned i = n; i < r->n_workers; i++)
		held_hand_over(&r->workers[i], r->workers, n);
	for (unsigned i = 0; i < r->n_workers; i++)
		link_stream_leave(&r->workers[i], now);
	for (unsigned i = 0; i < n; i++)
		r->workers[i].count = n;
	r->n_workers = n;
	list_for_each(node, &r->ports) {
		struct port *port = container_of(node, struct port, node);

		port->worker = &r->workers[port->number % n];
		if (port->streams) {
			r->streams[port->number] = port;
			counter_add(&port->worker->counters.made, streams_waiting(port->streams));
		}
		if (port->link && port->number < n)
			worker_use_link(&r->workers[port->number], port->link, port->l);
	}
	list_for_each(node, &r->contacts) {
		peer_deal_lanes(container_of(node, struct contact, node)->peer, n);
	}
}

void router_dismiss(struct router *r, mono_t now)
{
	while (router_notes(r, now))
		;
	for (unsigned i = r->n_workers; i < r->n_made; i++)
		worker_dismiss(&r->workers[i]);
}

int router_read(struct router *r, unsigned number, struct intercept *in)
{
	struct port *port = port_new(&r->ports, number, in, NULL, 0);
	int e;

	if (!port) {
		in->ops->close(in);
		return -ENOMEM;
	}
	port->worker = &r->workers[number % r->n_workers];
	e = port->worker->loop ? loop_add(port->worker->loop, &port->source, EPOLLIN) : 0;
	if (e)
		port_free(port);
	return e;
}

void router_close_ports(struct router *r)
{
	list_for_each(node, &r->ports) {
		port_free(container_of(node, struct port, node));
	}
	memset(r->streams, 0, sizeof(r->streams));
	for (unsigned i = 0; i < r->n_made; i++) {
		r->workers[i].n_links = 0;
		r->workers[i].answer = NULL;
		atomic_store(&r->workers[i].inject, NULL);
	}
}
