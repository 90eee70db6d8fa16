/*
 * See http.h. A connection's way: its head is read until it is complete or refused; who
 * serves is asked, and answers now or later; the answer is sent; that is all. Its time
 * runs from the beginning, whatever happens.
 *
 * Nothing of a request is believed but that it is bytes: http_parse finds the parts of the
 * head, and everything that is not as RFC 9112 has it is refused.
 */
#include "router/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/list.h"
#include "router/accept.h"

#define PAUSE SEC

struct http_request {
	struct list node;
	struct http *http;
	struct source source;
	struct timer deadline;
	struct ip from, at;
	struct http_head head;
	bool asked, answered;
	char *out;
	size_t out_len, sent;
	size_t len;
	char text[HTTP_HEAD];
};

struct http {
	struct loop *loop;
	struct http_limits limits;
	struct http_hooks hooks;
	struct source listener;
	struct timer pause; /* of accepting, when descriptors are out */
	struct list requests;
	unsigned n;
};

/* ---- the head -------------------------------------------------------------------- */

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

/* Takes the line at the beginning of the text, without its end. */
static struct http_text take_line(struct http_text *text)
{
	const char *end = memchr(text->at, '\n', text->len);
	struct http_text line = { text->at, end ? (size_t)(end - text->at) : text->len };
	size_t taken = line.len + (end != NULL);

	text->at += taken;
	text->len -= taken;
	if (end && line.len && end[-1] == '\r')
		line.len--;
	return line;
}

/* Takes what is before the character, and that; all, if it isn't there. */
static struct http_text take_until(struct http_text *text, char c)
{
	const char *end = text->len ? memchr(text->at, c, text->len) : NULL;
	struct http_text part = { text->at, end ? (size_t)(end - text->at) : text->len };
	size_t taken = part.len + (end != NULL);

	text->at += taken;
	text->len -= taken;
	return part;
}

bool http_is(const struct http_text *t, const char *text)
{
	return t->len == strlen(text) && memcmp(t->at, text, t->len) == 0;
}

int http_parse(const char *text, size_t len, struct http_head *ret)
{
	size_t head = head_length(text, len);
	struct http_text rest = { text, head }, line, version;

	if (!head)
		return len >= HTTP_HEAD ? 431 : 0;
	if (head > HTTP_HEAD)
		return 431;
	line = take_line(&rest);
	ret->fields = rest;
	ret->method = take_until(&line, ' ');
	ret->query = take_until(&line, ' ');
	ret->path = take_until(&ret->query, '?');
	version = line;
	if (!ret->method.len || !ret->path.len || version.len != 8 ||
	    memcmp(version.at, "HTTP/1.", 7) != 0 || memchr(version.at, ' ', version.len))
		return 400;
	return 200;
}

static void trim(struct http_text *t)
{
	while (t->len && strchr(" \t", t->at[t->len - 1]) && t->at[t->len - 1])
		t->len--;
	while (t->len && strchr(" \t", t->at[0]) && t->at[0]) {
		t->at++;
		t->len--;
	}
}

bool http_field(const struct http_head *head, const char *name, char *ret, size_t size)
{
	struct http_text rest = head->fields, value = { NULL, 0 };

	while (rest.len) {
		struct http_text line = take_line(&rest), key = take_until(&line, ':');

		if (key.len != strlen(name) || strncasecmp(key.at, name, key.len) != 0)
			continue;
		if (value.at)
			return false;
		value = line;
	}
	trim(&value);
	if (!value.len || value.len >= size)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < ' ' || value.at[i] > '~')
			return false;
	memcpy(ret, value.at, value.len);
	ret[value.len] = '\0';
	return true;
}

/* ---- one connection -------------------------------------------------------------- */

static void request_free(struct http_request *q)
{
	struct http *h = q->http;

	if (q->asked && !q->answered && h->hooks.gone)
		h->hooks.gone(h->hooks.arg, q);
	timer_cancel(h->loop, &q->deadline);
	loop_remove(h->loop, &q->source);
	close(q->source.fd);
	list_remove(&q->node);
	h->n--;
	free(q->out);
	free(q);
}

const struct http_head *http_head(const struct http_request *q)
{
	return &q->head;
}

const struct ip *http_from(const struct http_request *q)
{
	return &q->from;
}

const struct ip *http_at(const struct http_request *q)
{
	return &q->at;
}

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 409: return "Conflict";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	default: return status < 500 ? "Bad Request" : "Internal Server Error";
	}
}

/* Without memory for it the connection just ends. */
void http_answer(struct http_request *q, int status, const char *fields, const char *body,
		 size_t len)
{
	FILE *out = open_memstream(&q->out, &q->out_len);
	bool ok = out != NULL;

	if (out) {
		fprintf(out,
			"HTTP/1.1 %d %s\r\n%sCache-Control: no-store\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n",
			status, reason(status), fields, len);
		fwrite(body, 1, len, out);
		ok = !ferror(out);
		ok &= fclose(out) == 0;
	}
	if (!ok)
		q->out_len = 0;
	q->answered = true;
	loop_modify(q->http->loop, &q->source, EPOLLOUT);
}

static void say(struct http_request *q, int status, const char *more, const char *text)
{
	char fields[128], body[512];
	int len = snprintf(body, sizeof(body), "%.500s\n", text);

	snprintf(fields, sizeof(fields), "Content-Type: text/plain; charset=utf-8\r\n%s", more);
	http_answer(q, status, fields, body, (size_t)len);
}

