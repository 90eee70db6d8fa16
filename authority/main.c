/*
 * vine-authority: the program. What it starts with (init), serving, replacing its CA.
 *
 *   settings -> CA -> store -> service (registry) -> sockets -> ready
 *
 * and back: no more connections, what is under way is answered, everything closed. SIGHUP
 * reads the CA's files, the key of tables and the ranges of VMs again.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <event2/event.h>

#include "authority/api.h"
#include "authority/election.h"
#include "authority/health.h"
#include "authority/init.h"
#include "authority/lobby.h"
#include "authority/maintain.h"
#include "authority/memory.h"
#include "authority/settings.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/pki.h"

#define DEFAULT_CONFIG "/var/lib/vine-authority/authority.conf"
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { LAST_WORDS = 5 }; /* seconds for what is under way at the end */
static const long ns_per_s = 1000000000;

struct program {
	struct settings *settings;
	struct event_base *base;
	struct ca *ca;
	struct store *store;
	struct service *service;
	struct push *push;
	struct election *election; /* NULL: the store is this process's alone */
	struct health *health;
	struct http *http;
	EVP_PKEY *key; /* the server's, which stays: who joins may know it by its pin */
	struct api api;
	struct event *term, *interrupt, *hangup, *tick;
	time_t certified; /* when the server's certificate was made */
	int stopping;	  /* seconds since it was told to end, and one */
	bool failed;
};

static void usage(FILE *to)
{
	fputs("usage: vine-authority serve [--config FILE] [--check]\n"
	      "       vine-authority init --name NAME ...\n"
	      "       vine-authority ca next|promote|drop [--config FILE]\n"
	      "       vine-authority restored [--config FILE]\n"
	      "       vine-authority backup FILE [--config FILE]\n"
	      "       vine-authority restore FILE [--config FILE]\n"
	      "       vine-authority check [--config FILE]\n"
	      "       vine-authority openapi\n"
	      "\n"
	      "Keeps sites, routers, hosts, users and virtual networks, and says who may\n"
	      "change them.\n"
	      "\n"
	      "  serve          runs in the foreground, logs to standard error\n"
	      "  init           makes everything that it begins with; see init --help\n"
	      "  ca             replaces its CA in three steps; then SIGHUP each process\n"
	      "  restored       once after its store was restored by other means\n"
	      "  backup         writes all records and keys to a file, while it serves or not\n"
	      "  restore        from such a file, into an empty store\n"
	      "  check          whether all is well; exit status 0, 1 warnings, 2 critical, 3 unknown\n"
	      "  openapi        prints the description of its API\n"
	      "  --config FILE  configuration (default " DEFAULT_CONFIG ")\n"
	      "  --check        only check the configuration\n"
	      "  --version      print the version\n"
	      "  --help         print this\n"
	      "\n"
	      "SIGHUP reads the CA, the key of tables and the ranges of VMs again; SIGTERM and SIGINT end it.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n",
	      to);
}

/* ---- serving ------------------------------------------------------------------- */

/* The key of before, if it can be read, else a new one. */
static EVP_PKEY *server_key(const char *directory)
{
	char *path = mem_format("%s/server.key", directory), *pem = pki_read(path);
	EVP_PKEY *key = pem && pki_is_private(path) ? pki_key_parse(pem) : NULL;
	int r = 0;

	if (!key && (key = pki_key_new())) {
		free(pem);
		pem = pki_key_pem(key);
		r = pem ? pki_replace(path, pem, 0600) : -ENOMEM;
	}
	if (r)
		log_warn("%s: %s: the server has another key whenever it is started", path,
			 strerror(-r));
	if (pem)
		OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
	free(path);
	return key;
}

/* As curl --pinnedpubkey takes it. */
static char *pin_of(EVP_PKEY *key)
{
	unsigned char *der = NULL, hash[32], text[48];
	int n = i2d_PUBKEY(key, &der);
	bool good = n > 0 && EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL);

	OPENSSL_free(der);
	if (!good)
		return NULL;
	EVP_EncodeBlock(text, hash, sizeof(hash));
	return mem_format("sha256//%s", (char *)text);
}

