/*
 * Registering: sites, users, routers, hosts. Everybody may who has a one-time token, which
 * says what it is good for; without one: ADM any site, user or router; SA routers and
 * hosts of its sites; a router hosts of its own. A host that registers by way of its router
 * needs a token, and brings the hash of a secret that it is known by from then on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_addresses.h"
#include "common/image.h"

/* A record of this kind and name, which must be new. */
static bool begin_record(struct task *t, enum record_kind kind, const void *there, const char *name,
			 struct record *ret)
{
	if (there)
		return refuse(t, 409, "the name '%s' is taken", name);
	*ret = (struct record){ .kind = kind };
	snprintf(ret->id, sizeof(ret->id), "%s", name);
	return true;
}

/* One that was registered: the record is the result. */
static bool finish(struct task *t, struct record *rec)
{
	set_result(t,
		   mem_json(json_pack("{s:s,s:o}", "name", rec->id, "record", record_encode(rec))));
	change_record(t, rec, NULL);
	return true;
}

static bool known_users(struct task *t, const struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		if (!registry_user(t->registry, names->at[i]))
			return refuse(t, 404, "there is no user '%s'", names->at[i]);
	return names->n <= 256 ? true : refuse(t, 400, "more than 256 administrators");
}

/* Who comes with a token shows that the key is its own, by a request signed with it. Without
 * one an administrator vouches for the key, or leaves it to be none. */
static bool own_key(struct task *t, const struct token *token, const char **ret)
{
	if (token && !t->request->certified)
		return refuse(t, 400, "'csr' is missing: a request signed with the key");
	return argument_text(t, "key", 1024, ret);
}

/* ---- sites --------------------------------------------------------------------- */

/* The fields of a site that are among the arguments. */
static bool site_fields(struct task *t, struct site_record *site)
{
	const char *text;

	if (argument(t, "admins")) {
		names_done(&site->admins);
		if (!argument_names(t, "admins", false, false, &site->admins) ||
		    !known_users(t, &site->admins))
			return false;
	}
	if (argument(t, "subnets")) {
		free(site->subnets.at);
		site->subnets = (struct blocks){ 0 };
		if (!argument_blocks(t, "subnets", &site->subnets))
			return false;
	}
	if (argument(t, "location")) {
		if (!argument_text(t, "location", 256, &text))
			return false;
		free(site->location);
		site->location = mem_text(text);
	}
	if (argument(t, "contact")) {
		if (!argument_text(t, "contact", 256, &text))
			return false;
		free(site->contact);
		site->contact = mem_text(text);
	}
	return true;
}

static bool register_site(struct task *t, const char *name)
{
	struct record rec;

	if (!(t->roles & ROLE_ADM))
		return refuse(t, 403, "only the role adm registers sites");
	if (!begin_record(t, RECORD_SITE, registry_site(t->registry, name), name, &rec))
		return false;
	rec.site.created = t->request->now;
	if (site_fields(t, &rec.site))
		return finish(t, &rec);
	record_done(&rec);
	return false;
}

bool operation_site_change(struct task *t)
{
	const struct site *site = managed_site(t, "site");
	struct record rec = { .kind = RECORD_SITE };
	const struct site_record *was;

	if (!site)
		return false;
	was = &site->record;
	snprintf(rec.id, sizeof(rec.id), "%s", site->object.name);
	rec.site = (struct site_record){ .location = mem_text(was->location),
					 .contact = mem_text(was->contact),
					 .created = was->created };
	names_copy(&rec.site.admins, &was->admins);
	rec.site.subnets.n = was->subnets.n;
	rec.site.subnets.at = mem_new(was->subnets.n, sizeof(struct prefix));
	for (size_t i = 0; i < was->subnets.n; i++)
		rec.site.subnets.at[i] = was->subnets.at[i];
	if (site_fields(t, &rec.site)) {
		change_order(t, 0, 0, NULL);
		change_record(t, &rec, &site->object);
		return true;
	}
	record_done(&rec);
	return false;
}

/* ---- users --------------------------------------------------------------------- */

