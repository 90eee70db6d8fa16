/*
 * Liveness of a peer: it is up while authenticated frames come from it. A quiet
 * one is asked every few seconds; the answers give the round trip.
 *
 * One that is spoken to and says nothing is asked sooner. Where there may be another way to
 * it, and that stays without an answer for a second (or two round trips), its way is said to
 * be silent. Silence that both have agreed on means nothing (keepalive.h).
 */
#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "router/router.h"

#define PING_INTERVAL (5 * SEC)
#define PING_URGENT SEC	 /* when the last one has not been answered */
#define SILENT (3 * SEC) /* while asked: perhaps it has forgotten our keys */
#define RETRY (5 * SEC)
#define LOOK (500 * MSEC)
#define SILENT_WAY SEC
#define LOOK_RELAY (100 * MSEC) /* at one's own queue router: all traffic depends on it */
#define SILENT_RELAY (400 * MSEC)
#define LOOK_ASK (100 * MSEC)	    /* silent for so long under traffic: asked, */
#define DOUBT (200 * MSEC)	    /* ... looked for elsewhere, */
#define LOOK_INTERVAL (200 * MSEC)  /* ... again and again */
#define LOOK_DEAD (1000 * MSEC)	    /* ... and taken for dead, */
#define LOOK_DEAD_MAX (2500 * MSEC) /* or on a long way */
#define RTT_SHIFT 3		    /* smoothing as TCP's (RFC 6298): an eighth of the new sample */

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

static void send_ping(struct contact *c, mono_t now)
{
	struct control_message m = { .kind = CONTROL_PING };
	unsigned at = c->n_pings++ % PINGS_KEPT;

	if (!crypto_random(&m.token, sizeof(m.token)))
		return;
	c->pings[at].token = m.token;
	c->pings[at].sent = now;
	if (!c->waiting)
		c->waiting_since = now;
	c->waiting = true;
	c->asked = now;
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

/* Whether anything has been sent to it since the last look. */
static bool is_spoken_to(struct contact *c, mono_t now)
{
	uint64_t before = c->ping_packets;

	c->ping_packets = packets_to(c);
	if (c->ping_packets == before)
		return false;
	c->spoken = now;
	return true;
}

/* Whether there has been nothing to say for a while. */
static bool is_idle(const struct contact *c, mono_t now)
{
	return mono_since(now, c->spoken) >= PING_INTERVAL;
}

/* Whether the time for a ping has come that has no other reason. */
static bool is_time(const struct contact *c, mono_t now)
{
	return mono_since(now, c->asked) >= PING_INTERVAL &&
	       !(is_idle(c, now) && keepalive_is_quiet(c, now));
}

/* Asks if need be, and judges the way. */
static void look(struct contact *c, mono_t heard, mono_t now)
{
	int64_t least = c->is_own_relay && c->rtt ? SILENT_RELAY : SILENT_WAY;
	int64_t patience = 2 * c->rtt > least ? 2 * c->rtt : least;
	bool spoken = is_spoken_to(c, now);
	bool broken = keepalive_look(c, c->ping_packets, now), waiting = c->waiting;

	if (!c->peer->path)
		return;
	if (c->waiting && mono_before(c->waiting_since, heard) && mono_since(now, heard) < LOOK)
		c->waiting_since = now; /* it lives, the answer is late or lost */
	if (reach_has_choice(&c->reach))
		ways_set_silent(c, c->waiting && mono_since(now, c->waiting_since) >= patience,
				now);
	if (((c->waiting || (spoken && mono_since(now, heard) >= LOOK)) &&
	     mono_since(now, c->asked) >= LOOK_INTERVAL) ||
	    broken || is_time(c, now)) {
		send_ping(c, now);
		if (!waiting && is_idle(c, now) && !keepalive_is_quiet(c, now))
			keepalive_begin(c, c->ping_packets, now);
	}
}

static void due(struct timer *t, mono_t now)
{
	struct contact *c = container_of(t, struct contact, ping_timer);
	mono_t heard = { atomic_load_explicit(&c->peer->heard, memory_order_relaxed) };
	bool waiting = c->waiting;

	if (c->up && mono_since(now, heard) >= CONTACT_UP &&
	    (!keepalive_is_quiet(c, now) ||
	     (waiting && mono_since(now, c->waiting_since) >= CONTACT_UP)))
		set_down(c, "nothing heard from it for 15 s", now);
	if (!c->up && keying_is_ready(&c->keying) && mono_is_set(heard) &&
	    mono_since(now, heard) < CONTACT_UP && mono_before(c->down_since, heard))
		set_up(c, now);
	if (keying_is_ready(&c->keying)) {
		look(c, heard, now);
		if (waiting && mono_since(now, heard) >= SILENT &&
		    mono_since(now, c->keying.tried) >= RETRY)
			keying_want(&c->keying, now);
	}
	timer_set(c->router->loop, t, mono_add(now, c->is_own_relay ? LOOK_RELAY : LOOK));
}

/* An answer to what has been sent is due within this time. */
static int64_t patience(const struct contact *c)
{
	int64_t time = LOOK_DEAD + 2 * c->rtt;

	return time < LOOK_DEAD_MAX ? time : LOOK_DEAD_MAX;
}

bool liveness_look(struct contact *c, mono_t now)
{
	mono_t heard = { atomic_load_explicit(&c->peer->heard_by_path, memory_order_relaxed) };
	mono_t pinged = c->pings[(c->n_pings + PINGS_KEPT - 1) % PINGS_KEPT].sent;
	uint64_t sent = packets_to(c);

	if (mono_is_set(c->silence.since) && !mono_before(heard, c->silence.since)) {
		c->silence.since = (mono_t){ 0 };
		c->silence.dead = false;
	}
	if (!mono_is_set(c->silence.since)) {
		if (sent != c->silence.sent)
			c->silence.since = now;
		else if (c->waiting && mono_is_set(pinged) && mono_since(now, pinged) >= LOOK_ASK)
			c->silence.since = pinged;
	}
	c->silence.sent = sent;
	if (!mono_is_set(c->silence.since) || !keying_is_ready(&c->keying))
		return c->silence.dead;
	if (mono_since(now, c->silence.since) >= LOOK_ASK && !c->silence.dead &&
	    mono_since(now, c->silence.asked) >= LOOK_INTERVAL) {
		c->silence.asked = now;
		send_ping(c, now);
	}
	c->silence.dead |= mono_since(now, c->silence.since) >= patience(c);
	return c->silence.dead;
}

void liveness_ask(struct contact *c, mono_t now)
{
	if (keying_is_ready(&c->keying))
		send_ping(c, now);
}

int64_t liveness_silence(const struct contact *c, mono_t now)
{
	if (!mono_is_set(c->silence.since) || !keying_is_ready(&c->keying))
		return 0;
	return mono_since(now, c->silence.since);
}

bool liveness_is_doubtful(const struct contact *c, mono_t now)
{
	return liveness_silence(c, now) >= DOUBT + 2 * c->rtt;
}

void liveness_moved(struct contact *c)
{
	c->silence.since = (mono_t){ 0 };
	c->silence.dead = false;
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
		c->pings[i].sent = (mono_t){ 0 };
		c->waiting = false;
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
	timer_set(c->router->loop, &c->ping_timer, mono_add(now, PING_URGENT));
}

void liveness_stop(struct contact *c)
{
	timer_cancel(c->router->loop, &c->ping_timer);
	keepalive_stop(c);
	finish_ping(c, false, 0, 0);
}
