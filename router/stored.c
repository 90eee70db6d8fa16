/*
 * See stored.h. Sizes are those that the file will have when the disk has done what it was
 * given: jobs are done in order.
 */
#include "router/stored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (2ull * IMAGE_MAX)
#define CHANGES_MAX 1000
#define CHANGES_LEAST (64u << 10) /* bytes: for less nothing is fetched */

static const uint8_t magic[5] = { 'V', 'i', 'N', 's', 1 };

bool stored_init(struct stored *s, struct disk *disk, const char *directory)
{
	*s = (struct stored){ .disk = disk };
	return asprintf(&s->path, "%s/" STORED_FILE, directory) >= 0;
}

void stored_done(struct stored *s)
{
	free(s->path);
}

/* A whole file, heap; NULL with errno. */
static uint8_t *read_file(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	uint8_t *data = NULL;
	size_t len = 0;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0)
		goto failed;
	errno = EFBIG;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX)
		goto failed;
	data = malloc((size_t)st.st_size + 1);
	while (data && len < (size_t)st.st_size) {
		n = read(fd, data + len, (size_t)st.st_size - len);
		if (n < 0 && errno != EINTR)
			goto failed;
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (data) {
		close(fd);
		*ret_len = len;
		return data;
	}
	errno = ENOMEM;
failed:
	error = errno;
	close(fd);
	free(data);
	errno = error;
	return NULL;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(uint8_t *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* Goes along what is in the file as far as it is good. */
static struct image *replay(struct stored *s, const uint8_t *data, size_t len, uint32_t self,
			    const uint8_t public_key[static SIGN_KEY],
			    char error[static FEED_ERROR])
{
	struct image *runs = NULL, *next;
	size_t at = sizeof(magic);

	snprintf(error, FEED_ERROR, "no tables are in it");
	if (len < at || memcmp(data, magic, at) != 0)
		return NULL;
	if (len > at)
		error[0] = '\0';
	while (at < len) {
		size_t n = len - at >= 4 ? get_u32(data + at) : 0;

		if (len - at < 4 || n > len - at - 4) {
			snprintf(error, FEED_ERROR, "the last of the tables is not whole");
			break;
		}
		if (feed_take(runs, self, public_key, data + at + 4, n, &next, error))
			break;
		image_free(runs);
		runs = next;
		at += 4 + n;
		if (s->base)
			s->changes++;
		else
			s->base = at;
		s->size = at;
	}
	return runs;
}

int stored_load(struct stored *s, uint32_t self, const uint8_t public_key[static SIGN_KEY],
		struct image **ret, char error[static FEED_ERROR])
{
	size_t len = 0;
	uint8_t *data = read_file(s->path, &len);
	int e = errno;

	*ret = NULL;
	error[0] = '\0';
	if (!data && e == ENOENT)
		return 0;
	if (!data) {
		snprintf(error, FEED_ERROR, "%s", strerror(e));
		return -e;
	}
	*ret = replay(s, data, len, self, public_key, error);
	s->behind = *error != '\0';
	free(data);
	return *ret ? 0 : -EBADMSG;
}

void stored_put(struct stored *s, const uint8_t *bytes, size_t len, disk_fn *fn, void *arg)
{
	bool whole = image_kind(bytes, len) == IMAGE_WHOLE;
	size_t head = whole ? sizeof(magic) : 0;
	uint8_t *record;

	if (!whole && (!s->size || s->behind || s->size + len > FILE_MAX)) {
		s->behind = true;
		fn(arg, -ENODATA, clock_now());
		return;
	}
	record = malloc(head + 4 + len);
	if (!record) {
		s->behind = true;
		fn(arg, -ENOMEM, clock_now());
		return;
	}
	memcpy(record, magic, head);
	put_u32(record + head, (uint32_t)len);
	memcpy(record + head + 4, bytes, len);
	len += head + 4;
	if (whole) {
		s->base = s->size = len;
		s->changes = 0;
		s->behind = false;
		disk_replace(s->disk, s->path, 0600, record, len, fn, arg);
	} else {
		disk_append(s->disk, s->path, s->size, record, len, fn, arg);
		s->size += len;
		s->changes++;
	}
	free(record);
}

void stored_failed(struct stored *s)
{
	s->behind = true;
}

bool stored_wants_whole(const struct stored *s)
{
	uint64_t changes = s->size - s->base;

	return s->behind || s->changes >= CHANGES_MAX ||
	       (changes > CHANGES_LEAST && changes > s->base);
}
