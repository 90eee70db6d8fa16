/*
 * What stands between the router's code and what it calls (by the linker's --wrap), so
 * that its own work can be counted apart.
 *
 * Copying and clearing are counted in bytes and left out of the instructions, as the C
 * library does them in another way on each processor. What the compiler makes of short
 * ones in place counts as instructions. libipsec-mb is not used: only handshakes are
 * sealed in earnest.
 */
#include "tests/cost/cost.h"

#include <string.h>
#include <valgrind/callgrind.h>

#include "common/crypto_private.h"

bool crypto_is_stubbed;
static bool counting;
static struct moved moved;

struct moved moved_bytes(void)
{
	struct moved m = moved;

	moved = (struct moved){ 0 };
	return m;
}

void own_begin(void)
{
	counting = true;
	CALLGRIND_TOGGLE_COLLECT;
}

void own_end(void)
{
	CALLGRIND_TOGGLE_COLLECT;
	counting = false;
}

/* ---- memory ---------------------------------------------------------------------- */

#define APART(statement) \
	do { \
		bool own = counting; \
		if (own) \
			own_end(); \
		statement; \
		if (own) \
			own_begin(); \
	} while (0)

void *__real_memcpy(void *, const void *, size_t);
void *__real_memmove(void *, const void *, size_t);
void *__real_memset(void *, int, size_t);
int __real_memcmp(const void *, const void *, size_t);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memmove(void *to, const void *from, size_t n);
void *__wrap_memset(void *to, int c, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
void *__wrap___memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__wrap___memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__wrap___memset_chk(void *to, int c, size_t n, size_t room);

void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	moved.copied += counting ? n : 0;
	APART(__real_memcpy(to, from, n));
	return to;
}

void *__wrap_memmove(void *to, const void *from, size_t n)
{
	moved.copied += counting ? n : 0;
	APART(__real_memmove(to, from, n));
	return to;
}

void *__wrap_memset(void *to, int c, size_t n)
{
	moved.cleared += counting ? n : 0;
	APART(__real_memset(to, c, n));
	return to;
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	int r;

	APART(r = __real_memcmp(a, b, n));
	return r;
}

void *__wrap___memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	assert_true(n <= room);
	return __wrap_memcpy(to, from, n);
}

void *__wrap___memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	assert_true(n <= room);
	return __wrap_memmove(to, from, n);
}

void *__wrap___memset_chk(void *to, int c, size_t n, size_t room)
{
	assert_true(n <= room);
	return __wrap_memset(to, c, n);
}

/* ---- crypto ------------------------------------------------------------------------ */

struct mb *__wrap_crypto_mb_new(unsigned threads);
void __real_crypto_seal(unsigned thread, struct crypto_job *jobs, size_t n);
void __real_crypto_open(unsigned thread, struct crypto_job *jobs, size_t n);
void __wrap_crypto_seal(unsigned thread, struct crypto_job *jobs, size_t n);
void __wrap_crypto_open(unsigned thread, struct crypto_job *jobs, size_t n);

struct mb *__wrap_crypto_mb_new(unsigned threads)
{
	(void)threads;
	return NULL;
}

static void all_right(struct crypto_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		jobs[i].ok = true;
}

void __wrap_crypto_seal(unsigned thread, struct crypto_job *jobs, size_t n)
{
	if (!crypto_is_stubbed)
		__real_crypto_seal(thread, jobs, n);
	else
		APART(all_right(jobs, n));
}

void __wrap_crypto_open(unsigned thread, struct crypto_job *jobs, size_t n)
{
	if (!crypto_is_stubbed)
		__real_crypto_open(thread, jobs, n);
	else
		APART(all_right(jobs, n));
}
