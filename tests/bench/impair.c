/*
 * impair: a line between two interfaces that is as long and as narrow as it is told to be,
 * for kernels without netem. What comes in by one goes out by the other, Ethernet frame by
 * frame, later:
 *
 *   impair a delay=12 rate=20.4 b delay=12 rate=20.4 loss=1
 *
 * Settings are of the frames that come in by the device before them. A frame first waits
 * until the line is free (rate: Mbit/s of frames, without preamble and checksum), where no
 * more than a queue of so many bytes may wait; what it takes to be sent, and then the delay,
 * have to pass. So frames stay in order, and the time of each is known when it comes in: a
 * line is one ring. Loss, overtaking and marks (ECN's "congestion experienced", on what says
 * that it can bear them) are by chance, the same in each run with the same seed.
 *
 * It runs until SIGTERM or SIGINT and then prints a line of JSON with what became of all
 * frames. Both devices need offloads off, and so do those at the far ends of their cables:
 * one frame is one packet, with its checksum. Larger ones are dropped and counted.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <math.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define FRAME_MAX 1518 /* MTU 1500, header, a tag */
#define SLOTS 8192     /* frames on their way, a power of two */
#define BATCH 64
#define MS 1e6 /* in nanoseconds */

struct slot {
	uint64_t due; /* ns */
	uint32_t len;
	uint8_t frame[FRAME_MAX];
};

/* One direction. */
struct line {
	const char *from;
	int in, out;
	double delay;		    /* ns */
	double byte_time;	    /* ns, 0: no limit */
	double queue;		    /* bytes that may wait for the line */
	double loss, reorder, mark; /* chances, 0 to 1 */
	double free_at;		    /* ns: then all before is sent */
	uint32_t head, tail;
	struct slot *slots;
	/* Of frames: received is the sum of all the others and of those under way. */
	uint64_t received, sent, lost, full, large, unsent;
	uint64_t reordered, marked; /* of those sent */
};

static volatile sig_atomic_t ended;
static uint64_t chance_state = 1;

static void on_signal(int signal)
{
	(void)signal;
	ended = 1;
}

