/*
 * A stream is the answer to a request, and has no end: its chunks are lines. What a router
 * doesn't read in time is not heaped up: with anything left to be written on its stream,
 * tables are left out, and since it doesn't confirm them publishing says them again, whole.
 *
 * How far publishing has come is written under the condition that nobody else has written it.
 * If somebody has, this process has lost the routers without knowing, or will know what the
 * other one wrote in a moment: it begins anew.
 * Nor is that of thousands of routers: while more than so much is unread on all streams,
 * tables are made for one router at a time, as others confirm theirs, or slowly.
 */
#include "authority/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/crypto.h>

#include "authority/memory.h"
#include "authority/resume.h"
#include "common/clock.h"
#include "common/feed.h"
#include "common/log.h"

enum {
	UNREAD = 1024,	     /* bytes of a stream that may be left and more is added */
	TAKEN_IN = 4096,     /* bytes that a router may say where it has nothing to say */
	WRITE_PATIENCE = 30, /* seconds in which it has to read something */
	ALIVE_TICK = 100,    /* ms */
	ALIVE_LEAST = 500,   /* ms from one sign of life on a stream to the next */
	ALIVE_RATE = 500,    /* of them in a second, on all */
	PASSED = 1000,	     /* revisions without a change until it is noted that there was none */
	PASSED_TURNS = 6,    /* ... and signs of life */
	ANEW = 200,	     /* ms until it begins anew */
	FLOWING = 16 << 20,  /* bytes of tables that are unread */
	TRIM_LEAST = 1000,   /* revisions that the store is made to forget at once */
};
#define PACE (10 * MSEC) /* how often that is looked at; one router's, when it is more */

/* A router that has had a stream. */
struct listener {
	struct push *push;
	uint32_t id;
	struct evhttp_request *http; /* its stream; NULL: none */
	struct list flowing;	     /* it has tables that are unread, or had when that was seen */
};

struct push {
	struct event_base *base;
	struct service *service;
	struct registry *registry;
	struct signer *signer;
	enum protection protection;
	bool wanted;		 /* from push_begin to push_end */
	struct publish *publish; /* NULL: another process does, or it begins anew */
	uint64_t generation;
	struct event *due, *alive;
	size_t next, owed; /* signs of life: whose turn it is; so many ms, of all streams */
	unsigned ticks, turns;
	/* How far it has come, on its way to the store. */
	struct work work;
	bool saving, failing;
	unsigned begun, begun_saved; /* how often it has; when that was */
	uint64_t term, term_saved;   /* of this process; 0: the store is its alone */
	uint64_t trim, trimmed;	     /* what the store may forget then; 0: nothing */
	char *text;
	uint64_t expect, expecting, revision; /* of the record: there; of what is under way */
	int result;
	char error[STORE_ERROR];
	struct list flowing;	     /* listeners */
	mono_t looked;		     /* at those */
	bool slow;		     /* too much is unread */
	struct listener **listeners; /* by ID */
	size_t n, room;
};

static const char *name_of(const struct push *p, uint32_t id)
{
	const struct router *r = registry_router_id(p->registry, id);

	return r ? r->object.name : "?";
}

/* ---- listeners ------------------------------------------------------------------ */

static size_t place_of(const struct push *p, uint32_t id)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->listeners[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct listener *listener_find(const struct push *p, uint32_t id)
{
	size_t at = place_of(p, id);

	return at < p->n && p->listeners[at]->id == id ? p->listeners[at] : NULL;
}

static struct listener *listener_need(struct push *p, uint32_t id)
{
	size_t at = place_of(p, id);
	struct listener *l;

	if (at < p->n && p->listeners[at]->id == id)
		return p->listeners[at];
	l = mem_new(1, sizeof(*l));
	l->push = p;
	l->id = id;
	list_init(&l->flowing);
	p->listeners = mem_more(p->listeners, p->n, &p->room, sizeof(*p->listeners));
	p->next += at < p->next;
	memmove(p->listeners + at + 1, p->listeners + at, (p->n++ - at) * sizeof(*p->listeners));
	p->listeners[at] = l;
	return l;
}

/* ---- publishing ----------------------------------------------------------------- */

static void begin(struct push *);

static struct evbuffer *output_of(struct evhttp_request *q)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q);

	return bufferevent_get_output(evhttp_connection_get_bufferevent(c));
}

