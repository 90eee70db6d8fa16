/*
 * The store in an etcd cluster, for several authority processes.
 *
 * A request that a member doesn't answer goes to the next one, and may then be done
 * twice: harmless for reading, not for a transaction, which may have been done, or still
 * wait to be, when it is sent again. So each connection has a mark, a key that only its
 * transactions write: each one demands the mark's revision, and writes its own number
 * there. Whatever of several copies is done first makes the others fail; the mark says
 * which transaction it was. A conflict after a doubtful copy is told only when the mark
 * has been moved on by an empty transaction, so that the copy can't be done later.
 * The mark hangs on a lease of its own, far longer than any doubt, so that none stays.
 *
 * Outcomes stay unknown (-ETIMEDOUT) only where no member answers until the deadline.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "authority/etcd.h"

#define MARK_SECONDS 600
#define MARK_RENEWAL (MARK_SECONDS * 1000LL / 2) /* ms */

static struct etcd *of(struct store *s)
{
	return (struct etcd *)s;
}

/* A body under construction. */
struct body {
	char *text;
	size_t size;
	FILE *f;
};

static FILE *body_open(struct body *b)
{
	*b = (struct body){ .text = NULL };
	b->f = open_memstream(&b->text, &b->size);
	return b->f;
}

/* Takes a connection, sends the body, which is freed, within the deadline. */
static int ask(struct etcd *e, const char *path, struct body *b, json_t **ret_json, bool *ret_maybe)
{
	struct etcd_connection *c = etcd_take(e);
	struct etcd_answer answer;
	int r;

	if (!b->f || fclose(b->f) != 0 || !c) {
		r = store_fail(&e->store, -ENOMEM, "out of memory");
	} else {
		r = etcd_call(c, path, b->text, etcd_now() + STORE_DEADLINE, &answer);
		*ret_json = answer.json;
		*ret_maybe = answer.maybe;
	}
	if (c)
		etcd_give(c);
	free(b->text);
	return r;
}

/* The outcome of what may have been done without an answer. */
static int in_doubt(int r, bool maybe)
{
	return r == -EHOSTUNREACH && maybe ? -ETIMEDOUT : r;
}

static int add_all(struct etcd *e, const json_t *json, struct store_page *page)
{
	const json_t *kv;
	size_t i;
	int r;

	json_array_foreach(json_object_get(json, "kvs"), i,
			   kv) if ((r = etcd_add(e, page, kv, false)) < 0) return r;
	return 0;
}

static int etcd_get(struct store *store, const char *key, struct store_page *page)
{
	struct body b;
	json_t *json;
	bool maybe;
	int r;

	if (body_open(&b)) {
		fputs("{\"key\":", b.f);
		etcd_put_key(b.f, key);
		putc('}', b.f);
	}
	r = ask(of(store), "/v3/kv/range", &b, &json, &maybe);
	if (r < 0)
		return r;
	page->revision = etcd_number(json_object_get(json, "header"), "revision");
	r = add_all(of(store), json, page);
	json_decref(json);
	return r;
}

static void put_range(FILE *f, const struct store_range *range)
{
	const char *first = range->after ? range->after : range->prefix;
	char key[sizeof(ETCD_PREFIX) + STORE_KEY_MAX + 1];
	size_t n;

	/* With its NUL: the first key beyond that one. */
	n = (size_t)snprintf(key, sizeof(key), ETCD_PREFIX "%s", first) + (range->after ? 1 : 0);
	fputs("{\"key\":", f);
	etcd_put_bytes(f, key, n);
	n = (size_t)snprintf(key, sizeof(key), ETCD_PREFIX "%s", range->prefix);
	fputs(",\"range_end\":", f);
	etcd_put_bytes(f, key, store_prefix_end(key, n));
	fprintf(f, ",\"limit\":\"%zu\",\"revision\":\"%llu\"}", range->limit,
		(unsigned long long)range->revision);
}

static int etcd_list(struct store *store, const struct store_range *range, struct store_page *page)
{
	struct body b;
	json_t *json;
	bool maybe;
	int r;

	if (body_open(&b))
		put_range(b.f, range);
	r = ask(of(store), "/v3/kv/range", &b, &json, &maybe);
	if (r < 0)
		return r;
	page->revision = range->revision ? range->revision
					 : etcd_number(json_object_get(json, "header"), "revision");
	page->more = json_is_true(json_object_get(json, "more"));
	r = add_all(of(store), json, page);
	json_decref(json);
	return r;
}

