/*
 * A router's stream, in pieces behind their length (one byte), and the body of a
 * confirmation. What is taken as tables goes on to be judged by the router.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void on_message(void *arg, const struct stream_message *m)
{
	static const uint8_t key[SIGN_KEY] = { 1 };
	char error[STREAM_ERROR];
	struct image *image = NULL;

	(void)arg;
	check((m->type == STREAM_TABLES) == (m->bytes != NULL));
	if (m->bytes && !stream_take(NULL, 1, key, m->bytes, m->len, &image, error))
		image_free(image);
}

static void fuzz_confirm(const uint8_t *data, size_t len)
{
	struct version v, again;
	char error[STREAM_ERROR], text[VERSION_TEXT];

	if (!stream_confirm_parse((const char *)data, len, &v, error))
		return;
	check(version_parse(version_format(v, text), &again) && !version_compare(v, again));
	for (const char *p = error; *p; p++)
		check(*p >= ' ' && *p <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct stream s;

	fuzz_confirm(data, len);
	stream_init(&s);
	while (len) {
		size_t n = *data++;

		len--;
		if (n > len)
			n = len;
		if (stream_feed(&s, data, n, on_message, NULL)) {
			check(stream_feed(&s, data, n, on_message, NULL) < 0);
			break;
		}
		data += n;
		len -= n;
	}
	stream_done(&s);
	return 0;
}
