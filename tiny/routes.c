/*
 * The routing table of vine-tiny, see routes.h.
 *
 *   rule     all packets of both families: look into the table first (RULE_PRIORITY)
 *   unicast  each of `networks`, to the device, with the VM's own address as source
 *   throw    what is to be looked up in the main table after all: `local`; every route of
 *            the main table inside `networks` (links of the VM, what DHCP or the provider
 *            has set); routers' own addresses; name servers, gateways, DHCP servers and the
 *            addresses at which clouds serve their VMs
 *
 * A default route is never looked at. A route of the main table for exactly one of
 * `networks` stays in force if it is one of the VM's own links; else the overlay has it.
 *
 * The longest prefix decides inside the table, so that a network inside a route inside a
 * network is right too. Throw routes that nobody needs any more do no harm: that is all that
 * is left when the process is killed, since the kernel takes the others with the device.
 *
 * All are marked with our protocol number; rules with table and priority as well.
 *
 * The device takes TCP's super-packets up to a size with which all frames of one, each with
 * headers and a MAC, are one message of UDP's. A full one of 64 KB would need a second message
 * for its last segments, and that all of the kernel's work anew. What is larger the kernel cuts
 * into single packets, so nothing is said where this machine forwards for others, containers
 * for one, whose TCP does not know.
 */
#include "tiny/routes.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/list.h"
#include "router/netlink.h"
#include "tiny/servers.h"

#define PROTOCOL 118	   /* as vine-router's */
#define RULE_PRIORITY 5118 /* before the main table's, and those that clouds' images set */
#define TABLE_FIRST 0x76000000u
#define SETTLE (50 * MSEC) /* what changes, changes in several steps */
#define GROUP(n) (1u << ((n)-1))
#define NEWS \
	(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | \
	 GROUP(RTNLGRP_IPV4_NETCONF) | GROUP(RTNLGRP_IPV6_NETCONF))
#define SUPER_ANY 65536 /* bytes: the kernel's own bound */
/* TCP leaves 193 to 321 bytes of it free: up to 60,848 bytes of payload. With 92 for the headers
 * and the frame of each segment that is at most 65,507 for any MSS from 1,202 on. */
#define SUPER_OWN 61041
#define NEWS_ROOM 8192

struct entry {
	struct prefix prefix;
	uint8_t type;	  /* RTN_UNICAST, RTN_THROW */
	struct ip source; /* family 0: none */
	bool wanted, there;
};

struct entries {
	struct entry *at;
	size_t n, room;
};

struct routes {
	struct netlink nl;
	struct mnl_socket *news;
	struct source news_source;
	struct timer settle;
	struct loop *loop;
	void (*fn)(void *arg, mono_t now);
	void *arg;
	char device[IF_NAMESIZE];
	uint32_t table;
	uint32_t super; /* bytes of a super-packet that the device takes; 0: not said yet */
};

static uint8_t address_family(uint8_t family)
{
	return family == 6 ? AF_INET6 : AF_INET;
}

static size_t address_size(uint8_t family)
{
	return family == 6 ? 16 : 4;
}

static struct ip attr_ip(const struct nlattr *a, uint8_t family)
{
	const uint8_t *b = mnl_attr_get_payload(a);

	if (mnl_attr_get_payload_len(a) < address_size(family))
		return (struct ip){ .family = 0 };
	return family == 6 ? ip_from_v6(b) : ip_from_v4(b);
}

static uint32_t attr_u32(const struct nlattr *a)
{
	return mnl_attr_validate(a, MNL_TYPE_U32) == 0 ? mnl_attr_get_u32(a) : 0;
}

/* ---- the device ------------------------------------------------------------------------ */

static struct nlmsghdr *link_message(const struct routes *r, void *buf, bool up)
{
	return netlink_link(buf, if_nametoindex(r->device), up);
}

int routes_device_up(struct routes *r)
{
	_Alignas(struct nlmsghdr) char buf[256];

	netlink_no_link_local(&r->nl, if_nametoindex(r->device));
	return netlink_call(&r->nl, link_message(r, buf, true));
}

