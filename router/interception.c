/*
 * The methods of interception, see interception.h. Each but `tun` is interceptors,
 * numbered as the workers that they are for, and a Netfilter rule that sends packets
 * there:
 *
 *   nfqueue   a queue each; rules in forward and output (host_rules.c)
 *   packet    two rings each, IPv4 and IPv6; a rule at the interfaces where packets
 *             come in (host_ingress.c)
 *
 * A change loses nothing and sends nothing twice. The new ones are open and read
 * before the rule that fills them appears; then the rule of the old ones goes. They
 * stay open, and what is in them is read. A rule sends each packet one way.
 */
#include "router/interception.h"

#include <malloc.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "router/afpacket.h"
#include "router/nfq.h"
#include "router/router.h"

_Static_assert(WORKERS_MAX <= NFQUEUE_RANGE, "a queue for each worker");

/* ---- queues ---------------------------------------------------------------------- */

static int open_queues(struct router *r, unsigned n, const char **ret_what)
{
	struct interception *in = &r->interception;
	int e = 0;

	*ret_what = "NFQUEUE can't be bound (is its number in use?)";
	while (!e && in->n_queues < n) {
		struct intercept *q = nfqueue_open((uint16_t)(r->config->queue + in->n_queues));

		if (!q)
			return -errno;
		r->queue_offloads = q->offloads;
		e = router_read(r, in->n_queues, q);
		in->n_queues += !e;
	}
	return e;
}

static int set_queue_rules(struct router *r, unsigned queues, const char **ret_what)
{
	return host_rules_set(r->host, r->config->device, r->config->source_check,
			      queues ? r->config->queue : 0, (uint16_t)queues, ret_what);
}

static int leave_queues(struct router *r, const char **ret_what)
{
	return set_queue_rules(r, 0, ret_what); /* the source check at least */
}

/* ---- rings ----------------------------------------------------------------------- */

static int open_rings_of(struct router *r, uint8_t family, struct ring_group *g, unsigned n)
{
	int e = 0;

	while (!e && g->n < n) {
		struct intercept *ring =
			afpacket_open(family, host_ingress_mark(r->config->device), g->first);

		if (!ring)
			return -errno;
		e = router_read(r, g->n, ring);
		if (!e && !g->first)
			g->first = ring;
		g->n += !e;
	}
	return e;
}

static int open_rings(struct router *r, unsigned n, const char **ret_what)
{
	int e = open_rings_of(r, 4, &r->interception.rings4, n);

	*ret_what = "AF_PACKET rings can't be opened";
	return e ? e : open_rings_of(r, 6, &r->interception.rings6, n);
}

static int share_rings(struct router *r, unsigned n, const char **ret_what)
{
	int e = afpacket_share(r->interception.rings4.first, n);

	*ret_what = "packets can't be shared among AF_PACKET rings";
	return e ? e : afpacket_share(r->interception.rings6.first, n);
}

static void say_taken(const struct interception *in)
{
	char names[HOST_INTERFACES_MAX * (IF_NAMESIZE + 2)] = "";

	for (unsigned i = 0; i < in->taken_from.n; i++) {
		strcat(names, i ? ", " : "");
		strcat(names, in->taken_from.at[i].name);
	}
	log_info("interception: packets are taken from %s%s%s%s",
		 *names ? names : "no interface, and come by the device", *in->wrong ? " (" : "",
		 in->wrong, *in->wrong ? ")" : "");
}

/* anew: also if nothing has changed. */
static int set_ingress_rule(struct router *r, const struct config *c, bool anew,
			    const char **ret_what)
{
	struct interception *in = &r->interception;
	struct host_interfaces found;
	char wrong[sizeof(in->wrong)];
	const struct lndt_row *site;
	size_t n;
	int e;

	memset(&found, 0, sizeof(found));
	site = router_site(r, c, &n);
	host_find_interfaces(r->host, c->interfaces, c->n_interfaces, site, n, c->device, &found,
			     wrong, sizeof(wrong));
	if (!anew && !memcmp(&found, &in->taken_from, sizeof(found)) && !strcmp(wrong, in->wrong))
		return 0;
	e = host_ingress_set(r->host, c->device, c->source_check, &found, ret_what);
	if (e)
		return e;
	in->taken_from = found;
	strcpy(in->wrong, wrong);
	say_taken(in);
	return 0;
}

static int fill_rings(struct router *r, unsigned n, const char **ret_what)
{
	int e = share_rings(r, n, ret_what);

	return e ? e : set_ingress_rule(r, r->config, true, ret_what);
}

static int leave_rings(struct router *r, const char **ret_what)
{
	int e = host_ingress_remove(r->host);

	*ret_what = "the rule where packets come in can't be removed";
	if (!e)
		r->interception.taken_from.n = 0;
	return e;
}

/* ---- methods --------------------------------------------------------------------- */

static const struct method {
	/* Opens what the first n workers read, unless it is open. */
	int (*open)(struct router *, unsigned n, const char **ret_what);
	/* Packets go to the first n. */
	int (*fill)(struct router *, unsigned n, const char **ret_what);
	/* They do already, and go to another number of them. */
	int (*share)(struct router *, unsigned n, const char **ret_what);
	/* They do no more. */
	int (*leave)(struct router *, const char **ret_what);
} methods[] = {
	[INTERCEPT_TUN] = { 0 },
	[INTERCEPT_NFQUEUE] = { open_queues, set_queue_rules, set_queue_rules, leave_queues },
	[INTERCEPT_PACKET] = { open_rings, fill_rings, share_rings, leave_rings },
};

static int enter(struct router *r, const struct method *m, const char **ret_what)
{
	const char *what;
	int e = m->open ? m->open(r, r->n_workers, ret_what) : 0;

	if (!e && m->fill) {
		e = m->fill(r, r->n_workers, ret_what);
		if (e)
			m->leave(r, &what);
	}
	return e;
}

int interception_set(struct router *r, enum intercept_method method, const char **ret_what)
{
	const struct method *new = &methods[method], *old = &methods[r->intercept];
	const char *what;
	int e;

	if (method == r->intercept)
		return 0;
	*ret_what = "a simulation";
	if (!r->host)
		return -EOPNOTSUPP;
	e = enter(r, new, ret_what);
	if (!e && old->leave) {
		e = old->leave(r, ret_what);
		if (e && new->leave)
			new->leave(r, &what);
	}
	if (e)
		return e;
	r->intercept = method;
	log_info("interception: %s", intercept_method_name(method));
	malloc_trim(0); /* what the rules' messages took */
	return 0;
}

int interception_make_room(struct router *r, unsigned n, const char **ret_what)
{
	const struct method *m = &methods[r->intercept];

	return m->open ? m->open(r, n, ret_what) : 0;
}

int interception_share(struct router *r, const char **ret_what)
{
	const struct method *m = &methods[r->intercept];

	return m->share ? m->share(r, r->n_workers, ret_what) : 0;
}

void interception_refresh(struct router *r, const struct config *c)
{
	const char *what = "";
	int e;

	if (r->intercept != INTERCEPT_PACKET || !r->host)
		return;
	e = set_ingress_rule(r, c, false, &what);
	if (e < 0)
		log_warn("interception: %s: %s", what, strerror(-e));
}
