/*
 * Files written whole and kept: a thread beside the control thread, which must not wait for
 * a disk. Jobs are done one after the other; each is on disk (fsync) when it is told.
 */
#ifndef ROUTER_DISK_H
#define ROUTER_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

struct disk;

/* NULL with errno. The thread starts with the first job, and has the privileges that the
 * process has then. */
struct disk *disk_open(struct loop *);
/* Waits for what is under way, and does what is left; nothing more is told. NULL is fine. */
void disk_close(struct disk *);

/* `error` is 0 or -errno. */
typedef void disk_fn(void *arg, int error, mono_t now);

/* The file is to be these bytes, instead of what it was, or is not changed. Copies the
 * bytes. fn (may be NULL) is called once, in a later turn of the loop. */
void disk_replace(struct disk *, const char *path, unsigned mode, const void *data, size_t len,
		  disk_fn *, void *arg);
/* The file, which has `at` bytes, is to have these behind them: some, if it fails. -ESPIPE: it
 * has another size; -ECANCELED: the job before for it has failed. Then it is not touched. */
void disk_append(struct disk *, const char *path, uint64_t at, const void *data, size_t len,
		 disk_fn *, void *arg);

#endif
