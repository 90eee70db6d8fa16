/* links: libauthority libcommon */
/*
 * Publishing on a virtual clock, to routers that are simulated: batches, steps, routers
 * that don't answer, streams that break at random, an authority that is started again.
 */
#include "tests/unit/publish_world.h"

static bool share(struct scene *s, unsigned a, unsigned b)
{
	struct networks l;
	bool found = false;
	size_t n;

	networks_of_router(registry_router_id(s->w.registry, a), &l);
	for (size_t i = 0; i < l.n; i++) {
		network_table_of(l.at[i], b, &n);
		found |= n && a != b;
	}
	networks_done(&l);
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
static UNUSED void assert_tinies(struct scene *s, unsigned i)
{
	const struct router *r = registry_router_id(s->w.registry, i);
	const struct image *image = s->fakes[i].runs;
	size_t n = 0;

	list_for_each(node, &r->tinies) {
		const struct tiny *tiny = container_of(node, struct tiny_place, by_router)->tiny;
		const struct image_tiny *t = image_tiny(image, tiny->record.id);

		if (!router_active(r))
			break;
		n++;
		assert_non_null(t);
		assert_memory_equal(t->key.bytes, tiny->record.key, t->key.len);
		assert_true(ip_equal(&t->addresses[0], &tiny->record.addresses.at[0]));
		assert_int_equal(t->here, tiny->host && tiny->host->router->record.id == i);
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

/* Changes that follow each other go out together, and none waits for ever; those that
 * are not touched hear nothing. */
static void batches(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	struct publish_status st;

	attach_all(s);
	run(s, SEC);
	assert_current(s);
	create(s, "a", 1, "h11 h21");
	run(s, 400 * MSEC);
	assert_true(publish_status(s->p, 2, &st));
	assert_true(publish_awaits(s->p, 1) && !version_compare(st.runs, st.given));
	assert_false(publish_awaits(s->p, 3));
	create(s, "b", 2, "h12 h31");
	run(s, 400 * MSEC);
	assert_true(publish_awaits(s->p, 3));
	assert_int_equal(s->fakes[1].changes, 0);
	run(s, 400 * MSEC);
	assert_current(s);
	/* once for each of the two steps */
	assert_int_equal(s->fakes[1].changes, 2);
	assert_int_equal(s->fakes[2].changes, 2);
	assert_int_equal(s->fakes[3].changes, 2);
	assert_int_equal(s->fakes[4].changes, 0);
	for (unsigned i = 1; i <= ROUTERS; i++)
		assert_int_equal(s->fakes[i].wholes, 1);
	for (unsigned i = 0; i < 9; i++) {
		char name[8] = { 'c', (char)('a' + i), 0 };

		create(s, name, 10 + i, "h41 h51");
		assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", name)));
		create(s, name, 10 + i, "h42 h52");
		assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", name)));
		publish_changed(s->p, s->w.revision, s->now);
		create(s, name, 30 + i, i == 8 ? "h43 h53 h63" : "h13");
		assert_int_equal(s->fakes[6].changes, 0);
		run(s, 400 * MSEC);
	}
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->late + s->ahead, 0);
}

/* Nobody is in a step before all are in the one before it. */
static void merge_in_steps(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	unsigned seen = 0;

	attach_all(s);
	create(s, "a", 1, "h11 h21");
	create(s, "b", 2, "h12 h31");
	run(s, 2 * SEC);
	assert_done(as(w, "root", "vn-merge",
		       json_pack("{s:[s,s],s:s,s:i}", "vns", "a", "b", "name", "c", "id", 3)));
	publish_changed(s->p, s->w.revision, s->now);
	s->fakes[3].mute = true;
	run(s, 9 * SEC);
	assert_int_equal(s->fakes[1].runs->step, 1);
	assert_int_equal(s->fakes[3].runs->step, 1);
	assert_int_equal(publish_rounds(s->p), 1);
	/* one beside it that touches others */
	create(s, "d", 4, "h41 h51");
	run(s, SEC + 200 * MSEC);
	assert_int_equal(s->fakes[4].runs->n_networks, 1);
	assert_int_equal(s->late, 0);
	s->fakes[3].mute = false;
	publish_confirm(s->p, 3, s->fakes[3].runs->version, s->now);
	for (unsigned i = 0; i < 100; i++) {
		unsigned low = 9, high = 0;

		run(s, 10 * MSEC);
		for (unsigned k = 1; k <= 3; k++) {
			unsigned step = s->fakes[k].runs->step;

			low = step < low ? step : low;
			high = step > high ? step : high;
		}
		seen |= 1u << high;
		assert_true(high - low <= 1);
	}
	assert_int_equal(seen & ~1u, 2 | 4 | 8);
	assert_current(s);
}

/* One that has been gone for some of that time is waited for only so much longer. */
static void gone_before(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;

	attach_all(s);
	create(s, "a", 1, "h11 h31");
	run(s, SEC);
	assert_current(s);
	detach(s, &s->fakes[3]);
	run(s, PUBLISH_LATE - 3 * SEC);
	assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", "a")));
	publish_changed(s->p, w->revision, s->now);
	run(s, 2 * SEC);
	assert_int_equal(s->late, 0);
	assert_false(publish_settled(s->p));
	run(s, 2 * SEC);
	assert_int_equal(s->late, 1);
	assert_true(publish_settled(s->p));
	attach(s, &s->fakes[3]);
	run(s, SEC);
	assert_int_equal(s->caught_up, 1);
	assert_current(s);
	/* Longer: not at all. */
	detach(s, &s->fakes[3]);
	run(s, 2 * PUBLISH_LATE);
	create(s, "b", 2, "h12 h32");
	run(s, SEC);
	assert_int_equal(s->late, 2);
	assert_true(publish_settled(s->p));
}

static void late_and_back(void **state)
{
	struct scene *s = *state;
	struct publish_status st;

	attach_all(s);
	create(s, "a", 1, "h11 h21 h31");
	run(s, 2 * SEC);
	detach(s, &s->fakes[3]);
	create(s, "b", 2, "h12 h32");
	run(s, PUBLISH_LATE - SEC);
	assert_int_equal(s->late, 0);
	assert_int_equal(s->fakes[1].runs->step, 1);
	run(s, 2 * SEC);
	assert_int_equal(s->late, 1);
	assert_int_equal(s->fakes[1].runs->step, 3);
	assert_true(publish_settled(s->p));
	/* it is not waited for until it is back */
	create(s, "c", 3, "h13 h33");
	run(s, SEC);
	assert_int_equal(s->fakes[1].runs->n_networks, 3);
	assert_true(publish_status(s->p, 3, &st));
	assert_true(st.late && !st.attached);
	attach(s, &s->fakes[3]);
	run(s, SEC);
	assert_int_equal(s->caught_up, 1);
	assert_int_equal(s->fakes[3].wholes, 2);
	assert_current(s);
	assert_true(publish_status(s->p, 3, &st));
	assert_true(!st.late && st.attached && !version_compare(st.runs, st.given));
	assert_int_equal(publish_attach(s->p, 77, (struct version){ 0 }, on_send, NULL, s->now),
			 -ENOENT);
}

/* Who knows a router hears of its key; a revoked one is known to nobody. */
static void routers_change(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;

	attach_all(s);
	create(s, "a", 1, "h11 h21");
	run(s, 2 * SEC);
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:s}", "router", "r2", "endpoint", "192.0.2.7:8463")));
	publish_changed(s->p, s->w.revision, s->now);
	run(s, 2 * SEC);
	assert_string_equal(image_peer(s->fakes[1].runs, 2)->endpoints[0], "192.0.2.7:8463");
	assert_int_equal(s->fakes[3].changes, 0);
	assert_done(
		as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r2")));
	assert_true(s->fakes[2].attached);
	publish_changed(s->p, s->w.revision, s->now);
	assert_false(s->fakes[2].attached);
	run(s, 2 * SEC);
	assert_null(image_peer(s->fakes[1].runs, 2));
	assert_true(publish_settled(s->p));
	assert_int_equal(s->late, 0);
}

/* Revoked while all wait for it, and one after the other at once. */
static void revoked_at_once(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;

	attach_all(s);
	s->fakes[3].mute = true;
	create(s, "a", 1, "h11 h31");
	run(s, SEC);
	assert_int_equal(s->fakes[1].runs->step, 1);
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:s}", "router", "r3", "endpoint", "192.0.2.7:8463")));
	publish_changed(s->p, s->w.revision, s->now);
	assert_true(s->fakes[3].attached);
	assert_done(
		as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r3")));
	publish_changed(s->p, s->w.revision, s->now);
	assert_false(s->fakes[3].attached);
	run(s, 2 * SEC);
	assert_true(publish_settled(s->p));
	assert_int_equal(s->late, 0);
}

/* What is to be sent to all goes out in turns, each router's as it is by then. */
static void turns(void **state)
{
	struct scene *s = *state;
	unsigned got = 0;

	attach_all(s);
	run(s, SEC);
	create(s, "a", 1, "h11 h21");
	publish_due(s->p, mono_add(s->now, PUBLISH_GATHER));
	for (unsigned i = 1; i <= ROUTERS; i++)
		got += s->fakes[i].n;
	assert_int_equal(got, 2);
	detach(s, &s->fakes[1]);
	attach(s, &s->fakes[1]);
	detach(s, &s->fakes[1]); /* before its turn */
	attach(s, &s->fakes[1]);
	run(s, 2 * SEC);
	assert_int_equal(s->fakes[1].wholes, 2);
	assert_current(s);
}

/* Each VN has its own protection: merged, the old ones keep theirs until they go. */
static void protections(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	const struct image *image;
	bool both = false;

	attach_all(s);
	create(s, "a", 1, "h11 h21");
	assert_refused(as(w, "root", "vn-create",
			  json_pack("{s:s,s:s}", "name", "x", "encrypt", "rot13")),
		       400, "'encrypt' is not aes-256-gcm");
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o,s:s}", "name", "b", "id", 2, "hosts",
				 list("h12 h31"), "sign", "hmac-sha256")));
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o,s:s}", "name", "c", "id", 3, "hosts",
				 list("h13 h41"), "encrypt", "chacha20-poly1305")));
	publish_changed(s->p, s->w.revision, s->now);
	run(s, 2 * SEC);
	image = s->fakes[1].runs;
	assert_int_equal(image_network(image, 1, SIDES)->protection, PROTECT_AES_256_GCM);
	assert_int_equal(image_network(image, 2, SIDES)->protection, PROTECT_HMAC);
	assert_int_equal(image_network(image, 3, SIDES)->protection, PROTECT_CHACHA20_POLY1305);
	assert_done(as(w, "root", "vn-merge",
		       json_pack("{s:[s,s],s:s,s:i}", "vns", "b", "c", "name", "d", "id", 4)));
	publish_changed(s->p, s->w.revision, s->now);
	for (unsigned i = 0; i < 200; i++) {
		const struct image_network *n;

		run(s, 10 * MSEC);
		n = image_network(s->fakes[1].runs, 2, SIDE_SEND);
		if (n)
			assert_int_equal(n->protection, PROTECT_HMAC);
		both |= n && image_network(s->fakes[1].runs, 4, SIDE_RECEIVE);
	}
	assert_true(both);
	image = s->fakes[1].runs;
	assert_int_equal(image_network(image, 4, SIDES)->protection, PROTECT_CHACHA20_POLY1305);
	assert_current(s);
	/* the same members again, under the same ID, at once */
	assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", "d")));
	assert_done(as(w, "root", "vn-create",
		       json_pack("{s:s,s:i,s:o,s:s}", "name", "d", "id", 4, "hosts",
				 list("h12 h13 h31 h41"), "sign", "none")));
	publish_changed(s->p, s->w.revision, s->now);
	run(s, 2 * SEC);
	image = s->fakes[3].runs;
	assert_int_equal(image_network(image, 4, SIDES)->protection, PROTECT_NONE);
	assert_current(s);
}

