/*
 * What is said on a router's stream from the authority: lines of JSON, each a message.
 *
 *   {"type": "tables", "version": "G.N", "step": K, "image": BASE64}
 *   {"type": "change", "version": "G.N", "step": K, "image": BASE64}
 *   {"type": "alive", "next": MILLISECONDS}
 *
 * (base64 without escapes, everything else of a line in 4 KiB)
 * and what the router says of tables: {"version": "G.N"}, the version that it runs, with
 * "error" (words) if it has refused what came. No sockets: bytes in, messages out.
 */
#ifndef COMMON_FEED_H
#define COMMON_FEED_H

#include "common/image.h"

#define FEED_LINE (IMAGE_MAX / 3 * 4 + 1024) /* longest line */
#define FEED_NEXT 3600000		     /* ms: what is said of a sign of life is less */
#define VERSION_TEXT 42
#define FEED_ERROR 200

/* "G.N". */
char *version_format(struct version, char buf[static VERSION_TEXT]);
/* False, and untouched, for anything else. */
bool version_parse(const char *text, struct version *ret);

/* A line with its end, to be freed; NULL: out of memory. */
char *feed_tables(struct version, uint8_t step, const uint8_t *bytes, size_t len, size_t *ret_len);
/* To be sent when nothing else was for a while, and again in so many milliseconds: a line with
 * its end, to be freed. NULL: out of memory. */
char *feed_alive(unsigned next);
char *feed_confirm(struct version, const char *error);
/* Reads what a router confirms, a stranger's; false: it is malformed. error is "" for
 * none, and printable. */
bool feed_confirm_parse(const char *body, size_t len, struct version *ret,
			char error[static FEED_ERROR]);

/* Bytes that become lines. */
struct feed {
	uint8_t *line;
	size_t n, room;
	bool failed;
};
void feed_init(struct feed *);
void feed_done(struct feed *);

enum feed_type { FEED_ALIVE, FEED_TABLES, FEED_OTHER /* to be passed over */ };
struct feed_message {
	enum feed_type type;
	unsigned next; /* of a sign of life: ms until the next one; 0: it isn't said */
	struct version version;
	uint8_t *bytes; /* of tables, to be freed */
	size_t len;
};
typedef void feed_fn(void *arg, const struct feed_message *);
/* Calls fn for each message that is whole now. 0; -EBADMSG, -EMSGSIZE, -ENOMEM: the
 * stream is to be closed, and goes on no more. */
int feed_read(struct feed *, const void *data, size_t len, feed_fn *, void *arg);

/* What a router makes of tables: the image to run next, after signature, addressee and
 * version, from what it runs (NULL: nothing). 0; 1: it runs that already; or what is to be
 * told the authority: -EKEYREJECTED not signed by it, -EBADMSG malformed, -EXDEV for
 * another router, -EALREADY older, -ESTALE a change of something else, -EMSGSIZE more than
 * a router takes, -ENOMEM; with words in error. */
int feed_take(const struct image *runs, uint32_t self, const uint8_t public_key[static SIGN_KEY],
	      const uint8_t *bytes, size_t len, struct image **ret, char error[static FEED_ERROR]);

#endif
