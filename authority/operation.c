/*
 * The way of a request: who is it, may its roles call this, are the arguments such as
 * the operation has; then the operation; then the audit record.
 */
#include "authority/operation_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

/* Those that have nothing to decide but whether the caller may: others serve them. */
static bool allowed(struct task *t)
{
	set_result(t, mem_json(json_object()));
	return true;
}

/* ... and whether the router that it is about is the caller. */
static bool its_own(struct task *t)
{
	const struct router *router = named_router(t, "router");

	if (!router)
		return false;
	if (router != t->router)
		return refuse(t, 403, "this is for router '%s' alone", router->object.name);
	return allowed(t);
}

static operation_fn *const functions[OPERATIONS] = {
	[OPERATION_REGISTER] = operation_register,
	[OPERATION_LIST_SITES] = operation_list_sites,
	[OPERATION_LIST_ROUTERS] = operation_list_routers,
	[OPERATION_LIST_HOSTS] = operation_list_hosts,
	[OPERATION_VN_CREATE] = operation_vn_create,
	[OPERATION_VN_SHUTDOWN] = operation_vn_shutdown,
	[OPERATION_VN_MERGE] = operation_vn_merge,
	[OPERATION_VN_SPLIT] = operation_vn_split,
	[OPERATION_LIST_VN_HOSTS] = operation_list_vn_hosts,
	[OPERATION_LIST_VNS] = operation_list_vns,
	[OPERATION_VN_JOIN] = operation_vn_join,
	[OPERATION_VN_LEAVE] = operation_vn_leave,
	[OPERATION_GET_TABLES] = its_own,
	[OPERATION_UPDATE_TABLES] = its_own,
	[OPERATION_HEARTBEAT] = its_own,
	[OPERATION_GET_METRICS] = operation_get_metrics,
	[OPERATION_MANAGE_USERS] = operation_manage_users,
	[OPERATION_LIST_USERS] = operation_list_users,
	[OPERATION_VN_CHANGE] = operation_vn_change,
	[OPERATION_VN_LOG] = operation_vn_log,
	[OPERATION_VN_UNDO] = operation_vn_undo,
	[OPERATION_SITE_CHANGE] = operation_site_change,
	[OPERATION_HOST_REMOVE] = operation_host_remove,
	[OPERATION_HOST_TOKEN] = operation_host_token,
	[OPERATION_ADDRESS_ASSIGN] = operation_address_assign,
	[OPERATION_ADDRESS_RELEASE] = operation_address_release,
	[OPERATION_SPACE_CHANGE] = operation_space_change,
	[OPERATION_BLOCK_ASSIGN] = operation_block_assign,
	[OPERATION_BLOCK_RELEASE] = operation_block_release,
	[OPERATION_ROUTER_CHANGE] = operation_router_change,
	[OPERATION_POLICY_SET] = operation_policy_set,
	[OPERATION_POLICY_REMOVE] = operation_policy_remove,
	[OPERATION_LIST_POLICIES] = operation_list_policies,
	[OPERATION_TOKEN_CREATE] = operation_token_create,
	[OPERATION_DELEGATE] = operation_delegate,
	[OPERATION_REVOKE] = operation_revoke,
	[OPERATION_AUDIT] = allowed,
	[OPERATION_CHECK] = allowed,
	[OPERATION_RENEW] = operation_renew,
	[OPERATION_STEER] = operation_steer,
	[OPERATION_TINY_JOIN] = operation_tiny_join,
	[OPERATION_LIST_TINIES] = operation_list_tinies,
};

bool refuse(struct task *t, int status, const char *format, ...)
{
	va_list args;

	t->outcome->status = status;
	t->outcome->title = status == 400   ? "Bad Request"
			    : status == 401 ? "Unauthorized"
			    : status == 403 ? "Forbidden"
			    : status == 404 ? "Not Found"
					    : "Conflict";
	va_start(args, format);
	vsnprintf(t->outcome->detail, sizeof(t->outcome->detail), format, args);
	va_end(args);
	mem_printable(t->outcome->detail);
	return false;
}

/* ---- changes ------------------------------------------------------------------- */

static struct change *add_change(struct outcome *o, const char *key)
{
	o->changes = mem_more(o->changes, o->n, &o->room, sizeof(*o->changes));
	o->changes[o->n] = (struct change){ .key = mem_text(key) };
	return &o->changes[o->n++];
}

