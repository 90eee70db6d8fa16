/*
 * Liveness of a peer: it is up while authenticated frames come from it. A quiet
 * one is asked every few seconds; the answers give the round trip.
 *
 * A path is silent from when something was sent on it, a question or a host's packet, that
 * nothing has followed. Then it is asked sooner, and after a while others are told: that it
 * is doubtful, that the ladder may try other rungs, that the peer is to be reached by another
 * queue router. Silence that both have agreed on means nothing (keepalive.h).
 */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "router/router.h"

#define PING_INTERVAL (5 * SEC)
#define PING_REPLACEABLE (1500 * MSEC) /* a tiny its router, if it has another one */
#define START SEC
#define LOOK (500 * MSEC)
#define LOOK_CLOSE (100 * MSEC) /* at what others depend on, or what can be replaced */
/* What a path is that has been silent for so long (and two round trips, where so said): */
#define ASK (100 * MSEC)       /* asked, */
#define ASK_AGAIN (200 * MSEC) /* ... again and again; */
#define ASK_OVERLOADED SEC     /* ... less, if a router of thousands has no time as it is; */
#define DOUBT (200 * MSEC)     /* and round trips: looked for elsewhere, if it is a direct one; */
#define SILENT_RELAY \
	(500 * MSEC)	       /* or round trips: one's own queue router's: the ladder is told; */
#define SILENT_WAY SEC	       /* or round trips: any other's; */
#define DEAD SEC	       /* and round trips: another queue router is used, */
#define DEAD_MAX (2500 * MSEC) /* ... at the latest; */
#define LOST (3 * SEC)	       /* its peer has perhaps forgotten our keys, */
#define RETRY (5 * SEC)	       /* ... so that new ones are tried, at such a pause */
#define UNANSWERED (2 * SEC)   /* and round trips: a ping is lost */
#define LOST_OVER 16	       /* pings, over which losses are smoothed */
#define RTT_SHIFT 3	       /* smoothing as TCP's (RFC 6298): an eighth of the new sample */

static void set_down(struct contact *c, const char *why, mono_t now)
{
	c->up = false;
	c->down_since = now;
	log_warn("peer %s: down: %s", c->peer->name, why);
}

static void set_up(struct contact *c, mono_t now)
{
	char text[WAYS_TEXT];

	c->up = true;
	c->up_since = now;
	c->complaint = (struct log_limit){ 0 };
	log_info("peer %s: up by %s", c->peer->name,
		 c->peer->path ? ways_text(c, &c->peer->path->way, text) : "?");
}

static void count_ping(struct contact *c, bool lost)
{
	unsigned over = ++c->counted < LOST_OVER ? c->counted : LOST_OVER;

	c->lost += ((lost ? 1.0f : 0.0f) - c->lost) / (float)over;
}

/* Pings whose answer comes no more, or would not be known: the one in whose place comes another. */
static void count_lost(struct contact *c, unsigned at, mono_t now)
{
	for (unsigned i = 0; i < PINGS_KEPT; i++) {
		bool late =
			mono_is_set(c->pings[i].sent) &&
			(i == at || mono_since(now, c->pings[i].sent) > UNANSWERED + 2 * c->rtt);

		if (late && !c->pings[i].lost)
			count_ping(c, true);
		c->pings[i].lost |= late;
	}
}

static void send_ping(struct contact *c, mono_t now)
{
	struct control_message m = { .kind = CONTROL_PING };
	unsigned at = c->n_pings++ % PINGS_KEPT;

	count_lost(c, at, now);

	if (!crypto_random(&m.token, sizeof(m.token)))
		return;
	c->pings[at].token = m.token;
	c->pings[at].sent = now;
	c->pings[at].lost = false;
	c->asked = now;
	if (!mono_is_set(c->silent))
		c->silent = now;
	contact_send(c, NULL, &m, 0);
}

static uint64_t packets_to(const struct contact *c)
{
	const struct router *r = c->router;
	uint64_t n = 0;

	for (unsigned i = 0; i < r->n_made; i++)
		n += counter_read(&c->peer->share[i]->traffic[OUT].packets) +
		     counter_read(&c->peer->share[i]->queued[OUT].packets);
	return n;
}

