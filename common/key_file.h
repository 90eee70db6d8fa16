/*
 * A file with a key that two routers share.
 */
#ifndef COMMON_KEY_FILE_H
#define COMMON_KEY_FILE_H

#include "common/crypto.h"

#define KEY_FILE_WHY 64
#define KEY_FILE_EXPECTED "a file of mode 0600 with 32 bytes in base64"

/* Reads it: "", or what is wrong with it, to be said behind its name (room is for that). */
const char *key_file_read(const char *path, uint8_t key[static CRYPTO_KEY],
			  char room[static KEY_FILE_WHY]);

#endif