void change_put(struct task *t, const char *key, json_t *value, const struct object *was)
{
	struct change *c = add_change(t->outcome, key);

	c->value = value;
	c->expect = was ? EXPECT_REVISION : EXPECT_ABSENT;
	c->revision = was ? was->revision : 0;
}

void change_delete(struct task *t, const char *key, const struct object *was)
{
	struct change *c = add_change(t->outcome, key);

	c->expect = EXPECT_REVISION;
	c->revision = was->revision;
}

static const char *const key_names[RECORD_KINDS] = {
	[RECORD_USER] = "user",	    [RECORD_SITE] = "site",   [RECORD_ROUTER] = "router",
	[RECORD_HOST] = "host",	    [RECORD_TINY] = "tiny",   [RECORD_VN] = "vn",
	[RECORD_POLICY] = "policy", [RECORD_TOKEN] = "token", [RECORD_CREDENTIAL] = "credential",
	[RECORD_CHANGE] = "change", [RECORD_LOG] = "log",     [RECORD_AUDIT] = "audit",
};

void change_record(struct task *t, struct record *rec, const struct object *was)
{
	char *key = rec->kind == RECORD_ORDER ? mem_text("order")
					      : mem_format("%s/%s", key_names[rec->kind], rec->id);

	change_put(t, key, record_encode(rec), was);
	record_done(rec);
	free(key);
}

void change_order(struct task *t, uint32_t vn, uint32_t router, const struct blocks *space)
{
	const struct order *was = registry_order(t->registry);
	struct record rec = { .kind = RECORD_ORDER, .order = was->record };

	if (t->ordered)
		return;
	t->ordered = true;
	rec.order.n++;
	if (!rec.order.generation)
		rec.order.generation = 1;
	if (vn && vn >= rec.order.next_vn)
		rec.order.next_vn = vn == UINT32_MAX ? vn : vn + 1;
	if (router && router >= rec.order.next_router)
		rec.order.next_router = router == UINT32_MAX ? router : router + 1;
	if (space)
		rec.order.space = *space;
	change_put(t, "order", record_encode(&rec), was->object.revision ? &was->object : NULL);
}

void set_result(struct task *t, json_t *result)
{
	json_decref(t->outcome->result);
	t->outcome->result = result;
}

static void drop_changes(struct outcome *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->changes[i].key);
		json_decref(o->changes[i].value);
	}
	o->n = 0;
}

void outcome_done(struct outcome *o)
{
	drop_changes(o);
	free(o->changes);
	json_decref(o->result);
	*o = (struct outcome){ 0 };
}

/* ---- arguments ----------------------------------------------------------------- */

const json_t *argument(const struct task *t, const char *name)
{
	return json_object_get(t->request->arguments, name);
}

bool argument_name(struct task *t, const char *name, const char **ret)
{
	const char *text = json_string_value(argument(t, name));

	if (!text)
		return refuse(t, 400, "'%s' is missing, or not a text", name);
	if (!name_valid(text))
		return refuse(t, 400,
			      "'%s' is not a name: 1 to %d of a-z, 0-9, '-' and '.', the first a "
			      "letter or digit",
			      name, RECORD_NAME);
	*ret = text;
	return true;
}

bool argument_text(struct task *t, const char *name, size_t max, const char **ret)
{
	const json_t *value = argument(t, name);
	const char *text = value ? json_string_value(value) : "";

	if (!text || strlen(text) > max || (value && strlen(text) != json_string_length(value)))
		return refuse(t, 400, "'%s' is not a text of up to %zu bytes", name, max);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return refuse(t, 400, "'%s' has control characters", name);
	*ret = text;
	return true;
}

bool argument_number(struct task *t, const char *name, uint64_t max, uint64_t absent, uint64_t *ret)
{
	const json_t *value = argument(t, name);
	json_int_t number = json_integer_value(value);

	if (value && (!json_is_integer(value) || number < 0 || (uint64_t)number > max))
		return refuse(t, 400, "'%s' is not a number from 0 to %llu", name,
			      (unsigned long long)max);
	*ret = value ? (uint64_t)number : absent;
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

bool names_from(struct task *t, const char *what, const json_t *list, bool any, struct names *ret)
{
	size_t n = json_array_size(list);
	struct names names = { 0 };

	if (!json_is_array(list) || n > RECORD_MEMBERS)
		return refuse(t, 400, "'%s' is missing, or not a list of names", what);
	names.at = mem_new(n, sizeof(*names.at));
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (!text || (!name_valid(text) && !(any && n == 1 && !strcmp(text, "*")))) {
			names_done(&names);
			return refuse(t, 400, "'%s' has an entry that is not a name", what);
		}
		names.at[names.n++] = mem_text(text);
	}
	qsort(names.at, n, sizeof(*names.at), compare_texts);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(names.at[i - 1], names.at[i]))
			continue;
		refuse(t, 400, "'%s' has '%s' twice", what, names.at[i]);
		names_done(&names);
		return false;
	}
	*ret = names;
	return true;
}

