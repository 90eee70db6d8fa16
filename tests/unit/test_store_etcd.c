/* links: libauthority libcommon */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_world.h"

/* What is only of etcd: what is refused, answers that get lost, mutual TLS. */

static void test_refused_urls(void **state)
{
	const struct store_tls tls = { "/nowhere", "/nowhere", "/nowhere" };

	(void)state;
	expect_refusal("etcd:", NULL, -EINVAL, "https://host:port");
	expect_refusal("etcd:https://a:2379", NULL, -EINVAL, "certificate");
	expect_refusal("etcd:http://10.0.0.1:2379", &tls, -EINVAL, "only to this machine");
	expect_refusal("etcd:ftp://127.0.0.1:1", &tls, -EINVAL, "https://host:port");
	expect_refusal("etcd:http://127.0.0.1:1,http://localhost:1", NULL, -EHOSTUNREACH,
		       "no answer from etcd at http://localhost:1");
}

static void test_refused_servers(void **state)
{
	struct cluster cluster = { .n = 0 }, small = cluster;
	char url[4 * sizeof(small.url)], error[STORE_ERROR];
	const int64_t end = ms_now() + READY;
	struct store *s;
	int r;

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&cluster, 1, "one", NULL);
	/* With etcd's own bounds; the last option counts. */
	small = (struct cluster){ .n = 1, .option = "--max-txn-ops=128" };
	small.members[0].client = free_port();
	small.members[0].peer = free_port();
	snprintf(small.members[0].directory, sizeof(small.members[0].directory), "%s",
		 in_world("small"));
	snprintf(small.url, sizeof(small.url), "etcd:http://127.0.0.1:%u", small.members[0].client);
	snprintf(small.peers, sizeof(small.peers), "m0=http://127.0.0.1:%u", small.members[0].peer);
	member_start(&small, 0);
	while ((r = store_open(small.url, NULL, &s, error)) == -EHOSTUNREACH && ms_now() < end)
		short_while();
	member_end(&small, 0);
	assert_int_equal(r, -E2BIG);
	assert_non_null(strstr(error, "--max-txn-ops"));
	small.option = NULL;
	member_start(&small, 0);
	store_close(open_soon(small.url, NULL));
	snprintf(url, sizeof(url), "%s,%s", cluster.url, small.url + strlen("etcd:"));
	expect_refusal(url, NULL, -EINVAL, "another cluster");
	member_end(&small, 0);
	cluster_end(&cluster);
}

/* A way to etcd on which each third answer is lost, with the connection. One connection
 * at a time. */
struct lossy {
	int listener;
	unsigned to; /* port */
	unsigned answers;
	pthread_t thread;
};

static bool pass_on(int from, int to)
{
	char bytes[65536];
	const ssize_t n = read(from, bytes, sizeof(bytes));

	return n > 0 && write(to, bytes, (size_t)n) == n;
}

static void one_connection(struct lossy *l, int client, int server)
{
	struct pollfd p[] = { { .fd = client, .events = POLLIN },
			      { .fd = server, .events = POLLIN },
			      { .fd = l->listener, .events = POLLIN } };

	while (poll(p, 3, -1) > 0) {
		if (p[0].revents && !pass_on(client, server))
			return;
		if (p[1].revents && (++l->answers % 3 == 0 || !pass_on(server, client)))
			return;
		/* The next one comes, or the end. */
		if (p[2].revents && !p[0].revents && !p[1].revents)
			return;
	}
}

