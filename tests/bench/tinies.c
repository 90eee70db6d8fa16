/*
 * Many tinies at one full router. Each is the real one (tiny/tiny.c and the router's own code
 * below it: handshake, timers, retries), with a socket of its own, but without a kernel's device
 * and routes (tinies_twins.c). A process of one thread has some thousands of them, as many as
 * it has descriptors for; they share what they measure with the first one, which has none.
 *
 *   tinies ROUTER:PORT ROUTER-ID KEY-FILE FIRST-ID NUMBER HOST < COMMANDS
 *
 * A line of standard input, whatever is in it, begins a measurement of that name: until each
 * tiny has new keys and HOST, behind the router, has answered an echo request that the tiny has
 * sent since. Nothing is sent before it has them, so that it is what an idle one does. A line
 * of JSON says how long it took, by quantiles; one says when all are open. The end of input ends it.
 */
#include "tests/bench/tinies.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "tiny/tiny.h"

#define LOOK (20 * MSEC)
#define ECHO_AGAIN SEC
#define NOTED_ROOM(n) (3 * (n) + 1000)
#define DESCRIPTORS 6 /* of a tiny */
#define PROCESSES 64
#define FIRST_PORT 9000
#define ECHO_LEN 36 /* IPv4, ICMP, 8 bytes */

struct client {
	struct tiny *tiny;
	struct device *device;
	uint32_t address;
	bool noted, back;
	mono_t asked;
	int64_t left, keyed, answered; /* ns after the beginning: its router is no more up, ... */
};

/* What the processes share. */
static struct common {
	_Atomic(uint32_t) round; /* the measurement under way: counts them */
	mono_t begun;
	char name[40];
	struct {
		atomic_size_t opened, back;
		_Atomic(uint32_t) round; /* it has begun this one */
		double cpu;		 /* s, its own */
	} process[PROCESSES];
	struct client clients[];
} * shared;

/* A process's own. */
static struct bench {
	struct loop *loop;
	struct client *clients;
	size_t number, n, n_noted;
	struct client **noted;
	uint32_t host;
	uint32_t round;
	struct timer look;
} bench;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "tinies: %s\n", what);
	exit(1);
}

/* ---- echoes ------------------------------------------------------------------------ */

static void put_sum(uint8_t *at, const void *data, size_t len)
{
	uint64_t sum = inet_sum(data, len, 0);
	uint16_t folded;

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	memcpy(at, &folded, sizeof(folded));
}

static void ask(struct client *c, mono_t now)
{
	uint8_t p[ECHO_LEN] = { 0x45, 0, 0, ECHO_LEN, 0, 0, 0x40, 0, 64, IPPROTO_ICMP };

	c->asked = now;
	memcpy(p + 12, &c->address, 4);
	memcpy(p + 16, &bench.host, 4);
	p[20] = 8; /* echo request */
	memcpy(p + 28, &bench.round, 4);
	put_sum(p + 10, p, 20);
	put_sum(p + 22, p + 20, ECHO_LEN - 20);
	device_feed(c->device, p, sizeof(p));
}

static struct client *client_of(const uint8_t *address)
{
	uint32_t a, first = ntohl(bench.clients[0].address);

	memcpy(&a, address, 4);
	a = ntohl(a);
	return a >= first && a - first < bench.n ? &bench.clients[a - first] : NULL;
}

void device_taken(void *arg, const uint8_t *packet, size_t len)
{
	struct client *c;

	(void)arg;
	if (len != ECHO_LEN || packet[9] != IPPROTO_ICMP || packet[20] != 0 ||
	    memcmp(packet + 12, &bench.host, 4) || memcmp(packet + 28, &bench.round, 4))
		return;
	c = client_of(packet + 16);
	if (!c || c->back)
		return;
	c->back = true;
	c->answered = mono_since(clock_now(), shared->begun);
	atomic_fetch_add(&shared->process[bench.number].back, 1);
}

