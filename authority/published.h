/*
 * How far publishing has come, as the store has it under PUBLISHED_KEY: no record, it is of
 * this store's revisions and in no backup.
 *
 * It is written before what it says is done. So whoever takes over knows the most that
 * any router may run.
 */
#ifndef AUTHORITY_PUBLISHED_H
#define AUTHORITY_PUBLISHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define PUBLISHED_KEY "published"
#define PUBLISHED_DONE 4 /* a round's step beyond the last */

struct published {
	uint64_t generation, revision; /* all changes up to this one are done with */
	/* In order: each has the changes from the one before up to its revision. */
	size_t n;
	struct published_round {
		uint64_t revision;
		unsigned step; /* that it is in, or about to begin; 0: it waits */
	} * rounds;
};

void published_done(struct published *);
json_t *published_encode(const struct published *);
/* False: it is something else, and *ret is empty. */
bool published_decode(const json_t *, struct published *ret);

#endif
