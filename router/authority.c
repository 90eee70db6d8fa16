/*
 * See authority.h. What is said, in the order in which it happens:
 *
 *   resolve     the places where the authority's processes are (resolve.h)
 *   connect     GET .../stream?have=VERSION at one of them
 *   take        tables that come: verify, put in force, store, then confirm
 *   heartbeat   every 5 s, to the same process: figures; without answers it is dead
 *   renew       the certificate, in the last third of its life
 *
 * A place that fails is left for the next; when all have failed there is a pause, longer
 * each time, of random length, so that ten thousand routers don't come at once.
 *
 * What is confirmed, by a stream's have= too, is on disk, so that a router that is started
 * again never goes back behind a step that others rely on. A disk that is full is no reason
 * not to run new tables: then it is said, confirmed, and the whole is fetched and stored when
 * there is room.
 */
#include "router/authority.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/pair_key.h"
#include "common/pki.h"
#include "router/disk.h"
#include "router/heartbeat.h"
#include "router/https.h"
#include "router/identity.h"
#include "router/resolve.h"
#include "router/router.h"
#include "router/stored.h"

#define PLACES 9		 /* those configured, and one that another sent us to */
#define HEARTBEAT (5 * SEC)	 /* from one to the next */
#define HEARTBEAT_WAIT (4 * SEC) /* for its answer */
#define HEARTBEATS_MISSED 2	 /* in a row: the process is dead, if its stream says nothing */
#define HEARTBEATS_NEVER 6	 /* ... or of no use */
#define SILENCE (25 * SEC)	 /* of a stream: it says that it is alive every 10 s at most */
#define ALIVE (11 * SEC)
#define HEALTHY (10 * SEC) /* a stream that held so long: it begins anew with pauses */
#define TAKING_OVER (4 * SEC)
#define PAUSE_LEAST (300 * MSEC)
#define PAUSE_MOST (15 * SEC)
#define CONFIRM_AGAIN SEC
#define ANSWER_WAIT (10 * SEC)
#define WHOLE_AGAIN (30 * SEC)
#define WHOLE_WAIT (120 * SEC) /* for all of it */
#define RENEW_LOOK_MOST (600 * SEC)
#define FEED_KEPT (64u << 10) /* bytes of room for lines, when there is none */

struct place {
	struct config_url url;
	struct authority *authority;
	struct watch *watch;
	struct ip ips[RESOLVE_MAX];
	size_t n_ips;
};

struct authority {
	struct router *router;
	struct loop *loop;
	struct identity *identity;
	struct disk *disk;
	struct https *https;
	struct stored stored;
	struct list writes; /* that the disk was given */
	struct version on_disk;
	struct version settled; /* on disk, or the disk has failed: it may be confirmed */

	struct place places[PLACES];
	unsigned n_configured, at; /* ... which one it is now */
	bool started;
	void (*changed)(struct router *); /* is told of other tables */

	struct https_request *stream;
	struct feed feed;
	bool connected;		 /* it has said something */
	mono_t since, contact;	 /* when the stream began; the last that was heard of it */
	unsigned tries, sent_on; /* that failed one after the other; redirections in a row */
	mono_t failing;		 /* since the first of these */
	int64_t pause;
	struct timer again, silence;
	unsigned missed; /* heartbeats in a row */
	unsigned beats;	 /* until the next one with all peers */

	/* to be confirmed */
	bool unsaid;
	struct version confirmed;
	char refusal[FEED_ERROR]; /* with it, or "" */
	struct https_request *confirm;
	struct timer confirm_timer;

	struct https_request *heartbeat, *whole, *renewal;
	struct timer heartbeat_timer, whole_timer, renewal_timer;

	char error[AUTHORITY_WORDS], refused[FEED_ERROR], renewal_error[AUTHORITY_WORDS];
	bool warned; /* of error */
};

/* Tables that the disk was given. */
struct written {
	struct list node;
	struct authority *authority;
	struct version version;
};

static void connect_now(struct authority *, mono_t now);
static void say(struct authority *, mono_t now);

static int64_t random_below(int64_t n)
{
	uint32_t r = 0;

	crypto_random(&r, sizeof(r));
	return n > 0 ? (int64_t)((uint64_t)r * (uint64_t)n >> 32) : 0;
}

