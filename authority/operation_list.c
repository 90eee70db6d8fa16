/*
 * Lists: of what the caller's roles show it, by name.
 *
 * Sites and routers are shown whole. Hosts: SA those of its sites, VNA those of its VNs
 * and those that a policy permits in VNs it creates, EU its own, VR its own. VNs: SA those with hosts
 * of its sites, VNA its own, EU those with hosts of its own and those that let it join.
 * The members of a VN: VNA of its own, EU where it has a host.
 */
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_private.h"
#include "authority/queue_routers.h"

typedef bool shown_fn(const struct task *, const void *object);
typedef json_t *show_fn(const void *object);

static int compare_objects(const void *a, const void *b)
{
	return strcmp((*(const struct object *const *)a)->name,
		      (*(const struct object *const *)b)->name);
}

static json_t *show_sorted(const void **objects, size_t n, show_fn *show)
{
	json_t *list = mem_json(json_array());

	if (n)
		qsort(objects, n, sizeof(*objects), compare_objects);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, show(objects[i]));
	return list;
}

static bool list_kind(struct task *t, enum record_kind kind, const char *name, shown_fn *shown,
		      show_fn *show)
{
	const void **objects = mem_new(registry_count(t->registry, kind), sizeof(*objects));
	const void *object;
	size_t n = 0, place = 0;

	while ((object = registry_each(t->registry, kind, &place)))
		if (shown(t, object))
			objects[n++] = object;
	set_result(t, mem_json(json_pack("{s:o}", name, show_sorted(objects, n, show))));
	free(objects);
	return true;
}

/* The record with its name in front. */
static json_t *show_record(const char *name, const struct record *rec)
{
	json_t *all = mem_json(json_object()), *value = record_encode(rec);

	json_object_set_new(all, "name", mem_json(json_string(name)));
	json_object_update_missing(all, value);
	json_decref(value);
	return all;
}

static bool shown_always(const struct task *t, const void *object)
{
	(void)t;
	(void)object;
	return true;
}

static json_t *show_site(const void *object)
{
	const struct site *site = object;
	struct record rec = { .kind = RECORD_SITE, .site = site->record };

	return show_record(site->object.name, &rec);
}

static json_t *show_router(const void *object)
{
	const struct router *router = object;
	struct record rec;
	json_t *value;

	router_record(router, &rec);
	value = show_record(router->object.name, &rec);
	record_done(&rec);
	return value;
}

static json_t *show_host(const void *object)
{
	const struct host *host = object;
	json_t *value, *vns = mem_json(json_array());
	struct record rec;

	host_record(host, &rec);
	value = show_record(host->object.name, &rec);
	record_done(&rec);
	json_object_set_new(value, "site", mem_json(json_string(host->router->site->object.name)));
	for (uint32_t i = 0; i < host->n_vns; i++)
		json_array_append_new(vns, mem_json(json_string(host->vns[i]->object.name)));
	json_object_set_new(value, "vns", vns);
	return value;
}

static json_t *show_user(const void *object)
{
	const struct user *user = object;
	struct record rec = { .kind = RECORD_USER, .user = user->record };

	return show_record(user->object.name, &rec);
}

static json_t *show_policy(const void *object)
{
	const struct policy *policy = object;
	struct record rec = { .kind = RECORD_POLICY, .policy = policy->record };

	return show_record(policy->object.name, &rec);
}

static json_t *show_vn(const void *object)
{
	const struct vn *vn = object;

	return mem_json(json_pack(
		"{s:s,s:I,s:s,s:s,s:o,s:I,s:I}", "name", vn->object.name, "id", (json_int_t)vn->id,
		"protection", vn_protection_names[vn->record.protection], "creator",
		vn->record.creator, "admins", names_json(&vn->record.admins), "members",
		(json_int_t)vn->n_members, "created", (json_int_t)vn->record.created));
}

