/*
 * A publisher on a virtual clock, with routers that are simulated, and what it makes durable.
 */
#ifndef TESTS_PUBLISH_WORLD_H
#define TESTS_PUBLISH_WORLD_H

#include <errno.h>

#include "tests/unit/authority_world.h"

#include "authority/publish.h"
#include "authority/queue_routers.h"
#include "authority/resume.h"
#include "authority/tables.h"

#define ROUTERS 6

/* A router: what it runs, and what is on its way to it. */
struct fake {
	uint32_t id;
	struct image *runs;
	bool attached, mute; /* mute: gets everything, says nothing */
	uint8_t *bytes[64];
	size_t len[64], n;
	unsigned wholes, changes, refused;
};

struct scene {
	struct world w;
	struct publish *p;
	struct signer *signer;
	mono_t now;
	struct fake fakes[ROUTERS + 1];
	unsigned late, caught_up, ahead;
	uint64_t random, generation;
	unsigned loss; /* percent of turns in which a stream breaks */
	/* How far publishing has come, as it is durable, and on its way there. */
	struct published saved, saving;
	bool is_saving;
	int64_t slow; /* how long that may take; 0: no time */
	mono_t saved_at;
	unsigned saves, begun, resumed; /* publishers that began anew, or went on */
};

static UNUSED unsigned any(struct scene *s, unsigned below)
{
	s->random = s->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(s->random >> 33) % below;
}

static UNUSED void on_event(void *arg, enum publish_event e, const struct router *r,
			    struct version v)
{
	struct scene *s = arg;

	(void)r;
	(void)v;
	s->late += e == PUBLISH_IS_LATE;
	s->caught_up += e == PUBLISH_CAUGHT_UP;
	s->ahead += e == PUBLISH_AHEAD;
}

static UNUSED void drop_all(struct fake *f)
{
	while (f->n)
		free(f->bytes[--f->n]);
}

static UNUSED void on_send(void *arg, struct version v, uint8_t step, const uint8_t *bytes,
			   size_t len)
{
	struct fake *f = arg;

	(void)v;
	(void)step;
	assert_true(f->attached && f->n < 64);
	if (!bytes) {
		f->attached = false;
		drop_all(f);
		return;
	}
	f->bytes[f->n] = malloc(len);
	memcpy(f->bytes[f->n], bytes, len);
	f->len[f->n++] = len;
}

static UNUSED void attach(struct scene *s, struct fake *f)
{
	struct version none = { 0 };

	drop_all(f);
	f->attached = true;
	assert_int_equal(publish_attach(s->p, f->id, f->runs ? f->runs->version : none, on_send, f,
					s->now),
			 0);
}

static UNUSED void detach(struct scene *s, struct fake *f)
{
	publish_detach(s->p, f->id, s->now);
	f->attached = false;
	drop_all(f);
}

/* What a router does with bytes: true, it runs something newer. */
static UNUSED bool take(struct scene *s, struct fake *f, const uint8_t *bytes, size_t len)
{
	struct image *image = NULL;
	struct image_change *c;

	assert_true(image_verify(bytes, len, signer_public(s->signer)));
	if (image_kind(bytes, len) == IMAGE_WHOLE) {
		assert_int_equal(image_decode(bytes, len, &image), 0);
		f->wholes++;
	} else {
		assert_int_equal(image_change_decode(bytes, len, &c), 0);
		assert_int_equal(image_apply_change(f->runs, c, &image), 0);
		image_change_free(c);
		f->changes++;
	}
	assert_int_equal(image->router, f->id);
	if (f->runs && version_compare(image->version, f->runs->version) <= 0) {
		/* the same again, because the answer has not come */
		if (version_compare(image->version, f->runs->version) < 0)
			f->refused++;
		image_free(image);
		return false;
	}
	image_free(f->runs);
	f->runs = image;
	return true;
}

static UNUSED void deliver(struct scene *s, struct fake *f)
{
	uint8_t *bytes = f->bytes[0];
	size_t len = f->len[0];

	f->n--;
	memmove(f->bytes, f->bytes + 1, f->n * sizeof(f->bytes[0]));
	memmove(f->len, f->len + 1, f->n * sizeof(f->len[0]));
	take(s, f, bytes, len);
	free(bytes);
	if (!f->mute)
		publish_confirm(s->p, f->id, f->runs->version, s->now);
}

static UNUSED void copy_published(struct published *to, const struct published *from)
{
	json_t *value = published_encode(from);

	published_done(to);
	assert_true(published_decode(value, to));
	json_decref(value);
}

