/* links: router/offload common/inet common/inet_cut common/inet_check common/packet common/addr */
/*
 * Super-packets: what is cut and put together again is what it was, whatever lies
 * between; what the kernel says is believed only as far as it fits the packet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/inet.h"
#include "router/offload.h"
#include "tests/unit/inet_build.h"

#define POOL 256
#define ACK 0x10
#define PSH 0x08

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

static void parse(struct packet *p)
{
	size_t len;

	assert_true(inet_parse(p->data, p->len, &p->inet, &len));
	assert_int_equal(len, p->len);
	p->flow = inet_flow_hash(p->data, p->len, &p->inet);
}

/* A packet of n payload bytes with a full checksum, from port 40000 + flow. */
static struct packet *build(struct pool *pool, bool v6, bool tcp, unsigned flow, uint8_t flags,
			    size_t n)
{
	const uint8_t timestamps[12] = { 1, 1, 8, 10, 0, 0, 0, 9 };
	struct packet *p = pool_get(pool);
	size_t l4 = v6 ? 40 : 20, header = tcp ? 32 : 8;

	assert_non_null(p);
	p->len = (uint32_t)(v6 ? build_v6(p->data, tcp ? 6 : 17, header + n)
			       : build_v4(p->data, NULL, 0, tcp ? 6 : 17, header + n));
	if (tcp)
		build_tcp(p->data, l4, p->len, flags, timestamps, sizeof(timestamps));
	else
		build_udp(p->data, l4, p->len);
	put16(p->data + l4, (uint16_t)(40000 + flow));
	fix_transport(p->data, l4, tcp ? 16 : 6, p->len, tcp ? 6 : 17);
	parse(p);
	return p;
}

static size_t check_at(const struct packet *p)
{
	return inet_check_at(p->data, p->len, &p->inet);
}

/* Cuts it as fit does, into at most `most` packets appended to the array. */
static unsigned cut(struct pool *pool, const struct packet *p, uint16_t size, bool partial,
		    struct packet **ret)
{
	struct inet_cut c;
	unsigned n = 0;
	size_t len;

	assert_true(p->inet.proto == 6 ? inet_cut_tcp(&c, p->data, p->len, &p->inet,
						      (uint32_t)(p->inet.l4 + 32u + size))
				       : inet_cut_datagrams(&c, p->data, p->len, &p->inet, size));
	c.partial = partial;
	for (;;) {
		ret[n] = pool_get(pool);
		assert_non_null(ret[n]);
		len = inet_cut_next(&c, ret[n]->data, PACKET_ROOM);
		if (!len)
			break;
		ret[n]->len = (uint32_t)len;
		parse(ret[n]);
		ret[n]->csum_partial = partial;
		if (!partial)
			assert_true(inet_check_is_right(ret[n]->data, len, &ret[n]->inet));
		n++;
	}
	pool_put(pool, ret[n]);
	return n;
}

/* The bytes that a run gives to the kernel are those of the packet, but for its
 * checksum, which is partial. */
static void check_gathered(const struct gathered *g, const struct packet *whole, uint16_t size,
			   const char *link)
{
	const size_t link_len = strlen(link);
	static uint8_t out[OFFLOAD_HEADER + PACKET_ROOM];
	struct virtio_net_hdr h;
	struct inet_info info;
	size_t len = 0, n = 0;

	for (unsigned i = 0; i < g->n; i++) {
		memcpy(out + len, g->iov[i].iov_base, g->iov[i].iov_len);
		len += g->iov[i].iov_len;
	}
	memcpy(&h, out, sizeof(h));
	assert_memory_equal(out + sizeof(h), link, link_len);
	len -= sizeof(h) + link_len;
	memmove(out + sizeof(h), out + sizeof(h) + link_len, len);
	h.csum_start = (uint16_t)(h.csum_start - link_len);
	h.hdr_len = (uint16_t)(h.hdr_len - link_len);
	assert_int_equal(len, whole->len);
	assert_int_equal(h.hdr_len, whole->inet.l4 + (whole->inet.proto == 6 ? 32 : 8));
	assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(h.gso_size, size);
	assert_int_equal(h.csum_start, whole->inet.l4);
	assert_int_equal(h.csum_start + h.csum_offset, check_at(whole));
	assert_true(inet_parse(out + sizeof(h), len, &info, &n) && n == len);
	inet_check_finish(out + sizeof(h), len, h.csum_start, (size_t)h.csum_start + h.csum_offset);
	assert_memory_equal(out + sizeof(h), whole->data, len);
}

