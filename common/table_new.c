/*
 * An image from rows:
 *   1. copy the rows, sort them by network and prefix, drop exact repetitions;
 *   2. make the networks, with slots in the order of IDs;
 *   3. LNDT: for each attachment, in the order of prefixes, the networks of each, so
 *      that what is around a prefix is there before it;
 *   4. merge each network's rows with the members of this site, which are routes to
 *      the router itself; report what does not go together;
 *   5. look for prefixes that a host of two networks would find in both;
 *   6. fill the GNDTs, unless there were conflicts.
 */
#include <stdlib.h>
#include <string.h>

#include "common/table_private.h"

struct build {
	struct table *t;
	struct lndt_row *lndt; /* sorted, none twice */
	size_t n_lndt;
	struct gndt_row *gndt;
	size_t n_gndt;
	struct entry *entries; /* by slot, then prefix; none twice */
	uint64_t *notes;       /* of the entries: 0 for one that is no row */
	size_t n_entries;
	struct shared_by *shared; /* the sets of two networks or more */
	size_t n_shared;
	struct conflicts conflicts;
};

/* Memory for n elements; never NULL only because n is 0. */
static void *new_array(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

static void sort(void *array, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(array, n, size, compare);
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* ---- 1. rows ------------------------------------------------------------------- */

static int compare_lndt(const void *pa, const void *pb)
{
	const struct lndt_row *a = pa, *b = pb;

	return compare_u32(a->network, b->network) ?: prefix_compare(&a->prefix, &b->prefix) ?:
	       (int)a->attachment - (int)b->attachment;
}

static int compare_lndt_line(const void *pa, const void *pb)
{
	const struct lndt_row *a = pa, *b = pb;

	return compare_lndt(a, b) ?: compare_u32(a->line, b->line);
}

static int compare_gndt(const void *pa, const void *pb)
{
	const struct gndt_row *a = pa, *b = pb;

	return compare_u32(a->network, b->network) ?: prefix_compare(&a->prefix, &b->prefix);
}

static int compare_gndt_line(const void *pa, const void *pb)
{
	const struct gndt_row *a = pa, *b = pb;

	return compare_gndt(a, b) ?: compare_u32(a->line, b->line) ?:
	       compare_u32(a->router, b->router);
}

static bool copy_rows(struct build *b, const struct lndt_row *lndt, size_t n_lndt,
		      const struct gndt_row *gndt, size_t n_gndt)
{
	b->lndt = new_array(n_lndt, sizeof(*lndt));
	b->gndt = new_array(n_gndt, sizeof(*gndt));
	if (!b->lndt || !b->gndt)
		return false;
	if (n_lndt)
		memcpy(b->lndt, lndt, n_lndt * sizeof(*lndt));
	if (n_gndt)
		memcpy(b->gndt, gndt, n_gndt * sizeof(*gndt));
	sort(b->lndt, n_lndt, sizeof(*lndt), compare_lndt_line);
	sort(b->gndt, n_gndt, sizeof(*gndt), compare_gndt_line);
	for (size_t i = 0; i < n_lndt; i++)
		if (!b->n_lndt || compare_lndt(&b->lndt[b->n_lndt - 1], &b->lndt[i]) != 0)
			b->lndt[b->n_lndt++] = b->lndt[i];
	for (size_t i = 0; i < n_gndt; i++)
		if (!b->n_gndt || b->gndt[b->n_gndt - 1].router != b->gndt[i].router ||
		    compare_gndt(&b->gndt[b->n_gndt - 1], &b->gndt[i]) != 0)
			b->gndt[b->n_gndt++] = b->gndt[i];
	return true;
}

/* ---- 2. networks ----------------------------------------------------------------- */

static bool make_networks(struct build *b)
{
	size_t i = 0, k = 0;
	uint32_t slot;

	while (i < b->n_lndt || k < b->n_gndt) {
		uint32_t id = i < b->n_lndt ? b->lndt[i].network : b->gndt[k].network;

		if (k < b->n_gndt && b->gndt[k].network < id)
			id = b->gndt[k].network;
		if (!put_network(b->t, id, &slot))
			return false;
		while (i < b->n_lndt && b->lndt[i].network == id)
			i++;
		while (k < b->n_gndt && b->gndt[k].network == id)
			k++;
	}
	return true;
}

/* ---- 3. LNDT --------------------------------------------------------------------- */

static int compare_attached(const void *pa, const void *pb)
{
	const struct lndt_row *a = *(const struct lndt_row *const *)pa;
	const struct lndt_row *b = *(const struct lndt_row *const *)pb;

	return (int)a->attachment - (int)b->attachment ?: prefix_compare(&a->prefix, &b->prefix) ?:
	       compare_u32(a->network, b->network);
}

/* The networks of one prefix: n rows. Its set can be the cause of a conflict if it has
 * two networks that the prefix around it has not. */
static bool add_set(struct build *b, struct lndt_row **rows, size_t n, uint32_t *slots)
{
	const struct lndt_row *r = rows[0];
	const struct attachment *a = attachment_at(b->t, r->attachment);
	uint32_t around = a ? lpm_around(&a->sets, &r->prefix) : LPM_NONE;
	const struct netset *set;

	for (size_t i = 0; i < n; i++)
		slots[i] = table_slot(b->t, rows[i]->network);
	if (!sets_add(b->t, r->attachment, &r->prefix, slots, (uint32_t)n))
		return false;
	a = attachment_at(b->t, r->attachment);
	set = &set_at(b->t, lpm_get(&a->sets, &r->prefix, NULL))->all;
	if (set->n >= 2 && (around == LPM_NONE || set_at(b->t, around)->all.n < set->n))
		b->shared[b->n_shared++] = (struct shared_by){ set, &r->prefix };
	return true;
}

static bool fill_lndt(struct build *b)
{
	struct lndt_row **rows = new_array(b->n_lndt, sizeof(struct lndt_row *));
	uint32_t *slots = new_array(b->n_lndt, sizeof(*slots)), slot;
	uint64_t note;
	bool ok = false;
	size_t same;

	b->shared = new_array(b->n_lndt, sizeof(*b->shared));
	if (!rows || !slots || !b->shared)
		goto out;
	for (size_t i = 0; i < b->n_lndt; i++) {
		rows[i] = &b->lndt[i];
		slot = table_slot(b->t, rows[i]->network);
		if (!put_place(b->t, rows[i]->file, rows[i]->line, &note) ||
		    !put_member(b->t, slot, rows[i]->attachment, &rows[i]->prefix, note))
			goto out;
	}
	sort(rows, b->n_lndt, sizeof(struct lndt_row *), compare_attached);
	for (size_t i = 0; i < b->n_lndt; i += same) {
		for (same = 1; i + same < b->n_lndt &&
			       rows[i + same]->attachment == rows[i]->attachment &&
			       prefix_equal(&rows[i + same]->prefix, &rows[i]->prefix);)
			same++;
		if (!add_set(b, rows + i, same, slots))
			goto out;
	}
	ok = true;
out:
	free(rows);
	free(slots);
	return ok;
}

/* ---- 4. entries ------------------------------------------------------------------ */

/* A row that says what another one, or a member, has said already is noted alone. */
static void put_entry(struct build *b, const struct entry *e, uint64_t note)
{
	struct entry *last = b->n_entries ? &b->entries[b->n_entries - 1] : NULL;

	if (last && last->slot == e->slot && prefix_equal(last->prefix, e->prefix)) {
		if (check_same_network(&b->conflicts, net_at(b->t, e->slot)->id, last, e) &&
		    !b->notes[b->n_entries - 1])
			b->notes[b->n_entries - 1] = note;
		return;
	}
	b->notes[b->n_entries] = note;
	b->entries[b->n_entries++] = *e;
}

/* Both kinds of rows are sorted by network and prefix: merge them, members
 * first. */
static bool merge_entries(struct build *b)
{
	const struct lndt_row *m = b->lndt, *m_end = m + b->n_lndt;
	const struct gndt_row *g = b->gndt, *g_end = g + b->n_gndt;
	uint32_t slot = 0;
	uint64_t note;

	b->entries = new_array(b->n_lndt + b->n_gndt, sizeof(*b->entries));
	b->notes = new_array(b->n_lndt + b->n_gndt, sizeof(*b->notes));
	if (!b->entries || !b->notes)
		return false;
	while (m < m_end || g < g_end) {
		bool member =
			m < m_end &&
			(g == g_end || m->network < g->network ||
			 (m->network == g->network && prefix_compare(&m->prefix, &g->prefix) <= 0));

		while (net_at(b->t, slot)->id != (member ? m->network : g->network))
			slot++;
		if (member) {
			put_entry(b,
				  &(struct entry){ &m->prefix, m->file, m->line, slot, b->t->self,
						   true },
				  0);
			m++;
			continue;
		}
		if (!put_place(b->t, g->file, g->line, &note))
			return false;
		put_entry(b,
			  &(struct entry){ &g->prefix, g->file, g->line, slot, g->router, false },
			  note);
		g++;
	}
	return true;
}

/* ---- all -------------------------------------------------------------------------- */

static bool fill_gndts(struct build *b)
{
	for (size_t i = 0; i < b->n_entries; i++) {
		const struct entry *e = &b->entries[i];

		if (!put_route(b->t, e->slot, e->prefix, e->router, b->notes[i]))
			return false;
	}
	return true;
}

struct table *table_new(uint32_t self, const struct lndt_row *lndt, size_t n_lndt,
			const struct gndt_row *gndt, size_t n_gndt, uint64_t version,
			table_conflict_fn *fn, void *arg)
{
	struct build b = { .t = table_empty(self, version), .conflicts = { .fn = fn, .arg = arg } };
	bool ok =
		b.t && copy_rows(&b, lndt, n_lndt, gndt, n_gndt) && make_networks(&b) &&
		fill_lndt(&b) && merge_entries(&b) &&
		check_ambiguous(&b.conflicts, b.t, b.entries, b.n_entries, b.shared, b.n_shared) &&
		b.conflicts.n == 0 && fill_gndts(&b);

	free(b.lndt);
	free(b.gndt);
	free(b.entries);
	free(b.notes);
	free(b.shared);
	if (!ok) {
		table_free(b.t);
		return NULL;
	}
	return b.t;
}
