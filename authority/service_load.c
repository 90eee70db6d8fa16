/*
 * The registry is read from the store, and follows its watch.
 *
 * It is read as it was where publishing is, and what has come since is taken from the watch, so
 * that the journal has it: a publisher can begin there. The store may have forgotten that, or
 * what came since may be of an earlier version (schema.h); then it is read as it is now. To know when the watch has come to now, something is written.
 */
#include "authority/service_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/schema.h"
#include "common/clock.h"
#include "common/log.h"

#define CATCH_UP (20 * SEC)

static void take_publisher(struct service *s, const struct store_entry *e)
{
	json_t *value = e->value ? json_loadb(e->value, e->size, 0, NULL) : NULL;
	const char *url = json_string_value(json_object_get(value, "url"));

	snprintf(s->publisher, sizeof(s->publisher), "%s", url ? url : "");
	s->term = e->value ? e->revision : 0;
	json_decref(value);
}

static void take_beat(struct service *s, const struct store_entry *e)
{
	s->beat = e->value ? e->revision : 0;
	s->heard = clock_now();
}

static void take_published(struct service *s, const struct store_entry *e)
{
	json_t *value = e->value ? json_loadb(e->value, e->size, 0, NULL) : NULL;

	published_done(&s->published);
	s->published_at = e->value ? e->revision : 0;
	if (value && published_decode(value, &s->published) && s->journal)
		journal_forget(s->journal, s->published.revision);
	json_decref(value);
}

static int apply_changes(struct service *s, const struct registry_change *changes, size_t n,
			 uint64_t revision, char *why)
{
	if (!n)
		return 0;
	return s->journal ? journal_apply(s->journal, s->registry, changes, n, revision, why)
			  : registry_apply(s->registry, changes, n, why);
}

/* Applies what the store says; once there is a journal, the transaction of this revision.
 * False: it can't be. */
static bool apply(struct service *s, const struct store_entry *entries, size_t n, uint64_t revision,
		  char error[static STORE_ERROR])
{
	struct registry_change *changes = mem_new(n, sizeof(*changes));
	json_t **values = mem_new(n, sizeof(*values));
	char why[RECORD_ERROR] = "a value is no JSON";
	size_t used = 0;
	bool good = true;

	for (size_t i = 0; good && i < n; i++) {
		const struct store_entry *e = &entries[i];
		enum record_kind kind = record_key(e->key, NULL);

		if (kind >= RECORD_CHANGE && kind < RECORD_KINDS)
			continue;
		if (!strcmp(e->key, SERVICE_PUBLISHER)) {
			take_publisher(s, e);
			continue;
		}
		if (!strcmp(e->key, SERVICE_BEAT)) {
			take_beat(s, e);
			continue;
		}
		if (!strcmp(e->key, PUBLISHED_KEY)) {
			take_published(s, e);
			continue;
		}
		if (!strcmp(e->key, SERVICE_STARTED) || !strcmp(e->key, SCHEMA_KEY))
			continue;
		s->changed |= kind == RECORD_ORDER || kind == RECORD_ROUTER ||
			      kind == RECORD_HOST || kind == RECORD_TINY || kind == RECORD_VN;
		if (e->value) {
			values[used] = json_loadb(e->value, e->size, 0, NULL);
			good = values[used] != NULL;
		}
		changes[used] = (struct registry_change){ e->key, values[used], e->revision };
		used++;
	}
	if (used)
		s->records_at = revision;
	good = good && !apply_changes(s, changes, used, revision, why);
	if (!good)
		snprintf(error, STORE_ERROR, "what the store has makes no sense: %.200s", why);
	for (size_t i = 0; i < used; i++)
		json_decref(values[i]);
	free(values);
	free(changes);
	return good;
}

bool service_follow(struct service *s, char error[static STORE_ERROR])
{
	struct store_page page;
	int r;

	while (!(r = store_watch_next(s->watch, &page))) {
		bool good = apply(s, page.entries, page.n, page.revision, error);

		if (good)
			s->applied = page.revision;
		store_page_done(&page);
		if (!good)
			return false;
	}
	if (r == -EAGAIN)
		return true;
	snprintf(error, STORE_ERROR, "the store's watch has ended (%s)", strerror(-r));
	return false;
}

/* ---- the beginning --------------------------------------------------------------- */

