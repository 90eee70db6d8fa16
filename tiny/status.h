/*
 * How a vine-tiny is, asked by another process: whoever connects to the socket that its
 * process holds (lock.h) is told in a few lines, "KEY: VALUE" each, "state: up" or "state: down"
 * first. It is no secret, and nobody can say anything to it.
 */
#ifndef TINY_STATUS_H
#define TINY_STATUS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/loop.h"
#include "tiny/tiny.h"

struct status {
	struct source source;
	const struct tiny *tiny;
};

/* Answers on this socket, which stays the caller's, from now on. 0 or -errno. */
int status_open(struct status *, int fd, struct loop *, const struct tiny *);
void status_close(struct status *, struct loop *);

/* Asks the one that holds a device, and prints what it says, or that there is none. Whether it
 * is up. */
bool status_ask(const char *device, FILE *out);

#endif
