/*
 * Some VNs become others: what create, shut down, merge, split, join, leave, change and
 * undo have in common. Here are the rules that hold for any state of the registry:
 *
 * 1. no policy of a host's site forbids a VN that the host comes into;
 * 2. no two members of a VN have the same address;
 * 3. no member of two VNs would find the same address in both (SPEC section 2: the
 *    longest prefix over all of a host's networks decides, so it must be one). So two
 *    hosts share at most one VN, and what reaches what is plain;
 * 4. a tiny is in one VN at most: what it sends is of one network.
 *
 * The cost is that of the members of the VNs concerned. Rule 3 is about other VNs as
 * well, which the transaction doesn't write: the order record stands for them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/operation_private.h"

/* A VN as it will be. */
struct next {
	struct record *record;
	uint32_t id;
	size_t n;
	const struct host **members; /* by pointer */
};

struct commit {
	struct task *task;
	const struct vn *const *was;
	size_t n_was;
	struct next *is;
	size_t n_is;
};

/* ---- policies ------------------------------------------------------------------ */

static bool in_hours(const struct policy_record *p, uint64_t now)
{
	uint32_t minute = (uint32_t)(now / 60000 % (24 * 60));

	if (p->from == p->to)
		return true;
	return p->from < p->to ? minute >= p->from && minute < p->to
			       : minute >= p->from || minute < p->to;
}

/* Policies of the host's site about a VN. NULL: none of that effect holds now. */
static const struct policy *policy_holds(const struct task *t, const struct host *host,
					 unsigned effect, const char *vn, const char *creator)
{
	list_for_each(node, &host->router->site->policies) {
		const struct policy *p = container_of(node, struct policy, by_site);

		if (p->record.effect == effect && in_hours(&p->record, t->request->now) &&
		    names_match(&p->record.hosts, host->object.name) &&
		    names_match(&p->record.vns, vn) && names_match(&p->record.creators, creator))
			return p;
	}
	return NULL;
}

bool consents(struct task *t, const struct host *host, const char *vn, const char *creator)
{
	if (owns_host(t, host) || owns_site(t, host->router->site) ||
	    policy_holds(t, host, POLICY_PERMIT, vn, creator))
		return true;
	return refuse(t, 403,
		      "host '%s': the caller neither owns it nor administers its site '%s', and "
		      "no policy of that site permits VN '%s' created by '%s' now",
		      host->object.name, host->router->site->object.name, vn, creator);
}

/* ---- as it will be ------------------------------------------------------------- */

static int compare_pointers(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;

	return x < y ? -1 : x > y;
}

static bool will_have(const struct next *is, const struct host *host)
{
	return bsearch(&host, is->members, is->n, sizeof(*is->members), compare_pointers);
}

static const struct host *find_host(const struct task *t, const char *name)
{
	return t->comes && !strcmp(t->comes->object.name, name) ? t->comes
								: registry_host(t->registry, name);
}

static bool find_members(struct commit *c)
{
	for (size_t i = 0; i < c->n_is; i++) {
		struct next *is = &c->is[i];
		const struct names *names = &is->record->vn.members;

		is->id = (uint32_t)strtoul(is->record->id, NULL, 10);
		is->members = mem_new(names->n, sizeof(*is->members));
		for (; is->n < names->n; is->n++) {
			const char *name = names->at[is->n];

			is->members[is->n] = find_host(c->task, name);
			if (!is->members[is->n])
				return refuse(c->task, 404, "there is no host '%s'", name);
		}
		qsort(is->members, is->n, sizeof(*is->members), compare_pointers);
	}
	return true;
}

static const struct vn *was_of(const struct commit *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_was; i++)
		if (c->was[i]->id == id)
			return c->was[i];
	return NULL;
}

/* ---- rules --------------------------------------------------------------------- */

static bool check_policies(struct commit *c, const struct next *is)
{
	const struct vn *was = was_of(c, is->id);
	const struct vn_record *vn = &is->record->vn;

	for (size_t i = 0; i < is->n; i++) {
		const struct host *h = is->members[i];
		const struct policy *p;

		if (was && vn_has(was, h))
			continue;
		p = policy_holds(c->task, h, POLICY_FORBID, vn->name, vn->creator);
		if (p)
			return refuse(c->task, 403,
				      "policy '%s' forbids host '%s' in VN '%s' created by '%s' "
				      "now",
				      p->object.name, h->object.name, vn->name, vn->creator);
	}
	return true;
}

