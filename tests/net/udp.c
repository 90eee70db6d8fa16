/*
 * load's UDP: flows of numbered datagrams, each a port of the sender's. See load.c.
 *
 * A datagram is its serial number, as much of it as there is room for, then bytes that
 * follow from the flow's seed and the serial number, as its length does. So the receiver
 * knows what each datagram has to be. Short ones carry the low bytes of their number:
 * the right one is the nearest to what is expected that has this length.
 *
 * Both ends add up (exclusive or) the SHA-256 of all datagrams. At the end the receiver
 * adds those of the lost ones, as the seed gives them: both sums must be the same.
 */
#include "tests/net/load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define BUFFER (64 << 20) /* of a receiving socket: bytes */
#define MERGED 8	  /* datagrams of one call */
#define RETRIES 100
#define QUIET 1.0	  /* seconds without a datagram: what is missing is lost */
#define LATENESS 0.01	  /* seconds that the sender may be behind and catch up */
#define LEAST_WAIT 0.0002 /* seconds */
#define CANDIDATES 4096	  /* serial numbers that a short datagram may have */

static const struct {
	const char *name;
	uint32_t least, most;
} kinds[] = {
#define X(name, label, least, most) { label, least, most },
	KIND_LIST(X)
#undef X
};

const char *kind_name(enum kind k)
{
	return kinds[k].name;
}

/* ---- datagrams --------------------------------------------------------------------- */

/* Lengths are spread evenly over their orders of magnitude; merged ones are alike. */
static uint32_t length_of(uint64_t seed, uint32_t kind, uint64_t serial)
{
	const uint32_t least = kinds[kind].least, most = kinds[kind].most;
	uint64_t r = mix(seed, kind == KIND_MERGED ? serial / MERGED : serial);
	uint32_t first = 31 - (uint32_t)__builtin_clz(least);
	uint32_t last = 31 - (uint32_t)__builtin_clz(most);
	uint32_t bit = 1u << (first + r % (last - first + 1));
	uint32_t n = bit + (uint32_t)(r >> 32) % bit;

	return n < least ? least : n > most ? most : n;
}

static uint32_t make(uint64_t seed, uint32_t kind, uint64_t serial, uint8_t *out)
{
	uint32_t n = length_of(seed, kind, serial);

	fill(mix(~seed, serial), 0, out, n);
	memcpy(out, &serial, n < sizeof(serial) ? n : sizeof(serial));
	return n;
}

/* ---- sender ------------------------------------------------------------------------ */

struct udp_flow {
	int fd;
	struct flow_key key;
	struct tally sent;
};

enum kind udp_kind(const struct udp_sender *u, unsigned flow)
{
	return (enum kind)u->flow[flow].key.kind;
}

const struct tally *udp_tally(const struct udp_sender *u, unsigned flow)
{
	return &u->flow[flow].sent;
}

static void open_flow(struct udp_sender *u, unsigned i)
{
	const struct sockaddr_storage *to = &u->to[i % 2];
	struct udp_flow *f = &u->flow[i];
	socklen_t len = sizeof(f->key.from);

	f->sent = (struct tally){ 0 };
	f->key = (struct flow_key){ .seed = mix((uint64_t)getpid() << 32, i),
				    .kind = i / 2 % KINDS };
	f->fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || connect(f->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ||
	    getsockname(f->fd, (struct sockaddr *)&f->key.from, &len) < 0)
		die("UDP socket");
}

int udp_begin(struct udp_sender *u)
{
	struct hello hello = { .purpose = CONTROL, .n = u->flows };
	char answer;
	int control;

	u->flow = memory(NULL, FLOWS_MAX * sizeof(u->flow[0]));
	control = dial(&u->to[0], &hello);
	if (control < 0)
		die("control connection");
	for (unsigned i = 0; i < u->flows; i++) {
		open_flow(u, i);
		if (!send_all(control, &u->flow[i].key, sizeof(u->flow[i].key)))
			die("control connection");
	}
	if (!recv_all(control, &answer, 1))
		die("control connection");
	return control;
}

/* One call; errors are those of datagrams before, or of a full buffer: made again. */
static bool call(struct udp_sender *u, const struct udp_flow *f, const void *data, size_t len,
		 uint16_t segment)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(segment))];
	} control = { .head = { .cmsg_level = SOL_UDP,
				.cmsg_type = UDP_SEGMENT,
				.cmsg_len = CMSG_LEN(sizeof(segment)) } };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&control.head), &segment, sizeof(segment));
	if (segment) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control.room);
	}
	for (unsigned i = 0; i < RETRIES; i++) {
		if (sendmsg(f->fd, &h, 0) >= 0)
			return true;
		u->refused++;
	}
	return false;
}

