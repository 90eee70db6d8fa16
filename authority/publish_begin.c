/*
 * Publishing: where it begins, at once from the registry as it is, or in the middle of the
 * rounds of another publisher.
 *
 * For the latter the caller lets the registry go through the states between those rounds.
 * What a round is and what its steps are comes of the states before and after alone, and so
 * do the images, but for peers: their records are as of the last change that was gathered. So a
 * router that has not been sent anything yet gets the next image whole.
 */
#include <stdlib.h>

#include "authority/memory.h"
#include "authority/publish_private.h"

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Everything as the registry has it now; each network's table is made once. */
static void make_images(struct publish *p)
{
	size_t n = 0, place = 0;
	uint32_t *ids = mem_new(registry_count(p->registry, RECORD_VN), sizeof(*ids));
	const struct router *r;
	const struct vn *vn;

	while ((r = registry_each(p->registry, RECORD_ROUTER, &place))) {
		struct image *image = target_need(p, r->record.id)->image;

		image->version = publish_version(p, p->revision, STEP_LAST);
		image->step = STEP_LAST;
	}
	for (place = 0; (vn = registry_each(p->registry, RECORD_VN, &place));)
		ids[n++] = vn->id;
	if (n)
		qsort(ids, n, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < n; i++) {
		struct network_table *t =
			network_table_new(ids[i], registry_vn(p->registry, ids[i]));

		for (size_t k = 0; k < t->n; k = network_table_next(t, k)) {
			struct target *target = target_find(p, t->rows[k].router);

			image_add_network(target->image, &target->room, SIDES, t,
					  publish_protection(p, t));
		}
		network_table_unref(t);
	}
	free(ids);
	peers_begin(p);
}

struct publish *publish_new(struct registry *registry, const struct signer *signer,
			    uint64_t generation, uint64_t revision, enum protection protection,
			    publish_event_fn *event, publish_save_fn *save, void *arg)
{
	struct publish *p = mem_new(1, sizeof(*p));

	*p = (struct publish){ .registry = registry,
			       .signer = signer,
			       .generation = generation,
			       .revision = revision,
			       .protection = protection,
			       .at_once = PUBLISH_AT_ONCE,
			       .finished = revision,
			       .event = event,
			       .save = save,
			       .arg = arg,
			       .held = true,
			       .save_at = { 1 } };
	list_init(&p->rounds);
	list_init(&p->outstanding);
	list_init(&p->outgoing);
	make_images(p);
	p->gathering = tables_change_new(registry);
	return p;
}

/* Nobody is waited for. */
static void end_at_once(struct round *round)
{
	for (size_t i = 0; i < round->n; i++) {
		struct target *t = round->touched[i];

		t->round = NULL;
		list_remove(&t->outstanding);
	}
	round->waiting = 0;
	round_end(round);
}

bool publish_resume(struct publish *p, uint64_t revision, unsigned step, mono_t now)
{
	unsigned in = step < STEP_LAST ? step : STEP_LAST;
	struct round *round;

	p->revision = revision;
	targets_leave(p);
	round = publish_gathered(p);
	round->asks = step;
	if (!step)
		return true;
	for (size_t i = 0; i < round->n; i++)
		if (round->touched[i]->round) /* it would be in two */
			return false;
	round->step = in - 1;
	round_begin_step(p, round, now);
	if (round->step != in)
		return false;
	if (step == PUBLISHED_DONE)
		end_at_once(round);
	return true;
}
