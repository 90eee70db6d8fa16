/*
 * Follows what the kernel knows of the way to the site's hosts (links, routes and
 * neighbours), for packets that are given back past its routing. The control
 * thread's.
 */
#ifndef ROUTER_NEIGHBOURS_H
#define ROUTER_NEIGHBOURS_H

#include "common/loop.h"
#include "common/table.h"
#include "router/adjacency.h"

struct neighbours;

/* Publishes an image, which it owns from then on, instead of the one before. */
typedef void neighbours_fn(void *arg, struct adjacencies *);

/* Nothing is read yet. NULL with errno. */
struct neighbours *neighbours_open(struct loop *, neighbours_fn *, void *arg);
/* Publishes nothing more; what is published stays. NULL is fine. */
void neighbours_close(struct neighbours *);

/* The prefixes of the site's members: routes that concern none of them are passed over.
 * Reads everything and publishes it, or NULL until that succeeds. 0 or -ENOMEM; then
 * nothing is changed. */
int neighbours_set_site(struct neighbours *, const struct lndt_row *, size_t n, mono_t now);

#endif