static bool certify(struct program *p, time_t now)
{
	const struct settings *s = p->settings;

	if (!http_certify(p->http, p->ca, p->key, now, s->server / ns_per_s, s->names,
			  s->n_names)) {
		log_error("the server's certificate can't be made: is one of the names in "
			  "[server] wrong?");
		return false;
	}
	p->certified = now;
	health_certificates(p->health, ca_end(ca_certificate(p->ca)), now + s->server / ns_per_s);
	return true;
}

/* Routers take nothing that is signed with another key than the one they were registered with,
 * and have no way to another. */
static bool same_tables_key(struct ca *a, struct ca *b)
{
	char *was = pki_key_text(ca_table_key(a)), *is = pki_key_text(ca_table_key(b));
	bool same = was && is && !strcmp(was, is);

	free(was);
	free(is);
	return same;
}

static void on_hangup(evutil_socket_t fd, short events, void *arg)
{
	struct program *p = arg;
	char error[CA_ERROR];
	struct ca *ca = ca_load(p->settings->directory, error), *old = p->ca;
	bool other_key;

	(void)fd, (void)events;
	if (!ca) {
		log_error("the CA stays as it was: %s", error);
		return;
	}
	other_key = !same_tables_key(old, ca);
	p->ca = ca;
	if (!certify(p, time(NULL)) || !push_sign_with(p->push, ca)) {
		log_error("the CA stays as it was");
		p->ca = old;
		certify(p, time(NULL));
		ca_free(ca);
		return;
	}
	p->api.ca = ca;
	ca_free(old);
	log_info("the CA and the key of tables were read again, and the server has a new "
		 "certificate; what else %s says is read at the start",
		 p->settings->file);
	if (other_key)
		log_error("the key of tables is another one: routers that were registered before "
			  "take nothing that it signs; put the old one back (tables.key, "
			  "tables.pub) and SIGHUP again, or register each router anew");
	if (p->api.download)
		download_reload(p->api.download);
}

static void on_stop(evutil_socket_t fd, short events, void *arg)
{
	struct program *p = arg;

	(void)fd, (void)events;
	if (p->stopping++)
		return;
	notify("STOPPING=1");
	http_deaf(p->http);
	if (service_idle(p->service) && health_idle(p->health))
		event_base_loopexit(p->base, NULL);
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
	struct program *p = arg;
	time_t now = time(NULL);

	(void)fd, (void)events;
	if (p->stopping) {
		if ((service_idle(p->service) && health_idle(p->health)) ||
		    p->stopping++ > LAST_WORDS)
			event_base_loopexit(p->base, NULL);
		return;
	}
	/* Long before its end, and when the clock was set back. */
	if (now - p->certified > p->settings->server / ns_per_s / 3 || now < p->certified - 60)
		certify(p, now);
}

static void on_lost(void *arg, const char *why)
{
	struct program *p = arg;

	log_error("%s: ending, so that a restart reads the store anew", why);
	p->failed = true;
	event_base_loopbreak(p->base);
}

static void on_applied(void *arg)
{
	struct program *p = arg;

	if (p->push)
		push_applied(p->push);
}

static void on_won(void *arg, uint64_t term)
{
	struct program *p = arg;

	log_info("this process has the routers now");
	health_begin(p->health);
	push_begin(p->push, term);
}

static void on_no_longer(void *arg)
{
	struct program *p = arg;

	log_warn("another process has the routers now, or the store can't be reached");
	push_end(p->push);
	health_end(p->health);
}

static const struct publish *published(void *arg)
{
	const struct program *p = arg;

	return p->push ? push_publish(p->push) : NULL;
}

/* Tables are published by one process. */
static bool publish(struct program *p)
{
	const struct settings *s = p->settings;
	const struct election_hooks hooks = { .arg = p, .won = on_won, .lost = on_no_longer };

	p->push = push_new(p->base, p->service, p->ca, s->encrypt ? s->encrypt : s->sign);
	if (!p->push) {
		log_error("%s/tables.key is no key that can sign", s->directory);
		return false;
	}
	if (!store_is_shared(p->store)) {
		health_begin(p->health);
		push_begin(p->push, 0);
		return !p->failed;
	}
	p->api.lobby = lobby_new(p->base, &p->api);
	p->election = election_new(p->base, p->service, p->api.url, &hooks);
	return p->api.lobby && p->election;
}

