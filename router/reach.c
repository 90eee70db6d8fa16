/*
 * The ladder, see reach.h.
 *
 * Rungs that are wanted are those above a limit: all of them while there is no way or the
 * used one is silent, else those above the used one. A round tries each of them once; a
 * rung that is no longer wanted is dropped, whatever state it is in.
 */
#include "router/reach.h"

#include <stdio.h>
#include <string.h>

static bool is_allowed(const struct reach *r, unsigned rung)
{
	return r->allowed & 1u << rung;
}

static bool is_busy(const struct reach *r, unsigned rung)
{
	return r->rung[rung].state == RUNG_OPENING || r->rung[rung].state == RUNG_ASKING;
}

static bool in_need(const struct reach *r)
{
	return r->used == RUNG_NONE || r->silent;
}

/* UDP is one way however often it is opened: the silent one need not be asked twice. A peer
 * may have come by a way that is not among ours: then another one of ours is better, but for
 * the relay, which is worse than any that leads straight to it. */
static bool is_wanted(const struct reach *r, unsigned rung)
{
	if (!is_allowed(r, rung))
		return false;
	if (in_need(r))
		return rung != RUNG_UDP || r->used != RUNG_UDP;
	return rung < r->used || (rung != RUNG_RELAY && !is_allowed(r, r->used));
}

static bool any_wanted(const struct reach *r)
{
	for (unsigned i = 0; i < RUNGS; i++)
		if (is_wanted(r, i))
			return true;
	return false;
}

bool reach_has_choice(const struct reach *r)
{
	return r->allowed & (r->allowed - 1) || r->allowed & ~(1u << RUNG_UDP);
}

/* A quarter more or less. */
static int64_t jitter(struct reach *r, int64_t time)
{
	r->random = r->random * 6364136223846793005u + 1442695040888963407u;
	return time / 4 * 3 + (int64_t)((r->random >> 33) % (uint64_t)(time / 2 + 1));
}

static void begin_round(struct reach *r, mono_t now)
{
	r->racing = true;
	r->upward = !in_need(r);
	r->next = 0;
	r->next_at = now;
}

static void wait_longer(struct reach *r, mono_t now)
{
	r->retry = r->retry ? 2 * r->retry : REACH_RETRY;
	if (r->retry > REACH_RETRY_MAX)
		r->retry = REACH_RETRY_MAX;
	r->retry_at = mono_add(now, jitter(r, r->retry));
}

static int64_t longer_above(const struct reach *r)
{
	return 2 * r->up < REACH_UP_MAX ? 2 * r->up : REACH_UP_MAX;
}

static struct reach_step end_round(struct reach *r, mono_t now)
{
	bool vain = in_need(r) && any_wanted(r);

	r->racing = false;
	if (vain) {
		wait_longer(r, now);
	} else if (r->upward) {
		r->up = longer_above(r);
		r->up_at = mono_add(now, jitter(r, r->up));
	}
	return (struct reach_step){ vain ? REACH_VAIN : REACH_NOTHING, RUNG_NONE };
}

void reach_init(struct reach *r, uint64_t random)
{
	memset(r, 0, sizeof(*r));
	r->used = RUNG_NONE;
	r->random = random;
	r->up = REACH_UP;
}

void reach_allow(struct reach *r, unsigned rungs, mono_t now)
{
	if (rungs == r->allowed)
		return;
	r->allowed = rungs;
	for (unsigned i = 0; i < RUNGS; i++)
		r->rung[i].why[0] = '\0';
	r->retry = 0;
	r->retry_at = r->up_at = now;
	if (any_wanted(r))
		begin_round(r, now);
}

void reach_hurry(struct reach *r, mono_t now)
{
	r->retry_at = r->up_at = now;
}

void reach_press(struct reach *r, enum rung rung, mono_t now)
{
	r->rung[rung].pressed = true;
	r->rung[rung].state = RUNG_OPENING;
	r->rung[rung].begun = now;
}

void reach_opened(struct reach *r, enum rung rung, mono_t now)
{
	r->rung[rung].state = RUNG_ASKING;
	r->rung[rung].opened = mono_since(now, r->rung[rung].begun);
	r->rung[rung].begun = now;
	r->rung[rung].asked = (mono_t){ 0 };
}

void reach_heard(struct reach *r, enum rung rung, mono_t now)
{
	if (r->rung[rung].state == RUNG_ASKING)
		r->rung[rung].begun = now;
}

void reach_failed(struct reach *r, enum rung rung, const char *why, mono_t now)
{
	r->rung[rung].state = RUNG_FAILED;
	r->rung[rung].pressed = false;
	r->rung[rung].failed = now;
	snprintf(r->rung[rung].why, sizeof(r->rung[rung].why), "%s", why);
	if (r->racing && mono_before(now, r->next_at))
		r->next_at = now; /* the next need not wait for it */
}

void reach_explain(struct reach *r, enum rung rung, const char *more)
{
	size_t len = strlen(r->rung[rung].why);

	snprintf(r->rung[rung].why + len, sizeof(r->rung[rung].why) - len, ": %s", more);
}

static void lost(struct reach *r, mono_t now)
{
	if (mono_since(now, r->since) >= REACH_LASTED) {
		r->retry = 0;
		r->spent = false;
	}
	if (r->spent) {
		wait_longer(r, now);
		return;
	}
	r->spent = true;
	r->retry_at = now;
	begin_round(r, now);
}

