/*
 * Keys and certificates as their holders have them: an identity is a P-256 key, a
 * certificate for it, and the CAs that it trusts, in PEM files of one directory. Then the
 * secrets that are handed from one person to another (tokens, credentials).
 */
#ifndef COMMON_PKI_H
#define COMMON_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

/* Of an identity's directory. */
#define PKI_KEY "key.pem"		  /* 0600 */
#define PKI_CERTIFICATE "certificate.pem" /* what the authority has issued */
#define PKI_TRUST "ca.pem"		  /* the CAs */
#define PKI_TABLES "tables.pub"		  /* the key that signs tables */
#define PKI_AUTHORITY "authority.json"	  /* {"url", "kind", "name"}, a router's "id" */

#define PKI_SECRET 65 /* room for a secret: 256 bits in hexadecimal */
#define PKI_HASH 61   /* room for the hash of one, which is a name (records.h) */
#define PKI_PIN 65    /* room for the SHA-256 of a certificate */
#define PKI_FILE_MAX (1u << 20)

/* NULL: out of memory, or no randomness. EVP_PKEY_free. */
EVP_PKEY *pki_key_new(void);
EVP_PKEY *pki_table_key_new(void); /* Ed25519 */
/* PEM texts, to be freed; NULL: out of memory. */
char *pki_key_pem(EVP_PKEY *);
char *pki_certificate_pem(X509 *);
/* A request to certify the key, signed with it. What it is for says its sender. */
char *pki_request_pem(EVP_PKEY *);
/* NULL: it is none. A key: not one without passphrase. */
EVP_PKEY *pki_key_parse(const char *pem);
X509 *pki_certificate_parse(const char *pem);
/* Whether it is of P-256, as all identities' are. */
bool pki_is_p256(EVP_PKEY *);
/* The public key as text (base64 of its DER), to be freed. It is what records pin. */
char *pki_key_text(EVP_PKEY *);
/* The same of a certificate's key, which is much faster than of that key taken out. */
char *pki_certified_key_text(X509 *);

/* A directory and those that the path to it lacks, for the owner alone. 0 or -errno. */
int pki_directories(const char *path);
/* A whole file of at most PKI_FILE_MAX bytes, to be freed, with a NUL; NULL with errno. */
char *pki_read(const char *path);
/* A new file, on disk when this returns. 0, -EEXIST, or -errno. */
int pki_write_new(const char *path, const char *text, unsigned mode);
/* Takes the place of what was there, whole or not at all. */
int pki_replace(const char *path, const char *text, unsigned mode);
/* Files that anybody else can read are no secret: whether it is one. */
bool pki_is_private(const char *path);

/* False: no randomness. */
bool pki_secret_new(char ret[static PKI_SECRET]);
void pki_secret_hash(const char *secret, char ret[static PKI_HASH]);
void pki_pin(X509 *, char ret[static PKI_PIN]);

#endif
