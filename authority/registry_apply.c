/*
 * The records in memory: changing.
 *
 * Applying is in the order of kinds: what comes, before what refers to it; then what
 * goes, in the reverse. So a transaction may change a VN and delete a host that was in
 * it. Whoever observes is told first, while everything is as it was.
 */
#include "authority/registry_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

/* ---- objects ------------------------------------------------------------------- */

static int compare_hosts(const void *a, const void *b)
{
	return host_compare(*(struct host *const *)a, *(struct host *const *)b);
}

static const size_t sizes[RECORD_CHANGE] = {
	[RECORD_USER] = sizeof(struct user),
	[RECORD_SITE] = sizeof(struct site),
	[RECORD_ROUTER] = sizeof(struct router),
	[RECORD_HOST] = sizeof(struct host),
	[RECORD_TINY] = sizeof(struct tiny),
	[RECORD_VN] = sizeof(struct vn),
	[RECORD_POLICY] = sizeof(struct policy),
	[RECORD_TOKEN] = sizeof(struct token),
	[RECORD_CREDENTIAL] = sizeof(struct credential),
};

/* The object of this name: the one that is there, or a new one in its index. */
static void *obtain(struct registry *r, enum record_kind kind, const char *name, bool *ret_new)
{
	struct object *o = registry_get(r, kind, name);

	*ret_new = !o;
	if (o)
		return o;
	o = mem_new(1, sizes[kind]);
	o->name = mem_text(name);
	index_put(&r->named[kind], &registry_by_name, o);
	return o;
}

/* Gives the fields of a record, held by an object, back to where they are freed. */
#define DROP(kind_, member, field) \
	do { \
		struct record drop = { .kind = (kind_) }; \
		drop.member = (field); \
		record_done(&drop); \
	} while (0)

/* Takes the fields out of a decoded record. */
#define TAKE(kind_, member, rec, field) \
	do { \
		DROP(kind_, member, field); \
		(field) = (rec)->member; \
		memset(&(rec)->member, 0, sizeof((rec)->member)); \
	} while (0)

static void free_object(struct registry *r, enum record_kind kind, void *object)
{
	struct object *o = object;

	index_remove(&r->named[kind], &registry_by_name, o);
	free(o->name);
	free(o);
}

static void tell_network(const struct registry *r, uint32_t id, const struct vn *vn)
{
	if (r->observer)
		r->observer->network(r->observer->arg, id, vn);
}

/* ... of every network in which a router has hosts. */
static void tell_networks_of(const struct registry *r, const struct router *router)
{
	if (!r->observer)
		return;
	list_for_each(node, &router->hosts) {
		const struct host *h = container_of(node, struct host, by_router);

		for (uint32_t i = 0; i < h->n_vns; i++)
			tell_network(r, h->vns[i]->id, h->vns[i]);
	}
}

static bool fail(char *error, const char *what, const char *name, const char *refers)
{
	snprintf(error, RECORD_ERROR, "%s '%.64s' refers to '%.64s', which isn't there", what, name,
		 refers);
	return false;
}

/* ---- puts ---------------------------------------------------------------------- */

static bool put_user(struct registry *r, struct record *rec, uint64_t revision)
{
	bool new;
	struct user *u = obtain(r, RECORD_USER, rec->id, &new);

	if (new)
		list_init(&u->hosts);
	TAKE(RECORD_USER, user, rec, u->record);
	u->object.revision = revision;
	return true;
}

static bool put_site(struct registry *r, struct record *rec, uint64_t revision)
{
	bool new;
	struct site *s = obtain(r, RECORD_SITE, rec->id, &new);

	if (new) {
		list_init(&s->routers);
		list_init(&s->policies);
	}
	TAKE(RECORD_SITE, site, rec, s->record);
	s->object.revision = revision;
	return true;
}

static bool same_texts(const struct names *a, const struct names *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = !strcmp(a->at[i], b->at[i]);
	return same;
}

/* Whether it and other routers see it as it was. */
static bool same_to_others(const struct router_record *a, const struct router_record *b)
{
	return !strcmp(a->key, b->key) && !strcmp(a->endpoint, b->endpoint) &&
	       a->tls_port == b->tls_port && a->limited == b->limited && a->relay == b->relay &&
	       a->direct == b->direct && same_texts(&a->queue_routers, &b->queue_routers) &&
	       !strcmp(a->queue_order, b->queue_order) && a->revoked == b->revoked &&
	       a->disabled == b->disabled;
}

