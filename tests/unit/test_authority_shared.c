/* links: libauthority libcommon */
/*
 * Two processes on one store: what one has answered, the other one knows, though it hears of
 * it by the store's watch, later. The one that is asked hasn't looked at its watch since.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#include "authority/store_private.h"
#include "tests/unit/process_world.h"

#define TIMES 20
#define PATIENCE 10000 /* ms that an ask may take */

/* A store of SQLite as if others had it, too: counted, and one of its watches says nothing. */
static struct {
	const struct store_ops *real;
	struct store_ops ops;
	struct store_watch *last, *held;
	unsigned reads, commits, refused;
	uint64_t forgotten; /* revision */
	const char *published;
} shared;

static int open_watch(struct store *s, uint64_t after, struct store_watch **ret)
{
	int r = shared.real->watch_open(s, after, ret);

	shared.last = r ? NULL : *ret;
	return r;
}

static int next_of_watch(struct store_watch *w, struct store_page *page)
{
	if (w != shared.held)
		return shared.real->watch_next(w, page);
	timerfd_settime(w->fd, 0, &(struct itimerspec){ 0 }, NULL); /* until more is written */
	return -EAGAIN;
}

static int read_key(struct store *s, const char *key, struct store_page *page)
{
	shared.reads++;
	return shared.real->get(s, key, page);
}

/* While that is read which is forgotten, the publisher goes on. */
static int read_list(struct store *s, const struct store_range *range, struct store_page *page)
{
	shared.reads++;
	if (!range->revision || range->revision != shared.forgotten)
		return shared.real->list(s, range, page);
	shared.refused++;
	put(s, PUBLISHED_KEY, shared.published);
	return store_fail(s, -ESTALE, "it is forgotten");
}

static int write_changes(struct store *s, const struct store_transaction *t, uint64_t *ret)
{
	shared.commits++;
	return shared.real->commit(s, t, ret);
}

static void share(struct store *store)
{
	memset(&shared, 0, sizeof(shared));
	shared.real = store->ops;
	shared.ops = *store->ops;
	shared.ops.shared = true;
	shared.ops.watch_open = open_watch;
	shared.ops.watch_next = next_of_watch;
	shared.ops.get = read_key;
	shared.ops.list = read_list;
	shared.ops.commit = write_changes;
	store->ops = &shared.ops;
}

static void with_shared(void (*test)(struct store *), const char *name)
{
	char url[160], error[STORE_ERROR];
	struct store *store;

	snprintf(url, sizeof(url), "sqlite:%s", in_world(name));
	assert_int_equal(store_open(url, NULL, &store, error), 0);
	assert_false(store_is_shared(store));
	share(store);
	test(store);
	store_close(store);
}

static bool lists(const struct process *p, const char *name)
{
	const char *text = json_dumps(p->result, JSON_COMPACT);
	bool there = text && strstr(text, name);

	free((void *)text);
	return there;
}

/* How often the audit log has this operation; *ret_allowed of those. */
static unsigned audited(struct store *store, const char *operation, unsigned *ret_allowed)
{
	const struct store_range range = { .prefix = "audit/", .limit = STORE_PAGE_MAX };
	struct store_page page;
	unsigned n = 0;

	*ret_allowed = 0;
	assert_int_equal(store_list(store, &range, &page), 0);
	for (size_t i = 0; i < page.n; i++) {
		json_t *value = json_loadb(page.entries[i].value, page.entries[i].size, 0, NULL);

		if (!strcmp(json_string_value(json_object_get(value, "operation")), operation)) {
			n++;
			*ret_allowed += json_is_true(json_object_get(value, "allowed"));
		}
		json_decref(value);
	}
	store_page_done(&page);
	return n;
}

