/* links: common/wire common/addr common/counters */
/*
 * Formats on the wire: the layout byte by byte, every refusal of frame_parse,
 * and reader and writer at their ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/counters.h"
#include "common/wire.h"

static const struct frame_header sample = {
	.type = FRAME_FORWARD,
	.state = STATE_SIGNED,
	.size = 0x0130,
	.network = 0x01020304,
	.source = 0x05060708,
	.destination = 0x090a0b0c,
	.epoch = 0xe1,
	.lane = 0x1a,
	.seq = 0x111213141516,
};

static void frame_layout(void **state)
{
	static const uint8_t want[FRAME_HEADER] = {
		0x10, 0x01, 0x01, 0x30, 1,    2,    3,	  4,	5,    6,    7,	  8,
		9,    10,   11,	  12,	0xe1, 0x1a, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
	};
	uint8_t out[FRAME_HEADER];

	(void)state;
	frame_format(&sample, out);
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(out[FRAME_LANE_OFFSET], sample.lane);
}

static enum frame_error parse(const struct frame_header *h, size_t len)
{
	uint8_t frame[FRAME_MAX + 1] = { 0 };
	struct frame_header got;

	frame_format(h, frame);
	return frame_parse(frame, len, &got);
}

static void frame_round_trip(void **state)
{
	uint8_t frame[0x0130] = { 0 }, again[FRAME_HEADER];
	struct frame_header got;

	(void)state;
	frame_format(&sample, frame);
	assert_int_equal(frame_parse(frame, sizeof(frame), &got), FRAME_OK);
	assert_int_equal(got.type, sample.type);
	assert_int_equal(got.state, sample.state);
	assert_int_equal(got.size, sample.size);
	assert_int_equal(got.network, sample.network);
	assert_int_equal(got.source, sample.source);
	assert_int_equal(got.destination, sample.destination);
	assert_int_equal(got.epoch, sample.epoch);
	assert_int_equal(got.lane, sample.lane);
	assert_true(got.seq == sample.seq);
	frame_format(&got, again);
	assert_memory_equal(again, frame, FRAME_HEADER);
}

static void frame_sizes(void **state)
{
	struct frame_header h = sample;

	(void)state;
	assert_int_equal(parse(&h, h.size), FRAME_OK);
	assert_int_equal(parse(&h, h.size - 1u), FRAME_SHORT);
	assert_int_equal(parse(&h, h.size + 1u), FRAME_LONG);
	for (size_t len = 0; len < FRAME_MIN; len++)
		assert_int_equal(parse(&h, len), FRAME_SHORT);
	for (uint16_t size = 0; size < FRAME_MIN; size++) {
		h.size = size;
		assert_int_equal(parse(&h, size), FRAME_SHORT);
		assert_int_equal(parse(&h, FRAME_MIN), FRAME_SHORT);
	}
	h.size = FRAME_MIN;
	assert_int_equal(parse(&h, FRAME_MIN), FRAME_OK);
	h.size = FRAME_MAX;
	assert_int_equal(parse(&h, FRAME_MAX), FRAME_OK);
	assert_int_equal(parse(&h, FRAME_MAX + 1), FRAME_LONG);
}

/* The first byte is judged before the sizes, the sizes before the state. */
static void frame_order(void **state)
{
	uint8_t frame[FRAME_MIN] = { 0 };
	struct frame_header got;

	(void)state;
	frame[0] = 0x20;
	assert_int_equal(frame_parse(frame, 0, &got), FRAME_SHORT);
	assert_int_equal(frame_parse(frame, 1, &got), FRAME_VERSION);
	frame[0] = 0x10 | FRAME_TYPES;
	assert_int_equal(frame_parse(frame, 1, &got), FRAME_VERSION);
	frame[0] = 0x10;
	frame[1] = 0xff;
	assert_int_equal(frame_parse(frame, sizeof(frame), &got), FRAME_SHORT);
	frame[3] = FRAME_MIN;
	assert_int_equal(frame_parse(frame, sizeof(frame), &got), FRAME_STATE);
}

static void frame_versions_and_types(void **state)
{
	struct frame_header h = sample, got;
	uint8_t frame[0x0130] = { 0 };

	(void)state;
	for (unsigned first = 0; first < 256; first++) {
		bool known = first >> 4 == WIRE_VERSION && (first & 15) < FRAME_TYPES;

		h.type = first & 15;
		frame_format(&h, frame);
		frame[0] = (uint8_t)first;
		assert_int_equal(frame_parse(frame, sizeof(frame), &got),
				 known ? FRAME_OK : FRAME_VERSION);
	}
}

