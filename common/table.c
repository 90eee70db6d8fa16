/*
 * The tables of a router as one image: what it is made of, lookups, listings.
 *
 * An image refers to few things: two indexes of numbers, and vectors of networks,
 * routes, attachments and sets of networks. Each of these and what is in them can be
 * shared with other images (vector.h, lpm.h), and is never changed then. So an
 * update takes a copy of the struct and replaces what is not the same.
 *
 * There are no rows: the GNDT's are the entries of the networks' lookup tables, with
 * the place where they were read as a note, and so are the LNDT's. Both are in order
 * there.
 *
 * Invariants: every prefix comes once in vnet.gndt, members of this site included.
 * A network is there while it has a row. No network set that lndt_lookup returns
 * holds two networks with one prefix in common, unless both deliver it here.
 *
 * What reads the rows from a file or a message, and what a conflict means for it, is
 * the caller's.
 */
#include "common/table.h"

#include <stdlib.h>
#include <string.h>

#include "common/table_private.h"

/* ---- life -------------------------------------------------------------------- */

static struct shared *net_copy(const struct shared *object)
{
	const struct vnet *from = (const struct vnet *)object;
	struct vnet *net = malloc(sizeof(*net));

	if (!net)
		return NULL;
	*net = (struct vnet){ .shared = { 1 }, .id = from->id, .n_members = from->n_members };
	net->members = calloc(net->n_members + 1, sizeof(net->members[0]));
	if (!net->members) {
		free(net);
		return NULL;
	}
	lpm_share(&net->gndt, &from->gndt);
	for (uint32_t i = 0; i < net->n_members; i++) {
		net->members[i].attachment = from->members[i].attachment;
		lpm_share(&net->members[i].rows, &from->members[i].rows);
	}
	return &net->shared;
}

static void net_free(struct shared *object)
{
	struct vnet *net = (struct vnet *)object;

	lpm_done(&net->gndt);
	for (uint32_t i = 0; i < net->n_members; i++)
		lpm_done(&net->members[i].rows);
	free(net->members);
	free(net);
}

static struct shared *attachment_copy(const struct shared *object)
{
	struct attachment *a = malloc(sizeof(*a));

	if (!a)
		return NULL;
	a->shared.refs = 1;
	lpm_share(&a->sets, &((const struct attachment *)object)->sets);
	return &a->shared;
}

static void attachment_free(struct shared *object)
{
	lpm_done(&((struct attachment *)object)->sets);
	free(object);
}

static void plain_free(struct shared *object)
{
	free(object);
}

static const struct vector_ops net_ops = { net_copy, net_free };
static const struct vector_ops attachment_ops = { attachment_copy, attachment_free };
static const struct vector_ops plain_ops = { NULL, plain_free }; /* replaced, not changed */

struct table *table_empty(uint32_t self, uint64_t version)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->self = self;
	t->version = version;
	vector_init(&t->nets, &net_ops);
	vector_init(&t->lndt, &attachment_ops);
	vector_init(&t->routes, &plain_ops);
	vector_init(&t->sets, &plain_ops);
	return t;
}

struct table *table_share(const struct table *from, uint64_t version)
{
	struct table *t = table_empty(from->self, version);

	if (!t)
		return NULL;
	lpm_share(&t->by_id, &from->by_id);
	lpm_share(&t->by_router, &from->by_router);
	t->files = from->files;
	if (t->files)
		t->files->shared.refs++;
	if (!vector_share(&t->nets, &from->nets) || !vector_share(&t->routes, &from->routes) ||
	    !vector_share(&t->lndt, &from->lndt) || !vector_share(&t->sets, &from->sets)) {
		table_free(t);
		return NULL;
	}
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	lpm_done(&t->by_id);
	lpm_done(&t->by_router);
	vector_done(&t->nets);
	vector_done(&t->routes);
	vector_done(&t->lndt);
	vector_done(&t->sets);
	if (t->files && --t->files->shared.refs == 0) {
		for (uint32_t i = 0; i < t->files->n; i++)
			free(t->files->name[i]);
		free(t->files);
	}
	free(t);
}

