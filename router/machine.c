/*
 * The router on a real machine, see machine.h.
 *
 * Each worker has a queue of the TUN device, raw and packet sockets, a socket for each
 * listening address, an epoll loop and a thread. What else takes packets than the device is
 * interception.c's.
 *
 * Nothing is lost by changes, since whatever packets have been sent to stays open and
 * is read to the end: queues of the device (to close or to detach one purges it),
 * queues and rings that no rule names any more, sockets that no frames are steered to. And
 * what is new is read before anything is sent there. So another method is, once its
 * interceptors are open, a change of rules. Another number of workers: what they need is opened,
 * then they begin (threads.c), all that is open being dealt to those there are, and
 * then rules and steering follow, only for an even share.
 */
#include "router/machine.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/connections.h"
#include "router/interception.h"
#include "router/link_stream.h"
#include "router/neighbours.h"
#include "router/router.h"
#include "router/threads.h"
#include "router/tun.h"

#define ADDRESS_CHECK (10 * SEC)
#define ADDRESS_SETTLE (30 * MSEC) /* of one that comes in place of another, with its routes */
#define NEWS_ROOM 8192
#define NEWS (RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
#define OWN_MAX 64

#define PORT_PRIVILEGED 1024

struct machine {
	struct router *router;
	struct host *host;
	struct threads *threads;
	/* What has been opened, by the number of the worker that it is for. */
	struct tun *tun[WORKERS_MAX];
	struct inject *raw[WORKERS_MAX];
	unsigned n_devices, n_streams, n_sockets[LINKS_MAX];
	struct inject *packet[WORKERS_MAX];
	enum inject_method inject;     /* in force */
	int packet_error;	       /* why there is none */
	struct neighbours *neighbours; /* followed where the kernel does not route */
	struct source notes;
	struct timer addresses;
	struct mnl_socket
		*news; /* the kernel tells of addresses; NULL: looked after now and then */
	struct source news_source;
};

/* Gives each worker that has a device its injector. Without a packet socket it is the
 * raw one. */
static void deal_inject(struct machine *m, enum inject_method method)
{
	for (unsigned i = 0; i < m->n_devices; i++) {
		struct inject *in[] = { [INJECT_TUN] = &m->tun[i]->inject,
					[INJECT_RAW] = m->raw[i],
					[INJECT_PACKET] = m->packet[i] ? m->packet[i] : m->raw[i] };

		atomic_store(&m->router->workers[i].inject, in[method]);
	}
}

/* ---- opening ------------------------------------------------------------------ */

/* Closes again what was opened and not taken up. */
static void close_new(struct machine *m)
{
	list_for_each(node, &m->router->ports) {
		struct port *port = container_of(node, struct port, node);

		if (port->worker)
			continue;
		if (port->streams)
			m->n_streams--;
		else
			m->n_sockets[port->l]--;
		port_free(port);
	}
}

/* The kernel uses a queue as soon as it is there: so it is taken up at once, and not
 * closed any more. */
static int open_device(struct machine *m, unsigned i)
{
	struct tun *t;
	int e;

	if (!m->raw[i])
		m->raw[i] = inject_raw_open();
	if (!m->raw[i])
		return -errno;
	m->router->workers[i].answer = m->raw[i];
	if (!m->packet[i])
		m->packet[i] = inject_packet_open(m->raw[i]);
	if (!m->packet[i] && !m->packet_error)
		m->packet_error = -errno; /* said when it is wanted */
	t = tun_open(m->router->config->device, true);
	if (!t)
		return -errno;
	if (!i)
		m->router->device_offloads = t->intercept.offloads;
	e = router_read(m->router, i, &t->intercept);
	if (e)
		return e;
	m->tun[i] = t;
	m->n_devices++;
	return 0;
}

static const char *device_hint(int e)
{
	if (e == -EBUSY)
		return " (does another program or router use it?)";
	if (e == -EINVAL)
		return " (was it made by hand, without multi_queue? remove it)";
	return "";
}

static bool open_devices(struct machine *m, unsigned n, FILE *errors)
{
	struct router *r = m->router;

	while (m->n_devices < n) {
		int e = open_device(m, m->n_devices);

		if (e < 0) {
			fprintf(errors, "%s: the TUN device or raw sockets can't be opened: %s%s\n",
				r->config->device, strerror(-e), device_hint(e));
			return false;
		}
	}
	deal_inject(m, m->inject);
	return true;
}

/* Where the kernel does not let us, flows have queues as it chooses them. Only before
 * privileges are given up. */
static void steer_device(struct machine *m, unsigned n)
{
	struct tun *t = m->tun[0];

	tun_steer(t, m->router->config->id, n);
	m->router->device_offloads = t->intercept.offloads;
}

