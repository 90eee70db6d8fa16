/*
 * The keys of authority.conf as a table; common/ini does the rest.
 */
#include "authority/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/ini.h"
#include "common/pki.h"

#define HOUR 3600000000000ull

/* A text that a rule takes; kept as it is. */
static bool take_text(const struct ini_value *v, void *field, bool good)
{
	char *text = good ? strdup(v->text) : NULL;

	if (!good)
		ini_wrong(v);
	else if (!text)
		ini_no_memory(v->ini);
	if (!text)
		return false;
	free(*(char **)field);
	*(char **)field = text;
	return true;
}

static void format_text(const struct ini_option *o, const void *field, FILE *out)
{
	(void)o;
	if (*(char *const *)field)
		fputs(*(char *const *)field, out);
}

bool settings_is_name(const char *text)
{
	struct ip ip;

	return !ip_parse(text, &ip) || ini_is_name(text, 253);
}

static bool parse_name(const struct ini_value *v, void *field)
{
	return take_text(v, field, settings_is_name(v->text));
}

static void expect_name(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("a host name or an address", out);
}

static const struct ini_type name_type = { parse_name, format_text, expect_name };

bool settings_is_store(const char *text)
{
	return !strncmp(text, "sqlite:/", 8) || !strncmp(text, "etcd:http", 9);
}

static bool parse_store(const struct ini_value *v, void *field)
{
	return take_text(v, field, settings_is_store(v->text));
}

static void expect_store(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("sqlite:/FILE, or etcd:https://HOST:PORT,...", out);
}

static const struct ini_type store_type = { parse_store, format_text, expect_store };

static bool parse_webhook(const struct ini_value *v, void *field)
{
	bool good = !strncmp(v->text, "https://", 8) || !strncmp(v->text, "http://", 7);

	return take_text(v, field, good);
}

static void expect_webhook(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("https://HOST/PATH, or http://...", out);
}

static const struct ini_type webhook_type = { parse_webhook, format_text, expect_webhook };

static const struct ini_word log_words[] = { { "info", false }, { "debug", true }, { 0 } };

static const struct ini_option server_options[] = {
	{ .key = "listen",
	  .type = &ini_endpoint,
	  INI_ITEMS(struct settings, listen, n_listen),
	  .flags = INI_LIST,
	  .most = 16,
	  .fallback = "0.0.0.0:8464, [::]:8464" },
	{ .key = "names",
	  .type = &name_type,
	  INI_ITEMS(struct settings, names, n_names),
	  .flags = INI_LIST | INI_REQUIRED,
	  .most = 64 },
	{ .key = "connections",
	  .type = &ini_number,
	  INI_FIELD(struct settings, connections),
	  .min = 1,
	  .max = 1000000,
	  .fallback = "30000" },
	{ .key = "metrics", .type = &ini_endpoint, INI_FIELD(struct settings, metrics) },
	{ .key = "control", .type = &ini_path, INI_FIELD(struct settings, control), .max = 100 },
	{ .key = "audit",
	  .type = &ini_duration,
	  INI_FIELD(struct settings, audit),
	  .min = HOUR,
	  .max = 100 * 366 * 24 * HOUR,
	  .zero = "forever",
	  .fallback = "2160h",
	  .expected = "a time of at least 1h, like 2160h; or forever" },
	{ .key = "log",
	  .type = &ini_choice,
	  INI_FIELD(struct settings, debug),
	  .words = log_words,
	  .fallback = "info" },
};

static const struct ini_option store_options[] = {
	{ .key = "url",
	  .type = &store_type,
	  INI_FIELD(struct settings, store),
	  .flags = INI_REQUIRED },
	{ .key = "ca", .type = &ini_path, INI_FIELD(struct settings, tls.ca), .max = 4095 },
	{ .key = "certificate",
	  .type = &ini_path,
	  INI_FIELD(struct settings, tls.certificate),
	  .max = 4095 },
	{ .key = "key", .type = &ini_path, INI_FIELD(struct settings, tls.key), .max = 4095 },
};

#define LIFE(what, text) \
	{ \
		.key = #what, .type = &ini_duration, INI_FIELD(struct settings, what), \
		.min = 1000000000ull, .max = 10 * 366 * 24 * HOUR, .fallback = text, \
		.expected = "a time from 1s to 87840h, like 2160h" \
	}

static const struct ini_option certificate_options[] = {
	{ .key = "directory",
	  .type = &ini_path,
	  INI_FIELD(struct settings, directory),
	  .flags = INI_REQUIRED,
	  .max = 4000 },
	LIFE(users, "2160h"),
	LIFE(routers, "2160h"),
	LIFE(server, "720h"),
	LIFE(warn, "336h"),
};

