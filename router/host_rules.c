/*
 * The router's own Netfilter table: what would leave by the device is dropped
 * there if it came in by a way that does not lead back to its source (a packet
 * from the Internet in a host's name), and goes to the queues instead where they
 * are in use.
 *
 *   table inet vine-DEVICE
 *     chain overlay_forward   hook forward
 *       meta oifname DEVICE   fib saddr . iif oif missing   counter drop
 *       meta oifname DEVICE   queue num FIRST-LAST
 *     chain overlay_output    hook output
 *       meta oifname DEVICE   queue num FIRST-LAST
 *
 * The hooks come after the kernel's routing, so that TTL and MTU are dealt with
 * and answered; and after the site's own filter rules (priority 0), so that these
 * see the packets as they do when the device takes them. There is no bypass: a
 * queue that nobody reads drops.
 *
 * The table is owned by our netlink socket and vanishes with it, however the
 * process ends. Kernels before 5.12 know no owners: there a leftover may be found
 * and is replaced, in the same transaction. Where the kernel was built without
 * nf_tables' queue expression, the xtables target of the same effect is asked
 * for; both are tried, as there is no other way to find out.
 */
#include "router/host_nft.h"
#include "router/host_private.h"

#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#define PRIORITY 10 /* after NF_IP_PRI_FILTER */

struct rules {
	const char *device;
	uint16_t first, n; /* queues; n = 0: none */
	bool check_source;
	bool owner;	 /* the table goes with our socket */
	bool expression; /* nf_tables' own, not the xtables target */
};

static bool match_device(struct nftnl_rule *r, const char *device)
{
	char name[IF_NAMESIZE] = { 0 };

	strncpy(name, device, sizeof(name) - 1);
	return host_nft_meta(r, NFT_META_OIFNAME) && host_nft_is(r, name, sizeof(name));
}

static bool queue_by_expression(struct nftnl_rule *r, const struct rules *q)
{
	struct nftnl_expr *e = host_nft_expr(r, "queue");

	if (!e)
		return false;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, q->first);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, q->n);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, 0); /* hash of addresses, no bypass */
	return true;
}

static bool queue_by_target(struct nftnl_rule *r, const struct rules *q)
{
	struct nftnl_expr *e = host_nft_expr(r, "target");
	/* Its size must be a multiple of 8. The expression frees it. */
	struct xt_NFQ_info_v3 *info = e ? calloc(1, 8) : NULL;

	if (!info)
		return false;
	info->queuenum = q->first;
	info->queues_total = q->n;
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, 8);
	return true;
}

static bool queue(struct nftnl_rule *r, const void *arg)
{
	const struct rules *q = arg;

	return match_device(r, q->device) &&
	       (q->expression ? queue_by_expression(r, q) : queue_by_target(r, q));
}

/* The route back to the source must lead out where the packet came in. */
static bool drop_spoofed(struct nftnl_rule *r, const void *arg)
{
	const struct rules *q = arg;
	struct nftnl_expr *drop;

	if (!match_device(r, q->device) || !host_nft_fib(r, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF) ||
	    !host_nft_is(r, &(uint32_t){ 0 }, 4) || !host_nft_expr(r, "counter"))
		return false;
	drop = host_nft_expr(r, "immediate");
	if (!drop)
		return false;
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(drop, NFTNL_EXPR_IMM_VERDICT, NF_DROP);
	return true;
}

static int add_table(struct host *host, const char *name, const struct rules *q)
{
	static const struct {
		const char *name;
		uint32_t hook;
	} chains[] = { { "overlay_forward", NF_INET_FORWARD },
		       { "overlay_output", NF_INET_LOCAL_OUT } };
	struct host_nft *t = host_nft_begin(&host->filter, NFPROTO_INET, name);

	if (!t)
		return -ENOMEM;
	/* Made so that it can be deleted whether it was there or not. */
	host_nft_add_table(t, false);
	host_nft_delete_table(t);
	host_nft_add_table(t, q->owner);
	for (unsigned i = 0; i < 2; i++) {
		host_nft_add_chain(t, chains[i].name, chains[i].hook, PRIORITY, NULL);
		if (q->check_source && chains[i].hook == NF_INET_FORWARD)
			host_nft_add_rule(t, chains[i].name, drop_spoofed, q);
		if (q->n)
			host_nft_add_rule(t, chains[i].name, queue, q);
	}
	return host_nft_commit(t);
}

/* Tries what kernels may lack, the best first: owners, the queue expression. */
static int add_best(struct host *host, const char *name, struct rules *q)
{
	int e = 0;

	for (unsigned way = 0; way < 4; way++) {
		q->owner = way < 2;
		q->expression = way % 2 == 0;
		e = add_table(host, name, q);
		if (!e || e == -EPERM || e == -EACCES || e == -ENOMEM)
			break;
	}
	return e;
}

int host_rules_set(struct host *host, const char *device, bool check_source, uint16_t first,
		   uint16_t n, const char **ret_what)
{
	struct rules q = { .device = device, .check_source = check_source, .first = first, .n = n };
	char name[sizeof(host->table)];
	int e = -EINVAL;

	if ((n && first > UINT16_MAX - (n - 1)) || strlen(device) >= IF_NAMESIZE) {
		*ret_what = "queue numbers or device name out of range";
		return e;
	}
	e = host_rules_remove(host);
	if (e) {
		*ret_what = "the earlier Netfilter table can't be removed";
		return e;
	}
	if (!n && !check_source)
		return 0;
	snprintf(name, sizeof(name), HOST_TABLE_PREFIX "%s", device);
	e = add_best(host, name, &q);
	if (!e) {
		strcpy(host->table, name);
		return 0;
	}
	*ret_what = e == -EPERM	   ? "the Netfilter table is not ours to change"
		    : e == -ENOENT ? "the kernel has neither nf_tables' queue expression nor the "
				     "xtables NFQUEUE target"
				   : "the Netfilter table can't be made";
	return e;
}

int host_rules_remove(struct host *host)
{
	struct host_nft *t;
	int e;

	if (!host->table[0])
		return 0;
	t = host_nft_begin(&host->filter, NFPROTO_INET, host->table);
	if (!t)
		return -ENOMEM;
	host_nft_delete_table(t);
	e = host_nft_commit(t);
	if (e == -ENOENT) /* somebody flushed the ruleset */
		e = 0;
	if (!e)
		host->table[0] = '\0';
	return e;
}
