/* links: librouter libauthority libcommon */
/*
 * A router and its authority, with requests that this test answers (the functions of
 * router/https.h are its own), and a clock that runs ahead of the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "authority/ca.h"
#include "common/pki.h"
#include "router/authority.h"
#include "router/connections.h"
#include "router/heartbeat.h"
#include "router/https.h"
#include "router/router.h"
#include "router/stored.h"
#include "tests/unit/image_world.h"
#include "tests/unit/directory.h"

/* ---- requests -------------------------------------------------------------------- */

struct https {
	unsigned identified, no_memory; /* for so many requests */
};

struct https_request {
	char url[300], body[4096];
	struct https_question q;
	bool used;
};

#define REQUESTS 8
static struct https fake;
static struct https_request requests[REQUESTS];

struct https *https_new(struct loop *loop, const char **ret_why)
{
	(void)loop;
	(void)ret_why;
	memset(requests, 0, sizeof(requests));
	return &fake;
}

void https_free(struct https *h)
{
	(void)h;
}

void https_identify(struct https *h, const char *certificate, const char *key, const char *trust)
{
	assert_true(certificate && key && trust);
	h->identified++;
}

struct https_request *https_ask(struct https *h, const struct https_question *q)
{
	if (h->no_memory && h->no_memory--)
		return NULL;
	for (size_t i = 0; i < REQUESTS; i++) {
		struct https_request *r = &requests[i];

		if (r->used)
			continue;
		*r = (struct https_request){ .q = *q, .used = true };
		snprintf(r->url, sizeof(r->url), "%s", q->url);
		snprintf(r->body, sizeof(r->body), "%s", q->body ? q->body : "");
		return r;
	}
	fail_msg("too many requests at once");
	return NULL;
}

void https_cancel(struct https_request *r)
{
	if (!r)
		return;
	assert_true(r->used);
	r->used = false;
}

/* The request under way whose URL has this in it; NULL: there is none. */
static struct https_request *asked(const char *what)
{
	struct https_request *found = NULL;

	for (size_t i = 0; i < REQUESTS; i++)
		if (requests[i].used && strstr(requests[i].url, what)) {
			assert_null(found);
			found = &requests[i];
		}
	return found;
}

/* ---- the disk -------------------------------------------------------------------- */

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t disk_goes = PTHREAD_COND_INITIALIZER;
static bool disk_stands;

static void let_disk(bool go)
{
	pthread_mutex_lock(&disk_lock);
	disk_stands = !go;
	pthread_cond_broadcast(&disk_goes);
	pthread_mutex_unlock(&disk_lock);
}

/* Instead of the C library's: waits while the test wants it. */
int fsync(int fd)
{
	pthread_mutex_lock(&disk_lock);
	while (disk_stands)
		pthread_cond_wait(&disk_goes, &disk_lock);
	pthread_mutex_unlock(&disk_lock);
	return (int)syscall(SYS_fsync, fd);
}

/* ---- the world ------------------------------------------------------------------- */

struct world_of_one {
	char directory[64], ca_directory[80];
	struct ca *ca;
	struct signer *signer;
	struct loop *loop;
	struct router *router;
	mono_t now;
	char *errors;
	FILE *errors_file;
	size_t errors_len;
};

static void put(const struct world_of_one *w, const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w->directory, file);
	assert_int_equal(pki_replace(path, text, 0600), 0);
}

static char *certificate(struct world_of_one *w, EVP_PKEY *key, time_t from, long seconds)
{
	X509 *c = ca_issue(w->ca, CA_ROUTER, "florida", key, from, seconds, NULL, 0);
	char *pem = pki_certificate_pem(c);

	X509_free(c);
	return pem;
}