/* The flow's next datagram, or several in one call; how many. */
static unsigned send_next(struct udp_sender *u, struct udp_flow *f)
{
	static uint8_t out[MERGED * DATAGRAM_MAX];
	const unsigned n = f->key.kind == KIND_MERGED ? MERGED : 1;
	uint8_t digest[DIGEST];
	uint32_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		len = make(f->key.seed, f->key.kind, f->sent.count, out + i * len);
		sha256(out + i * len, len, digest);
		xor_digest(f->sent.digest, digest);
		f->sent.count++;
		f->sent.bytes += len;
	}
	if (call(u, f, out, (size_t)n * len, n > 1 ? (uint16_t)len : 0))
		return n;
	for (unsigned i = 0; i < n; i++) /* no path for super-packets */
		if (!call(u, f, out + i * len, len, 0))
			die("sending UDP");
	return n;
}

void udp_send(struct udp_sender *u)
{
	double due = now();

	for (uint64_t i = 0; u->flows && now() < u->until; i++) {
		due += send_next(u, &u->flow[i % u->flows]) / u->rate;
		if (now() > due + LATENESS)
			due = now();
		if (now() < due - LEAST_WAIT)
			wait_until(due);
	}
}

void udp_end(struct udp_sender *u, int control, struct flow_result *ret, struct resets *resets)
{
	for (unsigned i = 0; i < u->flows; i++)
		if (!send_all(control, &u->flow[i].sent, sizeof(u->flow[i].sent)))
			die("control connection");
	if (!recv_all(control, ret, u->flows * sizeof(*ret)) ||
	    !recv_all(control, resets, sizeof(*resets)))
		die("control connection");
	close(control);
	for (unsigned i = 0; i < u->flows; i++)
		close(u->flow[i].fd);
}

/* ---- receiver ----------------------------------------------------------------------- */

struct arriving {
	struct flow_key key;
	struct arriving *next; /* with the same port */
	struct flow_result result;
	uint64_t top; /* one more than the highest number received */
	uint8_t digest[DIGEST];
	uint8_t *seen; /* a bit for each number */
	uint64_t room; /* in bits */
	double last;   /* arrival */
};

static struct arriving *by_port[65536];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
				       : ((const struct sockaddr_in6 *)a)->sin6_port;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
		       &((const struct sockaddr_in6 *)b)->sin6_addr, 16);
}

static struct arriving *find(const struct sockaddr_storage *from)
{
	struct arriving *a = by_port[port_of(from)];

	while (a && !same_host(&a->key.from, from))
		a = a->next;
	return a;
}

static bool was_seen(const struct arriving *a, uint64_t serial)
{
	return serial < a->room && a->seen[serial / 8] & 1u << serial % 8;
}

static void mark(struct arriving *a, uint64_t serial)
{
	if (serial >= a->room) {
		uint64_t room = (serial + 1) * 2;

		room += 8 - room % 8;
		a->seen = memory(a->seen, room / 8);
		memset(a->seen + a->room / 8, 0, (room - a->room) / 8);
		a->room = room;
	}
	a->seen[serial / 8] |= (uint8_t)(1u << serial % 8);
}

/* The serial number of which there are n low bytes, of a datagram of n bytes: nearest to
 * the one expected next, best one not seen before. False: none of that length. */
static bool complete(const struct arriving *a, uint64_t low, uint32_t n, uint64_t *ret)
{
	const uint64_t step = 1ull << 8 * n, ahead = (low - a->top) & (step - 1);
	const uint64_t base = a->top + ahead - (ahead > step / 2 ? step : 0);
	bool found = false;

	for (uint64_t i = 0; i < CANDIDATES; i++) {
		uint64_t serial = base + (i + 1) / 2 * (i % 2 ? step : -step);

		if (serial > UINT64_MAX / 2 || length_of(a->key.seed, a->key.kind, serial) != n)
			continue;
		if (!found || !was_seen(a, serial))
			*ret = serial;
		found = true;
		if (!was_seen(a, serial))
			break;
	}
	return found;
}

