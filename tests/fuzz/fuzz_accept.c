/* links: router/accept router/stream_tcp router/stream_tls libcommon */
/*
 * A stranger's connection to a listening router, by TCP or TLS, whose first byte says how
 * it goes on. It is handed over if it begins with the header of a frame from a peer, answered
 * if it is a browser's, and closed for all else; nothing of it is left in any case.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire.h"
#include "router/accept.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SELF 2
#define PEER 1
#define PATIENCE (8 * SEC) /* the kernel may deliver late on a loaded machine */
#define INPUT_MAX 8192

static struct {
	struct loop *loop;
	struct accept *accept;
	struct endpoint tcp, tls;
	const uint8_t *sent;
	size_t sent_len;
	bool plain;
	unsigned handed_over;
} world;

/* Not assert(): it must not vanish with NDEBUG. */
#define check(ok) \
	do { \
		if (!(ok)) { \
			perror(#ok); \
			abort(); \
		} \
	} while (0)

static bool knows(void *arg, uint32_t source, uint32_t destination)
{
	(void)arg;
	return source == PEER && destination == SELF;
}

static void ready(void *arg, struct stream *s, const struct endpoint *from, const uint8_t *first,
		  size_t len, mono_t now)
{
	(void)arg;
	(void)from;
	(void)now;
	check(len == FRAME_HEADER && first[0] >> 4 == WIRE_VERSION);
	check(world.plain && len <= world.sent_len && !memcmp(first, world.sent, len));
	world.handed_over++;
	s->ops->close(s);
}

/* A port that nobody listens on just now. */
static struct endpoint free_port(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct endpoint e;

	check(!bind(fd, (struct sockaddr *)&name, len));
	check(!getsockname(fd, (struct sockaddr *)&name, &len));
	check(!endpoint_from_sockaddr((struct sockaddr *)&name, &e));
	close(fd);
	return e;
}

static void begin(void)
{
	const struct accept_hooks hooks = { .knows = knows, .ready = ready };
	const char *why;

	world.loop = loop_new();
	world.tcp = free_port();
	world.tls = free_port();
	world.accept = accept_open(world.loop, &world.tcp, 1, &world.tls, 1,
				   stream_tls_server(NULL, NULL, &why), &hooks, stderr);
	check(world.accept != NULL);
}

/* Each from an address of its own: whoever ends a connection first can't use the same ports
 * again for a while, and there are more connections here than ports. */
static int join(const struct endpoint *to)
{
	static uint16_t count;
	const struct linger at_once = { .l_onoff = 1 };
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(to, &name);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 256U * count++);
	check(fd >= 0);
	check(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	check(!setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)));
	check(!bind(fd, (struct sockaddr *)&own, sizeof(own)));
	/* The fuzzer's own alarm comes every second; what it interrupts goes on by itself. */
	if (connect(fd, (struct sockaddr *)&name, len)) {
		struct pollfd done = { .fd = fd, .events = POLLOUT };

		check(errno == EINTR);
		while (poll(&done, 1, -1) < 0)
			check(errno == EINTR);
		check(done.revents == POLLOUT);
	}
	return fd;
}

static void settle(unsigned turns)
{
	for (unsigned i = 0; i < turns; i++)
		loop_turn(world.loop, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint64_t seen;
	mono_t begun;
	size_t half;
	int fd;

	if (len < 2 || len > INPUT_MAX)
		return 0;
	if (!world.loop)
		begin();
	seen = accept_counts(world.accept)->accepted;
	world.handed_over = 0;
	world.plain = !(data[0] & 1);
	half = data[0] & 2 ? (len - 1) / 2 : 0;
	world.sent = data + 1;
	world.sent_len = len - 1;
	fd = join(world.plain ? &world.tcp : &world.tls);
	if (half) {
		send(fd, world.sent, half, MSG_NOSIGNAL);
		settle(3);
	}
	send(fd, world.sent + half, world.sent_len - half, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	begun = clock_now();
	while (accept_counts(world.accept)->accepted == seen || accept_pending(world.accept)) {
		check(mono_since(clock_now(), begun) < PATIENCE);
		loop_turn(world.loop, MSEC);
	}
	check(accept_counts(world.accept)->accepted == seen + 1);
	close(fd);
	check(world.handed_over <= 1);
	return 0;
}
