/* links: libauthority libcommon */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mount.h>

#include "tests/unit/store_world.h"

/*
 * What was acknowledged is there, and nothing is there in part, whatever is killed: the
 * process that writes, etcd, a member of three; or when the disk is full.
 *
 * The writer counts: its transaction number n sets "counter", on the condition that it
 * is as n - 1 left it, and a slot in each of two halves, "a/..." and "b/...".
 */

#define SLOTS 16
#define KILLS 25
#define LIMIT 3000 /* ms in which it must go on */

struct tally {
	unsigned long n;
	uint64_t revision; /* of n */
	unsigned long doubts;
};

/* One transaction. */
static int count_one(struct store *s, struct tally *t)
{
	char text[24], a[16], b[16];
	const size_t size = (size_t)snprintf(text, sizeof(text), "%lu", t->n + 1);
	const struct store_condition c = {
		.key = "counter",
		.test = t->revision ? STORE_AT : STORE_ABSENT,
		.is = t->revision,
	};
	const struct store_entry e[] = {
		{ .key = "counter", .value = text, .size = size },
		{ .key = a, .value = text, .size = size },
		{ .key = b, .value = text, .size = size },
	};
	int r;

	snprintf(a, sizeof(a), "a/%02lu", (t->n + 1) % SLOTS);
	snprintf(b, sizeof(b), "b/%02lu", (t->n + 1) % SLOTS);
	r = store_commit(
		s,
		&(struct store_transaction){
			.conditions = &c, .n_conditions = 1, .changes = e, .n_changes = 3 },
		&t->revision);
	t->n += r == 0;
	return r;
}

/* All that is there is of whole transactions, up to one number, which it returns. */
static unsigned long check_whole(struct store *s, struct tally *t)
{
	unsigned long value, expected;
	char key[16];

	t->revision = get_number(s, "counter", &t->n);
	for (unsigned long i = 0; i < SLOTS; i++) {
		expected = t->n - (t->n + SLOTS - i) % SLOTS;
		if (t->n < (t->n + SLOTS - i) % SLOTS)
			expected = 0;
		for (unsigned half = 0; half < 2; half++) {
			snprintf(key, sizeof(key), "%c/%02lu", "ab"[half], i);
			get_number(s, key, &value);
			assert_int_equal(value, expected);
		}
	}
	return t->n;
}

/* The child: counts on, tells each number that was acknowledged. */
static void count_and_tell(const char *url, int to)
{
	struct store *s = open_soon(url, NULL);
	struct tally t;

	check_whole(s, &t);
	while (count_one(s, &t) == 0)
		if (write(to, &t.n, sizeof(t.n)) != sizeof(t.n))
			break;
	_exit(1);
}

static void kill_writers(const char *url)
{
	unsigned long told = 0, total = 0, n = 0;
	struct store *s;
	struct tally t;
	int ends[2];
	pid_t pid;

	srandom(3);
	for (unsigned i = 0; i < KILLS; i++) {
		unsigned left = 1 + (unsigned)random() % 20;

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			count_and_tell(url, ends[1]);
		}
		close(ends[1]);
		while (left-- > 0)
			assert_int_equal(read(ends[0], &told, sizeof(told)), sizeof(told));
		/* Anywhere within the next one. */
		for (unsigned spin = (unsigned)random() % 400000; spin > 0; spin--)
			__asm__ volatile("");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(ends[0], &told, sizeof(told)) == sizeof(told))
			;
		close(ends[0]);
		s = open_soon(url, NULL);
		n = check_whole(s, &t);
		store_close(s);
		total += n > told;
		assert_true(n == told || n == told + 1);
	}
	print_message("# %lu transactions, %lu of them done and not acknowledged\n", n, total);
}

static void test_killed_writer_sqlite(void **state)
{
	char url[160];

	(void)state;
	snprintf(url, sizeof(url), "sqlite:%s", in_world("crash.db"));
	kill_writers(url);
}

static void test_killed_writer_etcd(void **state)
{
	struct cluster c = { .n = 0 };

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&c, 1, "writer", NULL);
	kill_writers(c.url);
	cluster_end(&c);
}

/* A writer in a thread of its own, that goes on whatever it is told. */
struct counting {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	struct tally t;
	int64_t since, longest; /* without an acknowledgement */
	unsigned done;		/* since it was asked last */
	bool stop, wrong;
};

