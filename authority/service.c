/*
 * An ask goes: (vn-log, vn-undo: the log's last change is read) -> turn -> decided ->
 * committed -> applied -> answered. Asks that change nothing but the audit log need no
 * turn, and any number of their records go into one transaction.
 *
 * Where other processes serve the store as well, these are answered when the registry has come
 * to that transaction, and so to all that anybody was told before they were asked: what has
 * changed since they were decided is reason to decide them again.
 *
 * Strangers (no certificate that is believed) could fill the audit log with refusals: only
 * so many a second are written.
 */
#include "authority/service_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <event2/event.h>
#include <openssl/rand.h>

#include "authority/memory.h"
#include "authority/schema.h"
#include "common/log.h"

enum {
	STRANGERS = 20,	  /* of their refusals are written in a second */
	PATIENCE = 10000, /* ms that an ask may take */
};

static void decide(struct ask *);
static void decide_anew(struct ask *);

static int64_t monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the end of an ask --------------------------------------------------------- */

static void serve_next(struct service *s)
{
	/* Deciding ends here again: the stack is not to be as deep as the queue. */
	if (s->serving)
		return;
	s->serving = true;
	while (!s->busy && !list_is_empty(&s->turn)) {
		struct ask *a = container_of(s->turn.next, struct ask, node);

		list_remove(&a->node);
		decide(a);
	}
	s->serving = false;
}

static void finish(struct ask *a)
{
	struct service *s = a->service;

	list_remove(&a->node);
	if (s->busy == a)
		s->busy = NULL;
	s->n--;
	json_decref(a->change);
	json_decref(a->record);
	{
		/* The ask may be gone after this. */
		struct outcome outcome = a->outcome;

		a->done(a, &outcome);
		outcome_done(&outcome);
	}
	serve_next(s);
}

static void fail(struct ask *a, const char *what)
{
	outcome_done(&a->outcome);
	a->outcome.status = 503;
	a->outcome.title = "Service Unavailable";
	snprintf(a->outcome.detail, sizeof(a->outcome.detail), "%s", what);
	finish(a);
}

/* ---- deciding: in the loop ----------------------------------------------------- */

/* ... the registry is at the ask's revision. */
static void wait_until(struct ask *a, int state)
{
	a->state = state;
	list_insert(&a->service->waiting, &a->node);
}

static void retry(struct ask *a)
{
	struct service *s = a->service;

	outcome_done(&a->outcome);
	if (s->applied > a->decided) {
		decide(a);
		return;
	}
	/* Whoever was faster: what it did is on its way. */
	a->revision = s->applied + 1;
	wait_until(a, ASK_WAITS_RETRY);
}

/* The registry knows all that was before its audit record. If that has changed it, what was
 * decided counts only if it would be again. */
static void look_again(struct ask *a)
{
	struct service *s = a->service;

	a->state = ASK_RUNS;
	if (s->records_at <= a->decided) {
		finish(a);
	} else if (monotonic_ms() - a->since >= PATIENCE) {
		fail(a, "others were faster, again and again: nothing was done, try again");
	} else {
		a->audited = a->revision;
		json_decref(a->record);
		a->record = json_incref(service_audit_of(a)->value);
		outcome_done(&a->outcome);
		decide_anew(a);
	}
}

/* Whether another process may have done something before this was asked that the registry
 * didn't know of. A router's stream tells it all that comes, so it needn't be known before. */
static bool may_be_past(const struct ask *a)
{
	return store_is_shared(a->service->store) &&
	       (a->outcome.status != 200 || strcmp(a->request.operation, "get-tables"));
}

static void audited(struct ask *a)
{
	if (!may_be_past(a))
		finish(a);
	else if (a->revision > a->service->applied)
		wait_until(a, ASK_WAITS_PRESENT);
	else
		look_again(a);
}

