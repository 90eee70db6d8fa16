/* links: ctl/pair common/crypto common/wire common/addr */
/*
 * Key files for both ends of a pair: the same key, mode 0600, never overwritten.
 */
#include "ctl/pair.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
	char *directory = strdup("/tmp/vine-pair-XXXXXX");

	*state = directory;
	return mkdtemp(directory) ? 0 : -1;
}

static void remove_key(const char *directory, const char *a, const char *b)
{
	char path[PATH_MAX];

	assert_true(pair_path(directory, a, b, path, sizeof(path)));
	assert_int_equal(unlink(path), 0);
	*strrchr(path, '/') = '\0';
	rmdir(path);
}

static int teardown(void **state)
{
	assert_int_equal(rmdir(*state), 0);
	free(*state);
	return 0;
}

static void read_key(const char *directory, const char *a, const char *b, char text[64])
{
	char path[PATH_MAX];
	struct stat st;
	uint8_t key[CRYPTO_KEY];
	size_t n;
	FILE *f;

	assert_true(pair_path(directory, a, b, path, sizeof(path)));
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, 63, f);
	fclose(f);
	text[n] = '\0';
	assert_int_equal(n, CRYPTO_KEY_TEXT);
	assert_int_equal(text[n - 1], '\n');
	text[n - 1] = '\0';
	assert_true(crypto_key_parse(text, key));
}

static void both_ends(void **state)
{
	const char *directory = *state;
	char path[PATH_MAX], a[64], b[64];
	mode_t old = umask(0777); /* the modes don't depend on it */

	umask(0);
	assert_int_equal(pair_make(directory, "florida", "chicago", path, sizeof(path)), 0);
	umask(old);
	read_key(directory, "florida", "chicago", a);
	read_key(directory, "chicago", "florida", b);
	assert_string_equal(a, b);

	/* Another pair of the same router has another key beside it. */
	assert_int_equal(pair_make(directory, "florida", "purdue", path, sizeof(path)), 0);
	read_key(directory, "florida", "purdue", b);
	assert_string_not_equal(a, b);
	remove_key(directory, "florida", "chicago");
	remove_key(directory, "chicago", "florida");
	remove_key(directory, "florida", "purdue");
	remove_key(directory, "purdue", "florida");
}

static void never_overwritten(void **state)
{
	const char *directory = *state;
	char path[PATH_MAX], a[64], b[64];

	assert_int_equal(pair_make(directory, "a", "b", path, sizeof(path)), 0);
	read_key(directory, "a", "b", a);
	assert_int_equal(pair_make(directory, "a", "b", path, sizeof(path)), -EEXIST);
	assert_non_null(strstr(path, "a/b.key"));
	read_key(directory, "a", "b", b);
	assert_string_equal(a, b);

	/* Only the second one is there: the first is not left behind. */
	remove_key(directory, "a", "b");
	assert_int_equal(pair_make(directory, "a", "b", path, sizeof(path)), -EEXIST);
	assert_non_null(strstr(path, "b/a.key"));
	assert_true(pair_path(directory, "a", "b", path, sizeof(path)));
	assert_int_equal(access(path, F_OK), -1);
	*strrchr(path, '/') = '\0';
	rmdir(path);
	read_key(directory, "b", "a", b);
	assert_string_equal(a, b);
	remove_key(directory, "b", "a");
}

/* A link that somebody has laid is not followed. */
static void links(void **state)
{
	const char *directory = *state;
	char path[PATH_MAX], target[PATH_MAX];

	snprintf(path, sizeof(path), "%s/a", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(target, sizeof(target), "%s/target", directory);
	assert_true(pair_path(directory, "a", "b", path, sizeof(path)));
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(pair_make(directory, "a", "b", path, sizeof(path)), -EEXIST);
	assert_int_equal(access(target, F_OK), -1);
	remove_key(directory, "a", "b");
}

static void names(void **state)
{
	char name[PAIR_NAME + 2];

	(void)state;
	assert_true(pair_is_name("florida"));
	assert_true(pair_is_name("vm-17.x_y"));
	assert_true(pair_is_name("7"));
	assert_false(pair_is_name(""));
	assert_false(pair_is_name("."));
	assert_false(pair_is_name(".."));
	assert_false(pair_is_name("-x"));
	assert_false(pair_is_name("_x"));
	assert_false(pair_is_name("a/b"));
	assert_false(pair_is_name("a b"));
	memset(name, 'x', sizeof(name));
	name[PAIR_NAME] = '\0';
	assert_true(pair_is_name(name));
	name[PAIR_NAME] = 'x';
	name[PAIR_NAME + 1] = '\0';
	assert_false(pair_is_name(name));
}

static void fails(void **state)
{
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(pair_make("/nonexistent/x", "a", "b", path, sizeof(path)), -ENOENT);
	assert_int_equal(pair_make("/dev/null", "a", "b", path, sizeof(path)), -ENOTDIR);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_ends),	 TEST(never_overwritten), TEST(links),
		cmocka_unit_test(names), cmocka_unit_test(fails),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
