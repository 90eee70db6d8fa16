/* links: router/adjacency common/lpm common/lpm_change common/addr */
/*
 * The image of rows of routes, links and neighbours: which of them a packet follows,
 * and what is left to the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "router/adjacency.h"

#define ROWS 16

struct rows {
	struct link_row links[ROWS];
	struct route_row routes[ROWS];
	struct neighbour_row neighbours[ROWS];
	size_t n_links, n_routes, n_neighbours;
	struct adjacencies *a;
};

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

/* Link i has MTU 1500 - i and MAC 2:0:0:0:0:i. */
static void add_link(struct rows *r, uint32_t ifindex)
{
	r->links[r->n_links++] = (struct link_row){ .ifindex = ifindex,
						    .mtu = 1500 - ifindex,
						    .mac = { 2, [5] = (uint8_t)ifindex } };
}

static struct route_row *add_route(struct rows *r, const char *prefix, uint32_t ifindex,
				   const char *via)
{
	struct route_row *route = &r->routes[r->n_routes++];

	*route = (struct route_row){ .ifindex = ifindex };
	assert_int_equal(prefix_parse(prefix, &route->prefix), 0);
	if (via)
		route->via = ip_of(via);
	return route;
}

/* Neighbour with MAC 4:0:0:0:0:last. */
static struct neighbour_row *add_neighbour(struct rows *r, uint32_t ifindex, const char *ip,
					   uint8_t last)
{
	struct neighbour_row *n = &r->neighbours[r->n_neighbours++];

	*n = (struct neighbour_row){ .ifindex = ifindex,
				     .ip = ip_of(ip),
				     .mac = { 4, [5] = last } };
	return n;
}

static void build(struct rows *r)
{
	adjacencies_free(r->a);
	r->a = adjacencies_new(r->links, r->n_links, r->routes, r->n_routes, r->neighbours,
			       r->n_neighbours);
	assert_non_null(r->a);
}

static struct adjacency *find(const struct rows *r, const char *text)
{
	struct ip ip = ip_of(text);

	return adjacency_lookup(r->a, &ip);
}

static void assert_kernels(const struct rows *r, const char *text)
{
	assert_null(find(r, text));
}

/* An interface, but nobody's MAC address. */
static void assert_link(const struct rows *r, const char *text, uint32_t ifindex, uint32_t mtu)
{
	struct adjacency *a = find(r, text);

	assert_non_null(a);
	assert_int_equal(a->link.ifindex, ifindex);
	assert_int_equal(a->next_hop.family, 0);
	assert_int_equal(a->mtu, mtu);
}

static void assert_hop(const struct rows *r, const char *text, uint32_t ifindex, uint8_t last)
{
	const uint8_t to[6] = { 4, [5] = last }, from[6] = { 2, [5] = (uint8_t)ifindex };
	struct adjacency *a = find(r, text);

	assert_non_null(a);
	assert_int_equal(a->link.ifindex, ifindex);
	assert_true(a->next_hop.family);
	assert_memory_equal(a->mac, to, 6);
	assert_memory_equal(a->link.mac, from, 6);
}

static void test_on_link(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 3);
	add_link(&r, 2);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_route(&r, "fd00:76:0:1::/64", 3, NULL);
	add_neighbour(&r, 2, "172.16.1.10", 10);
	add_neighbour(&r, 3, "fd00:76:0:1::10", 11);
	build(&r);
	assert_hop(&r, "172.16.1.10", 2, 10);
	assert_int_equal(find(&r, "172.16.1.10")->mtu, 1498);
	assert_hop(&r, "fd00:76:0:1::10", 3, 11);
	assert_link(&r, "172.16.1.11", 2, 1498);
	assert_link(&r, "fd00:76:0:1::11", 3, 1497);
	assert_kernels(&r, "172.16.2.10");
	assert_kernels(&r, "fd00:76:0:2::10");
	assert_int_equal(adjacencies_count(r.a), 2);
	adjacencies_free(r.a);
}