/* ---- queue routers -------------------------------------------------------------- */

static void change_router(struct scene *s, const char *name, json_t *fields)
{
	struct world *w = &s->w;

	json_object_set_new(fields, "router", json_string(name));
	assert_done(as(w, "root", "router-change", fields));
	publish_changed(s->p, s->w.revision, s->now);
}

static void serve(struct scene *s, unsigned i, bool on)
{
	char name[8], endpoint[32];

	snprintf(name, sizeof(name), "r%u", i);
	snprintf(endpoint, sizeof(endpoint), "192.0.2.%u:8463", i);
	change_router(s, name, json_pack("{s:s,s:b}", "endpoint", endpoint, "relay", on));
}

static unsigned count(const struct scene *s, unsigned i)
{
	return s->fakes[i].changes + s->fakes[i].wholes;
}

/* Who hears of what: no more, no less. */
static void limited_ones(void **state)
{
	struct scene *s = *state;
	const struct image_peer *peer;
	unsigned were[ROUTERS + 1];

	attach_all(s);
	create(s, "a", 1, "h11 h21");
	run(s, 2 * SEC);
	assert_null(image_peer(s->fakes[6].runs, 1));
	assert_int_equal(s->fakes[1].runs->self.limited, IMAGE_LIMITED);
	serve(s, 6, true);
	run(s, 4 * SEC);
	assert_current(s);
	assert_int_equal(s->fakes[6].runs->self.limited, IMAGE_NOT_LIMITED);
	assert_int_equal(s->fakes[6].runs->n_networks, 0);
	assert_int_equal(s->fakes[1].runs->self.queue_routers[0], 6);
	peer = image_peer(s->fakes[1].runs, 6);
	assert_string_equal(peer->endpoints[0], "192.0.2.6:8463");
	assert_false(peer->relay);
	assert_int_equal(image_peer(s->fakes[1].runs, 2)->queue_routers[0], 6);
	assert_true(image_peer(s->fakes[6].runs, 1)->relay);
	/* those that know each other are in one more network: nothing new for the queue router */
	for (unsigned i = 1; i <= ROUTERS; i++)
		were[i] = count(s, i);
	create(s, "b", 2, "h12 h22");
	run(s, 2 * SEC);
	assert_int_equal(count(s, 6), were[6]);
	assert_int_equal(count(s, 1), were[1] + 2);
	/* ... but here it is: it relays for both, the others hear nothing */
	for (unsigned i = 1; i <= ROUTERS; i++)
		were[i] = count(s, i);
	create(s, "c", 3, "h13 h33");
	run(s, 2 * SEC);
	assert_int_equal(count(s, 6), were[6] + 2);
	assert_int_equal(count(s, 4), were[4]);
	assert_int_equal(count(s, 2), were[2]);
	assert_current(s);
	change_router(s, "r1", json_pack("{s:s}", "limited", "poll-udp"));
	run(s, 2 * SEC);
	assert_int_equal(s->fakes[1].runs->self.limited, IMAGE_POLL_UDP);
	assert_int_equal(count(s, 6), were[6] + 2);
	assert_int_equal(count(s, 2), were[2]);
	/* with an address of its own it needs none */
	change_router(s, "r1", json_pack("{s:s,s:s}", "limited", "auto", "endpoint", "a.b:1"));
	run(s, 10 * SEC);
	assert_int_equal(s->fakes[1].runs->self.limited, IMAGE_NOT_LIMITED);
	assert_current(s);
}

