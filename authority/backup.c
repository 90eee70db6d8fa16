/*
 * Writing reads the store page by page, all as of the revision of the first page; if the
 * store has forgotten that meanwhile, it begins again.
 *
 * Restoring reads the file twice: once to see that it is whole, before anything is touched,
 * and once to do it. The record "order", without which nobody serves a store, is in the last
 * transaction; until then a mark says which backup is being restored.
 */
#include "authority/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "authority/memory.h"
#include "authority/published.h"
#include "authority/records.h"
#include "authority/schema.h"
#include "authority/service.h"
#include "common/pki.h"

#define FORMAT 1
#define LINE_MAX_BYTES (8u << 20)
#define TOGETHER 500		  /* records of a transaction */
#define BYTES_TOGETHER (2u << 20) /* ... and bytes, about */
enum { TRIES = 5, SUM = 32, SUM_TEXT = 2 * SUM + 1 };

/* Those of a CA's directory. */
static const struct {
	const char *name;
	unsigned mode;
} files[] = {
	{ "ca.crt", 0644 },	 { "ca.key", 0600 },	 { "ca-next.crt", 0644 },
	{ "ca-next.key", 0600 }, { "ca-old.crt", 0644 }, { "tables.key", 0600 },
	{ "tables.pub", 0644 },	 { "server.key", 0600 }, { BACKUP_CONFIG, 0644 },
};
#define FILES (sizeof(files) / sizeof(*files))

static int __attribute__((format(printf, 3, 4)))
failed(int code, char error[static BACKUP_ERROR], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, BACKUP_ERROR, format, args);
	va_end(args);
	return code;
}

static int store_failed(struct store *store, int code, char error[static BACKUP_ERROR])
{
	char text[STORE_ERROR];

	store_error(store, text);
	return failed(code, error, "%s", text);
}

