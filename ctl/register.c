/*
 * vinectl register, renew: an identity with the authority, in a directory: a key made here,
 * which never leaves it, and the certificate for it.
 *
 * Asked again after an answer was lost, register goes on with the key that is there: if the
 * authority knows it already, it is a renewal.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/pki.h"
#include "ctl/authority.h"
#include "ctl/client.h"
#include "ctl/human.h"

#define ROUTER_IDENTITY "/var/lib/vine-router/identity"
#define ROUTER_CONFIG "/etc/vine/router.conf"

/* The key that is there, or a new one. */
static EVP_PKEY *take_key(const struct identity *id, bool make, bool *ret_old)
{
	char path[PATH_MAX], *pem;
	EVP_PKEY *key;
	int r;

	identity_path(id, PKI_KEY, path);
	pem = pki_read(path);
	*ret_old = pem != NULL;
	key = pem ? pki_key_parse(pem) : make ? pki_key_new() : NULL;
	if (!pem && key) {
		pem = pki_key_pem(key);
		r = pem ? pki_write_new(path, pem, 0600) : -ENOMEM;
		if (r) {
			ctl_failed("%s: %s", path, strerror(-r));
			EVP_PKEY_free(key);
			key = NULL;
		}
	} else if (!key) {
		ctl_failed("%s: %s", path, pem ? "not a private key" : strerror(errno));
	}
	if (pem)
		OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	return key;
}

static bool keep(const struct identity *id, const char *file, const char *text, unsigned mode)
{
	char path[PATH_MAX];
	int r;

	identity_path(id, file, path);
	r = text ? pki_replace(path, text, mode) : -EPROTO;
	if (r)
		ctl_failed("%s: %s", path, strerror(-r));
	return !r;
}

/* What the authority gave. The certificate comes last: with it the identity is whole. */
static bool keep_all(const struct identity *id, json_t *result)
{
	char *about = json_dumps(json_object_get(result, "about"), JSON_COMPACT), *tables = NULL;
	const char *key = json_string_value(json_object_get(result, "tables_key"));
	bool good;

	if (asprintf(&tables, "%s\n", key ? key : "") < 0)
		tables = NULL;
	good = (!about || keep(id, PKI_AUTHORITY, about, 0644)) &&
	       keep(id, PKI_TRUST, json_string_value(json_object_get(result, "ca")), 0644) &&
	       keep(id, PKI_TABLES, tables, 0644) &&
	       keep(id, PKI_CERTIFICATE, json_string_value(json_object_get(result, "certificate")),
		    0644);
	free(about);
	free(tables);
	return good;
}

