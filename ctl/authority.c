/*
 * libcurl over OpenSSL, TLS 1.3. Whom to believe: the CAs that the identity holds, or, for
 * one who registers and has none yet, the CA whose hash is in the token.
 */
#include "ctl/authority.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/pki.h"

#define ANSWER_MAX (256u << 20)
#define PATIENCE 30l /* seconds */
#define CONNECT 2l

/* ---- identity ------------------------------------------------------------------ */

void identity_path(const struct identity *id, const char *file, char ret[static PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s", id->directory, file);
}

static void take(json_t *about, const char *key, char *ret, size_t size)
{
	const char *text = json_string_value(json_object_get(about, key));

	if (text && strlen(text) < size)
		strcpy(ret, text);
}

bool identity_read(const struct ctl *ctl, struct identity *ret)
{
	const char *home = getenv("HOME");
	char path[PATH_MAX], *text;
	json_t *about;

	*ret = (struct identity){ 0 };
	if (ctl->identity)
		snprintf(ret->directory, sizeof(ret->directory), "%s", ctl->identity);
	else
		snprintf(ret->directory, sizeof(ret->directory), "%s/.config/vine",
			 home ? home : "");
	identity_path(ret, PKI_AUTHORITY, path);
	text = pki_read(path);
	about = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	take(about, "url", ret->url, sizeof(ret->url));
	take(about, "kind", ret->kind, sizeof(ret->kind));
	take(about, "name", ret->name, sizeof(ret->name));
	json_decref(about);
	if (ctl->authority)
		snprintf(ret->url, sizeof(ret->url), "%s", ctl->authority);
	if (*ret->url)
		return true;
	ctl_failed("%s has no %s: register first, or name an identity (--identity DIR) or the "
		   "authority (--authority URL)",
		   ret->directory, PKI_AUTHORITY);
	return false;
}

/* ---- trust by a hash ----------------------------------------------------------- */

/* Of the certificates that were shown, the one with that hash is the CA. */
static int check_pinned(X509_STORE_CTX *ctx, void *arg)
{
	STACK_OF(X509) *shown = X509_STORE_CTX_get0_untrusted(ctx);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *mine = X509_STORE_CTX_new();
	char pin[PKI_PIN];
	int good = 0;

	for (int i = 0; store && mine && i < sk_X509_num(shown); i++) {
		X509 *c = sk_X509_value(shown, i);

		pki_pin(c, pin);
		if (strcmp(pin, arg) || !X509_check_ca(c) || !X509_STORE_add_cert(store, c))
			continue;
		if (X509_STORE_CTX_init(mine, store, X509_STORE_CTX_get0_cert(ctx), shown)) {
			X509_STORE_CTX_set_purpose(mine, X509_PURPOSE_SSL_SERVER);
			good = X509_verify_cert(mine) == 1;
		}
		break;
	}
	X509_STORE_CTX_set_error(ctx, good ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
	X509_STORE_CTX_free(mine);
	X509_STORE_free(store);
	return good;
}

static CURLcode pin_context(CURL *curl, void *context, void *arg)
{
	(void)curl;
	SSL_CTX_set_cert_verify_callback(context, check_pinned, arg);
	return CURLE_OK;
}

/* ---- asking -------------------------------------------------------------------- */

struct answer {
	char *text;
	size_t len;
};

static size_t receive(char *data, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;
	size_t len = size * n;
	char *text = len <= ANSWER_MAX - a->len ? realloc(a->text, a->len + len + 1) : NULL;

	if (!text)
		return 0;
	memcpy(text + a->len, data, len);
	a->text = text;
	a->len += len;
	text[a->len] = '\0';
	return len;
}

static bool set_trust(CURL *curl, const struct identity *id, const struct question *q)
{
	char ca[PATH_MAX], certificate[PATH_MAX], key[PATH_MAX];

	identity_path(id, PKI_TRUST, ca);
	identity_path(id, PKI_CERTIFICATE, certificate);
	identity_path(id, PKI_KEY, key);
	curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	if (q->pin) {
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, pin_context);
		curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, q->pin);
		return true;
	}
	if (access(ca, R_OK) < 0) {
		ctl_failed("%s: %s: it has to hold the authority's CA", ca, strerror(errno));
		return false;
	}
	curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
	if (q->anonymous || q->credential || access(certificate, F_OK) < 0)
		return true;
	if (access(key, R_OK) < 0) {
		ctl_failed("%s: %s", key, strerror(errno));
		return false;
	}
	if (!pki_is_private(key)) {
		ctl_failed("%s can be read by others: chmod 600, or register anew if somebody has",
			   key);
		return false;
	}
	curl_easy_setopt(curl, CURLOPT_SSLCERT, certificate);
	curl_easy_setopt(curl, CURLOPT_SSLKEY, key);
	return true;
}

