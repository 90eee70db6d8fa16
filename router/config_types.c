/*
 * The types of values that only router.conf has: how they are read, written, and
 * what is expected where they are wrong.
 *
 * Rows of [lndt] and [gndt ID] have data for keys. They go to lists of the draft, each
 * with its line, since names of routers are known only when the whole file is read.
 */
#include "router/config_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* address: one of each family, in two fields */

static bool address_parse(const struct ini_value *v, void *field)
{
	struct config *c = field;

	return ini_address_parse(v, &c->address4, &c->address6);
}

static void address_format(const struct ini_option *o, const void *field, FILE *out)
{
	const struct config *c = field;
	char text[IP_TEXT];

	(void)o;
	if (c->address4.family)
		fputs(ip_format(&c->address4, text), out);
	if (c->address4.family && c->address6.family)
		fputs(", ", out);
	if (c->address6.family)
		fputs(ip_format(&c->address6, text), out);
}

static void address_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("an address of this gateway in its site", out);
}

const struct ini_type config_address_type = { address_parse, address_format, address_expect };

/* sign, encrypt: read into the draft, listed by config_each() from the protection */

static bool protection_parse(const struct ini_value *v, void *field)
{
	return ini_choice.parse(v, field);
}

static void protection_expect(const struct ini_option *o, FILE *out)
{
	ini_choice.expect(o, out);
}

const struct ini_type config_protection_type = { protection_parse, NULL, protection_expect };

/* endpoint: of a peer, by address or by name */

static bool is_host_name(const char *text)
{
	size_t len = strlen(text);
	bool digits = true;

	if (len == 0 || len > 253 || strstr(text, "..") || !isalnum((unsigned char)*text))
		return false;
	for (const char *p = text; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
		if (!isdigit((unsigned char)*p) && *p != '.')
			digits = false;
	}
	return !digits; /* or it is an address that is none */
}

bool config_host_parse(const char *text, char host[static 256], uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	struct endpoint e;
	unsigned port = 0;

	if (endpoint_parse(text, &e) == 0) {
		ip_format(&e.ip, host);
		*ret_port = e.port;
		return e.port != 0 && ip_is_unicast(&e.ip);
	}
	if (!colon || colon - text > 253 || strlen(colon + 1) > 5)
		return false;
	for (const char *p = colon + 1; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return false;
		port = port * 10 + (unsigned)(*p - '0');
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	*ret_port = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX && is_host_name(host);
}

static bool host_parse(const struct ini_value *v, void *field)
{
	struct config_peer *p = field;
	char host[256];
	uint16_t port;

	if (!config_host_parse(v->text, host, &port)) {
		ini_wrong(v);
		return false;
	}
	p->host = strdup(host);
	if (!p->host) {
		ini_no_memory(v->ini);
		return false;
	}
	p->port = port;
	return true;
}

static void host_format(const struct ini_option *o, const void *field, FILE *out)
{
	const struct config_peer *p = field;

	(void)o;
	if (p->host)
		fprintf(out, strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host, p->port);
}

static void host_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("198.51.100.2:8463, [2001:db8::1]:8463 or gw.example.org:8463", out);
}

const struct ini_type config_host_type = { host_parse, host_format, host_expect };

/* url of [proxy]: its password appears in no message and no listing */

static bool proxy_url_parse(const struct ini_value *v, void *field)
{
	if (proxy_parse(v->text, field))
		return true;
	ini_refuse(v, "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
		   "is no address of an HTTP proxy");
	return false;
}

static void proxy_url_format(const struct ini_option *o, const void *field, FILE *out)
{
	const struct proxy *p = field;

	(void)o;
	if (!*p->host)
		return;
	fputs("http://", out);
	if (*p->user)
		fprintf(out, "%s:***@", p->user);
	fprintf(out, strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host, p->port);
}

static void proxy_url_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("the URL of an HTTP proxy", out);
}

const struct ini_type config_proxy_type = { proxy_url_parse, proxy_url_format, proxy_url_expect };

/* url of [authority] */

