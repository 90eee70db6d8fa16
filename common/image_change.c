/*
 * From one image to the next: finding what is different, applying it.
 *
 * A network that changes is written as its entries afterwards, each with the rows that
 * go from and come to an entry that is there before; so one table can become two while
 * a step takes, and one again, without a row that is sent twice. Networks that don't
 * change are shared by both images.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/image_private.h"

void image_change_free(struct image_change *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_networks; i++)
		for (unsigned k = 0; k < 2; k++) {
			network_table_unref(c->networks[i].entries[k].gone);
			network_table_unref(c->networks[i].entries[k].come);
		}
	for (size_t i = 0; i < c->n_peers; i++)
		image_peer_unref(c->peers[i]);
	free(c->networks);
	free(c->aliases);
	free(c->gone);
	free(c->peers);
	free(c->tinies_gone);
	tinies_free(c->tinies, c->n_tinies);
	free(c);
}

struct version image_change_version(const struct image_change *c)
{
	return c->version;
}

/* The entries of one network in an image, of which there are up to two, from a place on. */
static unsigned entries_at(const struct image *image, size_t at)
{
	if (at >= image->n_networks)
		return 0;
	return at + 1 < image->n_networks &&
			       image->networks[at].table->id == image->networks[at + 1].table->id
		       ? 2
		       : 1;
}

static uint32_t id_at(const struct image *image, size_t at)
{
	return at < image->n_networks ? image->networks[at].table->id : 0;
}

/* ---- finding -------------------------------------------------------------------- */

static void count_row(void *arg, const struct network_row *row)
{
	(void)row;
	++*(size_t *)arg;
}

static void add_row(void *arg, const struct network_row *row)
{
	struct network_table *t = *(struct network_table **)arg;

	t->rows[t->n++] = *row;
}

struct both {
	struct network_table *gone, *come;
};

static void add_gone(void *arg, const struct network_row *row)
{
	add_row(&((struct both *)arg)->gone, row);
}

static void add_come(void *arg, const struct network_row *row)
{
	add_row(&((struct both *)arg)->come, row);
}

/* What makes this entry, from the one of these that needs least. False: no memory. */
static bool find_entry(const struct image_network *from, unsigned n, const struct image_network *to,
		       struct entry_change *ret)
{
	const struct image_network *best = NULL;
	size_t least = to->table->n, gone = 0;
	struct both both;

	for (unsigned i = 0; i < n; i++) {
		size_t rows = 0;

		network_table_differ(from[i].table, to->table, count_row, count_row, &rows);
		if (!from[i].sides || rows > least)
			continue;
		least = rows;
		best = &from[i];
	}
	*ret = (struct entry_change){ .sides = to->sides,
				      .base = best ? best->sides : 0,
				      .protection = to->protection };
	gone = best ? (least < best->table->n ? least : best->table->n) : 0;
	both.gone = ret->gone = network_table_room(to->table->id, gone);
	both.come = ret->come = network_table_room(to->table->id, least);
	if (!both.gone || !both.come)
		return false;
	network_table_differ(best ? best->table : NULL, to->table, add_gone, add_come, &both);
	return true;
}

static bool same_entries(const struct image_network *a, unsigned n, const struct image_network *b,
			 unsigned m)
{
	bool same = n == m;

	for (unsigned i = 0; same && i < n; i++)
		same = a[i].sides == b[i].sides && a[i].protection == b[i].protection &&
		       (a[i].table == b[i].table || network_table_equal(a[i].table, b[i].table));
	return same;
}

static bool find_networks(struct image_change *c, const struct image *from, const struct image *to)
{
	size_t i = 0, k = 0;

	c->networks = calloc(from->n_networks + to->n_networks + 1, sizeof(*c->networks));
	if (!c->networks)
		return false;
	while (i < from->n_networks || k < to->n_networks) {
		uint32_t a = id_at(from, i), b = id_at(to, k), id = !a || (b && b < a) ? b : a;
		unsigned n = a == id ? entries_at(from, i) : 0, m = b == id ? entries_at(to, k) : 0;
		struct network_change *change = &c->networks[c->n_networks];

		if (!same_entries(from->networks + i, n, to->networks + k, m)) {
			c->n_networks++;
			change->id = id;
			change->n = (uint8_t)m;
			for (unsigned e = 0; e < m; e++)
				if (!find_entry(from->networks + i, n, &to->networks[k + e],
						&change->entries[e]))
					return false;
		}
		i += n;
		k += m;
	}
	return true;
}

static bool find_peers(struct image_change *c, const struct image *from, const struct image *to)
{
	size_t i = 0, k = 0;

	c->gone = calloc(from->n_peers + 1, sizeof(*c->gone));
	c->peers = calloc(to->n_peers + 1, sizeof(*c->peers));
	if (!c->gone || !c->peers)
		return false;
	while (i < from->n_peers || k < to->n_peers) {
		const struct image_peer *a = i < from->n_peers ? from->peers[i] : NULL;
		const struct image_peer *b = k < to->n_peers ? to->peers[k] : NULL;

		if (a && (!b || a->id < b->id)) {
			c->gone[c->n_gone++] = a->id;
			i++;
			continue;
		}
		if (!a || b->id < a->id || !(a == b || image_peer_equal(a, b)))
			c->peers[c->n_peers++] = image_peer_ref(b);
		i += a && a->id == b->id;
		k++;
	}
	return true;
}

