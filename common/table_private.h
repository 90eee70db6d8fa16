/*
 * The inside of an image, for the rooms of table: table.c looks, table_rows.c puts
 * rows in and takes them out, table_conflicts.c finds what does not go together,
 * table_new.c and table_update.c build.
 */
#ifndef COMMON_TABLE_PRIVATE_H
#define COMMON_TABLE_PRIVATE_H

#include "common/table.h"

struct table {
	uint32_t self; /* our router ID */
	uint64_t version;

	/* 32-bit numbers are looked up as prefixes: those of hosts, see number() */
	struct lpm by_id;     /* network ID -> slot */
	struct lpm by_router; /* router ID -> place in routes; note: its prefixes in GNDTs */

	struct vector nets;   /* struct vnet by slot */
	struct vector routes; /* struct delivery */
	struct vector lndt;   /* struct attachment by its number */
	struct vector sets;   /* struct host_set */
	struct names *files;  /* that rows were read from; NULL: none */
};

/* The rows of the LNDT of one network: notes are their places, see place(). */
struct members {
	uint16_t attachment;
	struct lpm rows;
};

struct delivery {
	struct shared shared;
	struct route route;
};

struct attachment {
	struct shared shared;
	struct lpm sets; /* every prefix that some network lists -> place in sets */
};

/* The networks of the hosts of one prefix: those that list it, `own`, and those of
 * the prefix around it. So one longest-prefix lookup finds every network of a host. */
struct host_set {
	struct shared shared;
	uint32_t n_own; /* so many slots follow those of all */
	struct netset all;
};

static inline const uint32_t *set_own(const struct host_set *s)
{
	return s->all.slots + s->all.n;
}

/* File names, each once, and never taken out: rows know theirs by number. */
struct names {
	struct shared shared;
	uint32_t n;
	char *name[];
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

/* Who is told of conflicts, and how many there were. */
struct conflicts {
	table_conflict_fn *fn;
	void *arg;
	size_t n;
};

/* ---- table.c ---- */

/* An image without rows, or with those of another one; NULL: out of memory. */
struct table *table_empty(uint32_t self, uint64_t version);
struct table *table_share(const struct table *, uint64_t version);

static inline const struct vnet *net_at(const struct table *t, uint32_t slot)
{
	return vector_get(&t->nets, slot);
}

static inline const struct host_set *set_at(const struct table *t, uint32_t i)
{
	return vector_get(&t->sets, i);
}

static inline const struct route *route_at(const struct table *t, uint32_t i)
{
	const struct delivery *d = vector_get(&t->routes, i);

	return &d->route;
}

/* The networks of exactly this prefix on an attachment and, if it isn't listed
 * itself, of the prefix around it. NULL: none. */
const struct attachment *attachment_at(const struct table *, uint16_t attachment);
/* The rows of a network on one attachment; NULL: none. */
struct members *net_members(const struct vnet *, uint16_t attachment);
/* A number as a prefix for by_id and by_router. */
struct prefix number(uint32_t);

/* A note for a row: that it is one, and where it was read. The GNDT's entries for
 * members that are no row have note 0. */
#define NOTE_ROW (UINT64_C(1) << 63)
#define NOTE_FILES 0x7fff
uint64_t place(unsigned line, uint32_t file);
const char *place_file(const struct table *, uint64_t note);
unsigned place_line(uint64_t note);

/* ---- table_rows.c: all return false when out of memory ---- */

/* The slot of a network, which is made if it isn't there. */
bool put_network(struct table *, uint32_t id, uint32_t *ret_slot);
/* Takes a network out if it has no row left. */
bool tidy_network(struct table *, uint32_t slot);
/* A row's note; the image keeps a copy of the name. */
bool put_place(struct table *, const char *file, unsigned line, uint64_t *ret_note);
/* Sets the entry of a prefix that isn't in the GNDT, and takes one out. */
bool put_route(struct table *, uint32_t slot, const struct prefix *, uint32_t router,
	       uint64_t note);
bool take_route(struct table *, uint32_t slot, const struct prefix *);
/* Changes the note of an entry that is there. */
bool note_route(struct table *, uint32_t slot, const struct prefix *, uint64_t note);
/* The rows of a network. */
bool put_member(struct table *, uint32_t slot, uint16_t attachment, const struct prefix *,
		uint64_t note);
bool take_member(struct table *, uint32_t slot, uint16_t attachment, const struct prefix *);
/* The sets: n networks, ascending by ID, list a prefix from now on; one does no more. */
bool sets_add(struct table *, uint16_t attachment, const struct prefix *, const uint32_t *slots,
	      uint32_t n);
bool sets_remove(struct table *, uint16_t attachment, const struct prefix *, uint32_t slot);

/* ---- table_conflicts.c ---- */

/* Reports a conflict between two entries at the place of the first. */
void report(struct conflicts *, const char *what, const struct entry *one,
	    const struct entry *other);
/* Two rows for one prefix in one network, `first` being there or a member: false, and
 * reported, if that can't be. */
bool check_same_network(struct conflicts *, uint32_t network, const struct entry *first,
			const struct entry *e);

/* A set of networks and a member prefix whose hosts are in all of them. */
struct shared_by {
	const struct netset *set;
	const struct prefix *member;
};

/* Finds all prefixes of n entries that are in two networks of one set. Slots are
 * ascending by ID. False: out of memory. */
bool check_ambiguous(struct conflicts *, const struct table *, const struct entry *entries,
		     size_t n, const struct shared_by *sets, size_t n_sets);

/* Networks as bits, by slot. */
struct slots {
	uint64_t *bits;
	uint32_t n; /* words */
};

/* The networks that share a member with this one, itself among them. To be freed;
 * bits NULL: out of memory. */
struct slots partners_of(const struct table *, uint32_t slot);
/* Checks one entry, which is not in the table or is there, against all partners of
 * its network but itself. */
void check_entry(struct conflicts *, const struct table *, const struct entry *,
		 const struct slots *partners);
/* Checks all entries of two networks against each other. */
void check_pair(struct conflicts *, const struct table *, uint32_t one, uint32_t other);
/* The entry of a prefix in the GNDT of a network: false if there is none. */
bool entry_of(const struct table *, uint32_t slot, const struct prefix *, struct entry *ret);

#endif