static bool same_blocks(const struct blocks *a, const struct blocks *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = prefix_equal(&a->at[i], &b->at[i]);
	return same;
}

/* ... of every network that it delivers in, or could in the place of another one. */
static void tell_networks_at(const struct registry *r, const struct site *site,
			     const struct router *router, const struct router_record *is)
{
	bool active = !is->revoked && !is->disabled;

	if (router && router_active(router) == active && router->record.silent == is->silent &&
	    same_blocks(&router->record.blocks, &is->blocks))
		return;
	if (router)
		tell_networks_of(r, router);
	list_for_each(node, &site->routers) {
		const struct router *other = container_of(node, struct router, by_site);

		if (other != router && !router_carries(other))
			tell_networks_of(r, other);
	}
}

static bool put_router(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	struct site *site = registry_get(r, RECORD_SITE, rec->router.site);
	struct router *old = registry_get(r, RECORD_ROUTER, rec->id), *router;
	bool new;

	if (!site)
		return fail(error, "router", rec->id, rec->router.site);
	if (old && old->record.id != rec->router.id) {
		snprintf(error, RECORD_ERROR, "router '%.64s' has another ID than it had", rec->id);
		return false;
	}
	tell_networks_at(r, site, old, &rec->router);
	if (r->observer && (!old || !same_to_others(&old->record, &rec->router)))
		r->observer->router(r->observer->arg, rec->router.id);
	if (r->observer && r->observer->tiny && old && !list_is_empty(&old->tinies) &&
	    old->record.disabled != rec->router.disabled) /* it has them, or has them no more */
		r->observer->tiny(r->observer->arg, rec->router.id);
	router = obtain(r, RECORD_ROUTER, rec->id, &new);
	if (new) {
		list_init(&router->hosts);
		list_init(&router->tinies);
		list_init(&router->by_site);
		list_init(&router->by_relay);
	}
	TAKE(RECORD_ROUTER, router, rec, router->record);
	free(router->record.site);
	router->record.site = NULL;
	if (new)
		index_put(&r->routers, &registry_router_by_id, router);
	router->site = site;
	list_remove(&router->by_site);
	list_insert(&site->routers, &router->by_site);
	list_remove(&router->by_relay);
	list_init(&router->by_relay);
	if (router->record.relay)
		list_insert(&r->relays, &router->by_relay);
	router->object.revision = revision;
	return true;
}

static void drop_addresses(struct registry *r, struct host *h)
{
	for (uint32_t i = 0; i < h->n_addresses; i++)
		index_remove(&r->addresses, &registry_by_ip, &h->addresses[i]);
	free(h->addresses);
	h->addresses = NULL;
	h->n_addresses = 0;
}

static bool put_host(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	struct host_record *from = &rec->host;
	struct router *router = registry_get(r, RECORD_ROUTER, from->router);
	struct user *owner = registry_get(r, RECORD_USER, from->owner);
	struct host *h;
	bool new;

	if (!router || !owner)
		return fail(error, "host", rec->id, router ? from->owner : from->router);
	h = obtain(r, RECORD_HOST, rec->id, &new);
	if (new) {
		list_init(&h->by_router);
		list_init(&h->by_owner);
	}
	for (uint32_t i = 0; i < h->n_vns; i++)
		tell_network(r, h->vns[i]->id, h->vns[i]);
	drop_addresses(r, h);
	h->addresses = mem_new(from->addresses.n, sizeof(*h->addresses));
	h->n_addresses = (uint32_t)from->addresses.n;
	for (uint32_t i = 0; i < h->n_addresses; i++) {
		h->addresses[i] = (struct host_address){ from->addresses.at[i], h };
		index_put(&r->addresses, &registry_by_ip, &h->addresses[i]);
	}
	list_remove(&h->by_router);
	list_remove(&h->by_owner);
	list_insert(&router->hosts, &h->by_router);
	list_insert(&owner->hosts, &h->by_owner);
	h->router = router;
	h->owner = owner;
	free(h->key);
	h->key = *from->key ? mem_text(from->key) : NULL;
	h->created = from->created;
	h->object.revision = revision;
	for (uint32_t i = 0; i < h->n_vns; i++)
		qsort(h->vns[i]->members, h->vns[i]->n_members, sizeof(struct host *),
		      compare_hosts);
	return true;
}