/* Refused: in the authority's words, or those of HTTP. */
static json_t *judge(long status, json_t *body)
{
	const char *detail = json_string_value(json_object_get(body, "detail"));

	if (status == 200 && body)
		return body;
	if (detail)
		ctl_failed("%s", detail);
	else if (status == 413)
		ctl_failed("the request is too large");
	else
		ctl_failed("the authority answers with status %ld, and nothing more", status);
	json_decref(body);
	return NULL;
}

static const char *advice(CURLcode r)
{
	switch (r) {
	case CURLE_COULDNT_CONNECT: return " (is vine-authority running there?)";
	case CURLE_PEER_FAILED_VERIFICATION:
		return " (it isn't the authority of this identity or token, or is reached under a "
		       "name that [server] names lacks)";
	default: return "";
	}
}

/* Whether anything can have been sent. */
static bool connected(CURL *curl)
{
	curl_off_t at = 0;

	curl_easy_getinfo(curl, CURLINFO_APPCONNECT_TIME_T, &at);
	return at > 0;
}

/* The processes of one authority in turn, until there is a connection: what was not sent
 * can be sent to another. The last one has all the time. */
static CURLcode perform(CURL *curl, const char *places, const char *path)
{
	CURLcode r = CURLE_URL_MALFORMAT;
	char url[4096];

	for (const char *p = places; *p;) {
		size_t len = strcspn(p, ", ");
		const char *next = p + len + strspn(p + len, ", ");

		snprintf(url, sizeof(url), "%.*s%s", (int)len, p, path);
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, *next ? CONNECT : PATIENCE);
		r = curl_easy_perform(curl);
		if (r != CURLE_COULDNT_CONNECT && r != CURLE_OPERATION_TIMEDOUT)
			break;
		if (r == CURLE_OPERATION_TIMEDOUT && connected(curl))
			break;
		p = next;
	}
	return r;
}

json_t *authority_ask(const struct identity *id, const struct question *q)
{
	char error[CURL_ERROR_SIZE] = "", bearer[256];
	char *text = q->body ? json_dumps(q->body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	CURL *curl = curl_easy_init();
	struct answer a = { 0 };
	json_t *body = NULL;
	long status = 0;
	CURLcode r;

	if (q->credential) {
		snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", q->credential);
		headers = curl_slist_append(headers, bearer);
	}
	if (!curl || !headers || (q->body && !text)) {
		ctl_failed("out of memory, or an argument is not UTF-8");
		goto out;
	}
	if (!set_trust(curl, id, q))
		goto out;
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_3);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, PATIENCE);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (text)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
	/* To another process of the same authority, which has the routers. */
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1l);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 2l);
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	curl_easy_setopt(curl, CURLOPT_UNRESTRICTED_AUTH, 1l);
	r = perform(curl, id->url, q->path);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (r != CURLE_OK)
		ctl_failed("%s: %s%s", id->url, *error ? error : curl_easy_strerror(r), advice(r));
	else
		body = judge(status, a.text ? json_loadb(a.text, a.len, 0, NULL) : NULL);
out:
	free(a.text);
	free(text);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return body;
}
