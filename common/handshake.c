/*
 * The key agreement on OpenSSL's DTLS 1.2.
 *
 * OpenSSL reads and writes through a BIO of our own whose two ends lie in struct
 * handshake: one call is one datagram, so borders survive, nothing is copied on
 * the way in, and what goes out is bounded.
 *
 * Retransmission is done here and not by OpenSSL, whose timer reads the time of
 * day. A DTLS handshake goes in turns: whatever a side says in its turn (a
 * flight) stays in h->flight until the other's answer makes it say something
 * else, and is sent again as it is when nothing comes. That is enough since:
 *   - a record that had arrived is dropped by the other's replay window, one
 *     that had not is as good as new;
 *   - a side that waits for an answer has a timer of its own, so a lost answer
 *     is sent again by the one that gave it;
 *   - the server, which gives the last flight and waits for nothing, sends it
 *     again when more of the client's handshake comes.
 * Here a flight is one datagram. (One of several whose ChangeCipherSpec
 * overtakes the rest would lose that for good: OpenSSL drops it and remembers
 * its number. Flights with certificates must keep that in mind.)
 *
 * A Finished that can't be decrypted is dropped by OpenSSL without a word, as
 * DTLS asks, but means that the two hold different keys: frames are checked
 * before they come here, so it can't be noise. That ends the handshake at once,
 * at both ends.
 *
 * The library's error queue is empty whenever a function here returns.
 */
#include "common/handshake.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CIPHER "ECDHE-PSK-CHACHA20-POLY1305"
#define GROUP "X25519"
#define LABEL "EXPORTER-ViNe-frame-key"

#define RETRANSMIT_FIRST (250 * MSEC)
#define RETRANSMIT_MOST (4 * SEC)
#define GIVE_UP (10 * SEC) /* after the start */

#define COOKIE 16		       /* bytes */
#define COOKIE_SECRET_LIFE (120 * SEC) /* and as long again as the last one */

#define FLIGHT_DATAGRAMS 4
#define HELLO_DATAGRAM 96 /* a hello and its record's header and tag */
#define IDENTITY 24	  /* "4294967295>4294967295" */

/* DTLS records (RFC 6347 section 4.1). */
#define RECORD_HEADER 13
#define RECORD_CCS 20
#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO 1 /* handshake message type, first byte of the record's body */

struct handshake_ctx {
	uint32_t self;
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	uint8_t secret[CRYPTO_KEY], last_secret[CRYPTO_KEY]; /* of cookies */
	mono_t secret_since;
};

struct handshake {
	struct handshake_ctx *ctx;
	SSL *ssl;
	uint32_t peer;
	enum handshake_role role;
	enum handshake_state state;
	const char *error;
	uint8_t psk[CRYPTO_KEY]; /* until done or failed */

	/* What the cookie is made of; set only while handshake_listen runs. */
	const uint8_t *way;
	size_t way_len;

	/* The datagram that OpenSSL is to read. */
	const uint8_t *in;
	size_t in_len;

	/* The last flight: the first `taken` of `count` datagrams are under way. */
	uint8_t flight[FLIGHT_DATAGRAMS][HANDSHAKE_DATAGRAM];
	uint16_t flight_len[FLIGHT_DATAGRAMS];
	unsigned count, taken;
	bool turn;    /* the next write begins a new flight */
	bool wrote;   /* one has begun since `turn` was set */
	bool talking; /* writes are application data: they go to `out_hello` */
	uint8_t out_hello[HELLO_DATAGRAM];
	size_t out_hello_len;

	bool have_hello;
	struct hello hello;

	mono_t give_up, deadline;
	int64_t interval;
};

static void fail(struct handshake *h, const char *why)
{
	h->state = HANDSHAKE_FAILED;
	h->error = why;
	h->deadline = (mono_t){ 0 };
	crypto_wipe(h->psk, sizeof(h->psk));
}

/* ---- The BIO ---- */

