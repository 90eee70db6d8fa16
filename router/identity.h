/*
 * Who this router is to its authority: a directory as `vinectl register router` writes it
 * (common/pki.h), read once. Its private key is what other routers know it by.
 */
#ifndef ROUTER_IDENTITY_H
#define ROUTER_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <openssl/evp.h>

#include "common/sign.h"

#define IDENTITY_NAME 64
#define IDENTITY_URL 512
#define IDENTITY_ERROR 256

struct identity {
	char *directory;
	char name[IDENTITY_NAME];
	uint32_t id;
	char url[IDENTITY_URL]; /* of the authority where it was registered; "": not known */
	EVP_PKEY *key;
	char *key_pem, *certificate_pem, *trust_pem;
	uint8_t tables_key[SIGN_KEY];
	time_t begins, ends; /* of the certificate */
};

/* Reads a directory. NULL: error says which file is wrong and what is expected. */
struct identity *identity_load(const char *directory, char error[static IDENTITY_ERROR]);
/* Wipes the key. NULL is fine. */
void identity_free(struct identity *);

/* What the authority is asked for a new certificate, heap; NULL: out of memory. */
char *identity_renewal(const struct identity *);
/* Takes the new certificate and CAs out of its answer; files are not written. False, with
 * words, and nothing is changed: there is none for this key, that one of these CAs has issued
 * and that is good now; or the key that signs tables is another one, which nobody can change
 * so. */
bool identity_renewed(struct identity *, const json_t *answer, time_t now,
		      char error[static IDENTITY_ERROR]);
/* Whether it is in the last third of its life, or past it. */
bool identity_is_due(const struct identity *, time_t now);

#endif