/* ---- questions ------------------------------------------------------------------- */

static const struct place *place(const struct authority *a)
{
	return &a->places[a->at];
}

/* A path, at the place. NULL: out of memory. */
static struct https_request *ask_path(struct authority *a, const struct https_question *what)
{
	const struct place *p = place(a);
	struct https_question q = *what;
	struct https_request *r;
	char *url;

	if (asprintf(&url, "%s%s", p->url.text, what->url) < 0)
		return NULL;
	q.url = url;
	q.host = p->url.host;
	q.port = p->url.port;
	q.ips = p->ips;
	q.n_ips = p->n_ips;
	r = https_ask(a->https, &q);
	free(url);
	return r;
}

static struct https_request *ask_own(struct authority *a, const char *what, const char *body,
				     int64_t patience, size_t most, https_data_fn *data,
				     https_fn *done)
{
	struct https_request *q;
	char *path;

	if (asprintf(&path, "/v1/routers/%s/%s", a->identity->name, what) < 0)
		return NULL;
	q = ask_path(a, &(struct https_question){ .url = path,
						  .body = body,
						  .patience = patience,
						  .most = most,
						  .data = data,
						  .done = done,
						  .arg = a });
	free(path);
	return q;
}

struct https_request *authority_ask(struct authority *a, const struct https_question *what)
{
	return a->connected ? ask_path(a, what) : NULL;
}

void authority_words(const struct https_answer *answer, char ret[static AUTHORITY_WORDS])
{
	json_t *body = answer->status ? json_loadb(answer->body, answer->len, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(body, "detail"));

	if (!answer->status)
		snprintf(ret, AUTHORITY_WORDS, "%s", answer->error);
	else if (detail)
		snprintf(ret, AUTHORITY_WORDS, "%s", detail);
	else
		snprintf(ret, AUTHORITY_WORDS, "it answers with status %ld", answer->status);
	for (char *c = ret; *c; c++) /* a stranger's, perhaps */
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	json_decref(body);
}

static bool is_good(const struct https_answer *answer)
{
	return answer->status >= 200 && answer->status < 300;
}

/* ---- confirming ------------------------------------------------------------------ */

static void said(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;

	a->confirm = NULL;
	if (!is_good(answer))
		a->unsaid = true;
	if (a->unsaid) /* something new, or once more: a stream that begins says it too */
		timer_set(a->loop, &a->confirm_timer,
			  is_good(answer) ? now : mono_add(now, CONFIRM_AGAIN));
}

static void say(struct authority *a, mono_t now)
{
	char *body;

	if (!a->unsaid || !a->connected || a->confirm)
		return;
	body = feed_confirm(a->confirmed, *a->refusal ? a->refusal : NULL);
	if (body)
		a->confirm = ask_own(a, "confirm", body, ANSWER_WAIT, 0, NULL, said);
	free(body);
	a->unsaid = !a->confirm;
	if (a->unsaid) /* out of memory */
		timer_set(a->loop, &a->confirm_timer, mono_add(now, CONFIRM_AGAIN));
}

static void confirm_due(struct timer *t, mono_t now)
{
	say(container_of(t, struct authority, confirm_timer), now);
}

static void confirm(struct authority *a, struct version version, const char *refusal, mono_t now)
{
	a->confirmed = version;
	snprintf(a->refusal, sizeof(a->refusal), "%s", refusal);
	a->unsaid = true;
	say(a, now);
}

/* ---- tables ---------------------------------------------------------------------- */

static struct version running(const struct authority *a)
{
	const struct image *image = router_image(a->router);

	return image ? image->version : (struct version){ 0, 0 };
}

static void refuse(struct authority *a, const char *why, mono_t now)
{
	counter_add(&a->router->events[EVENT_TABLES_REFUSED], 1);
	if (strcmp(why, a->refused) != 0)
		log_error("authority: refused: %s", why);
	snprintf(a->refused, sizeof(a->refused), "%s", why);
	confirm(a, a->settled, why, now);
}

