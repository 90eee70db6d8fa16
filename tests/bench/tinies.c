/*
 * Many tinies at one full router, light ones: each does the real handshake and answers pings,
 * and that is all. They share one socket and one key; the router tells them apart by ID.
 *
 *   tinies ROUTER:PORT ROUTER-ID KEY-FILE FIRST-ID NUMBER SECONDS
 *
 * Says how long it took until all had keys, keeps them for so many seconds, and says how many
 * are still served at the end.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/handshake.h"
#include "common/key_file.h"

#define AT_ONCE 64
#define RETRY (2 * SEC)
#define FRAME_ROOM 2048

struct client {
	uint32_t id, attempt;
	struct handshake_ctx *ctx;
	struct handshake *handshake; /* NULL: not begun, or done */
	struct session_secrets tx, rx;
	struct tx_keys *keys;
	mono_t begun;
	bool exported, up;
	uint64_t pings;
};

static int fd;
static uint32_t router, first;
static size_t n_clients, n_up, n_going;
static struct client *clients;
static struct crypto *crypto;
static struct crypto_key *handshake_key;
static uint8_t psk[CRYPTO_KEY];

/* Header in front of the payload that is in place, MAC behind, and out. */
static void send_frame(struct frame_header *h, struct crypto_key *key, uint8_t *frame, size_t len)
{
	struct crypto_job job = { .key = key,
				  .head = frame,
				  .head_len = FRAME_HEADER,
				  .data = frame + FRAME_HEADER,
				  .len = (uint32_t)len,
				  .mac = frame + FRAME_HEADER + len,
				  .nonce = frame + 16 };

	h->state = STATE_SIGNED;
	h->size = (uint16_t)(len + FRAME_OVERHEAD);
	h->destination = router;
	frame_format(h, frame);
	crypto_seal(0, &job, 1);
	if (send(fd, frame, len + FRAME_OVERHEAD, 0) < 0 && errno != EAGAIN &&
	    errno != ECONNREFUSED)
		perror("send");
}

static void flush(struct client *c)
{
	uint8_t frame[FRAME_ROOM];
	size_t len;

	while ((len = handshake_take(c->handshake, frame + FRAME_HEADER + HANDSHAKE_HEADER)) > 0) {
		struct frame_header h = { .type = FRAME_HANDSHAKE, .source = c->id };
		const struct handshake_header hh = { HANDSHAKE_CLIENT, 2, c->attempt };
		struct writer w = writer_init(frame + FRAME_HEADER, HANDSHAKE_HEADER);

		handshake_header_write(&w, &hh);
		send_frame(&h, handshake_key, frame, HANDSHAKE_HEADER + len);
	}
}

static void begin(struct client *c, mono_t now)
{
	n_going += c->handshake == NULL;
	handshake_free(c->handshake);
	handshake_ctx_free(c->ctx);
	c->exported = false;
	crypto_random(&c->attempt, sizeof(c->attempt));
	c->ctx = handshake_ctx_new(c->id);
	c->handshake = handshake_client(c->ctx, router, psk, now);
	c->begun = now;
	flush(c);
}

static void finish(struct client *c)
{
	handshake_free(c->handshake);
	handshake_ctx_free(c->ctx);
	c->handshake = NULL;
	c->ctx = NULL;
	n_going--;
	n_up += !c->up;
	c->up = true;
}

static void hello(struct client *c, bool seen)
{
	const struct hello h = { .epoch = 1, .lanes = 2, .seen = seen };

	handshake_send_hello(c->handshake, &h);
	flush(c);
}

static void recv_handshake(struct client *c, const uint8_t *data, size_t len, mono_t now)
{
	struct reader r = reader_init(data, len);
	struct handshake_header hh;
	struct hello h;

	if (!c->handshake || !handshake_header_read(&r, &hh) || hh.attempt != c->attempt)
		return;
	if (handshake_feed(c->handshake, data + HANDSHAKE_HEADER, len - HANDSHAKE_HEADER, now) ==
	    HANDSHAKE_FAILED) {
		fprintf(stderr, "%u: %s\n", c->id, handshake_error(c->handshake));
		exit(1);
	}
	flush(c);
	if (handshake_state(c->handshake) != HANDSHAKE_DONE)
		return;
	if (!c->exported) {
		c->exported = handshake_export(c->handshake, &c->tx, &c->rx);
		hello(c, false);
	}
	if (!handshake_recv_hello(c->handshake, &h))
		return;
	tx_keys_free(c->keys);
	c->keys = tx_keys_new(crypto, &c->tx, 1u << PROTECT_HMAC, h.epoch, 2);
	hello(c, true);
	if (h.seen)
		finish(c);
}