/* Before or after it changes: whoever it may connect to. */
static void tell_tiny(const struct registry *r, const struct tiny *tiny)
{
	for (size_t i = 0; r->observer && i < tiny->record.routers.n; i++) {
		const struct router *router =
			registry_get(r, RECORD_ROUTER, tiny->record.routers.at[i]);

		if (router && r->observer->tiny)
			r->observer->tiny(r->observer->arg, router->record.id);
	}
}

static void drop_places(struct tiny *tiny)
{
	for (size_t i = 0; i < RECORD_TINY_ROUTERS; i++) {
		list_remove(&tiny->places[i].by_router);
		list_init(&tiny->places[i].by_router);
	}
	if (tiny->host)
		tiny->host->tiny = NULL;
	tiny->host = NULL;
}

static bool put_tiny(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	const struct tiny_record *from = &rec->tiny;
	struct host *host = registry_get(r, RECORD_HOST, rec->id);
	struct tiny *tiny = registry_get(r, RECORD_TINY, rec->id);
	bool new;

	if (!host && !from->revoked)
		return fail(error, "tiny", rec->id, rec->id);
	for (size_t i = 0; i < from->routers.n; i++)
		if (!registry_get(r, RECORD_ROUTER, from->routers.at[i]))
			return fail(error, "tiny", rec->id, from->routers.at[i]);
	if (tiny && tiny->record.id != from->id) {
		snprintf(error, RECORD_ERROR, "tiny '%.64s' has another ID than it had", rec->id);
		return false;
	}
	if (tiny)
		tell_tiny(r, tiny);
	tiny = obtain(r, RECORD_TINY, rec->id, &new);
	for (size_t i = 0; new &&i < RECORD_TINY_ROUTERS; i++) {
		tiny->places[i].tiny = tiny;
		list_init(&tiny->places[i].by_router);
	}
	drop_places(tiny);
	TAKE(RECORD_TINY, tiny, rec, tiny->record);
	if (new)
		index_put(&r->tinies, &registry_tiny_by_id, tiny);
	tiny->object.revision = revision;
	if (tiny->record.revoked)
		return true;
	tiny->host = host;
	host->tiny = tiny;
	for (size_t i = 0; i < tiny->record.routers.n; i++) {
		struct router *router = registry_get(r, RECORD_ROUTER, tiny->record.routers.at[i]);

		list_insert(&router->tinies, &tiny->places[i].by_router);
	}
	tell_tiny(r, tiny);
	return true;
}

static void enter(struct host *h, struct vn *vn)
{
	uint32_t at = h->n_vns++;

	h->vns = mem_grow(h->vns, h->n_vns, sizeof(struct vn *));
	for (; at && h->vns[at - 1]->id > vn->id; at--)
		h->vns[at] = h->vns[at - 1];
	h->vns[at] = vn;
}

static void leave(struct host *h, const struct vn *vn)
{
	uint32_t at = 0;

	while (h->vns[at] != vn)
		at++;
	h->n_vns--;
	memmove(h->vns + at, h->vns + at + 1, (h->n_vns - at) * sizeof(struct vn *));
}

/* Makes these, sorted, the members of the VN; takes over the array. */
static void set_members(struct vn *vn, struct host **members, size_t n)
{
	size_t i = 0, k = 0;

	while (i < vn->n_members || k < n) {
		int order = i == vn->n_members ? 1
			    : k == n	       ? -1
					       : host_compare(vn->members[i], members[k]);

		if (order < 0)
			leave(vn->members[i++], vn);
		else if (order > 0)
			enter(members[k++], vn);
		else
			i++, k++;
	}
	free(vn->members);
	vn->members = members;
	vn->n_members = n;
}

static bool same_members(const struct vn *vn, struct host **members, size_t n)
{
	return vn->n_members == n && (!n || !memcmp(vn->members, members, n * sizeof(*members)));
}

