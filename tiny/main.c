/*
 * vine-tiny: the program. Arguments, signals, the order in which things start and end.
 *
 * Every key of [tiny] is an option too: what is given so is read as if it stood in a file.
 */
#include <errno.h>
#include <malloc.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/log.h"
#include "common/notify.h"
#include "common/signals.h"
#include "router/sandbox.h"
#include "tiny/lock.h"
#include "tiny/status.h"
#include "tiny/tiny.h"
#include "tiny/uninstall.h"

#define DEFAULT_CONFIG "/etc/vine/tiny.conf"
#define DEFAULT_DEVICE "vine0"
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct program {
	struct loop *loop;
	struct tiny *tiny;
	struct signals signals;
	struct status status;
	bool stop;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: vine-tiny [--config FILE] [--check | --status | --uninstall]\n"
		"       vine-tiny --id ID --router HOST:PORT --router-id ID --key-file FILE\n"
		"                 --networks PREFIX,... [--KEY VALUE ...]\n"
		"\n"
		"Gives one VM its place in a virtual network, by its full router. Runs in the\n"
		"foreground and logs to standard error.\n"
		"\n"
		"  --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
		"  --KEY VALUE    any key of the configuration, instead of a file\n"
		"  --check        only check the configuration\n"
		"  --status       how the one that runs is; exit status 0 if it is up, else 1\n"
		"  --uninstall    end what runs with it, and remove service, configuration, key,\n"
		"                 routes and this program\n"
		"  --version      print the version\n"
		"  --help         print this\n"
		"\n"
		"SIGTERM and SIGINT end it, and take down all that it has set up.\n"
		"Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n");
}

/* ---- running ------------------------------------------------------------------------ */

/* A terminal that is closed ends nothing. */
static void on_signal(struct signals *s, int signal)
{
	if (signal != SIGHUP)
		container_of(s, struct program, signals)->stop = true;
}

/* Once all is open. A container that does not let it has a box of its own around it. */
static void give_up_privileges(void)
{
	const char *what;
	int e = sandbox_enter(&what);

	if (e < 0)
		log_warn("%s: %s: going on with more privileges than are needed", what,
			 strerror(-e));
}

