/*
 * How a longest-prefix table changes: lists and forks, put in and taken out.
 *
 * Everything works on a reference (*at). A block that others refer to as well is
 * replaced by a copy of its own before it is changed; its children are shared by
 * both from then on. So a table that nobody shares is changed in place, which is
 * how large ones are built, and one that is shared copies a few blocks.
 *
 *   list of more than LIST_MAX        -> a fork of 4 bits
 *   fork of more than WIDE_MIN, its   -> a fork of 8 bits: the one or two levels of
 *     bits the first of a byte             4 bits below it become one
 *   fork of WIDE_END or less, 8 bits  -> made anew
 *   fork of LIST_MIN or less          -> a list
 *   fork of one child and nothing own -> the child
 *
 * Each costs at most some hundred steps, whatever the table's size, and after one
 * it takes many changes to come to the opposite.
 *
 * Out of memory: what has been changed then is shape alone. A table that holds the
 * same prefixes in another shape is as good.
 */
#include <stdlib.h>
#include <string.h>

#include "common/lpm_private.h"

enum {
	LIST_MAX = 24,
	LIST_MIN = 10,
	WIDE_MIN = 1024,
	WIDE_END = 256,
};

static struct lpm_block *shared(struct lpm_block *b)
{
	if (b)
		b->refs++;
	return b;
}

void lpm_block_drop(struct lpm_block *b)
{
	if (!b || --b->refs)
		return;
	if (b->mask) {
		struct lpm_fork *f = (struct lpm_fork *)b;

		for (unsigned s = 0; s <= b->mask; s++)
			lpm_block_drop(f->child[s]);
		if (f->own)
			lpm_block_drop(&f->own->block);
	}
	free(b);
}

/* ---- lists ------------------------------------------------------------------- */

static struct lpm_item list_item(const struct lpm_list *l, unsigned i)
{
	const struct lpm_leaf *leaf = &l->at[i];

	return (struct lpm_item){ .key = list_key(l, i),
				  .note = list_notes(l)[i],
				  .value = leaf->value,
				  .len = leaf->len };
}

/* Whether item a stands at or behind b. */
static bool item_after(struct lpm_key key, unsigned len, const struct lpm_list *l, unsigned i)
{
	struct lpm_key other = list_key(l, i);

	if (key.hi != other.hi || key.lo != other.lo)
		return key_after(key, other);
	return len >= l->at[i].len;
}

/* The place of this prefix or, *ret_there false, where it would be. */
static unsigned list_seek(const struct lpm_list *l, struct lpm_key key, unsigned len,
			  bool *ret_there)
{
	unsigned at = list_place(l, key);

	while (at && !item_after(key, len, l, at))
		at--;
	if (!item_after(key, len, l, at)) {
		*ret_there = false;
		return 0;
	}
	*ret_there = l->at[at].len == len && key_match(list_key(l, at), key, 128);
	return *ret_there ? at : at + 1;
}

static struct lpm_list *list_new(unsigned n, bool wide)
{
	struct lpm_list *l = malloc(list_size(n, wide));

	if (l)
		*l = (struct lpm_list){ .block = { .refs = 1 }, .n = (uint16_t)n, .wide = wide };
	return l;
}

/* Items in order. NULL: out of memory. */
static struct lpm_list *list_of(const struct lpm_item *items, unsigned n)
{
	struct lpm_list *l;
	uint64_t *lo, *notes;
	bool wide = false;

	for (unsigned i = 0; i < n; i++)
		wide |= items[i].len > 64;
	l = list_new(n, wide);
	if (!l)
		return NULL;
	lo = (uint64_t *)list_lo(l);
	notes = (uint64_t *)list_notes(l);
	for (unsigned i = 0; i < n; i++) {
		unsigned parent = i ? i - 1 : LPM_NO_PARENT;

		if (wide)
			lo[i] = items[i].key.lo;
		notes[i] = items[i].note;
		while (parent != LPM_NO_PARENT &&
		       !key_match(items[parent].key, items[i].key, items[parent].len))
			parent = l->at[parent].parent;
		l->at[i] = (struct lpm_leaf){ .hi = items[i].key.hi,
					      .value = items[i].value,
					      .parent = (uint16_t)parent,
					      .len = items[i].len };
	}
	return l;
}

