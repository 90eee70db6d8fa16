/* links: libauthority libcommon */
/*
 * Tinies: who is let in, by what token, at which router and with which address; the same VM
 * again, another one in its place, revoked; who may see and take out whom. Which address is in
 * which range, and which router is best.
 */
#include "tests/unit/authority_world.h"

#include "authority/designate.h"

static void begin(struct world *w)
{
	world_init(w, "172.16.0.0/12");
	world_site(w, "f", 1, "172.16.0.0/24");
	world_site(w, "g", 2, "172.16.1.0/24");
	world_user(w, "jane", "eu");
	world_user(w, "joe", "eu");
	world_host(w, "f1", "f", "jane", NULL);
	world_host(w, "f2", "f", "jane", NULL);
	assert_done(as(w, "jane", "vn-create",
		       json_pack("{s:s,s:o}", "name", "v", "hosts", list("f1"))));
	assert_done(as(w, "jane", "vn-create",
		       json_pack("{s:s,s:o}", "name", "u", "hosts", list("f2"))));
}

static int token(struct world *w, const char *user, const char *hash, const char *vn, int count,
		 bool anywhere)
{
	return as(w, user, "token-create",
		  json_pack("{s:s,s:s,s:s,s:i,s:I,s:b}", "hash", hash, "registers", "tiny", "vn",
			    vn, "count", count, "expires", (json_int_t)w->now + 3600000, "anywhere",
			    anywhere));
}

/* What isn't said is as usual. */
struct vm {
	const char *name, *address, *source, *range, *routers, *nonce, *gone;
};

static const char * or (const char *text, const char *usual)
{
	return text ? text : usual;
}

static int join(struct world *w, const char *hash, const struct vm *vm)
{
	return world_ask(w, (struct request){ .operation = "tiny-join", .token = hash },
			 json_pack("{s:s,s:o,s:s,s:s,s:o,s:s,s:s,s:o}", "name", or (vm->name, "vm"),
				   "addresses", list(vm->address), "source",
				   or (vm->source, "192.0.2.7"), "range", or (vm->range, "r"),
				   "routers", list(or (vm->routers, "f g")), "key", "a key",
				   "nonce", vm->nonce, "gone", list(or (vm->gone, ""))));
}

#define VM(...) (&(struct vm){ __VA_ARGS__ })

static const char *text(const struct world *w, const char *name)
{
	const char *t = json_string_value(json_object_get(w->result, name));

	return t ? t : "";
}

static size_t members(const struct world *w, const char *vn)
{
	return registry_vn_named(w->registry, vn)->n_members;
}

