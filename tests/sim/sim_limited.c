/*
 * Limited routers by what the authority gives alone: their files say nothing of it. Sites 3
 * and 4 have no address that others know, 5 has; 1 and 2 are queue routers, which have no part
 * in the network. The steps of a change of queue routers are those of authority/publish.h.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

#define SITES 5
#define IS_LIMITED(site) ((site) == 3 || (site) == 4)
#define IS_QUEUE_ROUTER(site) ((site) <= 2)

static uint64_t numbers;

/* Who serves the limited ones (bits of sites), and whom they use, in this order. */
struct phase {
	unsigned serving;
	uint8_t n;
	uint32_t used[2];
};
static const struct phase before = { 1u << 1, 1, { 1 } }, both = { 3u << 1, 2, { 1, 2 } },
			  moved = { 3u << 1, 1, { 2 } }, after = { 1u << 2, 1, { 2 } };

static void add_peer(struct net *n, struct image *image, unsigned site, const struct phase *p)
{
	struct image_peer *peer = image_peer_new();

	peer->id = site;
	peer->n_keys = peer->keys[0].len = 1;
	peer->relay = IS_QUEUE_ROUTER(image->router);
	peer->direct = false;
	snprintf(peer->name, sizeof(peer->name), "r%u", site);
	if (IS_LIMITED(site) && !peer->relay) {
		peer->n_queue_routers = p->n;
		memcpy(peer->queue_routers, p->used, sizeof(p->used));
	} else if (!IS_LIMITED(site)) {
		peer->n_endpoints = 1;
		endpoint_format(&n->sites[site].own[0], peer->endpoints[0]);
	}
	image->peers[image->n_peers++] = peer;
}

static struct image *image_for(struct net *n, unsigned site, const struct phase *p,
			       enum image_limited mode)
{
	struct image *image = image_new();
	struct network_table *t = network_table_room(1, SITES);

	image->version = (struct version){ 1, ++numbers };
	image->router = site;
	image->networks = calloc(1, sizeof(*image->networks));
	image->peers = calloc(SITES, sizeof(struct image_peer *));
	for (unsigned i = 3; i <= SITES; i++) {
		struct ip ip = host4(i, 10);

		t->rows[t->n++] = (struct network_row){ i, prefix_host(&ip) };
	}
	if (IS_QUEUE_ROUTER(site))
		network_table_unref(t);
	else
		image->networks[image->n_networks++] =
			(struct image_network){ SIDES, PROTECT_HMAC, t };
	if (IS_LIMITED(site)) {
		image->self.limited = (uint8_t)mode;
		image->self.n_queue_routers = p->n;
		memcpy(image->self.queue_routers, p->used, sizeof(p->used));
	}
	for (unsigned i = 1; i <= SITES; i++)
		if (i != site && (IS_QUEUE_ROUTER(site) ? p->serving & 1u << site && i > 2
							: i > 2 || p->serving & 1u << i))
			add_peer(n, image, i, p);
	assert_true(image_valid(image));
	return image;
}

/* At all of them, in any order, some time between them. */
static void take(struct net *n, const struct phase *p, enum image_limited mode)
{
	unsigned done = 0;

	while (done != (1u << SITES) - 1) {
		unsigned i = 1 + (unsigned)net_random(n, SITES);

		if (done & 1u << (i - 1))
			continue;
		done |= 1u << (i - 1);
		assert_true(router_apply_image(n->sites[i].router, image_for(n, i, p, mode),
					       config_key, n->sites[i].router->config, n->now,
					       stderr));
		net_run(n, (int64_t)net_random(n, 60) * MSEC);
	}
}

static uint32_t via(struct net *n, unsigned site, unsigned peer)
{
	const struct contact *c = site_contact(n, site, peer);
	const struct path *p = c ? c->peer->path : NULL;

	return p && p->way.kind == WAY_RELAY ? p->way.via : 0;
}

