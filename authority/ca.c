/*
 * Certificates of version 3 over P-256 and SHA-256, with random serials of 127 bits.
 * They begin five minutes early, since clocks differ.
 */
#include "authority/ca.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/pki.h"

static const long ca_life = 10l * 365 * 24 * 3600;
static const long early = 300;

const char *const ca_kinds[] = { "user", "router", "server", NULL };

struct ca {
	X509 *certificate;
	EVP_PKEY *key, *tables;
	X509_STORE *store;
	char *bundle;
};

static int __attribute__((format(printf, 3, 4)))
failed(int code, char error[static CA_ERROR], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CA_ERROR, format, args);
	va_end(args);
	return code;
}

static void path_of(char ret[static PATH_MAX], const char *directory, const char *file)
{
	snprintf(ret, PATH_MAX, "%s/%s", directory, file);
}

/* ---- certificates -------------------------------------------------------------- */

static bool add_extension(X509 *c, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool good;

	X509V3_set_ctx(&ctx, issuer, c, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = e && X509_add_ext(c, e, -1);
	X509_EXTENSION_free(e);
	return good;
}

static bool set_serial(X509 *c)
{
	unsigned char bytes[16];
	BIGNUM *n = NULL;
	bool good = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] = (bytes[0] & 0x7f) | 0x40;
	good = good && (n = BN_bin2bn(bytes, sizeof(bytes), NULL)) &&
	       BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
	BN_free(n);
	return good;
}

/* All but extensions and signature. */
static X509 *begin(const char *unit, const char *name, EVP_PKEY *key, time_t from, time_t to)
{
	X509 *c = X509_new();
	X509_NAME *subject = c ? X509_get_subject_name(c) : NULL;

	if (c && X509_set_version(c, X509_VERSION_3) && set_serial(c) && X509_set_pubkey(c, key) &&
	    ASN1_TIME_set(X509_getm_notBefore(c), from) &&
	    ASN1_TIME_set(X509_getm_notAfter(c), to) &&
	    X509_NAME_add_entry_by_NID(subject, NID_organizationalUnitName, MBSTRING_UTF8,
				       (const unsigned char *)unit, -1, -1, 0) &&
	    X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
				       (const unsigned char *)name, -1, -1, 0))
		return c;
	X509_free(c);
	return NULL;
}

static X509 *make_root(EVP_PKEY *key, time_t now)
{
	X509 *c = begin("ca", "ViNe authority", key, now - early, now + ca_life);

	if (c && X509_set_issuer_name(c, X509_get_subject_name(c)) &&
	    add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_extension(c, c, NID_subject_key_identifier, "hash") &&
	    X509_sign(c, key, EVP_sha256()))
		return c;
	X509_free(c);
	return NULL;
}

/* "DNS:a,IP:b"; NULL: none, or one that is neither. */
static char *alternative_names(char *const *names, size_t n)
{
	char *text = NULL, *more;

	for (size_t i = 0; i < n; i++) {
		unsigned char ip[16];
		bool address = inet_pton(AF_INET, names[i], ip) == 1 ||
			       inet_pton(AF_INET6, names[i], ip) == 1;

		if (asprintf(&more, "%s%s%s:%s", text ? text : "", text ? "," : "",
			     address ? "IP" : "DNS", names[i]) < 0)
			more = NULL;
		free(text);
		text = more;
	}
	return text;
}

X509 *ca_issue(struct ca *ca, enum ca_kind kind, const char *name, EVP_PKEY *key, time_t now,
	       long seconds, char *const *names, size_t n_names)
{
	time_t end = ca_end(ca->certificate), to = now + seconds < end ? now + seconds : end;
	X509 *c = begin(ca_kinds[kind], name, key, now - early, to);
	char *alternatives = alternative_names(names, n_names);
	bool good = c && X509_set_issuer_name(c, X509_get_subject_name(ca->certificate)) &&
		    add_extension(c, ca->certificate, NID_basic_constraints, "critical,CA:FALSE") &&
		    add_extension(c, ca->certificate, NID_key_usage, "critical,digitalSignature") &&
		    add_extension(c, ca->certificate, NID_ext_key_usage,
				  kind == CA_SERVER ? "serverAuth" : "clientAuth") &&
		    add_extension(c, ca->certificate, NID_subject_key_identifier, "hash") &&
		    add_extension(c, ca->certificate, NID_authority_key_identifier, "keyid") &&
		    (!alternatives ||
		     add_extension(c, ca->certificate, NID_subject_alt_name, alternatives)) &&
		    X509_sign(c, ca->key, EVP_sha256());

	free(alternatives);
	if (good)
		return c;
	X509_free(c);
	return NULL;
}

