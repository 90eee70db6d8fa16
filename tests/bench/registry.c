/*
 * The authority's registry, operations and tables at size: 100, 1,000 and 10,000 routers
 * with ten hosts and one VN for each, and two large VNs beside. For each operation: the
 * time to decide it, to apply it, to compute the steps' images of all routers touched,
 * and how many these are. What doesn't grow from column to column is in proportion to
 * what it touches.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authority/operation.h"
#include "authority/tables.h"

enum { ROUNDS = 50, HOSTS = 10 };

static const uint64_t now = 1700000000000;
static struct registry *registry;
static uint64_t revision;
static unsigned requests;

/* Sums over the rounds of one operation. */
static double decide, apply, images;
static size_t touched, rows;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t memory(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* ---- a registry of that size --------------------------------------------------- */

/* Takes over the value. */
static void load(const char *key, json_t *value)
{
	struct registry_change c = { key, value, ++revision };
	char error[RECORD_ERROR];

	if (!value || registry_apply(registry, &c, 1, error)) {
		fprintf(stderr, "%s: %s\n", key, value ? error : "not JSON");
		exit(1);
	}
	json_decref(value);
}

static void load_router(unsigned i)
{
	char key[64], name[32], block[32];

	snprintf(name, sizeof(name), "r%u", i);
	snprintf(key, sizeof(key), "site/%s", name);
	load(key, json_pack("{s:[s],s:[],s:s,s:s,s:i}", "admins", "root", "subnets", "location", "",
			    "contact", "", "created", 0));
	snprintf(key, sizeof(key), "router/%s", name);
	snprintf(block, sizeof(block), "%u.%u.%u.0/24", 16 + (i >> 16), i >> 8 & 255, i & 255);
	load(key,
	     json_pack("{s:i,s:s,s:s,s:s,s:i,s:s,s:[],s:b,s:b,s:[s],s:b,s:b,s:i}", "id", (int)i + 1,
		       "site", name, "key", "0123456789012345678901234567890123456789", "endpoint",
		       "198.51.100.1:8463", "tls_port", 443, "limited", "auto", "queue_routers",
		       "relay", 0, "direct", 1, "blocks", block, "disabled", 0, "revoked", 0,
		       "created", 0));
	for (unsigned h = 0; h < HOSTS; h++) {
		char address[32];

		snprintf(key, sizeof(key), "host/h%u", i * HOSTS + h);
		snprintf(address, sizeof(address), "%u.%u.%u.%u", 16 + (i >> 16), i >> 8 & 255,
			 i & 255, h + 2);
		load(key, json_pack("{s:s,s:s,s:[s],s:i}", "router", name, "owner", "root",
				    "addresses", address, "created", 0));
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

/* Names of n hosts from one on, so many apart, ascending. */
static json_t *some_hosts(unsigned from, unsigned n, unsigned apart)
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

static void load_vn(unsigned id, json_t *hosts)
{
	char key[32], name[32];

	snprintf(key, sizeof(key), "vn/%u", id);
	snprintf(name, sizeof(name), "v%u", id);
	load(key, json_pack("{s:s,s:s,s:s,s:[s],s:[],s:o,s:i,s:s}", "name", name, "protection",
			    "default", "creator", "root", "admins", "root", "users", "members",
			    hosts, "created", 0, "change", "0"));
}

/* ---- operations ---------------------------------------------------------------- */

static json_t *undo_change; /* the last change record, and its ID */
static char undo_id[64];

/* Takes over the arguments. */
static void run(const char *operation, json_t *arguments)
{
	struct request q = { .caller = { CALLER_USER, "root", NULL },
			     .operation = operation,
			     .arguments = arguments,
			     .now = now + requests };
	struct registry_change *changes;
	struct tables_change *c;
	struct outcome o;
	char id[16], error[RECORD_ERROR];
	const uint32_t *routers;
	double start;
	size_t n;

	snprintf(id, sizeof(id), "%u", ++requests);
	q.id = id;
	q.change = undo_change;
	q.change_id = undo_id;
	start = seconds();
	operate(registry, &q, &o);
	decide += seconds() - start;
	if (o.status != 200) {
		fprintf(stderr, "%s: %s\n", operation, o.detail);
		exit(1);
	}
	changes = calloc(o.n, sizeof(*changes));
	revision++;
	for (size_t i = 0; i < o.n; i++) {
		changes[i] =
			(struct registry_change){ o.changes[i].key, o.changes[i].value, revision };
		if (strncmp(o.changes[i].key, "change/", 7))
			continue;
		json_decref(undo_change);
		undo_change = json_incref(o.changes[i].value);
		snprintf(undo_id, sizeof(undo_id), "%s", o.changes[i].key + 7);
	}
	c = tables_change_new(registry);
	start = seconds();
	if (registry_apply(registry, changes, o.n, error)) {
		fprintf(stderr, "%s: %s\n", operation, error);
		exit(1);
	}
	tables_change_finish(c);
	apply += seconds() - start;
	start = seconds();
	n = tables_change_touched(c, &routers);
	for (unsigned step = 1; step <= tables_change_steps(c); step++)
		for (size_t i = 0; i < n; i++) {
			struct step_image image;

			tables_change_image(c, step, routers[i], &image);
			for (size_t k = 0; k < image.receive.n; k++)
				rows += image.receive.at[k]->n;
			step_image_done(&image);
		}
	images += seconds() - start;
	touched += n;
	tables_change_free(c);
	free(changes);
	outcome_done(&o);
	json_decref(arguments);
}

static void begin(void)
{
	decide = apply = images = 0;
	touched = rows = 0;
}

static void end(const char *what, unsigned rounds)
{
	printf("  %-26s %10.1f %10.1f %10.1f %9.1f\n", what, decide / rounds * 1e6,
	       apply / rounds * 1e6, images / rounds * 1e6, (double)touched / rounds);
}

static void small_operations(unsigned n)
{
	begin();
	for (unsigned i = 0; i < ROUNDS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%u", i);
		run("register",
		    json_pack("{s:s,s:s,s:s}", "kind", "host", "name", name, "router", "r7"));
	}
	end("register a host", ROUNDS);
	begin();
	for (unsigned i = 0; i < ROUNDS; i++)
		run("vn-join", json_pack("{s:i,s:[o]}", "vn", (int)(i % n + 1), "hosts",
					 json_sprintf("n%u", i)));
	end("join a VN of 10", ROUNDS);
	begin();
	for (unsigned i = 0; i < ROUNDS; i++)
		run("vn-leave", json_pack("{s:i,s:[o]}", "vn", (int)(i % n + 1), "hosts",
					  json_sprintf("n%u", i)));
	end("leave a VN of 10", ROUNDS);
	begin();
	for (unsigned i = 0; i < ROUNDS; i++)
		run("vn-create", json_pack("{s:o,s:o}", "name", json_sprintf("c%u", i), "hosts",
					   i ? json_array() : some_hosts(n * 5, 10, n / 50 + 1)));
	end("create a VN", ROUNDS);
	begin();
	for (unsigned i = 0; i < ROUNDS; i++)
		run("vn-shutdown", json_pack("{s:o}", "vn", json_sprintf("c%u", i)));
	end("shut down a VN", ROUNDS);
	begin();
	for (unsigned i = 0; i < 10; i++)
		run("block-assign", json_pack("{s:s,s:i}", "router", "r7", "length", 26));
	end("assign a free block", 10);
}

static void large_operations(unsigned n, unsigned size)
{
	char what[64];

	for (unsigned i = 0; i < 5; i++) {
		if (!i)
			begin();
		run("vn-merge", json_pack("{s:[i,i],s:s,s:i}", "vns", (int)n + 1, (int)n + 2,
					  "name", "merged", "id", (int)n + 3));
		if (i == 4)
			break;
		run("vn-undo", json_pack("{s:i}", "vn", (int)n + 3));
	}
	snprintf(what, sizeof(what), "merge 2 VNs of %u (or undo)", size);
	end(what, 9);
	begin();
	run("vn-split", json_pack("{s:i,s:[{s:s,s:o},{s:s,s:o}]}", "vn", (int)n + 3, "groups",
				  "name", "x", "hosts", some_hosts(0, size, 1), "name", "y",
				  "hosts", some_hosts(size, size, 1)));
	end("split it", 1);
}

static void measure(unsigned n)
{
	unsigned size = n / 2 > 1000 ? 1000 : n / 2;
	size_t empty = memory(), all = 0;
	double start = seconds();

	registry = registry_new();
	load("order", json_pack("{s:i,s:I,s:i,s:i,s:[s,s]}", "n", 1, "next_vn", (json_int_t)n + 100,
				"next_router", (int)n + 1, "generation", 1, "space", "16.0.0.0/8",
				"17.0.0.0/8"));
	load("user/root", json_pack("{s:[s,s,s,s],s:s,s:b,s:i}", "roles", "adm", "sa", "vna", "eu",
				    "key", "", "revoked", 0, "created", 0));
	for (unsigned i = 0; i < n; i++)
		load_router(i);
	for (unsigned i = 0; i < n; i++)
		load_vn(i + 1, some_hosts(i, HOSTS, n));
	load_vn(n + 1, some_hosts(0, size, 1));
	load_vn(n + 2, some_hosts(size, size, 1));
	printf("%u routers, %u hosts, %u VNs\n", n, n * HOSTS, n + 2);
	printf("  loaded in %.2f s, %.1f MB\n", seconds() - start,
	       (double)(memory() - empty) / 1e6);
	start = seconds();
	for (unsigned i = 1; i <= n; i++) {
		struct networks l;

		networks_of_router(registry_router_id(registry, i), &l);
		for (size_t k = 0; k < l.n; k++)
			all += l.at[k]->n;
		networks_done(&l);
	}
	printf("  whole tables of all routers in %.2f s, %zu rows\n", seconds() - start, all);
	printf("  %-26s %10s %10s %10s %9s\n", "microseconds each", "decide", "apply", "images",
	       "touched");
	small_operations(n);
	large_operations(n, size);
	registry_free(registry);
	json_decref(undo_change);
	undo_change = NULL;
}

int main(void)
{
	for (unsigned n = 100; n <= 10000; n *= 10)
		measure(n);
	return 0;
}
