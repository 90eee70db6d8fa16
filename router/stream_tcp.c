/*
 * A TCP connection as a stream, see stream.h.
 *
 * Frames are gathered to batches before they are written, so TCP is not to wait for
 * more (TCP_NODELAY). What is not sent yet is to wait where it is bounded and can grow
 * too old: in our queue, and not in the kernel's buffer (TCP_NOTSENT_LOWAT). A
 * connection whose other end is gone without a word ends after some seconds
 * (TCP_USER_TIMEOUT).
 */
#include "router/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/list.h"

#define NOT_SENT (128 * 1024) /* bytes in the kernel that have not left */
#define TIMEOUT 10000	      /* ms without an answer to what was sent */

struct tcp {
	struct stream stream;
};

static ssize_t result(struct stream *s, ssize_t n, uint32_t wants)
{
	if (n >= 0)
		return n;
	s->wants = wants;
	return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t tcp_read(struct stream *s, void *data, size_t room)
{
	return result(s, recv(s->fd, data, room, MSG_DONTWAIT), EPOLLIN);
}

static ssize_t tcp_write(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr h = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };

	return result(s, sendmsg(s->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL), EPOLLOUT);
}

static int tcp_begin(struct stream *s)
{
	(void)s;
	return 0;
}

static void tcp_close(struct stream *s)
{
	close(s->fd);
	free(container_of(s, struct tcp, stream));
}

static const struct stream_ops tcp_ops = {
	.name = "tcp",
	.read = tcp_read,
	.write = tcp_write,
	.begin = tcp_begin,
	.close = tcp_close,
};

/* The options are for speed and for early notice: without one all works still. */
static void set_options(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, TIMEOUT },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, options[i].level, options[i].option, &options[i].value,
			   sizeof(options[i].value));
}

static struct ip local_of(int fd)
{
	struct endpoint e = { .port = 0 };
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (!getsockname(fd, (struct sockaddr *)&name, &len))
		endpoint_from_sockaddr((struct sockaddr *)&name, &e);
	return e.ip;
}

struct stream *stream_tcp_new(int fd)
{
	struct tcp *t = calloc(1, sizeof(*t));

	if (!t || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		int e = t ? errno : ENOMEM;

		free(t);
		close(fd);
		errno = e;
		return NULL;
	}
	set_options(fd);
	t->stream = (struct stream){
		.ops = &tcp_ops, .fd = fd, .wants = EPOLLIN, .local = local_of(fd)
	};
	return &t->stream;
}
