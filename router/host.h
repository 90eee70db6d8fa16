/*
 * What the router sets up on its machine, over netlink: the device's state and
 * MTU, routes of the overlay's prefixes, the unreachable routes beneath them, the
 * Netfilter table. It takes down exactly that, and finds what an earlier run
 * left (SPEC section 2). It never touches what is not its own.
 */
#ifndef ROUTER_HOST_H
#define ROUTER_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "router/config.h"

struct host;

/* Netlink sockets, nothing else yet. NULL with errno. */
struct host *host_open(void);
/* Takes down everything that is still set up, the unreachable routes last. */
void host_close(struct host *);

struct host_setup {
	const char *device;
	uint32_t mtu;
	const struct prefix *networks;
	size_t n_networks;
	struct ip address4, address6; /* source of the gateway's own packets to the
					 overlay, if they are addresses of this machine */
	enum fail_mode fail;
};

/* Brings the device (which exists) up with this MTU and no address of its own
 * making, and routes the prefixes to it, replacing leftovers of an earlier run.
 * Called again after a change, it applies the difference without a gap. 0 or
 * -errno, with what failed written to *ret_what (static text). */
int host_apply(struct host *, const struct host_setup *, const char **ret_what);
int host_set_mtu(struct host *, uint32_t mtu);

/* The router's own Netfilter table ("vine-DEVICE"), gone with the process.
 * check_source: what comes in by an interface that does not lead back to its
 * source is dropped before the device. n > 0: packets that would leave by the
 * device go to n queues of each range (nfq.h) instead, the first one being `first`,
 * balanced by address pair, by nf_tables' queue expression where the kernel has it,
 * else by the xtables target; n = 0: the device gets them. Replaces the table of an
 * earlier call. */
int host_rules_set(struct host *, const char *device, bool check_source, uint16_t first, uint16_t n,
		   const char **ret_what);
int host_rules_remove(struct host *);

/* Whether this is an address of this machine. */
bool host_has_address(struct host *, const struct ip *);
/* All addresses of this machine, up to max, ascending: how many. */
size_t host_addresses(struct host *, struct ip *ret, size_t max);
/* The machine's own address inside one of the prefixes; false if none. */
bool host_find_address(struct host *, const struct prefix *, size_t n, uint8_t family,
		       struct ip *ret);

/* Looks for what would break the overlay silently: forwarding off, strict rp_filter,
 * a FORWARD chain with policy drop, a masquerade that would take the device's
 * packets, an interface route that hides an overlay prefix. One clear line each. */
void host_diagnose(struct host *, const struct host_setup *,
		   void (*fn)(void *arg, const char *line), void *arg);

#endif
