/*
 * flood: datagrams of one size, as many as go out or at a steady rate, and what becomes
 * of them. Every datagram carries the number of its flow and its number within it, so the
 * receiving end knows what came twice and what came late; what was lost is the sender's
 * count less the receiver's. Programs made for streams stop at 120,000 to 170,000 small
 * datagrams a second, which is less than some tunnels carry: here 64 go out by one system
 * call, or, with -g, many as one super-packet that the kernel cuts (UDP_SEGMENT).
 *
 * One sender, one receiver, one thread each. Both print one line of JSON. The receiver
 * runs until SIGTERM or SIGINT. Its rate is to be counted from its own first and last
 * arrival: a queue that is drained after the sender has ended is no throughput.
 *
 * Late means: after a datagram of the same flow with a higher number (RFC 4737). Nothing
 * is checked but a magic number; a flow's datagrams beyond SEEN_MAX are counted, but not
 * known again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

#define MAGIC 0x666c6f64
#define FLOWS_MAX 16
#define SIZE_MAX_UDP 65507
#define BATCH 64
#define SEEN_MAX (1u << 27) /* datagrams of a flow, a bit each, touched as they come */

/* At the head of every datagram, network byte order. */
struct stamp {
	uint32_t magic;
	uint32_t flow;
	uint64_t number;
};

struct options {
	const char *host;
	uint16_t port;
	unsigned size;	   /* bytes of a datagram's payload */
	unsigned flows;	   /* each from a port of its own */
	unsigned segments; /* of a super-packet, 1: none */
	double seconds;
	double rate; /* datagrams a second, 0: as many as go out */
	bool merge;  /* receive super-packets */
};

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
	(void)signal;
	ended = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_until(double when)
{
	struct timespec t = { .tv_sec = (time_t)when };

	t.tv_nsec = (long)((when - (double)t.tv_sec) * 1e9);
	while (!ended && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* As much as the kernel gives: the tunnel is to be what drops, not the socket. */
static void large_buffer(int fd, int forced, int asked)
{
	int bytes = 16 << 20;

	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, asked, &bytes, sizeof(bytes));
}

/* ---- Sending ------------------------------------------------------------------------ */

/* What one system call takes: messages of one flow. */
struct volley {
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	unsigned n;	   /* messages */
	unsigned segments; /* datagrams of a message */
	unsigned size;
	uint8_t *bytes;
};

static void volley_init(struct volley *v, const struct options *o)
{
	/* Paced: some two thousand calls a second, so that gaps are short. */
	double paced = o->rate / o->segments / 2000;

	*v = (struct volley){ .n = BATCH, .segments = o->segments, .size = o->size };
	if (o->segments > 1)
		v->n = 1;
	else if (o->rate > 0 && paced < BATCH)
		v->n = paced < 1 ? 1 : (unsigned)paced;
	v->bytes = calloc((size_t)v->n * v->segments, v->size);
	if (!v->bytes)
		fail("memory");
	for (unsigned i = 0; i < v->n; i++) {
		size_t bytes = (size_t)v->segments * v->size;

		v->parts[i] = (struct iovec){ v->bytes + i * bytes, bytes };
		v->messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = &v->parts[i], .msg_iovlen = 1 };
	}
}

static void volley_number(struct volley *v, unsigned flow, uint64_t first)
{
	for (unsigned i = 0; i < v->n * v->segments; i++) {
		struct stamp s = { htonl(MAGIC), htonl(flow), htobe64(first + i) };

		memcpy(v->bytes + (size_t)i * v->size, &s, sizeof(s));
	}
}

static int sender_open(const struct options *o)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	int segment = (int)o->size;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		fail("socket");
	if (inet_pton(AF_INET, o->host, &to.sin_addr) != 1) {
		fprintf(stderr, "flood: %s is no IPv4 address\n", o->host);
		exit(2);
	}
	large_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	if (o->segments > 1 && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
		fail("UDP_SEGMENT");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
	return fd;
}

static int run_send(const struct options *o)
{
	uint64_t sent[FLOWS_MAX] = { 0 }, total = 0, errors = 0;
	double from, now, next;
	struct volley v;
	int fd[FLOWS_MAX];

	volley_init(&v, o);
	for (unsigned i = 0; i < o->flows; i++)
		fd[i] = sender_open(o);
	from = next = now = now_s();
	for (unsigned flow = 0; !ended && now < from + o->seconds; flow = (flow + 1) % o->flows) {
		int n;

		volley_number(&v, flow, sent[flow]);
		n = sendmmsg(fd[flow], v.messages, v.n, 0);
		if (n > 0) {
			sent[flow] += (uint64_t)n * v.segments;
			total += (uint64_t)n * v.segments;
		} else if (errno == EMSGSIZE || errno == EINVAL || errno == EIO) {
			fail("send");
		} else {
			errors++; /* an ICMP error, a full queue */
		}
		if (o->rate > 0) {
			next += v.n * v.segments / o->rate;
			wait_until(next);
		}
		now = now_s();
	}
	printf("{\"sent\":%llu,\"seconds\":%.6f,\"errors\":%llu}\n", (unsigned long long)total,
	       now - from, (unsigned long long)errors);
	return 0;
}

