/*
 * Watched names, by c-ares on the control loop.
 *
 * Each question has a c-ares channel of its own, so that it is asked of the name
 * servers that the system has now (a laptop moves), and so that dropping one
 * disturbs no other. The channel lives until the next question of its watch.
 *
 * c-ares calls back from inside its own functions, where it must not be
 * destroyed; so an answer is only noted there, and told by a timer in the same or
 * the next turn. From then on the watch's owner may do with it what he likes.
 *
 * c-ares looks into the hosts file first ("fb"): the one thing here that reads a
 * file, a short one.
 *
 * Failures are told when they begin and when their reason changes, not each time.
 */
#include "router/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/list.h"

#define SOURCES_MAX 16 /* sockets of one question: servers, UDP and TCP */
#define TTL_MIN 30     /* seconds */
#define TTL_MAX 3600
#define REFRESH_MIN (5 * SEC)
#define BACKOFF_MIN (2 * SEC)
#define BACKOFF_MAX (60 * SEC)
#define TRIES 2 /* per server; c-ares doubles the wait for the second */
#define TIMEOUT 2000

struct resolver {
	struct loop *loop;
	char *servers; /* NULL: the system's */
	int timeout;   /* milliseconds */
	struct list watches;
};

/* One socket of the question under way; fd -1: not in use. */
struct socket {
	struct source source;
	struct watch *watch;
};

struct watch {
	struct resolver *resolver;
	struct list node;
	char *host;
	resolve_fn *fn;
	void *arg;
	struct ip numeric; /* family 0: a name */

	ares_channel channel; /* NULL: not asked yet */
	bool pending;
	mono_t now;	   /* of the call into c-ares */
	mono_t asked;	   /* when the last question began */
	int64_t backoff;   /* 0 after an answer */
	struct timer ask;  /* the next question */
	struct timer wait; /* what c-ares waits for */
	struct timer tell; /* the result that is noted */
	struct socket sockets[SOURCES_MAX];

	struct ip ips[RESOLVE_MAX]; /* of the last answer */
	size_t n;
	const char *error;	     /* of the last question, NULL if it was answered */
	struct ip told[RESOLVE_MAX]; /* what fn has been told */
	size_t n_told;
	const char *told_error;
	bool any_told;
};

/* "At once": any time that has passed. */
static void soon(struct watch *w, struct timer *t)
{
	timer_set(w->resolver->loop, t, (mono_t){ 1 });
}

/* ---- what has been found ------------------------------------------------- */

static bool has(const struct ip *ips, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++)
		if (ip_equal(&ips[i], ip))
			return true;
	return false;
}

/* Whether fn knows it already. Name servers rotate their answers: order does not
 * count. */
static bool is_told(const struct watch *w)
{
	if (!w->any_told || w->error || w->told_error)
		return w->any_told && w->error && w->told_error && !strcmp(w->error, w->told_error);
	if (w->n != w->n_told)
		return false;
	for (size_t i = 0; i < w->n; i++)
		if (!has(w->told, w->n_told, &w->ips[i]))
			return false;
	return true;
}

static void tell(struct timer *t, mono_t now)
{
	struct watch *w = container_of(t, struct watch, tell);

	if (is_told(w))
		return;
	w->any_told = true;
	w->told_error = w->error;
	if (!w->error) {
		memcpy(w->told, w->ips, sizeof(w->told));
		w->n_told = w->n;
	}
	/* The last word here: fn may free the watch. */
	if (w->error)
		w->fn(w->arg, NULL, 0, w->error, now);
	else
		w->fn(w->arg, w->told, w->n_told, NULL, now);
}

/* Takes the addresses of an answer; returns how long they are good, in seconds. */
static int take_addresses(struct watch *w, const struct ares_addrinfo *info)
{
	int ttl = TTL_MAX;

	w->n = 0;
	for (const struct ares_addrinfo_node *a = info->nodes; a; a = a->ai_next) {
		struct endpoint e;

		if (a->ai_ttl < ttl)
			ttl = a->ai_ttl;
		if (w->n < RESOLVE_MAX && endpoint_from_sockaddr(a->ai_addr, &e) == 0 &&
		    !has(w->ips, w->n, &e.ip))
			w->ips[w->n++] = e.ip;
	}
	return ttl < TTL_MIN ? TTL_MIN : ttl;
}

/* Called by c-ares. */
static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct watch *w = arg;
	int64_t again;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
		return;
	w->pending = false;
	w->n = 0;
	if (status == ARES_SUCCESS && info)
		again = take_addresses(w, info) * SEC;
	if (w->n) {
		w->error = NULL;
		w->backoff = 0;
	} else {
		w->error = status == ARES_SUCCESS ? "no address" : ares_strerror(status);
		w->backoff = w->backoff ? w->backoff * 2 : BACKOFF_MIN;
		if (w->backoff > BACKOFF_MAX)
			w->backoff = BACKOFF_MAX;
		again = w->backoff;
	}
	if (info)
		ares_freeaddrinfo(info);
	timer_set(w->resolver->loop, &w->ask, mono_add(w->now, again));
	soon(w, &w->tell);
}

/* ---- c-ares on the loop -------------------------------------------------- */

