/*
 * The key agreement: DTLS 1.2 over any way that carries datagrams (SPEC section
 * 4). The only user of libssl. No I/O and no clock of its own: datagrams go in
 * and out through buffers; time is an argument.
 *
 * Pre-shared keys: ECDHE-PSK-CHACHA20-POLY1305, identity "client ID>server ID",
 * both checked by both sides, one's own identity refused. Extended master
 * secret is required. (Certificates will be a second constructor.)
 */
#ifndef COMMON_HANDSHAKE_H
#define COMMON_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/session.h"
#include "common/wire.h"

#define HANDSHAKE_DATAGRAM 1144 /* largest that goes out: in a queue frame it passes anywhere */
#define HANDSHAKE_WAY 64	/* largest way that a cookie binds */

/* What all handshakes of a router share: library contexts, the cookie secret
 * (changed every few minutes, the last one still accepted). */
struct handshake_ctx;
struct handshake_ctx *handshake_ctx_new(uint32_t self); /* NULL: library failure */
void handshake_ctx_free(struct handshake_ctx *);

struct handshake;

/* A handshake as client. Its first datagram is ready to be taken. NULL: out of
 * memory, or the peer is oneself. Holds some 60 kB, as the server's does. */
struct handshake *handshake_client(struct handshake_ctx *, uint32_t peer,
				   const uint8_t psk[static CRYPTO_KEY], mono_t now);

/* Whether a datagram begins a handshake: a client hello, with a cookie or without. */
bool handshake_opens(const uint8_t *datagram, size_t len);

/* A server's first look at a datagram of a peer that it has no handshake with.
 * `way` is what the cookie binds beside the peer's ID (an endpoint's bytes).
 * Returns a handshake if the datagram is a client hello with a good cookie (it
 * may have failed already, over what the hello offers); else NULL, with
 * *ret_len > 0 bytes to answer in reply (a hello verify request, no larger than
 * what came), or 0 for nothing. Keeps no state. A way longer than HANDSHAKE_WAY
 * gets nothing. */
struct handshake *handshake_listen(struct handshake_ctx *, uint32_t peer,
				   const uint8_t psk[static CRYPTO_KEY], const void *way,
				   size_t way_len, const uint8_t *datagram, size_t len, mono_t now,
				   uint8_t reply[static HANDSHAKE_DATAGRAM], size_t *ret_len);
/* Wipes it. NULL is fine. */
void handshake_free(struct handshake *);

enum handshake_state {
	HANDSHAKE_GOING, /* needs more datagrams */
	HANDSHAKE_DONE,	 /* keys can be exported, hellos exchanged */
	HANDSHAKE_FAILED /* handshake_error says why */
};
enum handshake_state handshake_state(const struct handshake *);
/* One line for people: "no shared cipher", "wrong key", ... */
const char *handshake_error(const struct handshake *);

/* One datagram that came. Garbage is ignored, as DTLS does. Take until there is
 * nothing more afterwards, also when it has failed (the other is told why) or
 * was done (a client that missed the server's last words gets them again: so a
 * server's handshake is kept until the client's hello or a frame has come). */
enum handshake_state handshake_feed(struct handshake *, const uint8_t *datagram, size_t len,
				    mono_t now);
/* The next datagram to send: its length, 0 when there is none. */
size_t handshake_take(struct handshake *, uint8_t out[static HANDSHAKE_DATAGRAM]);

/* When the last flight is to be sent again ({0}: no timer), and doing so. */
mono_t handshake_deadline(const struct handshake *);
enum handshake_state handshake_timeout(struct handshake *, mono_t now);

/* Once done: the secrets that this side sends and receives with (RFC 5705,
 * label "EXPORTER-ViNe-frame-key", context client ID, server ID, direction,
 * algorithm). False on library failure. */
bool handshake_export(struct handshake *, struct session_secrets *ret_tx,
		      struct session_secrets *ret_rx);

/* Once done: hellos in the protected channel. send queues a datagram for
 * handshake_take; recv gives the last one that came (and forgets it), false if
 * none has. */
bool handshake_send_hello(struct handshake *, const struct hello *);
bool handshake_recv_hello(struct handshake *, struct hello *ret);

#endif
