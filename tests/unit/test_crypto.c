/* links: libcommon */
/*
 * MAC and AEADs against published vectors and against themselves, by each library:
 * every size, every bit, two threads at once. libcrypto's allocator is replaced, to show
 * that a frame costs no allocation and that a key survives the lack of one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"

#define DATA_MAX 9000

/* libcrypto's memory */

static atomic_long allocations;
static atomic_long fail_at; /* the allocation to refuse, counted down; 0: none */

static bool refuse(void)
{
	allocations++;
	return fail_at > 0 && --fail_at == 0;
}

static void *count_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return refuse() ? NULL : malloc(n);
}

static void *count_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return refuse() ? NULL : realloc(p, n);
}

static void count_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

/* Helpers */

static size_t unhex(const char *text, uint8_t *out)
{
	size_t n = 0;

	for (; text[0]; text += 2) {
		unsigned v;

		assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n++] = (uint8_t)v;
	}
	return n;
}

static uint32_t rnd(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 32);
}

static void fill(uint64_t *seed, uint8_t *p, size_t len)
{
	while (len--)
		*p++ = (uint8_t)rnd(seed);
}

/* A frame as it lies on the wire: the nonce is part of the head. */
struct frame {
	uint8_t head[FRAME_HEADER];
	uint8_t data[DATA_MAX];
	uint8_t mac[FRAME_MAC];
};

static struct crypto_job job_of(struct crypto_key *key, struct frame *f, uint32_t len)
{
	return (struct crypto_job){
		.key = key,
		.head = f->head,
		.head_len = FRAME_HEADER,
		.data = f->data,
		.len = len,
		.mac = f->mac,
		.nonce = f->head + 16,
	};
}

static bool seal(unsigned thread, struct crypto_key *key, struct frame *f, uint32_t len)
{
	struct crypto_job j = job_of(key, f, len);

	crypto_seal(thread, &j, 1);
	return j.ok;
}

static bool open_frame(unsigned thread, struct crypto_key *key, struct frame *f, uint32_t len)
{
	struct crypto_job j = job_of(key, f, len);

	crypto_open(thread, &j, 1);
	return j.ok;
}

/* By the library that the test is run for; it may not be there. */
static struct crypto *crypto_of(void **state, unsigned threads)
{
	const enum crypto_choice *choice = *state;
	struct crypto *c = crypto_new(threads, *choice);

	if (!c && *choice == CRYPTO_MB)
		skip();
	assert_non_null(c);
	return c;
}

static struct crypto_key *key_of(struct crypto *c, enum protection kind, uint8_t fill_with)
{
	uint8_t key[CRYPTO_KEY], salt[CRYPTO_SALT];
	struct crypto_key *k;

	memset(key, fill_with, sizeof(key));
	memset(salt, ~fill_with, sizeof(salt));
	k = crypto_key_new(c, kind, key, salt);
	assert_non_null(k);
	return k;
}

/* Published vectors */

/* RFC 4231. A key that is longer than a block is its own hash. */
static void hmac_one(struct crypto *c, const uint8_t *key, size_t key_len, const void *data,
		     size_t len, const char *want_hex)
{
	uint8_t k[CRYPTO_KEY] = { 0 }, want[FRAME_MAC], mac[FRAME_MAC], copy[200];
	const uint8_t no_salt[CRYPTO_SALT] = { 0 }, no_nonce[CRYPTO_NONCE] = { 0 };
	struct crypto_key *ck;

	if (key_len > 64)
		assert_true(EVP_Digest(key, key_len, k, NULL, EVP_sha256(), NULL));
	else
		memcpy(k, key, key_len);
	assert_int_equal(unhex(want_hex, want), FRAME_MAC);
	ck = crypto_key_new(c, PROTECT_HMAC, k, no_salt);
	assert_non_null(ck);
	memcpy(copy, data, len);
	for (uint32_t head = 0; head <= len; head++) {
		struct crypto_job j = {
			.key = ck,
			.head = copy,
			.head_len = head,
			.data = copy + head,
			.len = (uint32_t)len - head,
			.mac = mac,
			.nonce = no_nonce,
		};

		crypto_seal(0, &j, 1);
		assert_true(j.ok);
		assert_memory_equal(mac, want, FRAME_MAC);
		assert_memory_equal(copy, data, len);
		crypto_open(0, &j, 1);
		assert_true(j.ok);
	}
	crypto_key_free(ck);
}

