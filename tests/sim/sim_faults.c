/*
 * Memory that runs out: the n-th allocation fails, for every n, when a router is
 * made and when it is given another configuration; and one in a hundred while it
 * runs. It never crashes; what was there before goes on.
 *
 * The allocator is replaced in this program alone: these functions count, then
 * call the next ones (the C library's, or a sanitizer's).
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);
void *reallocarray(void *p, size_t n, size_t size);
void *aligned_alloc(size_t align, size_t size);

/* What is to fail. `left` counts down to it; chance: one in so many, 0 for none. */
static struct {
	long left;
	unsigned chance;
	uint64_t random, failed;
} fault;

static bool fails(void)
{
	bool now = fault.left > 0 && --fault.left == 0;

	if (fault.chance) {
		fault.random = fault.random * 6364136223846793005u + 1442695040888963407u;
		now |= (fault.random >> 33) % fault.chance == 0;
	}
	if (now) {
		fault.failed++;
		errno = ENOMEM;
	}
	return now;
}

static void *next_function(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	if (!fn)
		abort();
	return fn;
}

void *malloc(size_t size)
{
	static void *(*next)(size_t);

	if (!next)
		next = (void *(*)(size_t))next_function("malloc");
	return fails() ? NULL : next(size);
}

void *calloc(size_t n, size_t size)
{
	static void *(*next)(size_t, size_t);

	if (!next)
		next = (void *(*)(size_t, size_t))next_function("calloc");
	return fails() ? NULL : next(n, size);
}

