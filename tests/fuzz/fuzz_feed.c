/*
 * A router's stream, in pieces behind their length (one byte), and the body of a
 * confirmation. What is taken as tables goes on to be judged by the router.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void on_message(void *arg, const struct feed_message *m)
{
	static const uint8_t key[SIGN_KEY] = { 1 };
	char error[FEED_ERROR];
	struct image *image = NULL;

	(void)arg;
	check((m->type == FEED_TABLES) == (m->bytes != NULL));
	if (m->bytes && !feed_take(NULL, 1, key, m->bytes, m->len, &image, error))
		image_free(image);
}

static void fuzz_confirm(const uint8_t *data, size_t len)
{
	struct version v, again;
	char error[FEED_ERROR], text[VERSION_TEXT];

	if (!feed_confirm_parse((const char *)data, len, &v, error))
		return;
	check(version_parse(version_format(v, text), &again) && !version_compare(v, again));
	for (const char *p = error; *p; p++)
		check(*p >= ' ' && *p <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct feed s;

	fuzz_confirm(data, len);
	feed_init(&s);
	while (len) {
		size_t n = *data++;

		len--;
		if (n > len)
			n = len;
		if (feed_read(&s, data, n, on_message, NULL)) {
			check(feed_read(&s, data, n, on_message, NULL) < 0);
			break;
		}
		data += n;
		len -= n;
	}
	feed_done(&s);
	return 0;
}
