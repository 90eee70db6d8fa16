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

#include "authority/journal.h"
#include "authority/operation.h"
#include "authority/tables.h"
#include "tests/bench/world.h"

enum { ROUNDS = 50 };

static const uint64_t now = 1700000000000;
static struct registry *registry;
static struct journal *journal;
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
static void load(void *arg, const char *key, json_t *value)
{
	struct registry_change c = { key, value, ++revision };
	char error[RECORD_ERROR];

	(void)arg;
	if (!value || registry_apply(registry, &c, 1, error)) {
		fprintf(stderr, "%s: %s\n", key, value ? error : "not JSON");
		exit(1);
	}
	json_decref(value);
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
	if (journal_apply(journal, registry, changes, o.n, revision, error)) {
		fprintf(stderr, "%s: %s\n", operation, error);
		exit(1);
	}
	tables_change_finish(c);
	apply += seconds() - start;
	journal_forget(journal, revision);
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
					   i ? json_array() : world_hosts(n * 5, 10, n / 50 + 1)));
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

static void large_operations(unsigned n)
{
	unsigned size = WORLD_LARGE, first = world_first_dense(n);
	char what[64];

	for (unsigned i = 0; i < 5; i++) {
		if (!i)
			begin();
		run("vn-merge", json_pack("{s:[i,i],s:s,s:i}", "vns", (int)n + 1, (int)n + 2,
					  "name", "merged", "id", (int)n + 50));
		if (i == 4)
			break;
		run("vn-undo", json_pack("{s:i}", "vn", (int)n + 50));
	}
	snprintf(what, sizeof(what), "merge 2 VNs of %u (or undo)", size);
	end(what, 9);
	begin();
	run("vn-split", json_pack("{s:i,s:[{s:s,s:o},{s:s,s:o}]}", "vn", (int)n + 50, "groups",
				  "name", "x", "hosts", world_hosts(first, size, 1), "name", "y",
				  "hosts", world_hosts(first + size, size, 1)));
	end("split it", 1);
}

static void measure(unsigned n)
{
	size_t empty = memory(), all = 0;
	double start = seconds();

	registry = registry_new();
	journal = journal_new(0);
	world_make(n, "", NULL, load, NULL);
	printf("%u routers, %u hosts, %u VNs\n", n, n * WORLD_HOSTS + 4 * WORLD_LARGE, n + 2);
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
	large_operations(n);
	registry_free(registry);
	journal_free(journal);
	json_decref(undo_change);
	undo_change = NULL;
}

int main(void)
{
	for (unsigned n = 100; n <= 10000; n *= 10)
		measure(n);
	return 0;
}
