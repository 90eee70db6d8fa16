/*
 * Streams between sites: twins of dial.c, accept.c and stream_tcp.c on the simulated
 * wires. Nothing is lost in them: what a wire does not let through comes later, and after
 * some seconds of that the connection breaks, as TCP's do.
 *
 * Where a wire has `no_udp` set only streams pass it, and so on: see struct wire. TLS is a
 * port here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/net.h"
#include "router/connections.h"

#define UNDER_WAY (256 * 1024) /* bytes that one end may have sent and the other not taken */
#define AGAIN (200 * MSEC)
#define BREAKS (10 * SEC)

struct chunk {
	struct list node;
	mono_t when, since;
	size_t len; /* 0: the end */
	uint8_t data[];
};

struct end {
	struct stream stream;
	struct pipe *pipe;
	struct site *site;
	struct endpoint remote;
	bool held;   /* by a router */
	bool ended;  /* nothing more comes */
	int broken;  /* -errno */
	uint8_t *in; /* has come */
	size_t in_len;
	struct list chunks; /* to it, under way */
	size_t under_way;
};

struct pipe {
	struct list node;  /* of net->pipes */
	struct end end[2]; /* who dialled, who accepts */
	bool tls;
};

/* A connection that is being made. */
struct call {
	struct list node; /* of net->calls */
	struct net *net;
	struct site *from;
	struct endpoint to;
	bool tls;
	mono_t when, late;
	int64_t timeout;
	dial_fn *fn;
	void *arg;
};

static struct net *net_of(const struct end *e)
{
	return e->site->net;
}

static struct end *other(struct end *e)
{
	return &e->pipe->end[e == &e->pipe->end[0]];
}

static bool passes(const struct wire *w, bool tls)
{
	return !w->cut && !(tls ? w->no_tls : w->no_tcp);
}

/* Whether the address that it was opened from, or to, is its site's still. */
static bool is_there(const struct end *e)
{
	const struct endpoint *own = &e->site->own[e->stream.local.family == 6];

	return ip_equal(&own->ip, &e->stream.local);
}

/* Whether what is under way to this end can get there. */
static bool arrives(struct end *e)
{
	const struct wire *w = &net_of(e)->wires[other(e)->site->number][e->site->number];

	return is_there(e) && is_there(other(e)) && passes(w, e->pipe->tls);
}

/* ---- an end as a stream ---------------------------------------------------------- */

static ssize_t end_read(struct stream *s, void *data, size_t room)
{
	struct end *e = container_of(s, struct end, stream);
	size_t n = e->in_len < room ? e->in_len : room;

	if (!n)
		return e->broken ? e->broken : e->ended ? 0 : -EAGAIN;
	memcpy(data, e->in, n);
	e->in_len -= n;
	memmove(e->in, e->in + n, e->in_len);
	other(e)->site->busy = true; /* it may write again */
	return (ssize_t)n;
}

static void send_chunk(struct end *from, const struct iovec *iov, int n, size_t len)
{
	struct end *to = other(from);
	struct net *net = net_of(from);
	struct chunk *c = net_memory(NULL, sizeof(*c) + len);
	const struct wire *w = &net->wires[from->site->number][to->site->number];
	size_t at = 0;

	for (int i = 0; i < n; at += iov[i++].iov_len)
		memcpy(c->data + at, iov[i].iov_base, iov[i].iov_len);
	c->len = len;
	c->when = c->since = mono_add(net->now, w->delay);
	list_insert(&to->chunks, &c->node);
	to->under_way += len;
}

static ssize_t end_write(struct stream *s, const struct iovec *iov, int n)
{
	struct end *e = container_of(s, struct end, stream);
	size_t len = 0;

	if (e->broken)
		return e->broken;
	if (other(e)->under_way + other(e)->in_len > UNDER_WAY)
		return -EAGAIN;
	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len)
		send_chunk(e, iov, n, len);
	return (ssize_t)len;
}

