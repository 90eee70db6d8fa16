/*
 * See sqlite_schema.h. The file's user_version is the number of steps it has been taken
 * through; each step is never changed once released, only followed by another one. All
 * steps that a file lacks are one transaction, so a file is never between versions.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/sqlite_schema.h"

#define APPLICATION 0x56694e65 /* "ViNe" */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const steps[] = {
	/* 1: keys and their history */
	"CREATE TABLE meta(revision INTEGER NOT NULL, trimmed INTEGER NOT NULL);"
	"INSERT INTO meta VALUES(0, 0);"
	"CREATE TABLE version(key BLOB NOT NULL, revision INTEGER NOT NULL,"
	"	until INTEGER NOT NULL, value BLOB, PRIMARY KEY(key, revision));"
	"CREATE INDEX version_revision ON version(revision);"
	"CREATE INDEX version_until ON version(until) WHERE until < " SCHEMA_NOW ";",
	/* 2: leases */
	"ALTER TABLE version ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX version_lease ON version(lease) WHERE lease <> 0;",
};

/* The number in a statement's one row. */
static int ask_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
	sqlite3_stmt *st;
	int r = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (r != SQLITE_OK)
		return r;
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		*ret_number = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

static int damaged(const char *path, const char *what, char error[STORE_ERROR])
{
	snprintf(error, STORE_ERROR, "%s is damaged: %.120s; restore it from a backup", path, what);
	return -EIO;
}

static int refused(sqlite3 *db, int code, const char *path, char error[STORE_ERROR])
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(error, STORE_ERROR,
			 "%s is in use by another process; one at a time can have it", path);
		return -EPERM;
	case SQLITE_NOTADB:
		snprintf(error, STORE_ERROR, "%s is not a store of vine-authority", path);
		return -EPERM;
	case SQLITE_FULL: snprintf(error, STORE_ERROR, "no space to open %s", path); return -ENOSPC;
	case SQLITE_CORRUPT: return damaged(path, sqlite3_errmsg(db), error);
	default:
		snprintf(error, STORE_ERROR, "cannot open %s: %s (%d)", path, sqlite3_errmsg(db),
			 sqlite3_extended_errcode(db));
		return -EIO;
	}
}

static int check_whole(sqlite3 *db, const char *path, char error[STORE_ERROR])
{
	sqlite3_stmt *st;
	const char *text;
	int r = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);

	if (r != SQLITE_OK)
		return refused(db, r, path, error);
	r = sqlite3_step(st);
	text = r == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (r != SQLITE_ROW)
		r = refused(db, r, path, error);
	else
		r = text && strcmp(text, "ok") == 0 ? 0 : damaged(path, text ? text : "", error);
	sqlite3_finalize(st);
	return r;
}

static int upgrade(sqlite3 *db, size_t version)
{
	char number[96];
	int r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (; r == SQLITE_OK && version < COUNT(steps); version++)
		r = sqlite3_exec(db, steps[version], NULL, NULL, NULL);
	snprintf(number, sizeof(number), "PRAGMA user_version=%zu; PRAGMA application_id=%d",
		 version, APPLICATION);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, number, NULL, NULL, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return r;
}

int sqlite_schema_open(sqlite3 *db, const char *path, char error[STORE_ERROR])
{
	int64_t version = 0, application = 0, tables = 0;
	int r;

	/* One process, from the first look on: so there is no shared memory, for which a full
	 * disk would have no room. Then whose file it is, before anything is written. */
	if ((r = sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL)) !=
		    SQLITE_OK ||
	    (r = ask_number(db, "PRAGMA application_id", &application)) != SQLITE_OK ||
	    (r = ask_number(db, "PRAGMA user_version", &version)) != SQLITE_OK ||
	    (r = ask_number(db, "SELECT count(*) FROM sqlite_schema", &tables)) != SQLITE_OK)
		return refused(db, r, path, error);
	if (application != APPLICATION && (application || version || tables))
		return refused(db, SQLITE_NOTADB, path, error);
	if (version > (int64_t)COUNT(steps)) {
		snprintf(error, STORE_ERROR,
			 "%s was made by a newer vine-authority (schema %lld, this one knows %zu)",
			 path, (long long)version, COUNT(steps));
		return -EPERM;
	}
	/* FULL: a commit is on the disk when it returns. */
	r = sqlite3_exec(db,
			 "PRAGMA journal_mode=WAL;"
			 "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;"
			 "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON",
			 NULL, NULL, NULL);
	/* Takes the lock even of a file that needs nothing. */
	if (r == SQLITE_OK)
		r = sqlite3_exec(db, "BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL);
	if (r != SQLITE_OK)
		return refused(db, r, path, error);
	if ((r = check_whole(db, path, error)) < 0)
		return r;
	if (version < (int64_t)COUNT(steps) && (r = upgrade(db, (size_t)version)) != SQLITE_OK)
		return refused(db, r, path, error);
	return 0;
}
