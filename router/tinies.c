/* See tinies.h. */
#include "router/tinies.h"

#include <string.h>

#include "router/router.h"

/* FNV-1a of all that is said of it: never 0, which is what nobody was told. */
static uint64_t state_of(const struct contact *c, mono_t now)
{
	const struct path *path = c->peer->path;
	uint64_t h = 14695981039346656037u;
	uint8_t bytes[4 + sizeof(path->way.remote.ip.b)] = { c->up, tiny_is_twice(c, now),
							     (uint8_t)tiny_returns(c, now) };

	if (path) {
		memcpy(bytes + 4, path->way.remote.ip.b, sizeof(path->way.remote.ip.b));
		bytes[3] = path->way.remote.ip.family;
		h ^= path->way.remote.port;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		h = (h ^ bytes[i]) * 1099511628211u;
	return h ? h : 1;
}

static void add(json_t *list, struct contact *c, unsigned beat, uint64_t state, mono_t now)
{
	const struct path *path = c->peer->path;
	char text[ENDPOINT_TEXT];
	json_t *o = json_pack("{s:I, s:b, s:i, s:b}", "id", (json_int_t)c->peer->id, "up", c->up,
			      "moved", (int)tiny_returns(c, now), "twice", tiny_is_twice(c, now));

	if (o && path && path->way.kind != WAY_RELAY)
		json_object_set_new(o, "endpoint",
				    json_string(endpoint_format(&path->way.remote, text)));
	c->tiny.beat = beat;
	c->tiny.telling = state;
	json_array_append_new(list, o);
}

/* Those whose turn it is: from where the last time ended, once around. */
static void add_turns(struct router *r, json_t *list, unsigned beat, mono_t now)
{
	for (unsigned round = 0; list && round < 2; round++) {
		size_t i = 0;

		list_for_each(node, &r->contacts) {
			struct contact *c = container_of(node, struct contact, node);

			if (json_array_size(list) >= TINIES_SAID)
				return;
			if (!c->config.tiny || i++ < r->tinies_turn)
				continue;
			r->tinies_turn = i;
			if (c->tiny.beat != beat)
				add(list, c, beat, state_of(c, now), now);
		}
		r->tinies_turn = 0;
	}
}

json_t *tinies_say(struct router *r, mono_t now)
{
	json_t *list = NULL;
	unsigned beat = ++r->tinies_beat;

	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);
		uint64_t state;

		if (!c->config.tiny)
			continue;
		if (!list && !(list = json_array()))
			return NULL;
		state = state_of(c, now);
		if (state != c->tiny.told && json_array_size(list) < TINIES_SAID)
			add(list, c, beat, state, now);
	}
	add_turns(r, list, beat, now);
	return list;
}

void tinies_heard(struct router *r)
{
	list_for_each(node, &r->contacts) {
		struct contact *c = container_of(node, struct contact, node);

		if (c->config.tiny && c->tiny.beat == r->tinies_beat)
			c->tiny.told = c->tiny.telling;
	}
}
