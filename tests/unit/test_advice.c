/* links: ctl/advice ctl/human */
/*
 * What vinectl netcheck says of what was found.
 */
#include "ctl/advice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A check of one queue router, q1: which ways work, and the kind of NAT. */
static json_t *check_of(bool udp, bool tcp, bool tls, bool proxy, const char *nat)
{
	const bool works[] = { udp, tcp, tls, proxy };
	static const char *const names[] = { "udp", "tcp", "tls", "proxy" };
	bool any = udp || tcp || tls || proxy;
	json_t *ways = json_array(), *c = json_object();

	for (size_t i = 0; i < 4; i++) {
		json_object_set_new(c, names[i],
				    json_pack("{s:b, s:s?, s:n}", "works", (int)works[i], "reason",
					      works[i] ? NULL : "no answer in 3 s", "path_mtu"));
		json_array_append_new(ways,
				      json_pack("{s:s, s:s, s:b, s:s}", "way", names[i], "remote",
						"198.51.100.6:9000", "works", (int)works[i],
						"state", works[i] ? "answered" : "failed"));
	}
	json_object_set_new(c, "nat", json_pack("{s:s, s:s}", "kind", nat, "reason", "because"));
	json_object_set_new(c, "all_reachable", json_boolean(any));
	json_object_set_new(c, "proxy_server", json_null());
	json_object_set_new(c, "best_queue_router", any ? json_string("q1") : json_null());
	json_object_set_new(c, "routers",
			    json_pack("[{s:s, s:b, s:b, s:o}]", "name", "q1", "queue_router", 1,
				      "reachable", (int)any, "ways", ways));
	return c;
}

/* Takes the check over. */
static void advises(json_t *check, const char *first, const char *absent)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	advice_print(check, out);
	fclose(out);
	json_decref(check);
	if (!first)
		assert_string_equal(text, "");
	else if (!strstr(text, first))
		fail_msg("\"%s\" does not say \"%s\"", text, first);
	if (absent && strstr(text, absent))
		fail_msg("\"%s\" says \"%s\"", text, absent);
	free(text);
}

static void what_to_do(void **state)
{
	json_t *c;

	(void)state;
	advises(check_of(true, true, true, false, "none"), NULL, NULL);
	advises(check_of(false, true, true, false, "blocked"),
		"UDP is blocked: links run over TCP. Ask for UDP to port 9000", "Nothing");
	advises(check_of(false, false, true, false, "blocked"), "links run over TLS on 443",
		"links run over TCP");
	advises(check_of(false, false, false, true, "blocked"), "links run over the HTTP proxy",
		NULL);
	advises(check_of(true, true, true, false, "endpoint-independent"), "talk directly",
		"blocked");
	advises(check_of(true, true, true, false, "address-and-port-dependent"), "symmetric",
		"blocked");
	advises(check_of(false, false, false, false, "blocked"), "If a browser needs a proxy",
		"UDP is blocked");
	c = check_of(false, false, false, false, "blocked");
	json_object_set_new(c, "proxy_server", json_string("gate"));
	json_object_set_new(json_object_get(c, "proxy"), "reason",
			    json_string("proxy: 407 Proxy Authentication Required"));
	advises(c, "The proxy gate says: proxy: 407", "If a browser");
}

static void some_only(void **state)
{
	json_t *c = check_of(true, true, true, false, "none"), *w;

	(void)state;
	json_array_append_new(json_object_get(c, "routers"),
			      json_pack("{s:s, s:b, s:b, s:[]}", "name", "q2", "queue_router", 1,
					"reachable", 0, "ways"));
	advises(c, "No way leads to the queue router q2", "routers q2");

	c = check_of(true, true, false, false, "none");
	w = json_array_get(
		json_object_get(json_array_get(json_object_get(c, "routers"), 0), "ways"), 2);
	json_object_set_new(w, "state", json_string("connected"));
	advises(c, "Something answers in a router's place", NULL);
}

static void ways(void **state)
{
	json_t *c = check_of(true, false, true, false, "blocked");
	char text[ADVICE_TEXT];

	(void)state;
	json_object_set_new(json_object_get(c, "udp"), "path_mtu", json_integer(1400));
	assert_string_equal(advice_way(c, "udp", text), "yes, path MTU 1400");
	assert_string_equal(advice_way(c, "tcp", text), "no: no answer in 3 s");
	assert_string_equal(advice_way(c, "tls", text), "yes");
	assert_non_null(strstr(advice_nat(c, text), "UDP does not get out"));
	assert_true(advice_is_well(c));
	json_decref(c);
	/* of a router of another version */
	c = json_object();
	assert_string_equal(advice_way(c, "udp", text), "no: -");
	assert_string_equal(advice_nat(c, text), "not known: -");
	assert_false(advice_is_well(c));
	json_decref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_to_do),
					    cmocka_unit_test(some_only), cmocka_unit_test(ways) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