static void fail(const char *what)
{
	fprintf(stderr, "impair: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* True with that probability (splitmix64). */
static bool chance(double probability)
{
	uint64_t z;

	if (probability <= 0)
		return false;
	z = chance_state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	return (double)(z >> 11) * 0x1p-53 < probability;
}

/* ---- One frame ---------------------------------------------------------------------- */

/* Congestion experienced, if it is an IP packet of an ECN-capable transport. */
static bool mark(uint8_t *frame, uint32_t len)
{
	uint8_t *ip = frame + ETH_HLEN;
	uint32_t sum;

	if (len >= ETH_HLEN + 20 && frame[12] == 0x08 && frame[13] == 0x00) {
		uint8_t before = ip[1];

		if (!(before & 3))
			return false;
		ip[1] |= 3;
		/* RFC 1624 */
		sum = (uint32_t)(~(ip[10] << 8 | ip[11]) & 0xffff);
		sum += (uint32_t)(~before & 0xff) + 0xff00 + ip[1];
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~((sum & 0xffff) + (sum >> 16));
		ip[10] = (uint8_t)(sum >> 8);
		ip[11] = (uint8_t)sum;
		return true;
	}
	if (len >= ETH_HLEN + 40 && frame[12] == 0x86 && frame[13] == 0xdd && ip[1] & 0x30) {
		ip[1] |= 0x30;
		return true;
	}
	return false;
}

static void take(struct line *l, const uint8_t *frame, uint32_t len, bool truncated, uint64_t now)
{
	struct slot *s = &l->slots[l->tail % SLOTS], *before = &l->slots[(l->tail - 1) % SLOTS];
	double start = l->free_at > (double)now ? l->free_at : (double)now;

	l->received++;
	if (truncated) {
		l->large++;
		return;
	}
	if (chance(l->loss)) {
		l->lost++;
		return;
	}
	if (l->tail - l->head == SLOTS || start - (double)now > l->queue * l->byte_time) {
		l->full++;
		return;
	}
	l->free_at = start + len * l->byte_time;
	s->due = (uint64_t)(l->free_at + l->delay);
	if (l->tail != l->head && chance(l->reorder)) {
		/* It overtakes the one before: they change places, not times. */
		memcpy(s->frame, before->frame, before->len);
		s->len = before->len;
		s = before;
		l->reordered++;
	}
	memcpy(s->frame, frame, len);
	s->len = len;
	if (chance(l->mark) && mark(s->frame, len))
		l->marked++;
	l->tail++;
}

/* ---- Lines -------------------------------------------------------------------------- */

static void receive(struct line *l)
{
	static uint8_t frames[BATCH][FRAME_MAX];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint64_t now;
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ frames[i], FRAME_MAX };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	n = recvmmsg(l->in, messages, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		fail(l->from);
	now = now_ns();
	for (int i = 0; i < n; i++)
		take(l, frames[i], messages[i].msg_len, messages[i].msg_hdr.msg_flags & MSG_TRUNC,
		     now);
}

static void send_due(struct line *l, uint64_t now)
{
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];

	for (;;) {
		unsigned n = 0;
		int sent;

		for (; n < BATCH && l->head + n != l->tail; n++) {
			struct slot *s = &l->slots[(l->head + n) % SLOTS];

			if (s->due > now)
				break;
			parts[n] = (struct iovec){ s->frame, s->len };
			messages[n].msg_hdr =
				(struct msghdr){ .msg_iov = &parts[n], .msg_iovlen = 1 };
		}
		if (!n)
			return;
		sent = sendmmsg(l->out, messages, n, 0);
		if (sent > 0) {
			l->sent += (unsigned)sent;
			l->head += (unsigned)sent;
		} else if (errno != EINTR) {
			l->unsent++; /* the device is down, or full */
			l->head++;
		}
	}
}

static void run(struct line lines[2])
{
	struct pollfd polled[2] = { { lines[0].in, POLLIN, 0 }, { lines[1].in, POLLIN, 0 } };

	while (!ended) {
		uint64_t now = now_ns(), next = now + 100000000;
		struct timespec wait;

		for (unsigned i = 0; i < 2; i++) {
			struct line *l = &lines[i];

			send_due(l, now);
			if (l->head != l->tail && l->slots[l->head % SLOTS].due < next)
				next = l->slots[l->head % SLOTS].due;
		}
		wait = (struct timespec){ .tv_nsec = (long)(next - now) };
		if (ppoll(polled, 2, &wait, NULL) < 0 && errno != EINTR)
			fail("poll");
		for (unsigned i = 0; i < 2; i++)
			if (polled[i].revents)
				receive(&lines[i]);
	}
}

static int device_open(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int on = 1, bytes = 16 << 20, fd;

	at.sll_ifindex = (int)if_nametoindex(name);
	if (!at.sll_ifindex)
		fail(name);
	/* Of no protocol yet: nothing comes in by other devices. */
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		fail(name);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		fail("buffers");
	return fd;
}

static void print(const struct line *l)
{
	struct tpacket_stats missed = { 0 };
	socklen_t len = sizeof(missed);

	getsockopt(l->in, SOL_PACKET, PACKET_STATISTICS, &missed, &len);
	printf("{\"from\":\"%s\",\"received\":%llu,\"sent\":%llu,\"lost\":%llu,\"full\":%llu,"
	       "\"large\":%llu,\"unsent\":%llu,\"missed\":%u,\"reordered\":%llu,\"marked\":%llu,"
	       "\"left\":%u}",
	       l->from, (unsigned long long)l->received, (unsigned long long)l->sent,
	       (unsigned long long)l->lost, (unsigned long long)l->full,
	       (unsigned long long)l->large, (unsigned long long)l->unsent, missed.tp_drops,
	       (unsigned long long)l->reordered, (unsigned long long)l->marked, l->tail - l->head);
}

/* ---- Settings ----------------------------------------------------------------------- */

static int usage(void)
{
	fputs("usage: impair [seed=N] DEVICE [SETTING...] DEVICE [SETTING...]\n"
	      "of the frames that come in by the device before it:\n"
	      "  delay=MS       0 to 10000\n"
	      "  rate=MBIT      a second, 0.01 to 10000; without it there is no limit\n"
	      "  queue=KB       that wait for the line, 2 to 100000 (128)\n"
	      "  loss=PERCENT   reorder=PERCENT   mark=PERCENT\n",
	      stderr);
	return 2;
}

static bool number(const char *text, double least, double most, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	return end != text && !*end && isfinite(*ret) && *ret >= least && *ret <= most;
}

static bool setting(struct line *l, const char *text)
{
	static const struct {
		const char *name;
		size_t offset;
		double least, most, unit;
	} settings[] = {
		{ "delay=", offsetof(struct line, delay), 0, 10000, MS },
		{ "queue=", offsetof(struct line, queue), 2, 100000, 1000 },
		{ "loss=", offsetof(struct line, loss), 0, 100, .01 },
		{ "reorder=", offsetof(struct line, reorder), 0, 100, .01 },
		{ "mark=", offsetof(struct line, mark), 0, 100, .01 },
	};
	double v;

	if (!strncmp(text, "rate=", 5)) {
		if (!number(text + 5, .01, 10000, &v))
			return false;
		l->byte_time = 8000 / v;
		return true;
	}
	for (unsigned i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		size_t n = strlen(settings[i].name);

		if (strncmp(text, settings[i].name, n))
			continue;
		if (!number(text + n, settings[i].least, settings[i].most, &v))
			return false;
		*(double *)((char *)l + settings[i].offset) = v * settings[i].unit;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct line lines[2] = { { .queue = 128000 }, { .queue = 128000 } };
	struct sigaction action = { .sa_handler = on_signal };
	struct sched_param first = { .sched_priority = 1 };
	unsigned devices = 0;
	double seed;

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "seed=", 5)) {
			if (!number(argv[i] + 5, 0, 1e9, &seed))
				return usage();
			chance_state = (uint64_t)seed;
		} else if (strchr(argv[i], '=')) {
			if (!devices || !setting(&lines[devices - 1], argv[i]))
				return usage();
		} else if (devices < 2) {
			lines[devices++].from = argv[i];
		} else {
			return usage();
		}
	}
	if (devices != 2)
		return usage();
	for (unsigned i = 0; i < 2; i++) {
		lines[i].in = lines[!i].out = device_open(lines[i].from);
		lines[i].slots = calloc(SLOTS, sizeof(struct slot));
		if (!lines[i].slots)
			fail("memory");
	}
	/* As punctual as the kernel allows; where it does not, the delay is a little longer. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	sched_setscheduler(0, SCHED_FIFO, &first);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	run(lines);
	printf("[");
	print(&lines[0]);
	printf(",");
	print(&lines[1]);
	printf("]\n");
	return 0;
}