static bool add_signal(struct program *p, struct event **ret, int signal, event_callback_fn fn)
{
	*ret = evsignal_new(p->base, signal, fn, p);
	return *ret && !event_add(*ret, NULL);
}

/* Under the first name. */
static char *own_url(const struct settings *s)
{
	bool v6 = strchr(s->names[0], ':');

	return mem_format("https://%s%s%s:%u", v6 ? "[" : "", s->names[0], v6 ? "]" : "",
			  s->listen[0].port);
}

static bool start(struct program *p)
{
	const struct settings *s = p->settings;
	const struct store_tls tls = { s->tls.ca, s->tls.certificate, s->tls.key };
	const struct service_hooks hooks = { .arg = p, .lost = on_lost, .applied = on_applied };
	static const struct timeval second = { .tv_sec = 1 };
	char error[STORE_ERROR > CA_ERROR ? STORE_ERROR : CA_ERROR], text[ENDPOINT_TEXT];

	p->ca = ca_load(s->directory, error);
	if (!p->ca || store_open(s->store, s->tls.ca ? &tls : NULL, &p->store, error)) {
		log_error("%s", error);
		return false;
	}
	p->service = service_open(p->base, p->store, &hooks, error);
	if (!p->service) {
		log_error("%s: %s", s->store, error);
		return false;
	}
	p->health = health_new(p->base, p->service, s, published, p);
	p->key = server_key(s->directory);
	if (!p->health || !p->key)
		return false;
	p->api = (struct api){ .service = p->service,
			       .url = own_url(s),
			       .health = p->health,
			       .ca = p->ca,
			       .users = s->users / ns_per_s,
			       .routers = s->routers / ns_per_s };
	if (!publish(p))
		return false;
	p->api.push = p->push;
	p->api.pin = pin_of(p->key);
	if (s->download && !(p->api.download = download_new(s)))
		return false;
	p->http = http_new(p->base, s->connections, HTTP_PATIENCE, api_handle, &p->api);
	if (!p->http || !certify(p, time(NULL)))
		return false;
	p->api.http = p->http;
	for (size_t i = 0; i < s->n_listen; i++) {
		int r = http_listen(p->http, &s->listen[i]);

		if (r) {
			log_error("%s: %s", endpoint_format(&s->listen[i], text), strerror(-r));
			return false;
		}
	}
	if (s->download && s->http.port) {
		int r = http_listen_plain(p->http, &s->http, download_plain, &p->api);

		if (r) {
			log_error("%s: %s", endpoint_format(&s->http, text), strerror(-r));
			return false;
		}
		log_warn("%s: VMs are served without TLS: who reads along has their keys",
			 endpoint_format(&s->http, text));
	}
	p->tick = event_new(p->base, -1, EV_PERSIST, on_tick, p);
	return p->tick && !event_add(p->tick, &second) &&
	       add_signal(p, &p->term, SIGTERM, on_stop) &&
	       add_signal(p, &p->interrupt, SIGINT, on_stop) &&
	       add_signal(p, &p->hangup, SIGHUP, on_hangup);
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

static void end(struct program *p)
{
	election_free(p->election); /* another one may have the routers, before they are told */
	lobby_free(p->api.lobby);
	http_free(p->http);
	download_free(p->api.download);
	free(p->api.pin);
	EVP_PKEY_free(p->key);
	if (p->push)
		push_end(p->push);
	free(p->api.url);
	service_close(p->service);
	push_free(p->push);
	health_free(p->health);
	if (p->store)
		store_close(p->store);
	ca_free(p->ca);
	free_event(p->term);
	free_event(p->interrupt);
	free_event(p->hangup);
	free_event(p->tick);
	if (p->base)
		event_base_free(p->base);
	settings_free(p->settings);
	libevent_global_shutdown();
}

static int serve(struct settings *settings)
{
	struct program p = { .settings = settings };
	const struct registry *r;

	signal(SIGPIPE, SIG_IGN);
	/* Images and buffers come and go: their memory is not the kernel's in between. */
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 32 << 20);
	log_set_debug(settings->debug);
	p.base = event_base_new();
	p.failed = !p.base || !start(&p);
	if (!p.failed) {
		r = service_registry(p.service);
		log_info("authority %s is up: %zu sites, %zu routers, %zu hosts, %zu VNs",
			 settings->names[0], registry_count(r, RECORD_SITE),
			 registry_count(r, RECORD_ROUTER), registry_count(r, RECORD_HOST),
			 registry_count(r, RECORD_VN));
		notify("READY=1");
		event_base_dispatch(p.base);
	}
	end(&p);
	return p.failed ? EXIT_FAILED : EXIT_DONE;
}