static bool key_of(void *arg, const struct image_peer *p, uint8_t ret[static CRYPTO_KEY],
		   FILE *errors)
{
	const struct authority *a = arg;

	if (pair_key_peer(a->identity->key, a->identity->id, p, ret))
		return true;
	fprintf(errors, "tables in which router %s has no key that is one\n", p->name);
	return false;
}

/* Puts an image in force. False, with words. */
static bool run(struct authority *a, struct image *image, mono_t now, char error[static FEED_ERROR])
{
	struct router *r = a->router;
	char *text = NULL;
	size_t len;
	FILE *errors = open_memstream(&text, &len);
	bool done;

	if (!errors) {
		image_free(image);
		snprintf(error, FEED_ERROR, "not enough memory for the tables");
		return false;
	}
	done = router_apply_image(r, image, key_of, a, now, errors);
	fclose(errors);
	if (!done) {
		text[strcspn(text, "\n")] = '\0';
		snprintf(error, FEED_ERROR, "%s", *text ? text : "not enough memory");
	}
	free(text);
	if (done && a->changed)
		a->changed(r);
	return done;
}

/* What the kernel doesn't send to the device is not carried, whatever the tables say. */
static void check_covered(const struct authority *a, const struct image *image)
{
	const struct config *c = a->router->config;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < image->n_networks; i++) {
		const struct network_table *t = image->networks[i].table;

		for (size_t k = 0; k < t->n; k++) {
			const struct prefix *p = &t->rows[k].prefix;
			size_t j = 0;

			while (j < c->n_networks && !prefix_covers(&c->networks[j], p))
				j++;
			if (j < c->n_networks || t->rows[k].router == image->router)
				continue;
			log_warn("authority: %s of network %u, and perhaps others, will not be "
				 "intercepted: [intercept] networks does not cover it",
				 prefix_format(p, text), t->id);
			return;
		}
	}
}

/* What the disk is not given, or can't take, may be told before what was given earlier. */
static void settle(struct authority *a, struct version version, mono_t now)
{
	if (version_compare(version, a->settled) > 0)
		a->settled = version;
	confirm(a, a->settled, a->refused, now); /* of newer ones, since */
}

static void written(void *arg, int error, mono_t now)
{
	struct written *w = arg;
	struct authority *a = w->authority;
	char text[VERSION_TEXT];

	version_format(w->version, text);
	if (!error) {
		a->on_disk = w->version;
	} else {
		stored_failed(&a->stored);
		log_error("authority: tables %s can't be written to %s: %s; a restart would begin "
			  "from older ones",
			  text, a->stored.path, strerror(-error));
		counter_add(&a->router->events[EVENT_TABLES_UNSTORED], 1);
	}
	settle(a, w->version, now);
	if (stored_wants_whole(&a->stored) && !a->whole && !timer_is_set(&a->whole_timer))
		timer_set(a->loop, &a->whole_timer, error ? mono_add(now, WHOLE_AGAIN) : now);
	list_remove(&w->node);
	free(w);
}

static void store(struct authority *a, struct version version, const uint8_t *bytes, size_t len,
		  mono_t now)
{
	struct written *w = malloc(sizeof(*w));

	if (!w) { /* then not on disk: as if it was full */
		stored_failed(&a->stored);
		settle(a, version, now);
		return;
	}
	*w = (struct written){ .authority = a, .version = version };
	list_insert(&a->writes, &w->node);
	stored_put(&a->stored, bytes, len, written, w);
}

static void take(struct authority *a, const uint8_t *bytes, size_t len, mono_t now)
{
	const struct image *runs = router_image(a->router);
	char error[FEED_ERROR], text[VERSION_TEXT];
	struct image *image;
	int e = feed_take(runs, a->identity->id, a->identity->tables_key, bytes, len, &image,
			  error);

	if (e < 0) {
		refuse(a, error, now);
		return;
	}
	if (e > 0) { /* it runs already: of use to the disk, perhaps */
		if (stored_wants_whole(&a->stored) && image_kind(bytes, len) == IMAGE_WHOLE)
			store(a, runs->version, bytes, len, now);
		else if (list_is_empty(&a->writes)) /* else when it is written */
			confirm(a, a->settled, "", now);
		return;
	}
	if (!run(a, image, now, error)) {
		refuse(a, error, now);
		return;
	}
	a->refused[0] = '\0';
	check_covered(a, image);
	counter_add(&a->router->events[EVENT_TABLES], 1);
	log_info("authority: tables %s in force: %zu networks, %zu other routers",
		 version_format(image->version, text), image->n_networks, image->n_peers);
	store(a, image->version, bytes, len, now);
}

