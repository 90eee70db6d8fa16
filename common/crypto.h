/*
 * Keys, MAC and AEAD by the batch: the only room that knows a crypto library.
 *
 * A key may be used by a fixed number of threads at once, each under its own
 * number, since library contexts belong to one thread each.
 */
#ifndef COMMON_CRYPTO_H
#define COMMON_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define CRYPTO_KEY 32  /* bytes of a key, whatever the algorithm */
#define CRYPTO_SALT 4  /* fixed first bytes of the AEAD nonce */
#define CRYPTO_NONCE 8 /* the rest: epoch, lane, sequence as on the wire */

struct crypto_key;

/* A key of one algorithm (PROTECT_NONE has none) for threads 0 to threads-1.
 * NULL: out of memory or the library lacks the algorithm. */
struct crypto_key *crypto_key_new(enum protection, const uint8_t key[static CRYPTO_KEY],
				  const uint8_t salt[static CRYPTO_SALT], unsigned threads);
/* Wipes it. NULL is fine. */
void crypto_key_free(struct crypto_key *);

/* One frame to seal or to open, in place. HMAC covers head and data; the AEADs
 * take head as associated data and transform data. */
struct crypto_job {
	struct crypto_key *key;
	const uint8_t *head;
	uint32_t head_len;
	uint8_t *data;
	uint32_t len;
	uint8_t *mac;	      /* FRAME_MAC bytes, written by seal, compared by open */
	const uint8_t *nonce; /* CRYPTO_NONCE bytes */
	bool ok;	      /* result; open compares in constant time */
};

/* Jobs may have different keys and algorithms. `thread` is the caller's number. */
void crypto_seal(unsigned thread, struct crypto_job *jobs, size_t n);
void crypto_open(unsigned thread, struct crypto_job *jobs, size_t n);

/* HMAC-SHA256(secret, label || 0x00 || context): keys made from keys. */
bool crypto_derive(const uint8_t secret[static CRYPTO_KEY], const char *label, const void *context,
		   size_t len, uint8_t ret[static CRYPTO_KEY]);
/* False if the system has no randomness to give. */
bool crypto_random(void *ret, size_t len);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */
void crypto_wipe(void *, size_t len);

/* Base64 (RFC 4648) of a key file's content: exactly CRYPTO_KEY bytes. */
bool crypto_key_parse(const char *text, uint8_t ret[static CRYPTO_KEY]);
#define CRYPTO_KEY_TEXT 45
char *crypto_key_format(const uint8_t key[static CRYPTO_KEY], char buf[static CRYPTO_KEY_TEXT]);

#endif
