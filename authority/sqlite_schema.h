/*
 * The SQLite file's schema, from any version of it to this one.
 *
 * One table holds what is and what was: a row is a key's value from the revision that
 * wrote it until the one that replaced it. A deletion is a row without a value that is
 * over at once. So a list as of a revision, a watch from one, and forgetting are each
 * one query by an index.
 */
#ifndef AUTHORITY_SQLITE_SCHEMA_H
#define AUTHORITY_SQLITE_SCHEMA_H

#include <sqlite3.h>

#include "authority/store.h"

/* A row that still is. */
#define SCHEMA_NOW "9223372036854775807"

/* Checks that the file is ours, not newer than this program and undamaged, and brings it
 * up to date. On failure says why in error. */
int sqlite_schema_open(sqlite3 *, const char *path, char error[STORE_ERROR]);

#endif
