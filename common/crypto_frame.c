/*
 * Keys and batches of frames: which library runs what.
 *
 * Each algorithm of a struct crypto belongs to one library's table of operations,
 * chosen once; a key stays with the one that it was made for. A batch is sorted by
 * library, and each gets its share in one call. Nothing is allocated per frame.
 *
 * On a failed open the data may have been run through the cipher and means nothing.
 * Nonces are the caller's: nothing here keeps one from being used twice.
 */
#include <stdlib.h>
#include <string.h>

#include "common/crypto_private.h"

struct crypto *crypto_new(unsigned threads, enum crypto_choice choice)
{
	struct crypto *c = NULL;

	if (threads && threads <= CRYPTO_THREADS)
		c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	atomic_init(&c->users, 1);
	c->threads = threads;
	if (choice != CRYPTO_OPENSSL)
		c->mb = crypto_mb_new(threads);
	if (choice == CRYPTO_MB && !c->mb) {
		free(c);
		return NULL;
	}
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		enum protection kind = (enum protection)p;
		bool mb = c->mb && crypto_mb_has(c->mb, kind) &&
			  (choice == CRYPTO_MB || crypto_mb_is_faster(c->mb, kind));

		c->ops[p] = mb ? &crypto_mb : &crypto_openssl;
	}
	return c;
}

void crypto_free(struct crypto *c)
{
	if (!c || atomic_fetch_sub(&c->users, 1) > 1)
		return;
	crypto_mb_free(c->mb);
	free(c);
}

const char *crypto_library(const struct crypto *c, enum protection kind)
{
	return c->ops[kind]->library;
}

bool crypto_grow(struct crypto *c, unsigned threads)
{
	if (threads <= c->threads)
		return true;
	if (threads > CRYPTO_THREADS || (c->mb && !crypto_mb_grow(c->mb, threads)))
		return false;
	c->threads = threads;
	return true;
}

struct crypto_key *crypto_key_new(struct crypto *c, enum protection kind,
				  const uint8_t key[static CRYPTO_KEY],
				  const uint8_t salt[static CRYPTO_SALT])
{
	struct crypto_key *k;
	size_t ciphers;

	if (kind <= PROTECT_NONE || kind >= PROTECTIONS)
		return NULL;
	ciphers = kind != PROTECT_HMAC && c->ops[kind] == &crypto_openssl ? CRYPTO_THREADS : 0;
	k = calloc(1, sizeof(*k) + ciphers * sizeof(k->cipher[0]));
	if (!k)
		return NULL;
	atomic_fetch_add(&c->users, 1);
	k->crypto = c;
	k->ops = c->ops[kind];
	k->kind = kind;
	memcpy(k->salt, salt, CRYPTO_SALT);
	if (!k->ops->key_init(k, key) || !crypto_key_grow(k)) {
		crypto_key_free(k);
		return NULL;
	}
	return k;
}

bool crypto_key_grow(struct crypto_key *k)
{
	unsigned threads = k->crypto->threads;

	if (k->kind != PROTECT_HMAC && !k->ops->key_grow(k, threads))
		return false;
	atomic_store_explicit(&k->threads, threads, memory_order_relaxed);
	return true;
}

void crypto_key_free(struct crypto_key *k)
{
	struct crypto *c;

	if (!k)
		return;
	c = k->crypto;
	k->ops->key_done(k);
	crypto_wipe(k, sizeof(*k));
	free(k);
	crypto_free(c);
}

/* The jobs that a thread of this number may run, by library. */
struct sorted {
	struct crypto_job *openssl[CRYPTO_CHUNK], *mb[CRYPTO_CHUNK];
	size_t n_openssl, n_mb;
};

/* Takes the first jobs, as many as fit, and returns how many. */
static size_t sort(struct sorted *s, unsigned thread, struct crypto_job *jobs, size_t n)
{
	if (n > CRYPTO_CHUNK)
		n = CRYPTO_CHUNK;
	s->n_openssl = s->n_mb = 0;
	for (size_t i = 0; i < n; i++) {
		const struct crypto_key *k = jobs[i].key;

		jobs[i].ok = false;
		if (thread >= atomic_load_explicit(&k->threads, memory_order_relaxed))
			continue;
		if (k->ops == &crypto_mb)
			s->mb[s->n_mb++] = &jobs[i];
		else
			s->openssl[s->n_openssl++] = &jobs[i];
	}
	return n;
}

void crypto_seal(unsigned thread, struct crypto_job *jobs, size_t n)
{
	struct sorted s;

	for (size_t done = 0; done < n;) {
		done += sort(&s, thread, jobs + done, n - done);
		if (s.n_mb)
			crypto_mb.seal(thread, s.mb, s.n_mb);
		if (s.n_openssl)
			crypto_openssl.seal(thread, s.openssl, s.n_openssl);
	}
}

void crypto_open(unsigned thread, struct crypto_job *jobs, size_t n)
{
	struct sorted s;

	for (size_t done = 0; done < n;) {
		done += sort(&s, thread, jobs + done, n - done);
		if (s.n_mb)
			crypto_mb.open(thread, s.mb, s.n_mb);
		if (s.n_openssl)
			crypto_openssl.open(thread, s.openssl, s.n_openssl);
	}
}