/* The same address on two links: the route says which counts. */
static void test_wrong_link(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 2);
	add_link(&r, 3);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_route(&r, "172.16.1.128/25", 3, NULL);
	add_neighbour(&r, 3, "172.16.1.10", 1);
	add_neighbour(&r, 2, "172.16.1.200", 2);
	add_neighbour(&r, 4, "172.16.1.11", 3);
	build(&r);
	assert_link(&r, "172.16.1.10", 2, 1498);
	assert_link(&r, "172.16.1.200", 3, 1497);
	assert_link(&r, "172.16.1.11", 2, 1498);
	add_neighbour(&r, 2, "172.16.1.10", 4);
	build(&r);
	assert_hop(&r, "172.16.1.10", 2, 4);
	adjacencies_free(r.a);
}

static void test_via(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 2);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_route(&r, "172.16.8.0/21", 2, "172.16.1.20");
	add_route(&r, "172.16.9.0/24", 2, "172.16.1.21");
	add_route(&r, "172.16.9.9/32", 2, NULL);
	add_route(&r, "fd00:76:0:9::/64", 2, "fe80::9");
	add_route(&r, "172.16.20.0/24", 2, "fe80::9"); /* RFC 5549 */
	add_neighbour(&r, 2, "172.16.1.20", 20);
	add_neighbour(&r, 2, "fe80::9", 9);
	build(&r);
	assert_hop(&r, "172.16.8.1", 2, 20);
	assert_hop(&r, "172.16.1.20", 2, 20);
	assert_link(&r, "172.16.9.1", 2, 1498);
	assert_link(&r, "172.16.9.9", 2, 1498);
	assert_hop(&r, "fd00:76:0:9::1", 2, 9);
	assert_hop(&r, "172.16.20.1", 2, 9);
	assert_kernels(&r, "fe80::9");
	/* a neighbour in a prefix that lies behind a router is not on its link */
	add_neighbour(&r, 2, "172.16.8.5", 5);
	add_neighbour(&r, 2, "172.16.9.9", 99);
	build(&r);
	assert_hop(&r, "172.16.8.5", 2, 20);
	assert_hop(&r, "172.16.9.9", 2, 99);
	for (size_t i = 0; i < adjacencies_count(r.a); i++)
		assert_true(adjacencies_at(r.a, i)->next_hop.family);
	adjacencies_free(r.a);
}

static void test_best_route(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	for (uint32_t i = 2; i <= 4; i++)
		add_link(&r, i);
	add_route(&r, "172.16.1.0/24", 3, NULL)->metric = 100;
	add_route(&r, "172.16.1.0/24", 2, NULL)->metric = 10;
	add_route(&r, "172.16.2.0/24", 3, NULL)->metric = 5;
	add_route(&r, "172.16.2.0/24", 4, NULL)->metric = 5;
	add_route(&r, "172.16.2.0/24", 4, NULL)->metric = 7;
	add_route(&r, "172.16.0.0/12", 9, NULL); /* no Ethernet */
	add_route(&r, "172.16.3.0/24", 0, NULL)->metric = 20;
	add_route(&r, "172.16.3.0/24", 4, NULL);
	add_neighbour(&r, 3, "172.16.1.10", 3);
	add_neighbour(&r, 2, "172.16.1.10", 2);
	add_neighbour(&r, 3, "172.16.2.10", 3);
	add_neighbour(&r, 4, "172.16.3.10", 4);
	build(&r);
	assert_hop(&r, "172.16.1.10", 2, 2);
	assert_kernels(&r, "172.16.2.10"); /* two as good */
	assert_kernels(&r, "172.16.3.10"); /* one that is not plain */
	assert_kernels(&r, "172.16.4.10");
	adjacencies_free(r.a);
}

