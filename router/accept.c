/*
 * Accepting streams, see accept.h. A connection's way:
 *
 *   LOOKING    on a TLS port: is its first byte that of TLS?
 *   ENCRYPTING the TLS handshake
 *   READING    the header of a frame, or a letter: then it is a browser's
 *   LEAVING    404 is said; what it still sends is thrown away until it closes, since a
 *              close before would take the answer back
 *
 * When there are too many the oldest goes: whoever is genuine needs a few round trips,
 * whoever is not may wait for ever. A source that holds its share loses its own oldest.
 */
#include "router/accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/wire.h"

#define BACKLOG 1024
#define PAUSE (100 * MSEC) /* of accepting, when descriptors are out */
#define AT_A_TIME 32	   /* accepted in one turn */
#define LEAVING_TIME (2 * SEC)
#define LEAVING_BYTES 65536
#define TLS_HANDSHAKE 22 /* first byte of a TLS connection (RFC 8446, section 5.1) */

struct listener {
	struct source source;
	struct accept *accept;
	bool tls;
};

struct pending {
	struct list node; /* of accept->pending, oldest first */
	struct accept *accept;
	struct source source;
	struct timer deadline;
	struct endpoint from;
	struct stream *stream; /* NULL while LOOKING */
	enum { LOOKING, ENCRYPTING, READING, LEAVING } step;
	size_t len;
	uint8_t bytes[FRAME_HEADER];
};

struct accept {
	struct loop *loop;
	struct accept_hooks hooks;
	struct stream_tls *tls;
	struct listener *listeners;
	size_t n_listeners;
	struct timer pause;
	struct list pending;
	size_t n_pending;
	struct accept_counts counts;
};

/* ---- one connection --------------------------------------------------------- */

static void pending_free(struct pending *p)
{
	struct accept *a = p->accept;

	timer_cancel(a->loop, &p->deadline);
	loop_remove(a->loop, &p->source);
	list_remove(&p->node);
	a->n_pending--;
	if (p->stream)
		p->stream->ops->close(p->stream);
	else if (p->source.fd >= 0)
		close(p->source.fd);
	free(p);
}

static void hand_over(struct pending *p, mono_t now)
{
	struct accept *a = p->accept;
	struct stream *s = p->stream;
	struct endpoint from = p->from;
	uint8_t first[FRAME_HEADER];

	memcpy(first, p->bytes, sizeof(first));
	p->stream = NULL;
	loop_remove(a->loop, &p->source);
	p->source.fd = -1;
	pending_free(p);
	a->counts.handed_over++;
	a->hooks.ready(a->hooks.arg, s, &from, first, sizeof(first), now);
}

static void strange(struct pending *p)
{
	p->accept->counts.strange++;
	pending_free(p);
}

/* No page here, nor anywhere. */
static void say_404(struct pending *p, mono_t now)
{
	static const char answer[] = "HTTP/1.1 404 Not Found\r\n"
				     "Content-Type: text/plain\r\n"
				     "Content-Length: 10\r\n"
				     "Connection: close\r\n"
				     "\r\n"
				     "Not Found\n";
	struct iovec iov = { .iov_base = (void *)answer, .iov_len = sizeof(answer) - 1 };

	p->accept->counts.http++;
	if (p->stream->ops->write(p->stream, &iov, 1) != (ssize_t)iov.iov_len) {
		pending_free(p);
		return;
	}
	shutdown(p->source.fd, SHUT_WR);
	p->step = LEAVING;
	p->len = 0;
	timer_set(p->accept->loop, &p->deadline, mono_add(now, LEAVING_TIME));
}

