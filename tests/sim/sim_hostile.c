/*
 * An observer on the wire: replays, turned bits, junk, invented frames. Nothing
 * gets through, nothing is answered, nobody is harmed.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"

/* Everything that was on the wire. */
struct tape {
	struct datagram **d;
	size_t n, room;
};

static void record(void *arg, struct net *n, const struct site *from, const struct datagram *d)
{
	struct tape *t = arg;
	struct datagram *c = malloc(sizeof(*d) + d->len);

	(void)n;
	(void)from;
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 256;
		t->d = realloc(t->d, t->room * sizeof(t->d[0]));
	}
	assert_true(c && t->d);
	memcpy(c, d, sizeof(*d) + d->len);
	t->d[t->n++] = c;
}

static void tape_done(struct tape *t)
{
	while (t->n)
		free(t->d[--t->n]);
	free(t->d);
}

/* Two sites with traffic both ways, all of it on tape. */
static void record_traffic(struct net *n, struct tape *t, const char *security)
{
	n->tap = record;
	n->tap_arg = t;
	n->sites[1].security = n->sites[2].security = security;
	sites_start(n, 2, 1);
	sites_wait_up(n);
	flow4(n, 1, 2, 300, 10 * MSEC, 100);
	flow6(n, 2, 1, 300, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(n->flows[0]);
	flow_whole(n->flows[1]);
	n->tap = NULL;
}

struct state {
	uint64_t injected, wired[2], roams, strays;
	struct way way[2];
};

static struct state state_of(struct net *n)
{
	struct state s = { .strays = n->strays };

	for (unsigned i = 0; i < 2; i++) {
		const struct site *site = &n->sites[i + 1];

		for (unsigned k = 0; k < site->workers; k++)
			s.injected += counter_read(&site->router->workers[k].counters.injected);
		s.wired[i] = site->wired;
		s.roams += router_events(site->router, EVENT_ROAMS);
		s.way[i] = site_contact(n, i + 1, 2 - i)->peer->path->way;
	}
	return s;
}

static void assert_unmoved(const struct state *a, const struct state *b)
{
	assert_int_equal(a->injected, b->injected);
	assert_int_equal(a->roams, b->roams);
	for (unsigned i = 0; i < 2; i++)
		assert_true(endpoint_equal(&a->way[i].remote, &b->way[i].remote));
}

/* What may be said to a stranger: a cookie, no larger than the true (if old) client
 * hello that asked for it. */
static void only_cookies(void *arg, struct net *n, const struct site *from,
			 const struct datagram *d)
{
	(void)arg;
	(void)n;
	(void)from;
	if (d->to.port != NET_PORT) {
		assert_int_equal(d->data[0] & 15, FRAME_HANDSHAKE);
		assert_true(d->len < 150);
	}
}

/* Every datagram again, from where it came and from elsewhere; a router's own
 * pings are all that it says meanwhile, and to the peer alone. (When both had
 * begun at once, one client hello was never served: it may get its cookie.) */
static void replay(struct net *n, struct tape *t, int64_t after)
{
	struct endpoint elsewhere = endpoint_of("192.0.2.66:4444");
	struct state before, now;

	net_run(n, after);
	before = state_of(n);
	n->tap = only_cookies;
	for (size_t i = 0; i < t->n; i++)
		net_throw(n, i % 2 ? &t->d[i]->from : &elsewhere, &t->d[i]->to, t->d[i]->data,
			  t->d[i]->len, (int64_t)i * 100 * USEC);
	for (size_t i = 0; i < t->n; i++)
		net_throw(n, i % 2 ? &elsewhere : &t->d[i]->from, &t->d[i]->to, t->d[i]->data,
			  t->d[i]->len, SEC + (int64_t)net_random(n, SEC));
	net_run(n, 3 * SEC);
	now = state_of(n);
	assert_unmoved(&before, &now);
	assert_true(now.strays - before.strays <= 2);
	for (unsigned i = 0; i < 2; i++)
		assert_true(now.wired[i] - before.wired[i] <= 8);
	assert_true(site_drops(&n->sites[2], DROP_REPLAY) >= 200);
	assert_int_equal(n->flows[0]->duplicates + n->flows[1]->duplicates, 0);
}

static void replay_later(void **state)
{
	struct net *n = *state;
	struct tape t = { 0 };

	record_traffic(n, &t, "");
	replay(n, &t, 10 * SEC);
	tape_done(&t);
}

/* At once, while the finished handshake still answers repeated hellos: nothing
 * goes elsewhere, and what goes to the peer is bounded. */
static void replay_encrypted(void **state)
{
	struct net *n = *state;
	struct tape t = { 0 };

	record_traffic(n, &t, "encrypt = aes-256-gcm");
	replay(n, &t, 6 * SEC);
	tape_done(&t);
}

/* Copies that arrive together with what they are copies of, in one batch. */
static void twice_in_a_batch(void **state)
{
	struct net *n = *state;
	struct flow *f[2];

	sites_start(n, 2, 1);
	sites_wait_up(n);
	net_run(n, SEC);
	n->wires[1][2].duplicate = n->wires[2][1].duplicate = 1;
	f[0] = flow4(n, 1, 2, 300, 10 * MSEC, 100);
	f[1] = flow6(n, 2, 1, 300, 10 * MSEC, 100);
	net_run(n, 2 * SEC);
	flow_whole(f[0]);
	flow_whole(f[1]);
	assert_true(site_drops(&n->sites[1], DROP_REPLAY) >= 100);
	assert_true(site_drops(&n->sites[2], DROP_REPLAY) >= 100);
}

/* After a restart the old frames fit no key; they cost one handshake a second at
 * most, with the peer. */
static void replay_to_a_restarted_router(void **state)
{
	struct net *n = *state;
	struct tape t = { 0 };
	uint64_t received;

	record_traffic(n, &t, "");
	site_stop(&n->sites[2]);
	site_start(&n->sites[2]);
	net_run(n, 10 * SEC);
	sites_wait_up(n);
	received = n->flows[0]->received;
	for (size_t i = 0; i < t.n; i++)
		net_throw(n, &t.d[i]->from, &t.d[i]->to, t.d[i]->data, t.d[i]->len,
			  (int64_t)i * 10 * MSEC);
	net_run(n, (int64_t)t.n * 10 * MSEC + SEC);
	assert_int_equal(n->flows[0]->received, received);
	assert_int_equal(n->flows[0]->duplicates, 0);
	assert_int_equal(n->sites[2].others, 0);
	assert_true(router_events(n->sites[2].router, EVENT_HANDSHAKES) <= 8);
	assert_int_equal(n->strays, 0);
	tape_done(&t);
}

/* A copy that is first, from another address: a challenge goes there, the path
 * stays, the flow goes on. */
static void first_from_elsewhere(void **state)
{
	struct net *n = *state;
	struct endpoint elsewhere = endpoint_of("192.0.2.66:4444");
	struct tape t = { 0 };
	struct state before, now;
	struct flow *f;

	sites_start(n, 2, 1);
	sites_wait_up(n);
	before = state_of(n);
	n->wires[1][2].delay = 100 * MSEC;
	n->tap = record;
	n->tap_arg = &t;
	f = flow4(n, 1, 2, 200, 10 * MSEC, 200);
	for (unsigned i = 0; i < 200; i++) {
		net_run(n, 10 * MSEC);
		while (t.n) {
			struct datagram *d = t.d[--t.n];

			if (endpoint_equal(&d->to, &n->sites[2].own[0]))
				net_throw(n, &elsewhere, &d->to, d->data, d->len, 0);
			free(d);
		}
	}
	net_run(n, SEC);
	now = state_of(n);
	flow_whole(f);
	assert_int_equal(before.roams, now.roams);
	assert_true(endpoint_equal(&before.way[1].remote, &now.way[1].remote));
	assert_true(n->strays >= 1);
	assert_true(n->strays <= 16); /* five challenges a second */
	tape_done(&t);
}

/* Bits turn on the way: what they hit is dropped under a name that fits. */
static void turned_bits(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		static const char *const securities[] = { "", "encrypt = aes-256-gcm",
							  "encrypt = chacha20-poly1305" };
		struct net *n = net_new(seed);
		struct wire w = { .delay = 5 * MSEC, .flip = 1 };
		struct flow *f;
		struct site *s = &n->sites[2];
		uint64_t drops;

		n->sites[1].security = s->security = securities[seed % 3];
		sites_start(n, 2, 1);
		sites_wait_up(n);
		n->wires[1][2] = w;
		f = flow4(n, 1, 2, 60, MSEC, 5000);
		net_run(n, 5 * SEC + 100 * MSEC);
		assert_int_equal(f->sent, 5000);
		assert_int_equal(f->received, 0);
		assert_int_equal(s->others, 0);
		drops = site_all_drops(s);
		assert_true(drops >= 5000);
		assert_true(site_drops(s, DROP_BAD_MAC) > 2000);
		assert_true(site_drops(s, DROP_NOT_FOR_US) > 50);
		assert_true(site_drops(s, DROP_UNKNOWN_ROUTER) > 50);
		assert_true(site_drops(s, DROP_UNKNOWN_NETWORK) > 50);
		assert_true(site_drops(s, DROP_VERSION) > 10);
		assert_true(site_drops(s, DROP_STATE) + site_drops(s, DROP_UNPROTECTED) > 10);
		assert_true(site_drops(s, DROP_SHORT) > 10);
		assert_true(site_drops(s, DROP_LONG) > 0);
		assert_true(site_drops(s, DROP_UNKNOWN_KEY) > 10);
		assert_true(site_drops(s, DROP_BAD_LANE) > 10);
		assert_int_equal(n->strays, 0);
		n->wires[1][2].flip = 0;
		net_run(n, 5 * SEC);
		f = flow4(n, 1, 2, 100, MSEC, 500);
		net_run(n, SEC);
		flow_whole(f);
		net_free(n);
	}
}

