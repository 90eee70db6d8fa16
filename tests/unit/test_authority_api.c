/* links: libauthority libcommon */
/*
 * The route table and its description: every operation that callers can ask for has one
 * route, every argument of it a form, and no two routes are alike. Then asks at a service
 * with a store that others write to as well: each is answered, when the registry has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "authority/api.h"
#include "authority/election.h"
#include "authority/store_private.h"
#include "common/pki.h"

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
				    : o == OPERATION_STEER    ? 0 /* the authority's own */
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

struct world {
	char directory[64];
	struct event_base *base;
	struct store *store;
	struct service *service;
	unsigned answers, status;
	char detail[400];
	json_t *result;
	bool lost;
};

static void on_lost(void *arg, const char *why)
{
	struct world *w = arg;

	(void)why;
	w->lost = true;
	event_base_loopbreak(w->base);
}

static void put(struct world *w, const struct change *changes, size_t n)
{
	struct store_entry *entries = calloc(n, sizeof(*entries));
	struct store_transaction t = { NULL, 0, entries, n };

	for (size_t i = 0; i < n; i++) {
		char *text = json_dumps(changes[i].value, JSON_COMPACT);

		entries[i] = (struct store_entry){ .key = changes[i].key,
						   .value = text,
						   .size = strlen(text) };
	}
	assert_int_equal(store_commit(w->store, &t, NULL), 0);
	for (size_t i = 0; i < n; i++)
		free((void *)entries[i].value);
	free(entries);
}

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct service_hooks hooks = { .arg = w, .lost = on_lost };
	char url[128], error[STORE_ERROR];
	struct prefix space;
	struct blocks blocks = { 1, &space };
	struct outcome o;

	strcpy(w->directory, "/tmp/vine-api-XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	snprintf(url, sizeof(url), "sqlite:%s/store.db", w->directory);
	w->base = event_base_new();
	assert_int_equal(store_open(url, NULL, &w->store, error), 0);
	/* Nothing to serve yet. */
	assert_null(service_open(w->base, w->store, &hooks, error));
	assert_non_null(strstr(error, "empty"));
	assert_int_equal(prefix_parse("172.16.0.0/12", &space), 0);
	operation_begin("root", "", &blocks, 1, &o);
	put(w, o.changes, o.n);
	outcome_done(&o);
	w->service = service_open(w->base, w->store, &hooks, error);
	if (!w->service)
		fail_msg("%s", error);
	*state = w;
	return 0;
}

static int end(void **state)
{
	static const char *const files[] = { "store.db", "store.db-wal", "store.db-shm",
					     "store.db-lock", NULL };
	struct world *w = *state;
	char path[128];

	service_close(w->service);
	store_close(w->store);
	event_base_free(w->base);
	json_decref(w->result);
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", w->directory, files[i]);
		unlink(path);
	}
	rmdir(w->directory);
	free(w);
	return 0;
}

struct question {
	struct ask ask;
	struct world *world;
	json_t *arguments;
};

static void answered(struct ask *a, const struct outcome *o)
{
	struct question *q = container_of(a, struct question, ask);
	struct world *w = q->world;

	w->answers++;
	w->status = (unsigned)o->status;
	snprintf(w->detail, sizeof(w->detail), "%s", o->detail);
	json_decref(w->result);
	w->result = json_incref(o->result);
	json_decref(q->arguments);
	free(q);
}

/* NULL: nobody, with a token (or NULL). */
static struct ask *ask_as(struct world *w, const char *user, const char *token,
			  const char *operation, json_t *arguments)
{
	struct question *q = calloc(1, sizeof(*q));

	q->world = w;
	q->arguments = arguments;
	q->ask.done = answered;
	q->ask.request = (struct request){ .operation = operation,
					   .arguments = arguments,
					   .token = token };
	if (user)
		q->ask.request.caller = (struct caller){ .kind = CALLER_USER, .name = user };
	service_ask(w->service, &q->ask);
	return &q->ask;
}

static void ask(struct world *w, const char *operation, json_t *arguments)
{
	ask_as(w, "root", NULL, operation, arguments);
}

