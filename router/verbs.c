/*
 * Requests of the control socket: a table of verbs, each with a function that
 * checks its keys and answers.
 *
 * A request is hostile until it is unpacked: bounded in length by the caller,
 * parsed by jansson (which bounds depth and refuses NUL and bad UTF-8), keys that
 * come twice or that the verb does not know refused. Nothing is changed before
 * all of it has been checked.
 */
#include "router/verbs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "router/interception.h"
#include "router/show.h"

struct request {
	struct router *router;
	const struct control_hooks *hooks;
	json_t *json;
	mono_t now;
	struct control_task *task;
};

json_t *control_ok(json_t *result)
{
	return json_pack("{s:b, s:o}", "ok", 1, "result", result);
}

/* The text without what is not ASCII, for one that JSON can't hold: it may quote what
 * came, cut in the middle of a character. */
static json_t *ascii(const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *c = text; *c; c++)
		if (*c & 0x80)
			*c = '?';
	return json_string(text);
}

json_t *control_error(const char *fmt, ...)
{
	va_list ap;
	json_t *text;

	va_start(ap, fmt);
	text = json_vsprintf(fmt, ap);
	va_end(ap);
	if (!text) {
		va_start(ap, fmt);
		text = ascii(fmt, ap);
		va_end(ap);
	}
	return json_pack("{s:b, s:o}", "ok", 0, "error", text);
}

static json_t *bad_keys(const json_error_t *e)
{
	return control_error("request refused: %s", e->text);
}

static json_t *verb_status(struct request *q)
{
	json_error_t e;
	const char *verb;

	if (json_unpack_ex(q->json, &e, 0, "{s:s !}", "verb", &verb))
		return bad_keys(&e);
	return control_ok(show_status(q->router, q->now));
}

static json_t *verb_show(struct request *q)
{
	struct router *r = q->router;
	const char *verb, *what;
	json_int_t offset = 0;
	json_error_t e;
	size_t from;

	if (json_unpack_ex(q->json, &e, 0, "{s:s, s:s, s?I !}", "verb", &verb, "what", &what,
			   "offset", &offset))
		return bad_keys(&e);
	if (offset < 0)
		return control_error("offset %lld is negative", (long long)offset);
	from = (size_t)offset;
	if (from > SIZE_MAX / 2)
		from = SIZE_MAX / 2;
	if (!strcmp(what, "peers"))
		return control_ok(show_peers(r, from, q->now));
	if (!strcmp(what, "links"))
		return control_ok(show_links(r, from, q->now));
	if (!strcmp(what, "lndt"))
		return control_ok(show_lndt(r, from, q->now));
	if (!strcmp(what, "gndt"))
		return control_ok(show_gndt(r, from, q->now));
	if (!strcmp(what, "counters"))
		return control_ok(show_counters(r, q->now));
	if (!strcmp(what, "config"))
		return control_ok(show_config(r, q->now));
	if (!strcmp(what, "authority") && !r->authority)
		return control_error("this router has no authority: there is no [authority] in %s",
				     r->config->file);
	if (!strcmp(what, "authority"))
		return control_ok(show_authority(r, q->now));
	return control_error("there is no \"%s\" to show; expected peers, lndt, gndt, links, "
			     "counters, config or authority",
			     what);
}

static json_t *verb_why(struct request *q)
{
	const char *verb, *from, *to;
	struct ip source, destination;
	json_error_t e;

	if (json_unpack_ex(q->json, &e, 0, "{s:s, s:s, s:s !}", "verb", &verb, "source", &from,
			   "destination", &to))
		return bad_keys(&e);
	if (ip_parse(from, &source) < 0)
		return control_error("source: \"%s\" is not an address", from);
	if (ip_parse(to, &destination) < 0)
		return control_error("destination: \"%s\" is not an address", to);
	if (source.family != destination.family)
		return control_error("source and destination are of different IP versions");
	return control_ok(show_why(q->router, &source, &destination, q->now));
}

/* Lines on errors, to be answered with. */
struct lines {
	FILE *errors;
	char *text;
	size_t len;
};

static bool lines_begin(struct lines *l)
{
	l->text = NULL;
	l->errors = open_memstream(&l->text, &l->len);
	return l->errors;
}

/* Without the last line's end; false: out of memory, nothing to be freed. */
static bool lines_end(struct lines *l)
{
	if (fclose(l->errors) != 0) {
		free(l->text);
		return false;
	}
	while (l->len > 0 && l->text[l->len - 1] == '\n')
		l->text[--l->len] = '\0';
	return true;
}

static json_t *verb_reload(struct request *q)
{
	struct lines lines;
	const char *verb;
	json_t *answer;
	json_error_t e;
	bool done;

	if (json_unpack_ex(q->json, &e, 0, "{s:s !}", "verb", &verb))
		return bad_keys(&e);
	if (!q->hooks || !q->hooks->reload)
		return control_error("this router has no file to read again");
	if (!lines_begin(&lines))
		return NULL;
	done = q->hooks->reload(q->hooks->arg, lines.errors);
	if (!lines_end(&lines))
		return NULL;
	if (done)
		answer = control_ok(json_pack("{s:o, s:s}", "table_version",
					      show_count(q->router->table_version), "messages",
					      lines.text));
	else
		answer = control_error("%s",
				       lines.len ? lines.text : "the configuration was refused");
	free(lines.text);
	return answer;
}

