/*
 * One request: route -> arguments of path and body -> caller -> service -> answer.
 *
 * Whatever can be said wrong about it is said by the operation, so that it is in the audit
 * log. What has no route is no operation, and only answered. Of strangers no body is looked
 * at but a short one, to register or renew.
 */
#include "authority/api_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include "authority/api_request.h"
#include "authority/memory.h"
#include "common/pki.h"

enum {
	PAGE = 100,
	PAGE_MOST = STORE_PAGE_MAX,
	STRANGERS_BODY = 16 << 10, /* bytes that somebody may send who isn't known */
};

struct call {
	struct ask ask;
	struct api *api;
	struct evhttp_request *http;
	const struct route *route;
	json_t *arguments;
	struct http_peer peer;
	char *proved; /* the key that a request was signed with */
	EVP_PKEY *key;
	enum ca_kind kind; /* of whom a certificate is for */
	char name[CA_NAME];
	char caller_name[CA_NAME]; /* the delegator's */
	char token[PKI_HASH], credential[PKI_HASH];
	char host[RECORD_NAME + 1], host_key[PKI_HASH]; /* for which a router asks */
	/* Reading pages of the audit log, or of a VN's. */
	struct work work;
	struct service *service;
	char prefix[40], after[STORE_KEY_MAX + 1];
	size_t limit;
	int result;
	char error[STORE_ERROR];
	json_t *list;
};

static void call_free(struct call *c)
{
	json_decref(c->arguments);
	json_decref(c->list);
	free(c->peer.key);
	free(c->proved);
	EVP_PKEY_free(c->key);
	free(c);
}

/* ---- answers ------------------------------------------------------------------- */

void api_answer(struct evhttp_request *q, int status, json_t *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(q);
	char *text = json_dumps(body, JSON_COMPACT);
	struct evbuffer *b = evbuffer_new();

	json_decref(body);
	if (!text || !b)
		abort();
	evbuffer_add(b, text, strlen(text));
	evbuffer_add(b, "\n", 1);
	free(text);
	evhttp_add_header(headers, "Content-Type",
			  status == 200 ? "application/json" : "application/problem+json");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	if (status == 401)
		evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
	if (status == 503)
		evhttp_add_header(headers, "Retry-After", "1");
	evhttp_send_reply(q, status, http_reason(status), b);
	evbuffer_free(b);
}

void api_problem(struct evhttp_request *q, int status, const char *detail)
{
	char *text = mem_text(detail);

	mem_printable(text);
	api_answer(q, status,
		   mem_json(json_pack("{s:s,s:s,s:i,s:s}", "type", "about:blank", "title",
				      http_reason(status), "status", status, "detail", text)));
	free(text);
}

bool api_query(struct evhttp_request *q, const char *name, char *ret, size_t size)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(q)), *text;
	struct evkeyvalq list = { 0 };

	if (!query || evhttp_parse_query_str(query, &list))
		return false;
	text = evhttp_find_header(&list, name);
	if (text)
		snprintf(ret, size, "%s", text);
	evhttp_clear_headers(&list);
	return text != NULL;
}

/* ---- certificates -------------------------------------------------------------- */

/* What routers take packets for. */
static json_t *space_json(const struct registry *r)
{
	const struct blocks *space = &registry_order(r)->record.space;
	json_t *list = mem_json(json_array());
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < space->n; i++) {
		prefix_format(&space->at[i], text);
		mem_json(list && !json_array_append_new(list, json_string(text)) ? list : NULL);
	}
	return list;
}

static bool certify(struct call *c, json_t *result)
{
	struct api *api = c->api;
	const struct router *router =
		c->kind == CA_ROUTER ? registry_router(service_registry(api->service), c->name)
				     : NULL;
	X509 *x = ca_issue(api->ca, c->kind, c->name, c->key, time(NULL),
			   c->kind == CA_ROUTER ? api->routers : api->users, NULL, 0);
	char *pem = x ? pki_certificate_pem(x) : NULL,
	     *tables = pki_key_text(ca_table_key(api->ca));
	bool good = pem && tables;

	if (good) {
		json_object_set_new(result, "certificate", mem_json(json_string(pem)));
		json_object_set_new(result, "expires",
				    mem_json(json_integer((json_int_t)ca_end(x) * 1000)));
		json_object_set_new(result, "ca", mem_json(json_string(ca_bundle(api->ca))));
		json_object_set_new(result, "tables_key", mem_json(json_string(tables)));
		if (router) {
			json_object_set_new(result, "id",
					    mem_json(json_integer(router->record.id)));
			json_object_set_new(result, "space",
					    space_json(service_registry(api->service)));
		}
	}
	X509_free(x);
	free(pem);
	free(tables);
	return good;
}

