/*
 * load's TCP: one stream after the other, each with another way to be written and to
 * end. See load.c.
 *
 *   large     writes of up to 256 KB, half-close, then the other end's digest
 *   tiny      writes of 1 to 100 bytes that leave at once, the same end
 *   sendfile  out of a file, the same end
 *   download  half-closed from the beginning; the other end writes, and its digest
 *             comes last
 *   reset     ends in the midst; what arrived must be a right beginning
 *
 * Streams are paced by the kernel, so that all together stay below what the machine can
 * carry, and end early when the time is over.
 */
#include "tests/net/load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <openssl/evp.h>

#define CHUNK (256 * 1024)
#define TIMEOUT 60 /* seconds that a stream may stand still */

enum form { LARGE, TINY, SENDFILE, FROM_THERE, CUT_OFF, FORMS };

static struct resets resets;
static pthread_mutex_t resets_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- a stream's digest -------------------------------------------------------- */

struct stream {
	EVP_MD_CTX *sha;
	struct tally tally;
	uint8_t *chunk;
};

static void stream_init(struct stream *s)
{
	*s = (struct stream){ .sha = EVP_MD_CTX_new(), .chunk = memory(NULL, CHUNK) };
	if (!s->sha || EVP_DigestInit_ex(s->sha, EVP_sha256(), NULL) != 1)
		die("SHA-256");
}

static void stream_add(struct stream *s, const void *data, size_t len)
{
	EVP_DigestUpdate(s->sha, data, len);
	s->tally.count++;
	s->tally.bytes += len;
}

static void stream_end(struct stream *s)
{
	EVP_DigestFinal_ex(s->sha, s->tally.digest, NULL);
}

static void stream_done(struct stream *s)
{
	EVP_MD_CTX_free(s->sha);
	free(s->chunk);
}

static bool is_same(const struct tally *a, const struct tally *b)
{
	return a->bytes == b->bytes && !memcmp(a->digest, b->digest, DIGEST);
}