static void answers(struct world *w, unsigned n)
{
	while (w->answers < n && !w->lost)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->answers, n);
	w->answers = 0;
}

static json_t *vn(unsigned i)
{
	char name[16];

	snprintf(name, sizeof(name), "v%u", i);
	return json_pack("{s:s}", "name", name);
}

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
						   taken == 1 ? "v1" : taken == 2 ? "v2" : "v3") !=
					 NULL,
				 taken == 1);
	}
	assert_non_null(strstr(w->detail, "nothing was done"));
	w->store->ops = real;
}

/* A store that is as slow as it is told to be, and counts what is read of it. */
static atomic_bool slow;
static atomic_uint reads;

static int commit_slowly(struct store *s, const struct store_transaction *t, uint64_t *revision)
{
	while (slow)
		usleep(1000);
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
	slow = true;
	ask(w, "vn-create", vn(1));
	for (unsigned i = 0; i < MANY; i++)
		ask_as(w, NULL, "t", "register",
		       json_pack("{s:s,s:s}", "kind", "user", "name", "y"));
	assert_int_equal(w->answers, 0);
	slow = false;
	answers(w, MANY + 1);
	/* Who has waited too long is told. */
	slow = true;
	ask(w, "vn-create", vn(2));
	late = ask_as(w, "root", NULL, "vn-create", vn(3));
	late->since -= 10000;
	while (!w->answers)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(w->status, 503);
	slow = false;
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
	slow = true;
	ask(w, "vn-create", vn(1));
	ask_as(w, NULL, "t", "register", json_pack("{s:s,s:s}", "kind", "user", "name", "y"));
	ask_as(w, NULL, NULL, "vn-undo", json_pack("{s:s}", "vn", "v1"));
	assert_int_equal(w->answers, 2);
	assert_int_equal(reads, 0);
	slow = false;
	answers(w, 3);
	ask(w, "vn-log", json_pack("{s:s}", "vn", "v1"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	assert_int_equal(reads, 1);
	w->store->ops = real;
}

/* ---- requests over HTTP: from nobody, as there is no TLS ------------------------- */

struct server {
	struct world *world;
	struct api api;
	struct evhttp *evhttp;
	struct evhttp_connection *connection;
	char directory[64];
	int status;
	json_t *body;
};

static void server_begin(struct world *w, struct server *s)
{
	char error[CA_ERROR];
	struct evhttp_bound_socket *bound;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	*s = (struct server){ .world = w };
	strcpy(s->directory, "/tmp/vine-api-ca-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	assert_int_equal(ca_make(s->directory, time(NULL), error), 0);
	s->api = (struct api){ .service = w->service,
			       .ca = ca_load(s->directory, error),
			       .users = 3600,
			       .routers = 3600 };
	assert_non_null(s->api.ca);
	s->evhttp = evhttp_new(w->base);
	evhttp_set_gencb(s->evhttp, api_handle, &s->api);
	bound = evhttp_bind_socket_with_handle(s->evhttp, "127.0.0.1", 0);
	assert_non_null(bound);
	assert_int_equal(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&a,
				     &len), 0);
	s->connection = evhttp_connection_base_new(w->base, NULL, "127.0.0.1", ntohs(a.sin_port));
}

static void server_end(struct server *s)
{
	static const char *const files[] = { "ca.crt", "ca.key", "tables.key", "tables.pub", NULL };
	char path[128];

	evhttp_connection_free(s->connection);
	evhttp_free(s->evhttp);
	ca_free(s->api.ca);
	json_decref(s->body);
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", s->directory, files[i]);
		unlink(path);
	}
	rmdir(s->directory);
}

static void got(struct evhttp_request *q, void *arg)
{
	struct server *s = arg;
	struct evbuffer *b;

	s->status = q ? evhttp_request_get_response_code(q) : -1;
	if (!q)
		return;
	b = evhttp_request_get_input_buffer(q);
	s->body = json_loadb((const char *)evbuffer_pullup(b, -1), evbuffer_get_length(b), 0, NULL);
}

/* Takes over the body, which may be NULL. The status. */
static int post(struct server *s, const char *path, const char *credential, json_t *body)
{
	struct evhttp_request *q = evhttp_request_new(got, s);
	char *text = body ? json_dumps(body, 0) : NULL, bearer[64];

	json_decref(s->body);
	s->body = NULL;
	s->status = 0;
	if (credential) {
		snprintf(bearer, sizeof(bearer), "Bearer %s", credential);
		evhttp_add_header(evhttp_request_get_output_headers(q), "Authorization", bearer);
	}
	if (text)
		evbuffer_add(evhttp_request_get_output_buffer(q), text, strlen(text));
	evhttp_make_request(s->connection, q, EVHTTP_REQ_POST, path);
	free(text);
	json_decref(body);
	while (!s->status)
		event_base_loop(s->world->base, EVLOOP_ONCE);
	return s->status;
}

static const char *said(const struct server *s)
{
	const char *detail = json_string_value(json_object_get(s->body, "detail"));

	return detail ? detail : "";
}

/* With a signed request of a key of its own. */
static json_t *with_csr(const char *name)
{
	EVP_PKEY *key = pki_key_new();
	char *csr = pki_request_pem(key);
	json_t *body = json_pack("{s:s,s:s,s:s}", "kind", "user", "name", name, "csr", csr);

	free(csr);
	EVP_PKEY_free(key);
	assert_non_null(body);
	return body;
}

/* A name that is cut within a letter. */
static void test_foreign_name(void **state)
{
	struct server server, *s = &server;
	char name[65];

	for (int i = 0; i < 32; i++)
		memcpy(name + 2 * i, "\xc3\xa9", 3);
	server_begin(*state, s);
	assert_int_equal(post(s, "/v1/renew", NULL, with_csr(name)), 403);
	assert_non_null(strstr(said(s), "user '???"));
	server_end(s);
}

/* Of strangers only what registers or renews is looked at, and not much of it. */
static void test_bodies(void **state)
{
	struct server server, *s = &server;
	char long_text[20000];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	server_begin(*state, s);
	assert_int_equal(post(s, "/v1/vns", NULL, json_pack("{s:s}", "name", long_text)), 401);
	assert_int_equal(post(s, "/v1/vns", "none", json_pack("{s:s}", "csr", "x")), 401);
	assert_int_equal(post(s, "/v1/register", NULL, json_pack("{s:s}", "name", long_text)), 413);
	assert_int_equal(post(s, "/v1/renew", NULL, json_pack("{s:s}", "name", long_text)), 413);
	long_text[10000] = '\0';
	assert_int_equal(post(s, "/v1/register", NULL, json_pack("{s:s}", "name", long_text)), 401);
	assert_int_equal(post(s, "/v1/register", NULL,
			      json_pack("{s:s,s:s,s:s}", "kind", "user", "name", "x", "token",
					"none")),
			 403);
	assert_int_equal(post(s, "/v1/renew", NULL, json_pack("{s:s}", "kind", "user")), 400);
	server_end(s);
}

/* By a credential one gets a certificate for what is registered, never the delegator's. */
static void test_certificate(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	char hash[PKI_HASH], name[CA_NAME];
	enum ca_kind kind;
	json_t *body;
	BIO *pem;
	X509 *c;

	pki_secret_hash("secret", hash);
	ask(w, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	ask(w, "delegate",
	    json_pack("{s:s,s:[s,s],s:I}", "hash", hash, "operations", "register", "vn-create",
		      "expires", ((json_int_t)time(NULL) + 1000) * 1000));
	answers(w, 2);
	assert_int_equal(w->status, 200);
	server_begin(w, s);
	body = with_csr("r1");
	json_object_set_new(body, "kind", json_string("router"));
	json_object_set_new(body, "site", json_string("s"));
	assert_int_equal(post(s, "/v1/register", "secret", body), 200);
	pem = BIO_new_mem_buf(json_string_value(json_object_get(s->body, "certificate")), -1);
	c = PEM_read_bio_X509(pem, NULL, NULL, NULL);
	assert_non_null(c);
	assert_true(ca_holder(c, &kind, name));
	assert_int_equal(kind, CA_ROUTER);
	assert_string_equal(name, "r1");
	X509_free(c);
	BIO_free(pem);
	assert_int_equal(post(s, "/v1/vns", "secret", with_csr("v")), 400);
	assert_non_null(strstr(said(s), "csr"));
	server_end(s);
}

static bool is_attached(struct push *p)
{
	struct publish_status status = { 0 };

	publish_status(push_publish(p), 1, &status);
	return status.attached;
}

static void on_stream(struct evhttp_request *q, void *arg)
{
	push_stream(arg, q, 1, (struct version){ 0 });
}

/* Who is revoked has no connection any more, whatever it has yet to read. */
static void test_cut_off(void **state)
{
	struct world *w = *state;
	struct server server, *s = &server;
	struct evhttp_request *q = evhttp_request_new(got, s);
	struct push *p;

	server_begin(w, s);
	ask(w, "register",
	    json_pack("{s:s,s:s,s:[s]}", "kind", "site", "name", "s", "admins", "root"));
	ask(w, "register",
	    json_pack("{s:s,s:s,s:s,s:i}", "kind", "router", "name", "r", "site", "s", "id", 1));
	answers(w, 2);
	assert_int_equal(w->status, 200);
	p = push_new(w->base, service_registry_observed(w->service), s->api.ca, PROTECT_NONE);
	assert_non_null(p);
	push_begin(p, service_revision(w->service));
	evhttp_set_gencb(s->evhttp, on_stream, p);
	s->status = 0;
	evhttp_make_request(s->connection, q, EVHTTP_REQ_GET, "/");
	while (!is_attached(p))
		event_base_loop(w->base, EVLOOP_ONCE);
	ask(w, "revoke", json_pack("{s:s,s:s}", "kind", "router", "name", "r"));
	answers(w, 1);
	assert_int_equal(w->status, 200);
	push_applied(p, service_revision(w->service));
	while (!s->status)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(s->status, -1);
	assert_false(is_attached(p));
	push_end(p);
	push_free(p);
	server_end(s);
}

/* ---- which process has the routers ----------------------------------------------- */

struct candidate {
	struct service *service;
	struct election *election;
	unsigned won, lost;
};

static void on_won(void *arg)
{
	((struct candidate *)arg)->won++;
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

/* One of two has them; when it ends the other has; taken away, it knows. */
static void test_election(void **state)
{
	struct world *w = *state;
	struct service_hooks hooks = { .arg = w, .lost = on_lost };
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
	for (int i = 0; i < 20; i++) /* longer than the lease */
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(b.won, 0);
	election_free(a.election);
	while (!b.won)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(a.won + b.won, 2);
	assert_int_equal(a.lost + b.lost, 0);
	/* Its lease is gone, whoever did it. */
	assert_int_equal(store_get(w->store, SERVICE_PUBLISHER, &page), 0);
	assert_int_equal(page.n, 1);
	assert_int_equal(store_lease_revoke(w->store, page.entries[0].lease), 0);
	store_page_done(&page);
	while (!b.lost)
		event_base_loop(w->base, EVLOOP_ONCE);
	while (b.won < 2) /* and stands again */
		event_base_loop(w->base, EVLOOP_ONCE);
	election_free(b.election);
	assert_int_equal(store_get(w->store, SERVICE_PUBLISHER, &page), 0);
	assert_int_equal(page.n, 0);
	store_page_done(&page);
	assert_int_equal(store_commit(w->store, &t, NULL), 0); /* no record: nobody minds */
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
		cmocka_unit_test_setup_teardown(test_bodies, begin, end),
		cmocka_unit_test_setup_teardown(test_certificate, begin, end),
		cmocka_unit_test_setup_teardown(test_cut_off, begin, end),
		cmocka_unit_test_setup_teardown(test_foreign_name, begin, end),
		cmocka_unit_test_setup_teardown(test_election, begin, end),
		cmocka_unit_test_setup_teardown(test_nonsense, begin, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
