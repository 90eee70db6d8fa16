/*
 * Publishing: one router, what it is to run, what it is sent, and whether it answers.
 *
 * What goes out is the change from what a router has confirmed, or the whole where it has not
 * confirmed what it was given before. It waits in a queue, and is made when it is sent, a few at
 * a time: so a round of thousands of routers neither keeps the loop from everybody else nor
 * fills memory.
 *
 * A router is waited for in one round at a time. One that doesn't answer is sent the whole again,
 * after longer and longer; after PUBLISH_LATE rounds go on without it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "authority/memory.h"
#include "authority/publish_private.h"

#define LOOK_LEAST (100 * MSEC)

/* ---- routers ------------------------------------------------------------------- */

static size_t place_of(const struct publish *p, uint32_t id)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->targets[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct target *target_find(const struct publish *p, uint32_t id)
{
	size_t at = place_of(p, id);

	return at < p->n && p->targets[at]->id == id ? p->targets[at] : NULL;
}

/* NULL: it is revoked, or gone. */
const struct router *target_router(const struct publish *p, uint32_t id)
{
	const struct router *r = registry_router_id(p->registry, id);

	return r && !r->record.revoked ? r : NULL;
}

struct target *target_need(struct publish *p, uint32_t id)
{
	size_t at = place_of(p, id);
	struct target *t;

	if (at < p->n && p->targets[at]->id == id)
		return p->targets[at];
	t = mem_new(1, sizeof(*t));
	t->id = id;
	t->image = publish_have(image_new());
	t->image->router = id;
	t->image->version = publish_version(p, 0, 0); /* so long as it is in no round */
	list_init(&t->outstanding);
	list_init(&t->outgoing);
	target_refresh(p, t);
	p->targets = mem_more(p->targets, p->n, &p->room, sizeof(*p->targets));
	memmove(p->targets + at + 1, p->targets + at, (p->n++ - at) * sizeof(*p->targets));
	p->targets[at] = t;
	return t;
}

void target_free(struct target *t)
{
	image_free(t->image);
	image_free(t->from);
	image_peer_unref(t->peer);
	image_peer_unref(t->relayed);
	free(t->clients);
	free(t->near);
	free(t);
}

/* ---- telling routers ----------------------------------------------------------- */

/* Takes over `from`. */
void target_send(struct publish *p, struct target *t, struct image *from, mono_t now)
{
	if (list_is_empty(&t->outgoing))
		list_insert(&p->outgoing, &t->outgoing);
	image_free(t->from);
	t->from = from;
	t->sent = now;
}

static void send_no_more(struct target *t)
{
	list_remove(&t->outgoing);
	list_init(&t->outgoing);
	image_free(t->from);
	t->from = NULL;
}

/* How many bytes. */
static size_t send_now(struct publish *p, struct target *t, mono_t now)
{
	struct image_change *change =
		t->from ? publish_have(image_change_new(t->from, t->image)) : NULL;
	size_t len;
	uint8_t *bytes = publish_have(change ? image_change_encode(change, p->signer, &len)
					     : image_encode(t->image, p->signer, &len));

	send_no_more(t);
	t->sent = now;
	t->sent_once = true;
	t->send(t->arg, t->image->version, t->image->step, bytes, len);
	free(bytes);
	image_change_free(change);
	return len;
}

void targets_send(struct publish *p, mono_t now)
{
	size_t sent = 0;

	while (!p->held && sent < p->at_once && !list_is_empty(&p->outgoing))
		sent += send_now(p, container_of(p->outgoing.next, struct target, outgoing), now);
}

void publish_pace(struct publish *p, size_t at_once)
{
	p->at_once = at_once;
}

bool target_is_current(const struct target *t)
{
	return !version_compare(t->runs, t->image->version);
}

void target_await(struct publish *p, struct target *t, mono_t now)
{
	p->look = mono_earlier(p->look, mono_add(now, PUBLISH_AGAIN));
	t->patience = PUBLISH_AGAIN;
	if (list_is_empty(&t->outstanding)) {
		list_insert(&p->outstanding, &t->outstanding);
		t->since = t->awaited = now;
	}
	/* One that has gone has been waited for since then. */
	if (mono_is_set(t->left)) {
		t->since = t->left;
		p->look = mono_earlier(p->look, mono_add(t->left, PUBLISH_LATE));
	}
}

static void event(const struct publish *p, enum publish_event e, const struct target *t)
{
	const struct router *r = registry_router_id(p->registry, t->id);

	if (r)
		p->event(p->arg, e, r, t->runs);
}

static void await_no_more(struct publish *p, struct target *t)
{
	if (t->round && !--t->round->waiting)
		p->stirred = true;
	t->round = NULL;
}

void publish_confirm(struct publish *p, uint32_t router, struct version version, mono_t now)
{
	struct target *t = target_find(p, router);

	if (!t)
		return;
	t->runs = version;
	/* However often it says so, and takes it back. */
	if (version_compare(version, t->image->version) > 0 &&
	    (!mono_is_set(t->told) || mono_since(now, t->told) >= PUBLISH_TOLD)) {
		t->told = now;
		event(p, PUBLISH_AHEAD, t);
	}
	if (!target_is_current(t))
		return;
	list_remove(&t->outstanding);
	list_init(&t->outstanding);
	await_no_more(p, t);
	send_no_more(t);
	if (t->late) {
		t->late = false;
		event(p, PUBLISH_CAUGHT_UP, t);
	}
}

int publish_attach(struct publish *p, uint32_t router, struct version version,
		   publish_send_fn *send, void *arg, mono_t now)
{
	struct target *t;
	bool back;

	if (!target_router(p, router))
		return -ENOENT;
	t = target_need(p, router);
	back = mono_is_set(t->left);
	t->send = send;
	t->arg = arg;
	t->left = (mono_t){ 0 };
	publish_confirm(p, router, version, now);
	if (!target_is_current(t)) {
		target_await(p, t, now);
		if (!t->round) /* it has its time from now on, */
			t->since = now;
		else if (back) /* ... or as if it had never gone */
			t->since = t->awaited;
		target_send(p, t, NULL, now);
	}
	return 0;
}

int publish_give(struct publish *p, uint32_t router, publish_send_fn *send, void *arg)
{
	const struct target *t;
	uint8_t *bytes;
	size_t len;

	if (!target_router(p, router))
		return -ENOENT;
	t = target_need(p, router);
	bytes = publish_have(image_encode(t->image, p->signer, &len));
	send(arg, t->image->version, t->image->step, bytes, len);
	free(bytes);
	return 0;
}

void publish_detach(struct publish *p, uint32_t router, mono_t now)
{
	struct target *t = target_find(p, router);

	if (!t)
		return;
	if (t->send)
		t->left = now;
	t->send = NULL;
	send_no_more(t);
}

/* ---- those that don't answer ------------------------------------------------------ */

/* Those that don't answer. Nothing is sent again while there is more that hasn't been sent
 * yet: answers then wait for us, and what is said twice would only make them wait longer. */
void targets_look_after(struct publish *p, mono_t now)
{
	const bool busy = !list_is_empty(&p->outgoing);
	mono_t due = { 0 };
	struct list *next;

	for (struct list *node = p->outstanding.next; node != &p->outstanding; node = next) {
		struct target *t = container_of(node, struct target, outstanding);

		next = node->next;
		if (!list_is_empty(&t->outgoing)) /* it has its time from then on */
			t->since = t->sent = now;
		if (!t->late && mono_since(now, t->since) >= PUBLISH_LATE) {
			t->late = true;
			await_no_more(p, t);
			event(p, PUBLISH_IS_LATE, t);
		}
		if (t->late && !t->send) {
			list_remove(node);
			list_init(node);
			continue;
		}
		if (t->send && !busy && mono_since(now, t->sent) >= t->patience) {
			target_send(p, t, NULL, now);
			t->patience *= 2;
			if (t->patience > PUBLISH_AGAIN_MAX)
				t->patience = PUBLISH_AGAIN_MAX;
		}
		if (!t->late)
			due = mono_earlier(due, mono_add(t->since, PUBLISH_LATE));
		if (t->send)
			due = mono_earlier(due, mono_add(t->sent, t->patience));
	}
	/* Not for each of them apart. */
	if (mono_is_set(due) && mono_since(due, now) < LOOK_LEAST)
		due = mono_add(now, LOOK_LEAST);
	p->look = due;
}

/* ---- those that are revoked -------------------------------------------------------- */

void targets_leave(struct publish *p)
{
	const uint32_t *ids;
	size_t n = tables_change_routers(p->gathering, &ids);

	/* One that changes again at once is not noted again. */
	for (size_t i = p->looked ? p->looked - 1 : 0; i < n; i++) {
		struct target *t = target_router(p, ids[i]) ? NULL : target_find(p, ids[i]);
		publish_send_fn *send = t ? t->send : NULL;

		if (!t)
			continue;
		publish_detach(p, ids[i], p->last);
		list_remove(&t->outstanding);
		list_init(&t->outstanding);
		await_no_more(p, t);
		if (send)
			send(t->arg, (struct version){ 0 }, 0, NULL, 0);
	}
	p->looked = n;
}

/* ---- as it is ----------------------------------------------------------------------- */

bool publish_status(const struct publish *p, uint32_t router, struct publish_status *ret)
{
	const struct target *t = target_find(p, router);

	if (!t)
		return false;
	*ret = (struct publish_status){ .runs = t->runs,
					.given = t->image->version,
					.step = t->image->step,
					.attached = t->send != NULL,
					.late = t->late };
	return true;
}
