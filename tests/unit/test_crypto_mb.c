/* links: libcommon */
/*
 * The two libraries against each other: the same bytes out, the same frames refused,
 * whatever is mixed in a batch; and nothing read or written beyond a frame.
 *
 * With CRYPTO_TIMES set, what each takes per frame is printed instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/crypto.h"

#define DATA_MAX 9000
#define KINDS (PROTECTIONS - 1)
#define JOBS_MAX 64

/* Of what it has, libipsec-mb may be built in without a part: test_tiny_crypto.c. */
#ifndef MB_LACKS
#define MB_LACKS(kind) ((kind) == PROTECTIONS)
#endif
static bool mb_lacks(enum protection kind)
{
	return MB_LACKS(kind);
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

/* Both libraries with the same keys, several of each algorithm. */
#define KEYS 3
enum { OPENSSL, MB, LIBRARIES };
struct pair {
	struct crypto *crypto[LIBRARIES];
	struct crypto_key *key[LIBRARIES][PROTECTIONS][KEYS];
};

static void pair_init(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	p->crypto[OPENSSL] = crypto_new(1, CRYPTO_OPENSSL);
	p->crypto[MB] = crypto_new(1, CRYPTO_MB);
	assert_non_null(p->crypto[OPENSSL]);
	if (!p->crypto[MB]) {
		crypto_free(p->crypto[OPENSSL]);
		skip();
	}
	for (int l = 0; l < LIBRARIES; l++)
		for (int kind = PROTECT_HMAC; kind < PROTECTIONS; kind++)
			for (int k = 0; k < KEYS; k++) {
				uint8_t key[CRYPTO_KEY], salt[CRYPTO_SALT];
				uint64_t seed = (uint64_t)(kind * KEYS + k);

				fill(&seed, key, sizeof(key));
				fill(&seed, salt, sizeof(salt));
				p->key[l][kind][k] = crypto_key_new(
					p->crypto[l], (enum protection)kind, key, salt);
				assert_non_null(p->key[l][kind][k]);
			}
}

static void pair_done(struct pair *p)
{
	for (int l = 0; l < LIBRARIES; l++) {
		crypto_free(p->crypto[l]); /* before its keys */
		for (int kind = 0; kind < PROTECTIONS; kind++)
			for (int k = 0; k < KEYS; k++)
				crypto_key_free(p->key[l][kind][k]);
	}
}

/* Room between head and data: sometimes used, to take them apart. */
struct frame {
	uint8_t head[FRAME_HEADER], rest[DATA_MAX + 2 * FRAME_MAC];
};

struct many {
	struct frame frame[JOBS_MAX];
	struct crypto_job job[JOBS_MAX];
};

/* The same jobs for either library, in memory of its own. */
static void random_jobs(const struct pair *p, struct many *many, int n, uint32_t max,
			uint64_t *seed)
{
	for (int i = 0; i < n; i++) {
		int kind = 1 + (int)(rnd(seed) % KINDS), k = (int)(rnd(seed) % KEYS);
		uint32_t len = rnd(seed) % (max + 1), gap = rnd(seed) % 8 ? 0 : rnd(seed) % 16;

		fill(seed, (uint8_t *)&many[0].frame[i], FRAME_HEADER + gap + len);
		memset(many[0].frame[i].rest + gap + len, 0x55, FRAME_MAC);
		many[1].frame[i] = many[0].frame[i];
		for (int l = 0; l < LIBRARIES; l++) {
			struct frame *f = &many[l].frame[i];

			many[l].job[i] = (struct crypto_job){
				.key = p->key[l][kind][k],
				.head = f->head,
				.head_len = FRAME_HEADER,
				.data = f->rest + gap,
				.len = len,
				.mac = f->rest + gap + len,
				.nonce = f->head + 16,
			};
		}
	}
}

static void assert_same(const struct many *many, int n)
{
	for (int i = 0; i < n; i++) {
		assert_int_equal(many[0].job[i].ok, many[1].job[i].ok);
		if (many[0].job[i].ok)
			assert_memory_equal(&many[0].frame[i], &many[1].frame[i],
					    sizeof(many[0].frame[i]));
	}
}

static void turn_bit(struct crypto_job *j, uint32_t bit)
{
	uint8_t *head = j->data - FRAME_HEADER; /* if there is no gap */

	if (bit / 8 < FRAME_HEADER && j->head == head)
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
	else if (bit / 8 < FRAME_HEADER || bit / 8 - FRAME_HEADER >= j->len)
		j->mac[bit / 8 % FRAME_MAC] ^= (uint8_t)(1u << bit % 8);
	else
		j->data[bit / 8 - FRAME_HEADER] ^= (uint8_t)(1u << bit % 8);
}

/* Sealed by both, then what either has sealed opened by the other, some of it altered. */
static void one_batch(const struct pair *p, struct many *many, int n, uint32_t max, uint64_t *seed)
{
	bool bad[JOBS_MAX];

	random_jobs(p, many, n, max, seed);
	crypto_seal(0, many[0].job, (size_t)n);
	crypto_seal(0, many[1].job, (size_t)n);
	assert_same(many, n);
	for (int i = 0; i < n; i++) {
		uint32_t bit = rnd(seed) % (8 * (FRAME_OVERHEAD + many[0].job[i].len));
		struct crypto_key *key = many[0].job[i].key;

		assert_true(many[0].job[i].ok);
		bad[i] = rnd(seed) % 4 == 0;
		for (int l = 0; l < LIBRARIES && bad[i]; l++)
			turn_bit(&many[l].job[i], bit);
		many[0].job[i].key = many[1].job[i].key;
		many[1].job[i].key = key;
	}
	crypto_open(0, many[0].job, (size_t)n);
	crypto_open(0, many[1].job, (size_t)n);
	assert_same(many, n);
	for (int i = 0; i < n; i++)
		assert_int_equal(many[0].job[i].ok, !bad[i]);
}

static void same_bytes(void **state)
{
	struct many *many = calloc(LIBRARIES, sizeof(*many));
	struct pair p;
	uint64_t seed = 20260;

	(void)state;
	assert_non_null(many);
	pair_init(&p);
	for (int i = 0; i < 400; i++)
		one_batch(&p, many, 1 + (int)(rnd(&seed) % JOBS_MAX), i % 2 ? DATA_MAX : 200,
			  &seed);
	for (int n = 1; n <= JOBS_MAX; n++)
		one_batch(&p, many, n, 1500, &seed);
	pair_done(&p);
	free(many);
}

/* All of one algorithm and size: vectors are full, or full but for some. */
static void even_batches(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 8, 39, 40, 41, 104, 1456, 8900 };
	struct many *many = calloc(LIBRARIES, sizeof(*many));
	struct pair p;
	uint64_t seed = 5;

	(void)state;
	assert_non_null(many);
	pair_init(&p);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
		for (int kind = PROTECT_HMAC; kind < PROTECTIONS; kind++)
			for (int n = 1; n <= JOBS_MAX; n += 1 + n / 20) {
				random_jobs(&p, many, n, 0, &seed);
				for (int i = 0; i < n; i++)
					for (int l = 0; l < LIBRARIES; l++) {
						struct crypto_job *j = &many[l].job[i];

						j->key = p.key[l][kind][i % KEYS];
						j->data = many[l].frame[i].rest;
						j->len = sizes[s];
						j->mac = j->data + j->len;
						memset(j->mac, 0, FRAME_MAC);
					}
				crypto_seal(0, many[0].job, (size_t)n);
				crypto_seal(0, many[1].job, (size_t)n);
				assert_same(many, n);
				many[1].job[n / 2].mac[15] ^= 0x80;
				crypto_open(0, many[1].job, (size_t)n);
				for (int i = 0; i < n; i++)
					assert_int_equal(many[1].job[i].ok, i != n / 2);
			}
	pair_done(&p);
	free(many);
}

