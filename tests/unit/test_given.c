/* links: librouter libcommon */
/*
 * What an image gives: keys are derived once for a public key, however often the image is
 * made anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "router/change.h"
#include "tests/unit/image_world.h"

static unsigned derived;

static bool key_of(void *arg, const struct pinned *p, uint8_t ret[static CRYPTO_KEY],
		   FILE *errors)
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

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(keys_are_kept) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