/* ---- Receiving ---------------------------------------------------------------------- */

struct flow {
	uint64_t highest; /* number + 1 */
	uint8_t *seen;
};

struct tally {
	struct flow flows[FLOWS_MAX];
	uint64_t received, bytes, late, again, foreign;
	double first, last;
};

static void count(struct tally *t, const uint8_t *data, size_t n)
{
	struct stamp s;
	struct flow *f;
	uint64_t number;

	if (n < sizeof(s) || (memcpy(&s, data, sizeof(s)), ntohl(s.magic) != MAGIC) ||
	    ntohl(s.flow) >= FLOWS_MAX) {
		t->foreign++;
		return;
	}
	f = &t->flows[ntohl(s.flow)];
	number = be64toh(s.number);
	if (!f->seen && !(f->seen = calloc(SEEN_MAX / 8, 1)))
		fail("memory");
	t->received++;
	t->bytes += n;
	if (number < SEEN_MAX) {
		uint8_t bit = (uint8_t)(1 << number % 8);

		if (f->seen[number / 8] & bit) {
			t->again++;
			return;
		}
		f->seen[number / 8] |= bit;
	}
	if (number + 1 > f->highest)
		f->highest = number + 1;
	else
		t->late++;
}

/* The size that the kernel merged by, or all of it. */
static size_t segment_size(struct msghdr *m, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int size;

		if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		if (size > 0)
			return (size_t)size;
	}
	return n;
}

static int receiver_open(const struct options *o)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(o->port) };
	struct timeval wait = { .tv_usec = 100000 }; /* a signal between test and call */
	int on = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		fail("socket");
	large_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (o->merge && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)))
		fail("UDP_GRO");
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail("bind");
	return fd;
}

static int run_receive(const struct options *o)
{
	/* Whole super-packets with -g; else as much of a datagram as is looked at. */
	static uint8_t buffers[BATCH][1 << 16];
	char control[BATCH][CMSG_SPACE(sizeof(int))];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct tally t = { 0 };
	int fd = receiver_open(o);

	while (!ended) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ buffers[i], sizeof(buffers[i]) };
			messages[i].msg_hdr =
				(struct msghdr){ .msg_iov = &parts[i],
						 .msg_iovlen = 1,
						 .msg_control = control[i],
						 .msg_controllen = sizeof(control[i]) };
		}
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			fail("receive");
		if (n <= 0)
			continue;
		t.last = now_s();
		if (t.first == 0)
			t.first = t.last;
		for (int i = 0; i < n; i++) {
			size_t left = messages[i].msg_len, at = 0;
			size_t step = segment_size(&messages[i].msg_hdr, left);

			do {
				size_t this = left < step ? left : step;

				count(&t, buffers[i] + at, this);
				at += this;
				left -= this;
			} while (left > 0);
		}
	}
	printf("{\"received\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"late\":%llu,"
	       "\"again\":%llu,\"foreign\":%llu}\n",
	       (unsigned long long)t.received, (unsigned long long)t.bytes, t.last - t.first,
	       (unsigned long long)t.late, (unsigned long long)t.again,
	       (unsigned long long)t.foreign);
	return 0;
}

static int usage(void)
{
	fputs("usage: flood receive [-g] PORT\n"
	      "       flood send [-s SIZE] [-t SECONDS] [-r RATE] [-f FLOWS] [-g SEGMENTS]"
	      " ADDRESS PORT\n"
	      "  -g   super-packets: merged ones received, of so many segments sent\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct options o = { .size = 64, .flows = 1, .segments = 1, .seconds = 5 };
	struct sigaction action = { .sa_handler = on_signal };
	bool sends = argc > 1 && !strcmp(argv[1], "send");
	int c;

	if (!sends && (argc < 2 || strcmp(argv[1], "receive")))
		return usage();
	argc--, argv++;
	while ((c = getopt(argc, argv, sends ? "s:t:r:f:g:" : "g")) != -1) {
		switch (c) {
		case 's': o.size = (unsigned)atoi(optarg); break;
		case 't': o.seconds = atof(optarg); break;
		case 'r': o.rate = atof(optarg); break;
		case 'f': o.flows = (unsigned)atoi(optarg); break;
		case 'g':
			o.merge = true;
			o.segments = optarg ? (unsigned)atoi(optarg) : 1;
			break;
		default: return usage();
		}
	}
	if (argc - optind != (sends ? 2 : 1) || o.size < sizeof(struct stamp) || o.flows < 1 ||
	    o.flows > FLOWS_MAX || o.segments < 1 || o.segments > 64 ||
	    (size_t)o.size * o.segments > SIZE_MAX_UDP)
		return usage();
	if (sends)
		o.host = argv[optind++];
	o.port = (uint16_t)atoi(argv[optind]);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	return sends ? run_send(&o) : run_receive(&o);
}
