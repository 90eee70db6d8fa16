/*
 * The MTU of a way's first interface, over rtnetlink: which route, which
 * interface, how large.
 *
 * It is the interface's own MTU. A connected socket would tell the MTU of the
 * kernel's route (IP_MTU) with less ado, but that one follows ICMP, which anybody
 * can forge, and it would bound the probing that is there to prove it.
 */
#include "router/first_hop.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define ANSWER_MAX 32768 /* a link's description with all its statistics */

/* One attribute to be found in the answer to one question. */
struct question {
	uint16_t answer;    /* RTM_NEW... */
	uint16_t attribute; /* a u32 */
	unsigned header;    /* length of what is in front of the attributes */
	uint32_t value;	    /* 0 until found */
};

static int read_attribute(const struct nlattr *a, void *data)
{
	struct question *q = data;

	if (mnl_attr_get_type(a) == q->attribute && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
		q->value = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

static int read_answer(const struct nlmsghdr *h, void *data)
{
	struct question *q = data;

	if (h->nlmsg_type == q->answer)
		mnl_attr_parse(h, q->header, read_attribute, q);
	return MNL_CB_OK;
}

/* The kernel has answered by the time that the request's call returns. */
static uint32_t ask(struct mnl_socket *s, struct nlmsghdr *h, struct question *q)
{
	uint8_t answer[ANSWER_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n;

	h->nlmsg_flags = NLM_F_REQUEST;
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return 0;
	n = mnl_socket_recvfrom(s, answer, sizeof(answer));
	if (n > 0)
		mnl_cb_run(answer, (size_t)n, 0, mnl_socket_get_portid(s), read_answer, q);
	return q->value;
}

static uint32_t ask_interface(struct mnl_socket *s, const struct way *way)
{
	struct question q = { .answer = RTM_NEWROUTE,
			      .attribute = RTA_OIF,
			      .header = sizeof(struct rtmsg) };
	uint8_t buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *rt = mnl_nlmsg_put_extra_header(h, sizeof(*rt));
	const size_t len = way->remote.ip.family == 6 ? 16 : 4;

	h->nlmsg_type = RTM_GETROUTE;
	rt->rtm_family = len == 16 ? AF_INET6 : AF_INET;
	rt->rtm_dst_len = (unsigned char)(len * 8);
	mnl_attr_put(h, RTA_DST, len, way->remote.ip.b);
	if (way->local.family == way->remote.ip.family) {
		rt->rtm_src_len = (unsigned char)(len * 8);
		mnl_attr_put(h, RTA_SRC, len, way->local.b);
	}
	return ask(s, h, &q);
}

static uint32_t ask_mtu(struct mnl_socket *s, uint32_t interface)
{
	struct question q = { .answer = RTM_NEWLINK,
			      .attribute = IFLA_MTU,
			      .header = sizeof(struct ifinfomsg) };
	uint8_t buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(h, sizeof(*link));

	h->nlmsg_type = RTM_GETLINK;
	link->ifi_index = (int)interface;
	return ask(s, h, &q);
}

unsigned first_hop_mtu(const struct way *way)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uint32_t interface, mtu = 0;

	if (!s)
		return 0;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0) {
		interface = ask_interface(s, way);
		if (interface)
			mtu = ask_mtu(s, interface);
	}
	mnl_socket_close(s);
	return mtu;
}
