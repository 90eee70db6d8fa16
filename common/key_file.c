/*
 * Key files: 32 bytes in base64, for nobody's eyes but their owner's.
 */
#include "common/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *key_file_read(const char *path, uint8_t key[static CRYPTO_KEY],
			  char room[static KEY_FILE_WHY])
{
	char text[128];
	struct stat st;
	const char *wrong = "";
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		snprintf(room, KEY_FILE_WHY, "can't be opened: %s", strerror(errno));
		return room;
	}
	if (fstat(fd, &st)) {
		wrong = "can't be looked at";
	} else if (!S_ISREG(st.st_mode)) {
		wrong = "is no regular file";
	} else if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(room, KEY_FILE_WHY, "is open to group or others (mode %04o)",
			 (unsigned)st.st_mode & 07777);
		wrong = room;
	} else {
		n = read(fd, text, sizeof(text) - 1);
		while (n > 0 && strchr(" \t\r\n", text[n - 1]))
			n--;
		text[n > 0 ? n : 0] = '\0';
		if (!crypto_key_parse(text, key))
			wrong = "holds no key";
		crypto_wipe(text, sizeof(text));
	}
	close(fd);
	return wrong;
}