static int end_begin(struct stream *s)
{
	(void)s;
	return 0;
}

static void end_close(struct stream *s)
{
	struct end *e = container_of(s, struct end, stream);

	e->held = false;
	if (!e->broken)
		send_chunk(e, NULL, 0, 0);
	e->broken = -EPIPE;
}

static const struct stream_ops end_ops = { "twin", end_read, end_write, end_begin, end_close };

static void drop_chunks(struct end *e)
{
	list_for_each(node, &e->chunks) {
		list_remove(node);
		free(container_of(node, struct chunk, node));
	}
	e->under_way = 0;
}

static void pipe_free(struct pipe *p)
{
	list_remove(&p->node);
	for (int i = 0; i < 2; i++) {
		drop_chunks(&p->end[i]);
		free(p->end[i].in);
	}
	free(p);
}

static struct pipe *pipe_new(struct call *call, struct site *to)
{
	struct pipe *p = net_memory(NULL, sizeof(*p));

	memset(p, 0, sizeof(*p));
	p->tls = call->tls;
	for (int i = 0; i < 2; i++) {
		struct end *e = &p->end[i];

		e->pipe = p;
		e->site = i ? to : call->from;
		e->stream = (struct stream){ .ops = &end_ops,
					     .fd = -1,
					     .local = e->site->own[call->to.ip.family == 6].ip };
		list_init(&e->chunks);
	}
	p->end[0].remote = call->to;
	p->end[1].remote = call->from->own[call->to.ip.family == 6];
	p->end[1].remote.port = (uint16_t)(20000 + net_random(call->net, 20000));
	p->end[0].held = true;
	list_insert(&call->net->pipes, &p->node);
	return p;
}

/* ---- calls ------------------------------------------------------------------------- */

static struct site *callee(const struct call *call)
{
	struct endpoint at = call->to;

	at.port = NET_PORT;
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (endpoint_equal(&call->net->sites[i].own[at.ip.family == 6], &at))
			return &call->net->sites[i];
	return NULL;
}

static struct dial *call_start(void *arg, const struct dial_to *to, int64_t timeout, mono_t now,
			       dial_fn *fn, void *fn_arg)
{
	struct site *s = arg;
	struct call *call = net_memory(NULL, sizeof(*call));

	*call = (struct call){ .net = s->net,
			       .from = s,
			       .to = to->connect,
			       .tls = to->tls != NULL,
			       .timeout = timeout,
			       .late = mono_add(now, timeout),
			       .fn = fn,
			       .arg = fn_arg };
	call->when = mono_add(now, 2 * s->net->wires[s->number][s->number].delay);
	if (callee(call)) {
		unsigned i = callee(call)->number;

		call->when = mono_add(now, s->net->wires[s->number][i].delay +
						   s->net->wires[i][s->number].delay);
	}
	list_insert(&s->net->calls, &call->node);
	return (struct dial *)call;
}

static void call_cancel(struct dial *d)
{
	struct call *call = (struct call *)d;

	list_remove(&call->node);
	free(call);
}

static void call_over(struct call *call, struct stream *s, const char *why)
{
	struct call c = *call;

	call_cancel((struct dial *)call);
	c.fn(c.arg, s, why, c.net->now);
	c.from->busy = true;
}

static void call_step(struct call *call)
{
	struct net *n = call->net;
	struct site *to = callee(call);
	char why[64];

	if (to && passes(&n->wires[call->from->number][to->number], call->tls) &&
	    passes(&n->wires[to->number][call->from->number], call->tls)) {
		if (mono_before(n->now, call->when))
			return;
		if (to->router && to->listens)
			call_over(call, &pipe_new(call, to)->end[0].stream, NULL);
		else
			call_over(call, NULL, "TCP: Connection refused");
	} else if (!mono_before(n->now, call->late)) {
		snprintf(why, sizeof(why), "TCP: no answer in %d s", (int)(call->timeout / SEC));
		call_over(call, NULL, why);
	}
}

