/* links: libauthority libcommon */
/*
 * Publishers that end in the middle of a change, at any moment, and others that go on from
 * what is durable. Packets go between all hosts all the time, by the images that routers run:
 * none is lost between those that stay together, and none comes to those that never were.
 */
#include "tests/unit/publish_world.h"

enum { HOSTS = ROUTERS * 3, CHANGES = 8 };

/* Pairs of hosts that have shared a VN at all times, and at any time, since all was settled. */
struct reach {
	bool always[HOSTS][HOSTS], ever[HOSTS][HOSTS];
};

static const struct host *host_at(const struct scene *s, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "h%u%u", i / 3 + 1, i % 3 + 1);
	return registry_host(s->w.registry, name);
}

static void note_reach(const struct scene *s, struct reach *r)
{
	for (unsigned a = 0; a < HOSTS; a++)
		for (unsigned b = 0; b < HOSTS; b++) {
			const struct host *x = host_at(s, a), *y = host_at(s, b);
			bool share = false;

			for (uint32_t i = 0; i < x->n_vns; i++)
				share |= vn_has(x->vns[i], y);
			r->always[a][b] &= share;
			r->ever[a][b] |= share;
		}
}

static void begin_reach(const struct scene *s, struct reach *r)
{
	memset(r->always, true, sizeof(r->always));
	memset(r->ever, false, sizeof(r->ever));
	note_reach(s, r);
}

static struct ip addresses[HOSTS];

static bool takes_in(const struct image *to, uint32_t network, uint32_t from, const struct ip *a,
		     const struct ip *b)
{
	const struct image_network *n = image_network(to, network, SIDE_RECEIVE);

	return n && network_table_at(n->table, from, a) &&
	       network_table_at(n->table, to->router, b);
}

/* Whether a packet that one router sends now comes to the other one's host. */
static bool comes(const struct image *from, const struct image *to, const struct ip *a,
		  const struct ip *b)
{
	bool come = false;

	for (size_t i = 0; i < from->n_networks; i++) {
		const struct image_network *n = &from->networks[i];
		const struct network_row *row;

		if (!(n->sides & SIDE_SEND) || !network_table_at(n->table, from->router, a))
			continue;
		row = network_table_at(n->table, 0, b);
		if (!row || row->router != to->router || !image_peer(from, to->router) ||
		    !image_peer(to, from->router))
			continue;
		come |= takes_in(to, n->table->id, from->router, a, b);
		for (size_t k = 0; k < to->n_aliases; k++)
			if (to->aliases[k].from == n->table->id)
				come |= takes_in(to, to->aliases[k].to, from->router, a, b);
	}
	return come;
}

static void assert_packets(const struct scene *s, const struct reach *r)
{
	for (unsigned a = 0; a < HOSTS; a++)
		for (unsigned b = 0; b < HOSTS; b++) {
			const struct image *from = s->fakes[a / 3 + 1].runs;
			const struct image *to = s->fakes[b / 3 + 1].runs;
			const struct ip *x = &addresses[a];
			const struct ip *y = &addresses[b];

			if (a / 3 == b / 3)
				continue;
			if (r->always[a][b] && !comes(from, to, x, y))
				fail_msg("h%u%u to h%u%u: lost, in step %u of %llu to %u of %llu",
					 a / 3 + 1, a % 3 + 1, b / 3 + 1, b % 3 + 1, from->step,
					 (unsigned long long)from->version.number / 4, to->step,
					 (unsigned long long)to->version.number / 4);
			if (!r->ever[a][b] && comes(from, to, x, y))
				fail_msg("h%u%u to h%u%u: crossed", a / 3 + 1, a % 3 + 1, b / 3 + 1,
					 b % 3 + 1);
		}
}

static bool settled(const struct scene *s)
{
	bool current = publish_settled(s->p);

	for (unsigned i = 1; i <= ROUTERS; i++) {
		struct publish_status st;

		current &= publish_status(s->p, i, &st) && st.attached &&
			   !version_compare(st.runs, st.given);
	}
	return current;
}

/* Until all run what there is. They come back by and by. */
static void settle(struct scene *s, const struct reach *r)
{
	for (unsigned i = 0; i < 3000 && !settled(s); i++) {
		struct fake *f = &s->fakes[1 + any(s, ROUTERS)];

		if (!f->attached && !any(s, 3))
			attach(s, f);
		turn(s);
		assert_packets(s, r);
	}
	assert_true(settled(s));
}

static void shut_down(struct scene *s, const char *name)
{
	struct world *w = &s->w;

	assert_done(as(w, "root", "vn-shutdown", json_pack("{s:s}", "vn", name)));
	publish_changed(s->p, s->w.revision, s->now);
}