/* Of those whose tables flow, in bytes. */
static size_t unread(struct push *p)
{
	size_t sum = 0;

	list_for_each(node, &p->flowing) {
		const struct listener *l = container_of(node, struct listener, flowing);
		size_t n = l->http ? evbuffer_get_length(output_of(l->http)) : 0;

		sum += n;
		if (n <= UNREAD)
			list_remove(node);
	}
	return sum;
}

static void pace(struct push *p, mono_t now)
{
	if (mono_since(now, p->looked) < PACE)
		return;
	p->looked = now;
	p->slow = unread(p) > FLOWING;
	publish_pace(p->publish, p->slow ? 1 : PUBLISH_AT_ONCE);
}

static void run(struct push *p)
{
	mono_t now = clock_now(), next;
	struct timeval time = { 0 };
	int64_t wait;

	pace(p, now);
	next = publish_due(p->publish, now);
	wait = mono_since(next, now);
	if (p->slow && wait < PACE)
		wait = PACE;
	if (!mono_is_set(next)) {
		evtimer_del(p->due);
		return;
	}
	if (wait > 0) {
		time.tv_sec = wait / SEC;
		time.tv_usec = (wait % SEC + 999) / 1000;
	}
	evtimer_add(p->due, &time);
}

static void on_due(evutil_socket_t fd, short events, void *arg)
{
	struct push *p = arg;

	(void)fd, (void)events;
	if (!p->publish && p->wanted)
		begin(p);
	else if (p->publish)
		run(p);
}

static void on_event(void *arg, enum publish_event e, const struct router *r, struct version runs)
{
	const struct push *p = arg;
	const struct listener *l = listener_find(p, r->record.id);
	char text[VERSION_TEXT];

	version_format(runs, text);
	switch (e) {
	case PUBLISH_IS_LATE:
		log_warn("router %s: %s: changes go on without it", r->object.name,
			 !l || !l->http ? "it is away" : "it has not confirmed its tables in time");
		break;
	case PUBLISH_CAUGHT_UP:
		log_info("router %s: it runs its tables, %s", r->object.name, text);
		break;
	case PUBLISH_AHEAD:
		log_error("router %s runs tables %s, which are newer than all of this authority: "
			  "was its store restored from a backup? (vine-authority restored)",
			  r->object.name, text);
		break;
	}
}

/* ---- how far it has come --------------------------------------------------------- */

static void end_stream(struct listener *);

static void stop(struct push *p)
{
	for (size_t i = 0; i < p->n; i++)
		end_stream(p->listeners[i]);
	evtimer_del(p->due);
	publish_free(p->publish);
	p->publish = NULL;
}

static void begin_anew(struct push *p)
{
	static const struct timeval soon = { .tv_usec = ANEW * 1000 };

	log_warn("another process has written how far publishing is: it begins anew");
	stop(p);
	evtimer_add(p->due, &soon);
}

static void run_save(struct work *w)
{
	struct push *p = container_of(w, struct push, work);
	const struct store_condition same[] = {
		{ PUBLISHED_KEY, p->expecting ? STORE_AT : STORE_ABSENT, p->expecting },
		{ SERVICE_PUBLISHER, STORE_AT, p->term_saved },
	};
	struct store_entry entry = { .key = PUBLISHED_KEY,
				     .value = p->text,
				     .size = strlen(p->text) };
	struct store_transaction t = { same, p->term_saved ? 2 : 1, &entry, 1 };

	p->result = store_commit(service_store(p->service), &t, &p->revision);
	if (p->result)
		store_error(service_store(p->service), p->error);
	else if (p->trim)
		store_trim(service_store(p->service), p->trim);
}

