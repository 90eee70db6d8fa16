/*
 * What is measured feeds the tables: decisions about routers, to be carried out by the
 * operation `steer`.
 *
 * A router that is silent for long gives its addresses to another one of its site that has
 * them in its blocks (router_for), and gets them back when it has been heard again for as
 * long. Of several queue routers the first choice is the one with the shortest way to the
 * router, as that measures it: another one takes its place if it is much better, three times
 * in a row; at once if the first choice is silent. If most routers are silent, it is more
 * likely the authority that is cut off, and nothing is decided. A tiny that has gone over to
 * another one of its routers is delivered to by that one.
 *
 * Pure: time is an argument.
 */
#ifndef AUTHORITY_STEER_H
#define AUTHORITY_STEER_H

#include "authority/monitor.h"

#define STEER_INTERVAL (10 * SEC) /* between two looks at queue routers */
#define STEER_TIMES 3		  /* in a row */
#define STEER_TINIES 50		  /* in one decision */

struct steer;

/* silence: of the monitor; disable: ns after which others take over, at least that; 0:
 * never. */
struct steer *steer_new(int64_t silence, int64_t disable);
void steer_free(struct steer *);

/* arguments: of the operation, the function's. */
typedef void steer_fn(void *arg, json_t *arguments);
/* Once a second or so; what isn't carried out is decided again. */
void steer_run(struct steer *, const struct registry *, const struct monitor *, mono_t now,
	       steer_fn *, void *arg);

#endif