int routes_set_mtu(struct routes *r, uint32_t mtu)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = link_message(r, buf, false);

	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return netlink_call(&r->nl, h);
}

/* Whether this machine carries packets of others. */
static bool forwards(void)
{
	static const char *const names[] = { "/proc/sys/net/ipv4/ip_forward",
					     "/proc/sys/net/ipv6/conf/all/forwarding" };
	bool any = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		FILE *f = fopen(names[i], "re");

		any |= f && fgetc(f) != '0';
		if (f)
			fclose(f);
	}
	return any;
}

/* A device that takes no such word does without. */
static void limit_super(struct routes *r)
{
	_Alignas(struct nlmsghdr) char buf[256];
	uint32_t super = forwards() ? SUPER_ANY : SUPER_OWN;
	struct nlmsghdr *h;

	if (super == r->super)
		return;
	r->super = super;
	h = link_message(r, buf, false);
	mnl_attr_put_u32(h, IFLA_GSO_MAX_SIZE, super);
	netlink_call(&r->nl, h);
}

/* ---- the list of what is wanted and what is there ---------------------------------- */

/* The entry of a prefix, new if need be; NULL: out of memory. */
static struct entry *entry_of(struct entries *l, const struct prefix *p)
{
	for (size_t i = 0; i < l->n; i++)
		if (prefix_equal(&l->at[i].prefix, p))
			return &l->at[i];
	if (l->n == l->room) {
		size_t room = 2 * l->room + 16;
		struct entry *at = reallocarray(l->at, room, sizeof(*at));

		if (!at)
			return NULL;
		l->at = at;
		l->room = room;
	}
	l->at[l->n] = (struct entry){ .prefix = *p };
	return &l->at[l->n++];
}

static bool is_inside(const struct routes_setup *s, const struct prefix *p)
{
	for (size_t i = 0; i < s->n_networks; i++)
		if (prefix_covers(&s->networks[i], p))
			return true;
	return false;
}

/* What has its own way, if it would be taken from it. False: out of memory. */
static bool throw_away(struct entries *l, const struct routes_setup *s, const struct prefix *p)
{
	struct entry *e;

	if (!is_inside(s, p))
		return true;
	e = entry_of(l, p);
	if (e)
		*e = (struct entry){ .prefix = *p, .type = RTN_THROW, .wanted = true };
	return e != NULL;
}

static bool want_networks(struct entries *l, const struct routes_setup *s)
{
	for (size_t i = 0; i < s->n_networks; i++) {
		const struct ip *source =
			s->networks[i].ip.family == 6 ? &s->address6 : &s->address4;
		struct entry *e = source->family ? entry_of(l, &s->networks[i]) : NULL;

		if (source->family && !e)
			return false;
		if (e)
			*e = (struct entry){ .prefix = s->networks[i],
					     .type = RTN_UNICAST,
					     .source = *source,
					     .wanted = true };
	}
	return true;
}

static bool want_given(struct entries *l, const struct routes_setup *s)
{
	struct prefix p;
	bool ok = true;

	for (size_t i = 0; i < s->n_local; i++)
		ok = ok && throw_away(l, s, &s->local[i]);
	for (size_t i = 0; i < s->n_outside; i++) {
		p = prefix_host(&s->outside[i]);
		ok = ok && throw_away(l, s, &p);
	}
	return ok;
}

/* ---- the machine's routes ------------------------------------------------------------ */

struct scan {
	struct routes *routes;
	const struct routes_setup *setup;
	struct entries *list;
	uint32_t device;
	uint8_t family;
	bool failed;
};

struct route_words {
	struct prefix prefix;
	struct ip gateway, source;
	uint32_t table, interface;
	bool hops; /* several */
};

