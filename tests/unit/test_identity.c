/* links: router/identity common/pki authority/ca common/addr common/sign */
/*
 * A router's identity: what vinectl has written is read, what is wrong is told, and a new
 * certificate is taken if it is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authority/ca.h"
#include "common/pki.h"
#include "router/identity.h"
#include "tests/unit/directory.h"

#define NOW 1800000000
#define LIFE (90 * 86400)

struct place {
	char directory[64], ca_directory[80], error[CA_ERROR];
	struct ca *ca;
	EVP_PKEY *key;
};

static void put(const struct place *p, const char *file, const char *text, unsigned mode)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", p->directory, file);
	assert_int_equal(pki_replace(path, text, mode), 0);
}

static char *certificate(struct place *p, EVP_PKEY *key, time_t now)
{
	X509 *c = ca_issue(p->ca, CA_ROUTER, "florida", key, now, LIFE, NULL, 0);
	char *pem = pki_certificate_pem(c);

	X509_free(c);
	return pem;
}

/* As vinectl register writes them. */
static void put_all(struct place *p)
{
	char *key = pki_key_pem(p->key), *c = certificate(p, p->key, NOW);
	char *tables = pki_key_text(ca_table_key(p->ca)), line[128];

	snprintf(line, sizeof(line), "%s\n", tables);
	put(p, PKI_KEY, key, 0600);
	put(p, PKI_CERTIFICATE, c, 0644);
	put(p, PKI_TRUST, ca_bundle(p->ca), 0644);
	put(p, PKI_TABLES, line, 0644);
	put(p, PKI_AUTHORITY,
	    "{\"url\":\"https://a:1\",\"kind\":\"router\",\"name\":\"florida\",\"id\":7}", 0644);
	free(key);
	free(c);
	free(tables);
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->directory, "/tmp/vine-identity-XXXXXX");
	assert_non_null(mkdtemp(p->directory));
	snprintf(p->ca_directory, sizeof(p->ca_directory), "%s/ca", p->directory);
	assert_int_equal(mkdir(p->ca_directory, 0700), 0);
	assert_int_equal(ca_make(p->ca_directory, NOW, p->error), 0);
	p->ca = ca_load(p->ca_directory, p->error);
	p->key = pki_key_new();
	assert_true(p->ca && p->key);
	put_all(p);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	directory_remove(p->ca_directory);
	directory_remove(p->directory);
	ca_free(p->ca);
	EVP_PKEY_free(p->key);
	free(p);
	return 0;
}

static void is_read(void **state)
{
	struct place *p = *state;
	char error[IDENTITY_ERROR], *text;
	struct identity *id = identity_load(p->directory, error);
	uint8_t key[SIGN_KEY];
	size_t len = sizeof(key);
	json_t *body;

	assert_non_null(id);
	assert_string_equal(id->name, "florida");
	assert_string_equal(id->url, "https://a:1");
	assert_int_equal(id->id, 7);
	assert_int_equal(EVP_PKEY_get_raw_public_key(ca_table_key(p->ca), key, &len), 1);
	assert_memory_equal(id->tables_key, key, sizeof(key));
	assert_true(id->ends > NOW + LIFE - 100 && id->ends <= NOW + LIFE);
	assert_false(identity_is_due(id, NOW + LIFE / 2));
	assert_true(identity_is_due(id, NOW + LIFE * 3 / 4));
	assert_true(identity_is_due(id, NOW + LIFE * 2));
	text = identity_renewal(id);
	body = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(body, "kind")), "router");
	EVP_PKEY_free(ca_request_key(json_string_value(json_object_get(body, "csr")), p->error));
	json_decref(body);
	free(text);
	identity_free(id);
}

static void refused(struct place *p, const char *words)
{
	char error[IDENTITY_ERROR];

	assert_null(identity_load(p->directory, error));
	if (!strstr(error, words))
		fail_msg("\"%s\" instead of \"%s\"", error, words);
	put_all(p);
}

