/*
 * The cost of the router's own code: from the seam where an interceptor or a link gives
 * it a batch to the one where it hands the batch on, without what these do.
 *
 * Callgrind counts only while own_begin has been called. At the end of each way it is
 * told to write what it has counted, under the name of the case.
 */
#include "tests/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

struct frame {
	uint32_t len;
	struct endpoint from;
	uint8_t data[2048];
};

static struct stage_set {
	const struct offered *packets; /* still to be intercepted */
	unsigned n_packets;
	struct frame *frames; /* that were sent */
	unsigned n_frames, next_frame;
	uint64_t injected;
	const struct endpoint *sender;
} now;

/* ---- the seams ------------------------------------------------------------------ */

static int give_packets(struct intercept *in, struct batch *b, struct pool *pool,
			struct counters *c)
{
	unsigned before = b->n;

	(void)in;
	(void)c;
	own_end();
	while (now.n_packets && b->n < BATCH_MAX) {
		struct packet *p = pool_get_large(pool);

		assert_non_null(p);
		memcpy(p->data, now.packets->data, now.packets->len);
		p->len = (uint32_t)now.packets->len;
		offload_read(p, &now.packets->words);
		batch_add(b, p);
		now.packets++;
		now.n_packets--;
	}
	own_begin();
	return (int)(b->n - before);
}

static void take_frames(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)l;
	own_end();
	counter_add(&c->sent, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		struct frame *f = &now.frames[now.n_frames++];

		f->len = b->p[i]->len;
		f->from = *now.sender;
		assert_true(f->len <= sizeof(f->data));
		memcpy(f->data, b->p[i]->data, f->len);
		pool_put(pool, b->p[i]);
	}
	b->n = 0;
	own_begin();
}

static int no_frames(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)l;
	(void)b;
	(void)pool;
	(void)c;
	return 0;
}

static int give_frames(struct link *l, struct batch *b, struct pool *pool, struct counters *c)
{
	unsigned before = b->n;

	(void)l;
	(void)c;
	own_end();
	while (now.next_frame < now.n_frames && b->n < BATCH_MAX) {
		struct packet *p = pool_get(pool);
		const struct frame *f = &now.frames[now.next_frame++];

		assert_non_null(p);
		memcpy(p->data, f->data, f->len);
		p->len = f->len;
		p->from = f->from;
		batch_add(b, p);
	}
	own_begin();
	return (int)(b->n - before);
}

static void take_packets(struct inject *in, struct batch *b, struct pool *pool, struct counters *c)
{
	(void)in;
	own_end();
	now.injected += b->n;
	counter_add(&c->injected, b->n);
	for (unsigned i = 0; i < b->n; i++)
		pool_put(pool, b->p[i]);
	b->n = 0;
	own_begin();
}

static const struct intercept_ops device_ops = { .name = "cost", .recv = give_packets };
static const struct inject_ops inject_ops = { .name = "cost",
					      .send = take_packets,
					      .kernel_routes = true };
static const struct link_ops sending_ops = { .name = "cost",
					     .recv = no_frames,
					     .send = take_frames };
static const struct link_ops receiving_ops = { .name = "cost", .recv = give_frames };

/* ---- measuring --------------------------------------------------------------------- */

/* One turn after the other until all is done; what it took, under this name. */
static void go(struct worker *w, unsigned number, enum way_of way, unsigned units, mono_t at)
{
	const char *direction = way == OUTBOUND ? "out" : "in";
	struct moved moved;
	char name[96];

	moved_bytes();
	while (way == OUTBOUND ? now.n_packets : now.next_frame < now.n_frames) {
		own_begin();
		worker_turn(w, at);
		own_end();
	}
	moved = moved_bytes();
	snprintf(name, sizeof(name), "%s %s %u", case_name(number), direction, units);
	CALLGRIND_DUMP_STATS_AT(name);
	printf("%s %s copied %lu\n", case_name(number), direction, moved.copied / units);
	printf("%s %s cleared %lu\n", case_name(number), direction, moved.cleared / units);
}

void measure_twins(unsigned number)
{
	struct course *c = course_new(number);
	struct port *port = course_port(c->from, true);
	struct intercept device = { .ops = &device_ops, .fd = -1 }, *device_was = port->in;
	struct inject injector = { .ops = &inject_ops }, *inject_was = c->to->inject;
	struct link *from = c->from->links[0], *to = c->to->links[0];
	const struct link_ops *ops_were = from->ops;

	now = (struct stage_set){ .sender = &c->net->sites[1].own[0],
				  .packets = c->packets,
				  .n_packets = c->n,
				  .frames = net_memory(NULL, c->segments * sizeof(now.frames[0])) };
	port->in = &device;
	c->to->inject = &injector;
	from->ops = &sending_ops;
	to->ops = &receiving_ops;
	CALLGRIND_START_INSTRUMENTATION;
	go(c->from, number, OUTBOUND, c->n, c->net->now);
	assert_int_equal(now.n_frames, c->segments);
	go(c->to, number, INBOUND, c->n, c->net->now);
	CALLGRIND_STOP_INSTRUMENTATION;
	assert_int_equal(now.injected, c->segments);
	from->ops = to->ops = ops_were;
	port->in = device_was;
	c->to->inject = inject_was;
	free(now.frames);
	course_free(c);
}
