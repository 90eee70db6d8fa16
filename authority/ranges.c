/*
 * Ranges of VMs: one section each, [range NAME], read by common/ini like any configuration.
 * One address is in one range, or in one inside another.
 */
#include "authority/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "authority/records.h"
#include "common/ini.h"
#include "common/pki.h"

#define RANGES_MAX 10000

/* Names as records have them. */
static bool parse_name(const struct ini_value *v, void *field)
{
	char *text = name_valid(v->text) ? strdup(v->text) : NULL;

	if (!text) {
		ini_wrong(v);
		return false;
	}
	free(*(char **)field);
	*(char **)field = text;
	return true;
}

static void expect_name(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("a name of a-z, 0-9, '-' and '.'", out);
}

static const struct ini_type name_type = { parse_name, NULL, expect_name };

#define PREFIXES(what, ...) \
	{ \
		.key = #what, .type = &ini_prefix, INI_ITEMS(struct range, what, n_##what), \
		.most = 4096, __VA_ARGS__ \
	}
#define NAME(what, ...) \
	{ \
		.key = #what, .type = &name_type, INI_FIELD(struct range, what), __VA_ARGS__ \
	}

static const struct ini_option options[] = {
	NAME(provider, .flags = INI_REQUIRED),
	NAME(region),
	NAME(site),
	PREFIXES(prefixes, .flags = INI_LIST | INI_REQUIRED),
	PREFIXES(addresses, .flags = INI_LIST),
	PREFIXES(local, .flags = INI_LIST),
	{ .key = "routers",
	  .type = &name_type,
	  INI_ITEMS(struct range, routers, n_routers),
	  .flags = INI_LIST,
	  .most = 64 },
	{ .key = "exclusive",
	  .type = &ini_bool,
	  INI_FIELD(struct range, exclusive),
	  .fallback = "no" },
	NAME(vn),
	NAME(owner),
};

static void range_free(struct range *r)
{
	for (size_t i = 0; i < r->n_routers; i++)
		free(r->routers[i]);
	free(r->routers);
	free(r->prefixes);
	free(r->addresses);
	free(r->local);
	free(r->name);
	free(r->provider);
	free(r->region);
	free(r->site);
	free(r->vn);
	free(r->owner);
	free(r);
}

void ranges_free(struct ranges *l)
{
	for (size_t i = 0; l && i < l->n; i++)
		range_free(l->at[i]);
	if (l)
		free(l->at);
	free(l);
}

static void *open_range(void *arg, struct ini *ini, struct ini_section *s)
{
	struct ranges *l = arg;
	struct range *r;
	void *room;

	if (!name_valid(s->argument)) {
		ini_error(ini, s->line, s->label, NULL, "a name of a-z, 0-9, '-' and '.'",
			  "'%.64s' is no name", s->argument);
		return NULL;
	}
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->at[i]->name, s->argument)) {
			ini_error(ini, s->line, s->label, NULL, "another name",
				  "the range is in line %u already", l->at[i]->line);
			return NULL;
		}
	if (l->n == RANGES_MAX) {
		ini_error(ini, s->line, s->label, NULL, NULL, "more than %d ranges", RANGES_MAX);
		return NULL;
	}
	room = realloc(l->at, (l->n + 1) * sizeof(*l->at));
	r = room ? calloc(1, sizeof(*r)) : NULL;
	if (room)
		l->at = room;
	if (!r || !(r->name = strdup(s->argument))) {
		free(r);
		ini_no_memory(ini);
		return NULL;
	}
	r->line = s->line;
	l->at[l->n++] = r;
	return r;
}

static const struct ini_kind kinds[] = {
	{ .name = "range",
	  .argument = "NAME",
	  .options = options,
	  .n_options = sizeof(options) / sizeof(*options),
	  .open = open_range },
};

/* ---- what is about more than one key ------------------------------------------- */

