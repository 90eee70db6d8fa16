/* links: common/pair_key common/pki common/crypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/pair_key.h"
#include "common/pki.h"

static void both_ends_agree(void **state)
{
	EVP_PKEY *a = pki_key_new(), *b = pki_key_new(), *c = pki_key_new();
	char *ta = pki_key_text(a), *tb = pki_key_text(b);
	uint8_t ab[CRYPTO_KEY], ba[CRYPTO_KEY], other[CRYPTO_KEY];

	(void)state;
	assert_true(pair_key(a, 7, tb, strlen(tb), 300, ab));
	assert_true(pair_key(b, 300, ta, strlen(ta), 7, ba));
	assert_memory_equal(ab, ba, CRYPTO_KEY);
	/* other IDs, another router: another key */
	assert_true(pair_key(a, 7, tb, strlen(tb), 301, other));
	assert_memory_not_equal(ab, other, CRYPTO_KEY);
	assert_true(pair_key(c, 7, tb, strlen(tb), 300, other));
	assert_memory_not_equal(ab, other, CRYPTO_KEY);
	free(ta);
	free(tb);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	EVP_PKEY_free(c);
}

/* By RFC 5869 and the library's own ECDH. */
static void as_written(void **state)
{
	static const uint8_t info[] = { 0, 0, 0, 7, 0, 0, 1, 44, 1 };
	EVP_PKEY *a = pki_key_new(), *b = pki_key_new();
	char *tb = pki_key_text(b);
	uint8_t secret[32], extracted[32], expected[32], got[CRYPTO_KEY];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(b, NULL);
	size_t n = sizeof(secret);
	unsigned len = 32;

	(void)state;
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, a), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, secret, &n), 1);
	HMAC(EVP_sha256(), "vine router key 1", 17, secret, n, extracted, &len);
	HMAC(EVP_sha256(), extracted, 32, info, sizeof(info), expected, &len);
	assert_true(pair_key(a, 300, tb, strlen(tb), 7, got));
	assert_memory_equal(got, expected, CRYPTO_KEY);
	EVP_PKEY_CTX_free(ctx);
	free(tb);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

/* Whichever form its point has, the key is the same. */
static void a_compressed_point(void **state)
{
	EVP_PKEY *a = pki_key_new(), *b = pki_key_new();
	char *text = pki_key_text(b), *compressed;
	uint8_t one[CRYPTO_KEY], other[CRYPTO_KEY];

	(void)state;
	assert_int_equal(EVP_PKEY_set_utf8_string_param(
				 b, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"),
			 1);
	compressed = pki_key_text(b);
	assert_true(strlen(compressed) < strlen(text));
	assert_true(pair_key(a, 1, text, strlen(text), 2, one));
	assert_true(pair_key(a, 1, compressed, strlen(compressed), 2, other));
	assert_memory_equal(one, other, CRYPTO_KEY);
	free(text);
	free(compressed);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

static void what_is_no_key(void **state)
{
	static const char infinity[] = "MBkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDAgAA"; /* its point */
	EVP_PKEY *a = pki_key_new(), *ed = pki_table_key_new();
	EVP_PKEY *p384 = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	char *text = pki_key_text(a),
	     *bad[] = { pki_key_text(ed), pki_key_text(p384),	      strdup(""),
			strdup("AAAA"),	  strdup("no base64 at all"), strdup(infinity) };
	uint8_t got[CRYPTO_KEY] = { 0 }, zero[CRYPTO_KEY] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(pair_key(a, 1, bad[i], strlen(bad[i]), 2, got));
		free(bad[i]);
	}
	assert_false(pair_key(a, 1, text, strlen(text) - 4, 2, got));
	text[60] ^= 1; /* no point of the curve any more */
	assert_false(pair_key(a, 1, text, strlen(text), 2, got));
	assert_memory_equal(got, zero, CRYPTO_KEY);
	free(text);
	EVP_PKEY_free(a);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(p384);
}

static void pin(struct image_peer *p, EVP_PKEY *key)
{
	char *text = pki_key_text(key);
	struct image_key *k = &p->keys[p->n_keys++];

	k->len = (uint8_t)strlen(text);
	memcpy(k->bytes, text, k->len);
	free(text);
}

static bool shared(EVP_PKEY *own, const struct image_peer *p, uint8_t ret[static CRYPTO_KEY])
{
	const struct pinned pinned = { p->id, p->name, p->keys, p->n_keys };

	return pair_key_pinned(own, 1, &pinned, ret);
}

static void the_newest_counts(void **state)
{
	EVP_PKEY *a = pki_key_new(), *old = pki_key_new(), *new = pki_key_new();
	struct image_peer p = { .id = 2 }, only_old = { .id = 2 };
	uint8_t got[CRYPTO_KEY], want[CRYPTO_KEY];

	(void)state;
	pin(&p, old);
	pin(&only_old, old);
	assert_true(shared(a, &p, got));
	pin(&p, new);
	assert_true(shared(a, &p, want));
	assert_memory_not_equal(got, want, CRYPTO_KEY);
	p.keys[1].len = 3; /* broken: the one before */
	assert_true(shared(a, &p, want));
	assert_memory_equal(got, want, CRYPTO_KEY);
	p.keys[0].len = 3;
	assert_false(shared(a, &p, want));
	EVP_PKEY_free(a);
	EVP_PKEY_free(old);
	EVP_PKEY_free(new);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_agree),   cmocka_unit_test(as_written),
		cmocka_unit_test(what_is_no_key),    cmocka_unit_test(a_compressed_point),
		cmocka_unit_test(the_newest_counts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
