/* links: libauthority libcommon */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_world.h"

/* Every test here is run with a file, and with an etcd cluster of one. */

struct backend {
	bool etcd;
	char url[512];
	struct store *store;
};

static struct cluster cluster;

static int open_backend(void **state)
{
	struct backend *b = *state;
	static unsigned n;
	struct store_page page;
	int r;

	if (!b->etcd) {
		snprintf(b->url, sizeof(b->url), "sqlite:%s/%u.db", world_directory, n++);
	} else {
		if (cluster.n == 0)
			return 0;
		snprintf(b->url, sizeof(b->url), "%s", cluster.url);
	}
	b->store = open_soon(b->url, NULL);
	/* What the test before left. */
	do {
		r = store_list(b->store, &(struct store_range){ .prefix = "", .limit = 1000 },
			       &page);
		assert_int_equal(r, 0);
		r = page.more;
		for (size_t i = 0; i < page.n; i++)
			page.entries[i].value = NULL, page.entries[i].lease = 0;
		assert_int_equal(store_commit(b->store,
					      &(struct store_transaction){ .changes = page.entries,
									   .n_changes = page.n },
					      NULL),
				 0);
		store_page_done(&page);
	} while (r);
	return 0;
}

static int close_backend(void **state)
{
	struct backend *b = *state;

	store_close(b->store);
	b->store = NULL;
	return 0;
}

/* The store of a test; skipped where there is no etcd. */
#define STORE(state) \
	({ \
		struct backend *b_ = *(state); \
		if (!b_->store) \
			skip(); \
		b_->store; \
	})

static void expect_error(struct store *s, int r, int error, const char *words)
{
	char text[STORE_ERROR];

	store_error(s, text);
	if (r != error || !strstr(text, words))
		fail_msg("%d (%s), expected %d (... %s ...)", r, text, error, words);
}

static uint64_t revision_of(struct store *s)
{
	struct store_page page;
	uint64_t revision;

	assert_int_equal(store_get(s, "none", &page), 0);
	revision = page.revision;
	store_page_done(&page);
	return revision;
}

static void test_keys(void **state)
{
	struct store *s = STORE(state);
	static const char bytes[] = "\0\xff\0 \n\"";
	const struct store_entry e[] = {
		{ .key = "b", .value = bytes, .size = sizeof(bytes) },
		{ .key = "\x01\xff\"\n\\", .value = "", .size = 0 },
		{ .key = "not there" },
	};
	struct store_page page;
	uint64_t first = put(s, "a", "1"), second, third;

	has_value(s, "a", "1");
	second = put(s, "a", "2");
	assert_true(second > first);
	has_value(s, "a", "2");
	has_value(s, "aa", NULL);
	assert_int_equal(store_commit(s,
				      &(struct store_transaction){ .changes = e, .n_changes = 3 },
				      &third),
			 0);
	assert_true(third > second);
	assert_int_equal(store_get(s, "b", &page), 0);
	assert_int_equal(page.entries[0].size, sizeof(bytes));
	assert_memory_equal(page.entries[0].value, bytes, sizeof(bytes));
	assert_int_equal(page.entries[0].revision, third);
	assert_true(page.revision >= third);
	store_page_done(&page);
	has_value(s, e[1].key, "");
	put(s, "a", NULL);
	has_value(s, "a", NULL);
	put(s, "a", "3");
	has_value(s, "a", "3");
}