bool argument_names(struct task *t, const char *name, bool absent, bool any, struct names *ret)
{
	const json_t *list = argument(t, name);

	if (!list && absent) {
		*ret = (struct names){ 0 };
		return true;
	}
	return names_from(t, name, list, any, ret);
}

bool argument_blocks(struct task *t, const char *name, struct blocks *ret)
{
	const json_t *list = argument(t, name);
	size_t n = json_array_size(list);
	struct blocks blocks = { 0 };

	if (list && (!json_is_array(list) || n > 256))
		return refuse(t, 400, "'%s' is not a list of prefixes", name);
	blocks.at = mem_new(n, sizeof(*blocks.at));
	for (; blocks.n < n; blocks.n++) {
		struct prefix *p = &blocks.at[blocks.n];
		const char *text = json_string_value(json_array_get(list, blocks.n));
		bool good = text && !prefix_parse(text, p);

		for (size_t i = 0; good && i < blocks.n; i++)
			good = !prefix_covers(p, &blocks.at[i]) && !prefix_covers(&blocks.at[i], p);
		if (good)
			continue;
		free(blocks.at);
		return refuse(t, 400, "'%s' has an entry that is not a prefix, or lies in another",
			      name);
	}
	*ret = blocks;
	return true;
}

/* ---- what arguments name ------------------------------------------------------- */

const struct site *named_site(struct task *t, const char *name)
{
	const struct site *site;
	const char *text;

	if (!argument_name(t, name, &text))
		return NULL;
	site = registry_site(t->registry, text);
	if (!site)
		refuse(t, 404, "there is no site '%s'", text);
	return site;
}

const struct router *named_router(struct task *t, const char *name)
{
	const struct router *router;
	const char *text;

	if (!argument_name(t, name, &text))
		return NULL;
	router = registry_router(t->registry, text);
	if (!router)
		refuse(t, 404, "there is no router '%s'", text);
	return router;
}

const struct host *named_host(struct task *t, const char *name)
{
	const struct host *host;
	const char *text;

	if (!argument_name(t, name, &text))
		return NULL;
	host = registry_host(t->registry, text);
	if (!host)
		refuse(t, 404, "there is no host '%s'", text);
	return host;
}

const struct vn *find_vn(struct task *t, const json_t *value)
{
	const char *text = json_string_value(value);
	json_int_t id = json_integer_value(value);
	const struct vn *vn = NULL;

	if (text) {
		vn = registry_vn_named(t->registry, text);
	} else if (!json_is_integer(value) || id < 0 || id > UINT32_MAX) {
		refuse(t, 400, "a VN is named by its name, or by its network ID (a number)");
		return NULL;
	} else {
		vn = registry_vn(t->registry, (uint32_t)id);
	}
	if (!vn && text)
		refuse(t, 404, "there is no VN '%.63s'", text);
	else if (!vn)
		refuse(t, 404, "there is no VN of ID %lld", (long long)id);
	else if (!credential_covers(t, vn->object.name)) {
		refuse(t, 403, "this credential isn't for VN '%s'", vn->object.name);
		return NULL;
	}
	return vn;
}

const struct vn *named_vn(struct task *t, const char *name)
{
	const json_t *value = argument(t, name);

	if (!value) {
		refuse(t, 400, "'%s' is missing", name);
		return NULL;
	}
	return find_vn(t, value);
}

/* ---- who owns what ------------------------------------------------------------- */

bool owns_site(const struct task *t, const struct site *site)
{
	return t->user && t->roles & ROLE_SA &&
	       names_have(&site->record.admins, t->user->object.name);
}

const struct site *managed_site(struct task *t, const char *name)
{
	const struct site *site = named_site(t, name);

	if (!site || t->roles & ROLE_ADM || owns_site(t, site))
		return site;
	refuse(t, 403, "site '%s' has other administrators", site->object.name);
	return NULL;
}

const struct router *managed_router(struct task *t, const char *name)
{
	const struct router *router = named_router(t, name);

	if (!router || t->roles & ROLE_ADM || owns_site(t, router->site))
		return router;
	refuse(t, 403, "router '%s' is of a site of other administrators", router->object.name);
	return NULL;
}

