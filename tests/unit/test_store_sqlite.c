/* links: libauthority libcommon */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/unit/store_world.h"

/* What is only of files: older, newer, damaged ones, those of others. */

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t sql_number(const char *path, const char *text)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	int64_t n;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* A file as the first version made it. */
#define VERSION_1 \
	"CREATE TABLE meta(revision INTEGER NOT NULL, trimmed INTEGER NOT NULL);" \
	"INSERT INTO meta VALUES(7, 3);" \
	"CREATE TABLE version(key BLOB NOT NULL, revision INTEGER NOT NULL," \
	" until INTEGER NOT NULL, value BLOB, PRIMARY KEY(key, revision));" \
	"CREATE INDEX version_revision ON version(revision);" \
	"CREATE INDEX version_until ON version(until) WHERE until < 9223372036854775807;" \
	"INSERT INTO version VALUES(x'61', 4, 7, x'31')," \
	" (x'61', 7, 9223372036854775807, x'32');" \
	"PRAGMA user_version=1; PRAGMA application_id=1449741925"

static void test_older_file(void **state)
{
	const char *path = in_world("older.db");
	char url[160], error[STORE_ERROR];
	struct store_watch *w;
	struct store *s;
	uint64_t lease;
	unsigned seconds;

	(void)state;
	sql(path, VERSION_1);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	assert_int_equal(store_open(url, NULL, &s, error), 0);
	has_value(s, "a", "2");
	assert_int_equal(store_watch_open(s, 3, &w), 0);
	expect_change(w, 4, CHANGE("a", "1"));
	expect_change(w, 7, CHANGE("a", "2"));
	store_watch_close(w);
	assert_int_equal(put(s, "b", "1"), 8);
	assert_int_equal(store_lease_grant(s, 60, &lease, &seconds), 0);
	assert_int_equal(put_if(s, "mine", "1", lease, NULL, NULL), 0);
	store_close(s);
	assert_true(sql_number(path, "PRAGMA user_version") > 1);
	sql(path, "PRAGMA user_version=1000");
	expect_refusal(url, NULL, -EPERM, "newer");
}

static void test_refused_files(void **state)
{
	const char *path = in_world("bad.db");
	char url[160], error[STORE_ERROR];
	struct store *s;
	struct stat st;
	FILE *f;

	(void)state;
	snprintf(url, sizeof(url), "sqlite:%s", path);
	f = fopen(path, "w");
	for (unsigned i = 0; i < 1000; i++)
		fputs("[router]\n", f);
	fclose(f);
	expect_refusal(url, NULL, -EPERM, "not a store");
	unlink(path);
	sql(path, "CREATE TABLE t(a)");
	expect_refusal(url, NULL, -EPERM, "not a store");
	assert_int_equal(sql_number(path, "SELECT count(*) FROM sqlite_schema"), 1);
	unlink(path);
	expect_refusal("sqlite:/nowhere/at/all", NULL, -ENOENT, "/nowhere/at/all");
	expect_refusal("mysql:x", NULL, -EINVAL, "sqlite:/path");
	/* In use: by this process, and by another one. */
	assert_int_equal(store_open(url, NULL, &s, error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	expect_refusal(url, NULL, -EPERM, "in use");
	if (fork() == 0) {
		struct store *other;

		_exit(store_open(url, NULL, &other, error) == -EPERM && strstr(error, "in use")
			      ? 0
			      : 1);
	} else {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (unsigned i = 0; i < 300; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key/%u", i);
		put(s, key, "a value that fills the pages of the file, a little");
	}
	store_close(s);
	/* Damaged: a page in its middle. */
	f = fopen(path, "r+");
	fseek(f, 5 * 4096, SEEK_SET);
	for (unsigned i = 0; i < 4096; i++)
		putc("\xa5\x5a\x00\x17"[i % 4], f);
	fclose(f);
	expect_refusal(url, NULL, -EIO, "restore it from a backup");
}

/* History is bounded by itself, and what a process held goes with it. */
static void test_history(void **state)
{
	const char *path = in_world("history.db");
	char url[160], error[STORE_ERROR];
	struct store *s;
	struct store_watch *w;
	struct store_page page;
	uint64_t lease;
	unsigned seconds;

	(void)state;
	snprintf(url, sizeof(url), "sqlite:%s", path);
	assert_int_equal(store_open(url, NULL, &s, error), 0);
	assert_int_equal(put(s, "a", "1"), 1);
	for (unsigned i = 0; i < 200; i++)
		put(s, i % 2 ? "a" : "b", i % 7 ? "2" : NULL);
	assert_int_equal(store_lease_grant(s, 60, &lease, &seconds), 0);
	assert_int_equal(put_if(s, "mine", "1", lease, NULL, NULL), 0);
	store_close(s);
	/* As if it were later. */
	sql(path, "UPDATE meta SET revision = 20000");
	assert_int_equal(store_open(url, NULL, &s, error), 0);
	has_value(s, "mine", NULL);
	for (unsigned i = 0; i < 10; i++)
		put(s, "c", "1");
	assert_int_equal(store_watch_open(s, 5000, &w), 0);
	assert_int_equal(store_watch_next(w, &page), -ESTALE);
	store_watch_close(w);
	has_value(s, "a", "2");
	store_close(s);
	assert_int_equal(sql_number(path, "SELECT count(*) FROM version WHERE until < 10000"), 0);
	assert_true(sql_number(path, "SELECT count(*) FROM version") <= 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_older_file),
		cmocka_unit_test(test_refused_files),
		cmocka_unit_test(test_history),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store_sqlite", tests, make_world, remove_world);
}