static void put_identity(struct world_of_one *w, long seconds_left)
{
	EVP_PKEY *key = pki_key_new();
	char *key_pem = pki_key_pem(key), *tables = pki_key_text(ca_table_key(w->ca));
	char *pem = certificate(w, key, time(NULL) - 100000, 100000 + seconds_left);

	put(w, PKI_KEY, key_pem);
	put(w, PKI_CERTIFICATE, pem);
	put(w, PKI_TRUST, ca_bundle(w->ca));
	put(w, PKI_TABLES, tables);
	put(w, PKI_AUTHORITY, "{\"kind\":\"router\",\"name\":\"florida\",\"id\":7}");
	free(key_pem);
	free(pem);
	free(tables);
	EVP_PKEY_free(key);
}

/* Everything that is due, and what the disk has done. */
static void run_until(struct world_of_one *w, int64_t ns)
{
	mono_t end = mono_add(w->now, ns);

	loop_turn(w->loop, 0);
	for (;;) {
		mono_t next = loop_next(w->loop);

		if (!mono_is_set(next) || mono_before(end, next))
			break;
		if (mono_before(w->now, next))
			w->now = next;
		loop_fire(w->loop, w->now);
		loop_turn(w->loop, 0);
	}
	w->now = end;
}

static void begin_router(struct world_of_one *w)
{
	char text[1000];
	struct config *c;

	snprintf(text, sizeof(text),
		 "[router]\nname = florida\n[intercept]\nnetworks = 172.16.0.0/12\n"
		 "[authority]\nurl = https://192.0.2.1:1, https://192.0.2.2:2\n"
		 "identity = %s\nstate = %s\n",
		 w->directory, w->directory);
	c = config_parse("f", text, strlen(text), true, stderr);
	assert_non_null(c);
	assert_int_equal(c->id, 7);
	w->loop = loop_new();
	w->now = mono_add(clock_now(), 2 * SEC); /* that a slow machine doesn't overtake */
	w->router = router_new(c, 1, w->loop, w->now, stderr);
	assert_non_null(w->router);
	assert_true(authority_open(w->router, w->now, stderr));
	authority_start(w->router->authority, NULL, w->now);
	run_until(w, 100 * MSEC); /* where they are is told */
}

static void end_router(struct world_of_one *w)
{
	authority_close(w->router->authority);
	router_free(w->router);
	loop_free(w->loop);
}

static struct world_of_one *make(long seconds_left)
{
	struct world_of_one *w = calloc(1, sizeof(*w));
	char error[CA_ERROR];
	uint8_t key[SIGN_KEY];
	size_t len = sizeof(key);

	rcu_register_thread();
	strcpy(w->directory, "/tmp/vine-routed-XXXXXX");
	assert_non_null(mkdtemp(w->directory));
	snprintf(w->ca_directory, sizeof(w->ca_directory), "%s/ca", w->directory);
	assert_int_equal(mkdir(w->ca_directory, 0700), 0);
	assert_int_equal(ca_make(w->ca_directory, time(NULL) - 200000, error), 0);
	w->ca = ca_load(w->ca_directory, error);
	assert_int_equal(EVP_PKEY_get_raw_private_key(ca_table_key(w->ca), key, &len), 1);
	w->signer = signer_new(key);
	put_identity(w, seconds_left);
	begin_router(w);
	return w;
}

static int begin(void **state)
{
	*state = make(10000000);
	return 0;
}

static int begin_old(void **state)
{
	*state = make(20000);
	return 0;
}

static int end(void **state)
{
	struct world_of_one *w = *state;

	let_disk(true);
	end_router(w);
	signer_free(w->signer);
	ca_free(w->ca);
	directory_remove(w->ca_directory);
	directory_remove(w->directory);
	free(w);
	rcu_unregister_thread();
	return 0;
}

static struct authority_status status(const struct world_of_one *w)
{
	struct authority_status s;

	authority_status(w->router->authority, &s);
	return s;
}

static void answer(struct world_of_one *w, struct https_request *r, long code, const char *body)
{
	struct https_answer a = { .status = code,
				  .error = code ? "" : "nobody answers",
				  .body = body,
				  .len = strlen(body) };
	https_fn *done = r->q.done;

	r->used = false;
	done(r->q.arg, &a, w->now);
	run_until(w, MSEC);
}

