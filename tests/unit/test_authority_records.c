/* links: authority/records authority/memory common/addr */
/*
 * Records: what is encoded is decoded to the same, and everything that is malformed is
 * refused: a field missing, of another type, out of bounds, or one too many.
 */
#include "authority/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One of each kind, with each field filled. */
static const struct sample {
	const char *key, *value;
} samples[] = {
	{ "order", "{'n': 7, 'next_vn': 8, 'next_router': 4294967295, 'generation': 3, "
		   "'space': ['172.16.0.0/12', 'fd00::/16']}" },
	{ "user/jane.doe-1", "{'roles': ['vna', 'eu'], 'key': 'abc', 'revoked': false, "
			     "'created': 1700000000000, 'expires': 1700000000001}" },
	{ "site/florida", "{'admins': ['jane', 'joe'], 'subnets': ['10.0.0.0/24'], 'location': "
			  "'Gainesville', 'contact': 'noc', 'created': 1}" },
	{ "router/florida",
	  "{'id': 1, 'site': 'florida', 'key': 'k', 'endpoint': '1.2.3.4:8463', "
	  "'tls_port': 443, 'limited': 'poll-udp', 'queue_routers': ['p', 'chicago'], "
	  "'queue_order': 'chicago miami', 'relay': true, 'direct': false, "
	  "'blocks': ['172.16.0.0/24'], 'disabled': false, 'silent': true, 'revoked': true, "
	  "'created': 1}" },
	{ "host/h1",
	  "{'router': 'florida', 'owner': 'jane', 'addresses': ['172.16.0.10', 'fd00::1'],"
	  " 'key': '0af', 'created': 1}" },
	{ "tiny/vm-1",
	  "{'id': 9, 'key': 'k', 'routers': ['florida', 'chicago'], 'addresses': ['10.0.0.5'], "
	  "'vn': 8000, 'owner': 'jane', 'source': '192.0.2.1', 'range': 'cloud', 'token': '0af', "
	  "'nonce': '1', 'revoked': false, 'created': 1}" },
	{ "vn/8000",
	  "{'name': 'v', 'creator': 'jane', 'admins': ['jane'], 'users': ['*'], "
	  "'protection': 'aes-256-gcm', 'members': ['a', 'b'], 'created': 1, 'change': '00-1'}" },
	{ "policy/florida/night", "{'effect': 'forbid', 'hosts': ['*'], 'vns': ['a'], 'creators': "
				  "['jane'], 'from': 0, 'to': 1439}" },
	{ "token/0af",
	  "{'registers': 'tiny', 'site': '', 'roles': [], 'vn': 8000, 'anywhere': true, "
	  "'issuer': 'jane', "
	  "'count': 1, 'used': 0, 'expires': 5}" },
	{ "credential/0af", "{'user': 'jane', 'operations': ['vn-join'], 'vns': ['*'], "
			    "'expires': 5}" },
	{ "change/00-1", "{'time': 1, 'caller': 'user/jane', 'operation': 'vn-join', 'before': {}, "
			 "'after': {'vn/1': null}}" },
	{ "log/8000/00-1", "{'time': 1}" },
	{ "audit/00-1", "{'time': 1, 'caller': '-', 'operation': 'x', 'target': '', 'allowed': "
			"false, 'detail': 'no'}" },
};
#define SAMPLES (sizeof(samples) / sizeof(*samples))

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
	char *copy = strdup(text);
	json_t *value;

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	value = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (!value)
		fail_msg("not JSON: %s", copy);
	free(copy);
	return value;
}

static bool decodes(const char *key, const json_t *value)
{
	struct record rec;
	char error[RECORD_ERROR] = "";
	int status = record_decode(key, value, &rec, error);

	if (!status)
		record_done(&rec);
	else
		assert_true(*error);
	return !status;
}

static void test_round_trip(void **state)
{
	(void)state;
	assert_int_equal(SAMPLES, RECORD_KINDS);
	for (size_t i = 0; i < SAMPLES; i++) {
		json_t *value = parse(samples[i].value), *again;
		struct record rec;
		char error[RECORD_ERROR];

		if (record_decode(samples[i].key, value, &rec, error))
			fail_msg("%s", error);
		assert_int_equal(rec.kind, i);
		again = record_encode(&rec);
		assert_true(json_equal(value, again));
		json_decref(value);
		json_decref(again);
		record_done(&rec);
	}
}