/* ---- what is read when the operation is allowed --------------------------------- */

static json_t *value_of(const struct store_entry *e)
{
	json_t *value = json_loadb(e->value, e->size, 0, NULL);
	const char *id = strrchr(e->key, '/');

	if (json_is_object(value))
		json_object_set_new(value, "id", mem_json(json_string(id ? id + 1 : e->key)));
	return value;
}

static void run_read(struct work *w)
{
	struct call *c = container_of(w, struct call, work);
	struct store *store = service_store(c->service);
	struct store_range range = { .prefix = c->prefix,
				     .after = *c->after ? c->after : NULL,
				     .limit = c->limit };
	struct store_page page, change;
	char key[STORE_KEY_MAX + 1];

	c->list = mem_json(json_array());
	c->result = store_list(store, &range, &page);
	for (size_t i = 0; !c->result && i < page.n; i++) {
		json_t *value = NULL;

		if (c->route->operation == OPERATION_AUDIT) {
			value = value_of(&page.entries[i]);
		} else {
			snprintf(key, sizeof(key), "change/%.60s",
				 page.entries[i].key + strlen(c->prefix));
			c->result = store_get(store, key, &change);
			if (c->result)
				break;
			value = change.n ? value_of(&change.entries[0]) : NULL;
			store_page_done(&change);
		}
		if (value)
			json_array_append_new(c->list, value);
	}
	if (c->result)
		store_error(store, c->error);
	store_page_done(&page);
}

static void was_read(struct work *w)
{
	struct call *c = container_of(w, struct call, work);
	bool audit = c->route->operation == OPERATION_AUDIT;

	if (c->result)
		api_problem(c->http, 503, c->error);
	else
		api_answer(c->http, 200,
			   mem_json(json_pack("{s:O}", audit ? "audit" : "log", c->list)));
	call_free(c);
}

/* ?after=ID, ?since=MILLISECONDS, ?limit=N */
static void begin_read(struct call *c, const json_t *result)
{
	char text[STORE_KEY_MAX];

	c->limit = PAGE;
	if (c->route->operation == OPERATION_AUDIT)
		strcpy(c->prefix, "audit/");
	else
		snprintf(c->prefix, sizeof(c->prefix), "log/%u/",
			 (unsigned)json_integer_value(json_object_get(result, "vn")));
	if (api_query(c->http, "limit", text, sizeof(text)) && atoi(text) > 0)
		c->limit = atoi(text) < PAGE_MOST ? (size_t)atoi(text) : PAGE_MOST;
	if (api_query(c->http, "since", text, sizeof(text)))
		snprintf(c->after, sizeof(c->after), "%s%012llx", c->prefix,
			 strtoull(text, NULL, 10));
	if (api_query(c->http, "after", text, sizeof(text)))
		snprintf(c->after, sizeof(c->after), "%s%.100s", c->prefix, text);
	c->service = c->api->service;
	c->work = (struct work){ .run = run_read, .done = was_read };
	list_init(&c->work.node);
	worker_post(service_worker(c->service), &c->work);
}

/* Allowed, and only to be served. */
static void serve_tables(struct call *c)
{
	api_tables(c->api, c->route, c->http,
		   json_string_value(json_object_get(c->arguments, "router")));
	call_free(c);
}

/* Of a token for tinies: what the command needs that a VM is given. */
static void add_invitation(const struct call *c, json_t *result)
{
	const char *registers = json_string_value(json_object_get(c->arguments, "registers"));

	if (!registers || strcmp(registers, "tiny") || !c->api->url)
		return;
	json_object_set_new(result, "url", mem_json(json_string(c->api->url)));
	if (c->api->pin)
		json_object_set_new(result, "pin", mem_json(json_string(c->api->pin)));
}

static void done(struct ask *a, const struct outcome *o)
{
	struct call *c = container_of(a, struct call, ask);
	enum operation op = c->route->operation;
	json_t *result;

	if (o->status != 200) {
		api_problem(c->http, o->status, o->detail);
	} else if (op == OPERATION_AUDIT || op == OPERATION_VN_LOG) {
		begin_read(c, o->result);
		return;
	} else if (api_is_tables(c->route)) {
		serve_tables(c);
		return;
	} else if (api_is_health(c->route)) {
		api_health(c->api, c->route, c->http, &a->request);
	} else {
		result = o->result ? json_deep_copy(o->result) : json_object();
		mem_json(result);
		api_add_status(c->api, op, result);
		if (op == OPERATION_TOKEN_CREATE)
			add_invitation(c, result);
		if (!c->key || a->request.dry_run || certify(c, result)) {
			api_answer(c->http, 200, result);
		} else {
			json_decref(result);
			api_problem(c->http, 500, "no certificate could be made");
		}
	}
	call_free(c);
}

