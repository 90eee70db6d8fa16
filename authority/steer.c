/*
 * The cost of a way is its round trip, longer the more is lost on it and the busier the queue
 * router's machine is. Of what isn't measured it is not known, which is worse than any.
 */
#include "authority/steer.h"

#include <stdlib.h>
#include <string.h>

#include "authority/index.h"
#include "authority/memory.h"
#include "authority/queue_routers.h"

static const double much_better = 1.5, at_least = 0.005, /* s */
	not_known = 1e6, dead = 1e9;

/* A router with several queue routers. */
struct wish {
	uint32_t id;   /* whose */
	uint32_t best; /* that would be better than its first choice */
	unsigned times;
	uint64_t mark;
};

struct steer {
	int64_t silence, disable;
	struct index wishes;
	mono_t looked;
	uint64_t mark;
};

static uint32_t hash_id(const void *key)
{
	return index_hash(key, sizeof(uint32_t));
}

static const void *id_of(const void *object)
{
	return &((const struct wish *)object)->id;
}

static bool same_id(const void *a, const void *b)
{
	return *(const uint32_t *)a == *(const uint32_t *)b;
}

static const struct index_ops by_id = { hash_id, id_of, same_id };

struct steer *steer_new(int64_t silence, int64_t disable)
{
	struct steer *s = mem_new(1, sizeof(*s));

	s->silence = silence;
	s->disable = disable && disable < silence ? silence : disable;
	return s;
}

void steer_free(struct steer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->wishes.size; i++)
		free(s->wishes.slots[i]);
	index_done(&s->wishes);
	free(s);
}

/* ---- silence ------------------------------------------------------------------- */

static bool silent_for_long(const struct steer *s, const struct monitor *m, uint32_t id, mono_t now)
{
	const struct monitor_router *r = monitor_get(m, id);

	return r && r->state == MONITOR_SILENT &&
	       mono_since(now, r->since) >= s->disable - s->silence;
}

/* Up to its last heartbeat: what comes after that isn't known yet. */
static bool heard_for_long(const struct steer *s, const struct monitor *m, uint32_t id)
{
	const struct monitor_router *r = monitor_get(m, id);

	return r && r->state == MONITOR_OK && mono_since(r->seen, r->since) >= s->disable;
}

/* Whether there is one that could carry some of what it carries. */
static bool has_stand_in(const struct router *r, const struct monitor *m)
{
	list_for_each(node, &r->site->routers) {
		const struct router *o = container_of(node, struct router, by_site);
		const struct monitor_router *other = monitor_get(m, o->record.id);

		if (o == r || !router_carries(o) || !other || other->state != MONITOR_OK)
			continue;
		for (size_t i = 0; i < r->record.blocks.n; i++)
			for (size_t k = 0; k < o->record.blocks.n; k++) {
				const struct prefix *a = &r->record.blocks.at[i];
				const struct prefix *b = &o->record.blocks.at[k];

				if (prefix_covers(a, b) || prefix_covers(b, a))
					return true;
			}
	}
	return false;
}

static void decide_silence(const struct steer *s, const struct router *r, const struct monitor *m,
			   mono_t now, steer_fn *fn, void *arg)
{
	bool silent = r->record.silent;

	if (!silent && silent_for_long(s, m, r->record.id, now) && has_stand_in(r, m))
		silent = true;
	else if (silent && heard_for_long(s, m, r->record.id))
		silent = false;
	if (silent != r->record.silent)
		fn(arg,
		   mem_json(json_pack("{s:s,s:b}", "router", r->object.name, "silent", silent)));
}

/* ---- queue routers ------------------------------------------------------------- */

struct choice {
	const struct router *router;
	double cost;
};

static int compare_choices(const void *a, const void *b)
{
	const struct choice *x = a, *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return strcmp(x->router->object.name, y->router->object.name);
}

static const struct monitor_link *link_to(const struct monitor_router *r, uint32_t peer)
{
	for (uint32_t i = 0; r && i < r->n_links; i++)
		if (r->links[i].peer == peer)
			return &r->links[i];
	return NULL;
}

static double cost_of(const struct steer *s, const struct router *r, const struct router *q,
		      const struct monitor *m, mono_t now)
{
	const struct monitor_router *own = monitor_get(m, r->record.id);
	const struct monitor_router *its = monitor_get(m, q->record.id);
	const struct monitor_link *l =
		own && own->state == MONITOR_OK ? link_to(own, q->record.id) : NULL;
	double cost = not_known;

	if (!router_active(q) || silent_for_long(s, m, q->record.id, now))
		return dead;
	if (l && l->up && l->rtt >= 0)
		cost = l->rtt;
	if (l && l->lost > 0)
		cost *= 1 + 20 * l->lost;
	if (its && its->load > 1 && its->workers)
		cost *= 1 + its->load / (double)its->workers / 4;
	return cost;
}

