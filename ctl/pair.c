/*
 * Key files. One directory for each router holds what goes to that router, so
 * that it can be copied as a whole, and the file in it is named after the other
 * end, as [peer NAME] is there.
 *
 * The file appears with its mode and under its name at once: O_EXCL, so that no
 * link and no older key is followed or lost. A key that could not be written
 * at both ends is taken away again.
 */
#include "ctl/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool pair_is_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(text);

	return len > 0 && len <= PAIR_NAME && !strchr("._-", text[0]) &&
	       strspn(text, allowed) == len;
}

bool pair_key(char text[static CRYPTO_KEY_TEXT + 1])
{
	uint8_t key[CRYPTO_KEY];

	if (!crypto_random(key, sizeof(key)))
		return false;
	crypto_key_format(key, text);
	strcat(text, "\n");
	crypto_wipe(key, sizeof(key));
	return true;
}

bool pair_path(const char *directory, const char *owner, const char *other, char *ret, size_t room)
{
	int n = snprintf(ret, room, "%s/%s/%s.key", directory, owner, other);

	return n >= 0 && (size_t)n < room;
}

/* The directory of the path; it may be there already. */
static int make_directory(char *path)
{
	char *slash = strrchr(path, '/');
	int r = 0;

	*slash = '\0';
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		r = -errno;
	*slash = '/';
	return r;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t len = strlen(text);
	int r = 0;

	if (fd < 0)
		return -errno;
	/* Whatever the umask was. */
	if (fchmod(fd, 0600) < 0)
		r = -errno;
	for (size_t done = 0; r == 0 && done < len;) {
		ssize_t n = write(fd, text + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			r = n == 0 ? -EIO : -errno;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlink(path);
	return r;
}

int pair_make(const char *directory, const char *a, const char *b, char *ret_path, size_t room)
{
	char text[CRYPTO_KEY_TEXT + 1], first[4096];
	int r;

	if (!pair_path(directory, a, b, first, sizeof(first)) ||
	    !pair_path(directory, b, a, ret_path, room))
		return -ENAMETOOLONG;
	if (!pair_key(text))
		return -EIO;
	if (mkdir(directory, 0700) < 0 && errno != EEXIST) {
		r = -errno;
		snprintf(ret_path, room, "%s", directory);
		goto out;
	}
	r = make_directory(first);
	if (r == 0)
		r = write_file(first, text);
	if (r < 0) {
		snprintf(ret_path, room, "%s", first);
		goto out;
	}
	r = make_directory(ret_path);
	if (r == 0)
		r = write_file(ret_path, text);
	if (r < 0)
		unlink(first);
out:
	crypto_wipe(text, sizeof(text));
	return r;
}
