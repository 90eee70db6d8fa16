/*
 * See etcd.h. A member that is dead refuses at once; one that hangs, or has lost the
 * others, answers nothing or "unavailable", and gets a part of the time only. The member
 * that answered is the first to be asked the next time.
 *
 * etcd's errors are those of gRPC (google.golang.org/grpc/codes); where one code stands
 * for several, its message decides.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authority/etcd.h"

#define CONNECT 500  /* ms to connect to a member */
#define PATIENCE 400 /* ms for its answer, where there is another one to ask; then more */
#define PAUSE 50     /* ms when no member answers */

enum code {
	INVALID_ARGUMENT = 3,
	NOT_FOUND = 5,
	ALREADY_EXISTS = 6,
	PERMISSION_DENIED = 7,
	RESOURCE_EXHAUSTED = 8,
	FAILED_PRECONDITION = 9,
	OUT_OF_RANGE = 11,
	UNAUTHENTICATED = 16,
};

struct text {
	char *at;
	size_t size;
};

int64_t etcd_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

long etcd_more(size_t bytes)
{
	return (long)(bytes >> 10);
}

struct etcd_connection *etcd_take(struct etcd *e)
{
	struct etcd_connection *c;

	pthread_mutex_lock(&e->lock);
	c = e->idle;
	if (c)
		e->idle = c->next;
	pthread_mutex_unlock(&e->lock);
	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (c && !(c->curl = curl_easy_init())) {
		free(c);
		c = NULL;
	}
	if (!c) {
		store_fail(&e->store, -ENOMEM, "out of memory");
		return NULL;
	}
	c->etcd = e;
	snprintf(c->mark, sizeof(c->mark), "vine-writer/%016llx",
		 (unsigned long long)store_lease_name());
	return c;
}

void etcd_give(struct etcd_connection *c)
{
	struct etcd *e = c->etcd;

	pthread_mutex_lock(&e->lock);
	c->next = e->idle;
	e->idle = c;
	pthread_mutex_unlock(&e->lock);
}

void etcd_connection_free(struct etcd_connection *c)
{
	curl_easy_cleanup(c->curl);
	free(c);
}

static size_t take_text(char *data, size_t one, size_t n, void *arg)
{
	struct text *t = arg;
	char *at;

	n *= one;
	if (n > ETCD_ANSWER_MAX - t->size || !(at = realloc(t->at, t->size + n)))
		return 0;
	memcpy(at + t->size, data, n);
	t->at = at;
	t->size += n;
	return n;
}

void etcd_prepare(const struct etcd *e, CURL *curl, size_t member, const char *path,
		  const char *body)
{
	char url[512];

	curl_easy_reset(curl);
	snprintf(url, sizeof(url), "%s%s", e->members[member], path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (e->ca) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, e->ca);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
		curl_easy_setopt(curl, CURLOPT_SSLCERT, e->certificate);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, e->key);
	}
}

/* What went wrong, as -errno, from the error of an answer or of a stream. */
static int refusal(struct etcd *e, size_t member, const json_t *error)
{
	const char *why = json_string_value(json_object_get(error, "message"));
	const json_int_t code = json_integer_value(json_object_get(error, "code"));
	int r;

	/* A stream's error has other names. */
	if (!why)
		why = json_string_value(json_object_get(error, "error"));
	if (!why)
		why = "it doesn't say why";
	switch (code) {
	case RESOURCE_EXHAUSTED:
		if (strstr(why, "space exceeded"))
			r = -ENOSPC;
		else
			r = strstr(why, "larger than max") ? -E2BIG : -EHOSTUNREACH;
		break;
	case INVALID_ARGUMENT:
		r = strstr(why, "too large") || strstr(why, "too many") ? -E2BIG : -EINVAL;
		break;
	case OUT_OF_RANGE: r = strstr(why, "compacted") ? -ESTALE : -EINVAL; break;
	case NOT_FOUND: r = -ENOENT; break;
	case FAILED_PRECONDITION:
	case ALREADY_EXISTS: r = -EEXIST; break;
	case PERMISSION_DENIED:
	case UNAUTHENTICATED: r = -EPERM; break;
	default: r = -EHOSTUNREACH; /* unavailable, or it doesn't know */
	}
	if (r == -E2BIG)
		return store_fail(&e->store, r,
				  "etcd at %s: %.100s; start its members with --max-txn-ops=8192 "
				  "--max-request-bytes=16777216",
				  e->members[member], why);
	return store_fail(&e->store, r, "etcd at %s: %.150s", e->members[member], why);
}

/* What the member said. */
static int judge(struct etcd *e, size_t member, long status, const struct text *t,
		 struct etcd_answer *answer)
{
	json_error_t wrong;
	json_t *json = json_loadb(t->at ? t->at : "", t->size, 0, &wrong);
	int r;

	if (json_is_object(json) && status == 200) {
		answer->json = json;
		return 0;
	}
	if (json_is_object(json) && json_object_get(json, "code"))
		r = refusal(e, member, json);
	else
		r = store_fail(&e->store, -EPROTO,
			       "%s does not answer as etcd 3.4 or later does (status %ld)",
			       e->members[member], status);
	json_decref(json);
	return r;
}

