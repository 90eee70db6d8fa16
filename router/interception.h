/*
 * The method of interception in force, and its change on a running router: the
 * control thread's.
 *
 * Whatever the method, the device is read: the overlay's prefixes are routed to it, so
 * what is on it already when the method changes is carried as well, and so is what
 * another method does not take.
 */
#ifndef ROUTER_INTERCEPTION_H
#define ROUTER_INTERCEPTION_H

#include "router/router.h"

/* Changes the method: opens what it needs, redirects, drains, closes. 0 or -errno with
 * *ret_what; then the earlier one stays in force. */
int interception_set(struct router *, enum intercept_method, const char **ret_what);

/* With `packet`: looks again for the interfaces that packets are to be taken from, as
 * this configuration says; what has changed is logged in one line. */
void interception_refresh(struct router *, const struct config *);

#endif
