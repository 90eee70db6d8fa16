/*
 * Tables from the authority under traffic: networks merged, split, hosts that move from
 * one to another, each in the confirmed steps of a change, while routers are at
 * different steps. Hosts that stay together lose nothing, hosts that share no network
 * before or after never reach each other.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

/* Which hosts are in which networks: "ID: SITE.HOST SITE.HOST ...; ...", ascending. */
struct state {
	struct network_table *networks[8];
	size_t n;
};

static struct state state_of(const char *text)
{
	struct state s = { .n = 0 };
	unsigned id, site, host;
	int used;

	while (sscanf(text, " %u:%n", &id, &used) == 1) {
		struct network_table *t = network_table_room(id, 32);

		text += used;
		while (sscanf(text, " %u.%u%n", &site, &host, &used) == 2) {
			struct ip ip = host4(site, host);

			t->rows[t->n++] = (struct network_row){ site, prefix_host(&ip) };
			text += used;
		}
		assert_true(network_table_valid(t));
		s.networks[s.n++] = t;
		text += *text == ';';
	}
	return s;
}

static void state_done(struct state *s)
{
	while (s->n)
		network_table_unref(s->networks[--s->n]);
}

static const struct network_table *part_of(const struct state *s, uint32_t id, uint32_t site)
{
	size_t n;

	for (size_t i = 0; i < s->n; i++)
		if (s->networks[i]->id == id && (network_table_of(s->networks[i], site, &n), n))
			return s->networks[i];
	return NULL;
}

static bool is_in(const struct network_table *t, const struct network_row *row)
{
	return network_table_at(t, row->router, &row->prefix.ip) != NULL;
}

/* A host of this site was in `from` and is in `to`. */
static bool has_alias(const struct state *before, const struct state *after, uint32_t site,
		      uint32_t from, uint32_t to)
{
	const struct network_table *a = part_of(before, from, site), *b = part_of(after, to, site);
	size_t n = 0;
	const struct network_row *rows = a ? network_table_of(a, site, &n) : NULL;

	while (b && n--)
		if (is_in(b, &rows[n]))
			return from != to;
	return false;
}

static void add_network(struct image *image, uint8_t sides, uint32_t id,
			const struct network_table *t)
{
	image->networks[image->n_networks++] =
		(struct image_network){ sides, PROTECT_HMAC,
					t ? network_table_ref(t) : network_table_room(id, 0) };
}

/* As authority/tables.h says, of a router in a step. */
static struct image *image_of(const struct state *before, const struct state *after, unsigned step,
			      uint32_t site, uint64_t number)
{
	const struct state *send = step < 2 ? before : after, *receive = step < 1 ? before : after;
	struct image *image = image_new();

	image->version = (struct version){ 1, number };
	image->router = site;
	image->step = (uint8_t)step;
	image->networks = calloc(32, sizeof(*image->networks));
	image->aliases = calloc(32, sizeof(*image->aliases));
	image->peers = calloc(8, sizeof(struct image_peer *));
	for (uint32_t id = 1; id < 20; id++) {
		const struct network_table *out = part_of(send, id, site);
		const struct network_table *in = part_of(receive, id, site);
		bool alias = false;

		for (uint32_t to = 1; (step == 1 || step == 2) && to < 20; to++)
			if (has_alias(before, after, site, id, to)) {
				image->aliases[image->n_aliases++] = (struct alias){ id, to };
				alias = true;
			}
		if (out && in && network_table_equal(out, in)) {
			add_network(image, SIDES, id, out);
			continue;
		}
		if (out)
			add_network(image, SIDE_SEND, id, out);
		if (in)
			add_network(image, SIDE_RECEIVE, id, in);
		if (alias && !out && !in)
			add_network(image, 0, id, NULL);
	}
	for (uint32_t id = 1; id <= 3; id++) {
		struct image_peer *p = image_peer_new();

		p->id = id;
		p->n_keys = p->keys[0].len = 1;
		p->n_endpoints = 1;
		snprintf(p->name, sizeof(p->name), "r%u", id);
		snprintf(p->endpoints[0], sizeof(p->endpoints[0]), "198.51.100.%u:8463", id);
		if (id != site)
			image->peers[image->n_peers++] = p;
		else
			image_peer_unref(p);
	}
	assert_true(image_valid(image));
	return image;
}

