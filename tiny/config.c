/*
 * Reading tiny.conf into one immutable struct, by the table of options below: bounds and
 * defaults are here and nowhere else. And the configuration of a full router that comes of
 * it, which is what the program runs.
 */
#include "tiny/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/key_file.h"
#include "router/config_private.h"

#define ID_LAST 0xfffffffeull
#define ROUTERS_MAX 8
#define REKEY_AFTER (120 * SEC)
#define REKEY_FRAMES (1ull << 32)

struct reading {
	struct tiny_config c; /* first: the table is of struct tiny_config */
	struct ini *ini;
	const struct ini_section *section;
	size_t directory; /* length of the file's name up to its last '/' */
};

/* ---- types of values ------------------------------------------------------------ */

static bool router_parse(const struct ini_value *v, void *field)
{
	struct tiny_router *r = field;

	if (config_host_parse(v->text, r->host, &r->port))
		return true;
	ini_wrong(v);
	return false;
}

static void router_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("198.51.100.2:8463, [2001:db8::1]:8463 or gw.example.org:8463", out);
}

static const struct ini_type router_type = { router_parse, NULL, router_expect };

/* Relative to where the configuration is. */
static bool key_file_parse(const struct ini_value *v, void *field)
{
	const struct reading *r = ini_arg(v->ini);
	char *path;

	if (asprintf(&path, "%.*s%s", v->text[0] == '/' ? 0 : (int)r->directory, r->c.file,
		     v->text) < 0) {
		ini_no_memory(v->ini);
		return false;
	}
	*(char **)field = path;
	return true;
}

static void key_file_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("the path of a key file", out);
}

static const struct ini_type key_file_type = { key_file_parse, NULL, key_file_expect };

/* One of each family, in two fields. */
static bool address_parse(const struct ini_value *v, void *field)
{
	struct tiny_config *c = field;

	return ini_address_parse(v, &c->address4, &c->address6);
}

static void address_expect(const struct ini_option *o, FILE *out)
{
	(void)o;
	fputs("an address of this machine", out);
}

static const struct ini_type address_type = { address_parse, NULL, address_expect };

/* ---- the table -------------------------------------------------------------------- */

static const struct ini_word protocol_words[] = { { "udp", PROTOCOL_UDP },
						  { "tcp", PROTOCOL_TCP },
						  { "tls", PROTOCOL_TLS },
						  { "auto", PROTOCOL_AUTO },
						  { 0 } };
static const struct ini_word log_words[] = { { "info", false }, { "debug", true }, { 0 } };

static const struct ini_option options[] = {
	{ .key = "name",
	  .type = &ini_name,
	  INI_FIELD(struct tiny_config, name),
	  .max = CONFIG_NAME_MAX,
	  .fallback = "tiny" },
	{ .key = "id",
	  .type = &ini_id,
	  INI_FIELD(struct tiny_config, id),
	  .min = 1,
	  .max = ID_LAST,
	  .flags = INI_REQUIRED },
	{ .key = "router",
	  .type = &router_type,
	  INI_ITEMS(struct tiny_config, routers, n_routers),
	  .most = ROUTERS_MAX,
	  .flags = INI_LIST | INI_REQUIRED },
	{ .key = "router-id",
	  .type = &ini_id,
	  INI_ITEMS(struct tiny_config, router_ids, n_router_ids),
	  .min = 1,
	  .max = ID_LAST,
	  .most = ROUTERS_MAX,
	  .flags = INI_LIST | INI_REQUIRED },
	{ .key = "protocol",
	  .type = &ini_choice,
	  INI_FIELD(struct tiny_config, protocol),
	  .words = protocol_words,
	  .fallback = "auto" },
	{ .key = "tls-port",
	  .type = &ini_number,
	  INI_FIELD(struct tiny_config, tls_port),
	  .min = 1,
	  .max = 65535,
	  .fallback = "443" },
	{ .key = "proxy", .type = &config_proxy_type, INI_FIELD(struct tiny_config, proxy) },
	{ .key = "network",
	  .type = &ini_id,
	  INI_FIELD(struct tiny_config, network),
	  .min = 1,
	  .max = UINT32_MAX },
	{ .key = "address", .type = &address_type, .flags = INI_LIST },
	{ .key = "networks",
	  .type = &ini_prefix,
	  INI_ITEMS(struct tiny_config, networks, n_networks),
	  .most = 256,
	  .flags = INI_LIST | INI_REQUIRED },
	{ .key = "local",
	  .type = &ini_prefix,
	  INI_ITEMS(struct tiny_config, local, n_local),
	  .most = 256,
	  .flags = INI_LIST },
	/* 15: the kernel's limit for the name of an interface */
	{ .key = "device",
	  .type = &ini_name,
	  INI_FIELD(struct tiny_config, device),
	  .max = 15,
	  .fallback = "vine0" },
	{ .key = "key-file",
	  .type = &key_file_type,
	  INI_ITEMS(struct tiny_config, key_files, n_key_files),
	  .most = ROUTERS_MAX,
	  .flags = INI_LIST | INI_REQUIRED },
	{ .key = "mtu",
	  .type = &ini_number,
	  INI_FIELD(struct tiny_config, mtu),
	  .min = 1280,
	  .max = 9000,
	  .zero = "auto",
	  .fallback = "auto" },
	{ .key = "log",
	  .type = &ini_choice,
	  INI_FIELD(struct tiny_config, debug),
	  .words = log_words,
	  .fallback = "info" },
};

