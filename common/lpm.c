/*
 * Longest-prefix match: a poptrie (a multibit trie whose nodes find their
 * children by counting bits), with a plain list in its place where a family
 * has only a handful of prefixes.
 *
 *   1. An address of either family becomes a left-aligned 128-bit key, so that
 *      one trie code serves both.
 *   2. The first direct_bits bits of the key choose a slot of `direct`: a node,
 *      or a leaf at once. A small trie has no such bits and one slot.
 *   3. Each node looks at the next six bits: a set bit in `children` means
 *      that the walk goes on in a child. The children of a node lie next to
 *      each other, so the number of set bits up to that one is the child's
 *      place. If the bit is not set, the leaf is found in the same way in
 *      `runs`, where neighbours of equal outcome share one leaf.
 *
 * Every leaf holds the longest match for its addresses, so a walk never looks
 * back: it ends at a leaf that may say LPM_NONE. Prefixes are pushed down to
 * the leaves when the table is built; there is no insert or remove, an owner
 * that changes something builds anew.
 *
 * The list exists for the many virtual networks with a few prefixes: a single
 * IPv6 host route would need 22 nodes, here it takes 24 bytes.
 */
#include "common/lpm.h"

#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	STRIDE = 6,	      /* bits that a node looks at: one 64-bit word */
	FANOUT = 1 << STRIDE, /* slots of a node */
	LIST_MAX = 16,	      /* prefixes of a family up to which it is a list */
	DIRECT_BITS_MIN = 12, /* direct slots only where they are fewer than */
	DIRECT_BITS_MAX = 16, /* the prefixes: at most four bytes for each */
};

#define LEAF_BIT 0x80000000u /* in a reference: this is a leaf, not a node */

/* An address, first bit in front; what follows an address is zero. */
struct key {
	uint64_t hi, lo;
};

/* A prefix ready for sorting and matching. */
struct item {
	struct key key;
	uint32_t value;
	uint8_t len;
};

/* The outcome of a lookup. */
struct leaf {
	uint32_t value;
	uint32_t len;
};

struct node {
	uint64_t children; /* bit s: slot s goes on in a child */
	uint64_t runs;	   /* bit s: slot s is a leaf unlike the one before it */
	uint32_t child0;   /* the first child, in nodes */
	uint32_t leaf0;	   /* the first leaf, in leaves */
};

/* The prefixes of one family: `list` or, where that is NULL, the trie. */
struct family {
	struct item *list; /* ascending by address, then length */
	uint32_t n_list;
	uint32_t direct_bits;
	uint32_t *direct; /* references; NULL: no trie */
	struct node *nodes;
	struct leaf *leaves;
	uint32_t n_nodes, n_leaves;
};

struct lpm {
	struct family v4, v6;
	size_t count;
};

static const struct leaf no_match = { .value = LPM_NONE };

/*
 * Keys
 */

static inline struct key key_of(const struct ip *ip)
{
	uint64_t half[2];

	memcpy(half, ip->b, sizeof(half));
	if (ip->family == 4)
		return (struct key){ .hi = be64toh(half[0]) & ~UINT64_C(0xffffffff) };
	return (struct key){ .hi = be64toh(half[0]), .lo = be64toh(half[1]) };
}

/* The first `bits` bits, 0 to 32 of them, as a number. */
static inline uint32_t key_top(struct key k, unsigned bits)
{
	return (k.hi >> 1) >> (63 - bits);
}

/* The key without its first `bits` bits, 0 to 63 of them. */
static inline struct key key_shift(struct key k, unsigned bits)
{
	return (struct key){
		.hi = k.hi << bits | (k.lo >> 1) >> (63 - bits),
		.lo = k.lo << bits,
	};
}

/* Bits `depth` to `depth + width` of the key; those past its end are zero. */
static uint32_t key_slot(struct key k, unsigned depth, unsigned width)
{
	while (depth > 63) {
		k = key_shift(k, 63);
		depth -= 63;
	}
	return key_top(key_shift(k, depth), width);
}

