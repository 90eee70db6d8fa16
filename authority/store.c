/*
 * The store's front: which backend, and the checks that both would make.
 *
 * Bounds are checked here, so that a request that one backend takes is taken by the
 * other. Backends report by store_fail(), one line per store, for whoever asks.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "authority/store_private.h"

#define SECONDS_MAX 86400

void store_init(struct store *s, const struct store_ops *ops)
{
	s->ops = ops;
	s->error[0] = '\0';
	pthread_mutex_init(&s->error_lock, NULL);
}

void store_done(struct store *s)
{
	pthread_mutex_destroy(&s->error_lock);
}

int store_fail(struct store *s, int error, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&s->error_lock);
	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&s->error_lock);
	return error;
}

void store_error(struct store *s, char text[STORE_ERROR])
{
	pthread_mutex_lock(&s->error_lock);
	memcpy(text, s->error, STORE_ERROR);
	pthread_mutex_unlock(&s->error_lock);
}

/* Where the URL is of this kind, what is behind the colon. */
static const char *behind(const char *url, const char *kind)
{
	const size_t n = strlen(kind);

	return strncmp(url, kind, n) == 0 ? url + n : NULL;
}

int store_open(const char *url, const struct store_tls *tls, struct store **ret_store,
	       char error[STORE_ERROR])
{
	const char *rest;

	error[0] = '\0';
	if ((rest = behind(url, "sqlite:")))
		return store_sqlite_open(rest, ret_store, error);
	if ((rest = behind(url, "etcd:")))
		return store_etcd_open(rest, tls, ret_store, error);
	snprintf(error, STORE_ERROR,
		 "store \"%s\" is unknown; expected sqlite:/path or etcd:https://host:2379,...",
		 url);
	return -EINVAL;
}

void store_close(struct store *s)
{
	if (s)
		s->ops->close(s);
}

bool store_is_shared(const struct store *s)
{
	return s->ops->shared;
}

static int check_key(struct store *s, const char *key)
{
	if (!key || !*key)
		return store_fail(s, -EINVAL, "a key is empty");
	if (strnlen(key, STORE_KEY_MAX + 1) > STORE_KEY_MAX)
		return store_fail(s, -E2BIG, "a key is longer than %d bytes", STORE_KEY_MAX);
	return 0;
}

int store_get(struct store *s, const char *key, struct store_page *ret_page)
{
	struct store_page page = { .n = 0 };
	int r = check_key(s, key);

	if (r == 0)
		r = s->ops->get(s, key, &page);
	if (r == 0)
		*ret_page = page;
	else
		store_page_done(&page);
	return r;
}

