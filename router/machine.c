/*
 * The router on a real machine, see machine.h.
 *
 * Each worker has a queue of the TUN device, raw sockets, one socket per
 * listening address, an epoll loop and a thread. What else takes packets than the
 * device is interception.c's.
 */
#include "router/machine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "router/interception.h"
#include "router/tun.h"

#define ADDRESS_CHECK (10 * SEC)
#define OWN_MAX 64

struct thread {
	pthread_t id;
	struct worker *worker;
	struct loop *loop;
	_Atomic bool stop;
	bool running;
};

struct machine {
	struct router *router;
	struct host *host;
	struct thread threads[WORKERS_MAX];
	struct inject *raw[WORKERS_MAX];
	struct source notes;
	struct timer addresses;
	bool rules; /* the Netfilter table is there */
};

/* ---- opening ------------------------------------------------------------------ */

static bool open_devices(struct machine *m, FILE *errors)
{
	struct router *r = m->router;
	const char *device = r->config->device;

	for (unsigned i = 0; i < r->n_workers; i++) {
		struct tun *t = tun_open(device, r->n_workers > 1);

		if (!t) {
			fprintf(errors, "%s: the TUN device can't be opened: %s%s\n", device,
				strerror(errno),
				errno == EBUSY ? " (does another program or router use it?)" : "");
			return false;
		}
		r->workers[i].device = &t->intercept;
		m->raw[i] = inject_raw_open();
		r->workers[i].answer = m->raw[i];
		if (!m->raw[i]) {
			fprintf(errors, "raw sockets can't be opened: %s\n", strerror(errno));
			return false;
		}
		atomic_store(&r->workers[i].inject,
			     r->config->inject == INJECT_RAW ? m->raw[i] : &t->inject);
	}
	return true;
}

static bool open_links(struct machine *m, FILE *errors)
{
	struct router *r = m->router;
	char text[ENDPOINT_TEXT];

	for (size_t l = 0; l < r->config->n_udp && l < LINKS_MAX; l++) {
		struct link *links[WORKERS_MAX];
		int e = link_udp_open(&r->config->udp[l], r->n_workers, links);

		if (e < 0) {
			fprintf(errors, "%s: [listen] udp: can't listen on %s: %s\n",
				r->config->file, endpoint_format(&r->config->udp[l], text),
				strerror(-e));
			return false;
		}
		for (unsigned i = 0; i < r->n_workers; i++)
			r->workers[i].links[r->workers[i].n_links++] = links[i];
	}
	return true;
}

/* The site's own address where the configuration names none: the machine's
 * address inside one of the LNDT's prefixes. */
static struct ip own_address(struct machine *m, const struct config *config, uint8_t family)
{
	const struct ip *configured = family == 4 ? &config->address4 : &config->address6;
	struct ip found = { .family = 0 };

	if (configured->family)
		return *configured;
	for (size_t i = 0; i < config->n_lndt && !found.family; i++)
		if (config->lndt[i].prefix.ip.family == family)
			host_find_address(m->host, &config->lndt[i].prefix, 1, family, &found);
	return found;
}

/* Addresses may come and go while the router runs. */
static bool update_addresses(struct machine *m, const struct config *config)
{
	struct ip own[OWN_MAX], address4, address6;
	size_t n = host_addresses(m->host, own, OWN_MAX);

	address4 = own_address(m, config, 4);
	address6 = own_address(m, config, 6);
	return router_set_addresses(m->router, own, n, &address4, &address6);
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
	r->host = m->host; /* from now on the device follows */
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

bool machine_apply(struct machine *m, const struct config *config, FILE *errors)
{
	struct router *r = m->router;
	const char *what = "";
	int e = 0;

	if (!set_up_host(m, config, errors))
		return false;
	/* what vinectl has set stays, unless the file says something new */
	if (config == r->config || config->intercept != r->config->intercept)
		e = interception_set(r, config->intercept, &what);
	if (e < 0) {
		fprintf(errors, "%s: [intercept] method: %s: %s\n", config->file, what,
			strerror(-e));
		return false;
	}
	interception_refresh(r, config);
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct tun *t = container_of(r->workers[i].device, struct tun, intercept);

		atomic_store(&r->workers[i].inject,
			     config->inject == INJECT_RAW ? m->raw[i] : &t->inject);
	}
	return true;
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
	if (config->limited)
		log_warn("[limited]: queue routers are not used by this version: peers are reached "
			 "by UDP at their endpoints");
	if (config->n_tcp)
		log_warn("[listen] tcp: this version listens on UDP alone");
	for (size_t i = 0; i < config->n_peers; i++)
		if (config->peers[i].protocol != PROTOCOL_UDP || config->peers[i].n_queue_routers)
			log_warn("[peer %s] protocol, queue-routers: this version reaches peers by "
				 "UDP and directly alone",
				 config->peers[i].name);
}

