/* links: router/resolve common/loop common/clock common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/list.h"
#include "router/resolve.h"

/*
 * A name server on loopback, on the same loop as the resolver: it answers A and
 * AAAA questions with what it is told to, says that there is no such name to any
 * question when it has no address, and nothing when it is mute.
 */
struct server {
	struct source source;
	struct sockaddr_in address;
	struct ip ips[12];
	size_t n;
	uint32_t ttl;
	bool mute;
	int questions;
};

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	struct server server;
	/* what the watch's owner was told */
	int calls;
	struct ip ips[RESOLVE_MAX];
	size_t n;
	char error[80];
	struct watch *to_free; /* by the callback */
};

static struct ip ip(const char *text)
{
	struct ip ret;

	assert_int_equal(ip_parse(text, &ret), 0);
	return ret;
}

static void put16(uint8_t **p, unsigned value)
{
	*(*p)++ = (uint8_t)(value >> 8);
	*(*p)++ = (uint8_t)value;
}

static void serve(struct source *source, uint32_t events, mono_t now)
{
	struct server *s = container_of(source, struct server, source);
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	uint8_t m[512 + 12 * 28], *p;
	ssize_t len = recvfrom(s->source.fd, m, 512, 0, (struct sockaddr *)&from, &from_len);
	ssize_t end = 12;
	unsigned type, answers = 0;

	(void)events;
	(void)now;
	assert_true(len > 16);
	s->questions++;
	if (s->mute)
		return;
	while (end < len && m[end])
		end += m[end] + 1;
	assert_true(end + 5 <= len);
	type = m[end + 2];
	p = m + end + 5;
	for (size_t i = 0; i < s->n; i++) {
		size_t size = s->ips[i].family == 4 ? 4 : 16;

		if (type != (size == 4 ? 1 : 28))
			continue;
		put16(&p, 0xc00c);
		put16(&p, type);
		put16(&p, 1);
		put16(&p, s->ttl >> 16);
		put16(&p, s->ttl & 0xffff);
		put16(&p, (unsigned)size);
		memcpy(p, s->ips[i].b, size);
		p += size;
		answers++;
	}
	m[2] |= 0x80;
	m[3] = s->n ? 0x80 : 0x83;
	m[6] = 0;
	m[7] = (uint8_t)answers;
	memset(m + 8, 0, 4);
	sendto(s->source.fd, m, (size_t)(p - m), 0, (struct sockaddr *)&from, from_len);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in *a = &f->server.address;
	socklen_t len = sizeof(*a);
	char servers[40];

	*a = (struct sockaddr_in){ .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	f->loop = loop_new();
	assert_non_null(f->loop);
	f->server.source = (struct source){ .fd = socket(AF_INET, SOCK_DGRAM, 0), .fn = serve };
	assert_int_equal(bind(f->server.source.fd, (struct sockaddr *)a, len), 0);
	getsockname(f->server.source.fd, (struct sockaddr *)a, &len);
	assert_int_equal(loop_add(f->loop, &f->server.source, EPOLLIN), 0);
	f->server.ttl = 300;
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(a->sin_port));
	f->resolver = resolver_new_at(f->loop, servers, 50);
	assert_non_null(f->resolver);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->resolver);
	loop_remove(f->loop, &f->server.source);
	assert_false(mono_is_set(loop_next(f->loop)));
	close(f->server.source.fd);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void told(void *arg, const struct ip *ips, size_t n, const char *error, mono_t now)
{
	struct fixture *f = arg;

	assert_true(mono_is_set(now));
	assert_true(n <= RESOLVE_MAX);
	assert_int_equal(n == 0, error != NULL);
	f->calls++;
	f->n = n;
	if (n)
		memcpy(f->ips, ips, n * sizeof(*ips));
	snprintf(f->error, sizeof(f->error), "%s", error ? error : "");
	watch_free(f->to_free);
	f->to_free = NULL;
}

static bool knows(const struct fixture *f, const char *text)
{
	struct ip wanted = ip(text);

	for (size_t i = 0; i < f->n; i++)
		if (ip_equal(&f->ips[i], &wanted))
			return true;
	return false;
}

/* Turns the loop until it has been called so often, or until nothing has happened
 * for long. */