int store_list(struct store *s, const struct store_range *range, struct store_page *ret_page)
{
	struct store_page page = { .n = 0 };
	int r;

	if (strnlen(range->prefix, STORE_KEY_MAX + 1) > STORE_KEY_MAX)
		return store_fail(s, -E2BIG, "a prefix is longer than %d bytes", STORE_KEY_MAX);
	if (range->limit < 1 || range->limit > STORE_PAGE_MAX || range->revision > INT64_MAX)
		return store_fail(s, -EINVAL, "a page has 1 to %d entries", STORE_PAGE_MAX);
	if (range->after && (r = check_key(s, range->after)) < 0)
		return r;
	if (range->after && strncmp(range->after, range->prefix, strlen(range->prefix)) != 0)
		return store_fail(s, -EINVAL, "the key to go on from lacks the prefix");
	r = s->ops->list(s, range, &page);
	if (r == 0)
		*ret_page = page;
	else
		store_page_done(&page);
	return r;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_once(struct store *s, const struct store_transaction *t)
{
	const char **keys = calloc(t->n_changes + 1, sizeof(*keys));
	int r = 0;

	if (!keys)
		return store_fail(s, -ENOMEM, "out of memory");
	for (size_t i = 0; i < t->n_changes; i++)
		keys[i] = t->changes[i].key;
	qsort(keys, t->n_changes, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < t->n_changes; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			r = store_fail(s, -EINVAL, "a transaction changes %.64s twice", keys[i]);
	free(keys);
	return r;
}

static int check_change(struct store *s, const struct store_entry *e)
{
	if (e->value && e->size > STORE_VALUE_MAX)
		return store_fail(s, -E2BIG, "the value of %.64s is larger than %u bytes", e->key,
				  STORE_VALUE_MAX);
	if (e->lease > INT64_MAX || (e->lease && !e->value))
		return store_fail(s, -EINVAL, "the lease of %.64s makes no sense", e->key);
	return 0;
}

static int check_transaction(struct store *s, const struct store_transaction *t)
{
	size_t bytes = 0;
	int r;

	if (t->n_conditions > STORE_OPS_MAX || t->n_changes > STORE_OPS_MAX)
		return store_fail(s, -E2BIG, "a transaction has more than %d %s", STORE_OPS_MAX,
				  t->n_changes > STORE_OPS_MAX ? "changes" : "conditions");
	for (size_t i = 0; i < t->n_conditions; i++) {
		if ((r = check_key(s, t->conditions[i].key)) < 0)
			return r;
		if (t->conditions[i].test != STORE_ABSENT &&
		    (t->conditions[i].is == 0 || t->conditions[i].is > INT64_MAX))
			return store_fail(s, -EINVAL, "a condition on %.64s makes no sense",
					  t->conditions[i].key);
	}
	for (size_t i = 0; i < t->n_changes; i++) {
		if ((r = check_key(s, t->changes[i].key)) < 0 ||
		    (r = check_change(s, &t->changes[i])) < 0)
			return r;
		bytes += strlen(t->changes[i].key) + (t->changes[i].value ? t->changes[i].size : 0);
	}
	if (bytes > STORE_BYTES_MAX)
		return store_fail(s, -E2BIG, "a transaction has more than %u bytes",
				  STORE_BYTES_MAX);
	return check_once(s, t);
}

int store_commit(struct store *s, const struct store_transaction *t, uint64_t *ret_revision)
{
	uint64_t revision;
	int r = check_transaction(s, t);

	if (r == 0)
		r = s->ops->commit(s, t, &revision);
	if (r == 0 && ret_revision)
		*ret_revision = revision;
	return r;
}

int store_trim(struct store *s, uint64_t revision)
{
	if (revision > INT64_MAX)
		return store_fail(s, -EINVAL, "no such revision");
	return s->ops->trim(s, revision);
}

int store_watch_open(struct store *s, uint64_t after, struct store_watch **ret_watch)
{
	if (after >= INT64_MAX)
		return store_fail(s, -EINVAL, "no such revision");
	return s->ops->watch_open(s, after, ret_watch);
}

void store_watch_close(struct store_watch *w)
{
	if (w)
		w->store->ops->watch_close(w);
}

int store_watch_fd(const struct store_watch *w)
{
	return w->fd;
}

int store_watch_next(struct store_watch *w, struct store_page *ret_page)
{
	struct store_page page = { .n = 0 };
	const int r = w->store->ops->watch_next(w, &page);

	if (r == 0)
		*ret_page = page;
	else
		store_page_done(&page);
	return r;
}

int store_lease_grant(struct store *s, unsigned seconds, uint64_t *ret_lease, unsigned *ret_seconds)
{
	if (seconds < 1 || seconds > SECONDS_MAX)
		return store_fail(s, -EINVAL, "a lease has 1 to %d seconds", SECONDS_MAX);
	return s->ops->lease_grant(s, seconds, ret_lease, ret_seconds);
}

int store_lease_keep(struct store *s, uint64_t lease)
{
	if (lease == 0 || lease > INT64_MAX)
		return store_fail(s, -ENOENT, "no such lease");
	return s->ops->lease_keep(s, lease);
}

int store_lease_revoke(struct store *s, uint64_t lease)
{
	if (lease == 0 || lease > INT64_MAX)
		return store_fail(s, -ENOENT, "no such lease");
	return s->ops->lease_revoke(s, lease);
}

uint64_t store_lease_name(void)
{
	uint64_t name = 0;

	while (name == 0) {
		if (getrandom(&name, sizeof(name), 0) != sizeof(name))
			name = 0;
		name &= INT64_MAX;
	}
	return name;
}

size_t store_prefix_end(char *prefix, size_t size)
{
	while (size > 0 && (unsigned char)prefix[size - 1] == 0xff)
		size--;
	if (size > 0)
		prefix[size - 1]++;
	return size;
}

/* Key and value lie behind each other in one block, which begins with the key. */
int store_page_add(struct store_page *page, const void *key, size_t key_size,
		   const struct store_entry *e)
{
	struct store_entry *entries = page->entries;
	char *block;

	if (page->n == page->space) {
		const size_t space = page->space ? 2 * page->space : 4;

		entries = reallocarray(entries, space, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		page->entries = entries;
		page->space = space;
	}
	block = malloc(key_size + 1 + (e->value ? e->size : 0) + 1);
	if (!block)
		return -ENOMEM;
	memcpy(block, key, key_size);
	block[key_size] = '\0';
	entries[page->n] = *e;
	entries[page->n].key = block;
	if (e->value) {
		entries[page->n].value = memcpy(block + key_size + 1, e->value, e->size);
		block[key_size + 1 + e->size] = '\0';
	}
	page->n++;
	return 0;
}

void store_page_done(struct store_page *page)
{
	for (size_t i = 0; i < page->n; i++)
		free((void *)page->entries[i].key);
	free(page->entries);
	*page = (struct store_page){ .n = 0 };
}