static bool register_user(struct task *t, const char *name, const struct token *token)
{
	const char *key;
	struct record rec;
	uint32_t roles;

	if (!token && !(t->roles & ROLE_ADM))
		return refuse(t, 403, "without a token only the role adm registers users");
	if (token && argument(t, "roles"))
		return refuse(t, 400, "the token says which roles");
	if (token)
		roles = token->record.roles;
	else if (!roles_parse(argument(t, "roles"), &roles) || !roles || roles & ROLE_VR)
		return refuse(t, 400, "'roles' has to be a list of adm, sa, vna, eu");
	if (!own_key(t, token, &key) ||
	    !begin_record(t, RECORD_USER, registry_user(t->registry, name), name, &rec))
		return false;
	rec.user = (struct user_record){ .roles = roles,
					 .key = mem_text(key),
					 .created = t->request->now,
					 .expires = t->request->certified };
	return finish(t, &rec);
}

/* Until when a router's is good it shows with each heartbeat. */
bool operation_renew(struct task *t)
{
	struct record rec = { .kind = RECORD_USER };
	const struct user_record *was = t->user ? &t->user->record : NULL;

	set_result(t, mem_json(json_object()));
	if (!was || !t->request->certified)
		return true;
	snprintf(rec.id, sizeof(rec.id), "%s", t->user->object.name);
	rec.user = (struct user_record){ .roles = was->roles,
					 .key = mem_text(was->key),
					 .created = was->created,
					 .expires = t->request->certified };
	change_record(t, &rec, &t->user->object);
	return true;
}

/* ---- routers ------------------------------------------------------------------- */

/* In the order in which they are given. */
static bool take_queue_routers(struct task *t, const char *self, struct names *ret)
{
	const json_t *list = argument(t, "queue_routers");
	struct names names;

	if (!argument_names(t, "queue_routers", false, false, &names))
		return false;
	names_done(ret);
	*ret = names;
	for (size_t i = 0; i < names.n; i++) { /* they came back sorted */
		free(names.at[i]);
		names.at[i] = mem_text(json_string_value(json_array_get(list, i)));
	}
	if (names.n > RECORD_QUEUE_ROUTERS)
		return refuse(t, 400, "more than %d queue routers", RECORD_QUEUE_ROUTERS);
	for (size_t i = 0; i < names.n; i++) {
		const struct router *q = registry_router(t->registry, names.at[i]);

		if (!q)
			return refuse(t, 404, "there is no router '%s'", names.at[i]);
		if (!strcmp(names.at[i], self) || !q->record.relay)
			return refuse(
				t, 409,
				"router '%s' doesn't serve as queue router%s: see its 'relay'",
				names.at[i], strcmp(names.at[i], self) ? "" : " of itself");
	}
	return true;
}

static bool take_truth(struct task *t, const char *name, bool *ret)
{
	const json_t *value = argument(t, name);

	if (value && !json_is_boolean(value))
		return refuse(t, 400, "'%s' is neither true nor false", name);
	if (value)
		*ret = json_is_true(value);
	return true;
}

static bool take_endpoint(struct task *t, struct router_record *router)
{
	const char *text;

	if (!argument(t, "endpoint"))
		return true;
	if (!argument_text(t, "endpoint", 256, &text))
		return false;
	if (*text && !image_endpoint_valid(text))
		return refuse(t, 400, "'endpoint' is not HOST:PORT, [ADDRESS]:PORT, or \"\"");
	free(router->endpoint);
	router->endpoint = mem_text(text);
	return true;
}

static bool take_limited(struct task *t, enum router_limited *ret)
{
	const json_t *value = argument(t, "limited");
	const char *text = json_string_value(value);

	if (!value)
		return true;
	for (unsigned i = 0; text && i < ROUTER_LIMITED_WORDS; i++)
		if (!strcmp(router_limited_names[i], text)) {
			*ret = (enum router_limited)i;
			return true;
		}
	return refuse(t, 400, "'limited' is none of auto, no, channel, udp, poll-udp, poll-tcp");
}