/* The items of a list, with room for one more. A fork's own may be: each length up
 * to 128 around it, 255 inside it. */
enum { ITEMS_MAX = 128 + 256 + 1 };

static unsigned list_items(const struct lpm_list *l, struct lpm_item *ret)
{
	unsigned n = l ? l->n : 0;

	for (unsigned i = 0; i < n; i++)
		ret[i] = list_item(l, i);
	return n;
}

/* The items of a list (or NULL) and one more, or one in the place of its like. */
static unsigned list_items_with(const struct lpm_list *l, const struct lpm_item *item,
				struct lpm_item *ret)
{
	unsigned n = list_items(l, ret), i;
	bool there = false;

	i = l ? list_seek(l, item->key, item->len, &there) : 0;
	if (!there)
		memmove(ret + i + 1, ret + i, (n++ - i) * sizeof(ret[0]));
	ret[i] = *item;
	return n;
}

static bool list_remove(struct lpm_list **at, struct lpm_key key, unsigned len)
{
	struct lpm_item items[ITEMS_MAX];
	unsigned n = list_items(*at, items), i;
	struct lpm_list *l = NULL;
	bool there;

	i = list_seek(*at, key, len, &there);
	if (there)
		memmove(items + i, items + i + 1, (--n - i) * sizeof(items[0]));
	if (n && !(l = list_of(items, n)))
		return false;
	lpm_block_drop(&(*at)->block);
	*at = l;
	return true;
}

/* ---- forks ------------------------------------------------------------------- */

static struct lpm_fork *fork_new(unsigned depth, unsigned bits, struct lpm_key base)
{
	struct lpm_fork *f = calloc(1, fork_size(bits));

	if (!f)
		return NULL;
	f->block.refs = 1;
	f->block.mask = (uint8_t)((1u << bits) - 1);
	f->block.byte = (uint8_t)(depth / 8);
	f->block.shift = (uint8_t)(8 - bits - depth % 8);
	f->depth = (uint8_t)depth;
	f->bits = (uint8_t)bits;
	f->base = base;
	return f;
}

/* Sees to it that nobody shares *at, a fork. */
static bool fork_unshare(struct lpm_block **at)
{
	struct lpm_fork *f = (struct lpm_fork *)*at, *copy;

	if (f->block.refs == 1)
		return true;
	copy = malloc(fork_size(f->bits));
	if (!copy)
		return false;
	memcpy(copy, f, fork_size(f->bits));
	copy->block.refs = 1;
	if (copy->own)
		copy->own->block.refs++;
	for (unsigned s = 0; s <= copy->block.mask; s++)
		shared(copy->child[s]);
	f->block.refs--;
	*at = &copy->block;
	return true;
}

static void fork_adopt(struct lpm_fork *f, unsigned slot, struct lpm_block *child)
{
	f->child[slot] = child;
	f->n_children++;
	f->count += (uint32_t)block_count(child);
}

static bool own_put(struct lpm_fork *f, const struct lpm_item *item)
{
	struct lpm_item items[ITEMS_MAX];
	unsigned n = list_items_with(f->own, item, items), before = f->own ? f->own->n : 0;
	struct lpm_list *l = list_of(items, n);

	if (!l)
		return false;
	if (f->own)
		lpm_block_drop(&f->own->block);
	f->own = l;
	f->count += n - before;
	return true;
}