static bool put_vn(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	const struct names *names = &rec->vn.members;
	uint32_t id = (uint32_t)strtoul(rec->id, NULL, 10);
	struct vn *vn = index_get(&r->vns, &registry_vn_by_id, &id);
	struct host **members = mem_new(names->n, sizeof(*members));

	for (size_t i = 0; i < names->n; i++) {
		members[i] = registry_get(r, RECORD_HOST, names->at[i]);
		if (!members[i]) {
			free(members);
			return fail(error, "VN", rec->vn.name, names->at[i]);
		}
	}
	qsort(members, names->n, sizeof(*members), compare_hosts);
	if (vn && strcmp(vn->object.name, rec->vn.name)) {
		index_remove(&r->named[RECORD_VN], &registry_by_name, vn);
		free(vn->object.name);
		vn->object.name = mem_text(rec->vn.name);
		index_put(&r->named[RECORD_VN], &registry_by_name, vn);
	}
	if (!vn) {
		tell_network(r, id, NULL);
		vn = mem_new(1, sizeof(*vn));
		vn->object.name = mem_text(rec->vn.name);
		vn->id = id;
		index_put(&r->named[RECORD_VN], &registry_by_name, vn);
		index_put(&r->vns, &registry_vn_by_id, vn);
	} else if (!same_members(vn, members, names->n) ||
		   vn->record.protection != rec->vn.protection) {
		tell_network(r, id, vn);
	}
	set_members(vn, members, names->n);
	free(rec->vn.name);
	rec->vn.name = NULL;
	names_done(&rec->vn.members);
	TAKE(RECORD_VN, vn, rec, vn->record);
	vn->object.revision = revision;
	return true;
}

static bool put_policy(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	char name[RECORD_KEY];
	struct site *site;
	struct policy *p;
	bool new;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(rec->id, "/"), rec->id);
	site = registry_get(r, RECORD_SITE, name);
	if (!site)
		return fail(error, "policy", rec->id, name);
	p = obtain(r, RECORD_POLICY, rec->id, &new);
	if (new) {
		p->site = site;
		list_insert(&site->policies, &p->by_site);
	}
	TAKE(RECORD_POLICY, policy, rec, p->record);
	p->object.revision = revision;
	return true;
}

static bool put(struct registry *r, struct record *rec, uint64_t revision, char *error)
{
	struct credential *c;
	struct token *t;
	bool new;

	switch (rec->kind) {
	case RECORD_ORDER:
		TAKE(RECORD_ORDER, order, rec, r->order.record);
		r->order.object.revision = revision;
		return true;
	case RECORD_USER: return put_user(r, rec, revision);
	case RECORD_SITE: return put_site(r, rec, revision);
	case RECORD_ROUTER: return put_router(r, rec, revision, error);
	case RECORD_HOST: return put_host(r, rec, revision, error);
	case RECORD_TINY: return put_tiny(r, rec, revision, error);
	case RECORD_VN: return put_vn(r, rec, revision, error);
	case RECORD_POLICY: return put_policy(r, rec, revision, error);
	case RECORD_TOKEN:
		t = obtain(r, RECORD_TOKEN, rec->id, &new);
		TAKE(RECORD_TOKEN, token, rec, t->record);
		t->object.revision = revision;
		return true;
	case RECORD_CREDENTIAL:
		c = obtain(r, RECORD_CREDENTIAL, rec->id, &new);
		TAKE(RECORD_CREDENTIAL, credential, rec, c->record);
		c->object.revision = revision;
		return true;
	default: return true;
	}
}

/* ---- deletes ------------------------------------------------------------------- */

static void free_vn(struct registry *r, struct vn *vn)
{
	set_members(vn, NULL, 0);
	index_remove(&r->vns, &registry_vn_by_id, vn);
	DROP(RECORD_VN, vn, vn->record);
	free_object(r, RECORD_VN, vn);
}

static void free_host(struct registry *r, struct host *h)
{
	drop_addresses(r, h);
	list_remove(&h->by_router);
	list_remove(&h->by_owner);
	free(h->key);
	free(h->vns);
	free_object(r, RECORD_HOST, h);
}

static void free_tiny(struct registry *r, struct tiny *tiny)
{
	tell_tiny(r, tiny);
	drop_places(tiny);
	index_remove(&r->tinies, &registry_tiny_by_id, tiny);
	DROP(RECORD_TINY, tiny, tiny->record);
	free_object(r, RECORD_TINY, tiny);
}

static void free_router(struct registry *r, struct router *router)
{
	index_remove(&r->routers, &registry_router_by_id, router);
	list_remove(&router->by_site);
	list_remove(&router->by_relay);
	DROP(RECORD_ROUTER, router, router->record);
	free_object(r, RECORD_ROUTER, router);
}