static json_t *set_intercept(struct request *q, const char *value)
{
	enum intercept_method method;
	const char *failed = NULL;
	int r;

	if (!intercept_method_parse(value, &method))
		return control_error("there is no method \"%s\" of interception here; expected %s, "
				     "%s or %s",
				     value, intercept_method_name(INTERCEPT_TUN),
				     intercept_method_name(INTERCEPT_NFQUEUE),
				     intercept_method_name(INTERCEPT_PACKET));
	r = interception_set(q->router, method, &failed);
	if (r < 0)
		return control_error("intercept stays %s: %s: %s",
				     intercept_method_name(q->router->intercept),
				     failed ? failed : value, strerror(-r));
	return control_ok(
		json_pack("{s:s}", "intercept", intercept_method_name(q->router->intercept)));
}

static json_t *set_workers(struct request *q, const char *value)
{
	struct router *r = q->router;
	unsigned before = r->n_workers;
	struct lines lines;
	json_t *answer;
	char *end;
	long n;
	bool ok;

	n = strtol(value, &end, 10);
	if (end == value || *end || n < 1 || n > WORKERS_MAX)
		return control_error("workers: can't be \"%s\"; expected a number from 1 to %d",
				     value, WORKERS_MAX);
	if (!lines_begin(&lines))
		return NULL;
	ok = router_set_workers(r, (unsigned)n, lines.errors);
	if (!lines_end(&lines))
		return NULL;
	if (ok)
		answer = control_ok(json_pack(
			"{s:i, s:i, s:f}", "workers", (int)r->n_workers, "before", (int)before,
			"pause_ms", r->n_workers == before ? 0.0 : (double)r->pause / MSEC));
	else
		answer = control_error("workers stay %u: %s", before, lines.text);
	free(lines.text);
	return answer;
}

static json_t *verb_set(struct request *q)
{
	const char *verb, *what, *value;
	json_error_t e;

	if (json_unpack_ex(q->json, &e, 0, "{s:s, s:s, s:s !}", "verb", &verb, "what", &what,
			   "value", &value))
		return bad_keys(&e);
	if (!strcmp(what, "intercept"))
		return set_intercept(q, value);
	if (!strcmp(what, "workers"))
		return set_workers(q, value);
	return control_error("there is no \"%s\" to set; expected intercept or workers", what);
}

static json_t *no_peer(const char *name)
{
	return control_error("there is no peer \"%s\"", name);
}

static json_t *verb_ping(struct request *q)
{
	json_int_t count = 5, size = 100, interval = 200;
	const char *verb, *peer;
	struct contact *c;
	json_error_t e;

	if (json_unpack_ex(q->json, &e, 0, "{s:s, s:s, s?I, s?I, s?I !}", "verb", &verb, "peer",
			   &peer, "count", &count, "size", &size, "interval_ms", &interval))
		return bad_keys(&e);
	c = router_contact(q->router, peer);
	if (!c)
		return no_peer(peer);
	if (count < 1 || count > PINGS_COUNT_MAX)
		return control_error("count: expected 1 to %d", PINGS_COUNT_MAX);
	if (size < PINGS_SIZE_MIN || size > FRAME_MAX)
		return control_error("size: expected %d to %d bytes, header and MAC included",
				     PINGS_SIZE_MIN, FRAME_MAX);
	if (interval < PINGS_INTERVAL_MIN / MSEC || interval > 3600 * 1000)
		return control_error("interval_ms: expected %d to %d",
				     (int)(PINGS_INTERVAL_MIN / MSEC), 3600 * 1000);
	*q->task = (struct control_task){ .kind = TASK_PINGS,
					  .pings = { .peer = c->peer->id,
						     .count = (unsigned)count,
						     .size = (size_t)size,
						     .interval = interval * MSEC } };
	return NULL;
}

static json_t *verb_trace(struct request *q)
{
	const char *verb, *peer;
	struct contact *c;
	json_error_t e;

	if (json_unpack_ex(q->json, &e, 0, "{s:s, s:s !}", "verb", &verb, "peer", &peer))
		return bad_keys(&e);
	c = router_contact(q->router, peer);
	if (!c)
		return no_peer(peer);
	*q->task = (struct control_task){ .kind = TASK_PINGS,
					  .pings = { .peer = c->peer->id,
						     .count = 2,
						     .interval = PINGS_INTERVAL_MIN,
						     .trace = true } };
	return NULL;
}

static json_t *verb_netcheck(struct request *q)
{
	const char *verb;
	json_error_t e;

	if (json_unpack_ex(q->json, &e, 0, "{s:s !}", "verb", &verb))
		return bad_keys(&e);
	q->task->kind = TASK_NETCHECK;
	return NULL;
}

static const struct verb {
	const char *name;
	json_t *(*fn)(struct request *);
} verbs[] = {
	{ "status", verb_status }, { "show", verb_show },	  { "why", verb_why },
	{ "reload", verb_reload }, { "set", verb_set },		  { "ping", verb_ping },
	{ "trace", verb_trace },   { "netcheck", verb_netcheck },
};

json_t *control_answer(struct router *r, const struct control_hooks *hooks, const char *line,
		       size_t len, mono_t now, struct control_task *ret_task)
{
	struct request q = { .router = r, .hooks = hooks, .now = now, .task = ret_task };
	json_t *answer = NULL;
	json_error_t e;
	const char *name;

	ret_task->kind = TASK_NONE;
	if (len > CONTROL_LINE)
		return control_error("request longer than %d bytes", CONTROL_LINE);
	q.json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
	if (!q.json)
		return control_error("not a JSON object: %s", e.text);
	name = json_string_value(json_object_get(q.json, "verb"));
	if (!name) {
		answer = control_error("expected an object with a \"verb\"");
		goto out;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (!strcmp(verbs[i].name, name)) {
			answer = verbs[i].fn(&q);
			goto out;
		}
	answer = control_error("unknown verb \"%s\"", name);
out:
	json_decref(q.json);
	return answer;
}
