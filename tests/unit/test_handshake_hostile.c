/* links: common/handshake common/crypto common/wire common/addr */
/*
 * Handshakes that must come to nothing (wrong keys, identities, cookies, other
 * people's settings), and garbage that must do no harm.
 */
#include "tests/unit/handshake_world.h"

#include <openssl/ssl.h>

static const uint8_t other_key[CRYPTO_KEY] = "another key that also has 32 byt";

static void test_wrong_key(void **state)
{
	struct session_secrets tx, rx;
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	w.server_key = other_key;
	start(&w, SERVER_ID);
	run(&w);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), "wrong key (or another peer's)");
	assert_int_equal(handshake_state(w.client), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.client), "wrong key (or another peer's)");
	/* At once: nothing was sent again. */
	assert_int_equal(w.sent, FLIGHTS);
	assert_int_equal(w.now.ns, 5 * SEC + FLIGHTS * DELAY);
	assert_false(handshake_export(w.client, &tx, &rx));
	assert_false(handshake_export(w.server, &tx, &rx));
	assert_false(mono_is_set(handshake_deadline(w.server)));
	close_world(&w);
}

static void run_identity(uint32_t client, uint32_t server, uint32_t server_peer,
			 uint32_t client_peer, const char *why)
{
	struct world w;

	open_world(&w, client, server);
	w.server_peer = server_peer;
	start(&w, client_peer);
	run(&w);
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), why);
	assert_int_equal(handshake_state(w.client), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.client), "identity refused by peer");
	assert_int_equal(w.sent, FLIGHTS);
	close_world(&w);
}

static void test_identities(void **state)
{
	(void)state;
	/* Not whom the server takes it for, although the key is right. */
	run_identity(8, SERVER_ID, CLIENT_ID, SERVER_ID, "wrong identity");
	/* Wants to reach somebody else. */
	run_identity(CLIENT_ID, SERVER_ID, CLIENT_ID, SERVER_ID - 1, "wrong identity");
	/* The server's own words come back to it. */
	run_identity(SERVER_ID, SERVER_ID, CLIENT_ID, CLIENT_ID, "own identity reflected");
}

static void test_self(void **state)
{
	uint8_t reply[HANDSHAKE_DATAGRAM], first[HANDSHAKE_DATAGRAM];
	struct world w;
	size_t len, reply_len = 1;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	assert_null(handshake_client(w.ctx[0], CLIENT_ID, key, w.now));
	start(&w, SERVER_ID);
	len = handshake_take(w.client, first);
	assert_true(len > 0);
	assert_null(handshake_listen(w.ctx[1], SERVER_ID, key, way, sizeof(way), first, len, w.now,
				     reply, &reply_len));
	assert_int_equal(reply_len, 0);
	close_world(&w);
}

/* A client's hello with a good cookie, in `ret`. */
static size_t hello_with_cookie(struct world *w, uint8_t *ret)
{
	uint8_t first[HANDSHAKE_DATAGRAM], reply[HANDSHAKE_DATAGRAM];
	size_t len, reply_len;

	start(w, SERVER_ID);
	len = handshake_take(w->client, first);
	assert_null(handshake_listen(w->ctx[1], CLIENT_ID, key, way, sizeof(way), first, len,
				     w->now, reply, &reply_len));
	assert_in_range(reply_len, 1, len); /* no amplification */
	handshake_feed(w->client, reply, reply_len, w->now);
	len = handshake_take(w->client, ret);
	assert_true(len > 0);
	return len;
}

static bool listen_makes(struct world *w, uint32_t peer, const char *from, const uint8_t *d,
			 size_t len, size_t *ret_len)
{
	uint8_t reply[HANDSHAKE_DATAGRAM];
	struct handshake *h = handshake_listen(w->ctx[1], peer, key, from, strlen(from) + 1, d, len,
					       w->now, reply, ret_len);
	bool made = h;

	assert_int_equal(ERR_peek_error(), 0);
	handshake_free(h);
	return made;
}

static void test_cookie(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM];
	const char *from = (const char *)way;
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	assert_int_equal(reply, 0);
	/* From elsewhere it gets a cookie of its own, and nothing else. */
	assert_false(listen_makes(&w, CLIENT_ID, "198.51.100.2:8464", d, len, &reply));
	assert_in_range(reply, 1, len);
	assert_false(listen_makes(&w, 9, from, d, len, &reply));
	assert_in_range(reply, 1, len);
	/* For as long as the secret and the one after it last. */
	w.now = mono_add(w.now, 119 * SEC);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	w.now = mono_add(w.now, 2 * SEC);
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	w.now = mono_add(w.now, 121 * SEC);
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	assert_in_range(reply, 1, len);
	/* A spoiled cookie, by one bit (its end is before suites and extensions). */
	close_world(&w);
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	assert_int_equal(d[59], 0);  /* no session ID */
	assert_int_equal(d[60], 16); /* the cookie */
	d[61] ^= 1;
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	d[61] ^= 1;
	assert_true(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	/* After a long silence neither secret is what it was. */
	w.now = mono_add(w.now, 3600 * SEC);
	assert_false(listen_makes(&w, CLIENT_ID, from, d, len, &reply));
	/* Ways longer than any endpoint get nothing. */
	assert_null(handshake_listen(w.ctx[1], CLIENT_ID, key, d, 65, d, len, w.now, d, &reply));
	assert_int_equal(reply, 0);
	close_world(&w);
}

