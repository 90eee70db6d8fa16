/* links: router/stored router/disk common/feed common/image common/image_code
 * common/image_change common/image_tiny common/network common/sign common/addr common/wire common/loop
 * common/clock */
/*
 * The last good tables on disk: what is there after a restart, whatever was cut, altered or
 * full; and the thread that writes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "router/stored.h"
#include "tests/unit/image_world.h"

struct place {
	char directory[64], file[80];
	struct loop *loop;
	struct disk *disk;
	struct signer *signer;
	struct stored stored;
	int told, error;
};

static void on_disk(void *arg, int error, mono_t now)
{
	struct place *p = arg;

	(void)now;
	p->told++;
	p->error = error;
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->directory, "/tmp/vine-stored-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->file, sizeof(p->file), "%s/tables", p->directory);
	p->loop = loop_new();
	p->disk = disk_open(p->loop);
	p->signer = signer_new(image_seed);
	assert_true(p->loop && p->disk && p->signer);
	assert_true(stored_init(&p->stored, p->disk, p->directory));
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	disk_close(p->disk);
	stored_done(&p->stored);
	signer_free(p->signer);
	loop_free(p->loop);
	unlink(p->file);
	rmdir(p->directory);
	free(p);
	return 0;
}

/* Waits until everything that was begun is told. */
static void wait_told(struct place *p, int n)
{
	while (p->told < n)
		loop_turn(p->loop, SEC);
	assert_int_equal(p->told, n);
}

static struct image *image_at(uint64_t number, size_t rows)
{
	struct image *image = image_new();
	char text[100][24];
	const char *list[101] = { NULL };

	image->router = 1;
	image->version = (struct version){ 1, number };
	for (size_t i = 0; i < rows && i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "1 172.16.1.%zu/32", i + 1);
		list[i] = text[i];
	}
	image_add_network(image, 8000, SIDES, list);
	return image;
}

/* Stores images with so many rows, the first whole, then changes. */
static void put_series(struct place *p, const size_t *rows, size_t n)
{
	struct image *last = NULL;
	int from = p->told;

	for (size_t i = 0; i < n; i++) {
		struct image *image = image_at(i + 1, rows[i]);
		struct image_change *change = last ? image_change_new(last, image) : NULL;
		size_t len;
		uint8_t *bytes = change ? image_change_encode(change, p->signer, &len)
					: image_encode(image, p->signer, &len);

		stored_put(&p->stored, bytes, len, on_disk, p);
		wait_told(p, from + (int)i + 1);
		assert_int_equal(p->error, 0);
		free(bytes);
		image_change_free(change);
		image_free(last);
		last = image;
	}
	image_free(last);
}

/* What a router would start from: the version's number; 0: nothing. */
static uint64_t load(struct place *p, uint32_t self, int *ret_error, struct stored *ret)
{
	char words[FEED_ERROR];
	struct image *image;
	uint64_t number;

	assert_true(stored_init(ret, p->disk, p->directory));
	*ret_error = stored_load(ret, self, signer_public(p->signer), &image, words);
	number = image ? image->version.number : 0;
	assert_true(!*ret_error || *words);
	image_free(image);
	stored_done(ret);
	return number;
}

static void a_whole_and_changes(void **state)
{
	struct place *p = *state;
	struct stored s;
	struct stat st;
	int e;

	assert_int_equal(load(p, 1, &e, &s), 0);
	assert_int_equal(e, 0);
	put_series(p, (size_t[]){ 2, 5, 3, 9 }, 4);
	assert_int_equal(load(p, 1, &e, &s), 4);
	assert_int_equal(e, 0);
	assert_int_equal(s.changes, 3);
	assert_int_equal(s.size, p->stored.size);
	assert_false(stored_wants_whole(&s));
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal((uint64_t)st.st_size, p->stored.size);
	/* another router's, another authority's */
	assert_int_equal(load(p, 2, &e, &s), 0);
	assert_int_equal(e, -EBADMSG);
	signer_free(p->signer);
	p->signer = signer_new((const uint8_t *)"another key of thirty-two bytes.");
	assert_int_equal(load(p, 1, &e, &s), 0);
	assert_int_equal(e, -EBADMSG);
}

/* Cut at any length there is an older version, or nothing: never a wrong one; and what
 * follows goes on from there once there is a whole one again. */
static void cut_anywhere(void **state)
{
	struct place *p = *state;
	uint64_t last = 0, number;
	struct stored s;
	off_t size;
	int e, fd;

	put_series(p, (size_t[]){ 2, 5, 3 }, 3);
	fd = open(p->file, O_RDWR);
	size = lseek(fd, 0, SEEK_END);
	for (off_t n = size - 1; n >= 0; n--) {
		assert_int_equal(ftruncate(fd, n), 0);
		number = load(p, 1, &e, &s);
		assert_in_range(number, 0, 2);
		assert_true(!last || number <= last);
		assert_true((number == 0) == (e != 0));
		assert_true(s.behind || (uint64_t)n == s.size);
		last = number;
	}
	close(fd);
}

