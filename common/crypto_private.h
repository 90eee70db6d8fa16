/*
 * What the parts of crypto share: a key from inside, and the table of operations
 * that each library's part fills in.
 */
#ifndef COMMON_CRYPTO_PRIVATE_H
#define COMMON_CRYPTO_PRIVATE_H

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "common/crypto.h"

#define CRYPTO_CHUNK 64 /* jobs that a library gets at once, at most */

/* SHA-256 after the pads: what a key is to HMAC. */
struct crypto_hmac {
	SHA256_CTX inner, outer;
};

void crypto_hmac_init(struct crypto_hmac *, const uint8_t key[static CRYPTO_KEY]);
/* From the state after the message, which ends as the HMAC itself and keeps nothing
 * of the key. */
void crypto_hmac_finish(const struct crypto_hmac *, SHA256_CTX *state,
			uint8_t ret[static SHA256_DIGEST_LENGTH]);

struct crypto_ops {
	const char *library;
	/* False: out of memory, or no such algorithm; key_done is called all the same. */
	bool (*key_init)(struct crypto_key *, const uint8_t key[static CRYPTO_KEY]);
	/* What threads up to this one need of the key and do not have. False: out of memory. */
	bool (*key_grow)(struct crypto_key *, unsigned threads);
	void (*key_done)(struct crypto_key *);
	/* Up to CRYPTO_CHUNK jobs, whose keys are all of these operations and for this
	 * thread. Their `ok` is false and is set where it went well. */
	void (*seal)(unsigned thread, struct crypto_job *const jobs[], size_t n);
	void (*open)(unsigned thread, struct crypto_job *const jobs[], size_t n);
};

extern const struct crypto_ops crypto_openssl, crypto_mb;

struct crypto {
	atomic_uint users; /* the owner, and each key */
	unsigned threads;
	struct mb *mb; /* NULL: OpenSSL only */
	const struct crypto_ops *ops[PROTECTIONS];
};

struct crypto_key {
	enum protection kind;
	uint8_t salt[CRYPTO_SALT];
	struct crypto *crypto;
	const struct crypto_ops *ops;
	struct crypto_hmac hmac; /* HMAC, of either library */
	struct mb_key *mb;	 /* AEADs of libipsec-mb */
	atomic_uint threads;	 /* that it is for */
	/* AEADs of OpenSSL: what contexts are made of, and one for each thread */
	uint8_t secret[CRYPTO_KEY];
	EVP_CIPHER_CTX *cipher[];
};

/* libipsec-mb's state for threads. NULL: not built in, not for this processor, out of
 * memory. */
struct mb *crypto_mb_new(unsigned threads);
bool crypto_mb_grow(struct mb *, unsigned threads);
void crypto_mb_free(struct mb *);
/* Whether it can, and whether it is the faster one then. */
bool crypto_mb_has(const struct mb *, enum protection);
bool crypto_mb_is_faster(const struct mb *, enum protection);

#endif