static bool remove_object(struct registry *r, enum record_kind kind, const char *id, char *error)
{
	uint32_t number = (uint32_t)strtoul(id, NULL, 10);
	union {
		void *object;
		struct user *user;
		struct site *site;
		struct router *router;
		struct host *host;
		struct tiny *tiny;
		struct vn *vn;
		struct policy *policy;
		struct token *token;
		struct credential *credential;
	} o = { NULL };
	bool used = false;

	if (kind == RECORD_ORDER || kind >= RECORD_CHANGE)
		return true;
	o.object = kind == RECORD_VN ? index_get(&r->vns, &registry_vn_by_id, &number)
				     : registry_get(r, kind, id);
	if (!o.object)
		return true;
	switch (kind) {
	case RECORD_USER: used = !list_is_empty(&o.user->hosts); break;
	case RECORD_SITE:
		used = !list_is_empty(&o.site->routers) || !list_is_empty(&o.site->policies);
		break;
	case RECORD_ROUTER:
		used = !list_is_empty(&o.router->hosts) || !list_is_empty(&o.router->tinies);
		break;
	case RECORD_HOST: used = o.host->n_vns || o.host->tiny; break;
	default: break;
	}
	if (used) {
		snprintf(error, RECORD_ERROR, "'%.64s' was deleted, but others refer to it", id);
		return false;
	}
	switch (kind) {
	case RECORD_USER:
		DROP(kind, user, o.user->record);
		free_object(r, kind, o.object);
		break;
	case RECORD_SITE:
		DROP(kind, site, o.site->record);
		free_object(r, kind, o.object);
		break;
	case RECORD_ROUTER:
		if (r->observer)
			r->observer->router(r->observer->arg, o.router->record.id);
		free_router(r, o.router);
		break;
	case RECORD_HOST: free_host(r, o.host); break;
	case RECORD_TINY: free_tiny(r, o.tiny); break;
	case RECORD_VN:
		tell_network(r, o.vn->id, o.vn);
		free_vn(r, o.vn);
		break;
	case RECORD_POLICY:
		list_remove(&o.policy->by_site);
		DROP(kind, policy, o.policy->record);
		free_object(r, kind, o.object);
		break;
	case RECORD_TOKEN:
		DROP(kind, token, o.token->record);
		free_object(r, kind, o.object);
		break;
	case RECORD_CREDENTIAL:
		DROP(kind, credential, o.credential->record);
		free_object(r, kind, o.object);
		break;
	default: break;
	}
	return true;
}

/* ---- all ----------------------------------------------------------------------- */

int registry_apply(struct registry *r, const struct registry_change *changes, size_t n,
		   char error[static RECORD_ERROR])
{
	struct record *records = mem_new(n, sizeof(*records));
	enum record_kind *kinds = mem_new(n, sizeof(*kinds));
	int ret = 0;

	for (size_t i = 0; !ret && i < n; i++) {
		kinds[i] = record_key(changes[i].key, NULL);
		if (changes[i].value) {
			ret = record_decode(changes[i].key, changes[i].value, &records[i], error);
		} else if (kinds[i] == RECORD_KINDS) {
			snprintf(error, RECORD_ERROR, "%.100s: not the key of a record",
				 changes[i].key);
			ret = -EINVAL;
		}
	}
	for (enum record_kind k = 0; !ret && k < RECORD_CHANGE; k++)
		for (size_t i = 0; !ret && i < n; i++)
			if (changes[i].value && kinds[i] == k &&
			    !put(r, &records[i], changes[i].revision, error))
				ret = -EINVAL;
	for (enum record_kind k = RECORD_CHANGE; !ret && k-- > 0;)
		for (size_t i = 0; !ret && i < n; i++) {
			const char *id;

			if (changes[i].value || kinds[i] != k)
				continue;
			record_key(changes[i].key, &id);
			if (!remove_object(r, k, id, error))
				ret = -EINVAL;
		}
	for (size_t i = 0; i < n; i++)
		record_done(&records[i]);
	free(records);
	free(kinds);
	return ret;
}

void registry_free(struct registry *r)
{
	char error[RECORD_ERROR];

	if (!r)
		return;
	r->observer = NULL;
	for (enum record_kind k = RECORD_CHANGE; k-- > RECORD_USER;) {
		struct index *ix = &r->named[k];

		/* Removing moves others into the hole: a place is done when it is empty. */
		for (size_t i = 0; ix->n && i < ix->size;) {
			struct object *o = ix->slots[i];
			char id[16];

			if (!o) {
				i++;
				continue;
			}
			if (k == RECORD_VN)
				snprintf(id, sizeof(id), "%u", ((struct vn *)o)->id);
			remove_object(r, k, k == RECORD_VN ? id : o->name, error);
		}
		index_done(ix);
	}
	index_done(&r->vns);
	index_done(&r->routers);
	index_done(&r->tinies);
	index_done(&r->addresses);
	DROP(RECORD_ORDER, order, r->order.record);
	free(r);
}