/* Whether the first `len` bits agree. */
static inline bool key_match(struct key a, struct key b, unsigned len)
{
	if (len == 0)
		return true;
	if (len <= 64)
		return (a.hi ^ b.hi) >> (64 - len) == 0;
	return a.hi == b.hi && (a.lo ^ b.lo) >> (128 - len) == 0;
}

static int item_compare(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;

	if (a->key.hi != b->key.hi)
		return a->key.hi < b->key.hi ? -1 : 1;
	if (a->key.lo != b->key.lo)
		return a->key.lo < b->key.lo ? -1 : 1;
	return (int)a->len - (int)b->len;
}

/*
 * Building
 *
 * Items are sorted, so that a prefix stands before all that lie inside it, and
 * what lies inside one slot of a node is one range of items.
 */

/* One slot of a node while it is made. */
struct slot {
	struct leaf leaf; /* the longest prefix that covers the whole slot */
	uint32_t first;	  /* the items that end deeper inside it */
	uint32_t n;
};

/* A family's trie in the making: arrays that grow. */
struct build {
	struct family *f;
	const struct item *items;
	size_t node_cap, leaf_cap;
};

/* Makes room for `extra` elements after the first n; NULL if there is none. */
static void *grow(void *array, size_t *cap, size_t n, size_t extra, size_t size)
{
	size_t want = *cap ? *cap : 16;
	void *bigger;

	if (n + extra <= *cap)
		return array;
	while (want < n + extra)
		want *= 2;
	if (want > LEAF_BIT)
		return NULL;
	bigger = realloc(array, want * size);
	if (bigger)
		*cap = want;
	return bigger;
}

static bool take_nodes(struct build *b, uint32_t n, uint32_t *ret_first)
{
	struct family *f = b->f;
	struct node *nodes = grow(f->nodes, &b->node_cap, f->n_nodes, n, sizeof(*nodes));

	if (!nodes)
		return false;
	f->nodes = nodes;
	*ret_first = f->n_nodes;
	f->n_nodes += n;
	return true;
}

static bool put_leaf(struct build *b, struct leaf leaf)
{
	struct family *f = b->f;
	struct leaf *leaves = grow(f->leaves, &b->leaf_cap, f->n_leaves, 1, sizeof(*leaves));

	if (!leaves)
		return false;
	f->leaves = leaves;
	f->leaves[f->n_leaves++] = leaf;
	return true;
}

static bool leaf_equal(struct leaf a, struct leaf b)
{
	return a.value == b.value && a.len == b.len;
}

/* Spreads n items over the slots that stand for the `width` bits at `depth`.
 * `cover` is the longest prefix around them all. A later item that covers a
 * slot lies inside the earlier ones that do, so it simply replaces them. */
static void paint(const struct build *b, uint32_t first, uint32_t n, unsigned depth, unsigned width,
		  struct leaf cover, struct slot *slots)
{
	for (uint32_t s = 0; s < 1u << width; s++)
		slots[s] = (struct slot){ .leaf = cover };
	for (uint32_t i = first; i < first + n; i++) {
		const struct item *item = &b->items[i];
		struct slot *slot = &slots[key_slot(item->key, depth, width)];

		if (item->len > depth + width) {
			if (slot->n++ == 0)
				slot->first = i;
			continue;
		}
		for (uint32_t s = 0; s < 1u << (depth + width - item->len); s++)
			slot[s].leaf = (struct leaf){ .value = item->value, .len = item->len };
	}
}

/* Makes node `at` and all below it from n items. Recursion is as deep as the
 * trie, at most 22 levels of about a kilobyte each. */
static bool fill_node(struct build *b, uint32_t at, uint32_t first, uint32_t n, unsigned depth,
		      struct leaf cover)
{
	struct slot slots[FANOUT];
	struct node node = { .leaf0 = b->f->n_leaves };
	uint32_t n_children = 0, child;
	const struct leaf *last = NULL;