struct image_change *image_change_new(const struct image *from, const struct image *to)
{
	struct image_change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->base = from->version;
	c->version = to->version;
	c->router = to->router;
	c->step = to->step;
	c->self = to->self;
	c->aliases = calloc(to->n_aliases + 1, sizeof(*c->aliases));
	if (c->aliases && find_networks(c, from, to) && find_peers(c, from, to) &&
	    tinies_find(c, from, to)) {
		c->n_aliases = to->n_aliases;
		if (to->n_aliases)
			memcpy(c->aliases, to->aliases, to->n_aliases * sizeof(*c->aliases));
		return c;
	}
	image_change_free(c);
	return NULL;
}

/* ---- applying ------------------------------------------------------------------- */

/* The rows of a table without some, which all are there, and with others, none of which
 * is. 0, -EBADMSG, -ENOMEM. */
static int make_table(const struct network_table *base, const struct entry_change *e, uint32_t id,
		      struct network_table **ret)
{
	const struct network_table *gone = e->gone, *come = e->come;
	size_t n = base ? base->n : 0, i = 0, g = 0, k = 0;
	struct network_table *t;

	if (base && !gone->n && !come->n) {
		*ret = network_table_ref(base);
		return 0;
	}
	t = network_table_room(id, n + come->n);
	if (!t)
		return -ENOMEM;
	while (i < n || k < come->n) {
		int order = i == n	   ? 1
			    : k == come->n ? -1
					   : network_row_compare(&base->rows[i], &come->rows[k]);

		if (order == 0)
			break;
		if (order > 0)
			t->rows[t->n++] = come->rows[k++];
		else if (g < gone->n && !network_row_compare(&gone->rows[g], &base->rows[i]))
			g++, i++;
		else
			t->rows[t->n++] = base->rows[i++];
	}
	*ret = t;
	return i < n || k < come->n || g < gone->n ? -EBADMSG : 0;
}

static int apply_network(const struct image_network *from, unsigned n,
			 const struct network_change *c, struct image *to)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct entry_change *e = &c->entries[i];
		struct image_network *net = &to->networks[to->n_networks];
		const struct network_table *base = NULL;
		int error;

		for (unsigned k = 0; e->base && k < n; k++)
			if (from[k].sides == e->base)
				base = from[k].table;
		if (e->base && !base)
			return -EBADMSG;
		net->sides = e->sides;
		net->protection = e->protection;
		error = make_table(base, e, c->id, &net->table);
		to->n_networks += net->table != NULL;
		if (error)
			return error;
	}
	return 0;
}

static int apply_networks(const struct image *from, const struct image_change *c, struct image *to)
{
	size_t i = 0, k = 0;

	to->networks = calloc(from->n_networks + 2 * c->n_networks + 1, sizeof(*to->networks));
	if (!to->networks)
		return -ENOMEM;
	while (i < from->n_networks || k < c->n_networks) {
		const struct network_change *change = k < c->n_networks ? &c->networks[k] : NULL;
		unsigned n = entries_at(from, i);
		int error;

		if (!change || (n && id_at(from, i) < change->id)) {
			to->networks[to->n_networks] = from->networks[i++];
			network_table_ref(to->networks[to->n_networks++].table);
			continue;
		}
		if (!n || id_at(from, i) != change->id)
			n = 0;
		if (!n && !change->n)
			return -EBADMSG;
		error = apply_network(from->networks + i, n, change, to);
		if (error)
			return error;
		i += n;
		k++;
	}
	return 0;
}

static int apply_peers(const struct image *from, const struct image_change *c, struct image *to)
{
	size_t i = 0, k = 0, g = 0;

	to->peers = calloc(from->n_peers + c->n_peers + 1, sizeof(*to->peers));
	if (!to->peers)
		return -ENOMEM;
	while (i < from->n_peers || k < c->n_peers) {
		struct image_peer *a = i < from->n_peers ? from->peers[i] : NULL;
		struct image_peer *b = k < c->n_peers ? c->peers[k] : NULL;

		if (b && (!a || b->id <= a->id)) {
			i += a && a->id == b->id;
			k++;
			to->peers[to->n_peers++] = image_peer_ref(b);
		} else {
			i++;
			if (g < c->n_gone && c->gone[g] == a->id)
				g++;
			else
				to->peers[to->n_peers++] = image_peer_ref(a);
		}
	}
	return g < c->n_gone ? -EBADMSG : 0;
}

int image_apply_change(const struct image *from, const struct image_change *c, struct image **ret)
{
	struct image *to;
	int error;

	if (from->router != c->router || version_compare(from->version, c->base) != 0)
		return -ESTALE;
	to = image_new();
	if (!to)
		return -ENOMEM;
	to->version = c->version;
	to->router = c->router;
	to->step = c->step;
	to->self = c->self;
	to->aliases = calloc(c->n_aliases + 1, sizeof(*to->aliases));
	error = to->aliases ? apply_networks(from, c, to) : -ENOMEM;
	if (!error)
		error = apply_peers(from, c, to);
	if (!error)
		error = tinies_apply(from, c, to);
	if (!error) {
		to->n_aliases = c->n_aliases;
		if (c->n_aliases)
			memcpy(to->aliases, c->aliases, c->n_aliases * sizeof(*to->aliases));
		error = image_valid(to) ? 0 : -EBADMSG;
	}
	if (error)
		image_free(to);
	else
		*ret = to;
	return error;
}
