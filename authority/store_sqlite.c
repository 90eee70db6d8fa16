/*
 * The store in an SQLite file, for one authority process.
 *
 * One connection, one mutex around it: a commit is an fsync, and what waits for it
 * waits that long. The file is locked for this process (sqlite_schema.c), so all changes
 * are made here, and a watch needs no more than its place in the history: its descriptor
 * is a timer that goes off at once when there are changes beyond that place.
 *
 * Leases are in memory and end with the process, as the keys that they hold stand for
 * the process: what a killed one left goes when the file is opened. One that ran out is
 * noticed by the next call, or by a watch, whose timer is set for that moment too.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "authority/sqlite_schema.h"
#include "authority/store_private.h"
#include "common/list.h"

#define NOW INT64_MAX
#define SECOND 1000000000LL
#define RETRY SECOND /* to delete what a lease held, when that failed */
#define FORGET 64    /* rows of history that a commit clears away, and two per change */

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	LATEST,
	LIST,
	BEYOND,
	REPLACE,
	INSERT,
	META,
	FORGOTTEN,
	LEASED,
	STATEMENTS,
};

static const char *const statements[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[LATEST] = "SELECT key, value, revision, lease, until FROM version WHERE key = ?1"
		   " ORDER BY revision DESC LIMIT 1",
	[LIST] = "SELECT key, value, revision, lease FROM version WHERE key >= ?1 AND key < ?2"
		 " AND revision <= ?3 AND until > ?3 ORDER BY key LIMIT ?4",
	[BEYOND] = "SELECT key, value, revision, lease FROM version WHERE revision ="
		   " (SELECT min(revision) FROM version WHERE revision > ?1) ORDER BY key",
	[REPLACE] = "UPDATE version SET until = ?3 WHERE key = ?1 AND revision = ?2",
	[INSERT] = "INSERT INTO version(key, value, revision, lease, until)"
		   " VALUES(?1, ?2, ?3, ?4, ?5)",
	[META] = "UPDATE meta SET revision = ?1, trimmed = ?2",
	[FORGOTTEN] = "DELETE FROM version WHERE rowid IN"
		      " (SELECT rowid FROM version WHERE until < " SCHEMA_NOW
		      " AND until <= ?1 LIMIT ?2)",
	[LEASED] = "SELECT key FROM version WHERE lease <> 0 AND until = " SCHEMA_NOW
		   " AND (?1 = 0 OR lease = ?1)",
};

struct lease {
	struct list node;
	uint64_t name;
	int64_t length, end; /* ns; by the clock of now() */
	bool over;	     /* but what it held is not deleted yet */
};

struct store_sqlite {
	struct store store;
	pthread_mutex_t lock; /* of all that follows */
	sqlite3 *db;
	sqlite3_stmt *statement[STATEMENTS];
	uint64_t revision; /* of the last transaction */
	uint64_t trimmed;  /* history up to here is forgotten */
	struct list leases, watches;
};

struct watch {
	struct store_watch watch;
	struct list node;
	uint64_t after;
};

static struct store_sqlite *of(struct store *s)
{
	return (struct store_sqlite *)s;
}

