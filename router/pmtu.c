/*
 * Path MTU discovery by probing, RFC 8899, in rounds.
 *
 * 1. Search. A round is a ladder of probes of different sizes that go out
 *    together: one round trip later the largest that came back is known to pass
 *    (and with it all below), the smallest lost one above it is taken not to. The
 *    first ladder has the sizes that real links have, the next ones divide what
 *    is left, down to one byte: hosts shall be told the exact value. Nearly always
 *    the largest size passes, and the search is over with the first round.
 * 2. What seems too large may just have been lost. So each round repeats the
 *    smallest size that failed, and an answer to it, however late, reopens the
 *    search; on a path that loses small probes too a round is sent several times
 *    before it counts. Each round also has a probe of a size known to pass: if
 *    not even that one is answered, the round says nothing (the path is down).
 * 3. Rest. `known` is verified now and then while data flows, and at once after a
 *    hint. It is given up only if its probes are lost while base's come back.
 *    More is tried for every ten minutes.
 *
 * low <= known always but for a moment inside a call; base is the floor, whatever
 * happens. Answers are authenticated, hints are not: a hint costs a few probes.
 */
#include "router/pmtu.h"

#include <string.h>

#define BASE_OUTER 1280 /* bytes of outer packet at base */
#define DIVIDE 8	/* probes between low and high */
#define ENOUGH 4	/* rounds in which high must fail in the end */
#define ENOUGH_LOSSY 3	/* each of several sendings */
#define TRIES_LOSSY 3	/* sendings of a round before it counts */
#define TRIES_VERIFY 3

#define WAIT_FIRST (500 * MSEC) /* for answers, while the round trip is not known */
#define WAIT_SLACK (30 * MSEC)
#define WAIT_MAX (2 * SEC)
#define SILENT_MAX (10 * SEC)
#define SETTLE (3 * SEC)
#define VERIFY_EVERY (10 * SEC)
#define VERIFY_PACE SEC
#define HINT_EVERY SEC
#define RAISE_EVERY (600 * SEC)

/* Sizes of outer packets that links and tunnels have, ascending. */
static const uint16_t usual[] = { 1300, 1350, 1380, 1400, 1420, 1460,
				  1472, 1480, 1492, 1500, 4470, 9000 };

static int64_t wait_for(const struct pmtu *p)
{
	int64_t wait = 2 * p->rtt + WAIT_SLACK;

	if (!p->rtt)
		return WAIT_FIRST;
	return wait < WAIT_MAX ? wait : WAIT_MAX;
}

/* ---- the round trip ------------------------------------------------------ */

static void log_sent(struct pmtu *p, uint16_t size, mono_t now)
{
	for (unsigned i = 0; i < PMTU_LOG; i++) {
		if (p->log[i].size == size) {
			p->log[i].times += p->log[i].times < UINT8_MAX;
			return;
		}
	}
	p->log[p->logged].size = size;
	p->log[p->logged].times = 1;
	p->log[p->logged].first = now;
	p->logged = (p->logged + 1) % PMTU_LOG;
}

/* An answer to a size that was sent once tells the round trip (Karn); to one that
 * was sent more often, at most how long it is, better than nothing. */
static void log_answer(struct pmtu *p, uint16_t size, mono_t now)
{
	for (unsigned i = 0; i < PMTU_LOG; i++) {
		int64_t sample = mono_since(now, p->log[i].first);

		if (p->log[i].size != size)
			continue;
		p->log[i].size = 0;
		if (p->log[i].times > 1 && p->rtt)
			return;
		if (sample > p->rtt)
			p->rtt = sample;
		else
			p->rtt -= (p->rtt - sample) / 4;
		return;
	}
}

/* ---- rounds -------------------------------------------------------------- */

static void round_add(struct pmtu *p, unsigned size)
{
	if (p->n < PMTU_ROUND)
		p->round[p->n++] = (uint16_t)size;
}

static void round_clear(struct pmtu *p)
{
	p->n = p->at = 0;
	p->answered = 0;
}

static void round_start(struct pmtu *p, int64_t wait, mono_t now)
{
	p->begun = now;
	p->heard = false;
	p->deadline = mono_add(now, wait);
}

static void round_end(struct pmtu *p)
{
	round_clear(p);
	p->silent = 0;
	p->tries = 0;
}