static void on_saved(struct work *w)
{
	struct push *p = container_of(w, struct push, work);

	p->saving = false;
	if (!p->publish || p->begun != p->begun_saved)
		return;
	if (p->result == -EAGAIN) {
		begin_anew(p);
		return;
	}
	if (p->result && !p->failing)
		log_warn("changes wait: the store does not take how far they are: %s", p->error);
	p->failing = p->result;
	if (!p->result) {
		p->expect = p->revision;
		p->turns = 0;
	}
	publish_saved(p->publish, !p->result, clock_now());
	run(p);
}

static void on_save(void *arg, const struct published *state)
{
	struct push *p = arg;
	json_t *value;

	if (p->saving) { /* of the time before: again in a moment */
		publish_saved(p->publish, false, clock_now());
		return;
	}
	value = published_encode(state);
	free(p->text);
	p->text = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	if (!p->text)
		abort();
	p->saving = true;
	p->expecting = p->expect;
	p->begun_saved = p->begun;
	p->term_saved = p->term;
	/* SQLite does so by itself; etcd would keep each beat. */
	p->trim = 0;
	if (p->term && state->revision > p->trimmed + STORE_HISTORY + TRIM_LEAST)
		p->trim = p->trimmed = state->revision - STORE_HISTORY;
	p->work = (struct work){ .run = run_save, .done = on_saved };
	list_init(&p->work.node);
	worker_post(service_worker(p->service), &p->work);
}

/* What the record says must not be forgotten by the store, however long nothing changes. */
static void look_at_record(struct push *p)
{
	uint64_t now = service_revision(p->service);

	if (now >= p->expect + PASSED || (now > p->expect && p->turns++ >= PASSED_TURNS)) {
		publish_passed(p->publish, now, clock_now());
		run(p);
	}
}

/* ---- beginning ------------------------------------------------------------------- */

static struct publish *make(void *arg, uint64_t revision)
{
	struct push *p = arg;

	return publish_new(p->registry, p->signer, p->generation, revision, p->protection, on_event,
			   on_save, p);
}

/* The next process begins anew rather than here again. */
static void give_up(struct push *p, const char *why)
{
	const struct store_condition same[] = { { PUBLISHED_KEY, STORE_AT, p->expect },
						{ SERVICE_PUBLISHER, STORE_AT, p->term } };
	struct store_entry gone = { .key = PUBLISHED_KEY };
	struct store_transaction t = { same, p->term ? 2 : 1, &gone, 1 };

	store_commit(service_store(p->service), &t, NULL);
	service_lose(p->service, why);
}

static void begin(struct push *p)
{
	uint64_t revision = service_revision(p->service);
	const struct published *from = service_published(p->service, &p->expect);
	char error[RECORD_ERROR];
	int r = -ENOENT;

	p->generation = registry_order(p->registry)->record.generation;
	p->begun++;
	if (from)
		r = resume_publish(p->registry, service_journal(p->service), from, revision, make,
				   p, clock_now(), &p->publish, error);
	if (r == -EINVAL) {
		give_up(p, error);
		return;
	}
	if (r)
		p->publish = make(p, revision);
	if (r == -ESTALE)
		log_info("publishing doesn't go on where it was (%s), but begins anew: routers "
			 "whose tables were changing may lose packets until they have theirs",
			 error);
	else if (!r && from->n)
		log_info("publishing goes on where it was: %zu changes were under way", from->n);
	run(p);
}

void push_begin(struct push *p, uint64_t term)
{
	p->wanted = true;
	p->term = term;
	begin(p);
}

void push_end(struct push *p)
{
	p->wanted = false;
	stop(p);
}

const struct publish *push_publish(const struct push *p)
{
	return p->publish;
}

bool push_publishes(const struct push *p)
{
	return p->publish != NULL;
}

void push_applied(struct push *p)
{
	if (!p->publish)
		return;
	if (registry_order(p->registry)->record.generation != p->generation) {
		stop(p);
		begin(p);
		return;
	}
	publish_changed(p->publish, service_revision(p->service), clock_now());
	run(p);
}

