/*
 * Operations on VNs: each says which VNs become which, and who has to be asked; the
 * rules that hold for all are in operation_commit.c.
 *
 * Who has to be asked: the VN (its administrators; for a join also those whom it lets
 * in), and the host (its owner, the administrator of its site, or a policy of its site
 * that permits it). Who creates a VN is its administrator, and has the role vna from then
 * on. A merge or a split asks no host: what it is in, it was put in with consent, and
 * what its site forbids holds there too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_private.h"

/* ---- new VNs ------------------------------------------------------------------- */

/* A network ID: the one asked for, or the next. `apart` is taken as well. */
static bool choose_id(struct task *t, const json_t *asked, uint32_t apart, uint32_t *ret)
{
	uint32_t id = registry_order(t->registry)->record.next_vn;
	json_int_t number = json_integer_value(asked);

	if (asked && (!json_is_integer(asked) || number < 1 || number > UINT32_MAX))
		return refuse(t, 400, "'id' is not a network ID, 1 to 4294967295");
	if (asked) {
		if (registry_vn(t->registry, (uint32_t)number) || (uint32_t)number == apart)
			return refuse(t, 409, "the network ID %lld is taken", (long long)number);
		*ret = (uint32_t)number;
		return true;
	}
	while (!id || id == apart || registry_vn(t->registry, id))
		id++;
	*ret = id;
	return true;
}

/* Whether a VN may have that name, when these are gone. */
static bool free_name(struct task *t, const char *name, const struct vn *const *was, size_t n_was)
{
	const struct vn *there = registry_vn_named(t->registry, name);

	if (!credential_covers(t, name))
		return refuse(t, 403, "this credential isn't for VN '%s'", name);
	for (size_t i = 0; i < n_was; i++)
		if (there == was[i])
			return true;
	return there ? refuse(t, 409, "there is a VN '%s' already", name) : true;
}

/* One of these (bits); VN_DEFAULT: not given. */
static bool take_word(struct task *t, const char *name, unsigned allowed, const char *expected,
		      enum vn_protection *ret)
{
	const json_t *value = argument(t, name);
	const char *text = json_string_value(value);

	*ret = VN_DEFAULT;
	for (unsigned i = 0; text && i < VN_PROTECTIONS; i++)
		if (allowed & 1u << i && !strcmp(text, vn_protection_names[i]))
			*ret = (enum vn_protection)i;
	return !value || *ret ? true : refuse(t, 400, "'%s' is not %s", name, expected);
}

/* `sign` and `encrypt`, as in a router's configuration: what is encrypted is signed as well. */
static bool take_protection(struct task *t, enum vn_protection *ret)
{
	const unsigned signs = 1u << VN_HMAC | 1u << VN_NONE;
	const unsigned encrypts = 1u << VN_AES_256_GCM | 1u << VN_CHACHA20_POLY1305 | 1u << VN_NONE;
	enum vn_protection sign, encrypt;

	if (!take_word(t, "sign", signs, "hmac-sha256 or none", &sign) ||
	    !take_word(t, "encrypt", encrypts, "aes-256-gcm, chacha20-poly1305 or none", &encrypt))
		return false;
	if (encrypt > VN_NONE)
		*ret = encrypt;
	else if (sign)
		*ret = sign;
	else if (encrypt)
		*ret = VN_HMAC;
	return true;
}

/* Of two that merge: what encrypts, else what all have by default, else what signs. */
static enum vn_protection stronger(enum vn_protection a, enum vn_protection b)
{
	enum vn_protection more = a > b ? a : b, less = a > b ? b : a;

	return less == VN_DEFAULT && more < VN_AES_256_GCM ? less : more;
}

/* The record of a new VN of the caller's, without members. */
static void begin_vn(struct task *t, struct record *rec, uint32_t id, const char *name)
{
	*rec = (struct record){ .kind = RECORD_VN };
	snprintf(rec->id, sizeof(rec->id), "%u", id);
	rec->vn = (struct vn_record){ .name = mem_text(name),
				      .creator = mem_text(t->user->object.name),
				      .created = t->request->now };
	names_insert(&rec->vn.admins, t->user->object.name);
}