static void arrived(struct arriving *a, const uint8_t *data, uint32_t n)
{
	static _Thread_local uint8_t right[DATAGRAM_MAX];
	uint8_t digest[DIGEST], expected[DIGEST];
	uint64_t serial = 0;

	memcpy(&serial, data, n < sizeof(serial) ? n : sizeof(serial));
	/* far beyond what can have been sent: no number of this flow's */
	if (!n ||
	    (n < sizeof(serial) ? !complete(a, serial, n, &serial)
				: serial > a->top + (1u << 24)) ||
	    make(a->key.seed, a->key.kind, serial, right) != n) {
		a->result.corrupted++;
		return;
	}
	sha256(data, n, digest);
	sha256(right, n, expected);
	if (memcmp(digest, expected, DIGEST) != 0) {
		a->result.corrupted++;
	} else if (was_seen(a, serial)) {
		a->result.duplicated++;
	} else {
		mark(a, serial);
		xor_digest(a->digest, digest);
		a->result.received++;
		if (serial >= a->top) {
			a->top = serial + 1;
			return;
		}
		a->result.reordered++;
		if (a->top - serial > a->result.latest)
			a->result.latest = a->top - serial;
	}
}

static void *receive(void *arg)
{
	static _Thread_local uint8_t data[DATAGRAM_MAX + 1];
	const int fd = (int)(intptr_t)arg;
	struct sockaddr_storage from;
	struct arriving *a;

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len);

		if (n < 0)
			continue;
		pthread_mutex_lock(&lock);
		a = find(&from);
		if (a) {
			a->last = now();
			arrived(a, data, (uint32_t)n);
		}
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void listen_at(const void *address, socklen_t len)
{
	const struct sockaddr *any = address;
	int fd = socket(any->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER, on = 1;
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (any->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd < 0 || bind(fd, any, len) < 0)
		die("UDP socket");
	if (pthread_create(&thread, NULL, receive, (void *)(intptr_t)fd))
		die("pthread_create");
	pthread_detach(thread);
}

void udp_listen(uint16_t port)
{
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	listen_at(&any4, sizeof(any4));
	listen_at(&any6, sizeof(any6));
}

/* What was sent and never came, and whether all digests together are the sender's. */
static void conclude(struct arriving *a, const struct tally *sent)
{
	static uint8_t right[DATAGRAM_MAX];
	uint8_t digest[DIGEST];

	for (uint64_t serial = 0; serial < sent->count; serial++) {
		if (was_seen(a, serial))
			continue;
		a->result.lost++;
		sha256(right, make(a->key.seed, a->key.kind, serial, right), digest);
		xor_digest(a->digest, digest);
	}
	a->result.digest_right = a->result.received + a->result.lost == sent->count &&
				 !memcmp(a->digest, sent->digest, DIGEST);
}

static void wait_quiet(struct arriving *const flows[], uint32_t n)
{
	double last = now();

	while (now() - last < QUIET) {
		wait_until(now() + QUIET / 20);
		pthread_mutex_lock(&lock);
		for (uint32_t i = 0; i < n; i++)
			if (flows[i]->last > last)
				last = flows[i]->last;
		pthread_mutex_unlock(&lock);
	}
}

void udp_control(int fd, const struct hello *h)
{
	struct arriving **flows = memory(NULL, FLOWS_MAX * sizeof(flows[0]));
	struct resets resets;
	struct tally sent;
	bool good = h->n <= FLOWS_MAX;

	for (uint32_t i = 0; good && i < h->n; i++) {
		struct arriving *a = flows[i] = memory(NULL, sizeof(*a));

		memset(a, 0, sizeof(*a));
		good = recv_all(fd, &a->key, sizeof(a->key)) && a->key.kind < KINDS;
		pthread_mutex_lock(&lock);
		a->next = by_port[port_of(&a->key.from)];
		by_port[port_of(&a->key.from)] = a;
		pthread_mutex_unlock(&lock);
	}
	good = good && send_all(fd, "!", 1);
	for (uint32_t i = 0; good && i < h->n; i++) {
		good = recv_all(fd, &sent, sizeof(sent));
		if (good && !i)
			wait_quiet(flows, h->n);
		pthread_mutex_lock(&lock);
		if (good)
			conclude(flows[i], &sent);
		good = good && send_all(fd, &flows[i]->result, sizeof(flows[i]->result));
		pthread_mutex_unlock(&lock);
	}
	tcp_resets(&resets);
	if (good)
		send_all(fd, &resets, sizeof(resets));
	free(flows); /* the flows stay: late ones of theirs are no news */
	close(fd);
}