static bool apply(struct net *n, unsigned site, struct image *image, FILE *errors)
{
	struct router *r = n->sites[site].router;

	for (size_t i = 0; i < image->n_peers; i++)
		strcpy(image->peers[i]->endpoints[0],
		       endpoint_format(&n->sites[image->peers[i]->id].own[0],
				       (char[ENDPOINT_TEXT]){ 0 }));
	return router_apply_image(r, image, config_key, r->config, n->now, errors);
}

static uint64_t numbers;

/* One step at all three, in some order, some time between them; the last one's packets
 * arrive before it ends. */
static void take_step(struct net *n, const struct state *before, const struct state *after,
		      unsigned step)
{
	unsigned done = 0;

	while (done != 7) {
		unsigned site = 1 + (unsigned)net_random(n, 3);

		if (done & 1u << (site - 1))
			continue;
		done |= 1u << (site - 1);
		assert_true(apply(n, site, image_of(before, after, step, site, ++numbers), stderr));
		net_run(n, (int64_t)net_random(n, 60) * MSEC);
	}
	net_run(n, 20 * MSEC);
}

static struct flow *between(struct net *n, unsigned from, unsigned a, unsigned to, unsigned b,
			    uint64_t count)
{
	struct ip src = host4(from, a), dst = host4(to, b);

	return flow_new(n, from, &src, to, &dst, 300, MSEC, count);
}

static void begin(struct net *n, const struct state *s)
{
	sites_start(n, 3, 2);
	sites_wait_up(n);
	for (unsigned i = 1; i <= 3; i++)
		assert_true(apply(n, i, image_of(s, s, 0, i, ++numbers), stderr));
}

