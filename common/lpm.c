/*
 * Longest-prefix match: a trie of lists.
 *
 *   1. Few prefixes are a list, sorted by address, then length. The last one whose
 *      address is not after the one sought is found by halving. It or a prefix
 *      around it, which it knows by its place, is the longest match.
 *   2. More are a fork: the next 4 bits of the address choose a child, 8 where
 *      there are many prefixes. Bits that all of them agree in are passed over, so
 *      that sixty-four of a /48 in common cost one step, not sixteen.
 *   3. Prefixes that end before or inside a fork's bits are in a list of its own,
 *      never in its children. So one prefix is in one place however short it is,
 *      and a change is as cheap for a default route as for a host.
 *
 * A walk does not check the bits that forks pass over: it may go astray below
 * prefixes that don't hold the address at all. No harm: every match in a list is
 * checked in full, and whatever is found later on the way is longer.
 *
 * Lists and forks are blocks that never change once they are shared. They count
 * who refers to them: the struct lpm or forks above. A change makes new ones of
 * those on the way from the top to the place (lpm_change.c) and shares the rest.
 * Counters are touched by the owner's thread alone; whoever publishes a table to
 * other threads sees to it that it outlives their lookups.
 */
#include "common/lpm.h"

#include <endian.h>
#include <string.h>

#include "common/lpm_private.h"

static struct lpm_key key_of(const struct ip *ip)
{
	uint64_t half[2];

	memcpy(half, ip->b, sizeof(half));
	if (ip->family == 4)
		return (struct lpm_key){ .hi = be64toh(half[0]) & ~UINT64_C(0xffffffff) };
	return (struct lpm_key){ .hi = be64toh(half[0]), .lo = be64toh(half[1]) };
}

static struct prefix prefix_of(struct lpm_key key, unsigned family, unsigned len)
{
	const uint64_t half[2] = { htobe64(key.hi), htobe64(key.lo) };
	struct prefix p = { .ip = { .family = (uint8_t)family }, .len = (uint8_t)len };

	memcpy(p.ip.b, half, sizeof(half));
	return p;
}

/* ---- looking ----------------------------------------------------------------- */

/* A place in a list; list NULL: nothing. */
struct hit {
	const struct lpm_list *list;
	unsigned at;
};

/* The longest prefix of up to max bits that holds the key; LPM_NO_PARENT: none. */
static inline __attribute__((always_inline)) unsigned list_find(const struct lpm_list *l,
								struct lpm_key key, unsigned max)
{
	unsigned i = list_place(l, key);

	while (i != LPM_NO_PARENT &&
	       (l->at[i].len > max || !key_match(list_key(l, i), key, l->at[i].len)))
		i = l->at[i].parent;
	return i;
}

static inline __attribute__((always_inline)) struct hit find(const struct lpm *l,
							     const struct ip *ip, unsigned max)
{
	const struct lpm_block *b = ip->family == 4 ? l->v4 : ip->family == 6 ? l->v6 : NULL;
	struct lpm_key key = key_of(ip);
	struct hit hit = { NULL, 0 };
	unsigned at;

	while (b && b->mask) {
		const struct lpm_fork *f = as_fork(b);

		if (f->own && (at = list_find(f->own, key, max)) != LPM_NO_PARENT)
			hit = (struct hit){ f->own, at };
		b = f->child[ip->b[b->byte] >> b->shift & b->mask];
	}
	if (!b)
		return hit;
	/* Most lists are three or four cache lines: have them come together. */
	__builtin_prefetch((const char *)b + 64);
	__builtin_prefetch((const char *)b + 128);
	__builtin_prefetch((const char *)b + 192);
	if ((at = list_find(as_list(b), key, max)) != LPM_NO_PARENT)
		hit = (struct hit){ as_list(b), at };
	return hit;
}

uint32_t lpm_lookup(const struct lpm *l, const struct ip *ip, unsigned *ret_len)
{
	struct hit hit = find(l, ip, 128);
	const struct lpm_leaf *leaf;

	if (!hit.list)
		return LPM_NONE;
	leaf = &hit.list->at[hit.at];
	if (ret_len)
		*ret_len = leaf->len;
	return leaf->value;
}

uint32_t lpm_get(const struct lpm *l, const struct prefix *p, uint64_t *ret_note)
{
	struct hit hit = find(l, &p->ip, p->len);

	if (!hit.list || hit.list->at[hit.at].len != p->len)
		return LPM_NONE;
	if (ret_note)
		*ret_note = list_notes(hit.list)[hit.at];
	return hit.list->at[hit.at].value;
}

uint32_t lpm_around(const struct lpm *l, const struct prefix *p)
{
	struct hit hit = { NULL, 0 };

	if (p->len)
		hit = find(l, &p->ip, p->len - 1);
	return hit.list ? hit.list->at[hit.at].value : LPM_NONE;
}

/* ---- one after the other ------------------------------------------------------- */

struct walk {
	lpm_fn *fn;
	void *arg;
	unsigned family;
	size_t skip;
	/* only what lies inside this prefix; skip is 0 then, or len is */
	struct lpm_key key;
	unsigned len;
};