static void *go_on(void *arg)
{
	struct counting *c = arg;
	struct store_page page;
	unsigned long n;
	bool stop = false;
	int r;

	while (!stop) {
		r = count_one(c->store, &c->t);
		if (r == -ETIMEDOUT || r == -EHOSTUNREACH) {
			/* Only reading tells: it, or it and no more. */
			if (store_get(c->store, "counter", &page) == 0) {
				n = page.n ? strtoul(page.entries[0].value, NULL, 10) : 0;
				c->wrong |= n != c->t.n && !(r == -ETIMEDOUT && n == c->t.n + 1);
				c->t.n = n;
				c->t.revision = page.n ? page.entries[0].revision : 0;
				store_page_done(&page);
			}
			c->t.doubts++;
		}
		pthread_mutex_lock(&c->lock);
		if (r == 0) {
			if (ms_now() - c->since > c->longest)
				c->longest = ms_now() - c->since;
			c->since = ms_now();
			c->done++;
		}
		/* Nobody else writes: a conflict would be one with itself. */
		c->wrong |= r != 0 && r != -ETIMEDOUT && r != -EHOSTUNREACH;
		stop = c->stop || c->wrong;
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

static void counting_start(struct counting *c, struct store *s)
{
	*c = (struct counting){ .store = s, .since = ms_now() };
	pthread_mutex_init(&c->lock, NULL);
	assert_int_equal(pthread_create(&c->thread, NULL, go_on, c), 0);
}

/* Waits until it has acknowledged some more; the longest time without. */
static int64_t counting_goes_on(struct counting *c)
{
	const int64_t end = ms_now() + 2 * READY;
	int64_t longest = -1;

	pthread_mutex_lock(&c->lock);
	c->longest = 0;
	c->done = 0;
	pthread_mutex_unlock(&c->lock);
	while (longest < 0 && ms_now() < end) {
		short_while();
		pthread_mutex_lock(&c->lock);
		if (c->done > 20 || c->wrong)
			longest = c->longest;
		pthread_mutex_unlock(&c->lock);
	}
	assert_true(longest >= 0);
	assert_false(c->wrong);
	return longest;
}

static void counting_end(struct counting *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	assert_false(c->wrong);
}

/* The watch told each number, once, in order. */
static void check_watch(struct store_watch *w, unsigned long n)
{
	struct store_page page;

	for (unsigned long i = 1; i <= n; i++) {
		assert_int_equal(next_soon(w, &page), 0);
		assert_int_equal(page.n, 3);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(strtoul(page.entries[k].value, NULL, 10), i);
		store_page_done(&page);
	}
	assert_int_equal(store_watch_next(w, &page), -EAGAIN);
}

/* etcd is killed and started again, over and over. */
static void test_killed_etcd(void **state)
{
	struct cluster c = { .n = 0 };
	struct counting counting;
	struct store_watch *w;
	struct tally t;
	struct store *s;

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&c, 1, "killed", NULL);
	s = open_soon(c.url, NULL);
	assert_int_equal(store_watch_open(s, 0, &w), 0);
	counting_start(&counting, s);
	for (unsigned i = 0; i < 8; i++) {
		counting_goes_on(&counting);
		member_end(&c, 0);
		member_start(&c, 0);
	}
	counting_goes_on(&counting);
	counting_end(&counting);
	assert_int_equal(check_whole(s, &t), counting.t.n);
	check_watch(w, t.n);
	print_message("# %lu transactions, %lu of them in doubt\n", t.n, counting.t.doubts);
	store_watch_close(w);
	store_close(s);
	cluster_end(&c);
}

/* Each of three members is killed, then each is stopped: dead to all but TCP. */
static void test_member_of_three(void **state)
{
	struct cluster c = { .n = 0 };
	struct counting counting;
	struct store_watch *w;
	struct tally t;
	struct store *s;
	int64_t longest;

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&c, 3, "three", NULL);
	s = open_soon(c.url, NULL);
	assert_int_equal(store_watch_open(s, 0, &w), 0);
	counting_start(&counting, s);
	for (unsigned i = 0; i < 2 * c.n; i++) {
		const unsigned m = i % c.n;

		counting_goes_on(&counting);
		if (i < c.n)
			member_end(&c, m);
		else
			kill(c.members[m].pid, SIGSTOP);
		longest = counting_goes_on(&counting);
		print_message("# member %u %s: %lld ms\n", m, i < c.n ? "killed" : "stopped",
			      (long long)longest);
		assert_true(longest < LIMIT);
		if (i < c.n)
			member_start(&c, m);
		else
			kill(c.members[m].pid, SIGCONT);
		/* It is to know the others before the next one goes. */
		snprintf(c.url, sizeof(c.url), "etcd:http://127.0.0.1:%u", c.members[m].client);
		store_close(open_soon(c.url, NULL));
	}
	counting_end(&counting);
	assert_int_equal(check_whole(s, &t), counting.t.n);
	check_watch(w, t.n);
	print_message("# %lu transactions, %lu of them in doubt\n", t.n, counting.t.doubts);
	store_watch_close(w);
	store_close(s);
	cluster_end(&c);
}

