/*
 * Routes of the overlay's prefixes.
 *
 * Each prefix has two routes in the main table, both marked with our protocol
 * number: one to the device, and with fail = closed an unreachable one of a high
 * metric beneath it. The kernel takes the first away together with the device,
 * however the process ends; the second stays, and what went to the overlay goes
 * nowhere instead of out into the Internet.
 *
 * Only these are ever changed: routes that this process made; unreachable ones
 * with our mark and metric for exactly one of our prefixes (an earlier run left
 * them); and routes with our mark on our own device. So several routers can live
 * on one machine. A prefix that the machine already has a route for of the same
 * metric, or that is one of its own links, stays the site's; host_diagnose says
 * so. New routes are there before old ones go.
 */
#include "router/host_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- lists --------------------------------------------------------------------- */

static int reserve(struct host_routes *list, size_t more)
{
	size_t room = list->n + more;
	struct host_route *at;

	if (room <= list->room)
		return 0;
	if (room < 2 * list->room)
		room = 2 * list->room;
	at = realloc(list->at, room * sizeof(*at));
	if (!at)
		return -ENOMEM;
	list->at = at;
	list->room = room;
	return 0;
}

void host_routes_done(struct host_routes *list)
{
	free(list->at);
	*list = (struct host_routes){ .n = 0 };
}

static bool same_place(const struct host_route *a, const struct host_route *b)
{
	return prefix_equal(&a->prefix, &b->prefix) && a->metric == b->metric && a->tos == b->tos;
}

/* The same route, but for its preferred source. */
static bool same_route(const struct host_route *a, const struct host_route *b)
{
	return same_place(a, b) && a->type == b->type &&
	       (a->type == RTN_UNREACHABLE || a->oif == b->oif);
}

static struct host_route *find(const struct host_routes *list, const struct host_route *r)
{
	for (size_t i = 0; i < list->n; i++)
		if (same_route(&list->at[i], r))
			return &list->at[i];
	return NULL;
}

/* ---- reading ------------------------------------------------------------------- */

struct reading {
	const struct host_setup *setup;
	struct host_routes *list;
	size_t n_before;
	uint8_t family, protocol;
};

static void read_attributes(const struct nlmsghdr *h, struct host_route *r, uint32_t *table)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST: r->prefix.ip = host_attr_ip(a, r->prefix.ip.family); break;
		case RTA_PREFSRC: r->source = host_attr_ip(a, r->prefix.ip.family); break;
		case RTA_OIF:
			if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
				r->oif = mnl_attr_get_u32(a);
			break;
		case RTA_PRIORITY:
			if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
				r->metric = mnl_attr_get_u32(a);
			break;
		case RTA_TABLE:
			if (mnl_attr_validate(a, MNL_TYPE_U32) == 0)
				*table = mnl_attr_get_u32(a);
			break;
		}
	}
}

static bool is_network(const struct host_setup *s, const struct prefix *p)
{
	for (size_t i = 0; i < s->n_networks; i++)
		if (prefix_equal(&s->networks[i], p))
			return true;
	return false;
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct reading *reading = arg;
	struct host_route r = { .metric = 0 };
	uint32_t table;
	int e;

	if (h->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    m->rtm_family != (reading->family == 6 ? AF_INET6 : AF_INET) ||
	    (m->rtm_flags & RTM_F_CLONED) ||
	    (reading->protocol && m->rtm_protocol != reading->protocol))
		return MNL_CB_OK;
	r.prefix.ip.family = reading->family;
	r.prefix.len = m->rtm_dst_len;
	r.type = m->rtm_type;
	r.protocol = m->rtm_protocol;
	r.tos = m->rtm_tos;
	table = m->rtm_table;
	read_attributes(h, &r, &table);
	if (table != RT_TABLE_MAIN || !is_network(reading->setup, &r.prefix))
		return MNL_CB_OK;
	e = reserve(reading->list, 1);
	if (e) {
		errno = -e;
		return MNL_CB_ERROR;
	}
	reading->list->at[reading->list->n++] = r;
	return MNL_CB_OK;
}

