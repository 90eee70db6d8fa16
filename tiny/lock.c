/*
 * The lock of a device, see lock.h.
 */
#include "tiny/lock.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* An abstract name begins with a zero, and has no end of its own. */
static socklen_t name_of(const char *device, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "vine-tiny/%s", device);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int lock_device(const char *device)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e;
	struct sockaddr_un name;
	socklen_t len = name_of(device, &name);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&name, len) == 0 && listen(fd, 128) == 0)
		return fd;
	e = -errno;
	close(fd);
	return e;
}

int lock_connect(const char *device)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), e;
	struct sockaddr_un name;
	socklen_t len = name_of(device, &name);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&name, len) == 0)
		return fd;
	e = -errno;
	close(fd);
	return e;
}

pid_t lock_holder(const char *device)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un name;
	socklen_t len = name_of(device, &name), size = sizeof(struct ucred);
	struct ucred who = { .pid = 0 };

	if (fd < 0)
		return 0;
	/* a queue that is full belongs to somebody too, who can't be named */
	if (connect(fd, (struct sockaddr *)&name, len) == 0)
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	close(fd);
	return who.pid;
}
