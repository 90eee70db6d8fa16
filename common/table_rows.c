/*
 * Rows come into an image that is being built and go out of it: its networks,
 * routes, entries and sets of networks. Whether rows go together is not looked at
 * here.
 *
 * What the image shares with others is copied before it is changed (vector_own), so
 * nothing here shows in them. Out of memory: the image may be left half changed;
 * whoever builds it frees it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/table_private.h"

/* ---- networks and places ----------------------------------------------------- */

bool put_network(struct table *t, uint32_t id, uint32_t *ret_slot)
{
	struct lpm_entry e = { .prefix = number(id), .value = table_slot(t, id) };
	struct vnet *net;

	if (e.value == LPM_NONE) {
		e.value = vector_free_place(&t->nets);
		net = calloc(1, sizeof(*net));
		if (!net)
			return false;
		*net = (struct vnet){ .shared = { 1 }, .id = id };
		if (!vector_set(&t->nets, e.value, net)) {
			free(net);
			return false;
		}
		if (!lpm_put(&t->by_id, &e))
			return false;
	}
	*ret_slot = e.value;
	return true;
}

bool tidy_network(struct table *t, uint32_t slot)
{
	const struct vnet *net = net_at(t, slot);
	struct prefix id = number(net->id);

	/* members are in the GNDT as well */
	return lpm_count(&net->gndt) ||
	       (lpm_remove(&t->by_id, &id) && vector_set(&t->nets, slot, NULL));
}

/* Takes over a name. */
static bool put_name(struct table *t, char *name)
{
	uint32_t n = t->files ? t->files->n : 0;
	struct names *files = calloc(1, sizeof(*files) + (n + 1) * sizeof(files->name[0]));

	if (!files)
		return false;
	files->shared.refs = 1;
	for (; files->n < n; files->n++) {
		files->name[files->n] = strdup(t->files->name[files->n]);
		if (!files->name[files->n])
			break;
	}
	if (files->n < n) {
		while (files->n)
			free(files->name[--files->n]);
		free(files);
		return false;
	}
	files->name[files->n++] = name;
	if (t->files && --t->files->shared.refs == 0) {
		while (n)
			free(t->files->name[--n]);
		free(t->files);
	}
	t->files = files;
	return true;
}

/* Names are few: a linear search will do. */
bool put_place(struct table *t, const char *file, unsigned line, uint64_t *ret_note)
{
	uint32_t n = t->files ? t->files->n : 0, i = 0;
	char *name;

	while (file && i < n && strcmp(t->files->name[i], file) != 0)
		i++;
	if (file && i == n && n < NOTE_FILES) {
		name = strdup(file);
		if (!name || !put_name(t, name)) {
			free(name);
			return false;
		}
	}
	*ret_note = place(line, file && i < NOTE_FILES ? i + 1 : 0);
	return true;
}

/* ---- the GNDT ---------------------------------------------------------------- */

/* Counts one prefix more or less for a router, whose route is made and goes. */
static bool count_router(struct table *t, uint32_t router, int more, uint32_t *ret_place)
{
	struct lpm_entry e = { .prefix = number(router) };
	struct delivery *d;

	e.value = lpm_get(&t->by_router, &e.prefix, &e.note);
	if (e.value == LPM_NONE) {
		e.value = vector_free_place(&t->routes);
		d = calloc(1, sizeof(*d));
		if (!d)
			return false;
		d->shared.refs = 1;
		d->route = (struct route){ .routers = { router }, .n = 1 };
		if (!vector_set(&t->routes, e.value, d)) {
			free(d);
			return false;
		}
	}
	*ret_place = e.value;
	e.note += (uint64_t)(int64_t)more;
	if (e.note)
		return lpm_put(&t->by_router, &e);
	return lpm_remove(&t->by_router, &e.prefix) && vector_set(&t->routes, e.value, NULL);
}

bool put_route(struct table *t, uint32_t slot, const struct prefix *p, uint32_t router,
	       uint64_t note)
{
	struct lpm_entry e = { .prefix = *p, .note = note };
	struct vnet *net = vector_own(&t->nets, slot);

	return net && count_router(t, router, 1, &e.value) && lpm_put(&net->gndt, &e);
}