EVP_PKEY *ca_request_key(const char *pem, char error[static CA_ERROR])
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509_REQ *q = b ? PEM_read_bio_X509_REQ(b, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = q ? X509_REQ_get_pubkey(q) : NULL;

	BIO_free(b);
	if (!key) {
		failed(0, error, "this is no certificate request (PEM)");
	} else if (!pki_is_p256(key)) {
		failed(0, error, "the request's key is not of P-256");
	} else if (X509_REQ_verify(q, key) != 1) {
		failed(0, error, "the request is not signed with its key");
	} else {
		X509_REQ_free(q);
		return key;
	}
	EVP_PKEY_free(key);
	X509_REQ_free(q);
	return NULL;
}

/* The only entry of that kind in a subject, as a text. */
static bool entry_of(X509_NAME *name, int nid, char ret[static CA_NAME])
{
	int at = X509_NAME_get_index_by_NID(name, nid, -1), n;
	const ASN1_STRING *text;

	if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0)
		return false;
	text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	n = ASN1_STRING_length(text);
	if (n < 1 || n >= CA_NAME || memchr(ASN1_STRING_get0_data(text), 0, (size_t)n))
		return false;
	memcpy(ret, ASN1_STRING_get0_data(text), (size_t)n);
	ret[n] = '\0';
	return true;
}

bool ca_holder(X509 *c, enum ca_kind *ret_kind, char ret_name[static CA_NAME])
{
	X509_NAME *subject = X509_get_subject_name(c);
	char unit[CA_NAME];

	if (!entry_of(subject, NID_organizationalUnitName, unit) ||
	    !entry_of(subject, NID_commonName, ret_name))
		return false;
	for (int i = 0; ca_kinds[i]; i++) {
		*ret_kind = (enum ca_kind)i;
		if (!strcmp(unit, ca_kinds[i]))
			return true;
	}
	return false;
}

time_t ca_end(X509 *c)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(c), &tm) ? timegm(&tm) : 0;
}

/* ---- files --------------------------------------------------------------------- */

static int write_file(const char *directory, const char *file, const char *text, unsigned mode,
		      char error[static CA_ERROR])
{
	char path[PATH_MAX];
	int r = -ENOMEM;

	path_of(path, directory, file);
	if (text)
		r = pki_write_new(path, text, mode);
	return r ? failed(r, error, "%s: %s", path, strerror(-r)) : 0;
}

static void remove_file(const char *directory, const char *file)
{
	char path[PATH_MAX];

	path_of(path, directory, file);
	unlink(path);
}

static int write_pair(const char *directory, const char *certificate, const char *key_file,
		      time_t now, char error[static CA_ERROR])
{
	EVP_PKEY *key = pki_key_new();
	X509 *c = key ? make_root(key, now) : NULL;
	char *key_pem = c ? pki_key_pem(key) : NULL, *pem = c ? pki_certificate_pem(c) : NULL;
	int r = write_file(directory, key_file, key_pem, 0600, error);

	if (!r) {
		r = write_file(directory, certificate, pem, 0644, error);
		if (r)
			remove_file(directory, key_file);
	}
	if (key_pem)
		OPENSSL_cleanse(key_pem, strlen(key_pem));
	free(key_pem);
	free(pem);
	X509_free(c);
	EVP_PKEY_free(key);
	return r;
}

static int write_tables_key(const char *directory, char error[static CA_ERROR])
{
	EVP_PKEY *key = pki_table_key_new();
	char *pem = key ? pki_key_pem(key) : NULL, *text = key ? pki_key_text(key) : NULL, *line;
	int r = write_file(directory, "tables.key", pem, 0600, error);

	if (!r) {
		if (!text || asprintf(&line, "%s\n", text) < 0)
			line = NULL;
		r = write_file(directory, "tables.pub", line, 0644, error);
		free(line);
		if (r)
			remove_file(directory, "tables.key");
	}
	if (pem)
		OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	free(text);
	EVP_PKEY_free(key);
	return r;
}

int ca_make(const char *directory, time_t now, char error[static CA_ERROR])
{
	int r = write_pair(directory, "ca.crt", "ca.key", now, error);

	if (r)
		return r;
	r = write_tables_key(directory, error);
	if (r) {
		remove_file(directory, "ca.crt");
		remove_file(directory, "ca.key");
	}
	return r;
}