/* Whoever is to be used carries for both, at every moment. */
static void assert_relayed(struct scene *s, unsigned limited, unsigned other)
{
	const struct image *x = s->fakes[other].runs, *l = s->fakes[limited].runs;
	const struct image_peer *peer = image_peer(x, limited), *via;
	const struct image *q;

	assert_true(peer && peer->n_queue_routers);
	via = image_peer(x, peer->queue_routers[0]);
	assert_non_null(via);
	assert_non_null(image_peer(l, via->id));
	q = s->fakes[via->id].runs;
	assert_true(image_peer(q, limited) && image_peer(q, limited)->relay);
	assert_true(image_peer(q, other) && image_peer(q, other)->relay);
}

static void queue_routers_move(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	static const char *const limited[] = { "r1", "r2", "r3", "r4" };
	unsigned steps = 0;
	uint32_t last = 0;

	attach_all(s);
	serve(s, 5, true);
	serve(s, 6, true);
	for (unsigned i = 0; i < 4; i++)
		change_router(s, limited[i], json_pack("{s:[s]}", "queue_routers", "r5"));
	create(s, "a", 1, "h11 h21 h31");
	run(s, 10 * SEC);
	assert_current(s);
	for (unsigned round = 0; round < 6; round++) {
		const char *to = round % 2 ? "r5" : "r6";
		mono_t begun = s->now;

		/* one alone, later all of them */
		for (unsigned i = 0; i < (round < 3 ? 1 : 4); i++)
			change_router(s, limited[i], json_pack("{s:[s]}", "queue_routers", to));
		if (round == 3)
			assert_done(as(w, "root", "vn-join",
				       json_pack("{s:s,s:[s]}", "vn", "a", "hosts", "h41")));
		while (!publish_settled(s->p) && mono_since(s->now, begun) < 20 * SEC) {
			run(s, 10 * MSEC);
			assert_relayed(s, 1, 2);
			assert_relayed(s, 1, 3);
			assert_relayed(s, 2, 1);
			if (s->fakes[1].runs->self.queue_routers[0] != last)
				steps++;
			last = s->fakes[1].runs->self.queue_routers[0];
		}
		assert_true(mono_since(s->now, begun) > 2 * PUBLISH_SETTLE);
		assert_current(s);
	}
	assert_int_equal(steps, 7);
	/* revoked: whoever had it goes elsewhere */
	change_router(s, "r1", json_pack("{s:[]}", "queue_routers"));
	run(s, 10 * SEC);
	assert_current(s);
	assert_int_equal(s->fakes[1].runs->self.n_queue_routers, 2);
	assert_done(
		as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r5")));
	publish_changed(s->p, s->w.revision, s->now);
	s->fakes[5].mute = true;
	run(s, SEC);
	for (unsigned i = 1; i <= 4; i++)
		assert_null(image_peer(s->fakes[i].runs, 5));
	run(s, 20 * SEC);
	assert_true(publish_settled(s->p));
	assert_int_equal(s->fakes[1].runs->self.n_queue_routers, 1);
	assert_int_equal(s->fakes[2].runs->self.n_queue_routers, 0); /* it named that one alone */
}

/* Three of many, each time the same, and by a new one only its own change. */
static void choice(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	struct queue_routers was[40], is;
	unsigned load[40] = { 0 }, moved = 0;

	for (unsigned i = 10; i < 40; i++) {
		char name[8];

		snprintf(name, sizeof(name), "q%u", i);
		assert_done(as(w, "root", "register",
			       json_pack("{s:s,s:s,s:s,s:s,s:i,s:s,s:b}", "kind", "router", "name",
					 name, "site", "r1", "key", name, "id", (int)i, "endpoint",
					 i < 20 ? "a:1" : "", "relay", i < 20)));
	}
	for (unsigned i = 20; i < 40; i++) {
		queue_routers_of(w->registry, registry_router_id(w->registry, i), &was[i]);
		assert_int_equal(was[i].n, QUEUE_ROUTERS_CHOSEN);
		for (unsigned k = 0; k < was[i].n; k++)
			load[was[i].at[k]]++;
	}
	for (unsigned i = 10; i < 20; i++)
		assert_in_range(load[i], 1, 15);
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:b}", "router", "q12", "relay", 0)));
	for (unsigned i = 20; i < 40; i++) {
		bool had = queue_routers_have(&was[i], 12);

		queue_routers_of(w->registry, registry_router_id(w->registry, i), &is);
		assert_int_equal(queue_routers_equal(&was[i], &is), !had);
		moved += had;
	}
	assert_int_equal(moved, load[12]);
}