/* ---- the CA -------------------------------------------------------------------- */

static int replace_ca(const struct settings *s, const char *step)
{
	char error[CA_ERROR];
	int r;

	if (!strcmp(step, "next"))
		r = ca_next(s->directory, time(NULL), error);
	else if (!strcmp(step, "promote"))
		r = ca_promote(s->directory, error);
	else
		r = ca_drop(s->directory, error);
	if (r) {
		fprintf(stderr, "vine-authority: %s\n", error);
		return EXIT_FAILED;
	}
	if (!strcmp(step, "next"))
		puts("The next CA is trusted once vine-authority is told (SIGHUP).\n"
		     "When all users and routers have renewed since: vine-authority ca promote");
	else if (!strcmp(step, "promote"))
		puts("The next CA issues once vine-authority is told (SIGHUP).\n"
		     "When all users and routers have renewed since: vine-authority ca drop");
	else
		puts("The old CA is no longer trusted once vine-authority is told (SIGHUP).");
	return EXIT_DONE;
}

/* ---- arguments ----------------------------------------------------------------- */

static int wrong(const char *what, const char *argument)
{
	fprintf(stderr, "vine-authority: %s \"%s\"\n", what, argument);
	usage(stderr);
	return EXIT_USAGE;
}

static bool is_step(const char *word)
{
	return !strcmp(word, "next") || !strcmp(word, "promote") || !strcmp(word, "drop");
}

static int run(const char *command, const char *word, struct settings *s, bool only_check)
{
	int r = EXIT_DONE;

	if (!strcmp(command, "serve") && !only_check)
		return serve(s);
	if (!strcmp(command, "ca"))
		r = replace_ca(s, word);
	else if (!strcmp(command, "backup"))
		r = maintain_backup(s, word);
	else if (!strcmp(command, "check"))
		r = maintain_check(s);
	else if (!strcmp(command, "restored"))
		r = maintain_restored(s);
	settings_free(s);
	return r;
}

static int configured(const char *command, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'f' },
		{ "check", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *file = DEFAULT_CONFIG, *word = NULL;
	bool check = false, for_ca = !strcmp(command, "ca"), restores = !strcmp(command, "restore");
	struct settings *s;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'f': file = optarg; break;
		case 'c': check = true; break;
		case 'h': usage(stdout); return EXIT_DONE;
		default: usage(stderr); return EXIT_USAGE;
		}
	}
	if ((for_ca || restores || !strcmp(command, "backup")) && optind < argc)
		word = argv[optind++];
	if (optind < argc)
		return wrong("unexpected argument", argv[optind]);
	if (for_ca && (!word || !is_step(word)))
		return wrong("expected next, promote or drop, not", word ? word : "");
	if ((restores || !strcmp(command, "backup")) && !word)
		return wrong("expected a FILE after", command);
	if (restores)
		return maintain_restore(file, word);
	s = settings_load(file, stderr);
	return s ? run(command, word, s, check) : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const char *const configured_commands[] = { "serve",   "ca",	  "backup",
							   "restore", "restored", "check" };
	const char *command = argc > 1 ? argv[1] : "";
	json_t *description;

	if (!strcmp(command, "--version") || !strcmp(command, "-V")) {
		puts("vine-authority " VINE_VERSION);
		return EXIT_DONE;
	}
	if (!strcmp(command, "--help") || !strcmp(command, "-h")) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(command, "init"))
		return init_run(argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof(configured_commands) / sizeof(*configured_commands); i++)
		if (!strcmp(command, configured_commands[i]))
			return configured(command, argc - 1, argv + 1);
	if (!strcmp(command, "openapi") && argc == 2) {
		description = api_description();
		json_dumpf(description, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(description);
		return EXIT_DONE;
	}
	if (!*command) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return wrong("there is no command", command);
}
