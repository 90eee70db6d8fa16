/*
 * The authority's certificate authority (CA), and the key that signs tables.
 *
 * Files of its directory, PEM, keys 0600:
 *   ca.crt ca.key          the CA that issues
 *   ca-next.crt .key       the one to come: trusted already, issues nothing yet
 *   ca-old.crt             the one before: trusted still
 *   tables.key tables.pub  Ed25519
 *
 * A certificate says what its holder is (OU: user, router or server) and its name (CN).
 * That it is believed is one half; the other is that the record of that name pins the same
 * public key and isn't revoked. So there is no revocation list: revoked is, at once, whose
 * record says so. Times are seconds since 1970.
 */
#ifndef AUTHORITY_CA_H
#define AUTHORITY_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <openssl/x509.h>

#define CA_ERROR 512
#define CA_NAME 64

struct ca;

enum ca_kind { CA_USER, CA_ROUTER, CA_SERVER };
extern const char *const ca_kinds[]; /* their names; then NULL */

/* Makes a CA and a signing key in a directory that has neither. -EEXIST, or -errno. What
 * it has written is gone again if it fails. */
int ca_make(const char *directory, time_t now, char error[static CA_ERROR]);
/* NULL: the words are in error. */
struct ca *ca_load(const char *directory, char error[static CA_ERROR]);
void ca_free(struct ca *);

/* Replacing it, in three steps: the next is trusted (next), and once all have fetched it
 * with a renewed certificate, issues (promote), and once all have one from it, the old is
 * no longer trusted (drop). 0 or -errno. */
int ca_next(const char *directory, time_t now, char error[static CA_ERROR]);
int ca_promote(const char *directory, char error[static CA_ERROR]);
int ca_drop(const char *directory, char error[static CA_ERROR]);

/* The public key of a request (PEM), whose signature proves that its sender has the
 * private one. NULL: it doesn't, or is no P-256 key. */
EVP_PKEY *ca_request_key(const char *pem, char error[static CA_ERROR]);
/* A certificate for so many seconds, or until the CA's own end. A server's has the names
 * (DNS or addresses) under which it is reached; others none. NULL: out of memory. */
X509 *ca_issue(struct ca *, enum ca_kind, const char *name, EVP_PKEY *, time_t now, long seconds,
	       char *const *names, size_t n_names);
/* What a certificate says; whether it is believed is another question. */
bool ca_holder(X509 *, enum ca_kind *ret_kind, char ret_name[static CA_NAME]);

/* Those that are trusted: for checking, and as PEM. They are the CA's. */
X509_STORE *ca_store(const struct ca *);
const char *ca_bundle(const struct ca *);
X509 *ca_certificate(const struct ca *);
time_t ca_end(X509 *);

/* Ed25519. */
EVP_PKEY *ca_table_key(struct ca *);

#endif
