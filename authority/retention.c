/*
 * IDs of audit records begin with their time, so the oldest are the first of the list.
 * Several processes that do this at once do each other no harm: to delete what isn't there
 * is no change.
 *
 * What is gone doesn't come back when a clock was wrong. So nothing goes before this process
 * has run for an hour in which the clock wasn't set: it is likely to be right by then, or
 * somebody has noticed. Tokens and credentials go a day after their end, so that a clock that
 * is set back revives none that ended before that.
 */
#include "authority/retention.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "common/log.h"

#define INTERVAL (3600 * SEC)
#define SET 60000		    /* ms by which the clock has jumped, not drifted */
#define GRACE (24 * 3600 * 1000ull) /* ms */
static const char prefix[] = "audit/";

struct retention {
	struct service *service;
	uint64_t keep;	/* ms; 0: audit records for ever */
	mono_t looked;	/* or since when the clock is as it is */
	int64_t offset; /* ms, of the time of day to the other clock */
	uint64_t removed;
	bool failing;
	/* What is under way. */
	struct work work;
	uint64_t before, now; /* ms since 1970; before 0: no audit records */
	size_t n;
	int result;
	bool busy, more, stopped;
	char error[STORE_ERROR];
};

/* Tokens and credentials that ended long ago: some of them. */
static int remove_ended(const struct retention *t, const char *kind)
{
	struct store *store = service_store(t->service);
	struct store_range range = { .prefix = kind, .limit = STORE_PAGE_MAX };
	struct store_condition same[RETENTION_TOGETHER];
	struct store_entry gone[RETENTION_TOGETHER];
	struct store_transaction commit = { same, 0, gone, 0 };
	char after[STORE_KEY_MAX + 1];
	struct store_page page;
	bool more = true;
	int r = 0;

	while (!r && more) {
		r = store_list(store, &range, &page);
		if (r)
			break;
		commit.n_changes = 0;
		for (size_t i = 0; i < page.n && commit.n_changes < RETENTION_TOGETHER; i++) {
			const struct store_entry *e = &page.entries[i];
			json_t *value = json_loadb(e->value, e->size, 0, NULL);
			json_int_t end = json_integer_value(json_object_get(value, "expires"));

			json_decref(value);
			if (end <= 0 || (uint64_t)end + GRACE > t->now)
				continue;
			same[commit.n_changes] =
				(struct store_condition){ e->key, STORE_AT, e->revision };
			gone[commit.n_changes++] = (struct store_entry){ .key = e->key };
		}
		commit.n_conditions = commit.n_changes;
		if (commit.n_changes)
			r = store_commit(store, &commit, NULL);
		more = page.more && commit.n_changes < RETENTION_TOGETHER;
		if (more)
			snprintf(after, sizeof(after), "%s", page.entries[page.n - 1].key);
		range.after = after;
		store_page_done(&page);
	}
	return r == -EAGAIN ? 0 : r; /* changed meanwhile: next time */
}

static int remove_old(struct retention *t)
{
	struct store *store = service_store(t->service);
	const struct store_range range = { .prefix = prefix, .limit = RETENTION_TOGETHER };
	struct store_entry old[RETENTION_TOGETHER];
	struct store_transaction commit = { .changes = old };
	struct store_page page;
	int r = store_list(store, &range, &page);

	if (r)
		return r;
	for (size_t i = 0; i < page.n; i++) {
		const char *id = page.entries[i].key + strlen(prefix);

		if (strtoull(id, NULL, 16) >= t->before)
			break;
		old[commit.n_changes++] = (struct store_entry){ .key = page.entries[i].key };
	}
	if (commit.n_changes)
		r = store_commit(store, &commit, NULL);
	t->n = commit.n_changes;
	t->more = page.more && commit.n_changes == page.n;
	store_page_done(&page);
	return r;
}

static void run_remove(struct work *w)
{
	struct retention *t = container_of(w, struct retention, work);
	bool begins = !t->more;

	t->n = 0;
	t->more = false;
	t->result = t->before ? remove_old(t) : 0;
	if (!t->result && begins)
		t->result = remove_ended(t, "token/");
	if (!t->result && begins)
		t->result = remove_ended(t, "credential/");
	if (t->result)
		store_error(service_store(t->service), t->error);
}

static void removed(struct work *w)
{
	struct retention *t = container_of(w, struct retention, work);

	t->busy = false;
	if (t->result) {
		if (!t->failing)
			log_warn("old audit records can't be removed: %s", t->error);
		t->failing = true;
		t->more = false;
		return;
	}
	t->failing = false;
	t->removed += t->n;
}

struct retention *retention_new(struct service *service, uint64_t keep)
{
	struct retention *t = mem_new(1, sizeof(*t));

	t->service = service;
	t->keep = keep;
	return t;
}

void retention_free(struct retention *t)
{
	free(t);
}

/* Whether the clock was set since the last time. */
static bool was_set(struct retention *t, uint64_t now, mono_t clock)
{
	int64_t offset = (int64_t)now - clock.ns / MSEC, jump = offset - t->offset;
	bool first = !mono_is_set(t->looked);

	t->offset = offset;
	if (!first && jump < SET && jump > -SET)
		return false;
	if (!first)
		log_warn("the clock was set by %lld s: what is old by it is kept for an hour",
			 (long long)jump / 1000);
	return true;
}

void retention_tick(struct retention *t, uint64_t now, mono_t clock)
{
	if (was_set(t, now, clock)) {
		t->looked = clock;
		t->stopped = true; /* what is under way goes no further */
	}
	if (t->busy || (!t->more && mono_since(clock, t->looked) < INTERVAL))
		return;
	if (t->stopped && t->more) {
		t->more = t->stopped = false;
		return;
	}
	t->stopped = false;
	t->looked = clock;
	t->now = now;
	t->before = t->keep && now > t->keep ? now - t->keep : 0;
	t->busy = true;
	t->work = (struct work){ .run = run_remove, .done = removed };
	list_init(&t->work.node);
	worker_post(service_worker(t->service), &t->work);
}

uint64_t retention_removed(const struct retention *t)
{
	return t->removed;
}