/* All of a kind, as of one revision. */
static bool load_kind(struct service *s, const char *prefix, struct store_page *all,
		      uint64_t *revision, char error[static STORE_ERROR])
{
	struct store_range range = { .prefix = prefix, .limit = STORE_PAGE_MAX };
	struct store_page page;
	bool more = true;

	while (more) {
		range.revision = *revision;
		if (store_list(s->store, &range, &page)) {
			store_error(s->store, error);
			return false;
		}
		*revision = page.revision;
		if (!apply(s, page.entries, page.n, page.revision, error)) {
			store_page_done(&page);
			return false;
		}
		store_page_done(all);
		*all = page;
		more = page.more && page.n;
		range.after = page.n ? page.entries[page.n - 1].key : NULL;
	}
	return true;
}

/* All records, as of this revision; 0: as they are now. */
static bool load_records(struct service *s, uint64_t *revision, char error[static STORE_ERROR])
{
	/* What others refer to comes first. */
	static const char *const prefixes[] = { "order",       "user/", "site/",   "router/",
						"host/",       "vn/",	"policy/", "token/",
						"credential/", NULL };
	struct store_page page = { 0 };
	bool good = true;

	registry_free(s->registry);
	s->registry = registry_new();
	for (int i = 0; good && prefixes[i]; i++)
		good = load_kind(s, prefixes[i], &page, revision, error);
	store_page_done(&page);
	return good;
}

static bool take_key(struct service *s, const char *key,
		     void (*take)(struct service *, const struct store_entry *),
		     char error[static STORE_ERROR])
{
	const struct store_entry none = { .key = key };
	struct store_page page;

	if (store_get(s->store, key, &page)) {
		store_error(s->store, error);
		return false;
	}
	take(s, page.n ? &page.entries[0] : &none);
	store_page_done(&page);
	return true;
}

/* 0: the store doesn't take it. */
static uint64_t write_started(struct service *s)
{
	struct store_entry started = { .key = SERVICE_STARTED, .value = "{}", .size = 2 };
	struct store_transaction t = { .changes = &started, .n_changes = 1 };
	uint64_t revision = 0;

	return store_commit(s->store, &t, &revision) ? 0 : revision;
}

static bool catch_up(struct service *s, uint64_t to, char error[static STORE_ERROR])
{
	struct pollfd watch = { .fd = store_watch_fd(s->watch), .events = POLLIN };
	mono_t end = mono_add(clock_now(), CATCH_UP);

	for (;;) {
		if (!service_follow(s, error))
			return false;
		if (s->applied >= to)
			return true;
		if (!mono_before(clock_now(), end))
			break;
		poll(&watch, 1, 100);
	}
	snprintf(error, STORE_ERROR, "the store's watch doesn't say what was written");
	return false;
}

/* As of this revision (0: as it is now), and from there on to another one at least. */
static bool load_from(struct service *s, uint64_t revision, uint64_t to,
		      char error[static STORE_ERROR])
{
	journal_free(s->journal);
	s->journal = NULL;
	store_watch_close(s->watch);
	s->watch = NULL;
	if (!load_records(s, &revision, error) ||
	    !take_key(s, SERVICE_PUBLISHER, take_publisher, error) ||
	    !take_key(s, SERVICE_BEAT, take_beat, error) ||
	    /* The watch doesn't say what was written before. */
	    !take_key(s, PUBLISHED_KEY, take_published, error))
		return false;
	s->applied = revision;
	s->journal = journal_new(revision);
	if (store_watch_open(s->store, revision, &s->watch)) {
		store_error(s->store, error);
		return false;
	}
	return catch_up(s, to, error);
}

bool service_load(struct service *s, char error[static STORE_ERROR])
{
	uint64_t now = 0;

	if (!take_key(s, PUBLISHED_KEY, take_published, error))
		return false;
	if (s->published.revision)
		now = write_started(s);
	if (!now || !load_from(s, s->published.revision, now, error)) {
		if (now)
			log_info("the store is not read as it was where publishing is: %s", error);
		if (!load_from(s, 0, 0, error))
			return false;
	}
	if (!registry_order(s->registry)->object.revision) {
		snprintf(error, STORE_ERROR, "the store is empty: vine-authority init begins one");
		return false;
	}
	s->changed = false;
	return true;
}
