/*
 * All of it over OpenSSL. A request carries no name: the authority decides what a
 * certificate is for, and the request only proves that its sender has the key.
 */
#include "common/pki.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

EVP_PKEY *pki_key_new(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
}

EVP_PKEY *pki_table_key_new(void)
{
	return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* What was written, as a text. Frees the BIO. */
static char *bio_text(BIO *b, bool good)
{
	char *data, *text = NULL;
	long n = b ? BIO_get_mem_data(b, &data) : 0;

	if (good && n > 0)
		text = strndup(data, (size_t)n);
	BIO_free(b);
	return text;
}

char *pki_key_pem(EVP_PKEY *key)
{
	BIO *b = BIO_new(BIO_s_secmem());

	return bio_text(b, b && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL));
}

char *pki_certificate_pem(X509 *c)
{
	BIO *b = BIO_new(BIO_s_mem());

	return bio_text(b, b && PEM_write_bio_X509(b, c));
}

char *pki_request_pem(EVP_PKEY *key)
{
	X509_REQ *q = X509_REQ_new();
	BIO *b = BIO_new(BIO_s_mem());
	bool good = q && b && X509_REQ_set_version(q, 0) && X509_REQ_set_pubkey(q, key) &&
		    X509_REQ_sign(q, key, EVP_sha256()) && PEM_write_bio_X509_REQ(b, q);

	X509_REQ_free(q);
	return bio_text(b, good);
}

static int no_passphrase(char *buf, int size, int rw, void *arg)
{
	(void)buf, (void)size, (void)rw, (void)arg;
	return -1;
}

EVP_PKEY *pki_key_parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	return key;
}

bool pki_is_p256(EVP_PKEY *key)
{
	char group[32] = "";

	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       !strcmp(group, "prime256v1");
}

X509 *pki_certificate_parse(const char *pem)
{
	BIO *b = BIO_new_mem_buf(pem, -1);
	X509 *c = b ? PEM_read_bio_X509(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	return c;
}

/* Frees the bytes; n <= 0: there are none. */
static char *base64(unsigned char *der, int n)
{
	char *text = n > 0 ? malloc((size_t)n * 4 / 3 + 8) : NULL;

	if (text)
		EVP_EncodeBlock((unsigned char *)text, der, n);
	OPENSSL_free(der);
	return text;
}

char *pki_key_text(EVP_PKEY *key)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	return base64(der, n);
}

char *pki_certified_key_text(X509 *c)
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c), &der);

	return base64(der, n);
}

/* ---- files --------------------------------------------------------------------- */

int pki_directories(const char *path)
{
	char text[PATH_MAX];

	if (!*path || strlen(path) >= sizeof(text))
		return -ENAMETOOLONG;
	strcpy(text, path);
	for (char *p = text + 1;; p++) {
		char was = *p;

		if (was && was != '/')
			continue;
		*p = '\0';
		if (mkdir(text, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = was;
		if (!was)
			return 0;
	}
}

char *pki_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(PKI_FILE_MAX + 1) : NULL;
	size_t len = 0;
	ssize_t n = -1;

	while (text && len < PKI_FILE_MAX) {
		n = read(fd, text + len, PKI_FILE_MAX - len);
		if (n > 0)
			len += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (fd >= 0)
		close(fd);
	if (n == 0) {
		text[len] = '\0';
		return text;
	}
	errno = text && n > 0 ? EFBIG : errno;
	free(text);
	return NULL;
}

static int write_all(int fd, const char *text)
{
	size_t len = strlen(text), done = 0;

	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The directory's entry is on disk as well. */
static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == path ? strdup("/")
			  : slash	? strndup(path, (size_t)(slash - path))
					: strdup(".");
	int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, r = 0;

	if (fd < 0 || fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(directory);
	return r;
}

int pki_write_new(const char *path, const char *text, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), r;

	if (fd < 0)
		return -errno;
	r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text);
	close(fd);
	if (!r)
		r = sync_directory(path);
	if (r)
		unlink(path);
	return r;
}

int pki_replace(const char *path, const char *text, unsigned mode)
{
	char *draft;
	int r;

	if (asprintf(&draft, "%s.%ld", path, (long)getpid()) < 0)
		return -ENOMEM;
	unlink(draft);
	r = pki_write_new(draft, text, mode);
	if (!r && rename(draft, path) < 0) {
		r = -errno;
		unlink(draft);
	}
	free(draft);
	return r ? r : sync_directory(path);
}

bool pki_is_private(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !(st.st_mode & 077);
}

/* ---- secrets ------------------------------------------------------------------- */

static void hexadecimal(const unsigned char *bytes, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

bool pki_secret_new(char ret[static PKI_SECRET])
{
	unsigned char bytes[32];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	hexadecimal(bytes, sizeof(bytes), ret);
	return true;
}

void pki_secret_hash(const char *secret, char ret[static PKI_HASH])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)secret, strlen(secret), digest);
	hexadecimal(digest, (PKI_HASH - 1) / 2, ret);
}

void pki_pin(X509 *c, char ret[static PKI_PIN])
{
	unsigned char digest[SHA256_DIGEST_LENGTH] = { 0 };

	X509_digest(c, EVP_sha256(), digest, NULL);
	hexadecimal(digest, sizeof(digest), ret);
}
