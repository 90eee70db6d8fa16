/*
 * The simulated Internet: the event clock, the wires, outsiders. See net.h.
 *
 * An event is a datagram that arrives or a hint about one that was too large.
 * Time jumps to the earliest of: the next event, the next packet of a flow, the
 * next timer of a router. At each point in time every router works until it is
 * idle, so that a run is the same each time but for the bytes of keys.
 */
#include "tests/sim/net.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "router/streams.h"

#define HELD_BACK (300 * MSEC)
#define START (1000 * SEC)
#define HELD_CHECK (500 * MSEC)

/* Of the sanitizers' runtime, where there is one: where its reports go. */
void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

struct incident {
	mono_t when;
	uint64_t order;
	struct datagram *datagram;
	struct site *hinted; /* NULL: the datagram arrives */
};

void *net_memory(void *old, size_t size)
{
	for (unsigned i = 0; i < 1000; i++) {
		void *p = realloc(old, size);

		if (p)
			return p;
	}
	fail_msg("no memory for the simulation");
	return NULL;
}

uint64_t net_random(struct net *n, uint64_t below)
{
	uint64_t z = (n->random += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	return below ? z % below : z;
}

static bool chance(struct net *n, double p)
{
	return p > 0 && (double)net_random(n, 1000000) < p * 1e6;
}

/* ---- events ------------------------------------------------------------ */

static bool is_earlier(const struct incident *a, const struct incident *b)
{
	return a->when.ns != b->when.ns ? a->when.ns < b->when.ns : a->order < b->order;
}

static void event_add(struct net *n, mono_t when, struct datagram *d, struct site *hinted)
{
	struct incident e = { .when = when, .order = ++n->order, .datagram = d, .hinted = hinted };
	size_t i;

	if (n->n_events + 1 >= n->room) {
		n->room = n->room ? n->room * 2 : 256;
		n->incidents = net_memory(n->incidents, n->room * sizeof(e));
	}
	for (i = ++n->n_events; i > 1 && is_earlier(&e, &n->incidents[i / 2]); i /= 2)
		n->incidents[i] = n->incidents[i / 2];
	n->incidents[i] = e;
}

static struct incident event_take(struct net *n)
{
	struct incident first = n->incidents[1], e = n->incidents[n->n_events--];
	size_t i = 1;

	for (size_t c; (c = i * 2) <= n->n_events; i = c) {
		if (c < n->n_events && is_earlier(&n->incidents[c + 1], &n->incidents[c]))
			c++;
		if (!is_earlier(&n->incidents[c], &e))
			break;
		n->incidents[i] = n->incidents[c];
	}
	n->incidents[i] = e;
	return first;
}

/* ---- wires --------------------------------------------------------------- */

/* Whether this address is reached through the site's NAT. */
static bool is_behind(const struct site *s, const struct endpoint *e)
{
	return s->box.kind && e->ip.family == 4;
}

static bool is_at(const struct site *s, const struct endpoint *e)
{
	const struct endpoint *own = &s->own[e->ip.family == 6];
	const struct endpoint *nat = &s->nat[e->ip.family == 6];

	if (is_behind(s, e))
		return ip_equal(&s->box.outside, &e->ip);
	return endpoint_equal(nat->port ? nat : own, e);
}

static bool is_neighbour(const struct site *s, const struct site *t, const struct endpoint *e)
{
	return t->lan && s->lan == t->lan && endpoint_equal(&t->own[e->ip.family == 6], e);
}

static struct site *find_site(struct net *n, const struct endpoint *e)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (is_at(&n->sites[i], e))
			return &n->sites[i];
	return NULL;
}

static struct site *find_neighbour(struct site *s, const struct endpoint *e)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (is_neighbour(s, &s->net->sites[i], e))
			return &s->net->sites[i];
	return NULL;
}

static struct datagram *copy(const struct datagram *d)
{
	struct datagram *c = net_memory(NULL, sizeof(*d) + d->len);

	memcpy(c, d, sizeof(*d) + d->len);
	return c;
}

