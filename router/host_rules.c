/*
 * The router's own Netfilter table: what would leave by the device is dropped
 * there if it came in by a way that does not lead back to its source (a packet
 * from the Internet in a host's name), and goes to the queues instead where they
 * are in use.
 *
 *   table inet vine-DEVICE
 *     chain overlay_forward   hook forward
 *       meta oifname DEVICE   fib saddr . iif oif missing   counter drop
 *       meta oifname DEVICE   meta l4proto tcp   symhash mod N I   queue num TCP + I
 *       meta oifname DEVICE   symhash mod N I   queue num REST + I
 *     chain overlay_output    hook output
 *       the last two again, both once for each of N workers
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
 * for; without its hash expression, which tells flows apart by their ports as well,
 * there is one rule for all queues, and the target balances by address pair. Each is
 * tried, as there is no other way to find out.
 */
#include "router/host_nft.h"
#include "router/host_private.h"

#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/nfq.h"

#define PRIORITY 10 /* after NF_IP_PRI_FILTER */

struct rules {
	const char *device;
	uint16_t first, n; /* queues; n = 0: none */
	bool check_source;
	bool by_flow;	 /* balanced by flow, not by address pair */
	bool owner;	 /* the table goes with our socket */
	bool expression; /* nf_tables' own, not the xtables target */
};

static bool match_device(struct nftnl_rule *r, const char *device)
{
	char name[IF_NAMESIZE] = { 0 };

	strncpy(name, device, sizeof(name) - 1);
	return host_nft_meta(r, NFT_META_OIFNAME) && host_nft_is(r, name, sizeof(name));
}

static bool match_tcp(struct nftnl_rule *r)
{
	const uint8_t tcp = IPPROTO_TCP;

	return host_nft_meta(r, NFT_META_L4PROTO) && host_nft_is(r, &tcp, sizeof(tcp));
}

/* Of n equal parts of all flows, the i-th. */
static bool match_part(struct nftnl_rule *r, uint32_t n, uint32_t i)
{
	struct nftnl_expr *hash = host_nft_expr(r, "hash");

	if (!hash)
		return false;
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_TYPE, NFT_HASH_SYM);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_DREG, NFT_REG_1);
	nftnl_expr_set_u32(hash, NFTNL_EXPR_HASH_MODULUS, n);
	return host_nft_is(r, &i, sizeof(i));
}

static bool queue_by_expression(struct nftnl_rule *r, uint16_t first, uint16_t n)
{
	struct nftnl_expr *e = host_nft_expr(r, "queue");

	if (!e)
		return false;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, first);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, n);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, 0); /* no bypass */
	return true;
}

static bool queue_by_target(struct nftnl_rule *r, uint16_t first, uint16_t n)
{
	struct nftnl_expr *e = host_nft_expr(r, "target");
	/* Its size must be a multiple of 8. The expression frees it. */
	struct xt_NFQ_info_v3 *info = e ? calloc(1, 8) : NULL;

	if (!info)
		return false;
	info->queuenum = first;
	info->queues_total = n;
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, 3);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, 8);
	return true;
}

/* A rule for a number behind the first one, ranges included. */
struct queue_rule {
	const struct rules *rules;
	unsigned queue;
};

/* To the queue of one worker, if it is its part; or to those of all. */
static bool to_queue(struct nftnl_rule *r, const void *arg)
{
	const struct queue_rule *to = arg;
	const struct rules *q = to->rules;
	const uint16_t first = (uint16_t)(q->first + to->queue), n = q->by_flow ? 1 : q->n;
	const unsigned i = to->queue % NFQUEUE_RANGE;

	if (!match_device(r, q->device) || (to->queue < NFQUEUE_REST && !match_tcp(r)))
		return false;
	if (q->by_flow && i + 1 < q->n && !match_part(r, q->n, i)) /* the last takes the rest */
		return false;
	return q->expression ? queue_by_expression(r, first, n) : queue_by_target(r, first, n);
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

static void add_queues(struct host_nft *t, const char *chain, const struct rules *q, unsigned range)
{
	const unsigned rules = q->by_flow || !q->n ? q->n : 1;

	for (unsigned i = 0; i < rules; i++)
		host_nft_add_rule(t, chain, to_queue, &(struct queue_rule){ q, range + i });
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
		add_queues(t, chains[i].name, q, NFQUEUE_TCP);
		add_queues(t, chains[i].name, q, NFQUEUE_REST);
	}
	return host_nft_commit(t);
}

/* Tries what kernels may lack, the best first: owners, hashes, the queue expression. */
static int add_best(struct host *host, const char *name, struct rules *q)
{
	int e = 0;

	for (unsigned way = 0; way < 8; way++) {
		q->owner = !(way & 4);
		q->by_flow = !(way & 2) && q->n > 1;
		q->expression = !(way & 1);
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

	if (n > NFQUEUE_RANGE || first > NFQUEUE_FIRST_MAX || strlen(device) >= IF_NAMESIZE) {
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
	int e;

	if (!host->table[0])
		return 0;
	e = host_nft_remove(&host->filter, NFPROTO_INET, host->table);
	if (!e)
		host->table[0] = '\0';
	return e;
}