static void arm(struct watch *w)
{
	struct timeval tv;

	if (w->pending && ares_timeout(w->channel, NULL, &tv))
		timer_set(w->resolver->loop, &w->wait,
			  mono_add(w->now, tv.tv_sec * SEC + tv.tv_usec * USEC + 1));
	else
		timer_cancel(w->resolver->loop, &w->wait);
}

static void process(struct watch *w, int readable, int writable, mono_t now)
{
	w->now = now;
	ares_process_fd(w->channel, readable, writable);
	arm(w);
}

static void socket_ready(struct source *s, uint32_t events, mono_t now)
{
	struct socket *k = container_of(s, struct socket, source);
	const uint32_t in = EPOLLIN | EPOLLERR | EPOLLHUP;

	process(k->watch, events & in ? s->fd : ARES_SOCKET_BAD,
		events & EPOLLOUT ? s->fd : ARES_SOCKET_BAD, now);
}

static void wait_over(struct timer *t, mono_t now)
{
	process(container_of(t, struct watch, wait), ARES_SOCKET_BAD, ARES_SOCKET_BAD, now);
}

static struct socket *find_socket(struct watch *w, int fd)
{
	for (size_t i = 0; i < SOURCES_MAX; i++)
		if (w->sockets[i].source.fd == fd)
			return &w->sockets[i];
	return NULL;
}

/* Called by c-ares: it wants to know when fd is readable or writable, or is about
 * to close it. A socket that can't be watched is one that does not answer. */
static void socket_wanted(void *arg, ares_socket_t fd, int readable, int writable)
{
	uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
	struct watch *w = arg;
	struct socket *k = find_socket(w, fd);

	if (k && !events) {
		loop_remove(w->resolver->loop, &k->source);
		k->source.fd = -1;
	} else if (k) {
		loop_modify(w->resolver->loop, &k->source, events);
	} else if (events && (k = find_socket(w, -1))) {
		k->source.fd = fd;
		if (loop_add(w->resolver->loop, &k->source, events) < 0)
			k->source.fd = -1;
	}
}

/* ---- questions ----------------------------------------------------------- */

static void close_channel(struct watch *w)
{
	w->pending = false;
	if (w->channel)
		ares_destroy(w->channel);
	w->channel = NULL;
}

static int open_channel(struct watch *w)
{
	struct ares_options options = { .timeout = w->resolver->timeout,
					.tries = TRIES,
					.lookups = (char *)"fb",
					.sock_state_cb = socket_wanted,
					.sock_state_cb_data = w };
	int status = ares_init_options(&w->channel, &options,
				       ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
					       ARES_OPT_SOCK_STATE_CB);

	if (status != ARES_SUCCESS) {
		w->channel = NULL;
		return status;
	}
	if (w->resolver->servers)
		status = ares_set_servers_ports_csv(w->channel, w->resolver->servers);
	return status;
}

static void ask(struct timer *t, mono_t now)
{
	struct watch *w = container_of(t, struct watch, ask);
	struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
	int status;

	close_channel(w);
	w->asked = w->now = now;
	w->pending = true;
	status = open_channel(w);
	if (status != ARES_SUCCESS) {
		answered(w, status, 0, NULL);
		return;
	}
	ares_getaddrinfo(w->channel, w->host, NULL, &hints, answered, w);
	arm(w);
}

struct watch *resolver_watch(struct resolver *r, const char *host, resolve_fn *fn, void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->host = strdup(host);
	if (!w->host) {
		free(w);
		return NULL;
	}
	w->resolver = r;
	w->fn = fn;
	w->arg = arg;
	w->ask.fn = ask;
	w->wait.fn = wait_over;
	w->tell.fn = tell;
	for (size_t i = 0; i < SOURCES_MAX; i++) {
		w->sockets[i].source = (struct source){ .fd = -1, .fn = socket_ready };
		w->sockets[i].watch = w;
	}
	list_insert(&r->watches, &w->node);
	if (ip_parse(host, &w->numeric) == 0) {
		w->ips[0] = w->numeric;
		w->n = 1;
		soon(w, &w->tell);
	} else {
		soon(w, &w->ask);
	}
	return w;
}

void watch_refresh(struct watch *w)
{
	mono_t next = mono_add(w->asked, REFRESH_MIN);

	if (w->numeric.family || w->pending || !mono_is_set(w->asked))
		return;
	if (!timer_is_set(&w->ask) || mono_before(next, w->ask.when))
		timer_set(w->resolver->loop, &w->ask, next);
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	close_channel(w);
	timer_cancel(w->resolver->loop, &w->ask);
	timer_cancel(w->resolver->loop, &w->wait);
	timer_cancel(w->resolver->loop, &w->tell);
	list_remove(&w->node);
	free(w->host);
	free(w);
}

struct resolver *resolver_new_at(struct loop *loop, const char *servers, int timeout)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = loop;
	r->timeout = timeout ? timeout : TIMEOUT;
	list_init(&r->watches);
	if (servers)
		r->servers = strdup(servers);
	if ((servers && !r->servers) || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r->servers);
		free(r);
		return NULL;
	}
	return r;
}

struct resolver *resolver_new(struct loop *loop)
{
	return resolver_new_at(loop, NULL, 0);
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	while (!list_is_empty(&r->watches))
		watch_free(container_of(r->watches.next, struct watch, node));
	ares_library_cleanup();
	free(r->servers);
	free(r);
}