static UNUSED void durable(struct scene *s)
{
	copy_published(&s->saved, &s->saving);
	journal_forget(s->w.journal, s->saved.revision);
	s->is_saving = false;
	s->saves++;
}

static UNUSED void on_save(void *arg, const struct published *state)
{
	struct scene *s = arg;

	copy_published(&s->saving, state);
	s->is_saving = true;
	if (s->slow) {
		s->saved_at = mono_add(s->now, (int64_t)any(s, 100) * s->slow / 100);
		return;
	}
	durable(s);
	publish_saved(s->p, true, s->now);
}

/* Time passes in turns of 10 ms; in each, any router may get one message. */
static UNUSED void turn(struct scene *s)
{
	s->now = mono_add(s->now, 10 * MSEC);
	if (s->is_saving && !mono_before(s->now, s->saved_at)) {
		durable(s);
		publish_saved(s->p, true, s->now);
	}
	for (unsigned i = 1; i <= ROUTERS; i++) {
		struct fake *f = &s->fakes[i];

		if (s->loss && any(s, 100) < s->loss) {
			if (f->attached)
				detach(s, f);
			else
				attach(s, f);
		}
		if (f->n && any(s, 2))
			deliver(s, f);
	}
	publish_due(s->p, s->now);
}

static UNUSED void run(struct scene *s, int64_t time)
{
	mono_t end = mono_add(s->now, time);

	while (mono_before(s->now, end))
		turn(s);
}

static UNUSED struct publish *make(void *arg, uint64_t revision)
{
	struct scene *s = arg;

	s->p = publish_new(s->w.registry, s->signer, s->generation, revision, PROTECT_AES_256_GCM,
			   on_event, on_save, s);
	return s->p;
}

/* Where the one before stopped, if that can be. */
static UNUSED void begin(struct scene *s)
{
	char error[RECORD_ERROR];
	int r = -ESTALE;

	if (s->saved.revision)
		r = resume_publish(s->w.registry, s->w.journal, &s->saved, s->w.revision, make, s,
				   s->now, &s->p, error);
	assert_true(!r || r == -ESTALE);
	s->resumed += !r;
	s->begun += r != 0;
	if (r)
		make(s, s->w.revision);
	for (unsigned i = 1; i <= ROUTERS; i++)
		s->fakes[i].attached = false;
}

static UNUSED int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	char name[16], block[32], host[16];

	world_init(&s->w, "172.16.0.0/12");
	s->signer = signer_new((const uint8_t *)"a signing key of thirty-two byte");
	s->now = (mono_t){ SEC };
	s->random = 1;
	s->generation = registry_order(s->w.registry)->record.generation;
	s->w.journal = journal_new(s->w.revision);
	for (unsigned i = 1; i <= ROUTERS; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		snprintf(block, sizeof(block), "172.16.%u.0/24", i);
		world_site(&s->w, name, i, block);
		s->fakes[i].id = i;
		for (unsigned k = 1; k <= 3; k++) {
			snprintf(host, sizeof(host), "h%u%u", i, k);
			world_host(&s->w, host, name, "root", NULL);
		}
	}
	begin(s);
	*state = s;
	return 0;
}

static UNUSED int teardown(void **state)
{
	struct scene *s = *state;

	publish_free(s->p);
	journal_free(s->w.journal);
	published_done(&s->saved);
	published_done(&s->saving);
	for (unsigned i = 1; i <= ROUTERS; i++) {
		drop_all(&s->fakes[i]);
		image_free(s->fakes[i].runs);
	}
	signer_free(s->signer);
	world_done(&s->w);
	free(s);
	return 0;
}

static UNUSED void attach_all(struct scene *s)
{
	for (unsigned i = 1; i <= ROUTERS; i++)
		attach(s, &s->fakes[i]);
}

static UNUSED void create(struct scene *s, const char *name, unsigned id, const char *hosts)
{
	struct world *w = &s->w;

	assert_done(
		as(w, "root", "vn-create",
		   json_pack("{s:s,s:i,s:o}", "name", name, "id", (int)id, "hosts", list(hosts))));
	publish_changed(s->p, s->w.revision, s->now);
}

static UNUSED void restart(struct scene *s)
{
	for (unsigned i = 1; i <= ROUTERS; i++)
		drop_all(&s->fakes[i]);
	publish_free(s->p);
	if (s->is_saving && any(s, 2)) /* it was done, though nobody has been told */
		durable(s);
	s->is_saving = false;
	begin(s);
}

#endif