static struct lease *lease_of(struct list *node)
{
	return container_of(node, struct lease, node);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static int failed(struct store_sqlite *s, int code)
{
	const char *why = sqlite3_errmsg(s->db);

	switch (code & 0xff) {
	case SQLITE_FULL: return store_fail(&s->store, -ENOSPC, "no space for the store: %s", why);
	case SQLITE_NOMEM: return store_fail(&s->store, -ENOMEM, "out of memory");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return store_fail(&s->store, -EIO,
				  "the store is damaged: %s; restore it from a backup", why);
	default: return store_fail(&s->store, -EIO, "the store's file: %s", why);
	}
}

/* Runs a statement that has its values and gives no rows. */
static int run(struct store_sqlite *s, enum statement which)
{
	sqlite3_stmt *st = s->statement[which];
	int r = sqlite3_step(st);

	r = r == SQLITE_DONE ? 0 : failed(s, r);
	sqlite3_reset(st);
	return r;
}

static void bind_key(sqlite3_stmt *st, int i, const char *key, size_t size)
{
	sqlite3_bind_blob(st, i, size ? key : "", (int)size, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *st, int i, uint64_t number)
{
	sqlite3_bind_int64(st, i, (int64_t)number);
}

/* The row that a statement is at: key, value, revision, lease. */
static int add_row(struct store_sqlite *s, sqlite3_stmt *st, struct store_page *page)
{
	struct store_entry e = {
		.size = (size_t)sqlite3_column_bytes(st, 1),
		.revision = (uint64_t)sqlite3_column_int64(st, 2),
		.lease = (uint64_t)sqlite3_column_int64(st, 3),
	};

	if (sqlite3_column_type(st, 1) != SQLITE_NULL)
		e.value = e.size ? sqlite3_column_blob(st, 1) : "";
	if (sqlite3_column_bytes(st, 0) > STORE_KEY_MAX)
		return store_fail(&s->store, -EIO, "the store is damaged: a key of %d bytes",
				  sqlite3_column_bytes(st, 0));
	if (store_page_add(page, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0),
			   &e) < 0)
		return store_fail(&s->store, -ENOMEM, "out of memory");
	return 0;
}

/* Adds all rows of a statement that has its values. */
static int add_rows(struct store_sqlite *s, enum statement which, struct store_page *page)
{
	sqlite3_stmt *st = s->statement[which];
	int r, code;

	r = 0;
	while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
		r = add_row(s, st, page);
	if (r == 0 && code != SQLITE_DONE)
		r = failed(s, code);
	sqlite3_reset(st);
	return r;
}

/* Sets when a watch's descriptor becomes readable. */
static void arm(struct store_sqlite *s, struct watch *w)
{
	int64_t when = 0;

	if (w->after < s->revision)
		when = 1;
	else
		list_for_each(node, &s->leases)
			if (when == 0 || lease_of(node)->end < when)
				when = lease_of(node)->end;
	timerfd_settime(w->watch.fd, TFD_TIMER_ABSTIME,
			&(struct itimerspec){ .it_value = { when / SECOND, when % SECOND } }, NULL);
}

static void arm_all(struct store_sqlite *s)
{
	list_for_each(node, &s->watches)
		arm(s, container_of(node, struct watch, node));
}

static struct lease *lease_lookup(struct store_sqlite *s, uint64_t name)
{
	list_for_each(node, &s->leases)
		if (lease_of(node)->name == name && !lease_of(node)->over)
			return lease_of(node);
	return NULL;
}

/* What a key is: its revision, 0 if it is not there, and lease. */
static int latest(struct store_sqlite *s, const char *key, uint64_t *ret_revision,
		  uint64_t *ret_lease)
{
	sqlite3_stmt *st = s->statement[LATEST];
	bool is;
	int r;

	bind_key(st, 1, key, strlen(key));
	r = sqlite3_step(st);
	if (r != SQLITE_ROW && r != SQLITE_DONE) {
		r = failed(s, r);
		sqlite3_reset(st);
		return r;
	}
	is = r == SQLITE_ROW && sqlite3_column_int64(st, 4) == NOW;
	*ret_revision = is ? (uint64_t)sqlite3_column_int64(st, 2) : 0;
	*ret_lease = is ? (uint64_t)sqlite3_column_int64(st, 3) : 0;
	sqlite3_reset(st);
	return 0;
}

static int check(struct store_sqlite *s, const struct store_condition *c)
{
	uint64_t revision, lease;
	bool holds = false;
	int r = latest(s, c->key, &revision, &lease);

	if (r < 0)
		return r;
	switch (c->test) {
	case STORE_ABSENT: holds = revision == 0; break;
	case STORE_AT: holds = revision == c->is; break;
	case STORE_LEASED: holds = lease == c->is; break;
	}
	return holds ? 0
		     : store_fail(&s->store, -EAGAIN, "%.64s is not as it was expected", c->key);
}

static int change(struct store_sqlite *s, const struct store_entry *e, uint64_t revision)
{
	const size_t size = strlen(e->key);
	sqlite3_stmt *st;
	uint64_t old, lease;
	int r;

	if (e->lease && !lease_lookup(s, e->lease))
		return store_fail(&s->store, -ENOENT, "the lease of %.64s has ended", e->key);
	if ((r = latest(s, e->key, &old, &lease)) < 0)
		return r;
	if (old) {
		st = s->statement[REPLACE];
		bind_key(st, 1, e->key, size);
		bind_number(st, 2, old);
		bind_number(st, 3, revision);
		if ((r = run(s, REPLACE)) < 0)
			return r;
	} else if (!e->value) {
		return 0;
	}
	st = s->statement[INSERT];
	bind_key(st, 1, e->key, size);
	if (e->value)
		bind_key(st, 2, e->value, e->size);
	else
		sqlite3_bind_null(st, 2);
	bind_number(st, 3, revision);
	bind_number(st, 4, e->lease);
	bind_number(st, 5, e->value ? NOW : revision);
	return run(s, INSERT);
}

/* The end of each transaction: the new revision, and some of the history away. */
static int conclude(struct store_sqlite *s, uint64_t revision, uint64_t trimmed, size_t forget)
{
	int r;

	bind_number(s->statement[META], 1, revision);
	bind_number(s->statement[META], 2, trimmed);
	if ((r = run(s, META)) < 0)
		return r;
	bind_number(s->statement[FORGOTTEN], 1, trimmed);
	bind_number(s->statement[FORGOTTEN], 2, forget);
	if ((r = run(s, FORGOTTEN)) < 0)
		return r;
	return run(s, COMMIT);
}

/* One transaction, the lock held. */
static int commit(struct store_sqlite *s, const struct store_transaction *t)
{
	const uint64_t revision = s->revision + 1;
	uint64_t trimmed = s->trimmed;
	int r = run(s, BEGIN);

	if (r < 0)
		return r;
	if (revision > STORE_HISTORY && revision - STORE_HISTORY > trimmed)
		trimmed = revision - STORE_HISTORY;
	for (size_t i = 0; r == 0 && i < t->n_conditions; i++)
		r = check(s, &t->conditions[i]);
	for (size_t i = 0; r == 0 && i < t->n_changes; i++)
		r = change(s, &t->changes[i], revision);
	if (r == 0)
		r = conclude(s, revision, trimmed, FORGET + 2 * t->n_changes);
	if (r < 0) {
		/* Some errors have rolled it back already. */
		if (!sqlite3_get_autocommit(s->db)) {
			sqlite3_step(s->statement[ROLLBACK]);
			sqlite3_reset(s->statement[ROLLBACK]);
		}
		return r;
	}
	s->revision = revision;
	s->trimmed = trimmed;
	arm_all(s);
	return 0;
}

/* Deletes the keys of a lease; 0: of all there ever were. */
static int delete_leased(struct store_sqlite *s, uint64_t lease)
{
	sqlite3_stmt *st = s->statement[LEASED];
	struct store_page keys = { .n = 0 };
	struct store_entry none = { .value = NULL };
	int code, r = 0;

	bind_number(st, 1, lease);
	while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW)
		if (store_page_add(&keys, sqlite3_column_blob(st, 0),
				   (size_t)sqlite3_column_bytes(st, 0), &none) < 0)
			r = store_fail(&s->store, -ENOMEM, "out of memory");
	if (r == 0 && code != SQLITE_DONE)
		r = failed(s, code);
	sqlite3_reset(st);
	if (r == 0 && keys.n > 0)
		r = commit(s, &(struct store_transaction){ .changes = keys.entries,
							   .n_changes = keys.n });
	store_page_done(&keys);
	return r;
}

