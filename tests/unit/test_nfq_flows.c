/* links: router/nfq_flows common/addr common/inet common/inet_check common/packet */
/*
 * Segment sizes of flows: when the kernel is asked, and what is made of its answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/inet.h"
#include "router/nfq_flows.h"
#include "tests/unit/inet_build.h"

enum { ACK = 0x10, PSH = 0x08, FIN = 0x01, HEADERS = 40 };

struct world {
	struct nfq_flows flows;
	struct packet p;
	uint8_t data[65536];
};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	return w;
}

/* A TCP packet of flow `flow` (a source port) in w->p. */
static struct packet *tcp(struct world *w, uint16_t flow, uint32_t seq, uint32_t payload,
			  uint8_t flags)
{
	uint8_t *d = w->data;
	size_t len;

	memset(d, 0, HEADERS);
	d[0] = 0x45;
	put16(d + 2, (uint16_t)(HEADERS + payload));
	d[6] = 0x40;
	d[8] = 64;
	d[9] = 6;
	memcpy(d + 12, build_src4, 4);
	memcpy(d + 16, build_dst4, 4);
	fix_v4(d);
	put16(d + 20, flow);
	put16(d + 22, 80);
	put16(d + 24, (uint16_t)(seq >> 16));
	put16(d + 26, (uint16_t)seq);
	d[32] = 0x50;
	d[33] = flags;
	w->p = (struct packet){ .data = d, .len = HEADERS + payload };
	assert_true(inet_parse(d, w->p.len, &w->p.inet, &len));
	w->p.flow = 5; /* all in one place of the table */
	return &w->p;
}

static uint16_t size_of(struct world *w, uint32_t seq, uint32_t payload, uint8_t flags)
{
	return nfq_flows_size(&w->flows, tcp(w, 1000, seq, payload, flags));
}

static void answer(struct world *w, uint32_t size)
{
	nfq_flows_learn(&w->flows, tcp(w, 1000, 0, size, ACK));
}

static void test_learns(void **state)
{
	struct world *w = world_new();

	(void)state;
	assert_int_equal(size_of(w, 1, 2800, ACK), 0);
	assert_int_equal(size_of(w, 2801, 2800, ACK), 0); /* until there is an answer */
	answer(w, 1400);
	assert_int_equal(size_of(w, 5601, 4200, ACK), 1400);
	assert_int_equal(size_of(w, 9801, 60000, ACK | PSH), 1400);
	assert_int_equal(size_of(w, 69801, 1401, ACK | FIN), 1400);
	free(w);
}

static void test_sent_again(void **state)
{
	struct world *w = world_new();

	(void)state;
	size_of(w, 0xfffffff0, 2800, ACK);
	answer(w, 1400);
	assert_int_equal(size_of(w, 0xfffffff0 + 2800, 2800, ACK), 1400); /* across 2^32 */
	/* All of it, or its end, or more: asked about, whatever was known. */
	assert_int_equal(size_of(w, 0xfffffff0 + 2800, 2800, ACK), 0);
	answer(w, 700);
	assert_int_equal(size_of(w, 0xfffffff0 + 5600, 2800, ACK), 700);
	assert_int_equal(size_of(w, 0xfffffff0 + 7000, 2800, ACK), 0);
	/* and again, if that was in vain */
	assert_int_equal(size_of(w, 0xfffffff0 + 7000, 2800, ACK), 0);
	answer(w, 536);
	assert_int_equal(size_of(w, 0xfffffff0 + 9800, 5360, ACK), 536);
	free(w);
}

/* A length that does not fit shows a change at once. */
static void test_odd_length(void **state)
{
	struct world *w = world_new();
	uint32_t seq = 1;
	unsigned asked = 0;

	(void)state;
	size_of(w, seq, 2800, ACK);
	answer(w, 1400);
	seq += 2800;
	assert_int_equal(size_of(w, seq, 1072, ACK), 0);
	answer(w, 536);
	seq += 1072;
	assert_int_equal(size_of(w, seq, 1072, ACK), 536);
	seq += 1072;

	/* A host whose lengths never fit: asked about ever more rarely. */
	for (unsigned i = 0; i < 2000; i++, seq += 1000) {
		if (size_of(w, seq, 1000, ACK) == 0) {
			asked++;
			answer(w, 536);
		}
	}
	assert_in_range(asked, 5, 12);
	/* Something new makes it attentive again. */
	size_of(w, seq - 1000, 1000, ACK);
	answer(w, 700);
	assert_int_equal(size_of(w, seq, 1000, ACK), 0);
	free(w);
}

/* Two flows in one place of the table: never the other one's size. */
static void test_shared_place(void **state)
{
	struct world *w = world_new();

	(void)state;
	nfq_flows_size(&w->flows, tcp(w, 1, 1, 2800, ACK));
	nfq_flows_learn(&w->flows, tcp(w, 1, 1, 1400, ACK));
	assert_int_equal(nfq_flows_size(&w->flows, tcp(w, 2, 1, 2800, ACK)), 0);
	nfq_flows_learn(&w->flows, tcp(w, 1, 1, 1400, ACK)); /* too late: it is the other's */
	assert_int_equal(nfq_flows_size(&w->flows, tcp(w, 2, 2801, 2800, ACK)), 0);
	assert_int_equal(nfq_flows_size(&w->flows, tcp(w, 1, 2801, 2800, ACK)), 0);
	free(w);
}

static void test_not_tcp(void **state)
{
	struct world *w = world_new();
	struct packet *p = tcp(w, 1000, 1, 2800, ACK);

	(void)state;
	p->inet.proto = 17;
	assert_int_equal(nfq_flows_size(&w->flows, p), 0);
	nfq_flows_learn(&w->flows, p);
	p = tcp(w, 1000, 1, 0, ACK); /* an answer of nothing is none */
	assert_int_equal(nfq_flows_size(&w->flows, p), 0);
	nfq_flows_learn(&w->flows, p);
	assert_int_equal(size_of(w, 1, 2800, ACK), 0);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learns),	   cmocka_unit_test(test_sent_again),
		cmocka_unit_test(test_odd_length), cmocka_unit_test(test_shared_place),
		cmocka_unit_test(test_not_tcp),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("nfq_flows", tests, NULL, NULL);
}
