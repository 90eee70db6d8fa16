/*
 * From one state of the tables to another in confirmed steps.
 *
 * The registry tells which networks are about to change, before they do: the first
 * time, the network's table is taken as it was. In the end it is computed anew. The
 * work is that of these networks, whatever else there is.
 *
 * Aliases are a router's own: a member here that is in `from` before and in `to` after
 * may be sent to under either. That others are taken in by an alias that shouldn't be
 * is not possible, since the frame has to pass all checks of `to`.
 */
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/tables.h"

struct ids {
	size_t n, room;
	uint32_t *at;
};

/* A router has a part in a network, by its place among those that change. */
struct part {
	uint32_t router, place;
};

/* The changing networks, before or after, and by router who has a part in which. */
struct state {
	struct networks networks;
	struct part *parts; /* by router, place */
	size_t n_parts;
};

struct tables_change {
	struct registry *registry; /* NULL: finished */
	struct registry_observer observer;
	struct state before, after; /* networks of the same IDs, once finished */
	size_t room;
	struct ids touched, routers, tinies;
	bool aliases;
};

/* ---- sets of IDs --------------------------------------------------------------- */

static void ids_add(struct ids *l, uint32_t id)
{
	if (l->n && l->at[l->n - 1] == id)
		return;
	l->at = mem_more(l->at, l->n, &l->room, sizeof(*l->at));
	l->at[l->n++] = id;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void ids_sort(struct ids *l)
{
	size_t top = 0;

	if (l->n)
		qsort(l->at, l->n, sizeof(*l->at), compare_ids);
	for (size_t i = 0; i < l->n; i++)
		if (!top || l->at[top - 1] != l->at[i])
			l->at[top++] = l->at[i];
	l->n = top;
}

/* ---- watching ------------------------------------------------------------------ */

static void on_network(void *arg, uint32_t id, const struct vn *vn)
{
	struct tables_change *c = arg;
	struct networks *l = &c->before.networks;
	size_t at = l->n;

	if (networks_get(l, id))
		return;
	l->at = mem_more(l->at, l->n, &c->room, sizeof(*l->at));
	for (; at && l->at[at - 1]->id > id; at--)
		l->at[at] = l->at[at - 1];
	l->at[at] = network_table_new(id, vn);
	l->n++;
}

static void on_router(void *arg, uint32_t id)
{
	struct tables_change *c = arg;

	ids_add(&c->routers, id);
}

static void on_tiny(void *arg, uint32_t router)
{
	struct tables_change *c = arg;

	ids_add(&c->tinies, router);
}

struct tables_change *tables_change_new(struct registry *r)
{
	struct tables_change *c = mem_new(1, sizeof(*c));

	c->registry = r;
	c->observer = (struct registry_observer){ c, on_network, on_router, on_tiny };
	registry_observe(r, &c->observer);
	return c;
}

void tables_change_free(struct tables_change *c)
{
	if (!c)
		return;
	if (c->registry)
		registry_observe(c->registry, NULL);
	networks_done(&c->before.networks);
	networks_done(&c->after.networks);
	free(c->before.parts);
	free(c->after.parts);
	free(c->touched.at);
	free(c->routers.at);
	free(c->tinies.at);
	free(c);
}

bool tables_change_concerns(const struct tables_change *c, const struct router *router)
{
	const struct networks *l = &c->before.networks;
	size_t n = 0;

	for (size_t i = 0; i < l->n && !n; i++)
		network_table_of(l->at[i], router->record.id, &n);
	if (n)
		return true;
	list_for_each(node, &router->hosts) {
		const struct host *h = container_of(node, struct host, by_router);

		for (uint32_t i = 0; i < h->n_vns; i++)
			if (networks_get(l, h->vns[i]->id))
				return true;
	}
	return false;
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	if (x->router != y->router)
		return x->router < y->router ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static void find_parts(struct state *s, struct ids *touched)
{
	size_t room = 0;

	for (size_t i = 0; i < s->networks.n; i++) {
		const struct network_table *t = s->networks.at[i];

		for (size_t k = 0; k < t->n; k = network_table_next(t, k)) {
			s->parts = mem_more(s->parts, s->n_parts, &room, sizeof(*s->parts));
			s->parts[s->n_parts++] = (struct part){ t->rows[k].router, (uint32_t)i };
			ids_add(touched, t->rows[k].router);
		}
	}
	if (s->n_parts)
		qsort(s->parts, s->n_parts, sizeof(*s->parts), compare_parts);
}

/* The networks that a router has a part in. */
static const struct part *parts_of(const struct state *s, uint32_t router, size_t *ret_n)
{
	size_t low = 0, high = s->n_parts, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->parts[middle].router < router)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + n < s->n_parts && s->parts[low + n].router == router)
		n++;
	*ret_n = n;
	return n ? s->parts + low : NULL;
}

