/*
 * MAC and AEAD of frames by libipsec-mb (x86-64), a batch at a time.
 *
 * AES-256-GCM: a frame per call; the expanded key is never written again, and the
 * scratch memory is the thread's.
 *
 * ChaCha20-Poly1305: a frame per job. The library completes such a job at once, so
 * that its queue is always empty in between.
 *
 * HMAC-SHA256: frames side by side. A wide manager works on as many frames at once
 * as a vector has 32-bit words, and takes the time of all of them also for one; a
 * narrow one uses the processor's SHA instructions, on two frames at once. So a batch
 * goes to the wide one by full vectors, and a rest that is too small for it to the
 * narrow one, or to OpenSSL where there is none. The library wants its message in one
 * piece, so frames whose data does not follow the head go to OpenSSL too, as do sizes
 * that the library has no room for.
 *
 * A manager has room for work in progress and belongs to one thread. All managers are
 * made with the struct crypto, so neither a key nor a frame ever makes one. Arguments
 * are checked here, so the library's checks of them are left out. It makes no system
 * calls but those of malloc.
 */
#include <stdlib.h>
#include <string.h>

#include "common/crypto_manager.h"
#include "common/crypto_private.h"

#define NEVER SIZE_MAX
#define SIZE_MAX_HMAC 65534 /* of a message: the library counts in 16 bits */
#define TAIL_MIN 10	    /* frames with which a vector of 16 beats the SHA instructions */
#define ALONE_MIN 3	    /* and OpenSSL, where there are none */

struct thread {
	alignas(64) IMB_MGR *wide; /* its neighbours belong to other threads */
	IMB_MGR *narrow;	   /* NULL: the processor has no SHA instructions */
	struct gcm_context_data gcm;
	IMB_JOB job[CRYPTO_CHUNK];	      /* HMAC, filled in as far as it is always the same */
	uint8_t mac[CRYPTO_CHUNK][FRAME_MAC]; /* what opening has computed */
};

struct mb {
	unsigned threads;
	size_t lanes;	 /* frames that the wide managers hash at once */
	size_t wide_min; /* frames that are worth a call of a wide one */
	struct thread *thread[CRYPTO_THREADS];
};

struct mb_key {
	struct gcm_key_data gcm;
	uint8_t chacha[CRYPTO_KEY];
};

/* ---- HMAC ---------------------------------------------------------------------------- */

static bool is_for_mb(const struct crypto_job *j)
{
	size_t len = (size_t)j->head_len + j->len;

	return (!j->len || j->data == j->head + j->head_len) && len > 0 && len <= SIZE_MAX_HMAC;
}

static void hmac_job(IMB_JOB *job, const struct crypto_job *j, uint8_t *mac)
{
	const struct crypto_hmac *h = &j->key->hmac;

	job->src = j->head;
	job->msg_len_to_hash_in_bytes = j->head_len + j->len;
	job->auth_tag_output = mac;
	/* the chaining words as they are in memory: the library has no other form */
	job->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)h->inner.h;
	job->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)h->outer.h;
}

/* How many of n frames the wide manager takes. */
static size_t wide_share(const struct mb *mb, size_t n)
{
	size_t rest;

	if (mb->wide_min == NEVER)
		return 0;
	rest = n % mb->lanes;
	return rest >= mb->wide_min ? n : n - rest;
}

static bool hash(IMB_MGR *manager, IMB_JOB *job, size_t n)
{
	uint32_t number = (uint32_t)n;

	return !n ||
	       IMB_SUBMIT_HASH_BURST_NOCHECK(manager, job, number, IMB_AUTH_HMAC_SHA_256) == number;
}

/* Frames that are in one piece. False: nothing of what came out is to be used. */
static bool hmac_run(const struct mb *mb, struct thread *t, struct crypto_job *const jobs[],
		     size_t n, bool seal)
{
	size_t wide = wide_share(mb, n);

	for (size_t i = 0; i < n; i++)
		hmac_job(&t->job[i], jobs[i], seal ? jobs[i]->mac : t->mac[i]);
	return hash(t->wide, t->job, wide) && hash(t->narrow, t->job + wide, n - wide);
}