/* As many as there may be, and then others, some of which stay, in another order. */
static void queue_routers_all(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	json_t *one = json_array(), *other = json_array();
	char name[8];

	attach_all(s);
	for (unsigned i = 10; i < 22; i++) {
		snprintf(name, sizeof(name), "q%u", i);
		assert_done(as(w, "root", "register",
			       json_pack("{s:s,s:s,s:s,s:s,s:i,s:s,s:b}", "kind", "router", "name",
					 name, "site", "r1", "key", name, "id", (int)i, "endpoint",
					 "a:1", "relay", 1)));
		if (i < 18)
			json_array_append_new(one, json_string(name));
		if (i >= 14)
			json_array_insert_new(other, 0, json_string(name));
	}
	change_router(s, "r1", json_pack("{s:o}", "queue_routers", one));
	create(s, "a", 1, "h11 h21");
	run(s, 60 * SEC);
	assert_int_equal(s->fakes[1].runs->self.queue_routers[7], 17);
	change_router(s, "r1", json_pack("{s:o}", "queue_routers", other));
	run(s, SEC); /* those of the old ones that stay, and the new ones */
	assert_int_equal(s->fakes[1].runs->self.queue_routers[0], 14);
	run(s, 60 * SEC);
	assert_int_equal(s->fakes[1].runs->self.queue_routers[0], 21);
	assert_int_equal(s->fakes[1].runs->self.queue_routers[7], 14);
}

