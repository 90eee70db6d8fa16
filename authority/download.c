/*
 * A stranger's VM asks twice. First for the script, which costs nothing and gives nothing away:
 * whether it would be let in is looked at, so that it hears at once if not. Then the script,
 * when all else is ready, asks for an identity: with the address that the VM has itself (which
 * NAT hides from here) and a nonce, by which it is given the same one if it has to ask again.
 *
 * The VM's key is made here, and its private half is forgotten with the answer: what the VM is
 * given is the key that it shares with each of its routers, which they make of the public one
 * (common/pair_key.h).
 *
 * Strangers: so many requests of one address at once, then so many a second; bodies are short;
 * who fetches the program has longer, but only so many do at once.
 */
#include "authority/download.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/evp.h>

#include "authority/api.h"
#include "authority/designate.h"
#include "authority/index.h"
#include "authority/memory.h"
#include "authority/ranges.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/pair_key.h"
#include "common/pki.h"

enum {
	BURST = 200, /* requests of one address at once */
	PER_SECOND = 20,
	SOURCES = 4096,	  /* addresses that are counted apart */
	FETCHES = 256,	  /* of one program on its way */
	FETCH_TIME = 300, /* s that one may take */
	BODY = 4096,	  /* bytes of a request */
	SILENCE = 15,	  /* s that a connection without TLS may say nothing */
	PLAIN_HEADERS = 4096,
	BINARY_MAX = 64 << 20,
};
static const char prefix[] = "/tiny/";

/* Of an address, or of those that share its place. */
struct bucket {
	double left;
	mono_t at; /* {0}: it is full */
};

struct download {
	const struct settings *settings;
	struct ranges *ranges; /* NULL: none are known */
	struct download_binary *binaries[DOWNLOAD_ARCHS];
	struct bucket *buckets;
	struct evhttp *plain;
};

/* A request that waits for the service. */
struct want {
	struct ask ask;
	struct api *api;
	struct evhttp_request *http;
	json_t *arguments;
	char token[PKI_HASH], secret[PKI_SECRET];
	struct ip seen, at;
	bool plain;  /* no TLS */
	bool script; /* a script asks, which wants to be told why not in its own form */
	bool whole;  /* for an identity */
	EVP_PKEY *key;
	char *base;
	const struct range *range; /* while the request is made */
};

/* ---- what is served ------------------------------------------------------------- */

static void binary_unref(struct download_binary *b)
{
	if (b && !--b->refs)
		free(b);
}

static void digest(struct download_binary *b)
{
	unsigned char hash[32];

	if (!EVP_Digest(b->data, b->size, hash, NULL, EVP_sha256(), NULL))
		abort();
	for (int i = 0; i < 32; i++)
		snprintf(b->digest + 2 * i, 3, "%02x", hash[i]);
}

/* NULL: it isn't there, which is said. */
static struct download_binary *load_binary(const char *directory, const char *arch)
{
	char *path = mem_format("%s/vine-tiny-%s", directory, arch);
	struct download_binary *b = NULL;
	FILE *f = fopen(path, "re");
	struct stat st;

	if (!f || fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || st.st_size > BINARY_MAX) {
		log_warn("%s: %s: VMs of that kind can't be served", path,
			 f ? "no file of a program" : strerror(errno));
	} else {
		b = mem_new(1, sizeof(*b) + (size_t)st.st_size);
		b->refs = 1;
		b->size = fread(b->data, 1, (size_t)st.st_size, f);
		digest(b);
	}
	if (f)
		fclose(f);
	free(path);
	return b;
}

static void load_binaries(struct download *d)
{
	for (int i = 0; i < DOWNLOAD_ARCHS; i++) {
		binary_unref(d->binaries[i]);
		d->binaries[i] = load_binary(d->settings->binaries, download_archs[i]);
	}
}

struct download *download_new(const struct settings *s)
{
	struct download *d = mem_new(1, sizeof(*d));

	d->settings = s;
	d->buckets = mem_new(SOURCES, sizeof(*d->buckets));
	if (s->ranges && !(d->ranges = ranges_load(s->ranges, stderr))) {
		download_free(d);
		return NULL;
	}
	load_binaries(d);
	return d;
}

void download_reload(struct download *d)
{
	struct ranges *l = d->settings->ranges ? ranges_load(d->settings->ranges, stderr) : NULL;

	load_binaries(d);
	if (!l) {
		if (d->settings->ranges)
			log_error("the ranges stay as they were");
		return;
	}
	ranges_free(d->ranges);
	d->ranges = l;
	log_info("%zu ranges of VMs, and their programs, were read again", l->n);
}

void download_free(struct download *d)
{
	if (!d)
		return;
	if (d->plain)
		evhttp_free(d->plain);
	for (int i = 0; i < DOWNLOAD_ARCHS; i++)
		binary_unref(d->binaries[i]);
	ranges_free(d->ranges);
	free(d->buckets);
	free(d);
}

/* ---- answers ------------------------------------------------------------------- */

