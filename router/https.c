/*
 * See https.h. libcurl says which sockets it waits for, and for how long; the loop tells it.
 * It must not be called from its own callbacks, so what they bring is noted, and told when
 * it has returned: owners may then ask and cancel as they like.
 *
 * A machine that has died says nothing, so the kernel asks it, by keep-alives of TCP: a
 * connection to one that is gone ends in so long as it is told, whatever it is used for.
 *
 * libcurl brings 28 other libraries, 4 MB of memory, that a router without an authority has
 * no use for: so it is loaded when there is one.
 */
#include "router/https.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/list.h"
#include "common/log.h"

#define DEAD (2500 * MSEC)

/* What is used of it. */
#define LIBCURL_LIST(X) \
	X(global_init) \
	X(global_cleanup) \
	X(easy_init) \
	X(easy_setopt) \
	X(easy_getinfo) \
	X(easy_strerror) \
	X(easy_cleanup) \
	X(multi_init) \
	X(multi_setopt) \
	X(multi_assign) \
	X(multi_add_handle) \
	X(multi_remove_handle) \
	X(multi_socket_action) \
	X(multi_info_read) \
	X(multi_cleanup) \
	X(share_init) \
	X(share_setopt) \
	X(share_cleanup) \
	X(slist_append) \
	X(slist_free_all)

struct libcurl {
#define X(name) __typeof__(curl_##name) *name;
	LIBCURL_LIST(X)
#undef X
};

struct https {
	struct libcurl c;
	struct loop *loop;
	CURLM *multi;
	CURLSH *share;
	struct timer timer, tell;
	struct list requests, sockets;
	const char *certificate, *key, *trust;
};

struct socket {
	struct list node;
	struct source source;
	struct https *https;
};

struct https_request {
	struct list node;
	struct https *https;
	const struct libcurl *c;
	CURL *curl;
	struct curl_slist *headers, *addresses;
	https_data_fn *data;
	https_fn *done;
	void *arg;
	int dead;  /* ms */
	char *got; /* what is not told yet; of others than streams: all */
	size_t n, room, most;
	bool over, too_much;
	CURLcode unset; /* the first option that was not taken has said so */
	CURLcode result;
	char error[CURL_ERROR_SIZE];
};

/* ---- telling -------------------------------------------------------------------- */

static void request_free(struct https_request *q)
{
	q->c->multi_remove_handle(q->https->multi, q->curl);
	q->c->easy_cleanup(q->curl);
	q->c->slist_free_all(q->headers);
	q->c->slist_free_all(q->addresses);
	list_remove(&q->node);
	free(q->got);
	free(q);
}

void https_cancel(struct https_request *q)
{
	if (q)
		request_free(q);
}

static bool is_stream(const struct https_request *q)
{
	long status = 0;

	q->c->easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &status);
	return q->data && status == 200;
}

static const char *reason(const struct https_request *q)
{
	if (q->too_much)
		return "the answer is too large";
	return *q->error ? q->error : q->c->easy_strerror(q->result);
}

static bool is_silent(const struct https_request *q)
{
	long error = 0;

	q->c->easy_getinfo(q->curl, CURLINFO_OS_ERRNO, &error);
	return q->result == CURLE_OPERATION_TIMEDOUT || error == ETIMEDOUT;
}

static void tell_end(struct https_request *q, mono_t now)
{
	struct https_answer a = { .error = "", .body = "" };
	char *location = NULL;
	https_fn *done = q->done;
	void *arg = q->arg;

	if (q->result == CURLE_OK)
		q->c->easy_getinfo(q->curl, CURLINFO_RESPONSE_CODE, &a.status);
	if (!a.status) {
		a.error = reason(q);
		a.silent = is_silent(q);
	}
	if (a.status && !is_stream(q) && q->got) {
		q->got[q->n] = '\0';
		a.body = q->got;
		a.len = q->n;
	}
	q->c->easy_getinfo(q->curl, CURLINFO_REDIRECT_URL, &location);
	a.location = location;
	/* it is told before it is freed, and no longer there to be cancelled */
	list_remove(&q->node);
	done(arg, &a, now);
	request_free(q);
}