static void test_server_keeps_nothing(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM];
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	len = handshake_take(w.client, d);
	/* The same hello for ever gives the same answer; leaks are the
	 * sanitizer's to find. */
	for (int i = 0; i < 200; i++) {
		assert_false(listen_makes(&w, CLIENT_ID, (const char *)way, d, len, &reply));
		assert_in_range(reply, 1, len);
	}
	close_world(&w);
}

/* ---- Garbage ---- */

static void test_garbage_listen(void **state)
{
	uint8_t d[HANDSHAKE_DATAGRAM], bad[HANDSHAKE_DATAGRAM];
	unsigned seed = 1;
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	for (size_t cut = 0; cut < len; cut++)
		assert_false(listen_makes(&w, CLIENT_ID, (const char *)way, d, cut, &reply));
	for (int i = 0; i < 300; i++) {
		for (size_t k = 0; k < sizeof(bad); k++)
			bad[k] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
		if (i & 1)
			memcpy(bad, d, 14); /* looks like one at first */
		assert_false(
			listen_makes(&w, CLIENT_ID, (const char *)way, bad, sizeof(bad), &reply));
	}
	assert_true(listen_makes(&w, CLIENT_ID, (const char *)way, d, len, &reply));
	close_world(&w);
}

/* Spoiled anywhere, a hello makes no handshake that has nothing to say: such a
 * one would wait for ever. */
static void test_spoiled_hello(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	uint8_t d[HANDSHAKE_DATAGRAM], out[HANDSHAKE_DATAGRAM];
	struct world w;
	size_t len, reply;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	len = hello_with_cookie(&w, d);
	for (size_t i = 0; i < 3 * len; i++) {
		struct handshake *h;

		d[i / 3] ^= masks[i % 3];
		h = handshake_listen(w.ctx[1], CLIENT_ID, key, way, sizeof(way), d, len, w.now, out,
				     &reply);
		d[i / 3] ^= masks[i % 3];
		if (!h)
			continue;
		assert_int_equal(reply, 0);
		assert_int_equal(mono_is_set(handshake_deadline(h)),
				 handshake_state(h) == HANDSHAKE_GOING);
		assert_true(handshake_take(h, out) > 0);
		handshake_free(h);
	}
	close_world(&w);
}

/* Before each datagram come noise, a cut copy, and one of a wrong version. */
static struct fate noisy(struct world *w, unsigned n, struct datagram *d)
{
	struct datagram bad = *d;
	struct fate once = { 1, DELAY };

	bad.arrives = mono_add(w->now, DELAY / 2);
	for (size_t k = 0; k < bad.len; k++)
		bad.data[k] = (uint8_t)(k * 31 + n);
	w->wire[w->n_wire++] = bad;
	bad = *d;
	bad.arrives = mono_add(w->now, DELAY / 2);
	bad.len = d->len / 2;
	w->wire[w->n_wire++] = bad;
	bad.len = d->len - 1;
	w->wire[w->n_wire++] = bad;
	bad.len = 12;
	w->wire[w->n_wire++] = bad;
	bad.len = d->len;
	bad.data[1] ^= 0x40;
	w->wire[w->n_wire++] = bad;
	return once;
}

static struct fate cut_nth(struct world *w, unsigned n, struct datagram *d)
{
	if (n == w->arg % 16)
		d->len = d->len * (w->arg / 16) / 16;
	return (struct fate){ 1, DELAY };
}

static void test_garbage(void **state)
{
	(void)state;
	run_rule(noisy, 0);
	for (unsigned n = 1; n <= FLIGHTS; n++)
		for (unsigned part = 1; part < 16; part++)
			run_rule(cut_nth, n + part * 16);
}