static void committed(struct work *w)
{
	struct ask *a = container_of(w, struct ask, work);
	struct service *s = a->service;
	char text[STORE_ERROR + 80];

	a->state = ASK_RUNS;
	if (a->result == -EAGAIN && monotonic_ms() - a->since < PATIENCE) {
		retry(a);
	} else if (a->result == -ECANCELED || a->result == -EAGAIN) {
		fail(a, "the store could not do it in time: nothing was done, try again");
	} else if (a->result) {
		snprintf(text, sizeof(text), "%s: %.200s",
			 service_is_unknown(a->result)
				 ? "it is unknown whether this was done"
				 : "the store does not take it, nothing was done",
			 a->error);
		fail(a, text);
	} else if (s->busy != a) {
		audited(a);
	} else if (a->revision <= s->applied) {
		finish(a);
	} else {
		wait_until(a, ASK_WAITS_ANSWER);
	}
}

/* Nobody who is known: with nothing, not even a token to be let in by; or who would renew a
 * certificate, which anybody may ask for in any name, and hasn't that one's key. */
static bool is_stranger(const struct service *s, const struct request *q)
{
	const struct caller *c = &q->caller;
	const struct router *router;
	const struct user *user;
	const char *key;

	if (c->kind == CALLER_NOBODY)
		return !q->token || !registry_token(s->registry, q->token);
	if (strcmp(q->operation, "renew") || !c->key)
		return false;
	user = c->kind == CALLER_USER ? registry_user(s->registry, c->name) : NULL;
	router = c->kind == CALLER_ROUTER ? registry_router(s->registry, c->name) : NULL;
	key = user ? user->record.key : router ? router->record.key : NULL;
	return !key || strcmp(key, c->key);
}

/* Those whose outcome is never more than an audit record: strangers' as well. */
static bool only_reads(const struct service *s, const struct request *q)
{
	static const char *const names[] = { "audit",	    "vn-log", "get-tables",
					     "get-metrics", "check",  NULL };

	for (int i = 0; names[i]; i++)
		if (!strcmp(q->operation, names[i]))
			return true;
	return is_stranger(s, q) || q->dry_run || !strncmp(q->operation, "list-", 5);
}

/* Whether a stranger's refusal is one too many to be written. */
static bool too_many(struct service *s, const struct ask *a)
{
	if (a->outcome.status == 200 ||
	    (a->request.caller.kind != CALLER_NOBODY && !is_stranger(s, &a->request)))
		return false;
	if (s->strangers < STRANGERS) {
		s->strangers++;
		return false;
	}
	if (!s->telling)
		log_warn("more than %d requests without a certificate refused in a second: no "
			 "audit records of the rest",
			 STRANGERS);
	s->telling = true;
	return true;
}

static void decide(struct ask *a)
{
	struct service *s = a->service;

	if (s->busy && s->busy != a && !only_reads(s, &a->request)) {
		a->state = ASK_WAITS_TURN;
		list_insert(&s->turn, &a->node);
		return;
	}
	a->state = ASK_RUNS;
	a->decided = s->applied;
	operate(s->registry, &a->request, &a->outcome);
	if (a->outcome.n == 1 && s->busy == a)
		s->busy = NULL; /* decided again, and refused now */
	if (a->audited && a->outcome.n == 1 && json_equal(service_audit_of(a)->value, a->record)) {
		finish(a);
		return;
	}
	if (too_many(s, a)) {
		finish(a);
		return;
	}
	a->work = (struct work){ .done = committed };
	list_init(&a->work.node);
	if (a->outcome.n == 1) {
		a->work.run = service_run_audit;
		a->work.kind = service_audit_kind;
	} else {
		a->work.run = service_run_commit;
		s->busy = a;
	}
	worker_post(s->worker, &a->work);
	serve_next(s);
}

/* ---- the log of a VN ----------------------------------------------------------- */

