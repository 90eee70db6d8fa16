/*
 * vine-authority's commands for who looks after it, on its own machine: backup, restore,
 * check.
 */
#ifndef AUTHORITY_MAINTAIN_H
#define AUTHORITY_MAINTAIN_H

#include "authority/settings.h"

/* Exit codes; what is wrong is on stderr. */
int maintain_backup(const struct settings *, const char *file);
/* Of a configuration that may not be there yet: then it is the backup's. */
int maintain_restore(const char *config, const char *file);
/* Once after a store was restored otherwise (etcd's own snapshots, a copy of the file): raises
 * the generation of tables. */
int maintain_restored(const struct settings *);
/* 0 fine, 1 warnings, 2 critical, 3 not known: as monitoring plug-ins say it. */
int maintain_check(const struct settings *);

#endif
