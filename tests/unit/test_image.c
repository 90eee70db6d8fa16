/* links: common/image common/image_code common/image_change common/image_tiny common/network common/sign
 * common/addr common/wire */
/*
 * Images and changes: there and back, every cut and every turned bit, changes that are
 * exact or refused, random histories.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/image_private.h"
#include "tests/unit/image_world.h"

static struct signer *signer;

static int setup(void **state)
{
	(void)state;
	signer = signer_new(image_seed);
	return !signer;
}

static int teardown(void **state)
{
	(void)state;
	signer_free(signer);
	return 0;
}

/* All that there can be: both sides alike and apart, an alias's source alone, IPv6. */
static struct image *sample(void)
{
	struct image *image = image_new();
	struct image_tiny *tiny;
	struct image_peer *p;

	image->version = (struct version){ 3, 41 };
	image->router = 1;
	image->step = 1;
	image->self = (struct image_self){ IMAGE_POLL_UDP, 2, { 4, 2 } };
	image_add_network(image, 7, 0, NULL);
	image_add_network(image, 8, SIDES,
			  ROWS("1 172.16.1.0/24", "1 fd00::1/128", "2 172.16.2.5/32", "3 0.0.0.0/0",
			       "3 ::/0"));
	image_add_network(image, 9, SIDE_SEND, ROWS("1 10.0.0.0/9", "4 10.128.0.0/9"));
	image_add_network(image, 9, SIDE_RECEIVE, ROWS("4 10.128.0.0/9"));
	image_add_alias(image, 7, 8);
	image_add_alias(image, 7, 9);
	p = image_add_peer(image, 2, "r2", "192.0.2.1:8463");
	strcpy(p->endpoints[p->n_endpoints++], "[2001:db8::2]:1");
	strcpy(p->endpoints[p->n_endpoints++], "gate.example.org:65535");
	p->n_keys = 2;
	p->keys[1] = (struct image_key){ 3, "abc" };
	p = image_add_peer(image, 3, "r-3.x", NULL);
	p->relay = p->transit = true;
	p->direct = false;
	p->tls_port = 8443;
	p->n_queue_routers = 2;
	p->queue_routers[0] = 4;
	p->queue_routers[1] = 2;
	image_add_peer(image, 4, "r4", NULL);
	image_add_tiny(image, 10, "vm-a", "172.16.1.9");
	tiny = image_add_tiny(image, 11, "vm-b", "172.16.1.10");
	tiny->here = true;
	tiny->n_addresses = 2;
	ip_parse("fd00::1", &tiny->addresses[1]);
	image_add_tiny(image, 12, "vm-c", "172.16.1.11");
	assert_true(image_valid(image));
	return image;
}

static bool same_image(const struct image *a, const struct image *b)
{
	size_t n, m;
	uint8_t *x = image_encode(a, signer, &n), *y = image_encode(b, signer, &m);
	bool same = n == m && !memcmp(x, y, n);

	free(x);
	free(y);
	return same;
}

static void there_and_back(void **state)
{
	struct image *a = sample(), *b, *none = image_new();
	size_t len;
	uint8_t *bytes = image_encode(a, signer, &len);

	(void)state;
	assert_int_equal(image_kind(bytes, len), IMAGE_WHOLE);
	assert_true(image_verify(bytes, len, signer_public(signer)));
	assert_int_equal(image_decode(bytes, len, &b), 0);
	assert_true(same_image(a, b));
	assert_int_equal(b->version.generation, 3);
	assert_int_equal(b->version.number, 41);
	assert_int_equal(b->self.limited, IMAGE_POLL_UDP);
	assert_int_equal(b->self.queue_routers[1], 2);
	assert_string_equal(image_peer(b, 2)->endpoints[2], "gate.example.org:65535");
	assert_null(image_peer(b, 1));
	assert_string_equal(image_tiny(b, 11)->name, "vm-b");
	assert_true(image_tiny(b, 11)->here && !image_tiny(b, 10)->here);
	assert_int_equal(image_tiny(b, 11)->addresses[1].family, 6);
	assert_null(image_tiny(b, 4));
	assert_int_equal(image_network(b, 9, SIDE_SEND)->table->n, 2);
	assert_int_equal(image_network(b, 9, SIDE_RECEIVE)->table->n, 1);
	assert_ptr_equal(image_network(b, 8, SIDE_SEND), image_network(b, 8, SIDE_RECEIVE));
	assert_null(image_network(b, 7, SIDES));
	image_free(b);
	free(bytes);
	none->router = 5;
	bytes = image_encode(none, signer, &len);
	assert_int_equal(image_decode(bytes, len, &b), 0);
	image_free(b);
	free(bytes);
	image_free(none);
	image_free(a);
}

