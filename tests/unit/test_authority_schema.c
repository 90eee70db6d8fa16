/* links: libauthority libcommon */
/*
 * Stores of an earlier version, in a file and in etcd: all their records are served after
 * they were made anew, once, whoever writes meanwhile; those of a later version are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "authority/records.h"
#include "authority/schema.h"
#include "authority/store_private.h"
#include "tests/unit/store_world.h"

#define HOSTS 2500
#define VN(name) \
	"{\"name\":\"" name "\",\"creator\":\"joe\",\"admins\":[],\"users\":[],\"members\":[]," \
	"\"created\":1,\"change\":\"c\"}"
#define HOST "{\"router\":\"r\",\"owner\":\"joe\",\"addresses\":[\"172.16.0.9\"],\"created\":1}"

/* As the first version wrote them. */
static const char *const records[][2] = {
	{ "order", "{\"n\":7,\"next_vn\":8,\"next_router\":3,\"space\":[\"172.16.0.0/12\"]}" },
	{ "user/joe", "{\"roles\":[\"adm\"],\"key\":\"\",\"revoked\":false,\"created\":1}" },
	{ "site/s", "{\"admins\":[\"joe\"],\"subnets\":[],\"location\":\"\",\"contact\":\"\","
		    "\"created\":1}" },
	{ "router/r",
	  "{\"id\":1,\"site\":\"s\",\"key\":\"\",\"endpoint\":\"\",\"queue_routers\":[],"
	  "\"blocks\":[],\"disabled\":false,\"revoked\":false,\"created\":1}" },
	{ "vn/1", VN("v") },
	{ "token/t", "{\"registers\":\"user\",\"site\":\"\",\"roles\":[\"eu\"],\"issuer\":\"joe\","
		     "\"count\":1,\"used\":0,\"expires\":5}" },
	{ "change/c", "{\"time\":1,\"caller\":\"user/joe\",\"operation\":\"vn-change\","
		      "\"before\":{\"vn/1\":" VN("u") "},\"after\":{\"vn/1\":" VN("v") "}}" },
	{ "audit/1", "{\"time\":1,\"caller\":\"-\",\"operation\":\"x\",\"target\":\"\","
		     "\"allowed\":true,\"detail\":\"\"}" },
};
#define RECORDS (sizeof(records) / sizeof(*records))

static void put_record(struct store *s, const char *key, const char *value)
{
	const struct store_entry e = { .key = key, .value = value, .size = strlen(value) };

	assert_int_equal(store_commit(s, &(struct store_transaction){ NULL, 0, &e, 1 }, NULL), 0);
}

static void begin(struct store *s)
{
	char keys[500][32];
	struct store_entry hosts[500];

	for (size_t i = 0; i < RECORDS; i++)
		put_record(s, records[i][0], records[i][1]);
	put_record(s, "published", "{}"); /* of before: it goes */
	for (int done = 0; done < HOSTS; done += 500) {
		for (int i = 0; i < 500; i++) {
			snprintf(keys[i], sizeof(keys[i]), "host/h%d", done + i);
			hosts[i] = (struct store_entry){ .key = keys[i],
							 .value = HOST,
							 .size = strlen(HOST) };
		}
		assert_int_equal(store_commit(s, &(struct store_transaction){ NULL, 0, hosts, 500 },
					      NULL),
				 0);
	}
}

/* All of them, each as this version knows it. The number; *ret_revision: of the last write. */
static size_t read_all(struct store *s, uint64_t *ret_revision)
{
	struct store_range range = { .prefix = "", .limit = STORE_PAGE_MAX };
	char after[STORE_KEY_MAX + 1], error[RECORD_ERROR];
	struct store_page page;
	struct record rec;
	bool more = true;
	size_t n = 0;

	*ret_revision = 0;
	while (more) {
		assert_int_equal(store_list(s, &range, &page), 0);
		for (size_t i = 0; i < page.n; i++) {
			const struct store_entry *e = &page.entries[i];
			json_t *value = json_loadb(e->value, e->size, 0, NULL);

			if (e->revision > *ret_revision)
				*ret_revision = e->revision;
			if (!strcmp(e->key, SCHEMA_KEY)) {
				assert_int_equal(
					json_integer_value(json_object_get(value, "version")),
					RECORDS_VERSION);
			} else {
				if (record_decode(e->key, value, &rec, error))
					fail_msg("%s", error);
				if (rec.kind == RECORD_ROUTER) {
					assert_int_equal(rec.router.tls_port, 443);
					assert_true(rec.router.direct);
					assert_false(rec.router.relay);
				}
				if (rec.kind == RECORD_ORDER)
					assert_int_equal(rec.order.generation, 1);
				if (rec.kind == RECORD_CHANGE)
					assert_string_equal(
						json_string_value(json_object_get(
							json_object_get(rec.change.before, "vn/1"),
							"protection")),
						"default");
				record_done(&rec);
				n++;
			}
			json_decref(value);
		}
		more = page.more;
		snprintf(after, sizeof(after), "%s", page.n ? page.entries[page.n - 1].key : "");
		range.after = after;
		store_page_done(&page);
	}
	return n;
}

/* Somebody else writes a record while they are read. */
static const struct store_ops *real;
static struct store_ops other;
static unsigned commits;

static int commit_beside(struct store *s, const struct store_transaction *t, uint64_t *revision)
{
	const struct store_entry e = { .key = "host/h7", .value = HOST, .size = strlen(HOST) };
	uint64_t mine;

	if (commits++ == 2)
		assert_int_equal(
			real->commit(s, &(struct store_transaction){ NULL, 0, &e, 1 }, &mine), 0);
	return real->commit(s, t, revision);
}

static void upgrade(struct store *s)
{
	char error[STORE_ERROR] = "";
	uint64_t revision, again;

	assert_int_equal(schema_open(s, error), 0); /* empty: nothing is done */
	begin(s);
	real = s->ops;
	other = *real;
	other.commit = commit_beside;
	s->ops = &other;
	commits = 0;
	if (schema_open(s, error))
		fail_msg("%s", error);
	s->ops = real;
	assert_true(commits > 3);
	assert_int_equal(read_all(s, &revision), RECORDS + HOSTS);
	/* Once. */
	assert_int_equal(schema_open(s, error), 0);
	read_all(s, &again);
	assert_int_equal(again, revision);
	put_record(s, SCHEMA_KEY, "{\"version\":1000}");
	assert_int_equal(schema_open(s, error), -EPERM);
	assert_non_null(strstr(error, "newer"));
}

static void test_sqlite(void **state)
{
	char url[160];
	struct store *s;

	(void)state;
	snprintf(url, sizeof(url), "sqlite:%s/old.db", world_directory);
	s = open_soon(url, NULL);
	upgrade(s);
	store_close(s);
}

static void test_etcd(void **state)
{
	static struct cluster cluster;
	struct store *s;

	(void)state;
	if (!has_etcd())
		skip();
	signal(SIGPIPE, SIG_IGN);
	cluster_start(&cluster, 1, "schema", NULL);
	s = open_soon(cluster.url, NULL);
	upgrade(s);
	store_close(s);
	cluster_end(&cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sqlite),
		cmocka_unit_test(test_etcd),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
