/* links: common/feed common/image common/image_code common/image_change common/image_tiny common/network
 * common/sign common/addr common/wire */
/*
 * The stream: lines however they are cut, what is refused, which tables a router takes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/feed.h"
#include "tests/unit/image_world.h"

static void versions(void **state)
{
	static const char *const bad[] = {
		"",	"1",	"1.",	".1",	"1.2 ",
		" 1.2", "-1.2", "01.2", "1.02", "1.18446744073709551616"
	};
	struct version v = { 7, 7 };
	char text[VERSION_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(version_parse(bad[i], &v));
	assert_int_equal(v.generation, 7);
	assert_true(version_parse("18446744073709551615.0", &v));
	assert_string_equal(version_format(v, text), "18446744073709551615.0");
}

static void confirmations(void **state)
{
	struct version v;
	char error[FEED_ERROR], *body = feed_confirm((struct version){ 3, 9 }, "no \"room\"\n");

	(void)state;
	assert_true(feed_confirm_parse(body, strlen(body), &v, error));
	assert_int_equal(v.number, 9);
	assert_string_equal(error, "no \"room\"?");
	free(body);
	body = feed_confirm((struct version){ 3, 9 }, NULL);
	assert_string_equal(body, "{\"version\":\"3.9\"}");
	assert_true(feed_confirm_parse(body, strlen(body), &v, error));
	assert_string_equal(error, "");
	free(body);
	assert_false(feed_confirm_parse("", 0, &v, error));
	assert_false(feed_confirm_parse("[]", 2, &v, error));
	assert_false(feed_confirm_parse("{\"version\":3}", 13, &v, error));
}

struct got {
	unsigned alive, tables, other, next;
	uint8_t bytes[600];
	size_t len;
	struct version version;
};

static void on_message(void *arg, const struct feed_message *m)
{
	struct got *g = arg;

	g->alive += m->type == FEED_ALIVE;
	g->next += m->next;
	g->other += m->type == FEED_OTHER;
	if (m->type != FEED_TABLES)
		return;
	g->tables++;
	g->len = m->len;
	g->version = m->version;
	memcpy(g->bytes, m->bytes, m->len);
}

static void cut_anywhere(void **state)
{
	uint8_t bytes[500];
	size_t len, all;
	char *line, *text, *alive = feed_alive(750);

	(void)state;
	for (size_t size = 497; size <= 500; size++) { /* with and without padding */
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(i * 7);
		line = feed_tables((struct version){ 2, 5 }, 1, bytes, size, &len);
		text = malloc(len + 100);
		all = (size_t)sprintf(text, "%s%s{\"type\":\"later\"}\n\n", alive, line);
		for (size_t cut = 0; cut <= all; cut += 1 + cut % 3) {
			struct got g = { 0 };
			struct feed s;

			feed_init(&s);
			assert_int_equal(feed_read(&s, text, cut, on_message, &g), 0);
			assert_int_equal(feed_read(&s, text + cut, all - cut, on_message, &g), 0);
			assert_true(g.alive == 1 && g.tables == 1 && g.other == 1);
			assert_int_equal(g.next, 750);
			assert_int_equal(g.len, size);
			assert_memory_equal(g.bytes, bytes, size);
			assert_int_equal(g.version.number, 5);
			feed_done(&s);
		}
		free(text);
		free(line);
	}
	free(alive);
}

/* A line that would take many times its memory is none. */
static void many_values(void **state)
{
	char *line = malloc(4000000), *at = line;
	struct got got = { 0 };
	struct feed s;

	(void)state;
	at += sprintf(at, "{\"type\":\"alive\",\"x\":[0");
	while (at < line + 3999000) {
		memcpy(at, ",0", 2);
		at += 2;
	}
	at += sprintf(at, "]}\n");
	feed_init(&s);
	assert_int_equal(feed_read(&s, line, (size_t)(at - line), on_message, &got), -EBADMSG);
	assert_int_equal(got.alive, 0);
	feed_done(&s);
	free(line);
}

