/*
 * Every format that leaves this machine, and every constant of the protocol
 * (SPEC section 3; docs/protocol.md).
 *
 * Received bytes are read through struct reader, which never passes its end:
 * a read past it gives zeros and marks the reader bad.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

#define WIRE_VERSION 1
#define WIRE_PORT 8463

#define FRAME_HEADER 24
#define FRAME_MAC 16
#define FRAME_OVERHEAD (FRAME_HEADER + FRAME_MAC)
#define FRAME_MIN FRAME_OVERHEAD
#define FRAME_MAX 65535
/* Arriving frames are steered by these two fields. */
#define FRAME_SOURCE_OFFSET 8
#define FRAME_LANE_OFFSET 17

enum frame_type {
	FRAME_FORWARD = 0,   /* a host's packet */
	FRAME_QUEUE = 1,     /* a frame to hold for a limited router */
	FRAME_GET = 2,	     /* a limited router asks for what is held */
	FRAME_NULL = 3,	     /* keep-alive */
	FRAME_HANDSHAKE = 4, /* DTLS, see struct handshake_header */
	FRAME_FEEDBACK = 5,  /* congestion of paths and flows */
	FRAME_CONTROL = 6,   /* struct control_message */
	FRAME_TYPES
};

#define STATE_SIGNED 0x01
#define STATE_ENCRYPTED 0x02
#define STATE_PARTIAL 0x08 /* inner checksum still partial */
#define STATE_KNOWN (STATE_SIGNED | STATE_ENCRYPTED | STATE_PARTIAL)

struct frame_header {
	uint8_t type, state;
	uint16_t size; /* whole frame */
	uint32_t network, source, destination;
	uint8_t epoch, lane;
	uint64_t seq; /* 48 bits */
};

#define SEQ_MAX ((1ULL << 48) - 1)

enum frame_error {
	FRAME_OK = 0,
	FRAME_SHORT,   /* fewer bytes than header and MAC, or than its size says */
	FRAME_LONG,    /* more bytes than its size says */
	FRAME_VERSION, /* of another version, or of an unknown type */
	FRAME_STATE    /* a reserved bit, or signed and encrypted at once, or a type
			  other than forward that is not signed */
};

/* Reads the header of a frame of len bytes that arrived as one datagram. */
enum frame_error frame_parse(const uint8_t *data, size_t len, struct frame_header *ret);
/* Writes FRAME_HEADER bytes. */
void frame_format(const struct frame_header *, uint8_t *out);

/*
 * A queue frame holds one whole frame, for a router that is reached through another one.
 * Its network field says what the outer header of the frame inside would have as DSCP and
 * ECN, which so survive ways that have none. Its MAC covers its own header, and header and
 * MAC of the frame inside: what routers on the way check and make costs no pass over the
 * payload, which its two ends protect.
 */
#define QUEUE_SIGNED (2 * FRAME_HEADER + FRAME_MAC)

/* Reads the header of the frame inside a queue frame that frame_parse has found well-formed.
 * False: it is not exactly one well-formed frame, or itself a queue or get frame. */
bool queue_frame_parse(const uint8_t *frame, size_t len, struct frame_header *ret_inner);
/* Writes the header of a queue frame around a frame of inner_len bytes, FRAME_HEADER bytes;
 * of the struct it takes source, destination, epoch, lane and sequence. */
void queue_frame_format(const struct frame_header *, size_t inner_len, uint8_t tos, uint8_t *out);
/* Brings together what the MAC of a queue frame of len bytes covers. */
void queue_frame_signed(const uint8_t *frame, size_t len, uint8_t out[static QUEUE_SIGNED]);
static inline uint8_t queue_frame_tos(const struct frame_header *h)
{
	return (uint8_t)h->network;
}

struct reader {
	const uint8_t *p, *end;
	bool bad;
};

struct reader reader_init(const void *data, size_t len);
size_t reader_left(const struct reader *);
uint8_t read_u8(struct reader *);
uint16_t read_u16(struct reader *);
uint32_t read_u32(struct reader *);
uint64_t read_u48(struct reader *);
uint64_t read_u64(struct reader *);
/* NULL (and bad) if fewer are left. */
const uint8_t *read_bytes(struct reader *, size_t len);

/* Writes up to its end; what does not fit marks it bad and is not written. */
struct writer {
	uint8_t *p, *start, *end;
	bool bad;
};

struct writer writer_init(void *data, size_t room);
size_t writer_len(const struct writer *);
void write_u8(struct writer *, uint8_t);
void write_u16(struct writer *, uint16_t);
void write_u32(struct writer *, uint32_t);
void write_u48(struct writer *, uint64_t);
void write_u64(struct writer *, uint64_t);
void write_bytes(struct writer *, const void *, size_t);

/*
 * Payload of a handshake frame: who speaks, which attempt, one DTLS datagram.
 * The frame is signed with the key that both derive from the pre-shared key
 * (session.h); epoch, lane and sequence are zero.
 */
enum handshake_role { HANDSHAKE_CLIENT = 1, HANDSHAKE_SERVER = 2 };
#define HANDSHAKE_HEADER 8