/* Half of the datagrams lose a bit: the other half passes, handshakes succeed. */
static void turned_bits_in_everything(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct net *n = net_new(seed);
		struct wire w = { .delay = 5 * MSEC, .flip = 0.3 };
		struct flow *f;

		n->sites[1].security = n->sites[2].security = "rekey-after = 1s";
		net_wires(n, &w);
		sites_start(n, 2, 1);
		f = flow4(n, 1, 2, 200, 10 * MSEC, 6000);
		net_run(n, 60 * SEC);
		assert_true(f->received > 3000);
		assert_int_equal(f->duplicates, 0);
		assert_int_equal(n->sites[2].others, 0);
		net_free(n);
	}
}

/* Shorter than it was, by every length. */
static void truncated(void **state)
{
	struct net *n = *state;
	struct tape t = { 0 };
	struct state before, now;

	record_traffic(n, &t, "");
	before = state_of(n);
	for (size_t i = 0; i < t.n; i++)
		for (unsigned k = 0; k < 8; k++)
			net_throw(n, &t.d[i]->from, &t.d[i]->to, t.d[i]->data,
				  net_random(n, t.d[i]->len), (int64_t)net_random(n, SEC));
	net_run(n, 2 * SEC);
	now = state_of(n);
	assert_unmoved(&before, &now);
	assert_true(site_drops(&n->sites[1], DROP_SHORT) > 100);
	tape_done(&t);
}

