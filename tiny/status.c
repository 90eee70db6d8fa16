/*
 * See status.h. An answer is small enough for any socket's buffer: it is written at once or
 * not at all, so nobody can make this process wait.
 */
#include "tiny/status.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tiny/lock.h"

#define STATUS_MAX 1024
#define BURST 16
#define PATIENCE 3 /* seconds, of who asks */

static void add_address(FILE *f, const struct ip *ip)
{
	char text[IP_TEXT];

	if (ip->family)
		fprintf(f, "address: %s\n", ip_format(ip, text));
}

static size_t tell(const struct tiny *t, char text[static STATUS_MAX], mono_t now)
{
	const struct contact *c = tiny_router(t);
	const struct tiny_router *r = &t->config->routers[t->which];
	FILE *f = fmemopen(text, STATUS_MAX, "w");
	char way[WAYS_TEXT];
	long n;

	if (!f)
		return 0;
	fprintf(f, "state: %s\nsince: %lld s\n", c->up ? "up" : "down",
		(long long)(mono_since(now, c->up ? c->up_since : c->down_since) / SEC));
	fprintf(f, "name: %s\nid: %u\nrouter: %s:%u\n", t->config->name, t->config->id, r->host,
		r->port);
	if (c->peer->path)
		fprintf(f, "by: %s %s\n", ways_transport(c, &c->peer->path->way),
			endpoint_format(&c->peer->path->way.remote, way));
	if (t->network.id)
		fprintf(f, "network: %u, %s\n", t->network.id,
			protection_name(t->network.protection));
	add_address(f, &t->address4);
	add_address(f, &t->address6);
	fflush(f);
	n = ftell(f);
	fclose(f);
	return n > 0 ? (size_t)n : 0;
}

static void asked(struct source *s, uint32_t events, mono_t now)
{
	const struct status *status = container_of(s, struct status, source);
	char text[STATUS_MAX];

	(void)events;
	for (unsigned i = 0; i < BURST; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		send(fd, text, tell(status->tiny, text, now), MSG_NOSIGNAL);
		close(fd);
	}
}

int status_open(struct status *s, int fd, struct loop *loop, const struct tiny *tiny)
{
	*s = (struct status){ .source = { .fd = fd, .fn = asked }, .tiny = tiny };
	return loop_add(loop, &s->source, EPOLLIN);
}

void status_close(struct status *s, struct loop *loop)
{
	if (s->tiny)
		loop_remove(loop, &s->source);
	s->tiny = NULL;
}

bool status_ask(const char *device, FILE *out)
{
	const struct timeval patience = { .tv_sec = PATIENCE };
	char text[STATUS_MAX + 1];
	int fd = lock_connect(device);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0) {
		fprintf(out, "state: not running\n");
		return false;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (len < STATUS_MAX && (n = recv(fd, text + len, STATUS_MAX - len, 0)) > 0)
		len += (size_t)n;
	close(fd);
	text[len] = '\0';
	fprintf(out, "%s", len ? text : "state: does not answer\n");
	return strncmp(text, "state: up\n", strlen("state: up\n")) == 0;
}