/* ---- measurements -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void print_quantiles(const char *name, size_t field, size_t n)
{
	static const double part[] = { 0, 0.5, 0.9, 0.99, 1 };
	static const char *const word[] = { "first", "p50", "p90", "p99", "last" };
	int64_t *all = malloc(n * sizeof(*all));

	if (!all)
		fail("out of memory");
	for (size_t i = 0; i < n; i++)
		memcpy(&all[i], (char *)&shared->clients[i] + field, sizeof(*all));
	qsort(all, n, sizeof(*all), compare);
	printf(", \"%s\": {", name);
	for (size_t i = 0; i < 5; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", word[i],
		       (double)all[(size_t)(part[i] * (double)(n - 1))] / (double)SEC);
	printf("}");
	free(all);
}

static double own_time(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Of a process's own: another measurement has begun. */
static void begin(uint32_t round)
{
	bench.round = round;
	for (size_t i = 0; i < bench.n; i++) {
		struct client *c = &bench.clients[i];

		c->back = false;
		c->left = c->keyed = 0;
		c->asked = (mono_t){ 0 };
	}
	atomic_store(&shared->process[bench.number].back, 0);
	atomic_store(&shared->process[bench.number].round, round);
}

static void look_at(struct client *c, mono_t now)
{
	const struct contact *r = c->tiny ? tiny_router(c->tiny) : NULL;
	bool fresh =
		r && keying_is_ready(&r->keying) && !mono_before(r->keying.made, shared->begun);

	if (r && !c->left && (!r->up || r->dead || !keying_is_ready(&r->keying)))
		c->left = mono_since(now, shared->begun);
	if (!fresh || c->back)
		return;
	if (!c->keyed)
		c->keyed = mono_since(r->keying.made, shared->begun);
	/* once it knows which network it is in */
	if (c->tiny->network.id &&
	    (!mono_is_set(c->asked) || mono_since(now, c->asked) >= ECHO_AGAIN))
		ask(c, now);
}

static void look(struct timer *t, mono_t now)
{
	uint32_t round = atomic_load(&shared->round);

	timer_set(bench.loop, t, mono_add(now, LOOK));
	if (round != bench.round)
		begin(round);
	for (size_t i = 0; round && i < bench.n; i++)
		look_at(&bench.clients[i], now);
	shared->process[bench.number].cpu = own_time();
}

/* ---- tinies ---------------------------------------------------------------------------- */

static void note_sent(void *arg)
{
	struct client *c = arg;

	if (c->noted)
		return;
	c->noted = true;
	bench.noted[bench.n_noted++] = c;
}

static void open_client(struct client *c, size_t i, char **argv, uint32_t first)
{
	uint32_t address = 0x0a010001 + (uint32_t)i;
	char text[600], ip[INET_ADDRSTRLEN];
	struct tiny_config *config;

	c->address = htonl(address);
	inet_ntop(AF_INET, &c->address, ip, sizeof(ip));
	snprintf(text, sizeof(text),
		 "[tiny]\nname = v%zu\nid = %u\nrouter = %s\nrouter-id = %s\nprotocol = udp\n"
		 "networks = 172.16.0.0/12\naddress = %s\nkey-file = %s\n",
		 i, first + (uint32_t)i, argv[1], argv[2], ip, argv[3]);
	config = tiny_config_parse("tinies", text, strlen(text), true, stderr);
	c->tiny = config ? tiny_open(config, bench.loop, clock_now(), stderr) : NULL;
	if (!c->tiny)
		fail("a tiny can't be opened");
	c->device = device_last();
	for (unsigned w = 0; w < c->tiny->router->n_workers; w++) {
		c->tiny->router->workers[w].note_sent = note_sent;
		c->tiny->router->workers[w].note_arg = c;
	}
}

static void turn(int64_t wait)
{
	mono_t now = loop_turn(bench.loop, wait);

	/* those that note something meanwhile are at the end of the list */
	for (size_t i = 0; i < bench.n_noted; i++) {
		bench.noted[i]->noted = false;
		if (!tiny_turn(bench.noted[i]->tiny, now))
			fail("a device is gone");
		if (bench.n_noted == NOTED_ROOM(bench.n))
			fail("notes without end");
	}
	bench.n_noted = 0;
}