static bool check_tinies(struct commit *c, const struct next *is)
{
	for (size_t i = 0; i < is->n; i++) {
		const struct host *h = is->members[i];

		for (uint32_t k = 0; h->tiny && k < h->n_vns; k++)
			if (h->vns[k]->id != is->id && !was_of(c, h->vns[k]->id))
				return refuse(c->task, 409,
					      "host '%s' is a tiny, and in VN '%s': it can be in "
					      "one only",
					      h->object.name, h->vns[k]->object.name);
	}
	return true;
}

static int compare_addresses(const void *a, const void *b)
{
	return memcmp(&(*(const struct host_address *const *)a)->ip,
		      &(*(const struct host_address *const *)b)->ip, sizeof(struct ip));
}

static bool check_clashes(struct commit *c, const struct next *is)
{
	const struct host_address **all, *one = NULL, *other = NULL;
	char text[IP_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < is->n; i++)
		n += is->members[i]->n_addresses;
	all = mem_new(n, sizeof(*all));
	n = 0;
	for (size_t i = 0; i < is->n; i++)
		for (uint32_t k = 0; k < is->members[i]->n_addresses; k++)
			all[n++] = &is->members[i]->addresses[k];
	qsort(all, n, sizeof(*all), compare_addresses);
	for (size_t i = 1; i < n && !one; i++)
		if (!compare_addresses(&all[i - 1], &all[i])) {
			one = all[i - 1];
			other = all[i];
		}
	free(all);
	if (!one)
		return true;
	return refuse(c->task, 409,
		      "hosts '%s' of site '%s' and '%s' of site '%s' both have %s: they cannot be "
		      "in one VN; give one of them a virtual address",
		      one->host->object.name, one->host->router->site->object.name,
		      other->host->object.name, other->host->router->site->object.name,
		      ip_format(&one->ip, text));
}

/* An address of a member that is found in another VN too. */
struct echo {
	uint32_t vn;
	uint32_t member; /* its place */
	bool itself;	 /* the member is in that VN, not only its address */
};

struct echoes {
	size_t n, room;
	struct echo *at;
};

static int compare_echoes(const void *a, const void *b)
{
	const struct echo *x = a, *y = b;

	if (x->vn != y->vn)
		return x->vn < y->vn ? -1 : 1;
	return x->member < y->member ? -1 : x->member > y->member;
}

static void note_echo(struct echoes *e, uint32_t vn, size_t member, bool itself)
{
	e->at = mem_more(e->at, e->n, &e->room, sizeof(*e->at));
	e->at[e->n++] = (struct echo){ vn, (uint32_t)member, itself };
}

static void find_echoes(const struct commit *c, const struct next *is, struct echoes *e)
{
	for (size_t i = 0; i < is->n; i++)
		for (uint32_t k = 0; k < is->members[i]->n_addresses; k++) {
			const struct ip *ip = &is->members[i]->addresses[k].ip;
			const struct host *h;
			size_t place = 0;

			while ((h = registry_at(c->task->registry, ip, &place))) {
				bool itself = h == is->members[i];

				for (uint32_t v = 0; v < h->n_vns; v++)
					if (!was_of(c, h->vns[v]->id) && h->vns[v]->id != is->id)
						note_echo(e, h->vns[v]->id, i, itself);
				for (size_t o = 0; o < c->n_is; o++)
					if (&c->is[o] != is && will_have(&c->is[o], h))
						note_echo(e, c->is[o].id, i, itself);
			}
		}
}

static const char *vn_name(const struct commit *c, uint32_t id)
{
	const struct vn *vn = registry_vn(c->task->registry, id);

	for (size_t i = 0; i < c->n_is; i++)
		if (c->is[i].id == id)
			return c->is[i].record->vn.name;
	return vn ? vn->object.name : "";
}

