/*
 * See hosts.h. A request's way: is it one, and within its source's bounds; the authority is
 * asked for what the host wants; then for how the host is, which is the answer. So whatever
 * was asked, the host learns the same things.
 *
 * Nothing is decided here. Two hosts that ask at once for an address get different ones,
 * and one that asks twice the same, because the authority's store has it so. Without the
 * authority nothing can be asked, which is said: a host goes on with what it has.
 */
#include "router/hosts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki.h"
#include "router/authority.h"
#include "router/http.h"
#include "router/https.h"
#include "router/router.h"

#define NAME 64
#define SECRET_LEAST 32 /* characters: whoever chooses one should not guess low */
#define SECRET 129
#define SOURCES 64 /* that are remembered */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789.-"

enum verb { SHOW, REGISTER, ADDRESS, JOIN, LEAVE, VERBS };

static const struct {
	const char *method, *path; /* that ends with '/': the name of a network follows */
} verbs[VERBS] = {
	[SHOW] = { "GET", "/v1/host" },
	[REGISTER] = { "POST", "/v1/host" },
	[ADDRESS] = { "POST", "/v1/host/address" },
	[JOIN] = { "POST", "/v1/host/join/" },
	[LEAVE] = { "POST", "/v1/host/leave/" },
};

/* How far ahead of its share somebody is: until then it could have asked all of it. */
struct share {
	struct ip source;
	mono_t until;
};

struct hosts {
	struct router *router;
	struct http *http;
	struct list asks;
	struct share all, sources[SOURCES];
};

/* A request while the authority is asked. */
struct ask {
	struct list node;
	struct hosts *hosts;
	struct http_request *http;
	struct https_request *https;
	enum verb verb;
	char name[NAME], vn[NAME];
	char header[32 + NAME + PKI_HASH];
};

/* ---- bounds ---------------------------------------------------------------------- */

static bool take(struct share *s, int64_t every, unsigned burst, mono_t now)
{
	mono_t from = mono_is_set(s->until) && mono_before(now, s->until) ? s->until : now;
	mono_t until = mono_add(from, every);

	if (mono_since(until, now) > every * burst)
		return false;
	s->until = until;
	return true;
}

/* The source's, or that of the one which is heard of longest ago. */
static struct share *share_of(struct hosts *h, const struct ip *from)
{
	struct share *oldest = &h->sources[0];

	for (size_t i = 0; i < SOURCES; i++) {
		struct share *s = &h->sources[i];

		if (ip_same_source(&s->source, from))
			return s;
		if (!mono_is_set(s->until) ||
		    (mono_is_set(oldest->until) && mono_before(s->until, oldest->until)))
			oldest = s;
	}
	*oldest = (struct share){ .source = *from };
	return oldest;
}

static bool may_ask(struct hosts *h, const struct ip *from, mono_t now)
{
	return take(share_of(h, from), HOSTS_EVERY, HOSTS_BURST, now) &&
	       take(&h->all, HOSTS_EVERY_ALL, HOSTS_BURST_ALL, now);
}

/* ---- answers --------------------------------------------------------------------- */

static void ask_free(struct ask *a)
{
	https_cancel(a->https);
	list_remove(&a->node);
	free(a);
}

static void fail(struct ask *a, int status, const char *text)
{
	http_say(a->http, status, text);
	ask_free(a);
}

/* The authority's refusals are the host's; what is wrong between router and authority is
 * not. */
static void fail_as(struct ask *a, const struct https_answer *answer)
{
	bool own = answer->status == 400 || answer->status == 403 || answer->status == 404 ||
		   answer->status == 409;
	char words[AUTHORITY_WORDS], text[AUTHORITY_WORDS + 64];

	authority_words(answer, words);
	snprintf(text, sizeof(text), "%s%s",
		 own ? "" : "the authority can't be asked now: ", words);
	fail(a, own ? (int)answer->status : 503, text);
}

static void write_list(FILE *out, const char *key, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));

		if (text && !strpbrk(text, "\r\n"))
			fprintf(out, "%s %s\n", key, text);
	}
}

/* Where the host sends what is for other sites. The gateway is where it has reached this
 * router; of the other family the one that is configured. */