static void send_on(struct world_of_one *w, struct https_request *r, const char *to)
{
	struct https_answer a = { .status = 307, .error = "", .body = "", .location = to };

	r->used = false;
	r->q.done(r->q.arg, &a, w->now);
	run_until(w, MSEC);
}

static void stream(struct world_of_one *w, const char *data, size_t len)
{
	struct https_request *r = asked("/stream");

	assert_non_null(r);
	r->q.data(r->q.arg, data, len, w->now);
	run_until(w, MSEC);
}

/* It says no more than it has to. */
static const char ALIVE[] = "{\"type\":\"alive\"}\n";

static void connect_it(struct world_of_one *w)
{
	stream(w, ALIVE, strlen(ALIVE));
	assert_true(status(w).connected);
}

static struct image *image_at(uint64_t number, const char *const *rows)
{
	struct image *image = image_new();

	image->router = 7;
	image->version = (struct version){ 1, number };
	image_add_network(image, 8000, SIDES, rows);
	return image;
}

static void send_image(struct world_of_one *w, const struct image *from, const struct image *image)
{
	struct image_change *change = from ? image_change_new(from, image) : NULL;
	size_t n, len;
	uint8_t *bytes = change ? image_change_encode(change, w->signer, &n)
				: image_encode(image, w->signer, &n);
	char *line = feed_tables(image->version, image->step, bytes, n, &len);

	stream(w, line, len);
	free(line);
	free(bytes);
	image_change_free(change);
}

/* Waits for the disk: the body of the next confirmation. */
static void confirmed(struct world_of_one *w, const char *body)
{
	for (int i = 0; i < 5000 && !asked("/confirm"); i++) {
		loop_turn(w->loop, MSEC);
		run_until(w, 0);
	}
	assert_non_null(asked("/confirm"));
	assert_string_equal(asked("/confirm")->url + strlen("https://192.0.2.2:2"),
			    "/v1/routers/florida/confirm");
	assert_string_equal(asked("/confirm")->body, body);
	answer(w, asked("/confirm"), 200, "{}");
}

/* ---- tests ------------------------------------------------------------------------ */

/* ID 7, two places: the second is the first one. */
static void places_in_turn(void **state)
{
	struct world_of_one *w = *state;
	int64_t longest = 0;

	assert_non_null(asked("https://192.0.2.2:2/v1/routers/florida/stream?have=0.0"));
	answer(w, asked("/stream"), 0, "");
	assert_string_equal(status(w).error, "nobody answers");
	run_until(w, 160 * MSEC); /* at once to the next */
	assert_non_null(asked("https://192.0.2.1:1/"));
	answer(w, asked("/stream"), 503, "{\"detail\":\"not \\u00fc yet\"}");
	assert_string_equal(status(w).error, "not ?? yet");
	assert_null(asked("/stream"));
	run_until(w, 460 * MSEC);
	assert_non_null(asked("https://192.0.2.2:2/"));
	for (int i = 0; i < 60; i++) {
		mono_t from = w->now;

		answer(w, asked("/stream"), 0, "");
		while (!asked("/stream"))
			run_until(w, 10 * MSEC);
		if (mono_since(w->now, from) > longest)
			longest = mono_since(w->now, from);
	}
	assert_in_range(longest, 5 * SEC, 23 * SEC);
}

static void takes_stores_confirms(void **state)
{
	struct world_of_one *w = *state;
	struct image *a = image_at(4, ROWS("7 172.16.1.10/32")),
		     *b = image_at(9, ROWS("7 172.16.1.10/32", "7 172.16.1.11/32"));

	connect_it(w);
	assert_int_equal(router_events(w->router, EVENT_TABLES), 0);
	send_image(w, NULL, a);
	assert_int_equal(router_image(w->router)->version.number, 4);
	confirmed(w, "{\"version\":\"1.4\"}");
	send_image(w, a, b);
	confirmed(w, "{\"version\":\"1.9\"}");
	assert_int_equal(router_events(w->router, EVENT_TABLES), 2);
	assert_int_equal(status(w).stored.number, 9);
	fake.no_memory = 2;
	send_image(w, NULL, b); /* once more */
	assert_null(asked("/confirm"));
	assert_int_equal(fake.no_memory, 1);
	run_until(w, 2 * SEC);
	assert_int_equal(fake.no_memory, 0);
	confirmed(w, "{\"version\":\"1.9\"}");
	/* another run begins where this one was */
	end_router(w);
	begin_router(w);
	assert_int_equal(status(w).version.number, 9);
	assert_non_null(asked("/stream?have=1.9"));
	image_free(a);
	image_free(b);
}