static bool is_letter(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_wanted(const struct pending *p)
{
	const struct accept_hooks *h = &p->accept->hooks;
	struct reader r = reader_init(p->bytes, sizeof(p->bytes));
	uint8_t first = read_u8(&r);
	uint16_t size;
	uint32_t source, destination;

	read_u8(&r);
	size = read_u16(&r);
	read_u32(&r);
	source = read_u32(&r);
	destination = read_u32(&r);
	return first >> 4 == WIRE_VERSION && (first & 15) < FRAME_TYPES && size >= FRAME_MIN &&
	       h->knows(h->arg, source, destination);
}

static void read_header(struct pending *p, mono_t now)
{
	ssize_t n = p->stream->ops->read(p->stream, p->bytes + p->len, sizeof(p->bytes) - p->len);

	if (n == -EAGAIN) {
		loop_modify(p->accept->loop, &p->source, p->stream->wants);
		return;
	}
	if (n <= 0) {
		pending_free(p);
		return;
	}
	p->len += (size_t)n;
	if (is_letter(p->bytes[0]))
		say_404(p, now);
	else if (p->bytes[0] >> 4 != WIRE_VERSION)
		strange(p);
	else if (p->len < sizeof(p->bytes))
		read_header(p, now); /* until it has to wait */
	else if (is_wanted(p))
		hand_over(p, now);
	else
		strange(p);
}

static void encrypt(struct pending *p, mono_t now)
{
	int e = p->stream->ops->begin(p->stream);

	if (e == -EAGAIN) {
		loop_modify(p->accept->loop, &p->source, p->stream->wants);
	} else if (e) {
		strange(p);
	} else {
		p->step = READING;
		read_header(p, now);
	}
}

static void set_stream(struct pending *p, struct stream *s)
{
	p->stream = s;
	if (!s)
		p->source.fd = -1; /* closed with it */
}

static void look(struct pending *p, mono_t now)
{
	int fd = p->source.fd;
	uint8_t first;
	ssize_t n = recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pending_free(p);
		return;
	}
	if (first != TLS_HANDSHAKE && !is_letter(first)) {
		strange(p);
		return;
	}
	p->step = first == TLS_HANDSHAKE ? ENCRYPTING : READING;
	loop_remove(p->accept->loop, &p->source); /* before anybody can close it */
	set_stream(p, first == TLS_HANDSHAKE ? stream_tls_new(p->accept->tls, fd, NULL)
					     : stream_tcp_new(fd));
	if (!p->stream || loop_add(p->accept->loop, &p->source, EPOLLIN))
		pending_free(p);
	else if (p->step == ENCRYPTING)
		encrypt(p, now);
	else
		read_header(p, now);
}

static void leave(struct pending *p)
{
	uint8_t rest[4096];
	ssize_t n;

	while ((n = p->stream->ops->read(p->stream, rest, sizeof(rest))) > 0) {
		p->len += (size_t)n;
		if (p->len > LEAVING_BYTES)
			break;
	}
	if (n != -EAGAIN)
		pending_free(p);
}

static void pending_ready(struct source *s, uint32_t events, mono_t now)
{
	struct pending *p = container_of(s, struct pending, source);

	(void)events;
	switch (p->step) {
	case LOOKING: look(p, now); return;
	case ENCRYPTING: encrypt(p, now); return;
	case READING: read_header(p, now); return;
	case LEAVING: leave(p); return;
	}
}

static void pending_late(struct timer *t, mono_t now)
{
	struct pending *p = container_of(t, struct pending, deadline);

	(void)now;
	if (p->step != LEAVING)
		p->accept->counts.late++;
	pending_free(p);
}

/* ---- all of them --------------------------------------------------------------- */

/* Makes room for one from here: the source's own oldest if it has its share, else the
 * oldest of all if there are too many. */
static void make_room(struct accept *a, const struct endpoint *from)
{
	struct pending *own = NULL, *oldest = NULL;
	unsigned n = 0;

	list_for_each(node, &a->pending) {
		struct pending *p = container_of(node, struct pending, node);

		if (!oldest)
			oldest = p;
		if (ip_same_source(&p->from.ip, &from->ip) && !n++)
			own = p;
	}
	if (n >= ACCEPT_PER_SOURCE)
		oldest = own;
	else if (a->n_pending < ACCEPT_PENDING)
		return;
	a->counts.pushed_out++;
	pending_free(oldest);
}

/* Takes over the descriptor. */
static void begin(struct accept *a, int fd, const struct endpoint *from, bool tls, mono_t now)
{
	struct pending *p;

	make_room(a, from);
	p = calloc(1, sizeof(*p));
	if (!p) {
		close(fd);
		return;
	}
	p->accept = a;
	p->from = *from;
	p->source = (struct source){ .fd = fd, .fn = pending_ready };
	p->deadline.fn = pending_late;
	list_insert(&a->pending, &p->node);
	a->n_pending++;
	a->counts.accepted++;
	p->step = tls ? LOOKING : READING;
	if (!tls)
		set_stream(p, stream_tcp_new(fd));
	if ((!tls && !p->stream) || loop_add(a->loop, &p->source, EPOLLIN) ||
	    timer_set(a->loop, &p->deadline, mono_add(now, ACCEPT_TIME)))
		pending_free(p);
}