static void grant_vna(struct task *t, const struct user *user)
{
	struct record rec = { .kind = RECORD_USER, .user = user->record };

	if (user->record.roles & ROLE_VNA)
		return;
	snprintf(rec.id, sizeof(rec.id), "user/%s", user->object.name);
	rec.user.roles |= ROLE_VNA;
	change_put(t, rec.id, record_encode(&rec), &user->object);
}

static void merge_names(struct names *into, const struct names *from)
{
	for (size_t i = 0; i < from->n; i++)
		names_insert(into, from->at[i]);
}

bool operation_vn_create(struct task *t)
{
	struct record rec;
	const char *name;
	struct names users, hosts;
	enum vn_protection protection = VN_DEFAULT;
	uint32_t id;

	if (!argument_name(t, "name", &name) || !free_name(t, name, NULL, 0) ||
	    !choose_id(t, argument(t, "id"), 0, &id) || !take_protection(t, &protection) ||
	    !argument_names(t, "users", true, true, &users))
		return false;
	if (!argument_names(t, "hosts", true, false, &hosts)) {
		names_done(&users);
		return false;
	}
	begin_vn(t, &rec, id, name);
	rec.vn.protection = protection;
	rec.vn.users = users;
	rec.vn.members = hosts;
	for (size_t i = 0; i < hosts.n; i++) {
		const struct host *h = registry_host(t->registry, hosts.at[i]);

		if (h ? consents(t, h, name, t->user->object.name)
		      : refuse(t, 404, "there is no host '%s'", hosts.at[i]))
			continue;
		record_done(&rec);
		return false;
	}
	grant_vna(t, t->user);
	return commit_vns(t, NULL, 0, &rec, 1);
}

/* ---- whole VNs ----------------------------------------------------------------- */

static bool administers(struct task *t, const struct vn *vn)
{
	return owns_vn(t, vn) ? true
			      : refuse(t, 403, "VN '%s' has other administrators", vn->object.name);
}

bool operation_vn_shutdown(struct task *t)
{
	const struct vn *vn = named_vn(t, "vn");

	return vn && administers(t, vn) && commit_vns(t, &vn, 1, NULL, 0);
}

bool operation_vn_merge(struct task *t)
{
	const json_t *vns = argument(t, "vns");
	const struct vn *was[2];
	struct record rec;
	enum vn_protection protection;
	const char *name;
	uint32_t id;

	if (json_array_size(vns) != 2)
		return refuse(t, 400, "'vns' has to be a list of the two VNs to merge");
	for (size_t i = 0; i < 2; i++) {
		was[i] = find_vn(t, json_array_get(vns, i));
		if (!was[i] || !administers(t, was[i]))
			return false;
	}
	if (was[0] == was[1])
		return refuse(t, 400, "'vns' has the same VN twice");
	if (!argument_name(t, "name", &name) || !free_name(t, name, was, 2) ||
	    !choose_id(t, argument(t, "id"), 0, &id))
		return false;
	protection = stronger(was[0]->record.protection, was[1]->record.protection);
	if (!take_protection(t, &protection))
		return false;
	begin_vn(t, &rec, id, name);
	rec.vn.protection = protection;
	for (size_t i = 0; i < 2; i++) {
		struct record old;
		struct names both = { 0 };
		const struct names *a = &rec.vn.members, *b = &old.vn.members;

		vn_record(was[i], &old);
		merge_names(&rec.vn.admins, &old.vn.admins);
		merge_names(&rec.vn.users, &old.vn.users);
		if (names_have(&rec.vn.users, "*")) {
			names_done(&rec.vn.users);
			names_insert(&rec.vn.users, "*");
		}
		both.at = mem_new(a->n + b->n, sizeof(*both.at));
		for (size_t x = 0, y = 0; x < a->n || y < b->n;) {
			int order = x == a->n ? 1 : y == b->n ? -1 : strcmp(a->at[x], b->at[y]);

			both.at[both.n++] = mem_text(order <= 0 ? a->at[x] : b->at[y]);
			x += order <= 0;
			y += order >= 0;
		}
		names_done(&rec.vn.members);
		rec.vn.members = both;
		record_done(&old);
	}
	if (rec.vn.admins.n > 256 || rec.vn.members.n > RECORD_MEMBERS) {
		record_done(&rec);
		return refuse(t, 409, "the VN would have too many members or administrators");
	}
	return commit_vns(t, was, 2, &rec, 1);
}

