/*
 * Tables as they come from the authority, before and after their signature is looked
 * at: a whole image, then changes on it, each behind its length (4 bytes). What is taken
 * must come out the same when it is encoded, and what a change makes must be good.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_bytes(uint8_t *made, size_t made_len, const uint8_t *data, size_t len)
{
	check(made && made_len == len && !memcmp(made, data, len - SIGN_BYTES));
	free(made);
}

static struct image *fuzz_whole(const struct signer *s, const uint8_t *data, size_t len)
{
	struct image *image;
	size_t n;

	if (image_decode(data, len, &image))
		return NULL;
	check(image_kind(data, len) == IMAGE_WHOLE && image_valid(image));
	check_bytes(image_encode(image, s, &n), n, data, len);
	return image;
}

static struct image *fuzz_change(const struct signer *s, struct image *runs, const uint8_t *data,
				 size_t len)
{
	struct image_change *change;
	struct image *next = NULL;
	size_t n;

	if (image_change_decode(data, len, &change))
		return runs;
	check(image_kind(data, len) == IMAGE_CHANGE);
	check_bytes(image_change_encode(change, s, &n), n, data, len);
	if (runs && !image_apply_change(runs, change, &next)) {
		check(image_valid(next) && version_compare(runs->version, next->version) < 0);
		image_free(runs);
		runs = next;
	}
	image_change_free(change);
	return runs;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t key[SIGN_KEY] = { 1 };
	static struct signer *signer;
	struct image *runs = NULL;

	if (!signer)
		signer = signer_new(key);
	check(signer);
	while (len >= 4) {
		size_t n = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 |
			   data[3];

		data += 4;
		len -= 4;
		if (n > len)
			n = len;
		if (!runs)
			runs = fuzz_whole(signer, data, n);
		else
			runs = fuzz_change(signer, runs, data, n);
		image_verify(data, n, signer_public(signer));
		data += n;
		len -= n;
	}
	image_free(runs);
	return 0;
}