static void hmac_vectors(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	static const char long_data[] =
		"This is a test using a larger than block-size key and a larger than "
		"block-size data. The key needs to be hashed before being used by the "
		"HMAC algorithm.";
	uint8_t key[131], data[50];

	memset(key, 0x0b, sizeof(key));
	hmac_one(c, key, 20, "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b");
	hmac_one(c, (const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28,
		 "5bdcc146bf60754e6a042426089575c7");
	memset(key, 0xaa, sizeof(key));
	memset(data, 0xdd, sizeof(data));
	hmac_one(c, key, 20, data, 50, "773ea91e36800e46854db8ebd09181a7");
	hmac_one(c, key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		 "60e431591ee0b67f0d8a26aacbf5b77f");
	hmac_one(c, key, 131, long_data, 152, "9b09ffa71b942fcb27635fbcd5b0e944");
	for (uint8_t i = 0; i < 25; i++)
		key[i] = i + 1;
	memset(data, 0xcd, sizeof(data));
	hmac_one(c, key, 25, data, 50, "82558a389a443c0ea4cc819899f2083a");
	memset(key, 0x0c, sizeof(key));
	hmac_one(c, key, 20, "Test With Truncation", 20, "a3b6167473100ee06e0c796c2955552b");
	crypto_free(c);
}

static void aead_one(struct crypto *c, enum protection kind, const char *key_hex,
		     const char *iv_hex, const char *aad_hex, const char *plain_hex,
		     const char *cipher_hex, const char *tag_hex)
{
	uint8_t key[CRYPTO_KEY], iv[CRYPTO_SALT + CRYPTO_NONCE], aad[64], plain[256], cipher[256];
	uint8_t tag[FRAME_MAC], data[256], mac[FRAME_MAC];
	struct crypto_job j = {
		.head = aad,
		.data = data,
		.mac = mac,
		.nonce = iv + CRYPTO_SALT,
	};

	assert_int_equal(unhex(key_hex, key), sizeof(key));
	assert_int_equal(unhex(iv_hex, iv), sizeof(iv));
	assert_int_equal(unhex(tag_hex, tag), sizeof(tag));
	j.head_len = (uint32_t)unhex(aad_hex, aad);
	j.len = (uint32_t)unhex(plain_hex, plain);
	assert_int_equal(unhex(cipher_hex, cipher), j.len);
	j.key = crypto_key_new(c, kind, key, iv);
	assert_non_null(j.key);
	memcpy(data, plain, j.len);
	/* Twice: nothing of the first frame may stay in the context. */
	for (int i = 0; i < 2; i++) {
		crypto_seal(0, &j, 1);
		assert_true(j.ok);
		assert_memory_equal(data, cipher, j.len);
		assert_memory_equal(mac, tag, sizeof(tag));
		crypto_open(0, &j, 1);
		assert_true(j.ok);
		assert_memory_equal(data, plain, j.len);
	}
	crypto_key_free(j.key);
}

/* Test cases 13, 14 and 16 of the GCM specification submitted to NIST. */
static void gcm_vectors(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	static const char zero[] =
		"0000000000000000000000000000000000000000000000000000000000000000";

	aead_one(c, PROTECT_AES_256_GCM, zero, "000000000000000000000000", "", "", "",
		 "530f8afbc74536b9a963b4f1c4cb738b");
	aead_one(c, PROTECT_AES_256_GCM, zero, "000000000000000000000000", "",
		 "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
		 "d0d1c8a799996bf0265b98b5d48ab919");
	aead_one(c, PROTECT_AES_256_GCM,
		 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		 "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		 "76fc6ece0f4e1768cddf8853bb2d551b");
	crypto_free(c);
}

/* RFC 8439, section 2.8.2. */
static void chacha_vector(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	aead_one(c, PROTECT_CHACHA20_POLY1305,
		 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		 "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
		 "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
		 "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
		 "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
		 "637265656e20776f756c642062652069742e",
		 "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
		 "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
		 "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
		 "3ff4def08e4b7a9de576d26586cec64b6116",
		 "1ae10b594f09e26a7e902ecbd0600691");
	crypto_free(c);
}

/* Against themselves */

static void round_trips(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	static struct frame f, was;
	uint64_t seed = 4711;

	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		struct crypto_key *k = key_of(c, (enum protection)p, 5);

		for (int i = 0; i < 600; i++) {
			uint32_t len = i < 130 ? (uint32_t)i : rnd(&seed) % (DATA_MAX + 1);

			fill(&seed, f.head, sizeof(f.head));
			fill(&seed, f.data, len);
			memcpy(was.head, f.head, sizeof(f.head));
			memcpy(was.data, f.data, len);
			assert_true(seal(0, k, &f, len));
			assert_memory_equal(f.head, was.head, sizeof(f.head));
			if (p == PROTECT_HMAC)
				assert_memory_equal(f.data, was.data, len);
			else if (len >= 16)
				assert_memory_not_equal(f.data, was.data, len);
			assert_true(open_frame(0, k, &f, len));
			assert_memory_equal(f.data, was.data, len);
		}
		crypto_key_free(k);
	}
	crypto_free(c);
}

/* Jobs of all algorithms mixed, one of them bad: the others don't suffer. */
static void mixed_batch(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	enum { N = 64, LEN = 333 };
	static struct frame f[N];
	struct crypto_key *k[PROTECTIONS] = { NULL };
	struct crypto_job jobs[N];
	uint64_t seed = 99;

	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		k[p] = key_of(c, (enum protection)p, (uint8_t)p);
	for (int i = 0; i < N; i++) {
		fill(&seed, f[i].head, sizeof(f[i].head));
		memset(f[i].data, i, LEN);
		jobs[i] = job_of(k[1 + i % (PROTECTIONS - 1)], &f[i], LEN);
	}
	crypto_seal(0, jobs, N);
	f[20].mac[3] ^= 1;
	f[21].data[LEN - 1] ^= 1;
	f[22].head[0] ^= 1;
	crypto_open(0, jobs, N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(jobs[i].ok, i < 20 || i > 22);
		for (int b = 0; jobs[i].ok && b < LEN; b++)
			assert_true(f[i].data[b] == i);
	}
	crypto_seal(0, jobs, 0);
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		crypto_key_free(k[p]);
	crypto_free(c);
}

static void any_bit(struct crypto *c, enum protection kind, uint32_t len)
{
	struct crypto_key *k = key_of(c, kind, 1);
	static struct frame sealed, f;
	uint64_t seed = 12;

	fill(&seed, sealed.head, sizeof(sealed.head));
	fill(&seed, sealed.data, len);
	assert_true(seal(0, k, &sealed, len));
	for (unsigned bit = 0; bit < 8 * FRAME_HEADER; bit++) {
		f = sealed;
		f.head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(open_frame(0, k, &f, len));
	}
	for (unsigned bit = 0; bit < 8 * len; bit++) {
		f = sealed;
		f.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(open_frame(0, k, &f, len));
	}
	for (unsigned bit = 0; bit < 8 * FRAME_MAC; bit++) {
		f = sealed;
		f.mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(open_frame(0, k, &f, len));
	}
	/* The context is none the worse for it. */
	f = sealed;
	assert_true(open_frame(0, k, &f, len));
	if (len) {
		f = sealed;
		assert_false(open_frame(0, k, &f, len - 1));
	}
	f = sealed;
	assert_false(open_frame(0, k, &f, len + 1));
	crypto_key_free(k);
}

static void any_bit_matters(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		any_bit(c, (enum protection)p, 0);
		any_bit(c, (enum protection)p, 1);
		any_bit(c, (enum protection)p, 100);
	}
	crypto_free(c);
}

