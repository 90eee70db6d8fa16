/*
 * The sections and keys of router.conf as tables; vine-router.conf(5) says the same
 * in words.
 *
 * Bounds and defaults are here and nowhere else. What depends on more than one key
 * is in config_check.c.
 */
#include "router/config_private.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define ID_LAST 0xfffffffeull /* all ones and zero are no router's */

/* Words */

static const struct ini_word intercept_words[] = {
	{ "tun", INTERCEPT_TUN },
	{ "nfqueue", INTERCEPT_NFQUEUE },
	{ "packet", INTERCEPT_PACKET },
	{ "tap", -1 },
	{ 0 },
};
static const struct ini_word inject_words[] = {
	{ "tun", INJECT_TUN }, { "raw", INJECT_RAW }, { "packet", INJECT_PACKET }, { 0 }
};
static const struct ini_word fail_words[] = { { "closed", FAIL_CLOSED },
					      { "open", FAIL_OPEN },
					      { 0 } };
static const struct ini_word log_words[] = { { "info", false }, { "debug", true }, { 0 } };
static const struct ini_word protocol_words[] = {
	{ "udp", PROTOCOL_UDP },
	{ "tcp", PROTOCOL_TCP },
	{ "tls", PROTOCOL_TLS },
	{ "auto", PROTOCOL_AUTO },
	{ 0 },
};
static const struct ini_word limited_words[] = {
	{ "channel", LIMITED_CHANNEL },
	{ "udp", LIMITED_UDP },
	{ "poll-udp", LIMITED_POLL_UDP },
	{ "poll-tcp", LIMITED_POLL_TCP },
	{ 0 },
};
const struct ini_word config_sign_words[] = { { "hmac-sha256", PROTECT_HMAC },
					      { "none", PROTECT_NONE },
					      { 0 } };
const struct ini_word config_encrypt_words[] = {
	{ "none", PROTECT_NONE },
	{ "aes-256-gcm", PROTECT_AES_256_GCM },
	{ "chacha20-poly1305", PROTECT_CHACHA20_POLY1305 },
	{ 0 },
};

static const char *word_text(const struct ini_word *words, int value)
{
	for (; words->text; words++)
		if (words->value == value)
			return words->text;
	return "?";
}

const char *intercept_method_name(enum intercept_method method)
{
	return word_text(intercept_words, (int)method);
}

bool intercept_method_parse(const char *text, enum intercept_method *ret)
{
	for (const struct ini_word *w = intercept_words; w->text; w++) {
		if (w->value >= 0 && strcmp(w->text, text) == 0) {
			*ret = (enum intercept_method)w->value;
			return true;
		}
	}
	return false;
}

const char *inject_method_name(enum inject_method method)
{
	return word_text(inject_words, (int)method);
}

/* Sections */

static void *open_plain(void *arg, struct ini *ini, struct ini_section *s)
{
	struct draft *d = arg;

	(void)ini;
	d->plain[s->kind - config_kinds] = s;
	return d;
}

/* Allocates an item of a list of pointers. */
static void *new_item(struct ini *ini, void ***list, size_t *n, size_t size)
{
	void *item = calloc(1, size);
	void **slot = item ? ini_grow((void **)list, *n, sizeof(*slot)) : NULL;

	if (!slot) {
		ini_no_memory(ini);
		free(item);
		return NULL;
	}
	*slot = item;
	++*n;
	return item;
}

static bool read_network(struct ini *ini, const struct ini_section *s, uint32_t *ret)
{
	if (id_parse(s->argument, ret) == 0 && *ret != 0)
		return true;
	ini_error(ini, s->line, s->label, NULL,
		  "a network ID, a number from 1 to 4294967295 or a dotted quad",
		  "\"%s\" is no network", s->argument);
	return false;
}

static void *open_network(void *arg, struct ini *ini, struct ini_section *s)
{
	struct draft *d = arg;
	struct draft_network *n;
	uint32_t id;

	if (!read_network(ini, s, &id))
		return NULL;
	n = new_item(ini, (void ***)&d->networks, &d->n_networks, sizeof(*n));
	if (!n)
		return NULL;
	n->id = id;
	n->protection = (struct draft_protection){ -1, -1 };
	n->section = s;
	return n;
}

static void *open_gndt(void *arg, struct ini *ini, struct ini_section *s)
{
	struct draft *d = arg;
	struct draft_gndt *g;
	uint32_t id;

	if (!read_network(ini, s, &id))
		return NULL;
	g = new_item(ini, (void ***)&d->gndts, &d->n_gndts, sizeof(*g));
	if (!g)
		return NULL;
	g->network = id;
	g->line = s->line;
	g->draft = d;
	return g;
}

