/*
 * The inside of a change, for the rooms of image: image.c holds, image_code.c reads
 * and writes, image_change.c finds and applies changes, image_tiny.c all of this for tinies.
 */
#ifndef COMMON_IMAGE_PRIVATE_H
#define COMMON_IMAGE_PRIVATE_H

#include "common/image.h"

/* A network as it is afterwards, from one that is there, by its sides; 0: from
 * nothing. */
struct entry_change {
	uint8_t sides, base;
	enum protection protection;
	struct network_table *gone, *come; /* rows; never NULL */
};

struct network_change {
	uint32_t id;
	uint8_t n; /* 0: the network goes */
	struct entry_change entries[2];
};

struct image_change {
	struct version base, version;
	uint32_t router;
	uint8_t step;
	struct image_self self; /* afterwards */
	size_t n_networks;
	struct network_change *networks; /* by ID */
	size_t n_aliases;
	struct alias *aliases; /* all there are afterwards */
	size_t n_gone;
	uint32_t *gone; /* peers */
	size_t n_peers;
	struct image_peer **peers; /* that come, or are different */
	size_t n_tinies_gone;
	uint32_t *tinies_gone;
	size_t n_tinies;
	struct image_tiny **tinies; /* as peers */
};

/* Of aliases: their order. */
bool aliases_valid(const struct alias *, size_t n);
/* Of names as they are in configurations: alphanumeric, or one of `more`. */
bool text_valid(const char *text, const char *more);

/* ---- image_tiny.c ---- */

void tinies_free(struct image_tiny **, size_t n);
bool tinies_valid(const struct image *);
/* False: no memory. */
bool tinies_find(struct image_change *, const struct image *from, const struct image *to);
/* 0, -EBADMSG, -ENOMEM. */
int tinies_apply(const struct image *from, const struct image_change *, struct image *to);

#endif