/* ---- a whole image for the disk --------------------------------------------------- */

struct taking {
	struct authority *authority;
	mono_t now;
};

static void whole_message(void *arg, const struct feed_message *m)
{
	struct taking *t = arg;

	if (m->type == FEED_TABLES)
		take(t->authority, m->bytes, m->len, t->now);
}

static void whole_came(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;
	struct taking t = { a, now };
	struct feed feed;

	a->whole = NULL;
	feed_init(&feed);
	if (is_good(answer) && !feed_read(&feed, answer->body, answer->len, whole_message, &t))
		feed_read(&feed, "\n", 1, whole_message, &t);
	feed_done(&feed);
	if (!timer_is_set(&a->whole_timer)) /* a look whether it has helped */
		timer_set(a->loop, &a->whole_timer, mono_add(now, WHOLE_AGAIN));
}

static void whole_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, whole_timer);

	if (!stored_wants_whole(&a->stored) || a->whole)
		return;
	if (a->connected)
		a->whole = ask_own(a, "tables", NULL, WHOLE_WAIT, FEED_LINE, NULL, whole_came);
	if (!a->whole)
		timer_set(a->loop, t, mono_add(now, WHOLE_AGAIN));
}

/* ---- the stream ------------------------------------------------------------------ */

/* What hangs on the process that had it. */
static void drop_stream(struct authority *a)
{
	https_cancel(a->stream);
	https_cancel(a->confirm);
	https_cancel(a->heartbeat);
	https_cancel(a->whole);
	if (a->whole)
		timer_set(a->loop, &a->whole_timer, mono_add(a->contact, WHOLE_AGAIN));
	a->stream = a->confirm = a->heartbeat = a->whole = NULL;
	a->connected = a->unsaid = false; /* a new one begins with what is settled */
	timer_cancel(a->loop, &a->silence);
	timer_cancel(a->loop, &a->confirm_timer);
	timer_cancel(a->loop, &a->heartbeat_timer);
}

/* The next place, at once, or after a pause when all have been tried. Pauses are short while
 * another process may be taking over from one that has died. */
static void go_on(struct authority *a, mono_t now)
{
	int64_t wait = random_below(PAUSE_LEAST / 2);

	if (!a->tries)
		a->failing = now;
	a->sent_on = 0;
	a->at = a->at < a->n_configured ? (a->at + 1) % a->n_configured : 0;
	if (++a->tries % a->n_configured == 0) {
		if (mono_since(now, a->failing) < TAKING_OVER)
			a->pause = PAUSE_LEAST;
		else if (a->pause < PAUSE_MOST)
			a->pause = a->pause * 3 / 2;
		wait = a->pause / 2 + random_below(a->pause);
	}
	timer_set(a->loop, &a->again, mono_add(now, wait));
}

/* The stream has ended, or never began. */
static void lost(struct authority *a, const char *why, mono_t now)
{
	bool held = a->connected && mono_since(now, a->since) > HEALTHY;

	snprintf(a->error, sizeof(a->error), "%s", why);
	if (a->connected || !a->warned)
		log_warn("authority: %s: %s%s", place(a)->url.text, why,
			 router_image(a->router)
				 ? "; the router goes on with the tables that it has"
				 : "");
	else
		log_debug("authority: %s: %s", place(a)->url.text, why);
	a->warned = true;
	drop_stream(a);
	if (held)
		a->tries = 0;
	go_on(a, now);
}

static void message(void *arg, const struct feed_message *m)
{
	struct taking *t = arg;
	struct authority *a = t->authority;

	if (!a->connected) {
		a->connected = true;
		a->error[0] = '\0';
		a->warned = false;
		a->sent_on = a->missed = 0;
		log_info("authority: connected to %s", place(a)->url.text);
		timer_set(a->loop, &a->heartbeat_timer, t->now);
		say(a, t->now); /* what was settled since it was asked for */
		if (stored_wants_whole(&a->stored) && !timer_is_set(&a->whole_timer))
			timer_set(a->loop, &a->whole_timer, mono_add(t->now, SEC));
	}
	if (m->type == FEED_TABLES)
		take(a, m->bytes, m->len, t->now);
}

