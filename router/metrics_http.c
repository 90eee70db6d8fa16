/*
 * Just enough of HTTP/1.1 (RFC 9112) to be scraped: GET /metrics, one request a
 * connection, everything else gets its status code and goodbye.
 *
 * The address may be one that others can reach, so a connection costs little and
 * not for long: the head of a request has a bound, so has the time until its
 * answer is taken, and connections past the number served at once are closed
 * unanswered. Nothing of a request but its first line is believed or used; a body
 * is never read.
 */
#include "router/metrics.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE SEC

struct scrape {
	struct list node;
	struct metrics *metrics;
	struct source source;
	struct timer deadline;
	char *out;
	size_t out_len, sent;
	size_t len;
	char head[METRICS_REQUEST];
};

struct metrics {
	struct router *router;
	struct source listener;
	struct timer pause; /* of accepting, when descriptors are out */
	struct list scrapes;
	unsigned n;
};

/* Length of the head with the empty line that ends it, 0 if that is missing. */
static size_t head_length(const char *head, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (head[i] != '\n')
			continue;
		if (head[i + 1] == '\n')
			return i + 2;
		if (head[i + 1] == '\r' && i + 2 < len && head[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* Takes the word at *p, up to a space; false if there is none. */
static bool word(const char **p, const char *end, const char **ret, size_t *ret_len)
{
	const char *start = *p;

	while (*p < end && **p != ' ')
		(*p)++;
	*ret = start;
	*ret_len = (size_t)(*p - start);
	if (*p < end)
		(*p)++;
	return *ret_len > 0;
}

static bool is(const char *text, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(text, what, len) == 0;
}

int metrics_status(const char *head, size_t len)
{
	const char *method, *target, *version, *p = head, *end, *query;
	size_t method_len, target_len, version_len;

	if (!head_length(head, len))
		return len >= METRICS_REQUEST ? 431 : 0;
	end = memchr(head, '\n', len);
	if (end > head && end[-1] == '\r')
		end--;
	if (!word(&p, end, &method, &method_len) || !word(&p, end, &target, &target_len) ||
	    !word(&p, end, &version, &version_len) || p != end || version_len != 8 ||
	    memcmp(version, "HTTP/1.", 7) != 0)
		return 400;
	query = memchr(target, '?', target_len);
	if (query)
		target_len = (size_t)(query - target);
	if (!is(target, target_len, "/metrics"))
		return 404;
	return is(method, method_len, "GET") ? 200 : 405;
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 431: return "Request Header Fields Too Large";
	default: return "Bad Request";
	}
}

/* Makes the whole answer; false: out of memory. */
static bool answer(struct scrape *s, int status, mono_t now)
{
	char *body = NULL;
	size_t len = 0;
	FILE *page = open_memstream(&body, &len), *out;
	bool ok = false;

	if (!page)
		return false;
	if (status == 200)
		metrics_write(s->metrics->router, page, now);
	else
		fprintf(page, "%s. The figures are at /metrics.\n", reason(status));
	ok = !ferror(page);
	ok &= fclose(page) == 0;
	out = ok ? open_memstream(&s->out, &s->out_len) : NULL;
	if (out) {
		fprintf(out,
			"HTTP/1.1 %d %s\r\nContent-Type: text/plain%s; charset=utf-8\r\n"
			"Content-Length: %zu\r\n%sConnection: close\r\n\r\n",
			status, reason(status), status == 200 ? "; version=0.0.4" : "", len,
			status == 405 ? "Allow: GET\r\n" : "");
		fwrite(body, 1, len, out);
		ok = !ferror(out);
		ok &= fclose(out) == 0;
	}
	free(body);
	return ok && out;
}

static void scrape_free(struct scrape *s)
{
	struct loop *loop = s->metrics->router->loop;

	timer_cancel(loop, &s->deadline);
	loop_remove(loop, &s->source);
	close(s->source.fd);
	list_remove(&s->node);
	s->metrics->n--;
	free(s->out);
	free(s);
}

/* Reads what there is of the head. False: the connection is of no more use. */
static bool receive(struct scrape *s, mono_t now)
{
	ssize_t n = recv(s->source.fd, s->head + s->len, sizeof(s->head) - s->len, MSG_DONTWAIT);
	int status;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	s->len += (size_t)n;
	status = metrics_status(s->head, s->len);
	return status == 0 || (answer(s, status, now) &&
			       loop_modify(s->metrics->router->loop, &s->source, EPOLLOUT) == 0);
}

/* False: all is sent, or nobody takes it. */
static bool transmit(struct scrape *s)
{
	ssize_t n = send(s->source.fd, s->out + s->sent, s->out_len - s->sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->sent += (size_t)n;
	return s->sent < s->out_len;
}

static void ready(struct source *source, uint32_t events, mono_t now)
{
	struct scrape *s = container_of(source, struct scrape, source);
	bool alive = !(events & EPOLLERR);

	if (alive && !s->out)
		alive = receive(s, now);
	if (alive && s->out)
		alive = transmit(s);
	if (!alive)
		scrape_free(s);
}

static void late(struct timer *t, mono_t now)
{
	(void)now;
	scrape_free(container_of(t, struct scrape, deadline));
}

static void go_on(struct timer *t, mono_t now)
{
	struct metrics *m = container_of(t, struct metrics, pause);

	(void)now;
	loop_modify(m->router->loop, &m->listener, EPOLLIN);
}

static void incoming(struct source *source, uint32_t events, mono_t now)
{
	struct metrics *m = container_of(source, struct metrics, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct scrape *s;

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_modify(m->router->loop, source, 0);
			timer_set(m->router->loop, &m->pause, mono_add(now, PAUSE));
		}
		return;
	}
	s = m->n < METRICS_CONNECTIONS ? calloc(1, sizeof(*s)) : NULL;
	if (!s) {
		close(fd);
		return;
	}
	s->metrics = m;
	s->source = (struct source){ .fd = fd, .fn = ready };
	s->deadline.fn = late;
	list_insert(&m->scrapes, &s->node);
	m->n++;
	if (loop_add(m->router->loop, &s->source, EPOLLIN) < 0 ||
	    timer_set(m->router->loop, &s->deadline, mono_add(now, METRICS_TIME)) < 0)
		scrape_free(s);
}

static int start(struct metrics *m, const struct endpoint *address)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(address, &sa);
	int on = 1, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	m->listener = (struct source){ .fd = fd, .fn = incoming };
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (address->ip.family == 6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, METRICS_CONNECTIONS) < 0)
		return -errno;
	return loop_add(m->router->loop, &m->listener, EPOLLIN);
}

struct metrics *metrics_open(struct router *r, const struct endpoint *address, FILE *errors)
{
	struct metrics *m = calloc(1, sizeof(*m));
	char text[ENDPOINT_TEXT];
	int error;

	if (!m) {
		fprintf(errors, "metrics: out of memory\n");
		return NULL;
	}
	m->router = r;
	m->listener.fd = -1;
	m->pause.fn = go_on;
	list_init(&m->scrapes);
	error = start(m, address);
	if (error < 0) {
		fprintf(errors, "metrics at %s: %s\n", endpoint_format(address, text),
			strerror(-error));
		metrics_close(m);
		return NULL;
	}
	return m;
}

void metrics_close(struct metrics *m)
{
	if (!m)
		return;
	list_for_each(node, &m->scrapes)
		scrape_free(container_of(node, struct scrape, node));
	timer_cancel(m->router->loop, &m->pause);
	if (m->listener.fd >= 0) {
		loop_remove(m->router->loop, &m->listener);
		close(m->listener.fd);
	}
	free(m);
}