static void test_garbage_after(void **state)
{
	uint8_t bad[4 * HANDSHAKE_DATAGRAM];
	unsigned seed = 3;
	struct world w;

	(void)state;
	open_world(&w, CLIENT_ID, SERVER_ID);
	start(&w, SERVER_ID);
	run(&w);
	for (int i = 0; i < 300; i++) {
		for (size_t k = 0; k < sizeof(bad); k++)
			bad[k] = (uint8_t)((seed = seed * 1103515245u + 12345u) >> 16);
		/* Records of the new keys, whose tags can't be right. */
		memcpy(bad, i & 1 ? "\x17\xfe\xfd\0\1" : "\x16\xfe\xfd\0\1", 5);
		memcpy(bad + 11, "\x00\x40", 2);
		handshake_feed(w.client, bad, sizeof(bad), w.now);
		handshake_feed(w.server, bad, sizeof(bad), w.now);
	}
	run(&w);
	check_done(&w);
	check_hellos(&w);
	close_world(&w);
}

/* ---- Somebody else's DTLS ---- */

/* Ours against a plain OpenSSL client with other settings, over memory BIOs. */
static void run_foreign(const char *ciphers, uint64_t options, const char *why)
{
	SSL_CTX *foreign = SSL_CTX_new(DTLS_client_method());
	SSL *ssl;
	BIO *in, *out;
	struct world w;
	uint8_t d[4096], reply[HANDSHAKE_DATAGRAM];
	size_t reply_len;
	int len;

	assert_non_null(foreign);
	SSL_CTX_set_options(foreign, options);
	assert_int_equal(SSL_CTX_set_cipher_list(foreign, ciphers), 1);
	ssl = SSL_new(foreign);
	in = BIO_new(BIO_s_mem());
	out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
	SSL_set_mtu(ssl, 1200);
	SSL_set_connect_state(ssl);
	open_world(&w, CLIENT_ID, SERVER_ID);
	for (int i = 0; i < 2 && !w.server; i++) {
		SSL_do_handshake(ssl);
		len = BIO_read(out, d, sizeof(d));
		assert_true(len > 0);
		w.server = handshake_listen(w.ctx[1], CLIENT_ID, key, way, sizeof(way), d,
					    (size_t)len, w.now, reply, &reply_len);
		BIO_write(in, reply, (int)reply_len);
	}
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), why);
	assert_true(handshake_take(w.server, reply) > 0); /* an alert */
	SSL_free(ssl);
	SSL_CTX_free(foreign);
	ERR_clear_error();
	close_world(&w);
}

static void test_foreign(void **state)
{
	(void)state;
	run_foreign("ECDHE-ECDSA-AES256-GCM-SHA384", 0, "no shared cipher");
}

static unsigned foreign_psk(SSL *ssl, const char *hint, char *identity, unsigned room,
			    unsigned char *psk, unsigned psk_room)
{
	(void)ssl;
	(void)hint;
	(void)psk_room;
	snprintf(identity, room, "%u>%u", CLIENT_ID, SERVER_ID);
	memcpy(psk, key, sizeof(key));
	return sizeof(key);
}

/* Right key and identity, but no extended master secret. */
static void test_no_ems(void **state)
{
	SSL_CTX *foreign = SSL_CTX_new(DTLS_client_method());
	struct world w;
	uint8_t d[4096], reply[HANDSHAKE_DATAGRAM];
	size_t n;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl;
	int len;

	(void)state;
	SSL_CTX_set_options(foreign, SSL_OP_NO_EXTENDED_MASTER_SECRET | SSL_OP_NO_QUERY_MTU);
	assert_int_equal(SSL_CTX_set_cipher_list(foreign, "ECDHE-PSK-CHACHA20-POLY1305"), 1);
	SSL_CTX_set_psk_client_callback(foreign, foreign_psk);
	ssl = SSL_new(foreign);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_mtu(ssl, 1200);
	SSL_set_connect_state(ssl);
	open_world(&w, CLIENT_ID, SERVER_ID);
	for (int i = 0; i < 4; i++) {
		n = 0;
		SSL_do_handshake(ssl);
		len = BIO_read(out, d, sizeof(d));
		if (len <= 0)
			break;
		if (w.server)
			handshake_feed(w.server, d, (size_t)len, w.now);
		else
			w.server = handshake_listen(w.ctx[1], CLIENT_ID, key, way, sizeof(way), d,
						    (size_t)len, w.now, reply, &n);
		if (w.server)
			n = handshake_take(w.server, reply);
		BIO_write(in, reply, (int)n);
	}
	assert_non_null(w.server);
	assert_int_equal(handshake_state(w.server), HANDSHAKE_FAILED);
	assert_string_equal(handshake_error(w.server), "peer lacks extended master secret");
	SSL_free(ssl);
	SSL_CTX_free(foreign);
	ERR_clear_error();
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_key),
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_cookie),
		cmocka_unit_test(test_server_keeps_nothing),
		cmocka_unit_test(test_garbage_listen),
		cmocka_unit_test(test_spoiled_hello),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_garbage_after),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_no_ems),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
