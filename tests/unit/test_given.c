/* links: librouter libcommon */
/*
 * What an image gives: keys are derived once for a public key, however often the image is
 * made anew; tinies, and their addresses out of the router's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "router/change.h"
#include "tests/unit/image_world.h"

static unsigned derived;

static bool key_of(void *arg, const struct pinned *p, uint8_t ret[static CRYPTO_KEY], FILE *errors)
{
	(void)arg;
	(void)errors;
	derived++;
	memset(ret, p->keys[0].bytes[0], CRYPTO_KEY);
	return true;
}

static struct given *give(const struct given *old, const char *chicago)
{
	struct image *image = image_new();

	image->router = 7;
	image->version = (struct version){ 1, old ? old->image->version.number + 1 : 1 };
	image_add_peer(image, 8, "boston", NULL);
	image_add_peer(image, 9, "chicago", NULL);
	for (size_t i = 0; i < image->n_peers; i++) {
		image->peers[i]->n_keys = 1;
		image->peers[i]->keys[0].len = 3;
		memcpy(image->peers[i]->keys[0].bytes, i ? chicago : "bbb", 3);
	}
	return given_new(image, old, key_of, NULL, stderr);
}

static void keys_are_kept(void **state)
{
	struct given *first = give(NULL, "ccc"), *second = give(first, "ccc"),
		     *third = give(second, "ccd"), *fourth;

	(void)state;
	assert_true(first && second && third);
	assert_ptr_not_equal(first->image->peers[0], second->image->peers[0]);
	assert_int_equal(derived, 3); /* two, and chicago's new one */
	fourth = give(third, "xcd");
	assert_int_equal(derived, 4);
	assert_int_equal(second->peers[1].key[0], 'c');
	assert_int_equal(fourth->peers[0].key[CRYPTO_KEY - 1], 'b');
	assert_int_equal(fourth->peers[1].key[0], 'x');
	given_free(first);
	given_free(second);
	given_free(third);
	given_free(fourth);
}

static struct image *image_with(uint64_t number, bool here, const char *address)
{
	struct image *image = image_new();

	image->router = 7;
	image->version = (struct version){ 1, number };
	image_add_network(image, 1, SIDES, ROWS("7 10.0.0.0/8", "8 172.16.0.0/16"));
	image_add_network(image, 2, SIDE_SEND, ROWS("7 172.16.9.8/30", "8 172.16.2.0/24"));
	image_add_network(image, 2, SIDE_RECEIVE, ROWS("8 172.16.2.0/24"));
	image_add_network(image, 3, SIDES, ROWS("7 172.16.1.4/32", "8 172.16.9.10/32"));
	image_add_peer(image, 8, "boston", "192.0.2.1:8463");
	image_add_tiny(image, 20, "vm-a", address)->here = here;
	image_add_tiny(image, 21, "vm-b", "172.16.1.4")->here = true;
	assert_true(image_valid(image));
	return image;
}

static void assert_rows(const struct image_network *n, const char *const *rows)
{
	size_t i;

	for (i = 0; rows[i]; i++) {
		char text[100], prefix[PREFIX_TEXT];

		assert_true(i < n->table->n);
		snprintf(text, sizeof(text), "%u %s", n->table->rows[i].router,
			 prefix_format(&n->table->rows[i].prefix, prefix));
		assert_string_equal(text, rows[i]);
	}
	assert_int_equal(n->table->n, i);
	assert_true(network_table_valid(n->table));
}

static void addresses_of_tinies(void **state)
{
	struct given *first, *same, *gone, *moved;

	(void)state;
	derived = 0;
	first = given_new(image_with(1, true, "172.16.9.10"), NULL, key_of, NULL, stderr);
	assert_non_null(first);
	assert_int_equal(derived, 3);
	assert_int_equal(first->n_peers, 3);
	assert_int_equal(first->peers[1].id, 20);
	assert_true(first->peers[1].tiny && first->peers[1].transit && !first->peers[1].host);
	assert_false(first->peers[0].tiny);
	/* one in the middle of a prefix; none where there is no tiny, whose table is the image's */
	assert_ptr_equal(first->tables->networks[0].table, first->image->networks[0].table);
	assert_rows(&first->tables->networks[1], ROWS("7 172.16.9.8/31", "7 172.16.9.11/32",
						      "8 172.16.2.0/24", "20 172.16.9.10/32"));
	assert_ptr_equal(first->tables->networks[2].table, first->image->networks[2].table);
	assert_rows(&first->tables->networks[3], ROWS("8 172.16.9.10/32", "21 172.16.1.4/32"));
	/* the site's own */
	assert_int_equal(first->n_lndt, 3);
	/* another image with the same in it: no key is made anew */
	same = given_new(image_with(2, true, "172.16.9.10"), first, key_of, NULL, stderr);
	assert_int_equal(derived, 3);
	/* it is another router's now, and may come over: what has its address is not it */
	gone = given_new(image_with(3, false, "172.16.9.10"), same, key_of, NULL, stderr);
	assert_ptr_equal(gone->tables->networks[1].table, gone->image->networks[1].table);
	assert_int_equal(gone->n_peers, 3);
	/* another address, alone in its half */
	moved = given_new(image_with(4, true, "10.255.255.255"), gone, key_of, NULL, stderr);
	assert_int_equal(moved->tables->networks[0].table->n, 24 + 2);
	assert_true(network_table_valid(moved->tables->networks[0].table));
	assert_int_equal(derived, 3);
	given_free(first);
	given_free(same);
	given_free(gone);
	given_free(moved);
}

/* What has not changed is not made anew. */
static void tables_are_kept(void **state)
{
	struct image *image = image_with(1, true, "172.16.9.10"),
		     *next = image_with(2, true, "172.16.9.10");
	struct given *first = given_new(image, NULL, key_of, NULL, stderr), *second;

	(void)state;
	for (size_t i = 0; i < next->n_networks; i++) {
		network_table_unref(next->networks[i].table);
		next->networks[i].table = network_table_ref(image->networks[i].table);
	}
	second = given_new(next, first, key_of, NULL, stderr);
	for (size_t i = 0; i < next->n_networks; i++)
		assert_ptr_equal(second->tables->networks[i].table,
				 first->tables->networks[i].table);
	given_free(first);
	given_free(second);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(keys_are_kept),
						   cmocka_unit_test(addresses_of_tinies),
						   cmocka_unit_test(tables_are_kept) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