static void write_ways(FILE *out, const struct config *c, const struct ip *at)
{
	const struct ip *gateways[2] = { at->family == 4 ? at : &c->address4,
					 at->family == 6 ? at : &c->address6 };
	char text[PREFIX_TEXT];

	for (int i = 0; i < 2; i++) {
		if (!gateways[i]->family)
			continue;
		fprintf(out, "gateway %s\n", ip_format(gateways[i], text));
		for (size_t k = 0; k < c->n_networks; k++)
			if (c->networks[k].ip.family == gateways[i]->family)
				fprintf(out, "network %s\n", prefix_format(&c->networks[k], text));
	}
}

static void shown(void *arg, const struct https_answer *answer, mono_t now)
{
	struct ask *a = arg;
	const struct config *config = a->hosts->router->config;
	json_t *body = NULL, *host;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	(void)now;
	a->https = NULL;
	if (answer->status != 200) {
		fail_as(a, answer);
		return;
	}
	body = json_loadb(answer->body, answer->len, 0, NULL);
	host = json_array_get(json_object_get(body, "hosts"), 0);
	out = host ? open_memstream(&text, &len) : NULL;
	if (out) {
		fprintf(out, "host %s\nrouter %s\n", a->name, config->name);
		write_list(out, "address", json_object_get(host, "addresses"));
		write_list(out, "vn", json_object_get(host, "vns"));
		write_ways(out, config, http_at(a->http));
		fclose(out);
	}
	if (text) {
		http_answer(a->http, 200, "Content-Type: text/plain; charset=utf-8\r\n", text, len);
		ask_free(a);
	} else {
		fail(a, 503, "the authority's answer can't be understood");
	}
	free(text);
	json_decref(body);
}

/* ---- questions ------------------------------------------------------------------- */

/* Takes over the body, NULL: GET. */
static void ask(struct ask *a, const char *path, json_t *body, https_fn *done)
{
	struct authority *authority = a->hosts->router->authority;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, why[AUTHORITY_WORDS + 64];
	struct authority_status status;

	if (!body || text)
		a->https =
			authority_ask(authority, &(struct https_question){ .url = path,
									   .header = a->header,
									   .body = text,
									   .patience = HOSTS_WAIT,
									   .done = done,
									   .arg = a });
	json_decref(body);
	free(text);
	if (a->https)
		return;
	authority_status(authority, &status);
	snprintf(why, sizeof(why), "the authority can't be asked now%s%s",
		 *status.error ? ": " : "", status.error);
	fail(a, 503, why);
}

static void changed(void *arg, const struct https_answer *answer, mono_t now)
{
	struct ask *a = arg;

	(void)now;
	a->https = NULL;
	if (answer->status == 200)
		ask(a, "/v1/hosts", NULL, shown);
	else
		fail_as(a, answer);
}

/* {"addresses": [...]} or {"address": ...}: where the request comes from, if that was said. */
static void add_physical(const struct ask *a, json_t *body)
{
	const struct http_head *head = http_head(a->http);
	char text[IP_TEXT];

	if (!http_is(&head->query, "physical"))
		return;
	ip_format(http_from(a->http), text);
	if (a->verb == REGISTER)
		json_object_set_new(body, "addresses", json_pack("[s]", text));
	else
		json_object_set_new(body, "address", json_string(text));
}

static void begin(struct ask *a)
{
	char path[64 + 2 * NAME], token[SECRET];
	json_t *body;

	switch (a->verb) {
	case REGISTER:
		if (!http_field(http_head(a->http), "Vine-Token", token, sizeof(token))) {
			fail(a, 400, "who registers needs a token, as Vine-Token");
			return;
		}
		body = json_pack("{s:s,s:s,s:s}", "kind", "host", "name", a->name, "token", token);
		add_physical(a, body);
		ask(a, "/v1/register", body, changed);
		return;
	case ADDRESS:
		body = json_object();
		add_physical(a, body);
		snprintf(path, sizeof(path), "/v1/hosts/%s/addresses", a->name);
		ask(a, path, body, changed);
		return;
	case JOIN:
	case LEAVE:
		snprintf(path, sizeof(path), "/v1/vns/%s/%s", a->vn,
			 a->verb == JOIN ? "join" : "leave");
		ask(a, path, json_pack("{s:[s]}", "hosts", a->name), changed);
		return;
	default: ask(a, "/v1/hosts", NULL, shown); return;
	}
}

