/* links: common/lpm common/lpm_change common/addr */
/*
 * The trie against a plain list of prefixes: every lookup must name the prefix
 * that a walk over the list finds. The sizes are chosen so that each shape of
 * the table (list, trie, trie with direct slots) gets its turn.
 */
#include "common/lpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/lpm_random.h"

static struct prefix text_prefix(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static uint32_t lookup_text(const struct lpm *l, const char *text, unsigned *ret_len)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return lpm_lookup(l, &ip, ret_len);
}

static void test_equals_list(void **arg)
{
	static const struct {
		size_t n;
		unsigned rounds, step;
	} sizes[] = { { 1, 200, 1 },  { 4, 200, 1 },  { 16, 200, 1 }, { 17, 200, 1 },
		      { 40, 100, 1 }, { 300, 20, 1 }, { 3000, 2, 3 }, { 10000, 1, 40 } };
	uint64_t state = 20240607;

	(void)arg;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct lpm_entry *e = calloc(sizes[k].n, sizeof(*e));

		assert_non_null(e);
		for (unsigned round = 0; round < sizes[k].rounds; round++) {
			size_t n = random_entries(&state, e, sizes[k].n);
			struct lpm l;

			assert_true(lpm_init(&l, e, n));
			assert_int_equal(lpm_count(&l), n);
			check_all(&state, &l, e, n, sizes[k].step);
			lpm_done(&l);
		}
		free(e);
	}
}

/* Every length from 0 to the last, one inside the other. */
static void test_full_chain(void **arg)
{
	uint64_t state = 99;

	(void)arg;
	for (unsigned family = 4; family <= 6; family += 2) {
		struct ip ip = random_ip(&state, family);
		unsigned bits = ip_bits(&ip);
		struct lpm_entry e[129];
		struct lpm l;

		for (unsigned len = 0; len <= bits; len++)
			e[len] = (struct lpm_entry){ make_prefix(ip, len), 1000 + len, 0 };
		assert_true(lpm_init(&l, e, bits + 1));
		check_all(&state, &l, e, bits + 1, 1);
		for (unsigned len = 0; len <= bits; len++) {
			struct ip other = ip;
			unsigned got;

			if (len < bits)
				other.b[len / 8] ^= 0x80 >> len % 8;
			assert_int_equal(lpm_lookup(&l, &other, &got), 1000 + len);
			assert_int_equal(got, len);
		}
		lpm_done(&l);
	}
}

static void test_families_apart(void **arg)
{
	const struct lpm_entry e[] = {
		{ text_prefix("0.0.0.0/0"), 1, 0 },
		{ text_prefix("172.16.0.0/24"), 2, 0 },
		{ text_prefix("172.16.0.20"), 3, 0 },
		{ text_prefix("fd00:76::/32"), 4, 0 },
	};
	struct lpm l;
	struct ip none = { 0 };
	unsigned len = 77;

	(void)arg;
	assert_true(lpm_init(&l, e, 4));
	assert_int_equal(lookup_text(&l, "172.16.0.20", &len), 3);
	assert_int_equal(len, 32);
	assert_int_equal(lookup_text(&l, "172.16.0.21", &len), 2);
	assert_int_equal(len, 24);
	assert_int_equal(lookup_text(&l, "172.16.1.0", &len), 1);
	assert_int_equal(len, 0);
	assert_int_equal(lookup_text(&l, "fd00:76::1", &len), 4);
	assert_int_equal(len, 32);
	/* The IPv4 default is none for IPv6, and no address is in nothing. */
	len = 77;
	assert_int_equal(lookup_text(&l, "fd00:77::1", &len), LPM_NONE);
	assert_int_equal(lpm_lookup(&l, &none, &len), LPM_NONE);
	assert_int_equal(len, 77);
	lpm_done(&l);
}

static void test_empty(void **arg)
{
	struct lpm l = { 0 }, other;

	(void)arg;
	assert_int_equal(lpm_count(&l), 0);
	assert_int_equal(lookup_text(&l, "10.0.0.1", NULL), LPM_NONE);
	assert_int_equal(lookup_text(&l, "::", NULL), LPM_NONE);
	assert_true(lpm_memory(&l) < 100);
	assert_true(lpm_remove(&l, &(struct prefix){ .ip.family = 4 }));
	lpm_share(&other, &l);
	lpm_done(&l);
	lpm_done(&l);
	assert_true(lpm_init(&l, NULL, 0));
	lpm_done(&other);
}

/* Fills e with n different host prefixes, which are the dearest ones. */
static void host_entries(struct lpm_entry *e, size_t n, unsigned family)
{
	uint64_t state = 4711;

	for (size_t i = 0; i < n; i++) {
		struct ip ip = random_ip(&state, family);

		ip.b[0] = i >> 8;
		ip.b[1] = i;
		e[i] = (struct lpm_entry){ make_prefix(ip, ip_bits(&ip)), i, 0 };
	}
}