static void turn_until(struct fixture *f, int calls)
{
	mono_t end = mono_add(clock_now(), 5 * SEC);

	while (f->calls < calls && mono_before(loop_turn(f->loop, 100 * MSEC), end))
		;
	assert_int_equal(f->calls, calls);
}

/* As turn_until, for something that is not told: so many questions, and what comes
 * of them. Loopback delivers at once, so a few turns more are enough. */
static void turn_questions(struct fixture *f, int questions)
{
	mono_t end = mono_add(clock_now(), 5 * SEC);

	while (f->server.questions < questions)
		assert_true(mono_before(loop_turn(f->loop, 10 * MSEC), end));
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 0);
}

static struct watch *watch(struct fixture *f, const char *host)
{
	struct watch *w = resolver_watch(f->resolver, host, told, f);

	assert_non_null(w);
	return w;
}

/* Lets the time of the next question come; in how many seconds it would have. */
static int pass_time(struct fixture *f)
{
	mono_t next = loop_next(f->loop);
	int64_t left = mono_since(next, clock_now());

	assert_true(mono_is_set(next));
	loop_fire(f->loop, next);
	return (int)((left + SEC / 2) / SEC);
}

static void numeric(void **state)
{
	struct fixture *f = *state;
	struct watch *w;

	w = watch(f, "192.0.2.7");
	assert_int_equal(f->calls, 0);
	loop_turn(f->loop, 0);
	assert_int_equal(f->calls, 1);
	assert_int_equal(f->n, 1);
	assert_true(knows(f, "192.0.2.7"));
	watch_refresh(w);
	loop_turn(f->loop, 0);
	assert_int_equal(f->calls, 1);
	watch_free(w);

	watch(f, "2001:db8::7");
	turn_until(f, 2);
	assert_true(knows(f, "2001:db8::7"));
	assert_int_equal(f->server.questions, 0);
}

static void both_families(void **state)
{
	struct fixture *f = *state;

	f->server.ips[0] = ip("192.0.2.1");
	f->server.ips[1] = ip("2001:db8::1");
	f->server.ips[2] = ip("192.0.2.2");
	f->server.ips[3] = ip("192.0.2.1"); /* twice */
	f->server.n = 4;
	watch(f, "peer.example");
	assert_int_equal(f->calls, 0);
	turn_until(f, 1);
	assert_int_equal(f->n, 3);
	assert_true(knows(f, "192.0.2.1"));
	assert_true(knows(f, "192.0.2.2"));
	assert_true(knows(f, "2001:db8::1"));
	assert_int_equal(f->server.questions, 2);
	assert_int_equal(pass_time(f), 300);
}

static void many_addresses(void **state)
{
	struct fixture *f = *state;

	for (uint8_t i = 0; i < 12; i++) {
		f->server.ips[i] = ip("192.0.2.1");
		f->server.ips[i].b[3] = i;
	}
	f->server.n = 12;
	watch(f, "peer.example");
	turn_until(f, 1);
	assert_int_equal(f->n, RESOLVE_MAX);
}

/* The time to live is kept to, within bounds. */
static void bounds_of_ttl(void **state)
{
	struct fixture *f = *state;

	f->server.ips[0] = ip("192.0.2.1");
	f->server.n = 1;
	f->server.ttl = 0;
	watch(f, "peer.example");
	turn_until(f, 1);
	assert_int_equal(pass_time(f), 30);
	f->server.ttl = 100000;
	turn_questions(f, 4);
	assert_int_equal(pass_time(f), 3600);
	assert_int_equal(f->calls, 1);
}

/* A later answer is told if it differs; another order is no difference. */
static void changing(void **state)
{
	struct fixture *f = *state;

	f->server.ips[0] = ip("192.0.2.1");
	f->server.ips[1] = ip("192.0.2.2");
	f->server.n = 2;
	watch(f, "peer.example");
	turn_until(f, 1);

	f->server.ips[0] = ip("192.0.2.2");
	f->server.ips[1] = ip("192.0.2.1");
	pass_time(f);
	turn_questions(f, 4);
	assert_int_equal(f->calls, 1);

	f->server.ips[1] = ip("198.51.100.1");
	pass_time(f);
	turn_until(f, 2);
	assert_int_equal(f->n, 2);
	assert_true(knows(f, "198.51.100.1"));
	assert_false(knows(f, "192.0.2.1"));

	f->server.n = 1;
	pass_time(f);
	turn_until(f, 3);
	assert_int_equal(f->n, 1);
}

