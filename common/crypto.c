/*
 * HMAC-SHA256 in its plain form, keys derived by it, and small things: random
 * bytes, comparing, wiping, keys as text.
 *
 * A key is two SHA-256 states, those after the inner and after the outer pad.
 * That takes the plain SHA-256 functions, which OpenSSL 3 calls deprecated: with
 * EVP_MAC, the library (3.0) allocates twice for each frame, and takes about 1.4
 * times as long for 64 bytes.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "common/crypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "common/crypto_private.h"

/* HMAC (RFC 2104) */

static void hmac_pad(SHA256_CTX *state, const uint8_t key[static CRYPTO_KEY], uint8_t pad)
{
	uint8_t block[SHA256_CBLOCK];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < CRYPTO_KEY; i++)
		block[i] ^= key[i];
	SHA256_Init(state);
	SHA256_Update(state, block, sizeof(block));
	crypto_wipe(block, sizeof(block));
}

void crypto_hmac_init(struct crypto_hmac *h, const uint8_t key[static CRYPTO_KEY])
{
	hmac_pad(&h->inner, key, 0x36);
	hmac_pad(&h->outer, key, 0x5c);
}

void crypto_hmac_finish(const struct crypto_hmac *h, SHA256_CTX *state,
			uint8_t ret[static SHA256_DIGEST_LENGTH])
{
	uint8_t inner[SHA256_DIGEST_LENGTH];

	SHA256_Final(inner, state);
	*state = h->outer;
	SHA256_Update(state, inner, sizeof(inner));
	SHA256_Final(ret, state);
}

bool crypto_derive(const uint8_t secret[static CRYPTO_KEY], const char *label, const void *context,
		   size_t len, uint8_t ret[static CRYPTO_KEY])
{
	struct crypto_hmac h;
	SHA256_CTX state;

	crypto_hmac_init(&h, secret);
	state = h.inner;
	SHA256_Update(&state, label, strlen(label) + 1);
	if (len)
		SHA256_Update(&state, context, len);
	crypto_hmac_finish(&h, &state, ret);
	crypto_wipe(&h, sizeof(h));
	crypto_wipe(&state, sizeof(state));
	return true;
}

/* Small things */

bool crypto_random(void *ret, size_t len)
{
	return len <= INT_MAX && RAND_bytes(ret, (int)len) == 1;
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void crypto_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

/* The six bits that a base64 digit stands for, -1 if it is none. */
static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/*
 * 32 bytes are 43 digits, the last of which has two bits to spare, and one '='.
 * Stricter than OpenSSL's decoder, which skips blanks and takes spare bits that
 * are set: of one key there is one text.
 */
bool crypto_key_parse(const char *text, uint8_t ret[static CRYPTO_KEY])
{
	const int digits = CRYPTO_KEY_TEXT - 2;
	uint8_t key[CRYPTO_KEY];
	unsigned bits = 0, have = 0, n = 0;
	bool ok = false;

	for (int i = 0; i < digits; i++) {
		int d = base64_digit(text[i]);

		if (d < 0)
			goto out;
		bits = (bits << 6 | (unsigned)d) & 0xfff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			key[n++] = (uint8_t)(bits >> have);
		}
	}
	text += digits;
	if ((bits & 3) || (strcmp(text, "=") != 0 && strcmp(text, "=\n") != 0))
		goto out;
	memcpy(ret, key, CRYPTO_KEY);
	ok = true;
out:
	crypto_wipe(key, sizeof(key));
	return ok;
}

char *crypto_key_format(const uint8_t key[static CRYPTO_KEY], char buf[static CRYPTO_KEY_TEXT])
{
	EVP_EncodeBlock((unsigned char *)buf, key, CRYPTO_KEY);
	return buf;
}
