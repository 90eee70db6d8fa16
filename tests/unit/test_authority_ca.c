/* links: authority/ca common/pki */
/*
 * The CA: what it issues is believed for what it is for and as long as it says, and
 * nothing else is; one CA takes the place of another without a gap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "authority/ca.h"
#include "common/pki.h"

#define NOW 1700000000
#define DAY (24 * 3600)

static char directory[64];
static char error[CA_ERROR];

static int make_directory(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/vine-ca-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	static const char *const files[] = { "ca.crt",	    "ca.key",	  "ca-next.crt",
					     "ca-next.key", "ca-old.crt", "tables.key",
					     "tables.pub",  "a",	  "certificate",
					     NULL };
	char path[128];

	(void)state;
	for (int i = 0; files[i]; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
	return rmdir(directory);
}

static struct ca *load(void)
{
	struct ca *ca = ca_load(directory, error);

	if (!ca)
		fail_msg("%s", error);
	return ca;
}

static X509 *issue(struct ca *ca, enum ca_kind kind, const char *name)
{
	EVP_PKEY *key = pki_key_new();
	X509 *c = ca_issue(ca, kind, name, key, NOW, 30 * DAY, NULL, 0);

	assert_non_null(c);
	EVP_PKEY_free(key);
	return c;
}

/* X509_V_OK, or why it isn't believed. */
static int verify(struct ca *ca, X509 *c, int purpose, time_t when)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	assert_true(X509_STORE_CTX_init(ctx, ca_store(ca), c, NULL));
	X509_STORE_CTX_set_time(ctx, 0, when);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	X509_verify_cert(ctx);
	r = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	return r;
}

