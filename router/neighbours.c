/*
 * The way to the site's hosts as the kernel knows it, see neighbours.h.
 *
 * The kernel's word is all that counts here: which route, whether an interface is up,
 * which neighbour it believes to be at which MAC address. What is not plain (several
 * next hops, encapsulation, routing rules of the site's own) is not imitated but left
 * to the kernel: such prefixes have no adjacency.
 *
 * News of neighbours change single rows, since there are many of them. Whatever else
 * changes is read anew as a whole: the kernel does not announce each IPv4 route that
 * goes with an interface or an address. Both happen at most ten times a second.
 *
 * The kernel does not see that a neighbour is in use, so it would neither check it nor
 * keep it. So those in use are probed by the kernel at our request, which finds a host
 * that has moved to another MAC address: it fails the probes, the kernel forgets it,
 * packets go the kernel's way, and that looks for the host anew.
 */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/list.h"
#include "common/log.h"
#include "router/neighbours_private.h"
#include "router/netlink.h"

#define ROWS_MAX 16384 /* of a kind */
#define PUBLISH_TIME (100 * MSEC)
#define RETRY_TIME SEC
#define REFRESH_TIME (500 * MSEC)
#define PROBE_TIME (5 * SEC) /* of a neighbour in use */
#define PROBES_MAX 64	     /* at a time */
#define NEWS_MAX 64	     /* messages at a time */
#define NEWS_ROOM 32768
#define DISCARD_MAX 65536 /* messages: more than the socket holds */

#define NEWS \
	(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | \
	 RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | 1 << (RTNLGRP_IPV6_RULE - 1))

/* Rows of one kind. */
struct rows {
	void *at;
	size_t n, room;
};

struct neighbours {
	struct loop *loop;
	neighbours_fn *publish;
	void *arg;
	struct netlink netlink;	 /* asks */
	struct mnl_socket *news; /* is told */
	struct source source;
	struct timer due, refresh;
	mono_t published;
	bool stale, changed; /* all is to be read anew; a row is another one */
	bool ruled[2];	     /* IPv4, IPv6: the site has routing rules of its own */
	bool failed;	     /* the last reading: said once */
	struct prefix *site; /* ascending, none inside another one */
	size_t n_site;
	struct rows links, routes, neighbours;
	const struct adjacencies *image; /* the publisher's */
};

/* ---- rows ---------------------------------------------------------------------- */

/* Room for one more. NULL: there are too many, or memory is out. */
static void *rows_add(struct rows *rows, size_t size)
{
	size_t room = rows->room ? 2 * rows->room : 64;
	void *at;

	if (rows->n == rows->room) {
		at = rows->n < ROWS_MAX ? realloc(rows->at, room * size) : NULL;
		if (!at)
			return NULL;
		rows->at = at;
		rows->room = room;
	}
	return (char *)rows->at + size * rows->n++;
}

static struct link_row *link_of(const struct neighbours *nb, uint32_t ifindex)
{
	struct link_row *at = nb->links.at;

	for (size_t i = 0; i < nb->links.n; i++)
		if (at[i].ifindex == ifindex)
			return &at[i];
	return NULL;
}

