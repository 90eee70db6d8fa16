/*
 * A stranger's VM asks twice. First for the script, which costs nothing and gives nothing away:
 * whether it would be let in is looked at, so that it hears at once if not. Then the script,
 * when all else is ready, asks for an identity: with the address that the VM has itself (which
 * NAT hides from here) and a nonce, by which it is given the same one if it has to ask again.
 *
 * The VM's key is made here, and its private half is forgotten with the answer: what the VM is
 * given is the key that it shares with each of its routers, which they make of the public one
 * (common/pair_key.h).
 */
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <openssl/evp.h>

#include "authority/api.h"
#include "authority/designate.h"
#include "authority/download_private.h"
#include "authority/memory.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/pair_key.h"
#include "common/pki.h"

/* A request that waits for the service. */
struct want {
	struct ask ask;
	struct api *api;
	struct evhttp_request *http;
	json_t *arguments;
	char token[PKI_HASH], secret[PKI_SECRET];
	struct download_caller caller;
	bool script; /* a script asks, which wants to be told why not in its own form */
	bool whole;  /* for an identity */
	EVP_PKEY *key;
	char *base;
	const struct range *range; /* while the request is made */
};

static void want_free(struct want *w)
{
	json_decref(w->arguments);
	EVP_PKEY_free(w->key);
	free(w->base);
	OPENSSL_cleanse(w->secret, sizeof(w->secret));
	free(w);
}

static void want_refuse(struct want *w, int status, const char *why)
{
	char *text;

	if (w->script) {
		text = mem_format("refused %s\n", why);
		download_answer(w->http, 200, "text/plain", text, strlen(text));
	} else {
		download_refuse(w->http, status, "%s", why);
	}
	want_free(w);
}

/* ---- an identity ---------------------------------------------------------------- */

static void put_prefixes(FILE *f, const char *key, const struct prefix *p, size_t n, bool *first)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < n; i++) {
		if (*first)
			fprintf(f, "%s = ", key);
		fprintf(f, "%s%s", *first ? "" : ", ", prefix_format(&p[i], text));
		*first = false;
	}
}

/* What goes to the router: the space of virtual addresses, and those of VMs of all clouds. */
static void put_networks(FILE *f, const struct download *d, const struct registry *r)
{
	const struct blocks *space = &registry_order(r)->record.space;
	bool first = true;

	put_prefixes(f, "networks", space->at, space->n, &first);
	for (size_t i = 0; d->ranges && i < d->ranges->n; i++)
		put_prefixes(f, "networks", d->ranges->at[i]->addresses,
			     d->ranges->at[i]->n_addresses, &first);
	fputs("\n", f);
}

struct shared {
	const struct router *router;
	uint8_t key[CRYPTO_KEY];
};

/* The routers of a tiny with the keys that it shares with them. */
static size_t find_shared(const struct want *w, const struct tiny *t, struct shared *ret)
{
	const struct registry *r = service_registry(w->api->service);
	size_t n = 0;

	for (size_t i = 0; i < t->record.routers.n; i++) {
		const struct router *router = registry_router(r, t->record.routers.at[i]);

		if (!router || !pair_key(w->key, t->record.id, router->record.key,
					 strlen(router->record.key), router->record.id, ret[n].key))
			continue;
		ret[n++].router = router;
	}
	return n;
}