/* Puts an item into a fork that nobody shares and that agrees with it. */
static bool fork_put(struct lpm_fork *f, const struct lpm_item *item)
{
	if (item->len < f->depth + f->bits) {
		if (!own_put(f, item))
			return false;
	} else {
		struct lpm_block **child = &f->child[fork_slot(f, item->key)];
		size_t before = block_count(*child);
		bool first = !*child;

		if (!lpm_block_put(child, item))
			return false;
		f->n_children += first;
		f->count += (uint32_t)(block_count(*child) - before);
	}
	return true;
}

/* A fork of 4 bits for n items in order, where the first of them differ that don't
 * hold all others. */
static struct lpm_block *fork_of(const struct lpm_item *items, unsigned n)
{
	const struct lpm_item *last = &items[n - 1];
	unsigned first = 0, common;
	struct lpm_fork *f;

	while (first < n - 1 && key_match(items[first].key, last->key, items[first].len))
		first++;
	common = key_common(items[first].key, last->key);
	if (common >= last->len) /* each holds the next */
		common = last->len - 1;
	f = fork_new(common & ~3u, 4, last->key);
	for (unsigned i = 0; f && i < n; i++) {
		if (!fork_put(f, &items[i])) {
			lpm_block_drop(&f->block);
			f = NULL;
		}
	}
	return f ? &f->block : NULL;
}

/* Moves the own items of *at, a fork, that are shorter than this over to another
 * fork. */
static bool fork_cede(struct lpm_block **at, unsigned len, struct lpm_fork *to)
{
	struct lpm_item items[ITEMS_MAX];
	unsigned n = list_items(as_fork(*at)->own, items), kept = 0;
	struct lpm_list *rest = NULL;
	struct lpm_fork *f;

	for (unsigned i = 0; i < n; i++) {
		if (items[i].len >= len)
			items[kept++] = items[i];
		else if (!fork_put(to, &items[i]))
			return false;
	}
	if (kept == n)
		return true;
	if (!fork_unshare(at) || (kept && !(rest = list_of(items, kept))))
		return false;
	f = (struct lpm_fork *)*at;
	lpm_block_drop(&f->own->block);
	f->own = rest;
	f->count -= n - kept;
	return true;
}

/* Puts a fork of 4 bits above *at, a fork, for an item that agrees with it in
 * `common` bits only. */
static bool fork_raise(struct lpm_block **at, unsigned common)
{
	struct lpm_fork *up = fork_new(common & ~3u, 4, as_fork(*at)->base);
	struct lpm_block *below = shared(*at);

	if (!up || !fork_cede(&below, up->depth + up->bits, up)) {
		lpm_block_drop(below);
		if (up)
			lpm_block_drop(&up->block);
		return false;
	}
	fork_adopt(up, fork_slot(up, up->base), below);
	lpm_block_drop(*at);
	*at = &up->block;
	return true;
}

/* Takes what a child of a fork of 4 bits holds over to one of 8 in its place. */
static bool widen_child(struct lpm_fork *wide, const struct lpm_block *child, unsigned slot)
{
	struct lpm_item items[ITEMS_MAX];
	const struct lpm_fork *f = as_fork(child);
	struct lpm_block *below;
	unsigned n;

	if (child->mask && f->depth >= wide->depth + 8) {
		below = shared((struct lpm_block *)child);
		if (!fork_cede(&below, wide->depth + 8u, wide)) {
			lpm_block_drop(below);
			return false;
		}
		fork_adopt(wide, fork_slot(wide, f->base), below);
		return true;
	}
	n = list_items(child->mask ? f->own : as_list(child), items);
	for (unsigned s = 0; child->mask && s <= child->mask; s++)
		if (f->child[s])
			fork_adopt(wide, slot << 4 | s, shared(f->child[s]));
	for (unsigned i = 0; i < n; i++)
		if (!fork_put(wide, &items[i]))
			return false;
	return true;
}

