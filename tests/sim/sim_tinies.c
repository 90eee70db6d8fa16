/*
 * Tinies of an image at their router: they reach the site, each other, and nobody reaches
 * anything in their name; they go with the image. A key that two have is noticed, one that
 * only moves, rekeys or starts again is not. The authority is told of all of them.
 *
 * Site 1 has the image; sites 2 and 3 are tinies, each with one peer; site 4 a thief.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "router/heartbeat.h"
#include "router/tinies.h"
#include "tests/sim/net.h"

#define NETWORK 7
#define VM2 "172.16.2.10"
#define VM3 "172.16.3.10"

static uint64_t numbers;

static void add_tiny(struct image *image, uint32_t id, const char *address)
{
	struct image_tiny *t = image_tiny_new();

	t->id = id;
	t->here = true;
	snprintf(t->name, sizeof(t->name), "vm%u", id);
	t->key.len = 1;
	t->addresses[t->n_addresses++] = ip_of(address);
	image->tinies[image->n_tinies++] = t;
}

static void add_row(struct network_table *t, uint32_t router, const char *prefix)
{
	t->rows[t->n].router = router;
	assert_int_equal(prefix_parse(prefix, &t->rows[t->n++].prefix), 0);
}

/* Of the router; which of the tinies there are. The host 172.16.2.11 is in one row with one. */
static struct image *image_of(bool vm2, bool vm3)
{
	struct network_table *t = network_table_room(NETWORK, 8);
	struct image *image = image_new();

	image->router = 1;
	image->version = (struct version){ 1, ++numbers };
	image->networks = calloc(1, sizeof(*image->networks));
	image->tinies = calloc(2000, sizeof(struct image_tiny *));
	add_row(t, 1, "172.16.1.0/24");
	add_row(t, 1, vm2 ? "172.16.2.10/31" : "172.16.2.11/32");
	if (vm3)
		add_row(t, 1, VM3 "/32");
	image->networks[image->n_networks++] = (struct image_network){ SIDES, PROTECT_HMAC, t };
	if (vm2)
		add_tiny(image, 2, VM2);
	if (vm3)
		add_tiny(image, 3, VM3);
	assert_true(image_valid(image));
	return image;
}

static void apply(struct net *n, struct image *image)
{
	struct router *r = n->sites[1].router;

	assert_true(router_apply_image(r, image, config_key, r->config, n->now, stderr));
	site_settle(&n->sites[1]);
}

static void start(struct net *n, unsigned i, const char *tables)
{
	struct site *s = &n->sites[i];

	s->workers = 1;
	s->peers = i == 1 ? 1u << 2 | 1u << 3 : 1u << 1;
	s->hidden = i == 1 ? s->peers : 0;
	s->tables = tables;
	site_start(s);
}

static void start_all(struct net *n)
{
	start(n, 1, "");
	apply(n, image_of(true, true));
	start(n, 2, "[lndt]\n7 = " VM2 "\n[gndt 7]\nr1 = 172.16.0.0/12\n");
	start(n, 3, "[lndt]\n7 = " VM3 "\n[gndt 7]\nr1 = 172.16.0.0/12\n");
	net_run(n, 2 * SEC);
}

static struct flow *between(struct net *n, unsigned from, const char *src, unsigned to,
			    const char *dst, uint64_t count)
{
	const struct ip a = ip_of(src), b = ip_of(dst);

	return flow_new(n, from, &a, to, &b, 300, 10 * MSEC, count);
}

