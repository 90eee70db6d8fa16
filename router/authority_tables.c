/*
 * Tables that come: verify, put in force, store, then confirm.
 *
 * What is confirmed, by a stream's have= too, is on disk, so that a router that is started
 * again never goes back behind a step that others rely on. A disk that is full is no reason
 * not to run new tables: then it is said, confirmed, and the whole is fetched and stored when
 * there is room.
 */
#include "router/authority_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pair_key.h"

#define CONFIRM_AGAIN SEC
#define WHOLE_AGAIN (30 * SEC)
#define WHOLE_WAIT (120 * SEC) /* for all of it */

/* Tables that the disk was given. */
struct written {
	struct list node;
	struct authority *authority;
	struct version version;
};

static void say(struct authority *, mono_t now);

/* ---- confirming ------------------------------------------------------------------------ */

static void said(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;

	a->confirm = NULL;
	if (!authority_is_good(answer))
		a->unsaid = true;
	if (a->unsaid) /* something new, or once more: a stream that begins says it too */
		timer_set(a->loop, &a->confirm_timer,
			  authority_is_good(answer) ? now : mono_add(now, CONFIRM_AGAIN));
}

static void say(struct authority *a, mono_t now)
{
	char *body;

	if (!a->unsaid || !a->connected || a->confirm)
		return;
	body = feed_confirm(a->confirmed, *a->refusal ? a->refusal : NULL);
	if (body)
		a->confirm = authority_ask_own(a, "confirm", body, ANSWER_WAIT, 0, NULL, said);
	free(body);
	a->unsaid = !a->confirm;
	if (a->unsaid) /* out of memory */
		timer_set(a->loop, &a->confirm_timer, mono_add(now, CONFIRM_AGAIN));
}

static void confirm_due(struct timer *t, mono_t now)
{
	say(container_of(t, struct authority, confirm_timer), now);
}

static void confirm(struct authority *a, struct version version, const char *refusal, mono_t now)
{
	a->confirmed = version;
	snprintf(a->refusal, sizeof(a->refusal), "%s", refusal);
	a->unsaid = true;
	say(a, now);
}

/* ---- tables ---------------------------------------------------------------------------- */

struct version authority_runs(const struct authority *a)
{
	const struct image *image = router_image(a->router);

	return image ? image->version : (struct version){ 0, 0 };
}

static void refuse(struct authority *a, const char *why, mono_t now)
{
	counter_add(&a->router->events[EVENT_TABLES_REFUSED], 1);
	if (strcmp(why, a->refused) != 0)
		log_error("authority: refused: %s", why);
	snprintf(a->refused, sizeof(a->refused), "%s", why);
	confirm(a, a->settled, why, now);
}

static bool key_of(void *arg, const struct pinned *p, uint8_t ret[static CRYPTO_KEY], FILE *errors)
{
	const struct authority *a = arg;

	if (pair_key_pinned(a->identity->key, a->identity->id, p, ret))
		return true;
	fprintf(errors, "tables in which %s has no key that is one\n", p->name);
	return false;
}

/* Puts an image in force. False, with words. */
static bool run(struct authority *a, struct image *image, mono_t now, char error[static FEED_ERROR])
{
	struct router *r = a->router;
	char *text = NULL;
	size_t len;
	FILE *errors = open_memstream(&text, &len);
	bool done;

	if (!errors) {
		image_free(image);
		snprintf(error, FEED_ERROR, "not enough memory for the tables");
		return false;
	}
	done = router_apply_image(r, image, key_of, a, now, errors);
	fclose(errors);
	if (!done) {
		text[strcspn(text, "\n")] = '\0';
		snprintf(error, FEED_ERROR, "%s", *text ? text : "not enough memory");
	}
	free(text);
	if (done && a->changed)
		a->changed(r);
	return done;
}

/* What the kernel doesn't send to the device is not carried, whatever the tables say. */
static void check_covered(struct authority *a)
{
	const struct image *image = router_tables(a->router);
	const struct config *c = a->router->config;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < image->n_networks; i++) {
		const struct network_table *t = image->networks[i].table;

		for (size_t k = 0; k < t->n; k++) {
			const struct prefix *p = &t->rows[k].prefix;
			size_t j = 0;

			while (j < c->n_networks && !prefix_covers(&c->networks[j], p))
				j++;
			if (j < c->n_networks || t->rows[k].router == image->router)
				continue;
			prefix_format(p, text);
			if (strcmp(text, a->uncovered) != 0)
				log_warn(
					"authority: %s of network %u, and perhaps others, will "
					"not be intercepted: [intercept] networks does not cover it",
					text, t->id);
			strcpy(a->uncovered, text); /* not with each change */
			return;
		}
	}
}

/* What the disk is not given, or can't take, may be told before what was given earlier. */
static void settle(struct authority *a, struct version version, mono_t now)
{
	if (version_compare(version, a->settled) > 0)
		a->settled = version;
	confirm(a, a->settled, a->refused, now); /* of newer ones, since */
}

static void written(void *arg, int error, mono_t now)
{
	struct written *w = arg;
	struct authority *a = w->authority;
	char text[VERSION_TEXT];

	version_format(w->version, text);
	if (!error) {
		a->on_disk = w->version;
	} else {
		stored_failed(&a->stored);
		log_error("authority: tables %s can't be written to %s: %s; a restart would begin "
			  "from older ones",
			  text, a->stored.path, strerror(-error));
		counter_add(&a->router->events[EVENT_TABLES_UNSTORED], 1);
	}
	settle(a, w->version, now);
	if (stored_wants_whole(&a->stored) && !a->whole && !timer_is_set(&a->whole_timer))
		timer_set(a->loop, &a->whole_timer, error ? mono_add(now, WHOLE_AGAIN) : now);
	list_remove(&w->node);
	free(w);
}