/* One of the two groups of a split: {"name": ..., "id": ..., "hosts": [...]}. */
static bool split_group(struct task *t, const struct vn *vn, const json_t *group, uint32_t apart,
			struct record *ret)
{
	const char *name = json_string_value(json_object_get(group, "name"));
	struct names hosts;
	uint32_t id;

	if (!name || !name_valid(name))
		return refuse(t, 400, "a group's 'name' is missing, or not a name");
	if (!free_name(t, name, &vn, 1) ||
	    !choose_id(t, json_object_get(group, "id"), apart, &id) ||
	    !names_from(t, "hosts", json_object_get(group, "hosts"), false, &hosts))
		return false;
	begin_vn(t, ret, id, name);
	ret->vn.protection = vn->record.protection;
	names_copy(&ret->vn.users, &vn->record.users);
	merge_names(&ret->vn.admins, &vn->record.admins);
	ret->vn.members = hosts;
	return true;
}

/* Whether each member is in one of the two, and nobody else. */
static bool divides(struct task *t, const struct vn *vn, const struct names *a,
		    const struct names *b)
{
	for (size_t i = 0; i < vn->n_members; i++) {
		const char *name = vn->members[i]->object.name;
		bool first = names_have(a, name), second = names_have(b, name);

		if (first != second)
			continue;
		return refuse(t, 400, "host '%s' is in %s of the groups", name,
			      first ? "both" : "neither");
	}
	if (a->n + b->n != vn->n_members)
		return refuse(t, 400, "the groups have hosts that are not in VN '%s'",
			      vn->object.name);
	return true;
}

bool operation_vn_split(struct task *t)
{
	const struct vn *vn = named_vn(t, "vn");
	const json_t *groups = argument(t, "groups");
	struct record is[2];

	if (!vn || !administers(t, vn))
		return false;
	if (json_array_size(groups) != 2)
		return refuse(t, 400, "'groups' has to be a list of two groups");
	if (!split_group(t, vn, json_array_get(groups, 0), 0, &is[0]))
		return false;
	if (!split_group(t, vn, json_array_get(groups, 1), (uint32_t)strtoul(is[0].id, NULL, 10),
			 &is[1])) {
		record_done(&is[0]);
		return false;
	}
	if ((strcmp(is[0].vn.name, is[1].vn.name) ||
	     refuse(t, 400, "both groups have the name '%s'", is[0].vn.name)) &&
	    divides(t, vn, &is[0].vn.members, &is[1].vn.members))
		return commit_vns(t, &vn, 1, is, 2);
	record_done(&is[0]);
	record_done(&is[1]);
	return false;
}

/* ---- members ------------------------------------------------------------------- */

/* A router asks in the name of the host's owner, who has agreed to that by making the host's
 * secret (or the token with which it was made): else a router could name anybody as owner of
 * a host, and so come into any VN. */
static bool acts_for_owner(struct task *t, const struct host *host)
{
	const struct user *owner = host->owner;

	if (!owns_host(t, host))
		return refuse(t, 403, "host '%s' is not the caller's", host->object.name);
	if (owner->record.revoked)
		return refuse(t, 403, "host '%s': its owner '%s' was revoked", host->object.name,
			      owner->object.name);
	return host->key ? true
			 : refuse(t, 403,
				  "host '%s' has no secret yet: its owner '%s' makes one with "
				  "vinectl host token, or puts it into the VN",
				  host->object.name, owner->object.name);
}