/* ---- what happens --------------------------------------------------------------------- */

/* The first bytes of a new one: to whom they are for, as accept.c does it. */
static void look(struct end *e)
{
	struct router *r = e->site->router;
	uint8_t first[FRAME_HEADER];

	if (e->held || e != &e->pipe->end[1] || e->in_len < sizeof(first) || !r || e->broken)
		return;
	e->held = true;
	end_read(&e->stream, first, sizeof(first));
	connections_accept(r->connections, &e->stream, e->pipe->tls ? RUNG_TLS : RUNG_TCP,
			   &e->remote, first, sizeof(first), net_of(e)->now);
}

static void break_pipe(struct pipe *p, int error)
{
	for (int i = 0; i < 2; i++) {
		drop_chunks(&p->end[i]);
		if (!p->end[i].broken)
			p->end[i].broken = error;
		p->end[i].site->busy = true;
	}
}

static void arrive(struct end *e, struct chunk *c)
{
	list_remove(&c->node);
	e->under_way -= c->len;
	if (c->len) {
		e->in = net_memory(e->in, e->in_len + c->len);
		memcpy(e->in + e->in_len, c->data, c->len);
		e->in_len += c->len;
	} else {
		e->ended = true;
	}
	free(c);
	e->site->busy = true;
	look(e);
}

static void end_step(struct end *e)
{
	struct net *n = net_of(e);

	while (!list_is_empty(&e->chunks)) {
		struct chunk *c = container_of(e->chunks.next, struct chunk, node);

		if (mono_before(n->now, c->when))
			return;
		if (!arrives(e) && mono_since(n->now, c->since) >= BREAKS) {
			break_pipe(e->pipe, -ETIMEDOUT);
			return;
		}
		if (!arrives(e)) {
			c->when = mono_add(n->now, AGAIN);
			return;
		}
		arrive(e, c);
	}
}

void pipes_step(struct net *n)
{
	list_for_each(node, &n->calls)
		call_step(container_of(node, struct call, node));
	list_for_each(node, &n->pipes) {
		struct pipe *p = container_of(node, struct pipe, node);

		end_step(&p->end[0]);
		end_step(&p->end[1]);
		if (!p->end[1].held && p->end[1].ended)
			p->end[1].broken = -EPIPE; /* nobody has taken it up */
		if (!p->end[0].held && !p->end[1].held && p->end[1].broken)
			pipe_free(p);
	}
}

mono_t pipes_next(const struct net *n)
{
	mono_t next = { 0 };

	list_for_each(node, (struct list *)&n->calls) {
		struct call *call = container_of(node, struct call, node);
		mono_t when = mono_before(n->now, call->when) ? call->when : call->late;

		if (!mono_is_set(next) || mono_before(when, next))
			next = when;
	}
	list_for_each(node, (struct list *)&n->pipes) {
		struct pipe *p = container_of(node, struct pipe, node);

		for (int i = 0; i < 2; i++) {
			struct list *chunks = &p->end[i].chunks;
			mono_t when;

			if (list_is_empty(chunks))
				continue;
			when = container_of(chunks->next, struct chunk, node)->when;
			if (!mono_is_set(next) || mono_before(when, next))
				next = when;
		}
	}
	return next;
}

void pipes_reset(struct net *n)
{
	list_for_each(node, &n->pipes)
		break_pipe(container_of(node, struct pipe, node), -ECONNRESET);
}

void pipes_equip(struct site *s)
{
	s->router->connections->dialer =
		(struct dialer){ .start = call_start, .cancel = call_cancel, .arg = s };
}

void pipes_free(struct net *n)
{
	while (!list_is_empty(&n->calls))
		call_cancel((struct dial *)container_of(n->calls.next, struct call, node));
	while (!list_is_empty(&n->pipes))
		pipe_free(container_of(n->pipes.next, struct pipe, node));
}