static void *open_tiny(void *arg, struct ini *ini, struct ini_section *s)
{
	struct reading *r = arg;

	(void)ini;
	r->section = s;
	return r;
}

static const struct ini_kind kinds[] = {
	{ .name = "tiny",
	  .options = options,
	  .n_options = sizeof(options) / sizeof(options[0]),
	  .open = open_tiny },
};

bool tiny_config_knows(const char *key)
{
	return ini_lookup(&kinds[0], key) != NULL;
}

/* ---- what depends on more than one key ---------------------------------------------- */

static void check_counts(struct reading *r)
{
	const struct tiny_config *c = &r->c;

	if (c->n_routers && c->n_router_ids && c->n_routers != c->n_router_ids)
		ini_error(r->ini, ini_line(r->section, "router-id", 0), "tiny", "router-id",
			  "the ID of each router, in the same order", "%zu routers have %zu IDs",
			  c->n_routers, c->n_router_ids);
	if (c->n_key_files > 1 && c->n_routers && c->n_key_files != c->n_routers)
		ini_error(r->ini, ini_line(r->section, "key-file", 0), "tiny", "key-file",
			  "one file for all, or one for each router", "%zu routers have %zu keys",
			  c->n_routers, c->n_key_files);
	for (size_t i = 0; i < c->n_router_ids; i++)
		if (c->id && c->router_ids[i] == c->id)
			ini_error(r->ini, ini_line(r->section, "router-id", i), "tiny", "router-id",
				  "another ID", "%u is this tiny's own", c->id);
}

/* What is wholly local would never go to the router. */
static void check_local(struct reading *r)
{
	char text[PREFIX_TEXT], other[PREFIX_TEXT];

	for (size_t i = 0; i < r->c.n_networks; i++)
		for (size_t k = 0; k < r->c.n_local; k++)
			if (prefix_covers(&r->c.local[k], &r->c.networks[i]))
				ini_error(r->ini, ini_line(r->section, "local", k), "tiny", "local",
					  "prefixes inside networks", "%s holds all of %s",
					  prefix_format(&r->c.local[k], text),
					  prefix_format(&r->c.networks[i], other));
}

static void read_keys(struct reading *r)
{
	struct tiny_config *c = &r->c;
	char room[KEY_FILE_WHY];

	for (size_t i = 0; i < c->n_key_files && i < c->n_routers; i++) {
		const char *wrong = key_file_read(c->key_files[i], c->keys[i], room);

		if (*wrong)
			ini_error(r->ini, ini_line(r->section, "key-file", i), "tiny", "key-file",
				  KEY_FILE_EXPECTED, "%s %s", c->key_files[i], wrong);
	}
	for (size_t i = 1; c->n_key_files == 1 && i < c->n_routers; i++)
		memcpy(c->keys[i], c->keys[0], CRYPTO_KEY);
}

static void check(struct reading *r, bool keys)
{
	if (!r->section)
		return;
	check_counts(r);
	check_local(r);
	r->c.keys = calloc(r->c.n_routers + 1, sizeof(*r->c.keys));
	if (!r->c.keys)
		ini_no_memory(r->ini);
	else if (keys)
		read_keys(r);
}

/* ---- life ----------------------------------------------------------------------------- */

static void done(struct tiny_config *c)
{
	if (c->keys)
		crypto_wipe(c->keys, c->n_routers * sizeof(*c->keys));
	crypto_wipe(&c->proxy, sizeof(c->proxy));
	for (size_t i = 0; i < c->n_key_files; i++)
		free(c->key_files[i]);
	free(c->keys);
	free(c->key_files);
	free(c->routers);
	free(c->router_ids);
	free(c->networks);
	free(c->local);
	free(c->name);
	free(c->device);
	free(c->file);
}

