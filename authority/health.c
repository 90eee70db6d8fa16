/*
 * The glue between the loop and what is pure (monitor, check, alerts): it reads the clocks.
 * Backups have a thread of their own, since they wait for the disk for long, and changes
 * shall not wait for them.
 */
#include "authority/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/event.h>

#include "authority/backup.h"
#include "authority/control.h"
#include "authority/memory.h"
#include "authority/metrics.h"
#include "authority/retention.h"
#include "authority/steer.h"
#include "common/log.h"

enum {
	LINES = 20,    /* alerts in the log of one tick */
	STEERING = 32, /* decisions under way */
};

struct health {
	struct service *service;
	const struct settings *settings;
	struct event *tick;
	struct monitor *monitor; /* NULL: another process has the routers */
	health_publish_fn *publish;
	void *arg;
	struct steer *steer;
	struct list steering; /* decisions under way */
	size_t n_steering;
	struct alerts alerts;
	struct webhook *webhook; /* NULL: none */
	struct retention *retention;
	struct metrics *metrics; /* NULL: none */
	struct control *control; /* NULL: none */
	struct worker *worker;	 /* makes backups */
	uint64_t started, backup;
	int64_t ca_end, server_end;
	size_t told; /* alerts of this tick */
};

static uint64_t now_ms(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

static const struct publish *published(const struct health *h)
{
	return h->monitor && h->publish ? h->publish(h->arg) : NULL;
}

/* ---- alerts -------------------------------------------------------------------- */

static void on_alert(void *arg, const struct finding *f, bool raised)
{
	struct health *h = arg;

	bool logged = f->kind == FINDING_ROUTER_LATE || f->kind == FINDING_ROUTER_AHEAD;

	/* Publishing says those itself (push.c). */
	if (!logged && h->told++ < LINES) {
		if (!raised)
			log_info("no longer: %s", f->text);
		else if (f->severity == SEVERITY_CRITICAL)
			log_error("%s", f->text);
		else
			log_warn("%s", f->text);
	}
	if (h->webhook)
		webhook_add(h->webhook, alert_json(f, raised));
}

static void look(struct health *h)
{
	const struct settings *s = h->settings;
	struct findings found;
	const struct check c = { .registry = service_registry(h->service),
				 .monitor = h->monitor,
				 .publish = published(h),
				 .ca_end = h->ca_end,
				 .server_end = h->server_end,
				 .warn = s->warn / SEC,
				 .users = s->users / SEC,
				 .routers = s->routers / SEC,
				 .server = s->server / SEC,
				 .webhook_fails = webhook_fails(h->webhook),
				 .now = now_ms(),
				 .clock = clock_now() };

	if (h->monitor)
		monitor_tick(h->monitor, c.registry, c.clock);
	check_run(&c, &found);
	h->told = 0;
	alerts_update(&h->alerts, &found, on_alert, h);
	if (h->told > LINES)
		log_warn("... and %zu alerts more", h->told - LINES);
}

/* ---- steering ------------------------------------------------------------------ */

struct steering {
	struct ask ask;
	struct health *health;
	struct list node;
	json_t *arguments;
};

static void steering_free(struct steering *s)
{
	list_remove(&s->node);
	s->health->n_steering--;
	json_decref(s->arguments);
	free(s);
}

static void steered(struct ask *a, const struct outcome *o)
{
	struct steering *s = container_of(a, struct steering, ask);
	char *what = json_dumps(s->arguments, JSON_COMPACT);

	if (o->status == 200)
		log_info("tables: %s", what ? what : "?");
	else
		log_warn("tables can't be steered: %s", o->detail);
	free(what);
	steering_free(s);
}

/* As any change: by the service, durable, with an audit record. */
static void on_decision(void *arg, json_t *arguments)
{
	struct health *h = arg;
	struct steering *s;

	if (h->n_steering == STEERING) {
		json_decref(arguments);
		return;
	}
	s = mem_new(1, sizeof(*s));
	s->health = h;
	s->arguments = arguments;
	s->ask.done = steered;
	s->ask.request = (struct request){ .caller = { .kind = CALLER_AUTHORITY },
					   .operation = "steer",
					   .arguments = arguments };
	list_insert(&h->steering, &s->node);
	h->n_steering++;
	service_ask(h->service, &s->ask);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct health *h = arg;

	(void)fd, (void)events;
	look(h);
	/* One lot after the other, so that nothing is decided on what is about to change. */
	if (h->monitor && !h->n_steering)
		steer_run(h->steer, service_registry(h->service), h->monitor, clock_now(),
			  on_decision, h);
	retention_tick(h->retention, now_ms(), clock_now());
}

/* ---- the control socket -------------------------------------------------------- */

struct copying {
	struct work work;
	struct health *health;
	struct store *store;
	struct control_call *call;
	int fd, result;
	struct backup backup;
	char error[BACKUP_ERROR];
};

static void run_backup(struct work *w)
{
	struct copying *c = container_of(w, struct copying, work);
	const struct settings *s = c->health->settings;

	c->result = backup_write(c->store, s->directory, s->file, c->fd, now_ms(), &c->backup,
				 c->error);
}

static json_t *refusal(const char *text)
{
	return mem_json(json_pack("{s:s}", "error", text));
}

static void copied(struct work *w)
{
	struct copying *c = container_of(w, struct copying, work);

	if (c->result) {
		log_warn("a backup was asked for and failed: %s", c->error);
		control_answer(c->call, refusal(c->error));
	} else {
		log_info("a backup was made: %zu records, revision %llu", c->backup.entries,
			 (unsigned long long)c->backup.revision);
		c->health->backup = c->backup.made;
		control_answer(c->call,
			       mem_json(json_pack("{s:I,s:I}", "entries",
						  (json_int_t)c->backup.entries, "revision",
						  (json_int_t)c->backup.revision)));
	}
	close(c->fd);
	free(c);
}

static void on_control(void *arg, struct control_call *call, const char *word, int fd)
{
	struct health *h = arg;
	struct copying *c;

	if (!strcmp(word, "backup") && fd >= 0) {
		c = mem_new(1, sizeof(*c));
		c->health = h;
		c->store = service_store(h->service);
		c->call = call;
		c->fd = fd;
		c->work = (struct work){ .run = run_backup, .done = copied };
		list_init(&c->work.node);
		worker_post(h->worker, &c->work);
		return;
	}
	if (fd >= 0)
		close(fd);
	control_answer(call, !strcmp(word, "check") ? check_json(&h->alerts.found, NULL, NULL)
						    : refusal("there is no such word"));
}

static void open_control(struct health *h, struct event_base *base)
{
	const struct settings *s = h->settings;
	char error[CONTROL_ERROR];
	char *path =
		s->control ? mem_text(s->control) : mem_format("%s/" CONTROL_FILE, s->directory);

	h->control = control_open(base, path, on_control, h, error);
	if (!h->control)
		log_warn("no control socket, so that backup and check can't ask this process: %s",
			 error);
	free(path);
}

/* ---- figures ------------------------------------------------------------------- */

static void on_metrics(void *arg, FILE *out)
{
	struct health *h = arg;
	const struct figures f = { .registry = service_registry(h->service),
				   .monitor = h->monitor,
				   .publish = published(h),
				   .alerts = &h->alerts,
				   .webhook = webhook_figures(h->webhook),
				   .started = h->started,
				   .revision = service_revision(h->service),
				   .audit_removed = retention_removed(h->retention),
				   .backup = h->backup,
				   .ca_end = h->ca_end,
				   .server_end = h->server_end };

	metrics_write(&f, out);
}

struct view {
	const struct health *health;
	bool all;
	health_may_fn *may;
	const void *arg;
};

static bool shown(const void *arg, const struct finding *f)
{
	const struct view *v = arg;
	const struct router *r;

	if (v->all)
		return true;
	if (f->kind > FINDING_ROUTER_CERTIFICATE)
		return false;
	r = registry_router(service_registry(v->health->service), f->subject);
	return r && v->may(v->arg, r);
}

json_t *health_check(const struct health *h, bool all, health_may_fn *may, const void *arg)
{
	const struct view view = { h, all, may, arg };

	return check_json(&h->alerts.found, shown, &view);
}

static int compare_names(const void *a, const void *b)
{
	const struct router *x = *(struct router *const *)a, *y = *(struct router *const *)b;

	return strcmp(x->object.name, y->object.name);
}

json_t *health_router(const struct health *h, const struct router *r)
{
	return monitor_json(h->monitor, r, clock_now(), now_ms());
}

json_t *health_tiny(const struct health *h, const struct tiny *t)
{
	return monitor_tiny_json(h->monitor, service_registry(h->service), t->record.id,
				 clock_now(), now_ms());
}

json_t *health_figures(const struct health *h, const char *name, bool links, health_may_fn *may,
		       const void *arg)
{
	const struct registry *registry = service_registry(h->service);
	const struct router **routers =
		mem_new(registry_count(registry, RECORD_ROUTER), sizeof(*routers));
	const struct router *r;
	json_t *list = mem_json(json_array()), *all = mem_json(json_array());
	const uint64_t ms = now_ms();
	const mono_t clock = clock_now();
	size_t n = 0, place = 0;

	while ((r = registry_each(registry, RECORD_ROUTER, &place)))
		if (!r->record.revoked && (!name || !strcmp(name, r->object.name)) && may(arg, r))
			routers[n++] = r;
	if (n)
		qsort(routers, n, sizeof(*routers), compare_names);
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(list, monitor_json(h->monitor, routers[i], clock, ms));
		if (links)
			monitor_add_links(h->monitor, registry, routers[i], all);
	}
	free(routers);
	return mem_json(
		json_pack("{s:I,s:o,s:o}", "time", (json_int_t)ms, "routers", list, "links", all));
}