/* How it is reached, and by it others: what is given of that. */
static bool router_fields(struct task *t, const char *name, struct router_record *router)
{
	uint64_t port;

	if (!take_endpoint(t, router) || !take_limited(t, &router->limited) ||
	    !take_truth(t, "relay", &router->relay) || !take_truth(t, "direct", &router->direct) ||
	    !argument_number(t, "tls_port", UINT16_MAX, router->tls_port, &port) ||
	    (argument(t, "queue_routers") && !take_queue_routers(t, name, &router->queue_routers)))
		return false;
	if (!port)
		return refuse(t, 400, "'tls_port' is not a port, 1 to 65535");
	router->tls_port = (uint32_t)port;
	if (router->relay && (!router->endpoint[0] || router->limited > ROUTER_NOT_LIMITED))
		return refuse(t, 409,
			      "a queue router needs an 'endpoint' where others reach it, and isn't "
			      "limited itself");
	return true;
}

static bool router_id(struct task *t, uint32_t *ret)
{
	uint64_t asked;
	uint32_t id = registry_order(t->registry)->record.next_router;

	if (!argument_number(t, "id", UINT32_MAX, 0, &asked))
		return false;
	if (asked && (registry_router_id(t->registry, (uint32_t)asked) ||
		      registry_tiny_id(t->registry, (uint32_t)asked)))
		return refuse(t, 409, "the router ID %u is taken", (unsigned)asked);
	while (!id || registry_router_id(t->registry, id) || registry_tiny_id(t->registry, id))
		id++;
	*ret = asked ? (uint32_t)asked : id;
	return true;
}

static bool issuer_is_adm(const struct task *t, const struct token *token)
{
	const struct user *u = registry_user(t->registry, token->record.issuer);

	return u && !u->record.revoked && u->record.roles & ROLE_ADM;
}

/* The name of the site that the router is going to be at; NULL: refused. A token of none
 * is for any, also for one that begins with this router, and is its issuer's then. */
static const char *site_of_router(struct task *t, const char *router, const struct token *token)
{
	struct record rec = { .kind = RECORD_SITE };
	const struct site *site;
	const char *name = router;

	if (!token) {
		site = managed_site(t, "site");
		return site ? site->object.name : NULL;
	}
	if (*token->record.site || argument(t, "site")) {
		name = token->record.site;
		if (!*name && !argument_name(t, "site", &name))
			return NULL;
	}
	if (argument(t, "site") && *token->record.site) {
		refuse(t, 400, "the token says which site");
		return NULL;
	}
	if (registry_site(t->registry, name))
		return name;
	if (*token->record.site || !issuer_is_adm(t, token)) {
		refuse(t, 404, "there is no site '%s'", name);
		return NULL;
	}
	snprintf(rec.id, sizeof(rec.id), "%s", name);
	rec.site = (struct site_record){ .location = mem_text(""),
					 .contact = mem_text(""),
					 .created = t->request->now };
	rec.site.admins = (struct names){ 1, mem_new(1, sizeof(char *)) };
	rec.site.admins.at[0] = mem_text(token->record.issuer);
	change_record(t, &rec, NULL);
	return name;
}

/* Blocks are what the role adm gives: itself, or by its token. */
static bool first_blocks(struct task *t, const char *site, const struct token *token,
			 struct blocks *ret)
{
	if (!argument(t, "blocks"))
		return true;
	if (token ? !issuer_is_adm(t, token) : !(t->roles & ROLE_ADM))
		return refuse(t, 403, "only the role adm gives blocks: register without");
	if (!argument_blocks(t, "blocks", ret))
		return false;
	if (ret->n > 256)
		return refuse(t, 400, "more than 256 blocks");
	for (size_t i = 0; i < ret->n; i++)
		if (!block_is_free(t, NULL, registry_site(t->registry, site), &ret->at[i]))
			return false;
	return true;
}

static bool register_router(struct task *t, const char *name, const struct token *token)
{
	const char *key, *site = site_of_router(t, name, token);
	struct record rec;
	uint32_t id = 0;

	if (!site || !own_key(t, token, &key) || !router_id(t, &id) ||
	    !begin_record(t, RECORD_ROUTER, registry_router(t->registry, name), name, &rec))
		return false;
	rec.router = (struct router_record){ .id = id,
					     .site = mem_text(site),
					     .key = mem_text(key),
					     .endpoint = mem_text(""),
					     .queue_order = mem_text(""),
					     .tls_port = 443,
					     .direct = true,
					     .created = t->request->now };
	if (!router_fields(t, name, &rec.router) ||
	    !first_blocks(t, site, token, &rec.router.blocks)) {
		record_done(&rec);
		return false;
	}
	change_order(t, 0, id, NULL);
	return finish(t, &rec);
}

