/*
 * Managers as libipsec-mb makes them, with all of its algorithms; it tests itself here.
 */
#include "common/crypto_manager.h"

#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Gives back the code that the self-tests have left in memory, megabytes of it, if
 * this is where the library is: it is read again from its file when it is needed. */
static int forget_code(struct dl_phdr_info *object, size_t size, void *arg)
{
	uintptr_t code = (uintptr_t)arg, page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;

		if (p->p_type != PT_LOAD || (p->p_flags & PF_W) || code < start || code >= end)
			continue;
		start = (start + page - 1) / page * page;
		end = end / page * page;
		if (start < end)
			madvise((void *)start, end - start, MADV_DONTNEED);
		return 1;
	}
	return 0;
}

void crypto_managers_made(const IMB_MGR *m)
{
	dl_iterate_phdr(forget_code, (void *)(uintptr_t)m->gcm256_enc);
}