static int bio_read(BIO *bio, char *out, int room)
{
	struct handshake *h = BIO_get_data(bio);
	size_t len;

	BIO_clear_retry_flags(bio);
	if (!h->in || room <= 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	len = h->in_len < (size_t)room ? h->in_len : (size_t)room;
	memcpy(out, h->in, len);
	h->in = NULL;
	return (int)len;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct handshake *h = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0 || len > HANDSHAKE_DATAGRAM)
		return -1;
	if (h->talking) {
		if (len > HELLO_DATAGRAM)
			return -1;
		memcpy(h->out_hello, data, (size_t)len);
		h->out_hello_len = (size_t)len;
		return len;
	}
	if (h->turn) {
		h->turn = false;
		h->wrote = true;
		h->count = h->taken = 0;
	}
	if (h->count == FLIGHT_DATAGRAMS)
		return -1;
	memcpy(h->flight[h->count], data, (size_t)len);
	h->flight_len[h->count++] = (uint16_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* ---- What OpenSSL asks for ---- */

/* Microseconds until OpenSSL would send again by itself: past any handshake. */
static unsigned timer_never(SSL *ssl, unsigned last)
{
	(void)ssl;
	(void)last;
	return 4000000000U;
}

static unsigned psk_for_client(SSL *ssl, const char *hint, char *identity, unsigned identity_room,
			       unsigned char *psk, unsigned psk_room)
{
	struct handshake *h = SSL_get_app_data(ssl);
	int len;

	(void)hint;
	if (psk_room < CRYPTO_KEY)
		return 0;
	len = snprintf(identity, identity_room, "%u>%u", h->ctx->self, h->peer);
	if (len < 0 || (unsigned)len >= identity_room)
		return 0;
	memcpy(psk, h->psk, CRYPTO_KEY);
	return CRYPTO_KEY;
}

/* Only one identity is the right one here, so that comparing it checks both
 * IDs. One's own is told apart for people alone. */
static unsigned psk_for_server(SSL *ssl, const char *identity, unsigned char *psk,
			       unsigned psk_room)
{
	struct handshake *h = SSL_get_app_data(ssl);
	char expected[IDENTITY], own[IDENTITY];

	if (!identity || psk_room < CRYPTO_KEY)
		return 0;
	snprintf(expected, sizeof(expected), "%u>%u", h->peer, h->ctx->self);
	snprintf(own, sizeof(own), "%u>%u", h->ctx->self, h->peer);
	if (strcmp(identity, expected)) {
		h->error = strcmp(identity, own) ? "wrong identity" : "own identity reflected";
		return 0;
	}
	memcpy(psk, h->psk, CRYPTO_KEY);
	return CRYPTO_KEY;
}

static bool cookie_make(const struct handshake *h, const uint8_t secret[static CRYPTO_KEY],
			uint8_t ret[static CRYPTO_KEY])
{
	uint8_t context[4 + HANDSHAKE_WAY];
	struct writer w = writer_init(context, sizeof(context));

	if (!h->way)
		return false;
	write_u32(&w, h->peer);
	write_bytes(&w, h->way, h->way_len);
	return !w.bad && crypto_derive(secret, "ViNe cookie", context, writer_len(&w), ret);
}

static int cookie_generate(SSL *ssl, unsigned char *cookie, unsigned *ret_len)
{
	struct handshake *h = SSL_get_app_data(ssl);
	uint8_t full[CRYPTO_KEY];

	if (!cookie_make(h, h->ctx->secret, full))
		return 0;
	memcpy(cookie, full, COOKIE);
	*ret_len = COOKIE;
	return 1;
}

static int cookie_verify(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	struct handshake *h = SSL_get_app_data(ssl);
	uint8_t full[CRYPTO_KEY], last[CRYPTO_KEY];

	if (len != COOKIE || !cookie_make(h, h->ctx->secret, full) ||
	    !cookie_make(h, h->ctx->last_secret, last))
		return 0;
	return crypto_equal(cookie, full, COOKIE) || crypto_equal(cookie, last, COOKIE);
}

/* ---- The context ---- */

static BIO_METHOD *bio_method_new(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "handshake");

	if (!m)
		return NULL;
	if (!BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl) || !BIO_meth_set_create(m, bio_create)) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

static bool ssl_ctx_setup(SSL_CTX *ssl)
{
	SSL_CTX_set_options(ssl, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE |
					 SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
					 SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cookie_generate_cb(ssl, cookie_generate);
	SSL_CTX_set_cookie_verify_cb(ssl, cookie_verify);
	SSL_CTX_set_psk_client_callback(ssl, psk_for_client);
	SSL_CTX_set_psk_server_callback(ssl, psk_for_server);
	/* Smaller write buffers; no record is longer than a datagram. */
	return SSL_CTX_set_max_send_fragment(ssl, HANDSHAKE_DATAGRAM) &&
	       SSL_CTX_set_min_proto_version(ssl, DTLS1_2_VERSION) &&
	       SSL_CTX_set_max_proto_version(ssl, DTLS1_2_VERSION) &&
	       SSL_CTX_set_cipher_list(ssl, CIPHER) && SSL_CTX_set1_groups_list(ssl, GROUP);
}

struct handshake_ctx *handshake_ctx_new(uint32_t self)
{
	struct handshake_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->self = self;
	ctx->bio = bio_method_new();
	ctx->ssl = SSL_CTX_new(DTLS_method());
	if (!ctx->bio || !ctx->ssl || !ssl_ctx_setup(ctx->ssl) ||
	    !crypto_random(ctx->secret, sizeof(ctx->secret)) ||
	    !crypto_random(ctx->last_secret, sizeof(ctx->last_secret))) {
		handshake_ctx_free(ctx);
		ctx = NULL;
	}
	ERR_clear_error();
	return ctx;
}

void handshake_ctx_free(struct handshake_ctx *ctx)
{
	if (!ctx)
		return;
	SSL_CTX_free(ctx->ssl);
	BIO_meth_free(ctx->bio);
	crypto_wipe(ctx, sizeof(*ctx));
	free(ctx);
}

/* Without randomness the old secrets stay: still unknown to others. */
static void cookie_rotate(struct handshake_ctx *ctx, mono_t now)
{
	uint8_t fresh[2][CRYPTO_KEY];
	int64_t age = mono_since(now, ctx->secret_since);

	if (!mono_is_set(ctx->secret_since)) {
		ctx->secret_since = now;
		return;
	}
	if (age < COOKIE_SECRET_LIFE || !crypto_random(fresh, sizeof(fresh)))
		return;
	memcpy(ctx->last_secret, age < 2 * COOKIE_SECRET_LIFE ? ctx->secret : fresh[1], CRYPTO_KEY);
	memcpy(ctx->secret, fresh[0], CRYPTO_KEY);
	ctx->secret_since = now;
	crypto_wipe(fresh, sizeof(fresh));
}

/* ---- The handshake ---- */

static struct handshake *handshake_new(struct handshake_ctx *ctx, enum handshake_role role,
				       uint32_t peer, const uint8_t psk[static CRYPTO_KEY],
				       mono_t now)
{
	struct handshake *h;
	BIO *bio;

	if (peer == ctx->self)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->ctx = ctx;
	h->role = role;
	h->peer = peer;
	h->state = HANDSHAKE_GOING;
	h->turn = true;
	h->interval = RETRANSMIT_FIRST;
	h->give_up = mono_add(now, GIVE_UP);
	memcpy(h->psk, psk, CRYPTO_KEY);
	bio = BIO_new(ctx->bio);
	h->ssl = SSL_new(ctx->ssl);
	if (!bio || !h->ssl) {
		BIO_free(bio);
		handshake_free(h);
		return NULL;
	}
	BIO_set_data(bio, h);
	SSL_set_bio(h->ssl, bio, bio);
	if (!SSL_set_app_data(h->ssl, h)) { /* takes memory */
		handshake_free(h);
		return NULL;
	}
	SSL_set_mtu(h->ssl, HANDSHAKE_DATAGRAM);
	DTLS_set_timer_cb(h->ssl, timer_never);
	return h;
}

void handshake_free(struct handshake *h)
{
	if (!h)
		return;
	SSL_free(h->ssl);
	crypto_wipe(h, sizeof(*h));
	free(h);
	ERR_clear_error();
}

/* What to tell people about the first error in OpenSSL's queue. */
static const char *error_text(void)
{
	unsigned long e = ERR_peek_error();
	const char *text;

	if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
		switch (ERR_GET_REASON(e)) {
		case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
		case SSL_R_DIGEST_CHECK_FAILED:
		case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC:
		case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: return "wrong key (or another peer's)";
		case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY: return "identity refused by peer";
		case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return "no shared cipher";
		}
	}
	text = ERR_reason_error_string(e); /* of the library's fixed tables */
	return text ? text : "handshake failed";
}

/* Whether the datagram holds a whole handshake record under the new keys: a
 * Finished, since nothing else of a handshake is encrypted. */
static bool has_finished(const uint8_t *datagram, size_t len)
{
	struct reader r = reader_init(datagram, len);

	while (reader_left(&r) >= RECORD_HEADER) {
		uint8_t type = read_u8(&r);
		bool known = read_u16(&r) == DTLS1_2_VERSION;
		uint16_t epoch = read_u16(&r);

		read_u48(&r);
		if (!known || !read_bytes(&r, read_u16(&r)))
			break; /* OpenSSL doesn't read on either */
		if (type == RECORD_HANDSHAKE && epoch == 1)
			return true;
	}
	return false;
}

/* ChangeCipherSpec has come, and still no Finished that its keys open. */
static bool waits_for_finished(const struct handshake *h)
{
	OSSL_HANDSHAKE_STATE at = SSL_get_state(h->ssl);

	return h->state == HANDSHAKE_GOING && (at == TLS_ST_SR_CHANGE || at == TLS_ST_CR_CHANGE);
}

/* Tells the other side of a wrong key, which OpenSSL keeps to itself: a fatal
 * bad_record_mac alert of epoch 0, with a number past any used so far. */
static void queue_alert(struct handshake *h)
{
	struct writer w = writer_init(h->flight[0], HANDSHAKE_DATAGRAM);

	write_u8(&w, RECORD_ALERT);
	write_u16(&w, DTLS1_2_VERSION);
	write_u16(&w, 0);
	write_u48(&w, 1ULL << 32);
	write_u16(&w, 2);
	write_u8(&w, SSL3_AL_FATAL);
	write_u8(&w, SSL_AD_BAD_RECORD_MAC);
	h->flight_len[0] = (uint16_t)writer_len(&w);
	h->count = 1;
	h->taken = 0;
}

static void finish(struct handshake *h)
{
	if (SSL_get_extms_support(h->ssl) != 1) {
		fail(h, "peer lacks extended master secret");
		return;
	}
	h->state = HANDSHAKE_DONE;
	h->deadline = (mono_t){ 0 };
	crypto_wipe(h->psk, sizeof(h->psk));
	if (h->role == HANDSHAKE_CLIENT)
		h->count = h->taken = 0; /* has been answered */
}

/* One step of the handshake with what is in h->in. */
static void step(struct handshake *h)
{
	int rc = SSL_do_handshake(h->ssl);
	int error;

	if (rc == 1) {
		finish(h);
		return;
	}
	error = SSL_get_error(h->ssl, rc);
	if (error != SSL_ERROR_WANT_READ)
		fail(h, h->error ? h->error : error_text());
}

/* Application data: hellos, of which the last one counts. */
static void drain(struct handshake *h)
{
	uint8_t data[HANDSHAKE_DATAGRAM];
	int rc, error;

	while ((rc = SSL_read(h->ssl, data, sizeof(data))) > 0) {
		struct reader r = reader_init(data, (size_t)rc);
		struct hello hello;

		if (!hello_read(&r, &hello))
			continue;
		h->hello = hello;
		h->have_hello = true;
		h->count = h->taken = 0; /* whoever says hello has our last flight */
	}
	error = SSL_get_error(h->ssl, rc);
	if (error == SSL_ERROR_ZERO_RETURN)
		fail(h, "closed by peer");
	else if (error != SSL_ERROR_WANT_READ)
		fail(h, error_text());
}

static void start_timer(struct handshake *h, mono_t now)
{
	h->deadline = mono_add(now, h->interval);
	if (mono_before(h->give_up, h->deadline))
		h->deadline = h->give_up;
}

/* Lets OpenSSL have h->in and say what it will. */
static void advance(struct handshake *h, mono_t now)
{
	size_t most;

	ERR_clear_error();
	h->turn = true;
	h->wrote = false;
	/* A step may end before the datagram does, at a record that OpenSSL
	 * drops. A record has at least a header, so this is bounded. */
	most = 1 + h->in_len / RECORD_HEADER;
	while (h->state == HANDSHAKE_GOING && most-- > 0) {
		step(h);
		if (!h->in && !SSL_has_pending(h->ssl))
			break;
	}
	if (h->state == HANDSHAKE_DONE)
		drain(h);
	h->in = NULL;
	ERR_clear_error();
	if (h->state == HANDSHAKE_GOING && h->wrote) {
		h->interval = RETRANSMIT_FIRST;
		start_timer(h, now);
	}
}

struct handshake *handshake_client(struct handshake_ctx *ctx, uint32_t peer,
				   const uint8_t psk[static CRYPTO_KEY], mono_t now)
{
	struct handshake *h = handshake_new(ctx, HANDSHAKE_CLIENT, peer, psk, now);

	if (!h)
		return NULL;
	SSL_set_connect_state(h->ssl);
	advance(h, now);
	if (h->state != HANDSHAKE_GOING || !h->count) {
		handshake_free(h);
		return NULL;
	}
	return h;
}

bool handshake_opens(const uint8_t *datagram, size_t len)
{
	return len > RECORD_HEADER && datagram[0] == RECORD_HANDSHAKE &&
	       datagram[RECORD_HEADER] == CLIENT_HELLO;
}

struct handshake *handshake_listen(struct handshake_ctx *ctx, uint32_t peer,
				   const uint8_t psk[static CRYPTO_KEY], const void *way,
				   size_t way_len, const uint8_t *datagram, size_t len, mono_t now,
				   uint8_t reply[static HANDSHAKE_DATAGRAM], size_t *ret_len)
{
	struct handshake *h;
	BIO_ADDR *unused;
	bool made = false;

	*ret_len = 0;
	cookie_rotate(ctx, now);
	if (way_len > HANDSHAKE_WAY || !handshake_opens(datagram, len))
		return NULL;
	h = handshake_new(ctx, HANDSHAKE_SERVER, peer, psk, now);
	unused = BIO_ADDR_new();
	if (!h || !unused)
		goto out;
	h->way = way;
	h->way_len = way_len;
	h->in = datagram;
	h->in_len = len;
	ERR_clear_error();
	if (DTLSv1_listen(h->ssl, unused) > 0) {
		advance(h, now); /* checks the cookie once more */
		/* A hello whose end makes no sense is dropped without an answer. */
		made = h->count > 0;
	} else if (h->count == 1 && h->flight_len[0] <= len) {
		*ret_len = h->flight_len[0];
		memcpy(reply, h->flight[0], *ret_len);
	}
	h->way = NULL;
out:
	BIO_ADDR_free(unused);
	if (!made) {
		handshake_free(h);
		h = NULL;
	}
	ERR_clear_error();
	return h;
}

enum handshake_state handshake_state(const struct handshake *h)
{
	return h->state;
}

const char *handshake_error(const struct handshake *h)
{
	return h->state == HANDSHAKE_FAILED ? h->error : "";
}

enum handshake_state handshake_feed(struct handshake *h, const uint8_t *datagram, size_t len,
				    mono_t now)
{
	bool was_done = h->state == HANDSHAKE_DONE;

	if (h->state == HANDSHAKE_FAILED || len < RECORD_HEADER || len > UINT16_MAX)
		return h->state;
	h->in = datagram;
	h->in_len = len;
	advance(h, now);
	if (waits_for_finished(h) && has_finished(datagram, len)) {
		fail(h, "wrong key (or another peer's)");
		queue_alert(h);
	} else if (was_done && h->role == HANDSHAKE_SERVER &&
		   (datagram[0] == RECORD_HANDSHAKE || datagram[0] == RECORD_CCS)) {
		h->taken = 0; /* the client has missed the end: say it again */
	}
	return h->state;
}

size_t handshake_take(struct handshake *h, uint8_t out[static HANDSHAKE_DATAGRAM])
{
	size_t len;

	if (h->taken < h->count) {
		len = h->flight_len[h->taken];
		memcpy(out, h->flight[h->taken++], len);
		return len;
	}
	len = h->out_hello_len;
	memcpy(out, h->out_hello, len);
	h->out_hello_len = 0;
	return len;
}

mono_t handshake_deadline(const struct handshake *h)
{
	return h->deadline;
}

enum handshake_state handshake_timeout(struct handshake *h, mono_t now)
{
	if (!mono_is_set(h->deadline) || mono_before(now, h->deadline))
		return h->state;
	if (!mono_before(now, h->give_up)) {
		fail(h, "no answer");
		h->count = h->taken = 0;
		return h->state;
	}
	h->taken = 0;
	h->interval = h->interval * 2 < RETRANSMIT_MOST ? h->interval * 2 : RETRANSMIT_MOST;
	start_timer(h, now);
	return h->state;
}

/* ---- What comes out of it ---- */

static bool export_direction(struct handshake *h, uint8_t direction, struct session_secrets *ret)
{
	uint32_t self = h->ctx->self;
	bool client = h->role == HANDSHAKE_CLIENT;

	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		uint8_t context[10];
		struct writer w = writer_init(context, sizeof(context));

		write_u32(&w, client ? self : h->peer);
		write_u32(&w, client ? h->peer : self);
		write_u8(&w, direction);
		write_u8(&w, (uint8_t)p);
		if (SSL_export_keying_material(h->ssl, ret->of[p], SESSION_SECRET, LABEL,
					       strlen(LABEL), context, writer_len(&w), 1) != 1)
			return false;
	}
	return true;
}

