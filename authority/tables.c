/*
 * The table of a network, and what a router has a part in.
 *
 * Members are kept in the order of routers and first addresses, so that a table is
 * hardly more than a copy. Then each router's addresses are joined to prefixes: a
 * stack on which the two halves of a prefix, once both are there, become one.
 */
#include "authority/tables.h"

#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

static int compare_rows(const void *a, const void *b)
{
	return network_row_compare(a, b);
}

/* If the two are halves of one prefix, the first becomes that. */
static bool join(struct network_row *a, const struct network_row *b)
{
	struct prefix whole = a->prefix;
	unsigned bit;

	if (a->router != b->router || a->prefix.len != b->prefix.len ||
	    a->prefix.ip.family != b->prefix.ip.family || !whole.len)
		return false;
	bit = --whole.len;
	if (whole.ip.b[bit / 8] & 0x80 >> bit % 8 || !prefix_contains(&whole, &b->prefix.ip) ||
	    prefix_equal(&a->prefix, &b->prefix))
		return false;
	a->prefix = whole;
	return true;
}

struct network_table *network_table_new(uint32_t id, const struct vn *vn)
{
	size_t n_members = vn ? vn->n_members : 0, n = 0, top = 0;
	struct network_table *t;
	bool sorted = true;

	for (size_t i = 0; i < n_members; i++)
		n += vn->members[i]->n_addresses;
	t = network_table_room(id, n);
	if (!t)
		abort();
	t->protection = vn ? (uint8_t)vn->record.protection : VN_DEFAULT;
	for (size_t i = 0; i < n_members; i++) {
		const struct host *h = vn->members[i];

		for (uint32_t k = 0; k < h->n_addresses; k++) {
			const struct router *r = router_for(h, &h->addresses[k].ip);
			struct network_row *row = &t->rows[t->n];

			if (!r)
				continue;
			t->n++;
			row->router = r->record.id;
			row->prefix = prefix_host(&h->addresses[k].ip);
			sorted = sorted && (t->n == 1 || compare_rows(row - 1, row) < 0);
		}
	}
	if (!sorted)
		qsort(t->rows, t->n, sizeof(*t->rows), compare_rows);
	for (size_t i = 0; i < t->n; i++) {
		t->rows[top++] = t->rows[i];
		while (top > 1 && join(&t->rows[top - 2], &t->rows[top - 1]))
			top--;
	}
	t->n = top;
	return t;
}

void networks_done(struct networks *l)
{
	for (size_t i = 0; i < l->n; i++)
		network_table_unref(l->at[i]);
	free(l->at);
	*l = (struct networks){ 0 };
}

const struct network_table *networks_get(const struct networks *l, uint32_t id)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->at[middle]->id == id)
			return l->at[middle];
		if (l->at[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int compare_vns(const void *a, const void *b)
{
	const struct vn *x = *(struct vn *const *)a, *y = *(struct vn *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static bool delivers(const struct router *router, const struct host *h)
{
	for (uint32_t i = 0; i < h->n_addresses; i++)
		if (router_for(h, &h->addresses[i].ip) == router)
			return true;
	return false;
}

/* The VNs in which a router delivers to members, each once, by ID; to be freed. */
static const struct vn **vns_of(const struct router *router, size_t *ret_n)
{
	const struct vn **vns = NULL;
	size_t n = 0, room = 0, top = 0;

	list_for_each(at, &router->site->routers) {
		const struct router *of = container_of(at, struct router, by_site);

		if (of != router && router_carries(of))
			continue;
		list_for_each(node, &of->hosts) {
			const struct host *h = container_of(node, struct host, by_router);

			if (!delivers(router, h))
				continue;
			for (uint32_t i = 0; i < h->n_vns; i++) {
				vns = mem_more(vns, n, &room, sizeof(*vns));
				vns[n++] = h->vns[i];
			}
		}
	}
	if (n)
		qsort(vns, n, sizeof(*vns), compare_vns);
	for (size_t i = 0; i < n; i++)
		if (!top || vns[top - 1] != vns[i])
			vns[top++] = vns[i];
	*ret_n = top;
	return vns;
}

void networks_of_router(const struct router *router, struct networks *ret)
{
	size_t n;
	const struct vn **vns = vns_of(router, &n);

	*ret = (struct networks){ .at = mem_new(n, sizeof(*ret->at)) };
	for (; ret->n < n; ret->n++)
		ret->at[ret->n] = network_table_new(vns[ret->n]->id, vns[ret->n]);
	free(vns);
}