static void sum_text(EVP_MD_CTX *sum, char ret[static SUM_TEXT])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	unsigned char bytes[SUM];

	if (!copy || EVP_MD_CTX_copy_ex(copy, sum) != 1 ||
	    EVP_DigestFinal_ex(copy, bytes, NULL) != 1)
		abort();
	EVP_MD_CTX_free(copy);
	for (int i = 0; i < SUM; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

static EVP_MD_CTX *sum_new(void)
{
	EVP_MD_CTX *sum = EVP_MD_CTX_new();

	if (!sum || EVP_DigestInit_ex(sum, EVP_sha256(), NULL) != 1)
		abort();
	return sum;
}

/* ---- writing ------------------------------------------------------------------- */

struct writer {
	FILE *out;
	EVP_MD_CTX *sum;
	struct backup *backup;
};

/* Takes over the JSON. Errors stay in the stream. */
static void put_line(struct writer *w, json_t *line)
{
	char *text = json_dumps(mem_json(line), JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;

	if (!text)
		abort();
	text[len] = '\n'; /* in the place of its NUL */
	EVP_DigestUpdate(w->sum, text, len + 1);
	fwrite(text, 1, len + 1, w->out);
	OPENSSL_cleanse(text, len + 1);
	free(text);
	json_decref(line);
}

static int put_files(struct writer *w, const char *directory, const char *config,
		     char error[static BACKUP_ERROR])
{
	for (size_t i = 0; i < FILES; i++) {
		bool is_config = !strcmp(files[i].name, BACKUP_CONFIG);
		char *path = is_config ? mem_text(config)
				       : mem_format("%s/%s", directory, files[i].name);
		char *text = path ? pki_read(path) : NULL;
		json_t *line;

		if (!text && path && errno != ENOENT) {
			int r = failed(-errno, error, "%s: %s", path, strerror(errno));

			free(path);
			return r;
		}
		free(path);
		if (!text)
			continue;
		line = json_pack("{s:s,s:i,s:s}", "file", files[i].name, "mode", (int)files[i].mode,
				 "text", text);
		OPENSSL_cleanse(text, strlen(text));
		free(text);
		if (!line)
			return failed(-EINVAL, error, "%s is no text", files[i].name);
		put_line(w, line);
		w->backup->files++;
	}
	return 0;
}

static int put_entry(struct writer *w, const struct store_entry *e, char error[static BACKUP_ERROR])
{
	json_t *value;

	if (e->lease || !strcmp(e->key, PUBLISHED_KEY) || !strcmp(e->key, SERVICE_STARTED) ||
	    !strcmp(e->key, SERVICE_PUBLISHER) || !strcmp(e->key, SERVICE_BEAT) ||
	    !strcmp(e->key, SCHEMA_KEY))
		return 0;
	value = json_loadb(e->value, e->size, 0, NULL);
	if (!value)
		return failed(-EBADMSG, error, "the store has no JSON at %s", e->key);
	put_line(w, json_pack("{s:s,s:o}", "key", e->key, "value", value));
	w->backup->entries++;
	return 0;
}

static int put_store(struct writer *w, struct store *store, uint64_t revision,
		     char error[static BACKUP_ERROR])
{
	struct store_range range = { .prefix = "", .limit = STORE_PAGE_MAX, .revision = revision };
	char after[STORE_KEY_MAX + 1];
	struct store_page page;
	bool more = true;
	int r = 0;

	while (!r && more) {
		r = store_list(store, &range, &page);
		if (r)
			return store_failed(store, r, error);
		for (size_t i = 0; !r && i < page.n; i++)
			r = put_entry(w, &page.entries[i], error);
		more = page.more && page.n;
		if (more) {
			snprintf(after, sizeof(after), "%s", page.entries[page.n - 1].key);
			range.after = after;
		}
		store_page_done(&page);
	}
	return r;
}

static int write_once(struct writer *w, struct store *store, const char *directory,
		      const char *config, uint64_t now, char error[static BACKUP_ERROR])
{
	struct store_range range = { .prefix = "", .limit = 1 };
	struct store_page page;
	char text[SUM_TEXT];
	int r = store_list(store, &range, &page);

	if (r)
		return store_failed(store, r, error);
	*w->backup = (struct backup){ .revision = page.revision, .made = now };
	store_page_done(&page);
	put_line(w, json_pack("{s:i,s:I,s:I,s:i}", "vine_authority_backup", FORMAT, "made",
			      (json_int_t)now, "revision", (json_int_t)w->backup->revision,
			      "records", RECORDS_VERSION));
	r = put_files(w, directory, config, error);
	if (!r)
		r = put_store(w, store, w->backup->revision, error);
	if (r)
		return r;
	sum_text(w->sum, text);
	put_line(w, json_pack("{s:I,s:s}", "entries",
			      (json_int_t)(w->backup->entries + w->backup->files), "sha256", text));
	if (fflush(w->out) || ferror(w->out))
		return failed(errno ? -errno : -EIO, error, "the backup can't be written: %s",
			      strerror(errno));
	return 0;
}

int backup_write(struct store *store, const char *directory, const char *config, int fd,
		 uint64_t now, struct backup *ret, char error[static BACKUP_ERROR])
{
	off_t start = lseek(fd, 0, SEEK_CUR);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), r = -ESTALE;
	struct writer w = { .out = own < 0 ? NULL : fdopen(own, "w"), .backup = ret };

	if (!w.out) {
		if (own >= 0)
			close(own);
		return failed(-EBADF, error, "there is no file to write to");
	}
	for (int i = 0; r == -ESTALE && i < TRIES; i++) {
		if (i && (start < 0 || fseeko(w.out, start, SEEK_SET) || ftruncate(fd, start)))
			break;
		w.sum = sum_new();
		r = write_once(&w, store, directory, config, now, error);
		EVP_MD_CTX_free(w.sum);
	}
	if (!r && fsync(fd) && errno != EINVAL)
		r = failed(-errno, error, "the backup can't be written: %s", strerror(errno));
	if (fclose(w.out) && !r)
		r = failed(-errno, error, "the backup can't be written: %s", strerror(errno));
	return r;
}

/* ---- reading ------------------------------------------------------------------- */

struct reader {
	FILE *in;
	EVP_MD_CTX *sum; /* of all lines but the one that was read last */
	char *line;
	size_t len, room; /* with its newline */
	struct backup *backup;
	unsigned records; /* their version */
	bool ordered;	  /* it has the record without which nobody serves a store */
	bool whole;
	char text[SUM_TEXT];
};

static int damaged(char error[static BACKUP_ERROR], const char *why)
{
	return failed(-EBADMSG, error,
		      "the backup is damaged (%s): nothing of it is taken; use another one", why);
}

static int open_reader(struct reader *r, int fd, struct backup *backup,
		       char error[static BACKUP_ERROR])
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	*r = (struct reader){ .backup = backup };
	*backup = (struct backup){ 0 };
	r->in = own < 0 ? NULL : fdopen(own, "r");
	if (!r->in || fseeko(r->in, 0, SEEK_SET)) {
		int code = failed(-errno, error, "the backup can't be read: %s", strerror(errno));

		if (r->in)
			fclose(r->in);
		else if (own >= 0)
			close(own);
		return code;
	}
	r->sum = sum_new();
	return 0;
}