static bool list_each(const struct lpm_list *l, unsigned from, unsigned end, struct walk *w)
{
	for (unsigned i = from; i < end; i++) {
		const struct lpm_leaf *leaf = &l->at[i];
		struct lpm_key key = list_key(l, i);
		struct lpm_entry e;

		if (w->skip) {
			w->skip--;
			continue;
		}
		if (leaf->len < w->len || !key_match(key, w->key, w->len))
			continue;
		e = (struct lpm_entry){ .prefix = prefix_of(key, w->family, leaf->len),
					.value = leaf->value,
					.note = list_notes(l)[i] };
		if (!w->fn(w->arg, &e))
			return false;
	}
	return true;
}

/* Own prefixes stand before the children of the slot that they begin in. */
static bool block_each(const struct lpm_block *b, struct walk *w)
{
	const struct lpm_fork *f = as_fork(b);
	unsigned first = 0, end = b ? b->mask + 1u : 0, own = 0;

	if (w->skip >= block_count(b)) {
		w->skip -= block_count(b);
		return true;
	}
	if (!b->mask)
		return list_each(as_list(b), 0, as_list(b)->n, w);
	if (!key_match(f->base, w->key, f->depth < w->len ? f->depth : w->len))
		return true;
	if (w->len > f->depth) {
		unsigned known = w->len - f->depth < f->bits ? w->len - f->depth : f->bits;

		first = fork_slot(f, w->key);
		end = first + (1u << (f->bits - known));
	}
	for (unsigned s = first; s < end; s++) {
		unsigned next = own;

		while (f->own && next < f->own->n && fork_slot(f, list_key(f->own, next)) <= s)
			next++;
		if ((next > own && !list_each(f->own, own, next, w)) || !block_each(f->child[s], w))
			return false;
		own = next;
	}
	return true;
}

bool lpm_each(const struct lpm *l, size_t skip, lpm_fn *fn, void *arg)
{
	struct walk w = { .fn = fn, .arg = arg, .family = 4, .skip = skip };

	if (!block_each(l->v4, &w))
		return false;
	w.family = 6;
	return block_each(l->v6, &w);
}

bool lpm_each_within(const struct lpm *l, const struct prefix *p, lpm_fn *fn, void *arg)
{
	struct walk w = {
		.fn = fn, .arg = arg, .family = p->ip.family, .key = key_of(&p->ip), .len = p->len
	};

	return block_each(p->ip.family == 4 ? l->v4 : l->v6, &w);
}

size_t lpm_count(const struct lpm *l)
{
	return l->count;
}

static size_t block_memory(const struct lpm_block *b)
{
	const struct lpm_fork *f = as_fork(b);
	size_t size = 0;

	if (!b)
		return 0;
	if (!b->mask)
		return list_size(as_list(b)->n, as_list(b)->wide);
	for (unsigned s = 0; s <= b->mask; s++)
		size += block_memory(f->child[s]);
	return size + fork_size(f->bits) + (f->own ? block_memory(&f->own->block) : 0);
}

size_t lpm_memory(const struct lpm *l)
{
	return sizeof(*l) + block_memory(l->v4) + block_memory(l->v6);
}

/* ---- changing ------------------------------------------------------------------ */

bool lpm_init(struct lpm *l, const struct lpm_entry *entries, size_t n)
{
	*l = (struct lpm){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (!lpm_put(l, &entries[i]) || l->count != i + 1) {
			lpm_done(l);
			return false;
		}
	}
	return true;
}

void lpm_done(struct lpm *l)
{
	lpm_block_drop(l->v4);
	lpm_block_drop(l->v6);
	*l = (struct lpm){ 0 };
}

void lpm_share(struct lpm *l, const struct lpm *from)
{
	*l = *from;
	if (l->v4)
		l->v4->refs++;
	if (l->v6)
		l->v6->refs++;
}

/* Host bits would break the order that lists rely on. */
static bool prefix_is_valid(const struct prefix *p)
{
	struct lpm_key key = key_of(&p->ip);

	return (p->ip.family == 4 || p->ip.family == 6) && p->len <= ip_bits(&p->ip) &&
	       (p->len < 64 ? key.hi << p->len == 0 && key.lo == 0
			    : p->len == 128 || key.lo << (p->len - 64) == 0);
}

bool lpm_put(struct lpm *l, const struct lpm_entry *e)
{
	struct lpm_block **root = e->prefix.ip.family == 4 ? &l->v4 : &l->v6;
	const struct lpm_item item = { .key = key_of(&e->prefix.ip),
				       .note = e->note,
				       .value = e->value,
				       .len = e->prefix.len };

	if (!prefix_is_valid(&e->prefix) || e->value == LPM_NONE || !lpm_block_put(root, &item))
		return false;
	l->count = block_count(l->v4) + block_count(l->v6);
	return true;
}

bool lpm_remove(struct lpm *l, const struct prefix *p)
{
	if (lpm_get(l, p, NULL) == LPM_NONE)
		return true;
	if (!lpm_block_remove(p->ip.family == 4 ? &l->v4 : &l->v6, key_of(&p->ip), p->len))
		return false;
	l->count--;
	return true;
}