static unsigned outer_size(const struct datagram *d)
{
	return d->len + 8 + (d->to.ip.family == 6 ? 40 : 20);
}

/* When a datagram gets through a wire of bounded rate; false: no room to wait. */
static bool queue_up(struct net *n, struct wire *w, const struct datagram *d, mono_t *when)
{
	int64_t start = w->busy > when->ns ? w->busy : when->ns;

	(void)n;
	if (!w->rate)
		return true;
	if ((uint64_t)(start - when->ns) * w->rate / SEC > w->queue)
		return false;
	w->busy = start + (int64_t)(outer_size(d) * (uint64_t)SEC / w->rate);
	when->ns = w->busy;
	return true;
}

static void pass(struct net *n, struct wire *w, const struct datagram *d)
{
	struct datagram *c;
	mono_t when = n->now;

	if (chance(n, w->loss) || !queue_up(n, w, d, &when))
		return;
	when.ns += w->delay + (w->jitter ? (int64_t)net_random(n, (uint64_t)w->jitter) : 0);
	if (chance(n, w->hold))
		when.ns += HELD_BACK;
	c = copy(d);
	if (chance(n, w->flip))
		c->data[net_random(n, c->len)] ^= (uint8_t)(1 << net_random(n, 8));
	if (c->tos & 3 && chance(n, w->mark))
		c->tos |= 3;
	w->passed++;
	event_add(n, when, c, NULL);
}

void net_hint(struct site *s, const struct endpoint *remote, int64_t delay)
{
	struct datagram d = { .to = *remote };

	event_add(s->net, mono_add(s->net->now, delay), copy(&d), s);
}

void net_send(struct site *s, uint8_t family, const struct endpoint *to, uint8_t tos,
	      const uint8_t *data, size_t len)
{
	const struct endpoint *nat = &s->nat[family == 6];
	struct net *n = s->net;
	struct site *neighbour = find_neighbour(s, to);
	struct site *target = neighbour ? neighbour : find_site(n, to);
	struct datagram *d = net_memory(NULL, sizeof(*d) + len);
	struct wire *w;

	*d = (struct datagram){ .from = nat->port ? *nat : s->own[family == 6],
				.to = *to,
				.tos = tos,
				.len = (uint32_t)len };
	memcpy(d->data, data, len);
	if (!neighbour && is_behind(s, to))
		d->from = nat_out(&s->box, to, n->now);
	s->wired++;
	if (n->tap)
		n->tap(n->tap_arg, n, s, d);
	if (!target) {
		n->strays++;
	} else {
		w = &n->wires[s->number][target->number];
		if (w->mtu && outer_size(d) > w->mtu) {
			w->too_large++;
			if (w->hint)
				net_hint(s, to, w->delay);
		} else if (!w->cut && !w->no_udp &&
			   !(w->mute && (d->data[0] & 15) == FRAME_HANDSHAKE)) {
			pass(n, w, d);
			if (chance(n, w->duplicate))
				pass(n, w, d);
		}
	}
	free(d);
}

void net_throw(struct net *n, const struct endpoint *from, const struct endpoint *to,
	       const void *data, size_t len, int64_t delay)
{
	struct datagram *d = net_memory(NULL, sizeof(*d) + len);

	*d = (struct datagram){ .from = *from, .to = *to, .len = (uint32_t)len };
	memcpy(d->data, data, len);
	event_add(n, mono_add(n->now, delay), d, NULL);
}

void net_wires(struct net *n, const struct wire *w)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		for (unsigned j = 1; j <= NET_SITES; j++)
			n->wires[i][j] = *w;
}

static struct site *find_target(struct net *n, const struct endpoint *to)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (is_neighbour(&n->sites[i], &n->sites[i], to))
			return &n->sites[i];
	return find_site(n, to);
}

/* A NAT puts the site's own address in. */
static void deliver(struct site *s, struct datagram *d)
{
	if (!is_neighbour(s, s, &d->to) && is_behind(s, &d->to) &&
	    !nat_in(&s->box, &d->from, d->to.port, s->net->now))
		return;
	d->to = s->own[d->to.ip.family == 6];
	site_deliver(s, d);
}

