/*
 * A process that serves is asked through its control socket, since a store of SQLite is that
 * process's alone; where none serves, the store is opened here. The file of a backup is
 * always opened by the command, so that it belongs to who asked and may be anywhere, and
 * takes its name once it is whole.
 */
#include "authority/maintain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "authority/backup.h"
#include "authority/check.h"
#include "authority/control.h"
#include "authority/memory.h"
#include "authority/records.h"
#include "common/pki.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNKNOWN = 3 };

static int __attribute__((format(printf, 1, 2))) failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("vine-authority: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILED;
}

static uint64_t now_ms(void)
{
	return (uint64_t)time(NULL) * 1000;
}

static struct store *open_store(const struct settings *s)
{
	const struct store_tls tls = { s->tls.ca, s->tls.certificate, s->tls.key };
	char error[STORE_ERROR];
	struct store *store;

	if (!store_open(s->store, s->tls.ca ? &tls : NULL, &store, error))
		return store;
	failed("%s", error);
	return NULL;
}

static json_t *ask(const struct settings *s, const char *word, int fd, bool *ret_nobody,
		   char error[static CONTROL_ERROR])
{
	char *path =
		s->control ? mem_text(s->control) : mem_format("%s/" CONTROL_FILE, s->directory);
	json_t *answer = control_ask(path, word, fd, ret_nobody, error);

	free(path);
	return answer;
}

/* ---- backup -------------------------------------------------------------------- */

static bool backup_here(const struct settings *s, int fd, struct backup *ret)
{
	struct store *store = open_store(s);
	char error[BACKUP_ERROR];
	int r;

	if (!store)
		return false;
	r = backup_write(store, s->directory, s->file, fd, now_ms(), ret, error);
	store_close(store);
	if (r)
		failed("%s", error);
	return !r;
}

/* By the process that serves, or here. */
static bool backup_to(const struct settings *s, int fd, struct backup *ret)
{
	char error[CONTROL_ERROR];
	bool nobody;
	json_t *answer = ask(s, "backup", fd, &nobody, error);
	const char *why = json_string_value(json_object_get(answer, "error"));

	if (nobody)
		return backup_here(s, fd, ret);
	if (!answer || why)
		failed("%s", why ? why : error);
	*ret = (struct backup){
		.entries = (size_t)json_integer_value(json_object_get(answer, "entries")),
		.revision = (uint64_t)json_integer_value(json_object_get(answer, "revision"))
	};
	json_decref(answer);
	return answer && !why;
}

int maintain_backup(const struct settings *s, const char *file)
{
	char *draft = mem_format("%s.XXXXXX", file);
	int fd = mkostemp(draft, O_CLOEXEC), r = EXIT_FAILED;
	char error[BACKUP_ERROR];
	struct backup b, read;

	if (fd < 0) {
		failed("%s: %s", file, strerror(errno));
		free(draft);
		return EXIT_FAILED;
	}
	if (backup_to(s, fd, &b)) {
		if (backup_verify(fd, &read, NULL, error))
			failed("%s", error);
		else if (rename(draft, file))
			failed("%s: %s", file, strerror(errno));
		else
			r = EXIT_DONE;
	}
	if (r)
		unlink(draft);
	else
		printf("%s: %zu records as of revision %llu, with all keys: whoever can read it "
		       "can do anything.\n",
		       file, b.entries, (unsigned long long)b.revision);
	close(fd);
	free(draft);
	return r;
}

/* ---- restore ------------------------------------------------------------------- */

/* The configuration's directory, and itself if there is none. */
static bool put_config(const char *path, const char *text)
{
	int r;

	if (!access(path, F_OK))
		return true;
	if (!text) {
		failed("%s is not there, and the backup has no configuration", path);
		return false;
	}
	r = pki_write_new(path, text, 0644);
	if (r)
		failed("%s: %s; is its directory there? Or name another one (--config)", path,
		       strerror(-r));
	else
		printf("%s: the configuration of the backup\n", path);
	return !r;
}