/* ---- life ---------------------------------------------------------------------- */

void health_begin(struct health *h)
{
	health_end(h);
	h->monitor = monitor_new(h->settings->silence);
	h->steer = steer_new(h->settings->silence, h->settings->disable);
}

void health_end(struct health *h)
{
	monitor_free(h->monitor);
	steer_free(h->steer);
	h->monitor = NULL;
	h->steer = NULL;
}

struct monitor *health_monitor(struct health *h)
{
	return h->monitor;
}

void health_certificates(struct health *h, int64_t ca, int64_t server)
{
	h->ca_end = ca;
	h->server_end = server;
}

bool health_idle(const struct health *h)
{
	return control_idle(h->control);
}

struct health *health_new(struct event_base *base, struct service *service,
			  const struct settings *s, health_publish_fn *publish, void *arg)
{
	static const struct timeval second = { .tv_sec = 1 };
	struct health *h = mem_new(1, sizeof(*h));
	char text[ENDPOINT_TEXT];

	*h = (struct health){ .service = service,
			      .settings = s,
			      .publish = publish,
			      .arg = arg,
			      .started = now_ms() };
	list_init(&h->steering);
	h->retention = retention_new(service, (uint64_t)(s->audit / MSEC));
	h->worker = worker_new(base);
	h->tick = event_new(base, -1, EV_PERSIST, on_tick, h);
	if (s->webhook)
		h->webhook = webhook_new(base, s->webhook, s->names[0]);
	if (s->metrics.port)
		h->metrics = metrics_open(base, &s->metrics, on_metrics, h);
	if (s->metrics.port && !h->metrics)
		log_error("[server] metrics %s: %s", endpoint_format(&s->metrics, text),
			  strerror(errno));
	else if (!h->worker || !h->tick || event_add(h->tick, &second) ||
		 (s->webhook && !h->webhook))
		log_error("no thread, or out of memory");
	else {
		open_control(h, base);
		return h;
	}
	health_free(h);
	return NULL;
}

void health_free(struct health *h)
{
	if (!h)
		return;
	metrics_close(h->metrics);
	worker_free(h->worker);
	control_close(h->control);
	webhook_free(h->webhook);
	if (h->tick)
		event_free(h->tick);
	while (!list_is_empty(&h->steering))
		steering_free(container_of(h->steering.next, struct steering, node));
	retention_free(h->retention);
	health_end(h);
	alerts_done(&h->alerts);
	free(h);
}
