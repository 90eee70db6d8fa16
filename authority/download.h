/*
 * The download server: GET /tiny/TOKEN answers with a script that makes a VM a tiny, POST to the
 * same gives one VM its identity, GET /tiny/binary/ARCH-DIGEST the program. docs/tiny-download.md
 * says what each does.
 */
#ifndef AUTHORITY_DOWNLOAD_H
#define AUTHORITY_DOWNLOAD_H

#include <stdbool.h>

#include "authority/settings.h"
#include "common/addr.h"

struct api;
struct evhttp_request;
struct download;

/* With ranges and programs as the settings say. NULL: said why on stderr. The settings outlive
 * it. */
struct download *download_new(const struct settings *);
void download_free(struct download *); /* NULL is fine */
/* Both anew; what is wrong is said, and all stays as it was. */
void download_reload(struct download *);

/* Whether a path is of the download server. */
bool download_has(const char *path);
/* Answers, sooner or later. */
void download_handle(struct api *, struct evhttp_request *, const char *path);
/* One that came without TLS, which may be for /tiny/ alone; arg: struct api. */
void download_plain(struct evhttp_request *, void *arg);

#endif