bool config_url_parse(const char *text, struct config_url *ret)
{
	static const char scheme[] = "https://";
	size_t len = strlen(text), n = sizeof(scheme) - 1;
	char place[300], host[256], *copy, *name;
	uint16_t port;

	if (strncmp(text, scheme, n) != 0 || len - n > 256)
		return false;
	if (text[len - 1] == '/')
		len--;
	snprintf(place, sizeof(place), "%.*s", (int)(len - n), text + n);
	if (!config_host_parse(place, host, &port)) {
		strcat(place, ":443");
		if (!config_host_parse(place, host, &port))
			return false;
	}
	copy = strndup(text, len);
	name = strdup(host);
	if (!copy || !name) {
		free(copy);
		free(name);
		return false;
	}
	*ret = (struct config_url){ copy, name, port };
	return true;
}

static bool url_parse(const struct ini_value *v, void *field)
{
	if (config_url_parse(v->text, field))
		return true;
	ini_wrong(v);
	return false;
}

static void url_format(const struct ini_option *o, const void *field, FILE *out)
{
	(void)o;
	fputs(((const struct config_url *)field)->text, out);
}

static void url_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("https://HOST:PORT", out);
}

const struct ini_type config_url_type = { url_parse, url_format, url_expect };

/* key-file: relative to where the configuration is */

static bool key_file_parse(const struct ini_value *v, void *field)
{
	const struct draft *d = ini_arg(v->ini);
	char *path;

	if (asprintf(&path, "%s%s", v->text[0] == '/' ? "" : d->directory, v->text) < 0) {
		ini_no_memory(v->ini);
		return false;
	}
	*(char **)field = path;
	return true;
}

static void key_file_format(const struct ini_option *o, const void *field, FILE *out)
{
	(void)o;
	fputs(*(char *const *)field, out);
}

static void key_file_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("the path of a key file", out);
}

const struct ini_type config_key_file_type = { key_file_parse, key_file_format, key_file_expect };

/* The rows of [lndt] and [gndt ID], whose keys are data */

static void bad_key(const struct ini_value *v, const char *expected)
{
	struct draft *d = ini_arg(v->ini);

	/* once, not for each item of its list */
	if (d->bad_key_line != v->line)
		ini_error(v->ini, v->line, v->section->label, v->key, expected,
			  "can't be a key here");
	d->bad_key_line = v->line;
}

static bool lndt_parse(const struct ini_value *v, void *field)
{
	struct draft *d = field;
	struct prefix prefix;
	bool good = ini_prefix.parse(v, &prefix);
	struct lndt_row *row;
	uint32_t id;

	if (id_parse(v->key, &id) || id == 0) {
		bad_key(v, "a network ID, a number from 1 to 4294967295 or a dotted quad");
		return false;
	}
	if (!good)
		return false;
	row = ini_grow((void **)&d->c.lndt, d->c.n_lndt, sizeof(*row));
	if (!row) {
		ini_no_memory(v->ini);
		return false;
	}
	d->c.n_lndt++;
	row->network = id;
	row->prefix = prefix;
	row->file = d->c.file;
	row->line = v->line;
	return true;
}

static void row_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("prefixes like 172.16.0.0/24 or fd00:76::/32, or addresses", out);
}

const struct ini_type config_lndt_type = { lndt_parse, NULL, row_expect };

/* Names repeat from item to item: kept once. */
static bool keep_name(struct draft *d, const char *name)
{
	char **place;

	if (d->n_names && strcmp(d->names[d->n_names - 1], name) == 0)
		return true;
	place = ini_grow((void **)&d->names, d->n_names, sizeof(*place));
	if (!place)
		return false;
	*place = strdup(name);
	if (!*place)
		return false;
	d->n_names++;
	return true;
}

static bool gndt_parse(const struct ini_value *v, void *field)
{
	struct draft_gndt *g = field;
	struct draft *d = g->draft;
	struct prefix prefix;
	bool good = ini_prefix.parse(v, &prefix);
	struct draft_route *route;

	if (!ini_is_name(v->key, CONFIG_NAME_MAX)) {
		bad_key(v, "the name of a peer, or of this router");
		return false;
	}
	if (!good)
		return false;
	route = ini_grow((void **)&d->routes, d->n_routes, sizeof(*route));
	if (!route || !keep_name(d, v->key)) {
		ini_no_memory(v->ini);
		return false;
	}
	d->n_routes++;
	*route = (struct draft_route){
		.network = g->network, .name = d->n_names - 1, .prefix = prefix, .line = v->line
	};
	return true;
}

const struct ini_type config_gndt_type = { gndt_parse, NULL, row_expect };