void *realloc(void *p, size_t size)
{
	static void *(*next)(void *, size_t);

	if (!next)
		next = (void *(*)(void *, size_t))next_function("realloc");
	return fails() ? NULL : next(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	static void *(*next)(void *, size_t, size_t);

	if (!next)
		next = (void *(*)(void *, size_t, size_t))next_function("reallocarray");
	return fails() ? NULL : next(p, n, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	static void *(*next)(size_t, size_t);

	if (!next)
		next = (void *(*)(size_t, size_t))next_function("aligned_alloc");
	return fails() ? NULL : next(align, size);
}

/* ---- tests ------------------------------------------------------------------- */

static void making_a_router(void **state)
{
	struct net *n = *state;
	unsigned made = 0;
	long at;

	for (unsigned i = 1; i <= 3; i++)
		n->sites[i].peers = 14u & ~(1u << i);
	for (at = 1; made < 3 && at < 20000; at++) {
		struct config *c = site_config(&n->sites[1], stderr);
		struct loop *loop = loop_new();
		struct router *r;
		bool failed;

		assert_true(c && loop);
		fault.left = at;
		r = router_new(c, 2, loop, n->now, stderr);
		failed = fault.left == 0;
		fault.left = 0;
		/* what a library can do without is no failure */
		assert_true(r || failed);
		made = r && !failed ? made + 1 : 0;
		if (r)
			router_free(r);
		loop_free(loop);
	}
	assert_int_equal(made, 3);
	assert_true(at > 20); /* some were tried */
}

static void reading_a_configuration(void **state)
{
	struct net *n = *state;
	char *text;
	long at;

	n->sites[1].peers = 1u << 2;
	text = site_text(&n->sites[1]);
	for (at = 1; at < 20000; at++) {
		struct config *c;
		bool failed;

		fault.left = at;
		c = config_parse("r1", text, strlen(text), false, stderr);
		failed = fault.left == 0;
		fault.left = 0;
		assert_true(c || failed);
		config_free(c);
		if (!failed)
			break;
	}
	free(text);
	assert_true(at > 20 && at < 20000);
}

#define MORE \
	"[lndt]\n8000 = 172.16.1.0/24\n7 = 10.1.0.0/16\n8 = 10.1.0.0/16\n" \
	"[gndt 8000]\nr2 = 172.16.2.0/24\n[gndt 7]\nr3 = 10.3.0.0/16\n"

/* The same of rows. */
static void image_rows(struct image *image, uint32_t id, uint8_t sides, const char *ours,
		       const char *theirs)
{
	struct network_table *t = network_table_room(id, 2);

	t->n = 2;
	t->rows[0].router = 1;
	t->rows[1].router = 2;
	assert_int_equal(prefix_parse(ours, &t->rows[0].prefix), 0);
	assert_int_equal(prefix_parse(theirs, &t->rows[1].prefix), 0);
	image->networks[image->n_networks++] = (struct image_network){ sides, PROTECT_HMAC, t };
}

/* The network of the flows, and one that is different each time, with two tables, an
 * alias, and a router that comes and goes. */
static struct image *image_number(uint64_t number)
{
	struct image *image = image_new();

	image->version = (struct version){ 1, number };
	image->router = 1;
	image->networks = calloc(4, sizeof(*image->networks));
	image->peers = calloc(2, sizeof(image->peers[0]));
	image->aliases = calloc(1, sizeof(image->aliases[0]));
	image_rows(image, 9, number % 2 ? SIDES : SIDE_SEND, "10.1.0.0/16", "10.2.0.0/16");
	if (number % 2 == 0)
		image_rows(image, 9, SIDE_RECEIVE, "10.1.0.0/16", "10.4.0.0/16");
	image_rows(image, 8000, SIDES, "172.16.1.0/24", "172.16.2.0/24");
	if (number % 2 == 0)
		image->aliases[image->n_aliases++] = (struct alias){ 8000, 9 };
	for (uint32_t id = 2; id <= 2 + number % 2; id++) {
		struct image_peer *p = image_peer_new();

		p->id = id;
		snprintf(p->name, sizeof(p->name), "r%u", id);
		p->n_keys = p->keys[0].len = p->n_endpoints = 1;
		strcpy(p->endpoints[0], "192.0.2.1:8463");
		image->peers[image->n_peers++] = p;
	}
	assert_true(image_valid(image));
	return image;
}

/* And of images: first from none, then from one to the next, there and back. */
static void applying_images(void **state)
{
	struct net *n = *state;
	uint64_t number = 0;
	struct site *s = &n->sites[1];
	struct flow *f;

	sites_start(n, 2, 2);
	sites_wait_up(n);
	f = flow4(n, 1, 2, 300, MSEC, 20000);
	for (unsigned i = 0; i < 4; i++) {
		bool done = false;
		long at;

		number++;
		for (at = 1; !done && at < 5000; at++) {
			const struct world *w = s->router->world;
			unsigned contacts = s->router->n_contacts;
			struct image *image = image_number(number);

			fault.left = at;
			done = router_apply_image(s->router, image, config_key, s->router->config,
						  n->now, stderr);
			assert_true(done || fault.left == 0);
			fault.left = 0;
			if (!done) {
				assert_ptr_equal(s->router->world, w);
				assert_int_equal(s->router->n_contacts, contacts);
			}
			site_settle(s);
			net_run(n, 3 * MSEC);
		}
		assert_true(done && at > 10);
		assert_int_equal(s->router->n_contacts, 1 + number % 2);
		assert_int_equal(s->router->n_networks, 2);
	}
	f->left = 0;
	net_run(n, SEC);
	flow_whole(f);
}

/* All or nothing: the old tables serve until a reload succeeds. */
static void reloading(void **state)
{
	struct net *n = *state;
	bool done = false;
	struct flow *f;
	long at;

	sites_start(n, 2, 2);
	sites_wait_up(n);
	f = flow4(n, 1, 2, 300, MSEC, 20000);
	for (at = 1; !done && at < 5000; at++) {
		struct config *c;
		bool failed;

		n->sites[1].peers = 1u << 2 | 1u << 3;
		n->sites[1].tables = MORE;
		c = site_config(&n->sites[1], stderr);
		assert_non_null(c);
		fault.left = at;
		done = router_reload(n->sites[1].router, c, n->now, stderr);
		failed = fault.left == 0;
		fault.left = 0;
		assert_true(done || failed);
		if (!done) {
			assert_int_equal(n->sites[1].router->n_contacts, 1);
			assert_int_equal(n->sites[1].router->n_networks, 1);
			assert_null(site_contact(n, 1, 3));
		}
		site_settle(&n->sites[1]);
		net_run(n, 3 * MSEC);
		if (done && failed) { /* it could do without: back, and on with the next */
			done = false;
			n->sites[1].peers = 1u << 2;
			n->sites[1].tables = NULL;
			assert_true(site_reload(&n->sites[1]));
		}
	}
	assert_true(done && at > 10);
	assert_non_null(site_contact(n, 1, 3));
	while (f->left)
		net_run(n, SEC);
	net_run(n, SEC);
	flow_whole(f);
}

/* One in a hundred fails while routers come up, change keys, move: they may be
 * late, and packets may be lost, but nothing worse. */
static void running(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 15; seed++) {
		struct net *n = net_new(seed);
		struct flow *f;

		n->sites[1].nat[0] = endpoint_of("203.0.113.9:50000");
		n->sites[2].hidden = 1u << 1;
		n->sites[1].security = n->sites[2].security = "rekey-after = 1s";
		sites_start(n, 2, 1);
		fault.random = seed;
		fault.chance = seed % 3 ? 300 : 3000;
		flow4(n, 1, 2, 200, 10 * MSEC, 6000);
		flow4(n, 2, 1, 200, 10 * MSEC, 6000);
		for (unsigned i = 0; i < 15; i++) {
			net_run(n, 3 * SEC);
			n->sites[1].nat[0].port++;
		}
		fault.chance = 0;
		net_run(n, 60 * SEC);
		f = flow4(n, 1, 2, 200, 10 * MSEC, 200);
		flow4(n, 2, 1, 200, 10 * MSEC, 200);
		net_run(n, 5 * SEC);
		if (!flow_is_whole(f) || !flow_is_whole(n->flows[3]))
			fail_msg("seed %lu: not back", seed);
		net_free(n);
	}
	assert_true(fault.failed > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(reading_a_configuration), net_test(making_a_router),
		net_test(applying_images),	   net_test(reloading),
		cmocka_unit_test(running),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