bool take_route(struct table *t, uint32_t slot, const struct prefix *p)
{
	struct vnet *net = vector_own(&t->nets, slot);
	uint32_t route;

	if (!net)
		return false;
	route = lpm_get(&net->gndt, p, NULL);
	return lpm_remove(&net->gndt, p) &&
	       count_router(t, route_at(t, route)->routers[0], -1, &route);
}

bool note_route(struct table *t, uint32_t slot, const struct prefix *p, uint64_t note)
{
	struct lpm_entry e = { .prefix = *p, .note = note };
	struct vnet *net = vector_own(&t->nets, slot);

	if (!net)
		return false;
	e.value = lpm_get(&net->gndt, p, NULL);
	return lpm_put(&net->gndt, &e);
}

/* ---- the LNDT: rows ------------------------------------------------------------ */

bool put_member(struct table *t, uint32_t slot, uint16_t attachment, const struct prefix *p,
		uint64_t note)
{
	struct lpm_entry e = { .prefix = *p, .value = 0, .note = note };
	struct vnet *net = vector_own(&t->nets, slot);
	struct members *m;
	uint32_t i = 0;

	if (!net)
		return false;
	m = net_members(net, attachment);
	if (!m) { /* ascending */
		m = realloc(net->members, (net->n_members + 1) * sizeof(*m));
		if (!m)
			return false;
		net->members = m;
		while (i < net->n_members && m[i].attachment < attachment)
			i++;
		m += i;
		memmove(m + 1, m, (net->n_members++ - i) * sizeof(*m));
		*m = (struct members){ .attachment = attachment };
	}
	return lpm_put(&m->rows, &e);
}

bool take_member(struct table *t, uint32_t slot, uint16_t attachment, const struct prefix *p)
{
	struct vnet *net = vector_own(&t->nets, slot);
	struct members *m;

	if (!net)
		return false;
	m = net_members(net, attachment);
	if (!lpm_remove(&m->rows, p))
		return false;
	if (lpm_count(&m->rows) == 0) {
		net->n_members--;
		memmove(m, m + 1, (size_t)(net->members + net->n_members - m) * sizeof(*m));
	}
	return true;
}

/* ---- the LNDT: sets ------------------------------------------------------------ */

#define NONE UINT32_MAX

/* Slots, ascending by the network's ID. */
struct span {
	const uint32_t *slots;
	uint32_t n;
};

static const struct span nothing = { NULL, 0 };

static struct span span_all(const struct host_set *s)
{
	return s ? (struct span){ s->all.slots, s->all.n } : nothing;
}

static struct span span_own(const struct host_set *s)
{
	return s ? (struct span){ set_own(s), s->n_own } : nothing;
}

static uint32_t id_of(const struct table *t, uint32_t slot)
{
	return net_at(t, slot)->id;
}

static bool has(const struct table *t, struct span s, uint32_t slot)
{
	uint32_t low = 0, high = s.n, id = id_of(t, slot);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s.slots[middle] == slot)
			return true;
		if (id_of(t, s.slots[middle]) < id)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Those of both, without one (or NONE); how many. */
static uint32_t merge(const struct table *t, struct span a, struct span b, uint32_t without,
		      uint32_t *ret)
{
	uint32_t i = 0, k = 0, n = 0;

	while (i < a.n || k < b.n) {
		uint32_t next;

		if (k == b.n || (i < a.n && id_of(t, a.slots[i]) <= id_of(t, b.slots[k])))
			next = a.slots[i];
		else
			next = b.slots[k];
		i += i < a.n && a.slots[i] == next;
		k += k < b.n && b.slots[k] == next;
		if (next != without)
			ret[n++] = next;
	}
	return n;
}

/* Puts a set in its place. */
static bool put_set(struct table *t, uint32_t at, struct span all, struct span all_more,
		    uint32_t all_without, struct span own, struct span own_more,
		    uint32_t own_without)
{
	size_t most = (size_t)all.n + all_more.n + own.n + own_more.n;
	struct host_set *s = malloc(sizeof(*s) + most * sizeof(s->all.slots[0]));

	if (!s)
		return false;
	s->shared.refs = 1;
	s->all.n = merge(t, all, all_more, all_without, s->all.slots);
	s->n_own = merge(t, own, own_more, own_without, s->all.slots + s->all.n);
	if (vector_set(&t->sets, at, s))
		return true;
	free(s);
	return false;
}

