/*
 * Each record that lacks fields is written with them, under the condition that it is still as
 * it was read; the version last, so that what is broken off is done again. A record that
 * somebody else was faster with is one to look at again: the whole is gone through once more.
 *
 * Logs of what was asked (audit/, log/) have no fields that came later; if ever they do, their
 * prefixes belong to the list.
 */
#include "authority/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/published.h"
#include "authority/records.h"
#include "common/log.h"

enum {
	TOGETHER = 200, /* records of a transaction */
	PASSES = 20,
};
#define BYTES_TOGETHER (2u << 20)

struct upgrade {
	struct store *store;
	unsigned from;
	struct store_condition conditions[TOGETHER];
	struct store_entry changes[TOGETHER];
	size_t n, bytes, done;
};

static void drop(struct upgrade *u)
{
	for (size_t i = 0; i < u->n; i++) {
		free((void *)u->changes[i].key);
		free((void *)u->changes[i].value);
	}
	u->n = u->bytes = 0;
}

static int commit(struct upgrade *u)
{
	const struct store_transaction t = { u->conditions, u->n, u->changes, u->n };
	int r = u->n ? store_commit(u->store, &t, NULL) : 0;

	u->done += r ? 0 : u->n;
	drop(u);
	return r;
}

/* What is no record, or no JSON, is for others to complain about. */
static int look_at(struct upgrade *u, const struct store_entry *e)
{
	enum record_kind kind = record_key(e->key, NULL);
	json_t *value = kind < RECORD_KINDS ? json_loadb(e->value, e->size, 0, NULL) : NULL;
	char *text;
	int r = 0;

	if (value && record_upgrade(kind, value, u->from)) {
		text = json_dumps(value, JSON_COMPACT);
		if (!text)
			abort();
		u->changes[u->n] = (struct store_entry){ .key = mem_text(e->key),
							 .value = text,
							 .size = strlen(text) };
		u->conditions[u->n] = (struct store_condition){ .key = u->changes[u->n].key,
								.test = STORE_AT,
								.is = e->revision };
		u->bytes += strlen(text);
		u->n++;
		if (u->n == TOGETHER || u->bytes > BYTES_TOGETHER)
			r = commit(u);
	}
	json_decref(value);
	return r;
}

static int pass(struct upgrade *u)
{
	static const char *const prefixes[] = { "order",  "user/",	 "site/",   "router/",
						"host/",  "tiny/",	 "vn/",	    "policy/",
						"token/", "credential/", "change/", NULL };
	char after[STORE_KEY_MAX + 1];
	int r = 0;

	for (int i = 0; !r && prefixes[i]; i++) {
		struct store_range range = { .prefix = prefixes[i], .limit = STORE_PAGE_MAX };
		bool more = true;

		while (!r && more) {
			struct store_page page;

			r = store_list(u->store, &range, &page);
			for (size_t k = 0; !r && k < page.n; k++)
				r = look_at(u, &page.entries[k]);
			more = !r && page.more && page.n;
			if (more)
				snprintf(after, sizeof(after), "%s", page.entries[page.n - 1].key);
			range.after = after;
			store_page_done(&page);
		}
	}
	if (!r)
		return commit(u);
	drop(u);
	return r;
}

/* *ret_version 0: there is nothing in the store. */
static int read_version(struct store *store, unsigned *ret_version, uint64_t *ret_revision)
{
	struct store_page page;
	int r = store_get(store, SCHEMA_KEY, &page);
	json_t *value;

	if (r)
		return r;
	*ret_revision = page.n ? page.entries[0].revision : 0;
	value = page.n ? json_loadb(page.entries[0].value, page.entries[0].size, 0, NULL) : NULL;
	*ret_version = (unsigned)json_integer_value(json_object_get(value, "version"));
	json_decref(value);
	store_page_done(&page);
	if (*ret_revision)
		return 0;
	r = store_get(store, "order", &page);
	*ret_version = !r && page.n ? SCHEMA_FIRST : 0;
	if (!r)
		store_page_done(&page);
	return r;
}

static int write_version(struct store *store, uint64_t revision)
{
	char text[32];
	const struct store_condition same = { SCHEMA_KEY, revision ? STORE_AT : STORE_ABSENT,
					      revision };
	/* Where publishing was, the store has records of before: nobody goes back to there. */
	const struct store_entry entries[] = {
		{ .key = SCHEMA_KEY,
		  .value = text,
		  .size = (size_t)snprintf(text, sizeof(text), "{\"version\":%d}",
					   RECORDS_VERSION) },
		{ .key = PUBLISHED_KEY },
	};
	const struct store_transaction t = { &same, 1, entries, 2 };

	return store_commit(store, &t, NULL);
}

int schema_open(struct store *store, char error[static STORE_ERROR])
{
	struct upgrade *u = mem_new(1, sizeof(*u));
	uint64_t revision;
	int r = -EAGAIN;

	u->store = store;
	for (int i = 0; r == -EAGAIN && i < PASSES; i++) {
		r = read_version(store, &u->from, &revision);
		if (r || !u->from || u->from == RECORDS_VERSION)
			break;
		if (u->from > RECORDS_VERSION) {
			snprintf(error, STORE_ERROR,
				 "its records are of a newer vine-authority (version %u, this one "
				 "knows %d)",
				 u->from, RECORDS_VERSION);
			free(u);
			return -EPERM;
		}
		r = pass(u);
		if (!r)
			r = write_version(store, revision);
		if (!r && u->done)
			log_info("the store's records were of version %u: %zu were made anew, of "
				 "version %d",
				 u->from, u->done, RECORDS_VERSION);
	}
	if (r)
		store_error(store, error);
	free(u);
	return r;
}
