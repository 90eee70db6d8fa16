/*
 * The networks of an image as they are at its router. The authority's rows say of a tiny's
 * addresses only which router delivers them. Here they are the tiny's and nobody else's: out
 * of this router's own rows come rows of the tiny, as if it were another router behind this
 * one. So a host of this site that takes such an address is no member, and packets for it go
 * to the tiny alone.
 *
 * Networks without such rows, which is most, are the image's own tables; those in which nothing
 * has changed, the ones that were made before.
 */
#include <stdlib.h>
#include <string.h>

#include "router/change.h"

/* Whose an address is. */
struct place {
	struct ip ip;
	uint32_t tiny;
};

struct places {
	size_t n;
	struct place *at; /* by address, of one family behind the other */
};

static int compare_ips(const struct ip *a, const struct ip *b)
{
	const struct prefix x = prefix_host(a), y = prefix_host(b);

	return prefix_compare(&x, &y);
}

static int compare_places(const void *a, const void *b)
{
	return compare_ips(&((const struct place *)a)->ip, &((const struct place *)b)->ip);
}

/* Of those tinies that are this router's. False: out of memory. */
static bool find_places(struct places *ret, const struct image *image)
{
	ret->n = 0;
	ret->at = calloc(image->n_tinies * IMAGE_TINY_ADDRESSES + 1, sizeof(*ret->at));
	if (!ret->at)
		return false;
	for (size_t i = 0; i < image->n_tinies; i++) {
		const struct image_tiny *t = image->tinies[i];

		for (unsigned k = 0; t->here && k < t->n_addresses; k++)
			ret->at[ret->n++] = (struct place){ t->addresses[k], t->id };
	}
	qsort(ret->at, ret->n, sizeof(*ret->at), compare_places);
	return true;
}

/* The places inside a prefix. */
static struct places inside(const struct places *all, const struct prefix *p)
{
	struct places ret = { .at = all->at };
	size_t low = 0, high = all->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (compare_ips(&all->at[middle].ip, &p->ip) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	ret.at += low;
	while (low + ret.n < all->n && prefix_contains(p, &ret.at[ret.n].ip))
		ret.n++;
	return ret;
}

/* A table that grows. */
struct making {
	struct network_table *table;
	size_t room;
	uint32_t self;
	bool short_of_memory;
};

static void put_row(struct making *m, uint32_t router, const struct prefix *p)
{
	if (!m->short_of_memory && m->table->n == m->room) {
		size_t room = m->room * 2 + 64;
		struct network_table *t = realloc(m->table, sizeof(*t) + room * sizeof(*t->rows));

		m->short_of_memory = !t;
		if (t) {
			m->table = t;
			m->room = room;
		}
	}
	if (!m->short_of_memory)
		m->table->rows[m->table->n++] = (struct network_row){ router, *p };
}

/* One of this router's own rows: what is a tiny's, and prefixes of what remains. Not deeper
 * than an address has bits. */
static void carve(struct making *m, const struct prefix *p, const struct places *in)
{
	struct prefix half = *p;
	struct places part;

	if (!in->n || p->len == ip_bits(&p->ip)) {
		put_row(m, in->n ? in->at[0].tiny : m->self, p);
		return;
	}
	half.len++;
	part = inside(in, &half);
	carve(m, &half, &part);
	half.ip.b[p->len / 8] |= (uint8_t)(0x80 >> p->len % 8);
	part = inside(in, &half);
	carve(m, &half, &part);
}

static int compare_rows(const void *a, const void *b)
{
	return network_row_compare(a, b);
}

/* NULL: out of memory. */
static struct network_table *make(const struct network_table *from, uint32_t self,
				  const struct places *places)
{
	struct making m = { .table = network_table_room(from->id, from->n + 64),
			    .room = from->n + 64,
			    .self = self };

	if (!m.table)
		return NULL;
	m.table->protection = from->protection;
	for (size_t i = 0; i < from->n; i++) {
		const struct network_row *row = &from->rows[i];
		struct places in;

		if (row->router != self) {
			put_row(&m, row->router, &row->prefix);
			continue;
		}
		in = inside(places, &row->prefix);
		carve(&m, &row->prefix, &in);
	}
	if (m.short_of_memory) {
		network_table_unref(m.table);
		return NULL;
	}
	qsort(m.table->rows, m.table->n, sizeof(*m.table->rows), compare_rows);
	return m.table;
}

static bool has_tinies(const struct network_table *t, uint32_t self, const struct places *places)
{
	size_t n;
	const struct network_row *rows = network_table_of(t, self, &n);

	for (size_t i = 0; places->n && i < n; i++)
		if (inside(places, &rows[i].prefix).n)
			return true;
	return false;
}

static bool same_tinies(const struct image *a, const struct image *b)
{
	if (a->n_tinies != b->n_tinies)
		return false;
	for (size_t i = 0; i < a->n_tinies; i++)
		if (a->tinies[i] != b->tinies[i] && !image_tiny_equal(a->tinies[i], b->tinies[i]))
			return false;
	return true;
}

/* What was made of the same table before; NULL: nothing was. */
static const struct network_table *known(const struct given *old, const struct image_network *n)
{
	size_t low = 0, high = old ? old->image->n_networks : 0;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct image_network *was = &old->image->networks[middle];

		if (was->table == n->table && was->sides == n->sides)
			return old->tables->networks[middle].table;
		if (was->table->id < n->table->id ||
		    (was->table->id == n->table->id && was->sides < n->sides))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct image *given_tables(const struct image *image, const struct given *old)
{
	const struct given *like = old && same_tinies(old->image, image) ? old : NULL;
	struct image *ret = image_new();
	struct places places = { 0 };
	bool ok = ret != NULL;

	if (ret) {
		ret->router = image->router;
		ret->networks = calloc(image->n_networks + 1, sizeof(*ret->networks));
		ok = ret->networks && find_places(&places, image);
	}
	for (size_t i = 0; ok && i < image->n_networks; i++) {
		struct image_network n = image->networks[i];
		const struct network_table *before = known(like, &n);

		if (before)
			n.table = network_table_ref(before);
		else if (has_tinies(n.table, image->router, &places))
			n.table = make(n.table, image->router, &places);
		else
			n.table = network_table_ref(n.table);
		ok = n.table != NULL;
		if (ok)
			ret->networks[ret->n_networks++] = n;
	}
	free(places.at);
	if (ok)
		return ret;
	if (ret)
		image_free(ret);
	return NULL;
}