static int grant(struct etcd_connection *c, uint64_t name, unsigned seconds, int64_t end,
		 unsigned *ret_seconds, bool *ret_maybe)
{
	struct etcd_answer answer;
	char body[96];
	int r;

	snprintf(body, sizeof(body), "{\"ID\":\"%llu\",\"TTL\":\"%u\"}", (unsigned long long)name,
		 seconds);
	r = etcd_call(c, "/v3/lease/grant", body, end, &answer);
	*ret_maybe = answer.maybe;
	if (r == 0)
		*ret_seconds = (unsigned)etcd_number(answer.json, "TTL");
	else if (r == -EEXIST) { /* by the request before, which got no answer */
		*ret_seconds = seconds;
		r = 0;
	}
	json_decref(answer.json);
	return r;
}

/* Sees that the connection has its mark. */
static int mark_ready(struct etcd_connection *c, int64_t end)
{
	const uint64_t lease = store_lease_name();
	struct etcd_answer answer;
	unsigned seconds;
	struct body b;
	bool maybe;
	int r;

	if (c->mark_revision && etcd_now() - c->mark_made < MARK_RENEWAL)
		return 0;
	if ((r = grant(c, lease, MARK_SECONDS, end, &seconds, &maybe)) < 0)
		return r;
	if (c->mark_revision) {
		/* The next transaction hangs it there. */
		c->mark_lease = lease;
		c->mark_made = etcd_now();
		return 0;
	}
	if (!body_open(&b))
		return store_fail(&c->etcd->store, -ENOMEM, "out of memory");
	fputs("{\"key\":", b.f);
	etcd_put_bytes(b.f, c->mark, strlen(c->mark));
	fprintf(b.f, ",\"lease\":\"%llu\"}", (unsigned long long)lease);
	if (fclose(b.f) != 0)
		r = store_fail(&c->etcd->store, -ENOMEM, "out of memory");
	else
		r = etcd_call(c, "/v3/kv/put", b.text, end, &answer);
	free(b.text);
	if (r < 0)
		return r;
	c->mark_revision = etcd_number(json_object_get(answer.json, "header"), "revision");
	c->mark_lease = lease;
	c->mark_made = etcd_now();
	json_decref(answer.json);
	return 0;
}

static void put_condition(FILE *f, const struct store_condition *cond)
{
	const unsigned long long is = cond->test == STORE_ABSENT ? 0 : cond->is;

	fputs(",{\"key\":", f);
	etcd_put_key(f, cond->key);
	if (cond->test == STORE_LEASED)
		fprintf(f, ",\"target\":\"LEASE\",\"lease\":\"%llu\"}", is);
	else
		fprintf(f, ",\"target\":\"MOD\",\"mod_revision\":\"%llu\"}", is);
}

static void put_change(FILE *f, const struct store_entry *e)
{
	fputs(e->value ? ",{\"request_put\":{\"key\":" : ",{\"request_delete_range\":{\"key\":", f);
	etcd_put_key(f, e->key);
	if (e->value) {
		fputs(",\"value\":", f);
		etcd_put_bytes(f, e->value, e->size);
		fprintf(f, ",\"lease\":\"%llu\"", (unsigned long long)e->lease);
	}
	fputs("}}", f);
}

static void put_transaction(FILE *f, const struct etcd_connection *c,
			    const struct store_transaction *t, const char *number)
{
	fputs("{\"compare\":[{\"key\":", f);
	etcd_put_bytes(f, c->mark, strlen(c->mark));
	fprintf(f, ",\"target\":\"MOD\",\"mod_revision\":\"%llu\"}",
		(unsigned long long)c->mark_revision);
	for (size_t i = 0; i < t->n_conditions; i++)
		put_condition(f, &t->conditions[i]);
	fputs("],\"success\":[{\"request_put\":{\"key\":", f);
	etcd_put_bytes(f, c->mark, strlen(c->mark));
	fputs(",\"value\":", f);
	etcd_put_bytes(f, number, strlen(number));
	fprintf(f, ",\"lease\":\"%llu\"}}", (unsigned long long)c->mark_lease);
	for (size_t i = 0; i < t->n_changes; i++)
		put_change(f, &t->changes[i]);
	fputs("],\"failure\":[{\"request_range\":{\"key\":", f);
	etcd_put_bytes(f, c->mark, strlen(c->mark));
	fputs("}}]}", f);
}