static void store(struct authority *a, struct version version, const uint8_t *bytes, size_t len,
		  mono_t now)
{
	struct written *w = malloc(sizeof(*w));

	if (!w) { /* then not on disk: as if it was full */
		stored_failed(&a->stored);
		settle(a, version, now);
		return;
	}
	*w = (struct written){ .authority = a, .version = version };
	list_insert(&a->writes, &w->node);
	stored_put(&a->stored, bytes, len, written, w);
}

void authority_take(struct authority *a, const uint8_t *bytes, size_t len, mono_t now)
{
	const struct image *runs = router_image(a->router);
	char error[FEED_ERROR], text[VERSION_TEXT];
	struct image *image;
	int e = feed_take(runs, a->identity->id, a->identity->tables_key, bytes, len, &image,
			  error);

	if (e < 0) {
		refuse(a, error, now);
		return;
	}
	if (e > 0) { /* it runs already: of use to the disk, perhaps */
		if (stored_wants_whole(&a->stored) && image_kind(bytes, len) == IMAGE_WHOLE)
			store(a, runs->version, bytes, len, now);
		else if (list_is_empty(&a->writes)) /* else when it is written */
			confirm(a, a->settled, "", now);
		return;
	}
	if (!run(a, image, now, error)) {
		refuse(a, error, now);
		return;
	}
	a->refused[0] = '\0';
	check_covered(a);
	counter_add(&a->router->events[EVENT_TABLES], 1);
	log_info("authority: tables %s in force: %zu networks, %zu other routers, %zu tinies",
		 version_format(image->version, text), image->n_networks, image->n_peers,
		 image->n_tinies);
	store(a, image->version, bytes, len, now);
}

/* ---- a whole image for the disk -------------------------------------------------------- */

struct taking {
	struct authority *authority;
	mono_t now;
};

static void whole_message(void *arg, const struct feed_message *m)
{
	struct taking *t = arg;

	if (m->type == FEED_TABLES)
		authority_take(t->authority, m->bytes, m->len, t->now);
}

static void whole_came(void *arg, const struct https_answer *answer, mono_t now)
{
	struct authority *a = arg;
	struct taking t = { a, now };
	struct feed feed;

	a->whole = NULL;
	feed_init(&feed);
	if (authority_is_good(answer) &&
	    !feed_read(&feed, answer->body, answer->len, whole_message, &t))
		feed_read(&feed, "\n", 1, whole_message, &t);
	feed_done(&feed);
	if (!timer_is_set(&a->whole_timer)) /* a look whether it has helped */
		timer_set(a->loop, &a->whole_timer, mono_add(now, WHOLE_AGAIN));
}

static void whole_due(struct timer *t, mono_t now)
{
	struct authority *a = container_of(t, struct authority, whole_timer);

	if (!stored_wants_whole(&a->stored) || a->whole)
		return;
	if (a->connected)
		a->whole = authority_ask_own(a, "tables", NULL, WHOLE_WAIT, FEED_LINE, NULL,
					     whole_came);
	if (!a->whole)
		timer_set(a->loop, t, mono_add(now, WHOLE_AGAIN));
}

/* ---- life ------------------------------------------------------------------------- */

void authority_tables_init(struct authority *a)
{
	list_init(&a->writes);
	a->confirm_timer.fn = confirm_due;
	a->whole_timer.fn = whole_due;
}

/* What is on disk is in force from the start. Whatever is wrong with it, the authority can
 * give it again. */
void authority_tables_begin(struct authority *a, mono_t now)
{
	char error[FEED_ERROR], text[VERSION_TEXT];
	struct image *image;

	stored_load(&a->stored, a->identity->id, a->identity->tables_key, &image, error);
	if (*error)
		log_error("authority: %s: %s", a->stored.path, error);
	if (!image)
		return;
	if (!run(a, image, now, error)) {
		log_error("authority: %s: %s", a->stored.path, error);
		stored_failed(&a->stored);
		return;
	}
	check_covered(a);
	a->on_disk = a->settled = authority_runs(a);
	log_info("authority: tables %s in force, from disk", version_format(a->on_disk, text));
}

void authority_tables_connected(struct authority *a, mono_t now)
{
	a->refused[0] = '\0'; /* this one may have nothing to say that isn't known */
	say(a, now);	      /* what was settled since it was asked for */
	if (stored_wants_whole(&a->stored) && !timer_is_set(&a->whole_timer))
		timer_set(a->loop, &a->whole_timer, mono_add(now, SEC));
}

void authority_tables_disconnected(struct authority *a)
{
	https_cancel(a->confirm);
	https_cancel(a->whole);
	if (a->whole)
		timer_set(a->loop, &a->whole_timer, mono_add(a->contact, WHOLE_AGAIN));
	a->confirm = a->whole = NULL;
	a->unsaid = false; /* the next stream begins with what is settled */
	timer_cancel(a->loop, &a->confirm_timer);
}

/* When the disk is closed. */
void authority_tables_done(struct authority *a)
{
	list_for_each(node, &a->writes)
		free(container_of(node, struct written, node));
	timer_cancel(a->loop, &a->confirm_timer);
	timer_cancel(a->loop, &a->whole_timer);
	stored_done(&a->stored);
}
