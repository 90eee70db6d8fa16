/*
 * The tables of a router as one image.
 *
 * table_new works in this order:
 *   1. copy the rows, sort them by network and prefix, drop exact repetitions;
 *   2. number the networks: a slot for each ID, ascending;
 *   3. LNDT: for each attachment, walk its prefixes in sorted order with a
 *      stack of those that are still open. The networks of a prefix are its own
 *      and those of the prefix around it, so that one longest-prefix lookup
 *      finds every network of a host;
 *   4. GNDT: merge each network's rows with the members of this site, which are
 *      routes to the router itself; report what does not go together;
 *   5. look for prefixes that a host of two networks would find in both;
 *   6. build the lookup tables, unless there were conflicts.
 *
 * Invariants: an image never changes after table_new. Every prefix comes once
 * in vnet.gndt. No network set that lndt_lookup returns holds two networks with
 * one prefix in common, unless both deliver it here.
 *
 * Prefixes of a site often lead to the same set of networks; nested ones that
 * add no network share the set of the prefix around them. What reads the rows
 * from a file or a message, and what a conflict means for it, is the caller's.
 */
#include "common/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_SET UINT32_MAX
#define NESTING_MAX 129 /* prefixes around one address: lengths 0 to 128 */

struct table {
	uint32_t self; /* our router ID */
	uint64_t version;

	struct vnet *nets; /* by slot */
	uint32_t n_nets;

	struct lpm **lndt; /* by attachment -> offset in sets; NULL where none */
	uint32_t n_lndt;
	uint32_t *sets; /* one struct netset after the other */
	size_t n_sets;	/* in words */

	struct lndt_row *lndt_rows;
	size_t n_lndt_rows;
	struct gndt_row *gndt_rows;
	size_t n_gndt_rows;
	char **files; /* the names that the rows point at, each once */
	size_t n_files;
};

/* A prefix in the GNDT of a network, from a row or as a member of this site. */
struct entry {
	const struct prefix *prefix;
	const char *file;
	unsigned line;
	uint32_t slot;
	uint32_t router;
	bool member;
};

/* A set of networks and a member prefix whose hosts are in all of them. */
struct shared {
	uint32_t offset; /* of the netset, in table.sets */
	const struct prefix *member;
};

struct build {
	struct table *t;
	struct entry *entries; /* by slot, then prefix; none twice */
	size_t n_entries;
	size_t sets_cap;       /* room in t->sets, in words */
	struct shared *shared; /* the sets of two networks or more */
	size_t n_shared;
	table_conflict_fn *fn;
	void *arg;
	size_t n_conflicts;
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

static int compare_u32(const void *pa, const void *pb)
{
	uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;

	return (a > b) - (a < b);
}

/* Sorts n numbers and drops repetitions; how many are left. */
static size_t sort_unique(uint32_t *v, size_t n)
{
	size_t kept = 0;

	sort(v, n, sizeof(*v), compare_u32);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || v[kept - 1] != v[i])
			v[kept++] = v[i];
	}
	return kept;
}

/*
 * 1. Rows
 */

/* The image's own copy of a file name. Names are few: a linear search will do. */
static bool keep_file(struct table *t, const char **file)
{
	char **files;

	if (!*file)
		return true;
	for (size_t i = t->n_files; i-- > 0;) {
		if (strcmp(t->files[i], *file) == 0) {
			*file = t->files[i];
			return true;
		}
	}
	files = realloc(t->files, (t->n_files + 1) * sizeof(*files));
	if (!files)
		return false;
	t->files = files;
	files[t->n_files] = strdup(*file);
	if (!files[t->n_files])
		return false;
	*file = files[t->n_files++];
	return true;
}

static int compare_lndt(const void *pa, const void *pb)
{
	const struct lndt_row *a = pa, *b = pb;

	if (a->network != b->network)
		return a->network < b->network ? -1 : 1;
	return prefix_compare(&a->prefix, &b->prefix) ?: (int)a->attachment - (int)b->attachment;
}

static int compare_lndt_line(const void *pa, const void *pb)
{
	const struct lndt_row *a = pa, *b = pb;

	return compare_lndt(a, b) ?: (a->line > b->line) - (a->line < b->line);
}

static int compare_gndt(const void *pa, const void *pb)
{
	const struct gndt_row *a = pa, *b = pb;

	if (a->network != b->network)
		return a->network < b->network ? -1 : 1;
	return prefix_compare(&a->prefix, &b->prefix);
}

