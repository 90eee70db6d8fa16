/*
 * What one gives to others, and takes back: roles, policies of a site, tokens, delegated
 * credentials.
 *
 * Of tokens and credentials there are only hashes: who reads the store can't use them. A
 * credential acts with its user's roles, in what they still are, for the operations and
 * VNs that it names: those on VNs, and those that only show something. What it can't be used
 * for is to say who else may do what, which would outlast it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_private.h"

static const uint64_t longest_life = 366ull * 24 * 3600 * 1000; /* of a token or credential */

/* ---- users --------------------------------------------------------------------- */

/* Whether somebody else has the role adm. */
static bool other_administrator(const struct registry *r, const struct user *apart)
{
	const struct user *u;
	size_t place = 0;

	while ((u = registry_each(r, RECORD_USER, &place)))
		if (u != apart && u->record.roles & ROLE_ADM && !u->record.revoked)
			return true;
	return false;
}

static void put_user(struct task *t, const struct user *user, uint32_t roles, bool revoked)
{
	struct record rec = { .kind = RECORD_USER, .user = user->record };
	char key[RECORD_KEY];

	snprintf(key, sizeof(key), "user/%s", user->object.name);
	rec.user.roles = roles;
	rec.user.revoked = revoked;
	change_put(t, key, record_encode(&rec), &user->object);
}

static const struct user *named_user(struct task *t, const char *argument)
{
	const struct user *user;
	const char *name;

	if (!argument_name(t, argument, &name))
		return NULL;
	user = registry_user(t->registry, name);
	if (!user)
		refuse(t, 404, "there is no user '%s'", name);
	return user;
}

bool operation_manage_users(struct task *t)
{
	const struct user *user = named_user(t, "user");
	uint32_t roles;

	if (!user)
		return false;
	if (!roles_parse(argument(t, "roles"), &roles) || roles & ROLE_VR)
		return refuse(t, 400, "'roles' has to be a list of adm, sa, vna, eu");
	if (!(roles & ROLE_ADM) && !other_administrator(t->registry, user))
		return refuse(t, 409, "'%s' is the only one with the role adm", user->object.name);
	/* So that two can't take the role from each other at once. */
	change_order(t, 0, 0, NULL);
	put_user(t, user, roles, user->record.revoked);
	return true;
}

/* ---- policies ------------------------------------------------------------------ */

/* The site and the ID of a policy. */
static const struct site *policy_site(struct task *t, char id[static RECORD_KEY])
{
	const struct site *site = named_site(t, "site");
	const char *name;

	if (!site || !argument_name(t, "name", &name))
		return NULL;
	if (!owns_site(t, site)) {
		refuse(t, 403, "site '%s' has other administrators", site->object.name);
		return NULL;
	}
	snprintf(id, RECORD_KEY, "%s/%s", site->object.name, name);
	return site;
}

static bool policy_patterns(struct task *t, const char *name, struct names *ret)
{
	if (!argument(t, name)) {
		names_insert(ret, "*");
		return true;
	}
	if (!argument_names(t, name, false, true, ret))
		return false;
	return ret->n <= 10000 ? true : refuse(t, 400, "'%s' has more than 10000 entries", name);
}

bool operation_policy_set(struct task *t)
{
	struct record rec = { .kind = RECORD_POLICY };
	const struct policy *was;
	const char *effect;
	uint64_t from, to;

	if (!policy_site(t, rec.id) || !argument_name(t, "effect", &effect) ||
	    !argument_number(t, "from", 24 * 60 - 1, 0, &from) ||
	    !argument_number(t, "to", 24 * 60 - 1, 0, &to))
		return false;
	if (strcmp(effect, "permit") && strcmp(effect, "forbid"))
		return refuse(t, 400, "'effect' is neither permit nor forbid");
	rec.policy.effect = strcmp(effect, "permit") ? POLICY_FORBID : POLICY_PERMIT;
	rec.policy.from = (uint32_t)from;
	rec.policy.to = (uint32_t)to;
	was = registry_policy(t->registry, rec.id);
	if (policy_patterns(t, "hosts", &rec.policy.hosts) &&
	    policy_patterns(t, "vns", &rec.policy.vns) &&
	    policy_patterns(t, "creators", &rec.policy.creators)) {
		change_order(t, 0, 0, NULL);
		change_record(t, &rec, was ? &was->object : NULL);
		return true;
	}
	record_done(&rec);
	return false;
}