/* All that fail before are slow: there is a pause all the same. */
static void a_pause_after_slow_failures(void **state)
{
	struct world_of_one *w = *state;

	answer(w, asked("/stream"), 0, "");
	run_until(w, 160 * MSEC);
	run_until(w, 5 * SEC);
	answer(w, asked("/stream"), 0, "");
	run_until(w, 100 * MSEC);
	assert_null(asked("/stream"));
	run_until(w, 800 * MSEC);
	assert_non_null(asked("/stream"));
}

/* Nothing that is not on disk is confirmed: not by a second copy, by a refusal of others, or
 * by a new stream; and the refusal is not lost when it is written. */
static void a_slow_disk(void **state)
{
	struct world_of_one *w = *state;
	struct image *a = image_at(4, ROWS("7 172.16.1.10/32")), *old = image_at(3, NULL);

	connect_it(w);
	let_disk(false);
	send_image(w, NULL, a);
	send_image(w, NULL, a);
	run_until(w, 10 * MSEC);
	assert_int_equal(router_image(w->router)->version.number, 4);
	assert_null(asked("/confirm"));
	send_image(w, NULL, old);
	confirmed(w, "{\"version\":\"0.0\",\"error\":\"tables that are older than those that "
		     "run\"}");
	answer(w, asked("/stream"), 0, "");
	run_until(w, 800 * MSEC);
	assert_non_null(asked("/stream?have=0.0"));
	connect_it(w);
	assert_null(asked("/confirm"));
	send_image(w, NULL, old);
	confirmed(w, "{\"version\":\"0.0\",\"error\":\"tables that are older than those that "
		     "run\"}");
	let_disk(true);
	for (int i = 0; i < 5000 && !asked("/confirm"); i++) {
		loop_turn(w->loop, MSEC);
		run_until(w, 0);
	}
	assert_non_null(asked("/confirm"));
	assert_string_equal(asked("/confirm")->body,
			    "{\"version\":\"1.4\",\"error\":\"tables that are older than those "
			    "that run\"}");
	answer(w, asked("/confirm"), 200, "{}");
	assert_int_equal(status(w).stored.number, 4);
	image_free(a);
	image_free(old);
}

static void what_is_refused(void **state)
{
	struct world_of_one *w = *state;
	struct image *good = image_at(4, ROWS("7 172.16.1.10/32")), *bad;
	struct signer *signer = w->signer;

	connect_it(w);
	send_image(w, NULL, good);
	confirmed(w, "{\"version\":\"1.4\"}");

	w->signer = signer_new(image_seed);
	bad = image_at(5, NULL);
	send_image(w, NULL, bad);
	confirmed(w, "{\"version\":\"1.4\",\"error\":\"tables that this router's authority has not "
		     "signed\"}");
	signer_free(w->signer);
	w->signer = signer;

	bad->version.number = 3;
	send_image(w, NULL, bad);
	confirmed(w, "{\"version\":\"1.4\",\"error\":\"tables that are older than those that "
		     "run\"}");
	bad->version.number = 5;
	bad->router = 8;
	send_image(w, NULL, bad);
	confirmed(w, "{\"version\":\"1.4\",\"error\":\"tables for another router\"}");
	bad->router = 7;
	image_add_peer(bad, 9, "chicago", NULL); /* its key is none */
	send_image(w, NULL, bad);
	confirmed(w, "{\"version\":\"1.4\",\"error\":\"tables in which chicago has no key "
		     "that is one\"}");
	assert_int_equal(router_events(w->router, EVENT_TABLES_REFUSED), 4);
	assert_int_equal(status(w).version.number, 4);
	assert_non_null(strstr(status(w).refused, "chicago"));
	stream(w, "rubbish\n", 8);
	assert_false(status(w).connected);
	run_until(w, 160 * MSEC);
	connect_it(w); /* to one that gives nothing new */
	assert_string_equal(status(w).refused, "");
	image_free(good);
	image_free(bad);
}