static void pause_over(struct timer *t, mono_t now)
{
	struct accept *a = container_of(t, struct accept, pause);

	(void)now;
	for (size_t i = 0; i < a->n_listeners; i++)
		loop_modify(a->loop, &a->listeners[i].source, EPOLLIN);
}

static void pause_now(struct accept *a, mono_t now)
{
	for (size_t i = 0; i < a->n_listeners; i++)
		loop_modify(a->loop, &a->listeners[i].source, 0);
	timer_set(a->loop, &a->pause, mono_add(now, PAUSE));
}

static void listener_ready(struct source *s, uint32_t events, mono_t now)
{
	struct listener *l = container_of(s, struct listener, source);

	(void)events;
	for (unsigned i = 0; i < AT_A_TIME; i++) {
		struct sockaddr_storage name;
		socklen_t len = sizeof(name);
		struct endpoint from;
		int fd = accept4(s->fd, (struct sockaddr *)&name, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
			pause_now(l->accept, now);
		if (fd < 0 && errno == ECONNABORTED)
			continue;
		if (fd < 0)
			return;
		if (endpoint_from_sockaddr((struct sockaddr *)&name, &from)) {
			close(fd);
			continue;
		}
		begin(l->accept, fd, &from, l->tls, now);
	}
}

/* ---- open and close ---------------------------------------------------------------- */

int accept_listen(const struct endpoint *at, int backlog)
{
	struct sockaddr_storage name;
	socklen_t len = endpoint_to_sockaddr(at, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, e;

	if (fd < 0)
		return -errno;
	e = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!e && at->ip.family == 6)
		e = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (e < 0 || bind(fd, (struct sockaddr *)&name, len) < 0 || listen(fd, backlog) < 0) {
		e = -errno;
		close(fd);
		return e;
	}
	return fd;
}

static bool add_listener(struct accept *a, const struct endpoint *at, bool tls, FILE *errors)
{
	struct listener *l = &a->listeners[a->n_listeners];
	char text[ENDPOINT_TEXT];
	int fd = accept_listen(at, BACKLOG), e = fd < 0 ? fd : 0;

	*l = (struct listener){ .source = { .fd = fd, .fn = listener_ready },
				.accept = a,
				.tls = tls };
	if (!e)
		e = loop_add(a->loop, &l->source, EPOLLIN);
	if (!e) {
		a->n_listeners++;
		return true;
	}
	if (fd >= 0)
		close(fd);
	fprintf(errors, "[listen] %s: can't listen on %s: %s\n", tls ? "tls" : "tcp",
		endpoint_format(at, text), strerror(-e));
	return false;
}

struct accept *accept_open(struct loop *loop, const struct endpoint *tcp, size_t n_tcp,
			   const struct endpoint *tls, size_t n_tls,
			   struct stream_tls *tls_settings, const struct accept_hooks *hooks,
			   FILE *errors)
{
	struct accept *a = calloc(1, sizeof(*a));
	bool ok;

	if (!a)
		return NULL;
	a->loop = loop;
	a->hooks = *hooks;
	a->tls = tls_settings;
	a->pause.fn = pause_over;
	list_init(&a->pending);
	a->listeners = calloc(n_tcp + n_tls + 1, sizeof(*a->listeners));
	ok = a->listeners != NULL;
	for (size_t i = 0; ok && i < n_tcp; i++)
		ok = add_listener(a, &tcp[i], false, errors);
	for (size_t i = 0; ok && i < n_tls; i++)
		ok = add_listener(a, &tls[i], true, errors);
	if (ok)
		return a;
	accept_close(a);
	return NULL;
}

void accept_close(struct accept *a)
{
	if (!a)
		return;
	list_for_each(node, &a->pending)
		pending_free(container_of(node, struct pending, node));
	timer_cancel(a->loop, &a->pause);
	for (size_t i = 0; i < a->n_listeners; i++) {
		loop_remove(a->loop, &a->listeners[i].source);
		close(a->listeners[i].source.fd);
	}
	free(a->listeners);
	free(a);
}

const struct accept_counts *accept_counts(const struct accept *a)
{
	return &a->counts;
}

size_t accept_pending(const struct accept *a)
{
	return a->n_pending;
}
