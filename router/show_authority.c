/*
 * The authority, as this router sees it, as JSON.
 */
#include <time.h>

#include "common/feed.h"
#include "router/authority.h"
#include "router/router.h"
#include "router/show.h"

static json_t *words(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static json_t *version(struct version v)
{
	char text[VERSION_TEXT];

	return v.generation || v.number ? json_string(version_format(v, text)) : json_null();
}

static json_t *day_time(time_t t)
{
	char text[32];
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return json_null();
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

json_t *show_authority(struct router *r, mono_t now)
{
	const struct image *image = router_image(r);
	struct authority_status s;

	if (!r->authority)
		return json_null();
	authority_status(r->authority, &s);
	return json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o}, "
			 "s:{s:o, s:o}}",
			 "url", s.url, "proxy", s.by_proxy, "connected", s.connected, "contact",
			 show_time(s.contact, now), "error", words(s.error), "heartbeat_error",
			 words(s.heartbeat_error), "tables", "version", version(s.version),
			 "stored", version(s.stored), "step",
			 image ? json_integer(image->step) : json_null(), "networks",
			 json_integer(image ? (json_int_t)image->n_networks : 0), "routers",
			 json_integer(image ? (json_int_t)image->n_peers : 0), "refused",
			 words(s.refused), "certificate", "end", day_time(s.certificate_end),
			 "error", words(s.renewal_error));
}
