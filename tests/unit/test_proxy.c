/* links: router/proxy common/addr */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "router/proxy.h"

static void test_parse(void **state)
{
	struct proxy p = { .port = 7 };

	(void)state;
	assert_true(proxy_parse("http://proxy.example:8080", &p));
	assert_string_equal(p.host, "proxy.example");
	assert_int_equal(p.port, 8080);
	assert_string_equal(p.user, "");
	assert_true(proxy_parse("http://me:s%40cret%3a@192.0.2.1/", &p));
	assert_string_equal(p.host, "192.0.2.1");
	assert_int_equal(p.port, 3128);
	assert_string_equal(p.user, "me");
	assert_string_equal(p.password, "s@cret:");
	assert_true(proxy_parse("user@[2001:db8::1]:3129", &p));
	assert_string_equal(p.host, "2001:db8::1");
	assert_int_equal(p.port, 3129);
	assert_string_equal(p.user, "user");
	assert_string_equal(p.password, "");
}

static void test_not_a_proxy(void **state)
{
	static const char *const wrong[] = {
		"",
		"http://",
		"https://proxy:1",
		"socks5://proxy:1",
		"proxy:0",
		"proxy:65536",
		"proxy:",
		"proxy:12x",
		"[::1",
		"[::1]x",
		"http://proxy/path",
		"a%4@proxy",
		"%zz@proxy",
		"%0a@proxy",
		":password@proxy",
		"two words",
		"a%3ab@proxy",
		"a:b@",
		"proxy:99999999999999",
	};
	struct proxy p = { .port = 7 };
	char longer[700];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (proxy_parse(wrong[i], &p))
			fail_msg("taken for a proxy: %s", wrong[i]);
	}
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_false(proxy_parse(longer, &p));
	longer[300] = '@';
	assert_false(proxy_parse(longer, &p));
	assert_int_equal(p.port, 7);
}

/* no_proxy */
static void test_others(void **state)
{
	static const struct {
		const char *list, *host;
		bool want;
	} cases[] = {
		{ "", "vine.example", false },
		{ " ,, ", "vine.example", false },
		{ "*", "vine.example", true },
		{ "localhost, *", "198.51.100.2", true },
		{ "vine.example", "vine.example", true },
		{ "VINE.Example", "vine.example", true },
		{ "vine.example", "q1.vine.example", true },
		{ ".vine.example", "q1.vine.example", true },
		{ ".vine.example", "vine.example", true },
		{ ".", "vine.example", false },
		{ "vine.example", "ovine.example", false },
		{ "q1.vine.example", "vine.example", false },
		{ "a,b\tvine.example c", "vine.example", true },
		{ "198.51.100.2", "198.51.100.2", true },
		{ "198.51.100.2", "198.51.100.20", false },
		{ "198.51.100.0/24", "198.51.100.20", true },
		{ "198.51.100.0/24", "198.51.101.20", false },
		{ "0.0.0.0/0", "198.51.101.20", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "2001:db8::/32", "2001:db8::1", true },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "100.20", "198.51.100.20", false }, /* an address is in no domain */
		{ "198.51.100.0/24", "vine.example", false },
		{ "198.51.100.0/99", "198.51.100.2", false },
	};
	char longer[600];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (proxy_is_for_others(cases[i].list, cases[i].host) != cases[i].want)
			fail_msg("\"%s\", %s", cases[i].list, cases[i].host);
	memset(longer, 'a', sizeof(longer));
	strcpy(longer + 500, ",vine.example");
	assert_true(proxy_is_for_others(longer, "vine.example"));
	assert_false(proxy_is_for_others(longer, longer + 400));
}

static void test_request(void **state)
{
	struct proxy p;
	char out[PROXY_REQUEST_MAX], host[300];
	size_t n;

	(void)state;
	assert_true(proxy_parse("http://Aladdin:open%20sesame@proxy", &p));
	n = proxy_request(&p, "vine.example", 443, out, sizeof(out));
	assert_int_equal(n, strlen(out));
	assert_string_equal(out, "CONNECT vine.example:443 HTTP/1.1\r\n"
				 "Host: vine.example:443\r\n"
				 "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
	assert_true(proxy_parse("proxy", &p));
	assert_true(proxy_request(&p, "2001:db8::2", 8463, out, sizeof(out)) > 0);
	assert_string_equal(out, "CONNECT [2001:db8::2]:8463 HTTP/1.1\r\n"
				 "Host: [2001:db8::2]:8463\r\n\r\n");
	assert_int_equal(proxy_request(&p, "vine.example", 443, out, 20), 0);
	memset(host, 'a', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(proxy_request(&p, host, 443, out, sizeof(out)), 0);
}

static enum proxy_answer answer(const char *text, size_t *len, char *why)
{
	return proxy_read(text, strlen(text), len, why);
}

static void test_answer(void **state)
{
	static const char open[] = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nrest";
	char why[PROXY_WHY] = "", big[PROXY_ANSWER_MAX];
	size_t len = 0;

	(void)state;
	for (size_t i = 1; i < sizeof(open) - 5; i++)
		assert_int_equal(proxy_read(open, i, &len, why), PROXY_MORE);
	assert_int_equal(answer(open, &len, why), PROXY_OPEN);
	assert_int_equal(len, sizeof(open) - 5);
	assert_int_equal(answer("HTTP/1.0 407 Proxy Authentication Required\r\nX: y\r\n\r\n", &len,
				why),
			 PROXY_REFUSED);
	assert_string_equal(why, "407 Proxy Authentication Required");
	assert_int_equal(answer("HTTP/1.1 403 \x1b[31mno\r\n\r\n", &len, why), PROXY_REFUSED);
	assert_string_equal(why, "403 ?[31mno");
	assert_int_equal(answer("SSH-2.0-OpenSSH\r\n", &len, why), PROXY_NONSENSE);
	assert_int_equal(answer("HTTP/1.1 2x0 ok\r\n\r\n", &len, why), PROXY_NONSENSE);
	assert_int_equal(answer("HTTP/1.1\r\n\r\n", &len, why), PROXY_NONSENSE);
	memset(big, 'a', sizeof(big));
	memcpy(big, open, 30);
	assert_int_equal(proxy_read(big, sizeof(big) - 1, &len, why), PROXY_MORE);
	assert_int_equal(proxy_read(big, sizeof(big), &len, why), PROXY_NONSENSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),  cmocka_unit_test(test_not_a_proxy),
		cmocka_unit_test(test_others), cmocka_unit_test(test_request),
		cmocka_unit_test(test_answer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
