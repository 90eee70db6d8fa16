/*
 * Managers of libipsec-mb with nothing in them but the code that frames are protected by, and
 * that only where it is faster than OpenSSL's. The library's own managers name all of its
 * algorithms, for all processors: 14 MB of a static program, of which this takes 0.7.
 *
 * HMAC-SHA256: 16 or 8 frames side by side, and 2 by the SHA instructions. AES-256-GCM and
 * ChaCha20-Poly1305: with AVX-512 and its extensions (VAES, IFMA); with less, OpenSSL takes
 * hardly longer.
 *
 * The functions are those that the library puts into its managers. They have no header: so
 * what is declared here is that of one version of it, and the Makefile takes no other. The
 * state of HMAC is opaque; it lies behind the manager.
 */
#include "common/crypto_manager.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"

#if IMB_VERSION_NUM != IMB_VERSION(1, 3, 0)
#error "another version of libipsec-mb: look whether this is still so"
#endif

#define HMAC_STATE 8192 /* bytes; at most 4304 are used */

void ooo_mgr_hmac_sha256_reset(void *state, unsigned lanes);
IMB_JOB *submit_job_hmac_sha_256_avx512(void *state, IMB_JOB *);
IMB_JOB *flush_job_hmac_sha_256_avx512(void *state);
IMB_JOB *submit_job_hmac_sha_256_avx2(void *state, IMB_JOB *);
IMB_JOB *flush_job_hmac_sha_256_avx2(void *state);
IMB_JOB *submit_job_hmac_sha_256_ni_sse(void *state, IMB_JOB *);
IMB_JOB *flush_job_hmac_sha_256_ni_sse(void *state);

void aes_gcm_precomp_256_vaes_avx512(struct gcm_key_data *);
void aes_gcm_enc_256_vaes_avx512(const struct gcm_key_data *, struct gcm_context_data *,
				 uint8_t *out, const uint8_t *in, uint64_t len, const uint8_t *iv,
				 const uint8_t *aad, uint64_t aad_len, uint8_t *tag,
				 uint64_t tag_len);
void aes_gcm_dec_256_vaes_avx512(const struct gcm_key_data *, struct gcm_context_data *,
				 uint8_t *out, const uint8_t *in, uint64_t len, const uint8_t *iv,
				 const uint8_t *aad, uint64_t aad_len, uint8_t *tag,
				 uint64_t tag_len);

void gen_keystr_poly_key_avx512(const void *key, const void *nonce, uint64_t len, void *stream);
IMB_JOB *submit_job_chacha20_poly_enc_avx512(IMB_JOB *, void *poly_key);
IMB_JOB *submit_job_chacha20_poly_dec_avx512(IMB_JOB *, const void *stream, uint64_t len);
void poly1305_aead_update_fma_avx512(const void *data, uint64_t len, void *hash, const void *key);
void poly1305_aead_complete_fma_avx512(void *hash, const void *key, void *tag);

struct manager {
	IMB_MGR mgr; /* zero but for what crypto_mb.c uses */
	alignas(64) uint8_t hmac[HMAC_STATE];
};

/* ---- HMAC-SHA256 ----------------------------------------------------------------------- */

/* All of them, and none is in progress afterwards. */
static inline uint32_t burst(void *state, IMB_JOB *jobs, uint32_t n,
			     IMB_JOB *(*submit)(void *, IMB_JOB *), IMB_JOB *(*flush)(void *))
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++) {
		jobs[i].status = IMB_STATUS_BEING_PROCESSED;
		done += submit(state, &jobs[i]) != NULL;
	}
	while (flush(state))
		done++;
	return done;
}

static uint32_t burst_avx512(IMB_MGR *m, IMB_JOB *jobs, const uint32_t n, const IMB_HASH_ALG alg)
{
	(void)alg;
	return burst(m->hmac_sha_256_ooo, jobs, n, submit_job_hmac_sha_256_avx512,
		     flush_job_hmac_sha_256_avx512);
}

static uint32_t burst_avx2(IMB_MGR *m, IMB_JOB *jobs, const uint32_t n, const IMB_HASH_ALG alg)
{
	(void)alg;
	return burst(m->hmac_sha_256_ooo, jobs, n, submit_job_hmac_sha_256_avx2,
		     flush_job_hmac_sha_256_avx2);
}

