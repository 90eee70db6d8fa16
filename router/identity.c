/*
 * The files of an identity, each checked for what it is to be, so that what is wrong is
 * told at the start and by `--check`, not by a handshake that fails.
 *
 * The key that signs tables came with the token's trust, and stays: who can issue
 * certificates can't have a router believe other tables.
 */
#include "router/identity.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki.h"

#define TABLES_DER 44 /* bytes of an Ed25519 key as a certificate has it; the last 32 are it */
#define TABLES_TEXT 60

void identity_free(struct identity *id)
{
	if (!id)
		return;
	if (id->key_pem)
		OPENSSL_cleanse(id->key_pem, strlen(id->key_pem));
	EVP_PKEY_free(id->key);
	free(id->key_pem);
	free(id->certificate_pem);
	free(id->trust_pem);
	free(id->directory);
	free(id);
}

static bool fail(char error[static IDENTITY_ERROR], const struct identity *id, const char *file,
		 const char *what)
{
	snprintf(error, IDENTITY_ERROR, "%s/%s: %s", id->directory, file, what);
	return false;
}

static char *path_of(const struct identity *id, const char *file)
{
	char *path;

	return asprintf(&path, "%s/%s", id->directory, file) < 0 ? NULL : path;
}

/* The text of a file, heap. */
static char *read_file(const struct identity *id, const char *file,
		       char error[static IDENTITY_ERROR])
{
	char *path = path_of(id, file), *text = path ? pki_read(path) : NULL;

	if (!text)
		fail(error, id, file, path ? strerror(errno) : "out of memory");
	free(path);
	return text;
}

static bool is_private(const struct identity *id, const char *file)
{
	char *path = path_of(id, file);
	bool yes = path && pki_is_private(path);

	free(path);
	return yes;
}

/* ---- certificates -------------------------------------------------------------- */

static time_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

/* NULL if the certificate is for the identity's key; else what is wrong. */
static const char *read_certificate(const struct identity *id, const char *pem, time_t *ret_begins,
				    time_t *ret_ends)
{
	X509 *c = pem ? pki_certificate_parse(pem) : NULL;
	EVP_PKEY *key = c ? X509_get0_pubkey(c) : NULL;
	const char *wrong = NULL;

	if (!c)
		wrong = "no certificate (PEM)";
	else if (!key || EVP_PKEY_eq(key, id->key) != 1)
		wrong = "not the certificate of " PKI_KEY;
	if (!wrong) {
		*ret_begins = seconds_of(X509_get0_notBefore(c));
		*ret_ends = seconds_of(X509_get0_notAfter(c));
	}
	X509_free(c);
	return wrong;
}

static bool is_certificate(const char *pem)
{
	X509 *c = pem ? pki_certificate_parse(pem) : NULL;

	X509_free(c);
	return c != NULL;
}

