/*
 * Netlink requests of the control thread: one at a time, answered before the
 * call returns.
 */
#ifndef ROUTER_NETLINK_H
#define ROUTER_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
};

/* Of a bus (NETLINK_ROUTE, NETLINK_NETFILTER). 0 or -errno. */
int netlink_open(struct netlink *, int bus);
/* Twice does no harm. */
void netlink_close(struct netlink *);

/* Sends a request; its sequence and the request and acknowledge flags are set
 * here. 0 or the kernel's -errno. */
int netlink_call(struct netlink *, struct nlmsghdr *);
/* Sends a request that is answered by messages, and calls fn for each. 0 or -errno. */
int netlink_get(struct netlink *, struct nlmsghdr *, mnl_cb_t fn, void *arg);
/* Sends a dump request (flags set here) and calls fn for each message; MNL_CB_ERROR
 * from it, with errno, becomes the result. An interrupted dump is asked for again,
 * so fn may see things twice: `again`, if not NULL, is called before. 0 or -errno. */
int netlink_dump(struct netlink *, struct nlmsghdr *, mnl_cb_t fn, void *arg,
		 void (*again)(void *arg));
/* Sends a batch of nfnetlink messages, each asking for an acknowledgement. 0, or
 * the -errno of the first message that failed. */
int netlink_batch(struct netlink *, const void *batch, size_t len);
/* The sequence for the next message of a batch. */
uint32_t netlink_next(struct netlink *);

/* Begins a change of a device (NETLINK_ROUTE) in a buffer aligned for struct nlmsghdr; it is
 * brought up, or its flags stay. */
struct nlmsghdr *netlink_link(void *buf, uint32_t ifindex, bool up);
/* Without a link-local address the kernel has nothing to say on the device. It fails where
 * IPv6 is off, which does as well; elsewhere the cost is some packets that the
 * overlay knows no source for. */
void netlink_no_link_local(struct netlink *, uint32_t ifindex);

#endif