static int compare_gndt_line(const void *pa, const void *pb)
{
	const struct gndt_row *a = pa, *b = pb;

	return compare_gndt(a, b) ?: (a->line > b->line) - (a->line < b->line) ?:
	       compare_u32(&a->router, &b->router);
}

static bool copy_lndt(struct table *t, const struct lndt_row *rows, size_t n)
{
	struct lndt_row *copy = new_array(n, sizeof(*copy));
	size_t kept = 0;

	t->lndt_rows = copy;
	if (!copy)
		return false;
	for (size_t i = 0; i < n; i++) {
		copy[i] = rows[i];
		if (!keep_file(t, &copy[i].file))
			return false;
	}
	sort(copy, n, sizeof(*copy), compare_lndt_line);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || compare_lndt(&copy[kept - 1], &copy[i]) != 0)
			copy[kept++] = copy[i];
	}
	t->n_lndt_rows = kept;
	return true;
}

static bool copy_gndt(struct table *t, const struct gndt_row *rows, size_t n)
{
	struct gndt_row *copy = new_array(n, sizeof(*copy));
	size_t kept = 0;

	t->gndt_rows = copy;
	if (!copy)
		return false;
	for (size_t i = 0; i < n; i++) {
		copy[i] = rows[i];
		if (!keep_file(t, &copy[i].file))
			return false;
	}
	sort(copy, n, sizeof(*copy), compare_gndt_line);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || copy[kept - 1].router != copy[i].router ||
		    compare_gndt(&copy[kept - 1], &copy[i]) != 0)
			copy[kept++] = copy[i];
	}
	t->n_gndt_rows = kept;
	return true;
}

/*
 * 2. Networks
 */

static bool number_networks(struct table *t)
{
	size_t n = 0;
	uint32_t *ids = new_array(t->n_lndt_rows + t->n_gndt_rows, sizeof(*ids));

	if (!ids)
		return false;
	for (size_t i = 0; i < t->n_lndt_rows; i++)
		ids[n++] = t->lndt_rows[i].network;
	for (size_t i = 0; i < t->n_gndt_rows; i++)
		ids[n++] = t->gndt_rows[i].network;
	n = sort_unique(ids, n);
	t->nets = new_array(n, sizeof(*t->nets));
	if (t->nets) {
		t->n_nets = n;
		for (size_t i = 0; i < n; i++)
			t->nets[i].id = ids[i];
	}
	free(ids);
	return t->nets != NULL;
}

/*
 * 3. LNDT
 */

static const struct netset *set_at(const struct table *t, uint32_t offset)
{
	return (const struct netset *)&t->sets[offset];
}

static int compare_attached(const void *pa, const void *pb)
{
	const struct lndt_row *a = *(const struct lndt_row *const *)pa;
	const struct lndt_row *b = *(const struct lndt_row *const *)pb;

	if (a->attachment != b->attachment)
		return a->attachment < b->attachment ? -1 : 1;
	return prefix_compare(&a->prefix, &b->prefix) ?: compare_u32(&a->network, &b->network);
}

static bool remember_shared(struct build *b, uint32_t offset, const struct prefix *member)
{
	size_t n = b->n_shared;

	/* Room doubles when n reaches a power of two. */
	if ((n & (n - 1)) == 0) {
		struct shared *more = realloc(b->shared, (n ? 2 * n : 1) * sizeof(*more));

		if (!more)
			return false;
		b->shared = more;
	}
	b->shared[b->n_shared++] = (struct shared){ offset, member };
	return true;
}

/* The set of a prefix: that of the prefix around it (or NO_SET) and the
 * networks of its n rows, which are ascending and differ. */
static bool make_set(struct build *b, uint32_t around, struct lndt_row **rows, size_t n,
		     uint32_t *ret_offset)
{
	struct table *t = b->t;
	uint32_t n_around = around == NO_SET ? 0 : set_at(t, around)->n;
	uint32_t *out, i = 0, made = 0;
	size_t j = 0, need = t->n_sets + 1 + n_around + n;

	if (need >= NO_SET)
		return false;
	if (need > b->sets_cap) {
		uint32_t *bigger = realloc(t->sets, 2 * need * sizeof(*bigger));

		if (!bigger)
			return false;
		t->sets = bigger;
		b->sets_cap = 2 * need;
	}
	out = &t->sets[t->n_sets + 1];
	while (i < n_around || j < n) {
		uint32_t old = i < n_around ? set_at(t, around)->slots[i] : UINT32_MAX;
		uint32_t own = j < n ? table_slot(t, rows[j]->network) : UINT32_MAX;

		out[made++] = old < own ? old : own;
		i += old <= own;
		j += own <= old;
	}
	if (made == n_around) {
		*ret_offset = around;
		return true;
	}
	*ret_offset = t->n_sets;
	t->sets[t->n_sets] = made;
	t->n_sets += 1 + made;
	return made < 2 || remember_shared(b, *ret_offset, &rows[0]->prefix);
}

