/* links: common/crypto common/crypto_frame common/crypto_mb common/crypto_openssl
 * tiny/crypto_manager */
/*
 * What test_crypto_mb.c asks of libipsec-mb, of the part of it that vine-tiny has.
 */
#include "common/crypto_manager.h"

#define HAS_ALL ((imb_get_feature_flags() & IMB_CPUFLAGS_AVX512_T2) == IMB_CPUFLAGS_AVX512_T2)
#define MB_LACKS(kind) ((kind) != PROTECT_HMAC && !HAS_ALL)

#include "test_crypto_mb.c"
