/*
 * {"generation": n, "revision": n, "rounds": [[revision, step], ...]}
 */
#include "authority/published.h"

#include <stdlib.h>

#include "authority/memory.h"

void published_done(struct published *p)
{
	free(p->rounds);
	*p = (struct published){ 0 };
}

json_t *published_encode(const struct published *p)
{
	json_t *rounds = mem_json(json_array());

	for (size_t i = 0; i < p->n; i++)
		json_array_append_new(rounds,
				      mem_json(json_pack("[I,i]", (json_int_t)p->rounds[i].revision,
							 (int)p->rounds[i].step)));
	return mem_json(json_pack("{s:I,s:I,s:o}", "generation", (json_int_t)p->generation,
				  "revision", (json_int_t)p->revision, "rounds", rounds));
}

bool published_decode(const json_t *value, struct published *ret)
{
	json_int_t generation, revision;
	json_t *rounds, *round;
	bool good;
	size_t i;

	*ret = (struct published){ 0 };
	if (json_unpack((json_t *)value, "{s:I,s:I,s:o}", "generation", &generation, "revision",
			&revision, "rounds", &rounds) ||
	    !json_is_array(rounds) || generation < 0 || revision <= 0)
		return false;
	ret->generation = (uint64_t)generation;
	ret->revision = (uint64_t)revision;
	ret->rounds = mem_new(json_array_size(rounds), sizeof(*ret->rounds));
	json_array_foreach(rounds, i, round)
	{
		json_int_t to, step;

		good = !json_unpack(round, "[I,I]", &to, &step) && to > revision && step >= 0 &&
		       step <= PUBLISHED_DONE;
		if (!good) {
			published_done(ret);
			return false;
		}
		revision = to;
		ret->rounds[ret->n++] = (struct published_round){ (uint64_t)to, (unsigned)step };
	}
	return true;
}
