/*
 * vine-router: the program. Arguments, signals, the order in which things start
 * and end.
 *
 *   configuration -> router -> the authority's tables from disk -> control socket ->
 *   machine (devices, sockets, routes, rules) -> metrics, hosts -> privileges given up ->
 *   threads -> the authority -> ready
 *
 * and back: goodbye to peers, threads ended, everything taken down that was set
 * up, the routes that keep packets from leaking last.
 */
#include <errno.h>
#include <malloc.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/code.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/signals.h"
#include "router/authority.h"
#include "router/control.h"
#include "router/hosts.h"
#include "router/machine.h"
#include "router/metrics.h"
#include "router/router.h"
#include "router/sandbox.h"

#define DEFAULT_CONFIG "/etc/vine/router.conf"
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct program {
	const char *file;
	struct loop *loop;
	struct router *router;
	struct machine *machine;
	struct control *control;
	struct metrics *metrics;
	struct hosts *hosts;
	struct signals signals;
	bool stop;
};

static void usage(FILE *to)
{
	fprintf(to, "usage: vine-router [--config FILE] [--check]\n"
		    "\n"
		    "Gives the hosts of a site their place in virtual networks. Runs in the\n"
		    "foreground and logs to standard error.\n"
		    "\n"
		    "  --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
		    "  --check        only check the configuration\n"
		    "  --version      print the version\n"
		    "  --help         print this\n"
		    "\n"
		    "SIGHUP applies a changed configuration; SIGTERM and SIGINT end the router.\n"
		    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n");
}

/* One for TCP and one for all else (tun_steer.c) for each processor. */
static unsigned count_workers(const struct config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (config->workers)
		return config->workers;
	return cpus < 1 ? 2 : cpus > WORKERS_MAX / 2 ? WORKERS_MAX : 2 * (unsigned)cpus;
}

/* What vinectl has set stays, unless the file says something new. */
static bool apply_workers(struct router *r, const struct config *config, FILE *errors)
{
	return config->workers == r->config->workers ||
	       router_set_workers(r, count_workers(config), errors);
}

/* All or nothing: the machine first, since it alone can well refuse. */
static bool apply(struct program *p, FILE *errors)
{
	struct config *config = config_load(p->file, errors);
	unsigned workers = p->router->n_workers;

	if (!config)
		return false;
	if (!config_can_reload(p->router->config, config, errors)) {
		config_free(config);
		return false;
	}
	if (!machine_apply(p->machine, config, errors) ||
	    !apply_workers(p->router, config, errors)) {
		config_free(config);
		machine_apply(p->machine, p->router->config, errors);
		return false;
	}
	if (router_reload(p->router, config, clock_now(), errors))
		return true;
	machine_apply(p->machine, p->router->config, errors);
	router_set_workers(p->router, workers, errors);
	return false;
}

static bool reload(void *arg, FILE *errors)
{
	struct program *p = arg;
	bool ok;

	notify("RELOADING=1");
	ok = apply(p, errors);
	log_set_debug(p->router->config->debug);
	notify("READY=1");
	if (ok)
		log_info("configuration applied");
	else
		log_error("configuration not applied: the old one stays in force");
	malloc_trim(0); /* of what was read, little is left */
	return ok;
}

static void on_signal(struct signals *s, int signal)
{
	struct program *p = container_of(s, struct program, signals);

	if (signal == SIGHUP)
		reload(p, stderr);
	else
		p->stop = true;
}

/* Everything up to the threads. False: said on stderr. */
static bool start(struct program *p, struct config *config)
{
	struct control_hooks hooks = { .reload = reload, .arg = p };
	const char *what = sandbox_missing();
	int e;

	if (what) {
		log_error("%s is missing: run as root, or with CAP_NET_ADMIN and CAP_NET_RAW",
			  what);
		config_free(config);
		return false;
	}
	p->router = router_new(config, count_workers(config), p->loop, clock_now(), stderr);
	if (!p->router)
		return false;
	if (p->router->config->identity && !authority_open(p->router, clock_now(), stderr))
		return false;
	/* first, since a router that runs already is named best by its socket */
	p->control = control_open(p->router, hooks, p->router->config->control, stderr);
	if (!p->control)
		return false;
	p->machine = machine_open(p->router, stderr);
	if (!p->machine)
		return false;
	if (p->router->config->metrics.ip.family) {
		p->metrics = metrics_open(p->router, &p->router->config->metrics, stderr);
		if (!p->metrics)
			return false;
	}
	if (p->router->config->hosts.ip.family) {
		p->hosts = hosts_open(p->router, stderr);
		if (!p->hosts)
			return false;
	}
	e = sandbox_enter(&what);
	if (e < 0) {
		log_error("%s: %s", what, strerror(-e));
		return false;
	}
	e = machine_start(p->machine);
	if (e < 0)
		log_error("threads can't be started: %s", strerror(-e));
	else if (p->router->authority)
		authority_start(p->router->authority, machine_tables_changed, clock_now());
	return e == 0;
}

static void end(struct program *p)
{
	notify("STOPPING=1");
	if (p->router && p->machine) {
		list_for_each(node, &p->router->contacts)
			contact_bye(container_of(node, struct contact, node));
		machine_stop(p->machine);
	}
	metrics_close(p->metrics);
	hosts_close(p->hosts);
	control_close(p->control);
	if (p->router)
		authority_close(p->router->authority);
	if (p->machine)
		machine_close(p->machine);
	if (p->router)
		router_free(p->router);
	signals_close(&p->signals);
	loop_free(p->loop);
}

static int serve(const char *file, struct config *config)
{
	struct program p = { .file = file };
	bool ok;
	int e;

	rcu_register_thread();
	log_set_debug(config->debug);
	p.loop = loop_new();
	e = p.loop ? signals_open(&p.signals, p.loop, on_signal) : -errno;
	if (e < 0)
		log_fatal(EXIT_FAILED, "epoll or signalfd: %s", strerror(-e));
	ok = start(&p, config);
	if (ok) {
		log_info("router %s (%u) is up: %u worker%s, interception %s",
			 p.router->config->name, p.router->config->id, p.router->n_workers,
			 p.router->n_workers == 1 ? "" : "s",
			 intercept_method_name(p.router->intercept));
		code_forget(0);
		notify("READY=1");
	}
	while (ok && !p.stop) {
		loop_turn(p.loop, -1);
		if (p.router->device_gone) {
			log_error("device %s is gone: ending, so that a restart makes it anew",
				  p.router->config->device);
			ok = false;
		}
	}
	end(&p);
	rcu_unregister_thread();
	return ok ? EXIT_DONE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'f' },
		{ "check", no_argument, NULL, 'c' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = DEFAULT_CONFIG;
	struct config *config;
	bool check = false;
	int o;

	mallopt(M_ARENA_MAX, 1); /* workers allocate next to nothing */
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'f': file = optarg; break;
		case 'c': check = true; break;
		case 'V': puts("vine-router " VINE_VERSION); return EXIT_DONE;
		case 'h': usage(stdout); return EXIT_DONE;
		default: usage(stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "vine-router: unexpected argument \"%s\"\n", argv[optind]);
		usage(stderr);
		return EXIT_USAGE;
	}
	config = config_load(file, stderr);
	if (!config)
		return EXIT_USAGE;
	if (check) {
		config_free(config);
		return EXIT_DONE;
	}
	return serve(file, config);
}
