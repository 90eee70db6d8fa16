/* links: libauthority libcommon */
/*
 * Backup and restore: under a load of changes, of all backends, damaged in every way.
 *
 * The load counts: its transaction n sets the n-th of so many sites and one host of them to
 * "n", so that a snapshot that isn't of one revision shows.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#include <cmocka.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "authority/backup.h"
#include "authority/ca.h"
#include "authority/operation.h"
#include "common/pki.h"
#include "tests/unit/store_world.h"

#define SITES 40
#define MADE 1700000000000ull

static char error[BACKUP_ERROR];

/* ---- a store with an authority's records ----------------------------------------- */

static void put_all(struct store *s, const struct store_entry *entries, size_t n)
{
	const struct store_transaction t = { NULL, 0, entries, n };

	assert_int_equal(store_commit(s, &t, NULL), 0);
}

static void put_text(struct store *s, const char *key, const char *value)
{
	put_all(s, &(struct store_entry){ .key = key, .value = value, .size = strlen(value) }, 1);
}

static void site_text(char *buf, size_t size, unsigned long n)
{
	snprintf(buf, size,
		 "{\"admins\":[],\"subnets\":[],\"location\":\"%lu\",\"contact\":\"\","
		 "\"created\":0}",
		 n);
}

/* Number n: two sites say so. */
static void count_to(struct store *s, unsigned long n)
{
	char a[32], b[32], value[160];

	snprintf(a, sizeof(a), "site/a%lu", n % SITES);
	snprintf(b, sizeof(b), "site/b%lu", n % SITES);
	site_text(value, sizeof(value), n);
	put_all(s,
		(struct store_entry[]){ { .key = a, .value = value, .size = strlen(value) },
					{ .key = b, .value = value, .size = strlen(value) } },
		2);
}

static void begin_store(struct store *s)
{
	put_text(s, "order",
		 "{\"n\":7,\"next_vn\":8,\"next_router\":3,\"generation\":5,\"space\":[]}");
	for (unsigned long n = 0; n < SITES; n++)
		count_to(s, n);
}

/* The last number; all of one revision. */
static unsigned long last_number(struct store *s)
{
	unsigned long last = 0, n[2][SITES];
	struct store_page page;
	char key[32];

	for (unsigned i = 0; i < 2 * SITES; i++) {
		json_t *value;

		snprintf(key, sizeof(key), "site/%c%u", "ab"[i / SITES], i % SITES);
		assert_int_equal(store_get(s, key, &page), 0);
		assert_int_equal(page.n, 1);
		value = json_loads(page.entries[0].value, 0, NULL);
		n[i / SITES][i % SITES] =
			strtoul(json_string_value(json_object_get(value, "location")), NULL, 10);
		json_decref(value);
		store_page_done(&page);
	}
	for (unsigned i = 0; i < SITES; i++) {
		assert_int_equal(n[0][i], n[1][i]);
		last = n[0][i] > last ? n[0][i] : last;
	}
	for (unsigned i = 0; i < SITES; i++)
		assert_int_equal(n[0][i], last - (last - i) % SITES);
	return last;
}

static struct store *open_one(const char *name, char url[static 160])
{
	snprintf(url, 160, "sqlite:%s", in_world(name));
	return open_soon(url, NULL);
}

static const char *new_directory(const char *name)
{
	const char *path = in_world(name);

	mkdir(path, 0700);
	return path;
}

