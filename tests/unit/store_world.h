/*
 * Stores to test: files in a directory of the test's own, and etcd clusters of one or
 * three members that it starts there itself, on free ports of 127.0.0.1. They end with
 * the test, however that ends.
 */
#ifndef TESTS_UNIT_STORE_WORLD_H
#define TESTS_UNIT_STORE_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authority/store.h"

#define MEMBERS 3
#define READY 30000 /* ms for etcd to start */
#define SOON 10000  /* ms for what comes by itself */
#define SHORT 10    /* ms between two looks */

struct member {
	pid_t pid;	       /* 0: not running */
	unsigned client, peer; /* ports */
	char directory[96];
};

struct cluster {
	unsigned n;
	struct member members[MEMBERS];
	char url[512], peers[512];
	const char *option;	     /* one more, or NULL */
	const struct store_tls *tls; /* of members and clients; NULL: none */
};

static char world_directory[64];

static inline int64_t ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static inline void short_while(void)
{
	poll(NULL, 0, SHORT);
}

static inline int make_world(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	snprintf(world_directory, sizeof(world_directory), "%s/vine-store-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(world_directory) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	remove(path);
	return 0;
}

static inline int remove_world(void **state)
{
	(void)state;
	return nftw(world_directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline const char *in_world(const char *name)
{
	static char path[2][128];
	static unsigned which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", world_directory, name);
	return path[which];
}

static inline bool has_etcd(void)
{
	return system("command -v etcd > /dev/null") == 0;
}

static inline unsigned free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	close(fd);
	return ntohs(a.sin_port);
}

/* With the descriptors of this process but not its end: the kernel sees to that. */
static inline void member_start(struct cluster *c, unsigned i)
{
	struct member *m = &c->members[i];
	char name[16], client[64], peer[64];
	const pid_t parent = getpid();
	int log;

	m->pid = fork();
	assert_true(m->pid >= 0);
	if (m->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	log = open(in_world("etcd.log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	snprintf(name, sizeof(name), "m%u", i);
	snprintf(client, sizeof(client), "http%s://127.0.0.1:%u", c->tls ? "s" : "", m->client);
	if (c->tls) {
		setenv("ETCD_TRUSTED_CA_FILE", c->tls->ca, 1);
		setenv("ETCD_CERT_FILE", c->tls->certificate, 1);
		setenv("ETCD_KEY_FILE", c->tls->key, 1);
		setenv("ETCD_CLIENT_CERT_AUTH", "true", 1);
	}
	snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", m->peer);
	execlp("etcd", "etcd", "--name", name, "--data-dir", m->directory, "--listen-client-urls",
	       client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
	       "--initial-advertise-peer-urls", peer, "--initial-cluster", c->peers,
	       "--max-txn-ops=8192", "--max-request-bytes=16777216", c->option, NULL);
	_exit(127);
}

static inline void member_end(struct cluster *c, unsigned i)
{
	struct member *m = &c->members[i];

	if (m->pid == 0)
		return;
	kill(m->pid, SIGKILL);
	waitpid(m->pid, NULL, 0);
	m->pid = 0;
}

/* Opens it as soon as that goes. */
static inline struct store *open_soon(const char *url, const struct store_tls *tls)
{
	const int64_t end = ms_now() + READY;
	struct store *s = NULL;
	char error[STORE_ERROR];

	while (store_open(url, tls, &s, error) < 0) {
		if (ms_now() > end)
			fail_msg("%s", error);
		short_while();
	}
	return s;
}

static inline void cluster_start(struct cluster *c, unsigned n, const char *name,
				 const char *option)
{
	size_t at = (size_t)snprintf(c->url, sizeof(c->url), "etcd:"), peers = 0;

	c->n = n;
	c->option = option;
	for (unsigned i = 0; i < n; i++) {
		struct member *m = &c->members[i];

		m->client = free_port();
		m->peer = free_port();
		snprintf(m->directory, sizeof(m->directory), "%s/%s%u", world_directory, name, i);
		at += (size_t)snprintf(c->url + at, sizeof(c->url) - at, "%shttp%s://127.0.0.1:%u",
				       i ? "," : "", c->tls ? "s" : "", m->client);
		peers += (size_t)snprintf(c->peers + peers, sizeof(c->peers) - peers,
					  "%sm%u=http://127.0.0.1:%u", i ? "," : "", i, m->peer);
	}
	for (unsigned i = 0; i < n; i++)
		member_start(c, i);
	store_close(open_soon(c->url, c->tls));
}

static inline void cluster_end(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++)
		member_end(c, i);
	c->n = 0;
}

/* One key, under one condition if there is one. */
static inline int put_if(struct store *s, const char *key, const char *value, uint64_t lease,
			 const struct store_condition *condition, uint64_t *ret_revision)
{
	const struct store_entry e = {
		.key = key,
		.value = value,
		.size = value ? strlen(value) : 0,
		.lease = lease,
	};
	const struct store_transaction t = {
		.conditions = condition,
		.n_conditions = condition ? 1 : 0,
		.changes = &e,
		.n_changes = 1,
	};

	return store_commit(s, &t, ret_revision);
}

static inline uint64_t put(struct store *s, const char *key, const char *value)
{
	uint64_t revision = 0;
	char error[STORE_ERROR];

	if (put_if(s, key, value, 0, NULL, &revision) < 0) {
		store_error(s, error);
		fail_msg("%s: %s", key, error);
	}
	return revision;
}

/* The value and the revision of a key; 0 if it is not there. Not for what may fail. */
static inline uint64_t get_number(struct store *s, const char *key, unsigned long *ret_number)
{
	struct store_page page;
	uint64_t revision = 0;
	char error[STORE_ERROR];

	if (store_get(s, key, &page) < 0) {
		store_error(s, error);
		fail_msg("%s: %s", key, error);
	}
	*ret_number = 0;
	if (page.n > 0) {
		*ret_number = strtoul(page.entries[0].value, NULL, 10);
		revision = page.entries[0].revision;
	}
	store_page_done(&page);
	return revision;
}

/* Waits for a watch's next changes. */
static inline int next_soon(struct store_watch *w, struct store_page *ret_page)
{
	const int64_t end = ms_now() + SOON;
	struct pollfd p = { .fd = store_watch_fd(w), .events = POLLIN };
	int r;

	while ((r = store_watch_next(w, ret_page)) == -EAGAIN && ms_now() < end)
		poll(&p, 1, (int)(end - ms_now()));
	return r;
}

static inline void has_value(struct store *s, const char *key, const char *value)
{
	struct store_page page;

	assert_int_equal(store_get(s, key, &page), 0);
	assert_int_equal(page.n, value ? 1 : 0);
	if (value) {
		assert_string_equal(page.entries[0].key, key);
		assert_string_equal(page.entries[0].value, value);
		assert_int_equal(page.entries[0].size, strlen(value));
	}
	store_page_done(&page);
}

static inline void expect_change(struct store_watch *w, uint64_t revision, const char *const *pairs)
{
	struct store_page page;
	size_t n = 0;

	assert_int_equal(next_soon(w, &page), 0);
	if (revision)
		assert_int_equal(page.revision, revision);
	for (; pairs[2 * n]; n++) {
		assert_true(n < page.n);
		assert_string_equal(page.entries[n].key, pairs[2 * n]);
		assert_int_equal(page.entries[n].revision, page.revision);
		if (pairs[2 * n + 1])
			assert_string_equal(page.entries[n].value, pairs[2 * n + 1]);
		else
			assert_null(page.entries[n].value);
	}
	assert_int_equal(page.n, n);
	store_page_done(&page);
}

#define CHANGE(...) \
	(const char *const[]) \
	{ \
		__VA_ARGS__, NULL \
	}

static inline void expect_refusal(const char *url, const struct store_tls *tls, int error,
				  const char *words)
{
	struct store *s = NULL;
	char text[STORE_ERROR] = "";
	const int r = store_open(url, tls, &s, text);

	if (r != error || !strstr(text, words))
		fail_msg("%s: %d (%s), expected %d (... %s ...)", url, r, text, error, words);
}

#endif