static int lease_end(struct store_sqlite *s, struct lease *l)
{
	int r;

	l->over = true;
	r = delete_leased(s, l->name);
	if (r < 0) {
		l->end = now() + RETRY;
		return r;
	}
	list_remove(&l->node);
	free(l);
	return 0;
}

/* The beginning of each call: takes the lock, ends the leases that ran out. */
static struct store_sqlite *enter(struct store *store)
{
	struct store_sqlite *s = of(store);
	const int64_t t = now();

	pthread_mutex_lock(&s->lock);
	list_for_each(node, &s->leases)
		if (lease_of(node)->end <= t)
			lease_end(s, lease_of(node));
	return s;
}

static int leave(struct store_sqlite *s, int r)
{
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int sqlite_get(struct store *store, const char *key, struct store_page *page)
{
	struct store_sqlite *s = enter(store);
	sqlite3_stmt *st = s->statement[LATEST];
	int r, code;

	page->revision = s->revision;
	bind_key(st, 1, key, strlen(key));
	code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		r = sqlite3_column_int64(st, 4) == NOW ? add_row(s, st, page) : 0;
	else
		r = code == SQLITE_DONE ? 0 : failed(s, code);
	sqlite3_reset(st);
	return leave(s, r);
}

static int forgotten(struct store_sqlite *s, uint64_t revision)
{
	return store_fail(&s->store, -ESTALE, "revision %llu is forgotten; read anew",
			  (unsigned long long)revision);
}

static int sqlite_list(struct store *store, const struct store_range *range,
		       struct store_page *page)
{
	const char *first = range->after ? range->after : range->prefix;
	char end[STORE_KEY_MAX + 1];
	size_t end_size;
	struct store_sqlite *s = enter(store);
	sqlite3_stmt *st = s->statement[LIST];
	int r;

	page->revision = range->revision ? range->revision : s->revision;
	if (page->revision < s->trimmed)
		return leave(s, forgotten(s, page->revision));
	if (page->revision > s->revision)
		return leave(s, store_fail(store, -EINVAL, "that revision is not reached yet"));
	end_size = strlen(range->prefix);
	memcpy(end, range->prefix, end_size);
	end_size = store_prefix_end(end, end_size);
	if (end_size == 0) { /* more than any key */
		end_size = sizeof(end);
		memset(end, 0xff, end_size);
	}
	/* With its NUL: the first key beyond that one. */
	bind_key(st, 1, first, strlen(first) + (range->after ? 1 : 0));
	bind_key(st, 2, end, end_size);
	bind_number(st, 3, page->revision);
	bind_number(st, 4, range->limit + 1);
	r = add_rows(s, LIST, page);
	if (r == 0 && page->n > range->limit) {
		page->more = true;
		free((void *)page->entries[--page->n].key);
	}
	return leave(s, r);
}

static int sqlite_commit(struct store *store, const struct store_transaction *t,
			 uint64_t *ret_revision)
{
	struct store_sqlite *s = enter(store);
	const int r = commit(s, t);

	if (r == 0)
		*ret_revision = s->revision;
	return leave(s, r);
}

/* The rows go with later commits. */
static int sqlite_trim(struct store *store, uint64_t revision)
{
	struct store_sqlite *s = enter(store);
	int r;

	if (revision > s->revision)
		return leave(s, store_fail(store, -EINVAL, "that revision is not reached yet"));
	if (revision <= s->trimmed)
		return leave(s, 0);
	r = run(s, BEGIN);
	if (r == 0)
		r = conclude(s, s->revision, revision, FORGET);
	if (r == 0)
		s->trimmed = revision;
	else if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return leave(s, r);
}

static int sqlite_watch_open(struct store *store, uint64_t after, struct store_watch **ret_watch)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct store_sqlite *s;

	if (!w)
		return store_fail(store, -ENOMEM, "out of memory");
	w->watch = (struct store_watch){
		.store = store,
		.fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC),
	};
	if (w->watch.fd < 0) {
		free(w);
		return store_fail(store, -ENOMEM, "cannot make a timer: %s", strerror(errno));
	}
	w->after = after;
	s = enter(store);
	list_insert(&s->watches, &w->node);
	arm(s, w);
	*ret_watch = &w->watch;
	return leave(s, 0);
}

