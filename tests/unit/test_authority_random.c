/* links: libauthority libcommon */
/*
 * Random operations, one or some at once, and after each such change:
 *
 * 1. the registry is the one that is loaded from the store anew;
 * 2. tables kept up by what changes say are those computed from scratch, and no router
 *    is touched in vain or forgotten;
 * 3. in no mixture of steps do two hosts reach each other that share a VN neither before
 *    nor after; after the first step, none that share none after;
 * 4. those that share one before and after, at the same routers, always reach each other
 *    while routers are at most one step apart;
 * 5. undo leads back to the same tables;
 * 6. the tables are such as a router takes (common/table.h).
 */
#include "common/table.h"
#include "tests/unit/authority_world.h"

enum { ROUTERS = 6, HOSTS = 26, ROUNDS = 600, MIXTURES = 4 };

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % n;
}

static const struct host *hosts[HOSTS];
static unsigned accepted[8], shared_pairs, lost_pairs;

/* ---- the world ----------------------------------------------------------------- */

/* Routers 5 and 6 are of one site. The last hosts of each router have physical
 * addresses that other sites have too. */
static void populate(struct world *w)
{
	world_init(w, "172.16.0.0/12");
	for (unsigned i = 1; i < ROUTERS; i++) {
		char name[8], block[32];

		snprintf(name, sizeof(name), "r%u", i);
		snprintf(block, sizeof(block), "172.16.%u.0/28", i);
		world_site(w, name, i, block);
	}
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:s,s:i}", "kind", "router", "name", "r6", "site", "r5",
				 "id", 6)));
	assert_done(as(w, "root", "block-assign",
		       json_pack("{s:s,s:s}", "router", "r6", "block", "172.16.5.0/28")));
	for (unsigned i = 0; i < HOSTS; i++) {
		char name[8], router[8], physical[32];

		snprintf(name, sizeof(name), "h%u", i);
		snprintf(router, sizeof(router), "r%u", i % ROUTERS + 1);
		snprintf(physical, sizeof(physical), "10.0.%u.%u", i % ROUTERS == 5, i % 2);
		world_host(w, name, router, "root", i >= 20 ? physical : NULL);
	}
}

static void find_hosts(const struct world *w)
{
	for (unsigned i = 0; i < HOSTS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "h%u", i);
		hosts[i] = registry_host(w->registry, name);
	}
}

/* ---- random requests ----------------------------------------------------------- */

static const struct vn *any_vn(const struct world *w)
{
	size_t n = registry_count(w->registry, RECORD_VN), place = 0;
	const struct vn *vn = NULL;

	for (unsigned i = n ? below((unsigned)n) + 1 : 0; i; i--)
		vn = registry_each(w->registry, RECORD_VN, &place);
	return vn;
}

static json_t *any_hosts(unsigned n)
{
	json_t *l = json_array();
	bool taken[HOSTS] = { false };

	while (n--) {
		unsigned i = below(HOSTS);

		if (!taken[i])
			json_array_append_new(l, json_string(hosts[i]->object.name));
		taken[i] = true;
	}
	return l;
}

static int ask_split(struct world *w, const struct vn *vn, const char *name)
{
	json_t *groups[2] = { json_array(), json_array() };

	for (size_t i = 0; i < vn->n_members; i++)
		json_array_append_new(groups[below(2)], json_string(vn->members[i]->object.name));
	return as(w, "root", "vn-split",
		  json_pack("{s:s,s:[{s:s,s:o},{s:s,s:o}]}", "vn", vn->object.name, "groups",
			    "name", vn->object.name, "hosts", groups[0], "name", name, "hosts",
			    groups[1]));
}

/* By the authority itself: another one of the site takes over, or gives back. */
static int ask_steer(struct world *w, const struct router *r)
{
	return world_ask(
		w, (struct request){ .caller = { .kind = CALLER_AUTHORITY }, .operation = "steer" },
		json_pack("{s:s,s:b}", "router", r->object.name, "silent", !r->record.silent));
}

