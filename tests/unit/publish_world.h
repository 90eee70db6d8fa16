/*
 * Publishing on a virtual clock, to routers that are simulated: what they are given, take and
 * confirm, and what they are to run in the end.
 */
#ifndef TESTS_PUBLISH_WORLD_H
#define TESTS_PUBLISH_WORLD_H

#include <errno.h>

#include "tests/unit/authority_world.h"

#include "authority/publish.h"
#include "authority/queue_routers.h"
#include "authority/tables.h"

#define ROUTERS 6

/* A router: what it runs, and what is on its way to it. */
struct fake {
	uint32_t id;
	struct image *runs;
	bool attached, mute; /* mute: gets everything, says nothing */
	uint8_t *bytes[64];
	size_t len[64], n;
	unsigned wholes, changes, refused;
};

struct scene {
	struct world w;
	struct publish *p;
	struct signer *signer;
	mono_t now;
	struct fake fakes[ROUTERS + 1];
	unsigned late, caught_up, ahead;
	uint64_t random, generation;
	unsigned loss; /* percent of turns in which a stream breaks */
};

static unsigned any(struct scene *s, unsigned below)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(s->random >> 33) % below;
}

static void on_event(void *arg, enum publish_event e, const struct router *r, struct version v)
{
	struct scene *s = arg;

	(void)r;
	(void)v;
	s->late += e == PUBLISH_IS_LATE;
	s->caught_up += e == PUBLISH_CAUGHT_UP;
	s->ahead += e == PUBLISH_AHEAD;
}

static void drop_all(struct fake *f)
{
	while (f->n)
		free(f->bytes[--f->n]);
}

static void on_send(void *arg, struct version v, uint8_t step, const uint8_t *bytes, size_t len)
{
	struct fake *f = arg;

	(void)v;
	(void)step;
	assert_true(f->attached && f->n < 64);
	if (!bytes) {
		f->attached = false;
		drop_all(f);
		return;
	}
	f->bytes[f->n] = malloc(len);
	memcpy(f->bytes[f->n], bytes, len);
	f->len[f->n++] = len;
}

static void attach(struct scene *s, struct fake *f)
{
	struct version none = { 0 };

	drop_all(f);
	f->attached = true;
	assert_int_equal(publish_attach(s->p, f->id, f->runs ? f->runs->version : none, on_send, f,
					s->now),
			 0);
}

static void detach(struct scene *s, struct fake *f)
{
	publish_detach(s->p, f->id);
	f->attached = false;
	drop_all(f);
}

/* What a router does with bytes: true, it runs something newer. */
static bool take(struct scene *s, struct fake *f, const uint8_t *bytes, size_t len)
{
	struct image *image = NULL;
	struct image_change *c;

	assert_true(image_verify(bytes, len, signer_public(s->signer)));
	if (image_kind(bytes, len) == IMAGE_WHOLE) {
		assert_int_equal(image_decode(bytes, len, &image), 0);
		f->wholes++;
	} else {
		assert_int_equal(image_change_decode(bytes, len, &c), 0);
		assert_int_equal(image_apply_change(f->runs, c, &image), 0);
		image_change_free(c);
		f->changes++;
	}
	assert_int_equal(image->router, f->id);
	if (f->runs && version_compare(image->version, f->runs->version) <= 0) {
		/* the same again, because the answer has not come */
		if (version_compare(image->version, f->runs->version) < 0)
			f->refused++;
		image_free(image);
		return false;
	}
	image_free(f->runs);
	f->runs = image;
	return true;
}

static void deliver(struct scene *s, struct fake *f)
{
	uint8_t *bytes = f->bytes[0];
	size_t len = f->len[0];

	f->n--;
	memmove(f->bytes, f->bytes + 1, f->n * sizeof(f->bytes[0]));
	memmove(f->len, f->len + 1, f->n * sizeof(f->len[0]));
	take(s, f, bytes, len);
	free(bytes);
	if (!f->mute)
		publish_confirm(s->p, f->id, f->runs->version, s->now);
}

/* Time passes in turns of 10 ms; in each, any router may get one message. */
static void run(struct scene *s, int64_t time)
{
	mono_t end = mono_add(s->now, time);

	while (mono_before(s->now, end)) {
		s->now = mono_add(s->now, 10 * MSEC);
		for (unsigned i = 1; i <= ROUTERS; i++) {
			struct fake *f = &s->fakes[i];

			if (s->loss && any(s, 100) < s->loss) {
				if (f->attached)
					detach(s, f);
				else
					attach(s, f);
			}
			if (f->n && any(s, 2))
				deliver(s, f);
		}
		publish_due(s->p, s->now);
	}
}