static void frame_states(void **state)
{
	struct frame_header h = sample;

	(void)state;
	for (h.type = 0; h.type < FRAME_TYPES; h.type++) {
		for (unsigned bits = 0; bits < 256; bits++) {
			bool ok = bits == STATE_SIGNED;

			if (h.type == FRAME_FORWARD)
				ok = ok || bits == 0 || bits == STATE_ENCRYPTED ||
				     bits == (STATE_SIGNED | STATE_PARTIAL) ||
				     bits == (STATE_ENCRYPTED | STATE_PARTIAL);
			h.state = (uint8_t)bits;
			assert_int_equal(parse(&h, h.size), ok ? FRAME_OK : FRAME_STATE);
		}
	}
}

static void frame_failure_leaves_result(void **state)
{
	uint8_t frame[FRAME_MIN] = { 0x10, 0x04, 0, FRAME_MIN };
	struct frame_header got, before;

	(void)state;
	memset(&got, 0xa5, sizeof(got));
	before = got;
	assert_int_equal(frame_parse(frame, sizeof(frame), &got), FRAME_STATE);
	assert_memory_equal(&got, &before, sizeof(got));
}

/* A queue frame with a frame of this type and payload inside; its length. */
static size_t queued(uint8_t *out, uint8_t type, size_t payload)
{
	struct frame_header inner = { .type = type,
				      .state = STATE_SIGNED,
				      .size = (uint16_t)(payload + FRAME_OVERHEAD),
				      .source = 7,
				      .destination = 9,
				      .seq = 5 };
	struct frame_header hop = {
		.source = 7, .destination = 8, .epoch = 3, .lane = 2, .seq = 4
	};

	queue_frame_format(&hop, inner.size, 0xb9, out);
	frame_format(&inner, out + FRAME_HEADER);
	for (size_t i = 0; i < payload + 2 * FRAME_MAC; i++)
		out[2 * FRAME_HEADER + i] = (uint8_t)(i + 100);
	return inner.size + FRAME_OVERHEAD;
}

static void queue_frame_layout(void **state)
{
	uint8_t frame[200], covered[QUEUE_SIGNED];
	struct frame_header hop, inner;
	size_t len = queued(frame, FRAME_FORWARD, 30);

	(void)state;
	assert_int_equal(len, 30 + 2 * FRAME_OVERHEAD);
	assert_int_equal(frame_parse(frame, len, &hop), FRAME_OK);
	assert_int_equal(hop.type, FRAME_QUEUE);
	assert_int_equal(hop.state, STATE_SIGNED);
	assert_int_equal(hop.network, 0xb9);
	assert_int_equal(queue_frame_tos(&hop), 0xb9);
	assert_true(hop.source == 7 && hop.destination == 8 && hop.seq == 4);
	assert_true(hop.epoch == 3 && hop.lane == 2);
	assert_true(queue_frame_parse(frame, len, &inner));
	assert_true(inner.type == FRAME_FORWARD && inner.destination == 9 && inner.seq == 5);
	assert_int_equal(inner.size, 30 + FRAME_OVERHEAD);

	/* both headers, and the MAC inside, without the payload between them */
	queue_frame_signed(frame, len, covered);
	assert_memory_equal(covered, frame, 48);
	assert_memory_equal(covered + 48, frame + 48 + 30, FRAME_MAC);
}

static void queue_frame_holds_one_frame(void **state)
{
	struct frame_header inner;
	uint8_t frame[200];
	size_t len;

	(void)state;
	for (uint8_t type = 0; type < FRAME_TYPES; type++) {
		len = queued(frame, type, 10);
		assert_int_equal(queue_frame_parse(frame, len, &inner),
				 type != FRAME_QUEUE && type != FRAME_GET);
	}
	len = queued(frame, FRAME_CONTROL, 10);
	for (size_t n = FRAME_MIN; n < len + 20; n++)
		assert_int_equal(queue_frame_parse(frame, n, &inner), n == len);
	frame[FRAME_HEADER] ^= 0x20; /* of another version */
	memset(&inner, 0xa5, sizeof(inner));
	assert_false(queue_frame_parse(frame, len, &inner));
	assert_int_equal(inner.size, 0xa5a5); /* left alone */
	frame[FRAME_HEADER] ^= 0x20;
	frame[FRAME_HEADER + 1] |= 0x40; /* a reserved bit */
	assert_false(queue_frame_parse(frame, len, &inner));
}