/* A change that has everything in it. */
static struct image_change *sample_change(struct image **ret_from, struct image **ret_to)
{
	struct image *from = sample(), *to = image_new();

	to->version = (struct version){ 3, 42 };
	to->router = 1;
	to->step = 2;
	to->self = (struct image_self){ IMAGE_CHANNEL, 1, { 5 } };
	image_add_network(to, 8, SIDE_SEND,
			  ROWS("1 172.16.1.0/24", "1 fd00::1/128", "2 172.16.2.5/32", "3 0.0.0.0/0",
			       "3 ::/0"));
	image_add_network(to, 8, SIDE_RECEIVE,
			  ROWS("1 172.16.1.0/24", "2 172.16.2.4/31", "3 0.0.0.0/0", "3 ::/0"));
	image_add_network(to, 9, SIDES, ROWS("4 10.128.0.0/9"));
	image_add_network(to, 10, SIDES, ROWS("1 192.0.2.0/24", "2 198.51.100.0/24"));
	image_add_alias(to, 9, 10);
	image_add_peer(to, 2, "r2", "192.0.2.9:8463");
	image_add_peer(to, 4, "r4", NULL);
	image_add_peer(to, 5, "r5", NULL);
	image_add_tiny(to, 10, "vm-a", "172.16.1.9");
	image_add_tiny(to, 12, "vm-c", "172.16.1.11")->key.bytes[0] = 0;
	image_add_tiny(to, 13, "vm-d", "172.16.1.12");
	assert_true(image_valid(to));
	*ret_from = from;
	*ret_to = to;
	return image_change_new(from, to);
}

static void change_there_and_back(void **state)
{
	struct image *from, *to, *made;
	struct image_change *c = sample_change(&from, &to), *again;
	size_t len, whole;
	uint8_t *bytes = image_change_encode(c, signer, &len), *twice;

	(void)state;
	assert_int_equal(image_kind(bytes, len), IMAGE_CHANGE);
	assert_true(image_verify(bytes, len, signer_public(signer)));
	assert_int_equal(image_change_decode(bytes, len, &again), 0);
	twice = image_change_encode(again, signer, &whole);
	assert_true(whole == len && !memcmp(bytes, twice, len));
	free(twice);
	assert_int_equal(image_apply_change(from, again, &made), 0);
	assert_true(same_image(made, to));
	/* only what is different goes over the wire, and unchanged tables are shared */
	assert_int_equal(again->n_networks, 4);
	assert_int_equal(again->n_gone, 1);
	assert_int_equal(again->n_peers, 2);
	assert_int_equal(again->n_tinies_gone, 1);
	assert_int_equal(again->n_tinies, 2);
	assert_ptr_equal(image_tiny(made, 10), image_tiny(from, 10));
	assert_ptr_equal(image_network(made, 8, SIDE_SEND)->table,
			 image_network(from, 8, SIDE_SEND)->table);
	/* again, on its result, on another base, for another router */
	assert_int_equal(image_apply_change(made, again, &made), -ESTALE);
	from->version.generation++;
	assert_int_equal(image_apply_change(from, again, &made), -ESTALE);
	from->version.generation--;
	from->router = 9;
	assert_int_equal(image_apply_change(from, again, &made), -ESTALE);
	image_change_free(again);
	image_change_free(c);
	image_free(made);
	image_free(from);
	image_free(to);
	free(bytes);
}

