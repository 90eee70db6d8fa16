/*
 * Asking the authority: the identity of who asks (a directory of PEM files), and one
 * request of HTTPS. Every function that fails has said why on stderr.
 */
#ifndef CTL_AUTHORITY_H
#define CTL_AUTHORITY_H

#include <jansson.h>
#include <limits.h>

#include "ctl/ctl.h"

struct identity {
	char directory[PATH_MAX - 32];
	char url[512];		/* "": not known */
	char kind[8], name[64]; /* "": not registered */
};

/* Who asks, of the options and the directory. False: there is nothing that names an
 * authority. */
bool identity_read(const struct ctl *, struct identity *ret);
/* The path of a file of it. */
void identity_path(const struct identity *, const char *file, char ret[static PATH_MAX]);

/* What is asked. `pin` NULL: the CAs of the identity are believed; else the one of this
 * SHA-256 (in hexadecimal), which the authority shows, and no certificate is sent. */
struct question {
	const char *method, *path; /* the path with its query */
	json_t *body;		   /* NULL: none; borrowed */
	const char *pin;
	bool anonymous;		/* no certificate is sent */
	const char *credential; /* a delegated one, instead of a certificate; or NULL */
};

/* Renews the certificate if it is in the last third of its life, or past it. What can't be
 * renewed is told, and used as it is. */
void identity_renew(const struct identity *);

/* The answer, a new reference; NULL: refused, or nobody answered. */
json_t *authority_ask(const struct identity *, const struct question *);

#endif