static bool check_ambiguity(struct commit *c, const struct next *is)
{
	struct echoes e = { 0 };
	bool good = true;

	find_echoes(c, is, &e);
	if (e.n)
		qsort(e.at, e.n, sizeof(*e.at), compare_echoes);
	for (size_t i = 0, end; good && i < e.n; i = end) {
		const struct echo *itself = NULL, *other = NULL;

		for (end = i; end < e.n && e.at[end].vn == e.at[i].vn; end++)
			if (e.at[end].itself && !itself)
				itself = &e.at[end];
		for (size_t k = i; itself && k < end && !other; k++)
			if (e.at[k].member != itself->member)
				other = &e.at[k];
		if (!other)
			continue;
		good = refuse(c->task, 409,
			      "host '%s' would be in VNs '%s' and '%s', and find an address of "
			      "'%s' in both (ambiguous)",
			      is->members[itself->member]->object.name, is->record->vn.name,
			      vn_name(c, itself->vn), is->members[other->member]->object.name);
	}
	free(e.at);
	return good;
}

/* ---- who gains and loses reach ------------------------------------------------- */

/* Hosts that are in the same of these VNs before, and in the same after, are one group. */
struct place {
	const struct host *host;
	uint64_t before, after; /* bits: of was, of is */
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->before != y->before)
		return x->before < y->before ? -1 : 1;
	if (x->after != y->after)
		return x->after < y->after ? -1 : 1;
	return strcmp(x->host->object.name, y->host->object.name);
}

static int compare_place_hosts(const void *a, const void *b)
{
	return compare_pointers(&((const struct place *)a)->host, &((const struct place *)b)->host);
}

static struct place *find_places(const struct commit *c, size_t *ret_n)
{
	struct place *places = NULL;
	size_t n = 0, room = 0, top = 0;

	for (size_t i = 0; i < c->n_was; i++)
		for (size_t k = 0; k < c->was[i]->n_members; k++) {
			places = mem_more(places, n, &room, sizeof(*places));
			places[n++] = (struct place){ c->was[i]->members[k], 1ull << i, 0 };
		}
	for (size_t i = 0; i < c->n_is; i++)
		for (size_t k = 0; k < c->is[i].n; k++) {
			places = mem_more(places, n, &room, sizeof(*places));
			places[n++] = (struct place){ c->is[i].members[k], 0, 1ull << i };
		}
	if (n)
		qsort(places, n, sizeof(*places), compare_place_hosts);
	for (size_t i = 0; i < n; i++) {
		if (top && places[top - 1].host == places[i].host) {
			places[top - 1].before |= places[i].before;
			places[top - 1].after |= places[i].after;
		} else {
			places[top++] = places[i];
		}
	}
	if (top)
		qsort(places, top, sizeof(*places), compare_places);
	*ret_n = top;
	return places;
}

/* {"groups": [[host, ...], ...], "gain": [[i, k], ...], "lose": ...}: every host of group
 * i gains reach of every one of group k, and the reverse; i = k: among themselves. */
static json_t *reach(const struct commit *c)
{
	json_t *groups = mem_json(json_array()), *gain = mem_json(json_array()),
	       *lose = mem_json(json_array()), *group = NULL;
	struct place *places, *first;
	size_t n, n_groups = 0;

	places = find_places(c, &n);
	first = mem_new(n, sizeof(*first));
	for (size_t i = 0; i < n; i++) {
		if (!i || places[i].before != places[i - 1].before ||
		    places[i].after != places[i - 1].after) {
			first[n_groups++] = places[i];
			group = mem_json(json_array());
			json_array_append_new(groups, group);
		}
		json_array_append_new(group, mem_json(json_string(places[i].host->object.name)));
	}
	for (size_t i = 0; i < n_groups; i++)
		for (size_t k = i; k < n_groups; k++) {
			bool before = first[i].before & first[k].before;
			bool after = first[i].after & first[k].after;

			if (before == after ||
			    (i == k && json_array_size(json_array_get(groups, i)) < 2))
				continue;
			json_array_append_new(after ? gain : lose,
					      mem_json(json_pack("[i,i]", (int)i, (int)k)));
		}
	free(first);
	free(places);
	return mem_json(json_pack("{s:o,s:o,s:o}", "groups", groups, "gain", gain, "lose", lose));
}