static void tell_data(struct https_request *q, mono_t now)
{
	char *data = q->got;
	size_t n = q->n;

	q->got = NULL;
	q->n = q->room = 0;
	q->data(q->arg, data, n, now); /* q may be gone */
	free(data);
}

/* One at a time, from the beginning: what is told changes the list. */
static bool tell_one(struct https *h, mono_t now)
{
	list_for_each(node, &h->requests) {
		struct https_request *q = container_of(node, struct https_request, node);

		if (q->n && is_stream(q)) {
			tell_data(q, now);
			return true;
		}
		if (q->over) {
			tell_end(q, now);
			return true;
		}
	}
	return false;
}

static void tell(struct https *h, mono_t now)
{
	CURLMsg *m;
	int left;

	while ((m = h->c.multi_info_read(h->multi, &left))) {
		struct https_request *q;

		if (m->msg != CURLMSG_DONE)
			continue;
		h->c.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&q);
		q->over = true;
		q->result = m->data.result;
	}
	while (tell_one(h, now))
		;
}

/* ---- the loop -------------------------------------------------------------------- */

static void act(struct https *h, curl_socket_t fd, int events, mono_t now)
{
	int running;

	h->c.multi_socket_action(h->multi, fd, events, &running);
	tell(h, now);
}

static void ready(struct source *s, uint32_t events, mono_t now)
{
	struct socket *k = container_of(s, struct socket, source);
	int what = 0;

	if (events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	act(k->https, s->fd, what, now); /* k may be gone */
}

static void timed_out(struct timer *t, mono_t now)
{
	act(container_of(t, struct https, timer), CURL_SOCKET_TIMEOUT, 0, now);
}

/* Called by libcurl. */
static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct https *h = arg;

	(void)multi;
	/* "at once" is any time that has passed */
	timer_set(h->loop, &h->timer,
		  ms < 0    ? (mono_t){ 0 }
		  : ms == 0 ? (mono_t){ 1 }
			    : mono_add(clock_now(), ms * MSEC));
	return 0;
}

/* Called by libcurl: what it waits for on a socket. */
static int want_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *socket)
{
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0U) | (what & CURL_POLL_OUT ? EPOLLOUT : 0U);
	struct socket *k = socket;
	struct https *h = arg;

	(void)curl;
	if (what == CURL_POLL_REMOVE) {
		if (!k)
			return 0;
		loop_remove(h->loop, &k->source);
		list_remove(&k->node);
		free(k);
		return 0;
	}
	if (k) {
		loop_modify(h->loop, &k->source, events);
		return 0;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return -1;
	k->https = h;
	k->source = (struct source){ .fd = fd, .fn = ready };
	if (loop_add(h->loop, &k->source, events) < 0) {
		free(k);
		return -1;
	}
	list_insert(&h->sockets, &k->node);
	h->c.multi_assign(h->multi, fd, k);
	return 0;
}

/* ---- life ------------------------------------------------------------------------ */

/* NULL, or why not. It is not unloaded: there is one try, and one end. */
static const char *load(struct libcurl *ret)
{
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return dlerror();
#define X(name) \
	*(void **)&ret->name = dlsym(library, "curl_" #name); \
	if (!ret->name) \
		return dlerror();
	LIBCURL_LIST(X)
#undef X
	return NULL;
}

struct https *https_new(struct loop *loop, const char **ret_why)
{
	struct https *h = calloc(1, sizeof(*h));

	*ret_why = "out of memory";
	if (!h)
		return NULL;
	*ret_why = load(&h->c);
	if (*ret_why) {
		free(h);
		return NULL;
	}
	*ret_why = "libcurl can't be used";
	h->loop = loop;
	h->timer.fn = timed_out;
	list_init(&h->requests);
	list_init(&h->sockets);
	if (h->c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(h);
		return NULL;
	}
	h->multi = h->c.multi_init();
	h->share = h->c.share_init();
	if (!h->multi || !h->share) {
		https_free(h);
		return NULL;
	}
	h->c.multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	h->c.multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	h->c.multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	h->c.multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	h->c.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 4L);
	/* of one host and one identity: it costs both sides less than half */
	h->c.share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	return h;
}