/* A process of its own with its tinies: to the end. */
static _Noreturn void work(size_t number, struct client *clients, size_t n, char **argv,
			   uint32_t first)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* its tinies say no goodbye */
	sockets_from((uint16_t)(FIRST_PORT + (clients - shared->clients)));
	bench.number = number;
	bench.clients = clients;
	bench.n = n;
	bench.noted = calloc(NOTED_ROOM(n) + 1, sizeof(struct client *));
	bench.loop = loop_new();
	mallopt(M_MMAP_THRESHOLD, 32 << 20); /* there are bounds for the number of mappings */
	rcu_register_thread();
	if (!bench.noted || !bench.loop)
		fail("out of memory");
	bench.look.fn = look;
	timer_set(bench.loop, &bench.look, clock_now());
	for (size_t i = 0; i < n; i++) {
		open_client(&clients[i], (size_t)(&clients[i] - shared->clients), argv, first);
		atomic_fetch_add(&shared->process[number].opened, 1);
		/* those before it go on meanwhile, as on machines of their own */
		turn(0);
	}
	for (;;)
		turn(-1);
}

static size_t all_back(void)
{
	size_t n = 0;

	for (size_t i = 0; i < PROCESSES; i++)
		if (atomic_load(&shared->process[i].round) == atomic_load(&shared->round))
			n += atomic_load(&shared->process[i].back);
	return n;
}

static size_t all_opened(void)
{
	size_t n = 0;

	for (size_t i = 0; i < PROCESSES; i++)
		n += atomic_load(&shared->process[i].opened);
	return n;
}

static void report(size_t n)
{
	double cpu = 0;

	for (size_t i = 0; i < PROCESSES; i++)
		cpu += shared->process[i].cpu;
	printf("{\"event\": \"%s\", \"tinies\": %zu", shared->name, n);
	print_quantiles("left", offsetof(struct client, left), n);
	print_quantiles("keyed", offsetof(struct client, keyed), n);
	print_quantiles("back", offsetof(struct client, answered), n);
	printf(", \"own_cpu\": %.2f}\n", cpu);
}

/* The first one: passes on what is asked for, until there is nothing more to be. */
static void lead(size_t n)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	bool opened = false, under_way = false;
	ssize_t len = 1;

	while (len > 0) {
		if (poll(&input, 1, (int)(LOOK / MSEC)) > 0) {
			len = read(STDIN_FILENO, shared->name, sizeof(shared->name) - 1);
			shared->name[len > 0 ? len : 0] = '\0';
			shared->name[strcspn(shared->name, "\n")] = '\0';
			shared->begun = clock_now();
			atomic_fetch_add(&shared->round, 1);
			under_way = true;
		}
		if (!opened && all_opened() == n) {
			opened = true;
			puts("{\"open\": true}");
		}
		if (under_way && all_back() == n) {
			under_way = false;
			report(n);
		}
		fflush(stdout);
	}
}

/* How many tinies a process may have. */
static size_t room(void)
{
	struct rlimit files = { 1 << 20, 1 << 20 };

	if (setrlimit(RLIMIT_NOFILE, &files)) { /* one may not raise it */
		getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return files.rlim_cur / DESCRIPTORS - 100;
}

int main(int argc, char **argv)
{
	uint32_t first;
	size_t n, each, processes;

	if (argc != 7 || id_parse(argv[4], &first) ||
	    inet_pton(AF_INET, argv[6], &bench.host) != 1) {
		fputs("usage: tinies ROUTER:PORT ROUTER-ID KEY-FILE FIRST-ID NUMBER HOST\n",
		      stderr);
		return 2;
	}
	n = (size_t)atol(argv[5]);
	processes = (n - 1) / room() + 1;
	each = (n - 1) / processes + 1;
	shared = mmap(NULL, sizeof(*shared) + n * sizeof(struct client), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || processes > PROCESSES || n > UINT16_MAX - FIRST_PORT)
		fail("out of memory, descriptors or ports");
	for (size_t i = 0; i < processes; i++) {
		size_t from = i * each;

		switch (fork()) {
		case -1: fail("no more processes");
		case 0:
			work(i, &shared->clients[from], n - from < each ? n - from : each, argv,
			     first);
		}
	}
	lead(n);
	return 0;
}