	paint(b, first, n, depth, STRIDE, cover, slots);
	for (unsigned s = 0; s < FANOUT; s++) {
		if (slots[s].n) {
			node.children |= UINT64_C(1) << s;
			n_children++;
		} else if (!last || !leaf_equal(*last, slots[s].leaf)) {
			node.runs |= UINT64_C(1) << s;
			last = &slots[s].leaf;
			if (!put_leaf(b, *last))
				return false;
		}
	}
	if (!take_nodes(b, n_children, &node.child0))
		return false;
	b->f->nodes[at] = node;

	child = node.child0;
	for (unsigned s = 0; s < FANOUT; s++) {
		const struct slot *slot = &slots[s];

		if (slot->n &&
		    !fill_node(b, child++, slot->first, slot->n, depth + STRIDE, slot->leaf))
			return false;
	}
	return true;
}

/* Gives back what growing took too much of. A failure leaves it as it was. */
static void *shrink(void *array, size_t n, size_t size)
{
	void *smaller = n ? realloc(array, n * size) : NULL;

	return smaller ? smaller : array;
}

static bool fill_trie(struct family *f, const struct item *items, uint32_t n)
{
	struct build b = { .f = f, .items = items };
	uint32_t n_slots, bits = DIRECT_BITS_MAX;
	struct slot *slots;
	bool ok = false;

	while (bits >= DIRECT_BITS_MIN && n >> bits == 0)
		bits--;
	if (bits < DIRECT_BITS_MIN)
		bits = 0;
	n_slots = 1u << bits;
	f->direct_bits = bits;
	f->direct = calloc(n_slots, sizeof(*f->direct));
	slots = calloc(n_slots, sizeof(*slots));
	if (!f->direct || !slots)
		goto out;
	paint(&b, 0, n, 0, bits, no_match, slots);
	for (uint32_t s = 0; s < n_slots; s++) {
		const struct slot *slot = &slots[s];

		if (slot->n) {
			if (!take_nodes(&b, 1, &f->direct[s]) ||
			    !fill_node(&b, f->direct[s], slot->first, slot->n, bits, slot->leaf))
				goto out;
			continue;
		}
		/* Often the one before it is like it, and two slots may share a leaf. */
		if ((f->n_leaves == 0 || !leaf_equal(f->leaves[f->n_leaves - 1], slot->leaf)) &&
		    !put_leaf(&b, slot->leaf))
			goto out;
		f->direct[s] = LEAF_BIT | (f->n_leaves - 1);
	}
	f->nodes = shrink(f->nodes, f->n_nodes, sizeof(*f->nodes));
	f->leaves = shrink(f->leaves, f->n_leaves, sizeof(*f->leaves));
	ok = true;
out:
	free(slots);
	return ok;
}

/* Takes over n items of one family; false: out of memory or a duplicate. */
static bool family_init(struct family *f, struct item *items, size_t n)
{
	if (n == 0)
		return true;
	if (n >= LEAF_BIT)
		return false;
	qsort(items, n, sizeof(*items), item_compare);
	for (size_t i = 1; i < n; i++) {
		if (item_compare(&items[i - 1], &items[i]) == 0)
			return false;
	}
	if (n > LIST_MAX)
		return fill_trie(f, items, n);
	f->list = malloc(n * sizeof(*items));
	if (!f->list)
		return false;
	memcpy(f->list, items, n * sizeof(*items));
	f->n_list = n;
	return true;
}

static void family_done(struct family *f)
{
	free(f->list);
	free(f->direct);
	free(f->nodes);
	free(f->leaves);
}

/* Whether an entry is one that the trie can hold: host bits would break the
 * order that building relies on. */
static bool entry_is_valid(const struct lpm_entry *e)
{
	const struct ip *ip = &e->prefix.ip;
	unsigned bits = ip->family == 4 ? 32 : 128, len = e->prefix.len;

	if ((ip->family != 4 && ip->family != 6) || len > bits || e->value == LPM_NONE)
		return false;
	for (unsigned i = len; i < bits; i++) {
		if (ip->b[i / 8] & 0x80 >> i % 8)
			return false;
	}
	return true;
}