/* ---- requests ------------------------------------------------------------------ */

static const char *path_of(struct evhttp_request *q)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(q));

	return path ? path : "";
}

static const char *method_of(struct evhttp_request *q)
{
	switch (evhttp_request_get_command(q)) {
	case EVHTTP_REQ_GET: return "GET";
	case EVHTTP_REQ_POST: return "POST";
	case EVHTTP_REQ_PUT: return "PUT";
	case EVHTTP_REQ_PATCH: return "PATCH";
	case EVHTTP_REQ_DELETE: return "DELETE";
	default: return "?";
	}
}

/* NULL: answered. */
static const struct route *find_route(struct evhttp_request *q, const char *path)
{
	bool there;
	const struct route *r = api_route(method_of(q), path, &there);

	if (!r && there)
		api_problem(q, 405, "this path has other methods: see the OpenAPI document");
	else if (!r)
		api_problem(q, 404, "there is nothing at this path: see the OpenAPI document");
	return r;
}

/* When a certificate ends that is issued now, ms since 1970. */
static uint64_t end_of_issue(const struct call *c)
{
	time_t end = time(NULL) + (c->kind == CA_ROUTER ? c->api->routers : c->api->users);
	time_t last = ca_end(ca_certificate(c->api->ca));

	return (uint64_t)(end < last ? end : last) * 1000;
}

/* Out of the body: what isn't the operation's. */
static bool take_request(struct call *c)
{
	json_t *csr = json_object_get(c->arguments, "csr");
	const char *kind = json_string_value(json_object_get(c->arguments, "kind"));
	const char *name = json_string_value(json_object_get(c->arguments, "name"));
	char error[CA_ERROR];

	if (!csr)
		return true;
	if (c->route->operation != OPERATION_REGISTER && c->route->operation != OPERATION_RENEW) {
		api_problem(c->http, 400, "'csr' is only for registering and renewing");
		return false;
	}
	c->kind = kind && !strcmp(kind, "router") ? CA_ROUTER : CA_USER;
	snprintf(c->name, sizeof(c->name), "%s", name ? name : "");
	if (!kind || (strcmp(kind, "user") && strcmp(kind, "router")))
		api_problem(c->http, 400, "'csr' is for a 'kind' of user or router");
	else if (!json_is_string(csr))
		api_problem(c->http, 400, "'csr' is not a text");
	else if (!(c->key = ca_request_key(json_string_value(csr), error)))
		api_problem(c->http, 400, error);
	else
		c->proved = pki_key_text(c->key);
	if (!c->proved)
		return false;
	c->ask.request.certified = end_of_issue(c);
	json_object_del(c->arguments, "csr");
	if (c->route->operation == OPERATION_REGISTER)
		json_object_set_new(c->arguments, "key", mem_json(json_string(c->proved)));
	return true;
}

/* What a stranger sends is looked at only where strangers have something to say. */
static bool strangers_may(enum operation op)
{
	return op == OPERATION_REGISTER || op == OPERATION_RENEW;
}

static void read_arguments(struct call *c, const char *path)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(c->http);
	size_t n = evbuffer_get_length(body);
	const enum operation op = c->route->operation;
	char name[CA_NAME];

	if (api_is_tables(c->route) ||
	    (c->ask.request.caller.kind == CALLER_NOBODY && !strangers_may(op)))
		n = 0;
	json_decref(c->arguments);
	c->arguments = api_arguments(c->route, path,
				     n ? (const char *)evbuffer_pullup(body, -1) : NULL, n);
	if (op == OPERATION_GET_METRICS && json_is_object(c->arguments) &&
	    api_query(c->http, "router", name, sizeof(name)))
		api_set_text(c->arguments, "router", name);
	if (op == OPERATION_LIST_TINIES && json_is_object(c->arguments) &&
	    api_query(c->http, "tiny", name, sizeof(name)))
		api_set_text(c->arguments, "tiny", name);
	c->ask.request.arguments = c->arguments;
}

static void take_token(struct call *c)
{
	const char *token = json_string_value(json_object_get(c->arguments, "token"));

	if (!token)
		return;
	pki_secret_hash(token, c->token);
	c->ask.request.token = c->token;
	json_object_del(c->arguments, "token");
}