/* However often it says so. */
static void ahead_is_told_once(void **state)
{
	struct scene *s = *state;
	const struct version mad = { 99, 1 }, tame = { 0, 0 };

	attach_all(s);
	for (int i = 0; i < 50; i++) {
		publish_confirm(s->p, 1, mad, s->now);
		publish_confirm(s->p, 1, tame, s->now);
		run(s, SEC);
	}
	assert_int_equal(s->ahead, 1);
	run(s, PUBLISH_TOLD);
	publish_confirm(s->p, 1, mad, s->now);
	assert_int_equal(s->ahead, 2);
}

/* Random changes, streams that break, the authority started again: in the end all run
 * what the registry says. */
static void random_losses(void **state)
{
	struct scene *s = *state;
	static const char *const hosts[] = { "h11 h21", "h12 h31 h41", "h51 h61", "h22 h32 h42 h52",
					     "h13 h23 h33 h43 h53 h63" };

	attach_all(s);
	for (unsigned round = 0; round < 300; round++) {
		struct world *w = &s->w;
		char name[16], other[16];

		s->loss = round % 3;
		snprintf(name, sizeof(name), "n%u", any(s, 5));
		snprintf(other, sizeof(other), "n%u", any(s, 5));
		switch (any(s, 8)) {
		case 0:
		case 1:
			as(w, "root", "vn-create",
			   json_pack("{s:s,s:o}", "name", name, "hosts",
				     list(hosts[name[1] - '0'])));
			break;
		case 5: serve(s, 4 + any(s, 3), any(s, 2)); break;
		case 6:
			as(w, "root", "router-change",
			   json_pack("{s:s,s:o}", "router", any(s, 2) ? "r1" : "r2",
				     "queue_routers",
				     list(any(s, 2)   ? "r6 r4"
					  : any(s, 2) ? "r5"
						      : "")));
			break;
		case 7:
			as(w, "root", "router-change",
			   json_pack("{s:s,s:s}", "router", any(s, 2) ? "r2" : "r5", "endpoint",
				     any(s, 2) ? "" : "192.0.2.2:1"));
			break;
		case 2: as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", name)); break;
		case 3:
			as(w, "root", "vn-merge",
			   json_pack("{s:[s,s],s:s}", "vns", name, other, "name", name));
			break;
		default: as(w, "root", "vn-undo", json_pack("{s:s}", "vn", name));
		}
		publish_changed(s->p, s->w.revision, s->now);
		run(s, (int64_t)any(s, 2500) * MSEC);
		if (any(s, 40) == 0)
			restart(s);
		if (round % 50 == 49) {
			s->loss = 0;
			for (unsigned i = 1; i <= ROUTERS; i++)
				if (!s->fakes[i].attached)
					attach(s, &s->fakes[i]);
			run(s, 30 * SEC);
			assert_current(s);
		}
	}
	assert_int_equal(s->ahead, 0);
	assert_int_equal(s->late, s->caught_up);
	for (unsigned i = 1; i <= ROUTERS; i++) {
		assert_int_equal(s->fakes[i].refused, 0);
		assert_true(s->fakes[i].changes > 20);
	}
}