/* What became of one sending of a transaction. */
struct outcome {
	enum {
		FAILED,	  /* error says why */
		DONE,	  /* at the revision */
		CONFLICT, /* a condition did not hold, the mark is where it was */
		MOVED,	  /* the mark was elsewhere: at the revision, with the number */
		GONE,	  /* there is no mark */
	} is;
	int error;
	bool maybe;
	uint64_t revision;
	char number[32];
};

static void read_mark(struct outcome *o, const json_t *kv)
{
	size_t size = 0;
	char *number = etcd_bytes(kv, "value", &size);

	o->revision = etcd_number(kv, "mod_revision");
	memset(o->number, 0, sizeof(o->number));
	if (number && size < sizeof(o->number))
		memcpy(o->number, number, size);
	free(number);
}

static void read_outcome(struct etcd_connection *c, const json_t *json, struct outcome *o)
{
	const json_t *response = json_array_get(json_object_get(json, "responses"), 0);
	const json_t *range = json_object_get(response, "response_range");
	const json_t *kv = json_array_get(json_object_get(range, "kvs"), 0);

	if (json_is_true(json_object_get(json, "succeeded"))) {
		o->is = DONE;
		o->revision = etcd_number(json_object_get(json, "header"), "revision");
		return;
	}
	read_mark(o, kv);
	if (!kv)
		o->is = GONE;
	else
		o->is = o->revision == c->mark_revision ? CONFLICT : MOVED;
}

static struct outcome send_once(struct etcd_connection *c, const struct store_transaction *t,
				const char *number, int64_t end)
{
	struct outcome o = { .is = FAILED };
	struct etcd_answer answer = { .json = NULL };
	struct body b;

	o.error = mark_ready(c, end);
	if (o.error < 0)
		return o;
	if (body_open(&b))
		put_transaction(b.f, c, t, number);
	if (!b.f || fclose(b.f) != 0)
		o.error = store_fail(&c->etcd->store, -ENOMEM, "out of memory");
	else
		o.error = etcd_call(c, "/v3/kv/txn", b.text, end, &answer);
	free(b.text);
	o.maybe = answer.maybe;
	if (o.error == 0)
		read_outcome(c, answer.json, &o);
	json_decref(answer.json);
	return o;
}

static size_t bytes_of(const struct store_transaction *t)
{
	size_t bytes = 0;

	for (size_t i = 0; i < t->n_changes; i++)
		bytes += t->changes[i].size;
	return bytes;
}

/* etcd says "no space" of a transaction that it does all the same if it is the first that
 * is too much. Asks the mark. */
static int without_space(struct etcd_connection *c, const char *number, int64_t end,
			 uint64_t *ret_revision)
{
	struct etcd_answer answer;
	struct outcome o;
	struct body b;
	int r = -ENOMEM;

	if (body_open(&b)) {
		fputs("{\"key\":", b.f);
		etcd_put_bytes(b.f, c->mark, strlen(c->mark));
		putc('}', b.f);
		if (fclose(b.f) == 0)
			r = etcd_call(c, "/v3/kv/range", b.text, end, &answer);
		free(b.text);
	}
	if (r < 0)
		return -ETIMEDOUT;
	read_mark(&o, json_array_get(json_object_get(answer.json, "kvs"), 0));
	json_decref(answer.json);
	c->mark_revision = o.revision;
	if (strcmp(o.number, number) != 0)
		return store_fail(&c->etcd->store, -ENOSPC, "etcd has no space: raise its quota");
	*ret_revision = o.revision;
	return 0;
}