/* ---- a flood ------------------------------------------------------------- */

static size_t junk(struct net *n, uint8_t *d)
{
	static const uint8_t types[] = { FRAME_FORWARD,	  FRAME_FORWARD, FRAME_CONTROL,
					 FRAME_HANDSHAKE, FRAME_NULL,	 FRAME_QUEUE };
	uint64_t kind = net_random(n, 4);
	size_t len = kind == 0 ? net_random(n, 1400) : 40 + net_random(n, 1300);
	struct frame_header h = { .type = types[net_random(n, 6)],
				  .state = STATE_SIGNED,
				  .size = (uint16_t)len,
				  .network = 8000,
				  .source = 1,
				  .destination = 2,
				  .seq = 1 + net_random(n, 100000) };

	for (size_t i = 0; i < len; i++)
		d[i] = (uint8_t)net_random(n, 256);
	if (kind == 0)
		return len;
	if (h.type != FRAME_HANDSHAKE) {
		h.epoch = (uint8_t)(kind == 1 ? 1 : net_random(n, 256));
		h.lane = (uint8_t)net_random(n, 3);
	} else {
		h.seq = 0;
		h.network = 0;
	}
	frame_format(&h, d);
	if (h.type == FRAME_HANDSHAKE) {
		struct writer w = writer_init(d + FRAME_HEADER, HANDSHAKE_HEADER);
		struct handshake_header hh = { .role = HANDSHAKE_CLIENT,
					       .lanes = 2,
					       .attempt = (uint32_t)net_random(n, 0) };

		handshake_header_write(&w, &hh);
		if (len > 60)
			memcpy(d + FRAME_HEADER + HANDSHAKE_HEADER, "\x16\xfe\xff", 3);
	}
	return len;
}

/* Twenty thousand a second for five seconds, from the peer's address and others:
 * no answer to anybody, and the flow beside it loses nothing. */