/* Asks for something. Sets *ret_vn to a VN that it was about. */
static bool ask_any(struct world *w, uint32_t *ret_vn)
{
	const struct vn *vn = any_vn(w), *other = any_vn(w);
	unsigned what = below(8);
	char name[16];
	int status;

	snprintf(name, sizeof(name), "v%u", w->requests);
	if (vn)
		*ret_vn = vn->id;
	if (!vn || what == 0) {
		what = 0;
		status = as(w, "root", "vn-create",
			    json_pack("{s:s,s:o}", "name", name, "hosts", any_hosts(2 + below(6))));
		*ret_vn = registry_vn_named(w->registry, name)
				  ? registry_vn_named(w->registry, name)->id
				  : 0;
	} else if (what == 1 && below(2)) {
		status = as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", vn->object.name));
	} else if (what == 2) {
		status = as(w, "root", "vn-merge",
			    json_pack("{s:[s,s],s:s}", "vns", vn->object.name, other->object.name,
				      "name", name));
	} else if (what == 3) {
		status = ask_split(w, vn, name);
	} else if (what == 4 || what == 5) {
		status = as(w, "root", "vn-join",
			    json_pack("{s:s,s:o}", "vn", vn->object.name, "hosts",
				      any_hosts(1 + below(2))));
	} else if (what == 6) {
		const char *leaves =
			vn->n_members ? vn->members[below((unsigned)vn->n_members)]->object.name
				      : "h0";

		status = as(w, "root", "vn-leave",
			    json_pack("{s:s,s:[s]}", "vn", vn->object.name, "hosts", leaves));
	} else {
		const struct router *r = registry_router_id(w->registry, 1 + below(ROUTERS));

		what = 7;
		*ret_vn = 0;
		if (below(4))
			status = 0;
		else if (below(2))
			status = as(w, "root", "router-change",
				    json_pack("{s:s,s:b}", "router", r->object.name, "disabled",
					      !r->record.disabled));
		else
			status = ask_steer(w, r);
	}
	accepted[what] += status == 200;
	return status == 200;
}

/* ---- lookups as routers make them ---------------------------------------------- */

/* What a router looks up in while the change is under way: the step's image for the
 * networks that change, and the others. */
struct view {
	struct networks send, receive;
	size_t n_aliases;
	struct alias *aliases;
};

static void add_network(struct networks *l, const struct network_table *t)
{
	l->at = realloc(l->at, (l->n + 1) * sizeof(*l->at));
	l->at[l->n++] = network_table_ref(t);
}

static void view_init(struct view *v, const struct tables_change *c,
		      const struct networks *unchanged, unsigned step, uint32_t router)
{
	struct step_image image;
	size_t n;

	tables_change_image(c, step, router, &image);
	v->send = image.send;
	v->receive = image.receive;
	v->aliases = image.aliases;
	v->n_aliases = image.n_aliases;
	for (size_t i = 0; i < unchanged->n; i++) {
		network_table_of(unchanged->at[i], router, &n);
		if (!n)
			continue;
		add_network(&v->send, unchanged->at[i]);
		add_network(&v->receive, unchanged->at[i]);
	}
}

static void view_done(struct view *v)
{
	networks_done(&v->send);
	networks_done(&v->receive);
	free(v->aliases);
}

static const struct network_table *of_id(const struct networks *l, uint32_t id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i]->id == id)
			return l->at[i];
	return NULL;
}

static bool takes(const struct view *v, uint32_t network, uint32_t from, const struct ip *source,
		  uint32_t self, const struct ip *destination)
{
	const struct network_table *t = of_id(&v->receive, network);

	return t && network_table_at(t, from, source) && network_table_at(t, self, destination);
}