static void run_read(struct work *w)
{
	struct ask *a = container_of(w, struct ask, work);
	struct store *store = a->service->store;
	char prefix[64], last[STORE_KEY_MAX + 1] = "";
	struct store_range range = { .prefix = prefix, .limit = STORE_PAGE_MAX };
	struct store_page page;
	bool more = true;

	snprintf(prefix, sizeof(prefix), "log/%u/", (unsigned)a->revision);
	while (more && !(a->result = store_list(store, &range, &page))) {
		if (page.n) {
			snprintf(last, sizeof(last), "%s", page.entries[page.n - 1].key);
			range.after = last;
		}
		range.revision = page.revision;
		more = page.more;
		store_page_done(&page);
	}
	snprintf(a->change_key, sizeof(a->change_key), "change/%.50s",
		 *last ? last + strlen(prefix) : "");
	if (!a->result && *last) {
		a->result = store_get(store, a->change_key, &page);
		if (!a->result) {
			a->change = page.n ? json_loadb(page.entries[0].value, page.entries[0].size,
							0, NULL)
					   : NULL;
			store_page_done(&page);
		}
	}
	if (a->result)
		store_error(store, a->error);
}

static void was_read(struct work *w)
{
	struct ask *a = container_of(w, struct ask, work);

	if (a->result) {
		fail(a, a->error);
		return;
	}
	a->request.change = a->change;
	a->request.change_id = a->change ? a->change_key + strlen("change/") : NULL;
	decide(a);
}

/* The store is not read for somebody who will be refused. */
static bool needs_log(struct ask *a)
{
	const struct request *q = &a->request;
	const struct user *user = q->caller.kind == CALLER_USER && q->caller.name
					  ? registry_user(a->service->registry, q->caller.name)
					  : NULL;
	const json_t *vn = json_object_get(q->arguments, "vn");
	const struct vn *there =
		json_is_string(vn) ? registry_vn_named(a->service->registry, json_string_value(vn))
				   : NULL;

	if (strcmp(q->operation, "vn-undo") && strcmp(q->operation, "vn-log"))
		return false;
	if (!user || user->record.revoked ||
	    !role_may(operation_named(q->operation), user->record.roles))
		return false;
	a->revision = there ? there->id : (uint32_t)json_integer_value(vn);
	return true;
}

static void begin(struct ask *a)
{
	if (!needs_log(a)) {
		decide(a);
		return;
	}
	a->work = (struct work){ .run = run_read, .done = was_read };
	list_init(&a->work.node);
	worker_post(a->service->worker, &a->work);
}

static void decide_anew(struct ask *a)
{
	json_decref(a->change);
	a->change = NULL;
	a->request.change = NULL;
	if (a->again)
		a->again(a);
	begin(a);
}

