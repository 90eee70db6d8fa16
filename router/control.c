/*
 * The control socket: descriptors, lines and bounds; what a line means is in
 * verbs.c.
 *
 * A connection has one request under way at a time: the next line is looked at
 * when the answer to the last one has left, so that a reader that does not read
 * costs one answer's memory, and a writer that does not stop costs one line's.
 * All sending is done by the connection's own callback; whoever has an answer
 * only queues it. A connection is freed by its own callbacks or by control_close
 * and by nothing else.
 *
 * The socket is the authority: who may open it may do everything. It is made with
 * mode 0600 from the first moment on.
 */
#include "router/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "router/netcheck.h"

#define PAUSE SEC

struct connection {
	struct list node;
	struct control *control;
	struct source source;
	struct timer idle;
	uint32_t events;     /* asked for */
	struct pings *pings; /* under way */
	struct netcheck_waiter netcheck;
	bool eof;     /* nothing more to read */
	bool closing; /* to be closed once everything has been sent */
	char *out;    /* queued; out[sent..out_len-1] is still to go */
	size_t out_len, sent;
	size_t in_len;
	char in[CONTROL_LINE + 1];
};

struct control {
	struct router *router;
	struct control_hooks hooks;
	struct source listener;
	struct timer pause; /* of accepting, when descriptors are out */
	struct list connections;
	unsigned n;
	struct sockaddr_un address;
	dev_t device; /* of the socket, to know it again */
	ino_t inode;
};

static void connection_free(struct connection *k)
{
	struct loop *loop = k->control->router->loop;

	pings_free(k->pings);
	netcheck_leave(k->control->router, &k->netcheck);
	timer_cancel(loop, &k->idle);
	loop_remove(loop, &k->source);
	close(k->source.fd);
	list_remove(&k->node);
	k->control->n--;
	free(k->out);
	free(k);
}

/* Whether a request takes its time. */
static bool is_busy(const struct connection *k)
{
	return k->pings || k->netcheck.fn;
}

/* Whether a line waits that can be looked at now. */
static bool line_waits(const struct connection *k)
{
	return !is_busy(k) &&
	       (k->eof || k->in_len > CONTROL_LINE || memchr(k->in, '\n', k->in_len));
}

/* A writable socket calls back at once: so the next line gets its turn after those
 * of everybody else. */
static void want(struct connection *k)
{
	bool writing = k->out_len > k->sent || line_waits(k);
	bool reading = !writing && !is_busy(k) && !k->eof && !k->closing;
	uint32_t events = (writing ? EPOLLOUT : 0) | (reading ? EPOLLIN : 0);

	if (events != k->events && loop_modify(k->control->router->loop, &k->source, events) == 0)
		k->events = events;
}

/* Queues an answer, which it takes over; NULL stands for out of memory. A reader
 * that is too slow loses its connection. */
static void queue(struct connection *k, json_t *answer)
{
	static const char no_memory[] = "{\"ok\":false,\"error\":\"out of memory\"}";
	char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
	const char *line = text ? text : no_memory;
	size_t len = strlen(line), left = k->out_len - k->sent;
	char *out = NULL;

	json_decref(answer);
	if (left + len + 1 <= CONTROL_PENDING)
		out = malloc(left + len + 1);
	if (out) {
		if (left)
			memcpy(out, k->out + k->sent, left);
		memcpy(out + left, line, len);
		out[left + len] = '\n';
		free(k->out);
		k->out = out;
		k->out_len = left + len + 1;
		k->sent = 0;
	} else {
		k->closing = true;
		k->out_len = k->sent = 0;
	}
	free(text);
}

/* The callback goes on with what else has come in. */
static void go_on_with(struct connection *k)
{
	if (loop_modify(k->control->router->loop, &k->source, EPOLLOUT) == 0)
		k->events = EPOLLOUT;
}