/* ---- streams -------------------------------------------------------------------- */

/* Its connection is no more. */
static void on_close(struct evhttp_connection *connection, void *arg)
{
	struct listener *l = arg;
	struct evhttp_request *q = l->http;

	(void)connection;
	l->http = NULL;
	if (l->push->publish)
		publish_detach(l->push->publish, l->id, clock_now());
	log_debug("router %s: its stream has ended", name_of(l->push, l->id));
	if (!evhttp_request_get_connection(q)) /* else it goes with the connection */
		evhttp_send_reply_end(q);
}

static void end_stream(struct listener *l)
{
	struct evhttp_request *q = l->http;

	if (!q)
		return;
	l->http = NULL;
	publish_detach(l->push->publish, l->id, clock_now());
	evhttp_connection_set_closecb(evhttp_request_get_connection(q), NULL, NULL);
	evhttp_send_reply_end(q);
}

/* Who is revoked gets no more of what it hasn't taken yet. */
static void cut_off(struct listener *l)
{
	struct evhttp_connection *c = evhttp_request_get_connection(l->http);

	if (!evbuffer_get_length(output_of(l->http))) {
		end_stream(l);
		return;
	}
	l->http = NULL;
	publish_detach(l->push->publish, l->id, clock_now());
	evhttp_connection_set_closecb(c, NULL, NULL);
	evhttp_connection_free(c);
}

static void free_line(const void *data, size_t len, void *arg)
{
	(void)data, (void)len;
	free(arg);
}

/* Takes over the line. */
static void send_line(struct evhttp_request *q, char *line, size_t len)
{
	struct evbuffer *b = line ? evbuffer_new() : NULL;

	if (!b || evbuffer_add_reference(b, line, len, free_line, line))
		abort();
	evhttp_send_reply_chunk(q, b);
	evbuffer_free(b);
}

static void on_tables(void *arg, struct version version, uint8_t step, const uint8_t *bytes,
		      size_t len)
{
	struct listener *l = arg;
	size_t n;
	char *line;

	if (!bytes) {
		cut_off(l);
		return;
	}
	if (evbuffer_get_length(output_of(l->http)) > UNREAD)
		return;
	line = feed_tables(version, step, bytes, len, &n);
	send_line(l->http, line, n);
	if (list_is_empty(&l->flowing))
		list_insert(&l->push->flowing, &l->flowing);
}

/* As often as all routers can be told: what one is told once holds when the others have come. */
static unsigned alive_interval(const struct push *p)
{
	size_t ms = registry_count(p->registry, RECORD_ROUTER) * 1000 / ALIVE_RATE;

	return ms < ALIVE_LEAST ? ALIVE_LEAST : ms < PUSH_ALIVE * 1000 ? ms : PUSH_ALIVE * 1000;
}

static void send_alive(const struct push *p, struct evhttp_request *q)
{
	char *line = feed_alive(alive_interval(p));

	send_line(q, line, line ? strlen(line) : 0);
}

/* One after the other, so that there is never something to be said to all at once. */
static void on_alive(evutil_socket_t fd, short events, void *arg)
{
	struct push *p = arg;
	unsigned interval = alive_interval(p);

	(void)fd, (void)events;
	if (++p->ticks % (PUSH_ALIVE * 1000 / ALIVE_TICK) == 0 && p->publish)
		look_at_record(p);
	for (p->owed += p->n * ALIVE_TICK; p->owed >= interval; p->owed -= interval) {
		struct evhttp_request *q = p->listeners[p->next]->http;

		p->next = (p->next + 1) % p->n;
		if (q && !evbuffer_get_length(output_of(q)))
			send_alive(p, q);
	}
}