/* No such name: told once, asked for again ever less often, told when it is there. */
static void no_such_name(void **state)
{
	static const int wait[] = { 2, 4, 8, 16, 32, 60, 60 };
	struct fixture *f = *state;
	int asked;

	watch(f, "nobody.example");
	turn_until(f, 1);
	assert_int_equal(f->n, 0);
	assert_non_null(strstr(f->error, "not found"));
	for (size_t i = 0; i < sizeof(wait) / sizeof(wait[0]); i++) {
		asked = f->server.questions;
		assert_int_equal(pass_time(f), wait[i]);
		turn_questions(f, asked + 1);
		assert_int_equal(f->calls, 1);
	}
	f->server.ips[0] = ip("192.0.2.1");
	f->server.n = 1;
	pass_time(f);
	turn_until(f, 2);
	assert_true(knows(f, "192.0.2.1"));

	/* Gone again, and back with the same address: both are told. */
	f->server.n = 0;
	assert_int_equal(pass_time(f), 300);
	turn_until(f, 3);
	assert_int_equal(f->n, 0);
	f->server.n = 1;
	assert_int_equal(pass_time(f), 2);
	turn_until(f, 4);
	assert_true(knows(f, "192.0.2.1"));
}

static void no_answer(void **state)
{
	struct fixture *f = *state;

	f->server.mute = true;
	watch(f, "peer.example");
	turn_until(f, 1);
	assert_int_equal(f->n, 0);
	assert_string_not_equal(f->error, "");
	assert_true(f->server.questions >= 2);
}

/* Asked again before its time, but not more often than every 5 s. */
static void refresh(void **state)
{
	struct fixture *f = *state;
	struct watch *w;
	int left;

	f->server.ips[0] = ip("192.0.2.1");
	f->server.n = 1;
	w = watch(f, "peer.example");
	watch_refresh(w); /* too early for anything */
	turn_until(f, 1);
	watch_refresh(w);
	f->server.ips[0] = ip("192.0.2.2");
	left = pass_time(f);
	assert_in_range(left, 4, 5);
	watch_refresh(w); /* under way */
	turn_until(f, 2);
	assert_true(knows(f, "192.0.2.2"));
	assert_int_equal(f->server.questions, 4);
}

/* Freed while the question is out, from the callback, or with the resolver. */
static void cancelled(void **state)
{
	struct fixture *f = *state;
	struct watch *w;

	f->server.mute = true;
	w = watch(f, "peer.example");
	watch_free(w); /* not even asked */
	w = watch(f, "peer.example");
	while (f->server.questions == 0)
		loop_turn(f->loop, 100 * MSEC);
	watch_free(w);
	assert_false(mono_is_set(loop_next(f->loop)));

	f->server.mute = false;
	f->to_free = watch(f, "192.0.2.1");
	turn_until(f, 1);
	f->to_free = watch(f, "nobody.example");
	turn_until(f, 2);
	assert_false(mono_is_set(loop_next(f->loop)));

	f->server.mute = true;
	f->server.questions = 0;
	watch(f, "one.example");
	watch(f, "two.example");
	while (f->server.questions < 2)
		loop_turn(f->loop, 100 * MSEC);
	assert_int_equal(f->calls, 2);
	/* teardown frees the resolver */
}

/* Names in the hosts file need no server. */
static void hosts_file(void **state)
{
	struct fixture *f = *state;

	f->server.mute = true;
	watch(f, "localhost");
	turn_until(f, 1);
	assert_true(knows(f, "127.0.0.1") || knows(f, "::1"));
	assert_int_equal(f->server.questions, 0);
}

/* What can't be a name: an error, no question, no harm. */
static void bad_names(void **state)
{
	static const char *names[] = { "", "a..b", ".", "x y", "-" };
	struct fixture *f = *state;
	char longest[400];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	watch(f, longest);
	turn_until(f, 1);
	assert_int_equal(f->n, 0);
	for (int i = 0; i < 5; i++) {
		watch(f, names[i]);
		turn_until(f, i + 2);
		assert_int_equal(f->n, 0);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(numeric),   T(both_families), T(many_addresses), T(bounds_of_ttl),
		T(changing),  T(no_such_name),	T(no_answer),	   T(refresh),
		T(cancelled), T(hosts_file),	T(bad_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
