/*
 * The router's machine: the device's state and MTU, and the addresses that the
 * machine has; what else host.h promises is in host_*.c.
 *
 * Everything goes over netlink, nothing calls another program or writes a sysctl.
 * The device itself belongs to whoever opened it (tun.c) and goes with it, so its
 * state is not put back; routes and rules are.
 */
#include "router/host_private.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct host *host_open(void)
{
	struct host *host = calloc(1, sizeof(*host));
	int e, on = 1;

	if (!host)
		return NULL;
	e = netlink_open(&host->route, NETLINK_ROUTE);
	if (!e)
		e = netlink_open(&host->filter, NETLINK_NETFILTER);
	if (e) {
		netlink_close(&host->route);
		free(host);
		errno = -e;
		return NULL;
	}
	/* Lets the kernel filter dumps; without it (before 4.20) we do it alone. */
	mnl_socket_setsockopt(host->route.socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return host;
}

void host_close(struct host *host)
{
	if (!host)
		return;
	host_ingress_remove(host);
	host_rules_remove(host);
	host_routes_remove(host);
	netlink_close(&host->filter);
	netlink_close(&host->route);
	free(host);
}

/* ---- the device ---------------------------------------------------------------- */

static int set_mtu(struct host *host, uint32_t ifindex, uint32_t mtu, bool up)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = netlink_link(buf, ifindex, up);

	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return netlink_call(&host->route, h);
}

int host_apply(struct host *host, const struct host_setup *s, const char **ret_what)
{
	uint32_t ifindex = if_nametoindex(s->device);
	const char *what = "the device is not there";
	int e;

	if (!ifindex || strlen(s->device) >= sizeof(host->device)) {
		*ret_what = what;
		return -ENODEV;
	}
	strcpy(host->device, s->device);
	netlink_no_link_local(&host->route, ifindex);
	what = "the device can't be brought up with its MTU";
	e = set_mtu(host, ifindex, s->mtu, true);
	if (!e)
		e = host_routes_apply(host, s, ifindex, &what);
	if (e)
		*ret_what = what;
	return e;
}

int host_set_mtu(struct host *host, uint32_t mtu)
{
	uint32_t ifindex = host->device[0] ? if_nametoindex(host->device) : 0;

	return ifindex ? set_mtu(host, ifindex, mtu, false) : -ENODEV;
}

/* ---- addresses ----------------------------------------------------------------- */

struct address_search {
	bool (*fn)(void *arg, const struct ip *, uint8_t len); /* its link's; true: enough */
	void *arg;
	bool found;
};

static int on_address(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct address_search *search = arg;
	struct ip ip = { .family = 0 };
	const struct nlattr *a;
	uint8_t family;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6) || search->found)
		return MNL_CB_OK;
	family = m->ifa_family == AF_INET6 ? 6 : 4;
	/* IFA_LOCAL is ours, where IFA_ADDRESS may be the other end's. */
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL ||
		    (mnl_attr_get_type(a) == IFA_ADDRESS && !ip.family))
			ip = host_attr_ip(a, family);
	}
	if (ip.family)
		search->found = search->fn(search->arg, &ip, m->ifa_prefixlen);
	return MNL_CB_OK;
}

static bool search_addresses(struct host *host, struct address_search *search)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = RTM_GETADDR;
	m->ifa_family = AF_UNSPEC;
	/* An interrupted dump goes on: seeing an address twice does no harm. */
	netlink_dump(&host->route, h, on_address, search, NULL);
	return search->found;
}

static bool is_same(void *arg, const struct ip *ip, uint8_t len)
{
	(void)len;
	return ip_equal(arg, ip);
}

bool host_has_address(struct host *host, const struct ip *ip)
{
	struct address_search search = { .fn = is_same, .arg = (void *)ip };

	return ip->family && search_addresses(host, &search);
}

struct beside {
	const struct lndt_row *rows;
	size_t n;
	uint8_t family;
	struct ip inside, link; /* family 0: not found */
};

static bool is_beside(void *arg, const struct ip *ip, uint8_t len)
{
	struct beside *b = arg;
	struct prefix link = { .ip = *ip, .len = len };

	for (size_t i = 0; ip->family == b->family && i < b->n; i++) {
		const struct prefix *p = &b->rows[i].prefix;

		if (prefix_contains(p, ip)) {
			b->inside = *ip;
			return true;
		}
		if (len && !b->link.family && prefix_contains(&link, &p->ip))
			b->link = *ip;
	}
	return false;
}

bool host_find_address(struct host *host, const struct lndt_row *rows, size_t n, uint8_t family,
		       struct ip *ret)
{
	struct beside beside = { .rows = rows, .n = n, .family = family };
	struct address_search search = { .fn = is_beside, .arg = &beside };

	search_addresses(host, &search);
	if (!beside.inside.family && !beside.link.family)
		return false;
	*ret = beside.inside.family ? beside.inside : beside.link;
	return true;
}

struct collection {
	struct ip *at;
	size_t n, max;
};

/* Keeps the list ascending and without doubles. */
static bool collect(void *arg, const struct ip *ip, uint8_t len)
{
	struct collection *all = arg;
	size_t i = 0;

	(void)len;
	while (i < all->n && memcmp(&all->at[i], ip, sizeof(*ip)) < 0)
		i++;
	if (i < all->n && ip_equal(&all->at[i], ip))
		return false;
	if (i == all->max)
		return false;
	if (all->n < all->max)
		all->n++;
	memmove(&all->at[i + 1], &all->at[i], (all->n - i - 1) * sizeof(*ip));
	all->at[i] = *ip;
	return false;
}

size_t host_addresses(struct host *host, struct ip *ret, size_t max)
{
	struct collection all = { .at = ret, .max = max };
	struct address_search search = { .fn = collect, .arg = &all };

	search_addresses(host, &search);
	return all.n;
}