static void close_reader(struct reader *r)
{
	if (r->line)
		OPENSSL_cleanse(r->line, r->room);
	free(r->line);
	EVP_MD_CTX_free(r->sum);
	fclose(r->in);
}

/* The next line: 1; 0: there are no more. */
static int next_line(struct reader *r, char error[static BACKUP_ERROR])
{
	int c;

	if (r->len)
		EVP_DigestUpdate(r->sum, r->line, r->len);
	r->len = 0;
	while ((c = getc_unlocked(r->in)) != EOF) {
		if (r->len == LINE_MAX_BYTES)
			return damaged(error, "a line is too long");
		r->line = mem_more(r->line, r->len, &r->room, 1);
		r->line[r->len++] = (char)c;
		if (c == '\n')
			return 1;
	}
	if (ferror(r->in))
		return failed(-EIO, error, "the backup can't be read: %s", strerror(errno));
	return r->len ? damaged(error, "it ends within a line") : 0;
}

static uint64_t number_of(const json_t *line, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(line, name));

	return n > 0 ? (uint64_t)n : 0;
}

/* A line of a file or record. */
static int check_line(struct reader *r, const json_t *line, char error[static BACKUP_ERROR])
{
	const char *key = json_string_value(json_object_get(line, "key"));
	const char *file = json_string_value(json_object_get(line, "file"));
	char why[RECORD_ERROR];
	struct record rec;

	if (key) {
		json_t *value = json_object_get(line, "value");
		enum record_kind kind = record_key(key, NULL);

		if (kind < RECORD_KINDS)
			record_upgrade(kind, value, r->records);
		if (record_decode(key, value, &rec, why))
			return failed(
				-EBADMSG, error,
				"the backup has what this vine-authority doesn't know (%.200s): "
				"nothing of it is taken",
				why);
		r->ordered |= rec.kind == RECORD_ORDER;
		record_done(&rec);
		r->backup->entries++;
		return 0;
	}
	for (size_t i = 0; file && i < FILES; i++)
		if (!strcmp(files[i].name, file) && json_is_string(json_object_get(line, "text"))) {
			r->backup->files++;
			return 0;
		}
	return damaged(error, "a line is neither a file nor a record");
}

static int check_last(struct reader *r, const json_t *line, char error[static BACKUP_ERROR])
{
	const char *sum = json_string_value(json_object_get(line, "sha256"));

	sum_text(r->sum, r->text);
	if (strcmp(sum ? sum : "", r->text))
		return damaged(error, "its sum is another");
	if (number_of(line, "entries") != r->backup->entries + r->backup->files)
		return damaged(error, "something is missing");
	if (!r->ordered)
		return damaged(error, "it is of an empty store");
	r->whole = true;
	return 0;
}