/* Each is refused, or not shown, by who hasn't heard of the one before. */
static void known_elsewhere(struct store *store)
{
	struct process a, b;
	unsigned allowed;
	char name[16];

	fill(store);
	start(&a, store);
	start(&b, store);
	for (int i = 0; i < TIMES; i++) {
		snprintf(name, sizeof(name), "net-%d", i);
		ask(&a, "vn-create", json_pack("{s:s}", "name", name));
		ask(&b, "list-vns", json_object());
		assert_true(lists(&b, name));
		ask(&b, "vn-shutdown", json_pack("{s:s}", "vn", name));
		assert_int_equal(ask_for(&a, "vn-log", json_pack("{s:s}", "vn", name)), 404);
		ask(&a, "vn-create", json_pack("{s:s}", "name", name));
		ask(&b, "vn-change", json_pack("{s:s,s:[s]}", "vn", name, "users", "root"));
		ask(&a, "vn-undo", json_pack("{s:s}", "vn", name));
		ask(&b, "vn-shutdown", json_pack("{s:s}", "vn", name));
		ask(&a, "list-vns", json_object());
		assert_false(lists(&a, name));
	}
	/* Who was refused first and then not has one record of it. */
	assert_int_equal(audited(store, "vn-shutdown", &allowed), 2 * TIMES);
	assert_int_equal(allowed, 2 * TIMES);
	assert_int_equal(audited(store, "vn-log", &allowed), TIMES);
	assert_int_equal(allowed, 0);
	assert_int_equal(audited(store, "list-vns", &allowed), 2 * TIMES);
	assert_true(service_idle(a.service) && service_idle(b.service));
	stop(&a);
	stop(&b);
}

static int with_credential(struct process *p, const char *hash, const char *vn)
{
	struct question *q = question(p, "vn-create", json_pack("{s:s}", "name", vn));

	snprintf(q->credential, sizeof(q->credential), "%s", hash);
	q->ask.again = find_credential;
	find_credential(&q->ask);
	service_ask(p->service, &q->ask);
	answers(p, 1, SOON);
	return p->status;
}

/* Who may do what is what the store has, at once: given and taken at one process, used at
 * the other. */
static void rights(struct store *store)
{
	json_int_t expires = (json_int_t)time(NULL) * 1000 + 3600000;
	struct process a, b;
	char hash[32], vn[32];

	fill(store);
	start(&a, store);
	start(&b, store);
	for (int i = 0; i < TIMES; i++) {
		snprintf(hash, sizeof(hash), "hash-%d", i);
		snprintf(vn, sizeof(vn), "vn-%d", i);
		ask(&a, "delegate",
		    json_pack("{s:s,s:[s],s:I}", "hash", hash, "operations", "vn-create", "expires",
			      expires));
		assert_int_equal(with_credential(&b, hash, vn), 200);
		ask(&a, "revoke", json_pack("{s:s,s:s}", "kind", "credential", "name", hash));
		assert_int_equal(with_credential(&b, hash, "none"), 403);
	}
	ask(&a, "register",
	    json_pack("{s:s,s:s,s:s,s:[s]}", "kind", "user", "name", "u", "key", "k", "roles",
		      "sa"));
	ask(&a, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "u"));
	for (int i = 0; i < TIMES; i++) {
		struct question *q;

		ask(&a, "site-change", json_pack("{s:s,s:[s]}", "site", "s", "admins", "u"));
		ask(&b, "list-sites", json_object());
		ask(&a, "site-change", json_pack("{s:s,s:[s]}", "site", "s", "admins", "root"));
		snprintf(hash, sizeof(hash), "token-%d", i);
		q = question(&b, "token-create",
			     json_pack("{s:s,s:s,s:s,s:I}", "hash", hash, "registers", "host",
				       "site", "s", "expires", expires));
		q->ask.request.caller.name = "u";
		service_ask(b.service, &q->ask);
		answers(&b, 1, SOON);
		assert_int_equal(b.status, 403);
		assert_null(registry_token(service_registry(b.service), hash));
	}
	stop(&a);
	stop(&b);
}

