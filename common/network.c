/*
 * The rows of one network: looking them up, comparing them.
 */
#include "common/network.h"

#include <stdlib.h>

struct network_table *network_table_room(uint32_t id, size_t room)
{
	struct network_table *t;

	if (room > (SIZE_MAX / 2 - sizeof(*t)) / sizeof(*t->rows))
		return NULL;
	t = malloc(sizeof(*t) + room * sizeof(*t->rows));
	if (t)
		*t = (struct network_table){ .refs = 1, .id = id };
	return t;
}

int network_row_compare(const struct network_row *a, const struct network_row *b)
{
	if (a->router != b->router)
		return a->router < b->router ? -1 : 1;
	return prefix_compare(&a->prefix, &b->prefix);
}

bool network_table_valid(const struct network_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct network_row *row = &t->rows[i];

		if (!row->router || !t->id)
			return false;
		if (i && (network_row_compare(row - 1, row) >= 0 ||
			  (row[-1].router == row->router &&
			   prefix_covers(&row[-1].prefix, &row->prefix))))
			return false;
	}
	return true;
}

struct network_table *network_table_ref(const struct network_table *t)
{
	struct network_table *mine = (struct network_table *)t;

	mine->refs++;
	return mine;
}

void network_table_unref(struct network_table *t)
{
	if (t && !--t->refs)
		free(t);
}

/* The first row that is not below this one. */
static size_t lower_bound(const struct network_table *t, const struct network_row *row)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (network_row_compare(&t->rows[middle], row) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct network_row *network_table_of(const struct network_table *t, uint32_t router,
					   size_t *ret_n)
{
	struct network_row first = { .router = router };
	size_t from = lower_bound(t, &first), to;

	first.router = router + 1;
	to = router == UINT32_MAX ? t->n : lower_bound(t, &first);
	*ret_n = to - from;
	return t->rows + from;
}

size_t network_table_next(const struct network_table *t, size_t row)
{
	const uint32_t router = t->rows[row].router;

	while (++row < t->n && t->rows[row].router == router)
		;
	return row;
}

const struct network_row *network_table_at(const struct network_table *t, uint32_t router,
					   const struct ip *ip)
{
	struct network_row row = { .router = router, .prefix = prefix_host(ip) };
	size_t at;

	/* Rows of one router don't overlap: the one that holds the address is it, or
	 * the last before it. */
	if (router) {
		at = lower_bound(t, &row);
		if (at < t->n && !network_row_compare(&t->rows[at], &row))
			return &t->rows[at];
		if (at && t->rows[at - 1].router == router &&
		    prefix_contains(&t->rows[at - 1].prefix, ip))
			return &t->rows[at - 1];
		/* The prefix that begins with this very address is shorter, so before. */
		return NULL;
	}
	for (at = 0; at < t->n; at++)
		if (prefix_contains(&t->rows[at].prefix, ip))
			return &t->rows[at];
	return NULL;
}

bool network_table_equal(const struct network_table *a, const struct network_table *b)
{
	bool same = a->id == b->id && a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = !network_row_compare(&a->rows[i], &b->rows[i]);
	return same;
}

void network_table_differ(const struct network_table *a, const struct network_table *b,
			  network_row_fn *gone, network_row_fn *come, void *arg)
{
	size_t i = 0, k = 0, n = a ? a->n : 0, m = b ? b->n : 0;

	if (a == b)
		return;
	while (i < n || k < m) {
		int order = i == n   ? 1
			    : k == m ? -1
				     : network_row_compare(&a->rows[i], &b->rows[k]);

		if (order < 0)
			gone(arg, &a->rows[i++]);
		else if (order > 0)
			come(arg, &b->rows[k++]);
		else
			i++, k++;
	}
}