/* ---- parts ------------------------------------------------------------------- */

struct prefix number(uint32_t v)
{
	return (struct prefix){ .ip = { 4,
					{ (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
					  (uint8_t)v } },
				.len = 32 };
}

const struct attachment *attachment_at(const struct table *t, uint16_t attachment)
{
	return vector_get(&t->lndt, attachment);
}

struct members *net_members(const struct vnet *net, uint16_t attachment)
{
	for (uint32_t i = 0; i < net->n_members; i++)
		if (net->members[i].attachment == attachment)
			return &net->members[i];
	return NULL;
}

uint64_t place(unsigned line, uint32_t file)
{
	return NOTE_ROW | (uint64_t)file << 32 | line;
}

const char *place_file(const struct table *t, uint64_t note)
{
	uint32_t i = note >> 32 & NOTE_FILES;

	return i ? t->files->name[i - 1] : NULL;
}

unsigned place_line(uint64_t note)
{
	return (uint32_t)note;
}

/* ---- lookups ----------------------------------------------------------------- */

uint64_t table_version(const struct table *t)
{
	return t->version;
}

size_t table_networks(const struct table *t)
{
	return lpm_count(&t->by_id);
}

uint32_t table_slots(const struct table *t)
{
	return vector_end(&t->nets);
}

const struct vnet *table_network(const struct table *t, uint32_t slot)
{
	return net_at(t, slot);
}

uint32_t table_slot(const struct table *t, uint32_t network)
{
	struct prefix id = number(network);

	return lpm_lookup(&t->by_id, &id.ip, NULL); /* LPM_NONE is UINT32_MAX */
}

const struct netset *lndt_lookup(const struct table *t, uint16_t attachment, const struct ip *ip)
{
	const struct attachment *a = attachment_at(t, attachment);
	uint32_t set = a ? lpm_lookup(&a->sets, ip, NULL) : LPM_NONE;

	return set != LPM_NONE ? &set_at(t, set)->all : NULL;
}

bool lndt_is_member(const struct table *t, uint32_t slot, const struct ip *ip)
{
	const struct vnet *net = net_at(t, slot);

	for (uint32_t i = 0; net && i < net->n_members; i++)
		if (lpm_lookup(&net->members[i].rows, ip, NULL) != LPM_NONE)
			return true;
	return false;
}

const struct route *gndt_lookup(const struct table *t, uint32_t slot, const struct ip *ip,
				unsigned *ret_len)
{
	const struct vnet *net = net_at(t, slot);
	uint32_t i = net ? lpm_lookup(&net->gndt, ip, ret_len) : LPM_NONE;

	return i != LPM_NONE ? route_at(t, i) : NULL;
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

static bool other_value(void *arg, const struct lpm_entry *e)
{
	return e->value != *(uint32_t *)arg;
}

bool gndt_names(const struct table *t, uint32_t slot, uint32_t router)
{
	const struct vnet *net = net_at(t, slot);
	struct prefix id = number(router);
	uint32_t route = lpm_get(&t->by_router, &id, NULL);

	return net && route != LPM_NONE && !lpm_each(&net->gndt, 0, other_value, &route);
}

/* ---- listings ---------------------------------------------------------------- */

/* A walk over the entries of networks in the order of their IDs. */
struct listing {
	const struct table *t;
	const struct vnet *net; /* that it is in */
	uint16_t attachment;
	size_t skip; /* entries still to be left out */
	size_t at;   /* entries passed, those included */
	lndt_fn *lndt;
	gndt_fn *gndt;
	void *arg;
};

static bool list_lndt_row(void *arg, const struct lpm_entry *e)
{
	struct listing *l = arg;
	const struct lndt_row row = { .network = l->net->id,
				      .attachment = l->attachment,
				      .prefix = e->prefix,
				      .file = place_file(l->t, e->note),
				      .line = place_line(e->note) };

	if (!l->lndt(l->arg, &row))
		return false;
	l->at++;
	return true;
}

static bool list_gndt_row(void *arg, const struct lpm_entry *e)
{
	struct listing *l = arg;
	const struct gndt_row row = { .network = l->net->id,
				      .router = route_at(l->t, e->value)->routers[0],
				      .prefix = e->prefix,
				      .file = place_file(l->t, e->note),
				      .line = place_line(e->note) };

	if (e->note & NOTE_ROW && !l->gndt(l->arg, &row))
		return false;
	l->at++;
	return true;
}

static bool list_lpm(struct listing *l, const struct lpm *entries, lpm_fn *fn)
{
	size_t n = lpm_count(entries), skip = l->skip < n ? l->skip : n;

	l->skip -= skip;
	l->at += skip;
	return skip == n || lpm_each(entries, skip, fn, l);
}

static bool list_lndt_network(void *arg, const struct lpm_entry *e)
{
	struct listing *l = arg;

	l->net = net_at(l->t, e->value);
	for (uint32_t i = 0; i < l->net->n_members; i++) {
		l->attachment = l->net->members[i].attachment;
		if (!list_lpm(l, &l->net->members[i].rows, list_lndt_row))
			return false;
	}
	return true;
}

static bool list_gndt_network(void *arg, const struct lpm_entry *e)
{
	struct listing *l = arg;

	l->net = net_at(l->t, e->value);
	return list_lpm(l, &l->net->gndt, list_gndt_row);
}

size_t table_lndt(const struct table *t, size_t from, lndt_fn *fn, void *arg)
{
	struct listing l = { .t = t, .skip = from, .lndt = fn, .arg = arg };

	return lpm_each(&t->by_id, 0, list_lndt_network, &l) ? SIZE_MAX : l.at;
}

size_t table_gndt(const struct table *t, size_t from, gndt_fn *fn, void *arg)
{
	struct listing l = { .t = t, .skip = from, .gndt = fn, .arg = arg };

	return lpm_each(&t->by_id, 0, list_gndt_network, &l) ? SIZE_MAX : l.at;
}

static size_t vector_memory(const struct vector *v)
{
	size_t size = v->n_chunks * sizeof(v->chunks[0]);

	for (uint32_t c = 0; c < v->n_chunks; c++)
		size += v->chunks[c] ? sizeof(*v->chunks[c]) : 0;
	return size;
}

size_t table_memory(const struct table *t)
{
	size_t size = sizeof(*t) + lpm_memory(&t->by_id) + lpm_memory(&t->by_router) +
		      vector_memory(&t->nets) + vector_memory(&t->routes) +
		      vector_memory(&t->lndt) + vector_memory(&t->sets) +
		      lpm_count(&t->by_router) * sizeof(struct delivery);

	for (uint32_t slot = 0; slot < table_slots(t); slot++) {
		const struct vnet *net = net_at(t, slot);

		size += net ? sizeof(*net) + lpm_memory(&net->gndt) : 0;
		for (uint32_t i = 0; net && i < net->n_members; i++)
			size += sizeof(net->members[0]) + lpm_memory(&net->members[i].rows);
	}
	for (uint32_t i = 0; i < vector_end(&t->lndt); i++) {
		const struct attachment *a = vector_get(&t->lndt, i);

		size += a ? sizeof(*a) + lpm_memory(&a->sets) : 0;
	}
	for (uint32_t i = 0; i < vector_end(&t->sets); i++) {
		const struct host_set *s = set_at(t, i);

		size += s ? sizeof(*s) + (s->all.n + s->n_own) * sizeof(s->all.slots[0]) : 0;
	}
	return size;
}
