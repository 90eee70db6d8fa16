/*
 * Signals as events of a loop: those that end a program, and SIGHUP.
 */
#ifndef COMMON_SIGNALS_H
#define COMMON_SIGNALS_H

#include "common/loop.h"

struct signals {
	struct source source;
	struct loop *loop;			  /* NULL: not open */
	void (*fn)(struct signals *, int signal); /* SIGTERM, SIGINT or SIGHUP */
};

/* From now on they come as events, and SIGPIPE is ignored. Threads that are to be spared are
 * begun later: they inherit it. 0 or -errno. */
int signals_open(struct signals *, struct loop *, void (*fn)(struct signals *, int signal));
void signals_close(struct signals *); /* one that is all zero, or was not opened, is fine */

#endif
