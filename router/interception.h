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

#include "router/config.h"
#include "router/host.h"

struct router;
struct intercept;

/* What has been opened stays open, and is read, until the router ends. */
struct interception {
	unsigned n_queues; /* for the workers of these numbers */
	struct ring_group {
		struct intercept *first;
		unsigned n;
	} rings4, rings6;
	struct host_interfaces taken_from; /* with `packet` */
	char wrong[256];		   /* what is not, and why */
};

/* Changes the method: opens what it needs, redirects. 0 or -errno with *ret_what;
 * then the earlier one stays in force. */
int interception_set(struct router *, enum intercept_method, const char **ret_what);

/* Another number of workers: opens what the method in force needs for n of them; once
 * they work, gives each an even share. 0 or -errno with *ret_what. */
int interception_make_room(struct router *, unsigned n, const char **ret_what);
int interception_share(struct router *, const char **ret_what);

/* With `packet`: looks again for the interfaces that packets are to be taken from, as
 * this configuration says; what has changed is logged in one line. */
void interception_refresh(struct router *, const struct config *);

#endif