/* More jobs than a library gets at once, and the longest frames. */
static void long_batches_and_frames(void **state)
{
	enum { N = 150, LEN = 70 };
	static uint8_t frame[LIBRARIES][N][FRAME_OVERHEAD + LEN];
	static uint8_t large[LIBRARIES][FRAME_HEADER + FRAME_MAX + FRAME_MAC];
	struct crypto_job jobs[LIBRARIES][N];
	struct pair p;

	(void)state;
	pair_init(&p);
	for (int l = 0; l < LIBRARIES; l++) {
		for (int i = 0; i < N; i++) {
			uint8_t *f = frame[l][i];

			memset(f, i, sizeof(frame[l][i]));
			jobs[l][i] = (struct crypto_job){ .key = p.key[l][1 + i % KINDS][i % KEYS],
							  .head = f,
							  .head_len = FRAME_HEADER,
							  .data = f + FRAME_HEADER,
							  .len = LEN,
							  .mac = f + FRAME_HEADER + LEN,
							  .nonce = f + 16 };
		}
		crypto_seal(0, jobs[l], N);
		for (int i = 0; i < N; i++)
			assert_true(jobs[l][i].ok);
	}
	assert_memory_equal(frame[0], frame[1], sizeof(frame[0]));
	crypto_open(0, jobs[MB], N);
	for (int i = 0; i < N; i++)
		assert_true(jobs[MB][i].ok);

	for (int kind = PROTECT_HMAC; kind < PROTECTIONS; kind++)
		for (uint32_t len = FRAME_MAX - 30; len <= FRAME_MAX; len++) {
			for (int l = 0; l < LIBRARIES; l++) {
				struct crypto_job j = { .key = p.key[l][kind][0],
							.head = large[l],
							.head_len = FRAME_HEADER,
							.data = large[l] + FRAME_HEADER,
							.len = len,
							.mac = large[l] + FRAME_HEADER + len,
							.nonce = large[l] + 16 };

				crypto_seal(0, &j, 1);
				assert_true(j.ok);
			}
			assert_memory_equal(large[0], large[1], sizeof(large[0]));
		}
	pair_done(&p);
}

