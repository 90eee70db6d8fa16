/*
 * The authority at size: a real vine-authority on SQLite, and routers that are simulated by
 * this process (routers.h), in a network namespace of their own.
 *
 *   authority VINE-AUTHORITY ROUTERS [SECONDS]
 *
 * as root; a line of JSON (figures.py) on stdout. SECONDS are for idling, 10 unless told.
 *
 *   1. init; records and certificates of so many routers are made (world.h)
 *   2. serve: until it is up
 *   3. cold start: all routers at once, with nothing; until the last has confirmed
 *   4. idle: heartbeats and signs of life alone
 *   5. operations, one after the other, each until the last router that it touches has
 *      confirmed its last step; then the same without heartbeats, for the processor's time
 *   6. the authority is ended and started again; until all routers are back
 *
 * Both share the machine's processors, each is hardly more than one thread.
 */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authority/ca.h"
#include "authority/store.h"
#include "common/clock.h"
#include "common/pki.h"
#include "tests/bench/routers.h"
#include "tests/bench/world.h"

enum {
	PORT = 8464,
	IDLE = 10,  /* seconds: every router's heartbeats and signs of life */
	LONG = 110, /* ... that anything may take */
	CREATES = LONG + 1,
	LIFE = 90 * 86400, /* seconds: of certificates, so that none is about to end */
	SPARE = 200,	   /* descriptors that are for other things */
	TOLD = 20,	   /* lines of the authority's log */
	BATCH = 2000,	   /* records in one transaction */
};

static struct bench {
	unsigned n, seconds;
	unsigned creates; /* operations that a median is of */
	const char *program;
	char directory[64], file[80];
	struct event_base *base;
	struct identity *identities, admin;
	char **keys; /* public ones */
	struct routers_plan plan;
	struct routers *routers;
	/* The authority. */
	pid_t pid;
	FILE *log;
	struct event *logging;
	unsigned told; /* lines of its log that were shown */
	/* The administrator. */
	struct client client;
	int status;    /* of its last request's answer; 0: none yet */
	double silent; /* what the authority takes of a processor when nobody says anything */
	/* What comes of it. */
	json_t *figures;
} bench;

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("tests/bench/authority: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void figure(const char *name, double value)
{
	json_object_set_new(bench.figures, name, json_real(value));
	fprintf(stderr, "  %-24s %10.3f\n", name, value);
}

static double now(void)
{
	return (double)clock_now().ns / SEC;
}

/* ---- the authority's process ----------------------------------------------------- */

/* Seconds of processor time until now. */
static double cpu(void)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (!clock_getcpuclockid(bench.pid, &clock))
		clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* MB, of a line of /proc/PID/status. */
static double memory(const char *line)
{
	char path[64], text[128];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)bench.pid);
	f = fopen(path, "r");
	while (f && fgets(text, sizeof(text), f))
		if (!strncmp(text, line, strlen(line)))
			kb = strtoul(text + strlen(line) + 1, NULL, 10);
	if (f)
		fclose(f);
	return (double)kb * 1024 / 1e6;
}

static pid_t run(char *const argv[], int output)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (output >= 0 && (dup2(output, 1) < 0 || dup2(output, 2) < 0))
		_exit(127);
	execv(argv[0], argv);
	_exit(127);
}