/* The lookup table of one attachment, from its rows by prefix and network. */
static bool build_attachment(struct build *b, struct lndt_row **rows, size_t n)
{
	struct {
		const struct prefix *prefix;
		uint32_t set;
	} nest[NESTING_MAX];
	struct lpm_entry *entries = new_array(n, sizeof(*entries));
	size_t n_nest = 0, n_entries = 0, same;
	struct lpm **lndt = &b->t->lndt[rows[0]->attachment];

	for (size_t i = 0; entries && i < n; i += same) {
		const struct prefix *p = &rows[i]->prefix;
		uint32_t around, set;

		for (same = 1; i + same < n && prefix_equal(&rows[i + same]->prefix, p);)
			same++;
		while (n_nest && !prefix_covers(nest[n_nest - 1].prefix, p))
			n_nest--;
		around = n_nest ? nest[n_nest - 1].set : NO_SET;
		if (n_nest == NESTING_MAX || !make_set(b, around, rows + i, same, &set))
			goto out;
		nest[n_nest].prefix = p;
		nest[n_nest++].set = set;
		entries[n_entries++] = (struct lpm_entry){ .prefix = *p, .value = set };
	}
	if (entries)
		*lndt = lpm_new(entries, n_entries);
out:
	free(entries);
	return *lndt != NULL;
}

static bool build_lndt(struct build *b)
{
	struct table *t = b->t;
	size_t n = t->n_lndt_rows, same;
	struct lndt_row **rows = new_array(n, sizeof(struct lndt_row *));
	bool ok = false;

	if (!rows)
		return false;
	for (size_t i = 0; i < n; i++)
		rows[i] = &t->lndt_rows[i];
	sort(rows, n, sizeof(struct lndt_row *), compare_attached);
	t->n_lndt = n ? rows[n - 1]->attachment + 1u : 0;
	t->lndt = new_array(t->n_lndt, sizeof(struct lpm *));
	if (!t->lndt)
		goto out;
	for (size_t i = 0; i < n; i += same) {
		for (same = 1; i + same < n && rows[i + same]->attachment == rows[i]->attachment;)
			same++;
		if (!build_attachment(b, rows + i, same))
			goto out;
	}
	ok = true;
out:
	free(rows);
	return ok;
}

/*
 * 4. GNDT rows and members
 */

/* Reports a conflict between two entries at the place of the later one. */
static void report(struct build *b, const char *what, const struct entry *one,
		   const struct entry *other)
{
	char text[512];

	b->n_conflicts++;
	if (!b->fn)
		return;
	if (other->file)
		snprintf(text, sizeof(text), "%s (the other one: %s:%u)", what, other->file,
			 other->line);
	else
		snprintf(text, sizeof(text), "%s", what);
	b->fn(b->arg, text, one->file, one->line);
}

/* Two rows for one prefix in one network: whether that is fine. */
static void check_same_network(struct build *b, const struct entry *first, const struct entry *e)
{
	char prefix[PREFIX_TEXT], what[256];
	uint32_t id = b->t->nets[e->slot].id;

	if (first->router == e->router)
		return;
	prefix_format(e->prefix, prefix);
	if (first->member)
		snprintf(what, sizeof(what),
			 "%s is a member of this site in network %u, but router %u is to "
			 "deliver it: which is right?",
			 prefix, id, e->router);
	else
		snprintf(what, sizeof(what),
			 "%s is in network %u for router %u and for router %u: which of them "
			 "delivers it?",
			 prefix, id, first->router, e->router);
	report(b, what, e, first);
}

static void put_entry(struct build *b, const struct entry *e)
{
	const struct entry *last = b->n_entries ? &b->entries[b->n_entries - 1] : NULL;

	if (last && last->slot == e->slot && prefix_equal(last->prefix, e->prefix))
		check_same_network(b, last, e);
	else
		b->entries[b->n_entries++] = *e;
}

