/*
 * What service.c has decided, committed to the store. All of this runs in the worker, on asks
 * that nobody else looks at meanwhile.
 */
#include "authority/service_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

enum {
	TOGETHER = 256,	  /* audit records in one transaction */
	SETTLE_TRIES = 5, /* times the store is asked what became of a transaction */
};
const char service_audit_kind[] = "audit";

const struct change *service_audit_of(const struct ask *a)
{
	return &a->outcome.changes[a->outcome.n - 1];
}

static struct store_entry entry_of(const struct change *c)
{
	char *text = c->value ? json_dumps(c->value, JSON_COMPACT) : NULL;

	if (c->value && !text)
		abort();
	return (struct store_entry){ .key = c->key,
				     .value = text,
				     .size = text ? strlen(text) : 0 };
}

/* Whether an audit record in the store is the transaction's own, not the one instead. */
static bool was_allowed(const struct store_entry *e)
{
	json_t *value = json_loadb(e->value, e->size, 0, NULL);
	bool allowed = json_is_true(json_object_get(value, "allowed"));

	json_decref(value);
	return allowed;
}

/* That the audit record is not there, or is the one of the time before, which it replaces. */
static struct store_condition condition_of(const struct ask *a)
{
	return (struct store_condition){ .key = service_audit_of(a)->key,
					 .test = a->audited ? STORE_AT : STORE_ABSENT,
					 .is = a->audited };
}

/* Makes the transaction impossible, unless it was made: its audit record is written under
 * the condition that the transaction has. The one that is there says
 * which of the two was: the outcome of writing it may be unknown as well. -ECANCELED: it
 * was not made, and never will be. 0: it was. */
static int settle(struct ask *a)
{
	const struct change *audit = service_audit_of(a);
	struct store_condition same = condition_of(a);
	json_t *value = mem_json(json_deep_copy(audit->value));
	struct change instead = { .key = audit->key, .value = value };
	struct store_page page;
	struct store_entry entry;
	int r = -ETIMEDOUT;

	json_object_set_new(value, "allowed", mem_json(json_false()));
	json_object_set_new(value, "detail",
			    mem_json(json_string("the store did not take it in time")));
	entry = entry_of(&instead);
	for (int i = 0; i < SETTLE_TRIES && r != -ECANCELED; i++) {
		struct store_transaction t = { &same, 1, &entry, 1 };

		r = store_commit(a->service->store, &t, NULL);
		if (!r) {
			r = -ECANCELED;
		} else if (r == -EAGAIN && !store_get(a->service->store, audit->key, &page)) {
			r = !page.n ? -EIO : was_allowed(&page.entries[0]) ? 0 : -ECANCELED;
			a->revision = page.n ? page.entries[0].revision : 0;
			store_page_done(&page);
			if (!r)
				break;
		}
	}
	free((void *)entry.value);
	json_decref(value);
	return r;
}

bool service_is_unknown(int r)
{
	return r == -ETIMEDOUT || r == -EIO || r == -EPROTO;
}

void service_run_commit(struct work *w)
{
	struct ask *a = container_of(w, struct ask, work);
	const struct outcome *o = &a->outcome;
	struct store_condition *conditions = mem_new(o->n + 1, sizeof(*conditions));
	struct store_entry *changes = mem_new(o->n, sizeof(*changes));
	struct store_transaction t = { .conditions = conditions,
				       .changes = changes,
				       .n_changes = o->n };

	for (size_t i = 0; i < o->n; i++) {
		const struct change *c = &o->changes[i];

		changes[i] = entry_of(c);
		if (c == service_audit_of(a))
			conditions[t.n_conditions++] = condition_of(a);
		else if (c->expect != EXPECT_NOTHING)
			conditions[t.n_conditions++] = (struct store_condition){
				.key = c->key,
				.test = c->expect == EXPECT_ABSENT ? STORE_ABSENT : STORE_AT,
				.is = c->revision,
			};
	}
	if (o->order)
		conditions[t.n_conditions++] =
			(struct store_condition){ "order", STORE_AT, o->order };
	a->result = store_commit(a->service->store, &t, &a->revision);
	if (service_is_unknown(a->result))
		a->result = settle(a);
	if (a->result)
		store_error(a->service->store, a->error);
	for (size_t i = 0; i < o->n; i++)
		free((void *)changes[i].value);
	free(changes);
	free(conditions);
}

/* Their IDs are like no others, so that there is nothing to be conditioned on. */
void service_run_audit(struct work *w)
{
	struct ask *all[TOGETHER];
	struct store_entry changes[TOGETHER];
	struct store_transaction t = { .changes = changes };
	struct service *s;
	uint64_t revision = 0;
	int r;

	do {
		all[t.n_changes] = container_of(w, struct ask, work);
		s = all[t.n_changes]->service;
		changes[t.n_changes] = entry_of(service_audit_of(all[t.n_changes]));
		t.n_changes++;
	} while (t.n_changes < TOGETHER && (w = worker_next(s->worker, service_audit_kind)));
	r = store_commit(s->store, &t, &revision);
	for (size_t i = 0; i < t.n_changes; i++) {
		all[i]->result = r;
		all[i]->revision = revision;
		if (r)
			store_error(s->store, all[i]->error);
		free((void *)changes[i].value);
	}
}