static int new_file(const char *name)
{
	int fd = open(in_world(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void make_ca(const char *directory)
{
	char words[CA_ERROR];

	if (ca_make(directory, time(NULL), words) && errno != EEXIST)
		fail_msg("%s", words);
}

/* ---- under load ------------------------------------------------------------------ */

struct load {
	struct store *store;
	_Atomic unsigned long n; /* acknowledged */
	atomic_bool stop;
};

static void *run_load(void *arg)
{
	struct load *l = arg;

	while (!l->stop) {
		count_to(l->store, l->n + 1);
		l->n++;
	}
	return NULL;
}

static uint64_t generation_of(struct store *s)
{
	struct store_page page;
	json_t *value;
	uint64_t g;

	assert_int_equal(store_get(s, "order", &page), 0);
	assert_int_equal(page.n, 1);
	value = json_loads(page.entries[0].value, 0, NULL);
	g = (uint64_t)json_integer_value(json_object_get(value, "generation"));
	assert_int_equal(json_integer_value(json_object_get(value, "n")), 7);
	json_decref(value);
	store_page_done(&page);
	return g;
}

static void same_files(const char *a, const char *b)
{
	static const char *const names[] = { "ca.crt", "ca.key", "tables.key", "tables.pub", NULL };
	char path[200];

	for (int i = 0; names[i]; i++) {
		char *x, *y;

		snprintf(path, sizeof(path), "%s/%s", a, names[i]);
		x = pki_read(path);
		snprintf(path, sizeof(path), "%s/%s", b, names[i]);
		y = pki_read(path);
		assert_non_null(x);
		assert_non_null(y);
		assert_string_equal(x, y);
		free(x);
		free(y);
		if (strstr(names[i], ".key"))
			assert_true(pki_is_private(path));
	}
}

/* From one store into another, while the first one changes. */
static void under_load(struct store *from, struct store *to, const char *name)
{
	struct load l = { .store = from, .n = SITES - 1 };
	char ca[128], other[128];
	unsigned long before, after, restored;
	struct backup made, read;
	pthread_t thread;
	int fd = new_file(name);

	snprintf(ca, sizeof(ca), "%s", new_directory("ca"));
	make_ca(ca);
	snprintf(other, sizeof(other), "%s/%s-ca", world_directory, name);
	mkdir(other, 0700);
	begin_store(from);
	put_text(from, "audit/000000000001-x",
		 "{\"time\":1,\"caller\":\"-\",\"operation\":\"x\",\"target\":\"\xc3\xbc\","
		 "\"allowed\":true,\"detail\":\"\"}");
	put_text(from, "token/t",
		 "{\"registers\":\"router\",\"site\":\"a0\",\"roles\":[],\"vn\":0,"
		 "\"anywhere\":false,\"issuer\":\"jane\",\"count\":1,\"used\":0,\"expires\":5}");
	put_text(from, "credential/c",
		 "{\"user\":\"jane\",\"operations\":[\"vn-join\"],\"vns\":[\"*\"],\"expires\":5}");
	assert_int_equal(pthread_create(&thread, NULL, run_load, &l), 0);
	while (l.n < 3 * SITES)
		short_while();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		lseek(fd, 0, SEEK_SET);
		before = l.n;
		if (backup_write(from, ca, NULL, fd, MADE, &made, error))
			fail_msg("%s", error);
		after = l.n + 1;
		if (backup_verify(fd, &read, NULL, error))
			fail_msg("%s", error);
		assert_int_equal(read.entries, 2 * SITES + 4);
		assert_int_equal(read.revision, made.revision);
		assert_int_equal(read.made, MADE);
	}
	l.stop = true;
	pthread_join(thread, NULL);
	if (backup_restore(fd, to, other, MADE + 5000, &read, error))
		fail_msg("%s", error);
	restored = last_number(to);
	/* All that was acknowledged before it began is there. */
	assert_in_range(restored, before, after);
	assert_int_equal(generation_of(to), (MADE + 5000) / 1000);
	has_value(to, BACKUP_UNFINISHED, NULL);
	/* They may have been revoked since. */
	has_value(to, "token/t", NULL);
	has_value(to, "credential/c", NULL);
	same_files(ca, other);
	/* Not twice. */
	assert_int_equal(backup_restore(fd, to, other, MADE, &read, error), -EEXIST);
	assert_non_null(strstr(error, "not empty"));
	assert_int_equal(last_number(to), restored);
	close(fd);
}

static void test_sqlite(void **state)
{
	char url[160], other[160];
	struct store *from = open_one("from.db", url), *to = open_one("to.db", other);

	(void)state;
	under_load(from, to, "sqlite.backup");
	store_close(from);
	store_close(to);
}

static void test_etcd(void **state)
{
	static struct cluster cluster;
	char url[160];
	struct store *from, *to;

	(void)state;
	if (!has_etcd())
		skip();
	signal(SIGPIPE, SIG_IGN);
	cluster_start(&cluster, 1, "backup", NULL);
	from = open_soon(cluster.url, NULL);
	to = open_one("etcd-to.db", url);
	under_load(from, to, "etcd.backup");
	store_close(to);
	store_close(from);
	cluster_end(&cluster);
}

/* One that an earlier version has made: its records get what they lack. */
static void test_earlier(void **state)
{
	static const char lines[] =
		"{\"vine_authority_backup\":1,\"made\":5,\"revision\":9}\n"
		"{\"key\":\"order\",\"value\":{\"n\":7,\"next_vn\":8,\"next_router\":3,\"space\":[]}}\n"
		"{\"key\":\"user/joe\",\"value\":{\"roles\":[\"adm\"],\"key\":\"\",\"revoked\":false,"
		"\"created\":1}}\n";
	char url[160], directory[128], text[1024], hex[65];
	unsigned char sum[32];
	struct store *s = open_one("earlier.db", url);
	int fd = new_file("earlier.backup");
	struct backup b;

	(void)state;
	assert_int_equal(EVP_Digest(lines, strlen(lines), sum, NULL, EVP_sha256(), NULL), 1);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(text, sizeof(text), "%s{\"entries\":2,\"sha256\":\"%s\"}\n", lines, hex);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(directory, sizeof(directory), "%s", new_directory("earlier-ca"));
	if (backup_restore(fd, s, directory, MADE, &b, error))
		fail_msg("%s", error);
	has_value(s, "user/joe",
		  "{\"roles\":[\"adm\"],\"key\":\"\",\"revoked\":false,\"created\":1,"
		  "\"expires\":0}");
	has_value(s, "schema", "{\"version\":3}");
	store_close(s);
	close(fd);
}

/* ---- damaged --------------------------------------------------------------------- */

static char *make_backup(size_t *ret_len, char ca[static 128])
{
	char url[160], *text;
	struct store *s = open_one("damaged.db", url);
	struct backup b;
	int fd = new_file("damaged.backup");
	struct stat st;

	snprintf(ca, 128, "%s", new_directory("damaged-ca"));
	make_ca(ca);
	begin_store(s);
	assert_int_equal(backup_write(s, ca, NULL, fd, MADE, &b, error), 0);
	store_close(s);
	assert_int_equal(fstat(fd, &st), 0);
	*ret_len = (size_t)st.st_size;
	text = malloc(*ret_len);
	assert_int_equal(pread(fd, text, *ret_len, 0), st.st_size);
	close(fd);
	return text;
}

/* Refused, and neither store nor directory has anything of it. */
static void refused(struct store *s, const char *directory, const char *text, size_t len)
{
	int fd = new_file("changed.backup"), r;
	struct store_page page;
	struct backup b;
	char path[200];

	assert_int_equal(write(fd, text, len), (ssize_t)len);
	r = backup_restore(fd, s, directory, MADE, &b, error);
	close(fd);
	assert_int_equal(r, -EBADMSG);
	assert_non_null(strstr(error, "backup"));
	assert_int_equal(store_list(s, &(struct store_range){ .prefix = "", .limit = 1 }, &page),
			 0);
	assert_int_equal(page.n, 0);
	store_page_done(&page);
	snprintf(path, sizeof(path), "%s/ca.key", directory);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_damaged(void **state)
{
	char ca[128], url[160], directory[128];
	struct store *s = open_one("empty.db", url);
	size_t len;
	char *text = make_backup(&len, ca), *copy = malloc(2 * len);

	(void)state;
	snprintf(directory, sizeof(directory), "%s", new_directory("empty-ca"));
	srandom(1);
	/* Cut anywhere. */
	for (size_t at = 0; at < len; at += 1 + (size_t)random() % 400)
		refused(s, directory, text, at);
	refused(s, directory, text, len - 1);
	/* A bit turned anywhere. */
	for (int i = 0; i < 200; i++) {
		memcpy(copy, text, len);
		copy[(size_t)random() % len] ^= (char)(1 << random() % 8);
		refused(s, directory, copy, len);
	}
	/* Twice, one line less. */
	memcpy(copy, text, len);
	memcpy(copy + len, text, len);
	refused(s, directory, copy, 2 * len);
	{
		char *line = strchr(copy, '\n') + 1, *next = strchr(line, '\n') + 1;

		memmove(line, next, len - (size_t)(next - copy));
		refused(s, directory, copy, len - (size_t)(next - line));
	}
	free(copy);
	free(text);
	store_close(s);
}

/* ---- broken off ------------------------------------------------------------------ */

static void test_again(void **state)
{
	char ca[128], url[160], directory[128], key[200];
	struct store *s = open_one("again.db", url);
	struct backup b;
	size_t len;
	char *text = make_backup(&len, ca);
	int fd = new_file("again.backup");
	char mark[128];
	const char *sum = NULL;

	(void)state;
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	for (char *p = text; p + 10 < text + len; p++)
		if (!memcmp(p, "\"sha256\":\"", 10))
			sum = p + 10;
	assert_non_null(sum);
	snprintf(directory, sizeof(directory), "%s", new_directory("again-ca"));
	/* Another backup was being restored: no. */
	put_text(s, BACKUP_UNFINISHED, "{\"sha256\":\"0\"}");
	assert_int_equal(backup_restore(fd, s, directory, MADE, &b, error), -EEXIST);
	/* This one, half: it goes on. */
	snprintf(mark, sizeof(mark), "{\"sha256\":\"%.64s\"}", sum);
	put_text(s, BACKUP_UNFINISHED, mark);
	count_to(s, 3);
	assert_int_equal(backup_restore(fd, s, directory, MADE, &b, error), 0);
	assert_int_equal(last_number(s), SITES - 1);
	/* Other keys are there: nothing is overwritten. */
	snprintf(key, sizeof(key), "%s/ca.key", directory);
	assert_int_equal(pki_replace(key, "another", 0600), 0);
	assert_int_equal(backup_restore(fd, s, directory, MADE, &b, error), -EEXIST);
	assert_non_null(strstr(error, "ca.key"));
	close(fd);
	free(text);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sqlite),	cmocka_unit_test(test_etcd),
		cmocka_unit_test(test_earlier), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
