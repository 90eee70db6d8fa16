/*
 * Netlink requests, see netlink.h.
 *
 * The kernel carries out what is asked inside the send call and has queued its
 * answers when that returns; so an answer is read without waiting, and nothing
 * here can hang. Only a dump goes on while it is read. Answers to earlier
 * requests that were given up (another sequence) are skipped.
 */
#include "router/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#define ROOM 32768 /* what the kernel makes of a dump at most, per message */
#define TRIES 10   /* of a dump that changes underneath */

int netlink_open(struct netlink *nl, int bus)
{
	int e, on = 1;

	nl->sequence = 0;
	nl->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->socket)
		return -errno;
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		e = -errno;
		netlink_close(nl);
		return e;
	}
	/* Errors don't repeat the whole request; old kernels don't know it. */
	mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->socket)
		mnl_socket_close(nl->socket);
	nl->socket = NULL;
}

uint32_t netlink_next(struct netlink *nl)
{
	if (++nl->sequence == 0)
		nl->sequence = 1; /* 0 is what the kernel's own messages have */
	return nl->sequence;
}

static int transmit(struct netlink *nl, const void *data, size_t len)
{
	return mnl_socket_sendto(nl->socket, data, len) < 0 ? -errno : 0;
}

/* The error number in an acknowledgement (0: none); 1 for anything else. */
static int answer(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	if (h->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(h) < sizeof(e->error))
		return 1;
	return e->error > 0 ? -e->error : e->error;
}

/* Reads what has been answered to the requests from sequence `first` on. */
static int answers(struct netlink *nl, uint32_t first)
{
	_Alignas(struct nlmsghdr) char buf[ROOM];
	int result = -EIO; /* no answer at all */
	bool any = false;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl->socket), buf, sizeof(buf), MSG_DONTWAIT);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		int left = (int)n, e;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return any || errno == EAGAIN ? result : -errno;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			e = answer(h);
			if (e > 0 || h->nlmsg_seq - first > nl->sequence - first)
				continue;
			if (!any || !result)
				result = e;
			any = true;
		}
	}
}

int netlink_call(struct netlink *nl, struct nlmsghdr *h)
{
	int e;

	h->nlmsg_seq = netlink_next(nl);
	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	e = transmit(nl, h, h->nlmsg_len);
	return e ? e : answers(nl, h->nlmsg_seq);
}

int netlink_batch(struct netlink *nl, const void *batch, size_t len)
{
	const struct nlmsghdr *first = batch;
	int e = transmit(nl, batch, len);

	return e ? e : answers(nl, first->nlmsg_seq);
}

/* Reads an answer or a dump to its end, whatever happens: the socket can't start another one
 * before. */
static int read_all(struct netlink *nl, mnl_cb_t fn, void *arg)
{
	_Alignas(struct nlmsghdr) char buf[ROOM];
	bool interrupted = false;
	int result = 0;

	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl->socket), buf, sizeof(buf), 0);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != nl->sequence)
				continue;
			if (h->nlmsg_flags & NLM_F_DUMP_INTR)
				interrupted = true;
			if (h->nlmsg_type == NLMSG_ERROR)
				return answer(h);
			if (h->nlmsg_type == NLMSG_DONE)
				return result ? result : interrupted ? -EINTR : 0;
			if (!result && h->nlmsg_type >= NLMSG_MIN_TYPE && fn(h, arg) < 0)
				result = errno ? -errno : -EIO;
		}
	}
}

int netlink_get(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t fn, void *arg)
{
	int e;

	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = netlink_next(nl);
	e = transmit(nl, h, h->nlmsg_len);
	return e ? e : read_all(nl, fn, arg);
}

int netlink_dump(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t fn, void *arg,
		 void (*again)(void *arg))
{
	int e = -EINTR;

	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
	for (int i = 0; i < TRIES && e == -EINTR; i++) {
		if (i && again)
			again(arg);
		h->nlmsg_seq = netlink_next(nl);
		e = transmit(nl, h, h->nlmsg_len);
		if (!e)
			e = read_all(nl, fn, arg);
	}
	return e;
}

struct nlmsghdr *netlink_link(void *buf, uint32_t ifindex, bool up)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = RTM_NEWLINK;
	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)ifindex;
	m->ifi_flags = up ? IFF_UP : 0;
	m->ifi_change = up ? IFF_UP : 0;
	return h;
}

void netlink_no_link_local(struct netlink *nl, uint32_t ifindex)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = netlink_link(buf, ifindex, false);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	netlink_call(nl, h);
}