void push_stream(struct push *p, struct evhttp_request *q, uint32_t router, struct version have)
{
	static const struct timeval patience = { .tv_sec = WRITE_PATIENCE };
	struct evhttp_connection *c = evhttp_request_get_connection(q);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(q);
	struct listener *l = listener_need(p, router);
	struct bufferevent *b;

	if (!c) { /* it has gone meanwhile */
		evhttp_send_reply_end(q);
		return;
	}
	end_stream(l);
	evhttp_add_header(headers, "Content-Type", "application/x-ndjson");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "Connection", "close");
	evhttp_send_reply_start(q, 200, "OK");
	b = evhttp_connection_get_bufferevent(c);
	bufferevent_set_timeouts(b, NULL, &patience);
	bufferevent_setwatermark(b, EV_READ, 0, TAKEN_IN);
	evhttp_connection_set_closecb(c, on_close, l);
	l->http = q;
	send_alive(p, q);
	if (publish_attach(p->publish, router, have, on_tables, l, clock_now()))
		end_stream(l); /* revoked meanwhile */
	run(p);
}

/* ---- what else routers ask and say ---------------------------------------------- */

struct line {
	char *text;
	size_t len;
};

static void on_line(void *arg, struct version version, uint8_t step, const uint8_t *bytes,
		    size_t len)
{
	struct line *line = arg;

	line->text = feed_tables(version, step, bytes, len, &line->len);
}

char *push_tables(struct push *p, uint32_t router, size_t *ret_len)
{
	struct line line = { 0 };

	publish_give(p->publish, router, on_line, &line);
	*ret_len = line.len;
	return line.text;
}

void push_confirm(struct push *p, uint32_t router, struct version version)
{
	publish_confirm(p->publish, router, version, clock_now());
	run(p);
}

static json_t *version_json(struct version v)
{
	char text[VERSION_TEXT];

	return mem_json(v.generation ? json_string(version_format(v, text)) : json_null());
}

json_t *push_status(const struct push *p, uint32_t router)
{
	struct publish_status s = { 0 };
	const char *state = "away";

	if (p->publish)
		publish_status(p->publish, router, &s);
	if (s.attached)
		state = s.late ? "late"
			: version_compare(s.runs, s.given) || publish_awaits(p->publish, router)
				? "changing"
				: "current";
	return mem_json(json_pack("{s:o,s:o,s:i,s:s}", "runs", version_json(s.runs), "given",
				  version_json(s.given), "step", s.step, "state", state));
}

/* ---- life ----------------------------------------------------------------------- */

static struct signer *signer_of(struct ca *ca)
{
	uint8_t key[SIGN_KEY];
	size_t len = sizeof(key);
	struct signer *s = NULL;

	if (EVP_PKEY_get_raw_private_key(ca_table_key(ca), key, &len) == 1 && len == SIGN_KEY)
		s = signer_new(key);
	OPENSSL_cleanse(key, sizeof(key));
	return s;
}

bool push_sign_with(struct push *p, struct ca *ca)
{
	struct signer *signer = signer_of(ca);

	if (!signer)
		return false;
	if (p->publish)
		publish_sign_with(p->publish, signer);
	signer_free(p->signer);
	p->signer = signer;
	return true;
}

struct push *push_new(struct event_base *base, struct service *service, struct ca *ca,
		      enum protection protection)
{
	static const struct timeval interval = { .tv_usec = ALIVE_TICK * 1000 };
	struct push *p = mem_new(1, sizeof(*p));

	p->base = base;
	p->service = service;
	p->registry = service_registry_observed(service);
	p->protection = protection;
	list_init(&p->flowing);
	p->signer = signer_of(ca);
	p->due = evtimer_new(base, on_due, p);
	p->alive = event_new(base, -1, EV_PERSIST, on_alive, p);
	if (p->signer && p->due && p->alive && !event_add(p->alive, &interval))
		return p;
	push_free(p);
	return NULL;
}

void push_free(struct push *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		free(p->listeners[i]);
	free(p->listeners);
	if (p->due)
		event_free(p->due);
	if (p->alive)
		event_free(p->alive);
	signer_free(p->signer);
	free(p->text);
	free(p);
}