void reach_use(struct reach *r, enum rung rung, mono_t now)
{
	enum rung before = r->used;

	if (before != RUNG_NONE && before != rung && r->silent)
		reach_failed(r, before, "no answer any more", now);
	if (rung != RUNG_NONE) {
		r->rung[rung].state = RUNG_IDLE;
		r->rung[rung].pressed = false;
		r->rung[rung].why[0] = '\0';
	}
	r->used = rung;
	r->silent = false;
	if (rung == RUNG_NONE) {
		if (before != RUNG_NONE)
			lost(r, now);
	} else if (rung != before) {
		/* who falls soon after it has come up is not to come up that soon again */
		if (before != RUNG_NONE && before < rung)
			r->up = mono_since(now, r->since) < 2 * REACH_UP ? longer_above(r)
									 : REACH_UP;
		r->up_at = mono_add(now, jitter(r, r->up));
		r->upward = false;
		if (!is_allowed(r, rung))
			r->up_at = now;
	}
	r->since = now;
}

void reach_set_silent(struct reach *r, bool silent, mono_t now)
{
	if (r->used == RUNG_NONE || silent == r->silent)
		return;
	r->silent = silent;
	if (silent)
		lost(r, now);
}

/* ---- steps -------------------------------------------------------------------- */

static struct reach_step drop(struct reach *r, unsigned rung)
{
	r->rung[rung].pressed = false;
	if (r->rung[rung].state != RUNG_FAILED)
		r->rung[rung].state = RUNG_IDLE;
	return (struct reach_step){ REACH_DROP, rung };
}

/* What it has for what it is at. */
static int64_t time_for(const struct reach *r, unsigned rung)
{
	return r->rung[rung].state == RUNG_OPENING ? REACH_OPEN
						   : REACH_ANSWER + 2 * r->rung[rung].opened;
}

/* Looks after one that is being tried. */
static struct reach_step look_after(struct reach *r, unsigned rung, mono_t now)
{
	bool opening = r->rung[rung].state == RUNG_OPENING;
	int64_t limit = time_for(r, rung);
	char why[REACH_WHY];

	if (!is_wanted(r, rung) && !(r->rung[rung].pressed && is_allowed(r, rung)))
		return drop(r, rung);
	if (mono_since(now, r->rung[rung].begun) >= limit) {
		snprintf(why, sizeof(why), "no %s in %d s", opening ? "connection" : "answer",
			 (int)(limit / SEC));
		reach_failed(r, rung, why, now);
		return drop(r, rung);
	}
	if (!opening && (!mono_is_set(r->rung[rung].asked) ||
			 mono_since(now, r->rung[rung].asked) >= REACH_REPEAT)) {
		r->rung[rung].asked = now;
		return (struct reach_step){ REACH_ASK, rung };
	}
	return (struct reach_step){ REACH_NOTHING, rung };
}

/* Where there is another round to begin. */
static bool is_due(const struct reach *r, mono_t now)
{
	return any_wanted(r) && !mono_before(now, in_need(r) ? r->retry_at : r->up_at);
}

/* The next of a round whose time has come, RUNG_NONE: none. */
static unsigned take_next(struct reach *r, mono_t now)
{
	while (r->next < RUNGS && (!is_wanted(r, r->next) || is_busy(r, r->next)))
		r->next++;
	if (r->next == RUNGS || mono_before(now, r->next_at))
		return RUNG_NONE;
	return r->next++;
}

struct reach_step reach_poll(struct reach *r, mono_t now)
{
	struct reach_step s = { REACH_NOTHING, RUNG_NONE };
	bool busy = false;
	unsigned next;

	for (unsigned i = 0; i < RUNGS; i++) {
		if (!is_busy(r, i))
			continue;
		s = look_after(r, i, now);
		if (s.what != REACH_NOTHING)
			return s;
		busy = true;
	}
	if (r->racing && !busy && r->next == RUNGS)
		s = end_round(r, now);
	if (s.what != REACH_NOTHING)
		return s;
	if (!r->racing && is_due(r, now))
		begin_round(r, now);
	next = r->racing ? take_next(r, now) : RUNG_NONE;
	if (next == RUNG_NONE)
		return r->racing && !busy && r->next == RUNGS ? reach_poll(r, now) : s;
	r->rung[next].state = RUNG_OPENING;
	r->rung[next].begun = now;
	r->next_at = mono_add(now, REACH_STAGGER);
	return (struct reach_step){ REACH_DIAL, next };
}

mono_t reach_next(const struct reach *r)
{
	if (r->racing || !any_wanted(r))
		return (mono_t){ 0 };
	return in_need(r) ? r->retry_at : r->up_at;
}

mono_t reach_deadline(const struct reach *r)
{
	mono_t next = { 0 };

	for (unsigned i = 0; i < RUNGS; i++) {
		if (is_busy(r, i))
			next = mono_earlier(next, mono_add(r->rung[i].begun, time_for(r, i)));
		if (r->rung[i].state == RUNG_ASKING)
			next = mono_earlier(next, mono_add(r->rung[i].asked, REACH_REPEAT));
	}
	if (r->racing && r->next < RUNGS)
		next = mono_earlier(next, r->next_at);
	return mono_earlier(next, reach_next(r));
}

/* ---- words -------------------------------------------------------------------- */

const char *rung_name(enum rung rung)
{
	static const char *const names[] = { "udp", "tcp", "tls", "proxy", "relay", "none" };

	return names[rung];
}

const char *reach_state_name(const struct reach *r, enum rung rung)
{
	if (rung == r->used)
		return r->silent ? "silent" : "used";
	switch (r->rung[rung].state) {
	case RUNG_OPENING:
	case RUNG_ASKING: return "trying";
	case RUNG_FAILED: return "failed";
	case RUNG_IDLE: break;
	}
	return "idle";
}
