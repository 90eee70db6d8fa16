/*
 * What of OpenSSL would come along and is not needed: what stands here under its names keeps
 * the linker from taking that. Should a version of OpenSSL have other names, it comes along
 * again, and nothing else changes.
 *
 * - Texts of errors, 60 kB: nobody sees them.
 * - Tables and assembler for P-256, 170 kB. OpenSSL's other code for that curve, in C, is there
 *   anyway where OpenSSL is built with it: a handshake of TLS takes a little longer.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/ec.h>
#include <openssl/opensslconf.h>

int ossl_err_load_crypto_strings(void);
int ossl_err_load_SSL_strings(void);

int ossl_err_load_crypto_strings(void)
{
	return 1;
}

int ossl_err_load_SSL_strings(void)
{
	return 1;
}

#ifndef OPENSSL_NO_EC_NISTP_64_GCC_128
const EC_METHOD *EC_GFp_nistz256_method(void);
void *EC_nistz256_pre_comp_dup(void *);
void EC_nistz256_pre_comp_free(void *);

const EC_METHOD *EC_GFp_nistz256_method(void)
{
	return EC_GFp_nistp256_method();
}

/* Of tables that somebody asks for: with that method there are none. */
void *EC_nistz256_pre_comp_dup(void *tables)
{
	return tables;
}

void EC_nistz256_pre_comp_free(void *tables)
{
	(void)tables;
}
#endif