static void read_route(const struct nlmsghdr *h, uint8_t family, struct route_words *ret)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	*ret = (struct route_words){ .table = m->rtm_table };
	ret->prefix.ip.family = family;
	ret->prefix.len = m->rtm_dst_len;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST: ret->prefix.ip = attr_ip(a, family); break;
		case RTA_GATEWAY: ret->gateway = attr_ip(a, family); break;
		case RTA_PREFSRC: ret->source = attr_ip(a, family); break;
		case RTA_OIF: ret->interface = attr_u32(a); break;
		case RTA_TABLE: ret->table = attr_u32(a); break;
		case RTA_MULTIPATH:
		case RTA_VIA: ret->hops = true; break;
		}
	}
}

static bool is_route(const struct nlmsghdr *h, uint8_t family)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);

	return h->nlmsg_type == RTM_NEWROUTE && mnl_nlmsg_get_payload_len(h) >= sizeof(*m) &&
	       m->rtm_family == address_family(family) && !(m->rtm_flags & RTM_F_CLONED);
}

static bool is_network(const struct routes_setup *s, const struct prefix *p)
{
	for (size_t i = 0; i < s->n_networks; i++)
		if (prefix_equal(&s->networks[i], p))
			return true;
	return false;
}

/* A route of the main table keeps what it has; so does its gateway. */
static int on_main(const struct nlmsghdr *h, void *arg)
{
	struct scan *scan = arg;
	struct route_words r;
	bool ok = true, link;

	if (!is_route(h, scan->family))
		return MNL_CB_OK;
	read_route(h, scan->family, &r);
	if (r.table != RT_TABLE_MAIN || (scan->device && r.interface == scan->device))
		return MNL_CB_OK;
	link = !r.gateway.family && !r.hops;
	if (r.prefix.len > 0 && (link || !is_network(scan->setup, &r.prefix)))
		ok = throw_away(scan->list, scan->setup, &r.prefix);
	if (ok && r.gateway.family) {
		struct prefix gateway = prefix_host(&r.gateway);

		ok = throw_away(scan->list, scan->setup, &gateway);
	}
	scan->failed |= !ok;
	return MNL_CB_OK;
}

/* What is in our table, by anybody. */
static int on_own(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct scan *scan = arg;
	struct route_words r;
	struct entry *e;

	if (!is_route(h, scan->family))
		return MNL_CB_OK;
	read_route(h, scan->family, &r);
	if (r.table != scan->routes->table)
		return MNL_CB_OK;
	e = entry_of(scan->list, &r.prefix);
	if (!e) {
		scan->failed = true;
		return MNL_CB_OK;
	}
	if (!e->wanted)
		e->type = m->rtm_type;
	e->there = !e->wanted || (e->type == m->rtm_type && ip_equal(&e->source, &r.source) &&
				  (e->type != RTN_UNICAST || r.interface == scan->device));
	return MNL_CB_OK;
}

static int scan_routes(struct scan *scan, mnl_cb_t fn)
{
	for (scan->family = 4; scan->family <= 6; scan->family += 2) {
		_Alignas(struct nlmsghdr) char buf[256];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
		struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
		int e;

		h->nlmsg_type = RTM_GETROUTE;
		m->rtm_family = address_family(scan->family);
		e = netlink_dump(&scan->routes->nl, h, fn, scan, NULL);
		if (e && e != -EAFNOSUPPORT && e != -EOPNOTSUPP)
			return e;
	}
	return scan->failed ? -ENOMEM : 0;
}

/* ---- changing ------------------------------------------------------------------------ */

static int send_route(struct routes *r, const struct entry *e, uint32_t device, bool put)
{
	const uint8_t family = e->prefix.ip.family;
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = put ? RTM_NEWROUTE : RTM_DELROUTE;
	h->nlmsg_flags = put ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	m->rtm_family = address_family(family);
	m->rtm_dst_len = e->prefix.len;
	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = PROTOCOL;
	m->rtm_type = e->type;
	/* not that of links: no gateway of a route that somebody sets is looked for here */
	m->rtm_scope = put ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE;
	mnl_attr_put(h, RTA_DST, address_size(family), e->prefix.ip.b);
	mnl_attr_put_u32(h, RTA_TABLE, r->table);
	if (e->type == RTN_UNICAST && put)
		mnl_attr_put_u32(h, RTA_OIF, device);
	if (e->source.family && put)
		mnl_attr_put(h, RTA_PREFSRC, address_size(family), e->source.b);
	return netlink_call(&r->nl, h);
}