/* Both kinds of rows are sorted by network and prefix: merge them, members
 * first. */
static bool merge_entries(struct build *b)
{
	const struct table *t = b->t;
	const struct lndt_row *m = t->lndt_rows, *m_end = m + t->n_lndt_rows;
	const struct gndt_row *g = t->gndt_rows, *g_end = g + t->n_gndt_rows;
	uint32_t slot = 0;

	b->entries = new_array(t->n_lndt_rows + t->n_gndt_rows, sizeof(*b->entries));
	if (!b->entries)
		return false;
	while (m < m_end || g < g_end) {
		bool member =
			m < m_end &&
			(g == g_end || m->network < g->network ||
			 (m->network == g->network && prefix_compare(&m->prefix, &g->prefix) <= 0));

		while (t->nets[slot].id != (member ? m->network : g->network))
			slot++;
		if (member) {
			put_entry(b, &(struct entry){ &m->prefix, m->file, m->line, slot, t->self,
						      true });
			m++;
		} else {
			put_entry(b, &(struct entry){ &g->prefix, g->file, g->line, slot, g->router,
						      false });
			g++;
		}
	}
	return true;
}

/*
 * 5. Prefixes that are in two networks of one host
 */

/* For each slot, which of the shared sets it is in: numbers[first[slot]] up to
 * numbers[first[slot + 1]]. */
struct set_index {
	size_t *first;
	uint32_t *numbers;
};

static bool index_sets(const struct build *b, struct set_index *ix)
{
	const struct table *t = b->t;
	size_t *first = new_array(t->n_nets + (size_t)2, sizeof(*first));

	ix->first = first;
	ix->numbers = new_array(t->n_sets, sizeof(*ix->numbers));
	if (!first || !ix->numbers)
		return false;
	/* Counts stand two places to the right, starts one: filling then moves each
	 * start to its end, which is the start of the next. */
	for (size_t i = 0; i < b->n_shared; i++) {
		const struct netset *set = set_at(t, b->shared[i].offset);

		for (uint32_t k = 0; k < set->n; k++)
			first[set->slots[k] + 2]++;
	}
	for (uint32_t slot = 0; slot < t->n_nets; slot++)
		first[slot + 2] += first[slot + 1];
	for (size_t i = 0; i < b->n_shared; i++) {
		const struct netset *set = set_at(t, b->shared[i].offset);

		for (uint32_t k = 0; k < set->n; k++)
			ix->numbers[first[set->slots[k] + 1]++] = i;
	}
	return true;
}

/* By prefix; routes to other routers before those to this one, which agree
 * among each other. */
struct by_prefix {
	const struct entry *e;
	bool here;
};

static int compare_by_prefix(const void *pa, const void *pb)
{
	const struct by_prefix *a = pa, *b = pb;

	return prefix_compare(a->e->prefix, b->e->prefix) ?: a->here - b->here ?:
	       compare_u32(&a->e->slot, &b->e->slot);
}

static void report_ambiguous(struct build *b, const struct entry *one, const struct entry *other,
			     const struct prefix *member)
{
	char prefix[PREFIX_TEXT], host[PREFIX_TEXT], what[256];
	const struct entry *low = one->slot < other->slot ? one : other;
	const struct entry *high = low == one ? other : one;

	prefix_format(one->prefix, prefix);
	if (member->len == ip_bits(&member->ip))
		ip_format(&member->ip, host);
	else
		prefix_format(member, host);
	snprintf(what, sizeof(what),
		 "%s is in networks %u and %u, which both have member %s: which of them should "
		 "carry it?",
		 prefix, b->t->nets[low->slot].id, b->t->nets[high->slot].id, host);
	report(b, what, high, low);
}

/* The marks of the search: what was seen last, by place in the sorted list. */
struct marks {
	size_t *holder; /* by shared set: the entry that holds the prefix in it */
	size_t *told;	/* by slot: the entry that it was last reported with */
};

/* Places first to end - 1 of the list hold one prefix. Two of them collide if a
 * set has both. Of many in one set each is reported with the one before it, so
 * that every row is named, but not every pair. */