static void read_again(void *arg)
{
	struct reading *reading = arg;

	reading->list->n = reading->n_before;
}

int host_routes_read(struct host *host, const struct host_setup *s, uint8_t protocol,
		     struct host_routes *list)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct reading reading = { .setup = s,
					   .list = list,
					   .n_before = list->n,
					   .family = family,
					   .protocol = protocol };
		_Alignas(struct nlmsghdr) char buf[256];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
		struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
		int e;

		h->nlmsg_type = RTM_GETROUTE;
		m->rtm_family = family == 6 ? AF_INET6 : AF_INET;
		m->rtm_table = RT_TABLE_MAIN;
		m->rtm_protocol = protocol;
		e = netlink_dump(&host->route, h, on_route, &reading, read_again);
		/* No such table: nothing was ever in it. No such family: neither. */
		if (e && e != -ENOENT && e != -EAFNOSUPPORT && e != -EOPNOTSUPP)
			return e;
	}
	return 0;
}

/* ---- changing ------------------------------------------------------------------ */

static int send_route(struct host *host, const struct host_route *r, uint16_t type, uint16_t flags)
{
	const size_t size = r->prefix.ip.family == 6 ? 16 : 4;
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = type;
	h->nlmsg_flags = flags;
	m->rtm_family = r->prefix.ip.family == 6 ? AF_INET6 : AF_INET;
	m->rtm_dst_len = r->prefix.len;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = HOST_PROTOCOL;
	m->rtm_type = r->type;
	if (type == RTM_DELROUTE)
		m->rtm_scope = RT_SCOPE_NOWHERE;
	else
		m->rtm_scope =
			r->type == RTN_UNICAST && size == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	mnl_attr_put(h, RTA_DST, size, r->prefix.ip.b);
	if (r->type == RTN_UNICAST)
		mnl_attr_put_u32(h, RTA_OIF, r->oif);
	if (r->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	if (r->source.family && type == RTM_NEWROUTE)
		mnl_attr_put(h, RTA_PREFSRC, size, r->source.b);
	return netlink_call(&host->route, h);
}

static int delete_route(struct host *host, const struct host_route *r)
{
	int e = send_route(host, r, RTM_DELROUTE, 0);

	/* Gone already, alone or with its device. */
	return e == -ESRCH || e == -ENOENT || e == -ENODEV ? 0 : e;
}

/* The kernel refuses a preferred source that is not (or not yet, while it is
 * being checked for duplicates) one of its addresses: then none. */
static int put_route(struct host *host, struct host_route *r, uint16_t flags)
{
	int e = send_route(host, r, RTM_NEWROUTE, (uint16_t)(NLM_F_CREATE | flags));

	if (e != -EINVAL || !r->source.family)
		return e;
	r->source = (struct ip){ .family = 0 };
	return send_route(host, r, RTM_NEWROUTE, (uint16_t)(NLM_F_CREATE | flags));
}

/* Makes sure that the route is there. There is room in host->installed. */
static int ensure(struct host *host, const struct host_routes *have, struct host_route r)
{
	struct host_route *mine = find(&host->installed, &r);
	const struct host_route *old = NULL;
	bool ours = false;
	int e;

	for (size_t i = 0; i < have->n && !ours; i++) {
		if (!same_place(&have->at[i], &r))
			continue;
		old = &have->at[i];
		ours = same_route(old, &r) || find(&host->installed, old);
	}
	if (!ours) {
		e = put_route(host, &r, NLM_F_EXCL);
		if (e == -EEXIST)
			return 0; /* the site's own */
	} else if (same_route(old, &r) && ip_equal(&old->source, &r.source)) {
		e = 0;
	} else {
		e = put_route(host, &r, NLM_F_REPLACE);
	}
	if (e)
		return e;
	if (!mine)
		mine = &host->installed.at[host->installed.n++];
	*mine = r;
	return 0;
}

static struct host_route unreachable(const struct prefix *p)
{
	return (struct host_route){ .prefix = *p,
				    .type = RTN_UNREACHABLE,
				    .metric = HOST_UNREACHABLE_METRIC,
				    .protocol = HOST_PROTOCOL };
}

static struct host_route to_device(const struct prefix *p, uint32_t ifindex)
{
	return (struct host_route){ .prefix = *p,
				    .type = RTN_UNICAST,
				    .oif = ifindex,
				    .metric = p->ip.family == 6 ? HOST_IPV6_METRIC : 0,
				    .protocol = HOST_PROTOCOL };
}

/* Whether the kernel has routed this prefix to a link of the machine's own. */
static bool is_link(const struct host_routes *links, const struct prefix *p, uint32_t ifindex)
{
	for (size_t i = 0; i < links->n; i++)
		if (prefix_equal(&links->at[i].prefix, p) && links->at[i].oif != ifindex)
			return true;
	return false;
}

static bool is_wanted(const struct host_setup *s, uint32_t ifindex, const struct host_route *r)
{
	for (size_t i = 0; i < s->n_networks; i++) {
		struct host_route a = to_device(&s->networks[i], ifindex);
		struct host_route b = unreachable(&s->networks[i]);

		if (same_route(r, &a) || (s->fail == FAIL_CLOSED && same_route(r, &b)))
			return true;
	}
	return false;
}

/* Removes what this process made of this type, all of it or what is not wanted. */
static int remove_installed(struct host *host, uint8_t type, const struct host_setup *s,
			    uint32_t ifindex)
{
	struct host_routes *list = &host->installed;
	size_t kept = 0;
	int result = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct host_route *r = &list->at[i];
		int e = 0;

		if (r->type == type && !(s && is_wanted(s, ifindex, r))) {
			e = delete_route(host, r);
			if (!e)
				continue;
			result = e;
		}
		list->at[kept++] = *r;
	}
	list->n = kept;
	return result;
}

