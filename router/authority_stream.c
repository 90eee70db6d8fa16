/*
 * Which process of the authority is asked, its stream, and heartbeats.
 *
 * A place that fails is left for the next; where there is an HTTP proxy, all are asked
 * directly, then all by it, and what has worked is the first the next time. When all have
 * failed there is a pause, longer each time, of random length, so that ten thousand routers
 * don't come at once.
 *
 * A process that has died is known at once, since the kernel says so. A machine that has
 * died says nothing: its connection is found dead by the kernel (https.c), and it is passed
 * over for as long as another process may be taking over, which may not know either that it
 * is dead, and sends routers there.
 */
#include "router/authority_private.h"

#include <ctype.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "router/connections.h"
#include "router/heartbeat.h"
#include "router/tinies.h"

#define HEARTBEAT (5 * SEC)	 /* from one to the next */
#define HEARTBEAT_WAIT (4 * SEC) /* for its answer */
#define HEARTBEATS_MISSED 2	 /* in a row: the process is dead, if its stream says nothing */
#define HEARTBEATS_NEVER 6	 /* ... or of no use */
#define ALIVE (11 * SEC)	 /* a stream that said something so lately */
#define HEARTBEATS_REFUSED 4	 /* in a row: perhaps another process takes them */
#define SILENCE (25 * SEC)	 /* of a stream: it says that it is alive every 10 s at most, */
#define SIGNS 3			 /* ... or as it says: so many are missing, */
#define SLOW SEC		 /* ... and another one would be late */
#define HEALTHY (2 * SEC)	 /* a stream that held so long: it begins anew with pauses */
#define TAKING_OVER (4 * SEC)
#define PAUSE_MOST (15 * SEC)
#define CONNECT (1500 * MSEC) /* while there is another way to be tried */
#define CONNECT_MOST (10 * SEC)
#define FEED_KEPT (64u << 10) /* bytes of room for lines, when there is none */

static void connect_now(struct authority *, mono_t now);

/* ---- ways ------------------------------------------------------------------------- */

static bool has_proxy(const struct authority *a)
{
	const struct connections *cs = a->router->connections;

	return cs->n_proxy_ips && !connections_excepts(cs, authority_place(a)->url.host);
}

bool authority_by_proxy(const struct authority *a)
{
	return a->by_proxy && has_proxy(a);
}

/* A proxy resolves names itself. */
bool authority_can_ask(const struct authority *a)
{
	return authority_place(a)->n_ips || authority_by_proxy(a);
}

/* All that can be tried. */
static unsigned ways(const struct authority *a)
{
	return a->n_configured * (has_proxy(a) ? 2 : 1);
}

/* Other ways are not to wait for one that is dead; but one may just be slow, so it is given
 * twice as long each time. */
int64_t authority_connect_time(const struct authority *a)
{
	int64_t most =
		CONNECT << (authority_place(a)->timeouts < 3 ? authority_place(a)->timeouts : 3);

	return a->connected || ways(a) == 1 || most > CONNECT_MOST ? CONNECT_MOST : most;
}

/* Found to say nothing, just now. */
static bool is_silent(const struct place *p, mono_t now)
{
	return mono_is_set(p->silent) && mono_since(now, p->silent) < TAKING_OVER;
}

static void next_place(struct authority *a, mono_t now)
{
	unsigned from = a->at < a->n_configured ? a->at : a->n_configured - 1;

	for (unsigned i = 1; i <= a->n_configured; i++) {
		a->at = (from + i) % a->n_configured;
		if (!is_silent(authority_place(a), now))
			return;
	}
	a->at = (from + 1) % a->n_configured;
}

/* The next place, at once, or after a pause when all have been tried. Pauses are short while
 * another process may be taking over from one that has died. */
static void go_on(struct authority *a, mono_t now)
{
	int64_t wait = authority_random(PAUSE_LEAST / 2);

	if (!a->tries)
		a->failing = now;
	a->sent_on = 0;
	next_place(a, now);
	a->tries++;
	if (a->tries % a->n_configured == 0)
		a->by_proxy = !a->by_proxy && has_proxy(a);
	if (a->tries % ways(a) == 0) {
		if (mono_since(now, a->failing) < TAKING_OVER)
			a->pause = PAUSE_LEAST;
		else if (a->pause < PAUSE_MOST)
			a->pause = a->pause * 3 / 2;
		wait = a->pause / 2 + authority_random(a->pause);
	}
	timer_set(a->loop, &a->again, mono_add(now, wait));
}

/* ---- the stream ------------------------------------------------------------------- */