void http_say(struct http_request *q, int status, const char *text)
{
	say(q, status,
	    status == 401		     ? "WWW-Authenticate: Bearer\r\n"
	    : status == 429 || status == 503 ? "Retry-After: 1\r\n"
					     : "",
	    text);
}

void http_say_405(struct http_request *q, const char *method)
{
	char allow[32], text[64];

	snprintf(allow, sizeof(allow), "Allow: %s\r\n", method);
	snprintf(text, sizeof(text), "this is for %s", method);
	say(q, 405, allow, text);
}

/* Reads what there is of the head. False: the connection is of no more use. */
static bool receive(struct http_request *q, mono_t now)
{
	const struct http_hooks *hooks = &q->http->hooks;
	ssize_t n = recv(q->source.fd, q->text + q->len, sizeof(q->text) - q->len, MSG_DONTWAIT);
	int status;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	q->len += (size_t)n;
	status = http_parse(q->text, q->len, &q->head);
	if (!status)
		return true;
	loop_modify(q->http->loop, &q->source, 0);
	if (status == 200) {
		q->asked = true;
		hooks->asked(hooks->arg, q, now);
	} else {
		http_say(q, status, reason(status));
	}
	return true;
}

/* False: all is sent, or nobody takes it. */
static bool transmit(struct http_request *q)
{
	ssize_t n;

	if (q->sent == q->out_len)
		return false;
	n = send(q->source.fd, q->out + q->sent, q->out_len - q->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	q->sent += (size_t)n;
	return q->sent < q->out_len;
}

static void ready(struct source *source, uint32_t events, mono_t now)
{
	struct http_request *q = container_of(source, struct http_request, source);
	bool alive = !(events & EPOLLERR);

	if (alive && !q->asked && !q->answered)
		alive = receive(q, now);
	else if (alive && !q->answered)
		alive = !(events & EPOLLHUP);
	if (alive && q->answered)
		alive = transmit(q);
	if (!alive)
		request_free(q);
}

static void late(struct timer *t, mono_t now)
{
	(void)now;
	request_free(container_of(t, struct http_request, deadline));
}

/* ---- all of them ----------------------------------------------------------------- */

static void go_on(struct timer *t, mono_t now)
{
	struct http *h = container_of(t, struct http, pause);

	(void)now;
	loop_modify(h->loop, &h->listener, EPOLLIN);
}

static bool has_room(const struct http *h, const struct ip *from)
{
	unsigned own = 0;

	list_for_each(node, &h->requests)
		own += ip_same_source(&container_of(node, struct http_request, node)->from, from);
	return h->n < h->limits.connections && own < h->limits.per_source;
}

static void begin(struct http *h, int fd, const struct ip *from, mono_t now)
{
	struct http_request *q = has_room(h, from) ? calloc(1, sizeof(*q)) : NULL;
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct endpoint at;

	if (!q || getsockname(fd, (struct sockaddr *)&name, &len) ||
	    endpoint_from_sockaddr((struct sockaddr *)&name, &at)) {
		close(fd);
		free(q);
		return;
	}
	q->http = h;
	q->from = *from;
	q->at = at.ip;
	q->source = (struct source){ .fd = fd, .fn = ready };
	q->deadline.fn = late;
	list_insert(&h->requests, &q->node);
	h->n++;
	if (loop_add(h->loop, &q->source, EPOLLIN) < 0 ||
	    timer_set(h->loop, &q->deadline, mono_add(now, h->limits.time)) < 0)
		request_free(q);
}

static void incoming(struct source *source, uint32_t events, mono_t now)
{
	struct http *h = container_of(source, struct http, listener);
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct endpoint from;
	int fd = accept4(source->fd, (struct sockaddr *)&name, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_modify(h->loop, source, 0);
			timer_set(h->loop, &h->pause, mono_add(now, PAUSE));
		}
		return;
	}
	if (endpoint_from_sockaddr((struct sockaddr *)&name, &from))
		close(fd);
	else
		begin(h, fd, &from.ip, now);
}

struct http *http_open(struct loop *loop, const struct endpoint *address,
		       const struct http_limits *limits, const struct http_hooks *hooks,
		       const char *what, FILE *errors)
{
	struct http *h = calloc(1, sizeof(*h));
	char text[ENDPOINT_TEXT];
	int error;

	if (!h) {
		fprintf(errors, "%s: out of memory\n", what);
		return NULL;
	}
	h->loop = loop;
	h->limits = *limits;
	h->hooks = *hooks;
	h->pause.fn = go_on;
	list_init(&h->requests);
	h->listener = (struct source){ .fd = accept_listen(address, 128), .fn = incoming };
	error = h->listener.fd < 0 ? h->listener.fd : loop_add(loop, &h->listener, EPOLLIN);
	if (error < 0) {
		fprintf(errors, "%s at %s: %s\n", what, endpoint_format(address, text),
			strerror(-error));
		http_close(h);
		return NULL;
	}
	return h;
}

void http_close(struct http *h)
{
	if (!h)
		return;
	list_for_each(node, &h->requests)
		request_free(container_of(node, struct http_request, node));
	timer_cancel(h->loop, &h->pause);
	if (h->listener.fd >= 0) {
		loop_remove(h->loop, &h->listener);
		close(h->listener.fd);
	}
	free(h);
}