/* A base that isn't what the change says: nothing is guessed. */
static void change_is_exact(void **state)
{
	struct image *from, *to, *made = NULL;
	struct image_change *c = sample_change(&from, &to);
	struct network_table *t = from->networks[1].table;
	struct network_row row = t->rows[1];

	(void)state;
	/* a row that goes isn't there */
	memmove(&t->rows[1], &t->rows[2], (--t->n - 1) * sizeof(row));
	assert_int_equal(image_apply_change(from, c, &made), -EBADMSG);
	memmove(&t->rows[2], &t->rows[1], (t->n++ - 1) * sizeof(row));
	t->rows[1] = row;
	/* one that comes is there */
	row = t->rows[2];
	t->rows[2].prefix.len = 31;
	t->rows[2].prefix.ip.b[3] = 4;
	assert_int_equal(image_apply_change(from, c, &made), -EBADMSG);
	t->rows[2] = row;
	/* a network that it is made from is another side's */
	from->networks[1].sides = SIDE_SEND;
	assert_int_equal(image_apply_change(from, c, &made), -EBADMSG);
	from->networks[1].sides = SIDES;
	/* a peer that goes isn't there */
	from->peers[1]->id = 4;
	assert_int_equal(image_apply_change(from, c, &made), -EBADMSG);
	from->peers[1]->id = 3;
	/* ... or a tiny */
	from->tinies[1]->id = 12;
	assert_int_equal(image_apply_change(from, c, &made), -EBADMSG);
	from->tinies[1]->id = 11;
	assert_int_equal(image_apply_change(from, c, &made), 0);
	image_free(made);
	image_change_free(c);
	image_free(from);
	image_free(to);
}

/* Whether the bytes are taken in some way; nothing that is taken may be malformed. */
static bool taken(const uint8_t *bytes, size_t len)
{
	/* exactly so many bytes, for a sanitizer to watch */
	uint8_t *copy = malloc(len ? len : 1);
	struct image *image;
	struct image_change *change;
	bool ok = false;

	memcpy(copy, bytes, len);
	if (!image_decode(copy, len, &image)) {
		ok = true;
		assert_true(image_valid(image));
		image_free(image);
	}
	if (!image_change_decode(copy, len, &change)) {
		assert_false(ok);
		ok = true;
		image_change_free(change);
	}
	free(copy);
	return ok;
}

