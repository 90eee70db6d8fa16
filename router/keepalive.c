/*
 * Keep-alives, see keepalive.h. Of two routers that both would ask on one path, the one with
 * the lower ID does: trials would make each other void.
 */
#include "router/keepalive.h"

#include "router/router.h"

#define LATE (1500 * MSEC) /* ... an answer may be, beside the round trip */
#define BODY 2		   /* u16 seconds */

/* On paths that a NAT on this side, or a firewall, may have an eye on; those by a relay are
 * idle on their own account, so that they let the relay's be. */
static bool is_ours(const struct contact *c)
{
	const struct path *path = c->peer->path;

	if (!path || limited_asks(c) || !keying_is_ready(&c->keying))
		return false;
	if (path->way.kind == WAY_RELAY || direct_knows(c, &path->way))
		return c->router->config->id < c->peer->id || !c->keepalive.answer.kind;
	return path->way.kind == WAY_UDP && c->is_own_relay;
}

static int64_t next_length(const struct contact *c)
{
	const struct keepalive *k = &c->keepalive;
	int64_t length = k->interval ? 2 * k->interval : KEEPALIVE_FIRST;

	if (c->peer->path->way.kind == WAY_RELAY)
		return KEEPALIVE_MAX; /* no mapping of its own */
	if (length > KEEPALIVE_MAX)
		length = KEEPALIVE_MAX;
	return k->broken && length >= k->broken ? k->interval : length;
}

static mono_t heard_by_path(const struct contact *c)
{
	return (mono_t){ atomic_load_explicit(&c->peer->heard_by_path, memory_order_relaxed) };
}

/* Since the beginning of the trial, but for the answer to the ping beside it. */
static bool is_void(const struct contact *c, uint64_t sent)
{
	const struct keepalive *k = &c->keepalive;

	return sent != k->sent ||
	       mono_before(mono_add(k->begun, LATE + 2 * c->rtt), heard_by_path(c));
}

bool keepalive_is_quiet(const struct contact *c, mono_t now)
{
	return mono_before(now, c->keepalive.quiet);
}

void keepalive_begin(struct contact *c, uint64_t sent, mono_t now)
{
	struct keepalive *k = &c->keepalive;
	uint8_t body[BODY];
	struct writer w = writer_init(body, sizeof(body));
	struct control_message m = { .kind = CONTROL_KEEP, .body = body, .len = sizeof(body) };

	k->token = 0;
	if (!is_ours(c) || !crypto_random(&k->token, sizeof(k->token)))
		return;
	k->token |= 1;
	k->length = next_length(c);
	k->begun = now;
	k->sent = sent;
	k->quiet = mono_add(now, k->length + LATE + 2 * c->rtt);
	m.token = k->token;
	write_u16(&w, (uint16_t)(k->length / SEC));
	contact_send(c, NULL, &m, 0);
}

/* The path has been idle for so long in vain. */
static void broken(struct keepalive *k)
{
	k->broken = k->length;
	if (k->interval >= k->length || !k->interval)
		k->interval = k->length / 2;
	if (k->interval < KEEPALIVE_MIN)
		k->interval = KEEPALIVE_MIN;
}

bool keepalive_look(struct contact *c, uint64_t sent, mono_t now)
{
	struct keepalive *k = &c->keepalive;

	if (!k->token || keepalive_is_quiet(c, now))
		return false;
	k->token = 0;
	if (is_void(c, sent) || c->peer->path->way.kind == WAY_RELAY)
		return false;
	broken(k);
	return true;
}

static void recv_keep(struct contact *c, const struct control_message *m, const struct way *way,
		      mono_t now)
{
	struct keepalive *k = &c->keepalive;
	struct reader r = reader_init(m->body, m->len);
	int64_t length = read_u16(&r) * SEC;

	if (r.bad || length > KEEPALIVE_MAX)
		return;
	k->answer = (struct control_message){ .kind = CONTROL_KEPT, .token = m->token };
	k->way = *way;
	k->quiet = mono_add(now, length + LATE + 2 * c->rtt);
	if (c->router->config->id > c->peer->id)
		k->token = 0; /* its trial, not ours */
	timer_set(c->router->loop, &k->timer, mono_add(now, length));
}

static void recv_kept(struct contact *c, const struct control_message *m, const struct way *way,
		      mono_t now)
{
	struct keepalive *k = &c->keepalive;
	const struct path *path = c->peer->path;

	if (!k->token || m->token != k->token)
		return;
	k->token = 0;
	k->quiet = now; /* the next one may begin */
	if (path && way_same(&path->way, way) && k->length > k->interval)
		k->interval = k->length;
}

void keepalive_recv(struct contact *c, const struct control_message *m, const struct way *way,
		    mono_t now)
{
	if (m->kind == CONTROL_KEEP)
		recv_keep(c, m, way, now);
	else
		recv_kept(c, m, way, now);
}

static void due(struct timer *t, mono_t now)
{
	struct keepalive *k = container_of(t, struct keepalive, timer);
	struct contact *c = container_of(k, struct contact, keepalive);

	(void)now;
	contact_send(c, &k->way, &k->answer, 0);
}

void keepalive_moved(struct contact *c)
{
	struct keepalive *k = &c->keepalive;

	k->interval = k->broken = 0;
	k->token = 0;
	k->quiet = (mono_t){ 0 };
}

void keepalive_init(struct contact *c)
{
	c->keepalive.timer.fn = due;
}

void keepalive_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->keepalive.timer);
}
