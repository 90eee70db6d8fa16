/*
 * What vine-tiny sets up in the kernel, over netlink: its device's state and MTU, and a
 * routing table of its own that is looked at before the main one. In it are the prefixes
 * that go to the device, and a "throw" route for everything inside them that has a way of
 * its own already: that is routed as if vine-tiny were not there.
 *
 * Nothing that is not vine-tiny's own is touched. What a killed one leaves behind routes
 * nothing, and the next one, or --uninstall, removes it.
 */
#ifndef TINY_ROUTES_H
#define TINY_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/loop.h"

struct routes;

#define ROUTES_OUTSIDE 32 /* addresses of routers */

struct routes_setup {
	const struct prefix *networks, *local;
	size_t n_networks, n_local;
	struct ip address4, address6;	   /* source of this machine's packets; family 0: none */
	struct ip outside[ROUTES_OUTSIDE]; /* where frames go: never by the device */
	size_t n_outside;
};

/* Netlink sockets, nothing else yet. NULL with errno. */
struct routes *routes_open(const char *device);
/* Takes down what was set up. NULL is fine. */
void routes_close(struct routes *);

/* Calls fn a little after routes or addresses of this machine have changed. 0 or -errno. */
int routes_follow(struct routes *, struct loop *, void (*fn)(void *arg, mono_t now), void *arg);

/* The device, which is there, is up from now on, without addresses. 0 or -errno. */
int routes_device_up(struct routes *);
int routes_set_mtu(struct routes *, uint32_t mtu);

/* Makes the table what the setup and the machine's own routes say now. 0 or -errno, with what
 * failed in words. */
int routes_apply(struct routes *, const struct routes_setup *, const char **ret_what);
/* Takes down rules and table, an earlier process's too: how many there were, or -errno. */
int routes_remove(struct routes *);

/* The address of this machine that packets to `to` have, and by which interface they leave;
 * false: there is no way. */
bool routes_source(struct routes *, const struct ip *to, struct ip *ret, uint32_t *ret_interface);
/* A global address of a family on an interface; false if it has none. */
bool routes_address(struct routes *, uint32_t interface, uint8_t family, struct ip *ret);

#endif