static void test_bounds(void **state)
{
	struct store *s = STORE(state);
	static char key[STORE_KEY_MAX + 2], value[STORE_VALUE_MAX + 1];
	struct store_entry e[] = { { .key = "a", .value = "1", .size = 1 },
				   { .key = "a", .value = "2", .size = 1 } };
	const struct store_transaction t = { .changes = e, .n_changes = 2 };
	struct store_condition at = { .key = "a", .test = STORE_AT };
	struct store_page page;

	memset(key, 0xff, sizeof(key) - 1);
	expect_error(s, store_get(s, "", &page), -EINVAL, "empty");
	expect_error(s, store_get(s, key, &page), -E2BIG, "longer than 512");
	key[STORE_KEY_MAX] = '\0';
	expect_error(s, store_commit(s, &t, NULL), -EINVAL, "a twice");
	e[1].key = key;
	e[1].value = value;
	e[1].size = STORE_VALUE_MAX + 1;
	expect_error(s, store_commit(s, &t, NULL), -E2BIG, "larger than");
	e[1].size = STORE_VALUE_MAX;
	assert_int_equal(store_commit(s, &t, NULL), 0);
	assert_int_equal(store_get(s, key, &page), 0);
	assert_int_equal(page.entries[0].size, STORE_VALUE_MAX);
	store_page_done(&page);
	/* Beyond all that begin with it there is none. */
	assert_int_equal(store_list(s, &(struct store_range){ .prefix = key, .limit = 5 }, &page),
			 0);
	assert_int_equal(page.n, 1);
	store_page_done(&page);
	expect_error(s, put_if(s, "a", "3", 0, &at, NULL), -EINVAL, "condition");
	expect_error(s, store_list(s, &(struct store_range){ .prefix = "", .limit = 0 }, &page),
		     -EINVAL, "1 to 1000");
	expect_error(s,
		     store_list(s, &(struct store_range){ .prefix = "b", .after = "a", .limit = 1 },
				&page),
		     -EINVAL, "prefix");
	assert_true(store_list(s,
			       &(struct store_range){ .prefix = "",
						      .limit = 1,
						      .revision = revision_of(s) + 1000 },
			       &page) < 0);
}

static void test_large(void **state)
{
	struct store *s = STORE(state);
	static struct store_entry e[STORE_OPS_MAX];
	static struct store_condition c[STORE_OPS_MAX];
	static char keys[STORE_OPS_MAX][16], value[500];
	struct store_transaction t = { .changes = e,
				       .n_changes = STORE_OPS_MAX,
				       .conditions = c,
				       .n_conditions = STORE_OPS_MAX };
	struct store_range range = { .prefix = "large/", .limit = 1000 };
	struct store_page page;
	size_t n = 0;
	char last[16];

	memset(value, 'x', sizeof(value));
	for (unsigned i = 0; i < STORE_OPS_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), "large/%04u", i);
		e[i] = (struct store_entry){ .key = keys[i],
					     .value = value,
					     .size = sizeof(value) };
		c[i] = (struct store_condition){ .key = keys[i], .test = STORE_ABSENT };
	}
	assert_int_equal(store_commit(s, &t, NULL), 0);
	assert_int_equal(store_commit(s, &t, NULL), -EAGAIN);
	t.n_changes++;
	expect_error(s, store_commit(s, &t, NULL), -E2BIG, "4096 changes");
	do {
		assert_int_equal(store_list(s, &range, &page), 0);
		assert_true(page.n > 0);
		range.revision = page.revision;
		for (size_t i = 0; i < page.n; i++)
			assert_string_equal(page.entries[i].key, keys[n++]);
		snprintf(last, sizeof(last), "%s", page.entries[page.n - 1].key);
		range.after = last;
		if (!page.more)
			range.limit = 0;
		store_page_done(&page);
	} while (range.limit);
	assert_int_equal(n, STORE_OPS_MAX);
}