static bool shown_host(const struct task *t, const void *object)
{
	const struct host *host = object;

	if (owns_site(t, host->router->site) || owns_host(t, host))
		return true;
	if (!(t->roles & ROLE_VNA))
		return false;
	for (uint32_t i = 0; i < host->n_vns; i++)
		if (owns_vn(t, host->vns[i]))
			return true;
	list_for_each(node, &host->router->site->policies) {
		const struct policy *p = container_of(node, struct policy, by_site);

		if (p->record.effect == POLICY_PERMIT &&
		    names_match(&p->record.hosts, host->object.name) &&
		    names_match(&p->record.creators, t->user->object.name))
			return true;
	}
	return false;
}

static bool shown_vn(const struct task *t, const void *object)
{
	const struct vn *vn = object;

	if (!credential_covers(t, vn->object.name))
		return false;
	if (owns_vn(t, vn) || names_match(&vn->record.users, t->user->object.name))
		return true;
	for (size_t i = 0; i < vn->n_members; i++)
		if (owns_host(t, vn->members[i]) || owns_site(t, vn->members[i]->router->site))
			return true;
	return false;
}

static bool shown_policy(const struct task *t, const void *object)
{
	return owns_site(t, ((const struct policy *)object)->site);
}

bool operation_list_sites(struct task *t)
{
	return list_kind(t, RECORD_SITE, "sites", shown_always, show_site);
}

/* The queue routers that it has now, by name. */
static json_t *show_uses(const struct registry *r, const char *name)
{
	json_t *list = mem_json(json_array());
	struct queue_routers l;

	queue_routers_of(r, registry_router(r, name), &l);
	for (unsigned i = 0; i < l.n; i++) {
		const struct router *q = registry_router_id(r, l.at[i]);

		json_array_append_new(list, mem_json(json_string(q->object.name)));
	}
	return list;
}

bool operation_list_routers(struct task *t)
{
	json_t *router;
	size_t i;

	list_kind(t, RECORD_ROUTER, "routers", shown_always, show_router);
	json_array_foreach(json_object_get(t->outcome->result, "routers"), i, router)
	{
		const char *name = json_string_value(json_object_get(router, "name"));

		json_object_set_new(router, "uses", show_uses(t->registry, name));
	}
	return true;
}

bool operation_list_hosts(struct task *t)
{
	return list_kind(t, RECORD_HOST, "hosts", shown_host, show_host);
}

bool operation_list_vns(struct task *t)
{
	return list_kind(t, RECORD_VN, "vns", shown_vn, show_vn);
}

bool operation_list_users(struct task *t)
{
	return list_kind(t, RECORD_USER, "users", shown_always, show_user);
}

bool operation_list_policies(struct task *t)
{
	return list_kind(t, RECORD_POLICY, "policies", shown_policy, show_policy);
}

/* ADM of all routers, SA those of its sites, a router its own; the figures themselves are
 * not the registry's. */
bool operation_get_metrics(struct task *t)
{
	const struct router *router;

	set_result(t, mem_json(json_object()));
	if (!argument(t, "router"))
		return true;
	router = named_router(t, "router");
	if (!router)
		return false;
	return t->roles & ROLE_ADM || t->router == router || owns_site(t, router->site)
		       ? true
		       : refuse(t, 403, "router '%s' is of a site of other administrators",
				router->object.name);
}

bool operation_list_vn_hosts(struct task *t)
{
	const struct vn *vn = named_vn(t, "vn");
	const void **objects;
	bool shown;

	if (!vn)
		return false;
	shown = owns_vn(t, vn);
	for (size_t i = 0; !shown && i < vn->n_members; i++)
		shown = owns_host(t, vn->members[i]);
	if (!shown)
		return refuse(t, 403, "VN '%s' has other administrators, and no host of the caller",
			      vn->object.name);
	objects = mem_new(vn->n_members, sizeof(*objects));
	for (size_t i = 0; i < vn->n_members; i++)
		objects[i] = vn->members[i];
	set_result(t, mem_json(json_pack("{s:s,s:o}", "vn", vn->object.name, "hosts",
					 show_sorted(objects, vn->n_members, show_host))));
	free(objects);
	return true;
}