int ca_next(const char *directory, time_t now, char error[static CA_ERROR])
{
	return write_pair(directory, "ca-next.crt", "ca-next.key", now, error);
}

static int move_file(const char *directory, const char *from, const char *to,
		     char error[static CA_ERROR])
{
	char a[PATH_MAX], b[PATH_MAX];

	path_of(a, directory, from);
	path_of(b, directory, to);
	return rename(a, b) < 0 ? failed(-errno, error, "%s: %s", a, strerror(errno)) : 0;
}

/* The certificates are in place before the key is: between the two ca_load refuses, and
 * the same command again ends it. */
int ca_promote(const char *directory, char error[static CA_ERROR])
{
	char path[PATH_MAX];
	int r;

	path_of(path, directory, "ca-next.key");
	if (access(path, F_OK) < 0)
		return failed(-errno, error, "%s: there is no next CA: make one first", path);
	path_of(path, directory, "ca-next.crt");
	if (!access(path, F_OK)) {
		r = move_file(directory, "ca.crt", "ca-old.crt", error);
		if (r && r != -ENOENT)
			return r;
		r = move_file(directory, "ca-next.crt", "ca.crt", error);
		if (r)
			return r;
	}
	return move_file(directory, "ca-next.key", "ca.key", error);
}

int ca_drop(const char *directory, char error[static CA_ERROR])
{
	char path[PATH_MAX];

	path_of(path, directory, "ca-old.crt");
	return unlink(path) < 0 ? failed(-errno, error, "%s: %s", path, strerror(errno)) : 0;
}

static EVP_PKEY *load_key(const char *directory, const char *file, char error[static CA_ERROR])
{
	char path[PATH_MAX], *pem;
	EVP_PKEY *key;

	path_of(path, directory, file);
	pem = pki_read(path);
	if (!pem) {
		failed(0, error, "%s: %s", path, strerror(errno));
		return NULL;
	}
	key = pki_is_private(path) ? pki_key_parse(pem) : NULL;
	if (!key)
		failed(0, error, "%s: %s", path,
		       pki_is_private(path) ? "not a private key"
					    : "others can read this key: chmod 600, or replace it "
					      "if they may have");
	OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	return key;
}

/* Trusts it from now on. *ret (may be NULL) is the certificate. */
static bool load_trusted(struct ca *ca, const char *directory, const char *file, X509 **ret,
			 char error[static CA_ERROR])
{
	char path[PATH_MAX], *pem, *bundle = NULL;
	X509 *c;
	bool good;

	path_of(path, directory, file);
	pem = pki_read(path);
	if (!pem && errno == ENOENT && !ret)
		return true;
	c = pem ? pki_certificate_parse(pem) : NULL;
	good = c && X509_STORE_add_cert(ca->store, c) &&
	       asprintf(&bundle, "%s%s", ca->bundle ? ca->bundle : "", pem) >= 0;
	if (good) {
		free(ca->bundle);
		ca->bundle = bundle;
	} else {
		failed(0, error, "%s: %s", path, pem ? "not a certificate" : strerror(errno));
	}
	if (good && ret)
		*ret = c;
	else
		X509_free(c);
	free(pem);
	return good;
}

struct ca *ca_load(const char *directory, char error[static CA_ERROR])
{
	struct ca *ca = calloc(1, sizeof(*ca));

	failed(0, error, "out of memory");
	if (!ca)
		return NULL;
	ca->store = X509_STORE_new();
	if (!ca->store || !load_trusted(ca, directory, "ca.crt", &ca->certificate, error) ||
	    !load_trusted(ca, directory, "ca-next.crt", NULL, error) ||
	    !load_trusted(ca, directory, "ca-old.crt", NULL, error) ||
	    !(ca->key = load_key(directory, "ca.key", error)) ||
	    !(ca->tables = load_key(directory, "tables.key", error)))
		goto failed;
	if (X509_check_private_key(ca->certificate, ca->key) == 1)
		return ca;
	failed(0, error, "%s: ca.key is not the key of ca.crt", directory);
failed:
	ca_free(ca);
	return NULL;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->tables);
	X509_STORE_free(ca->store);
	free(ca->bundle);
	free(ca);
}

X509_STORE *ca_store(const struct ca *ca)
{
	return ca->store;
}

const char *ca_bundle(const struct ca *ca)
{
	return ca->bundle;
}

X509 *ca_certificate(const struct ca *ca)
{
	return ca->certificate;
}

EVP_PKEY *ca_table_key(struct ca *ca)
{
	return ca->tables;
}
