/*
 * The page of figures. Every family has its HELP and TYPE, and every kind of alert is there
 * from the start with 0, so that rates and alerts work from the first one on. What is not
 * known has no sample rather than a false one.
 */
#include "authority/metrics.h"

#include <inttypes.h>

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP vine_authority_%s %s\n# TYPE vine_authority_%s %s\n", name, help, name,
		type);
}

static void number(FILE *out, const char *name, const char *type, const char *help, double value)
{
	family(out, name, type, help);
	fprintf(out, "vine_authority_%s %.15g\n", name, value);
}

static void record_figures(const struct figures *f, FILE *out)
{
	static const struct {
		enum record_kind kind;
		const char *name;
	} kinds[] = { { RECORD_SITE, "site" }, { RECORD_ROUTER, "router" },
		      { RECORD_HOST, "host" }, { RECORD_USER, "user" },
		      { RECORD_VN, "vn" },     { RECORD_POLICY, "policy" },
		      { RECORD_TINY, "tiny" } };

	family(out, "records", "gauge", "Records, by kind.");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		fprintf(out, "vine_authority_records{kind=\"%s\"} %zu\n", kinds[i].name,
			registry_count(f->registry, kinds[i].kind));
}

static void alert_figures(const struct figures *f, FILE *out)
{
	size_t n[FINDINGS][SEVERITIES] = { 0 };

	for (size_t i = 0; i < f->alerts->found.n; i++)
		n[f->alerts->found.at[i].kind][f->alerts->found.at[i].severity]++;
	family(out, "alerts", "gauge", "Alerts that hold now.");
	for (int k = 0; k < FINDINGS; k++)
		for (int s = 0; s < SEVERITIES; s++)
			fprintf(out, "vine_authority_alerts{kind=\"%s\",severity=\"%s\"} %zu\n",
				finding_names[k], severity_names[s], n[k][s]);
	family(out, "alerts_total", "counter", "Alerts raised.");
	for (int k = 0; k < FINDINGS; k++)
		fprintf(out, "vine_authority_alerts_total{kind=\"%s\"} %" PRIu64 "\n",
			finding_names[k], f->alerts->raised[k]);
	family(out, "webhook_posts_total", "counter", "Tries to tell the webhook, by result.");
	fprintf(out,
		"vine_authority_webhook_posts_total{result=\"done\"} %" PRIu64
		"\nvine_authority_webhook_posts_total{result=\"failed\"} %" PRIu64 "\n",
		f->webhook.done, f->webhook.failed);
	number(out, "webhook_lost_total", "counter", "Alerts that the webhook never got.",
	       (double)f->webhook.given_up);
}

/* The names of routers need no escapes: see records.h. */
static void router_figures(const struct figures *f, FILE *out)
{
	const struct monitor_router *m;
	const struct router *r;
	size_t place, late = 0;

	family(out, "routers", "gauge", "Routers, by what is heard of them.");
	for (int s = 0; s < MONITOR_STATES; s++)
		fprintf(out, "vine_authority_routers{state=\"%s\"} %zu\n", monitor_states[s],
			monitor_count(f->monitor, (enum monitor_state)s));
	number(out, "links", "gauge", "Links that routers have figures of.",
	       (double)monitor_links(f->monitor));
	family(out, "heartbeats_total", "counter", "Heartbeats of routers, by result.");
	fprintf(out,
		"vine_authority_heartbeats_total{result=\"taken\"} %" PRIu64
		"\nvine_authority_heartbeats_total{result=\"refused\"} %" PRIu64 "\n",
		monitor_heartbeats(f->monitor, false), monitor_heartbeats(f->monitor, true));
	family(out, "router_up", "gauge", "1: the router is heard.");
	for (place = 0; (r = registry_each(f->registry, RECORD_ROUTER, &place));)
		if (!r->record.revoked && (m = monitor_get(f->monitor, r->record.id)))
			fprintf(out, "vine_authority_router_up{router=\"%s\",site=\"%s\"} %d\n",
				r->object.name, r->site->object.name, m->state == MONITOR_OK);
	family(out, "router_load", "gauge", "Load of the router's machine, as it says.");
	for (place = 0; (r = registry_each(f->registry, RECORD_ROUTER, &place));)
		if ((m = monitor_get(f->monitor, r->record.id)) && m->state == MONITOR_OK &&
		    m->load >= 0)
			fprintf(out, "vine_authority_router_load{router=\"%s\",site=\"%s\"} %.6g\n",
				r->object.name, r->site->object.name, m->load);
	if (!f->publish)
		return;
	for (place = 0; (r = registry_each(f->registry, RECORD_ROUTER, &place));) {
		struct publish_status status;

		late += publish_status(f->publish, r->record.id, &status) && status.late;
	}
	number(out, "routers_late", "gauge", "Routers that have not confirmed their tables.",
	       (double)late);
	number(out, "rounds", "gauge", "Changes of tables under way or waiting.",
	       (double)publish_rounds(f->publish));
}

void metrics_write(const struct figures *f, FILE *out)
{
	family(out, "info", "gauge", "This authority; the value is always 1.");
	fputs("vine_authority_info{version=\"" VINE_VERSION "\"} 1\n", out);
	number(out, "start_time_seconds", "gauge", "When this process started.",
	       (double)f->started / 1000);
	number(out, "store_revision", "counter", "The store's revision that is known here.",
	       (double)f->revision);
	number(out, "publishes", "gauge", "1: this process has the routers.", f->monitor != NULL);
	record_figures(f, out);
	alert_figures(f, out);
	family(out, "certificate_end_seconds", "gauge", "When a certificate ends.");
	fprintf(out,
		"vine_authority_certificate_end_seconds{holder=\"ca\"} %" PRId64
		"\nvine_authority_certificate_end_seconds{holder=\"server\"} %" PRId64 "\n",
		f->ca_end, f->server_end);
	number(out, "audit_removed_total", "counter", "Old audit records removed.",
	       (double)f->audit_removed);
	if (f->backup)
		number(out, "backup_time_seconds", "gauge", "When the last backup was made.",
		       (double)f->backup / 1000);
	if (f->monitor)
		router_figures(f, out);
}
