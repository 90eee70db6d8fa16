/*
 * Times are those of router/authority.c.
 */
#include "tests/bench/routers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event_struct.h>

#include "common/feed.h"

enum {
	SAMPLE = 50,
	CONNECT = 1500, /* milliseconds */
	ANSWER = 4000,
	BEAT = 5000,
	CONFIRM_AGAIN = 1000,
	PAUSE_LEAST = 250,
	PAUSE_MOST = 15000,
	HEALTHY = 10000,
	BEATS_MISSED = 2,
	BEATS_NEVER = 6,
	ALIVE = 11000,
	PEERS = 90,    /* in a heartbeat */
	BEATS_ALL = 6, /* one of so many has them: as in router/heartbeat.h */
	LINE_HEAD = 120,
};

struct router {
	struct routers *all;
	unsigned i;
	struct client stream, post;
	SSL_SESSION *session;	       /* of both */
	struct event again;	       /* stream: it is tried again, or has taken too long */
	struct event answer;	       /* post: the same */
	struct event beat;	       /* the next heartbeat */
	struct version have;	       /* what it runs */
	uint8_t step;		       /* of that */
	bool confirmed, asking, beats; /* ... asking: a POST is under way; it is a heartbeat */
	bool beat_due, attached, current;
	unsigned missed, epoch, n_beats;
	int pause;
	struct timeval since, contact; /* the stream began; said something */
	char head[LINE_HEAD];	       /* of the line that comes */
	size_t n_head;
	struct feed feed; /* of a sample */
	struct image *image;
};

struct routers {
	struct routers_plan plan;
	struct routers_figures figures;
	struct router *at;
	char *heartbeat, *brief; /* with peers, and without */
	bool beating;
	unsigned epoch;
};

static void wait_for(struct event *e, int ms)
{
	struct timeval t = { ms / 1000, ms % 1000 * 1000 };

	event_add(e, &t);
}

static bool is_sample(const struct router *r)
{
	return r->i % SAMPLE == 0;
}

static void post_next(struct router *);

/* ---- losing ---------------------------------------------------------------------- */

static long ms_since(const struct router *r, const struct timeval *t)
{
	struct timeval now;

	event_base_gettimeofday_cached(r->all->plan.base, &now);
	return (now.tv_sec - t->tv_sec) * 1000 + (now.tv_usec - t->tv_usec) / 1000;
}

/* As go_on there, with one place. */
static void lose(struct router *r)
{
	long held = ms_since(r, &r->since);

	r->all->figures.failures++;
	if (r->attached) {
		r->all->figures.attached--;
		if (held > HEALTHY)
			r->pause = 0;
	}
	r->attached = r->asking = r->beat_due = false;
	client_close(&r->stream);
	client_close(&r->post);
	event_del(&r->answer);
	event_del(&r->beat);
	feed_done(&r->feed);
	r->pause = r->pause ? r->pause * 3 / 2 : PAUSE_LEAST;
	if (r->pause > PAUSE_MOST)
		r->pause = PAUSE_MOST;
	wait_for(&r->again, r->pause / 2 + (int)(random() % r->pause));
}

static void on_stream_lost(struct client *c)
{
	lose((struct router *)((char *)c - offsetof(struct router, stream)));
}

/* ---- confirming, heartbeats -------------------------------------------------------- */

static struct router *of_post(struct client *c)
{
	return (struct router *)((char *)c - offsetof(struct router, post));
}

static void post_failed(struct router *r)
{
	bool was_beat = r->asking && r->beats;

	client_close(&r->post);
	event_del(&r->answer);
	r->all->figures.failures++;
	if (r->asking && !r->beats)
		r->confirmed = false;
	r->asking = false;
	r->missed += was_beat;
	if (was_beat && (r->missed >= BEATS_NEVER ||
			 (r->missed >= BEATS_MISSED && ms_since(r, &r->contact) > ALIVE)))
		lose(r);
	else if (!r->confirmed)
		wait_for(&r->answer, CONFIRM_AGAIN);
}

static void on_post_lost(struct client *c)
{
	struct router *r = of_post(c);

	if (r->asking)
		post_failed(r);
}

