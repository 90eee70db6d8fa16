/*
 * Signatures: Ed25519 (RFC 8032), by libcrypto.
 */
#ifndef COMMON_SIGN_H
#define COMMON_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_KEY 32   /* bytes of a key, private or public */
#define SIGN_BYTES 64 /* of a signature */

/* A private key, ready to sign. */
struct signer;

/* NULL: out of memory, or the library lacks the algorithm. */
struct signer *signer_new(const uint8_t private_key[static SIGN_KEY]);
/* Wipes it. NULL is fine. */
void signer_free(struct signer *);
/* The public key that its signatures are verified with. */
const uint8_t *signer_public(const struct signer *);
/* False on library failure. */
bool signer_sign(const struct signer *, const void *data, size_t len,
		 uint8_t ret[static SIGN_BYTES]);

bool sign_verify(const uint8_t public_key[static SIGN_KEY], const void *data, size_t len,
		 const uint8_t signature[static SIGN_BYTES]);

#endif