static int send_rule(struct routes *r, uint8_t family, bool put)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = put ? RTM_NEWRULE : RTM_DELRULE;
	h->nlmsg_flags = put ? NLM_F_CREATE | NLM_F_EXCL : 0;
	m->family = address_family(family);
	m->table = RT_TABLE_UNSPEC;
	m->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(h, FRA_PRIORITY, RULE_PRIORITY);
	mnl_attr_put_u32(h, FRA_TABLE, r->table);
	mnl_attr_put_u8(h, FRA_PROTOCOL, PROTOCOL);
	return netlink_call(&r->nl, h);
}

/* Throws first, and last to go: what has its own way is never without it. */
static int put_all(struct routes *r, const struct entries *l, uint32_t device)
{
	static const uint8_t order[] = { RTN_THROW, RTN_UNICAST };
	int e = 0;

	for (unsigned t = 0; t < 2; t++)
		for (size_t i = 0; !e && i < l->n; i++)
			if (l->at[i].wanted && !l->at[i].there && l->at[i].type == order[t])
				e = send_route(r, &l->at[i], device, true);
	for (size_t i = 0; !e && i < l->n; i++)
		if (!l->at[i].wanted) {
			e = send_route(r, &l->at[i], device, false);
			if (e == -ESRCH || e == -ENOENT)
				e = 0;
		}
	return e;
}

static bool has_family(const struct entries *l, uint8_t family)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->at[i].wanted && l->at[i].type == RTN_UNICAST &&
		    l->at[i].prefix.ip.family == family)
			return true;
	return false;
}

static bool want_server(void *arg, const struct ip *ip)
{
	struct scan *scan = arg;
	struct prefix p = prefix_host(ip);

	return throw_away(scan->list, scan->setup, &p);
}

int routes_apply(struct routes *r, const struct routes_setup *s, const char **ret_what)
{
	struct entries l = { .n = 0 };
	struct scan scan = {
		.routes = r, .setup = s, .list = &l, .device = if_nametoindex(r->device)
	};
	int e = 0;

	limit_super(r);
	*ret_what = "this machine's routes can't be read";
	if (!want_networks(&l, s) || !want_given(&l, s) || !servers_each(want_server, &scan))
		e = -ENOMEM;
	if (!e)
		e = scan_routes(&scan, on_main);
	if (!e)
		e = scan_routes(&scan, on_own);
	if (!e) {
		*ret_what = "networks can't be routed to the device";
		e = put_all(r, &l, scan.device);
	}
	for (uint8_t family = 4; !e && family <= 6; family += 2) {
		if (!has_family(&l, family))
			continue;
		*ret_what = "a routing rule can't be made (has the kernel IP_MULTIPLE_TABLES?)";
		e = send_rule(r, family, true);
		if (e == -EEXIST)
			e = 0;
	}
	free(l.at);
	return e;
}

int routes_remove(struct routes *r)
{
	struct routes_setup nothing = { .n_networks = 0 };
	struct entries l = { .n = 0 };
	struct scan scan = { .routes = r, .setup = &nothing, .list = &l };
	int e, n = 0;

	for (uint8_t family = 4; family <= 6; family += 2)
		while (!send_rule(r, family, false))
			n++;
	e = scan_routes(&scan, on_own);
	n += (int)l.n;
	if (!e)
		e = put_all(r, &l, 0);
	free(l.at);
	return e ? e : n;
}

/* ---- questions ----------------------------------------------------------------------- */

struct answer {
	uint8_t family;
	struct route_words words;
	bool found;
};