/* With fail = open, what an earlier run with fail = closed has left. */
static int remove_leftovers(struct host *host, const struct host_routes *have,
			    const struct host_setup *s)
{
	for (size_t i = 0; i < s->n_networks; i++) {
		struct host_route r = unreachable(&s->networks[i]);
		int e = find(have, &r) ? delete_route(host, &r) : 0;

		if (e)
			return e;
	}
	return 0;
}

int host_routes_apply(struct host *host, const struct host_setup *s, uint32_t ifindex,
		      const char **ret_what)
{
	const struct ip *source[] = { &s->address4, &s->address6 };
	struct host_routes have = { .n = 0 }, links = { .n = 0 };
	bool usable[] = { host_has_address(host, source[0]), host_has_address(host, source[1]) };
	int e;

	*ret_what = "the routing table can't be read";
	e = host_routes_read(host, s, HOST_PROTOCOL, &have);
	if (!e)
		e = host_routes_read(host, s, RTPROT_KERNEL, &links);
	if (!e)
		e = reserve(&host->installed, 2 * s->n_networks);
	if (!e)
		*ret_what = "an unreachable route of an overlay prefix can't be set";
	for (size_t i = 0; !e && s->fail == FAIL_CLOSED && i < s->n_networks; i++)
		e = ensure(host, &have, unreachable(&s->networks[i]));
	if (!e)
		*ret_what = "an overlay prefix can't be routed to the device";
	for (size_t i = 0; !e && i < s->n_networks; i++) {
		struct host_route r = to_device(&s->networks[i], ifindex);
		unsigned six = r.prefix.ip.family == 6;

		if (is_link(&links, &r.prefix, ifindex))
			continue;
		if (usable[six])
			r.source = *source[six];
		e = ensure(host, &have, r);
	}
	if (!e) {
		*ret_what = "a route that is no longer wanted can't be removed";
		e = remove_installed(host, RTN_UNICAST, s, ifindex);
	}
	if (!e)
		e = remove_installed(host, RTN_UNREACHABLE, s, ifindex);
	if (!e && s->fail == FAIL_OPEN)
		e = remove_leftovers(host, &have, s);
	host_routes_done(&have);
	host_routes_done(&links);
	return e;
}

void host_routes_remove(struct host *host)
{
	remove_installed(host, RTN_UNICAST, NULL, 0);
	remove_installed(host, RTN_UNREACHABLE, NULL, 0);
	host_routes_done(&host->installed);
}