/* Whether it has been the better one so many times in a row. */
static bool often_enough(struct steer *s, uint32_t id, uint32_t best)
{
	struct wish *w = index_get(&s->wishes, &by_id, &id);

	if (!w) {
		w = mem_new(1, sizeof(*w));
		w->id = id;
		index_put(&s->wishes, &by_id, w);
	}
	w->mark = s->mark;
	w->times = w->best == best ? w->times + 1 : 1;
	w->best = best;
	return w->times >= STEER_TIMES;
}

static void decide_order(struct steer *s, const struct registry *registry, const struct router *r,
			 const struct monitor *m, mono_t now, steer_fn *fn, void *arg)
{
	struct choice choices[IMAGE_QUEUE_ROUTERS];
	char order[RECORD_QUEUE_ROUTERS * (RECORD_NAME + 1)] = "";
	const struct router *first;
	struct queue_routers l;
	double cost;

	queue_routers_of(registry, r, &l);
	if (l.n < 2)
		return;
	for (unsigned i = 0; i < l.n; i++) {
		const struct router *q = registry_router_id(registry, l.at[i]);

		choices[i] = (struct choice){ q, cost_of(s, r, q, m, now) };
	}
	first = choices[0].router;
	cost = choices[0].cost;
	qsort(choices, l.n, sizeof(*choices), compare_choices);
	if (choices[0].router == first || choices[0].cost * much_better > cost ||
	    cost - choices[0].cost < at_least)
		return;
	if (cost < dead && !often_enough(s, r->record.id, choices[0].router->record.id))
		return;
	for (unsigned i = 0; i < l.n; i++) {
		strcat(order, i ? " " : "");
		strcat(order, choices[i].router->object.name);
	}
	fn(arg, mem_json(json_pack("{s:s,s:s}", "router", r->object.name, "queue_order", order)));
}

/* ---- tinies -------------------------------------------------------------------- */

/* Whether it is with this router, which is one of its own, but another one delivers to it. */
static bool is_over(const struct tiny *t, const struct router *r, const struct monitor *m,
		    mono_t now)
{
	const struct monitor_tiny *seen = monitor_tiny(m, t->record.id);

	return t->host && t->host->router != r && seen && seen->up &&
	       seen->router == r->record.id && !monitor_tiny_suspected(seen, now);
}

static void decide_tinies(const struct router *r, const struct monitor *m, mono_t now, steer_fn *fn,
			  void *arg)
{
	json_t *names = mem_json(json_array());

	list_for_each(node, &r->tinies) {
		const struct tiny *t = container_of(node, struct tiny_place, by_router)->tiny;

		if (json_array_size(names) < STEER_TINIES && is_over(t, r, m, now))
			json_array_append_new(names, mem_json(json_string(t->object.name)));
	}
	if (json_array_size(names))
		fn(arg,
		   mem_json(json_pack("{s:s,s:O}", "router", r->object.name, "tinies", names)));
	json_decref(names);
}

/* Those that had nothing to wish for this time begin anew. */
static void drop_wishes(struct steer *s)
{
	for (size_t i = 0; i < s->wishes.size; i++) {
		struct wish *w = s->wishes.slots[i];

		if (w && w->mark != s->mark) {
			index_remove(&s->wishes, &by_id, w);
			free(w);
			i--; /* another one may have taken its slot */
		}
	}
}

void steer_run(struct steer *s, const struct registry *registry, const struct monitor *m,
	       mono_t now, steer_fn *fn, void *arg)
{
	bool look = !mono_is_set(s->looked) || mono_since(now, s->looked) >= STEER_INTERVAL;
	const struct router *r;
	size_t place = 0;

	while ((r = registry_each(registry, RECORD_ROUTER, &place)))
		if (router_carries(r))
			decide_tinies(r, m, now, fn, arg);
	place = 0;
	if (!s->disable || monitor_count(m, MONITOR_SILENT) > monitor_count(m, MONITOR_OK))
		return;
	if (look) {
		s->looked = now;
		s->mark++;
	}
	while ((r = registry_each(registry, RECORD_ROUTER, &place))) {
		if (r->record.revoked)
			continue;
		decide_silence(s, r, m, now, fn, arg);
		if (look)
			decide_order(s, registry, r, m, now, fn, arg);
	}
	if (look)
		drop_wishes(s);
}