static void sqlite_watch_close(struct store_watch *watch)
{
	struct watch *w = (struct watch *)watch;
	struct store_sqlite *s = enter(watch->store);

	list_remove(&w->node);
	close(watch->fd);
	free(w);
	leave(s, 0);
}

static int sqlite_watch_next(struct store_watch *watch, struct store_page *page)
{
	struct watch *w = (struct watch *)watch;
	struct store_sqlite *s = enter(watch->store);
	sqlite3_stmt *st = s->statement[BEYOND];
	int r;

	if (w->after < s->trimmed)
		return leave(s, forgotten(s, w->after));
	bind_number(st, 1, w->after);
	r = w->after < s->revision ? add_rows(s, BEYOND, page) : 0;
	if (r < 0)
		return leave(s, r);
	/* Transactions that changed nothing leave no rows. */
	page->revision = page->n > 0 ? page->entries[0].revision : s->revision;
	if (w->after < page->revision)
		w->after = page->revision;
	arm(s, w);
	return leave(s, page->n > 0 ? 0 : -EAGAIN);
}

static int sqlite_lease_grant(struct store *store, unsigned seconds, uint64_t *ret_lease,
			      unsigned *ret_seconds)
{
	struct lease *l = calloc(1, sizeof(*l));
	struct store_sqlite *s = enter(store);

	if (!l)
		return leave(s, store_fail(store, -ENOMEM, "out of memory"));
	*l = (struct lease){
		.name = store_lease_name(),
		.length = seconds * SECOND,
		.end = now() + seconds * SECOND,
	};
	list_insert(&s->leases, &l->node);
	arm_all(s);
	*ret_lease = l->name;
	*ret_seconds = seconds;
	return leave(s, 0);
}