static void begin(struct scene *s)
{
	s->p = publish_new(s->w.registry, s->signer, s->generation, s->w.revision,
			   PROTECT_AES_256_GCM, on_event, s);
	for (unsigned i = 1; i <= ROUTERS; i++)
		s->fakes[i].attached = false;
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	char name[16], block[32], host[16];

	world_init(&s->w, "172.16.0.0/12");
	s->signer = signer_new((const uint8_t *)"a signing key of thirty-two byte");
	s->now = (mono_t){ SEC };
	s->random = 1;
	s->generation = 1;
	for (unsigned i = 1; i <= ROUTERS; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		snprintf(block, sizeof(block), "172.16.%u.0/24", i);
		world_site(&s->w, name, i, block);
		s->fakes[i].id = i;
		for (unsigned k = 1; k <= 3; k++) {
			snprintf(host, sizeof(host), "h%u%u", i, k);
			world_host(&s->w, host, name, "root", NULL);
		}
	}
	begin(s);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	publish_free(s->p);
	for (unsigned i = 1; i <= ROUTERS; i++) {
		drop_all(&s->fakes[i]);
		image_free(s->fakes[i].runs);
	}
	signer_free(s->signer);
	world_done(&s->w);
	free(s);
	return 0;
}

static void attach_all(struct scene *s)
{
	for (unsigned i = 1; i <= ROUTERS; i++)
		attach(s, &s->fakes[i]);
}

static void create(struct scene *s, const char *name, unsigned id, const char *hosts)
{
	struct world *w = &s->w;

	assert_done(
		as(w, "root", "vn-create",
		   json_pack("{s:s,s:i,s:o}", "name", name, "id", (int)id, "hosts", list(hosts))));
	publish_changed(s->p, s->w.revision, s->now);
}

static bool share(struct scene *s, unsigned a, unsigned b)
{
	size_t n;
	uint32_t *ids = tables_neighbours(registry_router_id(s->w.registry, a), &n);
	bool found = false;

	for (size_t i = 0; i < n; i++)
		found |= ids[i] == b;
	free(ids);
	return found;
}

static bool has_queue_router(struct scene *s, unsigned router, unsigned q)
{
	struct queue_routers l;

	queue_routers_of(s->w.registry, registry_router_id(s->w.registry, router), &l);
	return queue_routers_have(&l, q);
}

/* A router's peers, and what it knows of itself, found by trying everything. */
static void assert_peers(struct scene *s, unsigned i)
{
	const struct image *image = s->fakes[i].runs;
	struct queue_routers own;

	queue_routers_of(s->w.registry, registry_router_id(s->w.registry, i), &own);
	assert_int_equal(image->self.n_queue_routers, own.n);
	for (unsigned k = 0; k < own.n; k++)
		assert_int_equal(image->self.queue_routers[k], own.at[k]);
	for (unsigned k = 1; k <= ROUTERS; k++) {
		const struct image_peer *peer = image_peer(image, k);
		bool known = share(s, i, k) || has_queue_router(s, i, k);
		bool relay = has_queue_router(s, k, i);

		for (unsigned x = 1; x <= ROUTERS; x++) {
			known |= share(s, i, x) && has_queue_router(s, x, k);
			relay |= share(s, k, x) && has_queue_router(s, x, i);
		}
		if (i == k)
			known = relay = false;
		assert_int_equal(peer != NULL, known || relay);
		assert_int_equal(peer && peer->relay, relay);
		queue_routers_of(s->w.registry, registry_router_id(s->w.registry, k), &own);
		if (peer)
			assert_int_equal(peer->n_queue_routers, relay ? 0 : own.n);
		for (unsigned x = 0; peer && x < peer->n_queue_routers; x++)
			assert_int_equal(peer->queue_routers[x], own.at[x]);
	}
}

/* Those that may connect to it, as the registry has them. */
static void assert_tinies(struct scene *s, unsigned i)
{
	const struct image *image = s->fakes[i].runs;
	size_t n = 0;

	list_for_each(node, &registry_router_id(s->w.registry, i)->tinies) {
		const struct tiny *tiny = container_of(node, struct tiny_place, by_router)->tiny;
		const struct image_tiny *t = image_tiny(image, tiny->record.id);

		n++;
		assert_non_null(t);
		assert_memory_equal(t->key.bytes, tiny->record.key, t->key.len);
		assert_true(ip_equal(&t->addresses[0], &tiny->record.addresses.at[0]));
	}
	assert_int_equal(image->n_tinies, n);
}

/* Everybody runs what the registry says. */
static void assert_current(struct scene *s)
{
	assert_true(publish_settled(s->p));
	for (unsigned i = 1; i <= ROUTERS; i++) {
		const struct image *image = s->fakes[i].runs;
		const struct router *r = registry_router_id(s->w.registry, i);
		struct networks l;

		assert_non_null(image);
		networks_of_router(r, &l);
		assert_int_equal(image->n_networks, l.n);
		assert_int_equal(image->n_aliases, 0);
		for (size_t k = 0; k < l.n; k++) {
			assert_int_equal(image->networks[k].sides, SIDES);
			assert_true(network_table_equal(image->networks[k].table, l.at[k]));
		}
		assert_peers(s, i);
		assert_tinies(s, i);
		networks_done(&l);
	}
}

#endif