static int on_answer(const struct nlmsghdr *h, void *arg)
{
	struct answer *a = arg;

	if (h->nlmsg_type == RTM_NEWROUTE && mnl_nlmsg_get_payload_len(h) >= sizeof(struct rtmsg)) {
		read_route(h, a->family, &a->words);
		a->found = true;
	}
	return MNL_CB_OK;
}

bool routes_source(struct routes *r, const struct ip *to, struct ip *ret, uint32_t *ret_interface)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct answer a = { .family = to->family };

	h->nlmsg_type = RTM_GETROUTE;
	m->rtm_family = address_family(to->family);
	m->rtm_dst_len = (uint8_t)ip_bits(to);
	mnl_attr_put(h, RTA_DST, address_size(to->family), to->b);
	if (netlink_get(&r->nl, h, on_answer, &a) || !a.found || !a.words.source.family ||
	    a.words.interface == if_nametoindex(r->device))
		return false;
	*ret = a.words.source;
	*ret_interface = a.words.interface;
	return true;
}

struct search {
	uint32_t interface;
	uint8_t family;
	struct ip found;
};

static int on_address(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct search *s = arg;
	struct ip ip = { .family = 0 };
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    m->ifa_family != address_family(s->family) || m->ifa_index != s->interface ||
	    m->ifa_scope != RT_SCOPE_UNIVERSE ||
	    (m->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_TEMPORARY)))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL ||
		    (mnl_attr_get_type(a) == IFA_ADDRESS && !ip.family))
			ip = attr_ip(a, s->family);
	}
	if (!s->found.family)
		s->found = ip;
	return MNL_CB_OK;
}

bool routes_address(struct routes *r, uint32_t interface, uint8_t family, struct ip *ret)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct search s = { .interface = interface, .family = family };

	h->nlmsg_type = RTM_GETADDR;
	m->ifa_family = address_family(family);
	if (netlink_dump(&r->nl, h, on_address, &s, NULL) || !s.found.family)
		return false;
	*ret = s.found;
	return true;
}

/* ---- following ------------------------------------------------------------------------- */

static void settled(struct timer *t, mono_t now)
{
	struct routes *r = container_of(t, struct routes, settle);

	r->fn(r->arg, now);
}

static void news_ready(struct source *s, uint32_t events, mono_t now)
{
	struct routes *r = container_of(s, struct routes, news_source);
	char text[NEWS_ROOM];

	(void)events;
	while (mnl_socket_recvfrom(r->news, text, sizeof(text)) >= 0 || errno == ENOBUFS) {
	}
	if (!timer_is_set(&r->settle))
		timer_set(r->loop, &r->settle, mono_add(now, SETTLE));
}

int routes_follow(struct routes *r, struct loop *loop, void (*fn)(void *arg, mono_t now), void *arg)
{
	r->loop = loop;
	r->fn = fn;
	r->arg = arg;
	r->settle.fn = settled;
	r->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!r->news)
		return -errno;
	r->news_source = (struct source){ .fd = mnl_socket_get_fd(r->news), .fn = news_ready };
	if (mnl_socket_bind(r->news, NEWS, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return loop_add(loop, &r->news_source, EPOLLIN);
}

/* ---- life ------------------------------------------------------------------------------ */

/* Several on one machine have tables of their own. */
static uint32_t table_of(const char *device)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *p = device; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return TABLE_FIRST + (hash & 0xffffff);
}

struct routes *routes_open(const char *device)
{
	struct routes *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return NULL;
	snprintf(r->device, sizeof(r->device), "%s", device);
	r->table = table_of(device);
	e = netlink_open(&r->nl, NETLINK_ROUTE);
	if (!e)
		return r;
	free(r);
	errno = -e;
	return NULL;
}

void routes_close(struct routes *r)
{
	if (!r)
		return;
	if (r->news) {
		timer_cancel(r->loop, &r->settle);
		loop_remove(r->loop, &r->news_source);
		mnl_socket_close(r->news);
	}
	routes_remove(r);
	netlink_close(&r->nl);
	free(r);
}