struct lpm *lpm_new(const struct lpm_entry *entries, size_t n)
{
	struct lpm *l = calloc(1, sizeof(*l));
	struct item *items = calloc(n ? n : 1, sizeof(*items));
	size_t n_v4 = 0, n_v6 = 0;

	if (!l || !items)
		goto fail;
	/* IPv4 from the front, IPv6 from the back. */
	for (size_t i = 0; i < n; i++) {
		const struct lpm_entry *e = &entries[i];
		bool v4 = e->prefix.ip.family == 4;

		if (!entry_is_valid(e))
			goto fail;
		items[v4 ? n_v4++ : n - ++n_v6] = (struct item){
			.key = key_of(&e->prefix.ip),
			.value = e->value,
			.len = e->prefix.len,
		};
	}
	l->count = n;
	if (!family_init(&l->v4, items, n_v4) || !family_init(&l->v6, items + n_v4, n_v6))
		goto fail;
	free(items);
	return l;
fail:
	free(items);
	lpm_free(l);
	return NULL;
}

void lpm_free(struct lpm *l)
{
	if (!l)
		return;
	family_done(&l->v4);
	family_done(&l->v6);
	free(l);
}

/*
 * Lookup
 */

/* The set bits of v. Compilers turn this into one instruction where the
 * target is known to have it; __builtin_popcountll calls a function elsewhere. */
static inline uint32_t count_bits(uint64_t v)
{
	v -= v >> 1 & UINT64_C(0x5555555555555555);
	v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
	v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return v * UINT64_C(0x0101010101010101) >> 56;
}

/* Prefixes that hold the key are nested, and the longest stands last. */
static struct leaf list_lookup(const struct family *f, struct key key)
{
	for (uint32_t i = f->n_list; i-- > 0;) {
		const struct item *item = &f->list[i];

		if (key_match(item->key, key, item->len))
			return (struct leaf){ .value = item->value, .len = item->len };
	}
	return no_match;
}

static struct leaf trie_lookup(const struct family *f, struct key key)
{
	uint32_t at = f->direct[key_top(key, f->direct_bits)];

	key = key_shift(key, f->direct_bits);
	while (!(at & LEAF_BIT)) {
		const struct node *node = &f->nodes[at];
		unsigned s = key_top(key, STRIDE);
		uint64_t up_to_s = (UINT64_C(2) << s) - 1;

		if (node->children >> s & 1)
			at = node->child0 + count_bits(node->children & up_to_s) - 1;
		else
			at = LEAF_BIT | (node->leaf0 + count_bits(node->runs & up_to_s) - 1);
		key = key_shift(key, STRIDE);
	}
	return f->leaves[at & ~LEAF_BIT];
}

uint32_t lpm_lookup(const struct lpm *l, const struct ip *ip, unsigned *ret_len)
{
	const struct family *f = ip->family == 4 ? &l->v4 : &l->v6;
	struct leaf leaf;

	if (ip->family != 4 && ip->family != 6)
		return LPM_NONE;
	leaf = f->direct ? trie_lookup(f, key_of(ip)) : list_lookup(f, key_of(ip));
	if (ret_len && leaf.value != LPM_NONE)
		*ret_len = leaf.len;
	return leaf.value;
}

size_t lpm_count(const struct lpm *l)
{
	return l->count;
}

static size_t family_memory(const struct family *f)
{
	size_t n_direct = f->direct ? (size_t)1 << f->direct_bits : 0;

	return f->n_list * sizeof(*f->list) + n_direct * sizeof(*f->direct) +
	       f->n_nodes * sizeof(*f->nodes) + f->n_leaves * sizeof(*f->leaves);
}

size_t lpm_memory(const struct lpm *l)
{
	return sizeof(*l) + family_memory(&l->v4) + family_memory(&l->v6);
}