/* The first that is not before this one. */
static struct neighbour_row *place_of(const struct neighbours *nb, const struct neighbour_row *key)
{
	struct neighbour_row *at = nb->neighbours.at;
	size_t low = 0, high = nb->neighbours.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (neighbour_compare(&at[mid], key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return at + low;
}

static struct neighbour_row *neighbour_of(const struct neighbours *nb, uint32_t ifindex,
					  const struct ip *ip)
{
	const struct neighbour_row key = { .ifindex = ifindex, .ip = *ip };
	struct neighbour_row *at = place_of(nb, &key), *end = nb->neighbours.at;

	end += nb->neighbours.n;
	return at < end && !neighbour_compare(at, &key) ? at : NULL;
}

/* Whether there is an address in both, this prefix and the site: then it holds the last
 * of the site's that begins at or before it, or the one after, or is in that last one. */
static bool concerns_site(const struct neighbours *nb, const struct prefix *p)
{
	const struct prefix end = prefix_host(&p->ip);
	size_t low = 0, high = nb->n_site;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (prefix_compare(&nb->site[mid], &end) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return (low > 0 && prefix_covers(&nb->site[low - 1], p)) ||
	       (low > 0 && prefix_covers(p, &nb->site[low - 1])) ||
	       (low < nb->n_site && prefix_covers(p, &nb->site[low]));
}

/* ---- reading all of it --------------------------------------------------------------- */

static int add(struct rows *rows, const void *row, size_t size)
{
	void *to = rows_add(rows, size);

	if (!to) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	memcpy(to, row, size);
	return MNL_CB_OK;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct neighbours *nb = arg;
	uint8_t family;

	if (h->nlmsg_type == RTM_NEWRULE && neighbours_parse_rule(h, &family))
		nb->ruled[family == 6] = true;
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct neighbours *nb = arg;
	struct link_row link;
	char name[IF_NAMESIZE];

	if (!neighbours_parse_link(h, &link, name))
		return MNL_CB_OK;
	neighbours_find_offloads(nb->source.fd, name, &link);
	return add(&nb->links, &link, sizeof(link));
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	struct neighbours *nb = arg;
	struct route_row r;

	if (h->nlmsg_type != RTM_NEWROUTE || !neighbours_parse_route(h, &r) ||
	    !concerns_site(nb, &r.prefix))
		return MNL_CB_OK;
	return add(&nb->routes, &r, sizeof(r));
}

static int on_neighbour(const struct nlmsghdr *h, void *arg)
{
	struct neighbours *nb = arg;
	struct neighbour_row n;
	bool known;

	/* one that there is no room for is the kernel's to reach */
	if (neighbours_parse_neighbour(h, &n, &known) && known)
		add(&nb->neighbours, &n, sizeof(n));
	return MNL_CB_OK;
}

static void forget_rules(void *arg)
{
	struct neighbours *nb = arg;

	nb->ruled[0] = nb->ruled[1] = false;
}

static void forget_links(void *arg)
{
	((struct neighbours *)arg)->links.n = 0;
}

static void forget_routes(void *arg)
{
	((struct neighbours *)arg)->routes.n = 0;
}

static void forget_neighbours(void *arg)
{
	((struct neighbours *)arg)->neighbours.n = 0;
}

/* All requests begin with the family, and zeroes do for the rest. */
static int dump(struct neighbours *nb, uint16_t type, size_t size, mnl_cb_t fn,
		void (*forget)(void *))
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	mnl_nlmsg_put_extra_header(h, size);
	forget(nb);
	return netlink_dump(&nb->netlink, h, fn, nb, forget);
}

/* News that the reading will tell as well. After an overrun the kernel goes on to lose
 * them without a word until there are none left, so it has to be all of them. */
static bool discard_news(struct neighbours *nb)
{
	char byte;

	for (unsigned i = 0; i < DISCARD_MAX; i++)
		if (recv(nb->source.fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
			return true;
	return false;
}

static int read_all(struct neighbours *nb)
{
	int e = dump(nb, RTM_GETRULE, sizeof(struct fib_rule_hdr), on_rule, forget_rules);

	if (!e || e == -EOPNOTSUPP) /* a kernel without them */
		e = dump(nb, RTM_GETLINK, sizeof(struct ifinfomsg), on_link, forget_links);
	if (!e)
		e = dump(nb, RTM_GETROUTE, sizeof(struct rtmsg), on_route, forget_routes);
	if (!e)
		e = dump(nb, RTM_GETNEIGH, sizeof(struct ndmsg), on_neighbour, forget_neighbours);
	if (nb->neighbours.n)
		qsort(nb->neighbours.at, nb->neighbours.n, sizeof(struct neighbour_row),
		      neighbour_compare);
	return e;
}

/* ---- publishing ------------------------------------------------------------------------ */

/* Where the site's own rules route, routes of the main table say nothing. */
static size_t usable_routes(struct neighbours *nb)
{
	struct route_row *at = nb->routes.at;
	size_t kept = 0;

	for (size_t i = 0; i < nb->routes.n; i++)
		if (!nb->ruled[at[i].prefix.ip.family == 6])
			at[kept++] = at[i];
	return kept;
}

static void publish(struct neighbours *nb, struct adjacencies *a)
{
	nb->image = a;
	nb->publish(nb->arg, a);
}

static void report(struct neighbours *nb, int e, const bool ruled[2])
{
	if (e && !nb->failed)
		log_warn("[inject]: routes and neighbours can't be read: %s; "
			 "packets take the kernel's way",
			 strerror(-e));
	nb->failed = e;
	for (unsigned six = 0; six < 2; six++)
		if (nb->ruled[six] && !ruled[six])
			log_warn(
				"[inject]: there are routing rules (ip %srule): IPv%u packets take "
				"the kernel's way",
				six ? "-6 " : "", six ? 6 : 4);
}

static void update(struct neighbours *nb, mono_t now)
{
	const bool ruled[2] = { nb->ruled[0], nb->ruled[1] };
	struct adjacencies *a = NULL;
	int e = !nb->stale ? 0 : discard_news(nb) ? read_all(nb) : -EBUSY;

	if (!e) {
		nb->routes.n = usable_routes(nb);
		a = adjacencies_new(nb->links.at, nb->links.n, nb->routes.at, nb->routes.n,
				    nb->neighbours.at, nb->neighbours.n);
		e = a ? 0 : -ENOMEM;
	}
	report(nb, e, ruled);
	nb->stale = e;
	nb->changed = false;
	nb->published = now;
	publish(nb, a);
	if (e)
		timer_set(nb->loop, &nb->due, mono_add(now, RETRY_TIME));
}

static void update_soon(struct neighbours *nb, mono_t now)
{
	mono_t when = mono_add(nb->published, PUBLISH_TIME);

	if (!nb->stale && !nb->changed)
		return;
	if (!timer_is_set(&nb->due))
		timer_set(nb->loop, &nb->due, mono_before(when, now) ? now : when);
}

static void update_due(struct timer *t, mono_t now)
{
	update(container_of(t, struct neighbours, due), now);
}

/* ---- news ------------------------------------------------------------------------------ */

/* Whether that is another row than before. */
static bool put_neighbour(struct neighbours *nb, const struct neighbour_row *n)
{
	struct neighbour_row *at = neighbour_of(nb, n->ifindex, &n->ip);
	mono_t asked;

	if (at) {
		if (!memcmp(at->mac, n->mac, sizeof(n->mac)) && at->fixed == n->fixed)
			return false;
		asked = at->asked;
		*at = *n;
		at->asked = asked;
		return true;
	}
	if (add(&nb->neighbours, n, sizeof(*n)) == MNL_CB_ERROR)
		return false;
	nb->neighbours.n--; /* there is room: now to its place */
	at = place_of(nb, n);
	memmove(at + 1, at,
		(nb->neighbours.n - (size_t)(at - (struct neighbour_row *)nb->neighbours.at)) *
			sizeof(*at));
	*at = *n;
	nb->neighbours.n++;
	return true;
}

static bool remove_neighbour(struct neighbours *nb, const struct neighbour_row *n)
{
	struct neighbour_row *at = neighbour_of(nb, n->ifindex, &n->ip), *end = nb->neighbours.at;

	if (!at)
		return false;
	end += nb->neighbours.n--;
	memmove(at, at + 1, (size_t)(end - at - 1) * sizeof(*at));
	return true;
}

static void news_of_neighbour(struct neighbours *nb, const struct nlmsghdr *h)
{
	struct neighbour_row n;
	bool known;

	if (!neighbours_parse_neighbour(h, &n, &known) || !link_of(nb, n.ifindex))
		return;
	nb->changed |= known ? put_neighbour(nb, &n) : remove_neighbour(nb, &n);
}

static void news_of_link(struct neighbours *nb, const struct nlmsghdr *h)
{
	struct link_row link, *mine;
	char name[IF_NAMESIZE];
	bool usable = neighbours_parse_link(h, &link, name);

	mine = link_of(nb, link.ifindex);
	if (usable)
		neighbours_find_offloads(nb->source.fd, name, &link);
	if (usable ? !mine || memcmp(mine, &link, sizeof(link)) : mine != NULL)
		nb->stale = true;
}

static void news_of_route(struct neighbours *nb, const struct nlmsghdr *h)
{
	struct route_row r;

	if (neighbours_parse_route(h, &r) && concerns_site(nb, &r.prefix))
		nb->stale = true;
}

static void take_news(struct neighbours *nb, const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH: news_of_neighbour(nb, h); break;
	case RTM_NEWLINK:
	case RTM_DELLINK: news_of_link(nb, h); break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE: news_of_route(nb, h); break;
	case RTM_DELADDR: /* takes routes along, not all of them with a word */
	case RTM_NEWRULE:
	case RTM_DELRULE: nb->stale = true; break;
	}
}

static void read_news(struct neighbours *nb)
{
	_Alignas(struct nlmsghdr) char buf[NEWS_ROOM];

	for (unsigned i = 0; i < NEWS_MAX; i++) {
		ssize_t n = recv(nb->source.fd, buf, sizeof(buf), MSG_DONTWAIT);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) /* some were lost */
			nb->stale = true;
		else if (n < 0)
			return;
		for (; n > 0 && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
			take_news(nb, h);
	}
}

static void news_ready(struct source *s, uint32_t events, mono_t now)
{
	struct neighbours *nb = container_of(s, struct neighbours, source);

	(void)events;
	read_news(nb);
	update_soon(nb, now);
}

/* ---- looking after neighbours in use ------------------------------------------------------ */

/* Whether it answers: three questions to its MAC address, a second each. */
static void probe(struct neighbours *nb, const struct neighbour_row *n)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	h->nlmsg_type = RTM_NEWNEIGH;
	m->ndm_family = n->ip.family == 6 ? AF_INET6 : AF_INET;
	m->ndm_ifindex = (int)n->ifindex;
	m->ndm_state = NUD_PROBE;
	mnl_attr_put(h, NDA_DST, n->ip.family == 6 ? 16 : 4, n->ip.b);
	netlink_call(&nb->netlink, h); /* if it has gone, that is news to come */
}

static void refresh_due(struct timer *t, mono_t now)
{
	struct neighbours *nb = container_of(t, struct neighbours, refresh);
	unsigned probes = 0;

	read_news(nb); /* lest a neighbour be probed that was just fixed */
	update_soon(nb, now);
	for (size_t i = 0; i < adjacencies_count(nb->image) && probes < PROBES_MAX; i++) {
		struct adjacency *a = adjacencies_at(nb->image, i);
		struct neighbour_row *n;

		if (a->fixed || !atomic_load_explicit(&a->used, memory_order_relaxed))
			continue;
		n = neighbour_of(nb, a->link.ifindex, &a->next_hop);
		if (!n || n->fixed ||
		    (mono_is_set(n->asked) && mono_since(now, n->asked) < PROBE_TIME))
			continue;
		atomic_store_explicit(&a->used, false, memory_order_relaxed);
		n->asked = now;
		probe(nb, n);
		probes++;
	}
	timer_set(nb->loop, &nb->refresh, mono_add(now, REFRESH_TIME));
}

/* ---- life ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

int neighbours_set_site(struct neighbours *nb, const struct lndt_row *rows, size_t n, mono_t now)
{
	struct prefix *site = calloc(n + 1, sizeof(*site));
	size_t kept = 0;

	if (!site)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		site[i] = rows[i].prefix;
	qsort(site, n, sizeof(*site), compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || !prefix_covers(&site[kept - 1], &site[i]))
			site[kept++] = site[i];
	free(nb->site);
	nb->site = site;
	nb->n_site = kept;
	nb->stale = true;
	timer_set(nb->loop, &nb->refresh, mono_add(now, REFRESH_TIME));
	update(nb, now);
	return 0;
}

static int open_sockets(struct neighbours *nb)
{
	int e = netlink_open(&nb->netlink, NETLINK_ROUTE), on = 1;

	if (e)
		return e;
	mnl_socket_setsockopt(nb->netlink.socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	nb->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nb->news || mnl_socket_bind(nb->news, NEWS, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	nb->source = (struct source){ .fd = mnl_socket_get_fd(nb->news), .fn = news_ready };
	return loop_add(nb->loop, &nb->source, EPOLLIN);
}

struct neighbours *neighbours_open(struct loop *loop, neighbours_fn *fn, void *arg)
{
	struct neighbours *nb = calloc(1, sizeof(*nb));
	int e;

	if (!nb)
		return NULL;
	nb->loop = loop;
	nb->publish = fn;
	nb->arg = arg;
	nb->source.fd = -1;
	nb->due.fn = update_due;
	nb->refresh.fn = refresh_due;
	e = open_sockets(nb);
	if (!e)
		return nb;
	neighbours_close(nb);
	errno = -e;
	return NULL;
}

void neighbours_close(struct neighbours *nb)
{
	if (!nb)
		return;
	timer_cancel(nb->loop, &nb->due);
	timer_cancel(nb->loop, &nb->refresh);
	if (nb->source.fd >= 0)
		loop_remove(nb->loop, &nb->source);
	if (nb->news)
		mnl_socket_close(nb->news);
	netlink_close(&nb->netlink);
	free(nb->links.at);
	free(nb->routes.at);
	free(nb->neighbours.at);
	free(nb->site);
	free(nb);
}