static int sqlite_lease_keep(struct store *store, uint64_t name)
{
	struct store_sqlite *s = enter(store);
	struct lease *l = lease_lookup(s, name);

	if (!l)
		return leave(s, store_fail(store, -ENOENT, "the lease has ended"));
	l->end = now() + l->length;
	arm_all(s);
	return leave(s, 0);
}

static int sqlite_lease_revoke(struct store *store, uint64_t name)
{
	struct store_sqlite *s = enter(store);
	struct lease *l = lease_lookup(s, name);

	return leave(s, l ? lease_end(s, l) : store_fail(store, -ENOENT, "the lease has ended"));
}

static void sqlite_close(struct store *store)
{
	struct store_sqlite *s = of(store);

	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statement[i]);
	sqlite3_close(s->db);
	list_for_each(node, &s->leases)
		free(lease_of(node));
	pthread_mutex_destroy(&s->lock);
	store_done(store);
	free(s);
}

static const struct store_ops ops = {
	.close = sqlite_close,
	.get = sqlite_get,
	.list = sqlite_list,
	.commit = sqlite_commit,
	.trim = sqlite_trim,
	.watch_open = sqlite_watch_open,
	.watch_close = sqlite_watch_close,
	.watch_next = sqlite_watch_next,
	.lease_grant = sqlite_lease_grant,
	.lease_keep = sqlite_lease_keep,
	.lease_revoke = sqlite_lease_revoke,
};

/* Makes the file, if it is not there, for its owner only, and its name durable, which
 * SQLite leaves to others. One that is there is not opened: to close it would take the
 * locks away that this process may have on it. */
static int make_file(const char *path, char error[STORE_ERROR])
{
	char *copy = strdup(path);
	int directory, fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 && errno != EEXIST ? -errno : 0;

	if (r < 0)
		snprintf(error, STORE_ERROR, "cannot make the store %s: %s", path, strerror(-r));
	directory = fd < 0 || !copy ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0) {
		fsync(directory);
		close(directory);
	}
	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

static int prepare(struct store_sqlite *s)
{
	sqlite3_stmt *st;
	int r;

	for (size_t i = 0; i < STATEMENTS; i++) {
		r = sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &s->statement[i], NULL);
		if (r != SQLITE_OK)
			return failed(s, r);
	}
	r = sqlite3_prepare_v2(s->db, "SELECT revision, trimmed FROM meta", -1, &st, NULL);
	if (r == SQLITE_OK && (r = sqlite3_step(st)) == SQLITE_ROW) {
		s->revision = (uint64_t)sqlite3_column_int64(st, 0);
		s->trimmed = (uint64_t)sqlite3_column_int64(st, 1);
		r = SQLITE_OK;
	}
	sqlite3_finalize(st);
	if (r != SQLITE_OK)
		return failed(s, r == SQLITE_DONE ? SQLITE_CORRUPT : r);
	return delete_leased(s, 0);
}

int store_sqlite_open(const char *path, struct store **ret_store, char error[STORE_ERROR])
{
	struct store_sqlite *s;
	int r = make_file(path, error);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	store_init(&s->store, &ops);
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->leases);
	list_init(&s->watches);
	r = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r != SQLITE_OK) {
		snprintf(error, STORE_ERROR, "cannot open the store %s: %s", path,
			 s->db ? sqlite3_errmsg(s->db) : "out of memory");
		r = -EIO;
	} else {
		sqlite3_busy_timeout(s->db, STORE_DEADLINE / 2);
		r = sqlite_schema_open(s->db, path, error);
		if (r == 0 && (r = prepare(s)) < 0)
			store_error(&s->store, error);
	}
	if (r < 0) {
		sqlite_close(&s->store);
		return r;
	}
	*ret_store = &s->store;
	return 0;
}