static void test_list_at_a_revision(void **state)
{
	struct store *s = STORE(state);
	static const char *const names[] = { "n/a", "n/b", "n/c", "n/d" };
	struct store_range range = { .prefix = "n/", .limit = 2 };
	struct store_page page;

	put(s, "m", "0");
	put(s, "n", "0");
	put(s, "o", "0");
	put(s, "n0", "0");
	for (unsigned i = 4; i > 0; i--)
		put(s, names[i - 1], "old");
	assert_int_equal(store_list(s, &range, &page), 0);
	assert_int_equal(page.n, 2);
	assert_true(page.more);
	assert_string_equal(page.entries[1].key, "n/b");
	range.after = "n/b";
	range.revision = page.revision;
	store_page_done(&page);
	/* Later, and not seen by the next page. */
	put(s, "n/c", "new");
	put(s, "n/bb", "new");
	put(s, "n/d", NULL);
	assert_int_equal(store_list(s, &range, &page), 0);
	assert_int_equal(page.n, 2);
	assert_false(page.more);
	assert_int_equal(page.revision, range.revision);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(page.entries[i].key, names[i + 2]);
		assert_string_equal(page.entries[i].value, "old");
	}
	store_page_done(&page);
	range.revision = 0;
	range.limit = 9;
	assert_int_equal(store_list(s, &range, &page), 0);
	assert_int_equal(page.n, 2);
	assert_string_equal(page.entries[0].key, "n/bb");
	assert_string_equal(page.entries[1].value, "new");
	store_page_done(&page);
}

