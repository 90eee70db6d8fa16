/*
 * Many tinies at one full router. Each is the real one (tiny/tiny.c and the router's own code
 * below it: handshake, timers, retries), with a socket of its own, but without a kernel's device
 * and routes (tinies_twins.c); all are in one thread.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "common/inet.h"
#include "tiny/tiny.h"

#define LOOK (20 * MSEC)
#define ECHO_AGAIN SEC
#define NOTED_ROOM(n) (3 * (n) + 1000)
#define ECHO_LEN 36 /* IPv4, ICMP, 8 bytes */

struct client {
	struct tiny *tiny;
	struct device *device;
	uint32_t address;
	bool noted, back;
	mono_t asked;
	int64_t left, keyed, answered; /* ns after the beginning: its router is no more up, ... */
};

static struct bench {
	struct loop *loop;
	struct client *clients;
	size_t n, n_back, n_noted;
	struct client **noted;
	uint32_t host;
	uint32_t round;
	char name[40];
	mono_t begun;
	bool under_way, stop;
	struct timer look;
	struct source commands;
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

void device_taken(void *arg, struct device *d, const uint8_t *packet, size_t len)
{
	struct client *c;

	(void)arg;
	if (len != ECHO_LEN || packet[9] != IPPROTO_ICMP || packet[20] != 0 ||
	    memcmp(packet + 12, &bench.host, 4) || memcmp(packet + 28, &bench.round, 4))
		return;
	c = client_of(packet + 16);
	if (!c || c->device != d || c->back)
		return;
	c->back = true;
	c->answered = mono_since(clock_now(), bench.begun);
	bench.n_back++;
}

/* ---- measurements -------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void print_quantiles(const char *name, size_t field)
{
	static const double part[] = { 0, 0.5, 0.9, 0.99, 1 };
	static const char *const word[] = { "first", "p50", "p90", "p99", "last" };
	int64_t *all = malloc(bench.n * sizeof(*all));

	if (!all)
		fail("out of memory");
	for (size_t i = 0; i < bench.n; i++)
		memcpy(&all[i], (char *)&bench.clients[i] + field, sizeof(*all));
	qsort(all, bench.n, sizeof(*all), compare);
	printf(", \"%s\": {", name);
	for (size_t i = 0; i < 5; i++)
		printf("%s\"%s\": %.3f", i ? ", " : "", word[i],
		       (double)all[(size_t)(part[i] * (double)(bench.n - 1))] / (double)SEC);
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

static void begin(const char *name, mono_t now)
{
	snprintf(bench.name, sizeof(bench.name), "%s", name);
	bench.begun = now;
	bench.round++;
	bench.n_back = 0;
	bench.under_way = true;
	for (size_t i = 0; i < bench.n; i++) {
		struct client *c = &bench.clients[i];

		c->back = false;
		c->left = c->keyed = 0;
		c->asked = (mono_t){ 0 };
	}
}

static void finish(void)
{
	bench.under_way = false;
	printf("{\"event\": \"%s\", \"tinies\": %zu", bench.name, bench.n);
	print_quantiles("left", offsetof(struct client, left));
	print_quantiles("keyed", offsetof(struct client, keyed));
	print_quantiles("back", offsetof(struct client, answered));
	printf(", \"own_cpu\": %.2f}\n", own_time());
	fflush(stdout);
}

static void look_at(struct client *c, mono_t now)
{
	const struct contact *r = c->tiny ? tiny_router(c->tiny) : NULL;
	bool fresh = r && keying_is_ready(&r->keying) && !mono_before(r->keying.made, bench.begun);

	if (r && !c->left && (!r->up || r->dead || !keying_is_ready(&r->keying)))
		c->left = mono_since(now, bench.begun);
	if (!fresh || c->back)
		return;
	if (!c->keyed)
		c->keyed = mono_since(r->keying.made, bench.begun);
	/* once it knows which network it is in */
	if (c->tiny->network.id &&
	    (!mono_is_set(c->asked) || mono_since(now, c->asked) >= ECHO_AGAIN))
		ask(c, now);
}

static void look(struct timer *t, mono_t now)
{
	timer_set(bench.loop, t, mono_add(now, LOOK));
	if (!bench.under_way)
		return;
	for (size_t i = 0; i < bench.n; i++)
		look_at(&bench.clients[i], now);
	if (bench.n_back == bench.n)
		finish();
}

static void command(struct source *s, uint32_t events, mono_t now)
{
	static char line[sizeof(bench.name)];
	ssize_t n = read(s->fd, line, sizeof(line) - 1);

	(void)events;
	if (n > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		begin(line, now);
	} else {
		bench.stop = true;
	}
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
	c->tiny->router->workers[0].note_sent = note_sent;
	c->tiny->router->workers[0].note_arg = c;
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

int main(int argc, char **argv)
{
	struct rlimit files = { 1 << 20, 1 << 20 };
	uint32_t first;

	if (argc != 7 || id_parse(argv[4], &first) ||
	    inet_pton(AF_INET, argv[6], &bench.host) != 1) {
		fputs("usage: tinies ROUTER:PORT ROUTER-ID KEY-FILE FIRST-ID NUMBER HOST\n",
		      stderr);
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	bench.n = (size_t)atol(argv[5]);
	bench.clients = calloc(bench.n + 1, sizeof(*bench.clients));
	bench.noted = calloc(NOTED_ROOM(bench.n) + 1, sizeof(struct client *));
	bench.loop = loop_new();
	bench.commands = (struct source){ .fd = STDIN_FILENO, .fn = command };
	mallopt(M_MMAP_THRESHOLD, 32 << 20); /* there are bounds for the number of mappings */
	rcu_register_thread();
	if (!bench.clients || !bench.noted || !bench.loop ||
	    loop_add(bench.loop, &bench.commands, EPOLLIN))
		fail("out of memory, or standard input is no pipe");
	bench.look.fn = look;
	timer_set(bench.loop, &bench.look, clock_now());
	for (size_t i = 0; i < bench.n; i++) {
		open_client(&bench.clients[i], i, argv, first);
		/* those before it go on meanwhile, as on machines of their own */
		turn(0);
	}
	printf("{\"open\": true}\n");
	fflush(stdout);
	while (!bench.stop)
		turn(-1);
	_exit(0); /* its tinies say no goodbye */
}
