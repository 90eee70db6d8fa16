/*
 * Pings for vinectl: everything that happens does so in one timer, one step at a
 * time.
 *
 *   send    a frame goes out, or, without keys, a handshake is asked for and the
 *           frame tried again a little later, within its time
 *   wait    for contact's word: an answer, or none in time
 *   tell    the result of this frame; then the next one, or the summary
 *
 * The peer is remembered by ID: a reload may take its contact away, which then
 * says "not answered" first.
 */
#include "router/pings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"
#include "router/show.h"

#define RETRY (50 * MSEC)

struct pings {
	struct router *router;
	struct pings_request request;
	pings_fn *fn;
	void *arg;
	struct timer timer;

	enum { SEND, WAIT, TELL } step;
	mono_t begun; /* this frame; later tries count from here too */
	unsigned seq; /* of this frame, from 1 */
	size_t size;
	const char *error; /* why it was not sent */
	bool answered;
	int64_t rtt;

	unsigned sent, received;
	int64_t min, max, sum;
};

static void again(struct pings *p, mono_t when)
{
	timer_set(p->router->loop, &p->timer, when);
}

static void told(void *arg, bool answered, int64_t rtt, uint16_t frame_size)
{
	struct pings *p = arg;

	(void)frame_size;
	p->answered = answered;
	p->rtt = rtt > 0 ? rtt : answered;
	p->step = TELL;
	again(p, (mono_t){ 1 }); /* at once, but not from within contact */
}

/* What the path carries, for a trace. */
static size_t whole_frame(const struct contact *c)
{
	const struct path *path = c->peer->path;

	return path ? atomic_load_explicit(&path->frame_max, memory_order_relaxed) : PINGS_SIZE_MIN;
}

static void send_frame(struct pings *p, struct contact *c, mono_t now)
{
	int r;

	p->size = p->request.trace ? whole_frame(c) : p->request.size;
	r = contact_ping(c, p->size, PINGS_TIMEOUT, told, p, now);
	p->error = NULL;
	if (r == 0) {
		p->sent++;
		if (p->step == SEND)
			p->step = WAIT;
		return;
	}
	if (r == -ENOTCONN)
		keying_want(&c->keying, now);
	if ((r == -ENOTCONN || r == -EBUSY) && mono_since(now, p->begun) < PINGS_TIMEOUT) {
		again(p, mono_add(now, RETRY));
		return;
	}
	p->error = r == -ENOTCONN   ? "no keys with the peer yet"
		   : r == -EBUSY    ? "another ping of this peer is under way"
		   : r == -EMSGSIZE ? "larger than the interface carries"
				    : strerror(-r);
	p->answered = false;
	p->step = TELL;
	again(p, now);
}

static json_t *frame_result(const struct pings *p, const struct contact *c)
{
	char remote[WAYS_TEXT];
	const struct path *path = c->peer->path;

	return json_pack("{s:i, s:b, s:o, s:i, s:s?, s:s?}", "seq", (int)p->seq, "answered",
			 (int)p->answered, "rtt_seconds", show_seconds(p->answered ? p->rtt : 0),
			 "frame_bytes", (int)p->size, "remote",
			 path ? ways_text(c, &path->way, remote) : NULL, "error", p->error);
}

static json_t *summary(const struct pings *p)
{
	bool any = p->received > 0;

	return json_pack("{s:o, s:i, s:i, s:o, s:o, s:o}", "peer",
			 show_router(p->router, p->request.peer), "sent", (int)p->sent, "received",
			 (int)p->received, "rtt_min_seconds", show_seconds(any ? p->min : 0),
			 "rtt_avg_seconds", show_seconds(any ? p->sum / p->received : 0),
			 "rtt_max_seconds", show_seconds(any ? p->max : 0));
}

static void count(struct pings *p)
{
	if (!p->answered)
		return;
	p->received++;
	p->sum += p->rtt;
	if (p->received == 1 || p->rtt < p->min)
		p->min = p->rtt;
	if (p->rtt > p->max)
		p->max = p->rtt;
}

static void tell(struct pings *p, struct contact *c, mono_t now)
{
	bool last = p->seq >= p->request.count || (p->request.trace && p->answered);
	mono_t next = mono_add(p->begun, p->request.interval);

	count(p);
	if (!p->request.trace)
		p->fn(p->arg, frame_result(p, c), NULL, false);
	if (!last) {
		p->seq++;
		p->step = SEND;
		p->begun = mono_before(next, now) ? now : next;
		again(p, p->begun);
		return;
	}
	p->fn(p->arg,
	      p->request.trace
		      ? show_trace(p->router, c, (uint16_t)p->size, p->answered ? p->rtt : -1, now)
		      : summary(p),
	      NULL, true);
}

static void due(struct timer *t, mono_t now)
{
	struct pings *p = container_of(t, struct pings, timer);
	struct contact *c = router_contact_by_id(p->router, p->request.peer);

	if (!c) {
		p->fn(p->arg, NULL, "the peer is not configured any more", true);
		return;
	}
	if (p->step == TELL)
		tell(p, c, now);
	else if (p->step == SEND)
		send_frame(p, c, now);
}

struct pings *pings_new(struct router *r, const struct pings_request *request, pings_fn *fn,
			void *arg, mono_t now)
{
	struct pings *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->router = r;
	p->request = *request;
	p->fn = fn;
	p->arg = arg;
	p->seq = 1;
	p->begun = now;
	p->timer.fn = due;
	if (timer_set(r->loop, &p->timer, now) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

void pings_free(struct pings *p)
{
	struct contact *c;

	if (!p)
		return;
	timer_cancel(p->router->loop, &p->timer);
	c = router_contact_by_id(p->router, p->request.peer);
	if (c && c->ping_fn == told && c->ping_arg == p)
		c->ping_fn = NULL;
	free(p);
}