static bool round_is_answered(const struct pmtu *p)
{
	return p->at == p->n && p->answered == (1U << p->n) - 1;
}

/* ---- search -------------------------------------------------------------- */

/* Sizes to try next, ascending, the first one known to pass. */
static void fill_search(struct pmtu *p)
{
	unsigned top = p->high > p->max ? p->max : p->high;
	unsigned between, n;

	round_clear(p);
	round_add(p, p->low);
	if (p->high > p->max) {
		for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
			unsigned size = usual[i] - (BASE_OUTER - p->base);

			if (size > p->low && size < top)
				round_add(p, size);
		}
	}
	if (p->n == 1) {
		between = top - p->low - 1;
		n = between < DIVIDE ? between : DIVIDE;
		for (unsigned i = 1; i <= n; i++)
			round_add(p, p->low + i * (between + 1) / (n + 1));
	}
	round_add(p, top);
}

static void rest(struct pmtu *p, mono_t now)
{
	p->phase = PMTU_REST;
	p->verify_at = mono_add(now, VERIFY_EVERY);
	round_end(p);
}

static void end_search(struct pmtu *p, mono_t now)
{
	p->settled = true;
	p->raise_at = mono_add(now, RAISE_EVERY);
	rest(p, now);
}

static void start_search(struct pmtu *p, mono_t now)
{
	if (p->known >= p->max) {
		end_search(p, now);
		return;
	}
	p->phase = PMTU_SEARCH;
	p->low = p->known;
	p->high = p->above = p->max + 1;
	p->failed = 0;
	p->lossy = false;
	p->settle_at = mono_add(now, SETTLE);
	round_end(p);
	fill_search(p);
	round_start(p, wait_for(p), now);
}

/* Looks at what came back of the round. Returns the smallest size that did not
 * though it might have been too large, 0 if there is none. */
static uint16_t judge(struct pmtu *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->answered & 1U << i)
			continue;
		if (p->round[i] <= p->low)
			p->lossy = true;
		else if (p->round[i] <= p->max)
			return p->round[i];
	}
	return 0;
}

/* Nobody answers: ask for a sign of life, ever less often. */
static void search_silent(struct pmtu *p, mono_t now)
{
	int64_t wait = wait_for(p) << p->silent;

	if (wait > SILENT_MAX)
		wait = SILENT_MAX;
	if (p->silent < 5)
		p->silent++;
	round_clear(p);
	round_add(p, p->low);
	round_start(p, wait, now);
}

/* The same again, but for what has been settled. */
static void search_repeat(struct pmtu *p, mono_t now)
{
	unsigned n = p->n;

	round_clear(p);
	round_add(p, p->low);
	for (unsigned i = 0; i < n; i++)
		if (p->round[i] > p->low)
			round_add(p, p->round[i]);
	p->tries++;
	round_start(p, wait_for(p), now);
}

static void search_step(struct pmtu *p, mono_t now)
{
	uint16_t lost;

	if (!p->heard) {
		search_silent(p, now);
		return;
	}
	lost = judge(p);
	if (lost && p->lossy && p->tries + 1 < TRIES_LOSSY) {
		search_repeat(p, now);
		return;
	}
	if (lost && lost == p->high) {
		p->failed++;
	} else if (lost) {
		p->above = p->high;
		p->high = lost;
		p->failed = 1;
	}
	if (lost && p->high == p->low + 1) {
		if (p->failed >= 2)
			p->settled = true;
		if (p->failed >= (p->lossy ? ENOUGH_LOSSY : ENOUGH)) {
			end_search(p, now);
			return;
		}
	}
	round_end(p);
	fill_search(p);
	round_start(p, wait_for(p), now);
}

/* ---- verification -------------------------------------------------------- */

static void start_verify(struct pmtu *p, int64_t pace, mono_t now)
{
	p->phase = PMTU_VERIFY;
	p->used = p->hinted = false;
	p->verified = now;
	p->pace = pace;
	round_end(p);
	round_add(p, p->known);
	round_start(p, pace, now);
}

static void black_hole(struct pmtu *p, mono_t now)
{
	p->known = p->base;
	p->max = p->limit;
	p->settled = false;
	start_search(p, now);
}

/* The probe of known is lost. The next ones go in pairs, and with one of base, to
 * tell a black hole from a path that is down. An answer to known ends this. */