static struct alias *find_aliases(const struct tables_change *c, uint32_t router, size_t *ret_n);

void tables_change_finish(struct tables_change *c)
{
	struct networks *before = &c->before.networks, *after = &c->after.networks;
	size_t n = 0;

	registry_observe(c->registry, NULL);
	after->at = mem_new(before->n, sizeof(*after->at));
	for (size_t i = 0; i < before->n; i++) {
		struct network_table *was = before->at[i], *is;

		is = network_table_new(was->id, registry_vn(c->registry, was->id));
		if (network_table_equal(was, is) && was->protection == is->protection) {
			network_table_unref(was);
			network_table_unref(is);
			continue;
		}
		before->at[n] = was;
		after->at[n++] = is;
	}
	before->n = after->n = n;
	c->registry = NULL;
	find_parts(&c->before, &c->touched);
	find_parts(&c->after, &c->touched);
	ids_sort(&c->touched);
	ids_sort(&c->routers);
	ids_sort(&c->tinies);
	for (size_t i = 0; !c->aliases && i < c->touched.n; i++) {
		free(find_aliases(c, c->touched.at[i], &n));
		c->aliases = n;
	}
}

size_t tables_change_touched(const struct tables_change *c, const uint32_t **ret)
{
	*ret = c->touched.at;
	return c->touched.n;
}

size_t tables_change_routers(const struct tables_change *c, const uint32_t **ret)
{
	*ret = c->routers.at;
	return c->routers.n;
}

size_t tables_change_tinies(const struct tables_change *c, const uint32_t **ret)
{
	*ret = c->tinies.at;
	return c->tinies.n;
}

/* ---- steps --------------------------------------------------------------------- */

unsigned tables_change_steps(const struct tables_change *c)
{
	return !c->before.networks.n ? 0 : c->aliases ? STEP_LAST : STEP_LAST - 1;
}

static void part_of(const struct state *s, uint32_t router, struct networks *ret)
{
	size_t n;
	const struct part *parts = parts_of(s, router, &n);

	*ret = (struct networks){ .at = mem_new(n, sizeof(*ret->at)) };
	for (; ret->n < n; ret->n++)
		ret->at[ret->n] = network_table_ref(s->networks.at[parts[ret->n].place]);
}

/* Whether the router has an address in both. */
static bool overlap(const struct network_table *a, const struct network_table *b, uint32_t router)
{
	size_t n, m;
	const struct network_row *x = network_table_of(a, router, &n);
	const struct network_row *y = network_table_of(b, router, &m);

	while (n && m) {
		if (prefix_covers(&x->prefix, &y->prefix) || prefix_covers(&y->prefix, &x->prefix))
			return true;
		if (prefix_compare(&x->prefix, &y->prefix) < 0)
			x++, n--;
		else
			y++, m--;
	}
	return false;
}

static struct alias *find_aliases(const struct tables_change *c, uint32_t router, size_t *ret_n)
{
	struct alias *aliases = NULL;
	size_t n_was, n_is, n = 0, room = 0;
	const struct part *was = parts_of(&c->before, router, &n_was);
	const struct part *is = parts_of(&c->after, router, &n_is);

	for (size_t i = 0; i < n_was; i++)
		for (size_t k = 0; k < n_is; k++) {
			const struct network_table *from = c->before.networks.at[was[i].place];
			const struct network_table *to = c->after.networks.at[is[k].place];

			if (from->id == to->id || !overlap(from, to, router))
				continue;
			aliases = mem_more(aliases, n, &room, sizeof(*aliases));
			aliases[n++] = (struct alias){ from->id, to->id };
		}
	*ret_n = n;
	return aliases;
}

void tables_change_image(const struct tables_change *c, unsigned step, uint32_t router,
			 struct step_image *ret)
{
	*ret = (struct step_image){ 0 };
	part_of(step < 2 ? &c->before : &c->after, router, &ret->send);
	part_of(step < 1 ? &c->before : &c->after, router, &ret->receive);
	if (step == 1 || step == 2)
		ret->aliases = find_aliases(c, router, &ret->n_aliases);
}

void step_image_done(struct step_image *image)
{
	networks_done(&image->send);
	networks_done(&image->receive);
	free(image->aliases);
	*image = (struct step_image){ 0 };
}
