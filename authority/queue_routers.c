/*
 * The choice of queue routers: those that a router's record names, in its order, as far as
 * they can serve now; for one that names none, a few of all that can, by rendezvous hashing.
 * So they share the load, and one that comes or goes changes the choice of those alone that
 * have it or will have it. Each router itself then uses the first that lives, or a later one
 * that is clearly nearer. What the figures of the heartbeats say (steer.h) goes before.
 */
#include "authority/queue_routers.h"

#include <stdlib.h>
#include <string.h>

#include "authority/index.h"
#include "authority/memory.h"

static uint32_t weight(uint32_t router, uint32_t queue_router)
{
	const uint32_t both[] = { router, queue_router };

	return index_hash(both, sizeof(both));
}

/* Keeps the heaviest, those first. */
static void offer(struct queue_routers *l, const struct router *limited, const struct router *q)
{
	uint32_t id = limited->record.id, w = weight(id, q->record.id);
	unsigned at = l->n;

	while (at && (weight(id, l->at[at - 1]) < w ||
		      (weight(id, l->at[at - 1]) == w && l->at[at - 1] > q->record.id)))
		at--;
	if (at == QUEUE_ROUTERS_CHOSEN)
		return;
	if (l->n < QUEUE_ROUTERS_CHOSEN)
		l->n++;
	for (unsigned i = l->n - 1; i > at; i--)
		l->at[i] = l->at[i - 1];
	l->at[at] = q->record.id;
}

/* Those of the order first that the figures have given, as far as they are among them. */
static void arrange(const struct registry *r, const struct router *router, struct queue_routers *l)
{
	char *order = mem_text(router->record.queue_order), *rest = order, *name;
	struct queue_routers is = { 0 };

	while ((name = strsep(&rest, " "))) {
		const struct router *q = registry_router(r, name);

		if (q && queue_routers_have(l, q->record.id) &&
		    !queue_routers_have(&is, q->record.id))
			is.at[is.n++] = q->record.id;
	}
	free(order);
	for (unsigned i = 0; i < l->n; i++)
		if (!queue_routers_have(&is, l->at[i]))
			is.at[is.n++] = l->at[i];
	*l = is;
}

static void find(const struct registry *r, const struct router *router, struct queue_routers *ret)
{
	const struct names *named = &router->record.queue_routers;

	ret->n = 0;
	if (!router_active(router) || !router_is_limited(router))
		return;
	for (size_t i = 0; i < named->n && ret->n < IMAGE_QUEUE_ROUTERS; i++) {
		const struct router *q = registry_router(r, named->at[i]);

		if (q && q != router && router_serves(q))
			ret->at[ret->n++] = q->record.id;
	}
	if (named->n)
		return;
	list_for_each(node, registry_relays(r)) {
		const struct router *q = container_of(node, struct router, by_relay);

		if (q != router && router_serves(q))
			offer(ret, router, q);
	}
}

void queue_routers_of(const struct registry *r, const struct router *router,
		      struct queue_routers *ret)
{
	find(r, router, ret);
	if (ret->n > 1 && router->record.queue_order[0])
		arrange(r, router, ret);
}

bool queue_routers_have(const struct queue_routers *l, uint32_t id)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->at[i] == id)
			return true;
	return false;
}

bool queue_routers_equal(const struct queue_routers *a, const struct queue_routers *b)
{
	bool same = a->n == b->n;

	for (unsigned i = 0; same && i < a->n; i++)
		same = a->at[i] == b->at[i];
	return same;
}