/* Whether a packet from x, at a router, to the address is delivered, and by which one. */
static uint32_t deliver(const struct view *views, uint32_t self, const struct host *x,
			const struct ip *ip)
{
	uint32_t network = 0;
	const struct ip *source = &x->addresses[0].ip;
	const struct network_row *best = NULL, *row;
	const struct view *to;

	for (size_t i = 0; i < views[self].send.n; i++) {
		const struct network_table *t = views[self].send.at[i];

		if (!network_table_at(t, self, source))
			continue;
		row = network_table_at(t, 0, ip);
		if (!row)
			continue;
		/* The registry sees to it that there is one answer. */
		assert_null(best);
		best = row;
		network = t->id;
	}
	if (!best)
		return 0;
	to = &views[best->router];
	if (takes(to, network, self, source, best->router, ip))
		return best->router;
	for (size_t i = 0; i < to->n_aliases; i++)
		if (to->aliases[i].from == network &&
		    takes(to, to->aliases[i].to, self, source, best->router, ip))
			return best->router;
	return 0;
}

/* ---- what must hold ------------------------------------------------------------ */

/* Which hosts share a network, and the routers that deliver to them; 0: none. */
struct reach {
	bool pair[HOSTS][HOSTS];
	uint32_t at[HOSTS];
};

static void find_reach(struct reach *r)
{
	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < HOSTS; i++) {
		const struct router *at = router_for(hosts[i], &hosts[i]->addresses[0].ip);

		r->at[i] = at ? at->record.id : 0;
	}
	for (unsigned i = 0; i < HOSTS; i++)
		for (unsigned k = 0; k < HOSTS; k++)
			for (uint32_t v = 0; v < hosts[i]->n_vns; v++)
				if (i != k && r->at[i] && r->at[k] &&
				    vn_has(hosts[i]->vns[v], hosts[k]))
					r->pair[i][k] = true;
}

static const struct host *at_router(const struct reach *before, const struct reach *after,
				    uint32_t router, const struct ip *ip)
{
	for (unsigned i = 0; i < HOSTS; i++)
		if ((before->at[i] == router || after->at[i] == router) &&
		    ip_equal(&hosts[i]->addresses[0].ip, ip))
			return hosts[i];
	return NULL;
}

static unsigned place_of(const struct host *h)
{
	unsigned i = 0;

	while (hosts[i] != h)
		i++;
	return i;
}

/* Of a packet that comes from a host to a router. */
static void check_packet(const struct view *views, const unsigned *steps, bool near, unsigned i,
			 uint32_t self, unsigned k, const struct reach *before,
			 const struct reach *after)
{
	const struct ip *ip = &hosts[k]->addresses[0].ip;
	uint32_t router = deliver(views, self, hosts[i], ip);
	const struct host *to;
	unsigned z;

	/* Who moves to another router may miss something meanwhile. */
	if (near && before->pair[i][k] && after->pair[i][k] && before->at[i] == after->at[i] &&
	    before->at[k] == after->at[k])
		assert_int_equal(router, after->at[k]);
	if (!router)
		return;
	to = at_router(before, after, router, ip);
	assert_non_null(to);
	z = place_of(to);
	assert_true(before->pair[i][z] || after->pair[i][z]);
	if (steps[router])
		assert_true(after->pair[i][z]);
}

static void check_mixture(const struct view *views, const unsigned *steps, bool near,
			  const struct reach *before, const struct reach *after)
{
	for (unsigned i = 0; i < HOSTS; i++)
		for (unsigned k = 0; k < HOSTS; k++) {
			if (i == k ||
			    ip_equal(&hosts[i]->addresses[0].ip, &hosts[k]->addresses[0].ip))
				continue;
			if (before->at[i])
				check_packet(views, steps, near, i, before->at[i], k, before,
					     after);
			if (after->at[i] && after->at[i] != before->at[i])
				check_packet(views, steps, near, i, after->at[i], k, before, after);
		}
}