static void flood(void **state)
{
	struct net *n = *state;
	struct endpoint elsewhere = endpoint_of("192.0.2.66:4444");
	struct flow *f[2];
	uint64_t wired, pings;
	size_t memory;
	uint8_t d[1500];

	sites_start(n, 2, 1);
	sites_wait_up(n);
	f[0] = flow4(n, 1, 2, 300, MSEC, 5000);
	f[1] = flow4(n, 2, 1, 300, MSEC, 5000);
	wired = n->sites[2].wired;
	net_run(n, MSEC);
	memory = mallinfo2().uordblks;
	for (unsigned ms = 0; ms < 5000; ms++) {
		for (unsigned i = 0; i < 20; i++)
			net_throw(n, i % 2 ? &n->sites[1].own[0] : &elsewhere, &n->sites[2].own[0],
				  d, junk(n, d), (int64_t)i * 50 * USEC);
		net_run(n, MSEC);
	}
	net_run(n, SEC);
	/* a handshake or two may be remembered; nothing is by the frame */
	assert_true(mallinfo2().uordblks < memory + (400 << 10));
	flow_whole(f[0]);
	flow_whole(f[1]);
	assert_int_equal(n->sites[2].others, 0);
	assert_int_equal(n->strays, 0);
	/* its own data, pings, probes, announcements, and one handshake a second,
	 * begun by frames of unknown keys, with the true peer */
	pings = n->sites[2].wired - wired - 5000;
	assert_true(pings < 200);
	assert_int_equal(n->sites[2].router->workers[0].n_held, 0);
	assert_true(site_all_drops(&n->sites[2]) >= 100000);
	assert_true(net_logged(n, "wrong MAC") <= 1);
}

/* The same at a router that has no keys with anybody. */
static void flood_before_keys(void **state)
{
	struct net *n = *state;
	struct endpoint elsewhere = endpoint_of("192.0.2.66:4444");
	uint8_t d[1500];

	n->sites[2].peers = 1u << 1;
	site_start(&n->sites[2]);
	for (unsigned i = 0; i < 100000; i++)
		net_throw(n, &elsewhere, &n->sites[2].own[0], d, junk(n, d),
			  (int64_t)i * 50 * USEC);
	net_run(n, 6 * SEC);
	assert_int_equal(n->sites[2].others, 0);
	assert_int_equal(n->strays, 0);
	/* its own attempts to reach the peer, which is not there */
	assert_true(n->sites[2].wired < 40);
}

/* While the control thread is behind, half of its notes is not for those that only knock. */
static void knocking(void **state)
{
	const struct note old = { .kind = NOTE_TOO_BIG };
	struct net *n = *state;
	struct site *busy = &n->sites[2];
	struct worker *w;
	size_t room;

	sites_start(n, 3, 1);
	sites_wait_up(n);
	site_stop(&n->sites[3]);
	net_run(n, SEC);
	w = &busy->router->workers[0];
	busy->behind = true;
	while (ring_room(w->notes) > NOTE_SLOTS / 2)
		assert_true(worker_note(w, &old, NULL, 0));
	site_start(&n->sites[3]);
	net_run(n, 3 * SEC);
	assert_true(site_drops(busy, DROP_HELLO_FULL) >= 3);
	assert_true(site_drops(busy, DROP_HELLO_FULL) <= 5); /* seldomer and seldomer */
	/* one that has keys is not refused */
	room = ring_room(w->notes);
	liveness_ask(site_contact(n, 1, 2), n->now);
	net_run(n, 100 * MSEC);
	assert_true(ring_room(w->notes) < room);
	assert_int_equal(site_drops(busy, DROP_CONTROL_FULL), 0);
	/* ... up to a quarter, which is for those that have begun */
	while (ring_room(w->notes) > NOTE_SLOTS / 4)
		assert_true(worker_note(w, &old, NULL, 0));
	liveness_ask(site_contact(n, 1, 2), n->now);
	net_run(n, 100 * MSEC);
	assert_true(site_drops(busy, DROP_CONTROL_FULL) > 0);
	assert_int_equal(ring_room(w->notes), NOTE_SLOTS / 4);
	busy->behind = false;
	sites_wait_up(n);
	net_run(n, SEC);
	assert_true(keying_is_ready(&site_contact(n, 3, 2)->keying));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(replay_later),
		net_test(replay_encrypted),
		net_test(twice_in_a_batch),
		net_test(replay_to_a_restarted_router),
		net_test(first_from_elsewhere),
		cmocka_unit_test(turned_bits),
		cmocka_unit_test(turned_bits_in_everything),
		net_test(truncated),
		net_test(flood),
		net_test(flood_before_keys),
		net_test(knocking),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, net_group_setup, net_group_teardown);
}
