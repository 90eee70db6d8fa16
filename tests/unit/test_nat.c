/* links: router/nat common/addr common/wire */
/*
 * The kind of a NAT from how others see a socket.
 */
#include "router/nat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	return e;
}

static struct nat_view view(const char *seen, const char *by)
{
	return (struct nat_view){ .own = at("10.64.3.2:8463"), .seen = at(seen), .by = at(by) };
}

static enum nat_kind of(const char *seen1, const char *by1, const char *seen2, const char *by2)
{
	struct nat_view v[2] = { view(seen1, by1), view(seen2 ? seen2 : seen1, by2 ? by2 : by1) };

	return nat_kind(v, seen2 ? 2 : 1);
}

static void kinds(void **state)
{
	(void)state;
	assert_int_equal(nat_kind(NULL, 0), NAT_UNKNOWN);
	assert_int_equal(of("10.64.3.2:8463", "198.51.100.6:8463", NULL, NULL), NAT_NONE);
	/* the address alone makes it one, and the port alone too */
	assert_int_equal(of("198.51.100.14:8463", "198.51.100.6:8463", NULL, NULL), NAT_UNKNOWN);
	assert_int_equal(of("10.64.3.2:9000", "198.51.100.6:8463", NULL, NULL), NAT_UNKNOWN);
	assert_int_equal(of("198.51.100.14:9000", "198.51.100.6:8463", "198.51.100.14:9000",
			    "198.51.100.10:8463"),
			 NAT_ENDPOINT_INDEPENDENT);
	/* another port of the same observer is another place to look from */
	assert_int_equal(of("198.51.100.14:9000", "198.51.100.6:8463", "198.51.100.14:9000",
			    "198.51.100.6:8464"),
			 NAT_ENDPOINT_INDEPENDENT);
	assert_int_equal(of("198.51.100.14:9000", "198.51.100.6:8463", "198.51.100.14:9001",
			    "198.51.100.10:8463"),
			 NAT_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(of("198.51.100.14:9000", "198.51.100.6:8463", "198.51.100.15:9000",
			    "198.51.100.10:8463"),
			 NAT_ADDRESS_AND_PORT_DEPENDENT);
	/* the same one twice tells no more than once */
	assert_int_equal(of("198.51.100.14:9000", "198.51.100.6:8463", "198.51.100.14:9000",
			    "198.51.100.6:8463"),
			 NAT_UNKNOWN);
}

/* A router at the same site sees what no NAT has touched: that says nothing of one. */
static void inside(void **state)
{
	struct nat_view v[3] = { view("10.64.3.2:8463", "10.64.3.9:8463"),
				 view("198.51.100.14:9000", "198.51.100.6:8463"),
				 view("198.51.100.14:9000", "198.51.100.10:8463") };

	(void)state;
	assert_int_equal(nat_kind(v, 1), NAT_NONE);
	assert_int_equal(nat_kind(v, 2), NAT_UNKNOWN);
	assert_int_equal(nat_kind(v, 3), NAT_ENDPOINT_INDEPENDENT);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(nat_kind_name(NAT_UNKNOWN), "unknown");
	assert_string_equal(nat_kind_name(NAT_ADDRESS_AND_PORT_DEPENDENT),
			    "address-and-port-dependent");
	assert_string_equal(nat_kind_name(NAT_BLOCKED), "blocked");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(kinds), cmocka_unit_test(inside),
					    cmocka_unit_test(names) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