static bool open_sockets(struct machine *m, unsigned l, unsigned n, FILE *errors)
{
	struct router *r = m->router;
	const struct endpoint *at = &r->config->udp[l];
	char text[ENDPOINT_TEXT];
	int e = 0;

	while (!e && m->n_sockets[l] < n) {
		unsigned i = m->n_sockets[l];
		struct link *link;

		e = link_udp_open(at, 1, &link);
		if (!e && !port_new(&r->ports, i, NULL, link, (uint8_t)l)) {
			link->ops->close(link);
			e = -ENOMEM;
		}
		m->n_sockets[l] += !e;
	}
	if (e < 0)
		fprintf(errors, "%s: [listen] udp: can't listen on %s: %s\n", r->config->file,
			endpoint_format(at, text), strerror(-e));
	return !e;
}

static unsigned count_links(const struct config *config)
{
	return config->n_udp < LINKS_MAX ? (unsigned)config->n_udp : LINKS_MAX;
}

static bool open_links(struct machine *m, unsigned n, FILE *errors)
{
	struct router *r = m->router;

	for (unsigned l = 0; l < count_links(r->config); l++)
		if (!open_sockets(m, l, n, errors))
			return false;
	return true;
}

static bool open_streams(struct machine *m, unsigned n, FILE *errors)
{
	for (; m->n_streams < n; m->n_streams++) {
		if (!link_stream_open(&m->router->ports, m->n_streams, false)) {
			fprintf(errors, "not enough memory or descriptors for streams\n");
			return false;
		}
	}
	return true;
}

static bool steer(struct machine *m, unsigned n, FILE *errors)
{
	struct router *r = m->router;
	int e = 0;

	for (unsigned l = 0; !e && l < r->workers[0].n_links; l++)
		e = link_udp_steer(r->workers[0].links[l], n);
	if (e)
		fprintf(errors, "frames can't be steered to %u workers: %s\n", n, strerror(-e));
	return !e;
}

/* The site's own address where the configuration names none: the machine's own beside
 * the site's members. */
static struct ip own_address(struct machine *m, const struct config *config, uint8_t family)
{
	const struct ip *configured = family == 4 ? &config->address4 : &config->address6;
	const struct lndt_row *rows;
	struct ip found = { .family = 0 };
	size_t n;

	if (configured->family)
		return *configured;
	rows = router_site(m->router, config, &n);
	host_find_address(m->host, rows, n, family, &found);
	return found;
}

/* Addresses may come and go while the router runs. */
static bool update_addresses(struct machine *m, const struct config *config)
{
	struct ip own[OWN_MAX], address4, address6;
	size_t n = host_addresses(m->host, own, OWN_MAX);

	address4 = own_address(m, config, 4);
	address6 = own_address(m, config, 6);
	return router_set_addresses(m->router, own, n, &address4, &address6, clock_now());
}

static int set_mtu(struct router *r, uint32_t mtu)
{
	return host_set_mtu(r->host, mtu);
}

static bool set_up_host(struct machine *m, const struct config *config, FILE *errors)
{
	struct router *r = m->router;
	struct host_setup setup = {
		.device = config->device,
		.networks = config->networks,
		.n_networks = config->n_networks,
		.fail = config->fail,
	};
	const char *what = "";
	int e;

	update_addresses(m, config);
	setup.address4 = r->world->address4;
	setup.address6 = r->world->address6;
	router_update_mtu(r);
	setup.mtu = r->device_mtu;
	e = host_apply(m->host, &setup, &what);
	if (e < 0) {
		fprintf(errors, "%s: %s: %s\n", config->device, what, strerror(-e));
		return false;
	}
	r->host = m->host;
	r->set_mtu = set_mtu; /* from now on the device follows */
	return true;
}

static void addresses_due(struct timer *t, mono_t now)
{
	struct machine *m = container_of(t, struct machine, addresses);

	/* the kernel takes routes away with the address that they prefer */
	if (update_addresses(m, m->router->config))
		set_up_host(m, m->router->config, stderr);
	interception_refresh(m->router, m->router->config);
	timer_set(m->router->loop, t, mono_add(now, ADDRESS_CHECK));
}

/* What has changed is looked up anyway: all at once. */
static void news_ready(struct source *s, uint32_t events, mono_t now)
{
	struct machine *m = container_of(s, struct machine, news_source);
	char text[NEWS_ROOM];

	(void)events;
	while (mnl_socket_recvfrom(m->news, text, sizeof(text)) >= 0 || errno == ENOBUFS) {
	}
	if (mono_before(mono_add(now, ADDRESS_SETTLE), m->addresses.when))
		timer_set(m->router->loop, &m->addresses, mono_add(now, ADDRESS_SETTLE));
}