static int serve(struct tiny_config *config)
{
	struct program p = { .stop = false };
	int locked = lock_device(config->device), e;
	bool ok = true;

	if (locked < 0) {
		log_error("%s: %s", config->device,
			  locked == -EADDRINUSE ? "another vine-tiny runs with this device"
						: strerror(-locked));
		tiny_config_free(config);
		return EXIT_FAILED;
	}
	rcu_register_thread();
	log_set_debug(config->debug);
	p.loop = loop_new();
	e = p.loop ? signals_open(&p.signals, p.loop, on_signal) : -errno;
	if (e < 0)
		log_fatal(EXIT_FAILED, "epoll or signalfd: %s", strerror(-e));
	p.tiny = tiny_open(config, p.loop, clock_now(), stderr);
	if (p.tiny) {
		if (status_open(&p.status, locked, p.loop, p.tiny) < 0)
			log_warn("--status will not be answered");
		give_up_privileges();
		log_info("tiny %s (%u) is set up", config->name, config->id);
		notify("READY=1");
	}
	ok = p.tiny != NULL;
	while (ok && !p.stop) {
		mono_t now = loop_turn(p.loop, -1);

		ok = tiny_turn(p.tiny, now);
		if (!ok)
			log_error("device %s is gone: ending", config->device);
	}
	notify("STOPPING=1");
	status_close(&p.status, p.loop);
	tiny_close(p.tiny);
	signals_close(&p.signals);
	loop_free(p.loop);
	rcu_unregister_thread();
	close(locked);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

/* ---- arguments ---------------------------------------------------------------------- */

struct arguments {
	const char *file;
	char *text; /* of options that are keys */
	bool check, status, uninstall;
};

/* Appends "KEY = VALUE". False: out of memory, or no line. */
static bool add_key(struct arguments *a, const char *key, const char *value)
{
	char *text;

	if (strchr(value, '\n') ||
	    asprintf(&text, "%s%s = %s\n", a->text ? a->text : "[tiny]\n", key, value) < 0)
		return false;
	free(a->text);
	a->text = text;
	return true;
}

/* EXIT_DONE with what was asked for; -1: it has been done already; EXIT_USAGE. */
static int read_arguments(int argc, char **argv, struct arguments *ret)
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *equals = strchr(word, '=');
		char key[32] = "";

		if (strncmp(word, "--", 2) == 0)
			snprintf(key, sizeof(key), "%.*s",
				 equals ? (int)(equals - word - 2) : (int)sizeof(key), word + 2);
		if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			usage(stdout);
			return -1;
		}
		if (!strcmp(word, "--version")) {
			puts("vine-tiny " VINE_VERSION);
			return -1;
		}
		if (!strcmp(word, "--check")) {
			ret->check = true;
			continue;
		}
		if (!strcmp(word, "--status")) {
			ret->status = true;
			continue;
		}
		if (!strcmp(word, "--uninstall")) {
			ret->uninstall = true;
			continue;
		}
		if (strcmp(key, "config") != 0 && !tiny_config_knows(key)) {
			fprintf(stderr, "vine-tiny: unexpected argument \"%s\"\n", word);
			return EXIT_USAGE;
		}
		if (!equals && i + 1 == argc) {
			fprintf(stderr, "vine-tiny: --%s needs a value\n", key);
			return EXIT_USAGE;
		}
		equals = equals ? equals + 1 : argv[++i];
		if (!strcmp(key, "config")) {
			ret->file = equals;
		} else if (!add_key(ret, key, equals)) {
			fprintf(stderr, "vine-tiny: --%s: not a value of one line\n", key);
			return EXIT_USAGE;
		}
	}
	if (!ret->file || !ret->text)
		return EXIT_DONE;
	fprintf(stderr, "vine-tiny: either --config, or keys as options\n");
	return EXIT_USAGE;
}

/* Of the device that the file, or the options, name; both may be missing. */
static bool ask_status(const struct arguments *a)
{
	FILE *nowhere = fopen("/dev/null", "we");
	struct tiny_config *c = NULL;
	const char *at = a->text ? strstr(a->text, "\ndevice = ") : NULL;
	char device[IF_NAMESIZE] = DEFAULT_DEVICE;
	bool up;

	if (at)
		sscanf(at, "\ndevice = %15s", device);
	else if (nowhere && (c = tiny_config_load(a->file, nowhere)))
		snprintf(device, sizeof(device), "%s", c->device);
	up = status_ask(device, stdout);
	tiny_config_free(c);
	if (nowhere)
		fclose(nowhere);
	return up;
}

int main(int argc, char **argv)
{
	struct arguments a = { .file = NULL };
	struct tiny_config *config;
	const char *missing;
	int e = read_arguments(argc, argv, &a);

	mallopt(M_ARENA_MAX, 1);
	if (e) {
		free(a.text);
		if (e == EXIT_USAGE)
			usage(stderr);
		return e < 0 ? EXIT_DONE : e;
	}
	if (!a.file)
		a.file = DEFAULT_CONFIG;
	if (a.status) {
		bool up = ask_status(&a);

		free(a.text);
		return up ? EXIT_DONE : EXIT_FAILED;
	}
	if (a.uninstall) {
		free(a.text);
		return uninstall(a.file, stdout) ? EXIT_DONE : EXIT_FAILED;
	}
	config = a.text ? tiny_config_parse("command line", a.text, strlen(a.text), true, stderr)
			: tiny_config_load(a.file, stderr);
	free(a.text);
	if (!config)
		return EXIT_USAGE;
	if (a.check) {
		tiny_config_free(config);
		return EXIT_DONE;
	}
	missing = sandbox_missing();
	if (missing) {
		log_error("%s is missing: run as root, or give the container NET_ADMIN and NET_RAW",
			  missing);
		tiny_config_free(config);
		return EXIT_FAILED;
	}
	return serve(config);
}