bool handshake_export(struct handshake *h, struct session_secrets *ret_tx,
		      struct session_secrets *ret_rx)
{
	struct session_secrets to_server, to_client;
	bool ok;

	if (h->state != HANDSHAKE_DONE)
		return false;
	memset(&to_server, 0, sizeof(to_server));
	memset(&to_client, 0, sizeof(to_client));
	ok = export_direction(h, 0, &to_server) && export_direction(h, 1, &to_client);
	if (ok) {
		*ret_tx = h->role == HANDSHAKE_CLIENT ? to_server : to_client;
		*ret_rx = h->role == HANDSHAKE_CLIENT ? to_client : to_server;
	}
	crypto_wipe(&to_server, sizeof(to_server));
	crypto_wipe(&to_client, sizeof(to_client));
	ERR_clear_error();
	return ok;
}

bool handshake_send_hello(struct handshake *h, const struct hello *hello)
{
	uint8_t data[HELLO_SIZE];
	struct writer w = writer_init(data, sizeof(data));
	bool ok;

	if (h->state != HANDSHAKE_DONE)
		return false;
	hello_write(&w, hello);
	if (w.bad)
		return false;
	h->talking = true;
	ok = SSL_write(h->ssl, data, (int)writer_len(&w)) == (int)writer_len(&w);
	h->talking = false;
	ERR_clear_error();
	return ok;
}

bool handshake_recv_hello(struct handshake *h, struct hello *ret)
{
	if (!h->have_hello)
		return false;
	*ret = h->hello;
	h->have_hello = false;
	return true;
}
