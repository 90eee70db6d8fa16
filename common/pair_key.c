/*
 * See pair_key.h. The key of the other is a stranger's until it has been found to be a
 * point of the curve, which the library checks.
 */
#include "common/pair_key.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/pki.h"

#define SHARED 32 /* bytes of a coordinate */

static EVP_PKEY *read_public(const char *text, size_t len)
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
		  EVP_PKEY_derive_set_peer(ctx, theirs) == 1 &&
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
	EVP_PKEY *key = read_public(theirs, len);
	uint8_t secret[SHARED];
	bool ok = key && agree(own, key, secret) &&
		  extract(secret, self < other ? self : other, self < other ? other : self, ret);

	crypto_wipe(secret, sizeof(secret));
	EVP_PKEY_free(key);
	return ok;
}

bool pair_key_peer(EVP_PKEY *own, uint32_t self, const struct image_peer *p,
		   uint8_t ret[static CRYPTO_KEY])
{
	for (unsigned i = p->n_keys; i-- > 0;)
		if (pair_key(own, self, (const char *)p->keys[i].bytes, p->keys[i].len, p->id, ret))
			return true;
	return false;
}