static void hmac_batch(unsigned thread, struct crypto_job *const jobs[], size_t n, bool seal)
{
	const struct crypto_ops *other = &crypto_openssl;
	struct crypto_job *mine[CRYPTO_CHUNK];
	struct mb *mb = jobs[0]->key->crypto->mb;
	struct thread *t = mb->thread[thread];
	size_t taken = 0, first = 0;
	bool ok;

	for (size_t i = 0; i < n; i++) {
		if (is_for_mb(jobs[i]))
			mine[taken++] = jobs[i];
		else
			(seal ? other->seal : other->open)(thread, &jobs[i], 1);
	}
	if (!t->narrow) { /* the rest, from the front */
		first = taken - wide_share(mb, taken);
		(seal ? other->seal : other->open)(thread, mine, first);
	}
	ok = hmac_run(mb, t, mine + first, taken - first, seal);
	for (size_t i = first; i < taken; i++)
		mine[i]->ok =
			ok && (seal || crypto_equal(t->mac[i - first], mine[i]->mac, FRAME_MAC));
	if (!seal)
		crypto_wipe(t->mac, (taken - first) * FRAME_MAC);
}

/* ---- AEAD ---------------------------------------------------------------------------- */

static void format_nonce(const struct crypto_job *j, uint8_t ret[static CRYPTO_SALT + CRYPTO_NONCE])
{
	memcpy(ret, j->key->salt, CRYPTO_SALT);
	memcpy(ret + CRYPTO_SALT, j->nonce, CRYPTO_NONCE);
}

static void gcm_run(struct thread *t, const struct crypto_job *j, bool seal, uint8_t *tag)
{
	uint8_t nonce[CRYPTO_SALT + CRYPTO_NONCE];

	format_nonce(j, nonce);
	if (seal)
		IMB_AES256_GCM_ENC(t->wide, &j->key->mb->gcm, &t->gcm, j->data, j->data, j->len,
				   nonce, j->head, j->head_len, tag, FRAME_MAC);
	else
		IMB_AES256_GCM_DEC(t->wide, &j->key->mb->gcm, &t->gcm, j->data, j->data, j->len,
				   nonce, j->head, j->head_len, tag, FRAME_MAC);
}

/* False: it was not completed, and what came out is not to be used. */
static bool chacha_run(struct thread *t, const struct crypto_job *j, bool seal, uint8_t *tag)
{
	uint8_t nonce[CRYPTO_SALT + CRYPTO_NONCE];
	IMB_JOB *job = IMB_GET_NEXT_JOB(t->wide);

	format_nonce(j, nonce);
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = job->dec_keys = j->key->mb->chacha;
	job->key_len_in_bytes = CRYPTO_KEY;
	job->iv = nonce;
	job->iv_len_in_bytes = sizeof(nonce);
	job->u.CHACHA20_POLY1305.aad = j->head;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = j->head_len;
	job->src = j->data;
	job->dst = j->data;
	job->cipher_start_src_offset_in_bytes = 0;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = j->len;
	job->msg_len_to_hash_in_bytes = j->len;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = FRAME_MAC;
	job = IMB_SUBMIT_JOB_NOCHECK(t->wide);
	return job && job->status == IMB_STATUS_COMPLETED;
}

static bool aead_run(struct thread *t, const struct crypto_job *j, bool seal, uint8_t *tag)
{
	if (j->key->kind == PROTECT_CHACHA20_POLY1305)
		return chacha_run(t, j, seal, tag);
	gcm_run(t, j, seal, tag);
	return true;
}

static bool aead_open(struct thread *t, const struct crypto_job *j)
{
	uint8_t tag[FRAME_MAC];
	bool ok = aead_run(t, j, false, tag) && crypto_equal(tag, j->mac, FRAME_MAC);

	crypto_wipe(tag, sizeof(tag));
	return ok;
}

/* ---- operations ---------------------------------------------------------------------- */

static void run_frames(unsigned thread, struct crypto_job *const jobs[], size_t n, bool seal)
{
	struct crypto_job *hmac[CRYPTO_CHUNK];
	size_t n_hmac = 0;

	for (size_t i = 0; i < n; i++) {
		struct crypto_job *j = jobs[i];
		struct thread *t = j->key->crypto->mb->thread[thread];

		if (j->key->kind == PROTECT_HMAC)
			hmac[n_hmac++] = j;
		else
			j->ok = seal ? aead_run(t, j, true, j->mac) : aead_open(t, j);
	}
	if (n_hmac)
		hmac_batch(thread, hmac, n_hmac, seal);
}

static void seal_frames(unsigned thread, struct crypto_job *const jobs[], size_t n)
{
	run_frames(thread, jobs, n, true);
}

static void open_frames(unsigned thread, struct crypto_job *const jobs[], size_t n)
{
	run_frames(thread, jobs, n, false);
}

static size_t aligned_size(size_t size)
{
	return (size + 63) / 64 * 64;
}

