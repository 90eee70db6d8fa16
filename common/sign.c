/*
 * Signatures by libcrypto. A signer keeps the library's form of its key, which costs
 * as much to make as a signature; whoever verifies does so once in a while.
 */
#include "common/sign.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct signer {
	EVP_PKEY *key;
	uint8_t public_key[SIGN_KEY];
};

struct signer *signer_new(const uint8_t private_key[static SIGN_KEY])
{
	struct signer *s = calloc(1, sizeof(*s));
	size_t len = SIGN_KEY;

	if (!s)
		return NULL;
	s->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, SIGN_KEY);
	if (s->key && EVP_PKEY_get_raw_public_key(s->key, s->public_key, &len) == 1)
		return s;
	signer_free(s);
	return NULL;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	EVP_PKEY_free(s->key);
	free(s);
}

const uint8_t *signer_public(const struct signer *s)
{
	return s->public_key;
}

bool signer_sign(const struct signer *s, const void *data, size_t len,
		 uint8_t ret[static SIGN_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SIGN_BYTES;
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) == 1 &&
		  EVP_DigestSign(ctx, ret, &n, data, len) == 1 && n == SIGN_BYTES;

	EVP_MD_CTX_free(ctx);
	return ok;
}

bool sign_verify(const uint8_t public_key[static SIGN_KEY], const void *data, size_t len,
		 const uint8_t signature[static SIGN_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, SIGN_KEY);
	bool ok = ctx && key && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		  EVP_DigestVerify(ctx, signature, SIGN_BYTES, data, len) == 1;

	EVP_PKEY_free(key);
	EVP_MD_CTX_free(ctx);
	return ok;
}