static void stream_data(void *arg, const void *data, size_t len, mono_t now)
{
	struct authority *a = arg;
	struct taking t = { a, now };

	a->contact = now;
	timer_set(a->loop, &a->silence, mono_add(now, SILENCE));
	if (feed_read(&a->feed, data, len, message, &t)) {
		lost(a, "it says what isn't understood", now);
	} else if (!a->feed.n && a->feed.room > FEED_KEPT) {
		feed_done(&a->feed);
		feed_init(&a->feed);
	}
}

static void resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now);

/* Takes over the URL. */
static void place_init(struct authority *a, unsigned i, const struct config_url *url)
{
	struct place *p = &a->places[i];

	*p = (struct place){ .url = *url, .authority = a };
	p->watch = resolver_watch(a->router->resolver, url->host, resolved, p);
}

static void place_done(struct place *p)
{
	watch_free(p->watch);
	free(p->url.text);
	free(p->url.host);
}

/* Another process of the authority has the routers: there, if that makes an end. */
static bool follow(struct authority *a, const struct https_answer *answer, mono_t now)
{
	struct config_url url;
	char base[AUTHORITY_WORDS];
	const char *slash;
	unsigned i = 0;

	slash = answer->location ? strstr(answer->location, "/v1/") : NULL;
	if (!slash || ++a->sent_on > 3 || (size_t)(slash - answer->location) >= sizeof(base))
		return false;
	snprintf(base, sizeof(base), "%.*s", (int)(slash - answer->location), answer->location);
	if (!config_url_parse(base, &url))
		return false;
	log_debug("authority: %s sends this router on to %s", place(a)->url.text, base);
	drop_stream(a);
	while (i < a->n_configured && strcmp(a->places[i].url.text, url.text) != 0)
		i++;
	if (i == a->n_configured) { /* not one of ours: there is a place for such */
		place_done(&a->places[i]);
		place_init(a, i, &url);
	} else {
		free(url.text);
		free(url.host);
	}
	a->at = i;
	connect_now(a, now);
	return true;
}

static void stream_done(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;
	char why[AUTHORITY_WORDS];

	a->stream = NULL;
	if (answer->status == 307 && follow(a, answer, now))
		return;
	if (a->connected)
		snprintf(why, sizeof(why), "the connection has ended%s%s",
			 *answer->error ? ": " : "", answer->error);
	else
		authority_words(answer, why);
	lost(a, why, now);
}

static void silent(struct timer *t, mono_t now)
{
	lost(container_of(t, struct authority, silence), "it says nothing any more", now);
}

static void connect_now(struct authority *a, mono_t now)
{
	struct place *p = &a->places[a->at];
	char what[VERSION_TEXT + 16] = "stream?have=";

	timer_cancel(a->loop, &a->again);
	if (!p->n_ips) { /* it is told when its name is known */
		if (p->watch)
			watch_refresh(p->watch);
		if (a->n_configured > 1 || a->at >= a->n_configured)
			timer_set(a->loop, &a->again, mono_add(now, HTTPS_CONNECT));
		return;
	}
	version_format(a->settled, what + strlen(what)); /* this confirms it */
	feed_done(&a->feed);
	feed_init(&a->feed);
	a->since = now;
	a->stream = ask_own(a, what, NULL, 0, 0, stream_data, stream_done);
	if (!a->stream) {
		lost(a, "no request can be made of it", now);
		return;
	}
	timer_set(a->loop, &a->silence, mono_add(now, SILENCE));
}

static void again(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, again);

	if (!place(a)->n_ips) {
		lost(a, "its name is not known", now);
		return;
	}
	connect_now(a, now);
}

static void resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now)
{
	struct place *p = arg;
	struct authority *a = p->authority;

	if (!n) {
		log_warn("authority: %s can't be resolved: %s", p->url.host, error);
		if (place(a) == p && !a->stream)
			snprintf(a->error, sizeof(a->error), "its name can't be resolved: %s",
				 error);
		return;
	}
	memcpy(p->ips, ips, n * sizeof(ips[0]));
	p->n_ips = n;
	if (place(a) == p && !a->stream && a->started)
		connect_now(a, now);
}