void https_free(struct https *h)
{
	if (!h)
		return;
	while (!list_is_empty(&h->requests))
		request_free(container_of(h->requests.next, struct https_request, node));
	h->c.multi_cleanup(h->multi);
	h->c.share_cleanup(h->share);
	list_for_each(node, &h->sockets) {
		struct socket *k = container_of(node, struct socket, node);

		loop_remove(h->loop, &k->source);
		free(k);
	}
	timer_cancel(h->loop, &h->timer);
	h->c.global_cleanup();
	free(h);
}

void https_identify(struct https *h, const char *certificate, const char *key, const char *trust)
{
	h->certificate = certificate;
	h->key = key;
	h->trust = trust;
}

/* ---- asking ---------------------------------------------------------------------- */

/* Called by libcurl. */
static size_t receive(char *data, size_t size, size_t n, void *arg)
{
	struct https_request *q = arg;
	size_t len = size * n;

	/* a stream's are told after this turn of libcurl, which is not long: what comes of one is
	 * its owner's to bound */
	if (!is_stream(q) && len > q->most - q->n) {
		q->too_much = true;
		return 0;
	}
	if (q->room - q->n < len + 1) {
		size_t room = 2 * q->room + len + 1;
		char *more = realloc(q->got, room);

		if (!more)
			return 0;
		q->got = more;
		q->room = room;
	}
	memcpy(q->got + q->n, data, len);
	q->n += len;
	return len;
}

/* Called by libcurl. What can't be set is what the system has by default. */
static int socket_made(void *arg, curl_socket_t fd, curlsocktype type)
{
	const struct https_request *q = arg;
	const struct {
		int option, value;
	} options[] = {
		{ TCP_KEEPIDLE, 1 },
		{ TCP_KEEPINTVL, 1 },
		{ TCP_KEEPCNT, 2 },
		{ TCP_USER_TIMEOUT, q->dead },
	};
	int on = 1;

	(void)type;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(fd, IPPROTO_TCP, options[i].option, &options[i].value, sizeof(int));
	return CURL_SOCKOPT_OK;
}

/* Of whom a connection is made to, instead of a lookup. False: out of memory. */
static bool set_addresses(struct https_request *q, const struct https_question *question)
{
	const char *host = question->proxy ? question->proxy->host : question->host;
	uint16_t port = question->proxy ? question->proxy->port : question->port;
	char text[300 + 8 * (IP_TEXT + 3)], ip[IP_TEXT];
	struct ip numeric;
	size_t len;

	if (ip_parse(host, &numeric) == 0)
		return true;

	len = (size_t)snprintf(text, sizeof(text), "%.255s:%u:", host, port);
	for (size_t i = 0; i < question->n_ips && i < 8; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					question->ips[i].family == 6 ? "%s[%s]" : "%s%s",
					i ? "," : "", ip_format(&question->ips[i], ip));
	q->addresses = q->c->slist_append(NULL, text);
	return q->addresses != NULL;
}

/* Of what must not be left out: whom to believe, and who asks. */
#define MUST_SET(q, option, value) must_set(q, (q)->c->easy_setopt((q)->curl, option, value))

static void must_set(struct https_request *q, CURLcode result)
{
	if (q->unset == CURLE_OK)
		q->unset = result;
}

static bool add_header(struct https_request *q, const char *line)
{
	struct curl_slist *more = q->c->slist_append(q->headers, line);

	if (more)
		q->headers = more;
	return more != NULL;
}