static void heartbeats(void **state)
{
	struct world_of_one *w = *state;
	json_t *body;

	connect_it(w);
	body = json_loads(asked("/heartbeat")->body, 0, NULL);
	assert_true(json_is_array(json_object_get(body, "peers")));
	json_decref(body);
	answer(w, asked("/heartbeat"), 200, "{}");
	assert_null(asked("/heartbeat"));
	run_until(w, 5 * SEC);
	answer(w, asked("/heartbeat"), 0, "");
	run_until(w, 5 * SEC);
	answer(w, asked("/heartbeat"), 200, "{}");
	run_until(w, 5 * SEC);
	answer(w, asked("/heartbeat"), 0, "");
	assert_true(status(w).connected);
	run_until(w, 5 * SEC);
	answer(w, asked("/heartbeat"), 0, "");
	assert_false(status(w).connected);
	run_until(w, 160 * MSEC);
	assert_non_null(asked("https://192.0.2.1:1/v1/routers/florida/stream"));
}

/* While its stream says that it is alive, a process may owe answers for a while. */
static void heartbeats_unanswered(void **state)
{
	struct world_of_one *w = *state;

	connect_it(w);
	for (int i = 0; i < 6; i++) {
		assert_true(status(w).connected);
		stream(w, ALIVE, strlen(ALIVE));
		answer(w, asked("/heartbeat"), 0, "");
		if (i < 5)
			run_until(w, 5 * SEC);
	}
	assert_false(status(w).connected);
}

/* Few peers are told each time, many once in a while. */
static void heartbeats_of_many(void **state)
{
	struct world_of_one *w = *state;
	struct image *image = image_at(5, ROWS("9 172.16.9.0/24"));
	EVP_PKEY *key = pki_key_new();
	char name[16], *text = pki_key_text(key);
	struct image_peer *peer;
	unsigned with = 0;

	for (unsigned i = 0; i <= HEARTBEAT_FEW; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		peer = image_add_peer(image, 100 + i, name, "192.0.2.7:8463");
		peer->keys[0].len = (uint8_t)strlen(text);
		memcpy(peer->keys[0].bytes, text, strlen(text));
	}
	connect_it(w);
	send_image(w, NULL, image);
	confirmed(w, "{\"version\":\"1.5\"}");
	answer(w, asked("/heartbeat"), 200, "{}");
	for (unsigned i = 0; i < 2 * HEARTBEAT_ALL; i++) {
		json_t *body, *peers;

		run_until(w, 5 * SEC);
		stream(w, ALIVE, strlen(ALIVE));
		body = json_loads(asked("/heartbeat")->body, 0, NULL);
		peers = json_object_get(body, "peers");
		assert_true(!peers || json_array_size(peers) == HEARTBEAT_FEW + 1);
		with += peers != NULL;
		json_decref(body);
		answer(w, asked("/heartbeat"), 200, "{}");
	}
	assert_int_equal(with, 2);
	image_free(image);
	EVP_PKEY_free(key);
	free(text);
}

