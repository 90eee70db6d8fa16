/*
 * Handshakes under arbitrary datagrams. The first byte chooses who gets them:
 *
 *   0 handshake_listen      2 a server that has begun      4 a finished server
 *   1 a client              3 a finished client            5 a pair, see below
 *
 * then come datagrams, each after its length in two bytes. In a pair, both ends
 * talk and each byte of input says what becomes of the next datagram.
 *
 * OpenSSL's randomness is replaced by a sequence for each side that begins anew
 * with every input, so that recorded datagrams are right ones and findings
 * repeat. The contexts are made once: they are half the time, and no input goes on for so
 * long that their cookie secrets change.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <assert.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#include "common/handshake.h"

#define CLIENT_ID 7u
#define SERVER_ID 12u
#define DATAGRAMS 24 /* of one input */

static const uint8_t key[CRYPTO_KEY] = "the key that both sides have, 32";
static const uint8_t way[] = "198.51.100.2:8463";

static uint64_t dice[2]; /* client's, server's */
static int thrower;

static int dice_bytes(unsigned char *out, int len)
{
	for (int i = 0; i < len; i++) {
		dice[thrower] = dice[thrower] * 6364136223846793005u + 1442695040888963407u;
		out[i] = (unsigned char)(dice[thrower] >> 56);
	}
	return 1;
}

static int dice_status(void)
{
	return 1;
}

static const RAND_METHOD dice_method = { .bytes = dice_bytes,
					 .pseudorand = dice_bytes,
					 .status = dice_status };

static struct handshake_ctx *contexts[2]; /* client's, server's */

struct world {
	struct handshake *client, *server;
	mono_t now;
	struct reader in;
};

static void check(struct handshake *h)
{
	struct session_secrets tx, rx;
	struct hello hello;
	enum handshake_state state;

	assert(ERR_peek_error() == 0);
	if (!h)
		return;
	state = handshake_state(h);
	assert(state <= HANDSHAKE_FAILED);
	assert((state == HANDSHAKE_FAILED) == (handshake_error(h)[0] != 0));
	assert((state == HANDSHAKE_GOING) == mono_is_set(handshake_deadline(h)));
	assert(handshake_export(h, &tx, &rx) == (state == HANDSHAKE_DONE));
	if (handshake_recv_hello(h, &hello))
		assert(hello.lanes >= 1 && hello.lanes <= LANES_MAX);
}

static void to_client(struct world *w, const uint8_t *d, size_t len)
{
	thrower = 0;
	handshake_feed(w->client, d, len, w->now);
	check(w->client);
}

static void to_server(struct world *w, const uint8_t *d, size_t len)
{
	uint8_t reply[HANDSHAKE_DATAGRAM];
	size_t reply_len;

	thrower = 1;
	if (w->server) {
		handshake_feed(w->server, d, len, w->now);
	} else {
		w->server = handshake_listen(contexts[1], CLIENT_ID, key, way, sizeof(way), d, len,
					     w->now, reply, &reply_len);
		assert(reply_len <= len);
		assert(!w->server || !reply_len);
		if (reply_len)
			to_client(w, reply, reply_len);
	}
	check(w->server);
}

/* One datagram each way, as it should go; false when both are silent. */
static bool exchange(struct world *w)
{
	uint8_t d[HANDSHAKE_DATAGRAM];
	size_t up, down = 0;

	up = handshake_take(w->client, d);
	assert(up <= sizeof(d));
	if (up)
		to_server(w, d, up);
	if (w->server)
		down = handshake_take(w->server, d);
	assert(down <= sizeof(d));
	if (down)
		to_client(w, d, down);
	return up || down;
}

static void feed_all(struct world *w, void (*to)(struct world *, const uint8_t *, size_t))
{
	for (int i = 0; i < DATAGRAMS && reader_left(&w->in) > 2; i++) {
		size_t len = read_u16(&w->in);
		const uint8_t *d;

		if (len > reader_left(&w->in))
			len = reader_left(&w->in);
		d = read_bytes(&w->in, len);
		to(w, d, len);
	}
}

/* What becomes of a datagram. */
enum op { DELIVER, DROP, DOUBLE, CUT, SPOIL, INSERT, REFLECT, LATER, OPS };

static void pass(struct world *w, uint8_t *d, size_t len,
		 void (*to)(struct world *, const uint8_t *, size_t),
		 void (*back)(struct world *, const uint8_t *, size_t))
{
	enum op op = read_u8(&w->in) % OPS;

	if (op == CUT)
		len = len * read_u8(&w->in) / 256;
	if (op == SPOIL) {
		size_t at = read_u8(&w->in);

		d[at % len] ^= read_u8(&w->in);
	}
	if (op == INSERT) {
		size_t more = read_u8(&w->in);
		const uint8_t *data = read_bytes(&w->in, more);

		if (data)
			to(w, data, more);
	}
	if (op == REFLECT)
		back(w, d, len);
	if (op == DOUBLE)
		to(w, d, len);
	if (op == LATER)
		w->now = mono_add(w->now, 300 * MSEC);
	if (op != DROP)
		to(w, d, len);
}

static void fire(struct world *w, struct handshake *h)
{
	if (!h || !mono_is_set(handshake_deadline(h)))
		return;
	w->now = handshake_deadline(h);
	handshake_timeout(h, w->now);
	check(h);
}

static void run_pair(struct world *w)
{
	static const struct hello hello = { .epoch = 3, .lanes = 2 };
	struct session_secrets c[2], s[2];
	uint8_t d[HANDSHAKE_DATAGRAM];

	for (int i = 0; i < 3 * DATAGRAMS && reader_left(&w->in); i++) {
		size_t up, down = 0;

		up = handshake_take(w->client, d);
		if (up)
			pass(w, d, up, to_server, to_client);
		if (w->server)
			down = handshake_take(w->server, d);
		if (down)
			pass(w, d, down, to_client, to_server);
		if (up || down)
			continue;
		fire(w, w->client);
		fire(w, w->server);
		handshake_send_hello(w->client, &hello);
		if (w->server)
			handshake_send_hello(w->server, &hello);
	}
	if (w->server && handshake_export(w->client, &c[0], &c[1]) &&
	    handshake_export(w->server, &s[0], &s[1]))
		assert(!memcmp(&c[0], &s[1], sizeof(c[0])) && !memcmp(&c[1], &s[0], sizeof(c[0])));
}

static void begin(struct world *w, const uint8_t *data, size_t size)
{
	memset(w, 0, sizeof(*w));
	w->now = (mono_t){ 1000 * SEC };
	w->in = reader_init(data, size);
	dice[0] = 1;
	dice[1] = 2;
	thrower = 0;
	w->client = handshake_client(contexts[0], SERVER_ID, key, w->now);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	RAND_set_rand_method(&dice_method);
	contexts[0] = handshake_ctx_new(CLIENT_ID);
	contexts[1] = handshake_ctx_new(SERVER_ID);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w;
	unsigned mode;

	begin(&w, data, size);
	mode = read_u8(&w.in) % 6;
	if (mode == 5) {
		run_pair(&w);
	} else if (mode > 1) {
		while (mode == 2 ? !w.server : exchange(&w))
			exchange(&w);
		assert(mode == 2 || handshake_state(w.client) == HANDSHAKE_DONE);
	}
	if (mode < 5)
		feed_all(&w, mode == 1 || mode == 3 ? to_client : to_server);
	handshake_free(w.client);
	handshake_free(w.server);
	return 0;
}