static void recv_control(struct client *c, const uint8_t *data, size_t len)
{
	struct control_message m, answer;
	uint8_t frame[FRAME_ROOM];
	struct frame_header h = { .type = FRAME_CONTROL, .source = c->id };

	if (!c->keys || !control_read(data, len, &m) || m.kind != CONTROL_PING)
		return;
	answer = (struct control_message){ .kind = CONTROL_PONG, .token = m.token };
	c->pings++;
	h.epoch = c->keys->epoch;
	h.seq = tx_next(c->keys, 0, false);
	len = control_write(frame + FRAME_HEADER, sizeof(frame) - FRAME_OVERHEAD, &answer);
	send_frame(&h, c->keys->key[PROTECT_HMAC], frame, len);
}

static void take(mono_t now)
{
	uint8_t frame[65536];
	struct frame_header h;
	ssize_t n;

	while ((n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		struct client *c;

		if (frame_parse(frame, (size_t)n, &h) || h.destination < first ||
		    h.destination - first >= n_clients)
			continue;
		c = &clients[h.destination - first];
		if (h.type == FRAME_HANDSHAKE)
			recv_handshake(c, frame + FRAME_HEADER, (size_t)n - FRAME_OVERHEAD, now);
		else if (h.type == FRAME_CONTROL)
			recv_control(c, frame + FRAME_HEADER, (size_t)n - FRAME_OVERHEAD);
	}
}

static void look(mono_t now)
{
	for (size_t i = 0; i < n_clients; i++) {
		struct client *c = &clients[i];

		if (c->handshake) {
			mono_t due = handshake_deadline(c->handshake);

			if (mono_is_set(due) && !mono_before(now, due)) {
				handshake_timeout(c->handshake, now);
				flush(c);
			}
			if (mono_since(now, c->begun) >= RETRY)
				begin(c, now);
		} else if (!c->up && n_going < AT_ONCE) {
			begin(c, now);
		}
	}
}

int main(int argc, char **argv)
{
	char room[KEY_FILE_WHY];
	uint8_t key[CRYPTO_KEY];
	static const uint8_t salt[CRYPTO_SALT];
	struct sockaddr_storage name;
	struct endpoint to;
	mono_t start, up = { 0 }, now;
	size_t served = 0;
	int size = 8 << 20;

	if (argc != 7 || endpoint_parse(argv[1], &to) || id_parse(argv[2], &router) ||
	    *key_file_read(argv[3], psk, room) || id_parse(argv[4], &first)) {
		fprintf(stderr,
			"usage: tinies ROUTER:PORT ROUTER-ID KEY-FILE FIRST-ID NUMBER SECONDS\n");
		return 2;
	}
	n_clients = (size_t)atol(argv[5]);
	clients = calloc(n_clients + 1, sizeof(*clients));
	crypto = crypto_new(1, CRYPTO_FASTEST);
	session_handshake_key(psk, key);
	handshake_key = crypto_key_new(crypto, PROTECT_HMAC, key, salt);
	fd = socket(to.ip.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (!clients || !handshake_key ||
	    connect(fd, (struct sockaddr *)&name, endpoint_to_sockaddr(&to, &name)) < 0) {
		perror("tinies");
		return 1;
	}
	for (size_t i = 0; i < n_clients; i++)
		clients[i].id = first + (uint32_t)i;
	start = now = clock_now();
	while (!mono_is_set(up) || mono_since(now, up) < atol(argv[6]) * SEC) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		look(now);
		poll(&p, 1, 5);
		now = clock_now();
		take(now);
		if (n_up < n_clients || mono_is_set(up))
			continue;
		up = now;
		printf("{\"tinies\": %zu, \"seconds\": %.3f}\n", n_clients,
		       (double)mono_since(up, start) / (double)SEC);
		fflush(stdout);
	}
	for (size_t i = 0; i < n_clients; i++)
		served += clients[i].pings > 0;
	printf("{\"pinged\": %zu}\n", served);
	return 0;
}