struct handshake_header {
	uint8_t role;	  /* of the sender */
	uint8_t lanes;	  /* that its frames will use: 0 to lanes-1 */
	uint32_t attempt; /* chosen by the client at random */
};

/* False if too short or malformed. */
bool handshake_header_read(struct reader *, struct handshake_header *ret);
void handshake_header_write(struct writer *, const struct handshake_header *);

/*
 * First words inside the finished DTLS channel, both ways: the epoch that the
 * other shall send with, the lanes that the sender will use, what it can do.
 */
#define HELLO_SIZE 12
#define LANES_MAX 64

struct hello {
	uint8_t epoch;	   /* for frames to the sender of this */
	uint8_t lanes;	   /* 1 to LANES_MAX: lane bytes 0 to lanes-1 */
	bool seen;	   /* the sender has had the other's hello */
	uint32_t features; /* FEATURE_... */
};

#define FEATURE_PARTIAL 0x1 /* takes frames with STATE_PARTIAL */
#define FEATURE_ASKS 0x2    /* frames for it are to be kept until it asks (get frames) */

bool hello_read(struct reader *, struct hello *ret);
void hello_write(struct writer *, const struct hello *);

/*
 * Payload of a control frame. Requests and answers between routers, always
 * signed with the frame keys: kind, a token that the answer repeats, a body.
 */
enum control_kind {
	CONTROL_PING = 1, /* body: any padding; answered by PONG */
	CONTROL_PONG = 2,
	CONTROL_PROBE = 3,	  /* path MTU: padded to the size in question */
	CONTROL_PROBE_ACK = 4,	  /* body: u16 size of the probe's frame */
	CONTROL_NETWORKS = 5,	  /* body: count u16, then per network id u32, protection u8 */
	CONTROL_NETWORKS_ACK = 6, /* body: the same networks, as the answerer has them */
	CONTROL_CHALLENGE = 7,	  /* a new address of the peer, to be proved */
	CONTROL_RESPONSE = 8,
	CONTROL_BYE = 9,	  /* the sender stops: forget its keys, no answer */
	CONTROL_UNREACHABLE = 10, /* from a queue router; body: u32 router it has no way to now */
	CONTROL_OBSERVE = 11,	  /* where do you see me? By UDP; answered to there */
	CONTROL_OBSERVED = 12,	  /* body: that endpoint */
	CONTROL_CANDIDATES = 13	  /* body: struct candidates */
};
#define CONTROL_HEADER 10

struct control_message {
	uint8_t kind; /* enum control_kind; unknown kinds are ignored */
	uint64_t token;
	const uint8_t *body;
	size_t len;
};

bool control_read(const uint8_t *data, size_t len, struct control_message *ret);
/* Length written, 0 if it does not fit. */
size_t control_write(uint8_t *out, size_t room, const struct control_message *);

/*
 * Bodies of the messages by which two routers find a direct path. An endpoint: family u8
 * (4 or 6), port u16, address 16 bytes, those behind an IPv4 address zero. A question is
 * padded to the size of its answer: nobody is sent more than has been sent in his name.
 */
#define WIRE_ENDPOINT 19

/* False: too short, or no endpoint that anything could be sent to. */
bool wire_endpoint_read(struct reader *, struct endpoint *ret);
void wire_endpoint_write(struct writer *, const struct endpoint *);

#define CANDIDATES_MAX 8
#define CANDIDATES_SIZE (2 + CANDIDATES_MAX * WIRE_ENDPOINT)

/* Where the sender may be reached by UDP. Flags u8, count u8, endpoints. */
struct candidates {
	bool wanted;	/* the receiver's are */
	bool dependent; /* the sender's NAT gives each destination another port */
	unsigned n;
	struct endpoint at[CANDIDATES_MAX];
};

/* False: malformed; bytes behind are ignored. */
bool candidates_read(const uint8_t *body, size_t len, struct candidates *ret);
size_t candidates_write(uint8_t out[static CANDIDATES_SIZE], const struct candidates *);

/*
 * Payload of a get frame: a limited router asks for what is kept for it. And of the null
 * frame that ends what it gets.
 */
#define QUEUE_ASK 8
#define QUEUE_ANSWER 12

struct queue_ask {
	uint32_t bytes;	 /* of frames that it takes now, 0: as the queue router likes */
	uint32_t serial; /* repeated in the answer; 0 if it is not there */
};

struct queue_answer {
	uint32_t serial;
	uint32_t given, left; /* bytes of frames: before this one; that are still kept */
};

/* False if too short; bytes behind are ignored. */
bool queue_ask_read(const uint8_t *data, size_t len, struct queue_ask *ret);
void queue_ask_write(uint8_t out[static QUEUE_ASK], const struct queue_ask *);
bool queue_answer_read(const uint8_t *data, size_t len, struct queue_answer *ret);
void queue_answer_write(uint8_t out[static QUEUE_ANSWER], const struct queue_answer *);

/* How a network's frames are protected; also its number on the wire. Ordered:
 * a higher one is never taken for a lower one. */
enum protection {
	PROTECT_NONE = 0,
	PROTECT_HMAC = 1,
	PROTECT_AES_256_GCM = 2,
	PROTECT_CHACHA20_POLY1305 = 3,
	PROTECTIONS
};
const char *protection_name(enum protection);

#endif
