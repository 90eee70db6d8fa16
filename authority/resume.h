/*
 * A publisher that goes on where another one stopped, be it in the middle of a change: in the
 * same rounds and steps, with the same versions. So routers are at most one step apart all the
 * time, and no packet is lost (tables.h).
 */
#ifndef AUTHORITY_RESUME_H
#define AUTHORITY_RESUME_H

#include "authority/journal.h"
#include "authority/publish.h"

/* The other one had saved `from`; the registry is at this revision. 0; -ESTALE: it can't
 * be: one is to begin with the registry as it is, routers that are in a change may lose
 * packets; -EINVAL: besides, the registry is of no more use. Words are in error. */
int resume_publish(struct registry *, struct journal *, const struct published *from,
		   uint64_t revision, struct publish *(*make)(void *arg, uint64_t revision),
		   void *arg, mono_t now, struct publish **ret, char error[static RECORD_ERROR]);

#endif
