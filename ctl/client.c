/*
 * The client's end of the control socket: blocking, with a bound on how long a
 * router may take and on how much it may say.
 */
#include "ctl/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (64 << 20)
#define ANSWER_TIME 15 /* seconds of silence */

struct client {
	int fd;
	char *in;
	size_t len, room;
};

static void explain(const char *path, int error)
{
	if (error == ENOENT || error == ECONNREFUSED)
		ctl_failed("no router at %s: is vine-router running? (--control names another)",
			   path);
	else if (error == EACCES || error == EPERM)
		ctl_failed("%s: permission denied: only the router's own user (root) may ask",
			   path);
	else
		ctl_failed("%s: %s", path, strerror(error));
}

struct client *client_open(const struct ctl *ctl)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = ANSWER_TIME };
	struct client *c = calloc(1, sizeof(*c));

	if (!c || strlen(ctl->socket) >= sizeof(address.sun_path)) {
		explain(ctl->socket, c ? ENAMETOOLONG : ENOMEM);
		free(c);
		return NULL;
	}
	strcpy(address.sun_path, ctl->socket);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0) {
		explain(ctl->socket, errno);
		client_close(c);
		return NULL;
	}
	return c;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
	free(c);
}

void client_wait(struct client *c, double seconds)
{
	struct timeval tv = { .tv_sec = ANSWER_TIME + (time_t)seconds };

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

bool client_send(struct client *c, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	bool ok = true;

	json_decref(request);
	if (!text) {
		ctl_failed("out of memory, or an argument is not UTF-8");
		return false;
	}
	text[len++] = '\n'; /* where the end of the string was */
	for (size_t sent = 0; ok && sent < len;) {
		ssize_t n = send(c->fd, text + sent, len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			ok = false;
	}
	free(text);
	if (!ok)
		ctl_failed("the router does not take the request: %s", strerror(errno));
	return ok;
}

static bool make_room(struct client *c)
{
	size_t room = c->room ? c->room * 2 : 65536;
	char *in = room <= ANSWER_MAX ? realloc(c->in, room) : NULL;

	if (!in)
		return false;
	c->in = in;
	c->room = room;
	return true;
}

/* Reads until there is a whole line; its length, or -1. */
static ssize_t read_line(struct client *c)
{
	size_t seen = 0;

	for (;;) {
		char *end = c->len > seen ? memchr(c->in + seen, '\n', c->len - seen) : NULL;
		ssize_t n;

		if (end)
			return end - c->in;
		seen = c->len;
		if (c->len == c->room && !make_room(c)) {
			ctl_failed("the answer is too large");
			return -1;
		}
		n = recv(c->fd, c->in + c->len, c->room - c->len, 0);
		if (n > 0) {
			c->len += (size_t)n;
		} else if (n == 0) {
			ctl_failed("the router has ended the connection");
			return -1;
		} else if (errno != EINTR) {
			ctl_failed(errno == EAGAIN ? "the router does not answer"
						   : "connection to the router: %s",
				   strerror(errno));
			return -1;
		}
	}
}

/* An error may have several lines: those of a configuration that was refused. */
static void print_error(const char *text)
{
	const char *end = strchr(text, '\n');

	if (!end) {
		ctl_failed("%s", text);
		return;
	}
	ctl_failed("the router says:");
	fprintf(stderr, "%s\n", text);
}

json_t *client_recv(struct client *c, bool *ret_more)
{
	ssize_t len = read_line(c);
	json_t *answer, *result = NULL;
	const char *error;
	json_error_t e;

	if (len < 0)
		return NULL;
	answer = json_loadb(c->in, (size_t)len, 0, &e);
	c->len -= (size_t)len + 1;
	memmove(c->in, c->in + len + 1, c->len);
	if (json_is_true(json_object_get(answer, "ok"))) {
		result = json_incref(json_object_get(answer, "result"));
		if (ret_more)
			*ret_more = json_is_true(json_object_get(answer, "more"));
	}
	if (!result) {
		error = json_string_value(json_object_get(answer, "error"));
		print_error(error ? error : "the router's answer can't be read");
	}
	json_decref(answer);
	return result;
}

json_t *client_ask(const struct ctl *ctl, json_t *request)
{
	struct client *c = client_open(ctl);
	json_t *result = NULL;

	if (!c)
		json_decref(request);
	else if (client_send(c, request))
		result = client_recv(c, NULL);
	client_close(c);
	return result;
}

/* Appends the entries of the page after `next`; false on failure. */
static bool next_page(struct client *c, json_t *all, const char *what, const char *key,
		      json_t *next)
{
	json_t *page;
	int bad;

	if (!client_send(c, json_pack("{s:s, s:s, s:O}", "verb", "show", "what", what, "offset",
				      next)))
		return false;
	page = client_recv(c, NULL);
	if (!page)
		return false;
	bad = json_array_extend(json_object_get(all, key), json_object_get(page, key));
	json_object_del(all, "next");
	next = json_object_get(page, "next");
	if (next)
		bad |= json_object_set(all, "next", next);
	json_decref(page);
	if (bad)
		ctl_failed("out of memory, or the router's answer can't be read");
	return !bad;
}

json_t *client_list(const struct ctl *ctl, const char *what, const char *key)
{
	struct client *c = client_open(ctl);
	json_t *all = NULL, *next;

	if (!c)
		return NULL;
	if (client_send(c, json_pack("{s:s, s:s}", "verb", "show", "what", what)))
		all = client_recv(c, NULL);
	while (all && (next = json_object_get(all, "next")))
		if (!next_page(c, all, what, key, next)) {
			json_decref(all);
			all = NULL;
		}
	client_close(c);
	return all;
}

int client_print_json(json_t *result)
{
	int bad;

	if (!result)
		return EXIT_FAILED;
	bad = json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	putchar('\n');
	json_decref(result);
	return bad ? ctl_failed("can't write the answer to standard output") : EXIT_DONE;
}
