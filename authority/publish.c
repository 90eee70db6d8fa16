/*
 * Publishing: what each router is to run, rounds and their steps.
 *
 * Of every router there is the image that it is to run now, whose networks and peers are
 * objects that all images share. A round makes the next image of those that it
 * touches. So a router that has been away needs nothing special: its image has gone on
 * without it.
 *
 * A router is waited for in one round at a time: the first that touches it. What it is sent, and
 * what if it doesn't answer, is in publish_target.c; who knows whom, and what a change of that
 * touches, in publish_peers.c.
 *
 * That a round begins a step is durable before: it asks for that, and goes on when
 * it is told. Rounds that are done with are kept, empty, until all before them are.
 */
#include "authority/publish_private.h"

#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"

void *publish_have(void *object)
{
	if (!object)
		abort();
	return object;
}

struct version publish_version(const struct publish *p, uint64_t revision, unsigned step)
{
	return (struct version){ p->generation, revision * IMAGE_STEPS + step };
}

/* ---- images -------------------------------------------------------------------- */

enum protection publish_protection(const struct publish *p, const struct network_table *t)
{
	static const enum protection protections[VN_PROTECTIONS] = {
		[VN_NONE] = PROTECT_NONE,
		[VN_HMAC] = PROTECT_HMAC,
		[VN_AES_256_GCM] = PROTECT_AES_256_GCM,
		[VN_CHACHA20_POLY1305] = PROTECT_CHACHA20_POLY1305,
	};

	return t->protection == VN_DEFAULT ? p->protection : protections[t->protection];
}

void image_add_network(struct image *image, size_t *room, uint8_t sides,
		       const struct network_table *t, enum protection protection)
{
	image->networks =
		mem_more(image->networks, image->n_networks, room, sizeof(*image->networks));
	image->networks[image->n_networks++] =
		(struct image_network){ sides, protection, network_table_ref(t) };
}

/* What a changing network is in a step: its tables, or where an alias comes from. */
static void add_step(struct image *image, size_t *room, const struct step_image *step, uint32_t id,
		     enum protection protection)
{
	const struct network_table *out = networks_get(&step->send, id);
	const struct network_table *in = networks_get(&step->receive, id);
	struct network_table *empty;

	if (out && out == in) {
		image_add_network(image, room, SIDES, out, protection);
		return;
	}
	if (out)
		image_add_network(image, room, SIDE_SEND, out, protection);
	if (in)
		image_add_network(image, room, SIDE_RECEIVE, in, protection);
	for (size_t i = 0; !out && !in && i < step->n_aliases; i++)
		if (step->aliases[i].from == id) {
			empty = publish_have(network_table_room(id, 0));
			image_add_network(image, room, 0, empty, protection);
			network_table_unref(empty);
			break;
		}
}