static void test_memory(void **arg)
{
	static const struct {
		unsigned family;
		size_t n, bytes;
	} bounds[] = {
		{ 4, 1, 256 },	  { 6, 1, 256 },    { 4, 10, 512 },	  { 6, 10, 512 },
		{ 4, 100, 5000 }, { 6, 100, 6000 }, { 4, 10000, 500000 }, { 6, 10000, 600000 },
	};

	(void)arg;
	for (size_t k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
		struct lpm_entry *e = calloc(bounds[k].n, sizeof(*e));
		struct lpm l;

		assert_non_null(e);
		host_entries(e, bounds[k].n, bounds[k].family);
		assert_true(lpm_init(&l, e, bounds[k].n));
		assert_in_range(lpm_memory(&l), 1, bounds[k].bytes);
		lpm_done(&l);
		free(e);
	}
}

static void test_refused(void **arg)
{
	struct lpm_entry e[40];
	struct lpm l;

	(void)arg;
	for (unsigned family = 4; family <= 6; family += 2) {
		/* Duplicates in a list and in a trie, equal in value or not. */
		for (size_t n = 2; n <= 40; n += 38) {
			host_entries(e, n, family);
			e[n - 1].prefix = e[0].prefix;
			assert_false(lpm_init(&l, e, n));
			e[n - 1].value = e[0].value;
			assert_false(lpm_init(&l, e, n));
		}
	}
	host_entries(e, 1, 4);
	e[0].prefix.len = 33;
	assert_false(lpm_init(&l, e, 1));
	e[0].prefix = text_prefix("10.0.0.1");
	e[0].prefix.len = 24; /* host bits */
	assert_false(lpm_init(&l, e, 1));
	e[0].prefix = text_prefix("10.0.0.0/24");
	e[0].value = LPM_NONE;
	assert_false(lpm_init(&l, e, 1));
	e[0].prefix.ip.family = 5;
	e[0].value = 1;
	assert_false(lpm_init(&l, e, 1));
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* n prefixes, none twice: /24 to /32 all over IPv4, /48 to /64 below 2000::/8. */
static void many_entries(uint64_t *state, struct lpm_entry *e, size_t n, unsigned family)
{
	for (size_t i = 0; i < n; i++) {
		struct ip ip = random_ip(state, family);
		uint32_t mixed = i * 0x9e3779b1u & 0xffffff; /* another one for each i */
		unsigned at = family == 4 ? 0 : 1;

		ip.b[0] = 0x20;
		ip.b[at] = mixed >> 16;
		ip.b[at + 1] = mixed >> 8;
		ip.b[at + 2] = mixed;
		e[i].prefix = make_prefix(ip, family == 4 ? 24 + next_random(state) % 9
							  : 48 + next_random(state) % 17);
		e[i].value = i;
	}
}

static void print_times(const struct lpm *l, const struct lpm_entry *e, size_t n, unsigned family,
			double built)
{
	enum { LOOKUPS = 5000000, HOT = 1024 };
	uint64_t state = 5;
	struct ip *ips = calloc(LOOKUPS, sizeof(*ips));
	uint32_t sum = 0;
	double t0, t1, t2;

	assert_non_null(ips);
	for (size_t i = 0; i < LOOKUPS; i++) {
		ips[i] = e[next_random(&state) % n].prefix.ip;
		ips[i].b[family == 4 ? 3 : 15] = i;
	}
	t0 = seconds();
	for (size_t i = 0; i < LOOKUPS; i++)
		sum += lpm_lookup(l, &ips[i], NULL);
	t1 = seconds();
	for (size_t i = 0; i < LOOKUPS; i++)
		sum += lpm_lookup(l, &ips[i % HOT], NULL);
	t2 = seconds();
	print_message("# IPv%u, %zu prefixes: built in %.2f s, %.1f bytes each, "
		      "lookup %.0f ns random, %.0f ns hot (%u)\n",
		      family, n, built, (double)lpm_memory(l) / n, (t1 - t0) / LOOKUPS * 1e9,
		      (t2 - t1) / LOOKUPS * 1e9, sum);
	free(ips);
}

/* A million prefixes; with LPM_TIMES set, how long it takes. */
static void test_million(void **arg)
{
	const size_t n = 1000000;
	struct lpm_entry *e = calloc(n, sizeof(*e));
	uint64_t state = 31;

	(void)arg;
	assert_non_null(e);
	for (unsigned family = 4; family <= 6; family += 2) {
		double start, built;
		struct lpm l;

		many_entries(&state, e, n, family);
		start = seconds();
		assert_true(lpm_init(&l, e, n));
		built = seconds() - start;
		assert_in_range(lpm_memory(&l), 1, n * 50);
		/* The first bits differ in all of them, so the right one is known. */
		for (size_t i = 0; i < n; i += 101)
			assert_int_equal(lpm_lookup(&l, &e[i].prefix.ip, NULL), i);
		if (getenv("LPM_TIMES"))
			print_times(&l, e, n, family, built);
		lpm_done(&l);
	}
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),	    cmocka_unit_test(test_families_apart),
		cmocka_unit_test(test_equals_list), cmocka_unit_test(test_full_chain),
		cmocka_unit_test(test_memory),	    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_million),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