static void reader_to_its_end(void **state)
{
	static const uint8_t data[] = { 1,    2,    3,	  4,	5,    6,    7,	  8,
					9,    10,   11,	  12,	13,   14,   15,	  16,
					0xfe, 0xff, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct reader r = reader_init(data, sizeof(data));

	(void)state;
	assert_int_equal(read_u8(&r), 1);
	assert_int_equal(read_u16(&r), 0x0203);
	assert_int_equal(read_u32(&r), 0x04050607);
	assert_true(read_u48(&r) == 0x08090a0b0c0d);
	assert_true(read_u64(&r) == 0x0e0f10feffaabbcc);
	assert_int_equal(reader_left(&r), 3);
	assert_ptr_equal(read_bytes(&r, 2), data + 21);
	assert_int_equal(read_u8(&r), 0xff);
	assert_false(r.bad);
	assert_int_equal(reader_left(&r), 0);
	assert_non_null(read_bytes(&r, 0));
	assert_false(r.bad);
	assert_int_equal(read_u8(&r), 0);
	assert_true(r.bad);
}

static void reader_stays_bad(void **state)
{
	static const uint8_t data[] = { 0xff, 0xff, 0xff };
	struct reader r = reader_init(data, sizeof(data));

	(void)state;
	assert_int_equal(read_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(read_u8(&r), 0);
	assert_int_equal(reader_left(&r), 0);
	assert_null(read_bytes(&r, 1));
	r = reader_init(NULL, 0);
	assert_int_equal(reader_left(&r), 0);
	assert_false(r.bad);
	assert_true(read_u64(&r) == 0);
	assert_true(r.bad);
	r = reader_init(data, sizeof(data));
	assert_null(read_bytes(&r, SIZE_MAX));
	assert_true(r.bad);
}

static void writer_mirrors_reader(void **state)
{
	uint8_t out[24], again[24];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r;

	(void)state;
	write_u8(&w, 1);
	write_u16(&w, 0xfffe);
	write_u32(&w, 0xfffefdfc);
	write_u48(&w, SEQ_MAX - 1);
	write_u64(&w, UINT64_MAX - 1);
	write_bytes(&w, "abc", 3);
	assert_false(w.bad);
	assert_int_equal(writer_len(&w), sizeof(out));
	r = reader_init(out, sizeof(out));
	assert_int_equal(read_u8(&r), 1);
	assert_int_equal(read_u16(&r), 0xfffe);
	assert_int_equal(read_u32(&r), 0xfffefdfc);
	assert_true(read_u48(&r) == SEQ_MAX - 1);
	assert_true(read_u64(&r) == UINT64_MAX - 1);
	assert_memory_equal(read_bytes(&r, 3), "abc", 3);
	memcpy(again, out, sizeof(out));
	write_bytes(&w, "", 0);
	assert_false(w.bad);
	write_u8(&w, 0x55);
	assert_true(w.bad);
	assert_int_equal(writer_len(&w), sizeof(out));
	assert_memory_equal(again, out, sizeof(out));
}

static void writer_stays_bad(void **state)
{
	uint8_t out[4] = { 9, 9, 9, 9 };
	struct writer w = writer_init(out, 3);

	(void)state;
	write_u32(&w, 0);
	assert_true(w.bad);
	write_u8(&w, 0);
	write_bytes(&w, "x", SIZE_MAX);
	assert_int_equal(writer_len(&w), 0);
	assert_memory_equal(out, "\t\t\t\t", 4);
}

static void handshake_header_layout(void **state)
{
	static const uint8_t want[HANDSHAKE_HEADER] = { 2, 5, 0, 0, 0xca, 0xfe, 0xba, 0xbe };
	struct handshake_header h = { .role = HANDSHAKE_SERVER, .lanes = 5, .attempt = 0xcafebabe },
				got;
	uint8_t out[HANDSHAKE_HEADER];
	struct writer w = writer_init(out, sizeof(out));
	struct reader r;

	(void)state;
	handshake_header_write(&w, &h);
	assert_false(w.bad);
	assert_int_equal(writer_len(&w), HANDSHAKE_HEADER);
	assert_memory_equal(out, want, sizeof(want));
	r = reader_init(out, sizeof(out));
	assert_true(handshake_header_read(&r, &got));
	assert_int_equal(got.role, h.role);
	assert_int_equal(got.lanes, h.lanes);
	assert_int_equal(got.attempt, h.attempt);
	for (size_t len = 0; len < HANDSHAKE_HEADER; len++) {
		r = reader_init(out, len);
		assert_false(handshake_header_read(&r, &got));
	}
	for (unsigned role = 0; role < 256; role++) {
		out[0] = (uint8_t)role;
		r = reader_init(out, sizeof(out));
		assert_int_equal(handshake_header_read(&r, &got), role == 1 || role == 2);
	}
	out[0] = HANDSHAKE_CLIENT;
	for (unsigned lanes = 0; lanes < 256; lanes++) {
		out[1] = (uint8_t)lanes;
		r = reader_init(out, sizeof(out));
		assert_int_equal(handshake_header_read(&r, &got), lanes >= 1 && lanes <= LANES_MAX);
	}
}

static void hello_layout(void **state)
{
	static const uint8_t want[HELLO_SIZE] = { 1, 0x7f, 64, 1, 0x80, 0, 0, 1, 0, 0, 0, 0 };
	struct hello h = { .epoch = 0x7f, .lanes = 64, .seen = true, .features = 0x80000001 };
	uint8_t out[HELLO_SIZE + 5] = { 0 };
	struct writer w = writer_init(out, HELLO_SIZE);
	struct reader r;
	struct hello got;

	(void)state;
	hello_write(&w, &h);
	assert_false(w.bad);
	assert_int_equal(writer_len(&w), HELLO_SIZE);
	assert_memory_equal(out, want, sizeof(want));
	r = reader_init(out, HELLO_SIZE);
	assert_true(hello_read(&r, &got));
	assert_int_equal(got.epoch, h.epoch);
	assert_int_equal(got.lanes, h.lanes);
	assert_true(got.seen);
	assert_int_equal(got.features, h.features);
	for (size_t len = 0; len < HELLO_SIZE; len++) {
		r = reader_init(out, len);
		assert_false(hello_read(&r, &got));
	}
	for (unsigned lanes = 0; lanes < 256; lanes++) {
		out[2] = (uint8_t)lanes;
		r = reader_init(out, HELLO_SIZE);
		assert_int_equal(hello_read(&r, &got), lanes >= 1 && lanes <= LANES_MAX);
	}
}

/* A later version: more flags, more bytes, the same first fields. */
static void hello_can_grow(void **state)
{
	uint8_t data[HELLO_SIZE + 5] = { 2, 3, 4, 0xfe, 0, 0, 0, 5, 1, 2, 3, 4, 5 };
	struct reader r = reader_init(data, sizeof(data));
	struct hello got;

	(void)state;
	assert_true(hello_read(&r, &got));
	assert_int_equal(got.epoch, 3);
	assert_int_equal(got.lanes, 4);
	assert_false(got.seen);
	assert_int_equal(got.features, 5);
	assert_int_equal(reader_left(&r), 5);
	data[0] = 0;
	r = reader_init(data, sizeof(data));
	assert_false(hello_read(&r, &got));
}

static void control_layout(void **state)
{
	static const uint8_t want[] = { 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 'h', 'i' };
	struct control_message m = {
		.kind = CONTROL_PROBE,
		.token = 0x0102030405060708,
		.body = (const uint8_t *)"hi",
		.len = 2,
	};
	struct control_message got;
	uint8_t out[16];

	(void)state;
	assert_int_equal(control_write(out, sizeof(out), &m), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(control_write(out, sizeof(want), &m), sizeof(want));
	for (size_t room = 0; room < sizeof(want); room++)
		assert_int_equal(control_write(out, room, &m), 0);
	assert_true(control_read(want, sizeof(want), &got));
	assert_int_equal(got.kind, m.kind);
	assert_true(got.token == m.token);
	assert_int_equal(got.len, 2);
	assert_ptr_equal(got.body, want + CONTROL_HEADER);
	assert_true(control_read(want, CONTROL_HEADER, &got));
	assert_int_equal(got.len, 0);
	for (size_t len = 0; len < CONTROL_HEADER; len++)
		assert_false(control_read(want, len, &got));
	m.len = SIZE_MAX;
	assert_int_equal(control_write(out, sizeof(out), &m), 0);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(protection_name(PROTECT_NONE), "none");
	assert_string_equal(protection_name(PROTECT_HMAC), "hmac-sha256");
	assert_string_equal(protection_name(PROTECT_AES_256_GCM), "aes-256-gcm");
	assert_string_equal(protection_name(PROTECT_CHACHA20_POLY1305), "chacha20-poly1305");
	assert_string_equal(protection_name(PROTECTIONS), "unknown");
}

static void candidates_layout(void **state)
{
	static const uint8_t want[] = { 1, 2, 4, 0x21, 0x0f, 198, 51,	100,  2, 0,
					0, 0, 0, 0,    0,    0,	  0,	0,    0, 0,
					0, 6, 0, 99,   0x20, 1,	  0x0d, 0xb8, 0, 0,
					0, 0, 0, 0,    0,    0,	  0,	0,    0, 1 };
	uint8_t out[CANDIDATES_SIZE];
	struct candidates c = { .wanted = true, .n = 2 }, got;

	(void)state;
	endpoint_parse("198.51.100.2:8463", &c.at[0]);
	endpoint_parse("[2001:db8::1]:99", &c.at[1]);
	assert_int_equal(candidates_write(out, &c), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_true(candidates_read(out, sizeof(want), &got));
	assert_true(got.wanted && !got.dependent);
	assert_int_equal(got.n, 2);
	assert_true(endpoint_equal(&got.at[0], &c.at[0]) && endpoint_equal(&got.at[1], &c.at[1]));
	out[10] = 7; /* behind an IPv4 address: nothing to compare equal by */
	assert_true(candidates_read(out, sizeof(want), &got));
	assert_true(ip_equal(&got.at[0].ip, &c.at[0].ip));
}

/* What is malformed, or could not be sent to, is refused as a whole. */
static void candidates_hostile(void **state)
{
	uint8_t out[CANDIDATES_SIZE];
	struct candidates c = { .dependent = true, .n = CANDIDATES_MAX }, got = { .n = 77 };
	size_t len;

	(void)state;
	for (unsigned i = 0; i < CANDIDATES_MAX; i++)
		endpoint_parse("198.51.100.2:8463", &c.at[i]);
	len = candidates_write(out, &c);
	assert_int_equal(len, CANDIDATES_SIZE);
	for (size_t i = 0; i < len; i++)
		assert_false(candidates_read(out, i, &got));
	out[1]++; /* one more than there may be */
	assert_false(candidates_read(out, len, &got));
	out[1]--;
	out[2] = 5; /* family */
	assert_false(candidates_read(out, len, &got));
	out[2] = 4;
	out[3] = out[4] = 0; /* port */
	assert_false(candidates_read(out, len, &got));
	assert_int_equal(got.n, 77);
	out[3] = 1;
	assert_true(candidates_read(out, len, &got));
	assert_true(got.dependent);
}

/* Labels become metric labels and keys of JSON: unique, plain, none missing. */
static void counter_names(void **state)
{
	(void)state;
	for (int d = 0; d < DROPS; d++) {
		const char *label = drop_label((enum drop)d);

		assert_true(*label);
		assert_int_equal(strspn(label, "abcdefghijklmnopqrstuvwxyz-"), strlen(label));
		assert_true(*drop_text((enum drop)d));
		for (int e = 0; e < d; e++)
			assert_string_not_equal(label, drop_label((enum drop)e));
	}
	for (int d = 0; d < EVENTS; d++) {
		const char *metric = event_metric((enum event)d);

		assert_true(*metric);
		assert_int_equal(strspn(metric, "abcdefghijklmnopqrstuvwxyz_"), strlen(metric));
		assert_true(*event_text((enum event)d));
		for (int e = 0; e < d; e++)
			assert_string_not_equal(metric, event_metric((enum event)e));
	}
	assert_string_equal(drop_label(DROP_BAD_MAC), "bad-mac");
	assert_string_equal(drop_label(DROPS), "unknown");
	assert_string_equal(drop_text(DROPS), "unknown");
	assert_string_equal(event_metric(EVENTS), "unknown");
	assert_string_equal(event_text(EVENTS), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame_layout),
		cmocka_unit_test(frame_round_trip),
		cmocka_unit_test(frame_sizes),
		cmocka_unit_test(frame_order),
		cmocka_unit_test(frame_versions_and_types),
		cmocka_unit_test(frame_states),
		cmocka_unit_test(frame_failure_leaves_result),
		cmocka_unit_test(queue_frame_layout),
		cmocka_unit_test(queue_frame_holds_one_frame),
		cmocka_unit_test(reader_to_its_end),
		cmocka_unit_test(reader_stays_bad),
		cmocka_unit_test(writer_mirrors_reader),
		cmocka_unit_test(writer_stays_bad),
		cmocka_unit_test(handshake_header_layout),
		cmocka_unit_test(hello_layout),
		cmocka_unit_test(hello_can_grow),
		cmocka_unit_test(control_layout),
		cmocka_unit_test(candidates_layout),
		cmocka_unit_test(candidates_hostile),
		cmocka_unit_test(names),
		cmocka_unit_test(counter_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