/* A nonce, salt or key that is not the sealer's, apart from the head. */
static void nonce_and_salt_matter(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	for (int p = PROTECT_AES_256_GCM; p < PROTECTIONS; p++) {
		uint8_t key[CRYPTO_KEY] = { 1 }, salt[CRYPTO_SALT] = { 2 },
			nonce[CRYPTO_NONCE] = { 3 };
		struct crypto_key *k = crypto_key_new(c, (enum protection)p, key, salt);
		struct crypto_key *salted, *keyed;
		static struct frame sealed, f;
		struct crypto_job j;

		salt[3] ^= 1;
		salted = crypto_key_new(c, (enum protection)p, key, salt);
		salt[3] ^= 1;
		key[31] ^= 1;
		keyed = crypto_key_new(c, (enum protection)p, key, salt);
		j = job_of(k, &sealed, 50);
		j.nonce = nonce;
		crypto_seal(0, &j, 1);
		assert_true(j.ok);
		for (unsigned bit = 0; bit <= 8 * CRYPTO_NONCE; bit++) {
			uint8_t flipped[CRYPTO_NONCE];

			memcpy(flipped, nonce, sizeof(nonce));
			if (bit < 8 * CRYPTO_NONCE)
				flipped[bit / 8] ^= (uint8_t)(1u << bit % 8);
			f = sealed;
			j = job_of(k, &f, 50);
			j.nonce = flipped;
			crypto_open(0, &j, 1);
			assert_int_equal(j.ok, bit == 8 * CRYPTO_NONCE);
		}
		f = sealed;
		j = job_of(salted, &f, 50);
		j.nonce = nonce;
		crypto_open(0, &j, 1);
		assert_false(j.ok);
		f = sealed;
		j = job_of(keyed, &f, 50);
		j.nonce = nonce;
		crypto_open(0, &j, 1);
		assert_false(j.ok);
		crypto_key_free(k);
		crypto_key_free(salted);
		crypto_key_free(keyed);
	}
	crypto_free(c);
}

