/*
 * From one world to the next. Beside this: router_reload and router_apply_image (router.h).
 */
#ifndef ROUTER_CHANGE_H
#define ROUTER_CHANGE_H

#include "router/router.h"

/* What the authority has given: what stands in the place of the configuration's tables,
 * networks and peers. */
struct given {
	struct image *image;
	/* Its networks, in its order, where the addresses of this router's tinies are theirs. */
	struct image *tables;
	struct config_network *nets; /* ascending by ID, those that aliases come from included */
	size_t n_nets;
	struct config_peer *peers; /* its peers, then its tinies; names are the image's */
	size_t n_peers;
	struct lndt_row *lndt; /* of this site, on either side */
	size_t n_lndt;
};

/* NULL, with lines on errors, without memory or keys. Takes over the image only if it
 * is made. `old` (may be NULL) is in force, and keys that it has are not asked for. */
struct given *given_new(struct image *, const struct given *old, image_key_fn *, void *arg,
			FILE *errors);
void given_free(struct given *);
/* given_tables.c: what is `tables` of an image. NULL: out of memory. */
struct image *given_tables(const struct image *, const struct given *old);

/* The first world, from the configuration, which it takes over if it is true. */
bool router_begin(struct router *, struct config *, mono_t now, FILE *errors);
/* Frees the world, when nobody looks into it any more. */
void router_forget(struct router *);

#endif