static void release(struct pool *pool, struct batch *b)
{
	while (b->n)
		pool_put(pool, b->p[--b->n]);
}

/* Several flows, cut and interleaved at random, each in its order; partial or full
 * checksums. Each comes out as one, in order. */
static void test_cut_and_join(void **state)
{
	struct pool *pool = pool_new(POOL);

	(void)state;
	for (random_state = 1; random_state < 400; random_state++) {
		uint64_t seed = random_state;
		struct packet *whole[4], *piece[4][BATCH_MAX];
		unsigned n[4], at[4] = { 0 }, flows = 1 + random_below(4), left = 0, gathered = 0;
		uint16_t size[4];
		const char *link = random_below(2) ? "link header 14" : "";
		struct batch b = { .n = 0 };
		static struct runs runs;
		struct gathered g;

		for (unsigned f = 0; f < flows; f++) {
			unsigned count = 1 + random_below(15);

			size[f] = (uint16_t)(1 + random_below(1400));
			whole[f] = build(pool, random_below(2), random_below(2), f,
					 random_below(2) ? ACK | PSH : ACK,
					 count * size[f] - random_below(size[f]));
			n[f] = cut(pool, whole[f], size[f], random_below(2), piece[f]);
			assert_int_equal(n[f], count);
			left += n[f];
		}
		while (left) {
			unsigned f = random_below(flows);

			if (at[f] == n[f])
				continue;
			batch_add(&b, piece[f][at[f]++]);
			left--;
		}
		offload_runs(&runs, &b, true, true);
		assert_int_equal(runs.n, flows);
		for (unsigned i = 0; i < runs.n; i++) {
			const struct run *r = &runs.run[i];
			unsigned f = be16(b.p[r->first]->data + b.p[r->first]->inet.l4) - 40000u;

			assert_int_equal(r->n, n[f]);
			gathered += r->n;
			if (r->n == 1)
				continue;
			offload_gather(&g, &b, &runs, r, link, strlen(link));
			check_gathered(&g, whole[f], size[f], link);
		}
		assert_int_equal(gathered, b.n);
		release(pool, &b);
		for (unsigned f = 0; f < flows; f++)
			pool_put(pool, whole[f]);
		random_state = seed;
	}
	assert_int_equal(pool_left(pool), POOL);
	pool_free(pool);
}

typedef void change_fn(struct packet *);

static void another_tos(struct packet *p)
{
	inet_set_tos(p->data, 3);
}

static void another_ttl(struct packet *p)
{
	inet_ttl_decrement(p->data);
}

static void a_fragment(struct packet *p)
{
	p->data[6] |= 0x20;
	fix_v4(p->data);
}

static void another_id(struct packet *p)
{
	p->data[5]++;
	fix_v4(p->data);
}

static void a_gap(struct packet *p)
{
	p->data[p->inet.l4 + 7]++;
	fix_transport(p->data, p->inet.l4, 16, p->len, 6);
}

static void another_ack(struct packet *p)
{
	p->data[p->inet.l4 + 11]++;
	fix_transport(p->data, p->inet.l4, 16, p->len, 6);
}

static void another_time(struct packet *p)
{
	p->data[p->inet.l4 + 27]++;
	fix_transport(p->data, p->inet.l4, 16, p->len, 6);
}

static void a_reset(struct packet *p)
{
	p->data[p->inet.l4 + 13] |= 4;
	fix_transport(p->data, p->inet.l4, 16, p->len, 6);
}

static void cwr(struct packet *p)
{
	p->data[p->inet.l4 + 13] |= 0x80;
	fix_transport(p->data, p->inet.l4, 16, p->len, 6);
}

static void broken(struct packet *p)
{
	p->data[p->len - 1] ^= 1;
}

/* The third of five segments is not as the others: it never joins, and those behind
 * it stay behind it. */