/* A disk of so many MiB, where that is permitted. */
static bool mount_disk(const char *path, unsigned size, unsigned long flags)
{
	char option[32];

	snprintf(option, sizeof(option), "size=%um", size);
	mkdir(path, 0700);
	return mount("disk", path, "tmpfs", flags, option) == 0;
}

/* Values of 64 KiB until there is an error; how many were acknowledged. */
static unsigned fill(struct store *s, unsigned n, unsigned most, int *ret_error)
{
	static char value[65536];
	char key[16];

	memset(value, 'v', sizeof(value));
	for (*ret_error = 0; n < most; n++) {
		const struct store_entry e = { .key = key, .value = value, .size = sizeof(value) };

		snprintf(value, sizeof(value), "%u", n);
		snprintf(key, sizeof(key), "fill/%04u", n);
		*ret_error = store_commit(
			s, &(struct store_transaction){ .changes = &e, .n_changes = 1 }, NULL);
		if (*ret_error < 0)
			break;
	}
	return n;
}

/* All that was acknowledged is there; returns how many there are. */
static unsigned check_filled(struct store *s, unsigned acknowledged)
{
	struct store_range range = { .prefix = "fill/", .limit = 10 };
	char after[16];
	struct store_page page;
	unsigned n = 0;

	do {
		assert_int_equal(store_list(s, &range, &page), 0);
		for (size_t i = 0; i < page.n; i++) {
			assert_int_equal(page.entries[i].size, 65536);
			assert_int_equal(strtoul(page.entries[i].value, NULL, 10), n++);
		}
		if (page.n > 0)
			snprintf(after, sizeof(after), "%s", page.entries[page.n - 1].key);
		range.after = after;
		range.limit = page.more ? 10 : 0;
		store_page_done(&page);
	} while (range.limit);
	assert_true(n >= acknowledged);
	return n;
}

static void test_full_disk_sqlite(void **state)
{
	const char *disk = in_world("disk");
	char url[160];
	struct store *s;
	unsigned n;
	int r;

	if (*state || !mount_disk(disk, 8, 0))
		skip();
	snprintf(url, sizeof(url), "sqlite:%s/full.db", disk);
	s = open_soon(url, NULL);
	n = fill(s, 0, 1000, &r);
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 20);
	assert_int_equal(check_filled(s, n), n);
	assert_int_equal(fill(s, n, 1000, &r), n);
	assert_int_equal(r, -ENOSPC);
	/* With a full disk it opens, and reads. */
	store_close(s);
	s = open_soon(url, NULL);
	assert_int_equal(check_filled(s, n), n);
	/* With room again it goes on. */
	assert_true(mount_disk(disk, 32, MS_REMOUNT));
	assert_int_equal(fill(s, n, n + 100, &r), n + 100);
	assert_int_equal(check_filled(s, n + 100), n + 100);
	store_close(s);
	assert_int_equal(umount(disk), 0);
}

static void test_full_quota_etcd(void **state)
{
	struct cluster c = { .n = 0 };
	struct store *s;
	unsigned n;
	int r;

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&c, 1, "quota", "--quota-backend-bytes=8388608");
	s = open_soon(c.url, NULL);
	n = fill(s, 0, 1000, &r);
	assert_int_equal(r, -ENOSPC);
	assert_true(n > 20);
	assert_int_equal(check_filled(s, n), n);
	store_close(s);
	cluster_end(&c);
}

/* etcd gives up on a full disk, and is started again when there is room. */
static void test_full_disk_etcd(void **state)
{
	const char *disk = in_world("disk");
	struct cluster c = { .n = 0 };
	struct store *s;
	unsigned n;
	int r;

	if (*state || !has_etcd() || !mount_disk(disk, 150, 0))
		skip();
	cluster_start(&c, 1, "disk/", NULL);
	s = open_soon(c.url, NULL);
	n = fill(s, 0, 4000, &r);
	assert_true(r == -ETIMEDOUT || r == -EHOSTUNREACH || r == -ENOSPC);
	assert_true(n > 20);
	member_end(&c, 0);
	assert_true(mount_disk(disk, 400, MS_REMOUNT));
	member_start(&c, 0);
	store_close(open_soon(c.url, NULL));
	assert_true(check_filled(s, n) <= n + 1);
	store_close(s);
	cluster_end(&c);
	assert_int_equal(umount(disk), 0);
}

static int start(void **state)
{
	if (make_world(state) < 0)
		return -1;
	/* Mounts of its own, which end with it. */
	*state = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
			 ? NULL
			 : (void *)"no mounts";
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_writer_sqlite),
		cmocka_unit_test(test_killed_writer_etcd),
		cmocka_unit_test(test_killed_etcd),
		cmocka_unit_test(test_member_of_three),
		cmocka_unit_test(test_full_disk_sqlite),
		cmocka_unit_test(test_full_quota_etcd),
		cmocka_unit_test(test_full_disk_etcd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store_crash", tests, start, remove_world);
}
