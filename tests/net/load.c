/*
 * load: many flows of UDP and TCP between two hosts, every byte of which is checked.
 *
 *   load serve PORT            takes them, until it is ended
 *   load send [OPTION...] PORT IPV4 IPV6
 *     -t SECONDS   how long (10)
 *     -u FLOWS     of UDP (48)         -p PACKETS   a second, of all of them (2000)
 *     -c FLOWS     of TCP (8)          -r BYTES     a second, of each (2000000)
 *
 * The sender's flows go to both addresses in turn. It prints one JSON object at its end,
 * and a line to stderr for each flow that has lost, doubled, reordered or altered
 * packets. Exit status 0: it ran to its end, whatever was lost.
 */
#include "tests/net/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#define TCP_MAX 64

/* ---- small things ------------------------------------------------------------ */

void die(const char *what)
{
	perror(what);
	exit(1);
}

void *memory(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (!p)
		die("memory");
	return p;
}

/* splitmix64 */
uint64_t mix(uint64_t seed, uint64_t i)
{
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void fill(uint64_t seed, uint64_t from, uint8_t *out, size_t len)
{
	while (len) {
		uint64_t word = mix(seed, from / 8);
		size_t skip = from % 8, n = len < 8 - skip ? len : 8 - skip;

		memcpy(out, (uint8_t *)&word + skip, n);
		out += n;
		from += n;
		len -= n;
	}
}

void sha256(const void *data, size_t len, uint8_t ret[static DIGEST])
{
	if (EVP_Digest(data, len, ret, NULL, EVP_sha256(), NULL) != 1)
		die("SHA-256");
}

void xor_digest(uint8_t a[static DIGEST], const uint8_t b[static DIGEST])
{
	for (int i = 0; i < DIGEST; i++)
		a[i] ^= b[i];
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void wait_until(double then)
{
	double left = then - now();
	struct timespec t = { .tv_sec = (time_t)left,
			      .tv_nsec = (long)((left - (double)(time_t)left) * 1e9) };

	if (left > 0)
		ppoll(NULL, 0, &t, NULL);
}

bool send_all(int fd, const void *data, size_t len)
{
	for (const uint8_t *at = data; len;) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool recv_all(int fd, void *data, size_t len)
{
	return len == 0 || recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

int dial(const struct sockaddr_storage *to, const struct hello *hello)
{
	int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ||
	    !send_all(fd, hello, sizeof(*hello))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- server ------------------------------------------------------------------- */

static void *connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct hello hello;

	if (!recv_all(fd, &hello, sizeof(hello)))
		close(fd);
	else if (hello.purpose == CONTROL)
		udp_control(fd, &hello);
	else
		tcp_serve(fd, &hello);
	return NULL;
}

static noreturn void serve(uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int on = 1, listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;

	udp_listen(port);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(listener, 128) < 0)
		die("listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd))
			die("pthread_create");
		pthread_detach(thread);
	}
}

/* ---- report ------------------------------------------------------------------- */

struct sum {
	uint64_t flows, sent, received, lost, duplicated, reordered, corrupted, latest, digests;
	uint64_t bytes;
};

static void add_up(struct sum *s, const struct tally *t, const struct flow_result *r)
{
	s->flows++;
	s->sent += t->count;
	s->bytes += t->bytes;
	s->received += r->received;
	s->lost += r->lost;
	s->duplicated += r->duplicated;
	s->reordered += r->reordered;
	s->corrupted += r->corrupted;
	s->digests += !r->digest_right;
	if (r->latest > s->latest)
		s->latest = r->latest;
}

static void print_sum(const struct sum *s)
{
	printf("\"flows\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"bytes\":%" PRIu64
	       ",\"received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64
	       ",\"reordered\":%" PRIu64 ",\"latest\":%" PRIu64 ",\"corrupted\":%" PRIu64
	       ",\"digests_wrong\":%" PRIu64,
	       s->flows, s->sent, s->bytes, s->received, s->lost, s->duplicated, s->reordered,
	       s->latest, s->corrupted, s->digests);
}

static void report_udp(const struct udp_sender *u, const struct flow_result *r)
{
	struct sum all = { 0 }, of[KINDS] = { { 0 } };

	for (unsigned i = 0; i < u->flows; i++) {
		const struct tally *t = udp_tally(u, i);

		add_up(&all, t, &r[i]);
		add_up(&of[udp_kind(u, i)], t, &r[i]);
		if (r[i].lost || r[i].duplicated || r[i].reordered || r[i].corrupted)
			fprintf(stderr,
				"UDP flow %u (%s, IPv%d): %" PRIu64 " sent, %" PRIu64
				" lost, %" PRIu64 " doubled, %" PRIu64
				" reordered (by up to %" PRIu64 "), %" PRIu64 " altered\n",
				i, kind_name(udp_kind(u, i)), i % 2 ? 6 : 4, t->count, r[i].lost,
				r[i].duplicated, r[i].reordered, r[i].latest, r[i].corrupted);
	}
	printf("{\"udp\":{");
	print_sum(&all);
	printf(",\"refused\":%" PRIu64 "},\"kinds\":{", u->refused);
	for (unsigned k = 0; k < KINDS; k++) {
		printf("%s\"%s\":{", k ? "," : "", kind_name((enum kind)k));
		print_sum(&of[k]);
		printf("}");
	}
	printf("}");
}

static void report_tcp(const struct tcp_sender *t, unsigned n, const struct resets *resets)
{
	struct tcp_sender all = { 0 };

	for (unsigned i = 0; i < n; i++) {
		all.streams += t[i].streams;
		all.bytes += t[i].bytes;
		all.resets += t[i].resets;
		all.corrupted += t[i].corrupted;
		all.failed += t[i].failed;
	}
	printf(",\"tcp\":{\"streams\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"resets\":%" PRIu64
	       ",\"corrupted\":%" PRIu64 ",\"failed\":%" PRIu64 "},\"server\":{\"resets\":%" PRIu64
	       ",\"corrupted\":%" PRIu64 "}}\n",
	       all.streams, all.bytes, all.resets, all.corrupted, all.failed, resets->seen,
	       resets->corrupted);
}

/* ---- sender -------------------------------------------------------------------- */

static void *run_tcp(void *arg)
{
	tcp_send(arg);
	return NULL;
}

static int load(struct udp_sender *u, struct tcp_sender *t, unsigned n_tcp)
{
	struct flow_result *results = memory(NULL, FLOWS_MAX * sizeof(*results));
	struct resets resets;
	pthread_t threads[TCP_MAX];
	int control = udp_begin(u);

	for (unsigned i = 0; i < n_tcp; i++)
		if (pthread_create(&threads[i], NULL, run_tcp, &t[i]))
			die("pthread_create");
	udp_send(u);
	for (unsigned i = 0; i < n_tcp; i++)
		pthread_join(threads[i], NULL);
	udp_end(u, control, results, &resets);
	report_udp(u, results);
	report_tcp(t, n_tcp, &resets);
	free(results);
	return 0;
}

static struct sockaddr_storage resolve(const char *address, const char *port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct sockaddr_storage to = { 0 };
	struct addrinfo *found;

	if (getaddrinfo(address, port, &hints, &found)) {
		fprintf(stderr, "load: %s: no address\n", address);
		exit(2);
	}
	memcpy(&to, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return to;
}

static noreturn void usage(void)
{
	fprintf(stderr, "usage: load serve PORT\n"
			"       load send [-t SECONDS] [-u FLOWS] [-p PACKETS] [-c FLOWS] "
			"[-r BYTES] PORT IPV4 IPV6\n");
	exit(2);
}

int main(int argc, char **argv)
{
	struct udp_sender u = { .flows = 48, .rate = 2000 };
	struct tcp_sender t[TCP_MAX] = { { .rate = 2000000 } };
	double seconds = 10;
	unsigned n_tcp = 8;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve((uint16_t)atoi(argv[2]));
	if (argc < 2 || strcmp(argv[1], "send") != 0)
		usage();
	for (int c; (c = getopt(argc - 1, argv + 1, "t:u:p:c:r:")) != -1;) {
		switch (c) {
		case 't': seconds = atof(optarg); break;
		case 'u': u.flows = (unsigned)atoi(optarg); break;
		case 'p': u.rate = atof(optarg); break;
		case 'c': n_tcp = (unsigned)atoi(optarg); break;
		case 'r': t[0].rate = strtoull(optarg, NULL, 10); break;
		default: usage();
		}
	}
	if (argc - 1 - optind != 3 || u.flows > FLOWS_MAX || n_tcp > TCP_MAX || u.rate <= 0)
		usage();
	argv += optind + 1;
	for (int i = 0; i < 2; i++)
		u.to[i] = resolve(argv[1 + i], argv[0]);
	u.until = now() + seconds;
	for (unsigned i = 0; i < n_tcp; i++)
		t[i] = (struct tcp_sender){ .to = u.to[i % 2],
					    .rate = t[0].rate,
					    .until = u.until,
					    .seed = mix((uint64_t)getpid(), i) };
	return load(&u, t, n_tcp);
}