/* From a backup: what routers run is newer, until the generation is raised. */
static void restored(void **state)
{
	struct scene *s = *state;

	attach_all(s);
	create(s, "a", 1, "h11 h21");
	run(s, 2 * SEC);
	publish_free(s->p);
	s->w.revision -= 1;
	begin(s);
	attach_all(s);
	assert_true(s->ahead >= 2);
	s->generation++;
	restart(s);
	s->ahead = 0;
	attach_all(s);
	run(s, SEC);
	assert_int_equal(s->ahead, 0);
	assert_int_equal(s->fakes[1].runs->version.generation, 2);
	assert_current(s);
}

/* What isn't answered is said again, more and more seldom; and not while others haven't been
 * told at all. */
static void said_again(void **state)
{
	struct scene *s = *state;
	unsigned wholes;

	attach_all(s);
	run(s, SEC);
	wholes = s->fakes[1].wholes;
	create(s, "a", 1, "h11 h21");
	s->fakes[1].mute = true;
	run(s, 4 * SEC); /* half a second of gathering, three of patience */
	assert_int_equal(s->fakes[1].wholes, wholes + 1);
	run(s, 5 * SEC);
	assert_int_equal(s->fakes[1].wholes, wholes + 1);
	run(s, SEC);
	assert_int_equal(s->fakes[1].wholes, wholes + 2);
	run(s, 60 * SEC); /* 12, 24, 24 */
	assert_int_equal(s->fakes[1].wholes, wholes + 5);
	s->fakes[1].mute = false;
	publish_confirm(s->p, 1, s->fakes[1].runs->version, s->now);
	create(s, "b", 2, "h12 h22");
	s->fakes[1].mute = true;
	run(s, 4 * SEC); /* with patience as before */
	assert_int_equal(s->fakes[1].wholes, wholes + 6);
	s->fakes[1].mute = false;
	publish_confirm(s->p, 1, s->fakes[1].runs->version, s->now);
	run(s, SEC);
	assert_current(s);
}