static void set_up(int fd, uint64_t rate)
{
	struct timeval timeout = { .tv_sec = TIMEOUT };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (rate)
		setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

/* ---- both ways ------------------------------------------------------------------- */

/* Writes up to `length` bytes of the stream in pieces of up to `most`. */
static bool write_stream(int fd, struct stream *s, uint64_t seed, uint64_t length, size_t most,
			 double until)
{
	while (s->tally.bytes < length && now() < until) {
		uint64_t left = length - s->tally.bytes;
		size_t n = 1 + mix(~seed, s->tally.count) % most;

		if (n > left)
			n = left;
		fill(seed, s->tally.bytes, s->chunk, n);
		if (!send_all(fd, s->chunk, n))
			return false;
		stream_add(s, s->chunk, n);
	}
	return true;
}

/* Reads to the end; false if it is no good one. */
static bool read_stream(int fd, struct stream *s)
{
	ssize_t n;

	while ((n = recv(fd, s->chunk, CHUNK, 0)) > 0)
		stream_add(s, s->chunk, (size_t)n);
	return n == 0;
}

/* ---- server ------------------------------------------------------------------------ */

/* The beginning of the stream that this seed gives, as long as what was received. */
static bool is_beginning(struct stream *received, uint64_t seed)
{
	struct stream right;
	bool same;

	stream_init(&right);
	while (right.tally.bytes < received->tally.bytes) {
		uint64_t left = received->tally.bytes - right.tally.bytes;
		size_t n = left < CHUNK ? left : CHUNK;

		fill(seed, right.tally.bytes, right.chunk, n);
		stream_add(&right, right.chunk, n);
	}
	stream_end(&right);
	same = is_same(&right.tally, &received->tally);
	stream_done(&right);
	return same;
}

void tcp_serve(int fd, const struct hello *h)
{
	struct stream s;

	stream_init(&s);
	set_up(fd, h->rate);
	if (h->purpose == DOWNLOAD) {
		write_stream(fd, &s, h->seed, h->length, CHUNK, now() + TIMEOUT);
		stream_end(&s);
		send_all(fd, &s.tally, sizeof(s.tally));
	} else {
		bool ended = read_stream(fd, &s), reset = !ended && errno == ECONNRESET;

		stream_end(&s);
		if (ended) {
			send_all(fd, &s.tally, sizeof(s.tally));
		} else {
			pthread_mutex_lock(&resets_lock);
			resets.seen += reset;
			resets.corrupted += !is_beginning(&s, h->seed);
			pthread_mutex_unlock(&resets_lock);
		}
	}
	stream_done(&s);
	close(fd);
}

void tcp_resets(struct resets *ret)
{
	pthread_mutex_lock(&resets_lock);
	*ret = resets;
	pthread_mutex_unlock(&resets_lock);
}

/* ---- sender ------------------------------------------------------------------------ */

/* The same by sendfile. */
static bool send_file(int fd, struct stream *s, uint64_t seed, uint64_t length, double until)
{
	int file = memfd_create("load", MFD_CLOEXEC);
	bool good = file >= 0;
	off_t at = 0;

	for (uint64_t done = 0; good && done < length; done += CHUNK) {
		fill(seed, done, s->chunk, CHUNK);
		good = write(file, s->chunk, CHUNK) == CHUNK;
	}
	while (good && (uint64_t)at < length && now() < until)
		good = sendfile(fd, file, &at, length - (uint64_t)at) > 0;
	for (off_t done = 0; good && done < at; done += CHUNK) {
		size_t n = at - done < CHUNK ? (size_t)(at - done) : CHUNK;

		good = pread(file, s->chunk, n, done) == (ssize_t)n;
		stream_add(s, s->chunk, n);
	}
	close(file);
	return good;
}

static bool send_stream(int fd, struct stream *s, enum form form, uint64_t seed, uint64_t length,
			double until)
{
	int on = 1;

	if (form == SENDFILE)
		return send_file(fd, s, seed, length, until);
	if (form == TINY)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return write_stream(fd, s, seed, length, form == TINY ? 100 : CHUNK, until);
}

/* What arrives is the stream, and behind it its tally. */
static bool read_download(int fd, struct stream *s, uint64_t length, struct tally *ret)
{
	while (s->tally.bytes < length) {
		uint64_t left = length - s->tally.bytes;
		ssize_t n = recv(fd, s->chunk, left < CHUNK ? left : CHUNK, 0);

		if (n <= 0)
			return false;
		stream_add(s, s->chunk, (size_t)n);
	}
	return recv_all(fd, ret, sizeof(*ret));
}

static void cut_off(int fd)
{
	struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/* One stream. */
static bool one(struct tcp_sender *t, enum form form, uint64_t seed)
{
	const double rest = t->until - now();
	uint64_t most = (uint64_t)((double)t->rate * (rest < 4 ? rest : 4)) + 1;
	uint64_t length = form == TINY ? 1 + mix(seed, 0) % 20000 : 1 + mix(seed, 0) % most;
	struct hello hello = { .purpose = form == FROM_THERE ? DOWNLOAD
					  : form == CUT_OFF  ? RESET
							     : UPLOAD,
			       .seed = seed,
			       .length = length,
			       .rate = t->rate };
	int fd = dial(&t->to, &hello);
	struct tally theirs;
	struct stream s;
	bool good;

	if (fd < 0)
		return false;
	stream_init(&s);
	set_up(fd, t->rate);
	if (form == FROM_THERE) {
		shutdown(fd, SHUT_WR);
		good = read_download(fd, &s, length, &theirs);
	} else {
		good = send_stream(fd, &s, form, seed, length, t->until);
		if (form == CUT_OFF) {
			cut_off(fd);
		} else {
			shutdown(fd, SHUT_WR);
			good = good && recv_all(fd, &theirs, sizeof(theirs));
		}
	}
	stream_end(&s);
	t->bytes += s.tally.bytes;
	t->resets += form == CUT_OFF;
	if (good && form != CUT_OFF && !is_same(&s.tally, &theirs))
		t->corrupted++;
	stream_done(&s);
	close(fd);
	return good;
}

void tcp_send(struct tcp_sender *t)
{
	while (now() < t->until) {
		uint64_t n = t->streams++;

		if (!one(t, (enum form)((n + t->seed) % FORMS), mix(t->seed, n)))
			t->failed++;
	}
}