/* ---- heartbeats ------------------------------------------------------------------- */

/* Where ten thousand routers come at once, it takes a while until there is a connection for
 * heartbeats too: who gave up the stream for that would only come again. */
static bool is_dead(const struct authority *a, mono_t now)
{
	return a->missed >= HEARTBEATS_NEVER ||
	       (a->missed >= HEARTBEATS_MISSED && mono_since(now, a->contact) > ALIVE);
}

static void heartbeat_done(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;

	a->heartbeat = NULL;
	a->missed = answer->status ? 0 : a->missed + 1;
	if (is_dead(a, now))
		lost(a, answer->error, now);
}

static void heartbeat_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, heartbeat_timer);
	char *body;

	timer_set(a->loop, t, mono_add(now, HEARTBEAT));
	if (a->heartbeat)
		return;
	a->beats = a->beats ? a->beats - 1 : HEARTBEAT_ALL - 1;
	body = heartbeat_body(a->router, running(a), !a->beats, now);
	if (body)
		a->heartbeat =
			ask_own(a, "heartbeat", body, HEARTBEAT_WAIT, 0, NULL, heartbeat_done);
	free(body);
}

/* ---- the certificate -------------------------------------------------------------- */

static void kept(void *arg, int error, mono_t now)
{
	const struct authority *a = arg;

	(void)now;
	if (error)
		log_error("authority: the new certificate can't be written to %s: %s; after a "
			  "restart the old one is used",
			  a->identity->directory, strerror(-error));
}

/* The certificate comes last: it needs the others. */
static void keep_identity(struct authority *a)
{
	const struct identity *id = a->identity;
	const struct {
		const char *file, *text;
	} files[] = { { PKI_TRUST, id->trust_pem }, { PKI_CERTIFICATE, id->certificate_pem } };
	char *path;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (asprintf(&path, "%s/%s", id->directory, files[i].file) < 0)
			return;
		disk_replace(a->disk, path, 0644, files[i].text, strlen(files[i].text), kept, a);
		free(path);
	}
}

static void renewal_done(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;
	json_t *body = json_loadb(answer->body, answer->len, 0, NULL);
	char why[AUTHORITY_WORDS], when[32];
	struct tm tm;

	(void)now;
	a->renewal = NULL;
	if (!is_good(answer))
		authority_words(answer, why);
	else if (identity_renewed(a->identity, body, time(NULL), why))
		why[0] = '\0';
	json_decref(body);
	if (gmtime_r(&a->identity->ends, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (*why) {
		if (strcmp(why, a->renewal_error) != 0)
			log_warn("authority: the certificate, good until %s, was not renewed: %s",
				 when, why);
	} else {
		https_identify(a->https, a->identity->certificate_pem, a->identity->key_pem,
			       a->identity->trust_pem);
		keep_identity(a);
		log_info("authority: the certificate was renewed, and is good until %s", when);
	}
	strcpy(a->renewal_error, why);
}

static void renewal_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, renewal_timer);
	int64_t look = (int64_t)(a->identity->ends - a->identity->begins) / 100 * SEC;
	char *body = NULL;

	look = look < SEC ? SEC : look > RENEW_LOOK_MOST ? RENEW_LOOK_MOST : look;
	timer_set(a->loop, t, mono_add(now, look + random_below(look / 4)));
	if (a->renewal || !place(a)->n_ips || !identity_is_due(a->identity, time(NULL)))
		return;
	body = identity_renewal(a->identity);
	if (body)
		a->renewal = ask_path(a, &(struct https_question){ .url = "/v1/renew",
								   .body = body,
								   .patience = ANSWER_WAIT,
								   .done = renewal_done,
								   .arg = a });
	free(body);
}

/* ---- life ------------------------------------------------------------------------- */

static bool make_state(const char *directory, FILE *errors)
{
	if (mkdir(directory, 0700) == 0 || errno == EEXIST)
		return true;
	fprintf(errors, "[authority] state: %s can't be made: %s\n", directory, strerror(errno));
	return false;
}

/* What is on disk is in force from the start. Whatever is wrong with it, the authority can
 * give it again. */