void tiny_config_free(struct tiny_config *c)
{
	if (!c)
		return;
	done(c);
	free(c);
}

struct tiny_config *tiny_config_parse(const char *name, const char *text, size_t len, bool keys,
				      FILE *errors)
{
	struct reading r = { .ini = ini_new(name), .c.file = strdup(name) };
	struct tiny_config *c = malloc(sizeof(*c));
	const char *slash = strrchr(name, '/');
	bool ok = false;

	r.directory = slash ? (size_t)(slash + 1 - name) : 0;
	if (r.ini && r.c.file && c) {
		ini_read(r.ini, text, len, kinds, 1, &r);
		check(&r, keys);
		ok = ini_report(r.ini, errors);
	} else {
		fprintf(errors, "%s: out of memory\n", name);
	}
	ini_free(r.ini);
	if (ok) {
		*c = r.c;
		return c;
	}
	done(&r.c);
	free(c);
	return NULL;
}

struct tiny_config *tiny_config_load(const char *file, FILE *errors)
{
	struct tiny_config *c = NULL;
	FILE *f = fopen(file, "re");
	char *text = f ? malloc(INI_FILE_MAX) : NULL;
	size_t n = text ? fread(text, 1, INI_FILE_MAX, f) : 0;

	if (!text || ferror(f))
		fprintf(errors, "%s: can't read it: %s\n", file, strerror(errno));
	else
		c = tiny_config_parse(file, text, n, true, errors);
	if (f)
		fclose(f);
	free(text);
	return c;
}

/* ---- as a router's -------------------------------------------------------------------- */

static bool fill_peer(struct config_peer *p, const struct tiny_config *c, size_t which)
{
	const struct tiny_router *r = &c->routers[which];

	p->id = c->router_ids[which];
	p->name = strdup(r->host);
	p->host = strdup(r->host);
	p->port = r->port;
	p->tls_port = c->tls_port;
	p->protocol = c->protocol;
	p->key_file = strdup(c->key_files[c->n_key_files > 1 ? which : 0]);
	memcpy(p->key, c->keys[which], CRYPTO_KEY);
	p->designated = true;
	p->replaceable = c->n_routers > 1;
	return p->name && p->host && p->key_file;
}

static bool fill_tables(struct config *ret, const struct tiny_config *c, uint32_t router,
			const struct config_network *network)
{
	const struct ip *own[] = { &ret->address4, &ret->address6 };

	ret->lndt = calloc(2, sizeof(*ret->lndt));
	ret->gndt = calloc(c->n_networks + 1, sizeof(*ret->gndt));
	ret->nets = calloc(1, sizeof(*ret->nets));
	if (!ret->lndt || !ret->gndt || !ret->nets)
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (own[i]->family)
			ret->lndt[ret->n_lndt++] =
				(struct lndt_row){ .network = network->id,
						   .prefix = prefix_host(own[i]) };
	for (size_t i = 0; i < c->n_networks; i++)
		ret->gndt[ret->n_gndt++] = (struct gndt_row){ .network = network->id,
							      .router = router,
							      .prefix = c->networks[i] };
	ret->nets[ret->n_nets++] = *network;
	return true;
}

struct config *tiny_config_router(const struct tiny_config *c, size_t which,
				  const struct config_network *network, const struct ip *address4,
				  const struct ip *address6)
{
	struct config *ret = calloc(1, sizeof(*ret));
	bool ok;

	if (!ret)
		return NULL;
	ret->file = strdup(c->file);
	ret->name = strdup(c->name);
	ret->device = strdup(c->device);
	ret->id = c->id;
	ret->mtu = c->mtu;
	ret->debug = c->debug;
	ret->address4 = *address4;
	ret->address6 = *address6;
	ret->protection = network->protection;
	ret->rekey_after = REKEY_AFTER;
	ret->rekey_frames = REKEY_FRAMES;
	ret->proxy = c->proxy;
	ret->peers = calloc(1, sizeof(*ret->peers));
	ok = ret->file && ret->name && ret->device && ret->peers;
	if (ok) {
		ret->n_peers = 1;
		ok = fill_peer(ret->peers, c, which);
	}
	if (ok && network->id)
		ok = fill_tables(ret, c, c->router_ids[which], network);
	if (ok)
		return ret;
	config_free(ret);
	return NULL;
}