/* Replaces *at, a fork of 4 bits, by one of 8. Without memory it stays. */
static void fork_widen(struct lpm_block **at)
{
	const struct lpm_fork *f = as_fork(*at);
	struct lpm_fork *wide = fork_new(f->depth, 8, f->base);

	if (!wide)
		return;
	if (f->own) {
		wide->own = (struct lpm_list *)shared(&f->own->block);
		wide->count = f->own->n;
	}
	for (unsigned s = 0; s <= f->block.mask; s++) {
		if (f->child[s] && !widen_child(wide, f->child[s], s)) {
			lpm_block_drop(&wide->block);
			return;
		}
	}
	lpm_block_drop(*at);
	*at = &wide->block;
}

/* ---- both -------------------------------------------------------------------- */

static bool leaf_put(struct lpm_block **at, const struct lpm_item *item)
{
	struct lpm_item items[ITEMS_MAX];
	unsigned n = list_items_with(as_list(*at), item, items);
	struct lpm_list *l = n <= LIST_MAX ? list_of(items, n) : NULL;
	struct lpm_block *b = n > LIST_MAX ? fork_of(items, n) : l ? &l->block : NULL;

	if (!b)
		return false;
	lpm_block_drop(*at);
	*at = b;
	return true;
}

bool lpm_block_put(struct lpm_block **at, const struct lpm_item *item)
{
	const struct lpm_fork *f = as_fork(*at);

	if (!*at || !(*at)->mask)
		return leaf_put(at, item);
	if (key_common(item->key, f->base) < f->depth &&
	    key_common(item->key, f->base) < item->len &&
	    !fork_raise(at, key_common(item->key, f->base)))
		return false;
	if (!fork_unshare(at) || !fork_put((struct lpm_fork *)*at, item))
		return false;
	f = as_fork(*at);
	if (f->count > WIDE_MIN && f->bits == 4 && f->depth % 8 == 0)
		fork_widen(at);
	return true;
}

static unsigned block_items(const struct lpm_block *b, struct lpm_item *ret)
{
	const struct lpm_fork *f = as_fork(b);
	unsigned n = 0, own = 0;

	if (!b)
		return 0;
	if (!b->mask)
		return list_items(as_list(b), ret);
	for (unsigned s = 0; s <= b->mask; s++) {
		while (f->own && own < f->own->n && fork_slot(f, list_key(f->own, own)) <= s)
			ret[n++] = list_item(f->own, own++);
		n += block_items(f->child[s], ret + n);
	}
	return n;
}

/* Gives a fork that has become small the shape that its prefixes would have now.
 * Without memory it stays. */
static void fork_shrink(struct lpm_block **at)
{
	const struct lpm_fork *f = as_fork(*at);
	struct lpm_item items[WIDE_END];
	struct lpm_block *b = NULL;
	unsigned n;

	if (f->count <= LIST_MIN || (f->bits == 8 && f->count <= WIDE_END)) {
		struct lpm_list *l;

		n = block_items(*at, items);
		if (n > LIST_MAX)
			b = fork_of(items, n);
		else if (n && (l = list_of(items, n)))
			b = &l->block;
		if (n && !b)
			return;
	} else if (f->n_children == 1 && !f->own) {
		for (unsigned s = 0; !b; s++)
			b = f->child[s];
		shared(b);
	} else {
		return;
	}
	lpm_block_drop(*at);
	*at = b;
}

bool lpm_block_remove(struct lpm_block **at, struct lpm_key key, unsigned len)
{
	struct lpm_fork *f = (struct lpm_fork *)*at;
	struct lpm_list *list = (struct lpm_list *)*at;

	if (!(*at)->mask) {
		if (!list_remove(&list, key, len))
			return false;
		*at = list ? &list->block : NULL;
		return true;
	}
	if (!fork_unshare(at))
		return false;
	f = (struct lpm_fork *)*at;
	if (len < f->depth + f->bits) {
		if (!list_remove(&f->own, key, len))
			return false;
	} else {
		struct lpm_block **child = &f->child[fork_slot(f, key)];

		if (!lpm_block_remove(child, key, len))
			return false;
		f->n_children -= !*child;
	}
	f->count--;
	fork_shrink(at);
	return true;
}
