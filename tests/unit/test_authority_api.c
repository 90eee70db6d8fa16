/* links: libauthority libcommon */
/*
 * The route table and its description: every operation that callers can ask for has one
 * route, every argument of it a form, and no two routes are alike. Then asks at a service
 * with a store that others write to as well: each is answered, when the registry has it.
 */
#include "tests/unit/authority_service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "authority/api.h"
#include "authority/election.h"
#include "authority/store_private.h"

/* ---- routes -------------------------------------------------------------------- */

static void test_routes(void **state)
{
	unsigned routes[OPERATIONS] = { 0 };

	(void)state;
	for (const struct route *r = api_routes; r->path; r++) {
		routes[r->operation]++;
		for (const struct route *o = api_routes; o < r; o++)
			assert_false(!strcmp(o->method, r->method) && !strcmp(o->path, r->path));
	}
	for (int o = 0; o < OPERATIONS; o++) {
		unsigned expected = o == OPERATION_GET_TABLES ? 2 /* stream and whole */
				    : o == OPERATION_STEER || o == OPERATION_TINY_JOIN
					    ? 0 /* the authority's own */
					    : 1;

		if (routes[o] != expected)
			fail_msg("'%s' has %u routes", operation_rules[o].name, routes[o]);
	}
}

/* No null anywhere: an argument without a form. */
static void assert_whole(const json_t *value, const char *where)
{
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_null(value))
		fail_msg("%s has no form", where);
	json_array_foreach(value, i, v) assert_whole(v, where);
	json_object_foreach((json_t *)value, key, v) assert_whole(v, key);
}

static void test_description(void **state)
{
	json_t *d = api_description(), *paths = json_object_get(d, "paths");

	(void)state;
	assert_whole(d, "document");
	for (const struct route *r = api_routes; r->path; r++) {
		const char *p = r->path;
		char name[32], *arguments;

		assert_non_null(json_object_get(paths, r->path));
		/* What is in the path is an argument. */
		while ((p = strchr(p, '{'))) {
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, "}") - 1, p + 1);
			arguments = strstr(operation_rules[r->operation].arguments, name);
			if (!arguments)
				fail_msg("'%s' has no argument '%s'", r->path, name);
			p++;
		}
	}
	json_decref(d);
}

/* ---- the service --------------------------------------------------------------- */

