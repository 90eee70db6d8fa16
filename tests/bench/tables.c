/*
 * How fast the tables are at size: a million prefixes over ten thousand networks, and
 * as many in one. A thread looks up as a worker does, in turns of 64 with the image
 * fetched anew under RCU; this one changes single rows at a steady rate, publishes,
 * waits for a grace period and frees, as the control thread does.
 *
 * Rounds without and with updates alternate, and medians are compared: times of a
 * shared machine mean little, their ratios more. The last column of a figure says
 * what it is compared with.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/table.h"

enum {
	SELF = 1,
	ROUTERS = 500,
	TURN = 64,
	RANDOM = 1 << 20, /* addresses that are looked up */
	HOT = 1024,
	ROUNDS = 5,
	MANY = 1000000, /* updates for the memory to stay flat */
	TICK = 1000000, /* ns between bursts of updates */
};

/* What is published. */
struct image {
	struct table *table;
};

struct question {
	uint32_t slot;
	struct ip ip;
};

static struct image *image; /* RCU */
static struct question *questions;
static _Atomic uint32_t span; /* of the questions: RANDOM or HOT */
static _Atomic uint64_t answered;
static _Atomic bool over;

static uint64_t seed = 8463;

static uint64_t next_random(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * UINT64_C(2685821657736338717) >> 16;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *must(void *p)
{
	if (!p) {
		fputs("out of memory, or rows that don't go together\n", stderr);
		exit(1);
	}
	return p;
}

/* ---- rows -------------------------------------------------------------------- */

static struct prefix cut(struct ip ip, unsigned len)
{
	for (unsigned bit = len; bit < 128; bit++)
		ip.b[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return (struct prefix){ .ip = ip, .len = (uint8_t)len };
}

/* A quarter IPv6: /48 to /64; the others /16 to /32. */
static struct prefix random_prefix(void)
{
	bool v6 = next_random() % 4 == 0;
	struct ip ip = { .family = v6 ? 6 : 4 };

	for (unsigned i = 0; i < (v6 ? 16 : 4); i++)
		ip.b[i] = (uint8_t)next_random();
	if (v6)
		ip.b[0] = 0x20;
	return cut(ip, v6 ? 48 + next_random() % 17 : 16 + next_random() % 17);
}

static int compare(const void *pa, const void *pb)
{
	const struct gndt_row *a = pa, *b = pb;

	return (a->network > b->network) - (a->network < b->network)
		       ?: prefix_compare(&a->prefix, &b->prefix);
}

/* n rows over so many networks, none twice; how many are left. */
static size_t make_rows(struct gndt_row *rows, size_t n, uint32_t networks)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		rows[i] = (struct gndt_row){ .network = 1 + (uint32_t)(i % networks),
					     .router = 2 + (uint32_t)(next_random() % ROUTERS),
					     .prefix = random_prefix() };
	qsort(rows, n, sizeof(*rows), compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || compare(&rows[kept - 1], &rows[i]) != 0)
			rows[kept++] = rows[i];
	return kept;
}

static void make_questions(const struct table *t, const struct gndt_row *rows, size_t n)
{
	for (size_t i = 0; i < RANDOM; i++) {
		const struct gndt_row *r = &rows[next_random() % n];

		questions[i] = (struct question){ table_slot(t, r->network), r->prefix.ip };
	}
}

/* ---- looking up ---------------------------------------------------------------- */

static void *look_up(void *arg)
{
	uint32_t at = 0, sum = 0;

	(void)arg;
	rcu_register_thread();
	while (!over) {
		const struct table *t = rcu_dereference(image)->table;
		uint32_t mask = span - 1;

		for (unsigned i = 0; i < TURN; i++) {
			const struct question *q = &questions[at++ & mask];
			const struct route *r = gndt_lookup(t, q->slot, &q->ip, NULL);

			sum += r ? r->routers[0] : 0;
		}
		atomic_store_explicit(&answered, answered + TURN, memory_order_relaxed);
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return sum ? image : NULL;
}

/* ---- changing ------------------------------------------------------------------ */

/* Rows come and go in turn; every fourth is a host of the site, the others are
 * routes. The table keeps its size. */
struct changer {
	const struct gndt_row *rows;
	size_t n;
	uint64_t count;
	struct table_change last;
	/* what updates took, in ns: the image alone; with publishing and freeing */
	uint32_t build[MANY], all[MANY];
	size_t n_times;
};

static void next_change(struct changer *c)
{
	struct table_change *l = &c->last;
	uint32_t network = c->rows[next_random() % c->n].network;
	const struct vnet *net = table_network(image->table, table_slot(image->table, network));
	bool host = c->count % 8 == 0;
	struct prefix p;

	if (c->count++ % 2) {
		l->kind = l->kind == GNDT_ADD ? GNDT_REMOVE : LNDT_REMOVE;
		return;
	}
	do {
		p = random_prefix();
		if (host)
			p = cut((struct ip){ 4, { 10, p.ip.b[1], p.ip.b[2], p.ip.b[3] } }, 32);
	} while (lpm_get(&net->gndt, &p, NULL) != LPM_NONE);
	if (host)
		*l = (struct table_change){ .kind = LNDT_ADD,
					    .lndt = { .network = network, .prefix = p } };
	else
		*l = (struct table_change){ .kind = GNDT_ADD,
					    .gndt = { .network = network,
						      .router = 2 +
								(uint32_t)(next_random() % ROUTERS),
						      .prefix = p } };
}

static void update(struct changer *c)
{
	struct image *old = image, *new = must(malloc(sizeof(*new)));
	double start, built, done;

	next_change(c);
	start = seconds();
	new->table = must(table_update(old->table, &c->last, 1, c->count, NULL, NULL));
	built = seconds();
	rcu_assign_pointer(image, new);
	synchronize_rcu();
	table_free(old->table);
	free(old);
	done = seconds();
	if (c->n_times < MANY) {
		c->build[c->n_times] = (uint32_t)((built - start) * 1e9);
		c->all[c->n_times++] = (uint32_t)((done - start) * 1e9);
	}
}

/* Updates at a rate for a second; lookups a second meanwhile. */
static double run(struct changer *c, unsigned rate)
{
	int clock = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec every = { { 0, TICK }, { 0, TICK } };
	double start = seconds(), now = start;
	uint64_t before = answered, done = 0, ticks;

	timerfd_settime(clock, 0, &every, NULL);
	while (now < start + 1) {
		while ((double)done < rate * (now - start))
			done++, update(c);
		if (read(clock, &ticks, sizeof(ticks)) < 0 && errno != EINTR)
			break;
		now = seconds();
	}
	close(clock);
	return (double)(answered - before) / (now - start);
}

static int compare_u32(const void *a, const void *b)
{
	return (*(const uint32_t *)a > *(const uint32_t *)b) -
	       (*(const uint32_t *)a < *(const uint32_t *)b);
}

static int compare_double(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) -
	       (*(const double *)a < *(const double *)b);
}

static void print_times(const char *what, uint32_t *times, size_t n)
{
	if (!n)
		return;
	qsort(times, n, sizeof(*times), compare_u32);
	printf("  %-38s %8.1f us p50 %8.1f us p99 %8.1f us most\n", what, times[n / 2] / 1e3,
	       times[n - 1 - n / 100] / 1e3, times[n - 1] / 1e3);
}

/* ---- all ----------------------------------------------------------------------- */

static void lookups_beside_updates(struct changer *c, uint32_t over_so_many, const char *what)
{
	static const unsigned rates[] = { 0, 1000, 10000 };
	double per_second[3][ROUNDS];

	span = over_so_many;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned k = 0; k < 3; k++)
			per_second[k][round] = run(c, rates[k]);
	for (unsigned k = 0; k < 3; k++) {
		qsort(per_second[k], ROUNDS, sizeof(double), compare_double);
		printf("  lookup, %-6s %6u updates/s %10.1f ns   %5.2f of none\n", what, rates[k],
		       1e9 / per_second[k][ROUNDS / 2],
		       per_second[0][ROUNDS / 2] / per_second[k][ROUNDS / 2]);
	}
}