/* One page of memory with none before it and none behind. */
static uint8_t *island_new(size_t page)
{
	uint8_t *p = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + page, page, PROT_READ | PROT_WRITE), 0);
	return p + page;
}

static void nothing_beyond_a_frame(void **state)
{
	enum { N = 20, SIZE_MAX_TRIED = 1600 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *frame[N], *mac[N];
	struct pair p;

	(void)state;
	pair_init(&p);
	for (int i = 0; i < N; i++) {
		frame[i] = island_new(page);
		mac[i] = island_new(page);
	}
	for (int kind = PROTECT_HMAC; kind < PROTECTIONS; kind++)
		for (uint32_t len = 0; len < SIZE_MAX_TRIED; len += len < 300 ? 1 : 37)
			for (int way = 0; way < 4; way++) {
				bool at_end = way & 1;
				size_t n = way & 2 ? N : 1;
				struct crypto_job jobs[N];

				for (size_t i = 0; i < n; i++) {
					uint32_t at =
						at_end ? (uint32_t)page - len - FRAME_HEADER : 0;
					uint8_t *head = frame[i] + at;

					jobs[i] = (struct crypto_job){
						.key = p.key[MB][kind][0],
						.head = head,
						.head_len = FRAME_HEADER,
						.data = head + FRAME_HEADER,
						.len = len,
						.mac = mac[i] + (at_end ? page - FRAME_MAC : 0),
						.nonce = head + 16
					};
				}
				crypto_seal(0, jobs, n);
				crypto_open(0, jobs, n);
				for (size_t i = 0; i < n; i++)
					assert_true(jobs[i].ok);
			}
	for (int i = 0; i < N; i++) {
		munmap(frame[i] - page, 3 * page);
		munmap(mac[i] - page, 3 * page);
	}
	pair_done(&p);
}

static void libraries_by_name(void **state)
{
	static const enum crypto_choice choices[] = { CRYPTO_OPENSSL, CRYPTO_MB, CRYPTO_FASTEST };
	static const char *const names[] = { "OpenSSL", "libipsec-mb" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct crypto *c = crypto_new(2, choices[i]);

		for (int p = PROTECT_HMAC; c && p < PROTECTIONS; p++) {
			const char *is = crypto_library(c, (enum protection)p);

			if (choices[i] == CRYPTO_FASTEST)
				assert_true(!strcmp(is, names[0]) || !strcmp(is, names[1]));
			else if (mb_lacks((enum protection)p))
				assert_string_equal(is, names[0]);
			else
				assert_string_equal(is, names[i]);
		}
		if (choices[i] != CRYPTO_MB)
			assert_non_null(c);
		crypto_free(c);
	}
}

/* Times */

/* Of this thread's own: what else runs on the machine is not counted. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#define ROUNDS 21

/* Nanoseconds per frame of sealing, or of sealing and opening: another frame is not
 * opened, and to refuse one may take another time. */
static double time_round(struct crypto_job *jobs, size_t n, bool both)
{
	unsigned turns = 3000 / (unsigned)n;
	double start = now();

	for (unsigned i = 0; i < turns; i++) {
		crypto_seal(0, jobs, n);
		if (both)
			crypto_open(0, jobs, n);
	}
	return (now() - start) / turns / (double)n;
}

static void time_one(const struct pair *p, enum protection kind, uint32_t len, size_t n, bool both)
{
	static const char *const names[PROTECTIONS] = { NULL, "HMAC", "AES-256-GCM", "ChaCha20" };
	static uint8_t frame[LIBRARIES][JOBS_MAX][2048];
	double time[LIBRARIES][ROUNDS];
	struct crypto_job jobs[LIBRARIES][JOBS_MAX];

	for (int l = 0; l < LIBRARIES; l++)
		for (size_t i = 0; i < n; i++) {
			uint8_t *f = frame[l][i];

			jobs[l][i] = (struct crypto_job){ .key = p->key[l][kind][0],
							  .head = f,
							  .head_len = FRAME_HEADER,
							  .data = f + FRAME_HEADER,
							  .len = len,
							  .mac = f + FRAME_HEADER + len,
							  .nonce = f + 16 };
		}
	for (int r = 0; r < ROUNDS; r++)
		for (int l = 0; l < LIBRARIES; l++)
			time[l][r] = time_round(jobs[l], n, both);
	for (int l = 0; l < LIBRARIES; l++)
		qsort(time[l], ROUNDS, sizeof(time[l][0]), ascending);
	printf("# %-12s %-5s %5u %3zu %8.0f %8.0f %6.2f\n", names[kind], both ? "both" : "seal",
	       len, n, time[OPENSSL][ROUNDS / 2], time[MB][ROUNDS / 2],
	       time[MB][ROUNDS / 2] / time[OPENSSL][ROUNDS / 2]);
}

static void times(void **state)
{
	static const uint32_t sizes[] = { 64, 1456 };
	static const size_t batches[] = { 1, 4, 8, 16, 32, 64 };
	struct pair p;

	(void)state;
	pair_init(&p);
	printf("# ns per frame sealed, or sealed and opened\n# algorithm     work  size   n  OpenSSL ipsec-mb  ratio\n");
	for (int kind = PROTECT_HMAC; kind < PROTECTIONS; kind++)
		for (int s = 0; s < 2; s++)
			for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++)
				for (int both = 0; both < 2; both++)
					time_one(&p, (enum protection)kind, sizes[s], batches[b],
						 both);
	pair_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_bytes),
		cmocka_unit_test(even_batches),
		cmocka_unit_test(long_batches_and_frames),
		cmocka_unit_test(nothing_beyond_a_frame),
		cmocka_unit_test(libraries_by_name),
	};
	const struct CMUnitTest measured[] = { cmocka_unit_test(times) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (getenv("CRYPTO_TIMES"))
		return cmocka_run_group_tests(measured, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