static void take(struct net *n, struct incident *e)
{
	struct note hint = { .kind = NOTE_TOO_BIG, .way = { .remote = e->datagram->to } };
	struct site *s = e->hinted ? e->hinted : find_target(n, &e->datagram->to);

	if (s && s->router) {
		if (e->hinted)
			worker_note(&s->router->workers[0], &hint, NULL, 0);
		else
			deliver(s, e->datagram);
		s->busy = true;
	}
	free(e->datagram);
}

/* ---- time ------------------------------------------------------------------ */

/* The next point in time at which anything happens, at most end. */
static mono_t next_time(const struct net *n, mono_t end)
{
	mono_t next = end;

	if (n->n_events)
		next = mono_earlier(next, n->incidents[1].when);
	next = mono_earlier(next, pipes_next(n));
	for (size_t i = 0; i < n->n_flows; i++)
		if (n->flows[i]->left)
			next = mono_earlier(next, n->flows[i]->next);
	for (unsigned i = 1; i <= NET_SITES; i++) {
		if (!n->sites[i].router)
			continue;
		if (n->sites[i].busy)
			return n->now;
		next = mono_earlier(next, loop_next(n->sites[i].loop));
		next = mono_earlier(next, n->sites[i].held_check);
	}
	return mono_before(next, n->now) ? n->now : next;
}

static void check_held(struct site *s)
{
	bool any = false;

	if (mono_is_set(s->held_check) && !mono_before(s->net->now, s->held_check)) {
		router_kick(s->router);
		s->held_check = (mono_t){ 0 };
		site_settle(s);
	}
	for (unsigned i = 0; i < s->workers; i++)
		any |= s->router->workers[i].n_held > 0;
	if (any && !mono_is_set(s->held_check))
		s->held_check = mono_add(s->net->now, HELD_CHECK);
}

static void step(struct net *n)
{
	while (n->n_events && !mono_before(n->now, n->incidents[1].when)) {
		struct incident e = event_take(n);

		take(n, &e);
	}
	pipes_step(n);
	for (unsigned i = 1; i <= NET_SITES; i++) {
		struct site *s = &n->sites[i];

		if (s->busy && s->router)
			site_settle(s);
		s->busy = false;
	}
	for (size_t i = 0; i < n->n_flows; i++) {
		struct flow *f = n->flows[i];

		while (f->left && !mono_before(n->now, f->next)) {
			f->left--;
			f->next = mono_add(f->next, f->interval);
			flow_send(n, f);
		}
	}
	for (unsigned i = 1; i <= NET_SITES; i++) {
		struct site *s = &n->sites[i];

		if (!s->router)
			continue;
		if (mono_is_set(loop_next(s->loop)) && !mono_before(n->now, loop_next(s->loop))) {
			loop_fire(s->loop, n->now);
			site_settle(s);
		}
		check_held(s);
	}
}

int64_t net_wait(struct net *n, net_fn *fn, void *arg, int64_t max)
{
	mono_t start = n->now, end = mono_add(start, max);
	bool holds = false;

	for (unsigned still = 0;;) {
		mono_t before = n->now;

		step(n);
		holds = fn && fn(arg, n);
		if (holds)
			break;
		n->now = next_time(n, end);
		if (!mono_before(n->now, end))
			break;
		still = n->now.ns == before.ns ? still + 1 : 0;
		assert_true(still < 100000); /* time must go on */
	}
	if (!holds) {
		step(n);
		holds = fn && fn(arg, n);
	}
	net_check(n);
	return holds ? mono_since(n->now, start) : -1;
}

void net_run(struct net *n, int64_t time)
{
	net_wait(n, NULL, NULL, time);
}

/* ---- sums ------------------------------------------------------------------- */