static void all_to_all(void **state)
{
	struct net *n = *state;
	struct flow *f[8], *forged;

	start_all(n);
	f[0] = between(n, 1, "172.16.1.10", 2, VM2, 100);
	f[1] = between(n, 2, VM2, 1, "172.16.1.10", 100);
	f[2] = between(n, 2, VM2, 3, VM3, 100);
	f[3] = between(n, 3, VM3, 2, VM2, 100);
	f[4] = between(n, 3, VM3, 1, "172.16.2.11", 100);
	f[5] = between(n, 1, "172.16.2.11", 3, VM3, 100);
	net_run(n, 5 * SEC);
	for (unsigned i = 0; i < 6; i++)
		flow_whole(f[i]);
	/* a host of the site with a tiny's address, a tiny with another's */
	assert_int_equal(site_drops(&n->sites[1], DROP_FORGED_SOURCE), 0);
	forged = between(n, 1, VM2, 3, VM3, 50);
	net_run(n, 2 * SEC);
	assert_int_equal(forged->received, 0);
	site_stop(&n->sites[2]);
	start(n, 2, "[lndt]\n7 = 172.16.2.0/24\n[gndt 7]\nr1 = 172.16.0.0/12\n");
	forged = between(n, 2, "172.16.2.11", 3, VM3, 50);
	net_run(n, 5 * SEC);
	assert_int_equal(forged->received, 0);
	assert_true(site_drops(&n->sites[1], DROP_FORGED_SOURCE) > 0);
}

/* One that isn't in the image any more is out at once, the other stays with its keys. */
static void revoked(void **state)
{
	struct net *n = *state;
	struct flow *out, *stays;
	uint64_t got;

	start_all(n);
	out = between(n, 2, VM2, 1, "172.16.1.10", 100000);
	stays = between(n, 3, VM3, 1, "172.16.1.10", 500);
	net_run(n, 2 * SEC);
	assert_true(out->received > 0);
	apply(n, image_of(false, true));
	got = out->received;
	assert_int_equal(n->sites[1].router->n_contacts, 1);
	net_run(n, 10 * SEC);
	assert_int_equal(out->received, got);
	flow_whole(stays);
	/* there again, it needs no more than its next try */
	apply(n, image_of(true, true));
	net_run(n, 40 * SEC);
	assert_true(out->received > got);
	assert_int_equal(site_contact(n, 1, 3)->keying.failures, 0);
	assert_int_equal(router_events(n->sites[3].router, EVENT_HANDSHAKES), 1);
}

/* What a heartbeat says of a tiny; the list is to be given back. */
static const json_t *said_of(struct net *n, uint32_t id, json_t **ret_list)
{
	json_t *tiny;
	size_t i;

	*ret_list = tinies_say(n->sites[1].router, n->now);
	json_array_foreach(*ret_list, i, tiny)
	{
		if (json_integer_value(json_object_get(tiny, "id")) == id)
			return tiny;
	}
	fail_msg("nothing is said of tiny %u", id);
	return NULL;
}

static bool is_suspected(void *arg, struct net *n)
{
	json_t *list;
	const json_t *tiny = said_of(n, 2, &list);
	bool ret = json_integer_value(json_object_get(tiny, "moved")) >= 3 ||
		   json_is_true(json_object_get(tiny, "twice"));

	(void)arg;
	json_decref(list);
	return ret;
}

static bool is_twice(void *arg, struct net *n)
{
	(void)arg;
	return tiny_is_twice(site_contact(n, 1, 2), n->now);
}

static bool has_returned(void *arg, struct net *n)
{
	(void)arg;
	return tiny_returns(site_contact(n, 1, 2), n->now) >= 3;
}

/* A thief's handshakes replace the owner's, and the other way round. */
static void stolen(void **state)
{
	struct net *n = *state;

	for (unsigned busy = 0; busy < 2; busy++) {
		start_all(n);
		n->sites[4].id = 2;
		if (busy)
			between(n, 2, VM2, 1, "172.16.1.10", 100000);
		net_run(n, 60 * SEC);
		assert_false(is_suspected(NULL, n));
		start(n, 4, n->sites[2].tables);
		assert_true(net_wait(n, is_suspected, NULL, 60 * SEC) >= 0);
		assert_int_equal(net_logged(n, "vm2: its key is used in two places"), 1);
		/* either sign by itself */
		assert_true(net_wait(n, is_twice, NULL, 60 * SEC) >= 0);
		assert_true(net_wait(n, has_returned, NULL, 60 * SEC) >= 0);
		net_run(n, 120 * SEC);
		assert_true(is_suspected(NULL, n));
		site_stop(&n->sites[4]);
		net_run(n, 180 * SEC);
		assert_false(is_suspected(NULL, n));
		net_free(n);
		*state = n = net_new(busy + 5);
	}
}

