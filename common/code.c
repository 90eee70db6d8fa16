/*
 * What a start runs once, and what libraries test in themselves, is megabytes of code that
 * nobody needs in memory afterwards.
 */
#include "common/code.h"

#include <link.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

static void forget_segment(uintptr_t start, uintptr_t end)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	start = (start + page - 1) / page * page;
	end = end / page * page;
	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

static int forget_object(struct dl_phdr_info *object, size_t size, void *arg)
{
	uintptr_t in = *(const uintptr_t *)arg;

	(void)size;
	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + p->p_vaddr, end = start + p->p_memsz;
		bool here = !in || (in >= start && in < end);

		if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && here)
			forget_segment(start, end);
	}
	return 0;
}

void code_forget(uintptr_t in)
{
	dl_iterate_phdr(forget_object, &in);
}