/* Sends it until its outcome is sure, or time is out. */
static int settle(struct etcd_connection *c, const struct store_transaction *t,
		  uint64_t *ret_revision)
{
	static const struct store_transaction nothing;
	const int64_t end = etcd_now() + STORE_DEADLINE + etcd_more(bytes_of(t));
	struct store *s = &c->etcd->store;
	bool doubt = false, fence = false;
	char number[24], fence_number[32];
	struct outcome o;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)++c->transactions);
	snprintf(fence_number, sizeof(fence_number), "%s fence", number);
	for (;;) {
		o = send_once(c, fence ? &nothing : t, fence ? fence_number : number, end);
		doubt |= o.maybe;
		switch (o.is) {
		case MOVED:
			c->mark_revision = o.revision;
			if (strcmp(o.number, fence ? fence_number : number) != 0 &&
			    strcmp(o.number, number) != 0)
				break; /* by a transaction before, of unknown outcome till now */
			fence = fence && strcmp(o.number, number) != 0;
			/* fall through */
		case DONE:
			c->mark_revision = o.revision;
			*ret_revision = o.revision;
			return fence ? store_fail(s, -EAGAIN, "a key is not as it was expected")
				     : 0;
		case CONFLICT:
			if (!doubt)
				return store_fail(s, -EAGAIN, "a key is not as it was expected");
			fence = true;
			break;
		case GONE:
			c->mark_revision = 0;
			if (doubt)
				return -ETIMEDOUT;
			break;
		case FAILED:
			/* No lease: the caller's; or the mark's, when it was asleep for long. */
			if (o.error == -ENOENT && etcd_now() - c->mark_made > MARK_RENEWAL / 2)
				c->mark_revision = 0;
			if (o.error == -ENOSPC && !doubt)
				return without_space(c, number, end, ret_revision);
			return doubt ? -ETIMEDOUT : o.error;
		}
	}
}

static int etcd_commit(struct store *store, const struct store_transaction *t,
		       uint64_t *ret_revision)
{
	struct etcd_connection *c = etcd_take(of(store));
	int r;

	if (!c)
		return -ENOMEM;
	r = settle(c, t, ret_revision);
	etcd_give(c);
	return r;
}

static int etcd_trim(struct store *store, uint64_t revision)
{
	struct body b;
	json_t *json;
	bool maybe;
	int r;

	if (revision == 0)
		return 0;
	if (body_open(&b))
		fprintf(b.f, "{\"revision\":\"%llu\"}", (unsigned long long)revision);
	r = ask(of(store), "/v3/kv/compaction", &b, &json, &maybe);
	if (r == 0)
		json_decref(json);
	return r == -ESTALE ? 0 : in_doubt(r, maybe);
}

static int etcd_lease_grant(struct store *store, unsigned seconds, uint64_t *ret_lease,
			    unsigned *ret_seconds)
{
	struct etcd_connection *c = etcd_take(of(store));
	const uint64_t name = store_lease_name();
	bool maybe;
	int r;

	if (!c)
		return -ENOMEM;
	r = grant(c, name, seconds, etcd_now() + STORE_DEADLINE, ret_seconds, &maybe);
	etcd_give(c);
	if (r == 0)
		*ret_lease = name;
	return in_doubt(r, maybe);
}

/* keep, revoke: a body with the lease's name. */
static int lease_call(struct store *store, const char *path, uint64_t lease, json_t **ret_json)
{
	struct body b;
	bool maybe;
	int r;

	if (body_open(&b))
		fprintf(b.f, "{\"ID\":\"%llu\"}", (unsigned long long)lease);
	r = ask(of(store), path, &b, ret_json, &maybe);
	if (r == -ENOENT)
		/* Gone, perhaps by the request before, which got no answer. */
		return maybe ? -ETIMEDOUT : store_fail(store, r, "the lease has ended");
	return in_doubt(r, maybe);
}

static int etcd_lease_keep(struct store *store, uint64_t lease)
{
	json_t *json;
	uint64_t seconds;
	int r = lease_call(store, "/v3/lease/keepalive", lease, &json);

	if (r < 0)
		return r == -ETIMEDOUT ? -EHOSTUNREACH : r;
	/* A lease that is gone has no seconds left. */
	seconds = etcd_number(json_object_get(json, "result"), "TTL");
	json_decref(json);
	return seconds > 0 ? 0 : store_fail(store, -ENOENT, "the lease has ended");
}

static int etcd_lease_revoke(struct store *store, uint64_t lease)
{
	json_t *json;
	int r = lease_call(store, "/v3/lease/revoke", lease, &json);

	if (r == 0)
		json_decref(json);
	return r;
}

static void etcd_close(struct store *store)
{
	struct etcd *e = of(store);
	struct etcd_connection *c;

	while ((c = e->idle)) {
		e->idle = c->next;
		etcd_connection_free(c);
	}
	for (size_t i = 0; i < e->n_members; i++)
		free(e->members[i]);
	free(e->ca);
	free(e->certificate);
	free(e->key);
	pthread_mutex_destroy(&e->lock);
	store_done(store);
	free(e);
	curl_global_cleanup();
}