/* The dissertation's figure 5-2, there and back, over and over. */
static void merge_and_split(void **state)
{
	struct state apart = state_of("1: 1.10 1.11 2.11 2.12; 2: 1.20 3.10; 5: 2.99 3.99");
	struct state whole = state_of("3: 1.10 1.11 1.20 2.11 2.12 3.10; 5: 2.99 3.99");
	struct net *n = *state;
	struct flow *together[8], *never[4];

	begin(n, &apart);
	together[0] = between(n, 1, 10, 2, 11, 1000000);
	together[1] = between(n, 2, 11, 1, 10, 1000000);
	together[2] = between(n, 1, 20, 3, 10, 1000000);
	together[3] = between(n, 3, 10, 1, 20, 1000000);
	together[4] = between(n, 2, 99, 3, 99, 1000000);
	together[5] = between(n, 3, 99, 2, 99, 1000000);
	together[6] = between(n, 2, 12, 1, 11, 1000000);
	never[0] = between(n, 2, 99, 3, 10, 1000000);
	never[1] = between(n, 3, 99, 1, 20, 1000000);
	never[2] = between(n, 1, 10, 3, 99, 1000000);
	never[3] = between(n, 3, 10, 2, 99, 1000000);
	net_run(n, 100 * MSEC);
	for (unsigned round = 0; round < 20; round++) {
		struct flow *joined;
		uint64_t got;

		joined = between(n, 2, 11, 3, 10, 100);
		net_run(n, 200 * MSEC);
		assert_int_equal(joined->received, 0);
		for (unsigned step = 1; step <= 3; step++)
			take_step(n, &apart, &whole, step);
		joined = between(n, 2, 11, 3, 10, 100);
		net_run(n, 200 * MSEC);
		flow_whole(joined);
		assert_int_equal(n->sites[1].router->world->n_aliases, 0);
		joined = between(n, 2, 12, 3, 10, 2000);
		take_step(n, &whole, &apart, 1);
		got = joined->received; /* what a change takes away has ended here */
		take_step(n, &whole, &apart, 2);
		take_step(n, &whole, &apart, 3);
		assert_int_equal(joined->received, got);
		net_run(n, 2 * SEC);
	}
	for (unsigned i = 0; i < n->n_flows; i++)
		n->flows[i]->left = 0;
	net_run(n, SEC);
	for (unsigned i = 0; i < 7; i++) {
		assert_true(together[i]->sent > 40000);
		flow_whole(together[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(never[i]->received, 0);
	assert_int_equal(n->misplaced + n->corrupt, 0);
	/* nobody had to agree on keys again, and no network but those is left */
	assert_int_equal(n->sites[1].router->n_contacts, 2);
	assert_int_equal(router_events(n->sites[1].router, EVENT_HANDSHAKES), 2);
	assert_int_equal(n->sites[1].router->n_networks, 2);
	state_done(&apart);
	state_done(&whole);
}

/* Hosts go together from one network to another; both networks stay. */
static void hosts_move(void **state)
{
	struct state was = state_of("1: 1.10 1.11 2.11 2.12; 2: 1.20 3.10");
	struct state is = state_of("1: 1.11 2.12; 2: 1.10 1.20 2.11 3.10");
	struct net *n = *state;
	struct flow *f[4], *never;

	begin(n, &was);
	f[0] = between(n, 1, 10, 2, 11, 1000000);
	f[1] = between(n, 2, 11, 1, 10, 1000000);
	f[2] = between(n, 1, 11, 2, 12, 1000000);
	f[3] = between(n, 3, 10, 1, 20, 1000000);
	never = between(n, 2, 12, 3, 10, 1000000);
	for (unsigned round = 0; round < 20; round++)
		for (unsigned step = 1; step <= 3; step++)
			take_step(n, round % 2 ? &is : &was, round % 2 ? &was : &is, step);
	for (unsigned i = 0; i < n->n_flows; i++)
		n->flows[i]->left = 0;
	net_run(n, SEC);
	for (unsigned i = 0; i < 4; i++)
		flow_whole(f[i]);
	assert_int_equal(never->received, 0);
	state_done(&was);
	state_done(&is);
}

/* Sites 2 and 3 have no address for each other; site 1 is their queue router. */
static struct image *limited_image(const struct state *s, unsigned site, bool relay)
{
	struct image *image = image_of(s, s, 0, site, ++numbers);

	if (site != 1)
		image->self = (struct image_self){ IMAGE_UDP, 1, { 1 } };
	for (size_t i = 0; i < image->n_peers; i++) {
		struct image_peer *p = image->peers[i];

		p->relay = relay;
		if (p->id == 1)
			continue;
		p->direct = false;
		p->n_endpoints = 0;
		p->queue_routers[p->n_queue_routers++] = 1;
	}
	assert_true(image_valid(image));
	return image;
}

/* Queue routers and permissions are the image's: no router's file has any of it. */
static void queue_routers(void **state)
{
	struct state s = state_of("1: 2.10 3.10");
	struct net *n = *state;
	struct flow *f[2];

	n->sites[2].hidden = 1u << 3;
	n->sites[3].hidden = 1u << 2;
	sites_start(n, 3, 1);
	for (unsigned relay = 0; relay < 2; relay++) {
		const struct path *path;

		for (unsigned i = 1; i <= 3; i++)
			assert_true(apply(n, i, limited_image(&s, i, relay), stderr));
		net_run(n, 10 * SEC);
		f[0] = between(n, 2, 10, 3, 10, 1000);
		f[1] = between(n, 3, 10, 2, 10, 1000);
		net_run(n, 3 * SEC);
		path = site_contact(n, 2, 3)->peer->path;
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(f[i]->received, relay ? 1000 : 0);
		assert_int_equal(path && path->way.kind == WAY_RELAY ? path->way.via : 0, relay);
	}
	state_done(&s);
}

/* What is refused leaves everything as it was; a reload leaves the image. */
static void refused(void **state)
{
	struct state s = state_of("1: 1.10 2.11; 2: 1.20 3.10");
	struct state bad = state_of("1: 1.10 2.11; 2: 1.10 2.11 3.10");
	struct net *n = *state;
	char text[1024] = "";
	FILE *errors = fmemopen(text, sizeof(text) - 1, "w");
	const struct world *w;
	struct flow *f;

	assert_non_null(errors);
	begin(n, &s);
	f = between(n, 1, 10, 2, 11, 1000);
	w = n->sites[1].router->world;
	assert_false(apply(n, 1, image_of(&s, &s, 0, 1, numbers - 3), errors)); /* not newer */
	assert_false(apply(n, 1, image_of(&s, &s, 0, 2, ++numbers), errors));	/* another's */
	assert_false(apply(n, 1, image_of(&bad, &bad, 0, 1, ++numbers), errors));
	fclose(errors);
	assert_ptr_equal(n->sites[1].router->world, w);
	assert_non_null(strstr(text, "not newer"));
	assert_non_null(strstr(text, "of router 2"));
	assert_non_null(strstr(text, "172.16.2.11"));
	net_run(n, 100 * MSEC);
	assert_true(site_reload(&n->sites[1]));
	assert_int_equal(n->sites[1].router->n_networks, 2);
	assert_true(site_reload(&n->sites[2]));
	net_run(n, 2 * SEC);
	flow_whole(f);
	state_done(&s);
	state_done(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(merge_and_split),
		net_test(hosts_move),
		net_test(queue_routers),
		net_test(refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