/* ---- requests -------------------------------------------------------------------- */

static bool copy_name(const char *text, size_t len, char ret[static NAME])
{
	snprintf(ret, NAME, "%.*s", (int)(len < NAME ? len : 0), text);
	return *ret && strspn(ret, NAME_CHARACTERS) == len;
}

/* VERBS: it is none, and answered. */
static enum verb find_verb(struct http_request *q, char vn[static NAME])
{
	const struct http_head *head = http_head(q);
	const char *other = NULL;

	for (enum verb v = 0; v < VERBS; v++) {
		size_t n = strlen(verbs[v].path);
		bool named = verbs[v].path[n - 1] == '/';

		if (head->path.len < n || memcmp(head->path.at, verbs[v].path, n) ||
		    (named ? !copy_name(head->path.at + n, head->path.len - n, vn)
			   : head->path.len != n))
			continue;
		if (http_is(&head->method, verbs[v].method))
			return v;
		other = verbs[v].method;
	}
	if (other)
		http_say_405(q, other);
	else
		http_say(q, 404, "there is nothing here: see vine-host(1)");
	return VERBS;
}

/* Who asks: its name, and the hash of its secret. */
static bool find_host(const struct http_head *head, char name[static NAME],
		      char hash[static PKI_HASH])
{
	static const char bearer[] = "Bearer ";
	char text[sizeof(bearer) + NAME + SECRET], *secret;
	bool good;

	if (!http_field(head, "Authorization", text, sizeof(text)) ||
	    strncmp(text, bearer, sizeof(bearer) - 1) != 0)
		return false;
	secret = strchr(text, ':');
	good = secret &&
	       copy_name(text + sizeof(bearer) - 1, (size_t)(secret - text) - (sizeof(bearer) - 1),
			 name) &&
	       strlen(secret + 1) >= SECRET_LEAST;
	if (good)
		pki_secret_hash(secret + 1, hash);
	OPENSSL_cleanse(text, sizeof(text));
	return good;
}

static void asked(void *arg, struct http_request *q, mono_t now)
{
	struct hosts *h = arg;
	char vn[NAME] = "", name[NAME], hash[PKI_HASH];
	enum verb verb = find_verb(q, vn);
	struct ask *a;

	if (verb == VERBS)
		return;
	if (!may_ask(h, http_from(q), now)) {
		http_say(q, 429, "too many requests: try again in a while");
		return;
	}
	if (!find_host(http_head(q), name, hash)) {
		http_say(q, 401, "who are you? Authorization: Bearer NAME:SECRET is missing");
		return;
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		http_say(q, 503, "the router is out of memory");
		return;
	}
	a->hosts = h;
	a->http = q;
	a->verb = verb;
	strcpy(a->name, name);
	strcpy(a->vn, vn);
	snprintf(a->header, sizeof(a->header), "Vine-Host: %s:%s", name, hash);
	list_insert(&h->asks, &a->node);
	begin(a);
}

static void gone(void *arg, struct http_request *q)
{
	struct hosts *h = arg;

	list_for_each(node, &h->asks) {
		struct ask *a = container_of(node, struct ask, node);

		if (a->http != q)
			continue;
		ask_free(a);
		return;
	}
}

struct hosts *hosts_open(struct router *r, FILE *errors)
{
	static const struct http_limits limits = { HOSTS_CONNECTIONS, HOSTS_PER_SOURCE,
						   HOSTS_TIME };
	struct hosts *h = calloc(1, sizeof(*h));

	if (!h) {
		fprintf(errors, "[hosts] listen: out of memory\n");
		return NULL;
	}
	h->router = r;
	list_init(&h->asks);
	h->http = http_open(r->loop, &r->config->hosts, &limits,
			    &(struct http_hooks){ asked, gone, h }, "[hosts] listen", errors);
	if (h->http)
		return h;
	free(h);
	return NULL;
}

void hosts_close(struct hosts *h)
{
	if (!h)
		return;
	http_close(h->http);
	free(h);
}
