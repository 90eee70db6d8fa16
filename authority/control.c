/*
 * One request for each connection, and only a few connections at once: further ones wait
 * in the kernel's queue.
 */
#include "authority/control.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "authority/memory.h"
#include "common/list.h"

enum { WORD = 64, CALLS = 8 };
static const struct timeval patience = { .tv_sec = 5 };

struct control {
	struct event_base *base;
	struct event *event;
	char *path;
	control_fn *fn;
	void *arg;
	struct list calls;
	unsigned n;
	int fd;
};

struct control_call {
	struct control *control;
	struct list node;
	struct event *event; /* for its request */
	int fd;
};

static bool address_of(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return false;
	strcpy(ret->sun_path, path);
	return true;
}

static int connect_to(const char *path)
{
	struct sockaddr_un a;
	int fd = -1;

	if (!address_of(path, &a))
		errno = ENAMETOOLONG;
	else
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		int e = errno;

		close(fd);
		errno = e;
		fd = -1;
	}
	return fd;
}

/* ---- who serves ---------------------------------------------------------------- */

static void call_end(struct control_call *c)
{
	struct control *control = c->control;

	list_remove(&c->node);
	if (control->n-- == CALLS)
		event_add(control->event, NULL);
	event_free(c->event);
	close(c->fd);
	free(c);
}

void control_answer(struct control_call *c, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);

	json_decref(answer);
	if (text)
		send(c->fd, text, strlen(text), MSG_NOSIGNAL);
	free(text);
	call_end(c);
}

/* The request's word; the descriptor that came with it, or -1. */
static bool receive(int fd, char word[static WORD], int *ret_fd)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { word, WORD - 1 };
	struct msghdr m = { .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space) };
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	*ret_fd = -1;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	if (n <= 0)
		return false;
	word[n] = '\0';
	return true;
}

static void on_request(evutil_socket_t fd, short events, void *arg)
{
	struct control_call *c = arg;
	char word[WORD];
	int given = -1;

	if (events & EV_TIMEOUT || !receive(fd, word, &given)) {
		if (given >= 0)
			close(given);
		call_end(c);
		return;
	}
	c->control->fn(c->control->arg, c, word, given);
}

static void on_connection(evutil_socket_t fd, short events, void *arg)
{
	struct control *control = arg;
	int own = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control_call *c;

	(void)events;
	if (own < 0)
		return;
	c = mem_new(1, sizeof(*c));
	c->control = control;
	c->fd = own;
	c->event = event_new(control->base, own, EV_READ, on_request, c);
	if (!c->event || event_add(c->event, &patience))
		abort();
	list_insert(&control->calls, &c->node);
	if (++control->n == CALLS)
		event_del(control->event);
}

static int listen_at(const char *path, char error[static CONTROL_ERROR])
{
	int fd = connect_to(path);
	struct sockaddr_un a;
	mode_t mask;

	if (fd >= 0) {
		close(fd);
		snprintf(error, CONTROL_ERROR, "%.200s: another process serves there", path);
		return -1;
	}
	if (errno == ECONNREFUSED)
		unlink(path);
	mask = umask(0177);
	if (!address_of(path, &a))
		errno = ENAMETOOLONG;
	else
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, CALLS))) {
		int e = errno;

		close(fd);
		errno = e;
		fd = -1;
	}
	umask(mask);
	if (fd < 0)
		snprintf(error, CONTROL_ERROR, "%.200s: %s", path, strerror(errno));
	return fd;
}

struct control *control_open(struct event_base *base, const char *path, control_fn *fn, void *arg,
			     char error[static CONTROL_ERROR])
{
	int fd = listen_at(path, error);
	struct control *c;

	if (fd < 0)
		return NULL;
	c = mem_new(1, sizeof(*c));
	*c = (struct control){
		.base = base, .path = mem_text(path), .fn = fn, .arg = arg, .fd = fd
	};
	list_init(&c->calls);
	c->event = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, c);
	if (!c->event || event_add(c->event, NULL))
		abort();
	return c;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	while (!list_is_empty(&c->calls))
		call_end(container_of(c->calls.next, struct control_call, node));
	event_free(c->event);
	close(c->fd);
	unlink(c->path);
	free(c->path);
	free(c);
}

bool control_idle(const struct control *c)
{
	return !c || !c->n;
}

/* ---- who asks ------------------------------------------------------------------ */

static bool send_word(int fd, const char *word, int given)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { (void *)word, strlen(word) };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (given >= 0) {
		m.msg_control = space;
		m.msg_controllen = sizeof(space);
		c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &given, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) >= 0;
}

json_t *control_ask(const char *path, const char *word, int given, bool *ret_nobody,
		    char error[static CONTROL_ERROR])
{
	int fd = connect_to(path);
	char *text;
	ssize_t n = -1;
	json_t *answer = NULL;

	*ret_nobody = fd < 0 && (errno == ENOENT || errno == ECONNREFUSED);
	if (fd < 0) {
		snprintf(error, CONTROL_ERROR, "%.200s: %s", path,
			 *ret_nobody ? "no vine-authority serves there" : strerror(errno));
		return NULL;
	}
	text = mem_new(1, CONTROL_ANSWER);
	if (send_word(fd, word, given))
		n = recv(fd, text, CONTROL_ANSWER, 0);
	if (n > 0)
		answer = json_loadb(text, (size_t)n, 0, NULL);
	if (!answer)
		snprintf(error, CONTROL_ERROR, "%.200s: vine-authority ended, or gave no answer",
			 path);
	free(text);
	close(fd);
	return answer;
}