static bool key_init(struct crypto_key *k, const uint8_t key[static CRYPTO_KEY])
{
	if (k->kind == PROTECT_HMAC) {
		crypto_hmac_init(&k->hmac, key);
		return true;
	}
	k->mb = aligned_alloc(64, aligned_size(sizeof(*k->mb)));
	if (!k->mb)
		return false;
	if (k->kind == PROTECT_CHACHA20_POLY1305)
		memcpy(k->mb->chacha, key, CRYPTO_KEY);
	else /* reads nothing of the manager but which code to run */
		IMB_AES256_GCM_PRE(k->crypto->mb->thread[0]->wide, key, &k->mb->gcm);
	return true;
}

/* All that a thread has of its own is in its struct thread. */
static bool key_grow(struct crypto_key *k, unsigned threads)
{
	(void)k;
	(void)threads;
	return true;
}

static void key_done(struct crypto_key *k)
{
	if (k->mb)
		crypto_wipe(k->mb, sizeof(*k->mb));
	free(k->mb);
}

const struct crypto_ops crypto_mb = {
	.library = "libipsec-mb",
	.key_init = key_init,
	.key_grow = key_grow,
	.key_done = key_done,
	.seal = seal_frames,
	.open = open_frames,
};

/* ---- managers ------------------------------------------------------------------------ */

static bool has(uint64_t features)
{
	return (imb_get_feature_flags() & features) == features;
}

static void thread_free(struct thread *t)
{
	crypto_manager_free(t->wide);
	crypto_manager_free(t->narrow);
	crypto_wipe(t, sizeof(*t));
	free(t);
}

static struct thread *thread_new(void)
{
	struct thread *t = aligned_alloc(64, sizeof(*t));

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->wide = crypto_manager_new(true);
	if (has(IMB_FEATURE_SHANI))
		t->narrow = crypto_manager_new(false);
	for (size_t i = 0; i < CRYPTO_CHUNK; i++) {
		t->job[i].hash_alg = IMB_AUTH_HMAC_SHA_256;
		t->job[i].auth_tag_output_len_in_bytes = FRAME_MAC;
	}
	if (t->wide && (t->narrow || !has(IMB_FEATURE_SHANI)))
		return t;
	thread_free(t);
	return NULL;
}

static void choose_width(struct mb *mb)
{
	bool narrow = mb->thread[0]->narrow;

	mb->wide_min = NEVER;
	mb->lanes = 1;
	if (has(IMB_CPUFLAGS_AVX512)) {
		mb->lanes = 16;
		mb->wide_min = narrow ? TAIL_MIN : ALONE_MIN;
	} else if (has(IMB_CPUFLAGS_AVX2) && !narrow) {
		mb->lanes = 8;
		mb->wide_min = ALONE_MIN;
	}
}

struct mb *crypto_mb_new(unsigned threads)
{
	struct mb *mb;

	if (!has(IMB_CPUFLAGS_SSE))
		return NULL;
	mb = calloc(1, sizeof(*mb));
	if (!mb)
		return NULL;
	if (!crypto_mb_grow(mb, threads)) {
		crypto_mb_free(mb);
		return NULL;
	}
	choose_width(mb);
	return mb;
}

bool crypto_mb_grow(struct mb *mb, unsigned threads)
{
	unsigned before = mb->threads;

	while (mb->threads < threads && (mb->thread[mb->threads] = thread_new()))
		mb->threads++;
	if (mb->threads > before)
		crypto_managers_made(mb->thread[0]->wide);
	return mb->threads >= threads;
}

void crypto_mb_free(struct mb *mb)
{
	if (!mb)
		return;
	while (mb->threads)
		thread_free(mb->thread[--mb->threads]);
	free(mb);
}

bool crypto_mb_has(const struct mb *mb, enum protection kind)
{
	switch (kind) {
	case PROTECT_HMAC: return true; /* what it does not do goes on to OpenSSL */
	case PROTECT_AES_256_GCM: return mb->thread[0]->wide->gcm256_enc;
	case PROTECT_CHACHA20_POLY1305: return mb->thread[0]->wide->submit_job_nocheck;
	default: return false;
	}
}

bool crypto_mb_is_faster(const struct mb *mb, enum protection kind)
{
	switch (kind) {
	case PROTECT_HMAC: return mb->thread[0]->narrow || mb->wide_min != NEVER;
	case PROTECT_AES_256_GCM: return true;
	case PROTECT_CHACHA20_POLY1305: return has(IMB_CPUFLAGS_AVX512_T2);
	default: return false;
	}
}