/* A process that doesn't want them is said to, and left after some. */
static void refused_heartbeats(void **state)
{
	struct world_of_one *w = *state;

	connect_it(w);
	for (int i = 0; i < 3; i++) {
		answer(w, asked("/heartbeat"), 403, "{\"detail\":\"it is revoked\"}");
		assert_true(status(w).connected);
		assert_string_equal(status(w).heartbeat_error, "it is revoked");
		run_until(w, 5 * SEC);
	}
	answer(w, asked("/heartbeat"), 200, "{}");
	assert_string_equal(status(w).heartbeat_error, "");
	for (int i = 0; i < 4; i++) {
		stream(w, ALIVE, strlen(ALIVE));
		assert_true(status(w).connected);
		run_until(w, 5 * SEC);
		answer(w, asked("/heartbeat"), 503, "");
	}
	assert_false(status(w).connected);
	assert_string_equal(status(w).error, "heartbeats are refused: it answers with status 503");
	run_until(w, 160 * MSEC);
	assert_non_null(asked("https://192.0.2.1:1/v1/routers/florida/stream"));
	/* nor does one that has lost the routers to another */
	connect_it(w);
	answer(w, asked("/heartbeat"), 307, "");
	assert_false(status(w).connected);
}

/* With a proxy all places are asked directly, then all by it; what has worked is first the
 * next time. */
static void by_the_proxy(void **state)
{
	struct world_of_one *w = *state;
	struct proxy proxy;

	assert_true(proxy_parse("http://jane:secret@192.0.2.77:8080", &proxy));
	connections_set_proxy(w->router->connections, &proxy);
	run_until(w, MSEC);
	answer(w, asked("https://192.0.2.2:2/"), 0, "");
	run_until(w, 160 * MSEC);
	assert_null(asked("https://192.0.2.1:1/")->q.proxy);
	answer(w, asked("https://192.0.2.1:1/"), 0, "");
	run_until(w, 160 * MSEC);
	assert_ptr_equal(asked("https://192.0.2.2:2/")->q.proxy, &w->router->connections->proxy);
	assert_int_equal(asked("/stream")->q.n_ips, 1);
	assert_int_equal(asked("/stream")->q.ips[0].b[3], 77);
	answer(w, asked("/stream"), 0, "");
	assert_string_equal(status(w).error, "by the proxy: nobody answers");
	run_until(w, 160 * MSEC);
	connect_it(w);
	assert_true(status(w).by_proxy);
	assert_non_null(asked("/heartbeat")->q.proxy);
	answer(w, asked("/heartbeat"), 200, "{}");
	run_until(w, 5 * SEC);
	answer(w, asked("/heartbeat"), 200, "{}");
	run_until(w, 6 * SEC); /* it has held */
	answer(w, asked("/stream"), 0, "");
	run_until(w, 160 * MSEC);
	assert_non_null(asked("https://192.0.2.2:2/")->q.proxy);
	/* without it, directly again */
	connections_set_proxy(w->router->connections, &(struct proxy){ .host = "" });
	answer(w, asked("/stream"), 0, "");
	run_until(w, 800 * MSEC);
	assert_null(asked("/stream")->q.proxy);
}

/* Who is lost is said to the others, and a sign of life that is missing is noticed by when it
 * was to come. */
static void silent_stream(void **state)
{
	static const char soon[] = "{\"type\":\"alive\",\"next\":500}\n";
	struct world_of_one *w = *state;

	assert_null(strstr(asked("/stream")->url, "without"));
	stream(w, soon, strlen(soon));
	assert_true(status(w).connected);
	for (int i = 0; i < 10; i++) {
		run_until(w, 2400 * MSEC);
		assert_true(status(w).connected);
		stream(w, soon, strlen(soon));
	}
	run_until(w, 2600 * MSEC);
	assert_false(status(w).connected);
	run_until(w, 160 * MSEC);
	assert_non_null(asked("https://192.0.2.1:1/v1/routers/florida/stream"));
	assert_non_null(
		strstr(asked("/stream")->url, "&without=https%3A%2F%2F192%2E0%2E2%2E2%3A2"));
	connect_it(w);
	run_until(w, 5 * SEC); /* it has held, and the first is not passed over any more */
	answer(w, asked("/stream"), 0, "");
	run_until(w, 160 * MSEC);
	assert_non_null(strstr(asked("/stream")->url, "&without=https%3A%2F%2F192%2E0%2E2%2E1"));
}

