/* links: router/nfq_message */
/*
 * Messages of NFQUEUE: what a good one says, and that bad ones are refused or cut
 * without a look beyond their end (they lie in memory of exactly their size).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "router/nfq_message.h"

#define PACKET_MESSAGE ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET)

struct build {
	_Alignas(8) uint8_t bytes[512];
	size_t len;
};

static void begin(struct build *b, uint16_t type, uint16_t queue)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	struct nfgenmsg g = { .nfgen_family = AF_INET, .res_id = htons(queue) };

	memset(b, 0, sizeof(*b));
	memcpy(b->bytes, &h, sizeof(h));
	memcpy(b->bytes + NLMSG_HDRLEN, &g, sizeof(g));
	b->len = NLMSG_HDRLEN + sizeof(g);
}

/* Writes an attribute of n bytes that says it had `said`. */
static void add(struct build *b, uint16_t type, const void *value, size_t n, size_t said)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + said), .nla_type = type };

	memcpy(b->bytes + b->len, &a, sizeof(a));
	memcpy(b->bytes + b->len + NLA_HDRLEN, value, n);
	b->len += NLA_HDRLEN + n;
}

static void pad(struct build *b)
{
	b->len = NLMSG_ALIGN(b->len);
}

static void add_id(struct build *b, uint32_t id)
{
	struct nfqnl_msg_packet_hdr h = { .packet_id = htonl(id), .hook = NF_INET_FORWARD };

	add(b, NFQA_PACKET_HDR, &h, sizeof(h), sizeof(h));
	pad(b);
}

static void add_info(struct build *b, uint32_t bits)
{
	bits = htonl(bits);
	add(b, NFQA_SKB_INFO, &bits, sizeof(bits), sizeof(bits));
}

static void finish(struct build *b)
{
	uint32_t len = (uint32_t)b->len;

	memcpy(b->bytes, &len, sizeof(len));
}

/* Parses a copy of exactly n bytes; *ret_at: where in it the payload begins. */
static bool parse(const struct build *b, size_t n, struct nfq_message *ret, size_t *ret_at)
{
	uint8_t *copy = malloc(n ? n : 1);
	bool ok;

	assert_non_null(copy);
	memcpy(copy, b->bytes, n);
	ok = nfq_message_parse(copy, n, ret);
	if (ok) {
		assert_true(!ret->payload || (ret->payload >= copy && ret->payload <= copy + n));
		assert_true(!ret->payload || ret->len <= (size_t)(copy + n - ret->payload));
		*ret_at = ret->payload ? (size_t)(ret->payload - copy) : 0;
	}
	free(copy);
	return ok;
}

static void good(struct build *b, uint32_t info)
{
	const uint32_t mark = 7;

	begin(b, PACKET_MESSAGE, 4660);
	add_id(b, 0x01020304);
	add(b, NFQA_MARK, &mark, 4, 4);
	add_info(b, info);
	add(b, NFQA_PAYLOAD, "payload", 7, 7);
	finish(b);
}

static void test_good(void **state)
{
	struct nfq_message m;
	struct build b;
	size_t at;

	(void)state;
	good(&b, NFQA_SKB_GSO | NFQA_SKB_CSUMNOTREADY);
	assert_true(parse(&b, b.len, &m, &at));
	assert_int_equal(m.queue, 4660);
	assert_int_equal(m.id, 0x01020304);
	assert_int_equal(m.len, 7);
	assert_memory_equal(b.bytes + at, "payload", 7);
	assert_true(m.whole);
	assert_true(m.super);
	assert_true(m.csum_partial);

	good(&b, NFQA_SKB_CSUM_NOTVERIFIED);
	assert_true(parse(&b, b.len, &m, &at));
	assert_false(m.super);
	assert_false(m.csum_partial);
	assert_true(parse(&b, b.len + 40, &m, &at)); /* what follows is not its */
	assert_int_equal(m.len, 7);
}

static void test_not_a_packet(void **state)
{
	struct nfq_message m = { .id = 99 };
	struct build b;
	size_t at;

	(void)state;
	begin(&b, NLMSG_ERROR, 0);
	add_id(&b, 1);
	finish(&b);
	assert_false(parse(&b, b.len, &m, &at));
	begin(&b, PACKET_MESSAGE, 0); /* says nothing */
	finish(&b);
	assert_false(parse(&b, b.len, &m, &at));
	begin(&b, PACKET_MESSAGE, 0); /* of no number */
	add(&b, NFQA_PAYLOAD, "payload", 7, 7);
	finish(&b);
	assert_false(parse(&b, b.len, &m, &at));
	begin(&b, PACKET_MESSAGE, 0); /* of half a number */
	add(&b, NFQA_PACKET_HDR, "\0\0\0", 3, 3);
	pad(&b);
	add(&b, NFQA_PAYLOAD, "payload", 7, 7);
	finish(&b);
	assert_false(parse(&b, b.len, &m, &at));
	good(&b, 0);
	memset(b.bytes, 0, 4); /* a length of nothing */
	assert_false(parse(&b, b.len, &m, &at));
	assert_int_equal(m.id, 99); /* untouched */
}