static void test_many(void **state)
{
	struct world *w = *state;

	/* All at once: changes one after the other, the rest beside them. */
	for (unsigned i = 0; i < 100; i++) {
		ask(w, "vn-create", vn(i));
		ask(w, "list-vns", NULL);
		ask(w, "vn-create", json_pack("{s:s}", "name", "?"));
	}
	answers(w, 300);
	assert_true(service_idle(w->service));
	assert_int_equal(registry_count(service_registry(w->service), RECORD_VN), 100);
	/* What was acknowledged is seen by who asks next. */
	ask(w, "vn-create", vn(100));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_non_null(registry_vn_named(service_registry(w->service), "v100"));
	ask(w, "vn-create", vn(100));
	answers(w, 1);
	assert_int_equal(w->status, 409);
	ask(w, "vn-undo", json_pack("{s:s}", "vn", "v100"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_null(registry_vn_named(service_registry(w->service), "v100"));
}

/* Somebody else writes what a decision rests on, before it is committed. */
static void test_conflict(void **state)
{
	struct world *w = *state;
	const struct order *order = registry_order(service_registry(w->service));
	struct record rec = { .kind = RECORD_ORDER, .order = order->record };
	struct change c = { .key = (char *)"order" };

	rec.order.next_vn = 5000;
	c.value = record_encode(&rec);
	/* The registry hears of it only when the loop turns. */
	put(w, &c, 1);
	json_decref(c.value);
	ask(w, "vn-create", vn(1));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_int_equal(registry_vn_named(service_registry(w->service), "v1")->id, 5000);
}

/* A store that says of its first commits that it doesn't know, and takes the one of them
 * that has this number; none of the rest before. */
static const struct store_ops *real;
static struct store_ops unsure;
static unsigned commits, taken;

static int commit_unsure(struct store *s, const struct store_transaction *t, uint64_t *revision)
{
	if (++commits > taken)
		return real->commit(s, t, revision);
	if (commits == taken)
		assert_int_equal(real->commit(s, t, revision), 0);
	return store_fail(s, -ETIMEDOUT, "no answer");
}

/* Whichever it was that took effect, the answer is what was done. */
static void test_unknown(void **state)
{
	struct world *w = *state;

	real = w->store->ops;
	unsure = *real;
	unsure.commit = commit_unsure;
	w->store->ops = &unsure;
	for (taken = 1; taken <= 3; taken++) {
		commits = 0;
		ask(w, "vn-create", vn(taken));
		answers(w, 1);
		assert_true(commits > taken);
		assert_int_equal(w->status, taken == 1 ? 200 : 503);
		assert_int_equal(registry_vn_named(service_registry(w->service),
						   taken == 1	? "v1"
						   : taken == 2 ? "v2"
								: "v3") != NULL,
				 taken == 1);
	}
	assert_non_null(strstr(w->detail, "nothing was done"));
	w->store->ops = real;
}

/* A store that is as slow as it is told to be, and counts what is read of it. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* closed: no commit ends */
static atomic_uint reads;

static int commit_slowly(struct store *s, const struct store_transaction *t, uint64_t *revision)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return real->commit(s, t, revision);
}

static int list_counted(struct store *s, const struct store_range *range, struct store_page *page)
{
	reads++;
	return real->list(s, range, page);
}

static void slow_store(struct world *w)
{
	real = w->store->ops;
	unsure = *real;
	unsure.commit = commit_slowly;
	unsure.list = list_counted;
	w->store->ops = &unsure;
}

/* Many who are refused have waited for their turn; the stack is not as deep as they are. */
static void test_queue(void **state)
{
	enum { MANY = 40000 };
	struct world *w = *state;
	struct ask *late;

	ask(w, "token-create",
	    json_pack("{s:s,s:s,s:[s],s:I}", "hash", "t", "registers", "user", "roles", "eu",
		      "expires", ((json_int_t)time(NULL) + 1000) * 1000));
	answers(w, 1);
	ask_as(w, NULL, "t", "register", json_pack("{s:s,s:s}", "kind", "user", "name", "x"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	slow_store(w);
	pthread_mutex_lock(&gate);
	ask(w, "vn-create", vn(1));
	for (unsigned i = 0; i < MANY; i++)
		ask_as(w, NULL, "t", "register",
		       json_pack("{s:s,s:s}", "kind", "user", "name", "y"));
	assert_int_equal(w->answers, 0);
	pthread_mutex_unlock(&gate);
	answers(w, MANY + 1);
	/* Who has waited too long is told. */
	pthread_mutex_lock(&gate);
	ask(w, "vn-create", vn(2));
	late = ask_as(w, "root", NULL, "vn-create", vn(3));
	late->since -= 10000;
	while (!w->answers)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->status, 503);
	pthread_mutex_unlock(&gate);
	answers(w, 2);
	assert_int_equal(w->status, 200);
	assert_null(registry_vn_named(service_registry(w->service), "v3"));
	w->store->ops = real;
}

/* Strangers without a token that is known are answered before others' changes are done,
 * and nothing is read for them. */
static void test_stranger(void **state)
{
	struct world *w = *state;

	slow_store(w);
	reads = 0;
	for (unsigned i = 0; i < 20; i++) /* as many refusals are written in a second */
		ask_as(w, NULL, NULL, "vn-log", json_pack("{s:s}", "vn", "v1"));
	answers(w, 20);
	assert_int_equal(w->status, 401);
	assert_int_equal(reads, 0);
	pthread_mutex_lock(&gate);
	ask(w, "vn-create", vn(1));
	ask_as(w, NULL, "t", "register", json_pack("{s:s,s:s}", "kind", "user", "name", "y"));
	ask_as(w, NULL, NULL, "vn-undo", json_pack("{s:s}", "vn", "v1"));
	assert_int_equal(w->answers, 2);
	assert_int_equal(reads, 0);
	pthread_mutex_unlock(&gate);
	answers(w, 3);
	ask(w, "vn-log", json_pack("{s:s}", "vn", "v1"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_int_equal(reads, 1);
	w->store->ops = real;
}

/* ---- which process has the routers ----------------------------------------------- */

struct candidate {
	struct service *service;
	struct election *election;
	unsigned won, lost;
	uint64_t term;
};

static void on_won(void *arg, uint64_t term)
{
	struct candidate *c = arg;

	c->won++;
	c->term = term;
}

static void on_no_longer(void *arg)
{
	((struct candidate *)arg)->lost++;
}

static void stand(struct world *w, struct candidate *c, const char *url)
{
	const struct election_hooks hooks = { c, on_won, on_no_longer };

	c->election = election_new(w->base, c->service, url, &hooks);
	assert_non_null(c->election);
}

static void turns(struct world *w, int n)
{
	while (n-- > 0)
		event_base_loop(w->base, EVLOOP_ONCE);
}

/* Of a process that hangs: nothing that it does is heard. */
static int no_commit(struct store *s, const struct store_transaction *t, uint64_t *ret)
{
	if (!strcmp(t->changes[0].key, SERVICE_BEAT))
		return -EHOSTUNREACH;
	return real->commit(s, t, ret);
}

/* One of two has them; when it ends the other has; one that is heard of no more is replaced,
 * and taken away, it knows. */
static void test_election(void **state)
{
	struct world *w = *state;
	struct service_hooks hooks = { .arg = w, .lost = on_lost };
	static struct store_ops mute;
	char error[STORE_ERROR];
	struct candidate a = { .service = w->service };
	struct candidate b = { .service = service_open(w->base, w->store, &hooks, error) };
	struct store_entry gone = { .key = SERVICE_PUBLISHER };
	struct store_transaction t = { NULL, 0, &gone, 1 };
	struct store_page page;

	assert_non_null(b.service);
	stand(w, &a, "https://a:1");
	while (!a.won)
		event_base_loop(w->base, EVLOOP_ONCE);
	stand(w, &b, "https://b:1");
	while (strcmp(service_publisher(b.service), "https://a:1"))
		event_base_loop(w->base, EVLOOP_ONCE);
	turns(w, 80); /* longer than a beat is good for */
	assert_int_equal(b.won + a.lost, 0);
	election_free(a.election);
	while (!b.won)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(a.won + b.won, 2);
	assert_int_equal(a.lost + b.lost, 0);
	assert_true(b.term == service_term(b.service));

	/* Its beats are not taken: the other one takes over. */
	stand(w, &a, "https://a:1");
	real = w->store->ops;
	mute = *real;
	mute.commit = no_commit;
	w->store->ops = &mute;
	while (a.won < 2 || !b.lost)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_true(a.term > b.term && a.term == service_term(b.service));
	w->store->ops = real;
	assert_int_equal(b.won, 1);
	election_free(b.election);
	turns(w, 20); /* which has given back nothing of another one's */
	assert_int_equal(a.lost, 0);

	/* It is not there any more, whoever did it. */
	assert_int_equal(store_commit(w->store, &t, NULL), 0);
	while (!a.lost)
		event_base_loop(w->base, EVLOOP_ONCE);
	while (a.won < 3) /* and stands again */
		event_base_loop(w->base, EVLOOP_ONCE);
	election_free(a.election);
	assert_int_equal(store_get(w->store, SERVICE_PUBLISHER, &page), 0);
	assert_int_equal(page.n, 0);
	store_page_done(&page);
	service_close(b.service);
	assert_false(w->lost);
}

static void test_nonsense(void **state)
{
	struct world *w = *state;
	json_t *value = json_pack("{s:s}", "no", "record");
	struct change c = { .key = (char *)"vn/1", .value = value };

	put(w, &c, 1);
	json_decref(value);
	while (!w->lost)
		event_base_loop(w->base, EVLOOP_ONCE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_description),
		cmocka_unit_test_setup_teardown(test_many, begin, end),
		cmocka_unit_test_setup_teardown(test_conflict, begin, end),
		cmocka_unit_test_setup_teardown(test_unknown, begin, end),
		cmocka_unit_test_setup_teardown(test_queue, begin, end),
		cmocka_unit_test_setup_teardown(test_stranger, begin, end),
		cmocka_unit_test_setup_teardown(test_election, begin, end),
		cmocka_unit_test_setup_teardown(test_nonsense, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