/* The local table goes first, even if its prefix is the shorter one. */
static void test_local(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 2);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_route(&r, "172.16.1.1/32", 2, NULL)->local = true;
	add_route(&r, "172.16.1.255/32", 0, NULL)->local = true;
	add_route(&r, "172.16.4.0/22", 0, NULL)->local = true;
	add_route(&r, "172.16.5.0/24", 2, "172.16.1.20");
	add_route(&r, "172.16.6.0/24", 2, NULL);
	add_route(&r, "172.16.0.0/12", 2, "172.16.1.20");
	add_neighbour(&r, 2, "172.16.1.1", 1);
	add_neighbour(&r, 2, "172.16.1.255", 255);
	add_neighbour(&r, 2, "172.16.1.20", 20);
	add_neighbour(&r, 2, "172.16.6.6", 6);
	build(&r);
	assert_kernels(&r, "172.16.1.1");
	assert_kernels(&r, "172.16.1.255");
	assert_kernels(&r, "172.16.5.5");
	assert_kernels(&r, "172.16.6.6");
	assert_hop(&r, "172.16.8.8", 2, 20);
	assert_hop(&r, "172.16.1.20", 2, 20);
	adjacencies_free(r.a);
}

static void test_mtu(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 2);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_route(&r, "172.16.2.0/24", 2, NULL)->mtu = 1400;
	add_route(&r, "172.16.3.0/24", 2, "172.16.1.20")->mtu = 9000;
	add_route(&r, "172.16.4.0/24", 2, "172.16.1.20")->mtu = 1300;
	add_neighbour(&r, 2, "172.16.1.20", 20);
	add_neighbour(&r, 2, "172.16.2.20", 22);
	build(&r);
	assert_int_equal(find(&r, "172.16.1.20")->mtu, 1498);
	assert_link(&r, "172.16.2.1", 2, 1400);
	assert_int_equal(find(&r, "172.16.2.20")->mtu, 1400);
	assert_int_equal(find(&r, "172.16.3.1")->mtu, 1498);
	assert_int_equal(find(&r, "172.16.4.1")->mtu, 1300);
	adjacencies_free(r.a);
}

static void test_nothing(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	build(&r);
	assert_kernels(&r, "172.16.1.1");
	assert_int_equal(adjacencies_count(r.a), 0);
	adjacencies_free(r.a);
	r.a = NULL;
	assert_kernels(&r, "172.16.1.1");
	assert_int_equal(adjacencies_count(NULL), 0);
	adjacencies_free(NULL);
}

/* Rows as a careless kernel might give them. */
static void test_doubles(void **state)
{
	struct rows r = { .a = NULL };

	(void)state;
	add_link(&r, 2);
	add_link(&r, 2);
	add_route(&r, "172.16.1.0/24", 2, NULL);
	add_neighbour(&r, 2, "172.16.1.10", 10);
	add_neighbour(&r, 2, "172.16.1.10", 10)->fixed = true;
	build(&r);
	assert_hop(&r, "172.16.1.10", 2, 10);
	assert_int_equal(adjacencies_count(r.a), 1);
	adjacencies_free(r.a);
}

/* As many as there may be; each one is found. */
static void test_many(void **state)
{
	enum { MANY = 16384 };
	struct neighbour_row *n = calloc(MANY, sizeof(*n));
	struct rows r = { .a = NULL };

	(void)state;
	assert_non_null(n);
	add_link(&r, 2);
	add_route(&r, "10.0.0.0/8", 2, NULL);
	for (unsigned i = 0; i < MANY; i++)
		n[i] = (struct neighbour_row){
			.ifindex = 2,
			.ip = { 4,
				{ 10, (uint8_t)(i * 7919 >> 16), (uint8_t)(i * 7919 >> 8),
				  (uint8_t)(i * 7919) } },
			.mac = { 4, [4] = (uint8_t)(i >> 8), [5] = (uint8_t)i },
		};
	r.a = adjacencies_new(r.links, r.n_links, r.routes, r.n_routes, n, MANY);
	assert_non_null(r.a);
	assert_int_equal(adjacencies_count(r.a), MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_memory_equal(adjacency_lookup(r.a, &n[i].ip)->mac, n[i].mac, 6);
	adjacencies_free(r.a);
	free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_on_link), cmocka_unit_test(test_wrong_link),
		cmocka_unit_test(test_via),	cmocka_unit_test(test_best_route),
		cmocka_unit_test(test_local),	cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_nothing), cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_many),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("adjacency", tests, NULL, NULL);
}