static void test_conditions(void **state)
{
	struct store *s = STORE(state);
	uint64_t lease, other, at, leased;
	unsigned seconds;
	struct store_entry e[] = { { .key = "x", .value = "1", .size = 1 },
				   { .key = "y", .value = "1", .size = 1 } };
	struct store_condition c[2];
	const struct store_transaction t = {
		.conditions = c, .n_conditions = 2, .changes = e, .n_changes = 2
	};

	at = put(s, "a", "1");
	assert_int_equal(store_lease_grant(s, 60, &lease, &seconds), 0);
	assert_int_equal(store_lease_grant(s, 60, &other, &seconds), 0);
	assert_true(lease != other && seconds >= 60);
	assert_int_equal(put_if(s, "mine", "me", lease, NULL, &leased), 0);
	const struct {
		struct store_condition c;
		bool holds;
	} cases[] = {
		{ { "a", STORE_ABSENT, 0 }, false },
		{ { "b", STORE_ABSENT, 0 }, true },
		{ { "a", STORE_AT, at }, true },
		{ { "a", STORE_AT, at + 1 }, false },
		{ { "b", STORE_AT, at }, false },
		{ { "mine", STORE_LEASED, lease }, true },
		{ { "a", STORE_LEASED, lease }, false },
		{ { "b", STORE_LEASED, lease }, false },
		{ { "mine", STORE_LEASED, other }, false },
		{ { "mine", STORE_AT, leased }, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned first = 0; first < 2; first++) {
			put(s, "x", NULL);
			put(s, "y", NULL);
			c[!first] = cases[i].c;
			c[first] = (struct store_condition){ "a", STORE_AT, at };
			assert_int_equal(store_commit(s, &t, NULL), cases[i].holds ? 0 : -EAGAIN);
			has_value(s, "x", cases[i].holds ? "1" : NULL);
			has_value(s, "y", cases[i].holds ? "1" : NULL);
		}
	/* Written without the lease, it is not its own any more. */
	put(s, "mine", "all");
	c[0] = (struct store_condition){ "mine", STORE_LEASED, lease };
	c[1] = c[0];
	assert_int_equal(store_commit(s, &t, NULL), -EAGAIN);
	assert_int_equal(store_lease_revoke(s, lease), 0);
	assert_int_equal(store_lease_revoke(s, other), 0);
	has_value(s, "mine", "all");
}

static void test_watch(void **state)
{
	struct store *s = STORE(state);
	const struct store_entry both[] = { { .key = "b", .value = "2", .size = 1 },
					    { .key = "a" },
					    { .key = "none" } };
	const uint64_t before = revision_of(s);
	struct pollfd p = { .events = POLLIN };
	struct store_page page;
	struct store_watch *w, *later;
	uint64_t first, second, third;

	first = put(s, "a", "1");
	assert_int_equal(store_watch_open(s, before, &w), 0);
	assert_int_equal(store_watch_open(s, first, &later), 0);
	expect_change(w, first, CHANGE("a", "1"));
	assert_int_equal(store_watch_next(w, &page), -EAGAIN);
	p.fd = store_watch_fd(w);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(
		store_commit(s, &(struct store_transaction){ .changes = both, .n_changes = 3 },
			     &second),
		0);
	assert_int_equal(poll(&p, 1, SOON), 1);
	/* What changes nothing is not told. */
	put(s, "none", NULL);
	third = put(s, "c", "");
	expect_change(w, second, CHANGE("a", NULL, "b", "2"));
	expect_change(w, third, CHANGE("c", ""));
	expect_change(later, second, CHANGE("a", NULL, "b", "2"));
	expect_change(later, third, CHANGE("c", ""));
	assert_int_equal(store_watch_next(later, &page), -EAGAIN);
	store_watch_close(w);
	store_watch_close(later);
}

static void test_trim(void **state)
{
	struct store *s = STORE(state);
	struct store_watch *w, *late;
	struct store_page page;
	uint64_t first, last;

	first = put(s, "a", "1");
	put(s, "b", "1");
	put(s, "a", NULL);
	last = put(s, "b", "2");
	assert_int_equal(store_watch_open(s, last, &w), 0);
	assert_int_equal(store_trim(s, last), 0);
	assert_int_equal(store_trim(s, last), 0);
	assert_int_equal(store_trim(s, first), 0);
	expect_error(s, store_trim(s, last + 1000), -EINVAL, "");
	expect_error(
		s,
		store_list(s,
			   &(struct store_range){ .prefix = "", .limit = 9, .revision = last - 1 },
			   &page),
		-ESTALE, "");
	assert_int_equal(
		store_list(s, &(struct store_range){ .prefix = "", .limit = 9, .revision = last },
			   &page),
		0);
	assert_int_equal(page.n, 1);
	store_page_done(&page);
	assert_int_equal(store_watch_open(s, last - 1, &late), 0);
	assert_int_equal(next_soon(late, &page), -ESTALE);
	assert_int_equal(store_watch_next(late, &page), -ESTALE);
	store_watch_close(late);
	assert_int_equal(store_watch_open(s, last, &late), 0);
	put(s, "c", "1");
	expect_change(w, 0, CHANGE("c", "1"));
	expect_change(late, 0, CHANGE("c", "1"));
	store_watch_close(w);
	store_watch_close(late);
	has_value(s, "b", "2");
}

static void test_lease(void **state)
{
	struct store *s = STORE(state);
	const uint64_t before = revision_of(s);
	struct store_watch *w;
	uint64_t lease, gone;
	unsigned seconds;
	int64_t start;

	assert_int_equal(store_lease_grant(s, 1, &lease, &seconds), 0);
	assert_true(seconds >= 1 && seconds < 10);
	assert_int_equal(put_if(s, "alive/1", "me", lease, NULL, NULL), 0);
	assert_int_equal(put_if(s, "alive/2", "me", lease, NULL, NULL), 0);
	put(s, "stays", "1");
	/* Kept, it lasts longer than it would by itself. */
	for (start = ms_now(); ms_now() < start + seconds * 1500; poll(NULL, 0, 100))
		assert_int_equal(store_lease_keep(s, lease), 0);
	has_value(s, "alive/1", "me");
	/* Not kept, it ends, and a watch is told without asking. */
	assert_int_equal(store_watch_open(s, before, &w), 0);
	expect_change(w, 0, CHANGE("alive/1", "me"));
	expect_change(w, 0, CHANGE("alive/2", "me"));
	expect_change(w, 0, CHANGE("stays", "1"));
	start = ms_now();
	expect_change(w, 0, CHANGE("alive/1", NULL, "alive/2", NULL));
	assert_true(ms_now() - start < seconds * 1000 + 3000);
	has_value(s, "alive/1", NULL);
	has_value(s, "stays", "1");
	expect_error(s, store_lease_keep(s, lease), -ENOENT, "lease");
	/* Nothing is written with a lease that has ended. */
	expect_error(s, put_if(s, "alive/1", "me", lease, NULL, NULL), -ENOENT, "lease");
	has_value(s, "alive/1", NULL);
	assert_int_equal(store_lease_grant(s, 60, &gone, &seconds), 0);
	assert_int_equal(put_if(s, "alive/1", "me", gone, NULL, NULL), 0);
	expect_change(w, 0, CHANGE("alive/1", "me"));
	assert_int_equal(store_lease_revoke(s, gone), 0);
	expect_change(w, 0, CHANGE("alive/1", NULL));
	assert_int_equal(store_lease_revoke(s, gone), -ENOENT);
	store_watch_close(w);
}

#define INCREMENTS 60

struct writer {
	struct store *store;
	pthread_t thread;
	unsigned conflicts;
	int error;
};

static void *increment(void *arg)
{
	struct writer *w = arg;
	struct store_condition c = { .key = "counter" };
	struct store_page page;
	unsigned long n;
	char text[32];
	int r;

	for (unsigned i = 0; i < INCREMENTS && w->error == 0; i += r == 0) {
		if ((w->error = store_get(w->store, "counter", &page)) < 0)
			break;
		n = page.n > 0 ? strtoul(page.entries[0].value, NULL, 10) : 0;
		c.test = page.n > 0 ? STORE_AT : STORE_ABSENT;
		c.is = page.n > 0 ? page.entries[0].revision : 0;
		store_page_done(&page);
		snprintf(text, sizeof(text), "%lu", n + 1);
		r = put_if(w->store, "counter", text, 0, &c, NULL);
		if (r == -EAGAIN)
			w->conflicts++;
		else
			w->error = r;
	}
	return NULL;
}

/* Writers at the same time, the watch of their changes while they come. */
static void test_no_lost_update(void **state)
{
	struct store *s = STORE(state);
	struct writer writers[3] = { { .store = s }, { .store = s }, { .store = s } };
	const uint64_t before = revision_of(s);
	struct store_watch *w;
	struct store_page page;
	unsigned long n;

	assert_int_equal(store_watch_open(s, before, &w), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&writers[i].thread, NULL, increment, &writers[i]),
				 0);
	for (unsigned i = 1; i <= 3 * INCREMENTS; i++) {
		assert_int_equal(next_soon(w, &page), 0);
		assert_int_equal(strtoul(page.entries[0].value, NULL, 10), i);
		store_page_done(&page);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_int_equal(writers[i].error, 0);
	}
	assert_int_equal(store_watch_next(w, &page), -EAGAIN);
	get_number(s, "counter", &n);
	assert_int_equal(n, 3 * INCREMENTS);
	store_watch_close(w);
}