static size_t memory_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%*u %zu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The allocator's heap takes shape in the first half. */
static void memory_over_updates(struct changer *c)
{
	size_t table = table_memory(image->table), used = memory_in_use(), half = 0;
	double start = seconds();

	for (unsigned i = 0; i < MANY; i++) {
		update(c);
		if (i == MANY / 2)
			half = resident();
	}
	printf("  %u updates, one after the other: %.1f us each; bytes of the table %.3f, "
	       "allocated %.3f of before, resident %.3f of after the first half\n",
	       MANY, (seconds() - start) / MANY * 1e6,
	       (double)table_memory(image->table) / (double)table,
	       (double)memory_in_use() / (double)used, (double)resident() / (double)half);
}

static void measure(size_t n, uint32_t networks)
{
	struct gndt_row *rows = must(calloc(n, sizeof(*rows)));
	struct lndt_row *members = must(calloc(networks, sizeof(*members)));
	struct changer *c = must(calloc(1, sizeof(*c)));
	struct ip host = { .family = 4 };
	pthread_t reader;
	double start;
	size_t used;

	n = make_rows(rows, n, networks);
	for (uint32_t i = 0; i < networks; i++) {
		memcpy(host.b, (uint8_t[]){ 172, 16, (uint8_t)(i >> 8), (uint8_t)i }, 4);
		members[i] = (struct lndt_row){ .network = 1 + i, .prefix = cut(host, 32) };
	}
	used = memory_in_use();
	image = must(malloc(sizeof(*image)));
	start = seconds();
	image->table = must(table_new(SELF, members, networks, rows, n, 0, NULL, NULL));
	printf("%zu prefixes over %u network%s\n", n, networks, networks > 1 ? "s" : "");
	printf("  built in %.2f s; bytes a prefix: %.1f, %.1f allocated\n", seconds() - start,
	       (double)table_memory(image->table) / (double)n,
	       (double)(memory_in_use() - used) / (double)n);
	make_questions(image->table, rows, n);
	c->rows = rows;
	c->n = n;
	over = false;
	pthread_create(&reader, NULL, look_up, NULL);
	lookups_beside_updates(c, RANDOM, "random");
	lookups_beside_updates(c, HOT, "hot");
	print_times("update of a row: the image", c->build, c->n_times);
	print_times("... published, the old one freed", c->all, c->n_times);
	over = true;
	pthread_join(reader, NULL);
	memory_over_updates(c);
	table_free(image->table);
	free(image);
	free(c);
	free(members);
	free(rows);
}

int main(void)
{
	questions = must(calloc(RANDOM, sizeof(*questions)));
	rcu_register_thread();
	measure(1000000, 10000);
	measure(1000000, 1);
	measure(10000, 100);
	rcu_unregister_thread();
	free(questions);
	return 0;
}
