/*
 * One pass over routers and users. That a disabled router is silent is worth a warning, not
 * more. A user's certificate is renewed when the user comes back, with the same key, even
 * after its end: so it is told before that, and not afterwards.
 */
#include "authority/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

#define DAY (24 * 3600)
enum { CA_WARN = 365, CA_CRITICAL = 30 }; /* days */

const char *const severity_names[] = { "warning", "critical", NULL };
const char *const finding_names[FINDINGS + 1] = {
#define X(id, name) [FINDING_##id] = name,
	FINDING_LIST(X)
#undef X
};

static void __attribute__((format(printf, 5, 6)))
add(struct findings *l, enum finding_kind kind, enum severity severity, const char *subject,
    const char *format, ...)
{
	struct finding *f;
	va_list args;

	l->at = mem_more(l->at, l->n, &l->room, sizeof(*l->at));
	f = &l->at[l->n++];
	*f = (struct finding){ .kind = kind, .severity = severity };
	snprintf(f->subject, sizeof(f->subject), "%s", subject);
	va_start(args, format);
	if (vasprintf(&f->text, format, args) < 0)
		abort();
	va_end(args);
}

void findings_done(struct findings *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i].text);
	free(l->at);
	*l = (struct findings){ 0 };
}

int finding_compare(const struct finding *a, const struct finding *b)
{
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->subject, b->subject);
}

static int compare(const void *a, const void *b)
{
	return finding_compare(a, b);
}

/* ---- looking ------------------------------------------------------------------- */

/* "3 days", "5 hours", "40 seconds" */
static char *span(int64_t seconds, char buf[static 32])
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = { { DAY, "days" }, { 3600, "hours" }, { 60, "minutes" }, { 1, "seconds" } };
	size_t i = 0;

	seconds = seconds < 0 ? -seconds : seconds;
	while (i < 3 && seconds < 2 * units[i].seconds)
		i++;
	snprintf(buf, 32, "%lld %s", (long long)(seconds / units[i].seconds), units[i].name);
	return buf;
}

/* Whether to tell of an end: seconds since 1970, of something that is good for `life`. */
static bool near(const struct check *c, int64_t end, int64_t life, int64_t *ret_left)
{
	int64_t most = life / 4 < c->warn ? life / 4 : c->warn;

	*ret_left = end - (int64_t)(c->now / 1000);
	return end && *ret_left < most;
}

static void look_at_router(const struct check *c, const struct router *r, struct findings *l)
{
	const struct monitor_router *m = monitor_get(c->monitor, r->record.id);
	const char *name = r->object.name;
	struct publish_status status;
	char text[32];
	int64_t left;

	if (m && m->state == MONITOR_SILENT)
		add(l, FINDING_ROUTER_SILENT,
		    r->record.disabled ? SEVERITY_WARNING : SEVERITY_CRITICAL, name,
		    mono_is_set(m->seen) ? "router '%s' has been silent for %s%s"
					 : "router '%s' has not been heard for %s%s",
		    name,
		    span(mono_since(c->clock, mono_is_set(m->seen) ? m->seen : m->since) / SEC,
			 text),
		    r->record.disabled ? "; it is disabled" : "");
	if (c->publish && publish_status(c->publish, r->record.id, &status)) {
		if (status.late && (!m || m->state != MONITOR_SILENT))
			add(l, FINDING_ROUTER_LATE, SEVERITY_WARNING, name,
			    "router '%s' has not confirmed its tables in time", name);
		if (version_compare(status.runs, status.given) > 0)
			add(l, FINDING_ROUTER_AHEAD, SEVERITY_CRITICAL, name,
			    "router '%s' runs tables that this authority has never made: was its "
			    "store restored? (vine-authority restored)",
			    name);
	}
	if (m && m->refuses)
		add(l, FINDING_ROUTER_REFUSES, SEVERITY_CRITICAL, name,
		    "router '%s' refuses its tables: %s", name, m->why);
	if (m && near(c, m->certificate, c->routers, &left))
		add(l, FINDING_ROUTER_CERTIFICATE, left > 0 ? SEVERITY_WARNING : SEVERITY_CRITICAL,
		    name,
		    left > 0 ? "the certificate of router '%s' ends in %s: does it renew?"
			     : "the certificate of router '%s' ended %s ago",
		    name, span(left, text));
}