/* "Vine-Host: NAME:HASH", of a router that asks for a host. */
static bool find_host(struct call *c)
{
	struct caller *caller = &c->ask.request.caller;
	const char *text =
		evhttp_find_header(evhttp_request_get_input_headers(c->http), "Vine-Host");
	size_t n = text ? strcspn(text, ":") : 0;

	if (!text)
		return true;
	if (n >= sizeof(c->host) || text[n] != ':' || strlen(text + n + 1) != PKI_HASH - 1) {
		api_problem(c->http, 400, "Vine-Host is not the name of a host, and a hash");
		return false;
	}
	snprintf(c->host, sizeof(c->host), "%.*s", (int)n, text);
	strcpy(c->host_key, text + n + 1);
	if (!name_valid(c->host) || !name_valid(c->host_key)) {
		api_problem(c->http, 400, "Vine-Host is not the name of a host, and a hash");
		return false;
	}
	caller->host = c->host;
	caller->host_key = c->host_key;
	return true;
}

/* Keeps the host that is asked for: it is refused by name. */
static void find_credential(struct call *c)
{
	struct caller *caller = &c->ask.request.caller;
	const struct credential *credential =
		registry_credential(service_registry(c->api->service), c->credential);

	if (!credential) {
		caller->disbelieved = "there is no such credential, or it was revoked";
		return;
	}
	snprintf(c->caller_name, sizeof(c->caller_name), "%s", credential->record.user);
	caller->kind = CALLER_USER;
	caller->name = c->caller_name;
	caller->credential = c->credential;
	caller->disbelieved = NULL;
}

/* By a delegated credential, or the connection's certificate. */
static void find_caller(struct call *c)
{
	struct caller *caller = &c->ask.request.caller;
	const char *header =
		evhttp_find_header(evhttp_request_get_input_headers(c->http), "Authorization");

	if (header && !strncmp(header, "Bearer ", 7)) {
		pki_secret_hash(header + 7, c->credential);
		find_credential(c);
		return;
	}
	http_peer(c->http, time(NULL), &c->peer);
	if (c->peer.invalid)
		caller->disbelieved = c->peer.invalid;
	else if (c->peer.certified)
		*caller = (struct caller){ .kind = c->peer.kind == CA_ROUTER ? CALLER_ROUTER
									     : CALLER_USER,
					   .name = c->peer.name,
					   .key = c->peer.key };
}

/* A credential that another process has made just now was nobody's yet. */
static void again(struct ask *a)
{
	struct call *c = container_of(a, struct call, ask);
	struct caller *caller = &a->request.caller;

	if (caller->kind != CALLER_NOBODY || !*c->credential)
		return;
	find_credential(c);
	if (caller->kind == CALLER_USER)
		read_arguments(c, path_of(c->http));
}

/* Who renews is who signed the request. */
static bool find_signer(struct call *c)
{
	if (!c->key) {
		api_problem(c->http, 400, "'csr' is missing: a request signed with the key");
		return false;
	}
	c->ask.request.caller =
		(struct caller){ .kind = c->kind == CA_ROUTER ? CALLER_ROUTER : CALLER_USER,
				 .name = c->name,
				 .key = c->proved };
	json_object_clear(c->arguments);
	return true;
}

static bool take_arguments(struct call *c, const char *path)
{
	const enum operation op = c->route->operation;

	if (c->ask.request.caller.kind == CALLER_NOBODY && strangers_may(op) &&
	    evbuffer_get_length(evhttp_request_get_input_buffer(c->http)) > STRANGERS_BODY) {
		api_problem(c->http, 413, "too large for somebody without a certificate");
		return false;
	}
	read_arguments(c, path);
	take_token(c);
	return take_request(c) && (op != OPERATION_RENEW || find_signer(c));
}

static bool is_frequent(const struct route *r)
{
	return r->operation == OPERATION_UPDATE_TABLES || r->operation == OPERATION_HEARTBEAT;
}

void api_handle(struct evhttp_request *q, void *arg)
{
	const char *path = path_of(q);
	const struct route *route;
	struct call *c;

	if (download_has(path)) {
		download_handle(arg, q, path);
		return;
	}
	route = find_route(q, path);
	if (!route)
		return;
	c = mem_new(1, sizeof(*c));
	c->api = arg;
	c->http = q;
	c->route = route;
	find_caller(c);
	if (!take_arguments(c, path) || !find_host(c)) {
		call_free(c);
		return;
	}
	c->ask.request.operation = operation_rules[route->operation].name;
	c->ask.request.dry_run =
		api_dry_run(evhttp_uri_get_query(evhttp_request_get_evhttp_uri(q)));
	c->ask.done = done;
	c->ask.again = again;
	if (is_frequent(route) && service_allows(c->api->service, &c->ask.request))
		serve_tables(c);
	else
		service_ask(c->api->service, &c->ask);
}
