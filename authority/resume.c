/*
 * The registry is taken back to where all rounds were done with, a publisher is made of
 * that, and it goes through the same rounds again. All within one call: nobody sees the
 * registry meanwhile, and in the end it is as it was. What no round has taken yet is gathered
 * as if it came now.
 */
#include "authority/resume.h"

#include <errno.h>
#include <stdio.h>

static int cannot(char *error, const char *why)
{
	snprintf(error, RECORD_ERROR, "%s", why);
	return -ESTALE;
}

static int go_through(struct publish *p, struct registry *registry, struct journal *journal,
		      const struct published *from, uint64_t revision, mono_t now, char *error)
{
	int n;

	for (size_t i = 0; i < from->n; i++) {
		const struct published_round *round = &from->rounds[i];

		if (journal_go(journal, registry, round->revision, error) < 0)
			return -EINVAL;
		if (!publish_resume(p, round->revision, round->step, now))
			return cannot(error, "its changes are not what they were");
	}
	n = journal_go(journal, registry, revision, error);
	if (n > 0)
		publish_changed(p, revision, now);
	return n < 0 ? n : 0;
}

int resume_publish(struct registry *registry, struct journal *journal, const struct published *from,
		   uint64_t revision, struct publish *(*make)(void *arg, uint64_t revision),
		   void *arg, mono_t now, struct publish **ret, char error[static RECORD_ERROR])
{
	struct publish *p;
	int r;

	if (from->generation != registry_order(registry)->record.generation)
		return cannot(error, "tables are of another generation");
	if (from->revision < journal_first(journal))
		return cannot(error, "what was before is forgotten");
	if (from->revision > revision || (from->n && from->rounds[from->n - 1].revision > revision))
		return cannot(error, "it was further than the store");
	if (journal_go(journal, registry, from->revision, error) < 0)
		return -EINVAL;
	p = make(arg, from->revision);
	r = go_through(p, registry, journal, from, revision, now, error);
	if (!r) {
		*ret = p;
		return 0;
	}
	publish_free(p);
	if (r == -ESTALE && journal_go(journal, registry, revision, error) < 0)
		r = -EINVAL;
	return r;
}