bool operation_policy_remove(struct task *t)
{
	char id[RECORD_KEY], key[RECORD_KEY + 8];
	const struct policy *policy;

	if (!policy_site(t, id))
		return false;
	policy = registry_policy(t->registry, id);
	if (!policy)
		return refuse(t, 404, "there is no policy '%s'", id);
	snprintf(key, sizeof(key), "policy/%s", id);
	change_order(t, 0, 0, NULL);
	change_delete(t, key, &policy->object);
	return true;
}

/* ---- tokens -------------------------------------------------------------------- */

static bool argument_expires(struct task *t, uint64_t *ret)
{
	uint64_t now = t->request->now;

	if (!argument(t, "expires"))
		return refuse(t, 400, "'expires' is missing: milliseconds since 1970, UTC");
	if (!argument_number(t, "expires", INT64_MAX, 0, ret))
		return false;
	return *ret > now && *ret - now <= longest_life
		       ? true
		       : refuse(t, 400, "'expires' is past, or more than a year ahead");
}

/* Of tinies: by who administers the VN. */
static bool tiny_token(struct task *t, struct token_record *token)
{
	const json_t *anywhere = argument(t, "anywhere");
	const struct vn *vn = named_vn(t, "vn");

	if (!vn)
		return false;
	if (!(t->roles & ROLE_ADM) && !owns_vn(t, vn))
		return refuse(t, 403, "VN '%s' has other administrators", vn->object.name);
	if (anywhere && !json_is_boolean(anywhere))
		return refuse(t, 400, "'anywhere' is neither true nor false");
	if (argument(t, "site") || argument(t, "roles"))
		return refuse(t, 400, "a token for tinies has neither 'site' nor 'roles'");
	token->registers = TOKEN_TINY;
	token->site = mem_text("");
	token->vn = vn->id;
	token->anywhere = json_is_true(anywhere);
	return true;
}

/* Of users, routers and hosts. */
static bool site_token(struct task *t, const char *registers, struct token_record *token)
{
	const struct site *site = NULL;
	const char *name = "";
	uint32_t roles = 0;
	bool for_user, anywhere;

	if (argument(t, "vn") || argument(t, "anywhere"))
		return refuse(t, 400, "only a token for tinies has 'vn' and 'anywhere'");
	for_user = !strcmp(registers, "user");
	if (!for_user && strcmp(registers, "router") && strcmp(registers, "host"))
		return refuse(t, 400, "'registers' is none of user, router, host, tiny");
	if (for_user && !(t->roles & ROLE_ADM))
		return refuse(t, 403, "only the role adm lets users in");
	if (for_user && (!roles_parse(argument(t, "roles"), &roles) || !roles || roles & ROLE_VR))
		return refuse(t, 400, "'roles' has to be a list of adm, sa, vna, eu");
	anywhere = !strcmp(registers, "router") && t->roles & ROLE_ADM && !argument(t, "site");
	if (!for_user && !anywhere && !(site = named_site(t, "site")))
		return false;
	if (site && !owns_site(t, site) && (!(t->roles & ROLE_ADM) || strcmp(registers, "router")))
		return refuse(t, 403, "site '%s' has other administrators", site->object.name);
	if (site)
		name = site->object.name;
	token->registers = for_user			? TOKEN_USER
			   : !strcmp(registers, "host") ? TOKEN_HOST
							: TOKEN_ROUTER;
	token->site = mem_text(name);
	token->roles = roles;
	return true;
}

bool operation_token_create(struct task *t)
{
	struct record rec = { .kind = RECORD_TOKEN };
	const char *hash, *registers;
	uint64_t count, expires;

	if (!argument_name(t, "hash", &hash) || !argument_name(t, "registers", &registers) ||
	    !argument_number(t, "count", 100000, 1, &count) || !argument_expires(t, &expires))
		return false;
	if (!strcmp(registers, "tiny") ? !tiny_token(t, &rec.token)
				       : !site_token(t, registers, &rec.token))
		return false;
	snprintf(rec.id, sizeof(rec.id), "%s", hash);
	rec.token.issuer = mem_text(t->user->object.name);
	rec.token.count = (uint32_t)count;
	rec.token.expires = expires;
	if (registry_token(t->registry, hash)) {
		record_done(&rec);
		return refuse(t, 409, "there is such a token");
	}
	change_record(t, &rec, NULL);
	return true;
}

/* ---- credentials --------------------------------------------------------------- */

