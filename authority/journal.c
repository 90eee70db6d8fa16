/*
 * A note has, of the records that a transaction changes, what they are not: while the
 * registry is behind the transaction, what they were before; while it is before it, what they
 * will be. To go past a note is to exchange the two. So every state on the way is one that the
 * registry has been in.
 *
 * Users and sites, which routers and hosts refer to, are not noted, and needn't be: nothing
 * deletes them. Should one be, there is no way back to before that.
 */
#include "authority/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

struct was {
	char *key;
	bool there;
	struct record record;
	uint64_t revision;
};

struct note {
	struct list node;
	uint64_t revision;
	size_t n;
	struct was *was;
	size_t cost;
};

struct journal {
	struct list notes; /* in order */
	struct list *at;   /* the last one that the registry is behind */
	uint64_t first;
	size_t cost;
};

static bool is_noted(enum record_kind kind)
{
	return kind == RECORD_ROUTER || kind == RECORD_HOST || kind == RECORD_TINY ||
	       kind == RECORD_VN;
}

/* What the record of a key is now. */
static struct was was_of(const struct registry *r, const char *key)
{
	const struct router *router;
	const struct host *host;
	const struct tiny *tiny;
	const struct vn *vn;
	struct was was = { .key = mem_text(key) };
	const char *id;

	switch (record_key(key, &id)) {
	case RECORD_ROUTER:
		if ((router = registry_router(r, id))) {
			router_record(router, &was.record);
			was.revision = router->object.revision;
		}
		break;
	case RECORD_HOST:
		if ((host = registry_host(r, id))) {
			host_record(host, &was.record);
			was.revision = host->object.revision;
		}
		break;
	case RECORD_TINY:
		if ((tiny = registry_tiny(r, id))) {
			tiny_record(tiny, &was.record);
			was.revision = tiny->object.revision;
		}
		break;
	case RECORD_VN:
		if ((vn = registry_vn(r, (uint32_t)strtoul(id, NULL, 10)))) {
			vn_record(vn, &was.record);
			was.revision = vn->object.revision;
		}
		break;
	default: break;
	}
	was.there = was.revision != 0;
	return was;
}

static void was_done(struct was *was)
{
	free(was->key);
	if (was->there)
		record_done(&was->record);
}

static void note_free(struct journal *j, struct note *note)
{
	list_remove(&note->node);
	j->cost -= note->cost;
	for (size_t i = 0; i < note->n; i++)
		was_done(&note->was[i]);
	free(note->was);
	free(note);
}

struct journal *journal_new(uint64_t revision)
{
	struct journal *j = mem_new(1, sizeof(*j));

	j->first = revision;
	list_init(&j->notes);
	j->at = &j->notes;
	return j;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	while (!list_is_empty(&j->notes))
		note_free(j, container_of(j->notes.next, struct note, node));
	free(j);
}

static size_t cost_of(const struct was *was)
{
	return 1 + (was->there && was->record.kind == RECORD_VN ? was->record.vn.members.n : 0);
}

static struct note *add_note(struct journal *j, uint64_t revision, size_t room)
{
	struct note *note = mem_new(1, sizeof(*note));

	note->revision = revision;
	note->was = mem_new(room, sizeof(*note->was));
	list_insert(&j->notes, &note->node);
	j->at = &note->node;
	return note;
}

int journal_apply(struct journal *j, struct registry *r, const struct registry_change *changes,
		  size_t n, uint64_t revision, char error[static RECORD_ERROR])
{
	struct note *note = NULL;
	bool no_way_back = false;
	size_t cost;
	int ret;

	for (size_t i = 0; i < n; i++) {
		enum record_kind kind = record_key(changes[i].key, NULL);

		no_way_back |= !changes[i].value && (kind == RECORD_USER || kind == RECORD_SITE);
		if (!is_noted(kind))
			continue;
		if (!note)
			note = add_note(j, revision, n);
		note->was[note->n] = was_of(r, changes[i].key);
		cost = cost_of(&note->was[note->n++]);
		note->cost += cost;
		j->cost += cost;
	}
	ret = registry_apply(r, changes, n, error);
	if (no_way_back || j->cost > JOURNAL_MAX)
		journal_forget(j, revision);
	return ret;
}

void journal_forget(struct journal *j, uint64_t revision)
{
	while (!list_is_empty(&j->notes)) {
		struct note *note = container_of(j->notes.next, struct note, node);

		if (note->revision > revision)
			break;
		if (j->at == &note->node)
			j->at = &j->notes;
		note_free(j, note);
	}
	if (revision > j->first)
		j->first = revision;
}

uint64_t journal_first(const struct journal *j)
{
	return j->first;
}

/* Exchanges what the records of a note are with what it has. */
static int exchange(struct note *note, struct registry *r, char *error)
{
	struct registry_change *changes = mem_new(note->n, sizeof(*changes));
	struct was *is = mem_new(note->n, sizeof(*is));
	json_t **values = mem_new(note->n, sizeof(*values));
	int ret;

	for (size_t i = 0; i < note->n; i++) {
		const struct was *was = &note->was[i];

		is[i] = was_of(r, was->key);
		values[i] = was->there ? record_encode(&was->record) : NULL;
		changes[i] = (struct registry_change){ was->key, values[i], was->revision };
	}
	ret = registry_apply(r, changes, note->n, error);
	for (size_t i = 0; i < note->n; i++) {
		was_done(&note->was[i]);
		json_decref(values[i]);
	}
	free(note->was);
	free(values);
	free(changes);
	note->was = is;
	return ret;
}

int journal_go(struct journal *j, struct registry *r, uint64_t revision,
	       char error[static RECORD_ERROR])
{
	int n = 0;

	for (; j->at != &j->notes; n++) {
		struct note *note = container_of(j->at, struct note, node);

		if (note->revision <= revision)
			break;
		j->at = j->at->prev;
		if (exchange(note, r, error))
			return -EINVAL;
	}
	for (; j->at->next != &j->notes; n++) {
		struct note *note = container_of(j->at->next, struct note, node);

		if (note->revision > revision)
			break;
		j->at = j->at->next;
		if (exchange(note, r, error))
			return -EINVAL;
	}
	return n;
}