struct party {
	struct crypto_key **key;
	unsigned number;
	unsigned bad;
};

static void *seal_and_open(void *arg)
{
	struct party *me = arg;
	struct frame f;
	uint64_t seed = me->number;

	for (int i = 0; i < 3000; i++) {
		struct crypto_key *k = me->key[1 + i % (PROTECTIONS - 1)];
		uint32_t len = rnd(&seed) % 1500;

		fill(&seed, f.head, sizeof(f.head));
		memset(f.data, i, len);
		if (!seal(me->number, k, &f, len))
			me->bad++;
		if (!open_frame(me->number, k, &f, len))
			me->bad++;
		for (uint32_t b = 0; b < len; b++)
			me->bad += f.data[b] != (uint8_t)i;
	}
	return NULL;
}

static void two_threads(void **state)
{
	struct crypto *c = crypto_of(state, 2);
	struct crypto_key *k[PROTECTIONS];
	struct party party[2];
	pthread_t thread[2];

	k[0] = NULL;
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		k[p] = key_of(c, (enum protection)p, 9);
	for (unsigned i = 0; i < 2; i++) {
		party[i] = (struct party){ .key = k, .number = i };
		assert_int_equal(pthread_create(&thread[i], NULL, seal_and_open, &party[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(party[i].bad, 0);
	}
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		crypto_key_free(k[p]);
	crypto_free(c);
}

/* Threads join while two others work: with the same keys, and to the same end. */
static void threads_are_added(void **state)
{
	struct crypto *c = crypto_of(state, 2);
	struct crypto_key *k[PROTECTIONS], *late;
	struct party party[2];
	pthread_t thread[2];
	static struct frame f;

	k[0] = NULL;
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		k[p] = key_of(c, (enum protection)p, 9);
	for (unsigned i = 0; i < 2; i++) {
		party[i] = (struct party){ .key = k, .number = i };
		assert_int_equal(pthread_create(&thread[i], NULL, seal_and_open, &party[i]), 0);
	}
	for (unsigned n = 1; n <= CRYPTO_THREADS; n += 4) {
		assert_true(crypto_grow(c, n));
		for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
			assert_true(crypto_key_grow(k[p]));
			memset(&f, p, sizeof(f));
			if (n <= 2)
				continue;
			assert_true(seal(n - 1, k[p], &f, 100));
			assert_false(open_frame(n, k[p], &f, 100));
			assert_true(open_frame(n - 2, k[p], &f, 100));
			assert_int_equal(f.data[99], p);
		}
	}
	assert_false(crypto_grow(c, CRYPTO_THREADS + 1));
	assert_true(crypto_grow(c, 3)); /* fewer: nothing to do */
	late = key_of(c, PROTECT_AES_256_GCM, 9);
	assert_true(seal(CRYPTO_THREADS - 1, late, &f, 100));
	assert_true(open_frame(CRYPTO_THREADS - 2, k[PROTECT_AES_256_GCM], &f, 100));
	crypto_key_free(late);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(party[i].bad, 0);
	}
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++)
		crypto_key_free(k[p]);
	crypto_free(c);
}

