/*
 * vine-tiny, see tiny.h.
 *
 * Whatever is learned makes another configuration, which the router takes as it takes a
 * reload: keys and paths that stay are kept, no packet is lost. So there is one way from
 * facts to what runs, whichever fact has changed (put_in_force).
 *
 * A router of the list is left for the next one when nothing comes from it any more
 * (liveness.c: little more than a second), when it says goodbye, or when no way to it has been found
 * in time. There is no going back before the next one fails too.
 *
 * A TCP stream fills what is between its ends up to its window: with megabytes, that lie in the
 * socket of whichever router or tiny is the slowest just now. What went the same way would wait
 * behind all of it. So there are two workers, for TCP and for all else (tun_steer.c), each with a
 * queue of the device, a lane, and with the lane a socket and a worker of its own at the other
 * ends. Here one thread is enough for both: it turns from one to the other after a few batches.
 */
#include "tiny/tiny.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "router/change.h"
#include "router/connections.h"
#include "router/link_stream.h"
#include "router/tun.h"

#define WORKERS 2 /* in one thread: for TCP, and for all else */
#define WATCH (100 * MSEC)
#define PATIENCE (3 * SEC)	  /* for a way by UDP, */
#define PATIENCE_LADDER (8 * SEC) /* ... or by whatever gets through */

static struct contact *designated(const struct tiny *t)
{
	return router_contact_by_id(t->router, t->config->router_ids[t->which]);
}

/* ---- what is in force -------------------------------------------------------------- */

static void apply_routes(struct tiny *t)
{
	const struct tiny_config *c = t->config;
	struct routes_setup s = { .networks = c->networks,
				  .n_networks = c->n_networks,
				  .local = c->local,
				  .n_local = c->n_local,
				  .address4 = t->address4,
				  .address6 = t->address6,
				  .n_outside = t->n_outside };
	const char *what;
	int e;

	memcpy(s.outside, t->outside, t->n_outside * sizeof(t->outside[0]));
	e = routes_apply(t->routes, &s, &what);
	if (e < 0)
		log_error("%s: %s: %s", c->device, what, strerror(-e));
}

static void put_in_force(struct tiny *t, mono_t now)
{
	struct config *c =
		tiny_config_router(t->config, t->which, &t->network, &t->address4, &t->address6);
	struct ip own[2];
	size_t n = 0;

	if (!c || !router_begin(t->router, c, now, stderr)) {
		log_error("not enough memory for another configuration");
		config_free(c);
		return;
	}
	if (t->address4.family)
		own[n++] = t->address4;
	if (t->address6.family)
		own[n++] = t->address6;
	router_set_addresses(t->router, own, n, &t->address4, &t->address6, now);
}

/* ---- what is learned ---------------------------------------------------------------- */

/* The router says in which network this VM is, and how that is protected. */
static void told(void *arg, struct contact *c, const struct config_network *nets, size_t n,
		 mono_t now)
{
	struct tiny *t = arg;
	const struct config_network *found = n && !t->config->network ? &nets[0] : NULL;

	for (size_t i = 0; i < n; i++)
		if (nets[i].id == t->config->network)
			found = &nets[i];
	if (!found || (unsigned)found->protection >= PROTECTIONS ||
	    (found->id == t->network.id && found->protection == t->network.protection))
		return;
	t->network = *found;
	log_info("in network %u, protected with %s, as router %s says", found->id,
		 protection_name(found->protection), c->peer->name);
	put_in_force(t, now);
}

static bool add_outside(struct tiny *t, const struct ip *ip)
{
	for (size_t i = 0; i < t->n_outside; i++)
		if (ip_equal(&t->outside[i], ip))
			return false;
	if (t->n_outside == ROUTES_OUTSIDE) /* the oldest one is hardly in use any more */
		memmove(&t->outside[0], &t->outside[1], --t->n_outside * sizeof(t->outside[0]));
	t->outside[t->n_outside++] = *ip;
	return true;
}

/* Whether frames go to an address that is new. */
static bool look_outside(struct tiny *t)
{
	const struct contact *c = designated(t);
	const struct path *path = c->peer->path;
	bool any = false;

	for (unsigned i = 0; i < c->n_addresses; i++)
		any |= add_outside(t, &c->addresses[i]);
	if (path && path->way.remote.ip.family)
		any |= add_outside(t, &path->way.remote.ip);
	return any;
}