/* Calls fn with each file and record. Whether it is whole is known at its end only. */
static int read_all(struct reader *r, int (*fn)(void *, const json_t *), void *arg,
		    char error[static BACKUP_ERROR])
{
	bool first = true;
	int code;

	while ((code = next_line(r, error)) > 0) {
		json_t *line =
			r->whole ? NULL : json_loadb(r->line, r->len, JSON_REJECT_DUPLICATES, NULL);

		if (!json_is_object(line))
			code = damaged(error, r->whole ? "there is more after its end"
						       : "a line is no JSON");
		else if (first && number_of(line, "vine_authority_backup") != FORMAT)
			code = failed(-EBADMSG, error,
				      "this is no backup of vine-authority, or of a newer one");
		else if (first)
			r->backup->made = number_of(line, "made"),
			r->backup->revision = number_of(line, "revision"),
			r->records = number_of(line, "records")
					     ? (unsigned)number_of(line, "records")
					     : SCHEMA_FIRST;
		else if (json_object_get(line, "sha256"))
			code = check_last(r, line, error);
		else if ((code = check_line(r, line, error)) >= 0)
			code = fn ? fn(arg, line) : 0;
		json_decref(line);
		first = false;
		if (code < 0)
			return code;
	}
	if (!code && !r->whole)
		code = damaged(error, "its end is missing");
	return code;
}

static int take_config(void *arg, const json_t *line)
{
	const char *file = json_string_value(json_object_get(line, "file"));
	char **ret = arg;

	if (file && !strcmp(file, BACKUP_CONFIG)) {
		free(*ret);
		*ret = mem_text(json_string_value(json_object_get(line, "text")));
	}
	return 0;
}

int backup_verify(int fd, struct backup *ret, char **ret_config, char error[static BACKUP_ERROR])
{
	struct reader r;
	int code = open_reader(&r, fd, ret, error);

	if (ret_config)
		*ret_config = NULL;
	if (code)
		return code;
	code = read_all(&r, ret_config ? take_config : NULL, ret_config, error);
	close_reader(&r);
	if (code && ret_config) {
		free(*ret_config);
		*ret_config = NULL;
	}
	return code;
}

/* ---- restoring ----------------------------------------------------------------- */

struct restore {
	struct store *store;
	const char *directory;
	uint64_t now;
	char *error;
	char mark[128];	 /* the value of the key that says which backup is being restored */
	uint64_t marked; /* its revision */
	json_t *order;
	struct store_entry changes[TOGETHER + 3];
	size_t n, bytes;
	bool only_look; /* at files: whether they may be written */
};

/* A file of the directory: there already, or written. */
static int take_file(void *arg, const json_t *line)
{
	struct restore *s = arg;
	const char *name = json_string_value(json_object_get(line, "file"));
	const char *text = json_string_value(json_object_get(line, "text"));
	char *path, *there;
	unsigned mode = 0;
	int r = 0;

	if (!name || !strcmp(name, BACKUP_CONFIG))
		return 0;
	for (size_t i = 0; i < FILES; i++)
		if (!strcmp(files[i].name, name))
			mode = files[i].mode;
	path = mem_format("%s/%s", s->directory, name);
	there = pki_read(path);
	if (there && strcmp(there, text))
		r = failed(-EEXIST, s->error,
			   "%s is there already, and another one: nothing is overwritten", path);
	else if (!there && errno != ENOENT)
		r = failed(-errno, s->error, "%s: %s", path, strerror(errno));
	else if (!there && !s->only_look && (r = pki_write_new(path, text, mode)))
		failed(r, s->error, "%s: %s", path, strerror(-r));
	if (there)
		OPENSSL_cleanse(there, strlen(there));
	free(there);
	free(path);
	return r;
}

static void add(struct restore *s, const char *key, char *value)
{
	s->changes[s->n++] = (struct store_entry){ .key = mem_text(key),
						   .value = value,
						   .size = value ? strlen(value) : 0 };
	s->bytes += value ? strlen(value) : 0;
}

static int commit(struct restore *s)
{
	const struct store_condition marked = { BACKUP_UNFINISHED, STORE_AT, s->marked };
	const struct store_transaction t = { &marked, 1, s->changes, s->n };
	int r = store_commit(s->store, &t, NULL);

	for (size_t i = 0; i < s->n; i++) {
		free((void *)s->changes[i].key);
		free((void *)s->changes[i].value);
	}
	s->n = s->bytes = 0;
	if (r == -EAGAIN)
		return failed(r, s->error, "somebody else writes to this store: stop it");
	return r ? store_failed(s->store, r, s->error) : 0;
}