#define KEYS 12
#define STEPS 250

struct model {
	uint64_t revision[KEYS]; /* 0: not there */
	unsigned value[KEYS];
};

static void check_list(struct store *s, const struct model *m)
{
	struct store_page page;
	size_t n = 0;
	char key[8];

	assert_int_equal(store_list(s, &(struct store_range){ .prefix = "k", .limit = 100 }, &page),
			 0);
	for (unsigned k = 0; k < KEYS; k++) {
		if (!m->revision[k])
			continue;
		assert_true(n < page.n);
		snprintf(key, sizeof(key), "k%02u", k);
		assert_string_equal(page.entries[n].key, key);
		assert_int_equal(page.entries[n].revision, m->revision[k]);
		assert_int_equal(strtoul(page.entries[n].value, NULL, 10), m->value[k]);
		n++;
	}
	assert_int_equal(page.n, n);
	store_page_done(&page);
}

/* Random transactions against a model that knows what each must do; at the end a watch
 * from the beginning must lead to the same. */
static void test_random(void **state)
{
	struct store *s = STORE(state);
	const uint64_t before = revision_of(s);
	struct model model = { .revision = { 0 } }, seen = model;
	char keys[KEYS][8], values[KEYS][8];
	struct store_watch *w;
	struct store_page page;
	uint64_t revision, last = 0;

	srandom(7);
	for (unsigned k = 0; k < KEYS; k++)
		snprintf(keys[k], sizeof(keys[k]), "k%02u", k);
	for (unsigned step = 0; step < STEPS; step++) {
		struct store_condition c[2];
		struct store_entry e[KEYS];
		struct store_transaction t = { .conditions = c, .changes = e };
		unsigned written[KEYS];
		bool holds = true;

		for (; t.n_conditions < (unsigned)random() % 3; t.n_conditions++) {
			const unsigned k = (unsigned)random() % KEYS;
			const bool right = random() % 4 != 0;

			if (model.revision[k])
				c[t.n_conditions] = (struct store_condition){
					keys[k], right ? STORE_AT : STORE_ABSENT, model.revision[k]
				};
			else
				c[t.n_conditions] = (struct store_condition){
					keys[k], right ? STORE_ABSENT : STORE_AT, before + 1
				};
			holds &= right;
		}
		for (unsigned k = 0; k < KEYS; k++) {
			if (random() % 4 != 0)
				continue;
			written[t.n_changes] = k;
			snprintf(values[k], sizeof(values[k]), "%u", step);
			e[t.n_changes++] = (struct store_entry){
				.key = keys[k],
				.value = random() % 3 ? values[k] : NULL,
				.size = strlen(values[k]),
			};
		}
		assert_int_equal(store_commit(s, &t, &revision), holds ? 0 : -EAGAIN);
		for (unsigned i = 0; holds && i < t.n_changes; i++) {
			model.revision[written[i]] = e[i].value ? revision : 0;
			model.value[written[i]] = step;
		}
		if (holds)
			last = revision;
		if (step % 25 == 0)
			check_list(s, &model);
	}
	check_list(s, &model);
	last = put(s, "k00", "1000");
	model.revision[0] = last;
	model.value[0] = 1000;
	assert_int_equal(store_watch_open(s, before, &w), 0);
	do {
		assert_int_equal(next_soon(w, &page), 0);
		for (size_t i = 0; i < page.n; i++) {
			const unsigned k = (unsigned)strtoul(page.entries[i].key + 1, NULL, 10);

			seen.revision[k] = page.entries[i].value ? page.revision : 0;
			if (page.entries[i].value)
				seen.value[k] = (unsigned)strtoul(page.entries[i].value, NULL, 10);
		}
		revision = page.revision;
		store_page_done(&page);
	} while (revision < last);
	check_list(s, &seen);
	store_watch_close(w);
}

