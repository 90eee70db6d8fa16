/*
 * Keys, MAC and AEAD by the batch: the only room that knows a crypto library.
 *
 * A key may be used by a fixed number of threads at once, each under its own
 * number, since library contexts belong to one thread each. What the threads
 * need whatever the key is in a struct crypto, one for the process.
 */
#ifndef COMMON_CRYPTO_H
#define COMMON_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire.h"

#define CRYPTO_KEY 32	  /* bytes of a key, whatever the algorithm */
#define CRYPTO_SALT 4	  /* fixed first bytes of the AEAD nonce */
#define CRYPTO_NONCE 8	  /* the rest: epoch, lane, sequence as on the wire */
#define CRYPTO_THREADS 33 /* at most */

struct crypto;
struct crypto_key;

/* Whose code runs the frames. The bytes are the same. */
enum crypto_choice {
	CRYPTO_FASTEST, /* of each algorithm, what is faster on this processor */
	CRYPTO_OPENSSL,
	CRYPTO_MB /* libipsec-mb, for what is there of it */
};

/* For threads 0 to threads-1; all that these will ever need is allocated now.
 * NULL: out of memory, no threads or too many, or CRYPTO_MB is asked for and is not built in
 * or not for this processor. */
struct crypto *crypto_new(unsigned threads, enum crypto_choice);
/* The keys made for it hold on to it: it may go before them. NULL is fine. */
void crypto_free(struct crypto *);
/* More threads, before the new ones begin: for the struct crypto itself, then for each
 * of its keys. The others may be at work meanwhile. False: out of memory, or more than
 * CRYPTO_THREADS; what was there goes on as before. Fewer is no work at all. */
bool crypto_grow(struct crypto *, unsigned threads);
bool crypto_key_grow(struct crypto_key *);
/* "OpenSSL" or "libipsec-mb". */
const char *crypto_library(const struct crypto *, enum protection);

/* A key of one algorithm (PROTECT_NONE has none). NULL: out of memory or the
 * library lacks the algorithm. Made and freed by any thread. */
struct crypto_key *crypto_key_new(struct crypto *, enum protection,
				  const uint8_t key[static CRYPTO_KEY],
				  const uint8_t salt[static CRYPTO_SALT]);
/* Wipes it. NULL is fine. */
void crypto_key_free(struct crypto_key *);

/* One frame to seal or to open, in place. HMAC covers head and data, and is fastest
 * where data follows head in memory; the AEADs take head as associated data and
 * transform data. */
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

/* Jobs may have different keys and algorithms; the more of them at once, the cheaper
 * each. `thread` is the caller's number. What open has not found ok is rubbish. */
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
