/* links: common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/addr.h"

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static void test_ip_round_trip(void **state)
{
	static const char *const texts[] = { "0.0.0.0", "172.16.0.1",	   "255.255.255.255", "::",
					     "::1",	"fd00:76:0:1::20", "2001:db8::1" };
	char buf[IP_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ip ip = ip_of(texts[i]);

		assert_string_equal(ip_format(&ip, buf), texts[i]);
		assert_int_equal(ip_bits(&ip), strchr(texts[i], ':') ? 128 : 32);
	}
}

static void test_ip_longest_text(void **state)
{
	const char *text = "1111:2222:3333:4444:5555:6666:7777:8888";
	struct endpoint e = { .ip = ip_of(text), .port = 65535 };
	struct prefix p = prefix_host(&e.ip);
	char buf[ENDPOINT_TEXT];

	(void)state;
	assert_string_equal(endpoint_format(&e, buf),
			    "[1111:2222:3333:4444:5555:6666:7777:8888]:65535");
	assert_string_equal(prefix_format(&p, buf), "1111:2222:3333:4444:5555:6666:7777:8888/128");
}

static void test_ip_refused(void **state)
{
	static const char *const texts[] = { "",	  "1",		"1.2.3",    "1.2.3.4.5",
					     "256.0.0.1", " 1.2.3.4",	"1.2.3.4 ", "01.2.3.4",
					     ":::",	  "fe80::1%lo", "1::2::3",  "localhost" };
	struct ip ip, before;

	(void)state;
	memset(&ip, 0x5a, sizeof(ip));
	before = ip;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(ip_parse(texts[i], &ip), -EINVAL);
		assert_memory_equal(&ip, &before, sizeof(ip));
	}
}

static void test_ip_of_a_machine(void **state)
{
	static const char *const hosts[] = { "10.0.0.5", "223.255.255.255", "fd00::1", "fe80::1" };
	static const char *const others[] = {
		"0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"
	};
	static const char *const own[] = { "127.0.0.1", "::1" };
	struct ip ip;

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		ip = ip_of(hosts[i]);
		assert_true(ip_is_unicast(&ip) && ip_is_host(&ip));
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ip = ip_of(others[i]);
		assert_false(ip_is_unicast(&ip) || ip_is_host(&ip));
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		ip = ip_of(own[i]);
		assert_true(ip_is_unicast(&ip) && !ip_is_host(&ip));
	}
}

static void test_prefix_round_trip(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0/0", "172.16.0.0/12", "172.16.0.20/32",	   "128.0.0.0/1",
		"::/0",	     "fd00:76::/32",  "fd00:76::8000/113", "fd00:76:0:1::20/128"
	};
	char buf[PREFIX_TEXT];
	struct prefix p;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		p = prefix_of(texts[i]);
		assert_string_equal(prefix_format(&p, buf), texts[i]);
	}
	p = prefix_of("172.16.0.20");
	assert_int_equal(p.len, 32);
	p = prefix_of("fd00::1");
	assert_int_equal(p.len, 128);
}

static void test_prefix_refused(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = { { "172.16.0.1/24", -ERANGE },
		      { "fd00::1/64", -ERANGE },
		      { "1.2.3.4/0", -ERANGE },
		      { "172.16.0.0/33", -EINVAL },
		      { "::/129", -EINVAL },
		      { "172.16.0.0/", -EINVAL },
		      { "172.16.0.0/-1", -EINVAL },
		      { "172.16.0.0/024", -EINVAL },
		      { "172.16.0.0/ 24", -EINVAL },
		      { "172.16.0.0/24/24", -EINVAL },
		      { "/24", -EINVAL },
		      { "10.0.0.0/4294967304", -EINVAL },
		      { "1111111111111111111111111111111111111111111111/8", -EINVAL } };
	struct prefix p, before;

	(void)state;
	memset(&p, 0x5a, sizeof(p));
	before = p;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(prefix_parse(cases[i].text, &p), cases[i].error);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static void test_endpoint_text(void **state)
{
	static const char *const good[] = { "198.51.100.2:8463", "[2001:db8::1]:8463", "0.0.0.0:0",
					    "[::]:65535" };
	static const char *const bad[] = { "198.51.100.2",
					   "198.51.100.2:",
					   "198.51.100.2:65536",
					   "198.51.100.2:-1",
					   "198.51.100.2:1:2",
					   "2001:db8::1:8463",
					   "[2001:db8::1]",
					   "[2001:db8::1]8463",
					   "[2001:db8::1",
					   "[1.2.3.4]:1",
					   "",
					   ":1",
					   "[]:1",
					   "[",
					   "1.2.3.4:0x10" };
	struct endpoint e, before;
	char buf[ENDPOINT_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(endpoint_parse(good[i], &e), 0);
		assert_string_equal(endpoint_format(&e, buf), good[i]);
	}
	before = e;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(endpoint_parse(bad[i], &e), -EINVAL);
		assert_true(endpoint_equal(&e, &before));
	}
}

static void test_id(void **state)
{
	uint32_t id = 7;

	(void)state;
	assert_int_equal(id_parse("", &id), -EINVAL);
	assert_int_equal(id_parse("4294967296", &id), -EINVAL);
	assert_int_equal(id_parse("-1", &id), -EINVAL);
	assert_int_equal(id_parse("1.2.3", &id), -EINVAL);
	assert_int_equal(id_parse("0x10", &id), -EINVAL);
	assert_int_equal(id, 7);
	assert_int_equal(id_parse("4294967295", &id), 0);
	assert_int_equal(id, UINT32_MAX);
	assert_int_equal(id_parse("0", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(id_parse("10.0.1.2", &id), 0);
	assert_int_equal(id, 0x0a000102);
}

/* The oracle: one bit after the other. */
static bool bits_agree(const struct ip *a, const struct ip *b, unsigned len)
{
	if (a->family != b->family)
		return false;
	for (unsigned i = 0; i < len; i++)
		if (((a->b[i / 8] ^ b->b[i / 8]) >> (7 - i % 8)) & 1)
			return false;
	return true;
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void test_prefix_contains_property(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		bool six = next_random(&seed) & 1;
		struct ip a = { .family = six ? 6 : 4 }, b;
		unsigned len = next_random(&seed) % (ip_bits(&a) + 1);
		unsigned flip = next_random(&seed) % ip_bits(&a);
		struct prefix p, host;

		for (unsigned i = 0; i < ip_bits(&a) / 8; i++)
			a.b[i] = (uint8_t)next_random(&seed);
		b = a;
		b.b[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		for (unsigned i = len; i < ip_bits(&a); i++)
			a.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
		p = (struct prefix){ .ip = a, .len = (uint8_t)len };
		host = prefix_host(&b);
		assert_int_equal(prefix_contains(&p, &b), bits_agree(&a, &b, len));
		assert_int_equal(prefix_covers(&p, &host), bits_agree(&a, &b, len));
	}
}

static void test_prefix_relations(void **state)
{
	struct prefix wide = prefix_of("172.16.0.0/12"), narrow = prefix_of("172.16.0.0/24");
	struct prefix six = prefix_of("::/0"), four = prefix_of("0.0.0.0/0");
	struct ip a4 = ip_of("1.2.3.4"), a6 = ip_of("102:304::");

	(void)state;
	assert_true(prefix_covers(&wide, &narrow));
	assert_true(prefix_covers(&wide, &wide));
	assert_false(prefix_covers(&narrow, &wide));
	assert_true(prefix_contains(&four, &a4) && prefix_contains(&six, &a6));
	assert_false(prefix_contains(&four, &a6) || prefix_contains(&six, &a4));
	assert_false(prefix_covers(&six, &narrow));
	assert_false(prefix_equal(&wide, &narrow));
	assert_true(prefix_compare(&wide, &narrow) < 0);
	assert_true(prefix_compare(&narrow, &wide) > 0);
	assert_int_equal(prefix_compare(&wide, &wide), 0);
	assert_true(prefix_compare(&wide, &six) < 0);
	assert_false(ip_equal(&a4, &a6));
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = { "198.51.100.2:8463", "[2001:db8::1]:1" };
	struct sockaddr_storage ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct endpoint e, back;
	char buf[ENDPOINT_TEXT];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(endpoint_parse(texts[i], &e), 0);
		assert_int_equal(endpoint_to_sockaddr(&e, &ss),
				 i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &back), 0);
		assert_true(endpoint_equal(&e, &back));
	}

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6->sin6_addr), 1);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &back), 0);
	assert_string_equal(endpoint_format(&back, buf), "192.0.2.1:1");

	ss.ss_family = AF_UNIX;
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &back), -EAFNOSUPPORT);
	assert_string_equal(endpoint_format(&back, buf), "192.0.2.1:1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip_round_trip),
		cmocka_unit_test(test_ip_longest_text),
		cmocka_unit_test(test_ip_refused),
		cmocka_unit_test(test_ip_of_a_machine),
		cmocka_unit_test(test_prefix_round_trip),
		cmocka_unit_test(test_prefix_refused),
		cmocka_unit_test(test_endpoint_text),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_prefix_contains_property),
		cmocka_unit_test(test_prefix_relations),
		cmocka_unit_test(test_sockaddr),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