static void test_open_again(void **state)
{
	struct backend *b = *state;
	struct store *s = STORE(state);
	const uint64_t before = revision_of(s);
	struct store_watch *w;
	uint64_t first = put(s, "a", "1"), second = put(s, "a", "2");

	store_close(s);
	s = b->store = open_soon(b->url, NULL);
	has_value(s, "a", "2");
	assert_true(put(s, "a", "3") > second);
	assert_int_equal(store_watch_open(s, before, &w), 0);
	expect_change(w, first, CHANGE("a", "1"));
	expect_change(w, second, CHANGE("a", "2"));
	expect_change(w, 0, CHANGE("a", "3"));
	store_watch_close(w);
}

static struct backend sqlite, etcd = { .etcd = true };

static int start(void **state)
{
	if (make_world(state) < 0)
		return -1;
	if (has_etcd())
		cluster_start(&cluster, 1, "suite", NULL);
	else
		print_message("# etcd is not installed\n");
	return 0;
}

static int end(void **state)
{
	cluster_end(&cluster);
	return remove_world(state);
}

#define ON(backend, test) \
	{ \
#backend " " #test, test, open_backend, close_backend, &backend \
	}
#define BOTH(test) ON(sqlite, test), ON(etcd, test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_keys),	   BOTH(test_bounds),
		BOTH(test_large),	   BOTH(test_list_at_a_revision),
		BOTH(test_conditions),	   BOTH(test_watch),
		BOTH(test_trim),	   BOTH(test_lease),
		BOTH(test_no_lost_update), BOTH(test_random),
		BOTH(test_open_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store", tests, start, end);
}