static void begin_from_disk(struct authority *a, mono_t now)
{
	char error[FEED_ERROR], text[VERSION_TEXT];
	struct image *image;

	stored_load(&a->stored, a->identity->id, a->identity->tables_key, &image, error);
	if (*error)
		log_error("authority: %s: %s", a->stored.path, error);
	if (!image)
		return;
	if (!run(a, image, now, error)) {
		log_error("authority: %s: %s", a->stored.path, error);
		stored_failed(&a->stored);
		return;
	}
	check_covered(a, image);
	a->on_disk = a->settled = running(a);
	log_info("authority: tables %s in force, from disk", version_format(a->on_disk, text));
}

static bool take_places(struct authority *a, const struct config *config)
{
	struct config_url url;

	for (size_t i = 0; i < config->n_urls && i < PLACES - 1; i++) {
		if (!config_url_parse(config->urls[i].text, &url))
			return false;
		place_init(a, a->n_configured++, &url);
	}
	a->at = a->identity->id % a->n_configured; /* not all routers at one */
	return true;
}

bool authority_open(struct router *r, mono_t now, FILE *errors)
{
	struct authority *a = calloc(1, sizeof(*a));
	char error[IDENTITY_ERROR] = "out of memory";
	const char *why;

	if (!a)
		return false;
	r->authority = a;
	a->router = r;
	a->loop = r->loop;
	a->pause = PAUSE_LEAST;
	list_init(&a->writes);
	feed_init(&a->feed);
	a->again.fn = again;
	a->silence.fn = silent;
	a->confirm_timer.fn = confirm_due;
	a->whole_timer.fn = whole_due;
	a->heartbeat_timer.fn = heartbeat_due;
	a->renewal_timer.fn = renewal_due;
	a->identity = identity_load(r->config->identity, error);
	if (a->identity)
		strcpy(error, "out of memory or descriptors");
	a->disk = disk_open(r->loop);
	a->https = https_new(r->loop, &why);
	if (a->identity && !a->https)
		snprintf(error, sizeof(error), "%s", why);
	if (!a->identity || !a->disk || !a->https ||
	    !stored_init(&a->stored, a->disk, r->config->state) || !take_places(a, r->config)) {
		fprintf(errors, "[authority]: %s\n", error);
		return false;
	}
	https_identify(a->https, a->identity->certificate_pem, a->identity->key_pem,
		       a->identity->trust_pem);
	if (!make_state(r->config->state, errors))
		return false;
	begin_from_disk(a, now);
	return true;
}

void authority_start(struct authority *a, void (*changed)(struct router *), mono_t now)
{
	a->changed = changed;
	a->started = true;
	a->beats = a->identity->id % HEARTBEAT_ALL; /* not all routers at once */
	timer_set(a->loop, &a->renewal_timer, now);
	if (place(a)->n_ips)
		connect_now(a, now);
	else /* its name may not be known soon */
		timer_set(a->loop, &a->again, mono_add(now, HTTPS_CONNECT));
}

void authority_close(struct authority *a)
{
	if (!a)
		return;
	https_free(a->https);
	disk_close(a->disk);
	list_for_each(node, &a->writes)
		free(container_of(node, struct written, node));
	for (unsigned i = 0; i < PLACES; i++)
		place_done(&a->places[i]);
	timer_cancel(a->loop, &a->again);
	timer_cancel(a->loop, &a->silence);
	timer_cancel(a->loop, &a->confirm_timer);
	timer_cancel(a->loop, &a->whole_timer);
	timer_cancel(a->loop, &a->heartbeat_timer);
	timer_cancel(a->loop, &a->renewal_timer);
	feed_done(&a->feed);
	stored_done(&a->stored);
	identity_free(a->identity);
	a->router->authority = NULL;
	free(a);
}

void authority_status(const struct authority *a, struct authority_status *ret)
{
	*ret = (struct authority_status){
		.url = place(a)->url.text,
		.connected = a->connected,
		.contact = a->contact,
		.version = running(a),
		.stored = a->on_disk,
		.error = a->error,
		.refused = a->refused,
		.renewal_error = a->renewal_error,
		.certificate_end = a->identity->ends,
	};
}
