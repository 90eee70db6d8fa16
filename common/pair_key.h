/*
 * The pre-shared key of two routers that an authority knows: made by each of them of its
 * own private key and of the other's public one, which the signed tables pin. Nobody sends
 * it, and no certificate decides: who isn't pinned any more has no key.
 *
 *   HKDF-SHA256 (RFC 5869) of ECDH on P-256 (NIST SP 800-56A), with salt "vine router key 1"
 *   and info: both router IDs, the lower first, 32 bits each, big-endian.
 *
 * Both keys are long-lived, so it is as secret as they are: like a key file. Frames don't
 * use it; DTLS makes theirs, with forward secrecy.
 */
#ifndef COMMON_PAIR_KEY_H
#define COMMON_PAIR_KEY_H

#include <openssl/evp.h>

#include "common/crypto.h"
#include "common/image.h"

/* Of the other's public key as text (pki_key_text). False, and untouched: that is no P-256
 * key. */
bool pair_key(EVP_PKEY *own, uint32_t self, const char *theirs, size_t len, uint32_t other,
	      uint8_t ret[static CRYPTO_KEY]);
/* The same with the newest one of those pinned that is a key. */
bool pair_key_pinned(EVP_PKEY *own, uint32_t self, const struct pinned *,
		     uint8_t ret[static CRYPTO_KEY]);

#endif