static void check_group(struct build *b, const struct by_prefix *list, size_t first, size_t end,
			const struct set_index *ix, struct marks *marks)
{
	for (size_t i = first; i < end; i++) {
		const struct entry *e = list[i].e;

		for (size_t k = ix->first[e->slot]; k < ix->first[e->slot + 1]; k++) {
			uint32_t set = ix->numbers[k];
			size_t held = marks->holder[set];
			const struct entry *other = held != SIZE_MAX ? list[held].e : NULL;
			/* A mark below `first` was left by another prefix. */
			bool collides =
				other && held >= first && !(list[held].here && list[i].here);

			if (collides && marks->told[other->slot] != i) {
				marks->told[other->slot] = i;
				report_ambiguous(b, e, other, b->shared[set].member);
			}
			if (!collides || !list[i].here)
				marks->holder[set] = i;
		}
	}
}

static bool check_ambiguous(struct build *b)
{
	size_t n = b->n_entries, end;
	struct by_prefix *list = NULL;
	struct set_index ix = { 0 };
	struct marks marks = { 0 };
	bool ok = false;

	if (b->n_shared == 0)
		return true;
	list = new_array(n, sizeof(*list));
	marks.holder = new_array(b->n_shared, sizeof(*marks.holder));
	marks.told = new_array(b->t->n_nets, sizeof(*marks.told));
	if (!list || !marks.holder || !marks.told || !index_sets(b, &ix))
		goto out;
	memset(marks.holder, 0xff, b->n_shared * sizeof(*marks.holder));
	memset(marks.told, 0xff, b->t->n_nets * sizeof(*marks.told));
	for (size_t i = 0; i < n; i++) {
		list[i].e = &b->entries[i];
		list[i].here = b->entries[i].router == b->t->self;
	}
	sort(list, n, sizeof(*list), compare_by_prefix);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && prefix_equal(list[end].e->prefix, list[i].e->prefix);)
			end++;
		if (end - i > 1)
			check_group(b, list, i, end, &ix, &marks);
	}
	ok = true;
out:
	free(list);
	free(marks.holder);
	free(marks.told);
	free(ix.first);
	free(ix.numbers);
	return ok;
}

/*
 * 6. Lookup tables of the networks
 */

/* One route for each router; prefixes of one router share it. */
static bool build_routes(struct vnet *net, const struct entry *e, size_t n, uint32_t *ids)
{
	size_t n_ids;

	for (size_t i = 0; i < n; i++)
		ids[i] = e[i].router;
	n_ids = sort_unique(ids, n);
	net->routes = new_array(n_ids, sizeof(*net->routes));
	if (!net->routes)
		return false;
	net->n_routes = n_ids;
	for (size_t i = 0; i < n_ids; i++)
		net->routes[i] = (struct route){ .routers = { ids[i] }, .n = 1 };
	return true;
}

/* The site's prefixes in one network, of all attachments. */
static struct lpm *build_members(const struct lndt_row *rows, size_t n, struct lpm_entry *out)
{
	size_t made = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !prefix_equal(&rows[i - 1].prefix, &rows[i].prefix))
			out[made++] = (struct lpm_entry){ .prefix = rows[i].prefix, .value = 0 };
	}
	return lpm_new(out, made);
}

static bool build_networks(struct build *b)
{
	struct table *t = b->t;
	size_t room = b->n_entries > t->n_lndt_rows ? b->n_entries : t->n_lndt_rows;
	struct lpm_entry *out = new_array(room, sizeof(*out));
	uint32_t *ids = new_array(room, sizeof(*ids));
	size_t at = 0, row = 0;
	bool ok = false;

	if (!out || !ids)
		goto out;
	for (uint32_t slot = 0; slot < t->n_nets; slot++) {
		struct vnet *net = &t->nets[slot];
		const struct entry *e = &b->entries[at];
		size_t n = 0, first_row = row;

		while (at + n < b->n_entries && e[n].slot == slot)
			n++;
		while (row < t->n_lndt_rows && t->lndt_rows[row].network == net->id)
			row++;
		if (!build_routes(net, e, n, ids))
			goto out;
		for (size_t i = 0; i < n; i++) {
			const uint32_t *id = bsearch(&e[i].router, ids, net->n_routes, sizeof(*ids),
						     compare_u32);

			out[i] = (struct lpm_entry){ .prefix = *e[i].prefix, .value = id - ids };
		}
		net->gndt = lpm_new(out, n);
		net->members = build_members(t->lndt_rows + first_row, row - first_row, out);
		if (!net->gndt || !net->members)
			goto out;
		at += n;
	}
	ok = true;
out:
	free(out);
	free(ids);
	return ok;
}