static void pinged(void *arg, json_t *result, const char *error, bool last)
{
	struct connection *k = arg;
	json_t *answer = error ? control_error("%s", error) : control_ok(result);

	if (answer && !last)
		json_object_set_new(answer, "more", json_true());
	queue(k, answer);
	if (last) {
		pings_free(k->pings);
		k->pings = NULL;
	}
	go_on_with(k);
}

static void checked(void *arg, json_t *result)
{
	struct connection *k = arg;

	queue(k, result ? control_ok(result) : NULL);
	go_on_with(k);
}

static void handle(struct connection *k, const char *line, size_t len, mono_t now)
{
	struct control *c = k->control;
	struct control_task task;
	json_t *answer = control_answer(c->router, &c->hooks, line, len, now, &task);

	if (task.kind == TASK_PINGS)
		k->pings = pings_new(c->router, &task.pings, pinged, k, now);
	else if (task.kind == TASK_NETCHECK &&
		 netcheck_join(c->router, &k->netcheck, checked, k, now) == -ENOENT)
		answer = control_error("there is nothing to check from here: no [peer] has an "
				       "endpoint");
	if (!is_busy(k))
		queue(k, answer);
}

/* The first whole line that waits, if nothing is under way. */
static void take_line(struct connection *k, mono_t now)
{
	char *end = memchr(k->in, '\n', k->in_len);
	size_t len = end ? (size_t)(end - k->in) : k->in_len;

	if (!end && k->in_len > CONTROL_LINE) {
		queue(k, control_error("request longer than %d bytes", CONTROL_LINE));
		k->closing = true;
		return;
	}
	/* A last line may lack its end. */
	if (end || (k->eof && len)) {
		handle(k, k->in, len, now);
		k->in_len -= len + (end != NULL);
		memmove(k->in, k->in + len + (end != NULL), k->in_len);
	} else if (k->eof) {
		k->closing = true;
	}
}

/* False: the other side is gone. */
static bool receive(struct connection *k)
{
	ssize_t n;

	if (k->in_len == sizeof(k->in))
		return true;
	n = recv(k->source.fd, k->in + k->in_len, sizeof(k->in) - k->in_len, MSG_DONTWAIT);
	if (n == 0)
		k->eof = true;
	else if (n > 0)
		k->in_len += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		return false;
	return true;
}

/* False: the other side is gone. */
static bool transmit(struct connection *k, bool *ret_any)
{
	ssize_t n;

	if (k->sent == k->out_len)
		return true;
	n = send(k->source.fd, k->out + k->sent, k->out_len - k->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	*ret_any |= n > 0;
	k->sent += (size_t)n;
	if (k->sent == k->out_len) {
		free(k->out);
		k->out = NULL;
		k->out_len = k->sent = 0;
	}
	return true;
}

static void ready(struct source *s, uint32_t events, mono_t now)
{
	struct connection *k = container_of(s, struct connection, source);
	bool alive = true, any = false;

	if (events & EPOLLIN) {
		alive = receive(k);
		any = true;
	}
	alive = alive && transmit(k, &any);
	if (alive && !k->out_len && !is_busy(k) && !k->closing) {
		take_line(k, now);
		alive = transmit(k, &any);
	}
	/* What is done for nobody ends. */
	if (!alive || (events & (EPOLLERR | EPOLLHUP)) || (k->closing && !k->out_len)) {
		connection_free(k);
		return;
	}
	if (any)
		timer_set(k->control->router->loop, &k->idle, mono_add(now, CONTROL_IDLE));
	want(k);
}

static void idle(struct timer *t, mono_t now)
{
	struct connection *k = container_of(t, struct connection, idle);

	if (is_busy(k) && !k->closing && k->out_len == k->sent)
		timer_set(k->control->router->loop, t, mono_add(now, CONTROL_IDLE));
	else
		connection_free(k);
}

static void refuse(int fd)
{
	static const char line[] = "{\"ok\":false,\"error\":\"too many connections\"}\n";

	send(fd, line, sizeof(line) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void go_on(struct timer *t, mono_t now)
{
	struct control *c = container_of(t, struct control, pause);

	(void)now;
	loop_modify(c->router->loop, &c->listener, EPOLLIN);
}

static void incoming(struct source *s, uint32_t events, mono_t now)
{
	struct control *c = container_of(s, struct control, listener);
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct connection *k;

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_modify(c->router->loop, s, 0);
			timer_set(c->router->loop, &c->pause, mono_add(now, PAUSE));
		}
		return;
	}
	k = c->n < CONTROL_CONNECTIONS ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		refuse(fd);
		return;
	}
	k->control = c;
	k->source = (struct source){ .fd = fd, .fn = ready };
	k->idle.fn = idle;
	k->events = EPOLLIN;
	if (loop_add(c->router->loop, &k->source, EPOLLIN) < 0) {
		refuse(fd);
		free(k);
		return;
	}
	list_insert(&c->connections, &k->node);
	c->n++;
	timer_set(c->router->loop, &k->idle, mono_add(now, CONTROL_IDLE));
}

