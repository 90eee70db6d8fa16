/* links: common/wire common/addr */
/*
 * The first bytes of everything that comes from the wire: frame header,
 * handshake header, hello, control message. What is taken must obey the
 * protocol's bounds and must come out the same when it is written and read
 * again; what is refused must leave the result alone.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert(): it must not vanish with NDEBUG. */
static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool untouched(const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		if (b[i] != 0xa5)
			return false;
	return true;
}

static void fuzz_frame(const uint8_t *data, size_t len)
{
	struct frame_header h;
	uint8_t out[FRAME_HEADER];

	memset(&h, 0xa5, sizeof(h));
	if (frame_parse(data, len, &h) != FRAME_OK) {
		check(untouched(&h, sizeof(h)));
		return;
	}
	check(len >= FRAME_MIN && h.size == len);
	check(h.type < FRAME_TYPES && !(h.state & ~STATE_KNOWN));
	check(!(h.state & STATE_SIGNED && h.state & STATE_ENCRYPTED));
	check(h.type == FRAME_FORWARD || h.state == STATE_SIGNED);
	check(h.state != STATE_PARTIAL && h.seq <= SEQ_MAX);
	frame_format(&h, out);
	check(!memcmp(out, data, FRAME_HEADER));
}

/* What is in a queue frame is what comes out, and the MAC depends on the right bytes. */
static void fuzz_queue_frame(const uint8_t *data, size_t len)
{
	struct frame_header h, inner, again;
	uint8_t was[QUEUE_SIGNED], out[FRAME_HEADER];

	memset(&inner, 0xa5, sizeof(inner));
	if (frame_parse(data, len, &h) != FRAME_OK || h.type != FRAME_QUEUE)
		return;
	if (!queue_frame_parse(data, len, &inner)) {
		check(untouched(&inner, sizeof(inner)));
		return;
	}
	check(inner.size == len - FRAME_OVERHEAD && inner.size >= FRAME_MIN);
	check(inner.type != FRAME_QUEUE && inner.type != FRAME_GET);
	check(frame_parse(data + FRAME_HEADER, inner.size, &again) == FRAME_OK);
	queue_frame_signed(data, len, was);
	check(!memcmp(was, data, 2 * FRAME_HEADER));
	check(!memcmp(was + 2 * FRAME_HEADER, data + FRAME_HEADER + inner.size - FRAME_MAC,
		      FRAME_MAC));
	queue_frame_format(&h, inner.size, queue_frame_tos(&h), out);
	check(h.network > 255 || !memcmp(out, data, FRAME_HEADER));
}

static void fuzz_handshake(const uint8_t *data, size_t len)
{
	struct reader r = reader_init(data, len);
	struct handshake_header h, again;
	uint8_t out[HANDSHAKE_HEADER];
	struct writer w = writer_init(out, sizeof(out));

	memset(&h, 0xa5, sizeof(h));
	if (!handshake_header_read(&r, &h)) {
		check(untouched(&h, sizeof(h)));
		return;
	}
	check(reader_left(&r) == len - HANDSHAKE_HEADER);
	check(h.role == HANDSHAKE_CLIENT || h.role == HANDSHAKE_SERVER);
	handshake_header_write(&w, &h);
	check(!w.bad && writer_len(&w) == sizeof(out));
	r = reader_init(out, sizeof(out));
	check(handshake_header_read(&r, &again));
	check(again.role == h.role && again.attempt == h.attempt);
}

static void fuzz_hello(const uint8_t *data, size_t len)
{
	struct reader r = reader_init(data, len);
	struct hello h, again;
	uint8_t out[HELLO_SIZE];
	struct writer w = writer_init(out, sizeof(out));

	memset(&h, 0xa5, sizeof(h));
	if (!hello_read(&r, &h)) {
		check(untouched(&h, sizeof(h)));
		return;
	}
	check(reader_left(&r) == len - HELLO_SIZE);
	check(h.lanes >= 1 && h.lanes <= LANES_MAX);
	hello_write(&w, &h);
	check(!w.bad && writer_len(&w) == sizeof(out));
	r = reader_init(out, sizeof(out));
	check(hello_read(&r, &again));
	check(again.epoch == h.epoch && again.lanes == h.lanes && again.seen == h.seen &&
	      again.features == h.features);
}

/* A direct path's candidates: whatever is taken can be sent to, and comes out the same. */
static void fuzz_candidates(const uint8_t *data, size_t len)
{
	struct candidates c, again;
	uint8_t out[CANDIDATES_SIZE];
	size_t n;

	memset(&c, 0xa5, sizeof(c));
	if (!candidates_read(data, len, &c)) {
		check(untouched(&c, sizeof(c)));
		return;
	}
	check(c.n <= CANDIDATES_MAX);
	for (unsigned i = 0; i < c.n; i++)
		check(c.at[i].port && (c.at[i].ip.family == 4 || c.at[i].ip.family == 6));
	n = candidates_write(out, &c);
	check(n <= len && candidates_read(out, n, &again));
	check(again.wanted == c.wanted && again.dependent == c.dependent && again.n == c.n);
	for (unsigned i = 0; i < c.n; i++)
		check(endpoint_equal(&c.at[i], &again.at[i]));
}

static void fuzz_control(const uint8_t *data, size_t len)
{
	struct control_message m, again;
	uint8_t *out;

	memset(&m, 0xa5, sizeof(m));
	if (!control_read(data, len, &m)) {
		check(len < CONTROL_HEADER && untouched(&m, sizeof(m)));
		return;
	}
	check(m.body == data + CONTROL_HEADER && m.len == len - CONTROL_HEADER);
	out = malloc(len);
	check(out);
	check(!control_write(out, len - 1, &m));
	check(control_write(out, len, &m) == len);
	check(control_read(out, len, &again));
	check(again.kind == m.kind && again.token == m.token && again.len == m.len);
	check(!m.len || !memcmp(again.body, m.body, m.len));
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_frame(data, len);
	fuzz_queue_frame(data, len);
	fuzz_handshake(data, len);
	fuzz_hello(data, len);
	fuzz_control(data, len);
	fuzz_candidates(data, len);
	return 0;
}