bool owns_vn(const struct task *t, const struct vn *vn)
{
	return t->user && t->roles & ROLE_VNA &&
	       names_have(&vn->record.admins, t->user->object.name);
}

bool owns_host(const struct task *t, const struct host *host)
{
	if (t->router)
		return host->router == t->router && (!t->host || t->host == host);
	return t->user && host->owner == t->user;
}

bool credential_covers(const struct task *t, const char *vn_name)
{
	return !t->credential || names_match(&t->credential->record.vns, vn_name);
}

/* ---- the way of a request ------------------------------------------------------ */

/* A certificate that was issued for another key than the record's is as good as none. */
static bool has_key(struct task *t, const char *key)
{
	const char *proved = t->request->caller.key;

	return !proved || !strcmp(proved, key)
		       ? true
		       : refuse(t, 403,
				"the certificate's key is not the one of the record '%.63s'",
				t->request->caller.name);
}

/* What a host has its router ask: never what the router may do by itself. */
static bool may_ask(enum operation o)
{
	return o == OPERATION_REGISTER || o == OPERATION_LIST_HOSTS || o == OPERATION_VN_JOIN ||
	       o == OPERATION_VN_LEAVE || o == OPERATION_ADDRESS_ASSIGN ||
	       o == OPERATION_ADDRESS_RELEASE || o == OPERATION_HOST_REMOVE;
}

/* The host for which a router asks. One that isn't there yet may register. */
static bool identify_host(struct task *t)
{
	const struct caller *c = &t->request->caller;
	const struct host *host;

	if (!c->host)
		return true;
	if (!may_ask(t->operation))
		return refuse(t, 403, "'%s' is nothing that hosts ask for",
			      operation_rules[t->operation].name);
	host = registry_host(t->registry, c->host);
	if (host && host->router == t->router && host->key && !strcmp(host->key, c->host_key))
		t->host = host;
	if (t->host || (!host && t->operation == OPERATION_REGISTER))
		return true;
	if (!host)
		return refuse(t, 403, "host '%.63s' is not registered", c->host);
	if (host->router != t->router)
		return refuse(t, 403, "host '%.63s' is another router's", c->host);
	if (!host->key)
		return refuse(t, 403,
			      "host '%.63s' is registered, but has no secret yet: its owner makes "
			      "one with vinectl host token",
			      c->host);
	return refuse(t, 403, "host '%.63s' is registered, and this is not its secret", c->host);
}

static bool identify(struct task *t)
{
	const struct caller *c = &t->request->caller;
	const char *name = c->name ? c->name : "";

	if (c->kind == CALLER_ROUTER) {
		t->router = registry_router(t->registry, name);
		if (!t->router || t->router->record.revoked)
			return refuse(t, 403, "router '%.63s' is not registered, or was revoked",
				      name);
		t->roles = ROLE_VR;
		return has_key(t, t->router->record.key) && identify_host(t);
	}
	if (c->host)
		return refuse(t, 403, "only a router asks for its hosts");
	if (c->kind == CALLER_AUTHORITY)
		return t->operation == OPERATION_STEER || t->operation == OPERATION_TINY_JOIN
			       ? true
			       : refuse(t, 403, "the authority itself only steers");
	if (c->kind == CALLER_NOBODY && c->disbelieved)
		return refuse(t, 401, "not authenticated: %s", c->disbelieved);
	if (c->kind == CALLER_NOBODY)
		return t->request->token && (t->operation == OPERATION_REGISTER ||
					     t->operation == OPERATION_TINY_JOIN)
			       ? true
			       : refuse(t, 401,
					"without a certificate one may only register, with "
					"a token");
	t->user = registry_user(t->registry, name);
	if (!t->user || t->user->record.revoked)
		return refuse(t, 403, "user '%.63s' is not registered, or was revoked", name);
	t->roles = t->user->record.roles;
	if (!has_key(t, t->user->record.key))
		return false;
	if (!c->credential)
		return true;
	t->credential = registry_credential(t->registry, c->credential);
	if (!t->credential || strcmp(t->credential->record.user, name))
		return refuse(t, 403, "there is no such credential, or it was revoked");
	if (t->credential->record.expires <= t->request->now)
		return refuse(t, 403, "the credential has expired");
	if (!may_delegate(t->operation)) /* whatever an older version let it have */
		return refuse(t, 403, "a credential can't be used for '%s'",
			      operation_rules[t->operation].name);
	if (!names_have(&t->credential->record.operations, operation_rules[t->operation].name))
		return refuse(t, 403, "this credential is not for the operation '%s'",
			      operation_rules[t->operation].name);
	return true;
}