/* Values that no field takes, but those whose kind of value it is. */
static void test_fields(void **state)
{
	static const char *const others[] = {
		"null",
		"[null]",
		"[1]",
		"-1",
		"9223372036854775807",
		"1.5",
		"{",
		"'a\\u0000b'",
		"'A b\\u0007'",
		"['UPPER']",
		"['b', 'a']",
		"['a', 'a']",
		"['*', 'a']",
		"['10.0.0.1/24']",
		"['1.2.3.4', '1.2.3.4']",
		"['10.0.0.0/8', '10.0.0.0/8']",
	};

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		json_t *value = parse(samples[i].value), *copy, *field;
		const char *name;

		json_object_foreach(value, name, field)
		{
			copy = json_copy(value);
			json_object_del(copy, name);
			assert_false(decodes(samples[i].key, copy));
			json_decref(copy);
			for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++) {
				bool object = !strncmp(others[k], "{", 1);
				json_t *other =
					object ? json_pack("{s:i}", "a", 1) : parse(others[k]);

				copy = json_copy(value);
				json_object_set_new(copy, name, other);
				/* An object is one for a change; a number for a time; some
				 * lists are in order of choice. */
				if (!(object && json_is_object(field)) &&
				    !(k == 10 && (!strcmp(name, "queue_routers") ||
						  !strcmp(name, "routers"))) &&
				    !(k == 4 && json_is_integer(field)))
					assert_false(decodes(samples[i].key, copy));
				json_decref(copy);
			}
		}
		json_object_set_new(value, "another", json_true());
		assert_false(decodes(samples[i].key, value));
		json_decref(value);
		for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++) {
			json_t *other =
				strncmp(others[k], "{", 1) ? parse(others[k]) : json_array();

			assert_false(decodes(samples[i].key, other));
			json_decref(other);
		}
		assert_false(decodes(samples[i].key, NULL));
	}
}

static const struct bad {
	const char *key, *field, *value;
} bad[] = {
	{ "order", "next_vn", "4294967296" },
	{ "user/jane.doe-1", "roles", "['king']" },
	{ "user/jane.doe-1", "roles", "['eu', 'eu']" },
	{ "router/florida", "site", "'-x'" },
	{ "router/florida", "site", "''" },
	{ "router/florida", "site",
	  "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'" },
	{ "host/h1", "addresses",
	  "['1.1.1.1','1.1.1.2','1.1.1.3','1.1.1.4','1.1.1.5','1.1.1.6','1.1.1.7','1.1.1.8',"
	  "'1.1.1.9']" },
	{ "host/h1", "addresses", "['1.1.1']" },
	{ "vn/8000", "members", "['*']" },
	{ "policy/florida/night", "from", "1440" },
	{ "policy/florida/night", "effect", "'maybe'" },
	{ "token/0af", "count", "100001" },
	{ "change/00-1", "before", "[]" },
};

static void test_bounds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const struct sample *s = samples;
		json_t *value;

		while (strcmp(s->key, bad[i].key))
			s++;
		value = parse(s->value);
		assert_true(decodes(s->key, value));
		json_object_set_new(value, bad[i].field, parse(bad[i].value));
		if (decodes(s->key, value))
			fail_msg("%s: %s = %s", s->key, bad[i].field, bad[i].value);
		json_decref(value);
	}
}

static void test_keys(void **state)
{
	static const char *const keys[] = {
		"",
		"vn",
		"vn/",
		"vn/-1",
		"vn/08",
		"vn/4294967296",
		"vn/1/",
		"vn/1x",
		"vn/99999999999",
		"order/",
		"orders",
		"user",
		"user/",
		"user/.",
		"user/A",
		"user/a/b",
		"site/a b",
		"policy/a",
		"policy/a/",
		"policy//a",
		"policy/a/b/c",
		"log/1",
		"log/a/b",
		"log/1/",
		"nothing/a",
		"/",
		"vnx/1",
		"host/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	const char *id;

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (record_key(keys[i], NULL) != RECORD_KINDS)
			fail_msg("taken as a key: '%s'", keys[i]);
	assert_int_equal(record_key("vn/4294967295", &id), RECORD_VN);
	assert_string_equal(id, "4294967295");
	assert_int_equal(record_key("policy/a/b", &id), RECORD_POLICY);
	assert_string_equal(id, "a/b");
	assert_int_equal(record_key("vn/0", NULL), RECORD_VN);
}

static void test_names(void **state)
{
	struct names l = { 0 }, copy;

	(void)state;
	names_insert(&l, "b");
	names_insert(&l, "a");
	names_insert(&l, "c");
	names_insert(&l, "b");
	assert_int_equal(l.n, 3);
	assert_string_equal(l.at[0], "a");
	assert_string_equal(l.at[2], "c");
	names_copy(&copy, &l);
	names_remove(&l, "b");
	names_remove(&l, "x");
	assert_false(names_have(&l, "b"));
	assert_true(names_have(&copy, "b"));
	assert_false(names_match(&copy, "x"));
	names_done(&copy);
	names_insert(&copy, "*");
	assert_true(names_match(&copy, "x"));
	names_done(&copy);
	names_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_bounds),	   cmocka_unit_test(test_keys),
		cmocka_unit_test(test_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