static void start(struct net *n)
{
	for (unsigned i = 1; i <= SITES; i++) {
		n->sites[i].listens = !IS_LIMITED(i);
		n->sites[i].hidden = 1u << 3 | 1u << 4;
	}
	sites_start(n, SITES, 2);
}

/* There and back, while frames flow between limited ones, and between one and a full one. */
static void moved_without_loss(void **state)
{
	static const enum image_limited modes[] = { IMAGE_LIMITED, IMAGE_UDP, IMAGE_POLL_UDP,
						    IMAGE_POLL_TCP };

	(void)state;
	for (unsigned m = 0; m < sizeof(modes) / sizeof(*modes); m++) {
		struct net *n = net_new(m + 1);
		enum image_limited mode = modes[m];
		struct flow *f[4];

		start(n);
		take(n, &before, mode);
		net_run(n, 20 * SEC);
		assert_int_equal(via(n, 3, 4), 1);
		assert_int_equal(via(n, 4, 3), 1);
		f[0] = flow4(n, 3, 4, 300, 5 * MSEC, 1000000);
		f[1] = flow4(n, 4, 3, 1000, 5 * MSEC, 1000000);
		f[2] = flow4(n, 3, 5, 300, 5 * MSEC, 1000000);
		f[3] = flow4(n, 5, 4, 300, 5 * MSEC, 1000000);
		for (unsigned round = 0; round < 3; round++) {
			net_run(n, 3 * SEC);
			take(n, &both, mode);
			net_run(n, 3 * SEC);
			assert_int_equal(via(n, 3, 4), 1);
			take(n, &moved, mode);
			net_run(n, 3 * SEC);
			take(n, &after, mode);
			net_run(n, SEC);
			assert_int_equal(via(n, 3, 4), 2);
			assert_int_equal(via(n, 4, 3), 2);
			assert_int_equal(n->sites[1].router->n_contacts, 0);
			assert_null(site_contact(n, 3, 1));
			/* and back */
			take(n, &both, mode);
			net_run(n, 3 * SEC);
			take(n, &(struct phase){ both.serving, 1, { 1 } }, mode);
			net_run(n, 3 * SEC);
			take(n, &before, mode);
		}
		for (unsigned i = 0; i < 4; i++)
			f[i]->left = 0;
		net_run(n, 3 * SEC);
		for (unsigned i = 0; i < 4; i++) {
			assert_true(f[i]->sent > 5000);
			flow_whole(f[i]);
		}
		net_free(n);
	}
}

/* An image says whether a router is limited, whatever its file says. */
static void image_prevails(void **state)
{
	struct net *n = *state;
	struct phase none = { 0 };

	n->sites[3].router_lines = "[limited]\nqueue-routers = r1, r2\nmode = poll-udp\n"
				   "interval = 50ms\n";
	start(n);
	net_run(n, SEC);
	assert_int_equal(n->sites[3].router->limited.mode, LIMITED_POLL_UDP);
	assert_int_equal(n->sites[3].router->limited.n_own, 2);
	take(n, &before, IMAGE_LIMITED); /* the mode is left to the file */
	assert_int_equal(n->sites[3].router->limited.mode, LIMITED_POLL_UDP);
	assert_int_equal(n->sites[3].router->limited.interval, 50 * MSEC);
	assert_int_equal(n->sites[3].router->limited.n_own, 1);
	assert_int_equal(n->sites[4].router->limited.mode, LIMITED_CHANNEL);
	take(n, &after, IMAGE_UDP);
	assert_int_equal(n->sites[3].router->limited.mode, LIMITED_UDP);
	assert_int_equal(n->sites[3].router->limited.own[0], 2);
	assert_true(site_reload(&n->sites[3]));
	assert_int_equal(n->sites[3].router->limited.mode, LIMITED_UDP);
	take(n, &none, IMAGE_NOT_LIMITED);
	assert_int_equal(n->sites[3].router->limited.mode, LIMITED_NONE);
	assert_int_equal(n->sites[3].router->limited.n_own, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(moved_without_loss),
		net_test(image_prevails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