static void on_post_opened(struct client *c)
{
	struct router *r = of_post(c);
	char path[64], body[VERSION_TEXT + 32], version[VERSION_TEXT];
	const struct routers *all = r->all;

	snprintf(path, sizeof(path), "/v1/routers/r%u/%s", r->i,
		 r->beats ? "heartbeat" : "confirm");
	snprintf(body, sizeof(body), "{\"version\":\"%s\"}", version_format(r->have, version));
	if (!r->beats)
		client_send(c, "POST", path, body);
	else
		client_send(c, "POST", path,
			    (r->i + r->n_beats++) % BEATS_ALL ? all->brief : all->heartbeat);
}

static void on_post_data(struct client *c, const char *data, size_t len)
{
	(void)c, (void)data, (void)len;
}

static void on_post_done(struct client *c, int status)
{
	struct router *r = of_post(c);
	struct routers_figures *f = &r->all->figures;

	event_del(&r->answer);
	if (status != 200) {
		post_failed(r);
		return;
	}
	r->asking = false;
	r->missed = 0;
	if (r->beats) {
		f->beats++;
	} else if (r->confirmed) {
		f->current += !r->current;
		r->current = true;
		if (r->step == IMAGE_STEPS - 1 && r->epoch != r->all->epoch) {
			r->epoch = r->all->epoch;
			f->final++;
		}
	}
	if (r->i >= r->all->plan.beating)
		client_close(c);
	post_next(r);
}

/* What is to be said: tables before a heartbeat. */
static void post_next(struct router *r)
{
	const struct routers_plan *p = &r->all->plan;

	if (r->asking || !r->attached || (r->confirmed && !r->beat_due))
		return;
	r->asking = true;
	r->beats = r->confirmed;
	if (r->beats)
		r->beat_due = false;
	else
		r->confirmed = true;
	wait_for(&r->answer, ANSWER);
	if (r->post.open)
		on_post_opened(&r->post);
	else if (!r->post.b &&
		 !client_open(&r->post, p->base, p->context, &p->routers[r->i], r->i, p->port))
		post_failed(r);
}

static void on_answer_due(evutil_socket_t fd, short events, void *arg)
{
	struct router *r = arg;

	(void)fd, (void)events;
	if (r->asking)
		post_failed(r);
	else
		post_next(r);
}

static void on_beat(evutil_socket_t fd, short events, void *arg)
{
	struct router *r = arg;

	(void)fd, (void)events;
	wait_for(&r->beat, BEAT);
	r->beat_due = r->all->beating && r->i < r->all->plan.beating;
	post_next(r);
}

/* ---- the stream -------------------------------------------------------------------- */

static void wrong(const struct router *r, const char *what)
{
	fprintf(stderr, "router r%u: %s\n", r->i, what);
	exit(1);
}

static void took(struct router *r, struct version version, uint8_t step)
{
	r->have = version;
	r->step = step;
	r->confirmed = false;
	post_next(r);
}

static void on_message(void *arg, const struct feed_message *m)
{
	struct router *r = arg;
	struct image *next;
	char error[FEED_ERROR];
	int e;

	if (m->type != FEED_TABLES)
		return;
	e = feed_take(r->image, r->i + 1, r->all->plan.tables_key, m->bytes, m->len, &next, error);
	if (e < 0)
		wrong(r, error);
	r->all->figures.verified++;
	if (!e) {
		image_free(r->image);
		r->image = next;
	}
	took(r, r->image->version, r->image->step);
}

/* A line without a look at what it holds. */
static void read_head(struct router *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct version v;
		unsigned step;

		if (data[i] != '\n') {
			const char *end = memchr(data + i, '\n', len - i);
			size_t n = end ? (size_t)(end - data) - i : len - i, room;

			room = LINE_HEAD - 1 - r->n_head;
			memcpy(r->head + r->n_head, data + i, n < room ? n : room);
			r->n_head += n < room ? n : room;
			i += n - 1;
			continue;
		}
		r->head[r->n_head] = '\0';
		r->n_head = 0;
		if (sscanf(r->head, "{\"type\":\"%*[a-z]\",\"version\":\"%lu.%lu\",\"step\":%u",
			   &v.generation, &v.number, &step) == 3)
			took(r, v, (uint8_t)step);
	}
}

static void on_stream_data(struct client *c, const char *data, size_t len)
{
	struct router *r = (struct router *)((char *)c - offsetof(struct router, stream));

	if (c->status != 200)
		return;
	if (!r->attached) {
		r->attached = true;
		r->all->figures.attached++;
		r->missed = 0;
		r->n_head = 0;
		event_del(&r->again);
		wait_for(&r->beat, 0);
	}
	event_base_gettimeofday_cached(r->all->plan.base, &r->contact);
	r->all->figures.bytes += len;
	if (!is_sample(r))
		read_head(r, data, len);
	else if (feed_read(&r->feed, data, len, on_message, r))
		wrong(r, "its stream is malformed");
}

