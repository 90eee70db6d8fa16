/*
 * Backups: the store as of one revision, and the files without which it is of no use (CA,
 * keys, configuration), in one file.
 *
 * Lines of JSON. The first says what it is, then come files and records, and the last has
 * their number and the SHA-256 of all bytes before it:
 *
 *   {"vine_authority_backup": 1, "made": MS, "revision": N, "records": N}
 *   {"file": "ca.key", "mode": 384, "text": PEM}
 *   {"key": "vn/8000", "value": {...}}
 *   {"entries": N, "sha256": HEX}
 *
 * `records` is the version of the records (schema.h): those of an earlier one are made anew.
 * What ends before its last line, or has another sum, is refused whole. Keys that a lease
 * holds stand for processes and are left out. It holds every secret of the authority: 0600.
 */
#ifndef AUTHORITY_BACKUP_H
#define AUTHORITY_BACKUP_H

#include <stddef.h>
#include <stdint.h>

#include "authority/store.h"

#define BACKUP_ERROR 512
#define BACKUP_CONFIG "authority.conf" /* its name in a backup, whatever it was called */
#define BACKUP_UNFINISHED "restoring"  /* a store that has this key is half restored */

struct backup {
	uint64_t revision, made; /* ms since 1970 */
	size_t entries, files;
};

/* Writes one, from where the descriptor is, and to disk. Changes of the store go on
 * meanwhile. config may be NULL. 0 or -errno, with words. */
int backup_write(struct store *, const char *directory, const char *config, int fd, uint64_t now,
		 struct backup *ret, char error[static BACKUP_ERROR]);

/* Whether it is whole. *ret_config (may be NULL) is the configuration's text, to be freed,
 * or NULL. -EBADMSG: damaged, or none; -errno. */
int backup_verify(int fd, struct backup *ret, char **ret_config, char error[static BACKUP_ERROR]);

/* Without tokens and delegated credentials, which may have been used or revoked since.
 * Into a directory without such files (or with the same) and a store that is empty, or
 * where this very restore was broken off. The generation of tables is raised beyond any that
 * there has been, so that routers take those of the restored authority. */
int backup_restore(int fd, struct store *, const char *directory, uint64_t now, struct backup *ret,
		   char error[static BACKUP_ERROR]);

/* The generation after one, when a store is restored: seconds since 1970, which is beyond what
 * an earlier restore of the same backup was given. */
uint64_t backup_generation(uint64_t was, uint64_t now);

#endif