/* One that doesn't hear anything answers only what it knows for certain, and in time. */
static void deaf(struct store *store)
{
	const int64_t begun = ms_now();
	struct process a, b;
	unsigned commits, reads;

	fill(store);
	start(&a, store);
	ask(&a, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	ask(&a, "register",
	    json_pack("{s:s,s:s,s:s,s:s}", "kind", "router", "name", "r", "site", "s", "key", "k"));
	start(&b, store);
	shared.held = shared.last;
	commits = shared.commits;
	reads = shared.reads;
	/* What routers ask all the time: no word with the store, or just the audit record. */
	{
		struct question *q = question(&b, "heartbeat", json_pack("{s:s}", "router", "r"));

		q->ask.request.caller = (struct caller){ .kind = CALLER_ROUTER, .name = "r" };
		assert_true(service_allows(b.service, &q->ask.request));
		assert_int_equal(shared.commits, commits);
		q->ask.request.operation = "get-tables";
		service_ask(b.service, &q->ask);
		answers(&b, 1, SOON);
		assert_int_equal(b.status, 200);
		assert_int_equal(shared.commits, commits + 1);
	}
	for (int i = 0; i < 5; i++)
		service_ask(b.service,
			    &question(&b, i % 2 ? "vn-log" : "list-vns",
				      i % 2 ? json_pack("{s:s}", "vn", "x") : json_object())
				     ->ask);
	ask(&a, "vn-create", json_pack("{s:s}", "name", "x"));
	assert_int_equal(b.answers, 0);
	answers(&b, 5, PATIENCE + SOON);
	assert_int_equal(b.status, 503);
	assert_non_null(strstr(b.detail, "try again"));
	assert_true(ms_now() - begun < PATIENCE + 4000);
	/* It hears again. */
	service_ask(b.service, &question(&b, "list-vns", json_object())->ask);
	for (int i = 0; i < 20; i++)
		turn(&b);
	assert_int_equal(b.answers, 0);
	shared.held = NULL;
	put(store, "started", "{}"); /* what is there wakes it */
	answers(&b, 1, SOON);
	assert_int_equal(b.status, 200);
	assert_true(lists(&b, "\"x\""));
	assert_true(shared.reads - reads <= 4); /* vn-log's own */
	stop(&a);
	stop(&b);
}

/* What is written of the past is of a version that this program doesn't take. */
static void earlier_version(struct store *store)
{
	struct process a, b;

	fill(store);
	start(&a, store);
	push_begin(a.push, 0);
	for (uint64_t at = 0; !service_published(a.service, &at);)
		turn(&a);
	stop(&a);
	put(store, "site/old", "{}");
	assert_int_equal(put_if(store, "site/old", NULL, 0, NULL, NULL), 0);
	start(&b, store);
	push_begin(b.push, 0);
	for (int i = 0; i < 50; i++)
		turn(&b);
	assert_true(push_publishes(b.push));
	assert_false(b.lost);
	stop(&b);
}

/* Publishing goes on while one reads the store, and what it wanted to read is forgotten. */
static void reads_late(struct store *store)
{
	static const char published[] = "{\"generation\":1,\"revision\":1,\"rounds\":[]}";
	struct process b;
	uint64_t at = 0, now;
	unsigned long number;

	fill(store);
	start(&b, store);
	stop(&b);
	put(store, PUBLISHED_KEY, published);
	shared.forgotten = 1;
	shared.published = published;
	start(&b, store);
	shared.forgotten = 0;
	assert_int_equal(shared.refused, 1);
	service_published(b.service, &at);
	assert_int_equal(at, get_number(store, PUBLISHED_KEY, &number));
	push_begin(b.push, 0);
	for (int i = 0; i < 50; i++)
		turn(&b);
	assert_true(push_publishes(b.push));
	service_published(b.service, &now);
	assert_true(now > at);
	stop(&b);
}

static void test_known_here(void **state)
{
	(void)state;
	with_shared(known_elsewhere, "known.db");
}

static void test_known_etcd(void **state)
{
	(void)state;
	with_etcd(known_elsewhere, "known");
}

static void test_rights_here(void **state)
{
	(void)state;
	with_shared(rights, "rights.db");
}

static void test_rights_etcd(void **state)
{
	(void)state;
	with_etcd(rights, "rights");
}

static void test_deaf(void **state)
{
	(void)state;
	with_shared(deaf, "deaf.db");
}

static void test_earlier_version(void **state)
{
	(void)state;
	with_sqlite(earlier_version, "earlier.db");
}

static void test_reads_late(void **state)
{
	(void)state;
	with_shared(reads_late, "late.db");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_here),  cmocka_unit_test(test_known_etcd),
		cmocka_unit_test(test_rights_here), cmocka_unit_test(test_rights_etcd),
		cmocka_unit_test(test_deaf),	    cmocka_unit_test(test_earlier_version),
		cmocka_unit_test(test_reads_late),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("authority_shared", tests, begin_all, end_all);
}