static void test_issue(void **state)
{
	char name[CA_NAME], *names[] = { "authority.example.org", "192.0.2.1", "2001:db8::1" };
	enum ca_kind kind;
	struct ca *ca;
	EVP_PKEY *key = pki_key_new();
	X509 *user, *router, *server;

	(void)state;
	assert_int_equal(ca_make(directory, NOW, error), 0);
	assert_int_equal(ca_make(directory, NOW, error), -EEXIST);
	ca = load();
	user = issue(ca, CA_USER, "jane");
	router = issue(ca, CA_ROUTER,
		       "a12345678901234567890123456789012345678901234567890123456789bcd");
	assert_int_equal(verify(ca, user, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	assert_int_equal(verify(ca, user, X509_PURPOSE_SSL_CLIENT, NOW - 60), X509_V_OK);
	assert_int_equal(verify(ca, user, X509_PURPOSE_SSL_CLIENT, NOW + 30 * DAY + 1),
			 X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(verify(ca, user, X509_PURPOSE_SSL_CLIENT, NOW - DAY),
			 X509_V_ERR_CERT_NOT_YET_VALID);
	/* Nobody but the server can be taken for it, whatever the name. */
	assert_int_equal(verify(ca, user, X509_PURPOSE_SSL_SERVER, NOW),
			 X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify(ca, router, X509_PURPOSE_SSL_SERVER, NOW),
			 X509_V_ERR_INVALID_PURPOSE);
	assert_true(ca_holder(user, &kind, name));
	assert_int_equal(kind, CA_USER);
	assert_string_equal(name, "jane");
	assert_true(ca_holder(router, &kind, name));
	assert_int_equal(kind, CA_ROUTER);
	assert_int_equal(strlen(name), 63);
	assert_false(ca_holder(ca_certificate(ca), &kind, name));

	server = ca_issue(ca, CA_SERVER, names[0], key, NOW, DAY, names, 3);
	assert_int_equal(verify(ca, server, X509_PURPOSE_SSL_SERVER, NOW), X509_V_OK);
	assert_int_equal(verify(ca, server, X509_PURPOSE_SSL_CLIENT, NOW),
			 X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(X509_check_host(server, names[0], 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(server, "jane", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(server, "192.0.2.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(server, "2001:db8::1", 0), 1);
	/* No longer than the CA itself. */
	X509_free(server);
	server = ca_issue(ca, CA_SERVER, "s", key, NOW, 100l * 365 * DAY, NULL, 0);
	assert_int_equal(ca_end(server), ca_end(ca_certificate(ca)));
	assert_int_not_equal(
		ASN1_INTEGER_cmp(X509_get0_serialNumber(user), X509_get0_serialNumber(router)), 0);
	X509_free(user);
	X509_free(router);
	X509_free(server);
	EVP_PKEY_free(key);
	ca_free(ca);
}

static void test_requests(void **state)
{
	EVP_PKEY *key = pki_key_new(), *other = pki_table_key_new(), *got;
	char *pem = pki_request_pem(key), *text = pki_key_text(key), *again;

	(void)state;
	got = ca_request_key(pem, error);
	assert_non_null(got);
	again = pki_key_text(got);
	assert_string_equal(again, text);
	assert_null(ca_request_key("", error));
	assert_null(ca_request_key("-----BEGIN CERTIFICATE REQUEST-----\n", error));
	/* One character of it, whichever: it is refused, or it is the same. */
	for (size_t i = 30; i + 30 < strlen(pem); i++) {
		char was = pem[i];
		EVP_PKEY *k;

		if (was == '\n')
			continue;
		pem[i] = was == 'A' ? 'B' : 'A';
		k = ca_request_key(pem, error);
		if (k)
			assert_int_equal(EVP_PKEY_eq(k, key), 1);
		EVP_PKEY_free(k);
		pem[i] = was;
	}
	EVP_PKEY_free(got);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	free(pem);
	pem = pki_request_pem(key);
	assert_null(ca_request_key(pem, error));
	assert_non_null(strstr(error, "P-256"));
	EVP_PKEY_free(key);
	free(pem);
	free(text);
	free(again);
}

static void test_replace(void **state)
{
	struct ca *ca, *both, *now, *last;
	X509 *old, *fresh;

	(void)state;
	ca = load();
	old = issue(ca, CA_USER, "old");
	assert_int_equal(ca_promote(directory, error), -ENOENT);
	assert_int_equal(ca_next(directory, NOW, error), 0);
	assert_int_equal(ca_next(directory, NOW, error), -EEXIST);
	both = load();
	assert_int_equal(X509_cmp(ca_certificate(both), ca_certificate(ca)), 0);
	assert_int_equal(ca_promote(directory, error), 0);
	now = load();
	assert_int_not_equal(X509_cmp(ca_certificate(now), ca_certificate(ca)), 0);
	fresh = issue(now, CA_USER, "new");
	assert_int_equal(verify(both, fresh, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	assert_int_equal(verify(now, old, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	assert_int_not_equal(verify(ca, fresh, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	assert_int_equal(ca_drop(directory, error), 0);
	last = load();
	assert_int_not_equal(verify(last, old, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	assert_int_equal(verify(last, fresh, X509_PURPOSE_SSL_CLIENT, NOW), X509_V_OK);
	X509_free(old);
	X509_free(fresh);
	ca_free(ca);
	ca_free(both);
	ca_free(now);
	ca_free(last);
}

static void test_keys(void **state)
{
	char path[128], secret[PKI_SECRET], hash[PKI_HASH], again[PKI_HASH];
	struct ca *ca = load();
	struct stat st;

	(void)state;
	assert_int_equal(EVP_PKEY_get_base_id(ca_table_key(ca)), EVP_PKEY_ED25519);
	ca_free(ca);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "tables.key" : "ca.key");
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(ca_load(directory, error));
	assert_non_null(strstr(error, "others can read"));
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/a", directory);
	assert_int_equal(pki_write_new(path, "1", 0600), 0);
	assert_int_equal(pki_write_new(path, "2", 0600), -EEXIST);
	assert_int_equal(pki_replace(path, "3", 0644), 0);
	assert_true(pki_secret_new(secret));
	pki_secret_hash(secret, hash);
	pki_secret_hash(secret, again);
	assert_int_equal(strlen(hash), PKI_HASH - 1);
	assert_string_equal(hash, again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_issue),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_keys),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