/* Cut anywhere: the number if it is there, and never more payload than there is. */
static void test_cut_short(void **state)
{
	struct nfq_message m;
	struct build b;
	size_t at;

	(void)state;
	good(&b, NFQA_SKB_GSO);
	for (size_t n = 0; n < b.len; n++) {
		const bool has_id = n >= 20 + NLA_HDRLEN + sizeof(struct nfqnl_msg_packet_hdr);

		assert_int_equal(parse(&b, n, &m, &at), has_id);
		if (has_id && m.payload) {
			assert_false(m.whole);
			assert_true(m.len < 7);
		}
	}
	/* The kernel had more, and says so; or says nothing of a payload. */
	begin(&b, PACKET_MESSAGE, 3);
	add_id(&b, 5);
	add(&b, NFQA_CAP_LEN, "\0\0\377\377", 4, 4);
	add(&b, NFQA_PAYLOAD, "payload", 7, 7);
	finish(&b);
	assert_true(parse(&b, b.len, &m, &at));
	assert_int_equal(m.len, 7);
	assert_false(m.whole);
}

/* Attributes that lie about their lengths. */
static void test_lies(void **state)
{
	static const size_t said[] = { 8, 500, 0xffff - NLA_HDRLEN };
	struct nfq_message m;
	struct build b;
	size_t at;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(&b, PACKET_MESSAGE, 3);
		add_id(&b, 5);
		add(&b, NFQA_PAYLOAD, "payload", 7, said[i]);
		finish(&b);
		assert_true(parse(&b, b.len, &m, &at));
		assert_int_equal(m.len, 7);
		assert_false(m.whole);
	}
	for (uint16_t n = 0; n < NLA_HDRLEN; n++) { /* shorter than itself: the end */
		begin(&b, PACKET_MESSAGE, 3);
		add_id(&b, 5);
		memcpy(b.bytes + b.len, &n, sizeof(n));
		b.len += NLA_HDRLEN;
		add(&b, NFQA_PAYLOAD, "payload", 7, 7);
		finish(&b);
		assert_true(parse(&b, b.len, &m, &at));
		assert_null(m.payload);
		assert_int_equal(m.len, 0);
	}
	begin(&b, PACKET_MESSAGE, 3); /* a message that is longer than what came */
	add_id(&b, 5);
	add(&b, NFQA_PAYLOAD, "payload", 7, 7);
	b.len += 100;
	finish(&b);
	b.len -= 100;
	assert_true(parse(&b, b.len, &m, &at));
	assert_int_equal(m.len, 7);
}

/* Noise behind a good beginning. */
static void test_noise(void **state)
{
	uint32_t random = 1;
	struct nfq_message m;
	struct build b;
	size_t at;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		begin(&b, PACKET_MESSAGE, 3);
		if (round & 1)
			add_id(&b, 5);
		while (b.len < 120) {
			random = random * 1664525 + 1013904223;
			/* lengths and types are small now and then */
			b.bytes[b.len++] = random >> 24 < 128 ? (uint8_t)(random >> 28) * 4
							      : (uint8_t)(random >> 16);
		}
		finish(&b);
		parse(&b, b.len, &m, &at);
	}
}

static void test_verdicts(void **state)
{
	struct nfq_verdicts v = { .len = 0 };
	struct nfqnl_msg_verdict_hdr said;
	struct nlmsghdr h;
	struct nfgenmsg g;

	(void)state;
	nfq_move(&v, 3, 77, 67);
	nfq_drop_until(&v, 4, 88);
	assert_true(v.len <= sizeof(v.buf));

	memcpy(&h, v.buf, sizeof(h));
	memcpy(&g, v.buf + NLMSG_HDRLEN, sizeof(g));
	memcpy(&said, v.buf + NLMSG_HDRLEN + sizeof(g) + NLA_HDRLEN, sizeof(said));
	assert_int_equal(h.nlmsg_type, (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT);
	assert_int_equal(ntohs(g.res_id), 3);
	assert_int_equal(ntohl(said.id), 77);
	assert_int_equal(ntohl(said.verdict), 67u << 16 | NF_QUEUE);

	memcpy(&g, v.buf + h.nlmsg_len + NLMSG_HDRLEN, sizeof(g));
	memcpy(&said, v.buf + h.nlmsg_len + NLMSG_HDRLEN + sizeof(g) + NLA_HDRLEN, sizeof(said));
	memcpy(&h, v.buf + h.nlmsg_len, sizeof(h));
	assert_int_equal(h.nlmsg_type, (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT_BATCH);
	assert_int_equal(ntohs(g.res_id), 4);
	assert_int_equal(ntohl(said.id), 88);
	assert_int_equal(ntohl(said.verdict), NF_DROP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	  cmocka_unit_test(test_not_a_packet),
		cmocka_unit_test(test_cut_short), cmocka_unit_test(test_lies),
		cmocka_unit_test(test_noise),	  cmocka_unit_test(test_verdicts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("nfq_message", tests, NULL, NULL);
}