/* What hangs on the process that had it. */
static void drop_stream(struct authority *a)
{
	https_cancel(a->stream);
	https_cancel(a->heartbeat);
	a->stream = a->heartbeat = NULL;
	a->connected = false;
	authority_tables_disconnected(a);
	timer_cancel(a->loop, &a->silence);
	timer_cancel(a->loop, &a->heartbeat_timer);
}

/* What can't be reached may be what is sent to: the others are told. */
static void put_without(const struct authority *a, FILE *f)
{
	if (a->without == PLACES || a->without == a->at)
		return;
	fputs("&without=", f);
	for (const char *c = a->places[a->without].url.text; *c; c++)
		fprintf(f, isalnum((unsigned char)*c) ? "%c" : "%%%02X", (unsigned char)*c);
}

/* The stream has ended, or never began. */
static void lost(struct authority *a, const char *why, mono_t now)
{
	bool held = a->connected && mono_since(now, a->since) > HEALTHY;

	snprintf(a->error, sizeof(a->error), "%s%s", authority_by_proxy(a) ? "by the proxy: " : "",
		 why);
	if (a->connected || !a->warned)
		log_warn("authority: %s: %s%s", authority_place(a)->url.text, a->error,
			 router_image(a->router)
				 ? "; the router goes on with the tables that it has"
				 : "");
	else
		log_debug("authority: %s: %s", authority_place(a)->url.text, a->error);
	a->warned = true;
	a->without = a->at;
	drop_stream(a);
	if (held)
		a->tries = 0;
	go_on(a, now);
}

static void lost_silent(struct authority *a, const char *why, mono_t now)
{
	a->places[a->at].silent = now;
	lost(a, why, now);
}

struct reading {
	struct authority *authority;
	mono_t now;
};

static void message(void *arg, const struct feed_message *m)
{
	struct reading *t = arg;
	struct authority *a = t->authority;

	if (!a->connected) {
		a->connected = true;
		a->error[0] = '\0';
		a->warned = false;
		a->without = PLACES;
		a->sent_on = a->missed = a->refusals = 0;
		a->places[a->at].silent = (mono_t){ 0 };
		a->places[a->at].timeouts = 0;
		log_info("authority: connected to %s%s", authority_place(a)->url.text,
			 authority_by_proxy(a) ? " by the proxy" : "");
		timer_set(a->loop, &a->heartbeat_timer, t->now);
		authority_tables_connected(a, t->now);
	}
	/* Where there is no other one to ask, one that hangs is as good as any. */
	if (m->next && a->n_configured > 1) {
		int64_t patience = SIGNS * (int64_t)m->next * MSEC + SLOW;

		a->patience = patience < SILENCE ? patience : SILENCE;
	}
	if (m->type == FEED_TABLES)
		authority_take(a, m->bytes, m->len, t->now);
}

static void stream_data(void *arg, const void *data, size_t len, mono_t now)
{
	struct authority *a = arg;
	struct reading t = { a, now };

	a->contact = now;
	if (feed_read(&a->feed, data, len, message, &t)) {
		lost(a, "it says what isn't understood", now);
		return;
	}
	timer_set(a->loop, &a->silence, mono_add(now, a->patience));
	if (!a->feed.n && a->feed.room > FEED_KEPT) {
		feed_done(&a->feed);
		feed_init(&a->feed);
		malloc_trim(0);
	}
}

static void resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now);

/* Takes over the URL. False: out of memory. */
static bool place_init(struct authority *a, unsigned i, const struct config_url *url)
{
	struct place *p = &a->places[i];

	*p = (struct place){ .url = *url, .authority = a };
	p->watch = resolver_watch(a->router->resolver, url->host, resolved, p);
	return p->watch != NULL;
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
	while (i < a->n_configured && strcmp(a->places[i].url.text, url.text) != 0)
		i++;
	if (i < a->n_configured && is_silent(&a->places[i], now)) {
		free(url.text);
		free(url.host);
		return false;
	}
	log_debug("authority: %s sends this router on to %s", authority_place(a)->url.text, base);
	drop_stream(a);
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
	if (answer->silent) {
		a->places[a->at].silent = now;
		a->places[a->at].timeouts += !a->connected;
	}
	if (a->connected)
		snprintf(why, sizeof(why), "the connection has ended%s%s",
			 *answer->error ? ": " : "", answer->error);
	else
		authority_words(answer, why);
	lost(a, why, now);
}

static void silent(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, silence);

	lost_silent(a, a->connected ? "it says nothing any more" : "it says nothing", now);
}