/* The text is cleared behind it. */
static void answer(struct evhttp_request *q, int status, const char *type, char *text, size_t len)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(q);
	struct evbuffer *b = evbuffer_new();

	if (!b || evbuffer_add(b, text, len))
		abort();
	OPENSSL_cleanse(text, len);
	free(text);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	if (status == 429 || status == 503)
		evhttp_add_header(headers, "Retry-After", "1");
	evhttp_send_reply(q, status, http_reason(status), b);
	evbuffer_free(b);
}

/* In words: as a script that says them, since that is what is waited for. */
static void __attribute__((format(printf, 3, 4)))
refuse(struct evhttp_request *q, int status, const char *format, ...)
{
	char words[400], *text;
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	text = download_refusal(words);
	answer(q, status, "text/x-shellscript", text, strlen(text));
}

/* ---- who asks ------------------------------------------------------------------ */

static bool socket_address(struct evhttp_request *q, bool peer, struct ip *ret)
{
	struct evhttp_connection *c = evhttp_request_get_connection(q);
	struct bufferevent *b = c ? evhttp_connection_get_bufferevent(c) : NULL;
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	struct endpoint e;
	int fd = b ? bufferevent_getfd(b) : -1;

	if (fd < 0 || (peer ? getpeername(fd, (struct sockaddr *)&a, &len)
			    : getsockname(fd, (struct sockaddr *)&a, &len)))
		return false;
	if (endpoint_from_sockaddr((struct sockaddr *)&a, &e))
		return false;
	*ret = e.ip;
	return true;
}

/* Whether the address has a request left. Of IPv6 the /64 counts. */
static bool take_turn(struct download *d, const struct ip *from, mono_t now)
{
	uint32_t hash = index_hash(from->b, from->family == 6 ? 8 : 4);
	struct bucket *b = &d->buckets[hash % SOURCES];

	b->left = mono_is_set(b->at) ? b->left + (double)mono_since(now, b->at) / SEC * PER_SECOND
				     : BURST;
	b->left = b->left > BURST ? BURST : b->left;
	b->at = now;
	if (b->left < 1)
		return false;
	b->left--;
	return true;
}

/* What a Host header may be, for a script to call back. */
static bool host_valid(const char *text)
{
	size_t n = text ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789-.:[]")
			: 0;

	return n && n < 256 && !text[n];
}

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
		answer(w->http, 200, "text/plain", text, strlen(text));
	} else {
		refuse(w->http, status, "%s", why);
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
	const struct range *range = ranges_find(d->ranges, &w->seen);
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
	answer(w->http, 200, "text/plain", text, len);
	want_free(w);
}