static void answer_late(struct world_of_one *w, struct https_request *r)
{
	struct https_answer a = { .error = "timed out", .silent = true, .body = "" };

	r->used = false;
	r->q.done(r->q.arg, &a, w->now);
	run_until(w, MSEC);
}

/* Who says nothing is passed over for a while, also where others send us, and given longer
 * each time. */
static void silent_places(void **state)
{
	static const int64_t longer[] = { 1500, 3000, 6000, 10000, 10000 };
	struct world_of_one *w = *state;
	struct https_request *r;
	unsigned n = 0;

	for (int i = 0; i < 400 && n < 5; i++) {
		r = asked("https://192.0.2.2:2/");
		if (r) {
			assert_int_equal(r->q.connect, longer[n++] * MSEC);
			answer_late(w, r);
		}
		for (int k = 0; k < 10 && n < 5; k++) {
			if (asked("https://192.0.2.1:1/"))
				send_on(w, asked("https://192.0.2.1:1/"),
					"https://192.0.2.2:2/v1/routers/florida/stream");
			assert_false(r && asked("https://192.0.2.2:2/"));
			run_until(w, 50 * MSEC);
		}
		run_until(w, 4 * SEC);
	}
	assert_int_equal(n, 5);
	while (!asked("https://192.0.2.2:2/"))
		run_until(w, 50 * MSEC);
	connect_it(w);
	assert_int_equal(asked("/heartbeat")->q.connect, 10 * SEC);
	answer(w, asked("/stream"), 0, "");
	while (!asked("https://192.0.2.2:2/")) {
		if (asked("/stream"))
			answer(w, asked("/stream"), 503, "");
		run_until(w, 50 * MSEC);
	}
	assert_int_equal(asked("/stream")->q.connect, 1500 * MSEC);
}

static void silence(void **state)
{
	struct world_of_one *w = *state;

	connect_it(w);
	for (int i = 0; i < 10; i++) {
		if (asked("/heartbeat"))
			answer(w, asked("/heartbeat"), 200, "{}");
		run_until(w, 10 * SEC);
		stream(w, ALIVE, strlen(ALIVE));
	}
	for (int i = 0; i < 5; i++) {
		assert_true(status(w).connected);
		if (asked("/heartbeat"))
			answer(w, asked("/heartbeat"), 200, "{}");
		run_until(w, 5 * SEC);
	}
	assert_false(status(w).connected);
}

static void sent_on(void **state)
{
	struct world_of_one *w = *state;

	send_on(w, asked("/stream"), "https://192.0.2.1:1/v1/routers/florida/stream?have=0.0");
	assert_non_null(asked("https://192.0.2.1:1/"));
	send_on(w, asked("/stream"), "https://192.0.2.9:9/v1/routers/florida/stream?have=0.0");
	run_until(w, 10 * MSEC);
	assert_non_null(asked("https://192.0.2.9:9/v1/routers/florida/stream?have=0.0"));
	connect_it(w);
	answer(w, asked("/stream"), 0, ""); /* then to those that are configured */
	run_until(w, 600 * MSEC);
	assert_non_null(asked("https://192.0.2.1:1/"));
	/* round and round: an end */
	for (int i = 0; i < 3; i++)
		send_on(w, asked("/stream"), "https://192.0.2.2:2/v1/routers/florida/stream");
	send_on(w, asked("/stream"), "https://192.0.2.2:2/v1/routers/florida/stream");
	assert_null(asked("/stream"));
	run_until(w, 2 * SEC);
	assert_non_null(asked("/stream"));
	send_on(w, asked("/stream"), "http://192.0.2.2:2/v1/routers/florida/stream");
	assert_null(asked("http://"));
}

/* The state directory has gone: what can't be stored runs and is confirmed all the same, and
 * a whole image is fetched when it is back. */