static uint32_t burst_ni(IMB_MGR *m, IMB_JOB *jobs, const uint32_t n, const IMB_HASH_ALG alg)
{
	(void)alg;
	return burst(m->hmac_sha_256_ooo, jobs, n, submit_job_hmac_sha_256_ni_sse,
		     flush_job_hmac_sha_256_ni_sse);
}

static void set_burst(struct manager *m, submit_hash_burst_t fn, unsigned lanes)
{
	m->mgr.submit_hash_burst_nocheck = fn;
	m->mgr.hmac_sha_256_ooo = m->hmac;
	ooo_mgr_hmac_sha256_reset(m->hmac, lanes);
}

/* ---- AES-256-GCM ----------------------------------------------------------------------- */

static void gcm_pre(const void *key, struct gcm_key_data *data)
{
	aes_keyexp_256_enc_avx512(key, data->expanded_keys);
	aes_gcm_precomp_256_vaes_avx512(data);
}

/* ---- ChaCha20-Poly1305 ----------------------------------------------------------------- */

#define BLOCK 64   /* of ChaCha20 */
#define AHEAD 1024 /* bytes of the cipher's stream that opening makes at once, at most */

static IMB_JOB *chacha_job(IMB_MGR *m)
{
	return &m->jobs[0];
}

static IMB_JOB *chacha_run(IMB_MGR *m)
{
	IMB_JOB *j = &m->jobs[0];
	const void *aad = j->u.CHACHA20_POLY1305.aad;
	uint64_t aad_len = j->u.CHACHA20_POLY1305.aad_len_in_bytes;
	uint64_t len = j->msg_len_to_cipher_in_bytes, lengths[2] = { aad_len, len };
	uint64_t hash[3] = { 0 };
	uint64_t used = BLOCK;
	alignas(64) uint8_t stream[AHEAD]; /* its first block is the key of Poly1305 */

	if (j->cipher_direction == IMB_DIR_ENCRYPT) {
		submit_job_chacha20_poly_enc_avx512(j, stream);
		poly1305_aead_update_fma_avx512(aad, aad_len, hash, stream);
		poly1305_aead_update_fma_avx512(j->dst, len, hash, stream);
	} else {
		used += len < AHEAD - BLOCK ? len : AHEAD - BLOCK;
		gen_keystr_poly_key_avx512(j->enc_keys, j->iv, used, stream);
		poly1305_aead_update_fma_avx512(aad, aad_len, hash, stream);
		poly1305_aead_update_fma_avx512(j->src, len, hash, stream);
		submit_job_chacha20_poly_dec_avx512(j, stream + BLOCK, used - BLOCK);
	}
	poly1305_aead_update_fma_avx512(lengths, sizeof(lengths), hash, stream);
	poly1305_aead_complete_fma_avx512(hash, stream, j->auth_tag_output);
	crypto_wipe(stream, used);
	crypto_wipe(hash, sizeof(hash));
	j->status = IMB_STATUS_COMPLETED;
	return j;
}

/* ---- managers -------------------------------------------------------------------------- */

static bool has(uint64_t features)
{
	return (imb_get_feature_flags() & features) == features;
}

IMB_MGR *crypto_manager_new(bool wide)
{
	struct manager *m = aligned_alloc(64, sizeof(*m));

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	if (!wide)
		set_burst(m, burst_ni, 2);
	else if (has(IMB_CPUFLAGS_AVX512))
		set_burst(m, burst_avx512, 16);
	else if (has(IMB_CPUFLAGS_AVX2))
		set_burst(m, burst_avx2, 8);
	if (wide && has(IMB_CPUFLAGS_AVX512_T2)) {
		m->mgr.gcm256_pre = gcm_pre;
		m->mgr.gcm256_enc = aes_gcm_enc_256_vaes_avx512;
		m->mgr.gcm256_dec = aes_gcm_dec_256_vaes_avx512;
		m->mgr.get_next_job = chacha_job;
		m->mgr.submit_job_nocheck = chacha_run;
	}
	return &m->mgr;
}

void crypto_manager_free(IMB_MGR *mgr)
{
	struct manager *m = (struct manager *)mgr;

	if (!m)
		return;
	crypto_wipe(m, sizeof(*m));
	free(m);
}

void crypto_managers_made(const IMB_MGR *m)
{
	(void)m;
}