static bool known_arguments(struct task *t)
{
	const char *list = operation_rules[t->operation].arguments, *name;
	json_t *value, *all = (json_t *)t->request->arguments;

	if (all && !json_is_object(all))
		return refuse(t, 400, "the arguments are not an object");
	json_object_foreach(all, name, value)
	{
		const char *at = list;
		size_t n = strlen(name);

		while (n && (at = strstr(at, name)) &&
		       ((at > list && at[-1] != ' ') || (at[n] && at[n] != ' ')))
			at++;
		if (!n || !at)
			return refuse(t, 400, "'%.60s' is not an argument of '%s', which has: %s",
				      name, operation_rules[t->operation].name,
				      *list ? list : "none");
	}
	return true;
}

static void describe_target(struct task *t)
{
	static const char *const what[] = { "vn",   "vns",  "name", "host", "router",
					    "site", "user", "kind", NULL };
	char *text = NULL;

	for (int i = 0; !text && what[i]; i++) {
		const json_t *value = argument(t, what[i]);

		if (value)
			text = json_dumps(value,
					  JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	}
	snprintf(t->target, sizeof(t->target), "%s", text ? text : "");
	free(text);
}

static void audit(struct task *t)
{
	const struct request *q = t->request;
	const char *kind = q->caller.kind == CALLER_ROUTER	? "router/"
			   : q->caller.kind == CALLER_USER	? "user/"
			   : q->caller.kind == CALLER_AUTHORITY ? "authority"
								: "-";
	struct record rec = { .kind = RECORD_AUDIT };
	const char *name = (q->caller.kind == CALLER_USER || q->caller.kind == CALLER_ROUTER) &&
					   q->caller.name && name_valid(q->caller.name)
				   ? q->caller.name
				   : "";

	snprintf(rec.id, sizeof(rec.id), "%s", t->id);
	rec.audit = (struct audit_record){
		.time = q->now,
		.caller = mem_format("%s%s%s%s%s", kind, name,
				     q->caller.credential ? " (delegated"
				     : t->host		  ? " (host "
							  : "",
				     t->host ? t->host->object.name : "",
				     q->caller.credential || t->host ? ")" : ""),
		.operation = mem_format(
			"%s%s",
			t->operation < OPERATIONS ? operation_rules[t->operation].name : "unknown",
			q->dry_run ? " (dry run)" : ""),
		.target = mem_text(t->target),
		.allowed = t->outcome->status == 200,
		.detail = mem_text(t->outcome->detail),
	};
	change_record(t, &rec, NULL);
}

void operate(const struct registry *r, const struct request *q, struct outcome *ret)
{
	struct task t = { .registry = r, .request = q, .outcome = ret };
	bool done;

	*ret = (struct outcome){ .status = 200, .title = "OK" };
	snprintf(t.id, sizeof(t.id), "%012llx-%.40s", (unsigned long long)q->now, q->id);
	t.operation = operation_named(q->operation);
	describe_target(&t);
	if (t.operation == OPERATIONS)
		done = refuse(&t, 404, "there is no operation '%.60s'", q->operation);
	else if (!identify(&t))
		done = false;
	else if ((q->caller.kind == CALLER_USER || q->caller.kind == CALLER_ROUTER) &&
		 !role_may(t.operation, t.roles))
		done = refuse(&t, 403, "none of the caller's roles may '%s'", q->operation);
	else
		done = known_arguments(&t) && functions[t.operation](&t);
	if (!done)
		set_result(&t, NULL);
	if (!done || q->dry_run)
		drop_changes(ret);
	/* Who may do what doesn't change without the order. */
	if (ret->n && !t.ordered)
		ret->order = registry_order(r)->object.revision;
	audit(&t);
}

void operation_begin(const char *user, const char *key, const struct blocks *space, uint64_t now,
		     struct outcome *ret)
{
	struct registry *empty = registry_new();
	struct task t = { .registry = empty, .outcome = ret };
	struct record rec = { .kind = RECORD_USER,
			      .user = { .roles = ROLE_ANY & ~ROLE_VR, .created = now } };

	*ret = (struct outcome){ .status = 200, .title = "OK" };
	snprintf(rec.id, sizeof(rec.id), "%s", user);
	rec.user.key = mem_text(key);
	change_record(&t, &rec, NULL);
	change_order(&t, 0, 0, space);
	registry_free(empty);
}
