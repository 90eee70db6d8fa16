/*
 * The managers of libipsec-mb that crypto_mb.c works with. There are two makers: one takes
 * the library's own, one puts together the little that is needed of them, which makes a
 * static program smaller by megabytes. The Makefile chooses.
 */
#ifndef COMMON_CRYPTO_MANAGER_H
#define COMMON_CRYPTO_MANAGER_H

#define NO_COMPAT_IMB_API_053 /* old names, which clash with OpenSSL's */

#include <intel-ipsec-mb.h>
#include <stdbool.h>

/* The best code for this processor, or, if not `wide`, that for its SHA instructions. What
 * it can't do is NULL in it: gcm256_enc, submit_job_nocheck (ChaCha20-Poly1305) or
 * submit_hash_burst_nocheck (HMAC-SHA256). NULL: out of memory, or not for this processor. */
IMB_MGR *crypto_manager_new(bool wide);
/* Wipes it. NULL is fine. */
void crypto_manager_free(IMB_MGR *);
/* After all have been made, with any of them: gives back memory that making has used. */
void crypto_managers_made(const IMB_MGR *);

#endif
