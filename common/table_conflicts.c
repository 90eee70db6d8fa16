/*
 * What does not go together in the tables, and the words for it.
 *
 * Of all rows at once (table_new) the prefixes that a host of two networks would find
 * in both are found by sorting. Of a few that change (table_update) each is looked up
 * in the networks that share a member with its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/table_private.h"

/* ---- words ------------------------------------------------------------------- */

void report(struct conflicts *c, const char *what, const struct entry *one,
	    const struct entry *other)
{
	char text[512];

	c->n++;
	if (!c->fn)
		return;
	if (other && other->file)
		snprintf(text, sizeof(text), "%s (the other one: %s:%u)", what, other->file,
			 other->line);
	else
		snprintf(text, sizeof(text), "%s", what);
	c->fn(c->arg, text, one->file, one->line);
}

bool check_same_network(struct conflicts *c, uint32_t network, const struct entry *first,
			const struct entry *e)
{
	const struct entry *member = first->member ? first : e->member ? e : NULL;
	char prefix[PREFIX_TEXT], what[256];

	if (first->router == e->router)
		return true;
	prefix_format(e->prefix, prefix);
	if (member)
		snprintf(what, sizeof(what),
			 "%s is a member of this site in network %u, but router %u is to "
			 "deliver it: which is right?",
			 prefix, network, member == first ? e->router : first->router);
	else
		snprintf(what, sizeof(what),
			 "%s is in network %u for router %u and for router %u: which of them "
			 "delivers it?",
			 prefix, network, first->router, e->router);
	report(c, what, e, first);
	return false;
}

/* One prefix in two networks that share this member. */
static void report_ambiguous(struct conflicts *c, const struct table *t, const struct entry *one,
			     const struct entry *other, const struct prefix *member)
{
	char prefix[PREFIX_TEXT], host[PREFIX_TEXT], what[256];
	uint32_t a = net_at(t, one->slot)->id, b = net_at(t, other->slot)->id;

	prefix_format(one->prefix, prefix);
	if (member->len == ip_bits(&member->ip))
		ip_format(&member->ip, host);
	else
		prefix_format(member, host);
	snprintf(what, sizeof(what),
		 "%s is in networks %u and %u, which both have member %s: which of them should "
		 "carry it?",
		 prefix, a < b ? a : b, a < b ? b : a, host);
	report(c, what, one, other);
}

/* ---- all at once ------------------------------------------------------------- */

/* For each slot, which of the sets it is in: numbers[first[slot]] up to
 * numbers[first[slot + 1]]. */
struct set_index {
	size_t *first;
	uint32_t *numbers;
};

static bool index_sets(const struct shared_by *sets, size_t n_sets, uint32_t n_slots,
		       struct set_index *ix)
{
	size_t *first = calloc(n_slots + (size_t)2, sizeof(*first)), total = 0;

	for (size_t i = 0; i < n_sets; i++)
		total += sets[i].set->n;
	ix->first = first;
	ix->numbers = calloc(total + 1, sizeof(*ix->numbers));
	if (!first || !ix->numbers)
		return false;
	/* Counts stand two places to the right, starts one: filling then moves each
	 * start to its end, which is the start of the next. */
	for (size_t i = 0; i < n_sets; i++)
		for (uint32_t k = 0; k < sets[i].set->n; k++)
			first[sets[i].set->slots[k] + 2]++;
	for (uint32_t slot = 0; slot < n_slots; slot++)
		first[slot + 2] += first[slot + 1];
	for (size_t i = 0; i < n_sets; i++)
		for (uint32_t k = 0; k < sets[i].set->n; k++)
			ix->numbers[first[sets[i].set->slots[k] + 1]++] = (uint32_t)i;
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
	       (a->e->slot > b->e->slot) - (a->e->slot < b->e->slot);
}

/* The search: the sorted list, and what was seen last, by place in it. */
struct search {
	struct conflicts *c;
	const struct table *t;
	const struct shared_by *sets;
	struct by_prefix *list;
	struct set_index ix;
	size_t *holder; /* by set: the entry that holds the prefix in it */
	size_t *told;	/* by slot: the entry that it was last reported with */
};

/* Places first to end - 1 of the list hold one prefix. Two of them collide if a
 * set has both. Of many in one set each is reported with the one before it, so
 * that every row is named, but not every pair. */
static void check_group(struct search *s, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		const struct entry *e = s->list[i].e, *other;

		for (size_t k = s->ix.first[e->slot]; k < s->ix.first[e->slot + 1]; k++) {
			uint32_t set = s->ix.numbers[k];
			size_t held = s->holder[set];
			/* A mark below `first` was left by another prefix. */
			bool collides = held != SIZE_MAX && held >= first &&
					!(s->list[held].here && s->list[i].here);

			other = collides ? s->list[held].e : NULL;
			if (collides && s->told[other->slot] != i) {
				s->told[other->slot] = i;
				report_ambiguous(s->c, s->t, other->slot < e->slot ? e : other,
						 other->slot < e->slot ? other : e,
						 s->sets[set].member);
			}
			if (!collides || !s->list[i].here)
				s->holder[set] = i;
		}
	}
}