static int restore_into(const struct settings *s, int fd)
{
	char error[BACKUP_ERROR];
	struct store *store;
	struct backup b;
	char made[32] = "";
	time_t when;
	int r;

	if (mkdir(s->directory, 0700) && errno != EEXIST)
		return failed("%s: %s", s->directory, strerror(errno));
	store = open_store(s);
	if (!store)
		return EXIT_FAILED;
	r = backup_restore(fd, store, s->directory, now_ms(), &b, error);
	store_close(store);
	if (r)
		return failed("%s", error);
	when = (time_t)(b.made / 1000);
	strftime(made, sizeof(made), "%Y-%m-%d %H:%M:%S UTC", gmtime(&when));
	printf("%zu records as of revision %llu, and %zu files, are restored.\n"
	       "Tokens and delegated credentials are not: make new ones.\n"
	       "Next:  vine-authority serve --config %s\n"
	       "       revoke again what was revoked since %s\n",
	       b.entries, (unsigned long long)b.revision, b.files, s->file, made);
	return EXIT_DONE;
}

int maintain_restore(const char *config, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), r = EXIT_FAILED;
	char error[BACKUP_ERROR], *text = NULL;
	struct settings *s;
	struct backup b;

	if (fd < 0)
		return failed("%s: %s", file, strerror(errno));
	if (backup_verify(fd, &b, &text, error))
		failed("%s: %s", file, error);
	else if (put_config(config, text)) {
		s = settings_load(config, stderr);
		r = s ? restore_into(s, fd) : EXIT_USAGE;
		settings_free(s);
	}
	free(text);
	close(fd);
	return r;
}

/* Routers run what came after the backup was made, and take nothing older: of another
 * generation everything is newer. */
static int raise_generation(struct store *store)
{
	struct store_page page = { 0 };
	struct record rec;
	char error[RECORD_ERROR], *text;
	int r = store_get(store, "order", &page);
	json_t *value = !r && page.n
				? json_loadb(page.entries[0].value, page.entries[0].size, 0, NULL)
				: NULL;
	struct store_condition same = { .key = "order", .test = STORE_AT };
	struct store_entry change = { .key = "order" };
	const struct store_transaction t = { &same, 1, &change, 1 };

	if (!r && !record_decode("order", value, &rec, error)) {
		rec.order.generation = backup_generation(rec.order.generation, now_ms());
		json_decref(value);
		value = record_encode(&rec);
		change.value = text = json_dumps(value, JSON_COMPACT);
		change.size = text ? strlen(text) : 0;
		same.is = page.entries[0].revision;
		r = text ? store_commit(store, &t, NULL) : -ENOMEM;
		if (!r)
			printf("Tables are of generation %llu from now on.\n",
			       (unsigned long long)rec.order.generation);
		free(text);
		record_done(&rec);
	} else if (!r) {
		failed("the store has no authority's records");
		r = -ENOENT;
	}
	json_decref(value);
	store_page_done(&page);
	return r;
}

int maintain_restored(const struct settings *s)
{
	struct store *store = open_store(s);
	char error[STORE_ERROR];
	int r;

	if (!store)
		return EXIT_FAILED;
	r = raise_generation(store);
	if (r && r != -ENOENT) {
		store_error(store, error);
		failed("%s", error);
	}
	store_close(store);
	return r ? EXIT_FAILED : EXIT_DONE;
}

/* ---- check --------------------------------------------------------------------- */

int maintain_check(const struct settings *s)
{
	char error[CONTROL_ERROR];
	bool nobody;
	json_t *answer = ask(s, "check", -1, &nobody, error), *finding;
	const char *status = json_string_value(json_object_get(answer, "status"));
	size_t i;
	int r = EXIT_UNKNOWN;

	if (nobody) {
		printf("CRITICAL: %s\n", error);
		return EXIT_USAGE;
	}
	if (!status) {
		printf("UNKNOWN: %s\n", error);
		json_decref(answer);
		return r;
	}
	r = !strcmp(status, "ok") ? 0 : !strcmp(status, severity_names[SEVERITY_WARNING]) ? 1 : 2;
	printf("%s: %zu alerts\n",
	       r == 0	? "OK"
	       : r == 1 ? "WARNING"
			: "CRITICAL",
	       json_array_size(json_object_get(answer, "findings")) +
		       (size_t)json_integer_value(json_object_get(answer, "left_out")));
	json_array_foreach(json_object_get(answer, "findings"), i, finding)
	{
		printf("%s: %s\n", json_string_value(json_object_get(finding, "severity")),
		       json_string_value(json_object_get(finding, "text")));
	}
	json_decref(answer);
	return r;
}
