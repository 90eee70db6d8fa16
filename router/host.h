/*
 * What the router sets up on its machine, over netlink: the device's state and
 * MTU, routes of the overlay's prefixes, the unreachable routes beneath them, the
 * Netfilter table. It takes down exactly that, and finds what an earlier run
 * left (SPEC section 2). It never touches what is not its own.
 */
#ifndef ROUTER_HOST_H
#define ROUTER_HOST_H

#include <net/if.h>
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

/* Interfaces of this machine. */
#define HOST_INTERFACES_MAX 32

struct host_interfaces {
	unsigned n;
	struct {
		uint32_t index;
		char name[IF_NAMESIZE];
	} at[HOST_INTERFACES_MAX]; /* ascending by index */
};

/* The interfaces that packets can be taken from: Ethernet, up, no part of another one.
 * By these names; or, of n_names = 0, those that lead to the site's prefixes: by an
 * address there or by a route that is not the default. `why` (room bytes) gets what is
 * wrong with a name: "eth1 is down, eth2 is not there", or "". */
void host_find_interfaces(struct host *, char *const *names, size_t n_names,
			  const struct lndt_row *, size_t n_lndt, const char *device,
			  struct host_interfaces *ret, char *why, size_t room);

/* The rule that gives the overlay's packets to the rings (afpacket.h) as they come in
 * by these interfaces, instead of to the kernel: those that it would route to the
 * device, of sources that it would reach by that interface (check_source). Replaces
 * the one of an earlier call, so that each packet still goes one way; no interfaces:
 * there is none. 0 or -errno with *ret_what, and the earlier one stays. */
int host_ingress_set(struct host *, const char *device, bool check_source,
		     const struct host_interfaces *, const char **ret_what);
int host_ingress_remove(struct host *);
/* What it marks them with. */
uint32_t host_ingress_mark(const char *device);

/* Whether this is an address of this machine. */
bool host_has_address(struct host *, const struct ip *);
/* All addresses of this machine, up to max, ascending: how many. */
size_t host_addresses(struct host *, struct ip *ret, size_t max);
/* The machine's own address inside one of the members' prefixes, else one whose link a member
 * is on; false if none. */
bool host_find_address(struct host *, const struct lndt_row *, size_t n, uint8_t family,
		       struct ip *ret);

/* Looks for what would break the overlay silently: forwarding off, strict rp_filter,
 * a FORWARD chain with policy drop, a masquerade that would take the device's
 * packets, an interface route that hides an overlay prefix. One clear line each. */
void host_diagnose(struct host *, const struct host_setup *,
		   void (*fn)(void *arg, const char *line), void *arg);

#endif
