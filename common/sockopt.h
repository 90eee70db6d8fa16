/*
 * Options of sockets that are a number, which most are.
 */
#ifndef COMMON_SOCKOPT_H
#define COMMON_SOCKOPT_H

#include <errno.h>
#include <sys/socket.h>

/* 0 or -errno. */
static inline int sockopt_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

#endif