static void keys_refused(void **state)
{
	struct crypto *c = crypto_of(state, 2);
	uint8_t key[CRYPTO_KEY] = { 0 }, salt[CRYPTO_SALT] = { 0 };
	static struct frame f;

	assert_null(crypto_key_new(c, PROTECT_NONE, key, salt));
	assert_null(crypto_key_new(c, PROTECTIONS, key, salt));
	crypto_key_free(NULL);
	crypto_free(NULL);
	assert_null(crypto_new(0, CRYPTO_FASTEST));
	assert_null(crypto_new(CRYPTO_THREADS + 1, CRYPTO_FASTEST));
	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		struct crypto_key *k = key_of(c, (enum protection)p, 1);

		assert_true(seal(1, k, &f, 10));
		assert_false(seal(2, k, &f, 10));
		assert_false(open_frame(2, k, &f, 10));
		crypto_key_free(k);
	}
	crypto_free(c);
}

/* Memory */

static void frames_allocate_nothing(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	static struct frame f;

	for (int p = PROTECT_HMAC; p < PROTECTIONS; p++) {
		struct crypto_key *k = key_of(c, (enum protection)p, 1);
		long before;

		assert_true(seal(0, k, &f, 100));
		assert_true(open_frame(0, k, &f, 100));
		before = allocations;
		for (int i = 0; i < 100; i++) {
			assert_true(seal(0, k, &f, 1400));
			assert_true(open_frame(0, k, &f, 1400));
			assert_false(open_frame(0, k, &f, 1400 - p));
		}
		assert_int_equal(allocations, before);
		crypto_key_free(k);
	}
	crypto_free(c);
}

static void keys_survive_want_of_memory(void **state)
{
	struct crypto *c = crypto_of(state, 2);
	uint8_t key[CRYPTO_KEY] = { 1 }, salt[CRYPTO_SALT] = { 2 };

	for (int p = PROTECT_AES_256_GCM; p < PROTECTIONS; p++) {
		int refused = 0;

		for (long nth = 1;; nth++) {
			struct crypto_key *k;

			fail_at = nth;
			k = crypto_key_new(c, (enum protection)p, key, salt);
			if (fail_at > 0) {
				assert_non_null(k);
				crypto_key_free(k);
				break;
			}
			if (k) { /* the library managed without */
				static struct frame f;

				assert_true(seal(1, k, &f, 10));
				assert_true(open_frame(0, k, &f, 10));
			}
			refused += !k;
			crypto_key_free(k);
		}
		fail_at = 0;
		assert_true(refused > 0);
	}
	crypto_free(c);
}

/* What fails leaves the key as good as it was for those that had it. */
static void growth_survives_want_of_memory(void **state)
{
	static struct frame f;
	bool reached = true;
	int refused = 0;

	for (long nth = 1; reached; nth++) {
		struct crypto *c = crypto_of(state, 1);
		struct crypto_key *k = key_of(c, PROTECT_AES_256_GCM, 3);
		bool done;

		assert_true(crypto_grow(c, 9));
		fail_at = nth;
		done = crypto_key_grow(k);
		reached = fail_at == 0;
		fail_at = 0;
		refused += !done;
		assert_true(seal(0, k, &f, 10));
		assert_int_equal(open_frame(8, k, &f, 10), done);
		assert_true(crypto_key_grow(k));
		assert_true(seal(8, k, &f, 10));
		crypto_key_free(k);
		crypto_free(c);
	}
	assert_true(refused > 0);
}

/* Small things */

