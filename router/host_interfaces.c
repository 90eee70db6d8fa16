/*
 * The interfaces of this machine that lead to its site: where the kernel has an
 * address next to the site's members, and where its routes to them lead out. The
 * default route does not count, or a prefix that has no route of its own would make
 * the way to the Internet one of them.
 *
 * It is no matter if one too many is found: what comes in by it is looked at by the
 * same rule. One too few costs speed alone: its packets come by the device.
 */
#include "router/host_private.h"

#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK 1    /* its index, in any namespace */
#define ROUTES_MAX 64 /* that differ, of the site's prefixes */

struct search {
	const struct lndt_row *lndt;
	size_t n_lndt;
	uint32_t device;
	struct host_interfaces *found;
	struct prefix routes[ROUTES_MAX];
	size_t n_routes;
};

static void add(struct search *s, uint32_t index)
{
	struct host_interfaces *f = s->found;
	unsigned i = 0;

	while (i < f->n && f->at[i].index < index)
		i++;
	if (!index || index == LOOPBACK || index == s->device || f->n == HOST_INTERFACES_MAX ||
	    (i < f->n && f->at[i].index == index))
		return;
	memmove(&f->at[i + 1], &f->at[i], (f->n++ - i) * sizeof(f->at[0]));
	f->at[i].index = index;
	f->at[i].name[0] = '\0';
}

/* ---- by address ------------------------------------------------------------------ */

static bool is_near(const struct search *s, const struct prefix *address, const struct prefix *link)
{
	for (size_t i = 0; i < s->n_lndt; i++)
		if (prefix_covers(&s->lndt[i].prefix, address) ||
		    prefix_covers(link, &s->lndt[i].prefix))
			return true;
	return false;
}

static struct prefix cut(const struct ip *ip, uint8_t len)
{
	struct prefix p = { .ip = *ip, .len = len };

	for (unsigned bit = len; bit < ip_bits(ip); bit++)
		p.ip.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return p;
}

static int on_address(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct ip ip = { .family = 0 };
	struct prefix host, link;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL ||
		    (mnl_attr_get_type(a) == IFA_ADDRESS && !ip.family))
			ip = host_attr_ip(a, m->ifa_family == AF_INET6 ? 6 : 4);
	}
	if (!ip.family || m->ifa_prefixlen > ip_bits(&ip) || !m->ifa_prefixlen)
		return MNL_CB_OK;
	host = prefix_host(&ip);
	link = cut(&ip, m->ifa_prefixlen);
	if (is_near(arg, &host, &link))
		add(arg, m->ifa_index);
	return MNL_CB_OK;
}

/* ---- by route -------------------------------------------------------------------- */

struct answer {
	struct prefix prefix;
	uint32_t oif;
	bool unicast;
};

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct answer *answer = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	answer->prefix.len = m->rtm_dst_len;
	answer->unicast = m->rtm_type == RTN_UNICAST;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			answer->prefix.ip = host_attr_ip(a, answer->prefix.ip.family);
		else if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			answer->oif = mnl_attr_get_u32(a);
	}
	return MNL_CB_OK;
}

/* The route of a prefix's first address, unless one that covers it is known. */
static void follow(struct host *host, struct search *s, const struct prefix *p)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct answer answer = { .prefix.ip.family = p->ip.family };

	for (size_t i = 0; i < s->n_routes; i++)
		if (prefix_covers(&s->routes[i], p))
			return;
	h->nlmsg_type = RTM_GETROUTE;
	m->rtm_family = p->ip.family == 6 ? AF_INET6 : AF_INET;
	m->rtm_dst_len = (uint8_t)ip_bits(&p->ip);
	m->rtm_flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH;
	mnl_attr_put(h, RTA_DST, p->ip.family == 6 ? 16 : 4, p->ip.b);
	if (netlink_get(&host->route, h, on_route, &answer) < 0 || !answer.prefix.len)
		return;
	if (answer.unicast)
		add(s, answer.oif);
	if (s->n_routes < ROUTES_MAX)
		s->routes[s->n_routes++] = answer.prefix;
}

static void find(struct host *host, struct search *s)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = RTM_GETADDR;
	m->ifa_family = AF_UNSPEC;
	netlink_dump(&host->route, h, on_address, s, NULL);
	for (size_t i = 0; i < s->n_lndt && s->n_routes < ROUTES_MAX; i++)
		follow(host, s, &s->lndt[i].prefix);
}

/* ---- which of them can be used --------------------------------------------------- */

struct link {
	char name[IF_NAMESIZE];
	const char *wrong; /* NULL: nothing */
};

static int on_link(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct link *link = arg;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return MNL_CB_OK;
	link->wrong = m->ifi_type != ARPHRD_ETHER ? "is no Ethernet"
		      : !(m->ifi_flags & IFF_UP)  ? "is down"
						  : NULL;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFLA_MASTER)
			link->wrong = "is a port of another interface";
		else if (mnl_attr_get_type(a) == IFLA_IFNAME &&
			 mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(a));
	}
	return MNL_CB_OK;
}

static struct link look_at(struct host *host, uint32_t index)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct link link = { .wrong = "is not there" };

	h->nlmsg_type = RTM_GETLINK;
	m->ifi_index = (int)index;
	if (index)
		netlink_get(&host->route, h, on_link, &link);
	return link;
}

void host_find_interfaces(struct host *host, char *const *names, size_t n_names,
			  const struct lndt_row *lndt, size_t n_lndt, const char *device,
			  struct host_interfaces *ret, char *why, size_t room)
{
	struct search s = {
		.lndt = lndt, .n_lndt = n_lndt, .device = if_nametoindex(device), .found = ret
	};
	unsigned kept = 0;
	size_t used = 0;

	ret->n = 0;
	why[0] = '\0';
	for (size_t i = 0; i < n_names; i++) {
		struct link link = look_at(host, if_nametoindex(names[i]));

		if (!link.wrong)
			add(&s, if_nametoindex(names[i]));
		else if (used < room)
			used += (size_t)snprintf(why + used, room - used, "%s%s %s",
						 used ? ", " : "", names[i], link.wrong);
	}
	if (!n_names)
		find(host, &s);
	for (unsigned i = 0; i < ret->n; i++) {
		struct link link = look_at(host, ret->at[i].index);

		if (link.wrong)
			continue;
		ret->at[kept] = ret->at[i];
		strcpy(ret->at[kept++].name, link.name);
	}
	ret->n = kept;
}