static int finish(const struct ctl *ctl, const struct identity *id, json_t *result)
{
	char path[PATH_MAX], when[40] = "-";
	time_t end = (time_t)(json_integer_value(json_object_get(result, "expires")) / 1000);
	struct tm tm;

	if (!keep_all(id, result)) {
		json_decref(result);
		return EXIT_FAILED;
	}
	json_object_del(result, "about");
	if (ctl->json)
		return client_print_json(result);
	if (gmtime_r(&end, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	identity_path(id, PKI_CERTIFICATE, path);
	printf("%s\n  good until %s\n", path, when);
	json_decref(result);
	return EXIT_DONE;
}

static json_t *ask_renewal(const struct identity *id, EVP_PKEY *key, const char *pin)
{
	char *csr = pki_request_pem(key);
	json_t *body = json_pack("{s:s,s:s,s:s}", "kind", id->kind, "name", id->name, "csr",
				 csr ? csr : "");
	struct question q = { "POST", "/v1/renew", body, pin, true, NULL };
	json_t *result = authority_ask(id, &q);

	json_decref(body);
	free(csr);
	return result;
}

static time_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

static bool is_due(const struct identity *id)
{
	char path[PATH_MAX], *pem;
	time_t from, to;
	X509 *c;

	identity_path(id, PKI_CERTIFICATE, path);
	pem = pki_read(path);
	c = pem ? pki_certificate_parse(pem) : NULL;
	free(pem);
	if (!c)
		return false;
	from = seconds_of(X509_get0_notBefore(c));
	to = seconds_of(X509_get0_notAfter(c));
	X509_free(c);
	return time(NULL) > to - (to - from) / 3;
}

void identity_renew(const struct identity *id)
{
	json_t *result = NULL;
	EVP_PKEY *key;
	bool old;

	if (!*id->name || !is_due(id))
		return;
	key = take_key(id, false, &old);
	if (key)
		result = ask_renewal(id, key, NULL);
	if (result)
		keep_all(id, result);
	json_decref(result);
	EVP_PKEY_free(key);
}

/* ---- renew --------------------------------------------------------------------- */

static int run_renew(const struct ctl *ctl, int argc, char **argv)
{
	struct identity id;
	json_t *result;
	EVP_PKEY *key;
	bool old;

	if (argc > 1)
		return ctl_usage(&renew_command, "%s: too much", argv[1]);
	if (!identity_read(ctl, &id))
		return EXIT_FAILED;
	if (!*id.name || !*id.kind)
		return ctl_failed("%s was not registered: vinectl register", id.directory);
	key = take_key(&id, false, &old);
	result = key ? ask_renewal(&id, key, NULL) : NULL;
	EVP_PKEY_free(key);
	return result ? finish(ctl, &id, result) : EXIT_FAILED;
}

const struct command renew_command = { "renew", "", "A new certificate for the same key",
				       run_renew };

/* ---- the router itself ----------------------------------------------------------- */

/* A configuration that is there is somebody's, and stays. */
static bool write_config(const struct identity *id, const char *file, const char *space)
{
	char *text = NULL, *slash, directory[PATH_MAX], identity[PATH_MAX];
	int r;

	snprintf(directory, sizeof(directory), "%s", file);
	slash = strrchr(directory, '/');
	if (slash && slash != directory) {
		*slash = '\0';
		r = pki_directories(directory);
		if (r) {
			ctl_failed("%s: %s", directory, strerror(-r));
			return false;
		}
	}
	if (!realpath(id->directory, identity) || asprintf(&text,
							   "; See vine-router.conf(5).\n"
							   "[router]\n"
							   "name = %s\n\n"
							   "[intercept]\n"
							   "networks = %s\n\n"
							   "[authority]\n"
							   "identity = %s\n",
							   id->name, space, identity) < 0)
		return false;
	r = pki_write_new(file, text, 0644);
	free(text);
	if (r && r != -EEXIST)
		ctl_failed("%s: %s", file, strerror(-r));
	else
		printf("%s\n  %s\n", file, r ? "was there, and stays as it is" : "written");
	return !r || r == -EEXIST;
}

static int start_router(const struct identity *id, const char *file, const char *space)
{
	if (!write_config(id, file, space))
		return EXIT_FAILED;
	fflush(stdout);
	execlp("systemctl", "systemctl", "enable", "--now", "vine-router", NULL);
	return ctl_failed("systemctl: %s: start vine-router yourself", strerror(errno));
}

/* ---- register ------------------------------------------------------------------ */

struct registration {
	const char *token, *endpoint, *id, *site, *block, *tls_port, *limited, *config;
	bool relay;
	char secret[PKI_SECRET], pin[PKI_PIN];
};

/* SECRET.HASH-OF-THE-CA */
static bool parse_token(struct registration *r)
{
	const char *dot = r->token ? strchr(r->token, '.') : NULL;

	if (!dot || dot - r->token != PKI_SECRET - 1 || strlen(dot + 1) != PKI_PIN - 1)
		return false;
	memcpy(r->secret, r->token, PKI_SECRET - 1);
	strcpy(r->pin, dot + 1);
	return true;
}

static json_t *ask_registration(const struct identity *id, EVP_PKEY *key,
				const struct registration *r)
{
	char *csr = pki_request_pem(key);
	json_t *body = json_pack("{s:s,s:s,s:s,s:s}", "kind", id->kind, "name", id->name, "csr",
				 csr ? csr : "", "token", r->secret);
	struct question q = { "POST", "/v1/register", body, r->pin, true, NULL };
	json_t *result;

	if (r->endpoint)
		json_object_set_new(body, "endpoint", json_string(r->endpoint));
	if (r->site)
		json_object_set_new(body, "site", json_string(r->site));
	if (r->block)
		json_object_set_new(body, "blocks", json_pack("[s]", r->block));
	if (r->id)
		json_object_set_new(body, "id", json_integer(atoll(r->id)));
	if (r->tls_port)
		json_object_set_new(body, "tls_port", json_integer(atoll(r->tls_port)));
	if (r->limited)
		json_object_set_new(body, "limited", json_string(r->limited));
	if (r->relay)
		json_object_set_new(body, "relay", json_true());
	result = authority_ask(id, &q);
	json_decref(body);
	free(csr);
	return result;
}

/* A list of prefixes, "a, b", to be freed. */
static char *space_text(json_t *list)
{
	char *text = NULL;
	json_t *item;
	size_t i, len;
	FILE *f = open_memstream(&text, &len);

	json_array_foreach(list, i, item) if (f)
		fprintf(f, "%s%s", i ? ", " : "", json_string_value(item));
	if (f)
		fclose(f);
	return text;
}

static int enroll(const struct ctl *ctl, struct identity *id, const struct registration *r)
{
	char path[PATH_MAX], *space;
	json_t *result = NULL;
	EVP_PKEY *key;
	int status;
	bool old;

	identity_path(id, PKI_CERTIFICATE, path);
	if (!access(path, F_OK))
		return ctl_failed("%s is there already: another directory is another identity "
				  "(--identity DIR)",
				  path);
	status = pki_directories(id->directory);
	if (status)
		return ctl_failed("%s: %s", id->directory, strerror(-status));
	key = take_key(id, true, &old);
	if (!key)
		return EXIT_FAILED;
	if (old) {
		fputs("vinectl: going on with the key of an earlier try\n", stderr);
		result = ask_renewal(id, key, r->pin);
	}
	if (!result)
		result = ask_registration(id, key, r);
	EVP_PKEY_free(key);
	if (!result)
		return EXIT_FAILED;
	json_object_set_new(result, "about",
			    json_pack("{s:s,s:s,s:s,s:O*}", "url", id->url, "kind", id->kind,
				      "name", id->name, "id", json_object_get(result, "id")));
	space = space_text(json_object_get(result, "space"));
	status = finish(ctl, id, result);
	if (status == EXIT_DONE && r->config)
		status = start_router(id, r->config, space ? space : "");
	free(space);
	return status;
}

static int run_register(const struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "token", required_argument, NULL, 't' },
		{ "endpoint", required_argument, NULL, 'e' },
		{ "id", required_argument, NULL, 'i' },
		{ "site", required_argument, NULL, 's' },
		{ "block", required_argument, NULL, 'b' },
		{ "start", optional_argument, NULL, 'S' },
		{ "tls-port", required_argument, NULL, 'p' },
		{ "limited", required_argument, NULL, 'l' },
		{ "relay", no_argument, NULL, 'r' },
		{ 0 },
	};
	struct ctl mine = *ctl;
	struct registration r = { 0 };
	struct identity id;
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 't': r.token = optarg; break;
		case 'e': r.endpoint = optarg; break;
		case 'i': r.id = optarg; break;
		case 's': r.site = optarg; break;
		case 'b': r.block = optarg; break;
		case 'S': r.config = optarg ? optarg : ROUTER_CONFIG; break;
		case 'p': r.tls_port = optarg; break;
		case 'l': r.limited = optarg; break;
		case 'r': r.relay = true; break;
		default: return ctl_usage(&register_command, "wrong option");
		}
	}
	if (argc - optind != 2 ||
	    (strcmp(argv[optind], "user") && strcmp(argv[optind], "router")) ||
	    strlen(argv[optind + 1]) >= sizeof(id.name))
		return ctl_usage(&register_command, "expected user or router, and its name");
	if (!parse_token(&r))
		return ctl_usage(&register_command,
				 "--token is missing, or not whole: two parts with a dot between");
	if (!strcmp(argv[optind], "router") && !ctl->identity)
		mine.identity = ROUTER_IDENTITY;
	if (!identity_read(&mine, &id))
		return EXIT_FAILED;
	strcpy(id.kind, argv[optind]);
	strcpy(id.name, argv[optind + 1]);
	if (!strcmp(id.kind, "user") && (r.endpoint || r.id || r.site || r.block || r.config))
		return ctl_usage(&register_command, "a user has a name and a token alone");
	return enroll(ctl, &id, &r);
}

const struct command register_command = {
	"register",
	"user|router NAME --token TOKEN [--endpoint HOST:PORT] "
	"[--block PREFIX] [--site SITE] [--id ID] [--tls-port PORT] "
	"[--relay] [--limited MODE] [--start[=FILE]]",
	"An identity with the authority", run_register
};