bool may_delegate(enum operation o)
{
	switch (o) {
	case OPERATION_LIST_SITES:
	case OPERATION_LIST_ROUTERS:
	case OPERATION_LIST_HOSTS:
	case OPERATION_LIST_USERS:
	case OPERATION_LIST_POLICIES:
	case OPERATION_LIST_VNS:
	case OPERATION_LIST_VN_HOSTS:
	case OPERATION_GET_METRICS:
	case OPERATION_CHECK:
	case OPERATION_AUDIT:
	case OPERATION_VN_CREATE:
	case OPERATION_VN_SHUTDOWN:
	case OPERATION_VN_MERGE:
	case OPERATION_VN_SPLIT:
	case OPERATION_VN_JOIN:
	case OPERATION_VN_LEAVE:
	case OPERATION_VN_CHANGE:
	case OPERATION_VN_LOG:
	case OPERATION_VN_UNDO: return true;
	default: return false;
	}
}

bool operation_delegate(struct task *t)
{
	struct record rec = { .kind = RECORD_CREDENTIAL };
	struct names operations, vns = { 0 };
	const char *hash;
	uint64_t expires;
	bool good = true;

	if (!argument_name(t, "hash", &hash) || !argument_expires(t, &expires) ||
	    !argument_names(t, "operations", false, false, &operations))
		return false;
	for (size_t i = 0; good && i < operations.n; i++) {
		enum operation o = operation_named(operations.at[i]);

		if (o == OPERATIONS)
			good = refuse(t, 404, "there is no operation '%s'", operations.at[i]);
		else if (!may_delegate(o) || !role_may(o, t->roles))
			good = refuse(t, 403, "'%s' can't be delegated by the caller",
				      operations.at[i]);
	}
	if (good && !argument(t, "vns"))
		names_insert(&vns, "*");
	else
		good = good && argument_names(t, "vns", false, true, &vns);
	if (good && (operations.n > 256 || vns.n > 256))
		good = refuse(t, 400, "more than 256 operations or VNs");
	if (good && registry_credential(t->registry, hash))
		good = refuse(t, 409, "there is such a credential");
	snprintf(rec.id, sizeof(rec.id), "%s", hash);
	rec.credential = (struct credential_record){ .user = mem_text(t->user->object.name),
						     .operations = operations,
						     .vns = vns,
						     .expires = expires };
	if (good)
		change_record(t, &rec, NULL);
	else
		record_done(&rec);
	return good;
}

/* ---- taking back --------------------------------------------------------------- */

static bool revoke_user(struct task *t)
{
	const struct user *user = named_user(t, "name");

	if (!user)
		return false;
	if (!(t->roles & ROLE_ADM))
		return refuse(t, 403, "only the role adm revokes users");
	if (user->record.roles & ROLE_ADM && !other_administrator(t->registry, user))
		return refuse(t, 409, "'%s' is the only one with the role adm", user->object.name);
	change_order(t, 0, 0, NULL);
	put_user(t, user, user->record.roles, true);
	return true;
}

static bool revoke_router(struct task *t)
{
	const struct router *router = managed_router(t, "name");
	struct record rec;

	if (!router)
		return false;
	router_record(router, &rec);
	rec.router.revoked = true;
	change_order(t, 0, 0, NULL);
	change_record(t, &rec, &router->object);
	return true;
}

static bool revoke_credential(struct task *t, const char *hash)
{
	const struct credential *c = registry_credential(t->registry, hash);
	char key[RECORD_KEY];

	if (!c)
		return refuse(t, 404, "there is no such credential");
	if (!(t->roles & ROLE_ADM) && (!t->user || strcmp(c->record.user, t->user->object.name)))
		return refuse(t, 403, "the credential is another user's");
	snprintf(key, sizeof(key), "credential/%s", hash);
	change_order(t, 0, 0, NULL);
	change_delete(t, key, &c->object);
	return true;
}

static bool revoke_token(struct task *t, const char *hash)
{
	const struct token *token = registry_token(t->registry, hash);
	char key[RECORD_KEY];

	if (!token)
		return refuse(t, 404, "there is no such token");
	if (!(t->roles & ROLE_ADM) &&
	    (!t->user || strcmp(token->record.issuer, t->user->object.name)))
		return refuse(t, 403, "the token is another user's");
	snprintf(key, sizeof(key), "token/%s", hash);
	change_delete(t, key, &token->object);
	return true;
}

bool operation_revoke(struct task *t)
{
	const char *kind, *name;

	if (!argument_name(t, "kind", &kind) || !argument_name(t, "name", &name))
		return false;
	if (!strcmp(kind, "user"))
		return revoke_user(t);
	if (!strcmp(kind, "router"))
		return revoke_router(t);
	if (!strcmp(kind, "tiny"))
		return revoke_tiny(t);
	if (!strcmp(kind, "credential"))
		return revoke_credential(t, name);
	if (!strcmp(kind, "token"))
		return revoke_token(t, name);
	return refuse(t, 400, "'kind' is none of user, router, tiny, credential, token");
}