static void follow_addresses(struct machine *m)
{
	struct router *r = m->router;

	m->addresses.fn = addresses_due;
	timer_set(r->loop, &m->addresses, mono_add(clock_now(), ADDRESS_CHECK));
	m->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->news)
		return;
	m->news_source = (struct source){ .fd = mnl_socket_get_fd(m->news), .fn = news_ready };
	if (mnl_socket_bind(m->news, NEWS, MNL_SOCKET_AUTOPID) < 0 ||
	    loop_add(r->loop, &m->news_source, EPOLLIN)) {
		mnl_socket_close(m->news);
		m->news = NULL;
	}
}

static void publish_adjacencies(void *arg, struct adjacencies *a)
{
	router_set_adjacencies(arg, a);
}

static int follow_neighbours(struct machine *m, const struct config *config)
{
	const struct lndt_row *rows;
	size_t n;

	if (!m->neighbours)
		m->neighbours = neighbours_open(m->router->loop, publish_adjacencies, m->router);
	if (!m->neighbours)
		return -errno;
	rows = router_site(m->router, config, &n);
	return neighbours_set_site(m->neighbours, rows, n, clock_now());
}

/* Where the kernel does not route, the way to the hosts is known before the first packet
 * goes so, until after the last one. */
static bool set_inject(struct machine *m, const struct config *config, FILE *errors)
{
	struct router *r = m->router;
	int e = config->inject == INJECT_PACKET ? m->packet_error : 0;

	if (!e && config->inject != INJECT_TUN)
		e = follow_neighbours(m, config);
	if (e < 0) {
		fprintf(errors, "%s: [inject] method = %s: its sockets can't be opened: %s\n",
			config->file, inject_method_name(config->inject), strerror(-e));
		return false;
	}
	m->inject = config->inject;
	deal_inject(m, m->inject);
	if (config->inject == INJECT_TUN && m->neighbours) {
		neighbours_close(m->neighbours);
		m->neighbours = NULL;
		router_set_adjacencies(r, NULL);
	}
	return true;
}

bool machine_apply(struct machine *m, const struct config *config, FILE *errors)
{
	struct router *r = m->router;
	const char *what = "";
	int e = 0;

	if (!set_up_host(m, config, errors))
		return false;
	connections_set_proxy(r->connections, &config->proxy);
	/* what vinectl has set stays, unless the file says something new */
	if (config == r->config || config->intercept != r->config->intercept)
		e = interception_set(r, config->intercept, &what);
	if (e < 0) {
		fprintf(errors, "%s: [intercept] method: %s: %s\n", config->file, what,
			strerror(-e));
		return false;
	}
	interception_refresh(r, config);
	return set_inject(m, config, errors);
}

void machine_tables_changed(struct router *r)
{
	struct machine *m = r->machine;
	const struct config *config = m->router->config;
	int e = 0;

	if (update_addresses(m, config))
		set_up_host(m, config, stderr);
	interception_refresh(m->router, config);
	if (m->neighbours)
		e = follow_neighbours(m, config);
	if (e < 0)
		log_warn("the way to the site's hosts can't be followed: %s", strerror(-e));
}

static void diagnosed(void *arg, const char *line)
{
	(void)arg;
	log_warn("%s", line);
}

static void diagnose(struct machine *m)
{
	const struct config *config = m->router->config;
	struct host_setup setup = { .device = config->device,
				    .networks = config->networks,
				    .n_networks = config->n_networks };

	host_diagnose(m->host, &setup, diagnosed, NULL);
}

/* A port of this kind can't be bound once privileges are given up: so for all that there
 * may ever be. */
static bool open_privileged(struct machine *m, FILE *errors)
{
	const struct config *config = m->router->config;

	for (unsigned l = 0; l < count_links(config); l++)
		if (config->udp[l].port < PORT_PRIVILEGED &&
		    !open_sockets(m, l, WORKERS_MAX, errors))
			return false;
	return true;
}

struct machine *machine_open(struct router *r, FILE *errors)
{
	struct machine *m = calloc(1, sizeof(*m));
	const char *what = "";
	int e;

	if (!m)
		return NULL;
	m->router = r;
	r->machine = m;
	m->notes.fd = -1;
	m->threads = threads_new();
	m->host = host_open();
	if (!m->threads)
		goto fail;
	if (!m->host) {
		fprintf(errors, "netlink sockets can't be opened: %s\n", strerror(errno));
		goto fail;
	}
	r->intercept = INTERCEPT_TUN; /* until told otherwise */
	e = host_rules_set(m->host, r->config->device, r->config->source_check, 0, 0, &what);
	if (e < 0)
		log_warn("%s: %s: packets from outside that forge a host's address are not told "
			 "apart; see to it that rp_filter or your own rules do",
			 what, strerror(-e));
	if (!open_devices(m, r->n_workers, errors) || !open_links(m, r->n_workers, errors) ||
	    !open_privileged(m, errors) || !open_streams(m, r->n_workers, errors) ||
	    !connections_listen(r->connections, r->config, errors))
		goto fail;
	steer_device(m, r->n_workers);
	router_deal(r, r->n_workers, clock_now());
	if (!steer(m, r->n_workers, errors) || !machine_apply(m, r->config, errors))
		goto fail;
	diagnose(m);
	return m;
fail:
	machine_close(m);
	return NULL;
}