static void malformed(void **state)
{
	static const char *const bad[] = {
		"x\n",
		"{}\n",
		"[\"type\"]\n",
		"{\"type\":1}\n",
		"{\"type\":\"alive\"\n",
		"{\"type\":\"tables\"}\n",
		"{\"type\":\"tables\",\"version\":\"1\",\"image\":\"AAAA\"}\n",
		"{\"type\":\"tables\",\"version\":\"1.1\",\"image\":\"AAA\"}\n",
		"{\"type\":\"tables\",\"version\":\"1.1\",\"image\":\"A*AA\"}\n",
		"{\"type\":\"tables\",\"version\":\"1.1\",\"image\":\"\"}\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct got g = { 0 };
		struct feed s;

		feed_init(&s);
		assert_int_equal(feed_read(&s, bad[i], strlen(bad[i]), on_message, &g), -EBADMSG);
		assert_int_equal(feed_read(&s, "{\"type\":\"alive\"}\n", 17, on_message, &g),
				 -EBADMSG);
		assert_int_equal(g.alive + g.tables + g.other, 0);
		feed_done(&s);
	}
}

static struct image *image_at(uint32_t router, uint64_t generation, uint64_t number)
{
	struct image *image = image_new();

	image->router = router;
	image->version = (struct version){ generation, number };
	image_add_network(image, 8, SIDES, ROWS("1 172.16.1.0/24", "2 172.16.2.0/24"));
	image_add_peer(image, 2 + (router == 2), "r2", NULL);
	return image;
}

static int try(const struct image *runs, const struct image *image, const struct signer *s)
{
	const struct signer *own = signer_new(image_seed);
	size_t len;
	uint8_t *bytes = image_encode(image, s ? s : own, &len);
	struct image *next = NULL;
	char error[FEED_ERROR];
	int result = feed_take(runs, 1, signer_public(own), bytes, len, &next, error);

	assert_true((error[0] != '\0') == (result < 0));
	assert_true((next != NULL) == (result == 0));
	image_free(next);
	free(bytes);
	signer_free((struct signer *)own);
	return result;
}

static void what_is_taken(void **state)
{
	struct image *runs = image_at(1, 2, 10), *same = image_at(1, 2, 10);
	struct image *newer = image_at(1, 2, 11), *older = image_at(1, 2, 9);
	struct image *restored = image_at(1, 3, 1), *old_generation = image_at(1, 1, 99);
	struct image *others = image_at(2, 2, 11), *next = NULL;
	struct signer *stranger = signer_new((const uint8_t *)"another signing key of 32 bytes.");
	struct signer *own = signer_new(image_seed);
	struct image_change *c = image_change_new(runs, newer);
	size_t len;
	uint8_t *bytes = image_change_encode(c, own, &len);
	char error[FEED_ERROR];

	(void)state;
	assert_int_equal(try(NULL, older, NULL), 0);
	assert_int_equal(try(runs, newer, NULL), 0);
	assert_int_equal(try(runs, restored, NULL), 0);
	assert_int_equal(try(runs, same, NULL), 1);
	assert_int_equal(try(runs, older, NULL), -EALREADY);
	assert_int_equal(try(runs, old_generation, NULL), -EALREADY);
	assert_int_equal(try(runs, others, NULL), -EXDEV);
	assert_int_equal(try(runs, newer, stranger), -EKEYREJECTED);
	/* the same of changes */
	assert_int_equal(feed_take(runs, 1, signer_public(own), bytes, len, &next, error), 0);
	assert_int_equal(next->version.number, 11);
	assert_int_equal(feed_take(NULL, 1, signer_public(own), bytes, len, &next, error), -ESTALE);
	assert_int_equal(feed_take(older, 1, signer_public(own), bytes, len, &next, error),
			 -ESTALE);
	assert_int_equal(feed_take(newer, 1, signer_public(own), bytes, len, &next, error), 1);
	assert_int_equal(feed_take(runs, 1, signer_public(stranger), bytes, len, &next, error),
			 -EKEYREJECTED);
	bytes[40] ^= 1;
	assert_int_equal(feed_take(runs, 1, signer_public(own), bytes, len, &next, error),
			 -EKEYREJECTED);
	free(bytes);
	image_change_free(c);
	image_free(next);
	image_free(runs);
	image_free(same);
	image_free(newer);
	image_free(older);
	image_free(restored);
	image_free(old_generation);
	image_free(others);
	signer_free(stranger);
	signer_free(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),	 cmocka_unit_test(confirmations),
		cmocka_unit_test(cut_anywhere),	 cmocka_unit_test(malformed),
		cmocka_unit_test(what_is_taken), cmocka_unit_test(many_values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