struct machine *machine_open(struct router *r, FILE *errors)
{
	struct machine *m = calloc(1, sizeof(*m));
	const char *what = "";
	int e;

	if (!m)
		return NULL;
	m->router = r;
	m->notes.fd = -1;
	m->host = host_open();
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
	if (!open_devices(m, errors) || !open_links(m, errors) ||
	    !machine_apply(m, r->config, errors))
		goto fail;
	diagnose(m);
	return m;
fail:
	machine_close(m);
	return NULL;
}

/* ---- threads --------------------------------------------------------------------- */

static void go_offline(void *arg)
{
	(void)arg;
	rcu_thread_offline();
}

static void go_online(void *arg)
{
	(void)arg;
	rcu_thread_online();
}

static const struct loop_hooks rcu_hooks = { .before_wait = go_offline, .after_wait = go_online };

static void *run(void *arg)
{
	struct thread *t = arg;

	rcu_register_thread();
	loop_set_hooks(t->loop, &rcu_hooks);
	while (!atomic_load_explicit(&t->stop, memory_order_acquire))
		loop_turn(t->loop, -1);
	rcu_unregister_thread();
	return NULL;
}

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

static int start_thread(struct machine *m, unsigned i)
{
	struct thread *t = &m->threads[i];
	sigset_t all, old;
	char name[16];
	int e;

	t->worker = &m->router->workers[i];
	t->worker->note_sent = note_sent;
	t->worker->note_arg = m;
	t->loop = loop_new();
	if (!t->loop)
		return -ENOMEM;
	e = worker_attach(t->worker, t->loop);
	if (e)
		return e;
	worker_kick(t->worker); /* a queue may wait to be taken up */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&t->id, NULL, run, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e)
		return -e;
	t->running = true;
	snprintf(name, sizeof(name), "worker %u", i);
	pthread_setname_np(t->id, name);
	return 0;
}

int machine_start(struct machine *m)
{
	struct router *r = m->router;
	int e;

	loop_set_hooks(r->loop, &rcu_hooks);
	m->notes.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->notes.fn = notes_ready;
	if (m->notes.fd < 0)
		return -errno;
	e = loop_add(r->loop, &m->notes, EPOLLIN);
	for (unsigned i = 0; !e && i < r->n_workers; i++)
		e = start_thread(m, i);
	m->addresses.fn = addresses_due;
	timer_set(r->loop, &m->addresses, mono_add(clock_now(), ADDRESS_CHECK));
	return e;
}

void machine_stop(struct machine *m)
{
	for (unsigned i = 0; i < m->router->n_workers; i++) {
		struct thread *t = &m->threads[i];

		if (!t->running)
			continue;
		atomic_store_explicit(&t->stop, true, memory_order_release);
		worker_kick(t->worker);
		rcu_thread_offline();
		pthread_join(t->id, NULL);
		rcu_thread_online();
		t->running = false;
	}
}

/* ---- closing ----------------------------------------------------------------------- */

void machine_close(struct machine *m)
{
	struct router *r = m->router;

	timer_cancel(r->loop, &m->addresses);
	if (m->host) {
		host_ingress_remove(m->host);
		host_rules_remove(m->host);
	}
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct worker *w = &r->workers[i];

		worker_close_devices(w);
		if (m->raw[i])
			m->raw[i]->ops->close(m->raw[i]);
		loop_free(m->threads[i].loop);
	}
	if (m->notes.fd >= 0) {
		loop_remove(r->loop, &m->notes);
		close(m->notes.fd);
	}
	r->host = NULL;
	if (m->host)
		host_close(m->host);
	free(m);
}