/* An odd one takes back what the one before it did. */
static void change(struct scene *s, unsigned which)
{
	struct world *w = &s->w;

	switch (which) {
	case 0:
		assert_done(
			as(w, "root", "vn-merge",
			   json_pack("{s:[s,s],s:s,s:i}", "vns", "a", "b", "name", "c", "id", 3)));
		break;
	case 1:
		assert_done(
			as(w, "root", "vn-split",
			   json_pack("{s:s,s:[{s:s,s:i,s:o},{s:s,s:i,s:o}]}", "vn", "c", "groups",
				     "name", "a", "id", 1, "hosts", list("h11 h21 h31 h12"), "name",
				     "b", "id", 2, "hosts", list("h22 h32 h41"))));
		break;
	case 2:
		assert_done(as(w, "root", "vn-join",
			       json_pack("{s:s,s:[s,s]}", "vn", "a", "hosts", "h51", "h52")));
		break;
	case 3:
		assert_done(as(w, "root", "vn-leave",
			       json_pack("{s:s,s:[s,s]}", "vn", "a", "hosts", "h51", "h52")));
		break;
	case 4: /* the same members under another ID, in two transactions */
	case 5:
		shut_down(s, "d");
		create(s, "d", which == 4 ? 5 : 4, "h42 h53 h61");
		break;
	default:
		assert_done(as(w, "root", "router-change",
			       json_pack("{s:s,s:s}", "router", "r2", "endpoint",
					 which == 6 ? "192.0.2.9:1" : "")));
	}
	publish_changed(s->p, w->revision, s->now);
}

static void networks(struct scene *s)
{
	attach_all(s);
	create(s, "a", 1, "h11 h21 h31 h12");
	create(s, "b", 2, "h22 h32 h41");
	create(s, "d", 4, "h42 h53 h61");
	run(s, 3 * SEC);
	assert_true(settled(s));
	for (unsigned i = 0; i < HOSTS; i++)
		addresses[i] = host_at(s, i)->addresses[0].ip;
	s->resumed = s->begun = 0;
}

static void assert_nothing_amiss(const struct scene *s, unsigned kills)
{
	assert_int_equal(s->ahead, 0);
	assert_int_equal(s->begun, 0);
	assert_int_equal(s->resumed, kills);
	for (unsigned i = 1; i <= ROUTERS; i++)
		assert_int_equal(s->fakes[i].refused, 0);
}

/* One end at each moment that a change has. */
static void at_any_moment(void **state)
{
	struct scene *s = *state;
	unsigned kills = 0, steps = 0;
	struct reach r;

	networks(s);
	for (unsigned which = 0; which < CHANGES; which += 2)
		for (unsigned k = 0; k < 2 * 100; k++) {
			s->slow = k / 2 % 3 * 50 * MSEC;
			begin_reach(s, &r);
			change(s, which + k % 2);
			note_reach(s, &r);
			for (unsigned i = 0; i < k / 2; i++) {
				turn(s);
				assert_packets(s, &r);
			}
			steps |= 1u << s->fakes[2].runs->step;
			restart(s);
			kills++;
			settle(s, &r);
		}
	assert_int_equal(steps, 2 | 4 | 8);
	assert_nothing_amiss(s, kills);
}

/* Nobody is away for long: who is late may lose packets. */
static void come_and_go(struct scene *s)
{
	unsigned i = 1 + any(s, ROUTERS);

	if (s->fakes[i].attached && !any(s, 20))
		detach(s, &s->fakes[i]);
	for (i = 1; !any(s, 150) && i <= ROUTERS; i++)
		if (!s->fakes[i].attached)
			attach(s, &s->fakes[i]);
}

/* Several changes, some beside each other, some that wait; ends, also while going on. */
static void at_random(void **state)
{
	struct scene *s = *state;
	bool done[CHANGES / 2] = { 0 };
	unsigned kills = 0, rounds = 0;
	struct reach r;

	networks(s);
	for (unsigned k = 0; k < 300; k++) {
		s->slow = (int64_t)any(s, 3) * 60 * MSEC;
		begin_reach(s, &r);
		for (unsigned i = any(s, 5) + 1; i; i--) {
			unsigned which = any(s, CHANGES / 2);

			/* what is merged can't be joined */
			if (any(s, 3) && !(which < 2 && done[!which])) {
				change(s, 2 * which + done[which]);
				done[which] = !done[which];
				note_reach(s, &r);
			}
			for (unsigned n = any(s, 120); n; n--) {
				come_and_go(s);
				turn(s);
				assert_packets(s, &r);
				if (publish_rounds(s->p) > rounds)
					rounds = (unsigned)publish_rounds(s->p);
			}
			if (any(s, 2)) {
				restart(s);
				kills++;
			}
		}
		settle(s, &r);
	}
	assert_true(rounds > 2);
	assert_nothing_amiss(s, kills);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(at_any_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(at_random, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