static void put_config(FILE *f, const struct want *w, const struct tiny *t, const struct shared *l,
		       size_t n)
{
	const struct download *d = w->api->download;
	const struct range *range = ranges_find(d->ranges, &w->caller.seen);
	bool first = true;
	char text[IP_TEXT];

	fprintf(f,
		"== tiny.conf\n"
		"; Made by %s. To undo all of it: vine-tiny --uninstall\n"
		"[tiny]\nname = %s\nid = %u\nrouter = ",
		w->base, t->object.name, (unsigned)t->record.id);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s%s", i ? ", " : "", l[i].router->record.endpoint);
	fputs("\nrouter-id = ", f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%s%u", i ? ", " : "", (unsigned)l[i].router->record.id);
	fprintf(f, "\nprotocol = auto\ntls-port = %u\naddress = ",
		(unsigned)l[0].router->record.tls_port);
	for (size_t i = 0; i < t->record.addresses.n; i++)
		fprintf(f, "%s%s", i ? ", " : "", ip_format(&t->record.addresses.at[i], text));
	fputs("\n", f);
	put_networks(f, d, service_registry(w->api->service));
	if (range && range->n_local) {
		put_prefixes(f, "local", range->local, range->n_local, &first);
		fputs("\n", f);
	}
	fputs("device = vine0\nkey-file = ", f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, i ? ", /etc/vine/tiny-%zu.key" : "/etc/vine/tiny.key", i + 1);
	fputs("\n", f);
}

static void give_identity(struct want *w, const struct outcome *o)
{
	const char *name = json_string_value(json_object_get(o->result, "name"));
	const char *vn = json_string_value(json_object_get(o->result, "vn"));
	const struct tiny *t = name ? registry_tiny(service_registry(w->api->service), name) : NULL;
	struct shared shared[RECORD_TINY_ROUTERS];
	size_t n = t ? find_shared(w, t, shared) : 0, len;
	char *text = NULL, line[CRYPTO_KEY_TEXT];
	FILE *f;

	if (!n) {
		want_refuse(w, 500, "its routers have no keys that could be used");
		return;
	}
	f = open_memstream(&text, &len);
	if (!f)
		abort();
	fprintf(f, "vine-tiny 1 %s %s\n", name, vn);
	put_config(f, w, t, shared, n);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, i ? "== tiny-%zu.key\n" : "== tiny.key\n", i + 1);
		fprintf(f, "%s\n", crypto_key_format(shared[i].key, line));
	}
	fputs("== end\n", f);
	if (fclose(f))
		abort();
	OPENSSL_cleanse(line, sizeof(line));
	OPENSSL_cleanse(shared, sizeof(shared));
	download_answer(w->http, 200, "text/plain", text, len);
	want_free(w);
}

static void give_script(struct want *w)
{
	const struct download *d = w->api->download;
	struct download_place p = { .base = w->base,
				    .token = *w->secret ? w->secret : "join",
				    .ca = w->caller.plain ? NULL : ca_bundle(w->api->ca),
				    .at = &w->caller.at };
	char *text;
	size_t len;

	for (int i = 0; i < DOWNLOAD_ARCHS; i++)
		p.binaries[i] = d->binaries[i];
	text = download_script(&p, &len);
	download_answer(w->http, 200, "text/x-shellscript", text, len);
	want_free(w);
}

static void done(struct ask *a, const struct outcome *o)
{
	struct want *w = container_of(a, struct want, ask);

	if (o->status != 200)
		want_refuse(w, o->status, o->detail);
	else if (w->whole)
		give_identity(w, o);
	else
		give_script(w);
}

/* ---- asking the service ---------------------------------------------------------- */

static void add(json_t *o, const char *name, json_t *value)
{
	json_object_set_new(o, name, mem_json(value));
}

static void add_routers(const struct want *w, json_t *arguments)
{
	const struct api *api = w->api;
	const struct router *best[DESIGNATE_MOST];
	json_t *list = mem_json(json_array());
	size_t n = designate(service_registry(api->service),
			     api->health ? health_monitor(api->health) : NULL,
			     api->download->ranges, w->range, best);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, mem_json(json_string(best[i]->object.name)));
	add(arguments, "routers", list);
}

/* Tinies with one of these addresses that aren't up. */
static void add_gone(const struct want *w, json_t *arguments)
{
	const struct registry *r = service_registry(w->api->service);
	const struct monitor *m = w->api->health ? health_monitor(w->api->health) : NULL;
	json_t *list = mem_json(json_array()), *address;
	const struct host *h;
	size_t i, place;
	struct ip ip;

	json_array_foreach(json_object_get(arguments, "addresses"), i, address)
	{
		if (ip_parse(json_string_value(address), &ip))
			continue;
		for (place = 0; (h = registry_at(r, &ip, &place));)
			if (h->tiny && m && monitor_tiny_gone(m, h->tiny->record.id, clock_now()))
				json_array_append_new(list, mem_json(json_string(h->object.name)));
	}
	add(arguments, "gone", list);
}

