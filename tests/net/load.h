/*
 * Mixed load between two hosts whose every byte is checked: what both ends of the
 * program "load" share. See load.c.
 *
 * What is sent follows from a seed, so that the receiver can tell what is missing or
 * wrong without being told what was right; digests of what was sent and of what was
 * received are compared beside that.
 */
#ifndef TESTS_NET_LOAD_H
#define TESTS_NET_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/socket.h>

#define DIGEST 32 /* bytes: SHA-256 */
#define FLOWS_MAX 1024
#define DATAGRAM_MAX 65507

/* How a TCP connection begins. Both ends run on one machine: host's byte order. */
enum purpose { CONTROL, UPLOAD, RESET, DOWNLOAD };
struct hello {
	uint32_t purpose;
	uint32_t n;	 /* CONTROL: flows */
	uint64_t seed;	 /* of the stream */
	uint64_t length; /* DOWNLOAD: bytes wanted */
	uint64_t rate;	 /* DOWNLOAD: bytes a second at most */
};

/* What the end of a stream, or a flow, says. */
struct tally {
	uint64_t count, bytes;
	uint8_t digest[DIGEST];
};

/* UDP: a flow is a port of the sender's. Its kind says the sizes of its datagrams. */
#define KIND_LIST(X) \
	X(TINY, "tiny", 1, 64) \
	X(SMALL, "small", 1, 1200) \
	X(MTU, "mtu", 1000, 1452) \
	X(MERGED, "merged", 16, 1000) /* by UDP_SEGMENT */ \
	X(LARGE, "large", 1480, 65000) \
	X(MIXED, "mixed", 1, 65000)

enum kind {
#define X(name, label, least, most) KIND_##name,
	KIND_LIST(X)
#undef X
		KINDS
};
const char *kind_name(enum kind);

struct flow_key {
	struct sockaddr_storage from;
	uint64_t seed;
	uint32_t kind;
};

struct flow_result {
	uint64_t received, lost, duplicated, reordered, corrupted;
	uint64_t latest; /* how many serials the latest one was behind */
	bool digest_right;
};

/* What the server saw of connections that it can't answer any more. */
struct resets {
	uint64_t seen, corrupted;
};

/* load.c */
noreturn void die(const char *what);
void *memory(void *old, size_t size);
uint64_t mix(uint64_t seed, uint64_t i);
/* Bytes from..from+len-1 of the endless stream of this seed. */
void fill(uint64_t seed, uint64_t from, uint8_t *out, size_t len);
void sha256(const void *data, size_t len, uint8_t ret[static DIGEST]);
void xor_digest(uint8_t a[static DIGEST], const uint8_t b[static DIGEST]);
double now(void);
void wait_until(double);
/* All of it, or false. */
bool send_all(int fd, const void *data, size_t len);
bool recv_all(int fd, void *data, size_t len);
/* A connection that has said hello, or -1. */
int dial(const struct sockaddr_storage *to, const struct hello *);

/* udp.c */
struct udp_sender {
	struct sockaddr_storage to[2]; /* by flow, in turn */
	unsigned flows;
	double rate; /* datagrams a second, of all flows */
	double until;
	struct udp_flow *flow;
	uint64_t refused; /* calls that failed and were made again */
};
/* Opens the flows and tells the server of them; the connection for udp_end. */
int udp_begin(struct udp_sender *);
void udp_send(struct udp_sender *);
/* Results of the flows, in their order, kept by the server until now; and its resets. */
void udp_end(struct udp_sender *, int control, struct flow_result *, struct resets *);
enum kind udp_kind(const struct udp_sender *, unsigned flow);
const struct tally *udp_tally(const struct udp_sender *, unsigned flow);
/* The server's side: a thread for each family, and what answers a CONTROL connection. */
void udp_listen(uint16_t port);
void udp_control(int fd, const struct hello *);

/* tcp.c */
struct tcp_sender {
	struct sockaddr_storage to;
	uint64_t seed, rate;
	double until;
	uint64_t streams, bytes, resets, corrupted, failed;
};
void tcp_send(struct tcp_sender *);
/* The server's side of a connection: closes it. */
void tcp_serve(int fd, const struct hello *);
void tcp_resets(struct resets *);

#endif