static void cut_and_turn(uint8_t *bytes, size_t len)
{
	const uint8_t *key = signer_public(signer);

	assert_true(taken(bytes, len));
	for (size_t i = 0; i < len; i++) {
		assert_false(taken(bytes, i));
		assert_false(image_verify(bytes, i, key));
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(image_verify(bytes, len, key));
		taken(bytes, len);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	bytes = realloc(bytes, len + 1);
	memmove(bytes + len - SIGN_BYTES + 1, bytes + len - SIGN_BYTES, SIGN_BYTES);
	assert_false(taken(bytes, len + 1)); /* something behind the end */
	assert_true(image_verify(bytes, len, key) == false);
	free(bytes);
}

static void every_cut_and_bit(void **state)
{
	struct image *from, *to;
	struct image_change *c = sample_change(&from, &to);
	struct signer *other = signer_new((const uint8_t *)"another signing key of 32 bytes.");
	size_t len;
	uint8_t *bytes = image_encode(from, signer, &len);

	(void)state;
	assert_false(image_verify(bytes, len, signer_public(other)));
	cut_and_turn(bytes, len);
	bytes = image_change_encode(c, signer, &len);
	cut_and_turn(bytes, len);
	signer_free(other);
	image_change_free(c);
	image_free(from);
	image_free(to);
}

#define assert_bad(how) \
	do { \
		struct image *image = sample(); \
		struct image *got; \
		size_t len; \
		uint8_t *bytes; \
		how; \
		assert_false(image_valid(image)); \
		bytes = image_encode(image, signer, &len); \
		assert_int_equal(image_decode(bytes, len, &got), -EBADMSG); \
		free(bytes); \
		image_free(image); \
	} while (0)

static void what_is_not_good(void **state)
{
	(void)state;
	assert_bad(image->router = 0);
	assert_bad(image->step = IMAGE_STEPS);
	assert_bad(image->networks[0].sides = 4);
	assert_bad(image->networks[1].sides = 0);
	assert_bad(image->networks[2].sides = SIDES);
	assert_bad(image->networks[3].protection = PROTECT_HMAC);
	assert_bad(image->networks[0].protection = PROTECTIONS);
	assert_bad(image->networks[1].table->id = 7);
	assert_bad(image->networks[0].table->id = 0);
	assert_bad(image->networks[1].table->rows[0].router = 2);
	assert_bad(image->networks[2].table->rows[1].router = 1;
		   image->networks[2].table->rows[1].prefix =
			   image->networks[2].table->rows[0].prefix;
		   image->networks[2].table->rows[1].prefix.len++);
	assert_bad(image->networks[1].table->rows[0].router = 0);
	assert_bad(image->aliases[0].to = 7);
	assert_bad(image->aliases[0].to = 11);
	assert_bad(image->aliases[0].from = 6);
	assert_bad(image->aliases[1] = image->aliases[0]);
	assert_bad(image->peers[0]->id = 1);
	assert_bad(image->peers[0]->id = 3);
	assert_bad(image->peers[0]->name[1] = ' ');
	assert_bad(image->peers[0]->name[0] = '\0');
	assert_bad(image->peers[0]->n_keys = 0);
	assert_bad(image->peers[0]->keys[0].len = 0);
	assert_bad(image->peers[1]->queue_routers[0] = 3);
	assert_bad(image->tinies[0]->id = 1); /* the addressee */
	assert_bad(image->tinies[0]->id = 4); /* a peer */
	assert_bad(image->tinies[0]->id = 11);
	assert_bad(image->tinies[0]->name[0] = '/');
	assert_bad(image->tinies[0]->key.len = 0);
	assert_bad(image->tinies[0]->n_addresses = 0);
	assert_bad(image->tinies[1]->addresses[1] = image->tinies[1]->addresses[0]);
	assert_bad(image->self.limited = IMAGE_MODES);
	assert_bad(image->self.limited = IMAGE_NOT_LIMITED);
	assert_bad(image->self.queue_routers[0] = 1); /* itself */
	assert_bad(image->self.queue_routers[0] = 2); /* twice */
	assert_bad(image->self.queue_routers[0] = 6); /* no peer */
	assert_bad(image->self.queue_routers[0] = 0);
	for (unsigned i = 0; i < 10; i++) {
		static const char *const bad[10] = { "",	   ":1",       "a",
						     "a:",	   "a:0",      "a:65536",
						     "a:99999999", "2001:1:2", "[2001::1:2",
						     "a b:1" };

		assert_bad(strcpy(image->peers[0]->endpoints[0], bad[i]));
	}
}

/* ---- random histories --------------------------------------------------------------- */

static uint64_t seed = 1;

static unsigned any(unsigned below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % below;
}

static struct image *random_image(uint64_t number)
{
	struct image *image = image_new();

	image->version = (struct version){ 1, number };
	image->router = 1;
	for (uint32_t id = 1; id < 12; id++) {
		unsigned what = any(4);

		for (unsigned entry = 0; entry < (what == 3 ? 2 : 1); entry++) {
			char text[40][32];
			const char *rows[41] = { NULL };
			unsigned n = 0;

			for (unsigned r = 1; r < 5; r++)
				for (unsigned k = 0; k < 8; k++)
					if (any(3) == 0) {
						sprintf(text[n], "%u 10.%u.%u.%u/32", r, id, r, k);
						rows[n] = text[n];
						n++;
					}
			if (what)
				image_add_network(image, id,
						  what == 3   ? entry ? SIDE_RECEIVE : SIDE_SEND
						  : what == 2 ? SIDES
							      : (uint8_t)(1 + any(2)),
						  rows);
		}
	}
	for (uint32_t id = 2; id < 6; id++)
		if (any(2))
			image_add_peer(image, id, "x", any(2) ? "a:1" : NULL);
	image->self.limited = (uint8_t)any(IMAGE_MODES);
	for (size_t i = 0; image->self.limited && i < image->n_peers; i++)
		if (any(2))
			image->self.queue_routers[image->self.n_queue_routers++] =
				image->peers[i]->id;
	for (uint32_t from = 1; from < 12; from++)
		for (uint32_t to = 1; to < 12; to++)
			if (from != to && !any(8) && image_network(image, from, SIDES) &&
			    image_network(image, to, SIDE_RECEIVE))
				image_add_alias(image, from, to);
	assert_true(image_valid(image));
	return image;
}

static uint8_t *put_number(uint8_t *at, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		*at++ = (uint8_t)(n >> (24 - 8 * i));
	return at;
}

/* Rows and peers beyond what a router takes are counted before there is memory for them:
 * here their bytes are zeros, none of which is good. */
static void too_large(void **state)
{
	static const uint8_t head[] = { 'V', 'i', 'N', 'T', 2, IMAGE_WHOLE, 0, 0, 0, 0, 1 };
	size_t room = IMAGE_ROWS + IMAGE_PEERS * 15 + 1000;
	uint8_t *bytes = calloc(1, room), *at = bytes + sizeof(head) + 16 + 2, *end;
	struct image *image;

	(void)state;
	memcpy(bytes, head, sizeof(head));
	for (uint32_t more = 0; more < 2; more++) {
		end = put_number(at, 1); /* one network */
		end = put_number(end, 8000);
		*end++ = SIDES;
		*end++ = 0;
		end = put_number(end, 1); /* of one router */
		end = put_number(end, 7);
		end = put_number(end, IMAGE_ROWS + more);
		end += IMAGE_ROWS + more + SIGN_BYTES;
		assert_int_equal(image_decode(bytes, (size_t)(end - bytes), &image),
				 more ? -EMSGSIZE : -EBADMSG);
	}
	memset(at, 0, 64);
	for (uint32_t more = 0; more < 2; more++) {
		end = put_number(at + 8, IMAGE_PEERS + more); /* no networks, no aliases */
		end += (IMAGE_PEERS + more) * 15 + SIGN_BYTES;
		assert_int_equal(image_decode(bytes, (size_t)(end - bytes), &image),
				 more ? -EMSGSIZE : -EBADMSG);
	}
	free(bytes);
}

static void random_histories(void **state)
{
	struct image *runs = random_image(1);

	(void)state;
	for (uint64_t i = 2; i < 500; i++) {
		struct image *next = random_image(i), *made;
		struct image_change *c = image_change_new(runs, next), *read;
		size_t len;
		uint8_t *bytes = image_change_encode(c, signer, &len);

		assert_int_equal(image_change_decode(bytes, len, &read), 0);
		assert_int_equal(image_apply_change(runs, read, &made), 0);
		assert_true(same_image(made, next));
		image_free(next);
		image_free(runs);
		image_change_free(c);
		image_change_free(read);
		free(bytes);
		runs = made;
	}
	image_free(runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),   cmocka_unit_test(change_there_and_back),
		cmocka_unit_test(change_is_exact),  cmocka_unit_test(every_cut_and_bit),
		cmocka_unit_test(what_is_not_good), cmocka_unit_test(random_histories),
		cmocka_unit_test(too_large),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
