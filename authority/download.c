/*
 * The download server: what it has to give, and requests until it is known what they want. Who
 * wants to join is download_join.c's, the script download_script.c's.
 *
 * Strangers: so many requests of one address at once, then so many a second; bodies are short;
 * who fetches the program has longer, but only so many do at once.
 */
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
#include <openssl/evp.h>

#include "authority/api.h"
#include "authority/download_private.h"
#include "authority/index.h"
#include "authority/memory.h"
#include "authority/ranges.h"
#include "common/clock.h"
#include "common/log.h"

enum {
	BURST = 200, /* requests of one address at once */
	PER_SECOND = 20,
	SOURCES = 4096,	  /* addresses that are counted apart */
	FETCHES = 256,	  /* of one program on its way */
	FETCH_TIME = 300, /* s that one may take */
	BODY = 4096,	  /* bytes of a request */
	BINARY_MAX = 64 << 20,
};
static const char prefix[] = "/tiny/";

/* Of an address, or of those that share its place. */
struct bucket {
	double left;
	mono_t at; /* {0}: it is full */
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
	for (int i = 0; i < DOWNLOAD_ARCHS; i++)
		binary_unref(d->binaries[i]);
	ranges_free(d->ranges);
	free(d->buckets);
	free(d);
}

/* ---- answers ------------------------------------------------------------------- */

/* The text is cleared behind it. */
void download_answer(struct evhttp_request *q, int status, const char *type, char *text, size_t len)
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
void download_refuse(struct evhttp_request *q, int status, const char *format, ...)
{
	char words[400], *text;
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	text = download_refusal(words);
	download_answer(q, status, "text/x-shellscript", text, strlen(text));
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

/* ---- the program ---------------------------------------------------------------- */

static void sent(const void *data, size_t len, void *binary)
{
	(void)data, (void)len;
	binary_unref(binary);
}

static void give_binary(struct api *api, struct evhttp_request *q, const char *name)
{
	struct download *d = api->download;
	struct evbuffer *b;

	for (int i = 0; i < DOWNLOAD_ARCHS; i++) {
		struct download_binary *binary = d->binaries[i];
		size_t n = strlen(download_archs[i]);

		if (!binary || strncmp(name, download_archs[i], n) || name[n] != '-' ||
		    strcmp(name + n + 1, binary->digest))
			continue;
		if (binary->refs > FETCHES) { /* one is our own */
			download_refuse(q, 503, "too many fetch the program just now: try again");
			return;
		}
		binary->refs++;
		b = evbuffer_new();
		if (!b || evbuffer_add_reference(b, binary->data, binary->size, sent, binary))
			abort();
		if (api->http)
			http_wait(api->http, q, FETCH_TIME);
		evhttp_add_header(evhttp_request_get_output_headers(q), "Content-Type",
				  "application/octet-stream");
		evhttp_send_reply(q, 200, "OK", b);
		evbuffer_free(b);
		return;
	}
	download_refuse(
		q, 404,
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
	struct download_caller c = { .plain = plain };

	if (!api->download) {
		download_refuse(q, 404,
				"this authority gives no VM anything: [download] is not in its "
				"configuration");
		return;
	}
	if (!socket_address(q, true, &c.seen) || !socket_address(q, false, &c.at)) {
		download_refuse(q, 500, "where the request comes from can't be told");
		return;
	}
	if (!take_turn(api->download, &c.seen, clock_now())) {
		download_refuse(q, 429, "too many requests from this address: wait a little");
		return;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_POST) {
		download_refuse(q, 405, "only GET and POST");
		return;
	}
	if (!strncmp(rest, "binary/", 7)) {
		give_binary(api, q, rest + 7);
		return;
	}
	if (evbuffer_get_length(evhttp_request_get_input_buffer(q)) > BODY) {
		download_refuse(q, 413, "too large");
		return;
	}
	download_join(api, q, &c, rest, method == EVHTTP_REQ_POST);
}

void download_handle(struct api *api, struct evhttp_request *q, const char *path)
{
	handle(api, q, path, false);
}

/* ---- without TLS ---------------------------------------------------------------- */

void download_plain(struct evhttp_request *q, void *arg)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(q));

	if (path && download_has(path))
		handle(arg, q, path, true);
	else
		download_refuse(q, 404, "here is nothing but /tiny/");
}
