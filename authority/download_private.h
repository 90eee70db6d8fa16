/*
 * What download.c (requests, the program), download_join.c (VMs that join) and download_script.c
 * share.
 */
#ifndef AUTHORITY_DOWNLOAD_PRIVATE_H
#define AUTHORITY_DOWNLOAD_PRIVATE_H

#include <stdint.h>

#include "authority/download.h"
#include "authority/ranges.h"
#include "authority/records.h"
#include "common/pki.h"

/* ---- download_script.c ---- */

#define DOWNLOAD_ARCHS 2
extern const char *const download_archs[DOWNLOAD_ARCHS + 1]; /* as uname -m has them; then NULL */

/* A program. */
struct download_binary {
	unsigned refs;
	size_t size;
	char digest[65]; /* SHA-256, hexadecimal */
	uint8_t data[];
};

struct download_place {
	const char *base;					/* "https://authority:8464" */
	const char *token;					/* or "join" */
	const char *ca;						/* PEM; NULL: no TLS */
	const struct ip *at;					/* the address that was called */
	const struct download_binary *binaries[DOWNLOAD_ARCHS]; /* NULL: there is none */
};

/* The script; to be freed. */
char *download_script(const struct download_place *, size_t *ret_len);
/* A script that says why not. */
char *download_refusal(const char *why);

/* ---- download.c ---- */

struct download {
	const struct settings *settings;
	struct ranges *ranges; /* NULL: none are known */
	struct download_binary *binaries[DOWNLOAD_ARCHS];
	struct bucket *buckets; /* download.c */
};

/* Where a request comes from, and where it came in. */
struct download_caller {
	struct ip seen, at;
	bool plain; /* no TLS */
};

/* Takes over the text, which is cleared behind it. */
void download_answer(struct evhttp_request *, int status, const char *type, char *text, size_t len);
/* In words: as a script that says them, since that is what is waited for. */
void download_refuse(struct evhttp_request *, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- download_request.c ---- */

/* What a VM says of itself. */
struct download_form {
	bool script; /* a script asks, which wants to be told why not in its own form */
	char nonce[RECORD_NAME + 1]; /* a name, of 16 characters at least */
	struct ip address;	     /* family 0: it says none */
	char name[41];		     /* "": none, or none that can be one */
};

/* False: it is none; `script` is right all the same. */
bool download_form(const char *body, size_t n, struct download_form *ret);
/* What stands behind /tiny/: "" for "join". False: neither that nor a token. */
bool download_token(const char *text, char ret[static PKI_SECRET]);
/* Whether a script may be told that it is a host, and a port; text may be NULL. */
bool download_host(const char *text);

/* ---- download_join.c ---- */

/* Answers with a script, or with an identity (whole); `token` is what stands behind /tiny/. */
void download_join(struct api *, struct evhttp_request *, const struct download_caller *,
		   const char *token, bool whole);

#endif
