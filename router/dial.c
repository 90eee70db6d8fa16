/*
 * Opening a stream, see dial.h. One step after the other:
 *
 *   1. connect     to the router or to the proxy
 *   2. ask         the proxy for a connection to the router
 *   3. TLS
 *
 * and a reason in words for each that fails: it is what the user sees of a firewall.
 * The proxy's answer is looked at before it is taken from the socket, so that not a
 * byte of what follows it is lost.
 */
#include "router/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/crypto.h"
#include "common/list.h"

struct dial {
	struct loop *loop;
	struct source source; /* fd -1: the stream's now, or none */
	struct timer deadline;
	int64_t timeout;
	dial_fn *fn;
	void *arg;
	enum { CONNECTING, ASKING, WAITING, ENCRYPTING } step;
	int error; /* that the first call has met: told in the next turn */
	struct stream_tls *tls;
	struct stream *stream; /* from step 3 on */
	char host[256];
	size_t sent, asked;
	char request[PROXY_REQUEST_MAX]; /* empty: no proxy */
};

static void dial_free(struct dial *d)
{
	timer_cancel(d->loop, &d->deadline);
	if (d->source.fd >= 0)
		loop_remove(d->loop, &d->source);
	if (d->stream)
		d->stream->ops->close(d->stream);
	else if (d->source.fd >= 0)
		close(d->source.fd);
	crypto_wipe(d->request, sizeof(d->request)); /* the password */
	free(d);
}

void dial_cancel(struct dial *d)
{
	if (d)
		dial_free(d);
}

static void finish(struct dial *d, const char *why, mono_t now)
{
	struct stream *s = why ? NULL : d->stream;
	dial_fn *fn = d->fn;
	void *arg = d->arg;
	char text[DIAL_WHY] = "";

	if (why)
		snprintf(text, sizeof(text), "%s", why);
	if (s) {
		loop_remove(d->loop, &d->source);
		d->source.fd = -1;
		d->stream = NULL;
	}
	dial_free(d);
	fn(arg, s, why ? text : NULL, now);
}

static void fail(struct dial *d, const char *what, int error, mono_t now)
{
	char why[DIAL_WHY];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
	finish(d, why, now);
}

static const char *step_name(const struct dial *d)
{
	switch (d->step) {
	case CONNECTING: return d->asked ? "proxy" : "TCP";
	case ASKING:
	case WAITING: return "proxy's answer";
	default: return "TLS";
	}
}

static void late(struct timer *t, mono_t now)
{
	struct dial *d = container_of(t, struct dial, deadline);
	char why[DIAL_WHY];

	if (d->error) {
		fail(d, step_name(d), d->error, now);
		return;
	}
	snprintf(why, sizeof(why), "%s: no answer in %.1f s", step_name(d),
		 (double)d->timeout / SEC);
	finish(d, why, now);
}

static void want(struct dial *d, uint32_t events)
{
	loop_modify(d->loop, &d->source, events);
}

static void encrypt(struct dial *d, mono_t now)
{
	int e = d->stream->ops->begin(d->stream);

	if (e == -EAGAIN)
		want(d, d->stream->wants);
	else if (e)
		fail(d, "TLS", -e, now);
	else
		finish(d, NULL, now);
}

/* The connection is there. */
static void connected(struct dial *d, mono_t now)
{
	int fd = d->source.fd;
	struct ip address; /* is no name to ask for (RFC 6066, section 3) */

	d->stream =
		d->tls ? stream_tls_new(d->tls, fd, ip_parse(d->host, &address) ? d->host : NULL)
		       : stream_tcp_new(fd);
	if (!d->stream) {
		loop_remove(d->loop, &d->source);
		d->source.fd = -1; /* closed with it */
		fail(d, step_name(d), errno, now);
		return;
	}
	d->step = ENCRYPTING;
	encrypt(d, now);
}

static void ask(struct dial *d, mono_t now)
{
	ssize_t n = send(d->source.fd, d->request + d->sent, d->asked - d->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		fail(d, "proxy", errno, now);
		return;
	}
	d->sent += n > 0 ? (size_t)n : 0;
	if (d->sent < d->asked)
		return;
	d->step = WAITING;
	want(d, EPOLLIN);
}

/* What has been looked at already is to wake nobody again. */
static void wake_at(struct dial *d, int bytes)
{
	setsockopt(d->source.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void read_answer(struct dial *d, mono_t now)
{
	char data[PROXY_ANSWER_MAX], why[PROXY_WHY], text[DIAL_WHY];
	ssize_t n = recv(d->source.fd, data, sizeof(data), MSG_DONTWAIT | MSG_PEEK);
	size_t len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		fail(d, "proxy", errno, now);
		return;
	}
	switch (n ? proxy_read(data, (size_t)n, &len, why) : PROXY_NONSENSE) {
	case PROXY_MORE: wake_at(d, (int)n + 1); return;
	case PROXY_OPEN:
		n = recv(d->source.fd, data, len, MSG_DONTWAIT); /* it is there */
		wake_at(d, 1);
		connected(d, now);
		return;
	case PROXY_REFUSED:
		snprintf(text, sizeof(text), "proxy: %s", why);
		finish(d, text, now);
		return;
	case PROXY_NONSENSE:
		finish(d, n ? "proxy: its answer is not HTTP" : "proxy: closed the connection",
		       now);
		return;
	}
}

static void ready(struct source *s, uint32_t events, mono_t now)
{
	struct dial *d = container_of(s, struct dial, source);
	socklen_t len = sizeof(int);
	int e = 0;

	(void)events;
	switch (d->step) {
	case CONNECTING:
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len);
		if (e) {
			fail(d, step_name(d), e, now);
		} else if (d->asked) {
			d->step = ASKING;
			ask(d, now);
		} else {
			connected(d, now);
		}
		return;
	case ASKING: ask(d, now); return;
	case WAITING: read_answer(d, now); return;
	case ENCRYPTING: encrypt(d, now); return;
	}
}

/* 0 or what is wrong. */
static int begin(struct dial *d, const struct endpoint *to)
{
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(to, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e;

	if (fd < 0)
		return errno;
	e = connect(fd, (struct sockaddr *)&name, len) < 0 && errno != EINPROGRESS ? errno : 0;
	d->source = (struct source){ .fd = fd, .fn = ready };
	if (!e)
		e = -loop_add(d->loop, &d->source, EPOLLOUT);
	if (e) {
		close(fd);
		d->source.fd = -1;
	}
	return e;
}

struct dial *dial_start(struct loop *loop, const struct dial_to *to, int64_t timeout, mono_t now,
			dial_fn *fn, void *arg)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = loop;
	d->timeout = timeout;
	d->fn = fn;
	d->arg = arg;
	d->tls = to->tls;
	d->deadline.fn = late;
	snprintf(d->host, sizeof(d->host), "%s", to->host);
	if (to->proxy) {
		d->asked = proxy_request(to->proxy, to->host, to->port, d->request,
					 sizeof(d->request));
		d->error = d->asked ? 0 : ENAMETOOLONG;
	}
	d->source.fd = -1;
	if (!d->error)
		d->error = begin(d, &to->connect);
	timer_set(loop, &d->deadline, d->error ? now : mono_add(now, timeout));
	return d;
}
