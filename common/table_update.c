/*
 * An image from the one before and the rows that change.
 *
 * First rows go, then rows come, each of them checked against those that are there
 * then: so a prefix may go from one router to another in one update, and of two new
 * rows that don't go together the second is reported. A row that conflicts is left
 * out and the others go on to be checked; the image is given up in the end.
 *
 * Rows of the GNDT are checked against networks that share a member with theirs. A
 * row of the LNDT can make networks share one that did not: then all their prefixes
 * are compared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/table_private.h"

struct update {
	struct table *t;
	struct conflicts conflicts;
};

/* ---- rows that go -------------------------------------------------------------- */

static void report_missing(struct update *u, const char *table, uint32_t network,
			   const struct prefix *p, const char *file, unsigned line)
{
	char prefix[PREFIX_TEXT], what[128];

	snprintf(what, sizeof(what),
		 "%s is to be removed from the %s of network %u, but isn't there",
		 prefix_format(p, prefix), table, network);
	report(&u->conflicts, what, &(struct entry){ .file = file, .line = line }, NULL);
}

static bool remove_gndt(struct update *u, const struct gndt_row *r)
{
	uint32_t slot = table_slot(u->t, r->network), route = LPM_NONE;
	uint64_t note = 0;
	struct entry e;

	if (slot != UINT32_MAX)
		route = lpm_get(&net_at(u->t, slot)->gndt, &r->prefix, &note);
	if (route == LPM_NONE || !(note & NOTE_ROW) ||
	    route_at(u->t, route)->routers[0] != r->router) {
		report_missing(u, "GNDT", r->network, &r->prefix, r->file, r->line);
		return true;
	}
	if (entry_of(u->t, slot, &r->prefix, &e) && e.member)
		return note_route(u->t, slot, &r->prefix, 0);
	return take_route(u->t, slot, &r->prefix) && tidy_network(u->t, slot);
}

static bool is_listed(const struct table *t, uint32_t slot, uint16_t attachment,
		      const struct prefix *p)
{
	struct members *m = net_members(net_at(t, slot), attachment);

	return m && lpm_get(&m->rows, p, NULL) != LPM_NONE;
}

static bool remove_lndt(struct update *u, const struct lndt_row *r)
{
	uint32_t slot = table_slot(u->t, r->network);
	struct entry e;
	uint64_t note;

	if (slot == UINT32_MAX || !is_listed(u->t, slot, r->attachment, &r->prefix)) {
		report_missing(u, "LNDT", r->network, &r->prefix, r->file, r->line);
		return true;
	}
	if (!sets_remove(u->t, r->attachment, &r->prefix, slot) ||
	    !take_member(u->t, slot, r->attachment, &r->prefix))
		return false;
	/* It stays in the GNDT as a row, or as a member on another attachment. */
	lpm_get(&net_at(u->t, slot)->gndt, &r->prefix, &note);
	if (note & NOTE_ROW || (entry_of(u->t, slot, &r->prefix, &e) && e.member))
		return true;
	return take_route(u->t, slot, &r->prefix) && tidy_network(u->t, slot);
}

/* ---- rows that come ------------------------------------------------------------ */

static bool add_gndt(struct update *u, const struct gndt_row *r)
{
	struct entry e = { &r->prefix, r->file, r->line, 0, r->router, false }, first;
	struct slots partners;
	uint64_t note, before;
	size_t conflicts = u->conflicts.n;

	if (!put_network(u->t, r->network, &e.slot) || !put_place(u->t, r->file, r->line, &note))
		return false;
	if (entry_of(u->t, e.slot, &r->prefix, &first)) {
		if (!check_same_network(&u->conflicts, r->network, &first, &e))
			return true;
		lpm_get(&net_at(u->t, e.slot)->gndt, &r->prefix, &before);
		return before & NOTE_ROW || note_route(u->t, e.slot, &r->prefix, note);
	}
	partners = partners_of(u->t, e.slot);
	if (!partners.bits)
		return false;
	check_entry(&u->conflicts, u->t, &e, &partners);
	free(partners.bits);
	return u->conflicts.n != conflicts || put_route(u->t, e.slot, &r->prefix, r->router, note);
}

/* The network's entry for a new member, and all entries if it has new partners. */
static void check_member(struct update *u, const struct entry *e, const struct slots *before,
			 const struct slots *after)
{
	check_entry(&u->conflicts, u->t, e, before);
	for (uint32_t word = 0; word < after->n; word++) {
		for (uint64_t left = after->bits[word] & ~before->bits[word]; left;
		     left &= left - 1) {
			uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(left);

			if (slot != e->slot)
				check_pair(&u->conflicts, u->t, e->slot, slot);
		}
	}
}

static bool add_lndt(struct update *u, const struct lndt_row *r)
{
	struct entry e = { &r->prefix, r->file, r->line, 0, u->t->self, true }, first;
	struct slots before, after = { 0 };
	bool ok = false, there;
	uint64_t note;

	if (!put_network(u->t, r->network, &e.slot) || !put_place(u->t, r->file, r->line, &note))
		return false;
	if (is_listed(u->t, e.slot, r->attachment, &r->prefix))
		return true;
	there = entry_of(u->t, e.slot, &r->prefix, &first);
	if (there && !check_same_network(&u->conflicts, r->network, &first, &e))
		return true;
	before = partners_of(u->t, e.slot);
	if (before.bits && put_member(u->t, e.slot, r->attachment, &r->prefix, note) &&
	    sets_add(u->t, r->attachment, &r->prefix, &e.slot, 1) &&
	    (there || put_route(u->t, e.slot, &r->prefix, u->t->self, 0)))
		after = partners_of(u->t, e.slot);
	if (after.bits) {
		check_member(u, &e, &before, &after);
		ok = true;
	}
	free(before.bits);
	free(after.bits);
	return ok;
}

/* -------------------------------------------------------------------------------- */

static bool apply(struct update *u, const struct table_change *c, bool coming)
{
	switch (c->kind) {
	case LNDT_ADD: return !coming || add_lndt(u, &c->lndt);
	case LNDT_REMOVE: return coming || remove_lndt(u, &c->lndt);
	case GNDT_ADD: return !coming || add_gndt(u, &c->gndt);
	case GNDT_REMOVE: return coming || remove_gndt(u, &c->gndt);
	}
	return true;
}

struct table *table_update(const struct table *old, const struct table_change *changes, size_t n,
			   uint64_t version, table_conflict_fn *fn, void *arg)
{
	struct update u = { .t = table_share(old, version), .conflicts = { .fn = fn, .arg = arg } };
	bool ok = u.t != NULL;

	for (unsigned coming = 0; coming < 2; coming++)
		for (size_t i = 0; ok && i < n; i++)
			ok = apply(&u, &changes[i], coming);
	if (ok && u.conflicts.n == 0)
		return u.t;
	table_free(u.t);
	return NULL;
}