/* The VM's own address is the one that it has towards its router. */
static void find_addresses(struct tiny *t, struct ip *ret4, struct ip *ret6)
{
	const struct tiny_config *c = t->config;
	struct ip *of[] = { ret4, ret6 };
	const struct ip *given[] = { &c->address4, &c->address6 };
	uint32_t interface;
	struct ip source;

	*ret4 = c->address4;
	*ret6 = c->address6;
	for (size_t i = t->n_outside; i-- > 0;) {
		if (!routes_source(t->routes, &t->outside[i], &source, &interface))
			continue;
		for (unsigned k = 0; k < 2; k++) {
			uint8_t family = k ? 6 : 4;

			if (given[k]->family)
				continue;
			if (source.family == family)
				*of[k] = source;
			else if (!routes_address(t->routes, interface, family, of[k]))
				*of[k] = (struct ip){ .family = 0 };
		}
		return;
	}
	/* no way out just now: what was found stays */
	if (!given[0]->family)
		*ret4 = t->address4;
	if (!given[1]->family)
		*ret6 = t->address6;
}

/* Routes, addresses of this machine or of the router have changed. */
static void look_around(void *arg, mono_t now)
{
	struct tiny *t = arg;
	struct ip address4, address6;
	char text4[IP_TEXT] = "none", text6[IP_TEXT] = "none";

	find_addresses(t, &address4, &address6);
	if (!ip_equal(&address4, &t->address4) || !ip_equal(&address6, &t->address6)) {
		t->address4 = address4;
		t->address6 = address6;
		if (address4.family)
			ip_format(&address4, text4);
		if (address6.family)
			ip_format(&address6, text6);
		log_info("own address: IPv4 %s, IPv6 %s", text4, text6);
		put_in_force(t, now);
	}
	apply_routes(t);
}

/* ---- which router --------------------------------------------------------------------- */

static void next_router(struct tiny *t, mono_t now)
{
	const struct tiny_config *c = t->config;
	size_t before = t->which;

	contact_bye(designated(t));
	t->which = (t->which + 1) % c->n_routers;
	log_warn("router %s: %s: %s from now on", c->routers[before].host,
		 t->connected ? "it is dead, or has said goodbye" : "there is no way to it",
		 c->routers[t->which].host);
	t->connected = false;
	t->well = now;
	put_in_force(t, now);
}

static bool is_well(const struct contact *c)
{
	return c->up && !c->dead && keying_is_ready(&c->keying);
}

static void watch_due(struct timer *timer, mono_t now)
{
	struct tiny *t = container_of(timer, struct tiny, watch);
	int64_t patience = t->connected				 ? 0
			   : t->config->protocol == PROTOCOL_UDP ? PATIENCE
								 : PATIENCE_LADDER;

	if (is_well(designated(t))) {
		t->well = now;
		t->connected = true;
	} else if (t->config->n_routers > 1 && mono_since(now, t->well) >= patience) {
		next_router(t, now);
	}
	if (look_outside(t))
		look_around(t, now);
	timer_set(t->loop, timer, mono_add(now, WATCH));
}

/* ---- life ----------------------------------------------------------------------------- */

static int set_mtu(struct router *r, uint32_t mtu)
{
	struct tiny *t = r->told_arg;

	return routes_set_mtu(t->routes, mtu);
}

/* Sockets of a family, all at one port of the kernel's choice: to the router, and to NATs on
 * the way, they are one. */
static int open_links(struct tiny *t, uint8_t family, uint8_t l)
{
	struct endpoint at = { .ip.family = family };
	struct link *link;
	int e = 0;

	for (unsigned i = 0; !e && i < WORKERS; i++) {
		e = link_udp_open(&at, 1, &link);
		if (!e && !port_new(&t->router->ports, i, NULL, link, l)) {
			link->ops->close(link);
			e = -ENOMEM;
		}
		if (!e && !i)
			e = link_udp_port(link, &at.port);
	}
	return e ? e : link_udp_steer(link, WORKERS);
}

static bool open_sockets(struct tiny *t, FILE *errors)
{
	int e4 = open_links(t, 4, 0), e6 = open_links(t, 6, e4 ? 0 : 1);

	if (e4 && e6) {
		fprintf(errors, "UDP sockets can't be opened: %s\n", strerror(-e4));
		return false;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		if (!link_stream_open(&t->router->ports, i, false)) {
			fprintf(errors, "not enough memory or descriptors for streams\n");
			return false;
		}
	}
	return true;
}

