/*
 * Hosts of a router have the beginning of its block. A small VN has hosts of ten routers far
 * apart, so that every router has nearly ten VNs, and shares them with ninety others. Hosts
 * of large VNs are in no other, so that two of them are never ambiguous when they are merged.
 */
#include "tests/bench/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/operation.h"

static int compare(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

json_t *world_hosts(unsigned from, unsigned n, unsigned apart)
{
	json_t **names = calloc(n, sizeof(*names)), *list = json_array();

	for (unsigned i = 0; i < n; i++)
		names[i] = json_sprintf("h%u", from + i * apart);
	qsort(names, n, sizeof(*names), compare);
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, names[i]);
	free(names);
	return list;
}

unsigned world_dense(unsigned n)
{
	unsigned routers = 2 * WORLD_LARGE / WORLD_HOSTS;

	return routers < n ? routers : n;
}

unsigned world_spread(unsigned n)
{
	return 2 * WORLD_LARGE < n ? 2 * WORLD_LARGE : n;
}

static void make_host(unsigned h, unsigned router, unsigned last, world_fn *fn, void *arg)
{
	char key[32], name[32], address[32];

	snprintf(key, sizeof(key), "host/h%u", h);
	snprintf(name, sizeof(name), "r%u", router);
	snprintf(address, sizeof(address), "%u.%u.%u.%u", 16 + (router >> 16), router >> 8 & 255,
		 router & 255, last);
	fn(arg, key,
	   json_pack("{s:s,s:s,s:[s],s:s,s:i}", "router", name, "owner", WORLD_ADMIN, "addresses",
		     address, "key", "", "created", 0));
}

static void make_router(unsigned i, const char *public, world_fn *fn, void *arg)
{
	char key[64], name[32], block[32];

	snprintf(name, sizeof(name), "r%u", i);
	snprintf(key, sizeof(key), "site/%s", name);
	fn(arg, key,
	   json_pack("{s:[s],s:[],s:s,s:s,s:i}", "admins", WORLD_ADMIN, "subnets", "location", "",
		     "contact", "", "created", 0));
	snprintf(key, sizeof(key), "router/%s", name);
	snprintf(block, sizeof(block), "%u.%u.%u.0/24", 16 + (i >> 16), i >> 8 & 255, i & 255);
	fn(arg, key,
	   json_pack("{s:i,s:s,s:s,s:s,s:i,s:s,s:[],s:s,s:b,s:b,s:[s],s:b,s:b,s:b,s:i}", "id",
		     (int)i + 1, "site", name, "key", public, "endpoint", "198.51.100.1:8463",
		     "tls_port", 443, "limited", "auto", "queue_routers", "queue_order", "",
		     "relay", 0, "direct", 1, "blocks", block, "disabled", 0, "silent", 0,
		     "revoked", 0, "created", 0));
	for (unsigned h = 0; h < WORLD_HOSTS; h++)
		make_host(i * WORLD_HOSTS + h, i, h + 2, fn, arg);
}

static void make_vn(unsigned id, json_t *hosts, world_fn *fn, void *arg)
{
	char key[32], name[32];

	snprintf(key, sizeof(key), "vn/%u", id);
	snprintf(name, sizeof(name), "v%u", id);
	fn(arg, key,
	   json_pack("{s:s,s:s,s:s,s:[s],s:[],s:o,s:i,s:s}", "name", name, "protection", "default",
		     "creator", WORLD_ADMIN, "admins", WORLD_ADMIN, "users", "members", hosts,
		     "created", 0, "change", "0"));
}

/* What every authority begins with. */
static void make_first(unsigned n, const char *admin_key, world_fn *fn, void *arg)
{
	struct prefix space[2];
	struct blocks blocks = { 2, space };
	struct outcome o;

	prefix_parse("16.0.0.0/8", &space[0]);
	prefix_parse("17.0.0.0/8", &space[1]);
	operation_begin(WORLD_ADMIN, admin_key, &blocks, 0, &o);
	for (size_t i = 0; i < o.n; i++) {
		const char *key = o.changes[i].key;
		json_t *value = json_deep_copy(o.changes[i].value);

		if (!strcmp(key, "order")) {
			json_object_set_new(value, "next_vn", json_integer((json_int_t)n + 100));
			json_object_set_new(value, "next_router", json_integer((json_int_t)n + 1));
		}
		fn(arg, key, value);
	}
	outcome_done(&o);
}

void world_make(unsigned n, const char *admin_key, char *const *keys, world_fn *fn, void *arg)
{
	unsigned first = n * WORLD_HOSTS; /* host of the large VNs */

	make_first(n, admin_key, fn, arg);
	for (unsigned i = 0; i < n; i++)
		make_router(i, keys ? keys[i] : "0123456789012345678901234567890123456789", fn,
			    arg);
	for (unsigned i = 0; i < n; i++)
		make_vn(i + 1, world_hosts(i, WORLD_HOSTS, n), fn, arg);
	for (unsigned i = 0; i < 2 * WORLD_LARGE; i++) {
		make_host(first + i, i / WORLD_HOSTS % n,
			  20 + i / WORLD_HOSTS / n * WORLD_HOSTS + i % WORLD_HOSTS, fn, arg);
		make_host(first + 2 * WORLD_LARGE + i, i % n, 130 + i / n, fn, arg);
	}
	for (unsigned i = 0; i < 2; i++)
		make_vn(n + 1 + i, world_hosts(first + i * WORLD_LARGE, WORLD_LARGE, 1), fn, arg);
}