static void altered_anywhere(void **state)
{
	struct place *p = *state;
	struct stored s;
	uint8_t byte;
	off_t size;
	int e, fd;

	put_series(p, (size_t[]){ 2, 5 }, 2);
	fd = open(p->file, O_RDWR);
	size = lseek(fd, 0, SEEK_END);
	for (off_t n = 0; n < size; n++) {
		assert_int_equal(pread(fd, &byte, 1, n), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, n), 1);
		assert_in_range(load(p, 1, &e, &s), 0, 1);
		assert_true(stored_wants_whole(&s));
		byte ^= 0x40;
		assert_int_equal(pwrite(fd, &byte, 1, n), 1);
	}
	close(fd);
	assert_int_equal(load(p, 1, &e, &s), 2);
}

static void changes_have_a_bound(void **state)
{
	size_t rows[1002];
	struct place *p = *state;

	for (size_t i = 0; i < 1001; i++)
		rows[i] = 2 + i % 2;
	put_series(p, rows, 200);
	assert_false(stored_wants_whole(&p->stored));
	put_series(p, rows, 1);
	p->told = 0;
	put_series(p, rows, 1001);
	assert_true(stored_wants_whole(&p->stored));
}

/* A write that fails leaves what was there; a change is not put behind a gap. */
static void a_write_fails(void **state)
{
	struct place *p = *state;
	struct image *image = image_at(5, 4);
	char away[80];
	size_t len;
	uint8_t *bytes = image_encode(image, p->signer, &len);
	struct stored s;
	int e;

	put_series(p, (size_t[]){ 2, 5 }, 2);
	snprintf(away, sizeof(away), "%s.away", p->directory);
	assert_int_equal(rename(p->directory, away), 0);
	stored_put(&p->stored, bytes, len, on_disk, p);
	wait_told(p, 3);
	assert_int_equal(p->error, -ENOENT);
	stored_failed(&p->stored);
	assert_int_equal(rename(away, p->directory), 0);
	assert_true(stored_wants_whole(&p->stored));
	assert_int_equal(load(p, 1, &e, &s), 2);
	bytes[5] = 2; /* a change, whatever it says */
	stored_put(&p->stored, bytes, len, on_disk, p);
	assert_int_equal(p->error, -ENODATA);
	bytes[5] = 1;
	stored_put(&p->stored, bytes, len, on_disk, p);
	wait_told(p, 5);
	assert_int_equal(p->error, 0);
	assert_false(stored_wants_whole(&p->stored));
	assert_int_equal(load(p, 1, &e, &s), 5);
	free(bytes);
	image_free(image);
}

/* Of a whole that fails and the changes behind it, given before that is known, nothing
 * touches the last good ones. */
static void a_change_behind_a_failure(void **state)
{
	struct place *p = *state;
	struct image *from = image_at(5, 1), *to = image_at(6, 2);
	struct image_change *change = image_change_new(from, to);
	char away[100];
	size_t n_whole, n_change;
	uint8_t *whole = image_encode(from, p->signer, &n_whole),
		*bytes = image_change_encode(change, p->signer, &n_change);
	struct stored s;
	int e;

	put_series(p, (size_t[]){ 50, 60, 70, 80 }, 4);
	snprintf(away, sizeof(away), "%s.new", p->file);
	assert_int_equal(mkdir(away, 0700), 0); /* in the way of the draft */
	stored_put(&p->stored, whole, n_whole, on_disk, p);
	stored_put(&p->stored, bytes, n_change, on_disk, p);
	wait_told(p, 6);
	assert_int_equal(p->error, -ECANCELED);
	assert_int_equal(load(p, 1, &e, &s), 4);
	assert_int_equal(e, 0);
	assert_int_equal(rmdir(away), 0);
	stored_put(&p->stored, whole, n_whole, on_disk, p);
	stored_put(&p->stored, bytes, n_change, on_disk, p);
	wait_told(p, 8);
	assert_int_equal(p->error, 0);
	assert_int_equal(load(p, 1, &e, &s), 6);
	/* somebody else has made it longer */
	assert_int_equal(truncate(p->file, (off_t)p->stored.size + 1), 0);
	stored_put(&p->stored, bytes, n_change, on_disk, p);
	wait_told(p, 9);
	assert_int_equal(p->error, -ESPIPE);
	free(whole);
	free(bytes);
	image_change_free(change);
	image_free(from);
	image_free(to);
}

/* What was begun is on disk when the disk is closed. */
static void closed_with_work(void **state)
{
	struct place *p = *state;
	struct image *image = image_at(5, 4);
	size_t len;
	uint8_t *bytes = image_encode(image, p->signer, &len);
	struct stored s;
	int e;

	for (int i = 0; i < 20; i++)
		stored_put(&p->stored, bytes, len, on_disk, p);
	disk_close(p->disk);
	p->disk = disk_open(p->loop);
	assert_int_equal(p->told, 0);
	assert_int_equal(load(p, 1, &e, &s), 5);
	free(bytes);
	image_free(image);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_whole_and_changes),	 TEST(cut_anywhere),  TEST(altered_anywhere),
		TEST(changes_have_a_bound),	 TEST(a_write_fails), TEST(closed_with_work),
		TEST(a_change_behind_a_failure),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