/* A change of all the sets inside a prefix. */
struct inside {
	struct table *t;
	const struct attachment *a;
	struct prefix prefix;
	struct span more;
	uint32_t without;
	bool failed;
};

static bool add_inside(void *arg, const struct lpm_entry *e)
{
	struct inside *in = arg;
	const struct host_set *s = set_at(in->t, e->value);
	bool lacks = false;

	for (uint32_t i = 0; i < in->more.n && !lacks; i++)
		lacks = !has(in->t, span_all(s), in->more.slots[i]);
	if (!lacks || prefix_equal(&e->prefix, &in->prefix))
		return true;
	in->failed =
		!put_set(in->t, e->value, span_all(s), in->more, NONE, span_own(s), nothing, NONE);
	return !in->failed;
}

static struct attachment *own_attachment(struct table *t, uint16_t attachment)
{
	struct attachment *a;

	if (attachment_at(t, attachment))
		return vector_own(&t->lndt, attachment);
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->shared.refs = 1;
	if (vector_set(&t->lndt, attachment, a))
		return a;
	free(a);
	return NULL;
}

bool sets_add(struct table *t, uint16_t attachment, const struct prefix *p, const uint32_t *slots,
	      uint32_t n)
{
	struct attachment *a = own_attachment(t, attachment);
	struct inside in = { .t = t, .a = a, .prefix = *p, .more = { slots, n } };
	struct lpm_entry e = { .prefix = *p };
	const struct host_set *s;

	if (!a)
		return false;
	e.value = lpm_get(&a->sets, p, NULL);
	if (e.value != LPM_NONE) {
		s = set_at(t, e.value);
		if (!put_set(t, e.value, span_all(s), in.more, NONE, span_own(s), in.more, NONE))
			return false;
	} else {
		uint32_t around = lpm_around(&a->sets, p);

		s = around != LPM_NONE ? set_at(t, around) : NULL;
		e.value = vector_free_place(&t->sets);
		if (!put_set(t, e.value, span_all(s), in.more, NONE, in.more, nothing, NONE) ||
		    !lpm_put(&a->sets, &e))
			return false;
	}
	lpm_each_within(&a->sets, p, add_inside, &in);
	return !in.failed;
}

/* What is around a prefix comes before it, and has been changed already. */
static bool remove_inside(void *arg, const struct lpm_entry *e)
{
	struct inside *in = arg;
	const struct host_set *s = set_at(in->t, e->value);
	uint32_t around = lpm_around(&in->a->sets, &e->prefix);

	if (has(in->t, span_own(s), in->without) || !has(in->t, span_all(s), in->without) ||
	    (around != LPM_NONE && has(in->t, span_all(set_at(in->t, around)), in->without)))
		return true;
	in->failed = !put_set(in->t, e->value, span_all(s), nothing, in->without, span_own(s),
			      nothing, NONE);
	return !in->failed;
}

bool sets_remove(struct table *t, uint16_t attachment, const struct prefix *p, uint32_t slot)
{
	struct attachment *a = own_attachment(t, attachment);
	struct inside in = { .t = t, .a = a, .prefix = *p, .without = slot };
	const struct host_set *s;
	uint32_t at;

	if (!a)
		return false;
	at = lpm_get(&a->sets, p, NULL);
	s = set_at(t, at);
	if (s->n_own > 1) {
		uint32_t around = lpm_around(&a->sets, p);
		bool stays = around != LPM_NONE && has(t, span_all(set_at(t, around)), slot);

		if (!put_set(t, at, span_all(s), nothing, stays ? NONE : slot, span_own(s), nothing,
			     slot))
			return false;
	} else if (!lpm_remove(&a->sets, p) || !vector_set(&t->sets, at, NULL)) {
		return false;
	}
	lpm_each_within(&a->sets, p, remove_inside, &in);
	if (in.failed)
		return false;
	return lpm_count(&a->sets) || vector_set(&t->lndt, attachment, NULL);
}
