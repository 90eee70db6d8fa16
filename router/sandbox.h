/*
 * Giving up privileges once the router is set up: capabilities down to
 * CAP_NET_ADMIN and CAP_NET_RAW, no new privileges, a system call filter.
 */
#ifndef ROUTER_SANDBOX_H
#define ROUTER_SANDBOX_H

/* For all threads, so called before others are started... 0 or -errno with
 * *ret_what naming the step. */
int sandbox_enter(const char **ret_what);
/* Whether this process has the capabilities that a router needs; the name of the
 * first missing one, NULL if none. */
const char *sandbox_missing(void);

#endif