static void test_join(void **state)
{
	struct world world, *w = &world;
	const struct tiny *t;
	uint32_t id;

	(void)state;
	begin(w);
	assert_refused(token(w, "joe", "a", "v", 2, false), 403, "roles");
	assert_done(token(w, "jane", "a", "v", 2, false));
	assert_done(token(w, "root", "b", "v", 9, true));
	assert_refused(join(w, NULL, VM(.address = "10.0.0.5", .nonce = "1")), 401, "token");
	assert_refused(join(w, "x", VM(.address = "10.0.0.5", .nonce = "1")), 403, "no such token");
	assert_refused(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1", .range = "")), 403,
		       "in no range");
	assert_done(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")));
	assert_string_equal(text(w, "name"), "vm");
	t = registry_tiny(w->registry, "vm");
	id = t->record.id;
	assert_int_equal(id, 3);
	assert_ptr_equal(registry_tiny_id(w->registry, id), t);
	assert_ptr_equal(t->host->tiny, t);
	assert_string_equal(t->host->router->object.name, "f");
	assert_string_equal(t->host->owner->object.name, "jane");
	assert_int_equal(t->record.routers.n, 2);
	assert_int_equal(members(w, "v"), 2);
	assert_int_equal(registry_token(w->registry, "a")->record.used, 1);
	/* A router that asks for its ID doesn't get it. */
	assert_refused(as(w, "root", "register",
			  json_pack("{s:s,s:s,s:s,s:s,s:i}", "kind", "router", "name", "h", "site",
				    "f", "key", "h", "id", 3)),
		       409, "taken");
	/* The same VM again: nothing is used up, and the key of before is good no more. */
	assert_done(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")));
	assert_true(json_is_true(json_object_get(w->result, "again")));
	assert_int_equal(registry_tiny(w->registry, "vm")->record.id, id);
	assert_int_equal(registry_token(w->registry, "a")->record.used, 1);
	assert_int_equal(members(w, "v"), 2);
	/* ... not from elsewhere, with another nonce, another address, or much later. */
	assert_refused(join(w, "a",
			    VM(.address = "10.0.0.5", .nonce = "1", .source = "192.0.2.8",
			       .routers = "f")),
		       409, "is host 'vm'");
	assert_refused(join(w, "a", VM(.address = "10.0.0.5", .nonce = "2", .routers = "f")), 409,
		       "is host 'vm'");
	/* Refused is not used up. */
	assert_int_equal(registry_token(w->registry, "a")->record.used, 1);
	/* Where that address isn't taken it would be, but for the VN. */
	assert_refused(join(w, "a", VM(.address = "10.0.0.5", .nonce = "2")), 409, "both have");
	assert_done(join(w, "a", VM(.address = "10.0.0.6", .nonce = "2")));
	assert_string_equal(text(w, "name"), "vm-4");
	assert_refused(join(w, "a", VM(.address = "10.0.0.7", .nonce = "3")), 403, "used up");
	w->now += 600000;
	assert_refused(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")), 403, "used up");
	/* Outside of all ranges. */
	assert_done(join(w, "b", VM(.address = "10.0.0.8", .nonce = "4", .range = "", .name = "")));
	assert_string_equal(text(w, "name"), "vm-5");
	/* Of the space only what is in a block of the router. */
	assert_refused(join(w, "b", VM(.address = "172.16.2.9", .nonce = "5")), 409, "no block");
	assert_done(join(w, "b", VM(.address = "172.16.1.9", .nonce = "5")));
	assert_string_equal(registry_host(w->registry, "vm-6")->router->object.name, "g");
	assert_refused(join(w, "b", VM(.address = "10.0.0.9", .nonce = "6", .routers = "")), 409,
		       "no router");
	assert_refused(join(w, "b", VM(.address = "10.0.0", .nonce = "6")), 400, "not an address");
	assert_refused(join(w, "b", VM(.address = "10.0.0.9", .nonce = "6", .source = "x")), 400,
		       "source");
	/* A token for something else, of a VN that is gone, of somebody who may no more. */
	assert_done(as(w, "root", "token-create",
		       json_pack("{s:s,s:s,s:s,s:I}", "hash", "h", "registers", "host", "site", "f",
				 "expires", (json_int_t)w->now + 3600000)));
	assert_refused(join(w, "h", VM(.address = "10.0.0.9", .nonce = "6")), 403,
		       "not for a tiny");
	assert_done(token(w, "jane", "c", "u", 1, false));
	assert_done(
		as(w, "jane", "vn-change", json_pack("{s:s,s:[s]}", "vn", "u", "admins", "root")));
	assert_refused(join(w, "c", VM(.address = "10.0.0.9", .nonce = "6")), 403, "issuer");
	assert_done(token(w, "root", "d", "u", 1, false));
	assert_done(as(w, "root", "manage-users",
		       json_pack("{s:s,s:[s,s,s]}", "user", "root", "roles", "adm", "sa", "vna")));
	assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", "u")));
	assert_refused(join(w, "d", VM(.address = "10.0.0.9", .nonce = "6")), 409, "shut down");
	/* It can be read again. */
	registry_free(w->registry);
	w->registry = world_reload(w);
	assert_int_equal(registry_tiny(w->registry, "vm")->record.id, id);
	world_done(w);
}

static void test_members(void **state)
{
	struct world world, *w = &world;
	struct record rec;

	(void)state;
	begin(w);
	assert_done(token(w, "jane", "a", "v", 9, false));
	assert_done(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")));
	/* A tiny is a host that is in one VN, with an address of its own. */
	assert_refused(as(w, "jane", "vn-join", json_pack("{s:s,s:[s]}", "vn", "u", "hosts", "vm")),
		       409, "in one only");
	assert_refused(as(w, "jane", "host-remove", json_pack("{s:s}", "host", "vm")), 409,
		       "is a tiny");
	assert_refused(as(w, "root", "address-assign", json_pack("{s:s}", "host", "vm")), 409,
		       "is a tiny");
	assert_done(as(w, "jane", "vn-leave", json_pack("{s:s,s:[s]}", "vn", "v", "hosts", "vm")));
	assert_done(as(w, "jane", "vn-join", json_pack("{s:s,s:[s]}", "vn", "u", "hosts", "vm")));
	assert_done(as(w, "jane", "vn-merge",
		       json_pack("{s:[s,s],s:s}", "vns", "u", "v", "name", "x")));
	assert_int_equal(members(w, "x"), 3);
	/* Who may see it, and take it out. */
	assert_done(as(w, "joe", "list-tinies", NULL));
	assert_int_equal(json_array_size(json_object_get(w->result, "tinies")), 0);
	assert_refused(as(w, "joe", "list-tinies", json_pack("{s:s}", "tiny", "vm")), 403,
		       "not the caller's");
	assert_done(as(w, "jane", "list-tinies", json_pack("{s:s}", "tiny", "vm")));
	assert_int_equal(json_array_size(json_object_get(w->result, "tinies")), 1);
	assert_refused(as(w, "joe", "revoke", json_pack("{s:s,s:s}", "kind", "tiny", "name", "vm")),
		       403, "not the caller's");
	assert_done(as(w, "jane", "revoke", json_pack("{s:s,s:s}", "kind", "tiny", "name", "vm")));
	assert_null(registry_host(w->registry, "vm"));
	assert_int_equal(members(w, "x"), 2);
	assert_true(registry_tiny(w->registry, "vm")->record.revoked);
	assert_true(list_is_empty(&registry_router(w->registry, "f")->tinies));
	assert_refused(as(w, "jane", "revoke",
			  json_pack("{s:s,s:s}", "kind", "tiny", "name", "vm")),
		       409, "already");
	/* Neither its name nor its ID are another one's; what it was let into is no more. */
	assert_refused(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")), 403, "issuer");
	assert_done(token(w, "jane", "b", "x", 9, false));
	assert_done(join(w, "b", VM(.address = "10.0.0.5", .nonce = "1")));
	assert_string_equal(text(w, "name"), "vm-4");
	tiny_record(registry_tiny(w->registry, "vm-4"), &rec);
	assert_string_equal(rec.tiny.source, "192.0.2.7");
	record_done(&rec);
	world_done(w);
}

static void test_instead(void **state)
{
	struct world world, *w = &world;

	(void)state;
	begin(w);
	assert_done(token(w, "jane", "a", "v", 9, false));
	assert_done(token(w, "jane", "b", "u", 9, false));
	assert_done(join(w, "a", VM(.address = "10.0.0.5", .nonce = "1")));
	/* Its VM is gone, and another one has the address: of the same cloud and VN alone. */
	assert_refused(
		join(w, "a",
		     VM(.address = "10.0.0.5", .nonce = "2", .gone = "other", .routers = "f")),
		409, "is host");
	assert_refused(join(w, "a",
			    VM(.address = "10.0.0.5", .nonce = "2", .gone = "vm", .range = "q",
			       .routers = "f")),
		       409, "is host");
	assert_refused(join(w, "b",
			    VM(.address = "10.0.0.5", .nonce = "2", .gone = "vm", .routers = "f")),
		       409, "is host");
	assert_done(join(w, "a", VM(.address = "10.0.0.5", .nonce = "2", .gone = "vm")));
	assert_string_equal(text(w, "name"), "vm-4");
	assert_null(registry_tiny(w->registry, "vm"));
	assert_null(registry_host(w->registry, "vm"));
	assert_null(registry_tiny_id(w->registry, 3));
	assert_int_equal(members(w, "v"), 2);
	assert_true(w->n_changes > 8);
	world_done(w);
}

/* ---- ranges -------------------------------------------------------------------- */

static struct ranges *ranges(const char *file, char **ret_errors)
{
	size_t len;
	FILE *out = open_memstream(ret_errors, &len);
	struct ranges *l = ranges_parse("ranges.conf", file, strlen(file), out);

	fclose(out);
	return l;
}

static const char two[] = "[range a]\nprovider = p\nsite = f\nprefixes = 192.0.2.0/24, 10.0.0.0/8\n"
			  "[range b]\nprovider = q\nprefixes = 192.0.2.64/26, 2001:db8::/32\n"
			  "addresses = 10.9.0.0/16\nrouters = g, f\n"
			  "[range c]\nprovider = p\nsite = g\nprefixes = 198.51.100.0/24\n";

static const struct range *in(const struct ranges *l, const char *address)
{
	struct ip ip;

	assert_int_equal(ip_parse(address, &ip), 0);
	return ranges_find(l, &ip);
}

static bool may_have(const struct range *r, const char *seen, const char *own)
{
	struct ip a, b;

	assert_int_equal(ip_parse(seen, &a), 0);
	assert_int_equal(ip_parse(own, &b), 0);
	return range_may_have(r, &a, &b);
}

static void test_ranges(void **state)
{
	static const char *const wrong[] = {
		"ranges.conf:3: [range a]",
		"ranges.conf:6: [range a b]",
		"10.0.0.0/8 is in range b too",
		"[range c] vn:",
		"ranges.conf:13: [range c] exclusive",
		"[range d] owner:",
		"twice",
		"nothing",
	};
	char *errors;
	struct ranges *l = ranges(two, &errors);

	(void)state;
	if (!l)
		fail_msg("%s", errors);
	assert_int_equal(l->n, 3);
	assert_string_equal(in(l, "192.0.2.1")->name, "a");
	assert_string_equal(in(l, "192.0.2.65")->name, "b"); /* the longer one */
	assert_string_equal(in(l, "2001:db8::1")->name, "b");
	assert_null(in(l, "192.0.3.1"));
	assert_true(may_have(in(l, "192.0.2.65"), "192.0.2.65", "10.9.1.1"));
	assert_true(may_have(in(l, "192.0.2.65"), "192.0.2.65", "192.0.2.65"));
	assert_false(may_have(in(l, "192.0.2.65"), "192.0.2.65", "10.8.1.1"));
	assert_true(may_have(in(l, "192.0.2.1"), "192.0.2.1", "10.8.1.1"));
	ranges_free(l);
	free(errors);
	/* All that is wrong at once. */
	l = ranges("[range a]\nprovider = p\nprefixes = 1.2.3\nsite = F\n\n[range a b]\n"
		   "[range b]\nprovider = p\nprefixes = 10.0.0.0/8\n"
		   "[range c]\nprovider = p\nprefixes = 10.0.0.0/8\nexclusive = perhaps\n"
		   "nothing = 1\nvn = x\n"
		   "[range d]\nprovider = p\nprefixes = 10.1.0.0/16\nexclusive = yes\nvn = x\n"
		   "routers = f, f\n",
		   &errors);
	assert_null(l);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (!strstr(errors, wrong[i]))
			fail_msg("'%s' is not said:\n%s", wrong[i], errors);
	free(errors);
}

static void change(struct world *w, const char *router, const char *name, json_t *value)
{
	assert_done(as(w, "root", "router-change",
		       json_pack("{s:s,s:o}", "router", router, name, value)));
}

static void beat(struct world *w, struct monitor *m, const char *router, const char *body,
		 int64_t at)
{
	char error[MONITOR_ERROR] = "";

	if (monitor_heartbeat(m, registry_router(w->registry, router), body, strlen(body),
			      (mono_t){ at * SEC }, error))
		fail_msg("%s", error);
}

/* "f g h": as they are chosen. */
static void assert_chosen(struct world *w, const struct monitor *m, const struct ranges *l,
			  const char *address, const char *expected)
{
	const struct router *best[DESIGNATE_MOST];
	size_t n = designate(w->registry, m, l, address ? in(l, address) : NULL, best);
	char chosen[256] = "";

	for (size_t i = 0; i < n; i++)
		snprintf(chosen + strlen(chosen), sizeof(chosen) - strlen(chosen), "%s%s",
			 i ? " " : "", best[i]->object.name);
	assert_string_equal(chosen, expected);
}

static void test_designate(void **state)
{
	struct world world, *w = &world;
	struct monitor *m = monitor_new(15 * SEC);
	char *errors;
	struct ranges *l = ranges(two, &errors);

	(void)state;
	free(errors);
	begin(w);
	world_site(w, "h", 4, "172.16.2.0/24");
	world_site(w, "i", 5, "172.16.3.0/24");
	assert_chosen(w, NULL, l, "192.0.2.1", ""); /* nobody can connect to any */
	change(w, "f", "endpoint", json_string("198.51.100.1:8463"));
	change(w, "g", "endpoint", json_string("198.51.100.2:8463"));
	change(w, "h", "endpoint", json_string("198.51.100.3:8463"));
	change(w, "i", "endpoint", json_string("198.51.100.4:8463"));
	/* Its site's, its provider's, others; those that are named, in their order. */
	assert_chosen(w, NULL, l, "192.0.2.1", "f g h i");
	assert_chosen(w, NULL, l, "198.51.100.1", "g f h i");
	assert_chosen(w, NULL, l, "192.0.2.65", "g f h i");
	assert_chosen(w, NULL, NULL, NULL, "f g h i");
	/* The nearer one, unless it is busy. */
	beat(w, m, "f", "{\"load\": 0, \"workers\": 2}", 1);
	beat(w, m, "h",
	     "{\"load\":0,\"peers\":[{\"id\":1,\"up\":true,\"rtt\":0.05},"
	     "{\"id\":2,\"up\":true,\"rtt\":0.001}]}",
	     1);
	beat(w, m, "i",
	     "{\"load\":0,\"peers\":[{\"id\":1,\"up\":true,\"rtt\":0.02},"
	     "{\"id\":2,\"up\":true,\"rtt\":0.9}]}",
	     1);
	assert_chosen(w, m, l, "192.0.2.1", "f g i h");
	assert_chosen(w, m, l, "198.51.100.1", "g f h i");
	beat(w, m, "i",
	     "{\"load\":8,\"workers\":2,\"peers\":[{\"id\":1,\"up\":true,\"rtt\":0.02}]}", 3);
	assert_chosen(w, m, l, "192.0.2.1", "f g h i");
	/* Who is silent, disabled, or limited serves nobody. */
	monitor_tick(m, w->registry, (mono_t){ 17 * SEC });
	assert_chosen(w, m, l, "192.0.2.1", "g i");
	change(w, "i", "disabled", json_true());
	change(w, "g", "limited", json_string("udp"));
	assert_chosen(w, m, l, "192.0.2.1", "");
	ranges_free(l);
	monitor_free(m);
	world_done(w);
}

static void router_at(struct world *w, const char *name, const char *site)
{
	assert_done(as(w, "root", "register",
		       json_pack("{s:s,s:s,s:s,s:s}", "kind", "router", "name", name, "site", site,
				 "key", name)));
	change(w, name, "endpoint", json_string("198.51.100.9:8463"));
}

/* Who takes the best one's place: one of its site comes before others, and where that has
 * many, one of another site is among the first ones all the same. */
static void test_stand_in(void **state)
{
	static const char named[] = "[range n]\nprovider = p\nprefixes = 192.0.2.0/24\n"
				    "routers = g\n[range m]\nprovider = p\n"
				    "prefixes = 192.0.3.0/24\nrouters = g, h, f\n";
	struct world world, *w = &world;
	struct monitor *m = monitor_new(15 * SEC);
	char *errors, *more;
	struct ranges *l = ranges(two, &errors), *n = ranges(named, &more);

	(void)state;
	free(errors);
	free(more);
	begin(w);
	world_site(w, "h", 4, "172.16.2.0/24");
	change(w, "f", "endpoint", json_string("198.51.100.1:8463"));
	change(w, "g", "endpoint", json_string("198.51.100.2:8463"));
	change(w, "h", "endpoint", json_string("198.51.100.3:8463"));
	router_at(w, "g2", "g");
	assert_chosen(w, NULL, n, "192.0.2.1", "g g2 f h");
	assert_chosen(w, NULL, NULL, NULL, "f g h g2"); /* there is none of its site */
	/* However far it is; named ones stay where they are. */
	beat(w, m, "f", "{\"peers\":[{\"id\":2,\"up\":true,\"rtt\":0.001}]}", 1);
	beat(w, m, "h", "{\"peers\":[{\"id\":2,\"up\":true,\"rtt\":0.002}]}", 1);
	beat(w, m, "g2", "{\"load\":9,\"peers\":[{\"id\":1,\"up\":true,\"rtt\":0.9}]}", 1);
	assert_chosen(w, m, n, "192.0.2.1", "g g2 f h");
	assert_chosen(w, m, n, "192.0.3.1", "g h f g2");
	router_at(w, "g3", "g");
	router_at(w, "g4", "g");
	assert_chosen(w, m, n, "192.0.2.1", "g g3 f g4 g2 h");
	assert_chosen(w, m, l, "198.51.100.1", "g g3 f g4 g2 h");
	assert_chosen(w, m, n, "192.0.3.1", "g h f g3 g4 g2");
	ranges_free(l);
	ranges_free(n);
	monitor_free(m);
	world_done(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),	  cmocka_unit_test(test_members),
		cmocka_unit_test(test_instead),	  cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_designate), cmocka_unit_test(test_stand_in),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