static bool is_private(const struct ip *ip)
{
	static const char *const all[] = { "10.0.0.0/8",    "172.16.0.0/12", "192.168.0.0/16",
					   "100.64.0.0/10", "fc00::/7",	     NULL };
	struct prefix p;

	for (int i = 0; all[i]; i++)
		if (!prefix_parse(all[i], &p) && prefix_contains(&p, ip))
			return true;
	return false;
}

/* The VM's own address, as it says; else the one that it is seen with. NULL: it can't be. */
static json_t *own_address(const struct want *w, const struct ip *says)
{
	const struct ip *ip = says->family ? says : &w->caller.seen;
	char buf[IP_TEXT];

	if (w->range ? !range_may_have(w->range, &w->caller.seen, ip)
		     : !ip_equal(ip, &w->caller.seen) && !is_private(ip))
		return NULL;
	return mem_json(json_pack("[s]", ip_format(ip, buf)));
}

static bool take_body(struct want *w)
{
	struct evbuffer *b = evhttp_request_get_input_buffer(w->http);
	size_t n = evbuffer_get_length(b);
	struct download_form form;
	char hash[PKI_HASH], *key;
	json_t *own = NULL;

	if (download_form(n ? (const char *)evbuffer_pullup(b, -1) : "", n, &form))
		own = own_address(w, &form.address);
	w->script = form.script;
	if (!own)
		return false;
	pki_secret_hash(form.nonce, hash);
	add(w->arguments, "nonce", json_string(hash));
	add(w->arguments, "addresses", own);
	add(w->arguments, "name", json_string(form.name));
	w->key = pki_key_new();
	key = w->key ? pki_key_text(w->key) : NULL;
	add(w->arguments, "key", json_string(key ? key : ""));
	free(key);
	add_gone(w, w->arguments);
	return true;
}

/* Of those that are nobody else's: for what VN. */
static bool take_exclusive(struct want *w)
{
	if (!w->range || !w->range->exclusive)
		return false;
	add(w->arguments, "vn", json_string(w->range->vn));
	add(w->arguments, "owner", json_string(w->range->owner));
	w->ask.request.caller.kind = CALLER_AUTHORITY;
	return true;
}

static bool take_token(struct want *w, const char *text)
{
	if (!download_token(text, w->secret))
		return false;
	if (*w->secret) {
		pki_secret_hash(w->secret, w->token);
		w->ask.request.token = w->token;
	}
	return true;
}

static bool take_base(struct want *w)
{
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(w->http), "Host");

	if (w->caller.plain && !download_host(host))
		return false;
	w->base = w->caller.plain ? mem_format("http://%s", host) : mem_text(w->api->url);
	return true;
}

static void begin(struct want *w, const char *token)
{
	const struct download *d = w->api->download;
	char text[IP_TEXT];

	w->range = ranges_find(d->ranges, &w->caller.seen);
	w->arguments = mem_json(json_object());
	add(w->arguments, "source", json_string(ip_format(&w->caller.seen, text)));
	add(w->arguments, "range", json_string(w->range ? w->range->name : ""));
	if (!take_token(w, token)) {
		want_refuse(w, 404, "this is no token: use the command as it was given to you");
		return;
	}
	if (w->whole && !take_body(w)) {
		char words[160];

		snprintf(words, sizeof(words),
			 "a VM that is seen here with the address %s can't have the one that it "
			 "says, or what it says is not understood",
			 text);
		want_refuse(w, 403, words);
		return;
	}
	if (!*w->token && !take_exclusive(w)) {
		want_refuse(w, 403, "from here nobody joins without a token");
		return;
	}
	add_routers(w, w->arguments);
	w->range = NULL;
	w->ask.request.operation = operation_rules[OPERATION_TINY_JOIN].name;
	w->ask.request.arguments = w->arguments;
	w->ask.request.dry_run = !w->whole;
	w->ask.done = done;
	service_ask(w->api->service, &w->ask);
}

void download_join(struct api *api, struct evhttp_request *q, const struct download_caller *c,
		   const char *token, bool whole)
{
	struct want *w = mem_new(1, sizeof(*w));

	w->api = api;
	w->http = q;
	w->caller = *c;
	w->whole = whole;
	if (take_base(w))
		begin(w, token);
	else
		want_refuse(w, 400, "the request has no Host");
}