static bool may_join(struct task *t, const struct vn *vn, const struct host *host)
{
	const char *user = t->user ? t->user->object.name : host->owner->object.name;

	if (t->router && !acts_for_owner(t, host))
		return false;
	if (!owns_vn(t, vn) && !names_match(&vn->record.users, user) &&
	    !(t->router && names_have(&vn->record.admins, user)))
		return refuse(t, 403, "VN '%s' doesn't let '%s' join: ask its administrator '%s'",
			      vn->object.name, user,
			      vn->record.admins.n ? vn->record.admins.at[0] : "-");
	return consents(t, host, vn->object.name, vn->record.creator);
}

static bool may_leave(struct task *t, const struct vn *vn, const struct host *host)
{
	if (owns_vn(t, vn) || owns_host(t, host) || owns_site(t, host->router->site))
		return true;
	return refuse(t, 403, "host '%s' is not the caller's to take out of VN '%s'",
		      host->object.name, vn->object.name);
}

static bool change_members(struct task *t, bool joins)
{
	const struct vn *vn = named_vn(t, "vn");
	struct names hosts;
	struct record rec;
	bool good = true;

	if (!vn || !argument_names(t, "hosts", false, false, &hosts))
		return false;
	vn_record(vn, &rec);
	for (size_t i = 0; good && i < hosts.n; i++) {
		const struct host *h = registry_host(t->registry, hosts.at[i]);

		if (!h)
			good = refuse(t, 404, "there is no host '%s'", hosts.at[i]);
		else if (joins ? !may_join(t, vn, h) : !may_leave(t, vn, h))
			good = false;
		else if (vn_has(vn, h) == joins)
			good = refuse(t, 409, "host '%s' is %s VN '%s'", hosts.at[i],
				      joins ? "already in" : "not in", vn->object.name);
		else if (joins)
			names_insert(&rec.vn.members, hosts.at[i]);
		else
			names_remove(&rec.vn.members, hosts.at[i]);
	}
	names_done(&hosts);
	if (good && rec.vn.members.n > RECORD_MEMBERS)
		good = refuse(t, 409, "the VN would have more than %d members", RECORD_MEMBERS);
	if (good)
		return commit_vns(t, &vn, 1, &rec, 1);
	record_done(&rec);
	return false;
}

bool operation_vn_join(struct task *t)
{
	return change_members(t, true);
}

bool operation_vn_leave(struct task *t)
{
	return change_members(t, false);
}

/* ---- its record ---------------------------------------------------------------- */

static bool change_admins(struct task *t, const struct names *names)
{
	if (!names->n || names->n > 256)
		return refuse(t, 400, "a VN has 1 to 256 administrators");
	for (size_t i = 0; i < names->n; i++) {
		const struct user *user = registry_user(t->registry, names->at[i]);

		if (!user)
			return refuse(t, 404, "there is no user '%s'", names->at[i]);
		grant_vna(t, user);
	}
	return true;
}

bool operation_vn_change(struct task *t)
{
	const struct vn *vn = named_vn(t, "vn");
	struct names admins = { 0 }, users = { 0 };
	const char *name;
	struct record rec;

	if (!vn || !administers(t, vn))
		return false;
	name = vn->object.name;
	if (t->credential && argument(t, "admins"))
		return refuse(t, 403, "a credential can't be used to change administrators");
	if (argument(t, "name") &&
	    (!argument_name(t, "name", &name) || !free_name(t, name, &vn, 1)))
		return false;
	if (!argument_names(t, "admins", true, false, &admins) ||
	    (argument(t, "admins") && !change_admins(t, &admins)) ||
	    !argument_names(t, "users", true, true, &users)) {
		names_done(&admins);
		return false;
	}
	vn_record(vn, &rec);
	free(rec.vn.name);
	rec.vn.name = mem_text(name);
	if (argument(t, "admins")) {
		names_done(&rec.vn.admins);
		rec.vn.admins = admins;
	}
	if (argument(t, "users")) {
		names_done(&rec.vn.users);
		rec.vn.users = users;
	}
	return commit_vns(t, &vn, 1, &rec, 1);
}