static void on_stream_done(struct client *c, int status)
{
	struct router *r = (struct router *)((char *)c - offsetof(struct router, stream));

	if (status != 200 && status != 503)
		wrong(r, "its stream was refused");
	lose(r);
}

static void on_stream_opened(struct client *c)
{
	struct router *r = (struct router *)((char *)c - offsetof(struct router, stream));
	char path[64 + VERSION_TEXT], version[VERSION_TEXT];

	snprintf(path, sizeof(path), "/v1/routers/r%u/stream?have=%s", r->i,
		 version_format(r->have, version));
	event_base_gettimeofday_cached(r->all->plan.base, &r->since);
	client_send(c, "GET", path, NULL);
	event_del(&r->again);
}

static void on_again(evutil_socket_t fd, short events, void *arg)
{
	struct router *r = arg;
	const struct routers_plan *p = &r->all->plan;

	(void)fd, (void)events;
	if (r->stream.b) { /* not open in time */
		lose(r);
		return;
	}
	feed_init(&r->feed);
	wait_for(&r->again, CONNECT);
	if (!client_open(&r->stream, p->base, p->context, &p->routers[r->i], r->i, p->port))
		lose(r);
}

/* ---- all --------------------------------------------------------------------------- */

static char *make_heartbeat(bool peers)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fputs("{\"version\":\"1.4000\",\"uptime\":86400.5,\"workers\":4,\"load\":0.35,"
	      "\"rss\":12582912,\"packets\":{\"in\":123456789,\"out\":123456789},"
	      "\"bytes\":{\"in\":123456789012,\"out\":123456789012},\"drops\":1234,"
	      "\"udp_listen\":[\"0.0.0.0:8463\",\"[::]:8463\"]",
	      f);
	for (unsigned i = 0; peers && i < PEERS; i++)
		fprintf(f,
			"%s{\"id\":%u,\"up\":true,\"tx_bytes\":1234567890,\"rx_bytes\":1234567890,"
			"\"way\":\"udp\",\"rtt\":0.0123}",
			i ? "," : ",\"peers\":[", i + 1);
	fputs(peers ? "]}" : "}", f);
	fclose(f);
	return text;
}

struct routers *routers_new(const struct routers_plan *plan)
{
	static const struct client_calls stream_calls = { on_stream_opened, on_stream_data,
							  on_stream_done, on_stream_lost };
	static const struct client_calls post_calls = { on_post_opened, on_post_data, on_post_done,
							on_post_lost };
	struct routers *all = calloc(1, sizeof(*all));

	all->plan = *plan;
	all->at = calloc(plan->n, sizeof(*all->at));
	all->heartbeat = make_heartbeat(true);
	all->brief = make_heartbeat(false);
	all->beating = true;
	all->epoch = 1;
	for (unsigned i = 0; i < plan->n; i++) {
		struct router *r = &all->at[i];

		r->all = all;
		r->i = i;
		r->confirmed = true;
		r->stream.calls = &stream_calls;
		r->post.calls = &post_calls;
		r->stream.session = r->post.session = &r->session;
		evtimer_assign(&r->again, plan->base, on_again, r);
		evtimer_assign(&r->answer, plan->base, on_answer_due, r);
		evtimer_assign(&r->beat, plan->base, on_beat, r);
	}
	return all;
}

void routers_free(struct routers *all)
{
	for (unsigned i = 0; i < all->plan.n; i++) {
		struct router *r = &all->at[i];

		event_del(&r->again);
		event_del(&r->answer);
		event_del(&r->beat);
		client_close(&r->stream);
		client_close(&r->post);
		SSL_SESSION_free(r->session);
		feed_done(&r->feed);
		image_free(r->image);
	}
	free(all->heartbeat);
	free(all->brief);
	free(all->at);
	free(all);
}

void routers_start(struct routers *all)
{
	for (unsigned i = 0; i < all->plan.n; i++)
		wait_for(&all->at[i].again, 0);
}

void routers_beat(struct routers *all, bool on)
{
	all->beating = on;
}

void routers_mark(struct routers *all)
{
	all->epoch++;
	all->figures.final = 0;
}

struct routers_figures routers_figures(const struct routers *all)
{
	return all->figures;
}