static void look_at_ends(const struct check *c, struct findings *l)
{
	const struct user *u;
	size_t place = 0;
	char text[32];
	int64_t left;

	while ((u = registry_each(c->registry, RECORD_USER, &place)))
		if (!u->record.revoked && u->record.expires &&
		    near(c, (int64_t)(u->record.expires / 1000), c->users, &left) && left > 0)
			add(l, FINDING_USER_CERTIFICATE, SEVERITY_WARNING, u->object.name,
			    "the certificate of user '%s' ends in %s: vinectl renews it",
			    u->object.name, span(left, text));
	/* It is made anew after a third of its life. */
	left = c->server_end - (int64_t)(c->now / 1000);
	if (c->server_end && left < c->server / 3)
		add(l, FINDING_SERVER_CERTIFICATE,
		    left > c->server / 10 ? SEVERITY_WARNING : SEVERITY_CRITICAL, "",
		    left > 0 ? "the server's certificate ends in %s and can't be made anew"
			     : "the server's certificate ended %s ago",
		    span(left, text));
	left = c->ca_end - (int64_t)(c->now / 1000);
	if (c->ca_end && left < (int64_t)CA_WARN * DAY)
		add(l, FINDING_CA,
		    left > (int64_t)CA_CRITICAL * DAY ? SEVERITY_WARNING : SEVERITY_CRITICAL, "",
		    left > 0 ? "the CA ends in %s: replace it (vine-authority ca next)"
			     : "the CA ended %s ago: replace it (vine-authority ca next)",
		    span(left, text));
}

static void look_at_tinies(const struct check *c, struct findings *l)
{
	const struct tiny *tiny;
	size_t place = 0;

	while ((tiny = registry_each(c->registry, RECORD_TINY, &place))) {
		const struct monitor_tiny *m = monitor_tiny(c->monitor, tiny->record.id);

		if (m && monitor_tiny_suspected(m, c->clock))
			add(l, FINDING_TINY_STOLEN, SEVERITY_CRITICAL, tiny->object.name,
			    "two seem to have the key of tiny '%s' (%s): its endpoint goes back "
			    "and forth, or both answer at once; last seen at %s: vinectl tiny "
			    "revoke %s",
			    tiny->object.name, tiny->record.owner, *m->endpoint ? m->endpoint : "-",
			    tiny->object.name);
	}
}

void check_run(const struct check *c, struct findings *ret)
{
	const struct router *r;
	size_t place = 0;

	*ret = (struct findings){ 0 };
	while ((r = registry_each(c->registry, RECORD_ROUTER, &place)))
		if (!r->record.revoked)
			look_at_router(c, r, ret);
	look_at_tinies(c, ret);
	look_at_ends(c, ret);
	if (c->webhook_fails)
		add(ret, FINDING_WEBHOOK, SEVERITY_WARNING, "",
		    "alerts don't reach the webhook: see the log");
	for (size_t i = 0; i < ret->n; i++)
		ret->at[i].since = c->now;
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), compare);
}

/* ---- shown --------------------------------------------------------------------- */

json_t *finding_json(const struct finding *f)
{
	json_t *o = mem_json(json_pack("{s:s,s:s,s:s,s:I}", "kind", finding_names[f->kind],
				       "severity", severity_names[f->severity], "subject",
				       f->subject, "since", (json_int_t)f->since));
	json_t *text = json_string(f->text);

	json_object_set_new(o, "text", text ? text : mem_json(json_string("?")));
	return o;
}

json_t *check_json(const struct findings *l, finding_shown_fn *shown, const void *arg)
{
	json_t *list = mem_json(json_array());
	size_t n = 0;
	int worst = -1;

	/* What is critical comes first. */
	for (int s = SEVERITIES - 1; s >= 0; s--)
		for (size_t i = 0; i < l->n; i++) {
			if ((int)l->at[i].severity != s || (shown && !shown(arg, &l->at[i])))
				continue;
			worst = s > worst ? s : worst;
			if (n++ < CHECK_MOST)
				json_array_append_new(list, finding_json(&l->at[i]));
		}
	return mem_json(json_pack("{s:s,s:o,s:I}", "status",
				  worst < 0 ? "ok" : severity_names[worst], "findings", list,
				  "left_out", (json_int_t)(n > CHECK_MOST ? n - CHECK_MOST : 0)));
}