/* base64 of a DER, and the end of a line. */
static bool read_tables_key(const char *text, uint8_t ret[static SIGN_KEY])
{
	static const uint8_t head[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
					0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
	unsigned char der[TABLES_TEXT / 4 * 3];

	if (strcspn(text, " \t\r\n") != TABLES_TEXT || text[TABLES_TEXT - 1] != '=' ||
	    text[TABLES_TEXT - 2] == '=' ||
	    EVP_DecodeBlock(der, (const unsigned char *)text, TABLES_TEXT) != sizeof(der) ||
	    memcmp(der, head, sizeof(head)) != 0)
		return false;
	memcpy(ret, der + TABLES_DER - SIGN_KEY, SIGN_KEY);
	return true;
}

/* ---- reading -------------------------------------------------------------------- */

static bool read_about(struct identity *id, char error[static IDENTITY_ERROR])
{
	char *text = read_file(id, PKI_AUTHORITY, error);
	json_t *about = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *kind = "", *name = "", *url = "";
	json_int_t number = 0;
	bool good = false;

	if (!text)
		return false;
	free(text);
	if (json_unpack(about, "{s:s, s:s, s?I, s?s}", "kind", &kind, "name", &name, "id", &number,
			"url", &url) ||
	    strlen(name) >= IDENTITY_NAME || strlen(url) >= IDENTITY_URL)
		fail(error, id, PKI_AUTHORITY, "not as vinectl register writes it");
	else if (strcmp(kind, "router") != 0)
		fail(error, id, PKI_AUTHORITY, "not a router's: vinectl register router NAME");
	else if (number < 1 || number >= UINT32_MAX)
		fail(error, id, PKI_AUTHORITY, "the router's ID is missing: register it anew");
	else
		good = true;
	if (good) {
		strcpy(id->name, name);
		strcpy(id->url, url);
		id->id = (uint32_t)number;
	}
	json_decref(about);
	return good;
}

static bool read_key(struct identity *id, char error[static IDENTITY_ERROR])
{
	id->key_pem = read_file(id, PKI_KEY, error);
	if (!id->key_pem)
		return false;
	if (!is_private(id, PKI_KEY))
		return fail(error, id, PKI_KEY,
			    "others can read it: chmod 600, or register anew if somebody has");
	id->key = pki_key_parse(id->key_pem);
	if (!id->key)
		return fail(error, id, PKI_KEY, "no private key (PEM)");
	return pki_is_p256(id->key) || fail(error, id, PKI_KEY,
					    "not a key of P-256: links' keys can't be made of it; "
					    "register anew");
}

static bool read_all(struct identity *id, char error[static IDENTITY_ERROR])
{
	const char *wrong;
	char *tables;
	bool good;

	if (!read_about(id, error) || !read_key(id, error))
		return false;
	id->certificate_pem = read_file(id, PKI_CERTIFICATE, error);
	if (!id->certificate_pem)
		return false;
	wrong = read_certificate(id, id->certificate_pem, &id->begins, &id->ends);
	if (wrong)
		return fail(error, id, PKI_CERTIFICATE, wrong);
	id->trust_pem = read_file(id, PKI_TRUST, error);
	if (!id->trust_pem)
		return false;
	if (!is_certificate(id->trust_pem))
		return fail(error, id, PKI_TRUST, "no certificate (PEM)");
	tables = read_file(id, PKI_TABLES, error);
	good = tables && read_tables_key(tables, id->tables_key);
	if (tables && !good)
		fail(error, id, PKI_TABLES, "no Ed25519 key in base64");
	free(tables);
	return good;
}

struct identity *identity_load(const char *directory, char error[static IDENTITY_ERROR])
{
	struct identity *id = calloc(1, sizeof(*id));

	snprintf(error, IDENTITY_ERROR, "out of memory");
	if (!id)
		return NULL;
	id->directory = strdup(directory);
	if (id->directory && read_all(id, error))
		return id;
	identity_free(id);
	return NULL;
}

/* ---- renewal -------------------------------------------------------------------- */

char *identity_renewal(const struct identity *id)
{
	char *csr = pki_request_pem(id->key), *text;
	json_t *body =
		json_pack("{s:s, s:s, s:s?}", "kind", "router", "name", id->name, "csr", csr);

	text = body && csr ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	free(csr);
	return text;
}

/* Those of the text; NULL: none, or out of memory. */
static X509_STORE *store_of(const char *trust)
{
	BIO *b = BIO_new_mem_buf(trust, -1);
	X509_STORE *store = X509_STORE_new();
	bool any = false;
	X509 *c;

	while (b && store && (c = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
		any |= X509_STORE_add_cert(store, c) == 1;
		X509_free(c);
	}
	BIO_free(b);
	if (any)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* Whether one of these CAs has issued the certificate, and both are good now. */
static bool is_issued(const char *certificate, const char *trust, time_t now)
{
	X509 *c = pki_certificate_parse(certificate);
	X509_STORE *store = store_of(trust);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = false;

	if (c && store && ctx && X509_STORE_CTX_init(ctx, store, c, NULL)) {
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
		X509_STORE_CTX_set_time(ctx, 0, now);
		good = X509_verify_cert(ctx) == 1;
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(c);
	return good;
}

static bool refuse(char error[static IDENTITY_ERROR], const char *what)
{
	snprintf(error, IDENTITY_ERROR, "%s", what);
	return false;
}

bool identity_renewed(struct identity *id, const json_t *answer, time_t now,
		      char error[static IDENTITY_ERROR])
{
	const char *certificate = json_string_value(json_object_get(answer, "certificate"));
	const char *trust = json_string_value(json_object_get(answer, "ca"));
	const char *tables = json_string_value(json_object_get(answer, "tables_key"));
	const char *wrong;
	uint8_t key[SIGN_KEY];
	time_t begins, ends;
	char *c, *t;

	wrong = read_certificate(id, certificate, &begins, &ends);
	if (wrong)
		return refuse(error, wrong);
	if (!is_certificate(trust))
		return refuse(error, "no CA is with the certificate");
	if (ends <= now || !is_issued(certificate, trust, now))
		return refuse(error, "the new certificate is not good now, or of none of the CAs "
				     "with it: check the clocks of the authority and this machine");
	if (!tables || !read_tables_key(tables, key) || memcmp(key, id->tables_key, SIGN_KEY) != 0)
		return refuse(error, "the authority signs tables with another key now: register "
				     "this router anew");
	c = strdup(certificate);
	t = strdup(trust);
	if (!c || !t) {
		free(c);
		free(t);
		return refuse(error, "out of memory");
	}
	free(id->certificate_pem);
	free(id->trust_pem);
	id->certificate_pem = c;
	id->trust_pem = t;
	id->begins = begins;
	id->ends = ends;
	return true;
}

bool identity_is_due(const struct identity *id, time_t now)
{
	return now > id->ends - (id->ends - id->begins) / 3;
}
