/*
 * The last good tables of this router on its disk, as they came: signed. So nothing is
 * believed at the start that was not believed before.
 *
 *   "ViNs", 1, then for each: u32 length (big-endian), the bytes of a signed image
 *   (docs/image.md): the first a whole one, the others changes, each of what is before it.
 *
 * A change is appended; what a crash has left of one doesn't verify and is passed over. When
 * changes have grown past the whole, it is time for another whole image.
 */
#ifndef ROUTER_STORED_H
#define ROUTER_STORED_H

#include "common/feed.h"
#include "router/disk.h"

#define STORED_FILE "tables" /* in the state directory */

struct stored {
	struct disk *disk;
	char *path;
	uint64_t base, size; /* bytes of the whole, and of all; 0: there is nothing */
	unsigned changes;
	bool behind; /* a write failed, so what is there is older: only a whole one helps */
};

/* False: out of memory. */
bool stored_init(struct stored *, struct disk *, const char *directory);
void stored_done(struct stored *);

/* What is there. 0, and an image or NULL: nothing is stored yet; or -errno, with words: the
 * file can't be read (-EBADMSG: nothing in it is this router's and signed by its authority).
 * A rest that isn't good is said in words too, with what is before it. */
int stored_load(struct stored *, uint32_t self, const uint8_t public_key[static SIGN_KEY],
		struct image **ret, char error[static FEED_ERROR]);
/* Keeps what is run now: the signed bytes of it, or of the change that has made it. fn is
 * called when it is on disk, or isn't (-errno; -ENODATA: what it is a change of isn't). */
void stored_put(struct stored *, const uint8_t *bytes, size_t len, disk_fn *, void *arg);
/* A write has failed. */
void stored_failed(struct stored *);
/* Whether a whole image would be good to have. */
bool stored_wants_whole(const struct stored *);

#endif