struct table *table_new(uint32_t self, const struct lndt_row *lndt, size_t n_lndt,
			const struct gndt_row *gndt, size_t n_gndt, uint64_t version,
			table_conflict_fn *fn, void *arg)
{
	struct table *t = calloc(1, sizeof(*t));
	struct build b = { .t = t, .fn = fn, .arg = arg };
	bool ok;

	if (!t)
		return NULL;
	t->self = self;
	t->version = version;
	ok = copy_lndt(t, lndt, n_lndt) && copy_gndt(t, gndt, n_gndt) && number_networks(t) &&
	     build_lndt(&b) && merge_entries(&b) && check_ambiguous(&b) && b.n_conflicts == 0 &&
	     build_networks(&b);
	free(b.entries);
	free(b.shared);
	if (!ok) {
		table_free(t);
		return NULL;
	}
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (uint32_t slot = 0; slot < t->n_nets; slot++) {
		lpm_free(t->nets[slot].gndt);
		lpm_free(t->nets[slot].members);
		free(t->nets[slot].routes);
	}
	for (uint32_t i = 0; t->lndt && i < t->n_lndt; i++)
		lpm_free(t->lndt[i]);
	for (size_t i = 0; i < t->n_files; i++)
		free(t->files[i]);
	free(t->nets);
	free(t->lndt);
	free(t->sets);
	free(t->lndt_rows);
	free(t->gndt_rows);
	free(t->files);
	free(t);
}

/*
 * Lookup
 */

uint64_t table_version(const struct table *t)
{
	return t->version;
}

uint32_t table_networks(const struct table *t)
{
	return t->n_nets;
}

const struct vnet *table_network(const struct table *t, uint32_t slot)
{
	return slot < t->n_nets ? &t->nets[slot] : NULL;
}

uint32_t table_slot(const struct table *t, uint32_t network)
{
	uint32_t low = 0, high = t->n_nets;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (t->nets[middle].id < network)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->n_nets && t->nets[low].id == network ? low : UINT32_MAX;
}

const struct netset *lndt_lookup(const struct table *t, uint16_t attachment, const struct ip *ip)
{
	uint32_t set;

	if (attachment >= t->n_lndt || !t->lndt[attachment])
		return NULL;
	set = lpm_lookup(t->lndt[attachment], ip, NULL);
	return set != LPM_NONE ? set_at(t, set) : NULL;
}

bool lndt_is_member(const struct table *t, uint32_t slot, const struct ip *ip)
{
	return slot < t->n_nets && lpm_lookup(t->nets[slot].members, ip, NULL) != LPM_NONE;
}

const struct route *gndt_lookup(const struct table *t, uint32_t slot, const struct ip *ip,
				unsigned *ret_len)
{
	uint32_t i;

	if (slot >= t->n_nets)
		return NULL;
	i = lpm_lookup(t->nets[slot].gndt, ip, ret_len);
	return i != LPM_NONE ? &t->nets[slot].routes[i] : NULL;
}

static bool is_here(const struct table *t, const struct route *r)
{
	return r->n == 1 && r->routers[0] == t->self;
}

const struct route *gndt_lookup_set(const struct table *t, const struct netset *set,
				    const struct ip *ip, uint32_t *ret_slot, unsigned *ret_len,
				    bool *ret_ambiguous)
{
	const struct route *best = NULL;
	unsigned best_len = 0, len = 0;
	uint32_t best_slot = 0;
	bool ambiguous = false;

	for (uint32_t i = 0; i < set->n; i++) {
		const struct route *r = gndt_lookup(t, set->slots[i], ip, &len);

		if (!r || (best && len < best_len))
			continue;
		if (best && len == best_len) {
			ambiguous = ambiguous || !is_here(t, best) || !is_here(t, r);
			continue;
		}
		best = r;
		best_len = len;
		best_slot = set->slots[i];
		ambiguous = false;
	}
	*ret_ambiguous = ambiguous;
	if (!best || ambiguous)
		return NULL;
	*ret_slot = best_slot;
	if (ret_len)
		*ret_len = best_len;
	return best;
}

const struct lndt_row *table_lndt(const struct table *t, size_t *ret_n)
{
	*ret_n = t->n_lndt_rows;
	return t->lndt_rows;
}

const struct gndt_row *table_gndt(const struct table *t, size_t *ret_n)
{
	*ret_n = t->n_gndt_rows;
	return t->gndt_rows;
}