static uint32_t next_id(const struct networks *l, size_t at)
{
	return at < l->n ? l->at[at]->id : UINT32_MAX;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The image of a router in a step of a round, but for its peers: its own with what changes
 * replaced. */
static struct image *next_image(struct publish *p, const struct round *round,
				const struct target *t)
{
	struct image *image = publish_have(image_new());
	struct step_image before, step, after;
	const struct network_table *was, *is;
	size_t room = 0, i = 0, a = 0, b = 0;

	tables_change_image(round->change, 0, t->id, &before);
	tables_change_image(round->change, round->step, t->id, &step);
	tables_change_image(round->change, STEP_LAST, t->id, &after);
	image->router = t->id;
	image->step = (uint8_t)round->step;
	image->version = publish_version(p, round->revision, round->step);
	for (;;) {
		uint32_t changed = least(next_id(&before.send, a), next_id(&after.send, b));
		uint32_t stays =
			i < t->image->n_networks ? t->image->networks[i].table->id : UINT32_MAX;

		if (changed == UINT32_MAX && stays == UINT32_MAX)
			break;
		if (stays < changed) {
			const struct image_network *n = &t->image->networks[i++];

			image_add_network(image, &room, n->sides, n->table, n->protection);
			continue;
		}
		was = networks_get(&before.send, changed);
		is = networks_get(&after.send, changed);
		add_step(image, &room, &step, changed, publish_protection(p, is ? is : was));
		a += next_id(&before.send, a) == changed;
		b += next_id(&after.send, b) == changed;
		while (i < t->image->n_networks && t->image->networks[i].table->id == changed)
			i++;
	}
	image->n_aliases = step.n_aliases;
	image->aliases = step.aliases;
	step.aliases = NULL;
	step_image_done(&before);
	step_image_done(&step);
	step_image_done(&after);
	return image;
}

/* ---- rounds -------------------------------------------------------------------- */

static void round_free(struct round *round)
{
	list_remove(&round->node);
	tables_change_free(round->change);
	free(round->touched);
	free(round->moves);
	free(round);
}

void round_touch(struct publish *p, struct round *round, struct target *t)
{
	if (t->mark == p->mark)
		return;
	t->mark = p->mark;
	round->touched = mem_more(round->touched, round->n, &round->room, sizeof(*round->touched));
	round->touched[round->n++] = t;
}

struct round *publish_gathered(struct publish *p)
{
	struct round *round = mem_new(1, sizeof(*round));

	p->gathers = false;
	p->stirred = true;
	p->looked = 0;
	round->change = p->gathering;
	round->revision = p->revision;
	list_init(&round->node);
	tables_change_finish(round->change);
	p->gathering = tables_change_new(p->registry);
	peers_gathered(p, round);
	list_insert(&p->rounds, &round->node);
	return round;
}

/* Without aliases, and with queue routers that need no time, there are fewer. */
static unsigned steps_of(const struct round *round)
{
	return round->settles ? STEP_LAST : tables_change_steps(round->change);
}

static unsigned next_step(const struct round *round)
{
	return round->step + 1 < steps_of(round) ? round->step + 1 : STEP_LAST;
}

static void give_next(struct publish *p, struct round *round, struct target *t, mono_t now)
{
	struct image *old = t->image;
	bool ran = t->sent_once && target_is_current(t);

	t->image = t->next;
	t->next = NULL;
	if (!t->late && target_router(p, t->id)) {
		t->round = round;
		round->waiting++;
		t->since = t->awaited = now;
		target_await(p, t, now);
	}
	if (t->send)
		target_send(p, t, ran ? old : NULL, now);
	if (!t->send || !ran)
		image_free(old);
}

void round_begin_step(struct publish *p, struct round *round, mono_t now)
{
	round->step = next_step(round);
	round->until = (mono_t){ 0 };
	if (round->settles && round->step < STEP_LAST)
		round->until = mono_add(now, PUBLISH_SETTLE);
	peers_step(p, round);
	for (size_t i = 0; i < round->n; i++) {
		struct target *t = round->touched[i];

		t->next = next_image(p, round, t);
		peers_near(p, t, t->next);
	}
	for (size_t i = 0; i < round->n; i++) {
		peers_find(p, round->touched[i], round->touched[i]->next);
		peers_tinies(p, round->touched[i], round->touched[i]->next);
	}
	for (size_t i = 0; i < round->n; i++)
		give_next(p, round, round->touched[i], now);
}

static void save_by(struct publish *p, mono_t when)
{
	p->save_at = mono_earlier(p->save_at, when);
}

/* Whether it is durable that it begins its next step; else that is asked for. */
static bool may_begin(struct publish *p, struct round *round, mono_t now)
{
	if (round->saved >= next_step(round))
		return true;
	if (!p->saving && round->asks != next_step(round)) {
		round->asks = next_step(round);
		save_by(p, now);
	}
	return false;
}

static bool is_over(const struct round *round)
{
	return !round->waiting && !mono_is_set(round->until);
}

void round_end(struct round *round)
{
	round->step = round->asks = round->saved = PUBLISHED_DONE;
	tables_change_free(round->change);
	free(round->touched);
	free(round->moves);
	round->change = NULL;
	round->touched = NULL;
	round->moves = NULL;
	round->n = round->n_moves = 0;
}

/* Those at the head are needed no longer. */
static void drop_done(struct publish *p, mono_t now)
{
	while (!list_is_empty(&p->rounds)) {
		struct round *first = container_of(p->rounds.next, struct round, node);

		if (first->step != PUBLISHED_DONE)
			break;
		p->finished = first->revision;
		round_free(first);
		save_by(p, mono_add(now, PUBLISH_TIDY));
	}
}

/* Begins and ends what can. */
static void advance(struct publish *p, mono_t now)
{
	uint64_t mark = ++p->mark; /* of routers in rounds before */
	struct list *next;

	p->stirred = false;
	for (struct list *node = p->rounds.next; node != &p->rounds; node = next) {
		struct round *round = container_of(node, struct round, node);
		bool free_to_go = true;

		next = node->next;
		for (size_t i = 0; !round->step && i < round->n && free_to_go; i++)
			free_to_go = round->touched[i]->mark != mark;
		while (free_to_go && is_over(round) && round->step < STEP_LAST &&
		       may_begin(p, round, now)) {
			round_begin_step(p, round, now);
			mark = ++p->mark; /* images were made meanwhile: marks are to be set anew */
			for (struct list *b = p->rounds.next; b != node; b = b->next) {
				struct round *before = container_of(b, struct round, node);

				for (size_t i = 0; i < before->n; i++)
					before->touched[i]->mark = mark;
			}
		}
		if (round->step == STEP_LAST && !round->waiting)
			round_end(round);
		for (size_t i = 0; i < round->n; i++)
			round->touched[i]->mark = mark;
	}
	drop_done(p, now);
}

/* ---- what is durable ------------------------------------------------------------- */

/* Rounds as they will be when it is saved. */
static void save(struct publish *p)
{
	struct published state = { .generation = p->generation, .revision = p->finished };
	size_t room = 0;

	list_for_each(node, &p->rounds) {
		const struct round *round = container_of(node, struct round, node);

		state.rounds = mem_more(state.rounds, state.n, &room, sizeof(*state.rounds));
		state.rounds[state.n++] = (struct published_round){ round->revision, round->asks };
	}
	p->saving = true;
	p->save_at = (mono_t){ 0 };
	p->save(p->arg, &state);
	published_done(&state);
}

void publish_saved(struct publish *p, bool saved, mono_t now)
{
	p->saving = false;
	p->stirred = true;
	if (!saved) {
		save_by(p, mono_add(now, PUBLISH_UNSAVED));
		return;
	}
	p->held = false;
	list_for_each(node, &p->rounds) {
		struct round *round = container_of(node, struct round, node);

		round->saved = round->asks;
	}
}

void publish_passed(struct publish *p, uint64_t revision, mono_t now)
{
	if (!publish_settled(p) || revision <= p->finished)
		return;
	p->finished = revision;
	save_by(p, now);
}

/* ---- what is due ------------------------------------------------------------------- */

void publish_changed(struct publish *p, uint64_t revision, mono_t now)
{
	if (!p->gathers)
		p->first = now;
	p->gathers = true;
	p->last = now;
	p->revision = revision;
	targets_leave(p);
}

/* Links have had their time, or when the next ones will have. */
static mono_t settle(struct publish *p, mono_t now)
{
	mono_t next = { 0 };

	list_for_each(node, &p->rounds) {
		mono_t *until = &container_of(node, struct round, node)->until;

		if (!mono_is_set(*until))
			continue;
		if (mono_before(now, *until)) {
			next = mono_earlier(next, *until);
		} else {
			*until = (mono_t){ 0 };
			p->stirred = true;
		}
	}
	return next;
}

mono_t publish_due(struct publish *p, mono_t now)
{
	mono_t gather = { 0 }, due;

	if (mono_is_set(p->look) && !mono_before(now, p->look))
		targets_look_after(p, now);
	if (p->gathers) {
		gather = mono_earlier(mono_add(p->last, PUBLISH_GATHER),
				      mono_add(p->first, PUBLISH_GATHER_MAX));
		if (mono_since(now, gather) >= 0)
			publish_gathered(p);
	}
	due = settle(p, now);
	do {
		if (p->stirred)
			advance(p, now);
		if (!p->saving && mono_is_set(p->save_at) && !mono_before(now, p->save_at))
			save(p);
	} while (p->stirred); /* it was saved at once */
	targets_send(p, now);
	if (!p->held && !list_is_empty(&p->outgoing))
		return now;
	if (!p->saving && mono_is_set(p->save_at))
		due = mono_earlier(due, p->save_at);
	if (mono_is_set(p->look))
		due = mono_earlier(due, p->look);
	return p->gathers ? mono_earlier(due, gather) : due;
}

/* ---- life ---------------------------------------------------------------------- */

void publish_sign_with(struct publish *p, const struct signer *signer)
{
	p->signer = signer;
}

void publish_free(struct publish *p)
{
	if (!p)
		return;
	while (!list_is_empty(&p->rounds))
		round_free(container_of(p->rounds.next, struct round, node));
	tables_change_free(p->gathering);
	for (size_t i = 0; i < p->n; i++)
		target_free(p->targets[i]);
	free(p->targets);
	free(p);
}

bool publish_awaits(const struct publish *p, uint32_t router)
{
	const struct router *r = registry_router_id(p->registry, router);
	const struct target *t = target_find(p, router);

	if (p->gathers && r && tables_change_concerns(p->gathering, r))
		return true;
	list_for_each(node, &p->rounds) {
		const struct round *round = container_of(node, struct round, node);

		for (size_t i = 0; t && !round->step && i < round->n; i++)
			if (round->touched[i] == t)
				return true;
	}
	return false;
}

size_t publish_rounds(const struct publish *p)
{
	size_t n = 0;

	list_for_each(node, &p->rounds)
		n += container_of(node, struct round, node)->step != PUBLISHED_DONE;
	return n;
}

bool publish_settled(const struct publish *p)
{
	return !p->gathers && list_is_empty(&p->rounds);
}
