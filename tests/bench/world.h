/*
 * The authority's records at size, for benches: n routers, each at a site of its own, with
 * ten hosts and one VN for each, and two large VNs beside.
 */
#ifndef BENCH_WORLD_H
#define BENCH_WORLD_H

#include <jansson.h>

#define WORLD_HOSTS 10	   /* of each router; and of each VN, at as many routers */
#define WORLD_ADMIN "root" /* the user who has all roles and owns everything */

/* Two large VNs, n + 1 and n + 2, which can be merged, with hosts of their own behind the
 * others, ten at a router. Then there are hosts for two more, at as many routers as there
 * are. */
#define WORLD_LARGE 1000 /* hosts of each */
/* Routers of a pair, and its first host. */
unsigned world_dense(unsigned n);
unsigned world_spread(unsigned n);
#define world_first_dense(n) ((n)*WORLD_HOSTS)
#define world_first_spread(n) ((n)*WORLD_HOSTS + 2 * WORLD_LARGE)

/* What takes a record, and its value. */
typedef void world_fn(void *arg, const char *key, json_t *value);

/* keys: public keys of routers; NULL: they all have the same. Routers are r0, r1, ... with
 * IDs from 1, hosts h0, h1, ... ten after ten; VNs v1, v2, ... with these IDs. */
void world_make(unsigned n, const char *admin_key, char *const *keys, world_fn *, void *arg);
/* Names of n hosts from one on, so many apart, ascending. */
json_t *world_hosts(unsigned from, unsigned n, unsigned apart);

#endif