static void connect_now(struct authority *a, mono_t now)
{
	struct place *p = &a->places[a->at];
	char version[VERSION_TEXT], *what = NULL;
	size_t len;
	FILE *f;

	timer_cancel(a->loop, &a->again);
	if (!authority_can_ask(a)) { /* it is told when its name is known */
		if (p->watch)
			watch_refresh(p->watch);
		timer_set(a->loop, &a->again, mono_add(now, CONNECT));
		return;
	}
	f = open_memstream(&what, &len);
	if (f) { /* what it has confirms it */
		fprintf(f, "stream?have=%s", version_format(a->settled, version));
		put_without(a, f);
		fclose(f);
	}
	feed_done(&a->feed);
	feed_init(&a->feed);
	a->since = now;
	a->patience = SILENCE;
	a->stream = what ? authority_ask_own(a, what, NULL, 0, 0, stream_data, stream_done) : NULL;
	free(what);
	if (!a->stream) {
		lost(a, "no request can be made of it", now);
		return;
	}
	timer_set(a->loop, &a->silence, mono_add(now, SILENCE));
}

static void again(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, again);
	const struct place *p = authority_place(a);

	if (authority_can_ask(a))
		connect_now(a, now);
	else
		lost(a, *p->error ? p->error : "its name is not known", now);
}

static void resolved(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now)
{
	struct place *p = arg;
	struct authority *a = p->authority;

	if (!n) {
		log_warn("authority: %s can't be resolved: %s", p->url.host, error);
		snprintf(p->error, sizeof(p->error), "its name can't be resolved: %s", error);
		if (authority_place(a) == p && !a->stream)
			snprintf(a->error, sizeof(a->error), "%s", p->error);
		return;
	}
	p->error[0] = '\0';
	memcpy(p->ips, ips, n * sizeof(ips[0]));
	p->n_ips = n;
	if (authority_place(a) == p && !a->stream && a->started)
		connect_now(a, now);
}

/* ---- heartbeats ------------------------------------------------------------------- */

static void heartbeat_refused(struct authority *a, const struct https_answer *answer, mono_t now)
{
	char words[AUTHORITY_WORDS], why[AUTHORITY_WORDS];

	authority_words(answer, words);
	snprintf(why, sizeof(why), "heartbeats are refused: %.400s", words);
	if (answer->status == 307 || ++a->refusals == HEARTBEATS_REFUSED) {
		lost(a, why, now);
		return;
	}
	if (strcmp(words, a->heartbeat_error) != 0)
		log_warn("authority: %s: %s", authority_place(a)->url.text, why);
	strcpy(a->heartbeat_error, words);
}

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
	if (is_dead(a, now)) {
		lost_silent(a, answer->error, now);
	} else if (authority_is_good(answer)) {
		a->refusals = 0;
		tinies_heard(a->router);
		a->heartbeat_error[0] = '\0';
	} else if (answer->status) {
		heartbeat_refused(a, answer, now);
	}
}

static void heartbeat_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, heartbeat_timer);
	char *body;

	timer_set(a->loop, t, mono_add(now, HEARTBEAT));
	if (a->heartbeat)
		return;
	a->beats = a->beats ? a->beats - 1 : HEARTBEAT_ALL - 1;
	body = heartbeat_body(a->router, authority_runs(a), !a->beats, now);
	if (body)
		a->heartbeat = authority_ask_own(a, "heartbeat", body, HEARTBEAT_WAIT, 0, NULL,
						 heartbeat_done);
	free(body);
}

/* ---- life ------------------------------------------------------------------------- */

bool authority_stream_init(struct authority *a, const struct config *config)
{
	struct config_url url;

	a->pause = PAUSE_LEAST;
	a->without = PLACES;
	feed_init(&a->feed);
	a->again.fn = again;
	a->silence.fn = silent;
	a->heartbeat_timer.fn = heartbeat_due;
	for (size_t i = 0; i < config->n_urls && i < PLACES - 1; i++) {
		if (!config_url_parse(config->urls[i].text, &url) ||
		    !place_init(a, a->n_configured++, &url))
			return false;
	}
	a->at = a->identity->id % a->n_configured; /* not all routers at one */
	return true;
}

void authority_stream_begin(struct authority *a, mono_t now)
{
	if (authority_can_ask(a))
		connect_now(a, now);
	else /* its name may not be known soon */
		timer_set(a->loop, &a->again, mono_add(now, CONNECT));
}

void authority_stream_done(struct authority *a)
{
	for (unsigned i = 0; i < PLACES; i++)
		place_done(&a->places[i]);
	timer_cancel(a->loop, &a->again);
	timer_cancel(a->loop, &a->silence);
	timer_cancel(a->loop, &a->heartbeat_timer);
	feed_done(&a->feed);
}