static const struct ini_option router_options[] = {
	{ .key = "silence",
	  .type = &ini_duration,
	  INI_FIELD(struct settings, silence),
	  .min = 1000000000ull,
	  .max = 24 * HOUR,
	  .fallback = "15s" },
	{ .key = "disable",
	  .type = &ini_duration,
	  INI_FIELD(struct settings, disable),
	  .min = 1000000000ull,
	  .max = 24 * HOUR,
	  .zero = "never",
	  .fallback = "30s",
	  .expected = "a time from 1s to 24h, like 30s; or never" },
};

static const struct ini_option alert_options[] = {
	{ .key = "webhook", .type = &webhook_type, INI_FIELD(struct settings, webhook) },
};

static const struct ini_option download_options[] = {
	{ .key = "ranges", .type = &ini_path, INI_FIELD(struct settings, ranges), .max = 4000 },
	{ .key = "binaries",
	  .type = &ini_path,
	  INI_FIELD(struct settings, binaries),
	  .max = 4000,
	  .fallback = "/usr/local/lib/vine" },
	{ .key = "http", .type = &ini_endpoint, INI_FIELD(struct settings, http) },
};

static const struct ini_word sign_words[] = { { "hmac-sha256", PROTECT_HMAC },
					      { "none", PROTECT_NONE },
					      { 0 } };
static const struct ini_word encrypt_words[] = {
	{ "none", PROTECT_NONE },
	{ "aes-256-gcm", PROTECT_AES_256_GCM },
	{ "chacha20-poly1305", PROTECT_CHACHA20_POLY1305 },
	{ 0 },
};

static const struct ini_option network_options[] = {
	{ .key = "sign",
	  .type = &ini_choice,
	  INI_FIELD(struct settings, sign),
	  .words = sign_words,
	  .fallback = "hmac-sha256" },
	{ .key = "encrypt",
	  .type = &ini_choice,
	  INI_FIELD(struct settings, encrypt),
	  .words = encrypt_words,
	  .fallback = "none" },
};

static void *open_section(void *arg, struct ini *ini, struct ini_section *s)
{
	(void)ini, (void)s;
	return arg;
}

static void *open_download(void *arg, struct ini *ini, struct ini_section *s)
{
	(void)ini, (void)s;
	((struct settings *)arg)->download = true;
	return arg;
}

#define OPTIONS(list) .options = list, .n_options = sizeof(list) / sizeof((list)[0])

static const struct ini_kind kinds[] = {
	{ .name = "server", OPTIONS(server_options), .open = open_section },
	{ .name = "store", OPTIONS(store_options), .open = open_section },
	{ .name = "networks", OPTIONS(network_options), .open = open_section },
	{ .name = "certificates", OPTIONS(certificate_options), .open = open_section },
	{ .name = "routers", OPTIONS(router_options), .open = open_section },
	{ .name = "alerts", OPTIONS(alert_options), .open = open_section },
	{ .name = "download", .optional = true, OPTIONS(download_options), .open = open_download },
};

struct settings *settings_load(const char *file, FILE *errors)
{
	char *text = pki_read(file);
	struct settings *s = text ? calloc(1, sizeof(*s)) : NULL;
	struct ini *ini = s ? ini_new(file) : NULL;
	bool good = false;

	if (!text) {
		fprintf(errors, "%s: %s\n", file, strerror(errno));
	} else if (!ini) {
		fprintf(errors, "%s: out of memory\n", file);
	} else {
		s->file = strdup(file);
		ini_read(ini, text, strlen(text), kinds, sizeof(kinds) / sizeof(*kinds), s);
		if (!!s->tls.ca != !!s->tls.key || !!s->tls.ca != !!s->tls.certificate)
			ini_error(ini, 1, "store", NULL, "all three, or none",
				  "ca, certificate and key belong together");
		good = ini_report(ini, errors);
	}
	ini_free(ini);
	free(text);
	if (good)
		return s;
	settings_free(s);
	return NULL;
}

void settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_names; i++)
		free(s->names[i]);
	free(s->names);
	free(s->listen);
	free(s->store);
	free(s->file);
	free(s->control);
	free(s->webhook);
	free(s->ranges);
	free(s->binaries);
	free(s->tls.ca);
	free(s->tls.certificate);
	free(s->tls.key);
	free(s->directory);
	free(s);
}