static const struct store_ops ops = {
	.shared = true,
	.close = etcd_close,
	.get = etcd_get,
	.list = etcd_list,
	.commit = etcd_commit,
	.trim = etcd_trim,
	.watch_open = etcd_watch_open,
	.watch_close = etcd_watch_close,
	.watch_next = etcd_watch_next,
	.lease_grant = etcd_lease_grant,
	.lease_keep = etcd_lease_keep,
	.lease_revoke = etcd_lease_revoke,
};

static bool is_here(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
	       strncmp(host, "localhost:", 10) == 0;
}

/* Takes the list of members apart. */
static int add_members(struct etcd *e, const char *list, bool tls, char error[STORE_ERROR])
{
	for (size_t n; *list; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (e->n_members == ETCD_MEMBERS || n > 256) {
			snprintf(error, STORE_ERROR,
				 "etcd has more than %d members, or a long name", ETCD_MEMBERS);
			return -EINVAL;
		}
		if (!(strncmp(list, "https://", 8) == 0 && tls) &&
		    !(strncmp(list, "http://", 7) == 0 && is_here(list + 7))) {
			snprintf(
				error, STORE_ERROR,
				"etcd at %.*s: expected https://host:port with CA, certificate and "
				"key; http only to this machine itself",
				(int)n, list);
			return -EINVAL;
		}
		e->members[e->n_members] = strndup(list, n);
		if (!e->members[e->n_members])
			return -ENOMEM;
		if (list[n - 1] == '/')
			e->members[e->n_members][n - 1] = '\0';
		e->n_members++;
	}
	if (e->n_members > 0)
		return 0;
	snprintf(error, STORE_ERROR, "expected etcd:https://host:port,...");
	return -EINVAL;
}

/* Asks each member for as many operations as a transaction may have, none of which is
 * done: one at least must answer, and all that do be of the same cluster. */
static int try_members(struct etcd *e)
{
	struct etcd_connection *c = etcd_take(e);
	struct etcd_answer answer;
	uint64_t cluster = 0, other;
	struct body b;
	int r = 0;

	if (!c)
		return -ENOMEM;
	if (body_open(&b)) {
		fputs("{\"compare\":[{\"key\":\"dg==\",\"target\":\"CREATE\",\"result\":\"LESS\","
		      "\"create_revision\":\"0\"}],\"success\":[{\"request_range\":{\"key\":\"dg==\"}}",
		      b.f);
		for (unsigned i = 0; i < STORE_OPS_MAX; i++)
			fputs(",{\"request_range\":{\"key\":\"dg==\"}}", b.f);
		fputs("]}", b.f);
	}
	if (!b.f || fclose(b.f) != 0)
		r = store_fail(&e->store, -ENOMEM, "out of memory");
	for (size_t i = 0; (r == 0 || r == -EHOSTUNREACH) && i < e->n_members; i++) {
		r = etcd_ask(c, i, "/v3/kv/txn", b.text, STORE_DEADLINE / 2, &answer);
		if (r < 0)
			continue;
		other = etcd_number(json_object_get(answer.json, "header"), "cluster_id");
		json_decref(answer.json);
		if (cluster && other != cluster)
			r = store_fail(&e->store, -EINVAL,
				       "etcd at %s is of another cluster than those before it",
				       e->members[i]);
		cluster = other;
	}
	free(b.text);
	etcd_give(c);
	return r == -EHOSTUNREACH && cluster ? 0 : r;
}

static bool copy(const char *from, char **ret)
{
	*ret = from ? strdup(from) : NULL;
	return *ret;
}

int store_etcd_open(const char *endpoints, const struct store_tls *tls, struct store **ret_store,
		    char error[STORE_ERROR])
{
	struct etcd *e = calloc(1, sizeof(*e));
	bool whole;
	int r;

	if (!e || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(e);
		return -ENOMEM;
	}
	store_init(&e->store, &ops);
	pthread_mutex_init(&e->lock, NULL);
	whole = tls && copy(tls->ca, &e->ca) && copy(tls->certificate, &e->certificate) &&
		copy(tls->key, &e->key);
	r = add_members(e, endpoints, whole, error);
	if (r == 0 && (r = try_members(e)) < 0)
		store_error(&e->store, error);
	if (r < 0) {
		etcd_close(&e->store);
		return r;
	}
	*ret_store = &e->store;
	return 0;
}
