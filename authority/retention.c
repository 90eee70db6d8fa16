/*
 * IDs of audit records begin with their time, so the oldest are the first of the list.
 * Several processes that do this at once do each other no harm: to delete what isn't there
 * is no change.
 */
#include "authority/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "common/log.h"

#define INTERVAL 3600000 /* ms */
static const char prefix[] = "audit/";

struct retention {
	struct service *service;
	uint64_t keep, looked; /* ms */
	uint64_t removed;
	bool failing;
	/* What is under way. */
	struct work work;
	uint64_t before; /* ms since 1970 */
	size_t n;
	int result;
	bool busy, more;
	char error[STORE_ERROR];
};

static void run_remove(struct work *w)
{
	struct retention *t = container_of(w, struct retention, work);
	struct store *store = service_store(t->service);
	const struct store_range range = { .prefix = prefix, .limit = RETENTION_TOGETHER };
	struct store_entry old[RETENTION_TOGETHER];
	struct store_transaction commit = { .changes = old };
	struct store_page page;

	t->result = store_list(store, &range, &page);
	if (!t->result) {
		for (size_t i = 0; i < page.n; i++) {
			const char *id = page.entries[i].key + strlen(prefix);

			if (strtoull(id, NULL, 16) >= t->before)
				break;
			old[commit.n_changes++] =
				(struct store_entry){ .key = page.entries[i].key };
		}
		if (commit.n_changes)
			t->result = store_commit(store, &commit, NULL);
		t->n = commit.n_changes;
		t->more = page.more && commit.n_changes == page.n;
		store_page_done(&page);
	}
	if (t->result)
		store_error(store, t->error);
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

void retention_tick(struct retention *t, uint64_t now)
{
	if (t->busy || !t->keep || now < t->keep)
		return;
	/* The clock may have been set back. */
	if (!t->more && now >= t->looked && now - t->looked < INTERVAL)
		return;
	t->looked = now;
	t->before = now - t->keep;
	t->busy = true;
	t->work = (struct work){ .run = run_remove, .done = removed };
	list_init(&t->work.node);
	worker_post(service_worker(t->service), &t->work);
}

uint64_t retention_removed(const struct retention *t)
{
	return t->removed;
}
