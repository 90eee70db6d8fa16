/*
 * Reading and writing everything that goes over the wire.
 *
 * All numbers are in network byte order and are moved by shifts, so that
 * neither the machine's byte order nor alignment matters. A reader or writer
 * that has once met its end stays bad: reads give zeros, writes do nothing. So
 * a caller may read a whole structure and ask once, at its end.
 *
 * Only the form is checked here. Who sent a frame, whether its MAC is right and
 * whether it is new is the business of the session and of the router.
 */
#include "common/wire.h"

#include <string.h>

static uint64_t load_be(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static void store_be(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

/* Frames. Of a fixed size: one load or store each, where the compiler sees through it. */

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void store32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static bool state_is_valid(uint8_t type, uint8_t state)
{
	uint8_t protection = state & (STATE_SIGNED | STATE_ENCRYPTED);

	if (state & ~STATE_KNOWN)
		return false;
	if (type != FRAME_FORWARD)
		return state == STATE_SIGNED;
	if (protection == (STATE_SIGNED | STATE_ENCRYPTED))
		return false;
	/* Nobody vouches for the bit of an unprotected frame. */
	return protection || !(state & STATE_PARTIAL);
}

enum frame_error frame_parse(const uint8_t *data, size_t len, struct frame_header *ret)
{
	struct frame_header h;

	if (!len)
		return FRAME_SHORT;
	/* First: all that follows is known of this version alone. */
	h.type = data[0] & 0x0f;
	if (data[0] >> 4 != WIRE_VERSION || h.type >= FRAME_TYPES)
		return FRAME_VERSION;
	if (len < FRAME_MIN)
		return FRAME_SHORT;
	h.size = load16(data + 2);
	if (h.size < FRAME_MIN || len < h.size)
		return FRAME_SHORT;
	if (len > h.size)
		return FRAME_LONG;
	h.state = data[1];
	if (!state_is_valid(h.type, h.state))
		return FRAME_STATE;
	h.network = load32(data + 4);
	h.source = load32(data + FRAME_SOURCE_OFFSET);
	h.destination = load32(data + 12);
	h.epoch = data[16];
	h.lane = data[FRAME_LANE_OFFSET];
	h.seq = (uint64_t)load16(data + 18) << 32 | load32(data + 20);
	*ret = h;
	return FRAME_OK;
}

void frame_format(const struct frame_header *h, uint8_t *out)
{
	out[0] = (uint8_t)(WIRE_VERSION << 4 | h->type);
	out[1] = h->state;
	store16(out + 2, h->size);
	store32(out + 4, h->network);
	store32(out + FRAME_SOURCE_OFFSET, h->source);
	store32(out + 12, h->destination);
	out[16] = h->epoch;
	out[FRAME_LANE_OFFSET] = h->lane;
	store16(out + 18, (uint16_t)(h->seq >> 32));
	store32(out + 20, (uint32_t)h->seq);
}

/* Bounded reading and writing */

struct reader reader_init(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct reader){ .p = p, .end = len ? p + len : p };
}

size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->p);
}

const uint8_t *read_bytes(struct reader *r, size_t len)
{
	const uint8_t *p = r->p;

	if (r->bad || reader_left(r) < len) {
		r->bad = true;
		r->p = r->end;
		return NULL;
	}
	if (len)
		r->p += len;
	return p;
}

static uint64_t read_be(struct reader *r, unsigned bytes)
{
	const uint8_t *p = read_bytes(r, bytes);

	return p ? load_be(p, bytes) : 0;
}

uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_be(r, 1);
}

uint16_t read_u16(struct reader *r)
{
	return (uint16_t)read_be(r, 2);
}

uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_be(r, 4);
}

uint64_t read_u48(struct reader *r)
{
	return read_be(r, 6);
}

uint64_t read_u64(struct reader *r)
{
	return read_be(r, 8);
}

struct writer writer_init(void *data, size_t room)
{
	uint8_t *p = data;

	return (struct writer){ .p = p, .start = p, .end = room ? p + room : p };
}

size_t writer_len(const struct writer *w)
{
	return (size_t)(w->p - w->start);
}