/* Handshakes again and again, another address, a restart: one key in one place. */
static void not_stolen(void **state)
{
	struct net *n = *state;
	struct wire w = { .delay = 100 * MSEC, .jitter = 100 * MSEC, .loss = 0.05, .hold = 0.01 };

	net_wires(n, &w);
	n->sites[1].security = n->sites[2].security = n->sites[3].security = "rekey-after = 30s\n";
	start_all(n);
	between(n, 2, VM2, 1, "172.16.1.10", 100000);
	between(n, 1, "172.16.1.10", 2, VM2, 100000);
	for (unsigned i = 0; i < 12; i++) {
		net_run(n, 30 * SEC);
		assert_false(is_suspected(NULL, n));
	}
	assert_true(router_events(n->sites[1].router, EVENT_REKEYS) > 5);
	for (unsigned i = 0; i < 5; i++) {
		const char *tables = n->sites[2].tables;

		site_stop(&n->sites[2]);
		start(n, 2, tables);
		net_run(n, 15 * SEC);
		assert_false(is_suspected(NULL, n));
	}
	assert_int_equal(net_logged(n, "in two places"), 0);
}

static unsigned count_said(struct net *n, uint8_t *seen)
{
	char *body = heartbeat_body(n->sites[1].router, (struct version){ 0 }, false, n->now);
	json_t *o = json_loads(body, 0, NULL), *list = json_object_get(o, "tinies"), *tiny;
	unsigned count = (unsigned)json_array_size(list);
	size_t i;

	json_array_foreach(list, i, tiny)
	{
		seen[json_integer_value(json_object_get(tiny, "id"))]++;
	}
	assert_int_equal(json_array_size(json_object_get(o, "peers")), 0);
	json_decref(o);
	free(body);
	return count;
}

/* More than one heartbeat has room for: news first, nobody is forgotten. */
static void told_by_turns(void **state)
{
	struct net *n = *state;
	struct image *image = image_of(true, false);
	struct router *r;
	uint8_t *seen = calloc(1, 20000);
	unsigned most = 0, least = 255;

	start(n, 1, "");
	for (unsigned i = 0; i < 1500; i++) {
		char address[32];

		snprintf(address, sizeof(address), "10.0.%u.%u", i / 250, i % 250 + 1);
		add_tiny(image, 10000 + i, address);
	}
	apply(n, image);
	r = n->sites[1].router;
	assert_int_equal(r->n_contacts, 1501);
	assert_int_equal(count_said(n, seen), TINIES_SAID);
	assert_int_equal(count_said(n, seen), TINIES_SAID); /* nobody has answered: the same */
	for (unsigned i = 0; i < 20000; i++)
		assert_true(seen[i] == 0 || seen[i] == 2);
	tinies_heard(r);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(count_said(n, seen), TINIES_SAID);
		tinies_heard(r);
	}
	for (unsigned i = 10000; i < 11500; i++)
		assert_true(seen[i] > 0);
	/* news are there with the next one */
	start(n, 2, "[lndt]\n7 = " VM2 "\n[gndt 7]\nr1 = 172.16.0.0/12\n");
	net_run(n, 5 * SEC);
	memset(seen, 0, 20000);
	count_said(n, seen);
	assert_int_equal(seen[2], 1);
	tinies_heard(r);
	memset(seen, 0, 20000);
	for (unsigned i = 0; i < 3; i++) {
		count_said(n, seen);
		tinies_heard(r);
	}
	for (unsigned i = 10000; i < 11500; i++) {
		most = seen[i] > most ? seen[i] : most;
		least = seen[i] < least ? seen[i] : least;
	}
	assert_int_equal(least, 1);
	assert_in_range(most, 2, 3);
	free(seen);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		net_test(all_to_all), net_test(revoked),       net_test(stolen),
		net_test(not_stolen), net_test(told_by_turns),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
