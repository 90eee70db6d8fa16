/*
 * What routers say of tinies. A heartbeat names those whose state is new, and others by turns, so
 * that it stays short however many there are: what isn't named is as it was. A router may only
 * speak of those that may connect to it; of several that do, the one that has it up is believed.
 */
#include "authority/monitor_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

#define MINUTE (60 * SEC)

static uint32_t hash_id(const void *key)
{
	return index_hash(key, sizeof(uint32_t));
}

static const void *id_of(const void *object)
{
	return &((const struct monitor_tiny *)object)->id;
}

static bool same_id(const void *a, const void *b)
{
	return *(const uint32_t *)a == *(const uint32_t *)b;
}

static const struct index_ops by_id = { hash_id, id_of, same_id };

static void read_endpoint(struct reading *d, const json_t *tiny, char ret[static 64])
{
	const json_t *value = json_object_get(tiny, "endpoint");
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return;
	if (!text || strlen(text) >= 64 ||
	    strspn(text, "0123456789abcdefABCDEF.:[]") != strlen(text))
		reading_wrong(d, "an entry of 'tinies' has no 'endpoint' but words");
	else
		strcpy(ret, text);
}

struct monitor_tiny *tinies_read(struct reading *d, const json_t *list, size_t *ret_n)
{
	size_t n = json_array_size(list);
	struct monitor_tiny *tinies;

	if (list && !json_is_array(list))
		reading_wrong(d, "'tinies' is not a list");
	if (n > MONITOR_TINIES)
		reading_wrong(d, "'tinies' has more than %d entries", MONITOR_TINIES);
	if (!d->good)
		n = 0;
	tinies = mem_new(n, sizeof(*tinies));
	for (size_t i = 0; i < n; i++) {
		const json_t *tiny = json_array_get(list, i);
		uint64_t id = read_count(d, tiny, "id"), moved = read_count(d, tiny, "moved");

		if (!json_is_object(tiny) || !id || id > UINT32_MAX)
			reading_wrong(d, "an entry of 'tinies' has no 'id'");
		tinies[i] = (struct monitor_tiny){
			.id = (uint32_t)id,
			.up = json_is_true(json_object_get(tiny, "up")),
			.moved = moved > UINT32_MAX ? UINT32_MAX : (uint32_t)moved,
			.twice = json_is_true(json_object_get(tiny, "twice")),
		};
		read_endpoint(d, tiny, tinies[i].endpoint);
	}
	*ret_n = n;
	return tinies;
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Those that may connect to the router: IDs, ascending; to be freed. */
static uint32_t *allowed_ids(const struct router *router, size_t *ret_n)
{
	uint32_t *ids = NULL;
	size_t n = 0, room = 0;

	list_for_each(node, &router->tinies) {
		ids = mem_more(ids, n, &room, sizeof(*ids));
		ids[n++] = container_of(node, struct tiny_place, by_router)->tiny->record.id;
	}
	if (n)
		qsort(ids, n, sizeof(*ids), compare_ids);
	*ret_n = n;
	return ids;
}

static void take(struct monitor *m, uint32_t router, const struct monitor_tiny *is, mono_t now)
{
	struct monitor_tiny *t = index_get(&m->tinies, &by_id, &is->id);

	if (!t) {
		if (m->tinies.n >= MONITOR_TINIES_ALL)
			return;
		t = mem_new(1, sizeof(*t));
		t->id = is->id;
		t->router = router;
		t->since = now;
		index_put(&m->tinies, &by_id, t);
	}
	/* It is by another one. */
	if (t->router != router && t->up && !is->up)
		return;
	if (t->router != router && t->up) {
		t->turns = mono_since(now, t->turned) < MINUTE ? t->turns + 1 : 1;
		t->turned = now;
		if (t->turns >= MONITOR_TINY_MOVES)
			t->suspected = now;
	}
	if (t->up != is->up)
		t->since = now;
	t->router = router;
	t->up = is->up;
	t->said = now;
	t->moved = is->moved;
	t->twice = is->twice;
	if (is->moved >= MONITOR_TINY_MOVES || is->twice)
		t->suspected = now;
	if (*is->endpoint)
		strcpy(t->endpoint, is->endpoint);
}

void tinies_take(struct monitor *m, const struct router *router, const struct monitor_tiny *tinies,
		 size_t n, mono_t now)
{
	size_t n_ids = 0;
	uint32_t *ids = n ? allowed_ids(router, &n_ids) : NULL;

	for (size_t i = 0; i < n && n_ids; i++)
		if (bsearch(&tinies[i].id, ids, n_ids, sizeof(*ids), compare_ids))
			take(m, router->record.id, &tinies[i], now);
	free(ids);
}

void tinies_tick(struct monitor *m, const struct registry *registry)
{
	for (size_t i = 0; i < m->tinies.size; i++) {
		struct monitor_tiny *t = m->tinies.slots[i];
		const struct tiny *tiny = t ? registry_tiny_id(registry, t->id) : NULL;

		if (!t || (tiny && tiny->host))
			continue;
		index_remove(&m->tinies, &by_id, t);
		free(t);
		i--; /* another one may have taken its slot */
	}
}

void tinies_done(struct monitor *m)
{
	for (size_t i = 0; i < m->tinies.size; i++)
		free(m->tinies.slots[i]);
	index_done(&m->tinies);
}

/* ---- looking in ----------------------------------------------------------------- */

const struct monitor_tiny *monitor_tiny(const struct monitor *m, uint32_t id)
{
	return m ? index_get(&m->tinies, &by_id, &id) : NULL;
}

bool monitor_tiny_gone(const struct monitor *m, uint32_t id, mono_t now)
{
	const struct monitor_tiny *t = monitor_tiny(m, id);

	return t && !t->up && mono_since(now, t->since) >= MONITOR_TINY_GONE;
}

bool monitor_tiny_suspected(const struct monitor_tiny *t, mono_t now)
{
	return mono_is_set(t->suspected) && mono_since(now, t->suspected) < MONITOR_TINY_TOLD;
}

json_t *monitor_tiny_json(const struct monitor *m, const struct registry *registry, uint32_t id,
			  mono_t now, uint64_t now_ms)
{
	const struct monitor_tiny *t = monitor_tiny(m, id);
	const struct router *router = t ? registry_router_id(registry, t->router) : NULL;
	json_t *o = mem_json(json_object());
	mono_t seen;

	if (!t)
		return o;
	/* One that is up is seen with each heartbeat of its router. */
	seen = t->up && monitor_get(m, t->router) ? monitor_get(m, t->router)->seen : t->since;
	json_object_set_new(o, "up", mem_json(json_boolean(t->up)));
	json_object_set_new(o, "at", mem_json(json_string(router ? router->object.name : "-")));
	json_object_set_new(o, "endpoint", mem_json(json_string(t->endpoint)));
	json_object_set_new(o, "moved", mem_json(json_integer(t->moved)));
	json_object_set_new(o, "suspected", mem_json(json_boolean(monitor_tiny_suspected(t, now))));
	json_object_set_new(
		o, "seen",
		mem_json(json_integer((json_int_t)now_ms - mono_since(now, seen) / MSEC)));
	return o;
}
