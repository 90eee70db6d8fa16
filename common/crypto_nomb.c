/*
 * In place of crypto_mb.c where libipsec-mb is not there: other processors, other
 * systems. The Makefile chooses.
 */
#include "common/crypto_private.h"

#include <stddef.h>

const struct crypto_ops crypto_mb = { .library = "libipsec-mb" }; /* never chosen */

struct mb *crypto_mb_new(unsigned threads)
{
	(void)threads;
	return NULL;
}

bool crypto_mb_grow(struct mb *mb, unsigned threads)
{
	(void)mb;
	(void)threads;
	return false;
}

void crypto_mb_free(struct mb *mb)
{
	(void)mb;
}

bool crypto_mb_has(const struct mb *mb, enum protection kind)
{
	(void)mb;
	(void)kind;
	return false;
}

bool crypto_mb_is_faster(const struct mb *mb, enum protection kind)
{
	(void)mb;
	(void)kind;
	return false;
}
