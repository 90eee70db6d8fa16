/*
 * vine-tiny: a full router's data path for one VM, with one peer, its designated full
 * router, and no tables but what its few lines of configuration make.
 *
 * It is the router's own code (router.h) with a configuration that is derived from
 * tiny.conf and from what is learned while it runs: the VM's address, the network and its
 * protection (as the router says), and which router of the list is in use. One thread does
 * everything.
 */
#ifndef TINY_TINY_H
#define TINY_TINY_H

#include "router/router.h"
#include "tiny/config.h"
#include "tiny/routes.h"

struct tiny {
	struct tiny_config *config;
	struct loop *loop;
	struct router *router;
	struct routes *routes;
	struct inject *answer; /* ICMP errors for the VM itself */
	/* what has been learned */
	size_t which; /* of the routers */
	struct config_network network;
	struct ip address4, address6;
	struct ip outside[ROUTES_OUTSIDE];
	size_t n_outside;
	/* the router in use */
	struct timer watch;
	mono_t well;	/* when it was last */
	bool connected; /* it has been, since it was chosen */
};

/* Opens and sets up everything; takes over the configuration. NULL with lines on errors, and
 * nothing is left set up. */
struct tiny *tiny_open(struct tiny_config *, struct loop *, mono_t now, FILE *errors);
/* After each turn of the loop: what the data path has noted. False: the device is gone. */
bool tiny_turn(struct tiny *, mono_t now);
/* The full router in use. */
const struct contact *tiny_router(const struct tiny *);
/* Says goodbye and takes everything down. NULL is fine. */
void tiny_close(struct tiny *);

#endif