/* ---- notes ----------------------------------------------------------------------- */

static void note_sent(void *arg)
{
	struct machine *m = arg;
	uint64_t one = 1;

	if (write(m->notes.fd, &one, sizeof(one)) < 0)
		return; /* full: it will be read */
}

static void notes_ready(struct source *s, uint32_t events, mono_t now)
{
	struct machine *m = container_of(s, struct machine, notes);
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof(n)) == sizeof(n) && router_notes(m->router, now))
		note_sent(m);
}

/* ---- workers --------------------------------------------------------------------- */

static int start_workers(struct machine *m, unsigned n, int64_t *ret_pause)
{
	struct router *r = m->router;

	for (unsigned i = 0; i < n; i++) {
		r->workers[i].note_sent = note_sent;
		r->workers[i].note_arg = m;
	}
	return threads_set(m->threads, r, n, ret_pause);
}

/* All that can be refused. */
static bool open_for_workers(struct machine *m, unsigned n, FILE *errors)
{
	struct router *r = m->router;
	const char *what = "";
	int e;

	if (!router_make_room(r, n)) {
		fprintf(errors, "not enough memory for %u workers\n", n);
		return false;
	}
	e = interception_make_room(r, n, &what);
	if (e < 0)
		fprintf(errors, "%s: %s\n", what, strerror(-e));
	return !e && open_links(m, n, errors) && open_streams(m, n, errors) &&
	       open_devices(m, n, errors);
}

/* What arrives goes evenly to those that there are; all of it is read in any case. */
static void spread(struct machine *m)
{
	struct router *r = m->router;
	const char *what = "";
	int e;

	steer(m, r->n_workers, stderr);
	e = interception_share(r, &what);
	if (e < 0)
		log_warn("%s: %s: packets go to as many workers as before", what, strerror(-e));
}

bool router_set_workers(struct router *r, unsigned n, FILE *errors)
{
	unsigned before = r->n_workers;
	struct machine *m = r->machine;
	bool done = false;
	int e;

	if (n == before)
		return true;
	if (open_for_workers(m, n, errors)) {
		e = start_workers(m, n, &r->pause);
		done = !e;
		if (e)
			fprintf(errors, "%u threads can't be started: %s\n", n, strerror(-e));
	}
	if (!done) {
		close_new(m);
		router_dismiss(r, clock_now());
		return false;
	}
	spread(m);
	log_info("workers: %u instead of %u", n, before);
	log_debug("workers: no packet was carried for %lld us", (long long)(r->pause / USEC));
	return true;
}

int machine_start(struct machine *m)
{
	struct router *r = m->router;
	int64_t pause;
	int e;

	loop_set_hooks(r->loop, &threads_rcu_hooks);
	m->notes.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->notes.fn = notes_ready;
	if (m->notes.fd < 0)
		return -errno;
	e = loop_add(r->loop, &m->notes, EPOLLIN);
	if (!e)
		e = start_workers(m, r->n_workers, &pause);
	follow_addresses(m);
	return e;
}

void machine_stop(struct machine *m)
{
	struct router *r = m->router;
	mono_t now = clock_now();

	threads_free(m->threads, r);
	m->threads = NULL;
	for (unsigned i = 0; i < r->n_workers; i++) { /* the last words */
		link_stream_letters(&r->workers[i], now);
		link_stream_flush(&r->workers[i], now);
	}
}

/* ---- closing ----------------------------------------------------------------------- */

void machine_close(struct machine *m)
{
	struct router *r = m->router;

	timer_cancel(r->loop, &m->addresses);
	if (m->news) {
		loop_remove(r->loop, &m->news_source);
		mnl_socket_close(m->news);
	}
	neighbours_close(m->neighbours);
	if (m->host) {
		host_ingress_remove(m->host);
		host_rules_remove(m->host);
	}
	threads_free(m->threads, r);
	router_close_ports(r);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		if (m->packet[i])
			m->packet[i]->ops->close(m->packet[i]);
		if (m->raw[i])
			m->raw[i]->ops->close(m->raw[i]);
	}
	if (m->notes.fd >= 0) {
		loop_remove(r->loop, &m->notes);
		close(m->notes.fd);
	}
	r->host = NULL;
	r->set_mtu = NULL;
	r->machine = NULL;
	if (m->host)
		host_close(m->host);
	free(m);
}
