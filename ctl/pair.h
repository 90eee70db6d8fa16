/*
 * Pre-shared keys in files, for both ends of a pair of routers (SPEC section 4).
 */
#ifndef CTL_PAIR_H
#define CTL_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include "common/crypto.h"

#define PAIR_NAME 32 /* longest name of a router */

/* Whether text may name a router (vine-router.conf(5)), and so be part of a path:
 * letters, digits, '.', '_' and '-', the first a letter or a digit. */
bool pair_is_name(const char *text);

/* Makes one key and writes it to DIRECTORY/A/B.key and DIRECTORY/B/A.key, mode 0600,
 * in directories of mode 0700 that it makes where they are missing. Nothing is
 * overwritten: -EEXIST, and then neither file is new. 0 or -errno, with the file in
 * question in ret_path on failure. */
int pair_make(const char *directory, const char *a, const char *b, char *ret_path, size_t room);
/* The path of the key that `owner` has with `other`; false if it is too long. */
bool pair_path(const char *directory, const char *owner, const char *other, char *ret, size_t room);

/* A new key as text with a line end; wipe it after use. False: no randomness. */
bool pair_key(char text[static CRYPTO_KEY_TEXT + 1]);

#endif