/* Against the frame MAC, and against a value computed by another implementation. */
static void derive(void **state)
{
	struct crypto *c = crypto_of(state, 1);
	uint8_t secret[CRYPTO_KEY] = { 0 }, a[CRYPTO_KEY], b[CRYPTO_KEY], want[CRYPTO_KEY];
	const uint8_t no_salt[CRYPTO_SALT] = { 0 };
	uint8_t mac[FRAME_MAC], context[3] = { 7, 8, 9 };
	struct crypto_job j = {
		.head = (const uint8_t *)"label",
		.head_len = 6,
		.data = context,
		.len = sizeof(context),
		.mac = mac,
		.nonce = no_salt,
	};

	memcpy(secret, "secret", 6);
	j.key = crypto_key_new(c, PROTECT_HMAC, secret, no_salt);
	assert_non_null(j.key);
	crypto_seal(0, &j, 1);
	crypto_key_free(j.key);
	assert_true(crypto_derive(secret, "label", context, sizeof(context), a));
	assert_memory_equal(a, mac, FRAME_MAC);
	/* The label's end is marked: what it and the context share can't move. */
	assert_true(crypto_derive(secret, "labe", "l\0\7\10\11", 5, b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(crypto_derive(secret, "label", NULL, 0, b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(unhex("25aeca71f563f300b8662aee9cae0503"
			       "1b5370896229e9e847065da0a823eae0",
			       want),
			 sizeof(want));
	assert_memory_equal(b, want, sizeof(want));
	crypto_free(c);
}

static void key_text(void **state)
{
	static const char *const bad[] = {
		"",
		"=",
		"AAAA",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",	 /* no padding */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",	 /* spare bits set */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==", /* too much */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r\n",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= ",
		" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",
		"AAECAwQFBgcICQoLDA0O-xAREhMUFRYXGBkaGxwdHh8=", /* base64url */
		"AAECAwQFBgcICQoLDA0ODxAR\nhMUFRYXGBkaGxwdHh8=",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJA==",
	};
	static const char good[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
	uint8_t key[CRYPTO_KEY], want[CRYPTO_KEY], before[CRYPTO_KEY];
	char text[CRYPTO_KEY_TEXT], line[CRYPTO_KEY_TEXT + 1];
	uint64_t seed = 3;

	(void)state;
	for (uint8_t i = 0; i < CRYPTO_KEY; i++)
		want[i] = i;
	assert_true(crypto_key_parse(good, key));
	assert_memory_equal(key, want, sizeof(key));
	memset(key, 0xee, sizeof(key));
	memcpy(before, key, sizeof(key));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(crypto_key_parse(bad[i], key));
		assert_memory_equal(key, before, sizeof(key));
	}
	for (int i = 0; i < 1000; i++) {
		fill(&seed, want, sizeof(want));
		assert_ptr_equal(crypto_key_format(want, text), text);
		assert_int_equal(strlen(text), CRYPTO_KEY_TEXT - 1);
		snprintf(line, sizeof(line), "%s\n", text);
		assert_true(crypto_key_parse(line, key));
		assert_memory_equal(key, want, sizeof(key));
	}
}

static void randomness_equality_wiping(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	assert_true(crypto_random(a, sizeof(a)));
	assert_true(crypto_random(b, sizeof(b)));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_false(crypto_equal(a, b, sizeof(a)));
	assert_true(crypto_equal(a, b, 0));
	memcpy(b, a, sizeof(a));
	assert_true(crypto_equal(a, b, sizeof(a)));
	b[63] ^= 0x80;
	assert_false(crypto_equal(a, b, sizeof(a)));
	assert_true(crypto_equal(a, b, 63));
	memset(b, 0, sizeof(b));
	crypto_wipe(a, sizeof(a));
	assert_memory_equal(a, b, sizeof(a));
}

#define BY(test, library, choice) \
	{ \
#test "_" #library, test, NULL, NULL, &(enum crypto_choice) \
		{ \
			choice \
		} \
	}
#define BOTH(test) BY(test, openssl, CRYPTO_OPENSSL), BY(test, mb, CRYPTO_MB)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(hmac_vectors),
		BOTH(gcm_vectors),
		BOTH(chacha_vector),
		BOTH(round_trips),
		BOTH(mixed_batch),
		BOTH(any_bit_matters),
		BOTH(nonce_and_salt_matter),
		BOTH(two_threads),
		BOTH(threads_are_added),
		BOTH(keys_refused),
		BOTH(frames_allocate_nothing),
		BY(keys_survive_want_of_memory, openssl, CRYPTO_OPENSSL),
		BY(growth_survives_want_of_memory, openssl, CRYPTO_OPENSSL),
		BY(derive, openssl, CRYPTO_OPENSSL),
		cmocka_unit_test(key_text),
		cmocka_unit_test(randomness_equality_wiping),
	};

	/* Before the library's first allocation, or it refuses. */
	if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