/* The first lines after it is up are shown: it has nothing to say if all is well. */
static void on_log(evutil_socket_t fd, short events, void *arg)
{
	char text[4096];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	(void)events, (void)arg;
	text[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		event_del(bench.logging);
	else if (bench.told++ < TOLD)
		fprintf(stderr, "%.*s\n", (int)strcspn(text, "\n"), text);
}

/* Returns when it is up. */
static void serve(void)
{
	char *argv[] = { (char *)bench.program, "serve", "--config", bench.file, NULL };
	char line[512];
	int pipes[2];

	if (pipe(pipes))
		fail("pipe: %s", strerror(errno));
	bench.pid = run(argv, pipes[1]);
	close(pipes[1]);
	bench.log = fdopen(pipes[0], "r");
	while (fgets(line, sizeof(line), bench.log))
		if (strstr(line, " is up: ")) {
			bench.logging =
				event_new(bench.base, pipes[0], EV_READ | EV_PERSIST, on_log, NULL);
			event_add(bench.logging, NULL);
			return;
		}
	fail("the authority has not started: %s", line);
}

static void end_authority(void)
{
	if (bench.pid <= 0)
		return;
	kill(bench.pid, SIGTERM);
	waitpid(bench.pid, NULL, 0);
	bench.pid = 0;
	event_free(bench.logging);
	fclose(bench.log);
}

static void on_exit_clean(void)
{
	char *argv[] = { "/bin/rm", "-rf", bench.directory, NULL };

	end_authority();
	if (*bench.directory)
		waitpid(run(argv, -1), NULL, 0);
}

/* ---- what it begins with ------------------------------------------------------------ */

struct loading {
	struct store *store;
	struct store_entry *entries;
	size_t n;
};

static void commit(struct loading *l)
{
	struct store_transaction t = { .changes = l->entries, .n_changes = l->n };
	char error[STORE_ERROR];

	if (l->n && store_commit(l->store, &t, NULL)) {
		store_error(l->store, error);
		fail("%s", error);
	}
	for (size_t i = 0; i < l->n; i++) {
		free((void *)l->entries[i].key);
		free((void *)l->entries[i].value);
	}
	l->n = 0;
}

static void load(void *arg, const char *key, json_t *value)
{
	struct loading *l = arg;
	char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;

	if (!text)
		fail("%s: not JSON", key);
	l->entries[l->n++] =
		(struct store_entry){ .key = strdup(key), .value = text, .size = strlen(text) };
	json_decref(value);
	if (l->n == BATCH)
		commit(l);
}

static struct identity identify(struct ca *ca, enum ca_kind kind, const char *name)
{
	EVP_PKEY *key = pki_key_new();

	return (struct identity){ ca_issue(ca, kind, name, key, time(NULL), LIFE, NULL, 0), key };
}

static void make_identities(struct ca *ca)
{
	char name[32];

	bench.identities = calloc(bench.n, sizeof(*bench.identities));
	bench.keys = calloc(bench.n, sizeof(*bench.keys));
	bench.admin = identify(ca, CA_USER, WORLD_ADMIN);
	for (unsigned i = 0; i < bench.n; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		bench.identities[i] = identify(ca, CA_ROUTER, name);
		bench.keys[i] = pki_key_text(bench.identities[i].key);
	}
}

static void make_records(void)
{
	struct loading l = { .entries = calloc(BATCH, sizeof(*l.entries)) };
	char url[96], error[STORE_ERROR], *key = pki_key_text(bench.admin.key);

	snprintf(url, sizeof(url), "sqlite:%s/a/store.db", bench.directory);
	if (store_open(url, NULL, &l.store, error))
		fail("%s", error);
	world_make(bench.n, key, bench.keys, load, &l);
	commit(&l);
	store_close(l.store);
	free(l.entries);
	free(key);
}

static void begin(void)
{
	char directory[80];
	char *init[] = { (char *)bench.program, "init",	   "--directory", directory, "--name",
			 "127.0.0.1",		"--admin", WORLD_ADMIN,	  NULL };
	char error[CA_ERROR];
	size_t len = SIGN_KEY;
	struct ca *ca;
	int status;
	FILE *f;

	strcpy(bench.directory, "/tmp/bench-authority.XXXXXX");
	if (!mkdtemp(bench.directory))
		fail("%s: %s", bench.directory, strerror(errno));
	snprintf(directory, sizeof(directory), "%s/a", bench.directory);
	snprintf(bench.file, sizeof(bench.file), "%s/conf", bench.directory);
	f = fopen("/dev/null", "w");
	waitpid(run(init, fileno(f)), &status, 0);
	fclose(f);
	ca = status ? NULL : ca_load(directory, error);
	if (!ca)
		fail("vine-authority init: %s", status ? "it failed" : error);
	f = fopen(bench.file, "w");
	fprintf(f,
		"[server]\nlisten = 127.0.0.1:%d\nnames = 127.0.0.1\n[store]\nurl = "
		"sqlite:%s/store.db\n[certificates]\ndirectory = %s\n"
		"[routers]\nsilence = 10m\ndisable = 10m\n", /* some are silent on purpose */
		PORT, directory, directory);
	fclose(f);
	EVP_PKEY_get_raw_public_key(ca_table_key(ca), bench.plan.tables_key, &len);
	bench.plan.context = client_context(ca_store(ca));
	make_identities(ca);
	ca_free(ca);
	make_records();
}

/* A namespace in which there is nothing else. */
static void isolate(void)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	FILE *ports;
	int fd;

	if (unshare(CLONE_NEWNET))
		fail("no network namespace (%s): it has to be run as root", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &up))
		fail("lo: %s", strerror(errno));
	close(fd);
	ports = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");
	if (ports) {
		fputs("10000 65535\n", ports);
		fclose(ports);
	}
}

/* ---- waiting ------------------------------------------------------------------------ */

typedef bool done_fn(unsigned n);

static bool is_current(unsigned n)
{
	return routers_figures(bench.routers).current >= n;
}

static bool is_attached(unsigned n)
{
	return routers_figures(bench.routers).attached >= n;
}