static void check_steps(const struct world *w, const struct tables_change *c,
			const struct reach *before, const struct reach *after)
{
	unsigned last = tables_change_steps(c), steps[ROUTERS + 1];
	struct view views[ROUTERS + 1];
	struct networks unchanged = { 0 };
	struct step_image image;
	const struct vn *vn;
	size_t place = 0;

	/* Networks that are in no image at all are the unchanged ones. */
	while ((vn = registry_each(w->registry, RECORD_VN, &place))) {
		bool changed = false;

		for (uint32_t r = 1; r <= ROUTERS && !changed; r++)
			for (unsigned step = 0; step <= 2 && !changed; step += 2) {
				tables_change_image(c, step, r, &image);
				changed = of_id(&image.send, vn->id);
				step_image_done(&image);
			}
		if (!changed) {
			struct network_table *t = network_table_new(vn->id, vn);

			add_network(&unchanged, t);
			network_table_unref(t);
		}
	}
	for (unsigned k = 0; k < last + MIXTURES; k++) {
		bool near = k < last;

		for (uint32_t r = 1; r <= ROUTERS; r++) {
			steps[r] = near ? k + below(2) : below(last + 1);
			view_init(&views[r], c, &unchanged, steps[r], r);
		}
		check_mixture(views, steps, near, before, after);
		for (uint32_t r = 1; r <= ROUTERS; r++)
			view_done(&views[r]);
	}
	networks_done(&unchanged);
}

/* Tables kept by the changes alone, by router. */
static struct networks kept[ROUTERS + 1];

static void put_network(struct networks *l, uint32_t id, const struct network_table *t)
{
	size_t at = 0;

	while (at < l->n && l->at[at]->id < id)
		at++;
	if (at < l->n && l->at[at]->id == id) {
		network_table_unref(l->at[at]);
		memmove(l->at + at, l->at + at + 1, (--l->n - at) * sizeof(*l->at));
	}
	if (!t)
		return;
	l->at = realloc(l->at, (l->n + 1) * sizeof(*l->at));
	memmove(l->at + at + 1, l->at + at, (l->n++ - at) * sizeof(*l->at));
	l->at[at] = network_table_ref(t);
}

static void on_conflict(void *arg, const char *text, const char *file, unsigned line)
{
	(void)arg;
	(void)file;
	(void)line;
	print_message("# %s\n", text);
}

/* Members here are rows of the LNDT, all others of the GNDT. */
static void check_image(uint32_t self, const struct networks *l)
{
	static struct lndt_row lndt[HOSTS * 64];
	static struct gndt_row gndt[HOSTS * 64];
	size_t n = 0, m = 0;
	struct table *table;

	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->at[i]->n; k++) {
			const struct network_row *row = &l->at[i]->rows[k];

			assert_true(n < HOSTS * 64 && m < HOSTS * 64);
			if (row->router == self)
				lndt[n++] = (struct lndt_row){ .network = l->at[i]->id,
							       .prefix = row->prefix };
			else
				gndt[m++] = (struct gndt_row){ .network = l->at[i]->id,
							       .router = row->router,
							       .prefix = row->prefix };
		}
	table = table_new(self, lndt, n, gndt, m, 1, on_conflict, NULL);
	assert_non_null(table);
	table_free(table);
}

static void check_tables(const struct world *w, const struct tables_change *c)
{
	const uint32_t *touched;
	size_t n = tables_change_touched(c, &touched);

	for (size_t i = 0; i < n; i++) {
		struct step_image was, is;

		tables_change_image(c, 0, touched[i], &was);
		tables_change_image(c, tables_change_steps(c), touched[i], &is);
		for (size_t k = 0; k < was.send.n; k++)
			put_network(&kept[touched[i]], was.send.at[k]->id, NULL);
		for (size_t k = 0; k < is.send.n; k++)
			put_network(&kept[touched[i]], is.send.at[k]->id, is.send.at[k]);
		assert_true(was.send.n || is.send.n);
		step_image_done(&was);
		step_image_done(&is);
	}
	for (uint32_t r = 1; r <= ROUTERS; r++) {
		struct networks scratch;

		networks_of_router(registry_router_id(w->registry, r), &scratch);
		check_image(r, &scratch);
		assert_int_equal(scratch.n, kept[r].n);
		for (size_t i = 0; i < scratch.n; i++)
			assert_true(network_table_equal(scratch.at[i], kept[r].at[i]));
		networks_done(&scratch);
	}
}