static void check_worker(const struct site *s, const struct worker *w)
{
	const struct counters *c = &w->counters;
	uint64_t in =
		counter_read(&c->intercepted) + counter_read(&c->received) + counter_read(&c->made);
	uint64_t out = counter_read(&c->sent) + counter_read(&c->injected) +
		       counter_read(&c->consumed) + w->n_held;

	for (int d = 0; d < DROPS; d++)
		out += counter_read(&c->drops[d]);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (s->router->streams[i] && s->router->streams[i]->worker == w)
			out += streams_waiting(s->router->streams[i]->streams);
	if (in != out)
		print_error("%s worker %u: in %lu, out %lu\n", s->name, w->number, in, out);
	assert_int_equal(in, out);
	if (w->pool)
		assert_int_equal(pool_left(w->pool) + w->n_held, pool_size(w->pool));
	else
		assert_int_equal(w->n_held, 0);
}

void net_check(struct net *n)
{
	for (unsigned i = 1; i <= NET_SITES; i++) {
		struct site *s = &n->sites[i];

		for (unsigned k = 0; s->router && k < s->router->n_made; k++)
			check_worker(s, &s->router->workers[k]);
	}
	assert_int_equal(n->corrupt, 0);
	assert_int_equal(n->misplaced, 0);
}

/* ---- life -------------------------------------------------------------------- */

static void init_site(struct net *n, unsigned i)
{
	struct site *s = &n->sites[i];
	char text[ENDPOINT_TEXT];

	s->net = n;
	s->number = i;
	s->workers = 1;
	s->first_hop = 1500;
	s->kernel_routes = s->listens = true;
	snprintf(s->name, sizeof(s->name), "r%u", i);
	snprintf(text, sizeof(text), "198.51.100.%u:%d", i, NET_PORT);
	s->own[0] = endpoint_of(text);
	snprintf(text, sizeof(text), "[2001:db8::%u]:%d", i, NET_PORT);
	s->own[1] = endpoint_of(text);
	s->box.outside = (struct ip){ 4, { 203, 0, 113, (uint8_t)i } };
}

struct net *net_new(uint64_t seed)
{
	struct wire w = { .delay = 10 * MSEC };
	struct net *n = calloc(1, sizeof(*n));

	assert_non_null(n);
	n->random = seed * 7919 + 1;
	n->now = (mono_t){ START };
	for (unsigned i = 1; i <= NET_SITES; i++)
		init_site(n, i);
	list_init(&n->pipes);
	list_init(&n->calls);
	net_wires(n, &w);
	n->real_stderr = dup(STDERR_FILENO);
	n->log = memfd_create("log", MFD_CLOEXEC);
	assert_true(n->real_stderr >= 0 && n->log >= 0);
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)n->real_stderr);
	if (!getenv("SIM_LOG")) /* set by people who want to see it */
		dup2(n->log, STDERR_FILENO);
	return n;
}

void net_free(struct net *n)
{
	for (unsigned i = 1; i <= NET_SITES; i++)
		if (n->sites[i].router)
			site_stop(&n->sites[i]);
	pipes_free(n);
	while (n->n_events)
		free(n->incidents[n->n_events--].datagram);
	for (size_t i = 0; i < n->n_flows; i++) {
		free(n->flows[i]->seen);
		free(n->flows[i]);
	}
	fflush(stderr);
	dup2(n->real_stderr, STDERR_FILENO);
	if (__sanitizer_set_report_fd)
		__sanitizer_set_report_fd((void *)(intptr_t)STDERR_FILENO);
	close(n->real_stderr);
	close(n->log);
	free(n->flows);
	free(n->incidents);
	free(n);
}

unsigned net_logged(struct net *n, const char *text)
{
	off_t size = lseek(n->log, 0, SEEK_END);
	char *all = calloc(1, (size_t)size + 1);
	unsigned found = 0;

	assert_non_null(all);
	assert_int_equal(pread(n->log, all, (size_t)size, 0), size);
	for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n"))
		found += strstr(line, text) != NULL;
	free(all);
	return found;
}

int net_setup(void **state)
{
	*state = net_new(1);
	return 0;
}

int net_teardown(void **state)
{
	net_free(*state);
	return 0;
}

int net_group_setup(void **state)
{
	(void)state;
	rcu_register_thread();
	return 0;
}

int net_group_teardown(void **state)
{
	(void)state;
	rcu_unregister_thread();
	return 0;
}
