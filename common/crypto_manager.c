/*
 * Managers as libipsec-mb makes them, with all of its algorithms; it tests itself here.
 */
#include "common/crypto_manager.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/code.h"
#include "common/crypto.h"

IMB_MGR *crypto_manager_new(bool wide)
{
	void *memory = NULL;
	IMB_MGR *m = NULL;

	if (imb_get_version() >= IMB_VERSION(1, 3, 0))
		memory = aligned_alloc(64, (imb_get_mb_mgr_size() + 63) / 64 * 64);
	if (memory)
		m = imb_set_pointers_mb_mgr(memory, 0, 1);
	if (!m) {
		free(memory);
		return NULL;
	}
	if (wide)
		init_mb_mgr_auto(m, NULL);
	else
		init_mb_mgr_sse(m);
	if (imb_get_errno(m) || !(m->features & IMB_FEATURE_SELF_TEST_PASS)) {
		free(m);
		return NULL;
	}
	return m;
}

void crypto_manager_free(IMB_MGR *m)
{
	if (!m)
		return;
	crypto_wipe(m, imb_get_mb_mgr_size());
	free(m);
}

void crypto_managers_made(const IMB_MGR *m)
{
	code_forget((uintptr_t)m->gcm256_enc); /* its self-tests' */
}
