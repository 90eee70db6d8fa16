/* links: router/streams router/queue libcommon */
/*
 * Frames on streams, in both directions, on a stream that gives and takes as few bytes at a
 * time as it likes. Whatever comes is cut into the same frames however it comes in pieces:
 * those that stand at its beginning, whole, up to the first bytes that are no frame. And
 * what is sent leaves as it was put in, without a byte between.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "router/streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SEED 8
#define INPUT_MAX 65536
#define OUTPUT_MAX (256 * 1024)
#define ID 7

static const struct queue_limits limits = { .bytes = 64 * 1024, .age = SEC };

static struct {
	struct pool *pool;
	struct counters counters;
	uint64_t random;
	bool in_pieces;
	/* in */
	const uint8_t *in;
	size_t in_len, in_at;
	size_t cut; /* bytes that have come as frames */
	bool gone;
	/* out */
	uint8_t put[OUTPUT_MAX], out[OUTPUT_MAX];
	size_t put_len, out_len;
	bool open;
} world;

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static unsigned pick(unsigned n)
{
	world.random = world.random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(world.random >> 33) % n;
}

/* ---- a stream of pieces ----------------------------------------------------- */

/* At most so many bytes this time; 0: not now. */
static size_t piece(size_t most)
{
	static const unsigned sizes[] = { 1, 3, 24, 100, 5000 };

	if (!world.in_pieces)
		return most;
	if (!pick(4))
		return 0;
	return 1 + pick(sizes[pick(5)] < most ? sizes[pick(5)] : (unsigned)most) % most;
}

static ssize_t give(struct stream *s, void *data, size_t room)
{
	size_t left = world.in_len - world.in_at, n = left < room ? left : room;

	(void)s;
	check(room > 0);
	if (!left)
		return 0;
	n = piece(n);
	if (!n)
		return -EAGAIN;
	memcpy(data, world.in + world.in_at, n);
	world.in_at += n;
	return (ssize_t)n;
}

static ssize_t take(struct stream *s, const struct iovec *iov, int n)
{
	size_t all = 0, left;

	(void)s;
	for (int i = 0; i < n; i++)
		all += iov[i].iov_len;
	check(all > 0 && world.out_len + all <= sizeof(world.out));
	all = left = piece(all);
	if (!all)
		return -EAGAIN;
	for (int i = 0; left; i++) {
		size_t now = iov[i].iov_len < left ? iov[i].iov_len : left;

		memcpy(world.out + world.out_len, iov[i].iov_base, now);
		world.out_len += now;
		left -= now;
	}
	return (ssize_t)all;
}

static ssize_t silent(struct stream *s, void *data, size_t room)
{
	(void)s;
	(void)data;
	(void)room;
	return -EAGAIN;
}

static void close_stream(struct stream *s)
{
	world.open = false;
	free(s);
}

static const struct stream_ops in_ops = {
	.name = "in", .read = give, .write = take, .close = close_stream
};
static const struct stream_ops out_ops = {
	.name = "out", .read = silent, .write = take, .close = close_stream
};

/* ---- what comes of it -------------------------------------------------------- */

static void frames(void *arg, struct batch *b, mono_t now)
{
	(void)arg;
	(void)now;
	check(b->n > 0 && b->n <= BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = b->p[i];

		check(p->stream == ID && p->len >= FRAME_MIN && p->len <= STREAM_FRAME_MAX);
		check(p->len == ((uint32_t)p->data[2] << 8 | p->data[3]));
		check(world.cut + p->len <= world.in_at);
		check(!memcmp(p->data, world.in + world.cut, p->len));
		world.cut += p->len;
		pool_put(world.pool, p);
	}
}

static void gone(void *arg, uint32_t id, const char *why)
{
	(void)arg;
	check(id == ID && why && *why && !world.gone);
	world.gone = true;
}

static struct streams *open_streams(const struct stream_ops *ops, const uint8_t *first, size_t len)
{
	static const struct streams_hooks hooks = { .frames = frames, .gone = gone };
	static const struct endpoint remote;
	struct streams *s = streams_new(true, &hooks, &limits);
	struct stream *stream = calloc(1, sizeof(*stream));

	*stream = (struct stream){ .ops = ops, .fd = -1 };
	world.open = true;
	world.gone = false;
	streams_belong(s, world.pool, &world.counters);
	check(streams_add(s, ID, stream, &remote, first, len, true, (mono_t){ SEC }));
	return s;
}

/* How much of it came as frames. */
static size_t read_all(const uint8_t *data, size_t len, bool in_pieces)
{
	size_t first = len < FRAME_HEADER ? len : FRAME_HEADER;
	struct streams *s;

	world.in = data;
	world.in_len = len;
	world.in_pieces = in_pieces;
	world.in_at = in_pieces ? first : 0; /* what was read where it was accepted */
	world.cut = 0;
	s = open_streams(&in_ops, data, world.in_at);
	for (unsigned i = 0; !world.gone; i++) {
		check(i < 16 * INPUT_MAX);
		streams_turn(s, (mono_t){ SEC });
	}
	check(!world.open && !streams_count(s));
	streams_free(s);
	return world.cut;
}

/* What must come. */
static size_t whole_frames(const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (len - at >= 4) {
		size_t size = (size_t)data[at + 2] << 8 | data[at + 3];

		if (size < FRAME_MIN || size > STREAM_FRAME_MAX || size > len - at)
			break;
		at += size;
	}
	return at;
}

/* Frames of sizes that the input chooses, written in pieces. */
static void write_all(const uint8_t *data, size_t len)
{
	struct streams *s = open_streams(&out_ops, NULL, 0);
	uint8_t frame[STREAM_FRAME_MAX];

	world.in_pieces = true;
	world.put_len = world.out_len = 0;
	for (size_t i = 0; i + 1 < len && world.put_len < limits.bytes / 2; i += 2) {
		size_t size = FRAME_MIN + ((size_t)data[i] << 8 | data[i + 1]) % 1500;

		memset(frame, (int)i + 1, size);
		check(streams_send(s, ID, frame, size, (mono_t){ SEC }, NULL));
		memcpy(world.put + world.put_len, frame, size);
		world.put_len += size;
		if (pick(3))
			streams_flush(s, (mono_t){ SEC });
	}
	for (unsigned i = 0; world.out_len < world.put_len; i++) {
		check(i < OUTPUT_MAX);
		streams_turn(s, (mono_t){ SEC });
	}
	check(world.out_len == world.put_len && !streams_waiting(s));
	check(!memcmp(world.out, world.put, world.put_len));
	streams_free(s);
	check(!world.open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t want;

	if (len <= SEED || len > INPUT_MAX)
		return 0;
	if (!world.pool)
		world.pool = pool_new(2 * BATCH_MAX);
	memcpy(&world.random, data, SEED);
	data += SEED;
	len -= SEED;
	want = whole_frames(data, len);
	check(read_all(data, len, false) == want);
	check(read_all(data, len, true) == want);
	write_all(data, len < 512 ? len : 512);
	return 0;
}