static void wrong_files(void **state)
{
	static const char *const files[] = { PKI_KEY, PKI_CERTIFICATE, PKI_TRUST, PKI_TABLES,
					     PKI_AUTHORITY };
	struct place *p = *state;
	EVP_PKEY *other = pki_key_new(), *ed;
	char *text = certificate(p, other, NOW), path[128];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->directory, files[i]);
		assert_int_equal(unlink(path), 0);
		refused(p, "No such file");
		put(p, files[i], "rubbish\n", 0600);
		refused(p, files[i]);
	}
	put(p, PKI_CERTIFICATE, text, 0644);
	refused(p, "not the certificate of key.pem");
	free(text);
	text = pki_key_pem(p->key);
	put(p, PKI_KEY, text, 0640);
	refused(p, "others can read it");
	free(text);
	ed = pki_table_key_new();
	text = pki_key_pem(ed);
	put(p, PKI_KEY, text, 0600);
	free(text);
	text = certificate(p, ed, NOW);
	put(p, PKI_CERTIFICATE, text, 0644);
	refused(p, "key.pem: not a key of P-256");
	free(text);
	EVP_PKEY_free(ed);
	text = pki_key_text(p->key); /* P-256, not Ed25519 */
	put(p, PKI_TABLES, text, 0644);
	refused(p, "no Ed25519 key");
	free(text);
	put(p, PKI_AUTHORITY, "{\"kind\":\"user\",\"name\":\"jane\",\"id\":1}", 0644);
	refused(p, "not a router's");
	put(p, PKI_AUTHORITY, "{\"kind\":\"router\",\"name\":\"florida\"}", 0644);
	refused(p, "ID is missing");
	EVP_PKEY_free(other);
}

/* The certificate of a CA that has nothing to do with the place, heap. */
static char *another_ca(struct place *p)
{
	char directory[] = "/tmp/vine-identity-XXXXXX", *text;
	struct ca *ca;

	assert_non_null(mkdtemp(directory));
	assert_int_equal(ca_make(directory, NOW, p->error), 0);
	ca = ca_load(directory, p->error);
	assert_non_null(ca);
	text = strdup(ca_bundle(ca));
	ca_free(ca);
	directory_remove(directory);
	return text;
}

static bool renewed(struct place *p, struct identity *id, EVP_PKEY *key, const char *ca,
		    const char *tables, time_t now)
{
	char error[IDENTITY_ERROR], *pem = certificate(p, key, NOW + LIFE);
	json_t *answer =
		json_pack("{s:s, s:s, s:s}", "certificate", pem, "ca", ca, "tables_key", tables);
	bool good = identity_renewed(id, answer, now, error);

	json_decref(answer);
	free(pem);
	return good;
}

static void renewal(void **state)
{
	struct place *p = *state;
	char error[IDENTITY_ERROR];
	struct identity *id = identity_load(p->directory, error);
	EVP_PKEY *other = pki_key_new(), *ed = pki_table_key_new();
	char *tables = pki_key_text(ca_table_key(p->ca)), *others = pki_key_text(ed);
	time_t before = id->ends;
	json_t *nothing = json_object();
	const char *ca = ca_bundle(p->ca);
	time_t now = NOW + LIFE + 10;
	char *strangers = another_ca(p), *both;

	assert_false(renewed(p, id, other, ca, tables, now));
	assert_false(renewed(p, id, p->key, ca, others, now));
	assert_false(renewed(p, id, p->key, "", tables, now));
	assert_false(renewed(p, id, p->key, strangers, tables, now));
	assert_false(renewed(p, id, p->key, ca, tables, now + LIFE)); /* it has ended */
	assert_false(identity_renewed(id, nothing, now, error));
	assert_int_equal(id->ends, before);
	assert_string_equal(id->trust_pem, ca);
	assert_true(asprintf(&both, "%s%s", strangers, ca) > 0); /* as while CAs change */
	assert_true(renewed(p, id, p->key, both, tables, now));
	assert_string_equal(id->trust_pem, both);
	free(strangers);
	free(both);
	assert_true(id->ends > before);
	assert_false(identity_is_due(id, NOW + LIFE * 3 / 4));
	json_decref(nothing);
	free(tables);
	free(others);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ed);
	identity_free(id);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = { TEST(is_read), TEST(wrong_files),
						   TEST(renewal) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