static void one_at_a_time(void **state)
{
	struct scene *s = *state;
	unsigned sent = 0;

	publish_pace(s->p, 1);
	attach_all(s);
	for (unsigned turn = 1; turn <= ROUTERS; turn++) {
		publish_due(s->p, s->now);
		sent = 0;
		for (unsigned i = 1; i <= ROUTERS; i++)
			sent += s->fakes[i].n != 0;
		assert_int_equal(sent, turn);
	}
	/* Those that waited for their turn have their time from then on. */
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->late, 0);
}

/* They are told to the routers that they may connect to, with the tables, and are out of both
 * at once; a key that is another one is told alone. */
static void tinies(void **state)
{
	struct scene *s = *state;
	struct world *w = &s->w;
	unsigned changes;

	attach_all(s);
	create(s, "a", 1, "h11 h31");
	run(s, SEC);
	world_tiny(w, "a", "vm1", "10.0.0.1", "r1 r2", "one");
	world_tiny(w, "a", "vm2", "10.0.0.2", "r1 r2", "two");
	publish_changed(s->p, w->revision, s->now);
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->fakes[1].runs->n_tinies, 2);
	assert_int_equal(s->fakes[2].runs->n_tinies, 2);
	assert_int_equal(s->fakes[2].runs->n_networks, 0);
	assert_int_equal(s->fakes[3].runs->n_tinies, 0);
	/* r3 knows where they are. */
	assert_int_equal(image_network(s->fakes[3].runs, 1, SIDE_SEND)->table->n, 4);
	changes = s->fakes[1].changes;
	world_tiny(w, "a", "vm1", "10.0.0.1", "r1 r2", "another");
	publish_changed(s->p, w->revision, s->now);
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->fakes[1].changes, changes + 1);
	assert_int_equal(s->fakes[1].wholes, 1);
	assert_done(as(w, "root", "revoke", json_pack("{s:s,s:s}", "kind", "tiny", "name", "vm1")));
	publish_changed(s->p, w->revision, s->now);
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->fakes[1].runs->n_tinies, 1);
	/* The one that is left goes over. */
	assert_done(world_ask(
		w, (struct request){ .caller = { .kind = CALLER_AUTHORITY }, .operation = "steer" },
		json_pack("{s:s,s:[s,s]}", "router", "r2", "tinies", "vm1", "vm2")));
	publish_changed(s->p, w->revision, s->now);
	run(s, SEC);
	assert_current(s);
	assert_int_equal(s->fakes[2].runs->n_networks, 1);
	/* Who is out of service has none, so that they go to others, and may have them again. */
	for (int i = 1; i >= 0; i--) {
		assert_done(as(w, "root", "router-change",
			       json_pack("{s:s,s:b}", "router", "r1", "disabled", i)));
		publish_changed(s->p, w->revision, s->now);
		run(s, SEC);
		assert_current(s);
		assert_int_equal(s->fakes[1].runs->n_tinies, !i);
	}
	/* An authority that is started again says the same. */
	s->generation++;
	publish_free(s->p);
	begin(s);
	attach_all(s);
	run(s, SEC);
	assert_current(s);
}

int main(void)
{
#define scene_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		scene_test(tinies),
		scene_test(batches),
		scene_test(merge_in_steps),
		scene_test(late_and_back),
		scene_test(gone_before),
		scene_test(protections),
		scene_test(limited_ones),
		scene_test(queue_routers_move),
		scene_test(queue_routers_all),
		scene_test(ahead_is_told_once),
		scene_test(routers_change),
		scene_test(revoked_at_once),
		scene_test(turns),
		scene_test(random_losses),
		scene_test(restored),
		scene_test(choice),
		scene_test(said_again),
		scene_test(one_at_a_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
