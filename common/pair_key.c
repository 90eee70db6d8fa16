/*
 * See pair_key.h. The key of the other is a stranger's until it has been found to be a
 * point of the curve, which the library checks when it reads it. On P-256, whose cofactor is
 * 1, all such points are good (NIST SP 800-56A, 5.6.2.3.4), so it need not check that again
 * by a multiplication, which takes twenty times as long as all else: a router may have ten
 * thousand peers.
 */
#include "common/pair_key.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/pki.h"

#define SHARED 32 /* bytes of a coordinate */

/* The form that nearly all have: this, and an uncompressed point. The library's decoder, which
 * takes all forms, takes ten times as long as the exchange. */
static EVP_PKEY *read_point(EVP_PKEY *own, const unsigned char *der, size_t n)
{
	static const unsigned char head[] = {
		0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
		0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04
	};
	EVP_PKEY *key;

	if (n != sizeof(head) + 2 * SHARED || memcmp(der, head, sizeof(head)) != 0)
		return NULL;
	key = EVP_PKEY_new();
	if (key && EVP_PKEY_copy_parameters(key, own) == 1 &&
	    EVP_PKEY_set1_encoded_public_key(key, der + sizeof(head) - 1, 2 * SHARED + 1) == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *read_public(EVP_PKEY *own, const char *text, size_t len)
{
	unsigned char der[IMAGE_KEY];
	const unsigned char *at = der;
	EVP_PKEY *key;
	int n;

	if (!len || len % 4 || len > IMAGE_KEY)
		return NULL;
	n = EVP_DecodeBlock(der, (const unsigned char *)text, (int)len);
	if (n < 0)
		return NULL;
	for (size_t i = len; i > 0 && text[i - 1] == '=' && len - i < 2; i--)
		n--;
	key = read_point(own, der, (size_t)n);
	if (key)
		return key;
	key = d2i_PUBKEY(NULL, &at, n);
	if (key && at == der + n && pki_is_p256(key))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static bool agree(EVP_PKEY *own, EVP_PKEY *theirs, uint8_t ret[static SHARED])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
	size_t n = SHARED;
	bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		  EVP_PKEY_derive_set_peer_ex(ctx, theirs, 0) == 1 &&
		  EVP_PKEY_derive(ctx, ret, &n) == 1 && n == SHARED;

	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static void put_id(uint8_t *at, uint32_t id)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(id >> (24 - 8 * i));
}

static bool extract(uint8_t *secret, uint32_t low, uint32_t high, uint8_t ret[static CRYPTO_KEY])
{
	static char salt[] = "vine router key 1", digest[] = "SHA256";
	uint8_t info[8];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, SHARED),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt) - 1),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	uint8_t key[CRYPTO_KEY];
	bool ok;

	put_id(info, low);
	put_id(info + 4, high);
	ok = ctx && EVP_KDF_derive(ctx, key, sizeof(key), params) == 1;
	if (ok)
		memcpy(ret, key, sizeof(key));
	crypto_wipe(key, sizeof(key));
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

bool pair_key(EVP_PKEY *own, uint32_t self, const char *theirs, size_t len, uint32_t other,
	      uint8_t ret[static CRYPTO_KEY])
{
	EVP_PKEY *key = read_public(own, theirs, len);
	uint8_t secret[SHARED];
	bool ok = key && agree(own, key, secret) &&
		  extract(secret, self < other ? self : other, self < other ? other : self, ret);

	crypto_wipe(secret, sizeof(secret));
	EVP_PKEY_free(key);
	return ok;
}

bool pair_key_pinned(EVP_PKEY *own, uint32_t self, const struct pinned *p,
		     uint8_t ret[static CRYPTO_KEY])
{
	for (unsigned i = p->n_keys; i-- > 0;)
		if (pair_key(own, self, (const char *)p->keys[i].bytes, p->keys[i].len, p->id, ret))
			return true;
	return false;
}