static bool is_away(unsigned n)
{
	return routers_figures(bench.routers).attached <= n;
}

static bool is_final(unsigned n)
{
	return bench.status && routers_figures(bench.routers).final >= n;
}

static void on_time(evutil_socket_t fd, short events, void *arg)
{
	(void)fd, (void)events;
	*(bool *)arg = true;
}

/* Seconds that it took. */
static double until(done_fn *done, unsigned n, const char *what)
{
	struct timeval time = { .tv_sec = done ? LONG : (time_t)bench.seconds };
	bool over = false;
	struct event *timer = evtimer_new(bench.base, on_time, &over);
	double start = now();

	event_add(timer, &time);
	while (!over && !(done && done(n)))
		event_base_loop(bench.base, EVLOOP_ONCE);
	event_free(timer);
	if (done && over) {
		struct routers_figures f = routers_figures(bench.routers);

		fail("%s: not in %d s (%u attached, %u current, %u final, %u failures)", what, LONG,
		     f.attached, f.current, f.final, f.failures);
	}
	return now() - start;
}

/* ---- the administrator -------------------------------------------------------------- */

static void on_opened(struct client *c)
{
	(void)c;
	bench.status = 1;
}

static void on_data(struct client *c, const char *data, size_t len)
{
	if (c->status != 200)
		fail("refused: %.*s", (int)len, data);
}

static void on_done(struct client *c, int status)
{
	(void)c;
	bench.status = status;
}

static void on_lost(struct client *c)
{
	(void)c;
	fail("the administrator's connection was lost");
}

static bool has_answer(unsigned n)
{
	(void)n;
	return bench.status != 0;
}

static void ask(const char *method, const char *path, json_t *body)
{
	static const struct client_calls calls = { on_opened, on_data, on_done, on_lost };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (!bench.client.b) {
		bench.status = 0;
		bench.client.calls = &calls;
		client_open(&bench.client, bench.base, bench.plan.context, &bench.admin, 1 << 16,
			    PORT);
		until(has_answer, 0, "the administrator's connection");
	}
	bench.status = 0;
	routers_mark(bench.routers);
	client_send(&bench.client, method, path, text);
	json_decref(body);
	free(text);
}

/* ---- operations ----------------------------------------------------------------------- */

struct cost {
	double seconds, cpu;
	double bytes;
};

/* From the request to the last of so many confirmations. Takes over the body. */
static struct cost operate_on(const char *path, json_t *body, unsigned touched)
{
	uint64_t bytes = routers_figures(bench.routers).bytes;
	double from = cpu(), start = now();
	struct cost c;