bool check_ambiguous(struct conflicts *c, const struct table *t, const struct entry *entries,
		     size_t n, const struct shared_by *sets, size_t n_sets)
{
	uint32_t n_slots = table_slots(t);
	struct search s = { .c = c, .t = t, .sets = sets };
	bool ok = false;
	size_t end;

	if (n_sets == 0)
		return true;
	s.list = calloc(n + 1, sizeof(*s.list));
	s.holder = malloc(n_sets * sizeof(*s.holder));
	s.told = malloc((n_slots + 1) * sizeof(*s.told));
	if (!s.list || !s.holder || !s.told || !index_sets(sets, n_sets, n_slots, &s.ix))
		goto out;
	memset(s.holder, 0xff, n_sets * sizeof(*s.holder));
	memset(s.told, 0xff, n_slots * sizeof(*s.told));
	for (size_t i = 0; i < n; i++)
		s.list[i] = (struct by_prefix){ &entries[i], entries[i].router == t->self };
	if (n > 1)
		qsort(s.list, n, sizeof(*s.list), compare_by_prefix);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1;
		     end < n && prefix_equal(s.list[end].e->prefix, s.list[i].e->prefix);)
			end++;
		if (end - i > 1)
			check_group(&s, i, end);
	}
	ok = true;
out:
	free(s.list);
	free(s.holder);
	free(s.told);
	free(s.ix.first);
	free(s.ix.numbers);
	return ok;
}

/* ---- one by one -------------------------------------------------------------- */

/* A walk over all sets of which a network is part. */
struct partners {
	const struct table *t;
	const struct attachment *a;
	struct slots slots;
	uint32_t both;	      /* a slot that is looked for: UINT32_MAX, none */
	struct prefix member; /* whose hosts are in it too */
};

static bool note_partners(void *arg, const struct lpm_entry *e)
{
	struct partners *p = arg;
	const struct netset *set = &set_at(p->t, e->value)->all;

	for (uint32_t i = 0; i < set->n; i++) {
		if (p->slots.bits)
			p->slots.bits[set->slots[i] / 64] |= UINT64_C(1) << set->slots[i] % 64;
		if (set->slots[i] == p->both) {
			p->member = e->prefix;
			return false;
		}
	}
	return true;
}

static bool within_member(void *arg, const struct lpm_entry *e)
{
	struct partners *p = arg;

	return lpm_each_within(&p->a->sets, &e->prefix, note_partners, p);
}

static bool walk_partners(struct partners *p, uint32_t slot)
{
	const struct vnet *net = net_at(p->t, slot);

	for (uint32_t i = 0; i < net->n_members; i++) {
		p->a = attachment_at(p->t, net->members[i].attachment);
		if (!lpm_each(&net->members[i].rows, 0, within_member, p))
			return false;
	}
	return true;
}

struct slots partners_of(const struct table *t, uint32_t slot)
{
	struct partners p = { .t = t, .both = UINT32_MAX };

	p.slots.n = table_slots(t) / 64;
	p.slots.bits = calloc(p.slots.n + 1, sizeof(p.slots.bits[0]));
	if (p.slots.bits)
		walk_partners(&p, slot);
	return p.slots;
}

bool entry_of(const struct table *t, uint32_t slot, const struct prefix *prefix, struct entry *ret)
{
	const struct vnet *net = net_at(t, slot);
	uint64_t note, own;
	uint32_t route = lpm_get(&net->gndt, prefix, &note);
	bool member = false;

	if (route == LPM_NONE)
		return false;
	for (uint32_t i = 0; i < net->n_members && !member; i++) {
		member = lpm_get(&net->members[i].rows, prefix, &own) != LPM_NONE;
		note = member ? own : note;
	}
	*ret = (struct entry){ .prefix = prefix,
			       .file = place_file(t, note),
			       .line = place_line(note),
			       .slot = slot,
			       .router = route_at(t, route)->routers[0],
			       .member = member };
	return true;
}

/* One prefix in two networks that share a member. */
static void check_two(struct conflicts *c, const struct table *t, const struct entry *one,
		      const struct entry *other)
{
	struct partners p = { .t = t, .both = other->slot };

	if (one->router == t->self && other->router == t->self)
		return;
	walk_partners(&p, one->slot);
	report_ambiguous(c, t, one, other, &p.member);
}

void check_entry(struct conflicts *c, const struct table *t, const struct entry *e,
		 const struct slots *partners)
{
	struct entry other;

	for (uint32_t word = 0; word < partners->n; word++) {
		for (uint64_t left = partners->bits[word]; left; left &= left - 1) {
			uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(left);

			if (slot != e->slot && entry_of(t, slot, e->prefix, &other))
				check_two(c, t, e, &other);
		}
	}
}

/* A walk over the smaller GNDT of two networks. */
struct pair {
	struct conflicts *c;
	const struct table *t;
	uint32_t small, large;
};

static bool check_common(void *arg, const struct lpm_entry *e)
{
	struct pair *p = arg;
	struct entry a, b;

	if (entry_of(p->t, p->large, &e->prefix, &b) && entry_of(p->t, p->small, &e->prefix, &a)) {
		bool a_later = net_at(p->t, a.slot)->id > net_at(p->t, b.slot)->id;

		check_two(p->c, p->t, a_later ? &a : &b, a_later ? &b : &a);
	}
	return true;
}

void check_pair(struct conflicts *c, const struct table *t, uint32_t one, uint32_t other)
{
	const struct lpm *a = &net_at(t, one)->gndt, *b = &net_at(t, other)->gndt;
	bool first = lpm_count(a) < lpm_count(b);
	struct pair p = { c, t, first ? one : other, first ? other : one };

	lpm_each(first ? a : b, 0, check_common, &p);
}