/* A peer of either kind. */
static void *open_peer(void *arg, struct ini *ini, struct ini_section *s)
{
	struct draft *d = arg;
	struct draft_peer *p;

	if (!ini_is_name(s->argument, CONFIG_NAME_MAX)) {
		ini_error(ini, s->line, s->label, NULL,
			  "at most 63 letters, digits, '.', '_' and '-'", "\"%s\" is no name",
			  s->argument);
		return NULL;
	}
	p = new_item(ini, (void ***)&d->peers, &d->n_peers, sizeof(*p));
	if (!p)
		return NULL;
	p->section = s;
	p->p.line = s->line;
	p->p.tiny = p->p.transit = s->kind == &config_kinds[KIND_TINY];
	p->p.name = strdup(s->argument);
	if (!p->p.name) {
		ini_no_memory(ini);
		return NULL;
	}
	return p;
}

/* The tables */

static const struct ini_option router_options[] = {
	{ .key = "name",
	  .type = &ini_name,
	  INI_FIELD(struct config, name),
	  .max = CONFIG_NAME_MAX,
	  .flags = INI_REQUIRED },
	{ .key = "id",
	  .type = &ini_id,
	  INI_FIELD(struct config, id),
	  .min = 1,
	  .max = ID_LAST,
	  .flags = INI_FIXED },
	{ .key = "workers",
	  .type = &ini_number,
	  INI_FIELD(struct config, workers),
	  .min = 1,
	  .max = 32,
	  .zero = "auto",
	  .fallback = "auto" },
	/* 107: what a socket address has room for */
	{ .key = "control",
	  .type = &ini_path,
	  INI_FIELD(struct config, control),
	  .max = 107,
	  .fallback = "/run/vine/router.sock",
	  .flags = INI_FIXED },
	{ .key = "mtu",
	  .type = &ini_number,
	  INI_FIELD(struct config, mtu),
	  .min = 1280,
	  .max = 9000,
	  .zero = "auto",
	  .fallback = "auto",
	  .flags = INI_FIXED },
	{ .key = "address", .type = &config_address_type, .flags = INI_LIST },
	{ .key = "metrics",
	  .type = &ini_endpoint,
	  INI_FIELD(struct config, metrics),
	  .zero = "off",
	  .fallback = "off",
	  .flags = INI_FIXED },
	{ .key = "log",
	  .type = &ini_choice,
	  INI_FIELD(struct config, debug),
	  .words = log_words,
	  .fallback = "info" },
};

static const struct ini_option intercept_options[] = {
	{ .key = "method",
	  .type = &ini_choice,
	  INI_FIELD(struct config, intercept),
	  .words = intercept_words,
	  .fallback = "tun" },
	/* 15: the kernel's limit for the name of an interface */
	{ .key = "device",
	  .type = &ini_name,
	  INI_FIELD(struct config, device),
	  .max = 15,
	  .fallback = "vine0",
	  .flags = INI_FIXED },
	{ .key = "networks",
	  .type = &ini_prefix,
	  INI_ITEMS(struct config, networks, n_networks),
	  .most = 256,
	  .flags = INI_LIST },
	{ .key = "interfaces",
	  .type = &ini_name,
	  INI_ITEMS(struct config, interfaces, n_interfaces),
	  .most = 32,
	  .max = 15,
	  .flags = INI_LIST,
	  .expected = "names of network interfaces of the site" },
	/* room for 32 workers with three ranges each (nfq.h) */
	{ .key = "queue",
	  .type = &ini_number,
	  INI_FIELD(struct config, queue),
	  .min = 0,
	  .max = 65440,
	  .fallback = "0",
	  .flags = INI_FIXED },
	{ .key = "fail",
	  .type = &ini_choice,
	  INI_FIELD(struct config, fail),
	  .words = fail_words,
	  .fallback = "closed" },
	{ .key = "source-check",
	  .type = &ini_bool,
	  INI_FIELD(struct config, source_check),
	  .fallback = "yes",
	  .flags = INI_FIXED },
};

static const struct ini_option inject_options[] = {
	{ .key = "method",
	  .type = &ini_choice,
	  INI_FIELD(struct config, inject),
	  .words = inject_words,
	  .fallback = "tun" },
};