static void a_full_disk(void **state)
{
	struct world_of_one *w = *state;
	struct image *a = image_at(4, ROWS("7 172.16.1.10/32")),
		     *b = image_at(9, ROWS("7 172.16.1.11/32"));
	char away[80], path[100], *line;
	size_t n, len;
	uint8_t *bytes;

	connect_it(w);
	send_image(w, NULL, a);
	confirmed(w, "{\"version\":\"1.4\"}");
	snprintf(away, sizeof(away), "%s.away", w->directory);
	assert_int_equal(rename(w->directory, away), 0);
	send_image(w, a, b);
	confirmed(w, "{\"version\":\"1.9\"}");
	assert_int_equal(rename(away, w->directory), 0);
	assert_int_equal(status(w).version.number, 9);
	assert_int_equal(status(w).stored.number, 4);
	assert_int_equal(router_events(w->router, EVENT_TABLES_UNSTORED), 1);
	answer(w, asked("/heartbeat"), 200, "{}");
	run_until(w, 4 * SEC);
	stream(w, ALIVE, strlen(ALIVE));
	run_until(w, 20 * SEC);
	stream(w, ALIVE, strlen(ALIVE));
	run_until(w, 10 * SEC);
	assert_non_null(asked("/v1/routers/florida/tables"));
	assert_int_equal(asked("/tables")->q.patience, 120 * SEC);
	bytes = image_encode(b, w->signer, &n);
	line = feed_tables(b->version, 0, bytes, n, &len);
	line[len - 1] = '\0';
	answer(w, asked("/tables"), 200, line);
	confirmed(w, "{\"version\":\"1.9\"}");
	assert_int_equal(status(w).stored.number, 9);
	snprintf(path, sizeof(path), "%s/" STORED_FILE, w->directory);
	assert_int_equal(access(path, R_OK), 0);
	free(line);
	free(bytes);
	image_free(a);
	image_free(b);
}

static void renewal(void **state)
{
	struct world_of_one *w = *state;
	struct https_request *r = asked("/v1/renew");
	time_t before = status(w).certificate_end;
	json_t *body, *reply;
	char error[CA_ERROR], *pem, *tables, *text;
	EVP_PKEY *key;

	assert_non_null(r);
	body = json_loads(r->body, 0, NULL);
	key = ca_request_key(json_string_value(json_object_get(body, "csr")), error);
	assert_non_null(key);
	answer(w, r, 403, "{\"detail\":\"it is revoked\"}");
	assert_string_equal(status(w).renewal_error, "it is revoked");
	for (int i = 0; i < 2000 && !asked("/v1/renew"); i++) {
		if (asked("/stream"))
			answer(w, asked("/stream"), 0, "");
		run_until(w, SEC);
	}
	pem = certificate(w, key, time(NULL), 1000000);
	tables = pki_key_text(ca_table_key(w->ca));
	reply = json_pack("{s:s, s:s, s:s}", "certificate", pem, "ca", ca_bundle(w->ca),
			  "tables_key", tables);
	text = json_dumps(reply, 0);
	fake.identified = 0;
	answer(w, asked("/v1/renew"), 200, text);
	assert_int_equal(fake.identified, 1);
	assert_string_equal(status(w).renewal_error, "");
	assert_true(status(w).certificate_end > before + 500000);
	free(text);
	json_decref(reply);
	/* it is on disk: closing waits for that */
	end_router(w);
	begin_router(w);
	assert_true(status(w).certificate_end > before + 500000);
	assert_null(asked("/v1/renew"));
	free(pem);
	free(tables);
	json_decref(body);
	EVP_PKEY_free(key);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(places_in_turn),
		TEST(takes_stores_confirms),
		TEST(what_is_refused),
		TEST(heartbeats),
		TEST(heartbeats_unanswered),
		TEST(heartbeats_of_many),
		TEST(silence),
		TEST(sent_on),
		TEST(by_the_proxy),
		TEST(silent_places),
		TEST(silent_stream),
		TEST(refused_heartbeats),
		TEST(a_slow_disk),
		TEST(a_pause_after_slow_failures),
		TEST(a_full_disk),
		cmocka_unit_test_setup_teardown(renewal, begin_old, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
