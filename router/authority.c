/*
 * See authority.h. What is said, in the order in which it happens:
 *
 *   resolve     the places where the authority's processes are (resolve.h)
 *   connect     GET .../stream?have=VERSION at one of them (authority_stream.c)
 *   take        tables that come: verify, put in force, store, confirm (authority_tables.c)
 *   heartbeat   every 5 s, to the same process: figures; without answers it is dead
 *   renew       the certificate, in the last third of its life (authority_renewal.c)
 */
#include "router/authority_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "router/connections.h"
#include "router/heartbeat.h"

/* ---- questions ------------------------------------------------------------------- */

int64_t authority_random(int64_t below)
{
	uint32_t r = 0;

	crypto_random(&r, sizeof(r));
	return below > 0 ? (int64_t)((uint64_t)r * (uint64_t)below >> 32) : 0;
}

const struct place *authority_place(const struct authority *a)
{
	return &a->places[a->at];
}

struct https_request *authority_ask_path(struct authority *a, const struct https_question *what)
{
	const struct connections *cs = a->router->connections;
	const struct place *p = authority_place(a);
	struct https_question q = *what;
	struct https_request *r;
	char *url;

	if (asprintf(&url, "%s%s", p->url.text, what->url) < 0)
		return NULL;
	q.url = url;
	q.host = p->url.host;
	q.port = p->url.port;
	q.ips = p->ips;
	q.n_ips = p->n_ips;
	if (authority_by_proxy(a)) {
		q.proxy = &cs->proxy;
		q.ips = cs->proxy_ips;
		q.n_ips = cs->n_proxy_ips;
	}
	q.connect = authority_connect_time(a);
	q.dead = a->n_configured > 1 ? DEAD : 0;
	r = https_ask(a->https, &q);
	free(url);
	return r;
}

struct https_request *authority_ask_own(struct authority *a, const char *what, const char *body,
					int64_t patience, size_t most, https_data_fn *data,
					https_fn *done)
{
	struct https_request *q;
	char *path;

	if (asprintf(&path, "/v1/routers/%s/%s", a->identity->name, what) < 0)
		return NULL;
	q = authority_ask_path(a, &(struct https_question){ .url = path,
							    .body = body,
							    .patience = patience,
							    .most = most,
							    .data = data,
							    .done = done,
							    .arg = a });
	free(path);
	return q;
}

struct https_request *authority_ask(struct authority *a, const struct https_question *what)
{
	return a->connected ? authority_ask_path(a, what) : NULL;
}

void authority_words(const struct https_answer *answer, char ret[static AUTHORITY_WORDS])
{
	json_t *body = answer->status ? json_loadb(answer->body, answer->len, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(body, "detail"));

	if (!answer->status)
		snprintf(ret, AUTHORITY_WORDS, "%s", answer->error);
	else if (detail)
		snprintf(ret, AUTHORITY_WORDS, "%s", detail);
	else
		snprintf(ret, AUTHORITY_WORDS, "it answers with status %ld", answer->status);
	for (char *c = ret; *c; c++) /* a stranger's, perhaps */
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	json_decref(body);
}

bool authority_is_good(const struct https_answer *answer)
{
	return answer->status >= 200 && answer->status < 300;
}

/* ---- life ------------------------------------------------------------------------------ */

static bool make_state(const char *directory, FILE *errors)
{
	if (mkdir(directory, 0700) == 0 || errno == EEXIST)
		return true;
	fprintf(errors, "[authority] state: %s can't be made: %s\n", directory, strerror(errno));
	return false;
}

bool authority_open(struct router *r, mono_t now, FILE *errors)
{
	struct authority *a = calloc(1, sizeof(*a));
	char error[IDENTITY_ERROR] = "out of memory";
	const char *why;

	if (!a)
		return false;
	r->authority = a;
	a->router = r;
	a->loop = r->loop;
	authority_tables_init(a);
	authority_renewal_init(a);
	a->identity = identity_load(r->config->identity, error);
	if (a->identity)
		strcpy(error, "out of memory or descriptors");
	a->disk = disk_open(r->loop);
	a->https = https_new(r->loop, &why);
	if (a->identity && !a->https)
		snprintf(error, sizeof(error), "%s", why);
	if (!a->identity || !a->disk || !a->https ||
	    !stored_init(&a->stored, a->disk, r->config->state) ||
	    !authority_stream_init(a, r->config)) {
		fprintf(errors, "[authority]: %s\n", error);
		return false;
	}
	https_identify(a->https, a->identity->certificate_pem, a->identity->key_pem,
		       a->identity->trust_pem);
	if (!make_state(r->config->state, errors))
		return false;
	authority_tables_begin(a, now);
	return true;
}

void authority_start(struct authority *a, void (*changed)(struct router *), mono_t now)
{
	a->changed = changed;
	a->started = true;
	a->beats = a->identity->id % HEARTBEAT_ALL; /* not all routers at once */
	authority_renewal_begin(a, now);
	authority_stream_begin(a, now);
}

void authority_close(struct authority *a)
{
	if (!a)
		return;
	https_free(a->https);
	disk_close(a->disk);
	authority_stream_done(a);
	authority_renewal_done(a);
	authority_tables_done(a);
	identity_free(a->identity);
	a->router->authority = NULL;
	free(a);
}

void authority_status(const struct authority *a, struct authority_status *ret)
{
	*ret = (struct authority_status){
		.url = authority_place(a)->url.text,
		.by_proxy = authority_by_proxy(a),
		.connected = a->connected,
		.contact = a->contact,
		.version = authority_runs(a),
		.stored = a->on_disk,
		.error = a->error,
		.heartbeat_error = a->heartbeat_error,
		.refused = a->refused,
		.renewal_error = a->renewal_error,
		.certificate_end = a->identity->ends,
	};
}