static void give_script(struct want *w)
{
	const struct download *d = w->api->download;
	struct download_place p = { .base = w->base,
				    .token = *w->secret ? w->secret : "join",
				    .ca = w->plain ? NULL : ca_bundle(w->api->ca),
				    .at = &w->at };
	char *text;
	size_t len;

	for (int i = 0; i < DOWNLOAD_ARCHS; i++)
		p.binaries[i] = d->binaries[i];
	text = download_script(&p, &len);
	answer(w->http, 200, "text/x-shellscript", text, len);
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
static json_t *own_address(const struct want *w, const char *text)
{
	char buf[IP_TEXT];
	struct ip ip = w->seen;

	if (text && *text && ip_parse(text, &ip))
		return NULL;
	if (w->range ? !range_may_have(w->range, &w->seen, &ip)
		     : !ip_equal(&ip, &w->seen) && !is_private(&ip))
		return NULL;
	return mem_json(json_pack("[s]", ip_format(&ip, buf)));
}

/* A word of a stranger's that may be a name. */
static void add_name(json_t *arguments, const char *text)
{
	add(arguments, "name",
	    json_string(text && strlen(text) <= 40 && name_valid(text) ? text : ""));
}

static bool take_body(struct want *w)
{
	struct evbuffer *b = evhttp_request_get_input_buffer(w->http);
	struct evkeyvalq list = { 0 };
	size_t n = evbuffer_get_length(b);
	char *text = mem_new(n + 1, 1), *key;
	const char *nonce, *address;
	json_t *own = NULL;
	int failed;

	evbuffer_copyout(b, text, n);
	failed = strlen(text) != n || evhttp_parse_query_str(text, &list);
	free(text);
	if (failed)
		return false;
	w->script = evhttp_find_header(&list, "script") != NULL;
	nonce = evhttp_find_header(&list, "nonce");
	address = evhttp_find_header(&list, "address");
	if (nonce && strlen(nonce) >= 16 && name_valid(nonce))
		own = own_address(w, address);
	if (own) {
		char hash[PKI_HASH];

		pki_secret_hash(nonce, hash);
		add(w->arguments, "nonce", json_string(hash));
		add(w->arguments, "addresses", own);
		add_name(w->arguments, evhttp_find_header(&list, "name"));
	}
	evhttp_clear_headers(&list);
	if (!own)
		return false;
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

/* "TOKEN", with or without what names the CA, or "join". */
static bool take_token(struct want *w, const char *text)
{
	size_t n = strcspn(text, ".");

	if (!strcmp(text, "join"))
		return true;
	if (n != PKI_SECRET - 1 || strspn(text, "0123456789abcdef") != n)
		return false;
	snprintf(w->secret, sizeof(w->secret), "%.*s", (int)n, text);
	pki_secret_hash(w->secret, w->token);
	w->ask.request.token = w->token;
	return true;
}

static bool take_base(struct want *w)
{
	const char *host = evhttp_find_header(evhttp_request_get_input_headers(w->http), "Host");

	if (w->plain && !host_valid(host))
		return false;
	w->base = w->plain ? mem_format("http://%s", host) : mem_text(w->api->url);
	return true;
}

static void begin(struct want *w, const char *token)
{
	const struct download *d = w->api->download;
	char text[IP_TEXT];

	w->range = ranges_find(d->ranges, &w->seen);
	w->arguments = mem_json(json_object());
	add(w->arguments, "source", json_string(ip_format(&w->seen, text)));
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

/* ---- the program ---------------------------------------------------------------- */

static void sent(const void *data, size_t len, void *binary)
{
	(void)data, (void)len;
	binary_unref(binary);
}

static void give_binary(struct download *d, struct evhttp_request *q, const char *name)
{
	struct evbuffer *b;

	for (int i = 0; i < DOWNLOAD_ARCHS; i++) {
		struct download_binary *binary = d->binaries[i];
		size_t n = strlen(download_archs[i]);

		if (!binary || strncmp(name, download_archs[i], n) || name[n] != '-' ||
		    strcmp(name + n + 1, binary->digest))
			continue;
		if (binary->refs > FETCHES) { /* one is our own */
			refuse(q, 503, "too many fetch the program just now: try again");
			return;
		}
		binary->refs++;
		b = evbuffer_new();
		if (!b || evbuffer_add_reference(b, binary->data, binary->size, sent, binary))
			abort();
		http_wait(q, FETCH_TIME);
		evhttp_add_header(evhttp_request_get_output_headers(q), "Content-Type",
				  "application/octet-stream");
		evhttp_send_reply(q, 200, "OK", b);
		evbuffer_free(b);
		return;
	}
	refuse(q, 404,
	       "there is no such program, or there is a newer one: ask for the script again");
}

/* ---- requests ------------------------------------------------------------------ */

bool download_has(const char *path)
{
	return !strncmp(path, prefix, strlen(prefix));
}

static void handle(struct api *api, struct evhttp_request *q, const char *path, bool plain)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(q);
	const char *rest = path + strlen(prefix);
	struct ip seen, at;
	struct want *w;

	if (!api->download) {
		refuse(q, 404,
		       "this authority gives no VM anything: [download] is not in its "
		       "configuration");
		return;
	}
	if (!socket_address(q, true, &seen) || !socket_address(q, false, &at)) {
		refuse(q, 500, "where the request comes from can't be told");
		return;
	}
	if (!take_turn(api->download, &seen, clock_now())) {
		refuse(q, 429, "too many requests from this address: wait a little");
		return;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_POST) {
		refuse(q, 405, "only GET and POST");
		return;
	}
	if (!strncmp(rest, "binary/", 7)) {
		give_binary(api->download, q, rest + 7);
		return;
	}
	if (evbuffer_get_length(evhttp_request_get_input_buffer(q)) > BODY) {
		refuse(q, 413, "too large");
		return;
	}
	w = mem_new(1, sizeof(*w));
	w->api = api;
	w->http = q;
	w->seen = seen;
	w->at = at;
	w->plain = plain;
	w->whole = method == EVHTTP_REQ_POST;
	if (take_base(w))
		begin(w, rest);
	else
		want_refuse(w, 400, "the request has no Host");
}

void download_handle(struct api *api, struct evhttp_request *q, const char *path)
{
	handle(api, q, path, false);
}

/* ---- without TLS ---------------------------------------------------------------- */

static void on_plain(struct evhttp_request *q, void *arg)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(q));

	if (path && download_has(path))
		handle(arg, q, path, true);
	else
		refuse(q, 404, "here is nothing but /tiny/");
}

int download_listen(struct download *d, struct event_base *base, struct api *api,
		    const struct endpoint *e)
{
	char text[IP_TEXT];

	d->plain = evhttp_new(base);
	if (!d->plain)
		return -ENOMEM;
	evhttp_set_gencb(d->plain, on_plain, api);
	evhttp_set_max_body_size(d->plain, BODY);
	evhttp_set_max_headers_size(d->plain, PLAIN_HEADERS);
	evhttp_set_timeout(d->plain, SILENCE);
	evhttp_set_allowed_methods(d->plain, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	return evhttp_bind_socket_with_handle(d->plain, ip_format(&e->ip, text), e->port) ? 0
	       : errno									  ? -errno
											  : -EIO;
}