/* False: out of memory. */
static bool set_headers(struct https_request *q, const struct https_question *question)
{
	return (!question->body || add_header(q, "Content-Type: application/json")) &&
	       (!question->header || add_header(q, question->header));
}

static void set_blob(struct https_request *q, CURLoption option, const char *text)
{
	struct curl_blob blob = { .data = (char *)text,
				  .len = strlen(text),
				  .flags = CURL_BLOB_COPY };

	MUST_SET(q, option, &blob);
}

static void set_proxy(struct https_request *q, const struct proxy *p)
{
	const struct libcurl *c = q->c;
	char url[300];

	if (!p) {
		c->easy_setopt(q->curl, CURLOPT_NOPROXY, "*");
		return;
	}
	snprintf(url, sizeof(url), strchr(p->host, ':') ? "http://[%s]:%u" : "http://%s:%u",
		 p->host, p->port);
	MUST_SET(q, CURLOPT_NOPROXY, "");
	MUST_SET(q, CURLOPT_PROXY, url);
	MUST_SET(q, CURLOPT_HTTPPROXYTUNNEL, 1L);
	if (!*p->user)
		return;
	MUST_SET(q, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
	MUST_SET(q, CURLOPT_PROXYUSERNAME, p->user);
	MUST_SET(q, CURLOPT_PROXYPASSWORD, p->password);
}

/* False: it can't be asked as it must be. */
static bool set_options(struct https_request *q, const struct https_question *question)
{
	const struct https *h = q->https;
	const struct libcurl *c = q->c;
	CURL *curl = q->curl;

	MUST_SET(q, CURLOPT_URL, question->url);
	MUST_SET(q, CURLOPT_PROTOCOLS_STR, "https");
	MUST_SET(q, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	c->easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	set_proxy(q, question->proxy);
	c->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	c->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(question->connect / MSEC));
	if (question->patience)
		c->easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(question->patience / MSEC));
	if (q->addresses)
		MUST_SET(q, CURLOPT_RESOLVE, q->addresses);
	c->easy_setopt(curl, CURLOPT_SHARE, h->share);
	c->easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, socket_made);
	c->easy_setopt(curl, CURLOPT_SOCKOPTDATA, q);
	c->easy_setopt(curl, CURLOPT_ERRORBUFFER, q->error);
	c->easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	c->easy_setopt(curl, CURLOPT_WRITEDATA, q);
	c->easy_setopt(curl, CURLOPT_PRIVATE, q);
	/* this identity's CAs, not those of the machine */
	MUST_SET(q, CURLOPT_CAPATH, (char *)NULL);
	set_blob(q, CURLOPT_CAINFO_BLOB, h->trust);
	set_blob(q, CURLOPT_SSLCERT_BLOB, h->certificate);
	set_blob(q, CURLOPT_SSLKEY_BLOB, h->key);
	MUST_SET(q, CURLOPT_HTTPHEADER, q->headers);
	if (question->body)
		MUST_SET(q, CURLOPT_COPYPOSTFIELDS, question->body);
	if (q->unset != CURLE_OK)
		log_error("authority: libcurl doesn't take what a request needs: %s",
			  c->easy_strerror(q->unset));
	return q->unset == CURLE_OK;
}

struct https_request *https_ask(struct https *h, const struct https_question *question)
{
	struct https_request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->https = h;
	q->c = &h->c;
	q->data = question->data;
	q->done = question->done;
	q->arg = question->arg;
	q->dead = (int)((question->dead ? question->dead : DEAD) / MSEC);
	q->most = question->most ? question->most : HTTPS_ANSWER;
	list_insert(&h->requests, &q->node);
	q->curl = q->c->easy_init();
	if (q->curl && set_headers(q, question) && set_addresses(q, question) &&
	    set_options(q, question) && h->c.multi_add_handle(h->multi, q->curl) == CURLM_OK)
		return q;
	request_free(q);
	return NULL;
}