static int make_directory(const char *path)
{
	char *directory = strdup(path), *slash = directory ? strrchr(directory, '/') : NULL;
	int r = directory ? 0 : -ENOMEM;

	if (slash && slash != directory) {
		*slash = '\0';
		if (mkdir(directory, 0755) < 0 && errno != EEXIST)
			r = -errno;
	}
	free(directory);
	return r;
}

/* Removes the socket of a router that is no more. 0: the place is free. -EADDRINUSE:
 * somebody listens there; -ENOTSOCK: it is something else. */
static int make_room(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, r = 0;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = -errno;
	close(fd);
	if (r == 0 && unlink(address->sun_path) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static int start(struct control *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	c->listener = (struct source){ .fd = fd, .fn = incoming };
	/* The mode of an unbound socket is the one that bind gives the file. */
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&c->address, sizeof(c->address)) < 0)
		return -errno;
	if (lstat(c->address.sun_path, &st) == 0) {
		c->device = st.st_dev;
		c->inode = st.st_ino;
	}
	if (chmod(c->address.sun_path, 0600) < 0 || listen(fd, CONTROL_CONNECTIONS) < 0)
		return -errno;
	return loop_add(c->router->loop, &c->listener, EPOLLIN);
}

struct control *control_open(struct router *router, struct control_hooks hooks, const char *path,
			     FILE *errors)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		fprintf(errors, "control socket: out of memory\n");
		return NULL;
	}
	c->router = router;
	c->hooks = hooks;
	c->listener.fd = -1;
	c->pause.fn = go_on;
	c->address.sun_family = AF_UNIX;
	list_init(&c->connections);

	if (strlen(path) >= sizeof(c->address.sun_path)) {
		fprintf(errors, "control socket %s: longer than %zu bytes\n", path,
			sizeof(c->address.sun_path) - 1);
		goto fail;
	}
	strcpy(c->address.sun_path, path);
	r = make_directory(path);
	if (r < 0) {
		fprintf(errors, "control socket %s: can't make its directory: %s\n", path,
			strerror(-r));
		goto fail;
	}
	r = make_room(&c->address);
	if (r == 0)
		r = start(c);
	if (r < 0) {
		fprintf(errors, "control socket %s: %s\n", path,
			r == -EADDRINUSE ? "another router is running and listens there"
			: r == -ENOTSOCK ? "the file there is not a socket, and is left alone"
					 : strerror(-r));
		goto fail;
	}
	return c;
fail:
	control_close(c);
	return NULL;
}

void control_close(struct control *c)
{
	struct stat st;

	if (!c)
		return;
	list_for_each(node, &c->connections)
		connection_free(container_of(node, struct connection, node));
	timer_cancel(c->router->loop, &c->pause);
	if (c->listener.fd >= 0) {
		loop_remove(c->router->loop, &c->listener);
		close(c->listener.fd);
	}
	if (c->inode && lstat(c->address.sun_path, &st) == 0 && st.st_dev == c->device &&
	    st.st_ino == c->inode)
		unlink(c->address.sun_path);
	free(c);
}