	ask("POST", path, body);
	until(is_final, touched, path);
	c.seconds = now() - start;
	c.cpu = cpu() - from - bench.silent * c.seconds;
	c.bytes = (double)(routers_figures(bench.routers).bytes - bytes);
	return c;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* A VN of a host of each of two routers, far apart and others each time. The two are in no
 * other VN together. */
static void create_vns(unsigned round, double *seconds, double *work)
{
	const unsigned n = bench.creates;

	for (unsigned i = 0; i < n; i++) {
		unsigned a = (2 * i + round) * (bench.n / (4 * n));
		json_t *hosts = world_hosts(a * WORLD_HOSTS, 2, bench.n / 2 * WORLD_HOSTS + 1);
		json_t *body = json_pack("{s:o,s:o}", "name", json_sprintf("c%u-%u", round, i),
					 "hosts", hosts);
		struct cost c = operate_on("/v1/vns", body, 2);

		seconds[i] = c.seconds;
		work[i] = c.cpu;
	}
	qsort(seconds, n, sizeof(*seconds), compare);
	qsort(work, n, sizeof(*work), compare);
}

static void large(const char *what, const char *path, json_t *body, unsigned touched)
{
	struct cost c = operate_on(path, body, touched);
	char text[64];

	snprintf(text, sizeof(text), "%s_routers", what);
	figure(text, touched);
	snprintf(text, sizeof(text), "%s_s", what);
	figure(text, c.seconds);
	snprintf(text, sizeof(text), "%s_cpu_s", what);
	figure(text, c.cpu);
	snprintf(text, sizeof(text), "%s_mb", what);
	figure(text, c.bytes / 1e6);
}

static void merge(const char *what, const char *a, const char *b, unsigned touched)
{
	large(what, "/v1/merge", json_pack("{s:[s,s],s:s}", "vns", a, b, "name", what), touched);
}

/* Two VNs that are spread over all, and their merger. */
static void merge_spread(void)
{
	unsigned first = world_first_spread(bench.n), routers = world_spread(bench.n);
	unsigned each = WORLD_LARGE < bench.n ? WORLD_LARGE : bench.n;

	large("wide", "/v1/vns",
	      json_pack("{s:s,s:o}", "name", "s1", "hosts", world_hosts(first, WORLD_LARGE, 1)),
	      each);
	operate_on("/v1/vns",
		   json_pack("{s:s,s:o}", "name", "s2", "hosts",
			     world_hosts(first + WORLD_LARGE, WORLD_LARGE, 1)),
		   each);
	merge("spread", "s1", "s2", routers);
}

static void operations(void)
{
	double seconds[CREATES], work[CREATES], from;
	char a[16], b[16];

	create_vns(0, seconds, work);
	figure("create_s", seconds[bench.creates / 2]);
	figure("create_worst_s", seconds[bench.creates - 1]);
	routers_beat(bench.routers, false);
	from = cpu();
	until(NULL, 0, "silence");
	bench.silent = (cpu() - from) / bench.seconds;
	figure("silent_cpu_percent", bench.silent * 100);
	create_vns(1, seconds, work);
	figure("create_cpu_ms", work[bench.creates / 2] * 1e3);
	snprintf(a, sizeof(a), "v%u", bench.n + 1);
	snprintf(b, sizeof(b), "v%u", bench.n + 2);
	merge("dense", a, b, world_dense(bench.n));
	merge_spread();
	routers_beat(bench.routers, true);
}

/* ---- all ------------------------------------------------------------------------------ */

static void measure(void)
{
	double start = now(), from;
	struct routers_figures f;

	serve();
	figure("start_s", now() - start);
	figure("start_mb", memory("VmRSS"));
	from = cpu();
	routers_start(bench.routers);
	figure("cold_s", until(is_current, bench.n, "cold start"));
	figure("cold_cpu_s", cpu() - from);
	f = routers_figures(bench.routers);
	figure("cold_stream_mb", (double)f.bytes / 1e6);
	figure("cold_failures", f.failures);
	from = cpu();
	figure("idle_cpu_percent", (until(NULL, 0, "idle"), (cpu() - from) / bench.seconds * 100));
	figure("idle_beats_per_s",
	       (routers_figures(bench.routers).beats - f.beats) / (double)bench.seconds);
	figure("idle_mb", memory("VmRSS"));
	operations();
	figure("most_mb", memory("VmHWM"));
	client_close(&bench.client);
	start = now();
	end_authority();
	figure("end_s", now() - start);
	until(is_away, 0, "the routers' noticing");
	start = now();
	serve();
	until(is_attached, bench.n, "restart");
	figure("again_s", now() - start);
	figure("again_cpu_s", cpu());
	figure("verified", routers_figures(bench.routers).verified);
}

static void print_result(double own)
{
	struct utsname os;
	json_t *line;

	uname(&os);
	line = json_pack("{s:s,s:s,s:s,s:i,s:s,s:i,s:s,s:s,s:s,s:i,s:I,s:o,s:{}}", "part",
			 "authority", "case", "", "kind", "vine", "round", 1, "version",
			 VINE_VERSION, "seconds", (int)bench.seconds, "offload", "", "line", "",
			 "kernel", os.release, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN), "time",
			 (json_int_t)time(NULL), "figures", bench.figures, "failed");
	json_object_set_new(line, "case", json_sprintf("%u", bench.n));
	json_object_set_new(bench.figures, "simulating_cpu_s", json_real(own));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct rusage own;
	unsigned room;

	bench.n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	bench.seconds = argc > 3 ? (unsigned)atoi(argv[3]) : IDLE;
	bench.creates = bench.seconds + 1;
	if (argc < 3 || argc > 4 || !bench.seconds || bench.seconds > LONG ||
	    bench.n < 4 * bench.creates || bench.n < WORLD_HOSTS * 2) {
		fputs("usage: authority VINE-AUTHORITY ROUTERS [SECONDS]\n"
		      "(20 routers at least, and four for each second and one more)\n",
		      stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	bench.program = argv[1];
	isolate();
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	room = (unsigned)files.rlim_cur - bench.n - SPARE;
	atexit(on_exit_clean);
	begin();
	bench.base = event_base_new();
	bench.figures = json_object();
	bench.plan.base = bench.base;
	bench.plan.port = PORT;
	bench.plan.n = bench.n;
	bench.plan.beating = room < bench.n ? room : bench.n;
	bench.plan.routers = bench.identities;
	bench.routers = routers_new(&bench.plan);
	fprintf(stderr, "%u routers\n", bench.n);
	figure("beating", bench.plan.beating);
	measure();
	getrusage(RUSAGE_SELF, &own);
	routers_free(bench.routers);
	print_result((double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
		     (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6);
	return 0;
}