/* ---- the changes --------------------------------------------------------------- */

static json_t *as_stored(const struct vn *vn)
{
	struct record rec;
	json_t *value;

	vn_record(vn, &rec);
	value = record_encode(&rec);
	record_done(&rec);
	return value;
}

static char *caller_text(const struct task *t)
{
	if (t->user)
		return mem_format("user/%s", t->user->object.name);
	return t->router ? mem_format("router/%s", t->router->object.name)
			 : mem_format("tiny/%s", t->comes ? t->comes->object.name : "");
}

static void write_changes(struct commit *c)
{
	struct task *t = c->task;
	struct record change = { .kind = RECORD_CHANGE }, log = { .kind = RECORD_LOG };
	json_t *before = mem_json(json_object()), *after = mem_json(json_object());
	json_t *vns = mem_json(json_array());
	const char *key;
	char id[CHANGE_ID];
	uint32_t highest = 0;
	json_t *value;

	/* IDs of changes ascend whatever clocks do: undo wants the last one. */
	snprintf(id, sizeof(id), "%012llx-%.40s",
		 (unsigned long long)registry_order(t->registry)->record.n + 1, t->request->id);
	for (size_t i = 0; i < c->n_was; i++) {
		char text[32];

		snprintf(text, sizeof(text), "vn/%u", c->was[i]->id);
		json_object_set_new(before, text, as_stored(c->was[i]));
		json_object_set_new(after, text, mem_json(json_null()));
	}
	for (size_t i = 0; i < c->n_is; i++) {
		struct vn_record *vn = &c->is[i].record->vn;
		char text[32];

		snprintf(text, sizeof(text), "vn/%u", c->is[i].id);
		free(vn->change);
		vn->change = mem_text(id);
		if (!json_object_get(before, text))
			json_object_set_new(before, text, mem_json(json_null()));
		json_object_set_new(after, text, record_encode(c->is[i].record));
		json_array_append_new(vns,
				      mem_json(json_pack("{s:I,s:s}", "id", (json_int_t)c->is[i].id,
							 "name", vn->name)));
		highest = c->is[i].id > highest ? c->is[i].id : highest;
	}
	json_object_foreach(after, key, value)
	{
		const struct vn *was = was_of(c, (uint32_t)strtoul(key + 3, NULL, 10));

		if (json_is_null(value))
			change_delete(t, key, &was->object);
		else
			change_put(t, key, json_incref(value), was ? &was->object : NULL);
		snprintf(log.id, sizeof(log.id), "%s/%s", key + 3, id);
		log.log.time = t->request->now;
		change_record(t, &log, NULL);
	}
	snprintf(change.id, sizeof(change.id), "%s", id);
	change.change = (struct change_record){
		.time = t->request->now,
		.caller = caller_text(t),
		.operation = mem_text(operation_rules[t->operation].name),
		.before = before,
		.after = after,
	};
	change_record(t, &change, NULL);
	change_order(t, highest, 0, NULL);
	set_result(t, mem_json(json_pack("{s:o,s:s,s:o}", "vns", vns, "change", id, "reach",
					 reach(c))));
}

bool commit_vns(struct task *t, const struct vn *const *was, size_t n_was, struct record *is,
		size_t n_is)
{
	struct commit c = { .task = t, .was = was, .n_was = n_was, .n_is = n_is };
	bool good;

	c.is = mem_new(n_is, sizeof(*c.is));
	for (size_t i = 0; i < n_is; i++)
		c.is[i].record = &is[i];
	good = n_was <= 64 && n_is <= 64 ? find_members(&c)
					 : refuse(t, 400, "more than 64 VNs at once");
	for (size_t i = 0; good && i < n_is; i++)
		good = check_policies(&c, &c.is[i]) && check_tinies(&c, &c.is[i]) &&
		       check_clashes(&c, &c.is[i]) && check_ambiguity(&c, &c.is[i]);
	if (good)
		write_changes(&c);
	for (size_t i = 0; i < n_is; i++) {
		free(c.is[i].members);
		record_done(&is[i]);
	}
	free(c.is);
	return good;
}
