/*
 * One vine-tiny for each device of a network namespace: who runs holds an abstract socket,
 * which is gone with the process, however that ends.
 */
#ifndef TINY_LOCK_H
#define TINY_LOCK_H

#include <sys/types.h>

/* A descriptor to be kept open, which doesn't block; -EADDRINUSE: another process has it; -errno. */
int lock_device(const char *device);
/* A connection to the process that has it (status.h); -errno: there is none. */
int lock_connect(const char *device);
/* The process that has it; 0: none. */
pid_t lock_holder(const char *device);

#endif
