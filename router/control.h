/*
 * The control socket of a router: UNIX, stream, one JSON object a line each way
 * (verbs.h). Belongs to the control thread and its loop.
 *
 * A series of pings is answered by several lines: all but the last have
 * "more": true.
 */
#ifndef ROUTER_CONTROL_H
#define ROUTER_CONTROL_H

#include <stdio.h>

#include "router/verbs.h"

#define CONTROL_CONNECTIONS 16
#define CONTROL_PENDING (8 << 20) /* bytes that wait for a slow reader */
#define CONTROL_IDLE (30 * SEC)	  /* nothing read or written for longer: closed */

struct control;

/* Listens at path, mode 0600, and makes its directory if it is missing. A socket
 * that nobody listens at is replaced, one of a living router is not. NULL, with a
 * line on errors, if it can't. */
struct control *control_open(struct router *, struct control_hooks, const char *path, FILE *errors);
/* Closes connections too and removes the socket. NULL is fine. */
void control_close(struct control *);

#endif
