/* links: librouter libcommon */
/*
 * Bytes on a stream as they may come: cut into reads of any lengths, the first bytes by
 * way of the one who accepted it. Whatever the cuts, the same frames come out of it, those
 * that their sizes say; and it ends where a size is none.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A stream that gives these bytes, so many at a time. */
struct source_stream {
	struct stream stream;
	const uint8_t *data;
	size_t len;
	uint64_t cuts;
};

static const uint8_t *expected; /* the next frame's place in the input */
static size_t left;
static struct pool *pool;
static unsigned gone;

static ssize_t give(struct stream *s, void *to, size_t room)
{
	struct source_stream *f = (struct source_stream *)s;
	size_t n = f->cuts % 1500 + 1;

	f->cuts = f->cuts * 6364136223846793005u + 1442695040888963407u;
	if (!f->len)
		return -EAGAIN;
	n = n < f->len ? n : f->len;
	n = n < room ? n : room;
	memcpy(to, f->data, n);
	f->data += n;
	f->len -= n;
	return (ssize_t)n;
}

static ssize_t take(struct stream *s, const struct iovec *iov, int n)
{
	(void)s;
	(void)iov;
	(void)n;
	return -EAGAIN;
}

static int begin(struct stream *s)
{
	(void)s;
	return 0;
}

static void close_it(struct stream *s)
{
	(void)s;
}

static const struct stream_ops ops = { "fuzz", give, take, begin, close_it };

static size_t size_at(const uint8_t *p)
{
	return (size_t)p[2] << 8 | p[3];
}

static void frames(void *arg, struct batch *b, mono_t now)
{
	(void)arg;
	(void)now;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];

		if (p->len > left || p->len != size_at(expected) || p->len < FRAME_MIN ||
		    p->len > STREAM_FRAME_MAX || memcmp(p->data, expected, p->len) != 0)
			abort();
		expected += p->len;
		left -= p->len;
		pool_put(pool, p);
	}
}

static void ended(void *arg, uint32_t id, const char *why)
{
	(void)arg;
	(void)why;
	if (id != 7)
		abort();
	gone++;
}

static void play(const uint8_t *data, size_t len, size_t first, uint64_t cuts)
{
	const struct streams_hooks hooks = { .frames = frames, .gone = ended };
	const struct queue_limits limits = { .bytes = 4096, .age = SEC };
	struct streams *s = streams_new(true, &hooks, &limits);
	struct source_stream f = { .stream = { .ops = &ops, .fd = -1 }, .cuts = cuts };
	struct endpoint remote = { .port = 1 };
	struct counters counters = { 0 };
	mono_t now = { SEC };
	size_t before = pool_left(pool);
	bool whole, none;

	if (!s)
		return;
	expected = data;
	left = len;
	gone = 0;
	f.data = data + first;
	f.len = len - first;
	streams_belong(s, pool, &counters);
	if (!streams_add(s, 7, &f.stream, &remote, data, first, false, now))
		abort();
	while (streams_turn(s, now))
		;
	/* What was not told is the beginning of a frame, or none; unless nothing has come
	 * behind the first bytes, which nobody looks at alone. */
	whole = left >= 4 && size_at(expected) <= left && size_at(expected) >= FRAME_MIN &&
		size_at(expected) <= STREAM_FRAME_MAX;
	none = left >= 4 && (size_at(expected) < FRAME_MIN || size_at(expected) > STREAM_FRAME_MAX);
	if (whole || (len > first && (gone != 0) != none))
		abort();
	streams_free(s);
	if (pool_left(pool) != before)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t first;

	if (!pool)
		pool = pool_new(512);
	if (!pool || len < 1)
		return 0;
	first = data[0] % (FRAME_HEADER + 1);
	data++;
	len--;
	play(data, len, first < len ? first : len, 1);
	play(data, len, 0, 0);
	return 0;
}
