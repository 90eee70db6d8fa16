/*
 * MAC and AEAD of frames by OpenSSL's libcrypto, a frame at a time.
 *
 * HMAC-SHA256: the states after the pads are never written again, so all threads
 * share them; each frame starts from copies on the stack.
 *
 * AEADs: one cipher context per key and thread, with its key schedule done when
 * the key is made. A frame sets the nonce and the direction only; neither GCM
 * nor ChaCha20-Poly1305 has a key schedule that depends on the direction.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <limits.h>
#include <string.h>

#include "common/crypto_private.h"

/* HMAC */

/* The whole HMAC of one frame; what of it goes out is the first FRAME_MAC bytes. */
static void hmac_frame(const struct crypto_job *j, uint8_t ret[static SHA256_DIGEST_LENGTH])
{
	const struct crypto_hmac *h = &j->key->hmac;
	SHA256_CTX state = h->inner;

	SHA256_Update(&state, j->head, j->head_len);
	SHA256_Update(&state, j->data, j->len);
	crypto_hmac_finish(h, &state, ret);
}

static bool hmac_seal(const struct crypto_job *j)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	hmac_frame(j, mac);
	memcpy(j->mac, mac, FRAME_MAC);
	return true;
}

static bool hmac_open(const struct crypto_job *j)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	hmac_frame(j, mac);
	return crypto_equal(mac, j->mac, FRAME_MAC);
}

/* AEAD */

/* Nonce, associated data and data. For opening, the tag to compare goes in first. */
static bool aead_run(EVP_CIPHER_CTX *ctx, const struct crypto_job *j, bool seal)
{
	uint8_t nonce[CRYPTO_SALT + CRYPTO_NONCE];
	int n;

	if (j->len > INT_MAX || j->head_len > INT_MAX)
		return false;
	memcpy(nonce, j->key->salt, CRYPTO_SALT);
	memcpy(nonce + CRYPTO_SALT, j->nonce, CRYPTO_NONCE);
	if (!EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, seal, NULL))
		return false;
	if (!seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, FRAME_MAC, j->mac) <= 0)
		return false;
	/* No output means associated data, so empty data is not offered at all. */
	if (j->head_len && !EVP_CipherUpdate(ctx, NULL, &n, j->head, (int)j->head_len))
		return false;
	if (j->len && !EVP_CipherUpdate(ctx, j->data, &n, j->data, (int)j->len))
		return false;
	return true;
}

static bool aead_seal(EVP_CIPHER_CTX *ctx, const struct crypto_job *j)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int n;

	return aead_run(ctx, j, true) && EVP_CipherFinal_ex(ctx, none, &n) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, FRAME_MAC, j->mac) > 0;
}

static bool aead_open(EVP_CIPHER_CTX *ctx, const struct crypto_job *j)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int n;

	return aead_run(ctx, j, false) && EVP_CipherFinal_ex(ctx, none, &n) > 0;
}

/* Operations */

static const char *cipher_name(enum protection kind)
{
	switch (kind) {
	case PROTECT_AES_256_GCM: return "AES-256-GCM";
	case PROTECT_CHACHA20_POLY1305: return "ChaCha20-Poly1305";
	default: return NULL;
	}
}

static bool key_init(struct crypto_key *k, const uint8_t key[static CRYPTO_KEY])
{
	if (k->kind == PROTECT_HMAC)
		crypto_hmac_init(&k->hmac, key);
	else
		memcpy(k->secret, key, CRYPTO_KEY);
	return true;
}

static EVP_CIPHER_CTX *context_new(const EVP_CIPHER *cipher, const uint8_t key[static CRYPTO_KEY])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx && EVP_CipherInit_ex2(ctx, cipher, key, NULL, 1, NULL) > 0)
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* From the key: GCM's contexts can't be copied before OpenSSL 3.2. */
static bool key_grow(struct crypto_key *k, unsigned threads)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, cipher_name(k->kind), NULL);
	bool ok = cipher;

	for (unsigned i = 0; ok && i < threads; i++) {
		if (!k->cipher[i])
			k->cipher[i] = context_new(cipher, k->secret);
		ok = k->cipher[i];
	}
	EVP_CIPHER_free(cipher); /* the contexts hold references of their own */
	return ok;
}

static void key_done(struct crypto_key *k)
{
	for (unsigned i = 0; k->kind != PROTECT_HMAC && i < CRYPTO_THREADS; i++)
		EVP_CIPHER_CTX_free(k->cipher[i]); /* wipes the key schedule */
}

static void seal_frames(unsigned thread, struct crypto_job *const jobs[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct crypto_job *j = jobs[i];

		j->ok = j->key->kind == PROTECT_HMAC ? hmac_seal(j)
						     : aead_seal(j->key->cipher[thread], j);
	}
}

static void open_frames(unsigned thread, struct crypto_job *const jobs[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct crypto_job *j = jobs[i];

		j->ok = j->key->kind == PROTECT_HMAC ? hmac_open(j)
						     : aead_open(j->key->cipher[thread], j);
	}
}

const struct crypto_ops crypto_openssl = {
	.library = "OpenSSL",
	.key_init = key_init,
	.key_grow = key_grow,
	.key_done = key_done,
	.seal = seal_frames,
	.open = open_frames,
};