static int open_queue(struct tiny *t, unsigned i)
{
	struct router *r = t->router;
	struct tun *tun = tun_open(t->config->device, true);
	int e = tun ? router_read(r, i, &tun->intercept) : -errno;

	if (e)
		return e;
	atomic_store(&r->workers[i].inject, &tun->inject);
	/* Where the kernel does not let us, it has a queue for each flow as it chooses. */
	if (i + 1 == WORKERS)
		tun_steer(tun, r->config->id, WORKERS);
	r->device_offloads = tun->intercept.offloads;
	return 0;
}

static bool open_device(struct tiny *t, FILE *errors)
{
	int e = 0;

	for (unsigned i = 0; !e && i < WORKERS; i++)
		e = open_queue(t, i);
	if (!e)
		e = routes_device_up(t->routes);
	if (!e && !(t->answer = inject_raw_open()))
		e = -errno;
	if (e)
		fprintf(errors, "%s: the TUN device or raw sockets can't be opened: %s%s\n",
			t->config->device, strerror(-e),
			e == -EBUSY    ? " (does another vine-tiny use it?)"
			: e == -ENOENT ? " (is there no /dev/net/tun? modprobe tun, or give the "
					 "container the device)"
				       : "");
	for (unsigned i = 0; i < WORKERS; i++)
		t->router->workers[i].answer = t->answer;
	return !e;
}

static bool start(struct tiny *t, mono_t now, FILE *errors)
{
	struct router *r = t->router;
	struct ip ip;
	int e = 0;

	/* after a kill: whatever this one has set up is its own */
	if (routes_remove(t->routes) > 0)
		log_info("%s: what an earlier vine-tiny has left is removed", t->config->device);
	if (!open_device(t, errors) || !open_sockets(t, errors))
		return false;
	router_deal(r, WORKERS, now);
	for (unsigned i = 0; !e && i < WORKERS; i++)
		e = worker_watch(&r->workers[i], t->loop, WORKERS);
	if (!e)
		e = routes_follow(t->routes, t->loop, look_around, t);
	if (e) {
		fprintf(errors, "epoll or netlink: %s\n", strerror(-e));
		return false;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		worker_attach(&r->workers[i], t->loop, now);
	connections_set_proxy(r->connections, &t->config->proxy);
	r->set_mtu = set_mtu;
	r->device_mtu = 0;
	router_update_mtu(r);
	/* by an address at once, by a name when it is resolved */
	for (size_t i = 0; i < t->config->n_routers; i++)
		if (ip_parse(t->config->routers[i].host, &ip) == 0)
			add_outside(t, &ip);
	look_around(t, now);
	t->watch.fn = watch_due;
	return timer_set(t->loop, &t->watch, mono_add(now, WATCH)) == 0;
}

struct tiny *tiny_open(struct tiny_config *config, struct loop *loop, mono_t now, FILE *errors)
{
	struct tiny *t = calloc(1, sizeof(*t));
	struct config *c;

	if (!t) {
		tiny_config_free(config);
		return NULL;
	}
	t->config = config;
	t->loop = loop;
	t->well = now;
	t->routes = routes_open(config->device);
	if (!t->routes)
		fprintf(errors, "netlink sockets can't be opened: %s\n", strerror(errno));
	c = t->routes ? tiny_config_router(config, 0, &t->network, &t->address4, &t->address6)
		      : NULL;
	if (c)
		t->router = router_new(c, WORKERS, loop, now, errors);
	if (t->router) {
		t->router->told = told;
		t->router->told_arg = t;
		if (start(t, now, errors))
			return t;
	}
	tiny_close(t);
	return NULL;
}

const struct contact *tiny_router(const struct tiny *t)
{
	return designated(t);
}

bool tiny_turn(struct tiny *t, mono_t now)
{
	while (router_notes(t->router, now)) {
	}
	return !t->router->device_gone;
}

void tiny_close(struct tiny *t)
{
	struct router *r;

	if (!t)
		return;
	r = t->router;
	if (r) {
		mono_t now = clock_now();

		timer_cancel(t->loop, &t->watch);
		r->set_mtu = NULL;
		list_for_each(node, &r->contacts)
			contact_bye(container_of(node, struct contact, node));
		for (unsigned i = 0; i < WORKERS; i++) {
			link_stream_letters(&r->workers[i], now);
			link_stream_flush(&r->workers[i], now);
		}
	}
	/* first what leads to the device, then the device */
	routes_close(t->routes);
	if (r) {
		router_close_ports(r);
		router_free(r);
	}
	if (t->answer)
		t->answer->ops->close(t->answer);
	tiny_config_free(t->config);
	free(t);
}