int etcd_ask(struct etcd_connection *c, size_t member, const char *path, const char *body,
	     long milliseconds, struct etcd_answer *answer)
{
	char why[CURL_ERROR_SIZE] = "";
	struct text text = { .at = NULL };
	long sent = 0, connects = 0, status = 0;
	CURLcode code;
	int r;

	*answer = (struct etcd_answer){ .json = NULL };
	etcd_prepare(c->etcd, c->curl, member, path, body);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, milliseconds);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_text);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &text);
	code = curl_easy_perform(c->curl);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_getinfo(c->curl, CURLINFO_REQUEST_SIZE, &sent);
	curl_easy_getinfo(c->curl, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK) {
		/* curl itself sends again what an open connection lost. */
		answer->maybe = c->used && connects > 0;
		r = judge(c->etcd, member, status, &text, answer);
	} else {
		r = store_fail(&c->etcd->store, -EHOSTUNREACH, "no answer from etcd at %s: %.120s",
			       c->etcd->members[member], *why ? why : curl_easy_strerror(code));
	}
	if (r == -EHOSTUNREACH || r == -EPROTO)
		answer->maybe |= sent > 0;
	c->used = true;
	free(text.at);
	return r;
}

int etcd_call(struct etcd_connection *c, const char *path, const char *body, int64_t end,
	      struct etcd_answer *ret_answer)
{
	struct etcd *e = c->etcd;
	long patience = PATIENCE + etcd_more(strlen(body));
	struct etcd_answer answer;
	bool maybe = false;
	size_t member;
	int64_t left;
	int r = -EHOSTUNREACH;

	pthread_mutex_lock(&e->lock);
	member = e->member;
	pthread_mutex_unlock(&e->lock);
	for (size_t asked = 0; r == -EHOSTUNREACH; asked++) {
		if (asked > 0 && asked % e->n_members == 0) {
			poll(NULL, 0, PAUSE);
			patience += PATIENCE / 2;
		}
		left = end - etcd_now();
		if (left <= 0)
			break;
		if (left > patience && e->n_members > 1)
			left = patience;
		r = etcd_ask(c, member, path, body, (long)left, &answer);
		maybe |= answer.maybe;
		if (r == -EHOSTUNREACH)
			member = (member + 1) % e->n_members;
	}
	pthread_mutex_lock(&e->lock);
	e->member = member;
	pthread_mutex_unlock(&e->lock);
	*ret_answer = (struct etcd_answer){ .json = r == 0 ? answer.json : NULL, .maybe = maybe };
	return r;
}

void etcd_put_bytes(FILE *f, const void *bytes, size_t size)
{
	const unsigned char *from = bytes;
	unsigned char text[4097];
	size_t n;

	putc('"', f);
	for (; size > 0; from += n, size -= n) {
		n = size < 3072 ? size : 3072;
		fwrite(text, 1, (size_t)EVP_EncodeBlock(text, from, (int)n), f);
	}
	putc('"', f);
}

void etcd_put_key(FILE *f, const char *key)
{
	char whole[sizeof(ETCD_PREFIX) + STORE_KEY_MAX];

	etcd_put_bytes(f, whole, (size_t)snprintf(whole, sizeof(whole), ETCD_PREFIX "%s", key));
}

uint64_t etcd_number(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? strtoull(text, NULL, 10) : 0;
}

char *etcd_bytes(const json_t *object, const char *name, size_t *ret_size)
{
	const json_t *member = json_object_get(object, name);
	const char *text = member ? json_string_value(member) : "";
	const size_t length = member ? json_string_length(member) : 0;
	unsigned char *bytes;
	int n;

	if (!text || length % 4 != 0 || length > ETCD_ANSWER_MAX)
		return NULL;
	bytes = malloc(length / 4 * 3 + 1);
	if (!bytes)
		return NULL;
	n = length > 0 ? EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length) : 0;
	if (n < 0) {
		free(bytes);
		return NULL;
	}
	/* Padding is decoded to zeros. */
	for (size_t i = length; i > 0 && length - i < 2 && text[i - 1] == '='; i--)
		n--;
	*ret_size = (size_t)n;
	return (char *)bytes;
}

int etcd_add(struct etcd *e, struct store_page *page, const json_t *kv, bool deleted)
{
	const size_t prefix = strlen(ETCD_PREFIX);
	struct store_entry entry = {
		.revision = etcd_number(kv, "mod_revision"),
		.lease = etcd_number(kv, "lease"),
	};
	size_t key_size = 0;
	char *key = etcd_bytes(kv, "key", &key_size);
	char *value = etcd_bytes(kv, "value", &entry.size);
	int r;

	if (!deleted)
		entry.value = value;
	else
		entry.size = 0;
	if (!key || !value || key_size <= prefix || memcmp(key, ETCD_PREFIX, prefix) != 0 ||
	    memchr(key, '\0', key_size) || key_size - prefix > STORE_KEY_MAX)
		r = store_fail(&e->store, -EPROTO, "etcd gives a key that is not ours");
	else if (store_page_add(page, key + prefix, key_size - prefix, &entry) < 0)
		r = store_fail(&e->store, -ENOMEM, "out of memory");
	else
		r = 0;
	free(key);
	free(value);
	return r;
}