struct claim {
	const struct range *range;
	const struct prefix *prefix;
};

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = prefix_compare(x->prefix, y->prefix);

	return order				 ? order
	       : x->range->line < y->range->line ? -1
						 : x->range->line > y->range->line;
}

static void check_twice(struct ini *ini, const struct ranges *l)
{
	struct claim *all;
	char text[PREFIX_TEXT], label[RECORD_NAME + 8];
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->at[i]->n_prefixes;
	all = calloc(n + 1, sizeof(*all));
	if (!all) {
		ini_no_memory(ini);
		return;
	}
	n = 0;
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->at[i]->n_prefixes; k++)
			all[n++] = (struct claim){ l->at[i], &l->at[i]->prefixes[k] };
	qsort(all, n, sizeof(*all), compare_claims);
	for (size_t i = 1; i < n; i++) {
		if (!prefix_equal(all[i - 1].prefix, all[i].prefix))
			continue;
		snprintf(label, sizeof(label), "range %s", all[i].range->name);
		ini_error(ini, all[i].range->line, label, "prefixes", "a prefix in one range",
			  "%s is in range %s too", prefix_format(all[i].prefix, text),
			  all[i - 1].range->name);
	}
	free(all);
}

static void check_range(struct ini *ini, const struct range *r)
{
	char label[RECORD_NAME + 8];

	snprintf(label, sizeof(label), "range %s", r->name);
	if (r->exclusive && (!r->vn || !r->owner))
		ini_error(ini, r->line, label, r->vn ? "owner" : "vn",
			  "the VN that VMs come into, and the user whose hosts they are",
			  "an exclusive range needs it");
	if (!r->exclusive && (r->vn || r->owner))
		ini_error(ini, r->line, label, r->vn ? "vn" : "owner", "exclusive = yes",
			  "elsewhere the token says that");
	for (size_t i = 0; i < r->n_routers; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(r->routers[i], r->routers[k]))
				ini_error(ini, r->line, label, "routers", "each once",
					  "%s is there twice", r->routers[i]);
}

struct ranges *ranges_parse(const char *name, const char *text, size_t len, FILE *errors)
{
	struct ranges *l = calloc(1, sizeof(*l));
	struct ini *ini = l ? ini_new(name) : NULL;
	bool good = false;

	if (!ini) {
		fprintf(errors, "%s: out of memory\n", name);
	} else {
		ini_read(ini, text, len, kinds, sizeof(kinds) / sizeof(*kinds), l);
		check_twice(ini, l);
		for (size_t i = 0; i < l->n; i++)
			check_range(ini, l->at[i]);
		good = ini_report(ini, errors);
	}
	ini_free(ini);
	if (good)
		return l;
	ranges_free(l);
	return NULL;
}

struct ranges *ranges_load(const char *file, FILE *errors)
{
	char *text = pki_read(file);
	struct ranges *l = NULL;

	if (!text)
		fprintf(errors, "%s: %s\n", file, strerror(errno));
	else
		l = ranges_parse(file, text, strlen(text), errors);
	free(text);
	return l;
}

/* ---- looking in ---------------------------------------------------------------- */

const struct range *ranges_find(const struct ranges *l, const struct ip *ip)
{
	const struct range *best = NULL;
	int len = -1;

	for (size_t i = 0; l && i < l->n; i++)
		for (size_t k = 0; k < l->at[i]->n_prefixes; k++) {
			const struct prefix *p = &l->at[i]->prefixes[k];

			if (p->len <= len || !prefix_contains(p, ip))
				continue;
			best = l->at[i];
			len = p->len;
		}
	return best;
}

bool range_may_have(const struct range *r, const struct ip *seen, const struct ip *own)
{
	const struct prefix *p = r->n_addresses ? r->addresses : r->prefixes;
	size_t n = r->n_addresses ? r->n_addresses : r->n_prefixes;

	if (ip_equal(seen, own))
		return true;
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(&p[i], own))
			return true;
	return false;
}
