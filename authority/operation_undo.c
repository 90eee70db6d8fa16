/*
 * The log of a VN, and taking back the last change of it.
 *
 * A change holds the VN records as they were before it, so that its inverse is to write
 * those. It is the last one of a VN if each record that it wrote is still as it left it,
 * and each that it deleted isn't there. The inverse passes the same rules as any change.
 * Consent of hosts that it puts back: if an administrator of the VN had taken them out, it
 * still holds; if their owner or site had, they are asked as for a join.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_private.h"

enum { UNDO_VNS = 8 };

struct undo {
	struct task *task;
	struct record change;
	const struct vn *was[UNDO_VNS]; /* now */
	struct record is[UNDO_VNS];	/* as they were before the change */
	size_t n_was, n_is;
};

static void undo_done(struct undo *u)
{
	for (size_t i = 0; i < u->n_is; i++)
		record_done(&u->is[i]);
	record_done(&u->change);
}

/* The administrators of a VN, of which the caller must be one. */
static bool administered(struct task *t, const struct names *admins, const char *vn)
{
	if (t->user && t->roles & ROLE_VNA && names_have(admins, t->user->object.name) &&
	    credential_covers(t, vn))
		return true;
	return refuse(t, 403, "VN '%s' has other administrators", vn);
}

static bool read_before(struct undo *u)
{
	json_t *value, *before = u->change.change.before;
	const char *key;
	char error[RECORD_ERROR];

	json_object_foreach(before, key, value)
	{
		struct record *rec = &u->is[u->n_is];

		if (json_is_null(value))
			continue;
		if (u->n_is == UNDO_VNS || record_key(key, NULL) != RECORD_VN ||
		    record_decode(key, value, rec, error))
			return refuse(u->task, 409, "the log of the VN can't be read");
		u->n_is++;
		if (!administered(u->task, &rec->vn.admins, rec->vn.name))
			return false;
	}
	return true;
}

/* What the change left behind has to be what there is. */
static bool read_after(struct undo *u)
{
	json_t *value, *after = u->change.change.after;
	const char *key, *id;
	const struct vn *vn;

	json_object_foreach(after, key, value)
	{
		if (u->n_was == UNDO_VNS || record_key(key, &id) != RECORD_VN)
			return refuse(u->task, 409, "the log of the VN can't be read");
		vn = registry_vn(u->task->registry, (uint32_t)strtoul(id, NULL, 10));
		if (json_is_null(value) ? vn != NULL
					: !vn || strcmp(vn->record.change, u->change.id))
			return refuse(u->task, 409,
				      "VN %s has changed since: the last change is no longer the "
				      "last of all VNs that it was about",
				      id);
		if (!vn)
			continue;
		u->was[u->n_was++] = vn;
		if (!administered(u->task, &vn->record.admins, vn->object.name))
			return false;
	}
	return true;
}

/* The log's last change of the VN that the request names: by ID, since it may be gone. */
static bool read_change(struct undo *u)
{
	struct task *t = u->task;
	const json_t *asked = argument(t, "vn");
	char key[RECORD_KEY], error[RECORD_ERROR];

	if (json_is_string(asked)) {
		const struct vn *vn = named_vn(t, "vn");

		if (!vn)
			return false;
		snprintf(key, sizeof(key), "vn/%u", vn->id);
	} else if (json_is_integer(asked) && json_integer_value(asked) >= 0 &&
		   json_integer_value(asked) <= UINT32_MAX) {
		snprintf(key, sizeof(key), "vn/%u", (uint32_t)json_integer_value(asked));
	} else {
		return refuse(t, 400, "'vn' is missing, or neither a name nor a network ID");
	}
	if (t->request->change) {
		char change[RECORD_KEY];

		snprintf(change, sizeof(change), "change/%.63s",
			 t->request->change_id ? t->request->change_id : "");
		if (record_decode(change, t->request->change, &u->change, error))
			return refuse(t, 409, "the log of the VN can't be read");
	}
	if (!t->request->change || !json_object_get(u->change.change.after, key))
		return refuse(t, 404, "there is no VN of this ID, and was none");
	return true;
}

/* Whether an administrator of the VN, before the change, made it. */
static bool by_administrator(const struct undo *u, const struct record *vn)
{
	const char *caller = u->change.change.caller;

	return !strncmp(caller, "user/", 5) && names_have(&vn->vn.admins, caller + 5);
}

static bool hosts_consent(struct undo *u, const struct record *vn)
{
	for (size_t i = 0; i < vn->vn.members.n; i++) {
		const char *name = vn->vn.members.at[i];
		const struct host *h = registry_host(u->task->registry, name);
		bool there = false;

		if (!h)
			return refuse(u->task, 409, "host '%s', which was in VN '%s', is gone",
				      name, vn->vn.name);
		for (size_t k = 0; k < u->n_was; k++)
			there = there || vn_has(u->was[k], h);
		if (!there && !by_administrator(u, vn) &&
		    !consents(u->task, h, vn->vn.name, vn->vn.creator))
			return false;
	}
	return true;
}

/* A name that was given up may have been taken by another VN. */
static bool name_free(struct undo *u, const struct record *vn)
{
	const struct vn *there = registry_vn_named(u->task->registry, vn->vn.name);

	for (size_t i = 0; i < u->n_was; i++)
		if (there == u->was[i])
			there = NULL;
	return there ? refuse(u->task, 409, "there is another VN '%s' now", vn->vn.name) : true;
}

/* By a credential nobody becomes an administrator again who is none now. */
static bool lets_in(const struct undo *u, const char *name)
{
	for (size_t k = 0; k < u->n_was; k++)
		if (names_have(&u->was[k]->record.admins, name))
			return false;
	return u->n_was;
}

static bool same_administrators(const struct undo *u, const struct record *vn)
{
	for (size_t i = 0; u->task->credential && i < vn->vn.admins.n; i++)
		if (lets_in(u, vn->vn.admins.at[i]))
			return refuse(u->task, 403,
				      "a credential can't be used to change administrators");
	return true;
}

bool operation_vn_undo(struct task *t)
{
	struct undo u = { .task = t, .change = { .kind = RECORD_CHANGE } };
	bool good = read_change(&u) && read_before(&u) && read_after(&u);

	for (size_t i = 0; good && i < u.n_is; i++)
		good = name_free(&u, &u.is[i]) && same_administrators(&u, &u.is[i]) &&
		       hosts_consent(&u, &u.is[i]);
	if (good) {
		good = commit_vns(t, u.was, u.n_was, u.is, u.n_is);
		u.n_is = 0;
	}
	undo_done(&u);
	return good;
}

bool operation_vn_log(struct task *t)
{
	struct undo u = { .task = t, .change = { .kind = RECORD_CHANGE } };
	const json_t *asked = argument(t, "vn");
	const struct vn *vn = NULL;
	json_int_t id = json_integer_value(asked);
	bool good;

	/* One that is there: its administrators; one that is gone: those it had. */
	if (json_is_integer(asked) && id >= 0 && id <= UINT32_MAX)
		vn = registry_vn(t->registry, (uint32_t)id);
	if (json_is_string(asked) || vn) {
		vn = named_vn(t, "vn");
		good = vn && administered(t, &vn->record.admins, vn->object.name);
		id = vn ? vn->id : 0;
	} else {
		good = read_change(&u) && read_before(&u);
	}
	if (good)
		set_result(t, mem_json(json_pack("{s:I}", "vn", id)));
	undo_done(&u);
	return good;
}