bool operation_router_change(struct task *t)
{
	const struct router *router = managed_router(t, "router");
	struct record rec;

	if (!router)
		return false;
	router_record(router, &rec);
	if (!router_fields(t, router->object.name, &rec.router) ||
	    !take_truth(t, "disabled", &rec.router.disabled)) {
		record_done(&rec);
		return false;
	}
	change_record(t, &rec, &router->object);
	return true;
}

/* What the authority itself decides on its measurements: whether a router is silent for
 * long, which of its queue routers others try first, and which tinies it delivers to. */
bool operation_steer(struct task *t)
{
	const struct router *router = named_router(t, "router");
	const json_t *silent = argument(t, "silent");
	struct record rec;
	const char *text;

	if (!router)
		return false;
	if (argument(t, "tinies"))
		return steer_tinies(t, router);
	if (silent && !json_is_boolean(silent))
		return refuse(t, 400, "'silent' is neither true nor false");
	if (!argument_text(t, "queue_order", RECORD_QUEUE_ROUTERS * (RECORD_NAME + 1), &text))
		return false;
	router_record(router, &rec);
	if (silent)
		rec.router.silent = json_is_true(silent);
	if (argument(t, "queue_order")) {
		free(rec.router.queue_order);
		rec.router.queue_order = mem_text(text);
	}
	set_result(t, mem_json(json_object()));
	change_record(t, &rec, &router->object);
	return true;
}

/* ---- hosts --------------------------------------------------------------------- */

/* Whose the host is going to be: who is named, else who asks. */
static bool host_owner(struct task *t, const struct token *token, const char **ret)
{
	if (argument(t, "owner")) {
		if (!argument_name(t, "owner", ret))
			return false;
	} else if (t->user) {
		*ret = t->user->object.name;
	} else if (token) {
		*ret = token->record.issuer;
	} else {
		return refuse(t, 400, "'owner' is missing: the user whose host it is");
	}
	return registry_user(t->registry, *ret) ? true
						: refuse(t, 404, "there is no user '%s'", *ret);
}

static bool register_host(struct task *t, const char *name, const struct token *token)
{
	const struct router *router =
		t->router && !argument(t, "router") ? t->router : named_router(t, "router");
	const char *owner, *key = t->request->caller.host_key;
	struct record rec;

	if (!router)
		return false;
	if (t->request->caller.host && (!token || strcmp(name, t->request->caller.host)))
		return refuse(t, 403, "a host registers itself, and with a token");
	if (token && strcmp(router->site->object.name, token->record.site))
		return refuse(t, 403, "the token is for site '%s'", token->record.site);
	if (!token && t->router != router && !owns_site(t, router->site))
		return refuse(t, 403,
			      "a host of site '%s' is registered by its administrators, by its "
			      "router, or with a token",
			      router->site->object.name);
	if (token && !t->user && argument(t, "owner"))
		return refuse(t, 400, "the host will be the token's issuer's: leave 'owner' out");
	if (!host_owner(t, token, &owner) ||
	    !begin_record(t, RECORD_HOST, registry_host(t->registry, name), name, &rec))
		return false;
	if (token && t->user && strcmp(owner, t->user->object.name))
		return refuse(t, 403, "with a token one registers hosts of one's own");
	rec.host = (struct host_record){ .router = mem_text(router->object.name),
					 .owner = mem_text(owner),
					 .key = mem_text(key ? key : ""),
					 .created = t->request->now };
	if (!addresses_from(t, router, argument(t, "addresses"), &rec.host.addresses)) {
		record_done(&rec);
		return false;
	}
	change_order(t, 0, 0, NULL);
	return finish(t, &rec);
}

/* The host that asks is there: it hasn't heard the answer. */
static bool registered_again(struct task *t)
{
	struct record rec;

	host_record(t->host, &rec);
	set_result(t,
		   mem_json(json_pack("{s:s,s:o}", "name", rec.id, "record", record_encode(&rec))));
	record_done(&rec);
	return true;
}

/* A new secret for the machine: the old one is good for nothing more. Who has it acts for the
 * owner, so that it is nobody else's to make. */
