/*
 * A byte stream to another machine that frames can follow each other on: TCP, or
 * TLS on TCP. Where datagrams don't get through (SPEC section 5).
 *
 * A stream never blocks and belongs to one thread at a time. TLS adds no trust
 * here, only a way through: frames carry their own MACs, so no certificate is
 * looked at, by either side.
 */
#ifndef ROUTER_STREAM_H
#define ROUTER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/addr.h"

struct stream;

struct stream_ops {
	const char *name; /* "tcp", "tls" */
	/* Bytes, 0 at the stream's end, -EAGAIN for not now, or -errno: broken. The
	 * descriptor does not tell of bytes that TLS has taken from it already: read
	 * until -EAGAIN, or come back without being told. */
	ssize_t (*read)(struct stream *, void *data, size_t room);
	/* Bytes taken, perhaps fewer than there are; else as read. None to be written
	 * (n 0): what was taken and has not left (unsent) goes on. */
	ssize_t (*write)(struct stream *, const struct iovec *, int n);
	/* What there is to do before bytes can flow: 0 when it is done, -EAGAIN, or
	 * -errno. */
	int (*begin)(struct stream *);
	void (*close)(struct stream *); /* frees it */
};

struct stream {
	const struct stream_ops *ops;
	int fd; /* -1: polled (twins) */
	/* After -EAGAIN: EPOLLIN or EPOLLOUT, what it waits for. (TLS may have to write to
	 * be able to read.) */
	uint32_t wants;
	bool unsent;	 /* it has taken bytes that are still to leave: write again */
	struct ip local; /* this machine's end; family 0: not known */
};

/* Takes over a connected socket, which it makes non-blocking. NULL with errno; the
 * socket is closed then. */
struct stream *stream_tcp_new(int fd);

/* The settings of all TLS streams of one role: one for a process. */
struct stream_tls;
/* For clients. NULL: out of memory. */
struct stream_tls *stream_tls_client(void);
/* For servers: certificate chain and key from PEM files, or, if both are NULL, a key and
 * a self-signed certificate made now. NULL with a reason in *ret_why (a constant). */
struct stream_tls *stream_tls_server(const char *certificate, const char *key,
				     const char **ret_why);
void stream_tls_free(struct stream_tls *); /* NULL is fine; its streams may outlive it */
/* TLS on a connected socket, which it takes over. `name` is what a client asks for (SNI),
 * NULL: nothing. NULL with errno; the socket is closed then. */
struct stream *stream_tls_new(struct stream_tls *, int fd, const char *name);

#endif