static uint64_t now_ms(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

bool service_allows(struct service *s, const struct request *q)
{
	struct request asked = *q;
	struct outcome o;
	bool allowed;

	asked.now = now_ms();
	asked.id = "-";
	operate(s->registry, &asked, &o);
	allowed = o.status == 200;
	outcome_done(&o);
	return allowed;
}

void service_ask(struct service *s, struct ask *a)
{
	a->service = s;
	a->outcome = (struct outcome){ 0 };
	a->change = a->record = NULL;
	a->audited = 0;
	a->since = monotonic_ms();
	a->request.now = now_ms();
	snprintf(a->id, sizeof(a->id), "%.12s-%llu", s->prefix, (unsigned long long)++s->counter);
	a->request.id = a->id;
	list_init(&a->node);
	s->n++;
	begin(a);
}

/* ---- keeping in step ----------------------------------------------------------- */

static void wake(struct service *s)
{
	list_for_each(node, &s->waiting) {
		struct ask *a = container_of(node, struct ask, node);

		if (a->revision > s->applied)
			continue;
		list_remove(&a->node);
		if (a->state == ASK_WAITS_RETRY)
			decide(a);
		else if (a->state == ASK_WAITS_PRESENT)
			look_again(a);
		else
			finish(a);
	}
}

static void follow(evutil_socket_t fd, short events, void *arg)
{
	struct service *s = arg;
	char error[STORE_ERROR];

	(void)fd, (void)events;
	if (!service_follow(s, error)) {
		service_lose(s, error);
		return;
	}
	if (s->changed && s->hooks.applied)
		s->hooks.applied(s->hooks.arg);
	s->changed = false;
	wake(s);
}

static struct ask *impatient(const struct service *s, int64_t now)
{
	list_for_each(node, &s->waiting) {
		struct ask *a = container_of(node, struct ask, node);

		if (now - a->since >= PATIENCE)
			return a;
	}
	return NULL;
}

/* What is committed is done, even if the watch is late; what has to wait for the watch to
 * be decided, or known, can't be. */
static void each_second(evutil_socket_t fd, short events, void *arg)
{
	struct service *s = arg;
	int64_t now = monotonic_ms();
	struct ask *late;

	(void)fd, (void)events;
	s->strangers = 0;
	s->telling = false;
	while (!list_is_empty(&s->turn)) {
		struct ask *a = container_of(s->turn.next, struct ask, node);

		if (now - a->since < PATIENCE)
			break;
		fail(a, "too many were before this: nothing was done, try again");
	}
	while ((late = impatient(s, now))) {
		if (late->state == ASK_WAITS_ANSWER)
			finish(late);
		else if (late->state == ASK_WAITS_PRESENT)
			fail(late, "this process does not hear in time what others have done: "
				   "nothing was done, try again");
		else
			fail(late, "others were faster, again and again: nothing was done, try "
				   "again");
	}
}

struct service *service_open(struct event_base *base, struct store *store,
			     const struct service_hooks *hooks, char error[static STORE_ERROR])
{
	struct service *s = mem_new(1, sizeof(*s));
	static const struct timeval second = { .tv_sec = 1 };
	unsigned char random[8];

	s->store = store;
	s->hooks = *hooks;
	list_init(&s->turn);
	list_init(&s->waiting);
	snprintf(error, STORE_ERROR, "no thread, or no randomness");
	s->worker = worker_new(base);
	if (!s->worker || RAND_bytes(random, sizeof(random)) != 1)
		goto failed;
	for (int i = 0; i < 8; i++)
		snprintf(s->prefix + 2 * i, 3, "%02x", random[i]);
	if (schema_open(store, error) || !service_load(s, error))
		goto failed;
	s->readable = event_new(base, store_watch_fd(s->watch), EV_READ | EV_PERSIST, follow, s);
	s->tick = event_new(base, -1, EV_PERSIST, each_second, s);
	if (s->readable && s->tick && !event_add(s->readable, NULL) && !event_add(s->tick, &second))
		return s;
	snprintf(error, STORE_ERROR, "out of memory");
failed:
	service_close(s);
	return NULL;
}

void service_close(struct service *s)
{
	if (!s)
		return;
	if (s->readable)
		event_free(s->readable);
	if (s->tick)
		event_free(s->tick);
	worker_free(s->worker);
	if (s->watch)
		store_watch_close(s->watch);
	registry_free(s->registry);
	journal_free(s->journal);
	published_done(&s->published);
	free(s);
}

bool service_idle(const struct service *s)
{
	return !s->n && worker_idle(s->worker);
}

uint64_t service_revision(const struct service *s)
{
	return s->applied;
}

const char *service_publisher(const struct service *s)
{
	return s->publisher;
}

uint64_t service_term(const struct service *s)
{
	return s->term;
}

uint64_t service_beat(const struct service *s)
{
	return s->beat;
}

mono_t service_heard(const struct service *s)
{
	return s->heard;
}

const struct published *service_published(const struct service *s, uint64_t *ret_revision)
{
	*ret_revision = s->published_at;
	return s->published.revision ? &s->published : NULL;
}

struct journal *service_journal(struct service *s)
{
	return s->journal;
}

void service_lose(struct service *s, const char *why)
{
	if (s->readable)
		event_del(s->readable);
	s->hooks.lost(s->hooks.arg, why);
}

const struct registry *service_registry(const struct service *s)
{
	return s->registry;
}

struct registry *service_registry_observed(struct service *s)
{
	return s->registry;
}

struct store *service_store(const struct service *s)
{
	return s->store;
}

struct worker *service_worker(const struct service *s)
{
	return s->worker;
}
