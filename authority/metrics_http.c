/*
 * Just enough of HTTP: the head of a request is read up to its blank line, the rest isn't
 * looked at, and the answer ends the connection. So many connections at once; further ones
 * wait in the kernel's queue.
 */
#include "authority/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "authority/memory.h"
#include "common/list.h"

struct metrics {
	struct event_base *base;
	struct evconnlistener *listener;
	metrics_fn *fn;
	void *arg;
	struct list clients;
	unsigned n;
};

struct client {
	struct metrics *metrics;
	struct bufferevent *b;
	struct list node;
};

static void client_end(struct client *c)
{
	struct metrics *m = c->metrics;

	list_remove(&c->node);
	bufferevent_free(c->b);
	free(c);
	if (m->n-- == METRICS_CONNECTIONS)
		evconnlistener_enable(m->listener);
}

static void on_end(struct bufferevent *b, short events, void *arg)
{
	(void)b, (void)events;
	client_end(arg);
}

static void on_written(struct bufferevent *b, void *arg)
{
	if (!evbuffer_get_length(bufferevent_get_output(b)))
		client_end(arg);
}

static void add_page(struct metrics *m, struct evbuffer *out, bool body)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	m->fn(m->arg, f);
	if (fclose(f))
		abort();
	evbuffer_add_printf(out,
			    "HTTP/1.1 200 OK\r\n"
			    "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
			    "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			    len);
	if (body)
		evbuffer_add(out, text, len);
	free(text);
}

static void on_request(struct bufferevent *b, void *arg)
{
	struct client *c = arg;
	struct evbuffer *in = bufferevent_get_input(b), *out = bufferevent_get_output(b);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char line[64] = "";
	const char *status = NULL;
	bool get, head;

	if (end.pos < 0 && evbuffer_get_length(in) < METRICS_REQUEST)
		return;
	evbuffer_copyout(in, line, sizeof(line) - 1);
	get = !strncmp(line, "GET ", 4);
	head = !strncmp(line, "HEAD ", 5);
	if (end.pos < 0)
		status = "431 Request Header Fields Too Large";
	else if (!get && !head)
		status = "405 Method Not Allowed";
	else if (strncmp(line + (get ? 4 : 5), "/metrics ", 9))
		status = "404 Not Found";
	bufferevent_disable(b, EV_READ);
	bufferevent_setcb(b, NULL, on_written, on_end, c);
	if (status)
		evbuffer_add_printf(out,
				    "HTTP/1.1 %s\r\nContent-Length: 0\r\n"
				    "Connection: close\r\n\r\n",
				    status);
	else
		add_page(c->metrics, out, get);
}

static void on_connection(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int len,
			  void *arg)
{
	static const struct timeval patience = { .tv_sec = METRICS_TIME };
	struct metrics *m = arg;
	struct client *c = mem_new(1, sizeof(*c));

	(void)l, (void)a, (void)len;
	c->metrics = m;
	c->b = bufferevent_socket_new(m->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->b)
		abort();
	list_insert(&m->clients, &c->node);
	bufferevent_setcb(c->b, on_request, NULL, on_end, c);
	bufferevent_setwatermark(c->b, EV_READ, 0, METRICS_REQUEST);
	bufferevent_set_timeouts(c->b, &patience, &patience);
	bufferevent_enable(c->b, EV_READ | EV_WRITE);
	if (++m->n == METRICS_CONNECTIONS)
		evconnlistener_disable(m->listener);
}

struct metrics *metrics_open(struct event_base *base, const struct endpoint *e, metrics_fn *fn,
			     void *arg)
{
	struct metrics *m = mem_new(1, sizeof(*m));
	struct sockaddr_storage a;
	socklen_t len = endpoint_to_sockaddr(e, &a);

	*m = (struct metrics){ .base = base, .fn = fn, .arg = arg };
	list_init(&m->clients);
	errno = ENOMEM;
	m->listener = evconnlistener_new_bind(base, on_connection, m,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
						      LEV_OPT_REUSEABLE,
					      16, (struct sockaddr *)&a, (int)len);
	if (m->listener)
		return m;
	free(m);
	return NULL;
}

void metrics_close(struct metrics *m)
{
	if (!m)
		return;
	while (!list_is_empty(&m->clients))
		client_end(container_of(m->clients.next, struct client, node));
	evconnlistener_free(m->listener);
	free(m);
}