static void test_what_differs_stays_apart(void **state)
{
	static change_fn *const changes[] = { another_tos, another_ttl, a_fragment,   another_id,
					      a_gap,	   another_ack, another_time, a_reset,
					      cwr,	   broken };
	struct pool *pool = pool_new(POOL);
	static struct runs runs;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct packet *whole = build(pool, false, true, 0, ACK, 5 * 500);
		struct packet *piece[6];
		struct batch b = { .n = 0 };

		assert_int_equal(cut(pool, whole, 500, false, piece), 5);
		changes[i](piece[2]);
		parse(piece[2]);
		for (unsigned k = 0; k < 5; k++)
			batch_add(&b, piece[k]);
		offload_runs(&runs, &b, true, true);
		assert_int_equal(runs.run[0].n, 2);
		assert_int_equal(runs.run[1].first, 2);
		assert_int_equal(runs.run[1].n, 1);
		assert_int_equal(runs.run[2].first, 3);
		assert_int_equal(runs.run[2].n, 2);
		release(pool, &b);
		pool_put(pool, whole);
	}
	pool_free(pool);
}

/* Without the kernel's help nothing is joined. */
static void test_switched_off(void **state)
{
	struct pool *pool = pool_new(POOL);
	static struct runs runs;

	(void)state;
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		struct packet *whole = build(pool, false, tcp, 0, ACK, 5 * 500), *piece[6];
		struct batch b = { .n = 0 };

		cut(pool, whole, 500, true, piece);
		for (unsigned k = 0; k < 5; k++)
			batch_add(&b, piece[k]);
		offload_runs(&runs, &b, !tcp, tcp);
		assert_int_equal(runs.n, 5);
		offload_runs(&runs, &b, tcp, !tcp);
		assert_int_equal(runs.n, 1);
		release(pool, &b);
		pool_put(pool, whole);
	}
	pool_free(pool);
}

/* A run never passes the length that an IP header can say. */
static void test_longest(void **state)
{
	struct pool *pool = pool_new(POOL);
	static struct runs runs;
	struct batch b = { .n = 0 };
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct packet *p = build(pool, false, true, 0, ACK, 1400);
		uint32_t seq = be32(p->data + 24) + i * 1400;

		put16(p->data + 4, (uint16_t)i);
		fix_v4(p->data);
		put16(p->data + 24, (uint16_t)(seq >> 16));
		put16(p->data + 26, (uint16_t)seq);
		fix_transport(p->data, 20, 16, p->len, 6);
		batch_add(&b, p);
	}
	offload_runs(&runs, &b, true, true);
	assert_int_equal(runs.n, 2);
	for (unsigned i = 0; i < runs.n; i++) {
		assert_true(runs.run[i].len <= 65535);
		n += runs.run[i].n;
	}
	assert_int_equal(n, 50);
	release(pool, &b);
	pool_free(pool);
}

/* What the kernel says of a packet, right and wrong. */
static void test_kernel_words(void **state)
{
	struct pool *pool = pool_new(POOL);
	struct packet *p = build(pool, false, true, 0, ACK, 3000);
	uint8_t before[3100];
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				    .gso_size = 1000,
				    .hdr_len = 7, /* says nothing */
				    .csum_start = 20,
				    .csum_offset = 16 };

	(void)state;
	memcpy(before, p->data, p->len);
	offload_read(p, &h);
	assert_true(offload_check(p));
	assert_true(p->csum_partial);
	assert_int_equal(p->gso_size, 1000);
	assert_int_equal(p->gso_header, 52);
	packet_finish(p);
	assert_false(p->csum_partial);
	assert_memory_equal(p->data, before, p->len);

	h.gso_size = 3000;
	offload_read(p, &h);
	assert_true(offload_check(p)); /* one segment is none */
	assert_int_equal(p->gso_size, 0);
	h.gso_size = 1000;
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	offload_read(p, &h);
	assert_false(offload_check(p));
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h.flags = 0;
	offload_read(p, &h);
	assert_false(offload_check(p));

	/* A checksum somewhere else is finished at once, or refused outside. */
	h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				     .csum_start = 52,
				     .csum_offset = 100 };
	put16(p->data + 152, 0);
	offload_read(p, &h);
	assert_true(offload_check(p));
	assert_false(p->csum_partial);
	assert_int_equal(ref_sum(p->data + 52, p->len - 52, 0), 0xffff);
	h.csum_offset = (uint16_t)(p->len - 52 - 1);
	offload_read(p, &h);
	assert_false(offload_check(p));
	h.csum_start = 10;
	h.csum_offset = 0;
	offload_read(p, &h);
	assert_false(offload_check(p));
	pool_put(pool, p);
	pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_and_join),
		cmocka_unit_test(test_what_differs_stays_apart),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_kernel_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
