/*
 * Which version the records of a store have, and making those of an earlier one anew.
 *
 * The key "schema" has it: {"version": N}. Where there is none, it is the first.
 */
#ifndef AUTHORITY_SCHEMA_H
#define AUTHORITY_SCHEMA_H

#include "authority/store.h"

#define SCHEMA_KEY "schema"
#define SCHEMA_FIRST 1

/* Before anything else is read of a store that is going to be served: 0, and its records are
 * of RECORDS_VERSION. Nothing is done to one that is empty. Several processes may do this at
 * once; one that is killed half way is followed by the next. -EPERM: they are of a later
 * version. -errno of the store. With words. */
int schema_open(struct store *, char error[static STORE_ERROR]);

#endif
