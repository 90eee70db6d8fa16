/*
 * Both lists are in the same order, so the difference is one pass.
 */
#include "authority/alerts.h"

#include "authority/memory.h"

void alerts_update(struct alerts *a, struct findings *now, alert_fn *tell, void *arg)
{
	size_t i = 0, k = 0;

	while (i < a->found.n || k < now->n) {
		struct finding *old = i < a->found.n ? &a->found.at[i] : NULL;
		struct finding *new = k < now->n ? &now->at[k] : NULL;
		int order = !old ? 1 : !new ? -1 : finding_compare(old, new);

		if (!order)
			new->since = old->since;
		if (order < 0)
			tell(arg, old, false);
		if (order > 0 || (!order && old->severity != new->severity)) {
			a->raised[new->kind]++;
			tell(arg, new, true);
		}
		i += order <= 0;
		k += order >= 0;
	}
	findings_done(&a->found);
	a->found = *now;
	*now = (struct findings){ 0 };
}

void alerts_done(struct alerts *a)
{
	findings_done(&a->found);
}

json_t *alert_json(const struct finding *f, bool raised)
{
	json_t *o = finding_json(f);

	json_object_set_new(o, "state", mem_json(json_string(raised ? "raised" : "cleared")));
	return o;
}