static void check_reload(const struct world *w)
{
	struct registry *other = world_reload(w);
	json_t *mine = world_dump(w->registry), *its = world_dump(other);

	assert_true(json_equal(mine, its));
	json_decref(mine);
	json_decref(its);
	registry_free(other);
}

/* ---- rounds -------------------------------------------------------------------- */

static void finish_change(struct world *w, struct tables_change *c, const struct reach *before)
{
	static struct reach after;

	tables_change_finish(c);
	find_reach(&after);
	check_tables(w, c);
	check_steps(w, c, before, &after);
	for (unsigned i = 0; i < HOSTS; i++)
		for (unsigned k = 0; k < HOSTS; k++) {
			shared_pairs += before->pair[i][k] && after.pair[i][k];
			lost_pairs += before->pair[i][k] && !after.pair[i][k];
		}
	tables_change_free(c);
}

/* Takes the last change back: the tables are what they were. */
static void check_undo(struct world *w, uint32_t vn, const struct reach *former)
{
	struct tables_change *c = tables_change_new(w->registry);
	static struct reach before, after;
	unsigned n;
	const uint32_t *touched;

	find_reach(&before);
	if (as(w, "root", "vn-undo", json_pack("{s:I}", "vn", (json_int_t)vn)) != 200)
		fail_msg("undo: %s", w->detail);
	find_reach(&after);
	assert_memory_equal(&after, former, sizeof(after));
	finish_change(w, c, &before);
	/* And that is undone again, or not. */
	if (below(2))
		return;
	c = tables_change_new(w->registry);
	after = before;
	find_reach(&before);
	if (as(w, "root", "vn-undo", json_pack("{s:I}", "vn", (json_int_t)vn)) != 200)
		fail_msg("undo of undo: %s", w->detail);
	finish_change(w, c, &before);
	n = (unsigned)tables_change_touched(c = tables_change_new(w->registry), &touched);
	assert_int_equal(n, 0);
	tables_change_free(c);
	find_reach(&before);
	assert_memory_equal(&after, &before, sizeof(after));
}

static void run(uint64_t from)
{
	struct world world, *w = &world;
	static struct reach before;

	seed = from;
	populate(w);
	find_hosts(w);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct tables_change *c = tables_change_new(w->registry);
		unsigned n = below(3) ? 1 : 2 + below(3), done = 0;
		uint32_t vn = 0;

		find_reach(&before);
		for (unsigned i = 0; i < n; i++)
			done += ask_any(w, &vn);
		finish_change(w, c, &before);
		if (n == 1 && done && vn && !below(3))
			check_undo(w, vn, &before);
		if (round % 16 == 0)
			check_reload(w);
	}
	check_reload(w);
	for (uint32_t r = 1; r <= ROUTERS; r++)
		networks_done(&kept[r]);
	world_done(w);
}

static void test_random(void **state)
{
	(void)state;
	run(8463);
	run(172160);
	for (unsigned i = 0; i < 8; i++)
		assert_true(accepted[i] > 15);
	assert_true(shared_pairs > 1000 && lost_pairs > 1000);
	print_message("# accepted: create %u shutdown %u merge %u split %u join %u leave %u "
		      "disable %u; pairs kept %u lost %u\n",
		      accepted[0], accepted[1], accepted[2], accepted[3], accepted[4] + accepted[5],
		      accepted[6], accepted[7], shared_pairs, lost_pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