static void verify_step(struct pmtu *p, mono_t now)
{
	bool alive = p->heard;

	if (++p->tries < TRIES_VERIFY) {
		round_clear(p);
		round_add(p, p->known);
		round_add(p, p->known);
		round_add(p, p->base);
		round_start(p, p->pace, now);
		p->heard = alive;
	} else if (alive) {
		black_hole(p, now);
	} else {
		rest(p, now);
	}
}

static mono_t hint_due(const struct pmtu *p)
{
	return mono_add(p->verified, HINT_EVERY);
}

static void rest_step(struct pmtu *p, mono_t now)
{
	if (p->hinted && !mono_before(now, hint_due(p))) {
		start_verify(p, wait_for(p), now);
	} else if (!mono_before(now, p->raise_at)) {
		p->max = p->limit;
		start_search(p, now);
	} else if (!mono_before(now, p->verify_at)) {
		p->verify_at = mono_add(now, VERIFY_EVERY);
		if (p->used && p->known > p->base)
			start_verify(p, VERIFY_PACE, now);
	}
}

/* ---- what the owner calls ------------------------------------------------ */

void pmtu_init(struct pmtu *p, uint16_t base, uint16_t max, mono_t now)
{
	memset(p, 0, sizeof(*p));
	p->base = p->known = base;
	p->max = p->limit = max > base ? max : base;
	start_search(p, now);
}

bool pmtu_settled(const struct pmtu *p)
{
	return p->settled;
}

mono_t pmtu_deadline(const struct pmtu *p)
{
	mono_t due;

	if (p->at < p->n)
		return p->begun;
	if (p->phase == PMTU_REST) {
		due = mono_earlier(p->verify_at, p->raise_at);
		return p->hinted ? mono_earlier(due, hint_due(p)) : due;
	}
	return p->settled ? p->deadline : mono_earlier(p->deadline, p->settle_at);
}

uint16_t pmtu_poll(struct pmtu *p, bool used, mono_t now)
{
	p->used |= used;
	if (!p->settled && !mono_before(now, p->settle_at))
		p->settled = true;
	for (;;) {
		while (p->at < p->n) {
			uint16_t size = p->round[p->at++];

			if (size <= p->max) {
				log_sent(p, size, now);
				return size;
			}
		}
		if (mono_before(now, pmtu_deadline(p)))
			return 0;
		if (p->phase == PMTU_SEARCH)
			search_step(p, now);
		else if (p->phase == PMTU_VERIFY)
			verify_step(p, now);
		else
			rest_step(p, now);
	}
}

/* Ticks off a probe of the round. */
static void note_answer(struct pmtu *p, uint16_t size)
{
	p->heard = true;
	for (unsigned i = 0; i < p->at; i++) {
		if (p->round[i] == size && !(p->answered & 1U << i)) {
			p->answered |= (uint16_t)(1U << i);
			break;
		}
	}
}

void pmtu_acked(struct pmtu *p, uint16_t size, mono_t now)
{
	if (size < p->base || size > p->max)
		return;
	log_answer(p, size, now);
	note_answer(p, size);
	if (p->phase == PMTU_SEARCH) {
		if (size > p->low)
			p->low = size;
		if (p->low > p->known)
			p->known = p->low;
		if (size >= p->high) {
			p->high = p->above > size ? p->above : p->max + 1;
			p->above = p->max + 1;
			p->failed = 0;
		}
		if (p->low >= p->max)
			end_search(p, now);
		else if (round_is_answered(p))
			p->deadline = now;
	} else if (size > p->known) {
		p->known = size; /* slow, not too large */
		start_search(p, now);
	} else if (p->phase == PMTU_VERIFY && size == p->known) {
		rest(p, now);
	}
}

void pmtu_hint(struct pmtu *p, mono_t now)
{
	(void)now; /* the time of the last verification decides */
	if (p->known > p->base)
		p->hinted = true;
}

void pmtu_refused(struct pmtu *p, uint16_t size, mono_t now)
{
	if (size <= p->base || size > p->max)
		return;
	p->max = size - 1;
	if (p->known > p->max) {
		p->known = p->base;
		p->settled = false;
		start_search(p, now);
	} else if (p->phase == PMTU_SEARCH) {
		if (p->high > p->max)
			p->high = p->max + 1;
		if (p->low >= p->max)
			end_search(p, now);
	}
}