static char *dump(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (!text)
		abort();
	return text;
}

/* What lets somebody in: used up or revoked since, perhaps. */
static bool lets_in(const char *key)
{
	return !strncmp(key, "token/", 6) || !strncmp(key, "credential/", 11);
}

static int take_record(void *arg, const json_t *line)
{
	struct restore *s = arg;
	const char *key = json_string_value(json_object_get(line, "key"));
	json_t *value = json_object_get(line, "value");

	if (!key || lets_in(key))
		return 0;
	if (!strcmp(key, "order")) {
		json_decref(s->order);
		s->order = mem_json(json_deep_copy(value));
		return 0;
	}
	add(s, key, dump(value));
	return s->n < TOGETHER && s->bytes < BYTES_TOGETHER ? 0 : commit(s);
}

/* Empty, or where this backup is being restored: then marked as such. */
static int begin(struct restore *s)
{
	struct store_range all = { .prefix = "", .limit = 1 };
	struct store_condition absent[] = { { "order", STORE_ABSENT, 0 },
					    { BACKUP_UNFINISHED, STORE_ABSENT, 0 } };
	struct store_entry mark = { .key = BACKUP_UNFINISHED,
				    .value = s->mark,
				    .size = strlen(s->mark) };
	struct store_transaction t = { absent, 2, &mark, 1 };
	struct store_page page;
	int r = store_get(s->store, BACKUP_UNFINISHED, &page);
	bool same, empty;

	if (r)
		return store_failed(s->store, r, s->error);
	same = page.n && !strcmp(page.entries[0].value, s->mark);
	s->marked = page.n ? page.entries[0].revision : 0;
	store_page_done(&page);
	if (same)
		return 0;
	r = store_list(s->store, &all, &page);
	if (r)
		return store_failed(s->store, r, s->error);
	empty = !page.n;
	store_page_done(&page);
	if (!empty)
		return failed(-EEXIST, s->error,
			      "the store is not empty: a backup is restored into an empty one");
	r = store_commit(s->store, &t, &s->marked);
	return r ? store_failed(s->store, r, s->error) : 0;
}

uint64_t backup_generation(uint64_t was, uint64_t now)
{
	return now / 1000 > was ? now / 1000 : was + 1;
}

static void raise_generation(struct restore *s)
{
	uint64_t next = backup_generation(number_of(s->order, "generation"), s->now);

	json_object_set_new(s->order, "generation", mem_json(json_integer((json_int_t)next)));
}

static int pass(struct restore *s, int fd, int (*fn)(void *, const json_t *), struct backup *ret)
{
	struct reader r;
	int code = open_reader(&r, fd, ret, s->error);

	if (code)
		return code;
	code = read_all(&r, fn, s, s->error);
	if (!code) {
		snprintf(s->mark, sizeof(s->mark), "{\"sha256\":\"%s\"}", r.text);
	}
	close_reader(&r);
	return code;
}

int backup_restore(int fd, struct store *store, const char *directory, uint64_t now,
		   struct backup *ret, char error[static BACKUP_ERROR])
{
	struct restore *s = mem_new(1, sizeof(*s));
	int r;

	*s = (struct restore){ .store = store,
			       .directory = directory,
			       .now = now,
			       .error = error,
			       .only_look = true };
	r = pass(s, fd, take_file, ret);
	s->only_look = false;
	if (!r)
		r = begin(s);
	if (!r)
		r = pass(s, fd, take_file, ret);
	if (!r)
		r = pass(s, fd, take_record, ret);
	if (!r) {
		raise_generation(s);
		add(s, "order", dump(s->order));
		add(s, SCHEMA_KEY, mem_format("{\"version\":%d}", RECORDS_VERSION));
		add(s, BACKUP_UNFINISHED, NULL);
		r = commit(s);
	}
	for (size_t i = 0; i < s->n; i++) {
		free((void *)s->changes[i].key);
		free((void *)s->changes[i].value);
	}
	json_decref(s->order);
	free(s);
	return r;
}
