/*
 * What lpm.c (looking) and lpm_change.c (changing) share: how a table is laid out
 * in memory. The opening comment of lpm.c explains it.
 */
#ifndef COMMON_LPM_PRIVATE_H
#define COMMON_LPM_PRIVATE_H

#include "common/lpm.h"

#define LPM_NO_PARENT UINT16_MAX

/* An address, first bit in front; what follows an address is zero. */
struct lpm_key {
	uint64_t hi, lo;
};

/* What lists and forks begin with. */
struct lpm_block {
	uint32_t refs; /* references to it: the owner's thread alone */
	/* A fork looks at (byte number `byte` of the address) >> shift & mask. */
	uint8_t mask; /* 0: a list */
	uint8_t byte, shift;
};

/* A prefix and its outcome. */
struct lpm_leaf {
	uint64_t hi; /* the upper half of its key */
	uint32_t value;
	uint16_t parent; /* place of the longest prefix around it in the list */
	uint8_t len;
};

/* Some prefixes, ascending by address, then length. Behind them, if wide, the lower
 * halves of their keys, and then their notes. */
struct lpm_list {
	struct lpm_block block;
	uint16_t n;
	bool wide; /* prefixes longer than 64 bits are among them */
	struct lpm_leaf at[];
};

struct lpm_fork {
	struct lpm_block block;
	uint32_t count; /* of prefixes, all below included */
	uint16_t n_children;
	uint8_t depth;	      /* bits of the address before those that it looks at */
	uint8_t bits;	      /* how many it looks at: 4 or 8 */
	struct lpm_key base;  /* agrees with all prefixes below in `depth` bits */
	struct lpm_list *own; /* prefixes that end before or inside the bits; or NULL */
	struct lpm_block *child[];
};

/* A prefix on its way into a list or out of it. */
struct lpm_item {
	struct lpm_key key;
	uint64_t note;
	uint32_t value;
	uint8_t len;
};

static inline const struct lpm_list *as_list(const struct lpm_block *b)
{
	return (const struct lpm_list *)b;
}

static inline const struct lpm_fork *as_fork(const struct lpm_block *b)
{
	return (const struct lpm_fork *)b;
}

static inline const uint64_t *list_lo(const struct lpm_list *l)
{
	return (const uint64_t *)(l->at + l->n);
}

static inline const uint64_t *list_notes(const struct lpm_list *l)
{
	return list_lo(l) + (l->wide ? l->n : 0);
}

static inline struct lpm_key list_key(const struct lpm_list *l, unsigned i)
{
	return (struct lpm_key){ .hi = l->at[i].hi, .lo = l->wide ? list_lo(l)[i] : 0 };
}

static inline size_t list_size(unsigned n, bool wide)
{
	return sizeof(struct lpm_list) +
	       n * (sizeof(struct lpm_leaf) + (wide ? 2 : 1) * sizeof(uint64_t));
}

static inline size_t fork_size(unsigned bits)
{
	return sizeof(struct lpm_fork) + ((size_t)1 << bits) * sizeof(struct lpm_block *);
}

/* How many prefixes are in it; NULL holds none. */
static inline size_t block_count(const struct lpm_block *b)
{
	return !b ? 0 : b->mask ? as_fork(b)->count : as_list(b)->n;
}

/* Which child of the fork a key belongs to. */
static inline unsigned fork_slot(const struct lpm_fork *f, struct lpm_key key)
{
	uint64_t half = f->depth < 64 ? key.hi : key.lo;

	return half >> (64 - f->depth % 64 - f->bits) & f->block.mask;
}

/* Whether the first `len` bits agree. */
static inline bool key_match(struct lpm_key a, struct lpm_key b, unsigned len)
{
	if (len < 64)
		return (a.hi ^ b.hi) >> (63 - len) >> 1 == 0;
	return a.hi == b.hi && (len == 64 || (a.lo ^ b.lo) >> (128 - len) == 0);
}

/* How many bits agree, up to 128. */
static inline unsigned key_common(struct lpm_key a, struct lpm_key b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	return a.lo != b.lo ? 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo) : 128;
}

static inline bool key_after(struct lpm_key a, struct lpm_key b)
{
	return a.hi > b.hi || (a.hi == b.hi && a.lo > b.lo);
}

/* The last place in the list whose key is not after this one; 0 if there is none.
 * The rest of a few is tried one by one: one wrong guess of the processor's costs
 * less than loads that wait for each other. */
static inline unsigned list_place(const struct lpm_list *l, struct lpm_key key)
{
	unsigned at = 0, end = l->n;

	while (end - at > 16) {
		unsigned middle = at + (end - at) / 2;

		if (!key_after(list_key(l, middle), key))
			at = middle;
		else
			end = middle;
	}
	if (!l->wide)
		while (at + 1 < end && l->at[at + 1].hi <= key.hi)
			at++;
	else
		while (at + 1 < end && !key_after(list_key(l, at + 1), key))
			at++;
	return at;
}

/* Changing: *at is a reference to a block (NULL: no prefixes) that nobody else looks
 * at, and becomes another one. False: out of memory, no prefix came or went. The
 * item of lpm_block_remove is there. */
bool lpm_block_put(struct lpm_block **at, const struct lpm_item *);
bool lpm_block_remove(struct lpm_block **at, struct lpm_key, unsigned len);
void lpm_block_drop(struct lpm_block *);

#endif