/* Where the next len bytes go; NULL (and bad) if they don't fit. */
static uint8_t *writer_take(struct writer *w, size_t len)
{
	uint8_t *p = w->p;

	if (w->bad || (size_t)(w->end - w->p) < len) {
		w->bad = true;
		return NULL;
	}
	w->p += len;
	return p;
}

static void write_be(struct writer *w, uint64_t v, unsigned bytes)
{
	uint8_t *p = writer_take(w, bytes);

	if (p)
		store_be(p, v, bytes);
}

void write_u8(struct writer *w, uint8_t v)
{
	write_be(w, v, 1);
}

void write_u16(struct writer *w, uint16_t v)
{
	write_be(w, v, 2);
}

void write_u32(struct writer *w, uint32_t v)
{
	write_be(w, v, 4);
}

void write_u48(struct writer *w, uint64_t v)
{
	write_be(w, v, 6);
}

void write_u64(struct writer *w, uint64_t v)
{
	write_be(w, v, 8);
}

void write_bytes(struct writer *w, const void *data, size_t len)
{
	uint8_t *p;

	if (!len)
		return;
	p = writer_take(w, len);
	if (p)
		memcpy(p, data, len);
}

/* Handshake: role u8, 3 bytes zero (ignored), attempt u32 */

bool handshake_header_read(struct reader *r, struct handshake_header *ret)
{
	struct handshake_header h;

	h.role = read_u8(r);
	h.lanes = read_u8(r);
	read_bytes(r, 2);
	h.attempt = read_u32(r);
	if (r->bad || !h.lanes || h.lanes > LANES_MAX ||
	    (h.role != HANDSHAKE_CLIENT && h.role != HANDSHAKE_SERVER))
		return false;
	*ret = h;
	return true;
}

void handshake_header_write(struct writer *w, const struct handshake_header *h)
{
	write_u8(w, h->role);
	write_u8(w, h->lanes);
	write_bytes(w, (const uint8_t[2]){ 0 }, 2);
	write_u32(w, h->attempt);
}

/*
 * Hello: version u8, epoch u8, lanes u8, flags u8, features u32, 4 bytes zero
 * (ignored). A later version keeps these fields and adds behind them, so that
 * an old reader takes it for what it understands of it.
 */
#define HELLO_VERSION 1
#define HELLO_SEEN 0x01

bool hello_read(struct reader *r, struct hello *ret)
{
	uint8_t version = read_u8(r), flags;
	struct hello h;

	h.epoch = read_u8(r);
	h.lanes = read_u8(r);
	flags = read_u8(r);
	h.seen = flags & HELLO_SEEN;
	h.features = read_u32(r);
	read_bytes(r, 4);
	if (r->bad || version < HELLO_VERSION || h.lanes < 1 || h.lanes > LANES_MAX)
		return false;
	*ret = h;
	return true;
}

void hello_write(struct writer *w, const struct hello *h)
{
	write_u8(w, HELLO_VERSION);
	write_u8(w, h->epoch);
	write_u8(w, h->lanes);
	write_u8(w, h->seen ? HELLO_SEEN : 0);
	write_u32(w, h->features);
	write_u32(w, 0);
}

/* Control: kind u8, a byte zero (ignored), token u64, body */

bool control_read(const uint8_t *data, size_t len, struct control_message *ret)
{
	struct reader r = reader_init(data, len);
	struct control_message m;

	m.kind = read_u8(&r);
	read_u8(&r);
	m.token = read_u64(&r);
	if (r.bad)
		return false;
	m.len = reader_left(&r);
	m.body = r.p;
	*ret = m;
	return true;
}

size_t control_write(uint8_t *out, size_t room, const struct control_message *m)
{
	struct writer w = writer_init(out, room);

	write_u8(&w, m->kind);
	write_u8(&w, 0);
	write_u64(&w, m->token);
	write_bytes(&w, m->body, m->len);
	return w.bad ? 0 : writer_len(&w);
}

const char *protection_name(enum protection p)
{
	static const char *const names[PROTECTIONS] = {
		[PROTECT_NONE] = "none",
		[PROTECT_HMAC] = "hmac-sha256",
		[PROTECT_AES_256_GCM] = "aes-256-gcm",
		[PROTECT_CHACHA20_POLY1305] = "chacha20-poly1305",
	};

	return (unsigned)p < PROTECTIONS ? names[p] : "unknown";
}