/* Whether there has been nothing to say for a while. */
static bool is_idle(const struct contact *c, mono_t now)
{
	return mono_since(now, c->spoken) >= PING_INTERVAL;
}

static mono_t heard_by_path(const struct contact *c)
{
	return (mono_t){ atomic_load_explicit(&c->peer->heard_by_path, memory_order_relaxed) };
}

/* Whether the time for a ping has come that has no other reason. Of a tiny and its router the
 * tiny asks, so that thousands cost little: and it does, or it would never learn that its router
 * has started anew and knows neither its keys nor its address. */
static bool is_time(const struct contact *c, mono_t now)
{
	int64_t since = mono_since(now, c->asked);

	if (c->config.designated)
		return since >= (c->config.replaceable ? PING_REPLACEABLE : PING_INTERVAL);
	if (c->config.tiny && mono_since(now, heard_by_path(c)) < 2 * PING_INTERVAL)
		return false;
	return since >= PING_INTERVAL && !(is_idle(c, now) && keepalive_is_quiet(c, now));
}

static int64_t ask_again(const struct contact *c)
{
	return c->dead && c->config.designated ? ASK_OVERLOADED : ASK_AGAIN;
}

static int64_t longer(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What has been sent with what has come. */
static void compare(struct contact *c, mono_t now)
{
	mono_t heard = heard_by_path(c);
	uint64_t sent = packets_to(c);

	if (mono_before(c->silent, heard)) {
		c->silent = (mono_t){ 0 };
		c->dead = false;
	}
	if (sent != c->sent) {
		c->spoken = now;
		if (!mono_is_set(c->silent) && mono_before(heard, c->looked))
			c->silent = c->looked;
	}
	c->sent = sent;
	c->looked = now;
}

/* How long it has been silent, judged. */
static void judge(struct contact *c, mono_t now)
{
	int64_t silence = liveness_silence(c, now), dead = DEAD + 2 * c->rtt;
	int64_t patience =
		(c->is_own_relay || c->config.designated) && c->rtt ? SILENT_RELAY : SILENT_WAY;

	if (reach_has_choice(&c->reach))
		ways_set_silent(c, silence >= longer(patience, 2 * c->rtt), now);
	if (!c->dead && silence >= (dead < DEAD_MAX ? dead : DEAD_MAX)) {
		c->dead = true;
		if (c->watch) /* has it moved? */
			watch_refresh(c->watch);
		if (c->is_relay)
			limited_relay_dead(c, now);
	}
}

/* Asks if need be, and judges the way. */
static void look(struct contact *c, mono_t now)
{
	bool broken, silent;

	compare(c, now);
	broken = keepalive_look(c, c->sent, now);
	if (!c->peer->path)
		return;
	silent = liveness_silence(c, now) >= ASK;
	if ((silent && mono_since(now, c->asked) >= ask_again(c)) || broken || is_time(c, now)) {
		bool first = !mono_is_set(c->silent);

		send_ping(c, now);
		if (first && is_idle(c, now) && !keepalive_is_quiet(c, now))
			keepalive_begin(c, c->sent, now);
	}
	judge(c, now);
}

static void due(struct timer *t, mono_t now)
{
	struct contact *c = container_of(t, struct contact, ping_timer);
	mono_t heard = { atomic_load_explicit(&c->peer->heard, memory_order_relaxed) };
	int64_t silence = liveness_silence(c, now);
	bool close = c->is_relay || c->relays.n || c->config.designated;

	if (c->up && mono_since(now, heard) >= CONTACT_UP &&
	    (!keepalive_is_quiet(c, now) || silence >= CONTACT_UP))
		set_down(c, "nothing heard from it for 15 s", now);
	if (!c->up && keying_is_ready(&c->keying) && mono_is_set(heard) &&
	    mono_since(now, heard) < CONTACT_UP && mono_before(c->down_since, heard))
		set_up(c, now);
	if (keying_is_ready(&c->keying)) {
		look(c, now);
		if (silence && mono_since(now, heard) >= LOST &&
		    mono_since(now, c->keying.tried) >= RETRY)
			keying_want(&c->keying, now);
	}
	timer_set(c->router->loop, t, mono_add(now, close ? LOOK_CLOSE : LOOK));
}

void liveness_ask(struct contact *c, mono_t now)
{
	if (keying_is_ready(&c->keying))
		send_ping(c, now);
}

int64_t liveness_silence(const struct contact *c, mono_t now)
{
	if (!mono_is_set(c->silent) || !keying_is_ready(&c->keying))
		return 0;
	return mono_since(now, c->silent);
}

bool liveness_is_doubtful(const struct contact *c, mono_t now)
{
	return liveness_silence(c, now) >= DOUBT + 2 * c->rtt;
}

void liveness_moved(struct contact *c)
{
	c->silent = (mono_t){ 0 };
	c->dead = false;
	keepalive_moved(c);
}

void liveness_ready(struct contact *c, mono_t now)
{
	atomic_store(&c->peer->heard, now.ns);
	atomic_store(&c->peer->heard_by_path, now.ns);
	if (!c->up)
		set_up(c, now);
	send_ping(c, now);
}

void liveness_bye(struct contact *c, mono_t now)
{
	if (c->up)
		set_down(c, "it says goodbye", now);
	keying_forget(&c->keying, now);
}

static void sample(struct contact *c, int64_t rtt)
{
	c->rtt = c->rtt ? c->rtt + ((rtt - c->rtt) >> RTT_SHIFT) : rtt;
}

static void finish_ping(struct contact *c, bool answered, int64_t rtt, uint16_t size)
{
	ping_fn *fn = c->ping_fn;

	timer_cancel(c->router->loop, &c->ping_deadline);
	c->ping_fn = NULL;
	if (fn)
		fn(c->ping_arg, answered, rtt, size);
}

static void ping_late(struct timer *t, mono_t now)
{
	(void)now;
	finish_ping(container_of(t, struct contact, ping_deadline), false, 0, 0);
}

void liveness_recv(struct contact *c, const struct control_message *m, uint16_t frame_size,
		   mono_t now)
{
	if (m->kind == CONTROL_PING) {
		struct control_message answer = { .kind = CONTROL_PONG, .token = m->token };

		contact_send(c, NULL, &answer, frame_size);
		return;
	}
	if (c->ping_fn && m->token == c->ping_fn_token) {
		int64_t rtt = mono_since(now, c->ping_fn_sent);

		sample(c, rtt);
		finish_ping(c, true, rtt, frame_size);
	}
	for (unsigned i = 0; i < PINGS_KEPT; i++) {
		if (!mono_is_set(c->pings[i].sent) || c->pings[i].token != m->token)
			continue;
		sample(c, mono_since(now, c->pings[i].sent));
		if (!c->pings[i].lost)
			count_ping(c, false);
		c->pings[i].sent = (mono_t){ 0 };
		c->silent = (mono_t){ 0 };
		c->dead = false;
		/* whichever way the answer took: the question went by the path */
		atomic_store_explicit(&c->peer->heard_by_path, now.ns, memory_order_relaxed);
	}
}

int contact_ping(struct contact *c, size_t frame_size, int64_t timeout, ping_fn *fn, void *arg,
		 mono_t now)
{
	struct control_message m = { .kind = CONTROL_PING };
	int r;

	if (c->ping_fn)
		return -EBUSY;
	if (!crypto_random(&c->ping_fn_token, sizeof(c->ping_fn_token)))
		return -EIO;
	m.token = c->ping_fn_token;
	c->ping_fn_sent = now;
	r = contact_send(c, NULL, &m, frame_size);
	if (r < 0)
		return r;
	c->ping_fn = fn;
	c->ping_arg = arg;
	timer_set(c->router->loop, &c->ping_deadline, mono_add(now, timeout));
	return 0;
}

void liveness_start(struct contact *c, mono_t now)
{
	c->ping_timer.fn = due;
	keepalive_init(c);
	c->ping_deadline.fn = ping_late;
	timer_set(c->router->loop, &c->ping_timer, mono_add(now, START));
}

void liveness_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->ping_timer);
	keepalive_stop(c);
	finish_ping(c, false, 0, 0);
}
