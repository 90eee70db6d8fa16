/*
 * The methods of interception, see interception.h. Each but `tun` is a set of
 * interceptors that the workers take up, and a Netfilter rule that sends packets
 * there:
 *
 *   nfqueue   a queue for each worker; a rule in forward and output (host_rules.c)
 *   packet    two rings for each worker, IPv4 and IPv6; a rule at the interfaces
 *             where packets come in (host_ingress.c)
 *
 * A change loses nothing and sends nothing twice. The new ones are open before the
 * rule that fills them appears. Then the rule of the old ones goes, and with it what
 * feeds them; once the kernel has done with the packets that it was just at, the
 * workers empty the old ones and close them. A rule sends each packet one way.
 */
#include "router/interception.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "router/afpacket.h"
#include "router/nfq.h"

/* ---- what the methods are made of ------------------------------------------------ */

static void close_all(struct intercept *in[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		in[i]->ops->close(in[i]);
}

static int set_queue_rule(struct router *r, unsigned queues, const char **ret_what)
{
	return host_rules_set(r->host, r->config->device, r->config->source_check, r->config->queue,
			      (uint16_t)queues, ret_what);
}

static int open_queues(struct router *r, struct intercept *ret[], const char **ret_what)
{
	unsigned n;

	*ret_what = "NFQUEUE can't be bound (is its number in use?)";
	for (n = 0; n < r->n_workers; n++) {
		ret[n] = nfqueue_open((uint16_t)(r->config->queue + n));
		if (!ret[n]) {
			int e = -errno;

			close_all(ret, n);
			return e;
		}
	}
	return 0;
}

static int start_queue_rule(struct router *r, const char **ret_what)
{
	const char *what;
	int e = set_queue_rule(r, r->n_workers, ret_what);

	if (e) /* as it was: the source check at least */
		set_queue_rule(r, 0, &what);
	return e;
}

static int stop_queue_rule(struct router *r, const char **ret_what)
{
	return set_queue_rule(r, 0, ret_what);
}

static int open_rings(struct router *r, struct intercept *ret[], const char **ret_what)
{
	uint32_t mark = host_ingress_mark(r->config->device);
	int e = afpacket_open(4, mark, r->n_workers, ret);

	*ret_what = "AF_PACKET rings can't be opened";
	if (e)
		return e;
	e = afpacket_open(6, mark, r->n_workers, ret + r->n_workers);
	if (e)
		close_all(ret, r->n_workers);
	return e;
}

static void say_taken(const struct router *r, const char *wrong)
{
	char names[HOST_INTERFACES_MAX * (IF_NAMESIZE + 2)] = "";

	for (unsigned i = 0; i < r->taken_from.n; i++) {
		strcat(names, i ? ", " : "");
		strcat(names, r->taken_from.at[i].name);
	}
	log_info("interception: packets are taken from %s%s%s%s",
		 *names ? names : "no interface, and come by the device", *wrong ? " (" : "", wrong,
		 *wrong ? ")" : "");
}

/* *ret_changed: there is something to say, which is in wrong or r->taken_from. */
static int set_ingress_rule(struct router *r, const struct config *c, bool anew,
			    const char **ret_what)
{
	struct host_interfaces found;
	char wrong[sizeof(r->taken_wrong)];
	int e = 0;

	memset(&found, 0, sizeof(found));
	host_find_interfaces(r->host, c->interfaces, c->n_interfaces, c->lndt, c->n_lndt, c->device,
			     &found, wrong, sizeof(wrong));
	if (!anew && !memcmp(&found, &r->taken_from, sizeof(found)) &&
	    !strcmp(wrong, r->taken_wrong))
		return 0;
	e = host_ingress_set(r->host, c->device, c->source_check, &found, ret_what);
	if (e)
		return e;
	r->taken_from = found;
	strcpy(r->taken_wrong, wrong);
	say_taken(r, wrong);
	return 0;
}

static int start_ingress_rule(struct router *r, const char **ret_what)
{
	return set_ingress_rule(r, r->config, true, ret_what);
}

static int stop_ingress_rule(struct router *r, const char **ret_what)
{
	int e = host_ingress_remove(r->host);

	*ret_what = "the rule where packets come in can't be removed";
	if (!e)
		r->taken_from.n = 0;
	return e;
}

static const struct method {
	unsigned each; /* interceptors of a worker */
	/* Number i is worker i % n_workers's. */
	int (*open)(struct router *, struct intercept *ret[], const char **ret_what);
	int (*start)(struct router *, const char **ret_what);
	int (*stop)(struct router *, const char **ret_what);
} methods[] = {
	[INTERCEPT_TUN] = { .each = 0 },
	[INTERCEPT_NFQUEUE] = { 1, open_queues, start_queue_rule, stop_queue_rule },
	[INTERCEPT_PACKET] = { 2, open_rings, start_ingress_rule, stop_ingress_rule },
};

/* ---- changing -------------------------------------------------------------------- */

/* Returns when no processor is at a packet any more that it began with before: they
 * do so under RCU. */
static void let_kernel_finish(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

int interception_set(struct router *r, enum intercept_method method, const char **ret_what)
{
	const struct method *new = &methods[method], *old = &methods[r->intercept];
	struct intercept *in[2 * WORKERS_MAX];
	const char *what;
	int e = 0;

	if (method == r->intercept)
		return 0;
	if (!r->host)
		return -EOPNOTSUPP;
	if (new->each)
		e = new->open(r, in, ret_what);
	if (e)
		return e;
	if (new->each)
		e = new->start(r, ret_what);
	if (!e && old->each) {
		e = old->stop(r, ret_what);
		if (e && new->each)
			new->stop(r, &what);
	}
	if (e) {
		close_all(in, new->each * r->n_workers);
		return e;
	}
	if (old->each)
		let_kernel_finish();
	for (unsigned i = 0; i < old->each * r->n_workers; i++)
		worker_retire(r->queues[i]);
	for (unsigned i = 0; i < new->each * r->n_workers; i++) {
		r->queues[i] = in[i];
		worker_take_up(&r->workers[i % r->n_workers], in[i]);
	}
	r->intercept = method;
	router_kick(r);
	log_info("interception: %s", intercept_method_name(method));
	return 0;
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