bool operation_host_token(struct task *t)
{
	const struct host *host = named_host(t, "host");
	const char *hash;
	struct record rec;

	if (!host || !argument_name(t, "hash", &hash))
		return false;
	if (!owns_host(t, host))
		return refuse(t, 403, "host '%s' is '%s''s: only its owner makes its secret",
			      host->object.name, host->owner->object.name);
	host_record(host, &rec);
	free(rec.host.key);
	rec.host.key = mem_text(hash);
	change_order(t, 0, 0, NULL);
	change_record(t, &rec, &host->object);
	return true;
}

bool operation_host_remove(struct task *t)
{
	const struct host *host = named_host(t, "host");
	char key[RECORD_KEY];

	if (!host)
		return false;
	if (!owns_host(t, host) && !owns_site(t, host->router->site))
		return refuse(t, 403, "host '%s' is not the caller's", host->object.name);
	if (host->tiny)
		return refuse(t, 409, "host '%s' is a tiny: revoke it (vinectl tiny revoke)",
			      host->object.name);
	if (host->n_vns)
		return refuse(t, 409, "host '%s' is in VN '%s': it has to leave first",
			      host->object.name, host->vns[0]->object.name);
	snprintf(key, sizeof(key), "host/%s", host->object.name);
	change_delete(t, key, &host->object);
	change_order(t, 0, 0, NULL);
	return true;
}

/* ---- tokens -------------------------------------------------------------------- */

/* A token is worth what its issuer may still give: as operation_token_create. */
static bool issuer_may(const struct task *t, const struct token_record *token)
{
	const struct user *issuer = registry_user(t->registry, token->issuer);
	const struct site *site = registry_site(t->registry, token->site);

	const struct vn *vn = registry_vn(t->registry, token->vn);

	if (!issuer || issuer->record.revoked)
		return false;
	if (token->registers == TOKEN_TINY)
		return issuer->record.roles & ROLE_ADM ||
		       (vn && issuer->record.roles & ROLE_VNA &&
			names_have(&vn->record.admins, issuer->object.name));
	if (issuer->record.roles & ROLE_ADM && token->registers != TOKEN_HOST)
		return true;
	return token->registers != TOKEN_USER && site && issuer->record.roles & ROLE_SA &&
	       names_have(&site->record.admins, issuer->object.name);
}

bool use_token(struct task *t, const struct token **ret)
{
	struct record rec = { .kind = RECORD_TOKEN };
	const struct token *token;

	*ret = NULL;
	if (!t->request->token)
		return true;
	token = registry_token(t->registry, t->request->token);
	if (!token)
		return refuse(t, 403, "there is no such token");
	if (token->record.expires <= t->request->now)
		return refuse(t, 403, "the token has expired");
	if (token->record.used >= token->record.count)
		return refuse(t, 403, "the token has been used up");
	if (!issuer_may(t, &token->record))
		return refuse(t, 403,
			      "the token's issuer may no longer let others in: ask for "
			      "another token");
	snprintf(rec.id, sizeof(rec.id), "token/%s", token->object.name);
	rec.token = token->record;
	rec.token.used++;
	change_put(t, rec.id, record_encode(&rec), &token->object);
	*ret = token;
	return true;
}

bool operation_register(struct task *t)
{
	static const char *const by_token[] = { "user", "router", "host", "tiny" };
	const struct token *token;
	const char *kind, *name;

	if (!argument_name(t, "kind", &kind) || !argument_name(t, "name", &name))
		return false;
	if (t->request->caller.host && strcmp(kind, "host"))
		return refuse(t, 403, "a host registers itself alone");
	if (t->host && !strcmp(name, t->host->object.name))
		return registered_again(t);
	if (!use_token(t, &token))
		return false;
	if (token && strcmp(kind, by_token[token->record.registers]))
		return refuse(t, 403, "the token is for a %s", by_token[token->record.registers]);
	if (!strcmp(kind, "site"))
		return register_site(t, name);
	if (!strcmp(kind, "user"))
		return register_user(t, name, token);
	if (!strcmp(kind, "router"))
		return register_router(t, name, token);
	if (!strcmp(kind, "host"))
		return register_host(t, name, token);
	return refuse(t, 400, "'kind' is none of site, user, router, host");
}