static int tcp_to(unsigned port)
{
	const struct sockaddr_in a = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) },
				       .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *lose(void *arg)
{
	struct lossy *l = arg;
	int client, server;

	while ((client = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		server = tcp_to(l->to);
		one_connection(l, client, server);
		close(server);
		close(client);
	}
	return NULL;
}

static unsigned lossy_start(struct lossy *l, unsigned to)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(a);

	*l = (struct lossy){ .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .to = to };
	assert_int_equal(bind(l->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l->listener, 8), 0);
	assert_int_equal(getsockname(l->listener, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(pthread_create(&l->thread, NULL, lose, l), 0);
	return ntohs(a.sin_port);
}

/* A transaction whose answer is lost is done once, and told to be done; one that was
 * refused is told to be refused. */
static void test_lost_answers(void **state)
{
	struct cluster c = { .n = 0 };
	struct store_condition at = { .key = "counter", .test = STORE_ABSENT }, absent = at;
	struct lossy lossy;
	struct store *s;
	char url[64], text[16];
	unsigned long n;

	(void)state;
	if (!has_etcd())
		skip();
	cluster_start(&c, 1, "lossy", NULL);
	snprintf(url, sizeof(url), "etcd:http://127.0.0.1:%u",
		 lossy_start(&lossy, c.members[0].client));
	s = open_soon(url, NULL);
	for (unsigned i = 1; i <= 60; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(put_if(s, "counter", text, 0, &at, &at.is), 0);
		assert_int_equal(get_number(s, "counter", &n), at.is);
		assert_int_equal(n, i);
		at.test = STORE_AT;
		assert_int_equal(put_if(s, "counter", "no", 0, &absent, NULL), -EAGAIN);
	}
	assert_true(lossy.answers > 180);
	store_close(s);
	shutdown(lossy.listener, SHUT_RDWR);
	pthread_join(lossy.thread, NULL);
	close(lossy.listener);
	cluster_end(&c);
}

static bool certify(const char *ca, const char *name)
{
	char command[1024];

	snprintf(command, sizeof(command),
		 "cd %s && exec 2> /dev/null; new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 "
		 "-nodes'; openssl req -x509 $new -keyout %s.key -out %s.pem -subj /CN=%s && "
		 "openssl req $new -keyout %s.key -out %s.csr -subj /CN=%s "
		 "-addext subjectAltName=IP:127.0.0.1 && "
		 "openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial "
		 "-out %s.pem -copy_extensions copy",
		 world_directory, ca, ca, ca, name, name, name, name, ca, ca, name);
	return system(command) == 0;
}

static void test_tls(void **state)
{
	char ca[96], certificate[96], key[96], other_certificate[96], other_key[96], other_ca[96];
	const struct store_tls tls = { ca, certificate, key };
	const struct store_tls stranger = { ca, other_certificate, other_key };
	const struct store_tls misled = { other_ca, certificate, key };
	struct cluster c = { .tls = &tls };
	struct store_watch *w;
	struct store *s;

	(void)state;
	if (!has_etcd() || !certify("ca", "member") || !certify("other", "stranger"))
		skip();
	snprintf(ca, sizeof(ca), "%s", in_world("ca.pem"));
	snprintf(certificate, sizeof(certificate), "%s", in_world("member.pem"));
	snprintf(key, sizeof(key), "%s", in_world("member.key"));
	snprintf(other_ca, sizeof(other_ca), "%s", in_world("other.pem"));
	snprintf(other_certificate, sizeof(other_certificate), "%s", in_world("stranger.pem"));
	snprintf(other_key, sizeof(other_key), "%s", in_world("stranger.key"));
	cluster_start(&c, 1, "tls", NULL);
	s = open_soon(c.url, &tls);
	assert_int_equal(store_watch_open(s, 0, &w), 0);
	put(s, "a", "1");
	has_value(s, "a", "1");
	expect_change(w, 0, CHANGE("a", "1"));
	store_watch_close(w);
	store_close(s);
	expect_refusal(c.url, &stranger, -EHOSTUNREACH, "no answer from etcd");
	expect_refusal(c.url, &misled, -EHOSTUNREACH, "certificate");
	expect_refusal(c.url, NULL, -EINVAL, "certificate");
	cluster_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_urls),
		cmocka_unit_test(test_refused_servers),
		cmocka_unit_test(test_lost_answers),
		cmocka_unit_test(test_tls),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("store_etcd", tests, make_world, remove_world);
}