static const struct ini_option listen_options[] = {
	{ .key = "udp",
	  .type = &ini_endpoint,
	  INI_ITEMS(struct config, udp, n_udp),
	  .most = 64,
	  .fallback = "0.0.0.0:8463, [::]:8463",
	  .flags = INI_LIST | INI_FIXED },
	{ .key = "tcp",
	  .type = &ini_endpoint,
	  INI_ITEMS(struct config, tcp, n_tcp),
	  .most = 64,
	  .flags = INI_LIST | INI_FIXED },
	{ .key = "tls",
	  .type = &ini_endpoint,
	  INI_ITEMS(struct config, tls, n_tls),
	  .most = 64,
	  .flags = INI_LIST | INI_FIXED },
	{ .key = "tls-certificate",
	  .type = &ini_path,
	  INI_FIELD(struct config, tls_certificate),
	  .max = 4095,
	  .flags = INI_FIXED },
	{ .key = "tls-key",
	  .type = &ini_path,
	  INI_FIELD(struct config, tls_key),
	  .max = 4095,
	  .flags = INI_FIXED },
};

static const struct ini_option security_options[] = {
	{ .key = "sign",
	  .type = &config_protection_type,
	  INI_FIELD(struct draft, security.sign),
	  .words = config_sign_words,
	  .fallback = "hmac-sha256" },
	{ .key = "encrypt",
	  .type = &config_protection_type,
	  INI_FIELD(struct draft, security.encrypt),
	  .words = config_encrypt_words,
	  .fallback = "none" },
	{ .key = "rekey-after",
	  .type = &ini_duration,
	  INI_FIELD(struct config, rekey_after),
	  .min = NS_PER_S,
	  .max = 120 * NS_PER_S,
	  .fallback = "120s" },
	{ .key = "rekey-frames",
	  .type = &ini_number,
	  INI_FIELD(struct config, rekey_frames),
	  .min = 1000,
	  .max = 1ull << 32,
	  .fallback = "4294967296" },
};

static const struct ini_option proxy_options[] = {
	{ .key = "url",
	  .type = &config_proxy_type,
	  INI_FIELD(struct config, proxy),
	  .flags = INI_REQUIRED },
};

static const struct ini_option limited_options[] = {
	{ .key = "queue-routers",
	  .type = &ini_name,
	  INI_ITEMS(struct config, queue_routers, n_queue_routers),
	  .most = RELAYS_MAX,
	  .max = CONFIG_NAME_MAX,
	  .flags = INI_LIST,
	  .expected = "names of peers, the first choice first" },
	{ .key = "mode",
	  .type = &ini_choice,
	  INI_FIELD(struct config, limited),
	  .words = limited_words,
	  .fallback = "channel" },
	{ .key = "interval",
	  .type = &ini_duration,
	  INI_FIELD(struct config, poll_interval),
	  .min = 10 * NS_PER_MS,
	  .max = 60 * NS_PER_S,
	  .fallback = "200ms" },
};

static const struct ini_option queue_options[] = {
	{ .key = "bytes",
	  .type = &ini_number,
	  INI_FIELD(struct config, queue_bytes),
	  .min = 64 << 10,
	  .max = 1 << 30,
	  .fallback = "4194304",
	  .flags = INI_FIXED },
	{ .key = "age",
	  .type = &ini_duration,
	  INI_FIELD(struct config, queue_age),
	  .min = 10 * NS_PER_MS,
	  .max = 60 * NS_PER_S,
	  .fallback = "5s",
	  .flags = INI_FIXED },
};

static const struct ini_option authority_options[] = {
	{ .key = "url",
	  .type = &config_url_type,
	  INI_ITEMS(struct config, urls, n_urls),
	  .most = 8,
	  .flags = INI_LIST | INI_FIXED },
	{ .key = "identity",
	  .type = &ini_path,
	  INI_FIELD(struct config, identity),
	  .max = 3900,
	  .fallback = "/var/lib/vine-router/identity",
	  .flags = INI_FIXED },
	{ .key = "state",
	  .type = &ini_path,
	  INI_FIELD(struct config, state),
	  .max = 3900,
	  .fallback = "/var/lib/vine-router",
	  .flags = INI_FIXED },
};

static const struct ini_option hosts_options[] = {
	{ .key = "listen",
	  .type = &ini_endpoint,
	  INI_FIELD(struct config, hosts),
	  .zero = "off",
	  .fallback = "off",
	  .flags = INI_FIXED },
};

static const struct ini_option lndt_options[] = {
	{ .type = &config_lndt_type, .flags = INI_LIST },
};

static const struct ini_option network_options[] = {
	{ .key = "sign",
	  .type = &config_protection_type,
	  INI_FIELD(struct draft_network, protection.sign),
	  .words = config_sign_words },
	{ .key = "encrypt",
	  .type = &config_protection_type,
	  INI_FIELD(struct draft_network, protection.encrypt),
	  .words = config_encrypt_words },
};

static const struct ini_option gndt_options[] = {
	{ .type = &config_gndt_type, .flags = INI_LIST },
};

static const struct ini_option peer_options[] = {
	{ .key = "id",
	  .type = &ini_id,
	  INI_FIELD(struct config_peer, id),
	  .min = 1,
	  .max = ID_LAST,
	  .flags = INI_REQUIRED },
	{ .key = "endpoint", .type = &config_host_type },
	{ .key = "tls-port",
	  .type = &ini_number,
	  INI_FIELD(struct config_peer, tls_port),
	  .min = 1,
	  .max = 65535,
	  .fallback = "443" },
	{ .key = "protocol",
	  .type = &ini_choice,
	  INI_FIELD(struct config_peer, protocol),
	  .words = protocol_words,
	  .fallback = "udp" },
	{ .key = "queue-routers",
	  .type = &ini_name,
	  INI_ITEMS(struct config_peer, queue_routers, n_queue_routers),
	  .most = RELAYS_MAX,
	  .max = CONFIG_NAME_MAX,
	  .flags = INI_LIST,
	  .expected = "names of peers, the first choice first" },
	{ .key = "key-file",
	  .type = &config_key_file_type,
	  INI_FIELD(struct config_peer, key_file),
	  .flags = INI_REQUIRED },
	{ .key = "relay",
	  .type = &ini_bool,
	  INI_FIELD(struct config_peer, relay),
	  .fallback = "no" },
	{ .key = "direct",
	  .type = &ini_bool,
	  INI_FIELD(struct config_peer, direct),
	  .fallback = "yes" },
	{ .key = "transit",
	  .type = &ini_bool,
	  INI_FIELD(struct config_peer, transit),
	  .fallback = "no" },
};

static const struct ini_option tiny_options[] = {
	{ .key = "id",
	  .type = &ini_id,
	  INI_FIELD(struct config_peer, id),
	  .min = 1,
	  .max = ID_LAST,
	  .flags = INI_REQUIRED },
	{ .key = "key-file",
	  .type = &config_key_file_type,
	  INI_FIELD(struct config_peer, key_file),
	  .flags = INI_REQUIRED },
	{ .key = "network",
	  .type = &ini_id,
	  INI_FIELD(struct config_peer, network),
	  .min = 1,
	  .max = UINT32_MAX,
	  .flags = INI_REQUIRED },
	{ .key = "address",
	  .type = &ini_prefix,
	  INI_ITEMS(struct config_peer, addresses, n_addresses),
	  .most = 8,
	  .flags = INI_LIST | INI_REQUIRED,
	  .expected = "addresses of the VM" },
};

#define OPTIONS(list) .options = list, .n_options = sizeof(list) / sizeof((list)[0])

const struct ini_kind config_kinds[KINDS] = {
	[KIND_ROUTER] = { .name = "router", OPTIONS(router_options), .open = open_plain },
	[KIND_INTERCEPT] = { .name = "intercept", OPTIONS(intercept_options), .open = open_plain },
	[KIND_INJECT] = { .name = "inject", OPTIONS(inject_options), .open = open_plain },
	[KIND_LISTEN] = { .name = "listen", OPTIONS(listen_options), .open = open_plain },
	[KIND_SECURITY] = { .name = "security", OPTIONS(security_options), .open = open_plain },
	[KIND_PROXY] = { .name = "proxy",
			 .optional = true,
			 OPTIONS(proxy_options),
			 .open = open_plain },
	[KIND_LIMITED] = { .name = "limited",
			   .optional = true,
			   OPTIONS(limited_options),
			   .open = open_plain },
	[KIND_AUTHORITY] = { .name = "authority",
			     .optional = true,
			     OPTIONS(authority_options),
			     .open = open_plain },
	[KIND_HOSTS] = { .name = "hosts",
			 .optional = true,
			 OPTIONS(hosts_options),
			 .open = open_plain },
	[KIND_QUEUE] = { .name = "queue", OPTIONS(queue_options), .open = open_plain },
	[KIND_LNDT] = { .name = "lndt", OPTIONS(lndt_options), .open = open_plain },
	[KIND_NETWORK] = { .name = "network",
			   .argument = "ID",
			   OPTIONS(network_options),
			   .open = open_network },
	[KIND_GNDT] = { .name = "gndt",
			.argument = "ID",
			OPTIONS(gndt_options),
			.open = open_gndt },
	[KIND_PEER] = { .name = "peer",
			.argument = "NAME",
			OPTIONS(peer_options),
			.open = open_peer },
	[KIND_TINY] = { .name = "tiny",
			.argument = "NAME",
			OPTIONS(tiny_options),
			.open = open_peer },
};
